"""Tenants as a whole: how much each holds, and beginning again."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ok
from mockserver.admin.bodies import read_query
from mockserver.admin.control import Control, Route
from mockserver.admin.times import clock_json
from mockserver.store import LEDGER_BYTES, LEDGER_ENTRIES
from mockserver.tasks import TaskView
from mockserver.tenants import Tenant
from validator.contract.expressions import Json

MOST_COUNTED: Final = 10_000
"""Tasks and deliveries, the newest, whose state is looked up for a count: state is computed, not kept."""


async def get_tenants(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /tenants."""
    asked = read_query(request, "getTenants")
    known = list(control.backend.tenants.values())
    shown: list[Json] = [
        {
            "name": one.name,
            "clock": clock_json(one),
            "tasks": control.backend.store.count(one.name),
            "requests": len(one.journal),
        }
        for one in islice(reversed(known), asked["limit"])
    ]
    return ok({"tenants": shown, "count": len(known)})


async def get_gauges(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /gauges."""
    return ok(
        {
            "tenant": tenant.name,
            "clock": clock_json(tenant),
            "tasks": _tasks(control, tenant),
            "journal": _journal(control, tenant),
            "ledger": _ledger(control, tenant),
        }
    )


def _tasks(control: Control, tenant: Tenant) -> dict[str, Json]:
    store, contracts, now = control.backend.store, control.backend.contracts, tenant.clock.now()
    counts: dict[str, Counter[str]] = {name: Counter() for name in contracts}
    counted = 0
    for task in islice(store.newest(tenant.name), MOST_COUNTED):
        counted += 1
        operation = control.backend.operation_of(task)
        if operation is not None:
            counts[task.provider][TaskView(task, operation, now).state] += 1
    return {
        "kept": store.count(tenant.name),
        "counted": counted,
        "states": {name: dict(states) for name, states in counts.items()},
    }


def _journal(control: Control, tenant: Tenant) -> dict[str, Json]:
    journal, settings = tenant.journal, control.settings
    verdicts = Counter(exchange.report.verdict for exchange in journal.newest())
    unmatched = sum(exchange.operation is None for exchange in journal.newest())
    return {
        "kept": len(journal),
        "dropped": journal.dropped,
        "bytes": journal.size_bytes,
        "most": settings.journal_entries,
        "most_bytes": settings.journal_bytes,
        "all_bytes": control.backend.budget.size_bytes,
        "verdicts": {name: verdicts[name] for name in ("accepted", "fails", "refused")},
        "unmatched": unmatched,
    }


def _ledger(control: Control, tenant: Tenant) -> dict[str, Json]:
    store = control.backend.store
    ledger = store.ledger(tenant.name)
    statuses = Counter(one.status for one in islice(store.deliveries(tenant.name), MOST_COUNTED))
    return {
        "kept": ledger.kept,
        "dropped": ledger.dropped,
        "bytes": ledger.size_bytes,
        "most": LEDGER_ENTRIES,
        "most_bytes": LEDGER_BYTES,
        "mode": control.outbox.mode(tenant),
        "statuses": dict(statuses),
    }


async def reset(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /reset."""
    control.outbox.forget(tenant)
    control.backend.forget(tenant)
    control.events.tenant_reset(tenant)
    return Response(status_code=204)


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/tenants", get_tenants),
    ("GET", "/gauges", get_gauges),
    ("POST", "/reset", reset),
)
