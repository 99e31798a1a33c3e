"""Tenants and the backend they share: everything a request, a delivery or an admin call works on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mockserver.clock import Clock, Wall, wall_ms
from mockserver.ids import Dice
from mockserver.journal import Budget, Journal, secret_headers
from mockserver.limits import Quotas, Windows, quotas
from mockserver.plans import Plan, read_entry
from mockserver.replays import Replays
from mockserver.settings import Settings
from mockserver.store import ClockState, Store
from mockserver.tasks import Task
from mockserver.wallets import Wallets, provider_of
from validator.contract.model import Contract, Identifier, Operation

DEFAULT_TENANT: Final = "default"
BUDGET: Final = "budget"
"""The unit of a quota whose holder is a provider: what all accounts of the tenant may spend there."""

TENANT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class NoTenantError(ValueError):
    """A name that no tenant can have."""


class TooManyTenantsError(RuntimeError):
    """No further tenant can be made."""


@dataclass(slots=True)
class Tenant:
    """One world of its own: clock, ids, journal, counts.  Its tasks are in the store under its name.

    `tokens` maps a token that was seen to when it ends (seconds on the tenant's clock);
    `horizon` is the longest course of a task so far, in milliseconds; `altered` are tasks whose course an
    admin changed, which end when they end.  `limits` are the quotas an account has of its own by unit, `quotas`
    the same beside those of its provider; `budgets` are the tenant's own by provider.  `played` are the recorded
    tasks whose course a task of the tenant took.
    """

    name: str
    clock: Clock
    dice: Dice
    journal: Journal
    plan: Plan = field(default_factory=Plan)
    windows: dict[str, Windows] = field(default_factory=dict)
    tokens: dict[bytes, float] = field(default_factory=dict)
    horizon: int = 0
    altered: dict[str, None] = field(default_factory=dict)
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    quotas: dict[str, Quotas] = field(default_factory=dict)
    budgets: dict[str, float] = field(default_factory=dict)
    played: set[int] = field(default_factory=set)
    is_advancing: bool = False
    has_own_speed: bool = False


@dataclass(slots=True)
class Backend:
    """What all tenants share: contracts by provider, settings, store, and the tenants by name."""

    contracts: Mapping[str, Contract]
    settings: Settings
    store: Store
    wall: Wall = wall_ms
    quotas: Mapping[str, Quotas] = field(init=False)
    wallets: Wallets = field(init=False)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    budget: Budget = field(init=False)
    secrets: frozenset[str] = field(init=False)
    replays: Replays | None = field(init=False)

    def __post_init__(self) -> None:
        """Compute what the settings make of the contracts, and take up what the store remembers."""
        self.quotas = {
            name: quotas(contract, self.settings.limits) for name, contract in self.contracts.items()
        }
        self.wallets = Wallets(self.store, self.contracts)
        recordings = self.settings.recordings
        self.replays = Replays(recordings, self.contracts) if recordings else None
        self.budget = Budget(self.settings.journal_bytes)
        self.secrets = secret_headers(
            credential.header
            for contract in self.contracts.values()
            for operation in contract.operations.values()
            for credential in operation.credentials
        )
        for name, state in self.store.tenants().items():
            tenant = self._make(name)
            tenant.clock = Clock(
                wall=self.wall, base=state.base, base_wall=state.base_wall, speed=state.speed
            )
            tenant.has_own_speed = state.is_own
            if not state.is_own:
                # Time went on at the former speed until now; from here at the one that was asked for.
                tenant.clock.set(speed=self.settings.speed)
            self.tenants[name] = tenant
            usual = max((_longest(contract) for contract in self.contracts.values()), default=0)
            tenant.horizon = max(usual, self.store.horizon(name))
        for name, holders in self.store.quotas().items():
            for holder, values in holders.items():
                self._give(self.tenants[name], holder, dict(values))

    def _make(self, name: str) -> Tenant:
        dice = Dice(self.settings.seed, name)
        return Tenant(
            name=name,
            clock=Clock.real(self.wall, speed=self.settings.speed),
            dice=dice,
            plan=self.plan(dice),
            journal=Journal(
                max_entries=self.settings.journal_entries,
                budget=self.budget,
                secret_headers=self.secrets,
                tenant=name,
            ),
        )

    def plan(self, dice: Dice) -> Plan:
        """Return the plan that a tenant begins with; raises ScenarioError for one that cannot be."""
        plan = Plan()
        for value in self.settings.plan:
            name = plan.new_id()
            plan.add(read_entry(value, self.contracts, id=name, seed=partial(dice.seed, name)))
        return plan

    def tenant(self, name: str) -> Tenant:
        """Return the tenant of this name, made if it is new; raises NoTenantError, TooManyTenantsError."""
        known = self.tenants.get(name)
        if known is not None:
            return known
        if not TENANT_NAME.fullmatch(name):
            raise NoTenantError("a tenant is named by up to 64 letters, digits, dots, dashes and underscores")
        if len(self.tenants) >= self.settings.max_tenants:
            raise TooManyTenantsError(
                f"there are {len(self.tenants):,} tenants, and no more are allowed (--max-tenants)"
            )
        made = self.tenants[name] = self._make(name)
        self.save_clock(made)
        return made

    def operation_of(self, task: Task) -> Operation | None:
        """Return what made a task; None where a store remembers one that no spec served now can tell of."""
        contract = self.contracts.get(task.provider)
        operation = contract.operations.get(task.operation) if contract is not None else None
        if operation is None or operation.lifecycle is None:
            return None
        states = operation.lifecycle.states
        return operation if all(state in states for _, state in task.timeline) else None

    def times(self) -> Mapping[str, int]:
        """Return what the clock of each tenant shows."""
        return {name: tenant.clock.now() for name, tenant in self.tenants.items()}

    def save_clock(self, tenant: Tenant) -> None:
        """Keep the tenant's clock over a restart."""
        clock = tenant.clock
        self.store.save_clock(
            tenant.name, ClockState(clock.base, clock.base_wall, clock.speed, tenant.has_own_speed)
        )

    def quotas_of(self, tenant: Tenant, account: str) -> Quotas:
        """Return the limits of an account: its own, else those of its provider, which must be served."""
        return tenant.quotas.get(account) or self.quotas[provider_of(account)]

    def budget_of(self, tenant: Tenant, provider: str) -> float | None:
        """Return what a tenant's tasks may cost at a provider, None for any amount."""
        return tenant.budgets.get(provider, self.settings.budgets.get(provider))

    def give(self, tenant: Tenant, holder: str, values: Mapping[str, float | None]) -> None:
        """Give an account limits of its own, or a provider a budget, by unit; None takes one back."""
        kept = dict(self._given(tenant, holder))
        for unit, value in values.items():
            if value is None:
                kept.pop(unit, None)
            else:
                kept[unit] = value
        self.store.save_quotas(tenant.name, holder, kept)
        self._give(tenant, holder, kept)

    @staticmethod
    def _given(tenant: Tenant, holder: str) -> Mapping[str, float]:
        if holder in tenant.budgets:
            return {BUDGET: tenant.budgets[holder]}
        return tenant.limits.get(holder, {})

    def _give(self, tenant: Tenant, holder: str, values: dict[str, float]) -> None:
        provider = provider_of(holder)
        if holder == provider:
            tenant.budgets.pop(provider, None)
            if BUDGET in values:
                tenant.budgets[provider] = values[BUDGET]
            return
        tenant.limits.pop(holder, None)
        tenant.quotas.pop(holder, None)
        if values and provider in self.contracts:
            own = {(provider, unit): value for unit, value in values.items()}
            tenant.limits[holder] = values
            tenant.quotas[holder] = quotas(self.contracts[provider], {**self.settings.limits, **own})

    def reach(self, tenant: Tenant, task: Task) -> None:
        """Note how long a task's course is; a file remembers the longest."""
        end = task.timeline[-1][0]
        if end > tenant.horizon:
            tenant.horizon = end
            self.store.save_horizon(tenant.name, end)

    def forget(self, tenant: Tenant) -> None:
        """Begin the tenant again from nothing, with the clock it would have had at the start."""
        self.wallets.close(tenant.name, tenant.clock.now())
        self.store.reset(tenant.name)
        tenant.journal.clear()
        fresh = self._make(tenant.name)
        fresh.journal.close()
        tenant.clock, tenant.dice, tenant.windows, tenant.tokens = fresh.clock, fresh.dice, {}, {}
        tenant.plan = fresh.plan
        tenant.horizon, tenant.altered, tenant.has_own_speed, tenant.played = 0, {}, False, set()
        tenant.limits, tenant.quotas, tenant.budgets = {}, {}, {}
        self.save_clock(tenant)

    def new_id(self, tenant: Tenant, form: Identifier, now: int) -> str:
        """Return an id that no task of the tenant has; a clock at rest makes equal ones likely."""
        while True:
            drawn = tenant.dice.id(form, now)
            if self.store.get(tenant.name, drawn) is None:
                return drawn

    def live_tasks(self, tenant: Tenant, since: int) -> Iterator[Task]:
        """Yield the tasks that may have changed after a time: those young enough, and those altered by hand."""
        seen = set()
        for task in self.store.newest(tenant.name):
            if task.created + tenant.horizon < since:
                break
            seen.add(task.id)
            yield task
        for task_id in tenant.altered:
            task_or_none = self.store.get(tenant.name, task_id) if task_id not in seen else None
            if task_or_none is not None:
                yield task_or_none


def _longest(contract: Contract) -> int:
    """Return the longest course of a provider's tasks, in milliseconds."""
    return max(
        (
            course[-1][0]
            for operation in contract.operations.values()
            if operation.lifecycle is not None
            for course in (operation.lifecycle.success, operation.lifecycle.failure or ((0, ""),))
        ),
        default=0,
    )
