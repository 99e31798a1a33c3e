"""The transport without a socket behaves as a connection does."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from mockserver.settings import Settings
from mockserver.stage import Stage
from mockserver.transport import Transport
from mockserver.world import World
from tests.plugin.acting import Kling

BODY = {"prompt": "A paper boat"}
PATH = "/v1/videos/text2video"


def real(world: World) -> httpx.Client:
    """Return a client on the port, to compare with."""
    return httpx.Client(trust_env=False, headers=world.kling.credentials)


def clients(world: World, **options: object) -> list[httpx.Client]:
    headers = dict(world.kling.credentials)
    return [
        httpx.Client(transport=world.transport, headers=headers, **options),  # type: ignore[arg-type]
        httpx.Client(trust_env=False, headers=headers, **options),  # type: ignore[arg-type]
    ]


def test_both_ways_lead_into_the_same_world(world: World) -> None:
    for http in clients(world):
        with http:
            assert 200 == http.post(world.kling.base_url + PATH, json=BODY).status_code

    assert 2 == len(world.tasks)


def test_the_real_host_leads_into_the_world_as_well(world: World) -> None:
    host = f"https://{world.kling.contract.hosts[0]}"
    with httpx.Client(transport=world.transport, headers=world.kling.credentials) as http:
        task = http.post(host + PATH, json=BODY).json()["data"]["task_id"]
        world.clock.run_until_idle()
        found = http.get(f"{host}{PATH}/{task}").json()["data"]["task_result"]["videos"][0]["url"]
        video = http.get(found)

    assert [task] == [one.id for one in world.tasks]
    assert (200, "video/mp4") == (video.status_code, video.headers["content-type"])
    assert int(video.headers["content-length"]) == len(video.content)


@pytest.mark.parametrize("url", ["https://example.com/", "http://127.0.0.1:9/", "http://localhost/"])
def test_nobody_else_is_called_through_it(world: World, url: str) -> None:
    with (
        httpx.Client(transport=world.transport) as http,
        pytest.raises(httpx.ConnectError, match="no host of this understudy"),
    ):
        http.get(url)

    assert () == world.requests


def test_what_a_scenario_does_to_an_answer_is_what_a_socket_would_bring(world: World) -> None:
    shown: dict[str, list[str]] = {}
    for name, parameters in {
        "reset-before-answer": {},
        "reset-after-accept": {},
        "truncated-body": {"share": 0.5},
        "empty-body": {},
        "malformed-json": {},
        "html-error-page": {},
        "gzip-unasked": {},
        "dribble": {"pieces": 3, "seconds": 0.03},
    }.items():
        shown[name] = []
        for http in clients(world):
            with http, world.scenario(name, **parameters):
                try:
                    answer = http.post(world.kling.base_url + PATH, json=BODY)
                    told = f"{answer.status_code} {len(answer.content)} {answer.headers.get('content-type')}"
                except httpx.HTTPError as error:
                    told = type(error).__name__
                shown[name].append(told)

    assert {name: inside for name, (inside, _) in shown.items()} == {
        name: outside for name, (_, outside) in shown.items()
    }
    assert {"ReadError", "RemoteProtocolError"} < {one for pair in shown.values() for one in pair}


def test_a_client_loses_its_patience_and_the_task_is_made_all_the_same(world: World) -> None:
    for http in clients(world, timeout=httpx.Timeout(30, read=0.1)):
        with http, world.scenario("latency", seconds=5), pytest.raises(httpx.ReadTimeout):
            http.post(world.kling.base_url + PATH, json=BODY)

    assert 2 == len(world.requests)


def test_an_answer_can_be_read_in_pieces_and_left_in_the_middle(world: World) -> None:
    task = Kling(world).make()
    world.clock.run_until_idle()
    url = world.tasks[0].result
    assert url is not None
    with httpx.Client(transport=world.transport) as http:
        with http.stream("GET", url) as answer:
            first = next(answer.iter_bytes(1000))
        whole = http.get(url).content
        part = http.get(url, headers={"Range": "bytes=10-19"})

    assert task == world.tasks[0].id
    assert whole[: len(first)] == first
    assert (206, whole[10:20]) == (part.status_code, part.content)


def test_a_head_has_no_body(world: World) -> None:
    Kling(world).make()
    world.clock.run_until_idle()
    with httpx.Client(transport=world.transport) as http:
        answer = http.head(str(world.tasks[0].result))

    assert (200, b"") == (answer.status_code, answer.content)
    assert int(answer.headers["content-length"]) > 0


def test_async_clients_run_side_by_side(world: World) -> None:
    async def make(http: httpx.AsyncClient, number: int) -> str:
        made = await http.post(world.kling.base_url + PATH, json={"prompt": f"boat {number}"})
        task: str = made.json()["data"]["task_id"]
        return task

    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=world.transport, headers=world.kling.credentials) as http:
            with world.scenario("latency", seconds=1):
                return await asyncio.gather(*(make(http, number) for number in range(20)))

    made = asyncio.run(asyncio.wait_for(run(), 15))

    assert 20 == len(set(made)) == len(world.tasks)


def test_an_async_call_that_is_cancelled_leaves_nothing_behind(world: World) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(transport=world.transport, headers=world.kling.credentials) as http:
            world.scenario("latency", seconds=30, times=1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(http.post(world.kling.base_url + PATH, json=BODY), 0.1)
            assert 200 == (await http.post(world.kling.base_url + PATH, json=BODY)).status_code

    asyncio.run(run())

    server = world._stage.server
    assert server is not None

    async def still_running() -> list[str]:
        await asyncio.sleep(0.05)
        return [
            one.get_coro().__qualname__  # type: ignore[union-attr]
            for one in asyncio.all_tasks()
            if one.get_coro().__qualname__.startswith("Exchange")  # type: ignore[union-attr]
        ]

    assert [] == server.run(still_running())


def test_an_async_client_sees_what_a_sync_one_sees(world: World) -> None:
    async def run(name: str) -> str:
        async with httpx.AsyncClient(
            transport=world.transport,
            headers=world.kling.credentials,
            timeout=0.1 if name == "latency" else 30,
        ) as http:
            with world.scenario(name):
                try:
                    return str((await http.post(world.kling.base_url + PATH, json=BODY)).status_code)
                except httpx.HTTPError as error:
                    return type(error).__name__

    names = {
        "reset-after-accept": "ReadError",
        "truncated-body": "RemoteProtocolError",
        "latency": "ReadTimeout",
    }
    assert names == {name: asyncio.run(run(name)) for name in names}


def test_a_loop_that_is_not_asyncios_is_told_what_to_do(world: World) -> None:
    request = httpx.Request("GET", world.kling.base_url)

    with pytest.raises(RuntimeError, match="asyncio only"):
        world.transport.handle_async_request(request).send(None)


def test_threads_share_a_client(world: World) -> None:
    kling = Kling(world)
    threads = [threading.Thread(target=kling.make, args=(f"boat {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(world.tasks)


def test_large_and_unicode_bodies_arrive_whole(world: World) -> None:
    kling = Kling(world)
    text = "Ein Boot aus Papier, 紙の船 🚣"

    kling.make(text)
    refused = kling.ask("x" * 3_000_000)

    first, second = world.requests
    assert text == first.body["prompt"]  # type: ignore[index,call-overload]
    assert "refused" == second.verdict
    assert 400 == refused.status_code


def test_a_server_without_a_port_is_reached_by_it_alone() -> None:
    with Stage(Settings(port=0, log="off", providers=("kling",)), has_port=False) as stage:
        world = stage.open("no-port")
        assert world.kling.base_url == "http://understudy.test/t/no-port/kling"

        task = Kling(world).make()
        world.clock.run_until_idle()
        with httpx.Client(transport=world.transport) as http:
            assert 200 == http.get(str(world.tasks[0].result)).status_code

        assert [task] == [one.id for one in world.tasks]
        with pytest.raises(RuntimeError, match="no port"):
            _ = world.environment


def test_a_server_that_was_stopped_says_so_at_once() -> None:
    with Stage(Settings(port=0, log="off", providers=("kling",)), has_port=False) as stage:
        world = stage.open("stopped")
        transport = Transport(stage.server, "stopped")  # type: ignore[arg-type]
    with httpx.Client(transport=transport) as http, pytest.raises(httpx.ConnectError, match="stopped"):
        http.get("http://understudy.test/")
    with pytest.raises(RuntimeError, match="stopped"):
        _ = world.tasks
    world.close()
