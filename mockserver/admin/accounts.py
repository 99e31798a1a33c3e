"""Accounts: what one has, what it may do, and limits of its own."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import check_known, read_json, read_query
from mockserver.admin.control import Control, Route
from mockserver.limits import account_view, number
from mockserver.store import Account
from mockserver.tenants import Tenant
from mockserver.wallets import money_of, provider_of
from validator.contract.expressions import Json, iso

LONGEST_NAME: Final = 300
"""Characters of an account's id; the credentials that accounts are named after are shorter."""


async def get_accounts(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /accounts."""
    asked = read_query(request, "getAccounts")
    contracts = control.backend.contracts
    check_known("provider", asked["provider"], contracts)
    names = [
        name
        for name in control.backend.store.accounts(tenant.name)
        if provider_of(name) in contracts and asked["provider"] in (None, provider_of(name))
    ]
    return ok({"accounts": [_account(control, tenant, name) for name in islice(names, asked["limit"])]})


async def get_account(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /accounts/{id}."""
    name = request.path_params["id"]
    _check_provider(control, name)
    if name not in control.backend.store.accounts(tenant.name):
        raise ProblemError(404, "No such account", f"no account of tenant {tenant.name} has this id")
    return ok(_account(control, tenant, name))


def _check_balance(value: Any) -> None:
    """Raise ProblemError for a balance that is given in two ways."""
    limits = value.get("limits") if isinstance(value, dict) and "balance" in value else None
    if isinstance(limits, dict) and "credits" in limits:
        raise ProblemError(400, "Not valid", "balance and limits.credits say the same; send either")


async def change_account(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PATCH /accounts/{id}."""
    asked = await read_json(request, "AccountChange", first=_check_balance)
    name = request.path_params["id"]
    _check_provider(control, name)
    if not name.partition(":")[2] or len(name) > LONGEST_NAME:
        raise ProblemError(
            404, "No such account", "an account is named PROVIDER:NAME, as it stands in its tasks"
        )
    given = dict(asked.get("limits", {}))
    if "balance" in asked:
        balance = asked["balance"]
        account = _settled(control, tenant, name)
        given["credits"] = None if balance is None else round(balance + account.spent, 8)
    _settled(control, tenant, name)
    control.backend.give(tenant, name, given)
    return ok(_account(control, tenant, name))


def _check_provider(control: Control, name: str) -> None:
    if provider_of(name) not in control.backend.contracts:
        known = ", ".join(control.backend.contracts)
        raise ProblemError(404, "No such account", f"an id begins with a provider that is served: {known}")


def _settled(control: Control, tenant: Tenant, name: str) -> Account:
    """Return an account with everything booked that has ended, opened now if it is new."""
    now = tenant.clock.now()
    account = control.backend.store.account(tenant.name, name, now)
    control.backend.wallets.settle_all(tenant.name, name, account, now)
    return account


def _account(control: Control, tenant: Tenant, name: str) -> dict[str, Json]:
    backend = control.backend
    account = _settled(control, tenant, name)
    quotas, own = backend.quotas_of(tenant, name), tenant.limits.get(name, {})
    money = money_of(backend.contracts[provider_of(name)])
    view = account_view(name, account, quotas.credits, money)
    has_credits = quotas.credits is not None
    return {
        "id": name,
        "provider": provider_of(name),
        "opened": iso(account.opened),
        "wallet": {
            "opening": view.total if has_credits else None,
            "used": number(account.used),
            "reserved": number(account.reserved),
            "remaining": view.remaining if has_credits else None,
            "money": view.money if has_credits else None,
            "currency": money.currency if money is not None else None,
        },
        "limits": [
            {
                "unit": quota.limit.unit,
                "quota": number(quota.quota),
                "window_ms": quota.limit.window,
                "enforced": quota.is_enforced,
                "own": quota.limit.unit in own,
            }
            for quota in quotas.all()
        ],
        "tasks": {
            "succeeded": account.succeeded,
            "failed": account.failed,
            "canceled": account.canceled,
            "running": len(account.open),
        },
    }


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/accounts", get_accounts),
    ("GET", "/accounts/{id}", get_account),
    ("PATCH", "/accounts/{id}", change_account),
)
