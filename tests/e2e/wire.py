"""One connection to a server, byte by byte, as clients really use it and no client library would."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol


class Port(Protocol):
    """Something that listens on this machine."""

    @property
    def port(self) -> int: ...


@dataclass
class Answer:
    """One answer off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection, byte by byte."""

    def __init__(self, server: Port) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> Wire:
        """Send parts, each in a packet of its own as far as the system agrees."""
        for part in parts:
            self.socket.sendall(part)
        return self

    def line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._rest += self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _more(self) -> bytes:
        part = self.socket.recv(65_536)
        assert part, f"it hung up after {self._rest[-200:]!r}"
        return part

    def answer(self, *, is_head: bool = False) -> Answer:
        """Read one answer."""
        status = int(self.line().split(b" ")[1])
        headers = {}
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(": ")
            assert name not in headers, f"{name} is there twice"
            headers[name] = value
        if status == 100:
            return Answer(status, headers, b"")
        length = 0 if is_head or status in (204, 304) else int(headers["content-length"])
        while len(self._rest) < length:
            self._rest += self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Tell whether the other side hangs up, having said no more."""
        assert self._rest == b"", self._rest
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
