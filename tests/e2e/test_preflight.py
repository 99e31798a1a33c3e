"""The hooks of pre-flight in the libraries they are for, against a real server and a stand-in for the paid hosts.

Requests to paid hosts go through a proxy on this machine, which answers them itself: none of them leaves.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import socket
import socketserver
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

import validator.preflight.httpx as httpx_hook
import validator.preflight.requests as requests_hook
from tests.e2e.running import START_S, World
from tests.providers import contract
from validator.preflight import NotSent, Preflight, PreflightError, PreflightWarning, SpendError, SpendGuard
from validator.preflight.aiohttp import PreflightMiddleware
from validator.preflight.urllib import PreflightHandler

HOST = "http://api.klingai.com"
PATH = "/v1/videos/text2video"
HEADERS = {
    "Authorization": "Bearer test-key-0123456789-abcdefghijklmnop",
    "Content-Type": "application/json",
    "X-Trace": "a, b",
}
GOOD = b'{"prompt": "A paper boat",  "mode": "std"}'
BAD = b'{"prompt": "A paper boat", "mode": "std", "model_name": "kling-v2-6", "sound": "on"}'
ANSWER = b'{"code":0,"message":"SUCCEED","data":{}}'


class Paid(socketserver.ThreadingTCPServer):
    """What stands where the paid hosts would be: keeps each request byte for byte, answers as `script` says.

    An entry of the script is a status, a URL to redirect to (307), or None to hang up without a word; behind its
    end, every answer is 200.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        self.script: list[int | str | None] = []
        self.received: list[bytes] = []
        self.lock = threading.Lock()

    def bodies(self) -> list[bytes]:
        return [one.partition(b"\r\n\r\n")[2] for one in self.received]


class Conversation(socketserver.StreamRequestHandler):
    server: Paid

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.rfile.readline()):
                return
            head += line
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
        body = self.rfile.read(int(fields.get(b"content-length", 0)))
        if fields.get(b"transfer-encoding") == b"chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        with self.server.lock:
            self.server.received.append(head + body)
            answer = self.server.script.pop(0) if self.server.script else 200
        if answer is None:
            return
        location = f"Location: {answer}\r\n" if isinstance(answer, str) else ""
        status = 307 if isinstance(answer, str) else answer
        self.wfile.write(
            f"HTTP/1.1 {status} X\r\n{location}Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(ANSWER)}\r\n\r\n".encode()
            + ANSWER
        )


@pytest.fixture
def paid() -> Iterator[Paid]:
    with Paid() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# --- one way to send for each hook ------------------------------------------------------------------------

Send = Callable[..., int]
"""(preflight or None, method, URL, body, headers, proxy) -> status; redirects are followed."""


def with_httpx(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    sending: httpx.BaseTransport = httpx.HTTPTransport(proxy=proxy, verify=False)
    if preflight is not None:
        sending = httpx_hook.PreflightTransport(preflight, sending)
    with httpx.Client(transport=sending, verify=False, timeout=START_S, follow_redirects=True) as client:
        return client.request(method, url, content=body, headers=headers).status_code


def with_httpx_installed(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    with httpx.Client(
        proxy=proxy, timeout=START_S, follow_redirects=True, trust_env=False, verify=False
    ) as client:
        if preflight is not None:
            httpx_hook.install(client, preflight)
        return client.request(method, url, content=body, headers=headers).status_code


def with_async_httpx(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    async def main() -> int:
        sending: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(proxy=proxy, verify=False)
        if preflight is not None:
            sending = httpx_hook.AsyncPreflightTransport(preflight, sending)
        async with httpx.AsyncClient(
            transport=sending, verify=False, timeout=START_S, follow_redirects=True
        ) as client:
            return (await client.request(method, url, content=body, headers=headers)).status_code

    return asyncio.run(main())


def with_async_httpx_installed(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    async def main() -> int:
        async with httpx.AsyncClient(
            proxy=proxy, timeout=START_S, follow_redirects=True, trust_env=False, verify=False
        ) as client:
            if preflight is not None:
                httpx_hook.install(client, preflight)
            return (await client.request(method, url, content=body, headers=headers)).status_code

    return asyncio.run(main())


def with_requests(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    with requests.Session() as session:
        session.trust_env = False
        if preflight is not None:
            requests_hook.install(session, preflight)
        proxies = {"http": proxy, "https": proxy} if proxy else None
        answer = session.request(method, url, data=body, headers=headers, proxies=proxies, timeout=START_S)
        return answer.status_code


def with_aiohttp(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    async def main() -> int:
        hooks = (PreflightMiddleware(preflight),) if preflight is not None else ()
        async with (
            aiohttp.ClientSession(middlewares=hooks, timeout=aiohttp.ClientTimeout(START_S)) as session,
            session.request(method, url, data=body, headers=headers, proxy=proxy) as answer,
        ):
            return answer.status

    return asyncio.run(main())


def with_urllib(
    preflight: Preflight | None, method: str, url: str, body: Any, headers: Any, proxy: str | None
) -> int:
    handlers: list[Any] = [urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {})]
    if preflight is not None:
        handlers.append(PreflightHandler(preflight))
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=START_S) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


WAYS: dict[str, Send] = {
    "httpx": with_httpx,
    "httpx-installed": with_httpx_installed,
    "httpx-async": with_async_httpx,
    "httpx-async-installed": with_async_httpx_installed,
    "requests": with_requests,
    "aiohttp": with_aiohttp,
    "urllib": with_urllib,
}
CANNOT_TELL = ("httpx-installed", "httpx-async-installed", "urllib")
"""Those whose hook does not see why there was no answer."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def send(way: str) -> Send:
    def sender(
        preflight: Preflight | None,
        url: str,
        body: Any = GOOD,
        *,
        method: str = "POST",
        headers: Any = HEADERS,
        proxy: str | None = None,
    ) -> int:
        return WAYS[way](preflight, method, url, body, headers, proxy)

    return sender


def guarded(**settings: Any) -> tuple[Preflight, SpendGuard]:
    guard = SpendGuard(environment={}, **settings)
    return Preflight(contract("kling"), guard=guard), guard


# --- in front of understudy -------------------------------------------------------------------------------


def test_a_good_request_makes_its_task_and_a_bad_one_does_not_arrive(send: Send, world: World) -> None:
    preflight, guard = guarded(allow=False)
    url = world.base("kling") + PATH

    status = send(preflight, url)
    with pytest.raises(PreflightError, match="this model and mode make no sound"):
        send(preflight, url, BAD)

    assert (200, 1) == (status, len(world.tasks()))
    assert 1 == len(world.admin("GET", "/requests")["requests"])
    (line,) = guard.spent.lines
    assert ("createText2Video", False, 1, 1, 1.0) == (
        line.operation,
        line.is_paid,
        line.requests,
        line.taken,
        line.units,
    )


def test_a_bad_request_is_sent_with_a_warning_that_points_here(way: str, send: Send, world: World) -> None:
    preflight = Preflight(contract("kling"), on_bad="warn")

    with pytest.warns(
        PreflightWarning, match="was sent although kling createText2Video would refuse it"
    ) as caught:
        status = send(preflight, world.base("kling") + PATH, BAD)

    assert 400 == status
    assert "createText2Video" == world.admin("GET", "/requests")["requests"][0]["operation"]
    assert __file__ == caught[0].filename


def test_the_verdict_before_is_the_one_behind(send: Send, world: World) -> None:
    """What pre-flight says of a request is what the server says of it, byte for byte the same request."""
    verdicts = []
    preflight = Preflight(
        contract("kling"), on_bad="ignore", on_look=lambda one: verdicts.append(one.report.verdict)
    )
    url = world.base("kling") + PATH

    for body in (GOOD, BAD, b"{}", b"[]", b"nonsense", json.dumps({"prompt": "ß" * 2_501}).encode()):
        send(preflight, url, body)
    send(preflight, url, GOOD, headers={"Content-Type": "application/json"})
    send(preflight, url, GOOD, headers={**HEADERS, "Content-Type": "text/plain"})
    send(preflight, f"{url}?pageSize=9000", None, method="GET")

    seen = [one["verdict"] for one in world.admin("GET", "/requests")["requests"]][::-1]
    assert seen == verdicts
    assert {"accepted", "refused"} == set(verdicts)


# --- in front of the paid hosts ---------------------------------------------------------------------------


def test_a_paid_host_is_not_called_unless_told(send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=False)

    with pytest.raises(SpendError, match=r"costs about 1 unit \(0.14 USD\)"):
        send(preflight, HOST + PATH, proxy=paid.origin)
    with pytest.raises(SpendError, match="reads=True"):
        send(preflight, f"{HOST}{PATH}/1", None, method="GET", proxy=paid.origin)

    assert [] == paid.received
    assert {"not-allowed": 2} == guard.spent.held_back


def test_nothing_of_a_request_is_changed(send: Send, paid: Paid) -> None:
    preflight, _ = guarded(allow="kling")

    for hook in (None, preflight):
        for body, method in ((GOOD, "POST"), (None, "GET")):
            send(hook, f"{HOST}{PATH}?pageNum=1&x=%7e+y", body, method=method, proxy=paid.origin)

    plain, hooked = paid.received[:2], paid.received[2:]
    assert plain == hooked
    assert GOOD == paid.bodies()[2]


def test_what_is_for_nobody_passes(send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=False)

    for hook in (None, preflight):
        send(hook, "http://shop.example/kling/v1/videos/text2video", BAD, proxy=paid.origin)
        send(hook, f"{paid.origin}/anything", b"", method="PUT")

    assert paid.received[:2] == paid.received[2:]
    assert () == guard.spent.lines


def test_what_became_of_a_request_decides_what_it_cost(send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=True)
    paid.script = [200, 429, 503, None, 504]

    for number in range(5):
        try:
            send(preflight, HOST + PATH, json.dumps({"prompt": f"boat {number}"}).encode(), proxy=paid.origin)
        except (httpx.RemoteProtocolError, requests.ConnectionError, aiohttp.ClientError, OSError):
            assert 3 == number

    (line,) = guard.spent.lines
    assert (5, 1, 2, 2) == (line.requests, line.taken, line.refused, line.unanswered)
    assert (1.0, 2.0) == (line.units, line.units_unanswered)


def test_a_lost_answer_is_not_asked_for_by_paying_again(send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=True, equal_within_s=math.inf)
    paid.script = [429, None]

    send(preflight, HOST + PATH, proxy=paid.origin)
    with pytest.raises((httpx.RemoteProtocolError, requests.ConnectionError, aiohttp.ClientError, OSError)):
        send(preflight, HOST + PATH, proxy=paid.origin)
    with pytest.raises(SpendError, match="may have been taken, no answer has come"):
        send(preflight, HOST + PATH, proxy=paid.origin)

    assert 2 == len(paid.received)
    assert {"equal": 1} == guard.spent.held_back


def test_a_connection_that_was_never_made_costs_nothing(way: str, send: Send) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        preflight = Preflight(
            contract("kling"), gateways={nobody: "kling"}, guard=SpendGuard(allow=True, environment={})
        )

        with pytest.raises(
            (httpx.ConnectError, requests.ConnectionError, aiohttp.ClientConnectorError, OSError)
        ):
            send(preflight, nobody + PATH)

    assert preflight.guard is not None
    lines = preflight.guard.spent.lines
    assert [1] * (way in CANNOT_TELL) == [one.unanswered for one in lines]


def test_a_proxy_that_is_not_there_costs_nothing(way: str, send: Send) -> None:
    preflight, guard = guarded(allow=True)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))

        with pytest.raises(
            (httpx.ConnectError, requests.ConnectionError, aiohttp.ClientConnectorError, OSError)
        ):
            send(preflight, HOST + PATH, proxy=f"http://127.0.0.1:{unheard.getsockname()[1]}")

    assert [1] * (way in CANNOT_TELL) == [one.unanswered for one in guard.spent.lines]


def test_a_proxy_that_lets_nobody_through_costs_nothing(way: str, send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=True)
    paid.script = [403]

    with pytest.raises(
        (httpx.ProxyError, requests.exceptions.ProxyError, aiohttp.ClientHttpProxyError, OSError)
    ):
        send(preflight, HOST.replace("http:", "https:") + PATH, proxy=paid.origin)

    assert paid.received[0].startswith(b"CONNECT api.klingai.com:443 ")
    assert [1] * (way in CANNOT_TELL) == [one.unanswered for one in guard.spent.lines]


def test_a_redirect_is_looked_at_where_it_leads(send: Send, paid: Paid, way: str) -> None:
    # Libraries take the credential off a request that they redirect to another host; the guard minds first.
    guard = SpendGuard(allow=False, environment={})
    preflight = Preflight(contract("kling"), on_bad="ignore", guard=guard)
    paid.script = [HOST + PATH]

    # urllib follows no redirect of a POST that keeps it one, and a GET to a paid host is held back as well.
    method, body = ("GET", None) if way == "urllib" else ("POST", GOOD)
    with pytest.raises(SpendError) as caught:
        send(preflight, "http://elsewhere.example/start", body, method=method, proxy=paid.origin)

    assert {"not-allowed": 1} == guard.spent.held_back
    assert (method, HOST + PATH, 1) == (caught.value.method, caught.value.url, len(paid.received))


# urllib follows no redirect of a POST that keeps it one.
@pytest.mark.parametrize("way", [name for name in WAYS if name != "urllib"], indirect=True)
def test_a_redirected_submit_costs_once(send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=True, equal_within_s=math.inf)
    paid.script = [HOST + PATH]

    assert 200 == send(preflight, HOST + PATH, proxy=paid.origin)

    (line,) = guard.spent.lines
    assert (2, 1, 1, 1.0) == (line.requests, line.taken, line.refused, line.units)
    assert [GOOD, GOOD] == paid.bodies()


def stream(way: str) -> Any:
    """Return a body that can be read once."""
    if way.startswith("httpx-async") or way == "aiohttp":

        async def parts() -> Any:
            for start in range(0, len(GOOD), 10):
                yield GOOD[start : start + 10]

        return parts()
    return (GOOD[start : start + 10] for start in range(0, len(GOOD), 10))


def test_a_stream_arrives_whole_and_is_said_to_be_unchecked(way: str, send: Send, paid: Paid) -> None:
    preflight, guard = guarded(allow=True)

    with pytest.warns(PreflightWarning, match="the body was not looked at: it is a "):
        send(preflight, HOST + PATH, stream(way), proxy=paid.origin)

    assert [GOOD] == paid.bodies()
    assert (1, 0.0) == (guard.spent.lines[0].unpriced, guard.spent.lines[0].units)


def test_a_stream_stays_here_where_doubts_are_refused(way: str, send: Send, paid: Paid) -> None:
    preflight = Preflight(contract("kling"), on_doubt="refuse")
    body = stream(way)

    with pytest.raises(PreflightError, match="was not sent: the body was not looked at"):
        send(preflight, HOST + PATH, body, proxy=paid.origin)

    assert [] == paid.received


@pytest.mark.parametrize("way", ["requests", "aiohttp", "urllib"], indirect=True)
def test_bytes_that_can_be_changed_are_bytes(send: Send, paid: Paid) -> None:
    preflight = Preflight(contract("kling"))

    send(preflight, HOST + PATH, bytearray(GOOD), proxy=paid.origin)
    with pytest.raises(PreflightError):
        send(preflight, HOST + PATH, bytearray(BAD), proxy=paid.origin)

    assert [GOOD] == paid.bodies()


@pytest.mark.parametrize("way", ["requests", "aiohttp", "urllib"], indirect=True)
def test_a_file_is_not_read_before_it_is_sent(way: str, send: Send, paid: Paid) -> None:
    with pytest.warns(PreflightWarning, match="it is a file"):
        send(Preflight(contract("kling")), HOST + PATH, io.BytesIO(GOOD), proxy=paid.origin)

    assert [GOOD] == paid.bodies()


def test_a_retry_is_looked_at_again(send: Send, paid: Paid) -> None:
    """The loop that every client has: what it changes between two attempts is judged as well."""
    preflight, guard = guarded(allow=True)
    paid.script = [503]

    assert 503 == send(preflight, HOST + PATH, proxy=paid.origin)
    with pytest.raises(PreflightError):
        send(preflight, HOST + PATH, BAD, proxy=paid.origin)
    assert 200 == send(preflight, HOST + PATH, proxy=paid.origin)

    assert (2, 1) == (guard.spent.lines[0].requests, guard.spent.lines[0].taken)


def test_no_error_of_ours_is_one_that_a_library_tries_again() -> None:
    theirs = (
        httpx.HTTPError,
        requests.RequestException,
        aiohttp.ClientError,
        OSError,
        urllib3.exceptions.HTTPError,
    )

    assert not issubclass(NotSent, theirs)


# --- httpx ------------------------------------------------------------------------------------------------


def test_httpx_json_is_judged_and_forms_are_refused(paid: Paid) -> None:
    preflight, _ = guarded(allow=True)
    with httpx.Client(
        transport=httpx_hook.PreflightTransport(
            preflight, httpx.HTTPTransport(proxy=paid.origin, verify=False)
        ),
        base_url=HOST,
        headers=HEADERS,
    ) as client:
        client.post(PATH, json={"prompt": "ein Boot, größer"})
        with pytest.raises(PreflightError, match="mode"):
            client.post(PATH, json={"prompt": "a", "mode": "fast"})
        plain = {"Content-Type": "application/x-www-form-urlencoded"}
        with pytest.raises(PreflightError, match="the body must be application/json"):
            client.post(PATH, data={"prompt": "a"}, headers=plain)
        several = httpx.Request(
            "POST", HOST + PATH, files={"image": b"..."}, headers={"Authorization": "Bearer " + "k" * 40}
        )
        with pytest.raises(PreflightError, match="the body must be application/json"):
            client.send(several)

    assert 1 == len(paid.received)


def test_httpx_without_a_wrapped_transport_has_a_plain_one(world: World) -> None:
    preflight, _ = guarded(allow=False)
    url = world.base("kling") + PATH

    async def main() -> int:
        async with httpx.AsyncClient(transport=httpx_hook.AsyncPreflightTransport(preflight)) as client:
            return (await client.post(url, content=GOOD, headers=HEADERS)).status_code

    with httpx.Client(transport=httpx_hook.PreflightTransport(preflight)) as client:
        assert 200 == client.post(url, content=GOOD, headers=HEADERS).status_code
    assert 200 == asyncio.run(main())


def test_httpx_closes_what_it_wraps() -> None:
    class Wrapped(httpx.BaseTransport):
        said: list[str] = []

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(204)

        def __enter__(self) -> Any:
            self.said.append("open")
            return self

        def __exit__(self, *_: object) -> None:
            self.said.append("exit")

        def close(self) -> None:
            self.said.append("close")

    transport = httpx_hook.PreflightTransport(guarded(allow=True)[0], Wrapped())
    with httpx.Client(transport=transport) as client:
        client.get("http://anything.example/")
    transport.close()

    assert ["open", "exit", "close"] == Wrapped.said


def test_httpx_hook_comes_off_a_client_and_leaves_the_others_on(paid: Paid) -> None:
    preflight, guard = guarded(allow=True)
    seen: list[str] = []
    hooks: Any = {
        "request": [lambda request: seen.append("request")],
        "response": [lambda answer: seen.append("response")],
    }
    with httpx.Client(
        proxy=paid.origin, trust_env=False, verify=False, event_hooks=hooks, headers=HEADERS
    ) as client:
        with httpx_hook.install(client, preflight) as installed:
            client.post(HOST + PATH, content=GOOD)
            with pytest.raises(PreflightError):
                client.post(HOST + PATH, content=BAD)
        installed.remove()
        client.post(HOST + PATH, content=BAD)

        assert ["request", "response", "request", "request", "response"] == seen
        assert {"request": hooks["request"], "response": hooks["response"]} == client.event_hooks
    assert (1, 1) == (guard.spent.lines[0].requests, guard.spent.lines[0].taken)


def test_a_hook_is_put_on_once(session: requests.Session) -> None:
    preflight = Preflight(contract("kling"))
    with (
        httpx.Client(verify=False) as client,
        httpx_hook.install(client, preflight),
        pytest.raises(ValueError, match="has the hook already"),
    ):
        httpx_hook.install(client, preflight)
    with requests_hook.install(session, preflight), pytest.raises(ValueError, match="has the hook already"):
        requests_hook.install(session, preflight)

    requests_hook.install(session, preflight)


def test_httpx_hook_sees_what_authentication_and_earlier_hooks_made_of_a_request(paid: Paid) -> None:
    class Auth(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            request.headers["Authorization"] = "Bearer " + "k" * 40
            yield request

    with httpx.Client(proxy=paid.origin, trust_env=False, verify=False, auth=Auth()) as client:
        httpx_hook.install(client, guarded(allow=True)[0])

        assert 200 == client.post(HOST + PATH, json={"prompt": "a"}).status_code


# --- urllib -----------------------------------------------------------------------------------------------


def test_urllib_adds_a_content_type_that_is_judged_like_any_other(paid: Paid) -> None:
    headers = {"Authorization": HEADERS["Authorization"]}

    with pytest.raises(PreflightError, match=r"application/json \(found application/x-www-form-urlencoded\)"):
        with_urllib(Preflight(contract("kling")), "POST", HOST + PATH, GOOD, headers, paid.origin)

    assert [] == paid.received


# --- requests ---------------------------------------------------------------------------------------------


@pytest.fixture
def session(paid: Paid) -> Iterator[requests.Session]:
    with requests.Session() as one:
        one.trust_env = False
        one.proxies = {"http": paid.origin}
        one.headers.update(HEADERS)
        yield one


def test_requests_hook_comes_off_a_session(session: requests.Session, paid: Paid) -> None:
    preflight, guard = guarded(allow=True)
    before = dict(session.adapters)

    with requests_hook.install(session, preflight) as installed:
        session.post(HOST + PATH, json={"prompt": "a"})
        with pytest.raises(PreflightError):
            session.post(HOST + PATH, data=BAD)
        own = requests.adapters.HTTPAdapter()
        session.mount("http://", own)
    installed.remove()

    assert {**before, "http://": own} == dict(session.adapters)
    assert (1, 1) == (guard.spent.lines[0].requests, len(paid.received))


def test_requests_takes_texts_and_bytes_as_it_always_did(session: requests.Session, paid: Paid) -> None:
    requests_hook.install(session, Preflight(contract("kling")))
    key = b"Bearer test-key-0123456789-abcdefghijklmnop"

    session.post(HOST + PATH, data='{"prompt": "größer"}'.encode(), headers={"Authorization": key})
    session.post(HOST + PATH, data='{"prompt": "größer"}')
    with pytest.raises(PreflightError, match="the body must be application/json"):
        session.post(HOST + PATH, data={"prompt": "a"}, headers={"Content-Type": None})
    with pytest.raises(PreflightError, match="the body must be application/json"):
        session.post(HOST + PATH, files={"image": b"..."}, headers={"Content-Type": None})

    first, second = paid.bodies()
    assert first == second == '{"prompt": "größer"}'.encode()


def test_requests_that_the_adapter_sends_again_by_itself_are_counted(
    session: requests.Session, paid: Paid
) -> None:
    preflight, guard = guarded(allow=True)
    retry = urllib3.Retry(total=5, allowed_methods=None, status_forcelist=[503], backoff_factor=0)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    requests_hook.install(session, preflight)
    paid.script = [503, None, 200]

    assert 200 == session.post(HOST + PATH, data=GOOD).status_code

    (line,) = guard.spent.lines
    assert (3, 3, 1, 1, 1) == (len(paid.received), line.requests, line.taken, line.refused, line.unanswered)
    assert (1.0, 1.0) == (line.units, line.units_unanswered)


def test_requests_with_an_address_that_is_none_cost_nothing(session: requests.Session) -> None:
    preflight, guard = guarded(allow=True)
    requests_hook.install(session, preflight)

    with pytest.raises(requests.exceptions.InvalidProxyURL):
        session.post(HOST + PATH, data=GOOD, proxies={"http": "http:///nowhere"})

    assert () == guard.spent.lines


# --- aiohttp ----------------------------------------------------------------------------------------------


def test_aiohttp_json_is_judged_and_forms_are_refused(paid: Paid) -> None:
    preflight, guard = guarded(allow=True)

    async def main() -> None:
        async with aiohttp.ClientSession(
            HOST, middlewares=(PreflightMiddleware(preflight),), proxy=paid.origin
        ) as session:
            key = {"Authorization": HEADERS["Authorization"]}
            async with session.post(PATH, json={"prompt": "größer"}, headers=key) as answer:
                assert 200 == answer.status
            async with session.post(PATH, data='{"prompt": "größer"}', headers=HEADERS) as answer:
                assert 200 == answer.status
            with pytest.raises(PreflightError, match="mode"):
                await session.post(PATH, json={"prompt": "a", "mode": "fast"}, headers=key)
            with pytest.raises(PreflightError, match="the body must be application/json"):
                await session.post(PATH, data={"prompt": "a"}, headers=key)
            form = aiohttp.FormData()
            form.add_field("image", b"...", filename="a.png")
            with pytest.raises(PreflightError, match="the body must be application/json"):
                await session.post(PATH, data=form, headers=key)
            with pytest.warns(PreflightWarning, match=r"it is packed \(deflate\)"):
                await session.post(PATH, json={"prompt": "a"}, headers=key, compress="deflate")

    asyncio.run(main())
    assert (3, 3) == (len(paid.received), guard.spent.lines[0].taken)


def test_tasks_do_not_spend_past_a_budget_together(paid: Paid) -> None:
    preflight, guard = guarded(allow=True, budget=5)

    async def submit(session: aiohttp.ClientSession, number: int) -> int:
        body = json.dumps({"prompt": f"boat {number}"}).encode()
        try:
            async with session.post(HOST + PATH, data=body, headers=HEADERS) as answer:
                return answer.status
        except SpendError:
            return 0

    async def main() -> list[int]:
        async with aiohttp.ClientSession(
            middlewares=(PreflightMiddleware(preflight),), proxy=paid.origin
        ) as session:
            return await asyncio.gather(*(submit(session, number) for number in range(20)))

    statuses = asyncio.run(main())
    assert [0] * 15 + [200] * 5 == sorted(statuses)
    assert (5, 5.0) == (len(paid.received), guard.spent.units("kling"))


def test_a_task_that_is_cancelled_leaves_its_request_as_perhaps_taken(paid: Paid) -> None:
    preflight, guard = guarded(allow=True)

    async def main(silent: socket.socket) -> None:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with aiohttp.ClientSession(
            middlewares=(PreflightMiddleware(preflight),), proxy=proxy
        ) as session:
            task = asyncio.ensure_future(session.post(HOST + PATH, data=GOOD, headers=HEADERS))
            connection, _ = await asyncio.get_running_loop().run_in_executor(None, silent.accept)
            with connection:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(main(silent))
    assert (1, 1.0) == (guard.spent.lines[0].unanswered, guard.spent.lines[0].units_unanswered)


# --- one guard for a program ------------------------------------------------------------------------------


def test_one_guard_counts_for_all_libraries(paid: Paid) -> None:
    preflight, guard = guarded(allow=True, equal_within_s=math.inf)

    for number, sender in enumerate(WAYS.values()):
        body = json.dumps({"prompt": f"boat {number}"}).encode()
        sender(preflight, "POST", HOST + PATH, body, HEADERS, paid.origin)
    for sender in WAYS.values():
        with pytest.raises(SpendError, match="was taken, so this would be paid twice"):
            sender(preflight, "POST", HOST + PATH, body, HEADERS, paid.origin)

    assert (7, 7.0) == (len(paid.received), guard.spent.units("kling"))


def test_warnings_that_are_errors_keep_a_request_here(send: Send, paid: Paid) -> None:
    preflight = Preflight(contract("kling"), on_bad="warn", guard=SpendGuard(allow=True, environment={}))

    with warnings.catch_warnings():
        warnings.simplefilter("error", PreflightWarning)
        with pytest.raises(PreflightWarning):
            send(preflight, HOST + PATH, BAD, proxy=paid.origin)

    assert preflight.guard is not None
    assert ([], ()) == (paid.received, preflight.guard.spent.lines)
