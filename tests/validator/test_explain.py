"""Explain: every rule of every provider has a whole story, and a name that is nearly right finds it."""

from __future__ import annotations

import re

import pytest

from tests.providers import LIBRARY, contract
from validator.cases import read_cases
from validator.check import check
from validator.explain import EFFECTS, explain, explanation_json, explanation_text, find_rules, rule_rows
from validator.report import report_json

EVERY_RULE = [(name, row.id) for name in ("toy", *LIBRARY) for row in rule_rows(contract(name))]
WITH_FILES = [(name, rule) for name, rule in EVERY_RULE if name != "toy" and rule in contract(name).rules]


# --- every rule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rule"), EVERY_RULE, ids=[rule for _, rule in EVERY_RULE])
def test_every_rule_can_be_explained(name: str, rule: str) -> None:
    one = explain(contract(name), rule)

    text = explanation_text(one)
    assert text.startswith(f"{rule}\n  {one.rule.message}\n")
    assert "{$" not in text
    assert all(line.isprintable() for line in text.splitlines())
    assert rule == explanation_json(one)["rule"]
    if one.rule.is_of_spec:
        assert one.operations, "about no request at all"
        assert one.pointer
        assert one.source is not None
    if one.rule.effect in ("reject", "off"):
        assert one.answer is not None
        assert 400 <= one.answer.status < 600
    if one.rule.effect == "fail":
        assert one.failure
    if one.rule.effect == "warn":
        assert one.answer is None and one.failure is None


@pytest.mark.parametrize("name", LIBRARY)
def test_every_rule_that_one_request_can_break_has_both_examples(name: str) -> None:
    known = contract(name)
    unique = {one.rule.id for operation in known.operations.values() for one in operation.unique}

    for rule in known.rules:
        one = explain(known, rule)
        assert (one.broken is None, one.met is None) == ((rule in unique,) * 2), rule


@pytest.mark.parametrize("name", LIBRARY)
def test_the_answer_is_the_one_of_a_check(name: str) -> None:
    """What the example breaks is what the check finds: the explanation shows no other request's answer."""
    known = contract(name)
    for case in read_cases(name, "fail"):
        if case.has_pictures or case.rule not in known.rules or known.rules[case.rule].effect == "off":
            continue
        found = report_json(check(known, case.request(), operation=case.operation))

        assert case.rule in [finding["rule"] for finding in found["violations"]]  # type: ignore[index, union-attr, call-overload]
        assert (explain(known, case.rule).answer is not None) == (known.rules[case.rule].effect == "reject")


# --- what is said -----------------------------------------------------------------------------------------


def test_an_explanation_reads_from_sentence_to_example() -> None:
    assert (
        "toy.clip.model\n"
        "  model is a1, a2 or b1\n"
        "\n"
        "  effect      reject: the provider refuses the request; no task is made\n"
        "  evidence    documented: stands on a page of the provider\n"
        "  source      The toy page, model\n"
        "              https://toy.example/docs\n"
        "              read on 2026-11-19\n"
        "  operations  createClip\n"
        f"  stands at   {contract('toy').document.file}#/components/schemas/ClipRequest/properties/model/x-rule\n"
        "\n"
        "Is answered  (assumed: our own choice, as nothing is known)\n"
        "  400 {\n"
        '    "ok": false,\n'
        '    "code": "bad",\n'
        '    "message": "Bad request\\nmodel is wrong",\n'
        '    "request": "00000000-0000-4000-8000-000000000000"\n'
        "  }"
    ) == explanation_text(explain(contract("toy"), "toy.clip.model"))


def test_a_rule_that_is_off_shows_what_it_would_do() -> None:
    text = explanation_text(explain(contract("toy"), "toy.clip.retired"))

    assert f"  effect      off: {EFFECTS['off']}\n" in text
    assert "\nWould be answered  (" in text
    assert "\nIs answered" not in text


def test_a_rule_that_fails_the_task_shows_its_text() -> None:
    text = explanation_text(explain(contract("toy"), "toy.picture.pixels"))

    assert "\nThe task ends with\n  Picture too small" in text
    assert "answered" not in text


def test_a_finding_without_a_rule_is_explained() -> None:
    text = explanation_text(explain(contract("toy"), "toy.request.unauthorized-missing"))

    assert "  stands at   no rule of the spec: found around a request, not in it\n" in text
    assert re.search(r"^  401 .*Who are you", text, re.M | re.S)


def test_a_rule_of_a_parameter_and_of_a_map_name_their_operations() -> None:
    assert ("listClips",) == explain(contract("toy"), "toy.list.page").operations
    assert ("createClip",) == explain(contract("toy"), "toy.clip.loud").operations
    assert ("createClip",) == explain(contract("toy"), "toy.clip.map").operations
    assert ("createClip",) == explain(contract("toy"), "toy.clip.name-new").operations
    assert ("createClip",) == explain(contract("toy"), "toy.clip.retired").operations


def test_colours_change_no_word() -> None:
    one = explain(contract("kling"), "kling.sound.offered")

    painted = explanation_text(one, colour=True)

    assert "\x1b[" in painted
    assert explanation_text(one) == re.sub(r"\x1b\[\d+m", "", painted)


def test_pictures_are_named_and_not_printed() -> None:
    one = explain(contract("kling"), "kling.mask.ratio")

    assert '"static_mask":"<image/png 200x200>"' in explanation_text(one)
    assert "<image/png 200x200>" == explanation_json(one)["breaks"]["body"]["static_mask"]  # type: ignore[index, call-overload]


def test_a_list_shows_fields_where_messages_hold_expressions() -> None:
    rows = {row.id: row.message for name in LIBRARY for row in rule_rows(contract(name))}

    assert not [rule for rule, message in rows.items() if "{$" in message]
    assert any(re.search(r"<\w+>", message) for message in rows.values())


# --- finding the rule that is meant -----------------------------------------------------------------------

KNOWN = ["a.image.size", "a.image.ratio", "a.mask.size", "b.image.size", "b.tail.offered"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.image.size", ["a.image.size"]),
        ("tail.offered", ["b.tail.offered"]),
        ("image.size", ["a.image.size", "b.image.size"]),
        ("size", ["a.image.size", "a.mask.size", "b.image.size"]),
        ("mask", ["a.mask.size"]),
        ("tio", ["a.image.ratio"]),
        ("a.imge.siz", ["a.image.size"]),
        ("b.tail.ofered", ["b.tail.offered"]),
        ("zzz", []),
        ("", []),
        ("x" * 100_000, []),
    ],
)
def test_a_name_finds_the_rules_it_may_mean(name: str, found: list[str]) -> None:
    assert found == find_rules(name, KNOWN)[: len(found) or 1]
