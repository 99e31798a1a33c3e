"""A client's callback endpoint: a real HTTP server that remembers what was sent to it, and answers as it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Callback:
    """One request that arrived: headers by lower-case name, the body as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    asked: Any = None

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Receiver:
    """Listens on a port of its own; `answer` says which status to give.

    `ask` is called with each callback before it is answered, and what it returns is kept as `asked`: so a test
    can look at the API at the very instant of a callback.
    """

    def __init__(
        self,
        *,
        answer: Callable[[Callback], int] = lambda callback: 200,
        ask: Callable[[Callback], Any] = lambda callback: None,
        port: int = 0,
    ) -> None:
        """Listen, on any port or on this one."""
        self.received: list[Callback] = []
        self._news = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("content-length", 0))
                raw = self.rfile.read(size)
                if len(raw) < size:
                    # The sender was killed on the way: nothing arrived.
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                bare = Callback(self.command, self.path, headers, raw)
                found = Callback(self.command, self.path, headers, raw, ask(bare))
                with receiver._news:
                    receiver.received.append(found)
                    receiver._news.notify_all()
                status = answer(found)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A sender that was killed hangs up in the middle; that is no news."""

        self._server = Server(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"

    def url(self, path: str = "/hook") -> str:
        """Return an address of this receiver."""
        return self.origin + path

    def wait_for(self, count: int, *, within_s: float = 30.0) -> list[Callback]:
        """Return what arrived once there are so many."""
        until = time.perf_counter() + within_s
        with self._news:
            while len(self.received) < count:
                left = until - time.perf_counter()
                assert left > 0, f"{len(self.received)} callbacks of {count} arrived"
                self._news.wait(left)
            return list(self.received)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def signature(key: bytes, callback: Callback) -> str:
    """Return what the signature header must be, worked out here and by no code of the server.

    Source: Standard Webhooks 1.0, `id.timestamp.body` under HMAC-SHA256, in Base64.
    """
    signed = b".".join(
        (
            callback.headers["webhook-id"].encode(),
            callback.headers["webhook-timestamp"].encode(),
            callback.raw,
        )
    )
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
