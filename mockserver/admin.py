"""The control plane under /__admin, as `admin.openapi.yaml` beside this file describes it.

Speaks in our own voice: refusals are application/problem+json.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata, resources
from itertools import islice
from typing import Any, Final, NamedTuple

import jsonschema_rs
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mockserver.callbacks import Event, Outbox
from mockserver.deliveries import Delivery
from mockserver.journal import body_json, shown_url
from mockserver.settings import Settings
from mockserver.tasks import Task, TaskView, follow, media_url, move, states_between
from mockserver.tenants import Backend, NoTenantError, Tenant, TooManyTenantsError
from mockserver.visits import AsgiScope, Receive, Send
from validator.contract.document import parse_yaml
from validator.contract.durations import milliseconds
from validator.contract.expressions import LATEST, Json, iso
from validator.contract.model import Credential

DESCRIPTION: Final = "admin.openapi.yaml"
MOST_EVENTS: Final = 1_000
MAX_BODY: Final = 64 * 1024
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


class Control(NamedTuple):
    """What the control plane steers."""

    backend: Backend
    outbox: Outbox

    @property
    def settings(self) -> Settings:
        """Return the settings of the server."""
        return self.backend.settings


Handler = Callable[[Control, Tenant, Request], Awaitable[Response]]


class ProblemError(Exception):
    """A refusal in our own voice (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        """Keep the parts of the answer."""
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


def make_admin(backend: Backend, outbox: Outbox) -> Callable[[AsgiScope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application that steers a backend and its outbox."""
    control = Control(backend, outbox)

    def endpoint(handlers: Mapping[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                _guard(control.settings, request)
                handler = handlers["GET" if request.method == "HEAD" else request.method]
                response = await handler(control, _tenant(control, request), request)
                if control.backend.store.is_dirty:
                    await control.backend.store.committed()
            except ProblemError as problem:
                return _problem(problem.status, problem.title, problem.detail)
            return response

        return answer

    # One route for all methods of a path, so that a refusal of another one can name them all.
    by_path: dict[str, dict[str, Handler]] = {}
    for method, path, handler in ROUTES:
        by_path.setdefault(path, {})[method] = handler
    routes = [
        Route(f"{prefix}/__admin{path}", endpoint(handlers), methods=list(handlers))
        for prefix in ("", "/t/{tenant}")
        for path, handlers in by_path.items()
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _http_problem, Exception: _server_problem},
    )
    # A path that is nearly right does not exist; a redirect would be built from whatever Host the caller names.
    app.router.redirect_slashes = False
    return app


# --- who may ----------------------------------------------------------------------------------------------


def _guard(settings: Settings, request: Request) -> None:
    """Raise ProblemError for a caller that may not steer the server.

    A page in a browser could reach a loopback port: so its Origin must be ours, and the Host a name of this
    machine, which defeats a foreign name that was pointed here (DNS rebinding).
    """
    if settings.admin_token is not None:
        given = request.headers.get("x-admin-token", "")
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = given or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not hmac.compare_digest(given.encode(), settings.admin_token.encode()):
            raise ProblemError(
                401, "Token needed", "send the admin token as Authorization: Bearer or X-Admin-Token"
            )
    host = request.headers.get("host", "")
    if settings.is_loopback and not _is_this_machine(host):
        raise ProblemError(
            403, "Foreign host", f"the Host header says '{host[:80]}', which is not this machine"
        )
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise ProblemError(403, "Foreign origin", "pages of other origins may not steer this server")


def _is_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _tenant(control: Control, request: Request) -> Tenant:
    name = request.path_params.get("tenant") or request.headers.get("x-mock-tenant") or "default"
    try:
        return control.backend.tenant(name)
    except NoTenantError as error:
        raise ProblemError(400, "No such tenant", str(error)) from None
    except TooManyTenantsError as error:
        raise ProblemError(429, "Too many tenants", str(error)) from None


# --- reading requests -------------------------------------------------------------------------------------


@functools.cache
def _description() -> dict[str, Any]:
    text = resources.files("mockserver").joinpath(DESCRIPTION).read_bytes()
    found: dict[str, Any] = parse_yaml(text, file=DESCRIPTION)
    return found


@functools.cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": _description()["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


async def _json(request: Request, schema: str) -> dict[str, Any]:
    """Return the body, valid against a schema of the description; raises ProblemError."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise ProblemError(413, "Too large", f"at most {MAX_BODY:,} bytes")
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_BODY:
            raise ProblemError(413, "Too large", f"at most {MAX_BODY:,} bytes")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "No JSON", f"the body cannot be read: {error}") from None
    try:
        fault = next(_validator(schema).iter_errors(value), None)
    except ValueError:  # the engine's own limit on depth
        raise ProblemError(400, "Not valid", "the body is nested too deep") from None
    if fault is not None:
        where = "/".join(str(step) for step in fault.instance_path)
        raise ProblemError(400, "Not valid", f"{where + ': ' if where else ''}{fault.message}"[:500])
    found: dict[str, Any] = value
    return found


def _query(request: Request, operation: str) -> dict[str, Any]:
    """Return the query parameters the description names, converted; raises ProblemError."""
    out: dict[str, Any] = {}
    paths = _description()["paths"]
    described = next(
        item["get"] for item in paths.values() if item.get("get", {}).get("operationId") == operation
    )
    shared = _description()["components"]["parameters"]
    nodes = [
        shared[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        for node in described["parameters"]
    ]
    nodes = [node for node in nodes if node["in"] == "query"]
    known = [node["name"] for node in nodes]
    for name in request.query_params:
        if name not in known:
            raise ProblemError(
                400, "Not valid", f"'{name[:80]}' is no parameter here; there are {', '.join(known)}"
            )
    for node in nodes:
        text, schema = request.query_params.get(node["name"]), node["schema"]
        if text is None:
            out[node["name"]] = schema.get("default")
            continue
        value: Any = text
        if schema.get("type") == "integer" and _INTEGER.fullmatch(text):
            value = int(text)
        if not jsonschema_rs.is_valid(schema, value):
            raise ProblemError(400, "Not valid", f"{node['name']}: '{text[:80]}' is not allowed")
        out[node["name"]] = value
    return out


def _moment(value: Any) -> int:
    """Return milliseconds of an integer or an RFC 3339 date; raises ProblemError."""
    if isinstance(value, int | float):
        # JSON Schema calls 5.0 an integer as well.
        return int(value)
    try:
        # RFC 3339 allows a leap second and small letters, which the library does not read.
        parsed = datetime.fromisoformat(value.upper().replace(":60", ":59"))
    except ValueError:
        raise ProblemError(400, "Not valid", f"'{value[:40]}' is no date and time") from None
    moment = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= moment <= LATEST:
        raise ProblemError(409, "Out of reach", f"'{value[:40]}' lies outside 1970 to 9999")
    return moment


# --- answers ----------------------------------------------------------------------------------------------


def _ok(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


def _problem(status: int, title: str, detail: str) -> Response:
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(body, status_code=status, media_type="application/problem+json")


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {404: "there is no such call", 405: "this call takes another method"}.get(error.status_code, "")
    response = _problem(
        error.status_code, error.detail, f"{detail}; GET /__admin/providers lists what is served"
    )
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _server_problem(request: Request, error: Exception) -> Response:
    return _problem(500, "Internal error", type(error).__name__)


async def health(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /health."""
    backend = control.backend
    return _ok(
        {
            "status": "ok",
            "version": metadata.version("understudy"),
            "providers": len(backend.contracts),
            "tenants": len(backend.tenants),
            "tasks": backend.store.count(),
        }
    )


async def providers(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /providers."""
    origin = f"{request.url.scheme}://{request.headers.get('host', '')}"
    prefix = f"/t/{tenant.name}" if request.path_params.get("tenant") else ""
    return _ok(
        {"providers": [_provider(control, name, origin + prefix) for name in control.backend.contracts]}
    )


def _provider(control: Control, name: str, origin: str) -> dict[str, Json]:
    contract, settings = control.backend.contracts[name], control.settings
    operations = contract.operations.values()
    credentials = {one.name: one for operation in operations for one in operation.credentials}
    applied = settings.variants.get(name, ())
    return {
        "id": name,
        "title": contract.title,
        "baseUrl": f"{origin}/{name}{contract.base_path}",
        "hosts": list(contract.hosts),
        "operations": [
            {"id": one.id, "method": one.method, "path": one.path, "summary": one.summary}
            for one in operations
        ],
        "credentials": [_credential(one, len(settings.keys(name).keys)) for one in credentials.values()],
        "limits": [
            {"unit": quota.limit.unit, "quota": quota.quota, "enforced": quota.is_enforced}
            for quota in control.backend.quotas[name].all()
        ],
        "variants": [
            {"name": one.name, "summary": one.summary, "applied": one.name in applied}
            for one in contract.variants
        ],
    }


def _credential(credential: Credential, configured: int) -> dict[str, Json]:
    form = "Bearer KEY" if credential.is_bearer else "KEY"
    if credential.jwt is not None:
        form = "Bearer JWT" + (" or API key" if credential.jwt.opaque else "")
    accepted = f"{configured} configured" if configured else "all that are well formed"
    return {"header": credential.header, "form": form, "accepted": accepted}


# --- clock ------------------------------------------------------------------------------------------------


async def get_clock(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /clock."""
    return _ok(_clock(tenant))


def _clock(tenant: Tenant) -> dict[str, Json]:
    now = tenant.clock.now()
    return {"mode": tenant.clock.mode, "now": iso(now), "now_ms": now, "speed": tenant.clock.speed}


async def set_clock(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PUT /clock."""
    change = await _json(request, "ClockChange")
    _check_at_rest(tenant)
    mode, speed = change.get("mode"), change.get("speed")
    speed = {"frozen": 0.0, "real": 1.0}.get(mode or "", speed)
    now = _moment(change["now"]) if "now" in change else None
    if now is not None and now < tenant.clock.now() and control.backend.store.count(tenant.name):
        raise ProblemError(
            409, "Back in time", "a clock with tasks moves forward only; POST reset begins again"
        )
    if now is not None and now > tenant.clock.now():
        # What falls due on the way must still happen.
        await control.outbox.advance(tenant, now)
    tenant.clock.set(now=now, speed=None if speed is None else float(speed))
    tenant.has_own_speed = tenant.has_own_speed or speed is not None
    control.backend.save_clock(tenant)
    control.outbox.wake(tenant)
    return _ok(_clock(tenant))


def _check_at_rest(tenant: Tenant) -> None:
    if tenant.is_advancing:
        raise ProblemError(409, "Already moving", "the clock is being advanced; wait for that answer")


async def advance_clock(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /clock/advance."""
    asked = await _json(request, "Advance")
    _check_at_rest(tenant)
    start = tenant.clock.now()
    if "by" in asked:
        until = start + milliseconds(asked["by"])
    elif asked["to"] == "next-event":
        found = _next_event(control, tenant, start)
        until = start if found is None else found
    else:
        until = _moment(asked["to"])
        if until < start:
            raise ProblemError(409, "Back in time", f"the clock shows {iso(start)} already")
    if until > LATEST:
        raise ProblemError(409, "Beyond the end", "that lies beyond the year 9999")
    sent = await control.outbox.advance(tenant, until)
    control.backend.save_clock(tenant)
    now = tenant.clock.now()
    events = [*_transitions(control, tenant, start, until), *sent]
    events.sort(key=lambda event: (event.at, event.kind != "task", event.number))
    return _ok(
        {
            "from": iso(start),
            "now": iso(now),
            "now_ms": now,
            "is_truncated": len(events) > MOST_EVENTS,
            "events": [_event(event) for event in events[:MOST_EVENTS]],
        }
    )


def _event(event: Event) -> dict[str, Json]:
    out = {"at": iso(event.at), "kind": event.kind, "task": event.task, "state": event.state}
    if event.delivery is not None:
        out |= {"delivery": event.delivery, "status": event.status or ""}
    return out


def _transitions(control: Control, tenant: Tenant, after: int, until: int) -> Iterator[Event]:
    """Yield the states that tasks entered later than one time and not later than another."""
    for task in control.backend.live_tasks(tenant, after):
        for at, state in states_between(task.timeline, after - task.created, until - task.created):
            yield Event(at=task.created + at, kind="task", task=task.id, state=state)


def _next_event(control: Control, tenant: Tenant, now: int) -> int | None:
    """Return when a task next changes or a delivery is next tried, None where nothing is to come."""
    times = [
        task.created + at
        for task in control.backend.live_tasks(tenant, now)
        for at, _ in task.timeline
        if task.created + at > now
    ]
    due = control.outbox.next_at(tenant)
    if due is not None:
        times.append(max(due, now))
    return min(times, default=None)


# --- journal ----------------------------------------------------------------------------------------------


async def get_requests(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests."""
    asked = _query(request, "getRequests")
    journal = tenant.journal
    found = (
        exchange
        for exchange in journal.newest()
        if asked["provider"] in (None, exchange.provider)
        and asked["operation"] in (None, exchange.operation)
        and asked["verdict"] in (None, exchange.report.verdict)
        and (asked["since"] is None or exchange.at >= asked["since"])
    )
    exchanges = [journal.to_json(exchange) for exchange in islice(found, asked["limit"])]
    return _ok({"requests": exchanges, "kept": len(journal), "dropped": journal.dropped})


async def get_request(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests/{id}."""
    found = tenant.journal.find(request.path_params["id"])
    if found is None:
        raise ProblemError(404, "No such request", "the journal does not have it, or no more")
    return _ok(tenant.journal.to_json(found))


async def delete_requests(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer DELETE /requests."""
    tenant.journal.clear()
    return Response(status_code=204)


# --- tasks ------------------------------------------------------------------------------------------------


async def get_tasks(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /tasks."""
    asked = _query(request, "getTasks")
    found = (
        task
        for task in control.backend.store.newest(tenant.name)
        if asked["provider"] in (None, task.provider)
        and (asked["state"] is None or _view(control, tenant, task).state == asked["state"])
    )
    tasks = [_task(control, tenant, task) for task in islice(found, asked["limit"])]
    return _ok({"tasks": tasks, "count": control.backend.store.count(tenant.name)})


async def get_task(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /tasks/{id}."""
    return _ok(_task(control, tenant, _found_task(control, tenant, request)))


async def move_task(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PATCH /tasks/{id}."""
    asked = await _json(request, "Move")
    task = _found_task(control, tenant, request)
    operation = control.backend.contracts[task.provider].operations[task.operation]
    lifecycle, now = operation.lifecycle, tenant.clock.now()
    assert lifecycle is not None
    before = _view(control, tenant, task).state
    if lifecycle.states[before].is_final:
        raise ProblemError(409, "The task has ended", f"it is {before}; a final state is left by nothing")
    if "outcome" in asked:
        states = [name for name, state in lifecycle.states.items() if state.outcome == asked["outcome"]]
        if not states:
            raise ProblemError(
                409, "No such outcome", f"no state of this provider is one of {asked['outcome']}"
            )
        state = states[0]
    else:
        state = asked["state"]
    if state not in lifecycle.states:
        raise ProblemError(409, "No such state", f"known are {', '.join(lifecycle.states)}")
    is_failure = lifecycle.states[state].outcome == "failure"
    if "message" in asked and not is_failure:
        raise ProblemError(
            409, "No place for a message", f"a message is shown by failed tasks only, not by {state}"
        )
    move(
        task,
        lifecycle,
        state,
        now,
        failure=asked.get("message", "failed by the admin API") if is_failure else None,
    )
    if control.settings.progress == "time":
        follow(task, lifecycle)
    tenant.altered[task.id] = None
    tenant.horizon = max(tenant.horizon, task.timeline[-1][0])
    control.backend.store.save(tenant.name, task)
    control.outbox.replan(tenant, task, operation, now)
    return _ok(_task(control, tenant, task))


def _found_task(control: Control, tenant: Tenant, request: Request) -> Task:
    task = control.backend.store.get(tenant.name, request.path_params["id"])
    if task is None or task.provider not in control.backend.contracts:
        raise ProblemError(404, "No such task", f"tenant {tenant.name} has no task of this id")
    return task


def _view(control: Control, tenant: Tenant, task: Task) -> TaskView:
    operation = control.backend.contracts[task.provider].operations[task.operation]
    return TaskView(task, operation, tenant.clock.now())


def _task(control: Control, tenant: Tenant, task: Task) -> dict[str, Json]:
    operation = control.backend.contracts[task.provider].operations[task.operation]
    view = _view(control, tenant, task)
    assert operation.lifecycle is not None
    return {
        "id": task.id,
        "provider": task.provider,
        "operation": task.operation,
        "account": task.account,
        "request": task.request_id,
        "state": view.state,
        "outcome": operation.lifecycle.states[view.state].outcome,
        "created": iso(task.created),
        "updated": iso(view.updated),
        "timeline": [{"at": iso(task.created + at), "state": state} for at, state in task.timeline],
        "failure": task.failure,
        "price": view.price,
        "result": media_url(task, operation) if view.output is not None else None,
        "rules": list(task.rules),
        "deliveries": [one.id for one in control.backend.store.deliveries_of(tenant.name, task.id)],
    }


# --- deliveries -------------------------------------------------------------------------------------------


async def get_deliveries(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries."""
    asked = _query(request, "getDeliveries")
    found = (
        one
        for one in control.backend.store.deliveries(tenant.name)
        if asked["task"] in (None, one.task_id) and asked["status"] in (None, one.status)
    )
    return _ok({"deliveries": [_delivery(one) for one in islice(found, asked["limit"])]})


async def get_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries/{id}."""
    return _ok(_delivery(_found_delivery(control, tenant, request)))


async def replay_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /deliveries/{id}/replay."""
    found = _found_delivery(control, tenant, request)
    if found.is_open:
        raise ProblemError(409, "Still under way", f"it is {found.status}; replay it when it is through")
    if not found.body:
        raise ProblemError(
            409, "Never sent", f"it is {found.status} and was never sent; there is nothing to replay"
        )
    control.outbox.replay(tenant, found)
    return _ok(_delivery(found), 202)


def _found_delivery(control: Control, tenant: Tenant, request: Request) -> Delivery:
    found = control.backend.store.delivery(tenant.name, request.path_params["id"])
    if found is None:
        raise ProblemError(404, "No such delivery", f"tenant {tenant.name} has no delivery of this id")
    return found


def _delivery(delivery: Delivery) -> dict[str, Json]:
    return {
        "id": delivery.id,
        "task": delivery.task_id,
        "provider": delivery.provider,
        "callback": delivery.callback,
        "state": delivery.state,
        "url": shown_url(delivery.url),
        "status": delivery.status,
        "due": iso(delivery.due),
        "next_at": None if delivery.next_at is None else iso(delivery.next_at),
        "body": body_json(delivery.body),
        "attempts": [
            {
                "at": iso(one.at),
                "status": one.status,
                "error": one.error,
                "took_ms": one.took_ms,
                "headers": [list(pair) for pair in one.headers],
            }
            for one in delivery.attempts
        ],
    }


async def reset(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /reset."""
    control.outbox.forget(tenant)
    control.backend.forget(tenant)
    return Response(status_code=204)


ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/health", health),
    ("GET", "/providers", providers),
    ("GET", "/clock", get_clock),
    ("PUT", "/clock", set_clock),
    ("POST", "/clock/advance", advance_clock),
    ("GET", "/requests", get_requests),
    ("DELETE", "/requests", delete_requests),
    ("GET", "/requests/{id}", get_request),
    ("GET", "/tasks", get_tasks),
    ("GET", "/tasks/{id}", get_task),
    ("PATCH", "/tasks/{id}", move_task),
    ("GET", "/deliveries", get_deliveries),
    ("GET", "/deliveries/{id}", get_delivery),
    ("POST", "/deliveries/{id}/replay", replay_delivery),
    ("POST", "/reset", reset),
)
