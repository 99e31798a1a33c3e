"""Anything at all, for every provider and the control plane: no answer is a failure that nobody asked for.

Requests are made from what the specs know, bent a little or broken, and from nothing.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mock import Mock, Reply
from tests.mockserver.clients import credential
from tests.properties.bodies import JSON, known_bodies
from tests.providers import LIBRARY, contract
from tests.safety.test_admin_token import described

NAMES = ["toy", *LIBRARY]
MANY = max(250, settings.default.max_examples if settings.default is not None else 0)
METHODS = [
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "BREW",
    "get",
    "PROPFIND",
]
BYTES = st.characters(max_codepoint=255, exclude_characters="\r\n\0")
VALUES = st.one_of(
    st.text(BYTES, max_size=30),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "0",
                "-1",
                "1e9",
                "9" * 30,
                "NaN",
                "null",
                "true",
                "*/*",
                "application/json",
                "text/html;q=x",
            ),
            *(
                "application/json; charset=utf-7",
                "a" * 5_000,
                ",,,",
                ";;;",
                "=",
                '"',
                "\\",
                "bytes=0-",
                "bytes=9-1",
                "W/x",
            ),
            *(
                "Bearer",
                "Bearer ",
                "Bearer a.b.c",
                "Basic Og==",
                "Bearer " + "." * 500,
                "code=",
                "code=500x",
                "scenario=x",
            ),
            *(
                "http://[",
                "http://a:b@c:d/",
                "//",
                "http://x.test:99999/",
                "\u00e9\u00ff",
                "100-continue",
                "gzip",
            ),
        ]
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "accept",
                "content-type",
                "content-encoding",
                "content-length",
                "host",
                "prefer",
                "range",
                "if-range",
                "te",
            ),
            *(
                "x-mock-tenant",
                "x-admin-token",
                "authorization",
                "cookie",
                "origin",
                "expect",
                "x-forwarded-for",
                "date",
            ),
            *(
                "x-webhook-url",
                "x-client-request-id",
                "x-toy-key",
                "x-magnific-api-key",
                "idempotency-key",
                "x-test-id",
            ),
        ]
    ),
    VALUES,
    max_size=5,
)
SEGMENTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["..", ".", "", "%", "%2e", "%zz", "{id}", "a" * 3_000, "\0", "__admin"]),
)


def paths(name: str) -> st.SearchStrategy[str]:
    known = [f"/{name}{one.path}" for one in contract(name).operations.values()]
    known += ["/__media/x/y.mp4", "/", f"/{name}", "/__admin/health"]
    filled = st.builds(_fill, st.sampled_from(known), SEGMENTS)
    bent = st.builds(lambda path, more: path + "/" + quote(more, safe="%/.{}"), filled, SEGMENTS)
    free = st.builds(
        lambda parts: "/" + "/".join(quote(one, safe="%.{}") for one in parts), st.lists(SEGMENTS, max_size=5)
    )
    prefixed = st.builds(
        lambda tenant, path: f"/t/{quote(tenant, safe='')}{path}", st.text(max_size=8), filled
    )
    query = st.builds(lambda text: "?" + quote(text, safe="=&%+;"), st.text(max_size=30)) | st.just("")
    return st.builds(str.__add__, st.one_of(filled, filled, bent, free, prefixed), query)


def _fill(path: str, value: str) -> str:
    start, brace, rest = path.partition("{")
    return start + quote(value, safe="") + rest.partition("}")[2] if brace else path


def bodies(name: str) -> st.SearchStrategy[bytes]:
    known: list[Any] = []
    for operation in contract(name).operations.values():
        if operation.role == "create":
            known += known_bodies(name, operation.id)
    bent = st.builds(
        lambda body, key, value: orjson.dumps({**body, key: value}) if isinstance(body, dict) else b"[]",
        st.sampled_from(known),
        st.sampled_from(sorted({key for body in known if isinstance(body, dict) for key in body} | {"x"})),
        JSON,
    )
    cut = st.builds(lambda body, at: orjson.dumps(body)[:at], st.sampled_from(known), st.integers(0, 200))
    return st.one_of(bent, bent, cut, JSON.map(orjson.dumps), st.binary(max_size=60), st.just(b""))


def judge(reply: Reply, asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Fail for a 500 that was not asked for, and for one that was only half hidden."""
    if "preference-applied" not in reply.headers:
        assert reply.status < 500 or "unavailable" in reply.headers.get("x-mock-violations", ""), (
            asked,
            reply,
        )
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR], (asked, caplog.text)
    assert "x-mock-violations" not in reply.headers or "internal" not in reply.headers["x-mock-violations"]
    for name, value in reply.headers.items():
        assert "\r" not in name + value
        assert "\n" not in name + value


@pytest.mark.parametrize("name", NAMES)
def test_no_request_to_a_provider_is_a_failure_of_ours(name: str, caplog: pytest.LogCaptureFixture) -> None:
    operations = [one for one in contract(name).operations.values() if one.credentials]
    with Mock(name, log="off", max_tenants=50, journal_entries=50) as mock:
        mock.freeze()

        @settings(max_examples=MANY)
        @given(
            method=st.sampled_from(METHODS) | st.sampled_from(["POST", "GET"]),
            path=paths(name),
            headers=HEADERS,
            body=bodies(name) | st.none(),
            with_key=st.booleans() | st.just(True),
            is_json=st.booleans() | st.just(True),
        )
        def run(
            method: str, path: str, headers: dict[str, str], body: bytes | None, with_key: bool, is_json: bool
        ) -> None:
            sent = {"content-type": "application/json"} if is_json else {}
            sent |= credential(operations[0]) if with_key else {}
            sent |= headers
            reply = mock.call(method, path, body=body, headers=sent)
            judge(reply, (method, path, sent, body), caplog)

        run()
        # Whatever they left behind can be looked at.
        for path in ("/requests", "/tasks", "/deliveries"):
            mock.admin("GET", path)
        mock.advance("P1D")
        assert not [one for one in caplog.records if one.levelno >= logging.ERROR], caplog.text


def test_no_request_to_the_control_plane_is_a_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    targets = [path if path.startswith("/__admin") else f"/__admin{path}" for path in described()]
    members = ["by", "to", "mode", "now", "speed", "state", "outcome", "message", "limit"]
    words = [
        "frozen",
        "scaled",
        "real",
        "next-event",
        "PT1H",
        "P1D",
        "-PT1S",
        "2030-01-01T00:00:00Z",
        "success",
        "done",
    ]
    body = st.one_of(
        st.dictionaries(st.sampled_from(members), JSON | st.sampled_from(words), max_size=3).map(
            orjson.dumps
        ),
        JSON.map(orjson.dumps),
        st.binary(max_size=40),
    )
    query = st.dictionaries(
        st.sampled_from(
            ["limit", "since", "provider", "state", "status", "verdict", "operation", "task", "x"]
        ),
        st.text(max_size=12)
        | st.sampled_from(["0", "-1", "1e3", "9" * 20, "2030-01-01T00:00:00Z", "toy", "accepted"]),
        max_size=3,
    )
    with Mock(log="off", max_tenants=20) as mock:
        task = mock.clip(hook="http://receiver.test/")

        @settings(max_examples=MANY)
        @given(
            method=st.sampled_from(METHODS),
            target=st.sampled_from(targets),
            value=st.just(task) | SEGMENTS,
            query=query,
            headers=HEADERS.map(lambda known: {name: text for name, text in known.items() if name != "host"}),
            body=body | st.none(),
        )
        def run(
            method: str,
            target: str,
            value: str,
            query: dict[str, str],
            headers: dict[str, str],
            body: bytes | None,
        ) -> None:
            path = (
                _fill(target, value) + "?" + "&".join(f"{name}={quote(text)}" for name, text in query.items())
            )
            reply = mock.call(method, path, body=body, headers=headers)
            judge(reply, (method, path, headers, body), caplog)

        run()


@pytest.mark.parametrize("name", NAMES)
def test_a_500_that_is_asked_for_says_that_it_was(name: str) -> None:
    with Mock(name, log="off") as mock:
        operation = next(one for one in contract(name).operations.values() if one.role == "create")
        sent = credential(operation) | {"prefer": "code=500"}
        reply = mock.call("POST", f"/{name}{operation.path}", json={}, headers=sent)

        assert reply.status < 500 or reply.headers["preference-applied"] == "code=500"
