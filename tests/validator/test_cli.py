"""The command line: exit codes, words, JSON, terminals and pipes; real processes where a process matters."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from mockserver.cli import main
from tests.pictures import picture
from tests.providers import LIBRARY, TOY, contract
from validator.cli import COMMANDS
from validator.contract import load
from validator.contract.document import parse_yaml
from validator.readers import FORMS

PROGRAM = [sys.executable, "-m", "mockserver"]
TOY_LINT = ("lint", "--spec", str(TOY))
CLEAN, WARNED = '{"prompt": "a boat"}', '{"prompt": "a boat", "promt": "a ship"}'
REFUSED = '{"prompt": "a boat", "model": "a9"}'
LONG = '{"prompt": "' + "a" * 41 + '"}'
FAILING = json.dumps({"picture": picture(width=20, height=40)})


def called(*arguments: str, text: str | bytes = "") -> Result:
    """Return what a call in this process gives; exceptions come through."""
    result = CliRunner().invoke(main, arguments, input=text, prog_name="understudy", catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return plain | {"TERM": "xterm"} | more


def run(
    *arguments: str, text: bytes = b"", env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Return what a real process gives, in the folder of this test."""
    done = subprocess.run(
        [*prefix, *PROGRAM, *arguments],
        input=text,
        capture_output=True,
        env=environment(**(env or {})),
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder with the package within reach."""
    monkeypatch.setenv("PYTHONPATH", str(TOY.parent.parent))
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- exit codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "options", "code", "summary"),
    [
        ([CLEAN], (), 0, "1 request: 1 accepted"),
        ([WARNED], (), 0, "1 request: 1 accepted; 1 warning"),
        ([WARNED], ("--strict",), 1, "1 request: 1 accepted; 1 warning"),
        ([REFUSED], (), 1, "1 request: 1 refused"),
        ([FAILING], (), 1, "1 request: 1 would fail"),
        ([CLEAN, REFUSED], (), 1, "2 requests: 1 accepted, 1 refused"),
        ([CLEAN, "{"], (), 2, "2 requests: 1 accepted, 1 could not be checked"),
        ([REFUSED, "{"], (), 2, "2 requests: 1 refused, 1 could not be checked"),
        ([LONG], (), 1, "1 request: 1 refused"),
        ([LONG], ("--effect", "toy.clip.prompt=warn"), 0, "1 request: 1 accepted; 1 warning"),
        ([LONG], ("--effect", "toy.clip.prompt=off"), 0, "1 request: 1 accepted"),
    ],
)
def test_the_exit_code_says_what_was_found(
    texts: list[str], options: tuple[str, ...], code: int, summary: str, folder: Path
) -> None:
    for number, text in enumerate(texts):
        (folder / f"{number}.json").write_text(text)

    result = called(*TOY_LINT, *options, *(f"{number}.json" for number in range(len(texts))))

    assert (code, summary) == (result.exit_code, result.output.splitlines()[-1])


def test_a_process_ends_with_the_code_and_reads_its_standard_input() -> None:
    codes = [run(*TOY_LINT, "-", text=text.encode()).returncode for text in (CLEAN, REFUSED, "")]

    assert [0, 1, 2] == codes


def test_files_that_cannot_be_read_are_told_one_by_one_and_the_rest_is_checked(folder: Path) -> None:
    (folder / "empty.json").touch()
    (folder / "folder").mkdir()
    (folder / "broken.json").write_bytes(b'{"prompt": "\xc3("}')
    (folder / "noise.bin").write_bytes(bytes(range(256)))
    (folder / "cut.json").write_text('{"prompt": ')
    (folder / "text.txt").write_text("hello\n")
    (folder / "good.json").write_text(CLEAN)
    names = ["missing.json", "empty.json", "folder", "broken.json", "noise.bin", "cut.json", "text.txt"]

    done = run(*TOY_LINT, *names, "", "good.json")

    out = done.stdout.decode()
    assert (2, b"") == (done.returncode, done.stderr)
    assert [
        ("missing.json", "cannot be read: No such file or directory"),
        ("empty.json", "nothing is in it"),
        ("folder", "no file is in it that could hold requests"),
        ("broken.json", "not UTF-8 (byte 13 is 0xc3)"),
        ("noise.bin", "not UTF-8 (byte 129 is 0x80)"),
        ("cut.json", "no JSON: … (line 1, column 11)"),
        ("text.txt", f"what it holds cannot be told; say with --form: {', '.join(FORMS)}"),
        ("''", "cannot be read: No such file or directory"),
    ] == re.findall(
        r"^(.*): could not be checked\n  why          (.*)$",
        re.sub(r"JSON: [^(\n]+\(", "JSON: … (", out),
        re.M,
    )
    assert "good.json: accepted (toy createClip)" in out
    assert out.endswith("9 requests: 1 accepted, 8 could not be checked\n")


def test_a_line_of_thirty_megabytes_is_judged_and_shown_short() -> None:
    done = run(*TOY_LINT, "-", text=b'{"prompt": "' + b"a" * 30_000_000 + b'"}')

    assert 1 == done.returncode
    assert b"found    30,000,000 characters" in done.stdout
    assert len(done.stdout) < 2_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[" * 200_000, 2),
        (b'{"prompt": ' * 200 + b"1" + b"}" * 200, 1),
        (b'{"prompt": "\\ud800"}', 2),
        (b'{"seconds": 1e999}', 2),
        (b'{"seconds": 123456789012345678901234567890}', 1),
        (b"null", 1),
        (b"[]", 1),
        (b'""', 1),
    ],
)
def test_any_json_is_answered(text: bytes, code: int) -> None:
    assert code == called(*TOY_LINT, "--form", "json", "-", text=text).exit_code


def test_quiet_prints_findings_alone(folder: Path) -> None:
    for name, text in (("clean", CLEAN), ("warned", WARNED), ("refused", REFUSED)):
        (folder / f"{name}.json").write_text(text)

    silent = called(*TOY_LINT, "--quiet", "clean.json")
    spoken = called(*TOY_LINT, "--quiet", "clean.json", "warned.json", "refused.json").output

    assert (0, "") == (silent.exit_code, silent.output)
    assert ["warned.json: accepted", "refused.json: refused"] == re.findall(r"^(\S+: \w+)", spoken, re.M)
    assert "3 requests" not in spoken


def test_an_archive_with_nothing_for_us_is_no_success() -> None:
    archive = {"log": {"entries": [{"request": {"method": "GET", "url": "https://cdn.example.com/a.js"}}]}}

    for options in ((), ("--quiet",)):
        result = called("lint", *options, "-", text=json.dumps(archive))

        assert 2 == result.exit_code
        assert "0 requests: nothing to check; 1 request to others left out\n" == result.output


# --- names that are wrong ---------------------------------------------------------------------------------

USAGE = re.compile(r"^Usage: [^\n]*\nTry '[^\n]*' for help\.\n\nError: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("lnt",), "No such command 'lnt' (did you mean 'lint'?)"),
        (("lint",), "Missing argument 'FILE...'."),
        (("lint", "--collor", "x", "-"), "No such option '--collor'. Did you mean '--color'?"),
        (("lint", "--provider", "klng", "-"), "no provider is called 'klng' (did you mean 'kling'?)"),
        (
            ("lint", "--provider", "x", "-"),
            "no provider is called 'x' (known: aimlapi, kling, magnific, modellix)",
        ),
        (("rules", "modelix"), "no provider is called 'modelix' (did you mean 'modellix'?)"),
        (
            ("lint", "--provider", "kling", "--operation", "createText2Vide", "-"),
            "no operation of kling with a body is called 'createText2Vide' (did you mean 'createText2Video'?)",
        ),
        (
            ("lint", "--provider", "kling", "--operation", "listText2Video", "-"),
            "no operation of kling with a body is called 'listText2Video' (did you mean 'createText2Video'?)",
        ),
        (("lint", "--operation", "createClip", "-"), "--operation needs --provider or --spec, whose operation it is"),
        ((*TOY_LINT, "--provider", "kling", "-"), "--spec names the provider already; leave --provider out"),
        (("lint", "--form", "xml", "-"), "'xml' is not one of 'json', 'ndjson', 'har', 'curl', 'yaml', 'http',"),
        ((*TOY_LINT, "--effect", "toy.clip.model", "-"), "'toy.clip.model' has no '='; write RULE=EFFECT"),
        ((*TOY_LINT, "--effect", "toy.clip.model=of", "-"), "'of' is no effect (did you mean 'off'?)"),
        ((*TOY_LINT, "--effect", "tay.x=off", "-"), "'tay.x=off' is for no provider in use (did you mean 'toy'?)"),
        ((*TOY_LINT, "--variant", "toy", "-"), "'toy' has no name of a variant; write PROVIDER.NAME"),
        ((*TOY_LINT, "--variant", "toy.nope", "-"), "toy has no variant 'nope' (known: chatty)"),
        (("lint", "--variant", "kling.old-id", "-"), "kling has no variant 'old-id' (did you mean 'old-ids'?)"),
        (("evidence",), "name a provider (aimlapi, kling, magnific, modellix) or give --spec"),
        (("spec",), "name a provider (aimlapi, kling, magnific, modellix), or give --spec or --check"),
        (("spec", "kling", "--check", "x.yaml"), "--check FILE stands alone"),
        (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'."),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_what_would_be_right(arguments: tuple[str, ...], sentence: str) -> None:
    result = called(*arguments)

    assert 2 == result.exit_code
    assert "" == result.stdout
    assert USAGE.match(result.stderr)
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence", "hint"),
    [
        (
            (*TOY_LINT, "--effect", "toy.clip.modl=off", "-"),
            "lint: there is no rule 'toy.clip.modl'",
            "did you mean 'toy.clip.model'?",
        ),
        (("lint", "--spec", "no.yaml", "-"), "lint: no.yaml: cannot be read: No such file or directory", ""),
        (
            ("explain", "toy.clip.model"),
            "explain: no rule is called 'toy.clip.model'",
            "understudy rules lists all of them",
        ),
        (
            ("explain", "sound.oferred"),
            "explain: no rule is called 'sound.oferred'",
            "did you mean kling.sound.offered",
        ),
        (
            ("explain", "sound"),
            "explain: no rule is called 'sound'",
            "did you mean kling.sound.value, kling.voice.needs-sound, kling.sound.offered?",
        ),
        (
            ("explain", "duration.integer"),
            "explain: several rules end with 'duration.integer'",
            "did you mean magnific.duration.integer, modellix.duration.integer?",
        ),
        (("spec", "--check", "no.yaml"), "spec: no.yaml cannot be read: No such file or directory", ""),
    ],
)
def test_what_keeps_a_command_from_working_is_told(
    arguments: tuple[str, ...], sentence: str, hint: str
) -> None:
    result = called(*arguments)

    told, *more = result.stderr.splitlines()
    assert (2, "", f"understudy {sentence}") == (result.exit_code, result.stdout, told)
    assert hint in "".join(more)


# --- help -------------------------------------------------------------------------------------------------


def examples(name: str) -> list[str]:
    return re.findall(rf"^  (understudy {name} .*)$", called(name, "--help").output, re.M)


EXAMPLES = [line for name in COMMANDS for line in examples(name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples(name: str) -> None:
    text = called(name, "--help").output

    assert len(examples(name)) >= 2
    for option in re.findall(r"^  (--[\w-]+)", text, re.M):
        assert re.search(rf"^  {option}\b.*(?: {{2}}|\n {{10,}})\w", text, re.M), f"{option} is not explained"


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_of_the_help_works(line: str, folder: Path) -> None:
    (folder / "body.json").write_text(CLEAN)
    (folder / "requests.ndjson").write_text('{"url": "https://api.modellix.ai/api/v1/tasks/1"}\n')
    (folder / "request.har").write_text(
        '{"log": {"entries": [{"request": {"url": "https://api.modellix.ai/api/v1/tasks/1"}}]}}'
    )
    for name in ("README.md", "calls.sh"):
        (folder / name).write_text("curl https://api.modellix.ai/api/v1/tasks/1\n")
    shutil.copy(TOY, "mine.yaml")
    (folder / "lint-baseline.json").write_text('{"version": 1, "findings": []}')
    for name in ("src", "tests"):
        (folder / name).mkdir()
        (folder / name / "calls.sh").write_text("curl https://api.modellix.ai/api/v1/tasks/1\n")

    result = called(*shlex.split(line.partition(" > ")[0])[1:])

    assert result.exit_code in (0, 1), result.stderr
    assert result.stdout


def test_the_group_lists_every_command_with_a_line() -> None:
    text = called("--help").output

    for name in (*COMMANDS, "serve", "completion"):
        assert re.search(rf"^  {name}\b +[A-Z]\w+ ", text, re.M)


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"understudy, version \d+\.\d+\.\d+\n", called("--version").output)


# --- JSON -------------------------------------------------------------------------------------------------


def an_object(required: str, optional: str = "", **members: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    names = {
        name: members.get(name, {"type": "string", "minLength": 1})
        for name in (required + " " + optional).split()
    }
    return {
        "type": "object",
        "properties": names,
        "required": required.split(),
        "additionalProperties": False,
    }


NUMBER, WHOLE, ANY = {"type": "number"}, {"type": "integer", "minimum": 0}, True
EFFECT = {"enum": ["reject", "fail", "warn", "off"]}
EVIDENCE = {"enum": ["documented", "captured", "reported", "assumed"]}
TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}}
VERDICT = {"enum": ["accepted", "refused", "fails", "unchecked"]}
ANSWER = an_object(
    "status mediaType headers body evidence",
    status={"type": "integer", "minimum": 400, "maximum": 599},
    headers={"type": "object", "additionalProperties": {"type": "string"}},
    body=ANY,
    evidence=EVIDENCE,
)
VIOLATION = an_object(
    "rule kind effect place message evidence",
    "instanceLocation keywordLocation found allowed suggestion source line column",
    line=WHOLE,
    column=WHOLE,
    effect=EFFECT,
    evidence=EVIDENCE,
    place={"enum": ["body", "path", "query", "header"]},
)
REQUEST = an_object(
    "label verdict",
    "line entry method path problem hint note provider operation answer failure cost clip violations unchecked "
    "file column unread ignored known",
    verdict=VERDICT,
    ignored={"type": "array", "items": VIOLATION},
    known={"type": "array", "items": VIOLATION},
    column=WHOLE,
    line=WHOLE,
    entry=WHOLE,
    answer=ANSWER,
    cost=NUMBER,
    clip=an_object(
        "width height fps seconds hasAudio",
        width=WHOLE,
        height=WHOLE,
        fps=WHOLE,
        seconds=NUMBER,
        hasAudio={"type": "boolean"},
    ),
    violations={"type": "array", "items": VIOLATION},
    unchecked=TEXTS,
)
REQUEST["if"] = {"properties": {"verdict": {"const": "unchecked"}}}
REQUEST["then"] = {"required": ["problem"]}
REQUEST["else"] = {"required": ["provider", "violations", "unchecked"]}
SUMMARY = (
    "requests accepted refused fails unchecked warnings skipped calls unread broken passed ignored known"
)
LINT = an_object(
    "version requests unread summary exit",
    "stale",
    unread={
        "type": "array",
        "items": an_object("label file reason", "line column", line=WHOLE, column=WHOLE),
    },
    stale=TEXTS,
    version={"const": 1},
    requests={"type": "array", "items": REQUEST},
    summary=an_object(SUMMARY, **dict.fromkeys(SUMMARY.split(), WHOLE)),
    exit={"enum": [0, 1, 2]},
)
RULES = an_object(
    "version rules",
    version={"const": 1},
    rules={
        "type": "array",
        "items": an_object(
            "rule effect evidence message isOfSpec source",
            effect=EFFECT,
            evidence=EVIDENCE,
            source={"type": "string"},
            isOfSpec={"type": "boolean"},
        ),
    },
)
CASE = an_object(
    "",
    "why operation method path headers text body verdict location",
    headers={"type": "object", "minProperties": 1},
    body=ANY,
    verdict=VERDICT,
)
EXPLANATION = an_object(
    "rule message effect evidence",
    "source operations pointer breaks meets answer failure",
    effect=EFFECT,
    evidence=EVIDENCE,
    source=an_object("key title", "place url snapshot retrieved"),
    operations=TEXTS,
    breaks=CASE,
    meets=CASE,
    answer=an_object("status body evidence", status=WHOLE, body=ANY, evidence=EVIDENCE),
)
STATEMENTS = an_object(
    "version provider counts statements sources",
    version={"const": 1},
    counts=an_object("documented captured reported assumed", **dict.fromkeys(EVIDENCE["enum"], WHOLE)),
    statements={
        "type": "array",
        "minItems": 1,
        "items": an_object("kind name text evidence source pointer", evidence=EVIDENCE, text={"type": "string"}),
    },
    sources={"type": "object", "additionalProperties": an_object("title", "url snapshot retrieved")},
)  # fmt: skip


def parsed(schema: Mapping[str, Any], *arguments: str, text: str = "", code: int = 0) -> Any:
    """Return the JSON that a call prints, after a look at its form."""
    result = called(*arguments, "--format", "json", text=text)
    assert code == result.exit_code
    value = json.loads(result.stdout)
    Draft202012Validator(schema).validate(value)
    return value


def test_the_json_of_lint_has_its_form_for_every_case_of_every_provider(folder: Path) -> None:
    lines = {"toy": [CLEAN, WARNED, REFUSED, FAILING, "5"]}
    for name in LIBRARY:
        cases = (TOY.parent / "specs" / name / "fail").glob("*.yaml")
        bodies = [parse_yaml(one.read_bytes(), file=str(one)).get("body") for one in sorted(cases)]
        lines[name] = [json.dumps(one) for one in bodies if one is not None]

    for name, texts in lines.items():
        texts.append("{")
        source = TOY_LINT[1:] if name == "toy" else ("--provider", name)
        shown = parsed(LINT, "lint", *source, "--form", "ndjson", "-", text="\n".join(texts), code=2)

        assert len(texts) == shown["summary"]["requests"] == len(shown["requests"])


def test_the_json_of_lint_tells_where_and_what(folder: Path) -> None:
    (folder / "a.ndjson").write_text(f"{CLEAN}\n\n{REFUSED}\n")
    (folder / "b.sh").write_text("\ncurl https://api.toy.example/api/clips/7 -H 'X-Toy-Key: k'\n")

    shown = parsed(LINT, *TOY_LINT, "a.ndjson", "b.sh", "c.json", code=2)

    assert [
        ("a.ndjson line 1", 1, "accepted", None),
        ("a.ndjson line 3", 3, "refused", None),
        ("b.sh line 2", 2, "accepted", "/api/clips/7"),
        ("c.json", None, "unchecked", None),
    ] == [(one["label"], one.get("line"), one["verdict"], one.get("path")) for one in shown["requests"]]
    refused = shown["requests"][1]
    (finding,) = refused["violations"]
    assert ("toy.clip.model", "/model") == (finding["rule"], finding["instanceLocation"])
    assert ("'a9'", "a1, a2, b1") == (finding["found"], finding["allowed"])
    assert (400, "bad") == (refused["answer"]["status"], refused["answer"]["body"]["code"])
    assert (4, 2) == (shown["summary"]["requests"], shown["exit"])


def test_what_is_not_unicode_survives_the_json() -> None:
    shown = parsed(LINT, *TOY_LINT, "-", text='{"prompt": "a", "model": "\\u0000\\u001b[2Jé"}', code=1)

    assert "'\\u0000\\u001b[2Jé'" == shown["requests"][0]["violations"][0]["found"]


def test_the_json_of_rules_holds_every_rule() -> None:
    shown = parsed(RULES, "rules", "--spec", str(TOY))["rules"]

    assert list(contract("toy").rules) == [one["rule"] for one in shown if one["isOfSpec"]]


def test_rules_can_be_chosen() -> None:
    everything = parsed(RULES, "rules")["rules"]
    guessed = parsed(RULES, "rules", "--evidence", "assumed", "--only", "warn")["rules"]

    assert set(LIBRARY) == {one["rule"].partition(".")[0] for one in everything}
    assert [one for one in everything if (one["evidence"], one["effect"]) == ("assumed", "warn")] == guessed
    assert guessed


def test_rules_show_the_effects_that_were_asked_for() -> None:
    shown = parsed(RULES, "rules", "--spec", str(TOY), "--effect", "toy.clip.model=off")["rules"]

    assert ["off"] == [one["effect"] for one in shown if one["rule"] == "toy.clip.model"]


def test_no_rule_of_a_kind_is_said() -> None:
    assert "no rule is like that\n" == called("rules", "modellix", "--evidence", "captured").output


@pytest.mark.parametrize(
    "rule", ["kling.sound.offered", "kling.mask.ratio", "kling.model.ignored", "kling.request.malformed"]
)
def test_the_json_of_explain_has_its_form(rule: str) -> None:  # fmt: skip
    assert rule == parsed(EXPLANATION, "explain", rule)["rule"]


@pytest.mark.parametrize("name", LIBRARY)
def test_the_json_of_evidence_counts_what_it_lists(name: str) -> None:
    shown = parsed(STATEMENTS, "evidence", name)
    guesses = parsed(STATEMENTS, "evidence", name, "--evidence", "assumed")

    assert sum(shown["counts"].values()) == len(shown["statements"])
    assert {one["source"].partition("#")[0] for one in shown["statements"]} <= shown["sources"].keys()
    assert [one for one in shown["statements"] if one["evidence"] == "assumed"] == guesses["statements"]


def test_the_text_of_evidence_is_grouped_and_counted() -> None:
    out = called("evidence", "--spec", str(TOY)).output

    kinds = re.findall(r"^([a-z][\w -]*): ([\d,]+) \(", out, re.M)
    rows = re.findall(r"^  (?:documented|captured|reported|assumed) ", out, re.M)
    assert out.startswith(f"Toy clips: {len(rows)} (")
    assert len(rows) == sum(int(count) for _, count in kinds)
    assert len(kinds) == len({kind for kind, _ in kinds})


# --- spec -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("name", LIBRARY)
def test_a_spec_that_is_printed_can_be_used_again(name: str, form: str, folder: Path) -> None:
    (folder / f"again.{form}").write_text(called("spec", name, "--format", form).output)

    again = load(f"again.{form}")

    assert contract(name).document.root == again.document.root


def test_effects_are_written_into_a_spec(folder: Path) -> None:
    out = called(
        "spec",
        "--spec",
        str(TOY),
        "--effect",
        "toy.clip.model=warn",
        "--effect",
        "toy.request.unknown-member=off",
    )
    (folder / "again.yaml").write_text(out.stdout)  # fmt: skip

    assert "warn" == load("again.yaml").rules["toy.clip.model"].effect
    assert "reject" == contract("toy").rules["toy.clip.model"].effect
    assert "'toy.request.unknown-member' is no rule of the spec" in out.stderr


def test_the_plain_spec_knows_the_effects() -> None:
    def plain(*options: str) -> str:
        return called("spec", "--spec", str(TOY), "--plain", "--format", "json", *options).output

    assert '"b1"' in plain()
    assert '"x-rule"' not in plain()
    assert plain("--effect", "toy.clip.model=off") != plain()


def test_a_spec_of_ones_own_is_checked(folder: Path) -> None:
    text = TOY.read_text()
    (folder / "good.yaml").write_text(text)
    (folder / "bad.yaml").write_text(text.replace("initial: waiting", "initial: wating"))
    (folder / "worse.yaml").write_text("a: [")
    (folder / "list.yaml").write_text("[1]")

    good, bad, worse, other = (
        called("spec", "--check", f"{one}.yaml") for one in ("good", "bad", "worse", "list")
    )

    assert (0, "good.yaml: toy can be used: 4 operations, 32 rules, 15 error cases, 1 variant\n") == (
        good.exit_code,
        good.output,
    )
    assert (1, "1 fault\n") == (bad.exit_code, bad.stderr)
    assert (
        "bad.yaml#/components/x-lifecycles/clip: state 'wating' does not exist (did you mean 'waiting'?)\n"
        == (bad.stdout)
    )
    assert (2, "") == (worse.exit_code, worse.stdout)
    assert worse.stderr.startswith("understudy spec: worse.yaml")
    assert (2, "understudy spec: list.yaml holds no mapping\n") == (other.exit_code, other.stderr)


@pytest.mark.parametrize("name", ["mine.yaml", "mine", "./mine.txt"])
def test_a_provider_of_ones_own_is_used_whatever_its_file_is_called(name: str, folder: Path) -> None:
    shutil.copy(TOY, name)

    assert 1 == called("lint", "--spec", name, "-", text=REFUSED).exit_code
    assert "toy.clip.model" in called("rules", "--spec", name).output
    assert "toy.clip.model\n" in called("explain", "--spec", name, "clip.model").output


# --- terminals and pipes ----------------------------------------------------------------------------------


def on_a_terminal(*arguments: str, stream: str = "stdout", text: bytes = b"", **env: str) -> str:
    """Return what a process writes to a terminal that is this stream of it; the other one goes nowhere."""
    ours, theirs = pty.openpty()
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdin=subprocess.PIPE, env=environment(**env), **streams
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        out = b"".join(_until_closed(ours))
    os.close(ours)
    return out.decode().replace("\r\n", "\n")


def _until_closed(stream: int) -> Iterator[bytes]:
    while True:
        try:
            some = os.read(stream, 65_536)
        except OSError:  # Linux says EIO where the other side of a terminal went away.
            return
        if not some:
            return
        yield some


@pytest.mark.parametrize(
    ("env", "options", "is_coloured"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
        ({"TERM": "dumb"}, (), False),
    ],
)
def test_colours_come_on_a_terminal(env: dict[str, str], options: tuple[str, ...], is_coloured: bool) -> None:
    out = on_a_terminal(*TOY_LINT, *options, "-", text=REFUSED.encode(), **env)

    assert ("\x1b[31mrefused\x1b[0m (toy createClip)" in out) == is_coloured
    assert ("\x1b" in out) == is_coloured


@pytest.mark.parametrize(("env", "is_coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_colours_do_not_go_into_a_pipe(env: dict[str, str], is_coloured: bool) -> None:
    out = run(*TOY_LINT, "-", text=REFUSED.encode(), env=env).stdout

    assert (b"\x1b" in out) == is_coloured


def test_a_table_fits_the_terminal_and_is_cut_nowhere_else() -> None:
    narrow = on_a_terminal("rules", "--spec", str(TOY), COLUMNS="70", NO_COLOR="1")
    piped = run("rules", "--spec", str(TOY), env={"COLUMNS": "70"}).stdout.decode()

    assert 70 >= max(len(line) for line in narrow.splitlines())
    assert 70 < max(len(line) for line in piped.splitlines())
    assert narrow.split() == piped.split()


def test_a_long_run_shows_how_far_it_has_come(folder: Path) -> None:
    (folder / "many.ndjson").write_text(f"{CLEAN}\n" * 120)

    out = on_a_terminal(*TOY_LINT, "many.ndjson", stream="stderr")

    assert re.fullmatch(r"(?:\r\d+ requests checked )+\r +\r", out)
    assert "\r120 requests checked" in out


def test_a_reader_that_goes_away_is_no_fault(folder: Path) -> None:
    (folder / "many.ndjson").write_text(f"{CLEAN}\n" * 2_000)
    command = [*PROGRAM, *TOY_LINT, "many.ndjson"]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()

    assert b"many.ndjson line 1: accepted (toy createClip)\n" == first
    # 1 would say that something was found, and 0 that all of it was looked at.
    assert (2, b"") == (process.returncode, told)


def test_a_standard_output_that_is_closed_changes_no_code() -> None:
    closed = ("sh", "-c", 'exec "$@" >&-', "sh")

    assert 1 == run(*TOY_LINT, "-", text=REFUSED.encode(), prefix=closed).returncode
    assert 0 == run("rules", "--spec", str(TOY), prefix=closed).returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told() -> None:
    done = run("rules", "--spec", str(TOY), prefix=("sh", "-c", 'exec "$@" >/dev/full', "sh"))

    assert (2, b"understudy rules: the output cannot be written: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_name_with_control_characters_steers_no_terminal() -> None:
    name = "a\x1b[2J\nb.json"
    Path(name).write_text("{")

    assert "a\\u001b[2J\\nb.json: could not be checked\n" in called(*TOY_LINT, name).output


def test_a_name_that_is_no_unicode_is_shown() -> None:
    done = run(*TOY_LINT, os.fsdecode(b"\xff.json"))

    assert 2 == done.returncode
    assert "�.json: could not be checked\n" in done.stdout.decode()


# --- tab completion ---------------------------------------------------------------------------------------


def offered(line: str) -> list[str]:
    """Return what is offered for the last word of a line."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    variables = {
        "_UNDERSTUDY_COMPLETE": "bash_complete",
        "COMP_WORDS": shlex.join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(main, [], prog_name="understudy", env=variables)
    return [one.partition(",")[2] for one in result.output.splitlines() if one]


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("understudy ", main.list_commands(click.Context(main))),
        ("understudy ev", ["evidence"]),
        ("understudy lint --fo", ["--form", "--format"]),
        ("understudy lint --format ", ["text", "json", "sarif", "junit", "github", "markdown"]),
        ("understudy lint --provider ", list(LIBRARY)),
        ("understudy rules mo", ["modellix"]),
        ("understudy lint --provider kling --operation ", ["createImage2Video", "createText2Video"]),
        (f"understudy lint --spec {TOY} --operation ", ["createClip"]),
        ("understudy lint --spec no.yaml --operation ", []),
        ("understudy explain kling.so", ["kling.sound.value", "kling.sound.offered"]),
        (f"understudy explain --spec {TOY} toy.clip.mo", ["toy.clip.model"]),
        ("understudy lint --effect kling.so", ["kling.sound.value=", "kling.sound.offered="]),
        ("understudy lint --effect kling.sound.o", [f"kling.sound.offered={one}" for one in EFFECT["enum"]]),
        ("understudy lint --effect kling.sound.offered=o", ["kling.sound.offered=off"]),
        ("understudy lint --effect nope", []),
        ("understudy lint --variant kling.old", ["kling.old-ids"]),
        ("understudy completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_words_are_completed(line: str, offers: list[str]) -> None:
    assert offers == offered(line)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_the_program(shell: str) -> None:
    out = called("completion", shell).output

    assert f"_UNDERSTUDY_COMPLETE={shell}_complete" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_completion_of_bash_works_in_bash(folder: Path) -> None:
    (folder / "understudy").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    (folder / "understudy").chmod(0o755)
    script = (
        'eval "$(understudy completion bash)"\n'
        "COMP_WORDS=(understudy rules mod) COMP_CWORD=2\n"
        '_understudy_completion understudy\necho "${COMPREPLY[@]}"\n'
    )

    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=environment(PATH=f"{folder}:{os.environ['PATH']}"),
        timeout=60,
        check=False,
    )

    assert ("modellix\n", "") == (done.stdout, done.stderr)
