"""Limits: quotas as spec and settings say them, windows of requests, credits taken and reserved."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mockserver import limits
from mockserver.limits import Quota, Windows, account_view, quotas, reserved, settle, settle_all
from mockserver.store import Account, MemoryStore
from tests.mock import NOON
from tests.mockserver.test_tasks import COURSE, FAILING, task
from tests.providers import LIBRARY, contract
from validator.contract.model import Limit

KEY = "toy:key-1"


def shown(found: limits.Quotas) -> list[tuple[str, float, bool]]:
    return [(one.limit.unit, one.quota, one.is_enforced) for one in found.all()]


def requests(quota: float, window: int | None, *, is_enforced: bool = True) -> Quota:
    limit = Limit(unit="requests", quota=quota, window=window, source="", evidence="assumed")
    return Quota(limit, quota, is_enforced)


# --- quotas -----------------------------------------------------------------------------------------------


def test_without_settings_everything_is_counted_and_nothing_enforced() -> None:
    assert shown(quotas(contract("toy"), {})) == [
        ("requests", 100, False),
        ("concurrent-tasks", 2, False),
        ("credits", 20, False),
    ]


def test_a_setting_of_on_enforces_the_number_of_the_spec() -> None:
    found = quotas(contract("toy"), {("toy", "credits"): None, ("toy", "requests"): None})

    assert shown(found) == [("requests", 100, True), ("concurrent-tasks", 2, False), ("credits", 20, True)]


def test_a_number_in_a_setting_is_enforced() -> None:
    found = quotas(contract("toy"), {("toy", "credits"): 3.0, ("other", "credits"): 1.0})

    assert shown(found)[2] == ("credits", 3.0, True)


def test_a_number_replaces_all_windows_by_one() -> None:
    name = next(
        name for name in LIBRARY if len([one for one in contract(name).limits if one.unit == "requests"]) > 1
    )

    found = quotas(contract(name), {(name, "requests"): 5.0})

    assert [(one.quota, one.is_enforced) for one in found.requests] == [(5.0, True)]


def test_a_limit_the_spec_does_not_know_exists_where_it_is_set() -> None:
    name = next(name for name in LIBRARY if not any(one.unit == "requests" for one in contract(name).limits))

    found = quotas(contract(name), {(name, "requests"): 5.0})

    assert [(one.quota, one.limit.window) for one in found.requests] == [(5.0, 60_000)]
    assert quotas(contract(name), {(name, "requests"): None}).requests == ()


# --- windows ----------------------------------------------------------------------------------------------


def test_requests_are_counted_until_the_window_ends() -> None:
    windows, quota = Windows(), requests(2, 60_000)

    seen = [windows.count(KEY, (quota,), NOON + at)[0] for at in (0, 59_000, 59_999, 60_000, 60_001, 60_002)]

    assert seen == [None, None, quota, None, None, quota]


def test_headers_show_what_is_left_and_when_it_begins_again() -> None:
    windows, quota = Windows(), requests(2, 60_000)

    views = [windows.count(KEY, (quota,), NOON + 1_000)[1] for _ in range(3)]

    assert [(one.quota, one.remaining) for one in views] == [(2, 1), (2, 0), (2, 0)]
    assert {one.reset for one in views} == {NOON + 60_000}


def test_accounts_do_not_share_a_window() -> None:
    windows, quota = Windows(), requests(1, 60_000)

    assert windows.count("a", (quota,), NOON)[0] is None
    assert windows.count("b", (quota,), NOON)[0] is None
    assert windows.count("a", (quota,), NOON)[0] is quota


def test_of_several_windows_the_first_that_is_exceeded_counts() -> None:
    windows, burst, long = Windows(), requests(1, 1_000), requests(2, 60_000)

    seen = [windows.count(KEY, (burst, long), NOON + at)[0] for at in (0, 1, 1_000, 2_000)]

    assert seen == [None, burst, long, long]


def test_a_quota_that_is_not_enforced_is_never_exceeded() -> None:
    windows, quota = Windows(), requests(1, 60_000, is_enforced=False)

    for _ in range(5):
        exceeded, view = windows.count(KEY, (quota,), NOON)

        assert exceeded is None
        assert view.remaining == 0


def test_a_window_without_a_length_is_a_minute() -> None:
    _, view = Windows().count(KEY, (requests(2, None),), NOON + 1)

    assert view.reset == NOON + 60_000


def test_a_flood_of_accounts_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_ACCOUNTS", 10)
    windows = Windows()

    for index in range(100):
        windows.count(f"account-{index}", (requests(2, 60_000),), NOON)

    assert len(windows.counts) <= 11


# --- credits ----------------------------------------------------------------------------------------------


def account_with(*tasks: Any) -> tuple[MemoryStore, Account]:
    store = MemoryStore()
    account = store.account("default", KEY, NOON)
    for one in tasks:
        store.add("default", one, ())
        account.open[one.id] = one
    return store, account


def operations() -> Any:
    return contract("toy").operations


def test_what_ended_well_is_taken_and_what_failed_is_let_go() -> None:
    good, bad, running = (
        task(id="good"),
        task(id="bad", timeline=FAILING),
        task(id="on", created=NOON + 9_000),
    )
    store, account = account_with(good, bad, running)

    settle_all(store, "default", KEY, account, operations(), NOON + 12_000)

    assert account.used == 2.5
    assert list(account.open) == ["on"]
    assert (good.is_settled, bad.is_settled, running.is_settled) == (True, True, False)
    assert reserved(account) == 2.5


def test_the_quick_look_stops_at_the_first_that_still_runs() -> None:
    long, short = task(id="long"), task(id="short", timeline=FAILING)
    store, account = account_with(long, short)

    settle(store, "default", KEY, account, operations(), NOON + 5_000)

    assert list(account.open) == ["long", "short"]
    assert account.settled_until == NOON + 12_000


def test_the_quick_look_takes_what_has_ended() -> None:
    store, account = account_with(task(id="a"), task(id="b"))

    settle(store, "default", KEY, account, operations(), NOON + 12_000)

    assert (account.used, account.open) == (5.0, {})


def test_a_quick_look_too_early_looks_at_nothing() -> None:
    store, account = account_with(task(id="a", timeline=FAILING))
    account.settled_until = NOON + 60_000

    settle(store, "default", KEY, account, operations(), NOON + 59_999)
    assert list(account.open) == ["a"]

    settle(store, "default", KEY, account, operations(), NOON + 60_000)
    assert list(account.open) == []


def test_a_task_that_only_a_hand_moves_is_looked_at_again_in_a_second() -> None:
    store, account = account_with(task(id="a", timeline=COURSE[:1]))

    settle(store, "default", KEY, account, operations(), NOON + 500)

    assert account.settled_until == NOON + 1_500


def test_a_task_without_a_price_takes_nothing() -> None:
    store, account = account_with(task(price=None))

    settle_all(store, "default", KEY, account, operations(), NOON + 60_000)

    assert (account.used, reserved(account)) == (0, 0)


def test_an_account_shows_what_is_reserved_as_used() -> None:
    _, account = account_with(task(id="a", price=1.0), task(id="b", price=2.5))
    account.used = 4.0
    quota = quotas(contract("toy"), {}).credits

    seen = account_view(KEY, account, quota)

    assert (seen.id, seen.opened, seen.total, seen.used, seen.remaining) == (KEY, NOON, 20, 7.5, 12.5)
    assert type(seen.total) is int


def test_an_account_never_shows_less_than_nothing() -> None:
    account = Account(opened=NOON, used=30)

    assert account_view(KEY, account, quotas(contract("toy"), {}).credits).remaining == 0
    assert account_view(KEY, account, None).total == 0


def test_a_thousand_small_prices_add_up_exactly() -> None:
    tasks = [task(id=str(index), price=0.1) for index in range(1_000)]
    store, account = account_with(*tasks)

    settle_all(store, "default", KEY, account, operations(), NOON + 60_000)

    assert account.used == 100.0
    asyncio.run(store.committed())


class Counted(dict[str, Any]):
    """A dictionary that counts how often it is walked through."""

    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()


def test_tasks_that_all_ended_are_taken_in_one_walk() -> None:
    # Each walk begins at the first place there ever was: one for each task and a million of them take minutes.
    store, account = account_with(*(task(id=f"task-{number}") for number in range(500)))
    account.open = known = Counted(account.open)

    settle(store, "default", KEY, account, operations(), NOON + 12_000)

    assert (account.used, account.open) == (2.5 * 500, {})
    assert known.walks == 1
