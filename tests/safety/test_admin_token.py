"""The control plane of a server that others can reach: no call of it without the token, however it answers.

One mock server guarded its calls and forgot the socket that streamed its log.  So every path of the description is
asked here with every method, those that do not exist too: whoever adds a call is asked the same.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from mockserver.settings import SettingError, Settings
from tests.e2e.running import Running, call
from tests.e2e.wire import Wire
from tests.mock import Mock
from tests.providers import TOY
from validator.contract.document import parse_yaml

TOKEN = "0123456789abcdef"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
WRONG: list[dict[str, str]] = [
    {},
    {"x-admin-token": ""},
    {"x-admin-token": "x"},
    {"authorization": "Bearer"},
    {"authorization": "Bearer x"},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": TOKEN},
    {"cookie": f"token={TOKEN}"},
    {"x-admin-token": "x", "authorization": f"Bearer {TOKEN}"},
    {"x-api-key": TOKEN},
]


def described() -> dict[str, Any]:
    file = resources.files("mockserver").joinpath("admin.openapi.yaml")
    if not file.is_file():
        file = resources.files("mockserver.admin").joinpath("admin.openapi.yaml")
    found: dict[str, Any] = parse_yaml(file.read_bytes(), file="admin.openapi.yaml")["paths"]
    return found


def paths() -> list[str]:
    """Return every path of the description, and some that a stream or a page would have."""
    known = [path.replace("{", "").replace("}", "") for path in described()]
    more = [
        "/events",
        "/log",
        "/logs",
        "/stream",
        "/ws",
        "/page",
        "/metrics",
        "/debug",
        "/shutdown",
        "/files/x",
    ]
    prefix = "" if any(path.startswith("/__admin") for path in known) else "/__admin"
    return [prefix + path for path in known] + [f"/__admin{path}" for path in more]


def test_the_description_is_read() -> None:
    assert len(paths()) > 15


@pytest.mark.parametrize("path", paths())
def test_no_call_without_the_token(path: str) -> None:
    with Mock(admin_token=TOKEN, log="off") as mock:
        for prefix in ("", "/t/a"):
            for method in METHODS:
                for headers in WRONG:
                    reply = mock.call(method, prefix + path, headers=headers)
                    # What does not exist may say so: there is nothing to guard.
                    assert reply.status in (401, 404, 405), (method, path, headers, reply)
                    assert b"tasks" not in reply.body
        assert {"default"} == set(mock.app.backend.tenants), "a stranger makes no tenants"


@pytest.mark.parametrize("path", sorted(described()))
def test_what_is_described_asks_for_the_token_and_says_so(path: str) -> None:
    methods = [
        name.upper() for name in described()[path] if name in ("get", "put", "post", "patch", "delete")
    ]
    target = path if path.startswith("/__admin") else f"/__admin{path}"
    with Mock(admin_token=TOKEN, log="off") as mock:
        for method in methods:
            assert 401 == mock.call(method, target.replace("{", "").replace("}", "")).status


def test_no_upgrade_opens_a_socket_beside_the_guard() -> None:
    options = ("--spec", str(TOY), "--log", "off", "--admin-token", TOKEN)
    with Running(*options) as server:
        for path in ("/__admin/events", "/__admin/requests", "/__admin/ws", "/ws", "/__admin"):
            with Wire(server) as wire:
                wire.send(
                    f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
                )
                assert wire.answer().status in (401, 404)


def test_a_server_that_others_reach_does_not_start_without_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.test", "127.0.0.1.nip.io", ""):
        with pytest.raises(SettingError, match="admin-token"):
            Settings(host=host).check()
    for token in ("", None):
        with pytest.raises(SettingError, match="admin-token"):
            Settings(host="0.0.0.0", admin_token=token).check()
    done = call("serve", "--host", "0.0.0.0", "--port", "0", "--spec", str(TOY))

    assert 2 == done.returncode
    assert "--admin-token" in done.stderr


def test_the_token_is_told_nobody() -> None:
    with Mock(admin_token=TOKEN) as mock:
        headers = {"authorization": f"Bearer {TOKEN}", "x-admin-token": TOKEN}
        replies = [
            mock.call("GET", path, headers=headers)
            for path in ("/__admin/health", "/__admin/providers", "/__admin/requests", "/__admin/none", "/")
        ]
        mock.call("GET", "/toy/api/clips", headers=headers | {"x-toy-key": TOKEN})
        replies.append(mock.call("GET", "/__admin/requests", headers=headers))
        mock.app.log.flush()

        assert 200 == replies[0].status
        assert not any(TOKEN.encode() in one.body for one in replies)
        assert TOKEN not in mock.log.getvalue()
