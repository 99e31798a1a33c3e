"""The verdict: acts by laws, and for each broken law the acts that show it.

Pure: knows what was found, not how it is printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from mockserver.rehearsal.orders import Orders
from mockserver.rehearsal.run import Played
from mockserver.trial.laws import LAWS
from mockserver.trial.verdicts import Breach, Finding, Law

TELLING: Final = "tells-failed-from-refused"
"""The law that is about two acts: what the client says in one, and what in the other."""

_VARYING: Final = re.compile(r"https?://\S+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
"""What differs between two runs without saying anything different: addresses, ids, times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One law that was broken: the acts that show it, each with its finding, in the order of the atlas."""

    law: Law
    seen: tuple[tuple[Played, Finding], ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a rehearsal.

    `played` are all acts that were wanted, those that were not played included; `beside` maps an act to the other one
    that it has to be compared with to show what was found.
    """

    orders: Orders
    played: tuple[Played, ...]
    laws: tuple[Law, ...]
    beside: Mapping[str, str]

    @cached_property
    def table(self) -> Mapping[str, Mapping[str, Finding]]:
        """Return the findings by act and law; an act that was not played has none."""
        return {one.act.id: {found.law: found for found in one.findings} for one in self.played}

    @cached_property
    def broken(self) -> tuple[Broken, ...]:
        """Return the laws that were broken, in their order."""
        out = []
        for law in self.laws:
            seen = tuple(
                (one, found)
                for one in self.played
                for found in one.findings
                if found.law == law.id and found.outcome == "broken"
            )
            if seen:
                out.append(Broken(law=law, seen=seen))
        return tuple(out)

    @cached_property
    def kept(self) -> tuple[Law, ...]:
        """Return the laws that were kept wherever they were reached."""
        broken = {one.law.id for one in self.broken}
        reached = {found.law for one in self.played for found in one.findings if found.outcome == "kept"}
        return tuple(law for law in self.laws if law.id in reached and law.id not in broken)

    @cached_property
    def unreached(self) -> tuple[Law, ...]:
        """Return the laws that no act reached."""
        known = {law.id for law in self.kept} | {one.law.id for one in self.broken}
        return tuple(law for law in self.laws if law.id not in known)

    @property
    def done(self) -> tuple[Played, ...]:
        """Return the acts that were played."""
        return tuple(one for one in self.played if one.is_played)

    @property
    def missed(self) -> tuple[Played, ...]:
        """Return the acts that were not played."""
        return tuple(one for one in self.played if not one.is_played)

    def why_unreached(self, law: Law) -> str:
        """Return why no act reached a law, in the words of most of them."""
        notes = [
            found.note for one in self.done for found in one.findings if found.law == law.id and found.note
        ]
        return max(notes, key=notes.count) if notes else f"reached where {law.reach}"


def verdict(orders: Orders, played: Sequence[Played]) -> Verdict:
    """Return the verdict on all acts, with what only two of them together show."""
    wanted = tuple(LAWS) if orders.laws is None else orders.laws
    same = _same_words(played) if TELLING in wanted else {}
    return Verdict(
        orders=orders,
        played=tuple(_with(one, same[one.act.id]) if one.act.id in same else one for one in played),
        laws=tuple(law for name, law in LAWS.items() if name in wanted),
        beside={name: other.act.id for name, other in same.items() if other is not None},
    )


def _same_words(played: Sequence[Played]) -> dict[str, Played | None]:
    """Return the acts in which the job failed, each with one in which it was refused and that ended the same way.

    None where there is no such act; without acts in which it was refused there is nothing to compare with.
    """
    refused = [one for one in played if one.is_played and one.fate == "refused"]
    if not refused:
        return {}
    return {
        one.act.id: next((other for other in refused if _ending(other) == _ending(one)), None)
        for one in played
        if one.is_played and one.fate == "failed"
    }


def _with(played: Played, same: Played | None) -> Played:
    """Return an act with what the comparison adds: a breach, or that the law was kept where it was not reached."""
    out = []
    for one in played.findings:
        if one.law != TELLING:
            out.append(one)
        elif same is None:
            is_open = one.outcome == "not-reached"
            out.append(replace(one, outcome="kept", note="") if is_open else one)
        else:
            out.append(replace(one, outcome="broken", breaches=(*one.breaches, _breach(played, same))))
    return replace(played, findings=tuple(out))


def _breach(played: Played, same: Played) -> Breach:
    assert played.ended is not None
    return Breach(
        sentence=(
            f"the client ended with {played.ended.code} and in the same words as in {same.act.id}, where the request"
            " was refused and no job was made; expected: another exit code or another message"
        )
    )


def _ending(played: Played) -> tuple[int, str]:
    """Return how the client ended: its exit code, and the last thing that it said, without what always varies."""
    assert played.ended is not None
    said = played.ended.stderr.strip() or played.ended.stdout.strip()
    last = said.rpartition(b"\n")[2].decode("utf-8", "replace")
    return played.ended.code, _VARYING.sub("0", last).strip().lower()
