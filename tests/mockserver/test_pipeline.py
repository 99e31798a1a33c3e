"""One request from top to bottom: who asks, the body, the order of judgement, the answer, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import jwt
import orjson
import pytest

from mockserver.store import MemoryStore
from tests.mock import KEY, NOON, Mock, Reply
from validator.security import KeyRing

HEADERS = {"x-toy-key": KEY}
JSON = HEADERS | {"content-type": "application/json"}
CLIPS = "/toy/api/clips"
SECRET = "a secret of more than thirty-two bytes"


@pytest.fixture(scope="module")
def toy() -> Iterator[Mock]:
    """A server of the toy, nothing set."""
    with Mock(log="off") as mock:
        yield mock


def broken(reply: Reply) -> list[str]:
    """Return the rules that an answer says were broken."""
    return [one.removeprefix("toy.") for one in reply.headers.get("x-mock-violations", "").split(", ") if one]


# --- the body ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_body_in_pieces_is_one_body(toy: Mock, size: int) -> None:
    body = orjson.dumps({"prompt": "a boat — é", "name": f"pieces-{size}"})
    parts = [body[at : at + size] for at in range(0, len(body), size)]

    reply = toy.run(toy.send("POST", CLIPS, parts=[b"", *parts, b""], headers=JSON))

    assert (200, f"pieces-{size}") == (reply.status, reply.json["clip"]["name"])


def test_a_request_happens_when_its_body_is_there() -> None:
    with Mock(log="off") as mock:
        mock.freeze()

        async def meanwhile() -> None:
            await mock.send("POST", "/__admin/clock/advance", json={"by": "PT5S"})
            await mock.send("POST", CLIPS, json={"prompt": "quicker"}, headers=HEADERS)

        parts = [b'{"prompt":', b'"slower"}']
        slow = mock.run(mock.send("POST", CLIPS, parts=parts, between=meanwhile, headers=JSON)).json["clip"]

        assert NOON + 5_000 == slow["made"]
        assert "waiting" == slow["state"]
        listed = mock.get(CLIPS, x_toy_key=KEY).json["clips"]
        assert [slow["id"]] == [clip["id"] for clip in listed][:1]
        assert sorted((clip["made"] for clip in listed), reverse=True) == [clip["made"] for clip in listed]


MALFORMED = {
    "nothing": (b"", "malformed-empty"),
    "blank": (b" \n", "malformed-empty"),
    "half": (b'{"prompt": "a', "malformed"),
    "two": (b'{"prompt": "a"}{}', "malformed"),
    "no-utf-8": (b'{"prompt": "\xff"}', "malformed"),
    "utf-16": ('{"prompt": "a"}'.encode("utf-16"), "malformed"),
    "nan": (b'{"prompt": NaN}', "malformed"),
    "form": (b"prompt=a+boat", "malformed"),
    "deep": (b'{"a":' * 400 + b"1" + b"}" * 400, "malformed-depth"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_json_is_refused_in_the_providers_voice(toy: Mock, case: str) -> None:
    body, rule = MALFORMED[case]

    reply = toy.call("POST", CLIPS, body=body, headers=JSON)

    assert (400, "json") == (reply.status, reply.json["code"])
    assert [f"request.{rule}"] == broken(reply)


@pytest.mark.parametrize("value", [b"null", b"[]", b'"text"', b"7", b"true"])
def test_json_that_is_no_object_is_refused(toy: Mock, value: bytes) -> None:
    reply = toy.call("POST", CLIPS, body=value, headers=JSON)

    assert 400 == reply.status
    assert broken(reply)


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_a_body_is_judged_by_its_media_type_first(toy: Mock, media_type: str, status: int) -> None:
    reply = toy.call("POST", CLIPS, body=b'{"prompt":"a"}', headers=HEADERS | {"content-type": media_type})

    assert status == reply.status, reply
    if status == 415:
        assert ("media", "assumed") == (reply.json["code"], reply.headers["x-mock-evidence"])


def too_large(mock: Mock, **how: Any) -> Reply:
    reply = mock.run(mock.send("POST", CLIPS, **({"headers": JSON} | how)))
    assert (413, "big") == (reply.status, reply.json["code"])
    return reply


def test_a_body_beyond_the_limit_is_refused_however_it_comes() -> None:
    with Mock(max_body_bytes=1_000, log="off") as mock:
        fitting = orjson.dumps({"prompt": "a", "name": "a" * 976})
        assert 1_000 == len(fitting)
        assert 200 == mock.call("POST", CLIPS, body=fitting, headers=JSON).status

        for body in (fitting + b" ", b"x" * 1_999, b"x" * 5_000):
            # The rest of the body is still on its way; it must not be read as the next request.
            assert "close" == too_large(mock, body=body).headers["connection"]
            too_large(mock, parts=[body[at : at + 100] for at in range(0, len(body), 100)])
        too_large(mock, body=b"{}", headers=JSON | {"content-length": "999999999999"})

        assert 1 == mock.admin("GET", "/tasks")["count"]
        assert [0] * 7 == [
            len(one["request"]["body"] or "")
            for one in mock.admin("GET", "/requests?verdict=refused")["requests"]
        ]


def test_of_a_body_beyond_the_limit_a_little_is_read_and_no_more() -> None:
    with Mock(max_body_bytes=1_000, log="off") as mock:
        asked = 0

        async def receive() -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return {"type": "http.request", "body": b"x" * 100, "more_body": True}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": CLIPS,
            "raw_path": CLIPS.encode(),
            "query_string": b"",
            "headers": [(b"transfer-encoding", b"chunked"), (b"x-toy-key", b"k")],
        }
        mock.run(mock.app(scope, receive, send))  # type: ignore[arg-type]

        assert 413 == sent[0]["status"]
        assert 21 == asked, "twice the limit, and the part that went beyond it"


@pytest.mark.parametrize("length", ["", "-1", "x", "1e3", "²", "0"])
def test_a_length_that_says_nothing_is_not_believed(toy: Mock, length: str) -> None:
    reply = toy.run(
        toy.send("POST", CLIPS, body=b'{"prompt":"a"}', headers=JSON | {"content-length": length or "0"})
    )

    assert 200 == reply.status


def test_a_client_that_goes_away_in_its_body_is_answered_and_forgotten(toy: Mock) -> None:
    before = toy.admin("GET", "/tasks")["count"]

    reply = toy.run(toy.send("POST", CLIPS, parts=[b'{"prompt":', b""], headers=JSON))

    assert 400 == reply.status
    assert before == toy.admin("GET", "/tasks")["count"]


# --- who asks ---------------------------------------------------------------------------------------------


def token(at_ms: int, *, secret: str = SECRET, **claims: Any) -> dict[str, str]:
    """Return the header of a caller with a token made at a time."""
    known = {"iss": "me", "exp": at_ms // 1000 + 600} | claims
    made = jwt.encode({name: value for name, value in known.items() if value is not None}, secret, "HS256")
    return {"authorization": f"Bearer {made}"}


def wallet(mock: Mock, headers: dict[str, str]) -> Reply:
    return mock.call("GET", "/toy/api/wallet?since=0", headers=headers)


CALLERS: dict[str, tuple[dict[str, str], str]] = {
    "nobody": ({}, "request.unauthorized-missing"),
    "empty": ({"x-toy-key": " "}, "request.unauthorized-missing"),
    "basic": ({"authorization": "Basic dTpw"}, "request.unauthorized-malformed"),
    "no-token": ({"authorization": "Bearer "}, "request.unauthorized-malformed"),
    "short": ({"authorization": "Bearer toy_1"}, "request.unauthorized-malformed"),
    "late": (token(NOON - 3_600_000), "request.unauthorized-expired"),
    "early": (token(NOON, nbf=NOON // 1000 + 3_600), "request.unauthorized-not-yet-valid"),
    "no-account": (token(NOON, iss=None), "request.unauthorized-unreadable"),
    "no-end": (token(NOON, exp=None), "request.unauthorized-unreadable"),
    "key": ({"x-toy-key": "anything"}, ""),
    "opaque": ({"authorization": "Bearer toy_12345678"}, ""),
    "token": (token(NOON), ""),
    "small-bearer": ({"authorization": token(NOON)["authorization"].replace("Bearer", "bearer")}, ""),
}


@pytest.mark.parametrize("who", CALLERS)
def test_each_caller_gets_the_answer_that_is_due(toy: Mock, who: str) -> None:
    headers, rule = CALLERS[who]

    reply = wallet(toy, headers)

    assert ([rule] if rule else []) == [one for one in broken(reply) if "unauthorized" in one], reply
    assert (401 if rule else 200) == reply.status
    if rule:
        assert {"code": "no_key" if "missing" in rule else "bad_key"}.items() <= reply.json.items()


def test_with_keys_configured_others_are_unknown() -> None:
    ring = KeyRing(keys={"known-key": None, "me": SECRET})
    with Mock(credentials={"toy": ring}, log="off") as mock:
        assert 200 == wallet(mock, {"x-toy-key": "known-key"}).status
        assert 200 == wallet(mock, token(NOON)).status
        for headers, reason in (
            ({"x-toy-key": "unknown-key"}, "unknown"),
            (token(NOON, iss="you"), "unknown"),
            (token(NOON, secret=SECRET + "!"), "signature"),
        ):
            reply = wallet(mock, headers)
            assert [f"request.unauthorized-{reason}"] == broken(reply)
            assert f"Key is {reason}" == reply.json["message"]


def test_a_token_ends_on_the_clock_of_its_tenant() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        mine = token(NOON)
        assert 200 == wallet(mock, mine).status

        mock.advance("PT9M59S")
        assert 200 == wallet(mock, mine).status
        mock.advance("PT10M")
        assert ["request.unauthorized-expired"] == broken(wallet(mock, mine))


def test_where_the_machine_tells_dates_a_token_lives_by_its_clients_clock() -> None:
    with Mock(log="off", speed=60.0, dates="machine") as mock:
        mine = token(NOON)
        assert 200 == wallet(mock, mine).status
        mock.wait(599)
        assert 200 == wallet(mock, mine).status, "ten hours later on the tenant's clock"

        mock.wait(2)
        assert ["request.unauthorized-expired"] == broken(wallet(mock, mine))


def test_a_clock_that_was_moved_takes_tokens_of_the_real_time() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        mock.advance("P30D")
        mine = token(NOON)
        assert 200 == wallet(mock, mine).status

        mock.advance("PT9M")
        assert 200 == wallet(mock, mine).status
        mock.advance("PT2M")
        assert ["request.unauthorized-expired"] == broken(wallet(mock, mine))
        other = mock.call("GET", "/t/other/toy/api/wallet?since=0", headers=mine)
        assert 200 == other.status, "another tenant has another time"


# --- the order of judgement -------------------------------------------------------------------------------


def test_what_is_judged_first_decides_and_all_is_told() -> None:
    limits = {("toy", "credits"): 1.0, ("toy", "concurrent-tasks"): 1.0, ("toy", "requests"): 1.0}
    with Mock(limits=limits, max_body_bytes=100_000, log="off") as mock:
        mock.freeze()
        made = {"name": "mine", "prompt": "a boat"}
        assert 200 == mock.call("POST", CLIPS, json=made, headers=HEADERS).status

        loud = {"model": "a1", "seconds": "10", "sound": "on"}
        tries: Sequence[tuple[str, dict[str, Any]]] = (
            ("", {"json": made | {"name": ""}, "path": "/toy/api/none", "headers": {}}),
            ("method", {"json": made, "method": "PUT", "headers": {}}),
            ("no_key", {"json": made | {"prompt": 7} | loud, "headers": {}}),
            ("media", {"body": b"{}", "headers": HEADERS | {"content-type": "text/plain"}}),
            ("json", {"body": b"{", "headers": JSON}),
            ("bad", {"json": made | {"prompt": 7} | loud, "headers": HEADERS}),
            ("loud", {"json": made | loud, "headers": HEADERS}),
        )
        for code, how in tries:
            method, path = how.pop("method", "POST"), how.pop("path", CLIPS)
            reply = mock.call(method, path, **how)
            assert code == reply.json.get("code", ""), reply

        # Beyond its requests an account meets the rest of the judgement first, as long as it is refused there.
        codes = []
        for body in (made, made | {"name": "b", "prompt": "a"}):
            reply = mock.call("POST", CLIPS, json=body, headers=HEADERS)
            codes.append(reply.json["code"])
        assert ["fast", "fast"] == codes


def test_all_findings_are_told_and_the_first_decides(toy: Mock) -> None:
    reply = toy.call(
        "POST", CLIPS, json={"prompt": 7, "sound": "loud", "seconds": "5"}, headers={"x-trace": "NO"}
    )

    assert 401 == reply.status
    assert "request.unauthorized-missing" == broken(reply)[0]
    assert {"clip.sound", "trace.form", "clip.prompt"} <= set(broken(reply))


def test_a_refused_request_counts_and_one_without_a_key_does_not() -> None:
    with Mock(limits={("toy", "requests"): 2.0}, log="off") as mock:
        mock.freeze()
        for _ in range(5):
            assert 401 == mock.call("GET", CLIPS).status
        assert [400, 200, 429, 429] == [
            mock.get(f"{CLIPS}?page={page}", x_toy_key=KEY).status for page in ("x", "1", "1", "1")
        ]
        assert 200 == mock.get(CLIPS, x_toy_key="other").status
        assert 200 == mock.get(CLIPS.replace("/toy", "/t/other/toy"), x_toy_key=KEY).status
        mock.advance("PT1M")
        assert 200 == mock.get(CLIPS, x_toy_key=KEY).status


def test_what_is_wrong_comes_before_too_often() -> None:
    with Mock(limits={("toy", "requests"): 1.0}, log="off") as mock:
        mock.freeze()
        mock.get(CLIPS, x_toy_key=KEY)

        reply = mock.create(model="zz")

        assert (400, "bad") == (reply.status, reply.json["code"])


# --- the answer -------------------------------------------------------------------------------------------


def test_what_we_know_beyond_the_provider_travels_in_headers(toy: Mock) -> None:
    made = toy.create(old="x", seconds=5)
    task = made.json["clip"]["id"]
    waiting = toy.read(task)
    toy.move(task, state="working")
    working = toy.read(task)

    assert ["clip.old", "clip.seconds-text"] == sorted(broken(made))
    assert [] == broken(waiting)
    # The state `working` is told on a guess (toy.yaml).
    assert ("assumed", None) == (
        working.headers.get("x-mock-evidence"),
        waiting.headers.get("x-mock-evidence"),
    )
    seen = {reply.headers["x-mock-request-id"] for reply in (made, waiting, working)}
    assert 3 == len(seen)
    assert {"x-mock-request-id", "content-type", "content-length"} == set(waiting.headers)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/problem+json", "application/problem+json"),
        ("application/problem+json;q=0.5, application/json", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_a_refusal_has_the_form_that_is_asked_for(toy: Mock, accept: str, media_type: str) -> None:
    reply = toy.call("POST", CLIPS, json={"model": "zz"}, headers=HEADERS | {"accept": accept})

    assert (400, media_type) == (reply.status, reply.headers["content-type"])
    assert ("faults" in reply.json) == (media_type != "application/json")


@pytest.mark.parametrize(
    ("given", "shown"), [("abc", "abc"), ("ABC", None), ("a b", None), ("a\r\nx: y", None), ("é", None)]
)
def test_a_header_that_is_said_again_is_said_only_as_described(
    toy: Mock, given: str, shown: str | None
) -> None:
    reply = toy.create(headers={"x-trace": given})

    assert (200, shown) == (reply.status, reply.headers.get("x-trace"))


def test_no_value_of_a_request_can_break_a_header(toy: Mock) -> None:
    reply = toy.create(name="a\r\nset-cookie: x=1\u2028é")

    assert 200 == reply.status
    for value in reply.headers.values():
        assert value.isascii() and value.isprintable()


# --- faults of our own ------------------------------------------------------------------------------------


class Faulty(MemoryStore):
    """A store that breaks when it is told to."""

    fault: Exception | None = None

    def get(self, tenant: str, task_id: str) -> Any:
        if self.fault is not None:
            raise self.fault
        return super().get(tenant, task_id)


def test_a_fault_of_ours_is_the_providers_500_and_stands_in_journal_and_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Faulty()
    with Mock(store=store, log="off") as mock:
        made = mock.clip()
        store.fault = ZeroDivisionError("a secret detail")
        reply = mock.read(made)
        store.fault = None

        assert (500, "oops", "Our fault") == (reply.status, reply.json["code"], reply.json["message"])
        assert "secret" not in str(reply.body)
        request_id = reply.headers["x-mock-request-id"]
        kept = mock.admin("GET", f"/requests/{request_id}")
        assert (500, "ZeroDivisionError") == (
            kept["response"]["status"],
            kept["report"]["violations"][0]["found"],
        )
        assert request_id in caplog.text and "a secret detail" in caplog.text
        assert 200 == mock.read(made).status


class Slow(MemoryStore):
    """A store whose commit is awaited: dirty from each new task until somebody lets go."""

    is_dirty = False

    def __init__(self) -> None:
        super().__init__()
        self.gate: asyncio.Event | None = None

    def add(self, *arguments: Any) -> None:
        self.is_dirty = self.gate is not None  # type: ignore[misc]
        super().add(*arguments)

    async def committed(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.is_dirty = False  # type: ignore[misc]


def test_an_answer_leaves_when_what_it_says_is_kept() -> None:
    store = Slow()
    with Mock(store=store, log="off") as mock:

        async def scene() -> tuple[bool, Reply]:
            store.gate = asyncio.Event()
            answer = asyncio.ensure_future(mock.send("POST", CLIPS, json={"prompt": "a"}, headers=HEADERS))
            for _ in range(20):
                await asyncio.sleep(0)
            was_early = answer.done()
            store.gate.set()
            return was_early, await answer

        was_early, reply = mock.run(scene())

        assert (False, 200) == (was_early, reply.status)


def test_a_commit_that_fails_is_the_providers_500() -> None:
    class Full(Slow):
        async def committed(self) -> None:
            self.is_dirty = False  # type: ignore[misc]
            raise OSError("disk full")

    store = Full()
    with Mock(store=store, log="off") as mock:
        store.gate = asyncio.Event()

        assert (500, "oops") == ((reply := mock.create()).status, reply.json["code"])


# --- the record -------------------------------------------------------------------------------------------


def test_every_answer_of_a_provider_is_in_the_journal() -> None:
    with Mock() as mock:
        mock.freeze()
        replies = [
            mock.create(name="one"),
            mock.create(model="zz"),
            mock.call("PUT", CLIPS),
            mock.get("/toy/none?x=1"),
            mock.call("HEAD", CLIPS, headers=HEADERS),
        ]
        kept = mock.admin("GET", "/requests")["requests"][::-1]

        assert [reply.headers["x-mock-request-id"] for reply in replies] == [one["id"] for one in kept]
        assert [reply.status for reply in replies] == [one["response"]["status"] for one in kept]
        assert ["accepted", "refused", "refused", "refused", "accepted"] == [one["verdict"] for one in kept]
        assert ["createClip", "createClip", None, None, "listClips"] == [one["operation"] for one in kept]
        assert "/toy/none?x=1" == kept[3]["request"]["target"]
        assert replies[0].json == kept[0]["response"]["body"]
        assert {"prompt": "a boat", "name": "one"} == kept[0]["request"]["body"]
        assert replies[0].json["clip"]["id"] == kept[0]["task"]
        assert KEY not in orjson.dumps(kept).decode()
        mock.wait(0.1)
        lines = mock.log.getvalue().splitlines()
        assert 5 == len(lines)
        assert "broke toy.clip.model" in lines[1] or "broke toy." in lines[1]


@pytest.mark.parametrize("tenant", ["", "blue"])
def test_what_is_for_no_provider_is_logged_and_in_the_journal(tenant: str) -> None:
    with Mock("toy", "kling") as mock:
        reply = mock.get(
            f"{'/t/' + tenant if tenant else ''}/nowhere?x=1", authorization="Bearer secret-key-1"
        )
        mock.wait(0.1)

        (kept,) = mock.admin("GET", "/requests", tenant=tenant)["requests"]
        assert reply.headers["x-mock-request-id"] == kept["id"]
        assert (None, None, "refused") == (kept["provider"], kept["operation"], kept["verdict"])
        assert (404, "No provider") == (kept["response"]["status"], kept["response"]["body"]["title"])
        assert kept["request"]["target"].endswith("/nowhere?x=1")
        assert "secret-key-1" not in str(kept)
        assert "No provider" in mock.log.getvalue()


def test_a_request_for_a_tenant_that_cannot_be_is_in_the_journal_of_the_default_one() -> None:
    with Mock("toy", "kling", log="off") as mock:
        mock.get("/t/../nowhere")

        assert ["/t/../nowhere"] == [
            one["request"]["target"] for one in mock.admin("GET", "/requests")["requests"]
        ]


def test_the_same_seed_gives_the_same_bytes() -> None:
    answers = []
    for _ in range(2):
        with Mock(log="off") as mock:
            mock.freeze()
            made = mock.create(hook="http://receiver.test/hook")
            mock.advance("PT20S")
            seen = mock.read(made.json["clip"]["id"])
            calls = [(dict(call.headers), call.body) for call in mock.receivers.calls]
            answers.append(
                [(reply.status, dict(reply.headers), reply.body) for reply in (made, seen)] + calls  # type: ignore[operator]
            )

    assert answers[0] == answers[1]
    assert 4 == len(answers[0])
