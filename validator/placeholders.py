"""Variables like {{name}} in requests that are kept as text, filled in as far as the file says their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from validator.calls import Text
from validator.contract.expressions import MISSING
from validator.partial import Hole

_VARIABLE: Final = re.compile(r"\{\{([^{}\n]{1,200})\}\}")
_BARE: Final = re.compile(r"(?<=[:\[,])(\s*)\{\{([^{}\n\"]{1,200})\}\}(?=\s*[,\]}])")
_MARK: Final = "\ue000"
"""A sign for private use, which no text of a request has; it marks a variable that stands without quotes."""

_DEEPEST: Final = 10
_LONGEST: Final = 1_000_000


def fill_text(text: str, variables: Mapping[str, str], level: int = 0) -> str | Text:
    """Return a text with its variables filled in; a Text where one of them is not known."""
    if "{{" not in text:
        return text
    parts: list[str] = []
    at, is_known = 0, True
    for found in _VARIABLE.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        name = found[1].strip()
        value: str | Text | None = variables.get(name)
        if isinstance(value, str) and level < _DEEPEST:
            value = fill_text(value, variables, level + 1)
        elif isinstance(value, str) and "{{" in value:
            value = None
        if isinstance(value, str) and sum(map(len, parts)) + len(value) < _LONGEST:
            parts.append(value)
            continue
        is_known = False
        parts.append(value.shown if isinstance(value, Text) else "{" + re.sub(r"[\s/?#{}]+", "_", name) + "}")
    parts.append(text[at:])
    return "".join(parts) if is_known else Text("".join(parts))


def read_body(text: str, variables: Mapping[str, str]) -> Any:
    """Return the JSON value of a text with variables in it, holes for those not known; MISSING for no JSON.

    A variable may stand without quotes: `"n": {{count}}`.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            value = orjson.loads(with_marks(text))
        except orjson.JSONDecodeError:
            return MISSING
    return _fill(value, variables)


_COMMENT: Final = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def without_comments(text: str) -> str:
    """Return a JSON text with blanks in the place of its comments; every offset stays what it was."""
    return _COMMENT.sub(lambda found: found[1] or re.sub(r"[^\n]", " ", found[0]), text)


def with_marks(text: str) -> str:
    """Return a text with the variables outside of quotes made to strings; every offset stays what it was."""
    return _BARE.sub(lambda found: f'{found[1]}"{_MARK}{found[2]}{_MARK}"', text)


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        out = {}
        for name, member in value.items():
            filled = fill_text(name, variables)
            out[filled if isinstance(filled, str) else name] = _fill(member, variables)
        return out
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    if len(value) > 1 and value[0] == value[-1] == _MARK:
        name = value[1:-1].strip()
        text = fill_text("{{" + name + "}}", variables)
        if isinstance(text, Text):
            return Hole(name)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return Hole(name)
    filled = fill_text(value, variables)
    return filled if isinstance(filled, str) or filled.is_text else Hole(filled.name)
