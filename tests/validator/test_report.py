"""How findings read: abbreviated, printable, with their source where there is one."""

from __future__ import annotations

import pytest

from tests.providers import contract
from validator.check import check
from validator.report import (
    abbreviate,
    field_name,
    printable,
    report_json,
    report_text,
    size_text,
    source_text,
)
from validator.request import HttpRequest


def text_of(body: object, *, is_coloured: bool = False) -> str:
    known = contract("toy")
    report = check(known, HttpRequest.from_json("POST", "/", body), operation="createClip")
    return report_text(report, known.sources, is_coloured=is_coloured)


def test_a_finding_reads_where_what_and_why() -> None:
    assert (
        "  refused      model: model is a1, a2 or b1\n"
        "               found    'a3'\n"
        "               allowed  a1, a2, b1\n"
        "               rule     toy.clip.model (documented; The toy page, model <https://toy.example/docs>)\n"
        "  not checked  address, credential and parameters (only a body was given)"
    ) == text_of({"prompt": "a boat", "model": "a3"})


def test_a_finding_without_a_source_shows_none() -> None:
    assert "toy.request.unknown-member (assumed)\n" in text_of({"prompt": "a boat", "x": 1})


def test_nothing_a_client_sends_steers_the_terminal() -> None:
    text = text_of({"prompt": "a boat", "model": "\x1b[2Ja1\n\u202e", "\x1b[31mx": 1})

    assert "found    '\\u001b[2Ja1\\n\\u202e'" in text
    assert "\\u001b[31mx: this member is not described" in text
    assert "\x1b" not in text


def test_colours_come_only_when_asked_for() -> None:
    assert "\x1b[31mrefused" in text_of({"prompt": 1}, is_coloured=True)
    assert "\x1b" not in text_of({"prompt": 1})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("a" * 90, f"'{'a' * 55}…' (90 characters)"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (2**70, str(2**70)),
        ("\ud800", "'\\ud800'"),
        (["\ud800"], "'list'"),
    ],
)
def test_values_are_abbreviated(value: object, text: str) -> None:
    assert text == abbreviate(value)


def test_small_words() -> None:
    assert "masks[0].mask" == field_name("/masks/0/mask")
    assert "0.a/b" == field_name("/0/a~1b")
    assert ("999 B", "1.2 kB", "10.5 MB") == (size_text(999), size_text(1_200), size_text(10_485_760))
    assert "a b\\t" == printable("a b\t")
    assert "nowhere#x" == source_text("nowhere#x", {})


def test_a_report_for_machines_leaves_out_what_is_empty() -> None:
    known = contract("toy")
    report = check(known, HttpRequest.from_json("POST", "/", {"x": 1, "prompt": "p"}), operation="createClip")

    shown = report_json(report)

    assert {
        "rule": "toy.request.unknown-member",
        "kind": "invalid",
        "effect": "warn",
        "place": "body",
        "instanceLocation": "/x",
        "message": "this member is not described and most likely has no effect",
        "found": "'x'",
        "evidence": "assumed",
    } == shown["violations"][0]
