"""Whatever happens in whatever order, the server does what a small model of it says.

Two tenants, one with its clock at rest and one whose clock runs, two accounts in each, a store in a file.  The
model below is written from the docs and knows nothing of the engine: it takes the courses of tasks from the
spec's own document, and the prices from what a fresh server says about each body.  The same machine runs on a server
in this process, where time is stepped, and on a process of its own over sockets, which is killed as well.
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
from tests.e2e.receiver import Callback, Receiver
from tests.e2e.running import Running
from tests.mock import Mock, Receivers, Reply, Wall
from tests.mockserver.clients import Client, clients, examples, is_same_record
from tests.model.served import Served
from tests.pictures import picture
from tests.providers import LIBRARY, TOY, contract
from validator.contract.durations import milliseconds
from validator.contract.model import Operation

TENANTS = ("default", "other")
ACCOUNTS = ("a", "b")
NAMES = ("order-1", "order-2")

REFUSED = (
    # What the control plane refuses: (method, path, body, status).
    ("GET", "/tasks/none", None, 404),
    ("PATCH", "/tasks/none", {"outcome": "success"}, 404),
    ("PATCH", "/tasks/none", {"state": 7}, 400),
    ("GET", "/tasks?limit=0", None, 400),
    ("DELETE", "/tasks", None, 405),
    ("GET", "/deliveries/none", None, 404),
    ("POST", "/deliveries/none/replay", None, 404),
    ("GET", "/requests/none", None, 404),
    ("PUT", "/clock", {"mode": "wound up"}, 400),
    ("PUT", "/clock", {"speed": 0}, 400),
    ("POST", "/clock/advance", {"by": "an hour"}, 400),
    ("POST", "/clock/advance", {"by": "-PT1S"}, 400),
    ("POST", "/clock/advance", {"by": "PT1S", "to": "next-event"}, 400),
    ("GET", "/nothing", None, 404),
)

MOST_RESTARTS = 2
"""Restarts of a process in one run: each takes as long as a hundred other steps."""

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

    def usual(self, *, fails: bool) -> Course:
        """Return what becomes of a new task, in milliseconds from its creation."""
        return self.course(self.initial, 0, fails=fails)

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


# --- what scenarios do to a task --------------------------------------------------------------------------


def slow(life: Life, fails: bool) -> Course:
    return [(at * 3, state) for at, state in life.usual(fails=fails)]


def failed(life: Life, fails: bool) -> Course | None:
    failing, usual = life.usual(fails=True), life.usual(fails=False)
    if failing != usual:
        return failing
    *working, _ = usual
    return ended(life, [*working, (working[-1][0] + 2_000, "failure")])


def failed_late(life: Life, fails: bool) -> Course | None:
    *working, (end, _) = life.usual(fails=False)
    return ended(life, [*working, (end, "failure")])


def stuck(life: Life, fails: bool) -> Course:
    return [entry for entry in life.usual(fails=False) if entry[1] not in life.finals]


def canceled(life: Life, fails: bool) -> Course | None:
    *working, (end, _) = life.usual(fails=False)
    return ended(life, [*working, ((working[-1][0] + end) // 2, "canceled")])


def ended(life: Life, course: Course) -> Course | None:
    """Put the provider's word for an outcome in its place; None where it has none."""
    state = life.outcome(course[-1][1])
    return None if state is None else [*course[:-1], (course[-1][0], state)]


OUTCOMES = {
    # What `Prefer: scenario=` says, and the course of a task that met it; None where it cannot be met.
    "slow; factor=3": slow,
    "accepted-then-failed": failed,
    "moderation-late": failed_late,
    "stuck-processing": stuck,
    "canceled": canceled,
}
REFUSALS = ("rate-limited", "internal-error", "out-of-credits", "maintenance", "unauthorized")
UNHEARD = "internal-error; accepted=yes"
"""The task is made, and the answer says that something went wrong."""

NEWS = {"lost": "callback-lost", "final": "callback-only-final"}
"""Scenarios about callbacks, by what is written in the address."""

WISHES = (None, None, None, *OUTCOMES, *REFUSALS, UNHEARD)


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
    retry: int | None
    """Milliseconds until a callback that met a 500 is tried again, None where it is not."""

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
            again = [one.retry[0] for one in operation.callbacks if one.retry and "5xx" in one.retry_on]
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
                retry=again[0] if again else None,
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
    receiver: str = "good"
    """good; gone, which answers 410 to everything; hiccup, which answers 500 first and 200 then; lost, which never
    hears anything; final, which hears of the end alone."""

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
        return [state for at, state in self.news() if at <= now]

    def news(self) -> Course:
        """Return the news of this course, with the times they are due."""
        wanted = self.kit.told & set(self.kit.life.finals) if self.receiver == "final" else self.kit.told
        return [(at, state) for at, state in self.course if self.hook is not None and state in wanted]


@dataclass
class World:
    """One tenant: `stands_at` where its clock is at rest, `ahead` how far it is before the wall else.

    `asked` counts the requests to the provider that the journal holds.
    """

    stands_at: int | None = None
    ahead: int = 0
    tasks: list[Task] = field(default_factory=list)
    asked: int = 0


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


# --- where it runs ----------------------------------------------------------------------------------------


def kind_of(url: str) -> str:
    """Return what becomes of a callback to this address."""
    return url.rpartition("/")[0].rpartition("/")[2]


class InProcess:
    """A server in this process: time is stepped, the other tenant's clock is the wall's."""

    can_wait = True

    def can_restart(self) -> bool:
        return True

    def __init__(self, provider: str, file: str, limits: dict[tuple[str, str], float | None]) -> None:
        self.wall = Wall()
        self._receivers = Receivers(self.wall, on_call=self._plan)
        self._provider, self._file, self._limits = provider, file, limits
        self.mock = self._started()

    def _plan(self, call: Any) -> None:
        if kind_of(call.url) == "gone":
            self._receivers.will(call.url, 410)
        elif kind_of(call.url) == "hiccup" and len(self._receivers.to(call.url)) % 2:
            self._receivers.will(call.url, 500)

    def _started(self) -> Mock:
        return Mock(
            self._provider,
            store=SqliteStore(self._file),
            wall=self.wall,
            sender=self._receivers,
            log="off",
            limits=self._limits,
        )

    def hook(self, name: str) -> str:
        return f"http://receiver.test/{name}"

    def sent(self, url: str) -> list[Any]:
        """Return the bodies that arrived at an address, oldest first."""
        return [call.json for call in self._receivers.to(url)]

    def begin(self, tenant: str) -> int | None:
        """Set the clock of a new tenant; return the time at which it stands, None for one that runs."""
        if tenant == TENANTS[0]:
            self.mock.freeze(tenant=tenant)
            return self.wall.at
        return None

    def restart(self, *, is_killed: bool) -> None:
        del is_killed  # what a kill leaves behind is another's business: this process would go with it
        self.mock.stop()
        self.mock = self._started()

    def close(self) -> None:
        self.mock.stop()


class OverSockets:
    """A server in a process of its own: requests and callbacks go through sockets, a restart may be a kill.

    Its clocks are one at rest and one that runs so slowly that it shows the same millisecond for years.
    """

    can_wait = False

    def can_restart(self) -> bool:
        return self._restarts < MOST_RESTARTS

    def __init__(self, provider: str, file: str, limits: dict[tuple[str, str], float | None]) -> None:
        self._restarts = 0
        self.wall = Wall(0)
        self._receiver = Receiver(answer=self._answer)
        self._options = [
            *(("--spec", str(TOY)) if provider == "toy" else ("--provider", provider)),
            f"--store=sqlite:///{file}",
            "--log=off",
            *(
                f"--limit={name}.{unit}={value:g}"
                for (name, unit), value in limits.items()
                if value is not None
            ),
        ]
        self.mock = self._started()

    def _answer(self, callback: Callback) -> int:
        kind = kind_of(callback.path)
        return {"gone": 410, "hiccup": 500 if len(self._to(callback.path)) % 2 else 200}.get(kind, 200)

    def _to(self, path: str) -> list[Callback]:
        return [one for one in self._receiver.received if one.path == path]

    def _started(self) -> Served:
        return Served(Running(*self._options), tenants=TENANTS)

    def hook(self, name: str) -> str:
        return self._receiver.url(f"/{name}")

    def sent(self, url: str) -> list[Any]:
        return [one.body for one in self._to(url.removeprefix(self._receiver.origin))]

    def begin(self, tenant: str) -> int | None:
        how = {"mode": "frozen"} if tenant == TENANTS[0] else {"mode": "scaled", "speed": 1e-12}
        at: int = self.mock.admin("PUT", "/clock", how, tenant=tenant)["now_ms"]
        return at

    def restart(self, *, is_killed: bool) -> None:
        if is_killed:
            self.mock.close()
            self.mock.running.kill()
        else:
            self.mock.stop()
        self._restarts += 1
        self.mock = self._started()

    def close(self) -> None:
        self.mock.stop()
        self._receiver.close()


class Machine(RuleBasedStateMachine):
    """A server and the model of it, side by side."""

    provider = "toy"
    place: type[InProcess] | type[OverSockets] = InProcess

    def __init__(self) -> None:
        super().__init__()
        # No disk where memory will do: what a kill leaves behind is the business of the crash test.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(dir=place)
        self.kits = kits(self.provider)
        prices = [body.price for kit in self.kits.values() for body in kit.bodies if body.price]
        self.credits = 5 * max(prices) if prices else None
        self.running = 4
        limits: dict[tuple[str, str], float | None] = {(self.provider, "concurrent-tasks"): self.running}
        if self.credits is not None:
            limits[self.provider, "credits"] = self.credits
        self.worlds = {name: World() for name in TENANTS}
        self.hooks = 0
        self.prefer = ""
        self.stage = self.place(self.provider, str(Path(self.folder.name) / "store.db"), limits)

    @property
    def mock(self) -> Mock:
        return self.stage.mock

    @initialize()
    def begin(self) -> None:
        for tenant in TENANTS:
            self.begin_anew(tenant)

    def begin_anew(self, tenant: str) -> None:
        self.worlds[tenant] = World(stands_at=self.stage.begin(tenant))

    def teardown(self) -> None:
        self.stage.close()
        self.folder.cleanup()

    # --- the model's side

    def now(self, tenant: str) -> int:
        world = self.worlds[tenant]
        return self.stage.wall.at + world.ahead if world.stands_at is None else world.stands_at

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
        return Client(self, self.provider, kit.operation, account=account, base=base)  # type: ignore[arg-type]

    def call(self, method: str, target: str, **more: Any) -> Reply:
        """Send a request to the provider, as its clients here do, and count it."""
        self.worlds[TENANTS[1] if target.startswith("/t/") else TENANTS[0]].asked += 1
        if self.prefer:
            more["headers"] = {**more["headers"], "prefer": self.prefer}
        return self.mock.call(method, target, **more)

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
        receiver=st.sampled_from((None, None, "good", "good", "gone", "hiccup", *NEWS)),
        wish=st.sampled_from(WISHES),
        count=st.integers(1, 3),
    )
    def create(
        self,
        data: st.DataObject,
        tenant: str,
        account: str,
        name: str | None,
        receiver: str | None,
        wish: str | None,
        count: int,
    ) -> None:
        for index in range(count):
            self.create_one(data, tenant, account, name if index == 0 else None, receiver, wish)

    def create_one(
        self,
        data: st.DataObject,
        tenant: str,
        account: str,
        name: str | None,
        receiver: str | None,
        wish: str | None,
    ) -> None:
        kit = data.draw(st.sampled_from(list(self.kits.values())))
        body = data.draw(st.sampled_from(kit.bodies))
        content = copy.deepcopy(dict(body.content))
        name = name if kit.unique is not None else None
        if name is not None:
            content[kit.unique or ""] = name
        hook = None
        if receiver is not None or kit.must_be_told:
            self.hooks += 1
            if receiver is None or (receiver == "hiccup" and kit.retry is None):
                receiver = "good"
            if not kit.told:
                receiver = "good"
            hook = self.stage.hook(f"{receiver}/{self.hooks}")
        objection = self.objection(tenant, account, kit, body, name)
        wishes = [one for one in (wish, NEWS.get(receiver or "")) if one is not None]
        self.prefer = ", ".join(f"scenario={one}" for one in wishes)

        reply = self.client(tenant, account, kit).create(body=content, hook=hook)

        self.prefer = ""
        broken = reply.headers.get("x-mock-violations", "")
        applied = reply.headers.get("preference-applied", "")
        # Not every provider has a refusal of each kind; then the answer says that nothing was applied.
        is_met = bool(wish) and f"scenario={(wish or '').partition(';')[0]}" in applied.split(", ")
        assert is_met or wish is None or "x-mock-note" in reply.headers
        if is_met and wish in REFUSALS:
            assert reply.status >= 400, reply
            return
        if objection:
            assert reply.status >= 400, reply
            assert broken.split(", ")[-1] == objection
            return
        is_unheard = is_met and wish == UNHEARD
        assert reply.status >= 400 if is_unheard else reply.status == kit.operation.response.status, reply
        now = self.now(tenant)
        (made,) = self.mock.admin("GET", "/tasks?limit=1", tenant=tenant)["tasks"]
        if not is_unheard:
            (record,) = records(reply.json, {made["id"]})
            assert kit.life.initial in record.values()
        fate = OUTCOMES[wish](kit.life, body.fails) if wish in OUTCOMES else None
        assert is_met == (fate is not None) or wish not in OUTCOMES
        course = [(now + at, state) for at, state in fate or kit.life.usual(fails=body.fails)]
        task = Task(made["id"], tenant, account, kit, body.price, name, hook if kit.told else None, course)
        task.receiver = receiver or "good"
        self.worlds[tenant].tasks.append(task)

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
        said = [news for news in self.stage.sent(task.hook or "") if says(news, task, state)]
        # What waits for a second try of earlier news comes later.
        assert bool(said) == (state in task.told(now)) or task.receiver == "hiccup"
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
        # When what failed is tried again is not foretold here; the ledger says.
        ledger = self.mock.admin("GET", "/deliveries?limit=1000", tenant=tenant)["deliveries"]
        # What is due already waits for older news of its task.
        ahead += [at for one in ledger if one["next_at"] is not None and (at := ms(one["next_at"])) > now]

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
        prompt = {task.id: task for task in world.tasks if task.receiver != "hiccup"}
        sent = [
            (one["task"], one["state"])
            for one in answer["events"]
            if one["kind"] == "delivery" and one["task"] in prompt
        ]
        news = [
            (task.id, state)
            for task in prompt.values()
            for at, state in task.news()
            if start < at <= start + by
        ]
        assert sorted(news) == sorted(sent)

    @precondition(lambda self: self.stage.can_wait)
    @rule(seconds=st.sampled_from((0.5, 2.0, 5.0, 61.0, 130.0)))
    def wait(self, seconds: float) -> None:
        self.mock.wait(seconds)

    @rule(tenant=st.sampled_from(TENANTS), seconds=st.sampled_from((0.0, 1.0, 2.0, 64.0, 125.0)))
    def set_clock(self, tenant: str, seconds: float) -> None:
        world, to = self.worlds[tenant], self.now(tenant) + round(seconds * 1000)
        answer = self.mock.admin("PUT", "/clock", {"now": to}, tenant=tenant)

        assert answer["now_ms"] == to
        if world.stands_at is not None:
            world.stands_at = to
        else:
            world.ahead += round(seconds * 1000)

    @precondition(lambda self: self.has_tasks)
    @rule(data=st.data())
    def set_clock_back(self, data: st.DataObject) -> None:
        task = self.some(data, only_here=True)
        if task is None:
            return
        before = self.now(task.tenant) - 1
        self.mock.admin("PUT", "/clock", {"now": before}, tenant=task.tenant, status=409)
        self.mock.admin("POST", "/clock/advance", {"to": before}, tenant=task.tenant, status=409)

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
        if task is None or task.receiver != "good" or not task.told(self.now(task.tenant)):
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
        self.begin_anew(tenant)

    @precondition(lambda self: self.stage.can_restart())
    @rule(is_killed=st.booleans())
    def restart(self, is_killed: bool) -> None:
        self.mock.settle()
        self.stage.restart(is_killed=is_killed)
        for world in self.worlds.values():
            world.asked = 0

    @rule(tenant=st.sampled_from(TENANTS))
    def empty_the_journal(self, tenant: str) -> None:
        self.mock.admin("DELETE", "/requests", tenant=tenant)
        self.worlds[tenant].asked = 0

    @rule(tenant=st.sampled_from(TENANTS), asked=st.sampled_from(REFUSED))
    def ask_for_what_cannot_be(self, tenant: str, asked: tuple[str, str, Any, int]) -> None:
        # That it changes nothing is seen by what always holds.
        method, path, body, status = asked
        self.mock.admin(method, path, body, tenant=tenant, status=status)

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
            assert len(ids) == self.mock.admin("GET", "/tasks?limit=1", tenant=tenant)["count"]
            for one in found:
                task = known[one["id"]]
                assert one["state"] == task.state(now)
                assert [(ms(entry["at"]), entry["state"]) for entry in one["timeline"]] == task.course
                assert one["price"] == task.price
                if task.is_final(now):
                    assert (one["failure"] is not None) == (one["outcome"] == "failure")

    @invariant()
    def the_journal_has_what_was_asked(self) -> None:
        for tenant, world in self.worlds.items():
            answer = self.mock.admin("GET", "/requests?limit=1", tenant=tenant)
            assert answer["kept"] == min(world.asked, 1_000)
            for one in answer["requests"]:
                assert self.mock.admin("GET", f"/requests/{one['id']}", tenant=tenant) == one

    @invariant()
    def every_change_is_told_once_and_in_order(self) -> None:
        self.mock.settle()
        for tenant, world in self.worlds.items():
            now = self.now(tenant)
            ledger = self.mock.admin("GET", "/deliveries?limit=1000", tenant=tenant)["deliveries"][::-1]
            for task in world.tasks:
                mine = [one for one in ledger if one["task"] == task.id]
                bodies = self.stage.sent(task.hook or "")
                # An id is kept, whatever becomes of the attempts.
                assert len({one["id"] for one in mine}) == len(mine)
                if task.receiver == "hiccup":
                    self.is_told_at_the_second_try(task, mine, bodies, now)
                else:
                    self.is_told_at_once(task, mine, bodies, now)

    def is_told_at_once(self, task: Task, mine: list[Any], bodies: list[Any], now: int) -> None:
        end = "failed" if task.receiver in ("gone", "lost") else "delivered"
        through = [one for one in mine if one["status"] == end]
        assert [one["state"] for one in through] == task.told(now)
        waiting = [one["state"] for one in mine if one["status"] == "waiting"]
        assert waiting == [state for at, state in task.news() if at > now]
        assert {one["status"] for one in mine} <= {end, "waiting", "canceled"}
        count = len(task.told(now)) + len(task.told_again)
        assert sum(len(one["attempts"]) for one in through) == count
        if task.receiver == "lost":
            assert bodies == []
            return
        assert len(bodies) == count
        firsts = [body for index, body in enumerate(bodies) if body not in bodies[:index]]
        if not task.told_again:
            assert bodies == firsts == [one["body"] for one in through]
        for one in through:
            assert one["body"] in bodies
            assert says(one["body"], task, one["state"])
            if self.worlds[task.tenant].stands_at is not None:
                # Whoever moves a clock past it: it was sent when it was due.
                assert one["attempts"][0]["at"] == one["due"]

    def is_told_at_the_second_try(self, task: Task, mine: list[Any], bodies: list[Any], now: int) -> None:
        told, wait = task.told(now), task.kit.retry
        assert wait is not None
        tried = [one for one in mine if one["attempts"]]
        through = [one for one in mine if one["status"] == "delivered"]
        assert tried[: len(through)] == through
        assert [one["state"] for one in tried] == told[: len(tried)]
        assert [[attempt["status"] for attempt in one["attempts"]] for one in through] == [[500, 200]] * len(
            through
        )
        for one in through:
            first_at, second_at = (ms(attempt["at"]) for attempt in one["attempts"])
            is_at_rest = self.worlds[task.tenant].stands_at is not None
            assert second_at == first_at + wait if is_at_rest else second_at >= first_at + wait
        # At most one is between its tries; the others wait for it, however late they are.
        assert len(tried) - len(through) <= 1
        assert bodies == [one["body"] for one in tried for _ in one["attempts"]]
        for one in tried:
            assert says(one["body"], task, one["state"])
            first, *others = (signed_id(attempt) for attempt in one["attempts"])
            assert others in ([], [first])
        late = [at for at, _ in task.news() if at + wait * len(told) <= now]
        assert len(through) >= len(late)

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
                reply = self.call("GET", client.url("/api/wallet?since=0"), headers=client.headers)
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


def signed_id(attempt: Any) -> str | None:
    """Return the id that an attempt bore, where this provider signs."""
    return dict(attempt["headers"]).get("webhook-id")


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


# A start of the server costs as much as a hundred steps; the toy uses every word, and gets most of them.
SOCKET_EXAMPLES = {"toy": 100 if IS_SOAKED else 8}
SOCKET_EXAMPLES_OF_OTHERS = 30 if IS_SOAKED else 2


def machine(provider: str, place: type[InProcess] | type[OverSockets]) -> type[Machine]:
    """Return the machine of one provider."""
    return type(f"Machine_{provider}", (Machine,), {"provider": provider, "place": place})


@pytest.mark.parametrize("provider", ["toy", *LIBRARY])
def test_the_server_does_what_the_model_says(provider: str) -> None:
    run_state_machine_as_test(machine(provider, InProcess), settings=EFFORT)


@pytest.mark.parametrize("provider", ["toy", *LIBRARY])
def test_it_does_so_over_sockets_and_after_kills(provider: str) -> None:
    examples_wanted = SOCKET_EXAMPLES.get(provider, SOCKET_EXAMPLES_OF_OTHERS)
    run_state_machine_as_test(
        machine(provider, OverSockets), settings=settings(EFFORT, max_examples=examples_wanted)
    )
