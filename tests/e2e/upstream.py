"""A host that keeps every byte it gets and answers as a test wants it: no HTTP library stands between."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Asked:
    """One request as it came: the first line, the headers in order, the body."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name]


Handler = Callable[[socket.socket, Asked], None]


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return an answer, with a length unless the headers say how long it is."""
    known = (
        ["Content-Type: application/json", *headers]
        if not any("ontent-" in one for one in headers)
        else list(headers)
    )
    if not any(one.lower().startswith(("content-length", "transfer-encoding")) for one in known):
        known.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([f"HTTP/1.1 {status}", *known, "", ""]).encode("latin-1") + body


class Host:
    """Listens on a port; `handle` answers a request, `asked` are all so far, `gone` counts hang-ups of clients."""

    def __init__(self, handle: Handler | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.handle: Handler = handle or (lambda peer, asked: peer.sendall(answer()))
        self.asked: list[Asked] = []
        self.connections = 0
        self._tls = tls
        self._news = threading.Condition()
        self._peers: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True)
            rest = b""
            while True:
                while b"\r\n\r\n" not in rest:
                    part = peer.recv(65_536)
                    if not part:
                        return
                    rest += part
                head, _, rest = rest.partition(b"\r\n\r\n")
                line, *lines = head.decode("latin-1").split("\r\n")
                headers = tuple(
                    (name, value.strip()) for name, _, value in (one.partition(":") for one in lines)
                )
                length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
                while len(rest) < length:
                    rest += peer.recv(65_536)
                body, rest = rest[:length], rest[length:]
                asked = Asked(line, headers, body)
                with self._news:
                    self.asked.append(asked)
                    self._news.notify_all()
                self.handle(peer, asked)
        peer.close()

    def wait_for(self, count: int) -> list[Asked]:
        """Return the requests once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.asked) >= count, timeout=20), self.asked
            return list(self.asked)

    def close(self) -> None:
        for one in (self._listener, *self._peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
