"""What a value must be, kept as one conjunction per place.

Schemas are demanded one after the other, and what they leave open is decided last.  This is how a body is constructed
that meets conditions: `if`, `anyOf`, `not` and the like become a choice between alternatives, those that contradict
what is known are struck out, one that is left is demanded, and of several one is chosen, with a way back where it
leads nowhere (an analytic tableau with unit propagation).  Knows nothing of operations, pictures or rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import jsonschema_rs

from validator.contract.expressions import Json
from validator.strategies.choices import Chooser, Impossible, Unsupported
from validator.strategies.texts import Texts

Schema = Any
"""A JSON Schema: true, false or an object; the words `x-one-item` and `x-unknown` are this package's own."""

Path = tuple[str, ...]

KINDS: Final = ("string", "integer", "fraction", "boolean", "object", "array", "null")
"""The JSON types, numbers taken apart in whole ones and others; the order in which one is preferred."""

_OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    "number": ("integer", "fraction"),
    **{kind: (kind,) for kind in KINDS if kind != "fraction"},
}

_MOST_CHOICES: Final = 4_000
"""Choices between alternatives that are tried before a set of demands counts as impossible."""

ONE_ITEM: Final = "x-one-item"
"""Our own word: a pair of schemas; one item of the list meets the second and need not meet the first."""

UNKNOWN: Final = "x-unknown"
"""Our own word: the object has a member that nobody described."""


def kind_of(value: Json) -> str:
    """Return which of the kinds a JSON value is."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "fraction"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def is_same(value: Json, other: Json) -> bool:
    """Tell whether two values are equal as JSON Schema has it: 1 is 1.0, and true is not 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


class Demand:
    """What is known of the value at one place.

    `values` is the list it is one of, None for any; `minimum` and the like are pairs (limit, whether the limit itself
    is out).  `required` and `forbidden` are members, `described` those that schemas speak of, `allowed` those that
    may be there at all, None for any.  `heard` holds every schema demanded here, to try listed values against, the
    first `sifted` of which they were tried against.
    """

    __slots__ = (
        *("kinds", "values", "excluded", "minimum", "maximum", "factors", "no_factors"),
        *(
            "least",
            "most",
            "patterns",
            "no_patterns",
            "least_items",
            "most_items",
            "is_unique",
            "is_repeated",
        ),
        *("items", "some_items", "one_item", "required", "forbidden", "described", "allowed", "has_unknown"),
        *("heard", "sifted"),
    )

    def __init__(self) -> None:
        """Begin with any value."""
        self.kinds: frozenset[str] = frozenset(KINDS)
        self.values: tuple[Json, ...] | None = None
        self.excluded: tuple[Json, ...] = ()
        self.minimum: tuple[float, bool] | None = None
        self.maximum: tuple[float, bool] | None = None
        self.factors: tuple[float, ...] = ()
        self.no_factors: tuple[float, ...] = ()
        self.least = 0
        self.most: int | None = None
        self.patterns: tuple[str, ...] = ()
        self.no_patterns: tuple[str, ...] = ()
        self.least_items = 0
        self.most_items: int | None = None
        self.is_unique = False
        self.is_repeated = False
        self.items: tuple[Schema, ...] = ()
        self.some_items: tuple[Schema, ...] = ()
        self.one_item: list[Schema] | None = None
        self.required: tuple[str, ...] = ()
        self.forbidden: frozenset[str] = frozenset()
        self.described: tuple[str, ...] = ()
        self.allowed: frozenset[str] | None = None
        self.has_unknown = False
        self.heard: tuple[Schema, ...] = ()
        self.sifted = 0

    def copy(self) -> Demand:
        """Return one of its own with the same contents."""
        # Written out, as this is done a hundred thousand times for one contract.
        other = Demand.__new__(Demand)
        other.kinds, other.values, other.excluded = self.kinds, self.values, self.excluded
        other.minimum, other.maximum = self.minimum, self.maximum
        other.factors, other.no_factors = self.factors, self.no_factors
        other.least, other.most = self.least, self.most
        other.patterns, other.no_patterns = self.patterns, self.no_patterns
        other.least_items, other.most_items = self.least_items, self.most_items
        other.is_unique, other.is_repeated = self.is_unique, self.is_repeated
        other.items, other.some_items, other.one_item = self.items, self.some_items, self.one_item
        other.required, other.forbidden = self.required, self.forbidden
        other.described, other.allowed = self.described, self.allowed
        other.has_unknown, other.heard, other.sifted = self.has_unknown, self.heard, self.sifted
        return other


class Logic:
    """What is worked out about schemas once: negations, compiled schemas, the members they speak of.

    Keyed by identity: the schemas it is asked about live as long as it does.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._kept: dict[int, Schema] = {}
        self._negations: dict[int, tuple[Schema, ...]] = {}
        self._alternatives: dict[tuple[int, str], tuple[Schema, ...]] = {}
        self._valid: dict[int, Callable[[Json], bool]] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._words: dict[tuple[str, Any], Schema] = {}
        self.texts = Texts(self.meets)

    def meets(self, word: str, argument: Any, value: Json) -> bool:
        """Tell whether a value meets one word of JSON Schema."""
        return self.is_valid(self._words.setdefault((word, argument), {word: argument}), value)

    def is_valid(self, schema: Schema, value: Json) -> bool:
        """Tell whether a value meets a schema."""
        if schema is True or schema is False:
            return bool(schema)
        found = self._valid.get(id(schema))
        if found is None:
            self._kept[id(schema)] = schema
            found = self._valid[id(schema)] = jsonschema_rs.Draft202012Validator(schema).is_valid
        return found(value)

    def names(self, schema: Schema) -> frozenset[str]:
        """Return the members of the same object that a schema speaks of."""
        if not isinstance(schema, dict):
            return frozenset()
        found = self._names.get(id(schema))
        if found is None:
            self._kept[id(schema)] = schema
            names = {*schema.get("required", ()), *schema.get("properties", ())}
            for word in ("dependentSchemas", "dependentRequired"):
                names |= set(schema.get(word, ()))
            below = [*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
            below += [schema[word] for word in ("not", "if", "then", "else") if word in schema]
            below += schema.get("dependentSchemas", {}).values()
            found = self._names[id(schema)] = frozenset(names).union(*map(self.names, below))
        return found

    def negation(self, schema: Schema) -> tuple[Schema, ...]:
        """Return the ways in which a value can fail a schema, each as a schema, those that need least first."""
        if schema is False:
            return (True,)
        if schema is True:
            return ()
        found = self._negations.get(id(schema))
        if found is None:
            self._kept[id(schema)] = schema
            ways = [way for word in schema for way in self._failures(schema, word)]
            found = self._negations[id(schema)] = tuple(sorted(ways, key=weight))
        return found

    def _failures(self, schema: Mapping[str, Any], word: str) -> Iterable[Schema]:
        return failures(schema, word, self.negation)

    def alternatives(self, schema: Mapping[str, Any], word: str) -> tuple[Schema, ...]:
        """Return the ways in which a value can meet a word that leaves a choice, those that need least first."""
        key = id(schema), word
        found = self._alternatives.get(key)
        if found is None:
            self._kept[id(schema)] = schema
            found = tuple(sorted(_ways(schema, word, self.negation), key=weight))
            self._alternatives[key] = found
        return found


def failures(
    schema: Mapping[str, Any], word: str, negation: Callable[[Schema], tuple[Schema, ...]]
) -> Iterable[Schema]:
    """Yield the ways in which a value can fail one word of a schema, as schemas; raises Unsupported."""
    value = schema[word]
    match word:
        case "type" | "enum" | "pattern" | "multipleOf":
            yield {"not": {word: value}}
        case "const":
            yield {"not": {"enum": [value]}}
        case "uniqueItems":
            if value:
                yield {"not": {word: value}}
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            yield {"type": "number", _OPPOSITE[word]: value}
        case "minLength" | "minItems":
            if value > 0:
                yield {"type": _SIZED[word], word.replace("min", "max"): value - 1}
        case "maxLength" | "maxItems":
            yield {"type": _SIZED[word], word.replace("max", "min"): value + 1}
        case "required":
            for name in value:
                yield {"not": {"required": [name]}}
        case "dependentRequired":
            for name, needed in value.items():
                for other in needed:
                    yield {"type": "object", "required": [name], "not": {"required": [other]}}
        case "properties":
            for name, below in value.items():
                for way in negation(below):
                    yield {"type": "object", "required": [name], "properties": {name: way}}
        case "items":
            for way in negation(value):
                yield {"type": "array", "contains": way}
        case "contains":
            yield {"type": "array", "items": {"not": value}}
        case "allOf":
            for branch in value:
                yield from negation(branch)
        case "anyOf":
            yield {"allOf": [{"not": branch} for branch in value]}
        case "oneOf":
            yield {"allOf": [{"not": branch} for branch in value]}
            for index, branch in enumerate(value):
                yield from ({"allOf": [branch, other]} for other in value[index + 1 :])
        case "not":
            yield value
        case "if":
            if schema.get("then", True) is not True:
                yield {"allOf": [value, {"not": schema["then"]}]}
            if schema.get("else", True) is not True:
                yield {"allOf": [{"not": value}, {"not": schema["else"]}]}
        case "dependentSchemas":
            for name, below in value.items():
                yield {"allOf": [{"type": "object", "required": [name]}, {"not": below}]}
        case "additionalProperties" if value is False:
            yield {"type": "object", UNKNOWN: True}
        case "then" | "else" | "additionalProperties":
            return
        case _:
            raise Unsupported(
                f"a body cannot be built against '{word}'; see the limits in docs/strategies.md"
            )


_OPPOSITE: Final = {
    "minimum": "exclusiveMaximum",
    "maximum": "exclusiveMinimum",
    "exclusiveMinimum": "maximum",
    "exclusiveMaximum": "minimum",
}
_SIZED: Final = {"minLength": "string", "maxLength": "string", "minItems": "array", "maxItems": "array"}


def _ways(
    schema: Mapping[str, Any], word: str, negation: Callable[[Schema], tuple[Schema, ...]]
) -> Iterable[Schema]:
    value = schema[word]
    match word:
        case "anyOf":
            yield from value
        case "oneOf":
            for index, branch in enumerate(value):
                others = [{"not": other} for at, other in enumerate(value) if at != index]
                yield {"allOf": [branch, *others]}
        case "not":
            yield from negation(value)
        case "if":
            for way in negation(value):
                yield {"allOf": [way, schema.get("else", True)]}
            yield {"allOf": [value, schema.get("then", True)]}


def weight(schema: Schema) -> int:
    """Return how much a schema asks to be there: what shrinks takes the lightest."""
    if not isinstance(schema, dict):
        return 0
    own = 10 * len(schema.get("required", ())) + 12 * ("contains" in schema) + 15 * (UNKNOWN in schema)
    own += 1 if schema.keys() & {"enum", "const", "pattern", "minimum", "exclusiveMinimum"} else 0
    below = [*schema.get("allOf", ()), *schema.get("properties", {}).values()]
    least = [min(map(weight, schema[word])) for word in ("anyOf", "oneOf") if schema.get(word)]
    return own + sum(map(weight, below)) + sum(least)


class State:
    """Demands on a value and everything below it, by path; members of objects only: items are built on their own."""

    __slots__ = ("_budget", "_demands", "_is_own", "_logic", "_pending", "_touched")

    def __init__(self, logic: Logic) -> None:
        """Begin with any value."""
        self._logic = logic
        self._demands: dict[Path, Demand] = {}
        self._is_own: set[Path] = set()
        # Triples (path, alternatives, members of the root they speak of).
        self._pending: list[tuple[Path, tuple[Schema, ...], frozenset[str]]] = []
        self._touched: set[str] | None = None
        self._budget: list[int] = [0]

    def copy(self) -> State:
        """Return a state that can be changed without this one."""
        other = State.__new__(State)
        other._logic = self._logic
        other._demands = dict(self._demands)
        other._is_own = set()
        self._is_own = set()
        other._pending = list(self._pending)
        other._touched = None if self._touched is None else set(self._touched)
        other._budget = self._budget
        return other

    # --- looking ------------------------------------------------------------------------------------------

    def at(self, path: Path) -> Demand:
        """Return what is known of a place; not to be changed."""
        return self._demands.get(path) or _ANYTHING

    def is_gone(self, path: Path) -> bool:
        """Tell whether nothing can be at a place."""
        if not path:
            return False
        for index, name in enumerate(path):
            above = self._demands.get(path[:index])
            if above is not None and (name in above.forbidden or "object" not in above.kinds):
                return True
        return False

    def is_there(self, path: Path) -> bool:
        """Tell whether something is at a place for certain."""
        return all(name in self.at(path[:index]).required for index, name in enumerate(path))

    # --- demanding ----------------------------------------------------------------------------------------

    def demand(self, schema: Schema, path: Path = ()) -> None:
        """Demand a schema of what is at a place, if anything is; raises Impossible."""
        if schema is True or self.is_gone(path):
            return
        if schema is False:
            self._strike(path)
            return
        if not schema:
            return
        own = self._own(path)
        own.heard = (*own.heard, schema)
        self._apply(schema, path)

    def _apply(self, schema: Mapping[str, Any], path: Path) -> None:
        for word in schema:
            if self.is_gone(path):
                return
            own = self._own(path)
            if own.values is not None:
                # What is listed is tried, and needs no reasoning.
                self._sift(path)
                return
            self._word(schema, word, path, own)
        if not self.is_gone(path):
            self._settle(path)

    def _word(self, schema: Mapping[str, Any], word: str, path: Path, own: Demand) -> None:
        value = schema[word]
        match word:
            case "type":
                names = [value] if isinstance(value, str) else value
                own.kinds &= {kind for name in names for kind in _OF_TYPE[name]}
            case "enum" | "const":
                own.values, own.sifted = tuple(value if word == "enum" else [value]), 0
                self._sift(path)
            case "properties":
                own.described = tuple(dict.fromkeys((*own.described, *value)))
                for name, below in value.items():
                    self.demand(below, (*path, name))
            case "required":
                self._require(value, path, own)
            case "allOf":
                for branch in value:
                    if branch is False:
                        self._strike(path)
                    elif branch is not True and not self.is_gone(path):
                        self._apply(branch, path)
            case "not":
                self._deny(schema, value, path, own)
            case "anyOf" | "oneOf" | "if":
                self._choose(schema, word, path)
            case "dependentSchemas":
                for name, below in value.items():
                    self._choose_of(path, self._dependent(value, name, below))
            case "dependentRequired":
                for name, needed in value.items():
                    self._choose_of(path, self._dependent(value, name, {"required": needed}))
            case "minimum" | "exclusiveMinimum":
                limit = (value, word != "minimum")
                own.minimum = limit if own.minimum is None else max(own.minimum, limit)
            case "maximum" | "exclusiveMaximum":
                most = (value, word != "maximum")
                if own.maximum is None or (value, word == "maximum") < (own.maximum[0], not own.maximum[1]):
                    own.maximum = most
            case "multipleOf":
                own.factors = (*own.factors, value)
            case "pattern":
                own.patterns = (*own.patterns, value)
            case "minLength":
                own.least = max(own.least, value)
            case "maxLength":
                own.most = value if own.most is None else min(own.most, value)
            case "minItems":
                own.least_items = max(own.least_items, value)
            case "maxItems":
                own.most_items = value if own.most_items is None else min(own.most_items, value)
            case "uniqueItems":
                own.is_unique = own.is_unique or value
            case "items":
                own.items = (*own.items, value)
            case "contains":
                own.some_items = (*own.some_items, value)
            case "additionalProperties" if value is False:
                names = frozenset(schema.get("properties", ()))
                own.allowed = names if own.allowed is None else own.allowed & names
            case "then" | "else" | "additionalProperties":
                pass
            case "x-one-item":
                own.one_item = value
            case "x-unknown":
                own.has_unknown = True
            case _:
                raise Unsupported(
                    f"a body cannot be built from '{word}'; see the limits in docs/strategies.md"
                )

    def _require(self, names: Sequence[str], path: Path, own: Demand) -> None:
        if "object" not in own.kinds or set(names) <= set(own.required):
            return
        if set(names) & own.forbidden:
            self._drop(path, "object")
            return
        own.required = tuple(dict.fromkeys((*own.required, *names)))
        self._touch(path, names)
        if own.allowed is not None and not own.allowed.issuperset(names):
            self._drop(path, "object")
            return
        for name in names:
            if not self.at((*path, name)).kinds:
                self._drop(path, "object")
                return

    def _deny(self, schema: Mapping[str, Any], denied: Schema, path: Path, own: Demand) -> None:
        if denied is True or denied == {}:
            self._strike(path)
            return
        word = next(iter(denied)) if isinstance(denied, dict) and len(denied) == 1 else ""
        match word:
            case "enum" | "const":
                own.excluded += tuple(denied["enum"] if word == "enum" else [denied["const"]])
            case "type":
                names = [denied[word]] if isinstance(denied[word], str) else denied[word]
                own.kinds -= {kind for name in names for kind in _OF_TYPE[name]}
            case "pattern":
                own.kinds &= {"string"}
                own.no_patterns = (*own.no_patterns, denied[word])
            case "multipleOf":
                own.kinds &= {"integer", "fraction"}
                own.no_factors = (*own.no_factors, denied[word])
            case "uniqueItems":
                own.kinds &= {"array"}
                own.is_repeated = True
            case "required" if len(denied[word]) == 1:
                own.kinds &= {"object"}
                self._settle(path)
                if not self.is_gone(path) and own.kinds:
                    self._strike((*path, denied[word][0]))
            case _:
                self._choose(schema, "not", path)

    def _dependent(self, holder: Mapping[str, Any], name: str, below: Schema) -> tuple[Schema, ...]:
        key = id(holder), name
        known = self._logic._alternatives
        if key not in known:
            self._logic._kept[id(holder)] = holder
            known[key] = (
                {"not": {"required": [name]}},
                {"allOf": [{"required": [name]}, below]},
            )
        return known[key]

    def _choose(self, schema: Mapping[str, Any], word: str, path: Path) -> None:
        self._choose_of(path, self._logic.alternatives(schema, word))

    def _choose_of(self, path: Path, ways: tuple[Schema, ...]) -> None:
        if len(ways) < 2:
            self.demand(ways[0] if ways else False, path)
            return
        names = frozenset(path[:1]) or frozenset().union(*map(self._logic.names, ways))
        self._pending.append((path, ways, names))
        if self._touched is not None:
            self._touched |= names

    def _sift(self, path: Path) -> None:
        """Keep of the listed values those that meet all that was heard."""
        own = self._own(path)
        is_valid = self._logic.is_valid
        assert own.values is not None
        fresh, own.sifted = own.heard[own.sifted :], len(own.heard)
        kept = tuple(
            value
            for value in own.values
            if kind_of(value) in own.kinds and all(is_valid(schema, value) for schema in fresh)
        )
        if not kept:
            self._strike(path)
        else:
            own.values = kept
            own.kinds = frozenset(map(kind_of, kept))

    def _settle(self, path: Path) -> None:
        """Drop the kinds that nothing can be of any more."""
        own = self.at(path)
        is_too_short = own.most is not None and own.least > own.most
        if "string" in own.kinds and (is_too_short or self._has_no_text(own)):
            self._drop(path, "string")
        if own.most_items is not None and own.least_items > own.most_items and "array" in own.kinds:
            self._drop(path, "array")
        if own.minimum is not None and own.maximum is not None and own.kinds & {"integer", "fraction"}:
            low, high = own.minimum[0], own.maximum[0]
            if low > high or (low == high and (own.minimum[1] or own.maximum[1])):
                self._drop(path, "integer")
                self._drop(path, "fraction")
        if own.allowed is not None and "object" in own.kinds and not own.allowed.issuperset(own.required):
            self._drop(path, "object")
        if not self.at(path).kinds:
            self._strike(path)

    def _has_no_text(self, own: Demand) -> bool:
        """Tell whether patterns contradict one another; of a single one nothing is asked."""
        return len(own.patterns) + len(own.no_patterns) > 1 and not self._logic.texts.exists(own)

    def _drop(self, path: Path, kind: str) -> None:
        if self.is_gone(path):
            return
        own = self._own(path)
        own.kinds -= {kind}
        self._touch(path, ())
        if not own.kinds:
            self._strike(path)

    def _strike(self, path: Path) -> None:
        """Note that nothing can be at a place; raises Impossible where something must."""
        if not path:
            raise Impossible
        own = self._own(path)
        own.kinds = frozenset()
        above, name = self._own(path[:-1]), path[-1]
        self._touch(path[:-1], (name,))
        if name in above.required:
            self._drop(path[:-1], "object")
        else:
            above.forbidden |= {name}

    def _own(self, path: Path) -> Demand:
        found = self._demands.get(path)
        if found is not None and path in self._is_own:
            return found
        found = self._demands[path] = Demand() if found is None else found.copy()
        self._is_own.add(path)
        self._touch(path, ())
        return found

    def _touch(self, path: Path, names: Iterable[str]) -> None:
        if self._touched is not None:
            self._touched.update(path[:1] or names)

    # --- deciding -----------------------------------------------------------------------------------------

    def propagate(self) -> None:
        """Strike out alternatives that cannot be, and demand those that are left alone; raises Impossible."""
        while True:
            touched, self._touched = self._touched, set()
            pending, self._pending = self._pending, []
            for path, ways, names in pending:
                if (touched is not None and names.isdisjoint(touched)) or not self.is_there(path):
                    if not self.is_gone(path):
                        self._pending.append((path, ways, names))
                    continue
                if any(self._holds(way, path) for way in ways):
                    continue
                open_ways = tuple(way for way in ways if self._could(way, path))
                if len(open_ways) > 1:
                    self._pending.append((path, open_ways, names))
                elif open_ways:
                    self.demand(open_ways[0], path)
                else:
                    self._strike(path)
            if not self._touched:
                return

    def tried(self, schema: Schema) -> State | None:
        """Return the state with a schema demanded too, None where that is seen to be impossible."""
        other = self.copy()
        try:
            other.demand(schema)
            other.propagate()
        except Impossible:
            return None
        return other

    def solved(self, chooser: Chooser) -> State:
        """Return a state in which every choice about what is there has been made; raises Impossible."""
        self._budget[0] = _MOST_CHOICES
        return self._solved(chooser)

    def _solved(self, chooser: Chooser) -> State:
        self.propagate()
        ready = [at for at, one in enumerate(self._pending) if self.is_there(one[0])]
        if not ready:
            return self
        # The one with the fewest alternatives: a wrong turn shows soonest there.
        index = min(ready, key=lambda at: len(self._pending[at][1]))
        path, ways, _ = self._pending[index]
        start = chooser.below(len(ways))
        for way in (*ways[start:], *ways[:start]):
            self._budget[0] -= 1
            if self._budget[0] < 0:
                break
            other = self.copy()
            del other._pending[index]
            try:
                other.demand(way, path)
                return other._solved(chooser)
            except Impossible:
                continue
        raise Impossible

    def _could(self, schema: Schema, path: Path) -> bool:
        denied: Any = schema.get("not") if isinstance(schema, dict) and len(schema) == 1 else None
        own = self.at(path)
        is_less = isinstance(denied, dict) and denied.keys() == {"required"} and len(denied["required"]) == 1
        if is_less and own.values is None:
            # The commonest by far: a member left out.
            return "object" in own.kinds and denied["required"][0] not in own.required
        # What is ours stays ours: the other state is given up before anything here changes.
        is_own = self._is_own
        other = self.copy()
        self._is_own = is_own
        try:
            other.demand(schema, path)
        except Impossible:
            return False
        return not other.is_gone(path)

    def _holds(self, schema: Schema, path: Path) -> bool:
        """Tell whether a schema holds whatever is decided; false where that is not seen."""
        if schema is True or self.is_gone(path):
            return True
        if schema is False:
            return False
        own = self.at(path)
        if own.values is not None:
            return all(self._logic.is_valid(schema, value) for value in own.values)
        return all(self._word_holds(schema, word, path, own) for word in schema)

    def _word_holds(self, schema: Mapping[str, Any], word: str, path: Path, own: Demand) -> bool:
        value = schema[word]
        match word:
            case "type":
                names = [value] if isinstance(value, str) else value
                return own.kinds <= {kind for name in names for kind in _OF_TYPE[name]}
            case "required":
                return set(value) <= set(own.required) or "object" not in own.kinds
            case "properties":
                return "object" not in own.kinds or all(
                    self._holds(below, (*path, name)) for name, below in value.items()
                )
            case "allOf":
                return all(self._holds(branch, path) for branch in value)
            case "anyOf":
                return any(self._holds(branch, path) for branch in value)
            case "not":
                return self._never(value, path, own)
            case "if":
                is_met = self._holds(value, path)
                is_unmet = not is_met and any(self._holds(way, path) for way in self._logic.negation(value))
                return (is_met and self._holds(schema.get("then", True), path)) or (
                    is_unmet and self._holds(schema.get("else", True), path)
                )
            case "then" | "else":
                return "if" in schema
            case "enum" | "const":
                return False
        return any(one is schema for one in own.heard)

    def _never(self, schema: Schema, path: Path, own: Demand) -> bool:
        if not isinstance(schema, dict) or not schema:
            return schema is False
        if schema.keys() == {"required"} and len(schema["required"]) == 1:
            return own.kinds == {"object"} and schema["required"][0] in own.forbidden
        if schema.keys() <= {"enum", "const"}:
            denied = schema.get("enum", [schema.get("const")])
            return all(any(is_same(value, one) for one in own.excluded) for value in denied)
        if schema.keys() <= {"type"}:
            names = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", ())
            return own.kinds.isdisjoint(kind for name in names for kind in _OF_TYPE[name])
        if schema.keys() == {"pattern"}:
            return own.kinds == {"string"} and schema["pattern"] in own.no_patterns
        return any(self._holds(way, path) for way in self._logic.negation(schema))


_ANYTHING: Final = Demand()
