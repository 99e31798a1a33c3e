"""Callbacks: to where, in which states, signed how, tried again when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from validator.contract.document import nearest
from validator.contract.durations import milliseconds
from validator.contract.expressions import ExpressionError, compile_text
from validator.contract.model import Callback, Identifier, Lifecycle, Signature
from validator.contract.raw import METHODS, RawOperation
from validator.contract.templates import States
from validator.contract.trees import Path
from validator.contract.workbench import Workbench

RETRY_ON: Final = frozenset(("network", "5xx", "429"))
"""What a delivery is tried again for when the spec does not say."""


def compile_callbacks(bench: Workbench, raw: RawOperation, lifecycle: Lifecycle) -> tuple[Callback, ...]:
    """Compile the callbacks of a create operation; raises SpecError."""
    out = []
    for name, node in raw.node.get("callbacks", {}).items():
        callback, at = bench.document.resolve(node, (*raw.at, "callbacks", name))
        for address, item in callback.items():
            methods = [method for method in METHODS if method in item]
            if len(methods) != 1:
                raise bench.document.error("a callback has exactly one method", (*at, address))
            path = (*at, address, methods[0])
            out.append(_callback(bench, name, address, methods[0], item[methods[0]], path, lifecycle))
    return tuple(out)


def _callback(
    bench: Workbench,
    name: str,
    address: str,
    method: str,
    node: Mapping[str, Any],
    at: Path,
    lifecycle: Lifecycle,
) -> Callback:
    if "x-deliver" not in node:
        raise bench.document.error("has no x-deliver, so that it would never be sent", at)
    word = node["x-deliver"]
    for state in word["states"]:
        if state not in lifecycle.states:
            raise bench.document.error(
                f"state '{state}' does not exist",
                (*at, "x-deliver"),
                hint=nearest(state, lifecycle.states),
            )
    states: States = tuple(lifecycle.states)
    if "requestBody" not in node:
        raise bench.document.error("needs a requestBody, so that there is something to send", at)
    body, body_at = bench.document.resolve(node["requestBody"], (*at, "requestBody"), needs=("content",))
    if len(body["content"]) != 1:
        raise bench.document.error("a callback has exactly one media type", (*body_at, "content"))
    ((media_type, media),) = body["content"].items()
    path = (*body_at, "content", media_type)
    if "x-template" not in media:
        raise bench.document.error("has no x-template, so that nothing could be sent", path)
    bench.templates.check_states(media["x-template"], (*path, "x-template"), lifecycle.states)
    content = bench.templates.content(media, path, media_type=media_type, states=states, place="delivery")
    headers = []
    for index, parameter in enumerate(node.get("parameters", ())):
        header, header_at = bench.document.resolve(
            parameter, (*at, "parameters", index), needs=("name", "in")
        )
        if header["in"] != "header" or "x-template" not in header:
            raise bench.document.error("a callback's parameter is a header with an x-template", header_at)
        bench.templates.check_states(header["x-template"], header_at, lifecycle.states)
        headers.append(
            bench.templates.header(header["name"], header, header_at, states=states, place="delivery")
        )
    signature = word.get("signature")
    try:
        url = compile_text(address)
    except ExpressionError as error:
        raise bench.document.error(str(error), at) from None
    bench.statements.add("callback", name, ", ".join(word["states"]), word, (*at, "x-deliver"))
    return Callback(
        name=name,
        url=url,
        url_expression=address,
        method=method.upper(),
        states=frozenset(word["states"]),
        timeout=milliseconds(word.get("timeout", "PT10S")),
        retry=tuple(milliseconds(wait) for wait in word.get("retry", ())),
        retry_on=frozenset(word["retryOn"]) if "retryOn" in word else RETRY_ON,
        id=Identifier.of(word.get("id", {"format": "uuid"})),
        signature=Signature(
            scheme=signature["scheme"],
            secret=signature["secret"],
            is_always=signature["when"] == "always",
        )
        if signature
        else None,
        content=content,
        headers=tuple(headers),
        source=word["source"],
        evidence=word["evidence"],
    )
