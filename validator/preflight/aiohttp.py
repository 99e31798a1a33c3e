"""The hook for aiohttp: a client middleware.

Nothing of a request or an answer is changed, and no body is read that is not in memory.
"""

from __future__ import annotations

from typing import Final

from validator.preflight.flight import Flight, Preflight

try:
    import aiohttp
    from aiohttp import ClientHandlerType
except ImportError:
    raise ModuleNotFoundError(
        "validator.preflight.aiohttp is the hook for aiohttp, which is not installed, or older than 3.12 and has no "
        "middlewares: pip install 'aiohttp>=3.12'",
        name="aiohttp",
    ) from None

_UNSENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
"""What is raised before a connection is there: nobody can have taken the request."""


class PreflightMiddleware:
    """A middleware that looks at each request before it is sent, redirects and retries included.

    `aiohttp.ClientSession(middlewares=(PreflightMiddleware(preflight),))`; put it last, behind those that change
    requests.  A call with `middlewares=` of its own goes past those of the session.
    """

    def __init__(self, preflight: Preflight) -> None:
        """Take what looks."""
        self._preflight = preflight

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Return the answer; raises PreflightError, SpendError, and what the request raises."""
        flight = await _clear(self._preflight, request)
        try:
            response = await handler(request)
        except _UNSENT:
            flight.unsent()
            raise
        flight.answered(response.status)
        return response


async def _clear(preflight: Preflight, request: aiohttp.ClientRequest) -> Flight:
    payload = request.body
    body: bytes | None = b""
    unseen = ""
    if isinstance(payload, aiohttp.BytesPayload):
        body = await payload.as_bytes()
    elif isinstance(payload, aiohttp.Payload):
        body, unseen = None, _why(payload)
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        known = headers.get(name)
        headers[name] = value if known is None else f"{known}, {value}"
    return preflight.clear(request.method, str(request.url), headers=headers, body=body, unseen=unseen)


def _why(payload: aiohttp.Payload) -> str:
    if isinstance(payload, aiohttp.MultipartWriter):
        return "it is a form of several parts, made while it is sent"
    return "it is a file or a stream, and reading it would use it up"
