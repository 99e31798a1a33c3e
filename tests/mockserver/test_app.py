"""Addresses: which provider, tenant and operation a request is for, and the voice it is answered in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mockserver.app import load_contracts
from mockserver.settings import SettingError, Settings
from tests.mock import HOST, KEY, Mock, Reply
from tests.providers import LIBRARY, TOY
from validator.contract import SpecError

HEADERS = {"x-toy-key": KEY}
BOAT = {"prompt": "a boat"}
REAL = "/api/clips"
"""The path that the provider itself has."""


@pytest.fixture(scope="module")
def toy() -> Iterator[Mock]:
    """A server of the toy alone."""
    with Mock(log="off") as mock:
        yield mock


@pytest.fixture(scope="module")
def both() -> Iterator[Mock]:
    """A server of the toy and of one that has other paths."""
    with Mock("toy", "kling", log="off") as mock:
        yield mock


def post(mock: Mock, path: str, **headers: str) -> Reply:
    """Ask for a clip at a path."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return mock.call("POST", path, json=BOAT, headers=HEADERS | named)


def is_problem(reply: Reply) -> bool:
    """Tell whether an answer speaks in our own voice (RFC 9457)."""
    if reply.headers["content-type"] != "application/problem+json":
        return False
    return {"type", "title", "status", "detail"} == set(reply.json) and reply.json["status"] == reply.status


# --- which provider ---------------------------------------------------------------------------------------


WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "prefix": ("/toy" + REAL, {}),
    "host": (REAL, {"host": "api.toy.example"}),
    "second-host": (REAL, {"host": "old.toy.example"}),
    "host-and-port": (REAL, {"host": "api.toy.example:8700"}),
    "capital-host": (REAL, {"host": "API.Toy.Example"}),
    "path-alone": (REAL, {}),
    "prefix-and-foreign-host": ("/toy" + REAL, {"host": "api.klingai.com"}),
}


@pytest.mark.parametrize("tenant", ["", "/t/acme"])
@pytest.mark.parametrize("way", WAYS)
def test_a_provider_is_reached_in_many_ways(both: Mock, way: str, tenant: str) -> None:
    path, headers = WAYS[way]

    reply = post(both, tenant + path, **headers)

    assert reply.status == 200, reply
    made = reply.json["clip"]["id"]
    assert both.read(made, base=f"{tenant}/toy/api").status == 200
    assert both.admin("GET", f"/tasks/{made}", tenant=tenant[3:])["operation"] == "createClip"


def test_the_only_provider_answers_everywhere(toy: Mock) -> None:
    lost = toy.get("/no/such/path")

    assert post(toy, REAL).status == 200
    assert (lost.status, lost.json["error"]) == (404, "Nothing at /no/such/path")


@pytest.mark.parametrize("host", ["api.toy.example", "api.toy.example:8700", "OLD.toy.example:443"])
def test_a_host_alone_names_a_provider(both: Mock, host: str) -> None:
    lost = both.call("GET", "/nothing", headers={"host": host})

    assert (404, "Nothing at /nothing") == (lost.status, lost.json.get("error"))


@pytest.mark.parametrize("host", ["toy.example", "api.toy.example.evil.test", "xapi.toy.example", ""])
def test_a_host_that_is_nearly_right_names_none(both: Mock, host: str) -> None:
    assert is_problem(both.call("GET", "/nothing", headers={"host": host}))


def test_a_path_that_two_providers_have_is_for_neither() -> None:
    with Mock("aimlapi", "kling", "modellix", log="off") as mock:
        assert is_problem(mock.get("/")) is False
        for path in ("/nothing", "/v9/videos/text2video"):
            reply = mock.get(path)
            assert (404, True) == (reply.status, is_problem(reply))
            assert "/aimlapi, /kling, /modellix" in reply.json["detail"]


def test_a_method_that_the_path_does_not_take_is_still_for_its_provider(both: Mock) -> None:
    reply = both.call("DELETE", REAL, headers=HEADERS)

    assert (405, "method") == (reply.status, reply.json["code"])


def test_the_name_of_a_provider_is_a_whole_segment(both: Mock) -> None:
    assert is_problem(both.get("/toys/api/clips"))
    assert both.get("/toy").json["error"] == both.get("/toy/").json["error"] == "Nothing at /"


def test_the_first_page_lists_what_is_served(both: Mock) -> None:
    reply = both.call("GET", "/", headers={"host": "mock.test:1234"})

    assert (200, "application/json") == (reply.status, reply.headers["content-type"])
    assert reply.json["providers"] == {
        "toy": "http://mock.test:1234/toy/api",
        "kling": "http://mock.test:1234/kling",
    }
    assert reply.json["admin"] == "http://mock.test:1234/__admin"


# --- which tenant -----------------------------------------------------------------------------------------


def test_a_header_names_the_tenant_where_the_path_does_not(toy: Mock) -> None:
    made = post(toy, "/toy/api/clips", x_mock_tenant="blue").json["clip"]["id"]

    assert toy.read(made, base="/t/blue/toy/api").status == 200
    assert toy.read(made).status == 404
    assert toy.get(f"/toy/api/clips/{made}", x_toy_key=KEY, x_mock_tenant="blue").status == 200


def test_the_path_is_stronger_than_the_header(toy: Mock) -> None:
    made = post(toy, "/t/green/toy/api/clips", x_mock_tenant="red").json["clip"]["id"]

    assert toy.read(made, base="/t/green/toy/api").status == 200
    assert toy.read(made, base="/t/red/toy/api").status == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/t//toy/api/clips", {}),
        ("/t/.hidden/toy/api/clips", {}),
        ("/t/-x/toy/api/clips", {}),
        ("/t/a%20b/toy/api/clips", {}),
        ("/t/..%2f../toy/api/clips", {}),
        (f"/t/{'x' * 65}/toy/api/clips", {}),
        ("/toy/api/clips", {"x-mock-tenant": "a b"}),
        ("/toy/api/clips", {"x-mock-tenant": "ü"}),
        ("/toy/api/clips", {"x-mock-tenant": "a/b"}),
        ("/t/é/toy/api/clips".encode().decode("latin-1"), {}),
    ],
)
def test_what_cannot_name_a_tenant_is_lost_in_the_providers_voice(
    toy: Mock, path: str, headers: dict[str, str]
) -> None:
    before = toy.admin("GET", "/health")

    reply = toy.call("POST", path, json=BOAT, headers=HEADERS | headers)

    assert (404, "toy.request.no-route") == (reply.status, reply.headers["x-mock-violations"])
    after = toy.admin("GET", "/health")
    assert (before["tenants"], before["tasks"]) == (after["tenants"], after["tasks"])


@pytest.mark.parametrize("path", ["/t/a%20b/nothing", "/t//nothing", f"/t/{'x' * 65}/nothing"])
def test_where_no_provider_is_meant_either_we_say_what_a_tenant_is(both: Mock, path: str) -> None:
    reply = both.call("POST", path, json=BOAT)

    assert (400, True, "No such tenant") == (reply.status, is_problem(reply), reply.json["title"])
    # The body was not read: it must not be taken for the next request.
    assert reply.headers["connection"] == "close"


def test_a_tenant_is_named_by_up_to_64_characters(toy: Mock) -> None:
    for name in ("a", "A.b-c_d", "0" * 64):
        assert post(toy, f"/t/{name}/toy/api/clips").status == 200


# --- which operation --------------------------------------------------------------------------------------


LOST = {
    "trailing-slash": "/toy/api/clips/",
    "double-slash": "/toy//api/clips",
    "double-slash-inside": "/toy/api//clips",
    "leading-double-slash": "//toy/api/clips",
    "case": "/toy/api/Clips",
    "dots": "/toy/api/../api/clips",
    "encoded-dots": "/toy/api/%2e%2e/api/clips",
    "encoded-slash": "/toy/api%2Fclips",
    "encoded-letter": "/toy/api/%63lips",
    "too-deep": "/toy/api/clips/a/b",
    "base-alone": "/toy/api",
    "nothing": "/toy/none",
    "semicolon": "/toy/api/clips;x=1",
    "no-utf-8": "/toy/api/%ff%fe",
    "half-escape": "/toy/api/%",
    "nul": "/toy/api/%00",
}


@pytest.mark.parametrize("way", LOST)
def test_a_path_that_is_nearly_right_is_lost_in_the_providers_voice(toy: Mock, way: str) -> None:
    reply = post(toy, LOST[way])

    assert 404 == reply.status, reply
    assert reply.json["error"].startswith("Nothing at /")
    assert reply.headers["x-mock-violations"] == "toy.request.no-route"


ESCAPES = (
    "/../__admin/health",
    "/toy/../__admin/health",
    "/toy/%2e%2e/__admin/health",
    "/toy/..%2f__admin/health",
)


@pytest.mark.parametrize(
    "path", [*ESCAPES, "/toy/api/clips/..%2f..%2f..%2f__admin%2fhealth", "/toy/__admin/health"]
)
def test_no_path_below_a_provider_leads_to_the_control_plane(toy: Mock, path: str) -> None:
    reply = toy.get(path, x_toy_key=KEY)

    assert reply.status == 404, reply
    assert "x-mock-request-id" in reply.headers


@pytest.mark.parametrize(
    "path", ["/%5f%5fadmin/health", "/__admin%2fhealth", "/__ADMIN/health", "/__adminx/health"]
)
def test_the_control_plane_has_one_spelling_or_stays_itself(toy: Mock, path: str) -> None:
    reply = toy.call("GET", path)

    # An encoded letter is the same letter (RFC 3986, 6.2.2.2): whatever answers is the control plane or nobody.
    assert reply.status in (200, 404)
    assert (reply.status == 200) == ("version" in reply.json)


def test_a_value_in_a_path_is_decoded_once(toy: Mock) -> None:
    made = toy.create(name="a/b %41é").json["clip"]["id"]

    assert toy.read("a%2Fb%20%2541%C3%A9").json["clip"]["id"] == made
    assert toy.read("a%2Fb%20%41%C3%A9").status == 404


@pytest.mark.parametrize("name", ["%2e%2e", "..", "%00", "%ff", "a" * 5_000, "%25", "'\"<>", "[]"])
def test_any_value_in_a_path_is_answered(toy: Mock, name: str) -> None:
    reply = toy.read(name)

    assert (404, "lost") == (reply.status, reply.json["code"])


def test_a_query_does_not_change_the_path(toy: Mock) -> None:
    assert post(toy, "/toy/api/clips?x=/../__admin").status == 200
    assert toy.get("/toy/api/clips?page=1&page=zz", x_toy_key=KEY).status == 200, "the first counts"
    assert toy.get("/toy/api/clips?page=zz&page=1", x_toy_key=KEY).status == 400


# --- methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/toy/api/clips", "/toy/api/wallet?since=0", "/toy/api/wallet", "/toy/none"]
)
def test_head_is_get_without_a_body(toy: Mock, path: str) -> None:
    seen = toy.call("GET", path, headers=HEADERS)
    head = toy.call("HEAD", path, headers=HEADERS)

    varying = {"x-mock-request-id", "content-length", "date"}
    assert (head.status, head.body) == (seen.status, b"")
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in seen.headers.items() if name not in varying
    }
    assert int(head.headers["content-length"]) == len(seen.body)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "post"])
def test_other_methods_are_refused_in_the_providers_voice(toy: Mock, method: str) -> None:
    reply = toy.call(method, "/toy/api/clips", headers=HEADERS | {"origin": "https://page.test"})

    assert (405, "method") == (reply.status, reply.json["code"])
    assert reply.headers["x-mock-violations"] == "toy.request.method-not-allowed"
    assert {"GET", "HEAD", "POST"} == set(reply.headers["allow"].split(", "))
    assert not [name for name in reply.headers if name.startswith("access-control")], "no page of others"


def test_head_of_a_task_counts_as_a_read() -> None:
    with Mock(progress="polls", log="off") as mock:
        made = mock.clip()
        mock.call("HEAD", f"/toy/api/clips/{made}", headers=HEADERS)

        assert mock.admin("GET", f"/tasks/{made}")["state"] == "working"


def test_our_own_refusals_have_no_body_for_head(both: Mock) -> None:
    reply = both.call("HEAD", "/nothing")

    assert (404, b"") == (reply.status, reply.body)
    assert reply.headers["content-type"] == "application/problem+json"


def test_the_control_plane_answers_head_and_refuses_others(toy: Mock) -> None:
    assert toy.call("HEAD", "/__admin/health").status == 200
    wrong = toy.call("DELETE", "/__admin/health")

    assert (405, True) == (wrong.status, is_problem(wrong))
    assert "GET" in wrong.headers["allow"]


# --- hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("mock.test", "http://mock.test"),
        ("mock.test:81", "http://mock.test:81"),
        ("[::1]:8700", "http://[::1]:8700"),
        ("evil.test/@x", "http://127.0.0.1:8700"),
        ('a"b', "http://127.0.0.1:8700"),
        ("a b", "http://127.0.0.1:8700"),
        ("a\r\nx: y", "http://127.0.0.1:8700"),
        ("user@mock.test", "http://127.0.0.1:8700"),
        ("", "http://127.0.0.1:8700"),
    ],
)
def test_a_result_lies_where_the_client_came_in(toy: Mock, host: str, origin: str) -> None:
    made = post(toy, "/toy/api/clips", host=host).json["clip"]["id"]
    toy.move(made, outcome="success")

    file = toy.read(made).json["clip"]["file"]

    assert file["url"] == f"{origin}/__media/{made}/{file['id']}.mp4"


def test_a_strange_host_does_not_change_where_the_results_of_others_lie(toy: Mock) -> None:
    for host in (f"media acme{HOST}", f"/t/acme/toy/api http://{HOST}", f"acme{HOST}"):
        post(toy, "/toy/api/clips", host=host)
    post(toy, "/t/acm/toy/api/clips", host=f"e{HOST}")
    made = post(toy, "/t/acme/toy/api/clips").json["clip"]["id"]
    toy.move(made, outcome="success", tenant="acme")

    url = toy.read(made, base="/t/acme/toy/api").json["clip"]["file"]["url"]

    assert url.startswith(f"http://{HOST}/t/acme/__media/{made}/")


@pytest.mark.parametrize(
    ("path", "headers", "place"),
    [
        ("/toy/api/clips", {}, ""),
        ("/t/red/toy/api/clips", {}, "/t/red"),
        ("/toy/api/clips", {"x-mock-tenant": "red"}, "/t/red"),
        ("/api/clips", {"host": "api.toy.example"}, ""),
        ("/t/default/toy/api/clips", {}, "/t/default"),
    ],
)
def test_a_result_can_be_fetched_without_our_header(
    toy: Mock, path: str, headers: dict[str, str], place: str
) -> None:
    made = toy.call("POST", path, json=BOAT, headers=HEADERS | headers).json["clip"]["id"]
    tenant = place.removeprefix("/t/") or "default"
    toy.move(made, outcome="success", tenant=tenant)
    url = toy.read(made, base=f"/t/{tenant}/toy/api").json["clip"]["file"]["url"]

    assert url.split("/", 3)[2] == headers.get("host", HOST)
    assert "/" + url.split("/", 3)[3].partition("__media")[0].strip("/") == (place or "/")
    assert toy.get("/" + url.split("/", 3)[3]).status == 200


# --- what is served ---------------------------------------------------------------------------------------


def test_without_choice_the_whole_library_is_served() -> None:
    assert tuple(load_contracts(Settings())) == tuple(LIBRARY)


def test_a_file_of_ones_own_replaces_the_library_or_joins_it() -> None:
    assert ["toy"] == list(load_contracts(Settings(specs=(str(TOY),))))
    assert ["kling", "toy"] == list(load_contracts(Settings(providers=("kling",), specs=(str(TOY),))))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"providers": ("klin",)}, "did you mean 'kling'"),
        ({"providers": ("zzz",)}, "known: aimlapi"),
        ({"effects": {"toy.clip.sonud": "warn"}}, "did you mean 'toy.clip.sound'"),
        ({"effects": {"kling.sound.value": "warn"}}, "no rule 'kling.sound.value'"),
        ({"variants": {"kling": ("x",)}}, "--variant kling: not served here (toy are)"),
        ({"secrets": {"kling": "x"}}, "--webhook-secret kling"),
        ({"limits": {("kling", "credits"): 1.0}}, "--limit kling"),
        ({"credentials": {"kling": None}}, "--credential kling"),
    ],
)
def test_a_setting_for_what_is_not_served_is_refused(changes: Mapping[str, Any], sentence: str) -> None:
    settings = Settings(**({} if "providers" in changes else {"specs": (str(TOY),)}) | dict(changes))

    with pytest.raises(SettingError) as caught:
        load_contracts(settings)

    assert sentence in str(caught.value)


def test_a_variant_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        load_contracts(Settings(specs=(str(TOY),), variants={"toy": ("chaty",)}))

    assert "chatty" in str(caught.value)
