"""A path that leads out of its folder, in every segment and header (CVE-2025-59049, CVE-2024-45388).

No file is opened for a request at all: Python's own audit events say so, whatever is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mockserver.artifacts import Artifacts
from tests.e2e.running import Running
from tests.e2e.wire import Wire
from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.providers import LIBRARY, TOY, contract

MARK = "root:x:0:0:planted-by-a-test"

WAYS = [
    *(
        "..",
        "../..",
        "../../../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%2e%2e/%2e%2e",
    ),
    *(
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5c..%5cwindows%5cwin.ini",
        "..\\..\\etc",
        "....//....//etc/passwd",
    ),
    *(
        "..%252f..%252fetc",
        "%c0%ae%c0%ae/etc/passwd",
        "..%c0%af..%c0%afetc",
        "..;/..;/etc/passwd",
        "%00",
        "a%00.mp4",
    ),
    *(
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "~root",
        "~/.ssh/id_rsa",
        "C:%5c",
    ),
    *("proc/self/environ", "..%00/", ".%2e/", "%2e./", "..%0d%0a", "..%09", "..?", "..%23", "con", "nul.txt"),
]

_opened: list[str] = []
_is_watching = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _is_watching and event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir"):
        _opened.append(f"{event} {arguments[0]!r}")


sys.addaudithook(_audit)


@contextmanager
def watching() -> Iterator[list[str]]:
    """Yield the files and folders that are opened meanwhile."""
    global _is_watching
    _opened.clear()
    _is_watching = True
    try:
        yield _opened
    finally:
        _is_watching = False


def test_the_watch_sees_a_file_that_is_opened(tmp_path: Path) -> None:
    with watching() as opened:
        (tmp_path / "x").write_text("x")
        (tmp_path / "x").read_text()
        list(tmp_path.iterdir())

    assert 3 == len(opened)


def _warmed(mock: Mock, name: str) -> list[str]:
    """Use everything once, so that what is imported late is there; return paths that lead to something."""
    paths = [operation.path for operation in contract(name).operations.values()]
    client = next(clients(mock, name))
    task = client.made()
    client.read(task)
    for path in ("/requests", "/tasks", "/deliveries", "/providers", "/clock", "/health", "/nothing"):
        mock.call("GET", f"/__admin{path}")
    return [f"/{name}{path}" for path in paths]


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_no_segment_of_a_path_opens_a_file(name: str) -> None:
    with Mock(name, log="off") as mock:
        routes = [*_warmed(mock, name), f"/t/some/{name}/x", "/__admin/tasks/x", "/t/some/__admin/requests/x"]
        routes += ["/__media/x/y.mp4", "/t/some/__media/x/y.mp4", "/x"]
        answers = []
        with watching() as opened:
            for route in routes:
                segments = route.split("/")[1:]
                for at in range(len(segments)):
                    for way in WAYS:
                        path = "/" + "/".join([*segments[:at], way, *segments[at + 1 :]])
                        answers.append(mock.call("GET", path))
            seen = list(opened)

    assert [] == seen
    # None of these names anything; the few that do after a `?` are whole paths before it.
    assert {400, 401, 403, 404, 405} >= {one.status for one in answers if one.status != 200}
    assert not any(b"root:" in one.body for one in answers)


HEADERS = [
    *("x-mock-tenant", "host", "prefer", "accept", "content-type", "x-forwarded-prefix", "x-original-url"),
    *(
        "x-rewrite-url",
        "x-forwarded-host",
        "x-sendfile",
        "x-accel-redirect",
        "referer",
        "cookie",
        "range",
        "if-range",
    ),
    *(
        "x-test-id",
        "x-webhook-url",
        "authorization",
        "x-toy-key",
        "user-agent",
        "destination",
        "content-location",
    ),
]


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_no_header_opens_a_file(name: str) -> None:
    with Mock(name, log="off") as mock:
        client = next(clients(mock, name))
        _warmed(mock, name)
        body = client.create().status
        assert body < 300
        with watching() as opened:
            for header in HEADERS:
                for way in WAYS:
                    for method, path in (
                        ("GET", f"/{name}/"),
                        ("GET", "/__admin/tasks"),
                        ("GET", "/__media/x/y.mp4"),
                    ):
                        mock.call(method, path, headers={header: way})
            seen = list(opened)

    assert [] == seen


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_no_member_of_a_body_opens_a_file(name: str) -> None:
    """Every text of the provider's own examples, replaced by a path; the answer may be anything but a file."""
    with Mock(name, log="off") as mock:
        for client in clients(mock, name):
            _warmed(mock, name)
            tree = contract(name).operations[client.operation.id].body
            assert tree is not None
            client.create()
            names = set(_names(tree.tree))
            # Pictures bring their own library with them, once.
            client.create(body=dict.fromkeys(names, "iVBORw0KGgo="))
            with watching() as opened:
                for way in (*WAYS[:12], "/etc/passwd", "file:///etc/passwd"):
                    reply = client.create(body=dict.fromkeys(names, way))
                    assert b"root:" not in reply.body
                seen = [one for one in opened if "site-packages" not in one]
            assert [] == seen


def _names(tree: Mapping[str, Any]) -> Iterator[str]:
    yield from tree.get("properties", ())
    for part in tree.get("allOf", ()):
        yield from _names(part)


def test_a_result_is_the_clip_of_its_task_whatever_else_its_path_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    original = Artifacts.clip

    async def clip(self: Artifacts, shape: Any) -> Any:
        made.append(shape)
        return await original(self, shape)

    monkeypatch.setattr(Artifacts, "clip", clip)
    with Mock(is_stepped=False) as mock:
        mock.freeze()
        task = mock.clip()
        mock.advance("PT1M")
        url = mock.read(task).json["clip"]["file"]["url"]
        path = url.partition("8700")[2]
        assert 200 == mock.call("GET", path).status
        folder, _, file = path.rpartition("/")
        for way in WAYS:
            for bent in (
                f"{folder}/{way}",
                f"{folder}/{way}/{file}",
                f"{folder}/{file}{way}",
                f"{folder}/{way}{file}",
            ):
                if bent.partition("?")[0].partition("%00")[0] != path:
                    assert 404 == mock.call("GET", bent.partition("?")[0]).status, bent

    assert 1 == len(made)


def test_a_file_that_is_there_is_not_found_over_a_socket(tmp_path: Path) -> None:
    """With real bytes on the line, which no client library has tidied up."""
    (tmp_path / "secret.txt").write_text(MARK)
    targets = [
        *(
            f"/{way}/secret.txt"
            for way in ("..", "%2e%2e", ".", "", "..%2f..", "x/..", "__media/..", "toy/..", "t/..")
        ),
        *(
            "/secret.txt",
            "secret.txt",
            f"/{tmp_path}/secret.txt",
            f"/__media/{tmp_path}/secret.txt",
            "/t/../secret.txt",
        ),
        *(
            "/__media/x/../../secret.txt",
            "/__media/../secret.txt",
            "/__admin/../secret.txt",
            "/toy/api/../../secret.txt",
        ),
        *("/__admin/static/../../secret.txt", "/__admin//secret.txt", f"file://{tmp_path}/secret.txt"),
    ]
    with Running("--spec", str(TOY), "--log", "off", cwd=tmp_path) as server:
        for target in targets:
            with Wire(server) as wire:
                wire.send(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
                seen = b""
                while part := wire.socket.recv(65_536):
                    seen += part
            assert seen.startswith(b"HTTP/1.1 4"), (target, seen)
            assert MARK.encode() not in seen
