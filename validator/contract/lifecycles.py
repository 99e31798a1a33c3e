"""Lifecycles: the states of a task, what leads from one to the next, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from validator.contract.document import nearest
from validator.contract.durations import milliseconds
from validator.contract.expressions import Json
from validator.contract.model import Failure, Lifecycle, State, Transition
from validator.contract.raw import RawOperation
from validator.contract.trees import Path
from validator.contract.workbench import Workbench


def compile_lifecycle(bench: Workbench, raw: RawOperation) -> Lifecycle:
    """Compile the lifecycle of a create operation; raises SpecError for an unsound one."""
    word, at = bench.document.resolve(
        raw.task["lifecycle"],
        (*raw.at, "x-task", "lifecycle"),
        needs=("initial", "states", "transitions", "source", "evidence"),
    )
    states = {
        name: State(name=name, is_final=state.get("final", False), outcome=state.get("outcome"))
        for name, state in word["states"].items()
    }
    transitions = tuple(
        Transition(
            source=one["source"],
            target=one["target"],
            after=milliseconds(one["after"]) if "after" in one else None,
            event=one.get("event"),
        )
        for one in word["transitions"]
    )
    _check_lifecycle(bench, word, states, transitions, at)
    result = word.get("result")
    name = str(at[-1])
    bench.statements.add("lifecycle", name, " -> ".join(states), word, at)
    success = _course(word["initial"], transitions, states)
    return Lifecycle(
        name=name,
        initial=word["initial"],
        states=states,
        transitions=transitions,
        success=success,
        failure=_failing_course(success, transitions),
        retention=milliseconds(word["retention"]) if "retention" in word else None,
        result_expires=milliseconds(result["expires"]) if result else None,
        result_status=result["status"] if result else 404,
        failures=_failures(bench, word, at),
        source=word["source"],
        evidence=word["evidence"],
    )


def _failures(bench: Workbench, word: Mapping[str, Json], at: Path) -> Mapping[str, Failure]:
    out = {}
    for reason, one in word.get("failures", {}).items():
        bench.statements.add("failure", reason, one["message"], one, (*at, "failures", reason))
        out[reason] = Failure(
            reason=reason,
            message=one["message"],
            source=one["source"],
            evidence=one["evidence"],
        )
    return out


def _check_lifecycle(
    bench: Workbench,
    word: Mapping[str, Json],
    states: Mapping[str, State],
    transitions: Sequence[Transition],
    at: Path,
) -> None:
    error = bench.document.error
    named = [word["initial"], *(t.source for t in transitions), *(t.target for t in transitions)]
    for name in named:
        if name not in states:
            raise error(f"state '{name}' does not exist", at, hint=nearest(name, states))
    for state in states.values():
        leaves = [t for t in transitions if t.source == state.name]
        if state.is_final and leaves:
            raise error(f"state '{state.name}' is final, but a transition leaves it", at)
        if not state.is_final and not leaves:
            raise error(f"state '{state.name}' is not final, but nothing leaves it", at)
        if len([t for t in leaves if t.event is None]) > 1:
            raise error(f"two transitions leave '{state.name}' by themselves", at)
    reached = {word["initial"]}
    for _ in states:
        reached |= {t.target for t in transitions if t.source in reached}
    for name in states:
        if name not in reached:
            raise error(f"state '{name}' cannot be reached", at)
    course = _course(word["initial"], transitions, states)
    if states[course[-1][1]].outcome != "success":
        raise error("the course of time does not end in a success", at)


def _course(
    initial: str, transitions: Sequence[Transition], states: Mapping[str, State]
) -> tuple[tuple[int, str], ...]:
    """Return the states time alone leads through, each with when it is entered."""
    at, state = 0, initial
    out = [(at, state)]
    while len(out) <= len(states):
        step = next((t for t in transitions if t.source == state and t.event is None), None)
        if step is None:
            break
        at, state = at + (step.after or 0), step.target
        out.append((at, state))
    return tuple(out)


def _failing_course(
    success: tuple[tuple[int, str], ...], transitions: Sequence[Transition]
) -> tuple[tuple[int, str], ...] | None:
    """Return the course of a task that fails by itself: the usual one up to the first timed failure."""
    for index, (at, state) in enumerate(success):
        for step in transitions:
            if step.source == state and step.event == "failure" and step.after is not None:
                return (*success[: index + 1], (at + step.after, step.target))
    return None
