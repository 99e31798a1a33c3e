"""A tenant for one client on trial, in process: its requests, its callbacks, a time that it can sleep through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mockserver.faults import ConnectionCutError
from mockserver.trial import Conduct, Program, conduct_of
from tests.mock import Mock, Reply

TENANT = "trial"
KEY = "toy-secret-key-1"
HOOK = "http://receiver.test/hook"
BASE = f"/t/{TENANT}/toy/api"

OnCallback = Callable[[Mapping[str, str], bytes], int]


class Lost(OSError):
    """The connection ended before the answer did."""


class World:
    """The toy provider, and what a client needs of it.  `sleep` is the client's own."""

    def __init__(self, *, plan: Sequence[Mapping[str, Any]] = (), **settings: Any) -> None:
        known: dict[str, Any] = {
            "limits": {("toy", unit): 1e6 for unit in ("requests", "concurrent-tasks", "credits")},
            "plan": list(plan),
        }
        self.on_callback: OnCallback = lambda headers, body: 200
        self.mock = Mock(sender=self, **(known | settings))

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.mock.stop()

    # --- what the server does to the client

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, within_s: float
    ) -> int:
        status = self.on_callback({name.lower(): value for name, value in headers}, body)
        if not status:
            raise OSError("nobody answers")
        return status

    async def close(self) -> None:
        """Nothing to let go of."""

    # --- what the client does

    @property
    def now_s(self) -> float:
        """The client's own clock."""
        return self.mock.wall.at / 1000

    def sleep(self, seconds: float) -> None:
        self.mock.wait(seconds)

    def request(
        self, method: str, target: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        path = target if target.startswith("/t/") else BASE + target
        try:
            return self.mock.call(method, path, json=json, headers={"x-toy-key": KEY} | dict(headers or {}))
        except (ConnectionCutError, AssertionError, ValueError) as error:
            # The harness unpacks an answer that was never begun, or measures one that was cut.
            raise Lost(str(error)) from error

    def fetch(self, url: str) -> Reply:
        """Fetch a file as a client does: without the key, and by the URL it was told."""
        path = "/" + url.partition("://")[2].partition("/")[2]
        try:
            return self.mock.call("GET", path)
        except (ConnectionCutError, AssertionError, ValueError) as error:
            raise Lost(str(error)) from error

    # --- what came of it

    def conduct(self, *, program: Program | None = None, baseline: Conduct | None = None) -> Conduct:
        async def read() -> Conduct:
            await asyncio.sleep(0)
            return conduct_of(self.mock.app.backend, TENANT, program=program, baseline=baseline)

        return self.mock.run(read())

    def admin(self, method: str, path: str, json: Any = None) -> Any:
        return self.mock.admin(method, path, json, tenant=TENANT)
