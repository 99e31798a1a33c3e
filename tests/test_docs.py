"""What the documentation says, held against what it speaks of."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mockserver.admin import ROUTES
from mockserver.cli import main, serve
from mockserver.plans import read_entry
from mockserver.proxy.command import proxy
from mockserver.scenarios import GROUPS, SCENARIOS, Scenario
from tests.providers import LIBRARY, TOY, contract
from validator import HttpRequest, check, load
from validator.cli import lint
from validator.contract.document import parse_yaml

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "specs" / "README.md"])
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)")


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def table(page: Path, heading: str) -> Iterator[list[str]]:
    """Yield the rows of the first table below a heading, as cells without backticks."""
    rest = page.read_text().partition(f"\n{heading}\n")[2]
    assert rest, f"{page.name} has no {heading}"
    lines = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert lines is not None
    for line in lines[0].splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").replace("`", "").split(" | ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)):
        target = (page.parent / path).resolve() if path else page

        assert target.exists(), f"{path} is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", one).lower().replace(" ", "-") for one in headings]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_can_be_read(page: Path) -> None:
    for code in blocks(page, "python"):
        ast.parse(code)


def test_every_option_of_serve_is_described() -> None:
    described = {row[0].split()[0]: (row[1], row[2]) for row in table(ROOT / "docs/serve.md", "## Options")}

    options = {
        option.opts[0]: (option.envvar, "" if option.multiple or option.default is None else option.default)
        for option in serve.params
        if isinstance(option, click.Option)
    }
    assert set(options) == set(described)
    for name, (variable, default) in options.items():
        assert variable == described[name][0]
        if isinstance(default, int | float):
            assert float(described[name][1]) == default
        elif isinstance(default, str) and default:
            assert default == described[name][1]


def test_every_option_of_lint_is_described() -> None:
    described = {row[0].split()[0] for row in table(ROOT / "docs/lint.md", "## Options")}

    assert {one.opts[0] for one in lint.params if isinstance(one, click.Option)} == described


def test_every_option_of_proxy_is_described() -> None:
    described = {row[0].split()[0]: row[1] for row in table(ROOT / "docs/proxy.md", "## Options")}

    options = {one.opts[0]: one.default for one in proxy.params if isinstance(one, click.Option)}
    assert set(options) == set(described)
    for name, default in options.items():
        if isinstance(default, float | int) and not isinstance(default, bool):
            assert float(described[name]) == default
        elif isinstance(default, str):
            assert default == described[name]


REQUESTS = """
curl https://api.toy.example/api/clips -H 'X-Toy-Key: k' -H 'Content-Type: application/json' -d '{"prompt": "a"}'
curl https://api.toy.example/api/clips -H 'X-Toy-Key: k' -d '{"prompt": "a"}'
"""
CALLS = """
import requests

requests.post("https://api.toy.example/api/clips", json={"prompt": "a", "sound": 5})  # understudy: ignore
requests.post("https://api.toy.example/api/clips", json=BODY)
requests.post(URL, json={"done": True})
"""
DIGEST = hashlib.sha256(b'"a9"').hexdigest()[:16]
BODIES = ['{"prompt": "a", "model": "a9", "promt": "b"}', '{"picture": "iVBORw0KGgo="}', "{}"]


def test_every_member_of_the_json_of_lint_is_described(tmp_path: Path) -> None:
    page = ROOT / "docs/lint.md"
    (tmp_path / "calls.sh").write_text(REQUESTS)
    (tmp_path / "bodies.ndjson").write_text("\n".join(BODIES))
    archive = {
        "log": {"entries": [{"request": {"method": "GET", "url": "https://api.toy.example/api/clips"}}]}
    }
    (tmp_path / "x.har").write_text(json.dumps(archive))
    (tmp_path / "app.py").write_text(CALLS)
    known = {"file": str(tmp_path / "bodies.ndjson"), "rule": "toy.clip.model", "pointer": "/model"}
    baseline = {"version": 1, "findings": [known | {"digest": ""}, known | {"digest": DIGEST}]}
    (tmp_path / "baseline.json").write_text(json.dumps(baseline))
    files = [str(tmp_path / name) for name in ("calls.sh", "bodies.ndjson", "x.har", "app.py")]

    options = ["--format", "json", "--spec", str(TOY), "--baseline", str(tmp_path / "baseline.json")]
    out = CliRunner().invoke(main, ["lint", *options, *files]).output
    alone = CliRunner().invoke(main, ["lint", "--format", "json", "-"], input="{}").output

    shown = json.loads(out)
    shown["requests"] += json.loads(alone)["requests"]
    violations = [finding for one in shown["requests"] for finding in one.get("violations", ())]
    for heading, objects in (
        ("## JSON", [shown]),
        ("Each of `requests`:", shown["requests"]),
        ("Each of `violations`:", violations),
    ):
        rows = list(table(page, heading))
        described = [name for row in rows for name in row[0].split(", ")]
        assert sorted({name for one in objects for name in one}) == sorted(described)
        for names, text in rows:
            for inner in (one[names] for one in objects if isinstance(one.get(names), dict)):
                assert [name for name in inner if name not in text] == []


def test_the_python_of_the_page_on_lint_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(ROOT / "docs/lint.md", "python")

    exec(code, {})

    assert "['kling.t2v.prompt-given']\n" == capsys.readouterr().out


def test_every_admin_call_is_described() -> None:
    described = set()
    for row in table(ROOT / "docs/admin.md", "## Calls"):
        described |= {tuple(call.split()) for call in row[0].split(", ")}

    assert {(method, path) for method, path, _ in ROUTES} == described


SCENES = ROOT / "docs/scenarios.md"
WRONG = "cancelled"
"""The name that the page shows as a mistake."""


def scene(name: str) -> str:
    """Return what the page on scenarios has under a name."""
    found = re.search(rf"^#### {name}\n(.*?)(?=^###|\Z)", SCENES.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{name} is not on the page"
    return found[1]


def test_the_page_on_scenarios_has_all_of_them_in_their_order() -> None:
    headings = re.findall(r"^#{3,4} (.*)$", SCENES.read_text().partition("\n## The atlas\n")[2], re.MULTILINE)

    expected = []
    for group, summary in GROUPS.items():
        expected += [f"{group}: {summary}", *(one.name for one in SCENARIOS.values() if one.group == group)]
    assert expected == headings


@pytest.mark.parametrize("one", SCENARIOS.values(), ids=lambda one: one.name)
def test_the_page_shows_a_scenario_with_a_command_that_asks_for_it(one: Scenario) -> None:
    text = scene(one.name)

    assert one.summary in text
    assert one.source in text
    for parameter in one.parameters:
        assert re.search(rf"^- `{parameter.name}` \(.*\): {re.escape(parameter.summary)}", text, re.MULTILINE)
        assert all(choice in text for choice in parameter.choices)
    commands = "".join(re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert re.search(rf"^\$ curl .*(\\\n.*)?scenario={one.name}[;']", commands, re.MULTILINE)


def test_the_page_on_scenarios_names_none_that_is_not_there() -> None:
    named = set(re.findall(r"scenario(?:=|:|: |\": \")([a-z0-9-]+)", SCENES.read_text()))

    assert {WRONG} == named - SCENARIOS.keys()


def test_the_plan_of_the_page_can_be_read() -> None:
    text = re.search(r"^\$ cat plan\.yaml\n(.*?)^\$ ", SCENES.read_text(), re.MULTILINE | re.DOTALL)
    assert text is not None
    contracts = {name: contract(name) for name in LIBRARY}

    entries = parse_yaml(text[1].encode(), file="plan.yaml")["plan"]

    for number, entry in enumerate(entries):
        read_entry(entry, contracts, id=f"plan-{number}", seed=lambda: 1)
    assert len(entries) > 1


def test_every_provider_has_its_page_and_its_row() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(docs/providers/\1\.md\)", (ROOT / "README.md").read_text(), re.M)

    assert sorted(LIBRARY) == sorted(listed)
    assert sorted(LIBRARY) == sorted(page.stem for page in (ROOT / "docs/providers").glob("*.md"))


def test_both_tables_of_words_have_the_same_words() -> None:
    words = [row[0] for row in table(ROOT / "docs/vocabulary.md", "## Words")]
    short = [word for row in table(ROOT / "specs/README.md", "## The words") for word in row[0].split(", ")]

    assert sorted(words) == sorted(short)


def test_the_provider_of_the_guide_loads_and_takes_its_example(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(blocks(ROOT / "docs/add-a-provider.md", "yaml")[0])
    body = {"prompt": "A paper boat"}

    contract = load(file)
    request = HttpRequest.from_json("POST", "/films", body, headers={"Authorization": "Bearer k"})

    assert check(contract, request).violations == ()


def test_the_changelog_knows_the_version() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None

    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()
