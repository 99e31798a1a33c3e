"""Create, read and list, where the state machine looks too seldom: limits of time, names that come free."""

from __future__ import annotations

from pathlib import Path

import pytest

from mockserver.actions import readings
from mockserver.store import MemoryStore, SqliteStore, Store
from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.pictures import picture
from tests.providers import LIBRARY, contract


@pytest.fixture(params=["memory", "file"])
def mock(request: pytest.FixtureRequest, tmp_path: Path) -> Mock:
    """A server whose clock is at rest, on either store."""
    store: Store = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "store.db"))
    made = Mock(store=store, log="off")
    request.addfinalizer(made.stop)
    made.freeze()
    return made


# --- names ------------------------------------------------------------------------------------------------


def test_a_name_is_taken_while_its_task_is_kept_and_no_longer(mock: Mock) -> None:
    first = mock.clip(name="mine")
    mock.advance("P1D")
    taken = mock.create(name="mine")
    mock.advance("PT0.001S")
    free = mock.create(name="mine")

    assert (409, "name mine is taken") == (taken.status, taken.json["message"])
    assert 200 == free.status, free
    assert 404 == mock.read(first).status
    assert free.json["clip"]["id"] == mock.read("mine").json["clip"]["id"]


def test_a_name_belongs_to_an_account_and_a_tenant(mock: Mock) -> None:
    mine = mock.clip(name="mine")
    other = mock.clip(name="mine", key="other")
    elsewhere = mock.clip(name="mine", base="/t/blue/toy/api")

    assert mine == mock.read("mine").json["clip"]["id"]
    assert other == mock.read("mine", key="other").json["clip"]["id"]
    assert elsewhere == mock.read("mine", base="/t/blue/toy/api").json["clip"]["id"]
    assert 409 == mock.create(name="mine", key="other").status


@pytest.mark.parametrize("name", [None, ""])
def test_an_absent_name_is_no_name(mock: Mock, name: str | None) -> None:
    assert [200, 200] == [mock.create(name=name).status for _ in range(2)]


def test_a_refused_request_takes_no_name(mock: Mock) -> None:
    assert 400 == mock.create(name="mine", model="zz").status
    assert 200 == mock.create(name="mine").status


def test_a_task_that_failed_keeps_its_name(mock: Mock) -> None:
    made = mock.clip(name="mine", picture=picture(width=10, height=10))
    mock.advance("PT2S")

    assert "broken" == mock.state(made)
    assert 409 == mock.create(name="mine").status


def test_an_id_is_found_before_a_name(mock: Mock) -> None:
    first = mock.clip()
    mock.clip(name=first)

    assert first == mock.read(first).json["clip"]["id"]


# --- retention --------------------------------------------------------------------------------------------


def test_a_task_is_kept_for_a_day_and_then_gone_everywhere(mock: Mock) -> None:
    made = mock.clip()
    mock.advance("P1D")
    kept = mock.read(made)
    mock.advance("PT0.001S")
    gone = mock.read(made)

    assert (200, "done") == (kept.status, kept.json["clip"]["state"])
    assert (404, f"No clip {made}") == (gone.status, gone.json["message"])
    assert [] == mock.get("/toy/api/clips", x_toy_key="toy-key-1").json["clips"]


# --- limits -----------------------------------------------------------------------------------------------


def test_name_then_credits_then_running(tmp_path: Path) -> None:
    limits = {("toy", "credits"): 2.0, ("toy", "concurrent-tasks"): 1.0}
    with Mock(limits=limits, log="off") as mock:
        mock.freeze()
        mock.clip(name="mine")

        assert "taken" == mock.create(name="mine", seconds="10").json["code"]
        assert "poor" == mock.create(seconds="10").json["code"]
        busy = mock.create()
        assert ("busy", "1") == (busy.json["code"], busy.headers["retry-after"])
        mock.advance("PT12S")
        assert "taken" == mock.create(name="mine").json["code"]
        assert 200 == mock.create().status
        mock.advance("PT12S")
        assert "poor" == mock.create().json["code"]


@pytest.mark.parametrize(
    ("body", "price"),
    [
        ({}, 1),
        ({"sound": "on"}, 2.5),
        ({"seconds": "10"}, 2),
        ({"seconds": 10}, 2),
        ({"model": "a2", "seconds": "5"}, 2.5),
        ({"model": "a2", "seconds": "10"}, 5),
        ({"model": "a2", "seconds": "10", "name": "n"}, 7.5),
    ],
)
def test_a_task_costs_what_its_row_says(mock: Mock, body: dict[str, str], price: float) -> None:
    made = mock.clip(**body)
    mock.advance("PT12S")

    assert price == mock.admin("GET", f"/tasks/{made}")["price"]
    assert f"{price:g}" == mock.read(made).json["clip"]["paid"]
    wallet = mock.get("/toy/api/wallet?since=0", x_toy_key="toy-key-1").json
    assert {"total": 20, "left": 20 - price} == wallet


def test_a_task_that_failed_gives_its_credits_back() -> None:
    with Mock(limits={("toy", "credits"): 1.0}, log="off") as mock:
        mock.freeze()
        mock.clip(picture=picture(width=10, height=10))
        assert 402 == mock.create().status
        mock.advance("PT2S")
        assert 200 == mock.create().status


def test_an_account_pays_for_itself() -> None:
    with Mock(limits={("toy", "credits"): 1.0}, log="off") as mock:
        mock.clip()

        assert 402 == mock.create().status
        assert 200 == mock.create(key="other").status
        assert 200 == mock.create(base="/t/blue/toy/api").status


def test_a_full_store_is_told_by_the_provider_and_makes_nothing() -> None:
    with Mock(max_tasks=1, log="off") as mock:
        mock.clip()
        full = mock.create()

        assert full.status >= 400
        assert "toy.request.unavailable-store-full" == full.headers["x-mock-violations"]
        assert 1 == mock.admin("GET", "/tasks")["count"]


# --- what moves tasks -------------------------------------------------------------------------------------


def test_a_move_to_a_state_on_the_way_lets_a_failing_task_succeed(mock: Mock) -> None:
    made = mock.clip(picture=picture(width=10, height=10))
    assert "Picture too small" == mock.admin("GET", f"/tasks/{made}")["failure"]

    moved = mock.move(made, state="working")
    mock.advance("PT10S")

    assert None is moved["failure"]
    assert "done" == mock.state(made)


def test_n_reads_make_a_step_and_lists_make_none() -> None:
    with Mock(progress="polls", polls_per_step=3, log="off") as mock:
        made = mock.clip()
        for _ in range(5):
            mock.get("/toy/api/clips", x_toy_key="toy-key-1")

        seen = [mock.state(made) for _ in range(7)]

        assert ["waiting", "waiting", "working", "working", "working", "done", "done"] == seen


def test_reads_of_others_move_nothing() -> None:
    with Mock(progress="polls", log="off") as mock:
        made = mock.clip()
        mock.read(made, key="other")

        assert "waiting" == mock.admin("GET", f"/tasks/{made}")["state"]


# --- lists ------------------------------------------------------------------------------------------------


def test_pages_show_the_newest_first_without_gap_or_overlap(mock: Mock) -> None:
    made = [mock.clip() for _ in range(7)]

    pages = [
        [
            one["id"]
            for one in mock.get(f"/toy/api/clips?page={page}&size=3", x_toy_key="toy-key-1").json["clips"]
        ]
        for page in (1, 2, 3, 4)
    ]

    assert [made[:3:-1], made[3:0:-1], made[:1], []] == pages


def test_a_list_without_a_size_has_that_of_the_spec(mock: Mock) -> None:
    for _ in range(12):
        mock.clip()

    assert 10 == len(mock.get("/toy/api/clips", x_toy_key="toy-key-1").json["clips"])


# --- every provider ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_every_read_finds_a_task_by_its_id(name: str) -> None:
    known = contract(name)
    found = readings(known)

    assert set(found) == {one.id for one in known.operations.values() if one.role == "read"}
    for reading in found.values():
        assert reading.lookups[0].pointer is None


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_what_was_made_can_be_read_by_its_maker_alone(name: str) -> None:
    with Mock(name, log="off") as mock:
        for client in clients(mock, name):
            made = client.made(hook="http://receiver.test/hook")

            assert 200 == client.read(made).status
            client.account = "b"
            assert f"{name}.request.not-found" == client.read(made).headers["x-mock-violations"]
