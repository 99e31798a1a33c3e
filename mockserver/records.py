"""What a test sees of its world, as frozen values: tasks, requests, deliveries, events, costs.

Made of the admin API's JSON, so that they are the same for a server in this process and for one elsewhere.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mockserver.scenarios import SCENARIOS
from validator.contract.expressions import Json
from validator.report import field_name

Headers = tuple[tuple[str, str], ...]
"""Pairs of a lower-case name and a value; the values of credentials are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task at the moment it was looked at.

    `outcome` is success, failure or canceled, None while it runs; `price` is in the provider's units; `result` is
    where its file lies, None where it has none; `rules` are the ids of the rules that its request broke.
    """

    id: str
    provider: str
    operation: str
    account: str
    request: str
    state: str
    outcome: str | None
    created: datetime
    updated: datetime
    timeline: tuple[tuple[datetime, str], ...]
    failure: str | None
    price: float | None
    result: str | None
    rules: tuple[str, ...]
    deliveries: tuple[str, ...]

    @property
    def has_ended(self) -> bool:
        """Tell whether it is in a final state."""
        return self.outcome is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One finding about a request: what the provider does with it (`effect` reject, fail or warn), and the words.

    `where` is the member or parameter as people write it, "" for the request as a whole.
    """

    rule: str
    kind: str
    effect: str
    where: str
    message: str
    found: str
    allowed: str
    suggestion: str
    evidence: str
    source: str

    @property
    def is_error(self) -> bool:
        """Tell whether it costs the client its task."""
        return self.effect in ("reject", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request and its answer.

    `provider` and `operation` are None where none was reached; `body` and `answer` are JSON values, or text where
    they are none, long texts cut; `scenario` is what it met, as the header says it; `took_us` is real time.
    """

    id: str
    at: datetime
    method: str
    target: str
    provider: str | None
    operation: str | None
    account: str | None
    task: str | None
    headers: Headers
    body: Json
    status: int
    answer_headers: Headers
    answer: Json
    verdict: Literal["accepted", "fails", "refused"]
    violations: tuple[Violation, ...]
    unchecked: tuple[str, ...]
    scenario: str | None
    near_misses: tuple[str, ...]
    took_us: int

    @property
    def errors(self) -> tuple[Violation, ...]:
        """Return the findings that the client itself is to blame for and that cost it a task.

        Not those of a scenario that was asked for, nor those that a right request meets as well: limits, an empty
        wallet, a service that is down, a name that is taken, which is what protects those who ask again.
        """
        if self.verdict == "accepted" or self._is_refused_on_purpose:
            return ()
        return tuple(one for one in self.violations if one.is_error and one.kind in _OWN_FAULTS)

    @property
    def _is_refused_on_purpose(self) -> bool:
        names = (one.partition(";")[0].strip() for one in (self.scenario or "").split(","))
        return any(name in SCENARIOS and SCENARIOS[name].group in _FEIGNED for name in names)


_FEIGNED = ("refusal", "outcome")
"""Groups of scenarios that refuse what is right."""

_OWN_FAULTS = frozenset(
    (
        *("no-route", "method-not-allowed", "unauthorized", "unsupported-media-type", "too-large"),
        *("malformed", "invalid", "not-found"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver: what the receiver answered, or the error instead; `took_ms` is real time."""

    at: datetime
    status: int | None
    error: str
    took_ms: int
    headers: Headers

    @property
    def is_taken(self) -> bool:
        """Tell whether the receiver took it, also where a scenario has the server believe that it did not."""
        said = _SAID.search(self.error)
        status = int(said[1]) if said is not None else self.status
        return status is not None and 200 <= status < 300


_SAID = re.compile(r"the receiver said (\d{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback for one state of one task: `status` is waiting, retrying, delivered, failed, refused or canceled.

    `content` holds the exact bytes, `body` the same as JSON; both are empty before the first attempt.
    """

    id: str
    task: str
    provider: str
    callback: str
    state: str
    url: str
    status: str
    due: datetime
    next_at: datetime | None
    body: Json
    content: bytes
    attempts: tuple[Attempt, ...]

    @property
    def is_delivered(self) -> bool:
        """Tell whether its receiver took it."""
        return self.status == "delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened while a clock moved: a task entered a state, or a delivery was tried.

    `status` is what became of the delivery, None for a task.
    """

    at: datetime
    kind: Literal["task", "delivery"]
    task: str
    state: str
    delivery: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What tasks of one provider cost: units used, and reserved for those that still run; money where known."""

    tasks: int = 0
    used: float = 0.0
    reserved: float = 0.0
    money: float | None = None
    currency: str | None = None

    @property
    def units(self) -> float:
        """Return what is used and reserved together: what it comes to if all goes well."""
        return round(self.used + self.reserved, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What all tasks cost, by provider; those without a task are left out."""

    providers: Mapping[str, Cost]

    @property
    def tasks(self) -> int:
        """Return how many tasks there are."""
        return sum(one.tasks for one in self.providers.values())

    @property
    def units(self) -> float:
        """Return the units of all providers together, which only compare where there is one provider."""
        return round(sum(one.units for one in self.providers.values()), 8)

    @property
    def money(self) -> Mapping[str, float]:
        """Return the money by currency, of the providers whose price list has any."""
        out: dict[str, float] = {}
        for one in self.providers.values():
            if one.money is not None and one.currency is not None:
                out[one.currency] = round(out.get(one.currency, 0.0) + one.money, 8)
        return out


# --- from JSON --------------------------------------------------------------------------------------------


def moment(text: str) -> datetime:
    """Return a moment as the admin API writes it."""
    return datetime.fromisoformat(text)


def task_of(value: Mapping[str, Any]) -> Task:
    """Return a task from its JSON."""
    return Task(
        id=value["id"],
        provider=value["provider"],
        operation=value["operation"],
        account=value["account"],
        request=value["request"],
        state=value["state"],
        outcome=value["outcome"],
        created=moment(value["created"]),
        updated=moment(value["updated"]),
        timeline=tuple((moment(one["at"]), one["state"]) for one in value["timeline"]),
        failure=value["failure"],
        price=value["price"],
        result=value["result"],
        rules=tuple(value["rules"]),
        deliveries=tuple(value["deliveries"]),
    )


def request_of(value: Mapping[str, Any]) -> Request:
    """Return an exchange from its JSON."""
    asked, answered, report = value["request"], value["response"], value["report"]
    return Request(
        id=value["id"],
        at=moment(value["at"]),
        method=asked["method"],
        target=asked["target"],
        provider=value["provider"],
        operation=value["operation"],
        account=value["account"],
        task=value["task"],
        headers=_headers(asked["headers"]),
        body=asked["body"],
        status=answered["status"],
        answer_headers=_headers(answered["headers"]),
        answer=answered["body"],
        verdict=value["verdict"],
        violations=tuple(map(_violation, report["violations"])),
        unchecked=tuple(report["unchecked"]),
        scenario=value["scenario"],
        near_misses=tuple(map(_near_miss, value.get("nearMisses", ()))),
        took_us=value["took_us"],
    )


def _violation(value: Mapping[str, Any]) -> Violation:
    location, place = value.get("instanceLocation", ""), value["place"]
    where = field_name(location) if place == "body" else f"{place} {location}".rstrip()
    return Violation(
        rule=value["rule"],
        kind=value["kind"],
        effect=value["effect"],
        where="credential" if value["kind"] == "unauthorized" else where,
        message=value["message"],
        found=value.get("found", ""),
        allowed=value.get("allowed", ""),
        suggestion=value.get("suggestion", ""),
        evidence=value["evidence"],
        source=value.get("source", ""),
    )


def _near_miss(value: Mapping[str, Any]) -> str:
    why = f" ({'; '.join(value['why'])})" if value["why"] else ""
    return f"{value['instead']}{why}"


def delivery_of(value: Mapping[str, Any]) -> Delivery:
    """Return a delivery from its JSON."""
    return Delivery(
        id=value["id"],
        task=value["task"],
        provider=value["provider"],
        callback=value["callback"],
        state=value["state"],
        url=value["url"],
        status=value["status"],
        due=moment(value["due"]),
        next_at=None if value["next_at"] is None else moment(value["next_at"]),
        body=value["body"],
        content=base64.b64decode(value["body_base64"]),
        attempts=tuple(
            Attempt(
                at=moment(one["at"]),
                status=one["status"],
                error=one["error"],
                took_ms=one["took_ms"],
                headers=_headers(one["headers"]),
            )
            for one in value["attempts"]
        ),
    )


def event_of(value: Mapping[str, Any]) -> Event:
    """Return an event from its JSON."""
    return Event(
        at=moment(value["at"]),
        kind=value["kind"],
        task=value["task"],
        state=value["state"],
        delivery=value.get("delivery"),
        status=value.get("status"),
    )


def costs_of(value: Mapping[str, Any]) -> Costs:
    """Return what a tenant's tasks cost from its JSON."""
    return Costs(
        providers={
            one["provider"]: Cost(
                tasks=one["tasks"],
                used=one["used"],
                reserved=one["reserved"],
                money=None
                if one["money"] is None
                else round(one["money"]["used"] + one["money"]["reserved"], 8),
                currency=None if one["money"] is None else one["money"]["currency"],
            )
            for one in value["providers"]
            if one["tasks"]
        }
    )


def _headers(pairs: Iterable[Iterable[str]]) -> Headers:
    return tuple((name.lower(), value) for name, value in pairs)
