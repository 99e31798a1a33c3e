"""One request at a time to the server that is asked: no redirects, no retries of its own, a bounded answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from mockserver.drift.verdicts import Received

MOST_BYTES: Final = 1_000_000
"""Bytes of an answer that are read; no refusal has a hundredth."""


class Sender(Protocol):
    """Whoever sends."""

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Send a request to a path below the server's URL; return what came back, never raise for the network."""

    def close(self) -> None:
        """Let go of the connection."""


class HttpSender:
    """Sends over HTTP; `base` is the URL below which the provider's paths lie."""

    def __init__(self, base: str, *, timeout_s: float) -> None:
        """Open nothing yet; proxies and certificates are those of the environment."""
        import httpx

        self._base = base.rstrip("/")
        self._httpx: Any = httpx
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Send a request."""
        known = {"user-agent": "understudy-drift", "accept": "application/json"} | dict(headers)
        try:
            request = self._client.build_request(method, self._base + target, headers=known, content=body)
            answer = self._client.send(request, stream=True)
            try:
                content = b""
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        break
            finally:
                answer.close()
        except (
            self._httpx.ConnectError,
            self._httpx.ConnectTimeout,
            self._httpx.UnsupportedProtocol,
        ) as error:
            return Received(headers={}, problem=f"no connection: {_reason(error)}", is_sent=False)
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            return Received(headers={}, problem=f"no answer: {_reason(error)}")
        named = {name.lower(): value for name, value in answer.headers.items()}
        return Received(status=answer.status_code, headers=named, body=content)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
