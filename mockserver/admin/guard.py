"""Who may steer the server, and of which tenant a call speaks."""

from __future__ import annotations

import hmac
import ipaddress

from starlette.requests import Request

from mockserver.admin.answers import ProblemError
from mockserver.admin.control import Control
from mockserver.settings import Settings
from mockserver.tenants import NoTenantError, Tenant, TooManyTenantsError


def guard(settings: Settings, request: Request) -> None:
    """Raise ProblemError for a caller that may not steer the server.

    A page in a browser could reach a loopback port: so its Origin must be ours, and the Host a name of this
    machine, which defeats a foreign name that was pointed here (DNS rebinding).
    """
    if settings.admin_token is not None:
        given = request.headers.get("x-admin-token", "")
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = given or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not hmac.compare_digest(given.encode(), settings.admin_token.encode()):
            raise ProblemError(
                401, "Token needed", "send the admin token as Authorization: Bearer or X-Admin-Token"
            )
    host = request.headers.get("host", "")
    if settings.is_loopback and not _is_this_machine(host):
        raise ProblemError(
            403, "Foreign host", f"the Host header says '{host[:80]}', which is not this machine"
        )
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise ProblemError(403, "Foreign origin", "pages of other origins may not steer this server")


def _is_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def tenant_of(control: Control, request: Request) -> Tenant:
    name = request.path_params.get("tenant") or request.headers.get("x-mock-tenant") or "default"
    try:
        return control.backend.tenant(name)
    except NoTenantError as error:
        raise ProblemError(400, "No such tenant", str(error)) from None
    except TooManyTenantsError as error:
        raise ProblemError(429, "Too many tenants", str(error)) from None
