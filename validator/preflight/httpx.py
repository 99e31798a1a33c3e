"""The hook for httpx: a transport around another one, or two event hooks on a client that is there already.

Nothing of a request or an answer is changed, and no body is read that is not in memory.
"""

from __future__ import annotations

import threading
import weakref
from types import TracebackType
from typing import Any, Final, Self

from validator.preflight.flight import Flight, Preflight

try:
    import httpx
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "validator.preflight.httpx is the hook for httpx, which is not installed: pip install httpx",
        name="httpx",
    ) from None

_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""What is raised before a connection is there: nobody can have taken the request."""


class PreflightTransport(httpx.BaseTransport):
    """A transport that looks at each request before the `wrapped` one sends it; redirects and retries included.

    `wrapped` None is a plain HTTPTransport; options such as `verify`, `http2` and `proxy` are that one's.
    """

    def __init__(self, preflight: Preflight, wrapped: httpx.BaseTransport | None = None) -> None:
        """Take what looks, and what sends."""
        self._preflight = preflight
        self._wrapped = httpx.HTTPTransport() if wrapped is None else wrapped

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer; raises PreflightError, SpendError, and what the wrapped transport raises."""
        flight = _clear(self._preflight, request)
        try:
            response = self._wrapped.handle_request(request)
        except _UNSENT:
            flight.unsent()
            raise
        flight.answered(response.status_code)
        return response

    def __enter__(self) -> Self:
        """Open the wrapped transport."""
        self._wrapped.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the wrapped transport the way it wants to be."""
        self._wrapped.__exit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        """Close the wrapped transport."""
        self._wrapped.close()


class AsyncPreflightTransport(httpx.AsyncBaseTransport):
    """The same for AsyncClient; `wrapped` None is a plain AsyncHTTPTransport."""

    def __init__(self, preflight: Preflight, wrapped: httpx.AsyncBaseTransport | None = None) -> None:
        """Take what looks, and what sends."""
        self._preflight = preflight
        self._wrapped = httpx.AsyncHTTPTransport() if wrapped is None else wrapped

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer; raises PreflightError, SpendError, and what the wrapped transport raises."""
        flight = _clear(self._preflight, request)
        try:
            response = await self._wrapped.handle_async_request(request)
        except _UNSENT:
            flight.unsent()
            raise
        flight.answered(response.status_code)
        return response

    async def __aenter__(self) -> Self:
        """Open the wrapped transport."""
        await self._wrapped.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the wrapped transport the way it wants to be."""
        await self._wrapped.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._wrapped.aclose()


class Installed:
    """A hook on a client that is there already; leaving it as a context manager takes the hook off again."""

    def __init__(self, client: httpx.Client | httpx.AsyncClient, preflight: Preflight) -> None:
        """Put the hook behind those that are there: they may still change the request."""
        if any(
            isinstance(getattr(hook, "__self__", None), Installed) for hook in client.event_hooks["request"]
        ):
            raise ValueError("this client has the hook already; two would count each request twice")
        self._client, self._preflight = client, preflight
        self._flights: weakref.WeakKeyDictionary[httpx.Request, Flight] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        is_async = isinstance(client, httpx.AsyncClient)
        self._hooks: dict[str, Any] = {
            "request": self._leaving_async if is_async else self._leaving,
            "response": self._back_async if is_async else self._back,
        }
        client.event_hooks = {name: [*client.event_hooks[name], hook] for name, hook in self._hooks.items()}

    def remove(self) -> None:
        """Take the hook off the client; nothing happens the second time."""
        hooks = self._client.event_hooks
        self._client.event_hooks = {
            name: [one for one in hooks[name] if one != hook] for name, hook in self._hooks.items()
        }

    def _leaving(self, request: httpx.Request) -> None:
        flight = _clear(self._preflight, request)
        with self._lock:
            self._flights[request] = flight

    def _back(self, response: httpx.Response) -> None:
        with self._lock:
            flight = self._flights.pop(response.request, None)
        if flight is not None:
            flight.answered(response.status_code)

    async def _leaving_async(self, request: httpx.Request) -> None:
        self._leaving(request)

    async def _back_async(self, response: httpx.Response) -> None:
        self._back(response)

    def __enter__(self) -> Self:
        """Return the hook, which is on already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take it off."""
        self.remove()


def install(client: httpx.Client | httpx.AsyncClient, preflight: Preflight) -> Installed:
    """Put the hook on a client that is there already, whatever its transports and proxies are.

    A failed connection cannot be told from a lost answer this way, and counts as perhaps taken;
    :class:`PreflightTransport` knows the difference.  Raises ValueError for a client that has the hook already.
    """
    return Installed(client, preflight)


def _clear(preflight: Preflight, request: httpx.Request) -> Flight:
    # What is sent is the stream; one in memory can be read as often as one likes.
    stream = request.stream
    body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else None
    unseen = "" if body is not None else _why(request)
    return preflight.clear(
        request.method, str(request.url), headers=request.headers, body=body, unseen=unseen
    )


def _why(request: httpx.Request) -> str:
    if request.headers.get("content-type", "").startswith("multipart/"):
        return "it is a form of several parts, made while it is sent"
    return "it is a stream, and reading it would use it up"
