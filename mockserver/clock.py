"""Time: the only module that reads it.

A tenant's clock is a straight line over the wall clock: real (slope 1), scaled, or frozen (slope 0).
All its times are integers, milliseconds since the epoch.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, Protocol

from validator.contract.expressions import LATEST

Mode = Literal["real", "scaled", "frozen"]


class Wall(Protocol):
    """Where time comes from."""

    def __call__(self) -> int:
        """Return milliseconds since the epoch."""
        ...


def wall_ms() -> int:
    """Return the machine's time, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def stopwatch() -> float:
    """Return seconds from an arbitrary start, for measuring how long something took."""
    return time.perf_counter()


@dataclass(slots=True)
class Clock:
    """One tenant's time: `now = base + speed * (wall - base_wall)`; speed 0 is a clock at rest."""

    wall: Wall
    base: int
    base_wall: int
    speed: float

    @staticmethod
    def real(wall: Wall = wall_ms, *, speed: float = 1.0) -> Clock:
        """Return a clock that shows the wall's time now and runs on at this speed."""
        now = wall()
        return Clock(wall=wall, base=now, base_wall=now, speed=speed)

    @property
    def mode(self) -> Mode:
        """Return how the clock runs."""
        return "frozen" if self.speed == 0 else "real" if self.speed == 1 else "scaled"

    def now(self) -> int:
        """Return the time of the clock, which stops at the end of the year 9999."""
        if self.speed == 0:
            return self.base
        return min(self.base + int((self.wall() - self.base_wall) * self.speed), LATEST)

    def set(self, *, now: int | None = None, speed: float | None = None) -> None:
        """Move the hand to a time, change the speed, or both."""
        at = self.now() if now is None else now
        self.base, self.base_wall = at, self.wall()
        if speed is not None:
            self.speed = speed

    def seconds_until(self, at: int) -> float:
        """Return the wall clock's seconds until this clock shows a time: 0 when it did, inf when it never will."""
        left = at - self.now()
        if left <= 0:
            return 0.0
        return math.inf if self.speed == 0 else left / self.speed / 1000
