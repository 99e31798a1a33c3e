"""Bodies that are known in part: what is wrong with them whatever the rest turns out to be.

A body read from a program has holes, whose values are only known when it runs.  A finding counts where it holds
for every filling; that is worked out with three truth values, and never by guessing a value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from validator.check import Examination, examine
from validator.contract.capabilities import capability_schemas
from validator.contract.engine import keeps
from validator.contract.expressions import MISSING, Json, format_pointer, parse_pointer
from validator.contract.model import BodySchema, Contract, Owner, unknown_member_id
from validator.contract.schemas import is_absent
from validator.contract.trees import find
from validator.report import Report, Violation, field_name
from validator.request import HttpRequest, dump_json


class Hole:
    """A value that is only known when the program runs; it may turn out to be left out.

    `name` is how the program calls it.  `is_text`: it is a text that is not empty, whatever it says.
    """

    __slots__ = ("is_text", "name")

    def __init__(self, name: str = "", *, is_text: bool = False) -> None:
        """Take what is known of it."""
        self.name = name
        self.is_text = is_text

    def __repr__(self) -> str:
        """Return it as messages show it."""
        return f"Hole({self.name!r}{', is_text=True' if self.is_text else ''})"


class Open(dict[str, Any]):
    """An object that may hold more members than are known."""

    def __repr__(self) -> str:
        """Return it as messages show it."""
        return f"Open({super().__repr__()})"


FILLED_IN: Final = "filled in later"
"""What stands in the place of a text that is put together when the program runs."""


def is_known(value: Json) -> bool:
    """Tell whether a value has no holes."""
    return next(holes(value), None) is None


def holes(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (path, name) of every hole; an open object is one, called '...'."""
    if isinstance(value, Hole):
        yield at, value.name
    elif isinstance(value, dict):
        if isinstance(value, Open):
            yield at, "..."
        for name, member in value.items():
            yield from holes(member, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from holes(item, (*at, index))


def fill(value: Any, *, keep: Collection[str] = (), at: tuple[str | int, ...] = ()) -> Any:
    """Return a value with its holes closed: members left out, entries null, texts that say nothing.

    `keep` are pointers of members that keep their place, so that they are seen to be there.
    """
    if isinstance(value, Hole):
        return FILLED_IN if value.is_text else None
    if isinstance(value, list):
        return [fill(item, keep=keep, at=(*at, index)) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, member in value.items():
        is_left_out = isinstance(member, Hole) and not member.is_text
        if not is_left_out:
            out[name] = fill(member, keep=keep, at=(*at, name))
        elif keep and format_pointer([*at, name]) in keep:
            out[name] = FILLED_IN
    return out


# --- three truth values -----------------------------------------------------------------------------------


class Truth(Enum):
    """Whether something holds for every filling, for none, or for some."""

    YES = 1
    NO = 0
    OPEN = -1


def _both(truths: Iterator[Truth]) -> Truth:
    out = Truth.YES
    for one in truths:
        if one is Truth.NO:
            return Truth.NO
        if one is Truth.OPEN:
            out = Truth.OPEN
    return out


def _either(truths: Iterator[Truth]) -> Truth:
    return _not(_both(_not(one) for one in truths))


def _not(one: Truth) -> Truth:
    return {Truth.YES: Truth.NO, Truth.NO: Truth.YES, Truth.OPEN: Truth.OPEN}[one]


def _known(is_so: bool) -> Truth:
    return Truth.YES if is_so else Truth.NO


def holds(schema: Any, value: Any) -> Truth:
    """Tell whether a value meets a JSON Schema whatever fills its holes; its keywords are our closed list."""
    if isinstance(schema, bool):
        return _known(schema)
    return _both(_keyword(name, schema, value) for name in schema if name not in ("then", "else"))


def _keyword(name: str, schema: Mapping[str, Any], value: Any) -> Truth:
    """Tell whether one keyword holds; OPEN for anything it cannot be sure of."""
    said = schema[name]
    match name:
        case "allOf":
            return _both(holds(one, value) for one in said)
        case "anyOf":
            return _either(holds(one, value) for one in said)
        case "oneOf":
            truths = [holds(one, value) for one in said]
            if truths.count(Truth.YES) > 1:
                return Truth.NO
            return _known(truths.count(Truth.YES) == 1) if Truth.OPEN not in truths else Truth.OPEN
        case "not":
            return _not(holds(said, value))
        case "if":
            condition = holds(said, value)
            then, other = schema.get("then", True), schema.get("else", True)
            if condition is not Truth.OPEN:
                return holds(then if condition is Truth.YES else other, value)
            both = {holds(then, value), holds(other, value)}
            return both.pop() if len(both) == 1 else Truth.OPEN
        case "type":
            return _type(said, value)
    if name not in _OF_OBJECTS | _OF_LISTS | _OF_VALUES:
        return Truth.YES
    if isinstance(value, Hole):
        return _of_hole(name, value)
    if name in _OF_VALUES:
        return _of_value(name, said, value)
    if name in _OF_OBJECTS:
        return _of_object(name, said, schema, value) if isinstance(value, dict) else Truth.YES
    return _of_list(name, said, schema, value) if isinstance(value, list) else Truth.YES


_OF_VALUES: Final = frozenset(
    (
        *("enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern"),
    )
)
_OF_OBJECTS: Final = frozenset(
    (
        *("properties", "patternProperties", "additionalProperties", "propertyNames", "required"),
        *("dependentRequired", "dependentSchemas", "minProperties", "maxProperties"),
    )
)
_OF_LISTS: Final = frozenset(("items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems"))
_OF_TEXTS: Final = frozenset(("minLength", "maxLength", "pattern", "enum", "const"))


def _of_hole(name: str, value: Hole) -> Truth:
    # What speaks of numbers, lists and objects holds of every text.
    return Truth.YES if value.is_text and name not in _OF_TEXTS else Truth.OPEN


def _type(said: Any, value: Any) -> Truth:
    allowed = [said] if isinstance(said, str) else said
    if isinstance(value, Hole):
        return _known("string" in allowed) if value.is_text else Truth.OPEN
    return _known(any(_is_type(value, one) for one in allowed))


def _is_type(value: Any, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return name == "number" or isinstance(value, int) or value.is_integer()


def _of_value(name: str, said: Any, value: Any) -> Truth:
    if name in ("enum", "const"):
        if not is_known(value):
            # An object or a list; it may only be equal to its like.
            options = said if name == "enum" else [said]
            alike = any(type(one) is type(value) or isinstance(one, dict | list) for one in options)
            return Truth.OPEN if alike else Truth.NO
        options = said if name == "enum" else [said]
        return _known(any(_same(one, value) for one in options))
    if isinstance(value, str) and name in ("minLength", "maxLength", "pattern"):
        if name == "minLength":
            return _known(len(value) >= said)
        if name == "maxLength":
            return _known(len(value) <= said)
        return _known(keeps("pattern", said, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Truth.YES
    match name:
        case "minimum":
            return _known(value >= said)
        case "maximum":
            return _known(value <= said)
        case "exclusiveMinimum":
            return _known(value > said)
        case "exclusiveMaximum":
            return _known(value < said)
        case "multipleOf":
            return _known(keeps("multipleOf", said, value))
    return Truth.YES


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: true is not 1, 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _has(value: Mapping[str, Any], name: str) -> Truth:
    """Tell whether an object has a member."""
    if name not in value:
        return Truth.OPEN if isinstance(value, Open) else Truth.NO
    member = value[name]
    return Truth.OPEN if isinstance(member, Hole) and not member.is_text else Truth.YES


def _of_object(name: str, said: Any, schema: Mapping[str, Any], value: dict[str, Any]) -> Truth:
    match name:
        case "required":
            return _both(_has(value, one) for one in said)
        case "dependentRequired":
            return _both(
                _either(iter((_not(_has(value, one)), _both(_has(value, other) for other in others))))
                for one, others in said.items()
            )
        case "dependentSchemas":
            return _both(
                _either(iter((_not(_has(value, one)), holds(then, value)))) for one, then in said.items()
            )
        case "properties":
            return _both(_member(value, one, then) for one, then in said.items())
        case "patternProperties" | "propertyNames":
            return Truth.OPEN if said else Truth.YES
        case "additionalProperties":
            known = schema.get("properties", {})
            others = [one for one in value if one not in known]
            truths = [_member(value, one, said) for one in others]
            if "patternProperties" in schema and others:
                return Truth.OPEN
            if isinstance(value, Open) and said is not True:
                truths.append(Truth.OPEN)
            return _both(iter(truths))
    sure = [one for one in value if _has(value, one) is Truth.YES]
    if name == "minProperties":
        if len(sure) >= said:
            return Truth.YES
        return Truth.OPEN if isinstance(value, Open) or len(value) >= said else Truth.NO
    if len(sure) > said:
        return Truth.NO
    return Truth.OPEN if isinstance(value, Open) or len(value) > said else Truth.YES


def _member(value: Mapping[str, Any], name: str, schema: Any) -> Truth:
    """Tell whether a member, if it is there, meets a schema."""
    there = _has(value, name)
    if there is Truth.NO:
        return Truth.YES
    truth = holds(schema, value.get(name, _ANY))
    if truth is Truth.NO and there is Truth.OPEN:
        return Truth.OPEN
    return truth


_ANY: Final = Hole()


def _of_list(name: str, said: Any, schema: Mapping[str, Any], value: list[Any]) -> Truth:
    match name:
        case "items":
            return _both(holds(said, one) for one in value[len(schema.get("prefixItems", ())) :])
        case "prefixItems":
            return _both(holds(one, item) for one, item in zip(said, value, strict=False))
        case "contains":
            return _either(holds(said, one) for one in value)
        case "minItems":
            return _known(len(value) >= said)
        case "maxItems":
            return _known(len(value) <= said)
    if not said:
        return Truth.YES
    if not is_known(value):
        return Truth.OPEN
    return _known(not any(_same(a, b) for index, a in enumerate(value) for b in value[:index]))


# --- findings ---------------------------------------------------------------------------------------------


def certain(contract: Contract, schema: BodySchema, body: Any) -> set[tuple[str, str]]:
    """Return (rule, pointer) of every finding that a body has whatever fills its holes, pictures aside.

    The name of a member that no schema describes is judged by itself: it is written there, whatever its value.
    """
    value = _without_absent(body, schema.absent)
    out: set[tuple[str, str]] = set()
    for path, location in _broken(schema.engine, value, (), ()):
        owner = _owner(schema.owners, path)
        if owner is not None:
            rule = owner.rule.id if owner.rule is not None else unknown_member_id(contract.id)
            out.add((rule, format_pointer(location)))
    capabilities = schema.capabilities
    if capabilities is not None and isinstance(value, dict):
        (word,) = (word for _, word in find(schema.tree, "x-capabilities"))
        for refusal, rule_ in capability_schemas(capabilities, word["features"]):
            if rule_ is not None and holds(refusal, value) is Truth.NO:
                out.add((rule_.id, ""))
    return out


def _without_absent(value: Any, absent: Sequence[Json]) -> Any:
    """Return a value without the members that are known to count as missing."""
    if isinstance(value, Hole) and value.is_text and any(isinstance(one, str) and one for one in absent):
        # It may be one of the texts that count as missing.
        return Hole(value.name)
    if isinstance(value, dict):
        return type(value)(
            (name, _without_absent(member, absent))
            for name, member in value.items()
            if isinstance(member, Hole) or not is_absent(member, absent)
        )
    return [_without_absent(item, absent) for item in value] if isinstance(value, list) else value


def _owner(owners: Mapping[tuple[str | int, ...], Owner], path: tuple[str | int, ...]) -> Owner | None:
    for length in range(len(path), -1, -1):
        owner = owners.get(path[:length])
        if owner is not None:
            return owner
    return None


Place = tuple[str | int, ...]


def _broken(schema: Any, value: Any, path: Place, at: Place) -> Iterator[tuple[Place, Place]]:
    """Yield (path in the schema, location in the value) of every error that the engine gives for each filling.

    The engine goes into what applies for sure (allOf, properties, the branch of a condition that is taken) and
    tells the rest (anyOf, oneOf, not) as one error, where it stands.
    """
    if schema is False:
        yield path, at
    if not isinstance(schema, dict):
        return
    for name, said in schema.items():
        here = (*path, name)
        if name == "allOf":
            for index, one in enumerate(said):
                yield from _broken(one, value, (*here, index), at)
        elif name == "if":
            condition = holds(said, value)
            branch = {Truth.YES: "then", Truth.NO: "else"}.get(condition, "")
            if branch in schema:
                yield from _broken(schema[branch], value, (*path, branch), at)
        elif name in ("then", "else"):
            continue
        elif isinstance(value, dict) and name in _OF_OBJECTS:
            yield from _broken_object(name, said, schema, value, here, at)
        elif isinstance(value, list) and name in ("items", "prefixItems"):
            first = len(schema.get("prefixItems", ())) if name == "items" else 0
            for index, item in enumerate(value[first:], start=first):
                one = said if name == "items" else said[index] if index < len(said) else True
                step = here if name == "items" else (*here, index)
                yield from _broken(one, item, step, (*at, index))
        elif _keyword(name, schema, value) is Truth.NO:
            yield here, at


def _broken_object(
    name: str, said: Any, schema: Mapping[str, Any], value: dict[str, Any], here: Place, at: Place
) -> Iterator[tuple[Place, Place]]:
    match name:
        case "properties":
            for member, one in said.items():
                if member in value and _has(value, member) is Truth.YES:
                    yield from _broken(one, value[member], (*here, member), (*at, member))
        case "additionalProperties":
            for member in value:
                if member not in schema.get("properties", {}) and "patternProperties" not in schema:
                    if said is False:
                        # The engine calls it an error of the whole; the finding is told of each member.
                        yield here, (*at, member)
                    elif _has(value, member) is Truth.YES:
                        yield from _broken(said, value[member], here, (*at, member))
        case "required":
            for member in said:
                if _has(value, member) is Truth.NO:
                    yield here, (*at, member)
        case "dependentRequired":
            for member, others in said.items():
                if _has(value, member) is Truth.YES:
                    for other in others:
                        if _has(value, other) is Truth.NO:
                            yield here, (*at, other)
        case "dependentSchemas":
            for member, one in said.items():
                if _has(value, member) is Truth.YES:
                    yield from _broken(one, value, (*here, member), at)
        case _:
            if _keyword(name, schema, value) is Truth.NO:
                yield here, at


_OF_ONE_PICTURE: Final = frozenset(("mediaTypes", "maxBytes", "minWidth", "minHeight", "aspectRatio"))
_OF_PICTURES: Final = frozenset(("sameSize", "sameAspectRatio"))


def examine_partial(
    contract: Contract, request: HttpRequest, value: Any, *, operation: str | None = None
) -> Examination:
    """Examine a request whose body has holes; the report has only what holds for every filling.

    What the holes kept from being judged stands in `Report.unchecked`.
    """
    out = examine(contract, _filled(request, value, ()), operation=operation)
    schema = out.operation.body if out.operation is not None else None
    if schema is None:
        return out
    sure = certain(contract, schema, value)
    strange = unknown_member_id(contract.id)
    kept = [pointer for rule, pointer in sure if rule == strange]
    if kept:
        out = examine(contract, _filled(request, value, kept), operation=operation)
    missing = list(holes(value))
    tops = {path[0] if path else None for path, _ in missing}
    is_open = None in tops
    pictures = {site.pattern[0] for site in schema.images}

    def is_sure(one: Violation) -> bool:
        if one.place != "body" or one.kind != "invalid":
            return True
        if one.keyword in _OF_PICTURES:
            return not is_open and not tops & pictures
        if one.keyword in _OF_ONE_PICTURE:
            return isinstance(value_at(value, one.instance_location), str)
        return (one.rule, one.instance_location) in sure

    report = out.report
    violations = tuple(_retold(one, value) for one in report.violations if is_sure(one))
    names = dict.fromkeys(field_name(format_pointer(path)) or "further members" for path, _ in missing)
    unchecked = (*report.unchecked, f"{_listed(list(names))}: only known when the program runs")
    out.report = Report(
        provider=report.provider, operation=report.operation, violations=violations, unchecked=unchecked
    )
    # What it costs and brings depends on what is not known.
    out.row = None
    return out


_MOST_NAMES: Final = 8


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _filled(request: HttpRequest, value: Any, keep: Collection[str]) -> HttpRequest:
    body, fault = dump_json(fill(value, keep=keep))
    return replace(request, body=body, body_fault=fault)


def value_at(value: Any, pointer: str) -> Any:
    """Return what stands at a place of a body with holes, MISSING for nothing."""
    for step in parse_pointer(pointer):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def _retold(one: Violation, value: Any) -> Violation:
    """Return a finding about a combination without what was not there to see."""
    if one.keyword != "x-capabilities" or not isinstance(value, dict):
        return one
    known = {
        key: text
        for key, text in one.keys.items()
        if not isinstance(value.get(key), Hole) and (key in value or not isinstance(value, Open))
    }
    if len(known) == len(one.keys):
        return one
    found = ", ".join(f"{key} '{text}'" for key, text in known.items() if text)
    unknown = ", ".join(key for key in one.keys if key not in known)
    return replace(
        one, found=f"{found}, whatever {unknown} is" if found else f"whatever {unknown} is", suggestion=""
    )
