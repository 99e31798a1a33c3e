"""What an account had at first is what it has left, what is reserved and what was taken, whatever happened.

The booking alone, on a store in a file, by each rule a provider may charge by; with tasks that end by
themselves, that are ended or stopped by hand, that are forgotten, and with restarts.  The model keeps the tasks
and knows nothing of when anybody looks.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mockserver.limits import account_view, quotas
from mockserver.store import SqliteStore
from mockserver.tasks import Task, move, state_at
from mockserver.wallets import Wallets
from tests.mock import NOON
from tests.providers import LIBRARY, contract
from validator.contract.model import Charge, Contract, Operation

PRICES = (0.1, 0.3, 1.0, 2.5, 7.0, None)
ACCOUNTS = ("one", "two")
OPENING = 1_000.0


def _cancelable() -> tuple[Contract, Operation]:
    """Return a provider whose tasks end in all three ways, and are forgotten."""
    for name in LIBRARY:
        for operation in contract(name).operations.values():
            lifecycle = operation.lifecycle
            if lifecycle is None or lifecycle.retention is None:
                continue
            if {"success", "failure", "canceled"} <= {one.outcome for one in lifecycle.states.values()}:
                return contract(name), operation
    raise AssertionError("no provider of the library cancels tasks")


KNOWN, CREATE = _cancelable()


@dataclass
class Kept:
    """A task as the model knows it; `course` are pairs (time, outcome, None while it runs)."""

    account: str
    price: float
    course: list[tuple[int, str | None]]
    created: int
    is_forgotten: bool = False

    def outcome(self, now: int) -> str | None:
        return [outcome for at, outcome in self.course if at <= now][-1]


class Machine(RuleBasedStateMachine):
    """The booking under test, and the tasks it should have booked."""

    charge: Charge

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        operation = dataclasses.replace(CREATE, charge=self.charge)
        operations = {**KNOWN.operations, operation.id: operation}
        self.contract = dataclasses.replace(KNOWN, operations=operations)
        self.operation = operation
        self.now = NOON
        self.tasks: dict[str, Kept] = {}
        self.numbers = itertools.count()
        self.open_store()

    def open_store(self) -> None:
        self.store = SqliteStore(str(Path(self.folder.name) / "mock.sqlite"))
        self.wallets = Wallets(self.store, {KNOWN.id: self.contract})

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    def name(self, account: str) -> str:
        return f"{KNOWN.id}:{account}"

    def account(self, account: str) -> Any:
        return self.store.account("default", self.name(account), self.now)

    def states(self, outcome: str) -> str:
        assert self.operation.lifecycle is not None
        known = self.operation.lifecycle.states.items()
        return next(name for name, state in known if state.outcome == outcome)

    @rule(
        account=st.sampled_from(ACCOUNTS),
        price=st.sampled_from(PRICES),
        fails=st.booleans(),
        runs_by_itself=st.booleans(),
        count=st.integers(1, 3),
    )
    def make(self, account: str, price: float | None, fails: bool, runs_by_itself: bool, count: int) -> None:
        lifecycle = self.operation.lifecycle
        assert lifecycle is not None
        course = (lifecycle.failure if fails and lifecycle.failure else lifecycle.success) or ()
        course = course if runs_by_itself else course[:1]
        self.account(account)
        self.wallets.settle("default", self.name(account), self.account(account), self.now)
        for _ in range(count):
            task = Task(
                id=f"t{next(self.numbers)}",
                provider=KNOWN.id,
                operation=self.operation.id,
                account=self.name(account),
                request_id="r",
                created=self.now,
                timeline=course,
                price=price,
                is_charged=self.charge.at_create,
            )
            self.store.add("default", task, ())
            self.wallets.hold("default", task)
            ends = [(self.now + at, lifecycle.states[state].outcome) for at, state in course]
            self.tasks[task.id] = Kept(account, price or 0.0, ends, self.now)

    @rule(data=st.data(), outcome=st.sampled_from(("success", "failure", "canceled")))
    def end_by_hand(self, data: st.DataObject, outcome: str) -> None:
        open_ids = [
            name
            for name, one in self.tasks.items()
            if not one.is_forgotten and one.outcome(self.now) is None and self.store.get("default", name)
        ]
        if not open_ids:
            return
        name = data.draw(st.sampled_from(open_ids))
        task = self.store.get("default", name)
        assert task is not None and self.operation.lifecycle is not None
        move(task, self.operation.lifecycle, self.states(outcome), self.now)
        self.store.save("default", task)
        known = self.tasks[name]
        known.course = [entry for entry in known.course if entry[0] <= self.now] + [(self.now, outcome)]

    @rule(seconds=st.sampled_from((0, 1, 2, 30, 300, 50_000, 90_000)))
    def advance(self, seconds: int) -> None:
        self.now += seconds * 1_000

    @rule(account=st.sampled_from(ACCOUNTS), everything=st.booleans())
    def look(self, account: str, everything: bool) -> None:
        book = self.wallets.settle_all if everything else self.wallets.settle
        book("default", self.name(account), self.account(account), self.now)

    @rule(account=st.sampled_from(ACCOUNTS))
    def forget(self, account: str) -> None:
        self.wallets.forget("default", self.name(account), self.operation, self.now)
        lifecycle = self.operation.lifecycle
        assert lifecycle is not None and lifecycle.retention is not None
        for known in self.tasks.values():
            if known.account == account and known.created < self.now - lifecycle.retention:
                known.is_forgotten = known.is_forgotten or known.outcome(self.now) is None

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open_store()

    @invariant()
    def it_adds_up(self) -> None:
        if not hasattr(self, "store"):
            return
        quota = quotas(self.contract, {(KNOWN.id, "credits"): OPENING}).credits
        for account in ACCOUNTS:
            held = self.account(account)
            view = account_view(self.name(account), held, quota)
            assert OPENING == pytest.approx(view.remaining + held.reserved + held.used, abs=1e-9)
            mine = [one for one in self.tasks.values() if one.account == account]
            # What nobody has looked at yet may only make an account poorer than it is, never richer.
            due = sum(self.due(one) for one in mine)
            assert held.spent >= due - 1e-9

    @rule(account=st.sampled_from(ACCOUNTS))
    def everything_is_booked_as_the_rule_says(self, account: str) -> None:
        self.wallets.settle_all("default", self.name(account), self.account(account), self.now)

        held = self.account(account)
        mine = [one for one in self.tasks.values() if one.account == account]
        running = [one for one in mine if not one.is_forgotten and one.outcome(self.now) is None]
        at_create = self.charge.at_create
        assert len(held.open) == len(running)
        assert held.reserved == pytest.approx(0 if at_create else sum(one.price for one in running))
        assert held.spent == pytest.approx(sum(self.due(one) for one in mine))
        for outcome, count in (
            ("success", held.succeeded),
            ("failure", held.failed),
            ("canceled", held.canceled),
        ):
            assert count == sum(not one.is_forgotten and one.outcome(self.now) == outcome for one in mine)

    def due(self, known: Kept) -> float:
        """Return what a task takes or may take, by the rule."""
        if known.is_forgotten:
            return known.price if self.charge.at_create else 0
        outcome = known.outcome(self.now)
        if outcome in (None, "success"):
            return known.price
        if not self.charge.at_create:
            return 0
        return 0 if outcome in self.charge.refunds else known.price


CHARGES = {
    "taken at success": Charge(),
    "taken at create and given back": Charge(at_create=True),
    "taken at create, a cancel is paid for": Charge(at_create=True, refunds=frozenset(("failure",))),
    "taken at create for good": Charge(at_create=True, refunds=frozenset()),
}

IS_SOAKED = settings.get_current_profile_name() == "soak"


@pytest.mark.parametrize("name", CHARGES)
def test_an_account_always_adds_up(name: str) -> None:
    machine: Any = type("Wallets", (Machine,), {"charge": CHARGES[name]})
    effort = settings(max_examples=200 if IS_SOAKED else 30, stateful_step_count=40)

    run_state_machine_as_test(machine, settings=effort)


def test_the_state_of_a_task_is_the_one_the_model_reads() -> None:
    # The model counts on the first state being no end.
    assert CREATE.lifecycle is not None
    assert not CREATE.lifecycle.states[state_at(CREATE.lifecycle.success, 0)[1]].is_final
