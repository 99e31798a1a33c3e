"""A server inside a program: in a thread of its own, on a port or on none, with the application at hand.

For tests, rehearsals and whatever else wants to look behind the answers.  `understudy serve` is `server.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from mockserver.app import App, load_contracts
from mockserver.callbacks import Sender
from mockserver.clock import Wall, wall_ms
from mockserver.server import listen, loop_factory, make_server
from mockserver.settings import Settings
from validator.contract.model import Contract

T = TypeVar("T")

START_S: Final = 30.0
"""Seconds that a start may take; most of it is the machine being busy with something else."""


class LocalServer:
    """A server that runs in a thread.  `origin` is http://127.0.0.1:PORT, or "" where it has no port.

    `app` belongs to the thread: read what is frozen in it, and let :meth:`run` do the rest.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        contracts: Mapping[str, Contract] | None = None,
        sender: Sender | None = None,
        wall: Wall = wall_ms,
        has_port: bool = True,
    ) -> None:
        """Start it, and return once it answers; port 0 of the settings takes any.

        Raises SpecError, SettingError and StoreError as `understudy serve` would.
        """
        settings = settings or Settings(port=0, log="off")
        contracts = load_contracts(settings) if contracts is None else contracts
        self._socket = listen(settings.host, settings.port) if has_port else None
        if self._socket is not None:
            settings = replace(settings, port=self._socket.getsockname()[1])
        try:
            self.app = App(settings, contracts, sender=sender, wall=wall)
        except BaseException:
            if self._socket is not None:
                self._socket.close()
            raise
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.origin = f"http://{host}:{settings.port}" if has_port else ""
        self._is_ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Any = None
        self._thread = threading.Thread(target=self._live, name="understudy", daemon=True)
        self._thread.start()
        if not self._is_ready.wait(START_S) or self._error is not None:
            raise self._error or TimeoutError(f"the server did not start within {START_S:g} s")

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except BaseException as error:  # told in the thread that waits for the start
            self._error = error
            self._is_ready.set()
            if self._socket is not None:
                self._socket.close()

    async def _serve(self) -> None:
        if self._socket is not None:
            server = make_server(self.app, on_ready=self._is_ready.set)
            self._stop = server.stop
            await server.serve(sockets=[self._socket])
            return
        over = asyncio.Event()
        self._stop = over.set
        self.app.start()
        self._is_ready.set()
        await over.wait()
        await self.app.stop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's thread and return its result; not to be called from that thread."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that the application runs in."""
        assert self._loop is not None
        return self._loop

    @property
    def is_running(self) -> bool:
        """Tell whether it still answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop it, and return when it has; a second time does nothing."""
        if self._thread.is_alive() and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the running server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
