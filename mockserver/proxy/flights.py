"""Requests that make tasks, on their way and just arrived: an equal one within the window is held back.

Knows neither sockets nor clocks; times are milliseconds, of whatever clock the caller reads.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Literal

from mockserver.wire import HeaderList

MOST: Final = 10_000
"""Requests that are remembered; the oldest that have ended are forgotten first, and could then be sent again."""

MOST_BYTES: Final = 32 * 1024 * 1024
"""Bytes of all answers that are remembered."""

LARGEST_ANSWER: Final = 256 * 1024
"""Bytes of an answer that can be given twice."""

_OVERHEAD: Final = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it came, to be given again."""

    status: int
    headers: HeaderList
    body: bytes


@dataclass(slots=True, eq=False)
class Flight:
    """One request on its way, and what came of it.

    lost: it was sent, and nobody knows what the provider did.  `why` says how it was lost, `task` what it made.
    """

    key: bytes
    request_id: str
    sent_at: int
    state: Literal["under-way", "answered", "lost", "void"] = "under-way"
    ends_at: int = 0
    kept: Kept | None = None
    why: str = ""
    task: tuple[str, str] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Flights:
    """Those that count: under way, or ended less than a window ago.  A window of 0 remembers nothing."""

    def __init__(self, window_ms: int) -> None:
        """Take the window."""
        self.window_ms = window_ms
        self._known: dict[bytes, Flight] = {}
        self._makers: dict[tuple[str, str], Flight] = {}
        self._size_bytes = 0

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._known)

    def find(self, key: bytes, now: int) -> Flight | None:
        """Return the equal request that still counts."""
        known = self._known.get(key)
        if known is not None and known.state != "under-way" and known.ends_at <= now:
            self._forget(known)
            return None
        return known

    def begin(self, key: bytes, request_id: str, now: int) -> Flight:
        """Return the flight of a request that is about to be sent."""
        made = Flight(key=key, request_id=request_id, sent_at=now)
        if self.window_ms:
            self._known[key] = made
            self._size_bytes += _OVERHEAD
            self._make_room()
        return made

    def answered(self, flight: Flight, now: int, kept: Kept, task: tuple[str, str] | None = None) -> None:
        """Note the answer, which an equal request gets for a window from now on; `task` is (account, id)."""
        self._end(flight, "answered", now)
        if self._known.get(flight.key) is flight:
            flight.kept, flight.task = kept, task
            if task is not None:
                self._makers[task] = flight
            self._size_bytes += len(kept.body)
            self._make_room()

    def lost(self, flight: Flight, now: int, why: str) -> None:
        """Note that there is no answer to be had: what was sent may have been done all the same."""
        flight.why = why
        self._end(flight, "lost", now)

    def void(self, flight: Flight, now: int) -> None:
        """Note that nothing came of it: an equal request may be sent at once."""
        self._end(flight, "void", now)
        self._forget(flight)

    def ended_badly(self, task: tuple[str, str]) -> None:
        """Let a request pass again whose task came to nothing: who asks for the same wants another try."""
        flight = self._makers.get(task)
        if flight is not None:
            self._forget(flight)

    def _end(self, flight: Flight, state: Literal["answered", "lost", "void"], now: int) -> None:
        flight.state, flight.ends_at = state, now + self.window_ms
        flight.over.set()

    def _forget(self, flight: Flight) -> None:
        if self._known.get(flight.key) is flight:
            del self._known[flight.key]
            if flight.task is not None:
                self._makers.pop(flight.task, None)
            self._size_bytes -= _OVERHEAD + (len(flight.kept.body) if flight.kept is not None else 0)

    def _make_room(self) -> None:
        if len(self._known) <= MOST and self._size_bytes <= MOST_BYTES:
            return
        for flight in [one for one in self._known.values() if one.state != "under-way"]:
            self._forget(flight)
            if len(self._known) <= MOST * 0.9 and self._size_bytes <= MOST_BYTES * 0.9:
                return
