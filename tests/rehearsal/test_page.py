"""The page on rehearsals, held against what it speaks of."""

from __future__ import annotations

import json
import re

import click

from mockserver.rehearsal.orders import SEED, SPEED, TIME_LIMIT_S
from mockserver.rehearsal.reports import json_report
from mockserver.rehearsal.run import JOURNAL_ENTRIES
from mockserver.rehearsal.staging import KINDS
from mockserver.rehearsal.verdict import verdict
from mockserver.rehearse import command
from mockserver.trial.laws import LAWS
from tests.rehearsal.test_reports import ORDERS, found, played
from tests.test_docs import ROOT, table

PAGE = ROOT / "docs/rehearse.md"


def test_every_option_is_described() -> None:
    described = {row[0].split()[0]: row[1] for row in table(PAGE, "## Options")}

    assert {one.opts[0] for one in command.params if isinstance(one, click.Option)} == described.keys()
    for name, default in (("--speed", SPEED), ("--seed", SEED), ("--time-limit", TIME_LIMIT_S)):
        assert described[name].endswith(f"; {default:g}")


def test_every_law_is_there_with_what_to_do() -> None:
    described = [row[0] for row in table(PAGE, "## How to write a client that passes")]

    assert list(LAWS) == described


def test_every_placeholder_is_named() -> None:
    text = PAGE.read_text()

    for kind, placeholder in KINDS.items():
        assert f"`{{{placeholder}}}`" in text
        assert f"`{kind}`" in text
    assert f"{JOURNAL_ENTRIES:,} requests" in text


def test_every_member_of_the_json_is_described() -> None:
    report = json.loads(json_report(verdict(ORDERS, [played("success", *found("+X."))])))
    text = PAGE.read_text().partition("The JSON has")[2].partition("\n## ")[0]
    words = set(re.findall(r"`(\w+)`", text))

    assert report.keys() | report["laws"][0].keys() | report["acts"][0].keys() <= words
