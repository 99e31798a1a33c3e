"""What tasks cost once there are many: memory, and the first page of a list."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.bodies import PROVIDERS
from bench.load import Load
from bench.machine import Server, running, send, start_ours
from bench.rates import create_load
from bench.table import print_table, verdict

IDLE_MB: Final = 80
TASK_KB: Final = 1.5
SAME: Final = 1.25
"""How far the first page may grow and still count as the same: what two measurements of one thing differ by."""

FEW: Final = 100
_KLING: Final = PROVIDERS["kling"]


def run(*, tasks: int) -> None:
    """Measure with so many tasks, and print a table."""
    rows = []
    for store in ("memory", "SQLite"):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            place = "memory" if store == "memory" else f"sqlite:///{Path(folder) / 'many.db'}"
            server = stack.enter_context(running(start_ours("--log", "off", "--store", place)))
            rows += _grow(server, store, tasks)
    print_table("Growth", ["what", "measured", "aim", ""], rows)


def _grow(server: Server, store: str, tasks: int) -> list[list[str]]:
    create = create_load(_KLING, server.port)
    page = replace(create, method="GET", body="", headers=dict((_KLING.header,)))
    page = replace(page, target=str(_KLING.list), connections=1, count=1_000)
    idle = server.rss_bytes
    send(replace(create, count=FEW))
    few_us = _page_us(page)
    # Fill the journal, which is bounded, before what grows is measured.
    send(replace(create, count=2_000, headers={**create.headers, _KLING.header[0]: _KLING.header[1] + "-x"}))
    before = server.rss_bytes
    done = send(replace(create, count=tasks - FEW))
    after = server.rss_bytes
    many_us = _page_us(page)
    each = (after - before) / (tasks - FEW) / 1000
    label = "memory" if store == "memory" else "SQLite file"
    is_aimed = store == "memory"
    return [
        [
            f"{label}: idle, four providers",
            f"{idle / 1e6:,.0f} MB",
            f"under {IDLE_MB} MB",
            verdict(idle / 1e6 < IDLE_MB),
        ],
        [
            f"{label}: with {tasks:,} tasks, made in {done['seconds']:,.0f} s",
            f"{after / 1e6:,.0f} MB",
            "",
            "",
        ],
        [
            f"{label}: each small task",
            f"{each:,.2f} kB",
            f"under {TASK_KB} kB" if is_aimed else "",
            verdict(each < TASK_KB) if is_aimed else "",
        ],
        [f"{label}: first page of 30 of {FEW} tasks", f"{few_us:,.0f} µs", "", ""],
        [
            f"{label}: first page of 30 of {tasks:,} tasks",
            f"{many_us:,.0f} µs",
            "the same",
            verdict(many_us < few_us * SAME),
        ],
    ]


def _page_us(page: Load) -> float:
    """Return what one page takes, the median of a thousand, one at a time: best of three."""
    return min(float(send(page)["p50_us"]) for _ in range(3))
