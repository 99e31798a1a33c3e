"""Verdicts: a law, what looking at a conduct found about it, and each breach in words.

Plain values; which laws there are stands in `laws.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mockserver.trial.conduct import Conduct

Outcome = Literal["kept", "broken", "not-reached"]
"""not-reached: the client never came into the situation that the law speaks of, or not all of it was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One time a law was broken: what was done, when, and what was expected, in a sentence.

    `exchanges` are the ids of those that show it, in the order of time.
    """

    sentence: str
    exchanges: tuple[str, ...] = ()
    task: str | None = None
    delivery: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one law; `note` says why it was not reached, or what of it could not be seen."""

    law: str
    outcome: Outcome
    breaches: tuple[Breach, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at a conduct found: the breaches, and how often the client came into the law's situation."""

    reached: int
    breaches: Sequence[Breach] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One law.

    `title` says what a client does that keeps it, `why` what it costs those who break it, `source` is a public bug
    of that kind.  `needs_program` says that it speaks of what only somebody who ran the client as a program knows.
    `reach` says in which situation the law is reached.
    """

    id: str
    title: str
    why: str
    source: str
    reach: str
    look: Callable[[Conduct], Look]
    needs_program: bool = False
    is_of_pauses: bool = False
    is_of_callbacks: bool = False

    def judge(self, conduct: Conduct) -> Finding:
        """Return what became of this law in a conduct."""
        blank = Finding(law=self.id, outcome="not-reached")
        if self.needs_program and conduct.program is None:
            return replace(blank, note="the client did not run as a program of its own")
        if self.is_of_pauses and not conduct.has_pauses:
            return replace(blank, note="the clock stood still, so there are no pauses to look at")
        seen = self.look(conduct)
        if seen.breaches:
            note = seen.note
            if self.is_of_pauses and conduct.pace.counts_real and not conduct.speed:
                note = (
                    "the clock was at rest: a sleep of the client's counts if it is real, or moves the clock"
                )
            return replace(blank, outcome="broken", breaches=tuple(seen.breaches), note=note)
        if not seen.reached:
            return replace(blank, note=seen.note or f"reached where {self.reach}")
        gone = _gone(conduct, of_callbacks=self.is_of_callbacks)
        if gone:
            # What was not seen may be where it was broken.
            return replace(blank, note=f"{gone}; in what is left of it nothing is wrong")
        return replace(blank, outcome="kept", note=seen.note)


def _gone(conduct: Conduct, *, of_callbacks: bool) -> str:
    parts = []
    if conduct.dropped:
        parts.append(f"the journal let go of {conduct.dropped:,} older exchanges (--journal-entries)")
    if of_callbacks and conduct.dropped_deliveries:
        parts.append(f"the ledger let go of {conduct.dropped_deliveries:,} older deliveries")
    return ", and ".join(parts)
