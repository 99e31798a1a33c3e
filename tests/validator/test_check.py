"""The check: what is found, how it is told, and what a setting changes about it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from tests.pictures import picture
from tests.providers import TOY, contract
from validator.check import check, protocol_rules
from validator.contract import SpecError, load
from validator.contract.compile import compile_document
from validator.contract.document import read_document
from validator.contract.plain import plain
from validator.report import Report
from validator.request import HttpRequest

UNKNOWN = "toy.request.unknown-member"


def judged(body: Any, *, name: str = "toy", operation: str = "createClip", effects: Any = None) -> Report:
    known = contract(name) if effects is None else load(TOY if name == "toy" else name, effects=effects)
    return check(known, HttpRequest.from_json("POST", "/", body), operation=operation)


def plain_body(effects: Any) -> Any:
    paths = plain(load(TOY, effects=effects))["paths"]
    return paths["/clips"]["post"]["requestBody"]["content"]["application/json"]["schema"]


# --- unknown members --------------------------------------------------------------------------------------


def test_an_unknown_member_is_a_warning_with_the_nearest_name() -> None:
    report = judged({"prompt": "a boat", "promt": "a ship"})

    (finding,) = report.violations
    assert (UNKNOWN, "warn", "/promt") == (finding.rule, finding.effect, finding.instance_location)
    assert "did you mean 'prompt'?" == finding.suggestion
    assert "accepted" == report.verdict


def test_a_setting_makes_unknown_members_a_refusal() -> None:
    report = judged({"prompt": "a boat", "x": 1}, effects={UNKNOWN: "reject"})

    assert [(UNKNOWN, "reject")] == [(one.rule, one.effect) for one in report.violations]
    assert "refused" == report.verdict


def test_a_setting_lets_unknown_members_pass_without_a_word() -> None:
    assert () == judged({"prompt": "a boat", "x": 1}, effects={UNKNOWN: "off"}).violations


def test_unknown_members_cannot_fail_a_task() -> None:
    with pytest.raises(SpecError, match=r"'toy\.request\.unknown-member' cannot fail a task"):
        load(TOY, effects={UNKNOWN: "fail"})


def test_a_finding_without_a_rule_takes_no_setting() -> None:
    with pytest.raises(SpecError, match=r"there is no rule 'toy\.request\.no-route'"):
        load(TOY, effects={"toy.request.no-route": "off"})


def test_the_plain_spec_is_closed_only_where_unknown_members_are_refused() -> None:
    closed, open_ = plain_body({UNKNOWN: "reject"}), plain_body({})

    assert {"enum": [None, "", []]} == closed["additionalProperties"]
    assert "additionalProperties" not in open_


def test_findings_without_a_rule_are_listed_once_each() -> None:
    names = [one.rule for one in protocol_rules(contract("toy"))]

    assert UNKNOWN in names
    assert "toy.request.unauthorized-missing" in names
    assert len(names) == len(set(names))


# --- pictures ---------------------------------------------------------------------------------------------

PNG = picture(format="PNG", width=40, height=40)


@pytest.mark.parametrize(
    ("text", "found", "suggestion"),
    [
        (f"data:image/png;base64,{PNG}", "a data: URI", "leave out everything up to and including the comma"),
        ("http:///a.png", "'http:///a.png', which is no complete URL", ""),
        (PNG[:20] + "\n" + PNG[20:], "Base64 with white space", "leave out line breaks and blanks"),
        ("ab-_", "'ab-_', which is no Base64", "use the alphabet with + and /, not - and _"),
        ("a.png", "'a.png', which is no Base64", "keep the = at the end; four characters make a group"),
        ("?!?!", "'?!?!', which is no Base64", ""),
    ],
)
def test_a_picture_in_another_carrier_is_told_how_to_be_written(
    text: str, found: str, suggestion: str
) -> None:
    report = judged({"picture": text})

    (finding,) = [one for one in report.violations if one.rule == "toy.picture.carrier"]
    assert (found, suggestion) == (finding.found, finding.suggestion)


def carriers(names: list[str], text: str) -> tuple[str, str]:
    """Return what is said of a picture where a field takes these carriers."""
    document = read_document(TOY)
    root = copy.deepcopy(document.root)
    root["components"]["schemas"]["Picture"]["allOf"][1]["x-image"]["carriers"] = names
    known = compile_document(replace(document, root=root))
    report = check(known, HttpRequest.from_json("POST", "/", {"picture": text}), operation="createClip")
    (finding,) = [one for one in report.violations if one.rule == "toy.picture.carrier"]
    return finding.found, finding.suggestion


def test_no_carrier_that_is_taken_is_advised_against() -> None:
    jpeg = picture(format="JPEG", width=40, height=40)

    assert (
        "a data: URI of another form, 'data:image/png,abc'",
        "write data:image/png;base64, and the Base64",
    ) == (carriers(["url", "data-uri"], "data:image/png,abc"))
    found, suggestion = carriers(["url", "data-uri"], jpeg)
    assert found.startswith("bare Base64, <image/jpeg 40x40")
    assert "write data:image/jpeg;base64, before it" == suggestion
    assert ("the URL 'https://a.example/b.png'", "send the picture itself, as Base64") == carriers(
        ["base64"], "https://a.example/b.png"
    )
    assert ("a data: URI", "") == carriers(["url"], f"data:image/png;base64,{PNG}")
    assert ("'a.png', which is no URL", "") == carriers(["url"], "a.png")


def test_a_picture_in_a_list_is_shown_as_a_picture() -> None:
    report = judged({"prompt": "a boat", "masks": [{"mask": f"data:image/png;base64,{PNG}"}]})

    (finding,) = report.violations
    assert "/masks/0/mask" == finding.instance_location
    assert "a data: URI" == finding.found


def test_a_picture_that_excludes_another_member_is_shown_as_a_picture() -> None:
    report = judged({"prompt": "a boat", "model": "a2", "tail": PNG, "mask": PNG})

    (finding,) = report.violations
    assert "toy.clip.exclusive" == finding.rule
    assert finding.found.startswith("<image/png 40x40, ")
    assert finding.found.endswith("> together with tail")


# --- parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "found", "verdict"),
    [
        ("reject", [("toy.wallet.since", "reject")], "refused"),
        ("warn", [("toy.wallet.since", "warn")], "accepted"),
        ("off", [], "accepted"),
    ],
)
def test_a_setting_decides_about_a_parameter_that_is_missing(
    effect: Any, found: list[tuple[str, str]], verdict: str
) -> None:
    known = load(TOY, effects={"toy.wallet.since": effect})
    request = HttpRequest.from_parts("GET", "/api/wallet", headers={"X-Toy-Key": "toy-1234"})

    report = check(known, request)

    assert (found, verdict) == ([(one.rule, one.effect) for one in report.violations], report.verdict)
