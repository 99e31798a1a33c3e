"""Near misses: the operations that a request which reached none may have meant, and what keeps it from each.

Pure: contracts and the first line of a request in, sentences out.  The path is compared step by step, so that
what is told is what has to be changed: a letter, a step too many, the method, the provider before it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from validator.contract.expressions import Json
from validator.contract.model import Contract, Operation
from validator.report import printable

MOST: Final = 3
"""Operations that are named, the nearest first."""

FARTHEST: Final = 0.5
"""The distance of the path, per step of the operation's, beyond which nobody can have meant it."""

_MOST_STEPS: Final = 32
_LONGEST_STEP: Final = 64

_METHOD: Final = 0.7
_PROVIDER: Final = 0.8
_PREFIX: Final = 0.1
_STEP: Final = 1.0
_EMPTY: Final = 0.15
_CASE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """An operation that was nearly called.

    `why` says in sentences what stood between; `instead` is the path below the server's root that reaches it, with
    the names of path parameters in braces where the request did not say them.
    """

    provider: str
    operation: str
    method: str
    path: str
    why: tuple[str, ...]
    instead: str
    distance: float


def near_misses(contracts: Mapping[str, Contract], method: str, path: str) -> tuple[NearMiss, ...]:
    """Return the operations nearest to a request, nearest first; none where nothing is near.

    `path` is percent-encoded and below the tenant: with the provider before it, or without.
    """
    steps = tuple(step[:_LONGEST_STEP] for step in path.partition("?")[0].split("/")[1 : _MOST_STEPS + 1])
    method = "GET" if method == "HEAD" else method
    found = [
        miss
        for contract in contracts.values()
        for operation in contract.operations.values()
        if (miss := _miss(contracts, contract, operation, method, steps)) is not None
    ]
    found.sort(key=lambda miss: (miss.distance, miss.provider, miss.operation))
    return tuple(miss for miss in found[:MOST] if miss.distance <= found[0].distance + _STEP)


def near_miss_json(miss: NearMiss, *, prefix: str = "") -> dict[str, Json]:
    """Return a near miss for machines; `prefix` is what stands before all paths, such as that of a tenant."""
    return {
        "provider": miss.provider,
        "operation": miss.operation,
        "method": miss.method,
        "path": miss.path,
        "why": list(miss.why),
        "instead": f"{miss.method} {prefix}{miss.instead}",
    }


def _miss(
    contracts: Mapping[str, Contract],
    contract: Contract,
    operation: Operation,
    method: str,
    steps: tuple[str, ...],
) -> NearMiss | None:
    """Return how near a request came to an operation, in the reading that is the nearest; None if not near."""
    template = operation.segments[1:]
    best = min(_readings(contracts, contract, steps, template), key=lambda reading: reading.distance)
    distance, why = best.distance, list(best.why)
    if distance > FARTHEST * len(template):
        return None
    if method != operation.method:
        distance += _METHOD
        why.append(f"it takes {operation.method}, not {printable(method[:20])}")
    if not why:
        return None
    return NearMiss(
        provider=contract.id,
        operation=operation.id,
        method=operation.method,
        path=operation.path,
        why=tuple(why),
        instead=f"/{contract.id}/" + "/".join(best.steps),
        distance=round(distance, 4),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """A way to read a request's path as an operation's: how far it is, what differs, and how it should read."""

    distance: float
    why: tuple[str, ...]
    steps: tuple[str, ...]


def _readings(
    contracts: Mapping[str, Contract],
    contract: Contract,
    steps: tuple[str, ...],
    template: Sequence[str | None],
) -> Iterator[_Reading]:
    """Yield the path read as it stands, and with its first step read as a provider."""
    whole = _aligned(steps, template)
    hint = (f"put /{contract.id} before it",) if len(contracts) > 1 else ()
    yield _Reading(whole.distance + _PREFIX, (*hint, *whole.why), whole.steps)
    # What stands before the provider: nothing, or a step too many; `//` comes from a base URL that ends in a slash.
    start = next((index for index, step in enumerate(steps) if step), len(steps))
    if contract.id in steps:
        start = steps.index(contract.id)
    if start == len(steps):
        return
    before = [step for step in steps[:start] if step]
    why = ["there are slashes too many: //"] if len(before) < start else []
    if before:
        why.append(f"'{printable('/' + '/'.join(before))}' is too much before /{contract.id}")
    cost = _STEP * len(before) + _EMPTY * (start - len(before))
    inner, name = _aligned(steps[start + 1 :], template), steps[start]
    if name in contracts and name != contract.id:
        why.append(f"it is {contract.id}'s, not {name}'s: /{contract.id} stands before it")
        cost += _PROVIDER
    elif name != contract.id:
        why.append(f"'{printable(name)}' should be '{contract.id}'")
        cost += _difference(name, contract.id)
        if _difference(name, contract.id) >= _STEP:
            return
    yield _Reading(inner.distance + cost, (*why, *inner.why), inner.steps)


# --- the steps of a path ----------------------------------------------------------------------------------


def _aligned(steps: tuple[str, ...], template: Sequence[str | None]) -> _Reading:
    """Return the cheapest way to turn the steps of a path into those of a template, and what it takes."""
    rows, columns = len(steps) + 1, len(template) + 1
    costs = [[0.0] * columns for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            if row or column:
                costs[row][column] = min(cost for cost, _, _ in _moves(costs, steps, template, row, column))
    row, column = len(steps), len(template)
    pairs: list[tuple[str | None, str | None, bool]] = []
    while row or column:
        # Of equal ones the one that keeps an id where it stands: what follows it is what is too much.
        is_value = column > 0 and template[column - 1] is None
        moves = _moves(costs, steps, template, row, column)
        _, up, left = min(moves, key=lambda move: (move[0], is_value and move[1] and move[2]))
        pairs.append((steps[row - 1] if up else None, template[column - 1] if left else None, bool(left)))
        row, column = row - up, column - left
    pairs.reverse()
    return _Reading(costs[-1][-1], tuple(_sentences(pairs)), tuple(_written(pairs)))


def _moves(
    costs: Sequence[Sequence[float]],
    steps: Sequence[str],
    template: Sequence[str | None],
    row: int,
    column: int,
) -> Iterator[tuple[float, int, int]]:
    """Yield (cost, whether a step is used, whether one of the template is) of the last move to a cell."""
    if row and column:
        yield costs[row - 1][column - 1] + _difference(steps[row - 1], template[column - 1]), 1, 1
    if row:
        yield costs[row - 1][column] + (_STEP if steps[row - 1] else _EMPTY), 1, 0
    if column:
        yield costs[row][column - 1] + _STEP, 0, 1


@functools.lru_cache(maxsize=16_384)
def _difference(step: str, wanted: str | None) -> float:
    """Return how far a step is from what a template wants, None for a parameter: 0 equal, above 1 another word."""
    if wanted is None:
        return 0.0 if step else 2 * _STEP
    if step == wanted:
        return 0.0
    if unquote(step).lower() == wanted.lower():
        return _CASE
    if not step:
        return 2 * _STEP
    return _STEP * min(1.5, 2.5 * _edits(step.lower(), wanted.lower()) / max(len(step), len(wanted)))


def _edits(one: str, other: str) -> int:
    """Return how many letters must be put in, taken out, changed, or swapped with the next."""
    above: list[int] = []
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, start=1):
        now = [index]
        for place, wanted in enumerate(other, start=1):
            least = min(row[place] + 1, now[-1] + 1, row[place - 1] + (letter != wanted))
            if index > 1 and place > 1 and letter == other[place - 2] and one[index - 2] == wanted:
                least = min(least, above[place - 2] + 1)
            now.append(least)
        above, row = row, now
    return row[-1]


def _sentences(pairs: Sequence[tuple[str | None, str | None, bool]]) -> Iterator[str]:
    """Yield what differs between the steps of a path and those that a template wants."""
    last = len(pairs)
    while last and pairs[last - 1][0] == "" and not pairs[last - 1][2]:
        last -= 1
    index = 0
    has_slashes = False
    while index < last:
        step, wanted, is_wanted = pairs[index]
        if step is not None and is_wanted:
            if wanted is not None and step != wanted:
                is_case = unquote(step).lower() == wanted.lower()
                note = " (capital letters count)" if is_case and "%" not in step else ""
                yield f"'{printable(step)}' should be '{wanted}'{note}"
            index += 1
            continue
        end = index
        while end < last and (pairs[end][0] is None, pairs[end][2]) == (step is None, is_wanted):
            end += 1
        run = pairs[index:end]
        if step is None:
            text = "/" + "/".join("{...}" if one is None else one for _, one, _ in run)
            yield f"'{text}' is missing" + _where(index, end, last)
        else:
            words = [one for one, _, _ in run if one]
            has_slashes = has_slashes or len(words) < len(run)
            if words:
                text = printable("/" + "/".join(words))
                yield f"'{text}' is too much" + _where(index, end, last)
        index = end
    if has_slashes:
        yield "there are slashes too many: //"
    if last < len(pairs):
        yield "there is a slash at the end"


def _where(index: int, end: int, last: int) -> str:
    return " at the beginning" if index == 0 else " at the end" if end == last else ""


def _written(pairs: Sequence[tuple[str | None, str | None, bool]]) -> Iterator[str]:
    """Yield the steps as they should be, with the request's own values for parameters."""
    for step, wanted, is_wanted in pairs:
        if is_wanted:
            yield wanted if wanted is not None else step or "{...}"
