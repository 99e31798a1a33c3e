"""The proxy without sockets: what is held back, how answers are judged, what is recorded; the host is a script."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from mockserver.app import App
from mockserver.cli import main
from mockserver.log import RequestLog
from mockserver.proxy.answers import LARGEST, Judge, Tap, plain_body
from mockserver.proxy.app import Proxy
from mockserver.proxy.courses import Recorder
from mockserver.proxy.flights import LARGEST_ANSWER
from mockserver.proxy.totals import Guard
from mockserver.proxy.upstream import Reply, Upstream, UpstreamError, answer_headers, request_headers
from mockserver.recordings import Recording, read_recording
from mockserver.renderings import places
from mockserver.replays import Replays
from mockserver.settings import SettingError, Settings
from mockserver.wire import HeaderList
from tests.mock import KEY, Mock
from tests.mock import Reply as Answered
from tests.mockserver.clients import credential, examples
from tests.pictures import picture
from tests.providers import LIBRARY, TOY, contract
from validator.contract import Contract, load

JSON: HeaderList = [(b"content-type", b"application/json")]
CLIP = {"ok": True, "clip": {"id": "clip-000000000001", "state": "waiting", "made": 1, "changed": "x"}}
HEADERS = {"x-toy-key": KEY}


class Scripted(Reply):
    """An answer that a test wrote."""

    def __init__(self, status: int, headers: HeaderList, chunks: list[bytes | Exception]) -> None:
        self.status, self.headers, self.script = status, headers, chunks
        self.is_closed = False
        self._chunks = self._read()

    async def _read(self) -> AsyncGenerator[bytes]:
        for one in self.script:
            await asyncio.sleep(0)
            if isinstance(one, Exception):
                raise one
            yield one

    async def close(self) -> None:
        await self._chunks.aclose()
        # A real connection is let go of in several turns of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
        self.is_closed = True


def said(value: Any = CLIP, status: int = 200, headers: HeaderList = JSON) -> Scripted:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Scripted(status, headers, [body])


class Script(Upstream):
    """A host that gives the next answer of its script, the last one again and again."""

    def __init__(self, *script: Scripted | Exception) -> None:
        super().__init__("https://api.toy.example", base_path="/api", timeout_s=1)
        self.script = deque(script or [said()])
        self.asked: list[tuple[str, bytes, HeaderList, bytes, bool]] = []
        self.given: list[Scripted] = []

    async def open(
        self, method: str, target: bytes, headers: HeaderList, body: bytes, *, is_paid: bool
    ) -> Reply:
        self.asked.append((method, target, headers, body, is_paid))
        await asyncio.sleep(0)
        one = self.script.popleft() if len(self.script) > 1 else self.script[0]
        if isinstance(one, Exception):
            raise one
        self.given.append(Scripted(one.status, one.headers, one.script))
        return self.given[-1]


class Inside(Upstream):
    """A host that is another application, in the same loop."""

    def __init__(self, app: App) -> None:
        super().__init__("https://inside.example", base_path="", timeout_s=1)
        self._app = app

    async def open(
        self, method: str, target: bytes, headers: HeaderList, body: bytes, *, is_paid: bool
    ) -> Reply:
        path, _, query = target.partition(b"?")
        sent: list[Any] = []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "headers": headers,
        }
        scope |= {"path": path.decode(), "raw_path": path, "query_string": query, "server": ("127.0.0.1", 1)}

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def keep(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, keep)
        return Scripted(sent[0]["status"], sent[0]["headers"], [one.get("body", b"") for one in sent[1:]])


class Between(Mock):
    """A proxy before a host; the toy's unless told otherwise."""

    def __init__(
        self,
        upstream: Upstream | Callable[[Mock], Upstream] | None = None,
        *,
        provider: str = "toy",
        guard: Guard | None = None,
        recorder: Recorder | None = None,
        window_s: float = 60,
        contracts: dict[str, Contract] | None = None,
        passes: tuple[str, ...] = (),
        is_annotated: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(provider, **settings)
        self.run(self.app.stop())
        self.host = upstream(self) if callable(upstream) else upstream or Script()
        self.guard = guard or Guard(is_open=True)
        self.app = self.proxy = Proxy(
            self.settings,
            contracts or {provider: contract(provider)},
            {provider: self.host},
            {provider: self.guard},
            window_s=window_s,
            passes=frozenset(passes),
            is_annotated=is_annotated,
            recorder=recorder,
            wall=self.wall,
            request_log=RequestLog("text", self.log),
        )
        self.run(self._start())

    @property
    def asked(self) -> list[Any]:
        assert isinstance(self.host, Script)
        return self.host.asked

    def rules(self) -> list[str]:
        """Return what was found in the last exchange."""
        (kept,) = self.admin("GET", "/requests?limit=1")["requests"]
        return [one["rule"] for one in kept["report"]["violations"]]


def word(reply: Answered) -> str | None:
    return reply.headers.get("x-mock-proxy")


# --- what is passed ---------------------------------------------------------------------------------------


def test_what_makes_a_task_takes_a_connection_of_its_own_and_reads_share_one() -> None:
    with Between() as proxy:
        proxy.create()
        proxy.read("clip-000000000001")

        assert [("POST", b"/api/clips", True), ("GET", b"/api/clips/clip-000000000001", False)] == [
            (method, target, is_paid) for method, target, _, _, is_paid in proxy.asked
        ]


def test_a_path_is_passed_as_it_came_below_whatever_stands_before_it() -> None:
    with Between() as proxy:
        for base in ("/toy/api", "/api", "/t/mine/toy/api"):
            proxy.get(f"{base}/clips/a%2Fb?x=%20&&y", x_toy_key=KEY)

        assert {b"/api/clips/a%2Fb?x=%20&&y"} == {target for _, target, *_ in proxy.asked}


def test_the_journal_tells_what_passed_without_its_credentials() -> None:
    with Between() as proxy:
        proxy.create()
        (kept,) = proxy.admin("GET", "/requests")["requests"]
        archive = proxy.admin("GET", "/requests.har")["log"]["entries"]

    assert ("createClip", "clip-000000000001", "accepted") == (
        kept["operation"],
        kept["task"],
        kept["verdict"],
    )
    assert CLIP == kept["response"]["body"]
    assert ["x-toy-key", "[redacted]"] in kept["request"]["headers"]
    assert 1 == len(archive)
    assert KEY not in str(kept) + str(archive) + proxy.log.getvalue()


def test_a_client_that_leaves_with_its_answer_takes_nothing_from_the_journal() -> None:
    """A server says `http.disconnect` as soon as the last byte of an answer is handed over."""
    with Between() as proxy:
        host = proxy.host
        assert isinstance(host, Script)
        proxy.run(_asks_and_leaves(proxy, "GET", "/clip-000000000001"))

        (kept,) = proxy.admin("GET", "/requests")["requests"]
        assert [True] == [one.is_closed for one in host.given]
    assert CLIP == kept["response"]["body"]


def test_what_is_left_of_a_large_answer_ends_with_its_client() -> None:
    chunk = bytes(LARGEST_ANSWER)
    host = Script(Scripted(200, JSON, [orjson.dumps(CLIP), *[chunk] * 1_000]))
    with Between(host) as proxy:
        sent = proxy.run(_asks_and_leaves(proxy, "POST", after=3))

        assert [True] == [one.is_closed for one in host.given]
    assert len(sent) < 20, "nobody reads it"


class Silent(Script):
    """A host that takes a request and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.has_it = asyncio.Event()

    async def open(
        self, method: str, target: bytes, headers: HeaderList, body: bytes, *, is_paid: bool
    ) -> Reply:
        self.has_it.set()
        await asyncio.Event().wait()
        raise AssertionError


def test_a_submit_that_outlasts_the_proxy_is_told_that_it_stops() -> None:
    host = Silent()
    with Between(host) as proxy:

        async def stops() -> list[Any]:
            asking = asyncio.create_task(_asks_and_leaves(proxy, "POST"))
            await host.has_it.wait()
            proxy.proxy.let_go()
            await proxy.proxy._pipeline.close(0.1)
            return await asking

        start, body = proxy.run(stops())
        (kept,) = proxy.admin("GET", "/requests")["requests"]

    assert (503, b"stopped") == (start["status"], dict(start["headers"])[b"x-mock-proxy"])
    assert "the task may have been made" in orjson.loads(body["body"])["detail"]
    assert 503 == kept["response"]["status"]
    assert proxy.guard.spent > 0, "it may be charged"


async def _asks_and_leaves(
    proxy: Between, method: str, below: str = "", *, after: int | None = None
) -> list[Any]:
    """Send a request, hang up after so many messages of the answer or the last, and return all that came."""
    body = b'{"prompt": "A paper boat"}' if method == "POST" else b""
    path = f"/toy/api/clips{below}"
    headers = [(b"host", b"127.0.0.1"), (b"x-toy-key", KEY.encode()), (b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))
    scope = {"type": "http", "http_version": "1.1", "method": method, "scheme": "http", "headers": headers}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "server": ("127.0.0.1", 1)}
    messages: list[Any] = [{"type": "http.request", "body": body}]
    over, sent = asyncio.Event(), list[Any]()

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        if is_last or len(sent) == after:
            over.set()

    await proxy.app(scope, receive, send)
    return sent


def test_the_log_says_which_passed_and_which_did_not() -> None:
    with Between() as proxy:
        proxy.create()
        proxy.create()
        proxy.create(prompt="x" * 41)
        proxy.app.log.flush()
        lines = proxy.log.getvalue().splitlines()

    assert "passed on" in lines[0]
    assert "held back: repeated" in lines[1]
    assert "broke toy.clip.prompt  refused here" in lines[2]


@pytest.mark.parametrize("path", ["/tasks", "/costs", "/scenarios", "/deliveries", "/accounts/toy:a"])
def test_what_a_proxy_has_nothing_of_is_not_there(path: str) -> None:
    with Between() as proxy:
        for prefix in ("", "/t/mine"):
            reply = proxy.get(f"{prefix}/__admin{path}")

            assert (404, "Not part of a proxy") == (reply.status, reply.json["title"])
        assert [] == proxy.asked


@pytest.mark.parametrize("path", ["/health", "/providers", "/requests", "/clock", "/gauges", "/tenants"])
def test_what_a_proxy_has_is_that_of_the_server(path: str) -> None:
    with Between() as proxy:
        assert 200 == proxy.get(f"/__admin{path}").status
        assert 200 == proxy.get(f"/t/mine/__admin{path}").status


def test_an_answer_has_nothing_of_ours_unless_asked_for() -> None:
    with Between() as plain, Between(is_annotated=True) as noted:
        warned = {"x-trace": "UPPER", **HEADERS}
        first = plain.call("POST", "/toy/api/clips", json={"prompt": "a"}, headers=warned)
        second = noted.call("POST", "/toy/api/clips", json={"prompt": "a"}, headers=warned)

    assert {"content-type", "content-length"} == set(first.headers)
    assert ("passed", "toy.trace.form") == (word(second), second.headers["x-mock-violations"])
    assert first.body == second.body


def test_what_nobody_foresaw_is_told_and_counts_as_sent() -> None:
    with Between(Script(RuntimeError("what nobody foresaw"))) as proxy:
        replies = [proxy.read("clip-1"), proxy.create(), proxy.create()]

    assert [502, 502, 409] == [one.status for one in replies]
    assert "RuntimeError" in replies[0].json["detail"]


# --- what is held back ------------------------------------------------------------------------------------


def test_paths_that_the_contract_does_not_know_are_refused_and_can_be_let_through() -> None:
    with Between() as strict, Between(passes=("unknown",)) as open_:
        refused = strict.get("/toy/api/unheard-of", x_toy_key=KEY)
        passed = open_.get("/toy/api/unheard-of?a=1", x_toy_key=KEY)
        rules = open_.rules()

    assert (404, "refused") == (refused.status, word(refused))
    assert "--pass unknown" in refused.headers["x-mock-note"]
    assert (200, None, []) == (passed.status, word(passed), rules)
    assert [b"/api/unheard-of?a=1"] == [one[1] for one in open_.asked]


def test_an_unknown_path_that_may_cost_something_needs_leave_to_spend() -> None:
    with Between(passes=("unknown",), guard=Guard(is_open=False)) as proxy:
        reply = proxy.call("POST", "/toy/api/unheard-of", json={}, headers=HEADERS)

        assert (403, "spending") == (reply.status, word(reply))
        assert [] == proxy.asked


def test_a_task_that_would_fail_can_be_let_through() -> None:
    body = {"prompt": "x", "picture": picture(width=10, height=10)}
    with Between() as strict, Between(passes=("fails",)) as open_:
        held, passed = strict.create(**body), open_.create(**body)
        totals = strict.proxy._pipeline.totals["toy"]

    assert (422, "fails", "toy.picture.pixels") == (
        held.status,
        word(held),
        held.headers["x-mock-violations"],
    )
    assert "Picture too small" in held.json["detail"]
    assert ([], 0.0) == (strict.asked, totals.saved), "a failed clip costs nothing"
    assert 200 == passed.status


def test_a_budget_ends_as_an_empty_account_does() -> None:
    with Between(guard=Guard(is_open=True, budget=3)) as proxy:
        replies = [proxy.create(prompt=f"boat {number}") for number in range(4)]

    prices = [reply.status for reply in replies]
    assert 402 == prices[-1]
    assert ("budget", "poor") == (word(replies[-1]), replies[-1].json["code"])
    assert len(proxy.asked) == prices.count(200)
    assert 0 < proxy.guard.spent <= 3


def test_what_was_not_made_is_given_back_to_the_budget() -> None:
    refusal = said({"ok": False, "code": "busy", "message": "Too many at once", "request": "r"}, 429)
    gone = UpstreamError("no connection", is_sent=False, is_late=False)
    lost = UpstreamError("it was closed", is_sent=True, is_late=False)
    with Between(Script(refusal, gone, lost, said())) as proxy:
        spent = []
        for number in range(4):
            proxy.create(prompt=f"boat {number}")
            spent.append(proxy.guard.spent)

    assert [0, 0] == spent[:2]
    assert 0 < spent[2] < spent[3], "a lost one may have been made"


def test_a_task_of_unknown_price_is_held_back_by_a_budget_alone() -> None:
    open_, narrow, closed = Guard(is_open=True), Guard(is_open=True, budget=1_000), Guard(is_open=False)

    assert [True, False, False] == [one.has(None) for one in (open_, narrow, closed)]
    assert [True, True, False] == [one.has(1_000.0) for one in (open_, narrow, closed)]
    assert [True, False, False] == [one.has(1_000.1) for one in (open_, narrow, closed)]


def test_a_row_without_a_price_is_of_unknown_price(tmp_path: Path) -> None:
    silent = tmp_path / "toy.yaml"
    silent.write_text(TOY.read_text().replace("cost: [{base: 1}, ", "cost: ["))
    loaded = {"toy": load(silent)}
    with Between(guard=Guard(is_open=True, budget=1_000), contracts=loaded) as proxy:
        unknown, known = proxy.create(), proxy.create(sound="on")

        assert ("budget", None) == (word(unknown), word(known))
        assert "an amount that the spec does not know" in str(proxy.admin("GET", "/requests?limit=2"))
        assert (2.5, 0) == (proxy.guard.spent, proxy.guard.unknown)


def test_the_summary_says_what_its_numbers_leave_out() -> None:
    with Between(guard=Guard(is_open=True)) as proxy:
        assert "" == proxy.proxy.summary()
        proxy.guard.take(None)
        proxy.create()
        told = proxy.proxy.summary()

    assert "toy: 1 task of unknown price not among the units" in told


# --- equal submits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_refusal_of_the_host_does_not_hold_back_the_next_try(status: int) -> None:
    with Between(Script(said({"ok": False}, status), said())) as proxy:
        first, second = proxy.create(), proxy.create()

    assert [(status, None), (200, None)] == [(one.status, word(one)) for one in (first, second)]


@pytest.mark.parametrize("status", [502, 504, 524])
def test_a_gateways_answer_passes_and_holds_back_the_next_try(status: int) -> None:
    with Between(Script(said(b"<html>", status, [(b"content-type", b"text/html")]))) as proxy:
        first, second = proxy.create(), proxy.create()

    assert (status, None, b"<html>") == (first.status, word(first), first.body)
    assert (409, "lost") == (second.status, word(second))
    assert f"a gateway answered {status}" in second.json["detail"]
    assert 1 == len(proxy.asked)


def test_an_answer_without_a_task_is_given_again() -> None:
    with Between(Script(said({"ok": False, "code": "odd"}))) as proxy:
        first, second = proxy.create(), proxy.create()

    assert (200, "repeated", first.body) == (second.status, word(second), second.body)


def test_a_held_back_request_says_which_one_it_repeats() -> None:
    with Between() as proxy:
        proxy.create()
        reply = proxy.create()
        ids = [one["id"] for one in proxy.admin("GET", "/requests")["requests"]]

    assert ids == [reply.headers["x-mock-request-id"], reply.headers["x-mock-repeats"]]


def test_no_window_passes_every_one() -> None:
    with Between(window_s=0) as proxy:
        assert [None, None] == [word(proxy.create()) for _ in range(2)]
        assert 2 == len(proxy.asked)


def test_a_window_ends() -> None:
    with Between(window_s=5) as proxy:
        proxy.create()
        proxy.wall.at += 4_999
        assert "repeated" == word(proxy.create())
        proxy.wall.at += 1
        assert word(proxy.create()) is None


def test_tenants_and_accounts_are_not_equal() -> None:
    with Between() as proxy:
        words = [
            word(proxy.create()),
            word(proxy.create(base="/t/other/toy/api")),
            word(proxy.create(key="toy-key-2")),
            word(proxy.create(base="/api")),
        ]

    assert [None, None, None, "repeated"] == words


def test_absent_members_do_not_tell_two_wishes_apart_and_values_do() -> None:
    with Between() as proxy:
        words = [word(proxy.create(**more)) for more in ({}, {"name": ""}, {"name": None}, {"name": "n-1"})]

    assert [None, "repeated", "repeated", None] == words


def test_a_task_that_failed_can_be_tried_again_and_is_given_back() -> None:
    with Between(
        Script(said(), clip("working"), clip("broken", why="Loud"), clip("working"), clip("broken"), said())
    ) as proxy:
        proxy.create()
        spent = proxy.guard.spent
        proxy.read("clip-000000000001")
        held = proxy.create()
        for _ in range(3):
            proxy.read("clip-000000000001")
        given_back = proxy.guard.spent
        again = proxy.create()

    assert ("repeated", None) == (word(held), word(again))
    assert (0, spent) == (given_back, proxy.guard.spent)
    assert spent > 0


def test_a_task_that_succeeded_is_still_not_made_twice() -> None:
    with Between(Script(said(), clip("done"))) as proxy:
        proxy.create()
        proxy.read("clip-000000000001")

        assert "repeated" == word(proxy.create())
        assert proxy.guard.spent > 0


def test_another_accounts_failure_lets_nothing_pass() -> None:
    with Between(Script(said(), said(), clip("broken"))) as proxy:
        proxy.create()
        proxy.create(key="toy-key-2")
        proxy.read("clip-000000000001", key="toy-key-2")

        assert ["repeated", None] == [word(proxy.create()), word(proxy.create(key="toy-key-2"))]


def test_a_large_answer_passes_and_cannot_be_given_twice() -> None:
    parts = [orjson.dumps(CLIP)[:-1], b" " * LARGEST_ANSWER, b"}"]
    with Between(Script(Scripted(200, JSON, list(parts)))) as proxy:
        first, second = proxy.create(), proxy.create()

    assert b"".join(parts) == first.body
    assert (409, "lost") == (second.status, word(second))
    assert "too large to be given twice" in second.json["detail"]


def test_two_who_wait_for_one_that_never_left_are_both_told() -> None:
    gone = UpstreamError("no connection", is_sent=False, is_late=False)
    with Between(Script(gone)) as proxy:

        async def both() -> list[Answered]:
            body = {"prompt": "a boat"}
            calls = (proxy.send("POST", "/toy/api/clips", json=body, headers=HEADERS) for _ in range(2))
            return list(await asyncio.gather(*calls))

        replies = proxy.run(both())

    assert [502, 502] == [one.status for one in replies]
    assert 1 == len(proxy.asked)


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", LIBRARY)
def test_what_a_mock_answers_passes_as_it_is_and_is_what_the_contract_says(provider: str) -> None:
    known = contract(provider)
    real = App(Settings(seed=3), {provider: known})
    with Between(lambda mock: Inside(real), provider=provider) as proxy:
        for operation in known.operations.values():
            if operation.role != "create":
                continue
            headers = credential(operation)
            reply = proxy.call("POST", operation.path, json=examples(known, operation)[0], headers=headers)
            assert 200 <= reply.status < 300, reply
            assert [] == [one for one in proxy.rules() if ".answer." in one]
            task = proxy.admin("GET", "/requests?limit=1")["requests"][0]["task"]
            assert task is not None
            for link in operation.links:
                target = known.operations[link.operation].path
                value = task if link.is_task_id else "unknown"
                place = {"path": target.replace("{" + link.parameter + "}", value)}
                url = place["path"] if link.place == "path" else f"{target}?{link.parameter}={value}"
                proxy.call("GET", url, headers=headers)
                assert [] == [one for one in proxy.rules() if ".answer." in one]
        real.backend.store.close()


def findings(
    body: Any, status: int = 200, headers: HeaderList = JSON, operation: str = "getClip"
) -> list[str]:
    known = contract("toy")
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    found, _ = Judge(known).findings(known.operations[operation], status, headers, raw)
    return [f"{one.rule}: {one.found}" for one in found]


def test_an_answer_that_is_not_as_the_contract_says_is_told_with_the_place() -> None:
    assert ["toy.answer.status: status 418"] == findings({}, 418)
    assert ["toy.answer.media-type: text/html"] == findings(
        b"<p>", headers=[(b"Content-Type", b"text/html; a=b")]
    )
    assert ["toy.answer.media-type: no content-type"] == findings(b"", headers=[])
    assert ["toy.answer.body: what is no JSON"] == findings(b"{")
    clip = {"ok": True, "clip": {**CLIP["clip"], "state": "resting"}}  # type: ignore[dict-item]
    assert ["toy.answer.state: 'resting' at /clip/state"] == findings(clip)
    (one,) = findings({"ok": True, "clip": {"id": 7, "state": "waiting", "made": 1, "changed": "x"}})
    assert one.startswith("toy.answer.body:")
    assert one.endswith("at /clip/id")
    assert [] == findings(CLIP)


@pytest.mark.parametrize(
    ("operation", "status", "sure"),
    [
        ("createText2Video", 200, "captured"),
        ("listText2Video", 200, "documented"),
        ("getText2Video", 200, "assumed"),
        ("createText2Video", 418, "assumed"),
    ],
)
def test_a_finding_about_an_answer_is_as_sure_as_what_it_rests_on(
    operation: str, status: int, sure: str
) -> None:
    kling = contract("kling")

    (found,), _ = Judge(kling).findings(kling.operations[operation], status, JSON, b"[]")

    assert sure == found.evidence
    assert bool(found.source) is (status == 200)


def test_a_refusal_may_have_any_form_that_is_known_for_its_status() -> None:
    assert [] == findings({"ok": False, "code": "lost", "message": "No clip", "request": "r"}, 404)
    problem: HeaderList = [(b"content-type", b"application/problem+json")]
    assert [] == findings({"title": "x", "faults": []}, 400, problem)


def test_a_finding_about_an_answer_stands_in_the_journal_and_refuses_nothing() -> None:
    with Between(
        Script(said({"ok": True, "clip": {"id": "clip-000000000001", "state": "resting"}}))
    ) as proxy:
        reply = proxy.read("clip-000000000001")
        (kept,) = proxy.admin("GET", "/requests")["requests"]

    assert (200, "accepted") == (reply.status, kept["verdict"])
    (finding,) = kept["report"]["violations"]
    assert ("toy.answer.state", "warn") == (finding["rule"], finding["effect"])
    assert "the provider's answer" in finding["message"]
    assert "1 answer not as the contract says" in proxy.proxy.summary()


def test_packed_answers_are_unpacked_to_look_at_and_bombs_are_not() -> None:
    body = orjson.dumps(CLIP)

    assert body == plain_body([(b"Content-Encoding", b"gzip")], gzip.compress(body))
    assert body == plain_body([(b"content-encoding", b"deflate")], zlib.compress(body))
    assert body == plain_body([(b"content-encoding", b"gzip, identity")], gzip.compress(body))
    assert body == plain_body([(b"content-encoding", b"deflate, gzip")], gzip.compress(zlib.compress(body)))
    assert plain_body([(b"content-encoding", b"br")], body) is None
    assert plain_body([(b"content-encoding", b"gzip")], body) is None
    assert plain_body([(b"content-encoding", b"gzip")], gzip.compress(body)[:-9]) is None
    assert plain_body([(b"content-encoding", b"gzip")], gzip.compress(bytes(LARGEST + 1))) is None


def test_what_is_kept_of_a_body_is_bounded() -> None:
    tap = Tap()
    for _ in range(50):
        tap.take(bytes(100_000))

    assert (False, 5_000_000) == (tap.is_whole, tap.size_bytes)
    assert len(tap.body) <= LARGEST


# --- courses ----------------------------------------------------------------------------------------------


def recorded(*steps: tuple[float, Scripted]) -> Recording:
    """Return what is recorded of a task whose reads find these answers, each after so many seconds."""
    lines: list[bytes] = []
    with Between(Script(said(), *(one for _, one in steps)), recorder=Recorder(lines.append)) as proxy:
        proxy.create(name="mine")
        for seconds, _ in steps:
            proxy.wall.at += int(seconds * 1000)
            proxy.read("clip-000000000001")
    return read_recording(lines, "r")


@pytest.mark.parametrize("provider", LIBRARY)
def test_a_recording_of_a_mock_is_what_the_mock_would_do(provider: str) -> None:
    known, lines = contract(provider), []
    makers = [one for one in known.operations.values() if one.role == "create"]

    def inside(mock: Mock) -> Upstream:
        return Inside(App(Settings(seed=3), {provider: known}, wall=mock.wall))

    with Between(inside, provider=provider, recorder=Recorder(lines.append)) as proxy:
        for maker in makers:
            headers, (body, *_) = credential(maker), examples(known, maker)
            proxy.call("POST", maker.path, json=body, headers=headers)
            task = proxy.admin("GET", "/requests?limit=1")["requests"][0]["task"]
            link = next(one for one in maker.links if one.is_task_id)
            path = known.operations[link.operation].path
            target = path.replace("{" + link.parameter + "}", task)
            if link.place == "query":
                target = f"{path}?{link.parameter}={task}"
            assert maker.lifecycle is not None
            now = 0
            for at, _ in maker.lifecycle.success[1:]:
                proxy.wall.at += at - now + 100
                now = at + 100
                proxy.call("GET", target, headers=headers)

    found = read_recording(lines, "r")
    assert len(makers) == len(found.tasks)
    assert [] == Replays([found], {provider: known}).notes
    for maker, one in zip(makers, found.tasks, strict=True):
        assert maker.lifecycle is not None
        assert [state for _, state in maker.lifecycle.success] == [state for _, state in one.course]
        for (expected, _), (at, _) in zip(maker.lifecycle.success, one.course, strict=True):
            assert 0 <= at - expected <= 100


@pytest.mark.parametrize("provider", LIBRARY)
def test_a_task_that_failed_is_recorded_with_the_words_of_its_provider(provider: str) -> None:
    known, lines = contract(provider), []
    maker = next(one for one in known.operations.values() if one.role == "create")

    def inside(mock: Mock) -> Upstream:
        return Inside(App(Settings(seed=3), {provider: known}, wall=mock.wall))

    with Between(inside, provider=provider, recorder=Recorder(lines.append)) as proxy:
        headers = credential(maker)
        asked = {**headers, "prefer": "scenario=moderation-late"}
        proxy.call("POST", maker.path, json=examples(known, maker)[0], headers=asked)
        task = proxy.admin("GET", "/requests?limit=1")["requests"][0]["task"]
        link = next(one for one in maker.links if one.is_task_id)
        path = known.operations[link.operation].path
        proxy.wall.at += 3_600_000
        target = path.replace("{" + link.parameter + "}", task)
        reply = proxy.call(
            "GET", target if "{" in path else f"{path}?{link.parameter}={task}", headers=headers
        )

    assert maker.lifecycle is not None
    (one,) = read_recording(lines, "r").tasks
    assert "failure" == maker.lifecycle.states[one.course[-1][1]].outcome
    says_why = any(where.message for where in places(known.operations[link.operation], maker).values())
    assert says_why == (one.failure is not None)
    assert one.failure is None or one.failure in reply.body.decode()
    assert [] == Replays([read_recording(lines, "r")], {provider: known}).notes


def clip(state: str, **more: Any) -> Scripted:
    return said({"ok": True, "clip": {"id": "clip-000000000001", "state": state, **more}})


def test_a_course_is_recorded_with_the_times_that_were_seen() -> None:
    found = recorded(
        (2, clip("waiting")), (3, clip("working")), (3, clip("working")), (40, clip("broken", why="Loud"))
    )

    (task,) = found.tasks
    assert ((0, "waiting"), (5_000, "working"), (48_000, "broken")) == task.course
    assert "Loud" == task.failure
    assert [200, 200, 200] == [one.status for one in task.answers]


def test_the_providers_own_times_count_more() -> None:
    at = {"made": 1_795_000_000_000, "changed": "2026-11-18T11:06:43.500Z"}
    late = {"made": 1_795_000_000_000, "changed": "2026-11-18T11:06:41.000Z"}

    assert (3_500, "working") == recorded((9, clip("working", **at))).tasks[0].course[1]
    stuck = recorded((5, clip("waiting")), (4, clip("working", **late))).tasks[0].course[1]
    assert (9_000, "working") == stuck, "it was seen waiting after that"


@pytest.mark.parametrize("odd", [said(b"{"), said({"ok": True}), said({}, 404), said(b"", 500), clip("")])
def test_an_answer_that_says_nothing_of_the_task_is_not_recorded(odd: Scripted) -> None:
    (task,) = recorded((1, odd), (1, clip("working"))).tasks

    assert ((0, "waiting"), (2_000, "working")) == task.course


def test_a_task_can_be_followed_by_a_name_of_the_clients_own() -> None:
    lines: list[bytes] = []
    with Between(Script(said(), clip("working")), recorder=Recorder(lines.append)) as proxy:
        proxy.create(name="mine")
        proxy.read("mine")
        proxy.read("mine", key="toy-key-2")

    assert [2, 1] == [len(lines) - 1, len(read_recording(lines, "r").tasks)]


def test_a_recording_that_fails_lets_requests_pass() -> None:
    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    recorder = Recorder(full)
    with Between(recorder=recorder) as proxy:
        assert 200 == proxy.create().status
    assert "No space left on device" == recorder.failed


# --- hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "base", "is_here"),
    [
        ("https://api.toy.example", "", False),
        ("https://api.toy.example/api", "", False),
        ("https://api.toy.example/api/", "", False),
        ("http://127.0.0.1:8700/toy", "/toy", True),
        ("http://[::1]:8700/toy/api", "/toy", True),
        ("http://localhost", "", True),
        ("http://localhost.example", "", False),
        ("http://10.0.0.1", "", False),
    ],
)
def test_where_a_host_is(url: str, base: str, is_here: bool) -> None:
    upstream = Upstream(url, base_path="/api", timeout_s=1)

    assert (base, is_here) == (upstream.base, upstream.is_this_machine)


@pytest.mark.parametrize(
    "url",
    [
        *("", "api.toy.example", "ftp://a.example", "http://", "http://a.example:0", "http://a.example:x"),
        *("http://u:p@a.example", "http://a.example/?q", "http://a.example/#f", "http://a.example/ä"),
        *("http://a.example/a b", "file:///etc/passwd", "http://[::1", "http://a.example:99999"),
    ],
)
def test_what_is_no_host_is_refused(url: str) -> None:
    with pytest.raises(SettingError):
        Upstream(url, base_path="", timeout_s=1)


def test_a_connection_cannot_take_the_host_or_the_length_away() -> None:
    headers = [(b"host", b"me"), (b"connection", b"host, content-length, x-a"), (b"x-a", b"1")]
    headers += [(b"content-length", b"2"), (b"content-length", b"2")]

    assert [(b"host", b"them"), (b"content-length", b"2")] == request_headers(headers, b"them", b"{}")
    assert [(b"host", b"them")] == request_headers([], b"them", b"")


def test_a_length_beside_chunks_says_nothing() -> None:
    headers = [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"2"), (b"ETag", b"x")]

    assert [(b"ETag", b"x")] == answer_headers(headers)
    assert headers[1:] == answer_headers(headers[1:])
    assert [(b"ETag", b"x")] == answer_headers(headers[1:], 304), "it is that of what was not sent"
    assert [] == answer_headers([(b"X-A", b"a\x01b"), (b"X-B", b"a\x7f")])


# --- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say before whom: --to PROVIDER"),
        (("--to", "klng"), "did you mean 'kling'?"),
        (("--to", "https://api.example.com"), "write PROVIDER=URL"),
        (("--to", "kling", "--upstream", "ftp://x"), "--upstream: write http:// or https://"),
        (("--to", "kling=ftp://x"), "--to: write http:// or https://"),
        (("--to", "kling", "--window", "nan"), "nan is no number"),
        (("--to", "kling", "--timeout", "nan"), "nan is no number"),
        (("--to", "kling", "--upstream", "https://me:secret@host.example"), "a user name"),
        (("--to", "kling=https://a.example/?x=1"), "behind ? or #"),
        (("--to", "kling", "--to", "kling=http://a.example"), "named twice"),
        (("--to", "kling", "--budget", "much"), "is no number"),
        (("--to", "kling", "--budget", "1", "--allow-spend"), "give one of them"),
        (("--to", "kling", "--effect", "magnific.x.y=off"), "for no provider of --to"),
        (("--to", "kling", "--host", "0.0.0.0"), "--admin-token"),
        (("--to", "kling", "--record", "/nowhere/at/all.ndjson"), "No such file"),
        (("--spec", "/nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_a_start_that_cannot_be_says_why(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main, ["proxy", "--port", "0", *arguments])

    assert 2 == done.exit_code
    assert said in done.output
    assert "secret" not in done.output
    assert "Traceback" not in done.output


def test_a_file_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    arguments = ["proxy", "--port", "0", "--to", "kling", "--record", str(tmp_path / "notes.txt")]

    done = CliRunner().invoke(main, arguments)

    assert 2 == done.exit_code
    assert "there is something else in it" in done.output
    assert "mine\n" == (tmp_path / "notes.txt").read_text()


def test_the_help_shows_how_to_begin() -> None:
    done = CliRunner().invoke(main, ["proxy", "--help"], prog_name="understudy")

    assert 0 == done.exit_code
    assert "understudy proxy --to aimlapi --budget 10" in done.output
    assert "proxy" in CliRunner().invoke(main, ["--help"]).output
