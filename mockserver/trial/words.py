"""How breaches are worded: when something was, how long it took, what a request was for."""

from __future__ import annotations

from typing import Final

from mockserver.journal import target_of
from mockserver.trial.conduct import Conduct
from mockserver.trial.steps import Step
from validator.report import printable

LONGEST: Final = 120
"""Characters of a text of the client's, or of a provider's, that a sentence repeats."""


def seconds_text(seconds: float) -> str:
    """Return seconds for people.

    >>> [seconds_text(value) for value in (0.0042, 1.5, 90, 7200)]
    ['0.004 s', '1.5 s', '90 s', '2 h']
    """
    if seconds >= 7_200:
        return f"{seconds / 3600:.3g} h"
    if seconds >= 600:
        return f"{seconds / 60:.3g} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.3g} s" if seconds >= 1 else f"{seconds:.1g} s"


def when(conduct: Conduct, at: int) -> str:
    """Return when something was, in the client's seconds since its first request."""
    return f"at {conduct.pace.seconds(conduct.began, at):.1f} s"


def request_text(step: Step) -> str:
    """Return what was asked: 'POST /t/a/toy/api/clips (createClip)'."""
    exchange = step.exchange
    name = f" ({exchange.operation})" if exchange.operation else ""
    return f"{exchange.method} {short(target_of(exchange))}{name}"


def short(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"


def count_text(number: int, noun: str) -> str:
    """Return a number and its noun.

    >>> count_text(1, "read"), count_text(2, "read")
    ('1 read', '2 reads')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
