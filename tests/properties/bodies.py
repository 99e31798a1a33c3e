"""Bodies to throw at a check: what the specs and the case files hold, changed a little, and anything else."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.cases import read_cases
from tests.pictures import picture
from tests.providers import contract
from validator.contract.model import Operation

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-3, 12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 0.5, 1.0, 5.0, 10.0, 1e308, 1.5]),
)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        [
            *("", " ", "5", "10", "5.0", "on", "true", "null", "16:9", "a" * 2600, "https://a.example/b.png"),
            *("https://a.example/b.png\n", "data:image/png;base64,", "QUJD", "QUJD\n", "é" * 40, "\u2028"),
        ]
    ),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value that a parser gives."""


_PNG = picture(width=40, height=40)
_TOY: list[Any] = [
    {
        "prompt": "a boat",
        "model": "a1",
        "seconds": "5",
        "sound": "on",
        "name": "n",
        "hook": "https://a.example",
    },
    {"model": "a2", "seconds": 10, "picture": _PNG, "tail": "https://a.example/b.png", "old": None},
    {"model": "b1", "seconds": "10", "prompt": "a boat", "shape": "1:1", "unknown": {"x": 1}},
    {
        "model": "a1",
        "picture": "",
        "mask": _PNG,
        "masks": [{"mask": _PNG}, {"mask": "https://a.example/m.png"}],
    },
]


@functools.cache
def known_bodies(name: str, operation: str) -> tuple[Any, ...]:
    """Return the bodies that the spec's examples and the case files hold for an operation."""
    node = next(
        method
        for item in contract(name).document.root["paths"].values()
        for method in item.values()
        if isinstance(method, dict) and method.get("operationId") == operation
    )
    body, _ = contract(name).document.resolve(node["requestBody"])
    found = [one["value"] for one in body["content"]["application/json"].get("examples", {}).values()]
    if name == "toy":
        found += _TOY
    else:
        cases = [*read_cases(name, "pass"), *read_cases(name, "fail")]
        found += [case.body for case in cases if case.operation == operation]
    return tuple(one for one in found if len(str(one)) < 100_000)


@functools.cache
def _choices(name: str, operation: str) -> tuple[list[str], st.SearchStrategy[Any]]:
    """Return (names that members may have, values they may have)."""
    schema = contract(name).operations[operation].body
    assert schema is not None
    values = st.one_of(SCALARS, st.sampled_from(_values(schema.tree)), JSON)
    return [*schema.members, *_nested_names(schema.tree)], values


@st.composite
def bodies(draw: Callable[[Any], Any], name: str, operation: Operation) -> Any:
    """Draw a body: anything, or a known one with up to three places changed."""
    if draw(st.integers(0, 5)) == 0:
        return draw(JSON)
    assert operation.body is not None
    body = copy.deepcopy(draw(st.sampled_from(known_bodies(name, operation.id))))
    names, values = _choices(name, operation.id)
    for _ in range(draw(st.integers(0, 3))):
        body = _changed(draw, body, names, values)
    return body


def _changed(draw: Callable[[Any], Any], body: Any, names: list[str], values: Any) -> Any:
    """Return a body with one place changed: a member set, removed or renamed, an item added or replaced."""
    places: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            places.append(value)
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner)

    walk(body)
    if not places:
        return draw(values)
    place = draw(st.sampled_from(places))
    if isinstance(place, dict):
        name = draw(st.one_of(st.sampled_from([*names, *place]), NAMES))
        if name in place and draw(st.booleans()):
            del place[name]
        else:
            place[name] = draw(values)
    elif place and draw(st.booleans()):
        place[draw(st.integers(0, len(place) - 1))] = draw(values)
    else:
        place.append(copy.deepcopy(draw(st.sampled_from(place))) if place else draw(values))
    return body


def _nested_names(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = list(node.get("properties", ())) if isinstance(node.get("properties"), dict) else []
        return own + [name for value in node.values() for name in _nested_names(value)]
    if isinstance(node, list):
        return [name for item in node for name in _nested_names(item)]
    return []


def _values(node: Any) -> list[Any]:
    """Return what a schema allows by name, and the numbers at and beside its limits."""
    out: list[Any] = []
    if isinstance(node, dict):
        out += node.get("enum", []) if isinstance(node.get("enum"), list) else []
        for key in ("minimum", "maximum", "const", "default"):
            if isinstance(node.get(key), int | float | str):
                out.append(node[key])
                if not isinstance(node[key], bool | str):
                    out += [node[key] - 1, node[key] + 1, node[key] + 0.5]
        for value in node.values():
            out += _values(value)
    elif isinstance(node, list):
        for item in node:
            out += _values(item)
    return out or [None]
