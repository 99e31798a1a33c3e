"""The control plane: every call with good and with bad input, and who may call.

Every answer of the tests here is held against `admin.openapi.yaml`: status, media type, body.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from mockserver.admin import ROUTES, times
from mockserver.deliveries import Ledger
from mockserver.store import SqliteStore
from tests.mock import HOOK, KEY, NOON, Mock, Reply, Wall
from tests.providers import LIBRARY
from validator.contract.document import parse_yaml

CLIPS = "/toy/api/clips"


# --- the description --------------------------------------------------------------------------------------


@functools.cache
def description() -> dict[str, Any]:
    """Return admin.openapi.yaml."""
    text = resources.files("mockserver").joinpath("admin.openapi.yaml").read_bytes()
    found: dict[str, Any] = parse_yaml(text, file="admin.openapi.yaml")
    return found


def described(method: str, path: str) -> dict[str, Any]:
    """Return the responses of the operation behind a path, by status."""
    steps = path.partition("?")[0].split("/")
    for template, item in description()["paths"].items():
        known = template.split("/")
        if len(known) == len(steps) and all(
            a == b or a.startswith("{") for a, b in zip(known, steps, strict=True)
        ):
            operation = item.get(method.lower())
            return operation["responses"] if operation else {}  # type: ignore[no-any-return]
    return {}


def check(method: str, path: str, reply: Reply) -> None:
    """Hold an answer against the description."""
    media_type = reply.headers.get("content-type", "")
    response = described(method, path).get(str(reply.status))
    if response is None:
        assert reply.status >= 400, f"{reply.status} is not described for {method} {path}"
        response = description()["components"]["responses"]["Problem"]
    if "content" not in response:
        assert reply.body == b"" and media_type == "", reply
        return
    ((expected, content),) = response["content"].items()
    assert expected == media_type.partition(";")[0], reply
    if expected == "text/event-stream":
        # Its events are held against the description where they are tested.
        return
    schema = content["schema"] | {"components": description()["components"]}
    jsonschema.validate(reply.json, schema, cls=jsonschema.Draft202012Validator)
    if reply.status >= 400:
        assert reply.json["status"] == reply.status
        assert reply.json["title"] and reply.json["detail"], "a refusal says what and why"


def call(
    mock: Mock,
    method: str,
    path: str,
    json: Any = None,
    *,
    tenant: str = "",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Call the control plane; the answer is one that it describes."""
    prefix = f"/t/{tenant}" if tenant else ""
    reply = mock.call(method, f"{prefix}/__admin{path}", json=json, body=body, headers=headers)
    check(method, path, reply)
    return reply


@pytest.fixture
def mock() -> Iterator[Mock]:
    """A server of the toy, its clock at rest."""
    with Mock(log="off") as made:
        made.freeze()
        yield made


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    known = {
        (method.upper(), path)
        for path, item in description()["paths"].items()
        for method in item
        if method in ("get", "put", "post", "patch", "delete")
    }

    assert known == {(method, path) for method, path, _ in ROUTES}


# --- health and providers ---------------------------------------------------------------------------------


def test_health_counts_what_there_is(mock: Mock) -> None:
    mock.clip()
    mock.clip(base="/t/blue/toy/api")

    assert {"status": "ok", "providers": 1, "tenants": 2, "tasks": 2}.items() <= call(
        mock, "GET", "/health"
    ).json.items()


@pytest.mark.parametrize("tenant", ["", "blue"])
def test_providers_tell_base_url_credentials_and_limits(tenant: str) -> None:
    with Mock(
        "toy", *LIBRARY, log="off", limits={("toy", "credits"): 3.0}, variants={"toy": ("chatty",)}
    ) as mock:
        found = call(mock, "GET", "/providers", tenant=tenant, headers={"host": "localhost:81"}).json[
            "providers"
        ]

        assert ["toy", *LIBRARY] == [one["id"] for one in found]
        toy = found[0]
        prefix = f"/t/{tenant}" if tenant else ""
        assert f"http://localhost:81{prefix}/toy/api" == toy["baseUrl"]
        assert ["api.toy.example", "old.toy.example"] == toy["hosts"]
        assert {"id": "getClip", "method": "GET", "path": "/api/clips/{id}", "summary": ""} in toy[
            "operations"
        ]
        assert [("x-toy-key", "KEY"), ("authorization", "Bearer JWT or API key")] == [
            (one["header"].lower(), one["form"]) for one in toy["credentials"]
        ]
        assert [("requests", 100, False), ("concurrent-tasks", 2, False), ("credits", 3, True)] == [
            (one["unit"], one["quota"], one["enforced"]) for one in toy["limits"]
        ]
        assert [("chatty", True)] == [(one["name"], one["applied"]) for one in toy["variants"]]


# --- clock ------------------------------------------------------------------------------------------------


def test_a_clock_is_real_until_somebody_says_otherwise() -> None:
    with Mock(log="off") as mock:
        first = call(mock, "GET", "/clock").json
        mock.wait(5)
        then = call(mock, "GET", "/clock").json

        assert {"mode": "real", "now": "2026-01-01T12:00:00.000Z", "now_ms": NOON, "speed": 1} == first
        assert 5_000 <= then["now_ms"] - NOON <= 5_002


CLOCKS: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({"mode": "frozen"}, {"mode": "frozen", "speed": 0, "now_ms": NOON}, 0),
    ({"mode": "real"}, {"mode": "real", "speed": 1, "now_ms": NOON}, 10_000),
    ({"mode": "scaled", "speed": 60}, {"mode": "scaled", "speed": 60, "now_ms": NOON}, 600_000),
    ({"mode": "scaled", "speed": 0.5}, {"mode": "scaled", "speed": 0.5, "now_ms": NOON}, 5_000),
    ({"speed": 2}, {"mode": "scaled", "speed": 2, "now_ms": NOON}, 20_000),
    ({"now": NOON + 5}, {"mode": "frozen", "now_ms": NOON + 5}, 0),
    ({"now": "2030-01-01T00:00:00Z"}, {"mode": "frozen", "now": "2030-01-01T00:00:00.000Z"}, 0),
    ({"now": "2030-01-01T01:00:00+01:00"}, {"now": "2030-01-01T00:00:00.000Z"}, 0),
    ({"now": "2030-01-01t00:00:00.5z"}, {"now": "2030-01-01T00:00:00.500Z"}, 0),
    (
        {"mode": "real", "now": "2030-01-01T00:00:00Z"},
        {"mode": "real", "now": "2030-01-01T00:00:00.000Z"},
        10_000,
    ),
    ({"now": 0}, {"now": "1970-01-01T00:00:00.000Z"}, 0),
]


@pytest.mark.parametrize(("change", "expected", "later"), CLOCKS)
def test_a_clock_is_set(mock: Mock, change: dict[str, Any], expected: dict[str, Any], later: int) -> None:
    clock = call(mock, "PUT", "/clock", change).json
    mock.wait(10)
    then = call(mock, "GET", "/clock").json

    assert expected.items() <= clock.items()
    assert abs(then["now_ms"] - clock["now_ms"] - later) <= 60


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mode": "fast"},
        {"mode": "scaled"},
        {"mode": "frozen", "speed": 2},
        {"mode": "real", "speed": 2},
        {"speed": 0},
        {"speed": -1},
        {"speed": 1_000_001},
        {"speed": "2"},
        {"speed": True},
        {"now": -1},
        {"now": 1.5},
        {"now": 253_402_300_800_000},
        {"now": "tomorrow"},
        {"now": "2030-01-01"},
        {"now": "2030-01-01T00:00:00"},
        {"now": "2030-02-30T00:00:00Z"},
        {"now": None},
        {"mode": "frozen", "other": 1},
        [],
        "frozen",
        None,
    ],
    ids=str,
)
def test_what_no_clock_can_be_is_refused_and_changes_nothing(mock: Mock, change: Any) -> None:
    before = call(mock, "GET", "/clock").json

    reply = call(mock, "PUT", "/clock", change, body=b"null" if change is None else None)

    assert 400 == reply.status
    assert before == call(mock, "GET", "/clock").json


def test_a_clock_with_tasks_goes_forward_only(mock: Mock) -> None:
    assert 200 == call(mock, "PUT", "/clock", {"now": NOON - 1}).status
    mock.clip()
    back = call(mock, "PUT", "/clock", {"now": NOON - 2})
    assert (409, "Back in time") == (back.status, back.json["title"])
    assert 200 == call(mock, "PUT", "/clock", {"now": NOON - 1}).status
    assert 200 == call(mock, "PUT", "/clock", {"now": NOON - 2}, tenant="blue").status


def test_a_clock_that_is_set_forward_lets_happen_what_lies_between(mock: Mock) -> None:
    made = mock.clip(hook=HOOK)

    call(mock, "PUT", "/clock", {"now": NOON + 60_000})

    assert ["working", "done"] == [one.json["state"] for one in mock.receivers.to(HOOK)]
    assert "done" == mock.state(made)


# --- advance ----------------------------------------------------------------------------------------------


def advance(mock: Mock, **how: Any) -> dict[str, Any]:
    reply = call(mock, "POST", "/clock/advance", how)
    assert 200 == reply.status, reply
    found: dict[str, Any] = reply.json
    return found


@pytest.mark.parametrize(
    ("by", "moved"),
    [
        ("PT1S", 1_000),
        ("PT0.001S", 1),
        ("PT0S", 0),
        ("PT5M", 300_000),
        ("PT1H30M", 5_400_000),
        ("P1D", 86_400_000),
        ("P2DT3H4M5.006S", 183_845_006),
    ],
)
def test_a_clock_is_moved_by_a_duration(mock: Mock, by: str, moved: int) -> None:
    answer = advance(mock, by=by)

    assert NOON + moved == answer["now_ms"] == call(mock, "GET", "/clock").json["now_ms"]
    assert ("2026-01-01T12:00:00.000Z", []) == (answer["from"], answer["events"])


def test_a_clock_is_moved_to_a_time(mock: Mock) -> None:
    assert NOON + 5 == advance(mock, to=NOON + 5)["now_ms"]
    assert "2026-01-01T13:00:00.000Z" == advance(mock, to="2026-01-01T13:00:00Z")["now"]
    assert [] == advance(mock, to="2026-01-01T13:00:00Z")["events"]
    back = call(mock, "POST", "/clock/advance", {"to": NOON})
    assert (409, "Back in time") == (back.status, back.json["title"])


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"by": "5 minutes"},
        {"by": "P1M"},
        {"by": "P1Y"},
        {"by": "P1W"},
        {"by": "-PT1S"},
        {"by": "PT"},
        {"by": "P"},
        {"by": "PT1.S"},
        {"by": 5},
        {"by": "PT5M", "to": "next-event"},
        {"to": "next"},
        {"to": -1},
        {"to": "2026-13-01T00:00:00Z"},
        {"by": "P999999D", "more": 1},
        [],
    ],
    ids=str,
)
def test_what_is_no_way_to_move_a_clock_is_refused(mock: Mock, how: Any) -> None:
    assert 400 == call(mock, "POST", "/clock/advance", how).status
    assert NOON == call(mock, "GET", "/clock").json["now_ms"]


def test_no_clock_goes_beyond_the_year_9999(mock: Mock) -> None:
    for _ in range(2):
        assert 200 == call(mock, "POST", "/clock/advance", {"by": "P999999D"}).status
    assert 409 == [call(mock, "POST", "/clock/advance", {"by": "P999999D"}).status for _ in range(3)][-1]
    assert 200 == call(mock, "GET", "/clock").status


def test_what_happened_is_told_in_order(mock: Mock) -> None:
    first, second = mock.clip(hook=HOOK), mock.clip()

    answer = advance(mock, by="PT1M")

    assert [
        ("12:00:02", "task", first, "working", None),
        ("12:00:02", "task", second, "working", None),
        ("12:00:02", "delivery", first, "working", "delivered"),
        ("12:00:12", "task", first, "done", None),
        ("12:00:12", "task", second, "done", None),
        ("12:00:12", "delivery", first, "done", "delivered"),
    ] == sorted(
        (
            (one["at"][11:19], one["kind"], one["task"], one["state"], one.get("status"))
            for one in answer["events"]
        ),
        key=lambda one: (one[0], one[1] == "delivery", one[2] != first),
    )
    assert [one["at"] for one in answer["events"]] == sorted(one["at"] for one in answer["events"])
    assert answer["is_truncated"] is False


def test_more_than_a_thousand_events_are_cut(mock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "MOST_EVENTS", 3)
    mock.clip()
    mock.clip()

    answer = advance(mock, by="PT1M")

    assert (True, 3) == (answer["is_truncated"], len(answer["events"]))


def test_the_next_event_is_where_something_happens(mock: Mock) -> None:
    made = mock.clip(hook=HOOK)
    steps = [advance(mock, to="next-event") for _ in range(3)]

    assert [NOON + 2_000, NOON + 12_000, NOON + 12_000] == [one["now_ms"] for one in steps]
    assert [2, 2, 0] == [len(one["events"]) for one in steps]
    assert "done" == mock.state(made)


def test_a_canceled_callback_is_no_event(mock: Mock) -> None:
    made = mock.clip(hook=HOOK)
    mock.move(made, outcome="failure")
    mock.settle()

    answer = advance(mock, to="next-event")

    assert (NOON, []) == (answer["now_ms"], answer["events"])


def test_a_callback_that_is_tried_again_is_an_event(mock: Mock) -> None:
    mock.receivers.will(HOOK, 500)
    mock.clip(hook=HOOK)
    first, second = advance(mock, to="next-event"), advance(mock, to="next-event")

    assert ["retrying"] == [one["status"] for one in first["events"] if one["kind"] == "delivery"]
    assert (NOON + 3_000, ["delivered"]) == (
        second["now_ms"],
        [one["status"] for one in second["events"] if one["kind"] == "delivery"],
    )


def test_nobody_else_moves_a_clock_that_is_moving(mock: Mock) -> None:
    async def slow(_: float) -> int:
        for path, change in (("/clock/advance", {"by": "PT1S"}), ("/clock", {"mode": "real"})):
            method = "POST" if path.endswith("advance") else "PUT"
            replies.append(await mock.send(method, f"/__admin{path}", json=change))
        return 200

    replies: list[Reply] = []
    mock.receivers.always[HOOK] = slow
    mock.clip(hook=HOOK)
    advance(mock, by="PT3S")

    assert [409, 409] == [one.status for one in replies]
    assert NOON + 3_000 == call(mock, "GET", "/clock").json["now_ms"]


# --- journal ----------------------------------------------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[Mock]:
    """A server of two providers whose journal has something of everything, a second apart."""
    with Mock("toy", "kling", log="off") as mock:
        mock.freeze()
        for json in ({"prompt": "a"}, {"prompt": 7}, {"picture": "AAAA", "prompt": "a"}):
            mock.call("POST", CLIPS, json=json, headers={"x-toy-key": KEY})
            mock.advance("PT1S")
        mock.get("/toy/api/clips", x_toy_key=KEY)
        mock.advance("PT1S")
        mock.get("/kling/v1/videos/text2video", authorization="Bearer " + "k" * 40)
        yield mock


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 5),
        ("?provider=toy", 4),
        ("?provider=kling", 1),
        ("?operation=createClip", 3),
        ("?operation=listClips", 1),
        ("?verdict=refused", 1),
        ("?verdict=accepted", 3),
        ("?verdict=fails", 1),
        ("?provider=toy&verdict=accepted", 2),
        (f"?since={NOON + 2_000}", 3),
        (f"?since={NOON + 2_001}", 2),
        ("?since=0", 5),
        ("?limit=2", 2),
        ("?limit=1000", 5),
    ],
)
def test_the_journal_is_filtered(busy: Mock, query: str, count: int) -> None:
    reply = call(busy, "GET", f"/requests{query}")

    found = reply.json["requests"]
    assert count == len(found), [one["verdict"] for one in found]
    assert [one["at"] for one in found] == sorted((one["at"] for one in found), reverse=True)
    assert (5, 0) == (reply.json["kept"], reply.json["dropped"])


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/requests?provider=tyo", "did you mean 'toy'?"),
        ("/requests?provider=none", "known: toy"),
        ("/requests?operation=createClib", "did you mean 'createClip'?"),
        ("/requests?provider=toy&operation=createClib", "did you mean 'createClip'?"),
        ("/requests.har?operation=createClib", "did you mean 'createClip'?"),
        ("/tasks?provider=tyo", "did you mean 'toy'?"),
        ("/tasks?state=dona", "did you mean 'done'?"),
        ("/deliveries?provider=tyo", "did you mean 'toy'?"),
        ("/accounts?provider=tyo", "did you mean 'toy'?"),
    ],
)
def test_a_filter_for_what_is_not_there_says_what_is(mock: Mock, path: str, hint: str) -> None:
    reply = call(mock, "GET", path)

    assert (400, "Not known here") == (reply.status, reply.json["title"])
    assert hint in reply.json["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/requests?limit=0",
        "/requests?limit=1001",
        "/requests?limit=x",
        "/requests?limit=",
        "/requests?limit=--1",
        "/requests?limit=%C2%B2",
        f"/requests?limit={'9' * 5000}",
        "/requests?verdict=good",
        "/requests?since=-1",
        "/requests?since=now",
        "/requests?unmatched=maybe",
        "/deliveries/next?wait=61s",
        "/deliveries/next?wait=10",
        "/events?for=1h",
        "/events?of=everybody",
        "/tasks?limit=0",
        "/deliveries?status=lost",
        "/deliveries?limit=1e3",
    ],
    ids=lambda path: path[:40],
)
def test_a_filter_that_cannot_be_is_refused(mock: Mock, path: str) -> None:
    reply = call(mock, "GET", path)

    assert (400, "Not valid") == (reply.status, reply.json["title"])
    assert len(reply.body) < 500


def test_one_exchange_is_found_by_its_id_in_its_tenant(mock: Mock) -> None:
    made = mock.create().headers["x-mock-request-id"]

    assert made == call(mock, "GET", f"/requests/{made}").json["id"]
    assert 404 == call(mock, "GET", f"/requests/{made}", tenant="blue").status
    assert 404 == call(mock, "GET", "/requests/none").status


def test_an_emptied_journal_is_empty_and_tasks_stay(mock: Mock) -> None:
    made = mock.clip()
    mock.clip(base="/t/blue/toy/api")

    assert 204 == call(mock, "DELETE", "/requests").status
    assert [] == call(mock, "GET", "/requests").json["requests"]
    assert 1 == len(call(mock, "GET", "/requests", tenant="blue").json["requests"])
    assert 200 == mock.read(made).status


# --- tasks ------------------------------------------------------------------------------------------------


def test_tasks_are_listed_and_filtered() -> None:
    with Mock("toy", "kling", log="off") as mock:
        mock.freeze()
        first = mock.clip()
        mock.advance("PT3S")
        second = mock.clip(key="other", old="x")
        mock.call(
            "POST",
            "/kling/v1/videos/text2video",
            json={"prompt": "a"},
            headers={"authorization": "Bearer " + "k" * 40},
        )

        reply = call(mock, "GET", "/tasks").json
        assert 3 == reply["count"] == len(reply["tasks"])
        assert [second, first] == [one["id"] for one in reply["tasks"][1:]]
        assert [second, first] == [
            one["id"] for one in call(mock, "GET", "/tasks?provider=toy").json["tasks"]
        ]
        assert [first] == [one["id"] for one in call(mock, "GET", "/tasks?state=working").json["tasks"]]
        assert [] == call(mock, "GET", "/tasks?state=broken").json["tasks"]
        assert 1 == len(call(mock, "GET", "/tasks?limit=1").json["tasks"])
        assert [] == call(mock, "GET", "/tasks", tenant="blue").json["tasks"]
        task = call(mock, "GET", f"/tasks/{second}").json
        expected = {
            "state": "waiting",
            "outcome": None,
            "created": "2026-01-01T12:00:03.000Z",
            "rules": ["toy.clip.old"],
            "result": None,
            "deliveries": [],
            "timeline": [
                {"at": "2026-01-01T12:00:03.000Z", "state": "waiting"},
                {"at": "2026-01-01T12:00:05.000Z", "state": "working"},
                {"at": "2026-01-01T12:00:15.000Z", "state": "done"},
            ],
        }
        assert expected == {name: task[name] for name in expected}
        assert task["account"].startswith("toy:key-"), "what shows the key does not leave"
        assert "other" not in str(task)


@pytest.mark.parametrize(
    ("change", "state", "failure"),
    [
        ({"outcome": "success"}, "done", None),
        ({"outcome": "failure"}, "broken", "failed by the admin API"),
        ({"outcome": "failure", "message": "Not today — é"}, "broken", "Not today — é"),
        ({"state": "broken", "message": ""}, "broken", ""),
        ({"state": "working"}, "working", None),
        ({"state": "done"}, "done", None),
        ({"state": "waiting"}, "waiting", None),
    ],
)
def test_a_task_is_moved(mock: Mock, change: dict[str, str], state: str, failure: str | None) -> None:
    made = mock.clip()
    mock.advance("PT1S")

    task = call(mock, "PATCH", f"/tasks/{made}", change).json

    assert (state, failure) == (task["state"], task["failure"])
    seen = mock.read(made).json["clip"]
    assert (state, failure) == (seen["state"], seen.get("why"))
    assert ("result" in task and task["result"] is not None) == (state == "done")


@pytest.mark.parametrize(
    ("change", "status", "title"),
    [
        ({}, 400, "Not valid"),
        ({"state": "flying"}, 409, "No such state"),
        ({"state": 7}, 400, "Not valid"),
        ({"outcome": "win"}, 400, "Not valid"),
        ({"outcome": "canceled"}, 409, "No such outcome"),
        ({"state": "done", "outcome": "success"}, 400, "Not valid"),
        ({"message": "alone"}, 400, "Not valid"),
        ({"outcome": "success", "message": "why"}, 400, "Not valid"),
        ({"outcome": "failure", "message": "x" * 2_001}, 400, "Not valid"),
        ({"outcome": "failure", "other": 1}, 400, "Not valid"),
        ([], 400, "Not valid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_move_that_cannot_be_is_refused_and_moves_nothing(
    mock: Mock, change: Any, status: int, title: str
) -> None:
    made = mock.clip()
    before = call(mock, "GET", f"/tasks/{made}").json

    reply = call(mock, "PATCH", f"/tasks/{made}", change)

    assert (status, title) == (reply.status, reply.json["title"])
    assert before == call(mock, "GET", f"/tasks/{made}").json


def test_a_task_goes_back_only_with_force(mock: Mock) -> None:
    made = mock.clip()
    mock.advance("PT2S")
    before = call(mock, "GET", f"/tasks/{made}").json

    refused = call(mock, "PATCH", f"/tasks/{made}", {"state": "waiting"})

    assert (409, "Not its course") == (refused.status, refused.json["title"])
    assert "from working a task comes to done, broken" in refused.json["detail"]
    assert before == call(mock, "GET", f"/tasks/{made}").json
    assert (
        "waiting" == call(mock, "PATCH", f"/tasks/{made}", {"state": "waiting", "force": True}).json["state"]
    )
    assert "waiting" == mock.state(made)


def test_a_task_that_has_ended_is_moved_no_more(mock: Mock) -> None:
    made = mock.clip()
    mock.advance("PT1M")

    for change in ({"outcome": "failure"}, {"state": "working"}, {"state": "done"}):
        reply = call(mock, "PATCH", f"/tasks/{made}", change)
        assert (409, "The task has ended") == (reply.status, reply.json["title"])


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_task_of_another_tenant_is_none(mock: Mock, method: str) -> None:
    made = mock.clip()
    change = {"outcome": "success"} if method == "PATCH" else None

    assert 404 == call(mock, method, f"/tasks/{made}", change, tenant="blue").status
    assert 404 == call(mock, method, "/tasks/none", change).status
    assert "waiting" == mock.state(made)


# --- deliveries -------------------------------------------------------------------------------------------


def test_deliveries_are_listed_filtered_and_shown(mock: Mock) -> None:
    mock.receivers.will(HOOK, 200, 503)
    made = mock.clip(hook=HOOK)
    other = mock.clip(hook="http://receiver.test/other")
    mock.advance("PT12S")

    def listed(query: str) -> list[tuple[str, str, str]]:
        found = call(mock, "GET", f"/deliveries{query}").json["deliveries"]
        return [(one["task"], one["state"], one["status"]) for one in found]

    assert 4 == len(listed(""))
    assert [(made, "done", "retrying"), (made, "working", "delivered")] == listed(f"?task={made}")
    assert [
        (other, "done", "delivered"),
        (other, "working", "delivered"),
        (made, "working", "delivered"),
    ] == sorted(listed("?status=delivered"), key=lambda one: (one[0] == made, one[1]))
    assert [(made, "done", "retrying")] == listed("?status=retrying")
    assert [] == listed("?task=none")
    assert 1 == len(listed("?limit=1"))
    (open_one,) = call(mock, "GET", "/deliveries?status=retrying").json["deliveries"]
    shown = call(mock, "GET", f"/deliveries/{open_one['id']}").json
    assert open_one == shown
    assert ("2026-01-01T12:00:12.000Z", "2026-01-01T12:00:13.000Z") == (shown["due"], shown["next_at"])
    assert [("2026-01-01T12:00:12.000Z", 503, "")] == [
        (one["at"], one["status"], one["error"]) for one in shown["attempts"]
    ]
    assert ("toy", "onChange", HOOK) == (shown["provider"], shown["callback"], shown["url"])
    assert mock.receivers.to(HOOK)[1].json == shown["body"]
    assert [open_one["id"]] == [
        one for one in call(mock, "GET", f"/tasks/{made}").json["deliveries"] if one == open_one["id"]
    ]


def test_a_delivery_is_replayed_when_it_is_through(mock: Mock) -> None:
    mock.receivers.will(HOOK, 400)
    mock.clip(hook=HOOK)
    early = call(mock, "GET", "/deliveries").json["deliveries"]
    refused = call(mock, "POST", f"/deliveries/{early[0]['id']}/replay")
    mock.advance("PT2S")
    (failed,) = call(mock, "GET", "/deliveries?status=failed").json["deliveries"]
    replayed = call(mock, "POST", f"/deliveries/{failed['id']}/replay")
    mock.settle()

    assert (409, "Still under way") == (refused.status, refused.json["title"])
    assert 202 == replayed.status
    assert "delivered" == call(mock, "GET", f"/deliveries/{failed['id']}").json["status"]
    first, second = mock.receivers.to(HOOK)
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def test_what_was_never_sent_cannot_be_replayed(mock: Mock) -> None:
    made = mock.clip(hook=HOOK)
    mock.move(made, outcome="success")
    (canceled, *_) = call(mock, "GET", "/deliveries?status=canceled").json["deliveries"]

    reply = call(mock, "POST", f"/deliveries/{canceled['id']}/replay")

    assert (409, "Never sent") == (reply.status, reply.json["title"])


def test_a_delivery_of_another_tenant_is_none(mock: Mock) -> None:
    mock.clip(hook=HOOK)
    (known, *_) = call(mock, "GET", "/deliveries").json["deliveries"]

    assert 404 == call(mock, "GET", f"/deliveries/{known['id']}", tenant="blue").status
    assert 404 == call(mock, "POST", f"/deliveries/{known['id']}/replay", tenant="blue").status
    assert 404 == call(mock, "POST", "/deliveries/none/replay").status


# --- reset ------------------------------------------------------------------------------------------------


def test_reset_begins_the_tenant_again_and_no_other() -> None:
    with Mock(log="off", limits={("toy", "credits"): 1.0}) as mock:
        for tenant in ("", "blue"):
            mock.freeze(tenant=tenant)
            made = mock.clip(base=f"{'/t/' + tenant if tenant else ''}/toy/api", hook=HOOK, name="n")
        assert 402 == mock.create().status

        assert 204 == call(mock, "POST", "/reset").status

        assert 404 == mock.read(made).status
        for path, name in (("/tasks", "tasks"), ("/deliveries", "deliveries")):
            assert [] == call(mock, "GET", path).json[name]
        assert 1 == call(mock, "GET", "/requests").json["kept"], "the read above and nothing before"
        assert "real" == call(mock, "GET", "/clock").json["mode"]
        assert 200 == mock.create(name="n").status
        assert 1 == call(mock, "GET", "/tasks", tenant="blue").json["count"]
        assert "frozen" == call(mock, "GET", "/clock", tenant="blue").json["mode"]
        assert 402 == mock.create(base="/t/blue/toy/api").status


# --- bodies and calls that are none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"mode": "frozen"} x', 400),
        (b"[" * 100_000, 413),
        (b"[" * 60_000, 400),
        (b'{"mode": "' + b"x" * 70_000 + b'"}', 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_body_that_cannot_be_read_is_refused(mock: Mock, body: bytes, status: int) -> None:
    reply = call(mock, "PUT", "/clock", body=body)
    parts = mock.run(
        mock.send(
            "PUT",
            "/__admin/clock",
            parts=[body[at : at + 9_999] for at in range(0, len(body), 9_999)] or [b""],
        )
    )

    assert [status, status] == [reply.status, parts.status]


def test_a_body_is_read_whatever_its_media_type(mock: Mock) -> None:
    reply = call(mock, "PUT", "/clock", body=b'{"mode": "real"}', headers={"content-type": "text/plain"})

    assert 200 == reply.status, "curl -d says x-www-form-urlencoded"


@pytest.mark.parametrize(
    "path", ["", "/", "/none", "/health/", "/tasks/a/b", "/requests//", "/clock/advance/x"]
)
def test_a_call_that_does_not_exist_is_told(mock: Mock, path: str) -> None:
    for prefix in ("", "/t/blue"):
        reply = mock.call("GET", f"{prefix}/__admin{path}")
        assert 404 == reply.status, reply
        check("GET", path, reply)


@pytest.mark.parametrize(("method", "path"), [("POST", "/health"), ("DELETE", "/tasks"), ("GET", "/reset")])
def test_a_call_with_another_method_is_told(mock: Mock, method: str, path: str) -> None:
    reply = call(mock, method, path)

    assert 405 == reply.status
    assert reply.headers["allow"]


@pytest.mark.parametrize("tenant", ["a%20b", ".x", "x" * 65, "%2e%2e"])
def test_a_tenant_that_cannot_be_is_refused(mock: Mock, tenant: str) -> None:
    assert mock.call("GET", f"/t/{tenant}/__admin/clock").status in (400, 404)
    assert 1 == call(mock, "GET", "/health").json["tenants"]


def test_the_header_names_a_tenant_too_and_the_path_is_stronger(mock: Mock) -> None:
    call(mock, "PUT", "/clock", {"mode": "scaled", "speed": 9}, headers={"x-mock-tenant": "blue"})

    assert 9 == call(mock, "GET", "/clock", tenant="blue").json["speed"]
    assert 0 == call(mock, "GET", "/clock").json["speed"]
    assert 9 == call(mock, "GET", "/clock", tenant="blue", headers={"x-mock-tenant": "red"}).json["speed"]
    assert 400 == call(mock, "GET", "/clock", headers={"x-mock-tenant": "a b"}).status


def test_no_more_tenants_than_allowed() -> None:
    with Mock(max_tenants=2, log="off") as mock:
        assert 200 == call(mock, "GET", "/clock", tenant="blue").status
        full = call(mock, "GET", "/clock", tenant="red")

        assert (429, "Too many tenants") == (full.status, full.json["title"])
        assert 200 == call(mock, "GET", "/clock", tenant="blue").status


# --- near misses, gauges, tenants -------------------------------------------------------------------------


def test_an_unmatched_request_says_which_operation_came_close_and_why_not(mock: Mock) -> None:
    lost = mock.get("/toy/api/clip?page=1").headers["x-mock-request-id"]
    mock.create()

    (shown,) = call(mock, "GET", "/requests?unmatched=true").json["requests"]

    assert lost == shown["id"]
    near = shown["nearMisses"][0]
    assert ("toy", "listClips", "GET /toy/api/clips") == (
        near["provider"],
        near["operation"],
        near["instead"],
    )
    assert ["'clip' should be 'clips'"] == near["why"]
    assert shown == call(mock, "GET", f"/requests/{lost}").json
    assert [[]] == [
        one["nearMisses"] for one in call(mock, "GET", "/requests?unmatched=false").json["requests"]
    ]


def test_a_method_that_is_not_allowed_is_a_near_miss_too(mock: Mock) -> None:
    mock.call("PUT", CLIPS)

    (shown,) = call(mock, "GET", "/requests?unmatched=true").json["requests"]

    assert {"it takes GET, not PUT", "it takes POST, not PUT"} == {
        one["why"][0] for one in shown["nearMisses"][:2]
    }


def test_what_to_call_instead_is_below_the_tenant_of_the_path() -> None:
    with Mock("toy", "kling", log="off") as mock:
        mock.get("/t/blue/tyo/api/wallet")
        mock.call("GET", "/api/clips/x/y", headers={"host": "api.toy.example"})

        (mounted,) = call(mock, "GET", "/requests", tenant="blue").json["requests"]
        (hosted,) = call(mock, "GET", "/requests").json["requests"]

    assert "GET /t/blue/toy/api/wallet" == mounted["nearMisses"][0]["instead"]
    assert ["'/y' is too much at the end"] == hosted["nearMisses"][0]["why"], "a known host needs no prefix"


def test_gauges_count_what_there_is(mock: Mock) -> None:
    mock.receivers.always[HOOK] = 400
    mock.clip(hook=HOOK)
    mock.clip()
    mock.create(prompt=7)
    mock.get("/toy/none")
    mock.advance("PT3S")

    gauges = call(mock, "GET", "/gauges").json

    assert {"kept": 2, "counted": 2, "states": {"toy": {"working": 2}}} == gauges["tasks"]
    journal, ledger = gauges["journal"], gauges["ledger"]
    assert (4, 0, 1) == (journal["kept"], journal["dropped"], journal["unmatched"])
    assert {"accepted": 2, "fails": 0, "refused": 2} == journal["verdicts"]
    assert 0 < journal["bytes"] == journal["all_bytes"] < journal["most_bytes"]
    assert {"failed": 1, "waiting": 1} == ledger["statuses"]
    assert (2, 0, "push") == (ledger["kept"], ledger["dropped"], ledger["mode"])
    (through,) = [one for one in mock.deliveries() if one["status"] == "failed"]
    assert len(through["body_base64"]) * 3 // 4 < ledger["bytes"] < ledger["most_bytes"]


def test_tenants_are_listed_youngest_first(mock: Mock) -> None:
    mock.clip(base="/t/blue/toy/api")
    mock.create(base="/t/green/toy/api")

    found = call(mock, "GET", "/tenants").json

    assert [("green", 1, 1), ("blue", 1, 1), ("default", 0, 0)] == [
        (one["name"], one["tasks"], one["requests"]) for one in found["tenants"]
    ]
    assert (3, ["real", "real", "frozen"]) == (
        found["count"],
        [one["clock"]["mode"] for one in found["tenants"]],
    )
    assert 1 == len(call(mock, "GET", "/tenants?limit=1").json["tenants"])


# --- who may ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-admin-token": "wrong"}, 401),
        ({"x-admin-token": ""}, 401),
        ({"x-admin-token": "tökén"}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic the token"}, 401),
        ({"authorization": "the token"}, 401),
        ({"x-admin-token": "the token"}, 200),
        ({"authorization": "Bearer the token"}, 200),
        ({"authorization": "bearer  the token "}, 200),
        ({"x-admin-token": "wrong", "authorization": "Bearer the token"}, 401),
    ],
)
def test_where_a_token_is_set_it_is_needed(headers: dict[str, str], status: int) -> None:
    with Mock(host="0.0.0.0", admin_token="the token", log="off") as mock:
        for method, path, _ in ROUTES:
            path = path.replace("{id}", "x") + ("?for=0s" if path == "/events" else "")
            reply = call(mock, method, path, headers=headers)
            if status == 401:
                assert 401 == reply.status, (method, path)
                assert "token" in reply.json["detail"] and "the token" not in str(reply.body).replace(
                    "the admin token", ""
                )
            else:
                assert 401 != reply.status, (method, path)
        assert 200 == mock.create().status, "providers ask for their own keys"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8700", "localhost:1", "[::1]:8700", "a.localhost", "127.9.9.9"]
)
def test_on_loopback_any_name_of_this_machine_is_fine(mock: Mock, host: str) -> None:
    assert 200 == call(mock, "GET", "/health", headers={"host": host}).status


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8700",
        "",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
        "10.0.0.1:8700",
        "[::2]",
        "0x7f.1",
    ],
)
def test_on_loopback_a_foreign_name_is_refused(mock: Mock, host: str) -> None:
    for method, path, _ in ROUTES:
        reply = call(mock, method, path.replace("{id}", "x"), headers={"host": host})
        assert (403, "Foreign host") == (reply.status, reply.json["title"])


def test_bound_elsewhere_any_host_is_fine_with_the_token() -> None:
    with Mock(host="0.0.0.0", admin_token="t", log="off") as mock:
        headers = {"host": "mock.corp.test", "x-admin-token": "t"}
        assert 200 == call(mock, "GET", "/health", headers=headers).status
        foreign = headers | {"origin": "http://evil.test"}
        assert (403, "Foreign origin") == (
            (reply := call(mock, "GET", "/health", headers=foreign)).status,
            reply.json["title"],
        )


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8700", 200),
        ("http://evil.test", 403),
        ("http://127.0.0.1:8701", 403),
        ("http://localhost:8700", 403),
        ("null", 403),
        ("http://127.0.0.1:8700.evil.test", 403),
        ("http://127.0.0.1:8700@evil.test", 403),
    ],
)
def test_a_page_of_another_origin_is_refused(mock: Mock, origin: str, status: int) -> None:
    reply = call(mock, "POST", "/clock/advance", {"by": "PT1S"}, headers={"origin": origin})

    assert status == reply.status
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert NOON + (1_000 if status == 200 else 0) == call(mock, "GET", "/clock").json["now_ms"]


# --- faults of our own ------------------------------------------------------------------------------------


def test_a_fault_is_told_without_its_details(mock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(mock.app.backend.store, "count", fail)
    with pytest.raises(ZeroDivisionError):
        mock.call("GET", "/__admin/health")
    monkeypatch.undo()

    assert 200 == call(mock, "GET", "/health").status


def test_every_answer_is_json_that_can_be_read_again(mock: Mock) -> None:
    mock.call(
        "POST",
        CLIPS,
        body=b'{"prompt": "\\ud800"}',
        headers={"x-toy-key": KEY, "content-type": "application/json"},
    )
    mock.call(
        "POST", CLIPS, body=b"\xff\x00", headers={"x-toy-key": "k\xff", "content-type": "application/json"}
    )

    for one in call(mock, "GET", "/requests").json["requests"]:
        assert orjson.loads(orjson.dumps(one)) == one


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/requests"), ("POST", "/reset")])
def test_what_was_emptied_on_purpose_is_not_counted_as_dropped(method: str, path: str) -> None:
    with Mock(log="off", journal_entries=2) as mock:
        for _ in range(3):
            mock.clip()
        assert 1 == call(mock, "GET", "/gauges").json["journal"]["dropped"]

        call(mock, method, path)

        journal = call(mock, "GET", "/gauges").json["journal"]
        assert (0, 0, 0) == (journal["kept"], journal["dropped"], journal["bytes"])


# --- stores of other providers ----------------------------------------------------------------------------


def test_a_store_may_remember_a_provider_that_is_not_served_now(tmp_path: Path) -> None:
    wall, path = Wall(), str(tmp_path / "store.db")
    with Mock(store=SqliteStore(path), wall=wall, log="off") as mock:
        task = mock.clip(hook=HOOK)
        mock.wait(20)
        delivery = mock.deliveries()[0]["id"]

    with Mock("kling", store=SqliteStore(path), wall=wall, log="off") as mock:
        assert [] == call(mock, "GET", "/tasks").json["tasks"]
        for target in ("/gauges", "/costs", "/accounts", "/deliveries", "/tenants"):
            assert 200 == call(mock, "GET", target).status
        assert 404 == call(mock, "GET", f"/tasks/{task}").status
        refused = call(mock, "POST", f"/deliveries/{delivery}/replay")
        assert (409, "Not served") == (refused.status, refused.json["title"])
        assert "delivered" == mock.deliveries()[0]["status"]

    with Mock(store=SqliteStore(path), wall=wall, log="off") as mock:
        assert [task] == [one["id"] for one in call(mock, "GET", "/tasks").json["tasks"]]


def test_a_failure_of_our_own_is_logged(mock: Mock, caplog: pytest.LogCaptureFixture) -> None:
    def broken(tenant: str) -> Ledger:
        raise RuntimeError("a fault of ours")

    mock.app.backend.store.ledger = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        mock.call("GET", "/__admin/gauges")

    assert "GET /__admin/gauges failed" in caplog.text
    assert "a fault of ours" in caplog.text
