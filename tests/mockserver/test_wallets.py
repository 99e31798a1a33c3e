"""Wallets: what is booked when, by which rule, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mockserver.store import MemoryStore, SqliteStore, Store, open_store
from mockserver.tasks import TaskView
from mockserver.wallets import Costs, Wallets, has_price, money_of
from tests.mock import KEY, NOON, Mock, Wall
from tests.mockserver.test_tasks import COURSE, FAILING, task
from tests.providers import LIBRARY, TOY, contract
from validator.contract import load
from validator.contract.model import Contract

ACCOUNT = "toy:key-1"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = open_store(None if request.param == "memory" else str(tmp_path / "mock.sqlite"))
    yield made
    made.close()


def wallets_with(store: Store, *tasks: Any, known: Contract | None = None) -> Wallets:
    """Return wallets in which these tasks are booked as made."""
    made = Wallets(store, {"toy": known or contract("toy")})
    store.account("default", ACCOUNT, NOON)
    for one in tasks:
        store.add("default", one, ())
        made.hold("default", one)
    return made


def account(store: Store) -> Any:
    return store.account("default", ACCOUNT, NOON)


# --- booking ----------------------------------------------------------------------------------------------


def test_what_ended_well_is_taken_and_what_failed_is_let_go(store: Store) -> None:
    good, bad = task(id="good"), task(id="bad", timeline=FAILING)
    running = task(id="on", created=NOON + 9_000)
    wallets = wallets_with(store, good, bad, running)

    wallets.settle_all("default", ACCOUNT, account(store), NOON + 12_000)

    held = account(store)
    assert (held.used, held.reserved, list(held.open)) == (2.5, 2.5, ["on"])
    assert (held.succeeded, held.failed) == (1, 1)
    assert (good.is_settled, bad.is_settled, running.is_settled) == (True, True, False)


class Counted(dict[str, Any]):
    """A dictionary that counts how often it is walked through."""

    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()


def test_tasks_that_all_ended_are_booked_in_one_walk() -> None:
    # Each walk begins at the first place there ever was: one for each task and a million of them take minutes.
    store = MemoryStore()
    wallets = wallets_with(store, *(task(id=f"task-{number}") for number in range(500)))
    held = account(store)
    held.open = known = Counted(held.open)

    wallets.settle("default", ACCOUNT, held, NOON + 12_000)

    assert (held.used, held.open) == (2.5 * 500, {})
    assert known.walks == 1


def test_the_quick_look_stops_at_the_first_that_still_runs(store: Store) -> None:
    wallets = wallets_with(store, task(id="long"), task(id="short", timeline=FAILING))

    wallets.settle("default", ACCOUNT, account(store), NOON + 5_000)

    assert list(account(store).open) == ["long", "short"]
    assert account(store).settled_until == NOON + 12_000


def test_the_quick_look_takes_what_has_ended(store: Store) -> None:
    wallets = wallets_with(store, task(id="a"), task(id="b"))

    wallets.settle("default", ACCOUNT, account(store), NOON + 12_000)

    assert (account(store).used, account(store).open) == (5.0, {})


def test_a_quick_look_too_early_looks_at_nothing(store: Store) -> None:
    wallets = wallets_with(store, task(id="a", timeline=FAILING))
    account(store).settled_until = NOON + 60_000

    wallets.settle("default", ACCOUNT, account(store), NOON + 59_999)
    assert list(account(store).open) == ["a"]

    wallets.settle("default", ACCOUNT, account(store), NOON + 60_000)
    assert list(account(store).open) == []


def test_a_task_that_only_a_hand_moves_is_looked_at_again_in_a_second(store: Store) -> None:
    wallets = wallets_with(store, task(id="a", timeline=COURSE[:1]))

    wallets.settle("default", ACCOUNT, account(store), NOON + 500)

    assert account(store).settled_until == NOON + 1_500


def test_a_task_without_a_price_takes_nothing_and_is_counted(store: Store) -> None:
    wallets = wallets_with(store, task(price=None))

    wallets.settle_all("default", ACCOUNT, account(store), NOON + 60_000)

    assert (account(store).spent, account(store).succeeded) == (0, 1)


def test_a_thousand_small_prices_add_up_exactly(store: Store) -> None:
    wallets = wallets_with(store, *(task(id=str(index), price=0.1) for index in range(1_000)))
    assert account(store).reserved == 100.0

    wallets.settle_all("default", ACCOUNT, account(store), NOON + 60_000)

    assert (account(store).used, account(store).reserved) == (100.0, 0)


def test_a_task_of_an_operation_that_is_gone_holds_nothing_up(store: Store) -> None:
    wallets = wallets_with(store, task(id="old", operation="formerClip"), task(id="b"))

    wallets.settle("default", ACCOUNT, account(store), NOON + 12_000)

    assert (account(store).spent, account(store).open, account(store).succeeded) == (2.5, {}, 1)


def test_a_task_of_a_provider_that_is_not_served_now_is_left_as_it_is(store: Store) -> None:
    wallets_with(store, task())
    other = Wallets(store, {})

    other.settle_all("default", ACCOUNT, account(store), NOON + 60_000)

    assert (list(account(store).open), other.totals({"default": NOON})) == (["clip-1"], {})


# --- taken at create --------------------------------------------------------------------------------------


def charged(refunds: str, tmp_path: Path) -> Contract:
    """Return the toy, its prices taken at create and given back for these ends."""
    plain = "charge: {at: success, "
    text = TOY.read_text()
    assert plain in text
    path = tmp_path / "toy.yaml"
    path.write_text(text.replace(plain, f"charge: {{at: create, refunds: [{refunds}], "))
    return load(path)


@pytest.mark.parametrize(
    ("refunds", "used", "paid"), [("", 2.5, "2.5"), ("failure", 0, "0"), ("failure, canceled", 0, "0")]
)
def test_a_failure_gives_back_what_the_provider_gives_back(
    refunds: str, used: float, paid: str, tmp_path: Path, store: Store
) -> None:
    known = charged(refunds, tmp_path)
    failing = task(timeline=FAILING, is_charged=True)
    wallets = wallets_with(store, failing, known=known)
    assert (account(store).used, account(store).reserved) == (2.5, 0)

    wallets.settle_all("default", ACCOUNT, account(store), NOON + 60_000)

    assert (account(store).used, account(store).failed) == (used, 1)
    assert wallets.run["toy"] == Costs(failed=1, used=used)


def test_the_task_itself_says_what_it_took(tmp_path: Path) -> None:
    view = TaskView(task(timeline=FAILING), charged("", tmp_path).operations["createClip"], NOON + 60_000)

    assert (view.cost, view.cost_text) == (2.5, "2.50")


def test_a_price_taken_at_once_is_in_the_evidence_table(tmp_path: Path) -> None:
    rows = [one for one in charged("failure", tmp_path).statements if one.kind == "charge"]

    assert ["taken at create, given back after failure"] == [one.text for one in rows]


# --- what is forgotten ------------------------------------------------------------------------------------


def forgetting(store: Store, *tasks: Any) -> tuple[Wallets, Any]:
    wallets = wallets_with(store, *tasks)
    wallets.forget("default", ACCOUNT, contract("toy").operations["createClip"], NOON + 86_400_000 + 20_000)
    return wallets, account(store)


def test_what_a_forgotten_task_took_stays_taken(store: Store) -> None:
    wallets, held = forgetting(store, task(id="old"), task(id="young", created=NOON + 86_400_000))

    assert store.get("default", "old") is None
    assert (held.used, held.reserved, held.succeeded) == (5.0, 0, 2)
    assert wallets.run["toy"] == Costs(succeeded=2, used=5.0)


def test_a_task_forgotten_under_way_lets_go_of_what_was_reserved(store: Store) -> None:
    stuck = {"timeline": COURSE[:1]}
    wallets, held = forgetting(
        store, task(id="old", **stuck), task(id="young", created=NOON + 40_000, **stuck)
    )

    assert (list(held.open), held.used, held.reserved) == (["young"], 0, 2.5)
    assert wallets.run["toy"] == Costs(running=1)


def test_what_is_young_enough_stays_and_nothing_is_looked_at(store: Store) -> None:
    wallets = wallets_with(store, task())

    wallets.forget("default", ACCOUNT, contract("toy").operations["createClip"], NOON + 86_400_000)

    assert store.get("default", "clip-1") is not None
    assert list(account(store).open) == ["clip-1"]


def test_what_is_forgotten_by_a_list_after_a_restart_is_still_paid_for(tmp_path: Path) -> None:
    wall, path = Wall(), str(tmp_path / "mock.sqlite")
    with Mock(store=SqliteStore(path), wall=wall, log="off") as mock:
        mock.clip()
    wall.at += 2 * 86_400_000

    with Mock(store=SqliteStore(path), wall=wall, log="off") as mock:
        listed = mock.get("/toy/api/clips", x_toy_key=KEY)
        assert [] == listed.json["clips"]
        left = mock.get("/toy/api/wallet?since=0", x_toy_key=KEY).json

    assert {"total": 20, "left": 19} == left


# --- sums -------------------------------------------------------------------------------------------------


def test_the_totals_of_a_run_need_nobody_who_looked_before(store: Store) -> None:
    wallets = wallets_with(
        store, task(id="a"), task(id="b", timeline=FAILING), task(id="c", created=NOON + 1)
    )

    found = wallets.totals({"default": NOON + 12_000})

    assert found == {"toy": Costs(succeeded=1, failed=1, running=1, used=2.5, reserved=2.5)}
    assert len(account(store).open) == 3, "and they change nothing"


def test_a_tenant_that_begins_again_stays_in_the_sums_of_the_run(store: Store) -> None:
    wallets = wallets_with(store, task(id="a"), task(id="b", created=NOON + 1))

    wallets.close("default", NOON + 12_000)
    store.reset("default")

    assert wallets.totals({"default": NOON + 12_000})["toy"] == Costs(
        succeeded=1, running=1, used=2.5, reserved=2.5
    )


def test_a_unit_is_worth_money_where_all_operations_agree() -> None:
    money = money_of(contract("toy"))

    assert money is not None
    assert (money.currency, money.worth(3)) == ("EUR", 1.5)


@pytest.mark.parametrize("name", LIBRARY)
def test_every_provider_of_the_library_has_prices(name: str) -> None:
    assert any(has_price(one) for one in contract(name).operations.values())


# --- through the front door -------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "file"])
def mock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mock]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "store.db"))
    with Mock(store=made, log="off", limits={("toy", "credits"): 5.0}) as server:
        server.freeze()
        yield server


def test_a_failure_makes_room_for_another_task(mock: Mock) -> None:
    first, *_ = (mock.clip(seconds="10") for _ in range(2))
    assert 402 == mock.create(seconds="10").status

    mock.move(first, outcome="failure")

    assert 200 == mock.create(seconds="10").status
    assert 402 == mock.create(seconds="10").status


def test_a_success_makes_no_room(mock: Mock) -> None:
    for _ in range(2):
        mock.clip(seconds="10")
    mock.advance("PT1M")

    assert 402 == mock.create(seconds="10").status
    assert 200 == mock.create().status, "what is left is enough for a cheaper one"


def test_reads_that_end_a_task_badly_make_room_at_once(tmp_path: Path) -> None:
    with Mock(log="off", limits={("toy", "credits"): 1.0}, progress="polls") as mock:
        mock.freeze()
        small = mock.clip(picture="http://picture.test/x.png")
        assert 402 == mock.create().status
        mock.move(small, outcome="failure")
        assert 200 == mock.create().status


def test_tasks_at_once_are_counted_until_they_end() -> None:
    with Mock(log="off", limits={("toy", "concurrent-tasks"): None}) as mock:
        mock.freeze()
        first, second = mock.clip(), mock.clip()
        assert (429, "busy") == ((reply := mock.create()).status, reply.json["code"])
        mock.move(second, outcome="success")
        assert 200 == mock.create().status
        mock.move(first, outcome="failure")
        mock.advance("PT1M")
        assert [200, 200, 429] == [mock.create().status for _ in range(3)]


# --- budgets ----------------------------------------------------------------------------------------------


@pytest.fixture
def frugal() -> Iterator[Mock]:
    with Mock(log="off", budgets={"toy": 5.0}) as server:
        server.freeze()
        yield server


def test_past_the_budget_a_task_is_refused_as_by_an_empty_account(frugal: Mock) -> None:
    for key in ("one-key", "two-key"):
        frugal.clip(seconds="10", key=key)

    reply = frugal.create(seconds="10", key="three-key")

    assert (402, "poor", "Pay first") == (reply.status, reply.json["code"], reply.json["message"])
    assert "toy.request.quota-exhausted-budget" == reply.headers["x-mock-violations"]


def test_the_journal_says_what_the_run_would_have_cost(frugal: Mock) -> None:
    for _ in range(2):
        frugal.clip(seconds="10")
    frugal.create(seconds="10")

    entry = frugal.admin("GET", "/requests?verdict=refused")["requests"][0]

    (violation,) = entry["report"]["violations"]
    assert "the tasks of the tenant cost more than its budget allows" == violation["message"]
    assert "2 for this task, 6 for the run with it" == violation["found"]
    assert "a budget of 5, of which 4 are spent" == violation["allowed"]


def test_what_failed_counts_no_more_against_the_budget(frugal: Mock) -> None:
    first = frugal.clip(seconds="10")
    frugal.clip(seconds="10", key="other-key")
    assert 402 == frugal.create(seconds="10", key="other-key").status

    frugal.move(first, outcome="failure")

    assert 200 == frugal.create(seconds="10", key="other-key").status


def test_each_tenant_has_the_budget_for_itself(frugal: Mock) -> None:
    for tenant in ("a", "b"):
        base = f"/t/{tenant}/toy/api"
        assert [200, 200, 402] == [frugal.create(seconds="10", base=base).status for _ in range(3)]


def test_without_a_budget_nothing_is_refused() -> None:
    with Mock(log="off") as mock:
        assert {200} == {mock.create(seconds="10").status for _ in range(30)}
