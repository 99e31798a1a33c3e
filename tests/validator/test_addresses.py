"""Addresses: whose a request is; the usual ones are in test_lint.py, here are the odd ones."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers import LIBRARY, contract
from validator.addresses import Library, Place, Unknown, recognise
from validator.check import examine
from validator.request import HttpRequest

ALL = Library(contracts={name: contract(name) for name in ("toy", *LIBRARY)})
TOY = dataclasses.replace(ALL, contracts={"toy": contract("toy")}, provider="toy")


def found(url: str, library: Library = ALL, *, is_archived: bool = False) -> Place | Unknown:
    return recognise(HttpRequest.from_parts("GET", url), library, is_archived=is_archived)


def placed(url: str, library: Library = ALL) -> tuple[str, str]:
    place = found(url, library)
    assert isinstance(place, Place), place
    return place.contract.id, place.path


@pytest.mark.parametrize("name", ("toy", *LIBRARY))
def test_every_path_of_every_provider_is_recognised_at_every_base(name: str) -> None:
    known = contract(name)
    for operation in known.operations.values():
        path = "/".join("x1" if step is None else step for step in operation.segments)
        path = path if path.startswith("/") else f"/{path}"
        for base in (
            *(f"https://{host}" for host in known.hosts),
            f"http://127.0.0.1:8700/{name}",
            f"http://[::1]:8700/t/some.tenant_1/{name}",
            f"https://mock.internal/{name}",
            f"/{name}",
        ):
            assert (name, path) == placed(base + path)
            request = HttpRequest.from_parts(operation.method, base + path)
            place = recognise(request, ALL)
            assert isinstance(place, Place)
            out = examine(place.contract, dataclasses.replace(request, path=place.path))
            assert out.operation is not None
            assert operation.id == out.operation.id


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://[::1]:8700/api/clips", "/api/clips"),
        ("http://[fe80::1]/api/clips", "/api/clips"),
        ("http://10.0.0.7/api/clips", "/api/clips"),
        ("http://172.16.9.9:1/x/y/z/api/clips", "/api/clips"),
        ("http://toy-mock/api/clips", "/api/clips"),
        ("http://toy.test/api/clips", "/api/clips"),
        ("http://toy.localhost/api/clips", "/api/clips"),
        ("http://toy.local/api/clips", "/api/clips"),
        ("${BASE_URL}/api/clips", "/api/clips"),
        ("https://<your-host>/api/clips", "/api/clips"),
        ("%BASE%/clips/7", "/api/clips/7"),
        ("https://API.Toy.Example:443/api/clips/", "/api/clips/"),
        ("https://user:secret@api.toy.example/api/clips", "/api/clips"),
        ("https://api.toy.example/api/clips?page=2#part", "/api/clips"),
        ("https://api.toy.example/nothing/here", "/nothing/here"),
    ],
)
def test_a_host_that_says_nothing_leaves_it_to_the_path(url: str, path: str) -> None:
    assert ("toy", path) == placed(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/api/clips",
        "http://[2001:4860:4860::8888]/api/clips",
        "https://example.com/api/clips",
        "https://api.toy.example.com/api/clips",
        "https://api.toy.example@evil.com/api/clips",
        "https://evil.com/?https://api.toy.example/api/clips",
    ],
)
def test_the_host_of_somebody_else_is_nobody(url: str) -> None:
    place = found(url)

    assert isinstance(place, Unknown)
    assert place.problem.startswith("no provider has the host ")
    assert not place.is_ours


@pytest.mark.parametrize("url", ["$URL", "${BASE_URL}", "{{url}}", "$BASE/", "<url>"])
@pytest.mark.parametrize("library", [ALL, TOY])
def test_an_address_that_is_not_there_is_told(url: str, library: Library) -> None:
    place = found(url, library)

    assert isinstance(place, Unknown)
    assert f"the whole address is filled in later: {url}" == place.problem


def test_a_path_of_several_providers_is_told() -> None:
    twin = dataclasses.replace(contract("toy"), id="twin")
    library = Library(contracts={"toy": contract("toy"), "twin": twin})

    place = found("http://localhost/api/clips", library)

    assert Unknown("the path /api/clips may be of toy, twin", "give --provider, one of toy, twin") == place


def test_what_is_taken_by_its_path_alone_is_noted() -> None:
    by_path, by_host = found("http://localhost/api/clips"), found("https://api.toy.example/api/clips")

    assert isinstance(by_path, Place) and isinstance(by_host, Place)
    assert ("taken for toy by its path", "") == (by_path.note, by_host.note)


def test_a_provider_that_is_named_takes_any_host_and_any_path() -> None:
    assert ("toy", "/api/clips") == placed("https://gateway.example.com/v9/api/clips", TOY)
    assert ("toy", "/nothing") == placed("https://gateway.example.com/nothing", TOY)
    assert isinstance(found("https://gateway.example.com/nothing", TOY, is_archived=True), Unknown)


@pytest.mark.parametrize("path", ["/__admin/clock", "/t/x/__admin/tasks", "/__media/1/2.mp4"])
def test_a_mock_servers_own_paths_are_nobodys(path: str) -> None:
    place = found(f"http://localhost:8700{path}")

    assert isinstance(place, Unknown)
    assert place.is_ours


@given(
    url=st.text(max_size=50)
    | st.from_regex(r"(https?://)?[a-z.:\[\]0-9%$@]{0,12}(/[a-z{}<>$_.%]{0,8}){0,6}", fullmatch=True)
)
def test_any_url_is_placed_or_told(url: str) -> None:
    try:
        request = HttpRequest.from_parts("GET", url)
    except ValueError:
        return
    for library in (ALL, TOY):
        for is_archived in (False, True):
            place = recognise(request, library, is_archived=is_archived)

            assert isinstance(place, Place) or place.problem
            assert not isinstance(place, Place) or place.path.startswith("/")
