"""A server in a process of its own, with the face of the one in this process: `Mock` over a real socket."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from tests.e2e.running import Running
from tests.mock import HOST, Mock, Reply


class Served(Mock):
    """What :class:`tests.mock.Mock` does for requests and the control plane, said over HTTP."""

    def __init__(self, running: Running, *, tenants: Sequence[str] = ("default",)) -> None:
        """Speak to a server that runs; `tenants` are those whose callbacks :meth:`settle` waits for."""
        self.running, self.tenants = running, tenants
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

    def settle(self) -> None:
        """Wait until every callback that is due was tried."""
        for tenant in self.tenants:
            while True:
                now = self.admin("GET", "/clock", tenant=tenant)["now_ms"]
                ledger = self.deliveries(tenant=tenant, query="?limit=1000")
                if not any(at <= now for at in _next_of_each_task(ledger)):
                    break

    def stop(self) -> None:
        """Stop the server as a user does."""
        self.close()
        self.running.__exit__(None, None, None)

    def close(self) -> None:
        """Let go of the connection; the server runs on."""
        self._connection.close()


def _next_of_each_task(ledger: list[dict[str, Any]]) -> Iterator[int]:
    """Yield when the oldest open callback of each task is tried next; later news wait for it."""
    seen: set[str] = set()
    for one in ledger:
        if one["next_at"] is not None and one["task"] not in seen:
            seen.add(one["task"])
            yield round(datetime.fromisoformat(one["next_at"]).timestamp() * 1000)
