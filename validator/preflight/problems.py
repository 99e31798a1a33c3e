"""Why a request was not sent, and how that is told.

    Exception
    `-- NotSent           it did not leave
        |-- PreflightError    it is bad: refused, or taken and then failed
        `-- SpendError        it would cost what was not allowed
    UserWarning
    `-- PreflightWarning  it did leave, and something is to be said about it

None of them is an error of an HTTP library: what tries again after those must not try these again.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, Final, Literal

from validator.report import Report

Reason = Literal["not-allowed", "budget", "unknown-price", "equal"]
"""Why a guard holds a request back."""


class NotSent(Exception):
    """A request that was stopped before it left.

    `method` and `url` say which, the URL without credentials and query; `provider` and `operation` are ids,
    the operation None where the contract has none.
    """

    def __init__(
        self, sentence: str, *, method: str, url: str, provider: str, operation: str | None, **more: Any
    ) -> None:
        """Take what to say, and which request it is about."""
        super().__init__(sentence)
        self.method, self.url = method, url
        self.provider, self.operation = provider, operation
        self._more = more

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it again in another process."""
        known = {name: getattr(self, name) for name in ("method", "url", "provider", "operation")}
        return _again, (type(self), str(self), known | self._more)


class PreflightError(NotSent):
    """A request that the provider would refuse, or take and fail.

    `report` holds all findings as values, `text` all of them in words; a traceback shows the text as well.
    """

    def __init__(self, sentence: str, *, report: Report, text: str, **which: Any) -> None:
        """Take the findings."""
        super().__init__(sentence, report=report, text=text, **which)
        self.report, self.text = report, text
        self.add_note(text)


class SpendError(NotSent):
    """A request that would cost, and was not allowed to.

    `reason` says why, `price` what it would have cost in the provider's own units, None for unknown.
    """

    def __init__(self, sentence: str, *, reason: Reason, price: float | None, **which: Any) -> None:
        """Take the reason and the price."""
        super().__init__(sentence, reason=reason, price=price, **which)
        self.reason, self.price = reason, price


class PreflightWarning(UserWarning):
    """Something about a request that is sent all the same."""


def _again(kind: type[NotSent], sentence: str, known: dict[str, Any]) -> NotSent:
    return kind(sentence, **known)


_ON_THE_WAY: Final = frozenset(
    ("aiohttp", "anyio", "asyncio", "concurrent", "contextlib", "httpcore", "httpx", "requests", "threading")
) | {"urllib", "urllib3"}
"""Packages between the line that asks for a request and the hook that sees it."""


def warn(text: str) -> None:
    """Warn about a request, at the line of the caller that made it.

    Raises PreflightWarning where warnings are errors.
    """
    frame = sys._getframe(1)
    found = frame
    while True:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _ON_THE_WAY and not name.startswith(__package__):
            found = frame
            break
        if frame.f_back is None:
            break
        frame = frame.f_back
    warnings.warn_explicit(
        text,
        PreflightWarning,
        filename=found.f_code.co_filename,
        lineno=found.f_lineno,
        module=str(found.f_globals.get("__name__", "")),
        registry=found.f_globals.setdefault("__warningregistry__", {}),
    )
