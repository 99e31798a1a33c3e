"""Operations as they stand in the document, before anything is compiled: what refers to what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from validator.contract.document import Document, nearest
from validator.contract.expressions import Json
from validator.contract.trees import Path

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOperation:
    """An operation as it stands in the document; `at` is its path there, `shared` its path's parameters."""

    name: str
    method: str
    path: str
    at: Path
    node: Mapping[str, Any]
    shared: tuple[Json, ...]
    task: Mapping[str, Any]


def read_operations(document: Document, base_path: str) -> Iterable[tuple[str, RawOperation]]:
    """Yield (operationId, operation) of everything under `paths`; raises SpecError."""
    seen: dict[str, Path] = {}
    for template, node in document.root["paths"].items():
        item, at = document.resolve(node, ("paths", template))
        for method in METHODS:
            if method not in item:
                continue
            path = (*at, method)
            operation = item[method]
            name = operation.get("operationId")
            if name is None:
                raise document.error("needs an operationId", path)
            if name in seen:
                raise document.error(f"operationId '{name}' stands twice", path)
            seen[name] = path
            yield (
                name,
                RawOperation(
                    name=name,
                    method=method.upper(),
                    path=base_path + template,
                    at=path,
                    node=operation,
                    shared=tuple(item.get("parameters", ())),
                    task=operation.get("x-task", {}),
                ),
            )


def success(document: Document, raw: RawOperation) -> tuple[Path, dict[str, Any]]:
    """Return (path, response) of the one answer of success, its `status` put in; raises SpecError."""
    for status, node in raw.node.get("responses", {}).items():
        if status.startswith("2"):
            if not status.isdigit():
                raise document.error(
                    f"a response of success has one status, not {status}", (*raw.at, "responses")
                )
            response, at = document.resolve(node, (*raw.at, "responses", status))
            return at, {**response, "status": int(status)}
    raise document.error("needs a response of success", (*raw.at, "responses"))


def raw_links(document: Document, raw: RawOperation) -> dict[str, Any]:
    """Return the links of the answer of success, by name."""
    at, response = success(document, raw)
    return {
        name: document.resolve(link, (*at, "links", name))[0]
        for name, link in response.get("links", {}).items()
    }


def creators(
    document: Document, raw: RawOperation, all_raw: Mapping[str, RawOperation]
) -> list[RawOperation]:
    """Return the operations whose tasks this one answers with."""
    if raw.task.get("role") == "create":
        return [raw]
    if raw.task.get("role") == "list":
        for name in raw.task["of"]:
            creating = [one.name for one in all_raw.values() if one.task.get("role") == "create"]
            if name not in creating:
                raise document.error(
                    f"'{name}' creates no tasks", (*raw.at, "x-task", "of"), hint=nearest(name, creating)
                )
        return [all_raw[name] for name in raw.task["of"]]
    if raw.task.get("role") != "read":
        return []
    return [
        other
        for other in all_raw.values()
        if other.task.get("role") == "create"
        and any(link.get("operationId") == raw.name for link in raw_links(document, other).values())
    ]


def input_pointers(document: Document, raw: RawOperation, all_raw: Mapping[str, RawOperation]) -> set[str]:
    """Return the pointers that any rendering of this operation's tasks reads from `$task.input`."""
    names = {raw.name} | {link.get("operationId") for link in raw_links(document, raw).values()}
    names |= {name for name, one in all_raw.items() if raw.name in one.task.get("of", ())}
    nodes: list[Json] = [
        success(document, all_raw[name])[1] for name in sorted(n for n in names if n is not None)
    ]
    nodes.append(raw.node.get("callbacks", {}))
    texts = (text for node in nodes for text in texts_below(document, node, raw.at, set()))
    return {pointer for text in texts for pointer in re.findall(r"\$task\.input#(/[^{}]*)", text)}


def texts_below(document: Document, node: Json, path: Path, seen: set[str]) -> Iterable[str]:
    """Yield every text below a node, references followed; schemas beside a template hold none that is rendered."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference not in seen:
                target, at = document.resolve(node, path)
                yield from texts_below(document, target, at, seen | {reference})
            return
        has_template = "x-template" in node
        for name, value in node.items():
            if not (has_template and name in ("schema", "examples")):
                yield from texts_below(document, value, path, seen)
    elif isinstance(node, list):
        for value in node:
            yield from texts_below(document, value, path, seen)
    elif isinstance(node, str):
        yield node
