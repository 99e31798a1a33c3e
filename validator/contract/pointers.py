"""What a spec names elsewhere than where it is described: members of requests, keys, rules that nothing reaches.

A name that leads nowhere would be left out of an answer, or a callback never sent, without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from validator.contract.document import nearest
from validator.contract.expressions import Json, expressions_in, format_pointer, parse_pointer
from validator.contract.model import BodySchema, Operation
from validator.contract.raw import RawOperation
from validator.contract.trees import Path
from validator.contract.workbench import Workbench


def check_names(
    bench: Workbench, operations: Mapping[str, Operation], raw: Mapping[str, RawOperation]
) -> None:
    """Raise SpecError for a pointer, a key or a rule that leads nowhere."""
    creating = [one for one in operations.values() if one.role == "create" and one.body is not None]
    for operation in creating:
        at = raw[operation.id].at
        for what, pointer in _own_pointers(operation):
            _check_pointer(bench, [operation.body], pointer, at, what)
        for pointer in operation.inputs:
            # A template may be shared: what it reads may be a member of one request only.
            _check_pointer(bench, [one.body for one in creating], pointer, at, "$task.input")
    _check_keys(bench, [one.body for one in creating])
    _check_reached(bench)


def _own_pointers(operation: Operation) -> Iterator[tuple[str, str]]:
    """Yield (what it is for, pointer) of what an operation reads from its own request."""
    assert operation.body is not None
    for unique in operation.unique:
        yield "unique", unique.pointer
    for link in operation.links:
        if link.pointer:
            yield f"the link {link.name}", link.pointer
    for callback in operation.callbacks:
        for one in expressions_in(callback.url_expression):
            if one.root == "request" and one.pointer is not None:
                yield f"the callback {callback.name}", format_pointer(one.pointer)
    capabilities = operation.body.capabilities
    if capabilities is not None:
        for pointer in capabilities.ratio_from:
            yield "the aspectRatio of x-capabilities", pointer
        if capabilities.duration is not None:
            yield "the duration of x-capabilities", capabilities.duration


def _check_pointer(
    bench: Workbench, bodies: Sequence[BodySchema | None], pointer: str, at: Path, what: str
) -> None:
    known = [body for body in bodies if body is not None]
    tokens = parse_pointer(pointer)
    if any(is_described(body.tree, tokens) for body in known):
        return
    names = {format_pointer((name,)) for body in known for name in body.members}
    raise bench.document.error(
        f"'{pointer}', which {what} reads, is no member of the request", at, hint=nearest(pointer, names)
    )


def is_described(schema: Any, tokens: Sequence[str]) -> bool:
    """Tell whether a schema describes the member that a pointer leads to, or leaves open what there is."""
    return _says(schema, tokens) != "no"


def _says(schema: Any, tokens: Sequence[str]) -> Literal["yes", "open", "no"]:
    """Return what a schema says of a member: that it is there, nothing at all, or that it is none."""
    if not tokens:
        return "yes"
    if not isinstance(schema, dict):
        return "open" if schema else "no"
    said = [_own(schema, tokens[0], tokens[1:])]
    said += [_says(branch, tokens) for branch in schema.get("allOf", ())]
    for key in ("anyOf", "oneOf"):
        branches = [_says(branch, tokens) for branch in schema.get(key, ())]
        if branches:
            said.append("yes" if "yes" in branches else "open" if "open" in branches else "no")
    return "yes" if "yes" in said else "no" if "no" in said else "open"


def _own(node: Mapping[str, Any], token: str, rest: Sequence[str]) -> Literal["yes", "open", "no"]:
    below = [node["properties"][token]] if token in node.get("properties", ()) else []
    below += [
        child for pattern, child in node.get("patternProperties", {}).items() if re.search(pattern, token)
    ]
    below += [node["items"]] if "items" in node and token.isdigit() else []
    if not below and node.get("additionalProperties"):
        below = [node["additionalProperties"]]
    if below:
        return "no" if all(_says(child, rest) == "no" for child in below) else "yes"
    types = node.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    is_leaf = bool(types) and not {"object", "array"} & types
    return "no" if is_leaf or "properties" in node or "items" in node else "open"


def _check_keys(bench: Workbench, bodies: Iterable[BodySchema | None]) -> None:
    """Raise SpecError for `$error.keys.name` where no capability map has such a key."""
    maps = [body.capabilities for body in bodies if body is not None and body.capabilities is not None]
    known = {key for one in maps for key in one.keys}
    word = bench.document.root["x-errors"]
    texts: list[tuple[Path, Json]] = []
    for group in ("phrases", "cases"):
        for index, one in enumerate(word.get(group, ())):
            texts.append((("x-errors", group, index), one.get("message", one.get("text"))))
    texts += [
        (parse_pointer(rule.pointer), [rule.message, rule.failure]) for rule in bench.book.rules.values()
    ]
    for path, text in texts:
        for one in expressions_in(text):
            if one.root == "error" and one.fields[:1] == ("keys",) and one.fields[1] not in known:
                raise bench.document.error(
                    f"'{one.fields[1]}' is no key of x-capabilities", path, hint=nearest(one.fields[1], known)
                )


def _check_reached(bench: Workbench) -> None:
    """Raise SpecError for a rule that no operation asks for."""

    def visit(node: Json, path: Path) -> None:
        if isinstance(node, list):
            for index, item in enumerate(node):
                visit(item, (*path, index))
        if not isinstance(node, dict):
            return
        word = node.get("x-rule")
        if isinstance(word, dict) and "id" in word and word["id"] not in bench.book.rules:
            raise bench.document.error(f"rule '{word['id']}' belongs to nothing an operation uses", path)
        for name, value in node.items():
            # Patches of variants are part of the document only once they are applied, and samples never.
            if name not in ("x-variants", "examples", "example"):
                visit(value, (*path, name))

    visit(bench.document.root, ())
