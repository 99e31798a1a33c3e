"""Bodies of an operation: valid ones, and those with one flaw, constructed from its compiled schema."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from validator.contract.capabilities import find_row, offer_schema
from validator.contract.expressions import Json, parse_pointer
from validator.contract.model import BodySchema, Capabilities, Operation, Row, Rule
from validator.contract.schemas import remove_absent
from validator.contract.trees import find, strip
from validator.keywords import judge_pictures, refused_uses
from validator.strategies.choices import Chooser, First, Impossible
from validator.strategies.demands import Logic, Path, Schema, State, weight
from validator.strategies.flaws import Flaw, Source, flaws, without
from validator.strategies.pictures import PictureFlaw, draw_pictures, picture_flaws
from validator.strategies.values import Builder, chosen, needing

UNKNOWN_MEMBER: Final = None
"""The rule that nobody wrote: a member that is not described."""

_PROBES: Final = 3
"""Ways to break a rule that are looked at for what comes along with it."""

_RICH: Final = 8
"""One body in so many has nothing in it that it could do without."""

MOST_ABSENT: Final = 3
"""Members that are written out though they count as missing, at most."""


@dataclass(slots=True, kw_only=True)
class Goal:
    """What a body shall be: demands, and the rows of the capability map it may lie in.

    `also` are the rules that are broken together with the one meant, which cannot be helped.
    """

    state: State
    rows: Sequence[tuple[Schema, Sequence[Schema]]]
    picture: PictureFlaw | None = None
    also: frozenset[str | None] = frozenset()
    _states: dict[tuple[int, str], State | None] = field(default_factory=dict)

    def focuses(self) -> tuple[str, ...]:
        """Return the members that need not be there and can be."""
        own = self.state.at(())
        return tuple(name for name in own.described if name not in own.required and name not in own.forbidden)

    def in_row(self, index: int, focus: str = "") -> State | None:
        """Return the demands with those of a row, and with a member there; None where they cannot be met."""
        key = index, focus
        if key not in self._states:
            state = self.state.tried(self.rows[index][0])
            if focus and state is not None:
                state = state.tried({"type": "object", "required": [focus]})
            try:
                if state is not None:
                    # Once and for all: a row without a body is not to be searched again for each body.
                    state.copy().solved(First())
            except Impossible:
                state = None
            self._states[key] = state
        return self._states[key]


@dataclass(slots=True)
class Bodies:
    """What constructs the bodies of one operation; `repairs` counts those that were begun again."""

    operation: Operation
    schema: BodySchema
    logic: Logic = field(default_factory=Logic)
    builder: Builder = field(init=False)
    repairs: int = 0
    _features: dict[str, Schema] = field(init=False)
    _goals: dict[object, list[Goal]] = field(default_factory=dict)
    _needs: dict[Path, Schema] = field(default_factory=dict)
    _names: Mapping[str | None, frozenset[str]] = field(default_factory=dict)
    _known_rows: dict[object, list[tuple[Schema, Sequence[Schema]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look up where pictures may be and which uses of the API the rows tell apart."""
        sites = {site.pattern: site for site in self.schema.images}
        self.builder = Builder(self.logic, sites)
        words = [word for _, word in find(self.schema.tree, "x-capabilities")]
        named = words[0].get("features", {}) if words else {}
        self._features = {name: strip(feature) for name, feature in named.items()}

    # --- goals --------------------------------------------------------------------------------------------

    def valid(self, *, allows_warnings: bool) -> Goal:
        """Return the goal of bodies without a finding, or without an error."""
        key = "valid", allows_warnings
        if key not in self._goals:
            dropped = self._warnings() if allows_warnings else frozenset()
            source = without(self._source(), dropped)
            goal = Goal(state=self._begun(source.schema), rows=self._rows(dropped))
            # Only rows that bodies lie in, so that each is drawn as often as any other.
            rows = [row for index, row in enumerate(goal.rows) if goal.in_row(index) is not None]
            self._goals[key] = [Goal(state=goal.state, rows=rows)]
        return self._goals[key][0]

    def flawed(self, rule: str | None) -> list[Goal]:
        """Return the goals of bodies that break one rule, each tried; [] where no body can."""
        if rule not in self._goals:
            wanted = self._flaws(rule)
            found: list[Goal] = []
            for dropped in self._concessions(rule, wanted):
                found = [goal for flaw in wanted if (goal := self._achieved(rule, flaw, dropped)) is not None]
                if found:
                    break
            self._goals[rule] = found
        return self._goals[rule]

    def described(self, path: Path) -> tuple[str, ...]:
        """Return the members that the schema describes at a place of the body."""
        return self.valid(allows_warnings=True).state.at(path).described

    def having(self, pointer: str) -> Goal:
        """Return the goal of valid bodies that have a member."""
        valid = self.valid(allows_warnings=False)
        state = valid.state.tried(self.needing(tuple(parse_pointer(pointer))))
        assert state is not None, "a member that can never be there"
        return Goal(state=state, rows=valid.rows)

    def _source(self) -> Source:
        return Source(self.schema.engine, self.schema.owners, self.schema.absent)

    def _warnings(self) -> frozenset[str | None]:
        found: set[str | None] = {rule.id for rule in self.operation.rules if rule.effect == "warn"}
        return frozenset(found)

    def _begun(self, *schemas: Schema) -> State:
        state = State(self.logic)
        for schema in schemas:
            state.demand(schema)
        state.propagate()
        return state

    def _rows(
        self, dropped: frozenset[str | None], rule: str | None = None
    ) -> list[tuple[Schema, Sequence[Schema]]]:
        """Return (schema, features that may be used) of each row, the one that asks for least first.

        `rule` is one about a feature to be broken in rows that do not offer it; those in `dropped` are not minded.
        """
        if (dropped, rule) not in self._known_rows:
            self._known_rows[dropped, rule] = self._made_rows(dropped, rule)
        return self._known_rows[dropped, rule]

    def _made_rows(
        self, dropped: frozenset[str | None], rule: str | None
    ) -> list[tuple[Schema, Sequence[Schema]]]:
        capabilities = self.schema.capabilities
        if capabilities is None:
            return [(True, ())]
        rows: list[tuple[Schema, Sequence[Schema]]] = []
        for row in capabilities.rows:
            broken = [one for one in row.refused if one.rule is not None and one.rule.id == rule]
            if rule is not None and not broken:
                continue
            refused = [
                one for one in row.refused if one not in broken and one.rule and one.rule.id not in dropped
            ]
            parts = [offer_schema(row.match, capabilities), *(self._features[one.name] for one in broken)]
            parts += [{"not": self._features[one.name]} for one in refused]
            offered = [self._features[name] for name in self._features if name in self._usable(row)]
            rows.append(({"allOf": parts}, offered))
        rows.sort(key=lambda row: weight(row[0]))
        if rule is None and (
            capabilities.rule is None or capabilities.rule.id in dropped or capabilities.rule.effect == "off"
        ):
            # Bodies beside the map are let pass.
            rows += [(schema, ()) for schema in _beside(capabilities)]
        return rows

    def _usable(self, row: Row) -> set[str]:
        refused = {one.name for one in row.refused}
        return {name for name in self._features if name not in refused}

    def _flaws(self, rule: str | None) -> list[Flaw | PictureFlaw | Rule]:
        """Return what can be wrong with a body by a rule, of the schema, the map and the pictures."""
        found: list[Flaw | PictureFlaw | Rule] = list(flaws(self._source(), rule, self.logic))
        capabilities = self.schema.capabilities
        if capabilities is not None and rule is not None:
            asked = [capabilities.rule, *(one.rule for one in capabilities.features.values())]
            found += {one.id: one for one in asked if one is not None and one.id == rule}.values()
        if rule is not None:
            found += picture_flaws(self.schema.images, rule)
        return found

    def _achieved(
        self, rule: str | None, flaw: Flaw | PictureFlaw | Rule, dropped: frozenset[str | None]
    ) -> Goal | None:
        """Return the goal of bodies with a flaw, and those of `dropped`; None where there are none."""
        for goal in self._attempts(rule, flaw, dropped):
            try:
                found = frozenset(self.broken(self.build(goal, First())))
            except Impossible:
                continue
            if rule in found and found - {rule} == dropped:
                goal.also = dropped
                return goal
            if rule in found and dropped and found - {rule} < dropped:
                # Only what really comes along is let come along.
                return self._achieved(rule, flaw, found - {rule})
        return None

    def _concessions(
        self, rule: str | None, wanted: Sequence[Flaw | PictureFlaw | Rule]
    ) -> Iterator[frozenset[str | None]]:
        """Yield the sets of other rules that may be broken too, the least first."""
        yield frozenset()
        warnings = self._warnings() - {rule}
        yield warnings
        about = self._subjects().get(rule, frozenset())
        near = frozenset(one for one, names in self._subjects().items() if one != rule and names & about)
        # Which of them come along is seen where all of them may.
        seen: dict[str | None, None] = {}
        together: list[frozenset[str | None]] = []
        for flaw in wanted[:_PROBES]:
            for goal in self._attempts(rule, flaw, near):
                try:
                    broken = frozenset(self.broken(self.build(goal, First()))) - {rule}
                except Impossible:
                    continue
                seen |= dict.fromkeys(sorted(map(str, broken)))
                together.append(broken)
        yield from (frozenset((other,)) for other in seen)
        yield from (warnings | {other} for other in seen if other not in warnings)
        yield from together

    def _subjects(self) -> Mapping[str | None, frozenset[str]]:
        """Return the members of the body that each rule is about."""
        if not self._names:
            found: dict[str | None, frozenset[str]] = {}
            for at, owner in self.schema.owners.items():
                node: Any = self.schema.engine
                names: frozenset[str] = frozenset()
                for index, step in enumerate(at):
                    if step == "properties" and index + 1 < len(at):
                        names = frozenset((str(at[index + 1]),))
                        break
                    node = node[step]
                else:
                    # The whole body is about itself, and about no member more than another.
                    names = self.logic.names(node) if at else frozenset()
                if owner.rule is not None:
                    found[owner.rule.id] = found.get(owner.rule.id, frozenset()) | names
            capabilities = self.schema.capabilities
            for name, feature in capabilities.features.items() if capabilities is not None else ():
                if feature.rule is not None:
                    found[feature.rule.id] = self.logic.names(self._features[name])
            for site in self.schema.images:
                for rule in site.rules:
                    found[rule.rule.id] = found.get(rule.rule.id, frozenset()) | {site.pattern[0]}
            self._names = found
        return self._names

    def _attempts(
        self, rule: str | None, flaw: Flaw | PictureFlaw | Rule, dropped: frozenset[str | None]
    ) -> Iterator[Goal]:
        source = without(self._source(), dropped)
        rows = self._rows(dropped)
        if isinstance(flaw, PictureFlaw):
            state = self._try(source.schema, flaw.schema())
            if state is not None:
                yield Goal(state=state, rows=rows, picture=flaw)
            return
        capabilities = self.schema.capabilities
        if isinstance(flaw, Rule):
            assert capabilities is not None
            state = self._try(source.schema)
            if state is not None and capabilities.rule is not None and capabilities.rule.id == rule:
                yield Goal(state=state, rows=[(schema, ()) for schema in _beside(capabilities)])
            if state is not None and any(
                one.rule and one.rule.id == rule for one in capabilities.features.values()
            ):
                yield Goal(state=state, rows=self._rows(dropped, rule))
            return
        schemas = [flaw.strict, flaw.loose]
        if dropped:
            same = [one for one in flaws(source, rule, self.logic) if one.member == flaw.member]
            schemas = [schema for one in same for schema in (one.strict, one.loose)]
        # A key that is refused by itself is in no row, and nothing more is said of any combination.
        is_key = capabilities is not None and len(flaw.member) == 1 and flaw.member[0] in capabilities.keys
        effects = {one.id: one.effect for one in self.operation.rules}
        for schema in schemas:
            state = self._try(schema)
            if state is not None:
                yield Goal(
                    state=state, rows=[(True, ())] if is_key and effects.get(str(rule)) == "reject" else rows
                )

    def _try(self, *schemas: Schema) -> State | None:
        try:
            return self._begun(*schemas)
        except Impossible:
            return None

    # --- building -----------------------------------------------------------------------------------------

    def build(self, goal: Goal, chooser: Chooser, *, explicit: Schema = True) -> Json:
        """Return a body that is what the goal says; raises Impossible."""
        count = len(goal.rows)
        if not count:
            # A map whose every row asks for what nothing can be.
            raise Impossible
        start = chooser.below(count)
        # One decision for all that need not be: a body with little in it must take few, or it is not what
        # Hypothesis shrinks to.
        is_rich = chooser.below(_RICH) > 0
        focus = ""
        if is_rich and explicit is True and chooser.flag():
            # A member that few rows take would be rare; chosen first, the row is one that takes it.
            focuses = goal.focuses()
            focus = focuses[chooser.below(len(focuses))] if focuses else ""
        wanted = goal.state if explicit is True else goal.state.tried(explicit)
        for index in (*range(start, count), *range(start)):
            if wanted is None:
                break
            state = goal.in_row(index, focus) if explicit is True else wanted.tried(goal.rows[index][0])
            if state is None:
                continue
            for more in (True, False) if is_rich else (False,):
                try:
                    return self._built(
                        goal, state, goal.rows[index][1], chooser, is_rich=is_rich, is_enriched=more
                    )
                except Impossible:
                    self.repairs += 1
        if focus:
            # No row takes it.
            return self.build(goal, chooser)
        raise Impossible

    def _built(
        self,
        goal: Goal,
        state: State,
        features: Sequence[Schema],
        chooser: Chooser,
        *,
        is_rich: bool,
        is_enriched: bool,
    ) -> Json:
        state = state.copy()
        if is_enriched:
            for feature in chosen(features, chooser):
                state = state.tried(feature) or state
            state = self.builder.enrich(state, chooser)
        state = state.solved(chooser if is_rich else First())
        body = self.builder.value(state, chooser)
        body = draw_pictures(body, chooser, maker=self.logic.texts, flaw=goal.picture)
        return self._with_absent(body, chooser) if is_rich else body

    def _with_absent(self, body: Json, chooser: Chooser) -> Json:
        """Return the body with members written out that count as missing all the same."""
        if not self.schema.absent or not isinstance(body, dict):
            return body
        names = [name for name in self.schema.members if name not in body]
        out = dict(body)
        for _ in range(chooser.below(MOST_ABSENT + 1) if names else 0):
            name = names[chooser.below(len(names))]
            out[name] = self.schema.absent[chooser.below(len(self.schema.absent))]
        return out

    def needing(self, path: Path) -> Schema:
        """Return the schema of bodies that have a member."""
        return needing(path, self._needs)

    # --- judging ------------------------------------------------------------------------------------------

    def broken(self, body: Json) -> list[str | None]:
        """Return the ids of the rules a body breaks, as a check would find them; None for an unknown member."""
        schema = self.schema
        body = remove_absent(body, schema.absent)
        source = self._source()
        found: dict[str | None, None] = {}
        keys = set(schema.capabilities.keys) if schema.capabilities is not None else set()
        has_broken_key = False
        for error in schema.validator.iter_errors(body):
            place = list(error.instance_path)
            if not isinstance(body, dict) and (place or error.kind.name != "type"):
                continue
            owner = source.owner(tuple(error.schema_path))
            if owner is None:
                continue
            found[owner.rule.id if owner.rule else UNKNOWN_MEMBER] = None
            if error.kind.name in ("required", "dependentRequired"):
                place.append(error.kind.as_dict()["property"])
            is_refused = owner.rule is not None and owner.rule.effect == "reject"
            has_broken_key = has_broken_key or (is_refused and len(place) == 1 and place[0] in keys)
        if not isinstance(body, dict):
            return list(found)
        if schema.capabilities is not None and not has_broken_key:
            row = find_row(schema.capabilities, body)
            found |= dict.fromkeys(rule.id for rule in refused_uses(schema.capabilities, body, row))
        found |= dict.fromkeys(one.rule.id for one in judge_pictures(schema.images, body).findings)
        return list(found)


def _beside(capabilities: Capabilities) -> list[Schema]:
    """Return schemas of the combinations that no row covers, those that ask for least first."""
    keys = capabilities.keys
    lists = capabilities.choices
    if not keys:
        # One row covers everything.
        return []
    if any(choices is None for choices in lists):
        return [{"allOf": [{"not": offer_schema(row.match, capabilities)} for row in capabilities.rows]}]
    found: list[Schema] = []
    for start in itertools.product(*(choices or () for choices in lists[:-1])):
        rest = [text for text in lists[-1] or () if (*start, text) not in capabilities.rows_by_key]
        if rest:
            match = dict(zip(keys, [*((text,) for text in start), tuple(rest)], strict=True))
            found.append(offer_schema(match, capabilities))
    return sorted(found, key=weight)


def explicit_schema(parts: Mapping[Path, Any]) -> Schema:
    """Return the schema of bodies that have these values at these places."""
    if not parts:
        return True
    return {"allOf": [_holding(path, value) for path, value in parts.items()]}


def _holding(path: Path, value: Any) -> Schema:
    if not path:
        return {"const": value}
    return {"type": "object", "required": [path[0]], "properties": {path[0]: _holding(path[1:], value)}}
