"""What an account may do: requests in a window, tasks at once, credits.

Everything is counted on the tenant's clock.  A count refuses only where a setting says so; requests and
credits are counted all the same, because providers show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mockserver.store import Account, Store
from mockserver.tasks import Task, state_at
from validator.contract.model import Contract, Limit, Operation

MOST_ACCOUNTS: Final = 100_000
"""Accounts whose requests are counted; they are forgotten all at once, so that a flood cannot fill memory."""


@dataclass(frozen=True, slots=True)
class LimitView:
    """The requests limit, as `$limit` expressions see it; `reset` in milliseconds since the epoch."""

    quota: int
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account's credits, as `$account` expressions see them."""

    id: str
    opened: int
    total: float
    used: float
    remaining: float


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
        exceeded = None
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
            if used > allowed and quota.is_enforced:
                exceeded = exceeded or quota
            views.append(LimitView(allowed, max(allowed - used, 0), (index + 1) * window))
        return exceeded, views[0]


def settle(
    store: Store, tenant: str, key: str, account: Account, operations: Mapping[str, Operation], now: int
) -> None:
    """Take for the tasks that ended well, let go of those that failed; the oldest first.

    Stops at the first task that still runs, so that creating a task costs the same however many there are.
    """
    if now < account.settled_until:
        return
    # Found first and taken then: a dictionary that loses its oldest one by one is walked through from the start for
    # each, past all that are gone.
    ended: list[tuple[Task, float]] = []
    for task in account.open.values():
        amount = _settled_amount(task, operations, now)
        if amount is None:
            # Nothing to do before this one ends; what reads or an admin move is looked at again in a second.
            account.settled_until = max(task.created + task.timeline[-1][0], now + 1_000)
            break
        ended.append((task, amount))
    for task, amount in ended:
        store.settle(tenant, key, task, amount)


def settle_all(
    store: Store, tenant: str, key: str, account: Account, operations: Mapping[str, Operation], now: int
) -> None:
    """Do the same for every task of the account."""
    for task in list(account.open.values()):
        amount = _settled_amount(task, operations, now)
        if amount is not None:
            store.settle(tenant, key, task, amount)


def _settled_amount(task: Task, operations: Mapping[str, Operation], now: int) -> float | None:
    lifecycle = operations[task.operation].lifecycle
    assert lifecycle is not None
    state = lifecycle.states[state_at(task.timeline, now - task.created)[1]]
    if not state.is_final:
        return None
    return (task.price or 0.0) if state.outcome == "success" else 0.0


def reserved(account: Account) -> float:
    """Return the credits that running tasks will take if they succeed."""
    return sum(task.price or 0.0 for task in account.open.values())


def account_view(name: str, account: Account, quota: Quota | None) -> AccountView:
    """Return what the account shows of its credits: what is reserved counts as used."""
    total = quota.quota if quota is not None else 0.0
    used = round(account.used + reserved(account), 8)
    return AccountView(
        id=name,
        opened=account.opened,
        total=_number(total),
        used=_number(used),
        remaining=_number(max(round(total - used, 8), 0.0)),
    )


def _number(value: float) -> float:
    return int(value) if value == int(value) else value
