"""A receiver of callbacks, and waiting for them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import pytest

from mockserver import worldclock
from mockserver.inbox import Call, Receiver
from mockserver.settings import Settings
from mockserver.stage import Stage
from mockserver.story import story
from mockserver.world import World
from tests.plugin.acting import Kling


def post(url: str, body: bytes = b"{}", **headers: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    try:
        connection.request(
            "POST", parts.path, body, {key.replace("_", "-"): value for key, value in headers.items()}
        )
        return connection.getresponse().status
    finally:
        connection.close()


def test_waiting_for_a_call_moves_a_clock_at_rest_as_far_as_needed(world: World) -> None:
    Kling(world).make(callback_url=world.inbox.url)

    first = world.inbox.wait_for(1)
    assert "processing" == first.json["task_status"]
    assert 2_000 == world.clock.ms - round(world.tasks[0].created.timestamp() * 1000)

    second = world.inbox.wait_for(lambda call: call.json["task_status"] == "succeed")
    assert (second, 2) == (world.inbox.calls[1], len(world.inbox.calls))


def test_waiting_for_a_call_waits_for_a_clock_that_runs(stage: Stage) -> None:
    with stage.open("runs", speed=600) as world:
        Kling(world).make(callback_url=world.inbox.url)

        assert "succeed" == world.inbox.wait_for(2).json["task_status"]


def test_what_does_not_come_is_said_with_what_came(world: World) -> None:
    Kling(world).make(callback_url=world.inbox.url)

    with pytest.raises(AssertionError) as told:
        world.inbox.wait_for(3)

    text = str(told.value)
    assert text.startswith(
        "call 3 did not come, and nothing more is to come; there were 2\n  POST hook -> 200, signed"
    )


def test_who_asked_for_no_callback_is_told_how_to(world: World) -> None:
    Kling(world).make()

    with pytest.raises(AssertionError, match=r"asks for callbacks by naming http://127\.0\.0\.1:\d+/world"):
        world.inbox.wait_for()


def test_nobody_is_waited_for_longer_than_allowed(stage: Stage) -> None:
    with stage.open("slow", speed=1) as world, pytest.raises(AssertionError, match=r"within 0\.1 s"):
        world.inbox.wait_for(timeout=0.1)


def test_signatures_are_checked_with_the_secret_of_the_world(world: World) -> None:
    kling = Kling(world)
    kling.make(callback_url=world.inbox.url)
    world.inbox.wait_for(2)
    assert [True, True] == [call.is_verified for call in world.inbox.calls]
    world.inbox.clear()

    for name, verdict in {"callback-wrong-signature": False, "callback-stale-timestamp": False}.items():
        with world.scenario(name):
            kling.make(name, callback_url=world.inbox.url_for(name))
        call = world.inbox.wait_for(1, name=name)
        assert verdict is call.is_verified, name

    post(world.inbox.url, b"{}")
    assert world.inbox.calls_to()[-1].is_verified is None, "one without a signature"


def test_a_signature_of_other_bytes_is_wrong(world: World) -> None:
    Kling(world).make(callback_url=world.inbox.url)
    first = world.inbox.wait_for(1)
    signed = {name: value for name, value in first.headers.items() if name.startswith("webhook-")}

    assert 200 == post(world.inbox.url, first.content, **signed)
    assert 200 == post(world.inbox.url, first.content + b" ", **signed)
    assert 200 == post(world.inbox.url, b"\xff\xfe", **signed)

    assert [True, True, False, False] == [call.is_verified for call in world.inbox.calls]


def test_a_secret_of_another_provider_is_told_apart(world: World) -> None:
    assert world.kling.webhook_secret != world.magnific.webhook_secret
    assert (world.kling.webhook_secret or "").startswith("whsec_")


def test_answers_can_be_planned_for_all_and_for_one_address(world: World) -> None:
    inbox = world.inbox
    inbox.respond_with(503, times=1)
    inbox.respond_with(410, name="gone")
    inbox.respond_with(201)

    answers = [post(inbox.url), post(inbox.url), post(inbox.url_for("gone")), post(inbox.url_for("other"))]

    assert [503, 201, 410, 201] == answers
    assert answers == [call.answered for call in inbox.calls]
    assert [False, True] == [call.is_taken for call in inbox.calls[:2]]


def test_a_handler_of_the_client_answers_and_one_that_dies_answers_500(world: World) -> None:
    seen: list[Call] = []

    def handle(call: Call) -> int:
        seen.append(call)
        return 202

    def die(call: Call) -> int:
        raise KeyError("task_result")

    world.inbox.respond_with(handle, times=1)
    world.inbox.respond_with(die, times=1)

    assert [202, 500, 200] == [post(world.inbox.url, b'{"a": 1}') for _ in range(3)]
    assert [{"a": 1}] == [call.json for call in seen]
    assert ["", "KeyError: 'task_result'", ""] == [call.error for call in world.inbox.calls]


def test_a_handler_that_sleeps_on_the_clock_that_waits_for_it_sleeps_no_time(world: World) -> None:
    slept: list[int] = []

    def handle(call: Call) -> int:
        before = world.clock.ms
        world.clock.sleep(30)
        slept.append(world.clock.ms - before)
        return 200

    world.inbox.respond_with(handle, times=1)
    Kling(world).make(callback_url=world.inbox.url)

    world.clock.run_until_idle()

    assert ([0], [200, 200]) == (slept, [call.answered for call in world.inbox.calls])
    world.assert_delivered_once()


def test_a_handler_that_moves_the_clock_that_waits_for_it_is_told_so_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who waited at all would wait for longer than a receiver is given to answer.
    monkeypatch.setattr(worldclock, "TURN_S", 60)
    monkeypatch.setattr(worldclock, "PATIENCE_S", 60)

    def handle(call: Call) -> int:
        world.clock.sleep(5)
        world.clock.advance(5)
        return 200

    world.inbox.respond_with(handle, times=1)
    Kling(world).make(callback_url=world.inbox.url)

    world.clock.run_until_idle()

    assert "who answers a callback cannot move the clock" in world.calls[0].error
    assert [500, 200, 200] == [call.answered for call in world.calls]


@pytest.mark.parametrize("reply", [0, 100, 99, 600])
def test_what_is_no_status_is_refused(world: World, reply: int) -> None:
    with pytest.raises(ValueError, match="no status"):
        world.inbox.respond_with(reply)


def test_other_arguments_that_mean_nothing_are_refused(world: World) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        world.inbox.respond_with(200, times=0)
    with pytest.raises(ValueError, match="number 1"):
        world.inbox.wait_for(0)
    for name in ("", "a/b", "a?b"):
        with pytest.raises(ValueError, match="named by a text"):
            world.inbox.url_for(name)


def test_names_may_have_any_letters(world: World) -> None:
    url = world.inbox.url_for("Boot für 船")

    assert 200 == post(url)
    assert 1 == len(world.inbox.calls_to("Boot für 船"))


def test_a_body_that_is_no_json_is_text(world: World) -> None:
    post(world.inbox.url, b"not json \xff")

    (call,) = world.inbox.calls
    assert "not json �" == call.body
    with pytest.raises(ValueError, match="UTF-8"):
        _ = call.json


def test_many_calls_at_once_are_all_there(world: World) -> None:
    threads = [threading.Thread(target=post, args=(world.inbox.url,)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 30 == len(world.inbox.calls)


def test_worlds_do_not_see_each_others_calls(stage: Stage) -> None:
    with stage.open("one") as one, stage.open("other") as other:
        Kling(one).make(callback_url=one.inbox.url)
        one.inbox.wait_for(2)

        assert () == other.inbox.calls


def test_a_world_that_is_over_takes_no_calls(stage: Stage) -> None:
    with stage.open("over") as world:
        url = world.inbox.url

    assert 410 == post(url)


def test_a_request_without_a_length_is_refused_and_the_socket_goes_on() -> None:
    receiver = Receiver()
    try:
        inbox = receiver.open("t", now=lambda: 0, verify=lambda *_: None, pump=lambda: "idle")
        parts = urlsplit(inbox.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
        with contextlib.closing(connection):
            # The head alone: it is refused at once, and the rest might find the connection closed.
            connection.putrequest("POST", parts.path)
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            assert 411 == connection.getresponse().status
        assert 200 == post(inbox.url)
        assert 410 == post(f"{receiver.origin}/nobody/hook")
        assert 410 == post(receiver.origin + "/")
    finally:
        receiver.stop()


@pytest.mark.parametrize("made", [None, True, "200", 99, 600, 200.0])
def test_what_is_no_status_is_told_and_answered_as_a_receiver_that_died(world: World, made: Any) -> None:
    world.inbox.respond_with(lambda call: made, times=1)
    Kling(world).make(callback_url=world.inbox.url)

    call = world.inbox.wait_for()

    assert 500 == call.answered
    assert f"returned {made!r}; a status is wanted, 200 to 599" in call.error


def test_a_handler_may_answer_with_a_status_of_the_library(world: World) -> None:
    world.inbox.respond_with(lambda call: HTTPStatus.ACCEPTED)
    Kling(world).make(callback_url=world.inbox.url)

    assert 202 == world.inbox.wait_for().answered


def test_a_handler_may_fail_its_test_and_no_thread_dies_of_it(world: World) -> None:
    def handle(call: Call) -> int:
        pytest.fail("no such order")

    world.inbox.respond_with(handle, times=1)
    Kling(world).make(callback_url=world.inbox.url)

    assert "Failed: no such order" == world.inbox.wait_for().error


def test_a_receiver_that_answers_too_late_is_told_of_with_what_would_do() -> None:
    settings = Settings(port=0, log="off", providers=("kling",), callback_timeout=0.2)
    with Stage(settings) as stage, stage.open("late") as world:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async def run() -> None:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            Kling(world).make(callback_url=f"http://127.0.0.1:{port}/hook")
            world.clock.advance(3)
            server.close()

        asyncio.run(run())
        assert "let await understudy.clock.async_sleep(300) move it." in story(world)

    with Stage(settings) as stage, stage.open("feigned") as world:
        world.scenario("callback-receiver-slow")
        Kling(world).make(callback_url=world.inbox.url)
        world.clock.advance(3)
        assert "no answer within" in story(world)
        assert "async_sleep" not in story(world)


def test_a_task_that_many_came_after_can_be_asked_about() -> None:
    with (
        Stage(Settings(port=0, log="off", providers=("kling",)), has_port=False) as stage,
        stage.open("many") as world,
    ):
        kling = Kling(world)
        first = kling.make(callback_url=world.inbox.url)
        world.clock.run_until_idle()
        for _ in range(500):
            kling.make(callback_url=world.inbox.url)

        assert (1_000, 2) == (len(world.deliveries), world.deliveries.dropped)
        world.assert_delivered_once(first)
        with pytest.raises(AssertionError, match="task nowhere has no callback"):
            world.assert_delivered_once("nowhere")
