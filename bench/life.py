"""Start, stop and imports: each a process from nothing, in alternating rounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from bench.machine import Server, seconds_of, start_echo, start_ours
from bench.table import median, print_table, spread, verdict

START_MS: Final = 500
STOP_MS: Final = 50

_SERVERS: Final[dict[str, tuple[Callable[[], Server], bool]]] = {
    # Name to (what starts it, whether it is ours).
    "understudy, four providers": (start_ours, True),
    "understudy, one provider": (partial(start_ours, "--provider", "kling"), True),
    "uvicorn, constant answer": (partial(start_echo, "raw"), False),
    "Starlette, JSON echo": (partial(start_echo, "echo"), False),
}

_IMPORTED: Final = (
    "validator",
    "mockserver.cli",
    "mockserver.server",
    "mockserver.admin",
    "starlette.applications",
    "uvicorn",
    "jsonschema_rs",
    "jsonschema",
    "yaml",
    "PIL.Image",
    "httpx",
    "av",
)


def run(*, rounds: int) -> None:
    """Measure, and print two tables."""
    starts: dict[str, list[float]] = {name: [] for name in _SERVERS}
    stops: dict[str, list[float]] = {name: [] for name in _SERVERS}
    for _ in range(rounds):
        for name, (make, _) in _SERVERS.items():
            server = make()
            starts[name].append(server.seconds)
            stops[name].append(server.stop())
    rows = []
    for what, times, aim in (
        ("start to first answer", starts, START_MS),
        ("stop to end of process", stops, STOP_MS),
    ):
        rows += [
            _row(f"{what}: {name}", times[name], aim if is_ours else None)
            for name, (_, is_ours) in _SERVERS.items()
        ]
    print_table("Start and stop, milliseconds", ["what", "median", "rounds", "aim", ""], rows)
    _imports(rounds)


def _imports(rounds: int) -> None:
    bare: list[float] = []
    times: dict[str, list[float]] = {name: [] for name in _IMPORTED}
    for _ in range(rounds):
        bare.append(seconds_of(""))
        for name in _IMPORTED:
            times[name].append(seconds_of(f"import {name}"))
    rows = [["the interpreter alone", f"{median(bare) * 1000:,.0f}"]]
    rows += [[name, f"{(median(taken) - median(bare)) * 1000:,.0f}"] for name, taken in times.items()]
    print_table(
        "Imports, milliseconds",
        ["module", "median"],
        rows,
        note="Each alone, with all it needs, less the interpreter. A start does not need mockserver.admin, httpx "
        "and av; they come with the first call that does.",
    )


def _row(name: str, seconds: list[float], aim_ms: int | None) -> list[str]:
    middle = median(seconds) * 1000
    return [
        name,
        f"{middle:,.0f}",
        spread(seconds),
        f"under {aim_ms}" if aim_ms else "",
        verdict(middle < aim_ms) if aim_ms else "",
    ]
