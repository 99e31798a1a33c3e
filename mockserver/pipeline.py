"""One request, from top to bottom: address, route, authorise, limit, parse, check, act, render, record.

Inside a provider's paths every answer is that provider's; what only we know travels in headers.  What can be
worked out when the server starts is worked out then: a request looks things up.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from mockserver import actions, limits
from mockserver.callbacks import Outbox
from mockserver.clock import stopwatch
from mockserver.desks import Desk, HeaderList, Plan, first_headers, prepare
from mockserver.journal import LARGE_BODY, OVERHEAD, kept_body
from mockserver.log import RequestLog
from mockserver.tasks import Task, TaskView
from mockserver.tenants import (
    DEFAULT_TENANT,
    Backend,
    NoTenantError,
    Tenant,
    TooManyTenantsError,
)
from mockserver.visits import (
    TOKENS,
    WHOLE,
    Answer,
    AnswerWhole,
    AsgiScope,
    Headers,
    Nowhere,
    Origins,
    Receive,
    Send,
    Visit,
)
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
_CODE: Final = re.compile(r'(?:^|[,;])\s*code\s*=\s*(?:"([^"]*)"|([^\s",;]+))', re.IGNORECASE)

log: Final = logging.getLogger("understudy")


class Pipeline:
    """Answers requests for the providers of a backend."""

    def __init__(self, backend: Backend, outbox: Outbox, request_log: RequestLog) -> None:
        """Prepare everything that does not depend on a request."""
        self._backend, self._outbox, self._log = backend, outbox, request_log
        self._desks = {name: prepare(contract, backend) for name, contract in backend.contracts.items()}
        self._hosts = {host: desk for desk in self._desks.values() for host in desk.contract.hosts}
        self._only = next(iter(self._desks.values())) if len(self._desks) == 1 else None
        self._origins: Origins = {}

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
        if body is not None:
            visit.is_whole = len(body) <= self._backend.settings.max_body_bytes
            visit.body = body if visit.is_whole else b""
        elif b"content-length" in raw or b"transfer-encoding" in raw:
            visit.body, visit.is_whole = await self._body(receive, raw)
        try:
            answer = self._answer(visit)
            if self._backend.store.is_dirty:
                # What we say happened must survive us.
                await self._backend.store.committed()
        except Exception as error:  # the provider's 500, whatever it was; the journal and the log keep why
            log.exception("request %s failed", visit.request_id)
            answer = self._failed(visit, error)
        headers_out, out = answer.headers, answer.body
        if b"prefer" in raw and not any(name == b"preference-applied" for name, _ in headers_out):
            # It may be meant for others; a typing mistake must not go unseen all the same.
            headers_out.append((b"x-mock-note", b"nothing of Prefer was applied"))
        headers_out.append((b"content-length", b"%d" % len(out)))
        if not visit.is_whole:
            # The rest of the body is still on its way; it must not be read as the next request.
            headers_out.append((b"connection", b"close"))
        sent = out if visit.method != "HEAD" else b""
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

    async def _body(self, receive: Receive, headers: Mapping[bytes, bytes]) -> tuple[bytes, bool]:
        """Return (body, whether it is whole); of one beyond the limit nothing is kept.

        A little more than the limit is read all the same: a client that is still sending would lose our answer
        with the connection.
        """
        most = self._backend.settings.max_body_bytes
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > 2 * most:
            return b"", False
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return (body, True) if len(body) <= most else (b"", False)
        parts, size = [body], len(body)
        while message.get("more_body", False) and size <= 2 * most:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= most:
                parts.append(part)
            else:
                parts.clear()
        return (b"".join(parts), True) if size <= most else (b"", False)

    # --- answer -------------------------------------------------------------------------------------------

    def _answer(self, visit: Visit) -> Answer:
        """Judge and act; everything here happens at one instant of the tenant's clock."""
        contract = visit.desk.contract
        examination = visit.examination = Examination(_NO_REPORT)
        if visit.fault is not None:
            return self._refuse(visit, [visit.fault])
        found = find_operation(contract, "GET" if visit.method == "HEAD" else visit.method, visit.path)
        if isinstance(found, Violation):
            if visit.desk.counts_requests:
                self._count_stray(visit)
            return self._refuse(visit, [found])
        operation, examination.path = found
        examination.operation = operation
        plan = visit.desk.plans[operation.id]
        findings: list[Violation] = []
        if plan.credentials and (refused := self._authorise(visit, plan)) is not None:
            findings.append(refused)
        if not visit.is_whole:
            most = f"at most {self._backend.settings.max_body_bytes:,} bytes"
            findings.append(protocol_violation(contract, "too-large", allowed=most, operation=operation.id))
            return self._refuse(visit, findings)
        exceeded = self._count(visit, operation) if visit.desk.counts_requests and not findings else None
        if b"prefer" in visit.headers.raw and not findings and (code := self._code(visit)):
            return self._refuse_as_asked(visit, operation, code)
        judge(contract, operation, visit, examination, findings, [])
        violations = examination.report.violations
        if violations and examination.report.verdict == "refused":
            return self._refuse(visit, list(violations))
        if exceeded is not None:
            return self._refuse(visit, [*violations, exceeded])
        return self._act(visit, plan)

    @staticmethod
    def _code(visit: Visit) -> str:
        """Return the refusal that `Prefer: code=...` asks for (RFC 7240), "" where there is none of that name."""
        match = _CODE.search(_preferences(visit))
        code = (match[1] or match[2]) if match is not None else ""
        return code if code in visit.desk.refusals else ""

    def _refuse_as_asked(self, visit: Visit, operation: Operation, code: str) -> Answer:
        kind, reason = visit.desk.refusals[code]
        asked: Any = kind
        found = f"Prefer: code={code}"
        wanted = protocol_violation(visit.desk.contract, asked, reason, found=found, operation=operation.id)
        answer = self._refuse(visit, [wanted])
        applied = code if _CODE.fullmatch(f"code={code}") else f'"{code}"'
        answer.headers.append((b"preference-applied", f"code={applied}".encode()))
        return answer

    def _authorise(self, visit: Visit, plan: Plan) -> Violation | None:
        """Say who asks; a credential is read once, its dates are judged each time."""
        desk, raw = visit.desk, visit.headers.raw
        key = (b"", b"")
        for name in plan.credentials:
            value = raw.get(name)
            if value:
                key = (name, value)
                break
        known = desk.principals.get(key)
        if known is None:
            found = authorise(plan.operation.credentials, visit.headers, keys=desk.keys)
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
        return credential_violation(desk.contract, refused, operation=plan.operation.id)

    def _judge_dates(self, visit: Visit, principal: Principal, token: bytes) -> Refused | None:
        """Judge a token's dates, which were written by the client's clock, on a clock that may be elsewhere.

        When it is first seen either clock may find it valid: a client that knows nothing of a moved clock
        makes tokens by the real one.  From then on what was left of its life runs out on the tenant's clock, so
        that moving that clock forward expires it.
        """
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
        plan = next(iter(visit.desk.plans.values()))
        if plan.credentials and self._authorise(visit, plan) is None:
            self._count(visit, plan.operation)

    def _count(self, visit: Visit, operation: Operation) -> Violation | None:
        """Count the request against its account's windows."""
        contract = visit.desk.contract
        windows = visit.tenant.windows.setdefault(contract.id, limits.Windows())
        quotas = self._backend.quotas[contract.id].requests
        exceeded, visit.limit = windows.count(visit.account, quotas, visit.now)
        if exceeded is None:
            return None
        return protocol_violation(
            contract,
            "rate-limited",
            found=f"request {int(exceeded.quota) + 1} in the window",
            allowed=f"{exceeded.quota:g}",
            operation=operation.id,
        )

    def _act(self, visit: Visit, plan: Plan) -> Answer:
        backend, contract, examination = self._backend, visit.desk.contract, visit.examination
        operation = plan.operation
        scope = self._scope(visit)
        made: Task | Violation
        if operation.role == "create":
            made = actions.create(backend, self._outbox, contract, operation, examination, visit, scope)
        elif operation.role == "read":
            assert plan.reading is not None
            value = self._read_value(visit, plan.reading)
            made = actions.read(backend, self._outbox, contract, operation, plan.reading, value, visit)
        elif operation.role == "list":
            listed = actions.list_tasks(backend, contract, operation, examination.parameters, visit)
            if isinstance(listed, Violation):
                return self._refuse(visit, [*examination.report.violations, listed])
            creators = contract.operations
            scope.tasks = [TaskView(task, creators[task.operation], visit.now) for task in listed]
            return self._render(visit, plan, scope, None)
        else:
            scope.account = self._account(visit)
            return self._render(visit, plan, scope, None)
        if isinstance(made, Violation):
            return self._refuse(visit, [*examination.report.violations, made])
        visit.task = made
        scope.task = view = TaskView(made, contract.operations[made.operation], visit.now)
        return self._render(visit, plan, scope, view.state)

    def _read_value(self, visit: Visit, reading: actions.Reading) -> str:
        if reading.place == "path":
            return visit.examination.path[reading.parameter]
        source: Mapping[str, str] = visit.query if reading.place == "query" else visit.headers
        return source.get(reading.parameter, "")

    def _account(self, visit: Visit) -> limits.AccountView:
        """Return what the account has; what ended since is taken first."""
        contract, tenant, store = visit.desk.contract, visit.tenant, self._backend.store
        account = store.account(tenant.name, visit.account, visit.now)
        limits.settle_all(store, tenant.name, visit.account, account, contract.operations, visit.now)
        return limits.account_view(visit.account, account, self._backend.quotas[contract.id].credits)

    @staticmethod
    def _scope(visit: Visit) -> Scope:
        scope = Scope(visit, visit.examination.body, visit.examination.path)
        scope.limit, scope.mock = visit.limit, visit
        return scope

    # --- rendering ----------------------------------------------------------------------------------------

    def _render(self, visit: Visit, plan: Plan, scope: Scope, state: str | None) -> Answer:
        content = plan.contents[0]
        if len(plan.contents) > 1:
            chosen = choose_content(plan.operation.response.contents, visit.headers.get("accept", ""))
            content = next(one for one in plan.contents if one.template is chosen)
        headers = [*content.start[state], (b"x-mock-request-id", visit.request_id.encode())]
        for name, values, fits in plan.headers:
            value = values[state](scope)
            if value is not MISSING and fits(value):
                headers.append((name, _header_bytes(value)))
        violations = visit.examination.report.violations
        if violations:
            headers.append((b"x-mock-violations", ", ".join(one.rule for one in violations).encode()))
        return Answer(plan.status, headers, orjson.dumps(content.bodies[state](scope)))

    def _refuse(self, visit: Visit, violations: list[Violation]) -> Answer:
        examination, contract = visit.examination, visit.desk.contract
        operation = examination.operation
        examination.report = replace(
            examination.report,
            provider=contract.id,
            operation=operation.id if operation else None,
            violations=tuple(violations),
        )
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
        raw = visit.headers.raw
        query: bytes = asgi["query_string"]
        size = OVERHEAD + len(body) + len(out) + len(query) + sum(map(len, raw)) + sum(map(len, raw.values()))
        visit.tenant.journal.add(
            (
                visit.request_id,
                visit.now,
                visit.method,
                asgi["raw_path"],
                query,
                report.provider,
                report.operation,
                visit.account,
                asgi["headers"],
                body,
                answer.status,
                answer.headers,
                out,
                report,
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
            )


def _preferences(visit: Visit) -> str:
    """Return all that the request prefers; several lines count as one (RFC 9110, 5.3)."""
    values = [value for name, value in visit.asgi["headers"] if name == b"prefer"]
    return b", ".join(values).decode("latin-1")


_NO_REPORT: Final = Report(provider="")


def _header_bytes(value: Json) -> bytes:
    """Return a header's value; what cannot stand in one is left out (RFC 9110, 5.5)."""
    text = to_text(value)
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(char for char in text if " " <= char <= "~").encode("latin-1")
