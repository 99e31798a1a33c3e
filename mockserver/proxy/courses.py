"""Tasks of a provider, followed by what its answers say of them: for a recording, and for what they will cost.

What is learnt is what a client asked for: nothing is asked on our own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from mockserver import recordings
from mockserver.proxy.answers import Judge
from mockserver.renderings import Places, text_at, time_at
from validator.contract.expressions import MISSING, Json, find_member, to_text
from validator.contract.model import Operation

MOST_FOLLOWED: Final = 100_000
"""Tasks that are followed; the oldest are let go."""

LONGEST_MS: Final = 7 * 86_400_000
"""Milliseconds of a course at most, for times to be taken for times."""

SKEW_MS: Final = 1_500
"""Milliseconds by which the provider's own times may stand beside what was seen: some write whole seconds."""

log: Final = logging.getLogger("understudy")

Write = Callable[[bytes], None]


@dataclass(slots=True)
class Course:
    """A task on its way; times in milliseconds of the wall clock, `born` the provider's own where it says one.

    `price` in units, None where unknown; `is_news` where the last look found another state than the one before.
    """

    provider: str
    maker: Operation
    task: str
    made_at: int
    state: str
    seen_at: int
    born: int | None
    price: float | None = None
    is_news: bool = False

    @property
    def outcome(self) -> str | None:
        """Return how the task ended, None while it has not, or ended in a state that is not known."""
        lifecycle = self.maker.lifecycle
        known = lifecycle.states.get(self.state) if lifecycle is not None else None
        return known.outcome if known is not None else None


class Recorder:
    """Writes what happens to a stream, each line as it happens; `failed` says why it does not any more."""

    def __init__(self, write: Write) -> None:
        """Take what writes a line and makes sure of it."""
        self._write = write
        self.failed = ""
        self.tasks = 0

    def line(self, line: bytes) -> None:
        """Write a line; a full disk must not keep a request from passing."""
        if self.failed:
            return
        try:
            self._write(line)
        except (OSError, ValueError) as error:
            self.failed = getattr(error, "strerror", None) or str(error)
            log.error("the recording ends here: %s", self.failed)


class Courses:
    """Follows the tasks of every account."""

    def __init__(self, judges: Mapping[str, Judge], recorder: Recorder | None) -> None:
        """Take who knows the answers, and who writes."""
        self._judges, self._recorder = judges, recorder
        self._known: dict[tuple[str, str, str], Course] = {}

    def made(
        self,
        provider: str,
        account: str,
        operation: Operation,
        body: Json,
        price: float | None,
        status: int,
        answer: bytes,
        now: int,
    ) -> str | None:
        """Note a task that was made and return its id, None where the answer names none."""
        where = _first(self._judges[provider].places(operation, operation))
        value = _read(answer)
        task = text_at(value, where.id)
        if task is None:
            return None
        state = text_at(value, where.state) or (operation.lifecycle.initial if operation.lifecycle else "")
        born = time_at(value, where.created)
        course = Course(provider, operation, task, now, state, now, born, price)
        while len(self._known) >= MOST_FOLLOWED:
            del self._known[next(iter(self._known))]
        self._known[provider, account, task] = course
        for link in operation.links:
            # Also known by a name of the client's own.
            named = MISSING if link.is_task_id else find_member(body, link.pointer)
            if named is not MISSING and isinstance(body, dict):
                self._known.setdefault((provider, account, to_text(named)), course)
        if self._recorder is not None:
            self._recorder.tasks += 1
            self._recorder.line(
                recordings.made_line(
                    at=now,
                    provider=provider,
                    operation=operation.id,
                    task=task,
                    body=body,
                    state=state,
                    status=status,
                    answer=answer,
                )
            )
        return task

    def seen(
        self,
        provider: str,
        account: str,
        operation: Operation,
        name: str,
        status: int,
        answer: bytes,
        now: int,
    ) -> Course | None:
        """Note what a read says of a task and return its course, None for a task that nobody saw being made."""
        course = self._known.get((provider, account, name))
        if course is None:
            return None
        by_state = self._judges[provider].places(operation, course.maker)
        value = _read(answer)
        state = text_at(value, _first(by_state).state)
        course.is_news = state is not None and state != course.state
        if state is None:
            return course
        if state == course.state:
            course.seen_at = now
            return course
        after_ms, unseen_ms = _begun(course, by_state.get(state, _NOWHERE), value, now)
        course.state, course.seen_at = state, now
        failure = None
        if course.outcome == "failure":
            failure = text_at(value, by_state.get(state, _NOWHERE).message)
        if self._recorder is not None:
            self._recorder.line(
                recordings.seen_line(
                    at=now,
                    provider=provider,
                    operation=operation.id,
                    task=course.task,
                    state=state,
                    after_ms=after_ms,
                    unseen_ms=unseen_ms,
                    failure=failure,
                    status=status,
                    answer=answer,
                )
            )
        return course


_NOWHERE: Final = Places()


def _first(by_state: Mapping[str, Places]) -> Places:
    """Return where an answer says what while its state is not known yet."""
    return next(iter(by_state.values()), _NOWHERE)


def _begun(course: Course, where: Places, value: Json, now: int) -> tuple[int, int]:
    """Return (milliseconds from creation to this state, how much earlier that may have been).

    By the provider's own clock where the answer has its times; else, or where the state was not there yet when it
    would have begun by them, when it was first seen.
    """
    seen, before = max(now - course.made_at, 0), max(course.seen_at - course.made_at, 0)
    changed, born = time_at(value, where.updated), time_at(value, where.created) or course.born
    if changed is not None and born is not None and before - SKEW_MS <= changed - born <= LONGEST_MS:
        return max(changed - born, 0), 0
    return seen, seen - before


def _read(answer: bytes) -> Json:
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return MISSING
