"""A server in a process of its own, with the face of the one in this process: `Mock` over a real socket."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any

import orjson

from tests.e2e.running import Running
from tests.mock import HOST, Mock, Reply


class Served(Mock):
    """What :class:`tests.mock.Mock` does for requests and the control plane, said over HTTP."""

    def __init__(self, running: Running) -> None:
        """Speak to a server that runs."""
        self.running = running
        self._connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)

    def call(
        self,
        method: str,
        target: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return the answer."""
        # Always the same Host, as in process: result URLs are made of it.
        known = {"host": HOST}
        if json is not None:
            body = orjson.dumps(json)
            known["content-type"] = "application/json"
        known |= {name.lower(): value for name, value in (headers or {}).items()}
        self._connection.request(method, target, body, {k: v for k, v in known.items() if v != ""})
        answer = self._connection.getresponse()
        content = answer.read()
        pairs = [(name.lower(), value) for name, value in answer.getheaders()]
        assert len(pairs) == len(dict(pairs)), f"a header is there twice: {pairs}"
        return Reply(answer.status, dict(pairs), content)

    def close(self) -> None:
        """Let go of the connection; the server runs on."""
        self._connection.close()
