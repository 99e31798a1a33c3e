"""Every scenario of the atlas, for every provider, as a client on a real socket sees it."""

from __future__ import annotations

import gzip
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from mockserver.scenarios import SCENARIOS
from tests.e2e.conftest import tenant_name
from tests.e2e.receiver import Receiver, signature
from tests.e2e.running import Running, World
from validator.contract.expressions import MISSING, find_member

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER_SECRET = "another-secret-of-thirty-two-chars"
KEY = "0123456789abcdef0123456789abcdef"
AGES = "P1D"


@dataclass(frozen=True)
class Shape:
    """Where a provider's API has what a client needs; pointers into its bodies."""

    create: str
    body: dict[str, Any]
    read: str
    id: str
    status: str
    url: str
    header: str = "authorization"
    hook: str = ""
    working: str = ""
    done: str = ""
    failed: str = ""
    why: str = ""
    notices: int = 0
    listing: str = ""


SHAPES = {
    "kling": Shape(
        create="/v1/videos/text2video",
        body={"prompt": "A paper boat"},
        read="/v1/videos/text2video/{id}",
        listing="/v1/videos/text2video",
        id="/data/task_id",
        status="/data/task_status",
        url="/data/task_result/videos/0/url",
        hook="callback_url",
        working="processing",
        done="succeed",
        failed="failed",
        why="/data/task_status_msg",
        notices=2,
    ),
    "magnific": Shape(
        create="/v1/ai/video/kling-4k-t2v",
        body={"prompt": "A paper boat"},
        read="/v1/ai/video/kling-4k-t2v/{id}",
        listing="/v1/ai/video/kling-4k-t2v",
        id="/data/task_id",
        status="/data/status",
        url="/data/generated/0",
        header="x-magnific-api-key",
        hook="webhook_url",
        working="IN_PROGRESS",
        done="COMPLETED",
        failed="FAILED",
        notices=2,
    ),
    "aimlapi": Shape(
        create="/v2/video/generations",
        body={
            "model": "kling-video/v1/standard/image-to-video",
            "image_url": "https://example.com/boat.png",
            "prompt": "A paper boat",
            "duration": 5,
        },
        read="/v2/video/generations?generation_id={id}",
        id="/id",
        status="/status",
        url="/video/url",
        working="generating",
        done="completed",
        failed="error",
        why="/error/message",
    ),
    "modellix": Shape(
        create="/api/v1/kling/kling-v1-i2v",
        body={"image": "https://example.com/boat.png"},
        read="/api/v1/tasks/{id}",
        id="/data/task_id",
        status="/data/status",
        url="/data/result/resources/0/url",
        hook="X-Webhook-URL",
        working="processing",
        done="success",
        failed="failed",
        notices=1,
    ),
}


class Client:
    """A client of one provider on a tenant of its own, whose clock stands still."""

    def __init__(self, server: Running, provider: str, name: str) -> None:
        self.provider, self.shape = provider, SHAPES[provider]
        self.world = World(server, tenant_name(name))
        self.world.freeze()
        bearer = self.shape.header == "authorization"
        self.headers = {self.shape.header: f"Bearer {KEY}" if bearer else KEY}

    def create(self, prefer: str = "", *, hook: str = "", **more: Any) -> httpx.Response:
        """Ask for a video."""
        body, headers = dict(self.shape.body), dict(self.headers)
        if hook and self.shape.hook.startswith("X-"):
            headers[self.shape.hook] = hook
        elif hook:
            body[self.shape.hook] = hook
        if prefer:
            headers["prefer"] = f"scenario={prefer}"
        return self.world.post(f"/{self.provider}{self.shape.create}", body, headers=headers, **more)

    def made(self, prefer: str = "", *, hook: str = "") -> str:
        """Ask for a video that is accepted, with a scenario that is met; return the task's id."""
        answer = self.create(prefer, hook=hook)
        assert answer.status_code == 200, answer.text
        if prefer:
            assert prefer.partition(";")[0] in answer.headers["x-mock-scenario"], answer.headers
        return self.part(answer, self.shape.id)

    def read(self, task: str, prefer: str = "") -> httpx.Response:
        """Poll."""
        headers = self.headers | ({"prefer": f"scenario={prefer}"} if prefer else {})
        return self.world.get(f"/{self.provider}{self.shape.read.format(id=task)}", headers=headers)

    def status(self, task: str) -> str:
        """Return the word a poll shows."""
        answer = self.read(task)
        assert answer.status_code == 200, answer.text
        return self.part(answer, self.shape.status)

    def ran(self, prefer: str, *, hook: str = "", by: str = AGES) -> str:
        """Ask for a video and let time pass; return the task's id."""
        task = self.made(prefer, hook=hook)
        self.world.advance("PT10M" if by == AGES else by)
        return task

    def file(self, task: str) -> str:
        """Return the address of the result."""
        return self.part(self.read(task), self.shape.url)

    def tasks(self) -> int:
        """Return how many tasks there are."""
        return len(self.world.tasks())

    @staticmethod
    def part(answer: httpx.Response, pointer: str) -> str:
        """Return what stands at a pointer of a body."""
        found = find_member(answer.json(), pointer)
        assert found is not MISSING, answer.text
        return str(found)


@pytest.fixture(scope="module")
def stage() -> Iterator[Running]:
    """A server that signs everything that can be signed."""
    with Running("--webhook-secret", f"kling={SECRET}", "--log", "off") as running:
        yield running


@pytest.fixture(params=list(SHAPES))
def client(stage: Running, request: pytest.FixtureRequest) -> Client:
    """A client of each provider in turn."""
    return Client(stage, request.param, request.node.name)


@pytest.fixture(params=[name for name, shape in SHAPES.items() if shape.hook])
def hooked(stage: Running, request: pytest.FixtureRequest) -> Client:
    """A client of each provider that calls back."""
    return Client(stage, request.param, request.node.name)


@pytest.fixture(params=["kling", "magnific"])
def signed(stage: Running, request: pytest.FixtureRequest) -> Client:
    """A client of each provider that signs; these tell of more than the end, too."""
    return Client(stage, request.param, request.node.name)


@pytest.fixture
def kling(stage: Running, request: pytest.FixtureRequest) -> Client:
    """A client of one provider, where all are alike."""
    return Client(stage, "kling", request.node.name)


def test_every_scenario_is_tried_here() -> None:
    tried = [name.removeprefix("test_") for name in vars(sys.modules[__name__]) if name.startswith("test_")]

    missing = [name for name in SCENARIOS if not any(one.startswith(name.replace("-", "_")) for one in tried)]

    assert [] == missing


# --- outcomes ---------------------------------------------------------------------------------------------


def test_success_is_a_run_without_a_fault_whatever_is_planned(client: Client) -> None:
    client.world.admin("POST", "/scenarios", {"scenario": "moderation-late"})

    fine, planned = client.ran("success"), client.ran("")

    assert client.shape.done == client.status(fine)
    assert client.shape.failed == client.status(planned)


def test_slow_takes_several_times_as_long(client: Client) -> None:
    usual, slow = client.made(), client.made("slow; factor=6")

    client.world.advance("PT5M")
    states = client.status(usual), client.status(slow)
    client.world.advance("PT30M")

    assert states == (client.shape.done, client.shape.working)
    assert client.shape.done == client.status(slow)


def test_moderation_at_create_makes_no_task(client: Client) -> None:
    answer = client.create("moderation-at-create")

    assert_refused(answer, client, NOT_VALID | {"kling": (400, '"code":1301')})
    assert client.tasks() == 0


def test_moderation_late_fails_when_the_task_would_have_been_done(client: Client) -> None:
    usual = client.made()
    task = client.made("moderation-late")
    seen = set()

    for _ in range(300):
        client.world.next_event()
        seen.add(client.status(task))
        if client.status(usual) == client.shape.done:
            break

    assert client.shape.working in seen
    assert client.shape.failed == client.status(task)
    if client.shape.why:
        assert "risk control" in client.part(client.read(task), client.shape.why)


def test_accepted_then_failed_fails_early_for_a_documented_reason(client: Client) -> None:
    task = client.made("accepted-then-failed")

    client.world.advance("PT30S")

    assert client.shape.failed == client.status(task)
    # Not all providers tell why; the control plane does, where a reason is documented at all.
    reasons = {"kling": "Failure to pass the risk control system", "magnific": ""}
    reasons |= {"aimlapi": reasons["kling"], "modellix": "Image pixel is invalid"}
    assert reasons[client.provider] == client.world.admin("GET", f"/tasks/{task}")["failure"]


def test_accepted_then_failed_takes_the_reason_that_is_named(kling: Client) -> None:
    task = kling.made("accepted-then-failed; reason=kling.image.pixels")
    kling.world.advance("PT1M")

    assert kling.part(kling.read(task), kling.shape.why) == "Image pixel is invalid"
    wrong = kling.create("accepted-then-failed; reason=kling.image.pixel")
    assert "did you mean 'kling.image.pixels'" in wrong.headers["x-mock-note"]
    assert "x-mock-scenario" not in wrong.headers


def test_stuck_processing_never_ends(client: Client) -> None:
    task = client.made("stuck-processing")

    # As long as the shortest retention allows.
    client.world.advance("PT23H")

    assert client.shape.working == client.status(task)


def test_canceled_where_it_exists(stage: Running) -> None:
    with_it, without = Client(stage, "modellix", "canceled"), Client(stage, "kling", "canceled")
    task = with_it.ran("canceled")

    assert with_it.status(task) == "canceled"
    answer = without.create("canceled")
    assert answer.status_code == 200
    assert "no state of this provider is canceled" in answer.headers["x-mock-note"]
    assert "preference-applied" not in answer.headers


def test_success_without_url_names_no_file(client: Client) -> None:
    task = client.ran("success-without-url")

    answer = client.read(task)

    assert client.shape.done == client.part(answer, client.shape.status)
    assert "/__media/" not in answer.text
    # One read alone can be so as well.
    other = client.ran("")
    assert "/__media/" not in client.read(other, "success-without-url").text
    assert "/__media/" in client.read(other).text


def test_unknown_status_is_a_word_that_no_page_knows(client: Client) -> None:
    task = client.made("unknown-status; status=paused_for_review")

    words = {client.status(task)}
    for _ in range(4):
        client.world.next_event()
        words.add(client.status(task))

    assert words == {"paused_for_review"}


def test_status_goes_back_and_on_again(client: Client) -> None:
    task = client.made("status-goes-back")
    words = [client.status(task)]

    for _ in range(6):
        client.world.next_event()
        words.append(client.status(task))

    assert words[0] == words[2] != words[1]
    assert words[1] == words[3] == client.shape.working
    assert words[-1] == client.shape.done


def test_poll_404_then_ok_finds_the_task_at_the_third_read(client: Client) -> None:
    task = client.made("poll-404-then-ok")
    unknown = client.read(
        "0" * 24 if client.provider != "magnific" else "a" * 8 + "-1111-4111-8111-" + "b" * 12
    )

    answers = [client.read(task) for _ in range(3)]

    codes = [answer.status_code for answer in answers]
    assert codes == [unknown.status_code, unknown.status_code, 200]
    assert unknown.status_code in (400, 404)


def test_channels_disagree_while_the_callback_says_done(hooked: Client, receiver: Receiver) -> None:
    task = hooked.made("channels-disagree; seconds=120", hook=receiver.url())

    while not receiver.received or hooked.shape.done not in receiver.received[-1].raw.decode():
        assert hooked.world.next_event(), "no callback told the end"

    assert hooked.shape.done != hooked.status(task)
    hooked.world.advance("PT2M")
    assert hooked.shape.done == hooked.status(task)


# --- refusals ---------------------------------------------------------------------------------------------

NOT_VALID = {
    "kling": (400, "is invalid"),
    "magnific": (400, "is not valid"),
    "aimlapi": (400, "Body validation error"),
    "modellix": (400, "Invalid parameters"),
}
"""The status and the words of a refusal, for each provider."""


def assert_refused(answer: httpx.Response, client: Client, words: dict[str, tuple[int, str]]) -> None:
    """Fail unless an answer has the provider's own status and words."""
    status, text = words[client.provider]
    assert (status, True) == (answer.status_code, text in answer.text), answer.text


def test_invalid_refuses_what_is_right(client: Client) -> None:
    answer = client.create("invalid")

    assert_refused(answer, client, NOT_VALID)
    assert client.tasks() == 0
    assert client.create().status_code == 200


def test_unauthorized_refuses_a_good_key(client: Client) -> None:
    assert client.create("unauthorized").status_code == 401
    assert client.create("unauthorized; reason=expired").status_code == 401


def test_key_revoked_midway_answers_first_and_refuses_then(client: Client) -> None:
    task = client.made("key-revoked-midway")

    codes = [client.read(task).status_code for _ in range(3)]

    assert codes == [200, 401, 401]
    assert client.create().status_code == 401
    # Another key is another account.
    client.headers = {client.shape.header: client.headers[client.shape.header] + "x"}
    assert client.create().status_code == 200
    client.headers = {client.shape.header: client.headers[client.shape.header][:-1]}
    client.world.admin("DELETE", "/scenarios")
    assert client.read(task).status_code == 200


def test_out_of_credits_has_the_status_of_the_provider(client: Client) -> None:
    expected = {"kling": 429, "magnific": 402, "aimlapi": 403, "modellix": 402}[client.provider]

    assert expected == client.create("out-of-credits").status_code


def test_concurrency_full_is_a_429(client: Client) -> None:
    words = {
        "kling": (429, '"code":1303'),
        "magnific": (429, "Too many requests"),
        "aimlapi": (429, "Too Many Requests"),
        "modellix": (429, "Concurrent limit exceeded"),
    }

    assert_refused(client.create("concurrency-full"), client, words)


def test_rate_limited_with_and_without_a_word_on_when_to_come_back(client: Client) -> None:
    own = client.create("rate-limited")
    timed = client.create("rate-limited; retry-after=7")
    silent = client.create("rate-limited; retry-after=none")

    words = {
        "kling": (429, '"code":1302'),
        "magnific": (429, "Too many requests"),
        "aimlapi": (429, "Too Many Requests"),
        "modellix": (429, "Rate limit exceeded"),
    }
    for one in (own, timed, silent):
        assert_refused(one, client, words)
    assert timed.headers["retry-after"] == "7"
    assert "retry-after" not in silent.headers
    task = client.made()
    assert client.read(task, "rate-limited").status_code == 429


def test_model_retired_is_refused(client: Client) -> None:
    assert_refused(client.create("model-retired"), client, NOT_VALID | {"kling": (404, '"code":1203')})
    assert client.tasks() == 0


def test_maintenance_is_a_5xx(client: Client) -> None:
    words = {
        "kling": (503, '"code":5001'),
        "magnific": (503, "Service Unavailable"),
        "aimlapi": (500, "under maintenance"),
        "modellix": (503, "Service unavailable"),
    }

    assert_refused(client.create("maintenance"), client, words)


def test_internal_error_is_a_500_with_or_without_a_task(client: Client) -> None:
    assert client.create("internal-error").status_code == 500
    assert client.tasks() == 0
    assert client.create("internal-error; accepted=yes").status_code == 500
    assert client.tasks() == 1


def test_timeout_at_gateway_leaves_it_open_whether_there_is_a_task(client: Client) -> None:
    words = {
        "kling": (504, '"code":5002'),
        "magnific": (503, "Service Unavailable"),
        "aimlapi": (504, "Generation timeout"),
        "modellix": (503, "Service unavailable"),
    }

    assert_refused(client.create("timeout-at-gateway"), client, words)
    assert client.tasks() == 0
    assert_refused(client.create("timeout-at-gateway; accepted=yes"), client, words)
    assert client.tasks() == 1


def test_http_200_with_error_code_has_no_task(client: Client) -> None:
    answer = client.create("http-200-with-error-code")

    assert answer.status_code == 200
    assert "message" in answer.text
    assert find_member(answer.json(), client.shape.id) is MISSING
    assert client.tasks() == 0


# --- transport --------------------------------------------------------------------------------------------


def test_latency_is_longer_than_a_client_waits(client: Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.create("latency; seconds=30", timeout=0.2)


@pytest.mark.parametrize("shape", ["fixed", "uniform; most=0.02", "lognormal; sigma=1; most=0.1"])
def test_latency_of_every_shape_ends(kling: Client, shape: str) -> None:
    answer = kling.create(f"latency; seconds=0.01; shape={shape}")

    assert answer.status_code == 200
    assert "latency" in answer.headers["x-mock-scenario"]


def test_reset_before_answer_leaves_nothing_behind(client: Client) -> None:
    with pytest.raises(httpx.ReadError, match=r"(?i)reset"):
        client.create("reset-before-answer")

    assert client.tasks() == 0


def test_reset_after_accept_leaves_a_task_that_nobody_knows_of(client: Client) -> None:
    with pytest.raises(httpx.ReadError, match=r"(?i)reset"):
        client.create("reset-after-accept")

    assert client.tasks() == 1


def test_truncated_body_ends_in_the_middle(client: Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        client.create("truncated-body")


def test_dribble_comes_in_pieces(kling: Client) -> None:
    body = json.dumps(kling.shape.body).encode()
    head = (
        f"POST /t/{kling.world.name}/kling{kling.shape.create} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {KEY}\r\nPrefer: scenario=dribble; seconds=0.5; pieces=10\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    pieces = []
    with socket.create_connection(("127.0.0.1", kling.world.server.port)) as link:
        link.sendall(head.encode() + body)
        while piece := link.recv(65_536):
            pieces.append(piece)

    assert len(pieces) >= 5
    _, _, received = b"".join(pieces).partition(b"\r\n\r\n")
    assert json.loads(received)["message"] == "SUCCEED"


def test_malformed_json_cannot_be_read(client: Client) -> None:
    answer = client.create("malformed-json")

    assert answer.status_code == 200
    assert len(answer.content) > 40
    assert answer.text.startswith("{")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_html_error_page_comes_where_json_was_expected(client: Client) -> None:
    answer = client.create("html-error-page")
    kept = client.create("html-error-page; status=504; accepted=yes")

    assert (answer.status_code, kept.status_code) == (502, 504)
    assert answer.headers["content-type"] == "text/html"
    assert answer.text.startswith("<html>")
    assert client.tasks() == 1


def test_wrong_content_type_says_something_else(client: Client) -> None:
    answer = client.create("wrong-content-type; type=text/plain")

    assert answer.headers["content-type"] == "text/plain"
    assert client.part(answer, client.shape.id)


def test_unknown_extra_fields_stand_in_every_object(client: Client) -> None:
    task = client.made()

    body = client.read(task, "unknown-extra-fields").json()

    def objects(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
            for name, member in value.items():
                yield from objects(member) if name != "x_unannounced" else ()
        elif isinstance(value, list):
            for item in value:
                yield from objects(item)

    assert all("x_unannounced" in one for one in objects(body))
    assert client.status(task)


def test_empty_body_has_a_status_and_nothing_else(client: Client) -> None:
    answer = client.create("empty-body")

    assert (answer.status_code, answer.content) == (200, b"")


def test_gzip_unasked_is_compressed_all_the_same(client: Client) -> None:
    client.headers |= {"accept-encoding": "identity"}
    with client.world.server.client.stream(
        "POST",
        f"{client.world.origin}/{client.provider}{client.shape.create}",
        json=client.shape.body,
        headers=client.headers | {"prefer": "scenario=gzip-unasked"},
    ) as answer:
        raw = b"".join(answer.iter_raw())

    assert answer.headers["content-encoding"] == "gzip"
    assert find_member(json.loads(gzip.decompress(raw)), client.shape.id) is not MISSING


# --- callbacks --------------------------------------------------------------------------------------------


def test_callback_lost_never_arrives(hooked: Client, receiver: Receiver) -> None:
    task = hooked.ran("callback-lost", hook=receiver.url())

    assert hooked.shape.done == hooked.status(task)
    assert [] == receiver.received
    ledger = hooked.world.deliveries()
    assert hooked.shape.notices == len(ledger)
    assert {"failed"} == {one["status"] for one in ledger}
    assert "lost on the way" in ledger[0]["attempts"][0]["error"]


def test_callback_duplicated_comes_again_with_the_same_id(hooked: Client, receiver: Receiver) -> None:
    hooked.ran("callback-duplicated; copies=3", hook=receiver.url())

    received = receiver.wait_for(3 * hooked.shape.notices)

    assert 3 * hooked.shape.notices == len(received)
    assert hooked.shape.notices == len({one.raw for one in received})
    names = [one.headers.get("webhook-id") or one.headers.get("x-modellix-delivery-id") for one in received]
    assert hooked.shape.notices == len(set(names))


def test_callback_late_comes_long_after_the_change(hooked: Client, receiver: Receiver) -> None:
    task = hooked.made("callback-late; seconds=3600", hook=receiver.url())
    hooked.world.advance("PT30M")

    assert hooked.shape.done == hooked.status(task)
    assert [] == receiver.received
    hooked.world.advance("PT1H")
    assert hooked.shape.notices == len(receiver.received)


def test_callback_early_arrives_before_the_answer(hooked: Client) -> None:
    answered = []
    with Receiver(ask=lambda callback: len(answered)) as receiver:
        task = hooked.made("callback-early", hook=receiver.url())
        answered.append(task)

        (first,) = receiver.received

    assert first.asked == 0
    assert task in first.raw.decode()


def test_callback_out_of_order_tells_the_end_first(signed: Client, receiver: Receiver) -> None:
    signed.ran("callback-out-of-order", hook=receiver.url())

    received = receiver.wait_for(signed.shape.notices)

    assert signed.shape.done in received[0].raw.decode()
    assert signed.shape.working in received[1].raw.decode()


def test_callback_wrong_signature_does_not_verify(signed: Client, receiver: Receiver) -> None:
    signed.ran("callback-wrong-signature", hook=receiver.url())
    signed.ran("", hook=receiver.url("/right"))
    received = receiver.wait_for(2 * signed.shape.notices)

    for one in received:
        is_right = one.headers["webhook-signature"] == signature(key(signed), one)
        assert is_right is (one.path == "/right")


def test_callback_stale_timestamp_verifies_but_for_its_age(signed: Client, receiver: Receiver) -> None:
    # The tenant's clock must show what the verifying library calls now.
    signed.world.admin("PUT", "/clock", {"mode": "real"})
    signed.world.advance("PT1S")
    signed.made("callback-stale-timestamp; seconds=7200", hook=receiver.url())
    signed.world.next_event()
    signed.world.next_event()
    (one, *_) = receiver.wait_for(1)

    assert one.headers["webhook-signature"] == signature(key(signed), one)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(key(signed)).verify(one.raw.decode(), one.headers)


def key(client: Client) -> bytes:
    """Return the bytes that a provider signs with on this server."""
    return b"testsecrettestsecrettestsecret12" if client.provider == "kling" else b"understudy-webhook-secret"


def test_callback_redirected_is_not_followed(hooked: Client, receiver: Receiver) -> None:
    hooked.ran("callback-redirected", hook=receiver.url())

    assert [] == receiver.received
    attempts = [one["attempts"] for one in hooked.world.deliveries()]
    assert [301] * hooked.shape.notices == [one[0]["status"] for one in attempts]


def test_callback_receiver_slow_is_tried_again(stage: Running, receiver: Receiver) -> None:
    # One that tries again; another provider tries once and never again.
    client = Client(stage, "modellix", "receiver-slow")

    client.ran("callback-receiver-slow", hook=receiver.url())

    first, second = receiver.wait_for(2)
    assert first.raw == second.raw
    (kept,) = client.world.deliveries()
    assert kept["status"] == "delivered"
    assert "the receiver said 200" in kept["attempts"][0]["error"]


def test_callback_only_final_tells_the_end_alone(hooked: Client, receiver: Receiver) -> None:
    hooked.ran("callback-only-final", hook=receiver.url())

    (only,) = receiver.wait_for(1)

    assert hooked.shape.done in only.raw.decode()


def test_callback_storm_spends_every_retry(hooked: Client, receiver: Receiver) -> None:
    hooked.ran("callback-storm", hook=receiver.url())

    ledger = hooked.world.deliveries()

    assert 4 * hooked.shape.notices == len(receiver.received)
    assert [4] * hooked.shape.notices == [len(one["attempts"]) for one in ledger]


# --- results ----------------------------------------------------------------------------------------------


def test_url_expired_is_gone_at_once(client: Client) -> None:
    if client.provider == "aimlapi":
        answer = client.create("url-expired")
        assert "do not expire" in answer.headers["x-mock-note"]
        return
    task = client.ran("url-expired")

    assert client.world.get(client.file(task)).status_code in (403, 404, 410)
    assert client.world.get(client.file(client.ran(""))).status_code == 200


def test_url_404_has_no_file(client: Client) -> None:
    task = client.ran("url-404")

    assert client.world.get(client.file(task)).status_code == 404


def test_url_slow_comes_in_pieces(kling: Client) -> None:
    task = kling.ran("url-slow; seconds=0.4; pieces=8")
    whole = kling.world.get(kling.file(kling.ran(""))).content

    with kling.world.server.client.stream("GET", kling.file(task)) as answer:
        pieces = list(answer.iter_raw())

    assert len(pieces) >= 4
    assert len(whole) == len(b"".join(pieces))


def test_truncated_file_ends_in_the_middle(client: Client) -> None:
    task = client.ran("truncated-file; share=0.25")

    with (
        pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"),
        client.world.server.client.stream("GET", client.file(task)) as answer,
    ):
        size = int(answer.headers["content-length"])
        got = 0
        for piece in answer.iter_raw():
            got += len(piece)

    assert got == size // 4


def test_result_wrong_content_type_says_something_else(client: Client) -> None:
    task = client.ran("result-wrong-content-type; type=text/html")

    answer = client.world.get(client.file(task))

    assert answer.headers["content-type"] == "text/html"
    assert answer.content[4:8] == b"ftyp"
