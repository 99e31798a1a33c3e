"""What may be spent, and what was: a guard that counts requests and estimates their price.

Knows inspections; knows no HTTP library and reads no clock: the time comes in where it is needed.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from validator.contract.document import nearest
from validator.contract.expressions import Json, to_text
from validator.contract.model import Money
from validator.preflight.inspection import Inspection
from validator.preflight.problems import Reason, SpendError
from validator.printing import plural
from validator.report import printable
from validator.request import IDEMPOTENCY, LOST

VARIABLE: Final = "UNDERSTUDY_SPEND"
"""The environment variable that allows in place of an argument."""

_YES: Final = frozenset(("all", "1", "true", "yes", "on"))
_NO: Final = frozenset(("", "none", "0", "false", "no", "off"))
_READS: Final = "reads"

_REPEATABLE: Final = frozenset(("PUT", "DELETE"))
"""Methods that do the same when they are sent twice (RFC 9110, 9.2.2), beside those that change nothing."""

_MOST_KEPT: Final = 100_000
"""Submits that are remembered to tell equal ones; the oldest goes first."""

_HAIR: Final = 1e-9
"""Units that do not break a budget: sums of decimal prices are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentLine:
    """What went to one operation.

    `taken` were answered with success, `refused` with a redirect or an error; `unanswered` are on their way, or
    their answer was lost.  `units` is the estimate for what was taken, `units_unanswered` for what may have been, in
    the provider's own units; `worth` is both in the `currency`, None where the contract knows none.  `unpriced`
    requests were taken, or may have been, and are in none of these: their price is not known.
    """

    provider: str
    operation: str
    is_paid: bool
    requests: int
    taken: int
    refused: int
    unanswered: int
    units: float
    units_unanswered: float
    unpriced: int
    currency: str | None
    worth: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a guard counted: a line for each operation, and how many requests were held back, by reason."""

    lines: tuple[SpentLine, ...] = ()
    held_back: Mapping[Reason, int] = field(default_factory=dict)

    def units(self, provider: str, *, is_paid: bool = True) -> float:
        """Return the units that a provider took, or may have taken: requests without a known price are not in it."""
        chosen = [one for one in self.lines if one.provider == provider and one.is_paid is is_paid]
        return round(sum(one.units + one.units_unanswered for one in chosen), 8)

    @property
    def text(self) -> str:
        """Return it for people."""
        lines = []
        for is_paid, heading in ((True, "Paid hosts"), (False, "Mock servers")):
            chosen = [one for one in self.lines if one.is_paid is is_paid]
            if chosen:
                lines += [f"{heading}:", *(f"  {_line_text(one)}" for one in chosen)]
        if self.held_back:
            parts = ", ".join(f"{count:,} {_WORDS[reason]}" for reason, count in self.held_back.items())
            lines.append(f"Held back: {parts}")
        return "\n".join(lines) or "Nothing was sent to a provider, and nothing held back."

    def __str__(self) -> str:
        """Return it for people."""
        return self.text

    def to_json(self) -> dict[str, Json]:
        """Return it for machines; docs/preflight.md describes the members."""
        return {
            "lines": [
                {
                    "provider": one.provider,
                    "operation": one.operation,
                    "isPaid": one.is_paid,
                    "requests": one.requests,
                    "taken": one.taken,
                    "refused": one.refused,
                    "unanswered": one.unanswered,
                    "units": one.units,
                    "unitsUnanswered": one.units_unanswered,
                    "unpriced": one.unpriced,
                    "currency": one.currency,
                    "worth": one.worth,
                }
                for one in self.lines
            ],
            "heldBack": dict(self.held_back),
        }


_WORDS: Final[Mapping[Reason, str]] = {
    "not-allowed": "not allowed",
    "budget": "beyond the budget",
    "unknown-price": "of unknown price",
    "equal": "equal to one before",
}


def _line_text(one: SpentLine) -> str:
    parts = [plural(one.requests, "request"), f"{one.taken:,} taken"]
    parts += [f"{one.refused:,} refused"] if one.refused else []
    parts += [f"{one.unanswered:,} unanswered"] if one.unanswered else []
    cost = [f"about {plural_units(one.units)}"] if one.units else []
    if one.units_unanswered:
        cost.append(f"perhaps {plural_units(one.units_unanswered)}{' more' if one.units else ''}")
    cost += [f"{one.worth:g} {one.currency}"] if one.worth else []
    cost += [f"{one.unpriced:,} of unknown price"] if one.unpriced else []
    more = f"; {', '.join(cost)}" if cost else ""
    return f"{one.provider} {printable(one.operation)}: {', '.join(parts)}{more}"


def plural_units(units: float) -> str:
    """Return an amount of a provider's own units.

    >>> plural_units(1.0), plural_units(2.5)
    ('1 unit', '2.5 units')
    """
    return f"{to_text(units)} unit{'' if units == 1 else 's'}"


# --- counting ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Line:
    """One operation's counts, while they grow."""

    money: Money | None
    requests: int = 0
    taken: int = 0
    refused: int = 0
    unanswered: int = 0
    units: float = 0.0
    units_unanswered: float = 0.0
    unpriced: int = 0


_Key = tuple[str, str, bool]
"""(provider, operation, is paid)."""


class Ticket:
    """One request that left; it counts as perhaps taken until it is said what became of it."""

    __slots__ = ("_digest", "_guard", "_key", "_price", "at", "is_doubtful", "state")

    def __init__(self, guard: SpendGuard, key: _Key, price: float | None, digest: bytes, at: float) -> None:
        """Take what to settle."""
        self._guard, self._key, self._price, self._digest = guard, key, price, digest
        self.at = at
        self.state: Literal["open", "taken", "refused", "unsent"] = "open"
        self.is_doubtful = False

    def answered(self, status: int) -> None:
        """Say that an answer came, with this status."""
        if status in LOST:
            return
        self._guard._settle(self, "taken" if status < 300 else "refused")

    def unsent(self) -> None:
        """Say that it never reached anybody: no connection was made."""
        self._guard._settle(self, "unsent")

    def repeated(self, status: int | None) -> None:
        """Say that it went out once more than was asked for, and what came of that, None for no answer."""
        self._guard._repeat(self, is_open=status is None or status in LOST)


class SpendGuard:
    """Keeps requests from the paid hosts unless told, and counts what passes.  Threads and tasks may share one.

    `allow` says whose hosts may be called: True for all, False for none, or the ids of providers; None leaves
    that to the environment variable UNDERSTUDY_SPEND.  `reads` lets pass what costs nothing, whoever it is for.
    `budget` is how many of a provider's own units may be spent: one number for each of them, or a mapping by
    id; under a budget, requests of unknown price are held back unless `unknown_price` is "pass".

    `equal_within_s` holds a submit back that was sent before within so many seconds, byte for byte, and was not
    refused; it needs `now`, a function that tells the time in seconds, such as time.monotonic.  With math.inf, for
    "ever", it needs none.  Budgets and equal submits count on mock servers as well, apart from the paid hosts.

    Raises ValueError for settings that make no sense.
    """

    def __init__(
        self,
        *,
        allow: bool | str | Iterable[str] | None = None,
        reads: bool = False,
        budget: float | Mapping[str, float] | None = None,
        unknown_price: Literal["refuse", "pass"] = "refuse",
        equal_within_s: float | None = None,
        now: Callable[[], float] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Take what is allowed."""
        self._budgets: dict[str, float] = {}
        self._budget: float | None = None
        self._reads = reads
        self._origin = "SpendGuard"
        if allow is None:
            self._origin = VARIABLE
            self._allow = self._read(environment.get(VARIABLE, ""))
        elif isinstance(allow, bool):
            self._allow = allow
        else:
            self._allow = frozenset((allow,) if isinstance(allow, str) else allow)
        if isinstance(budget, Mapping):
            self._budgets |= {name: _amount(value, f"the budget of {name}") for name, value in budget.items()}
        elif budget is not None:
            self._budget = _amount(budget, "the budget")
        if unknown_price not in ("refuse", "pass"):
            raise ValueError(f"unknown_price is 'refuse' or 'pass', not {unknown_price!r}")
        self._unknown_price = unknown_price
        if equal_within_s is not None:
            equal_within_s = _amount(equal_within_s, "equal_within_s", is_endless=True)
            if now is None and math.isfinite(equal_within_s):
                raise ValueError(
                    "equal_within_s needs a clock: give now=time.monotonic as well, or equal_within_s=math.inf"
                )
        self._equal_within_s, self._now = equal_within_s, now
        self._lock = threading.Lock()
        self._lines: dict[_Key, _Line] = {}
        self._held_back: Counter[Reason] = Counter()
        self._submits: dict[bytes, Ticket] = {}

    def _read(self, text: str) -> bool | frozenset[str]:
        """Return whom the variable allows, and take the budgets in it: `none`, `all`, or `acme=100,reads`."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        if len(words) <= 1:
            word = (words or [""])[0].lower()
            if word in _YES | _NO:
                return word in _YES
        names = set()
        for word in words:
            name, sign, amount = (part.strip() for part in word.partition("="))
            if name.lower() in _YES | _NO:
                raise ValueError(f"{VARIABLE}={text}: '{name}' stands alone, or not at all")
            if name.lower() == _READS and not sign:
                self._reads = True
                continue
            names.add(name)
            if sign:
                try:
                    units = float(amount)
                except ValueError:
                    raise ValueError(f"{VARIABLE}={text}: '{amount}' is no number of units") from None
                self._budgets[name] = _amount(units, f"{VARIABLE}={text}: the budget of {name}")
        return frozenset(names)

    def check_names(self, known: Iterable[str]) -> None:
        """Raise ValueError where a provider is named that there is not: a budget for it would guard nothing."""
        known = list(known)
        allowed: Iterable[str] = () if isinstance(self._allow, bool) else self._allow
        for name in (*allowed, *self._budgets):
            if name not in known:
                hint = nearest(name, known) or f"known: {', '.join(known)}"
                raise ValueError(f"{self._origin}: no provider is called '{name}' ({hint})")

    # --- requests -----------------------------------------------------------------------------------------

    def depart(self, one: Inspection) -> Ticket:
        """Count a request as leaving; raises SpendError where it may not."""
        digest = b""
        if (
            self._equal_within_s is not None
            and one.is_create
            and not one.unseen
            and one.method not in _REPEATABLE
        ):
            digest = _digest(one)
        at = self._now() if digest and self._now is not None else 0.0
        name = one.operation.id if one.operation is not None else one.method
        key = (one.contract.id, name, one.is_paid)
        with self._lock:
            refusal = self._refusal(one, digest, at)
            if refusal is not None:
                reason, sentence = refusal
                self._held_back[reason] += 1
                raise SpendError(
                    f"{printable(f'{one.method} {one.url}')} was not sent: {sentence}",
                    reason=reason,
                    price=one.price,
                    method=one.method,
                    url=one.url,
                    provider=one.contract.id,
                    operation=one.operation.id if one.operation is not None else None,
                )
            line = self._lines.get(key)
            if line is None:
                money = one.operation.money if one.operation is not None else None
                line = self._lines[key] = _Line(money)
            line.requests += 1
            line.unanswered += 1
            if one.price is None:
                line.unpriced += 1
            else:
                line.units_unanswered += one.price
            ticket = Ticket(self, key, one.price, digest, at)
            if digest:
                self._submits.pop(digest, None)
                self._submits[digest] = ticket
                if len(self._submits) > _MOST_KEPT:
                    del self._submits[next(iter(self._submits))]
            return ticket

    def _refusal(self, one: Inspection, digest: bytes, at: float) -> tuple[Reason, str] | None:
        """Return why a request may not leave, None where it may."""
        provider = one.contract.id
        if one.is_paid and not (self._is_allowed(provider) or (self._reads and not one.is_create)):
            return "not-allowed", _not_allowed(one)
        if not one.is_create:
            return None
        earlier = self._submits.get(digest) if digest else None
        if (
            earlier is not None
            and self._equal_within_s is not None
            and at - earlier.at <= self._equal_within_s
        ):
            return "equal", self._equal(one, earlier, at)
        budget = self._budgets.get(provider, self._budget)
        if budget is None:
            return None
        if one.price is None:
            if self._unknown_price == "pass":
                return None
            hint = "SpendGuard(unknown_price='pass') lets it pass uncounted"
            return "unknown-price", f"the price of {one.target} is not known, and there is a budget; {hint}"
        taken, perhaps = self._sums(provider, is_paid=one.is_paid)
        if taken + perhaps + one.price <= budget + _HAIR:
            return None
        more = f", and perhaps {to_text(round(perhaps, 8))} more" if perhaps else ""
        return "budget", (
            f"{one.target} costs about {plural_units(one.price)}, and {to_text(round(taken, 8))} of the budget of "
            f"{to_text(budget)} are spent{more}"
        )

    def _is_allowed(self, provider: str) -> bool:
        return self._allow if isinstance(self._allow, bool) else provider in self._allow

    def _equal(self, one: Inspection, earlier: Ticket, at: float) -> str:
        when = f" {to_text(round(at - earlier.at, 1))} s ago" if self._now is not None else " before"
        fate = "was taken" if earlier.state == "taken" else "may have been taken, no answer has come"
        return (
            f"the same body went to {one.target}{when} and {fate}, so this would be paid twice; read the first task, "
            "or call forget() on the guard if a second one is meant"
        )

    def _sums(self, provider: str, *, is_paid: bool) -> tuple[float, float]:
        """Return (units taken, units perhaps taken) of a provider."""
        chosen = [line for key, line in self._lines.items() if (key[0], key[2]) == (provider, is_paid)]
        return sum(one.units for one in chosen), sum(one.units_unanswered for one in chosen)

    def _settle(self, ticket: Ticket, state: Literal["taken", "refused", "unsent"]) -> None:
        """Say what became of a request; only the first word counts."""
        with self._lock:
            line = self._lines.get(ticket._key)
            if ticket.state != "open" or line is None:
                return
            ticket.state = state
            line.unanswered -= 1
            if state == "unsent":
                line.requests -= 1
            elif state == "taken":
                line.taken += 1
            else:
                line.refused += 1
            if ticket._price is not None:
                # Sums of decimal prices come back to nothing only when they are rounded.
                line.units_unanswered = round(line.units_unanswered - ticket._price, 8)
                line.units = round(line.units + (ticket._price if state == "taken" else 0), 8)
            elif state != "taken":
                line.unpriced -= 1
            is_over = state != "taken" and not ticket.is_doubtful
            if is_over and self._submits.get(ticket._digest) is ticket:
                del self._submits[ticket._digest]

    def _repeat(self, ticket: Ticket, *, is_open: bool) -> None:
        """Count a request that a library sent again by itself."""
        with self._lock:
            line = self._lines[ticket._key]
            line.requests += 1
            if not is_open:
                line.refused += 1
                return
            # Whatever becomes of the last attempt, this one may have been taken.
            ticket.is_doubtful = True
            line.unanswered += 1
            if ticket._price is None:
                line.unpriced += 1
            else:
                line.units_unanswered += ticket._price

    def forget(self) -> None:
        """Forget which bodies were submitted, so that equal ones may pass again; what was counted stays."""
        with self._lock:
            self._submits.clear()

    @property
    def spent(self) -> Spent:
        """Return what was counted so far."""
        with self._lock:
            lines = [_line(key, line) for key, line in sorted(self._lines.items()) if line.requests]
            held_back: dict[Reason, int] = {
                reason: self._held_back[reason] for reason in get_args(Reason) if self._held_back[reason]
            }
        return Spent(lines=tuple(lines), held_back=held_back)


def _line(key: _Key, line: _Line) -> SpentLine:
    units = round(line.units, 8)
    perhaps = round(line.units_unanswered, 8)
    return SpentLine(
        provider=key[0],
        operation=key[1],
        is_paid=key[2],
        requests=line.requests,
        taken=line.taken,
        refused=line.refused,
        unanswered=line.unanswered,
        units=units,
        units_unanswered=perhaps,
        unpriced=line.unpriced,
        currency=line.money.currency if line.money is not None else None,
        worth=line.money.worth(units + perhaps) if line.money is not None else None,
    )


def _amount(value: float, what: str, *, is_endless: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise ValueError(f"{what} is a number, 0 or more, not {value!r}")
    if math.isinf(value) and not is_endless:
        raise ValueError(f"{what} is a number of units, and endless is none: leave it out")
    return float(value)


def _digest(one: Inspection) -> bytes:
    """Return what equal submits have in common: where they go, what they carry, their name; not the credential."""
    where = one.operation.id if one.operation is not None else f"{one.method} {one.request.path}"
    made = hashlib.sha256("\0".join((one.contract.id, one.world, where, "")).encode("utf-8", "replace"))
    for name in IDEMPOTENCY:
        made.update(f"{one.request.headers.get(name, '')}\0".encode("utf-8", "replace"))
    made.update(one.request.body)
    return made.digest()


def _not_allowed(one: Inspection) -> str:
    provider = one.contract.id
    if not one.is_create:
        return (
            f"{provider} itself is not to be called here; SpendGuard(reads=True) lets pass what costs nothing, "
            f"and so does {VARIABLE}={_READS}"
        )
    cost = "what it costs is not known" if one.price is None else f"it costs about {plural_units(one.price)}"
    money = one.operation.money if one.operation is not None else None
    if one.price is not None and money is not None:
        cost += f" ({money.worth(one.price):g} {money.currency})"
    way = f"SpendGuard(allow={{'{provider}'}}) or {VARIABLE}={provider} lets it pass"
    return f"{one.target} is paid, and {cost}; {way}"
