"""JSON Schemas compiled by the engine that runs them.  Knows nothing of where a schema comes from."""

from __future__ import annotations

import functools

import jsonschema_rs

from validator.contract.document import Document
from validator.contract.expressions import Json
from validator.contract.trees import Path


def compile_engine(schema: Json, document: Document, path: Path) -> jsonschema_rs.Draft202012Validator:
    """Return a validator for a plain JSON Schema; raises SpecError where it cannot be compiled."""
    try:
        # Nobody reads what the engine says of values; with a picture in it that would take seconds to write.
        return jsonschema_rs.Draft202012Validator(schema, mask="…")
    except ValueError as error:
        masked = error
    try:
        # What it says of the schema is read, and is to show the fault.
        jsonschema_rs.Draft202012Validator(schema)
    except ValueError as error:
        masked = error
    # The first line says what is wrong; the rest repeats the schema.
    sentence = str(masked).partition("\n")[0]
    raise document.error(f"the schema cannot be compiled: {sentence}", path)


def keeps(keyword: str, said: str | int | float, value: Json) -> bool:
    """Tell whether a value meets one keyword of JSON Schema, as the engine reads it.

    Patterns are those of ECMA 262 and not anchored; multiples are told without the faults of binary fractions.
    """
    return _one_keyword(keyword, said).is_valid(value)


@functools.lru_cache(maxsize=256)
def _one_keyword(keyword: str, said: str | int | float) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({keyword: said}, mask="…")
