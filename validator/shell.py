"""Shell text taken apart into commands and words, as a POSIX shell or Windows' cmd would read it.

Nothing is run.  What only a running shell knows (`$TOKEN`, `$(date)`, `%KEY%`) stays in the word as it is
written, and the word says so.  Sources: POSIX 2.2 and 2.3, bash's manual 3.1.2.4 for `$'...'`, Microsoft's
"Parsing C command-line arguments" for cmd.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_NESTING: Final = 50
"""Substitutions inside one another that are looked into."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a command; `open` are the expansions in it that stay as they are written."""

    text: str
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the line it begins on, counted from 1, and its words without redirections.

    `stdin` is what a here-document or an echo before it gives it to read.  `fault` says why the text from
    this line on is no command; there are no words then, and `passed` is the text that was passed over.
    """

    line: int
    words: tuple[Word, ...] = ()
    stdin: Word | None = None
    fault: str = ""
    passed: str = ""


def commands(text: str, values: dict[str, Word] | None = None) -> Iterator[Command]:
    """Yield the commands of a text, those inside substitutions before the one that holds them.

    `values` are the variables that are known; those of the text are added, for a text that goes on with it.
    """
    text = text.replace("\r\n", "\n")
    if _CMD.search(text) and not re.search(r"\\\n", text):
        yield from _cmd_commands(text)
    else:
        yield from _posix_commands(text, {} if values is None else values)


# --- POSIX ------------------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=", re.ASCII)
_RESTART: Final = re.compile(r"^[ \t]*(?:[$%>][ \t]+)?curl\b", re.MULTILINE)
_DECLARING: Final = frozenset(("export", "readonly", "local", "declare", "typeset", "set"))
_ESCAPES: Final[Mapping[str, str]] = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_CODE: Final = re.compile(r"x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}")


class _UnclosedError(Exception):
    """A quote or a parenthesis without its end; `args` are what is open and where."""


@dataclass(slots=True)
class _Source:
    """A text that is read: where its lines begin, and where a line end leads that here-documents follow."""

    text: str
    first_line: int = 1
    jumps: dict[int, int] = field(default_factory=dict)
    _ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._ends = [match.start() for match in re.finditer("\n", self.text)]

    def line(self, at: int) -> int:
        """Return the number of the line that holds this place."""
        return self.first_line + bisect.bisect_left(self._ends, at)


def _posix_commands(text: str, values: dict[str, Word]) -> Iterator[Command]:
    source = _Source(text)
    start = 0
    while start < len(text):
        shell = _Shell(source=source, at=start, values=values)
        try:
            while shell.at < len(text):
                start = shell.at
                yield from shell.command()
            return
        except _UnclosedError as error:
            what, at = error.args
            begin = start + len(text[start:]) - len(text[start:].lstrip())
            # Whatever follows may still be read: the next line that begins as a command of interest does.
            end = text.find("\n", begin)
            again = _RESTART.search(text, end) if end >= 0 else None
            start = again.start() if again is not None else len(text)
            fault = f"{what} of line {at} is not closed"
            yield Command(line=source.line(begin), fault=fault, passed=text[begin:start])


@dataclass(slots=True)
class _Part:
    """A word while it is being put together."""

    text: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    is_quoted: bool = False

    def add(self, word: Word) -> None:
        self.text.append(word.text)
        self.open += word.open

    def leave_open(self, text: str) -> None:
        self.text.append(text)
        self.open.append(text)

    def word(self) -> Word:
        return Word("".join(self.text), tuple(self.open))


@dataclass(slots=True)
class _Here:
    """A here-document whose lines are still to come."""

    end: str
    is_literal: bool
    strips_tabs: bool


@dataclass(slots=True)
class _Shell:
    """Reads commands from `at` on; `values` are the variables that assignments in the text gave."""

    source: _Source
    at: int
    values: dict[str, Word]
    depth: int = 0
    nested: list[Command] = field(default_factory=list)
    stdin: Word | None = None
    end: str = ""
    text: str = field(init=False)
    _here: list[_Here] = field(default_factory=list)
    _given: Word | None = None

    def __post_init__(self) -> None:
        self.text = self.source.text

    def command(self) -> Iterator[Command]:
        """Yield the next command, and before it those inside its substitutions."""
        words: list[Word] = []
        line = 0
        self.end = ""
        while self.at < len(self.text) and not self.end:
            sign = self.text[self.at]
            if sign in " \t":
                self.at += 1
            elif self._skip_continuation():
                continue
            elif sign == "#":
                self.at = self._until("\n")
            elif sign in "\n;|&()":
                self.end = self._operator(sign)
            elif (redirection := _REDIRECTION.match(self.text, self.at)) and not self._stand_in():
                self._redirection(redirection)
            else:
                line = line or self.source.line(self.at)
                words.append(self._word().word())
        if self._here:
            # The lines of a here-document follow this line, whatever else stands on it.
            pause, line_end = self.at, self._until("\n")
            self.at = self.source.jumps.get(line_end, line_end + 1)
            self.source.jumps[line_end] = self._read_here()
            self.at = pause
        yield from self.nested
        self.nested.clear()
        stdin, self._given = self._given or self.stdin, None
        self.stdin = _output(words, stdin) if self.end == "|" else None
        if words and not self._assign(words):
            yield Command(line=line, words=tuple(words), stdin=stdin)

    def _until(self, sign: str) -> int:
        found = self.text.find(sign, self.at)
        return len(self.text) if found < 0 else found

    def _skip_continuation(self) -> bool:
        """Skip a backslash, or PowerShell's backtick, at the end of a line."""
        if self.text[self.at] in "\\`" and self.text[self.at + 1 : self.at + 2] == "\n":
            self.at += 2
            return True
        return False

    def _operator(self, sign: str) -> str:
        self.at += 1
        if sign == "\n":
            self.at = self.source.jumps.get(self.at - 1, self.at)
            if self._here:
                self.at = self._read_here()
            return sign
        if sign in "|&" and self.text[self.at : self.at + 1] == sign:
            self.at += 1
            return sign * 2
        if sign == "|" and self.text[self.at : self.at + 1] == "&":
            self.at += 1
        return sign

    def _redirection(self, found: re.Match[str]) -> None:
        self.at = found.end()
        operator = found["operator"]
        while self.at < len(self.text) and (self._skip_continuation() or self.text[self.at] in " \t"):
            self.at += self.text[self.at : self.at + 1] in (" ", "\t")
        if self.at >= len(self.text) or self.text[self.at] in "\n;|&()":
            return
        target = self._word()
        if operator in ("<<", "<<-"):
            end = "".join(target.text)
            self._here.append(_Here(end=end, is_literal=target.is_quoted, strips_tabs=operator == "<<-"))
        elif operator == "<<<":
            self._given = Word(target.word().text + "\n", tuple(target.open))
        elif operator == "<":
            written = f"< {target.word().text}"
            self._given = Word(written, (written,))

    def _read_here(self) -> int:
        """Read the here-documents that are due, from the beginning of a line on; return where they end."""
        for here in self._here:
            lines = []
            while self.at < len(self.text):
                end = self._until("\n")
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                line = line.lstrip("\t") if here.strips_tabs else line
                if line == here.end:
                    break
                lines.append(line + "\n")
            content = "".join(lines)
            self._given = Word(content) if here.is_literal else self._expanded(content)
        self._here.clear()
        return self.at

    def _expanded(self, text: str) -> Word:
        """Return the text of a here-document with what can be filled in filled in."""
        source = _Source(text, first_line=self.source.line(self.at))
        inner = _Shell(source=source, at=0, values=self.values, depth=self.depth)
        part = _Part()
        inner._quoted(part, end="")
        self.nested += inner.nested
        return part.word()

    def _assign(self, words: list[Word]) -> bool:
        """Remember the variables of a command that is nothing but assignments; tell whether it is."""
        # A page shows the prompt before it.
        words = words[1:] if words[0].text in ("$", "%") else words
        rest = words[1:] if words and words[0].text in _DECLARING else words
        rest = [word for word in rest if not word.text.startswith("-") or rest is words]
        if not rest or not all(_ASSIGNMENT.match(word.text) for word in rest):
            return False
        for word in rest:
            name, _, value = word.text.partition("=")
            if any(one.startswith(("$(", "`")) for one in word.open):
                # What a command prints stays under its name: its text would be mistaken for the value.
                self.values[name] = Word(f"${name}", (f"${name}",))
            else:
                self.values[name] = Word(value, word.open)
        return True

    # --- words --------------------------------------------------------------------------------------------

    def _word(self) -> _Part:
        part = _Part()
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign in "<>" and self.text[self.at + 1 : self.at + 2] == "(":
                self.at += 1
                self._substitution(part, self.at - 1)
                continue
            if stand_in := self._stand_in():
                part.leave_open(stand_in)
                self.at += len(stand_in)
                continue
            if sign in " \t\n;|&()<>":
                break
            if self._skip_continuation() or self._apostrophe(part):
                continue
            start = self.at
            self.at += 1
            if sign == "'":
                end = self._until("'")
                if end == len(self.text):
                    raise _UnclosedError("the quote '", self.source.line(start))
                part.text.append(self.text[self.at : end])
                part.is_quoted = True
                self.at = end + 1
            elif sign == '"':
                part.is_quoted = True
                self._quoted(part, end='"')
            elif sign == "\\":
                part.is_quoted = True
                part.text.append(self.text[self.at : self.at + 1])
                self.at += 1
            elif sign == "$" and self.text[self.at : self.at + 1] == "'":
                part.is_quoted = True
                part.text.append(self._ansi(start))
            elif sign == "$" and self.text[self.at : self.at + 1] == '"':
                self.at += 1
                part.is_quoted = True
                self._quoted(part, end='"')
            elif sign in "$`":
                self._expansion(part, sign)
            else:
                part.text.append(sign)
        return part

    def _stand_in(self) -> str:
        """Return the <id> of a page that begins here, which a shell would take for two redirections."""
        found = _STAND_IN.match(self.text, self.at)
        return found[0] if found else ""

    def _apostrophe(self, part: _Part) -> bool:
        """Read the apostrophe of prose, as in don't, where a quote would swallow a command of interest."""
        is_inside = _APOSTROPHE.match(self.text, self.at - 1) if self.at else None
        if not is_inside or not part.text:
            return False
        if not _RESTART.search(self.text, self.at, self.text.find("'", self.at + 1) + 1):
            return False
        part.text.append("'")
        self.at += 1
        return True

    def _quoted(self, part: _Part, *, end: str) -> None:
        """Read on to the closing double quote, or to the end of the text for end=""."""
        start = self.at - 1
        while self.at < len(self.text):
            sign = self.text[self.at]
            self.at += 1
            if sign == end:
                return
            if sign == "\\":
                after = self.text[self.at : self.at + 1]
                if after == "\n":
                    self.at += 1
                elif after and after in '$`\\"' and (end or after != '"'):
                    part.text.append(after)
                    self.at += 1
                else:
                    part.text.append(sign)
            elif sign in "$`":
                self._expansion(part, sign)
            else:
                plain = _PLAIN.match(self.text, self.at - 1)
                assert plain is not None
                part.text.append(plain[0] if plain[0] else sign)
                self.at += max(len(plain[0]) - 1, 0)
        if end:
            raise _UnclosedError(f"the quote {end}", self.source.line(start))

    def _ansi(self, start: int) -> str:
        """Read on from the quote of $'...' to its end."""
        self.at += 1
        out: list[str] = []
        while self.at < len(self.text):
            sign = self.text[self.at]
            self.at += 1
            if sign == "'":
                # Browsers write a sign beyond the first plane as two halves.
                return "".join(out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if sign != "\\":
                out.append(sign)
            elif code := _CODE.match(self.text, self.at):
                digits = code[0] if code[0][0].isdigit() else code[0][1:]
                number = int(digits, 8 if code[0][0].isdigit() else 16)
                out.append(chr(number) if number <= 0x10FFFF else "\ufffd")
                self.at = code.end()
            else:
                after = self.text[self.at : self.at + 1]
                out.append(_ESCAPES.get(after, "\\" + after))
                self.at += 1
        raise _UnclosedError("the quote $'", self.source.line(start))

    def _expansion(self, part: _Part, sign: str) -> None:
        """Read what stands behind a dollar or a backtick, and fill it in where its value is known."""
        start = self.at - 1
        if sign == "`":
            end = self._until("`")
            if end == len(self.text):
                raise _UnclosedError("the backtick `", self.source.line(start))
            self.at = end + 1
            part.leave_open(self.text[start : self.at])
        elif self.text.startswith("((", self.at):
            end = self.text.find("))", self.at)
            if end < 0:
                raise _UnclosedError("the $((", self.source.line(start))
            self.at = end + 2
            part.leave_open(self.text[start : self.at])
        elif self.text.startswith("(", self.at):
            self._substitution(part, start)
        elif self.text.startswith("{", self.at):
            self._parameter(part, start)
        elif name := _NAME.match(self.text, self.at):
            self.at = name.end()
            self._variable(part, name[0], self.text[start : self.at])
        elif self.text[self.at : self.at + 1] in tuple("0123456789@*#?!$"):
            self.at += 1
            part.leave_open(self.text[start : self.at])
        else:
            part.text.append(sign)

    def _variable(self, part: _Part, name: str, written: str) -> None:
        if name in self.values:
            part.add(self.values[name])
        else:
            part.leave_open(written)

    def _parameter(self, part: _Part, start: int) -> None:
        end = self._until("}")
        if end == len(self.text):
            raise _UnclosedError("the ${", self.source.line(start))
        inside = self.text[self.at + 1 : end]
        self.at = end + 1
        name = _NAME.match(inside)
        rest = inside[name.end() :] if name else ""
        if name and name[0] in self.values and (not rest or rest.startswith((":-", "-", ":?", "?"))):
            part.add(self.values[name[0]])
        elif name and rest.startswith((":-", "-")) and not set(rest) & set("$`\"'"):
            part.text.append(rest.lstrip(":")[1:])
        else:
            part.leave_open(self.text[start : self.at])

    def _substitution(self, part: _Part, start: int) -> None:
        """Read the commands of $(...); a here-document that is only passed on is the value."""
        if self.depth >= MAX_NESTING:
            raise _UnclosedError("the $( nested too deep", self.source.line(start))
        inner = _Shell(source=self.source, at=self.at + 1, values=dict(self.values), depth=self.depth + 1)
        found: list[Command] = []
        level = 0
        while level >= 0:
            found += inner.command()
            if not inner.end:
                raise _UnclosedError("the $(", self.source.line(start))
            level += {"(": 1, ")": -1}.get(inner.end, 0)
        self.at = inner.at
        only = found[0] if len(found) == 1 else None
        if only is not None and only.stdin is not None and [word.text for word in only.words] == ["cat"]:
            part.add(Word(only.stdin.text.rstrip("\n"), only.stdin.open))
            return
        self.nested += found
        part.leave_open(self.text[start : self.at])


_STAND_IN: Final = re.compile(r"<[A-Za-z][A-Za-z0-9_-]*>")
_APOSTROPHE: Final = re.compile(r"[^\W\d_]'[^\W\d_]")
_REDIRECTION: Final = re.compile(r"(?:\d+|&)?(?P<operator><<<|<<-|<<|<>|<&|<|>>|>&|>\||>)(?!\()")
_PLAIN: Final = re.compile(r"[^\\$`\"]*")


def _output(words: list[Word], stdin: Word | None) -> Word | None:
    """Return what the simplest of commands write into a pipe: echo, printf with one word, and cat."""
    if not words:
        return None
    name, *rest = words
    if name.text == "cat" and not rest:
        return stdin
    if name.text == "echo":
        shown = [word for word in rest if word.text not in ("-n", "-e", "-E")]
    elif name.text == "printf" and rest:
        shown = rest[1:] if rest[0].text in ("%s", "%s\\n") else rest
    else:
        return None
    text = " ".join(word.text for word in shown)
    return Word(text + "\n", tuple(one for word in shown for one in word.open))


# --- cmd --------------------------------------------------------------------------------------------------

_CMD: Final = re.compile(r'\^[ \t]*\n|\^"')
_CMD_VARIABLE: Final = re.compile(r"%[A-Za-z_]\w*%|![A-Za-z_]\w*!", re.ASCII)


def _cmd_commands(text: str) -> Iterator[Command]:
    """Yield the commands of a batch file: carets and line ends first, then the words of each line."""
    line, start, out = 1, 1, list[str]()
    at, is_quoted = 0, False
    while at <= len(text):
        sign = text[at : at + 1]
        if sign == "^" and not is_quoted:
            after = text[at + 1 : at + 2]
            if after == "\n":
                line += 1
                # A caret before the end of a line joins it to the next; an empty next line is a line end.
                if text[at + 2 : at + 3] == "\n":
                    out.append("\n")
                    line += 1
                    at += 1
            else:
                out.append(after)
            at += 2
            continue
        if sign in ("", "\n") or (sign in "&|" and not is_quoted):
            content = "".join(out)
            if content.strip() and not re.match(r"\s*(?:@?rem\b|::)", content, re.IGNORECASE):
                yield Command(line=start, words=tuple(_cmd_words(content.lstrip().removeprefix("@"))))
            out.clear()
            is_quoted = False
            line += sign == "\n"
            start = line
        else:
            is_quoted ^= sign == '"'
            out.append(sign)
        at += 1


def _cmd_words(content: str) -> Iterator[Word]:
    """Yield the words of a line as a C program gets them."""
    at = 0
    while at < len(content):
        while at < len(content) and content[at] in " \t\n":
            at += 1
        if at == len(content):
            return
        out: list[str] = []
        is_quoted = False
        while at < len(content) and (is_quoted or content[at] not in " \t\n"):
            slashes = len(content[at:]) - len(content[at:].lstrip("\\")) if content[at] == "\\" else 0
            if slashes:
                at += slashes
                if content[at : at + 1] == '"':
                    out.append("\\" * (slashes // 2))
                    if slashes % 2:
                        out.append('"')
                        at += 1
                else:
                    out.append("\\" * slashes)
            elif content[at] == '"':
                if is_quoted and content[at + 1 : at + 2] == '"':
                    out.append('"')
                    at += 1
                else:
                    is_quoted = not is_quoted
                at += 1
            else:
                out.append(content[at])
                at += 1
        text = "".join(out)
        yield Word(text, tuple(_CMD_VARIABLE.findall(text)))
