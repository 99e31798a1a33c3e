"""Requests kept as text with variables in them: .http files and Postman collections."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.validator.test_pysource import URL, body
from validator.found import Found
from validator.readers import read_requests

HTTP = """
@host = https://api.toy.example
@base = {{host}}/api
# a comment
// another

### make a clip
# @name make
< {% request.variables.set("x", 1); %}
POST {{base}}/clips
  ?page=1
  &size={{size}} HTTP/1.1
X-Toy-Key: {{$dotenv KEY}}
# in between
Content-Type: application/json

{
  "prompt": "a {{thing}}",
  "model": "{{model}}",
  "seconds": {{ seconds }},
  "sound": {{sound}}
}

> {% client.test("x", () => {}); %}

### read it
GET {{base}}/clips/{{make.response.body.id}}
X-Toy-Key: k

###
https://api.toy.example/api/clips

### from a file
POST {{host}}/api/clips

< ./body.json

###
POST {{host}}/api/clips
Content-Type: application/x-www-form-urlencoded

prompt=a&model={{model}}
###
@model = a1
@sound = "on"
### nothing but a comment
# here
"""


def found(text: str, name: str = "a.http") -> list[Found]:
    return list(read_requests(text.encode(), name=name))


def test_the_requests_of_a_file_are_read() -> None:
    made, read, plain, from_file, form = found(HTTP)

    assert made.request is not None
    assert "https://api.toy.example/api/clips?page=1&size={size}" == made.request.url
    assert {"x-toy-key": "{$dotenv_KEY}", "content-type": "application/json"} == dict(made.request.headers)
    assert {"prompt": "?a {thing}", "model": "a1", "seconds": "?seconds", "sound": "on"} == body(made)
    assert read.request is not None and plain.request is not None
    assert ("GET", "/api/clips/{make.response.body.id}") == (read.request.method, read.request.path)
    assert ("GET", URL) == (plain.request.method, plain.request.url)
    assert ("the body: the file ./body.json, which is not read",) == from_file.unchecked
    assert form.request is not None
    assert b"prompt=a&model=a1" == form.request.body


def test_a_member_has_the_place_where_it_is_written() -> None:
    made = found(HTTP)[0]
    lines = HTTP.split("\n")

    assert lines.index("POST {{base}}/clips") + 1 == made.line
    for member in ("prompt", "seconds", "sound"):
        line = next(index for index, one in enumerate(lines, start=1) if f'"{member}"' in one)
        assert (line, 3) == made.position(f"/{member}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("what is this?\n", "neither a method nor an address begins the request"),
        ("POST https://x/y\nno header\n\n{}", "line 2 is no header"),
        ("###\n\n# nothing\n", "no request in it"),
        ("GET http://[x/y", "the URL cannot be read: Invalid IPv6 URL"),
    ],
)
def test_what_is_no_request_is_told(text: str, fault: str) -> None:
    assert [fault] == [one.fault for one in found(text)]


def test_variables_that_lead_in_circles_stay_open() -> None:
    text = "@a = {{b}}\n@b = {{a}}{{a}}\nPOST https://api.toy.example/api/clips\n\n" + '{"prompt": "{{a}}"}'

    (one,) = found(text)

    assert body(one)["prompt"].startswith("?")


def test_windows_line_ends_change_nothing() -> None:
    for with_, without in zip(found(HTTP.replace("\n", "\r\n")), found(HTTP), strict=True):
        assert (with_.line, with_.fault) == (without.line, without.fault)
        assert with_.request is not None and without.request is not None
        assert (with_.request.url, with_.request.headers) == (without.request.url, without.request.headers)


# --- Postman ----------------------------------------------------------------------------------------------

RAW = '{\n  "prompt": "\\u00e9 {{thing}}",\n  "seconds": {{n}},\n  "model": "{{model}}"\n}'


def collection(*items: Any, **more: Any) -> str:
    info = {"name": "toy", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}
    return json.dumps({"info": info, "item": list(items), **more}, indent=1)


def item(name: str, **request: Any) -> dict[str, Any]:
    return {"name": name, "request": {"method": "POST", "url": {"raw": "{{base}}/clips"}} | request}


COLLECTION = collection(
    {
        "name": "folder",
        "item": [
            item(
                "make",
                body={"mode": "raw", "raw": RAW, "options": {"raw": {"language": "json"}}},
                header=[{"key": "X-A", "value": "1"}, {"key": "X-B", "value": "2", "disabled": True}],
            )
        ],
        "variable": [{"key": "model", "value": "a1"}],
        "auth": {
            "type": "apikey",
            "apikey": [{"key": "key", "value": "X-Toy-Key"}, {"key": "value", "value": "k"}],
        },
    },
    item("form", body={"mode": "urlencoded", "urlencoded": [{"key": "prompt", "value": "a b"}]}),
    item("file", body={"mode": "file", "file": {"src": "/etc/passwd"}}),
    item("parts", url="https://api.toy.example/api/clips", body={"mode": "formdata", "formdata": []}),
    {"name": "short", "request": "https://api.toy.example/api/clips"},
    {"name": "none"},
    variable=[{"key": "base", "value": "https://api.toy.example/api"}, {"key": "n", "value": ""}],
    auth={"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]},
)


def test_the_requests_of_a_collection_are_read() -> None:
    made, form, file, parts, short, none = found(COLLECTION, "x.json")

    assert made.request is not None and form.request is not None and short.request is not None
    assert "x.json > folder > make" == made.label
    assert URL == made.request.url
    assert {"x-toy-key": "k", "x-a": "1", "content-type": "application/json"} == dict(made.request.headers)
    assert {"prompt": "?é {thing}", "seconds": "?n", "model": "a1"} == body(made)
    assert "Bearer {token}" == form.request.headers["authorization"]
    assert b"prompt=a+b" == form.request.body
    assert ("the body: a file, which is not read",) == file.unchecked
    assert ("the body: a form of several parts",) == parts.unchecked
    assert "GET" == short.request.method
    assert "the entry has no request" == none.fault


def test_a_member_in_a_text_in_a_collection_has_its_place() -> None:
    made = found(COLLECTION, "x.json")[0]
    number, line = next(
        pair for pair in enumerate(COLLECTION.split("\n"), start=1) if '"raw": "{\\n' in pair[1]
    )

    assert (number, line.index('\\"prompt') + 1) == made.position("/prompt")
    assert (number, line.index('\\"model') + 1) == made.position("/model")
    assert COLLECTION.split("\n")[made.line - 1].strip() == "{"


@pytest.mark.parametrize("value", [{}, {"info": 1, "item": []}, [], None, "x"])
def test_what_is_no_collection_is_told(value: Any) -> None:
    (one,) = read_requests(json.dumps(value).encode(), name="x", form="postman")

    assert one.fault


def test_methods_may_be_small_and_files_may_be_imported_and_run() -> None:
    text = f'import other.http\nrun ./other.http\n\n###\npost {URL}\n\n{{"a": 1}}\n###\nrun #login\n'
    (one,) = found(text)
    assert one.request is not None
    assert (one.request.method, one.request.body, one.line) == ("POST", b'{"a":1}', 5)


@pytest.mark.parametrize("end", ["?? status == 200", "{{\n  test.status(200);\n}}", "{{@response\n  x\n}}"])
def test_what_is_expected_of_an_answer_is_no_part_of_the_body(end: str) -> None:
    (one,) = found(f'POST {URL}\n\n{{"a": 1}}\n\n{end}\n')
    assert one.request is not None
    assert one.request.body == b'{"a":1}'


def test_a_curl_command_among_the_requests_is_read() -> None:
    text = f"GET {URL}\n\n### two\ncurl {URL} \\\n  -d '{{\"a\": 1}}'\n\n### three\nGET {URL}\n"
    first, second, third = found(text)
    assert second.request is not None
    assert (second.line, second.request.method, second.request.body) == (4, "POST", b'{"a": 1}')
    assert second.position("/a") == (5, 8)
    assert (first.line, third.line) == (1, 8)


def test_comments_in_the_json_of_a_collection_are_left_out() -> None:
    raw = '{\n  // a "sign"\n  "a": "http://x", /* two\n lines */ "b": 2\n}'
    kinds = {"json": ("http://x", 2), "text": None}
    for language, expected in kinds.items():
        sent = {"mode": "raw", "raw": raw, "options": {"raw": {"language": language}}}
        item = {"name": "x", "request": {"method": "POST", "url": URL, "body": sent}}
        text = json.dumps({"info": {"name": "x"}, "item": [item]})
        (one,) = read_requests(text.encode(), name="x.json")
        assert one.request is not None
        if expected is None:
            assert one.request.body == raw.encode()
        else:
            body = json.loads(one.request.body)
            assert (body["a"], body["b"]) == expected
            line, column = one.position("/b")
            assert text.split("\n")[line - 1][column - 1 :].startswith('\\"b')
