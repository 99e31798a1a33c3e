"""One request on its way through the proxy: judge, hold back or pass on, judge the answer, record.

What the provider would refuse is refused here, in its words.  What we hold back, and that there is no answer, is said
in our own voice (RFC 9457), because no provider said it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, Final

import orjson

from mockserver.clock import stopwatch
from mockserver.desks import Call
from mockserver.faults import CUT, Patience
from mockserver.journal import LARGE_BODY, Cut
from mockserver.log import RequestLog
from mockserver.pipeline import Pipeline
from mockserver.proxy.answers import Judge, Tap, plain_body
from mockserver.proxy.courses import Course, Courses
from mockserver.proxy.flights import LARGEST_ANSWER, Flight, Flights, Kept
from mockserver.proxy.totals import Guard, Totals
from mockserver.proxy.upstream import Reply, Upstream, UpstreamError, is_this_machine, request_headers
from mockserver.recordings import canonical
from mockserver.tasks import Task
from mockserver.tenants import DEFAULT_TENANT, Backend
from mockserver.visits import WHOLE, AsgiScope, Headers, Nowhere, Receive, Send, Visit
from mockserver.wire import Answer, HeaderList, header_text
from validator.check import Examination, find_operation, judge, protocol_violation
from validator.keywords import price_of
from validator.printing import plural
from validator.report import Report, Violation
from validator.request import IDEMPOTENCY, LOST
from validator.security import Principal, Refused

TARGET: Final = "understudy.target"
"""The key in the ASGI scope of the request's target as it came, byte by byte."""

ADMIN_CALLS: Final = frozenset(
    ("health", "providers", "requests", "requests.har", "clock", "events", "gauges", "tenants", "reset")
)
"""What of the control plane has a meaning for a proxy, by the first part of the path."""

_FREE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_IDEMPOTENCY: Final = tuple(name.encode() for name in IDEMPOTENCY)
_NO_REPORT: Final = Report(provider="")

log: Final = logging.getLogger("understudy")


@dataclass(slots=True, kw_only=True)
class Passing:
    """A request that may be passed on; `price` in units, None where unknown; `key` tells equal submits.

    `is_given` says that its client has the whole answer.
    """

    visit: Visit
    call: Call | None
    started: float
    makes_task: bool = False
    price: float | None = None
    key: bytes = b""
    is_given: bool = False


@dataclass(slots=True, eq=False)
class _Trip:
    """A request that makes a task, on its way; what is left of a large answer is for the client who asked."""

    flight: Flight
    error: UpstreamError | None = None
    rest: Reply | None = None


class Passage(Pipeline):
    """Passes what is right to the providers' hosts, and answers the rest."""

    def __init__(
        self,
        backend: Backend,
        outbox: Any,
        request_log: RequestLog,
        patience: Patience,
        *,
        upstreams: Mapping[str, Upstream],
        guards: Mapping[str, Guard],
        flights: Flights,
        courses: Courses,
        judges: Mapping[str, Judge],
        passes: frozenset[str] = frozenset(),
        is_annotated: bool = False,
    ) -> None:
        """Take what is known by provider: where its host is, what may be spent there, who judges its answers."""
        super().__init__(backend, outbox, request_log, patience)
        self._upstreams, self._guards, self._judges = upstreams, guards, judges
        self._flights, self._courses = flights, courses
        self._passes, self._is_annotated = passes, is_annotated
        self._trips: dict[Flight, _Trip] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self.totals = {name: Totals() for name in upstreams}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = stopwatch()
        # Our own server begins a request without a task, and what speaks to other hosts needs one.
        await asyncio.sleep(0)
        headers = Headers(scope["headers"])
        odd = self._odd(scope, headers)
        visit = odd if odd is not None else self._address(scope, headers)
        if isinstance(visit, Nowhere):
            await self._own_voice(scope, send, headers, visit, started)
            return
        extensions = scope.pop("extensions", None) or {}
        body, cut = extensions.get(WHOLE, (None, None))[0], extensions.get(CUT)
        if body is not None:
            visit.is_whole = len(body) <= self._backend.settings.max_body_bytes
            visit.body = body if visit.is_whole else b""
        elif b"content-length" in headers.raw or b"transfer-encoding" in headers.raw:
            await self._read(visit, receive, headers.raw)
        try:
            decided = self._decide(visit, started)
        except Exception as error:  # the provider's 500, as in the mock; the journal and the log keep why
            log.exception("request %s failed", visit.request_id)
            decided = self._failed(visit, error)
        if isinstance(decided, Answer):
            await self._give(visit, decided, send)
            self._record(visit, decided, started)
        elif decided.makes_task:
            await self._pass_submit(decided, receive, send, cut)
        else:
            await self._pass_stream(decided, receive, send, cut)

    # --- who asks, and where ------------------------------------------------------------------------------

    def is_odd(self, scope: AsgiScope) -> bool:
        """Tell whether a request is for nobody here, whatever its path is."""
        return self._odd(scope, Headers(scope["headers"])) is not None

    def _odd(self, scope: AsgiScope, headers: Headers) -> Nowhere | None:
        """Refuse what is meant for a proxy of the other kind, and names of this server that are not its own."""
        tenant = self._backend.tenant(DEFAULT_TENANT)
        target: bytes = scope.get(TARGET, scope["raw_path"])
        if scope["method"] == "CONNECT" or not target.startswith(b"/"):
            detail = (
                "this is no forward proxy: it passes requests to the hosts it was started for, and to no others;"
                " put its address in place of the provider's base URL"
            )
            return Nowhere(421, "Not a forward proxy", detail, tenant)
        if call := admin_call(scope["path"]):
            detail = f"a proxy has nothing of its own that {call} is about; it has {', '.join(sorted(ADMIN_CALLS))}"
            return Nowhere(404, "Not part of a proxy", detail, tenant)
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1:
            # Source: RFC 9112, 3.2.
            return Nowhere(400, "No clear Host", "a request has one Host header", tenant)
        if self._backend.settings.is_loopback and hosts and not self._is_ours(hosts[0]):
            detail = "the Host header names neither this machine nor a provider that is served"
            return Nowhere(421, "Foreign host", detail, tenant)
        return None

    def _is_ours(self, host: bytes) -> bool:
        """Tell whether a Host is this machine, or a provider whose name was pointed here (not a stranger's)."""
        text = host.decode("latin-1").lower()
        name = text.rpartition(":")[0] if ":" in text and not text.endswith("]") else text
        return name in self._hosts or is_this_machine(name)

    def _judge_dates(self, visit: Visit, principal: Principal, token: bytes) -> Refused | None:
        """Leave the dates of a token to the provider, whose clock counts."""
        return None

    # --- judge --------------------------------------------------------------------------------------------

    def _decide(self, visit: Visit, started: float) -> Answer | Passing:
        """Return the answer of a request that is not passed on, or what is needed to pass it on."""
        contract = visit.desk.contract
        examination = visit.examination = Examination(_NO_REPORT)
        totals = self.totals[contract.id]
        if visit.fault is not None:
            return self._refused(visit, [visit.fault])
        found = find_operation(contract, "GET" if visit.method == "HEAD" else visit.method, visit.path)
        if isinstance(found, Violation):
            return self._stray(visit, found, started)
        operation, examination.path = found
        examination.operation = operation
        call = visit.desk.calls[operation.id]
        findings: list[Violation] = []
        if not call.credentials:
            visit.account = visit.desk.anybody
        elif (refused := self._authorise(visit, call)) is not None:
            findings.append(refused)
        if not visit.is_whole:
            return self._refused(visit, [*findings, self._too_large(visit, operation.id)])
        if visit.body_fault and operation.body is None:
            return self._refused(visit, [*findings, self._broken(visit, operation.id)])
        judge(contract, operation, visit, examination, findings, [])
        report = examination.report
        if report.verdict == "refused":
            return self._refused(visit, list(report.violations))
        if operation.role != "create":
            return Passing(visit=visit, call=call, started=started)
        price = self._price(visit, call)
        if report.verdict == "fails" and "fails" not in self._passes:
            totals.held += 1
            totals.saved += operation.charge.amount(price or 0.0, "failure")
            return self._hold_failing(visit)
        key = _key(visit, operation.id) if self._flights.window_ms else b""
        return Passing(visit=visit, call=call, started=started, makes_task=True, price=price, key=key)

    def _too_large(self, visit: Visit, operation: str) -> Violation:
        most = f"at most {self._backend.settings.max_body_bytes:,} bytes"
        return protocol_violation(visit.desk.contract, "too-large", allowed=most, operation=operation)

    @staticmethod
    def _broken(visit: Visit, operation: str) -> Violation:
        return protocol_violation(
            visit.desk.contract, "malformed", found=visit.body_fault, operation=operation
        )

    def _stray(self, visit: Visit, found: Violation, started: float) -> Answer | Passing:
        """Refuse a request of no operation that is known, or let it through unjudged where that was asked for."""
        contract = visit.desk.contract
        if "unknown" not in self._passes:
            answer = self._refused(visit, [found])
            note = (
                b"not passed on: the contract has no such operation; --pass unknown lets it through unjudged"
            )
            answer.headers.append((b"x-mock-note", note))
            return answer
        if not visit.is_whole:
            return self._refused(visit, [self._too_large(visit, "")])
        if visit.body_fault:
            return self._refused(visit, [self._broken(visit, "")])
        visit.examination.report = Report(
            provider=contract.id,
            unchecked=("the request and its answer: the contract has no such operation",),
        )
        if visit.method not in _FREE_METHODS and not self._guards[contract.id].has(None):
            return self._hold_spending(visit, None)
        return Passing(visit=visit, call=None, started=started)

    @staticmethod
    def _price(visit: Visit, call: Call) -> float | None:
        """Return what the task costs by the prices of the spec, None where it has none for it."""
        examination, body = visit.examination, call.operation.body
        if body is None or not isinstance(examination.body, dict):
            return None
        return price_of(body, examination.body, examination.pictures, examination.row)

    # --- answers of our own -------------------------------------------------------------------------------

    def _refused(self, visit: Visit, violations: list[Violation]) -> Answer:
        """Refuse in the provider's words."""
        self.totals[visit.desk.contract.id].refused += 1
        visit.note = "refused here"
        answer = self._refuse(visit, violations)
        answer.headers.append((b"x-mock-proxy", b"refused"))
        return answer

    def _own(self, visit: Visit, status: int, word: str, title: str, detail: str, **more: Any) -> Answer:
        """Return an answer in our own voice; `word` says in X-Mock-Proxy why the request was not passed on."""
        visit.note = visit.note or f"held back: {word}"
        body = orjson.dumps(
            {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
        )
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"x-mock-request-id", visit.request_id.encode()),
            (b"x-mock-proxy", word.encode()),
        ]
        return Answer(status, headers, body)

    def _hold_failing(self, visit: Visit) -> Answer:
        findings = visit.examination.report.errors
        sentences = "; ".join(f"{one.field}: {one.failure or one.message}" for one in findings)
        answer = self._own(
            visit,
            422,
            "fails",
            "This task would fail",
            f"the provider would take the request, and the task would end in failure ({sentences}); it was not"
            " passed on (--pass fails passes such requests)",
            violations=[one.rule for one in findings],
        )
        rules = ", ".join(dict.fromkeys(one.rule for one in findings))
        answer.headers.append((b"x-mock-violations", rules.encode()))
        return answer

    def _hold_spending(self, visit: Visit, price: float | None) -> Answer:
        """Hold back what would cost something: nobody allowed it, or it is beyond the budget."""
        contract = visit.desk.contract
        totals, guard = self.totals[contract.id], self._guards[contract.id]
        totals.held += 1
        totals.saved = round(totals.saved + (price or 0.0), 8)
        worth = f"about {price:g} units" if price is not None else "an amount that the spec does not know"
        if not guard.is_open:
            return self._own(
                visit,
                403,
                "spending",
                "Spending is not allowed",
                f"the request is right, and would cost {worth}; it was not passed on. Start the proxy with"
                " --allow-spend, or with --budget UNITS, to pass it",
                units=price,
            )
        found = protocol_violation(
            contract,
            "quota-exhausted",
            "budget",
            found=f"{worth} for this task",
            allowed=f"a budget of {guard.budget:g} units, of which {guard.spent:g} are spent",
            operation=visit.examination.operation.id if visit.examination.operation is not None else "",
        )
        visit.note = f"held back: beyond the budget of {guard.budget:g} units"
        # As an empty account would be told: that is what clients know how to handle.
        answer = self._refuse(visit, [*visit.examination.report.violations, found])
        answer.headers.append((b"x-mock-proxy", b"budget"))
        return answer

    def _unreached(self, visit: Visit, error: UpstreamError, *, has_repeat: bool) -> Answer:
        """Say that there is no answer, and whether the host may have done what was asked."""
        host = self._upstreams[visit.desk.contract.id].host
        self.totals[visit.desk.contract.id].unreached += 1
        word = "timeout" if error.is_late else "unreachable"
        visit.note = f"{word}: {header_text(str(error))[:200]}"
        done = "; it was sent, and may have been done all the same" if error.is_sent else "; it was not sent"
        later = ""
        if has_repeat and error.is_sent:
            seconds = self._flights.window_ms // 1000
            later = f". An equal request is held back for {seconds} s: look into the list first"
        title = "The provider's host did not answer"
        detail = f"{host}: {header_text(str(error))[:300]}{done}{later}"
        return self._own(visit, 504 if error.is_late else 502, word, title, detail)

    def _hold_lost(self, visit: Visit, flight: Flight) -> Answer:
        """Hold back an equal request whose first answer nobody has."""
        left_s = max(1, -(-(flight.ends_at - visit.now) // 1000))
        answer = self._own(
            visit,
            409,
            "lost",
            "An equal request was sent, and its answer was lost",
            f"request {flight.request_id} asked for the same {_ago(visit.now - flight.sent_at)} ago, and"
            f" {flight.why}: the provider may have made the task, and would make and charge a second one. Look into"
            f" its list of tasks; in {left_s} s an equal request is passed on again, with another Idempotency-Key at"
            " once",
            request=flight.request_id,
        )
        answer.headers += [
            (b"retry-after", str(left_s).encode()),
            (b"x-mock-repeats", flight.request_id.encode()),
        ]
        return answer

    async def _give(self, visit: Visit, answer: Answer, send: Send) -> None:
        """Send an answer that was made here."""
        if not _has_length(answer.status, answer.headers):
            answer.headers.append((b"content-length", b"%d" % len(answer.body)))
        answer.headers.append((b"date", formatdate(self._backend.wall() / 1000, usegmt=True).encode()))
        if not visit.is_whole or visit.body_fault:
            # The rest of the body is still on its way; it must not be read as the next request.
            answer.headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": b"" if visit.method == "HEAD" else answer.body})

    # --- requests that make tasks -------------------------------------------------------------------------

    async def _pass_submit(self, passing: Passing, receive: Receive, send: Send, cut: Any) -> None:
        """Pass on a request that makes a task, once; it is brought to its end whoever hangs up."""
        visit = passing.visit
        known = self._flights.find(passing.key, visit.now) if passing.key else None
        if known is not None:
            await self._repeat(passing, known, receive, send)
            return
        guard = self._guards[visit.desk.contract.id]
        if not guard.has(passing.price):
            answer = self._hold_spending(visit, passing.price)
            await self._give(visit, answer, send)
            self._record(visit, answer, passing.started)
            return
        guard.take(passing.price)
        flight = self._flights.begin(passing.key, visit.request_id, visit.now)
        trip = self._trips[flight] = _Trip(flight)
        running = asyncio.create_task(self._fly(passing, trip))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            if await _stays(receive, flight):
                await self._land(passing, trip, receive, send, cut)
        finally:
            self._trips.pop(flight, None)
            if trip.rest is not None:
                await trip.rest.close()

    async def _land(self, passing: Passing, trip: _Trip, receive: Receive, send: Send, cut: Any) -> None:
        """Give the client who asked what came back."""
        visit, flight = passing.visit, trip.flight
        if flight.kept is None:
            error = trip.error or UpstreamError("the request was given up", is_sent=True, is_late=False)
            if trip.error is None and self._is_stopping:
                answer = self._stopped(visit, "; the task may have been made: look into the list first")
            else:
                answer = self._unreached(visit, error, has_repeat=bool(passing.key))
            await self._give(visit, answer, send)
            self._record(visit, answer, passing.started)
            return
        kept, is_more = flight.kept, trip.rest is not None
        headers = self._annotated(visit, kept.headers)
        if not is_more and not _has_length(kept.status, headers):
            headers = [*headers, (b"content-length", b"%d" % len(kept.body))]
        await send({"type": "http.response.start", "status": kept.status, "headers": headers})
        await send({"type": "http.response.body", "body": kept.body, "more_body": is_more})
        if trip.rest is None:
            return
        try:
            await self._accompany(_pour(trip.rest, passing, send), passing, receive)
        except UpstreamError:
            _break_off(visit, cut)

    async def _fly(self, passing: Passing, trip: _Trip) -> None:
        """Send the request and wait for its answer, whoever else does."""
        visit, flight = passing.visit, trip.flight
        try:
            await self._take_off(passing, trip)
        except UpstreamError as error:
            trip.error = error
            if error.is_sent:
                self._flights.lost(flight, visit.tenant.clock.now(), f"there was no answer ({error})")
            else:
                self._guards[visit.desk.contract.id].give_back(passing.price)
                self._flights.void(flight, visit.tenant.clock.now())
            if flight not in self._trips:
                # Its client has gone; nobody else would write it down.
                answer = self._unreached(visit, error, has_repeat=bool(passing.key))
                self._record(visit, answer, passing.started)
        except Exception:  # whoever waits is not to wait for ever
            log.exception("the answer to request %s was lost here", visit.request_id)
        finally:
            if flight.state == "under-way":
                # The server ends, or failed: what was sent may have been done.
                why = "this proxy was stopped before the answer came"
                self._flights.lost(flight, visit.tenant.clock.now(), why)

    async def _take_off(self, passing: Passing, trip: _Trip) -> None:
        """Send the request, and note what came of it; raises UpstreamError."""
        flight = trip.flight
        reply = await self._open(passing)
        tap, is_whole = Tap(), True
        try:
            async for chunk in reply.chunks():
                tap.take(chunk)
                if tap.size_bytes > LARGEST_ANSWER or reply.media_type == "text/event-stream":
                    is_whole = False
                    break
        finally:
            if is_whole:
                await reply.close()
        end = "" if is_whole else "it is large, or a stream"
        task = self._arrived(passing, reply.status, reply.headers, tap, end)
        flight.kept = Kept(reply.status, reply.headers, tap.body)
        self._settle(passing, flight, task, is_whole=is_whole)
        if is_whole:
            return
        if flight in self._trips:
            trip.rest = reply
        else:
            await reply.close()

    def _settle(self, passing: Passing, flight: Flight, task: str | None, *, is_whole: bool) -> None:
        """Note whether the provider made a task, and whether an equal request is held back."""
        visit, kept = passing.visit, flight.kept
        assert kept is not None
        provider, now = visit.desk.contract.id, visit.tenant.clock.now()
        if kept.status in LOST:
            self._flights.lost(flight, now, f"a gateway answered {kept.status} in its place")
        elif task is None and not 200 <= kept.status < 300:
            self._guards[provider].give_back(passing.price)
            self._flights.void(flight, now)
        else:
            # Without the id of a task in it the answer is odd; it may be one all the same.
            self.totals[provider].made += 1
            if is_whole:
                made = (_account(visit), task) if task is not None else None
                self._flights.answered(flight, now, kept, made)
            else:
                self._flights.lost(flight, now, "its answer is too large to be given twice")

    async def _repeat(self, passing: Passing, flight: Flight, receive: Receive, send: Send) -> None:
        """Hold back an equal request: it gets the answer that the first one got or gets."""
        visit = passing.visit
        is_joined = flight.state == "under-way"
        if is_joined and not await _stays(receive, flight):
            return
        totals = self.totals[visit.desk.contract.id]
        totals.held += 1
        kept = flight.kept
        if kept is None or flight.state == "lost":
            if flight.state == "void":
                error = UpstreamError("no connection", is_sent=False, is_late=False)
                answer = self._unreached(visit, error, has_repeat=True)
            else:
                totals.saved = round(totals.saved + (passing.price or 0.0), 8)
                answer = self._hold_lost(visit, flight)
        else:
            if flight.state == "answered":
                totals.saved = round(totals.saved + (passing.price or 0.0), 8)
            word = "joined" if is_joined else "repeated"
            visit.note = f"held back: {word} {flight.request_id}"
            ours = (b"content-length", b"date", b"x-mock-request-id", b"x-mock-proxy", b"x-mock-repeats")
            headers = [pair for pair in kept.headers if pair[0].lower() not in ours]
            answer = Answer(kept.status, headers, kept.body)
            answer.headers += [
                (b"x-mock-proxy", word.encode()),
                (b"x-mock-repeats", flight.request_id.encode()),
                (b"x-mock-request-id", visit.request_id.encode()),
            ]
            note = b"an equal request was sent before; this is its answer. Another Idempotency-Key passes"
            answer.headers.append((b"x-mock-note", note))
        await self._give(visit, answer, send)
        self._record(visit, answer, passing.started)

    # --- everything else ----------------------------------------------------------------------------------

    async def _pass_stream(self, passing: Passing, receive: Receive, send: Send, cut: Any) -> None:
        """Pass a request on and its answer back as it comes; a client that hangs up ends it."""
        await self._accompany(self._stream(passing, send, cut), passing, receive)

    async def _accompany(self, giving: Coroutine[Any, Any, None], passing: Passing, receive: Receive) -> None:
        """Give a client its answer; one that hangs up ends that."""
        work = asyncio.create_task(giving)
        gone = asyncio.create_task(_hung_up(receive))
        self._streams.add(work)
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.discard(work)
            gone.cancel()
            if not work.done():
                # After a whole answer a client is gone in the end, too; what is left to do is for the journal, and
                # for the connection to the host.
                if not passing.is_given:
                    work.cancel()
                await asyncio.wait((work,))
        if not work.cancelled():
            work.result()

    async def _stream(self, passing: Passing, send: Send, cut: Any) -> None:
        visit = passing.visit
        try:
            reply = await self._open(passing)
        except UpstreamError as error:
            answer = self._unreached(visit, error, has_repeat=False)
            await self._give(visit, answer, send)
            self._record(visit, answer, passing.started)
            return
        except asyncio.CancelledError:
            await self._give_up(passing, send)
            raise
        tap, end = Tap(), ""
        try:
            headers = self._annotated(visit, reply.headers)
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await _pour(reply, passing, send, tap)
        except UpstreamError as error:
            end = f"it was cut off: {header_text(str(error))[:200]}"
            _break_off(visit, cut)
        except asyncio.CancelledError:
            end = "the proxy was stopped" if self._is_stopping else "the client hung up"
            raise
        finally:
            self._arrived(passing, reply.status, reply.headers, tap, end)
            await reply.close()

    async def _give_up(self, passing: Passing, send: Send) -> None:
        """Note a request whose answer nobody waits for any more; a client that still does is told."""
        visit = passing.visit
        if self._is_stopping:
            answer = self._stopped(visit)
            await self._give(visit, answer, send)
        else:
            self.totals[visit.desk.contract.id].unreached += 1
            answer = Answer(0, [], b"")
            visit.note = "passed on; the client hung up"
        self._record(visit, answer, passing.started)

    def _stopped(self, visit: Visit, more: str = "") -> Answer:
        """Say that we go before the answer is there."""
        self.totals[visit.desk.contract.id].unreached += 1
        visit.note = "passed on; the proxy was stopped"
        detail = f"the proxy was stopped before the provider's host answered{more}"
        return self._own(visit, 503, "stopped", "The proxy stops", detail)

    async def _open(self, passing: Passing) -> Reply:
        """Send the request as it came, to the one host of its provider."""
        visit = passing.visit
        upstream = self._upstreams[visit.desk.contract.id]
        scope = visit.asgi
        target: bytes = scope.get(TARGET) or _target(scope)
        target = target.partition(b"#")[0][len(visit.mount) :]
        if not target.startswith(b"/"):
            target = b"/" + target
        headers = request_headers(scope["headers"], upstream.netloc, visit.body)
        try:
            reply = await upstream.open(visit.method, target, headers, visit.body, is_paid=passing.makes_task)
        except UpstreamError:
            raise
        except Exception as error:  # whatever it was, the client is told, and the log keeps why
            log.exception("request %s could not be passed on", visit.request_id)
            said = f"the proxy failed ({type(error).__name__})"
            raise UpstreamError(said, is_sent=True, is_late=False) from None
        if not 200 <= reply.status <= 599:
            await reply.close()
            raise UpstreamError(f"it answered with status {reply.status}", is_sent=True, is_late=False)
        return reply

    def _annotated(self, visit: Visit, headers: HeaderList) -> HeaderList:
        """Return an answer's headers as they came, and what we know beside them where that was asked for."""
        if not self._is_annotated:
            return headers
        added = [(b"x-mock-proxy", b"passed"), (b"x-mock-request-id", visit.request_id.encode())]
        rules = ", ".join(
            one.rule for one in visit.examination.report.violations if ".answer." not in one.rule
        )
        if rules:
            added.append((b"x-mock-violations", rules.encode()))
        return [*headers, *added]

    # --- what came back -----------------------------------------------------------------------------------

    def _arrived(self, passing: Passing, status: int, headers: HeaderList, tap: Tap, end: str) -> str | None:
        """Judge and record an answer, and return the id of the task it is about; `end` says why it is not whole."""
        visit = passing.visit
        contract, examination = visit.desk.contract, visit.examination
        totals = self.totals[contract.id]
        totals.passed += 1
        visit.note = f"passed on{'; ' + end if end else ''}"
        plain = plain_body(headers, tap.body) if tap.is_whole and not end else None
        task = None
        if passing.call is not None:
            findings, unseen = self._found(passing.call, visit, status, headers, plain, end)
            report = examination.report
            examination.report = replace(
                report,
                provider=contract.id,
                operation=passing.call.operation.id,
                violations=(*report.violations, *findings),
                unchecked=(*report.unchecked, *([unseen] if unseen else [])),
            )
            totals.surprises += bool(findings)
            if plain is not None and 200 <= status < 300:
                task = self._followed(passing, status, plain)
        if task is not None:
            visit.task = Task(
                id=task,
                provider=contract.id,
                operation=examination.report.operation or "",
                account=visit.account,
                request_id=visit.request_id,
                created=visit.now,
                timeline=((0, ""),),
            )
        shown = plain if plain is not None else tap.body
        if plain is None or len(shown) < tap.size_bytes:
            shown = _beginning(shown, tap.size_bytes)
        self._record(visit, Answer(status, headers, shown), passing.started)
        return task

    def _found(
        self, call: Call, visit: Visit, status: int, headers: HeaderList, plain: bytes | None, end: str
    ) -> tuple[list[Violation], str]:
        if end:
            return [], f"the answer: {end}"
        if visit.method == "HEAD" or status in (204, 304):
            return [], "the answer: it has no body"
        if plain is None:
            return [], "the answer: it is too large, or packed in a way that is not known here"
        try:
            return self._judges[visit.desk.contract.id].findings(call.operation, status, headers, plain)
        except Exception:  # whatever a host may answer, its answer passes
            log.exception("the answer to request %s could not be judged", visit.request_id)
            return [], "the answer: judging it failed"

    def _followed(self, passing: Passing, status: int, plain: bytes) -> str | None:
        """Follow the task that an answer is about, and return its id."""
        visit, call = passing.visit, passing.call
        assert call is not None
        provider, operation, now = visit.desk.contract.id, call.operation, self._backend.wall()
        account = _account(visit)
        try:
            if operation.role == "create":
                body, price = visit.examination.body, passing.price
                return self._courses.made(provider, account, operation, body, price, status, plain, now)
            if operation.role == "read" and call.reading is not None:
                name = self._read_value(visit, call.reading)
                course = self._courses.seen(provider, account, operation, name, status, plain, now)
                if course is not None and course.is_news and course.outcome in ("failure", "canceled"):
                    self._ended_badly(course, account)
                return course.task if course is not None else None
        except Exception:  # what cannot be recorded passes all the same
            log.exception("the task of request %s could not be followed", visit.request_id)
        return None

    def _ended_badly(self, course: Course, account: str) -> None:
        """Give back what a failed task did not cost, and let an equal request try again."""
        if course.price is not None:
            charged = course.maker.charge.amount(course.price, course.outcome)
            self._guards[course.provider].refund(course.price - charged)
            # Once: whatever a later answer says, this is what it may have cost.
            course.price = None
        self._flights.ended_badly((account, course.task))

    # --- the end ------------------------------------------------------------------------------------------

    def let_go(self) -> None:
        """End the streams that nobody waits for to end by themselves: the server stops."""
        self._is_stopping = True
        if self._running:
            log.warning("waiting for %s to be made", plural(len(self._running), "task"))
        for one in self._streams:
            one.cancel()

    async def close(self, within_s: float) -> None:
        """Wait so long for requests that make tasks, then give them up, and close all connections."""
        if self._running:
            await asyncio.wait(self._running, timeout=within_s)
        for one in list(self._running):
            log.error("a request that makes a task was given up; the provider may have made it")
            one.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1.0)
        for upstream in self._upstreams.values():
            await upstream.close()


def admin_call(path: str) -> str:
    """Return the first part of what stands behind /__admin in a path, "" where there is none.

    >>> admin_call("/t/mine/__admin/tasks/1"), admin_call("/somebody/tasks")
    ('tasks', '')
    """
    parts = path.split("/")
    start = 3 if parts[1:2] == ["t"] else 1
    return parts[start + 1] if parts[start : start + 1] == ["__admin"] and len(parts) > start + 1 else ""


def _key(visit: Visit, operation: str) -> bytes:
    """Return what equal submits share: tenant, account, operation, query, idempotency key, and the body's meaning."""
    digest = hashlib.blake2b(digest_size=16)
    body = canonical(visit.examination.body)
    named = [value for name, value in visit.asgi["headers"] if name in _IDEMPOTENCY]
    for part in (visit.tenant.name, visit.account, operation, visit.asgi["query_string"], body, *named):
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(b"%d:" % len(raw) + raw)
    return digest.digest()


def _account(visit: Visit) -> str:
    """Return what tells the tasks of accounts apart, in all tenants."""
    return f"{visit.tenant.name} {visit.account}"


def _target(scope: AsgiScope) -> bytes:
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return path + (b"?" + query if query else b"")


def _has_length(status: int, headers: HeaderList) -> bool:
    """Tell whether an answer says how long it is, or may not (RFC 9110, 8.6)."""
    return status in (204, 304) or any(name.lower() == b"content-length" for name, _ in headers)


def _ago(milliseconds: int) -> str:
    return f"{max(milliseconds, 0) / 1000:.1f} s"


def _beginning(body: bytes, size_bytes: int) -> Cut:
    """Return what the journal keeps of a body that is not all there."""
    kept = Cut(body[: LARGE_BODY // 8])
    kept.size_bytes = size_bytes
    return kept


async def _pour(reply: Reply, passing: Passing, send: Send, tap: Tap | None = None) -> None:
    """Give what is left of an answer as it comes; raises UpstreamError."""
    async for chunk in reply.chunks():
        if tap is not None:
            tap.take(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # A host that is faster than the client: what was written is to reach the socket, which then says so.
        await asyncio.sleep(0)
    passing.is_given = True
    await send({"type": "http.response.body", "body": b""})


def _break_off(visit: Visit, cut: Any) -> None:
    """End a connection on which an answer is not whole: whoever reads it must not take it for all."""
    if cut is not None:
        # Where only the end of the connection ends a body, a plain end would look like that.
        cut(visit.asgi.get("http_version") == "1.0")


async def _hung_up(receive: Receive) -> None:
    """Return when the client hangs up; what is left of its body is let go of."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stays(receive: Receive, flight: Flight) -> bool:
    """Wait until a flight is over, and tell whether the client is still there."""
    over = asyncio.create_task(flight.over.wait())
    gone = asyncio.create_task(_hung_up(receive))
    try:
        await asyncio.wait((over, gone), return_when=asyncio.FIRST_COMPLETED)
        return over.done()
    finally:
        over.cancel()
        gone.cancel()
