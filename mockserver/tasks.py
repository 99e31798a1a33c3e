"""Tasks: what is remembered of one, and which state it is in at a time.

State is computed from a timeline and a clock, never ticked.  Pure: no I/O, no clock, no chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mockserver.ids import derived_id
from validator.contract.expressions import MISSING, Json, find_member, to_text
from validator.contract.model import Lifecycle, Operation, State
from validator.keywords import Shape

Timeline = tuple[tuple[int, str], ...]
"""Pairs (milliseconds from creation, state), ascending; the present state is the last one not after now."""

NO_INPUT: Final[Mapping[str, Any]] = {}

RESULT_LAG: Final = 73
"""Milliseconds by which a result's id is younger than its task's, where ids tell the time (one capture)."""


@dataclass(slots=True, kw_only=True)
class Task:
    """One task.

    Written once but for `timeline`, `failure`, `reads` and `lookups`, which only the functions of this module change,
    and `is_settled`, which tells that its account knows its end.  `is_charged` when its price was taken at once.
    `input` maps pointers to the values that templates read later; `base` is the URL the client used;
    `hooks` are pairs (callback, address); `rules` the rules that its request broke without being refused;
    `scenarios` what it was asked to meet, by name, and `course` the one they give it, empty for the usual one;
    `lookups` are the reads that asked for it and did not find it.
    """

    id: str
    provider: str
    operation: str
    account: str
    request_id: str
    created: int
    timeline: Timeline
    input: Mapping[str, Any] = field(default_factory=dict)
    price: float | None = None
    shape: Shape | None = None
    failure: str | None = None
    base: str = ""
    media_base: str = ""
    hooks: tuple[tuple[str, str], ...] = ()
    reads: int = 0
    rules: tuple[str, ...] = ()
    is_charged: bool = False
    is_settled: bool = False
    scenarios: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: NO_INPUT)
    course: Timeline = ()
    lookups: int = 0


def state_at(timeline: Timeline, elapsed: int) -> tuple[int, str]:
    """Return (milliseconds when it was entered, state) of the present state."""
    for entry in reversed(timeline):
        if entry[0] <= elapsed:
            return entry
    return timeline[0]


def states_between(timeline: Timeline, after: int, until: int) -> Timeline:
    """Return the entries later than `after` and not later than `until`."""
    return tuple(entry for entry in timeline if after < entry[0] <= until)


def initial_timeline(lifecycle: Lifecycle, *, is_failing: bool, is_timed: bool) -> Timeline:
    """Return the course of a new task: the usual one, the failing one, or only its start where time moves nothing."""
    course = lifecycle.failure if is_failing and lifecycle.failure else lifecycle.success
    return course if is_timed else course[:1]


def next_state(task: Task, lifecycle: Lifecycle, state: str) -> str | None:
    """Return the state that follows on the task's course; None after the last."""
    if task.course:
        # A course may pass through a state twice: how far it has come says where it is.
        passed = len(task.timeline)
        is_on_it = passed <= len(task.course) and task.course[passed - 1][1] == state
        return task.course[passed][1] if is_on_it and passed < len(task.course) else None
    course = lifecycle.failure if task.failure is not None and lifecycle.failure else lifecycle.success
    names = [name for _, name in course]
    if state in names:
        index = names.index(state) + 1
        return names[index] if index < len(names) else None
    return None


def reachable(lifecycle: Lifecycle, state: str) -> frozenset[str]:
    """Return the states that documented steps lead to from a state, however many of them."""
    found: set[str] = set()
    ahead = [state]
    while ahead:
        source = ahead.pop()
        for one in lifecycle.transitions:
            if one.source == source and one.target not in found:
                found.add(one.target)
                ahead.append(one.target)
    return frozenset(found)


def move(task: Task, lifecycle: Lifecycle, state: str, now: int, *, failure: str | None = None) -> None:
    """Put a task into a state now; its future, as time knows it, follows from there.

    A final state has no future.  Raises ValueError for a state the lifecycle does not have.
    """
    if state not in lifecycle.states:
        raise ValueError(f"state '{state}' does not exist; known: {', '.join(lifecycle.states)}")
    elapsed = max(now - task.created, 0)
    past = tuple(entry for entry in task.timeline if entry[0] <= elapsed)
    if past and past[-1][1] != state:
        past = (*past, (elapsed, state))
    task.timeline = past or ((elapsed, state),)
    if failure is not None:
        task.failure = failure
    elif lifecycle.states[state].outcome not in (None, "failure"):
        task.failure = None


def follow(task: Task, lifecycle: Lifecycle) -> None:
    """Append the usual course from the task's last state on, for a clock that moves tasks.

    A task that would have failed no longer does: on that course nothing fails.
    """
    at, state = task.timeline[-1]
    names = [name for _, name in lifecycle.success]
    if state not in names:
        return
    task.failure = None
    start = lifecycle.success[names.index(state)][0]
    later = lifecycle.success[names.index(state) + 1 :]
    task.timeline = (*task.timeline, *((at + offset - start, name) for offset, name in later))


def kept_inputs(operation: Operation, body: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the values that templates will read, with the defaults of members that are not there."""
    if not operation.inputs:
        return NO_INPUT
    defaults = operation.body.defaults if operation.body is not None else {}
    out = {}
    for pointer in operation.inputs:
        value = find_member(body, pointer)
        if value is MISSING:
            value = defaults.get(pointer, MISSING)
        if value is not MISSING:
            out[pointer] = value
    return out or NO_INPUT


class TaskView:
    """A task at an instant, as `$task` expressions see it; everything but the state is computed when asked for."""

    __slots__ = ("_has_url", "_lifecycle", "_operation", "_task", "entered", "phase", "state")

    def __init__(
        self,
        task: Task,
        operation: Operation,
        now: int,
        *,
        state: str | None = None,
        shown: str | None = None,
        has_url: bool = True,
    ) -> None:
        """Take the task as it is at a time (milliseconds), or as it was in a state it had by then.

        The state matters where a task passed through several within one millisecond.  `phase` is the state
        that chooses the template, `state` the word for it: `shown` where another is wanted.
        """
        assert operation.lifecycle is not None
        self._task, self._operation, self._lifecycle = task, operation, operation.lifecycle
        elapsed = now - task.created
        self.entered, self.phase = state_at(task.timeline, elapsed)
        if state is not None and state != self.phase:
            self.entered, self.phase = next(
                entry for entry in reversed(task.timeline) if entry[1] == state and entry[0] <= elapsed
            )
        self.state = shown or self.phase
        self._has_url = has_url

    @property
    def _state(self) -> State:
        return self._lifecycle.states[self.phase]

    @property
    def id(self) -> str:
        return self._task.id

    @property
    def operation(self) -> str:
        return self._task.operation

    @property
    def request_id(self) -> str:
        return self._task.request_id

    @property
    def created(self) -> int:
        return self._task.created

    @property
    def updated(self) -> int:
        return self._task.created + self.entered

    @property
    def expires(self) -> int | None:
        """Return when the result's file goes, only known at the end."""
        life = self._lifecycle.result_expires
        return None if life is None or not self._state.is_final else self.updated + life

    @property
    def elapsed(self) -> int | None:
        """Return milliseconds from creation to the end, only known at the end."""
        return self.entered if self._state.is_final else None

    @property
    def input(self) -> Mapping[str, Any]:
        return self._task.input

    @property
    def price(self) -> float | None:
        return _whole(self._task.price)

    @property
    def cost(self) -> float | None:
        """Return what the task took, as its provider charges, None before the end."""
        if self._task.price is None or not self._state.is_final:
            return None
        return _whole(self._operation.charge.amount(self._task.price, self._state.outcome))

    @property
    def cost_text(self) -> str | None:
        cost = self.cost
        if cost is None:
            return None
        decimals = self._operation.cost_decimals
        return to_text(cost) if decimals is None else f"{cost:.{decimals}f}"

    @property
    def money(self) -> float | None:
        """Return the price in the provider's currency."""
        money = self._operation.money
        if money is None or self._task.price is None:
            return None
        return _whole(round(self._task.price * money.per_unit, money.decimals))

    @property
    def money_text(self) -> str | None:
        money = self._operation.money
        if money is None or self._task.price is None:
            return None
        return f"{self._task.price * money.per_unit:.{money.decimals}f}"

    @property
    def output(self) -> OutputView | None:
        if self._state.outcome != "success" or self._task.shape is None:
            return None
        return OutputView(self._task, self._operation, has_url=self._has_url)

    @property
    def failure(self) -> FailureView | None:
        """Return why the task failed; empty where nobody said, because the member may have to be there."""
        if self._state.outcome != "failure":
            return None
        return FailureView(self._task.failure or "")


def _whole(value: float | None) -> float | int | None:
    """Return an integer where a number is one: providers print 5, not 5.0."""
    return int(value) if value is not None and float(value).is_integer() else value


class OutputView:
    """The result of a task, as `$task.output` expressions see it."""

    __slots__ = ("_has_url", "_operation", "_task", "duration", "fps", "height", "width")

    def __init__(self, task: Task, operation: Operation, *, has_url: bool = True) -> None:
        """Take the result of a task that has a shape."""
        shape = task.shape
        assert shape is not None
        self._task, self._operation, self._has_url = task, operation, has_url
        self.duration: float = shape.seconds
        self.width, self.height, self.fps = shape.width, shape.height, shape.fps

    @property
    def id(self) -> str:
        """Return the id of the file."""
        return output_id(self._task, self._operation)

    @property
    def url(self) -> str | None:
        """Return where the file is served, None where the answer is not to say it."""
        return media_url(self._task, self._operation) if self._has_url else None


@dataclass(frozen=True, slots=True)
class FailureView:
    """Why a task failed, as `$task.failure` expressions see it."""

    message: str
    code: str | None = None


def output_id(task: Task, operation: Operation) -> str:
    """Return the id of a task's result: it follows from the task's own, so that nobody has to remember it."""
    form = operation.output_id or operation.task_id
    assert form is not None
    return derived_id(form, task.id, task.created + RESULT_LAG)


def media_url(task: Task, operation: Operation) -> str:
    """Return the URL of a task's result."""
    return f"{task.media_base}/__media/{task.id}/{output_id(task, operation)}.mp4"
