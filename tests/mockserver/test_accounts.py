"""Accounts by the admin API: wallets, limits of their own, budgets and costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mockserver.server import farewell
from mockserver.store import MemoryStore, SqliteStore, Store
from tests.mock import KEY, Mock, Wall
from tests.mockserver.clients import clients
from tests.mockserver.test_admin import call
from tests.providers import LIBRARY, TOY
from validator.contract import load


@pytest.fixture(params=["memory", "file"])
def mock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mock]:
    """A server of the toy, its clock at rest, on either store."""
    store: Store = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "store.db"))
    with Mock(store=store, log="off") as made:
        made.freeze()
        yield made


def account_of(mock: Mock, task: str, *, tenant: str = "") -> str:
    found: str = mock.admin("GET", f"/tasks/{task}", tenant=tenant)["account"]
    return found


def change(mock: Mock, account: str, body: Any, *, tenant: str = "", status: int = 200) -> Any:
    reply = call(mock, "PATCH", f"/accounts/{account}", body, tenant=tenant)
    assert status == reply.status, reply
    return reply.json


def shown(mock: Mock, account: str, *, tenant: str = "") -> Any:
    reply = call(mock, "GET", f"/accounts/{account}", tenant=tenant)
    assert 200 == reply.status, reply
    return reply.json


# --- look -------------------------------------------------------------------------------------------------


def test_an_account_shows_its_wallet_its_limits_and_its_tasks(mock: Mock) -> None:
    first, _, _ = (mock.clip(seconds="10") for _ in range(3))
    mock.move(first, outcome="failure")
    mock.advance("PT1M")
    mock.clip()

    found = shown(mock, account_of(mock, first))

    assert found["wallet"] == {
        "opening": 20,
        "used": 4,
        "reserved": 1,
        "remaining": 15,
        "money": 7.5,
        "currency": "EUR",
    }
    assert found["tasks"] == {"succeeded": 2, "failed": 1, "canceled": 0, "running": 1}
    assert ["requests", "concurrent-tasks", "credits"] == [one["unit"] for one in found["limits"]]
    assert not any(one["enforced"] or one["own"] for one in found["limits"])
    assert [found] == call(mock, "GET", "/accounts").json["accounts"]


def test_accounts_are_those_of_the_tenant_and_the_provider_asked_for(mock: Mock) -> None:
    mock.clip()
    mock.clip(key="other-key")
    mock.clip(base="/t/blue/toy/api")

    assert 2 == len(call(mock, "GET", "/accounts?provider=toy").json["accounts"])
    assert 1 == len(call(mock, "GET", "/accounts?limit=1").json["accounts"])
    assert 1 == len(call(mock, "GET", "/accounts", tenant="blue").json["accounts"])
    assert 400 == call(mock, "GET", "/accounts?provider=other").status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/accounts/toy:nobody", 404),
        ("/accounts/other:me", 404),
        ("/accounts/toy", 404),
        ("/accounts/x%2Fy", 404),
    ],
)
def test_an_account_that_is_not_there_is_told(mock: Mock, path: str, status: int) -> None:
    assert (status, "No such account") == ((reply := call(mock, "GET", path)).status, reply.json["title"])


# --- limits of its own ------------------------------------------------------------------------------------


def test_a_balance_is_what_is_left_from_now_on(mock: Mock) -> None:
    account = account_of(mock, mock.clip(seconds="10"))

    changed = change(mock, account, {"balance": 1})

    assert (changed["wallet"]["opening"], changed["wallet"]["remaining"]) == (3, 1)
    assert 402 == mock.create(seconds="10").status
    assert [200, 402] == [mock.create().status for _ in range(2)]
    assert {"total": 3, "left": 0} == mock.get("/toy/api/wallet?since=0", x_toy_key=KEY).json
    assert 200 == mock.create(key="other-key", seconds="10").status, "others keep what they had"


def test_a_top_up_helps_at_once(mock: Mock) -> None:
    account = account_of(mock, mock.clip())
    change(mock, account, {"balance": 0})
    assert 402 == mock.create().status

    change(mock, account, {"balance": 5})

    assert 200 == mock.create().status


def test_a_limit_on_running_tasks_is_that_of_one_account(mock: Mock) -> None:
    account = account_of(mock, mock.clip())

    change(mock, account, {"limits": {"concurrent-tasks": 1}})

    assert (429, "busy") == ((reply := mock.create()).status, reply.json["code"])
    assert [200, 200] == [mock.create(key="other-key").status for _ in range(2)]
    mock.advance("PT1M")
    assert [200, 429] == [mock.create().status for _ in range(2)]


def test_a_limit_on_requests_counts_on_the_tenants_clock(mock: Mock) -> None:
    task = mock.clip()
    account = account_of(mock, task)

    change(mock, account, {"limits": {"requests": 2}})

    assert [200, 200, 429] == [mock.read(task).status for _ in range(3)]
    mock.advance("PT1M")
    assert [200, 200, 429] == [mock.read(task).status for _ in range(3)]


def test_null_gives_the_providers_own_back(mock: Mock) -> None:
    account = account_of(mock, mock.clip())
    change(mock, account, {"limits": {"credits": 1, "concurrent-tasks": 1}})
    assert 402 == mock.create().status

    back = change(mock, account, {"balance": None, "limits": {"concurrent-tasks": None}})

    assert (20, False) == (back["wallet"]["opening"], any(one["own"] for one in back["limits"]))
    assert [200, 200, 200] == [mock.create().status for _ in range(3)]


def test_a_change_leaves_the_other_limits_as_they_are(mock: Mock) -> None:
    account = account_of(mock, mock.clip())
    change(mock, account, {"limits": {"credits": 7}})

    found = change(mock, account, {"limits": {"concurrent-tasks": 3}})

    limits = {one["unit"]: (one["quota"], one["own"]) for one in found["limits"]}
    assert limits == {"requests": (100, False), "concurrent-tasks": (3, True), "credits": (7, True)}


def test_an_account_may_be_named_before_it_asks_for_anything(mock: Mock) -> None:
    name = quote("toy:https://issuer.test/a", safe=":")

    made = change(mock, name, {"balance": 2.5})

    assert ("toy:https://issuer.test/a", 2.5) == (made["id"], made["wallet"]["remaining"])
    assert made == shown(mock, name)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"limits": {}},
        {"balance": -1},
        {"balance": "5"},
        {"limits": {"requests": -1}},
        {"limits": {"requests": 0.5}},
        {"limits": {"speed": 1}},
        {"credits": 5},
        {"balance": 1e300},
        [],
    ],
)
def test_a_change_that_makes_no_sense_is_refused(mock: Mock, body: Any) -> None:
    account = account_of(mock, mock.clip())
    before = shown(mock, account)

    change(mock, account, body, status=400)

    assert before == shown(mock, account)


@pytest.mark.parametrize(
    ("name", "status"), [("other:me", 404), ("toy:", 404), ("toy", 404), ("toy:" + "x" * 400, 404)]
)
def test_only_accounts_there_can_be_are_changed(mock: Mock, name: str, status: int) -> None:
    change(mock, name, {"balance": 1}, status=status)

    assert [] == call(mock, "GET", "/accounts").json["accounts"]


def test_one_number_is_not_said_twice(mock: Mock) -> None:
    account = account_of(mock, mock.clip())

    told = change(mock, account, {"balance": 1, "limits": {"credits": 1}}, status=400)

    assert "balance and limits.credits say the same; send either" == told["detail"]
    assert 20 == shown(mock, account)["wallet"]["opening"]


def test_limits_belong_to_a_tenant_and_end_with_it(mock: Mock) -> None:
    account = account_of(mock, mock.clip(base="/t/blue/toy/api"), tenant="blue")
    change(mock, account, {"limits": {"credits": 0}}, tenant="blue")
    call(mock, "PATCH", "/budgets", {"toy": 0}, tenant="blue")

    assert 200 == mock.create().status
    assert 402 == mock.create(base="/t/blue/toy/api").status
    mock.admin("POST", "/reset", tenant="blue")
    assert 200 == mock.create(base="/t/blue/toy/api").status
    assert {"toy": None} == call(mock, "GET", "/budgets", tenant="blue").json["budgets"]


def test_limits_and_budgets_survive_a_restart(tmp_path: Path) -> None:
    wall, path = Wall(), str(tmp_path / "mock.sqlite")
    with Mock(store=SqliteStore(path), wall=wall, log="off") as mock:
        account = account_of(mock, mock.clip())
        change(mock, account, {"balance": 1})
        call(mock, "PATCH", "/budgets", {"toy": 1.5}, tenant="blue")

    with Mock(store=SqliteStore(path), wall=wall, log="off") as mock:
        assert [200, 402] == [mock.create().status for _ in range(2)]
        assert [200, 402] == [mock.create(base="/t/blue/toy/api").status for _ in range(2)]
        assert 2 == shown(mock, account)["wallet"]["opening"]


# --- budgets ----------------------------------------------------------------------------------------------


def test_a_tenant_may_have_a_budget_of_its_own(mock: Mock) -> None:
    mock.clip(seconds="10")

    budgets = call(mock, "PATCH", "/budgets", {"toy": 3}).json["budgets"]

    assert budgets == {"toy": {"quota": 3, "spent": 2, "remaining": 1, "own": True}}
    assert [402, 200, 402] == [mock.create(seconds=one).status for one in ("10", "5", "5")]
    assert 200 == mock.create(seconds="10", base="/t/blue/toy/api").status


def test_a_budget_taken_back_leaves_the_one_of_the_server() -> None:
    with Mock(log="off", budgets={"toy": 2.0}) as mock:
        mock.freeze()
        call(mock, "PATCH", "/budgets", {"toy": 9})
        assert 9 == call(mock, "GET", "/budgets").json["budgets"]["toy"]["quota"]

        call(mock, "PATCH", "/budgets", {"toy": None})

        assert call(mock, "GET", "/budgets").json["budgets"]["toy"] == {
            "quota": 2,
            "spent": 0,
            "remaining": 2,
            "own": False,
        }
        assert [200, 200, 402] == [mock.create().status for _ in range(3)]


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"toy": -1}, 400), ({"other": 5}, 404), ({"toy": "5"}, 400), ({"toy": 1, "other": 2}, 404)],
)
def test_a_budget_that_makes_no_sense_is_refused(mock: Mock, body: Any, status: int) -> None:
    assert status == call(mock, "PATCH", "/budgets", body).status
    assert {"toy": None} == call(mock, "GET", "/budgets").json["budgets"]


# --- costs ------------------------------------------------------------------------------------------------


def test_costs_are_told_by_provider_and_account(mock: Mock) -> None:
    first = mock.clip(seconds="10")
    mock.clip(key="other-key")
    mock.move(first, outcome="success")

    found = call(mock, "GET", "/costs").json

    (toy,) = found["providers"]
    assert (toy["tasks"], toy["succeeded"], toy["running"], toy["used"], toy["reserved"]) == (2, 1, 1, 2, 1)
    assert toy["money"] == {"currency": "EUR", "used": 1, "reserved": 0.5}
    assert [(2, 0), (0, 1)] == [(one["used"], one["reserved"]) for one in toy["accounts"]]
    assert account_of(mock, first) == toy["accounts"][0]["account"]


def test_costs_of_the_run_outlive_the_tenants(mock: Mock) -> None:
    for tenant in ("a", "b"):
        mock.move(mock.clip(base=f"/t/{tenant}/toy/api"), tenant=tenant, outcome="success")
        mock.clip(base=f"/t/{tenant}/toy/api")
    mock.admin("POST", "/reset", tenant="a")

    found = call(mock, "GET", "/costs", tenant="a").json

    assert (0, None) == (found["providers"][0]["tasks"], found["providers"][0]["budget"])
    (run,) = found["run"]
    assert (run["tasks"], run["succeeded"], run["running"], run["used"], run["reserved"]) == (4, 2, 2, 2, 2)


# --- the end ----------------------------------------------------------------------------------------------


def test_at_the_end_a_table_says_what_the_tasks_would_have_cost() -> None:
    with Mock(log="off") as mock:
        for outcome in ("success", "failure"):
            mock.move(mock.clip(seconds="10"), outcome=outcome)
        mock.clip()
        mock.admin("POST", "/reset")
        mock.clip(base="/t/blue/toy/api")
        mock.stop()

        lines = farewell(mock.app).splitlines()

    assert lines == [
        "",
        "What these tasks would have cost:",
        "",
        "  provider  tasks  succeeded  failed  canceled  unfinished            units  money",
        "  toy           4          1       1         0           2  2 (+2 reserved)  1 EUR",
    ]


def test_at_the_end_nothing_is_said_where_nothing_ran() -> None:
    with Mock(log="off") as mock:
        assert 400 == mock.create(model="zz").status
        mock.stop()

        assert "" == farewell(mock.app)


@pytest.mark.parametrize("provider", LIBRARY)
def test_every_provider_refuses_without_credits_and_takes_again_after_a_failure(provider: str) -> None:
    with Mock(provider, log="off") as mock:
        mock.freeze()
        for client in clients(mock, provider):
            first = client.made()
            held = mock.admin("GET", f"/tasks/{first}")
            change(mock, held["account"], {"balance": held["price"]})
            second = client.made()

            refused = client.create()
            mock.move(second, outcome="failure")

            assert refused.headers["x-mock-violations"].endswith(f"{provider}.request.quota-exhausted")
            assert client.operation.response.status == client.create().status
            mock.admin("POST", "/reset")
            mock.freeze()


def test_those_who_need_no_credential_share_one_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "toy.yaml"
    text = TOY.read_text()
    assert "security: [{key: []}, {token: []}]\n" in text
    path.write_text(text.replace("security: [{key: []}, {token: []}]\n", "security: []\n"))
    monkeypatch.setattr("tests.mock.contract", lambda _: load(path))

    with Mock(log="off", limits={("toy", "credits"): 1.0, ("toy", "requests"): None}) as mock:
        mock.freeze()
        assert [200, 402] == [mock.create().status for _ in range(2)]
        (account,) = call(mock, "GET", "/accounts").json["accounts"]

    assert ("toy:anybody", 1) == (account["id"], account["wallet"]["reserved"])
