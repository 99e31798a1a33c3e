"""Request bodies and parameters, compiled: one JSON Schema that is true only without any finding.

Each error of that schema leads back to the rule that answers for it.  Nothing here looks at a request.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema_rs

from validator.contract.capabilities import compile_capabilities
from validator.contract.document import Document, nearest
from validator.contract.engine import compile_engine
from validator.contract.expressions import Json, format_pointer
from validator.contract.model import BodySchema, ImageRule, ImageSite, Owner, Rule
from validator.contract.rules import RuleBook, assign_rules
from validator.contract.trees import ASSERTIONS, Path, Tree, children, find, inline, place, standing, strip

URL_PATTERN: Final = r"[hH][tT][tT][pP][sS]?://[^\s/?#]+(?:[/?#]\S*)?"
BASE64_PATTERN: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)"
CARRIER_PATTERNS: Final[Mapping[str, str]] = {
    "url": URL_PATTERN,
    "base64": BASE64_PATTERN,
    "data-uri": r"data:image/[A-Za-z0-9.+-]+;base64," + BASE64_PATTERN,
    "placeholder": r"<[^<>]*>",
}
"""How each carrier of a picture is written; RFC 4648 section 4 with padding, RFC 2397 for data URIs."""


def carrier_pattern(carriers: Sequence[str]) -> str:
    """Return the regular expression, ECMA and anchored, of a picture in any of these carriers."""
    return "^(?:" + "|".join(CARRIER_PATTERNS[name] for name in carriers) + ")$"


# --- the whole body ---------------------------------------------------------------------------------------


def compile_body_schema(
    node: Json, path: Path, *, media_type: str, required: bool, book: RuleBook
) -> BodySchema:
    """Compile the schema of a request body at this path of the document; raises SpecError."""
    document = book.document
    tree = inline(document, node, path)
    ruled = assign_rules(tree, book, needs_rules=True)
    capabilities = None
    for at, word in find(tree.root, "x-capabilities"):
        if capabilities is not None or any(step not in ("allOf",) for step in at if isinstance(step, str)):
            raise document.error(
                "x-capabilities stands once, at the top of the body or in its allOf", tree.origins[at]
            )
        capabilities = compile_capabilities(word, at, tree, book, ruled)
    absent = tuple(tree.root.get("x-absent", ())) if isinstance(tree.root, dict) else ()
    for at, _ in find(tree.root, "x-absent"):
        if at != ():
            raise document.error("x-absent stands at the top of the body", tree.origins[at])
    _check_members(tree, document)
    engine = _Engine(
        tree=tree,
        ruled=ruled,
        document=document,
        absent=absent,
        notes_unknown=book.unknown_member != "off",
    )
    schema = engine.build()
    return BodySchema(
        media_type=media_type,
        required=required,
        tree=tree.root,
        engine=schema,
        validator=compile_engine(schema, document, path),
        owners=engine.owners,
        absent=absent,
        images=_image_sites(tree, ruled, document),
        capabilities=capabilities,
        defaults=dict(_defaults(tree.root, ())),
        members=tuple(tree.root.get("properties", {})) if isinstance(tree.root, dict) else (),
    )


def compile_value_schema(
    node: Json, path: Path, *, book: RuleBook
) -> tuple[Json, jsonschema_rs.Draft202012Validator, Mapping[Path, Owner]]:
    """Compile the schema of a parameter: (schema, validator, owners); raises SpecError."""
    tree = inline(book.document, node, path)
    # The text of a parameter is always a string: saying so refuses nothing and needs no rule.
    is_any_text = strip(tree.root) in ({}, {"type": "string"})
    ruled = assign_rules(tree, book, needs_rules=not is_any_text)
    engine = _Engine(tree=tree, ruled=ruled, document=book.document, absent=())
    schema = engine.build()
    return schema, compile_engine(schema, book.document, path), engine.owners


def _defaults(node: Any, at: tuple[str, ...]) -> Iterator[tuple[str, Json]]:
    if isinstance(node, dict):
        if "default" in node and at:
            yield format_pointer(at), node["default"]
        for name, child in node.get("properties", {}).items():
            yield from _defaults(child, (*at, name))


def _check_members(tree: Tree, document: Document) -> None:
    """Raise SpecError where a condition names a member that the structure it belongs to does not have.

    Such a condition could never be met, and a typing mistake in it would go unseen.
    """

    def visit(node: Any, at: Path, known: frozenset[str] | None) -> None:
        if not isinstance(node, dict):
            return
        if node.get("type") == "object" and "properties" in node:
            known = frozenset(node["properties"])
        named = {*node.get("properties", ()), *node.get("required", ())}
        named |= {*node.get("dependentSchemas", ()), *node.get("dependentRequired", ())}
        for name in sorted(named - (named if known is None else known)):
            raise document.error(
                f"'{name}' is no member here", tree.origins[at], hint=nearest(name, known or ())
            )
        for key, child, is_in_place in children(node):
            visit(child, (*at, *key), known if is_in_place else None)
        for name, feature in node.get("x-capabilities", {}).get("features", {}).items():
            visit(feature, (*at, "x-capabilities", "features", name), known)

    visit(tree.root, (), None)


# --- engine -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Engine:
    """Builds the schema that the check runs, and says who answers for each of its nodes."""

    tree: Tree
    ruled: Mapping[Path, Rule]
    document: Document
    absent: tuple[Json, ...]
    notes_unknown: bool = True
    owners: dict[Path, Owner] = field(default_factory=dict)

    def build(self) -> Json:
        """Return the engine schema; fills `owners`."""
        return self._visit(self.tree.root, (), (), is_nested=False, is_conditional=False)

    def _visit(self, node: Any, at: Path, to: Path, *, is_nested: bool, is_conditional: bool) -> Json:
        """Translate the node at tree path `at` into the engine schema at path `to`."""
        if not isinstance(node, dict):
            return node
        rule = self.ruled.get(at)
        holds = rule is None or rule.effect != "off"
        out: dict[str, Json] = {}
        extra: list[Json] = []
        if rule is not None and holds:
            self.owners[to] = Owner(rule=rule, stage="field" if is_nested else "condition")
        if holds:
            out = {name: node[name] for name in node if name in ASSERTIONS}
            if carriers := node.get("x-image", {}).get("carriers"):
                extra.append({"pattern": carrier_pattern(carriers)})
        is_structure = node.get("type") == "object" and "properties" in node and not is_conditional
        for key, child, is_in_place in standing(node, holds):
            path = (*to, "allOf", len(out.get("allOf", ()))) if key[0] == "allOf" else (*to, *key)
            schema = self._visit(
                child,
                (*at, *key),
                path,
                is_nested=is_nested or not is_in_place,
                # allOf always applies; below the others a member may be unknown to one branch only.
                is_conditional=is_conditional or (is_in_place and key[0] != "allOf"),
            )
            if key[0] == "allOf" and schema == {}:
                # Nothing of it is left for the engine to run.
                for known in [known for known in self.owners if known[: len(path)] == path]:
                    del self.owners[known]
                continue
            if key[0] == "properties" and self.absent and is_structure:
                schema = _guard(schema, self.absent)
            place(out, key, schema)
        if extra:
            out["allOf"] = [*out.get("allOf", ()), *extra]
        if is_structure and "additionalProperties" not in node and self.notes_unknown:
            out["additionalProperties"] = False
            self.owners[(*to, "additionalProperties")] = Owner(rule=None, stage="field")
        return out


def _guard(schema: Json, absent: Sequence[Json]) -> Json:
    """Return the schema with absent values refused: a body that holds one takes the long way round."""
    guard = {"not": {"enum": list(absent)}}
    if not isinstance(schema, dict):
        return guard if schema else False
    return {**schema, **guard} if "not" not in schema else {"allOf": [guard], **schema, "not": schema["not"]}


# --- pictures ---------------------------------------------------------------------------------------------


def _image_sites(tree: Tree, ruled: Mapping[Path, Rule], document: Document) -> tuple[ImageSite, ...]:
    """Collect where pictures may be; raises SpecError for one whose place depends on a condition."""
    found: dict[tuple[str, ...], list[ImageRule]] = {}

    def visit(node: Any, at: Path, instance: tuple[str, ...], is_certain: bool) -> None:
        if not isinstance(node, dict):
            return
        if "x-image" in node:
            if not is_certain:
                raise document.error(
                    "x-image cannot stand below a condition", tree.origins[at], hint="move it to allOf"
                )
            if not instance:
                raise document.error(
                    "the whole body is no picture", tree.origins[at], hint="x-image is for members"
                )
            rule = ruled[at]
            if rule.effect != "off":
                found.setdefault(instance, []).append(_image_rule(node["x-image"], rule))
        for key, child, is_in_place in children(node):
            if is_in_place:
                visit(child, (*at, *key), instance, is_certain and key[0] == "allOf")
            elif key[0] in ("properties", "items"):
                step = "*" if key[0] == "items" else str(key[1])
                visit(child, (*at, *key), (*instance, step), is_certain)
            else:
                visit(child, (*at, *key), instance, False)

    visit(tree.root, (), (), True)
    return tuple(
        ImageSite(
            pattern=pattern, pointer="" if "*" in pattern else format_pointer(pattern), rules=tuple(rules)
        )
        for pattern, rules in found.items()
    )


def _image_rule(word: Mapping[str, Json], rule: Rule) -> ImageRule:
    ratio = word.get("aspectRatio", {})
    return ImageRule(
        rule=rule,
        media_types=tuple(word.get("mediaTypes", ())),
        max_bytes=word.get("maxBytes"),
        min_width=word.get("minWidth"),
        min_height=word.get("minHeight"),
        min_ratio=ratio_value(ratio["minimum"]) if "minimum" in ratio else None,
        max_ratio=ratio_value(ratio["maximum"]) if "maximum" in ratio else None,
        ratio_texts=(ratio.get("minimum", ""), ratio.get("maximum", "")),
        same_ratio=word.get("sameAspectRatio"),
        same_size=word.get("sameSize"),
        carriers=tuple(word.get("carriers", ())),
    )


@functools.lru_cache(maxsize=256)
def ratio_value(text: str) -> float:
    """Return width divided by height of a ratio like '16:9'; raises ValueError."""
    width, _, height = text.partition(":")
    return float(width) / float(height)


# --- absent members ---------------------------------------------------------------------------------------


def remove_absent(value: Json, absent: Sequence[Json]) -> Json:
    """Return a JSON value without the members that count as missing, at any depth; it is not changed."""
    if isinstance(value, dict):
        return {
            name: remove_absent(member, absent)
            for name, member in value.items()
            if not is_absent(member, absent)
        }
    if isinstance(value, list):
        return [remove_absent(item, absent) for item in value]
    return value


def is_absent(value: Json, absent: Sequence[Json]) -> bool:
    """Tell whether a member's value counts as missing; 0 and false never do."""
    return any(type(value) is type(other) and value == other for other in absent)
