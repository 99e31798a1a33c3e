"""A refusal on demand: `Prefer: code=...`, by status, by the provider's code, by name."""

from __future__ import annotations

from typing import Any

import pytest

from mockserver.server import sample_credential
from tests.mock import KEY, Mock
from tests.providers import LIBRARY, contract
from validator.contract.model import Contract, ErrorCase, Operation

BODY = {"prompt": "a boat"}


def asked(mock: Mock, wish: str, body: Any = BODY) -> Any:
    headers = {"x-toy-key": KEY, "prefer": wish}
    return mock.call("POST", "/toy/api/clips", json=body, headers=headers)


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ("code=429", 429, "fast"),
        ("code=fast", 429, "fast"),
        ("code=concurrency-exceeded", 429, "busy"),
        ('respond-async, code="poor"; wait=10', 402, "poor"),
        ("code=500", 500, "oops"),
    ],
)
def test_a_refusal_is_asked_for_by_status_code_and_name(wish: str, status: int, code: str) -> None:
    with Mock() as mock:
        reply = asked(mock, wish)

        assert (status, code) == (reply.status, reply.json["code"])
        name = wish.partition("code=")[2].partition(";")[0].strip('"')
        assert f"code={name}" == reply.headers["preference-applied"]
        assert mock.admin("GET", "/tasks")["tasks"] == []


def test_the_journal_says_that_it_was_asked_for() -> None:
    with Mock() as mock:
        asked(mock, "code=429")

        (kept,) = mock.admin("GET", "/requests")["requests"]

    (found,) = kept["report"]["violations"]
    assert ("toy.request.rate-limited", "Prefer: code=429") == (found["rule"], found["found"])


def test_what_nobody_knows_is_passed_over_and_not_confirmed() -> None:
    with Mock() as mock:
        reply = asked(mock, "code=999")

        assert reply.status == 200
        assert "preference-applied" not in reply.headers
        assert "nothing of Prefer was applied" == reply.headers["x-mock-note"]


@pytest.mark.parametrize(
    "wish", ["Code=429", "code = 429", "wait=5,code=429", 'CODE="fast"', "x;y, code=fast"]
)
def test_it_is_written_as_the_standard_allows(wish: str) -> None:
    with Mock() as mock:
        assert (429, "fast") == ((reply := asked(mock, wish)).status, reply.json["code"])


@pytest.mark.parametrize("wish", ["xcode=429", "code", "code=", "decode=429", "wait=code=429"])
def test_what_only_looks_like_it_asks_for_nothing(wish: str) -> None:
    with Mock() as mock:
        assert asked(mock, wish).status == 200


def test_a_code_of_several_words_stands_in_quotes() -> None:
    with Mock("aimlapi") as mock:
        headers = {"authorization": "Bearer test", "prefer": 'code="Too Many Requests"'}

        reply = mock.call("POST", "/aimlapi/v2/video/generations", json={}, headers=headers)

        assert 429 == reply.status
        assert 'code="Too Many Requests"' == reply.headers["preference-applied"]


def test_a_refusal_on_demand_is_counted_and_tells_what_is_left() -> None:
    with Mock("modellix") as mock:
        headers = {"authorization": "Bearer test", "prefer": "code=429"}
        path = "/modellix/api/v1/image-to-video/kling/kling-v1-i2v/async"

        left = [
            int(mock.call("POST", path, json={}, headers=headers).headers["x-ratelimit-remaining"])
            for _ in range(2)
        ]

        assert left == [left[0], left[0] - 1]


def test_a_credential_is_asked_for_all_the_same() -> None:
    with Mock() as mock:
        reply = mock.call("POST", "/toy/api/clips", json=BODY, headers={"prefer": "code=429"})

        assert (401, "no_key") == (reply.status, reply.json["code"])
        assert "preference-applied" not in reply.headers
        assert "toy.request.unauthorized-missing" == reply.headers["x-mock-violations"]


def test_a_read_can_be_refused_and_the_next_one_not() -> None:
    with Mock() as mock:
        task = mock.clip()

        refused = mock.get(f"/toy/api/clips/{task}", x_toy_key=KEY, prefer="code=500")

        assert refused.status == 500
        assert mock.read(task).status == 200


def cases(name: str) -> list[tuple[Contract, Operation, ErrorCase]]:
    """Return each case of a provider that needs no fault in the request, with an operation to ask for it."""
    known = contract(name)
    operation = next(one for one in known.operations.values() if one.role == "create")
    return [
        (known, operation, case)
        for case in known.cases
        if case.when.kind not in (None, "invalid")
        and not any((case.when.rule, case.when.keyword, case.when.path, case.when.place, case.when.operation))
    ]


@pytest.mark.parametrize("name", LIBRARY)
def test_every_refusal_without_a_fault_can_be_met(name: str) -> None:
    with Mock(name) as mock:
        for known, operation, case in cases(name):
            header, value = sample_credential(mock.settings, known, operation)
            wish = f"{case.when.kind}.{case.when.reason}" if case.when.reason else f"{case.when.kind}"

            reply = mock.call(
                "POST", f"/{name}{operation.path}", json={}, headers={header: value, "prefer": f"code={wish}"}
            )

            assert f"code={wish}" == reply.headers["preference-applied"]
            assert case.status == reply.status, (wish, reply)
            assert reply.headers["x-mock-violations"].startswith(f"{name}.request.{case.when.kind}")
