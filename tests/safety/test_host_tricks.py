"""A Host that is not ours: a foreign name pointed at this machine (DNS rebinding), two of them, or nonsense.

The control plane of a server on loopback answers to names of this machine alone, however the name is bent.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.running import Running
from tests.e2e.wire import Answer, Wire
from tests.mock import Mock
from tests.providers import TOY

FOREIGN = [
    *(
        "evil.example",
        "evil.example:8700",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example#localhost",
    ),
    *(
        "127.0.0.1@evil.example",
        "evil.example/localhost",
        "xlocalhost",
        "localhost-evil.example",
        "127.0.0.1.nip.io",
    ),
    *(
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "192.168.0.1",
        "[::]",
        "[::2]",
        "[fe80::1]",
        "::1x",
    ),
    *(
        "[::1]evil.example",
        "[::1].evil.example",
        "localhost:80@evil.example",
        "",
        " ",
        ":8700",
        "localhost,evil.example",
    ),
    *("169.254.169.254", "[::ffff:10.0.0.1]", "evil.localhost.example", "localhost.", "127.0.0.1."),
]
OURS = [
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost",
    "LOCALHOST:8700",
    "app.localhost",
    "[::1]",
    "[::1]:8700",
    "127.9.9.9",
]


@pytest.fixture(scope="module")
def toy() -> Iterator[Running]:
    """A server of the toy alone, on loopback and without a token."""
    with Running("--spec", str(TOY), "--log", "off") as running:
        yield running


def ask(server: Running, target: str, *lines: str, version: str = "1.1") -> Answer:
    """Send one request with exactly these lines."""
    with Wire(server) as wire:
        head = "\r\n".join([f"GET {target} HTTP/{version}", *lines, "Connection: close", "", ""])
        return wire.send(head.encode("latin-1")).answer()


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_steers_nothing(host: str) -> None:
    with Mock() as mock:
        for path in ("/__admin/tasks", "/t/a/__admin/health", "/__admin/providers"):
            reply = mock.run(mock.send("GET", path, headers={"host": host or " "}))
            # A dot at the end may be taken or not: nobody writes it.
            assert reply.status in (400, 403) or host in ("localhost.", "127.0.0.1."), (host, reply)


@pytest.mark.parametrize("host", FOREIGN)
def test_over_a_socket_neither(toy: Running, host: str) -> None:
    if host in ("localhost.", "127.0.0.1."):
        return
    assert ask(toy, "/__admin/tasks", f"Host: {host}").status in (400, 403)


@pytest.mark.parametrize("host", OURS)
def test_a_name_of_this_machine_does(toy: Running, host: str) -> None:
    assert 200 == ask(toy, "/__admin/health", f"Host: {host}").status


@pytest.mark.parametrize(
    "lines",
    [
        ("Host: 127.0.0.1", "Host: evil.example"),
        ("Host: evil.example", "Host: 127.0.0.1"),
        ("Host: 127.0.0.1", "Host: 127.0.0.1"),
        ("Host: 127.0.0.1", "host: evil.example", "HOST: x"),
    ],
)
def test_two_hosts_are_one_too_many(toy: Running, lines: tuple[str, ...]) -> None:
    """Source: RFC 9112, 3.2.  A guard and a proxy before it might read different ones."""
    for path in ("/__admin/health", "/t/a/__admin/tasks", "/__admin/none"):
        assert 400 == ask(toy, path, *lines).status


@pytest.mark.parametrize(
    "lines", [(), ("Host:",), ("Host : 127.0.0.1",), ("X-Host: 127.0.0.1",), ("Host:127.0.0.1 x",)]
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_no_host_is_no_name_of_this_machine(toy: Running, lines: tuple[str, ...], version: str) -> None:
    assert ask(toy, "/__admin/tasks", *lines, version=version).status in (400, 403)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "X-Forwarded-Host: 127.0.0.1",
            "X-Host: 127.0.0.1",
            "Forwarded: host=127.0.0.1",
            "X-Real-Host: localhost",
        ),
        *("X-Forwarded-Server: localhost", "X-HTTP-Host-Override: localhost", "X-Original-Host: 127.0.0.1"),
        *("X-Forwarded-For: 127.0.0.1", "X-Original-URL: /__admin/health", "Origin: http://evil.example"),
    ],
)
def test_no_other_header_makes_a_foreign_name_ours(toy: Running, line: str) -> None:
    assert 403 == ask(toy, "/__admin/tasks", "Host: evil.example", line).status


def test_a_whole_url_as_target_brings_no_host_of_its_own(toy: Running) -> None:
    """Source: RFC 9112, 3.2.2 lets it stand for the Host; here the header is judged, and is foreign."""
    assert 403 == ask(toy, "http://127.0.0.1/__admin/tasks", "Host: evil.example").status
    assert 403 == ask(toy, "http://localhost/__admin/tasks", "Host: evil.example").status


def test_an_origin_is_ours_only_where_the_host_is(toy: Running) -> None:
    """A page on a rebound name sends an Origin and a Host that agree with one another."""
    both = ("Host: evil.example", "Origin: http://evil.example")

    assert 403 == ask(toy, "/__admin/tasks", *both).status


@pytest.mark.parametrize(
    "host", ["evil.example/x?", "a b", "<script>", 'x"y', "evil.example\\", "a" * 30_000, "é"]
)
def test_nonsense_does_not_get_into_the_addresses_of_results(toy: Running, host: str) -> None:
    head = (
        f"POST /toy/api/clips HTTP/1.1\r\nHost: {host}\r\nX-Toy-Key: toy-key-1\r\nContent-Type: application/json\r\n"
        'Content-Length: 20\r\nConnection: close\r\n\r\n{"prompt": "a boat"}'
    )
    with Wire(toy) as wire:
        answer = wire.send(head.encode("latin-1")).answer()
    task = toy.client.get("/__admin/tasks?limit=1").json()["tasks"][0]

    assert 200 == answer.status
    assert host.encode("latin-1") not in answer.body
    assert host not in str(task)


def test_a_long_name_is_not_kept(toy: Running) -> None:
    """It is remembered per Host what it leads to; ten thousand of 60 kB would be half a gigabyte."""
    with Mock() as mock:
        for index in range(300):
            mock.create(headers={"host": f"{index}." + "a" * 60_000})
        kept = mock.app._pipeline._origins

    assert sum(len(str(key)) for key in kept) < 100_000
