"""A name that begins like another is not it: where a prefix is looked at, a separator follows (CVE-2026-59149)."""

from __future__ import annotations

import pytest

from mockserver.receivers import NotAllowedError, Policy
from mockserver.settings import Settings
from tests.mock import HOST, KEY, Mock
from tests.safety.receiving import ELSEWHERE

TOKEN = {"admin_token": "0123456789abcdef"}


@pytest.mark.parametrize(
    "path", ["/toyx/api/clips", "/toy-old/api/clips", "/toy.bak/api/clips", "/toy%2fapi/clips"]
)
def test_a_provider_is_a_whole_segment(path: str) -> None:
    with Mock("toy", "kling") as mock:
        reply = mock.call("GET", path, headers={"x-toy-key": KEY})

    assert (404, "application/problem+json") == (reply.status, reply.headers["content-type"])


@pytest.mark.parametrize(
    "path", ["/__adminx/tasks", "/__admin-old/tasks", "/__admin.json", "/__admins", "/t/a/__adminx/tasks"]
)
def test_what_begins_like_the_control_plane_is_not_it(path: str) -> None:
    with Mock("toy", "kling") as mock:
        assert 404 == mock.call("GET", path).status


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/__admin",
            "/__admin/",
            "/__admin/tasks",
            "/__admin/tasks/",
            "/__admin//tasks",
            "/__admin/x/../tasks",
        ),
        *(
            "/t/a/__admin/tasks",
            "/%5f%5fadmin/tasks",
            "/__%61dmin/tasks",
            "/t/a/%5f_admin/tasks",
            "/__admin%2ftasks",
        ),
        *(
            "//__admin/tasks",
            "/./__admin/tasks",
            "/toy/../__admin/tasks",
            "/__ADMIN/tasks",
            "/__admin;x/tasks",
        ),
        *(
            "/__admin/health",
            "/__admin/health/",
            "/t/a/__admin/health",
            "/__admin/%68ealth",
            "/__admin\\tasks",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_no_spelling_of_the_control_plane_goes_round_its_token(method: str, path: str) -> None:
    with Mock("toy", "kling", **TOKEN) as mock:
        reply = mock.call(method, path, body=b"{}" if method in ("POST", "PUT", "PATCH") else None)

    assert reply.status in (400, 401, 404, 405), reply


def test_a_media_path_is_a_whole_segment() -> None:
    with Mock() as mock:
        mock.freeze()
        task = mock.clip()
        mock.advance("PT1M")
        path = mock.read(task).json["clip"]["file"]["url"].partition(HOST)[2]
        assert 200 == mock.call("HEAD", path).status

        for bent in (path.replace("__media", "__mediax"), path + "x", path + "/", path.removesuffix(".mp4")):
            assert 404 == mock.call("HEAD", bent).status, bent
        # Half an id is none, nor is one with more behind it.
        assert 404 == mock.call("HEAD", path.replace(task, task[:-1])).status
        assert 404 == mock.call("HEAD", path.replace(task, task + "0")).status


def test_a_tenant_that_begins_like_another_sees_nothing_of_it() -> None:
    with Mock() as mock:
        task = mock.clip(base="/t/shop-2/toy/api")

        for other in ("shop", "shop-", "shop-22", "SHOP-2", "shop-2.", "hop-2"):
            assert 404 == mock.read(task, base=f"/t/{other}/toy/api").status
            assert [] == mock.admin("GET", "/tasks", tenant=other)["tasks"]
        assert 200 == mock.read(task, base="/t/shop-2/toy/api").status


def test_a_key_that_begins_like_another_opens_nothing_of_it() -> None:
    with Mock() as mock:
        task = mock.clip(key="toy-key-1")

        for other in ("toy-key-", "toy-key-11", "toy-key-1x", "TOY-KEY-1"):
            assert 200 != mock.read(task, key=other).status
        assert 200 == mock.read(task, key="toy-key-1").status


@pytest.mark.parametrize(
    "given", ["0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "", "0123456789abcdef\x00"]
)
def test_half_an_admin_token_is_none(given: str) -> None:
    with Mock(**TOKEN) as mock:
        for headers in ({"x-admin-token": given}, {"authorization": f"Bearer {given}"}):
            assert 401 == mock.call("GET", "/__admin/tasks", headers=headers).status


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("receiver.test", "receiver.test.evil.test", "10.0.0.1"),
        ("receiver.test", "evil-receiver.test", "10.0.0.1"),
        ("receiver.test", "xreceiver.test", "10.0.0.1"),
        ("receiver.test", "receiver.testx", "10.0.0.1"),
        ("receiver.test", "receiver", "10.0.0.1"),
        ("10.1.2.3", "10.1.2.30", "10.1.2.30"),
        ("10.1.2.3", "10.1.2.3.evil.test", "10.0.0.1"),
        ("10.1.0.0/16", "x.test", "10.10.0.1"),
        ("fd00::/16", "x.test", "fd00:1::".replace("fd00", "fd01")),
    ],
)
def test_a_receiver_that_begins_or_ends_like_a_listed_one_is_not_listed(
    entry: str, host: str, address: str
) -> None:
    policy = Policy.of(Settings(callback_allow=(entry,), **ELSEWHERE))

    with pytest.raises(NotAllowedError):
        policy.check(host, address)
