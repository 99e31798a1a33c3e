"""Processes under measurement: on which core they run, how much memory they hold, how they are asked and stopped."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.load import Load

WRK: Final = shutil.which("wrk")
_CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
IS_PINNED: Final = len(_CORES) > 1
"""Whether server and load generator get a core each; on one core they share it."""

SERVER_CORE: Final = _CORES[0] if IS_PINNED else None
LOAD_CORE: Final = _CORES[1] if IS_PINNED else None


def describe() -> str:
    """Return the machine in a line, as far as it matters here."""
    cores = f"{os.cpu_count()} cores" + ("" if IS_PINNED else ", nothing pinned")
    generator = "wrk" if WRK else "our own load generator (wrk is not installed)"
    return f"Python {sys.version.split()[0]}, {sys.platform}, {_processor()}, {cores}; load by {generator}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return "unknown processor"


def _pin(core: int | None) -> Callable[[], None] | None:
    return None if core is None else functools.partial(os.sched_setaffinity, 0, {core})


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@dataclass(slots=True)
class Server:
    """A process that serves on a port of this machine; `seconds` from its start to its first answer."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float

    @property
    def rss_bytes(self) -> int:
        """Return the memory it holds."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
            if found:
                return int(found[1]) * 1024
        listed = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], check=True, capture_output=True
        )
        return int(listed.stdout) * 1024

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Any:
        """Return the JSON of an answer; raises RuntimeError for a refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(
                method,
                target,
                body or None,
                {name.replace("_", "-"): value for name, value in headers.items()},
            )
            answer = connection.getresponse()
            content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {target}: {answer.status} {content[:300].decode()}")
        return json.loads(content) if content else None

    def stop(self) -> float:
        """End it as Ctrl+C would, and return the seconds it took."""
        # With a timeout of its own, wait() would look only every now and then.
        guard = threading.Timer(30, self.process.kill)
        guard.start()
        started = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        seconds = time.perf_counter() - started
        guard.cancel()
        return seconds


def start(arguments: Sequence[str], port: int, *, first: str) -> Server:
    """Start `python -m ...` on the server's core, and wait until it answers a GET, whatever with."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")},
        preexec_fn=_pin(SERVER_CORE),
    )
    asked = f"GET {first} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as made:
                made.sendall(asked)
                if made.recv(1):
                    return Server(process, port, time.perf_counter() - started)
        except OSError:
            pass
        if time.perf_counter() - started > 60:
            process.kill()
            raise RuntimeError(f"{' '.join(arguments)} does not answer")
        time.sleep(0.001)


def start_ours(*options: str) -> Server:
    """Start our server with these options."""
    port = free_port()
    return start(["mockserver", "serve", "--port", str(port), *options], port, first="/kling/v1/none")


def start_echo(kind: str) -> Server:
    """Start a yardstick; see :mod:`bench.echo`."""
    port = free_port()
    return start(["bench.echo", kind, str(port)], port, first="/v1/things/1")


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Let a server run as long as the block lasts."""
    try:
        yield server
    finally:
        server.stop()


def seconds_of(code: str) -> float:
    """Return the seconds that a new interpreter takes to run some code and end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, preexec_fn=_pin(SERVER_CORE))
    return time.perf_counter() - started


def send(load: Load, *, takes_refusals: bool = False) -> dict[str, Any]:
    """Send a load from the load generator's core; see :mod:`bench.load`.  Raises RuntimeError for a refusal."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=load.to_json().encode(),
        capture_output=True,
        check=True,
        preexec_fn=_pin(LOAD_CORE),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if found["refused"] and not takes_refusals:
        raise RuntimeError(f"{load.target}: {found['refused']} refused, the last with {found['last'][:300]}")
    if load.count and found["count"] != load.count:
        raise RuntimeError(f"{load.target}: {found['count']:,} answers to {load.count:,} requests")
    return found


def per_second(load: Load) -> float:
    """Return the answers per second that a load gets, by wrk where it is installed."""
    if WRK is None:
        found = send(load)
        return float(found["count"] / found["seconds"])
    lines = [f"wrk.method = {json.dumps(load.method)}"]
    lines += [
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in load.headers.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        if load.body:
            (Path(folder) / "body").write_text(load.body)
            lines.append(f'wrk.body = io.open({json.dumps(folder + "/body")}, "rb"):read("*a")')
        script.write_text("\n".join(lines))
        command = [WRK, "-t1", f"-c{load.connections}", f"-d{load.seconds:g}s", "-s", str(script)]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{load.port}{load.target}"],
            capture_output=True,
            check=True,
            text=True,
            preexec_fn=_pin(LOAD_CORE),
        )
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    if refused:
        raise RuntimeError(f"{load.target}: {refused[1]} refused")
    found_rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found_rate is None:
        raise RuntimeError(f"wrk said: {done.stdout}{done.stderr}")
    return float(found_rate[1])
