"""Stores: one suite for memory and for the SQLite file, and what the file promises beyond it."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from mockserver import store as module
from mockserver.deliveries import Attempt, Delivery
from mockserver.store import ClockState, MemoryStore, SqliteStore, Store, StoreError, _dump_task, open_store
from mockserver.tasks import move
from tests.mock import NOON
from tests.mockserver.test_tasks import SHAPE, lifecycle, task
from validator.keywords import Shape

ONE, OTHER = "toy:key-1", "toy:key-2"
CREATE, COPY = "createClip", "copyClip"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = open_store(None if request.param == "memory" else str(tmp_path / "mock.sqlite"))
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mock.sqlite"


def fill(
    store: Store, count: int, *, tenant: str = "default", every: int = 1_000, **changes: Any
) -> list[str]:
    """Add so many tasks, one after the other, and return their ids."""
    start = store.count(tenant)
    names = [f"t{start + index}" for index in range(count)]
    for index, name in enumerate(names):
        store.add(tenant, task(id=name, created=NOON + every * (start + index), **changes), ())
    return names


def page(store: Store, skip: int, size: int, *operations: str, account: str = ONE) -> list[str]:
    return [one.id for one in store.page("default", account, operations or (CREATE,), skip, size)]


def delivery(name: str, **changes: Any) -> Delivery:
    known: dict[str, Any] = {
        "id": name,
        "task_id": "t0",
        "provider": "toy",
        "operation": CREATE,
        "callback": "onChange",
        "url": "http://receiver.test/",
        "state": "done",
        "due": NOON,
        "next_at": NOON,
    }
    return Delivery(**(known | changes))


# --- tasks ------------------------------------------------------------------------------------------------


def test_a_task_is_found_by_its_id_as_it_was(store: Store) -> None:
    made = task(
        id="t0",
        input={"/name": "ünï", "/flags": [1, 2.5, None]},
        failure="Picture too small",
        hooks=(("onChange", "http://receiver.test/"),),
        rules=("toy.clip.old",),
        shape=replace(SHAPE, has_audio=True),
    )

    store.add("default", made, ())

    assert store.get("default", "t0") == made
    assert store.get("default", "t1") is None
    assert store.get("other", "t0") is None


def test_a_task_without_anything_is_kept_as_well(store: Store) -> None:
    made = task(id="t0", price=None, shape=None)

    store.add("default", made, ())

    assert store.get("default", "t0") == made


def test_a_task_is_found_by_name_within_its_account(store: Store) -> None:
    store.add("default", task(id="t0", account=ONE), (("/name", "a"), ("/label", "a")))
    store.add("default", task(id="t1", account=OTHER), (("/name", "a"),))

    found = [store.find("default", *key, "a") for key in ((ONE, "/name"), (ONE, "/label"), (OTHER, "/name"))]

    assert [one.id for one in found if one] == ["t0", "t0", "t1"]
    assert store.find("default", OTHER, "/label", "a") is None
    assert store.find("default", ONE, "/name", "b") is None
    assert store.find("other", ONE, "/name", "a") is None


def test_of_two_with_one_name_the_later_is_found(store: Store) -> None:
    store.add("default", task(id="t0"), (("/name", "a"),))
    store.add("default", task(id="t1"), (("/name", "a"),))

    found = store.find("default", ONE, "/name", "a")

    assert found is not None
    assert found.id == "t1"


def test_what_changed_and_was_saved_is_seen(store: Store) -> None:
    store.add("default", task(id="t0"), ())
    known = store.get("default", "t0")
    assert known is not None

    move(known, lifecycle(), "broken", NOON + 5_000, failure="by hand")
    known.reads = 3
    store.save("default", known)

    again = store.get("default", "t0")
    assert again is not None
    assert again.timeline == ((0, "waiting"), (2_000, "working"), (5_000, "broken"))
    assert (again.failure, again.reads) == ("by hand", 3)


# --- pages ------------------------------------------------------------------------------------------------


def test_a_page_shows_the_newest_first(store: Store) -> None:
    fill(store, 5)

    assert page(store, 0, 2) == ["t4", "t3"]
    assert page(store, 2, 2) == ["t2", "t1"]
    assert page(store, 4, 2) == ["t0"]


def test_a_page_past_the_end_is_empty(store: Store) -> None:
    fill(store, 5)

    assert page(store, 5, 2) == []
    assert page(store, 10**6, 500) == []
    assert page(store, 0, 5, account="toy:nobody") == []
    assert page(store, 0, 5, "other") == []


def test_pages_of_any_size_give_every_task_once(store: Store) -> None:
    names = fill(store, 47)

    for size in (1, 7, 46, 47, 48, 500):
        seen = [name for skip in range(0, 60, size) for name in page(store, skip, size)]

        assert seen == names[::-1]


def test_accounts_and_operations_do_not_mix(store: Store) -> None:
    for index, (account, operation) in enumerate(
        ((ONE, CREATE), (OTHER, CREATE), (ONE, COPY), (ONE, CREATE))
    ):
        made = task(id=f"t{index}", account=account, operation=operation, created=NOON + index)
        store.add("default", made, ())

    assert page(store, 0, 9) == ["t3", "t0"]
    assert page(store, 0, 9, account=OTHER) == ["t1"]
    assert page(store, 0, 9, COPY) == ["t2"]


@pytest.mark.parametrize("every", [1_000, 0], ids=["apart", "at one instant"])
def test_several_operations_make_one_list(store: Store, every: int) -> None:
    for index in range(9):
        made = task(id=f"t{index}", operation=(CREATE, COPY)[index % 2], created=NOON + every * index)
        store.add("default", made, ())
    newest = [f"t{index}" for index in range(8, -1, -1)]

    assert page(store, 0, 9, CREATE, COPY) == newest
    assert page(store, 0, 9, COPY, CREATE) == newest
    assert page(store, 3, 4, CREATE, COPY) == newest[3:7]
    assert page(store, 8, 4, CREATE, COPY) == newest[8:]
    assert page(store, 9, 4, CREATE, COPY) == []


def test_all_tasks_of_a_tenant_come_newest_first(store: Store) -> None:
    names = fill(store, 450)
    fill(store, 3, tenant="other")

    assert [one.id for one in store.newest("default")] == names[::-1]
    assert next(iter(store.newest("default"))).id == "t449"
    assert len(list(store.newest("other"))) == 3
    assert list(store.newest("nobody")) == []


def test_tasks_are_counted_by_tenant_and_together(store: Store) -> None:
    fill(store, 3)
    fill(store, 2, tenant="other")

    assert (store.count("default"), store.count("other"), store.count("nobody")) == (3, 2, 0)
    assert store.count() == 5


# --- forgetting -------------------------------------------------------------------------------------------


def test_only_what_is_older_is_forgotten(store: Store) -> None:
    fill(store, 5)

    store.forget("default", ONE, CREATE, NOON + 2_000)

    assert page(store, 0, 9) == ["t4", "t3", "t2"]
    assert [store.get("default", name) is None for name in ("t0", "t1", "t2")] == [True, True, False]
    assert (store.count("default"), store.count()) == (3, 3)


def test_forgetting_leaves_other_accounts_and_operations_alone(store: Store) -> None:
    store.add("default", task(id="t0"), ())
    store.add("default", task(id="t1", account=OTHER), ())
    store.add("default", task(id="t2", operation=COPY), ())
    store.add("other", task(id="t3"), ())

    store.forget("default", ONE, CREATE, NOON + 1)

    left = [store.get(*key) is not None for key in (("default", "t1"), ("default", "t2"), ("other", "t3"))]
    assert left == [True, True, True]
    assert store.get("default", "t0") is None


def test_forgetting_nothing_is_no_harm(store: Store) -> None:
    store.forget("default", ONE, CREATE, NOON)
    fill(store, 1)

    store.forget("default", ONE, CREATE, NOON)

    assert page(store, 0, 9) == ["t0"]


def test_a_forgotten_task_takes_its_names_along(store: Store) -> None:
    store.add("default", task(id="t0"), (("/name", "a"), ("/label", "old")))
    store.add("default", task(id="t1", created=NOON + 10), (("/name", "a"),))

    store.forget("default", ONE, CREATE, NOON + 1)

    found = store.find("default", ONE, "/name", "a")
    assert found is not None
    assert found.id == "t1"
    assert store.find("default", ONE, "/label", "old") is None


def test_what_comes_after_the_forgotten_is_listed_in_order(store: Store) -> None:
    fill(store, 6)
    store.forget("default", ONE, CREATE, NOON + 4_000)

    for name in ("new1", "new2", "new3"):
        store.add("default", task(id=name, created=NOON + 9_000), ())

    assert page(store, 0, 2) == ["new3", "new2"]
    assert page(store, 2, 2) == ["new1", "t5"]
    assert page(store, 4, 2) == ["t4"]
    assert page(store, 5, 2) == []


def test_an_account_that_forgot_everything_begins_again(store: Store) -> None:
    fill(store, 3)
    store.forget("default", ONE, CREATE, NOON + 10**6)
    assert page(store, 0, 9) == []

    store.add("default", task(id="new", created=NOON + 10**6), ())

    assert page(store, 0, 9) == ["new"]
    assert store.count() == 1


def test_much_that_is_forgotten_leaves_good_pages(store: Store) -> None:
    names = fill(store, 300)

    for keep in (250, 120, 90, 20):
        store.forget("default", ONE, CREATE, NOON + 1_000 * (300 - keep))
        left = names[300 - keep :][::-1]

        assert page(store, 0, 500) == left
        assert page(store, 0, 500, CREATE, COPY) == left
        assert page(store, keep - 5, 10) == left[-5:]
        assert [one.id for one in store.newest("default")] == left


# --- accounts ---------------------------------------------------------------------------------------------


def test_an_account_is_opened_once(store: Store) -> None:
    first = store.account("default", ONE, NOON)
    again = store.account("default", ONE, NOON + 99)

    assert (first.opened, again.opened, again.used, again.open) == (NOON, NOON, 0, {})
    assert store.account("default", OTHER, NOON + 5).opened == NOON + 5
    assert store.account("other", ONE, NOON + 6).opened == NOON + 6


def test_accounts_that_never_had_a_task_are_forgotten_when_there_are_too_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IDLE", 20)
    store._room = 20  # type: ignore[attr-defined]
    for name in (ONE, OTHER):
        store.account("default", name, NOON)
        made = task(id=f"of {name}", account=name, price=2.0)
        store.add("default", made, ())
        store.hold("default", made)
    store.settle("default", store.account("default", OTHER, NOON).open[f"of {OTHER}"], 2.0, "success")

    for index in range(200):
        store.account(f"tenant {index % 3}", f"toy:key-{index}", NOON)
        store.account("default", f"toy:key-{index}", NOON)

    known = store.accounts("default")
    assert [1, 0] == [len(known[name].open) for name in (ONE, OTHER)]
    assert 2.0 == known[OTHER].used
    assert len(known) + sum(len(store.accounts(f"tenant {index}")) for index in range(3)) <= 20
    assert "toy:key-199" in known


def test_settling_takes_an_amount_and_closes_the_task(store: Store) -> None:
    made = task(id="t0", price=2.5)
    account = store.account("default", ONE, NOON)
    store.add("default", made, ())
    store.hold("default", made)
    assert (account.used, account.reserved, account.spent) == (0, 2.5, 2.5)

    store.settle("default", made, 2.5, "success")

    assert (account.used, account.reserved, account.open) == (2.5, 0, {})
    assert (account.succeeded, account.failed, account.canceled) == (1, 0, 0)
    kept = store.get("default", "t0")
    assert kept is not None
    assert kept.is_settled


@pytest.mark.parametrize(
    ("outcome", "counts"), [("failure", (0, 1, 0)), ("canceled", (0, 0, 1)), (None, (0, 0, 0))]
)
def test_a_price_that_was_taken_at_once_is_given_back(
    store: Store, outcome: str | None, counts: tuple[int, int, int]
) -> None:
    made = task(id="t0", price=2.5, is_charged=True)
    account = store.account("default", ONE, NOON)
    store.add("default", made, ())
    store.hold("default", made)
    assert (account.used, account.reserved) == (2.5, 0)

    store.settle("default", made, 0.0, outcome)

    assert (account.used, account.reserved, account.open) == (0, 0, {})
    assert counts == (account.succeeded, account.failed, account.canceled)


def test_a_task_is_booked_once_however_often_it_is_told(store: Store) -> None:
    made = task(id="t0", price=2.5)
    account = store.account("default", ONE, NOON)
    store.add("default", made, ())

    for _ in range(2):
        store.hold("default", made)
    assert account.spent == 2.5
    for _ in range(2):
        store.settle("default", made, 2.5, "success")

    assert (account.used, account.reserved, account.succeeded) == (2.5, 0, 1)


def test_a_tenant_has_its_accounts_and_no_other_ones(store: Store) -> None:
    store.account("default", ONE, NOON)
    store.account("default", OTHER, NOON)
    store.account("ci", ONE, NOON)

    assert {ONE, OTHER} == set(store.accounts("default"))
    assert {} == store.accounts("nobody")
    assert {("default", ONE), ("default", OTHER), ("ci", ONE)} == {one[:2] for one in store.held()}


def test_the_oldest_task_of_an_operation_is_known_by_its_time(store: Store) -> None:
    assert store.oldest("default", ONE, CREATE) is None
    fill(store, 3)
    first = store.oldest("default", ONE, CREATE)
    assert first is not None

    store.forget("default", ONE, CREATE, first + 1)

    assert first < (store.oldest("default", ONE, CREATE) or 0)
    assert store.oldest("default", ONE, COPY) is None


def test_a_saved_task_is_the_one_its_account_holds(store: Store) -> None:
    made = task(id="t0")
    store.add("default", made, ())
    account = store.account("default", ONE, NOON)
    account.open["t0"] = made
    changed = store.get("default", "t0")
    assert changed is not None

    move(changed, lifecycle(), "broken", NOON + 1)
    store.save("default", changed)

    assert account.open["t0"].timeline == ((0, "waiting"), (1, "broken"))


# --- deliveries -------------------------------------------------------------------------------------------


def test_deliveries_are_numbered_in_their_tenant(store: Store) -> None:
    made = [delivery("a"), delivery("b"), delivery("c")]
    for one in made:
        store.add_delivery("default", one)
    other = delivery("a")
    store.add_delivery("other", other)

    assert [one.number for one in made] == [1, 2, 3]
    assert other.number == 1
    assert [one.id for one in store.deliveries("default")] == ["c", "b", "a"]
    assert list(store.deliveries("nobody")) == []


def test_all_deliveries_of_a_tenant_come_newest_first(store: Store) -> None:
    for index in range(401):
        store.add_delivery("default", delivery(f"d{index}"))
        store.add_delivery("other", delivery(f"o{index}"))

    assert [f"d{index}" for index in reversed(range(401))] == [one.id for one in store.deliveries("default")]


def test_the_newest_delivery_of_a_file_is_read_without_the_others(file: Path) -> None:
    made = SqliteStore(str(file))
    for index in range(401):
        made.add_delivery("default", delivery(f"d{index}", body=b"x" * 1_000))
    gc.collect()
    tracemalloc.start()
    try:
        newest = next(iter(made.deliveries("default")))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        made.close()

    assert "d400" == newest.id
    assert most < 350_000


def test_a_delivery_is_found_as_it_was_saved(store: Store) -> None:
    one = delivery("a")
    store.add_delivery("default", one)

    one.status, one.next_at, one.body = "retrying", NOON + 5_000, b'{"id":"\xc3\xbc"}'
    one.attempts = (Attempt(at=NOON, status=500, error="", took_ms=3, headers=(("A", "b"), ("C", "d"))),)
    store.save_delivery("default", one)

    assert store.delivery("default", "a") == one
    assert store.delivery("default", "b") is None
    assert store.delivery("other", "a") is None


def test_open_deliveries_come_oldest_first(store: Store) -> None:
    for name, status in (
        ("a", "delivered"),
        ("b", "waiting"),
        ("c", "refused"),
        ("d", "retrying"),
        ("e", "waiting"),
    ):
        one = delivery(name)
        store.add_delivery("default", one)
        one.status = status  # type: ignore[assignment]
        store.save_delivery("default", one)

    assert [one.id for one in store.open_deliveries("default")] == ["b", "d", "e"]
    assert store.open_deliveries("nobody") == []


def test_the_deliveries_of_a_task_come_oldest_first(store: Store) -> None:
    for name, task_id in (("a", "t0"), ("b", "t1"), ("c", "t0")):
        store.add_delivery("default", delivery(name, task_id=task_id))

    assert [one.id for one in store.deliveries_of("default", "t0")] == ["a", "c"]
    assert store.deliveries_of("default", "t9") == []


def finish(store: Store, count: int, *, start: int = 0) -> None:
    for index in range(start, start + count):
        one = delivery(f"d{index}", task_id=f"t{index // 2}")
        store.add_delivery("default", one)
        one.status, one.next_at = "delivered", None
        store.save_delivery("default", one)


def test_the_ledger_drops_the_oldest_finished_deliveries(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEDGER_ENTRIES", 100)
    for name in ("old", "older"):
        store.add_delivery("default", delivery(name, task_id="waits"))

    finish(store, 3_000)

    kept = [one.id for one in store.deliveries("default")]
    assert kept[:100] == [f"d{index}" for index in range(2_999, 2_899, -1)]
    assert len(kept) < 100 + 1_000 + 3
    assert [one.id for one in store.open_deliveries("default")] == ["old", "older"]
    assert store.deliveries_of("default", "t0") == []
    assert store.delivery("default", "d0") is None
    assert [one.id for one in store.deliveries_of("default", "waits")] == ["old", "older"]


def test_many_open_deliveries_do_not_push_out_the_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEDGER_ENTRIES", 1_500)

    finish(store, 500)
    for index in range(2_000):
        store.add_delivery("default", delivery(f"open{index}"))
    finish(store, 600, start=500)

    finished = [one.id for one in store.deliveries("default") if not one.is_open]
    assert finished == [f"d{index}" for index in range(1_099, -1, -1)]
    assert len(store.open_deliveries("default")) == 2_000


def test_a_finished_delivery_that_is_sent_again_is_not_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEDGER_ENTRIES", 10)
    finish(store, 1)
    first = store.delivery("default", "d0")
    assert first is not None
    first.status, first.next_at = "retrying", NOON
    store.save_delivery("default", first)

    finish(store, 1_200, start=1)

    assert [one.id for one in store.open_deliveries("default")] == ["d0"]


def test_the_ledger_is_bounded_by_bytes_as_well(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEDGER_BYTES", 1_000_000)
    store.add_delivery("default", delivery("open"))
    for index in range(300):
        one = delivery(f"d{index}")
        store.add_delivery("default", one)
        one.status, one.next_at, one.body = "delivered", None, b"x" * 10_000
        store.save_delivery("default", one)

    ledger = store.ledger("default")

    assert 800_000 < ledger.size_bytes < 1_200_000
    assert 301 == ledger.kept + ledger.dropped
    kept = [one.id for one in store.deliveries("default")]
    assert ledger.kept == len(kept)
    assert kept[:-1] == [f"d{index}" for index in range(299, 299 - len(kept) + 1, -1)], "the newest stay"
    assert "open" == kept[-1]


def test_a_ledger_of_nothing_holds_nothing(store: Store) -> None:
    assert (0, 0, 0) == tuple(
        getattr(store.ledger("none"), name) for name in ("kept", "size_bytes", "dropped")
    )


# --- tenants ----------------------------------------------------------------------------------------------


def test_the_longest_course_is_kept_by_tenant(store: Store) -> None:
    assert store.horizon("default") == 0

    store.save_horizon("default", 5)
    store.save_horizon("default", 12)
    store.save_horizon("ci", 7)
    store.reset("ci")

    assert (store.horizon("default"), store.horizon("ci")) == (12, 0)


def test_clocks_are_kept_by_tenant(store: Store) -> None:
    store.save_clock("default", ClockState(NOON, NOON, 1.0, False))
    store.save_clock("ci", ClockState(NOON, NOON, 1.0, False))
    store.save_clock("ci", ClockState(NOON + 5, NOON + 7, 0.0, True))

    assert store.tenants() == {
        "default": ClockState(NOON, NOON, 1.0, False),
        "ci": ClockState(NOON + 5, NOON + 7, 0.0, True),
    }


def test_a_reset_forgets_one_tenant_and_leaves_the_others(store: Store) -> None:
    for tenant in ("default", "ci"):
        store.save_clock(tenant, ClockState(NOON, NOON, 1.0, False))
        store.add(tenant, task(id="t0"), (("/name", "a"),))
        store.add_delivery(tenant, delivery("d0"))
        account = store.account(tenant, ONE, NOON)
        account.hold(task(id="t0"))
        store.settle(tenant, account.open["t0"], 2.5, "success")
        store.save_quotas(tenant, ONE, {"credits": 3.0})

    store.reset("ci")

    assert (store.count("ci"), store.count("default"), store.count()) == (0, 1, 1)
    assert store.get("ci", "t0") is None
    assert store.find("ci", ONE, "/name", "a") is None
    assert list(store.deliveries("ci")) == store.open_deliveries("ci") == []
    assert store.account("ci", ONE, NOON + 9).used == 0
    assert store.page("ci", ONE, (CREATE,), 0, 9) == []
    assert set(store.tenants()) == {"default"}
    assert store.quotas() == {"default": {ONE: {"credits": 3.0}}}
    assert store.find("default", ONE, "/name", "a") is not None
    assert store.account("default", ONE, NOON + 9).used == 2.5
    assert [one.id for one in store.deliveries("default")] == ["d0"]


def test_after_a_reset_everything_counts_from_the_start(store: Store) -> None:
    fill(store, 3)
    store.add_delivery("default", delivery("d0"))

    store.reset("default")
    fill(store, 2)
    one = delivery("d0")
    store.add_delivery("default", one)

    assert page(store, 0, 9) == ["t1", "t0"]
    assert one.number == 1


def test_a_reset_of_nobody_is_no_harm(store: Store) -> None:
    store.reset("nobody")

    assert store.count() == 0


# --- transactions -----------------------------------------------------------------------------------------


def test_what_is_committed_is_no_longer_dirty(store: Store) -> None:
    async def turn() -> None:
        store.add("default", task(id="t0"), (("/name", "a"),))
        store.add_delivery("default", delivery("d0"))

        await store.committed()

        assert not store.is_dirty
        assert store.get("default", "t0") is not None
        await store.committed()

    asyncio.run(turn())


def test_the_file_commits_once_for_a_turn_of_the_loop(file: Path) -> None:
    store = SqliteStore(str(file))
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)

    async def answer(index: int) -> None:
        store.add("default", task(id=f"t{index}"), (("/name", str(index)),))
        assert store.is_dirty
        await store.committed()
        assert not store.is_dirty

    async def turn() -> None:
        await asyncio.gather(*(answer(index) for index in range(20)))

    asyncio.run(turn())

    assert [statements.count(word) for word in ("BEGIN", "COMMIT")] == [1, 1]
    assert statements[-1] == "COMMIT"
    store.close()


def test_the_file_commits_at_once_where_no_loop_runs(file: Path) -> None:
    store = SqliteStore(str(file))

    store.add("default", task(id="t0"), ())

    assert not store.is_dirty
    store.close()


def test_a_commit_that_fails_is_told_to_everybody_who_waits(file: Path) -> None:
    store = SqliteStore(str(file))
    store.add("default", task(id="t0"), ())

    async def answer(index: int) -> None:
        store.add("default", task(id=f"lost{index}", created=NOON + 1), ())
        if index == 2:
            store._db.execute("ROLLBACK")
        with pytest.raises(StoreError, match="the store cannot be written"):
            await store.committed()

    async def turn() -> None:
        await asyncio.gather(*(answer(index) for index in range(3)))

    asyncio.run(turn())

    assert page(store, 0, 9) == ["t0"]
    assert store.count() == 1
    store.close()


def test_a_failed_commit_that_nobody_waits_for_makes_no_noise(file: Path) -> None:
    store = SqliteStore(str(file))

    async def turn() -> None:
        store.add("default", task(id="lost"), ())
        store._db.execute("ROLLBACK")

    asyncio.run(turn())
    gc.collect()

    assert store.count() == 0
    store.close()


def test_a_full_disk_loses_nothing_that_was_there(file: Path) -> None:
    store = SqliteStore(str(file))
    fill(store, 20)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 1}")

    async def answer() -> None:
        for index in range(500):
            store.add("default", task(id=f"big{index}", input={"/name": "x" * 1_000}), ())
        await store.committed()

    async def other() -> None:
        with pytest.raises(StoreError, match="the store cannot be written: database or disk is full"):
            store.save_clock("default", ClockState(NOON, NOON, 1.0, False))

    async def turn() -> list[BaseException | None]:
        return await asyncio.gather(answer(), other(), return_exceptions=True)

    failed, ended = asyncio.run(turn())

    assert isinstance(failed, sqlite3.OperationalError)
    assert ended is None
    assert store.tenants() == {}
    store._db.execute("PRAGMA max_page_count=1000000")
    store.add("default", task(id="after", created=NOON + 10**6), ())

    expected = ["after", *(f"t{index}" for index in range(19, -1, -1))]
    assert [name for skip in range(0, 30, 4) for name in page(store, skip, 4)] == expected
    assert store.count() == 21
    store.close()


# --- the file ---------------------------------------------------------------------------------------------


def test_without_a_file_the_store_is_memory() -> None:
    assert isinstance(open_store(None), MemoryStore)


def test_a_file_opened_again_has_kept_everything(file: Path) -> None:
    first = SqliteStore(str(file))
    first.save_clock("default", ClockState(NOON, NOON + 3, 60.0, True))
    open_task, ended = task(id="t0", price=1.5), task(id="t1", created=NOON + 1)
    first.add("default", open_task, (("/name", "a"),))
    first.add("default", ended, ())
    account = first.account("default", ONE, NOON)
    for one in (open_task, ended):
        account.hold(one)
    first.settle("default", ended, 2.5, "success")
    first.save_quotas("default", ONE, {"credits": 9.0, "requests": 2.0})
    first.save_quotas("default", ONE, {"credits": 5.5})
    sent = delivery("d0", body=b"{}", status="delivered", next_at=None)
    sent.attempts = (Attempt(at=NOON, status=200, error="", took_ms=3, headers=(("A", "b"),)),)
    first.add_delivery("default", sent)
    first.add_delivery("default", delivery("d1"))
    before = list(first.deliveries("default"))
    first.close()

    again = SqliteStore(str(file))

    assert again.tenants() == {"default": ClockState(NOON, NOON + 3, 60.0, True)}
    assert (again.get("default", "t0"), again.get("default", "t1")) == (open_task, ended)
    assert (again.find("default", ONE, "/name", "a"), again.count()) == (open_task, 2)
    kept = again.account("default", ONE, NOON + 99)
    assert (kept.opened, kept.used, kept.open) == (NOON, 2.5, {"t0": open_task})
    assert (kept.reserved, kept.succeeded) == (1.5, 1)
    assert again.quotas() == {"default": {ONE: {"credits": 5.5}}}
    assert list(again.deliveries("default")) == before
    assert [one.id for one in again.open_deliveries("default")] == ["d1"]
    again.add("default", task(id="t2", created=NOON + 2), ())
    later = delivery("d2")
    again.add_delivery("default", later)
    assert page(again, 0, 9) == ["t2", "t1", "t0"]
    assert later.number == 3
    again.close()


def test_accounts_of_a_file_are_listed_before_they_are_asked_for(file: Path) -> None:
    first = SqliteStore(str(file))
    first.add("default", task(id="t0", price=2.5, is_charged=True), ())
    first.account("default", ONE, NOON)
    first.account("default", OTHER, NOON)
    first.close()

    again = SqliteStore(str(file))

    assert [] == list(again.held())
    assert {ONE: {"t0"}, OTHER: set()} == {
        name: set(held.open) for name, held in again.accounts("default").items()
    }
    assert again.accounts("default")[ONE].reserved == 0, "its price is taken already"
    again.close()


_FORMAT_1 = """
CREATE TABLE task (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL, operation TEXT NOT NULL,
  place INTEGER NOT NULL, created INTEGER NOT NULL, is_open INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE name (
  tenant TEXT NOT NULL, account TEXT NOT NULL, pointer TEXT NOT NULL, value TEXT NOT NULL,
  task_id TEXT NOT NULL, PRIMARY KEY (tenant, account, pointer, value)) WITHOUT ROWID;
CREATE TABLE account (
  tenant TEXT NOT NULL, account TEXT NOT NULL, opened INTEGER NOT NULL, used REAL NOT NULL,
  PRIMARY KEY (tenant, account)) WITHOUT ROWID;
PRAGMA user_version=1;
"""
"""The tables of the first format in which accounts are kept, as they were."""


def test_a_file_of_the_first_format_is_taken_over(file: Path) -> None:
    old = sqlite3.connect(file)
    old.executescript(_FORMAT_1)
    record = orjson.loads(_dump_task(task(id="t0", price=1.5)))
    del record["is_charged"]
    old.execute("INSERT INTO account VALUES ('default', ?, ?, 7.5)", (ONE, NOON))
    old.execute(
        "INSERT INTO task VALUES (1, 'default', 't0', ?, ?, 1, ?, 1, ?)",
        (ONE, CREATE, NOON, orjson.dumps(record)),
    )
    old.commit()
    old.close()

    for _ in range(2):
        store = SqliteStore(str(file))
        account = store.account("default", ONE, NOON + 9)
        assert (account.used, account.reserved, set(account.open)) == (7.5, 1.5, {"t0"})
        assert (account.succeeded, account.opened) == (0, NOON)
        store.close()


def test_a_page_is_right_before_anything_is_written(file: Path) -> None:
    first = SqliteStore(str(file))
    names = fill(first, 10)
    first.forget("default", ONE, CREATE, NOON + 3_000)
    first.close()

    again = SqliteStore(str(file))

    assert page(again, 0, 4) == names[:-5:-1]
    assert page(again, 4, 9) == names[5:2:-1]
    again.forget("default", ONE, CREATE, NOON + 5_000)
    assert page(again, 0, 99) == names[:4:-1]
    again.close()


def test_what_nobody_committed_is_committed_by_closing(file: Path) -> None:
    first = SqliteStore(str(file))

    async def turn() -> None:
        first.add("default", task(id="t0"), ())
        first.close()

    asyncio.run(turn())

    again = SqliteStore(str(file))
    assert again.count() == 1
    again.close()


def test_a_file_of_another_version_is_refused(file: Path) -> None:
    SqliteStore(str(file)).close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version=99")
    db.close()

    with pytest.raises(StoreError, match=r"another version of this program \(format 99\)"):
        SqliteStore(str(file))


def test_a_file_that_is_no_database_is_refused(file: Path) -> None:
    file.write_text("these are not the bytes of a database " * 100)

    with pytest.raises(StoreError, match="cannot be used as a store: file is not a database"):
        SqliteStore(str(file))


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used as a store: unable to open database file"):
        SqliteStore(str(tmp_path / "nowhere" / "mock.sqlite"))


_SECOND = """
import sys
from mockserver.store import SqliteStore, StoreError
try:
    SqliteStore(sys.argv[1])
except StoreError as error:
    print(error)
    raise SystemExit(3)
"""


def test_a_second_process_on_the_same_file_is_refused(file: Path) -> None:
    first = SqliteStore(str(file))
    first.add("default", task(id="t0"), ())

    second = subprocess.run(
        [sys.executable, "-c", _SECOND, str(file)], capture_output=True, text=True, timeout=60, check=False
    )

    assert second.returncode == 3, second.stderr
    assert second.stdout == f"{file} cannot be used as a store: another process is using it\n"
    first.close()
    assert subprocess.run([sys.executable, "-c", _SECOND, str(file)], timeout=60, check=False).returncode == 0


def test_shapes_come_back_as_shapes(file: Path) -> None:
    store = SqliteStore(str(file))
    store.add("default", task(id="t0"), ())

    kept = store.get("default", "t0")

    assert kept is not None
    assert isinstance(kept.shape, Shape)
    assert kept.shape == SHAPE
    store.close()
