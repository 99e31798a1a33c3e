"""A server in a process of its own, as a user starts it: its greeting, its port, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]

START_S = 60.0
"""Seconds a start may take on the slowest machine; a test that measures asks for less."""

_ADMIN = re.compile(r"^  admin +(\S+)/__admin/health", re.MULTILINE)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables a program of this repository starts with: this checkout, none of our settings."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        known.pop(name, None)
    paths = [str(ROOT), *([known["PYTHONPATH"]] if known.get("PYTHONPATH") else [])]
    return known | {"PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "*"} | dict(extra or {})


def command(*arguments: str) -> list[str]:
    """Return the command line of the program with these arguments."""
    return [sys.executable, "-m", "mockserver", *arguments]


def call(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        command(*arguments),
        env=environment(env),
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


class Running:
    """`understudy serve`, running; `origin` is http://127.0.0.1:PORT, `started_s` how long the start took.

    Everything the program writes is read all the time, as a terminal would, and kept in `output`.
    """

    def __init__(
        self,
        *options: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        port: str | None = "0",
        verb: str = "serve",
    ) -> None:
        """Start it, and return once it answers.  `port` None leaves the option out; `verb` is another command."""
        arguments = [verb, *(("--port", port) if port is not None else ()), *options]
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            command(*arguments),
            env=environment(env),
            cwd=cwd or ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.origin = self._wait_for_origin()
            # No certificates: reading those of the system would cost more than the rest of the start.
            self.client = httpx.Client(base_url=self.origin, trust_env=False, verify=False, timeout=START_S)
            # The greeting promises that the port is open; this is the proof.
            self.client.get("/").raise_for_status()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.started_s = time.perf_counter() - begun

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _wait_for_origin(self) -> str:
        self.wait_for(_ADMIN.pattern)
        found = _ADMIN.search(self.output)
        assert found is not None
        return found.group(1)

    def wait_for(self, pattern: str, *, within_s: float = START_S) -> str:
        """Return the output once a pattern stands in it."""
        wanted = re.compile(pattern, re.MULTILINE)
        until = time.perf_counter() + within_s
        with self._news:
            while not wanted.search("".join(self._lines)):
                left = until - time.perf_counter()
                assert not self._closed, f"it ended without saying {pattern!r}:\n{''.join(self._lines)}"
                assert left > 0, f"it did not say {pattern!r}:\n{''.join(self._lines)}"
                self._news.wait(left)
            return "".join(self._lines)

    @property
    def output(self) -> str:
        """Return everything it has written so far."""
        with self._news:
            return "".join(self._lines)

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self.origin.rpartition(":")[2])

    def kill(self) -> None:
        """End it as the kernel would: at once, without a chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=START_S)
        self._close()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Ask it to stop; return (exit code, seconds until it had)."""
        begun = time.perf_counter()
        self.process.send_signal(number)
        code = self.process.wait(timeout=START_S)
        took_s = time.perf_counter() - begun
        self._close()
        return code, took_s

    def _close(self) -> None:
        self._reader.join(timeout=5)
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        elif not self.client.is_closed:
            self._close()


class World:
    """One tenant of a running server: its own tasks, clock and journal."""

    def __init__(self, server: Running, name: str) -> None:
        """Name it, which makes it."""
        self.server, self.name = server, name
        self.origin = f"{server.origin}/t/{name}"

    def base(self, provider: str) -> str:
        """Return the base URL of a provider, to which the provider's real path is added."""
        return f"{self.origin}/{provider}"

    def get(self, url: str, **more: Any) -> httpx.Response:
        """Fetch a path of this tenant, or a whole URL."""
        return self.server.client.get(url if "://" in url else self.origin + url, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """Send JSON to a path of this tenant."""
        return self.server.client.post(self.origin + path, json=json, **more)

    def admin(self, method: str, path: str, json: Any = None) -> Any:
        """Call the admin API of this tenant; it must agree."""
        response = self.server.client.request(method, f"{self.origin}/__admin{path}", json=json)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def freeze(self) -> int:
        """Stop the tenant's clock; return its time in milliseconds."""
        now: int = self.admin("PUT", "/clock", {"mode": "frozen"})["now_ms"]
        return now

    def advance(self, by: str) -> list[dict[str, Any]]:
        """Move the clock on; return what happened."""
        events: list[dict[str, Any]] = self.admin("POST", "/clock/advance", {"by": by})["events"]
        return events

    def next_event(self) -> list[dict[str, Any]]:
        """Move the clock to what happens next; return what happened, nothing when nothing is to come."""
        events: list[dict[str, Any]] = self.admin("POST", "/clock/advance", {"to": "next-event"})["events"]
        return events

    def run_out(self) -> list[dict[str, Any]]:
        """Move the clock from event to event until nothing is to come; return all that happened."""
        happened = []
        while events := self.next_event():
            happened += events
        return happened

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks, newest first."""
        found: list[dict[str, Any]] = self.admin("GET", "/tasks?limit=1000")["tasks"]
        return found

    def deliveries(self, **query: str) -> list[dict[str, Any]]:
        """Return the ledger of callbacks, oldest first."""
        text = "&".join(f"{name}={value}" for name, value in {"limit": "1000", **query}.items())
        found: list[dict[str, Any]] = self.admin("GET", f"/deliveries?{text}")["deliveries"]
        return found[::-1]


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Fail when what is inside takes longer."""
    begun = time.perf_counter()
    yield
    took_s = time.perf_counter() - begun
    assert took_s < seconds, f"{what} took {took_s:.2f} s"
