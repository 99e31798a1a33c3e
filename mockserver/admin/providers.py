"""What is served: health, providers."""

from __future__ import annotations

from importlib import metadata
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ok
from mockserver.admin.control import Control, Route
from mockserver.tenants import Tenant
from validator.contract.expressions import Json
from validator.contract.model import Credential


async def health(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /health."""
    backend = control.backend
    return ok(
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
    return ok(
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


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/health", health),
    ("GET", "/providers", providers),
)
