"""Callbacks: what is due, brought to its receiver, signed, tried again, in order for each task.

A receiver that is slow or dead holds up nobody but the later news of the same task.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import heapq
import ipaddress
import logging
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson

from mockserver import scenarios
from mockserver.clock import stopwatch
from mockserver.deliveries import Attempt, Delivery, Handout, Mode, judge, planned
from mockserver.journal import shown_url
from mockserver.receivers import LONGEST_ADDRESS, NotAllowedError, Policy, split
from mockserver.scenarios import USUAL, Sending, Try
from mockserver.settings import WELL_KNOWN_SECRET
from mockserver.tasks import Task
from mockserver.tenants import Backend, Tenant
from validator.contract.expressions import MISSING, Scope, to_text
from validator.contract.model import Callback, Contract, Operation

PER_RECEIVER: Final = 64
"""Attempts that are under way to one URL, its query aside, at a time."""

PER_HOST: Final = 256
"""Attempts that are under way to one host and port at a time."""

AT_ONCE: Final = (256, 8_192)
"""Attempts that are under way altogether, at least and at most: half of the sockets the process may open."""

TENANT_PART: Final = 4
"""A tenant has at most this part of them, so that receivers that hang for one leave room for the others'."""

LONGEST_SLEEP: Final = 3_600.0
"""Seconds after which a timer looks again, because a clock may have been moved."""

REPORT_GRACE_S: Final = 5.0
"""Seconds beyond the time-out of a delivery that a puller has to say what came of it."""

MOST_UNREACHED: Final = 1_000
"""Deliveries of a tenant that reached nobody and are kept for a puller who may come."""

log: Final = logging.getLogger("understudy")

_NONE: Final[frozenset[tuple[str, int, str]]] = frozenset()


class Sender(Protocol):
    """Brings one request to a receiver."""

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, within_s: float
    ) -> int:
        """Return the status of the answer.

        Raises NotAllowedError for an address deliveries may not go to, OSError for everything that came
        between, with a sentence that says what.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


# --- where to ---------------------------------------------------------------------------------------------

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) -> its addresses."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, from the system."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: Exception | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(addresses)

    def look_up() -> None:
        addresses: list[str] = []
        failed: Exception | None = None
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except (OSError, UnicodeError) as error:
            failed = error
        # A loop that was closed meanwhile has nobody left who asks.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, addresses, failed)

    # A thread of its own that nobody waits for: a silent name server must not hold up the end of the process, as it
    # would in the loop's executor.
    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    return await found


class HttpSender:
    """Sends over real sockets: one look-up, the address pinned, redirects not followed, no proxies."""

    def __init__(self, policy: Policy, *, resolver: Resolve = resolve) -> None:
        """Send only where the policy allows."""
        self._policy, self._resolve = policy, resolver
        self._client: Any = None

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, within_s: float
    ) -> int:
        """Send one request; see :class:`Sender`."""
        parts = split(url)
        host = str(parts.hostname)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            async with asyncio.timeout(within_s):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise OSError(f"{host}: no address within {within_s:g} s") from None
        except (OSError, UnicodeError, ValueError) as error:
            raise OSError(f"{host}: {error}") from None
        if not addresses:
            raise OSError(f"{host}: no address")
        for address in addresses:
            self._policy.check(host, address)
        return await self._send(method, parts, addresses[0], port, headers, body, within_s)

    async def _send(
        self,
        method: str,
        parts: Any,
        address: str,
        port: int,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        within_s: float,
    ) -> int:
        # Imported with the first delivery: a start without callbacks should not pay for it.
        import httpx

        client = self._client
        if client is None:
            loop = asyncio.get_running_loop()
            client = self._client = await loop.run_in_executor(None, _new_client)
        host = f"[{address}]" if ":" in address else address
        target = f"{parts.scheme}://{host}:{port}{parts.path or '/'}" + (
            f"?{parts.query}" if parts.query else ""
        )
        try:
            request = client.build_request(
                method,
                target,
                content=body,
                headers=[("Host", parts.netloc), *headers],
                timeout=within_s,
                extensions={"sni_hostname": parts.hostname},
            )
            async with asyncio.timeout(within_s):
                # The answer's body says nothing that is needed, and may be endless: it is not read.
                answer = await client.send(request, stream=True)
                await answer.aclose()
        except (httpx.TimeoutException, TimeoutError):
            raise OSError(f"no answer within {within_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise OSError(str(error) or type(error).__name__) from None
        return int(answer.status_code)

    async def close(self) -> None:
        """Close the connections that are kept open."""
        if self._client is not None:
            await self._client.aclose()


def _new_client() -> Any:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=5.0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits, verify=True)


# --- signatures -------------------------------------------------------------------------------------------


def sign(secret: str, kind: str, delivery_id: str, at_s: int, body: bytes) -> tuple[tuple[str, str], ...]:
    """Return the headers that sign a delivery; `at_s` in seconds since the epoch.

    Source: Standard Webhooks 1.0.  `kind` says what the key is: "base64", the decoded part of the secret behind
    whsec_; "utf8", the bytes of the text as it stands.
    """
    from standardwebhooks import Webhook

    key = secret.encode() if kind == "utf8" else decoded_secret(secret) or secret.encode()
    signature = Webhook(key).sign(
        delivery_id, datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None), body.decode()
    )
    return (
        ("webhook-id", delivery_id),
        ("webhook-timestamp", str(at_s)),
        ("webhook-signature", signature),
    )


def decoded_secret(secret: str) -> bytes | None:
    """Return the key in a secret that is Base64, with or without whsec_ before it; None where it is none."""
    text = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True) or None
    except ValueError:
        return None


SIGNERS: Final[Mapping[str, Callable[[str, str, str, int, bytes], tuple[tuple[str, str], ...]]]] = {
    "standard-webhooks": sign,
}
"""One function for each signature scheme of the vocabulary."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery being tried, as `$delivery` expressions see it."""

    id: str
    attempt: int
    retry: int
    timestamp: int


# --- the outbox -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Handed:
    """A delivery in the hands of a puller; `how` is what a scenario makes of the attempt."""

    handout: Handout
    timer: asyncio.TimerHandle
    how: Try
    scenario: str


@dataclass(slots=True)
class _Lanes:
    """One tenant's open deliveries: for each task a lane whose head alone may go, and the heads by time.

    `busy` are the tasks whose head is under way; `share` is the tenant's part of all attempts.  For those who pull:
    `ready` are heads that are due and not sent, `handed` those in the hands of a puller with the timer that takes
    them back and what a scenario makes of them, `unreached` the ids of those that were sent and reached nobody;
    `news` wakes whoever waits for one.
    """

    share: asyncio.Semaphore
    lanes: dict[str, deque[Delivery]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    heap: list[tuple[int, int, str]] = field(default_factory=list)
    flights: set[asyncio.Task[None]] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    mode: Mode = "push"
    ready: deque[Delivery] = field(default_factory=deque)
    handed: dict[str, _Handed] = field(default_factory=dict)
    unreached: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_UNREACHED))
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        """Let go of every timer, and of those who wait."""
        for timer in (self.timer, *(one.timer for one in self.handed.values())):
            if timer is not None:
                timer.cancel()
        self.news.set()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened while a clock was moved: a task entered a state, or a delivery was tried.

    `number` orders deliveries that were tried at the same moment, whichever receiver answered first.
    """

    at: int
    kind: str
    task: str
    state: str
    delivery: str | None = None
    status: str | None = None
    number: int = 0


def at_once() -> int:
    """Return how many attempts may be under way altogether."""
    least, most = AT_ONCE
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return most
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(least, min(most, soft // 2)) if soft > 0 else most


class Outbox:
    """Sends what is due, tenant by tenant."""

    def __init__(self, backend: Backend, sender: Sender, *, limit: int | None = None) -> None:
        """Work for the tenants of this backend; `limit` attempts at once, by default what the process can open."""
        self._backend, self._sender = backend, sender
        self._tenants: dict[str, _Lanes] = {}
        self._receivers: dict[str, asyncio.Semaphore] = {}
        most = limit or at_once()
        self._all, self._share = asyncio.Semaphore(most), max(PER_HOST, most // TENANT_PART)
        self._events: dict[str, list[Event]] = {}
        self._is_stopping = False
        self.on_attempt: Callable[[Tenant, Delivery], None] | None = None
        """Told of every attempt while somebody listens."""
        self._awaited: dict[tuple[str, str], asyncio.Future[None]] = {}

    def start(self) -> None:
        """Take up what a store of an earlier process left open."""
        for tenant in self._backend.tenants.values():
            for delivery in self._backend.store.open_deliveries(tenant.name):
                # Those of a provider that is not served now wait for a start that serves it.
                if delivery.provider in self._backend.contracts:
                    self._enqueue(tenant, delivery)
            self.wake(tenant)

    async def stop(self) -> None:
        """Stop sending; what is under way is given up and stays open in the store."""
        flights = [flight for lanes in self._tenants.values() for flight in lanes.flights]
        self.let_go()
        for lanes in self._tenants.values():
            lanes.close()
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.gather(*flights, return_exceptions=True)
        await self._sender.close()

    def plan(
        self,
        tenant: Tenant,
        task: Task,
        operation: Operation,
        *,
        since: int = 0,
        known: Set[tuple[str, int, str]] = _NONE,
    ) -> None:
        """Make the deliveries a task's timeline asks for since a time, but for the known (callback, when, state)."""
        for name, url in task.hooks:
            callback = _callback(operation, name)
            assert operation.lifecycle is not None
            wanted = planned(task, callback)
            if task.scenarios:
                sent = scenarios.sendings(task, operation.lifecycle, wanted)
            else:
                sent = [Sending(due=at, state=state, at=at) for at, state in wanted]
            for one in sent:
                if one.due < since or (name, one.due, one.state) in known:
                    continue
                delivery = Delivery(
                    id=self._new_id(tenant, callback),
                    task_id=task.id,
                    provider=task.provider,
                    operation=task.operation,
                    callback=name,
                    url=url,
                    state=one.state,
                    due=one.due,
                    next_at=one.at,
                )
                self._backend.store.add_delivery(tenant.name, delivery)
                self._enqueue(tenant, delivery)
        self.wake(tenant)

    def replan(self, tenant: Tenant, task: Task, operation: Operation, now: int) -> None:
        """Give up what a task's former future would have sent, and plan for the new one.

        Its past was planned when it was the future; whether the ledger still knows of it or not.
        """
        if not task.hooks:
            return
        lane = self._lanes(tenant).lanes.get(task.id, deque())
        for delivery in [one for one in lane if one.due > now]:
            delivery.status, delivery.next_at = "canceled", None
            lane.remove(delivery)
            self._backend.store.save_delivery(tenant.name, delivery)
        known = {
            (one.callback, one.due, one.state)
            for one in self._backend.store.deliveries_of(tenant.name, task.id)
            if one.status != "canceled"
        }
        self.plan(tenant, task, operation, since=now, known=known)

    def replay(self, tenant: Tenant, delivery: Delivery) -> None:
        """Send a delivery once more, now, with the same id and the same body."""
        delivery.status, delivery.next_at = "retrying", tenant.clock.now()
        self._backend.store.save_delivery(tenant.name, delivery)
        lanes = self._lanes(tenant)
        lane = lanes.lanes.setdefault(delivery.task_id, deque())
        # Before the news that are not due yet, behind what is under way.
        is_behind = delivery.task_id in lanes.busy
        lane.insert(1 if is_behind else 0, delivery)
        if not is_behind:
            self._push(lanes, delivery)
        self.wake(tenant)

    def forget(self, tenant: Tenant) -> None:
        """Drop everything of a tenant that begins again."""
        lanes = self._tenants.pop(tenant.name, None)
        if lanes is None:
            return
        lanes.close()
        for flight in lanes.flights:
            flight.cancel()

    async def first_news(self, tenant: Tenant, task: Task, within_s: float) -> None:
        """Wait until a callback of the task was tried, but not longer than so many seconds of real time."""
        if any(one.attempts for one in self._backend.store.deliveries_of(tenant.name, task.id)):
            return
        loop = asyncio.get_running_loop()
        key = (tenant.name, task.id)
        told = self._awaited[key] = loop.create_future()
        timer = loop.call_later(within_s, _resolve, told)
        try:
            await told
        finally:
            timer.cancel()
            self._awaited.pop(key, None)

    # --- pulling

    def mode(self, tenant: Tenant) -> Mode:
        """Return who moves the tenant's deliveries."""
        return self._lanes(tenant).mode

    def set_mode(self, tenant: Tenant, mode: Mode) -> None:
        """Keep what falls due for those who pull, or send it from now on, what waits for a puller included."""
        lanes = self._lanes(tenant)
        if lanes.mode == mode:
            return
        lanes.mode = mode
        while lanes.ready:
            head = lanes.ready.popleft()
            lanes.busy.discard(head.task_id)
            self._push(lanes, head)
        lanes.news.set()
        self.wake(tenant)

    async def pull(self, tenant: Tenant, within_s: float) -> Handout | None:
        """Hand out the next delivery, waiting for one so many real seconds; None where there is none.

        What is due, in order; and where the server sends itself, what reached nobody.  A tenant that begins again
        meanwhile has none; and whoever waited for what is due is told at once when the server sends it again.
        """
        lanes = self._lanes(tenant)
        has_pulled = lanes.mode == "pull"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self._is_stopping and self._tenants.get(tenant.name) is lanes:
                    lanes.news.clear()
                    found = self._next_for_pull(tenant, lanes)
                    if found is None:
                        if has_pulled and lanes.mode == "push":
                            return None
                        await lanes.news.wait()
                        continue
                    handout = self._hand_out(tenant, lanes, found)
                    if handout is not None:
                        return handout
        return None

    def _next_for_pull(self, tenant: Tenant, lanes: _Lanes) -> Delivery | None:
        store = self._backend.store
        while lanes.ready:
            head = lanes.ready.popleft()
            if store.get(tenant.name, head.task_id) is not None:
                return head
            head.status, head.next_at = "canceled", None
            store.save_delivery(tenant.name, head)
            self._after(tenant, lanes, head)
        for _ in range(len(lanes.unreached)):
            delivery_id = lanes.unreached.popleft()
            delivery = store.delivery(tenant.name, delivery_id)
            if delivery is None or not delivery.reached_nobody:
                continue
            if store.get(tenant.name, delivery.task_id) is None:
                continue
            if delivery.task_id in lanes.busy:
                # Other news of its task are under way; it comes behind them.
                lanes.unreached.append(delivery_id)
                continue
            lane = lanes.lanes.setdefault(delivery.task_id, deque())
            if lane and lane[0].id == delivery_id:
                delivery = lane[0]
            elif any(one.id == delivery_id for one in lane):
                continue
            else:
                delivery.status, delivery.next_at = "retrying", tenant.clock.now()
                store.save_delivery(tenant.name, delivery)
                lane.appendleft(delivery)
            lanes.busy.add(delivery.task_id)
            return delivery
        return None

    def _hand_out(self, tenant: Tenant, lanes: _Lanes, delivery: Delivery) -> Handout | None:
        """Return a delivery as it is to be sent; None for one that a scenario loses, or that cannot be made."""
        contract = self._backend.contracts[delivery.provider]
        operation = contract.operations[delivery.operation]
        task = self._backend.store.get(tenant.name, delivery.task_id)
        assert task is not None
        callback, now = _callback(operation, delivery.callback), tenant.clock.now()
        how, scenario = USUAL, ""
        try:
            if task.scenarios:
                how, scenario = scenarios.attempt(task, callback, len(delivery.attempts))
            headers = self._prepare(contract, operation, task, callback, delivery, now, how)
        except Exception as error:  # as for one that is sent: the next news must not wait for ever
            self._break(tenant, delivery, error, is_pulled=True)
            self._through(tenant, lanes, delivery)
            return None
        if how.lost:
            error_text = f"{how.lost}; nothing was sent (scenario {scenario})"
            lost = Attempt(
                at=now, status=how.status, error=error_text, took_ms=0, headers=headers, is_pulled=True
            )
            self._note(tenant, callback, delivery, lost, how)
            self._through(tenant, lanes, delivery)
            return None
        self._backend.store.save_delivery(tenant.name, delivery)
        handout = Handout(
            delivery=delivery,
            method=callback.method,
            headers=headers,
            at=now,
            within_s=min(callback.timeout / 1000, self._backend.settings.callback_timeout),
            started=stopwatch(),
        )
        timer = asyncio.get_running_loop().call_later(
            handout.within_s + REPORT_GRACE_S, self._take_back, tenant, lanes, delivery.id
        )
        lanes.handed[delivery.id] = _Handed(handout, timer, how, scenario)
        return handout

    def _through(self, tenant: Tenant, lanes: _Lanes, delivery: Delivery) -> None:
        self._backend.store.save_delivery(tenant.name, delivery)
        self._after(tenant, lanes, delivery)

    def _take_back(self, tenant: Tenant, lanes: _Lanes, delivery_id: str) -> None:
        if self._tenants.get(tenant.name) is lanes:
            self.report(tenant, delivery_id, None, "whoever pulled it did not say what came of it")

    def report(self, tenant: Tenant, delivery_id: str, status: int | None, error: str) -> Delivery | None:
        """Note what came of a delivery that was handed out; None where it is in nobody's hands (any more)."""
        lanes = self._lanes(tenant)
        handed = lanes.handed.pop(delivery_id, None)
        if handed is None:
            return None
        handed.timer.cancel()
        handout, how = handed.handout, handed.how
        if how.is_unheard:
            error = f"no answer (scenario {handed.scenario}; the receiver said {status})"
            status = None
        delivery = handout.delivery
        operation = self._backend.contracts[delivery.provider].operations[delivery.operation]
        attempt = Attempt(
            at=handout.at,
            status=status,
            error=error,
            took_ms=int((stopwatch() - handout.started) * 1000),
            headers=handout.headers,
            is_pulled=True,
        )
        self._note(tenant, _callback(operation, delivery.callback), delivery, attempt, how)
        self._through(tenant, lanes, delivery)
        return delivery

    def let_go(self) -> None:
        """Answer those who wait for a delivery: the server stops."""
        self._is_stopping = True
        for lanes in self._tenants.values():
            lanes.news.set()

    # --- time

    def next_at(self, tenant: Tenant) -> int | None:
        """Return when the next attempt is due."""
        lanes = self._lanes(tenant)
        while lanes.heap and _head(lanes, *lanes.heap[0]) is None:
            heapq.heappop(lanes.heap)
        return lanes.heap[0][0] if lanes.heap else None

    def wake(self, tenant: Tenant) -> None:
        """Send what is due now, and set the timer for what is due next."""
        lanes = self._lanes(tenant)
        if lanes.timer is not None:
            lanes.timer.cancel()
            lanes.timer = None
        if tenant.is_advancing or not lanes.heap:
            return
        self._fire(tenant, lanes, tenant.clock.now())
        if lanes.heap:
            seconds = min(tenant.clock.seconds_until(lanes.heap[0][0]), LONGEST_SLEEP)
            lanes.timer = asyncio.get_running_loop().call_later(seconds, self.wake, tenant)

    async def advance(self, tenant: Tenant, to: int) -> list[Event]:
        """Move the tenant's clock to a time, sending on the way what falls due, in order; return what was sent."""
        lanes = self._lanes(tenant)
        events = self._events[tenant.name] = []
        tenant.is_advancing = True
        try:
            # A tenant that begins again meanwhile has other lanes, and a clock that this is not about.
            while self._tenants.get(tenant.name) is lanes:
                if lanes.flights:
                    await asyncio.gather(*lanes.flights, return_exceptions=True)
                    continue
                at = self.next_at(tenant)
                if at is None or at > to:
                    if tenant.clock.now() < to:
                        tenant.clock.set(now=to)
                    break
                tenant.clock.set(now=max(at, tenant.clock.now()))
                self._fire(tenant, lanes, tenant.clock.now())
        finally:
            tenant.is_advancing = False
            del self._events[tenant.name]
            self.wake(tenant)
        return events

    # --- sending

    def _lanes(self, tenant: Tenant) -> _Lanes:
        known = self._tenants.get(tenant.name)
        if known is None:
            known = self._tenants[tenant.name] = _Lanes(share=asyncio.Semaphore(self._share))
        return known

    def _new_id(self, tenant: Tenant, callback: Callback) -> str:
        while True:
            drawn = tenant.dice.id(callback.id, tenant.clock.now())
            if self._backend.store.delivery(tenant.name, drawn) is None:
                return drawn

    def _enqueue(self, tenant: Tenant, delivery: Delivery) -> None:
        lanes = self._lanes(tenant)
        lane = lanes.lanes.setdefault(delivery.task_id, deque())
        lane.append(delivery)
        if len(lane) == 1:
            self._push(lanes, delivery)

    @staticmethod
    def _push(lanes: _Lanes, delivery: Delivery) -> None:
        assert delivery.next_at is not None
        heapq.heappush(lanes.heap, (delivery.next_at, delivery.number, delivery.task_id))

    def _fire(self, tenant: Tenant, lanes: _Lanes, now: int) -> None:
        while lanes.heap and lanes.heap[0][0] <= now:
            at, number, task_id = heapq.heappop(lanes.heap)
            head = _head(lanes, at, number, task_id)
            if head is None:
                continue
            lanes.busy.add(task_id)
            if lanes.mode == "pull":
                lanes.ready.append(head)
                lanes.news.set()
                continue
            flight = asyncio.get_running_loop().create_task(self._attempt(tenant, lanes, head))
            lanes.flights.add(flight)
            flight.add_done_callback(lanes.flights.discard)

    async def _attempt(self, tenant: Tenant, lanes: _Lanes, delivery: Delivery) -> None:
        store = self._backend.store
        try:
            contract = self._backend.contracts[delivery.provider]
            operation = contract.operations[delivery.operation]
            task = store.get(tenant.name, delivery.task_id)
            if task is None:
                delivery.status, delivery.next_at = "canceled", None
            else:
                callback = _callback(operation, delivery.callback)
                async with self._path(delivery.url), self._host(delivery.url), lanes.share, self._all:
                    await self._try(tenant, contract, operation, task, callback, delivery)
        except Exception as error:  # whatever it was, the next news of the task must not wait for ever
            self._break(tenant, delivery, error)
        store.save_delivery(tenant.name, delivery)
        if store.is_dirty:
            await store.committed()
        self._after(tenant, lanes, delivery)

    @staticmethod
    def _break(tenant: Tenant, delivery: Delivery, error: Exception, *, is_pulled: bool = False) -> None:
        """Give up a delivery that cannot be made."""
        log.exception("callback %s could not be sent", delivery.id)
        delivery.status, delivery.next_at = "failed", None
        attempt = Attempt(
            at=tenant.clock.now(),
            status=None,
            error=repr(error),
            took_ms=0,
            headers=(),
            is_pulled=is_pulled,
        )
        delivery.attempts = (*delivery.attempts, attempt)

    def _path(self, url: str) -> asyncio.Semaphore:
        # Not the host alone: what hangs at one of its paths must not hold up what another one takes.
        return self._receiver(url.partition("?")[0], PER_RECEIVER)

    def _host(self, url: str) -> asyncio.Semaphore:
        # And not the path alone: many that hang at one host must not hold up what goes to others.
        return self._receiver(url.partition("://")[2].partition("/")[0], PER_HOST)

    def _receiver(self, name: str, most: int) -> asyncio.Semaphore:
        known = self._receivers.get(name)
        if known is None:
            if len(self._receivers) > 10_000:
                self._receivers.clear()
            known = self._receivers[name] = asyncio.Semaphore(most)
        return known

    async def _try(
        self,
        tenant: Tenant,
        contract: Contract,
        operation: Operation,
        task: Task,
        callback: Callback,
        delivery: Delivery,
    ) -> None:
        """Make one attempt and note what became of it."""
        now = tenant.clock.now()
        how, scenario = USUAL, ""
        if task.scenarios:
            how, scenario = scenarios.attempt(task, callback, len(delivery.attempts))
        headers = self._prepare(contract, operation, task, callback, delivery, now, how)
        timeout = min(callback.timeout / 1000, self._backend.settings.callback_timeout)
        started = stopwatch()
        status: int | None = None
        error = ""
        try:
            if len(delivery.url) > LONGEST_ADDRESS:
                raise NotAllowedError(f"an address of more than {LONGEST_ADDRESS:,} characters")
            if how.lost:
                status, error = how.status, f"{how.lost}; nothing was sent (scenario {scenario})"
            else:
                status = await self._sender.send(
                    callback.method, delivery.url, headers, delivery.body, timeout
                )
                if how.is_unheard:
                    error = (
                        f"no answer within {timeout:g} s (scenario {scenario}; the receiver said {status})"
                    )
                    status = None
        except NotAllowedError as refused:
            delivery.status, delivery.next_at, error = "refused", None, str(refused)
        except OSError as failed:
            error = str(failed)
        took_ms = int((stopwatch() - started) * 1000)
        attempt = Attempt(at=now, status=status, error=error, took_ms=took_ms, headers=headers)
        self._note(tenant, callback, delivery, attempt, how)

    def _note(
        self, tenant: Tenant, callback: Callback, delivery: Delivery, attempt: Attempt, how: Try
    ) -> None:
        """Keep an attempt, judge it, and tell those who want to know."""
        delivery.attempts = (*delivery.attempts, attempt)
        if delivery.status != "refused":
            self._judge(tenant, callback, delivery, attempt.status, how)
        if log.isEnabledFor(logging.DEBUG):
            came = attempt.status or attempt.error
            shown = shown_url(delivery.url)
            log.debug("callback %s %s -> %s %s", shown, delivery.state, came, delivery.status)
        if delivery.reached_nobody and not (how.lost or how.is_unheard):
            # What a scenario loses stays lost.
            lanes = self._lanes(tenant)
            lanes.unreached.append(delivery.id)
            lanes.news.set()
        if self.on_attempt is not None:
            self.on_attempt(tenant, delivery)
        events = self._events.get(tenant.name)
        if events is not None:
            events.append(
                Event(
                    at=attempt.at,
                    kind="delivery",
                    task=delivery.task_id,
                    state=delivery.state,
                    delivery=delivery.id,
                    status=delivery.status,
                    number=delivery.number,
                )
            )

    def _judge(
        self, tenant: Tenant, callback: Callback, delivery: Delivery, status: int | None, how: Try
    ) -> None:
        tried = len(delivery.attempts)
        match judge(callback, status) if not how.lost else "stop":
            case "delivered" if how.again_s is not None:
                delivery.status = "retrying"
                delivery.next_at = tenant.clock.now() + int(how.again_s * 1000)
            case "delivered":
                delivery.status, delivery.next_at = "delivered", None
            case "retry" if tried <= len(callback.retry):
                delivery.status = "retrying"
                # From the end of this attempt, so that a slow receiver gets the whole wait.
                delivery.next_at = tenant.clock.now() + callback.retry[tried - 1]
            case _:
                delivery.status, delivery.next_at = "failed", None

    def _prepare(
        self,
        contract: Contract,
        operation: Operation,
        task: Task,
        callback: Callback,
        delivery: Delivery,
        now: int,
        how: Try,
    ) -> tuple[tuple[str, str], ...]:
        """Render body and headers: the body once, as a query at the moment of the change would show it."""
        tried = len(delivery.attempts)
        if self._backend.settings.dates == "machine":
            # A receiver that asks how old a signature is asks its own clock.
            now = self._backend.wall()
        now += int(how.shift_s * 1000)
        scope = Scope(
            task=scenarios.view(task, operation, delivery.due, "callback", state=delivery.state),
            delivery=DeliveryView(id=delivery.id, attempt=tried + 1, retry=tried, timestamp=now),
            mock=_MockView(base_url=task.base, request_id=task.request_id, path="", now=now),
        )
        if not delivery.body:
            delivery.body = orjson.dumps(callback.content.bodies[delivery.state](scope))
        headers = [("Content-Type", callback.content.media_type), ("User-Agent", "understudy")]
        for header in callback.headers:
            value = header.values[delivery.state](scope)
            if value is not MISSING and header.fits(value):
                headers.append((header.name, to_text(value)))
        if callback.signature is not None:
            secret = self._backend.settings.secrets.get(contract.id)
            if secret is None and callback.signature.is_always:
                secret = WELL_KNOWN_SECRET
            if secret is not None:
                signer = SIGNERS[callback.signature.scheme]
                signed = delivery.body + b"\n" if how.is_forged else delivery.body
                headers += signer(secret, callback.signature.secret, delivery.id, now // 1000, signed)
        return tuple(headers)

    def _after(self, tenant: Tenant, lanes: _Lanes, delivery: Delivery) -> None:
        """Let the next delivery of the task go once this one is through, or this one again."""
        if self._awaited and (told := self._awaited.get((tenant.name, delivery.task_id))) is not None:
            _resolve(told)
        if self._tenants.get(tenant.name) is not lanes:
            return
        lanes.busy.discard(delivery.task_id)
        lane = lanes.lanes.get(delivery.task_id)
        if lane and lane[0] is delivery and not delivery.is_open:
            lane.popleft()
        if lane:
            head = lane[0]
            if head is not delivery and head.next_at is not None:
                head.next_at = max(head.next_at, tenant.clock.now())
            self._push(lanes, head)
        else:
            lanes.lanes.pop(delivery.task_id, None)
        if lanes.unreached:
            # One of them may have waited for this task's news to be through.
            lanes.news.set()
        self.wake(tenant)


@dataclass(frozen=True, slots=True)
class _MockView:
    base_url: str
    request_id: str
    path: str
    now: int


def _head(lanes: _Lanes, at: int, number: int, task_id: str) -> Delivery | None:
    """Return the delivery an entry of the heap stands for.

    None for what was left behind: by a head that was canceled or overtaken, or is under way.
    """
    lane = lanes.lanes.get(task_id)
    if not lane or lane[0].number != number or lane[0].next_at != at or task_id in lanes.busy:
        return None
    return lane[0]


def _resolve(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)


def _callback(operation: Operation, name: str) -> Callback:
    return next(one for one in operation.callbacks if one.name == name)
