"""The program under test: started, listened to, and ended with everything that it started.

The only module that starts programs, and it starts one: the command that the user typed.  It knows nothing of acts.

Exceptions::

    OSError
    └── NotRunnableError    the command could not be started: which, why, what to do
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from mockserver.clock import stopwatch

MOST_OUTPUT: Final = 256 * 1024
"""Bytes of each output that are kept from its beginning, and as many again from its end."""

GRACE_S: Final = 2.0
"""Seconds between being asked to end and being ended."""

DRAIN_S: Final = 1.0
"""Seconds that the outputs get to close once everybody is gone who was seen to hold them."""

HAS_GROUPS: Final = hasattr(os, "killpg")
"""Whether a program and all that it starts can be ended together; not so on Windows."""


class NotRunnableError(OSError):
    """The command could not be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended: `code` is negative for a signal, and of long outputs the middle is left out.

    `is_timed_out`: it was still running when its time was over; `is_stopped`: the rehearsal was broken off.
    """

    code: int
    stdout: bytes
    stderr: bytes
    took_s: float
    is_timed_out: bool = False
    is_stopped: bool = False


class _Listener:
    """Reads one output to its end, so that the program never waits for us; keeps its beginning and its end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0
        self._thread = threading.Thread(target=self._read, name="listener", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        stream: Any = self._stream
        with contextlib.suppress(OSError), stream:
            while part := stream.read1(65_536):
                room = MOST_OUTPUT - len(self._head)
                self._head += part[:room]
                self._tail += part[max(room, 0) :]
                # Not at every piece: moving the rest costs as much as what is kept.
                if len(self._tail) > 2 * MOST_OUTPUT:
                    self._left_out += len(self._tail) - MOST_OUTPUT
                    del self._tail[:-MOST_OUTPUT]

    def done(self) -> bytes:
        """Return what was written; what a stranger who holds the pipe may still write is not waited for."""
        self._thread.join(DRAIN_S)
        note = f"\n... {self._left_out:,} bytes left out ...\n".encode() if self._left_out else b""
        return bytes(self._head) + note + bytes(self._tail)


class Program:
    """The command, to be run once."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], is_shell: bool) -> None:
        """Take the command as words, which a shell reads as one line where `is_shell`."""
        self._command, self._environment, self._is_shell = command, environment, is_shell
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def run(self, *, within_s: float) -> Ended:
        """Run it to its end, or to the end of its time; raises NotRunnableError.

        Whatever it started and left behind in its process group ends with it.
        """
        started = stopwatch()
        process = self._start()
        assert process.stdout is not None
        assert process.stderr is not None
        outputs = _Listener(process.stdout), _Listener(process.stderr)
        is_timed_out = False
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            is_timed_out = not self._is_stopped
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        finally:
            # Ctrl+C included: nothing that was started here goes on without us.
            took_s = stopwatch() - started
            self._kill()
            process.wait()
            with self._lock:
                # Its number may be somebody else's from here on.
                self._process = None
        stdout, stderr = (one.done() for one in outputs)
        return Ended(
            code=process.returncode,
            stdout=stdout,
            stderr=stderr,
            took_s=took_s,
            is_timed_out=is_timed_out,
            is_stopped=self._is_stopped,
        )

    def stop(self) -> None:
        """End it now, from another thread; one that has not begun will not begin."""
        with self._lock:
            self._is_stopped = True
            self._kill()

    def _start(self) -> subprocess.Popen[bytes]:
        command: Any = list(self._command)
        if self._is_shell:
            # Words that were quoted for our shell are one line for theirs.
            command = self._command[0] if len(self._command) == 1 else shlex.join(self._command)
        with self._lock:
            if self._is_stopped:
                raise NotRunnableError("the rehearsal was broken off")
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the user's own command
                    command,
                    shell=self._is_shell,
                    env=dict(self._environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=HAS_GROUPS,
                )
            except (OSError, ValueError) as error:
                raise NotRunnableError(_why(self._command, error)) from None
        return self._process

    def _signal(self, number: int) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            if HAS_GROUPS:
                os.killpg(process.pid, number)
            else:
                process.kill()

    def _kill(self) -> None:
        # Without groups only the program itself can be reached, which may have ended.
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))


def _why(command: Sequence[str], error: Exception) -> str:
    name = command[0] if command else ""
    if isinstance(error, FileNotFoundError):
        if " " in name.strip():
            return f"there is no program called '{name}'; write its words apart, or give --shell"
        return f"there is no program '{name}'" + (" on the PATH" if os.path.basename(name) == name else "")  # noqa: PTH119 - a word, not a file of ours
    if isinstance(error, PermissionError):
        return f"'{name}' may not be run; is it a program?"
    return f"'{name}' could not be started: {getattr(error, 'strerror', None) or error}"
