"""Callbacks by the thousand: each arrives, once, in order; the ledger and the memory of the server stay bounded.

In `make soak` there are a hundred thousand.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from mockserver.store import LEDGER_ENTRIES
from tests.e2e.running import Running, World

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
BATCHES = 10 if SOAK else 1
BATCH = 5_000 if SOAK else 600
"""Tasks of a batch; each has two news."""

KEY = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
TEXT2VIDEO = "/kling/v1/videos/text2video"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Sink(asyncio.Protocol):
    """One connection of a receiver that takes everything and keeps little of it."""

    def __init__(self, receiver: Taking) -> None:
        self._receiver, self._buffer = receiver, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._buffer, 0, end)
            assert found is not None
            size = end + 4 + int(found[1])
            if len(self._buffer) < size:
                return
            self._receiver.take(json.loads(self._buffer[end + 4 : size]))
            self._buffer = self._buffer[size:]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


class Taking:
    """A receiver fast enough for a flood: `counts` by (task, state), `states` by task in the order of arrival."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.states: dict[str, list[str]] = {}
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        def run() -> None:
            made = self._loop.create_server(lambda: Sink(self), "127.0.0.1", 0, backlog=1024)
            self._server = self._loop.run_until_complete(made)
            self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"
            ready.set()
            self._loop.run_forever()
            self._server.close()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def take(self, news: Any) -> None:
        task, state = news["task_id"], news["task_status"]
        self.counts[task, state] += 1
        self.states.setdefault(task, []).append(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def rss_bytes(server: Running) -> int:
    """Return the memory that a server holds."""
    found = re.search(
        r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{server.process.pid}/status").read_text(), re.MULTILINE
    )
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("store", ["memory", "file"])
def test_each_of_many_arrives_once_and_what_is_remembered_of_them_is_bounded(
    store: str, tmp_path: Path
) -> None:
    place = "memory" if store == "memory" else f"sqlite:///{tmp_path / 'tasks.db'}"
    held: list[int] = []
    first = ""
    with Taking() as receiver, Running("--provider", "kling", "--store", place, "--log", "off") as server:
        world = World(server, "flood")
        world.freeze()
        for _ in range(BATCHES):
            for _ in range(BATCH):
                body = {"prompt": "A boat", "callback_url": receiver.url}
                answer = world.post(TEXT2VIDEO, body, headers=KEY)
                assert answer.status_code == 200, answer.text
                first = first or answer.json()["data"]["task_id"]
            server.client.timeout = 300
            events = world.advance("PT10M")
            assert len(events) == 1_000  # as many as an answer tells
            held.append(rss_bytes(server))
        newest = world.deliveries(limit="1")[0]
        of_first = world.deliveries(task=first)
        kept = world.admin("GET", f"/tasks/{first}")["deliveries"]

    # Both news were answered before the clock's answer came, so that nothing is still on its way.
    assert len(receiver.counts) == 2 * BATCH * BATCHES
    assert set(receiver.counts.values()) == {1}
    assert set(map(tuple, receiver.states.values())) == {("processing", "succeed")}
    assert newest["status"] == "delivered"
    is_trimmed = 2 * BATCH * BATCHES > LEDGER_ENTRIES + 1_000
    assert [] == of_first == kept if is_trimmed else len(of_first) == len(kept) == 2
    print([f"{one / 1e6:.0f} MB" for one in held])
    if is_trimmed:
        # What a batch adds is its tasks, a kilobyte each; its deliveries would be five times that.
        added = (held[-1] - held[2]) / (len(held) - 3) / BATCH
        assert added < 2_500, f"{added:.0f} bytes for each task and its two callbacks"
