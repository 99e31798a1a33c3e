"""Settings: what is understood, what is refused, and that every door says the same defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from mockserver import cli
from mockserver.settings import (
    SettingError,
    Settings,
    parse_credentials,
    parse_effects,
    parse_limits,
    parse_pairs,
    parse_progress,
    parse_variants,
)
from validator.security import KeyRing


def test_the_defaults_go_together() -> None:
    Settings().check()


def test_the_command_line_has_the_same_defaults() -> None:
    known = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}
    renamed = {"max_body": "max_body_bytes"}

    options = {param.name: param.default for param in cli.serve.params}

    for name, default in options.items():
        if isinstance(default, str | int | float):
            assert known[renamed.get(name or "", name or "")] == default, name
    assert options["port"] == 8700


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("example.org", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, is_loopback: bool) -> None:
    assert is_loopback == Settings(host=host).is_loopback


def test_a_server_for_others_needs_an_admin_token() -> None:
    with pytest.raises(SettingError, match=r"0\.0\.0\.0 can be reached by others: give --admin-token"):
        Settings(host="0.0.0.0").check()

    Settings(host="0.0.0.0", admin_token="secret").check()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"speed": 0}, "speed 0: must be above 0"),
        ({"speed": -1.5}, "speed -1.5: must be above 0"),
        ({"speed": float("nan")}, "speed nan: must be above 0"),
        ({"speed": 2e6}, "speed 2e+06: must be above 0 and at most 1,000,000"),
        ({"polls_per_step": 0}, "polls per step 0: must be at least 1"),
        ({"progress": "dice"}, "progress 'dice': write time, polls or manual"),
        ({"store": "redis://here"}, "store 'redis://here': write memory or sqlite:///FILE"),
        ({"store": "sqlite:///"}, "store 'sqlite:///': write memory or sqlite:///FILE"),
        ({"admin_token": ""}, "admin-token: it is empty"),
        ({"admin_token": "s\u00e9same"}, "admin-token: a header carries printable ASCII only"),
        ({"admin_token": " sesame"}, "admin-token: a header carries printable ASCII only"),
        ({"admin_token": "sesame\n"}, "admin-token: a header carries printable ASCII only"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=re.escape(sentence)):
        Settings(**changes).check()


def test_the_store_is_memory_or_a_file() -> None:
    assert Settings().sqlite_path is None
    assert Settings(store="sqlite:///data/mock.db").sqlite_path == "data/mock.db"
    assert Settings(store="sqlite:////var/mock.db").sqlite_path == "/var/mock.db"


def test_a_provider_without_keys_accepts_what_is_well_formed() -> None:
    settings = Settings(credentials={"toy": KeyRing(keys={"a": None})})

    assert settings.keys("toy").keys == {"a": None}
    assert settings.keys("other") == KeyRing()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("time", ("time", 1)), ("manual", ("manual", 1)), ("polls", ("polls", 1)), ("polls:3", ("polls", 3))],
)
def test_progress_is_read(text: str, expected: tuple[str, int]) -> None:
    assert expected == parse_progress(text)


@pytest.mark.parametrize("text", ["", "poll", "polls:0", "polls:-1", "polls:x", "time:3", "manual:1"])
def test_other_progress_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="write time, polls, polls:N or manual"):
        parse_progress(text)


def test_credentials_are_read_by_provider() -> None:
    rings = parse_credentials(["toy=abc", "toy=acc:sec:ret", "other=x"])

    assert rings == {
        "toy": KeyRing(keys={"abc": None, "acc": "sec:ret"}),
        "other": KeyRing(keys={"x": None}),
    }


@pytest.mark.parametrize("text", ["toy", "toy=", "=abc", "", "toy=:secret", "toy=key:"])
def test_other_credentials_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_credentials([text])

    assert str(caught.value) == "a credential is written PROVIDER=KEY or PROVIDER=ACCESSKEY:SECRET"


def test_limits_are_read() -> None:
    limits = parse_limits(["toy.credits=2.5", "toy.requests=on"])

    assert limits == {("toy", "credits"): 2.5, ("toy", "requests"): None}


@pytest.mark.parametrize(
    "text",
    [
        *("toy.credits", "toy=3", "toy.coins=3", "credits=3", "toy.credits=many"),
        *("toy.credits=-1", "toy.credits=nan", "toy.credits=inf", "toy.credits="),
    ],
)
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="limit '"):
        parse_limits([text])


def test_effects_are_read() -> None:
    assert parse_effects(["toy.clip.map=warn", "toy.x=off"]) == {"toy.clip.map": "warn", "toy.x": "off"}


@pytest.mark.parametrize("text", ["toy.clip.map", "toy.clip.map=", "toy.clip.map=ignore"])
def test_other_effects_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="write RULE=reject, fail, warn or off"):
        parse_effects([text])


def test_variants_are_read_by_provider() -> None:
    assert parse_variants(["toy.chatty", "toy.quiet", "b.x"]) == {"toy": ("chatty", "quiet"), "b": ("x",)}


@pytest.mark.parametrize("text", ["toy", "toy.", ""])
def test_other_variants_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"write PROVIDER\.NAME"):
        parse_variants([text])


def test_pairs_are_read_by_provider() -> None:
    assert parse_pairs(["toy=whsec_a=b"], "webhook secret") == {"toy": "whsec_a=b"}


@pytest.mark.parametrize("text", ["toy", "toy=", ""])
def test_other_pairs_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(SettingError, match=r"^a webhook secret is written PROVIDER=VALUE$"):
        parse_pairs([text], "webhook secret")
