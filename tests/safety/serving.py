"""The server on a real port, in a thread of the test's own, with less patience than a real one has."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from mockserver.app import App
from mockserver.server import QuickServer, listen, make_server
from mockserver.settings import Settings
from tests.providers import contract


class Served:
    """A server that runs while the test does; `port` is where."""

    def __init__(
        self, *providers: str, patience_s: float = 0.2, most_connections: int | None = None, **settings: Any
    ) -> None:
        self.app = App(
            Settings(log="off", **settings), {name: contract(name) for name in providers or ("toy",)}
        )
        self._socket = listen("127.0.0.1", 0)
        self.port: int = self._socket.getsockname()[1]
        self._options = {"patience_s": patience_s, "most_connections": most_connections}
        self._ready = threading.Event()
        self._server: QuickServer
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._server = make_server(self.app, on_ready=self._ready.set, **self._options)  # type: ignore[arg-type]
            await self._server.serve(sockets=[self._socket])

        try:
            import uvloop

            factory: Any = uvloop.new_event_loop
        except ImportError:
            factory = None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve())

    @property
    def connections(self) -> int:
        """Return how many connections there are."""
        return len(self._server.server_state.connections)

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()
