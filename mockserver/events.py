"""News of what happens, for those who listen: requests, states of tasks, attempts of deliveries, clocks.

Costs nothing while nobody listens: then nothing is told, kept or timed.  A task's states are computed, not ticked;
while somebody listens a timer per tenant goes off when its next task changes, on that tenant's clock.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

import orjson

from mockserver.callbacks import LONGEST_SLEEP, Outbox
from mockserver.deliveries import Delivery
from mockserver.journal import Exchange, headline, shown_url, target_of
from mockserver.tasks import Task
from mockserver.tenants import Backend, Tenant
from validator.contract.expressions import Json, iso

MOST_KEPT: Final = 1_000
"""The newest events that are kept for a listener who lost its connection."""

MOST_WAITING: Final = 1_000
"""Events that wait for one listener; who reads slower than that is left behind."""

MOST_WATCHED: Final = 10_000
"""Tasks of a tenant whose states are followed; the ones followed longest go first."""

LONGEST_TARGET: Final = 2_000
"""Characters of a request's target that an event shows; the journal has all of it."""

LINGER_S: Final = 60.0
"""Real seconds that events are kept on after the last listener went, so that it finds them when it comes back."""


class News(NamedTuple):
    """One event: its number, whose it is, its kind, and its data as JSON."""

    number: int
    tenant: str
    kind: str
    data: bytes


class Listener:
    """One who listens to a tenant, or to all with None.  `over` is done when there is nothing more to come."""

    def __init__(self, tenant: str | None) -> None:
        """Begin with nothing."""
        self.tenant = tenant
        self.waiting: deque[News] = deque()
        self.news = asyncio.Event()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, why: str) -> None:
        """End it, and say why; the first reason counts."""
        if not self.over.done():
            self.over.set_result(why)
            self.news.set()

    def hears(self, tenant: str) -> bool:
        """Tell whether a tenant's events are for this one."""
        return self.tenant in (None, tenant)


@dataclass(slots=True)
class _Watch:
    """The tasks of a tenant that is listened to.

    `told` maps a task to (how many entries of its timeline were told, when the next one comes); `heap` orders those
    times, and holds some that are no longer so.
    """

    tenant: Tenant
    told: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    heap: list[tuple[int, str]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None

    def forget(self) -> None:
        """Begin again."""
        self.told.clear()
        self.heap.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Events:
    """Tells those who listen."""

    def __init__(self, backend: Backend, outbox: Outbox) -> None:
        """Work for the tenants of this backend."""
        self._backend, self._outbox = backend, outbox
        self._listeners: list[Listener] = []
        self._watches: dict[str, _Watch] = {}
        self._kept: deque[News] = deque(maxlen=MOST_KEPT)
        self._number = 0
        self._name = ""
        self._linger: asyncio.TimerHandle | None = None
        self._is_closed = False

    # --- listening

    @property
    def is_on(self) -> bool:
        """Tell whether somebody listens, or did a moment ago."""
        return self._backend.budget.on_entry is not None

    def listen(self, tenant: Tenant | None, after: str = "") -> tuple[Listener, bool]:
        """Return (a new listener, whether it may have missed something); `after` is the id it heard last.

        `tenant` None listens to all of them.
        """
        listener = Listener(None if tenant is None else tenant.name)
        if self._is_closed:
            listener.end("the server stops")
            return listener, False
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if not self.is_on:
            self._begin()
        for one in (tenant,) if tenant is not None else tuple(self._backend.tenants.values()):
            self._watch(one)
        has_missed = bool(after) and not self._again(listener, after)
        self._listeners.append(listener)
        return listener, has_missed

    def _begin(self) -> None:
        # A name that an earlier listening of this or another process did not have: its numbers mean nothing now.
        self._name = f"{self._backend.wall():x}"
        self._backend.budget.on_entry = self._on_exchange
        self._outbox.on_attempt = self._on_attempt

    def _again(self, listener: Listener, after: str) -> bool:
        """Give a listener what came after the event it heard last; false where that is not known any more."""
        name, _, number = after.partition("-")
        if name != self._name or not number.isdecimal() or len(number) > 18 or int(number) > self._number:
            return False
        oldest = self._kept[0].number if self._kept else self._number + 1
        listener.waiting.extend(
            one for one in self._kept if one.number > int(number) and listener.hears(one.tenant)
        )
        listener.news.set()
        return int(number) >= oldest - 1

    def leave(self, listener: Listener) -> None:
        """Stop listening; after the last one everything is forgotten, a minute later."""
        listener.end("left")
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners and self.is_on and not self._is_closed:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._end)

    def close(self) -> None:
        """End all listening: the server stops."""
        self._is_closed = True
        for listener in self._listeners:
            listener.end("the server stops")
        self._end()

    def _end(self) -> None:
        self._backend.budget.on_entry = None
        self._outbox.on_attempt = None
        for watch in self._watches.values():
            watch.forget()
        self._watches.clear()
        self._kept.clear()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def id_of(self, news: News) -> str:
        """Return the id of an event, which a listener names when it comes back."""
        return f"{self._name}-{news.number}"

    # --- telling

    def _tell(self, tenant: str, kind: str, data: Mapping[str, Json]) -> None:
        self._number += 1
        news = News(self._number, tenant, kind, orjson.dumps({"tenant": tenant, **data}))
        self._kept.append(news)
        for listener in self._listeners:
            if not listener.hears(tenant):
                continue
            if len(listener.waiting) >= MOST_WAITING:
                listener.end("too slow: more events wait than are kept for one listener")
                continue
            listener.waiting.append(news)
            listener.news.set()

    def _on_exchange(self, tenant_name: str, exchange: Exchange) -> None:
        watch = self._watches.get(tenant_name)
        if watch is None:
            if not any(listener.tenant is None for listener in self._listeners):
                return
            watch = self._watch(self._backend.tenants[tenant_name], but=exchange.id)
        self._pump(watch)
        self._tell(
            tenant_name,
            "request",
            {
                **headline(exchange),
                "method": exchange.method,
                "target": target_of(exchange)[:LONGEST_TARGET],
                "status": exchange.status,
                "rules": [one.rule for one in exchange.report.violations],
            },
        )
        if exchange.task is not None:
            task = self._backend.store.get(tenant_name, exchange.task)
            if task is not None:
                is_new = task.request_id == exchange.id
                self._follow(watch, task, 0 if is_new else exchange.at)
                self._set_timer(watch)

    def _on_attempt(self, tenant: Tenant, delivery: Delivery) -> None:
        watch = self._watches.get(tenant.name)
        if watch is None:
            return
        # The change comes before the news of it.
        self._pump(watch)
        attempt = delivery.attempts[-1]
        self._tell(
            tenant.name,
            "delivery",
            {
                "id": delivery.id,
                "at": iso(attempt.at),
                "provider": delivery.provider,
                "task": delivery.task_id,
                "state": delivery.state,
                "url": shown_url(delivery.url),
                "attempt": len(delivery.attempts),
                "answer": attempt.status,
                "error": attempt.error,
                "took_ms": attempt.took_ms,
                "status": delivery.status,
                "next_at": None if delivery.next_at is None else iso(delivery.next_at),
            },
        )

    def clock_moved(self, tenant: Tenant) -> None:
        """Tell that a tenant's clock was set or moved on, after what changed on the way."""
        watch = self._watches.get(tenant.name)
        if watch is None:
            return
        self._pump(watch)
        clock = tenant.clock
        self._tell(tenant.name, "clock", {"at": iso(clock.now()), "mode": clock.mode, "speed": clock.speed})

    def task_moved(self, tenant: Tenant, task: Task) -> None:
        """Tell what became of a task that was moved by hand, now."""
        watch = self._watches.get(tenant.name)
        if watch is not None:
            self._follow(watch, task, tenant.clock.now())
            self._set_timer(watch)

    def tenant_reset(self, tenant: Tenant) -> None:
        """Tell that a tenant began again from nothing."""
        watch = self._watches.get(tenant.name)
        if watch is not None:
            watch.forget()
            self._tell(tenant.name, "reset", {"at": iso(tenant.clock.now())})

    # --- the states of tasks

    def _watch(self, tenant: Tenant, but: str = "") -> _Watch:
        """Return the watch of a tenant, begun with the states that its tasks have now.

        `but` is the request whose task is only about to be told of.
        """
        known = self._watches.get(tenant.name)
        if known is not None:
            return known
        watch = self._watches[tenant.name] = _Watch(tenant)
        now = tenant.clock.now()
        for task in islice(self._backend.live_tasks(tenant, now), MOST_WATCHED):
            if task.request_id != but:
                self._expect(watch, task, now - task.created)
        self._set_timer(watch)
        return watch

    @staticmethod
    def _expect(watch: _Watch, task: Task, elapsed: int) -> None:
        """Note that the entries up to now were told, and when the next one comes."""
        count = sum(at <= elapsed for at, _ in task.timeline)
        following = task.created + task.timeline[count][0] if count < len(task.timeline) else None
        _, expected = watch.told.pop(task.id, (0, None))
        watch.told[task.id] = (count, following)
        if following is not None and following != expected:
            heapq.heappush(watch.heap, (following, task.id))

    def _follow(self, watch: _Watch, task: Task, since: int) -> None:
        """Tell the states a task entered and nobody was told of; of one that is new here, those since a time."""
        tenant = watch.tenant
        elapsed = tenant.clock.now() - task.created
        entered = [entry for entry in task.timeline if entry[0] <= elapsed]
        known = watch.told.get(task.id)
        told = known[0] if known is not None else sum(task.created + at < since for at, _ in entered)
        operation = self._backend.operation_of(task)
        lifecycle = operation.lifecycle if operation is not None else None
        for at, state in entered[told:]:
            self._tell(
                tenant.name,
                "task",
                {
                    "id": task.id,
                    "at": iso(task.created + at),
                    "provider": task.provider,
                    "operation": task.operation,
                    "account": task.account,
                    "state": state,
                    "outcome": lifecycle.states[state].outcome if lifecycle is not None else None,
                },
            )
        self._expect(watch, task, elapsed)
        while len(watch.told) > MOST_WATCHED:
            del watch.told[next(iter(watch.told))]

    def _pump(self, watch: _Watch) -> None:
        """Tell what changed up to now."""
        now = watch.tenant.clock.now()
        while watch.heap and watch.heap[0][0] <= now:
            at, task_id = heapq.heappop(watch.heap)
            if watch.told.get(task_id, (0, at))[1] != at:
                continue
            task = self._backend.store.get(watch.tenant.name, task_id)
            if task is not None:
                self._follow(watch, task, at)
        self._set_timer(watch)

    def _set_timer(self, watch: _Watch) -> None:
        if watch.timer is not None:
            watch.timer.cancel()
            watch.timer = None
        if not watch.heap:
            return
        seconds = watch.tenant.clock.seconds_until(watch.heap[0][0])
        if seconds < math.inf:
            loop = asyncio.get_running_loop()
            watch.timer = loop.call_later(min(seconds, LONGEST_SLEEP), self._pump, watch)
