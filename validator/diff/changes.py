"""What differs between two files beside the requests: paths, states, callbacks, texts, prices, limits.

Every place where the files differ is told here unless a request has proved it: nothing passes without a word.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from validator.contract.expressions import MISSING, Json, format_pointer
from validator.contract.model import Contract
from validator.contract.raw import METHODS
from validator.diff.documents import Edit, edits, same
from validator.diff.model import Change, Difference, Place
from validator.report import abbreviate

_NOTES: Final = frozenset(
    (
        *("info", "source", "evidence", "stateEvidence", "description", "summary", "title", "examples"),
        *("tags", "externalDocs", "$comment", "deprecated"),
    )
)
"""Words that say something to people and change no answer."""

_ROOTS: Final[Mapping[str, str]] = {
    "servers": "hosts",
    "security": "credentials",
    "securitySchemes": "credentials",
    "x-errors": "error texts",
    "x-limits": "limits",
    "x-variants": "variants",
    "x-lifecycles": "life cycle",
    "callbacks": "callbacks",
    "x-templates": "answers",
    "responses": "answers",
    "links": "links",
    "headers": "answers",
    "parameters": "parameters",
    "requestBody": "request rules",
    "schemas": "request rules",
}

_PRICES: Final = frozenset(("cost", "money", "charge"))
_TASKS: Final = frozenset(("id", "outputId", "unique", "page", "role", "of", "lifecycle", "whenEmpty"))

KINDS: Final = (
    *("operations", "hosts", "credentials", "parameters", "request rules", "tasks", "life cycle"),
    *("callbacks", "answers", "error texts", "links", "prices", "clips", "limits", "variants", "notes"),
)
"""What a change is about, in the order it is told; notes are what no program reads."""


def changes(old: Contract, new: Contract, found: Sequence[Difference]) -> tuple[Change, ...]:
    """Return the places where the files differ and no difference of requests says so."""
    proved = {(side, pointer) for one in found for side, pointer in _proved(one, old, new)}
    used = _request_schemas(old) | _request_schemas(new)
    out: dict[tuple[str, str, str], Change] = {}
    for edit in edits(old.document.root, new.document.root):
        at = edit.new_at if edit.before is MISSING else edit.old_at
        kind = _kind(at, edit, used)
        if kind == "request rules" and _is_proved(edit, proved):
            continue
        note = "no request was found that shows it" if kind == "request rules" else ""
        if kind == "request rules" and _is_silent(edit, old, new):
            note = "its rule is off"
        place = Place(
            old="" if edit.before is MISSING and not edit.is_entry else format_pointer(edit.old_at),
            new="" if edit.after is MISSING and not edit.is_entry else format_pointer(edit.new_at),
        )
        one = Change(
            kind=kind,
            name=_name(at, old if edit.after is MISSING else new),
            before=_short(edit.before),
            after=_short(edit.after),
            place=place,
            note=note,
        )
        out.setdefault((one.kind, place.old, place.new), one)
    return tuple(sorted(out.values(), key=lambda one: KINDS.index(one.kind)))


def _proved(one: Difference, old: Contract, new: Contract) -> Iterable[tuple[str, str]]:
    """Yield (side, JSON Pointer) of what a difference tells about."""
    for place in one.places:
        yield "old", place.old
        yield "new", place.new


def _is_proved(edit: Edit, proved: set[tuple[str, str]]) -> bool:
    """Tell whether a difference was found from this place, or from one that it is a part of."""
    for side, at, value in (("old", edit.old_at, edit.before), ("new", edit.new_at, edit.after)):
        pointer = format_pointer(at)
        if (side, pointer) in proved and (value is not MISSING or edit.is_entry):
            return True
        if "rows" in at and "x-capabilities" in at:
            # What a row offers is proved for the row as a whole.
            row = format_pointer(at[: at.index("rows") + 2])
            if (side, row) in proved:
                return True
    return False


def _is_silent(edit: Edit, old: Contract, new: Contract) -> bool:
    """Tell whether a place belongs to rules that are off in both files."""
    found = []
    for contract, at, value in ((old, edit.old_at, edit.before), (new, edit.new_at, edit.after)):
        if value is MISSING and not edit.is_entry:
            continue
        pointer = format_pointer(at) + "/"
        holders = [
            rule
            for rule in contract.rules.values()
            if pointer.startswith(rule.pointer.removesuffix("x-rule"))
        ]
        if holders:
            found.append(max(holders, key=lambda rule: len(rule.pointer)).effect)
    return bool(found) and set(found) == {"off"}


def _kind(at: Sequence[str | int], edit: Edit, used: frozenset[str]) -> str:
    steps = [step for step in at if isinstance(step, str)]
    first = steps[0] if steps else ""
    last = steps[-1] if steps else ""
    if first == "info" or (last in _NOTES and "properties" not in steps[-2:-1]):
        return "notes"
    if any(step in ("source", "evidence", "examples") for step in steps[-3:]) and "x-errors" not in steps[:1]:
        return "notes"
    if first == "paths":
        return _path_kind(steps)
    if first == "components" and len(steps) > 1:
        if steps[1] == "schemas":
            return _schema_kind(steps, used)
        return _ROOTS.get(steps[1], "answers")
    return _ROOTS.get(first, "notes" if first in ("openapi", "tags") else "operations")


def _path_kind(steps: Sequence[str]) -> str:
    rest = steps[2:] if len(steps) > 2 and steps[2] in METHODS else steps[1:]
    if len(steps) <= 3 and (len(steps) == 2 or steps[2] in METHODS):
        return "operations"
    word = rest[1] if len(rest) > 1 and rest[0] in METHODS else rest[0]
    word = steps[3] if len(steps) > 3 and steps[2] in METHODS else word
    if word == "x-task":
        inner = steps[4] if len(steps) > 4 else ""
        return "prices" if inner in _PRICES else "tasks"
    if word == "requestBody":
        return _schema_word(steps)
    if word == "responses" and "links" in steps:
        return "links"
    return _ROOTS.get(word, "operations")


def _schema_kind(steps: Sequence[str], used: frozenset[str]) -> str:
    if len(steps) > 2 and steps[2] not in used:
        return "answers"
    return _schema_word(steps)


def _schema_word(steps: Sequence[str]) -> str:
    """Return what a place inside a request's schema is about."""
    if "x-capabilities" in steps:
        inside = steps[steps.index("x-capabilities") + 1 :]
        if "cost" in inside:
            return "prices"
        if "output" in inside or "aspectRatio" in inside or inside[:1] == ["duration"]:
            return "clips"
    return "request rules"


def _request_schemas(contract: Contract) -> frozenset[str]:
    """Return the names of the schemas that requests are made of."""
    root = contract.document.root
    seen: set[str] = set()

    def follow(node: Json) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
                name = reference.split("/")[3]
                if name not in seen:
                    seen.add(name)
                    follow(root.get("components", {}).get("schemas", {}).get(name))
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for item in node:
                follow(item)

    for item in root["paths"].values():
        for method, node in item.items():
            if method in METHODS:
                follow(contract.document.resolve(node.get("requestBody", {}))[0])
                follow(node.get("parameters"))
        follow(item.get("parameters"))
    follow(root.get("components", {}).get("parameters"))
    follow(root.get("components", {}).get("requestBodies"))
    return frozenset(seen)


def _name(at: Sequence[str | int], contract: Contract) -> str:
    """Return what people call the place: the rule, the case, the row, or the last words of its path."""
    node: Any = contract.document.root
    best = ""
    for step in at:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(node, dict):
            word = node.get("x-rule")
            if isinstance(word, dict) and "id" in word:
                best = str(word["id"])
            elif isinstance(node.get("when"), dict):
                best = ", ".join(f"{key} {value}" for key, value in node["when"].items()) or "anything else"
            elif isinstance(node.get("match"), dict):
                best = ", ".join(
                    f"{key} {' or '.join(map(str, values))}" for key, values in node["match"].items()
                )
            elif isinstance(node.get("operationId"), str):
                best = node["operationId"]
    tail = ".".join(str(step) for step in at[-2:])
    return f"{best}: {tail}" if best else ".".join(str(step) for step in at[-3:])


def _short(value: Json) -> str:
    return "" if value is MISSING else abbreviate(value)


def sentence(edit: Edit) -> str:
    """Return an edit of a schema in words."""
    named = [str(step) for step in (edit.new_at if edit.before is MISSING else edit.old_at)]
    words = [step for step in named if not step.isdigit()]
    member = _member(named)
    word = words[-1] if words else "the schema"
    if edit.is_entry:
        if edit.after is MISSING:
            return f"{member}: {word} no longer has {abbreviate(edit.before)}"
        return f"{member}: {word} now has {abbreviate(edit.after)}"
    if edit.before is MISSING:
        return f"{member}: {_part(edit.after, word)} is new"
    if edit.after is MISSING:
        return f"{member}: {_part(edit.before, word)} is gone"
    if same(edit.before, edit.after):
        return f"{member}: {word}"
    return f"{member}: {word} was {abbreviate(edit.before)} and is {abbreviate(edit.after)}"


def _part(value: Json, word: str) -> str:
    if isinstance(value, dict) and isinstance(value.get("x-rule"), dict):
        return f"the rule {value['x-rule'].get('id')}"
    return f"{word} {abbreviate(value)}" if not isinstance(value, dict | list) else word


def _member(steps: Sequence[str]) -> str:
    """Return the member that a path through a schema is about, the way people write it."""
    out: list[str] = []
    for word, name in itertools.pairwise(steps):
        if word == "properties":
            out.append(name)
        elif word == "items" and out:
            out[-1] = out[-1] + "[]"
    return ".".join(out[-3:]) or "the body"
