"""Steps: one exchange as the laws see it, namely what the client was told by it and may have made of it.

What reached the client is read off the journal and the task, never guessed from a status alone.  Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from mockserver import scenarios
from mockserver.journal import FILE, Cut, Exchange, size_of
from mockserver.preferences import preferences
from mockserver.scenarios import SCENARIOS, Values
from mockserver.tasks import Task, TaskView
from validator.contract.expressions import MISSING, parse_pointer
from validator.contract.model import Contract, Operation
from validator.report import Violation

Part = Literal["create", "read", "list", "other", "file", "stray"]
"""What a request was for; "file" is the file behind a result URL, "stray" leads to no operation."""

Nature = Literal["ok", "later", "never", "absent", "garbled", "lost"]
"""What an answer says to a client that listens.

ok: what was asked for; later: come back later (429, 5xx, and what the provider says in such words); never: the same
request will never be taken; absent: there is no such thing, now; garbled: nothing that could be read; lost: the
answer did not arrive, or not whole.
"""

LATER: Final = frozenset(
    ("rate-limited", "concurrency-exceeded", "timeout", "maintenance", "unavailable", "internal")
)
"""Kinds of refusal that pass."""

NEVER: Final = frozenset(
    (
        *("no-route", "method-not-allowed", "unauthorized", "forbidden", "unsupported-media-type"),
        *("too-large", "malformed", "invalid", "conflict", "quota-exhausted"),
    )
)
"""Kinds of refusal that the same request meets again; "not-found" is among them where something was to be made."""

LATER_STATUS: Final = frozenset((408, 425, 429))
"""Statuses below 500 that ask to come back (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4)."""

_CONTENT_RANGE: Final = re.compile(r"bytes \d{1,18}-(\d{1,18})/(\d{1,18})", re.ASCII)
_NOTHING: Final[Mapping[str, Values]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the client was told about one task: in which state it is, `at` (the tenant's time, milliseconds).

    `word` is what was shown for the state; `is_known` whether that is one of the provider's words.  `outcome` is None
    before the end.  `source` is the id of the exchange or of the delivery.  `is_plain` is False where the answer says
    of itself that it is no JSON: some clients read it, others rightly do not.
    """

    task: str
    at: int
    state: str
    word: str
    is_known: bool
    is_final: bool
    outcome: str | None
    has_url: bool
    by: Literal["create", "read", "list", "callback"]
    source: str
    is_plain: bool = True

    @property
    def is_end(self) -> bool:
        """Tell whether a client that knows the provider's words knows from it that the task is over."""
        return self.is_known and self.is_final

    @property
    def is_result(self) -> bool:
        """Tell whether it says that there is a result, and where."""
        return self.is_end and self.outcome == "success" and self.has_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One exchange with what it was for and what the client was told.

    `met` maps the scenarios that it met itself to their values; `refusal` is the finding that decided the answer,
    None where nothing was refused, and `is_asked` says that a scenario refused it, not the provider.

    `key` is the same for requests that ask the same thing again, `wish` for those that ask for the same video and
    b"" for what makes none; `name` is the client's own name for it, which has to be new.
    """

    exchange: Exchange
    part: Part
    operation: Operation | None
    met: Mapping[str, Values]
    refusal: Violation | None
    is_asked: bool
    nature: Nature
    told: tuple[Told, ...]
    key: bytes
    wish: bytes
    name: bytes

    @property
    def is_made(self) -> bool:
        """Tell whether a task was made, whatever the answer says."""
        return self.part == "create" and self.exchange.task is not None

    @property
    def kind(self) -> str:
        """Return the kind of the refusal, "" for none."""
        return self.refusal.kind if self.refusal is not None else ""


def read_steps(
    exchanges: tuple[Exchange, ...], tasks: Mapping[str, Task], contracts: Mapping[str, Contract]
) -> Iterator[Step]:
    """Yield the steps of exchanges, in their order."""
    for exchange in exchanges:
        yield _step(exchange, tasks, contracts)


def _step(exchange: Exchange, tasks: Mapping[str, Task], contracts: Mapping[str, Contract]) -> Step:
    contract = contracts.get(exchange.provider)
    operation = contract.operations.get(exchange.operation or "") if contract is not None else None
    part = _part(exchange, operation)
    met = _met(exchange)
    refusal = _refusal(exchange)
    kinds = frozenset(one.when.kind for one in contract.cases) if contract is not None else frozenset()
    nature = _nature(exchange, part, met, refusal, kinds)
    wish, name = _wish(exchange, operation) if part == "create" else (b"", b"")
    told: tuple[Told, ...] = ()
    # A HEAD brings a status and no body: nothing that a client could know a state by.
    if nature == "ok" and contract is not None and exchange.method != "HEAD":
        told = tuple(_told(exchange, part, met, tasks, contract))
        if "json" not in (header(exchange, b"content-type") or "").lower():
            told = tuple(replace(one, is_plain=False) for one in told)
    return Step(
        exchange=exchange,
        part=part,
        operation=operation,
        met=met,
        refusal=refusal,
        is_asked=refusal is not None and _is_asked(exchange, met, refusal),
        nature=nature,
        told=told,
        key=wish or _key(exchange),
        wish=wish,
        name=name,
    )


def _part(exchange: Exchange, operation: Operation | None) -> Part:
    if exchange.operation == FILE:
        return "file"
    if operation is None:
        return "stray"
    return operation.role or "other"


def header(exchange: Exchange, name: bytes) -> str | None:
    """Return a header of the answer, by its lower-case name; None where there is none."""
    return next(
        (value.decode("latin-1") for key, value in exchange.answer_headers if key.lower() == name), None
    )


def _met(exchange: Exchange) -> Mapping[str, Values]:
    text = header(exchange, b"x-mock-scenario")
    if text is None:
        return _NOTHING
    out: dict[str, Values] = {}
    for one in preferences([text]):
        scenario = SCENARIOS.get(one.name)
        if scenario is not None:
            # Beside its own there may be the plan's id and the number of a draw.
            given = {key: value for key, value in one.parameters.items() if key in scenario.by_name}
            try:
                out[one.name] = scenario.read(given)
            except scenarios.ScenarioError:
                # Written for a header, where not every sign can stand.
                out[one.name] = scenario.read({})
    return out


def _refusal(exchange: Exchange) -> Violation | None:
    """Return the finding that decided: a scenario's is the only one of its kind, else the first that refuses."""
    return next((one for one in exchange.report.violations if one.effect == "reject"), None)


def _is_asked(exchange: Exchange, met: Mapping[str, Values], refusal: Violation) -> bool:
    """Tell whether a scenario refused a request, or a header that asks for a refusal.

    Both what the finding says and what the server says in a header count: a client may write either, not both.
    """
    if refusal.found.startswith("scenario "):
        return refusal.found.removeprefix("scenario ") in met
    if refusal.found.startswith("Prefer: code="):
        return (header(exchange, b"preference-applied") or "").startswith("code=")
    return False


def _nature(
    exchange: Exchange,
    part: Part,
    met: Mapping[str, Values],
    refusal: Violation | None,
    kinds: frozenset[str | None],
) -> Nature:
    """Return what an answer says: by the provider's own word for it where it has one, else by the status."""
    if _is_cut(exchange, met):
        return "lost"
    if part == "file":
        if exchange.status == 206 and not _is_to_the_end(exchange):
            # The first bytes alone show that there is a file, and are not it.
            return "garbled"
        return "ok" if 200 <= exchange.status < 300 else "absent"
    is_readable = _is_readable(exchange)
    status = exchange.status
    is_refused = refusal is not None and is_readable and "html-error-page" not in met
    if refusal is not None and is_refused:
        if refusal.kind == "not-found" and part != "create":
            return "absent"
        if refusal.kind in kinds:
            return "later" if refusal.kind in LATER else "never"
    if status >= 500 or status in LATER_STATUS:
        return "later"
    if is_refused and status >= 400:
        return "never"
    return "ok" if 200 <= status < 300 and is_readable and refusal is None else "garbled"


def is_lost(exchange: Exchange) -> bool:
    """Tell whether the answer did not arrive, or not whole."""
    return _is_cut(exchange, _met(exchange))


def _is_cut(exchange: Exchange, met: Mapping[str, Values]) -> bool:
    """Tell whether the connection ended before the answer did."""
    if not exchange.status:
        return True
    for name, values in met.items():
        make = SCENARIOS[name].wire
        # What becomes of a task's file is said at the task's other answers, too, and does nothing to them.
        is_of_this = (SCENARIOS[name].group == "results") == (exchange.operation == FILE)
        if make is not None and is_of_this:
            wire = make(values, lambda: 0.5)
            if wire.is_reset or wire.kept is not None:
                return True
    if exchange.operation != FILE or exchange.method == "HEAD":
        return False
    promised = header(exchange, b"content-length")
    return promised is not None and promised.isdigit() and size_of(exchange.answer) < int(promised)


def _is_to_the_end(exchange: Exchange) -> bool:
    """Tell whether a part of a file reaches to its end (RFC 9110, 14.4): of all parts the last one does."""
    found = _CONTENT_RANGE.fullmatch(header(exchange, b"content-range") or "")
    return found is None or int(found[1]) + 1 >= int(found[2])


def _is_readable(exchange: Exchange) -> bool:
    """Tell whether the body is what a client that speaks JSON can read."""
    if isinstance(exchange.answer, Cut):
        return True
    if header(exchange, b"content-encoding"):
        # Compressed for whoever takes it so; for the others it is noise.
        taken = b",".join(value for name, value in exchange.headers if name.lower() == b"accept-encoding")
        return b"gzip" in taken or b"*" in taken
    try:
        orjson.loads(exchange.answer)
    except orjson.JSONDecodeError:
        return False
    return True


# --- what the client was told -----------------------------------------------------------------------------


def _told(
    exchange: Exchange,
    part: Part,
    met: Mapping[str, Values],
    tasks: Mapping[str, Task],
    contract: Contract,
) -> Iterator[Told]:
    if part in ("create", "read"):
        task = tasks.get(exchange.task or "")
        maker = contract.operations.get(task.operation) if task is not None else None
        if task is not None and maker is not None:
            yield told_by_answer(exchange, task, maker, met, "create" if part == "create" else "read")
    elif part == "list":
        words = set(leaves(exchange.answer))
        for name in words:
            task = tasks.get(name)
            maker = contract.operations.get(task.operation) if task is not None else None
            if task is not None and maker is not None:
                yield told_by_answer(exchange, task, maker, {}, "list")


def told_by_answer(
    exchange: Exchange,
    task: Task,
    operation: Operation,
    met: Mapping[str, Values],
    by: Literal["create", "read", "list"],
) -> Told:
    """Return what an answer told of a task, which may have moved on since, even within the same millisecond."""
    own = {name: values for name, values in met.items() if SCENARIOS[name].view is not None}
    shown = replace(task, scenarios={**task.scenarios, **own}) if own else task
    elapsed = exchange.at - task.created
    candidates = [state for at, state in task.timeline if at == elapsed]
    before = [state for at, state in task.timeline if at < elapsed]
    candidates = before[-1:] + candidates
    view = scenarios.view(shown, operation, exchange.at, "poll")
    if by == "create" and candidates:
        # Whatever happened in the same instant, a new task is told as a new one.
        view = _in(shown, operation, exchange, candidates[0])
    elif len(candidates) > 1 and view.phase in candidates:
        said = set(leaves(exchange.answer))
        views = [_in(shown, operation, exchange, state) for state in candidates]
        view = next((one for one in reversed(views) if one.state in said), view)
    return told_by_view(view, operation, task.id, exchange.at, by, exchange.id)


def _in(task: Task, operation: Operation, exchange: Exchange, state: str) -> TaskView:
    try:
        return scenarios.view(task, operation, exchange.at, "poll", state=state)
    except StopIteration:
        # A read that lags behind was shown a time when the task was not there yet.
        return scenarios.view(task, operation, exchange.at, "poll")


def told_by_view(
    view: TaskView,
    operation: Operation,
    task: str,
    at: int,
    by: Literal["create", "read", "list", "callback"],
    source: str,
) -> Told:
    """Return what a view of a task says."""
    assert operation.lifecycle is not None
    states = operation.lifecycle.states
    state, output = states[view.phase], view.output
    return Told(
        task=task,
        at=at,
        state=view.phase,
        word=view.state,
        is_known=view.state in states,
        is_final=state.is_final,
        outcome=state.outcome,
        has_url=output is not None and output.url is not None,
        by=by,
        source=source,
    )


def leaves(body: bytes) -> Iterator[str]:
    """Yield the texts of a JSON body, numbers as texts; nothing for what is no JSON."""
    try:
        value = orjson.loads(memoryview(body))
    except orjson.JSONDecodeError:
        return
    yield from _leaves(value)


def _leaves(value: Any) -> Iterator[str]:
    ahead = [value]
    while ahead:
        one = ahead.pop()
        if isinstance(one, dict):
            ahead.extend(one.values())
        elif isinstance(one, list):
            ahead.extend(one)
        elif isinstance(one, str):
            yield one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield str(one)


# --- what asks the same -----------------------------------------------------------------------------------


def _key(exchange: Exchange) -> bytes:
    method = "GET" if exchange.method == "HEAD" else exchange.method
    return _digest(
        *(method.encode(), exchange.path, exchange.query, exchange.account.encode()),
        *_canonical(exchange.body, lambda value: None),
    )


def _wish(exchange: Exchange, operation: Operation | None) -> tuple[bytes, bytes]:
    """Return (what is the same for requests for one video, the client's own names for it).

    Names that have to be new are left out of the first: a client that draws a new one for every attempt asks for
    the same video all the same.
    """
    names: list[bytes] = []

    def without(value: Any) -> None:
        for one in operation.unique if operation is not None else ():
            taken = _take(value, one.pointer)
            if taken is not MISSING:
                names.append(orjson.dumps(taken))

    parts = _canonical(exchange.body, without)
    wish = _digest(exchange.provider.encode(), exchange.path, exchange.account.encode(), *parts)
    return wish, b"\x1f".join(names)


def _take(value: Any, pointer: str) -> Any:
    """Take a member out of a JSON value and return it, MISSING where there is none."""
    *parents, last = parse_pointer(pointer)
    for name in parents:
        value = value.get(name) if isinstance(value, dict) else None
    return value.pop(last, MISSING) if isinstance(value, dict) else MISSING


def _canonical(body: bytes, change: Callable[[Any], None]) -> tuple[bytes, ...]:
    """Return a body as it is the same for all that say the same, changed before."""
    lost = body.digest if isinstance(body, Cut) else b""
    try:
        value = orjson.loads(memoryview(body))
    except orjson.JSONDecodeError:
        return (bytes(body), lost)
    change(value)
    return (orjson.dumps(value, option=orjson.OPT_SORT_KEYS), lost)


def _digest(*parts: bytes) -> bytes:
    out = hashlib.blake2b(digest_size=16)
    for part in parts:
        out.update(b"%d:" % len(part))
        out.update(part)
    return out.digest()
