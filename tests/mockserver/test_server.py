"""What a server says before it serves: its port, its greeting, a line to paste for each provider."""

from __future__ import annotations

import json
import shlex
import socket
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from mockserver import server
from mockserver.app import App
from mockserver.server import curl_line, greeting, listen, sample_credential
from mockserver.settings import SettingError, Settings
from mockserver.store import MemoryStore
from tests.mock import Mock, Receivers, Wall
from tests.providers import LIBRARY, contract
from validator.security import KeyRing

ALL = ["toy", *LIBRARY]


# --- the port ---------------------------------------------------------------------------------------------


def test_port_0_is_any_that_is_free() -> None:
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", 0) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
        assert not first.getblocking()


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingError) as caught:
            listen("127.0.0.1", port)

    assert f"127.0.0.1:{port} cannot be used" in str(caught.value)
    assert "another program has it; choose another with --port" in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_here_is_told(host: str) -> None:
    with pytest.raises(SettingError, match="cannot be used"):
        listen(host, 0)


def test_a_port_that_was_just_left_can_be_used_again() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        first.listen()
        with socket.create_connection(("127.0.0.1", port)):
            pass
    with listen("127.0.0.1", port) as again:
        assert port == again.getsockname()[1]


# --- the greeting -----------------------------------------------------------------------------------------


def greet(*names: str, is_coloured: bool = False, **settings: Any) -> str:
    """Return the greeting of a server of these providers."""
    app = App(
        Settings(**settings),
        {name: contract(name) for name in names},
        store=MemoryStore(),
        sender=Receivers(Wall()),
    )
    return greeting(app, is_coloured=is_coloured)


def test_the_greeting_names_each_provider_and_how_to_begin() -> None:
    text = greet(*ALL)

    assert "Understudy serves 5 providers" in text
    for name in ALL:
        known = contract(name)
        assert known.title in text
        assert f"base URL     http://127.0.0.1:8700/{name}{known.base_path}\n" in text
    assert text.count("    try          curl -s http://127.0.0.1:8700/") == 5
    assert "http://127.0.0.1:8700/__admin/health" in text
    assert "tasks move by  real time; kept in memory" in text
    assert "serves 1 provider;" in greet("toy")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"speed": 60.0}, "tasks move by  60 times as fast"),
        ({"progress": "polls", "polls_per_step": 3}, "tasks move by  3 reads a step"),
        ({"progress": "manual"}, "tasks move by  only the admin API"),
        ({"host": "0.0.0.0", "admin_token": "t", "port": 81}, "http://127.0.0.1:81/toy/api"),
        ({"host": "::1"}, "http://[::1]:8700/toy/api"),
        (
            {"credentials": {"toy": KeyRing(keys={"a": None, "b": None})}},
            "X-Toy-Key: <key>  (the 2 configured)",
        ),
        ({}, "Bearer <JWT with iss, exp> or an API key  (anything well formed)"),
        ({}, "signed with the secret understudy-webhook-secret  (yours: --webhook-secret toy=...)"),
        ({"secrets": {"toy": "hidden"}}, "signed with the configured secret"),
    ],
)
def test_the_greeting_says_what_was_set(settings: dict[str, Any], sentence: str) -> None:
    assert sentence.lower() in greet("toy", **settings).lower()


def test_the_greeting_shows_no_secret() -> None:
    text = greet(
        "toy",
        credentials={"toy": KeyRing(keys={"hidden-1": "hidden-2"})},
        secrets={"toy": "hidden-3"},
        admin_token="hidden-4",
    )

    assert "hidden" not in text
    assert "YOUR-KEY" in text


def test_without_pyav_the_greeting_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "understudy[media]" not in greet("toy")
    monkeypatch.setattr(server, "can_make_clips", lambda: False)
    assert "pip install 'understudy[media]'" in greet("toy")


def test_colour_is_only_where_it_is_wanted() -> None:
    assert "\x1b[" in greet("toy", is_coloured=True)
    assert "\x1b[" not in greet("toy")


# --- a line to paste --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_the_line_to_paste_makes_a_task(name: str) -> None:
    with Mock(name, log="off") as mock:
        words = shlex.split(curl_line(mock.settings, contract(name), "http://127.0.0.1:8700"))
        headers = dict(word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H")
        body = json.loads(words[words.index("-d") + 1])

        reply = mock.call("POST", words[2].removeprefix("http://127.0.0.1:8700"), json=body, headers=headers)

        assert ["curl", "-s"] == words[:2]
        assert reply.status < 300, reply
        assert 1 == mock.admin("GET", "/tasks")["count"]


@pytest.mark.parametrize("name", ALL)
def test_with_keys_configured_the_line_says_where_to_put_ones_own(name: str) -> None:
    settings = Settings(credentials={name: KeyRing(keys={"hidden": None})})
    operation = next(one for one in contract(name).operations.values() if one.role == "create")

    _, value = sample_credential(settings, contract(name), operation)

    assert value in ("YOUR-KEY", "Bearer YOUR-KEY")


def test_where_only_tokens_are_taken_one_for_a_day_is_made() -> None:
    """No provider of the library insists on one; a key in the form that is asked for is shorter."""
    known = next(one for one in contract("toy").operations.values() if one.role == "create")
    form = known.credentials[1]
    assert form.jwt is not None
    only = replace(known, credentials=(replace(form, jwt=replace(form.jwt, opaque=None)),))

    header, value = sample_credential(Settings(), contract("toy"), only)

    with Mock(log="off", is_stepped=False, wall=Wall(server.wall_ms())) as mock:
        reply = mock.call("GET", "/toy/api/wallet?since=0", headers={header: value})
    assert ("Authorization", 200) == (header, reply.status)
