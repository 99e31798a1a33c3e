"""The conduct of a client: everything it did in one tenant, as frozen values that the laws look at.

Read from a tenant's journal, tasks and ledger of deliveries.  It must not know the laws.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal
from urllib.parse import unquote

from mockserver import scenarios
from mockserver.deliveries import Attempt, Delivery
from mockserver.journal import Exchange
from mockserver.tasks import Task
from mockserver.tenants import Backend, Tenant
from mockserver.trial.steps import Step, Told, read_steps, told_by_view
from validator.contract.model import Callback, Contract, Operation

Flaw = Literal["", "forged", "stale", "unsigned"]
"""What is wrong with a callback that claims to be the provider's."""

FRESH_S: Final = 300.0
"""Seconds by which a signed time may be off; after Standard Webhooks, whose libraries take no more."""

_SAID: Final = re.compile(r"the receiver said (\d{3})")
_PARTS: Final = re.compile(r"[/?&=]")
_SIGNATURE: Final = "webhook-signature"
_TIMESTAMP: Final = "webhook-timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is known of a client that ran as a program of its own.

    `exit_code` is negative where a signal ended it, None where nobody waited for it; `timed_out`: it was still
    running when its time was up.  `secrets` are what it was given to keep, keys and what signs tokens, and
    `secret_names` what to call them.
    """

    exit_code: int | None
    timed_out: bool = False
    stdout: str = ""
    stderr: str = ""
    secrets: tuple[str, ...] = ()
    secret_names: tuple[str, ...] = ()
    limit_s: float | None = None

    @property
    def output(self) -> str:
        """Return all that it wrote."""
        return f"{self.stdout}\n{self.stderr}"

    @property
    def has_ended(self) -> bool:
        """Tell whether it ended by itself."""
        return not self.timed_out and self.exit_code is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the tenant's time relates to the client's.

    With a clock that runs at `speed`, a second of the client's is so many of the tenant's.  With a clock at rest
    (speed 0) the tenant's seconds are the client's: a test moves the clock for it.  `base` and `base_wall` are a
    moment by the clock and by the wall, in milliseconds.  `counts_real`: with a clock at rest a client may also have
    slept by the wall.
    """

    speed: float
    base: int
    base_wall: int
    counts_real: bool = False

    def seconds(self, start: int, end: int) -> float:
        """Return the client's seconds between two moments of the tenant's clock."""
        return (end - start) / 1000 / (self.speed or 1)

    def between(self, first: Exchange, second: Exchange) -> float:
        """Return the client's seconds between two exchanges, the first being earlier."""
        seconds = self.seconds(first.at, second.at)
        is_real = self.counts_real and not self.speed
        return max(seconds, second.ended_s - first.ended_s) if is_real else seconds

    def client_ms(self, at: int) -> float:
        """Return what the client's own clock shows at a moment of the tenant's, in milliseconds."""
        return float(at) if not self.speed else self.base_wall + (at - self.base) / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One callback that was sent to the client.

    `status` is what it answered, None where no answer came; `number` counts the attempts of one delivery from 0.
    `told` is what it said, `flaw` what is wrong with it, `due` when the state it tells was entered.
    """

    delivery: str
    number: int
    task: str
    state: str
    due: int
    at: int
    status: int | None
    flaw: Flaw
    told: Told | None

    @property
    def is_taken(self) -> bool:
        """Tell whether the client said that it has it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Conduct:
    """What a client did.  Times are the tenant's, in milliseconds; everything is in the order of time.

    `tasks` maps ids to tasks as they are at the end.  `dropped` counts exchanges that the journal let go of, and
    `dropped_deliveries` those of the ledger: a law that is kept in the rest is not said to be kept.  `program` is
    known where the client ran as a program; `baseline` is what the same client did when nothing went wrong.
    """

    tenant: str
    exchanges: tuple[Exchange, ...]
    tasks: Mapping[str, Task]
    deliveries: tuple[Delivery, ...]
    calls: tuple[Call, ...]
    contracts: Mapping[str, Contract]
    pace: Pace
    began: int
    ended: int
    dropped: int = 0
    dropped_deliveries: int = 0
    program: Program | None = None
    baseline: Conduct | None = None

    @property
    def speed(self) -> float:
        """Return how many of the tenant's seconds are one of the client's, 0 for a clock at rest."""
        return self.pace.speed

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Return the exchanges as the laws see them."""
        return tuple(read_steps(self.exchanges, self.tasks, self.contracts))

    @cached_property
    def has_pauses(self) -> bool:
        """Tell whether pauses between requests mean anything: a clock at rest that nobody moved has none."""
        return self.speed > 0 or any(one.at != self.exchanges[0].at for one in self.exchanges)

    @cached_property
    def reads(self) -> Mapping[str, tuple[Step, ...]]:
        """Return the reads that reached a task, by the task's id."""
        out: dict[str, list[Step]] = defaultdict(list)
        for step in self.steps:
            if step.part == "read" and step.exchange.task is not None:
                out[step.exchange.task].append(step)
        return {name: tuple(steps) for name, steps in out.items()}

    @cached_property
    def under_way(self) -> Mapping[str, int]:
        """Return how many tasks were made and not told to be over when an exchange was answered, by its id."""
        ends: list[tuple[int, str]] = []
        for name, told in self.told.items():
            end = next((one for one in told if one.is_end), None)
            if end is not None:
                ends.append((end.at, name))
        ends.sort(reverse=True)
        out, alive, over = {}, set[str](), set[str]()
        for step in self.steps:
            while ends and ends[-1][0] < step.exchange.at:
                _, name = ends.pop()
                over.add(name)
                alive.discard(name)
            if step.is_made and step.exchange.task not in over:
                alive.add(step.exchange.task or "")
            out[step.exchange.id] = len(alive)
        return out

    @cached_property
    def fetches(self) -> Mapping[str, tuple[Step, ...]]:
        """Return the requests for the files of tasks, by the task's id; HEAD brings no file and is no fetch."""
        out: dict[str, list[Step]] = defaultdict(list)
        for step in self.steps:
            if step.part == "file" and step.exchange.task is not None and step.exchange.method == "GET":
                out[step.exchange.task].append(step)
        return {name: tuple(steps) for name, steps in out.items()}

    @cached_property
    def told(self) -> Mapping[str, tuple[Told, ...]]:
        """Return what the client was told of each task and could believe, in the order of time.

        A callback counts that was the provider's and that the client took.
        """
        out: dict[str, list[Told]] = defaultdict(list)
        for step in self.steps:
            for one in step.told:
                out[one.task].append(one)
        for call in self.calls:
            if call.told is not None and call.is_taken and not call.flaw:
                out[call.task].append(call.told)
        return {name: tuple(sorted(told, key=lambda one: one.at)) for name, told in out.items()}

    @cached_property
    def wishes(self) -> Mapping[bytes, tuple[Step, ...]]:
        """Return the requests for videos, those for the same one together."""
        out: dict[bytes, list[Step]] = defaultdict(list)
        for step in self.steps:
            if step.wish:
                out[step.wish].append(step)
        return {wish: tuple(steps) for wish, steps in out.items()}

    @cached_property
    def asked(self) -> frozenset[str]:
        """Return the parts of the addresses of all reads: what they asked for is among them."""
        found = (step.exchange for step in self.steps if step.part == "read")
        return frozenset(
            unquote(part)
            for exchange in found
            for part in _PARTS.split((exchange.path + b"&" + exchange.query).decode("latin-1"))
        )

    def has_result(self, task: str) -> bool:
        """Tell whether the client was told where the result of a task is."""
        return any(one.is_result for one in self.told.get(task, ()))

    def has_end(self, task: str) -> bool:
        """Tell whether the client was told that a task is over."""
        return any(one.is_end for one in self.told.get(task, ()))

    def operation(self, task: Task) -> Operation | None:
        """Return what made a task, None where its provider is not known here."""
        contract = self.contracts.get(task.provider)
        return contract.operations.get(task.operation) if contract is not None else None

    @property
    def fulfilled(self) -> int:
        """Return how many wishes were fulfilled: the client was told where the result is, or has it.

        Who fetched the file knew where it is, even from an answer that others could not read.
        """
        return sum(
            any(
                self.has_result(name) or any(one.nature == "ok" for one in self.fetches.get(name, ()))
                for name in (step.exchange.task or "" for step in steps)
            )
            for steps in self.wishes.values()
        )


def conduct_of(
    backend: Backend,
    tenant: str,
    *,
    program: Program | None = None,
    baseline: Conduct | None = None,
    calls: Iterable[Call] = (),
    counts_real: bool = True,
) -> Conduct:
    """Return what was done in a tenant so far, to be called where the application runs (`LocalServer.run`).

    `calls` are callbacks that somebody else sent to the client, beside the ledger.  `counts_real` says whether the
    client may sleep by the wall where the tenant's clock is at rest.  A tenant that nobody named yet
    is a client that did nothing.
    """
    known = backend.tenant(tenant)
    store = backend.store
    tasks = {task.id: replace(task) for task in store.newest(known.name)}
    deliveries = tuple(replace(one) for one in reversed(list(store.deliveries(known.name))))
    exchanges = tuple(known.journal.newest())[::-1]
    now = known.clock.now()
    pace = Pace(speed=known.clock.speed, base=now, base_wall=backend.wall(), counts_real=counts_real)
    sent = [*_calls(backend, known, deliveries, tasks, pace), *calls]
    return Conduct(
        tenant=known.name,
        exchanges=exchanges,
        tasks=tasks,
        deliveries=deliveries,
        calls=tuple(sorted(sent, key=lambda one: one.at)),
        contracts=backend.contracts,
        pace=pace,
        began=exchanges[0].at if exchanges else now,
        ended=now,
        dropped=known.journal.dropped,
        dropped_deliveries=store.ledger(known.name).dropped,
        program=program,
        baseline=baseline,
    )


def _calls(
    backend: Backend,
    tenant: Tenant,
    deliveries: Sequence[Delivery],
    tasks: Mapping[str, Task],
    pace: Pace,
) -> Iterator[Call]:
    """Yield the callbacks that were sent, those that a scenario lost left out."""
    for delivery in deliveries:
        contract = backend.contracts.get(delivery.provider)
        operation = contract.operations.get(delivery.operation) if contract is not None else None
        task = tasks.get(delivery.task_id)
        if operation is None or task is None:
            continue
        callback = next((one for one in operation.callbacks if one.name == delivery.callback), None)
        if callback is None:
            continue
        for number, attempt in enumerate(delivery.attempts):
            how, _ = scenarios.attempt(task, callback, number)
            is_last = number + 1 == len(delivery.attempts)
            if how.lost or (delivery.status == "refused" and is_last):
                continue
            status = attempt.status
            if status is None and (said := _SAID.search(attempt.error)):
                status = int(said[1])
            is_shifted = abs(how.shift_s) > FRESH_S
            yield Call(
                delivery=delivery.id,
                number=number,
                task=task.id,
                state=delivery.state,
                due=delivery.due,
                at=attempt.at,
                status=status,
                flaw=_flaw(attempt, callback, pace, is_forged=how.is_forged, is_shifted=is_shifted),
                told=told_by_call(task, operation, delivery, attempt.at),
            )


def _flaw(attempt: Attempt, callback: Callback, pace: Pace, *, is_forged: bool, is_shifted: bool) -> Flaw:
    """Return what a client can see to be wrong: where nothing is signed, nothing can be forged."""
    if callback.signature is None:
        return ""
    headers: dict[str, Any] = {name.lower(): value for name, value in attempt.headers}
    if _SIGNATURE not in headers:
        return ""
    if is_forged:
        return "forged"
    # A clock that runs fast writes times that a client's own clock finds in the future: old is what is old for it.
    signed_s = float(headers.get(_TIMESTAMP, attempt.at / 1000))
    return "stale" if is_shifted and abs(pace.client_ms(attempt.at) / 1000 - signed_s) > FRESH_S else ""


def told_by_call(task: Task, operation: Operation, delivery: Delivery, at: int) -> Told | None:
    """Return what a callback said of its task, None for a state that the task did not pass through."""
    try:
        view = scenarios.view(task, operation, delivery.due, "callback", state=delivery.state)
    except StopIteration:
        return None
    return told_by_view(view, operation, task.id, at, "callback", delivery.id)
