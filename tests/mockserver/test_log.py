"""The log: one line a request, in batches, in colour or in JSON, and nothing a terminal would obey."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import orjson
import pytest

from mockserver.log import RequestLog
from tests.mock import Mock

LINE: dict[str, Any] = {"method": "GET", "target": "/toy/api/clips", "status": 200, "took_us": 1_250}


def written(form: str, **line: Any) -> str:
    stream = io.StringIO()
    RequestLog(form, stream).line(**(LINE | line))
    return stream.getvalue()


def test_a_line_says_what_was_asked_and_what_came_back() -> None:
    text = written("text", task="clip-1", rules=("toy.clip.old", "toy.clip.map"), tenant="ci", note="a note")

    time, rest = text[:12], text[12:]
    assert len(time.split(":")) == 3
    assert rest == (
        "  200  GET   /toy/api/clips  task clip-1  broke toy.clip.old, toy.clip.map  a note  tenant ci  1.2 ms\n"
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_holds_no_credential(form: str) -> None:
    assert "hush" not in written(form, target="/toy/api/clips;token=hush")


def test_a_line_leaves_out_what_there_is_not() -> None:
    assert written("text", tenant="default")[12:] == "  200  GET   /toy/api/clips  1.2 ms\n"


def test_a_line_in_json_can_be_read_by_machines() -> None:
    known = orjson.loads(written("json", rules=("toy.clip.old",), operation="createClip"))

    assert known.pop("at").endswith("Z")
    assert known == LINE | {"rules": ["toy.clip.old"], "operation": "createClip"}


def test_a_log_that_is_off_writes_nothing() -> None:
    assert written("off") == ""


@pytest.mark.parametrize(
    ("status", "colour"), [(200, "32"), (302, "36"), (404, "33"), (500, "31"), (101, "0")]
)
def test_colours_tell_how_it_went(status: int, colour: str) -> None:
    stream = io.StringIO()

    RequestLog("text", stream, is_coloured=True).line(**(LINE | {"status": status}))

    assert f"\x1b[{colour}m{status}\x1b[0m" in stream.getvalue()


def test_a_target_cannot_steer_a_terminal() -> None:
    text = written("text", target="/a\x1b[2J\r\nb\x07" + "c" * 1_000)

    assert "/a?[2J??b?c" in text
    assert text.count("\n") == 1
    assert len(text) < 400


def test_lines_are_written_together() -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream = Counting()
    log = RequestLog("text", stream)

    async def serve() -> None:
        for _ in range(100):
            log.line(**LINE)
        assert stream.getvalue() == ""
        await asyncio.sleep(0.05)

    asyncio.run(serve())

    assert stream.getvalue().count("\n") == 100
    assert stream.writes == 1


def test_what_waits_is_written_at_the_end() -> None:
    with Mock() as mock:
        mock.create()

    assert "/toy/api/clips" in mock.log.getvalue()


def test_a_terminal_that_went_away_is_no_fault() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    log = RequestLog("text", Gone())

    log.line(**LINE)

    assert not log.is_on


def test_a_request_is_logged_with_its_task_and_its_rules() -> None:
    with Mock() as mock:
        task = mock.clip(old="x")
        mock.create(prompt=5, base="/t/ci/toy/api")
        mock.get("/nowhere", x_mock_tenant="ci:")

    lines = mock.log.getvalue().splitlines()
    assert f"200  POST  /toy/api/clips  task {task}  broke toy.clip.old" in lines[0]
    assert "400  POST  /t/ci/toy/api/clips  broke toy.clip.prompt" in lines[1]
    assert "tenant ci" in lines[1]
    assert "404  GET   /nowhere  broke toy.request.no-route" in lines[2]
    assert len(lines) == 3
