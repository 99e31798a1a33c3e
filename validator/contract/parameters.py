"""Parameters of an operation: where each stands, its schema, how its text is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from validator.contract.expressions import Json
from validator.contract.model import Parameter, Place
from validator.contract.raw import RawOperation
from validator.contract.schemas import compile_value_schema
from validator.contract.trees import Path
from validator.contract.workbench import Workbench


def compile_parameters(bench: Workbench, raw: RawOperation) -> tuple[Parameter, ...]:
    """Compile the parameters of an operation, its path's included; raises SpecError."""
    out: dict[tuple[str, str], Parameter] = {}
    nodes = [(node, (*raw.at[:-1], "parameters", i)) for i, node in enumerate(raw.shared)]
    nodes += [(node, (*raw.at, "parameters", i)) for i, node in enumerate(raw.node.get("parameters", ()))]
    for node, at in nodes:
        parameter, path = bench.document.resolve(node, at, needs=("name", "in"))
        out[parameter["in"], parameter["name"]] = _parameter(bench, parameter, path)
    named = {segment[1:-1] for segment in raw.path.split("/") if segment.startswith("{")}
    given = {name for place, name in out if place == "path"}
    if named != given:
        raise bench.document.error(
            f"path parameters {sorted(named)} are described as {sorted(given)}", raw.at
        )
    return tuple(out.values())


def _parameter(bench: Workbench, parameter: Mapping[str, Any], path: Path) -> Parameter:
    if parameter["in"] == "cookie":
        raise bench.document.error("cookies are not understood", path)
    schema_node = parameter.get("schema", {})
    schema, validator, owners = compile_value_schema(schema_node, (*path, "schema"), book=bench.book)
    rule = owners[()].rule if () in owners else None
    if parameter.get("required") and parameter["in"] != "path" and rule is None:
        # A rule that is off answers for nothing, and the parameter may then be missing.
        known, _ = bench.document.resolve(schema_node, (*path, "schema"))
        if "x-rule" not in known:
            raise bench.document.error("is required but has no x-rule in its schema", path)
    place: Place = parameter["in"]
    return Parameter(
        name=parameter["name"].lower() if place == "header" else parameter["name"],
        place=place,
        required=parameter.get("required", False),
        default=schema_node.get("default") if isinstance(schema_node, dict) else None,
        convert=_converter(schema),
        schema=schema,
        validator=validator,
        owners=owners,
        rule=rule,
        is_any_text=schema in ({}, {"type": "string"}),
    )


def _converter(schema: Json) -> Callable[[str], Json]:
    """Return what reads a parameter's text as the JSON type its schema asks for.

    Source: OpenAPI 3.1, 4.8.12: the style `simple` and `form` of a primitive.
    """
    kinds = schema.get("type", "string") if isinstance(schema, dict) else "string"
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "integer" in kinds:
        return lambda text: int(text) if re.fullmatch(r"-?\d{1,400}", text, re.ASCII) else text
    if "number" in kinds:
        return lambda text: float(text) if re.fullmatch(r"-?\d{1,300}(\.\d+)?", text, re.ASCII) else text
    if "boolean" in kinds:
        return lambda text: {"true": True, "false": False}.get(text, text)
    return lambda text: text
