"""Every template, in every state, renders to what the operation's own response schema allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import orjson
import pytest

from tests.providers import LIBRARY, contract, mock_view, reading, readings, task_view
from validator.check import check
from validator.contract.expressions import MISSING, Scope
from validator.contract.model import BodyTemplate, Contract, Operation, When
from validator.contract.refusals import glob_matches
from validator.errors import refuse, render
from validator.report import Violation
from validator.request import HttpRequest

PROVIDERS = ("toy", *LIBRARY)
READINGS = [(name, variants) for name in PROVIDERS for variants in readings(name)]
OPERATIONS = [
    (name, variants, operation)
    for name, variants in READINGS
    for operation in reading(name, variants).operations.values()
]


def ids(value: Any) -> str:
    if isinstance(value, Operation):
        return value.id
    return ("+".join(value) or "usual") if isinstance(value, tuple) else str(value)


def creators(known: Contract, operation: Operation) -> list[Operation]:
    """Return the operations whose tasks this one answers with."""
    if operation.role == "create":
        return [operation]
    if operation.role == "list":
        return [known.operations[one] for one in operation.of]
    found = known.operations.values()
    return [one for one in found if any(link.operation == operation.id for link in one.links)]


def assert_valid(content: BodyTemplate, body: Any) -> None:
    orjson.dumps(body)
    assert_literal(body)
    jsonschema.Draft202012Validator(content.schema).validate(body)


def assert_literal(value: Any) -> None:
    """No expression is left in an answer."""
    if isinstance(value, dict):
        for member in value.values():
            assert_literal(member)
    elif isinstance(value, list):
        for item in value:
            assert_literal(item)
    elif isinstance(value, str):
        assert not value.startswith("$") and "{$" not in value


def scopes(operation: Operation, state: str, create: Operation) -> Iterator[Scope]:
    request = HttpRequest.from_parts("GET", operation.path, headers={})
    account = type(
        "Account", (), {"id": "a", "opened": 1, "total": 100, "used": 2.5, "remaining": 97.5, "money": 9.75}
    )()
    limit = type("Limit", (), {"quota": 100, "remaining": 99, "reset": 1_764_945_999_000, "wait": 7_000})()
    assert create.body is not None
    fewest = {one: create.body.defaults[one] for one in create.inputs if one in create.body.defaults}
    for inputs in (fewest, {pointer: sample(create, pointer) for pointer in create.inputs}):
        task = task_view(create, state, inputs=inputs)
        yield Scope(request=request, path={}, mock=mock_view(), task=task, account=account, limit=limit)


def sample(create: Operation, pointer: str) -> Any:
    """Return a value the schema allows for a member that templates read."""
    assert create.body is not None
    node: Any = create.body.tree
    for step in pointer.split("/")[1:]:
        node = node.get("properties", {}).get(step, {})
    if "enum" in node:
        return node["enum"][0]
    return {"boolean": True, "integer": 5, "object": {"enabled": True}}.get(node.get("type"), "abc")


@pytest.mark.parametrize(("name", "variants", "operation"), OPERATIONS, ids=ids)
def test_each_state_renders_to_a_valid_body(
    name: str, variants: tuple[str, ...], operation: Operation
) -> None:
    rendered = 0
    for create in creators(reading(name, variants), operation):
        assert create.lifecycle is not None
        for state in create.lifecycle.states:
            for scope in scopes(operation, state, create):
                for content in operation.response.contents:
                    if operation.role == "list":
                        scope.tasks = [scope.task, scope.task]
                        body = content.bodies[None](scope)
                    else:
                        body = content.bodies[state](scope)
                    assert_valid(content, body)
                    rendered += 1
                for callback in (
                    create.callbacks if state in {s for c in create.callbacks for s in c.states} else ()
                ):
                    delivery = type("D", (), {"id": "1", "attempt": 1, "retry": 0, "timestamp": 1})()
                    scope.delivery = delivery
                    assert_valid(callback.content, callback.content.bodies[state](scope))
                    for header in callback.headers:
                        assert header.values[state](scope) is not MISSING
    assert rendered or operation.role is None


@pytest.mark.parametrize(("name", "variants"), READINGS, ids=ids)
def test_every_error_case_can_be_met_and_renders_to_a_valid_envelope(
    name: str, variants: tuple[str, ...]
) -> None:
    known = reading(name, variants)
    request = HttpRequest.from_parts("POST", "/nothing", headers={})
    for case in known.cases:
        finding = finding_for(known, case.when)
        scope = Scope(request=request, path={}, mock=mock_view())

        refusal = refuse(known, [finding], scope, operation=case.when.operation or "")

        assert refusal.case is case
        for content in case.response.contents:
            answer = render(refusal, scope, accept=content.media_type)
            assert 400 <= answer.status < 600
            assert_valid(content, content.bodies[None](_error_scope(scope, refusal)))


def finding_for(known: Contract, when: When) -> Violation:
    """Return a finding that has just what a case asks for."""
    found = (rule for rule in known.rules if when.rule and glob_matches(when.rule, rule))
    rule = next(found, f"{known.id}.x.y")
    kind: Any = when.kind or "invalid"
    return Violation(
        rule=rule,
        kind=kind,
        effect="reject",
        evidence="assumed",
        source="",
        message="something is wrong",
        place=when.place or "body",  # type: ignore[arg-type]
        instance_location=(when.path or "/member").replace("*", "x"),
        keyword=when.keyword or "",
        reason=when.reason or "",
        found="x",
        allowed="y",
        value="x",
        keys={"model_name": "kling-v1", "mode": "std", "duration": "5", "model": "a1", "seconds": "5"},
    )


def _error_scope(scope: Scope, refusal: Any) -> Scope:
    return Scope(request=scope.request, path={}, mock=scope.mock, error=refusal.error, errors=refusal.errors)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_request_example_is_accepted(name: str) -> None:
    # In the usual reading only: a variant may be that a model is gone.
    known = contract(name)
    seen = 0
    for item in known.document.root["paths"].values():
        for operation in item.values():
            if not isinstance(operation, dict) or "requestBody" not in operation:
                continue
            body, _ = known.document.resolve(operation["requestBody"])
            for example in body["content"]["application/json"].get("examples", {}).values():
                request = HttpRequest.from_json("POST", "/", example["value"])
                report = check(known, request, operation=operation["operationId"])
                assert report.verdict == "accepted", report
                seen += 1
    assert seen


def test_no_rule_is_named_by_two_providers() -> None:
    names = [rule for name in PROVIDERS for rule in contract(name).rules]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PROVIDERS)
def test_everything_said_names_a_source_and_how_sure_it_is(name: str) -> None:
    for statement in contract(name).statements:
        assert statement.evidence in ("documented", "captured", "reported", "assumed")
        assert statement.source.partition("#")[0] in contract(name).sources
