"""Scenarios: the atlas, and the plan of what a tenant's requests meet."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import read_json
from mockserver.admin.control import Control, Route
from mockserver.plans import Entry, read_entry
from mockserver.scenarios import SCENARIOS, ScenarioError, scenario_json
from mockserver.tenants import Tenant
from validator.contract.expressions import Json


async def get_scenarios(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /scenarios."""
    plan: list[Json] = [entry.to_json() for entry in tenant.plan.entries.values()]
    revoked: list[Json] = [account for account, (left, _) in tenant.plan.revoked.items() if not left]
    return ok(
        {
            "plan": plan,
            "revoked": revoked,
            "atlas": [scenario_json(one) for one in SCENARIOS.values()],
        }
    )


async def add_scenarios(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /scenarios: one entry, or several under `plan`; all of them or none."""
    made: list[Entry] = []
    faults: list[str] = []

    def read(value: Any) -> None:
        values = value.get("plan", [value]) if isinstance(value, dict) else []
        for number, one in enumerate(values if isinstance(values, list) else [], 1):
            name = tenant.plan.new_id()
            seed = partial(tenant.dice.seed, name)
            try:
                made.append(read_entry(one, control.backend.contracts, id=name, seed=seed))
            except ScenarioError as error:
                faults.append(f"entry {number}: {error}" if "plan" in value else str(error))

    try:
        await read_json(request, "PlanChange", first=read)
    except ProblemError as refused:
        # What the entry itself says of it is clearer than what its schema does.
        raise ProblemError(refused.status, refused.title, faults[0] if faults else refused.detail) from None
    if faults:
        raise ProblemError(409, "Cannot be met", faults[0])
    try:
        tenant.plan.add(*made)
    except ScenarioError as error:
        raise ProblemError(409, "No room", str(error)) from None
    return ok({"plan": [one.to_json() for one in made]}, 201)


async def clear_scenarios(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer DELETE /scenarios."""
    tenant.plan.clear()
    return Response(status_code=204)


async def remove_scenario(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer DELETE /scenarios/{id}."""
    if not tenant.plan.remove(request.path_params["id"]):
        raise ProblemError(404, "No such entry", f"the plan of tenant {tenant.name} has none of this id")
    return Response(status_code=204)


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/scenarios", get_scenarios),
    ("POST", "/scenarios", add_scenarios),
    ("DELETE", "/scenarios", clear_scenarios),
    ("DELETE", "/scenarios/{id}", remove_scenario),
)
