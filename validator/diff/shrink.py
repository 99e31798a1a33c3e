"""A request's body made as small as it can be while it still shows what it shows.

The same body and the same question give the same answer: nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from validator.contract.expressions import Json
from validator.diff.documents import same, text_of

MOST_QUESTIONS: Final = 1_500
"""How often a body is tried; the largest of a real example takes a third of it."""

LARGE: Final = 200_000
"""Characters of a body from which each question takes long; a picture of megabytes is one."""

_QUESTIONS_OF_LARGE: Final = 25
_LONG: Final = 12
"""Characters from which a text is cut in halves first."""

Path = tuple[str | int, ...]


def shrink(body: Json, is_still: Callable[[Json], bool]) -> Json:
    """Return the smallest body that is found for which `is_still` is true, as it is for `body`.

    Members and entries are left out, texts cut and made of one letter, numbers made small; what is left can
    not be left out by itself.
    """
    left = MOST_QUESTIONS if len(text_of(body)) < LARGE else _QUESTIONS_OF_LARGE
    current, is_moving = body, True
    while is_moving and left > 0:
        is_moving = False
        for path in _paths(current):
            if not _has(current, path):
                continue
            for smaller in _smaller(_at(current, path), is_root=not path):
                left -= 1
                if left <= 0:
                    return current
                candidate = _replaced(current, path, smaller)
                if _size(candidate) < _size(current) and is_still(candidate):
                    current, is_moving = candidate, True
                    break
    return current


_GONE: Final = object()


def _smaller(value: Any, *, is_root: bool) -> Iterator[Any]:
    """Yield what could stand in the place of a value, the smallest first; nothing at all for a member."""
    if not is_root:
        yield _GONE
    if isinstance(value, dict):
        if len(value) > 1:
            yield {}
    elif isinstance(value, list):
        if len(value) > 1:
            half = len(value) // 2
            yield from ([], value[:1], value[:half], value[half:], value[:-1])
    elif isinstance(value, str):
        yield from _texts(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from (number for number in (0, 1, 2, 5, 10, int(value)) if not same(number, value))


def _texts(value: str) -> Iterator[str]:
    yield from ("", "a")
    if len(value) > _LONG:
        half = len(value) // 2
        yield from (value[:half], value[half:])
    if set(value) != {"a"} and len(value) > 1:
        yield "a" * len(value)
    if len(value) > 1:
        yield from (value[:-1], value[1:])


def _size(value: Json) -> tuple[int, int, str]:
    """Return what makes one body smaller than another: fewer values, then a shorter text, then plainer letters."""
    text = text_of(value)
    return _count(value), len(text), text.replace("a", " ")


def _count(value: Json) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _paths(value: Json, at: Path = ()) -> list[Path]:
    """Return the places of a value, the outermost first."""
    out: list[Path] = [at]
    if isinstance(value, dict):
        out += [path for name, member in value.items() for path in _paths(member, (*at, name))]
    elif isinstance(value, list):
        # From the end, so that leaving one out moves none that is still to come.
        out += [path for index in reversed(range(len(value))) for path in _paths(value[index], (*at, index))]
    return sorted(out, key=len)


def _has(value: Any, path: Path) -> bool:
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return False
        elif not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _replaced(value: Any, path: Path, by: Any) -> Any:
    """Return the value with another at this path; the original stays as it is."""
    if not path:
        return by
    first, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if not rest and by is _GONE:
        del copy[first]
    else:
        copy[first] = _replaced(value[first], tuple(rest), by)
    return copy
