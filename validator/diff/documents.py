"""Two trees held side by side: what of one is not, or not the same, in the other.

Lists are aligned by what names their entries, a rule, a case, a combination, so that one line put in at the
top is one change.  Knows trees, not what their words mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from validator.contract.expressions import MISSING, Json

Path = tuple[str | int, ...]

_NAMES: Final = ("x-rule", "when", "match", "name", "unit", "operationId", "pointer", "url", "$ref")
"""Members of an entry that say which entry of the other list it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One place where the trees differ; a side that is not there is MISSING, its path then the parent's end.

    `is_entry` where an entry came to or went from a list whose order says nothing, such as an enum.
    """

    old_at: Path
    new_at: Path
    before: Json
    after: Json
    is_entry: bool = False


def edits(old: Json, new: Json, old_at: Path = (), new_at: Path = ()) -> Iterator[Edit]:
    """Yield the places where two trees differ, in the order of the first, as deep down as they can be told."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*old, *(name for name in new if name not in old)):
            here, there = old.get(name, MISSING), new.get(name, MISSING)
            if here is MISSING or there is MISSING:
                yield Edit(old_at=(*old_at, name), new_at=(*new_at, name), before=here, after=there)
            else:
                yield from edits(here, there, (*old_at, name), (*new_at, name))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_edits(old, new, old_at, new_at)
    elif not same(old, new):
        yield Edit(old_at=old_at, new_at=new_at, before=old, after=new)


def same(one: Json, other: Json) -> bool:
    """Tell whether two JSON values are the same, 1 and true and 1.0 being three."""
    return type(one) is type(other) and one == other and text_of(one) == text_of(other)


def text_of(value: Json) -> str:
    """Return a value as text that no other value has."""
    return "" if value is MISSING else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _list_edits(old: Sequence[Any], new: Sequence[Any], old_at: Path, new_at: Path) -> Iterator[Edit]:
    if not any(isinstance(item, dict | list) for item in (*old, *new)):
        yield from _value_edits(old, new, old_at, new_at)
        return
    pairs, left, right = _aligned(old, new)
    for here, there in pairs:
        yield from edits(old[here], new[there], (*old_at, here), (*new_at, there))
    for here in left:
        yield Edit(old_at=(*old_at, here), new_at=(*new_at, len(new)), before=old[here], after=MISSING)
    for there in right:
        yield Edit(old_at=(*old_at, len(old)), new_at=(*new_at, there), before=MISSING, after=new[there])
    order = [there for _, there in sorted(pairs)]
    if order != sorted(order) and not left and not right:
        names = [_name(item) for item in old], [_name(item) for item in new]
        yield Edit(old_at=old_at, new_at=new_at, before=names[0], after=names[1])


def _value_edits(old: Sequence[Any], new: Sequence[Any], old_at: Path, new_at: Path) -> Iterator[Edit]:
    here, there = [text_of(item) for item in old], [text_of(item) for item in new]
    gone, come = Counter(here) - Counter(there), Counter(there) - Counter(here)
    for index, text in enumerate(here):
        if gone[text] > 0:
            gone[text] -= 1
            yield Edit(
                old_at=(*old_at, index), new_at=new_at, before=old[index], after=MISSING, is_entry=True
            )
    for index, text in enumerate(there):
        if come[text] > 0:
            come[text] -= 1
            yield Edit(
                old_at=old_at, new_at=(*new_at, index), before=MISSING, after=new[index], is_entry=True
            )
    if here != there and Counter(here) == Counter(there):
        yield Edit(old_at=old_at, new_at=new_at, before=list(old), after=list(new))


def _name(item: Json) -> str:
    """Return what names an entry of a list, the whole of it where nothing does."""
    if isinstance(item, dict):
        for word in _NAMES:
            if word in item:
                named = item[word]
                named = named.get("id", named) if isinstance(named, dict) and word == "x-rule" else named
                return f"{word} {text_of(named)}"
    return text_of(item)


def _aligned(old: Sequence[Any], new: Sequence[Any]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Return (pairs of places that belong together, places only in the first, only in the second)."""
    left, right = list(range(len(old))), list(range(len(new)))
    pairs: list[tuple[int, int]] = []
    for key in (text_of, _name):
        waiting: dict[str, list[int]] = {}
        for there in right:
            waiting.setdefault(key(new[there]), []).append(there)
        for here in list(left):
            found = waiting.get(key(old[here]))
            if found:
                there = found.pop(0)
                pairs.append((here, there))
                left.remove(here)
                right.remove(there)
    if len(left) == len(right):
        # As many went as came: the same entries, changed in what names them.
        pairs += zip(left, right, strict=True)
        left, right = [], []
    return sorted(pairs), left, right
