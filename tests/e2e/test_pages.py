"""The commands that the pages show, run as they are printed; what they print is what the pages say they do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = (
    "README.md",
    "docs/admin.md",
    "docs/ci.md",
    "docs/drift.md",
    "docs/limits.md",
    "docs/lint.md",
    "docs/preflight.md",
    "docs/rehearse.md",
    "docs/scenarios.md",
    "docs/serve.md",
)
PROGRAMS = ("bash", "curl", "cut", "grep", "ffprobe", "sed", "tail")
"""What the commands use beside Python; bash runs them all."""

PROGRAMMED = ("docs/preflight.md",)
"""Pages whose Python is run, each block as a program of its own; the block of text behind it is what it prints."""

RETRIES = 50
"""How often a command is run again: a minute of the server's takes ten milliseconds, a curl about as long."""

Beside = Callable[[str, int], None]

VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{5,}")
"""What differs from run to run: ids, and times that no frozen clock tells."""


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """The port of a server whose minutes are milliseconds."""
    command = [sys.executable, "-m", "mockserver", "serve", "--port", "0", "--speed", "6000", "--log", "off"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            found = re.search(r"base URL +http://127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert process.poll() is None
        yield found[1]
        process.terminate()


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    """Start a page's own programs, those whose command ends with `&`; they end with the page."""
    running: list[subprocess.Popen[bytes]] = []

    def start(command: str, port: int) -> None:
        process = subprocess.Popen(["bash", "-c", f"exec {command.removesuffix('&')}"], cwd=tmp_path)
        running.append(process)
        while process.poll() is None:
            with socket.socket() as client:
                if not client.connect_ex(("127.0.0.1", port)):
                    return
        pytest.fail(f"{command} ended")

    yield start
    for process in running:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def console(page: str) -> Iterator[tuple[str, str]]:
    """Yield pairs (command, what it prints) of the console blocks of a page, in order."""
    text = (ROOT / page).read_text()
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            length = next(index for index, line in enumerate(lines) if not line.endswith("\\")) + 1
            yield "\n".join(lines[:length]), "\n".join(lines[length:]).strip()


def pattern(printed: str) -> re.Pattern[str]:
    """Return what an output must look like: as printed, but for ids, numbers, dates and three dots."""
    text = re.escape(VARYING.sub("0", printed)).replace(r"\.\.\.", ".*")
    return re.compile(text, re.DOTALL)


def programs(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield triples (file name or "", Python, what it prints) of a page, in order.

    A block that begins with the name of a file is that file, for the commands of the page.
    """
    text = (ROOT / page).read_text()
    blocks = r"^```python\n((?:# (\w+\.py)\n)?.*?)^```\n(?:\n```text\n(.*?)^```$)?"
    for code, name, printed in re.findall(blocks, text, re.MULTILINE | re.DOTALL):
        yield name, code, printed.strip()


def missing(page: str) -> list[str]:
    """Return what the commands of a page need and the machine does not have."""
    commands = "\n".join(["bash", *(command for command, _ in console(page))])
    used = [one for one in PROGRAMS if re.search(rf"\b{one}\b", commands)]
    return [one for one in used if shutil.which(one) is None]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_its_commands_print(page: str, port: str, beside: Beside, tmp_path: Path) -> None:
    if absent := missing(page):
        pytest.skip(f"{page} uses {', '.join(absent)}, not installed here")
    receiver = free_port()
    ports = {"8700": port, "9999": str(receiver)}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
    }
    settings = ""
    for name, code, _ in programs(page):
        if name:
            (tmp_path / name).write_text(code.replace("127.0.0.1:8700", f"127.0.0.1:{port}"))
    for shown, printed in console(page):
        command = re.sub(r"(?<=127\.0\.0\.1:)(8700|9999)", lambda found: ports[found[0]], shown)
        if command.startswith(("make ", "understudy serve")):
            continue
        if re.match(r"[A-Z]+=", command):
            settings += command + "\n"
            continue
        if command.startswith("cat "):
            text = printed.replace('("127.0.0.1", 9999)', f'("127.0.0.1", {receiver})')
            (tmp_path / command.removeprefix("cat ")).write_text(text + "\n")
            continue
        if command.endswith("&"):
            beside(command, receiver)
            continue
        for _ in range(RETRIES):
            done = subprocess.run(
                ["bash", "-c", settings + command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            out = VARYING.sub("0", (done.stdout + done.stderr).strip())
            if pattern(printed).fullmatch(out) or "-d " in command:
                break

        assert pattern(printed).fullmatch(out), f"{command}\nprints\n{out}\nand not\n{printed}"


@pytest.mark.parametrize("page", PROGRAMMED)
def test_a_page_shows_what_its_programs_print(page: str, port: str, tmp_path: Path) -> None:
    count = 0
    environment = {name: value for name, value in os.environ.items() if name != "UNDERSTUDY_SPEND"}
    for name, code, printed in programs(page):
        if name:
            continue
        count += 1
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code.replace("127.0.0.1:8700", f"127.0.0.1:{port}")],
            cwd=tmp_path,
            env=environment | {"NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        shown = pattern(printed.replace("127.0.0.1:8700", f"127.0.0.1:{port}"))
        out = VARYING.sub("0", (done.stdout + done.stderr).strip())

        assert shown.fullmatch(out), f"{code}\nprints\n{out}\nand not\n{printed}"
    assert count, f"{page} has no Python that is run"
