"""Rules: collected from a document, and assigned to the schema nodes they answer for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from validator.contract.document import Document, SpecError, nearest
from validator.contract.engine import compile_engine
from validator.contract.expressions import ExpressionError, Json, expressions_in, format_pointer
from validator.contract.model import RESERVED_AREA, Effect, Rule, unknown_member_id
from validator.contract.trees import ASSERTIONS, Path, Tree, applicators, children

_FAILING: Final = frozenset(("not", "anyOf", "oneOf", "contains", "x-image"))
"""Keywords beside the assertions whose own failure is a finding."""


@dataclass(slots=True)
class RuleBook:
    """Collects the rules of one contract and applies the settings that change their effect."""

    document: Document
    provider: str
    sources: Mapping[str, object]
    effects: Mapping[str, Effect] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)

    def add(self, word: Mapping[str, Json], path: Path) -> Rule:
        """Return the Rule of an `x-rule` at this path of the document; the same place gives the same rule.

        Raises SpecError for an id without the provider's prefix, an id that stands twice with different
        contents, and a source that is not listed.
        """
        name = word["id"]
        pointer = format_pointer(list(path))
        if not name.startswith(f"{self.provider}."):
            raise self.document.error(f"rule id '{name}' must start with '{self.provider}.'", path)
        if name.split(".")[1] == RESERVED_AREA:
            raise self.document.error(
                f"rule id '{name}' lies in the area '{RESERVED_AREA}', which is kept for findings without a rule",
                path,
            )
        self.check_source(word["source"], path)
        self._check_texts(word, path)
        known = self.rules.get(name)
        if known is not None:
            if known.pointer != pointer:
                raise self.document.error(
                    f"rule id '{name}' is used at {known.pointer} already", path, hint="share it by $ref"
                )
            return known
        rule = Rule(
            id=name,
            message=word["message"],
            source=word["source"],
            evidence=word["evidence"],
            effect=self.effects.get(name, word.get("effect", "reject")),
            failure=word.get("failure"),
            pointer=pointer,
            order=len(self.rules),
        )
        self.rules[name] = rule
        return rule

    @property
    def unknown_member(self) -> Effect:
        """Return what becomes of a request with a member that nobody described; raises SpecError."""
        name = unknown_member_id(self.provider)
        effect = self.effects.get(name, "warn")
        if effect == "fail":
            raise SpecError(f"'{name}' cannot fail a task", file="setting", hint="reject, warn or off")
        return effect

    def _check_texts(self, word: Mapping[str, Json], path: Path) -> None:
        """Raise SpecError for a text that could not be rendered when its rule is broken."""
        for key in ("message", "failure"):
            try:
                found = expressions_in(word.get(key))
            except ExpressionError as error:
                raise self.document.error(str(error), (*path, key)) from None
            for expression in found:
                if expression.root != "error":
                    raise self.document.error(
                        f"'{expression.text}' has no value here",
                        (*path, key),
                        hint="known in this place: $error",
                    )

    def check_source(self, source: str, path: Path) -> None:
        """Raise SpecError unless the part before # is a key of x-provider.sources."""
        key = source.partition("#")[0]
        if key not in self.sources:
            raise self.document.error(
                f"source '{key}' is not listed in x-provider", path, hint=nearest(key, self.sources)
            )


def assign_rules(tree: Tree, book: RuleBook, *, needs_rules: bool) -> dict[Path, Rule]:
    """Map the path of each node to the rule that answers for its own assertions.

    A rule beside `type` answers for that node; any other rule for everything below it too.  Raises
    SpecError for an assertion that no rule answers for: a finding without a rule could not be explained.
    """
    document, owners = book.document, dict[Path, Rule]()

    def visit(node: Any, at: Path, inherited: Rule | None) -> None:
        if not isinstance(node, dict):
            if node is False and inherited is None and needs_rules:
                raise document.error("a schema that refuses everything needs an x-rule above it", at)
            return
        origin = tree.origins[at]
        own = book.add(node["x-rule"], (*origin, "x-rule")) if "x-rule" in node else None
        rule = own or inherited
        asserted = sorted((ASSERTIONS | _FAILING) & node.keys())
        if rule is not None:
            owners[at] = rule
            if rule.effect == "off" and "pattern" in node:
                # It may be switched on: a pattern that cannot be read is told now.
                compile_engine({"pattern": node["pattern"]}, document, origin)
        elif asserted and needs_rules:
            raise document.error(
                f"'{asserted[0]}' has no rule that answers for it", origin, hint="add an x-rule beside it"
            )
        if own is not None and not asserted and not applicators(node):
            raise document.error(f"rule '{own.id}' stands beside nothing that could fail", origin)
        below = None if own is not None and "type" in node else rule
        for key, child, is_in_place in children(node):
            visit(child, (*at, *key), rule if is_in_place else below)

    visit(tree.root, (), None)
    return owners
