"""The ledger of callbacks."""

from __future__ import annotations

from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import read_query
from mockserver.admin.control import Control, Route
from mockserver.deliveries import Delivery
from mockserver.journal import body_json, shown_url
from mockserver.tenants import Tenant
from validator.contract.expressions import Json, iso


async def get_deliveries(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries."""
    asked = read_query(request, "getDeliveries")
    found = (
        one
        for one in control.backend.store.deliveries(tenant.name)
        if asked["task"] in (None, one.task_id) and asked["status"] in (None, one.status)
    )
    return ok({"deliveries": [_delivery(one) for one in islice(found, asked["limit"])]})


async def get_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries/{id}."""
    return ok(_delivery(_found_delivery(control, tenant, request)))


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
    return ok(_delivery(found), 202)


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


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/deliveries", get_deliveries),
    ("GET", "/deliveries/{id}", get_delivery),
    ("POST", "/deliveries/{id}/replay", replay_delivery),
)
