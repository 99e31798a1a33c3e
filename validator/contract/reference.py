"""A document checked a second time, by the reference implementation of JSON Schema.

Slower by two orders of magnitude than the engine that loads specs, and therefore only asked when somebody
checks a spec of their own: two implementations of dynamic references agree, or one of them is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jsonschema
from jsonschema_specifications import REGISTRY
from referencing.jsonschema import DRAFT202012

from validator.contract.document import DOCUMENT_SCHEMA, Document, schema_documents
from validator.contract.expressions import format_pointer


def reference_errors(document: Document) -> Iterator[tuple[str, str]]:
    """Yield (JSON Pointer, sentence) for each fault that the reference implementation finds, deepest first."""
    errors = [leaf for error in _validator().iter_errors(document.root) for leaf in _leaves(error)]
    seen: set[tuple[str, str]] = set()
    for error in sorted(errors, key=lambda error: -len(error.absolute_path)):
        message = error.message if len(error.message) <= 200 else error.message[:199] + "…"
        found = (format_pointer(list(error.absolute_path)), message)
        if found not in seen:
            seen.add(found)
            yield found


@functools.cache
def _validator() -> Any:
    schemas = schema_documents()
    resources = [(name, DRAFT202012.create_resource(schema)) for name, schema in schemas.items()]
    registry: Any = REGISTRY.with_resources(resources)
    return jsonschema.Draft202012Validator(schemas[DOCUMENT_SCHEMA], registry=registry)


def _leaves(error: Any) -> Iterator[Any]:
    if not error.context:
        yield error
        return
    best = jsonschema.exceptions.best_match([error])
    yield best if best is not None else error
