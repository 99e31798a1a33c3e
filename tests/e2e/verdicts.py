"""The pass and fail files as requests on the wire, and which of them other tools must refuse by the plain spec."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from tests.cases import Case, read_cases
from tests.mockserver.clients import credential
from tests.providers import contract
from validator.check import examine
from validator.contract import Contract, load
from validator.contract.expressions import MISSING, resolve_pointer
from validator.contract.plain import BEYOND_PLAIN, plain
from validator.report import Violation

Reading = Literal["usual", "all"]
READINGS: tuple[Reading, ...] = ("usual", "all")
"""usual: the contract as it is; all: every rule refuses, also those that warn, fail a task later, or are off."""


@functools.cache
def reading(provider: str, name: Reading) -> Contract:
    """Return a provider's contract in a reading."""
    if name == "usual":
        return contract(provider)
    return load(provider, effects=dict.fromkeys(contract(provider).rules, "reject"))


@functools.cache
def plain_reading(provider: str, name: Reading) -> dict[str, Any]:
    """Return the plain document of a contract in a reading."""
    return plain(reading(provider, name))


@dataclass(frozen=True)
class Tried:
    """A file as a request below the provider's base path, and what is to be said of it.

    `beyond` are the names in BEYOND_PLAIN of what we refuse it for and the plain spec cannot; `is_refused` says
    whether anything else is wrong with it.
    """

    case: Case
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    is_refused: bool
    beyond: tuple[str, ...]

    @property
    def target(self) -> str:
        """Return path and query as they stand in a request line."""
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")


def tries(provider: str, name: Reading) -> Iterator[Tried]:
    """Yield every pass and fail file of a provider, judged in a reading."""
    known = reading(provider, name)
    for case in (*read_cases(provider, "pass"), *read_cases(provider, "fail")):
        examination = examine(known, case.request, operation=case.operation)
        operation, request = examination.operation, case.request
        refusals = [one for one in examination.report.violations if one.effect == "reject"]
        beyond = {_beyond(one, case.body) for one in refusals}
        if case.operation is not None:
            assert operation is not None
            method, path, headers = operation.method, operation.path, dict(credential(operation))
            content = json.dumps(case.body).encode()
        else:
            method, path, headers = request.method, request.path, dict(request.headers)
            content = bytes(request.body)
        if content:
            headers["content-type"] = "application/json"
        yield Tried(
            case=case,
            method=method,
            path=path.removeprefix(known.base_path),
            query=dict(request.query),
            headers=headers,
            content=content,
            is_refused=None in beyond,
            beyond=tuple(sorted(name for name in beyond if name is not None)),
        )


def _beyond(violation: Violation, body: Any) -> str | None:
    """Return under which name BEYOND_PLAIN lists a finding, or None for one that the plain spec can say."""
    name = violation.keyword if violation.kind == "invalid" else violation.kind
    if name == "maxBytes":
        text = resolve_pointer(body, violation.instance_location)
        return name if text is not MISSING and str(text).startswith("data:") else None
    if name == "unauthorized" and violation.reason == "missing":
        return None
    if name == "malformed" and violation.reason not in ("depth", "values"):
        return None
    return name if name in BEYOND_PLAIN else None
