"""A server in a thread, as a program that embeds it sees it."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from mockserver.local import LocalServer
from mockserver.settings import SettingError, Settings
from tests.providers import contract

TOY = {"toy": contract("toy")}
KEY = {"x-toy-key": "key-1"}
QUIET = Settings(port=0, log="off")


def client(origin: str) -> httpx.Client:
    return httpx.Client(base_url=origin, trust_env=False, verify=False)


def test_it_answers_on_its_port_and_no_more_when_it_is_stopped() -> None:
    with LocalServer(QUIET, contracts=TOY) as server, client(server.origin) as http:
        made = http.post("/toy/api/clips", json={"prompt": "a boat"}, headers=KEY)
        assert 200 == made.status_code

    assert not server.is_running
    with pytest.raises(httpx.ConnectError), client(server.origin) as http:
        http.get("/")
    server.stop()


def test_the_application_can_be_asked_in_its_own_thread() -> None:
    async def name() -> str:
        return threading.current_thread().name

    with LocalServer(QUIET, contracts=TOY) as server:
        assert "understudy" == server.run(name())


def test_one_without_a_port_runs_all_the_same() -> None:
    before = threading.active_count()
    with LocalServer(QUIET, contracts=TOY, has_port=False) as server:
        assert "" == server.origin
        assert server.run(asyncio.sleep(0, "done")) == "done"

    assert before == threading.active_count()


def test_several_run_side_by_side() -> None:
    with LocalServer(QUIET, contracts=TOY) as one, LocalServer(QUIET, contracts=TOY) as other:
        assert one.origin != other.origin
        for server in (one, other):
            with client(server.origin) as http:
                assert 200 == http.get("/__admin/health").status_code


def test_a_port_that_is_taken_is_said_where_it_is_started() -> None:
    with (
        LocalServer(QUIET, contracts=TOY) as server,
        pytest.raises(SettingError, match="another program has it"),
    ):
        LocalServer(Settings(port=int(server.origin.rpartition(":")[2]), log="off"), contracts=TOY)


def test_what_goes_wrong_in_its_thread_is_raised_where_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no server today")

    monkeypatch.setattr("mockserver.local.make_server", broken)

    with pytest.raises(RuntimeError, match="no server today"):
        LocalServer(QUIET, contracts=TOY)
