"""The example clients on trial: `understudy rehearse` as a user runs it, on programs in two languages."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mockserver.trial.laws import LAWS
from tests.e2e.running import ROOT, command, environment

EXAMPLES = ROOT / "examples"
LIMIT_S = 300.0

SPEED = ("--speed", "120", "--jobs", "12")
OF_CARELESS = (
    *("success", "slow", "stuck-processing", "unknown-status@create", "moderation-*", "accepted-then-failed"),
    *(
        "invalid@*",
        "rate-limited@create*",
        "rate-limited@read",
        "internal-error@*",
        "reset-after-accept@create",
    ),
    *("callback-lost", "callback-duplicated", "callback-out-of-order", "callback-*s*t*", "url-404"),
)
"""Acts for the careless client in Python: those that show its faults; it needs no others, and has no time to lose."""

OF_CARELESS_SCRIPT = (
    *("success", "rate-limited@create", "rate-limited@create:retry-after", "*:accepted", "moderation-*"),
    *(
        "callback-wrong-signature",
        "callback-duplicated",
        "unknown-status@create",
        "url-404",
        "truncated-file",
    ),
    *("unauthorized@*", "html-error-page@read"),
)
"""Acts for the careless client in JavaScript: those that show its faults, and some that show it has no others."""


def rehearse(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return (exit code, JSON report, what else it wrote) of a rehearsal; videos go into the folder."""
    folder.mkdir(exist_ok=True)
    report = folder / "report.json"
    limits = {"VIDEO_DIR": str(folder), "VIDEO_PATIENCE_S": "12", "VIDEO_POLL_S": "1.1"}
    given = [word for name, value in limits.items() for word in ("--env", f"{name}={value}")]
    done = subprocess.run(
        command("rehearse", "--json", str(report), *given, *arguments),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(report.read_text()), done.stdout + done.stderr


def planted(file: Path) -> set[str]:
    """Return the laws that a careless client says it breaks."""
    lines = re.findall(r"BREAKS ([a-z, -]+):", file.read_text())
    return {law for line in lines for law in re.split(r", ?", line)}


def outcomes(report: dict[str, Any], outcome: str) -> set[str]:
    return {law["id"] for law in report["laws"] if law["outcome"] == outcome}


def check(
    careful: tuple[int, dict[str, Any], str], careless: tuple[int, dict[str, Any], str], file: Path
) -> None:
    code, report, text = careful
    broken = [law for law in report["laws"] if law["broken_in"]]
    assert not broken, f"{broken}\n{text}"
    assert (0, set(LAWS)) == (code, outcomes(report, "kept")), text
    played = [act for act in report["acts"] if act["is_played"]]
    assert len(played) > 70
    assert {"the client lists no tasks", "no state of this provider is canceled"} == {
        act["why_not"] for act in report["acts"] if not act["is_played"]
    }

    code, report, text = careless
    assert (1, planted(file)) == (code, outcomes(report, "broken")), text


def check_again(text: str) -> None:
    """Check that the command at a broken law shows it again; at the law that takes two acts to be seen."""
    found = re.search(r"^tells-failed-from-refused: .*?^  again  understudy (.*?)$", text, re.M | re.S)
    assert found is not None, text
    words = shlex.split(found[1])
    acts = [words[at + 1] for at, word in enumerate(words) if word == "--act"]
    assert ("moderation-late", 2) == (acts[0], len(acts)), "what only two acts show together needs both"

    again = subprocess.run(
        command(*words),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert 1 == again.returncode, again.stderr
    assert re.search(r"^m  tells-failed-from-refused +broken", again.stdout, re.M), again.stdout


def test_rehearse_finds_every_planted_fault_in_python_and_none_in_the_careful_client(tmp_path: Path) -> None:
    careless = EXAMPLES / "python/careless.py"
    assert set(LAWS) == planted(careless)
    acts = [word for act in OF_CARELESS for word in ("--act", act)]
    client = (sys.executable, str(careless))

    def faults() -> tuple[int, dict[str, Any], str]:
        found = rehearse(tmp_path / "careless", *SPEED, "--time-limit", "10", *acts, "--", *client)
        check_again(found[2])
        return found

    with ThreadPoolExecutor() as pool:
        first = pool.submit(
            rehearse, tmp_path / "careful", *SPEED, "--", sys.executable, str(EXAMPLES / "python/careful.py")
        )
        second = pool.submit(faults)

    check(first.result(), second.result(), careless)
    videos = list((tmp_path / "careful").glob("*.mp4"))
    assert len(videos) > 40
    assert all(b"ftyp" == video.read_bytes()[4:8] for video in videos)
    assert not list((tmp_path / "careful").glob("*.part"))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed here")
def test_rehearse_finds_every_planted_fault_in_javascript_and_none_in_the_careful_client(
    tmp_path: Path,
) -> None:
    careless = EXAMPLES / "javascript/careless.mjs"
    acts = [word for act in OF_CARELESS_SCRIPT for word in ("--act", act)]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(
            rehearse, tmp_path / "careful", *SPEED, "--", "node", str(EXAMPLES / "javascript/careful.mjs")
        )
        second = pool.submit(rehearse, tmp_path / "careless", *SPEED, *acts, "--", "node", str(careless))

    check(first.result(), second.result(), careless)
