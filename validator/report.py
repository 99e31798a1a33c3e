"""What a check found: violations as values, and how they read.

A finding says where, what was found, what is allowed, by which rule, and where that is written.  Values
are abbreviated and credentials never shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from validator.contract.expressions import Json, to_text
from validator.contract.model import Effect, Evidence, Place, Source

Kind = Literal[
    "no-route",
    "method-not-allowed",
    "unauthorized",
    "forbidden",
    "unsupported-media-type",
    "too-large",
    "malformed",
    "invalid",
    "not-found",
    "conflict",
    "quota-exhausted",
    "concurrency-exceeded",
    "rate-limited",
    "timeout",
    "maintenance",
    "unavailable",
    "internal",
]
"""What kind of thing is wrong, in the words of the vocabulary's `when`."""

Verdict = Literal["accepted", "fails", "refused"]
"""accepted: a task that can succeed; fails: a task that ends in failure; refused: no task at all."""

LONGEST_VALUE: Final = 80
"""Characters of a value that a finding shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One finding.

    `instance_location` is a JSON Pointer into the body, or the parameter's name; `place` says which part of
    the request that is.  `keyword_location` points into the spec.  `found` and `allowed` are short texts;
    `value` the value itself, for the provider's own wording only.  `suggestion` is what would work, or "".
    """

    rule: str
    kind: Kind
    effect: Effect
    evidence: Evidence
    source: str
    message: str
    instance_location: str = ""
    keyword_location: str = ""
    place: Place = "body"
    found: str = ""
    allowed: str = ""
    suggestion: str = ""
    keyword: str = ""
    reason: str = ""
    failure: str | None = None
    value: Json = field(default=None, repr=False)
    limit: Json = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    order: tuple[int, int] = field(default=(0, 0), repr=False)

    @property
    def field(self) -> str:
        """Return the member or parameter the way people write it: 'camera.config.pan', 'masks[0].mask'."""
        return field_name(self.instance_location) if self.place == "body" else self.instance_location


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a check says about one request: the findings in the order they are judged.

    `unchecked` lists what could not be looked at, in sentences.
    """

    provider: str
    operation: str | None = None
    violations: tuple[Violation, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Say what the provider does with the request."""
        effects = {violation.effect for violation in self.violations}
        return "refused" if "reject" in effects else "fails" if "fail" in effects else "accepted"

    @property
    def errors(self) -> tuple[Violation, ...]:
        """Return the findings that cost the caller a task: refusals and failures."""
        return tuple(one for one in self.violations if one.effect in ("reject", "fail"))

    @property
    def warnings(self) -> tuple[Violation, ...]:
        """Return the findings the provider lets pass."""
        return tuple(one for one in self.violations if one.effect == "warn")


def field_name(pointer: str) -> str:
    """Return a JSON Pointer as a dotted name.

    >>> field_name("/masks/0/mask")
    'masks[0].mask'
    """
    out = ""
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        out += f"[{token}]" if token.isdigit() and out else f".{token}" if out else token
    return out


def abbreviate(value: Json, longest: int = LONGEST_VALUE) -> str:
    """Return a value as a finding shows it: JSON, cut in the middle where it is long."""
    if isinstance(value, str):
        if len(value) > longest:
            return f"'{printable(value[: longest - 25])}…' ({len(value):,} characters)"
        return f"'{printable(value)}'"
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = to_text(value) if isinstance(value, int | float) else repr(type(value).__name__)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def printable(text: str) -> str:
    r"""Return a text that a terminal shows as it is: control characters and the like written as in JSON.

    >>> printable("a\x1b[31m\n")
    'a\\u001b[31m\\n'
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(sign) or f"\\u{ord(sign):04x}"


def size_text(size_bytes: int) -> str:
    """Return a size the way people say it: 1.2 kB, 10.5 MB (powers of a thousand)."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


# --- renderings -------------------------------------------------------------------------------------------


def violation_json(violation: Violation) -> dict[str, Json]:
    """Return a finding as JSON, for machines."""
    out: dict[str, Any] = {
        "rule": violation.rule,
        "kind": violation.kind,
        "effect": violation.effect,
        "place": violation.place,
        "instanceLocation": violation.instance_location,
        "keywordLocation": violation.keyword_location,
        "message": violation.message,
        "found": violation.found,
        "allowed": violation.allowed,
        "suggestion": violation.suggestion,
        "evidence": violation.evidence,
        "source": violation.source,
    }
    return {name: value for name, value in out.items() if value not in ("", None)}


def report_json(report: Report) -> dict[str, Json]:
    """Return a report as JSON, for machines."""
    return {
        "provider": report.provider,
        "operation": report.operation,
        "verdict": report.verdict,
        "violations": [violation_json(one) for one in report.violations],
        "unchecked": list(report.unchecked),
    }


_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    # effect -> (label, ANSI colour)
    "reject": ("refused", "31"),
    "fail": ("fails", "31"),
    "warn": ("warning", "33"),
}


def report_text(
    report: Report,
    sources: Mapping[str, Source],
    *,
    is_coloured: bool = False,
    places: Sequence[str] = (),
) -> str:
    """Return a report for people: each finding in a few lines, then what could not be looked at.

    `places` say where in a file each finding stands, "" where that is not known.
    """
    paint = _painter(is_coloured)
    lines: list[str] = []
    for one, place in itertools.zip_longest(report.violations, places, fillvalue=""):
        assert isinstance(one, Violation), "there are no more places than findings"
        lines += _violation_lines(one, sources, paint, place)
    lines += [paint(f"  not checked  {printable(sentence)}", "2") for sentence in report.unchecked]
    return "\n".join(lines)


def _violation_lines(one: Violation, sources: Mapping[str, Source], paint: Any, place: str) -> Iterable[str]:
    label, colour = _LABELS.get(one.effect, (one.effect, "0"))
    where = one.field if one.place == "body" else f"{one.place} {one.instance_location}".rstrip()
    where = "credential" if one.kind == "unauthorized" else where
    head = f"{paint(printable(where) or 'request', '1')}: {printable(one.message)}"
    yield f"  {paint(f'{label:<11}', colour)}  {head}"
    rows = (("at", place), ("found", one.found), ("allowed", one.allowed), ("try", one.suggestion))
    for name, text in rows:
        if text:
            yield f"  {'':<11}  {name:<8} {printable(text)}"
    written = source_text(one.source, sources)
    yield paint(f"  {'':<11}  {'rule':<8} {one.rule} ({one.evidence}{'; ' if written else ''}{written})", "2")


def source_text(source: str, sources: Mapping[str, Source]) -> str:
    """Return where a statement is written: the page's title, the place on it, its address."""
    key, _, place = source.partition("#")
    page = sources.get(key)
    if page is None:
        return source
    text = page.title + (f", {place}" if place else "")
    return f"{text} <{page.url}>" if page.url else text


def _painter(is_coloured: bool) -> Any:
    if not is_coloured:
        return lambda text, code: text
    return lambda text, code: f"\x1b[{code}m{text}\x1b[0m"
