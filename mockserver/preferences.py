"""What a request prefers: the header Prefer (RFC 7240), read leniently, because nobody is to be refused for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

MOST: Final = 32
"""Preferences that are read; nobody means more."""

LONGEST: Final = 4_000
"""Characters that are read: they are looked at one by one."""

_WORD: Final = r'[^\s",;=]+'
_VALUE: Final = rf'(?:"(?:[^"\\]|\\.)*"|{_WORD})'
_PART: Final = re.compile(rf"\s*({_WORD})(?:\s*=\s*({_VALUE})?)?\s*")
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Preference:
    """One preference: `name` and the names of its `parameters` in lower case, values without their quotes."""

    name: str
    value: str
    parameters: Mapping[str, str]


def preferences(lines: Iterable[str]) -> list[Preference]:
    """Return the preferences of all lines of the header, in their order.

    >>> [one.value for one in preferences(['respond-async, scenario=slow; times="3"'])]
    ['', 'slow']
    """
    out = []
    for text in _split(", ".join(lines)[:LONGEST], ","):
        named = [_pair(part) for part in _split(text, ";")]
        if named and named[0] is not None:
            name, value = named[0]
            out.append(Preference(name, value, dict(pair for pair in named[1:] if pair is not None)))
        if len(out) >= MOST:
            break
    return out


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that stands outside of quotes."""
    parts, start, is_quoted, is_escaped = [], 0, False, False
    for index, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and char == "\\":
            is_escaped = True
        elif char == '"':
            is_quoted = not is_quoted
        elif char == mark and not is_quoted:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _pair(text: str) -> tuple[str, str] | None:
    found = _PART.fullmatch(text)
    if found is None:
        return None
    value = found[2] or ""
    if value.startswith('"'):
        value = _ESCAPED.sub(r"\1", value[1:-1])
    return found[1].lower(), value
