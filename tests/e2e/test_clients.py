"""Programs as users write them, with the HTTP libraries they write them with: create, poll, be called, download.

The server moves a task whenever it is read, so that a client that polls needs no patience.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import jwt
import pytest
import requests
import standardwebhooks

from mockserver.settings import WELL_KNOWN_SECRET
from tests.e2e.clips import film
from tests.e2e.conftest import tenant_name
from tests.e2e.receiver import Receiver
from tests.e2e.running import START_S, Running, World, environment
from tests.pictures import picture

HERE = Path(__file__).parent
DONE = ("COMPLETED", "FAILED")
PATH = "/v1/ai/video/kling-4k-t2v"
BODY = {"prompt": "A paper boat", "duration": 5}

ACCESS_KEY, SECRET_KEY = "an-access-key", "a-secret-key-of-at-least-32-bytes!"
API_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def polled() -> Iterator[Running]:
    """A server that knows one account of each provider and moves a task whenever it is read."""
    with Running(
        *("--progress", "polls", "--log", "off"),
        *("--credential", f"kling={ACCESS_KEY}:{SECRET_KEY}", "--credential", f"kling={API_KEY}"),
        *("--credential", "magnific=FPSX0123456789", "--credential", "aimlapi=an-aimlapi-key"),
        *("--credential", "modellix=mdlx-0123456789"),
    ) as running:
        yield running


@pytest.fixture
def tenant(polled: Running, request: pytest.FixtureRequest) -> World:
    return World(polled, tenant_name(request.node.name))


# --- one program for each library -------------------------------------------------------------------------
# Each returns the id of its task, with the film in the file.


def with_requests(base: str, key: str, hook: str, file: Path) -> str:
    with requests.Session() as session:
        session.headers["x-magnific-api-key"] = key
        answer = session.post(base + PATH, json={**BODY, "webhook_url": hook})
        answer.raise_for_status()
        task = answer.json()["data"]
        while task["status"] not in DONE:
            answer = session.get(f"{base}{PATH}/{task['task_id']}")
            answer.raise_for_status()
            task = answer.json()["data"]
    with requests.get(task["generated"][0], stream=True) as film_:
        film_.raise_for_status()
        with file.open("wb") as out:
            for part in film_.iter_content(8_192):
                out.write(part)
    return task["task_id"]


def with_httpx(base: str, key: str, hook: str, file: Path) -> str:
    with httpx.Client(base_url=base, headers={"x-magnific-api-key": key}) as client:
        task = client.post(PATH, json={**BODY, "webhook_url": hook}).raise_for_status().json()["data"]
        while task["status"] not in DONE:
            task = client.get(f"{PATH}/{task['task_id']}").raise_for_status().json()["data"]
        with client.stream("GET", task["generated"][0]) as film_:
            film_.raise_for_status()
            with file.open("wb") as out:
                for part in film_.iter_bytes():
                    out.write(part)
    return task["task_id"]


def with_async_httpx(base: str, key: str, hook: str, file: Path) -> str:
    async def main() -> str:
        async with httpx.AsyncClient(base_url=base, headers={"x-magnific-api-key": key}) as client:
            answer = await client.post(PATH, json={**BODY, "webhook_url": hook})
            task = answer.raise_for_status().json()["data"]
            while task["status"] not in DONE:
                answer = await client.get(f"{PATH}/{task['task_id']}")
                task = answer.raise_for_status().json()["data"]
            film_ = await client.get(task["generated"][0])
            file.write_bytes(film_.raise_for_status().content)  # noqa: ASYNC240 - nothing else waits
            return task["task_id"]

    return asyncio.run(main())


def with_aiohttp(base: str, key: str, hook: str, file: Path) -> str:
    async def main() -> str:
        async with aiohttp.ClientSession(
            headers={"x-magnific-api-key": key}, raise_for_status=True
        ) as session:
            async with session.post(base + PATH, json={**BODY, "webhook_url": hook}) as answer:
                task = (await answer.json())["data"]
            while task["status"] not in DONE:
                async with session.get(f"{base}{PATH}/{task['task_id']}") as answer:
                    task = (await answer.json())["data"]
            async with session.get(task["generated"][0]) as film_:
                file.write_bytes(await film_.read())  # noqa: ASYNC240 - nothing else waits
            return task["task_id"]

    return asyncio.run(main())


def with_urllib(base: str, key: str, hook: str, file: Path) -> str:
    def call(url: str, body: Any = None) -> Any:
        headers = {"x-magnific-api-key": key, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            return json.load(answer)["data"]

    task = call(base + PATH, {**BODY, "webhook_url": hook})
    while task["status"] not in DONE:
        task = call(f"{base}{PATH}/{task['task_id']}")
    urllib.request.urlretrieve(task["generated"][0], file)
    return task["task_id"]


def with_curl(base: str, key: str, hook: str, file: Path) -> str:
    return program("sh", HERE / "client.sh", base, key, hook, file, needs="curl")


def with_fetch(base: str, key: str, hook: str, file: Path) -> str:
    return program("node", HERE / "client.mjs", base, key, hook, file, needs="node")


def program(*words: str | Path, needs: str) -> str:
    """Run a program to its end and return what it prints."""
    if shutil.which(needs) is None:
        pytest.skip(f"{needs} is not installed")
    done = subprocess.run(
        [str(word) for word in words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CLIENTS: dict[str, Callable[[str, str, str, Path], str]] = {
    "requests": with_requests,
    "httpx": with_httpx,
    "httpx, async": with_async_httpx,
    "aiohttp": with_aiohttp,
    "urllib": with_urllib,
    "curl": with_curl,
    "fetch": with_fetch,
}


@pytest.mark.parametrize("library", CLIENTS)
def test_a_program_creates_polls_is_called_and_downloads(
    tenant: World, receiver: Receiver, library: str, tmp_path: Path
) -> None:
    file = tmp_path / "film.mp4"

    task = CLIENTS[library](tenant.base("magnific"), "FPSX0123456789", receiver.url(), file)

    shown = film(file)
    assert (3840, 2160, 120, 24) == (shown.width, shown.height, shown.frames, shown.fps)
    webhook = standardwebhooks.Webhook(WELL_KNOWN_SECRET.encode())
    told = [webhook.verify(one.raw, one.headers) for one in receiver.wait_for(2)]
    assert [(task, "IN_PROGRESS"), (task, "COMPLETED")] == [(one["task_id"], one["status"]) for one in told]


def test_a_forged_callback_is_told_from_a_genuine_one(
    tenant: World, receiver: Receiver, tmp_path: Path
) -> None:
    with_requests(tenant.base("magnific"), "FPSX0123456789", receiver.url(), tmp_path / "film.mp4")
    one = receiver.wait_for(2)[0]
    webhook = standardwebhooks.Webhook(WELL_KNOWN_SECRET.encode())

    for forged in (one.raw.replace(b"IN_PROGRESS", b"COMPLETED"), one.raw + b" "):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            webhook.verify(forged, one.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(b"another secret").verify(one.raw, one.headers)


# --- what libraries do on the wire ------------------------------------------------------------------------


def test_many_tasks_at_once_over_one_session(tenant: World) -> None:
    async def main() -> list[str]:
        headers = {"x-magnific-api-key": "FPSX0123456789"}

        async def one(session: aiohttp.ClientSession) -> str:
            async with session.post(tenant.base("magnific") + PATH, json=BODY) as answer:
                return (await answer.json())["data"]["task_id"]

        async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
            return await asyncio.gather(*(one(session) for _ in range(200)))

    made = asyncio.run(main())

    assert len(set(made)) == 200
    assert {task["id"] for task in tenant.tasks()} == set(made)


def test_a_body_that_is_sent_in_pieces(tenant: World) -> None:
    async def pieces() -> Any:
        for char in json.dumps(BODY):
            yield char.encode()

    async def main() -> int:
        headers = {"x-magnific-api-key": "FPSX0123456789", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(tenant.base("magnific") + PATH, data=pieces()) as answer,
        ):
            return answer.status

    assert asyncio.run(main()) == 200


def test_curl_waits_for_leave_to_send_a_large_picture(tenant: World, tmp_path: Path) -> None:
    # Beyond a megabyte curl sends `Expect: 100-continue` first, when it is told to.
    image = picture(width=640, height=360, bytes=2_000_000)
    (tmp_path / "body.json").write_text(json.dumps({"image": image}))

    printed = program(
        *("curl", "-sSi", "--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "20"),
        *("-H", "x-magnific-api-key: FPSX0123456789", "-H", "Content-Type: application/json"),
        *("-d", f"@{tmp_path / 'body.json'}", f"{tenant.base('magnific')}/v1/ai/video/kling-4k-i2v"),
        needs="curl",
    )

    assert printed.startswith("HTTP/1.1 100 Continue")
    assert '"status":"CREATED"' in printed


def test_a_download_can_be_taken_up_again(tenant: World, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    with_requests(tenant.base("magnific"), "FPSX0123456789", "https://hooks.invalid/", whole)
    (task,) = tenant.tasks()
    part = tmp_path / "part.mp4"
    part.write_bytes(whole.read_bytes()[:1_000])

    program("curl", "-sSf", "-C", "-", "-o", part, task["result"], needs="curl")

    assert part.read_bytes() == whole.read_bytes()


# --- credentials, each in the form its provider's documentation gives ---------------------------------------


def kling_token(*, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, life_s: int = 1_800) -> str:
    """Return a token as the provider's page has it made: HS256, `iss`, `exp` in 30 minutes, `nbf` 5 s ago."""
    now = int(time.time())
    claims = {"iss": access_key, "exp": now + life_s, "nbf": now - 5}
    return jwt.encode(claims, secret_key, headers={"alg": "HS256", "typ": "JWT"})


MODELLIX = "/api/v1/image-to-video/kling/kling-v1-i2v/async"
AIMLAPI = {"model": "kling-video/v1/standard/image-to-video", "prompt": "A boat", "duration": 5}
AIMLAPI["image_url"] = "https://example.com/a.jpg"
CREDENTIALS = {
    # Name to (provider, path, body, header, value that counts, values that do not with their status and code).
    "kling, token": (
        *("kling", "/v1/videos/text2video", {"prompt": "A boat"}, "Authorization"),
        lambda: f"Bearer {kling_token()}",
        {
            "another secret": (lambda: f"Bearer {kling_token(secret_key='x' * 32)}", 401, 1000),
            "another account": (lambda: f"Bearer {kling_token(access_key='nobody')}", 401, 1002),
            "too old": (lambda: f"Bearer {kling_token(life_s=-60)}", 401, 1004),
            "no token": (lambda: "Bearer xxx", 401, 1002),
        },
    ),
    "kling, key": (
        *("kling", "/v1/videos/text2video", {"prompt": "A boat"}, "Authorization"),
        lambda: f"Bearer {API_KEY}",
        {"another": (lambda: f"Bearer {API_KEY[::-1]}", 401, None)},
    ),
    "magnific": (
        *("magnific", PATH, BODY, "x-magnific-api-key", lambda: "FPSX0123456789"),
        {"another": (lambda: "FPSX9876543210", 401, None)},
    ),
    "magnific, old header": (
        *("magnific", PATH, BODY, "x-freepik-api-key", lambda: "FPSX0123456789"),
        {"another": (lambda: "FPSX9876543210", 401, None)},
    ),
    "aimlapi": (
        *("aimlapi", "/v2/video/generations", AIMLAPI, "Authorization", lambda: "Bearer an-aimlapi-key"),
        {"another": (lambda: "Bearer another", 401, None)},
    ),
    "modellix": (
        *("modellix", MODELLIX, {"image": "https://example.com/a.jpg"}, "Authorization"),
        lambda: "Bearer mdlx-0123456789",
        {"another": (lambda: "Bearer mdlx-9876543210", 401, None)},
    ),
}


@pytest.mark.parametrize("form", CREDENTIALS)
def test_a_credential_in_its_documented_form_counts_and_another_does_not(tenant: World, form: str) -> None:
    provider, path, body, header, good, wrong = CREDENTIALS[form]
    url = tenant.base(provider) + path

    answer = requests.post(url, json=body, headers={header: good()})

    assert answer.ok, answer.text
    for name, (value, status, code) in wrong.items():
        refused = requests.post(url, json=body, headers={header: value()})
        assert status == refused.status_code, (name, refused.text)
        assert code is None or code == refused.json()["code"], (name, refused.text)
    assert requests.post(url, json=body).status_code == 401
    assert len(tenant.tasks()) == 1


def test_the_errors_of_urllib_carry_the_answer_of_the_provider(tenant: World) -> None:
    url = tenant.base("kling") + "/v1/videos/text2video/123"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {kling_token()}"})

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)

    with caught.value as answer:
        assert (400, 1201) == (answer.code, json.load(answer)["code"])
