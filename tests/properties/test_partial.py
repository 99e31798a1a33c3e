"""Laws of bodies that are known in part: what is said holds for every filling, and without holes it is all."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.cases import read_cases
from tests.properties.bodies import JSON, bodies
from tests.providers import LIBRARY, contract
from validator.check import examine
from validator.contract.expressions import format_pointer
from validator.contract.model import BodySchema, unknown_member_id
from validator.partial import Hole, Open, Truth, certain, examine_partial, holds
from validator.request import HttpRequest, dump_json

PROVIDERS = ("toy", *LIBRARY)
WITH_BODY = [
    (name, operation.id)
    for name in PROVIDERS
    for operation in contract(name).operations.values()
    if operation.body is not None
]
LEFT_OUT = object()
FEWER = settings(max_examples=settings().max_examples // 3)
"""Each is tried for every operation, and each example is a handful of checks."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything below a value."""
    pairs: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, inner in pairs:
        yield (*at, step)
        yield from places(inner, (*at, step))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    """Put something in a place of a body; what is left out of a list is null there."""
    holder = at(value, path[:-1])
    if new is not LEFT_OUT:
        holder[path[-1]] = new
    elif isinstance(holder, dict):
        del holder[path[-1]]
    else:
        holder[path[-1]] = None


def rules(name: str, operation: str, body: Any) -> set[tuple[str, str]]:
    raw, fault = dump_json(body)
    request = HttpRequest(method="POST", path="/", body=raw, body_fault=fault)
    report = examine(contract(name), request, operation=operation).report
    return {(one.rule, one.instance_location) for one in report.violations}


def partial_rules(name: str, operation: str, body: Any) -> set[tuple[str, str]]:
    request = HttpRequest(method="POST", path="/")
    report = examine_partial(contract(name), request, body, operation=operation).report
    return {(one.rule, one.instance_location) for one in report.violations}


@functools.cache
def values_of(name: str, operation: str) -> tuple[Any, ...]:
    """Return values that a member may have: those the schema names, and one of each type."""
    schema = contract(name).operations[operation].body
    assert schema is not None
    found: list[Any] = [
        None,
        "",
        "a",
        "5",
        "10",
        0,
        5,
        10,
        True,
        [],
        {},
        "https://example.com/a.png",
        -1,
        0.5,
    ]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                if key == "enum" and isinstance(inner, list):
                    found.extend(inner)
                elif key in ("const", "default"):
                    found.append(inner)
                else:
                    walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(schema.tree)
    return tuple({repr(one): one for one in found if not isinstance(one, dict | list) or not one}.values())


FILES = [case for name in LIBRARY for case in (*read_cases(name, "fail"), *read_cases(name, "pass"))]
REAL = {
    (name, operation): [
        case.body for case in FILES if f"{name}." in case.rule and case.operation == operation and case.body
    ]
    for name, operation in WITH_BODY
}


@functools.cache
def starts(name: str, operation: str) -> st.SearchStrategy[Any]:
    """Return bodies to make holes in: those kept in files, and drawn ones."""
    real = REAL[name, operation]
    source = bodies(name, contract(name).operations[operation])
    return st.sampled_from(real) | source if real else source


@functools.cache
def fillings(name: str, operation: str, *, is_text: bool) -> st.SearchStrategy[Any]:
    """Return what a hole may turn out to be."""
    values = values_of(name, operation)
    if is_text:
        return st.sampled_from([one for one in values if isinstance(one, str) and one])
    return st.sampled_from([LEFT_OUT, *values]) | JSON


@st.composite
def with_holes(draw: st.DrawFn, body: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """Return a body with up to four holes in it, and their paths."""
    known = [path for path in places(body) if len(path) < 5]
    assume(known)
    paths: list[tuple[Any, ...]] = []
    for path in draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True)):
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in paths):
            paths.append(path)
    out = copy.deepcopy(body)
    for path in paths:
        is_text = isinstance(at(body, path), str) and bool(at(body, path)) and draw(st.booleans())
        put(out, path, Hole("x", is_text=is_text))
    return out, paths


@pytest.mark.parametrize(("name", "operation"), WITH_BODY)
@FEWER
@given(data=st.data())
def test_what_is_said_of_a_body_with_holes_holds_for_every_filling(
    name: str, operation: str, data: st.DataObject
) -> None:
    source = starts(name, operation)
    body = data.draw(source)
    assume(isinstance(body, dict))
    partial, paths = data.draw(with_holes(body))

    said = partial_rules(name, operation, partial)

    strange = unknown_member_id(name)
    for turn in range(4):
        # The body itself is a filling too.
        filled = copy.deepcopy(body)
        left_out = {format_pointer(list(path)) for path in paths}
        for path in paths if turn else ():
            hole = at(partial, path)
            if hole.is_text:
                put(filled, path, data.draw(fillings(name, operation, is_text=True)))
                continue
            new = data.draw(fillings(name, operation, is_text=False))
            put(filled, path, copy.deepcopy(new) if new is not LEFT_OUT else new)
        found = rules(name, operation, filled)
        # What is not sent has no name that could be wrong.
        lost = {one for one in said - found if one[0] != strange or one[1] not in left_out}
        assert not lost or too_many(found), (partial, filled)


def too_many(found: set[tuple[str, str]]) -> bool:
    """Tell whether a rule was broken so often that not all was told."""
    return len(found) >= 20


@pytest.mark.parametrize(("name", "operation"), WITH_BODY)
@FEWER
@given(data=st.data())
def test_an_object_that_may_hold_more_says_only_what_holds_with_more(
    name: str, operation: str, data: st.DataObject
) -> None:
    real = REAL[name, operation]
    body = data.draw(st.sampled_from(real) if real else bodies(name, contract(name).operations[operation]))
    assume(isinstance(body, dict) and body)
    kept = data.draw(st.sets(st.sampled_from(sorted(body))))

    said = partial_rules(name, operation, Open({key: body[key] for key in kept}))

    assert said <= rules(name, operation, body)


@pytest.mark.parametrize(("name", "operation"), WITH_BODY)
@FEWER
@given(data=st.data())
def test_without_holes_everything_is_said(name: str, operation: str, data: st.DataObject) -> None:
    real = REAL[name, operation]
    body = data.draw(st.sampled_from(real) if real else bodies(name, contract(name).operations[operation]))
    found = rules(name, operation, body)
    assume(len(found) < 20)

    assert found == partial_rules(name, operation, body)


@pytest.mark.parametrize(
    "case", [one for one in FILES if one.file.parent.name == "fail" and one.operation], ids=str
)
def test_a_hole_that_has_nothing_to_do_with_a_rule_hides_no_finding(case: Any) -> None:
    name = case.rule.partition(".")[0]
    schema = contract(name).operations[case.operation].body
    if schema is None or not isinstance(case.body, dict):
        return
    expected = {one for one in certain(contract(name), schema, case.body) if one[0] == case.rule}

    # A member of its own that no rule speaks of.
    found = certain(contract(name), schema, {**case.body, "x_of_ours": Hole("x")})

    assert expected <= found


@FEWER
@given(data=st.data())
@pytest.mark.parametrize(("name", "operation"), WITH_BODY)
def test_three_values_agree_with_the_engine_where_all_is_known(
    name: str, operation: str, data: st.DataObject
) -> None:
    schema = contract(name).operations[operation].body
    assert isinstance(schema, BodySchema)
    body = data.draw(bodies(name, contract(name).operations[operation]))

    truth = holds(schema.engine, body)

    assert truth is Truth.OPEN or (truth is Truth.YES) == schema.validator.is_valid(body)
