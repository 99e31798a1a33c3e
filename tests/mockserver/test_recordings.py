"""Recordings: lines written and read again, and what is wrong with those that are not ours."""

from __future__ import annotations

import orjson
import pytest

from mockserver.recordings import (
    RecordingError,
    canonical,
    digest_of,
    head_line,
    made_line,
    read_recording,
    seen_line,
)

NOON = 1_767_268_800_000
HEAD = head_line(NOON, {"toy": "https://api.toy.example"})
BODY = {"prompt": "a boat", "hook": "https://me.example/hook?token=hush", "api_key": "hush"}


def made(task: str = "clip-1", **more: object) -> bytes:
    known = {
        "at": NOON,
        "provider": "toy",
        "operation": "createClip",
        "task": task,
        "body": BODY,
        "state": "waiting",
        "status": 200,
        "answer": b'{"ok":true,"url":"https://cdn.example/1.mp4?signature=hush"}',
    }
    return made_line(**(known | more))  # type: ignore[arg-type]


def seen(state: str, after_ms: int, task: str = "clip-1", failure: str | None = None) -> bytes:
    return seen_line(
        at=NOON + after_ms,
        provider="toy",
        operation="getClip",
        task=task,
        state=state,
        after_ms=after_ms,
        unseen_ms=0,
        failure=failure,
        status=200,
        answer=b'{"ok":true}',
    )


def test_what_was_written_is_read() -> None:
    lines = [HEAD, made(), seen("working", 2_100), seen("broken", 9_000, failure="Too loud")]

    found = read_recording(lines, "run.ndjson")

    (task,) = found.tasks
    assert ((0, "waiting"), (2_100, "working"), (9_000, "broken")) == task.course
    assert ("Too loud", digest_of(BODY), "run.ndjson:2") == (task.failure, task.digest, str(task))
    assert ["createClip", "getClip", "getClip"] == [one.operation for one in task.answers]
    assert () == found.notes


def test_no_credential_is_written_and_every_line_is_one() -> None:
    line = made()

    assert b"hush" not in line
    assert 1 == line.count(b"\n")
    assert b"https://cdn.example/1.mp4" in line


def test_pictures_are_cut_and_their_requests_still_told_apart() -> None:
    large, other = {"image": "A" * 100_000}, {"image": "B" * 100_000}

    line = made(body=large)

    assert len(line) < 2_000
    assert orjson.loads(line)["digest"] == digest_of(large) != digest_of(other)


def test_a_body_has_one_digest_however_it_is_written() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of(orjson.loads('{ "b" : [1,2], "a" : 1 }'))
    assert canonical({"a": 1}) != canonical({"a": "1"})


def test_a_line_that_was_cut_off_is_passed_over_with_a_note() -> None:
    whole = [HEAD, made(), b'{"event":"seen","at":"2026-0', b"\n", HEAD, made("clip-2")]

    found = read_recording(whole, "run.ndjson")

    assert ["clip-1", "clip-2"] == [one.task for one in found.tasks]
    assert ("run.ndjson:3: cut off, and passed over",) == found.notes


def test_a_task_that_was_made_before_is_passed_over_with_a_note() -> None:
    found = read_recording([HEAD, seen("working", 5)], "r")

    assert () == found.tasks
    assert "made before the recording began" in found.notes[0]


def test_states_come_one_after_the_other_whatever_their_times_say() -> None:
    (task,) = read_recording([HEAD, made(), seen("working", 9_000), seen("done", 8_000)], "r").tasks

    assert ((0, "waiting"), (9_000, "working"), (9_001, "done")) == task.course


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "r: there is no recording in it"),
        ([b"\n", b"  \n"], "r: there is no recording in it"),
        ([b"GIF89a"], "r:1: this is no recording"),
        ([b"[1]\n"], "r:1: a line of a recording is a JSON object"),
        ([b'{"log": {}}\n'], "r:1: a recording begins with a line that says so"),
        ([b'{"recording": "other", "version": 1}\n'], "r:1: this is no recording of understudy's"),
        ([b'{"recording": "understudy", "version": "1"}\n'], "r:1: this is no recording of understudy's"),
        ([b'{"recording": "understudy", "version": 2}\n'], "r:1: made by a later understudy"),
        ([HEAD, b'{"event": "lost"}\n'], "r:2: event 'lost' is not known"),
        ([HEAD, made().replace(b'"toy"', b"1")], "r:2: provider is missing, or no text"),
        ([HEAD, made().replace(b'"status":200', b'"status":"a"')], "r:2: answer is an object"),
        ([HEAD, made(), seen("done", 5).replace(b":5,", b":-5,")], "r:3: after_ms is a number"),
        ([HEAD, made(), seen("done", 5).replace(b":5,", b":true,")], "r:3: after_ms is a number"),
        ([HEAD, made(), seen("done", 10**14)], "r:3: after_ms is a number"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_line(lines: list[bytes], said: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read_recording(lines, "r")

    assert str(caught.value).startswith(said)
