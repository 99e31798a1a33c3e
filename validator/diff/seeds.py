"""Bodies to begin from: the examples of the specs, and what strategies make.

The only way from here to strategies; the same seed gives the same bodies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson

from validator.contract.expressions import MISSING, Json
from validator.contract.model import Contract, Operation
from validator.diff.shrink import LARGE
from validator.request import HttpRequest
from validator.strategies.choices import Counted, First, Impossible, Unsupported
from validator.strategies.patterns import build, parse
from validator.strategies.plans import Plan, plan_of


def examples(contract: Contract, operation: Operation) -> list[Json]:
    """Return the example bodies of an operation."""
    for item in contract.document.root["paths"].values():
        for node in item.values():
            if isinstance(node, dict) and node.get("operationId") == operation.id:
                body, _ = contract.document.resolve(node.get("requestBody", {}))
                media: Any = body.get("content", {}).get("application/json", {})
                found = media.get("examples", {}).values()
                values = [contract.document.resolve(one)[0].get("value") for one in found]
                values += [media["example"]] if "example" in media else []
                return [value for value in values if value is not None]
    return []


class Drawn:
    """Takes the ways that a number draws: the same number, the same ways."""

    def __init__(self, seed: str) -> None:
        """Begin at the first decision."""
        self._seed, self._at = seed.encode(), 0

    def _next(self) -> int:
        self._at += 1
        text = self._seed + self._at.to_bytes(8, "big")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")

    def below(self, count: int) -> int:
        """Return a number from 0 to `count` - 1."""
        return self._next() % count

    def flag(self) -> bool:
        """Return whether to do more than is needed."""
        return self._next() % 2 == 1

    def text(self) -> str:
        """Return a text of one or more characters."""
        return _TEXTS[self.below(len(_TEXTS))]

    def whole(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, one of its ends as often as not."""
        return (low, high, min(max(0, low), high), low + self._next() % (high - low + 1))[self.below(4)]


_TEXTS: Final = ("a", "a", "A boat at dusk", "0", "x y", "\u00e9\u4e2d", "-", "a.b")
_FEW: Final = 12
"""Bodies that are drawn to begin from, of each side."""

_MOST_TEXTS: Final = 12


class Seeds:
    """What a comparison begins from."""

    def __init__(self, old: Contract, new: Contract, *, seed: int) -> None:
        """Take the contracts; nothing is drawn before it is asked for."""
        self.old, self.new, self.seed = old, new, seed
        self._violating: dict[tuple[str, str, str], list[Json]] = {}
        self._texts: dict[str, tuple[str, ...]] = {}

    def valid_body(self, contract: Contract, operation: Operation) -> Json:
        """Return a small body that the operation takes, MISSING where it takes none."""
        if operation.body is None:
            return MISSING
        made = _valid(operation, "", allows_warnings=False)
        if made is not None:
            return _body(made)
        found = examples(contract, operation)
        return min(found, key=lambda one: len(str(one))) if found else {}

    def bases(self, old: Operation, new: Operation) -> list[Json]:
        """Return bodies that either operation takes."""
        out = [self.valid_body(self.old, old), self.valid_body(self.new, new)]
        out += [*examples(self.old, old), *examples(self.new, new)]
        return [*out, *self.drawn(old, _FEW), *self.drawn(new, _FEW)]

    def violating(self, old: Operation, new: Operation, rule: str) -> list[Json]:
        """Return bodies that break one rule of either operation, one for each way to break it."""
        key = (old.id, new.id, rule)
        if key not in self._violating:
            self._violating[key] = [*_broken(old, rule, self.seed), *_broken(new, rule, self.seed)]
        return self._violating[key]

    def drawn(self, operation: Operation, count: int) -> list[Json]:
        """Return so many bodies that an operation takes, the same every time; fewer where some cannot be made."""
        made = [
            _valid(operation, f"{self.seed} {operation.id} {at}", allows_warnings=at % 2 == 1)
            for at in range(count)
        ]
        return [_body(one) for one in made if one is not None]

    def texts(self, pattern: str) -> Sequence[str]:
        """Return texts that match a regular expression, the same ones every time; none for one that is not read."""
        if pattern not in self._texts:
            try:
                tree = parse(pattern)
            except Unsupported:
                self._texts[pattern] = ()
            else:
                ways = (First(), *map(Counted, range(1, 4 * _MOST_TEXTS)))
                made = list(dict.fromkeys(build(tree, way) for way in ways))
                self._texts[pattern] = tuple(made[:_MOST_TEXTS])
        return self._texts[pattern]


def each_way(operation: Operation, rule: str) -> tuple[HttpRequest, ...]:
    """Return the least request for each way to break a rule alone, the same each time; () where there is none.

    A rule beside a type and a length is broken by a value of another type, and by one that is too long.
    """
    out: dict[tuple[str, bytes], HttpRequest] = {}
    try:
        plan = plan_of(operation)
        ways = plan.ways(plan.rule_id(rule))
    except (Impossible, Unsupported, ValueError):
        return ()
    for way in ways:
        if way.kind == "twice":
            continue
        try:
            made = plan.broken(way, rule, First(), plan.explicit({}))
        except (Impossible, Unsupported, ValueError):
            continue
        out.setdefault((made.url, made.body), made)
    return tuple(out.values())


_MADE: WeakKeyDictionary[Plan, dict[tuple[str, bool], bytes | None]] = WeakKeyDictionary()
_BROKEN: WeakKeyDictionary[Plan, dict[tuple[str, int], tuple[bytes, ...]]] = WeakKeyDictionary()
"""What was made of a plan, which gives the same each time: one spec is compared with many, and asked often."""


def _valid(operation: Operation, seed: str, *, allows_warnings: bool) -> bytes | None:
    """Return a body that an operation takes, drawn where there is a seed; None where none can be made."""
    try:
        plan = plan_of(operation)
        known = _MADE.setdefault(plan, {})
        key = seed, allows_warnings
        if key not in known:
            chooser = Drawn(seed) if seed else First()
            made = plan.valid(chooser, plan.explicit({}), allows_warnings=allows_warnings).body
            if len(made) >= LARGE:
                return made
            known[key] = made
        return known[key]
    except (Impossible, Unsupported, ValueError):
        return None


def _broken(operation: Operation, rule: str, seed: int) -> list[Json]:
    try:
        plan = plan_of(operation)
        ways = plan.ways(plan.rule_id(rule))
    except (Impossible, Unsupported, ValueError):
        return []
    known = _BROKEN.setdefault(plan, {})
    if (rule, seed) in known:
        return [_body(one) for one in known[rule, seed]]
    made: list[bytes] = []
    for index, way in enumerate(ways):
        for chooser in (First(), Drawn(f"{seed} {rule} {index}")):
            try:
                made.append(plan.broken(way, rule, chooser, plan.explicit({})).body)
            except (Impossible, Unsupported, ValueError):
                continue
    if sum(map(len, made)) < LARGE:
        known[rule, seed] = tuple(made)
    return [_body(one) for one in made]


def _body(raw: bytes) -> Json:
    return orjson.loads(raw) if raw else {}
