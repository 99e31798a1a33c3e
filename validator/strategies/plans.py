"""What is worked out about an operation once: how its requests are built, and the ways to break each rule."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from validator.contract.document import nearest
from validator.contract.expressions import Json, format_pointer, parse_pointer, to_text
from validator.contract.model import Operation, Parameter, Rule, unknown_member_id
from validator.contract.schemas import is_absent
from validator.request import HttpRequest
from validator.strategies.bodies import UNKNOWN_MEMBER, Bodies, Goal, explicit_schema
from validator.strategies.calls import Calls, protocol_rule
from validator.strategies.choices import Chooser, First, Impossible
from validator.strategies.demands import Logic, Path, Schema, State


@dataclass(frozen=True, slots=True)
class Way:
    """One way to break a rule."""

    kind: Literal["body", "parameter", "twice", "protocol"]
    goal: Goal | None = None
    parameter: tuple[Parameter, State | None] | None = None
    protocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explicit:
    """What a caller wants to be so: members of the body by path, and texts of parameters and headers by name."""

    members: Mapping[Path, Json] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


NOTHING_EXPLICIT = Explicit()


class Plan:
    """Builds the requests of one operation."""

    def __init__(self, operation: Operation) -> None:
        """Begin with nothing worked out."""
        self.operation = operation
        self._logic = Logic()
        self.calls = Calls(operation, self._logic)
        self.bodies = None if operation.body is None else _bodies(_ById(operation.body, operation))
        self._ways: dict[str, tuple[Way, ...]] = {}
        # What constructs the answers, which is worked out from the requests: set by the module that does so.
        self.answers: Any = None

    # --- rules --------------------------------------------------------------------------------------------

    @functools.cached_property
    def rules(self) -> tuple[str, ...]:
        """Return the ids of all findings that a request of the operation can be made to have."""
        operation = self.operation
        found = [rule.id for rule in operation.rules]
        if self.bodies is not None and any(
            owner.rule is None for owner in self.bodies.schema.owners.values()
        ):
            found.append(unknown_member_id(operation.provider))
        found += [protocol_rule(operation, name) for name in self.calls.protocol_flaws()]
        return tuple(found)

    def rule_id(self, rule: Rule | str) -> str:
        """Return the id of a rule that can be broken; raises ValueError, TypeError for what is no rule."""
        if not isinstance(rule, Rule | str):
            raise TypeError(f"{rule!r:.80} is no rule; give its id, such as '{self.rules[0]}'")
        name = rule if isinstance(rule, str) else rule.id
        if name in self.rules:
            return name
        hint = nearest(name, self.rules)
        raise ValueError(
            f"'{name}' is no rule that a request of {self.operation.id} can break"
            + (f"; {hint}" if hint else "")
            + " (a rule that is off is not judged: load the contract with another effect for it)"
        )

    def ways(self, rule: Rule | str) -> tuple[Way, ...]:
        """Return the ways to break a rule, () where none was found; raises ValueError for an unknown rule."""
        name = self.rule_id(rule)
        if name not in self._ways:
            self._ways[name] = tuple(self._found(name))
        return self._ways[name]

    def _found(self, name: str) -> list[Way]:
        found: list[Way] = []
        if self.bodies is not None:
            known = UNKNOWN_MEMBER if name == unknown_member_id(self.operation.provider) else name
            found += [Way("body", goal=goal) for goal in self.bodies.flawed(known)]
            for unique in self.operation.unique:
                if unique.rule.id == name:
                    found.append(Way("twice", goal=self.bodies.having(unique.pointer)))
        found += [Way("parameter", parameter=flaw) for flaw in self.calls.flawed(name)]
        for flaw in self.calls.protocol_flaws():
            if protocol_rule(self.operation, flaw) == name:
                found.append(Way("protocol", protocol=flaw))
        return found

    def also(self, rule: Rule | str) -> frozenset[str]:
        """Return the rules that cannot but be broken together with one."""
        return frozenset(
            unknown_member_id(self.operation.provider) if name is None else name
            for way in self.ways(rule)
            for name in (way.goal.also if way.goal is not None else ())
        )

    # --- requests -----------------------------------------------------------------------------------------

    def valid(self, chooser: Chooser, explicit: Explicit, *, allows_warnings: bool) -> HttpRequest:
        """Return a valid request; raises Impossible."""
        body = self.valid_body(chooser, explicit, allows_warnings=allows_warnings)
        return self.calls.request(chooser, body, has_body=self.bodies is not None, explicit=explicit.texts)

    def valid_body(self, chooser: Chooser, explicit: Explicit, *, allows_warnings: bool) -> Json:
        """Return a valid body, None where the operation has none; raises Impossible."""
        if self.bodies is None:
            return None
        return self._body(self.bodies, self.bodies.valid(allows_warnings=allows_warnings), chooser, explicit)

    def broken(self, way: Way, rule: str, chooser: Chooser, explicit: Explicit) -> HttpRequest:
        """Return a request that breaks a rule in this way; raises Impossible."""
        body: Json = None
        if self.bodies is not None:
            goal = way.goal or self.bodies.valid(allows_warnings=False)
            body = self._body(self.bodies, goal, chooser, explicit)
        parameters = None
        if way.parameter is not None:
            parameters = self.calls.wrong_parameter(rule, way.parameter, chooser)
        return self.calls.request(
            chooser,
            body,
            has_body=self.bodies is not None,
            explicit=explicit.texts,
            parameters=parameters,
            protocol=way.protocol,
        )

    def smallest(self, rule: Rule | str, explicit: Explicit) -> HttpRequest:
        """Return the request with the fewest values that breaks a rule; raises ValueError."""
        name = self.rule_id(rule)
        found: list[HttpRequest] = []
        for way in self.ways(name):
            try:
                found.append(self.broken(way, name, First(), explicit))
            except Impossible:
                continue
        if not found:
            raise ValueError(f"no request of {self.operation.id} was found that breaks '{name}'")
        return min(found, key=lambda request: (_values(request), len(request.body), len(request.url)))

    def _body(self, bodies: Bodies, goal: Goal, chooser: Chooser, explicit: Explicit) -> Json:
        absent = bodies.schema.absent
        given = {path: value for path, value in explicit.members.items() if not is_absent(value, absent)}
        schema = explicit_schema(given)
        left_out = {path: value for path, value in explicit.members.items() if path not in given}
        if left_out:
            parts = [schema] if schema is not True else []
            schema = {"allOf": [*parts, *(_lacking(path) for path in left_out)]}
        body = bodies.build(goal, chooser, explicit=schema)
        for path, value in left_out.items():
            _put(body, path, value)
        return body

    # --- explicit parts -----------------------------------------------------------------------------------

    def place(self, name: str) -> Path | str:
        """Return the path in the body, or the name of a parameter or header, that a caller means.

        Raises ValueError for a name that is neither.
        """
        body = self.operation.body
        members = body.members if body is not None else ()
        if name.startswith("/"):
            path = parse_pointer(name)
            known = self.bodies.described(path[:-1]) if self.bodies is not None else ()
            if path[-1] not in known:
                raise self._unknown(name, known, path)
            return path
        for parameter in self.operation.parameters:
            if name == parameter.name or (parameter.place == "header" and name.lower() == parameter.name):
                return parameter.name
        if any(name.lower() == credential.header for credential in self.operation.credentials):
            return name.lower()
        if name in members:
            return (name,)
        raise self._unknown(name)

    def _unknown(self, name: str, members: Sequence[str] = (), path: Path = ()) -> ValueError:
        body = self.operation.body
        known = [
            *(body.members if body is not None else ()),
            *(one.name for one in self.operation.parameters),
        ]
        known += [credential.header for credential in self.operation.credentials]
        if name.startswith("/"):
            known = [format_pointer((*path[:-1], member)) for member in members]
        hint = nearest(name, known)
        return ValueError(
            f"'{name}' is neither a member nor a parameter of {self.operation.id}"
            + (f"; {hint}" if hint else f"; there are {', '.join(known) or 'none'}")
        )

    def explicit(self, values: Mapping[str, Any]) -> Explicit:
        """Return what a caller wants, sorted by where it goes; raises ValueError for an unknown name."""
        members: dict[Path, Json] = {}
        texts: dict[str, str] = {}
        for name, value in values.items():
            place = self.place(name)
            if isinstance(place, str):
                texts[place] = to_text(value)
            else:
                members[place] = value
        return Explicit(members=members, texts=texts)

    def why_not(self, explicit: Explicit) -> str:
        """Return why no valid body has the explicit members, as far as that can be told."""
        assert self.bodies is not None
        shown = ", ".join(f"{'.'.join(path)} = {value!r}"[:80] for path, value in explicit.members.items())
        body = self.valid_body(First(), NOTHING_EXPLICIT, allows_warnings=False)
        for path, value in explicit.members.items():
            _put(body, path, value)
        broken = [name or unknown_member_id(self.operation.provider) for name in self.bodies.broken(body)]
        return f"no request of {self.operation.id} of the kind asked for has {shown}" + (
            f": it breaks {', '.join(broken)}" if broken else ""
        )


def _values(request: HttpRequest) -> int:
    """Return about how many values a body holds."""
    return request.body.count(b",") + request.body.count(b"{") + request.body.count(b"[")


def _lacking(path: Path) -> Schema:
    if len(path) == 1:
        return {"not": {"required": [path[0]]}}
    return {"properties": {path[0]: _lacking(path[1:])}}


def _put(body: Any, path: Path, value: Json) -> None:
    for name in path[:-1]:
        if not isinstance(body, dict):
            return
        body = body.setdefault(name, {})
    if isinstance(body, dict):
        body[path[-1]] = value


class _ById:
    """Something as a key that holds mappings, so that it has no hash of its own; and the operation it is of."""

    __slots__ = ("key", "operation")

    def __init__(self, key: object, operation: Operation) -> None:
        self.key, self.operation = key, operation

    def __hash__(self) -> int:
        return id(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.key is other.key


def plan_of(operation: Operation) -> Plan:
    """Return the plan of an operation, the same each time; raises TypeError for what is none."""
    if not isinstance(operation, Operation):
        raise TypeError(
            f"{operation!r:.80} is no operation; take one of load('SPEC.yaml').operations['OPERATION']"
        )
    return _plan(_ById(operation, operation))


@functools.lru_cache(maxsize=128)
def _plan(key: _ById) -> Plan:
    return Plan(key.operation)


@functools.lru_cache(maxsize=128)
def _bodies(key: _ById) -> Bodies:
    """Return what builds bodies of a schema; operations that share it share that."""
    assert key.operation.body is not None
    return Bodies(key.operation, key.operation.body)
