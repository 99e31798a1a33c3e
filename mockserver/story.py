"""What a client did in a world, in words: for the report of a test that failed, and for a session's last line."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from mockserver.app import App
from mockserver.limits import number
from mockserver.records import Costs, Delivery, Request, Task, Violation
from mockserver.wallets import money_of
from validator.contract.expressions import Json
from validator.report import printable

if TYPE_CHECKING:
    from mockserver.world import Seen, World

TAIL: Final = 10
"""Exchanges, tasks and so on that a story tells of one kind."""

LONGEST_BODY: Final = 300
"""Characters of a body that a story shows."""

LONGEST_TARGET: Final = 100

POLLS_AT_REST: Final = 3
"""Reads of a running task at one moment of a clock at rest that look like waiting."""

LONGEST_WAIT: Final = timedelta(days=1)
"""Longer than a client waits for a video that nothing more comes of."""


NO_ANSWER: Final = "no answer within"
"""How the error of an attempt begins that its receiver did not answer in time."""

BLOCKED: Final = (
    "A receiver in the event loop of an async test cannot answer while the test itself moves the clock:",
    "let await understudy.clock.async_sleep(300) move it.",
)


def story(world: World) -> str:
    """Return what a failing test should know of its client: what was wrong, what is open, what came last."""
    requests, tasks, violations = world.requests, world.tasks, world.violations
    parts = [
        violations_text(violations) if violations else "",
        _warnings(requests),
        _waiting(world),
        _open_tasks(tasks),
        _failed(world.deliveries),
        _calls(world),
        _tail(requests),
    ]
    return "\n\n".join(part for part in parts if part)


def violations_text(found: Sequence[tuple[Request, Violation]]) -> str:
    """Return what was wrong with requests, each request once, in the words of the findings."""
    by_request: dict[str, tuple[Request, list[Violation]]] = {}
    for request, one in found:
        by_request.setdefault(request.id, (request, []))[1].append(one)
    count = len(by_request)
    lines = [f"{count} {'request was' if count == 1 else 'requests were'} not as the provider wants them:"]
    for request, findings in islice(by_request.values(), TAIL):
        lines += ["", f"  {exchange_line(request)}"]
        if request.body is not None:
            lines.append(f"    sent      {_short(request.body)}")
        lines.append(f"    answered  {_short(request.answer)}")
        for one in findings:
            lines += _finding("fails" if one.effect == "fail" else "refused", one)
        lines += [f"    perhaps   {_without_tenant(miss)}" for miss in request.near_misses[:3]]
    if count > TAIL:
        lines += ["", f"  and {count - TAIL:,} more"]
    return "\n".join(lines)


def _finding(label: str, one: Violation) -> list[str]:
    rows = (("found", one.found), ("allowed", one.allowed), ("try", one.suggestion))
    return [
        f"    {label:<9} {printable(one.where) or 'request'}: {printable(one.message)}",
        *(f"              {name:<8} {printable(text)}" for name, text in rows if text),
        f"              rule     {one.rule} ({one.evidence}); understudy explain {one.rule}",
    ]


def _warnings(requests: Sequence[Request]) -> str:
    """Return what was noticed in requests without being refused, each thing once; "" where there was nothing."""
    first: dict[tuple[str, str, str], tuple[Request, Violation]] = {}
    for request in requests:
        for one in request.violations:
            if not one.is_error:
                first.setdefault((one.rule, one.where, one.found), (request, one))
    if not first:
        return ""
    lines = ["Noticed in requests, and no reason to refuse them:"]
    line = ""
    for request, one in islice(first.values(), TAIL):
        if line != (line := exchange_line(request)):
            lines += ["", f"  {line}"]
        lines += _finding("warning", one)
    if len(first) > TAIL:
        lines += ["", f"  and {len(first) - TAIL:,} more"]
    return "\n".join(lines)


def exchange_line(request: Request) -> str:
    """Return an exchange in a line."""
    target = printable(_without_tenant(request.target))
    if len(target) > LONGEST_TARGET:
        target = target[: LONGEST_TARGET - 1] + "…"
    what = request.operation or ("result file" if request.task is not None else "")
    notes = [what] if what else []
    if request.scenario:
        notes.append(f"scenario {request.scenario}")
    if request.verdict != "accepted":
        notes.append(", ".join(dict.fromkeys(one.rule for one in request.violations)))
    after = f"  {'; '.join(notes)}" if notes else ""
    return f"{_clock(request.at)}  {request.method} {target} -> {request.status}{after}"


def delivery_line(delivery: Delivery) -> str:
    """Return a delivery with its attempts in a line."""
    tries = ", ".join(
        f"{_clock(one.at)} {one.status if one.status is not None else one.error}" for one in delivery.attempts
    )
    return (
        f"  {delivery.provider} task {delivery.task} {delivery.state} -> {printable(delivery.url)}:"
        f" {delivery.status}{f' ({tries})' if tries else ''}"
    )


Totals = dict[str, dict[str, Any]]
"""What tasks cost by provider, as plain JSON that a worker can send home: tasks, units, money, currency."""


def add(totals: Totals, more: Mapping[str, Mapping[str, Any]]) -> None:
    """Add to totals what others are."""
    for name, one in more.items():
        held = totals.setdefault(name, {"tasks": 0, "units": 0.0, "money": None, "currency": None})
        held["tasks"] += one["tasks"]
        held["units"] = round(held["units"] + one["units"], 8)
        if one["money"] is not None:
            held["money"], held["currency"] = round((held["money"] or 0.0) + one["money"], 8), one["currency"]


def totals_of(costs: Costs) -> Totals:
    """Return what costs are as totals."""
    return {
        name: {"tasks": one.tasks, "units": one.units, "money": one.money, "currency": one.currency}
        for name, one in costs.providers.items()
    }


def run_totals(app: App) -> Totals:
    """Return what all tasks of a server that has stopped cost."""
    out: Totals = {}
    for name, one in app.totals.items():
        if not one.tasks:
            continue
        units, money = one.used + one.reserved, money_of(app.backend.contracts[name])
        out[name] = {
            "tasks": one.tasks,
            "units": round(units, 8),
            "money": None if money is None else round(money.worth(units), 8),
            "currency": None if money is None else money.currency,
        }
    return out


def summary(totals: Totals) -> str:
    """Return what a session would have cost, in a line; "" where there were no tasks."""
    count = sum(one["tasks"] for one in totals.values())
    if not count:
        return ""
    units = sum(one["units"] for one in totals.values())
    parts = ", ".join(f"{name} {number(one['units'])}" for name, one in sorted(totals.items()))
    money: dict[str, float] = {}
    for one in totals.values():
        if one["money"] is not None:
            money[one["currency"]] = money.get(one["currency"], 0.0) + one["money"]
    worth = " and ".join(f"{amount:.2f} {currency}" for currency, amount in sorted(money.items()))
    return (
        f"understudy: {count:,} {'task' if count == 1 else 'tasks'}"
        f" would have cost {number(units)} {'unit' if units == 1 else 'units'} ({parts})"
        f"{f', about {worth}' if worth else ''}"
    )


def reads_at_rest(world: World) -> dict[str, int]:
    """Return how often each running task was read since the clock of a world was last moved; {} where it runs."""
    if not world.clock.is_frozen:
        return {}
    now = world.clock.now
    running = {task.id for task in world.tasks if not task.has_ended}
    return _reads((request for request in world.requests if request.at == now), running)


def reads_in_vain(world: World) -> dict[str, int]:
    """Return how often each task was read that will never end, where that has been so for longer than a day."""
    now = world.clock.now
    endless = {
        task.id
        for task in world.tasks
        if not task.has_ended and now - task.updated > LONGEST_WAIT and task.timeline[-1][0] <= task.updated
    }
    return _reads(world.requests, endless)


def _reads(requests: Iterable[Request], tasks: Container[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for request in requests:
        if request.method == "GET" and request.task is not None and request.task in tasks:
            out[request.task] = out.get(request.task, 0) + 1
    return out


def _waiting(world: World) -> str:
    """Return a word for a client that waits for a clock which nobody moves, "" for others."""
    reads = reads_at_rest(world)
    task = max(reads, key=lambda one: reads[one], default="")
    return waiting_text(task, reads[task]) if task and reads[task] >= POLLS_AT_REST else ""


def waiting_text(task: str, count: int) -> str:
    """Return what to do about a client that polls while its clock is at rest."""
    return (
        f"Task {task} was read {count} times while the clock of this world stood still, so that it cannot change.\n"
        "Either let the client sleep on that clock: hand it understudy.clock.sleep (or async_sleep), or call\n"
        "understudy.drive(the module that sleeps); or move it by hand: understudy.clock.advance('PT5M');\n"
        "or let it run: @pytest.mark.understudy(speed=60)."
    )


def endless_text(task: str, count: int, now: datetime) -> str:
    """Return what to do about a client that never gives up."""
    return (
        f"Nothing more comes of task {task}, and the client goes on reading it: {count:,} of its last reads,\n"
        f"and it is {now:%Y-%m-%d %H:%M} in this world.\n"
        "A client has to give up at some time, and to measure it on that clock: hand it understudy.clock.monotonic\n"
        "(or time), or call understudy.drive(the module that measures it)."
    )


def _open_tasks(tasks: Sequence[Task]) -> str:
    found = [task for task in tasks if not task.has_ended]
    if not found:
        return ""
    lines = [f"{len(found)} {'task is' if len(found) == 1 else 'tasks are'} still running:"]
    for task in found[-TAIL:]:
        following = [f"{state} at {_clock(at)}" for at, state in task.timeline if at > task.updated]
        lines.append(
            f"  {task.provider} task {task.id} is {task.state} since {_clock(task.updated)}"
            + (f"; {', then '.join(following)}" if following else "; nothing more comes of it by itself")
        )
    return "\n".join(lines)


def _failed(deliveries: Sequence[Delivery]) -> str:
    found = [one for one in deliveries if one.status in ("failed", "refused", "retrying")]
    if not found:
        return ""
    count = len(found)
    errors = [tried.error for one in found for tried in one.attempts]
    is_late = any(error.startswith(NO_ANSWER) and "(scenario" not in error for error in errors)
    return "\n".join(
        [
            f"{count} {'callback was' if count == 1 else 'callbacks were'} not taken:",
            *map(delivery_line, found[-TAIL:]),
            *(BLOCKED if is_late else ()),
        ]
    )


def _calls(world: World) -> str:
    bad = [one for one in world.calls if one.error or one.is_verified is False]
    return (
        "\n".join(["Calls to the inbox that went wrong:", *(f"  {one}" for one in bad[-TAIL:])])
        if bad
        else ""
    )


def _tail(requests: Seen[Request]) -> str:
    if not requests:
        return "No request came to this world: does the client use its base URL, or its transport?"
    count = len(requests) + requests.dropped
    head = f"The last {TAIL} of {count:,} requests:" if count > TAIL else "All requests:"
    lines: list[list[str]] = []
    for line in map(exchange_line, requests[-TAIL:]):
        if lines and lines[-1][0] == line:
            lines[-1].append(line)
        else:
            lines.append([line])
    return "\n".join(
        [head, *(f"  {same[0]}{f'  ({len(same)} times)' if len(same) > 1 else ''}" for same in lines)]
    )


def _clock(at: datetime) -> str:
    """Return the time of day of a moment, to the second."""
    return f"{at:%H:%M:%S}"


def _without_tenant(target: str) -> str:
    """Return a target without the tenant: it is the same for all of a world, and its name is long."""
    return re.sub(r"(^|(?<= ))/t/[^/]+", "", target, count=1)


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = printable(text)
    return text if len(text) <= LONGEST_BODY else text[: LONGEST_BODY - 1] + "…"
