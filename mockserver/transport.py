"""An httpx transport, sync and async in one, that leads into a server of this process without a socket.

What a client would notice on a real connection it notices here: answers that come in pieces, time-outs, connections
that are cut or reset.  Knows nothing of tests.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import httpx

from mockserver.inprocess import END, Exchange, Wanted
from mockserver.local import LocalServer

ANY_HOST: Final = "understudy.test"
"""The host in the addresses of a server without a port; .test leads nowhere on any machine (RFC 2606)."""

_TENANT: Final = "x-mock-tenant"


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Leads requests to one tenant of a server: those to the server itself, and those to the real hosts it plays.

    A request to any other host is an error: it was meant for somebody else.  The async half works in asyncio.
    """

    def __init__(self, server: LocalServer, tenant: str = "") -> None:
        """Serve a tenant, the default one where no name is given and no path names one."""
        self._server, self._tenant = server, tenant
        contracts = server.app.backend.contracts.values()
        self._hosts = {ANY_HOST, *(host for one in contracts for host in one.hosts)}
        self._own = httpx.URL(server.origin) if server.origin else None

    # --- sync

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer as soon as its head is there; raises the exceptions of httpx."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        wanted = self._wanted(request, b"".join(request.stream))
        line = _Line(self._server, wanted, request)
        try:
            start = line.next()
        except BaseException:
            line.hang_up()
            raise
        return httpx.Response(
            start["status"], headers=start["headers"], stream=_Stream(line), extensions=_extensions(request)
        )

    # --- async

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Do the same without blocking the loop that it is awaited in."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "the transport works in asyncio only; give a client in another loop the base URL, and no transport"
            ) from None
        assert isinstance(request.stream, httpx.AsyncByteStream)
        wanted = self._wanted(request, b"".join([part async for part in request.stream]))
        line = _AsyncLine(self._server, wanted, request, loop)
        try:
            start = await line.next()
        except BaseException:
            line.hang_up()
            raise
        return httpx.Response(
            start["status"],
            headers=start["headers"],
            stream=_AsyncStream(line),
            extensions=_extensions(request),
        )

    def _wanted(self, request: httpx.Request, body: bytes) -> Wanted:
        if not self._is_for_us(request.url):
            raise httpx.ConnectError(
                f"{request.url.netloc.decode('ascii')} is no host of this understudy, and it calls nobody else;"
                " httpx mounts={'all://HOST': transport} keeps its transport to some hosts",
                request=request,
            )
        headers = list(request.headers.raw)
        if self._tenant and not request.url.raw_path.startswith(b"/t/") and _TENANT not in request.headers:
            headers.append((_TENANT.encode(), self._tenant.encode()))
        return Wanted(request.method, request.url.raw_path, headers, body, request.url.scheme)

    def _is_for_us(self, url: httpx.URL) -> bool:
        if url.host in self._hosts:
            return True
        # Other ports of this machine belong to other programs.
        own = self._own
        return own is not None and url.port == own.port and url.host in (own.host, "localhost")


def _extensions(request: httpx.Request) -> dict[str, Any]:
    return {"http_version": b"HTTP/1.1"}


def _patience(request: httpx.Request) -> float | None:
    """Return how many seconds the client waits for the next piece of an answer, None for ever."""
    timeouts: Any = request.extensions.get("timeout", {})
    seconds: float | None = timeouts.get("read")
    return seconds


def _ended(message: dict[str, Any], request: httpx.Request, *, has_begun: bool) -> None:
    """Raise what httpx raises for a connection that ended so; nothing for an answer that came to its end."""
    how = message["how"]
    if how == "reset":
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
    if how == "cut" and has_begun:
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body", request=request
        )
    if isinstance(how, Exception):
        raise httpx.ReadError(f"the server died of it: {how!r}", request=request) from how
    if not has_begun:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)


class _Call:
    """A request that runs in the server's loop, whose messages arrive at the client's end."""

    def __init__(
        self,
        server: LocalServer,
        wanted: Wanted,
        request: httpx.Request,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        if not server.is_running:
            raise httpx.ConnectError("the understudy was stopped", request=request)
        self.request = request
        self._has_begun = self._is_over = False
        self._loop = server.loop
        self._exchange = Exchange(server.app, wanted, tell)
        asyncio.run_coroutine_threadsafe(self._exchange.run(), self._loop)

    def taken(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Return a message, None at the end of the answer; raises the exceptions of httpx."""
        if message["type"] != END:
            self._has_begun = True
            return message
        self._is_over = True
        _ended(message, self.request, has_begun=self._has_begun)
        return None

    def late(self) -> httpx.ReadTimeout:
        return httpx.ReadTimeout("The read operation timed out", request=self.request)

    def hang_up(self) -> None:
        """Tell the server that nobody listens any more, where it is still answering."""
        if not self._is_over and not self._loop.is_closed():
            self._is_over = True
            self._loop.call_soon_threadsafe(self._exchange.leave)


class _Line(_Call):
    def __init__(self, server: LocalServer, wanted: Wanted, request: httpx.Request) -> None:
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        super().__init__(server, wanted, request, self._messages.put)

    def next(self) -> Any:
        try:
            message = self._messages.get(timeout=_patience(self.request))
        except queue.Empty:
            raise self.late() from None
        return self.taken(message)


class _AsyncLine(_Call):
    def __init__(
        self,
        server: LocalServer,
        wanted: Wanted,
        request: httpx.Request,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def tell(message: dict[str, Any]) -> None:
            # A client that went away with its loop hears nothing more.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._messages.put_nowait, message)

        super().__init__(server, wanted, request, tell)

    async def next(self) -> Any:
        try:
            async with asyncio.timeout(_patience(self.request)):
                message = await self._messages.get()
        except TimeoutError:
            raise self.late() from None
        return self.taken(message)


class _Stream(httpx.SyncByteStream):
    def __init__(self, line: _Line) -> None:
        self._line = line

    def __iter__(self) -> Iterator[bytes]:
        try:
            while (message := self._line.next()) is not None:
                if message.get("body"):
                    yield message["body"]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._line.hang_up()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, line: _AsyncLine) -> None:
        self._line = line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (message := await self._line.next()) is not None:
                if message.get("body"):
                    yield message["body"]
        except BaseException:
            self._line.hang_up()
            raise

    async def aclose(self) -> None:
        self._line.hang_up()
