"""Readers: the requests of a file, whatever form it has, and what is told of a broken one."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validator.readers import FORMS, Form, Found, detect_form, read_requests


def found(content: Any, *, name: str = "file", form: Form | None = None) -> list[Found]:
    raw = content if isinstance(content, bytes) else content.encode()
    return list(read_requests(raw, name=name, form=form))


def only(content: Any, *, name: str = "file", form: Form | None = None) -> Found:
    (one,) = found(content, name=name, form=form)
    return one


def archive(*entries: Any) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}})


def entry(**request: Any) -> dict[str, Any]:
    known = {"method": "POST", "url": "https://api.toy.example/api/clips", "headers": []}
    return {"request": known | request}


def told(one: Found) -> str:
    """Return the fault; what the parser says of broken JSON is its own business."""
    return re.sub(r"^no JSON: [^(]*", "no JSON: … ", one.fault)


# --- forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "form"),
    [
        ('{"a": 1}', "", "json"),
        ("[1]", "", "json"),
        ('"text"', "", "json"),
        ('{"a": 1}\n{"b": 2}\n', "", "ndjson"),
        ('{"a": 1}', "x.jsonl", "ndjson"),
        ('{"a": 1', "x.ndjson", "ndjson"),
        ('{"a": 1', "", "json"),
        (archive(), "", "har"),
        ('{"log": {', "x.HAR", "har"),
        ("curl https://x/y", "", "curl"),
        ("#!/bin/sh\nset -e\nx=$(curl -s https://x)\n", "", "curl"),
        ("nothing", "x.sh", "curl"),
        ("nothing", "x.txt", None),
        ("5", "", None),
    ],
)
def test_the_form_is_told_by_the_content_then_by_the_name(content: str, name: str, form: Form | None) -> None:
    assert form == detect_form(content, name=name)


@pytest.mark.parametrize(
    ("content", "form", "fault"),
    [
        (b"", None, "nothing is in it"),
        (b" \n\t", "json", "nothing is in it"),
        (b"\xff\xfe\xff", None, "not UTF-8 (byte 3 is 0xff)"),
        (b"a\xffb", None, "not UTF-8 (byte 2 is 0xff)"),
        (b"hello", None, f"what it holds cannot be told; say with --form: {', '.join(FORMS)}"),
        (b"hello", "curl", "no curl command in it"),
        (b"hello", "json", "no JSON: … (line 1, column 1)"),
        (b'{"a":\n 1,}', None, "no JSON: … (line 2, column 3)"),
        (b'{"log": {"entries": []}}', None, "no entries in the archive"),
        (b'{"log": {}}', "har", "no HTTP archive: log.entries is not there"),
        (b"[]", "har", "no HTTP archive: log.entries is not there"),
        (b'{"log":\n', "har", "no JSON: … (line 2)"),
        (b"[" * 5_000, "json", "no JSON: … (line 1, column 1026)"),
    ],
)
def test_broken_input_is_told_with_its_reason(content: bytes, form: Form | None, fault: str) -> None:
    one = only(content, form=form)

    assert one.request is None
    assert fault == told(one)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_may_come_as_windows_writes_it(encoding: str) -> None:
    request = only('{"prompt": "é"}\r\n'.encode(encoding)).request

    assert request is not None
    assert '{"prompt": "é"}' == request.body.decode()


# --- JSON -------------------------------------------------------------------------------------------------


def test_a_json_file_is_a_body() -> None:
    one = only(' {"prompt": "a boat"}\n', name="body.json")

    assert one.request is not None
    assert ("body.json", "", b'{"prompt": "a boat"}') == (one.label, one.request.url, one.request.body)


def test_each_line_is_a_body_or_a_request() -> None:
    lines = [
        '{"prompt": "a"}',
        "",
        '{"method": "GET", "url": "/api/clips?page=2", "headers": {"X-Toy-Key": "k"}}',
        '{"url": "api.toy.example/api/clips", "body": {"prompt": "b"}}',
        '{"url": "https://x/y", "headers": [["A", "b"], {"name": "C", "value": "d"}], "body": "raw"}',
        "{bad",
        '{"url": "https://x/y", "headers": 5}',
        '{"url": "https://x/y", "hook": "a body that has a url"}',
        '{"url": "http://[x", "method": "GET"}',
    ]

    all_found = found("\n".join(lines), name="f")

    assert [1, 3, 4, 5, 6, 7, 8, 9] == [one.line for one in all_found]
    shown = [
        (one.request.method, one.request.url, dict(one.request.headers), one.request.body)
        for one in all_found
        if one.request is not None
    ]
    json_type = {"content-type": "application/json"}
    assert [
        ("POST", "", {}, b'{"prompt": "a"}'),
        ("GET", "/api/clips?page=2", {"x-toy-key": "k"}, b""),
        ("POST", "http://api.toy.example/api/clips", json_type, b'{"prompt":"b"}'),
        ("POST", "https://x/y", {"a": "b", "c": "d"}, b"raw"),
        ("POST", "", {}, lines[7].encode()),
    ] == shown
    assert [
        "no JSON: … (line 6, column 2)",
        "headers is neither an object nor a list of names and values",
        "the URL cannot be read: Invalid IPv6 URL",
    ] == [told(one) for one in all_found if one.fault]
    assert "f line 6" == all_found[4].label


# --- HAR --------------------------------------------------------------------------------------------------


def test_an_archive_gives_its_requests() -> None:
    headers = [{"name": ":authority", "value": "x"}, {"name": "Content-Type", "value": "application/json"}]
    posted = {"mimeType": "application/json", "text": '{"prompt":"a"}'}

    one = only(archive(entry(headers=headers, postData=posted, bodySize=14)), name="f.har")

    assert one.request is not None
    assert one.is_archived and one.has_body
    assert ("f.har entry 1", 1) == (one.label, one.entry)
    assert {"content-type": "application/json"} == dict(one.request.headers)
    assert b'{"prompt":"a"}' == one.request.body


@pytest.mark.parametrize(
    ("posted", "body"),
    [
        (
            {"mimeType": "text/plain", "text": base64.b64encode(b"\xff\x00").decode(), "encoding": "base64"},
            b"\xff\x00",
        ),
        (
            {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "b c"}]},
            b"a=b+c",
        ),
        ({"mimeType": "text/plain", "text": ""}, b""),
        ({"text": 5}, b""),
        (None, b""),
    ],
)
def test_what_was_posted_is_read_from_text_or_params(posted: Any, body: bytes) -> None:
    one = only(archive(entry(postData=posted)))

    assert one.request is not None
    assert (body, True) == (one.request.body, one.has_body)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"bodySize": 5_000}, "the body: 5,000 bytes were sent, the archive holds 0"),
        (
            {"bodySize": 20, "postData": {"text": '{"prompt":"a'}},
            "the body: 20 bytes were sent, the archive holds 12",
        ),
        (
            {"postData": {"text": "%%%", "encoding": "base64"}},
            "the body: it is said to be Base64 and is none",
        ),
        (
            {"postData": {"mimeType": "multipart/form-data", "params": [{"name": "a"}]}},
            "the body: a form of several parts",
        ),
    ],
)
def test_a_body_that_is_not_in_the_archive_is_told(request_: dict[str, Any], sentence: str) -> None:
    one = only(archive(entry(**request_)))

    assert not one.has_body
    assert (sentence,) == one.unchecked


@pytest.mark.parametrize("broken", [5, {}, {"request": 5}, {"request": {}}, {"request": {"url": 7}}])
def test_an_entry_without_a_request_is_told(broken: Any) -> None:
    first, second = found(archive(broken, entry()))

    assert "the entry has no request with a url" == first.fault
    assert second.request is not None


def test_headers_and_method_of_an_entry_may_be_anything() -> None:
    one = only(archive(entry(method=5, headers=[{"name": "A", "value": None}], queryString=5)))

    assert one.request is not None
    assert ("GET", {"a": ""}) == (one.request.method, dict(one.request.headers))


# --- curl -------------------------------------------------------------------------------------------------


def test_a_curl_command_gives_its_request() -> None:
    one = only("\ncurl api.toy.example/api/clips -H 'X-Toy-Key: $K' -d '{\"a\":1}'", name="f.sh")

    assert one.request is not None
    assert ("f.sh line 2", 2) == (one.label, one.line)
    assert "http://api.toy.example/api/clips" == one.request.url
    assert "/api/clips" == one.request.path
    assert "application/x-www-form-urlencoded" == one.request.headers["content-type"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{\\"n\\": $N, \\"l\\": [$N, $M]}', '{"n": "$N", "l": ["$N", "$M"]}'),
        ('{\\"n\\": \\"$N\\"}', '{"n": "$N"}'),
        ('{\\"n\\": ${N}}', '{"n": "${N}"}'),
    ],
)
def test_values_a_shell_fills_in_are_put_into_quotes(body: str, expected: str) -> None:
    one = only(f'curl https://x/y -d "{body}"')

    assert one.request is not None
    assert expected == one.request.body.decode()


def test_a_body_that_is_no_json_until_it_is_filled_in_is_not_read() -> None:
    one = only('curl https://x/y -d "{ $REST"')

    assert not one.has_body
    assert ("the body: no JSON until $REST is filled in",) == one.unchecked


def test_a_body_that_is_no_json_is_read_all_the_same() -> None:
    one = only("curl https://x/y -d '{ oops' -H \"A: $B\"")

    assert one.has_body
    assert one.request is not None
    assert b"{ oops" == one.request.body


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("curl 'https://x", "the quote ' of line 1 is not closed"),
        ("curl 'http://[x/'", "the URL cannot be read: Invalid IPv6 URL"),
        ("curl -d x", "the command has no URL"),
    ],
)
def test_a_broken_command_is_told(text: str, fault: str) -> None:
    assert fault == only(text).fault


# --- anything ---------------------------------------------------------------------------------------------

ANYTHING = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "log",
                        "entries",
                        "request",
                        "url",
                        "method",
                        "headers",
                        "postData",
                        "text",
                        "params",
                        "body",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=4 * settings.default.max_examples)
@given(content=ANYTHING, form=st.sampled_from([None, *FORMS]))
def test_any_content_gives_requests_or_reasons(content: bytes, form: Form | None) -> None:
    all_found = found(content, form=form)

    assert all_found
    for one in all_found:
        assert (one.request is None) == bool(one.fault)


# --- as users write it ------------------------------------------------------------------------------------

CLIPS = "https://api.toy.example/api/clips"


def test_a_body_may_be_called_json_and_one_of_another_kind_is_not_read() -> None:
    text = "".join(f"- {{method: POST, url: {CLIPS}, {name}: {{a: 1}}}}\n" for name in ("json", "data"))
    one, other = found(text, name="a.yaml")
    assert one.request is not None
    assert (one.request.body, one.position("/a")[0]) == (b'{"a":1}', 1)
    assert (other.has_body, other.unchecked) == (
        False,
        ("the body: data is not read, only body and json are",),
    )
    (alone,) = found(json.dumps({"method": "POST", "url": CLIPS, "json": "text"}), name="a.json")
    assert alone.request is not None
    assert alone.request.body == b'"text"'


def test_a_document_beside_whole_requests_is_only_an_offer() -> None:
    text = f"on: push\n---\nurl: {CLIPS}\nmethod: GET\n---\nprompt: a boat\n"
    assert [one.is_offered for one in found(text, name="a.yaml")] == [True, False, True]
    assert [one.is_offered for one in found("on: push\n---\nprompt: x\n", name="a.yaml")] == [False, False]


def test_json_on_a_page_is_only_an_offer_and_an_answer_is_nothing() -> None:
    text = '```json\n{"code": 0}\n```\n\n```http\nHTTP/1.1 200 OK\nContent-Type: x/y\n\n{}\n```\n'
    (one,) = found(text, name="a.md")
    assert (one.is_offered, one.line) == (True, 2)


@pytest.mark.parametrize("body", ['{"a": 1, ...}', "{ ... }", '{"a": [1, …]}'])
def test_a_body_that_is_shortened_with_dots_is_not_there(body: str) -> None:
    (one,) = found(f"curl {CLIPS} -d '{body}'", name="a.md")
    assert (one.has_body, one.unchecked) == (False, ("the body: it is shortened with dots",))
    (whole,) = found(f"""curl {CLIPS} -d '{{"a": "[... and so on"}}'""", name="a.md")
    assert whole.has_body
