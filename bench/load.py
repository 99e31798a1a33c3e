"""A load generator of our own, for where wrk is not installed or an exact number of requests is wanted.

`python -m bench.load` reads one JSON object from standard input (see :class:`Load`), sends, and prints
`{"count": ..., "seconds": ..., "refused": ..., "p50_us": ..., "p99_us": ..., "most_us": ..., "last": ...}`; the
times are there where one connection asks alone.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent: the same request again and again, for a time or a number of times, whichever ends first."""

    port: int
    method: str
    target: str
    headers: dict[str, str]
    body: str = ""
    connections: int = 16
    seconds: float = 3600.0
    count: int = 0

    def to_json(self) -> str:
        """Return what the process that sends it reads."""
        return json.dumps(asdict(self))

    def message(self) -> bytes:
        """Return the request as it goes over the wire."""
        body = self.body.encode()
        headers = {"Host": f"127.0.0.1:{self.port}", **self.headers}
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Tally:
    def __init__(self, load: Load) -> None:
        self.message = load.message()
        self.left = load.count or sys.maxsize
        self.count = self.refused = 0
        self.times: list[float] = []
        self.last = b""
        self.is_over = False
        self.keeps_times = load.connections == 1


class _Connection(asyncio.Protocol):
    """One request at a time: the next goes out when the answer to the last is whole."""

    def __init__(self, tally: _Tally, done: asyncio.Future[None]) -> None:
        self._tally, self._done = tally, done
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        tally = self._tally
        if tally.is_over or tally.left <= 0:
            self._transport.close()
            return
        tally.left -= 1
        if tally.keeps_times:
            self._sent = time.perf_counter()
        self._transport.write(tally.message)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.lower().index(b"content-length:", 0, end + 2) + 15
        size = end + 4 + int(self._buffer[at : self._buffer.index(b"\r\n", at)])
        if len(self._buffer) < size:
            return
        tally = self._tally
        if tally.keeps_times:
            tally.times.append(time.perf_counter() - self._sent)
        tally.count += 1
        if self._buffer[9:10] != b"2":
            tally.refused += 1
        tally.last = self._buffer[end + 4 : size]
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def send(load: Load) -> dict[str, Any]:
    """Send a load, and return what came of it."""
    loop = asyncio.get_running_loop()
    tally = _Tally(load)
    ends = [loop.create_future() for _ in range(load.connections)]
    started = time.perf_counter()
    for end in ends:
        await loop.create_connection(functools.partial(_Connection, tally, end), "127.0.0.1", load.port)
    await asyncio.wait(ends, timeout=load.seconds)
    tally.is_over = True
    seconds = time.perf_counter() - started
    tally.times.sort()
    return {
        "count": tally.count,
        "seconds": seconds,
        "refused": tally.refused,
        "p50_us": _at(tally.times, 0.5),
        "p99_us": _at(tally.times, 0.99),
        "most_us": _at(tally.times, 1.0),
        "last": tally.last.decode(),
    }


def _at(times: list[float], share: float) -> float | None:
    """Return the time, in microseconds, that this share of the sorted times does not exceed."""
    return times[min(int(len(times) * share), len(times) - 1)] * 1e6 if times else None


def main() -> None:
    """Send what standard input says."""
    load = Load(**json.loads(sys.stdin.read()))
    try:
        import uvloop

        factory: Any = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(send(load))))


if __name__ == "__main__":
    main()
