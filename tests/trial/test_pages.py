"""The pages on the laws and on the state machine say what is there, and their examples run."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mockserver.trial import LAWS
from mockserver.trial.stateful import REAL_TIME, Adapter, BrokenLaw, client_machine
from mockserver.trial.workplace import Workplace
from tests.test_docs import ROOT, blocks, table

PAGE = ROOT / "docs/laws.md"
STATEFUL = ROOT / "docs/stateful.md"


def test_the_page_has_every_law_as_it_is() -> None:
    rows = list(table(PAGE, "## All of them"))

    assert [[law.id, law.title, law.why] for law in LAWS.values()] == [row[:3] for row in rows]
    assert all(f"({law.source})" in row[3] for law, row in zip(LAWS.values(), rows, strict=True))


def test_the_page_says_where_each_law_is_reached() -> None:
    rows = dict(table(PAGE, "## Not reached"))

    assert list(LAWS) == list(rows)
    for law in LAWS.values():
        assert rows[law.id].startswith(law.reach)
        assert law.needs_program == ("of a program" in rows[law.id])
        assert law.is_of_pauses == ("on a clock that moves" in rows[law.id])


def test_the_page_names_no_law_that_is_not_there() -> None:
    strict = PAGE.read_text().partition("## How strict\n")[2].partition("\n## ")[0]
    named = {part for part in strict.split("**") if part.startswith("`")}

    assert named <= {f"`{name}`" for name in LAWS}


def test_the_python_of_the_page_on_laws_runs(capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, Any] = {}
    for code in blocks(PAGE, "python"):
        exec(compile(code, str(PAGE), "exec"), known)

    printed = capsys.readouterr().out
    assert "broken  polls-not-too-fast" in printed
    assert "expected: 1 s or more" in printed
    assert "test-key" not in printed
    assert "kept" == known["outcomes"]["keeps-secrets"]


def test_the_example_on_hypothesis_ends_as_the_page_says() -> None:
    known: dict[str, Any] = {}
    (code,), (said,) = blocks(STATEFUL, "python"), blocks(STATEFUL, "text")
    exec(compile(code, str(STATEFUL), "exec"), known)
    machine = client_machine(
        known["adapter"],
        provider="kling",
        operation="createText2Video",
        bodies=known["wishes"],
        faults=["reset-after-accept"],
    )
    # One step is all that it takes, and leaves nothing to chance.
    quick = settings(
        stateful_step_count=1,
        max_examples=200,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
    )

    with pytest.raises(BrokenLaw) as caught:
        run_state_machine_as_test(machine, settings=quick)

    assert said.strip() == str(caught.value).strip()
    assert "client_machine" in code and issubclass(known["TestClient"], object)


def test_the_page_on_hypothesis_has_every_part_and_every_argument() -> None:
    adapter = [row[0] for row in table(STATEFUL, "## The adapter")]
    place = " ".join(row[0] for row in table(STATEFUL, "## The workplace"))
    arguments = ", ".join(row[0] for row in table(STATEFUL, "## What can be set")).split(", ")
    settable = list(inspect.signature(client_machine).parameters)[1:]

    assert list(Adapter.__dataclass_fields__) == adapter
    assert sorted(settable) == sorted(arguments)
    for name in (
        "base_url",
        "credentials",
        "keys",
        "transport",
        "sleep",
        "time",
        "webhook_secret",
        "callback_address",
    ):
        assert name in place
        assert hasattr(Workplace, name) or name in inspect.getsource(Workplace.__init__)
    assert all(f"`{name}`" in STATEFUL.read_text() for name in REAL_TIME)
