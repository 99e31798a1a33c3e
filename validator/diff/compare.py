"""Two contracts held against each other: which requests tell them apart, and what else changed.

What is reported of requests is proved: both checks were run on the example.  Places where the schemas differ
propose the examples, and so do requests that are drawn; neither decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from validator.check import conflict_violation, examine, protocol_rules, rule_violation
from validator.contract.expressions import MISSING, Json, Scope, format_pointer
from validator.contract.model import Contract, Operation, Parameter
from validator.contract.raw import METHODS, read_operations
from validator.contract.trees import Path, inline
from validator.diff import requests
from validator.diff.candidates import Ground, minimal
from validator.diff.changes import changes, sentence
from validator.diff.documents import Edit, same, text_of
from validator.diff.model import Comparison, Difference, Found, Group, Place
from validator.diff.seeds import Seeds
from validator.diff.shrink import shrink
from validator.diff.sites import Values, sites
from validator.errors import refuse, render
from validator.expected import Expected, expect
from validator.lint import StandIn
from validator.report import Report, Violation
from validator.request import HttpRequest

Tell = Callable[[str], None]
"""Is told now and then what is looked at."""

_STATELESS: Final = frozenset(
    ("no-route", "method-not-allowed", "unauthorized", "unsupported-media-type", "malformed", "invalid")
)
"""Kinds of findings that a request alone can show, and that requests are made for."""

_NEEDS: Final[Mapping[str, str]] = {
    "not-found": "a read of a task that is not there",
    "conflict": "a second request with a value that was used before",
    "quota-exhausted": "an account without credits",
    "concurrency-exceeded": "an account with too many tasks running",
    "rate-limited": "an account that asks too often",
    "too-large": "a body that is too large",
    "forbidden": "an account that may not do this",
}


def compare(
    old: Contract, new: Contract, *, examples: int = 200, seed: int = 0, tell: Tell = lambda text: None
) -> Comparison:
    """Return what tells two contracts apart.

    `examples` requests are drawn for each operation and side, beside those that the differences of the schemas
    propose; the same `seed` draws the same ones.  0 draws none.
    """
    work = _Work(old=old, new=new, seeds=Seeds(old, new, seed=seed), examples=examples, tell=tell)
    work.run()
    found = tuple(work.found.values())
    told = changes(old, new, found)
    return Comparison(old=old, new=new, differences=found, changes=told, tried=work.tried)


@dataclass(slots=True)
class _Pair:
    """An operation as clients reach it, in both contracts; `at` where its node stands in each document."""

    old: Operation
    new: Operation
    old_at: Path
    new_at: Path


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a request shows: in which group it lies, and which rules are responsible."""

    group: Group
    rules: tuple[str, ...]
    old: Expected
    new: Expected


@dataclass(slots=True)
class _Work:
    """One comparison under way; `found` maps what makes a difference another one to the difference."""

    old: Contract
    new: Contract
    seeds: Seeds
    examples: int
    tell: Tell
    found: dict[tuple[Any, ...], Difference] = field(default_factory=dict)
    tried: int = 0

    def run(self) -> None:
        """Look at everything, in the order of the old file."""
        pairs = self._pairs()
        self._around(pairs)
        bodies: dict[tuple[int, int], str] = {}
        for pair in pairs:
            self.tell(pair.old.id)
            self._parameters(pair)
            if pair.old.body is not None and pair.new.body is not None:
                shared = (id(pair.old.body), id(pair.new.body))
                if shared not in bodies:
                    bodies[shared] = pair.old.id
                    self._body(pair)
                else:
                    self._shared(bodies[shared], pair)
            self._unique(pair)
        self._states()

    # --- operations

    def _pairs(self) -> list[_Pair]:
        """Return the operations that both have; one that only one has is a difference."""
        places = [
            {one.name: one.at for one in dict(read_operations(each.document, each.base_path)).values()}
            for each in (self.old, self.new)
        ]
        there = {_route(one): one for one in self.new.operations.values()}
        pairs: list[_Pair] = []
        matched: set[str] = set()
        for one in self.old.operations.values():
            other = there.get(_route(one))
            if other is not None:
                matched.add(other.id)
                pairs.append(_Pair(one, other, places[0][one.id], places[1][other.id]))
                continue
            moved = self.new.operations.get(one.id)
            why = f"{one.method} {one.path} is gone"
            why += f"; {one.id} is now {moved.method} {moved.path}" if moved is not None else ""
            self._operation(one, why, Place(old=format_pointer(places[0][one.id]), new=""))
        for one in self.new.operations.values():
            if one.id not in matched:
                why = f"{one.method} {one.path} is new"
                self._operation(one, why, Place(old="", new=format_pointer(places[1][one.id])))
        return pairs

    def _operation(self, operation: Operation, why: str, place: Place) -> None:
        """Report an operation that only one of the contracts has, with a request to it."""
        contract = self.old if place.old else self.new
        body = self.seeds.valid_body(contract, operation)
        request = self._request(operation, body)
        self._whole(request, operation.id, why, (place,), body=body)

    def _headers(self, pair: _Pair) -> dict[str, str]:
        """Return headers with a credential that both take, where there is one."""
        forms = [*requests.credentials(pair.old), *requests.credentials(pair.new)]
        url = requests.address(pair.old, {})
        for _, headers in forms:
            request = HttpRequest.from_parts(pair.old.method, url, headers=headers)
            found = [examine(each, request).report.violations for each in (self.old, self.new)]
            if not any(one.kind == "unauthorized" for report in found for one in report):
                return headers
        return requests.good_headers(pair.old)

    def _request(self, operation: Operation, body: Json) -> HttpRequest:
        if operation.body is not None and body is not MISSING:
            return requests.with_body(operation, body)
        query = requests.needed(operation, "query")
        return HttpRequest.from_parts(
            operation.method, requests.address(operation, query), headers=requests.good_headers(operation)
        )

    # --- around a request

    def _around(self, pairs: Sequence[_Pair]) -> None:
        """Try what no body is needed for: credentials, paths, methods, and bodies that are none."""
        request = HttpRequest.from_parts("GET", requests.NOWHERE)
        self._whole(request, "", "a path that is not there", ())
        for pair in pairs:
            body = self.seeds.valid_body(self.old, pair.old)
            base = self._request(pair.old, body)
            forms = {**dict(requests.credentials(pair.old)), **dict(requests.credentials(pair.new))}
            plain = {name: text for name, text in base.headers.items() if not self._is_key(pair, name)}
            base = replace(base, headers=plain | self._headers(pair))
            for what, headers in forms.items():
                request = replace(base, headers=plain | headers)
                self._whole(request, pair.old.id, f"a request with {what}", (), body=body)
            for method in METHODS:
                asked = method.upper()
                if asked in ("HEAD", "OPTIONS", "TRACE") or asked == pair.old.method:
                    continue
                request = HttpRequest.from_parts(asked, requests.address(pair.old, {}), headers=base.headers)
                if isinstance(self._operation_of(request), Operation):
                    continue
                self._whole(request, "", f"{asked} where it is not taken", ())
            if pair.old.body is None or pair.new.body is None:
                continue
            for what, raw in (("no JSON", b"{"), ("no body", b"")):
                self._whole(replace(base, body=raw), pair.old.id, f"a request with {what}", ())
            request = replace(base, headers={**base.headers, "content-type": "text/plain"})
            self._whole(request, pair.old.id, "a body that does not say it is JSON", (), body=body)

    def _is_key(self, pair: _Pair, name: str) -> bool:
        return name in {one.header for one in (*pair.old.credentials, *pair.new.credentials)}

    def _operation_of(self, request: HttpRequest) -> Operation | None:
        for contract in (self.old, self.new):
            found = examine(contract, request).operation
            if found is not None:
                return found
        return None

    # --- parameters

    def _parameters(self, pair: _Pair) -> None:
        known = {(one.place, one.name): one for one in pair.old.parameters}
        there = {(one.place, one.name): one for one in pair.new.parameters}
        body = self.seeds.valid_body(self.old, pair.old)
        keys = self._headers(pair)
        for key in dict.fromkeys((*known, *there)):
            one, other = known.get(key), there.get(key)
            schemas = [each.schema if each is not None else {} for each in (one, other)]
            place = Place(
                old=_parameter_pointer(self.old, pair.old_at, one),
                new=_parameter_pointer(self.new, pair.new_at, other),
            )
            values = Values(list(sites({"allOf": schemas})), texts=self.seeds.texts)
            pool = [MISSING, *values.at(()), "", "a", "0", "1", "1.5", "-1"]
            pool += [text for schema in schemas for text in values.of(schema, ())]
            for value in {text_of(value): value for value in pool}.values():
                request = self._with(pair, key, value, body, keys)
                self._whole(request, pair.old.id, f"{key[0]} {key[1]}", (place,), body=body)

    def _with(
        self, pair: _Pair, key: tuple[str, str], value: Json, body: Json, keys: Mapping[str, str]
    ) -> HttpRequest:
        """Return a request with one parameter of this value, MISSING for none."""
        place, name = key
        query = requests.needed(pair.old, "query") | requests.needed(pair.new, "query")
        headers = dict(keys)
        if place == "query":
            query = {one: each for one, each in query.items() if one != name}
            query |= {} if value is MISSING else {name: value}
        elif place == "header" and value is not MISSING:
            headers |= {name: str(value) if str(value).isascii() else "a"}
        fill = str(value) if place == "path" and value not in (MISSING, "", None) else "1"
        url = requests.address(pair.old, query, fill=fill)
        if pair.old.body is not None and body is not MISSING:
            return HttpRequest.from_json(pair.old.method, url, body, headers=headers)
        return HttpRequest.from_parts(pair.old.method, url, headers=headers)

    # --- bodies

    def _body(self, pair: _Pair) -> None:
        assert pair.old.body is not None and pair.new.body is not None
        told, changed = self._told_otherwise(pair), self._effects(pair)
        if (
            not told
            and not changed
            and self.old.unknown_member == self.new.unknown_member
            and same(dict(pair.old.body.tree), dict(pair.new.body.tree))
        ):
            return
        ground = Ground(old=pair.old.body, new=pair.new.body, texts=self.seeds.texts)
        ground.bases = self.seeds.bases(pair.old, pair.new)
        if not ground.bases:
            ground.bases = [self._built(pair, ground)]
        # The trees as the documents have them, for the places they are made of.
        origins = [
            _origins(contract, operation, at)
            for contract, operation, at in (
                (self.old, pair.old, pair.old_at),
                (self.new, pair.new, pair.new_at),
            )
        ]
        for edit in ground.edits():
            self._edit(pair, ground, edit, origins)

        def users(feature: str) -> list[Json]:
            rules = self._rules_of_feature(pair, feature)
            return [body for rule in rules for body in self.seeds.violating(pair.old, pair.new, rule)]

        for offer in ground.combinations(users):
            wanted = self._rules_of_feature(pair, offer.feature)
            place = Place(old=offer.old, new=offer.new)
            self._bodies(pair, offer.bodies, offer.text, (place,), wanted=wanted)
        for rule in changed:
            effects = self._effect(rule)
            seeds = self.seeds.violating(pair.old, pair.new, rule)
            why = f"the effect of {rule} was {effects[0]} and is {effects[1]}"
            sides = [
                each.rules[rule].pointer.removesuffix("/effect") + "/effect" for each in (self.old, self.new)
            ]
            place = Place(old=sides[0], new=sides[1])
            self._bodies(pair, ground.of(rule, seeds), why, (place,), wanted=(rule,))
        if self.old.unknown_member != self.new.unknown_member:
            strange = ({**base, "understudy_unknown": 1} for base in ground.bases if isinstance(base, dict))
            self._bodies(pair, strange, "a member that nobody described", ())
        for rule in told:
            seeds = self.seeds.violating(pair.old, pair.new, rule)
            why = f"what is told of {rule}"
            if not self._bodies(pair, seeds, why, (), wanted=(rule,)):
                self._bodies(pair, ground.of(rule, seeds), why, (), wanted=(rule,))
        self._drawn(pair)

    def _effects(self, pair: _Pair) -> list[str]:
        """Return the rules of an operation that both have, with another effect."""
        there = {rule for rule in self.new.rules if rule in self.old.rules}
        known = _body_rules(pair.old) | _body_rules(pair.new)
        return [rule for rule in self.old.rules if rule in known & there and len(set(self._effect(rule))) > 1]

    def _shared(self, first: str, pair: _Pair) -> None:
        """Say of an operation what was found of another one with the same body, where its example shows it too."""
        for one in [each for each in self.found.values() if first in (each.operation, *each.also)]:
            if one.body is MISSING or one.found == "request":
                continue
            shown = self._ask(pair, one.body)
            if shown is not None and (shown.group, shown.rules) == (one.group, one.rules):
                self._add(replace(one, operation=pair.old.id, old=shown.old, new=shown.new))

    def _told_otherwise(self, pair: _Pair) -> list[str]:
        """Return the rules that both refuse, and that a finding made up of it shows to be told otherwise."""
        words = [each.document.root.get("x-errors") for each in (self.old, self.new)]
        if same(words[0], words[1]):
            return []
        there = {one.id: one for one in pair.new.rules}
        request = HttpRequest.from_parts(pair.old.method, requests.address(pair.old, {}))
        assert pair.old.body is not None
        words_of: dict[str, set[str]] = {}
        for site in sites(pair.old.body.tree):
            known = words_of.setdefault(site.rule, set())
            known.update(site.node, site.node.get("x-image", ()))
            if "features" in site.at:
                known.add("x-capabilities")
            if "carriers" in site.node.get("x-image", ()):
                known.add("pattern")
        out = []
        for rule in pair.old.rules:
            other = there.get(rule.id)
            if other is None or (rule.effect, other.effect) != ("reject", "reject"):
                continue
            for keyword in sorted(words_of.get(rule.id, set())):
                made = [
                    rule_violation(one, "field", location="/member", keyword=keyword) for one in (rule, other)
                ]
                if _shown(
                    _told(self.old, made[0], request, pair.old), _told(self.new, made[1], request, pair.new)
                ):
                    out.append(rule.id)
                    break
        return out

    def _built(self, pair: _Pair, ground: Ground) -> Json:
        """Return a body with what is asked for, as far as simple values do."""
        body: dict[str, Any] = {}
        for _ in range(12):
            found = examine(self.old, requests.with_body(pair.old, body), operation=pair.old.id).report
            missing = [one.instance_location for one in found.errors if one.keyword == "required"]
            if not missing:
                break
            body = minimal(ground, body, missing)
        return body

    def _rules_of_feature(self, pair: _Pair, feature: str) -> tuple[str, ...]:
        found = []
        for operation in (pair.old, pair.new):
            capabilities = operation.body.capabilities if operation.body is not None else None
            if capabilities is None:
                continue
            known = capabilities.features.get(feature)
            rule = known.rule if known is not None else capabilities.rule
            found += [rule.id] if rule is not None else []
        return tuple(dict.fromkeys(found))

    def _edit(self, pair: _Pair, ground: Ground, edit: Edit, origins: Sequence[Mapping[Path, Path]]) -> None:
        if any(step in ("rows", "cost", "output") for step in edit.old_at if isinstance(step, str)) and (
            "x-capabilities" in edit.old_at
        ):
            return
        rules = ground.rules(edit)
        if "x-rule" in edit.old_at[-2:] and edit.old_at[-1] in _WORDS_ONLY:
            return
        if rules and all(self._effect(rule) == ("off", "off") for rule in rules):
            return
        place = Place(
            old="" if edit.before is MISSING and not edit.is_entry else _origin(origins[0], edit.old_at),
            new="" if edit.after is MISSING and not edit.is_entry else _origin(origins[1], edit.new_at),
        )
        if self._is_shown(pair, place):
            # The same schema is referred to from several members: one of them is enough.
            return
        seeds = [body for rule in rules for body in self.seeds.violating(pair.old, pair.new, rule)]
        self._bodies(pair, ground.bodies(edit, seeds), sentence(edit), (place,), wanted=rules)

    def _effect(self, rule: str) -> tuple[str, str]:
        """Return what a rule does in both; one that is not there does nothing."""
        found = [each.rules.get(rule) for each in (self.old, self.new)]
        return tuple(one.effect if one is not None else "off" for one in found)  # type: ignore[return-value]

    def _bodies(
        self,
        pair: _Pair,
        bodies: Iterable[Json],
        why: str,
        places: tuple[Place, ...],
        *,
        wanted: tuple[str, ...] = (),
        found: Found = "subtraction",
    ) -> bool:
        """Report the first body of each group that shows a difference, about the wanted rules where there are any.

        Tells whether there was one.
        """
        seen: set[Group] = set()
        second: dict[Group, tuple[Json, _Shown]] = {}
        left = _AFTER_ALL
        for body in bodies:
            left -= 1
            if left < 0:
                break
            shown = self._ask(pair, body)
            if shown is None or shown.group in seen:
                continue
            if wanted and not set(shown.rules) & set(wanted):
                second.setdefault(shown.group, (body, shown))
                continue
            if shown.group == "answer" and shown.old.errors != shown.new.errors and wanted:
                # That another rule is told of where this one is gone follows from its being gone.
                second.setdefault(shown.group, (body, shown))
                continue
            seen.add(shown.group)
            left = min(left, _AFTER_FIRST)
            self._report(pair, body, shown, why, places, found)
        for group, (body, shown) in second.items():
            if not seen and not self._is_known(group, shown.rules):
                self._report(pair, body, shown, why, places, found)
        return bool(seen or second)

    def _is_shown(self, pair: _Pair, place: Place) -> bool:
        """Tell whether a place of the files was shown to let requests of this operation in, or out."""
        return any(
            place in one.places and one.group in ("breaking", "widening")
            for one in self.found.values()
            if pair.old.id in (one.operation, *one.also)
        )

    def _is_known(self, group: Group, rules: tuple[str, ...]) -> bool:
        return any(one.group == group and set(one.rules) & set(rules) for one in self.found.values())

    def _ask(self, pair: _Pair, body: Json) -> _Shown | None:
        self.tried += 1
        request = HttpRequest.from_json(pair.old.method, pair.old.path, body)
        if request.body_fault:
            return None
        here = examine(self.old, request, operation=pair.old.id).report
        there = examine(self.new, request, operation=pair.new.id).report
        if not here.violations and not there.violations:
            return None
        return _shown(
            expect(self.old, request, operation=pair.old.id), expect(self.new, request, operation=pair.new.id)
        )

    def _report(
        self,
        pair: _Pair,
        body: Json,
        shown: _Shown,
        why: str,
        places: tuple[Place, ...],
        found: Found,
    ) -> None:
        def is_still(candidate: Json) -> bool:
            asked = self._ask(pair, candidate)
            return asked is not None and asked.group == shown.group and asked.rules == shown.rules

        smallest = shrink(body, is_still)
        proved = self._ask(pair, smallest)
        assert proved is not None
        self._add(
            Difference(
                group=proved.group,
                operation=pair.old.id,
                rules=proved.rules,
                why=why,
                places=places,
                found=found,
                body=smallest,
                request=requests.with_body(pair.old, smallest),
                old=proved.old,
                new=proved.new,
            )
        )

    def _drawn(self, pair: _Pair) -> None:
        """Draw requests from each side, and report what the places did not lead to."""
        for operation in (pair.old, pair.new) if self.examples else ():
            for body in self.seeds.drawn(operation, self.examples):
                shown = self._ask(pair, body)
                if shown is None or self._is_known(shown.group, shown.rules):
                    continue
                self._report(pair, body, shown, "a request that was drawn", (), "drawing")

    # --- whole requests, and what needs more than one

    def _whole(
        self,
        request: HttpRequest,
        operation: str,
        why: str,
        places: tuple[Place, ...],
        *,
        body: Json = MISSING,
    ) -> bool:
        """Report what a whole request shows, if it shows anything."""
        self.tried += 1
        shown = _shown(expect(self.old, request), expect(self.new, request))
        if shown is None:
            return False
        if operation and body is not MISSING and shown.group != "answer":
            bare = self._pure_body(operation, body)
            if bare is not None and bare.group == shown.group:
                # The body alone shows it: that is told of the body.
                return False
        self._add(
            Difference(
                group=shown.group,
                operation=operation,
                rules=shown.rules,
                why=why,
                places=places,
                found="request",
                body=body,
                request=request,
                old=shown.old,
                new=shown.new,
            )
        )
        return True

    def _pure_body(self, operation: str, body: Json) -> _Shown | None:
        if operation not in self.old.operations or operation not in self.new.operations:
            return None
        request = HttpRequest.from_json("POST", "/", body)
        return _shown(
            expect(self.old, request, operation=operation), expect(self.new, request, operation=operation)
        )

    def _unique(self, pair: _Pair) -> None:
        """Report a member that must be new in one of them only: it takes two requests to see it."""
        here = {one.pointer: one.rule for one in pair.old.unique if one.rule.effect == "reject"}
        there = {one.pointer: one.rule for one in pair.new.unique if one.rule.effect == "reject"}
        for pointer in dict.fromkeys((*here, *there)):
            rules = [each.get(pointer) for each in (here, there)]
            request = HttpRequest.from_parts(pair.old.method, requests.address(pair.old, {}))
            answers = [
                Expected(report=Report(provider=contract.id, operation=operation.id), operation=operation)
                if rule is None
                else _told(contract, conflict_violation(rule, pointer, "order-1"), request, operation)
                for contract, rule, operation in (
                    (self.old, rules[0], pair.old),
                    (self.new, rules[1], pair.new),
                )
            ]
            if rules[0] is not None and rules[1] is not None:
                shown = _shown(answers[0], answers[1])
                if shown is None:
                    continue
                group: Group = shown.group
            else:
                group = "widening" if rules[1] is None else "breaking"
            named = tuple(dict.fromkeys(rule.id for rule in rules if rule is not None))
            place = Place(
                old=rules[0].pointer if rules[0] is not None else "",
                new=rules[1].pointer if rules[1] is not None else "",
            )
            self._add(
                Difference(
                    group=group,
                    operation=pair.old.id,
                    rules=named,
                    why=f"{pointer} given a second time",
                    places=(place,),
                    found="request",
                    body=MISSING,
                    request=None,
                    old=answers[0],
                    new=answers[1],
                    needs=_NEEDS["conflict"],
                )
            )

    def _states(self) -> None:
        """Compare how they refuse what no request alone can show."""
        request = HttpRequest.from_parts("GET", "/")
        there = {one.rule.partition(".")[2]: one for one in protocol_rules(self.new)}
        for one in protocol_rules(self.old):
            other = there.get(one.rule.partition(".")[2])
            if one.kind in _STATELESS or other is None:
                continue
            answers = (_told(self.old, one, request, None), _told(self.new, other, request, None))
            shown = _shown(*answers)
            if shown is None:
                continue
            self._add(
                Difference(
                    group="answer",
                    operation="",
                    rules=shown.rules,
                    why=one.message,
                    places=(),
                    found="request",
                    body=MISSING,
                    request=None,
                    old=answers[0],
                    new=answers[1],
                    needs=_NEEDS.get(one.kind, "a server in trouble"),
                )
            )

    def _add(self, one: Difference) -> None:
        """Keep a difference, unless the same is known; another operation or place of it is added to it."""
        told = (one.old.verdict, one.new.verdict, one.old.message, one.new.message)
        if one.group == "answer" and one.found == "request":
            # One sentence is told of many requests, of this path and of that.
            fates = (one.old.status, one.new.status, one.old.code, one.new.code)
            self._keep((one.group, one.rules, *fates, one.needs), one)
            return
        self._keep((one.group, one.rules, one.why, *(told if one.group == "answer" else ())), one)

    def _keep(self, key: tuple[Any, ...], one: Difference) -> None:
        known = self.found.get(key) or self._same_body(one)
        if known is None:
            self.found[key] = one
            return
        key = next(key for key, value in self.found.items() if value is known)
        more = tuple(place for place in one.places if place not in known.places)
        also = {one.operation} - {known.operation, *known.also, ""}
        self.found[key] = replace(known, places=(*known.places, *more), also=(*known.also, *sorted(also)))

    def _same_body(self, one: Difference) -> Difference | None:
        """Return a difference that has the very same example."""
        if one.body is MISSING or one.found == "request":
            return None
        for known in self.found.values():
            if (known.group, known.rules, known.operation) == (one.group, one.rules, one.operation) and (
                known.body is not MISSING and same(known.body, one.body)
            ):
                return known
        return None


_WORDS_ONLY: Final = frozenset(("id", "message", "source", "evidence", "effect"))
"""Words of a rule that change nothing of what becomes of a request, and the effect, which is looked at apart."""

_AFTER_FIRST: Final = 60
"""Bodies that are tried for one place after the first that showed something; the other groups are near it."""

_AFTER_ALL: Final = 1_500
"""Bodies that are tried for one place."""


def _shown(old: Expected, new: Expected) -> _Shown | None:
    """Return what the two fates of one request show, None where they are the same."""
    if old.verdict == "accepted" and new.verdict == "accepted":
        if set(old.warnings) == set(new.warnings):
            return None
        differing = set(old.warnings) ^ set(new.warnings)
        rules = tuple(name for name in (*old.warnings, *new.warnings) if name in differing)
        return _Shown("warning", rules, old, new)
    if old.verdict == "accepted":
        return _Shown("breaking", new.errors, old, new)
    if new.verdict == "accepted":
        return _Shown("widening", old.errors, old, new)
    told = [(one.verdict, one.status, one.code, one.message) for one in (old, new)]
    if told[0] == told[1]:
        return None
    differing = set(old.errors) ^ set(new.errors)
    rules = tuple(dict.fromkeys(name for name in (*old.errors, *new.errors) if name in differing))
    return _Shown("answer", rules or old.errors, old, new)


def _body_rules(operation: Operation) -> set[str]:
    """Return the rules that stand in the schema of an operation's body, those that are off included."""
    assert operation.body is not None
    return {site.rule for site in sites(operation.body.tree) if site.rule}


def _route(operation: Operation) -> tuple[str, tuple[str | None, ...]]:
    """Return how clients reach an operation, whatever its parameters are called."""
    return operation.method, operation.segments


def _told(
    contract: Contract, violation: Violation, request: HttpRequest, operation: Operation | None
) -> Expected:
    """Return how a contract refuses one finding."""
    base = f"https://{contract.hosts[0]}{contract.base_path}"
    scope = Scope(request=request, body={}, path={}, mock=StandIn(base_url=base, path="/"))
    refusal = refuse(contract, [violation], scope, operation=operation.id if operation is not None else "")
    return Expected(
        report=Report(provider=contract.id, violations=(violation,)),
        operation=operation,
        refusal=refusal,
        answer=render(refusal, scope),
    )


def _origins(contract: Contract, operation: Operation, at: Path) -> Mapping[Path, Path]:
    """Return where in the document each node of an operation's request schema stands."""
    assert operation.body is not None
    node: Any = contract.document.root
    for step in at:
        node = node[step]
    holder, where = contract.document.resolve(node.get("requestBody", {}), (*at, "requestBody"))
    media = holder["content"][operation.body.media_type]
    path = (*where, "content", operation.body.media_type, "schema")
    return inline(contract.document, media["schema"], path).origins


def _origin(origins: Mapping[Path, Path], path: Path) -> str:
    """Return the JSON Pointer in the document of a place in the tree."""
    for length in range(len(path), -1, -1):
        if path[:length] in origins:
            return format_pointer((*origins[path[:length]], *path[length:]))
    return format_pointer(path)


def _parameter_pointer(contract: Contract, at: Path, parameter: Parameter | None) -> str:
    """Return where a parameter of an operation stands in its document, "" for none."""
    if parameter is None:
        return ""
    root: Any = contract.document.root
    for length in (len(at), len(at) - 1):
        node = root
        for step in at[:length]:
            node = node[step]
        for index, one in enumerate(node.get("parameters", ())):
            found, where = contract.document.resolve(one, (*at[:length], "parameters", index))
            if found.get("name") == parameter.name and found.get("in") == parameter.place:
                return format_pointer(where)
    return format_pointer(at)
