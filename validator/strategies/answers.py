"""What the provider may answer, and how a task may go: rendered from the contract's own templates.

A stand-in takes the place of the task that a server would remember; its request is a generated one, its price and
its clip are what the capability map says of it.
"""

from __future__ import annotations

import functools
import hashlib
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from validator.check import check, conflict_violation, examine, protocol_violation
from validator.contract.document import nearest
from validator.contract.expressions import MISSING, Json, Scope, find_member, to_text
from validator.contract.model import (
    Contract,
    Evidence,
    HeaderTemplate,
    Identifier,
    Lifecycle,
    Operation,
)
from validator.errors import matches, refuse, render
from validator.keywords import Outcome, outcome
from validator.report import Violation
from validator.request import HttpRequest
from validator.strategies.choices import Chooser, First
from validator.strategies.plans import Explicit, plan_of

_CREATED: Final = 1_790_000_000_000
"""A day in 2026, milliseconds since the epoch."""

_DAY: Final = 86_400_000
_PACES: Final = (100, 10, 250, 1_000)
"""Percent of the time that the spec says a task takes."""

_MEDIA: Final = "https://media.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as a client gets it: `headers` with lower-case names, `body` the bytes and `json` what they say.

    `state` is the one of the task that it shows, None where it shows none; `rule` the finding that it refuses, ""
    for an answer of success; `evidence` says how sure the contract is.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Json
    evidence: Evidence
    state: str | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The life of one task as its client sees it; times in milliseconds from its creation.

    *shape* of `timeline`: pairs (time, state), of `polls`: pairs (time, what a read answers from then on), of
    `callbacks`: pairs (time, the request that the provider sends), unsigned.  `outcome` is success or failure,
    `reason` why it failed: a reason of the lifecycle or the id of a rule, "" for a success.
    """

    request: HttpRequest
    created: Reply
    timeline: tuple[tuple[int, str], ...]
    polls: tuple[tuple[int, Reply], ...]
    callbacks: tuple[tuple[int, HttpRequest], ...]
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    id: str
    url: str
    duration: float
    width: int
    height: int
    fps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What `$task` sees."""

    id: str
    state: str
    phase: str
    operation: str
    request_id: str
    created: int
    updated: int
    expires: int | None
    elapsed: int | None
    cost: float | None
    cost_text: str | None
    price: float | None
    money: float | None
    money_text: str | None
    input: Mapping[str, Json]
    output: _Output | None
    failure: _Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mock:
    base_url: str
    request_id: str
    path: str
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    id: str = "understudy"
    opened: int = _CREATED - _DAY
    total: float = 100
    used: float = 2.5
    remaining: float = 97.5
    money: float = 9.75


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    quota: int = 100
    remaining: int = 99
    reset: int = _CREATED + 60_000
    wait: int = 7_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    id: str
    timestamp: int
    attempt: int = 1
    retry: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A task that was made by a generated request, before it is in any state."""

    creator: Operation
    request: HttpRequest
    body: Json
    inputs: Mapping[str, Json]
    made: Outcome | None
    created: int
    seed: int


@dataclass(slots=True)
class Answers:
    """What constructs the answers of one operation."""

    operation: Operation
    contract: Contract
    creators: tuple[Operation, ...]
    _findings: dict[str, list[tuple[HttpRequest, tuple[Violation, ...]]]] = field(default_factory=dict)

    # --- success ------------------------------------------------------------------------------------------

    def states(self) -> tuple[str, ...]:
        """Return the states an answer of success may show; () for one that shows no single task."""
        if self.operation.role == "list":
            return ()
        if self.operation.role == "create":
            # What is accepted has just begun.
            return tuple(one.lifecycle.initial for one in self.creators if one.lifecycle is not None)
        found = (
            state for one in self.creators if one.lifecycle is not None for state in one.lifecycle.states
        )
        return tuple(dict.fromkeys(found))

    def success(self, chooser: Chooser, state: str | None) -> Reply:
        """Return an answer of success, in a state or in any; raises Impossible."""
        request = plan_of(self.operation).valid(chooser, Explicit(), allows_warnings=False)
        if not self.creators:
            return self._reply(Scope(request=request, body=_json(request)), None)
        if self.operation.role == "list":
            creator = self.creators[chooser.below(len(self.creators))]
            tasks = [
                self._in_some_state(self._job(creator, chooser), chooser) for _ in range(chooser.below(4))
            ]
            return self._reply(Scope(request=request, tasks=tasks), None)
        creators = [one for one in self.creators if one.lifecycle and state in (None, *one.lifecycle.states)]
        creator = creators[chooser.below(len(creators))]
        job = self._job(creator, chooser)
        if self.operation.role == "create":
            request = job.request
        task = self._in_some_state(job, chooser, state)
        return self._reply(Scope(request=request, body=_json(request), task=task), task)

    def _in_some_state(self, job: _Job, chooser: Chooser, state: str | None = None) -> _Task:
        lifecycle = job.creator.lifecycle
        assert lifecycle is not None
        known = self.states() if self.operation.role != "list" else ()
        names = [name for name in lifecycle.states if name in known] or list(lifecycle.states)
        name = names[chooser.below(len(names))] if state is None else state
        failures = list(lifecycle.failures.values())
        message = failures[chooser.below(len(failures))].message if failures else ""
        entered = next((at for at, one in lifecycle.success if one == name), lifecycle.success[-1][0])
        return self.task(job, name, entered, message)

    def _job(self, creator: Operation, chooser: Chooser) -> _Job:
        request = plan_of(creator).valid(chooser, Explicit(), allows_warnings=False)
        return self.job(creator, request, chooser)

    def job(self, creator: Operation, request: HttpRequest, chooser: Chooser) -> _Job:
        """Return the task that a request makes."""
        seen = examine(self.contract, request)
        body = seen.body if isinstance(seen.body, dict) else {}
        made = None
        inputs: dict[str, Json] = {}
        if creator.body is not None:
            made = outcome(creator.body, body, seen.pictures, seen.row)
            for pointer in creator.inputs:
                value = find_member(body, pointer)
                value = creator.body.defaults.get(pointer, MISSING) if value is MISSING else value
                if value is not MISSING:
                    inputs[pointer] = value
        created = _CREATED + chooser.whole(0, _DAY)
        seed = chooser.whole(0, 2**31)
        return _Job(
            creator=creator, request=request, body=body, inputs=inputs, made=made, created=created, seed=seed
        )

    def task(self, job: _Job, state: str, entered: int, failure: str) -> _Task:
        """Return a task in a state that it entered so many milliseconds after its creation."""
        creator, lifecycle = job.creator, job.creator.lifecycle
        assert lifecycle is not None and creator.task_id is not None
        known = lifecycle.states[state]
        task_id = identifier(creator.task_id, f"task {job.seed}", job.created)
        output_id = identifier(creator.output_id or creator.task_id, f"output {job.seed}", job.created)
        price = None if job.made is None else _whole(job.made.cost)
        cost = None
        if price is not None and known.is_final:
            cost = _whole(creator.charge.amount(price, known.outcome))
        money = creator.money
        shape = None if job.made is None else job.made.shape
        output = None
        if known.outcome == "success" and shape is not None:
            output = _Output(
                id=output_id,
                url=f"{_MEDIA}/{task_id}/{output_id}.mp4",
                duration=shape.seconds,
                width=shape.width,
                height=shape.height,
                fps=shape.fps,
            )
        updated = job.created + entered
        expires = lifecycle.result_expires
        return _Task(
            id=task_id,
            state=state,
            phase=state,
            operation=creator.id,
            request_id=_uuid(f"request {job.seed}"),
            created=job.created,
            updated=updated,
            expires=updated + expires if known.is_final and expires is not None else None,
            elapsed=entered if known.is_final else None,
            cost=cost,
            cost_text=_text_of(cost, creator.cost_decimals),
            price=price,
            money=None if money is None or price is None else _whole(money.worth(price)),
            money_text=None
            if money is None or price is None
            else f"{price * money.per_unit:.{money.decimals}f}",
            input=job.inputs,
            output=output,
            failure=_Failure(message=failure) if known.outcome == "failure" else None,
        )

    def _reply(self, scope: Scope, task: _Task | None) -> Reply:
        now = task.updated if task is not None else _CREATED
        self._furnish(scope, now)
        response = self.operation.response
        content = response.contents[0]
        key = None if self.operation.role == "list" or task is None else task.phase
        body = content.bodies[key](scope)
        headers = _headers(response.headers, key, scope)
        return Reply(
            status=response.status,
            headers={"content-type": content.media_type, **headers},
            body=orjson.dumps(body),
            json=body,
            evidence=content.evidence[key],
            state=None if task is None else task.state,
        )

    def _furnish(self, scope: Scope, now: int) -> None:
        """Set what every rendering may ask for."""
        request_id = _uuid(f"{now} {scope.request.path if scope.request else ''}")
        path = scope.request.path if scope.request is not None else ""
        scope.path = {}
        scope.mock = _Mock(base_url=_base(self.contract), request_id=request_id, path=path, now=now)
        scope.account = _Account()
        scope.limit = _Limit()

    # --- refusals -----------------------------------------------------------------------------------------

    def causes(self) -> tuple[str, ...]:
        """Return the ids of the findings that the operation may answer with a refusal."""
        return tuple(self._causes())

    def refusal(self, cause: str, chooser: Chooser) -> Reply:
        """Return an answer to a request with this finding."""
        found = self.found(cause)
        request, violations = found[chooser.below(len(found))]
        scope = Scope(request=request, body=_json(request))
        self._furnish(scope, _CREATED)
        refused = refuse(self.contract, violations, scope, operation=self.operation.id)
        answer = render(refused, scope)
        return Reply(
            status=answer.status,
            headers={
                "content-type": answer.media_type,
                **{name.lower(): value for name, value in answer.headers},
            },
            body=orjson.dumps(answer.body),
            json=answer.body,
            evidence=answer.evidence,
            rule=refused.decisive.rule,
        )

    def _causes(self) -> Mapping[str, Callable[[], list[tuple[HttpRequest, tuple[Violation, ...]]]]]:
        out: dict[str, Callable[[], list[tuple[HttpRequest, tuple[Violation, ...]]]]] = {}
        plan = plan_of(self.operation)
        for finding in self._around():
            out[finding.rule] = functools.partial(self._by_itself, finding)
        effects = {rule.id: rule.effect for rule in self.operation.rules}
        for unique in self.operation.unique:
            out[unique.rule.id] = functools.partial(self._conflict, unique.rule.id)
        for name in plan.rules:
            if effects.get(name) == "reject" and name not in out:
                out[name] = functools.partial(self._rejected, name)
        return out

    def found(self, cause: str) -> list[tuple[HttpRequest, tuple[Violation, ...]]]:
        """Return pairs (request, its findings) for a cause, one for each error case that may answer."""
        if cause not in self._findings:
            self._findings[cause] = self._causes()[cause]()
        return self._findings[cause]

    def _by_itself(self, finding: Violation) -> list[tuple[HttpRequest, tuple[Violation, ...]]]:
        """Return a valid request with a finding that has nothing to do with what is in it."""
        return [(plan_of(self.operation).valid(First(), Explicit(), allows_warnings=False), (finding,))]

    def _conflict(self, rule: str) -> list[tuple[HttpRequest, tuple[Violation, ...]]]:
        request = plan_of(self.operation).smallest(rule, Explicit())
        unique = next(one for one in self.operation.unique if one.rule.id == rule)
        value = find_member(_json(request), unique.pointer)
        return [(request, (conflict_violation(unique.rule, unique.pointer, value),))]

    def _rejected(self, rule: str) -> list[tuple[HttpRequest, tuple[Violation, ...]]]:
        plan = plan_of(self.operation)
        found: dict[str, tuple[HttpRequest, tuple[Violation, ...]]] = {}
        for way in plan.ways(rule):
            request = plan.broken(way, rule, First(), Explicit())
            violations = check(self.contract, request).violations
            decisive = next(one for one in violations if one.effect == "reject")
            case = next(one for one in self.contract.cases if matches(one.when, decisive, self.operation.id))
            found.setdefault(case.pointer, (request, violations))
        return list(found.values())

    def _around(self) -> Iterator[Violation]:
        """Yield the findings that need no rule and that this operation can have."""
        operation = self.operation
        for case in self.contract.cases:
            kind = case.when.kind
            if kind in (None, "invalid", "conflict") or case.when.operation not in (None, operation.id):
                continue
            has = {
                "no-route": False,
                "method-not-allowed": False,
                "unauthorized": bool(operation.credentials),
                "malformed": operation.body is not None,
                "unsupported-media-type": operation.body is not None,
                "too-large": operation.body is not None,
                "not-found": operation.role == "read",
                "quota-exhausted": operation.role == "create",
                "concurrency-exceeded": operation.role == "create",
            }
            if has.get(kind, True):
                yield protocol_violation(
                    self.contract,
                    kind,  # type: ignore[arg-type]
                    case.when.reason or "",
                    found="0" if kind == "unauthorized" else "a",
                    value="0" if kind == "unauthorized" else "a",
                    operation=operation.id,
                )

    # --- lifecycles ---------------------------------------------------------------------------------------

    def reasons(self) -> tuple[str, ...]:
        """Return why a task may fail: the reasons of the lifecycle, and the rules that fail it."""
        lifecycle = self.operation.lifecycle
        if lifecycle is None or lifecycle.failure is None:
            return ()
        return (*lifecycle.failures, *(rule.id for rule in self.operation.rules if rule.effect == "fail"))

    def course(self, chooser: Chooser, explicit: Explicit, reason: str | None) -> Course:
        """Return the life of a task; `reason` is why it fails, "" for a success, None for any.

        Raises Impossible.
        """
        operation, lifecycle = self.operation, self.operation.lifecycle
        assert lifecycle is not None
        if reason is None:
            known = ("", *(one for one in self.reasons() if not self._is_heavy(one)))
            reason = known[chooser.below(len(known))]
        plan = plan_of(operation)
        message = lifecycle.failures[reason].message if reason in lifecycle.failures else ""
        if not reason or reason in lifecycle.failures:
            request = plan.valid(chooser, explicit, allows_warnings=False)
        else:
            ways = plan.ways(reason)
            request = plan.broken(ways[chooser.below(len(ways))], reason, chooser, explicit)
            found = check(self.contract, request).violations
            message = next((one.failure or "" for one in found if one.rule == reason), "")
        timeline = _timeline(
            lifecycle, chooser, reason, is_ruled=bool(reason) and reason not in lifecycle.failures
        )
        job = self.job(operation, request, chooser)
        tasks = [(at, self.task(job, state, at, message)) for at, state in timeline]
        scope = Scope(request=request, body=job.body, task=tasks[0][1])
        reader = self._reader()
        polls = []
        for at, task in tasks:
            asked = HttpRequest(method=reader.operation.method, path=reader.operation.path)
            polls.append((at, reader._reply(Scope(request=asked, task=task), task)))
        return Course(
            request=request,
            created=self._reply(scope, tasks[0][1]),
            timeline=timeline,
            polls=tuple(polls),
            callbacks=tuple(self._callbacks(job, tasks)),
            outcome="failure" if reason else "success",
            reason=reason,
        )

    def _is_heavy(self, reason: str) -> bool:
        """Tell whether a task fails so for a picture of megabytes only, which is drawn where it is asked for."""
        plan = plan_of(self.operation)
        if reason not in plan.rules:
            return False
        pictures = [way.goal.picture for way in plan.ways(reason) if way.goal is not None]
        return any(one is not None and one.fault == "bytes" for one in pictures)

    def _reader(self) -> Answers:
        """Return the answers of the operation that reads the tasks of this one."""
        return answers_of(self.contract.operations[self.operation.links[0].operation])

    def _callbacks(self, job: _Job, tasks: Sequence[tuple[int, _Task]]) -> Iterator[tuple[int, HttpRequest]]:
        for at, task in tasks:
            for callback in self.operation.callbacks:
                scope = Scope(request=job.request, body=job.body)
                url = callback.url(scope)
                if task.state not in callback.states or not isinstance(url, str) or not url.strip():
                    continue
                scope = Scope(task=task)
                self._furnish(scope, task.updated)
                delivery = identifier(callback.id, f"delivery {job.seed} {task.state}", task.updated)
                scope.delivery = _Delivery(id=delivery, timestamp=task.updated)
                headers = _headers(callback.headers, task.state, scope)
                headers = {"content-type": callback.content.media_type, **headers}
                body = orjson.dumps(callback.content.bodies[task.state](scope))
                try:
                    yield at, HttpRequest.from_parts(callback.method, url.strip(), headers=headers, body=body)
                except ValueError:
                    # An address that cannot be taken apart cannot be sent to.
                    continue


def _timeline(
    lifecycle: Lifecycle, chooser: Chooser, reason: str, *, is_ruled: bool
) -> tuple[tuple[int, str], ...]:
    """Return a course: the usual one, the failing one, or a failure on the way, at some pace."""
    pace = _PACES[chooser.below(len(_PACES))]
    course = lifecycle.success
    if reason:
        assert lifecycle.failure is not None
        courses = [lifecycle.failure]
        if not is_ruled:
            # A rule fails a task at once; other reasons may show in any state that can fail.
            for index, (at, state) in enumerate(lifecycle.success[:-1]):
                late = lifecycle.success[index + 1][0] - 1
                courses += [
                    (*lifecycle.success[: index + 1], (late, one.target))
                    for one in lifecycle.transitions
                    if one.event == "failure" and one.source == state and late > at
                ]
        course = courses[chooser.below(len(courses))]
    return tuple((at * pace // 100, state) for at, state in course)


def answers_of(operation: Operation) -> Answers:
    """Return what constructs the answers of an operation; raises ValueError for one without its contract."""
    plan = plan_of(operation)
    contract = operation.family.contract
    if contract is None:
        raise ValueError(f"{operation.id} does not know its contract; take it from load(...).operations")
    if plan.answers is None:
        plan.answers = Answers(operation, contract, tuple(_creators(contract, operation)))
    answers: Answers = plan.answers
    return answers


def _creators(contract: Contract, operation: Operation) -> list[Operation]:
    """Return the operations whose tasks this one answers with."""
    if operation.role == "create":
        return [operation]
    if operation.role == "list":
        return [contract.operations[name] for name in operation.of]
    if operation.role != "read":
        return []
    others = contract.operations.values()
    return [one for one in others if any(link.operation == operation.id for link in one.links)]


def known_state(answers: Answers, state: str) -> str:
    """Return the state, if an answer of the operation can show it; raises ValueError."""
    known = answers.states()
    if state not in known:
        hint = nearest(state, known) or f"known: {', '.join(known) or 'none, it shows no single task'}"
        raise ValueError(f"no answer of {answers.operation.id} shows the state '{state}'; {hint}")
    return state


def known_reason(answers: Answers, reason: str) -> str:
    """Return the reason, if tasks of the operation can fail for it; raises ValueError."""
    known = answers.reasons()
    if reason and reason not in known:
        hint = nearest(reason, known) or f"known: {', '.join(known) or 'none'}"
        raise ValueError(f"no task of {answers.operation.id} fails for '{reason}'; {hint}")
    return reason


# --- parts ------------------------------------------------------------------------------------------------


def identifier(form: Identifier, seed: str, now: int) -> str:
    """Return an id in the provider's form that follows from the seed; `now` in milliseconds dates a snowflake."""
    bits = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=48).digest())
    match form.format:
        case "uuid":
            text = _uuid(seed)
        case "snowflake":
            text = str((max(now - form.epoch, 1) << form.shift) | (bits & ((1 << form.shift) - 1)))
        case "nanoid":
            signs = string.ascii_letters + string.digits + "_-"
            text = "".join(signs[(bits >> (6 * index)) & 63] for index in range(form.length))
        case "hex":
            text = f"{bits & ((1 << 4 * form.length) - 1):0{form.length}x}"
        case "digits":
            least = 10 ** (form.length - 1)
            text = str(least + bits % (9 * least))
    return form.prefix + text


def _uuid(seed: str) -> str:
    text = hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"


def _json(request: HttpRequest) -> Json:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return MISSING


def _base(contract: Contract) -> str:
    return f"https://{contract.hosts[0]}{contract.base_path}"


def _headers(templates: Sequence[HeaderTemplate], state: str | None, scope: Scope) -> dict[str, str]:
    return {
        header.name.lower(): to_text(value)
        for header in templates
        if state in header.values
        and (value := header.values[state](scope)) is not MISSING
        and header.fits(value)
    }


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _text_of(cost: float | None, decimals: int | None) -> str | None:
    if cost is None:
        return None
    return to_text(cost) if decimals is None else f"{cost:.{decimals}f}"
