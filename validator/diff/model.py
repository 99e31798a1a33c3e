"""What is said about two specs: differences that a request proves, and changes that no request can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from validator.contract.expressions import Json
from validator.contract.model import Contract
from validator.expected import Expected
from validator.request import HttpRequest

Group = Literal["breaking", "widening", "answer", "warning"]
"""breaking: taken, and now not; widening: not taken, and now taken; answer: neither takes it, and it is told
otherwise; warning: both take it, and only the check's warnings differ."""

GROUPS: Final[Mapping[Group, str]] = {
    "breaking": "taken by the old spec, not by the new one",
    "widening": "not taken by the old spec, taken by the new one",
    "answer": "taken by neither, and answered in another way",
    "warning": "taken by both, with other warnings",
}

Found = Literal["subtraction", "drawing", "request"]
"""How a difference was come upon: from a place where the schemas differ, from a request that was drawn, or
from a request that asks for it by itself, such as one without a credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in each of the two files, as JSON Pointers; "" where it is not there."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that clients notice, with the request that shows it; both checks were run on that request.

    `operation` is the old spec's id of it, the new one's where the old has none.  `rules` are responsible:
    those that one side finds broken and the other does not, or that the answer is about.  `why` says in a
    sentence what changed.  `body` is the example's, MISSING for a request without one; `request` is None
    where no request alone can show it, and `needs` then says what it takes.  `also` are other operations that
    the same is said of.
    """

    group: Group
    operation: str
    rules: tuple[str, ...]
    why: str
    places: tuple[Place, ...]
    found: Found
    body: Json
    request: HttpRequest | None
    old: Expected
    new: Expected
    needs: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One place where the files differ, for what is no matter of requests, or where none was found to show it.

    `kind` is what it is about; `before` and `after` are short texts, "" for nothing.
    """

    kind: str
    name: str
    before: str
    after: str
    place: Place
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that is said about two specs; `tried` counts the requests that both were asked about."""

    old: Contract
    new: Contract
    differences: tuple[Difference, ...]
    changes: tuple[Change, ...]
    tried: int

    def of(self, group: Group) -> tuple[Difference, ...]:
        """Return the differences of one group."""
        return tuple(one for one in self.differences if one.group == group)
