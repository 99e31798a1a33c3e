"""The journal."""

from __future__ import annotations

from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import read_query
from mockserver.admin.control import Control, Route
from mockserver.tenants import Tenant


async def get_requests(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests."""
    asked = read_query(request, "getRequests")
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
    return ok({"requests": exchanges, "kept": len(journal), "dropped": journal.dropped})


async def get_request(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests/{id}."""
    found = tenant.journal.find(request.path_params["id"])
    if found is None:
        raise ProblemError(404, "No such request", "the journal does not have it, or no more")
    return ok(tenant.journal.to_json(found))


async def delete_requests(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer DELETE /requests."""
    tenant.journal.clear()
    return Response(status_code=204)


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/requests", get_requests),
    ("DELETE", "/requests", delete_requests),
    ("GET", "/requests/{id}", get_request),
)
