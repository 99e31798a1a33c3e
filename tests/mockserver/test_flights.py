"""Equal submits: which still count."""

from __future__ import annotations

import pytest

from mockserver.proxy import flights
from mockserver.proxy.flights import Flights, Kept

ANSWER = Kept(200, [(b"content-type", b"application/json")], b"{}")


def test_a_request_under_way_counts_however_long_it_takes() -> None:
    known = Flights(60_000)
    first = known.begin(b"k", "r-1", 0)

    assert first is known.find(b"k", 10_000_000)
    assert known.find(b"other", 0) is None


def test_an_answered_request_counts_for_the_window_from_its_answer_on() -> None:
    known = Flights(60_000)
    first = known.begin(b"k", "r-1", 0)
    known.answered(first, 100_000, ANSWER)

    assert known.find(b"k", 159_999) is first
    assert ANSWER == first.kept
    assert known.find(b"k", 160_000) is None
    assert 0 == len(known)


def test_a_lost_request_counts_and_has_no_answer() -> None:
    known = Flights(60_000)
    first = known.begin(b"k", "r-1", 0)
    known.lost(first, 5, "it was cut off")

    assert ("lost", None, "it was cut off") == (first.state, first.kept, first.why)
    assert known.find(b"k", 60_004) is first
    assert known.find(b"k", 60_005) is None


def test_a_request_that_came_to_nothing_does_not_count() -> None:
    known = Flights(60_000)
    known.void(known.begin(b"k", "r-1", 0), 1)

    assert known.find(b"k", 1) is None
    assert 0 == len(known)


def test_an_older_flight_does_not_end_a_newer_one() -> None:
    known = Flights(1_000)
    old = known.begin(b"k", "r-1", 0)
    known.lost(old, 0, "")
    assert known.find(b"k", 1_000) is None
    new = known.begin(b"k", "r-2", 1_000)
    known.void(old, 1_001)

    assert known.find(b"k", 1_002) is new


def test_no_window_remembers_nothing() -> None:
    known = Flights(0)
    known.answered(known.begin(b"k", "r-1", 0), 0, ANSWER)

    assert known.find(b"k", 0) is None


def test_what_is_remembered_is_bounded_and_what_is_under_way_is_never_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flights, "MOST", 100)
    known = Flights(60_000)
    under_way = known.begin(b"first", "r", 0)
    for number in range(500):
        known.answered(known.begin(b"%d" % number, "r", 0), 0, ANSWER)

    assert len(known) <= 101
    assert known.find(b"first", 1) is under_way
    assert known.find(b"499", 1) is not None


def test_the_bytes_of_all_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "MOST_BYTES", 1_000_000)
    known = Flights(60_000)
    for number in range(50):
        known.answered(known.begin(b"%d" % number, "r", 0), 0, Kept(200, [], bytes(100_000)))

    kept = [flight for number in range(50) if (flight := known.find(b"%d" % number, 1)) is not None]
    assert 5 <= len(kept) <= 10
