"""One request, from top to bottom: address, route, authorise, limit, parse, check, act, render, record.

Inside a provider's paths every answer is that provider's; what only we know travels in headers.  What can be
worked out when the server starts is worked out then: a request looks things up.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from mockserver import actions, limits, scenarios
from mockserver.callbacks import Outbox
from mockserver.clock import stopwatch
from mockserver.desks import Call, Desk, first_headers, prepare, scenario_violation
from mockserver.faults import CUT, Patience, play, until_gone
from mockserver.ids import uniform
from mockserver.journal import HEADER_OVERHEAD, LARGE_BODY, OVERHEAD, kept_body, kept_report
from mockserver.log import RequestLog
from mockserver.plans import TOKEN, Lot, Wish, lazy_body, wishes_of_header, wishes_of_text
from mockserver.preferences import Preference, preferences
from mockserver.tasks import Task, TaskView
from mockserver.tenants import (
    DEFAULT_TENANT,
    Backend,
    NoTenantError,
    Tenant,
    TooManyTenantsError,
)
from mockserver.visits import (
    LATE,
    LONGEST_REMEMBERED,
    TOKENS,
    WHOLE,
    AnswerWhole,
    AsgiScope,
    Headers,
    Nowhere,
    Origins,
    Receive,
    Send,
    Visit,
)
from mockserver.wire import PLAIN, Answer, HeaderList, header_text
from validator.check import (
    Examination,
    credential_violation,
    find_operation,
    judge,
    protocol_violation,
)
from validator.contract.expressions import MISSING, Json, Scope, to_text
from validator.contract.model import RESERVED_AREA, Operation
from validator.contract.templates import weakest
from validator.errors import choose_content, refuse, render
from validator.report import Report, Violation
from validator.security import Principal, Refused, authorise, judge_dates

_NOT_WHOLE: Final[tuple[bytes | None, AnswerWhole | None]] = (None, None)
LONGEST_NOTE: Final = 1_000
"""Characters of a note about scenarios that were not met."""

MOST_INCOMING: Final = 8
"""Bodies of the largest size that may be on their way together; past that the larger ones are sent away."""

log: Final = logging.getLogger("understudy")


class Pipeline:
    """Answers requests for the providers of a backend."""

    def __init__(self, backend: Backend, outbox: Outbox, request_log: RequestLog, patience: Patience) -> None:
        """Prepare everything that does not depend on a request."""
        self._patience = patience
        self._backend, self._outbox, self._log = backend, outbox, request_log
        self._desks = {name: prepare(contract, backend) for name, contract in backend.contracts.items()}
        self._hosts = {host: desk for desk in self._desks.values() for host in desk.contract.hosts}
        self._only = next(iter(self._desks.values())) if len(self._desks) == 1 else None
        self._origins: Origins = {}
        self._incoming_bytes = 0

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = stopwatch()
        headers = Headers(scope["headers"])
        visit = self._address(scope, headers)
        if isinstance(visit, Nowhere):
            await self._own_voice(scope, send, headers, visit, started)
            return
        raw = headers.raw
        # Our own server hands over a body that is there, and takes an answer that is whole.  Taken out of the scope,
        # which belongs to the request that it leads back to: a knot would live until the collector comes.
        extensions = scope.pop("extensions", None)
        body, answer_whole = extensions.get(WHOLE, _NOT_WHOLE) if extensions else _NOT_WHOLE
        cut = extensions.get(CUT) if extensions else None
        if body is not None:
            visit.is_whole = len(body) <= self._backend.settings.max_body_bytes
            visit.body = body if visit.is_whole else b""
        elif b"content-length" in raw or b"transfer-encoding" in raw:
            await self._read(visit, receive, raw)
            # It happens when it is whole: the clock may have been moved, and others served, while it came in.
            visit.now = visit.tenant.clock.now()
        try:
            answer = self._answer(visit)
            if self._backend.store.is_dirty:
                # What we say happened must survive us.
                await self._backend.store.committed()
        except Exception as error:  # the provider's 500, whatever it was; the journal and the log keep why
            log.exception("request %s failed", visit.request_id)
            answer = self._failed(visit, error)
        headers_out, out = answer.headers, answer.body
        lot = visit.lot
        if lot is not None and lot.news_s is not None and visit.task is not None:
            news = self._outbox.first_news(visit.tenant, visit.task, lot.news_s)
            await until_gone(news, receive, self._patience)
        headers_out.append((b"content-length", b"%d" % len(out)))
        if not visit.is_whole or visit.body_fault:
            # The rest of the body is still on its way; it must not be read as the next request.
            headers_out.append((b"connection", b"close"))
        sent = out if visit.method != "HEAD" else b""
        if lot is not None and lot.wire is not PLAIN:
            # Written down first: who looks after a connection that ended finds it there.
            self._record(visit, answer, started)
            wire, is_head = lot.wire, visit.method == "HEAD"
            # The answer may be an hour under way; what was asked is not needed any more, and may be large.
            del visit, lot, body
            await play(answer, wire, receive, send, cut, self._patience, is_head=is_head)
            return
        if answer_whole is None or not visit.is_whole or not answer_whole(answer.status, headers_out, sent):
            await send({"type": "http.response.start", "status": answer.status, "headers": headers_out})
            await send({"type": "http.response.body", "body": sent})
        self._record(visit, answer, started)

    # --- address ------------------------------------------------------------------------------------------

    def _address(self, scope: AsgiScope, headers: Headers) -> Visit | Nowhere:
        """Find the tenant, by the path or by a header, then the provider."""
        path: str = scope["raw_path"].decode("latin-1")
        prefix, name = "", DEFAULT_TENANT
        if path.startswith("/t/"):
            name, _, rest = path[3:].partition("/")
            path, prefix = "/" + rest, f"/t/{name}"
        elif b"x-mock-tenant" in headers.raw:
            name = headers["x-mock-tenant"]
        try:
            tenant = self._backend.tenant(name)
        except (NoTenantError, TooManyTenantsError) as error:
            return self._without_tenant(scope, headers, path, prefix, error)
        return self._at(scope, headers, tenant, path, prefix)

    def _without_tenant(
        self, scope: AsgiScope, headers: Headers, path: str, prefix: str, error: Exception
    ) -> Visit | Nowhere:
        """Refuse for a tenant there cannot be: as the provider where one is meant, else in our own voice."""
        tenant = self._backend.tenant(DEFAULT_TENANT)
        visit = self._at(scope, headers, tenant, path, prefix)
        if isinstance(visit, Visit):
            kind: Any = "unavailable" if isinstance(error, TooManyTenantsError) else "no-route"
            visit.fault = protocol_violation(visit.desk.contract, kind, found=str(error))
            return visit
        if isinstance(error, TooManyTenantsError):
            return Nowhere(429, "Too many tenants", str(error), tenant)
        return Nowhere(400, "No such tenant", str(error), tenant)

    def _at(
        self, scope: AsgiScope, headers: Headers, tenant: Tenant, path: str, prefix: str
    ) -> Visit | Nowhere:
        """Find the provider: by the path below the tenant, by the Host, or because only one can be meant."""
        slash = path.find("/", 1)
        first = path[1:slash] if slash > 0 else path[1:]
        desk = self._desks.get(first)
        if desk is not None:
            below = path[slash:] if slash > 0 else "/"
            return Visit(scope, headers, desk, tenant, below, prefix, f"{prefix}/{first}", self._origins)
        host = headers.raw.get(b"host", b"").partition(b":")[0].lower().decode("latin-1")
        desk = self._hosts.get(host) or self._only or self._unambiguous(path)
        if desk is not None:
            return Visit(scope, headers, desk, tenant, path, prefix, prefix, self._origins)
        known = ", ".join(f"/{name}" for name in self._desks)
        detail = f"no provider has the path {path[:200]}, or more than one; put one of {known} before it"
        return Nowhere(404, "No provider", detail, tenant)

    def _unambiguous(self, path: str) -> Desk | None:
        """Return the one provider that has this path, in whatever method."""
        found = []
        for desk in self._desks.values():
            target = find_operation(desk.contract, "GET", path)
            if not isinstance(target, Violation) or target.kind == "method-not-allowed":
                found.append(desk)
        return found[0] if len(found) == 1 else None

    async def _read(self, visit: Visit, receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        """Take the body; of one beyond the limit nothing is kept, and one that does not come to its end is none.

        A little more than the limit is read all the same: a client that is still sending would lose our answer
        with the connection.
        """
        most = self._backend.settings.max_body_bytes
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > 2 * most:
            visit.is_whole = False
            return
        parts: list[bytes] = []
        size = held = 0
        is_more = True
        try:
            while is_more and size <= 2 * most:
                message = await receive()
                if message["type"] != "http.request" or LATE in visit.asgi:
                    # Half a body may well be JSON; it is not what was to be asked.
                    visit.body_fault = "the rest of the body did not come"
                    return
                part, is_more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                if size > most:
                    parts.clear()
                    continue
                parts.append(part)
                held += len(part)
                self._incoming_bytes += len(part)
                if is_more and held > LARGE_BODY and self._incoming_bytes > MOST_INCOMING * most:
                    visit.is_whole = False
                    found = f"bodies of {self._incoming_bytes:,} bytes are on their way"
                    visit.fault = protocol_violation(visit.desk.contract, "unavailable", found=found)
                    return
            visit.is_whole = size <= most
            visit.body = b"".join(parts) if visit.is_whole else b""
        finally:
            self._incoming_bytes -= held

    # --- answer -------------------------------------------------------------------------------------------

    def _answer(self, visit: Visit) -> Answer:
        """Judge and act; everything here happens at one instant of the tenant's clock."""
        contract = visit.desk.contract
        examination = visit.examination = Examination(_NO_REPORT)
        if visit.fault is not None:
            return self._refuse(visit, [visit.fault])
        found = find_operation(contract, "GET" if visit.method == "HEAD" else visit.method, visit.path)
        if isinstance(found, Violation):
            if visit.desk.counts_requests or visit.tenant.quotas:
                self._count_stray(visit)
            answer = self._refuse(visit, [found])
            if b"prefer" in visit.headers.raw:
                answer.headers.append((b"x-mock-note", _STRAY))
            return answer
        operation, examination.path = found
        examination.operation = operation
        call = visit.desk.calls[operation.id]
        findings: list[Violation] = []
        if not call.credentials:
            visit.account = visit.desk.anybody
        elif (refused := self._authorise(visit, call)) is not None:
            findings.append(refused)
        if not visit.is_whole:
            most = f"at most {self._backend.settings.max_body_bytes:,} bytes"
            findings.append(protocol_violation(contract, "too-large", allowed=most, operation=operation.id))
            return self._refuse(visit, findings)
        is_counted = visit.desk.counts_requests or visit.account in visit.tenant.quotas
        exceeded = self._count(visit, operation) if is_counted and not findings else None
        is_asked = b"prefer" in visit.headers.raw or TOKEN in visit.body or not visit.tenant.plan.is_idle
        if is_asked:
            return self._by_lot(visit, call, findings, exceeded)
        return self._judge_and_act(visit, call, findings, exceeded)

    def _judge_and_act(
        self, visit: Visit, call: Call, findings: list[Violation], exceeded: Violation | None
    ) -> Answer:
        contract, operation, examination = visit.desk.contract, call.operation, visit.examination
        judge(contract, operation, visit, examination, findings, [])
        violations = examination.report.violations
        if violations and examination.report.verdict == "refused":
            return self._refuse(visit, list(violations))
        if exceeded is not None:
            return self._refuse(visit, [*violations, exceeded])
        return self._act(visit, call)

    # --- scenarios ----------------------------------------------------------------------------------------

    def _by_lot(
        self, visit: Visit, call: Call, findings: list[Violation], exceeded: Violation | None
    ) -> Answer:
        """Answer a request that may have to meet scenarios, and say in headers which it met."""
        lot = visit.lot = Lot()
        applied: list[str] = []
        preferred = _preferences(visit)
        answer = None
        if not findings:
            asked = next((one for one in preferred if one.name == "code"), None)
            code = asked.value if asked is not None else ""
            if asked is not None and code in visit.desk.refusals:
                if asked.parameters:
                    others = ", ".join(asked.parameters)
                    lot.notes.append(
                        f"code takes no parameters, and there are {others} (a comma begins the next)"
                    )
                answer = self._refuse_as_asked(visit, call.operation, code, applied)
                for wish in wishes_of_header(preferred, lot.notes):
                    lot.leave_out(wish.scenario.name, f"code={code} came first")
            else:
                self._draw(visit, call.operation, preferred, lot)
                answer = self._before(visit, call.operation, lot)
        if answer is None:
            answer = self._judge_and_act(visit, call, findings, exceeded)
            answer = self._afterwards(visit, call.operation, lot, answer)
        for wish in lot.planned:
            if wish not in lot.met:
                visit.tenant.plan.give_back(wish)
        self._tell(answer, lot, applied, is_asked=bool(preferred))
        return answer

    def _draw(self, visit: Visit, operation: Operation, preferred: list[Preference], lot: Lot) -> None:
        """Find what the request is to meet: what itself asks for, or else what the plan has for it."""
        contract, plan = visit.desk.contract, visit.tenant.plan
        asked = wishes_of_header(preferred, lot.notes)
        if TOKEN in visit.body:
            asked += wishes_of_text(visit.body, lot.notes)
        # One that cannot be understood asks for itself as well, and leaves a note.
        is_own = bool(asked or lot.notes)
        where = f"{visit.account} {visit.method} {visit.path}"
        for wish in asked:
            why_not = scenarios.obstacle(wish.scenario, contract, operation)
            if not why_not and not plan.is_due(wish, where):
                why_not = "after and times leave this one out"
            if why_not:
                lot.leave_out(wish.scenario.name, why_not)
            else:
                lot.take(wish)
        if is_own or plan.is_idle:
            return
        body = lazy_body(visit.body)
        for wish in plan.planned(contract, operation, visit.account, body):
            lot.planned.append(wish)
            lot.take(wish)

    def _before(self, visit: Visit, operation: Operation, lot: Lot) -> Answer | None:
        """Return the answer of a scenario that leaves the request undone, None where there is none."""
        contract, plan = visit.desk.contract, visit.tenant.plan
        revoked = plan.refused(visit.account)
        if revoked is not None:
            lot.met.append(revoked)
            lot.wishes.clear()
            return self._refuse_for(visit, operation, revoked)
        transport = lot.wishes.get("transport")
        if transport is not None and transport.scenario.is_before and not transport.values.get("accepted"):
            found = f"scenario {transport.scenario.name}"
            undone = protocol_violation(contract, "unavailable", found=found, operation=operation.id)
            visit.examination.report = replace(
                _NO_REPORT, provider=contract.id, operation=operation.id, violations=(undone,)
            )
            lot.wishes = {"transport": transport}
            return self._distort(visit, lot, Answer(0, _own_headers(visit), b""))
        refusal = lot.wishes.get("refusal")
        if refusal is None or refusal.scenario.ends_key or refusal.values.get("accepted"):
            return None
        lot.met.append(refusal)
        answer = self._refuse_for(visit, operation, refusal)
        for group in ("outcome", "callbacks", "results"):
            lot.wishes.pop(group, None)
        return self._distort(visit, lot, answer)

    def _afterwards(self, visit: Visit, operation: Operation, lot: Lot, answer: Answer) -> Answer:
        """Do to the answer of a request that was handled what its scenarios say."""
        refusal = lot.wishes.get("refusal")
        if visit.examination.report.verdict == "refused":
            for wish in lot.wishes.values():
                scenario = wish.scenario
                if scenario.name not in lot.left_out and scenario.group != "transport":
                    lot.leave_out(scenario.name, "the request is refused anyway")
            return self._distort(visit, lot, answer)
        if refusal is not None:
            lot.met.append(refusal)
            if refusal.scenario.ends_key:
                visit.tenant.plan.revoke(visit.account, int(refusal.values["reads"]), refusal.scenario)
            else:
                answer = self._refuse_for(visit, operation, refusal)
        lot.met += [one for one in lot.wishes.values() if one.scenario.is_plain and one not in lot.met]
        return self._distort(visit, lot, answer)

    def _distort(self, visit: Visit, lot: Lot, answer: Answer) -> Answer:
        """Change an answer, and how it travels."""
        count = iter(range(1_000))
        for wish in lot.wishes.values():
            scenario, values = wish.scenario, wish.values
            if scenario.group == "transport":
                lot.met.append(wish)
            if wish not in lot.met or scenario.group == "results":
                continue
            if scenario.answer is not None:
                scenario.answer(answer, values)
            if scenario.wire is not None:
                wire = scenario.wire(values, lambda: uniform(visit.request_id, next(count)))
                lot.wire = lot.wire.then(wire)
        return answer

    @staticmethod
    def _tell(answer: Answer, lot: Lot, applied: list[str], *, is_asked: bool) -> None:
        """Say in headers what was met, what was not, and what of Prefer was applied."""
        applied += [f"scenario={one.scenario.name}" for one in lot.met if one.origin == "header"]
        if lot.met:
            met = ", ".join(one.text() for one in lot.met)
            answer.header(b"x-mock-scenario", _header_bytes(met))
        if applied:
            answer.headers.append((b"preference-applied", ", ".join(applied).encode()))
        elif is_asked and not lot.notes:
            # It may be meant for others; a typing mistake must not go unseen all the same.
            lot.notes.append("nothing of Prefer was applied")
        if lot.notes:
            notes = "; ".join(lot.notes)
            answer.headers.append((b"x-mock-note", _header_bytes(notes[:LONGEST_NOTE])))

    def _refuse_as_asked(self, visit: Visit, operation: Operation, code: str, applied: list[str]) -> Answer:
        kind, reason = visit.desk.refusals[code]
        asked: Any = kind
        found = f"Prefer: code={code}"
        wanted = protocol_violation(visit.desk.contract, asked, reason, found=found, operation=operation.id)
        is_token = all(char.isalnum() or char in "-._" for char in code)
        applied.append(f"code={code}" if is_token else f'code="{code}"')
        return self._refuse(visit, [wanted])

    def _refuse_for(self, visit: Visit, operation: Operation, wish: Wish) -> Answer:
        """Refuse in the provider's words, as a scenario wants it."""
        found = scenario_violation(visit.desk.contract, operation, wish, visit, visit.examination.path)
        return self._refuse(visit, [found])

    def _authorise(self, visit: Visit, call: Call) -> Violation | None:
        """Say who asks; a credential is read once, its dates are judged each time."""
        desk, raw = visit.desk, visit.headers.raw
        key = (b"", b"")
        for name in call.credentials:
            value = raw.get(name)
            if value:
                if len(value) > LONGEST_REMEMBERED:
                    value = hashlib.sha256(value).digest()
                key = (name, value)
                break
        known = desk.principals.get(key)
        if known is None:
            found = authorise(call.operation.credentials, visit.headers, keys=desk.keys)
            account = f"{desk.contract.id}:{found.account}" if isinstance(found, Principal) else ""
            if len(desk.principals) >= TOKENS:
                desk.principals.clear()
            known = desk.principals[key] = (found, account)
        principal, account = known
        if isinstance(principal, Principal):
            visit.examination.principal, visit.account = principal, account
            if principal.expires is None and principal.not_before is None:
                return None
            refused = self._judge_dates(visit, principal, key[1])
            if refused is None:
                return None
        else:
            refused = principal
        return credential_violation(desk.contract, refused, operation=call.operation.id)

    def _judge_dates(self, visit: Visit, principal: Principal, token: bytes) -> Refused | None:
        """Judge a token's dates, which were written by the client's clock, on a clock that may be elsewhere.

        When it is first seen either clock may find it valid: a client that knows nothing of a moved clock
        makes tokens by the real one.  From then on what was left of its life runs out on the tenant's clock, so
        that moving that clock forward expires it.  Where the settings say so only the real one counts: on a fast
        clock a token of half an hour would not live through a minute of its client's.
        """
        if self._backend.settings.dates == "machine":
            return judge_dates(principal, self._backend.wall() / 1000)
        tokens, now = visit.tenant.tokens, visit.now / 1000
        end = tokens.get(token)
        if end is not None:
            return Refused(reason="expired") if end + principal.leeway <= now else None
        expires = principal.expires
        refused = judge_dates(principal, now)
        if refused is not None:
            real = self._backend.wall() / 1000
            refused = judge_dates(principal, real)
            if refused is not None:
                return refused
            expires = None if expires is None else now + expires - real
        if len(tokens) >= TOKENS:
            tokens.clear()
        tokens[token] = float("inf") if expires is None else expires
        return None

    def _count_stray(self, visit: Visit) -> None:
        """Count a request that leads nowhere: its answer, too, tells a known key how much is left."""
        call = next(iter(visit.desk.calls.values()))
        if call.credentials and self._authorise(visit, call) is None:
            self._count(visit, call.operation)

    def _count(self, visit: Visit, operation: Operation | None) -> Violation | None:
        """Count the request against its account's windows."""
        contract = visit.desk.contract
        windows = visit.tenant.windows.setdefault(contract.id, limits.Windows())
        quotas = self._backend.quotas_of(visit.tenant, visit.account).requests
        if not quotas:
            return None
        exceeded, visit.limit = windows.count(visit.account, quotas, visit.now)
        if exceeded is None:
            return None
        return protocol_violation(
            contract,
            "rate-limited",
            found=f"request {int(exceeded.quota) + 1} in the window",
            allowed=f"{exceeded.quota:g}",
            operation=operation.id if operation is not None else "",
        )

    def _act(self, visit: Visit, call: Call) -> Answer:
        backend, contract, examination = self._backend, visit.desk.contract, visit.examination
        operation = call.operation
        scope = self._scope(visit)
        made: Task | Violation
        if operation.role == "create":
            made = actions.create(backend, self._outbox, contract, operation, examination, visit, scope)
        elif operation.role == "read":
            assert call.reading is not None
            value = self._read_value(visit, call.reading)
            made = actions.read(backend, self._outbox, contract, operation, call.reading, value, visit)
        elif operation.role == "list":
            listed = actions.list_tasks(backend, contract, operation, examination.parameters, visit)
            if isinstance(listed, Violation):
                return self._refuse(visit, [*examination.report.violations, listed])
            creators = contract.operations
            scope.tasks = [
                scenarios.view(task, creators[task.operation], visit.now, "poll") for task in listed
            ]
            return self._render(visit, call, scope, None)
        else:
            scope.account = self._account(visit)
            return self._render(visit, call, scope, None)
        if isinstance(made, Violation):
            return self._refuse(visit, [*examination.report.violations, made])
        visit.task = made
        if visit.lot is None and not made.scenarios:
            scope.task = usual = TaskView(made, contract.operations[made.operation], visit.now)
            return self._render(visit, call, scope, usual.phase)
        state = None
        if visit.lot is not None:
            made = self._shown(made, visit.lot, is_new=operation.role == "create")
        if made.scenarios and operation.role == "create":
            # Whatever happened in the same instant, a new task is told as a new one.
            state = made.timeline[0][1]
        maker = contract.operations[made.operation]
        scope.task = view = scenarios.view(made, maker, visit.now, "poll", state=state)
        answer = self._render(visit, call, scope, view.phase)
        if made.scenarios:
            met = scenarios.described(made.scenarios.items())
            answer.headers.append((b"x-mock-scenario", _header_bytes(met)))
        return answer

    @staticmethod
    def _shown(task: Task, lot: Lot, *, is_new: bool) -> Task:
        """Return the task with what this one read of it was asked to meet; the task that is kept stays as it is."""
        asked = lot.task_scenarios() if not is_new else {}
        if not asked:
            return task
        lot.met += [one for one in lot.wishes.values() if one.scenario.name in asked]
        return replace(task, scenarios={**task.scenarios, **asked})

    def _read_value(self, visit: Visit, reading: actions.Reading) -> str:
        if reading.place == "path":
            return visit.examination.path[reading.parameter]
        source: Mapping[str, str] = visit.query if reading.place == "query" else visit.headers
        return source.get(reading.parameter, "")

    def _account(self, visit: Visit) -> limits.AccountView:
        """Return what the account has; what ended since is taken first."""
        backend, tenant = self._backend, visit.tenant
        account = backend.store.account(tenant.name, visit.account, visit.now)
        backend.wallets.settle_all(tenant.name, visit.account, account, visit.now)
        credits = backend.quotas_of(tenant, visit.account).credits
        return limits.account_view(visit.account, account, credits, visit.desk.money)

    @staticmethod
    def _scope(visit: Visit) -> Scope:
        scope = Scope(visit, visit.examination.body, visit.examination.path)
        scope.limit, scope.mock = visit.limit, visit
        return scope

    # --- rendering ----------------------------------------------------------------------------------------

    def _render(self, visit: Visit, call: Call, scope: Scope, state: str | None) -> Answer:
        content = call.contents[0]
        if len(call.contents) > 1:
            chosen = choose_content(call.operation.response.contents, visit.headers.get("accept", ""))
            content = next(one for one in call.contents if one.template is chosen)
        headers = [*content.start[state], (b"x-mock-request-id", visit.request_id.encode())]
        for name, values, fits in call.headers:
            value = values[state](scope)
            if value is not MISSING and fits(value):
                headers.append((name, _header_bytes(value)))
        violations = visit.examination.report.violations
        if violations:
            headers.append((b"x-mock-violations", ", ".join(one.rule for one in violations).encode()))
        if visit.note:
            headers.append((b"x-mock-replay", _header_bytes(visit.note)))
        return Answer(call.status, headers, orjson.dumps(content.bodies[state](scope)))

    def _refuse(self, visit: Visit, violations: list[Violation]) -> Answer:
        examination, contract = visit.examination, visit.desk.contract
        operation = examination.operation
        examination.report = replace(
            examination.report,
            provider=contract.id,
            operation=operation.id if operation else None,
            violations=tuple(violations),
        )
        if visit.limit is None and visit.account and any(one.kind == "rate-limited" for one in violations):
            # Nobody counted, because nobody is refused for it; one that was asked for may say how long to wait.
            self._count(visit, operation)
        scope = self._scope(visit)
        refusal = refuse(contract, violations, scope, operation=operation.id if operation else "")
        answer = render(refusal, scope, accept=visit.headers.get("accept", ""))
        evidence = weakest((answer.evidence, refusal.decisive.evidence))
        headers = first_headers(answer.media_type, evidence)
        headers.append((b"x-mock-request-id", visit.request_id.encode()))
        headers += [(name.lower().encode("latin-1"), _header_bytes(value)) for name, value in answer.headers]
        if answer.status == 405 and refusal.decisive.allowed:
            # Source: RFC 9110, 15.5.6: a 405 comes with what the path does take; HEAD is taken with GET.
            allowed = refusal.decisive.allowed.replace("GET", "GET, HEAD")
            headers.append((b"allow", _header_bytes(allowed)))
        rules = ", ".join(dict.fromkeys(one.rule for one in violations))
        headers.append((b"x-mock-violations", rules.encode()))
        return Answer(answer.status, headers, orjson.dumps(answer.body))

    def _failed(self, visit: Visit, error: Exception) -> Answer:
        """Return the provider's 500, or a bare one where that cannot be rendered either."""
        found = protocol_violation(visit.desk.contract, "internal", found=type(error).__name__)
        try:
            return self._refuse(visit, [found])
        except Exception:
            log.exception("the answer to the failed request %s failed as well", visit.request_id)
            return Answer(500, first_headers("application/json", "assumed"), b"{}")

    # --- record -------------------------------------------------------------------------------------------

    async def _own_voice(
        self, scope: AsgiScope, send: Send, headers: Headers, nowhere: Nowhere, started: float
    ) -> None:
        request_id = nowhere.tenant.dice.request_id()
        extensions = scope.pop("extensions", None)
        asked, _ = extensions.get(WHOLE, _NOT_WHOLE) if extensions else _NOT_WHOLE
        body = orjson.dumps(
            {
                "type": "about:blank",
                "title": nowhere.title,
                "status": nowhere.status,
                "detail": nowhere.detail,
            }
        )
        pairs = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        if b"content-length" in headers.raw or b"transfer-encoding" in headers.raw:
            # The body was not read; it must not be taken for the next request.
            pairs.append((b"connection", b"close"))
        pairs.append((b"x-mock-request-id", request_id.encode()))
        await send({"type": "http.response.start", "status": nowhere.status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        took_us = int((stopwatch() - started) * 1e6)
        self._record_stray(scope, nowhere, request_id, asked or b"", pairs, body, took_us)
        self._log.line(
            method=scope["method"],
            target=scope["raw_path"].decode("latin-1"),
            status=nowhere.status,
            took_us=took_us,
            note=nowhere.title,
        )

    @staticmethod
    def _record_stray(
        scope: AsgiScope,
        nowhere: Nowhere,
        request_id: str,
        asked: bytes,
        headers: HeaderList,
        answer: bytes,
        took_us: int,
    ) -> None:
        """Keep a request that is for no provider; a body that was not at hand was not read."""
        finding = Violation(
            rule=f"understudy.{RESERVED_AREA}.no-route",
            kind="no-route",
            effect="reject",
            evidence="documented",
            source="",
            message=nowhere.detail,
            found=nowhere.title,
        )
        tenant, path, query = nowhere.tenant, scope["raw_path"], scope["query_string"]
        asked = kept_body(asked)
        size = OVERHEAD + len(asked) + len(answer) + len(path) + len(query)
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        tenant.journal.add(
            (
                *(request_id, tenant.clock.now(), scope["method"], path, query, "", None, ""),
                *(scope["headers"], asked, nowhere.status, headers, answer),
                *(Report(provider="", violations=(finding,)), None, took_us, size),
            )
        )

    def _record(self, visit: Visit, answer: Answer, started: float) -> None:
        took_us = int((stopwatch() - started) * 1e6)
        asgi, report, task = visit.asgi, visit.examination.report, visit.task
        body, out = visit.body, answer.body
        if len(body) > LARGE_BODY:
            body = kept_body(body)
        if len(out) > LARGE_BODY:
            out = kept_body(out)
        raw, pairs = visit.headers.raw, asgi["headers"]
        path: bytes = asgi["raw_path"]
        query: bytes = asgi["query_string"]
        # Counted twice, because an answer may say again what a header said.
        size = sum(map(len, raw)) + sum(map(len, raw.values())) if len(raw) == len(pairs) else _size(pairs)
        size = (
            OVERHEAD + len(body) + len(out) + len(path) + len(query) + 2 * size + HEADER_OVERHEAD * len(pairs)
        )
        visit.tenant.journal.add(
            (
                visit.request_id,
                visit.now,
                visit.method,
                path,
                query,
                report.provider,
                report.operation,
                visit.account,
                pairs,
                body,
                answer.status,
                answer.headers,
                out,
                kept_report(report),
                task.id if task is not None else None,
                took_us,
                size,
            )
        )
        if self._log.is_on:
            self._log.line(
                method=visit.method,
                target=visit.target,
                status=answer.status,
                took_us=took_us,
                tenant=visit.tenant.name,
                operation=report.operation or "",
                task=task.id if task is not None else "",
                rules=tuple(one.rule for one in report.violations),
                note=_note(visit),
            )


def _note(visit: Visit) -> str:
    """Say what was noted, and which scenarios a request met: who reads a line is to know what was asked for."""
    lot = visit.lot
    if lot is None or not lot.met:
        return visit.note
    met = "met " + ", ".join(one.scenario.name for one in lot.met)
    return f"{visit.note}; {met}" if visit.note else met


def _size(pairs: HeaderList) -> int:
    return sum(len(name) + len(value) for name, value in pairs)


def _preferences(visit: Visit) -> list[Preference]:
    """Return all that the request prefers; several lines count as one (RFC 9110, 5.3)."""
    return preferences(value.decode("latin-1") for name, value in visit.asgi["headers"] if name == b"prefer")


def _own_headers(visit: Visit) -> HeaderList:
    return [(b"x-mock-request-id", visit.request_id.encode())]


_NO_REPORT: Final = Report(provider="")
_STRAY: Final = b"nothing of Prefer was applied: the request reaches no operation"


def _header_bytes(value: Json) -> bytes:
    return header_text(to_text(value)).encode()
