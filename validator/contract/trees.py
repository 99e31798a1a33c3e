"""Schema trees: Schema Objects with their references resolved, and how to walk them.

Holds the closed list of keywords that are understood.  Knows nothing of requests or engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from validator.contract.document import Document, nearest
from validator.contract.expressions import Json

Path = tuple[str | int, ...]
"""Steps from the root of a tree, or of a document, to a node."""

ASSERTIONS: Final = frozenset(
    (
        *("type", "enum", "const"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern"),
        *("minItems", "maxItems", "uniqueItems"),
        *("minProperties", "maxProperties", "required", "dependentRequired"),
    )
)
IN_PLACE_LISTS: Final = frozenset(("allOf", "anyOf", "oneOf"))
IN_PLACE: Final = frozenset(("not", "if", "then", "else"))
IN_PLACE_MAPS: Final = frozenset(("dependentSchemas",))
CHILD: Final = frozenset(("items", "additionalProperties", "contains", "propertyNames"))
CHILD_LISTS: Final = frozenset(("prefixItems",))
CHILD_MAPS: Final = frozenset(("properties", "patternProperties"))
ANNOTATIONS: Final = frozenset(
    (
        *("title", "description", "default", "examples", "deprecated"),
        *("readOnly", "writeOnly", "format", "$comment"),
    )
)
WORDS: Final = frozenset(("x-rule", "x-image", "x-capabilities", "x-absent"))
_KNOWN: Final = (
    ASSERTIONS
    | IN_PLACE_LISTS
    | IN_PLACE
    | IN_PLACE_MAPS
    | CHILD
    | CHILD_LISTS
    | CHILD_MAPS
    | ANNOTATIONS
    | WORDS
    | {"$ref"}
)


@dataclass(slots=True)
class Tree:
    """A schema with its references resolved, and where each of its nodes stands in the document."""

    root: Any
    origins: dict[Path, Path]


def inline(document: Document, node: Json, path: Path) -> Tree:
    """Return the schema at this path of the document with every reference replaced by its target.

    Raises SpecError for a keyword that is not understood, and for a schema that contains itself.
    """
    origins: dict[Path, Path] = {}

    def visit(node: Json, at: Path, origin: Path, above: tuple[Path, ...]) -> Any:
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise document.error("is no Schema Object", origin)
        if "$ref" in node:
            target, target_path = document.resolve({"$ref": node["$ref"]}, origin)
            if target_path in above:
                raise document.error("a schema that contains itself cannot be compiled", origin)
            beside = {name: value for name, value in node.items() if name != "$ref"}
            if set(beside) <= ANNOTATIONS:
                resolved = visit(target, at, target_path, (*above, target_path))
                return {**resolved, **beside} if isinstance(resolved, dict) else resolved
            # Assertions beside $ref hold as well as the target's: JSON Schema 2020-12, 8.2.3.1.
            raise document.error(
                "assertions beside $ref are not compiled", origin, hint="put both into allOf"
            )
        origins[at] = origin
        out: dict[str, Any] = {}
        for name, value in node.items():
            if name not in _KNOWN:
                raise document.error(
                    f"the keyword '{name}' is not understood", (*origin, name), hint=nearest(name, _KNOWN)
                )
            if name in IN_PLACE or name in CHILD:
                out[name] = visit(value, (*at, name), (*origin, name), above)
            elif name in IN_PLACE_LISTS or name in CHILD_LISTS:
                out[name] = [
                    visit(item, (*at, name, index), (*origin, name, index), above)
                    for index, item in enumerate(value)
                ]
            elif name in IN_PLACE_MAPS or name in CHILD_MAPS:
                out[name] = {
                    key: visit(item, (*at, name, key), (*origin, name, key), above)
                    for key, item in value.items()
                }
            elif name == "x-capabilities":
                features = {
                    key: visit(item, (*at, name, "features", key), (*origin, name, "features", key), above)
                    for key, item in value.get("features", {}).items()
                }
                out[name] = {**value, "features": features}
            else:
                out[name] = value
        return out

    return Tree(root=visit(node, (), path, (path,)), origins=origins)


def inline_schema(document: Document, node: Json, path: Path) -> Json:
    """Return a schema with every reference replaced by its target; raises SpecError."""
    return inline(document, node, path).root


def children(node: Mapping[str, Any]) -> Iterator[tuple[Path, Any, bool]]:
    """Yield (path below the node, schema, whether it applies to the same instance)."""
    for name, value in node.items():
        if name in IN_PLACE or name in CHILD:
            yield (name,), value, name in IN_PLACE
        elif name in IN_PLACE_LISTS or name in CHILD_LISTS:
            for index, item in enumerate(value):
                yield (name, index), item, name in IN_PLACE_LISTS
        elif name in IN_PLACE_MAPS or name in CHILD_MAPS:
            for key, item in value.items():
                yield (name, key), item, name in IN_PLACE_MAPS


def applicators(node: Mapping[str, Any]) -> frozenset[str]:
    """Return the keywords of a node that apply other schemas, our map of combinations included."""
    return (IN_PLACE | IN_PLACE_LISTS | IN_PLACE_MAPS | CHILD | CHILD_LISTS | CHILD_MAPS) & node.keys() | (
        {"x-capabilities"} & node.keys()
    )


def standing(node: Mapping[str, Any], holds: bool) -> Iterator[tuple[Path, Any, bool]]:
    """Yield the children of a node that still count when its own rule does, or does not, hold.

    Without its rule a condition is gone, but for parts in allOf that may have rules of their own; a rule
    beside `type` is about the node alone, and leaves the members as they are.
    """
    is_field = "x-rule" in node and "type" in node
    for key, child, is_in_place in children(node):
        if holds or key[0] == "allOf" or (is_field and not is_in_place):
            yield key, child, is_in_place


def place(out: dict[str, Json], key: Path, value: Json) -> None:
    """Set out[a] = value for (a,), and out[a][b] = value for (a, b); an integer b appends."""
    if len(key) == 1:
        out[str(key[0])] = value
    elif isinstance(key[1], int):
        out.setdefault(str(key[0]), []).append(value)
    else:
        out.setdefault(str(key[0]), {})[key[1]] = value


def strip(node: Any) -> Any:
    """Return a schema without our words and annotations."""
    if not isinstance(node, dict):
        return node
    out = {name: value for name, value in node.items() if name in ASSERTIONS}
    for key, child, _ in children(node):
        place(out, key, strip(child))
    return out


def find(node: Any, word: str) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) of a word wherever it stands in a schema, the root's own first."""
    if isinstance(node, dict):
        if word in node:
            yield (), node[word]
        for key, child, _ in children(node):
            for at, value in find(child, word):
                yield (*key, *at), value
