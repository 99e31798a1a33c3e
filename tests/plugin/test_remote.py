"""A world on a server elsewhere: the same values, over its admin API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from mockserver.local import LocalServer
from mockserver.settings import Settings
from mockserver.stage import Stage
from mockserver.steering import WorldError
from mockserver.world import World
from tests.providers import contract

TEXTS = "/v1/videos/text2video"


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[LocalServer]:
    settings = Settings(port=0, log="off", providers=("kling",), secrets={"kling": "whsec_dW5kZXJzdHVkeQ=="})
    with LocalServer(settings) as server:
        yield server


@pytest.fixture
def far(elsewhere: LocalServer) -> Iterator[World]:
    settings = Settings(port=0, log="off", secrets={"kling": "whsec_dW5kZXJzdHVkeQ=="})
    with Stage(settings, url=elsewhere.origin + "/") as stage, stage.open("far") as world:
        yield world


def make(world: World, **more: str) -> str:
    with httpx.Client(trust_env=False, headers=world.kling.credentials) as http:
        made = http.post(world.kling.base_url + TEXTS, json={"prompt": "A boat", **more})
    task: str = made.json()["data"]["task_id"]
    return task


def test_it_is_steered_and_looked_at_as_one_of_this_process(far: World, elsewhere: LocalServer) -> None:
    task = make(far)

    assert ["processing", "succeed"] == [one.state for one in far.clock.run_until_idle()]
    assert [task] == [one.id for one in far.tasks]
    assert f"{elsewhere.origin}/t/{far.tenant}/kling" == far.kling.base_url
    assert 1 == far.cost.units
    far.assert_no_violations()
    far.clock.speed = 60
    assert 60 == far.clock.speed


def test_callbacks_are_fetched_because_it_may_not_reach_this_machine(far: World) -> None:
    far.inbox.respond_with(500, times=1)
    make(far, callback_url=far.inbox.url)

    assert (
        "succeed"
        == far.inbox.wait_for(lambda call: call.json["task_status"] == "succeed").json["task_status"]
    )

    assert [500, 200, 200] == [call.answered for call in far.inbox.calls]
    assert all(call.is_verified for call in far.inbox.calls)
    assert ["delivered", "delivered"] == [one.status for one in far.deliveries]


def test_what_only_a_server_in_this_process_can_do_says_so(far: World) -> None:
    for ask in (lambda: far.transport, lambda: far.conduct):
        with pytest.raises(WorldError, match="the server is elsewhere"):
            ask()
    with pytest.raises(WorldError, match="leave the seed out"):
        far._stage.open("seeded", seed=3)


def test_its_refusals_are_told(far: World) -> None:
    with pytest.raises(WorldError, match="nonsuch"):
        far.scenario("nonsuch")


def test_sessions_that_share_it_do_not_get_into_each_others_way(elsewhere: LocalServer) -> None:
    with Stage(url=elsewhere.origin) as one, Stage(url=elsewhere.origin) as other:
        make(one.open("again"))

        assert () == other.open("again").tasks


def test_a_server_that_is_not_there_says_so() -> None:
    with pytest.raises(WorldError, match="no server answers at http://127"):
        Stage(url="http://127.0.0.1:9")
    with pytest.raises(WorldError, match="no URL"):
        Stage(url="localhost")


def test_a_server_that_wants_a_token_gets_it_or_says_so() -> None:
    with LocalServer(Settings(port=0, log="off", providers=("kling",), admin_token="let-me-in")) as server:
        with Stage(url=server.origin, token="let-me-in") as stage, stage.open("t") as world:
            assert () == world.tasks
        with pytest.raises(WorldError, match="token"):
            Stage(url=server.origin)


def test_a_provider_whose_spec_is_only_there_has_to_be_named() -> None:
    with (
        LocalServer(Settings(port=0, log="off"), contracts={"toy": contract("toy")}) as server,
        pytest.raises(WorldError, match="serves toy, of which no spec is known here"),
    ):
        Stage(url=server.origin)
