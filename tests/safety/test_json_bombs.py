"""JSON that is deep, or small on the line and large in memory: the provider's refusal, soon, and nothing else."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from tests.mock import Mock
from tests.mockserver.clients import Client, clients
from tests.providers import LIBRARY

MEG = 1_000_000
DEEP = {
    "lists": b"[" * 100_000 + b"]" * 100_000,
    "lists-open": b"[" * 100_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "both": b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000,
    "just-beyond": b'{"prompt": "a", "x": ' + b"[" * 101 + b"]" * 101 + b"}",
    "behind-strings": b'{"prompt": "\\"[[[", "x": ' + b"[" * 500 + b"]" * 500 + b"}",
    "ten-million": b"[" * 5_000_000 + b"]" * 5_000_000,
}
LARGE = {
    "zeros": b"[" + b"0," * 8_000_000 + b"0]",
    "empty-lists": b"[" + b"[]," * 5_000_000 + b"[]]",
    "empty-objects": b'{"a":[' + b"{}," * 5_000_000 + b"{}]}",
    "members": b"{" + b",".join(b'"%d":0' % index for index in range(300_000)) + b"}",
    "one-value-each": b"[" + b'{"a":[{}]},' * 1_000_000 + b"0]",
}
STRANGE = {
    "long-number": b'{"prompt": ' + b"9" * MEG + b"}",
    "long-fraction": b'{"prompt": 0.' + b"9" * MEG + b"}",
    "long-exponent": b'{"prompt": 1e' + b"9" * MEG + b"}",
    "long-key": b'{"' + b"k" * MEG + b'": 1}',
    "escapes": b'{"prompt": "' + b"\\u0041" * 200_000 + b'"}',
    "backslashes": b'{"x": "' + b"\\\\" * 500_000 + b'"}',
    "quotes": b'{"x": "' + b'\\"[' * 300_000 + b'"}',
    "blanks": b" " * (4 * MEG) + b"{}" + b" " * MEG,
    "brackets-in-a-text": b'{"x": "' + b"[{" * 500_000 + b'"}',
    "commas-in-a-text": b'{"prompt": "' + b"," * 500_000 + b'"}',
    "nothing-but-commas": b"," * (4 * MEG),
    "collisions": b"{" + b",".join(b'"%s":0' % (b"a" * (index % 90)) for index in range(20_000)) + b"}",
}


def first(mock: Mock, name: str) -> Client:
    return next(clients(mock, name))


def send(mock: Mock, name: str, body: bytes) -> tuple[int, float]:
    """Return (status, seconds) of a create with this body; the journal must be readable afterwards."""
    client = first(mock, name)
    path = client.url(client.operation.path)
    begun = time.perf_counter()
    reply = mock.call("POST", path, body=body, headers=client.headers | {"content-type": "application/json"})
    took = time.perf_counter() - begun
    assert reply.headers["content-type"].startswith("application/json"), reply
    mock.admin("GET", "/requests?limit=1")
    return reply.status, took


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("bomb", DEEP)
def test_what_is_too_deep_is_refused(name: str, bomb: str) -> None:
    with Mock(name, log="off") as mock:
        status, took = send(mock, name, DEEP[bomb])

        assert 400 <= status < 500, status
        assert took < 3
        assert 0 == mock.admin("GET", "/tasks")["count"]


@pytest.mark.parametrize("bomb", LARGE)
def test_what_grows_is_refused_before_it_has_grown(bomb: str) -> None:
    body = LARGE[bomb]
    with Mock(log="off") as mock:
        mock.clip()
        tracemalloc.start()
        try:
            status, took = send(mock, "toy", body)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert 400 == status
        assert took < 5
        # A list of empty lists takes twenty times what it took on the line.
        assert peak < 4 * len(body) + 120 * MEG, f"{peak / MEG:.0f} MB of {len(body) / MEG:.0f}"


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("case", [*STRANGE, "members"])
def test_what_is_strange_is_answered(name: str, case: str) -> None:
    with Mock(name, log="off") as mock:
        status, took = send(mock, name, (STRANGE | LARGE)[case])

        assert 200 <= status < 500, status
        assert took < 3


@pytest.mark.parametrize("bomb", [*DEEP, *LARGE, *STRANGE])
def test_the_control_plane_takes_none_of_it(bomb: str) -> None:
    body = (DEEP | LARGE | STRANGE)[bomb]
    with Mock(log="off") as mock:
        for method, path in (
            ("PUT", "/__admin/clock"),
            ("POST", "/__admin/clock/advance"),
            ("PATCH", "/__admin/tasks/x"),
        ):
            reply = mock.call(method, path, body=body)
            assert reply.status in (400, 404, 413), reply


def test_a_token_that_holds_a_bomb_is_none() -> None:
    import base64

    for bomb in (b"[" * 30_000, b'{"iss": ' + b"[" * 20_000 + b"}", b'{"iss": "' + b"a" * 30_000 + b'"}'):
        part = base64.urlsafe_b64encode(bomb).decode().rstrip("=")
        head = base64.urlsafe_b64encode(b'{"alg": "HS256"}').decode().rstrip("=")
        for name in LIBRARY:
            with Mock(name, log="off") as mock:
                client = first(mock, name)
                headers = {client.operation.credentials[0].header: f"Bearer {head}.{part}.x"}
                reply = mock.call("POST", client.url(client.operation.path), json={}, headers=headers)
                assert 400 <= reply.status < 500, reply
