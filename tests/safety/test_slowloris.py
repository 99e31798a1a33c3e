"""Clients that keep the server waiting: a byte now and then, a body that stops, an answer that nobody reads.

Here a look at each connection comes every fifth of a second, where a real server takes fifteen seconds.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from mockserver.server import LEAST_RATE, PATIENCE_S, connections_at_once
from tests.e2e.wire import Wire
from tests.mockserver.clients import credential
from tests.providers import LIBRARY, contract
from tests.safety.serving import Served

HEAD = b"GET /toy/api/clips HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Toy-Key: toy-key-1\r\n"
LIST = HEAD + b"\r\n"
CREATE = HEAD.replace(b"GET", b"POST") + b"Content-Type: application/json\r\n"
HEALTH = b"GET /__admin/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SOON_S = 5.0
"""Seconds a test waits for what should happen in less than one."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """The toy."""
    with Served() as running:
        yield running


def dribble(wire: Wire, piece: bytes, every_s: float = 0.02) -> bytes:
    """Send a piece again and again; return what the server says before it hangs up."""
    seen = b""
    until = time.perf_counter() + SOON_S
    wire.socket.settimeout(every_s)
    while time.perf_counter() < until:
        with contextlib.suppress(TimeoutError):
            part = wire.socket.recv(65_536)
            if not part:
                return seen
            seen += part
            continue
        try:
            wire.socket.send(piece)
        except ConnectionError:
            with contextlib.suppress(OSError):
                seen += wire.socket.recv(65_536)
            return seen
    raise AssertionError(f"it waits on; it said {seen!r}")


def is_alive(served: Served) -> bool:
    with Wire(served) as wire:
        return wire.send(LIST).answer().status == 200


# --- heads ------------------------------------------------------------------------------------------------

BEGUN = {
    "method": b"G",
    "target": b"GET /toy",
    "version": b"GET /toy/api/clips HTT",
    "name": b"GET /toy/api/clips HTTP/1.1\r\nHo",
    "value": b"GET /toy/api/clips HTTP/1.1\r\nHost: 127",
    "lines": HEAD,
    "end": HEAD + b"\r",
}


@pytest.mark.parametrize("begun", BEGUN)
def test_a_head_that_stops_is_given_up(served: Served, begun: str) -> None:
    with Wire(served) as wire:
        answer = wire.send(BEGUN[begun]).answer()

        assert (408, "close") == (answer.status, answer.headers["connection"])
        assert wire.is_closed()


def test_a_head_that_dribbles_is_given_up(served: Served) -> None:
    with Wire(served) as wire:
        wire.send(HEAD + b"X-A: ")

        assert dribble(wire, b"a").startswith(b"HTTP/1.1 408 ")


def test_a_head_of_many_slow_lines_is_given_up(served: Served) -> None:
    with Wire(served) as wire:
        wire.send(HEAD)

        assert dribble(wire, b"X-A: b\r\n").startswith(b"HTTP/1.1 408 ")


def test_the_second_head_of_a_connection_is_judged_like_the_first(served: Served) -> None:
    with Wire(served) as wire:
        assert [200, 200] == [wire.send(LIST).answer().status for _ in range(2)]
        wire.send(HEAD)

        assert 408 == wire.answer().status


def test_who_never_asks_is_closed_in_the_end() -> None:
    with Served(patience_s=0.05) as served, Wire(served) as wire, Wire(served) as blank:
        assert b"" == dribble(blank, b"\r\n")
        wire.socket.settimeout(SOON_S)
        assert wire.is_closed()


def test_who_asked_may_rest(served: Served) -> None:
    """A connection that is kept for the next request is closed by its own rule, much later."""
    with Wire(served) as wire:
        assert 200 == wire.send(LIST).answer().status
        wire.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            wire.socket.recv(1)
        wire.socket.settimeout(SOON_S)
        assert 200 == wire.send(LIST).answer().status


# --- bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("form", ["length", "chunked", "expect"])
def test_a_body_that_stops_is_the_providers_refusal(name: str, form: str) -> None:
    operation = next(one for one in contract(name).operations.values() if one.role == "create")
    ((header, value),) = credential(operation).items()
    framing = {
        "length": "Content-Length: 1000\r\n\r\n" + '{"prompt": "a"}',
        "chunked": "Transfer-Encoding: chunked\r\n\r\n" + 'f\r\n{"prompt": "a"}\r\n',
        "expect": "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
    }
    with Served(name) as served, Wire(served) as wire:
        wire.send(
            f"POST /{name}{operation.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}: {value}\r\n"
            f"Content-Type: application/json\r\n{framing[form]}".encode()
        )
        answer = wire.answer()
        if form == "expect":
            assert 100 == answer.status
            answer = wire.answer()

        assert 400 <= answer.status < 500
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-mock-violations"].startswith(f"{name}.request.malformed")
        assert "close" == answer.headers["connection"]
        assert wire.is_closed()
        assert 0 == served.app.backend.store.count()


def test_half_a_body_that_would_do_makes_no_task(served: Served) -> None:
    """What came is good JSON already; more was announced, and nobody knows what."""
    before = served.app.backend.store.count()
    body = b'{"prompt": "a boat"}'
    with Wire(served) as wire:
        assert 400 == wire.send(CREATE + b"Content-Length: 100\r\n\r\n" + body).answer().status
    with Wire(served) as wire:
        wire.send(CREATE + b"Content-Length: 100\r\n\r\n" + body)
        wire.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(AssertionError):
            wire.answer()

    assert before == served.app.backend.store.count()


def test_a_body_that_dribbles_is_given_up(served: Served) -> None:
    with Wire(served) as wire:
        wire.send(CREATE + b"Content-Length: 100000\r\n\r\n")

        assert dribble(wire, b" ").startswith(b"HTTP/1.1 400 ")


def test_a_body_that_comes_slowly_but_comes_is_waited_for(served: Served) -> None:
    """Five times the least rate, for longer than two looks."""
    body = b'{"prompt": "a boat"' + b" " * 3_000 + b"}"
    step = int(LEAST_RATE * 5 * 0.05)
    with Wire(served) as wire:
        wire.send(CREATE + b"Content-Length: %d\r\n\r\n" % len(body))
        begun = time.perf_counter()
        wire.socket.settimeout(0.05)
        for at in range(0, len(body), step):
            wire.send(body[at : at + step])
            with contextlib.suppress(TimeoutError):
                wire.socket.recv(1, socket.MSG_PEEK)
        wire.socket.settimeout(SOON_S)

        assert 200 == wire.answer().status
        assert time.perf_counter() - begun > 0.5


def test_a_body_for_the_control_plane_that_stops_is_given_up(served: Served) -> None:
    with Wire(served) as wire:
        head = b"PUT /__admin/clock HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
        answer = wire.send(head + b"{").answer()

        assert (408, "close") == (answer.status, answer.headers["connection"])
        assert wire.is_closed()


def test_what_the_server_takes_its_time_for_is_not_the_clients_fault() -> None:
    """The control plane waits for a receiver that hangs, for longer than two looks; the client waits with it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as hanging,
        Served(callback_timeout=0.6) as served,
        Wire(served) as wire,
    ):
        body = b'{"prompt": "a boat", "hook": "http://127.0.0.1:%d/"}' % hanging.getsockname()[1]
        assert 200 == wire.send(CREATE + b"Content-Length: %d\r\n\r\n" % len(body) + body).answer().status
        begun = time.perf_counter()
        advance = HEALTH.replace(b"GET /__admin/health", b"POST /__admin/clock/advance")
        wire.send(advance[:-2] + b"Content-Length: 14\r\n\r\n" + b'{"by": "PT3S"}')

        assert 200 == wire.answer().status
        assert time.perf_counter() - begun > 0.5


# --- answers ----------------------------------------------------------------------------------------------


def test_a_client_that_never_reads_is_let_go(served: Served) -> None:
    with Wire(served) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        for _ in range(60):
            body = b'{"prompt": "a boat"}'
            assert 200 == wire.send(CREATE + b"Content-Length: %d\r\n\r\n" % len(body) + body).answer().status
        wire.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(200_000):
                wire.socket.send(LIST.replace(b"/clips ", b"/clips?size=50 ") * 20)
        until = time.perf_counter() + SOON_S
        is_gone = False
        while not is_gone and time.perf_counter() < until:
            assert is_alive(served)
            try:
                wire.socket.send(b"\r")
            except BlockingIOError:
                continue
            except ConnectionError:
                is_gone = True

        assert is_gone


# --- many -------------------------------------------------------------------------------------------------


def test_hundreds_of_slow_clients_hold_up_nobody_and_are_gone_soon(served: Served) -> None:
    slow = [
        Wire(served).send(HEAD if index % 2 else CREATE + b"Content-Length: 9\r\n\r\n{")
        for index in range(300)
    ]

    assert all(is_alive(served) for _ in range(20))
    for one in slow:
        assert one.answer().status in (400, 408)
        one.socket.close()
    assert is_alive(served)


def test_connections_at_rest_make_room_for_new_ones() -> None:
    with Served(patience_s=30, most_connections=20) as served:
        resting = []
        for _ in range(100):
            wire = Wire(served)
            assert 200 == wire.send(LIST).answer().status
            resting.append(wire)

        assert served.connections <= 20
        for wire in resting:
            wire.socket.close()


def test_silent_connections_make_room_once_they_were_seen_to_be_silent() -> None:
    with Served(patience_s=0.1, most_connections=20) as served:
        silent = [Wire(served) for _ in range(20)]
        until = time.perf_counter() + SOON_S
        statuses = set()
        while 200 not in statuses and time.perf_counter() < until:
            with Wire(served) as wire, contextlib.suppress(AssertionError, ConnectionError):
                statuses.add(wire.send(LIST).answer().status)

        assert 200 in statuses
        for wire in silent:
            wire.socket.close()


def test_where_all_are_busy_the_newest_is_sent_away() -> None:
    with Served(patience_s=30, most_connections=20) as served:
        busy = [Wire(served).send(CREATE + b"Content-Length: 2\r\n\r\n{") for _ in range(20)]
        # Whoever is served comes behind those before it: they are all there.
        with Wire(served) as wire:
            answer = wire.answer()
            assert (503, "close") == (answer.status, answer.headers["connection"])
        for one in busy:
            assert 400 == one.send(b" ").answer().status
            one.socket.close()
        until = time.perf_counter() + SOON_S
        while served.connections and time.perf_counter() < until:
            pass
        assert is_alive(served)


def test_a_real_server_is_no_more_patient_than_this() -> None:
    assert PATIENCE_S <= 15
    assert 64 <= connections_at_once() <= 65_536
