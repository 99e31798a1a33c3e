"""What is said of plans and wishes: which were met, which were not, and why."""

from __future__ import annotations

from typing import Any

from tests.mock import KEY, Mock

CLIPS = "/toy/api/clips"


def asked(mock: Mock, wish: str = "", *, target: str = CLIPS, method: str = "POST") -> Any:
    body = {"prompt": "a boat"} if method == "POST" else None
    return mock.call(method, target, json=body, headers={"x-toy-key": KEY, "prefer": wish})


def test_a_key_that_was_revoked_earlier_is_no_preference_of_the_request_that_is_refused() -> None:
    with Mock() as mock:
        asked(mock, "scenario=key-revoked-midway; reads=0")
        refused = asked(mock)

    assert 401 == refused.status
    assert "key-revoked-midway" == refused.headers["x-mock-scenario"]
    assert "preference-applied" not in refused.headers


def test_a_request_that_after_or_times_leave_out_is_told_so() -> None:
    with Mock() as mock:
        first, second, third = (asked(mock, "scenario=rate-limited; after=1; times=1") for _ in range(3))

    note = "rate-limited was not applied: after and times leave this one out"
    assert [200, 429, 200] == [one.status for one in (first, second, third)]
    assert [note, note] == [one.headers["x-mock-note"] for one in (first, third)]


def test_a_scenario_beside_a_code_is_told_that_the_code_came_first() -> None:
    with Mock() as mock:
        reply = asked(mock, "scenario=internal-error, code=429")

    assert (429, "code=429") == (reply.status, reply.headers["preference-applied"])
    assert "internal-error was not applied: code=429 came first" == reply.headers["x-mock-note"]


def test_a_page_with_a_status_that_has_no_content_is_empty() -> None:
    with Mock() as mock:
        empty, page = (asked(mock, f"scenario=html-error-page; status={code}") for code in (204, 403))

    assert (204, b"") == (empty.status, empty.body)
    assert (403, True) == (page.status, page.body.startswith(b"<html>"))


def test_an_invalid_read_names_its_parameter() -> None:
    with Mock("kling") as mock:
        reply = mock.call(
            "GET",
            "/kling/v1/videos/text2video/order-1",
            headers={"authorization": "Bearer " + 32 * "k", "prefer": "scenario=invalid"},
        )

    assert "id value 'order-1' is invalid" == reply.json["message"]


def test_a_plan_that_cannot_be_met_says_what_stands_against_it() -> None:
    with Mock("kling") as mock:
        refused = mock.post("/__admin/scenarios", {"scenario": "canceled"})

    assert "no request can meet canceled so: no state of this provider is canceled" == refused.json["detail"]


def test_a_run_is_repeated_by_its_seed_whatever_the_entry_is_called() -> None:
    chaos = {"chaos": {"weights": {"empty-body": 1, "internal-error": 1}, "seed": 7}, "probability": 0.5}
    with Mock() as mock:
        mock.post("/__admin/scenarios", chaos)
        first = [asked(mock) for _ in range(20)]
        mock.call("DELETE", "/__admin/scenarios")
        mock.post("/__admin/scenarios", chaos | {"id": "again"})
        second = [asked(mock) for _ in range(20)]

    told = [one.headers.get("x-mock-scenario", "").replace("plan=again", "plan=plan-1") for one in second]
    assert [one.headers.get("x-mock-scenario", "") for one in first] == told
    assert len(set(told)) > 5


def test_a_run_goes_on_from_any_draw() -> None:
    chaos = {"weights": {"empty-body": 1, "internal-error": 1}, "seed": 7}
    with Mock() as mock:
        mock.post("/__admin/scenarios", {"chaos": chaos, "probability": 0.5})
        whole = [asked(mock).headers.get("x-mock-scenario") for _ in range(20)]
        mock.call("DELETE", "/__admin/scenarios")
        mock.post("/__admin/scenarios", {"id": "plan-1", "chaos": chaos | {"draw": 11}, "probability": 0.5})
        rest = [asked(mock).headers.get("x-mock-scenario") for _ in range(10)]

    assert whole[10:] == rest


def test_latency_without_an_upper_end_is_drawn_from_once_to_twice_the_least() -> None:
    with Mock() as mock:
        taken = []
        for _ in range(20):
            start = mock.wall()
            asked(mock, "scenario=latency; shape=uniform; seconds=1")
            taken.append(mock.wall() - start)

    assert all(1_000 <= one <= 2_001 for one in taken)
    assert len(set(taken)) > 10
