"""The file behind a result URL: really a film of its shape, made once, off the loop, whole or in part."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mockserver import artifacts
from mockserver.artifacts import Artifacts, Clip, encode, packaged_clip
from tests.e2e.clips import film
from tests.mock import HOST, KEY, Mock, Reply
from validator.keywords import Shape


def shape(**changes: Any) -> Shape:
    """Return a small shape with changes."""
    known: dict[str, Any] = {"width": 96, "height": 54, "fps": 10, "frames": 5, "has_audio": False} | changes
    return Shape(seconds=round(known["frames"] / known["fps"], 3), **known)


SMALL = shape(frames=51)


# --- films ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        SMALL,
        shape(frames=1),
        shape(frames=121, fps=24, has_audio=True),
        shape(width=54, height=96, fps=30, frames=300),
        shape(width=1920, height=1080, fps=24, frames=121),
        shape(width=2, height=2, frames=3),
        shape(width=720, height=720, fps=30, frames=153, has_audio=True),
    ],
    ids=lambda one: f"{one.width}x{one.height}-{one.frames}-{one.has_audio}",
)
def test_a_film_has_the_shape_that_was_asked_for(tmp_path: Path, wanted: Shape) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(encode(wanted))

    seen = film(file)

    assert (wanted.width, wanted.height, wanted.frames) == (seen.width, seen.height, seen.frames)
    assert ("h264", wanted.has_audio) == (seen.codec, seen.has_audio)
    assert abs(wanted.fps - seen.fps) < 0.01
    assert abs(wanted.frames / wanted.fps - seen.seconds) < 0.001
    assert abs(wanted.seconds - seen.seconds) < 0.001


def test_a_long_film_stays_small() -> None:
    long = encode(shape(width=1920, height=1080, fps=30, frames=4_500))

    assert len(long) < 5_000_000, "two and a half minutes in full size"


def test_the_packaged_clip_is_a_film_too(tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(packaged_clip())

    seen = film(file)

    assert (320, 180, 1.0) == (seen.width, seen.height, round(seen.seconds, 1))


# --- made once --------------------------------------------------------------------------------------------


class Maker:
    """Stands in for the encoder: counts, notes its thread, and waits until it is let go."""

    def __init__(self, *, fault: Exception | None = None) -> None:
        self.made: list[Shape] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.fault = fault

    def __call__(self, wanted: Shape) -> bytes:
        self.threads.add(threading.get_ident())
        assert self.gate.wait(30)
        self.made.append(wanted)
        if self.fault is not None:
            raise self.fault
        return b"x" * wanted.frames


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    made = Maker()
    monkeypatch.setattr(artifacts, "encode", made)
    return made


def run(scene: Any) -> Any:
    return asyncio.run(scene)


def test_many_who_ask_at_once_get_one_film_made_off_the_loop(maker: Maker) -> None:
    async def scene() -> tuple[list[Clip], int]:
        made = Artifacts(max_bytes=1_000)
        waiting = [asyncio.ensure_future(made.clip(SMALL)) for _ in range(50)]
        turns = 0
        # The loop goes round while the film is made.
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        assert not any(one.done() for one in waiting)
        maker.gate.set()
        clips = await asyncio.gather(*waiting)
        made.close()
        return clips, turns

    clips, turns = run(scene())

    assert (1, 100) == (len(maker.made), turns)
    assert [Clip(b"x" * 51, is_packaged=False)] * 50 == clips
    assert {threading.get_ident()} & maker.threads == set()


def test_who_goes_away_takes_the_film_from_nobody(maker: Maker) -> None:
    async def scene() -> Clip:
        made = Artifacts(max_bytes=1_000)
        first, second = (asyncio.ensure_future(made.clip(SMALL)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        maker.gate.set()
        clip = await second
        made.close()
        return clip

    assert b"x" * 51 == run(scene()).content
    assert 1 == len(maker.made)


def test_films_are_made_one_at_a_time_and_kept(maker: Maker) -> None:
    async def scene() -> None:
        made = Artifacts(max_bytes=1_000)
        maker.gate.set()
        wanted = [shape(frames=number) for number in (1, 2, 3)]
        await asyncio.gather(*(made.clip(one) for one in wanted * 3))
        await asyncio.gather(*(made.clip(one) for one in wanted))
        made.close()

    run(scene())

    assert 3 == len(maker.made)
    assert 1 == len(maker.threads)


def test_the_least_asked_for_goes_when_room_is_short(maker: Maker) -> None:
    async def scene() -> None:
        made = Artifacts(max_bytes=100)
        maker.gate.set()
        forty, fifty, thirty, huge = (shape(frames=frames) for frames in (40, 50, 30, 500))
        for one in (forty, fifty, forty, thirty, forty, fifty, huge, huge, forty):
            await made.clip(one)
        made.close()

    run(scene())

    # Fifty went for thirty, thirty and forty for fifty; what is larger than all room is kept alone.
    assert [40, 50, 30, 50, 500, 40] == [one.frames for one in maker.made]


def test_where_films_cannot_be_made_the_packaged_one_is_served_from_then_on(
    maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> list[Clip]:
        made = Artifacts(max_bytes=100)
        maker.gate.set()
        maker.fault = OSError("no such encoder")
        clips = list(await asyncio.gather(*(made.clip(SMALL) for _ in range(3))))
        clips.append(await made.clip(SMALL))
        made.close()
        return clips

    assert [Clip(packaged_clip(), is_packaged=True)] * 4 == run(scene())
    assert 1 == len(maker.made)
    assert "no such encoder" in caplog.text


def test_closing_waits_for_no_film(maker: Maker) -> None:
    async def scene() -> None:
        made = Artifacts(max_bytes=100)
        waiting = [asyncio.ensure_future(made.clip(shape(frames=number))) for number in (1, 2)]
        await asyncio.sleep(0)
        made.close()
        for one in waiting:
            one.cancel()
        maker.gate.set()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(scene())

    assert len(maker.made) <= 1


# --- behind its URL ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Mock, str]]:
    """A server with a film, and the path of it."""
    with Mock(log="off", is_stepped=False) as mock:
        mock.freeze()
        yield mock, finished(mock)


def finished(mock: Mock, **body: Any) -> str:
    """Return the path of the result of a clip that is done."""
    made = mock.clip(**body)
    mock.move(made, outcome="success")
    url: str = mock.read(made).json["clip"]["file"]["url"]
    return url.removeprefix(f"http://{HOST}")


@pytest.mark.parametrize(
    ("body", "width", "height", "frames", "fps", "has_audio"),
    [
        ({}, 128, 72, 51, 10, False),
        ({"sound": "on"}, 128, 72, 51, 10, True),
        ({"seconds": "10"}, 128, 72, 101, 10, False),
        ({"shape": "1:1"}, 72, 72, 51, 10, False),
        ({"model": "a2", "seconds": "10"}, 170, 96, 120, 12, False),
    ],
)
def test_the_url_of_a_result_leads_to_the_film_that_the_answer_promises(
    served: tuple[Mock, str],
    tmp_path: Path,
    body: dict[str, str],
    width: int,
    height: int,
    frames: int,
    fps: int,
    has_audio: bool,
) -> None:
    mock, _ = served
    made = mock.clip(**body)
    mock.move(made, outcome="success")
    promised = mock.read(made).json["clip"]["file"]

    reply = mock.get(promised["url"].removeprefix(f"http://{HOST}"))

    assert (200, "video/mp4", "bytes") == (
        reply.status,
        reply.headers["content-type"],
        reply.headers["accept-ranges"],
    )
    assert "x-mock-media" not in reply.headers
    file = tmp_path / "film.mp4"
    file.write_bytes(reply.body)
    seen = film(file)
    assert (width, height, frames, fps, has_audio) == (
        seen.width,
        seen.height,
        seen.frames,
        round(seen.fps),
        seen.has_audio,
    )
    assert abs(float(promised["seconds"]) - seen.seconds) < 0.001


RANGES = [
    ("bytes=0-0", 206, (0, 0)),
    ("bytes=0-4", 206, (0, 4)),
    ("bytes=2-", 206, (2, -1)),
    ("bytes=-3", 206, (-3, -1)),
    ("bytes=-999999999", 206, (0, -1)),
    ("bytes=5-999999999", 206, (5, -1)),
    ("BYTES=1-2", 206, (1, 2)),
    ("bytes= 1-2", 206, (1, 2)),
    ("bytes=999999999-", 416, None),
    ("bytes=999999999-9999999999", 416, None),
    ("bytes=-0", 416, None),
    ("bytes=4-2", 200, None),
    ("bytes=0-1,3-4", 200, None),
    ("bytes=", 200, None),
    ("bytes=-", 200, None),
    ("bytes=a-b", 200, None),
    ("bytes=1-2-3", 200, None),
    ("bytes=+1-2", 200, None),
    ("bytes=²-³", 200, None),
    ("bytes=" + "9" * 5_000 + "-", 200, None),
    ("items=0-1", 200, None),
    ("0-1", 200, None),
    ("bytes 0-1", 200, None),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("wanted", "status", "span"), RANGES, ids=lambda value: str(value)[:24])
def test_a_part_of_a_film_is_sent_where_one_can_be(
    served: tuple[Mock, str], method: str, wanted: str, status: int, span: tuple[int, int] | None
) -> None:
    mock, path = served
    whole = mock.get(path)
    size = len(whole.body)

    reply = mock.call(method, path, headers={"range": wanted})

    assert status == reply.status
    expected = whole.body if status == 200 else b""
    if span is not None:
        first, last = (at % size for at in span)
        expected = whole.body[first : last + 1]
        assert f"bytes {first}-{last}/{size}" == reply.headers["content-range"]
    if status == 416:
        assert f"bytes */{size}" == reply.headers["content-range"]
    assert (b"" if method == "HEAD" else expected) == reply.body
    assert str(len(expected)) == reply.headers["content-length"]
    assert whole.headers["etag"] == reply.headers["etag"]


def test_a_part_is_sent_only_of_the_film_that_was_begun(served: tuple[Mock, str]) -> None:
    mock, path = served
    etag = mock.get(path).headers["etag"]

    assert 206 == mock.call("GET", path, headers={"range": "bytes=0-1", "if-range": etag}).status
    assert 200 == mock.call("GET", path, headers={"range": "bytes=0-1", "if-range": '"other"'}).status
    assert (
        200
        == mock.call(
            "GET", path, headers={"range": "bytes=0-1", "if-range": "Wed, 21 Oct 2015 07:28:00 GMT"}
        ).status
    )


def is_problem(reply: Reply, status: int) -> bool:
    return (status, "application/problem+json") == (reply.status, reply.headers["content-type"])


def test_what_leads_to_no_film_is_told(served: tuple[Mock, str]) -> None:
    mock, path = served
    media, task, name = path.rsplit("/", 2)
    other = finished(mock)
    waiting = mock.clip()

    for wrong in (
        f"{media}/{task}/other.mp4",
        f"{media}/{task}/{name}.exe",
        f"{media}/{task}/{other.rsplit('/')[-1]}",
        f"{media}/none/{name}",
        f"{media}/{task}",
        f"{media}/{task}/",
        f"{media}/{task}/x/{name}",
        f"{media}/",
        f"{media}/../../etc/passwd",
        f"{media}/%2e%2e/%2e%2e",
        f"/t/blue{path}",
        f"/t/none{path}",
        f"{media}/{waiting}/{name}",
    ):
        assert is_problem(mock.get(wrong), 404), wrong
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        reply = mock.call(method, path)
        assert is_problem(reply, 405)
        assert "GET, HEAD" == reply.headers["allow"]


def test_a_task_that_failed_has_no_film(served: tuple[Mock, str]) -> None:
    mock, path = served
    made = mock.clip()
    mock.move(made, outcome="failure")

    assert is_problem(mock.get(f"/__media/{made}/{path.rsplit('/')[-1]}"), 404)


def test_a_film_is_gone_when_the_provider_says_so() -> None:
    with Mock(log="off", is_stepped=False) as mock:
        mock.freeze()
        path = finished(mock)

        mock.advance("PT59M59.999S")
        assert 200 == mock.get(path).status
        mock.advance("PT0.001S")
        gone = mock.get(path)
        assert is_problem(gone, 403)
        assert "expired" in gone.json["title"]
        assert 200 == mock.get("/toy/api/clips", x_toy_key=KEY).status


def test_a_film_stays_where_it_is_until_its_tenant_begins_again() -> None:
    with Mock(log="off", is_stepped=False) as mock:
        mock.freeze()
        path = finished(mock)

        assert mock.get(path).body == mock.get(path).body
        mock.admin("POST", "/reset")
        assert is_problem(mock.get(path), 404)


def test_the_journal_says_who_fetched_which_film(served: tuple[Mock, str]) -> None:
    mock, _ = served
    url = finished(mock)
    made = url.split("/")[2]

    film = mock.get(url, range="bytes=0-9")
    gone = mock.get(url.replace(".mp4", ".avi"))

    assert (206, 404) == (film.status, gone.status)
    found = [one for one in mock.admin("GET", f"/requests?task={made}")["requests"] if "__media" in str(one)]
    newest, oldest = (one for one in found if one["request"]["target"].startswith("/__media"))
    assert (404, 206) == (newest["response"]["status"], oldest["response"]["status"])
    assert ("toy", None, "accepted", []) == tuple(
        oldest[name] for name in ("provider", "operation", "verdict", "nearMisses")
    )
    assert oldest["response"]["body"] is None, "a film says nothing in a journal"
    assert [] == mock.admin("GET", f"/requests?unmatched=true&task={made}")["requests"]
    entry = mock.admin("GET", f"/requests.har?task={made}")["log"]["entries"][-2]
    assert 10 == entry["response"]["content"]["size"]


def test_without_pyav_the_packaged_clip_is_served_and_header_and_log_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "can_make_clips", lambda: False)
    with Mock() as mock:
        path = finished(mock)

        reply = mock.get(path)
        part = mock.call("GET", path, headers={"range": "bytes=0-3"})
        mock.wait(0.1)

        assert (200, packaged_clip()) == (reply.status, reply.body)
        assert (206, packaged_clip()[:4]) == (part.status, part.body)
        assert "understudy[media]" in reply.headers["x-mock-media"]
        assert 2 == mock.log.getvalue().count("PyAV is not installed")


def test_the_api_answers_while_a_film_is_made(maker: Maker) -> None:
    with Mock(log="off", is_stepped=False) as mock:
        path = finished(mock)

        async def scene() -> tuple[list[int], bool, list[Reply]]:
            waiting = [asyncio.ensure_future(mock.send("GET", path)) for _ in range(5)]
            statuses = []
            for _ in range(20):
                reply = await mock.send("GET", "/toy/api/clips", headers={"x-toy-key": KEY})
                statuses.append(reply.status)
            was_waiting = not any(one.done() for one in waiting)
            maker.gate.set()
            return statuses, was_waiting, list(await asyncio.gather(*waiting))

        statuses, was_waiting, films = mock.run(scene())

    assert ([200] * 20, True) == (statuses, was_waiting)
    assert [200] * 5 == [one.status for one in films]
    assert 1 == len(maker.made)
