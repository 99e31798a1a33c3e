"""The pass and fail files: found by rule, written out with their macros, told where they are written wrong."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import make
from tests.providers import LIBRARY
from validator import cases
from validator.cases import Case, case_folder, expand, find_case, read_cases, shorten
from validator.contract import SpecError


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a provider `acme` in a library of its own."""
    folder = tmp_path / "specs" / "_cases" / "acme"
    for kind in ("pass", "fail"):
        (folder / kind).mkdir(parents=True)
    monkeypatch.setattr(resources, "files", lambda name: tmp_path / name)
    return folder


def written(library: Path, text: str) -> Case:
    (library / "fail" / "acme.a.b.yaml").write_text(text)
    found = find_case("acme", "acme.a.b", "fail")
    assert found is not None
    return found


# --- finding ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARY)
def test_every_file_of_the_library_can_be_read(name: str) -> None:
    for kind in cases.CaseKind.__args__:  # type: ignore[attr-defined]
        found = read_cases(name, kind)
        assert found
        assert sorted(found, key=lambda case: case.rule) == found
        for case in found:
            assert case == find_case(name, case.rule, kind)
            assert (case.operation is None) != (case.path == "/")


def test_who_has_no_files_has_none() -> None:
    assert case_folder("nobody") is None
    assert [] == read_cases("nobody", "fail")
    assert find_case("nobody", "nobody.a.b", "pass") is None
    assert find_case("kling", "kling.no.such", "pass") is None


def test_an_installed_package_has_them_beside_its_specs(library: Path) -> None:
    (library / "pass" / "acme.b.yaml").write_text("operation: op\nbody: {}\n")
    (library / "pass" / "acme.a.yaml").write_text("operation: op\n")
    (library / "pass" / "notes.txt").write_text("not a case")

    assert ["acme.a", "acme.b"] == [case.rule for case in read_cases("acme", "pass")]
    assert [] == read_cases("acme", "fail")


# --- reading ----------------------------------------------------------------------------------------------


def test_a_file_says_what_is_sent_and_what_is_expected(library: Path) -> None:
    case = written(
        library,
        "why: because\noperation: createClip\nverdict: refused\nlocation: /model\nalso: [acme.c]\n"
        "answer: {status: 400}\nbody: {model: a9, at: '16:9', switch: on}\n",
    )

    assert ("because", "createClip", "refused", "/model") == (
        case.why,
        case.operation,
        case.verdict,
        case.location,
    )
    assert (("acme.c",), {"status": 400}) == (case.also, case.answer)
    # YAML 1.2: `on` is a text.
    assert {"model": "a9", "at": "16:9", "switch": "on"} == case.body
    assert b'{"model":"a9","at":"16:9","switch":"on"}' == case.request().body
    assert "application/json" == case.request().headers["content-type"]


def test_a_file_may_hold_a_whole_request(library: Path) -> None:
    case = written(library, "request: {method: PUT, path: '/a?b=1', headers: {X-A: b}, body: null}\n")

    request = case.request()

    assert case.operation is None
    assert ("PUT", "/a", {"b": "1"}, b"null") == (
        request.method,
        request.path,
        dict(request.query),
        request.body,
    )
    assert "b" == request.headers["x-a"]


def test_a_body_may_be_any_text_or_none_at_all(library: Path) -> None:
    text = written(library, "request: {path: /a, text: '{broken'}\n")
    nothing = written(library, "request: {method: GET, path: /a}\n")

    assert (b"{broken", True) == (text.request().body, text.text is not None)
    assert (b"", False) == (nothing.request().body, nothing.has_body)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "holds no mapping"),
        ("", "holds no mapping"),
        ("a: [", ""),
        ("operatoin: x\n", "'operatoin' is not known (did you mean 'operation'?)"),
        ("body: {}\nbody: {}\n", ""),
    ],
)
def test_a_file_that_is_written_wrong_is_told(text: str, sentence: str, library: Path) -> None:
    with pytest.raises(SpecError) as error:
        written(library, text)

    assert "acme.a.b.yaml" in error.value.file
    assert sentence in str(error.value)


# --- macros -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "long", "short"),
    [
        ({"$repeat": {"text": "ab", "times": 3}}, "ababab", "<'ab' 3 times>"),
        ({"a": {"$repeat": {"text": "x", "times": 2_500}}}, {"a": "x" * 2_500}, {"a": "<'x' 2,500 times>"}),
        ({"$list": {"item": {"x": 1}, "times": 2}}, [{"x": 1}] * 2, [{"x": 1}, "<2 of them>"]),
        (
            {"$list": {"item": {"$repeat": {"text": "a", "times": 2}}, "times": 2}},
            ["aa", "aa"],
            ["<'a' 2 times>", "<2 of them>"],
        ),
        ([{"b": {"$repeat": {"text": "", "times": 9}}}], [{"b": ""}], [{"b": "<'' 9 times>"}]),
        # A member of that name among others is the API's own.
        ({"$repeat": 1, "b": 2}, {"$repeat": 1, "b": 2}, {"$repeat": 1, "b": 2}),
        (None, None, None),
    ],
)
def test_a_macro_is_written_out_for_machines_and_named_for_people(body: Any, long: Any, short: Any) -> None:
    assert long == expand(body)
    assert short == shorten(body)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ({}, "<image/png 320x320>"),
        ({"format": "JPEG", "width": 10, "height": 20}, "<image/jpeg 10x20>"),
        ({"bytes": 10_000_000}, "<image/png 320x320, 10,000,000 bytes>"),
        ({"cut": 12}, "<image/png 320x320, its last 12 bytes missing>"),
        ({"carrier": "data-uri"}, "<image/png 320x320, as a data: URI>"),
        ({"carrier": "urlsafe"}, "<image/png 320x320, in the alphabet with - and _>"),
        ({"text": "hello"}, "<no picture: the Base64 of 'hello'>"),
    ],
)
def test_a_picture_is_named_for_people_and_made_by_who_can(word: dict[str, Any], text: str) -> None:
    body = {"image": {"$picture": word}}

    assert {"image": text} == shorten(body)
    assert body == expand(body)
    assert {"image": make(word)} == expand(body, picture=make)


def test_a_case_tells_whether_a_picture_must_be_made(library: Path) -> None:
    with_one = written(library, "operation: a\nbody: {masks: [{mask: {$picture: {}}}]}\n")
    without = written(library, "operation: a\nbody: {masks: [{mask: {$repeat: {text: a, times: 2}}}]}\n")

    assert (True, False) == (with_one.has_pictures, without.has_pictures)
    assert b'"iVBOR' in with_one.request(picture=make).body
