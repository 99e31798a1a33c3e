"""Specs with one thing changed: everything that can be changed mechanically, one at a time.

A change is a function on a copy of the document; it says what it is about, so that a test can ask whether it
was named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.providers import TOY, contract
from validator.contract import SpecError
from validator.contract.compile import compile_document
from validator.contract.document import Document, check_document
from validator.contract.expressions import format_pointer
from validator.contract.model import Contract
from validator.diff.changes import _request_schemas

Path = tuple[str | int, ...]
Change = Callable[[Any], None]


@dataclass(frozen=True)
class Mutation:
    """One change: `rule` is whose assertion it is, "" for none; `is_of_requests` whether requests can show it."""

    kind: str
    at: Path
    rule: str
    is_of_requests: bool
    apply: Change

    def __str__(self) -> str:
        return f"{self.kind} {format_pointer(self.at)}"


def mutated(name: str, one: Mutation) -> Contract | str:
    """Return the contract of the changed spec, or why there is none."""
    root = copy.deepcopy(contract(name).document.root)
    one.apply(root)
    document = Document(file="changed.yaml", root=root)
    try:
        check_document(document)
        return compile_document(document)
    except SpecError as error:
        return error.sentence


def mutations(name: str) -> Iterator[Mutation]:
    """Yield every change of a provider's spec, in the order of the file."""
    known = contract(name)
    root = known.document.root
    for schema in sorted(_request_schemas(known)):
        yield from _schema(root["components"]["schemas"][schema], ("components", "schemas", schema), "", root)
    for path, item in root["paths"].items():
        yield Mutation("path gone", ("paths", path), "", True, _drop(("paths", path)))
        for method, node in item.items():
            at: Path = ("paths", path, method)
            for index, one in enumerate(node.get("parameters", ())):
                if "$ref" not in one:
                    yield from _parameter(one, (*at, "parameters", index))
            body = node.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if isinstance(body, dict) and "$ref" not in body:
                where = (*at, "requestBody", "content", "application/json", "schema")
                yield from _schema(body, where, "", root)
            yield from _task(node.get("x-task", {}), (*at, "x-task"))
    for key, one in root["components"].get("parameters", {}).items():
        yield from _parameter(one, ("components", "parameters", key))
    yield from _errors(root)
    yield from _others(root)


# --- requests ---------------------------------------------------------------------------------------------


def _schema(node: Any, at: Path, inherited: str, root: Any) -> Iterator[Mutation]:
    if not isinstance(node, dict):
        return
    own = node["x-rule"]["id"] if "x-rule" in node else ""
    rule = own or inherited

    def change(kind: str, word: str, apply: Change) -> Mutation:
        return Mutation(kind, (*at, word), rule, True, apply)

    for index, value in enumerate(node.get("enum", ())):
        yield change(f"enum without {value!r}", "enum", _drop((*at, "enum", index)))
    if "enum" in node:
        yield change("enum with one more", "enum", _append((*at, "enum"), "understudy-new"))
    if "const" in node:
        yield change("const changed", "const", _set((*at, "const"), _other(node["const"])))
    for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if word in node:
            for step in (-1, 1):
                yield change(f"{word} {step:+}", word, _set((*at, word), node[word] + step))
    for word in ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"):
        if word in node:
            for step in (-1, 1):
                if node[word] + step >= 0:
                    yield change(f"{word} {step:+}", word, _set((*at, word), node[word] + step))
    for word in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "enum"):
        if word in node and len([one for one in node if one != "x-rule"]) > 1:
            yield change(f"{word} gone", word, _drop((*at, word)))
    if "pattern" in node:
        yield change(
            "pattern tighter", "pattern", _set((*at, "pattern"), "^zz" + node["pattern"].lstrip("^"))
        )
    if "type" in node:
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        for kind in kinds if len(kinds) > 1 else ():
            yield change(f"type without {kind}", "type", _set((*at, "type"), [k for k in kinds if k != kind]))
        more = next(kind for kind in ("boolean", "number", "string") if kind not in kinds)
        yield change(f"type with {more}", "type", _set((*at, "type"), [*kinds, more]))
    for index, member in enumerate(node.get("required", ())):
        word = _set((*at, "required"), []) if len(node["required"]) == 1 else _drop((*at, "required", index))
        yield change(f"required without {member}", "required", word)
    for word in ("not", "if", "then", "else", "oneOf", "anyOf"):
        if word in node:
            yield change(f"{word} gone", word, _drop((*at, word)))
    if own:
        yield from _rule(node["x-rule"], (*at, "x-rule"))
    if "x-image" in node:
        yield from _image(node["x-image"], (*at, "x-image"), rule)
    for index, value in enumerate(node.get("x-absent", ())):
        yield change(f"x-absent without {value!r}", "x-absent", _drop((*at, "x-absent", index)))
    if "default" in node:
        yield Mutation("default changed", (*at, "default"), "", False, _set((*at, "default"), _choice(node)))
    if "x-capabilities" in node:
        yield from _map(node["x-capabilities"], (*at, "x-capabilities"), root)
    is_field = bool(own) and "type" in node
    below = "" if is_field else rule
    for word, value in node.items():
        if word in ("not", "if", "then", "else"):
            yield from _schema(value, (*at, word), rule, root)
        elif word in ("items", "contains", "additionalProperties"):
            yield from _schema(value, (*at, word), below, root)
        elif word in ("allOf", "anyOf", "oneOf"):
            for index, item in enumerate(value):
                if isinstance(item, dict) and "x-rule" in item and len(value) > 1:
                    yield Mutation(
                        "rule gone", (*at, word, index), item["x-rule"]["id"], True, _drop((*at, word, index))
                    )
                yield from _schema(item, (*at, word, index), rule, root)
        elif word in ("properties", "dependentSchemas"):
            for key, item in value.items():
                if word == "properties" and node.get("type") == "object" and "x-rule" in node:
                    yield Mutation("member gone", (*at, word, key), "", True, _drop((*at, word, key)))
                yield from _schema(item, (*at, word, key), below if word == "properties" else rule, root)


def _rule(word: Mapping[str, Any], at: Path) -> Iterator[Mutation]:
    effect = word.get("effect", "reject")
    for other in ("reject", "warn", "off"):
        if other != effect:
            yield Mutation(
                f"effect {effect} to {other}", (*at, "effect"), word["id"], True, _set((*at, "effect"), other)
            )
    yield Mutation("rule's message", (*at, "message"), "", False, _set((*at, "message"), "changed"))
    if "failure" in word:
        yield Mutation(
            "failure text", (*at, "failure"), word["id"], effect == "fail", _set((*at, "failure"), "changed")
        )


def _image(word: Mapping[str, Any], at: Path, rule: str) -> Iterator[Mutation]:
    for key, value in word.items():
        if isinstance(value, int):
            yield Mutation(f"{key} +1", (*at, key), rule, True, _set((*at, key), value + 1))
            yield Mutation(f"{key} -1", (*at, key), rule, True, _set((*at, key), value - 1))
        elif isinstance(value, list):
            for index, item in enumerate(value if len(value) > 1 else ()):
                yield Mutation(f"{key} without {item}", (*at, key), rule, True, _drop((*at, key, index)))
            more = {
                "carriers": ("url", "base64", "data-uri"),
                "mediaTypes": ("image/png", "image/jpeg", "image/webp"),
            }
            for item in more.get(key, ()):
                if item not in value:
                    yield Mutation(f"{key} with {item}", (*at, key), rule, True, _append((*at, key), item))
        elif isinstance(value, dict):
            for edge in value:
                yield Mutation(
                    f"{key} {edge}",
                    (*at, key, edge),
                    rule,
                    True,
                    _set((*at, key, edge), "2:1" if edge == "maximum" else "1:2"),
                )
        if len(word) > 1:
            yield Mutation(f"{key} gone", (*at, key), rule, True, _drop((*at, key)))


def _map(word: Mapping[str, Any], at: Path, root: Any) -> Iterator[Mutation]:
    ruled = {name: _ruled(schema, root) for name, schema in word.get("features", {}).items()}
    for name, schema in word.get("features", {}).items():
        if "$ref" not in schema:
            yield from _schema(schema, (*at, "features", name), "", root)
    for index, row in enumerate(word["rows"]):
        here = (*at, "rows", index)
        yield Mutation("row gone", here, "", True, _drop(here))
        for place, name in enumerate(row.get("features", ())):
            yield Mutation(f"row without {name}", here, ruled[name], True, _drop((*here, "features", place)))
        for name, rule in ruled.items():
            if rule and name not in row.get("features", ()):
                yield Mutation(
                    f"row with {name}",
                    here,
                    rule,
                    True,
                    _set((*here, "features"), [*row.get("features", ()), name]),
                )
        for key in ("cost", "output"):
            if key in row:
                yield Mutation(f"row's {key}", (*here, key), "", False, _bump((*here, key)))


def _ruled(schema: Any, root: Any) -> str:
    while "$ref" in schema:
        target = root
        for step in schema["$ref"][2:].split("/"):
            target = target[step]
        schema = target
    return schema["x-rule"]["id"] if "x-rule" in schema else ""


def _parameter(one: Mapping[str, Any], at: Path) -> Iterator[Mutation]:
    yield from _schema(one.get("schema"), (*at, "schema"), "", None)
    if one.get("in") != "path":
        flipped = not one.get("required", False)
        rule = one.get("schema", {}).get("x-rule", {}).get("id", "")
        yield Mutation(
            "parameter's required", (*at, "required"), rule, bool(rule), _set((*at, "required"), flipped)
        )


# --- the rest ---------------------------------------------------------------------------------------------


def _task(word: Mapping[str, Any], at: Path) -> Iterator[Mutation]:
    for index in range(len(word.get("unique", ()))):
        rule = word["unique"][index]["rule"]["id"]
        yield Mutation("unique gone", (*at, "unique", index), rule, True, _drop((*at, "unique", index)))
    for key in ("money", "charge", "id", "outputId"):
        if key in word:
            yield Mutation(f"task's {key}", (*at, key), "", False, _bump((*at, key)))


def _errors(root: Any) -> Iterator[Mutation]:
    for part in ("cases", "phrases"):
        for index, one in enumerate(root["x-errors"].get(part, ())):
            at: Path = ("x-errors", part, index)
            if index < len(root["x-errors"][part]) - 1:
                yield Mutation(f"{part} gone", at, "", False, _drop(at))
            for key in ("message", "text"):
                if key in one:
                    yield Mutation(
                        "text changed", (*at, key), "", False, _set((*at, key), "understudy " + one[key])
                    )
            if "status" in one:
                yield Mutation("status changed", (*at, "status"), "", False, _set((*at, "status"), 418))
            if "code" in one:
                yield Mutation(
                    "code changed", (*at, "code"), "", False, _set((*at, "code"), _other(one["code"]))
                )


def _others(root: Any) -> Iterator[Mutation]:
    for index in range(len(root.get("x-limits", ()))):
        yield Mutation("limit", ("x-limits", index, "quota"), "", False, _bump(("x-limits", index)))
    parts = root["components"]
    for name, life in parts.get("x-lifecycles", {}).items():
        for index, step in enumerate(life["transitions"]):
            if "after" in step:
                at: Path = ("components", "x-lifecycles", name, "transitions", index, "after")
                yield Mutation("pace", at, "", False, _set(at, "PT7S"))
    for name, scheme in parts.get("securitySchemes", {}).items():
        at = ("components", "securitySchemes", name)
        for key, value in scheme.get("x-jwt", {}).items():
            if key == "claims":
                for index, claim in enumerate(value):
                    if claim != scheme["x-jwt"].get("account"):
                        yield Mutation(
                            f"claim {claim} gone",
                            (*at, "x-jwt", key, index),
                            "",
                            False,
                            _drop((*at, "x-jwt", key, index)),
                        )
            elif key == "opaque":
                yield Mutation("opaque keys gone", (*at, "x-jwt", key), "", False, _drop((*at, "x-jwt", key)))
            elif key == "algorithms":
                yield Mutation(
                    "algorithm", (*at, "x-jwt", key), "", False, _set((*at, "x-jwt", key), ["HS512"])
                )
        if "name" in scheme:
            yield Mutation(
                "credential's header", (*at, "name"), "", False, _set((*at, "name"), "X-Understudy-Key")
            )
    for name, template in parts.get("x-templates", {}).items():
        for key in template.get("body", {}) if isinstance(template.get("body"), dict) else ():
            at = ("components", "x-templates", name, "body", key)
            yield Mutation("template's member gone", at, "", False, _drop(at))


# --- changes ----------------------------------------------------------------------------------------------


def _holder(root: Any, at: Path) -> Any:
    for step in at[:-1]:
        root = root[step]
    return root


def _set(at: Path, value: Any) -> Change:
    def apply(root: Any) -> None:
        _holder(root, at)[at[-1]] = value

    return apply


def _drop(at: Path) -> Change:
    def apply(root: Any) -> None:
        del _holder(root, at)[at[-1]]

    return apply


def _append(at: Path, value: Any) -> Change:
    def apply(root: Any) -> None:
        _holder(root, at)[at[-1]].append(value)

    return apply


def _bump(at: Path) -> Change:
    """Return a change of the first number in a part of the document, or of its first text."""

    def apply(root: Any) -> None:
        def visit(node: Any) -> bool:
            for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
                if isinstance(value, int | float) and not isinstance(value, bool):
                    node[key] = value + 1
                    return True
                if isinstance(value, dict | list) and visit(value):
                    return True
                if value in ("success", "create", "uuid", "nanoid"):
                    node[key] = {"success": "create", "create": "success", "uuid": "hex", "nanoid": "digits"}[
                        value
                    ]
                    return True
            return False

        visit(_holder(root, (*at, "x")))

    return apply


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}-changed"


def _choice(node: Mapping[str, Any]) -> Any:
    others = [value for value in node.get("enum", ()) if value != node["default"]]
    return others[0] if others else _other(node["default"])


__all__ = ["TOY", "Mutation", "mutated", "mutations"]
