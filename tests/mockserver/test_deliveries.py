"""Deliveries: what a timeline asks to be told, and what a receiver's answer means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mockserver.deliveries import Delivery, judge, planned
from tests.mock import NOON
from tests.mockserver.test_tasks import FAILING, operation, task
from tests.providers import LIBRARY, contract
from validator.contract.model import Callback


def callback() -> Callback:
    (known,) = operation().callbacks
    return known


def test_each_state_that_is_told_is_due_when_it_is_entered() -> None:
    assert planned(task(), callback()) == [(NOON + 2_000, "working"), (NOON + 12_000, "done")]
    assert planned(task(timeline=FAILING), callback()) == [(NOON + 1_500, "broken")]


def test_a_state_that_is_not_told_is_not_planned() -> None:
    quiet = replace(callback(), states=frozenset(("done",)))

    assert planned(task(), quiet) == [(NOON + 12_000, "done")]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((200, "delivered"), (204, "delivered"), (299, "delivered")),
        *((410, "stop"), (301, "stop"), (400, "stop"), (404, "stop"), (199, "stop")),
        *((429, "retry"), (500, "retry"), (503, "retry"), (599, "retry"), (None, "retry")),
    ],
)
def test_without_other_words_no_answer_429_and_5xx_are_tried_again(status: int | None, expected: str) -> None:
    assert expected == judge(callback(), status)


@pytest.mark.parametrize(
    ("retry_on", "again"),
    [
        ({"network"}, {None}),
        ({"5xx"}, {500, 503}),
        ({"4xx"}, {400, 404, 429}),
        ({"429"}, {429}),
        ({"3xx"}, {302}),
        (set(), set()),
    ],
)
def test_only_what_the_spec_names_is_tried_again(retry_on: set[str], again: set[int | None]) -> None:
    chosen = replace(callback(), retry_on=frozenset(retry_on))

    answers = (None, 302, 400, 404, 410, 429, 500, 503)

    assert again == {status for status in answers if judge(chosen, status) == "retry"}


def test_gone_stops_whatever_is_tried_again() -> None:
    assert judge(replace(callback(), retry_on=frozenset(("4xx",))), 410) == "stop"


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        *(("waiting", True), ("retrying", True), ("delivered", False), ("failed", False)),
        *(("refused", False), ("canceled", False)),
    ],
)
def test_a_delivery_is_open_while_there_is_something_to_do(status: str, is_open: bool) -> None:
    known = Delivery(
        id="d",
        task_id="t",
        provider="toy",
        operation="createClip",
        callback="onChange",
        url="http://receiver.test/",
        state="done",
        due=NOON,
        status=status,  # type: ignore[arg-type]
    )

    assert is_open == known.is_open


@pytest.mark.parametrize("name", LIBRARY)
def test_every_final_state_of_a_provider_with_callbacks_is_told(name: str) -> None:
    for create in contract(name).operations.values():
        for hook in create.callbacks:
            assert create.lifecycle is not None
            final = {state for state, known in create.lifecycle.states.items() if known.is_final}

            assert final <= hook.states
