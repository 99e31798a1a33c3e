"""More tenants, accounts, hosts, tasks and receivers than there is room for: the newest are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from mockserver.visits import TOKENS
from tests.e2e.running import Running
from tests.e2e.wire import Wire
from tests.mock import HOOK, Mock, slow
from tests.mockserver.clients import clients
from tests.providers import LIBRARY, TOY
from tests.safety.memory import MB, held_bytes

Start = Callable[..., Running]


def test_a_tenant_too_many_is_refused_however_it_is_named() -> None:
    with Mock("toy", "kling", max_tenants=5) as mock:
        for index in range(10):
            mock.call("GET", f"/t/t{index}/toy/api/clips")
        ways = [
            mock.call("GET", "/t/new/toy/api/clips"),
            mock.call("GET", "/toy/api/clips", headers={"x-mock-tenant": "new"}),
        ]
        ours = [
            mock.call("GET", "/t/new/__admin/health"),
            mock.call("GET", "/__admin/tasks", headers={"x-mock-tenant": "new"}),
            mock.call("GET", "/t/new/nothing"),
        ]

        assert 5 == len(mock.app.backend.tenants)
        assert {"toy.request.unavailable"} == {one.headers["x-mock-violations"] for one in ways}
        assert {429} == {one.status for one in ours}
        # Those that are there go on.
        assert 200 == mock.call("GET", "/t/t1/toy/api/clips", headers={"x-toy-key": "toy-key-1"}).status


@pytest.mark.parametrize("name", LIBRARY)
def test_every_provider_says_so_in_its_own_voice(name: str) -> None:
    with Mock(name, max_tenants=1, log="off") as mock:
        client = next(clients(mock, name, base="/t/new"))
        reply = client.create()

        assert reply.status in (429, 503)
        assert reply.headers["content-type"].startswith("application/json")
        assert 1 == len(mock.app.backend.tenants)


def test_looking_at_results_makes_no_tenants() -> None:
    with Mock(log="off") as mock:
        for index in range(100):
            mock.call("GET", f"/t/x{index}/__media/a/b.mp4")
            mock.call("GET", f"/t/-{index}/toy/api/clips")

        assert {"default"} == set(mock.app.backend.tenants)


def test_ten_thousand_tenants_fit_and_more_do_not(start: Start) -> None:
    server = start("--spec", str(TOY), "--log", "off")
    server.client.get("/__admin/health").raise_for_status()
    before = held_bytes(server.process.pid)

    def flood(first: int) -> None:
        with Wire(server) as wire:
            for index in range(first, first + 3_000):
                path = b"/t/tenant-%d/toy/api/clips" % index
                wire.send(
                    b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Toy-Key: toy-key-1\r\n\r\n"
                ).answer()

    threads = [threading.Thread(target=flood, args=(first,)) for first in range(0, 12_000, 3_000)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)

    assert 10_000 == server.client.get("/__admin/health").json()["tenants"]
    assert held_bytes(server.process.pid) - before < 150 * MB


def test_journals_of_many_tenants_share_one_budget() -> None:
    with Mock(journal_bytes=1_000_000, log="off") as mock:
        for index in range(200):
            for _ in range(5):
                mock.create(base=f"/t/t{index}/toy/api", prompt="a" * 2_000)

        budget = mock.app.backend.budget
        assert budget.size_bytes <= 1_000_000
        assert 5 < sum(len(one) for one in budget.journals) < 1_000


def test_credentials_and_hosts_are_remembered_up_to_a_number() -> None:
    with Mock(log="off", journal_entries=0) as mock:
        for index in range(TOKENS + 500):
            mock.call(
                "GET", "/toy/api/clips", headers={"x-toy-key": f"toy-key-{index}", "host": f"h{index}.test"}
            )
        mock.create(headers={"host": "last.test"})
        pipeline = mock.app._pipeline

        assert len(pipeline._desks["toy"].principals) <= TOKENS
        assert len(pipeline._origins) <= TOKENS + 2


def test_a_task_too_many_is_refused_and_reads_go_on() -> None:
    with Mock(max_tasks=3, log="off") as mock:
        tasks = [mock.clip() for _ in range(3)]
        refused = [mock.create(), mock.create(base="/t/other/toy/api")]

        assert {"toy.request.unavailable-store-full"} == {one.headers["x-mock-violations"] for one in refused}
        assert all(200 == mock.read(task).status for task in tasks)


def test_receivers_that_hang_for_one_tenant_leave_room_for_others() -> None:
    """Thirty hosts that never answer would fill every place there is, were it not for a share."""
    with Mock(log="off") as mock:
        outbox = mock.app.outbox
        outbox._all, outbox._share = asyncio.Semaphore(40), 10
        for index in range(60):
            url = f"http://hanging{index}.test/"
            mock.receivers.always[url] = slow(600)
            mock.clip(base="/t/greedy/toy/api", hook=url)
        mock.clip(hook=HOOK)

        mock.wait(2)

        assert 1 == len(mock.receivers.to(HOOK))
        assert 10 == len([call for call in mock.receivers.calls if "hanging" in call.url])


def test_a_share_is_never_the_whole() -> None:
    with Mock(log="off") as mock:
        outbox = mock.app.outbox

        assert outbox._share < outbox._all._value or outbox._all._value <= 256


@pytest.fixture(name="start")
def _start() -> object:
    started: list[Running] = []

    def starter(*options: str) -> Running:
        running = Running(*options)
        started.append(running)
        return running

    yield starter
    for running in started:
        running.__exit__(None, None, None)
