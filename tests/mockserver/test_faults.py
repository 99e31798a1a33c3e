"""Answers that take their time: for a client that hangs up there is nothing to keep."""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from typing import Any

import pytest

from mockserver.faults import Patience, play
from mockserver.wire import Answer, Wire
from tests.mock import HOST, KEY, Mock

HOUR = "scenario=latency; seconds=3600"


class Line:
    """A connection on which a client asks, and hangs up when it is told to."""

    def __init__(self, mock: Mock, body: bytes, prefer: str) -> None:
        self.mock = mock
        self.sent: list[Any] = []
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
        headers = {"host": HOST, "x-toy-key": KEY, "content-length": str(len(body)), "prefer": prefer}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/toy/api/clips",
            "raw_path": b"/toy/api/clips",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.answering = mock.loop.create_task(self._serve(scope))
        mock.settle()

    async def _serve(self, scope: dict[str, Any]) -> None:
        await self.mock.app(scope, self._messages.get, self._send)

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def hang_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        self.mock.settle()


@pytest.mark.parametrize(
    "wish", [HOUR, "scenario=dribble; seconds=3600", "scenario=callback-early; seconds=3600"]
)
def test_an_answer_is_kept_for_a_client_that_stays_and_for_no_other(wish: str) -> None:
    body = b'{"prompt": "a boat", "hook": "http://receiver.test/hook"}'
    with Mock() as mock:
        mock.call("PUT", "/__admin/deliveries/mode", json={"mode": "pull"})
        line = Line(mock, body, wish)
        is_waiting = not line.answering.done()
        line.hang_up()
        is_over = line.answering.done()
        tasks = mock.get("/__admin/tasks").json["tasks"]

    assert (True, True) == (is_waiting, is_over)
    assert 1 == len(tasks)


def test_what_was_asked_is_let_go_while_its_answer_is_late() -> None:
    body = b'{"prompt": "a boat"' + 500_000 * b" " + b"}"
    with Mock() as mock:
        before = sys.getrefcount(body)
        line = Line(mock, body, HOUR)
        is_waiting, after = not line.answering.done(), sys.getrefcount(body)
        line.hang_up()

    assert is_waiting
    assert before == after


def test_a_client_that_stays_gets_its_late_answer() -> None:
    with Mock() as mock:
        line = Line(mock, b'{"prompt": "a boat"}', "scenario=latency; seconds=90")
        mock.wait(89)
        early = list(line.sent)
        mock.wait(2)

    assert [] == early
    assert 200 == line.sent[0]["status"]


def test_a_file_that_comes_in_pieces_is_not_there_twice() -> None:
    body = 5_000_000 * b"x"
    sent: list[int] = []

    async def send(message: Any) -> None:
        sent.append(len(message.get("body", b"")))

    async def receive() -> Any:
        await asyncio.sleep(3)
        return {"type": "http.disconnect"}

    with Mock() as mock:
        tracemalloc.start()
        wire = Wire(pieces=1_000, spread_s=3_600)
        mock.run(play(Answer(200, [], body), wire, receive, send, None, Patience(), is_head=False))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert [0] == sent
    assert most < 1_000_000


@pytest.mark.parametrize(("size", "pieces"), [(0, 20), (1, 2), (7, 3), (20, 20), (21, 20), (1_000, 1_000)])
def test_all_pieces_together_are_the_body(size: int, pieces: int) -> None:
    body = bytes(n % 251 for n in range(size))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with Mock() as mock:
        wire = Wire(pieces=pieces, spread_s=2)
        mock.run(
            play(
                Answer(200, [], body),
                wire,
                asyncio.Queue[dict[str, Any]]().get,
                send,
                None,
                Patience(),
                is_head=False,
            )
        )

    parts = sent[1:]
    assert body == b"".join(one["body"] for one in parts)
    assert len(parts) <= pieces
    assert [len(parts) - 1] == [index for index, one in enumerate(parts) if not one["more_body"]]
