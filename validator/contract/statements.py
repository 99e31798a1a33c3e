"""The evidence table: a row for everything a spec says of its provider, with its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from validator.contract.document import Document
from validator.contract.expressions import Json, format_pointer
from validator.contract.model import BodySchema, Evidence, Statement
from validator.contract.rules import RuleBook
from validator.contract.trees import Path


@dataclass(slots=True)
class Statements:
    """Collects the rows of one document; `seen` holds the pointers of those that are there."""

    document: Document
    book: RuleBook
    rows: list[Statement] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def add(self, kind: str, name: str, text: str, word: Mapping[str, Json], path: Path) -> None:
        """Add a row, once however often its word is used; raises SpecError for an unknown source."""
        self.book.check_source(word["source"], path)
        self._add(kind, name, text, word["evidence"], word["source"], format_pointer(list(path)))

    def _add(self, kind: str, name: str, text: str, evidence: Evidence, source: str, pointer: str) -> None:
        if pointer in self.seen:
            return
        self.seen.add(pointer)
        row = Statement(kind=kind, name=name, text=text, evidence=evidence, source=source, pointer=pointer)
        self.rows.append(row)

    def add_capabilities(self, body: BodySchema | None) -> None:
        """Add the rows of a body's capability map."""
        for row in body.capabilities.rows if body is not None and body.capabilities is not None else ():
            self._add("capability", row.name, row.text, row.evidence, row.source, row.pointer)

    def add_template(self, node: Json, path: Path) -> None:
        """Add a template, and those inside it."""
        word, origin = self.document.resolve(node, path, needs=("source", "evidence"))
        if format_pointer(list(origin)) in self.seen:
            return
        name = ".".join(str(step) for step in origin if step not in ("x-template", "content", "components"))
        self.add("template", name, "", word, origin)
        if "item" in word:
            self.add_template(word["item"], (*origin, "item"))
        for part in ("body", "states"):
            for nested, at in _references(word.get(part), (*origin, part)):
                target, target_at = self.document.resolve(nested, at)
                if isinstance(target, dict) and {"body", "source", "evidence"} <= target.keys():
                    self.add_template(target, target_at)

    def all(self) -> tuple[Statement, ...]:
        """Return the rules, then everything else in the order it was compiled."""
        rules = (
            Statement(
                kind="rule",
                name=rule.id,
                text=rule.message,
                evidence=rule.evidence,
                source=rule.source,
                pointer=rule.pointer,
            )
            for rule in self.book.rules.values()
        )
        return (*rules, *self.rows)


def _references(node: Json, at: Path) -> Iterable[tuple[dict[str, Json], Path]]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node, at
            return
        for name, value in node.items():
            yield from _references(value, (*at, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, (*at, index))
