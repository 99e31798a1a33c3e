"""The admin API of one tenant, asked the same way of a server in this process and of one elsewhere.

In the first case no socket lies between.

Exceptions::

    RuntimeError
    └── WorldError          what was asked for cannot be: which, why, and what would do
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from mockserver.inprocess import Wanted, ask
from mockserver.local import LocalServer
from mockserver.remote import Remote, RemoteError


class WorldError(RuntimeError):
    """Something that cannot be done in this world."""


def _check_open(tenant: str, *, is_over: bool) -> None:
    # A tenant is made by being asked: without this an empty one would answer that nothing happened.
    if is_over:
        raise WorldError(f"world {tenant} was closed, and what happened in it is forgotten")


class LocalControl:
    """The admin API of a server in this process; `is_over` once its world is closed."""

    def __init__(self, server: LocalServer, tenant: str) -> None:
        self._server, self._tenant = server, tenant
        self.is_over = False

    def call(self, method: str, path: str, value: Any = None, *, has: str) -> Any:
        _check_open(self._tenant, is_over=self.is_over)
        if not self._server.is_running:
            raise WorldError("the server of this world was stopped")
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        if token := self._server.app.settings.admin_token:
            headers.append((b"x-admin-token", token.encode()))
        wanted = Wanted(
            method,
            f"/t/{quote(self._tenant, safe='')}/__admin{path}".encode(),
            headers,
            b"" if value is None else orjson.dumps(value),
        )
        told = self._server.run(ask(self._server.app, wanted))
        if told.status >= 300:
            raise WorldError(str(orjson.loads(told.body).get("detail") or told.status))
        return orjson.loads(told.body) if told.body else None


class RemoteControl:
    """The admin API of a server elsewhere; `is_over` once its world is closed."""

    def __init__(self, url: str, tenant: str, token: str) -> None:
        try:
            self._remote = Remote(url, tenant=tenant, token=token)
        except RemoteError as error:
            raise WorldError(str(error)) from None
        self._tenant = tenant
        self.is_over = False

    def call(self, method: str, path: str, value: Any = None, *, has: str) -> Any:
        _check_open(self._tenant, is_over=self.is_over)
        try:
            return self._remote.call(method, path, value, has=has)
        except RemoteError as error:
            raise WorldError(str(error)) from None


Control = LocalControl | RemoteControl
