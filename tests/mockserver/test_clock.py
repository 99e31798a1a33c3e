"""Clocks: straight lines over the wall clock, which a test moves by hand."""

from __future__ import annotations

import math

from mockserver.clock import Clock, stopwatch, wall_ms
from tests.mock import NOON, Wall
from validator.contract.expressions import iso


def test_a_real_clock_shows_the_wall() -> None:
    wall = Wall()
    clock = Clock.real(wall)

    wall.at += 1_234

    assert clock.now() == NOON + 1_234
    assert clock.mode == "real"


def test_a_scaled_clock_runs_faster_from_now_on() -> None:
    wall = Wall()
    clock = Clock.real(wall, speed=60)

    wall.at += 1_000

    assert clock.now() == NOON + 60_000
    assert clock.mode == "scaled"


def test_a_frozen_clock_stands() -> None:
    wall = Wall()
    clock = Clock.real(wall)
    wall.at += 500

    clock.set(speed=0)
    wall.at += 1_000_000

    assert clock.now() == NOON + 500
    assert clock.mode == "frozen"


def test_a_change_of_speed_does_not_move_the_hand() -> None:
    wall = Wall()
    clock = Clock.real(wall)
    seen = []
    for speed in (60.0, 0.0, 0.5, 1.0):
        wall.at += 1_000
        before = clock.now()
        clock.set(speed=speed)
        seen.append(clock.now() - before)

    assert seen == [0, 0, 0, 0]
    assert clock.now() == NOON + 1_000 + 60_000 + 0 + 500


def test_the_hand_is_set_and_runs_on_from_there() -> None:
    wall = Wall()
    clock = Clock.real(wall, speed=2)
    wall.at += 10

    clock.set(now=5_000)
    wall.at += 10

    assert clock.now() == 5_020


def test_waiting_is_told_in_seconds_of_the_wall() -> None:
    wall = Wall()
    clock = Clock.real(wall, speed=10)

    assert clock.seconds_until(NOON + 20_000) == 2.0
    assert clock.seconds_until(NOON) == 0.0
    assert clock.seconds_until(NOON - 1) == 0.0


def test_a_clock_at_rest_never_gets_there() -> None:
    clock = Clock.real(Wall())
    clock.set(speed=0)

    assert clock.seconds_until(NOON + 1) == math.inf
    assert clock.seconds_until(NOON) == 0.0


def test_the_wall_is_in_milliseconds_since_1970() -> None:
    assert 1_750_000_000_000 < wall_ms() < 10_000_000_000_000


def test_the_stopwatch_goes_forward() -> None:
    assert stopwatch() <= stopwatch()


def test_a_fast_clock_stops_at_the_last_day_a_date_can_be_written_for() -> None:
    wall = Wall()
    clock = Clock.real(wall, speed=1_000_000)

    wall.at += 10_000_000_000

    assert "9999-12-31T23:59:59.999Z" == iso(clock.now())
    assert "9999-12-31T23:59:59.999Z" == iso(clock.now() + 1)
