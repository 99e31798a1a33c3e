"""What is asked of a server, from a contract alone: every request that costs nothing, and what is expected.

What cannot be asked without paying, or without a task, is listed too, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from mockserver.drift.keys import Key, bad_headers
from validator.check import Examination, examine, protocol_rules, protocol_violation
from validator.contract.expressions import Json, to_text
from validator.contract.model import Contract, Evidence, Operation, Row
from validator.contract.raw import METHODS
from validator.contract.templates import SURENESS
from validator.diff.requests import NOWHERE, address, needed
from validator.expected import Expected, expect
from validator.keywords import outcome
from validator.report import Violation
from validator.request import HttpRequest

UNKNOWN_ID: Final = "understudy-drift-no-such-id"

_WHY_NOT: Final[Mapping[str, str]] = {
    "too-large": "it takes megabytes of body",
    "conflict": "it takes a task, which costs",
    "quota-exhausted": "it takes an account without credits",
    "concurrency-exceeded": "it takes running tasks, which cost",
    "rate-limited": "it takes more requests than is polite",
    "internal": "nobody can ask a server to fail",
    "unavailable": "nobody can ask a server to be down",
    "unexpected": "no request is known that shows it",
}
_EFFECTS: Final[Mapping[str, str]] = {
    "fail": "the provider takes the request and the task fails, which may cost",
    "warn": "the provider takes the request, which costs",
    "off": "the rule is off: the provider is taken to accept the request, which costs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One request and what the contract expects of it.

    `rule` is what it is about: a rule's id, or `<provider>.request.<kind>`.  `request` has no credential
    unless the probe is about one; `is_authorised` says that the given one is to be added.  `price` is what
    a task would cost if the server took the request after all, None where no task can come of it or nobody
    knows.  `is_create` says that a task could come of it.  `source` is the page that the expectation stands on.
    """

    rule: str
    what: str
    operation: Operation | None
    request: HttpRequest
    expected: Expected
    is_authorised: bool = True
    is_create: bool = False
    price: float | None = None

    @property
    def evidence(self) -> Evidence:
        """Return how sure the contract is that the request is refused, or taken."""
        decisive = next(iter(self.expected.report.errors), None)
        return decisive.evidence if decisive is not None else "documented"

    @property
    def source(self) -> str:
        """Return where the contract has it from: "key#place"."""
        decisive = next(iter(self.expected.report.errors), None)
        return decisive.source if decisive is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unasked:
    """A rule that is not asked about, and why."""

    rule: str
    operation: str
    why: str


Smallest = Callable[[Operation, str], Sequence[HttpRequest]]
"""Gives the smallest requests that break a rule and no other, one for each way to break it, such as a wrong type
and a length beyond the bound; none where none can be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All probes in the order in which they are sent, and what is not asked; the first one tells the credential."""

    contract: Contract
    probes: tuple[Probe, ...]
    unasked: tuple[Unasked, ...]


def make_plan(contract: Contract, *, key: Key, now: int, smallest: Smallest) -> Plan:
    """Return what to ask a server; `now` in seconds since 1970.

    The order: what cannot make a task, then what would only if the provider had changed, surest first, and
    cheapest first among those that are as sure.
    """
    unasked: list[Unasked] = []
    free = [
        *_reads(contract),
        *_lists(contract),
        *_credentials(contract, key, now, unasked),
        *_routes(contract),
    ]
    violating = list(_violating(contract, smallest, unasked))
    free += [one for one in violating if not one.is_create]
    paid = [one for one in violating if one.is_create] + list(_bodies(contract, violating))
    paid.sort(key=lambda one: (SURENESS.index(one.evidence), math.inf if one.price is None else one.price))
    asked = {one.rule for one in (*free, *paid)} | {one.rule for one in unasked}
    for one in protocol_rules(contract):
        if one.rule not in asked and one.effect == "reject":
            why = _WHY_NOT.get(one.kind, _WHY_NOT["unexpected"])
            unasked.append(Unasked(rule=one.rule, operation="", why=why))
    return Plan(contract=contract, probes=(*free, *paid), unasked=tuple(unasked))


# --- what makes no task -----------------------------------------------------------------------------------


def _reads(contract: Contract) -> Iterator[Probe]:
    """Yield a read of a task that is not there, for every operation that reads one."""
    for operation in contract.operations.values():
        found = _id_parameter(contract, operation)
        if operation.role != "read" or found is None:
            continue
        place, name = found
        query = needed(operation, "query") | ({name: UNKNOWN_ID} if place == "query" else {})
        request = HttpRequest.from_parts(operation.method, address(operation, query, fill=UNKNOWN_ID))

        def absent(out: Examination, id: str = operation.id) -> list[Violation]:
            return [
                protocol_violation(contract, "not-found", found=UNKNOWN_ID, value=UNKNOWN_ID, operation=id)
            ]

        expected = _expect(contract, operation, request, also=absent)
        if expected is not None and expected.verdict == "refused":
            yield Probe(
                rule=expected.errors[0],
                what="a task that is not there",
                operation=operation,
                request=request,
                expected=expected,
            )


def _id_parameter(contract: Contract, operation: Operation) -> tuple[str, str] | None:
    """Return (place, name) of the parameter that names the task of a read."""
    for other in contract.operations.values():
        for link in other.links:
            if link.operation == operation.id:
                return link.place, link.parameter
    return None


def _lists(contract: Contract) -> Iterator[Probe]:
    """Yield what lists tasks or tells of the account, asked rightly."""
    for operation in contract.operations.values():
        if operation.method != "GET" or operation.role == "read" or None in operation.segments:
            continue
        request = HttpRequest.from_parts("GET", address(operation, needed(operation, "query")))
        expected = _expect(contract, operation, request)
        if expected is not None and expected.verdict == "accepted":
            name = f"{contract.id}.request.{'list' if operation.role == 'list' else 'read'}"
            yield Probe(
                rule=name, what="asked rightly", operation=operation, request=request, expected=expected
            )


def _routes(contract: Contract) -> Iterator[Probe]:
    """Yield a path that is not there, and a method where it is not taken."""
    request = HttpRequest.from_parts("GET", contract.base_path + NOWHERE)
    yield from _protocol(contract, request, None, "a path that is not there")
    for operation in contract.operations.values():
        taken = {one.method for one in contract.operations.values() if one.segments == operation.segments}
        # Never DELETE: what it would do to a path that has come to take it cannot be undone.
        method = next(
            (one.upper() for one in METHODS if one in ("put", "patch") and one.upper() not in taken), None
        )
        if operation.role == "create" and method is not None:
            request = HttpRequest.from_parts(method, address(operation, {}))
            yield from _protocol(contract, request, operation, f"{method} where it is not taken")


def _protocol(
    contract: Contract, request: HttpRequest, operation: Operation | None, what: str
) -> Iterator[Probe]:
    expected = _expect(contract, operation, request)
    if expected is not None and expected.verdict == "refused":
        yield Probe(
            rule=expected.errors[0], what=what, operation=operation, request=request, expected=expected
        )


def _credentials(contract: Contract, key: Key, now: int, unasked: list[Unasked]) -> Iterator[Probe]:
    """Yield credentials that must be refused, at an operation that makes no task."""
    for operation in _free_operations(contract):
        if not operation.credentials:
            continue
        query = needed(operation, "query")
        found = _id_parameter(contract, operation)
        query |= {found[1]: UNKNOWN_ID} if found is not None and found[0] == "query" else {}
        bare = HttpRequest.from_parts(operation.method, address(operation, query, fill=UNKNOWN_ID))
        for what, headers, why in bad_headers(operation.credentials[0], key, now):
            request = replace(bare, headers=headers)
            if why:
                rule = f"{contract.id}.request.unauthorized"
                unasked.append(Unasked(rule=rule, operation=operation.id, why=f"{what}: {why}"))
                continue
            expected = expect(contract, request, keys=key.ring, now=float(now))
            if expected.verdict == "refused":
                yield Probe(
                    rule=expected.errors[0],
                    what=what,
                    operation=operation,
                    request=request,
                    expected=expected,
                    is_authorised=False,
                )
        return


def _free_operations(contract: Contract) -> Iterator[Operation]:
    """Yield the operations that cannot make a task, those that read one first."""
    known = [one for one in contract.operations.values() if one.role != "create" and one.method == "GET"]
    yield from sorted(known, key=lambda one: one.role != "read")


def _expect(
    contract: Contract,
    operation: Operation | None,
    request: HttpRequest,
    *,
    also: Callable[[Examination], list[Violation]] | None = None,
) -> Expected | None:
    """Return what is expected of a request that will carry a credential that counts."""
    from validator.diff.requests import good_headers

    headers = {**request.headers, **(good_headers(operation) if operation is not None else {})}
    return expect(contract, replace(request, headers=headers), also=also)


# --- what must be refused, or it makes a task -------------------------------------------------------------


def _violating(contract: Contract, smallest: Smallest, unasked: list[Unasked]) -> Iterator[Probe]:
    """Yield a request for every rule of every operation."""
    done: set[tuple[str, int]] = set()
    for operation in contract.operations.values():
        unique = {one.rule.id for one in operation.unique}
        for rule in operation.rules:
            # Operations that share a body share its rules: once is enough where one is older than the other.
            key = (rule.id, id(operation.body) if operation.body is not None else id(operation))
            if key in done:
                continue
            done.add(key)
            if rule.id in unique:
                why = _WHY_NOT["conflict"]
            elif rule.effect != "reject":
                why = _EFFECTS[rule.effect]
            else:
                made = [_probe(contract, operation, rule.id, one) for one in smallest(operation, rule.id)]
                probes = [one for one in made if one is not None]
                yield from {(one.request.url, one.request.body): one for one in probes}.values()
                if probes:
                    continue
                why = "no request could be made that breaks it alone"
            unasked.append(Unasked(rule=rule.id, operation=operation.id, why=why))


def _probe(contract: Contract, operation: Operation, rule: str, request: HttpRequest) -> Probe | None:
    """Return the probe for a request that breaks a rule, at the least price; None where the contract takes it."""
    headers = {name: text for name, text in request.headers.items() if not _is_key(operation, name)}
    bare = replace(request, headers=headers)
    is_create = may_cost(operation)
    price = None
    if is_create:
        bare, price = cheapest(contract, operation, bare)
    expected = _expect(contract, operation, bare)
    if expected is None or expected.verdict != "refused" or expected.errors[0] != rule:
        return None
    return Probe(
        rule=rule,
        what="breaks the rule",
        operation=operation,
        request=bare,
        expected=expected,
        is_create=is_create,
        price=price,
    )


def may_cost(operation: Operation) -> bool:
    """Tell whether an operation may make something that is paid for: it creates, or nobody says what it does.

    A call that reads is safe by its method (RFC 9110, 9.2.1), or by its role.
    """
    return operation.role == "create" or (operation.role is None and operation.method not in ("GET", "HEAD"))


def _is_key(operation: Operation, name: str) -> bool:
    return name in {one.header for one in operation.credentials}


def cheapest(
    contract: Contract, operation: Operation, request: HttpRequest
) -> tuple[HttpRequest, float | None]:
    """Return a request that breaks the same rules at the least price if it were taken, and that price.

    The members that the capability map goes by are changed, one combination after the other, as long as the
    findings stay the same.  None where the map knows no price for it.
    """
    body = _json(request)
    schema = operation.body
    if schema is None or schema.capabilities is None or not isinstance(body, dict):
        return request, None
    same, price = _rules_and_price(contract, operation, request)
    rows = sorted(schema.capabilities.rows, key=_least)
    for row in rows:
        if price is not None and _least(row) >= price:
            break
        keys = {
            key: row.match[key][0]
            for key in schema.capabilities.keys
            if key in row.match and row.match[key][0] != to_text(schema.capabilities.defaults.get(key))
        }
        plain = {name: value for name, value in body.items() if name not in schema.capabilities.keys}
        candidate = HttpRequest.from_json(
            request.method, request.url, {**keys, **plain}, headers=request.headers
        )
        found, cost = _rules_and_price(contract, operation, candidate)
        if found == same and cost is not None and (price is None or cost < price):
            return candidate, cost
    return request, price


def _least(row: Row) -> float:
    """Return the least that a row can cost."""
    return min((price.base + price.per_second for price in row.prices), default=0.0)


def _rules_and_price(
    contract: Contract, operation: Operation, request: HttpRequest
) -> tuple[list[str], float | None]:
    """Return the rules that a request breaks, and what it would cost if it were taken; None for not known."""
    out = examine(contract, request, operation=operation.id)
    rules = [one.rule for one in out.report.violations]
    if operation.body is None or not isinstance(out.body, dict):
        return rules, None
    made = outcome(operation.body, out.body, out.pictures, out.row)
    # Nothing is free: a price of nothing is one that the map does not know.
    return rules, (made.cost or None) if made is not None else None


def _json(request: HttpRequest) -> Json:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None


def _bodies(contract: Contract, violating: Sequence[Probe]) -> Iterator[Probe]:
    """Yield bodies that are none, and one that does not say it is JSON; the last is wrong in itself as well."""
    for operation in contract.operations.values():
        if not may_cost(operation) or operation.body is None:
            continue
        path = address(operation, needed(operation, "query"))
        headers = {"content-type": "application/json"}
        for what, raw in (("no JSON", b"{"), ("an empty body", b"")):
            request = replace(HttpRequest.from_parts(operation.method, path, headers=headers), body=raw)
            yield from (replace(one, is_create=True) for one in _protocol(contract, request, operation, what))
        known = [one for one in violating if one.operation is operation and one.is_create]
        sure = min(known, key=lambda one: SURENESS.index(one.evidence), default=None)
        if sure is not None:
            request = replace(sure.request, headers={"content-type": "text/plain"})
            yield from (
                replace(one, is_create=True, price=sure.price)
                for one in _protocol(contract, request, operation, "a body that does not say it is JSON")
            )


def shown_body(request: HttpRequest) -> Any:
    """Return the body of a request as JSON, its text where it is none, None for nothing."""
    if not request.body:
        return None
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return request.body.decode("utf-8", "replace")
