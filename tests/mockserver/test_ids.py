"""Ids: each form as the provider writes it, the same again for the same seed, never the same twice."""

from __future__ import annotations

import re
import uuid

import pytest

from mockserver.ids import Dice, derived_id
from tests.mock import NOON
from tests.providers import LIBRARY, contract
from validator.contract.model import Identifier

EPOCH = 1_600_000_000_000


def form(format: str, *, length: int = 0, prefix: str = "", epoch: int = 0, shift: int = 0) -> Identifier:
    return Identifier(format=format, length=length, prefix=prefix, epoch=epoch, shift=shift)  # type: ignore[arg-type]


FORMS = [
    (form("uuid"), r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    (form("snowflake", epoch=EPOCH, shift=22), r"[1-9]\d{17}"),
    (form("nanoid", length=21), r"[A-Za-z0-9_-]{21}"),
    (form("nanoid", length=64), r"[A-Za-z0-9_-]{64}"),
    (form("hex", length=24, prefix="task-"), r"task-[0-9a-f]{24}"),
    (form("digits", length=19), r"[1-9]\d{18}"),
    (form("digits", length=1), r"[1-9]"),
]


@pytest.mark.parametrize(("identifier", "pattern"), FORMS, ids=lambda value: getattr(value, "format", ""))
def test_each_form_is_written_as_it_is_asked_for(identifier: Identifier, pattern: str) -> None:
    dice = Dice(1, "default")

    drawn = [dice.id(identifier, NOON) for _ in range(500)]

    assert all(re.fullmatch(pattern, text) for text in drawn)
    assert all(re.fullmatch(pattern, derived_id(identifier, text, NOON)) for text in drawn)


@pytest.mark.parametrize(("identifier", "_"), FORMS[:-1], ids=lambda value: getattr(value, "format", ""))
def test_the_same_seed_draws_the_same_ids(identifier: Identifier, _: str) -> None:
    one, same, other = Dice(7, "default"), Dice(7, "default"), Dice(8, "default")

    first = [one.id(identifier, NOON) for _ in range(20)]

    assert first == [same.id(identifier, NOON) for _ in range(20)]
    assert not set(first) & {other.id(identifier, NOON) for _ in range(20)}


def test_each_tenant_draws_its_own() -> None:
    assert Dice(7, "a").uuid() != Dice(7, "b").uuid()


def test_without_a_seed_ids_are_new_each_time() -> None:
    assert Dice(None, "default").uuid() != Dice(None, "default").uuid()


def test_ten_thousand_are_all_different() -> None:
    dice = Dice(3, "default")

    for identifier in (form("uuid"), form("nanoid", length=21), form("digits", length=19)):
        assert len({dice.id(identifier, NOON) for _ in range(10_000)}) == 10_000


def test_a_snowflake_tells_its_time() -> None:
    identifier = form("snowflake", epoch=EPOCH, shift=22)

    drawn = int(Dice(1, "default").id(identifier, NOON))

    assert (drawn >> 22) + EPOCH == NOON


@pytest.mark.parametrize("at", [0, EPOCH, NOON, 4_102_444_800_000, 253_402_300_799_000])
def test_a_snowflake_looks_like_one_whatever_year_it_is(at: int) -> None:
    # 1970, the epoch itself, 2026, 2100 and 9999.
    drawn = Dice(1, "default").id(form("snowflake", epoch=EPOCH, shift=22), at)

    assert len(drawn) in (18, 19)
    assert int(drawn) < 1 << 63


def test_request_ids_are_uuids_and_all_different() -> None:
    dice = Dice(None, "default")

    drawn = {dice.request_id() for _ in range(10_000)}

    assert len(drawn) == 10_000
    for text in list(drawn)[:100]:
        assert uuid.UUID(text).version == 4
        assert str(uuid.UUID(text)) == text


def test_request_ids_do_not_shift_task_ids() -> None:
    one, other = Dice(7, "default"), Dice(7, "default")
    for _ in range(5):
        one.request_id()

    assert one.uuid() == other.uuid()


def test_a_derived_id_follows_from_the_first_alone() -> None:
    identifier = form("uuid")

    assert derived_id(identifier, "task-1", NOON) == derived_id(identifier, "task-1", NOON + 5)
    assert derived_id(identifier, "task-1", NOON) != derived_id(identifier, "task-2", NOON)


def test_derived_snowflakes_of_one_instant_are_as_different_as_what_they_come_from() -> None:
    identifier = form("snowflake", epoch=EPOCH, shift=22)
    tasks = [str(((NOON - EPOCH) << 22) | number) for number in range(50_000)]

    derived = {derived_id(identifier, task, NOON) for task in tasks}

    assert len(derived) == 50_000
    assert all(derived_id(identifier, task, NOON) != task for task in tasks[:1_000])


@pytest.mark.parametrize("name", LIBRARY)
def test_every_form_of_every_provider_can_be_written(name: str) -> None:
    forms = {
        one
        for operation in contract(name).operations.values()
        for one in (operation.task_id, operation.output_id, *(hook.id for hook in operation.callbacks))
        if one is not None
    }
    dice = Dice(1, "default")

    for identifier in forms:
        assert dice.id(identifier, NOON).startswith(identifier.prefix)
    assert forms
