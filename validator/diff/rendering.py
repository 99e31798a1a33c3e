"""A comparison told to people and to machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from validator.contract.expressions import MISSING, Json
from validator.diff.model import GROUPS, Comparison, Difference, Group
from validator.expected import Expected
from validator.printing import BOLD, DIM, GREEN, RED, YELLOW, Paint, json_lines, plural, without_empty
from validator.report import abbreviate, printable

_COLOURS: Final[Mapping[Group, str]] = {
    "breaking": RED,
    "widening": GREEN,
    "answer": YELLOW,
    "warning": YELLOW,
}
_MOST_CHANGES: Final = 12
"""Changes of one kind that a text lists; the rest is counted."""


def brief(value: Json) -> Json:
    """Return a body with its long texts cut and its long lists counted, for people."""
    if isinstance(value, str):
        return value if len(value) <= 100 else f"<{len(value):,} characters: {value[:12]}…>"
    if isinstance(value, list):
        if len(value) > 8:
            return [*map(brief, value[:2]), f"<{len(value) - 2:,} more>"]
        return [brief(one) for one in value]
    return {name: brief(member) for name, member in value.items()} if isinstance(value, dict) else value


def fate(one: Expected) -> str:
    """Return what becomes of a request, in a line."""
    if one.verdict == "accepted":
        return "accepted" + (f", with a warning of {', '.join(one.warnings)}" if one.warnings else "")
    if one.verdict == "fails":
        return f"accepted, and the task fails: {abbreviate(one.message)}"
    told = [str(one.status), *([str(one.code)] if one.code is not None else [])]
    return f"refused: {' '.join(told)} {abbreviate(one.message, 160)}"


def example_lines(one: Difference) -> list[str]:
    """Return the request that shows a difference, its body abridged."""
    if one.request is None:
        return [f"it takes {one.needs}"]
    lines = [f"{one.request.method} {one.request.url}"]
    if one.body is not MISSING:
        return lines + json_lines(brief(one.body))
    if one.request.body:
        lines.append(abbreviate(one.request.body.decode("utf-8", "replace"), 100))
    return lines


# --- for people -------------------------------------------------------------------------------------------


def text_lines(found: Comparison, paint: Paint) -> Iterator[str]:
    """Yield a comparison for people."""
    for group, meaning in GROUPS.items():
        members = found.of(group)
        if not members:
            continue
        yield paint(f"{group}: {meaning} ({len(members)})", f"{BOLD};{_COLOURS[group]}")
        for one in members:
            yield from (f"  {line}".rstrip() for line in _difference_lines(one, paint))
        yield ""
    kinds = list(dict.fromkeys(one.kind for one in found.changes))
    for kind in kinds:
        same = [one for one in found.changes if one.kind == kind]
        yield paint(f"{kind} ({len(same)})", BOLD)
        for each in same[:_MOST_CHANGES]:
            sides = " -> ".join(text or "nothing" for text in (each.before, each.after))
            yield f"  {printable(each.name)}: {printable(sides)}"
            note = f" ({each.note})" if each.note else ""
            yield paint(f"      {_place(each.place.old, each.place.new)}{note}", DIM)
        if len(same) > _MOST_CHANGES:
            yield f"  and {len(same) - _MOST_CHANGES:,} more; --format json has all of them"
        yield ""
    yield paint(summary(found), BOLD)


def _difference_lines(one: Difference, paint: Paint) -> Iterator[str]:
    operations = ", ".join(filter(None, (one.operation, *one.also)))
    yield paint(f"{operations or 'any request'}: {printable(one.why)}", BOLD)
    for line in example_lines(one):
        yield f"  {printable(line)}"
    yield f"  old   {printable(fate(one.old))}"
    yield f"  new   {printable(fate(one.new))}"
    if one.rules:
        yield paint(f"  rule  {', '.join(one.rules)}", DIM)
    for place in one.places:
        yield paint(f"  at    {_place(place.old, place.new)}", DIM)


def _place(old: str, new: str) -> str:
    if old == new:
        return f"#{old}"
    return f"old #{old}, new #{new}" if old and new else f"old #{old}" if old else f"new #{new}"


def summary(found: Comparison) -> str:
    """Return the counts of a comparison in a sentence."""
    counts = [f"{len(found.of(group))} {group}" for group in GROUPS if found.of(group)]
    if found.changes:
        counts.append(plural(len(found.changes), "other change"))
    names = found.old.id if found.old.id == found.new.id else f"{found.old.id} and {found.new.id}"
    tried = f"{plural(found.tried, 'request')} tried"
    return f"{names}: {', '.join(counts) if counts else 'no difference'} ({tried})"


# --- for machines -----------------------------------------------------------------------------------------


def comparison_json(found: Comparison, *, code: int) -> dict[str, Json]:
    """Return a comparison as JSON; docs/drift.md describes the members.  Bodies are whole, and can be sent."""
    return {
        "version": 1,
        "old": {"provider": found.old.id, "file": found.old.document.file},
        "new": {"provider": found.new.id, "file": found.new.document.file},
        "differences": [_difference_json(one) for one in found.differences],
        "changes": [
            without_empty(
                {
                    "kind": one.kind,
                    "name": one.name,
                    "before": one.before,
                    "after": one.after,
                    "old": one.place.old,
                    "new": one.place.new,
                    "note": one.note,
                }
            )
            for one in found.changes
        ],
        "summary": {group: len(found.of(group)) for group in GROUPS}
        | {"changes": len(found.changes), "tried": found.tried},
        "exit": code,
    }


def _difference_json(one: Difference) -> dict[str, Any]:
    out = without_empty(
        {
            "group": one.group,
            "operations": [name for name in (one.operation, *one.also) if name],
            "rules": list(one.rules),
            "why": one.why,
            "found": one.found,
            "places": [without_empty({"old": place.old, "new": place.new}) for place in one.places],
            "needs": one.needs,
        }
    )
    if one.request is not None:
        request: dict[str, Any] = {"method": one.request.method, "url": one.request.url}
        if one.body is not MISSING:
            request["body"] = one.body
        elif one.request.body:
            request["text"] = one.request.body.decode("utf-8", "replace")
        out["request"] = request
    return out | {"old": _fate_json(one.old), "new": _fate_json(one.new)}


def _fate_json(one: Expected) -> dict[str, Json]:
    return without_empty(
        {
            "verdict": one.verdict,
            "status": one.status,
            "code": one.code,
            "message": one.message,
            "rules": list(one.errors),
            "warnings": list(one.warnings),
        }
    )


def markdown_lines(found: Comparison) -> Iterator[str]:
    """Yield a comparison as Markdown, for a comment on a change."""
    yield f"## {summary(found)}"
    for group, meaning in GROUPS.items():
        members = found.of(group)
        if not members:
            continue
        yield from ("", f"### {group}: {meaning}", "")
        for one in members:
            operations = ", ".join(f"`{name}`" for name in (one.operation, *one.also) if name)
            yield f"- **{_plain(one.why)}** ({operations or 'any request'}; {', '.join(one.rules) or 'no rule'})"
            yield from ("", "  ```", *(f"  {printable(line)}" for line in example_lines(one)), "  ```", "")
            yield f"  - old: {_plain(fate(one.old))}"
            yield f"  - new: {_plain(fate(one.new))}"
    if found.changes:
        yield from ("", "### Other changes", "", "| What | Where | Before | After |", "|---|---|---|---|")
        for each in found.changes:
            cells = (each.kind, each.name, each.before, each.after)
            yield "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
