"""Limits: quotas as spec and settings say them, windows of requests, credits taken and reserved."""

from __future__ import annotations

import pytest

from mockserver import limits
from mockserver.limits import Quota, Windows, account_view, quotas
from mockserver.store import Account
from tests.mock import NOON
from tests.providers import LIBRARY, contract
from validator.contract.model import Limit, Money

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


def test_the_wait_is_the_time_until_the_window_ends_in_whole_seconds() -> None:
    windows, quota = Windows(), requests(1, 60_000)

    views = [windows.count(KEY, (quota,), NOON + at)[1] for at in (0, 1_000, 1_001, 59_999)]

    assert [one.wait for one in views] == [60_000, 59_000, 59_000, 1_000]


def test_of_several_windows_the_wait_is_that_of_the_one_exceeded() -> None:
    windows, burst, long = Windows(), requests(9, 1_000), requests(1, 60_000)

    views = [windows.count(KEY, (burst, long), NOON + at)[1] for at in (0, 0)]

    assert [one.wait for one in views] == [1_000, 60_000]
    assert [one.remaining for one in views] == [8, 7]


def test_of_several_windows_exceeded_the_wait_is_that_of_the_last_to_end() -> None:
    windows, burst, long = Windows(), requests(1, 1_000), requests(1, 60_000)

    views = [windows.count(KEY, (burst, long), NOON)[1] for _ in range(2)]

    assert [one.wait for one in views] == [1_000, 60_000]


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


def test_an_account_shows_what_is_reserved_as_used() -> None:
    account = Account(opened=NOON, used=4.0, reserved=3.5)
    quota = quotas(contract("toy"), {}).credits

    seen = account_view(KEY, account, quota)

    assert (seen.id, seen.opened, seen.total, seen.used, seen.remaining) == (KEY, NOON, 20, 7.5, 12.5)
    assert type(seen.total) is int


def test_an_account_never_shows_less_than_nothing() -> None:
    account = Account(opened=NOON, used=30)

    assert account_view(KEY, account, quotas(contract("toy"), {}).credits).remaining == 0
    assert account_view(KEY, account, None).total == 0


def test_an_account_shows_what_is_left_in_money_where_a_unit_has_a_worth() -> None:
    quota = quotas(contract("toy"), {}).credits
    account = Account(opened=NOON, used=1.5)

    assert account_view(KEY, account, quota, Money(currency="EUR", per_unit=0.5, decimals=2)).money == 9.25
    assert account_view(KEY, account, quota).money is None
