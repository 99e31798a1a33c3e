"""Every rule of every provider is met by its pass file and broken by its fail file, and nothing else is."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tests.cases import Case, read_cases
from tests.providers import LIBRARY, contract, mock_view, plain_contract, strict_contract
from validator.check import examine
from validator.contract.expressions import Scope
from validator.errors import refuse, render
from validator.report import report_text

PASSING = [case for name in LIBRARY for case in read_cases(name, "pass")]
FAILING = [case for name in LIBRARY for case in read_cases(name, "fail")]


def provider_of(case: Case) -> str:
    return case.file.parent.parent.name


def judged(case: Case) -> Any:
    name = provider_of(case)
    is_off = contract(name).rules[case.rule].effect == "off"
    known = strict_contract(name) if is_off else contract(name)
    return known, examine(known, case.request, operation=case.operation)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("kind", ["pass", "fail"])
def test_every_rule_has_a_file_and_every_file_a_rule(name: str, kind: str) -> None:
    # What must be new for an account takes two requests; those rules are tried on the server.
    unique = {one.rule.id for operation in contract(name).operations.values() for one in operation.unique}

    files = {case.rule for case in read_cases(name, kind)}

    assert set(contract(name).rules) - unique == files


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_a_pass_file_is_accepted_without_a_word_about_its_rule(case: Case) -> None:
    known, examination = judged(case)

    report = examination.report
    about = [one for one in report.violations if one.rule == case.rule or one.effect in ("reject", "fail")]
    assert about == [], report_text(report, known.sources)


@pytest.mark.parametrize("case", FAILING, ids=str)
def test_a_fail_file_breaks_its_rule_and_no_other(case: Case) -> None:
    known, examination = judged(case)

    report = examination.report
    text = report_text(report, known.sources)
    broken = {one.rule for one in report.violations}
    assert {case.rule, *case.also} == broken, text
    assert case.verdict == report.verdict, text
    finding = next(one for one in report.violations if one.rule == case.rule)
    assert case.location is None or case.location == finding.instance_location, text
    assert finding.found, text
    assert finding.allowed or finding.suggestion or finding.message, text


@pytest.mark.parametrize("case", [case for case in FAILING if case.answer], ids=str)
def test_a_fail_file_gets_the_answer_the_provider_gives(case: Case) -> None:
    known, examination = judged(case)
    body = examination.body if isinstance(examination.body, dict) else {}
    scope = Scope(request=case.request, body=body, path=examination.path, mock=mock_view())
    operation = examination.operation.id if examination.operation else ""

    answer = render(refuse(known, examination.report.violations, scope, operation=operation), scope)

    assert case.answer is not None
    assert case.answer["status"] == answer.status
    assert case.answer.get("body", {}) == {
        name: answer.body.get(name) for name in case.answer.get("body", {})
    }


@pytest.mark.parametrize("case", PASSING + FAILING, ids=str)
def test_the_plain_spec_gives_our_verdict(case: Case) -> None:
    known, examination = judged(case)
    operation = examination.operation
    if operation is None or operation.body is None:
        return
    is_strict = known is strict_contract(known.id)
    paths = plain_contract(known.id, is_strict=is_strict)["paths"]
    (schema,) = (
        item[operation.method.lower()]["requestBody"]["content"]["application/json"]["schema"]
        for template, item in paths.items()
        if known.base_path + template == operation.path
    )

    is_valid = jsonschema.Draft202012Validator(schema).is_valid(case.body)

    about_body = [
        one for one in examination.report.violations if one.place == "body" and one.effect == "reject"
    ]
    assert (not about_body) == is_valid
