"""The plain form of a spec: OpenAPI 3.1 that any tool reads, without a word of ours."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.providers import LIBRARY, plain_contract

PROVIDERS = ("toy", *LIBRARY)


@pytest.mark.parametrize("is_strict", [False, True], ids=["usual", "strict"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_the_plain_spec_is_openapi_3_1(name: str, is_strict: bool) -> None:
    document = plain_contract(name, is_strict=is_strict)

    assert [] == [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()]


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_word_of_ours_is_left(name: str) -> None:
    def words(node: Any, *, is_value: bool = False) -> list[str]:
        if isinstance(node, dict):
            found = [key for key in node if key.startswith("x-") and not is_value]
            return found + [
                word
                for key, inner in node.items()
                for word in words(inner, is_value=key in ("example", "examples", "headers", "default"))
            ]
        return [word for item in node for word in words(item)] if isinstance(node, list) else []

    assert [] == words(plain_contract(name))


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_schema_that_is_left_is_used(name: str) -> None:
    document = plain_contract(name)
    text = str(document)

    assert [] == [
        one
        for one in document["components"].get("schemas", {})
        if f"'#/components/schemas/{one}'" not in text
    ]


def parameter(name: str, template: str, method: str, wanted: str) -> Any:
    """Return a parameter of the plain spec, wherever it is written down."""
    document = plain_contract(name)
    item = document["paths"][template]
    for node in [*item.get("parameters", ()), *item[method].get("parameters", ())]:
        if "$ref" in node:
            node = document["components"]["parameters"][node["$ref"].rpartition("/")[2]]
        if node["name"] == wanted:
            return node
    raise AssertionError(f"no parameter {wanted}")


def test_a_parameter_keeps_the_rules_that_refuse() -> None:
    page = parameter("kling", "/v1/videos/text2video", "get", "pageNum")

    assert (1, 1000) == (page["schema"]["minimum"], page["schema"]["maximum"])


def test_a_parameter_loses_the_rules_that_only_warn() -> None:
    # Any address is accepted there; one that is not HTTPS is told of, and never called.
    webhook = parameter("modellix", "/kling/kling-v1-i2v/async", "post", "X-Webhook-URL")

    assert {"pattern", "allOf", "not"}.isdisjoint(webhook["schema"])


def test_no_request_says_format() -> None:
    # Some tools take it for a rule, others do not; the pattern beside it says the same to all.
    def formats(node: Any) -> list[Any]:
        if isinstance(node, dict):
            own = [node["format"]] if isinstance(node.get("format"), str) else []
            return own + [one for value in node.values() for one in formats(value)]
        return [one for item in node for one in formats(item)] if isinstance(node, list) else []

    for name in PROVIDERS:
        for item in plain_contract(name)["paths"].values():
            for method, operation in item.items():
                if isinstance(operation, dict):
                    found = formats([operation.get("requestBody"), operation.get("parameters")])
                    assert [] == found, (name, method)


def test_a_condition_on_a_member_that_is_there_says_so_once() -> None:
    text = str(plain_contract("kling")["paths"]["/v1/videos/image2video"])

    # `required` beside a value that is no absent one needs no third word.
    assert "{'properties': {'model_name': {'const': 'kling-v3'}}, 'required': ['model_name']}" in text
