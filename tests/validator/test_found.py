"""Where things stand in a text: lines, columns, members of JSON, YAML and what is written inside of a string."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.bodies import JSON
from validator.contract.expressions import format_pointer
from validator.found import Found, JsonText, Lines, json_offsets
from validator.readers import read_requests


def only(text: str, name: str) -> Found:
    (one,) = read_requests(text.encode(), name=name)
    return one


@given(
    value=JSON,
    indent=st.sampled_from([None, 1, 4]),
    is_ascii=st.booleans(),
    before=st.sampled_from(["", "\n é "]),
)
def test_every_member_of_a_json_text_is_found_where_it_stands(
    value: object, indent: int | None, is_ascii: bool, before: str
) -> None:
    text = before + json.dumps(value, indent=indent, ensure_ascii=is_ascii)

    offsets = json_offsets(text, len(before))

    def walk(inner: object, at: tuple[str | int, ...]) -> None:
        offset = offsets[format_pointer(list(at))]
        if at and isinstance(at[-1], str):
            assert json.JSONDecoder().raw_decode(text, offset)[0] == at[-1]
        else:
            assert json.dumps(json.JSONDecoder().raw_decode(text, offset)[0]) == json.dumps(inner)
        pairs = (
            inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        )
        for key, one in pairs:
            walk(one, (*at, key))

    walk(value, ())


@given(st.text(alphabet="a\n\ré", max_size=20), st.integers(0, 20))
def test_an_offset_is_a_line_and_a_column(text: str, offset: int) -> None:
    line, column = Lines(text).at(min(offset, len(text)))

    assert text[: min(offset, len(text))] == "\n".join(
        [*text.split("\n")[: line - 1], text.split("\n")[line - 1][: column - 1]]
    )


@pytest.mark.parametrize(
    ("name", "text", "pointer", "place"),
    [
        ("a.json", '\n {\n  "é": 1, "a": [1,\n {"b": 2}]}', "/a/1/b", (4, 3)),
        ("a.json", '{"a": 1, "a": 2}', "/a", (1, 10)),
        ("a.json", '{"a/b~c": 1}', "/a~1b~0c", (1, 2)),
        ("a.json", '{"url": "https://x/y", "body":\n{"a": 1}}', "/a", (2, 2)),
        ("a.ndjson", '  {"a": {"b": 1}}', "/a/b", (1, 10)),
        ("a.yaml", "é: x\na:\n  - 1\n  - b: 2\n", "/a/1/b", (4, 5)),
        ("a.yaml", "x: {url: 'https://x/y', method: POST, body: {a: 1}}", "/a", (1, 46)),
        ("a.sh", 'curl https://x/y \\\n  -d \'{"a": {"b": 1}}\'', "/a/b", (2, 14)),
        ("a.sh", 'curl https://x/y -d "{\\"a\\": 1}"', "/a", (1, 0)),
    ],
)
def test_a_member_has_the_place_where_it_is_written(
    name: str, text: str, pointer: str, place: tuple[int, int]
) -> None:
    assert place == only(text, name).position(pointer)


def test_what_is_missing_has_the_place_of_what_it_is_missing_from() -> None:
    one = only('{"a": {\n"b": 1}}', "a.json")

    assert [(1, 2), (1, 2), (1, 1)] == [one.position(at) for at in ("/a/x", "/a/x/y", "/x")]


def test_a_text_inside_of_a_text_keeps_its_places() -> None:
    inner = '{\n "é\\n😀": 1, "b": [true]}'
    outer = json.dumps({"x": [0, {"text": inner}]})

    places = JsonText(outer).inner_places(inner, below="/x/1/text")

    assert (1, outer.index('\\"b\\"') + 1) == places("/b")
    assert (1, outer.index("true") + 1) == places("/b/0")
    assert places("/nothing") is None


def test_a_page_of_code_keeps_its_places() -> None:
    page = (
        '# a\n\n> ```json\n> {"url": "https://api.toy.example/api/clips", "body": {"a": 1}}\n> ```\n\n'
        "  ~~~py\n  requests.post('https://api.toy.example/api/clips',\n      json={'b': 1})\n  ~~~\n"
    )

    first, second = read_requests(page.encode(), name="a.md")

    assert (4, page.split("\n")[3].index('"a"') + 1) == first.position("/a")
    assert (8, 3) == (second.line, second.column)
    assert (9, 13) == second.position("/b")
