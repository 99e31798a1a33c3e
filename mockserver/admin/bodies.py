"""What a call sends, held against `admin.openapi.yaml`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

import jsonschema_rs
import orjson
from starlette.requests import Request

from mockserver.admin.answers import ProblemError
from validator.contract.document import nearest, parse_yaml
from validator.contract.expressions import LATEST

DESCRIPTION: Final = "admin.openapi.yaml"


MAX_BODY: Final = 64 * 1024


_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


@functools.cache
def description() -> dict[str, Any]:
    text = resources.files("mockserver").joinpath(DESCRIPTION).read_bytes()
    found: dict[str, Any] = parse_yaml(text, file=DESCRIPTION)
    return found


@functools.cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": description()["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


async def read_json(
    request: Request, schema: str, *, first: Callable[[Any], None] = lambda value: None
) -> dict[str, Any]:
    """Return the body, valid against a schema of the description; raises ProblemError.

    `first` is asked before the schema, where it finds better words for what is wrong.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise ProblemError(413, "Too large", f"at most {MAX_BODY:,} bytes")
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_BODY:
            raise ProblemError(413, "Too large", f"at most {MAX_BODY:,} bytes")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "No JSON", f"the body cannot be read: {error}") from None
    first(value)
    try:
        fault = next(_validator(schema).iter_errors(value), None)
    except ValueError:  # the engine's own limit on depth
        raise ProblemError(400, "Not valid", "the body is nested too deep") from None
    if fault is not None:
        where = "/".join(str(step) for step in fault.instance_path)
        raise ProblemError(400, "Not valid", f"{where + ': ' if where else ''}{fault.message}"[:500])
    found: dict[str, Any] = value
    return found


def read_query(request: Request, operation: str) -> dict[str, Any]:
    """Return the query parameters the description names, converted; raises ProblemError."""
    out: dict[str, Any] = {}
    paths = description()["paths"]
    described = next(
        item["get"] for item in paths.values() if item.get("get", {}).get("operationId") == operation
    )
    shared = description()["components"]["parameters"]
    nodes = [
        shared[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        for node in described["parameters"]
    ]
    nodes = [node for node in nodes if node["in"] == "query"]
    known = [node["name"] for node in nodes]
    for name in request.query_params:
        if name not in known:
            raise ProblemError(
                400, "Not valid", f"'{name[:80]}' is no parameter here; there are {', '.join(known)}"
            )
    for node in nodes:
        text, schema = request.query_params.get(node["name"]), node["schema"]
        if text is None:
            out[node["name"]] = schema.get("default")
            continue
        value: Any = text
        if schema.get("type") == "integer" and _INTEGER.fullmatch(text):
            value = int(text)
        if not jsonschema_rs.is_valid(schema, value):
            what = f"; {node['description']}" if "description" in node else ""
            raise ProblemError(400, "Not valid", f"{node['name']}: '{text[:80]}' is not allowed{what}")
        out[node["name"]] = value
    return out


def read_moment(value: Any) -> int:
    """Return milliseconds of an integer or an RFC 3339 date; raises ProblemError."""
    if isinstance(value, int | float):
        # JSON Schema calls 5.0 an integer as well.
        return int(value)
    try:
        # RFC 3339 allows a leap second and small letters, which the library does not read.
        parsed = datetime.fromisoformat(value.upper().replace(":60", ":59"))
    except ValueError:
        raise ProblemError(400, "Not valid", f"'{value[:40]}' is no date and time") from None
    moment = int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= moment <= LATEST:
        raise ProblemError(409, "Out of reach", f"'{value[:40]}' lies outside 1970 to 9999")
    return moment


def read_seconds(text: str) -> float:
    """Return the seconds of a parameter such as `10s` or `500ms`; its form was checked."""
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])


async def hung_up(request: Request) -> None:
    """Return when the client of a request without a body has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def check_known(name: str, value: str | None, known: Collection[str]) -> None:
    """Raise ProblemError for a filter that nothing can meet, with the nearest word that would do."""
    if value is None or value in known:
        return
    words = list(known)
    hint = nearest(value, words) or f"known: {', '.join(words[:20])}{', ...' if len(words) > 20 else ''}"
    raise ProblemError(400, "Not known here", f"{name}: there is no '{value[:80]}' ({hint})")
