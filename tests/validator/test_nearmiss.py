"""Near misses: the operation that was meant comes first, with what has to be changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers import LIBRARY, contract
from validator.check import find_operation
from validator.nearmiss import MOST, near_miss_json, near_misses
from validator.report import Violation

KNOWN = {name: contract(name) for name in ("toy", *LIBRARY)}
TOY = {"toy": contract("toy")}


@pytest.mark.parametrize(
    ("method", "path", "instead", "why"),
    [
        ("POST", "/toy/api/clip", "POST /toy/api/clips", ["'clip' should be 'clips'"]),
        ("POST", "/toy/api/cilps", "POST /toy/api/clips", ["'cilps' should be 'clips'"]),
        (
            "POST",
            "/toy/api/Clips",
            "POST /toy/api/clips",
            ["'Clips' should be 'clips' (capital letters count)"],
        ),
        ("POST", "/toy/api/clips/", "POST /toy/api/clips", ["there is a slash at the end"]),
        ("POST", "/toy//api/clips", "POST /toy/api/clips", ["there are slashes too many: //"]),
        ("POST", "//toy/api/clips", "POST /toy/api/clips", ["there are slashes too many: //"]),
        ("POST", "/toy/clips", "POST /toy/api/clips", ["'/api' is missing at the beginning"]),
        ("POST", "/toy/api/api/clips", "POST /toy/api/clips", ["'/api' is too much at the beginning"]),
        ("POST", "/v2/toy/api/clips", "POST /toy/api/clips", ["'/v2' is too much before /toy"]),
        ("POST", "/tyo/api/clips", "POST /toy/api/clips", ["'tyo' should be 'toy'"]),
        ("POST", "/Toy/api/clips", "POST /toy/api/clips", ["'Toy' should be 'toy'"]),
        (
            "POST",
            "/kling/api/clips",
            "POST /toy/api/clips",
            ["it is toy's, not kling's: /toy stands before it"],
        ),
        ("GET", "/api/walet", "GET /toy/api/wallet", ["put /toy before it", "'walet' should be 'wallet'"]),
        ("GET", "/toy/api/clip/c-7", "GET /toy/api/clips/c-7", ["'clip' should be 'clips'"]),
        ("GET", "/toy/api/clips/c-7/status", "GET /toy/api/clips/c-7", ["'/status' is too much at the end"]),
        ("PATCH", "/toy/api/wallet", "GET /toy/api/wallet", ["it takes GET, not PATCH"]),
        ("HEAD", "/toy/api/walllet", "GET /toy/api/wallet", ["'walllet' should be 'wallet'"]),
    ],
)
def test_the_operation_that_was_meant_comes_first(
    method: str, path: str, instead: str, why: list[str]
) -> None:
    found = near_miss_json(near_misses(KNOWN, method, path)[0])

    assert (instead, why) == (found["instead"], found["why"])


@pytest.mark.parametrize(
    "path", ["/", "", "/favicon.ico", "/toy", "/toy/", "//", "/toy/x/y/z/u/v/w", "/wp-admin/x.php"]
)
def test_what_is_near_nothing_has_no_near_misses(path: str) -> None:
    assert () == near_misses(KNOWN, "GET", path)


def test_a_provider_that_is_alone_needs_nothing_before_its_paths() -> None:
    (first, *_) = near_misses(TOY, "POST", "/api/clip")

    assert ("'clip' should be 'clips'",) == first.why


def test_what_stands_before_all_paths_stands_before_what_to_call_instead() -> None:
    (first, *_) = near_misses(TOY, "GET", "/toy/api/walet")

    assert "GET /t/blue/toy/api/wallet" == near_miss_json(first, prefix="/t/blue")["instead"]


def test_what_could_steer_a_terminal_is_not_repeated() -> None:
    (first, *_) = near_misses(TOY, "G\x1b[31mT", "/toy/api/w\x1ballet")

    assert "\x1b" not in str(first.why) and len(first.why) == 2


STEPS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "toy", "kling", "api", "v1", "clips", "videos", "text2video", "%2f"]),
)


@given(method=st.sampled_from(["GET", "POST", "PUT", ""]), steps=st.lists(STEPS, max_size=40))
def test_anything_may_be_asked_and_what_is_named_does_exist(method: str, steps: list[str]) -> None:
    found = near_misses(KNOWN, method, "/" + "/".join(steps))

    assert len(found) <= MOST
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    for one in found:
        path = one.instead.removeprefix(f"/{one.provider}").replace("{...}", "x")
        reached = find_operation(KNOWN[one.provider], one.method, path)
        assert not isinstance(reached, Violation) and reached[0].id == one.operation


@given(length=st.integers(1_000, 100_000))
def test_a_path_without_end_takes_no_time_without_end(length: int) -> None:
    assert len(near_misses(KNOWN, "GET", "/toy" + "/" * length)) <= MOST
    assert len(near_misses(KNOWN, "GET", "/toy/" + "a" * length)) <= MOST
