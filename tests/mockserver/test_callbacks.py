"""Callbacks: where they may go, how they are signed, and that each receiver gets its news in order and in time."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from mockserver import callbacks as module
from mockserver.callbacks import (
    AT_ONCE,
    PER_HOST,
    PER_RECEIVER,
    HttpSender,
    at_once,
    resolve,
    sign,
)
from mockserver.receivers import NotAllowedError, Policy
from mockserver.settings import WELL_KNOWN_SECRET, Settings
from mockserver.store import SqliteStore
from tests.mock import HOOK, NOON, Call, Mock, Wall, slow
from tests.mockserver.clients import clients, is_same_record
from tests.providers import LIBRARY, contract

OTHER = "http://other.test/hook"
SLOW = slow(1.5)
DEAD = OSError("connection refused")


def states(calls: Sequence[Call]) -> list[str]:
    return [call.json["state"] for call in calls]


def times(calls: Sequence[Call]) -> list[int]:
    return [call.at - NOON for call in calls]


# --- which receivers are allowed --------------------------------------------------------------------------


def is_allowed(policy: Policy, host: str, address: str) -> bool:
    try:
        policy.check(host, address)
    except NotAllowedError:
        return False
    return True


ADDRESSES = {
    "127.0.0.1": True,
    "10.1.2.3": True,
    "192.168.0.9": True,
    "93.184.216.34": True,
    "::1": True,
    "2606:2800:220:1::1": True,
    "169.254.169.254": False,
    "169.254.0.1": False,
    "::ffff:169.254.169.254": False,
    "fe80::1": False,
    "fe80::1%eth0": False,
    "224.0.0.1": False,
    "ff02::1": False,
    "0.0.0.0": False,
    "::": False,
}


@pytest.mark.parametrize(("address", "expected"), ADDRESSES.items())
def test_bound_to_this_machine_everybody_is_told_but_what_is_on_the_link(
    address: str, expected: bool
) -> None:
    policy = Policy.of(Settings())

    assert expected == is_allowed(policy, "receiver.test", address)


def test_bound_elsewhere_nobody_is_told_who_is_not_listed() -> None:
    policy = Policy.of(Settings(host="0.0.0.0", admin_token="t"))

    assert not any(is_allowed(policy, "receiver.test", address) for address in ADDRESSES)
    with pytest.raises(
        NotAllowedError, match=r"receiver\.test \(10\.1\.2\.3\) is not on the list of receivers"
    ):
        policy.check("receiver.test", "10.1.2.3")


@pytest.mark.parametrize("settings", [{}, {"host": "0.0.0.0", "admin_token": "t"}])
@pytest.mark.parametrize(
    ("entry", "host", "address", "expected"),
    [
        ("receiver.test", "receiver.test", "10.1.2.3", True),
        ("Receiver.Test", "receiver.TEST", "10.1.2.3", True),
        ("receiver.test", "evil.receiver.test", "10.1.2.3", False),
        ("receiver.test", "receiver.test.evil", "10.1.2.3", False),
        ("10.1.0.0/16", "receiver.test", "10.1.2.3", True),
        ("10.1.0.0/16", "receiver.test", "10.2.2.3", False),
        ("10.1.0.0/16", "receiver.test", "::ffff:10.1.2.3", True),
        ("10.1.2.3", "receiver.test", "10.1.2.3", True),
        ("fd00::/8", "receiver.test", "fd12::1", True),
        ("fd00::/8", "receiver.test", "10.1.2.3", False),
    ],
)
def test_a_list_of_receivers_is_kept_to(
    settings: dict[str, Any], entry: str, host: str, address: str, expected: bool
) -> None:
    policy = Policy.of(Settings(callback_allow=(entry,), **settings))

    assert expected == is_allowed(policy, host, address)


# --- sending, over real sockets ---------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Server:
    """A receiver on a real port, which answers bytes and keeps what it read."""

    def __init__(self, answer: bytes = OK, *, is_silent: bool = False, is_hasty: bool = False) -> None:
        self.answer, self.is_silent, self.is_hasty = answer, is_silent, is_hasty
        self.requests: list[bytes] = []
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._serving.add(this)
        try:
            if self.is_hasty:
                writer.write(self.answer)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if b"content-length:" in line
                ),
                0,
            )
            self.requests.append(head + await reader.readexactly(length))
            if self.is_silent:
                await reader.read()
            writer.write(self.answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


def resolver(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    """Return a look-up that gives these addresses, one each time it is asked, the last for ever."""
    asked: list[str] = list(addresses)

    async def look_up(host: str, port: int) -> list[str]:
        return [asked.pop(0) if len(asked) > 1 else asked[0]]

    return look_up


LOOPBACK = resolver("127.0.0.1")


def deliver(
    url: str,
    *,
    server: Server | None = None,
    resolver: Callable[[str, int], Awaitable[list[str]]] = LOOPBACK,
    within_s: float = 5.0,
    settings: Settings | None = None,
    times: int = 1,
) -> list[int | Exception]:
    """Send to an URL, `{port}` in it being the server's, and return what came of it."""

    async def go() -> list[int | Exception]:
        sender = HttpSender(Policy.of(settings or Settings()), resolver=resolver)
        out: list[int | Exception] = []
        async with server or Server() as running:
            for _ in range(times):
                try:
                    headers = [("Content-Type", "application/json"), ("X-Toy-Event", "done")]
                    address = url.replace("{port}", str(running.port))
                    out.append(await sender.send("POST", address, headers, b'{"a":1}', within_s))
                except (NotAllowedError, OSError) as error:
                    out.append(error)
            await sender.close()
        return out

    return asyncio.run(go())


def test_a_receiver_gets_method_path_headers_and_body() -> None:
    server = Server()

    assert deliver("http://receiver.test:{port}/hook/a%20b?x=1&y#part", server=server) == [200]

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook/a%20b?x=1&y HTTP/1.1"
    headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines[1:]}
    assert headers["host"] == f"receiver.test:{server.port}"
    assert (headers["content-type"], headers["x-toy-event"]) == ("application/json", "done")
    assert headers["content-length"] == "7"
    assert body == b'{"a":1}'


@pytest.mark.parametrize("status", [200, 204, 301, 410, 429, 500])
def test_the_status_of_the_answer_is_told(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".encode()
    server = Server(answer)

    assert deliver("http://receiver.test:{port}/", server=server) == [status]
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    answer = (
        b"HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n"
    )

    assert deliver("http://receiver.test:{port}/", server=Server(answer)) == [307]


def test_an_endless_answer_is_not_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100_000

    assert deliver("http://receiver.test:{port}/", server=Server(answer), times=2) == [200, 200]


def test_a_silent_receiver_is_waited_for_so_long_and_no_longer() -> None:
    (error,) = deliver("http://receiver.test:{port}/", server=Server(is_silent=True), within_s=0.05)

    assert isinstance(error, OSError)
    assert str(error) == "no answer within 0.05 s"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_receiver_that_speaks_nonsense_is_a_fault_of_the_network(answer: bytes) -> None:
    (error,) = deliver("http://receiver.test:{port}/", server=Server(answer))

    assert isinstance(error, OSError)
    assert str(error)


def test_nobody_at_the_port_is_a_fault_of_the_network() -> None:
    (error,) = deliver("http://receiver.test:1/")

    assert isinstance(error, OSError)


def test_a_name_that_does_not_exist_is_a_fault_of_the_network() -> None:
    (error,) = deliver("http://no-such-host.invalid/", resolver=resolve)

    assert isinstance(error, OSError)
    assert str(error).startswith("no-such-host.invalid: ")


@pytest.mark.parametrize("url", ["http://receiver.test:99999/", "http://receiver.test:x/", "http://[::1/"])
def test_a_port_or_address_that_cannot_be_is_a_fault(url: str) -> None:
    (error,) = deliver(url)

    assert isinstance(error, OSError | NotAllowedError)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://receiver.test/", "file:///etc/passwd", "gopher://receiver.test/", "javascript:alert(1)"),
        *("receiver.test/hook", "/hook", "", "http://", "http:///hook", "HTTPS", "data:text/plain,x"),
    ],
)
def test_what_is_no_http_url_is_not_sent(url: str) -> None:
    (error,) = deliver(url)

    assert isinstance(error, NotAllowedError)
    assert str(error) == f"'{url}' is no http or https URL"


@pytest.mark.parametrize("user", ["me@", "me:secret@", ":secret@", "@"])
def test_a_url_with_a_user_name_is_not_sent(user: str) -> None:
    server = Server()

    (error,) = deliver(f"http://{user}receiver.test:{{port}}/", server=server)

    assert isinstance(error, NotAllowedError)
    assert "secret" not in str(error)
    assert server.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:a9fe:a9fe]", "0.0.0.0"])
def test_an_address_of_the_link_is_not_sent_to(host: str) -> None:
    (error,) = deliver(f"http://{host}:{{port}}/", resolver=resolve)

    assert isinstance(error, NotAllowedError)


@pytest.mark.parametrize("text", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_an_address_in_disguise_is_judged_by_what_it_is(text: str) -> None:
    server = Server()
    elsewhere = Settings(host="0.0.0.0", admin_token="t", callback_allow=("10.0.0.0/8",))

    (error,) = deliver(f"http://{text}:{{port}}/", server=server, resolver=resolve, settings=elsewhere)

    assert isinstance(error, NotAllowedError | OSError)
    assert server.requests == []


def test_the_address_that_was_judged_is_the_one_that_is_used() -> None:
    server = Server()

    # A second look-up would lead to the link: the first answer counts, for the check and for the connection.
    assert deliver(
        "http://receiver.test:{port}/", server=server, resolver=resolver("127.0.0.1", "169.254.169.254")
    ) == [200]
    assert f"Host: receiver.test:{server.port}".encode() in server.requests[0]


def test_each_delivery_is_looked_up_and_judged_anew() -> None:
    server = Server()

    first, second = deliver(
        "http://receiver.test:{port}/",
        server=server,
        resolver=resolver("127.0.0.1", "169.254.169.254"),
        times=2,
    )

    assert first == 200
    assert isinstance(second, NotAllowedError)
    assert len(server.requests) == 1


def test_one_bad_address_among_good_ones_is_enough_to_refuse() -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "169.254.169.254"]

    (error,) = deliver("http://receiver.test:{port}/", resolver=both)

    assert isinstance(error, NotAllowedError)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert deliver("http://receiver.test:{port}/") == [200]


def test_a_receiver_that_cannot_show_a_certificate_is_a_fault() -> None:
    (error,) = deliver("https://receiver.test:{port}/", server=Server(is_hasty=True))

    assert isinstance(error, OSError)


def test_localhost_is_found() -> None:
    assert "127.0.0.1" in asyncio.run(resolve("localhost", 80))


# --- signatures -------------------------------------------------------------------------------------------

BASE64_SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
PUBLISHED_BODY = (
    b'{"id":"1234567890","status":"succeeded","message":"",'
    b'"create_time":1781080778802,"update_time":1781080794151}'
)


def test_the_published_example_gives_the_published_signature() -> None:
    headers = dict(sign(BASE64_SECRET, "base64", "9876543210", 1_781_080_794, PUBLISHED_BODY))

    assert headers == {
        "webhook-id": "9876543210",
        "webhook-timestamp": "1781080794",
        "webhook-signature": "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
    }


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        (BASE64_SECRET, "base64"),
        (BASE64_SECRET.removeprefix("whsec_"), "base64"),
        (BASE64_SECRET.rstrip("="), "base64"),
        ("whsec_not base64 at all", "base64"),
        ("a plain secret", "utf8"),
        ("whsec_dGVzdA==", "utf8"),
        ("gehëim", "utf8"),
    ],
)
def test_the_official_library_accepts_every_signature(secret: str, kind: str) -> None:
    # The receiver's side, with the key worked out here.
    encoded = secret.removeprefix("whsec_") if kind == "base64" else ""
    try:
        key = (
            base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
            if encoded
            else secret.encode()
        )
    except ValueError:
        key = secret.encode()
    now = int(datetime.now(UTC).timestamp())
    body = '{"state":"döne"}'.encode()

    headers = dict(sign(secret, kind, "msg_1", now, body))

    assert Webhook(key).verify(body, headers) == orjson.loads(body)


def verified(call: Call, key: bytes) -> Any:
    """Verify a call as its receiver would, at the time it came."""
    stamp = datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), UTC).replace(tzinfo=None)
    expected = Webhook(key).sign(call.headers["webhook-id"], stamp, call.body.decode())
    assert call.headers["webhook-signature"] == expected
    return call.json


def test_a_provider_that_always_signs_signs_with_the_known_secret() -> None:
    with Mock() as mock:
        mock.clip(hook=HOOK)
        mock.wait(20)

    for call in mock.receivers.calls:
        verified(call, WELL_KNOWN_SECRET.encode())
        assert int(call.headers["webhook-timestamp"]) == call.at // 1000
    assert len(mock.receivers.calls) == 2


def test_where_the_machine_tells_dates_a_signature_is_as_old_as_its_receiver_thinks() -> None:
    with Mock(speed=600.0, dates="machine") as mock:
        mock.wait(5)
        mock.clip(hook=HOOK)
        mock.wait(20)

    assert len(mock.receivers.calls) == 2
    for call in mock.receivers.calls:
        assert int(call.headers["webhook-timestamp"]) == call.at // 1000


def test_a_provider_signs_with_the_secret_of_the_settings() -> None:
    with Mock(secrets={"toy": "mine"}) as mock:
        mock.clip(hook=HOOK)
        mock.wait(3)

    assert verified(mock.receivers.calls[0], b"mine")["state"] == "working"


@pytest.mark.parametrize("name", LIBRARY)
def test_each_provider_signs_as_its_spec_says(name: str) -> None:
    for secrets in ({}, {name: BASE64_SECRET}):
        with Mock(name, secrets=secrets) as mock:
            for client in clients(mock, name):
                mock.receivers.calls.clear()
                client.made(hook=HOOK)
                mock.wait(1_000)
                for hook in client.operation.callbacks:
                    signature = hook.signature
                    is_signed = signature is not None and (signature.is_always or bool(secrets))

                    assert mock.receivers.calls
                    for call in mock.receivers.calls:
                        assert is_signed == ("webhook-signature" in call.headers)
                        if signature is not None and is_signed:
                            secret = secrets.get(name, WELL_KNOWN_SECRET)
                            raw = (
                                base64.b64decode(secret.removeprefix("whsec_"))
                                if signature.secret == "base64"
                                else b""
                            )
                            verified(call, raw or secret.encode())


# --- when and what ----------------------------------------------------------------------------------------


def test_news_arrive_when_the_task_changes() -> None:
    with Mock() as mock:
        task = mock.clip(hook=HOOK)

        mock.wait(60)

    assert states(mock.receivers.calls) == ["working", "done"]
    assert times(mock.receivers.calls) == [2_000, 12_000]
    assert [call.json["id"] for call in mock.receivers.calls] == [task, task]
    assert {call.method for call in mock.receivers.calls} == {"POST"}


def test_a_task_without_an_address_sends_nothing() -> None:
    with Mock() as mock:
        mock.clip()
        mock.clip(hook="")
        mock.clip(hook="  ")

        mock.wait(60)

        assert mock.deliveries() == []


def test_an_address_too_long_is_neither_called_nor_kept_and_the_ledger_says_so() -> None:
    with Mock() as mock:
        mock.clip(hook="http://receiver.test/" + "x" * 3_000)
        mock.wait(60)

        kept = mock.deliveries()

    assert [] == mock.receivers.calls
    assert {"refused"} == {one["status"] for one in kept}
    assert "an address of more than 2,048 characters" == kept[0]["attempts"][0]["error"]
    assert {2_049} == {len(one["url"]) for one in kept}


def test_headers_follow_the_state() -> None:
    with Mock() as mock:
        mock.clip(hook=HOOK)

        mock.wait(60)

    assert [call.headers["x-toy-event"] for call in mock.receivers.calls] == ["clip.working", "clip.finished"]
    assert {call.headers["content-type"] for call in mock.receivers.calls} == {"application/json"}


def test_a_failing_task_tells_why() -> None:
    with Mock() as mock:
        mock.clip(picture="iVBORw0KGgo=", hook=HOOK)

        mock.wait(60)

    assert states(mock.receivers.calls) == ["broken"]
    assert mock.receivers.calls[0].json["why"] == "Picture unreadable"
    assert times(mock.receivers.calls) == [1_500]


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("progress", ["time", "manual", "polls"])
def test_every_callback_says_what_a_query_at_that_instant_says(name: str, progress: str) -> None:
    seen = 0
    with Mock(name, progress=progress, log="off") as mock:
        mock.freeze()
        for client in clients(mock, name):
            lifecycle = client.operation.lifecycle
            assert lifecycle is not None
            task = client.made(hook=HOOK)
            told = {state for hook in client.operation.callbacks for state in hook.states}
            for _, state in lifecycle.success[1:]:
                mock.receivers.calls.clear()
                if progress == "time":
                    mock.admin("POST", "/clock/advance", {"to": "next-event"})
                elif progress == "manual":
                    mock.move(task, state=state)
                else:
                    client.read(task)
                mock.settle()
                query = mock.admin("GET", f"/tasks/{task}")["state"]
                calls = list(mock.receivers.calls)

                assert query == state
                assert len(calls) == (1 if state in told else 0)
                for call in calls:
                    # One poll more would move the task on: the last state stays where it is.
                    if progress != "polls" or lifecycle.states[state].is_final:
                        assert is_same_record(client.read(task).json, call.json)
                    seen += 1
    assert seen or not any(one.callbacks for one in contract(name).operations.values())


def test_news_that_come_late_say_what_was_true_when_they_were_due() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, DEAD)
        mock.clip(hook=HOOK)
        mock.freeze()

        mock.advance("PT11.9S")
        mock.advance("PT10S")

    first, again, last = mock.receivers.calls
    assert states([first, again, last]) == ["working", "working", "done"]
    assert first.body == again.body
    assert first.json["changed"] == "2026-01-01T12:00:02.000Z"


# --- trying again -----------------------------------------------------------------------------------------


def test_a_dead_receiver_is_tried_again_with_longer_waits() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, DEAD, DEAD)
        mock.clip(hook=HOOK)

        mock.wait(60)
        first, second = mock.deliveries()

    assert states(mock.receivers.calls) == ["working", "working", "working", "done"]
    assert times(mock.receivers.calls) == [2_000, 3_000, 7_000, 12_000]
    assert [one["error"] for one in first["attempts"]] == ["connection refused", "connection refused", ""]
    assert [one["status"] for one in first["attempts"]] == [None, None, 200]
    assert (first["status"], second["status"]) == ("delivered", "delivered")


@pytest.mark.parametrize("answer", [500, 503, 429, DEAD])
def test_after_the_last_try_it_has_failed_and_the_next_news_go_out(answer: int | Exception) -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, answer, answer, answer)
        mock.clip(hook=HOOK)

        mock.wait(60)
        first, second = mock.deliveries()

    assert (first["status"], len(first["attempts"]), first["next_at"]) == ("failed", 3, None)
    assert (second["status"], len(second["attempts"])) == ("delivered", 1)


@pytest.mark.parametrize("answer", [400, 404, 410, 302])
def test_other_answers_are_not_tried_again(answer: int) -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, answer)
        mock.clip(hook=HOOK)

        mock.wait(60)
        first, second = mock.deliveries()

    assert (first["status"], len(first["attempts"])) == ("failed", 1)
    assert second["status"] == "delivered"


def test_every_try_has_the_same_id_and_body_and_a_time_of_its_own() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, 500, 500)
        mock.clip(hook=HOOK)

        mock.wait(8)

    calls = mock.receivers.calls
    assert len(calls) == 3
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    assert len({call.headers["webhook-timestamp"] for call in calls}) == 3
    for call in calls:
        verified(call, WELL_KNOWN_SECRET.encode())


def test_news_wait_for_the_former_news_of_the_same_task() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = 503
        mock.receivers.will(HOOK, 503, 503)
        mock.freeze()
        mock.clip(hook=HOOK)
        mock.advance("PT2S")
        task = mock.deliveries()[0]["task"]
        mock.move(task, state="done")
        assert states(mock.receivers.calls) == ["working"]

        mock.receivers.always[HOOK] = 200
        mock.advance("PT10S")

    assert states(mock.receivers.calls) == ["working", "working", "working", "done"]


def test_retries_run_on_the_clock_of_the_tenant() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = 500
        mock.freeze()
        mock.clip(hook=HOOK)
        mock.wait(3_600)
        assert mock.receivers.calls == []

        events = mock.advance("PT6.999S")
        assert len(mock.receivers.calls) == 2
        assert [event["status"] for event in events if event["kind"] == "delivery"] == [
            "retrying",
            "retrying",
        ]

        mock.advance("PT0.001S")
        assert len(mock.receivers.calls) == 3


def test_a_fast_clock_makes_fast_news() -> None:
    with Mock(speed=60) as mock:
        mock.receivers.will(HOOK, 500)
        mock.clip(hook=HOOK)

        mock.wait(1)

    assert states(mock.receivers.calls) == ["working", "working", "done"]
    assert times(mock.receivers.calls) == [34, 51, 200]


def test_the_wait_begins_when_a_slow_try_ends() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, slow(1.5, 500))
        mock.clip(hook=HOOK)

        mock.wait(60)

    assert times(mock.receivers.calls)[:2] == [2_000, 4_500]


def test_a_receiver_is_given_the_time_of_the_spec_and_no_more() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, slow(100))
        mock.clip(hook=HOOK)
        mock.wait(60)
        first = mock.deliveries()[0]

    assert mock.receivers.calls[0].within_s == 2.0
    assert first["attempts"][0]["error"] == "no answer within 2 s"
    assert first["status"] == "delivered"


def test_a_setting_may_give_a_receiver_less_time() -> None:
    with Mock(callback_timeout=0.25) as mock:
        mock.clip(hook=HOOK)
        mock.wait(3)

    assert mock.receivers.calls[0].within_s == 0.25


def test_an_address_that_is_not_allowed_is_refused_once() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, NotAllowedError("receiver.test is not on the list"))
        mock.clip(hook=HOOK)
        mock.wait(60)
        first, second = mock.deliveries()

    assert (first["status"], len(first["attempts"])) == ("refused", 1)
    assert first["attempts"][0]["error"] == "receiver.test is not on the list"
    assert second["status"] == "delivered"


def test_a_fault_of_our_own_is_noted_and_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, ZeroDivisionError("a bug"))
        mock.clip(hook=HOOK)
        mock.wait(60)
        first, second = mock.deliveries()

    assert first["status"] == "failed"
    assert first["attempts"][0]["error"] == "ZeroDivisionError('a bug')"
    assert second["status"] == "delivered"
    assert "could not be sent" in caplog.text


# --- one receiver and the others --------------------------------------------------------------------------


def test_a_slow_receiver_does_not_hold_up_other_tasks() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = slow(1.9)
        mock.clip(hook=HOOK)
        mock.clip(hook=OTHER)

        mock.wait(60)

    assert times(mock.receivers.to(OTHER)) == [2_000, 12_000]
    assert times(mock.receivers.to(HOOK)) == [2_000, 12_000]


def test_a_slow_receiver_does_not_hold_up_other_tasks_of_its_own() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = slow(1.9)
        for _ in range(20):
            mock.clip(hook=HOOK)

        mock.wait(60)

    assert times(mock.receivers.calls) == [2_000] * 20 + [12_000] * 20


def test_a_dead_receiver_does_not_hold_up_the_api() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = slow(1_000)
        task = mock.clip(hook=HOOK)
        mock.wait(2.5)
        before = mock.wall.at

        for _ in range(50):
            mock.clip(hook=HOOK)
            assert mock.state(task) == "working"

        assert mock.wall.at == before


def test_a_receiver_is_not_asked_more_often_at_once_than_it_may_be() -> None:
    count = PER_RECEIVER + 10
    with Mock() as mock:
        mock.receivers.always[HOOK] = SLOW
        for _ in range(count):
            mock.clip(hook=HOOK)
        mock.clip(hook=OTHER)

        mock.wait(9)

    assert times(mock.receivers.to(HOOK)) == [2_000] * PER_RECEIVER + [3_500] * 10
    assert times(mock.receivers.to(OTHER)) == [2_000]


def test_many_receivers_are_not_remembered_for_ever() -> None:
    with Mock() as mock:
        outbox = mock.app.outbox
        for index in range(10_500):
            outbox._path(f"http://receiver{index}.test/hook")

        assert len(outbox._receivers) < 1_000
        assert outbox._path("http://a.test/x?task=1") is outbox._path("http://a.test/x?task=2")
        assert outbox._path("http://a.test/x") is not outbox._path("http://a.test/y")
        assert outbox._host("http://a.test/x") is outbox._host("http://a.test/y")


def test_what_hangs_at_one_path_holds_up_no_other_path_of_the_same_host() -> None:
    hanging, good = "http://one.test/hang", "http://one.test/good"
    with Mock() as mock:
        mock.receivers.always[hanging] = slow(60)
        for _ in range(PER_RECEIVER * 2):
            mock.clip(hook=hanging)
        mock.clip(hook=good)

        mock.wait(3)

        assert times(mock.receivers.to(good)) == [2_000]


def test_what_hangs_at_many_paths_of_one_host_holds_up_no_other_host() -> None:
    with Mock() as mock:
        for index in range(PER_HOST + 100):
            url = f"http://hanging.test/{index}"
            mock.receivers.always[url] = slow(60)
            mock.clip(hook=url)
        mock.clip(hook=OTHER)

        mock.wait(2)

        assert len(mock.receivers.calls) == PER_HOST + 1
        assert times(mock.receivers.to(OTHER)) == [2_000]


def test_no_more_is_under_way_at_once_than_descriptors_allow() -> None:
    least, most = AT_ONCE

    assert least <= at_once() <= most
    with Mock() as mock:
        mock.app.outbox._all = asyncio.Semaphore(20)
        for index in range(30):
            url = f"http://receiver{index}.test/"
            mock.receivers.always[url] = slow(60)
            mock.clip(hook=url)

        mock.wait(2)

        assert len(mock.receivers.calls) == 20


# --- look-ups ---------------------------------------------------------------------------------------------


def test_an_address_needs_no_look_up() -> None:
    before = threading.active_count()

    assert asyncio.run(resolve("127.0.0.1", 80)) == ["127.0.0.1"]
    assert asyncio.run(resolve("::1", 80)) == ["::1"]
    assert threading.active_count() == before


def test_a_name_is_looked_up_and_one_that_is_none_says_so() -> None:
    assert set(asyncio.run(resolve("localhost", 80))) <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError, match=r"[Nn]ame|known|resol"):
        asyncio.run(resolve("nobody.invalid", 80))


def test_a_silent_name_server_is_given_up() -> None:
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    (found,) = deliver("http://receiver.test:{port}/hook", resolver=silent, within_s=0.05)

    assert isinstance(found, OSError)
    assert "receiver.test: no address within 0.05 s" == str(found)


def test_a_look_up_under_way_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        release.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolve("receiver.test", 80), 0.05)

    began = time.perf_counter()
    asyncio.run(ask())
    took = time.perf_counter() - began
    release.set()

    assert took < 5


# --- admin moves, replays ---------------------------------------------------------------------------------


def test_a_move_cancels_what_will_not_happen_and_sends_what_does() -> None:
    with Mock() as mock:
        mock.freeze()
        task = mock.clip(hook=HOOK)
        mock.advance("PT3S")

        mock.move(task, state="broken", message="by hand")
        mock.settle()
        mock.advance("PT1H")
        ledger = mock.deliveries()

    assert [(one["state"], one["status"]) for one in ledger] == [
        ("working", "delivered"),
        ("done", "canceled"),
        ("broken", "delivered"),
    ]
    assert states(mock.receivers.calls) == ["working", "broken"]
    assert mock.receivers.calls[1].json["why"] == "by hand"


def test_a_move_sends_again_only_what_lies_ahead() -> None:
    with Mock() as mock:
        mock.freeze()
        task = mock.clip(hook=HOOK)
        mock.advance("PT3S")

        mock.move(task, state="working")
        mock.advance("PT1H")

    assert states(mock.receivers.calls) == ["working", "done"]


def test_a_move_after_the_ledger_forgot_does_not_send_old_news(monkeypatch: pytest.MonkeyPatch) -> None:
    from mockserver import store

    monkeypatch.setattr(store, "LEDGER_ENTRIES", 1)
    with Mock() as mock:
        mock.freeze()
        task = mock.clip(hook=HOOK)
        mock.advance("PT3S")
        mock.clip(hook=OTHER)
        mock.advance("PT2S")
        assert [one["task"] == task for one in mock.deliveries() if one["status"] == "delivered"] == [False]

        mock.move(task, state="broken")
        mock.settle()

    assert states(mock.receivers.to(HOOK)) == ["working", "broken"]


def test_two_moves_within_a_millisecond_are_both_told() -> None:
    with Mock(progress="manual") as mock:
        mock.freeze()
        task = mock.clip(hook=HOOK)

        mock.move(task, state="working")
        mock.move(task, state="done")
        mock.settle()

    assert states(mock.receivers.calls) == ["working", "done"]
    assert "file" not in mock.receivers.calls[0].json


def test_a_task_without_an_address_is_moved_in_silence() -> None:
    with Mock() as mock:
        task = mock.clip()

        mock.move(task, state="done")
        mock.settle()

        assert mock.deliveries() == []


def test_a_replay_has_the_same_id_and_the_same_body() -> None:
    with Mock() as mock:
        mock.clip(hook=HOOK)
        mock.wait(3)
        (one, _) = mock.deliveries()
        mock.wait(60)

        mock.admin("POST", f"/deliveries/{one['id']}/replay")
        mock.settle()
        again = mock.admin("GET", f"/deliveries/{one['id']}")

    first, _, last = mock.receivers.calls
    assert first.body == last.body
    assert first.headers["webhook-id"] == last.headers["webhook-id"] == one["id"]
    assert int(last.headers["webhook-timestamp"]) == (NOON + 63_000) // 1000
    assert (again["status"], len(again["attempts"])) == ("delivered", 2)
    verified(last, WELL_KNOWN_SECRET.encode())


def test_a_failed_delivery_can_be_replayed() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, 404)
        mock.clip(hook=HOOK)
        mock.wait(3)
        (one, _) = mock.deliveries()
        assert one["status"] == "failed"

        mock.admin("POST", f"/deliveries/{one['id']}/replay")
        mock.settle()

        assert mock.admin("GET", f"/deliveries/{one['id']}")["status"] == "delivered"


def test_a_delivery_that_was_never_tried_can_be_sent_by_hand() -> None:
    with Mock() as mock:
        mock.freeze()
        task = mock.clip(hook=HOOK)
        mock.move(task, state="broken")
        canceled = mock.deliveries(query="?status=canceled")

        reply = mock.call("POST", f"/__admin/deliveries/{canceled[0]['id']}/replay")
        mock.settle()

        # The task never was in that state: there is nothing true to send.
        assert reply.status == 409
        assert states(mock.receivers.calls) == ["broken"]


def test_a_replay_does_not_wait_for_news_that_are_not_due() -> None:
    with Mock() as mock:
        mock.freeze()
        mock.clip(hook=HOOK)
        mock.advance("PT3S")
        (one, _) = mock.deliveries()

        mock.admin("POST", f"/deliveries/{one['id']}/replay")
        mock.settle()
        assert states(mock.receivers.calls) == ["working", "working"]

        mock.advance("PT20S")

    assert states(mock.receivers.calls) == ["working", "working", "done"]


def test_a_replay_waits_for_what_is_under_way() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, 200, slow(1.5), 503)
        mock.clip(hook=HOOK)
        mock.wait(12.5)
        (one, _) = mock.deliveries()

        mock.admin("POST", f"/deliveries/{one['id']}/replay")
        mock.settle()
        assert states(mock.receivers.calls) == ["working", "done"]
        mock.wait(60)

    assert states(mock.receivers.calls) == ["working", "done", "working", "working"]
    assert times(mock.receivers.calls) == [2_000, 12_000, 13_500, 17_500]


def test_a_replay_goes_before_a_delivery_that_is_tried_again_later() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, 200, 503)
        mock.clip(hook=HOOK)
        mock.wait(12.5)
        (one, _) = mock.deliveries()

        mock.admin("POST", f"/deliveries/{one['id']}/replay")
        mock.wait(60)

    assert states(mock.receivers.calls) == ["working", "done", "working", "done"]
    assert times(mock.receivers.calls) == [2_000, 12_000, 12_500, 13_000]


# --- other ways to move tasks -----------------------------------------------------------------------------


def test_polls_move_a_task_and_send_its_news() -> None:
    with Mock(progress="polls", polls_per_step=2) as mock:
        task = mock.clip(hook=HOOK)
        seen = []
        for _ in range(6):
            seen.append(mock.state(task))
            mock.settle()
        mock.wait(3_600)

    assert seen == ["waiting", "working", "working", "done", "done", "done"]
    assert states(mock.receivers.calls) == ["working", "done"]


def test_polls_bring_a_failing_task_to_its_failure() -> None:
    with Mock(progress="polls") as mock:
        task = mock.clip(picture="iVBORw0KGgo=", hook=HOOK)

        assert mock.state(task) == "broken"
        mock.settle()

    assert states(mock.receivers.calls) == ["broken"]


def test_only_a_hand_moves_a_task_that_time_does_not() -> None:
    with Mock(progress="manual") as mock:
        task = mock.clip(hook=HOOK)
        mock.wait(86_000)
        assert mock.state(task) == "waiting"

        mock.move(task, state="working")
        mock.wait(86_000 - 86_000 % 1_000)

    assert states(mock.receivers.calls) == ["working"]


# --- tenants ----------------------------------------------------------------------------------------------


def test_each_tenant_sends_by_its_own_clock() -> None:
    with Mock() as mock:
        mock.freeze(tenant="still")
        mock.clip(base="/t/still/toy/api", hook=HOOK)
        mock.clip(hook=OTHER)

        mock.wait(60)
        assert (len(mock.receivers.to(HOOK)), len(mock.receivers.to(OTHER))) == (0, 2)

        mock.advance("PT1M", tenant="still")

    assert states(mock.receivers.to(HOOK)) == ["working", "done"]


def test_a_reset_gives_up_what_was_to_be_sent() -> None:
    with Mock() as mock:
        mock.clip(hook=HOOK)
        mock.clip(base="/t/other/toy/api", hook=OTHER)

        mock.admin("POST", "/reset")
        mock.wait(60)

        assert mock.deliveries() == []
    assert mock.receivers.to(HOOK) == []
    assert states(mock.receivers.to(OTHER)) == ["working", "done"]


def test_a_reset_gives_up_what_is_under_way() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = SLOW
        mock.clip(hook=HOOK)
        mock.wait(2.5)

        mock.admin("POST", "/reset")
        mock.wait(60)

        assert mock.deliveries() == []
    assert len(mock.receivers.calls) == 1


def test_a_task_that_was_forgotten_sends_nothing_more() -> None:
    with Mock() as mock:
        mock.receivers.will(HOOK, 404)
        mock.freeze()
        task = mock.clip(hook=HOOK)
        mock.advance("PT3S")
        mock.app.backend.store.forget(
            "default", mock.admin("GET", f"/tasks/{task}")["account"], "createClip", 10**15
        )

        mock.advance("PT20S")

        assert [one["status"] for one in mock.deliveries()] == ["failed", "canceled"]


# --- advancing --------------------------------------------------------------------------------------------


def test_an_advance_ends_when_everything_on_the_way_was_sent() -> None:
    with Mock() as mock:
        mock.freeze()
        mock.receivers.always[HOOK] = SLOW
        task = mock.clip(hook=HOOK)

        events = mock.advance("PT1H")

    assert [(event["kind"], event["state"], event.get("status")) for event in events] == [
        ("task", "working", None),
        ("delivery", "working", "delivered"),
        ("task", "done", None),
        ("delivery", "done", "delivered"),
    ]
    assert {event["task"] for event in events} == {task}


def test_news_of_many_tasks_are_sent_in_the_order_they_fall_due() -> None:
    with Mock() as mock:
        mock.freeze()
        for _ in range(5):
            mock.clip(hook=HOOK)
            mock.advance("PT1S")
        mock.receivers.calls.clear()

        mock.advance("PT1H")

    made = [(call.json["made"], call.json["state"]) for call in mock.receivers.calls]
    due = [at + {"working": 2_000, "done": 12_000}[state] for at, state in made]
    assert due == sorted(due)


def test_the_clock_can_be_set_while_it_is_being_advanced() -> None:
    with Mock() as mock:
        mock.freeze()
        mock.receivers.always[HOOK] = SLOW
        mock.clip(hook=HOOK)

        async def both() -> list[Any]:
            first = asyncio.create_task(mock.send("POST", "/__admin/clock/advance", json={"by": "PT5S"}))
            await asyncio.sleep(0.1)
            again = mock.send("PUT", "/__admin/clock", json={"now": NOON + 60_000})
            also = mock.send("POST", "/__admin/clock/advance", json={"by": "PT5S"})
            return [reply.status for reply in await asyncio.gather(first, again, also)]

        assert mock.run(both()) == [200, 409, 409]
        assert mock.admin("GET", "/clock")["now_ms"] == NOON + 5_000


def test_a_reset_during_an_advance_begins_again_all_the_same() -> None:
    with Mock() as mock:
        mock.freeze()
        mock.receivers.always[HOOK] = SLOW
        mock.clip(hook=HOOK)

        async def both() -> list[Any]:
            first = asyncio.create_task(mock.send("POST", "/__admin/clock/advance", json={"by": "P1D"}))
            await asyncio.sleep(0.1)
            reset = await mock.send("POST", "/__admin/reset")
            return [reset.status, (await first).status]

        assert mock.run(both()) == [204, 200]
        assert mock.admin("GET", "/clock")["now_ms"] < NOON + 60_000
        mock.clip(hook=OTHER)
        mock.wait(60)

    assert states(mock.receivers.to(OTHER)) == ["working", "done"]


# --- restarts ---------------------------------------------------------------------------------------------


def restarted(file: Path, wall: Wall, *providers: str, **settings: Any) -> Mock:
    return Mock(*providers, store=SqliteStore(str(file)), wall=wall, **settings)


def test_a_restart_sends_what_fell_due_meanwhile(tmp_path: Path) -> None:
    wall = Wall()
    with restarted(tmp_path / "a.sqlite", wall) as mock:
        task = mock.clip(hook=HOOK)
        mock.wait(3)
    wall.at += 3_600_000

    with restarted(tmp_path / "a.sqlite", wall) as again:
        again.settle()
        assert again.state(task) == "done"
        ledger = again.deliveries()

    assert states(mock.receivers.calls) == ["working"]
    assert states(again.receivers.calls) == ["done"]
    assert again.receivers.calls[0].json["changed"] == "2026-01-01T12:00:12.000Z"
    assert [one["status"] for one in ledger] == ["delivered", "delivered"]


def test_a_restart_goes_on_trying(tmp_path: Path) -> None:
    wall = Wall()
    with restarted(tmp_path / "a.sqlite", wall) as mock:
        mock.receivers.always[HOOK] = 500
        mock.clip(hook=HOOK)
        mock.wait(3.5)

    with restarted(tmp_path / "a.sqlite", wall) as again:
        again.wait(60)
        first = again.deliveries()[0]

    assert times(mock.receivers.calls) == [2_000, 3_000]
    assert times(again.receivers.calls) == [7_000, 12_000]
    assert mock.receivers.calls[0].body == again.receivers.calls[0].body
    assert mock.receivers.calls[0].headers["webhook-id"] == again.receivers.calls[0].headers["webhook-id"]
    assert len(first["attempts"]) == 3


def test_a_restart_sends_again_what_was_under_way(tmp_path: Path) -> None:
    wall = Wall()
    with restarted(tmp_path / "a.sqlite", wall) as mock:
        mock.receivers.always[HOOK] = SLOW
        mock.clip(hook=HOOK)
        mock.wait(2.5)

    with restarted(tmp_path / "a.sqlite", wall) as again:
        again.settle()

    assert states(mock.receivers.calls) == states(again.receivers.calls) == ["working"]


def test_a_restart_without_the_provider_keeps_its_news_for_later(tmp_path: Path) -> None:
    wall = Wall()
    with restarted(tmp_path / "a.sqlite", wall) as mock:
        mock.clip(hook=HOOK)
    wall.at += 60_000

    with restarted(tmp_path / "a.sqlite", wall, LIBRARY[0]) as without:
        without.wait(60)
    with restarted(tmp_path / "a.sqlite", wall) as again:
        again.settle()

    assert without.receivers.calls == []
    assert states(again.receivers.calls) == ["working", "done"]


def test_a_restart_leaves_a_clock_at_rest_at_rest(tmp_path: Path) -> None:
    wall = Wall()
    with restarted(tmp_path / "a.sqlite", wall) as mock:
        mock.freeze()
        mock.clip(hook=HOOK)
    wall.at += 3_600_000

    with restarted(tmp_path / "a.sqlite", wall) as again:
        again.wait(60)
        assert again.receivers.calls == []

        again.advance("PT3S")

    assert states(again.receivers.calls) == ["working"]


def test_a_stopped_server_lets_go_of_its_receivers() -> None:
    with Mock() as mock:
        mock.receivers.always[HOOK] = slow(1_000)
        mock.clip(hook=HOOK)
        mock.wait(2.5)

    assert mock.receivers.is_closed


def test_a_timer_is_looked_at_again_after_an_hour() -> None:
    assert module.LONGEST_SLEEP == 3_600
    with Mock(speed=0.001) as mock:
        mock.clip(hook=HOOK)

        mock.wait(2_001)
        assert states(mock.receivers.calls) == ["working"]
        mock.wait(10_000)

    assert states(mock.receivers.calls) == ["working", "done"]
