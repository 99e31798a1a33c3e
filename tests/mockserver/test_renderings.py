"""Where answers say what: found by rendering them, for every provider, plain and with all its variants."""

from __future__ import annotations

import pytest

from mockserver.renderings import places, text_at, time_at
from tests.mock import Mock
from tests.providers import LIBRARY, contract, reading, readings
from validator.contract.model import Contract, Operation

NAMES = ("toy", *LIBRARY)


def readers(known: Contract) -> list[tuple[Operation, Operation]]:
    """Return pairs (operation that answers about a task, operation that made it)."""
    makers = [one for one in known.operations.values() if one.role == "create"]
    out = [(one, one) for one in makers]
    return out + [(known.operations[link.operation], one) for one in makers for link in one.links]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_varied", [False, True])
def test_every_answer_about_a_task_says_which_and_in_which_state(name: str, is_varied: bool) -> None:
    for answering, maker in readers(reading(name, readings(name)[-1] if is_varied else ())):
        by_state = places(answering, maker)

        assert maker.lifecycle is not None
        assert by_state
        for state, where in by_state.items():
            assert state in maker.lifecycle.states
            assert where.id is not None
            assert where.state is not None
        assert 1 == len({where.state for where in by_state.values()}), "it can be read before it is known"


def test_the_toy_says_when_it_changed_and_why_it_failed() -> None:
    known = contract("toy")

    where = places(known.operations["getClip"], known.operations["createClip"])

    assert ("clip", "id") == where["waiting"].id
    assert ("clip", "made") == where["done"].created
    assert ("clip", "changed") == where["done"].updated
    assert ("clip", "why") == where["broken"].message
    assert where["done"].message is None


def test_what_is_found_there_is_what_the_answer_says() -> None:
    known = contract("toy")
    where = places(known.operations["getClip"], known.operations["createClip"])
    with Mock() as mock:
        mock.freeze()
        task = mock.clip()
        mock.advance("PT2S")
        body = mock.read(task).json

    assert (task, "working") == (text_at(body, where["working"].id), text_at(body, where["working"].state))
    born, changed = time_at(body, where["working"].created), time_at(body, where["working"].updated)
    assert born is not None
    assert born + 2_000 == changed


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (1_795_000_000_123, 1_795_000_000_123),
        (1_795_000_000, 1_795_000_000_000),
        ("1795000000", 1_795_000_000_000),
        ("2026-11-18T11:06:40.123Z", 1_795_000_000_123),
        ("2026-11-18T11:06:40", 1_795_000_000_000),
        ("2026-11-18T12:06:40+01:00", 1_795_000_000_000),
        ("yesterday", None),
        ("", None),
        (True, None),
        (None, None),
        ([], None),
        ("9" * 400, 9_999_999_999_999_999_999),
    ],
)
def test_times_are_read_however_they_are_written(text: object, at: int | None) -> None:
    assert at == time_at({"at": text}, ("at",))
