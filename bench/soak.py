"""A million tasks through one running server: what it holds, how fast it makes them, how long a reader waits."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from bench.bodies import PROVIDERS, Provider
from bench.load import Load
from bench.machine import Server, running, send, start_ours
from bench.rates import create_load, id_of
from bench.table import median, print_table, verdict

ROWS: Final = 20
"""Lines of a curve."""

READS: Final = 2_000
"""Reads beside the creates of a line: one after the other, so that each waits for its answer."""

TASK_KB: Final = 1.5
LEVEL: Final = 1.1
"""How far memory may rise over the second half of a run that forgets, and still count as level."""

BAR: Final = 24
"""Characters of the longest bar."""

KEPT_LINES: Final = 4
"""Lines of the second curve after which a task is forgotten, at the pace of the first one."""

_KEPT_BY: Final = PROVIDERS["kling"]
_FORGOTTEN_BY: Final = PROVIDERS["modellix"]
"""The one with the shortest retention, a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The server after so many tasks: memory in bytes, creates a second, what a read took beside them."""

    tasks: int
    kept: int
    rss: int
    rate: float
    p50_us: float
    p99_us: float


def run(*, tasks: int) -> None:
    """Print the curve of a server that keeps everything, and of one whose tasks pass their retention."""
    with running(start_ours("--log", "off")) as server:
        points = list(_curve(server, _KEPT_BY, tasks))
    first, last = points[0], points[-1]
    each = (last.rss - first.rss) / max(last.kept - first.kept, 1) / 1000
    _print(
        f"Soak: {tasks:,} tasks, all of them kept",
        points,
        f"Growth for each task that is kept: {each:.2f} kB, under {TASK_KB} kB: {verdict(each < TASK_KB)}.",
    )
    pace = median([point.rate for point in points])
    kept_s = max(KEPT_LINES * tasks / 2 / ROWS / pace, 6.0)
    with running(start_ours("--log", "off", "--speed", f"{86_400 / kept_s:g}")) as server:
        points = list(_curve(server, _FORGOTTEN_BY, tasks // 2))
    half = points[len(points) // 2 - 1]
    rise = points[-1].rss / half.rss
    _print(
        f"Soak: {tasks // 2:,} tasks, each forgotten after {kept_s:.0f} s",
        points,
        f"The clock runs so fast that the provider's day of retention passes meanwhile. From the middle to the end "
        f"memory grew to {rise:.2f} times, at most {LEVEL}: {verdict(rise <= LEVEL)}.",
    )


def _curve(server: Server, provider: Provider, tasks: int) -> Iterator[Point]:
    """Make tasks in equal steps, and yield what was measured with each."""
    create = create_load(provider, server.port)
    step = tasks // ROWS
    # What fills once and is bounded, the journal before all, is filled before anything is measured.
    send(replace(create, count=2_000))
    with ThreadPoolExecutor(1) as beside:
        for number in range(1, ROWS + 1):
            young = str(send(replace(create, connections=1, count=1))["last"])
            # On a busy machine the task may be forgotten before the last read of it; that is an answer, too.
            reads = _read_load(create, provider, id_of(provider, young))
            reading = beside.submit(send, reads, takes_refusals=True)
            made = send(replace(create, count=step))
            read = reading.result()
            health = server.ask("GET", "/__admin/health")
            yield Point(
                tasks=number * step,
                kept=int(health["tasks"]),
                rss=server.rss_bytes,
                rate=made["count"] / made["seconds"],
                p50_us=float(read["p50_us"]),
                p99_us=float(read["p99_us"]),
            )


def _read_load(create: Load, provider: Provider, task: str) -> Load:
    name, value = provider.header
    target = provider.read.format(id=task)
    return replace(
        create, method="GET", body="", headers={name: value}, target=target, connections=1, count=READS
    )


def _print(title: str, points: list[Point], note: str) -> None:
    most = max(point.rss for point in points)
    rows = [
        [
            f"{point.tasks:,}",
            f"{point.kept:,}",
            f"{point.rss / 1e6:,.0f}",
            ("#" * round(BAR * point.rss / most)).ljust(BAR),
            f"{point.rate:,.0f}",
            f"{point.p50_us / 1000:,.2f}",
            f"{point.p99_us / 1000:,.2f}",
        ]
        for point in points
    ]
    print_table(
        title,
        ["made", "kept", "MB", "memory", "creates/s", "read p50 ms", "p99 ms"],
        rows,
        note=note
        + f"\n{READS:,} reads go one after the other beside the creates of each line, which come over 16 "
        "connections.",
    )
