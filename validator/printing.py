"""What commands print with: colours, tables that fit the terminal, JSON.  Knows no contract."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Final, Literal

import orjson

from validator.contract.expressions import Json
from validator.report import printable

ColourChoice = Literal["auto", "always", "never"]

Paint = Callable[[str, str], str]
"""(text, ANSI code) -> the text in that colour, or as it is."""

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"

_LONGEST_LINE: Final = 110
"""Columns that JSON is kept on one line in."""


def is_coloured(
    choice: ColourChoice, stream: IO[str] | None, environment: Mapping[str, str] = os.environ
) -> bool:
    """Tell whether to colour what goes to a stream; None is one that was closed.

    Sources: no-color.org and force-color.org; where both are set the first counts, as for Python itself.
    """
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return environment.get("TERM") != "dumb" and is_terminal(stream)


def is_terminal(stream: IO[str] | None) -> bool:
    """Tell whether somebody reads a stream on a terminal."""
    return stream is not None and stream.isatty()


def painter(*, colour: bool) -> Paint:
    """Return what paints texts, or leaves them alone."""
    if not colour:
        return lambda text, code: text
    return lambda text, code: f"\x1b[{code}m{text}\x1b[0m" if text else text


def terminal_width(stream: IO[str] | None) -> int | None:
    """Return the columns of the terminal behind a stream, None where there is none: then nothing is cut."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def table(
    rows: Sequence[Sequence[str]], *, width: int | None, paint: Paint, codes: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the lines of a table: columns side by side, the last one wrapped to the width and never cut.

    `codes` are the colours of the columns.  Where the last column would get less than 30 characters, it
    stands below the others.
    """
    if not rows:
        return
    count = len(rows[0])
    widths = [max(len(row[column]) for row in rows) for column in range(count - 1)]
    indent = sum(widths) + 2 * len(widths)
    is_below = width is not None and width - indent < 30
    room = None if width is None else (width - 4 if is_below else width - indent)
    for row in rows:
        cells = [
            paint(cell, code) + " " * (size - len(cell))
            for cell, size, code in zip(row[:-1], widths, [*codes, *[""] * count], strict=False)
        ]
        last = [row[-1]] if room is None else textwrap.wrap(row[-1], max(room, 20)) or [""]
        if is_below:
            yield "  ".join(cells).rstrip()
            yield from ("    " + line for line in last)
        else:
            yield ("  ".join([*cells, last[0]])).rstrip()
            yield from (" " * indent + line for line in last[1:])


def json_text(value: Json) -> str:
    """Return JSON for machines: indented, in the order of its members."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def json_lines(value: Json) -> list[str]:
    """Return JSON for people: on one line where it fits, indented otherwise, nothing that steers a terminal."""
    flat = printable(orjson.dumps(value).decode())
    if len(flat) <= _LONGEST_LINE:
        return [flat]
    return [printable(line) for line in json_text(value).splitlines()]


def plural(count: int, word: str) -> str:
    """Return a number with its word.

    >>> plural(1, "request"), plural(2, "request")
    ('1 request', '2 requests')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def without_empty(members: Mapping[str, Any]) -> dict[str, Json]:
    """Return JSON without the members that hold nothing: None, an empty text, an empty list."""
    return {name: value for name, value in members.items() if value not in (None, "", [], ())}


def clean(value: Any) -> Any:
    """Return a JSON value whose texts UTF-8 can say: names of files may hold bytes that are no text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {clean(name): clean(member) for name, member in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value
