"""The program under test: real processes, their outputs, their children, and how they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mockserver.rehearsal.program import MOST_OUTPUT, Ended, NotRunnableError, Program

PATIENCE_S = 20.0
CHILD = (
    "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {code!r}]{more}).pid, flush=True)"
)


def program(code: str, **variables: str) -> Program:
    return Program([sys.executable, "-c", code], environment={**os.environ, **variables}, is_shell=False)


def run(code: str, *, within_s: float = PATIENCE_S, **variables: str) -> Ended:
    return program(code, **variables).run(within_s=within_s)


def eventually(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Tell whether a process is over; one that only waits to be asked for its end is."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def test_it_ends_with_its_code_and_what_it_wrote() -> None:
    ended = run(
        "import os, sys; print(os.environ['WISH']); print('oh', file=sys.stderr); sys.exit(3)", WISH="a böat"
    )

    assert (3, "a böat\n".encode(), b"oh\n") == (ended.code, ended.stdout, ended.stderr)
    assert not ended.is_timed_out
    assert 0 < ended.took_s < PATIENCE_S


def test_it_is_asked_nothing_on_its_standard_input() -> None:
    assert b"''" == run("import sys; print(repr(sys.stdin.read()), end='')").stdout


def test_its_signal_is_a_negative_code() -> None:
    assert -signal.SIGKILL == run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").code


def test_one_that_does_not_end_is_ended_when_its_time_is_over() -> None:
    ended = run("import time; print('on it', flush=True); time.sleep(600)", within_s=0.5)

    assert ended.is_timed_out
    assert b"on it\n" == ended.stdout
    assert ended.took_s < PATIENCE_S


def test_one_that_does_not_want_to_end_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockserver.rehearsal.program.GRACE_S", 0.1)

    ended = run(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
        within_s=0.5,
    )

    assert (True, -signal.SIGKILL) == (ended.is_timed_out, ended.code)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes in /proc")
def test_what_it_started_ends_with_it() -> None:
    ended = run(CHILD.format(code="import time; time.sleep(600)", more=""))

    child = int(ended.stdout)
    eventually(lambda: is_gone(child), f"{child} is still running")
    assert 0 == ended.code


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes in /proc")
def test_one_that_left_its_group_holds_nobody_up() -> None:
    begun = time.monotonic()

    ended = run(CHILD.format(code="import time; time.sleep(600)", more=", start_new_session=True"))

    os.kill(int(ended.stdout), signal.SIGKILL)
    assert time.monotonic() - begun < PATIENCE_S
    assert 0 == ended.code


def test_of_a_long_output_the_beginning_and_the_end_are_kept() -> None:
    length = 20 * MOST_OUTPUT

    ended = run(f"import sys; sys.stdout.write('begin' + 'x' * {length} + 'end')")

    assert ended.stdout.startswith(b"beginx")
    assert ended.stdout.endswith(b"xend")
    assert len(ended.stdout) < 4 * MOST_OUTPUT
    (left_out,) = [line for line in ended.stdout.split(b"\n") if b"left out" in line]
    digits = left_out.decode().split()[1].replace(",", "")
    assert len(ended.stdout) - len(left_out) - 2 + int(digits) == length + 8


def test_bytes_that_are_no_text_are_kept_as_they_are() -> None:
    assert bytes(range(256)) == run("import sys; sys.stdout.buffer.write(bytes(range(256)))").stdout


def test_it_can_be_stopped_from_elsewhere() -> None:
    long = program("import time; time.sleep(600)")
    ended: list[Ended] = []
    running = threading.Thread(target=lambda: ended.append(long.run(within_s=600)))
    running.start()
    eventually(lambda: long._process is not None, "it did not start")

    long.stop()

    running.join(PATIENCE_S)
    assert (True, False) == (ended[0].is_stopped, ended[0].is_timed_out)


def test_one_that_was_stopped_before_does_not_begin() -> None:
    early = program("print('here')")
    early.stop()

    with pytest.raises(NotRunnableError, match="broken off"):
        early.run(within_s=1)


def test_a_shell_reads_the_line_where_it_is_asked_for() -> None:
    for words in (["echo $WISH; exit 4"], ["sh", "-c", "echo $WISH; exit 4"]):
        shell = Program(words, environment={**os.environ, "WISH": "two words"}, is_shell=True)

        ended = shell.run(within_s=PATIENCE_S)

        assert (4, b"two words\n") == (ended.code, ended.stdout)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("no-such-program", r"no program 'no-such-program' on the PATH"),
        ("/no/such/program", r"no program '/no/such/program'$"),
        ("python client.py", r"write its words apart, or give --shell"),
        ("/", r"'/' may not be run"),
        ("a\0b", r"could not be started"),
    ],
)
def test_what_cannot_be_started_is_told_with_the_reason(word: str, sentence: str) -> None:
    with pytest.raises(NotRunnableError, match=sentence):
        Program([word], environment=dict(os.environ), is_shell=False).run(within_s=1)
