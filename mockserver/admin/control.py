"""What the control plane works on, and what a call of it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from mockserver.callbacks import Outbox
from mockserver.events import Events
from mockserver.settings import Settings
from mockserver.tenants import Backend, Tenant


class Control(NamedTuple):
    """What the control plane steers."""

    backend: Backend
    outbox: Outbox
    events: Events

    @property
    def settings(self) -> Settings:
        """Return the settings of the server."""
        return self.backend.settings


Handler = Callable[[Control, Tenant, Request], Awaitable[Response]]

Route = tuple[str, str, Handler]
"""(method, path below /__admin, what answers)."""
