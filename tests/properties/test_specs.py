"""Law: a broken spec is told, with file and place; nothing else ever comes out of reading one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.bodies import SCALARS
from tests.providers import TOY
from validator.contract import Contract, SpecError
from validator.contract.compile import compile_document
from validator.contract.document import check_document, parse_yaml, read_document
from validator.contract.plain import plain

DOCUMENT = read_document(TOY)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything inside a JSON value."""
    out: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        out.append((value, key))
        out += places(inner)
    return out


PLACES = len(places(DOCUMENT.root))
WRONG = st.one_of(
    SCALARS,
    st.sampled_from(
        [
            {},
            [],
            {"$ref": "#/nowhere"},
            {"$ref": "#/components"},
            {"$ref": "#"},
            "$task.id",
            "$nothing",
            "{$x}",
            True,
        ]
    ),
)


@settings(max_examples=6 * settings.default.max_examples)
@given(data=st.data())
def test_a_spec_with_a_place_changed_loads_or_is_told_to_be_wrong(data: st.DataObject) -> None:
    root = copy.deepcopy(DOCUMENT.root)
    for _ in range(data.draw(st.integers(1, 2))):
        found = places(root)
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        action = data.draw(st.sampled_from(["remove", "replace", "rename", "move"]))
        if action == "remove":
            del container[key]
        elif action == "replace":
            container[key] = data.draw(WRONG)
        elif action == "rename" and isinstance(container, dict):
            container[data.draw(st.sampled_from(["x-extra", "extra", key + "s"]))] = container.pop(key)
        else:
            other, name = found[data.draw(st.integers(0, len(found) - 1))]
            container[key] = copy.deepcopy(other[name])
    document = replace(DOCUMENT, root=root)

    try:
        check_document(document)
        contract = compile_document(document)
        plain(contract)
    except SpecError as error:
        assert error.file == str(TOY) or error.file == "setting"
        assert str(error)
    else:
        assert isinstance(contract, Contract)


@given(text=st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_any_text_is_read_as_yaml_or_told_to_be_none(text: Any) -> None:
    try:
        parse_yaml(text, file="x")
    except SpecError as error:
        assert str(error).startswith("x: not readable as YAML")
