"""HTTP/1.1 as clients really speak it: several requests at once, in pieces, broken, or gone."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Running
from tests.e2e.wire import Answer, Wire
from tests.providers import TOY

Start = Callable[..., Running]

KEY = b"X-Toy-Key: toy-key-1\r\n"
HOST = b"Host: 127.0.0.1\r\n"
LIST = b"GET /toy/api/clips HTTP/1.1\r\n" + HOST + KEY + b"\r\n"
HEALTH = b"GET /__admin/health HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(scope="module")
def toy() -> Iterator[Running]:
    """A server of the toy alone."""
    with Running("--spec", str(TOY), "--log", "off", "--max-body", "100000") as running:
        yield running


@pytest.fixture
def wire(toy: Running) -> Iterator[Wire]:
    """A connection to the toy."""
    with Wire(toy) as made:
        yield made


def create(body: bytes = b'{"prompt": "a boat"}', *, head: bytes = b"", length: int | None = None) -> bytes:
    """Return a request for a clip."""
    size = b"" if length == -1 else b"Content-Length: %d\r\n" % (len(body) if length is None else length)
    return (
        b"POST /toy/api/clips HTTP/1.1\r\n"
        + HOST
        + KEY
        + size
        + b"Content-Type: application/json\r\n"
        + head
        + b"\r\n"
        + body
    )


def is_alive(server: Running) -> bool:
    """Tell whether somebody else is served."""
    with Wire(server) as other:
        return other.send(HEALTH).answer().status == 200


# --- one after the other ----------------------------------------------------------------------------------


def test_a_connection_is_kept_for_the_next_request(wire: Wire) -> None:
    statuses = [
        wire.send(one).answer().status for one in (LIST, create(), HEALTH, LIST, create(b"{"), LIST) * 5
    ]

    assert [200, 200, 200, 200, 400, 200] * 5 == statuses


@pytest.mark.parametrize(
    ("request_line", "connection", "is_kept"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"Connection: close\r\n", False),
        (b"HTTP/1.1", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.0", b"", False),
    ],
)
def test_a_connection_ends_where_it_should(
    wire: Wire, request_line: bytes, connection: bytes, is_kept: bool
) -> None:
    answer = wire.send(
        b"GET /toy/api/clips " + request_line + b"\r\n" + HOST + KEY + connection + b"\r\n"
    ).answer()

    assert 200 == answer.status
    assert (None if is_kept else "close") == answer.headers.get("connection")
    if is_kept:
        assert 200 == wire.send(LIST).answer().status
    else:
        assert wire.is_closed()


def test_head_has_the_length_of_get_and_no_body(wire: Wire) -> None:
    seen = wire.send(LIST).answer()
    head = wire.send(LIST.replace(b"GET", b"HEAD")).answer(is_head=True)
    after = wire.send(LIST).answer()

    assert (200, 200, 200) == (seen.status, head.status, after.status)
    assert seen.headers["content-length"] == head.headers["content-length"]


# --- all at once ------------------------------------------------------------------------------------------


def names(answers: list[Answer]) -> list[str]:
    return [answer.body.partition(b'"name":"')[2].partition(b'"')[0].decode() for answer in answers]


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_requests_that_come_together_are_answered_in_order(toy: Running, size: int) -> None:
    run = f"{size}-{time.time_ns()}"
    expected = [f"{run}-{number}" for number in range(10)]
    stream = b"".join(create(b'{"prompt": "a", "name": "%s"}' % name.encode()) for name in expected)

    with Wire(toy) as wire:
        wire.send(*(stream[at : at + size] for at in range(0, len(stream), size)))
        answers = [wire.answer() for _ in expected]

    assert expected == names(answers)


def test_what_waits_and_what_does_not_keep_their_order(wire: Wire) -> None:
    stream = [HEALTH, LIST, create(), HEALTH, create(b"{"), LIST, HEALTH] * 20
    wire.send(b"".join(stream))

    answers = [wire.answer() for _ in stream]

    assert [200, 200, 200, 200, 400, 200, 200] * 20 == [one.status for one in answers]
    kinds = {HEALTH: b"version", LIST: b'"clips"', create(): b'"clip"', create(b"{"): b"Cannot read"}
    assert all(kinds[asked] in one.body for asked, one in zip(stream, answers, strict=True))


def test_two_thousand_requests_behind_one_that_waits_are_all_answered(toy: Running) -> None:
    with Wire(toy) as wire:
        # One write: they are all there before the first, which needs a task, has been answered.
        wire.send(HEALTH + LIST * 2_000 + HEALTH)
        statuses = [wire.answer().status for _ in range(2_002)]

    assert [200] * 2_002 == statuses
    assert is_alive(toy)


def test_many_requests_in_a_file_store_are_answered_in_order(start: Start, tmp_path: Path) -> None:
    """Each create waits for its commit, so the next ones queue up behind it."""
    server = start("--spec", str(TOY), "--log", "off", "--store", f"sqlite:///{tmp_path / 'store.db'}")
    expected = [f"n{number}" for number in range(300)]

    with Wire(server) as wire:
        wire.send(b"".join(create(b'{"prompt": "a", "name": "%s"}' % name.encode()) for name in expected))
        answers = [wire.answer() for _ in expected]

    assert expected == names(answers)


# --- in pieces --------------------------------------------------------------------------------------------


def test_a_request_may_come_byte_by_byte(wire: Wire) -> None:
    for one in (create(), LIST):
        wire.send(*(one[at : at + 1] for at in range(len(one))))
        assert 200 == wire.answer().status


def test_a_body_may_come_in_chunks(wire: Wire) -> None:
    body = b'{"prompt": "a boat"}'
    chunks = b"".join(b"1;note=x\r\n%c\r\n" % one for one in body)
    request = create(b"", head=b"Transfer-Encoding: chunked\r\n", length=-1)

    assert 200 == wire.send(request, chunks, b"0\r\nX-Trailer: 1\r\n\r\n").answer().status
    assert 200 == wire.send(LIST).answer().status


def test_who_expects_100_gets_it_before_the_body(wire: Wire) -> None:
    body = b'{"prompt": "a boat"}'
    wire.send(create(b"", head=b"Expect: 100-continue\r\n", length=len(body)))

    assert 100 == wire.answer().status
    assert 200 == wire.send(body).answer().status
    # Who sends it at once is not made to wait, and need not be told.
    first = wire.send(create(body, head=b"Expect: 100-continue\r\n")).answer()
    assert 200 == (wire.answer() if first.status == 100 else first).status
    assert 200 == wire.send(LIST).answer().status


def test_who_expects_100_for_too_much_is_refused_before_the_body(wire: Wire) -> None:
    wire.send(create(b"", head=b"Expect: 100-continue\r\n", length=10**12))

    answer = wire.answer()

    assert (413, "close") == (answer.status, answer.headers["connection"])
    assert wire.is_closed()


def test_who_expects_100_behind_others_gets_it_too(wire: Wire) -> None:
    body = b'{"prompt": "a boat"}'
    wire.send(HEALTH + LIST + create(b"", head=b"Expect: 100-continue\r\n", length=len(body)))

    assert [200, 200, 100] == [wire.answer().status for _ in range(3)]
    assert 200 == wire.send(body).answer().status


def test_a_slow_body_holds_up_nobody(toy: Running) -> None:
    slow = [Wire(toy).send(create(length=1_000)) for _ in range(50)]

    assert all(is_alive(toy) for _ in range(5))
    for one in slow:
        one.send(b" " * 980)
        assert 200 == one.answer().status
        one.socket.close()


def test_a_body_that_is_too_large_is_refused_while_it_comes(toy: Running) -> None:
    for head, length in ((b"", 10**12), (b"Transfer-Encoding: chunked\r\n", -1)):
        with Wire(toy) as wire:
            wire.send(create(b"", head=head, length=length))
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    wire.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n" if head else b"x" * 10_000)
            answer = wire.answer()
            assert (413, "close") == (answer.status, answer.headers["connection"])
    assert is_alive(toy)


# --- broken -----------------------------------------------------------------------------------------------


BROKEN = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-9": b"GET / HTTP/9.9\r\n\r\n",
    "no-method": b" / HTTP/1.1\r\n\r\n",
    "unknown-method": b"BREW /toy HTTP/1.1\r\n\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "space-in-target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes-in-target": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority": b"CONNECT host:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
    "nul-in-header": b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "bare-cr": b"GET / HTTP/1.1\r\nX: a\rY: b\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    "space-before-colon": b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc",
    "two-lengths": create(head=b"Content-Length: 5\r\n"),
    "length-and-chunks": create(head=b"Transfer-Encoding: chunked\r\n"),
    "no-number": create(b"").replace(b"Content-Length: 0", b"Content-Length: x"),
    "minus": create(b"").replace(b"Content-Length: 0", b"Content-Length: -1"),
    "plus": create(b"").replace(b"Content-Length: 0", b"Content-Length: +1"),
    "beyond-64-bits": create(b"").replace(b"Content-Length: 0", b"Content-Length: " + b"9" * 30),
    "chunk-without-size": create(b"", head=b"Transfer-Encoding: chunked\r\n", length=-1) + b"xyz\r\n",
    "chunk-too-long": create(b"", head=b"Transfer-Encoding: chunked\r\n", length=-1)
    + b"1\r\nabc\r\n0\r\n\r\n",
    "chunk-beyond-64-bits": create(b"", head=b"Transfer-Encoding: chunked\r\n", length=-1)
    + b"f" * 20
    + b"\r\n",
    "other-encoding": create(b"", head=b"Transfer-Encoding: gzip\r\n", length=-1) + b"x",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_http_is_refused_and_takes_nobody_along(toy: Running, name: str) -> None:
    before = toy.client.get("/__admin/health").json()["tasks"]

    with Wire(toy) as wire:
        wire.send(BROKEN[name])
        wire.socket.shutdown(socket.SHUT_WR)
        seen = b""
        with contextlib.suppress(ConnectionResetError):
            while part := wire.socket.recv(65_536):
                seen += part

    # Refused, or answered by a provider that knows no such path; never taken for a request of another kind.
    assert seen == b"" or seen.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), seen
    assert seen.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 500" not in seen
    assert before == toy.client.get("/__admin/health").json()["tasks"]


def test_the_first_page_names_addresses_that_work_whoever_asks(toy: Running) -> None:
    with Wire(toy) as wire:
        answer = wire.send(b"GET / HTTP/1.0\r\n\r\n").answer()

    assert f'"{toy.origin}/toy/api"'.encode() in answer.body


def test_what_follows_a_body_that_was_not_read_is_no_request(toy: Running) -> None:
    """A request hidden in the body of one that is refused early must not be answered."""
    hidden = create(b'{"prompt": "smuggled"}')
    before = toy.client.get("/__admin/health").json()["tasks"]

    for path in (b"/t/a%20b/toy/api/clips", b"/toy/none", b"/__admin/none"):
        request = create(hidden).replace(b"/toy/api/clips", path, 1)
        with Wire(toy) as wire:
            wire.send(request + LIST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
            seen = b""
            with contextlib.suppress(ConnectionResetError):
                while part := wire.socket.recv(65_536):
                    seen += part
        assert b'"clip"' not in seen
        assert seen.count(b"HTTP/1.1 ") <= 2

    assert before == toy.client.get("/__admin/health").json()["tasks"]


@pytest.mark.parametrize("kind", ["many", "long-value", "long-name", "long-target"])
def test_a_head_without_end_is_cut_off(toy: Running, kind: str) -> None:
    piece = {"many": b"X-A: " + b"a" * 995 + b"\r\n"}.get(kind, b"a" * 1_000)
    begin = {"long-value": LIST[:-2] + b"X: ", "long-name": LIST[:-2], "long-target": b"GET /"}.get(
        kind, LIST[:-2]
    )
    sent = 0

    with Wire(toy) as wire:
        wire.send(begin)
        with contextlib.suppress(ConnectionError):
            while sent < 20_000_000:
                wire.send(piece * 10)
                sent += len(piece) * 10

    assert sent < 20_000_000
    assert is_alive(toy)


def test_a_large_head_is_fine(wire: Wire) -> None:
    answer = wire.send(
        LIST[:-2] + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 500) for n in range(60)) + b"\r\n"
    ).answer()

    assert 200 == answer.status


def test_an_upgrade_is_not_taken_up(wire: Wire) -> None:
    head = (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"
    )

    answer = wire.send(LIST[:-2] + head + b"\r\n").answer()

    assert (200, True) == (answer.status, b"clips" in answer.body)


def test_a_target_may_be_a_whole_url(wire: Wire) -> None:
    answer = wire.send(LIST.replace(b"GET /", b"GET http://127.0.0.1:1/")).answer()

    assert (200, True) == (answer.status, b"clips" in answer.body)


# --- gone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_a_client_that_goes_away_leaves_nothing_behind(toy: Running, cut: float) -> None:
    before = toy.client.get("/__admin/health").json()["tasks"]
    request = create(b'{"prompt": "' + b"a" * 30 + b'"}')

    for _ in range(20):
        with Wire(toy) as wire:
            wire.send(request[: int(len(request) * cut)])

    assert before == toy.client.get("/__admin/health").json()["tasks"]


def test_a_client_that_does_not_wait_for_the_answer_has_asked_all_the_same(toy: Running) -> None:
    before = toy.client.get("/__admin/health").json()["tasks"]

    for _ in range(20):
        with Wire(toy) as wire:
            wire.send(create())
            wire.socket.shutdown(socket.SHUT_WR)
            wire.answer()
        with Wire(toy) as wire:
            wire.send(HEALTH)
            # Gone with a reset, the answer unread.
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert before + 20 == toy.client.get("/__admin/health").json()["tasks"]


def test_a_client_that_never_reads_does_not_fill_the_memory(toy: Running) -> None:
    """It asks for more than fits between us; then nobody reads its requests any more."""
    with Wire(toy) as wire:
        wire.socket.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError, ConnectionError):
            while sent < 100_000_000:
                sent += wire.socket.send(LIST * 500)

    # What fits into the buffers of both sides, and the requests of one piece; their answers do not fill it either.
    assert sent < 50_000_000
    assert is_alive(toy)


# --- the end ----------------------------------------------------------------------------------------------


def test_a_server_that_is_told_to_stop_under_load_breaks_no_answer(start: Start) -> None:
    server = start("--spec", str(TOY), "--log", "off")
    faults: list[str] = []
    counts = [0] * 4
    going = threading.Event()

    def load(index: int) -> None:
        try:
            with Wire(server) as wire:
                while True:
                    try:
                        wire.send(create())
                        first = wire.socket.recv(1, socket.MSG_PEEK)
                    except (ConnectionError, OSError):
                        return
                    if not first:
                        return
                    # An answer that has begun is whole.
                    if wire.answer().status != 200:
                        faults.append("refused")
                    counts[index] += 1
                    going.set()
        except AssertionError as error:
            faults.append(str(error))

    threads = [threading.Thread(target=load, args=(index,)) for index in range(4)]
    for one in threads:
        one.start()
    assert going.wait(20)
    while sum(counts) < 200:
        select.select([], [], [], 0.005)
    code, took_s = server.stop()
    for one in threads:
        one.join(20)

    assert (0, []) == (code, faults)
    assert took_s < 2.0


def test_what_one_connection_asks_at_once_and_never_reads_holds_up_nobody(toy: Running) -> None:
    create = b'{"prompt": "%s"}' % (b"a" * 40)
    head = b"POST /toy/api/clips HTTP/1.1\r\n" + HOST + KEY
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(create)
    many = LIST.replace(b"/clips ", b"/clips?size=50 ")
    with Wire(toy) as filling:
        for _ in range(60):
            assert filling.send(head + create).answer().status == 200
    with Wire(toy) as greedy, Wire(toy) as other:
        with contextlib.suppress(BlockingIOError):
            greedy.socket.setblocking(False)
            for _ in range(20_000):
                greedy.socket.send(many)
        greedy.socket.setblocking(True)
        waits = []
        for _ in range(9):
            began = time.perf_counter()
            assert other.send(LIST).answer().status == 200
            waits.append(time.perf_counter() - began)

        # As much as fits into one read of the socket takes two thirds of a second to answer, and a twentieth to read.
        assert max(waits) < 0.35
        assert greedy.answer().status == 200
