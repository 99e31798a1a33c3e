"""Contracts and settings made into one ASGI application: providers, results, admin, callbacks.

Providers are answered by the pipeline itself, without a framework between: a route of one costs as much as
everything the pipeline does.  Starlette serves what is ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

import orjson

from mockserver import scenarios
from mockserver.artifacts import MEDIA_TYPE, Artifacts
from mockserver.callbacks import HttpSender, Outbox, Sender, decoded_secret
from mockserver.clock import Wall, stopwatch, wall_ms
from mockserver.events import Events
from mockserver.faults import CUT, Patience, play
from mockserver.journal import FILE, HEADER_OVERHEAD, OVERHEAD, left_out
from mockserver.log import RequestLog
from mockserver.pipeline import Pipeline
from mockserver.plans import read_entry
from mockserver.receivers import Policy
from mockserver.scenarios import ResultFault, ScenarioError
from mockserver.settings import SettingError, Settings
from mockserver.store import Store, open_store
from mockserver.tasks import Task, TaskView, output_id
from mockserver.tenants import DEFAULT_TENANT, TENANT_NAME, Backend, Tenant
from mockserver.visits import AsgiScope, Receive, Send, is_host
from mockserver.wallets import Costs, has_price
from mockserver.wire import Answer, HeaderList
from validator.contract import Contract, load, provider_names
from validator.contract.document import nearest
from validator.report import Report

ADMIN: Final = "/__admin"
MEDIA: Final = "/__media"


def load_contracts(settings: Settings) -> dict[str, Contract]:
    """Return the contracts of the providers that are to be served, by id.

    Raises SpecError for a spec that cannot be loaded, SettingError for a setting that names what is not there.
    """
    names = settings.providers or (() if settings.specs else provider_names())
    for name in names:
        if name not in provider_names():
            hint = nearest(name, provider_names()) or "known: " + ", ".join(provider_names())
            raise SettingError(f"no provider is called '{name}' ({hint})")
    contracts: dict[str, Contract] = {}
    for source in (*names, *settings.specs):
        wanted = load(source)
        effects = {rule: effect for rule, effect in settings.effects.items() if rule in wanted.settable}
        variants = settings.variants.get(wanted.id, ())
        contracts[wanted.id] = (
            load(source, variants=variants, effects=effects) if effects or variants else wanted
        )
    _check_names(settings, contracts)
    return contracts


def _check_names(settings: Settings, contracts: Mapping[str, Contract]) -> None:
    """Raise SettingError where a setting names a provider or rule that is not served."""
    rules = [rule for contract in contracts.values() for rule in contract.settable]
    for rule in settings.effects:
        if rule not in rules:
            raise SettingError(
                f"there is no rule '{rule}' ({nearest(rule, rules) or 'see understudy rules'})"
            )
    named = {
        "--variant": settings.variants,
        "--credential": settings.credentials,
        "--webhook-secret": settings.secrets,
        "--limit": {provider: None for provider, _ in settings.limits},
        "--budget": settings.budgets,
    }
    for option, providers in named.items():
        for provider in providers:
            if provider not in contracts:
                raise SettingError(f"{option} {provider}: not served here ({', '.join(contracts)} are)")
    for number, entry in enumerate(settings.plan, 1):
        try:
            read_entry(entry, contracts, id=f"plan-{number}", seed=lambda: 0)
        except ScenarioError as error:
            raise SettingError(f"--plan, entry {number}: {error}") from None
    for provider, secret in settings.secrets.items():
        _check_secret(contracts[provider], secret)
    for provider in settings.budgets:
        if not any(has_price(operation) for operation in contracts[provider].operations.values()):
            raise SettingError(f"--budget {provider}: its spec says of no task what it costs")


def _check_secret(contract: Contract, secret: str) -> None:
    """Raise SettingError for a secret that nothing is signed with, or that is not in the provider's form."""
    kinds = {
        callback.signature.secret
        for operation in contract.operations.values()
        for callback in operation.callbacks
        if callback.signature is not None
    }
    if not kinds:
        raise SettingError(f"--webhook-secret {contract.id}: this provider signs nothing")
    if "base64" in kinds and decoded_secret(secret) is None:
        raise SettingError(
            f"--webhook-secret {contract.id}: behind whsec_ there must be Base64,"
            " such as whsec_dW5kZXJzdHVkeS13ZWJob29r"
        )


class App:
    """The application.  One event loop, one store; a tenant is made by being named."""

    def __init__(
        self,
        settings: Settings,
        contracts: Mapping[str, Contract],
        *,
        store: Store | None = None,
        sender: Sender | None = None,
        wall: Wall = wall_ms,
        request_log: RequestLog | None = None,
    ) -> None:
        """Put the parts together; store, sender, time and log can be given for tests."""
        settings.check()
        self.settings = settings
        self.backend = Backend(
            contracts=contracts,
            settings=settings,
            store=store if store is not None else open_store(settings.sqlite_path),
            wall=wall,
        )
        self.outbox = Outbox(self.backend, sender or HttpSender(Policy.of(settings)))
        self.events = Events(self.backend, self.outbox)
        self.artifacts = Artifacts(max_bytes=settings.media_cache_bytes)
        self.log = request_log or RequestLog(settings.log)
        self.totals: Mapping[str, Costs] = {}
        self._patience = Patience()
        self._pipeline = Pipeline(self.backend, self.outbox, self.log, self._patience)
        self._admin: Any = None

    def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, or the life of the application (ASGI 3).

        No coroutine itself: one less for each request to pass through.
        """
        if scope["type"] == "http":
            path: str = scope["path"]
            if "/__" not in path and path != "/" and "raw_path" in scope:
                return self._pipeline(scope, receive, send)
        return self._other(scope, receive, send)

    async def _other(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if "raw_path" not in scope:
            scope["raw_path"] = path.encode()
        tenant, rest = _split_tenant(path)
        if rest.startswith(ADMIN) and rest[len(ADMIN) :][:1] in ("", "/"):
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) > 1 or (hosts and not is_host(hosts[0])):
                # Source: RFC 9112, 3.2.  Which of them a guard would read, and which a proxy, nobody knows.
                await _problem(
                    send, 400, "No clear Host", "a request has one Host header, a name or an address"
                )
                return
            if self._admin is None:
                # Imported when it is first asked for: the framework costs as much as half a start.
                from mockserver.admin import make_admin

                self._admin = make_admin(self.backend, self.outbox, self.events)
            await self._admin({**scope, "understudy.tenant": tenant}, receive, send)
        elif rest.startswith(MEDIA + "/"):
            await self._media(scope, receive, send, tenant, rest)
        elif path == "/":
            await _answer(send, 200, self._directory(scope))
        else:
            await self._pipeline(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def start(self) -> None:
        """Take up what the store remembers; needs the running loop."""
        self.backend.tenant(DEFAULT_TENANT)
        self.outbox.start()

    def let_go(self) -> None:
        """End what waits: answers that take their time, streams of events, pullers."""
        self._patience.let_go()
        self.events.close()
        self.outbox.let_go()

    async def stop(self) -> None:
        """Stop sending, sum up what the tasks cost, and let go of files and threads."""
        self.let_go()
        await self.outbox.stop()
        self.artifacts.close()
        self.totals = self.backend.wallets.totals(self.backend.times())
        self.backend.store.close()
        self.log.flush()

    def _directory(self, scope: AsgiScope) -> dict[str, Any]:
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if not host:
            # HTTP/1.0 need not name one.
            host = "{}:{}".format(*(scope.get("server") or ("127.0.0.1", self.settings.port)))
        origin = f"{scope.get('scheme', 'http')}://{host}"
        return {
            "name": "understudy",
            "providers": {
                name: f"{origin}/{name}{contract.base_path}"
                for name, contract in self.backend.contracts.items()
            },
            "admin": origin + ADMIN,
        }

    # --- results ------------------------------------------------------------------------------------------

    async def _media(
        self, scope: AsgiScope, receive: Receive, send: Send, tenant_name: str, path: str
    ) -> None:
        """Serve the file behind a result URL, and note in the journal that it was asked for."""
        known = self.backend.tenants.get(tenant_name)
        parts = path.removeprefix(MEDIA + "/").split("/")
        task = (
            self.backend.store.get(tenant_name, parts[0]) if known is not None and len(parts) == 2 else None
        )
        if known is None or task is None:
            await self._send_result(scope, receive, send, path, known, task)
            return
        started, now = stopwatch(), known.clock.now()
        told: list[Any] = []
        size_bytes = 0

        async def noting(message: Any) -> None:
            nonlocal size_bytes
            if message["type"] == "http.response.start":
                told.append(message)
            else:
                size_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._send_result(scope, receive, noting, path, known, task)
        finally:
            took_us = int((stopwatch() - started) * 1e6)
            if told:
                _note_fetch(known, scope, task, now, told[0], size_bytes, took_us)

    async def _send_result(
        self,
        scope: AsgiScope,
        receive: Receive,
        send: Send,
        path: str,
        known: Tenant | None,
        task: Task | None,
    ) -> None:
        """Serve a file, whole or in part; gone when the provider's files go."""
        parts = path.removeprefix(MEDIA + "/").split("/")
        if scope["method"] not in ("GET", "HEAD"):
            await _problem(
                send, 405, "Method not allowed", "results are fetched with GET", (("allow", "GET, HEAD"),)
            )
            return
        if known is None or task is None or task.shape is None:
            await _problem(
                send, 404, "No such result", "the URL stands in an answer about a task that succeeded"
            )
            return
        contract = self.backend.contracts.get(task.provider)
        if contract is None:
            await _problem(send, 404, "No such result", f"{task.provider} is not served here")
            return
        operation = contract.operations[task.operation]
        name = output_id(task, operation)
        if parts[1] != f"{name}.mp4":
            await _problem(
                send, 404, "No such result", "the URL stands in an answer about a task that succeeded"
            )
            return
        now = known.clock.now()
        view = TaskView(task, operation, now)
        fault = scenarios.of_result(task)
        lifecycle = operation.lifecycle
        if view.output is None or lifecycle is None:
            await _problem(send, 404, "No result yet", f"the task is {view.state}")
            return
        if view.expires is not None and (now >= view.expires or fault.expires):
            status = lifecycle.result_status
            await _problem(
                send, status, "The result has expired", "files are kept for a time only; download them"
            )
            return
        clip = await self.artifacts.clip(task.shape)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"accept-ranges", b"bytes")]
        headers.append((b"etag", f'"{name}"'.encode()))
        if clip.is_packaged:
            headers.append(
                (b"x-mock-media", b"packaged-clip; install understudy[media] for one made to measure")
            )
            self.log.line(
                method=scope["method"],
                target=path,
                status=200,
                took_us=0,
                note="packaged clip: PyAV is not installed (understudy[media]), or does not work",
            )
        if fault.scenarios:
            await _send_faulty(scope, receive, send, clip.content, headers, fault, self._patience)
            return
        await _send_file(scope, send, clip.content, headers)


def _note_fetch(
    tenant: Tenant, scope: AsgiScope, task: Task, now: int, told: Any, size_bytes: int, took_us: int
) -> None:
    """Keep that a result was fetched: no operation of the provider, and its bytes say nothing."""
    path, query = scope["raw_path"], scope["query_string"]
    headers, answered = scope["headers"], told["headers"]
    size = OVERHEAD + len(path) + len(query) + HEADER_OVERHEAD * (len(headers) + len(answered))
    size += sum(len(name) + len(value) for name, value in (*headers, *answered))
    tenant.journal.add(
        (
            *(tenant.dice.request_id(), now, scope["method"], path, query, task.provider, FILE, task.account),
            *(headers, b"", told["status"], answered, left_out(size_bytes)),
            *(Report(provider=task.provider), task.id, took_us, size),
        )
    )


def _split_tenant(path: str) -> tuple[str, str]:
    """Return (tenant, path below it) of a path that may begin with /t/{tenant}."""
    if path.startswith("/t/"):
        tenant, slash, rest = path[3:].partition("/")
        if slash and TENANT_NAME.fullmatch(tenant):
            return tenant, "/" + rest
    return DEFAULT_TENANT, path


async def _send_faulty(
    scope: AsgiScope,
    receive: Receive,
    send: Send,
    content: bytes,
    headers: HeaderList,
    fault: ResultFault,
    patience: Patience,
) -> None:
    """Send bytes as the scenarios of their task want it."""
    whole: list[Any] = []

    async def keep(message: Any) -> None:
        whole.append(message)

    await _send_file({**scope, "method": "GET"}, keep, content, headers)
    answer = Answer(whole[0]["status"], [*whole[0]["headers"]], whole[1]["body"])
    fault.change(answer)
    answer.header(b"content-length", str(len(answer.body)).encode())
    answer.header(b"x-mock-scenario", fault.scenarios.encode())
    cut = (scope.get("extensions") or {}).get(CUT)
    await play(answer, fault.wire, receive, send, cut, patience, is_head=scope["method"] == "HEAD")


async def _send_file(
    scope: AsgiScope, send: Send, content: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Send bytes, or the one range of them that is asked for (RFC 9110, 14)."""
    asked = {
        name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"range", b"if-range")
    }
    etag = dict(headers).get(b"etag", b"").decode()
    status, part = 200, content
    wanted = asked.get(b"range") if asked.get(b"if-range", etag) == etag else None
    if wanted is not None:
        span = _range(wanted, len(content))
        if span == "unsatisfiable":
            headers.append((b"content-range", f"bytes */{len(content)}".encode()))
            await _send(send, scope, 416, headers, b"")
            return
        if isinstance(span, tuple):
            first, last = span
            status, part = 206, content[first : last + 1]
            headers.append((b"content-range", f"bytes {first}-{last}/{len(content)}".encode()))
    await _send(send, scope, status, headers, part)


def _range(text: str, size: int) -> tuple[int, int] | str | None:
    """Return (first, last) of a single byte range, "unsatisfiable", or None for what may be ignored."""
    unit, _, spec = text.partition("=")
    first, dash, last = spec.strip().partition("-")
    is_number = all(
        part == "" or (part.isascii() and part.isdigit() and len(part) < 19) for part in (first, last)
    )
    if unit.strip().lower() != "bytes" or not dash or not is_number or not (first or last):
        return None
    if not first:
        length = min(int(last), size)
        return (size - length, size - 1) if length else "unsatisfiable"
    if int(first) >= size:
        return "unsatisfiable"
    end = min(int(last), size - 1) if last else size - 1
    return (int(first), end) if end >= int(first) else None


async def _send(
    send: Send, scope: AsgiScope, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    known = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": known})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _answer(send: Send, status: int, value: Any, media_type: str = "application/json") -> None:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _problem(
    send: Send, status: int, title: str, detail: str, headers: Sequence[tuple[str, str]] = ()
) -> None:
    """Answer in our own voice (RFC 9457)."""
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    known = [(name.encode(), value.encode()) for name, value in headers]
    known += [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": known})
    await send({"type": "http.response.body", "body": body})
