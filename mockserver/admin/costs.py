"""What a tenant's tasks cost, and what they may."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import read_json
from mockserver.admin.control import Control, Route
from mockserver.limits import number
from mockserver.tenants import BUDGET, Tenant
from mockserver.wallets import Costs, costs_of, money_of
from validator.contract.expressions import Json
from validator.contract.model import Money


async def get_costs(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /costs."""
    backend = control.backend
    run = backend.wallets.totals(backend.times())
    return ok(
        {
            "tenant": tenant.name,
            "providers": [_provider(control, tenant, name) for name in backend.contracts],
            "run": [
                {"provider": name, **_costs(costs, money_of(backend.contracts[name]))}
                for name, costs in run.items()
            ],
        }
    )


def _provider(control: Control, tenant: Tenant, name: str) -> dict[str, Json]:
    backend = control.backend
    money = money_of(backend.contracts[name])
    accounts = [
        (account, costs_of(held))
        for account, held in backend.wallets.accounts(tenant.name, name, tenant.clock.now())
    ]
    whole = Costs()
    for _, costs in accounts:
        whole.add(costs)
    return {
        "provider": name,
        **_costs(whole, money),
        "budget": _budget(control, tenant, name),
        "accounts": [{"account": account, **_costs(costs, money)} for account, costs in accounts],
    }


def _costs(costs: Costs, money: Money | None) -> dict[str, Json]:
    return {
        "tasks": costs.tasks,
        "succeeded": costs.succeeded,
        "failed": costs.failed,
        "canceled": costs.canceled,
        "running": costs.running,
        "used": number(costs.used),
        "reserved": number(costs.reserved),
        "money": None
        if money is None
        else {
            "currency": money.currency,
            "used": number(money.worth(costs.used)),
            "reserved": number(money.worth(costs.reserved)),
        },
    }


def _budget(control: Control, tenant: Tenant, name: str) -> dict[str, Json] | None:
    quota = control.backend.budget_of(tenant, name)
    if quota is None:
        return None
    spent = control.backend.wallets.spent(tenant.name, name)
    return {
        "quota": number(quota),
        "spent": number(spent),
        "remaining": number(max(round(quota - spent, 8), 0.0)),
        "own": name in tenant.budgets,
    }


async def get_budgets(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /budgets."""
    return ok(_budgets(control, tenant))


async def change_budgets(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PATCH /budgets."""
    asked = await read_json(request, "BudgetChange")
    for name in asked:
        if name not in control.backend.contracts:
            known = ", ".join(control.backend.contracts)
            raise ProblemError(
                404, "No such provider", f"'{name[:80]}' is not served here; there are {known}"
            )
    for name, quota in asked.items():
        control.backend.give(tenant, name, {BUDGET: quota})
    return ok(_budgets(control, tenant))


def _budgets(control: Control, tenant: Tenant) -> dict[str, Json]:
    backend = control.backend
    out = {}
    for name in backend.contracts:
        backend.wallets.settle_tenant(tenant.name, name, tenant.clock.now())
        out[name] = _budget(control, tenant, name)
    return {"budgets": out}


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/costs", get_costs),
    ("GET", "/budgets", get_budgets),
    ("PATCH", "/budgets", change_budgets),
)
