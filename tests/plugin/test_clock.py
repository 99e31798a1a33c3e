"""The clock of a world, and its stand-ins for the machine's."""

from __future__ import annotations

import asyncio
import math
import threading
import time
import types
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mockserver.stage import Stage
from mockserver.steering import WorldError
from mockserver.world import World
from tests.plugin.acting import Kling


def test_it_stands_still_until_it_is_moved(world: World) -> None:
    before = world.clock.now

    world.clock.advance(1.5)

    assert world.clock.is_frozen
    assert timedelta(seconds=1.5) == world.clock.now - before


@pytest.mark.parametrize("by", ["PT2M", timedelta(minutes=2), 120, 120.0])
def test_it_is_moved_by_texts_durations_and_seconds(world: World, by: str | timedelta | float) -> None:
    before = world.clock.ms

    world.clock.advance(by)

    assert 120_000 == world.clock.ms - before


@pytest.mark.parametrize("by", ["5 minutes", "", -1, math.inf, math.nan, timedelta(seconds=-1)])
def test_what_is_no_way_forward_is_refused(world: World, by: str | timedelta | float) -> None:
    before = world.clock.ms

    with pytest.raises(WorldError):
        world.clock.advance(by)

    assert before == world.clock.ms


def test_an_advance_tells_what_happened_in_order(world: World) -> None:
    task = Kling(world).make()

    events = world.clock.advance("PT5M")

    assert [("task", "processing"), ("task", "succeed")] == [(one.kind, one.state) for one in events]
    assert {task} == {one.task for one in events}
    assert [timedelta(seconds=2), timedelta(seconds=122)] == [
        one.at - world.tasks[0].created for one in events
    ]
    assert not events.is_truncated


def test_it_goes_from_event_to_event_until_there_is_none(world: World) -> None:
    Kling(world).make()

    states = [[one.state for one in world.clock.advance_to_next_event()] for _ in range(3)]

    assert [["processing"], ["succeed"], []] == states


def test_running_until_idle_ends_where_a_task_never_does(world: World) -> None:
    kling = Kling(world)
    kling.make()
    world.scenario("stuck-processing")
    kling.make("another")

    events = world.clock.run_until_idle()

    assert ["processing", "processing", "succeed"] == [one.state for one in events]
    assert [True, False] == [task.has_ended for task in world.tasks]


def test_running_until_idle_waits_out_the_retries_of_callbacks(world: World) -> None:
    world.inbox.respond_with(500, times=2)
    Kling(world).make(callback_url=world.inbox.url)

    world.clock.run_until_idle()

    assert [500, 500, 200, 200] == [call.answered for call in world.inbox.calls]


def test_sleep_moves_a_clock_at_rest(world: World) -> None:
    began = world.clock.monotonic()

    world.clock.sleep(0.25)
    world.clock.sleep(0)

    assert 0.25 == pytest.approx(world.clock.monotonic() - began)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_sleep_refuses_what_the_standard_library_refuses(world: World, seconds: float) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        world.clock.sleep(seconds)


def test_sleep_waits_for_a_clock_that_runs(stage: Stage) -> None:
    with stage.open("runs", speed=1000) as world:
        before = world.clock.ms

        world.clock.sleep(20)

        assert world.clock.ms - before >= 19_000


async def _sleepers(world: World, *seconds: float) -> list[tuple[float, int]]:
    woke: list[tuple[float, int]] = []
    began = world.clock.ms

    async def sleep(one: float) -> None:
        assert "rested" == await world.clock.async_sleep(one, "rested")
        woke.append((one, world.clock.ms - began))

    await asyncio.gather(*map(sleep, seconds))
    return woke


def test_those_who_sleep_at_once_wake_in_order_and_together_take_no_longer(world: World) -> None:
    woke = asyncio.run(_sleepers(world, 5, 1, 3, 5))

    assert [1, 3, 5, 5] == [seconds for seconds, _ in woke]
    assert [1000, 3000, 5000, 5000] == [at for _, at in woke]


def test_a_sleeper_that_is_cancelled_holds_up_nobody(world: World) -> None:
    async def run() -> int:
        first = asyncio.ensure_future(world.clock.async_sleep(1))
        second = asyncio.ensure_future(world.clock.async_sleep(9))
        await asyncio.sleep(0)
        first.cancel()
        await second
        return world.clock.ms

    before = world.clock.ms

    assert 9000 == asyncio.run(run()) - before


def test_threads_that_sleep_do_not_get_into_each_others_way(world: World) -> None:
    failures: list[BaseException] = []

    def sleep() -> None:
        try:
            for _ in range(10):
                world.clock.sleep(1)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=sleep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failures


def test_a_receiver_in_the_clients_own_loop_can_answer_while_it_sleeps(world: World) -> None:
    calls: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        Kling(world).make(callback_url=f"http://127.0.0.1:{port}/hook")
        await world.clock.async_sleep(300)
        server.close()

    asyncio.run(run())

    assert 2 == len(calls)
    world.assert_delivered_once()


def test_it_can_be_set_forward_and_before_there_are_tasks_backward(world: World) -> None:
    world.clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    assert 2020 == world.clock.now.year

    Kling(world).make()
    world.clock.set(datetime(2020, 1, 2, tzinfo=UTC))

    assert world.tasks[0].has_ended
    with pytest.raises(WorldError, match="forward"):
        world.clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(WorldError, match="time zone"):
        world.clock.set(datetime(2030, 1, 1))


def test_its_speed_can_be_read_and_set(world: World) -> None:
    for speed in (60, 1, 0.5):
        world.clock.speed = speed
        assert speed == world.clock.speed
        assert not world.clock.is_frozen
    world.clock.freeze()
    assert world.clock.is_frozen


# --- a client's own modules -------------------------------------------------------------------------------


def module(text: str) -> types.ModuleType:
    made = types.ModuleType("client_of_a_user")
    exec(text, vars(made))
    return made


CLIENT = """
import asyncio, time as clock
from time import monotonic, sleep
from asyncio import sleep as nap

def wait():
    began = monotonic()
    sleep(100); clock.sleep(100)
    asyncio.run(rest())
    return monotonic() - began, clock.time(), clock.time_ns(), clock.strftime

async def rest():
    await asyncio.gather(nap(100), asyncio.sleep(100))
"""


def test_a_module_that_is_driven_lives_in_the_time_of_the_world(stage: Stage) -> None:
    client = module(CLIENT)
    before = dict(vars(client))
    with stage.open("driven") as world:
        world.drive(client)
        world.drive(client)
        began = time.monotonic()

        waited, now, now_ns, other = client.wait()

        assert time.monotonic() - began < 20
        assert 300 == pytest.approx(waited)
        assert world.clock.time() == pytest.approx(now)
        assert world.clock.ms * 1_000_000 == now_ns
        assert time.strftime is other, "the rest of the module is as it was"

    assert before == dict(vars(client)), "and afterwards everything is"


def test_a_module_that_reaches_no_time_is_refused(world: World) -> None:
    with pytest.raises(WorldError, match="client_of_a_user imports neither time nor asyncio"):
        world.drive(module("import json"))


DATES = """
import datetime as dates
from datetime import UTC, datetime, timedelta

def look():
    return datetime.now(UTC), dates.datetime.now(), datetime.today(), datetime.utcnow()

def give_up_after(hours, sleep):
    deadline = datetime.now() + timedelta(hours=hours)
    while datetime.now() < deadline:
        sleep(60)

def make():
    return datetime(2026, 1, 2), datetime.fromisoformat("2026-01-02"), datetime.strptime("2026", "%Y")
"""


def test_a_module_that_measures_with_dates_lives_in_it_as_well(stage: Stage) -> None:
    client = module(DATES)
    with stage.open("dated") as world:
        world.drive(client)
        world.clock.advance("P1D")

        now, here, today, utc = client.look()
        assert world.clock.now == now
        assert now == here.astimezone(UTC) == today.astimezone(UTC) == utc.replace(tzinfo=UTC)
        client.give_up_after(2, world.clock.sleep)
        assert timedelta(hours=2) == world.clock.now - now

        assert all(type(one) is datetime for one in (*client.look(), *client.make()))
        assert isinstance(datetime(2026, 1, 1), client.datetime)
        assert issubclass(datetime, client.datetime)
        assert client.dates.timedelta is timedelta

    assert client.datetime is datetime


@pytest.mark.parametrize("by", ["5m", "", "P", "PT-5M", "P1Y", "5", "PT5M ", 10**12, timedelta(days=10**7)])
def test_a_time_that_cannot_be_moved_on_by_is_refused_in_words(world: World, by: Any) -> None:
    with pytest.raises(WorldError, match=r"write an ISO 8601 duration such as PT5M|beyond the year 9999"):
        world.clock.advance(by)


@pytest.mark.parametrize("text", [CLIENT, "import time", "import asyncio", "from time import sleep"])
def test_a_module_lives_in_one_time_at_a_time(stage: Stage, world: World, text: str) -> None:
    client = module(text)
    before = dict(vars(client))
    with stage.open("other") as other:
        other.drive(client)
        with pytest.raises(WorldError, match="client_of_a_user lives in the time of another world"):
            world.drive(client)
    world.drive(client)

    assert before != dict(vars(client))


def test_what_else_a_module_holds_is_left_alone(world: World) -> None:
    class Proxy:
        """As frameworks have them: nothing can be asked of it outside of a request."""

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("working outside of a request")

        def __call__(self) -> None:
            pass

    client = module("import time")
    proxy = client.__dict__["request"] = Proxy()

    world.drive(client)

    assert client.request is proxy
    assert world.clock.sleep == client.time.sleep
