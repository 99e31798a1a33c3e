"""Laws about schemas: two engines and two forms of a schema give one verdict."""

from __future__ import annotations

import functools
import re
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import extend

from tests.properties.bodies import bodies
from tests.providers import LIBRARY, contract, plain_contract, strict_contract
from validator.check import check
from validator.contract.model import Contract, Operation
from validator.request import HttpRequest

PICTURE_KEYWORDS = {
    *("mediaTypes", "minWidth", "minHeight", "aspectRatio", "sameAspectRatio", "sameSize", "maxBytes")
}
WITH_BODY = [
    (name, operation.id)
    for name in ("toy", *LIBRARY)
    for operation in contract(name).operations.values()
    if operation.body is not None
]


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    # JSON Schema's patterns are ECMA's, where $ is the very end; Python's $ lets a line break follow.
    text = re.sub(r"(?<!\\)\$(?=$|\))", r"\\Z", pattern)
    if validator.is_type(instance, "string") and not re.search(text, instance, re.ASCII):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


REFERENCE = extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


@functools.cache
def forms(name: str, operation_id: str, *, is_strict: bool) -> tuple[Contract, Operation, Any]:
    """Return (contract, operation, the plain schema of its body)."""
    known = strict_contract(name) if is_strict else contract(name)
    operation = known.operations[operation_id]
    paths = plain_contract(name, is_strict=is_strict)["paths"]
    (schema,) = (
        item[operation.method.lower()]["requestBody"]["content"]["application/json"]["schema"]
        for template, item in paths.items()
        if known.base_path + template == operation.path
    )
    return known, operation, schema


@functools.cache
def validators(name: str, operation_id: str, *, is_strict: bool) -> tuple[Any, ...]:
    """Return (rust, reference) validators of the engine schema, then of the plain schema."""
    _, operation, plain = forms(name, operation_id, is_strict=is_strict)
    assert operation.body is not None
    return tuple(
        (jsonschema_rs.Draft202012Validator(schema), REFERENCE(schema))
        for schema in (operation.body.engine, plain)
    )


@pytest.mark.parametrize("is_strict", [False, True], ids=["usual", "strict"])
@pytest.mark.parametrize(("name", "operation_id"), WITH_BODY)
@given(data=st.data())
def test_two_engines_give_one_verdict_on_the_compiled_and_on_the_plain_schema(
    name: str, operation_id: str, is_strict: bool, data: st.DataObject
) -> None:
    _, operation, _ = forms(name, operation_id, is_strict=is_strict)
    body = data.draw(bodies(name, operation))

    for rust, reference in validators(name, operation_id, is_strict=is_strict):
        assert reference.is_valid(body) == rust.is_valid(body)


@pytest.mark.parametrize("is_strict", [False, True], ids=["usual", "strict"])
@pytest.mark.parametrize(("name", "operation_id"), WITH_BODY)
@given(data=st.data())
def test_the_plain_schema_refuses_what_the_check_refuses_and_nothing_else(
    name: str, operation_id: str, is_strict: bool, data: st.DataObject
) -> None:
    known, operation, _ = forms(name, operation_id, is_strict=is_strict)
    body = data.draw(bodies(name, operation))

    report = check(known, HttpRequest.from_json("POST", "/", body), operation=operation_id)

    refusals = [
        one.rule
        for one in report.violations
        # What needs the pixels of a picture cannot be said in JSON Schema.
        if one.effect == "reject" and one.keyword not in PICTURE_KEYWORDS
    ]
    _, (rust, _) = validators(name, operation_id, is_strict=is_strict)
    assert (refusals == []) == rust.is_valid(body), (refusals, body)


@pytest.mark.parametrize(("name", "operation_id"), WITH_BODY)
@given(data=st.data())
def test_the_engine_says_nothing_exactly_where_the_check_says_nothing(
    name: str, operation_id: str, data: st.DataObject
) -> None:
    known, operation, _ = forms(name, operation_id, is_strict=False)
    body = data.draw(bodies(name, operation))

    report = check(known, HttpRequest.from_json("POST", "/", body), operation=operation_id)

    others = (*PICTURE_KEYWORDS, "x-capabilities")
    findings = [one for one in report.violations if one.keyword not in others]
    assert operation.body is not None
    if operation.body.validator.is_valid(body):
        assert findings == []
    elif not operation.body.absent:
        assert findings
