"""The command `understudy rehearse`: options, exit codes, files."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from mockserver.cli import main
from mockserver.rehearsal.acts import ACTS
from mockserver.trial.laws import LAWS
from tests.e2e.running import call, command, environment
from tests.providers import TOY
from tests.rehearsal.clients import SCRIPT, client

QUICK = ("rehearse", "--spec", str(TOY), "--speed", "20")


def refused(*arguments: str) -> str:
    """Return what a call that ends with 2 says; it gets no further than its options."""
    done = CliRunner().invoke(main, ["rehearse", *arguments])
    assert (2, "") == (done.exit_code, done.stdout), done.output
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "there is no command to rehearse"),
        (("--", ""), "the command is empty"),
        (("--act", "rate-limitd@create", "--", "x"), "did you mean 'rate-limited@create'"),
        (("--skip-act", "sucess", "--", "x"), "did you mean 'success'"),
        (("--law", "backs-of", "--", "x"), "did you mean 'backs-off'"),
        (("--act", "slow", "--skip-act", "slow", "--", "x"), "nothing is left of the acts"),
        (("--skip-law", "*", "--", "x"), "nothing is left of the laws"),
        (("--name", "url=X", "--", "x"), "write KIND=VARIABLE"),
        (("--env", "X", "--", "x"), "write NAME=VALUE"),
        (("--provider", "klng", "--", "x"), "did you mean 'kling'"),
        (("--speed", "0", "--", "x"), "--speed"),
        (("--time-limit", "0", "--", "x"), "--time-limit"),
        (("--time-limit", "nan", "--", "x"), "write a number of seconds"),
        (("--jobs", "0", "--", "x"), "--jobs"),
        (("--json", "-", "--junit", "-", "--", "x"), "--junit and --json are the same file"),
        (("--json", "/no/such/folder/x", "--", "x"), "--json"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(*arguments)


def test_the_list_has_every_act_and_every_law_with_its_reason() -> None:
    done = CliRunner().invoke(main, ["rehearse", "--list"])

    assert 0 == done.exit_code
    for act in ACTS.values():
        assert re.search(rf"^  {re.escape(act.id)} +{re.escape(act.why)}$", done.stdout, re.M)
    for law in LAWS.values():
        assert (
            f"{law.id}: {law.title}\n  {law.why}\n  reached where {law.reach}\n  {law.source}" in done.stdout
        )


def test_help_teaches_with_examples() -> None:
    text = CliRunner().invoke(main, ["rehearse", "--help"], prog_name="understudy").stdout

    assert "understudy rehearse -- python client.py" in text
    assert "{base_url}" in text
    assert "{{" not in text
    assert re.search(r"Exit code 0: .* 1: .* 2: ", " ".join(text.split()))


def test_a_broken_law_ends_with_1_and_writes_every_report(tmp_path: Path) -> None:
    files = {kind: tmp_path / f"r.{kind}" for kind in ("junit", "json", "html", "markdown")}
    given = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    acts = ("--act", "success", "--act", "unauthorized@*", "--law", "polls-*", "--law", "fails-*")

    done = call(*QUICK, *acts, *given, "--", *client(tmp_path, "hasty"))

    assert 1 == done.returncode, done.stderr
    assert "" == done.stderr, "no progress where there is no terminal"
    assert re.search(r"^success +X \. +0 +done$", done.stdout, re.M), done.stdout
    report = json.loads(files["json"].read_text())
    assert ["polls-not-too-fast", "fails-loudly"] == [law["id"] for law in report["laws"]]
    assert 1 == len(ElementTree.fromstring(files["junit"].read_text()).findall(".//failure"))
    assert files["html"].read_text().startswith("<!doctype html>")
    assert "### polls-not-too-fast" in files["markdown"].read_text()


def test_kept_laws_end_with_0_and_a_report_may_take_the_place_of_the_text(tmp_path: Path) -> None:
    script = client(
        tmp_path, script=SCRIPT.replace("faults = ", "assert sys.argv[1:] == ['--list', '--act']; faults = ")
    )

    done = call(*QUICK, "--act", "success", "--json", "-", *script, "--list", "--act")

    assert 0 == done.returncode, done.stderr
    report = json.loads(done.stdout)
    assert ("kept", [*script, "--list", "--act"]) == (report["outcome"], report["command"]), (
        "words behind the command are the command's own, with -- and without"
    )


def test_what_cannot_be_rehearsed_ends_with_2_and_shows_what_the_client_said(tmp_path: Path) -> None:
    script = client(tmp_path, script=SCRIPT + "print('key', os.environ['TOY_API_KEY']); sys.exit('no luck')")

    done = call(*QUICK, "--", *script)

    assert (2, "") == (done.returncode, done.stdout)
    assert "understudy rehearse: the client ended with 1, with nothing in its way" in done.stderr
    assert "| no luck" in done.stderr
    assert "| key [TOY_API_KEY]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_last_report_is_lost_to_a_new_one_and_not_to_a_mistake(tmp_path: Path) -> None:
    files = [tmp_path / "r.json", tmp_path / "r.xml"]
    for file in files:
        file.write_text("old")
    given = ("--json", str(files[0]), "--junit", str(files[1]))

    refused(*given, "--act", "no-such-act", "--", "x")
    assert ["old", "old"] == [file.read_text() for file in files]
    assert "the same file" in refused("--json", str(files[0]), "--html", str(files[0]), "--", "x")
    assert "old" == files[0].read_text()

    assert "no program 'no-such-client'" in refused(*given, "--spec", str(TOY), "--", "no-such-client")
    assert "" == files[0].read_text(), "there is no new one, and the old one is not of this client"
    suites = ElementTree.fromstring(files[1].read_text())
    error = suites.find("testsuite/testcase/error")
    assert error is not None
    assert "no program 'no-such-client'" in error.attrib["message"]
    assert "1" == suites.attrib["errors"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_ends_the_client_and_says_so(number: int, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    text = f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    script = client(tmp_path, script=f"import os, time\n{text}")
    with subprocess.Popen(
        command(*QUICK, "--time-limit", "600", "--", *script),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        until = time.monotonic() + 60
        while not (mark.exists() and mark.read_text()):
            assert time.monotonic() < until
            time.sleep(0.02)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)

    assert (2, "") == (running.returncode, out)
    assert "broken off after 0 acts; nothing is left running" in err
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_on_a_terminal_it_shows_how_far_it_has_come(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    arguments = ("--act", "success", "--act", "unauthorized@create", "--", *client(tmp_path))
    with subprocess.Popen(
        command(*QUICK, *arguments),
        env=environment({"TERM": "xterm"}),
        stdout=subprocess.PIPE,
        stderr=follower,
    ) as running:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65_536)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert running.stdout is not None
        table = running.stdout.read()
    os.close(leader)

    assert 0 == running.returncode
    assert b"the baseline" in shown
    assert re.search(rb"\[#+ *\] 2/2  unauthorized@create", shown), shown
    assert shown.endswith(b"\r\x1b[K"), "the line is taken away again"
    assert b"\x1b" not in table, "what is piped is not coloured"


def test_to_show_its_help_it_imports_no_server() -> None:
    code = "import sys, mockserver.rehearse; print({'uvicorn', 'starlette', 'httpx', 'hypothesis'} & {*sys.modules})"

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )

    assert "set()" == done.stdout.strip()
