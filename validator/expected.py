"""What a contract expects of one request: the verdict, and the answer word for word.

The check says what is wrong, the error cases how it is told; here both are put together, for those who hold
a contract against another contract or against a server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from validator.check import ANY_KEY, Examination, examine
from validator.contract.expressions import MISSING, Json, Scope, format_pointer
from validator.contract.model import Contract, Evidence, Operation
from validator.errors import Answer, Refusal, refuse, render
from validator.lint import StandIn
from validator.report import Report, Verdict, Violation
from validator.request import HttpRequest
from validator.security import KeyRing

_CODE: Final = "understudy-code"
_MESSAGE: Final = "understudy-message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a provider does with one request, as its contract has it.

    `answer` and `refusal` are None for a request that is taken.  `failure` is what the task then ends with,
    None where it succeeds.
    """

    report: Report
    operation: Operation | None
    refusal: Refusal | None = None
    answer: Answer | None = None
    failure: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Return what becomes of the request."""
        return self.report.verdict

    @property
    def errors(self) -> tuple[str, ...]:
        """Return the rules that cost the caller a task, each once, in the order they are judged."""
        return tuple(dict.fromkeys(one.rule for one in self.report.errors))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the rules that are broken without a consequence, each once."""
        return tuple(dict.fromkeys(one.rule for one in self.report.warnings))

    @property
    def status(self) -> int | None:
        """Return the HTTP status of the refusal, None for a request that is taken."""
        return self.answer.status if self.answer is not None else None

    @property
    def code(self) -> int | str | None:
        """Return the provider's own code of the refusal, None where it has none."""
        return self.refusal.case.code if self.refusal is not None else None

    @property
    def message(self) -> str:
        """Return the words of the refusal, or of the task that fails; "" for a request that is taken."""
        return self.refusal.error.message if self.refusal is not None else self.failure or ""


def expect(
    contract: Contract,
    request: HttpRequest,
    *,
    operation: str | None = None,
    keys: KeyRing = ANY_KEY,
    now: float | None = None,
    also: Callable[[Examination], list[Violation]] | None = None,
    mock: Any = None,
) -> Expected:
    """Return what the contract expects of a request; never raises for any.

    `operation`, `keys` and `now` as for :func:`validator.check.check`.  `also` gives findings that no look
    at the request alone can have, such as that there is no such task.  `mock` is what `$mock` sees in the
    answer's templates.
    """
    out = examine(contract, request, operation=operation, keys=keys, now=now)
    report = out.report
    if also is not None and report.verdict != "refused":
        more = also(out)
        report = replace(
            report, violations=tuple(sorted((*report.violations, *more), key=lambda one: one.order))
        )
    known = out.operation
    if report.verdict == "fails":
        first = next(one for one in report.violations if one.effect == "fail")
        return Expected(report=report, operation=known, failure=first.failure or first.message)
    if report.verdict == "accepted":
        return Expected(report=report, operation=known)
    scope = answer_scope(contract, request, out, mock=mock)
    refusal = refuse(contract, report.violations, scope, operation=known.id if known is not None else "")
    answer = render(refusal, scope, accept=request.headers.get("accept", ""))
    return Expected(report=report, operation=known, refusal=refusal, answer=answer)


def answer_scope(contract: Contract, request: HttpRequest, out: Examination, *, mock: Any = None) -> Scope:
    """Return what the templates of a refusal see of a request; `mock` as for :func:`expect`."""
    if mock is None:
        base = f"https://{contract.hosts[0]}{contract.base_path}"
        mock = StandIn(base_url=base, path=request.path)
    return Scope(request=request, body={} if out.body is MISSING else out.body, path=out.path, mock=mock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where in the body of a refusal its parts stand, as JSON Pointers."""

    code: tuple[str, ...]
    message: tuple[str, ...]


def places(refusal: Refusal, scope: Scope, *, accept: str = "") -> Places:
    """Return where code and message stand in a refusal's body: told by marking them, and looking for the marks."""
    marked = replace(
        refusal,
        error=replace(refusal.error, code=_CODE, message=_MESSAGE, phrase=_MESSAGE, phrases=_MESSAGE),
        errors=tuple(replace(one, code=_CODE, message=_MESSAGE, phrase=_MESSAGE) for one in refusal.errors),
    )
    body = render(marked, scope, accept=accept).body
    found = list(leaves(body))
    return Places(
        code=tuple(at for at, value in found if isinstance(value, str) and _CODE in value),
        message=tuple(at for at, value in found if isinstance(value, str) and _MESSAGE in value),
    )


def leaves(value: Json, at: tuple[str | int, ...] = ()) -> list[tuple[str, Json]]:
    """Return pairs (JSON Pointer, value) of everything in a value that holds nothing further."""
    out: list[tuple[str, Json]] = []
    # No recursion: an answer may be nested deeper than Python goes.
    waiting: list[tuple[tuple[str | int, ...], Json]] = [(at, value)]
    while waiting:
        place, one = waiting.pop()
        below: list[tuple[str | int, Json]] = []
        if isinstance(one, dict):
            below = list(one.items())
        elif isinstance(one, list):
            below = list(enumerate(one))
        if not below:
            out.append((format_pointer(place), one))
        waiting += [((*place, step), member) for step, member in reversed(below)]
    return out


def evidence_of(expected: Expected) -> Evidence:
    """Return how sure the contract is that the request meets this fate, whatever the words."""
    deciding = [one for one in expected.report.violations if one.effect in ("reject", "fail")]
    return deciding[0].evidence if deciding else "documented"
