"""The verdict: acts by laws, and for each broken law the acts that show it.

Pure: knows what was found, not how it is printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from mockserver.rehearsal.run import Orders, Played
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
    """What came of a rehearsal.  `played` are all acts that were wanted, those that were not played included."""

    orders: Orders
    played: tuple[Played, ...]
    laws: tuple[Law, ...]

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
        reached = {
            found.law for one in self.played for found in one.findings if found.outcome == "kept"
        }
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
        notes = [found.note for one in self.done for found in one.findings if found.law == law.id and found.note]
        return max(notes, key=notes.count) if notes else f"reached where {law.reach}"


def verdict(orders: Orders, played: Sequence[Played]) -> Verdict:
    """Return the verdict on all acts, with what only two of them together show."""
    wanted = tuple(LAWS) if orders.laws is None else orders.laws
    compared = tuple(_compared(played)) if TELLING in wanted else tuple(played)
    return Verdict(
        orders=orders, played=compared, laws=tuple(law for name, law in LAWS.items() if name in wanted)
    )


def _compared(played: Sequence[Played]) -> Iterator[Played]:
    """Yield the acts, those of failed jobs with what is wrong where a refused request ends in the same words."""
    refused = [(_ending(one), one) for one in played if one.is_played and one.fate == "refused"]
    for one in played:
        if not one.is_played or one.fate != "failed" or not refused:
            yield one
            continue
        same = next((other for ending, other in refused if ending == _ending(one)), None)
        if same is None:
            yield _with(one, Finding(law=TELLING, outcome="kept"))
            continue
        assert one.ended is not None
        sentence = (
            f"the client ended with {one.ended.code} and in the same words as in {same.act.id}, where the request was"
            " refused and no job was made; expected another exit code or another message"
        )
        yield _with(one, Finding(law=TELLING, outcome="broken", breaches=(Breach(sentence=sentence),)))


def _with(played: Played, finding: Finding) -> Played:
    """Return an act with a further finding about a law: a breach outweighs, what was not reached counts least."""
    out = []
    for one in played.findings:
        if one.law != finding.law:
            out.append(one)
        elif "broken" in (one.outcome, finding.outcome):
            out.append(replace(one, outcome="broken", breaches=(*one.breaches, *finding.breaches)))
        else:
            out.append(replace(one, outcome="kept", note="") if finding.outcome == "kept" else one)
    return replace(played, findings=tuple(out))


def _ending(played: Played) -> tuple[int, str]:
    """Return how the client ended: its exit code, and the last thing that it said, without what always varies."""
    assert played.ended is not None
    said = played.ended.stderr.strip() or played.ended.stdout.strip()
    last = said.rpartition(b"\n")[2].decode("utf-8", "replace")
    return played.ended.code, _VARYING.sub("0", last).strip().lower()
