"""The command `understudy scenarios`."""

from __future__ import annotations

import contextlib
import json
import shlex

import pytest
from click.testing import CliRunner

from mockserver.cli import main
from mockserver.faults import ConnectionCutError
from mockserver.scenarios import GROUPS, SCENARIOS, Scenario
from tests.mock import Mock
from tests.providers import LIBRARY, contract


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["scenarios", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_has_every_scenario_below_its_group() -> None:
    printed = run()

    found = [line.split()[0] for line in printed.splitlines() if line.startswith("  ")]
    assert [one.name for group in GROUPS for one in SCENARIOS.values() if one.group == group] == found


def test_one_group_is_shown_alone() -> None:
    printed = json.loads(run("--group", "results", "--json"))

    assert {"results"} == {one["group"] for one in printed}


def test_a_name_that_is_not_there_gets_the_nearest() -> None:
    done = CliRunner().invoke(main, ["scenarios", "moderation-lat"])

    assert done.exit_code == 2
    assert "did you mean 'moderation-late'?" in done.output


@pytest.mark.parametrize("one", SCENARIOS.values(), ids=lambda one: one.name)
def test_the_curl_line_of_a_scenario_meets_it(one: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validator.contract.load", contract)
    words = shlex.split(run(one.name).splitlines()[-1])
    headers = {
        name.lower(): value
        for name, _, value in (words[at + 1].partition(": ") for at, word in enumerate(words) if word == "-H")
    }
    url = next(word for word in words if word.startswith("http"))
    body = words[words.index("-d") + 1].encode()

    with Mock(*LIBRARY) as mock:
        # Without a socket nobody can end a connection; the journal has the answer all the same.
        with contextlib.suppress(ConnectionCutError):
            mock.call("POST", url.removeprefix("http://127.0.0.1:8700"), body=body, headers=headers)
        (kept,) = mock.admin("GET", "/requests")["requests"]

    told = dict(kept["response"]["headers"])
    assert f"scenario={one.name}" == told["preference-applied"]
    assert "x-mock-note" not in told
