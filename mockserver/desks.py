"""One provider, prepared when the server starts: a request looks things up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from mockserver import actions
from mockserver.plans import Wish
from mockserver.tenants import Backend
from mockserver.wallets import money_of
from mockserver.wire import HeaderList
from validator.check import protocol_violation
from validator.contract.expressions import Evaluate, Json, format_pointer
from validator.contract.model import BodyTemplate, Contract, Evidence, Money, Operation, When
from validator.report import Violation
from validator.request import Request
from validator.security import KeyRing, Principal, Refused

_ASSUMED: Final = (b"x-mock-evidence", b"assumed")


@dataclass(frozen=True, slots=True)
class Content:
    """One media type of an operation's answer; `start` holds the headers that a state always has."""

    template: BodyTemplate
    bodies: Mapping[str | None, Evaluate]
    start: Mapping[str | None, tuple[tuple[bytes, bytes], ...]]


@dataclass(frozen=True, slots=True)
class Call:
    """An operation, prepared: `credentials` are the names of the headers that may hold one."""

    operation: Operation
    credentials: tuple[bytes, ...]
    contents: tuple[Content, ...]
    headers: tuple[tuple[bytes, Mapping[str | None, Evaluate], Callable[[Json], bool]], ...]
    reading: actions.Reading | None
    status: int


@dataclass(slots=True)
class Desk:
    """One provider, prepared; `principals` remembers who is behind a credential.

    `anybody` is the account of those who need no credential; `refusals` are (kind, reason) of those that can be
    asked for, by status, code and name.
    """

    contract: Contract
    keys: KeyRing
    calls: Mapping[str, Call]
    counts_requests: bool
    money: Money | None
    anybody: str
    refusals: Mapping[str, tuple[str, str]]
    principals: dict[tuple[bytes, bytes], tuple[Principal | Refused, str]] = field(default_factory=dict)


def prepare(contract: Contract, backend: Backend) -> Desk:
    """Return the desk of a provider."""
    readings = actions.readings(contract)
    quotas = backend.quotas[contract.id].requests
    shows_limit = any(
        "$limit" in text
        for name, node in contract.document.root.items()
        if name not in ("x-variants", "x-errors")
        for text in _texts(node)
    )
    return Desk(
        contract=contract,
        keys=backend.settings.keys(contract.id),
        calls={name: _call(operation, readings.get(name)) for name, operation in contract.operations.items()},
        counts_requests=bool(quotas) and (shows_limit or any(quota.is_enforced for quota in quotas)),
        money=money_of(contract),
        anybody=f"{contract.id}:anybody",
        refusals=_refusals(contract),
    )


def _refusals(contract: Contract) -> Mapping[str, tuple[str, str]]:
    """Return the refusals that need no fault in the request: by name, by code and by status.

    Of several with one status a limit on requests counts, else the first without a reason; the others are asked
    for by name.
    """
    out: dict[str, tuple[str, str]] = {}
    known = [
        case
        for case in contract.cases
        if case.when.kind not in (None, "invalid")
        and case.when == When(kind=case.when.kind, reason=case.when.reason)
    ]
    for case in sorted(known, key=lambda one: (one.when.reason is not None, one.when.kind != "rate-limited")):
        kind, reason = str(case.when.kind), case.when.reason or ""
        for name in (f"{kind}.{reason}" if reason else kind, case.code, case.status):
            if name is not None:
                out.setdefault(str(name), (kind, reason))
    return out


def scenario_violation(
    contract: Contract, operation: Operation, wish: Wish, request: Request, path: Mapping[str, str]
) -> Violation:
    """Return the finding with which a scenario refuses a request that nothing is wrong with.

    Where the provider speaks of a member, it is the first one of the body, with the value that stands there, or
    else the first parameter.
    """
    candidates = list(wish.scenario.refusals)
    if "reason" in wish.values:
        candidates.insert(0, (candidates[0][0], str(wish.values["reason"])))
    kind, reason = next((one for one in candidates if _has_case(contract, *one)), candidates[-1])
    asked: Any = kind
    found = f"scenario {wish.scenario.name}"
    made = protocol_violation(contract, asked, reason, found=found, operation=operation.id)
    if kind == "unauthorized":
        return replace(made, value="1")
    if kind != "invalid":
        return made
    made = replace(made, message="nothing is wrong with the request")
    for name, value in _members(request.body):
        return replace(made, instance_location=format_pointer([name]), value=value)
    for one in operation.parameters:
        value = path.get(one.name) if one.place == "path" else request.query.get(one.name, one.default)
        if one.place in ("path", "query") and value is not None:
            return replace(made, instance_location=one.name, place=one.place, value=value)
    return made


def _members(body: bytes) -> Iterable[tuple[str, Json]]:
    """Return the members of a body, none of one that is no JSON object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    return value.items() if isinstance(value, dict) else ()


def _has_case(contract: Contract, kind: str, reason: str) -> bool:
    """Tell whether a provider has an answer of its own for a refusal."""
    return any(
        case.when.kind == kind and (case.when.reason or "") in ((reason, "") if not reason else (reason,))
        for case in contract.cases
    )


def _call(operation: Operation, reading: actions.Reading | None) -> Call:
    response = operation.response
    return Call(
        operation=operation,
        credentials=tuple(dict.fromkeys(one.header.encode() for one in operation.credentials)),
        contents=tuple(
            Content(
                template=content,
                bodies=content.bodies,
                start={
                    state: tuple(first_headers(content.media_type, evidence))
                    for state, evidence in content.evidence.items()
                },
            )
            for content in response.contents
        ),
        headers=tuple((one.name.lower().encode("latin-1"), one.values, one.fits) for one in response.headers),
        reading=reading,
        status=response.status,
    )


def first_headers(media_type: str, evidence: Evidence) -> HeaderList:
    """Return the headers that every answer of a provider begins with."""
    return [(b"content-type", media_type.encode()), *([_ASSUMED] if evidence == "assumed" else [])]


def _texts(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
    elif isinstance(node, str):
        yield node
