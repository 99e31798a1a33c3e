"""Requests: what is kept of a URL, headers and a body, and what JSON cannot say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.request import HttpRequest, dump_json, parse_query


def test_a_url_is_taken_apart() -> None:
    request = HttpRequest.from_parts(
        "post", "https://x.example:1/a%20b/c?d=1&e=#f", headers={"X-Y": "Z"}, body=b"\0"
    )

    assert ("POST", "/a%20b/c", {"d": "1", "e": ""}) == (request.method, request.path, dict(request.query))
    assert ({"x-y": "Z"}, b"\0", "") == (dict(request.headers), request.body, request.body_fault)
    assert "https://x.example:1/a%20b/c?d=1&e=#f" == request.url


@pytest.mark.parametrize(
    ("url", "path"), [("https://x.example", "/"), ("/", "/"), ("", "/"), ("?a=1", "/"), ("//host/a", "/a")]
)
def test_a_path_is_never_empty(url: str, path: str) -> None:
    assert path == HttpRequest.from_parts("GET", url).path


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError):
        HttpRequest.from_parts("GET", "http://[x")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("a=1&a=2", {"a": "1"}),
        ("a", {"a": ""}),
        ("a=&b", {"a": "", "b": ""}),
        ("a=1+2%203", {"a": "1 2 3"}),
        ("a=%ff&%C3%A9=1", {"a": "\N{REPLACEMENT CHARACTER}", "é": "1"}),
        ("&&=x&", {"": "x"}),
        ("a;b=1", {"a;b": "1"}),
    ],
)
def test_the_first_value_of_a_parameter_counts(text: str, values: dict[str, str]) -> None:
    assert values == dict(parse_query(text))


@given(st.text(max_size=60))
def test_any_query_is_read(text: str) -> None:
    parse_query(text)


def test_json_brings_its_content_type_unless_another_is_given() -> None:
    plain = HttpRequest.from_json("POST", "/", {"a": "é"})
    other = HttpRequest.from_json("POST", "/", {}, headers={"content-type": "text/plain"})
    both = HttpRequest.from_json("POST", "/", {}, headers={"Content-Type": "text/plain", "X-A": "b"})

    assert ('{"a":"é"}'.encode(), "application/json") == (plain.body, plain.headers["content-type"])
    assert "text/plain" == other.headers["content-type"]
    assert {"content-type": "text/plain", "x-a": "b"} == dict(both.headers)


@pytest.mark.parametrize(
    "value",
    [{"a": float("nan")}, float("inf"), "\ud800", {"\udfff": 1}, object(), {1, 2}, b"bytes", {b"a": 1}],
)
def test_what_json_cannot_say_is_a_fault_of_the_body(value: Any) -> None:
    request = HttpRequest.from_json("POST", "/", value)

    assert b"" == request.body
    assert request.body_fault


def test_a_value_that_contains_itself_is_a_fault_of_the_body() -> None:
    value: list[Any] = []
    value.append(value)

    assert HttpRequest.from_json("POST", "/", value).body_fault


def test_a_text_that_utf8_cannot_say_is_a_fault_of_the_body() -> None:
    request = HttpRequest.from_parts("POST", "/", body="a\ud800")

    assert (b"", "the text holds a lone surrogate, which UTF-8 cannot say") == (
        request.body,
        request.body_fault,
    )


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_json_can_say_comes_back(value: Any) -> None:
    raw, fault = dump_json(value)

    assert not fault
    assert value == json.loads(raw)


def test_a_request_cannot_be_changed() -> None:
    request = HttpRequest(method="GET", path="/")

    with pytest.raises(TypeError):
        request.headers["a"] = "b"  # type: ignore[index]
    with pytest.raises(AttributeError):
        request.path = "/x"  # type: ignore[misc]
