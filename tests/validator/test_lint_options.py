"""Runs of lint over programs and directories: what is counted, written and passed over, and the exit code."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mockserver.cli import main
from tests.providers import TOY

LINT = ("lint", "--spec", str(TOY))
URL = "https://api.toy.example/api/clips"
BAD = f"requests.post('{URL}', json={{'prompt': 'a', 'model': 'a9'}})\n"
GOOD = f"requests.post('{URL}', json={{'prompt': 'a'}})\n"
OTHER = "requests.post('https://example.com/x', json={'a': 1})\n"
UNREAD = "requests.post(url, json={'a': 1})\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(**files: str) -> None:
    for name, text in files.items():
        Path(name.replace("__", "/").replace("_", ".")).write_text(text)


def called(*arguments: str, text: str = "", env: dict[str, str] | None = None) -> Result:
    result = CliRunner().invoke(main, [*LINT, *arguments], input=text, env=env, catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def last(result: Result) -> tuple[int, str]:
    return result.exit_code, result.output.splitlines()[-1]


# --- directories ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "options", "code", "summary"),
    [
        ({"a_py": GOOD + OTHER}, (), 0, "1 request: 1 accepted; 1 request to others left out"),
        (
            {"a_py": GOOD + UNREAD, "b_json": '{"title": "x"}', "c_yaml": "on: push"},
            (),
            0,
            "1 request: 1 accepted; 2 calls looked at, 1 not readable without running; 2 files without requests",
        ),
        (
            {"a_py": BAD, "b_json": "{", "c_md": "# x"},
            (),
            1,
            "1 request: 1 refused; 2 files without requests",
        ),
        ({"a_py": OTHER}, (), 2, "0 requests: nothing to check; 1 request to others left out"),
        ({"a_py": OTHER}, ("--discover",), 0, "0 requests: nothing to check; 1 request to others left out"),
        ({"b_json": "{"}, ("--discover",), 0, "0 requests: nothing to check; 1 file without requests"),
        (
            {"a_py": "def f(:"},
            ("--discover",),
            0,
            "0 requests: nothing to check; 1 place not readable",
        ),
        ({"a_http": "what is this?"}, ("--discover",), 0, "0 requests: nothing to check"),
        ({"b_json": '{"prompt": "a", "model": "a9"}'}, (), 1, "1 request: 1 refused"),
        (
            {"b_json": '{"x": 1, "prompt": "a"}'},
            ("--discover",),
            0,
            "0 requests: nothing to check; 1 file without",
        ),
        ({"a_py": "requests.post(url, json={'prompt': 'a', 'model': 'a9'})"}, (), 1, "1 request: 1 refused"),
        ({"a_md": '```json\n{"code": 0}\n```\n```py\n' + GOOD + "```"}, (), 0, "1 request: 1 accepted"),
        ({"a_har": '{"log": {"entries": []}}'}, ("--discover",), 0, "0 requests: nothing to check"),
    ],
)
def test_a_directory_is_looked_into(
    files: dict[str, str], options: tuple[str, ...], code: int, summary: str
) -> None:
    put(**files)

    found = last(called(*options, "."))

    assert (code, True) == (found[0], found[1].startswith(summary)), found


def test_named_files_must_hold_requests_unless_they_are_offered() -> None:
    put(a_json='{"title": "x"}', b_py="x = 1\n", c_yaml="- 1\n")

    named, offered = called("b.py"), called("--discover", "a.json", "b.py", "c.yaml")

    assert 2 == named.exit_code
    assert "why          no call of an HTTP client in it" in named.output
    assert (0, "0 requests: nothing to check; 3 files without requests") == last(offered)


def test_what_is_broken_in_a_file_that_nobody_named_is_told() -> None:
    put(a_http="what is this?", b_py="def f(:", c_sh="curl 'https://x")
    Path("d.py").write_bytes(b"x = '\xff'")

    out = called("--discover", ".").output

    assert [
        "neither a method nor an address begins the request",
        "no Python: invalid syntax (line 1, column 7)",
        "the quote ' of line 1 is not closed",
        "not UTF-8 (byte 6 is 0xff)",
    ] == re.findall(r"^  why          (.*)$", out, re.M)
    assert out.endswith("0 requests: nothing to check; 4 places not readable\n"), out


def test_a_body_of_a_call_without_a_url_is_judged_only_where_it_may_be_meant() -> None:
    put(a_py="requests.post(url, json={'prompt': 'a', 'model': 'a9'})\nrequests.post(url, json={'id': 5})\n")

    alone = CliRunner().invoke(main, ["lint", "--discover", "a.py"])
    told = called("a.py")

    assert 0 == alone.exit_code
    assert "2 calls looked at, 2 not readable without running" in alone.output
    assert "1 request: 1 refused; 2 calls looked at, 1 not readable without running" == last(told)[1]


def test_a_path_that_only_running_would_tell_is_no_finding() -> None:
    put(a_py="requests.post(f'{BASE}/api/{kind}', json={'prompt': 'a'})\nrequests.get(f'{BASE}/x/{kind}')\n")

    out = called("--discover", "a.py")

    assert "why          its path is only known when the program runs" in out.output
    assert 0 == out.exit_code


def test_the_answer_of_the_provider_is_not_told_where_it_may_be_another() -> None:
    put(a_py=BAD, b_py=BAD.replace("'a',", "x,"))

    known, partial = called("a.py").output, called("b.py").output

    assert "answer  " in known
    assert "answer  " not in partial
    assert "not checked  prompt: only known when the program runs" in partial


# --- reports ----------------------------------------------------------------------------------------------


def test_reports_are_written_beside_what_is_printed(folder: Path) -> None:
    put(a_py=BAD)
    names = ("text", "json", "sarif", "junit", "github", "markdown")

    result = called(*(part for name in names for part in ("--report", f"{name}=out.{name}")), "a.py")

    assert (1, "1 request: 1 refused") == last(result)
    texts = {name: (folder / f"out.{name}").read_text() for name in names}
    assert result.output.split() == texts["text"].split()
    assert 1 == json.loads(texts["json"])["exit"]
    assert "2.1.0" == json.loads(texts["sarif"])["version"]
    assert "1" == ET.fromstring(texts["junit"]).attrib["failures"]
    for name in names[1:]:
        assert texts[name] == called("--format", name, "a.py").output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--report", "sarif"), "'sarif' names no file; write FORMAT=FILE, such as sarif=lint.sarif"),
        (("--report", "sarfi=x"), "no format is called 'sarfi' (did you mean 'sarif'?)"),
        (("--report", "sarif=no/x"), "no/x cannot be written: No such file or directory"),
        (("--github-summary",), "GITHUB_STEP_SUMMARY is not set"),
        (("--strict-baseline",), "--strict-baseline needs --baseline"),
        (("--baseline", "none.json"), "the baseline none.json cannot be read: No such file or directory"),
        (("--baseline", "a.py"), "the baseline a.py cannot be used: it is no JSON"),
        (("--write-baseline", "no/x"), "no/x cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told(options: tuple[str, ...], sentence: str) -> None:
    put(a_py=BAD)

    result = called(*options, "a.py", env={"GITHUB_STEP_SUMMARY": ""})

    assert 2 == result.exit_code
    assert sentence in result.stderr


def test_a_summary_is_added_to(folder: Path) -> None:
    put(a_py=BAD, summary_md="before\n")

    called("--github-summary", "a.py", env={"GITHUB_STEP_SUMMARY": "summary.md"})

    text = (folder / "summary.md").read_text()
    assert text.startswith("before\n### understudy lint\n")
    assert "toy.clip.model" in text


# --- baselines --------------------------------------------------------------------------------------------


def test_what_stands_in_a_baseline_is_passed_over_until_it_is_gone(folder: Path) -> None:
    put(a_py=BAD + BAD)
    written = called("--write-baseline", "b.json", "a.py")
    assert (0, "2 requests: 2 accepted; 2 findings in the baseline") == last(written)

    put(a_py="# moved\n" + BAD + BAD)
    assert (0, "2 requests: 2 accepted; 2 findings in the baseline") == last(
        called("--baseline", "b.json", "a.py")
    )

    put(a_py=BAD + BAD + BAD)
    assert (1, "3 requests: 2 accepted, 1 refused; 2 findings in the baseline") == last(
        called("--baseline", "b.json", "a.py")
    )

    put(a_py=GOOD + BAD)
    stale = "baseline: a.py: toy.clip.model at /model is no longer found (1 of 2)"
    for options, code in ((("--baseline", "b.json"), 0), (("--baseline", "b.json", "--strict-baseline"), 1)):
        result = called(*options, "a.py")
        assert (code, stale) == (result.exit_code, result.output.splitlines()[-2])
    shown = json.loads(called("--baseline", "b.json", "--format", "json", "a.py").output)
    assert [stale.removeprefix("baseline: ")] == shown["stale"]


def test_what_could_not_be_checked_stays_so_with_a_baseline() -> None:
    put(a_py=BAD, c_json="{")

    written = called("--write-baseline", "b.json", "a.py", "c.json")

    assert 2 == written.exit_code
    assert 2 == called("--baseline", "b.json", "a.py", "c.json").exit_code


def test_a_written_baseline_takes_the_place_of_an_old_one(folder: Path) -> None:
    put(a_py=BAD)
    called("--write-baseline", "b.json", "a.py")
    put(a_py=BAD.replace("a9", "a8"))

    result = called("--baseline", "b.json", "--write-baseline", "b.json", "a.py")

    assert 0 == result.exit_code
    assert ["toy.clip.model"] == [
        one["rule"] for one in json.loads((folder / "b.json").read_text())["findings"]
    ]
    assert 0 == called("--baseline", "b.json", "a.py").exit_code


def test_quiet_says_only_what_counts() -> None:
    put(a_py=GOOD + UNREAD + OTHER + BAD + BAD.replace("\n", "  # understudy: ignore\n"))

    lines = called("--quiet", "a.py").output

    assert ["a.py:4:1"] == re.findall(r"^(a\.py:\d+:\d+):", lines, re.M)


def test_standard_input_can_be_of_any_form() -> None:
    for form, text in (("python", BAD), ("http", f'POST {URL}\nX-Toy-Key: k\n\n{{"prompt": 1}}')):
        result = called("--form", form, "-", text=text)
        assert (1, "1 request: 1 refused") == last(result)
        assert result.output.startswith("standard input")
    shown = json.loads(called("--form", "python", "--format", "sarif", "-", text=BAD).output)
    place = shown["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert "standard-input" == place["uri"]


def test_an_interrupted_run_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    put(a_py=BAD, b_py=BAD)
    seen: list[str] = []

    def interrupted(content: bytes, *, name: str, **more: object) -> str:
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr("validator.readers.commented_text", interrupted)

    result = called("a.py", "b.py")

    assert (2, True) == (result.exit_code, "interrupted: not everything was looked at" in result.stderr)
    assert "a.py:1:1: refused" in result.output
