"""An answer, and how it travels: whole and at once, or late, in pieces, cut short, or not at all.

Pure: says what is to happen; `faults.py` does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

HeaderList = list[tuple[bytes, bytes]]


def header_text(text: str) -> str:
    """Return a text as it may stand in a header; what cannot is left out (RFC 9110, 5.5).

    A line break would be the end of that header, and the beginning of another.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if " " <= char <= "~")


class Answer:
    """An answer before it is sent: headers in bytes, names in lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: HeaderList, body: bytes) -> None:
        """Take the parts."""
        self.status, self.headers, self.body = status, headers, body

    def header(self, name: bytes, value: bytes | None) -> None:
        """Put a header in place of all of its name; None takes it away."""
        self.headers = [pair for pair in self.headers if pair[0] != name]
        if value is not None:
            self.headers.append((name, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How an answer travels.

    It waits `delay_s` seconds of the wall clock, on which the client's own time-outs run; then the body goes in
    `pieces`, spread over `spread_s` seconds.  Of it only the share `kept` is sent before the connection ends, where
    that is not None.  `is_reset`: the connection ends at once, and nothing of the answer is sent.
    """

    delay_s: float = 0.0
    pieces: int = 1
    spread_s: float = 0.0
    kept: float | None = None
    is_reset: bool = False

    def then(self, other: Wire) -> Wire:
        """Return a wire that does what both do."""
        return replace(
            self,
            delay_s=self.delay_s + other.delay_s,
            pieces=max(self.pieces, other.pieces),
            spread_s=self.spread_s + other.spread_s,
            kept=self.kept if other.kept is None else other.kept,
            is_reset=self.is_reset or other.is_reset,
        )


PLAIN: Final = Wire()
