"""What somebody who may steer the server can make it do: move time and tasks, and nothing to the machine.

Other mock servers let their control plane read files (CVE-2024-45388) and run programs (CVE-2025-54123); in another a
chain of a page, a script and a command took the machine over.  Here no call takes a file, a command or an address.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from tests.e2e.running import ROOT
from tests.mock import HOOK, Mock
from tests.safety.test_admin_token import described

PAYLOADS: list[Any] = [
    *(
        "/etc/passwd",
        "../../../../etc/passwd",
        "file:///etc/passwd",
        "/proc/self/environ",
        "C:\\windows\\win.ini",
    ),
    *("`id`", "$(id)", ";id", "| id", "&& id", "\nid\n", "__import__('os').system('id')", "{{7*7}}", "%0aid"),
    *(
        "http://169.254.169.254/",
        "http://127.0.0.1:1/",
        "gopher://127.0.0.1:6379/",
        "!!python/object/apply:os.system [id]",
    ),
    *(
        {"__class__": "x"},
        {"$ref": "file:///etc/passwd"},
        {"binary": "/bin/sh", "script": "id"},
        ["/bin/sh", "-c", "id"],
    ),
]
MEMBERS = [
    *(
        "by",
        "to",
        "mode",
        "now",
        "speed",
        "state",
        "outcome",
        "message",
        "path",
        "file",
        "bodyFile",
        "body_file",
    ),
    *(
        "script",
        "middleware",
        "binary",
        "remote",
        "command",
        "url",
        "target",
        "template",
        "plugin",
        "$ref",
        "id",
    ),
]
DANGEROUS = (
    *("open", "os.", "subprocess.", "shutil.", "ctypes.", "exec", "compile", "import", "marshal.", "pickle."),
    *(
        "socket.connect",
        "socket.getaddrinfo",
        "urllib.",
        "webbrowser.",
        "tempfile.",
        "glob.",
        "ftplib.",
        "smtplib.",
    ),
)

OURS = [path for path in (*sys.path, str(ROOT)) if path]

_seen: list[str] = []
_is_watching = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _is_watching and event.startswith(DANGEROUS):
        _seen.append(f"{event} {str(arguments)[:200]}")


sys.addaudithook(_audit)


@contextmanager
def watching() -> Iterator[list[str]]:
    """Yield what Python does meanwhile that reaches out of the process, or makes code of text."""
    global _is_watching
    _seen.clear()
    _is_watching = True
    try:
        yield _seen
    finally:
        _is_watching = False


def test_the_watch_sees_what_it_should() -> None:
    with watching() as seen:
        eval("1 + 1")
        with open(__file__):  # noqa: PTH123
            pass

    assert {"compile", "exec", "open"} <= {one.split(" ")[0] for one in seen}


def calls() -> list[tuple[str, str]]:
    """Return (method, path) of every call that is described."""
    return [
        (name.upper(), path if path.startswith("/__admin") else f"/__admin{path}")
        for path, item in described().items()
        for name in item
        # A stream has no end to wait for; test_admin_token.py asks who may open it.
        if name in ("get", "put", "post", "patch", "delete") and "text/event-stream" not in str(item[name])
    ]


@pytest.mark.parametrize(("method", "path"), calls())
def test_no_call_opens_a_file_runs_a_program_or_calls_an_address(method: str, path: str) -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        task = mock.clip(hook=HOOK)
        mock.advance("PT3S")
        delivery = mock.deliveries()[0]["id"]
        shown = mock.admin("GET", "/requests?limit=1")["requests"][0]["id"]
        ids = [
            task,
            delivery,
            shown,
            "../../etc/passwd",
            "%2e%2e%2fetc%2fpasswd",
            "$(id)",
            "x'; DROP TABLE task;--",
        ]
        targets = {path.replace("{id}", one).replace("{", "").replace("}", "") for one in ids}
        bodies = [orjson.dumps({member: payload}) for member in MEMBERS for payload in PAYLOADS]
        bodies += [orjson.dumps(payload) for payload in PAYLOADS]
        bodies += [
            b"--- !!python/object/apply:os.system [id]",
            b"\x80\x04\x95.",
            b"<?xml version='1.0'?><!DOCTYPE x>",
        ]
        # Once for what is imported late.
        for target in targets:
            mock.call(method, target, body=b"{}" if method != "GET" else None)
            mock.call(method, target, body=b'{"by": "PT1S", "mode": "frozen"}' if method != "GET" else None)
        mock.call("PUT", "/__admin/clock", json={"now": "x"})
        reached = len(mock.receivers.calls)
        with watching() as seen:
            for target in targets:
                if method == "GET":
                    for payload in PAYLOADS[:17]:
                        for name in ("limit", "provider", "since", "file", "url", "path"):
                            reply = mock.call(
                                "GET", f"{target}?{name}={payload}".replace(" ", "%20").replace("\n", "%0a")
                            )
                            assert reply.status < 500, reply
                    continue
                for body in bodies:
                    reply = mock.call(method, target, body=body)
                    assert reply.status < 500, reply
                    assert b"root:" not in reply.body
            # The version stands in the metadata of the package, which Python looks for anew each time.
            found = [
                one for one in seen if not any(one.split(" ")[1].startswith(f"('{path}") for path in OURS)
            ]

    assert [] == found
    # Whoever is told of tasks was named by a client of a provider, never by this.
    assert {HOOK} >= {call.url for call in mock.receivers.calls[reached:]}


def test_the_control_plane_has_no_call_for_any_of_this() -> None:
    words = (
        "file",
        "script",
        "exec",
        "middleware",
        "shutdown",
        "proxy",
        "plugin",
        "template",
        "upload",
        "env",
    )

    assert [] == [path for path in described() for word in words if word in path.lower()]
