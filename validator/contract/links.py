"""Links of a create response: under which names a task can be read later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from validator.contract.document import nearest
from validator.contract.expressions import ExpressionError, evaluator, format_pointer, parse, resolve_pointer
from validator.contract.model import Lifecycle, Link, Place
from validator.contract.parameters import compile_parameters
from validator.contract.raw import RawOperation, raw_links
from validator.contract.trees import Path
from validator.contract.workbench import Workbench


def compile_links(
    bench: Workbench,
    raw: RawOperation,
    response: Mapping[str, Any],
    at: Path,
    lifecycle: Lifecycle | None,
    all_raw: Mapping[str, RawOperation],
) -> tuple[Link, ...]:
    """Compile the links that lead to an operation which reads tasks; raises SpecError."""
    assert lifecycle is not None
    out = []
    for name, link in raw_links(bench.document, raw).items():
        path = (*at, "links", name)
        target = all_raw.get(link.get("operationId", ""))
        if target is None:
            raise bench.document.error(
                "names no operation of this file",
                path,
                hint=nearest(link.get("operationId", ""), all_raw),
            )
        if target.task.get("role") != "read":
            continue
        if len(link.get("parameters", {})) != 1:
            raise bench.document.error("a link to a task has exactly one parameter", path)
        ((key, text),) = link["parameters"].items()
        place, parameter = _link_parameter(bench, key, target, path)
        try:
            value = parse(text)
        except ExpressionError as error:
            raise bench.document.error(str(error), path) from None
        is_task_id = False
        if value.root == "response" and value.pointer is not None:
            media = next(iter(response["content"].values()))
            body = bench.templates.body_of(media["x-template"], at, lifecycle.initial)
            found = resolve_pointer(body, value.pointer)
            is_task_id = found == "$task.id"
        if not is_task_id and value.root != "request":
            raise bench.document.error(
                f"'{text}' must lead to $task.id in the answer, or into the request", path
            )
        out.append(
            Link(
                name=name,
                operation=target.name,
                parameter=parameter,
                place=place,
                value=value,
                is_task_id=is_task_id,
                pointer="" if is_task_id else format_pointer(value.pointer or ()),
                evaluate=evaluator(value),
            )
        )
    return tuple(out)


def _link_parameter(bench: Workbench, key: str, target: RawOperation, path: Path) -> tuple[Place, str]:
    qualified = re.fullmatch(r"(path|query|header)\.(.+)", key)
    known = {(one.place, one.name) for one in compile_parameters(bench, target)}
    for place, name in known:
        if (qualified and (place, name) == qualified.groups()) or (not qualified and name == key):
            return place, name
    raise bench.document.error(
        f"'{key}' is no parameter of {target.name}", path, hint=nearest(key, (n for _, n in known))
    )
