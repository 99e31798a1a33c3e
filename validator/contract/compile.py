"""Document to Contract: every look-up, schema and template is prepared here, and every fault told here.

Knows the vocabulary; knows no provider.  The order of the checks is the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from validator.contract.document import Document, SpecError, nearest, read_document
from validator.contract.durations import milliseconds
from validator.contract.model import (
    Contract,
    Effect,
    Limit,
    Operation,
    Routes,
    Source,
    Variant,
    unknown_member_id,
)
from validator.contract.operations import compile_operation
from validator.contract.pointers import check_names
from validator.contract.raw import read_operations
from validator.contract.refusals import compile_refusals
from validator.contract.rules import RuleBook
from validator.contract.statements import Statements
from validator.contract.templates import Templates
from validator.contract.workbench import Workbench


def load(
    name_or_path: str | FilePath,
    *,
    variants: Sequence[str] = (),
    effects: Mapping[str, Effect] | None = None,
) -> Contract:
    """Return the Contract of a provider of the library, by its id, or of a spec file.

    `variants` are names from the spec's `x-variants`; `effects` maps rule ids to the effect they shall
    have in place of their own.  Raises SpecError.
    """
    return compile_document(read_document(name_or_path, variants=variants), effects=effects or {})


def compile_document(document: Document, *, effects: Mapping[str, Effect] | None = None) -> Contract:
    """Return the Contract of a document that was read and checked; raises SpecError."""
    root, effects = document.root, effects or {}
    provider = root["info"]["x-provider"]
    sources = {
        key: Source(
            key=key,
            title=value["title"],
            retrieved=value["retrieved"],
            url=value.get("url"),
            snapshot=value.get("snapshot"),
        )
        for key, value in provider["sources"].items()
    }
    book = RuleBook(document=document, provider=provider["id"], sources=sources, effects=effects)
    statements = Statements(document, book)
    bench = Workbench(
        document=document,
        book=book,
        statements=statements,
        templates=Templates(document, book, statements),
    )
    hosts, base_path = _servers(document)
    raw = dict(read_operations(document, base_path))
    operations = {name: compile_operation(bench, name, one, raw) for name, one in raw.items()}
    phrases, cases = compile_refusals(bench, operations)
    check_names(bench, operations, raw)
    limits = _limits(bench)
    variants = _variants(bench)
    _check_effects(book)
    bench.family.contract = contract = Contract(
        id=provider["id"],
        title=root["info"]["title"],
        document=document,
        sources=sources,
        hosts=hosts,
        base_path=base_path,
        operations=operations,
        rules=book.rules,
        unknown_member=book.unknown_member,
        phrases=phrases,
        cases=cases,
        limits=limits,
        variants=variants,
        statements=statements.all(),
        routes=_routes(operations.values()),
    )
    return contract


def _check_effects(book: RuleBook) -> None:
    """Raise SpecError for a setting that speaks of no rule."""
    known = (*book.rules, unknown_member_id(book.provider))
    for name in book.effects:
        if name not in known:
            raise SpecError(f"there is no rule '{name}'", file="setting", hint=nearest(name, known))


def _servers(document: Document) -> tuple[tuple[str, ...], str]:
    servers = document.root.get("servers") or []
    parts = [urlsplit(server["url"]) for server in servers]
    if not parts or not all(part.hostname for part in parts):
        raise document.error("needs at least one server with a host", ("servers",))
    bases = {part.path.rstrip("/") for part in parts}
    if len(bases) > 1:
        raise document.error(f"servers differ in their path: {', '.join(sorted(bases))}", ("servers",))
    return tuple(part.hostname or "" for part in parts), bases.pop()


def _limits(bench: Workbench) -> tuple[Limit, ...]:
    out = []
    for index, one in enumerate(bench.document.root.get("x-limits", ())):
        bench.statements.add("limit", one["unit"], str(one["quota"]), one, ("x-limits", index))
        out.append(
            Limit(
                unit=one["unit"],
                quota=one["quota"],
                window=milliseconds(one["window"]) if "window" in one else None,
                source=one["source"],
                evidence=one["evidence"],
            )
        )
    return tuple(out)


def _variants(bench: Workbench) -> tuple[Variant, ...]:
    out = []
    for name, one in bench.document.root.get("x-variants", {}).items():
        bench.statements.add("variant", name, one["summary"], one, ("x-variants", name))
        out.append(Variant(name=name, summary=one["summary"], source=one["source"], evidence=one["evidence"]))
    return tuple(out)


def _routes(operations: Iterable[Operation]) -> Routes:
    exact: dict[str, dict[str, Operation]] = {}
    templated: dict[tuple[str | None, ...], dict[str, Operation]] = {}
    for operation in operations:
        if None in operation.segments:
            templated.setdefault(operation.segments, {})[operation.method] = operation
        else:
            exact.setdefault(operation.path, {})[operation.method] = operation
    ordered = sorted(templated.items(), key=lambda item: item[0].count(None))
    ending = {
        "/".join(str(part) for part in segments[:-1]) + "/": methods
        for segments, methods in ordered
        if segments.count(None) == 1 and segments[-1] is None
    }
    return Routes(exact=exact, ending=ending, templated=tuple(ordered))
