"""Requests of .http and .rest files, as editors send them.  No file that one names is read, no script run.

Sources: the pages of the REST Client for VS Code and of the HTTP Client of the JetBrains IDEs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from validator.calls import Text, sent, text_of
from validator.contract.expressions import MISSING
from validator.found import Found, JsonText, from_parts
from validator.placeholders import fill_text, read_body, with_marks

_DIVIDER: Final = re.compile(r"^###")
_SETTING: Final = re.compile(r"^@([\w.-]+)\s*=\s*(.*?)\s*$")
_COMMENT: Final = re.compile(r"^\s*(?:#|//)")
_REQUEST: Final = re.compile(
    r"^(?:([A-Z]{3,10}|(?i:get|post|put|patch|delete|head|options))\s+)?(\S.*?)(?:\s+HTTP/[\d.]+)?\s*$"
)
_ADDRESS: Final = re.compile(r"^(?:https?://|/|\{\{|[\w.-]+(?::\d+)?(?:/|$))")
_HEADER: Final = re.compile(r"^([\w!#$%&'*+.^`|~-]+)\s*:\s*(.*?)\s*$")
_BEHIND: Final = re.compile(r"^(?:>{1,2}\s*(?:\{%|\S)|>>!|<>\s|\?\?\s|\{\{[@+\w]*\s*$)")
"""What an editor does with the answer: scripts, files to keep it in, what it is expected to be."""
_ORDER: Final = re.compile(r"^(?:import|run)\s+\S")
"""What concerns other files: their requests stand there."""
_FROM_FILE: Final = re.compile(r"^<(?!>)@?\w*\s+(\S.*)$")


def read_http(text: str, name: str) -> Iterator[Found]:
    """Yield the requests of a file."""
    lines = text.split("\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    blocks, begin = [], 0
    for number, line in enumerate(lines):
        if _DIVIDER.match(line):
            blocks.append((begin, number))
            begin = number + 1
    blocks.append((begin, len(lines)))
    heads = [_head(lines, start, end) for start, end in blocks]
    # A variable counts in the whole file, wherever it is set.
    variables = {key: value for settings, _ in heads for key, value in settings.items()}
    for (_, at), (_, end) in zip(heads, blocks, strict=True):
        if at is not None:
            yield _request(lines, offsets, at, end, variables, name, text)


def _head(lines: list[str], start: int, end: int) -> tuple[dict[str, str], int | None]:
    """Return (variables, line of the request or None) of a block."""
    settings: dict[str, str] = {}
    is_script = False
    for number in range(start, end):
        line = lines[number].rstrip("\r")
        if is_script:
            is_script = "%}" not in line
        elif found := _SETTING.match(line):
            settings[found[1]] = found[2]
        elif re.match(r"HTTP/\d", line):
            # An answer, as pages show it.
            return settings, None
        elif line.startswith("< {%"):
            is_script = "%}" not in line
        elif line.strip() and not any(one.match(line) for one in (_COMMENT, _FROM_FILE, _ORDER)):
            return settings, number
    return settings, None


def _request(
    lines: list[str],
    offsets: list[int],
    at: int,
    end: int,
    variables: Mapping[str, str],
    name: str,
    text: str,
) -> Found:
    found = Found(label=f"{name} line {at + 1}", file=name, line=at + 1, column=1)
    head = _REQUEST.match(lines[at].rstrip("\r"))
    if head is None or not _ADDRESS.match(head[2]):
        return replace(found, fault="neither a method nor an address begins the request", unread="")
    method, url = (head[1] or "GET").upper(), head[2]
    number = at + 1
    while number < end and re.match(r"\s+[?&]", lines[number]):
        url += lines[number].strip()
        number += 1
    url = re.sub(r"\s+HTTP/[\d.]+$", "", url)
    headers: dict[str, str | Text] = {}
    while number < end and lines[number].strip():
        line = lines[number].rstrip("\r")
        header = _HEADER.match(line)
        if header:
            headers[header[1]] = fill_text(header[2], variables)
        elif not _COMMENT.match(line):
            return replace(found, fault=f"line {number + 1} is no header")
        number += 1
    while number < end and not lines[number].strip():
        number += 1
    last = number
    while last < end and not _BEHIND.match(lines[last]):
        last += 1
    address = text_of(fill_text(url, variables))
    content = "\n".join(lines[number:last])
    if not content.strip():
        return sent(found, method, address, headers, MISSING)
    from_file = _FROM_FILE.match(lines[number].rstrip("\r"))
    if from_file:
        unread = f"the body: the file {from_file[1]}, which is not read"
        return replace(sent(found, method, address, headers, MISSING), has_body=False, unchecked=(unread,))
    value = read_body(content, variables)
    if value is not MISSING:
        marked = text[: offsets[number]] + with_marks(content)
        found = replace(found, places=JsonText(marked, offsets[number]).places())
        return sent(found, method, address, headers, value, encoding="text")
    filled = fill_text(content.strip(), variables)
    if isinstance(filled, Text):
        unread = "the body: no JSON until its variables are filled in"
        return replace(sent(found, method, address, headers, MISSING), has_body=False, unchecked=(unread,))
    known = sent(found, method, address, headers, MISSING)
    shown = [(key, text_of(one)) for key, one in headers.items()]
    made = from_parts(known, method, address, shown, filled.encode("utf-8", "replace"))
    return replace(made, open=known.open)
