"""The ledger of callbacks."""

from __future__ import annotations

import asyncio
import base64
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import check_known, hung_up, read_json, read_query, read_seconds
from mockserver.admin.control import Control, Route
from mockserver.deliveries import Delivery, Handout
from mockserver.journal import REDACTED, body_json, shown_url
from mockserver.tenants import Tenant
from validator.contract.expressions import Json, iso


async def get_deliveries(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries."""
    asked = read_query(request, "getDeliveries")
    check_known("provider", asked["provider"], control.backend.contracts)
    found = (
        one
        for one in control.backend.store.deliveries(tenant.name)
        if asked["task"] in (None, one.task_id)
        and asked["status"] in (None, one.status)
        and asked["provider"] in (None, one.provider)
    )
    ledger = control.backend.store.ledger(tenant.name)
    shown = [_delivery(control, one) for one in islice(found, asked["limit"])]
    return ok({"deliveries": shown, "kept": ledger.kept, "dropped": ledger.dropped})


async def get_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries/{id}."""
    return ok(_delivery(control, _found_delivery(control, tenant, request)))


async def replay_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /deliveries/{id}/replay."""
    found = _found_delivery(control, tenant, request)
    if found.is_open:
        raise ProblemError(409, "Still under way", f"it is {found.status}; replay it when it is through")
    if not found.body:
        raise ProblemError(
            409, "Never sent", f"it is {found.status} and was never sent; there is nothing to replay"
        )
    if found.provider not in control.backend.contracts:
        raise ProblemError(409, "Not served", f"{found.provider}, whose callback it is, is not served now")
    control.outbox.replay(tenant, found)
    return ok(_delivery(control, found), 202)


async def get_mode(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries/mode."""
    return ok({"mode": control.outbox.mode(tenant)})


async def set_mode(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PUT /deliveries/mode."""
    asked = await read_json(request, "DeliveryMode")
    control.outbox.set_mode(tenant, asked["mode"])
    return ok({"mode": control.outbox.mode(tenant)})


async def next_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /deliveries/next."""
    asked = read_query(request, "nextDelivery")
    if request.method == "HEAD":
        # Whoever does not read the body would lose what is handed out.
        return Response(status_code=204)
    wait_s = read_seconds(asked["wait"])
    pulled = asyncio.ensure_future(control.outbox.pull(tenant, wait_s))
    if wait_s:
        # A puller that went away must not be handed anything.
        gone = asyncio.ensure_future(hung_up(request))
        await asyncio.wait((pulled, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not pulled.done():
            pulled.cancel()
            return Response(status_code=204)
    handout = await pulled
    return Response(status_code=204) if handout is None else ok(_handout(control, handout))


async def answer_delivery(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /deliveries/{id}/answer."""
    asked = await read_json(request, "ReceiverAnswer")
    found = _found_delivery(control, tenant, request)
    # JSON Schema calls 200.0 an integer as well.
    status = int(asked["status"]) if "status" in asked else None
    reported = control.outbox.report(tenant, found.id, status, asked.get("error", ""))
    if reported is None:
        raise ProblemError(
            409, "Not handed out", f"it is {found.status}, and nobody has pulled it, or it was too long ago"
        )
    return ok(_delivery(control, reported))


def _found_delivery(control: Control, tenant: Tenant, request: Request) -> Delivery:
    found = control.backend.store.delivery(tenant.name, request.path_params["id"])
    if found is None:
        raise ProblemError(404, "No such delivery", f"tenant {tenant.name} has no delivery of this id")
    return found


def _head(delivery: Delivery) -> dict[str, Json]:
    """Return what a delivery brings, and where."""
    return {
        "id": delivery.id,
        "task": delivery.task_id,
        "provider": delivery.provider,
        "callback": delivery.callback,
        "state": delivery.state,
        "url": shown_url(delivery.url),
        "body": body_json(delivery.body),
        "body_base64": base64.b64encode(delivery.body).decode(),
    }


def _handout(control: Control, handout: Handout) -> dict[str, Json]:
    delivery = handout.delivery
    return {
        **_head(delivery),
        "attempt": len(delivery.attempts) + 1,
        "at": iso(handout.at),
        "method": handout.method,
        "headers": _headers(control, handout.headers),
        "report_within_s": handout.within_s,
    }


def _headers(control: Control, headers: tuple[tuple[str, str], ...]) -> list[Json]:
    secrets = control.backend.secrets
    return [[name, REDACTED if name.lower() in secrets else value] for name, value in headers]


def _delivery(control: Control, delivery: Delivery) -> dict[str, Json]:
    return {
        **_head(delivery),
        "status": delivery.status,
        "due": iso(delivery.due),
        "next_at": None if delivery.next_at is None else iso(delivery.next_at),
        "attempts": [
            {
                "number": number,
                "at": iso(one.at),
                "how": "pull" if one.is_pulled else "push",
                "status": one.status,
                "error": one.error,
                "took_ms": one.took_ms,
                "headers": _headers(control, one.headers),
            }
            for number, one in enumerate(delivery.attempts, start=1)
        ],
    }


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/deliveries", get_deliveries),
    # Before those with an id: no delivery is called like one of these.
    ("GET", "/deliveries/mode", get_mode),
    ("PUT", "/deliveries/mode", set_mode),
    ("GET", "/deliveries/next", next_delivery),
    ("GET", "/deliveries/{id}", get_delivery),
    ("POST", "/deliveries/{id}/replay", replay_delivery),
    ("POST", "/deliveries/{id}/answer", answer_delivery),
)
