"""A world as a test steers it and looks at it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest

from mockserver.settings import Settings, parse_credentials
from mockserver.stage import Stage
from mockserver.steering import WorldError
from mockserver.story import story
from mockserver.world import World
from tests.mockserver.clients import examples
from tests.plugin.acting import Kling
from tests.providers import LIBRARY

# --- providers and credentials ----------------------------------------------------------------------------


def test_providers_are_attributes_and_items(world: World) -> None:
    assert world.kling is world["kling"] is world.providers["kling"]
    assert f"{world.origin}/t/{world.tenant}/kling" == world.kling.base_url


def test_a_name_that_nothing_has_is_answered_with_the_nearest(world: World) -> None:
    for wrong, right in {
        "klng": "kling",
        "request": "requests",
        "advance": "providers: kling, magnific",
    }.items():
        with pytest.raises(AttributeError, match=right):
            getattr(world, wrong)
    with pytest.raises(KeyError, match="did you mean 'kling'"):
        world["klng"]


def test_credentials_are_headers_for_any_client(world: World) -> None:
    assert {"Authorization": f"Bearer {world.kling.credentials.key}"} == dict(world.kling.credentials)
    assert {"X-Magnific-Api-Key": world.magnific.credentials.key} == dict(world.magnific.credentials)
    assert world.kling.credentials.key not in repr(world.kling.credentials)


def test_each_world_has_keys_of_its_own(stage: Stage) -> None:
    with stage.open("one") as one, stage.open("other") as other:
        assert one.kling.credentials.key != other.kling.credentials.key


def test_a_token_holds_for_its_time_on_the_clock_of_the_world(world: World) -> None:
    headers = world.kling.credentials.token_headers(lifetime_s=60)
    kling = Kling(world, headers=headers)
    kling.make()

    world.clock.advance("PT2M")

    assert 401 == kling.ask().status_code
    assert 200 == Kling(world, headers=world.kling.credentials.token_headers()).ask().status_code


def test_a_secret_signs_what_the_provider_takes(world: World) -> None:
    held = world.kling.credentials
    at = int(world.clock.time())
    token = jwt.encode({"iss": held.access_key, "exp": at + 60, "nbf": at}, held.secret, algorithm="HS256")

    assert 200 == Kling(world, headers={"Authorization": f"Bearer {token}"}).ask().status_code


def test_a_provider_without_tokens_says_what_it_has_instead(world: World) -> None:
    for name in ("access_key", "secret"):
        with pytest.raises(WorldError, match=r"its credentials have key"):
            getattr(world.magnific.credentials, name)
    with pytest.raises(WorldError, match="no tokens"):
        world.magnific.credentials.token()


def test_configured_keys_are_the_only_ones_and_the_world_has_them() -> None:
    credentials = parse_credentials(
        ["kling=my-access:my-secret", "kling=my-key-that-is-long-enough-for-a-key"]
    )
    settings = Settings(port=0, log="off", providers=("kling",), credentials=credentials)
    with Stage(settings, has_port=False) as stage, stage.open("w") as world:
        held = world.kling.credentials
        assert ("my-access", "my-secret") == (held.access_key, held.secret)
        assert 200 == Kling(world).ask().status_code
        assert 200 == Kling(world, headers=held.token_headers()).ask().status_code
        forged = jwt.encode({"iss": "my-access", "exp": 4_000_000_000, "nbf": 0}, "x" * 32, algorithm="HS256")
        assert 401 == Kling(world, headers={"Authorization": f"Bearer {forged}"}).ask().status_code


def test_a_provider_that_takes_tokens_only_has_them_as_its_headers() -> None:
    settings = Settings(port=0, log="off", providers=("kling",), variants={"kling": ("jwt-only",)})
    with Stage(settings, has_port=False) as stage, stage.open("w") as world:
        assert world.kling.credentials["Authorization"].count(".") == 2
        assert 200 == Kling(world).ask().status_code
        with pytest.raises(WorldError, match="token"):
            _ = world.kling.credentials.key


def test_a_program_of_its_own_is_told_by_its_environment(world: World) -> None:
    code = (
        "import json, os, urllib.request as u\n"
        "body = json.dumps({'prompt': 'A boat', 'callback_url': os.environ['KLING_WEBHOOK_URL']}).encode()\n"
        "headers = {'Authorization': 'Bearer ' + os.environ['KLING_API_KEY'], 'Content-Type': 'application/json'}\n"
        "url = os.environ['KLING_BASE_URL'] + '/v1/videos/text2video'\n"
        "print(json.load(u.urlopen(u.Request(url, body, headers)))['data']['task_id'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env=world.environment, capture_output=True, text=True, check=True
    )

    assert [done.stdout.strip()] == [task.id for task in world.tasks]
    assert world.inbox.wait_for(2).is_verified
    assert {"MAGNIFIC_BASE_URL", "MAGNIFIC_API_KEY", "MAGNIFIC_WEBHOOK_SECRET", "KLING_SECRET_KEY"} <= set(
        world.environment
    )


def test_every_provider_takes_its_own_examples_with_the_credentials_of_a_world() -> None:
    with Stage(has_port=False) as stage, stage.open("all") as world:
        assert set(LIBRARY) == set(world.providers)
        for name, provider in world.providers.items():
            with httpx.Client(transport=world.transport, headers=provider.credentials) as http:
                for operation in provider.contract.operations.values():
                    if operation.role != "create":
                        continue
                    body = dict(examples(provider.contract, operation)[0])
                    headers = {}
                    for callback in operation.callbacks:
                        place, _, member = callback.url_expression.strip("{}").rpartition(
                            "/" if "#/" in callback.url_expression else "."
                        )
                        (body if place.endswith("#") else headers)[member] = world.inbox.url_for(name)
                    answer = http.post(
                        world.origin + f"/t/all/{name}{operation.path}", json=body, headers=headers
                    )
                    assert operation.response.status == answer.status_code, answer.text
        world.clock.run_until_idle()

        assert all(task.outcome == "success" for task in world.tasks)
        assert set(LIBRARY) == set(world.cost.providers)
        signed = {call.name: call.is_verified for call in world.inbox.calls}
        assert {"kling": True, "magnific": True, "modellix": None} == signed
        world.assert_no_violations()
        world.assert_delivered_once()


# --- what it meets ----------------------------------------------------------------------------------------


def test_a_scenario_is_met_as_often_as_it_is_asked_for(world: World) -> None:
    kling = Kling(world)
    planned = world.scenario("out-of-credits", times=1, after=1)

    assert [200, 429, 200] == [kling.ask(str(number)).status_code for number in range(3)]
    assert 1 == planned.met
    planned.assert_met()
    planned.assert_met(1)
    with pytest.raises(AssertionError, match="2 requests should have met scenario out-of-credits, and 1 did"):
        planned.assert_met(2)


def test_a_scenario_in_a_with_is_over_behind_it(world: World) -> None:
    kling = Kling(world)
    with world.scenario("maintenance") as planned:
        assert 503 == kling.ask().status_code
        assert "maintenance" == planned.name

    assert 200 == kling.ask().status_code
    with pytest.raises(WorldError, match="not in the plan any more"):
        _ = planned.met


def test_a_with_that_fails_is_told_for_what_failed_in_it(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.scenario("maintenance") as planned:
        planned.remove()
        raise ZeroDivisionError


def test_parameters_and_matches_reach_the_plan(world: World) -> None:
    kling = Kling(world)
    world.scenario("moderation-late", provider="kling", role="create", body={"/prompt": "a gun"})
    world.scenario("slow", body={"/prompt": "a snail"}, factor=100)

    tasks = {text: kling.make(text) for text in ("a boat", "a gun", "a snail")}
    world.clock.advance("PT10M")

    assert {"a boat": "succeed", "a gun": "failed", "a snail": "processing"} == {
        text: kling.state(task) for text, task in tasks.items()
    }


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("moderation-lat", {}, "did you mean 'moderation-late'"),
        ("slow", {"factr": 2}, "factr"),
        ("slow", {"factor": "much"}, "much"),
        ("slow", {"times": 0}, "at least 1"),
        ("slow", {"provider": "acme"}, "acme"),
    ],
)
def test_a_scenario_that_cannot_be_met_is_refused_in_words(
    world: World, name: str, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(WorldError, match=told):
        world.scenario(name, **arguments)


def test_plans_are_added_whole(world: World) -> None:
    planned = world.plan("slow", {"scenario": "latency", "with": {"seconds": 0.01}, "times": 1})

    assert ["slow", "latency"] == [one.name for one in planned]
    assert () == world.plan()


def test_a_task_can_be_ended_by_hand(world: World) -> None:
    kling = Kling(world)
    first, second = kling.make("one"), kling.make("two")

    failed, done = world.fail(first, "Not today"), world.finish(world.tasks[1])

    assert ("failure", "Not today") == (failed.outcome, failed.failure)
    assert "success" == done.outcome
    assert ["failed", "succeed"] == [kling.state(first), kling.state(second)]
    with pytest.raises(WorldError, match="final"):
        world.fail(first)


def test_a_world_can_begin_with_little_money(stage: Stage) -> None:
    with stage.open("poor", credits=1) as poor, stage.open("other", credits={"kling": 2}) as other:
        assert [200, 429] == [Kling(poor).ask(text).status_code for text in ("one", "two")]
        assert [200, 200, 429] == [Kling(other).ask(text).status_code for text in ("one", "two", "three")]
    with pytest.raises(WorldError, match="acme"):
        stage.open("nobody", credits={"acme": 2})


# --- what happened ----------------------------------------------------------------------------------------


def test_tasks_requests_and_deliveries_are_there_oldest_first(world: World) -> None:
    kling = Kling(world)
    first, second = kling.make("one", callback_url=world.inbox.url), kling.make("two")
    world.clock.run_until_idle()
    kling.read(first)

    assert [first, second] == [task.id for task in world.tasks] == [task.id for task in world.kling.tasks]
    assert ["POST", "POST", "GET"] == [one.method for one in world.requests]
    assert [first, second, first] == [one.task for one in world.kling.requests]
    assert () == world.magnific.tasks == world.magnific.requests
    sent, *_, last = world.deliveries
    assert ("processing", "succeed") == (sent.state, last.state)
    assert world.inbox.calls[1].content == last.content
    assert last.content and last.is_delivered
    assert [200] == [attempt.status for attempt in last.attempts]
    assert last.attempts[0].at == world.tasks[0].updated


def test_credentials_are_not_shown(world: World) -> None:
    Kling(world).make()

    (request,) = world.requests
    assert "[redacted]" == dict(request.headers)["authorization"]
    assert world.kling.credentials.key not in repr(request)


def test_costs_come_in_units_and_in_money(world: World) -> None:
    assert 0 == world.cost.tasks == world.cost.units
    Kling(world).make()
    assert (0, 1) == (world.cost.providers["kling"].used, world.cost.providers["kling"].reserved)

    world.clock.run_until_idle()

    cost = world.cost
    assert (1, 1.0, {"USD": 0.14}) == (cost.tasks, cost.units, cost.money)
    assert ["kling"] == list(cost.providers)


def test_a_right_client_has_no_violations(world: World) -> None:
    kling = Kling(world)
    kling.read(kling.make())

    world.assert_no_violations()
    assert () == world.violations


def test_violations_are_told_in_words(world: World) -> None:
    kling = Kling(world)
    kling.ask(duration="7")
    kling.http.get(f"{world.kling.base_url}/v1/videos/text2vide/1")

    with pytest.raises(AssertionError) as told:
        world.assert_no_violations()

    text = str(told.value)
    assert text.startswith("2 requests were not as the provider wants them:")
    assert "refused   duration: this model makes videos of 5 and 10 seconds only" in text
    assert "found    '7'" in text
    assert "rule     kling.duration.model (documented); understudy explain kling.duration.model" in text
    assert "'text2vide' should be 'text2video'" in text
    assert world.tenant not in text, "it is the same everywhere"


def test_many_violations_are_told_up_to_ten_and_what_cannot_be_printed_is_not(world: World) -> None:
    kling = Kling(world)
    for number in range(12):
        kling.ask(f"\x1b[31m\u202e{number}", duration="7\x1b")

    with pytest.raises(AssertionError) as told:
        world.assert_no_violations()

    text = str(told.value)
    assert text.startswith("12 requests were") and text.endswith("\n\n  and 2 more")
    assert 10 == text.count("refused   duration: ")
    assert "\x1b" not in text and "\u202e" not in text


def test_rules_can_be_allowed_to_be_broken(world: World) -> None:
    Kling(world).ask(duration="7")

    world.assert_no_violations(allow=["kling.duration.model"])
    world.assert_no_violations(allow=("kling.*",))
    world.assert_no_violations(allow="kling.*")
    for others in (["kling.prompt.*"], "kling.prompt.*", ""):
        with pytest.raises(AssertionError):
            world.assert_no_violations(allow=others)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "rate-limited",
            "unauthorized",
            "invalid",
            "moderation-at-create",
            "out-of-credits",
            "internal-error",
        ),
        *("html-error-page", "reset-before-answer", "poll-404-then-ok", "http-200-with-error-code"),
    ],
)
def test_what_a_scenario_refuses_is_no_fault_of_the_client(world: World, name: str) -> None:
    kling = Kling(world)
    world.scenario(name)
    try:
        answer = kling.ask().json()
    except (httpx.HTTPError, ValueError):
        answer = {}
    task = (answer.get("data") or {}).get("task_id")
    if task:
        kling.read(task)

    assert world.requests
    world.assert_no_violations()


def test_a_limit_or_an_empty_wallet_is_no_fault_of_the_client(stage: Stage) -> None:
    with stage.open("poor", credits=0) as world:
        assert 429 == Kling(world).ask().status_code
        assert world.requests[0].violations
        world.assert_no_violations()


def test_an_unknown_task_is_a_fault_of_the_client(world: World) -> None:
    Kling(world).read("953047639199328475")

    with pytest.raises(AssertionError, match="there is no such task"):
        world.assert_no_violations()


def test_every_callback_was_delivered_once(world: World) -> None:
    with pytest.raises(AssertionError, match="there is no callback"):
        world.assert_delivered_once()
    task = Kling(world).make(callback_url=world.inbox.url)
    with pytest.raises(AssertionError, match="not delivered exactly once"):
        world.assert_delivered_once(task)

    world.clock.run_until_idle()

    world.assert_delivered_once(task)
    world.assert_delivered_once(world.tasks[0])
    with pytest.raises(AssertionError, match="task other has no callback"):
        world.assert_delivered_once("other")


@pytest.mark.parametrize("name", ["callback-duplicated", "callback-storm", "callback-lost"])
def test_callbacks_that_come_twice_or_never_were_not_delivered_once(world: World, name: str) -> None:
    world.scenario(name)
    Kling(world).make(callback_url=world.inbox.url)
    world.clock.run_until_idle()

    with pytest.raises(AssertionError, match="not delivered exactly once"):
        world.assert_delivered_once()


def test_a_second_task_for_one_wish_is_a_double_spend(world: World) -> None:
    kling = Kling(world)
    kling.make("one")
    kling.make("two")
    world.assert_no_double_spend()
    with world.scenario("reset-after-accept"), pytest.raises(httpx.ReadError):
        kling.ask("three")
    world.assert_no_double_spend()

    kling.make("three")

    with pytest.raises(AssertionError, match="2 tasks were made for one wish"):
        world.assert_no_double_spend()


def test_laws_that_are_named_must_have_been_put_to_the_test(world: World) -> None:
    kling = Kling(world)
    kling.make()
    world.assert_laws()
    world.assert_laws("no-invalid-request", "one-task-per-wish")

    with pytest.raises(AssertionError, match="backs-off was not put to the test"):
        world.assert_laws("backs-off")
    with world.scenario("rate-limited"):
        kling.ask("two")
        world.clock.sleep(0.2)
        kling.ask("two")

    with pytest.raises(AssertionError, match="broken  backs-off"):
        world.assert_laws("backs-off")
    assert {"backs-off"} == {one.law for one in world.findings() if one.outcome == "broken"}
    with pytest.raises(WorldError, match="did you mean 'backs-off'"):
        world.findings("back-off")


# --- worlds and their stage -------------------------------------------------------------------------------


def test_worlds_of_one_name_are_different_worlds(stage: Stage) -> None:
    with stage.open("same") as one, stage.open("same") as other:
        Kling(one).make()

        assert one.tenant != other.tenant
        assert (1, 0) == (len(one.tasks), len(other.tasks))


def test_a_long_name_stays_one_that_a_tenant_can_have(stage: Stage) -> None:
    with stage.open("x" * 64) as one, stage.open("x" * 64) as other:
        assert (64, 60) == (len(one.tenant), len(other.tenant))


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 65, "-a"])
def test_a_name_that_no_tenant_can_have_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(WorldError):
        stage.open(name)


def test_a_world_that_cannot_begin_as_asked_is_not_left_behind(stage: Stage) -> None:
    with pytest.raises(WorldError, match="nonsuch"):
        stage.open("half", plan=["nonsuch"])

    assert stage.server is not None
    assert "half" not in stage.server.app.backend.tenants


def test_nothing_is_left_of_a_world_that_was_closed(stage: Stage) -> None:
    world = stage.open("gone")
    Kling(world).make(callback_url=world.inbox.url)
    world.close()
    world.close()

    assert stage.server is not None
    assert "gone" not in stage.server.app.backend.tenants


def test_the_same_seed_gives_the_same_ids(stage: Stage) -> None:
    made = []
    for _ in range(2):
        with stage.open("seeded", seed=7) as world:
            # The name is a part of the seed.
            stage._names.discard(world.tenant)
            world.clock.set(datetime(2026, 1, 1, tzinfo=UTC))
            made.append((Kling(world).make(), world.requests[0].id))

    assert made[0] == made[1]


def test_what_a_journal_let_go_of_is_not_judged_in_silence() -> None:
    settings = Settings(port=0, log="off", providers=("kling",), journal_entries=2)
    with Stage(settings, has_port=False) as stage, stage.open("many") as world:
        kling = Kling(world)
        for number in range(3):
            kling.make(str(number))

        assert (2, 1) == (len(world.requests), world.requests.dropped)
        with pytest.raises(WorldError, match="older requests of this world cannot be looked at"):
            world.assert_no_violations()


def test_what_many_polls_came_after_is_judged_and_counted_all_the_same() -> None:
    settings = Settings(port=0, log="off", providers=("kling",), journal_entries=10_000)
    with Stage(settings, has_port=False) as stage, stage.open("patient") as world:
        kling = Kling(world)
        task = kling.make()
        for _ in range(1_000):
            kling.read(task)

        world.assert_no_violations()
        assert "The last 10 of 1,001 requests:" in story(world)

    with Stage(settings, has_port=False) as stage, stage.open("wrong-at-first") as world:
        kling = Kling(world)
        kling.ask(duration="7")
        task = kling.make()
        for _ in range(1_000):
            kling.read(task)

        with pytest.raises(AssertionError, match="1 request was not as the provider wants"):
            world.assert_no_violations()


def test_a_world_that_was_closed_says_so_and_is_not_made_again(stage: Stage) -> None:
    with stage.open("gone") as world:
        Kling(world).make(callback_url=world.inbox.url)

    for look in (
        lambda: world.tasks,
        lambda: world.requests,
        lambda: world.cost,
        lambda: world.clock.now,
        lambda: world.clock.advance(5),
        lambda: world.inbox,
        lambda: world.scenario("slow"),
        lambda: world.conduct,
        world.assert_no_violations,
        world.assert_no_double_spend,
    ):
        with pytest.raises(WorldError, match=f"world {world.tenant} was closed"):
            look()
    assert stage.server is not None
    assert world.tenant not in stage.server.app.backend.tenants
