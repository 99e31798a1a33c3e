"""Bodies that may tell two schemas apart, from the places where these differ.

Proposes only: whether a body really is taken by one and not by the other, the checks say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from validator.contract.capabilities import find_row
from validator.contract.expressions import MISSING, Json, to_text
from validator.contract.model import BodySchema, Capabilities
from validator.diff.documents import Edit, edits, text_of
from validator.diff.shrink import LARGE
from validator.diff.sites import ANY, Place, Site, Texts, Values, holder, no_texts, put, sites, unique

MOST_TRIED: Final = 1_500
"""Bodies that are proposed for one edit; nearly all that show anything are among the first hundred."""

_FEW: Final = 14
"""Values of a place beside the edited one that are tried along with it."""

_NO_OBJECTS: Final[tuple[Json, ...]] = ([], "a", 1, True, None)
_COMBINATIONS: Final = 20_000
"""Combinations of a capability map that are compared one by one."""

Tree = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A feature that one of two maps offers for some combinations, or the combinations themselves; "" for them.

    `old` and `new` are the JSON Pointers of the rows, "" for none.
    """

    text: str
    feature: str
    old: str
    new: str
    combinations: list[dict[str, Json]]
    bodies: Sequence[Json] = ()


@dataclass(slots=True)
class Ground:
    """The body of an operation as both specs describe it, and bodies to begin from."""

    old: BodySchema
    new: BodySchema
    bases: list[Json] = field(default_factory=list)
    texts: Texts = no_texts
    _old_sites: dict[Tree, Site] = field(default_factory=dict)
    _new_sites: dict[Tree, Site] = field(default_factory=dict)
    values: Values = field(init=False)

    def __post_init__(self) -> None:
        """Walk both trees once."""
        self._old_sites = {site.at: site for site in sites(self.old.tree)}
        self._new_sites = {site.at: site for site in sites(self.new.tree)}
        known = [*self._old_sites.values(), *self._new_sites.values()]
        self.values = Values(known, texts=self.texts)

    def edits(self) -> list[Edit]:
        """Return where the trees differ, the rows of a capability map left to :meth:`combinations`."""
        return list(edits(self.old.tree, self.new.tree))

    def sides(self, edit: Edit) -> tuple[Site, Site]:
        """Return the node an edit lies in, in the old tree and in the new one."""
        return holder(self._old_sites, edit.old_at), holder(self._new_sites, edit.new_at)

    def rules(self, edit: Edit) -> tuple[str, ...]:
        """Return the rules that answer for the nodes an edit is in, or about."""
        parts = [value for value in (edit.before, edit.after) if isinstance(value, dict)]
        # A node with a rule of its own is no matter of the rule that it lies below.
        found = [] if any("x-rule" in part for part in parts) else [site.rule for site in self.sides(edit)]
        for value in parts:
            found += [site.rule for site in sites(value)]
        return tuple(dict.fromkeys(rule for rule in found if rule))

    def of_rule(self, rule: str) -> list[Site]:
        """Return the nodes of both trees that a rule answers for."""
        both = (*self._old_sites.values(), *self._new_sites.values())
        return [site for site in both if site.rule == rule]

    # --- an edit

    def bodies(self, edit: Edit, bases: Sequence[Json] = ()) -> Iterator[Json]:
        """Yield bodies that an edit may make a difference for; `bases` are tried before those of the ground."""
        nodes = [site for site in self.sides(edit) if site.node]
        nodes += [
            Site(at=(), place=self._place(edit, one.place), node=one.node, rule=one.rule)
            for value in (edit.before, edit.after)
            if isinstance(value, dict)
            for one in sites(value)
        ]
        rules = self.rules(edit)
        around = [site for rule in rules for site in self.of_rule(rule)] or nodes
        focus = self._focus(edit, nodes)
        yield from self._mixed(focus, around, bases)

    def of(self, rule: str, bases: Sequence[Json] = ()) -> Iterator[Json]:
        """Yield bodies that may break a rule."""
        nodes = self.of_rule(rule)
        focus = [(site.place, value) for site in nodes for value in self.values.of(site.node, site.place)]
        yield from self._mixed(focus, nodes, bases)

    def _place(self, edit: Edit, inside: Place) -> Place:
        """Return where a node that came or went applies, told by the names on the way to it."""
        site, end = self.sides(edit)[0 if edit.after is MISSING else 1], edit.old_at
        end = edit.new_at if edit.before is MISSING else end
        rest = [str(step) for step in end[len(site.at) :]]
        place = site.place
        if rest[:1] == ["properties"] and len(rest) > 1:
            place = (*place, rest[1])
        elif rest[:1] and rest[0] in ("items", "contains", "additionalProperties"):
            place = (*place, ANY)
        return (*place, *inside)

    def _focus(self, edit: Edit, nodes: Sequence[Site]) -> list[tuple[Place, Json]]:
        """Return pairs (place, value) nearest to an edit: what came or went, then what lies around it."""
        first, second = self.sides(edit)
        place = first.place or second.place
        named = edit.new_at[-1] if edit.new_at else ""
        out: list[tuple[Place, Json]] = []
        if edit.is_entry:
            came: Json = edit.before if edit.after is MISSING else edit.after
            word = next((step for step in reversed(edit.old_at) if isinstance(step, str)), "")
            if word in ("required", *_DEPENDENT) and isinstance(came, str):
                out.append(((*place, came), MISSING))
                out.append(((*place, came), self.values.plain((*place, came))))
            out.append((place, came))
        elif named in ("const", "default"):
            out += [(place, value) for value in (edit.before, edit.after) if value is not MISSING]
        for site in nodes:
            out += [(site.place, value) for value in self.values.of(site.node, site.place)]
            out += [((*site.place, name), MISSING) for name in site.node.get("required", ())]
            for name in site.node.get("properties", ()):
                inner = (*site.place, name)
                out += [(inner, MISSING), (inner, self.values.plain(inner))]
                out += [(inner, value) for value in self.values.at(inner)[:_FEW]]
        if not place:
            out += [((), value) for value in _NO_OBJECTS]
        else:
            out += [(place, MISSING), *((place, value) for value in self.values.at(place))]
        return list({(at, text_of(value)): (at, value) for at, value in out}.values())

    def _mixed(
        self, focus: Sequence[tuple[Place, Json]], around: Sequence[Site], bases: Sequence[Json]
    ) -> Iterator[Json]:
        """Yield bodies with the values in focus: alone, then with one, then with two of those around."""
        known = unique([*bases, *self.bases])
        # With a picture of megabytes in it, a body is tried as it is, and not a thousand times.
        begin = [base for base in known if len(text_of(base)) < LARGE]
        large = [base for base in known if len(text_of(base)) >= LARGE]
        more: list[tuple[Place, Json]] = []
        for place in dict.fromkeys(site.place for site in around):
            if place:
                more += [(place, value) for value in (*self.values.at(place)[:_FEW], MISSING)]
            for site in around:
                if site.place == place:
                    for name in (*site.node.get("required", ()), *site.node.get("properties", ())):
                        inner = (*place, name)
                        more += [(inner, value) for value in (self.values.plain(inner), MISSING)]
                        more += [(inner, value) for value in self.values.at(inner)[:_FEW]]
        more = list({(at, text_of(value)): (at, value) for at, value in more}.values())
        seen: set[str] = set()

        def fresh(body: Json) -> Iterator[Json]:
            text = text_of(body)
            if text not in seen:
                seen.add(text)
                yield body

        def proposals() -> Iterator[Json]:
            yield from begin
            yield from large
            for (place, value), base in itertools.product(focus, begin):
                yield put(base, place, value, self.values)
            near = begin[:12]
            for base, (place, value), (at, other) in itertools.product(near, focus, more):
                if at != place:
                    yield put(put(base, place, value, self.values), at, other, self.values)
            for base, one, two, three in itertools.product(near[:2], focus[:30], more, more):
                body = base
                for at, value in (one, two, three):
                    body = put(body, at, value, self.values)
                yield body

        # Many proposals come to the same body; those are not worth more time either.
        found = (one for body in itertools.islice(proposals(), 3 * MOST_TRIED) for one in fresh(body))
        yield from itertools.islice(found, MOST_TRIED)

    # --- capability maps

    def combinations(self, users: Callable[[str], Sequence[Json]]) -> list[Offer]:
        """Return what is offered for some combination by one of the maps only, a row and a feature at a time.

        `users` gives bodies that use a feature, whether or not it is offered to them.
        """
        old, new = self.old.capabilities, self.new.capabilities
        if old is None or new is None:
            return []
        keys = tuple(dict.fromkeys((*old.keys, *new.keys)))
        lists = [self._key_values(key) for key in keys]
        found: dict[tuple[str, str, str], Offer] = {}
        for combination in itertools.islice(itertools.product(*lists), _COMBINATIONS):
            body = {key: value for key, value in zip(keys, combination, strict=True) if value is not MISSING}
            here, there = find_row(old, body), find_row(new, body)
            names = here.features if here else frozenset(), there.features if there else frozenset()
            if (here is None) == (there is None) and names[0] == names[1]:
                continue
            pointers = here.pointer if here else "", there.pointer if there else ""
            row = there or here
            assert row is not None
            for name in sorted(names[0] ^ names[1]) or [""]:
                verb = "no longer offers" if name in names[0] else "offers"
                text = (
                    f"{row.name}: {verb} {name}" if name else f"{row.name}: {'is gone' if here else 'is new'}"
                )
                offer = found.setdefault((*pointers, name), Offer(text, name, *pointers, []))
                offer.combinations.append(body)
        return [replace(offer, bodies=self._using(offer, users)) for offer in found.values()]

    def _key_values(self, key: str) -> list[Json]:
        """Return the values of a key of the map, each text once; MISSING where it need not be there."""
        texts: dict[str, Json] = {}
        for site in (*self._old_sites.values(), *self._new_sites.values()):
            if site.place == (key,):
                for value in site.node.get("enum", ()):
                    texts.setdefault(to_text(value), value)
        if not texts:
            for capabilities in (self.old.capabilities, self.new.capabilities):
                for row in capabilities.rows if capabilities is not None else ():
                    for text in row.match.get(key, ()):
                        texts.setdefault(text, text)
        return list(texts.values()) or [MISSING]

    def _using(self, offer: Offer, users: Callable[[str], Sequence[Json]]) -> list[Json]:
        """Return bodies with the keys of an offer that use its feature, a few for each combination."""
        name = offer.feature
        known = [*users(name), *self.bases] if name else [*self.bases]
        fitting = [body for body in known if isinstance(body, dict) and (not name or self._uses(name, body))]
        out = []
        for index, keys in enumerate(offer.combinations):
            # The first combinations with every body, the rest with the first few.
            for body in unique(fitting)[: 12 if index < _FEW else 2]:
                assert isinstance(body, dict)
                out.append({**body, **keys})
        return out

    def _uses(self, name: str, body: Json) -> bool:
        for schema in (self.old, self.new):
            capabilities: Capabilities | None = schema.capabilities
            feature = capabilities.features.get(name) if capabilities is not None else None
            if feature is not None and feature.uses(body):
                return True
        return False


_DEPENDENT: Final = ("dependentRequired",)


def minimal(ground: Ground, base: dict[str, Json], missing: Sequence[str]) -> dict[str, Any]:
    """Return a body with simple values for the members that were found missing; they are JSON Pointers."""
    out: Json = base
    for pointer in missing:
        place = tuple(ANY if step.isdigit() else step for step in pointer.split("/")[1:])
        if place:
            out = put(out, place, ground.values.plain(place), ground.values)
    return out if isinstance(out, dict) else {}
