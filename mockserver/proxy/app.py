"""The proxy as one ASGI application: providers' paths are passed on, the rest is that of the mock server.

Journal, archive and clock are steered under /__admin as there; there are no tasks of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final

import orjson

from mockserver.app import App
from mockserver.clock import Wall, wall_ms
from mockserver.log import RequestLog
from mockserver.proxy import WINDOW_S
from mockserver.proxy.answers import Judge
from mockserver.proxy.courses import Courses, Recorder
from mockserver.proxy.flights import Flights
from mockserver.proxy.passage import ADMIN_CALLS, Passage, admin_call
from mockserver.proxy.totals import Guard, summary, summary_json
from mockserver.proxy.upstream import Upstream
from mockserver.recordings import head_line
from mockserver.settings import Settings
from mockserver.visits import AsgiScope, Receive, Send
from mockserver.wallets import money_of
from validator.contract.model import Contract

LAST_WAIT_S: Final = 3.0
"""Seconds that a request for a task gets to come to its end when the server stops, beside those of the server."""


class Proxy(App):
    """The application; one upstream for each provider."""

    def __init__(
        self,
        settings: Settings,
        contracts: Mapping[str, Contract],
        upstreams: Mapping[str, Upstream],
        guards: Mapping[str, Guard],
        *,
        window_s: float = WINDOW_S,
        passes: frozenset[str] = frozenset(),
        is_annotated: bool = False,
        recorder: Recorder | None = None,
        wall: Wall = wall_ms,
        request_log: RequestLog | None = None,
    ) -> None:
        """Put the parts together; `window_s` 0 holds no equal submit back."""
        super().__init__(settings, contracts, wall=wall, request_log=request_log)
        self.upstreams, self.guards, self.recorder = upstreams, guards, recorder
        self.window_s = window_s
        judges = {name: Judge(contract) for name, contract in contracts.items()}
        self._pipeline: Passage = Passage(
            self.backend,
            self.outbox,
            self.log,
            self._patience,
            upstreams=upstreams,
            guards=guards,
            flights=Flights(int(window_s * 1000)),
            courses=Courses(judges, recorder),
            judges=judges,
            passes=passes,
            is_annotated=is_annotated,
        )

    def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; of the control plane what has a meaning here."""
        if scope["type"] == "http":
            call = admin_call(scope["path"])
            is_foreign = scope["path"] == "/" and self._pipeline.is_odd(scope)
            if is_foreign or (call and call not in ADMIN_CALLS):
                return self._pipeline(scope, receive, send)
        return super().__call__(scope, receive, send)

    def start(self) -> None:
        """Begin, and begin the recording."""
        super().start()
        if self.recorder is not None:
            urls = {name: upstream.url for name, upstream in self.upstreams.items()}
            self.recorder.line(head_line(self.backend.wall(), urls))

    def let_go(self) -> None:
        """End what waits, and answers that are passed on as they come."""
        super().let_go()
        self._pipeline.let_go()

    async def stop(self) -> None:
        """Wait for tasks that are being made, close the connections, and stop."""
        await self._pipeline.close(LAST_WAIT_S)
        await super().stop()

    def summary(self) -> str:
        """Return what passed and what did not, "" where nothing was asked; JSON where the log is."""
        if self.settings.log == "json":
            return orjson.dumps({"summary": summary_json(self._pipeline.totals, self.guards)}).decode()
        money = {name: money_of(contract) for name, contract in self.backend.contracts.items()}
        return summary(self._pipeline.totals, self.guards, money)
