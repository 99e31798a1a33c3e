"""Whatever happens in whatever order, the server does what a small model of it says.

Two tenants, one with its clock at rest and one on real time, two accounts in each, a store in a file.  The
model below is written from the docs and knows nothing of the engine: it takes the courses of tasks from the
spec's own document, and the prices from what a fresh server says about each body.
"""

from __future__ import annotations

import copy
import functools
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mockserver.store import SqliteStore
from tests.cases import read_cases
from tests.mock import Mock, Receivers, Reply, Wall
from tests.mockserver.clients import Client, clients, examples, is_same_record
from tests.pictures import picture
from tests.providers import LIBRARY, contract
from validator.contract.durations import milliseconds
from validator.contract.model import Operation

TENANTS = ("default", "other")
ACCOUNTS = ("a", "b")
NAMES = ("order-1", "order-2")

Course = list[tuple[int, str]]
"""Pairs (milliseconds since the epoch, state)."""


# --- what the spec says, read by itself -------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """The lifecycle of an operation as its document has it."""

    initial: str
    finals: Mapping[str, str]
    steps: tuple[Mapping[str, Any], ...]
    retention: int | None

    def course(self, state: str, at: int, *, fails: bool) -> Course:
        """Return what becomes of a task that enters a state at a time."""
        out = [(at, state)]
        while state not in self.finals:
            leaving = [step for step in self.steps if step["source"] == state and "after" in step]
            failing = [step for step in leaving if step.get("event") == "failure"]
            usual = [step for step in leaving if "event" not in step]
            taken = (failing if fails and failing else usual)[:1]
            if not taken:
                break
            at, state = at + milliseconds(taken[0]["after"]), taken[0]["target"]
            out.append((at, state))
        return out

    def outcome(self, name: str) -> str | None:
        """Return a state that has this outcome."""
        return next((state for state, outcome in self.finals.items() if outcome == name), None)

    def next(self, state: str) -> list[str]:
        """Return where the document says one may go from a state."""
        return [step["target"] for step in self.steps if step["source"] == state]


def life(operation: Operation, provider: str) -> Life:
    """Return the lifecycle of a create operation."""
    document = contract(provider).document
    for item in document.root["paths"].values():
        for node in item.values():
            if isinstance(node, dict) and node.get("operationId") == operation.id:
                word, _ = document.resolve(node["x-task"]["lifecycle"])
                return Life(
                    initial=word["initial"],
                    finals={
                        name: state["outcome"] for name, state in word["states"].items() if state.get("final")
                    },
                    steps=tuple(word["transitions"]),
                    retention=milliseconds(word["retention"]) if "retention" in word else None,
                )
    raise AssertionError(operation.id)


@dataclass(frozen=True)
class Body:
    """A request and what it costs; `fails` when the task it makes ends in failure by itself."""

    content: Mapping[str, Any]
    price: float | None
    fails: bool

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(f"<{str(self.content)[:60]}, {self.price}, fails={self.fails}>")


@dataclass(frozen=True)
class Kit:
    """What can be asked of one create operation."""

    operation: Operation
    life: Life
    bodies: tuple[Body, ...]
    refused: tuple[Any, ...]
    told: frozenset[str]
    must_be_told: bool
    unique: str | None
    page: tuple[str, str] | None

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(self.operation.id)


@functools.cache
def kits(provider: str) -> Mapping[str, Kit]:
    """Return the kits of a provider; the prices are those that a server of its own names."""
    out = {}
    with Mock(provider, log="off") as mock:
        for client in clients(mock, provider):
            operation = client.operation
            known = life(operation, provider)
            good = examples(contract(provider), operation)[:2]
            failing, refused = _cases(provider, operation)
            unique = operation.unique[0].pointer[1:] if operation.unique else None
            bodies = [
                Body(_bare(body, operation), _price(client, body), fails)
                for fails, some in ((False, good), (True, failing))
                for body in some
            ]
            listing = [one for one in contract(provider).operations.values() if operation.id in one.of]
            silent = client.create(body=_bare(good[0], operation))
            out[operation.id] = Kit(
                operation=operation,
                life=known,
                bodies=tuple(bodies),
                refused=tuple(refused),
                told=frozenset().union(*(callback.states for callback in operation.callbacks)),
                must_be_told=silent.status != operation.response.status,
                unique=unique,
                page=(listing[0].page.number, listing[0].page.size)
                if listing and listing[0].page is not None
                else None,
            )
    return out


def _cases(provider: str, operation: Operation) -> tuple[list[Any], list[Any]]:
    """Return bodies that make a task fail, and bodies that are refused."""
    if provider == "toy":
        small = {"picture": picture(width=10, height=10)}
        return [small], [{}, {"prompt": "a boat", "model": "zz"}, {"prompt": 7}]
    cases = [
        case
        for case in read_cases(provider, "fail")
        if case.operation == operation.id and isinstance(case.body, dict) and case.body
    ]
    failing = [case.body for case in cases if case.verdict == "fails"][:2]
    return failing, [case.body for case in cases if case.verdict == "refused"][:4]


def _bare(body: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """Return a body without a name of its own and without an address."""
    gone = {one.pointer[1:] for one in operation.unique}
    gone |= {one.url_expression.strip("{}").rpartition("/")[2] for one in operation.callbacks}
    return {name: copy.deepcopy(value) for name, value in body.items() if name not in gone}


def _price(client: Client, body: Any) -> float | None:
    task = client.made(body=_bare(body, client.operation), hook="http://receiver.test/probe")
    price: float | None = client.mock.admin("GET", f"/tasks/{task}")["price"]
    return price


# --- the model --------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Task:
    """A task as the docs describe it."""

    id: str
    tenant: str
    account: str
    kit: Kit
    price: float | None
    name: str | None
    hook: str | None
    course: Course
    told_again: list[str] = field(default_factory=list)

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(f"<{self.id} of {self.tenant}, {self.account}>")

    def state(self, now: int) -> str:
        return [state for at, state in self.course if at <= now][-1]

    def is_final(self, now: int) -> bool:
        return self.state(now) in self.kit.life.finals

    def is_gone(self, now: int) -> bool:
        keeps = self.kit.life.retention
        return keeps is not None and now > self.course[0][0] + keeps

    def told(self, now: int) -> list[str]:
        """Return the news that were sent by now."""
        if self.hook is None:
            return []
        return [state for at, state in self.course if at <= now and state in self.kit.told]


@dataclass
class World:
    """One tenant: `stands_at` where its clock is at rest, `ahead` how far it is before the wall else."""

    stands_at: int | None = None
    ahead: int = 0
    tasks: list[Task] = field(default_factory=list)


def records(node: Any, ids: set[str]) -> Iterator[dict[str, Any]]:
    """Yield every object of an answer that holds the id of a task."""
    if isinstance(node, dict):
        if any(isinstance(value, str) and value in ids for value in node.values()):
            yield node
        else:
            for value in node.values():
                yield from records(value, ids)
    elif isinstance(node, list):
        for item in node:
            yield from records(item, ids)


class Machine(RuleBasedStateMachine):
    """A server and the model of it, side by side."""

    provider = "toy"

    def __init__(self) -> None:
        super().__init__()
        # No disk where memory will do: what a kill leaves behind is the business of the crash test.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(dir=place)
        self.wall = Wall()
        self.receivers = Receivers(self.wall)
        self.kits = kits(self.provider)
        prices = [body.price for kit in self.kits.values() for body in kit.bodies if body.price]
        self.credits = 5 * max(prices) if prices else None
        self.running = 4
        self.worlds = {name: World() for name in TENANTS}
        self.hooks = 0
        self.mock = self.started()

    @initialize()
    def begin(self) -> None:
        self.freeze()

    def teardown(self) -> None:
        self.mock.stop()
        self.folder.cleanup()

    def started(self) -> Mock:
        limits: dict[tuple[str, str], float | None] = {(self.provider, "concurrent-tasks"): self.running}
        if self.credits is not None:
            limits[self.provider, "credits"] = self.credits
        return Mock(
            self.provider,
            store=SqliteStore(str(Path(self.folder.name) / "store.db")),
            wall=self.wall,
            sender=self.receivers,
            log="off",
            limits=limits,
        )

    def freeze(self) -> None:
        self.mock.freeze(tenant=TENANTS[0])
        self.worlds[TENANTS[0]].stands_at = self.wall.at

    # --- the model's side

    def now(self, tenant: str) -> int:
        world = self.worlds[tenant]
        return self.wall.at + world.ahead if world.stands_at is None else world.stands_at

    def owned(self, tenant: str, account: str) -> list[Task]:
        return [task for task in self.worlds[tenant].tasks if task.account == account]

    def named(self, tenant: str, account: str, name: str | None) -> Task | None:
        now = self.now(tenant)
        mine = (task for task in self.owned(tenant, account) if task.name == name and not task.is_gone(now))
        return next(mine, None) if name is not None else None

    def objection(self, tenant: str, account: str, kit: Kit, body: Body, name: str | None) -> str:
        """Say what the provider has against a request that is well formed."""
        now, mine = self.now(tenant), self.owned(tenant, account)
        if self.named(tenant, account, name) is not None:
            return kit.operation.unique[0].rule.id
        running = [task for task in mine if not task.is_final(now)]
        if body.price is not None and self.credits is not None:
            spent = sum(
                task.price or 0
                for task in mine
                if not task.is_final(now) or task.kit.life.finals[task.state(now)] == "success"
            )
            if body.price > self.credits - spent + 1e-9:
                return f"{self.provider}.request.quota-exhausted"
        return f"{self.provider}.request.concurrency-exceeded" if len(running) >= self.running else ""

    # --- the server's side

    def client(self, tenant: str, account: str, kit: Kit) -> Client:
        base = "" if tenant == "default" else f"/t/{tenant}"
        return Client(self.mock, self.provider, kit.operation, account=account, base=base)

    def shown(self, task: Task) -> dict[str, Any]:
        """Return the record of a task as its owner reads it."""
        reply = self.client(task.tenant, task.account, task.kit).read(task.id)
        assert reply.status == 200, reply
        (record,) = records(reply.json, {task.id})
        return record

    def is_unknown(self, reply: Reply) -> bool:
        return (
            reply.status >= 400 and f"{self.provider}.request.not-found" in reply.headers["x-mock-violations"]
        )

    @property
    def has_tasks(self) -> bool:
        return any(world.tasks for world in self.worlds.values())

    def some(self, data: st.DataObject, *, only_open: bool = False, only_here: bool = False) -> Task | None:
        """Return any task, one that has not ended, or one that is not forgotten; None where there is none."""
        found = [
            task
            for world in self.worlds.values()
            for task in world.tasks
            if not (only_open and task.is_final(self.now(task.tenant)))
            and not (only_here and task.is_gone(self.now(task.tenant)))
        ]
        return data.draw(st.sampled_from(found)) if found else None

    # --- rules: create

    @rule(
        data=st.data(),
        tenant=st.sampled_from(TENANTS),
        account=st.sampled_from(ACCOUNTS),
        name=st.sampled_from((None, *NAMES)),
        is_told=st.booleans(),
        count=st.integers(1, 3),
    )
    def create(
        self, data: st.DataObject, tenant: str, account: str, name: str | None, is_told: bool, count: int
    ) -> None:
        for index in range(count):
            self.create_one(data, tenant, account, name if index == 0 else None, is_told)

    def create_one(
        self, data: st.DataObject, tenant: str, account: str, name: str | None, is_told: bool
    ) -> None:
        kit = data.draw(st.sampled_from(list(self.kits.values())))
        body = data.draw(st.sampled_from(kit.bodies))
        content = copy.deepcopy(dict(body.content))
        name = name if kit.unique is not None else None
        if name is not None:
            content[kit.unique or ""] = name
        hook = None
        if is_told or kit.must_be_told:
            self.hooks += 1
            hook = f"http://receiver.test/{self.hooks}"
        objection = self.objection(tenant, account, kit, body, name)

        reply = self.client(tenant, account, kit).create(body=content, hook=hook)

        broken = reply.headers.get("x-mock-violations", "")
        if objection:
            assert reply.status >= 400, reply
            assert broken.split(", ")[-1] == objection
            return
        assert reply.status == kit.operation.response.status, (reply, broken)
        now = self.now(tenant)
        (made,) = self.mock.admin("GET", "/tasks?limit=1", tenant=tenant)["tasks"]
        (record,) = records(reply.json, {made["id"]})
        assert kit.life.initial in record.values()
        course = kit.life.course(kit.life.initial, now, fails=body.fails)
        self.worlds[tenant].tasks.append(
            Task(made["id"], tenant, account, kit, body.price, name, hook if kit.told else None, course)
        )

    @rule(data=st.data(), tenant=st.sampled_from(TENANTS), account=st.sampled_from(ACCOUNTS))
    def create_refused(self, data: st.DataObject, tenant: str, account: str) -> None:
        kit = data.draw(st.sampled_from([one for one in self.kits.values() if one.refused]))
        body = data.draw(st.sampled_from(kit.refused))

        reply = self.client(tenant, account, kit).create(body=copy.deepcopy(body))

        assert reply.status >= 400, reply
        assert reply.headers["x-mock-violations"]

    # --- rules: read and list

    @precondition(lambda self: self.has_tasks)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        task = self.some(data)
        if task is None:
            return
        owner = self.client(task.tenant, task.account, task.kit)
        now = self.now(task.tenant)
        reply = owner.read(task.id)
        if task.is_gone(now):
            assert self.is_unknown(reply), reply
            return
        record = self.shown(task)
        state = task.state(now)
        assert state in record.values()
        others = {at for _, at in task.course} | set(task.kit.life.finals)
        assert not (others - {state}) & {one for one in record.values() if isinstance(one, str)}
        if task.name is not None:
            assert records_of(owner.read(task.name)) == records_of(reply)
        said = [call.json for call in self.receivers.to(task.hook or "") if says(call.json, task, state)]
        assert bool(said) == (state in task.told(now))
        for news in said:
            assert is_same_record(reply.json, news), (reply.json, news)

    @precondition(lambda self: self.has_tasks)
    @rule(data=st.data())
    def read_of_others(self, data: st.DataObject) -> None:
        task = self.some(data)
        if task is None:
            return
        for tenant, account in itertools.product(TENANTS, ACCOUNTS):
            if (tenant, account) == (task.tenant, task.account):
                continue
            stranger = self.client(tenant, account, task.kit)
            assert self.is_unknown(stranger.read(task.id))
            if task.name is not None and self.named(tenant, account, task.name) is None:
                assert self.is_unknown(stranger.read(task.name))

    @precondition(lambda self: any(kit.page for kit in self.kits.values()))
    @rule(
        data=st.data(),
        tenant=st.sampled_from(TENANTS),
        account=st.sampled_from(ACCOUNTS),
        number=st.integers(1, 3),
        size=st.integers(1, 6),
    )
    def list_page(self, data: st.DataObject, tenant: str, account: str, number: int, size: int) -> None:
        kit = data.draw(st.sampled_from([one for one in self.kits.values() if one.page]))
        assert kit.page is not None
        listing = next(
            one for one in contract(self.provider).operations.values() if kit.operation.id in one.of
        )
        now = self.now(tenant)
        mine = [
            task
            for task in reversed(self.owned(tenant, account))
            if task.kit.operation.id in listing.of and not task.is_gone(now)
        ]
        everybody = {task.id: task for world in self.worlds.values() for task in world.tasks}

        reply = self.client(tenant, account, kit).list(f"?{kit.page[0]}={number}&{kit.page[1]}={size}")

        assert reply.status == 200, reply
        items = list(records(reply.json, set(everybody)))
        ids = [next(one for one in item.values() if str(one) in everybody) for item in items]
        assert ids == [task.id for task in mine[(number - 1) * size : number * size]]
        for task_id, item in zip(ids, items, strict=True):
            full = self.shown(everybody[task_id])
            assert all(full[name] == value for name, value in item.items())

    # --- rules: time

    @rule(
        tenant=st.sampled_from(TENANTS),
        seconds=st.sampled_from((0.5, 1.5, 1.665, 2.0, 7.0, 10.0, 61.0, 130.0, 300.0, 86_460.0)),
    )
    def advance(self, tenant: str, seconds: float) -> None:
        self.moved(tenant, {"by": f"PT{seconds}S"}, round(seconds * 1000))

    @rule(tenant=st.sampled_from(TENANTS))
    def advance_to_what_is_next(self, tenant: str) -> None:
        now = self.now(tenant)
        ahead = [at for task in self.worlds[tenant].tasks for at, _ in task.course if at > now]

        self.moved(tenant, {"to": "next-event"}, min(ahead, default=now) - now)

    def moved(self, tenant: str, how: dict[str, str], by: int) -> None:
        world, start = self.worlds[tenant], self.now(tenant)
        answer = self.mock.admin("POST", "/clock/advance", how, tenant=tenant)

        if world.stands_at is not None:
            world.stands_at += by
        else:
            world.ahead += by
        assert self.now(tenant) == answer["now_ms"]
        entered = [
            (at, task.id, state)
            for task in world.tasks
            for at, state in task.course
            if start < at <= start + by
        ]
        told = [(one["at"], one["kind"]) for one in answer["events"]]
        assert told == sorted(told, key=lambda one: one[0])
        events = [
            (ms(one["at"]), one["task"], one["state"]) for one in answer["events"] if one["kind"] == "task"
        ]
        assert sorted(entered) == sorted(events)
        sent = [(one["task"], one["state"]) for one in answer["events"] if one["kind"] == "delivery"]
        news = [
            (task.id, state)
            for task in world.tasks
            for at, state in task.course
            if start < at <= start + by and task.hook and state in task.kit.told
        ]
        assert sorted(news) == sorted(sent)

    @rule(seconds=st.sampled_from((0.5, 2.0, 5.0, 61.0, 130.0)))
    def wait(self, seconds: float) -> None:
        self.mock.wait(seconds)

    # --- rules: by hand

    @precondition(lambda self: self.has_tasks)
    @rule(data=st.data(), outcome=st.sampled_from(("success", "failure")))
    def end_by_hand(self, data: st.DataObject, outcome: str) -> None:
        task = self.some(data, only_here=True)
        if task is None:
            return
        now = self.now(task.tenant)
        status = 409 if task.is_final(now) else 200
        self.mock.admin("PATCH", f"/tasks/{task.id}", {"outcome": outcome}, tenant=task.tenant, status=status)
        if status == 200:
            target = task.kit.life.outcome(outcome)
            assert target is not None
            self.replan(task, target)

    @precondition(lambda self: self.has_tasks)
    @rule(data=st.data())
    def move_by_hand(self, data: st.DataObject) -> None:
        task = self.some(data, only_open=True)
        if task is None:
            return
        target = data.draw(st.sampled_from(task.kit.life.next(task.state(self.now(task.tenant)))))
        self.mock.admin("PATCH", f"/tasks/{task.id}", {"state": target}, tenant=task.tenant)
        self.replan(task, target)

    def replan(self, task: Task, target: str) -> None:
        """Take the future away; from here on the usual course holds."""
        now = self.now(task.tenant)
        past = [entry for entry in task.course if entry[0] <= now]
        task.course = past + task.kit.life.course(target, now, fails=False)

    @precondition(lambda self: self.has_tasks)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        task = self.some(data)
        if task is None or not task.told(self.now(task.tenant)):
            return
        self.mock.settle()
        through = self.mock.admin("GET", f"/deliveries?task={task.id}&status=delivered", tenant=task.tenant)[
            "deliveries"
        ]
        chosen = data.draw(st.sampled_from(sorted(through, key=lambda one: str(one["id"]))))
        self.mock.admin("POST", f"/deliveries/{chosen['id']}/replay", tenant=task.tenant)
        task.told_again.append(chosen["state"])

    @rule(tenant=st.sampled_from(TENANTS))
    def reset(self, tenant: str) -> None:
        self.mock.admin("POST", "/reset", tenant=tenant)
        self.worlds[tenant] = World()
        if tenant == TENANTS[0]:
            self.freeze()

    @rule()
    def restart(self) -> None:
        self.mock.settle()
        self.mock.stop()
        self.mock = self.started()

    # --- what always holds

    @invariant()
    def every_task_is_where_it_should_be(self) -> None:
        self.mock.settle()
        for tenant, world in self.worlds.items():
            now = self.now(tenant)
            found = self.mock.admin("GET", "/tasks?limit=1000", tenant=tenant)["tasks"]
            known = {task.id: task for task in world.tasks}
            ids = [one["id"] for one in found]
            assert [one for one in ids if not known[one].is_gone(now)] == [
                task.id for task in reversed(world.tasks) if not task.is_gone(now)
            ]
            for one in found:
                task = known[one["id"]]
                assert one["state"] == task.state(now)
                assert [(ms(entry["at"]), entry["state"]) for entry in one["timeline"]] == task.course
                assert one["price"] == task.price
                if task.is_final(now):
                    assert (one["failure"] is not None) == (one["outcome"] == "failure")

    @invariant()
    def every_change_is_told_once_and_in_order(self) -> None:
        self.mock.settle()
        for tenant, world in self.worlds.items():
            now = self.now(tenant)
            ledger = self.mock.admin("GET", "/deliveries?limit=1000", tenant=tenant)["deliveries"][::-1]
            for task in world.tasks:
                mine = [one for one in ledger if one["task"] == task.id]
                through = [one for one in mine if one["status"] == "delivered"]
                assert [one["state"] for one in through] == task.told(now)
                ahead = [state for at, state in task.course if at > now and state in task.kit.told]
                waiting = [one["state"] for one in mine if one["status"] == "waiting"]
                assert waiting == (ahead if task.hook else [])
                assert {one["status"] for one in mine} <= {"delivered", "waiting", "canceled"}
                calls = self.receivers.to(task.hook or "")
                bodies = [call.json for call in calls]
                assert len(calls) == len(task.told(now)) + len(task.told_again)
                assert sum(len(one["attempts"]) for one in through) == len(calls)
                firsts = [body for index, body in enumerate(bodies) if body not in bodies[:index]]
                if not task.told_again:
                    assert bodies == firsts == [one["body"] for one in through]
                for one in through:
                    assert one["body"] in bodies
                    assert says(one["body"], task, one["state"])

    @precondition(lambda self: self.provider == "toy")
    @invariant()
    def the_wallet_adds_up(self) -> None:
        for tenant in TENANTS:
            for account in ACCOUNTS:
                now = self.now(tenant)
                spent = sum(
                    task.price or 0 for task in self.owned(tenant, account) if task.state(now) != "broken"
                )
                client = self.client(tenant, account, next(iter(self.kits.values())))
                reply = self.mock.call("GET", client.url("/api/wallet?since=0"), headers=client.headers)
                assert self.credits is not None
                assert reply.json == {"total": self.credits, "left": self.credits - spent}

    @invariant()
    def the_costs_are_those_of_the_tasks(self) -> None:
        for tenant, world in self.worlds.items():
            now = self.now(tenant)
            (costs,) = self.mock.admin("GET", "/costs", tenant=tenant)["providers"]
            ended = [task for task in world.tasks if task.is_final(now)]
            outcomes = [task.kit.life.finals[task.state(now)] for task in ended]
            assert len(world.tasks) == costs["tasks"]
            for outcome, name in (("success", "succeeded"), ("failure", "failed"), ("canceled", "canceled")):
                assert outcomes.count(outcome) == costs[name]
            taken = [
                task.price or 0 for task, outcome in zip(ended, outcomes, strict=True) if outcome == "success"
            ]
            running = [task.price or 0 for task in world.tasks if not task.is_final(now)]
            assert pytest.approx(sum(taken)) == costs["used"]
            assert pytest.approx(sum(running)) == costs["reserved"]
            for one in self.mock.admin("GET", "/accounts", tenant=tenant)["accounts"]:
                wallet = one["wallet"]
                if wallet["opening"] is not None:
                    left = wallet["opening"] - wallet["used"] - wallet["reserved"]
                    assert pytest.approx(max(left, 0)) == wallet["remaining"]


def says(news: Any, task: Task, state: str) -> bool:
    """Tell whether a callback is about a task in a state."""
    (record,) = records(news, {task.id})
    return state in record.values()


def records_of(reply: Reply) -> Any:
    """Return an answer without what each answer has of its own."""
    return {name: value for name, value in reply.json.items() if name != "request_id"}


def ms(text: str) -> int:
    """Return milliseconds of a date as the admin API writes it."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


IS_SOAKED = settings.get_current_profile_name() == "soak"
EFFORT = settings(
    max_examples=150 if IS_SOAKED else 20,
    stateful_step_count=60 if IS_SOAKED else 40,
    # The steps of a failure say enough; to find fewer of them takes minutes.
    phases=set(Phase) - (set() if IS_SOAKED else {Phase.shrink, Phase.explain}),
)


def machine(provider: str) -> type[Machine]:
    """Return the machine of one provider."""
    return type(f"Machine_{provider}", (Machine,), {"provider": provider})


@pytest.mark.parametrize("provider", ["toy", *LIBRARY])
def test_the_server_does_what_the_model_says(provider: str) -> None:
    run_state_machine_as_test(machine(provider), settings=EFFORT)
