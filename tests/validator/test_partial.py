"""Bodies that are known in part: what is said of them, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pictures import picture
from tests.providers import contract
from validator.partial import Hole, Open, Truth, examine_partial, fill, holds, holes
from validator.report import Report
from validator.request import HttpRequest

X = Hole("x")
T = Hole("t", is_text=True)
YES, NO, OPEN = Truth.YES, Truth.NO, Truth.OPEN


def report(name: str, operation: str, body: Any) -> Report:
    request = HttpRequest(method="POST", path="/")
    return examine_partial(contract(name), request, body, operation=operation).report


def rules(name: str, operation: str, body: Any) -> list[str]:
    return [one.rule.partition(".")[2] for one in report(name, operation, body).violations]


@pytest.mark.parametrize(
    ("schema", "value", "truth"),
    [
        (True, X, YES),
        (False, X, NO),
        ({"type": "string"}, X, OPEN),
        ({"type": "string"}, T, YES),
        ({"type": ["integer", "null"]}, T, NO),
        ({"maximum": 5}, T, YES),
        ({"maxLength": 5}, T, OPEN),
        ({"enum": ["a"]}, T, OPEN),
        ({"enum": [{"a": 1}]}, {"a": X}, OPEN),
        ({"enum": ["a", 1]}, {"a": X}, NO),
        ({"const": True}, 1, NO),
        ({"const": 1}, 1.0, YES),
        ({"required": ["a"]}, {"a": X}, OPEN),
        ({"required": ["a"]}, {"a": T}, YES),
        ({"required": ["a"]}, {}, NO),
        ({"required": ["a"]}, Open(), OPEN),
        ({"not": {"required": ["a"]}}, {"a": 1}, NO),
        ({"not": {"required": ["a"]}}, {"a": X}, OPEN),
        ({"properties": {"a": False}}, {"a": X}, OPEN),
        ({"properties": {"a": False}}, {"a": T}, NO),
        ({"properties": {"a": {"maximum": 1}}}, Open(b=1), OPEN),
        ({"additionalProperties": False, "properties": {"a": True}}, {"b": 1}, NO),
        ({"additionalProperties": False, "properties": {"a": True}}, Open(a=1), OPEN),
        ({"if": {"required": ["a"]}, "then": False}, {"a": X}, OPEN),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["b"]}}, {"a": X}, NO),
        ({"if": {"required": ["a"]}, "else": False}, {}, NO),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": X}, OPEN),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": X, "b": 1}, YES),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 1, "c": X}, NO),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": X}, OPEN),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": X}, OPEN),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, NO),
        ({"dependentSchemas": {"a": False}}, {"a": 1}, NO),
        ({"minItems": 2}, [X], NO),
        ({"uniqueItems": True}, [X, X], OPEN),
        ({"uniqueItems": True}, [1, 1.0], NO),
        ({"items": {"type": "string"}}, [X, 5], NO),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", X], OPEN),
        ({"contains": {"const": 1}}, [X, 2], OPEN),
        ({"minProperties": 2}, {"a": X}, NO),
        ({"minProperties": 1}, {"a": X}, OPEN),
        ({"maxProperties": 1}, {"a": 1, "b": X}, OPEN),
        ({"multipleOf": 0.1}, 0.3, YES),
    ],
)
def test_a_schema_holds_for_every_filling_for_none_or_for_some(schema: Any, value: Any, truth: Truth) -> None:
    assert truth is holds(schema, value)


def test_holes_are_closed_so_that_nothing_is_claimed() -> None:
    value = {"a": X, "b": {"c": X, "d": T}, "e": [X, 1]}

    assert {"b": {"d": "filled in later"}, "e": [None, 1]} == fill(value)
    assert [("a",), ("b", "c"), ("b", "d"), ("e", 0)] == [path for path, _ in holes(value)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": X}, []),
        ({"prompt": T, "duration": "7"}, ["duration.model"]),
        ({"prompt": T, "model_name": X, "duration": "7"}, []),
        ({"prompt": T, "model_name": "kling-v2-6", "mode": "std", "sound": "on"}, ["sound.offered"]),
        ({"prompt": T, "model_name": "kling-v2-6", "mode": X, "sound": "on"}, []),
        ({"prompt": T, "model_name": "kling-v2-6", "mode": "std", "sound": X}, []),
        ({"prompt": T, "model_name": X, "mode": "std", "sound": "on"}, []),
        ({"model_name": "kling-v2-6"}, ["t2v.prompt-given"]),
        (Open({"model_name": "kling-v2-6"}), []),
        (Open({"mode": "ultra"}), ["mode.value"]),
        ({"prompt": X, "promt": X}, ["request.unknown-member"]),
        ({"prompt": T, "camera_control": {"type": "simple", "config": {"zoom": 12}}}, ["camera.axis"]),
        ({"prompt": T, "camera_control": {"type": X, "config": {"zoom": 12}}}, ["camera.axis"]),
        ({"prompt": T, "camera_control": {"type": "simple", "config": {"zoom": 1, "pan": X}}}, []),
    ],
)
def test_what_is_said_of_a_body_with_holes(body: Any, expected: list[str]) -> None:
    assert expected == rules("kling", "createText2Video", body)


def test_what_is_open_is_named() -> None:
    unchecked = report(
        "kling", "createText2Video", Open({"prompt": X, "camera_control": {"type": T}})
    ).unchecked

    assert "further members, prompt, camera_control.type: only known when the program runs" == unchecked[-1]


def test_a_combination_is_told_without_what_is_not_known() -> None:
    body = {"prompt": T, "model_name": "kling-v1", "mode": X, "sound": "on"}

    (one,) = report("kling", "createText2Video", body).violations

    assert "model_name 'kling-v1', duration '5', whatever mode is" == one.found
    assert "" == one.suggestion


def test_pictures_are_judged_where_they_are_known() -> None:
    small = {"picture": picture(width=10, height=10)}
    alone = rules("toy", "createClip", small)

    assert alone
    assert alone == rules("toy", "createClip", small | {"name": X})
    assert [] == rules("toy", "createClip", {"picture": X, "prompt": T})


def test_pictures_that_belong_together_are_not_compared_where_one_is_not_known() -> None:
    wide, high = picture(width=400, height=300), picture(width=300, height=400)
    both = {"picture": wide, "mask": high, "masks": [{"mask": wide}]}

    assert any("same" in one.keyword for one in report("toy", "createClip", both).violations)
    for name in both:
        found = report("toy", "createClip", both | {name: X}).violations
        assert not any("same" in one.keyword for one in found)
