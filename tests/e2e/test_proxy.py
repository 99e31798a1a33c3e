"""`understudy proxy`, run as a command, between real clients and a host that shows what reached it."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mockserver.recordings import head_line, read_recording
from tests.e2e import test_pages as pages
from tests.e2e.running import Running, environment
from tests.e2e.upstream import Asked, Host, answer
from tests.e2e.wire import Wire
from tests.pictures import picture

KEY = {"Authorization": "Bearer secret-key-0123456789-abcdefghijklmnop"}
CLIPS = "/kling/v1/videos/text2video"
REAL = "/v1/videos/text2video"
DEADLINE_S = 20

_numbers = itertools.count(1)


def wish() -> dict[str, Any]:
    """Return a request that no other test makes."""
    return {"prompt": f"Paper boat number {next(_numbers)}"}


def made(task: str = "900000000000000001", state: str = "submitted") -> bytes:
    """Return the answer to a request that made a task."""
    at = 1_795_000_000_000
    task_info = {"task_id": task, "task_status": state, "task_info": {}, "created_at": at, "updated_at": at}
    return json.dumps({"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": task_info}).encode()


def head(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a request, byte by byte."""
    lines = [f"{method} {target} HTTP/1.1", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Proxied:
    """A proxy before a host of the test's own."""

    def __init__(
        self, *options: str, cwd: Path | None = None, url: str = "", env: dict[str, str] | None = None
    ) -> None:
        self.host = Host()
        target = f"kling={url or self.host.url}"
        self.running = Running("--to", target, *options, verb="proxy", cwd=cwd, env=env)
        self.client = self.running.client
        self.port = self.running.port

    def submit(self, body: Any = None, **headers: str) -> httpx.Response:
        return self.client.post(CLIPS, json=body if body is not None else wish(), headers={**KEY, **headers})

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, f"/__admin{path}", json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def newest(self) -> Any:
        return self.admin("GET", "/requests?limit=1")["requests"][0]

    def wire(self) -> Wire:
        return Wire(self)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.running.__exit__(None, None, None)
        self.host.close()

    def __enter__(self) -> Proxied:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Proxied]:
    with Proxied("--timeout", "5") as proxied:
        yield proxied


@pytest.fixture
def proxied(shared: Proxied) -> Iterator[Proxied]:
    """A proxy whose host has heard nothing yet and answers with an empty object."""
    shared.host.asked.clear()
    shared.host.handle = lambda peer, asked: peer.sendall(answer(made()))
    yield shared


# --- what passes ------------------------------------------------------------------------------------------


def test_a_good_request_reaches_the_host_byte_by_byte(proxied: Proxied) -> None:
    body = b'{ "prompt" :"Caf\xc3\xa9",\n "duration":"5" }'
    lines = (
        "Host: 127.0.0.1",
        "X-Second: 2",
        "X-First: a",
        "Authorization: Bearer secret-key-0123456789-abcdefghijklmnop",
        "X-First: b",
        "Content-Type: application/json",
        "Accept-Encoding: br;q=1.0, gzip",
        "Cookie: a=b",
        f"Content-Length: {len(body)}",
        "User-Agent: mine",
    )

    with proxied.wire() as wire:
        wire.send(head("POST", CLIPS + "?b=%2f&a=+&&c&b=%C3%A9", *lines, body=body))
        status = wire.answer().status

    (asked,) = proxied.host.wait_for(1)
    assert 200 == status
    assert f"POST {REAL}?b=%2f&a=+&&c&b=%C3%A9 HTTP/1.1" == asked.line
    assert body == asked.body
    assert [
        ("host", f"127.0.0.1:{proxied.host.port}"),
        ("x-second", "2"),
        ("x-first", "a"),
        ("authorization", "Bearer secret-key-0123456789-abcdefghijklmnop"),
        ("x-first", "b"),
        ("content-type", "application/json"),
        ("accept-encoding", "br;q=1.0, gzip"),
        ("cookie", "a=b"),
        ("content-length", str(len(body))),
        ("user-agent", "mine"),
    ] == [(name.lower(), value) for name, value in asked.headers]


def test_headers_of_the_connection_and_ours_stay_here(proxied: Proxied) -> None:
    lines = (
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in KEY.items()),
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Authorization: Basic c2VjcmV0",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "X-Mock-Tenant: default",
        "X-Mine: stays",
    )

    with proxied.wire() as wire:
        wire.send(head("GET", f"{CLIPS}/900000000000000001", *lines))
        wire.answer()

    (asked,) = proxied.host.wait_for(1)
    assert {"host", "authorization", "x-mine"} == {name.lower() for name, _ in asked.headers}


def test_an_answer_comes_back_byte_by_byte(proxied: Proxied) -> None:
    packed = gzip.compress(made(state="processing"))
    proxied.host.handle = lambda peer, asked: peer.sendall(
        answer(
            packed,
            "Date: Mon, 01 Jan 2024 00:00:00 GMT",
            "X-Rate: 1",
            "Content-Type: application/json; charset=utf-8",
            "Set-Cookie: a=1",
            "SET-COOKIE: b=2",
            "Content-Encoding: gzip",
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "Server: host/1",
        )
    )

    with proxied.wire() as wire:
        wire.send(
            head(
                "GET",
                f"{CLIPS}/900000000000000001",
                "Host: 127.0.0.1",
                *(f"{n}: {v}" for n, v in KEY.items()),
            )
        )
        raw = b""
        while not raw.endswith(packed):
            raw += wire.socket.recv(65_536)

    top, _, body = raw.partition(b"\r\n\r\n")
    assert packed == body
    assert [
        "HTTP/1.1 200 OK",
        "date: Mon, 01 Jan 2024 00:00:00 GMT",
        "x-rate: 1",
        "content-type: application/json; charset=utf-8",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "content-encoding: gzip",
        "server: host/1",
        f"content-length: {len(packed)}",
    ] == top.decode().split("\r\n")
    kept = proxied.newest()
    assert "processing" == kept["response"]["body"]["data"]["task_status"], "the journal has it unpacked"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("204 No Content", ()),
        ("304 Not Modified", ("ETag: a",)),
        ("302 Found", ("Location: http://elsewhere.example/", "Content-Length: 2")),
        ("429 Too Many Requests", ("Retry-After: 7", "Content-Length: 2")),
        ("599 Odd", ("Content-Length: 2",)),
    ],
)
def test_whatever_the_status_it_passes_and_is_not_followed(
    proxied: Proxied, status: str, headers: tuple[str, ...]
) -> None:
    body = b"" if status[:3] in ("204", "304") else b"{}"
    proxied.host.handle = lambda peer, asked: peer.sendall(answer(body, *headers, status=status))

    response = proxied.client.get(f"{CLIPS}/1", headers=KEY, follow_redirects=False)

    assert int(status[:3]) == response.status_code
    assert body == response.content
    assert all(response.headers[name] == value for name, value in (one.split(": ") for one in headers))
    assert 1 == len(proxied.host.asked)
    assert not any(name.startswith("x-mock") for name in response.headers)


def test_an_answer_to_head_has_its_length_and_no_body(proxied: Proxied) -> None:
    proxied.host.handle = lambda peer, asked: peer.sendall(answer(b"", "Content-Length: 217"))

    response = proxied.client.head(f"{CLIPS}/1", headers=KEY)

    assert ("217", b"") == (response.headers["content-length"], response.content)
    assert "HEAD" == proxied.host.asked[0].line.split()[0]


def test_a_client_that_waits_for_100_is_told_to_go_on_and_the_host_is_not_asked_to(proxied: Proxied) -> None:
    body = json.dumps(wish()).encode()
    lines = ("Host: 127.0.0.1", *(f"{n}: {v}" for n, v in KEY.items()), "Content-Type: application/json")

    with proxied.wire() as wire:
        wire.send(head("POST", CLIPS, *lines, "Expect: 100-continue", f"Content-Length: {len(body)}"))
        first = wire.answer()
        wire.send(body)
        second = wire.answer()

    assert (100, 200) == (first.status, second.status)
    assert [] == proxied.host.asked[0].values("expect")


def test_a_body_in_chunks_arrives_with_its_length(proxied: Proxied) -> None:
    body = json.dumps(wish()).encode()

    def parts() -> Iterator[bytes]:
        yield body[:7]
        yield body[7:]

    headers = {**KEY, "Content-Type": "application/json"}
    response = proxied.client.post(CLIPS, content=parts(), headers=headers)

    (asked,) = proxied.host.wait_for(1)
    assert 200 == response.status_code
    assert ([str(len(body))], []) == (asked.values("content-length"), asked.values("transfer-encoding"))
    assert body == asked.body


def test_events_arrive_as_they_are_sent(proxied: Proxied) -> None:
    go_on = threading.Event()

    def stream(peer: socket.socket, asked: Asked) -> None:
        peer.sendall(answer(b"", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        peer.sendall(b"9\r\ndata: 1\n\n\r\n")
        assert go_on.wait(DEADLINE_S)
        peer.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    proxied.host.handle = stream

    with proxied.client.stream("GET", f"{CLIPS}/1", headers=KEY) as response:
        parts = response.iter_raw()
        first = next(parts)
        go_on.set()
        rest = b"".join(parts)

    assert (b"data: 1\n\n", b"data: 2\n\n") == (first, rest)
    assert proxied.newest()["report"]["violations"][0]["rule"] == "kling.answer.media-type"


def test_a_download_that_nobody_reads_does_not_pile_up(proxied: Proxied) -> None:
    chunk, count = bytes(1024 * 1024), 120
    sent = [0]
    is_over = threading.Event()

    def pour(peer: socket.socket, asked: Asked) -> None:
        peer.sendall(answer(b"", "Content-Type: video/mp4", f"Content-Length: {len(chunk) * count}"))
        for number in range(count):
            peer.sendall(chunk)
            sent[0] = number
        is_over.set()

    proxied.host.handle = pour

    with proxied.client.stream("GET", f"{CLIPS}/1", headers=KEY) as response:
        stalled = -1
        while stalled != sent[0]:
            stalled = sent[0]
            is_over.wait(0.4)
        held = memory_mib(proxied.running.process.pid)
        size = sum(len(part) for part in response.iter_raw())

    assert stalled < 60, "the host is told to wait while the client does not read"
    assert held < 200
    assert len(chunk) * count == size
    assert "it is too large" in proxied.newest()["report"]["unchecked"][-1]


def memory_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(proxied: Proxied) -> None:
    def break_off(peer: socket.socket, asked: Asked) -> None:
        peer.sendall(
            answer(b'{"code": 0', "Transfer-Encoding: chunked", "Content-Type: application/json")[:-10]
        )
        peer.sendall(b'5\r\n{"cod\r\n')
        peer.close()

    proxied.host.handle = break_off

    with pytest.raises(httpx.RemoteProtocolError):
        proxied.client.get(f"{CLIPS}/1", headers=KEY)

    assert "it was cut off" in proxied.newest()["report"]["unchecked"][-1]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 217\r\n\r\n", 304),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
        (b"HTTP/1.1 200 OK\r\nX-Bad: a\x01b\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 200 OK\r\nX-Old: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 502),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", 502),
        (b"SSH-2.0-OpenSSH\r\n", 502),
        (b"", 502),
    ],
    ids=lambda one: one[:30].decode("latin-1") if isinstance(one, bytes) else "",
)
@pytest.mark.parametrize("is_submit", [False, True])
def test_whatever_a_host_sends_the_client_gets_an_answer(
    proxied: Proxied, raw: bytes, status: int, is_submit: bool
) -> None:
    def send(peer: socket.socket, asked: Asked) -> None:
        peer.sendall(raw)
        peer.close()

    proxied.host.handle = send

    response = proxied.submit() if is_submit else proxied.client.get(f"{CLIPS}/1", headers=KEY)

    assert status == response.status_code
    assert ("x-mock-proxy" in response.headers) == (status == 502)
    assert b"{}" == response.content or status != 200


# --- what does not ----------------------------------------------------------------------------------------


def test_a_bad_request_gets_the_providers_answer_and_does_not_reach_the_host(proxied: Proxied) -> None:
    response = proxied.submit({"prompt": "x", "mode": "cinema"})

    assert 400 == response.status_code
    assert "mode value 'cinema' is invalid" == response.json()["message"]
    assert "kling.mode.value" == response.headers["x-mock-violations"]
    assert "refused" == response.headers["x-mock-proxy"]
    assert [] == proxied.host.asked


def test_a_real_key_passes_and_none_is_refused_here(proxied: Proxied) -> None:
    without = proxied.client.get(f"{CLIPS}/1")
    with_one = proxied.client.get(f"{CLIPS}/1", headers=KEY)

    assert (401, 200) == (without.status_code, with_one.status_code)
    assert 1 == len(proxied.host.asked)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("GET", "http://169.254.169.254/latest/meta-data", "Host: 169.254.169.254"), 421),
        (head("GET", f"http://127.0.0.1{CLIPS}/1", "Host: 127.0.0.1"), 421),
        (head("GET", "http://example.com/", "Host: example.com"), 421),
        (head("GET", "/", "Host: rebound.example"), 421),
        (head("CONNECT", "example.com:443", "Host: example.com:443"), 400),
        (head("OPTIONS", "*", "Host: 127.0.0.1"), 421),
        (head("GET", f"{CLIPS}/1", "Host: rebound.example"), 421),
        (head("GET", f"{CLIPS}/1", "Host: 127.0.0.1.example"), 421),
        (head("GET", f"{CLIPS}/1", "Host: 127.0.0.1@evil.example"), 421),
        (head("GET", f"{CLIPS}/1", "Host: 127.0.0.1", "Host: evil.example"), 400),
        (head("GET", "//evil.example/v1", "Host: 127.0.0.1"), 404),
        (head("GET", "/kling/../../etc", "Host: 127.0.0.1"), 404),
        (head("GET", "/kling@evil.example/", "Host: 127.0.0.1"), 404),
        (head("GET", f"/kling{REAL}/1\x00", "Host: 127.0.0.1"), 400),
        (
            head(
                "POST",
                CLIPS,
                "Host: 127.0.0.1",
                "Content-Length: 3",
                "Transfer-Encoding: chunked",
                body=b"0\r\n\r\n",
            ),
            400,
        ),
        (head("POST", CLIPS, "Host: 127.0.0.1", "Content-Length: 3", "Content-Length: 4", body=b"abcd"), 400),
        (head("POST", CLIPS, "Host: 127.0.0.1", "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 400),
        (head("GET", f"{CLIPS}/1", "Host: 127.0.0.1", "X-A: b\rX-C: d"), 400),
    ],
    ids=lambda one: (
        one.split(b" HTTP")[0].decode("latin-1").replace("\x00", "0") if isinstance(one, bytes) else ""
    ),
)
def test_it_is_no_open_proxy_and_smuggles_nothing(proxied: Proxied, request_head: bytes, status: int) -> None:
    with proxied.wire() as wire:
        wire.send(request_head)
        answered = wire.answer()

    assert status == answered.status
    assert [] == proxied.host.asked


def test_a_pipelined_second_request_is_a_request_of_its_own(proxied: Proxied) -> None:
    first = head("GET", f"{CLIPS}/1", "Host: 127.0.0.1", *(f"{n}: {v}" for n, v in KEY.items()))
    second = head("GET", "http://evil.example/x", "Host: evil.example")

    with proxied.wire() as wire:
        wire.send(first + second)
        statuses = [wire.answer().status, wire.answer().status]

    assert [200, 421] == statuses
    assert [f"GET {REAL}/1 HTTP/1.1"] == [one.line for one in proxied.host.asked]


def test_a_task_that_would_fail_is_held_back_in_our_own_voice(proxied: Proxied) -> None:
    response = proxied.client.post(
        "/kling/v1/videos/image2video",
        json={"image": picture(width=100, height=100), "prompt": "x"},
        headers=KEY,
    )

    assert (422, "fails") == (response.status_code, response.headers["x-mock-proxy"])
    assert "application/problem+json" == response.headers["content-type"]
    assert "--pass fails" in response.json()["detail"]
    assert [] == proxied.host.asked


# --- equal submits ----------------------------------------------------------------------------------------


def test_an_equal_submit_gets_the_first_ones_answer(proxied: Proxied) -> None:
    body = wish()

    first = proxied.submit(body)
    second = proxied.client.post(
        CLIPS, content=json.dumps(body, indent=3), headers={**KEY, "Content-Type": "application/json"}
    )

    assert 1 == len(proxied.host.asked)
    assert first.content == second.content
    assert "x-mock-proxy" not in first.headers
    assert "repeated" == second.headers["x-mock-proxy"]


@pytest.mark.parametrize("name", ["another key", "another name", "another account"])
def test_what_tells_two_wishes_apart_passes(proxied: Proxied, name: str) -> None:
    body = wish()
    second: dict[str, Any] = {
        "another key": {"headers": {"Idempotency-Key": "2"}},
        "another name": {"body": {**body, "external_task_id": f"order-{next(_numbers)}"}},
        "another account": {"headers": {"Authorization": "Bearer other-key-0123456789-abcdefghijklmnop"}},
    }[name]

    proxied.submit(body)
    response = proxied.submit(second.get("body", body), **second.get("headers", {}))

    assert 2 == len(proxied.host.asked)
    assert "x-mock-proxy" not in response.headers


def test_equal_submits_at_once_are_one_request(proxied: Proxied) -> None:
    body, go_on, answers = wish(), threading.Event(), []

    def slow(peer: socket.socket, asked: Asked) -> None:
        assert go_on.wait(DEADLINE_S)
        peer.sendall(answer(made()))

    proxied.host.handle = slow
    threads = [threading.Thread(target=lambda: answers.append(proxied.submit(body))) for _ in range(5)]
    for one in threads:
        one.start()
    proxied.host.wait_for(1)
    go_on.set()
    for one in threads:
        one.join(DEADLINE_S)

    assert 1 == len(proxied.host.asked)
    assert {made()} == {one.content for one in answers}
    assert 5 == len(answers)
    assert 4 == sum(one.headers.get("x-mock-proxy") in ("joined", "repeated") for one in answers)


def test_a_large_answer_to_a_submit_arrives_whole(proxied: Proxied) -> None:
    padding, go_on = b" " * 1_000_000, threading.Event()

    def slow(peer: socket.socket, asked: Asked) -> None:
        peer.sendall(answer(made() + padding, length=len(made()) + 2 * len(padding)))
        assert go_on.wait(DEADLINE_S)
        peer.sendall(padding)

    proxied.host.handle = slow
    with proxied.client.stream("POST", CLIPS, json=wish(), headers=KEY) as response:
        parts = response.iter_raw()
        first = next(parts)
        go_on.set()
        rest = b"".join(parts)

    assert made() + 2 * padding == first + rest


def test_a_refused_submit_can_be_tried_again_at_once(proxied: Proxied) -> None:
    body = wish()
    refusal = answer(b'{"code":1303,"message":"busy","request_id":"r"}', status="429 Too Many Requests")
    proxied.host.handle = lambda peer, asked: peer.sendall(refusal)
    first = proxied.submit(body)
    proxied.host.handle = lambda peer, asked: peer.sendall(answer(made()))
    second = proxied.submit(body)

    assert (429, 200) == (first.status_code, second.status_code)
    assert 2 == len(proxied.host.asked)


def test_a_client_that_hangs_up_finds_its_answer_when_it_comes_back(proxied: Proxied) -> None:
    body, go_on = wish(), threading.Event()

    def slow(peer: socket.socket, asked: Asked) -> None:
        assert go_on.wait(DEADLINE_S)
        peer.sendall(answer(made("900000000000000777")))

    proxied.host.handle = slow
    with pytest.raises(httpx.ReadTimeout):
        proxied.client.post(CLIPS, json=body, headers=KEY, timeout=0.3)
    go_on.set()

    response = proxied.submit(body)

    assert 1 == len(proxied.host.asked)
    assert "900000000000000777" == response.json()["data"]["task_id"]
    assert response.headers["x-mock-proxy"] in ("joined", "repeated")


def test_a_client_that_hangs_up_ends_a_read(proxied: Proxied) -> None:
    ended = threading.Event()

    def never(peer: socket.socket, asked: Asked) -> None:
        if not peer.recv(1):
            ended.set()

    proxied.host.handle = never
    with pytest.raises(httpx.ReadTimeout):
        proxied.client.get(f"{CLIPS}/1", headers=KEY, timeout=0.3)

    assert ended.wait(DEADLINE_S), "the host is left waiting"
    proxied.running.wait_for(r"0  GET .*passed on; the client hung up")
    assert (0, "getText2Video") == (proxied.newest()["response"]["status"], proxied.newest()["operation"])


@pytest.mark.parametrize("how", ["closed", "gateway"])
def test_a_lost_answer_counts_as_sent(proxied: Proxied, how: str) -> None:
    body = wish()
    lost = {
        "closed": lambda peer, asked: peer.close(),
        "gateway": lambda peer, asked: peer.sendall(
            answer(b"<html>", "Content-Type: text/html", status="504 Gateway Timeout")
        ),
    }[how]
    proxied.host.handle = lost

    first = proxied.submit(body)
    second = proxied.submit(body)

    assert 1 == len(proxied.host.asked)
    assert {"closed": 502, "gateway": 504}[how] == first.status_code
    assert (409, "lost") == (second.status_code, second.headers["x-mock-proxy"])
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert "the provider may have made the task" in second.json()["detail"]


def test_the_window_is_of_the_tenants_clock(proxied: Proxied) -> None:
    body, name = wish(), f"tenant-{next(_numbers)}"
    path = f"/t/{name}{CLIPS}"

    proxied.client.post(path, json=body, headers=KEY)
    held = proxied.client.post(path, json=body, headers=KEY)
    proxied.client.post(f"/t/{name}/__admin/clock/advance", json={"by": "PT61S"})
    later = proxied.client.post(path, json=body, headers=KEY)

    assert "repeated" == held.headers["x-mock-proxy"]
    assert "x-mock-proxy" not in later.headers
    assert 2 == len(proxied.host.asked)


# --- hosts that are not there -----------------------------------------------------------------------------


def test_a_host_that_is_not_there_is_told_in_our_voice_and_may_be_tried_again() -> None:
    with Host() as gone:
        url = gone.url
    with Proxied(url=url) as proxied:
        body = wish()
        answers = [proxied.submit(body), proxied.submit(body)]

        for one in answers:
            assert (502, "unreachable") == (one.status_code, one.headers["x-mock-proxy"])
            assert "it was not sent" in one.json()["detail"]


def test_a_host_that_says_nothing_is_a_timeout_and_counts_as_sent() -> None:
    # Nor is there anybody at the proxy of the environment, who is not asked.
    nobody = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    with Proxied("--timeout", "0.3", env={**nobody, "NO_PROXY": ""}) as proxied:
        proxied.host.handle = lambda peer, asked: None
        body = wish()
        first, second = proxied.submit(body), proxied.submit(body)

        assert (504, "timeout") == (first.status_code, first.headers["x-mock-proxy"])
        assert (409, "lost") == (second.status_code, second.headers["x-mock-proxy"])
        assert 1 == len(proxied.host.asked)


def test_a_proxy_that_is_named_is_gone_through() -> None:
    with (
        Host() as office,
        Proxied("--through", office.url, "--allow-spend", url="http://192.0.2.1/a/") as proxied,
    ):
        reply = proxied.client.get(f"{CLIPS}/1?a=%2f&&b=1", headers=KEY)
        plain = [asked.line for asked in office.asked]
        lines = [f"GET http://192.0.2.1/a{REAL}/1?a=%2f&&b=1 HTTP/1.1"]

    assert (200, lines) == (reply.status_code, plain)


CERTIFICATE = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgn1Oc6tCnH+F8KqEo
vfGxkgXt8diFMwxZ6ZNvmkSB60ihRANCAARLSw4YsJNqMo9K2Rx8+7f7X4qMFRrR
rRfnO0rIpLbG1bPVNWALM1xSBfdwkK2Xuh6AnlxnocEGgUXvG4JFWTkF
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIURPf4gSPVHWwkK1QorY8cZPDQV1AwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMTIwMjYyNVoYDzIxMjYxMDI4
MjAyNjI1WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARLSw4YsJNqMo9K2Rx8+7f7X4qMFRrRrRfnO0rIpLbG1bPVNWALM1xS
BfdwkK2Xuh6AnlxnocEGgUXvG4JFWTkFo2QwYjAdBgNVHQ4EFgQU4AkJ78nctSxN
GcvFRFQcny4WWoMwHwYDVR0jBBgwFoAU4AkJ78nctSxNGcvFRFQcny4WWoMwDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IAfy1C7vQ+Z1ujix4IesyumsybzCQXIf7E8byKTTKJLPAiEAr9OytD6H3cLvMp6b
oxbvuK5gAS0KOnQM9xPD1q91pTo=
-----END CERTIFICATE-----
"""
"""For 127.0.0.1, signed by itself, until 2126."""


def test_a_certificate_that_nobody_signed_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "host.pem").write_text(CERTIFICATE.strip())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "host.pem")
    with Host(tls=context) as host, Proxied(url=host.url) as proxied:
        response = proxied.submit()

        assert 502 == response.status_code
        assert "certificate verify failed" in response.json()["detail"].lower()
        assert [] == host.asked


# --- money, records, the end ------------------------------------------------------------------------------


def test_nothing_that_costs_passes_to_a_host_elsewhere_until_it_is_allowed() -> None:
    with Proxied(url="http://192.0.2.1") as proxied:
        response = proxied.submit()

        assert (403, "spending") == (response.status_code, response.headers["x-mock-proxy"])
        assert 1 == response.json()["units"]
        assert "--allow-spend" in response.json()["detail"]
        assert "not allowed" in proxied.running.output


def test_a_run_ends_with_what_passed_and_what_it_cost(tmp_path: Path) -> None:
    record = tmp_path / "run.ndjson"
    # What a killed one left.
    record.write_bytes(head_line(0, {}) + b'{"event":"made","at":"20')
    with Proxied("--budget", "2", "--record", str(record)) as proxied:
        proxied.host.handle = lambda peer, asked: peer.sendall(
            answer(made(f"90000000000000{len(proxied.host.asked):04}"))
        )
        same = wish()
        words = [
            proxied.submit(body).headers.get("x-mock-proxy")
            for body in (same, same, wish(), wish(), {"prompt": "x", "mode": "cinema"})
        ]
        code, took_s = proxied.running.stop(signal.SIGINT)
        output = proxied.running.output

    assert [None, "repeated", None, "budget", "refused"] == words
    assert 0 == code
    assert took_s < 2
    row = next(line.split() for line in output.splitlines() if line.startswith("  kling   "))
    assert ["kling", "2", "1", "2", "0", "2", "2", "0.28", "USD", "2"] == row
    assert "Recorded 2 tasks" in output
    assert "secret-key" not in output + record.read_text()
    with record.open("rb") as lines:
        found = read_recording(lines, "run.ndjson")
    assert (2, 1) == (len(found.tasks), len(found.notes))


def test_a_submit_that_is_under_way_is_waited_for_at_the_end(tmp_path: Path) -> None:
    record, go_on = tmp_path / "run.ndjson", threading.Event()
    with Proxied("--record", str(record)) as proxied:

        def slow(peer: socket.socket, asked: Asked) -> None:
            proxied.running.process.send_signal(signal.SIGINT)
            assert not go_on.wait(0.3)
            peer.sendall(answer(made("900000000000000555")))

        proxied.host.handle = slow
        with pytest.raises(httpx.ReadTimeout):
            proxied.client.post(CLIPS, json=wish(), headers=KEY, timeout=0.1)
        code = proxied.running.process.wait(timeout=DEADLINE_S)

    assert 0 == code
    assert "900000000000000555" in record.read_text()


def test_a_read_that_is_under_way_is_told_that_the_proxy_stops() -> None:
    with Proxied() as proxied:
        proxied.host.handle = lambda peer, asked: proxied.running.process.send_signal(signal.SIGINT)
        response = proxied.client.get(f"{CLIPS}/1", headers=KEY)
        code = proxied.running.process.wait(timeout=DEADLINE_S)

    assert (503, "stopped", 0) == (response.status_code, response.headers["x-mock-proxy"], code)


def test_a_recording_of_a_killed_proxy_is_played_as_tasks(tmp_path: Path) -> None:
    record = tmp_path / "run.ndjson"
    body, token = wish(), "secret-token-in-a-callback"
    body["callback_url"] = f"http://127.0.0.1:9/hook?token={token}"
    with Running("--seed", "5") as real:
        upstream = f"kling={real.origin}/kling"
        proxy = Running("--to", upstream, "--record", str(record), verb="proxy")
        real.client.put("/__admin/clock", json={"mode": "frozen"})
        clips = f"{proxy.origin}{CLIPS}"
        task = proxy.client.post(clips, json=body, headers=KEY).json()["data"]["task_id"]
        for by in ("PT5S", "PT20S", "PT1M"):
            real.client.post("/__admin/clock/advance", json={"by": by})
            proxy.client.get(f"{clips}/{task}", headers=KEY)
        real.client.patch(f"/__admin/tasks/{task}", json={"outcome": "failure", "message": "Too many boats"})
        real.client.post("/__admin/clock/advance", json={"by": "PT1M"})
        proxy.client.get(f"{clips}/{task}", headers=KEY)
        # Written down once it has passed; whoever asks for more finds it written.
        proxy.client.get("/__admin/health")
        proxy.kill()
    with record.open("ab") as file:
        file.write(b'{"event":"seen","at":"2026')

    text = record.read_text()
    assert "secret-key" not in text
    assert token not in text
    with Running("--replay", str(record)) as replayed:
        replayed.client.put("/__admin/clock", json={"mode": "frozen"})
        created = replayed.client.post(CLIPS, json=body, headers=KEY)
        task = created.json()["data"]["task_id"]
        states, times = [], ("PT1S", "PT4S", "PT79S", "PT1S", "PT1S")
        for by in times:
            replayed.client.post("/__admin/clock/advance", json={"by": by})
            # However often anybody asks.
            for _ in range(4):
                data = replayed.client.get(f"{CLIPS}/{task}", headers=KEY).json()["data"]
            states.append((data["task_status"], data["task_status_msg"]))
        greeting = replayed.output

    assert f"replays {record}:2 (the request is equal)" == created.headers["x-mock-replay"]
    assert [
        ("submitted", ""),
        ("processing", ""),
        ("processing", ""),
        ("failed", "Too many boats"),
        ("failed", "Too many boats"),
    ] == states
    assert "1 recorded task" in greeting
    assert re.search(r"run\.ndjson:\d+: cut off, and passed over", greeting)


def test_a_recording_that_cannot_go_on_does_not_keep_requests_from_passing() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is full")
    with Proxied("--record", "/dev/full", "--log", "json") as proxied:
        proxied.host.handle = lambda peer, asked: peer.sendall(answer(made()))
        response = proxied.submit()
        code, _ = proxied.running.stop(signal.SIGINT)
        output = proxied.running.output

    assert 200 == response.status_code
    assert 2 == code
    assert "the recording is not whole" in output
    told = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [200, None] == [line.get("status") for line in told]
    assert {"passed": 1, "tasks": 1, "units": 1.0}.items() <= told[-1]["summary"]["kling"].items()


# --- the page ---------------------------------------------------------------------------------------------


def test_the_page_on_the_proxy_shows_what_its_commands_print(tmp_path: Path) -> None:
    if absent := pages.missing("docs/proxy.md"):
        pytest.skip(f"docs/proxy.md uses {', '.join(absent)}, not installed here")
    settings = ""
    with contextlib.ExitStack() as running:
        real = running.enter_context(Running("--speed", "6000", "--provider", "kling"))
        options = ("--to", f"kling={real.origin}/kling", "--record", "run.ndjson")
        proxy = running.enter_context(Running(*options, verb="proxy", cwd=tmp_path))
        ports = {"8701": proxy.port}
        for shown, printed in pages.console("docs/proxy.md"):
            line = re.sub(r"(?<=127\.0\.0\.1:)(870[12])", lambda found: str(ports[found[0]]), shown)
            if line.startswith("understudy serve --replay"):
                words = line.removesuffix(" &").split()[2:-2]
                ports["8702"] = running.enter_context(Running(*words, cwd=tmp_path)).port
                continue
            if re.match(r"[A-Z]+=", line):
                settings += line + "\n"
                continue
            # A video takes some hundredths of a second here; what makes a task is asked for once.
            for _ in range(pages.RETRIES):
                done = subprocess.run(
                    ["bash", "-c", settings + line],
                    cwd=tmp_path,
                    env=environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                out = pages.VARYING.sub("0", (done.stdout + done.stderr).replace("\r", "").strip())
                if pages.pattern(printed).fullmatch(out) or "-d " in line:
                    break

            assert pages.pattern(printed).fullmatch(out), f"{line}\nprints\n{out}\nand not\n{printed}"
