"""What an account may do: requests in a window, tasks at once, credits.  What it did is in `wallets.py`.

Everything is counted on the tenant's clock.  A count refuses only where a setting says so; requests and
credits are counted all the same, because providers show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mockserver.store import Account
from validator.contract.model import Contract, Limit, Money

MOST_ACCOUNTS: Final = 100_000
"""Accounts whose requests are counted; they are forgotten all at once, so that a flood cannot fill memory."""


@dataclass(frozen=True, slots=True)
class LimitView:
    """The requests limit, as `$limit` expressions see it.

    `reset` in milliseconds since the epoch; `wait` in milliseconds, whole seconds, until a request is taken again.
    """

    quota: int
    remaining: int
    reset: int
    wait: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account's credits, as `$account` expressions see them."""

    id: str
    opened: int
    total: float
    used: float
    remaining: float
    money: float | None


@dataclass(slots=True)
class Quota:
    """One limit of a provider with the settings applied: `quota`, and whether it refuses."""

    limit: Limit
    quota: float
    is_enforced: bool


@dataclass(frozen=True, slots=True)
class Quotas:
    """A provider's limits: any number of windows for requests, the first of which is shown in headers."""

    requests: tuple[Quota, ...] = ()
    running: Quota | None = None
    credits: Quota | None = None

    def all(self) -> tuple[Quota, ...]:
        """Return every limit."""
        return self.requests + tuple(one for one in (self.running, self.credits) if one is not None)


def quotas(contract: Contract, settings: Mapping[tuple[str, str], float | None]) -> Quotas:
    """Return a provider's limits with the settings applied.

    A number in a setting replaces all windows of the spec by one; a limit the spec does not know exists only
    where it is set.
    """
    found: dict[str, list[Quota]] = {"requests": [], "concurrent-tasks": [], "credits": []}
    for limit in contract.limits:
        value = settings.get((contract.id, limit.unit))
        if value is None:
            found[limit.unit].append(Quota(limit, limit.quota, (contract.id, limit.unit) in settings))
        elif not found[limit.unit]:
            found[limit.unit].append(Quota(limit, value, True))
    for (provider, unit), value in settings.items():
        if provider == contract.id and not found[unit] and value is not None:
            window = 60_000 if unit == "requests" else None
            made = Limit(unit=unit, quota=value, window=window, source="", evidence="assumed")  # type: ignore[arg-type]
            found[unit].append(Quota(made, value, True))
    return Quotas(
        requests=tuple(found["requests"]),
        running=next(iter(found["concurrent-tasks"]), None),
        credits=next(iter(found["credits"]), None),
    )


@dataclass(slots=True)
class Windows:
    """Requests of each account in the present windows; a window begins at a multiple of its length."""

    counts: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def count(self, account: str, quotas: tuple[Quota, ...], now: int) -> tuple[Quota | None, LimitView]:
        """Count one request against every window: (the enforced one it exceeds, what the headers show)."""
        exceeded, wait = None, 0
        views = []
        for quota in quotas:
            window = quota.limit.window or 60_000
            index = now // window
            key = (account, window)
            known = self.counts.get(key)
            used = known[1] + 1 if known is not None and known[0] == index else 1
            if len(self.counts) > MOST_ACCOUNTS:
                self.counts.clear()
            self.counts[key] = (index, used)
            allowed = int(quota.quota)
            reset = (index + 1) * window
            if used > allowed and quota.is_enforced:
                exceeded, wait = exceeded or quota, max(wait, reset - now)
            views.append((allowed, max(allowed - used, 0), reset))
        first = views[0]
        # Whoever waits too short a second is refused again.
        return exceeded, LimitView(*first, -(-(wait or first[2] - now) // 1_000) * 1_000)


def account_view(name: str, account: Account, quota: Quota | None, money: Money | None = None) -> AccountView:
    """Return what the account shows of its credits: what is reserved counts as used."""
    total = quota.quota if quota is not None else 0.0
    remaining = max(round(total - account.spent, 8), 0.0)
    return AccountView(
        id=name,
        opened=account.opened,
        total=number(total),
        used=number(account.spent),
        remaining=number(remaining),
        money=None if money is None else number(money.worth(remaining)),
    )


def number(value: float) -> float:
    """Return an integer where a number is one: 5, not 5.0."""
    return int(value) if value == int(value) else value
