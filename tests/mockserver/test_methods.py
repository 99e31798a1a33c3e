"""What only a fuzzer sends: other methods, pages far beyond the last, times written as no client writes them."""

from __future__ import annotations

import pytest

from mockserver.store import MemoryStore, SqliteStore
from tests.mock import KEY, Mock


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/clips", {"GET", "HEAD", "POST"}),
        ("TRACE", "/clips/clip_1", {"GET", "HEAD"}),
        ("POST", "/clips/clip_1", {"GET", "HEAD"}),
    ],
)
def test_a_405_names_the_methods_of_the_path(method: str, path: str, allowed: set[str]) -> None:
    with Mock() as mock:
        reply = mock.call(method, f"/toy/api{path}", headers={"x-toy-key": KEY})

    assert 405 == reply.status
    assert allowed == set(reply.headers["allow"].split(", "))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/clock", {"GET", "HEAD", "PUT"}), ("PUT", "/tasks/x", {"GET", "HEAD", "PATCH"})],
)
def test_a_405_of_the_control_plane_does_too(method: str, path: str, allowed: set[str]) -> None:
    with Mock() as mock:
        reply = mock.call(method, f"/__admin{path}")

    assert 405 == reply.status
    assert allowed == set(reply.headers["allow"].split(", "))


@pytest.mark.parametrize("digits", [19, 40, 300])
@pytest.mark.parametrize("store", [MemoryStore, SqliteStore])
def test_a_page_far_beyond_the_last_is_empty(store: type, digits: int, tmp_path: object) -> None:
    where = {} if store is MemoryStore else {"store": SqliteStore(f"{tmp_path}/tasks.db")}
    with Mock("magnific", **where) as mock:  # type: ignore[arg-type]
        path = "/magnific/v1/ai/video/kling-4k-t2v"
        headers = {"x-magnific-api-key": "FPSX0123456789"}
        mock.call("POST", path, json={"prompt": "A boat"}, headers=headers)

        far = mock.call("GET", f"{path}?page={'9' * digits}&per_page={'9' * digits}", headers=headers)

    assert (200, []) == (far.status, far.json["data"])


@pytest.mark.parametrize(
    ("moment", "status"), [(4_102_444_800_000.0, 200), ("1121-02-15T06:45:12+23:36", 409)]
)
def test_a_time_may_be_written_oddly(moment: object, status: int) -> None:
    with Mock() as mock:
        mock.admin("PUT", "/clock", {"mode": "frozen", "now": moment}, status=status)
        moved = mock.admin("POST", "/clock/advance", {"to": moment}, status=status)

    assert status == 409 or "2100-01-01T00:00:00.000Z" == moved["now"]


def test_a_clock_at_its_end_still_answers() -> None:
    with Mock() as mock:
        mock.admin("PUT", "/clock", {"mode": "frozen", "now": "9999-12-31T23:59:59Z"})

        mock.admin("POST", "/clock/advance", {"by": "PT5M"}, status=409)

        assert "9999-12-31T23:59:59.000Z" == mock.admin("GET", "/clock")["now"]
        assert 200 == mock.create().status
        assert 1 == len(mock.admin("GET", "/tasks")["tasks"])
