"""Money over a real socket: each provider until its purse is empty, and what a server says at its end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.running import Running, World, call
from tests.mockserver.clients import credential, examples
from tests.providers import LIBRARY, contract
from validator.contract.model import Operation

BALANCES: dict[str, tuple[str, Callable[[Any], float]]] = {
    "kling": (
        "/account/costs?start_time=0&end_time=4102444800000",
        lambda seen: 0.14 * seen["data"]["resource_pack_subscribe_infos"][0]["remaining_quantity"],
    ),
    "aimlapi": ("/v2/billing", lambda seen: seen["current_balance"]),
    "modellix": ("/api/v1/team/balance", lambda seen: seen["data"]["balance"]),
}
"""Where a provider tells its balance, and how that is read, in money."""


def creator(provider: str) -> Operation:
    return next(one for one in contract(provider).operations.values() if one.role == "create")


def create(world: World, provider: str) -> httpx.Response:
    operation = creator(provider)
    body = examples(contract(provider), operation)[0]
    url = world.base(provider) + operation.path
    return world.server.client.post(url, json=body, headers=credential(operation))


def balance(world: World, provider: str) -> float | None:
    if provider not in BALANCES:
        return None
    path, read = BALANCES[provider]
    answer = world.get(world.base(provider) + path, headers=credential(creator(provider)))
    assert answer.status_code == 200, answer.text
    return round(read(answer.json()), 9)


@pytest.mark.parametrize("provider", LIBRARY)
def test_an_account_is_used_up_and_a_failure_makes_room_again(world: World, provider: str) -> None:
    made = creator(provider).response.status
    assert create(world, provider).status_code == made
    (first,) = world.tasks()
    account, price = first["account"], first["price"]
    world.run_out()
    opened = world.admin("PATCH", f"/accounts/{account}", {"balance": 2 * price})
    worth = balance(world, provider)
    assert opened["wallet"]["used"] == price
    assert worth == (None if provider not in BALANCES else pytest.approx(opened["wallet"]["money"]))

    assert [create(world, provider).status_code for _ in range(2)] == [made, made]
    refused = create(world, provider)
    assert refused.status_code in (402, 403, 429)
    assert refused.headers["x-mock-violations"] == f"{provider}.request.quota-exhausted"
    assert balance(world, provider) in (None, 0)

    world.admin("PATCH", f"/tasks/{world.tasks()[0]['id']}", {"outcome": "failure"})
    assert balance(world, provider) == (None if worth is None else pytest.approx(worth / 2))
    assert create(world, provider).status_code == made
    world.run_out()

    wallet = world.admin("GET", f"/accounts/{account}")["wallet"]
    assert (wallet["used"], wallet["reserved"], wallet["remaining"]) == (pytest.approx(3 * price), 0, 0)
    (costs,) = [one for one in world.admin("GET", "/costs")["providers"] if one["tasks"]]
    assert (costs["succeeded"], costs["failed"], costs["running"]) == (3, 1, 0)


def test_a_budget_ends_a_run_and_the_end_says_what_it_cost(start: Callable[..., Running]) -> None:
    server = start("--budget", "kling=2", "--log", "off")
    world = World(server, "run")
    world.freeze()

    operation = contract("kling").operations["createText2Video"]
    answers = [
        world.post("/kling" + operation.path, {"prompt": "A kite"}, headers=credential(operation))
        for _ in range(3)
    ]
    world.run_out()
    code, _ = server.stop()

    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == 1102
    assert code == 0
    assert [line.split() for line in server.output.splitlines()[-2:]] == [
        ["provider", "tasks", "succeeded", "failed", "canceled", "unfinished", "units", "money"],
        ["kling", "2", "2", "0", "0", "0", "2", "0.28", "USD"],
    ]
    assert "What these tasks would have cost:" in server.output


def test_a_server_that_made_nothing_ends_without_a_word(start: Callable[..., Running]) -> None:
    server = start("--log", "off")
    server.stop(signal.SIGINT)

    assert "would have cost" not in server.output


def test_wallets_and_budgets_are_kept_in_the_file(start: Callable[..., Running], tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mock.db'}"
    first = start("--store", store)
    world = World(first, "kept")
    create(world, "kling")
    (task,) = world.tasks()
    world.admin("PATCH", f"/accounts/{task['account']}", {"balance": task["price"]})
    world.admin("PATCH", "/budgets", {"magnific": 0})
    first.kill()

    again = World(start("--store", store), "kept")

    assert [create(again, "kling").status_code for _ in range(2)] == [200, 429]
    assert create(again, "magnific").status_code == 402
    assert again.admin("GET", "/costs")["run"][1]["tasks"] == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--budget", "kling"), "write PROVIDER=UNITS"),
        (("--budget", "kling=much"), "'much' is no number"),
        (("--budget", "kling=-1"), "must be 0 or more"),
        (("--budget", "klng=1"), "klng: not served here"),
    ],
)
def test_a_budget_that_is_none_stops_the_start(options: tuple[str, ...], sentence: str) -> None:
    done = call("serve", *options)

    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


# --- what single providers say ----------------------------------------------------------------------------


def packs(world: World, more: str = "") -> list[dict[str, Any]]:
    url = f"{world.base('kling')}/account/costs?start_time=0&end_time=9999999999999{more}"
    answer = world.get(url, headers=credential(creator("kling"))).json()
    found: list[dict[str, Any]] = answer["data"]["resource_pack_subscribe_infos"]
    return found


def test_kling_finds_a_pack_by_its_exact_name(world: World) -> None:
    (pack,) = packs(world)

    assert packs(world, f"&resource_pack_name={pack['resource_pack_name']}") == [pack]
    assert packs(world, "&resource_pack_name=Trial") == []


def test_a_pack_of_kling_is_run_out_when_nothing_is_left(world: World) -> None:
    create(world, "kling")
    assert packs(world)[0]["status"] == "online"

    world.admin("PATCH", f"/accounts/{world.tasks()[0]['account']}", {"balance": 0})

    assert (packs(world)[0]["status"], packs(world)[0]["remaining_quantity"]) == ("runOut", 0)


def test_retry_after_is_the_time_until_a_request_is_taken_again(world: World) -> None:
    world.admin("PUT", "/clock", {"mode": "frozen", "now": "2030-01-01T00:00:07.400Z"})
    create(world, "magnific")
    account = world.tasks()[0]["account"]
    world.admin("PATCH", f"/accounts/{account}", {"limits": {"requests": 2}})

    answers = [create(world, "magnific") for _ in range(3)]

    assert [one.status_code for one in answers] == [200, 200, 429]
    # The first window of the spec is five seconds; this one ends at 00:00:10.
    assert answers[2].headers["retry-after"] == "3"
    world.advance("PT2S")
    assert create(world, "magnific").status_code == 429
    world.advance("PT0.6S")
    assert create(world, "magnific").status_code == 200


def test_a_refusal_that_was_asked_for_says_how_long_to_wait(world: World) -> None:
    world.admin("PUT", "/clock", {"mode": "frozen", "now": "2030-01-01T00:00:00Z"})
    operation = creator("magnific")
    headers = credential(operation) | {"prefer": "code=429"}

    answer = world.get(world.base("magnific") + operation.path, headers=headers)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
