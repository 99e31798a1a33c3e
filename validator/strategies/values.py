"""Values that meet demands: what was left open is decided here, part by part.

A picture is left as a :class:`Blank`, because those of a body depend on one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from validator.contract.expressions import Json
from validator.contract.model import ImageSite
from validator.strategies.choices import Chooser, Counted, Impossible
from validator.strategies.demands import KINDS, Demand, Logic, Path, Schema, State, is_same, kind_of

_MORE_ITEMS: Final = 2
"""Items beyond the least that a list gets."""

_MOST_ITEMS: Final = 400
"""Items of the longest list that is filled to its limit."""

_OTHERS: Final = 200
"""Items that are tried in a list where no two may be equal."""

T = TypeVar("T")

UNKNOWN_NAMES: Final = ("unknown", "extra", "Unknown", "x", "prompt_", "ünbekannt")


@dataclass(frozen=True, slots=True)
class Blank:
    """The place of a picture that is yet to be chosen; `demand` is what the text must be.

    `number` tells apart those of a list in which no two may be equal.
    """

    site: ImageSite
    demand: Demand
    number: int = 0


@dataclass(slots=True)
class Builder:
    """Builds values; `sites` are the places of pictures in the whole body, by their path with '*' for an index."""

    logic: Logic
    sites: Mapping[tuple[str, ...], ImageSite] = field(default_factory=dict)

    # --- what is there ------------------------------------------------------------------------------------

    def enrich(self, state: State, chooser: Chooser) -> State:
        """Return a state with more members that may be there, each where it is chosen and contradicts nothing."""
        places: list[Path] = [()]
        for path in places:
            own = state.at(path)
            if "object" not in own.kinds or own.values is not None:
                continue
            optional = [
                name
                for name in own.described
                if name not in own.required and name not in own.forbidden and self._may_be(name, own)
            ]
            for name in chosen(optional, chooser):
                state = state.tried(self._needing((*path, name))) or state
            places += [(*path, name) for name in state.at(path).required]
        return state

    def _may_be(self, name: str, own: Demand) -> bool:
        return own.allowed is None or name in own.allowed

    def _needing(self, path: Path) -> Schema:
        return needing(path, self._needs)

    _needs: dict[Path, Schema] = field(default_factory=dict)

    # --- values -------------------------------------------------------------------------------------------

    def value(self, state: State, chooser: Chooser, path: Path = (), at: tuple[str, ...] = ()) -> Json:
        """Return a value for a place of a solved state; `at` is the place in the whole body.  Raises Impossible."""
        own = state.at(path)
        if own.values is not None:
            return own.values[chooser.below(len(own.values))]
        kinds = [kind for kind in KINDS if kind in own.kinds]
        if not kinds:
            raise Impossible
        start = chooser.below(len(kinds))
        for kind in (*kinds[start:], *kinds[:start]):
            try:
                return self._of_kind(kind, own, state, chooser, path, at)
            except Impossible:
                continue
        raise Impossible

    def _of_kind(
        self, kind: str, own: Demand, state: State, chooser: Chooser, path: Path, at: tuple[str, ...]
    ) -> Json:
        match kind:
            case "string":
                site = self.sites.get(at)
                return self.logic.texts.text(own, chooser) if site is None else Blank(site, own)
            case "integer" | "fraction":
                return self._number(kind, own, chooser)
            case "boolean":
                return self._listed((False, True), own, chooser)
            case "null":
                return self._listed((None,), own, chooser)
            case "array":
                return self._list(own, chooser, at)
        return self._object(own, state, chooser, path, at)

    def _listed(self, values: tuple[Json, ...], own: Demand, chooser: Chooser) -> Json:
        kept = [value for value in values if not any(is_same(value, one) for one in own.excluded)]
        if not kept:
            raise Impossible
        return kept[chooser.below(len(kept))]

    def _object(
        self, own: Demand, state: State, chooser: Chooser, path: Path, at: tuple[str, ...]
    ) -> dict[str, Json]:
        order = [name for name in own.described if name in own.required]
        order += [name for name in own.required if name not in order]
        out = {name: self.value(state, chooser, (*path, name), (*at, name)) for name in order}
        if own.has_unknown:
            names = [name for name in UNKNOWN_NAMES if name not in own.described]
            out[names[chooser.below(len(names))]] = self._listed(("a", 1, True), Demand(), chooser)
        if any(is_same(out, one) for one in own.excluded):
            raise Impossible
        return out

    # --- numbers ------------------------------------------------------------------------------------------

    def _number(self, kind: str, own: Demand, chooser: Chooser) -> int | float:
        """Return a number: at an edge, next to one, plain, or anywhere between."""
        low = own.minimum[0] if own.minimum else None
        high = own.maximum[0] if own.maximum else None
        plain: list[float] = [0, 1, 0.5, -1, 1.5, -0.5, 2, 10]
        edges = [edge + step for edge in (low, high) if edge is not None for step in (0, 1, -1, 0.5, -0.5)]
        if low is not None and high is not None:
            edges += [(low + high) / 2, low + (high - low) / 8, high - (high - low) / 8]
        drawn: list[float] = []
        if chooser.flag():
            start = -1_000 if low is None else int(low)
            whole = chooser.whole(start, max(start, start + 2_000 if high is None else int(high)))
            drawn = [whole, whole + 0.5, whole + 0.25]
        steps = [factor * count for factor in own.factors for count in (1, 2, 3, -1)]
        found = [
            candidate
            for candidate in map(_plain, (*drawn, *plain, *edges, *steps))
            if kind_of(candidate) == kind and self._is_number(candidate, own)
        ]
        if not found:
            raise Impossible
        return found[0] if drawn else found[chooser.below(len(found))]

    def _is_number(self, value: float, own: Demand) -> bool:
        if own.minimum and (value < own.minimum[0] or (value == own.minimum[0] and own.minimum[1])):
            return False
        if own.maximum and (value > own.maximum[0] or (value == own.maximum[0] and own.maximum[1])):
            return False
        if any(is_same(value, one) for one in own.excluded):
            return False
        return all(self._divides(factor, value) for factor in own.factors) and not any(
            self._divides(factor, value) for factor in own.no_factors
        )

    def _divides(self, factor: float, value: float) -> bool:
        return self.logic.meets("multipleOf", factor, value)

    # --- lists --------------------------------------------------------------------------------------------

    def _list(self, own: Demand, chooser: Chooser, at: tuple[str, ...]) -> list[Json]:
        special: list[Schema] = [_both(own.items, schema, self._joined) for schema in own.some_items]
        if own.one_item is not None:
            replaced, schema = own.one_item
            others = tuple(one for one in own.items if one is not replaced)
            special.append(_both(others, schema, self._joined))
        common = _both(own.items, True, self._joined)
        # An empty list is often as good as none, and excluded then.
        least = max(own.least_items, len(special), 1 if any(one == [] for one in own.excluded) else 0)
        count = least
        if own.is_repeated:
            count = max(2, count)
        elif chooser.flag():
            most = least + _MORE_ITEMS if own.most_items is None else own.most_items
            if chooser.below(4) == 3 and own.most_items is not None and most <= _MOST_ITEMS:
                count = most
            else:
                count = min(least + chooser.below(_MORE_ITEMS + 1), most)
        if own.most_items is not None and count > own.most_items:
            raise Impossible
        schemas = [*special, *[common] * (count - len(special))]
        out: list[Json] = []
        for schema in schemas[:_MOST_ITEMS]:
            item: Json | Blank = self.built(schema, chooser, (*at, "*"))
            if own.is_unique and isinstance(item, Blank):
                item = replace(item, number=len(out))
            elif own.is_unique and any(is_same(item, one) for one in out):
                item = self._another(schema, out, item, (*at, "*"))
            out.append(item)
        # The rest of a long list repeats what is there: drawing thousands of items says no more.
        out += out[-1:] * (len(schemas) - len(out))
        if own.is_repeated:
            out[-1] = out[0]
        if own.is_unique:
            out = _unlike(out)
        if len(out) < least or any(is_same(out, one) for one in own.excluded):
            raise Impossible
        return out

    def _another(self, schema: Schema, known: Sequence[Json], item: Json, at: tuple[str, ...]) -> Json:
        """Return an item that is not among those known, or the same again where none is found."""
        for index in range(1, _OTHERS):
            try:
                found = self.built(schema, Counted(index), at)
            except Impossible:
                continue
            if not any(is_same(found, one) for one in known):
                return found
        return item

    _joined: dict[tuple[int, ...], Schema] = field(default_factory=dict)
    _states: dict[int, tuple[Schema, State]] = field(default_factory=dict)

    def built(self, schema: Schema, chooser: Chooser, at: tuple[str, ...] = ()) -> Json:
        """Return a value that meets a schema, as an item of a list is made; raises Impossible."""
        known = self._states.get(id(schema))
        if known is None:
            state = State(self.logic)
            state.demand(schema)
            state.propagate()
            known = self._states[id(schema)] = schema, state
        state = self.enrich(known[1].copy(), chooser).solved(chooser)
        return self.value(state, chooser, (), at)


def chosen(items: Sequence[T], chooser: Chooser) -> list[T]:
    """Return some of the items, in their order; none takes one decision, which is what shrinks furthest."""
    left = list(range(len(items)))
    picked = [left.pop(chooser.below(len(left))) for _ in range(chooser.below(len(items) + 1))]
    return [items[index] for index in sorted(picked)]


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def _both(schemas: tuple[Schema, ...], other: Schema, joined: dict[tuple[int, ...], Schema]) -> Schema:
    """Return one schema for several, the same object for the same ones."""
    parts = [one for one in (*schemas, other) if one is not True]
    if len(parts) == 1:
        return parts[0]
    return joined.setdefault(tuple(map(id, parts)), {"allOf": parts})


def _unlike(values: list[Json]) -> list[Json]:
    out: list[Json] = []
    for value in values:
        if not any(is_same(value, one) for one in out):
            out.append(value)
    return out


def needing(path: Path, known: dict[Path, Schema]) -> Schema:
    """Return the schema of an object that has a member at a path, the same object each time."""
    found = known.get(path)
    if found is None:
        found = {"type": "object", "required": [path[0]]}
        if len(path) > 1:
            found["properties"] = {path[0]: needing(path[1:], known)}
        known[path] = found
    return found
