"""Heads without end, heads of many lines, and lines behind a body, where a reader may have stopped counting.

Memory stays bounded while they come, and afterwards in the journal, which keeps heads.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from mockserver.server import MOST_HEADERS
from tests.e2e.running import Running
from tests.e2e.wire import Wire
from tests.mock import Mock
from tests.providers import TOY
from tests.safety.memory import MB, held_bytes, peak_bytes

HEAD = b"GET /toy/api/clips HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Toy-Key: toy-key-1\r\n"
CHUNKED = (
    HEAD.replace(b"GET", b"POST") + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
ADMIN = b"PUT /__admin/clock HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
MOST = 40_000_000

FLOODS = {
    "lines": (HEAD, b"X-A: b\r\n" * 1_000),
    "one-name": (HEAD, b"a" * 8_000),
    "one-value": (HEAD + b"X-A: ", b"a" * 8_000),
    "folded": (HEAD + b"X-A: b\r\n", b" and more\r\n" * 800),
    "target": (b"GET /", b"a" * 8_000),
    "query": (b"GET /toy/api/clips?", b"a=b&" * 2_000),
    "cookies": (HEAD + b"Cookie: ", b"a=b; " * 1_600),
    "empty-lines": (HEAD, b"X:\r\n" * 2_000),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 1_000),
    "one-trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: ", b"a" * 8_000),
    "chunk-notes": (CHUNKED, b"1;" + b"a" * 8_000 + b"\r\n \r\n"),
    "one-chunk-note": (CHUNKED + b"1;", b"a" * 8_000),
    "chunk-size": (CHUNKED, b"0" * 8_000),
    "admin-trailers": (ADMIN + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 1_000),
    "admin-chunk-note": (ADMIN + b"1;", b"a" * 8_000),
    "second-head": (HEAD + b"\r\n" + HEAD, b"X-A: b\r\n" * 1_000),
}


@pytest.fixture(scope="module")
def toy() -> Iterator[Running]:
    """A server of the toy alone."""
    with Running("--spec", str(TOY), "--log", "off") as running:
        for _ in range(200):
            running.client.get("/toy/api/clips", headers={"X-Toy-Key": "toy-key-1"})
        yield running


def flood(server: Running, name: str, most: int = MOST) -> int:
    """Send without end; return how many bytes were taken."""
    begin, piece = FLOODS[name]
    sent = 0
    with Wire(server) as wire, contextlib.suppress(ConnectionError):
        wire.send(begin)
        while sent < most:
            wire.send(piece)
            sent += len(piece)
    return sent


@pytest.mark.parametrize("name", FLOODS)
def test_what_has_no_end_is_cut_off(toy: Running, name: str) -> None:
    sent = flood(toy, name)

    assert sent < MOST, "it was read to the end"
    assert 200 == toy.client.get("/__admin/health").status_code


def test_many_floods_at_once_stay_small(toy: Running) -> None:
    before = held_bytes(toy.process.pid)

    threads = [threading.Thread(target=flood, args=(toy, name)) for name in FLOODS for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)

    assert 200 == toy.client.get("/__admin/health").status_code
    assert peak_bytes(toy.process.pid) - before < 150 * MB


def test_more_lines_than_anybody_sends_are_refused(toy: Running) -> None:
    for count, expected in ((MOST_HEADERS - 10, 200), (MOST_HEADERS + 1, 431), (8_000, 431)):
        with Wire(toy) as wire:
            answer = wire.send(HEAD + b"X:\r\n" * count + b"\r\n").answer()
            assert expected == answer.status, count


def test_the_journal_holds_no_more_of_long_heads_than_it_may() -> None:
    """Many short lines count for what they take, a path and what an answer repeats as well."""
    shapes = [
        {f"x-{index}": "x" for index in range(900)},
        {"x-long": "h" * 60_000},
        {"prefer": "x" * 60_000},
    ]
    for headers in shapes:
        with Mock(journal_bytes=2_000_000, log="off") as mock:
            for _ in range(60):
                mock.call("GET", "/toy/api/clips", headers=headers)
            assert len(mock.app.backend.tenants["default"].journal) <= 30
    with Mock(journal_bytes=2_000_000, log="off") as mock:
        for _ in range(100):
            mock.call("GET", "/toy/" + "a" * 60_000)
        assert len(mock.app.backend.tenants["default"].journal) <= 35


def test_a_server_under_ten_thousand_long_heads_stays_small(toy: Running) -> None:
    def load() -> None:
        with Wire(toy) as wire:
            for index in range(500):
                wire.send(HEAD + b"X-%d: %s\r\n" % (index, b"a" * 60_000) + b"\r\n").answer()

    before = held_bytes(toy.process.pid)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)

    # 2,000 heads of 60 kB are 120 MB; the journal may hold 32.
    assert held_bytes(toy.process.pid) - before < 90 * MB


def test_long_credentials_are_not_remembered_as_they_are() -> None:
    """Ten thousand are; of 60 kB each they would take 600 MB, for each provider."""
    with Mock(log="off", journal_entries=0) as mock:
        for index in range(300):
            mock.call("GET", "/toy/api/clips", headers={"x-toy-key": f"{index}-" + "k" * 60_000})
            mock.call("GET", "/toy/api/clips", headers={"authorization": f"Bearer {index}." + "k" * 60_000})
        remembered = mock.app._pipeline._desks["toy"].principals

        assert len(remembered) >= 300
        assert sum(len(str(key)) for key in remembered) < 200_000
