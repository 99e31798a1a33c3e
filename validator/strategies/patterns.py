"""Texts that match a regular expression, built from it.

Reads the part of ECMA 262 that schemas use.  What a look-ahead asks for is written out or not, other look-around is
passed over: a text is to be tried against the expression before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from validator.strategies.choices import Chooser, Unsupported

_PRINTABLE: Final = "".join(chr(code) for code in range(0x20, 0x7F))
_DIGITS: Final = "0123456789"
_WORD: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_BLANKS: Final = " \t"
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": _BLANKS}
_BEYOND: Final = "éß中\u00a0\u200b\ufeff\U0001f3ac"
"""Characters that are not ASCII, for a class that holds no others."""

_MORE: Final = 3
"""Repetitions beyond the least that are tried."""


@dataclass(frozen=True, slots=True)
class Signs:
    """One of some characters, the plainest first."""

    choices: str


@dataclass(frozen=True, slots=True)
class Row:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same, so many times; `most` None for any number."""

    part: Node
    least: int
    most: int | None


Node = Signs | Row | Either | Repeated


def parse(pattern: str) -> Node:
    """Return the expression as a tree; raises Unsupported for what schemas rarely hold, such as back-references."""
    reader = _Reader(pattern)
    node = reader.either()
    if reader.at < len(pattern):
        raise Unsupported(f"the pattern {pattern!r} is not understood at character {reader.at + 1}")
    return node


def build(node: Node, chooser: Chooser) -> str:
    """Return a text that the tree describes."""
    match node:
        case Signs():
            return node.choices[chooser.below(len(node.choices))]
        case Row():
            return "".join(build(part, chooser) for part in node.parts)
        case Either():
            return build(node.branches[chooser.below(len(node.branches))], chooser)
        case Repeated():
            most = node.least + _MORE if node.most is None else min(node.most, node.least + _MORE)
            count = node.least + chooser.below(most - node.least + 1)
            return "".join(build(node.part, chooser) for _ in range(count))


@dataclass(slots=True)
class _Reader:
    """A place in an expression, and how to read on from it."""

    text: str
    at: int = field(default=0)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        sign = self.peek()
        self.at += 1
        return sign

    def either(self) -> Node:
        branches = [self.row()]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.row())
        return branches[0] if len(branches) == 1 else Either(tuple(branches))

    def row(self) -> Node:
        parts: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            part = self.piece()
            if part is not None:
                parts.append(self.counted(part))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def piece(self) -> Node | None:
        sign = self.take()
        match sign:
            case "^" | "$":
                return None
            case ".":
                return Signs(_plainest(_PRINTABLE))
            case "(":
                return self.group()
            case "[":
                return Signs(self.members())
            case "\\":
                found = self.escape()
                return None if found == "" else Signs(found)
            case _:
                return Signs(sign)

    def group(self) -> Node | None:
        opening = ""
        if self.peek() == "?":
            for opening in ("?:", "?=", "?!", "?<=", "?<!"):
                if self.text.startswith(opening, self.at):
                    self.at += len(opening)
                    break
            else:
                # A group with a name.
                opening = "?<"
                self.at = self.text.find(">", self.at) + 1
                if self.at == 0:
                    raise Unsupported(f"the pattern {self.text!r} opens a group that is not understood")
        node = self.either()
        if self.take() != ")":
            raise Unsupported(f"the pattern {self.text!r} has a group without an end")
        if opening == "?=":
            # What follows may be what it looks for, or may not: '(?=.*[0-9]).{8,}' alone would have no digit.
            return Either((Row(()), node))
        return node if opening in ("", "?:", "?<") else None

    def escape(self) -> str:
        """Return the characters an escape stands for, "" for a boundary, which is none."""
        sign = self.take()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign.lower() in _CLASSES:
            return _plainest([one for one in _PRINTABLE if one not in _CLASSES[sign.lower()]])
        if sign in ("b", "B"):
            return ""
        if sign in _ESCAPES:
            return _ESCAPES[sign]
        if sign in ("x", "u"):
            return self.numbered(2 if sign == "x" else 4)
        if sign.isalnum():
            raise Unsupported(f"the pattern {self.text!r} uses \\{sign}, which is not understood")
        return sign

    def numbered(self, length: int) -> str:
        """Return the character whose number follows, in so many digits or in braces."""
        digits = self.text[self.at : self.at + length]
        end = self.text.find("}", self.at) if digits.startswith("{") else -1
        if end > 0:
            digits = self.text[self.at + 1 : end]
            self.at = end + 1
        else:
            self.at += length
        try:
            return chr(int(digits, 16))
        except ValueError:
            raise Unsupported(
                f"the pattern {self.text!r} has a character of the number {digits!r}, which is none"
            ) from None

    def members(self) -> str:
        is_negated = self.peek() == "^"
        self.at += is_negated
        found: list[str] = []
        while self.peek() != "]":
            if self.peek() == "":
                raise Unsupported(f"the pattern {self.text!r} has a class without an end")
            first = self._member()
            if (
                len(first) == 1
                and self.peek() == "-"
                and self.text[self.at + 1 : self.at + 2] not in ("]", "")
            ):
                self.at += 1
                last = self._member()
                # A thousand characters of a range show as much as all of them.
                found += [chr(code) for code in range(ord(first), min(ord(last), ord(first) + 1_000) + 1)]
            else:
                found += first
        self.at += 1
        if is_negated:
            found = [sign for sign in _PRINTABLE + _BEYOND if sign not in found]
        if not found:
            raise Unsupported(f"the pattern {self.text!r} has a class that nothing is in")
        return _plainest(found)

    def _member(self) -> str:
        sign = self.take()
        if sign != "\\":
            return sign
        return "\b" if self.peek() == "b" and self.take() else self.escape()

    def counted(self, part: Node) -> Node:
        """Return the piece with the quantifier behind it, if there is one."""
        bounds: tuple[int, int | None]
        match self.peek():
            case "*":
                bounds = (0, None)
            case "+":
                bounds = (1, None)
            case "?":
                bounds = (0, 1)
            case "{" if (end := self.text.find("}", self.at)) > 0:
                low, comma, high = self.text[self.at + 1 : end].partition(",")
                if not low.isdigit():
                    return part
                bounds = (int(low), (int(high) if high else None) if comma else int(low))
                self.at = end
            case _:
                return part
        self.at += 1
        if self.peek() in ("?", "+"):
            self.at += 1
        return Repeated(part, *bounds)


def _plainest(signs: Sequence[str]) -> str:
    """Return characters with letters and digits in front."""
    return "".join(sorted(dict.fromkeys(signs), key=lambda sign: (not sign.isalnum(), sign not in _DIGITS)))
