"""Printing: when colours come, how tables fit, how JSON and counts read."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validator.printing import (
    BOLD,
    RED,
    ColourChoice,
    is_coloured,
    json_lines,
    json_text,
    painter,
    plural,
    table,
    terminal_width,
    without_empty,
)


class Terminal(io.StringIO):
    """A stream with somebody behind it."""

    def isatty(self) -> bool:
        return True


# --- colours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "environment", "on_terminal", "in_pipe"),
    [
        ("auto", {}, True, False),
        ("auto", {"TERM": "xterm"}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),  # no-color.org: when present and not empty
        ("auto", {"NO_COLOR": "0"}, False, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ("always", {"NO_COLOR": "1"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colours_are_decided_by_option_then_environment_then_terminal(
    choice: ColourChoice, environment: dict[str, str], on_terminal: bool, in_pipe: bool
) -> None:
    assert on_terminal == is_coloured(choice, Terminal(), environment)
    assert in_pipe == is_coloured(choice, io.StringIO(), environment)
    assert in_pipe == is_coloured(choice, None, environment)


def test_a_painter_paints_or_leaves_alone() -> None:
    assert "\x1b[31mx\x1b[0m" == painter(colour=True)("x", RED)
    assert "" == painter(colour=True)("", RED)
    assert "x" == painter(colour=False)("x", RED)


def test_only_a_terminal_has_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "61")

    assert [61, None, None] == [terminal_width(one) for one in (Terminal(), io.StringIO(), None)]


# --- tables -----------------------------------------------------------------------------------------------

ROWS = [("a", "reject", "one two three four five six seven eight"), ("bcd", "off", "short")]


def shown(width: int | None, *, colour: bool = False, codes: tuple[str, ...] = ()) -> list[str]:
    return list(table(ROWS, width=width, paint=painter(colour=colour), codes=codes))


def test_columns_stand_side_by_side() -> None:
    assert [
        "a    reject  one two three four five six seven eight",
        "bcd  off     short",
    ] == shown(None)


def test_the_last_column_is_wrapped_to_the_width() -> None:
    assert [
        "a    reject  one two three four five six",
        "             seven eight",
        "bcd  off     short",
    ] == shown(44)


def test_a_narrow_terminal_has_the_last_column_below() -> None:
    assert [
        "a    reject",
        "    one two three four five",
        "    six seven eight",
        "bcd  off",
        "    short",
    ] == shown(30)


def test_colours_take_no_room() -> None:
    painted = shown(44, colour=True, codes=(BOLD, RED))

    assert "\x1b[1mbcd\x1b[0m" in painted[2]
    assert shown(44) == [re.sub(r"\x1b\[\d*m", "", line).rstrip() for line in painted]


@given(
    rows=st.lists(st.tuples(*[st.text("abc ", max_size=9)] * 2, st.text("abc ", max_size=60)), max_size=4),
    width=st.none() | st.integers(20, 90),
)
def test_nothing_is_cut_and_nothing_is_too_long(rows: list[tuple[str, str, str]], width: int | None) -> None:
    lines = list(table(rows, width=width, paint=painter(colour=False)))

    letters = "".join("".join(row) for row in rows).replace(" ", "")
    assert sorted(letters) == sorted("".join(lines).replace(" ", ""))
    assert width is None or all(len(line) <= max(width, 64) for line in lines)


def test_no_rows_are_no_lines() -> None:
    assert [] == list(table([], width=80, paint=painter(colour=False)))


# --- JSON and words ---------------------------------------------------------------------------------------


def test_short_json_stays_on_a_line_and_long_json_does_not() -> None:
    assert ['{"a":1,"b":[true,null]}'] == json_lines({"a": 1, "b": [True, None]})
    assert ["{", f'  "a": "{"x" * 200}"', "}"] == json_lines({"a": "x" * 200})


@pytest.mark.parametrize("value", [{"a": "\x1b[2J\x9b1m\u202e"}, {"\x1b": "x" * 200}])
def test_json_for_people_steers_no_terminal(value: Any) -> None:
    text = "\n".join(json_lines(value))

    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert value == json.loads(text)


def test_json_for_machines_keeps_order_and_letters() -> None:
    value = {"b": 1, "a": ["é", {}]}

    assert list(value) == list(json.loads(json_text(value)))
    assert "é" in json_text(value)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 rules"), (1, "1 rule"), (2, "2 rules"), (12_345, "12,345 rules")]
)
def test_a_number_comes_with_its_word(count: int, text: str) -> None:
    assert text == plural(count, "rule")


def test_what_holds_nothing_is_left_out_and_zero_stays() -> None:
    members = {"a": None, "b": "", "c": [], "d": (), "e": 0, "f": False, "g": {}, "h": "x"}

    assert {"e": 0, "f": False, "g": {}, "h": "x"} == without_empty(members)
