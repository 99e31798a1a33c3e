"""What is said of plans and wishes: which were met, which were not, and why."""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import Any

import pytest

from mockserver.server import curl_line
from mockserver.settings import Settings
from tests.mock import HOOK, KEY, Mock
from tests.providers import LIBRARY, contract

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


def test_a_pattern_deeper_than_any_request_is_refused_and_the_plan_can_still_be_read() -> None:
    with Mock() as mock:
        for depth, status in ((99, 201), (101, 409), (240, 409), (300, 409)):
            pattern = b'{"/prompt": ' + depth * b"[" + depth * b"]" + b"}"
            body = b'{"scenario": "slow", "match": {"body": ' + pattern + b"}}"
            reply = mock.call("POST", "/__admin/scenarios", body=body)
            assert status == reply.status, reply
        assert 1 == len(mock.get("/__admin/scenarios").json["plan"])


@pytest.mark.parametrize("provider", LIBRARY)
def test_what_is_found_wanting_in_a_prompt_is_not_laid_on_the_key(provider: str) -> None:
    with Mock(provider) as mock:
        line = shlex.split(curl_line(Settings(), contract(provider), ""))
        headers = dict(one.split(": ", 1) for flag, one in pairwise(line) if flag == "-H")
        reply = mock.call(
            "POST",
            line[2],
            body=line[-1].encode(),
            headers=headers | {"prefer": "scenario=moderation-at-create"},
        )

    assert "moderation-at-create" == reply.headers["x-mock-scenario"]
    assert 400 == reply.status


def test_success_keeps_a_plan_away_from_every_request() -> None:
    with Mock() as mock:
        made = mock.clip()
        mock.post("/__admin/scenarios", {"scenario": "internal-error"})
        for target in (CLIPS, f"{CLIPS}/{made}"):
            bad, good = (asked(mock, wish, target=target, method="GET") for wish in ("", "scenario=success"))
            assert (500, 200) == (bad.status, good.status)
            assert "success" == good.headers["x-mock-scenario"]
            assert "x-mock-note" not in good.headers


def test_what_is_counted_for_long_paths_is_short() -> None:
    with Mock() as mock:
        for number in range(3):
            asked(mock, "scenario=invalid; after=1", target=f"{CLIPS}/{number}{9_000 * 'x'}", method="GET")
        counts = mock.app.backend.tenants["default"].plan.counts

    assert 3 == len(counts)
    assert all(len(key) < 100 for key in counts)


def test_a_line_of_the_log_says_which_scenarios_a_request_met() -> None:
    with Mock(log="text") as mock:
        asked(mock, "scenario=internal-error, scenario=latency; seconds=1")
        asked(mock)
    first, second = mock.log.getvalue().splitlines()

    assert "  met internal-error, latency  " in first
    assert "met" not in second


@pytest.mark.parametrize(
    ("value", "wanted", "is_hit"),
    [
        (1, 1.0, True),
        (1, True, False),
        (False, 0, False),
        (True, True, True),
        (None, None, True),
        ([1, {"a": True}], [1, {"a": True}], True),
        ([1, {"a": True}], [1, {"a": 1}], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], [1, 2], False),
        ("1", 1, False),
    ],
)
def test_a_value_of_a_match_is_equal_as_json_is(value: Any, wanted: Any, is_hit: bool) -> None:
    with Mock() as mock:
        mock.post("/__admin/scenarios", {"scenario": "internal-error", "match": {"body": {"/any": wanted}}})
        reply = mock.call("POST", CLIPS, json={"prompt": "x", "any": value}, headers={"x-toy-key": KEY})

    assert is_hit == (500 == reply.status)


def test_a_preference_that_leads_nowhere_is_told_so() -> None:
    with Mock() as mock:
        stray = asked(mock, "scenario=latency", target="/toy/api/clops")
        plain = mock.call("POST", "/toy/api/clops", json={}, headers={"x-toy-key": KEY})

    assert stray.headers["x-mock-note"].endswith("the request reaches no operation")
    assert (404, False) == (plain.status, "x-mock-note" in plain.headers)


def test_a_code_that_is_to_be_counted_is_told_that_it_cannot() -> None:
    with Mock() as mock:
        reply = asked(mock, "code=429; times=2")

    assert 429 == reply.status
    assert reply.headers["x-mock-note"].startswith("code takes no parameters, and there are times")


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


def test_lognormal_latency_lies_around_its_median_with_its_spread_and_under_its_cap() -> None:
    def taken(wish: str) -> list[int]:
        out = []
        for _ in range(300):
            start = mock.wall()
            asked(mock, f"scenario=latency; shape=lognormal; seconds=1; {wish}")
            out.append(mock.wall() - start)
        return sorted(out)

    with Mock(log="off") as mock:
        wide, narrow, capped = taken("sigma=1"), taken("sigma=0.1"), taken("sigma=1; most=1.5")

    assert 800 < wide[150] < 1_250
    assert 900 < narrow[150] < 1_100
    # A standard deviation from the median: about 16 in a hundred lie beyond it on each side.
    assert 250 < wide[48] < 520
    assert 2_000 < wide[252] < 3_900
    assert narrow[0] > 650
    assert narrow[-1] < 1_500
    assert capped[-1] == 1_500
    assert 30 < capped.count(1_500) < 150


def test_a_key_ends_though_every_request_asks_for_its_end_again() -> None:
    with Mock() as mock:
        asking = [asked(mock, "scenario=key-revoked-midway").status for _ in range(4)]
        mock.call("DELETE", "/__admin/scenarios")
        mock.post("/__admin/scenarios", {"scenario": "key-revoked-midway", "with": {"reads": 2}})
        planned = [asked(mock).status for _ in range(5)]

    assert [200, 200, 401, 401] == asking
    assert [200, 200, 200, 401, 401] == planned


def test_an_entry_is_not_used_up_by_a_request_that_is_refused_or_names_no_address() -> None:
    with Mock() as mock:
        mock.post("/__admin/scenarios", {"scenario": "callback-lost", "times": 1})
        mock.post("/__admin/scenarios", {"scenario": "stuck-processing", "times": 1})
        headers = {"x-toy-key": KEY}
        refused = mock.call("POST", CLIPS, json={"prompt": 5}, headers=headers)
        unheard = mock.call("POST", CLIPS, json={"prompt": "a boat"}, headers=headers)
        heard, late = (
            mock.call("POST", CLIPS, json={"prompt": "a boat", "hook": HOOK}, headers=headers)
            for _ in range(2)
        )
        met = [entry["met"] for entry in mock.get("/__admin/scenarios").json["plan"]]

    assert 400 == refused.status
    told = [one.headers.get("x-mock-scenario") for one in (refused, unheard, heard, late)]
    assert [None, "stuck-processing; plan=plan-2", "callback-lost; plan=plan-1", None] == told
    assert [1, 1] == met


@pytest.mark.parametrize(
    "wish",
    [
        "scenario=callback-early, scenario=accepted-then-failed",
        "scenario=accepted-then-failed, scenario=callback-early",
    ],
)
def test_what_is_told_early_does_not_hang_on_the_order_of_the_wishes(wish: str) -> None:
    with Mock() as mock:
        headers = {"x-toy-key": KEY, "prefer": wish}
        start = mock.wall()
        mock.call("POST", CLIPS, json={"prompt": "a boat", "hook": HOOK}, headers=headers)
        calls = [(call.at - start, call.json["state"]) for call in mock.receivers.to(HOOK)]

    assert [(0, "broken")] == calls


def test_one_callback_has_no_order() -> None:
    with Mock("modellix") as mock:
        reply = mock.call(
            "POST",
            "/modellix/api/v1/kling/kling-v1-i2v/async",
            json={"image": "https://example.com/boat.png"},
            headers={
                "authorization": "Bearer key",
                "x-webhook-url": HOOK,
                "prefer": "scenario=callback-out-of-order",
            },
        )

    assert "x-mock-scenario" not in reply.headers
    assert reply.headers["x-mock-note"].endswith("tells of one state alone, and one callback has no order")


def test_callbacks_keep_their_order_where_reads_bring_them() -> None:
    with Mock(progress="polls") as mock:
        headers = {"x-toy-key": KEY, "prefer": "scenario=callback-out-of-order"}
        reply = mock.call("POST", CLIPS, json={"prompt": "a boat", "hook": HOOK}, headers=headers)

    assert "callback-out-of-order was not applied: no task moves by time here" == reply.headers["x-mock-note"]


def test_a_plan_for_a_reason_that_there_is_not_is_refused_and_one_that_there_is_waits_for_it() -> None:
    entry = {"scenario": "accepted-then-failed", "with": {"reason": "kling.image.pixels"}, "times": 1}
    with Mock("kling", "toy") as mock:
        wrong = mock.post(
            "/__admin/scenarios",
            entry | {"with": {"reason": "kling.image.pixel"}, "match": {"provider": "kling"}},
        )
        right = mock.post("/__admin/scenarios", entry)
        other = asked(mock)

    assert "kling.image.pixels" in wrong.json["detail"]
    assert (409, 201) == (wrong.status, right.status)
    assert "x-mock-note" not in other.headers
