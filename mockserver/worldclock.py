"""The time of a world, as a program moves it and hands it to a client in place of the machine's."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from types import MethodType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from mockserver.app import App
from mockserver.records import (
    Event,
    event_of,
)
from mockserver.steering import Control, WorldError
from validator.contract.durations import milliseconds
from validator.contract.expressions import LATEST, Json

if TYPE_CHECKING:
    pass


TURN_S: Final = 1.0
"""Real seconds that a sleeper waits for others to move the clock; that takes milliseconds."""

PATIENCE_S: Final = 30.0
"""The same for those who want to move it themselves: longer than receivers are given to answer."""

MOST_STEPS: Final = 100_000
"""Events in a row after which a world counts as one that never comes to rest."""


class Events(tuple[Event, ...]):
    """What happened, in order; `is_truncated` where there was more than is told at a time."""

    is_truncated: bool = False


class WorldClock:
    """The time of one world.

    At rest it moves only when it is told to, and then everything that falls due on the way happens before the call
    returns.  `sleep`, `time` and the like are stand-ins for those of the standard library, to be handed to a client.
    """

    def __init__(self, control: Control, app: App | None, tenant: str) -> None:
        """Steer the clock of a tenant, which is made by being asked.  Raises WorldError for a name it cannot have."""
        began = control.call("GET", "/clock", has="now_ms")["now_ms"]
        self._control, self._app, self._tenant = control, app, tenant
        # One mover at a time: the server refuses a second one while a clock is being moved.
        self._moving = threading.RLock()
        self._sleepers: list[tuple[int, int]] = []
        self._count = itertools.count()
        self._on_move: Callable[[], None] = lambda: None
        # Whoever moves the clock waits for the answers to callbacks: who gives one need not wait for the clock.
        self._is_answering: Callable[[], bool] = lambda: False
        self.moves = 0
        self._began: int = began

    # --- looking

    @property
    def ms(self) -> int:
        """Return the time in milliseconds since the epoch."""
        # Looked up without a detour through the server's thread: a client that polls asks often.
        held = self._app.backend.tenants.get(self._tenant) if self._app is not None else None
        if held is not None:
            return held.clock.now()
        now: int = self._control.call("GET", "/clock", has="now_ms")["now_ms"]
        return now

    @property
    def now(self) -> datetime:
        """Return the time, in UTC."""
        return _moment(self.ms)

    @property
    def speed(self) -> float:
        """Return how many of its seconds pass in one real second: 0 at rest."""
        held = self._app.backend.tenants.get(self._tenant) if self._app is not None else None
        if held is not None:
            return held.clock.speed
        speed: float = self._control.call("GET", "/clock", has="speed")["speed"]
        return speed

    @speed.setter
    def speed(self, speed: float) -> None:
        change: dict[str, Json] = {"mode": "frozen"}
        if speed:
            change = {"mode": "real"} if speed == 1 else {"mode": "scaled", "speed": speed}
        self._set(change)

    @property
    def is_frozen(self) -> bool:
        """Tell whether it is at rest."""
        return self.speed == 0

    def freeze(self) -> None:
        """Put it to rest."""
        self.speed = 0

    def set(self, now: datetime) -> None:
        """Move it to a moment; what falls due on the way happens.  Backwards only before there are tasks."""
        if now.tzinfo is None:
            raise WorldError("a moment needs a time zone: datetime(2026, 1, 1, tzinfo=UTC)")
        self._set({"now": round(now.timestamp() * 1000)})
        self._began = min(self._began, self.ms)

    def _set(self, change: Mapping[str, Json]) -> None:
        with self._held():
            self._control.call("PUT", "/clock", change, has="mode")
            self.moves += 1

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Keep others from moving the clock."""
        if not self._moving.acquire(timeout=0 if self._is_answering() else PATIENCE_S):
            raise WorldError(
                "the clock is being moved by another thread, which may be waiting for this one:"
                " who answers a callback cannot move the clock"
            )
        try:
            yield
        finally:
            self._moving.release()

    # --- moving

    def advance(self, by: str | timedelta | float) -> Events:
        """Move on by an ISO 8601 duration ("PT5M"), a timedelta or seconds; return what happened on the way.

        Callbacks have been answered, and those that failed were tried again as often as the time allowed.
        """
        if isinstance(by, str):
            try:
                # An admin API that refuses it speaks of schemas.
                milliseconds(by if by not in ("P", "PT") else "")
            except ValueError:
                raise WorldError(
                    f"'{by}' is no time to move on by: write an ISO 8601 duration such as PT5M, PT90S or P1D,"
                    " or seconds as a number"
                ) from None
            return self._advance({"by": by})
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        if not 0 <= seconds < math.inf:
            raise WorldError(f"a clock cannot be moved on by {seconds:g} s")
        if self.ms + seconds * 1000 > LATEST:
            raise WorldError(f"{seconds:,.0f} s from now lies beyond the year 9999, where the clock ends")
        return self._advance({"to": self.ms + math.ceil(seconds * 1000)})

    def advance_to_next_event(self) -> Events:
        """Move on to when a task next changes or a delivery is next tried; nothing happens where none is to come."""
        return self._advance({"to": "next-event"})

    def run_until_idle(self) -> Events:
        """Move on until no task changes any more and no delivery is left to be tried.

        A task that never ends is left as it is.  Raises WorldError where things go on happening for ever.
        """
        out: list[Event] = []
        is_truncated = False
        for _ in range(MOST_STEPS):
            before = self.ms
            events = self.advance_to_next_event()
            out += events
            is_truncated = is_truncated or events.is_truncated
            if not events and self.ms == before:
                return _events(out, is_truncated=is_truncated)
        raise WorldError(f"after {MOST_STEPS:,} steps there is still something to come")

    def _advance(self, value: Mapping[str, Json]) -> Events:
        with self._held():
            told = self._control.call("POST", "/clock/advance", value, has="events")
            self.moves += 1
            self._on_move()
        return _events(map(event_of, told["events"]), is_truncated=told["is_truncated"])

    # --- stand-ins

    def time(self) -> float:
        """Return the seconds since the epoch, as `time.time` does."""
        return self.ms / 1000

    def monotonic(self) -> float:
        """Return the seconds since this world began, as `time.monotonic` does for some beginning."""
        return (self.ms - self._began) / 1000

    def sleep(self, seconds: float) -> None:
        """Let so many of its seconds pass, as `time.sleep` does of real ones.

        At rest the clock is moved on by them; a clock that runs is waited for.
        """
        wake, speed = self._wake(seconds)
        if speed:
            threading.Event().wait(seconds / speed)
            return
        self._move_to(wake)

    async def async_sleep(self, seconds: float, result: Any = None) -> Any:
        """Do the same as `asyncio.sleep` does; of several that sleep at once the one that wakes first goes first."""
        if seconds <= 0:
            return await asyncio.sleep(0, result)
        wake, speed = self._wake(seconds)
        if speed:
            return await asyncio.sleep(seconds / speed, result)
        mine = (wake, next(self._count))
        self._sleepers.append(mine)
        try:
            # Those who begin to sleep at the same moment are all heard first.
            await asyncio.sleep(0)
            # They may belong to other loops, which an event of this one could not be waited for in.
            while min(self._sleepers) != mine:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            # A receiver in this very loop must be able to answer while the clock moves: so it is moved elsewhere.
            await asyncio.to_thread(self._move_to, wake)
        finally:
            self._sleepers.remove(mine)
        return result

    def _move_to(self, wake: int) -> None:
        if not self._moving.acquire(timeout=0 if self._is_answering() else TURN_S):
            # Whoever moves it waits for an answer to a callback, most likely of this very thread: it sleeps no time.
            return
        try:
            if self.ms < wake:
                self._advance({"to": wake})
        finally:
            self._moving.release()

    def _wake(self, seconds: float) -> tuple[int, float]:
        if not 0 <= seconds < math.inf:
            raise ValueError(f"sleep length must be non-negative, and finite: {seconds}")
        return self.ms + math.ceil(seconds * 1000), self.speed


def _events(events: Iterable[Event], *, is_truncated: bool) -> Events:
    out = Events(events)
    out.is_truncated = is_truncated
    return out


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _datetime_on(clock: WorldClock) -> type[datetime]:
    """Return a stand-in for the class datetime whose `now` is that of a clock.  What it makes are real ones."""

    class OnClock(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, datetime)

    class Driven(datetime, metaclass=OnClock):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return datetime(*args, **kwargs)

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.time(), tz)

        @classmethod
        def today(cls) -> Any:
            return datetime.fromtimestamp(clock.time())

        @classmethod
        def utcnow(cls) -> Any:
            return _moment(clock.ms).replace(tzinfo=None)

    Driven.__name__ = Driven.__qualname__ = "datetime"
    return Driven


def stand_ins(module: ModuleType, clock: WorldClock) -> dict[str, Any]:
    """Return what to put in place of the names by which a module reaches time and sleeping.

    The modules `time`, `asyncio` and `datetime` under any name, their functions imported by themselves, and the class
    of the last.
    """
    functions = {
        "time.time": clock.time,
        "time.monotonic": clock.monotonic,
        "time.perf_counter": clock.monotonic,
        "time.time_ns": lambda: clock.ms * 1_000_000,
        "time.monotonic_ns": lambda: round(clock.monotonic() * 1_000_000_000),
        "time.sleep": clock.sleep,
        "asyncio.tasks.sleep": clock.async_sleep,
    }
    out: dict[str, Any] = {}
    for name, value in vars(module).items():
        if value is datetime:
            out[name] = _datetime_on(clock)
        elif isinstance(value, ModuleType) and value.__name__ == "datetime":
            out[name] = SimpleNamespace(**{**vars(value), "datetime": _datetime_on(clock)})
        elif isinstance(value, ModuleType) and value.__name__ in ("time", "asyncio"):
            own = {
                key.rpartition(".")[2]: function
                for key, function in functions.items()
                if key.partition(".")[0] == value.__name__
            }
            out[name] = SimpleNamespace(**{**vars(value), **own})
        elif inspect.isbuiltin(value) or inspect.isfunction(value):
            # Of these alone, since other things may answer to every name, or to none without complaint.
            known = f"{value.__module__}.{value.__name__}"
            if known in functions:
                out[name] = functions[known]
    return out


def is_driven(module: ModuleType) -> bool:
    """Tell whether a module has stand-ins of some clock already."""
    known = [
        value.sleep
        for value in vars(module).values()
        if type(value) is SimpleNamespace and hasattr(value, "sleep")
    ]
    known += vars(module).values()
    return any(isinstance(one, MethodType) and isinstance(one.__self__, WorldClock) for one in known)
