"""The journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import metadata
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import check_known, read_query
from mockserver.admin.control import Control, Route
from mockserver.har import har
from mockserver.journal import Exchange, shown_url
from mockserver.tenants import Tenant
from validator.contract.expressions import Json
from validator.contract.model import Contract
from validator.nearmiss import near_miss_json, near_misses


async def get_requests(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests."""
    found, journal = _found(control, tenant, request, "getRequests"), tenant.journal
    shown = []
    for exchange in found:
        shown.append(_exchange(control, tenant, exchange))
        if exchange.operation is None:
            # Near misses take milliseconds; others need not wait for all of them.
            await asyncio.sleep(0)
    return ok({"requests": shown, "kept": len(journal), "dropped": journal.dropped})


async def get_archive(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests.har."""
    found = _found(control, tenant, request, "getArchive")
    archive = har(reversed(found), tenant.journal.secret_headers, version=metadata.version("understudy"))
    response = ok(archive)
    response.headers["content-disposition"] = f'attachment; filename="{tenant.name}.har"'
    return response


def _found(control: Control, tenant: Tenant, request: Request, operation: str) -> list[Exchange]:
    """Return the exchanges that a query asks for, newest first; raises ProblemError."""
    asked, contracts = read_query(request, operation), control.backend.contracts
    check_known("provider", asked["provider"], contracts)
    of = [contracts[asked["provider"]]] if asked["provider"] else contracts.values()
    check_known("operation", asked["operation"], [name for contract in of for name in contract.operations])
    is_unmatched = {"true": True, "false": False}.get(asked["unmatched"] or "")
    found = (
        exchange
        for exchange in tenant.journal.newest()
        if asked["provider"] in (None, exchange.provider)
        and asked["operation"] in (None, exchange.operation)
        and asked["verdict"] in (None, exchange.report.verdict)
        and asked["task"] in (None, exchange.task)
        and is_unmatched in (None, exchange.operation is None)
        and (asked["since"] is None or exchange.at >= asked["since"])
    )
    return list(islice(found, asked["limit"]))


def _exchange(control: Control, tenant: Tenant, exchange: Exchange) -> dict[str, Json]:
    """Return an exchange, with what came near where it reached no operation."""
    out = tenant.journal.to_json(exchange)
    out["nearMisses"] = _near_misses(control, exchange) if exchange.operation is None else []
    return out


def _near_misses(control: Control, exchange: Exchange) -> list[Json]:
    contracts: Mapping[str, Contract] = control.backend.contracts
    # What would be called instead repeats what was called.
    path, prefix = shown_url(exchange.path.decode("latin-1")), ""
    if path.startswith("/t/"):
        name, slash, rest = path[3:].partition("/")
        path, prefix = slash + rest, f"/t/{name}"
    if exchange.provider and path.split("/")[1:2] != [exchange.provider]:
        # Known by its host, or the only one: nothing is missing before its path.
        contracts = {exchange.provider: contracts[exchange.provider]}
    return [near_miss_json(miss, prefix=prefix) for miss in near_misses(contracts, exchange.method, path)]


async def get_request(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /requests/{id}."""
    found = tenant.journal.find(request.path_params["id"])
    if found is None:
        raise ProblemError(404, "No such request", "the journal does not have it, or no more")
    return ok(_exchange(control, tenant, found))


async def delete_requests(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer DELETE /requests."""
    tenant.journal.clear()
    return Response(status_code=204)


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/requests", get_requests),
    ("DELETE", "/requests", delete_requests),
    ("GET", "/requests.har", get_archive),
    ("GET", "/requests/{id}", get_request),
)
