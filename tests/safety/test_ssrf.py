"""A callback to what the server can reach and the client cannot (server-side request forgery; CVE-2023-41327).

A server that others can reach calls what is on its list and nothing else, whichever provider is asked and wherever
that provider takes the address from.
"""

from __future__ import annotations

from typing import Any

import pytest

from mockserver.callbacks import HttpSender
from mockserver.receivers import NotAllowedError, Policy
from mockserver.settings import Settings
from tests.e2e.receiver import Receiver
from tests.e2e.running import Running
from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.providers import LIBRARY, TOY, contract
from tests.safety.receiving import ELSEWHERE, Trap, deliver, never_connected, resolver

INSIDE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    *("192.0.0.8", "198.18.0.1", "240.0.0.1", "::1", "fc00::1", "fd12:3456::1", "fec0::1", "2001:db8::1"),
]
METADATA = [
    *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192", "fe80::a9fe:a9fe"),
]
NOBODY = ["0.0.0.0", "0.0.0.1", "255.255.255.255", "224.0.0.1", "239.255.255.250", "::", "ff02::1", "ff05::2"]
HEADERS = {"X-Admin-Token": "t"}


def callback_clients() -> list[str]:
    return [
        name
        for name in ("toy", *LIBRARY)
        if any(operation.callbacks for operation in contract(name).operations.values())
    ]


@pytest.mark.parametrize("address", [*INSIDE, *METADATA, *NOBODY, "93.184.216.34"])
def test_a_server_for_others_calls_nobody_it_was_not_told_to(address: str) -> None:
    with never_connected() as reached:
        results = deliver("http://receiver.test/", resolver=resolver(address), **ELSEWHERE)
        listed = {**ELSEWHERE, "callback_allow": ("receiver.example", "203.0.113.0/24", "2001:db9::/32")}
        results += deliver("http://receiver.test/", resolver=resolver(address), **listed)

    assert [] == reached
    assert all(isinstance(one, NotAllowedError) for one in results)


@pytest.mark.parametrize("settings", [{}, ELSEWHERE], ids=["loopback", "elsewhere"])
@pytest.mark.parametrize("address", [*METADATA, *NOBODY])
def test_what_is_nobodys_address_is_called_by_no_server(address: str, settings: dict[str, Any]) -> None:
    """Neither by one bound to this machine, nor for a listed name, nor for a list that means everything."""
    with never_connected() as reached:
        host = f"[{address}]" if ":" in address else address
        results = [
            *deliver(f"http://{host}/", **{"host": "127.0.0.1"} | settings),
            *deliver(
                "http://receiver.test/",
                resolver=resolver(address),
                callback_allow=("receiver.test",),
                **settings,
            ),
            *deliver(f"http://{host}/", callback_allow=("0.0.0.0/0", "::/0"), **settings),
        ]

    assert [] == reached
    assert all(isinstance(one, NotAllowedError) for one in results), results


def test_who_needs_such_an_address_can_list_it_by_number() -> None:
    with never_connected() as reached:
        deliver("http://169.254.169.254/", callback_allow=("169.254.169.254",))
        deliver("http://169.254.1.1/", callback_allow=("169.254.0.0/16",), **ELSEWHERE)

    assert ["169.254.169.254", "169.254.1.1"] == reached


@pytest.mark.parametrize("name", callback_clients())
def test_no_provider_has_a_way_round_the_list(name: str) -> None:
    """Through the whole server, with a real sender and a receiver that really listens."""
    with Trap() as trap:
        sender = HttpSender(Policy.of(Settings(**ELSEWHERE)), resolver=resolver("127.0.0.1"))
        with Mock(name, sender=sender, is_stepped=False, log="off", **ELSEWHERE) as mock:
            mock.call("PUT", "/__admin/clock", json={"mode": "frozen"}, headers=HEADERS)
            made = 0
            for client in clients(mock, name):
                if client.operation.callbacks:
                    for host in ("127.0.0.1", "receiver.test", "[::ffff:127.0.0.1]"):
                        client.made(hook=f"http://{host}:{trap.port}/hook")
                        made += 1
            mock.call("POST", "/__admin/clock/advance", json={"by": "PT1H"}, headers=HEADERS)
            ledger = mock.call("GET", "/__admin/deliveries?limit=1000", headers=HEADERS).json["deliveries"]

        assert made
        assert len(ledger) >= made
        assert {"refused"} == {one["status"] for one in ledger}
        assert [] == trap.heads


def test_a_real_server_for_others_calls_a_listed_receiver_and_no_other() -> None:
    options = ("--spec", str(TOY), "--host", "0.0.0.0", "--admin-token", "t", "--log", "off")
    body = {"prompt": "a boat"}
    statuses = {}
    for listed in (False, True):
        allow = ("--callback-allow", "127.0.0.0/8") if listed else ()
        with Receiver() as receiver, Running(*options, *allow) as server:
            answer = server.client.post(
                "/toy/api/clips", json=body | {"hook": receiver.url()}, headers={"X-Toy-Key": "toy-key-1"}
            )
            assert 200 == answer.status_code, answer.text
            server.client.post("/__admin/clock/advance", json={"by": "PT1H"}, headers=HEADERS)
            ledger = server.client.get("/__admin/deliveries", headers=HEADERS).json()["deliveries"]
            statuses[listed] = ({one["status"] for one in ledger}, len(receiver.received))

    assert ({"refused"}, 0) == statuses[False]
    assert ({"delivered"}, 2) == statuses[True]


def test_what_a_refused_address_would_have_said_is_not_told() -> None:
    """An answer would tell a client which ports are open behind the server; a refusal is the same for all."""
    with Trap() as trap:
        results = deliver(f"http://127.0.0.1:{trap.port}/", "http://127.0.0.1:1/", **ELSEWHERE)

        assert [] == trap.heads
        assert 1 == len({str(one) for one in results})


def test_another_scheme_reaches_no_other_protocol() -> None:
    with never_connected() as reached:
        results = deliver(
            *(f"{scheme}://127.0.0.1:6379/x" for scheme in ("gopher", "dict", "ftp", "file", "ldap", "unix"))
        )

    assert [] == reached
    assert all(isinstance(one, NotAllowedError) for one in results)


def test_a_url_cannot_write_a_second_request() -> None:
    with Trap() as trap:
        deliver(
            f"http://127.0.0.1:{trap.port}/a HTTP/1.1\r\nX-Injected: 1\r\n\r\nDELETE /b",
            f"http://127.0.0.1:{trap.port}/a%0d%0aX-Injected:%201",
            f"http://127.0.0.1:{trap.port}/?q=\r\nX-Injected: 1",
        )

        assert trap.heads
        for head in trap.heads:
            assert b"\r\nX-Injected" not in head
            assert 1 == head.count(b" HTTP/1.1\r\n")
