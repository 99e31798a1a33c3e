"""What a world costs a test: medians, with room for a machine that has much else to do."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from mockserver.settings import Settings
from mockserver.stage import Stage
from tests.e2e.running import environment
from tests.plugin.acting import Kling

MS = 1000


def test_a_world_opens_within_30_ms_and_closes_within_20(stage: Stage) -> None:
    stage.open("first").close()
    opening, closing = [], []
    for number in range(40):
        began = perf_counter()
        world = stage.open(f"w{number}")
        opening.append((perf_counter() - began) * MS)
        Kling(world).make()
        began = perf_counter()
        world.close()
        closing.append((perf_counter() - began) * MS)

    print(f"open {statistics.median(opening):.2f} ms, close {statistics.median(closing):.2f} ms")
    assert statistics.median(opening) < 30
    assert statistics.median(closing) < 20


def test_a_stage_with_a_port_and_an_inbox_stops_within_20_ms() -> None:
    stopping = []
    for _ in range(5):
        stage = Stage(Settings(port=0, log="off", providers=("kling",)))
        world = stage.open("w")
        assert world.inbox.url
        Kling(world).make()
        began = perf_counter()
        stage.stop()
        stopping.append((perf_counter() - began) * MS)

    print(f"stop {statistics.median(stopping):.2f} ms")
    assert statistics.median(stopping) < 20


def test_the_plugin_itself_imports_nothing_of_ours_and_is_quick(tmp_path: Path) -> None:
    code = (
        "import pytest, sys, time\n"
        "began = time.perf_counter()\n"
        "import mockserver.pytest_plugin\n"
        "took = (time.perf_counter() - began) * 1000\n"
        "ours = [name for name in sys.modules if name.startswith(('mockserver.', 'validator', 'specs'))]\n"
        "print(took, *ours)"
    )
    took = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            # Compiled the first time, as an installed package is.
            env={**environment(), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found, *ours = done.stdout.split()
        assert ["mockserver.pytest_plugin"] == ours
        took.append(float(found))

    print(f"import {min(took):.2f} ms")
    assert min(took) < 20
