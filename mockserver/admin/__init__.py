"""The control plane under /__admin, as `mockserver/admin.openapi.yaml` describes it.

Speaks in our own voice: refusals are application/problem+json.  One module for each noun, with its ROUTES.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from mockserver.admin import (
    accounts,
    costs,
    deliveries,
    providers,
    requests,
    scenarios,
    tasks,
    tenants,
    times,
)
from mockserver.admin import events as events_calls
from mockserver.admin.answers import ProblemError, http_problem, problem, server_problem
from mockserver.admin.control import Control, Handler, Route
from mockserver.admin.guard import guard, tenant_of
from mockserver.callbacks import Outbox
from mockserver.events import Events
from mockserver.tenants import Backend
from mockserver.visits import AsgiScope, Receive, Send

ROUTES: Final[tuple[Route, ...]] = (
    *providers.ROUTES,
    *times.ROUTES,
    *requests.ROUTES,
    *tasks.ROUTES,
    *accounts.ROUTES,
    *costs.ROUTES,
    *deliveries.ROUTES,
    *events_calls.ROUTES,
    *scenarios.ROUTES,
    *tenants.ROUTES,
)
"""A further noun is a module with its own, and its entries in `admin.openapi.yaml`."""


def _pattern(path: str) -> str:
    """Return a path as the router wants it; the name of an account may hold slashes, as that of a URL does."""
    return path.replace("/accounts/{id}", "/accounts/{id:path}")


def make_admin(
    backend: Backend, outbox: Outbox, events: Events
) -> Callable[[AsgiScope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application that steers a backend and its outbox."""
    control = Control(backend, outbox, events)

    def endpoint(handlers: Mapping[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                guard(control.settings, request)
                handler = handlers["GET" if request.method == "HEAD" else request.method]
                response = await handler(control, tenant_of(control, request), request)
                if control.backend.store.is_dirty:
                    await control.backend.store.committed()
            except ProblemError as refused:
                return problem(refused.status, refused.title, refused.detail)
            return response

        return answer

    # One route for all methods of a path, so that a refusal of another one can name them all.
    by_path: dict[str, dict[str, Handler]] = {}
    for method, path, handler in ROUTES:
        by_path.setdefault(path, {})[method] = handler
    routes = [
        StarletteRoute(f"{prefix}/__admin{_pattern(path)}", endpoint(handlers), methods=list(handlers))
        for prefix in ("", "/t/{tenant}")
        for path, handlers in by_path.items()
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: http_problem, Exception: server_problem},
    )
    # A path that is nearly right does not exist; a redirect would be built from whatever Host the caller names.
    app.router.redirect_slashes = False
    return app
