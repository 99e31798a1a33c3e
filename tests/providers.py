"""The contracts under test, compiled once: the toy, and every provider of the library."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mockserver.ids import Dice
from validator.contract import Contract, load, provider_names
from validator.contract.model import Identifier, Operation
from validator.contract.plain import plain

TOY = Path(__file__).parent / "toy.yaml"
LIBRARY = provider_names()


@functools.cache
def contract(name: str) -> Contract:
    """Return the contract of a provider, "toy" included."""
    return load(TOY if name == "toy" else name)


@functools.cache
def reading(name: str, variants: tuple[str, ...]) -> Contract:
    """Return the contract with these variants applied."""
    return load(TOY if name == "toy" else name, variants=variants)


def readings(name: str) -> list[tuple[str, ...]]:
    """Return the variants of a provider: none, each alone, and all together."""
    known = [variant.name for variant in contract(name).variants]
    return [(), *((one,) for one in known), *([tuple(known)] if len(known) > 1 else [])]


@functools.cache
def strict_contract(name: str) -> Contract:
    """Return the contract with every rule that is off made to reject, so that it can be tried."""
    off = {rule.id: "reject" for rule in contract(name).rules.values() if rule.effect == "off"}
    return load(TOY if name == "toy" else name, effects=off)  # type: ignore[arg-type]


@functools.cache
def plain_contract(name: str, *, is_strict: bool = False) -> dict[str, Any]:
    """Return the plain document of a contract, or of the one with nothing off."""
    return plain(strict_contract(name) if is_strict else contract(name))


def mock_view(**changes: Any) -> SimpleNamespace:
    """Return what `$mock` sees."""
    known = {
        "base_url": "http://127.0.0.1:8700/toy",
        "request_id": "690fe91b-2f0a-4d5b-9f57-5f0b4b8e8a01",
        "path": "/path",
        "now": 1_764_945_990_569,
    }
    return SimpleNamespace(**(known | changes))


def task_view(
    operation: Operation, state: str, *, inputs: Mapping[str, Any] | None = None
) -> SimpleNamespace:
    """Return a task in a state, as templates see it, with everything that state can have."""
    assert operation.lifecycle is not None
    known = operation.lifecycle.states[state]
    is_success, is_failure = known.outcome == "success", known.outcome == "failure"
    task_id, output_id = sample_id(operation.task_id), sample_id(operation.output_id or operation.task_id)
    return SimpleNamespace(
        id=task_id,
        state=state,
        phase=state,
        operation=operation.id,
        request_id="690fe91b-2f0a-4d5b-9f57-5f0b4b8e8a01",
        created=1_764_945_900_000,
        updated=1_764_945_980_000,
        expires=1_765_032_300_000,
        elapsed=80_000 if known.is_final else None,
        cost=2.5 if is_success else 0 if is_failure else None,
        cost_text=_cost_text(operation, 2.5 if is_success else 0) if known.is_final else None,
        price=2.5,
        money=0.35,
        money_text=f"{0.35:.{operation.money.decimals if operation.money else 2}f}",
        input=dict(inputs or {}),
        output=SimpleNamespace(
            id=output_id,
            url=f"http://127.0.0.1:8700/__media/{task_id}/{output_id}.mp4",
            duration=5.041,
            width=1280,
            height=720,
            fps=24,
        )
        if is_success
        else None,
        failure=SimpleNamespace(message="Image pixel is invalid", code=None) if is_failure else None,
    )


def _cost_text(operation: Operation, cost: float) -> str:
    decimals = operation.cost_decimals
    return f"{cost:g}" if decimals is None else f"{cost:.{decimals}f}"


def sample_id(form: Identifier | None) -> str:
    """Return an id as an operation writes it."""
    assert form is not None
    return Dice(1, "default").id(form, 1_764_945_900_000)
