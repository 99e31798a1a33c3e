"""Compiling: what a setting may change, and what the evidence table holds."""

from __future__ import annotations

import pytest

from tests.providers import TOY, contract
from validator.contract import SpecError, load


def statements(kind: str) -> list[tuple[str, str, str, str]]:
    return [
        (one.name, one.text, one.evidence, one.source)
        for one in contract("toy").statements
        if one.kind == kind
    ]


def test_rows_of_a_capability_map_stand_in_the_evidence_table() -> None:
    rows = statements("capability")

    assert (
        "model a1, seconds 5",
        "loud; costs 1; costs 2.5 with loud; makes 72 pixels at 10 a second",
        "documented",
        "page#map",
    ) == rows[0]
    assert (
        "model a2",
        "tail; costs 0.5 a second; costs 0.75 a second with named; makes 96 pixels at 12 a second",
        "assumed",
        "guess",
    ) == rows[2]
    assert 4 == len(rows)


def test_headers_of_deliveries_stand_in_the_evidence_table() -> None:
    pointers = [one.pointer for one in contract("toy").statements if one.kind == "template"]

    assert any("/parameters/0/x-template" in pointer and "/callbacks/" in pointer for pointer in pointers)
    assert len(pointers) == len(set(pointers))


def test_a_rule_about_something_new_is_refused_or_not_looked_at() -> None:
    (unique,) = contract("toy").operations["createClip"].unique

    assert "toy.clip.name-new" == unique.rule.id
    assert () == load(TOY, effects={"toy.clip.name-new": "off"}).operations["createClip"].unique
    with pytest.raises(SpecError, match="has the effect warn; what must be new is refused, or not looked at"):
        load(TOY, effects={"toy.clip.name-new": "warn"})


def test_a_rule_of_a_read_cannot_fail_a_task() -> None:
    with pytest.raises(SpecError, match=r"has the effect fail, but listClips creates no task"):
        load(TOY, effects={"toy.list.page": "fail"})
