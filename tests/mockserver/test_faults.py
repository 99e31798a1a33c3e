"""Answers that take their time: for a client that hangs up there is nothing to keep."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

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
