"""Bytes that are no UTF-8, wherever a request can hold some: refused, or said again in a way that can be read."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from tests.e2e.running import Running
from tests.e2e.wire import Wire
from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.providers import LIBRARY, TOY

BAD = {
    "alone": b"\xff",
    "continued": b"\x80abc",
    "cut": b"\xe2\x82",
    "long-slash": b"\xc0\xaf",
    "long-nul": b"\xc0\x80",
    "long-three": b"\xe0\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond": b"\xf4\x90\x80\x80",
    "five-bytes": b"\xf8\x88\x80\x80\x80",
    "utf-16": '{"prompt": "a"}'.encode("utf-16"),
    "latin-1": b"caf\xe9",
    "bom": b"\xef\xbb\xbf\xff",
}
ESCAPED = [
    rb"\ud800",
    rb"\udc00",
    rb"\ud800\ud800",
    rb"\udfff\ud800",
    rb"\ud83d",
    rb"\uD800x",
    rb"\u0000",
    rb"\u00zz",
]


@pytest.fixture(scope="module")
def toy() -> Iterator[Running]:
    """A server of the toy alone."""
    with Running("--spec", str(TOY), "--log", "text") as running:
        yield running


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("kind", BAD)
def test_a_body_with_such_bytes_is_refused(name: str, kind: str) -> None:
    with Mock(name) as mock:
        client = next(clients(mock, name))
        for body in (
            BAD[kind],
            b'{"prompt": "' + BAD[kind] + b'"}',
            b'{"' + BAD[kind] + b'": 1}',
            b"{}" + BAD[kind],
        ):
            reply = mock.call(
                "POST",
                client.url(client.operation.path),
                body=body,
                headers=client.headers | {"content-type": "application/json"},
            )
            assert 400 <= reply.status < 500, (body, reply)
            assert reply.json
            shown = mock.admin("GET", "/requests?limit=1")["requests"][0]
            assert "malformed" in shown["report"]["violations"][0]["rule"]


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("text", ESCAPED)
def test_half_a_pair_in_an_escape_is_answered_in_utf_8(name: str, text: bytes) -> None:
    with Mock(name) as mock:
        client = next(clients(mock, name))
        for body in (b'{"prompt": "%s"}' % text, b'{"%s": 1}' % text, b'["%s"]' % text):
            reply = mock.call(
                "POST",
                client.url(client.operation.path),
                body=body,
                headers=client.headers | {"content-type": "application/json"},
            )
            assert reply.status < 500
            reply.body.decode()
        orjson.dumps(mock.admin("GET", "/requests"))


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("kind", BAD)
def test_such_bytes_in_path_and_query_are_answered(name: str, kind: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in BAD[kind])
    with Mock(name) as mock:
        client = next(clients(mock, name))
        for target in (
            *(
                f"/{name}/{escaped}",
                f"/{name}{client.operation.path}/{escaped}",
                f"/{name}{client.operation.path}?{escaped}=1",
            ),
            *(
                f"/{name}{client.operation.path}?page={escaped}&x={escaped}",
                f"/t/{escaped}/{name}/x",
                f"/{escaped}",
            ),
            *(
                f"/__media/{escaped}/{escaped}.mp4",
                f"/__admin/tasks/{escaped}",
                f"/__admin/requests?provider={escaped}",
            ),
        ):
            for method in ("GET", "POST", "DELETE"):
                reply = mock.call(method, target, headers=client.headers)
                assert reply.status < 500, (method, target, reply)
                reply.body.decode()
        orjson.dumps(mock.admin("GET", "/requests"))


@pytest.mark.parametrize("kind", BAD)
def test_such_bytes_in_headers_are_answered(toy: Running, kind: str) -> None:
    bad = BAD[kind].replace(b"\x00", b"")
    for line in (
        b"X-Toy-Key: ",
        b"Authorization: Bearer ",
        b"X-Mock-Tenant: ",
        b"Accept: ",
        b"Prefer: code=",
        b"X-A: ",
    ):
        for method, path in (
            (b"GET", b"/toy/api/clips"),
            (b"GET", b"/__admin/tasks"),
            (b"POST", b"/toy/api/clips"),
        ):
            with Wire(toy) as wire:
                head = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n" % (method, path)
                answer = wire.send(head + line + bad + b"\r\n\r\n").answer()
                assert answer.status < 500, (line, answer)
                answer.body.decode()
    toy.client.get("/__admin/requests").raise_for_status()


@pytest.mark.parametrize("kind", BAD)
def test_raw_bytes_in_a_target_are_refused_or_answered(toy: Running, kind: str) -> None:
    for target in (
        b"/toy/api/%s",
        b"/%s",
        b"/toy/api/clips?page=%s",
        b"/t/%s/toy/api/clips",
        b"/__admin/tasks/%s",
    ):
        with Wire(toy) as wire:
            wire.send(
                b"GET " + target % BAD[kind] + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            seen = b""
            while part := wire.socket.recv(65_536):
                seen += part
            assert seen.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2")), seen
    assert 200 == toy.client.get("/__admin/health").status_code


def test_a_tenant_is_named_in_ascii() -> None:
    with Mock() as mock:
        for name in ("é", "\uff41", "①", "a\u200b", "a b", "٣"):
            reply = mock.call(
                "GET", "/t/" + "".join(f"%{byte:02x}" for byte in name.encode()) + "/toy/api/clips"
            )
            assert 404 == reply.status
        assert {"default"} == set(mock.app.backend.tenants)
