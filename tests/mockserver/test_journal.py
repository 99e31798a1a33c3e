"""The journal: the newest exchanges within bounds, whole where they are small, and never a credential."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mockserver.journal import (
    LARGE_BODY,
    REDACTED,
    Budget,
    Journal,
    body_json,
    headers_json,
    kept_body,
    secret_headers,
)
from tests.mock import NOON, Mock
from tests.providers import LIBRARY, contract
from validator.report import Report, size_text


def entry(name: str, *, size: int = 100, body: bytes = b"", **changes: Any) -> tuple[Any, ...]:
    known = {
        "id": name,
        "at": NOON,
        "method": "POST",
        "path": b"/toy/api/clips",
        "query": b"",
        "provider": "toy",
        "operation": "createClip",
        "account": "toy:key-1",
        "headers": [],
        "body": body,
        "status": 200,
        "answer_headers": [],
        "answer": b"",
        "report": Report(provider="toy", operation="createClip"),
        "task": None,
        "took_us": 5,
    } | changes
    return (*known.values(), size)


def journal(*, entries: int = 1_000, budget: Budget | None = None) -> Journal:
    return Journal(
        max_entries=entries, budget=budget or Budget(10**9), secret_headers=secret_headers(["X-Toy-Key"])
    )


def names(of: Journal) -> list[str]:
    return [exchange.id for exchange in of.newest()]


# --- bounds -----------------------------------------------------------------------------------------------


def test_the_newest_come_first() -> None:
    kept = journal()
    for name in "abc":
        kept.add(entry(name))

    assert names(kept) == ["c", "b", "a"]
    assert len(kept) == 3


def test_the_oldest_goes_for_the_newest() -> None:
    kept = journal(entries=3)
    for name in "abcde":
        kept.add(entry(name, size=10))

    assert names(kept) == ["e", "d", "c"]
    assert (kept.dropped, kept.size_bytes) == (2, 30)


def test_a_journal_of_nothing_keeps_nothing() -> None:
    budget = Budget(100)
    kept = journal(entries=0, budget=budget)

    kept.add(entry("a"))

    assert names(kept) == []
    assert budget.size_bytes == 0


def test_journals_share_their_bytes() -> None:
    budget = Budget(1_000)
    large, small = journal(budget=budget), journal(budget=budget)
    for index in range(8):
        large.add(entry(f"large{index}"))
    small.add(entry("small0"))
    small.add(entry("small1"))

    small.add(entry("small2"))

    assert names(small) == ["small2", "small1", "small0"]
    assert names(large) == [f"large{index}" for index in range(7, 1, -1)]
    assert budget.size_bytes == 900 == large.size_bytes + small.size_bytes


def test_many_tenants_never_hold_more_than_the_budget() -> None:
    budget = Budget(50_000)
    journals = [journal(budget=budget) for _ in range(100)]

    for index in range(5_000):
        journals[index * 7 % 100].add(entry(str(index), size=100 + index % 400))

        assert budget.size_bytes <= budget.max_bytes
    assert budget.size_bytes == sum(one.size_bytes for one in journals)
    assert sum(len(one) for one in journals) > 100


def test_an_entry_larger_than_everything_leaves_nothing_behind() -> None:
    budget = Budget(1_000)
    kept = journal(budget=budget)
    kept.add(entry("a"))

    kept.add(entry("huge", size=5_000))

    assert names(kept) == []
    assert budget.size_bytes == 0


def test_an_empty_journal_gives_its_bytes_back() -> None:
    budget = Budget(1_000)
    kept = journal(budget=budget)
    kept.add(entry("a"))

    kept.clear()

    assert (len(kept), kept.size_bytes, budget.size_bytes) == (0, 0, 0)


def test_a_closed_journal_leaves_the_budget() -> None:
    budget = Budget(1_000)
    kept = journal(budget=budget)
    kept.add(entry("a"))

    kept.close()

    assert (budget.journals, budget.size_bytes) == ([], 0)


def test_an_exchange_is_found_by_its_id() -> None:
    kept = journal()
    kept.add(entry("a"))
    kept.add(entry("b", status=404))

    found = kept.find("b")

    assert found is not None
    assert found.status == 404
    assert kept.find("c") is None


def test_a_server_keeps_its_journals_within_the_budget() -> None:
    with Mock(journal_bytes=100_000, log="off") as mock:
        for index in range(200):
            mock.call("GET", "/toy/api/clips", headers={"x-mock-tenant": f"t{index % 20}"})

        budget = mock.app.backend.budget
        held = sum(len(tenant.journal) for tenant in mock.app.backend.tenants.values())

        assert budget.size_bytes <= 100_000
        assert 20 < held < 100


def test_long_headers_count() -> None:
    with Mock(journal_bytes=1_000_000, log="off") as mock:
        for _ in range(100):
            mock.call("GET", "/toy/api/clips?" + "q" * 20_000, headers={"x-long": "h" * 30_000})

        kept = len(mock.app.backend.tenants["default"].journal)

        assert kept <= 20


# --- bodies -----------------------------------------------------------------------------------------------


def test_a_small_body_is_kept_as_it_came() -> None:
    body = b'{"a": 1}' + b" " * 100

    assert kept_body(body) is body


def test_a_large_body_is_kept_with_its_long_texts_cut() -> None:
    body = orjson.dumps({"image": "A" * 1_000_000, "prompt": "a boat", "list": [{"mask": "B" * 50_000}]})

    kept = orjson.loads(bytes(kept_body(body)))

    assert kept == {
        "image": "A" * 100 + "… (1.0 MB)",
        "prompt": "a boat",
        "list": [{"mask": "B" * 100 + "… (50.0 kB)"}],
    }


def test_a_large_body_of_small_parts_is_cut_all_the_same() -> None:
    body = orjson.dumps(list(range(100_000)))

    assert len(kept_body(body)) <= LARGE_BODY


def test_a_large_body_that_is_no_json_keeps_its_beginning() -> None:
    assert kept_body(b"--boundary\r\n" * 10_000) == (b"--boundary\r\n" * 10_000)[:2_000]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", None),
        (b'{"a":[1,null,"x"]}', {"a": [1, None, "x"]}),
        (b"no json", "no json"),
        (b"\xff\xfe", "��"),
        (b'"' + b"x" * 3_000 + b'"', "x" * 100 + "… (3.0 kB)"),
        (b"x" * 3_000, "x" * 100 + "… (3.0 kB)"),
    ],
)
def test_a_body_is_shown_as_json_or_as_text(body: bytes, expected: Any) -> None:
    assert expected == body_json(body)


def test_a_body_nested_deep_is_shown_to_a_depth() -> None:
    text = orjson.dumps(body_json(b"[" * 500 + b"]" * 500)).decode()

    assert text == "[" * 101 + '"…"' + "]" * 101


def test_a_body_that_was_cut_tells_the_size_it_had() -> None:
    body = b"[" + b"1," * LARGE_BODY + b"1]"

    shown = body_json(kept_body(body))

    assert isinstance(shown, str)
    assert shown.endswith(f"({size_text(len(body))})")


# --- credentials ------------------------------------------------------------------------------------------


def test_credentials_are_left_out_of_headers() -> None:
    headers = [
        (b"X-Toy-Key", b"abc"),
        (b"AUTHORIZATION", b"Bearer abc"),
        (b"Cookie", b"a=b"),
        (b"accept", b"*/*"),
    ]

    shown = headers_json(headers, secret_headers(["x-toy-KEY"]))

    assert shown == [
        ["x-toy-key", REDACTED],
        ["authorization", REDACTED],
        ["cookie", REDACTED],
        ["accept", "*/*"],
    ]


def test_a_key_in_a_header_of_another_provider_is_left_out() -> None:
    headers = [(b"X-Api-Key", b"abc"), (b"X-Other-Auth-Token", b"abc"), (b"Idempotency-Key", b"order-1")]

    shown = headers_json(headers, secret_headers(["x-toy-key"]))

    assert shown == [
        ["x-api-key", REDACTED],
        ["x-other-auth-token", REDACTED],
        ["idempotency-key", "order-1"],
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "A kite", "api_key": "hush",}',
        b'{"api_key" : "hush',
        b'{"callback_url": "http:\\/\\/me:hush@example.com\\/hook",}',
        b"api_key=hush&prompt=A+kite",
        b"prompt=A+kite&api_key=hush",
        orjson.dumps({"callback_url": "http://me:hush@example.com/?" + "x" * 3_000}),
        orjson.dumps({"callback_url": "http://me:" + "hush" * 60 + "@example.com/" + "x" * 3_000}),
    ],
)
def test_credentials_are_left_out_of_bodies_of_every_kind(body: bytes) -> None:
    assert b"hush" not in orjson.dumps(body_json(body))


CREDENTIALS = [
    (name, header)
    for name in ("toy", *LIBRARY)
    for header in sorted(
        {one.header for operation in contract(name).operations.values() for one in operation.credentials}
    )
]


@pytest.mark.parametrize(("name", "header"), CREDENTIALS)
@pytest.mark.parametrize("value", ["s3cr3t-of-mine", "Bearer s3cr3t-of-mine", "Bearer a.s3cr3t-of-mine.c"])
def test_no_credential_of_any_provider_can_be_read_again(name: str, header: str, value: str) -> None:
    with Mock("toy", *LIBRARY) as mock:
        for operation in contract(name).operations.values():
            mock.call(
                operation.method, f"/{name}{operation.path}", headers={header: value, "cookie": "s3cr3t"}
            )
        mock.call("POST", f"/{name}/nowhere", headers={header: value, "x-admin-token": "s3cr3t"})

        journal = orjson.dumps(mock.admin("GET", "/requests"))

    assert b"s3cr3t" not in journal
    assert REDACTED.encode() in journal
    assert "s3cr3t" not in mock.log.getvalue()


def test_an_exchange_tells_everything_else() -> None:
    with Mock() as mock:
        task = mock.clip(old="x", prompt="a boat", nmae="b")
        shown = mock.admin("GET", "/requests")["requests"][0]

    assert shown["request"]["target"] == "/toy/api/clips"
    assert shown["request"]["body"] == {"prompt": "a boat", "old": "x", "nmae": "b"}
    assert ["x-toy-key", REDACTED] in shown["request"]["headers"]
    assert shown["response"]["status"] == 200
    assert shown["response"]["body"]["clip"]["id"] == task == shown["task"]
    assert (shown["provider"], shown["operation"], shown["verdict"]) == ("toy", "createClip", "accepted")
    assert shown["account"].startswith("toy:key-")
    assert {one["rule"] for one in shown["report"]["violations"]} == {
        "toy.clip.old",
        "toy.request.unknown-member",
    }


def test_a_query_is_part_of_what_was_asked() -> None:
    with Mock() as mock:
        mock.get("/toy/api/clips?page=2&size=5", x_toy_key="toy-key-1")

        (shown,) = mock.admin("GET", "/requests")["requests"]

    assert shown["request"]["target"] == "/toy/api/clips?page=2&size=5"
