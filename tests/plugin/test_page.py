"""The page on pytest: its examples run, its tables are whole."""

from __future__ import annotations

import re

import pytest

from mockserver import pytest_plugin
from mockserver.inbox import Inbox
from mockserver.world import Provider, World
from mockserver.worldclock import WorldClock
from tests.plugin.conftest import ROOT, SWITCH, Suite

PAGE = (ROOT / "docs" / "pytest.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Return the Python files of the page by name; each begins with it."""
    out = {}
    for code in blocks("python"):
        found = re.match(r"# (\w+)\.py\n", code)
        assert found is not None, f"a block without the name of its file: {code[:60]}"
        out[found[1]] = code
    return out


def test_the_examples_run_and_the_one_that_fails_says_what_the_page_shows(suite: Suite) -> None:
    (ini,) = blocks("ini")
    suite.ini(*ini.splitlines()[1:])
    suite.write(**files())

    result = suite.run("-v")

    outcomes = result.parseoutcomes()
    assert {"passed", "failed"} == set(outcomes), result.stdout.str()
    assert 1 == outcomes["failed"]
    assert sum(code.count("\ndef test_") for code in files().values()) - 1 == outcomes["passed"]
    # A seed, a time and the names of the test: all of it is as it was when the page was written, ids included.
    said = result.stdout.str()
    report, total = blocks("text")
    assert report in said + "\n"
    assert total in said


def test_the_example_of_the_readme_passes(suite: Suite) -> None:
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    suite.write(test_readme=example)

    suite.run().assert_outcomes(passed=1)


def table(heading: str) -> list[list[str]]:
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", part, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows if not row.startswith("--")]


def code(cells: list[str]) -> set[str]:
    return set(re.findall(r"(?<=`)\.?([\w-]+)", " ".join(cells)))


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_every_member_of_a_world_is_there() -> None:
    told = code([cell for row in table("A world") for cell in row])
    fields = {"tenant", "origin", "control", "clock", "base_url", "credentials", "moves"}

    for kind in (World, WorldClock, Provider):
        assert set() == (public(kind) | fields) - told, kind
    assert set() == public(Inbox) - told - {"take", "is_answering"}


def test_every_argument_of_the_marker_is_there() -> None:
    assert set(pytest_plugin._WISHES) == code([row[0] for row in table("The marker")][1:])
    for name in pytest_plugin._WISHES:
        assert f"{name}=" in pytest_plugin.MARK


def test_every_option_and_ini_name_is_there(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig(*SWITCH)
    names = {name for name in config._parser._inidict if name.startswith("understudy")}
    options = {
        option
        for group in config._parser._groups
        for one in group.options
        for option in one.names()
        if option.startswith("--understudy")
    }

    told = code([row[0] for row in table("Settings")])
    assert names == {name for name in told if name.startswith("understudy")}
    assert options == {name for name in told if name.startswith("--")}
