"""The example of each provider's page, run with curl as it is printed: base URL and key changed, nothing else.

Each makes a task that ends in the success state with an MP4 of the right length and shape; where the provider
tells of changes, each change arrives at a real receiver, in order, and says what a query at that instant says.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import standardwebhooks

from mockserver.settings import WELL_KNOWN_SECRET
from tests.e2e.clips import film
from tests.e2e.receiver import Callback, Receiver, signature
from tests.e2e.running import Running, World
from tests.pictures import picture


@dataclass(frozen=True)
class Seed:
    """One page's call: the words of its curl command, its base URL, the key it prints, and how a task is read.

    `states` are all states of the success course; `path` is where the task is read; `film` is (width, height,
    frames, frames a second) of the clip that is due, worked out by hand from the provider's tables.
    """

    provider: str
    command: tuple[str, ...]
    base: str
    printed_key: str
    key: str
    path: str
    states: tuple[str, ...]
    film: tuple[int, int, int, int]

    @property
    def body(self) -> dict[str, Any]:
        """Return the body the command sends."""
        flags = ("--data", "--data-raw", "-d")
        found: dict[str, Any] = json.loads(
            self.command[[word in flags for word in self.command].index(True) + 1]
        )
        return found


KLING = Seed(
    provider="kling",
    command=(
        *(
            "curl",
            "--location",
            "--request",
            "POST",
            "https://api-singapore.klingai.com/v1/videos/image2video",
        ),
        *("--header", "Authorization: Bearer xxx"),
        *("--header", "Content-Type: application/json"),
        "--data-raw",
        """{
    "model_name": "kling-v1",
    "mode": "pro",
    "duration": "5",
    "image": "https://h2.inkwai.com/bs2/upload-ylab-stunt/se/ai_portal_queue_mmu_image_upscale_aiweb/3214b798-e1b4-4b00-b7af-72b5b0417420_raw_image_0.jpg",
    "prompt": "The astronaut stood up and walked away",
    "cfg_scale": 0.5,
    "static_mask": "https://h2.inkwai.com/bs2/upload-ylab-stunt/ai_portal/1732888177/cOLNrShrSO/static_mask.png",
    "dynamic_masks": [
      {
        "mask": "https://h2.inkwai.com/bs2/upload-ylab-stunt/ai_portal/1732888130/WU8spl23dA/dynamic_mask_1.png",
        "trajectories": [
          {"x":279,"y":219},{"x":417,"y":65}
        ]
      }
    ]
}""",
    ),
    base="https://api-singapore.klingai.com",
    printed_key="xxx",
    key="0123456789abcdef0123456789abcdef",
    path="/v1/videos/image2video/{id}",
    states=("submitted", "processing", "succeed"),
    film=(1280, 720, 153, 30),
)

MAGNIFIC_I2V = Seed(
    provider="magnific",
    command=(
        *("curl", "--request", "POST", "--url", "https://api.magnific.com/v1/ai/video/kling-4k-i2v"),
        *("--header", "Content-Type: application/json"),
        *("--header", "x-magnific-api-key: <api-key>"),
        "--data",
        """
{
  "image": "<string>",
  "webhook_url": "<string>",
  "image_tail": "<string>",
  "prompt": "<string>",
  "negative_prompt": "blur, distort, and low quality",
  "cfg_scale": 0.5,
  "duration": 5,
  "static_mask": "<string>",
  "dynamic_masks": [
    {
      "mask": "<string>",
      "trajectories": [
        {
          "x": 123,
          "y": 123
        }
      ]
    }
  ]
}
""",
    ),
    base="https://api.magnific.com",
    printed_key="<api-key>",
    key="FPSX0123456789",
    path="/v1/ai/video/kling-4k-i2v/{id}",
    states=("CREATED", "IN_PROGRESS", "COMPLETED"),
    film=(3840, 2160, 120, 24),
)

MAGNIFIC_T2V = Seed(
    provider="magnific",
    command=(
        *("curl", "--request", "POST", "--url", "https://api.magnific.com/v1/ai/video/kling-4k-t2v"),
        *("--header", "Content-Type: application/json"),
        *("--header", "x-magnific-api-key: <api-key>"),
        "--data",
        """
{
  "prompt": "<string>",
  "webhook_url": "<string>",
  "negative_prompt": "blur, distort, and low quality",
  "cfg_scale": 0.5,
  "aspect_ratio": "16:9",
  "duration": 5
}
""",
    ),
    base="https://api.magnific.com",
    printed_key="<api-key>",
    key="FPSX0123456789",
    path="/v1/ai/video/kling-4k-t2v/{id}",
    states=("CREATED", "IN_PROGRESS", "COMPLETED"),
    film=(3840, 2160, 120, 24),
)

# The page has no curl call.  This one is built from its schema: all members it lists, with its defaults where it
# has any; the pictures are addresses, as its first words on image_url say.
AIMLAPI = Seed(
    provider="aimlapi",
    command=(
        *("curl", "--request", "POST", "--url", "https://api.aimlapi.com/v2/video/generations"),
        *("--header", "Authorization: Bearer <YOUR_API_KEY>"),
        *("--header", "Content-Type: application/json"),
        "--data",
        """{
  "model": "kling-video/v1/standard/image-to-video",
  "image_url": "https://example.com/mona-lisa.jpg",
  "prompt": "Mona Lisa puts on glasses with her hands.",
  "duration": 5,
  "negative_prompt": "blur",
  "cfg_scale": 1,
  "static_mask": "https://example.com/mask.png"
}""",
    ),
    base="https://api.aimlapi.com",
    printed_key="<YOUR_API_KEY>",
    key="0123456789abcdef0123456789abcdef",
    path="/v2/video/generations?generation_id={id}",
    states=("queued", "generating", "completed"),
    film=(1280, 720, 153, 30),
)

MODELLIX = Seed(
    provider="modellix",
    command=(
        "curl",
        *("--request", "POST"),
        *("--url", "https://api.modellix.ai/api/v1/image-to-video/kling/kling-v1-i2v/async"),
        *("--header", "Authorization: Bearer <token>"),
        *("--header", "Content-Type: application/json"),
        "--data",
        """
{
  "image": "https://example.com/mountain.jpg"
}
""",
    ),
    base="https://api.modellix.ai",
    printed_key="<token>",
    key="mdlx-0123456789",
    path="/api/v1/tasks/{id}",
    states=("pending", "processing", "success"),
    film=(1280, 720, 153, 30),
)

SEEDS = {
    "kling": KLING,
    "magnific-i2v": MAGNIFIC_I2V,
    "magnific-t2v": MAGNIFIC_T2V,
    "aimlapi": AIMLAPI,
    "modellix": MODELLIX,
}


@dataclass(frozen=True)
class Answer:
    """What curl printed: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: Any


def run_curl(
    seed: Seed, base: str, *, key: str | None = None, body: str | None = None, header: str | None = None
) -> Answer:
    """Run the page's command with another base URL and key; body and one more header only where a test says why."""
    words = [word.replace(seed.base, base) for word in seed.command]
    words = [word.replace(seed.printed_key, key or seed.key) if ": " in word else word for word in words]
    if body is not None:
        words[-1] = body
    if header is not None:
        words += ["--header", header]
    return curl(*words[1:])


def curl(*words: str) -> Answer:
    """Run curl and read what it prints."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed; .ci/run installs it")
    done = subprocess.run(
        [program, "--silent", "--show-error", "--include", "--noproxy", "*", *words],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head, _, body = body.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, json.loads(body))


def query(world: World, seed: Seed, task_id: str) -> Any:
    """Read a task as the provider's client does."""
    header = next(word for word in seed.command if seed.printed_key in word).replace(
        seed.printed_key, seed.key
    )
    name, _, value = header.partition(": ")
    response = world.get(world.base(seed.provider) + seed.path.format(id=task_id), headers={name: value})
    assert response.status_code == 200, response.text
    return response.json()


def task_of(seed: Seed, body: Any) -> tuple[str, str]:
    """Return (id, state) as this provider's answers show them."""
    match seed.provider:
        case "kling":
            return body["data"]["task_id"], body["data"]["task_status"]
        case "aimlapi":
            return body["id"], body["status"]
        case _:
            return body["data"]["task_id"], body["data"]["status"]


def video_of(seed: Seed, body: Any) -> str:
    """Return the URL of the result as this provider's answers show it."""
    url: str
    match seed.provider:
        case "kling":
            url = body["data"]["task_result"]["videos"][0]["url"]
        case "magnific":
            (url,) = body["data"]["generated"]
        case "aimlapi":
            url = body["video"]["url"]
        case _:
            url = body["data"]["result"]["resources"][0]["url"]
    return url


def ends_well(world: World, seed: Seed, created: Any, tmp_path: Path) -> Any:
    """Follow a task to its end; every state of the course is seen, and the film is the one that is due."""
    task_id, state = task_of(seed, created)
    seen = [state]
    while world.next_event():
        found, state = task_of(seed, query(world, seed, task_id))
        assert task_id == found
        if state != seen[-1]:
            seen.append(state)
    assert list(seed.states) == seen

    done = query(world, seed, task_id)
    file = tmp_path / "result.mp4"
    fetched = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--output", str(file), video_of(seed, done)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stderr
    shown = film(file)
    width, height, frames, fps = seed.film
    assert (width, height, frames, fps) == (shown.width, shown.height, shown.frames, shown.fps)
    assert frames / fps == pytest.approx(shown.seconds, abs=0.001)
    assert shown.codec == "h264"
    return done


# --- the pages as they are --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEEDS)
def test_the_printed_call_makes_a_task_that_ends_with_the_right_film(
    world: World, name: str, tmp_path: Path
) -> None:
    seed = SEEDS[name]

    created = run_curl(seed, world.base(seed.provider))

    assert created.status == 200, created.body
    ends_well(world, seed, created.body, tmp_path)


def test_the_printed_call_of_kling_is_taken_with_a_signed_token_too(world: World, tmp_path: Path) -> None:
    now = world.admin("GET", "/clock")["now_ms"] // 1000
    token = jwt.encode(
        {"iss": "an-access-key", "exp": now + 1800, "nbf": now - 5}, "k" * 32, algorithm="HS256"
    )

    created = run_curl(KLING, world.base("kling"), key=token)

    assert (created.status, created.body["code"], created.body["message"]) == (200, 0, "SUCCEED")


def test_the_printed_answer_of_modellix_is_given_but_for_the_id(world: World) -> None:
    answer = run_curl(MODELLIX, world.base("modellix")).body

    task_id = answer["data"].pop("task_id")
    assert task_id.startswith("task-")
    # Of 2026, and documented: an extra beside the three members of the page.
    where = answer["data"].pop("get_result")
    assert {"method": "GET", "url": f"{world.base('modellix')}/api/v1/tasks/{task_id}"} == where
    assert answer == {
        "code": 0,
        "message": "success",
        "data": {"status": "pending", "model_id": "kling-v1-i2v"},
    }


def test_the_clip_of_kling_is_as_long_as_the_answer_says(world: World, tmp_path: Path) -> None:
    created = run_curl(KLING, world.base("kling"))

    done = ends_well(world, KLING, created.body, tmp_path)

    # 153 frames at 30 a second, as in the published answer of the same model.
    assert done["data"]["task_result"]["videos"][0]["duration"] == "5.1"
    # The price of kling-v1 in mode pro for 5 seconds.
    assert done["data"]["final_unit_deduction"] == "3.5"


# --- pages with placeholders ------------------------------------------------------------------------------


def test_the_placeholders_of_magnific_are_told(world: World) -> None:
    answer = run_curl(MAGNIFIC_I2V, world.base("magnific"))

    assert answer.status == 200
    told = set(answer.headers["x-mock-violations"].split(", "))
    assert {"magnific.i2v.picture-placeholder", "magnific.webhook.placeholder"} == told
    (kept,) = world.admin("GET", "/requests")["requests"]
    found = {one["instanceLocation"] for one in kept["report"]["violations"]}
    assert {"/image", "/image_tail", "/webhook_url", "/static_mask", "/dynamic_masks/0/mask"} == found
    assert "image: the picture that a placeholder stands for" in kept["report"]["unchecked"]


def test_nothing_is_sent_to_a_placeholder_and_the_ledger_says_why(world: World) -> None:
    run_curl(MAGNIFIC_T2V, world.base("magnific"))
    while world.next_event():
        pass

    deliveries = world.admin("GET", "/deliveries")["deliveries"]

    assert 2 == len(deliveries)
    for one in deliveries:
        assert "<string>" == one["url"]
        assert "<string>" in one["attempts"][0]["error"]


def test_placeholders_are_refused_where_that_is_asked_for(start: Callable[..., Running]) -> None:
    server = start(
        "--effect",
        "magnific.i2v.picture-placeholder=reject",
        "--effect",
        "magnific.webhook.placeholder=reject",
    )
    answer = run_curl(
        MAGNIFIC_I2V, World(server, "strict").base("magnific"), header="Accept: application/problem+json"
    )

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    named = {one["name"] for one in answer.body["invalid_params"]}
    assert {"image", "webhook_url", "image_tail", "static_mask", "dynamic_masks[0].mask"} == named


def filled(seed: Seed, **values: Any) -> str:
    """Return a page's body with some placeholders replaced; everything else stays as printed."""
    body = seed.body
    for name, value in values.items():
        target = body["dynamic_masks"][0] if name == "mask" else body
        assert target[name] == "<string>"
        target[name] = value
    return json.dumps(body)


def test_the_call_of_magnific_from_text_tells_an_address(
    world: World, receiver: Receiver, tmp_path: Path
) -> None:
    body = filled(MAGNIFIC_T2V, webhook_url=receiver.url())

    created = run_curl(MAGNIFIC_T2V, world.base("magnific"), body=body)

    assert created.status == 200, created.body
    ends_well(world, MAGNIFIC_T2V, created.body, tmp_path)


@pytest.mark.parametrize("carrier", ["address", "base64"])
def test_the_call_of_magnific_from_a_picture_with_pictures_and_an_address(
    world: World, receiver: Receiver, tmp_path: Path, carrier: str
) -> None:
    # The prompt keeps its placeholder: it is a text.
    image = "https://example.com/first.png" if carrier == "address" else picture(width=640, height=360)
    pictures = dict.fromkeys(("image", "image_tail", "static_mask", "mask"), image)
    body = filled(MAGNIFIC_I2V, webhook_url=receiver.url(), **pictures)

    created = run_curl(MAGNIFIC_I2V, world.base("magnific"), body=body)

    assert created.status == 200, created.body
    ends_well(world, MAGNIFIC_I2V, created.body, tmp_path)


# --- callbacks --------------------------------------------------------------------------------------------


class Watcher:
    """Reads the task at the very moment its callback arrives, as a client would that trusts nobody."""

    def __init__(self, seed: Seed) -> None:
        """Watch a task that is made later."""
        self.seed = seed
        self.world: World | None = None

    def __call__(self, callback: Callback) -> Any:
        """Return what a query says now."""
        assert self.world is not None
        body = callback.body
        task_id = callback.headers.get("x-modellix-task-id") or body["task_id"]
        return query(self.world, self.seed, task_id)


CALLED_BACK = {
    # The bare task, without the envelope of the query.
    "kling": (KLING, ("processing", "succeed"), lambda asked: asked["data"]),
    "magnific-i2v": (MAGNIFIC_I2V, ("IN_PROGRESS", "COMPLETED"), lambda asked: asked["data"]),
    "magnific-t2v": (MAGNIFIC_T2V, ("IN_PROGRESS", "COMPLETED"), lambda asked: asked["data"]),
    # The very answer of the query, and only at the end.
    "modellix": (MODELLIX, ("success",), lambda asked: asked),
}


@pytest.mark.parametrize("name", CALLED_BACK)
def test_each_change_is_told_once_in_order_with_the_body_of_a_query(world: World, name: str) -> None:
    seed, states, part = CALLED_BACK[name]
    watcher = Watcher(seed)
    watcher.world = world
    with Receiver(ask=watcher) as receiver:
        created = create_with_callback(world, seed, receiver)
        world.run_out()

        task_id, _ = task_of(seed, created)
        arrived = receiver.wait_for(len(states))
    assert list(states) == [task_of(seed, one.asked)[1] for one in arrived]
    for callback in arrived:
        assert callback.headers["content-type"].partition(";")[0] == "application/json"
        assert part(callback.asked) == callback.body
        assert task_id in callback.raw.decode()
    assert ["delivered"] * len(states) == [one["status"] for one in world.deliveries()]


def create_with_callback(world: World, seed: Seed, receiver: Receiver) -> Any:
    """Send the page's call with the receiver's address in the place this provider reads it from."""
    base, url = world.base(seed.provider), receiver.url("/hook?for=me")
    match seed.provider:
        case "kling":
            answer = run_curl(seed, base, body=json.dumps(seed.body | {"callback_url": url}))
        case "modellix":
            answer = run_curl(seed, base, header=f"X-Webhook-URL: {url}")
        case _:
            asked = dict.fromkeys(("image", "image_tail", "static_mask"), "https://example.com/a.png")
            known = {name: value for name, value in asked.items() if name in seed.body}
            if "dynamic_masks" in seed.body:
                known["mask"] = "https://example.com/a.png"
            answer = run_curl(seed, base, body=filled(seed, webhook_url=url, **known))
    assert answer.status == 200, answer.body
    return answer.body


def test_the_callback_of_kling_has_its_documented_form(world: World, receiver: Receiver) -> None:
    create_with_callback(world, KLING, receiver)
    world.run_out()

    *_, last = receiver.wait_for(2)
    assert last.path == "/hook?for=me"
    assert last.headers["content-type"] == "application/json; charset=utf-8"
    assert not {"code", "message", "request_id", "data"} & set(last.body)
    assert {"task_id", "task_status", "task_info", "task_result", "created_at", "updated_at"} <= set(
        last.body
    )
    assert not [name for name in last.headers if name.startswith("webhook-")]


def test_the_callbacks_of_magnific_are_signed_with_the_text_of_the_secret(
    world: World, receiver: Receiver
) -> None:
    create_with_callback(world, MAGNIFIC_T2V, receiver)
    world.run_out()

    arrived = receiver.wait_for(2)
    for callback in arrived:
        assert signature(WELL_KNOWN_SECRET.encode(), callback) == callback.headers["webhook-signature"]
    assert len({one.headers["webhook-id"] for one in arrived}) == 2
    stamps = [int(one.headers["webhook-timestamp"]) for one in arrived]
    # Seconds of the tenant's clock: two minutes lie between the two changes.
    assert stamps[1] - stamps[0] == 120


def test_the_callback_of_modellix_carries_its_four_headers(world: World, receiver: Receiver) -> None:
    created = create_with_callback(world, MODELLIX, receiver)
    world.run_out()

    (callback,) = receiver.wait_for(1)
    assert callback.headers["x-modellix-event"] == "prediction.task.succeeded"
    assert created["data"]["task_id"] == callback.headers["x-modellix-task-id"]
    assert callback.headers["x-modellix-retry-count"] == "0"
    (delivery,) = world.deliveries()
    assert delivery["id"] == callback.headers["x-modellix-delivery-id"]


def test_a_refused_attempt_is_repeated_with_the_same_id_and_a_higher_count(world: World) -> None:
    statuses = iter((500, 429, 200))
    with Receiver(answer=lambda callback: next(statuses)) as receiver:
        create_with_callback(world, MODELLIX, receiver)
        world.run_out()

        arrived = receiver.wait_for(3)
    assert [one.headers["x-modellix-retry-count"] for one in arrived] == ["0", "1", "2"]
    assert len({one.headers["x-modellix-delivery-id"] for one in arrived}) == 1
    assert len({one.raw for one in arrived}) == 1


def test_a_failed_task_is_told_as_well(world: World, receiver: Receiver) -> None:
    # A picture below 300 pixels: the task is taken and fails, as in the published answer.
    body = {"image": picture(width=200, height=200), "callback_url": receiver.url()}

    created = run_curl(KLING, world.base("kling"), body=json.dumps(body))
    world.run_out()

    assert created.status == 200
    arrived = receiver.wait_for(1)
    assert [one.body["task_status"] for one in arrived] == ["failed"]
    assert arrived[0].body["task_status_msg"] == "Image pixel is invalid"
    assert arrived[0].body["updated_at"] - arrived[0].body["created_at"] == 1665


SECRETS: Mapping[str, tuple[str, bytes]] = {
    # Base64 behind whsec_, as the official test vector has it; and the bytes of the text.
    "kling": (
        "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI=",
        base64.b64decode("dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="),
    ),
    "magnific-t2v": ("6d616e7963617473", b"6d616e7963617473"),
}


@pytest.fixture(scope="module")
def signing() -> Any:
    """A server whose accounts have made webhook secrets."""
    options = [f"--webhook-secret={name.partition('-')[0]}={secret}" for name, (secret, _) in SECRETS.items()]
    with Running(*options) as running:
        yield running


@pytest.mark.parametrize("name", SECRETS)
def test_callbacks_are_signed_with_the_configured_secret(
    signing: Running, receiver: Receiver, name: str
) -> None:
    world = World(signing, f"signed-{name}")
    world.freeze()
    secret, key = SECRETS[name]

    create_with_callback(world, SEEDS[name], receiver)
    world.run_out()

    for callback in receiver.wait_for(2):
        assert signature(key, callback) == callback.headers["webhook-signature"]
        # What a client would do, with the scheme's own library; it takes times within five minutes.
        standardwebhooks.Webhook(key).verify(callback.raw, callback.headers)
    assert len(receiver.received) == 2
    assert secret not in signing.output


# --- the clip has the shape of the picture ----------------------------------------------------------------

SHAPES = {"landscape": (640, 360), "portrait": (360, 640), "square": (512, 512), "wide": (1000, 400)}

# (model, mode) -> (short side, frames a second, frames of 5 seconds); tables of the documentation.
MODELS = {
    ("kling-v1", "std"): (720, 30, 153),
    ("kling-v1", "pro"): (720, 30, 153),
    ("kling-v1-6", "std"): (720, 30, 153),
    ("kling-v1-6", "pro"): (1080, 30, 153),
    ("kling-v2-6", "std"): (720, 24, 121),
    ("kling-v2-6", "pro"): (1080, 24, 121),
    ("kling-v3", "pro"): (1080, 24, 121),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("model", "mode"), MODELS)
def test_the_clip_has_the_shape_of_the_picture(
    world: World, tmp_path: Path, model: str, mode: str, shape: str
) -> None:
    width, height = SHAPES[shape]
    short, fps, frames = MODELS[model, mode]
    long = round(short * max(width, height) / min(width, height) / 2) * 2
    sides = (long, short) if width >= height else (short, long)
    body = {"model_name": model, "mode": mode, "image": picture(format="JPEG", width=width, height=height)}
    seed = Seed(
        *("kling", KLING.command, KLING.base, KLING.printed_key, KLING.key, KLING.path, KLING.states),
        film=(*sides, frames, fps),
    )

    created = run_curl(seed, world.base("kling"), body=json.dumps(body))

    assert created.status == 200, created.body
    ends_well(world, seed, created.body, tmp_path)


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_of_the_pictures_shape_leave_the_clip_as_it_is(
    world: World, tmp_path: Path, shape: str
) -> None:
    width, height = SHAPES[shape]
    long = round(720 * max(width, height) / min(width, height) / 2) * 2
    sides = (long, 720) if width >= height else (720, long)
    mask = picture(width=width * 2, height=height * 2)
    body = KLING.body | {"image": picture(width=width, height=height), "static_mask": mask}
    body["dynamic_masks"][0]["mask"] = mask
    seed = Seed(
        *("kling", KLING.command, KLING.base, KLING.printed_key, KLING.key, KLING.path, KLING.states),
        film=(*sides, 153, 30),
    )

    created = run_curl(seed, world.base("kling"), body=json.dumps(body))

    assert created.status == 200, created.body
    ends_well(world, seed, created.body, tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"static_mask": picture(width=640, height=640)}, "another shape than the picture"),
        ({"static_mask": picture(width=1280, height=720)}, "another size than the other mask"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_mask_that_does_not_fit_fails_the_task_and_not_the_request(
    world: World, change: dict[str, Any], why: str
) -> None:
    body = KLING.body | {"image": picture(width=640, height=360)} | change
    body["dynamic_masks"][0]["mask"] = picture(width=640, height=360)

    created = run_curl(KLING, world.base("kling"), body=json.dumps(body))
    world.run_out()

    assert created.status == 200, why
    task_id, _ = task_of(KLING, created.body)
    done = query(world, KLING, task_id)
    assert done["data"]["task_status"] == "failed"
    assert done["data"]["task_status_msg"]
    assert done["data"]["task_result"] == {}


def test_ten_seconds_with_sound_have_both_tracks(world: World, tmp_path: Path) -> None:
    body = {"model_name": "kling-v2-6", "mode": "pro", "duration": "10", "sound": "on", "prompt": "Rain"}
    body["image"] = picture(width=320, height=400)
    seed = Seed(
        *("kling", KLING.command, KLING.base, KLING.printed_key, KLING.key, KLING.path, KLING.states),
        film=(1080, 1350, 241, 24),
    )

    created = run_curl(seed, world.base("kling"), body=json.dumps(body))
    done = ends_well(world, seed, created.body, tmp_path)

    assert film(tmp_path / "result.mp4").has_audio
    assert done["data"]["task_result"]["videos"][0]["duration"] == "10.041"
    assert done["data"]["final_unit_deduction"] == "10"
