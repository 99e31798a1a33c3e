"""Prism, as its users run it, on the plain spec of each provider: our verdict on every pass and fail file.

It comes from npm the first time and is kept below build/; without node or npm, or without a way to the registry,
these tests are skipped.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import ROOT, START_S
from tests.e2e.verdicts import READINGS, Reading, Tried, plain_reading, tries
from tests.providers import LIBRARY

PRISM = "5.14.2"
LONGEST = 10 * 1024 * 1024
"""Bytes of a body that Prism reads; it answers 413 to longer ones, whatever the spec says."""

IS_SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))


@pytest.fixture(scope="session")
def prism() -> Path:
    """The program, installed if it is not; only one process of a test run does that."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Prism needs node and npm, and one of them is not installed")
    folder = ROOT / "build" / f"prism-{PRISM}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "node_modules" / ".bin" / "prism"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            try:
                done = subprocess.run(
                    [
                        *(npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund"),
                        *("--ignore-scripts", "--prefer-offline", "--fetch-retries", "0"),
                        f"@stoplight/prism-cli@{PRISM}",
                    ],
                    capture_output=True,
                    text=True,
                    timeout=90,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                pytest.skip("Prism could not be installed: npm did not end within ninety seconds")
            if done.returncode:
                said = done.stderr.strip().splitlines()
                pytest.skip(
                    f"Prism could not be installed with npm: {said[-1] if said else 'no reason given'}"
                )
            (folder / "ready").touch()
    return program


@pytest.fixture
def mock(prism: Path, provider: str, name: Reading, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of `prism mock` on a provider's plain spec."""
    spec = tmp_path / f"{provider}.json"
    spec.write_text(json.dumps(plain_reading(provider, name)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(prism), "mock", "--host", "127.0.0.1", "--port", str(port), "-v", "fatal", str(spec)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=START_S) as client:
            until = time.perf_counter() + START_S
            while True:
                assert process.poll() is None, "Prism ended by itself"
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    assert time.perf_counter() < until, "Prism does not answer"
                    time.sleep(0.05)
            yield client
    finally:
        process.kill()
        process.wait()


def is_refused(client: httpx.Client, tried: Tried) -> tuple[bool, str]:
    """Return whether Prism finds anything wrong with a request, and what.

    It names what is wrong in the header sl-violations, whatever it answers with.
    """
    answer = client.request(tried.method, tried.target, headers=dict(tried.headers), content=tried.content)
    violations = json.loads(answer.headers.get("sl-violations", "[]"))
    found = [one for one in violations if one["location"][0] == "request"]
    return bool(found) or answer.status_code in (401, 404, 405, 415), f"{answer.status_code} {found}"[:300]


@pytest.mark.parametrize("name", READINGS if IS_SOAK else READINGS[:1])
@pytest.mark.parametrize("provider", LIBRARY)
def test_prism_gives_our_verdict_on_every_file(provider: str, name: Reading, mock: httpx.Client) -> None:
    wrong = []

    for tried in tries(provider, name):
        if len(tried.content) > LONGEST:
            continue
        theirs, found = is_refused(mock, tried)
        if tried.is_refused != theirs:
            wrong.append((str(tried.case), tried.is_refused, found))

    assert wrong == []
