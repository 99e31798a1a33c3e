"""Credentials: what is said about one that is not accepted, and that it is never shown."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.providers import contract, mock_view
from validator.check import check
from validator.contract.expressions import Scope
from validator.errors import refuse
from validator.report import report_json
from validator.request import HttpRequest

CLAIMS = {"iss": "me", "exp": 1_764_950_000}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(claims: Any, *, algorithm: str = "HS256") -> str:
    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"


def asked_with(headers: dict[str, str]) -> Any:
    request = HttpRequest.from_json("POST", "/api/clips", {"prompt": "a boat"}, headers=headers)
    return check(contract("toy"), request, now=1_764_940_000)


@pytest.mark.parametrize(
    ("header", "found", "parts"),
    [
        ("Basic dXNlcjpwYXNz", "something else than a bearer token", "0"),
        ("Bearer ", "Bearer without a token", "0"),
        ("Bearer secret", "a token of one part", "0"),
        ("Bearer se.cret", "a token of 2 parts", "2"),
    ],
)
def test_a_malformed_credential_is_told_in_words_and_counted_for_the_provider(
    header: str, found: str, parts: str
) -> None:
    report = asked_with({"Authorization": header})

    (finding,) = report.violations
    assert "toy.request.unauthorized-malformed" == finding.rule
    assert found == finding.found
    assert header.partition(" ")[2] not in json.dumps(report_json(report)) or not header.partition(" ")[2]
    refusal = refuse(contract("toy"), report.violations, Scope(mock=mock_view()))
    assert parts == refusal.error.found


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer se.cre.t", "a token whose header or claims are no JSON"),
        (f"Bearer {token(CLAIMS, algorithm='none')}", "a token signed another way"),
        (f"Bearer {token({'iss': 'me'})}", "no claim exp"),
        (f"Bearer {token({**CLAIMS, 'iss': 7})}", "a claim iss that is no text"),
        (f"Bearer {token({**CLAIMS, 'exp': 'soon'})}", "a claim nbf or exp that is no time"),
    ],
)
def test_a_token_that_says_nothing_is_another_fault_than_one_of_the_wrong_form(
    header: str, found: str
) -> None:
    report = asked_with({"Authorization": header})

    (finding,) = report.violations
    assert "toy.request.unauthorized-unreadable" == finding.rule
    assert found == finding.found
    assert header.partition(" ")[2] not in json.dumps(report_json(report))


def test_a_key_with_blanks_is_malformed_and_not_shown() -> None:
    (finding,) = asked_with({"X-Toy-Key": "se cret"}).violations

    assert "blanks or signs beyond ASCII" == finding.found
    assert "up to 512 printable ASCII characters" == finding.allowed


def test_a_missing_credential_names_the_headers_that_would_do() -> None:
    (finding,) = asked_with({}).violations

    assert "nothing" == finding.found
    assert "a header x-toy-key or authorization: Bearer" == finding.allowed


@pytest.mark.parametrize(("expires", "count"), [(1_764_950_000, 0), (1_764_930_000, 1)])
def test_a_token_ends_at_its_time(expires: int, count: int) -> None:
    report = asked_with({"Authorization": f"Bearer {token({'iss': 'me', 'exp': expires})}"})

    assert count == len(report.violations)
    assert {"expired"} >= {one.reason for one in report.violations}


def test_without_a_clock_the_dates_of_a_token_are_not_checked() -> None:
    headers = {"Authorization": f"Bearer {token(CLAIMS)}"}
    request = HttpRequest.from_json("POST", "/api/clips", {"prompt": "a boat"}, headers=headers)

    report = check(contract("toy"), request)

    assert ("the dates of the token (no clock was given)",) == report.unchecked
