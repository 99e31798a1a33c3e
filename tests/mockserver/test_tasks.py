"""Tasks: which state a timeline is in, how a move replaces its future, and what a view of it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mockserver.tasks import (
    Task,
    TaskView,
    follow,
    initial_timeline,
    media_url,
    move,
    next_state,
    output_id,
    state_at,
    states_between,
)
from tests.mock import NOON
from tests.providers import LIBRARY, contract
from validator.contract.model import Lifecycle, Operation
from validator.keywords import Shape

COURSE = ((0, "waiting"), (2_000, "working"), (12_000, "done"))
FAILING = ((0, "waiting"), (1_500, "broken"))
SHAPE = Shape(width=128, height=72, fps=10, frames=51, seconds=5.1)


def operation() -> Operation:
    return contract("toy").operations["createClip"]


def lifecycle() -> Lifecycle:
    known = operation().lifecycle
    assert known is not None
    return known


def task(**changes: Any) -> Task:
    known: dict[str, Any] = {
        "id": "clip-1",
        "provider": "toy",
        "operation": "createClip",
        "account": "toy:key-1",
        "request_id": "r-1",
        "created": NOON,
        "timeline": COURSE,
        "price": 2.5,
        "shape": SHAPE,
        "media_base": "http://127.0.0.1:8700",
    }
    return Task(**(known | changes))


def view(at: int, *, state: str | None = None, op: Operation | None = None, **changes: Any) -> TaskView:
    return TaskView(task(**changes), op or operation(), NOON + at, state=state)


# --- timelines --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        (-5, (0, "waiting")),
        (0, (0, "waiting")),
        (1_999, (0, "waiting")),
        (2_000, (2_000, "working")),
        (11_999, (2_000, "working")),
        (12_000, (12_000, "done")),
        (10**12, (12_000, "done")),
    ],
)
def test_the_present_state_is_the_last_one_entered(elapsed: int, expected: tuple[int, str]) -> None:
    assert expected == state_at(COURSE, elapsed)


def test_of_states_entered_at_once_the_last_counts() -> None:
    assert state_at(((0, "waiting"), (5, "working"), (5, "done")), 5) == (5, "done")


def test_between_two_times_the_first_is_left_out_and_the_second_is_not() -> None:
    assert states_between(COURSE, 0, 2_000) == ((2_000, "working"),)
    assert states_between(COURSE, 2_000, 12_000) == ((12_000, "done"),)
    assert states_between(COURSE, 12_000, 10**9) == ()
    assert states_between(COURSE, -1, 10**9) == COURSE


@pytest.mark.parametrize(
    ("is_failing", "is_timed", "expected"),
    [(False, True, COURSE), (True, True, FAILING), (False, False, COURSE[:1]), (True, False, FAILING[:1])],
)
def test_a_new_task_has_the_course_of_its_kind(is_failing: bool, is_timed: bool, expected: Any) -> None:
    assert expected == initial_timeline(lifecycle(), is_failing=is_failing, is_timed=is_timed)


def test_where_nothing_fails_by_itself_a_failing_task_takes_the_usual_course() -> None:
    tame = replace(lifecycle(), failure=None)

    assert initial_timeline(tame, is_failing=True, is_timed=True) == COURSE
    assert next_state(task(failure="why"), tame, "waiting") == "working"


@pytest.mark.parametrize(
    ("state", "is_failing", "expected"),
    [
        ("waiting", False, "working"),
        ("working", False, "done"),
        ("done", False, None),
        ("broken", False, None),
        ("waiting", True, "broken"),
        ("broken", True, None),
        ("working", True, None),
    ],
)
def test_the_next_state_is_that_of_the_course(state: str, is_failing: bool, expected: str | None) -> None:
    assert expected == next_state(task(failure="why" if is_failing else None), lifecycle(), state)


def test_a_course_of_its_own_may_pass_through_a_state_twice() -> None:
    course = ((0, "waiting"), (2_000, "working"), (4_000, "waiting"), (6_000, "working"), (12_000, "done"))
    passed = []

    for steps in range(1, 6):
        one = task(course=course, timeline=tuple((0, state) for _, state in course[:steps]))
        passed.append(next_state(one, lifecycle(), course[steps - 1][1]))

    assert passed == ["working", "waiting", "working", "done", None]
    # Who was moved elsewhere by hand has left the course.
    assert next_state(task(course=course, timeline=((0, "broken"),)), lifecycle(), "broken") is None


# --- moves ------------------------------------------------------------------------------------------------


def test_a_move_replaces_the_future_and_keeps_the_past() -> None:
    moved = task()

    move(moved, lifecycle(), "broken", NOON + 3_000, failure="by hand")

    assert moved.timeline == ((0, "waiting"), (2_000, "working"), (3_000, "broken"))
    assert moved.failure == "by hand"


def test_a_move_to_the_present_state_only_takes_the_future_away() -> None:
    moved = task()

    move(moved, lifecycle(), "working", NOON + 3_000)

    assert moved.timeline == ((0, "waiting"), (2_000, "working"))


def test_two_moves_within_a_millisecond_are_both_kept() -> None:
    moved = task(timeline=COURSE[:1])

    move(moved, lifecycle(), "working", NOON)
    move(moved, lifecycle(), "done", NOON)

    assert moved.timeline == ((0, "waiting"), (0, "working"), (0, "done"))
    assert TaskView(moved, operation(), NOON).state == "done"


def test_a_move_before_the_creation_happens_at_the_creation() -> None:
    moved = task()

    move(moved, lifecycle(), "done", NOON - 1)

    assert moved.timeline == ((0, "waiting"), (0, "done"))


def test_a_timeline_that_has_not_begun_begins_with_the_move() -> None:
    moved = task(timeline=((5_000, "working"),))

    move(moved, lifecycle(), "done", NOON)

    assert moved.timeline == ((0, "done"),)


def test_success_by_hand_forgets_why_the_task_would_have_failed() -> None:
    moved = task(timeline=FAILING, failure="Picture too small")

    move(moved, lifecycle(), "done", NOON + 1_000)

    assert moved.failure is None


def test_a_canceled_task_forgets_why_it_would_have_failed() -> None:
    states = {**lifecycle().states, "gone": replace(lifecycle().states["done"], outcome="canceled")}
    moved = task(timeline=FAILING, failure="Picture too small")

    move(moved, replace(lifecycle(), states=states), "gone", NOON + 1_000)

    assert moved.failure is None


def test_a_step_on_the_way_keeps_why_the_task_will_fail() -> None:
    moved = task(timeline=FAILING, failure="Picture too small")

    move(moved, lifecycle(), "working", NOON + 1_000)

    assert moved.failure == "Picture too small"


def test_a_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        ValueError, match="state 'gone' does not exist; known: waiting, working, done, broken"
    ):
        move(task(), lifecycle(), "gone", NOON)


def test_after_a_move_the_usual_course_follows_from_there() -> None:
    moved = task(timeline=COURSE[:1])
    move(moved, lifecycle(), "working", NOON + 60_000)

    follow(moved, lifecycle())

    assert moved.timeline == ((0, "waiting"), (60_000, "working"), (70_000, "done"))


def test_a_final_state_is_followed_by_nothing() -> None:
    for state in ("done", "broken"):
        moved = task()
        move(moved, lifecycle(), state, NOON + 1_000)

        follow(moved, lifecycle())

        assert moved.timeline == ((0, "waiting"), (1_000, state))


# --- views ------------------------------------------------------------------------------------------------


def test_a_waiting_task_shows_what_it_was_made_with() -> None:
    seen = view(1_500, input={"/name": "a"})

    assert (seen.id, seen.state, seen.operation, seen.request_id) == (
        "clip-1",
        "waiting",
        "createClip",
        "r-1",
    )
    assert (seen.created, seen.updated, seen.input) == (NOON, NOON, {"/name": "a"})
    assert (seen.price, seen.money, seen.money_text) == (2.5, 1.25, "1.25")
    assert (seen.output, seen.failure, seen.expires, seen.elapsed) == (None, None, None, None)
    assert (seen.cost, seen.cost_text) == (None, None)


def test_a_working_task_was_updated_when_it_began() -> None:
    seen = view(9_000)

    assert (seen.state, seen.updated) == ("working", NOON + 2_000)
    assert (seen.output, seen.failure, seen.cost) == (None, None, None)


def test_a_task_that_succeeded_has_a_result_and_a_cost() -> None:
    seen = view(60_000)

    assert (seen.state, seen.updated, seen.elapsed) == ("done", NOON + 12_000, 12_000)
    assert seen.expires == NOON + 12_000 + 3_600_000
    assert (seen.cost, seen.cost_text) == (2.5, "2.50")
    assert seen.failure is None
    out = seen.output
    assert out is not None
    assert (out.duration, out.width, out.height, out.fps) == (5.1, 128, 72, 10)
    assert out.id == output_id(task(), operation())
    assert out.url == f"http://127.0.0.1:8700/__media/clip-1/{out.id}.mp4" == media_url(task(), operation())


def test_a_task_that_failed_says_why_and_costs_nothing() -> None:
    seen = view(60_000, timeline=FAILING, failure="Picture too small")

    assert (seen.state, seen.updated, seen.elapsed) == ("broken", NOON + 1_500, 1_500)
    assert seen.failure is not None
    assert (seen.failure.message, seen.failure.code) == ("Picture too small", None)
    assert (seen.cost, seen.cost_text, seen.price, seen.output) == (0, "0.00", 2.5, None)


def test_a_failure_nobody_explained_is_an_empty_text() -> None:
    failure = view(60_000, timeline=FAILING).failure

    assert failure is not None
    assert failure.message == ""


def test_a_task_without_a_clip_has_no_result() -> None:
    assert view(60_000, shape=None).output is None


def test_a_task_without_a_price_has_no_cost_and_no_money() -> None:
    seen = view(60_000, price=None)

    assert (seen.price, seen.cost, seen.cost_text, seen.money, seen.money_text) == (None,) * 5


def test_without_a_rate_there_is_no_money() -> None:
    seen = view(60_000, op=replace(operation(), money=None))

    assert (seen.money, seen.money_text) == (None, None)


def test_without_decimals_a_cost_is_written_as_it_is() -> None:
    bare = replace(operation(), cost_decimals=None)

    assert view(60_000, op=bare).cost_text == "2.5"
    assert view(60_000, op=bare, price=5.0).cost_text == "5"


def test_whole_numbers_are_whole() -> None:
    seen = view(60_000, price=5.0)

    assert [type(value) for value in (seen.price, seen.cost)] == [int, int]
    assert type(view(60_000, price=2.0).money) is int


def test_without_an_expiry_nothing_expires() -> None:
    forever = replace(operation(), lifecycle=replace(lifecycle(), result_expires=None))

    assert view(60_000, op=forever).expires is None


def test_a_view_of_a_former_state_shows_that_state() -> None:
    moved = task(timeline=((0, "waiting"), (5, "working"), (5, "done")))

    seen = TaskView(moved, operation(), NOON + 5, state="working")

    assert (seen.state, seen.updated, seen.output) == ("working", NOON + 5, None)


def test_a_result_keeps_its_id() -> None:
    first, again = task(), task(timeline=COURSE[:1])

    assert output_id(first, operation()) == output_id(again, operation())
    assert output_id(first, operation()) != output_id(task(id="clip-2"), operation())


def test_a_result_without_a_form_of_its_own_has_an_id_like_the_task() -> None:
    bare = replace(operation(), output_id=None)

    assert output_id(task(), bare).startswith("clip-")


@pytest.mark.parametrize("name", LIBRARY)
def test_every_state_of_every_provider_can_be_seen(name: str) -> None:
    creates = [one for one in contract(name).operations.values() if one.lifecycle is not None]
    for create in creates:
        known = create.lifecycle
        assert known is not None
        for state, meaning in known.states.items():
            seen = TaskView(task(timeline=((0, state),), operation=create.id), create, NOON + 1)

            assert seen.state == state
            assert (seen.output is not None) == (meaning.outcome == "success")
            assert (seen.failure is not None) == (meaning.outcome == "failure")
            assert (seen.elapsed is not None) == meaning.is_final
    assert creates
