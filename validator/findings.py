"""Findings of a run with their places and fingerprints; those a comment passes over, and those of a baseline.

Knows judgements; knows no form of output.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Final, Literal

import orjson

from validator.contract.expressions import MISSING, Json
from validator.lint import Judgement
from validator.partial import holes, value_at
from validator.printing import clean
from validator.report import Violation, printable
from validator.request import dump_json

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding, ready to be told anywhere.

    `file` is the path as it was named, with forward slashes, "" for standard input; `line` and `column` count
    from 1 and are 0 where nothing is known.  `digest` stands for the value that is wrong; `occurrence` counts
    findings that are the same in all but their place, from 1.
    """

    judgement: Judgement
    violation: Violation
    file: str
    line: int
    column: int
    level: Level
    digest: str
    occurrence: int = 1

    @property
    def where(self) -> str:
        """Return the member, parameter or part of the request that is wrong, as people write it."""
        one = self.violation
        if one.kind == "unauthorized":
            return "credential"
        where = one.field if one.place == "body" else f"{one.place} {one.instance_location}".rstrip()
        return where or "request"

    @property
    def message(self) -> str:
        """Return the finding in one line; nothing in it steers a terminal."""
        one = self.violation
        parts = [f"{self.where}: {one.message}"]
        parts += [f"found {one.found}"] * bool(one.found)
        parts += [f"allowed: {one.allowed}"] * bool(one.allowed)
        parts += [f"try: {one.suggestion}"] * bool(one.suggestion)
        return printable("; ".join(parts))

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Return (file, rule, place, pointer, digest): what stays the same when lines move."""
        one = self.violation
        return self.file, one.rule, one.place, one.instance_location, self.digest

    @property
    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that stay the same when lines move."""
        return _digest("\0".join(("1", *self.key, str(self.occurrence))))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_name(name: str) -> str:
    """Return a path as reports name it: below the current directory where it lies there, with forward slashes."""
    if not name:
        return ""
    path = PurePath(os.path.normpath(name))
    if path.is_absolute():
        try:
            path = path.relative_to(Path.cwd())
        except (ValueError, OSError):
            return path.as_posix()
    return path.as_posix()


def findings_of(judgements: Iterable[Judgement]) -> list[Finding]:
    """Return the findings of judgements in their order, those that are hidden left out."""
    counts: Counter[Any] = Counter()
    out = []
    for judgement in judgements:
        if judgement.report is None:
            continue
        for violation in judgement.report.violations:
            one = finding(judgement, violation)
            counts[one.key] += 1
            out.append(replace(one, occurrence=counts[one.key]))
    return out


def finding(judgement: Judgement, violation: Violation) -> Finding:
    """Return the finding that a violation is."""
    line, column = judgement.place(violation)
    return Finding(
        judgement=judgement,
        violation=violation,
        file=file_name(judgement.found.file),
        line=line,
        column=column,
        level="warning" if violation.effect == "warn" else "error",
        digest=_value_digest(judgement, violation),
    )


def _value_digest(judgement: Judgement, violation: Violation) -> str:
    """Return what stands for the value that is wrong; a value itself may be long, or nobody's business."""
    found = judgement.found
    if violation.place == "body" and violation.kind == "invalid" and violation.instance_location:
        body: Json = found.value
        if body is MISSING and found.request is not None:
            try:
                body = orjson.loads(found.request.body)
            except orjson.JSONDecodeError:
                body = MISSING
        value = value_at(body, violation.instance_location)
        if value is MISSING:
            return ""
        if next(holes(value), None) is None:
            return _digest(dump_json(value)[0].decode())[:16]
    return _digest(violation.found)[:16] if violation.found else ""


# --- comments ---------------------------------------------------------------------------------------------

_IGNORE: Final = re.compile(
    r"(?:#|//|/\*|<!--|--|::|\bREM\b)[ \t]*understudy:[ \t]*ignore\b(?:\[([^\]\n]*)\])?"
)
_ALONE: Final = re.compile(r"^\s*(?:#|//|/\*|<!--|--|::|REM\b|\{/\*)")

Ignores = Mapping[int, frozenset[str]]
"""Line, from 1 -> rules that are passed over there; an empty set stands for all of them."""


def read_ignores(text: str) -> Ignores:
    """Return what the comments of a text pass over.

    A comment speaks of its own line; one that has the line for itself, of the next line that is none.
    """
    if "understudy:" not in text:
        return {}
    out: dict[int, frozenset[str]] = {}
    waiting: list[frozenset[str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        found = _IGNORE.search(line)
        if found is not None:
            said = [] if found[1] is None else [one.strip() for one in found[1].split(",") if one.strip()]
            # Empty brackets name no rule, which is less than none said.
            rules = frozenset(said if said or found[1] is None else [""])
            if _ALONE.match(line):
                waiting.append(rules)
                out[number] = rules
                continue
            out[number] = _joined([*waiting, rules])
            waiting = []
        elif waiting and line.strip() and not _ALONE.match(line):
            out[number] = _joined(waiting)
            waiting = []
    return out


def _joined(sets: Sequence[frozenset[str]]) -> frozenset[str]:
    return frozenset() if any(not one for one in sets) else frozenset().union(*sets)


def without_ignored(judgement: Judgement, ignores: Ignores) -> Judgement:
    """Return a judgement without what a comment passes over, on its line or where the request begins."""
    if not ignores or judgement.report is None:
        return judgement

    def is_ignored(one: Violation) -> bool:
        for line in {judgement.place(one)[0], judgement.found.line}:
            rules = ignores.get(line)
            if rules is not None and (not rules or any(_is_rule(one.rule, name) for name in rules)):
                return True
        return False

    hidden = tuple(one for one in judgement.report.violations if is_ignored(one))
    return replace(_without(judgement, hidden), ignored=hidden) if hidden else judgement


def _is_rule(rule: str, name: str) -> bool:
    return rule == name or rule.endswith(f".{name}")


def _without(judgement: Judgement, hidden: Sequence[Violation]) -> Judgement:
    assert judgement.report is not None
    kept = tuple(one for one in judgement.report.violations if not any(one is other for other in hidden))
    report = replace(judgement.report, violations=kept)
    is_refused = report.verdict == "refused"
    fails = any(one.effect == "fail" for one in kept)
    return replace(
        judgement,
        report=report,
        # The provider still answers; but what it says is about the finding that is passed over.
        answer=judgement.answer if is_refused and kept[0] is judgement.report.violations[0] else None,
        failure=judgement.failure if fails else None,
    )


# --- the baseline -----------------------------------------------------------------------------------------

VERSION: Final = 1


class BaselineError(ValueError):
    """A file that is no baseline: the sentence says why."""


@dataclass(slots=True)
class Baseline:
    """Findings that were known before, and how many of each; `seen` counts those that were met again."""

    known: Counter[tuple[str, str, str, str, str]]
    seen: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counter)
    looked: set[str] = field(default_factory=set)

    def without_known(self, judgement: Judgement) -> Judgement:
        """Return a judgement without the findings that stand in the baseline, each as often as it stands there."""
        self.looked.add(file_name(judgement.found.file))
        if judgement.report is None:
            return judgement
        hidden = []
        for violation in judgement.report.violations:
            key = finding(judgement, violation).key
            if self.seen[key] < self.known[key]:
                self.seen[key] += 1
                hidden.append(violation)
        return replace(_without(judgement, hidden), known=tuple(hidden)) if hidden else judgement

    def stale(self) -> list[str]:
        """Return the entries that were not met in the files that were looked at, a sentence each."""
        out = []
        for key, count in sorted(self.known.items()):
            file, rule, _, pointer, _ = key
            # Of a file that was not looked at this time, nothing is known.
            if count > self.seen[key] and (file in self.looked or (file and not Path(file).exists())):
                at = f" at {pointer}" if pointer else ""
                times = f" ({count - self.seen[key]} of {count})" if count > 1 else ""
                out.append(printable(f"{file or 'standard input'}: {rule}{at} is no longer found{times}"))
        return out


def read_baseline(content: bytes) -> Baseline:
    """Return the baseline of a file; raises BaselineError."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BaselineError(
            f"it is no JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    if not isinstance(value, dict) or not isinstance(value.get("findings"), list):
        raise BaselineError("it is no baseline: version and findings are not there")
    if value.get("version") != VERSION:
        raise BaselineError(f"it has version {value.get('version')!r}, and only {VERSION} is understood")
    known: Counter[tuple[str, str, str, str, str]] = Counter()
    for number, one in enumerate(value["findings"]):
        try:
            file, rule = one["file"], one["rule"]
            place, pointer, digest = one.get("place", "body"), one.get("pointer", ""), one.get("digest", "")
            count = one.get("count", 1)
        except (TypeError, KeyError, AttributeError):
            raise BaselineError(f"findings[{number}] has no file and rule") from None
        texts = (file, rule, place, pointer, digest)
        if not all(isinstance(text, str) for text in texts) or not isinstance(count, int) or count < 1:
            raise BaselineError(f"findings[{number}] is not written the way --write-baseline does")
        known[texts] += count
    return Baseline(known=known)


def baseline_text(findings: Iterable[Finding]) -> str:
    """Return the baseline of findings as JSON: sorted, so that a change of it can be read."""
    counts: Counter[tuple[str, str, str, str, str]] = Counter()
    messages: dict[tuple[str, str, str, str, str], str] = {}
    for one in findings:
        counts[one.key] += 1
        messages.setdefault(one.key, one.message)
    entries = []
    for key, count in sorted(counts.items()):
        file, rule, place, pointer, digest = key
        entry: dict[str, Json] = {"file": file, "rule": rule}
        if place != "body":
            entry["place"] = place
        entry |= {"pointer": pointer, "digest": digest}
        if count > 1:
            entry["count"] = count
        # For people; it is not compared.
        entries.append(entry | {"message": messages[key]})
    value = {"version": VERSION, "tool": "understudy lint", "findings": entries}
    return orjson.dumps(clean(value), option=orjson.OPT_INDENT_2).decode() + "\n"
