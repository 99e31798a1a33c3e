"""A tenant as a whole."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.control import Control, Route
from mockserver.tenants import Tenant


async def reset(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /reset."""
    control.outbox.forget(tenant)
    control.backend.forget(tenant)
    return Response(status_code=204)


ROUTES: Final[tuple[Route, ...]] = (("POST", "/reset", reset),)
