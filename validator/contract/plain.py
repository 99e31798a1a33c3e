"""The plain form of a schema: what other tools run; the refusals alone, without our words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from validator.contract.capabilities import capability_schemas, compile_capabilities
from validator.contract.document import Document
from validator.contract.engine import compile_engine
from validator.contract.expressions import Json
from validator.contract.model import Capabilities, Contract, Rule, unknown_member_id
from validator.contract.rules import RuleBook, assign_rules
from validator.contract.schemas import carrier_pattern
from validator.contract.trees import ANNOTATIONS, ASSERTIONS, Path, find, inline, place, standing

BEYOND_PLAIN: Final[Mapping[str, str]] = {
    # Keyword or kind of a finding to why no schema of a request can say it.
    "mediaTypes": "what a picture's bytes are",
    "maxBytes": "how large the file in a data URI is; of bare Base64 the length of the text says it",
    "minWidth": "a picture's pixels",
    "minHeight": "a picture's pixels",
    "aspectRatio": "a picture's pixels",
    "sameAspectRatio": "the pixels of several pictures",
    "sameSize": "the pixels of several pictures",
    "unauthorized": "how a key or a token is written, who knows it, and when it counts; only that one is needed",
    "conflict": "what the account has sent before",
    "not-found": "which tasks there are",
    "quota-exhausted": "how many credits are left",
    "concurrency-exceeded": "how many tasks are running",
    "rate-limited": "how often was asked",
    "malformed": "how deep and how long JSON may be; what is no JSON at all is refused by every tool",
    "too-large": "bytes on the wire, which are no JSON yet",
}
"""What is refused and the plain form cannot say: properties of `x-image`, and kinds of findings."""

_KEPT: Final = ANNOTATIONS - {"format"}
"""Annotations that no tool takes for a rule; `format` says less than the pattern beside it, or more."""

_COPIED: Final = ASSERTIONS - {"required", "dependentRequired"}
"""Assertions that say the same in the plain form; the others ask whether a member is absent."""


def plain_schema(node: Json, path: Path, *, book: RuleBook) -> Json:
    """Return the JSON Schema of the bodies the provider does not refuse, without any word of ours.

    Rules that do not reject are left out; absent values, pictures' carriers and sizes, and the capability
    map are spelled out.  What needs the pixels of a picture cannot be said and is left out.
    Raises SpecError.
    """
    tree = inline(book.document, node, path)
    ruled = assign_rules(tree, book, needs_rules=False)
    root = tree.root
    absent = tuple(root.get("x-absent", ())) if isinstance(root, dict) else ()
    capabilities: dict[Path, Capabilities] = {}
    for at, word in find(root, "x-capabilities"):
        capabilities[at] = compile_capabilities(word, at, tree, book, ruled)
    plain = _Plain(
        ruled=ruled,
        absent=absent,
        capabilities=capabilities,
        document=book.document,
        is_closed=book.unknown_member == "reject",
    )
    return plain.visit(root, ())


_NOTHING: Final[Json] = {"not": {}}


@dataclass(slots=True)
class _Plain:
    """Builds the plain schema; every method keeps the verdict, given that absent members count as missing."""

    ruled: Mapping[Path, Rule]
    absent: tuple[Json, ...]
    capabilities: Mapping[Path, Capabilities]
    document: Document
    is_closed: bool = False

    def visit(self, node: Any, at: Path, *, is_conditional: bool = False) -> Json:
        """Return the plain schema of the node at this path of the tree."""
        if not isinstance(node, dict):
            return node
        rule = self.ruled.get(at)
        holds = rule is None or rule.effect == "reject"
        out: dict[str, Json] = {name: node[name] for name in node if name in _KEPT}
        conditions: list[Json] = []
        if holds:
            out |= {name: node[name] for name in node if name in _COPIED}
            conditions += self._required(node, holds)
            conditions += self._image(node)
        is_structure = node.get("type") == "object" and "properties" in node and not is_conditional
        self._applicators(node, at, holds, out, conditions, is_conditional=is_conditional)
        if is_structure and self.is_closed and "additionalProperties" not in node:
            out["additionalProperties"] = {"enum": list(self.absent)} if self.absent else False
        if at in self.capabilities:
            features = node["x-capabilities"]["features"]
            for schema, owner in capability_schemas(self.capabilities[at], features):
                if owner is not None and owner.effect == "reject":
                    conditions.append(self._lower(schema))
        return _with_conditions(out, conditions)

    def _lower(self, schema: Json) -> Json:
        """Translate a generated schema, which has no rules of its own."""
        return _Plain(ruled={}, absent=self.absent, capabilities={}, document=self.document).visit(schema, ())

    def _applicators(
        self,
        node: Mapping[str, Any],
        at: Path,
        holds: bool,
        out: dict[str, Json],
        conditions: list[Json],
        *,
        is_conditional: bool,
    ) -> None:
        needed = self._needed(node, holds)
        for key, child, is_in_place in standing(node, holds):
            below = is_conditional or (is_in_place and key[0] != "allOf")
            schema = self.visit(child, (*at, *key), is_conditional=below)
            if key[0] == "allOf" and schema in (True, {}):
                continue
            if key[0] == "properties" and self.absent:
                schema = self._and_present(schema) if key[1] in needed else self._or_absent(schema)
            elif key[0] == "dependentSchemas":
                conditions.append({"if": self._present(str(key[1])), "then": schema})
                continue
            elif key[0] == "additionalProperties" and self.absent:
                schema = self._or_absent(schema)
            elif key[0] in ("propertyNames", "patternProperties") and self.absent:
                raise self.document.error(f"{key[0]} cannot be combined with x-absent", at)
            place(out, key, schema)
        for name, others in (node.get("dependentRequired", {}) if holds else {}).items():
            conditions += [{"if": self._present(name), "then": self._present(other)} for other in others]

    def _needed(self, node: Mapping[str, Any], holds: bool) -> frozenset[str]:
        """Return the members that are required here, and of which this node says more."""
        if not holds or not self.absent:
            return frozenset()
        return frozenset(node.get("required", ())) & frozenset(node.get("properties", ()))

    def _required(self, node: Mapping[str, Any], holds: bool) -> list[Json]:
        names = node.get("required", ())
        needed = self._needed(node, holds)
        # What is said of a needed member says that it is there, too; see _and_present.
        known = [name for name in names if name in needed or not self.absent]
        out: list[Json] = [{"required": known}] if known else []
        return out + [self._present(name) for name in names if name not in known]

    def _present(self, name: str) -> dict[str, Json]:
        if not self.absent:
            return {"required": [name]}
        return {"required": [name], "properties": {name: {"not": {"enum": list(self.absent)}}}}

    def _and_present(self, schema: Json) -> Json:
        """Return the schema of a member that is there, and is what `schema` says."""
        taken = self._absent_in(schema)
        if schema is True or schema == {}:
            return {"not": {"enum": taken}}
        if not taken or schema is False:
            return schema
        if "enum" in schema:
            return {**schema, "enum": [value for value in schema["enum"] if value not in taken]}
        return _with_conditions(schema, [{"not": {"enum": taken}}])

    def _or_absent(self, schema: Json) -> Json:
        """Return the schema of a member that need not be there, and is what `schema` says where it is."""
        if schema is True:
            return True
        if schema is False or schema == _NOTHING:
            return {"enum": list(self.absent)}
        outside = {name: schema[name] for name in schema if name in ANNOTATIONS}
        inside = {name: schema[name] for name in schema if name not in ANNOTATIONS}
        others = [value for value in self.absent if value not in self._absent_in(schema)]
        if not inside or not others:
            return schema
        if inside.keys() in ({"enum"}, {"const"}):
            values = inside["enum"] if "enum" in inside else [inside["const"]]
            return {**outside, "enum": [*others, *values]}
        return {**outside, "anyOf": [{"enum": others}, inside]}

    def _absent_in(self, schema: Json) -> list[Json]:
        """Return the absent values that a schema takes."""
        is_valid = compile_engine(schema, self.document, ()).is_valid
        return [value for value in self.absent if is_valid(value)]

    def _image(self, node: Mapping[str, Any]) -> list[Json]:
        word = node.get("x-image")
        if word is None:
            return []
        out: list[Json] = []
        if "carriers" in word:
            out.append({"pattern": carrier_pattern(word["carriers"])})
        if "maxBytes" in word:
            out.append(_at_most(word["maxBytes"]))
        return out


def _at_most(size: int) -> Json:
    """Return the schema of texts that are no Base64 of a file larger than `size` bytes.

    Four characters carry three bytes, and each '=' at the end one less, so the limit is exact; pictures in
    other carriers are let through.
    """
    groups, rest = divmod(size, 3)
    fits: list[Json] = [{"pattern": "^(?:[hH][tT][tT][pP][sS]?|data):"}, {"maxLength": 4 * groups}]
    if rest:
        fits.append({"maxLength": 4 * groups + 4, "pattern": "==$" if rest == 1 else "=$"})
    return {"anyOf": fits}


def _with_conditions(out: dict[str, Json], conditions: list[Json]) -> dict[str, Json]:
    """Join conditions to a schema: in place where no keyword meets its like, in allOf otherwise."""
    rest: list[Json] = []
    for condition in conditions:
        if condition is True or condition == {}:
            continue
        if not (condition.keys() & out.keys()):
            out = {**out, **condition}
        elif condition.keys() == {"required"} and "required" in out:
            out = {**out, "required": [*out["required"], *condition["required"]]}
        else:
            rest.append(condition)
    if rest:
        out = {**out, "allOf": [*out.get("allOf", ()), *rest]}
    return out


# --- the whole document -----------------------------------------------------------------------------------

_NAMED: Final = frozenset(
    (
        *("paths", "webhooks", "responses", "headers", "content", "callbacks", "links", "properties"),
        *("patternProperties", "dependentSchemas", "$defs", "schemas", "securitySchemes", "requestBodies"),
        *("parameters", "pathItems", "variables", "encoding", "mapping", "scopes"),
    )
)
"""Members whose own members are names and not words."""

_VALUES: Final = frozenset(("example", "examples", "default", "enum", "const"))
"""Members that hold values of the API, which are left as they are."""


def plain(contract: Contract) -> dict[str, Json]:
    """Return the contract's document as plain OpenAPI 3.1, with the effects it was compiled with.

    It takes a few milliseconds each time; raises SpecError.
    """
    effects = {rule.id: rule.effect for rule in contract.rules.values()}
    effects[unknown_member_id(contract.id)] = contract.unknown_member
    book = RuleBook(
        document=contract.document, provider=contract.id, sources=contract.sources, effects=effects
    )
    return plain_document(contract.document, book)


def plain_document(document: Document, book: RuleBook) -> dict[str, Json]:
    """Return the whole document as OpenAPI 3.1 that any tool can read and enforce; raises SpecError."""
    out: dict[str, Json] = _without_words(document.root)
    components = out.get("components", {})
    for name, node in document.root.get("components", {}).get("parameters", {}).items():
        components["parameters"][name] = _parameter(node, ("components", "parameters", name), book=book)
    for template, item in document.root["paths"].items():
        resolved, at = document.resolve(item, ("paths", template))
        plain_item = out["paths"][template] = _without_words(resolved)
        _parameters(resolved, plain_item, at, book=book)
        for method, operation in resolved.items():
            if not isinstance(operation, dict):
                continue
            _parameters(operation, plain_item[method], (*at, method), book=book)
            if "requestBody" in operation:
                body, body_at = document.resolve(operation["requestBody"], (*at, method, "requestBody"))
                plain = _without_words(body)
                for media_type, media in body["content"].items():
                    path = (*body_at, "content", media_type, "schema")
                    plain["content"][media_type]["schema"] = plain_schema(media["schema"], path, book=book)
                plain_item[method]["requestBody"] = plain
    components.pop("requestBodies", None)
    _drop_unused(out, components)
    return out


def _parameters(holder: Json, out: Json, at: Path, *, book: RuleBook) -> None:
    """Put the plain form of a path item's or an operation's own parameters in place."""
    if "parameters" in holder:
        out["parameters"] = [
            _parameter(node, (*at, "parameters", index), book=book)
            for index, node in enumerate(holder["parameters"])
        ]


def _parameter(node: Json, at: Path, *, book: RuleBook) -> Json:
    """Return a parameter that refuses what the provider refuses and nothing else; a reference stays one."""
    out: dict[str, Json] = _without_words(node)
    if "schema" not in node:
        return out
    path = (*at, "schema")
    out["schema"] = plain_schema(node["schema"], path, book=book)
    rule = assign_rules(inline(book.document, node["schema"], path), book, needs_rules=False).get(())
    if rule is not None and rule.effect != "reject" and node["in"] != "path":
        # Its absence breaks the same rule.
        out.pop("required", None)
    return out


def _without_words(node: Json, *, is_named: bool = False) -> Any:
    if isinstance(node, dict):
        return {
            name: value
            if name in _VALUES and not is_named
            else _without_words(value, is_named=name in _NAMED and not is_named)
            for name, value in node.items()
            if is_named or not name.startswith("x-")
        }
    if isinstance(node, list):
        return [_without_words(item) for item in node]
    return node


def _drop_unused(root: Json, components: dict[str, Json]) -> None:
    """Remove the schemas that nothing refers to any more."""
    schemas = components.get("schemas", {})
    used = set(_references({**root, "components": {**components, "schemas": {}}}))
    pending = list(used)
    while pending:
        for name in _references(schemas.get(pending.pop(), {})):
            if name not in used:
                used.add(name)
                pending.append(name)
    for name in [name for name in schemas if name not in used]:
        del schemas[name]


def _references(node: Json) -> list[str]:
    if isinstance(node, dict):
        own = node.get("$ref")
        prefix = "#/components/schemas/"
        found = [own.removeprefix(prefix)] if isinstance(own, str) and own.startswith(prefix) else []
        return found + [name for value in node.values() for name in _references(value)]
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    return []
