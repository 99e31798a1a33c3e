"""Schemas that ask for one flaw: everything a body must be, but for one word of one rule.

A flaw is a change to the engine's schema, so that what constructs valid bodies constructs flawed ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from validator.contract.expressions import Json
from validator.contract.model import Owner
from validator.strategies.demands import ONE_ITEM, Logic, Schema, failures, weight

_HOLDERS: Final = frozenset(("allOf", "properties", "items", "dependentSchemas", "if", "then", "else"))
"""Words whose findings belong to the schemas in them, each with an owner of its own."""

TreePath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One way to break a rule: a schema of flawed bodies, and the member at fault ('*' for an item).

    `strict` keeps every other word, `loose` leaves out the other words of the same schema.
    """

    member: tuple[str, ...]
    strict: Schema
    loose: Schema
    weight: int


@dataclass(frozen=True, slots=True)
class Source:
    """A compiled schema, who answers for what in it, and which values count as absent."""

    schema: Schema
    owners: Mapping[TreePath, Owner]
    absent: tuple[Json, ...] = ()

    def owner(self, at: TreePath) -> Owner | None:
        """Return who answers for a place of the schema."""
        for length in range(len(at), -1, -1):
            found = self.owners.get(at[:length])
            if found is not None:
                return found
        return None

    def is_of(self, at: TreePath, rules: Collection[str | None]) -> bool:
        """Tell whether one of these rules answers for a place; None is the rule about unknown members."""
        found = self.owner(at)
        return found is not None and (found.rule.id if found.rule else None) in rules

    def is_guard(self, node: Mapping[str, Any], word: str) -> bool:
        """Tell whether a word only says that a member is not written as absent."""
        return word == "not" and bool(self.absent) and node["not"] == {"enum": list(self.absent)}


def flaws(source: Source, rule: str | None, logic: Logic) -> list[Flaw]:
    """Return the ways to break a rule, those that need least first; [] where it says nothing here."""
    found = list(_walk(source, rule, logic, source.schema, (), (), lambda node: node))
    return sorted(found, key=lambda flaw: flaw.weight)


def _walk(
    source: Source,
    rule: str | None,
    logic: Logic,
    node: Schema,
    at: TreePath,
    member: tuple[str, ...],
    whole: Callable[[Schema], Schema],
) -> Iterator[Flaw]:
    if not isinstance(node, dict):
        if node is False and source.is_of(at, (rule,)):
            yield Flaw(member=member, strict=whole(True), loose=whole(True), weight=0)
        return
    for word in node:
        if word in _HOLDERS:
            for key, child, step, place in _below(node, word):
                yield from _walk(
                    source,
                    rule,
                    logic,
                    child,
                    (*at, *key),
                    (*member, *step),
                    lambda inner, place=place: whole(place(inner)),  # type: ignore[misc]
                )
        elif not source.is_guard(node, word) and source.is_of(
            (*at, word) if word == "additionalProperties" else at, (rule,)
        ):
            rest = {name: value for name, value in node.items() if name != word}
            bare = {
                name: value for name, value in rest.items() if name in _HOLDERS or source.is_guard(node, name)
            }
            for way in failures(node, word, logic.negation):
                strict, loose = _with(rest, way), _with(bare, way)
                yield Flaw(member=member, strict=whole(strict), loose=whole(loose), weight=weight(strict))


def _below(
    node: Mapping[str, Any], word: str
) -> Iterator[tuple[TreePath, Schema, tuple[str, ...], Callable[[Schema], Schema]]]:
    """Yield (path, schema, step in the instance, what puts a flawed schema in its place) of what a word holds."""
    value = node[word]
    rest = {name: schema for name, schema in node.items() if name != word}
    match word:
        case "allOf":
            for index, branch in enumerate(value):
                others = [one for other, one in enumerate(value) if other != index]
                yield (
                    (word, index),
                    branch,
                    (),
                    lambda inner, others=others: {**rest, "allOf": [*others, inner]},  # type: ignore[misc]
                )
        case "properties":
            for name, schema in value.items():
                yield (
                    (word, name),
                    schema,
                    (name,),
                    lambda inner, name=name: _with(  # type: ignore[misc]
                        node | {"properties": value | {name: inner}}, {"type": "object", "required": [name]}
                    ),
                )
        case "items":
            yield (
                (word,),
                value,
                ("*",),
                lambda inner: _with(node, {"type": "array", "minItems": 1, ONE_ITEM: [value, inner]}),
            )
        case "dependentSchemas":
            for name, schema in value.items():
                others = {other: one for other, one in value.items() if other != name}
                yield (
                    (word, name),
                    schema,
                    (),
                    lambda inner, name=name, others=others: _with(  # type: ignore[misc]
                        rest | {"dependentSchemas": others},
                        {"allOf": [{"type": "object", "required": [name]}, inner]},
                    ),
                )
        case "then" if "if" in node:
            bare = {name: schema for name, schema in rest.items() if name not in ("if", "else")}
            yield (word,), value, (), lambda inner: _with(bare, {"allOf": [node["if"], inner]})
        case "else" if "if" in node:
            bare = {name: schema for name, schema in rest.items() if name not in ("if", "then")}
            yield (word,), value, (), lambda inner: _with(bare, {"allOf": [{"not": node["if"]}, inner]})


def _with(node: Mapping[str, Any], other: Schema) -> Schema:
    """Return a schema that asks for both."""
    return {**node, "allOf": [*node.get("allOf", ()), other]}


def without(source: Source, rules: Collection[str | None]) -> Source:
    """Return the schema without what these rules ask for; the places of the rest, and so their owners, stay."""
    if not rules:
        return source
    return Source(_less(source, rules, source.schema, ()), source.owners, source.absent)


def _less(source: Source, rules: Collection[str | None], node: Schema, at: TreePath) -> Schema:
    if not isinstance(node, dict):
        return True if source.is_of(at, rules) and node is False else node
    is_dropped = source.is_of(at, rules)
    out: dict[str, Any] = {}
    for word, value in node.items():
        match word:
            case "allOf":
                out[word] = [
                    _less(source, rules, branch, (*at, word, index)) for index, branch in enumerate(value)
                ]
            case "properties" | "dependentSchemas":
                out[word] = {
                    name: _less(source, rules, schema, (*at, word, name)) for name, schema in value.items()
                }
            case "items" | "then" | "else":
                out[word] = _less(source, rules, value, (*at, word))
            case "if":
                out[word] = value
            case "additionalProperties":
                if not source.is_of((*at, word), rules):
                    out[word] = value
            case _:
                if not is_dropped or source.is_guard(node, word):
                    out[word] = value
    return out
