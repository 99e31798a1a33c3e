"""The tenant's time: look, set, advance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import read_json, read_moment
from mockserver.admin.control import Control, Route
from mockserver.callbacks import Event
from mockserver.tasks import states_between
from mockserver.tenants import Tenant
from validator.contract.durations import milliseconds
from validator.contract.expressions import LATEST, Json, iso

MOST_EVENTS: Final = 1_000


async def get_clock(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /clock."""
    return ok(clock_json(tenant))


def clock_json(tenant: Tenant) -> dict[str, Json]:
    """Return a tenant's clock as it stands."""
    now = tenant.clock.now()
    return {"mode": tenant.clock.mode, "now": iso(now), "now_ms": now, "speed": tenant.clock.speed}


async def set_clock(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PUT /clock."""
    change = await read_json(request, "ClockChange")
    _check_at_rest(tenant)
    mode, speed = change.get("mode"), change.get("speed")
    speed = {"frozen": 0.0, "real": 1.0}.get(mode or "", speed)
    now = read_moment(change["now"]) if "now" in change else None
    if now is not None and now < tenant.clock.now() and control.backend.store.count(tenant.name):
        raise ProblemError(
            409, "Back in time", "a clock with tasks moves forward only; POST reset begins again"
        )
    if now is not None and now > tenant.clock.now():
        # What falls due on the way must still happen.
        await control.outbox.advance(tenant, now)
    tenant.clock.set(now=now, speed=None if speed is None else float(speed))
    tenant.has_own_speed = tenant.has_own_speed or speed is not None
    control.backend.save_clock(tenant)
    control.outbox.wake(tenant)
    control.events.clock_moved(tenant)
    return ok(clock_json(tenant))


def _check_at_rest(tenant: Tenant) -> None:
    if tenant.is_advancing:
        raise ProblemError(409, "Already moving", "the clock is being advanced; wait for that answer")


async def advance_clock(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer POST /clock/advance."""
    asked = await read_json(request, "Advance")
    _check_at_rest(tenant)
    start = tenant.clock.now()
    if "by" in asked:
        until = start + milliseconds(asked["by"])
    elif asked["to"] == "next-event":
        found = _next_event(control, tenant, start)
        until = start if found is None else found
    else:
        until = read_moment(asked["to"])
        if until < start:
            raise ProblemError(409, "Back in time", f"the clock shows {iso(start)} already")
    if until > LATEST:
        raise ProblemError(409, "Beyond the end", "that lies beyond the year 9999")
    sent = await control.outbox.advance(tenant, until)
    control.backend.save_clock(tenant)
    control.events.clock_moved(tenant)
    now = tenant.clock.now()
    events = [*_transitions(control, tenant, start, until), *sent]
    events.sort(key=lambda event: (event.at, event.kind != "task", event.number))
    return ok(
        {
            "from": iso(start),
            "now": iso(now),
            "now_ms": now,
            "is_truncated": len(events) > MOST_EVENTS,
            "events": [_event(event) for event in events[:MOST_EVENTS]],
        }
    )


def _event(event: Event) -> dict[str, Json]:
    out = {"at": iso(event.at), "kind": event.kind, "task": event.task, "state": event.state}
    if event.delivery is not None:
        out |= {"delivery": event.delivery, "status": event.status or ""}
    return out


def _transitions(control: Control, tenant: Tenant, after: int, until: int) -> Iterator[Event]:
    """Yield the states that tasks entered later than one time and not later than another."""
    for task in control.backend.live_tasks(tenant, after):
        for at, state in states_between(task.timeline, after - task.created, until - task.created):
            yield Event(at=task.created + at, kind="task", task=task.id, state=state)


def _next_event(control: Control, tenant: Tenant, now: int) -> int | None:
    """Return when a task next changes or a delivery is next tried, None where nothing is to come."""
    times = [
        task.created + at
        for task in control.backend.live_tasks(tenant, now)
        for at, _ in task.timeline
        if task.created + at > now
    ]
    due = control.outbox.next_at(tenant)
    if due is not None:
        times.append(max(due, now))
    return min(times, default=None)


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/clock", get_clock),
    ("PUT", "/clock", set_clock),
    ("POST", "/clock/advance", advance_clock),
)
