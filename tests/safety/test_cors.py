"""A page of another origin, in the browser of somebody whose server listens on this machine (CVE-2021-32827).

Half of that fault was that any page might steer the server.  No answer allows a page to read it, no preflight is
granted, and what a page may send without asking first does not steer.
"""

from __future__ import annotations

import pytest

from tests.mock import KEY, Mock
from tests.mockserver.clients import credential
from tests.providers import LIBRARY, contract

PAGE = "https://evil.example"
ORIGINS = [
    *(PAGE, "null", "http://127.0.0.1:8701", "http://127.0.0.1", "http://localhost.evil.example", "file://"),
    *("http://127.0.0.1:8700.evil.example", "http://evil.example:8700", "http://127.0.0.1:8700@evil.example"),
    *("chrome-extension://abc", "HTTP://EVIL.example", "", " ", "http://", "http://127.0.0.1:87000"),
]
SIMPLE = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
"""Media types that a page may send anywhere without a preflight (Fetch, CORS-safelisted request header)."""


def grants(headers: object) -> list[str]:
    return [str(name) for name in headers if str(name).startswith("access-control-")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_no_answer_lets_a_page_read_it(name: str) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "x-a"}
    with Mock(name, log="off") as mock:
        paths = ["/", "/__admin/health", "/__admin/tasks", "/__media/x/y.mp4", f"/{name}/none"]
        paths += [f"/{name}{one.path}" for one in contract(name).operations.values()]
        operation = next(iter(contract(name).operations.values()))
        for path in paths:
            for method in ("OPTIONS", "GET", "POST", "HEAD"):
                for headers in (asked, asked | credential(operation)):
                    reply = mock.call(method, path, headers=headers)
                    assert [] == grants(reply.headers), (method, path)
                    if method == "OPTIONS":
                        assert reply.status >= 400 or path == "/", (path, reply)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("media_type", SIMPLE)
def test_a_page_steers_nothing(origin: str, media_type: str) -> None:
    calls = [
        ("POST", "/__admin/reset", b""),
        ("POST", "/__admin/clock/advance", b'{"by": "PT1H"}'),
        ("PUT", "/__admin/clock", b'{"mode": "frozen"}'),
        ("DELETE", "/__admin/requests", None),
        ("GET", "/__admin/requests", None),
        ("GET", "/t/default/__admin/requests", None),
    ]
    with Mock(log="off") as mock:
        task = mock.clip()
        before = mock.admin("GET", "/clock")["mode"]
        for method, path, body in calls:
            reply = mock.run(
                mock.send(
                    method, path, body=body, headers={"origin": origin or "x", "content-type": media_type}
                )
            )
            assert 403 == reply.status, (method, path, reply)
            assert [] == grants(reply.headers)

        assert before == mock.admin("GET", "/clock")["mode"]
        assert 200 == mock.read(task).status
        assert len(mock.admin("GET", "/requests")["requests"]) >= 1


def test_a_page_of_our_own_may_steer() -> None:
    with Mock() as mock:
        for origin in ("http://127.0.0.1:8700", "https://127.0.0.1:8700"):
            assert 200 == mock.call("GET", "/__admin/health", headers={"origin": origin}).status


def test_a_page_makes_no_task_with_what_it_may_send_unasked() -> None:
    """A credential is a header of the client's own, which a page may not set without a preflight."""
    with Mock() as mock:
        for media_type in SIMPLE:
            reply = mock.run(
                mock.send(
                    "POST",
                    "/toy/api/clips",
                    body=b'{"prompt": "a boat"}',
                    headers={"origin": PAGE, "content-type": media_type},
                )
            )
            assert 401 == reply.status
            assert [] == grants(reply.headers)
        with_key = {"origin": PAGE, "x-toy-key": KEY, "content-type": "text/plain"}
        assert 415 == mock.run(mock.send("POST", "/toy/api/clips", body=b"{}", headers=with_key)).status
        assert 0 == mock.admin("GET", "/tasks")["count"]


def test_no_answer_is_one_that_a_browser_would_run() -> None:
    """What a request says comes back as JSON, never as a page."""
    script = "<script>alert(1)</script>"
    with Mock("toy", "kling") as mock:
        replies = [
            mock.call(
                "GET", "/toy/api/clips/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers={"x-toy-key": KEY}
            ),
            mock.call("GET", "/%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
            mock.call("GET", "/", headers={"host": script}),
            mock.call("GET", "/__admin/health", headers={"host": script}),
            mock.call("GET", f"/__admin/tasks?{script}"),
            mock.create(name=script, prompt=script),
            mock.create(prompt=5, name=script),
        ]

    for reply in replies:
        kind = reply.headers["content-type"]
        assert kind.startswith(("application/json", "application/problem+json")), kind
