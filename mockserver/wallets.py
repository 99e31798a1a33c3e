"""Wallets: what the tasks of each account cost, booked when they are made and when they have ended.

A task's end is computed from a timeline, so nobody is told of it: it is booked when somebody next looks.  What
a tenant or a run costs is the sum of its accounts, never a walk over tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mockserver.store import Account, Store
from mockserver.tasks import Task, state_at
from validator.contract.model import Contract, Money, Operation

SLACK: Final = 1e-9
"""What sums of prices may be off by, because they are no decimals."""


@dataclass(slots=True)
class Costs:
    """What tasks came to: how many ended how, how many did not, what was taken and what is reserved."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    running: int = 0
    used: float = 0.0
    reserved: float = 0.0

    @property
    def tasks(self) -> int:
        """Return how many tasks there were."""
        return self.succeeded + self.failed + self.canceled + self.running

    def add(self, other: Costs) -> None:
        """Add what others came to."""
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.canceled += other.canceled
        self.running += other.running
        self.used = round(self.used + other.used, 8)
        self.reserved = round(self.reserved + other.reserved, 8)


def costs_of(account: Account) -> Costs:
    """Return what the tasks of an account came to, as far as they are settled."""
    return Costs(
        succeeded=account.succeeded,
        failed=account.failed,
        canceled=account.canceled,
        running=len(account.open),
        used=account.used,
        reserved=account.reserved,
    )


def money_of(contract: Contract) -> Money | None:
    """Return what a unit of the provider is worth, None where that is not known or differs by operation."""
    found = {operation.money for operation in contract.operations.values() if has_price(operation)}
    return found.pop() if len(found) == 1 else None


def has_price(operation: Operation) -> bool:
    """Tell whether any task of an operation costs something."""
    capabilities = operation.body.capabilities if operation.body is not None else None
    if operation.role != "create" or capabilities is None:
        return False
    return any(row.prices for row in capabilities.rows)


def provider_of(account: str) -> str:
    """Return the provider of an account's name.

    >>> provider_of("somebody:key-1")
    'somebody'
    """
    return account.partition(":")[0]


class Wallets:
    """Books tasks to their accounts; `run` is what those came to that ended since the start, by provider."""

    def __init__(self, store: Store, contracts: Mapping[str, Contract]) -> None:
        """Take the store that keeps the accounts."""
        self._store, self._contracts = store, contracts
        self.run: dict[str, Costs] = {name: Costs() for name in contracts}

    def hold(self, tenant: str, task: Task) -> None:
        """Book a new task: its price is reserved, or taken where the provider takes it at once."""
        self._store.hold(tenant, task)

    def settle(self, tenant: str, name: str, account: Account, now: int) -> None:
        """Book the tasks that have ended, the oldest first.

        Stops at the first task that still runs, so that creating a task costs the same however many there are.
        """
        if now < account.settled_until:
            return
        # Found first and booked then: a dictionary that loses its oldest one by one is walked through from the start
        # for each, past all that are gone.
        ended: list[tuple[Task, Costs]] = []
        for task in account.open.values():
            costs = self._end(task, now)
            if costs is None:
                # Nothing to do before this one ends; what reads or an admin move is looked at again in a second.
                account.settled_until = max(task.created + task.timeline[-1][0], now + 1_000)
                break
            ended.append((task, costs))
        for task, costs in ended:
            self._book(tenant, task, costs)

    def settle_all(self, tenant: str, name: str, account: Account, now: int) -> None:
        """Do the same for every task of the account."""
        for task in list(account.open.values()):
            self._settle(tenant, task, now)

    def _settle(self, tenant: str, task: Task, now: int) -> bool:
        """Book a task that has ended, and tell whether it has."""
        ended = self._end(task, now)
        if ended is None:
            return False
        self._book(tenant, task, ended)
        return True

    def _end(self, task: Task, now: int) -> Costs | None:
        """Return what a task came to that has ended, None for one that has not."""
        contract = self._contracts.get(task.provider)
        if contract is None:
            # Not served now; it may be again.
            return None
        operation = contract.operations.get(task.operation)
        name = state_at(task.timeline, now - task.created)[1]
        if operation is None or operation.lifecycle is None or name not in operation.lifecycle.states:
            # The spec has changed since: nobody can say how the task goes on.
            return _forgotten(task)
        state = operation.lifecycle.states[name]
        if not state.is_final:
            return None
        return Costs(
            succeeded=state.outcome == "success",
            failed=state.outcome == "failure",
            canceled=state.outcome == "canceled",
            used=operation.charge.amount(task.price or 0.0, state.outcome),
        )

    def _book(self, tenant: str, task: Task, ended: Costs) -> None:
        outcome = "success" if ended.succeeded else "failure" if ended.failed else "canceled"
        self._store.settle(tenant, task, ended.used, None if ended.running else outcome)
        if task.provider in self.run:
            self.run[task.provider].add(ended)

    def forget(self, tenant: str, name: str, operation: Operation, now: int) -> None:
        """Drop what the provider keeps no longer; what was due for it is booked first.

        A task that is forgotten under way brought nothing: what was reserved for it is let go.
        """
        lifecycle = operation.lifecycle
        if lifecycle is None or lifecycle.retention is None:
            return
        before = now - lifecycle.retention
        oldest = self._store.oldest(tenant, name, operation.id)
        if oldest is None or oldest >= before:
            return
        account = self._store.account(tenant, name, now)
        self.settle_all(tenant, name, account, now)
        for task in [one for one in account.open.values() if one.operation == operation.id]:
            if task.created < before:
                self._book(tenant, task, _forgotten(task))
        self._store.forget(tenant, name, operation.id, before)

    def accounts(self, tenant: str, provider: str, now: int) -> Iterator[tuple[str, Account]]:
        """Yield (name, account) of a provider's accounts in a tenant, with everything booked."""
        for name, account in list(self._store.accounts(tenant).items()):
            if provider_of(name) == provider:
                self.settle_all(tenant, name, account, now)
                yield name, account

    def settle_tenant(self, tenant: str, provider: str, now: int) -> None:
        """Book everything of a provider in a tenant."""
        for _ in self.accounts(tenant, provider, now):
            pass

    def spent(self, tenant: str, provider: str) -> float:
        """Return what a tenant's tasks cost at most, as far as they are booked: taken and reserved."""
        accounts = self._store.accounts(tenant).items()
        return round(sum(one.spent for name, one in accounts if provider_of(name) == provider), 8)

    def close(self, tenant: str, now: int) -> None:
        """Add to the run what a tenant leaves behind that is about to begin again."""
        for held, name, account in self._store.held():
            if held == tenant and provider_of(name) in self.run:
                self.run[provider_of(name)].add(self._under_way(account, now))

    def totals(self, times: Mapping[str, int]) -> dict[str, Costs]:
        """Return what the run came to by provider, given the time (milliseconds) of each tenant; books nothing."""
        out = {}
        for name, costs in self.run.items():
            out[name] = Costs()
            out[name].add(costs)
        for tenant, name, account in self._store.held():
            if provider_of(name) in out and tenant in times:
                out[provider_of(name)].add(self._under_way(account, times[tenant]))
        return out

    def _under_way(self, account: Account, now: int) -> Costs:
        """Return what the tasks came to that are not booked yet."""
        out = Costs()
        for task in account.open.values():
            out.add(self._end(task, now) or _running(task))
        return out


def _running(task: Task) -> Costs:
    price = task.price or 0.0
    return Costs(running=1, used=price) if task.is_charged else Costs(running=1, reserved=price)


def _forgotten(task: Task) -> Costs:
    """Return what a task came to that never ended: what was taken stays taken, what was reserved is let go."""
    return Costs(running=1, used=(task.price or 0.0) if task.is_charged else 0.0)
