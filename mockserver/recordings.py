"""Recordings: what happened to real tasks, one JSON text a line, and how it is read again.

A task is recorded as a course: what was asked, each state with its time since creation, and the first answer in each.
Credentials are left out.  Knows no files: it makes lines and reads lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mockserver.journal import body_json, without_secrets
from mockserver.tasks import Timeline
from validator.contract.expressions import MISSING, Json, iso
from validator.report import abbreviate

FORMAT: Final = 1
"""The version of the form; a reader refuses a higher one."""

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line that is read."""

LONGEST_COURSE_MS: Final = 366 * 86_400_000
"""Milliseconds after which no state of a task begins: a year."""


class RecordingError(ValueError):
    """A recording that cannot be used: where, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """The first answer that showed a state: which operation gave it, and its body."""

    operation: str
    state: str
    status: int
    body: Json


@dataclass(slots=True, kw_only=True)
class RecordedTask:
    """One task of a recording; `line` is where it begins in the file `name`.

    `digest` names the body that made it, `body` shows it, pictures and long texts cut.  *shape* of `course`: pairs
    (milliseconds since creation, state).
    """

    name: str
    line: int
    provider: str
    operation: str
    task: str
    digest: str
    body: Json
    course: Timeline
    failure: str | None = None
    answers: list[RecordedAnswer] = field(default_factory=list)

    def __str__(self) -> str:
        """Return where it stands."""
        return f"{self.name}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording: its tasks in the order they were made, and sentences about what was passed over."""

    name: str
    tasks: tuple[RecordedTask, ...]
    notes: tuple[str, ...] = ()


# --- bodies -----------------------------------------------------------------------------------------------


def canonical(body: Json) -> bytes:
    """Return one text for all ways to write a JSON value: names in order, no blanks.

    >>> canonical({"b": 1, "a": [True]})
    b'{"a":[true],"b":1}'
    """
    return b"" if body is MISSING else orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def digest_of(body: Json) -> str:
    """Return what names a body: equal ones, and nobody else, have it."""
    return hashlib.sha256(canonical(body)).hexdigest()[:32]


# --- writing ----------------------------------------------------------------------------------------------


def _line(**members: Json) -> bytes:
    return orjson.dumps(members) + b"\n"


def head_line(at: int, upstreams: Mapping[str, str]) -> bytes:
    """Return the line that a recording begins with; `at` in milliseconds, `upstreams` by provider."""
    return _line(recording="understudy", version=FORMAT, at=iso(at), upstreams=dict(upstreams))


def made_line(
    *, at: int, provider: str, operation: str, task: str, body: Json, state: str, status: int, answer: bytes
) -> bytes:
    """Return the line for a task that was made; `at` in milliseconds."""
    return _line(
        event="made",
        at=iso(at),
        provider=provider,
        operation=operation,
        task=task,
        digest=digest_of(body),
        request=body_json(canonical(body)),
        state=state,
        answer={"status": status, "body": without_secrets(body_json(answer))},
    )


def seen_line(
    *,
    at: int,
    provider: str,
    operation: str,
    task: str,
    state: str,
    after_ms: int,
    unseen_ms: int,
    failure: str | None,
    status: int,
    answer: bytes,
) -> bytes:
    """Return the line for a task that was seen in a state it was not in before.

    `after_ms` is when the state began, milliseconds since creation; `unseen_ms` how long nobody had looked, so that
    it may have begun by so much earlier, 0 where the provider's own times say it.
    """
    members: dict[str, Json] = {"event": "seen", "at": iso(at), "provider": provider, "operation": operation}
    members |= {"task": task, "state": state, "after_ms": after_ms, "unseen_ms": unseen_ms}
    if failure is not None:
        members["failure"] = failure
    return _line(**members, answer={"status": status, "body": without_secrets(body_json(answer))})


# --- reading ----------------------------------------------------------------------------------------------


def read_recording(lines: Iterable[bytes], name: str) -> Recording:
    """Return a recording; raises RecordingError for what is none.

    A last line that was cut off, as a killed process leaves it, is passed over with a note.
    """
    tasks: dict[tuple[str, str], RecordedTask] = {}
    notes: list[str] = []
    has_head = False
    for number, members in _members(lines, name, notes):
        if "recording" in members:
            _check_head(members, f"{name}:{number}")
            has_head = True
            continue
        if not has_head:
            raise RecordingError(
                f"{name}:{number}: a recording begins with a line that says so, as `understudy proxy --record`"
                " writes it"
            )
        _take(members, tasks, notes, name, number)
    if not has_head:
        raise RecordingError(f"{name}: there is no recording in it")
    return Recording(name=name, tasks=tuple(tasks.values()), notes=tuple(notes))


def _members(lines: Iterable[bytes], name: str, notes: list[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            members = orjson.loads(line) if len(line) <= LONGEST_LINE else None
        except orjson.JSONDecodeError:
            if number == 1:
                raise RecordingError(f"{name}:1: this is no recording: its lines are JSON") from None
            notes.append(f"{name}:{number}: cut off, and passed over")
            continue
        if not isinstance(members, dict):
            raise RecordingError(f"{name}:{number}: a line of a recording is a JSON object of at most 16 MiB")
        yield number, members


def _check_head(members: Mapping[str, Any], where: str) -> None:
    version = members.get("version")
    if members["recording"] != "understudy" or type(version) is not int or version < 1:
        raise RecordingError(f"{where}: this is no recording of understudy's")
    if version > FORMAT:
        raise RecordingError(
            f"{where}: made by a later understudy (form {version}, known {FORMAT}); update this one"
        )


def _take(
    members: Mapping[str, Any],
    tasks: dict[tuple[str, str], RecordedTask],
    notes: list[str],
    name: str,
    number: int,
) -> None:
    where, event = f"{name}:{number}", members.get("event")
    if event not in ("made", "seen"):
        raise RecordingError(f"{where}: event {abbreviate(event)} is not known; made and seen are")
    provider, operation, task, state = (
        _text(members, one, where) for one in ("provider", "operation", "task", "state")
    )
    found = RecordedAnswer(operation=operation, state=state, **_answer(members, where))
    if event == "made":
        tasks[provider, task] = RecordedTask(
            name=name,
            line=number,
            provider=provider,
            operation=operation,
            task=task,
            digest=_text(members, "digest", where),
            body=members.get("request"),
            course=((0, state),),
            answers=[found],
        )
        return
    known = tasks.get((provider, task))
    if known is None:
        notes.append(
            f"{where}: task {abbreviate(task)} was made before the recording began, and is passed over"
        )
        return
    after_ms = members.get("after_ms")
    if type(after_ms) is not int or not 0 <= after_ms <= LONGEST_COURSE_MS:
        raise RecordingError(f"{where}: after_ms is a number of milliseconds, up to a year")
    # Two states cannot begin at once: the later line is the later state.
    known.course = (*known.course, (max(after_ms, known.course[-1][0] + 1), state))
    known.answers.append(found)
    failure = members.get("failure")
    if isinstance(failure, str):
        known.failure = failure


def _text(members: Mapping[str, Any], name: str, where: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise RecordingError(f"{where}: {name} is missing, or no text")
    return value


def _answer(members: Mapping[str, Any], where: str) -> dict[str, Any]:
    answer = members.get("answer")
    if not isinstance(answer, dict) or type(answer.get("status")) is not int:
        raise RecordingError(f"{where}: answer is an object with status and body")
    return {"status": answer["status"], "body": answer.get("body")}
