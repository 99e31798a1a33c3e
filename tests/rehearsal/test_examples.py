"""The example clients as files: that they say what they break, and need nothing but their language."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from mockserver.trial.laws import LAWS
from tests.e2e.running import ROOT
from tests.e2e.test_rehearse import planted

EXAMPLES = ROOT / "examples"
FILES = sorted(file for file in EXAMPLES.rglob("*") if file.suffix in (".py", ".mjs"))


def test_there_are_two_in_each_language() -> None:
    assert {"careful.py", "careless.py", "careful.mjs", "careless.mjs"} == {file.name for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_it_says_that_it_breaks_are_laws(file: Path) -> None:
    faults = planted(file)

    assert faults <= set(LAWS)
    assert ("careless" in file.name) == bool(faults)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_needs_no_packages(file: Path) -> None:
    if file.suffix == ".py":
        imported = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(file.read_text()))
            for name in (
                [one.name for one in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported <= set(sys.stdlib_module_names)
        return
    assert all(name.startswith("node:") for name in re.findall(r'from "([^"]+)"', file.read_text()))


def test_the_readme_names_each() -> None:
    text = (EXAMPLES / "README.md").read_text()

    assert all(f"({file.relative_to(EXAMPLES)})" in text for file in FILES)
