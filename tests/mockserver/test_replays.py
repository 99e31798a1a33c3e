"""Recorded tasks played again: whose course a new one takes, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from mockserver.cli import main
from mockserver.recordings import RecordedAnswer, RecordedTask, Recording, digest_of
from mockserver.replays import Replays
from mockserver.tasks import Timeline
from tests.mock import HOOK, Mock
from tests.pictures import picture
from tests.providers import contract

SLOW: Timeline = ((0, "waiting"), (30_000, "working"), (90_000, "done"))
FAILED: Timeline = ((0, "waiting"), (1_000, "working"), (4_000, "broken"))


def task(
    course: Timeline, *, prompt: str = "a boat", failure: str | None = None, **more: Any
) -> RecordedTask:
    body = {"prompt": prompt}
    known: dict[str, Any] = {
        "name": "run.ndjson",
        "line": 2,
        "provider": "toy",
        "operation": "createClip",
        "task": "clip-recorded",
        "digest": digest_of(body),
        "body": body,
        "course": course,
        "failure": failure,
    }
    return RecordedTask(**(known | more))


def recording(*tasks: RecordedTask) -> Sequence[Recording]:
    numbered = tuple(replace(one, line=number) for number, one in enumerate(tasks, 2))
    return [Recording(name="run.ndjson", tasks=numbered)]


def notes(*tasks: RecordedTask) -> list[str]:
    return Replays(recording(*tasks), {"toy": contract("toy")}).notes


def states(mock: Mock, name: str, *seconds: int) -> list[str]:
    found, now = [], 0
    for at in seconds:
        mock.advance(f"PT{at - now}S")
        now = at
        found += [mock.state(name) for _ in range(3)][:1]
    return found


def test_a_task_moves_as_the_recorded_one_did_however_often_it_is_read() -> None:
    with Mock(recordings=recording(task(SLOW))) as mock:
        mock.freeze()
        name = mock.clip(prompt="a boat")

        assert ["waiting", "working", "working", "done"] == states(mock, name, 29, 30, 89, 90)


def test_a_task_that_failed_fails_again_with_the_same_words() -> None:
    with Mock(recordings=recording(task(FAILED, failure="Too loud"))) as mock:
        mock.freeze()
        name = mock.clip(prompt="a boat")
        mock.advance("PT4S")

        assert ("broken", "Too loud") == tuple(mock.read(name).json["clip"][one] for one in ("state", "why"))


def test_callbacks_come_at_the_recorded_times() -> None:
    with Mock(recordings=recording(task(SLOW, digest=digest_of({"prompt": "a boat", "hook": HOOK})))) as mock:
        mock.freeze()
        mock.clip(prompt="a boat", hook=HOOK)
        mock.advance("PT31S")
        early = [call.json["state"] for call in mock.receivers.calls]
        mock.advance("PT60S")

        assert ["working"] == early
        assert ["working", "done"] == [call.json["state"] for call in mock.receivers.calls]


def test_equal_requests_come_first_then_the_order_then_the_usual_course() -> None:
    recorded = recording(task(SLOW, prompt="one"), task(FAILED, prompt="two", failure="x"))
    with Mock(recordings=recorded) as mock:
        said = [
            mock.create(prompt=prompt).headers["x-mock-replay"]
            for prompt in ("two", "other", "third", "one", "two")
        ]

    assert [
        "replays run.ndjson:3 (the request is equal)",
        "replays run.ndjson:2 (by order; the request differs)",
        "no recorded task is left for it",
        "replays run.ndjson:2 (the request is equal)",
        "replays run.ndjson:3 (the request is equal)",
    ] == said


def test_each_tenant_plays_from_the_beginning_and_a_reset_does_so_again() -> None:
    with Mock(recordings=recording(task(SLOW, prompt="one"))) as mock:

        def order(base: str) -> str:
            return mock.create(base=base, prompt="other").headers["x-mock-replay"]

        first, second = order("/toy/api"), order("/t/other/toy/api")
        used = order("/toy/api")
        mock.admin("POST", "/reset")
        again = order("/toy/api")

    assert 1 == len({first, second, again})
    assert "no recorded task is left for it" == used


def test_a_scenario_that_was_asked_for_counts_more_than_the_recording() -> None:
    with Mock(recordings=recording(task(SLOW))) as mock:
        mock.freeze()
        reply = mock.create(prompt="a boat", headers={"prefer": "scenario=moderation-late"})
        name = reply.json["clip"]["id"]
        ended = mock.admin("GET", f"/tasks/{name}")["timeline"][-1]["state"]

    assert "moderation-late" in reply.headers["x-mock-scenario"]
    assert "broken" == ended
    assert "(the request is equal); met moderation-late" in mock.log.getvalue()


def test_reads_move_a_task_through_the_recorded_states_where_reads_move_tasks() -> None:
    with Mock(recordings=recording(task(FAILED, failure="x")), progress="polls") as mock:
        name = mock.clip(prompt="a boat")

        assert ["working", "broken", "broken"] == [mock.state(name) for _ in range(3)]


def test_a_request_that_fails_by_a_rule_takes_no_other_course_than_an_equal_ones() -> None:
    body = {"prompt": "small", "picture": picture(width=10, height=10)}
    recorded = recording(task(SLOW, prompt="one"))
    with Mock(recordings=recorded) as mock:
        mock.freeze()
        reply = mock.create(**body)
        mock.advance("PT2S")

        assert "broken" == mock.state(reply.json["clip"]["id"])
    assert "no recorded task is left for it" == reply.headers["x-mock-replay"]


def test_without_a_recording_nothing_is_said_of_one() -> None:
    with Mock() as mock:
        assert "x-mock-replay" not in mock.create().headers


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        (task(SLOW, provider="gone"), "run.ndjson:2: gone is not served here"),
        (task(SLOW, operation="getClip"), "run.ndjson:2: toy makes no tasks with getClip"),
        (task(SLOW, operation="nothing"), "run.ndjson:2: toy makes no tasks with nothing"),
        (
            task(((0, "waiting"), (5, "resting"), (90_000, "done"))),
            "run.ndjson:2: state 'resting' is not in the contract, and is left out",
        ),
        (
            task(SLOW[:2]),
            "run.ndjson:2: nobody saw it end; from working on it takes the usual course",
        ),
    ],
)
def test_what_cannot_be_played_is_said(recorded: RecordedTask, said: str) -> None:
    assert [said] == notes(recorded)


def test_a_course_that_nobody_saw_end_ends_all_the_same() -> None:
    with Mock(recordings=recording(task(SLOW[:2]))) as mock:
        mock.freeze()
        name = mock.clip(prompt="a boat")

        assert ["working", "done"] == states(mock, name, 39, 40)


def answered(state: str, body: Any) -> RecordedTask:
    """Return a recorded task with one answer of a read."""
    made = task(SLOW if state != "broken" else FAILED, failure="Too loud" if state == "broken" else None)
    made.answers.append(RecordedAnswer(operation="getClip", state=state, status=200, body=body))
    return made


def real(state: str, seconds: int) -> Any:
    """Return what the toy really answers about a task in a state."""
    with Mock() as mock:
        mock.freeze()
        name = mock.clip(prompt="a boat")
        mock.advance(f"PT{seconds}S")
        body = mock.read(name).json
    assert state == body["clip"]["state"]
    return body


@pytest.mark.parametrize(("state", "seconds"), [("waiting", 1), ("working", 5), ("done", 20)])
def test_an_answer_that_our_template_would_give_differs_in_nothing(state: str, seconds: int) -> None:
    assert [] == notes(answered(state, real(state, seconds)))


def test_where_an_answer_differs_from_our_template_is_said_when_it_is_loaded() -> None:
    body = real("done", 20)
    clip = body["clip"]
    body["ok"] = 1
    clip["extra"] = {"a": 1}
    clip["paid"] = "9.99"
    clip["made"] = "today"
    del clip["file"]["seconds"]

    found = notes(answered("done", body))

    assert [
        "toy getClip, done: /ok is integer in the recording, boolean in our answer",
        "toy getClip, done: /clip/made is string in the recording, integer in our answer",
        f"toy getClip, done: /clip/paid was '9.99', and is '{real('done', 20)['clip']['paid']}' in our answer",
        "toy getClip, done: /clip/extra/a stands in the recording, and not in our answer",
        "toy getClip, done: /clip/file/seconds stands in our answer, and not in the recording",
    ] == found


def test_nothing_that_a_recording_holds_keeps_a_server_from_starting() -> None:
    strange = [
        "",
        0,
        None,
        [],
        [[[]]],
        {"clip": []},
        {"clip": {"id": {}}},
        orjson.loads("[" * 200 + "]" * 200),
    ]

    for body in strange:
        made = answered("done", body)
        made.body = body
        notes(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "there is no recording in it"),
        (b"GIF89a\x00\xff", "this is no recording"),
        (b'{"recording":"understudy","version":9}\n', "update this one"),
        (b'{"event":"made"}\n', "a recording begins with a line that says so"),
    ],
)
def test_a_file_that_is_no_recording_stops_the_start(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "run.ndjson").write_bytes(text)

    done = CliRunner().invoke(main, ["serve", "--port", "0", "--replay", str(tmp_path / "run.ndjson")])

    assert 2 == done.exit_code
    assert "understudy serve: --replay: " in done.output
    assert said in done.output
