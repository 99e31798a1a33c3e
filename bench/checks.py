"""Microseconds per call of the validator, parsing of the body included."""

from __future__ import annotations

import functools
import gc
import timeit
from collections.abc import Callable
from typing import Final

import orjson

from bench.bodies import PROVIDERS, Provider, small, with_picture, with_points, wrong
from bench.table import median, print_table, verdict
from validator import HttpRequest, check, load

CASES: Final[dict[str, tuple[Callable[[Provider], bytes], float | None]]] = {
    # Name to (what makes the body, the aim in microseconds).
    "small, valid": (small, 15),
    "40 kB, a picture": (with_picture, 250),
    "40 kB, points": (with_points, 250),
    "invalid, all errors": (wrong, None),
}


def run(*, seconds: float, rounds: int) -> None:
    """Measure every case of every provider, in alternating rounds, and print the medians."""
    contracts = {name: load(name) for name in PROVIDERS}
    calls = {
        (name, case): (contracts[name], _request(provider, make(provider)))
        for name, provider in PROVIDERS.items()
        for case, (make, _) in CASES.items()
    }
    whole: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    reading: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    gc.collect()
    for _ in range(rounds):
        for key, (contract, request) in calls.items():
            whole[key].append(_per_call(functools.partial(check, contract, request), seconds))
            reading[key].append(_per_call(functools.partial(orjson.loads, request.body), seconds / 4))
    rows = []
    for (name, case), (contract, request) in calls.items():
        count = len(check(contract, request).violations)
        times, aim = whole[name, case], CASES[case][1]
        rows.append(
            [
                f"{name}: {case}",
                f"{len(request.body):,}",
                f"{count}",
                f"{median(times) * 1e6:,.1f}",
                f"{min(times) * 1e6:,.1f}",
                f"{median(reading[name, case]) * 1e6:,.1f}",
                f"under {aim:g}" if aim else "",
                verdict(median(times) * 1e6 < aim) if aim else "",
            ]
        )
    print_table(
        "Validator, microseconds per call",
        ["check", "bytes", "findings", "median", "best", "of it JSON", "aim", ""],
        rows,
        note="A whole request each: route, credential, JSON, schema, rules, capabilities, pictures.",
    )


def _request(provider: Provider, body: bytes) -> HttpRequest:
    name, value = provider.header
    path = provider.create.removeprefix(f"/{provider.id}")
    headers = {name: value, "Content-Type": "application/json"}
    return HttpRequest.from_parts("POST", path, headers=headers, body=body)


def _per_call(call: Callable[[], object], seconds: float) -> float:
    """Return the seconds of one call, over about so many seconds."""
    timer = timeit.Timer(call)
    once = timer.timeit(3) / 3
    number = max(3, int(seconds / once))
    return timer.timeit(number) / number
