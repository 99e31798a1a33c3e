"""Pull mode: deliveries for those who cannot be called, with the same order, bytes and retries as those sent."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mockserver.callbacks import REPORT_GRACE_S
from tests.mock import HOOK, NOON, Mock


@pytest.fixture
def mock() -> Iterator[Mock]:
    """A server of the toy, its clock at rest, whose deliveries are pulled."""
    with Mock(log="off") as made:
        made.freeze()
        made.admin("PUT", "/deliveries/mode", {"mode": "pull"})
        yield made


def pull(mock: Mock, wait: str = "0s", *, tenant: str = "") -> Any:
    """Return what is handed out, None for nothing."""
    reply = mock.call("GET", f"{'/t/' + tenant if tenant else ''}/__admin/deliveries/next?wait={wait}")
    assert reply.status in (200, 204), reply
    return reply.json if reply.status == 200 else None


def answer(mock: Mock, handout: Any, **said: Any) -> Any:
    """Report what came of it; return the delivery."""
    return mock.admin("POST", f"/deliveries/{handout['id']}/answer", said)


def test_what_falls_due_is_not_sent_but_handed_out_in_order(mock: Mock) -> None:
    made = mock.clip(hook=HOOK)
    assert pull(mock) is None, "nothing is due yet"
    mock.advance("PT1M")

    first = pull(mock)
    assert pull(mock) is None, "the next news of a task waits for what came of this"
    done = answer(mock, first, status=204)
    second = pull(mock)
    answer(mock, second, status=200)

    assert [] == mock.receivers.calls
    assert [("working", made, 1), ("done", made, 1)] == [
        (one["state"], one["task"], one["attempt"]) for one in (first, second)
    ]
    assert ("POST", HOOK) == (first["method"], first["url"])
    assert ("delivered", None) == (done["status"], done["next_at"])
    assert [("pull", 204, "")] == [(one["how"], one["status"], one["error"]) for one in done["attempts"]]
    assert pull(mock) is None


def test_bytes_and_headers_are_those_that_would_have_been_sent() -> None:
    def run(mode: str) -> tuple[Any, Any]:
        with Mock(log="off", secrets={"toy": "whsec_dW5kZXJzdHVkeS13ZWJob29r"}) as mock:
            mock.freeze()
            mock.admin("PUT", "/deliveries/mode", {"mode": mode})
            mock.clip(hook=HOOK)
            mock.advance("PT2S")
            if mode == "push":
                (call,) = mock.receivers.calls
                (kept,) = [one for one in mock.deliveries() if one["attempts"]]
                assert call.body == base64.b64decode(kept["body_base64"])
                return call.body, dict(call.headers)
            handout = pull(mock)
            return (
                base64.b64decode(handout["body_base64"]),
                {name.lower(): value for name, value in handout["headers"]},
            )

    pushed, pulled = run("push"), run("pull")

    assert pushed == pulled
    assert json.loads(pulled[0]) and "content-type" in pulled[1]


def test_a_failure_is_tried_again_after_the_usual_wait(mock: Mock) -> None:
    mock.clip(hook=HOOK)
    mock.advance("PT2S")

    refused = answer(mock, pull(mock), status=503)

    assert ("retrying", "2026-01-01T12:00:03.000Z") == (refused["status"], refused["next_at"])
    assert pull(mock) is None, "it is not due again"
    mock.advance("PT1S")
    again = pull(mock)
    assert (refused["id"], 2, refused["body_base64"]) == (again["id"], again["attempt"], again["body_base64"])
    gone = answer(mock, again, error="connection refused")
    assert [(503, ""), (None, "connection refused")] == [
        (one["status"], one["error"]) for one in gone["attempts"]
    ]


def test_without_a_word_it_counts_as_an_attempt_without_answer(mock: Mock) -> None:
    mock.clip(hook=HOOK)
    mock.advance("PT2S")
    handout = pull(mock)

    mock.wait(handout["report_within_s"] + REPORT_GRACE_S + 0.1)

    (kept,) = [one for one in mock.deliveries() if one["attempts"]]
    assert "retrying" == kept["status"]
    assert "did not say" in kept["attempts"][0]["error"]
    late = mock.call("POST", f"/__admin/deliveries/{handout['id']}/answer", json={"status": 200})
    assert (409, "Not handed out") == (late.status, late.json["title"])


def test_a_puller_waits_for_what_is_to_come() -> None:
    with Mock(log="off") as mock:
        mock.admin("PUT", "/deliveries/mode", {"mode": "pull"})
        mock.clip(hook=HOOK)
        begun = mock.wall.at

        handout = pull(mock, "10s")

        assert "working" == handout["state"]
        assert 2_000 <= mock.wall.at - begun < 2_100
        answer(mock, handout, status=200)
        assert pull(mock, "1s") is None


def test_two_pullers_are_handed_different_deliveries(mock: Mock) -> None:
    for _ in range(2):
        mock.clip(hook=HOOK)
    mock.advance("PT2S")

    first, second, third = pull(mock), pull(mock), pull(mock)

    assert first["task"] != second["task"]
    assert third is None


def test_a_puller_that_hung_up_is_handed_nothing(mock: Mock) -> None:
    async def run() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/__admin/deliveries/next",
            "raw_path": b"/__admin/deliveries/next",
            "query_string": b"wait=60s",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8700")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8700),
        }
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            await asyncio.sleep(0)
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            return None

        await mock.app(scope, receive, send)

    mock.clip(hook=HOOK)
    mock.run(run())
    assert mock.wall.at < NOON + 1_000, "it did not wait out its minute"
    mock.advance("PT2S")

    assert pull(mock) is not None


def test_a_puller_that_waits_is_told_that_the_mode_changed(mock: Mock) -> None:
    async def both() -> tuple[int, int]:
        waiting = asyncio.ensure_future(mock.send("GET", "/__admin/deliveries/next?wait=60s"))
        await asyncio.sleep(1)
        await mock.send("PUT", "/__admin/deliveries/mode", json={"mode": "push"})
        return (await waiting).status, mock.wall.at

    begun = mock.wall.at
    status, at = mock.run(both())

    assert (204, 1_000) == (status, at - begun)


def test_back_to_pushing_what_waits_is_sent(mock: Mock) -> None:
    mock.clip(hook=HOOK)
    mock.advance("PT1M")

    mock.admin("PUT", "/deliveries/mode", {"mode": "push"})
    mock.settle()

    assert ["working", "done"] == [call.json["state"] for call in mock.receivers.calls]
    assert {"mode": "push"} == mock.admin("GET", "/deliveries/mode")


def test_a_reset_means_pushing_again(mock: Mock) -> None:
    mock.clip(hook=HOOK)
    mock.advance("PT2S")
    handout = pull(mock)

    mock.admin("POST", "/reset")

    assert {"mode": "push"} == mock.admin("GET", "/deliveries/mode")
    late = mock.call("POST", f"/__admin/deliveries/{handout['id']}/answer", json={"status": 200})
    assert 404 == late.status
    mock.clip(hook=HOOK)
    mock.wait(2.1)
    assert ["working"] == [call.json["state"] for call in mock.receivers.calls]


def test_another_tenant_is_pushed_to_and_pulls_nothing(mock: Mock) -> None:
    mock.freeze(tenant="blue")
    mock.clip(hook=HOOK)
    mock.clip(hook=HOOK, base="/t/blue/toy/api")
    mock.advance("PT2S")
    mock.advance("PT2S", tenant="blue")

    assert pull(mock, tenant="blue") is None
    assert 1 == len(mock.receivers.calls)
    assert pull(mock) is not None


def test_a_frozen_clock_moves_on_while_deliveries_wait(mock: Mock) -> None:
    mock.clip(hook=HOOK)

    events = [mock.admin("POST", "/clock/advance", {"to": "next-event"})["events"] for _ in range(3)]

    assert ["working", "done"] == [event["state"] for step in events for event in step]
    assert "working" == pull(mock)["state"]


# --- scenarios --------------------------------------------------------------------------------------------


def test_what_a_scenario_loses_is_not_handed_out_in_either_mode(mock: Mock) -> None:
    lost = mock.create(hook=HOOK, headers={"prefer": "scenario=callback-lost"})
    assert lost.headers["preference-applied"]
    mock.advance("PT1M")
    assert pull(mock) is None
    mock.admin("PUT", "/deliveries/mode", {"mode": "push"})
    mock.create(hook=HOOK, key="other", headers={"prefer": "scenario=callback-lost"})
    mock.advance("PT10M")

    assert pull(mock) is None
    assert [] == mock.receivers.calls
    kept = mock.deliveries()
    assert {"failed"} == {one["status"] for one in kept}
    assert {"pull", "push"} == {attempt["how"] for one in kept for attempt in one["attempts"]}


def test_what_a_scenario_sends_twice_is_handed_out_twice(mock: Mock) -> None:
    mock.create(hook=HOOK, headers={"prefer": "scenario=callback-duplicated"})
    mock.advance("PT2S")

    first = pull(mock)
    assert "retrying" == answer(mock, first, status=200)["status"]
    mock.advance("PT8S")
    again = pull(mock)

    assert (first["id"], first["body_base64"], 2) == (again["id"], again["body_base64"], again["attempt"])


# --- where the server sends itself ------------------------------------------------------------------------


def test_what_reached_nobody_can_be_pulled_and_what_was_answered_cannot() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        mock.receivers.always |= {HOOK: OSError("connection refused"), "http://receiver.test/sad": 400}
        made = mock.clip(hook=HOOK)
        mock.clip(hook="http://receiver.test/sad", key="other")
        mock.advance("PT2S")

        handout = pull(mock)

        assert (made, "working", 2) == (handout["task"], handout["state"], handout["attempt"])
        assert pull(mock) is None
        done = answer(mock, handout, status=200)
        assert ("delivered", ["push", "pull"]) == (done["status"], [one["how"] for one in done["attempts"]])
        mock.receivers.always.clear()
        mock.advance("PT10S")
        assert "done" == mock.receivers.to(HOOK)[-1].json["state"], "later news are sent as usual"


def test_what_was_given_up_can_be_pulled_once() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        mock.receivers.always[HOOK] = OSError("no such host")
        mock.clip(hook=HOOK)
        mock.advance("PT10M")
        assert {"failed"} == {one["status"] for one in mock.deliveries()}

        states = []
        while (handout := pull(mock)) is not None:
            states.append(handout["state"])
            answer(mock, handout, error="still nobody")

        assert ["done", "working"] == sorted(states)
        assert {"failed"} == {one["status"] for one in mock.deliveries()}


def test_a_puller_waits_for_what_will_reach_nobody() -> None:
    with Mock(log="off") as mock:
        mock.receivers.always[HOOK] = OSError("connection refused")
        mock.clip(hook=HOOK)

        assert "working" == pull(mock, "10s")["state"]


@pytest.mark.parametrize(
    "said",
    [{}, {"status": 99}, {"status": 600}, {"status": "200"}, {"error": ""}, {"status": 200, "error": "x"}],
)
def test_an_answer_that_cannot_be_is_refused(mock: Mock, said: Any) -> None:
    mock.clip(hook=HOOK)
    mock.advance("PT2S")
    handout = pull(mock)

    reply = mock.call("POST", f"/__admin/deliveries/{handout['id']}/answer", json=said)

    assert (400, "Not valid") == (reply.status, reply.json["title"])
    assert "delivered" == answer(mock, handout, status=200.0)["status"], "it is still in the puller's hands"


def test_a_look_without_a_body_takes_nothing(mock: Mock) -> None:
    mock.clip(hook=HOOK)
    mock.advance("PT2S")

    assert 204 == mock.call("HEAD", "/__admin/deliveries/next").status
    assert pull(mock) is not None
