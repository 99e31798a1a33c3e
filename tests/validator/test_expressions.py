"""Expressions: what may be written, what it finds, and how it reads inside a text."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.bodies import JSON
from validator.contract.expressions import (
    FIELDS,
    MISSING,
    ExpressionError,
    Scope,
    compile_body,
    compile_text,
    expressions_in,
    format_pointer,
    iso,
    merge_patch,
    parse,
    parse_pointer,
    resolve_pointer,
    to_text,
)
from validator.request import HttpRequest

REQUEST = HttpRequest.from_parts(
    "POST", "https://api.toy.example/api/clips?page=2&empty=&page=3", headers={"X-Trace": "abc"}
)
TASK = SimpleNamespace(
    id="7",
    created=1_764_945_990_569,
    updated=None,
    elapsed=80_500,
    cost=2.0,
    cost_text="2.00",
    input={"/name": "boat", "/nothing": None},
    output=SimpleNamespace(url="https://x.example/7.mp4", duration=5.041),
    failure=None,
)
SCOPE = Scope(
    request=REQUEST,
    body={"hook": "https://a.example", "list": [1, {"a/b": 2}], "no": False, "nil": None},
    path={"id": "7"},
    status=202,
    response={"clip": {"id": "7"}},
    task=TASK,
    error=SimpleNamespace(keys={"model": "a1"}, field="masks[0]", value=None),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$request.body#/hook", "https://a.example"),
        ("$request.body#/list/1/a~1b", 2),
        ("$request.body#/list/2", MISSING),
        ("$request.body#/list/-1", MISSING),
        ("$request.body#/no", False),
        ("$request.body#/nil", None),
        ("$request.body#/hook/x", MISSING),
        ("$request.body", SCOPE.body),
        ("$request.body#", SCOPE.body),
        ("$request.query.page", "2"),
        ("$request.query.empty", ""),
        ("$request.query.other", MISSING),
        ("$request.header.X-TRACE", "abc"),
        ("$request.path.id", "7"),
        ("$response.body#/clip/id", "7"),
        ("$response.header.X-Trace", MISSING),
        ("$url", REQUEST.url),
        ("$method", "POST"),
        ("$statusCode", 202),
        ("$task.id", "7"),
        ("$task.created.ms", 1_764_945_990_569),
        ("$task.created.s", 1_764_945_990),
        ("$task.created.iso", "2025-12-05T14:46:30.569Z"),
        ("$task.created.isoNaive", "2025-12-05T14:46:30.569"),
        ("$task.updated.ms", MISSING),
        ("$task.elapsed.s", 80),
        ("$task.cost", 2.0),
        ("$task.costText", "2.00"),
        ("$task.input#/name", "boat"),
        ("$task.input#/nothing", None),
        ("$task.input#/other", MISSING),
        ("$task.output.duration", 5.041),
        ("$task.output.width", MISSING),
        ("$task.failure.message", MISSING),
        ("$error.keys.model", "a1"),
        ("$error.keys.other", MISSING),
        ("$error.value", MISSING),
        ("$delivery.attempt", MISSING),
        ("$limit.reset.s", MISSING),
    ],
)
def test_an_expression_finds_a_value_with_its_type(text: str, value: Any) -> None:
    found = parse(text).evaluate(SCOPE)

    assert (value is found) if value is MISSING else (value == found and type(value) is type(found))


@pytest.mark.parametrize("text", ["$url", "$method", "$statusCode", "$request.header.a", "$request.query.a"])
def test_an_unset_root_finds_nothing(text: str) -> None:
    assert MISSING is parse(text).evaluate(Scope())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("task.id", "'task.id' is no runtime expression"),
        ("$task.id more", "'$task.id more' is no runtime expression"),
        ("$nothing.id", "'$nothing.id' starts with an unknown root; known: $task, $tasks"),
        ("$request.cookie.a", "'$request.cookie.a' starts with an unknown root"),
        ("$request.body#hook", "'$request.body#hook'"),
        ("$response.query.a", "'$response.query.a': a response has a body and headers only"),
        ("$task", "'$task': $task offers id, state"),
        ("$task.nothing", "'$task.nothing': $task offers id, state"),
        ("$task.id.more", "'$task.id.more': nothing follows $task.id"),
        ("$task.id#/x", "'$task.id#/x': no JSON Pointer can follow here"),
        ("$task.created", "'$task.created': $task.created offers ms, s, iso, isoNaive"),
        ("$task.created.day", "'$task.created.day': $task.created offers ms, s, iso, isoNaive"),
        ("$task.input", "'$task.input': write $task.input#/name"),
        ("$error.keys", "'$error.keys': write $error.keys.name"),
        ("$tasks.id", "'$tasks.id': $tasks stands alone"),
        ("$errors#/0", "'$errors#/0': $errors stands alone"),
    ],
)
def test_what_is_no_expression_is_told(text: str, sentence: str) -> None:
    with pytest.raises(ExpressionError, match="^" + re.escape(sentence)):
        parse(text)


def test_a_pointer_starts_with_a_slash_or_is_empty() -> None:
    assert () == parse_pointer("")
    assert ("",) == parse_pointer("/")
    with pytest.raises(ExpressionError, match="'a' is no JSON Pointer"):
        parse_pointer("a")


@pytest.mark.parametrize(
    ("text", "missing", "value"),
    [
        ("plain", None, "plain"),
        ("", None, ""),
        ("$task.cost", None, 2.0),
        ("{$task.cost}", None, "2"),
        ("{$task.cost} of {$request.body#/no}", None, "2 of false"),
        ("{$request.body#/nil}", None, "null"),
        ("{$request.body#/list}", None, '[1,{"a/b":2}]'),
        ("{$task.failure.message}!", None, MISSING),
        ("{$task.failure.message}!", "", "!"),
        ("$task.failure.message", "", ""),
        ("{not one} {", None, "{not one} {"),
    ],
)
def test_a_text_keeps_the_type_alone_and_joins_otherwise(text: str, missing: str | None, value: Any) -> None:
    found = compile_text(text, missing=missing)(SCOPE)

    assert (value is found) if value is MISSING else value == found


def test_a_member_that_finds_nothing_is_left_out() -> None:
    body = {
        "id": "$task.id",
        "why": "$task.failure.message",
        "list": ["$task.updated.ms", 1],
        "deep": {"a": "$url"},
    }

    assert {"id": "7", "list": [1], "deep": {"a": REQUEST.url}} == compile_body(body)(SCOPE)


def test_lists_are_rendered_item_by_item() -> None:
    render = compile_body({"all": "$tasks"}, item=lambda scope, task: {"id": task, "at": scope.status})

    assert {"all": [{"id": 1, "at": 202}, {"id": 2, "at": 202}]} == render(Scope(status=202, tasks=[1, 2]))


@pytest.mark.parametrize(
    ("enabled", "expected"),
    [(True, {"a": "7", "list": ["7"]}), (False, {"list": []}), ("true", {"list": []})],
)
def test_what_depends_on_a_value_is_there_only_where_it_is_true(enabled: Any, expected: Any) -> None:
    condition = {"x-when": "$request.body#/mark/enabled", "x-then": "$task.id"}
    render = compile_body({"a": condition, "list": [condition]})

    assert expected == render(Scope(body={"mark": {"enabled": enabled}}, task=TASK))
    assert {"list": []} == render(Scope(body={}, task=TASK))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "none"), (0.0, "none"), (False, "some"), (1, "some"), ("0", "some"), (None, "none"), ("x", "none")],
)
def test_a_condition_names_the_values_it_holds_for(value: Any, expected: str) -> None:
    condition = {"x-when": "$request.body#/left", "x-is": [0, None, "x"], "x-then": "none", "x-else": "some"}
    render = compile_body({"a": condition})

    assert {"a": expected} == render(Scope(body={"left": value}))
    assert {"a": "none"} == render(Scope(body={})), "null stands for an expression that finds nothing"


@pytest.mark.parametrize(
    "body",
    [
        {"x-when": "$task.id"},
        {"x-when": "$task.id", "x-is": 1, "x-then": 1},
        {"x-when": "$task.id", "x-is": [1], "x-else": 1},
        {"x-is": [1]},
        {"x-else": 1},
        {"x-when": "$task.id", "x-then": 1, "else": 2},
        {"x-when": True, "x-then": 1},
        {"x-when": "yes", "x-then": 1},
        {"x-when": "a{$task.id}", "x-then": 1},
        {"x-then": 1},
    ],
)
def test_a_condition_that_is_none_is_told(body: Any) -> None:
    with pytest.raises(ExpressionError, match=r"x-(when|is)"):
        compile_body({"a": body})
    with pytest.raises(ExpressionError, match=r"x-(when|is)"):
        expressions_in({"a": [body]})


def test_expressions_are_found_wherever_they_stand() -> None:
    body = {"a": ["$task.id", "{$task.cost} and {$url}"], "b": {"c": 5, "d": "none"}}

    assert ["$task.id", "$task.cost", "$url"] == [one.text for one in expressions_in(body)]
    with pytest.raises(ExpressionError):
        expressions_in(["{$nothing}"])


def test_every_field_that_is_offered_can_be_written() -> None:
    for root, fields in FIELDS.items():
        for field, below in fields.items():
            for sub in below or ("",):
                text = f"${root}.{field}" + {"": "", "#": "#/x", "*": ".x"}.get(sub, f".{sub}")
                assert root == parse(text).root
                assert parse(text).evaluate(Scope()) is MISSING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        (2.0, "2"),
        (2.5, "2.5"),
        (1e20, "1e+20"),
        (7, "7"),
        ("é", "é"),
        ([1, "a"], '[1,"a"]'),
    ],
)
def test_values_read_inside_a_text(value: Any, text: str) -> None:
    assert text == to_text(value)


def test_times_are_utc() -> None:
    assert "1970-01-01T00:00:00.000Z" == iso(0)
    assert "1969-12-31T23:59:59.999Z" == iso(-1)


@given(tokens=st.lists(st.text(max_size=4), max_size=4))
def test_a_pointer_that_is_written_and_read_is_the_same(tokens: list[str]) -> None:
    assert tuple(tokens) == parse_pointer(format_pointer(list(tokens)))


@given(value=JSON)
def test_a_pointer_to_each_place_finds_what_is_there(value: Any) -> None:
    def visit(inner: Any, at: tuple[str, ...]) -> None:
        assert resolve_pointer(value, at) is inner
        items = (
            inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        )
        for key, member in items:
            visit(member, (*at, str(key)))

    visit(value, ())


@given(value=JSON)
def test_a_body_without_expressions_renders_to_itself(value: Any) -> None:
    text = str(value)
    if "$" not in text:
        assert value == compile_body(value)(Scope())


@given(target=JSON, patch=JSON)
def test_a_patch_changes_neither_side_and_twice_is_once(target: Any, patch: Any) -> None:
    before = repr((target, patch))

    merged = merge_patch(target, patch)

    assert before == repr((target, patch))
    assert merged == merge_patch(merged, patch)
