"""Bodies as large as may be, larger, and many at once: refused as the provider does, and memory comes back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from mockserver import pipeline
from tests.e2e.running import Running
from tests.e2e.wire import Wire
from tests.mock import Mock
from tests.mockserver.clients import credential
from tests.providers import LIBRARY, contract
from tests.safety.memory import MB, held_bytes, peak_bytes

MOST = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """All providers, with the limits they have by default."""
    with Running("--log", "off") as running:
        yield running


def head(name: str, length: int | None) -> bytes:
    operation = next(one for one in contract(name).operations.values() if one.role == "create")
    ((header, value),) = credential(operation).items()
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"POST /{name}{operation.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}: {value}\r\n"
        f"Content-Type: application/json\r\n{framing}\r\n\r\n"
    ).encode()


def send(server: Running, name: str, size: int, *, is_chunked: bool = False, fill: bytes = b"a") -> int:
    """Send a body of a size, one long text; return the status."""
    with Wire(server) as wire:
        wire.socket.settimeout(60)
        begin, end = b'{"prompt": "', b'"}'
        wire.send(head(name, None if is_chunked else size))
        left = size - len(begin) - len(end)
        with contextlib.suppress(ConnectionError):
            wire.send(b"%x\r\n%s\r\n" % (len(begin), begin) if is_chunked else begin)
            while left > 0:
                piece = fill * min(left, 1_000_000)
                wire.send(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
                left -= len(piece)
            wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end) if is_chunked else end)
        return wire.answer().status


@pytest.mark.parametrize("name", LIBRARY)
def test_a_body_of_64_mib_is_judged_like_any_other(server: Running, name: str) -> None:
    before = held_bytes(server.process.pid)

    status = send(server, name, MOST)

    assert 400 <= status < 500
    assert status != 413, "it is as large as may be, not larger"
    # The body, what is read of it, and what a message may hold of it; none of that is kept.
    assert peak_bytes(server.process.pid) - before < 12 * MOST
    server.client.get("/__admin/requests?limit=1").raise_for_status()
    assert held_bytes(server.process.pid) - before < 150 * MB


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_larger_one_is_the_providers_413(server: Running, name: str, is_chunked: bool) -> None:
    before = held_bytes(server.process.pid)

    status = send(server, name, MOST + 1, is_chunked=is_chunked)

    assert 413 == status or (status == 400 and name != "modellix"), status
    assert held_bytes(server.process.pid) - before < 150 * MB


@pytest.mark.parametrize("name", LIBRARY)
def test_what_announces_far_too_much_is_not_read_at_all(server: Running, name: str) -> None:
    for length in (10**12, 2**63 - 1):
        with Wire(server) as wire:
            answer = wire.send(head(name, length)).answer()
            assert 400 <= answer.status < 500
            assert "close" == answer.headers["connection"]
            assert wire.is_closed()


def test_many_at_once_stay_bounded(server: Running) -> None:
    """Forty of 40 MB would be 1.6 GB; past 512 MiB on their way the newest are sent away, and may come again."""
    before = held_bytes(server.process.pid)
    size, wires = 40 * MB, []
    sent_away = 0
    for _ in range(40):
        wire = Wire(server)
        wire.socket.settimeout(60)
        wires.append(wire)
        with contextlib.suppress(ConnectionError):
            wire.send(head("kling", size), b'{"prompt": "')
            for _ in range(39):
                wire.send(b"a" * MB)
    for wire in wires:
        wire.socket.settimeout(0.01)
        try:
            sent_away += b"HTTP/1.1 100" not in wire.socket.recv(65_536)
        except ConnectionError:
            sent_away += 1
        except TimeoutError:
            continue
    peak = held_bytes(server.process.pid)
    for wire in wires:
        wire.socket.close()

    assert sent_away >= 20
    assert peak - before < 900 * MB, f"{(peak - before) / MB:.0f} MB"
    assert 200 == server.client.get("/__admin/health").status_code
    assert send(server, "kling", 30 * MB) in range(400, 500)


def test_small_bodies_get_through_while_large_ones_fill_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MOST_INCOMING", 0)
    with Mock(log="off") as mock:
        headers = {"x-toy-key": "toy-key-1", "content-type": "application/json"}
        small = mock.run(mock.send("POST", "/toy/api/clips", parts=[b'{"prompt":', b'"a"}'], headers=headers))
        large = mock.run(
            mock.send(
                "POST", "/toy/api/clips", parts=[b'{"prompt":"', b"a" * 100_000, b'"}'], headers=headers
            )
        )
        assert mock.app._pipeline._incoming_bytes == 0

    assert 200 == small.status
    assert large.headers["x-mock-violations"] == "toy.request.unavailable"
    assert "close" == large.headers["connection"]


def test_a_task_keeps_no_more_of_a_request_than_answers_can_need() -> None:
    """A name of 60 MB would be repeated by every answer, and held as long as the task."""
    with Mock("toy", log="off") as mock:
        for size, expected in ((1_000, {200, 400}), (60 * MB, {400, 413})):
            reply = mock.create(name="n" * size)
            assert reply.status in expected, (size, reply.status)
        assert sum(len(str(task)) for task in mock.admin("GET", "/tasks")["tasks"]) < 100_000


def test_large_bodies_from_many_do_not_add_up_in_the_journal(server: Running) -> None:
    before = held_bytes(server.process.pid)

    def load() -> None:
        for _ in range(5):
            send(server, "kling", 8 * MB)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)

    assert held_bytes(server.process.pid) - before < 150 * MB
