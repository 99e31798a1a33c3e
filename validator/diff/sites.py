"""Where in a body the nodes of a schema apply, and which values are worth trying there.

A value is worth trying where a schema names it, or where it lies on one side or the other of a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from validator.contract.expressions import MISSING, Json
from validator.contract.trees import IN_PLACE, IN_PLACE_LISTS, IN_PLACE_MAPS
from validator.diff.documents import text_of

ANY: Final = "*"
"""The step to the entries of a list, or to members that have no name."""

LONGEST: Final = 20_000
"""Characters of a text, or entries of a list, that are made to lie beyond a bound."""

Place = tuple[str, ...]
"""Steps from the body to a member, :data:`ANY` for every entry of a list."""

Texts = Callable[[str], Sequence[str]]
"""Gives texts that match a regular expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node of a schema: its path in the tree, where it applies, and the rule that answers for it."""

    at: tuple[str | int, ...]
    place: Place
    node: Mapping[str, Any]
    rule: str


def sites(tree: Json) -> Iterator[Site]:
    """Yield every node of a schema tree, those of a capability map's features included."""

    def visit(node: Any, at: tuple[str | int, ...], place: Place, inherited: str) -> Iterator[Site]:
        if not isinstance(node, dict):
            return
        own = node["x-rule"]["id"] if "x-rule" in node else ""
        rule = own or inherited
        yield Site(at=at, place=place, node=node, rule=rule)
        below = "" if own and "type" in node else rule
        for name, value in node.items():
            if name in IN_PLACE:
                yield from visit(value, (*at, name), place, rule)
            elif name in IN_PLACE_LISTS:
                for index, item in enumerate(value):
                    yield from visit(item, (*at, name, index), place, rule)
            elif name in IN_PLACE_MAPS:
                for key, item in value.items():
                    yield from visit(item, (*at, name, key), place, rule)
            elif name == "properties":
                for key, item in value.items():
                    yield from visit(item, (*at, name, key), (*place, key), below)
            elif name in ("items", "contains", "additionalProperties"):
                yield from visit(value, (*at, name), (*place, ANY), below)
            elif name == "prefixItems":
                for index, item in enumerate(value):
                    yield from visit(item, (*at, name, index), (*place, ANY), below)
            elif name == "patternProperties":
                for key, item in value.items():
                    yield from visit(item, (*at, name, key), (*place, ANY), below)
            elif name == "x-capabilities":
                for key, item in value.get("features", {}).items():
                    yield from visit(item, (*at, name, "features", key), place, rule)

    yield from visit(tree, (), (), "")


def holder(known: Mapping[tuple[str | int, ...], Site], path: Sequence[str | int]) -> Site:
    """Return the innermost node of a tree that a path into it leads through."""
    for length in range(len(path), -1, -1):
        site = known.get(tuple(path[:length]))
        if site is not None:
            return site
    return Site(at=(), place=(), node={}, rule="")


def no_texts(pattern: str) -> Sequence[str]:
    """Return no text: for those who can make none."""
    return ()


class Values:
    """The values worth trying at each place of a body, from the nodes of both schemas."""

    def __init__(self, known: Sequence[Site], *, texts: Texts = no_texts) -> None:
        """Collect them."""
        self._texts = texts
        self._nodes: dict[Place, list[Mapping[str, Any]]] = {}
        for site in known:
            self._nodes.setdefault(site.place, []).append(site.node)
        self._memo: dict[Place, list[Json]] = {}

    @property
    def places(self) -> tuple[Place, ...]:
        """Return the places that any schema speaks of."""
        return tuple(self._nodes)

    def at(self, place: Place) -> list[Json]:
        """Return the values of a place, each once."""
        if place not in self._memo:
            found: list[Json] = []
            for node in self._nodes.get(place, ()):
                found += self.of(node, place)
            if place:
                found += [self.plain(place), "", "a", None, True, 0, 1, 1.5, [], {}, "-", ["a"], {"a": "a"}]
            self._memo[place] = unique(found)
        return self._memo[place]

    def of(self, node: Mapping[str, Any], place: Place) -> list[Json]:
        """Return the values that one node draws a line between."""
        out: list[Json] = [*node.get("enum", ())]
        out += [node[word] for word in ("const", "default") if word in node]
        for value in list(out):
            # The same value as another type is what clients send by mistake.
            if isinstance(value, str) and value.lstrip("-").isdigit() and len(value) < 16:
                out.append(int(value))
            elif isinstance(value, int | float) and not isinstance(value, bool):
                out.append(str(value))
        for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if isinstance(bound := node.get(word), int | float):
                out += [bound, bound - 1, bound + 1, bound - 0.01, bound + 0.01, str(bound)]
        if isinstance(step := node.get("multipleOf"), int | float):
            out += [step, 2 * step, 3 * step, step / 2]
        for word in ("minLength", "maxLength"):
            if isinstance(length := node.get(word), int):
                out += ["a" * n for n in (length - 1, length, length + 1) if 0 <= n <= LONGEST]
        for word in ("minItems", "maxItems"):
            if isinstance(count := node.get(word), int):
                item = self.plain((*place, ANY))
                out += [[item] * n for n in (count - 1, count, count + 1) if 0 <= n <= LONGEST]
        if node.get("uniqueItems"):
            item = self.plain((*place, ANY))
            out += [[item], [item, item]]
        for word in ("minProperties", "maxProperties"):
            if isinstance(count := node.get(word), int) and 0 <= count <= 1_000:
                out += [{f"a{n}": "a" for n in range(size)} for size in (count - 1, count, count + 1)]
        if isinstance(pattern := node.get("pattern"), str):
            out += self._texts(pattern)
        for name in _kinds(node):
            out.append(_PLAIN[name])
        return out

    def plain(self, place: Place, *, depth: int = 0) -> Json:
        """Return a simple value that most likely fits a place: its first word, its lowest number."""
        nodes = self._nodes.get(place, [])
        for word in ("const", "enum", "default"):
            for node in nodes:
                if word in node:
                    return node["enum"][0] if word == "enum" else node[word]
        kinds = [kind for node in nodes for kind in _kinds(node)]
        kind = kinds[0] if kinds else "string"
        if kind == "object" and depth < 8:
            needed = {name for node in nodes for name in node.get("required", ())}
            return {name: self.plain((*place, name), depth=depth + 1) for name in sorted(needed)}
        if kind == "array" and depth < 8:
            least = max((node.get("minItems", 0) for node in nodes), default=0)
            return [self.plain((*place, ANY), depth=depth + 1)] * min(max(least, 1), 100)
        if kind in ("integer", "number"):
            return max((node["minimum"] for node in nodes if "minimum" in node), default=1)
        if kind == "string":
            if any("x-image" in node for node in nodes):
                return "https://example.com/a.png"
            patterns = [node["pattern"] for node in nodes if "pattern" in node]
            made = self._texts(patterns[0]) if patterns else ()
            if made:
                return made[0]
            return "a" * max((node.get("minLength", 1) for node in nodes), default=1)
        return _PLAIN[kind]


_PLAIN: Final[Mapping[str, Json]] = {
    "string": "a",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
    "array": [],
    "object": {},
}


def _kinds(node: Mapping[str, Any]) -> list[str]:
    kinds = node.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def unique(values: Sequence[Json]) -> list[Json]:
    """Return the values without those that are there before."""
    return list({text_of(value): value for value in values}.values())


def put(body: Json, place: Place, value: Json, values: Values) -> Json:
    """Return the body with a value at a place, MISSING taking it away; what is above it is made where it is not.

    In a list it is the first entry that is meant.
    """
    return _put(body, place, (), value, values)


def _put(node: Any, rest: Place, above: Place, value: Json, values: Values) -> Json:
    if not rest:
        return value
    step, further = rest[0], rest[1:]
    here = (*above, step)
    if step == ANY:
        entries = list(node) if isinstance(node, list) else []
        if not entries:
            if value is MISSING:
                return entries
            entries = [values.plain(here)]
        if not further and value is MISSING:
            return entries[1:]
        entries[0] = _put(entries[0], further, here, value, values)
        return entries
    members = dict(node) if isinstance(node, dict) else {}
    if not further and value is MISSING:
        members.pop(step, None)
        return members
    if step not in members and value is MISSING:
        return members
    below = members.get(step, MISSING)
    members[step] = _put(values.plain(here) if below is MISSING else below, further, here, value, values)
    return members
