"""The action and the hook of this repository: what they run is run here, with a program in the place of theirs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import ROOT
from tests.providers import contract
from validator.contract.document import parse_yaml
from validator.readers import ENDINGS

ACTION: Any = parse_yaml((ROOT / "action.yml").read_bytes(), file="action.yml")
INSTALL, LINT = ACTION["runs"]["steps"][1:]
HOST = contract("kling").hosts[0]
BAD = f"""import requests
requests.post("https://{HOST}/v1/videos/text2video", json={{"prompt": "a", "duration": "7"}})
"""
PAGE = (ROOT / "docs/ci.md").read_text()

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed here")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with a call in it, and the environment that the step before leaves behind."""
    (tmp_path / "work/src").mkdir(parents=True)
    (tmp_path / "work/src/app.py").write_text(BAD)
    (tmp_path / "temp/bin").mkdir(parents=True)
    program = tmp_path / "temp/bin/understudy"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m mockserver "$@"\n')
    program.chmod(0o755)
    return tmp_path


def lint(workspace: Path, **inputs: str) -> tuple[int, str, dict[str, str]]:
    """Run the step as the runner does; return (exit code, log, outputs)."""
    values = {f"inputs.{name}": one.get("default", "") for name, one in ACTION["inputs"].items()}
    values |= {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}

    def evaluated(text: str) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values.get(found[1], str(workspace)), text)

    outputs, summary = workspace / "outputs", workspace / "summary.md"
    outputs.write_text("")
    environment = os.environ | {name: evaluated(text) for name, text in LINT["env"].items()}
    environment |= {
        "TARGET": str(workspace / "temp"),
        "GITHUB_OUTPUT": str(outputs),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", LINT["run"]],
        cwd=workspace / "work" / values["inputs.working-directory"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.partition("=") for line in outputs.read_text().splitlines()]
    return done.returncode, done.stdout + done.stderr, {name: value for name, _, value in lines}


def test_the_action_finds_annotates_and_writes(workspace: Path) -> None:
    code, log, outputs = lint(workspace, junit="x.xml")

    assert (1, {"exit-code": "1", "sarif": "understudy.sarif"}) == (code, outputs)
    assert log.startswith("::error file=src/app.py,line=2,col=")
    known = json.loads((workspace / "work/understudy.sarif").read_text())
    assert ["kling.duration.model"] == [one["ruleId"] for one in known["runs"][0]["results"]]
    assert "<failure" in (workspace / "work/x.xml").read_text()
    assert "kling.duration.model" in (workspace / "summary.md").read_text()


def test_the_action_takes_its_inputs(workspace: Path) -> None:
    (workspace / "work/clean").mkdir()
    (workspace / "work/clean/a b.json").write_text('{"prompt": "a"}')

    clean = lint(
        workspace, paths="clean\r\n\nclean/a b.json\n", provider="kling", operation="createText2Video"
    )
    silent = lint(workspace, fail="false", summary="false", sarif="out/../x.sarif", working_directory="src")

    assert (0, "0") == (clean[0], clean[2]["exit-code"])
    kept = lint(workspace, fail="false", summary="false", sarif="x.sarif", working_directory="src")
    unusable = lint(workspace, baseline="no.json")

    # The directory out is not there, so that there is nothing to upload.
    assert (0, {"exit-code": "2", "sarif": ""}) == (silent[0], silent[2]), silent[1]
    assert (0, {"exit-code": "1", "sarif": "src/x.sarif"}) == (kept[0], kept[2]), kept[1]
    assert (workspace / "work/src/x.sarif").exists()
    assert (2, {"exit-code": "2", "sarif": ""}) == (unusable[0], unusable[2]), unusable[1]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        # A strange name of a report is a name; whatever else is strange is told.
        (("sarif", "junit", "strict", "fail", "summary"), "1"),
        (("paths", "provider", "operation", "baseline"), "2"),
    ],
)
def test_an_input_is_never_run(workspace: Path, names: tuple[str, ...], code: str) -> None:
    nasty = (
        '$(touch pwned); `touch pwned`; "; touch pwned; echo "\n--help\n${IFS}touch${IFS}pwned\nexit-code=0'
    )

    _, log, outputs = lint(workspace, **dict.fromkeys(names, nasty))

    assert [] == list(workspace.rglob("pwned"))
    assert "Options:\n" not in log
    assert outputs.keys() == {"exit-code", "sarif"}
    assert code == outputs["exit-code"], log


def test_no_expression_stands_in_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert step.get("shell", "bash") == "bash"


def test_the_step_that_installs_installs_the_action_itself(tmp_path: Path) -> None:
    python = tmp_path / "python"
    log = tmp_path / "log"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n[ "$2" = venv ] || exit 0\nmkdir -p "$3/bin" && cp "$0" "$3/bin/python"\n'
    )
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python), "ACTION": "/a b/action", "TARGET": str(tmp_path / "t")}

    subprocess.run(["bash", "-eo", "pipefail", "-c", INSTALL["run"]], env=environment, check=True)

    assert log.read_text().splitlines()[-1].endswith("install -q /a b/action[lint]")


def test_the_page_has_every_input_and_output() -> None:
    for kind in ("inputs", "outputs"):
        heading = "Input" if kind == "inputs" else "Output"
        lines = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
        shown = {cells[1].strip(" `"): cells[-2].strip(" `") for cells in (line.split("|") for line in lines)}
        assert ACTION[kind].keys() == shown.keys()
        if kind == "inputs":
            assert {name: one["default"] for name, one in ACTION[kind].items()} == shown


# --- pre-commit -------------------------------------------------------------------------------------------

HOOKS: Any = parse_yaml((ROOT / ".pre-commit-hooks.yaml").read_bytes(), file=".pre-commit-hooks.yaml")


def test_the_hook_is_for_every_file_that_lint_reads() -> None:
    (hook,) = HOOKS

    assert [] == [end for end in ENDINGS if not re.search(hook["files"], f"a/b{end}")]
    assert not re.search(hook["files"], "a/b.png")
    assert re.search(hook["exclude"], "web/package-lock.json")


def test_the_hook_needs_what_the_extra_brings() -> None:
    (hook,) = HOOKS
    project = (ROOT / "pyproject.toml").read_text()

    extra = re.search(r"^lint = \[(.*)\]$", project, re.M)
    assert extra is not None
    assert re.findall(r'"(.*?)"', extra[1]) == hook["additional_dependencies"]


def test_the_hook_passes_over_files_without_requests_and_fails_for_findings(workspace: Path) -> None:
    (workspace / "work/package.json").write_text('{"name": "x"}')
    (workspace / "work/b.yaml").write_text("on: [push]\n")
    command = HOOKS[0]["entry"].split()
    command[0] = str(workspace / "temp/bin/understudy")

    def run(*names: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *names], cwd=workspace / "work", capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    assert (0, "") == run("package.json", "b.yaml")
    code, text = run("package.json", "src/app.py")
    assert 1 == code
    assert text.startswith("src/app.py:2:1: refused (POST /v1/videos/text2video, kling createText2Video)")
