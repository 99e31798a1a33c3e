"""The stream of events: what happened, in order, once; and nothing at all while nobody listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import jsonschema
import pytest

from mockserver import events as module
from tests.mock import HOOK, KEY, NOON, Mock
from validator.contract.document import parse_yaml


class Stream:
    """One who listens to a server in process."""

    def __init__(self, mock: Mock, query: str = "", *, tenant: str = "", after: str = "") -> None:
        self.mock, self.text, self.status, self.is_over = mock, "", 0, False
        self.reads = asyncio.Event()
        self.reads.set()
        self._hung_up = asyncio.Event()
        path = f"{'/t/' + tenant if tenant else ''}/__admin/events"
        headers = [(b"host", b"127.0.0.1:8700"), *([(b"last-event-id", after.encode())] if after else [])]
        self._scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8700),
        }
        self._is_asked = False
        self.task = mock.loop.create_task(mock.app(self._scope, self._receive, self._send))
        mock.settle()

    async def _receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()
        self.is_over = self.is_over or (
            message["type"] == "http.response.body" and not message.get("more_body", False)
        )

    def hang_up(self) -> None:
        self._hung_up.set()
        self.mock.settle()

    @property
    def all(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return (id, kind, data) of what was sent so far."""
        self.mock.settle()
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
        return found

    @property
    def told(self) -> list[tuple[str, str]]:
        """Return (kind, what) of what was sent so far."""
        return [(kind, _WHAT[kind](data)) for _, kind, data in self.all]


_WHAT: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "request": lambda data: f"{data['status']} {data['target']}",
    "task": lambda data: data["state"],
    "delivery": lambda data: f"{data['state']} {data['status']}",
    "clock": lambda data: data["at"][11:19],
    "reset": lambda data: "",
    "gap": lambda data: "",
}


def test_a_tasks_life_is_told_as_it_happens_on_the_tenants_clock() -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock)
        made = mock.clip(hook=HOOK)

        mock.wait(15)

        assert [
            ("request", "200 /toy/api/clips"),
            ("task", "waiting"),
            ("task", "working"),
            ("delivery", "working delivered"),
            ("task", "done"),
            ("delivery", "done delivered"),
        ] == stream.told
        ids = [name for name, _, _ in stream.all]
        assert len(set(ids)) == len(ids)
        request, waiting, working = (data for _, _, data in stream.all[:3])
        assert ("default", "accepted", "createClip", made) == tuple(
            request[name] for name in ("tenant", "verdict", "operation", "task")
        )
        assert ("2026-01-01T12:00:00.000Z", "2026-01-01T12:00:02.000Z") == (waiting["at"], working["at"])
        assert (made, None, "success") == (waiting["id"], waiting["outcome"], stream.all[4][2]["outcome"])


def test_advancing_tells_what_fell_due_on_the_way_each_change_before_its_news() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        stream = Stream(mock)
        mock.clip(hook=HOOK)
        mock.advance("PT1M")

        assert [
            "task working",
            "delivery working delivered",
            "task done",
            "delivery done delivered",
            "clock 12:01:00",
        ] == [" ".join(one) for one in stream.told][2:]


def test_a_state_is_told_once_however_often_the_task_is_read() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        stream = Stream(mock)
        made = mock.clip()
        for _ in range(3):
            mock.read(made)
        mock.advance("PT2S")
        mock.read(made)
        mock.move(made, outcome="failure")
        mock.read(made)
        mock.advance("PT1H")
        mock.read(made)

        assert ["waiting", "working", "broken"] == [what for kind, what in stream.told if kind == "task"]


def test_reading_a_task_leaves_nothing_behind() -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock)
        made = mock.clip()
        for _ in range(200):
            mock.read(made)

        (watch,) = mock.app.events._watches.values()
        assert 1 == len(watch.heap) == len(watch.told)
        assert 202 == len(stream.told)


def test_tasks_of_before_are_followed_from_now_on() -> None:
    with Mock(log="off") as mock:
        mock.clip()
        mock.wait(3)
        stream = Stream(mock)

        mock.wait(20)

        assert [("task", "done")] == stream.told


@pytest.mark.parametrize("polls", [1, 2])
def test_a_task_that_reads_move_is_followed(polls: int) -> None:
    with Mock(log="off", progress="polls", polls_per_step=polls) as mock:
        made = mock.clip()
        stream = Stream(mock)
        for _ in range(2 * polls + 2):
            mock.wait(1)
            mock.read(made)

        assert ["working", "done"] == [what for kind, what in stream.told if kind == "task"]


def test_only_the_own_tenant_is_heard_unless_all_are_asked_for() -> None:
    with Mock(log="off") as mock:
        own, every = Stream(mock, tenant="blue"), Stream(mock, "of=all")
        mock.create()
        mock.create(base="/t/blue/toy/api")
        mock.create(base="/t/new/toy/api")
        mock.wait(60)

        assert {"blue"} == {data["tenant"] for _, _, data in own.all}
        assert {"default", "blue", "new"} == {data["tenant"] for _, _, data in every.all}
        assert 3 * 4 == len(every.all) == 3 * len(own.all)


def test_refused_and_unmatched_requests_are_told_without_credentials() -> None:
    with Mock("toy", "kling", log="off") as mock:
        stream = Stream(mock)
        mock.get("/toy/api/clips?page=0", x_toy_key="secret-key-12")
        mock.get("/nowhere", authorization="Bearer secret-key-12")

        assert [("request", "400 /toy/api/clips?page=0"), ("request", "404 /nowhere")] == stream.told
        assert ["refused", "refused"] == [data["verdict"] for _, _, data in stream.all]
        assert "secret-key-12" not in stream.text


def test_a_reset_is_told_and_what_was_is_forgotten() -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock)
        mock.clip()
        mock.admin("POST", "/reset")
        mock.wait(60)

        assert [("request", "200 /toy/api/clips"), ("task", "waiting"), ("reset", "")] == stream.told


def test_every_event_is_what_the_description_says() -> None:
    schemas = parse_yaml(
        resources.files("mockserver").joinpath("admin.openapi.yaml").read_bytes(), file="admin.openapi.yaml"
    )["components"]["schemas"]
    with Mock(log="off") as mock:
        stream = Stream(mock)
        mock.receivers.will(HOOK, OSError("refused"), 200)
        mock.clip(hook=HOOK)
        mock.get("/toy/none")
        mock.advance("PT1H")
        mock.admin("POST", "/reset")

        for _, kind, data in stream.all:
            schema = schemas[f"{kind.capitalize()}Event"]
            jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)
            rule = next(
                one["then"]
                for one in schemas["Event"]["allOf"]
                if one["if"]["properties"]["event"]["const"] == kind
            )
            named = rule["properties"]["data"]["contentSchema"]["$ref"]
            assert named.endswith(f"/{kind.capitalize()}Event")
        assert {"request", "task", "delivery", "clock", "reset"} == {kind for _, kind, _ in stream.all}


# --- who comes back ---------------------------------------------------------------------------------------


def test_who_comes_back_gets_what_happened_meanwhile() -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock)
        mock.clip()
        last = stream.all[-1][0]
        stream.hang_up()
        assert stream.task.done()
        mock.wait(30)

        again = Stream(mock, after=last)

        assert [("task", "working"), ("task", "done")] == again.told
        assert [] == Stream(mock, after=again.all[-1][0]).told


@pytest.mark.parametrize("after", ["x-1", "nonsense", "-", "1", "9" * 50, "é"])
def test_who_names_an_id_that_is_not_known_is_told_of_the_gap(after: str) -> None:
    with Mock(log="off") as mock:
        assert [("gap", "")] == Stream(mock, after=after).told


def test_who_comes_back_too_late_is_told_of_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock)
        mock.clip()
        first = stream.all[0][0]
        for _ in range(module.MOST_KEPT):
            mock.get("/toy/api/clips", x_toy_key=KEY)
        again = Stream(mock, after=first)
        assert "gap" == again.told[0][0]
        assert module.MOST_KEPT + 1 == len(again.told)
        stream.hang_up()
        again.hang_up()
        mock.wait(module.LINGER_S + 1)

        assert [("gap", "")] == Stream(mock, after=first).told


# --- bounds -----------------------------------------------------------------------------------------------


def test_while_nobody_listens_nothing_is_kept_or_timed() -> None:
    with Mock(log="off") as mock:
        hub, budget = mock.app.events, mock.app.backend.budget
        mock.clip()
        assert (None, None) == (budget.on_entry, mock.app.outbox.on_attempt)
        stream = Stream(mock)
        assert budget.on_entry is not None
        stream.hang_up()
        mock.wait(module.LINGER_S + 1)

        assert (None, None, False) == (budget.on_entry, mock.app.outbox.on_attempt, hub.is_on)
        before = mock.wall.at
        mock.clip()
        mock.wait(0.5)
        assert 500 == mock.wall.at - before


def test_who_does_not_read_is_left_behind_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    with Mock(log="off") as mock:
        slow, quick = Stream(mock), Stream(mock)
        slow.reads.clear()
        for _ in range(20):
            mock.get("/toy/api/clips", x_toy_key=KEY)
            mock.settle()
        mock.wait(1)

        assert slow.task.done()
        assert 20 == len(quick.told) and not quick.task.done()


def test_who_was_too_slow_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    with Mock(log="off") as mock:
        slow = Stream(mock)

        async def burst() -> None:
            for _ in range(20):
                mock.app.events._tell("default", "reset", {"at": ""})

        mock.run(burst())
        mock.settle()

        assert ": too slow" in slow.text and slow.is_over


def test_a_quiet_stream_shows_that_it_lives() -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock)
        mock.wait(46)

        assert 3 == stream.text.count("\n:\n")
        assert [] == stream.all


@pytest.mark.parametrize("end", ["for", "stop"])
def test_a_stream_ends_when_its_time_is_over_or_the_server_stops(end: str) -> None:
    with Mock(log="off") as mock:
        stream = Stream(mock, "for=5s" if end == "for" else "")
        begun = mock.wall.at
        if end == "for":
            mock.wait(6)
        else:
            mock.app.let_go()
            mock.settle()
            assert mock.wall.at == begun
        assert (200, True, True) == (stream.status, stream.is_over, stream.task.done())


def test_after_the_server_was_told_to_stop_no_stream_begins() -> None:
    with Mock(log="off") as mock:
        mock.app.let_go()

        assert Stream(mock).is_over


def test_a_look_without_a_body_opens_no_stream() -> None:
    with Mock(log="off") as mock:
        reply = mock.call("HEAD", "/__admin/events")

        assert (200, "text/event-stream; charset=utf-8") == (reply.status, reply.headers["content-type"])
        assert not mock.app.events.is_on


def test_tasks_beyond_those_that_are_followed_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WATCHED", 3)
    with Mock(log="off") as mock:
        stream = Stream(mock)
        for _ in range(6):
            mock.clip()
        mock.wait(60)

        states = [what for kind, what in stream.told if kind == "task"]
        assert ["waiting"] * 6 == [one for one in states if one == "waiting"]
        assert 6 == states.count("working") == states.count("done")
        assert NOON < mock.wall.at
