"""Is there an order in which a server could have done all of it?  A search for one, after Wing and Gong.

A history is linearizable when its calls can be put into one order that a sequential model agrees with, and in which
no call stands before one that had ended when it began.  The search walks through the orders that are possible by
time, and remembers which sets of calls led to which states, so that it comes to no place twice.

Source: Wing and Gong, Testing and verifying concurrent objects, 1993; the memory after Lowe, 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True)
class Call:
    """One call of a client: what was asked, what was answered, when it began and ended."""

    client: int
    asked: Any
    answered: Any
    begun: int
    ended: int


Step = Callable[[S, Any, Any], S | None]
"""(state, what was asked, what was answered) -> the state afterwards, None where the model answers otherwise."""


@dataclass(frozen=True)
class Finding:
    """The longest order that was found, and the calls that are left: none where the history is linearizable."""

    order: list[Call]
    left: list[Call]

    def __bool__(self) -> bool:
        return not self.left

    def __str__(self) -> str:
        """Return how far it went, and what could have come next and did not fit."""
        shown = [f"fits      {_line(call)}" for call in self.order[-12:]]
        first_end = min((call.ended for call in self.left), default=0)
        shown += [f"fits not  {_line(call)}" for call in self.left if call.begun <= first_end]
        return "\n".join(shown)


def _line(call: Call) -> str:
    return f"client {call.client}, {call.begun} to {call.ended}: {call.asked} -> {call.answered}"


def linearization(history: Sequence[Call], initial: S, step: Step[S]) -> Finding:
    """Return an order of the calls that the model agrees with, as far as there is one."""
    calls = sorted(history, key=lambda call: call.begun)
    everything = (1 << len(calls)) - 1
    seen: set[tuple[int, S]] = set()
    order: list[int] = []
    longest: list[int] = []
    done, state = 0, initial
    # What was done before, what was the state then, and which calls were not yet tried there.
    trail = [(done, state, iter(_candidates(calls, done)))]
    while done != everything:
        done, state, untried = trail[-1]
        for index in untried:
            after = step(state, calls[index].asked, calls[index].answered)
            if after is None or (place := (done | 1 << index, after)) in seen:
                continue
            seen.add(place)
            order.append(index)
            if len(order) > len(longest):
                longest = order[:]
            done, state = place
            trail.append((done, state, iter(_candidates(calls, done))))
            break
        else:
            trail.pop()
            if not trail:
                break
            order.pop()
    left = set(range(len(calls))) - set(longest)
    return Finding([calls[index] for index in longest], [calls[index] for index in sorted(left)])


def _candidates(calls: Sequence[Call], done: int) -> list[int]:
    """Return the calls that may come next: no other one that is left had ended when they began."""
    out = []
    first_end = None
    for index, call in enumerate(calls):
        if done >> index & 1:
            continue
        if first_end is not None and call.begun > first_end:
            break
        out.append(index)
        first_end = call.ended if first_end is None else min(first_end, call.ended)
    return [index for index in out if first_end is None or calls[index].begun <= first_end]


def overlaps(history: Sequence[Call]) -> int:
    """Return how many pairs of calls were under way at the same time."""
    calls = sorted(history, key=lambda call: call.begun)
    found = 0
    for index, call in enumerate(calls):
        for later in calls[index + 1 :]:
            if later.begun >= call.ended:
                break
            found += 1
    return found
