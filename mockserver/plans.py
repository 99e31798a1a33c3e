"""Who meets which scenario: a wish in a header or in a text, a plan that matches requests, a plan that draws.

Pure: counts and chance live in the plan of a tenant; time is not asked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import orjson

from mockserver.ids import uniform
from mockserver.preferences import Preference
from mockserver.scenarios import (
    ALL_ROLES,
    COMMON,
    GROUPS,
    SCENARIOS,
    Scenario,
    ScenarioError,
    Values,
    described,
    find,
    obstacle,
    role_of,
)
from mockserver.wire import PLAIN, Wire
from validator.check import MAX_DEPTH, extent
from validator.contract.document import nearest
from validator.contract.expressions import MISSING, ExpressionError, Json, find_member, parse_pointer
from validator.contract.model import Contract, Operation

TOKEN: Final = b"[["
"""How a text begins that asks for a scenario, `[[scenario:name; parameter=value]]`; looked for in every body."""

MOST_TOKENS: Final = 8
"""Tokens of one body that are read; a scenario of each group is all that can be met."""

MOST_ENTRIES: Final = 1_000
MOST_COUNTED: Final = 10_000
"""Wishes whose requests are counted for `after` and `times`; the count begins again when there are more."""

_TOKEN: Final = re.compile(rb"\[\[\s*scenario\s*:([^\[\]]{0,300}\]\])?", re.IGNORECASE)
_MOST: Final = 1_000_000_000

# What ends a key for good ends the run that draws it: from then on every answer would be the same refusal.


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A scenario that a request is to meet, with the values of its parameters.

    `origin` says where it comes from: header, text, the id of an entry of the plan, or "" for what an earlier
    request brought about.  `draw` is the number of
    the draw and `seed` its seed, where it was drawn.
    """

    scenario: Scenario
    values: Values
    after: int = 0
    times: int | None = None
    origin: str = ""
    seed: int | None = None
    draw: int | None = None

    @property
    def key(self) -> str:
        """Return what tells this wish from others when requests are counted."""
        return f"{self.origin} {described([(self.scenario.name, self.values)])} {self.after} {self.times}"

    def text(self) -> str:
        """Return the wish as the header that tells of it says it."""
        out = described([(self.scenario.name, self.values)])
        if self.origin not in ("", "header", "text"):
            out += f"; plan={self.origin}"
        if self.draw is not None:
            out += f"; seed={self.seed}; draw={self.draw}"
        return out


def make_wish(name: str, given: Mapping[str, Any], *, origin: str) -> Wish:
    """Return the wish for a scenario by its name; raises ScenarioError."""
    scenario = find(name)
    own = {key: value for key, value in given.items() if key not in COMMON}
    after, times = _count(given, "after", 0), _count(given, "times", 1)
    return Wish(
        scenario=scenario,
        values=scenario.read(own),
        after=after or 0,
        times=times,
        origin=origin,
    )


def _count(given: Mapping[str, Any], name: str, least: int) -> int | None:
    if name not in given or given[name] is None:
        return None
    text = str(given[name])
    if isinstance(given[name], bool) or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ScenarioError(f"{name} '{text[:40]}': write a whole number")
    if int(text) < least:
        raise ScenarioError(f"{name} {text}: must be at least {least}")
    return int(text)


def wishes_of_header(preferences: Sequence[Preference], notes: list[str]) -> list[Wish]:
    """Return what `Prefer: scenario=...` asks for; what cannot be understood is told in `notes`."""
    out = []
    for one in preferences:
        if one.name == "scenario":
            try:
                out.append(make_wish(one.value, one.parameters, origin="header"))
            except ScenarioError as error:
                notes.append(str(error))
    return out


def wishes_of_text(body: bytes, notes: list[str]) -> list[Wish]:
    """Return what the texts of a body ask for; looked for in the bytes, so that no body has to be parsed."""
    out = []
    for found in islice(_TOKEN.finditer(body), MOST_TOKENS):
        if found[1] is None:
            notes.append("a text begins with [[scenario: and has no ]] behind it")
            continue
        name, *parts = _text_of(found[1][:-2]).split(";")
        given = {}
        for part in parts:
            key, _, value = part.partition("=")
            given[key.strip().lower()] = value.strip().strip('"')
        try:
            out.append(make_wish(name.strip(), given, origin="text"))
        except ScenarioError as error:
            notes.append(str(error))
    return out


def _text_of(part: bytes) -> str:
    """Return the text that a part of a JSON string stands for; as it is where it is none."""
    try:
        text: str = orjson.loads(b'"' + part + b'"')
    except orjson.JSONDecodeError:
        return part.decode("utf-8", "replace")
    return text


# --- plans ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests an entry speaks of; None and empty for any.  `body` maps JSON Pointers to values."""

    provider: str | None = None
    operation: str | None = None
    role: str | None = None
    account: str | None = None
    body: Mapping[str, Json] = field(default_factory=dict)

    def fits(self, contract: Contract, operation: Operation, account: str, body: Callable[[], Json]) -> bool:
        """Tell whether a request fits; the body is parsed only where it is asked for."""
        if self.provider is not None and self.provider != contract.id:
            return False
        if self.operation is not None and self.operation != operation.id:
            return False
        if self.role is not None and self.role != role_of(operation):
            return False
        if self.account is not None and self.account not in (account, account.partition(":")[2]):
            return False
        if not self.body:
            return True
        value = body()
        return all(_is_equal(find_member(value, pointer), wanted) for pointer, wanted in self.body.items())

    def to_json(self) -> dict[str, Json]:
        """Return the match as it is written in a plan."""
        parts = {
            "provider": self.provider,
            "operation": self.operation,
            "role": self.role,
            "account": self.account,
            "body": dict(self.body) or None,
        }
        return {name: value for name, value in parts.items() if value is not None}


def _is_equal(one: Any, other: Any) -> bool:
    """Tell whether two values are the same in JSON, where true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[name], other[name]) for name in one)
    return bool(one == other)


@dataclass(slots=True, kw_only=True)
class Entry:
    """One line of a plan: the scenario that matching requests meet, or several to draw from.

    `after` matching requests pass first, `times` meet it, each with a `probability`.  `weights` maps scenarios to
    how often they are drawn; `seed` makes the draws.  `seen` and `met` count requests.
    """

    id: str
    match: Match
    wish: Wish | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    after: int = 0
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    first_draw: int = 1
    seen: int = 0
    met: int = 0

    def next(
        self, contract: Contract, operation: Operation, account: str, body: Callable[[], Json]
    ) -> Wish | None:
        """Return what this request meets, None for nothing; counts it."""
        if self.times is not None and self.met >= self.times:
            return None
        if not self.match.fits(contract, operation, account, body):
            return None
        if self.wish is not None and obstacle(self.wish.scenario, contract, operation, self.wish.values):
            # What cannot be met here is not used up: a plan for creates may be written without saying so.
            return None
        self.seen += 1
        if self.seen <= self.after:
            return None
        draw = self.first_draw + self.seen - self.after - 1
        if self.probability < 1 and uniform(self.seed, draw, "whether") >= self.probability:
            return None
        if self.wish is not None:
            self.met += 1
            is_drawn = self.probability < 1
            return Wish(
                scenario=self.wish.scenario,
                values=self.wish.values,
                origin=self.id,
                seed=self.seed if is_drawn else None,
                draw=draw if is_drawn else None,
            )
        drawn = self._draw(contract, operation, draw)
        self.met += drawn is not None
        return drawn

    def _draw(self, contract: Contract, operation: Operation, draw: int) -> Wish | None:
        able = [
            (SCENARIOS[name], weight)
            for name, weight in self.weights.items()
            if weight > 0 and not obstacle(SCENARIOS[name], contract, operation)
        ]
        left = uniform(self.seed, draw, "which") * sum(weight for _, weight in able)
        for scenario, weight in able:
            left -= weight
            if left < 0:
                values = scenario.read({})
                return Wish(scenario=scenario, values=values, origin=self.id, seed=self.seed, draw=draw)
        return None

    def to_json(self) -> dict[str, Json]:
        """Return the entry as it is written in a plan, with what became of it."""
        out: dict[str, Json] = {"id": self.id, "match": self.match.to_json()}
        if self.wish is not None:
            out |= {"scenario": self.wish.scenario.name, "with": dict(self.wish.values)}
            if self.probability < 1:
                out["seed"] = self.seed
        else:
            out |= {"chaos": {"weights": dict(self.weights), "seed": self.seed, "draw": self.first_draw}}
        out |= {"after": self.after, "times": self.times, "probability": self.probability}
        return out | {"seen": self.seen, "met": self.met}


_FIELDS: Final = ("id", "scenario", "chaos", "with", "match", "after", "times", "probability", "seed")
_OF_CHAOS: Final = ("id", "chaos", "match", "after", "times", "probability")
_MATCHES: Final = ("provider", "operation", "role", "account", "body")
_CHAOS: Final = ("weights", "seed", "draw")


def read_entry(value: Any, contracts: Mapping[str, Contract], *, id: str, seed: Callable[[], int]) -> Entry:
    """Return an entry of a plan as it is written in JSON or YAML; raises ScenarioError.

    `seed` draws one where the entry names none.
    """
    if not isinstance(value, dict):
        raise ScenarioError("an entry is an object with a scenario, or with chaos")
    _check_names(value, _FIELDS, "an entry")
    if ("scenario" in value) == ("chaos" in value):
        raise ScenarioError("an entry has either a scenario or chaos")
    match = _read_match(value.get("match", {}), contracts)
    probability = _number(value.get("probability", 1), "probability", 0, 1)
    counts = {
        "after": _count(value, "after", 0) or 0,
        "times": _count(value, "times", 1),
        "probability": probability,
    }
    name = value.get("id", id)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise ScenarioError("id: write up to 64 letters, digits, dots, dashes and underscores")
    if "chaos" in value:
        _check_names(value, _OF_CHAOS, "an entry with chaos")
        return _read_chaos(value["chaos"], name, match, counts, contracts, seed)
    given = value.get("with", {})
    if not isinstance(given, dict):
        raise ScenarioError("with: write an object of parameters")
    wish = make_wish(str(value["scenario"]), {str(key): one for key, one in given.items()}, origin=name)
    own = _number(value["seed"], "seed", 0, 2**32 - 1, is_whole=True) if "seed" in value else None
    drawn = own if own is not None else (seed() if probability < 1 else 0)
    _check_reach(wish, match, contracts)
    return Entry(id=name, match=match, wish=wish, seed=int(drawn), **counts)  # type: ignore[arg-type]


def _read_chaos(
    value: Any,
    name: str,
    match: Match,
    counts: Mapping[str, Any],
    contracts: Mapping[str, Contract],
    seed: Callable[[], int],
) -> Entry:
    if not isinstance(value, dict):
        raise ScenarioError("chaos: write an object, with weights or without")
    _check_names(value, _CHAOS, "chaos")
    weights = value.get("weights")
    if weights is None:
        # What does nothing, and what ends the run, are drawn by who asks for them.
        weights = {one.name: 1 for one in SCENARIOS.values() if not (one.is_plain or one.ends_key)}
    if not isinstance(weights, dict) or not weights:
        raise ScenarioError("chaos: weights are an object from scenario to number")
    read = {
        find(str(one)).name: _number(weight, f"weight of {one}", 0, 1e6) for one, weight in weights.items()
    }
    read = {one: weight for one, weight in read.items() if weight > 0}
    if not read:
        raise ScenarioError("chaos: one weight at least must be above 0")
    why = ""
    for one in read:
        try:
            _check_reach(make_wish(one, {}, origin=name), match, contracts)
        except ScenarioError as error:
            why = why or str(error)
        else:
            break
    else:
        raise ScenarioError(f"chaos: {why}")
    drawn = _number(value["seed"], "seed", 0, 2**32 - 1, is_whole=True) if "seed" in value else seed()
    first = _number(value.get("draw", 1), "draw", 1, _MOST, is_whole=True)
    return Entry(id=name, match=match, weights=read, seed=int(drawn), first_draw=int(first), **counts)


def _read_match(value: Any, contracts: Mapping[str, Contract]) -> Match:
    if not isinstance(value, dict):
        raise ScenarioError("match: write an object")
    _check_names(value, _MATCHES, "match")
    provider, operation = value.get("provider"), value.get("operation")
    role, account, body = value.get("role"), value.get("account"), value.get("body", {})
    if provider is not None and (not isinstance(provider, str) or provider not in contracts):
        raise ScenarioError(f"match: no provider '{str(provider)[:40]}' here ({', '.join(contracts)})")
    known = [
        one for name, contract in contracts.items() if provider in (None, name) for one in contract.operations
    ]
    if operation is not None and operation not in known:
        hint = nearest(str(operation), known) or "see /__admin/providers"
        raise ScenarioError(f"match: no operation '{str(operation)[:40]}' ({hint})")
    if role is not None and (not isinstance(role, str) or role not in ALL_ROLES):
        raise ScenarioError(f"match: role is one of {', '.join(sorted(ALL_ROLES))}")
    if account is not None and not isinstance(account, str):
        raise ScenarioError("match: account is a text")
    if not isinstance(body, dict):
        raise ScenarioError('match: body maps JSON Pointers to values, such as {"/prompt": "a boat"}')
    for pointer in body:
        try:
            parse_pointer(pointer)
        except ExpressionError as error:
            raise ScenarioError(f"match: body: {error}") from None
    if extent(body)[0] > MAX_DEPTH:
        raise ScenarioError(f"match: body: nested deeper than {MAX_DEPTH} levels, as no request can be")
    return Match(provider=provider, operation=operation, role=role, account=account, body=body)


def _check_reach(wish: Wish, match: Match, contracts: Mapping[str, Contract]) -> None:
    """Raise ScenarioError for an entry that no request could ever meet."""
    scenario, why = wish.scenario, ""
    for name, contract in contracts.items():
        for operation in contract.operations.values():
            if match.provider not in (None, name) or match.operation not in (None, operation.id):
                continue
            if match.role not in (None, role_of(operation)):
                continue
            found = obstacle(scenario, contract, operation, wish.values)
            if not found:
                return
            # That another operation is meant is no news where one of them could have been.
            why = found if role_of(operation) in scenario.roles else why or found
    raise ScenarioError(f"no request can meet {scenario.name} so: {why or 'nothing matches'}")


def _check_names(value: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for name in value:
        if name not in known:
            hint = nearest(str(name), known) or "known: " + ", ".join(known)
            raise ScenarioError(f"{what} has no '{str(name)[:40]}' ({hint})")


def _number(value: Any, name: str, least: float, most: float, *, is_whole: bool = False) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most or (is_whole and value != int(value)):
        kind = "a whole number" if is_whole else "a number"
        raise ScenarioError(f"{name}: write {kind} from {least:.12g} to {most:.12g}")
    return int(value) if is_whole else float(value)


@dataclass(slots=True)
class Plan:
    """What the requests of a tenant meet: the entries in the order they were made, and the counts of wishes.

    `revoked` maps an account to (how many of its requests are still answered, what the others meet); `is_idle`
    while no request has to be looked at for all that.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    counts: dict[bytes, int] = field(default_factory=dict)
    revoked: dict[str, tuple[int, Wish]] = field(default_factory=dict)
    number: int = 0
    is_idle: bool = True

    def new_id(self) -> str:
        """Return an id that no entry has."""
        while True:
            self.number += 1
            if (made := f"plan-{self.number}") not in self.entries:
                return made

    def add(self, *entries: Entry) -> None:
        """Add entries, all or none; raises ScenarioError where there are too many, or two of the same id."""
        if len(self.entries) + len(entries) > MOST_ENTRIES:
            raise ScenarioError(f"at most {MOST_ENTRIES:,} entries; DELETE /__admin/scenarios begins again")
        added: dict[str, Entry] = {}
        for entry in entries:
            if entry.id in self.entries or entry.id in added:
                raise ScenarioError(f"there is an entry '{entry.id}' already")
            added[entry.id] = entry
        self.entries |= added
        self.is_idle = not (self.entries or self.revoked)

    def remove(self, name: str) -> bool:
        """Take an entry away; tell whether there was one."""
        found = self.entries.pop(name, None)
        self.is_idle = not (self.entries or self.revoked)
        return found is not None

    def clear(self) -> None:
        """Take everything away: entries, counts, keys that were refused."""
        self.entries.clear()
        self.counts.clear()
        self.revoked.clear()
        self.is_idle = True

    def planned(
        self, contract: Contract, operation: Operation, account: str, body: Callable[[], Json]
    ) -> Iterator[Wish]:
        """Yield what the entries have for this request, each counted; one of each group, and a draw last."""
        taken: set[str] = set()
        for entry in self.entries.values():
            # What somebody else was given already is not used up.
            if entry.wish is not None and entry.wish.scenario.group in taken:
                continue
            if entry.wish is None and taken:
                continue
            found = entry.next(contract, operation, account, body)
            if found is not None:
                taken.add(found.scenario.group)
                yield found

    def give_back(self, wish: Wish) -> None:
        """Let another request meet what an entry had for one that could not."""
        entry = self.entries.get(wish.origin)
        if entry is not None:
            entry.met -= 1

    def is_due(self, wish: Wish, where: str) -> bool:
        """Count one request with this wish; tell whether it meets the scenario.

        `where` tells requests apart that have nothing to do with each other: account, method and path.
        """
        if not wish.after and wish.times is None:
            return True
        if len(self.counts) >= MOST_COUNTED:
            self.counts.clear()
        # Paths may be as long as a head; so many of them are more than a count is worth.
        key = hashlib.sha256(f"{where}\n{wish.key}".encode("utf-8", "replace")).digest()
        seen = self.counts[key] = self.counts.get(key, 0) + 1
        return seen > wish.after and (wish.times is None or seen <= wish.after + wish.times)

    def revoke(self, account: str, reads: int, scenario: Scenario) -> None:
        """Let an account's key be refused after so many further requests; the first to ask for it counts."""
        if len(self.revoked) >= MOST_COUNTED:
            self.revoked.clear()
        self.revoked.setdefault(account, (reads, Wish(scenario=scenario, values={})))
        self.is_idle = False

    def refused(self, account: str) -> Wish | None:
        """Count one request of an account; return what it meets where its key is refused by now."""
        found = self.revoked.get(account)
        if found is None:
            return None
        left, wish = found
        if left > 0:
            self.revoked[account] = (left - 1, wish)
            return None
        return wish


@dataclass(slots=True)
class Lot:
    """What fell to one request: the wishes by group, those that were met, and what there is to say about the others.

    `planned` are the wishes that the plan had; `left_out` the scenarios that are not met; `wire` is how its answer
    travels; `news_s` the seconds it waits for a callback at most, None for not at all.
    """

    wishes: dict[str, Wish] = field(default_factory=dict)
    planned: list[Wish] = field(default_factory=list)
    met: list[Wish] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    wire: Wire = PLAIN
    news_s: float | None = None

    def take(self, wish: Wish) -> None:
        """Keep a wish, unless its group is taken."""
        first = self.wishes.setdefault(wish.scenario.group, wish)
        if first is not wish:
            self.leave_out(wish.scenario.name, f"{first.scenario.name} came first")

    def leave_out(self, name: str, why: str) -> None:
        """Note that a scenario was asked for and is not met."""
        self.left_out.add(name)
        self.notes.append(f"{name} was not applied: {why}")

    def task_scenarios(self) -> dict[str, Values]:
        """Return what a task is to meet, by name: first what becomes of it, then how that is told."""
        found = [self.wishes[group] for group in GROUPS if group in self.wishes]
        return {one.scenario.name: one.values for one in found if one.scenario.is_of_task}


def lazy_body(body: bytes) -> Callable[[], Json]:
    """Return what parses a body once, when it is first asked for; MISSING for what is no JSON."""
    known: list[Json] = []

    def value() -> Json:
        if not known:
            try:
                known.append(orjson.loads(body))
            except orjson.JSONDecodeError:
                known.append(MISSING)
        return known[0]

    return value
