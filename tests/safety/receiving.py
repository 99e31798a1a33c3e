"""Receivers on real ports that write down who came, and a sender that a resolver of a test's own leads to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from mockserver.callbacks import HttpSender
from mockserver.receivers import NotAllowedError, Policy
from mockserver.settings import Settings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ELSEWHERE = {"host": "0.0.0.0", "admin_token": "t"}
"""Settings of a server that others can reach: its callbacks go to a list and nowhere else."""

Resolver = Callable[[str, int], Awaitable[list[str]]]


class Trap:
    """A port that answers everything alike, and keeps what was asked of it."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                seen = b""
                while b"\r\n\r\n" not in seen:
                    part = connection.recv(65_536)
                    if not part:
                        break
                    seen += part
                self.heads.append(seen)
                connection.sendall(self.answer)

    def __enter__(self) -> Trap:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


def resolver(*answers: Sequence[str] | str) -> Resolver:
    """Return a look-up that gives these answers, one each time it is asked, the last for ever."""
    left: list[Sequence[str] | str] = list(answers)

    async def look_up(host: str, port: int) -> list[str]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [found] if isinstance(found, str) else list(found)

    return look_up


def deliver(
    *urls: str, resolver: Resolver | None = None, within_s: float = 5.0, **settings: Any
) -> list[int | Exception]:
    """Send to each URL in turn, over real sockets; return what came of it: a status, or why not."""

    async def go() -> list[int | Exception]:
        policy = Policy.of(Settings(**settings))
        sender = HttpSender(policy, resolver=resolver) if resolver is not None else HttpSender(policy)
        out: list[int | Exception] = []
        for url in urls:
            try:
                out.append(await sender.send("POST", url, [("X-Toy", "1")], b"{}", within_s))
            except (NotAllowedError, OSError) as error:
                out.append(error)
        await sender.close()
        return out

    return asyncio.run(go())


@contextlib.contextmanager
def never_connected() -> Iterator[list[str]]:
    """Let no delivery get as far as a socket; yield the addresses that one would have been opened to."""
    reached: list[str] = []

    async def send(self: Any, method: str, parts: Any, address: str, *_: Any) -> int:
        reached.append(address)
        return 200

    original = HttpSender._send
    HttpSender._send = send  # type: ignore[method-assign,assignment]
    try:
        yield reached
    finally:
        HttpSender._send = original  # type: ignore[method-assign]
