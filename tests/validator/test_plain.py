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
