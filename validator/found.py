"""What is found in a file: one request, where it stands, and what of it could not be read.

Knows no form a file may have and no provider.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from validator.contract.expressions import MISSING, Json, format_pointer
from validator.request import HttpRequest, dump_json

Position = tuple[int, int]
"""(line, column), both from 1; columns count characters."""

Places = Callable[[str], Position | None]
"""JSON Pointer into a body -> where that member stands in the file, None where that is not known."""


def nowhere(pointer: str) -> Position | None:
    """Return None: nothing is known of places."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One request that a text holds, or why there is none.

    `label` says where, `file` is the name of the file ("" for standard input); `line`, `column` and `entry`
    (all from 1, 0 for unknown) say the same in numbers, `places` of each member of the body.  `request` has no
    `url` where only a body is known; it is None where `fault` says why.  `unchecked` are sentences about what
    is missing; `has_body` is False where the request had a body that is not in the text.
    `open` are the pieces of text that something else fills in before the request is sent; `value` is the body
    with its holes, where it has some.  `is_archived`: recorded among the requests of others.  `is_code`: a call
    in a program; `unread` says why such a call cannot be judged without running it.  `is_offered`: it stood in a
    file that nobody named, and may be no request at all.  `is_query_open`: the URL may get more
    parameters.
    """

    label: str
    file: str = ""
    line: int = 0
    column: int = 0
    entry: int = 0
    request: HttpRequest | None = None
    fault: str = ""
    unchecked: tuple[str, ...] = ()
    has_body: bool = True
    open: tuple[str, ...] = ()
    value: Any = MISSING
    is_archived: bool = False
    is_code: bool = False
    is_query_open: bool = False
    is_offered: bool = False
    unread: str = ""
    places: Places = field(default=nowhere, compare=False, repr=False)

    def position(self, pointer: str) -> Position:
        """Return where a member of the body stands, or the nearest thing around it that is known; (0, 0) for nothing.

        A member that is missing has the place of the object it is missing from.
        """
        while pointer:
            place = self.places(pointer)
            if place is not None:
                return place
            pointer = pointer.rpartition("/")[0]
        return self.places("") or (self.line, self.column)


# --- where things stand -----------------------------------------------------------------------------------


class Lines:
    """Turns offsets of a text into lines and columns; a line ends with a line feed."""

    def __init__(self, text: str) -> None:
        """Look for the lines."""
        self.starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def at(self, offset: int) -> Position:
        """Return (line, column) of an offset, both from 1."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


_TOKEN: Final = re.compile(r'[\s,:]*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|[^\s,:{}\[\]"]+)', re.DOTALL)


def json_offsets(text: str, start: int = 0) -> dict[str, int]:
    """Return the offset of every member (its name) and every entry (its value) of a JSON text, by pointer.

    The root has the pointer "".  The text was read before: of one that is no JSON the rest is left out.
    """
    out: dict[str, int] = {}
    stack: list[tuple[str, bool]] = []  # (pointer, whether it is an object)
    counts: list[int] = []
    name: str | None = None
    for found in _TOKEN.finditer(text, start):
        piece, at = found[1], found.start(1)
        if piece in "}]":
            if not stack:
                break
            stack.pop()
            counts.pop()
            if not stack:
                break
            continue
        pointer = ""
        if stack:
            above, is_object = stack[-1]
            if is_object and name is None:
                if not piece.startswith('"'):
                    break
                name = above + format_pointer([_text(piece)])
                out[name] = at
                continue
            if is_object:
                pointer, name = name or "", None
            else:
                pointer = f"{above}/{counts[-1]}"
                counts[-1] += 1
                out[pointer] = at
        else:
            out[""] = at
        if piece in "{[":
            stack.append((pointer, piece == "{"))
            counts.append(0)
        elif not stack:
            break
    return out


def _text(piece: str) -> str:
    try:
        return str(orjson.loads(piece))
    except orjson.JSONDecodeError:
        return piece[1:-1]


class JsonText:
    """A JSON text that begins somewhere in a file; its places are looked for when somebody asks."""

    def __init__(self, text: str, start: int = 0) -> None:
        """Take the whole text of the file, and the offset at which the JSON begins."""
        self.text, self.start = text, start

    @functools.cached_property
    def offsets(self) -> dict[str, int]:
        """Return the offset of every member and entry by pointer."""
        return json_offsets(self.text, self.start)

    @functools.cached_property
    def lines(self) -> Lines:
        """Return the lines of the whole text."""
        return Lines(self.text)

    def places(self, below: str = "") -> Places:
        """Return the places of the body that stands at a pointer."""

        def find(pointer: str) -> Position | None:
            offset = self.offsets.get(below + pointer)
            return None if offset is None else self.lines.at(offset)

        return find

    def inner_places(self, held: str, *, below: str) -> Places:
        """Return the places of a JSON text that is held by the string at a pointer; `held` is what it says."""
        made: list[tuple[dict[str, int], list[int]]] = []

        def find(pointer: str) -> Position | None:
            if not made:
                offset = _value_offset(self.text, self.offsets.get(below, -1))
                made.append((json_offsets(held), _held_offsets(self.text, offset)))
            offsets, held_at = made[0]
            offset = offsets.get(pointer, -1)
            return self.lines.at(held_at[offset]) if 0 <= offset < len(held_at) else None

        return find


_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)


def _value_offset(text: str, offset: int) -> int:
    """Return the offset of the value of the member whose name stands at an offset; that of an entry itself."""
    name = _TOKEN.match(text, offset) if offset >= 0 else None
    if name is None:
        return -1
    colon = _COLON.match(text, name.end())
    value = _TOKEN.match(text, colon.end()) if colon else None
    return value.start(1) if value else offset


_COLON: Final = re.compile(r"\s*:")


def _held_offsets(text: str, at: int) -> list[int]:
    """Return the offset in a text of each character of the string that begins there."""
    found = _TOKEN.match(text, at) if at >= 0 else None
    if found is None or not found[1].startswith('"'):
        return []
    out: list[int] = []
    offset, end = found.start(1) + 1, found.end(1) - 1
    while offset < end:
        out.append(offset)
        escape = _ESCAPE.match(text, offset)
        offset = escape.end() if escape else offset + 1
    return out


def shifted(places: Places, lines: int, columns: int) -> Places:
    """Return places that stand further down and to the right."""

    def moved(pointer: str) -> Position | None:
        place = places(pointer)
        return None if place is None else (place[0] + lines, place[1] + columns)

    return moved


def known_places(known: Mapping[str, Position]) -> Places:
    """Return the places that a mapping has."""
    return known.get


# --- requests out of parts --------------------------------------------------------------------------------

_HOST_ONLY: Final = re.compile(r"[\w.-]+(?::\d+)?(?:[/?#]|$)")
MEMBERS: Final = frozenset(("method", "url", "headers", "body"))


def is_request(value: Json) -> bool:
    """Tell whether a JSON value describes a whole request and is not the body of one."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("url"), str)
        and (isinstance(value.get("method"), str) or value.keys() <= MEMBERS)
    )


def body_name(value: Json) -> str:
    """Return the member of an object that holds the body of the request it describes; "" for no such object."""
    if not is_request(value):
        return ""
    return "json" if "body" not in value and "json" in value else "body"


_OTHER_BODIES: Final = ("data", "content", "payload", "form", "files")
"""Members in which other tools keep a body, each in its own way."""


def from_object(value: Mapping[str, Any], found: Found) -> Found:
    """Return the request of an object with method, url, headers and body."""
    headers = header_pairs(value.get("headers"))
    if headers is None:
        return replace(found, fault="headers is neither an object nor a list of names and values")
    body = value.get(body_name(value))
    method = value.get("method") or ("POST" if body is not None else "GET")
    other = next((one for one in _OTHER_BODIES if body is None and value.get(one) is not None), None)
    if other is not None:
        unread = f"the body: {other} is not read, only body and json are"
        found = replace(found, has_body=False, unchecked=(*found.unchecked, unread))
    if body is None:
        return from_parts(found, method, value["url"], headers, b"")
    if isinstance(body, str) and "body" in value:
        return from_parts(found, method, value["url"], headers, body.encode("utf-8", "replace"))
    names = {name.lower() for name, _ in headers}
    if "content-type" not in names:
        headers.append(("Content-Type", "application/json"))
    raw, fault = dump_json(body)
    if fault:
        return replace(found, fault=f"the body is no JSON: {fault}")
    return from_parts(found, method, value["url"], headers, raw)


def header_pairs(value: Json) -> list[tuple[str, str]] | None:
    """Return headers given as an object, as pairs, or as objects with name and value; None for anything else."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [(name, _header_text(one)) for name, one in value.items()]
    if not isinstance(value, list):
        return None
    out = []
    for item in value:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            out.append((item["name"], _header_text(item.get("value"))))
        elif isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            out.append((item[0], _header_text(item[1])))
        else:
            return None
    return out


def _header_text(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(_header_text(one) for one in value)
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def from_parts(found: Found, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Found:
    """Return the Found with the request of these parts, or the fault that keeps it from being one."""
    if _HOST_ONLY.match(url):
        # As curl guesses it; without a scheme a port would be taken for one.
        url = f"http://{url}"
    try:
        # HTTP/2 has pseudo headers, which archives show among the others.
        real = {name: value for name, value in headers if not name.startswith(":")}
        return replace(found, request=HttpRequest.from_parts(method, url, headers=real, body=body))
    except ValueError as error:
        return replace(found, fault=f"the URL cannot be read: {error}")
