"""Tasks: look, move."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.answers import ProblemError, ok
from mockserver.admin.bodies import check_known, read_json, read_query
from mockserver.admin.control import Control, Route
from mockserver.tasks import Task, TaskView, follow, media_url, move, reachable
from mockserver.tenants import Tenant
from validator.contract.expressions import Json, iso
from validator.contract.model import Contract


async def get_tasks(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /tasks."""
    asked, contracts = read_query(request, "getTasks"), control.backend.contracts
    check_known("provider", asked["provider"], contracts)
    of = [contracts[asked["provider"]]] if asked["provider"] else contracts.values()
    check_known("state", asked["state"], {state: None for contract in of for state in _states(contract)})
    found = (
        task
        for task in control.backend.store.newest(tenant.name)
        if control.backend.operation_of(task) is not None
        and asked["provider"] in (None, task.provider)
        and (asked["state"] is None or _view(control, tenant, task).state == asked["state"])
    )
    tasks = [_task(control, tenant, task) for task in islice(found, asked["limit"])]
    return ok({"tasks": tasks, "count": control.backend.store.count(tenant.name)})


def _states(contract: Contract) -> Iterator[str]:
    for operation in contract.operations.values():
        yield from operation.lifecycle.states if operation.lifecycle is not None else ()


async def get_task(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /tasks/{id}."""
    return ok(_task(control, tenant, _found_task(control, tenant, request)))


async def move_task(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer PATCH /tasks/{id}."""
    asked = await read_json(request, "Move")
    task = _found_task(control, tenant, request)
    operation = control.backend.contracts[task.provider].operations[task.operation]
    lifecycle, now = operation.lifecycle, tenant.clock.now()
    assert lifecycle is not None
    before = _view(control, tenant, task).state
    if lifecycle.states[before].is_final:
        raise ProblemError(409, "The task has ended", f"it is {before}; a final state is left by nothing")
    if "outcome" in asked:
        states = [name for name, state in lifecycle.states.items() if state.outcome == asked["outcome"]]
        if not states:
            raise ProblemError(
                409, "No such outcome", f"no state of this provider is one of {asked['outcome']}"
            )
        state = states[0]
    else:
        state = asked["state"]
    if state not in lifecycle.states:
        raise ProblemError(409, "No such state", f"known are {', '.join(lifecycle.states)}")
    following = sorted(reachable(lifecycle, before), key=list(lifecycle.states).index)
    if "state" in asked and state not in (before, *following) and not asked.get("force", False):
        raise ProblemError(
            409,
            "Not its course",
            f"from {before} a task comes to {', '.join(following)}; with force it is put into {state} all the same",
        )
    is_failure = lifecycle.states[state].outcome == "failure"
    if "message" in asked and not is_failure:
        raise ProblemError(
            409, "No place for a message", f"a message is shown by failed tasks only, not by {state}"
        )
    move(
        task,
        lifecycle,
        state,
        now,
        failure=asked.get("message", "failed by the admin API") if is_failure else None,
    )
    if control.settings.progress == "time":
        follow(task, lifecycle)
    tenant.altered[task.id] = None
    control.backend.reach(tenant, task)
    control.backend.store.save(tenant.name, task)
    control.events.task_moved(tenant, task)
    control.outbox.replan(tenant, task, operation, now)
    return ok(_task(control, tenant, task))


def _found_task(control: Control, tenant: Tenant, request: Request) -> Task:
    task = control.backend.store.get(tenant.name, request.path_params["id"])
    if task is None or control.backend.operation_of(task) is None:
        raise ProblemError(404, "No such task", f"tenant {tenant.name} has no task of this id")
    return task


def _view(control: Control, tenant: Tenant, task: Task) -> TaskView:
    operation = control.backend.contracts[task.provider].operations[task.operation]
    return TaskView(task, operation, tenant.clock.now())


def _task(control: Control, tenant: Tenant, task: Task) -> dict[str, Json]:
    operation = control.backend.contracts[task.provider].operations[task.operation]
    view = _view(control, tenant, task)
    assert operation.lifecycle is not None
    return {
        "id": task.id,
        "provider": task.provider,
        "operation": task.operation,
        "account": task.account,
        "request": task.request_id,
        "state": view.state,
        "outcome": operation.lifecycle.states[view.state].outcome,
        "created": iso(task.created),
        "updated": iso(view.updated),
        "timeline": [{"at": iso(task.created + at), "state": state} for at, state in task.timeline],
        "failure": task.failure,
        "price": view.price,
        "result": media_url(task, operation) if view.output is not None else None,
        "rules": list(task.rules),
        "deliveries": [one.id for one in control.backend.store.deliveries_of(tenant.name, task.id)],
    }


ROUTES: Final[tuple[Route, ...]] = (
    ("GET", "/tasks", get_tasks),
    ("GET", "/tasks/{id}", get_task),
    ("PATCH", "/tasks/{id}", move_task),
)
