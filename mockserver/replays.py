"""Recordings played again: which recorded course a new task takes, and where a recording and the templates differ.

A recorded task is a task here too: it moves through its states on the tenant's clock, however often anybody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from mockserver.journal import REDACTED
from mockserver.recordings import RecordedAnswer, RecordedTask, Recording
from mockserver.renderings import leaves, rendered
from mockserver.tasks import Task, Timeline, kept_inputs
from validator.check import examine
from validator.contract.expressions import MISSING, Json, format_pointer
from validator.contract.model import Contract, Lifecycle, Operation
from validator.errors import json_type
from validator.keywords import Shape, outcome
from validator.report import abbreviate
from validator.request import HttpRequest

MOST_COMPARED: Final = 500
"""Recorded answers that are compared with the templates when a recording is loaded."""

_ELSEWHERE: Final = 123_456_789
_LONGER: Final = 7_777
"""Milliseconds by which a second rendering is later and took longer, so that what tells times differs."""


class Replays:
    """The tasks of recordings that can be played; `notes` say what cannot, and what will look different."""

    def __init__(self, recordings: Iterable[Recording], contracts: Mapping[str, Contract]) -> None:
        """Take recordings for the providers that are served."""
        self._tasks: dict[tuple[str, str], list[tuple[int, RecordedTask]]] = {}
        self.notes: list[str] = []
        self.count = 0
        compared = 0
        differences: dict[str, None] = {}
        for recording in recordings:
            self.notes += recording.notes
            for task in recording.tasks:
                found = self._playable(task, contracts)
                if found is None:
                    continue
                self._tasks.setdefault((task.provider, task.operation), []).append((self.count, found))
                self.count += 1
                if compared < MOST_COMPARED:
                    compared += len(task.answers)
                    differences.update(dict.fromkeys(_differences(task, contracts[task.provider])))
        self.notes += differences

    def _playable(self, task: RecordedTask, contracts: Mapping[str, Contract]) -> RecordedTask | None:
        """Return the task with a course that the contract knows, to its end; None for one that cannot be."""
        contract = contracts.get(task.provider)
        if contract is None:
            self.notes.append(f"{task}: {task.provider[:80]} is not served here")
            return None
        operation = contract.operations.get(task.operation)
        if operation is None or operation.lifecycle is None or operation.role != "create":
            self.notes.append(f"{task}: {task.provider} makes no tasks with {task.operation[:80]}")
            return None
        lifecycle = operation.lifecycle
        for _, state in task.course:
            if state not in lifecycle.states:
                self.notes.append(
                    f"{task}: state {abbreviate(state)} is not in the contract, and is left out"
                )
        course = tuple(entry for entry in task.course if entry[1] in lifecycle.states)
        if not course or course[0][0] > 0:
            course = ((0, lifecycle.initial), *course)
        whole = _to_its_end(course, lifecycle)
        if whole != course:
            self.notes.append(f"{task}: nobody saw it end; from {course[-1][1]} on it takes the usual course")
        return replace(task, course=whole)

    def find(
        self, provider: str, operation: str, digest: str, played: set[int], *, is_failing: bool
    ) -> tuple[RecordedTask, str] | None:
        """Return (the recorded task whose course a new one takes, why that one), None for the usual course.

        One whose request was equal comes first, then the next in the recorded order; `played` are those that were,
        and takes the new one in.  A request that fails by a rule takes the course of an equal one only.
        """
        tasks = self._tasks.get((provider, operation), ())
        equal = [(number, task) for number, task in tasks if task.digest == digest]
        fresh = [pair for pair in equal if pair[0] not in played] or equal[-1:]
        why = "the request is equal"
        if not fresh and not is_failing:
            fresh = [pair for pair in tasks if pair[0] not in played]
            why = "by order; the request differs"
        if not fresh:
            return None
        number, task = fresh[0]
        played.add(number)
        return task, why


def _to_its_end(course: Timeline, lifecycle: Lifecycle) -> Timeline:
    """Return a course that ends: one that was not seen to takes the usual steps from its last state on."""
    at, state = course[-1]
    if lifecycle.states[state].is_final:
        return course
    names = [name for _, name in lifecycle.success]
    if state not in names:
        return (*course, (at + 1, names[-1]))
    since = lifecycle.success[names.index(state)][0]
    later = lifecycle.success[names.index(state) + 1 :]
    return (*course, *((at + offset - since, name) for offset, name in later))


# --- differences ------------------------------------------------------------------------------------------


def _differences(recorded: RecordedTask, contract: Contract) -> Iterator[str]:
    """Yield where recorded answers are not what the templates say of such a task."""
    maker = contract.operations[recorded.operation]
    body = recorded.body if isinstance(recorded.body, dict) else {}
    for answer in recorded.answers:
        operation = contract.operations.get(answer.operation)
        if operation is None or maker.lifecycle is None or answer.state not in maker.lifecycle.states:
            continue
        both = [
            rendered(operation, task, maker, at=_now(task), server=task.base, body=body)
            for task in _twins(recorded, answer, contract, maker, body)
        ]
        if both[0] is not MISSING:
            where = f"{contract.id} {operation.id}, {answer.state}"
            yield from _compared(where, answer.body, both)


def _twins(
    recorded: RecordedTask,
    answer: RecordedAnswer,
    contract: Contract,
    maker: Operation,
    body: Mapping[str, Json],
) -> Sequence[Task]:
    """Return two tasks that differ in what every task has of its own, and in nothing else."""
    request = HttpRequest.from_json(maker.method, maker.path, dict(body))
    seen = examine(contract, request, operation=maker.id)
    made = None
    if maker.body is not None and maker.body.capabilities is not None:
        made = outcome(maker.body, body, seen.pictures, seen.row)
    one = Task(
        id=recorded.task,
        provider=contract.id,
        operation=maker.id,
        account="recorded",
        request_id="recorded",
        created=_ELSEWHERE,
        timeline=_until(recorded.course, answer.state),
        input=kept_inputs(maker, body),
        price=made.cost if made is not None else None,
        shape=(made.shape if made is not None else None)
        or Shape(width=16, height=9, fps=1, frames=1, seconds=1.0),
        failure=recorded.failure,
        base="http://one.example",
        media_base="http://one.example",
    )
    other = replace(
        one,
        id=recorded.task[::-1] + "-",
        request_id="other",
        created=2 * _ELSEWHERE,
        timeline=tuple((at and at + _LONGER, state) for at, state in one.timeline),
        base="http://other.example",
        media_base="http://other.example",
    )
    return one, other


def _until(course: Timeline, state: str) -> Timeline:
    """Return a course up to a state; one that it does not pass through begins with that state."""
    names = [name for _, name in course]
    return course[: names.index(state) + 1] if state in names else ((0, state),)


def _now(task: Task) -> int:
    """Return the time (milliseconds) at which a task enters its last state."""
    return task.created + task.timeline[-1][0]


def _compared(where: str, recorded: Json, both: Sequence[Json]) -> Iterator[str]:
    ours, others = (dict(leaves(body)) for body in both)
    theirs = dict(leaves(recorded))
    for pointer, value in theirs.items():
        shown = format_pointer(list(pointer)) or "the whole"
        if pointer not in ours:
            if not any(_is_above(pointer, one) or _is_above(one, pointer) for one in ours):
                yield f"{where}: {shown} stands in the recording, and not in our answer"
            else:
                yield f"{where}: {shown} has another form in our answer"
        elif _is_hidden(value):
            continue
        elif json_type(value) != json_type(ours[pointer]):
            kinds = f"{json_type(value)} in the recording, {json_type(ours[pointer])} in our answer"
            yield f"{where}: {shown} is {kinds}"
        elif ours[pointer] == others.get(pointer, MISSING) and value != ours[pointer]:
            yield f"{where}: {shown} was {abbreviate(value)}, and is {abbreviate(ours[pointer])} in our answer"
    for pointer in ours:
        if pointer not in theirs and not any(
            _is_above(pointer, one) or _is_above(one, pointer) for one in theirs
        ):
            yield f"{where}: {format_pointer(list(pointer))} stands in our answer, and not in the recording"


def _is_above(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether one place is part of what the other leads to, so that one is empty where the other is not."""
    return len(one) < len(other) and other[: len(one)] == one


def _is_hidden(value: Json) -> bool:
    """Tell whether a recorded text is not what it was: a credential, or one that was cut."""
    return isinstance(value, str) and (REDACTED in value or "… (" in value)
