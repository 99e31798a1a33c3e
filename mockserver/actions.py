"""What an operation does once its request was judged: create a task, read one, list them.

Each returns what there is to render, or the finding that stands against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from mockserver import scenarios
from mockserver.callbacks import Outbox
from mockserver.plans import Lot
from mockserver.receivers import LONGEST_ADDRESS
from mockserver.recordings import digest_of
from mockserver.replays import Replays
from mockserver.scenarios import ScenarioError, Story, Values
from mockserver.store import Account
from mockserver.tasks import Task, initial_timeline, kept_inputs, move, next_state, state_at
from mockserver.tenants import Backend, Tenant
from mockserver.wallets import SLACK
from validator.check import Examination, conflict_violation, protocol_violation
from validator.contract.expressions import MISSING, Json, Scope, find_member, to_text
from validator.contract.model import Contract, Lifecycle, Operation
from validator.keywords import Outcome, outcome
from validator.report import Violation

MOST_KEPT: Final = 64 * 1024
"""Bytes of a request that are kept with its task, for answers that repeat them."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One way to find a task by the parameter of a read: its id, or the member it was filed under.

    `operations` are the ids of the operations whose tasks are found so.
    """

    pointer: str | None
    operations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a read operation finds its task: in which parameter, and by which look-ups in turn."""

    parameter: str
    place: str
    lookups: tuple[Lookup, ...]


def readings(contract: Contract) -> Mapping[str, Reading]:
    """Return how each read operation finds its task, gathered from the links of those that create."""
    found: dict[str, tuple[str, str, dict[str | None, set[str]]]] = {}
    for create in contract.operations.values():
        for link in create.links:
            pointer = None if link.is_task_id else link.pointer
            _, _, lookups = found.setdefault(link.operation, (link.parameter, link.place, {}))
            lookups.setdefault(pointer, set()).add(create.id)
    return {
        name: Reading(
            parameter=parameter,
            place=place,
            lookups=tuple(
                Lookup(pointer=pointer, operations=frozenset(ids)) for pointer, ids in lookups.items()
            ),
        )
        for name, (parameter, place, lookups) in found.items()
    }


class Caller(Protocol):
    """Who asks, when, and through which URL, and how large the body is; times in milliseconds, sizes in bytes."""

    @property
    def tenant(self) -> Tenant: ...
    @property
    def account(self) -> str: ...
    @property
    def now(self) -> int: ...
    @property
    def request_id(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def media_base(self) -> str: ...
    @property
    def lot(self) -> Lot | None: ...
    @property
    def size(self) -> int: ...

    note: str
    """What is to be said about the request beside its answer."""


def create(
    backend: Backend,
    outbox: Outbox,
    contract: Contract,
    operation: Operation,
    examination: Examination,
    caller: Caller,
    scope: Scope,
) -> Task | Violation:
    """Make a task and plan its callbacks, or return what stands against it.

    In the order of judgement: uniqueness, credits, concurrency.
    """
    tenant, now, store = caller.tenant, caller.now, backend.store
    body: dict[str, Any] = examination.body if isinstance(examination.body, dict) else {}
    names: dict[str, str] = {}
    for one in operation.unique:
        value = find_member(body, one.pointer)
        if value is MISSING:
            continue
        text = to_text(value)
        holder = store.find(tenant.name, caller.account, one.pointer, text)
        if holder is not None and not _is_gone(contract, holder, now):
            return conflict_violation(one.rule, one.pointer, value)
        names[one.pointer] = text
    made = (
        outcome(operation.body, body, examination.pictures, examination.row)
        if operation.body is not None and operation.body.capabilities is not None
        else None
    )
    account = store.account(tenant.name, caller.account, now)
    refused = _against_limits(backend, contract, operation, caller, account, made.cost if made else None)
    if refused is not None:
        return refused
    if store.count() >= backend.settings.max_tasks:
        return protocol_violation(contract, "unavailable", "store-full", operation=operation.id)
    for link in operation.links:
        if not link.is_task_id and (value := link.evaluate(scope)) is not MISSING:
            names[link.pointer] = to_text(value)
    task = _new_task(backend, operation, examination, caller, made, body)
    task.hooks = _hooks(operation, scope)
    if caller.size > MOST_KEPT and (kept := _kept_bytes(task, names)) > MOST_KEPT:
        return protocol_violation(
            contract,
            "too-large",
            found=f"{kept:,} bytes that answers repeat",
            allowed=f"at most {MOST_KEPT:,} bytes of them",
            operation=operation.id,
        )
    if backend.replays is not None:
        _play(
            backend.replays,
            operation,
            examination,
            task,
            caller,
            is_timed=backend.settings.progress == "time",
        )
    if caller.lot is not None and (asked := caller.lot.task_scenarios()):
        _give_scenarios(backend, contract, operation, task, asked, caller.lot)
    backend.reach(tenant, task)
    backend.wallets.forget(tenant.name, caller.account, operation, now)
    store.add(tenant.name, task, tuple(names.items()))
    backend.wallets.hold(tenant.name, task)
    if task.hooks:
        outbox.plan(tenant, task, operation)
    return task


def _kept_bytes(task: Task, names: Mapping[str, str]) -> int:
    """Return the size of what a task keeps of a request: pictures are not among it."""
    texts = [*names.values(), *(url for _, url in task.hooks)]
    return len(orjson.dumps(task.input)) + sum(map(len, texts))


def _new_task(
    backend: Backend,
    operation: Operation,
    examination: Examination,
    caller: Caller,
    made: Outcome | None,
    body: Mapping[str, Json],
) -> Task:
    tenant, now = caller.tenant, caller.now
    assert operation.lifecycle is not None and operation.task_id is not None
    findings = examination.report.violations
    failing = next((one for one in findings if one.effect == "fail"), None)
    return Task(
        id=backend.new_id(tenant, operation.task_id, now),
        provider=examination.report.provider,
        operation=operation.id,
        account=caller.account,
        request_id=caller.request_id,
        created=now,
        timeline=initial_timeline(
            operation.lifecycle,
            is_failing=failing is not None,
            is_timed=backend.settings.progress == "time",
        ),
        input=kept_inputs(operation, body),
        price=made.cost if made is not None else None,
        shape=made.shape if made is not None else None,
        failure=None if failing is None else failing.failure or failing.message,
        base=caller.base_url,
        media_base=caller.media_base,
        rules=tuple(one.rule for one in findings) if findings else (),
        is_charged=operation.charge.at_create,
    )


def _play(
    replays: Replays,
    operation: Operation,
    examination: Examination,
    task: Task,
    caller: Caller,
    *,
    is_timed: bool,
) -> None:
    """Let a new task take the course of a recorded one, where there is one for it."""
    digest, played = digest_of(examination.body), caller.tenant.played
    found = replays.find(task.provider, operation.id, digest, played, is_failing=task.failure is not None)
    if found is None:
        caller.note = "no recorded task is left for it"
        return
    recorded, why = found
    task.course, task.failure = recorded.course, recorded.failure
    task.timeline = recorded.course if is_timed else recorded.course[:1]
    caller.note = f"replays {recorded} ({why})"


def _give_scenarios(
    backend: Backend,
    contract: Contract,
    operation: Operation,
    task: Task,
    asked: Mapping[str, Values],
    lot: Lot,
) -> None:
    """Let a new task meet what it was asked to; what it cannot meet is noted."""
    lifecycle = operation.lifecycle
    assert lifecycle is not None
    is_timed = backend.settings.progress == "time"
    hooked = {name for name, _ in task.hooks}
    told = [state for one in operation.callbacks if one.name in hooked for state in one.states]
    story = Story(
        lifecycle=lifecycle,
        course=task.course or initial_timeline(lifecycle, is_failing=task.failure is not None, is_timed=True),
        told=frozenset(told),
        reasons=scenarios.reasons(contract, lifecycle),
        failure=task.failure,
    )
    given: dict[str, Values] = {}
    for name, values in asked.items():
        scenario = scenarios.find(name)
        why = ""
        if scenario.is_of_callbacks and not task.hooks:
            why = "the request names no address for callbacks"
        if scenario.needs_time and not is_timed:
            why = "no task moves by time here"
        if scenario.needs == "signature" and not _is_signed(backend, contract, operation):
            why = "callbacks are not signed here; --webhook-secret turns that on"
        try:
            changed = scenario.course(story, values) if scenario.course is not None and not why else story
            if not is_timed and changed != story and _same_but_for_times(changed, story):
                why = "no task moves by time here"
            else:
                story = changed
        except ScenarioError as error:
            why = str(error)
        if why:
            lot.leave_out(name, why)
            continue
        given[name] = values
        if scenario.waits_for_news:
            lot.news_s = float(values["seconds"])
    task.scenarios, task.failure = given, story.failure
    if given:
        task.course = story.course
        task.timeline = story.course if is_timed else story.course[:1]
    lot.met += [one for one in lot.wishes.values() if one.scenario.name in given]


def _is_signed(backend: Backend, contract: Contract, operation: Operation) -> bool:
    signatures = [one.signature for one in operation.callbacks if one.signature is not None]
    return any(one.is_always for one in signatures) or (
        bool(signatures) and contract.id in backend.settings.secrets
    )


def _same_but_for_times(one: Story, other: Story) -> bool:
    states = [[state for _, state in story.course] for story in (one, other)]
    return states[0] == states[1] and one.failure == other.failure


def _hooks(operation: Operation, scope: Scope) -> tuple[tuple[str, str], ...]:
    hooks = []
    for callback in operation.callbacks:
        url = callback.url(scope)
        if isinstance(url, str) and url.strip():
            # One that is too long is refused when it is to be called, so that the ledger tells of it; no more is kept
            # of it than shows that.
            hooks.append((callback.name, url.strip()[: LONGEST_ADDRESS + 1]))
    return tuple(hooks)


def _against_limits(
    backend: Backend,
    contract: Contract,
    operation: Operation,
    caller: Caller,
    account: Account,
    price: float | None,
) -> Violation | None:
    tenant, wallets = caller.tenant, backend.wallets
    key = (tenant.name, caller.account, account, caller.now)
    quotas = backend.quotas_of(tenant, caller.account)
    wallets.settle(*key)
    if price is not None and (credits := quotas.credits) is not None and credits.is_enforced:
        # What has failed since may have been let go of; whoever has enough without it need not look.
        if price > credits.quota - account.spent + SLACK:
            wallets.settle_all(*key)
        left = credits.quota - account.spent
        if price > left + SLACK:
            return protocol_violation(
                contract,
                "quota-exhausted",
                found=f"{price:g} needed",
                allowed=f"{max(left, 0):g} left of {credits.quota:g}",
                operation=operation.id,
            )
    if price is not None and (refused := _against_budget(backend, contract, operation, caller, price)):
        return refused
    running = quotas.running
    if running is None or not running.is_enforced or len(account.open) < running.quota:
        return None
    wallets.settle_all(*key)
    if len(account.open) < running.quota:
        return None
    return protocol_violation(
        contract,
        "concurrency-exceeded",
        found=f"{len(account.open)} running",
        allowed=f"at most {running.quota:g}",
        operation=operation.id,
    )


def _against_budget(
    backend: Backend, contract: Contract, operation: Operation, caller: Caller, price: float
) -> Violation | None:
    """Return the finding that the tenant may not spend that much, in which the run's costs stand."""
    tenant = caller.tenant
    budget = backend.budget_of(tenant, contract.id)
    if budget is None:
        return None
    spent = backend.wallets.spent(tenant.name, contract.id)
    if price > budget - spent + SLACK:
        # What has failed since is let go of first.
        backend.wallets.settle_tenant(tenant.name, contract.id, caller.now)
        spent = backend.wallets.spent(tenant.name, contract.id)
    if price <= budget - spent + SLACK:
        return None
    return protocol_violation(
        contract,
        "quota-exhausted",
        "budget",
        found=f"{price:g} for this task, {round(spent + price, 8):g} for the run with it",
        allowed=f"a budget of {budget:g}, of which {spent:g} are spent",
        operation=operation.id,
    )


def read(
    backend: Backend,
    outbox: Outbox,
    contract: Contract,
    operation: Operation,
    reading: Reading,
    value: str,
    caller: Caller,
) -> Task | Violation:
    """Return the account's task of this id or name, or the finding that there is none."""
    store, tenant = backend.store, caller.tenant
    for lookup in reading.lookups:
        if lookup.pointer is None:
            task = store.get(tenant.name, value)
        else:
            task = store.find(tenant.name, caller.account, lookup.pointer, value)
        if task is None or task.account != caller.account or task.operation not in lookup.operations:
            continue
        if task.scenarios and _is_hidden(backend, tenant, task):
            break
        if _is_gone(contract, task, caller.now):
            return protocol_violation(
                contract, "not-found", "expired", found=value[:80], value=value, operation=operation.id
            )
        if backend.settings.progress == "polls":
            lifecycle = contract.operations[task.operation].lifecycle
            assert lifecycle is not None
            _count_read(backend, outbox, contract, task, lifecycle, caller)
        return task
    return protocol_violation(contract, "not-found", found=value[:80], value=value, operation=operation.id)


def _is_hidden(backend: Backend, tenant: Tenant, task: Task) -> bool:
    """Tell whether a read of a task with scenarios is to find nothing, and count it if so."""
    if not scenarios.is_hidden(task):
        return False
    task.lookups += 1
    backend.store.save(tenant.name, task)
    return True


def _is_gone(contract: Contract, task: Task, now: int) -> bool:
    """Tell whether the provider keeps a task no longer; the store drops it when it next looks."""
    lifecycle = contract.operations[task.operation].lifecycle
    assert lifecycle is not None
    return lifecycle.retention is not None and now > task.created + lifecycle.retention


def _count_read(
    backend: Backend,
    outbox: Outbox,
    contract: Contract,
    task: Task,
    lifecycle: Lifecycle,
    caller: Caller,
) -> None:
    """Count one read of a task that reads move, and move it when it was read often enough."""
    _, state = state_at(task.timeline, caller.now - task.created)
    if lifecycle.states[state].is_final:
        return
    task.reads += 1
    if task.reads % backend.settings.polls_per_step == 0:
        after = next_state(task, lifecycle, state)
        if after is not None:
            move(task, lifecycle, after, caller.now)
            outbox.replan(caller.tenant, task, contract.operations[task.operation], caller.now)
    backend.store.save(caller.tenant.name, task)


_MOST: Final = 2**40
"""More than any list has, and as much as every store can count."""


def _counted(value: Json, usual: int, *, least: int) -> int:
    """Return what a parameter of a list says, the usual number where it says none: its rule may only warn."""
    try:
        found = int(value) if isinstance(value, int | float | str) else usual
    except (ValueError, OverflowError):
        return usual
    return found if found >= least else usual


def list_tasks(
    backend: Backend,
    contract: Contract,
    operation: Operation,
    parameters: Mapping[str, Json],
    caller: Caller,
) -> list[Task] | Violation:
    """Return one page of the account's tasks, newest first, or the finding that there is none."""
    page = operation.page
    number, size = 1, 20
    if page is not None:
        number = _counted(parameters.get(page.number), 1, least=1)
        size = _counted(parameters.get(page.size), page.default_size, least=0)
    store, tenant = backend.store, caller.tenant
    for name in operation.of:
        backend.wallets.forget(tenant.name, caller.account, contract.operations[name], caller.now)
    tasks = store.page(
        tenant.name, caller.account, operation.of, min((number - 1) * size, _MOST), min(size, _MOST)
    )
    is_empty = not tasks and operation.when_empty == "not-found"
    if is_empty and not store.page(tenant.name, caller.account, operation.of, 0, 1):
        return protocol_violation(contract, "not-found", "empty", operation=operation.id)
    return tasks
