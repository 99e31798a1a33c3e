"""The environment of a client program, for providers of every kind."""

from __future__ import annotations

import jwt
import pytest

from mockserver.app import load_contracts
from mockserver.callbacks import decoded_secret
from mockserver.environment import (
    Keys,
    base_url_of,
    credentials_of,
    keys_of,
    known_webhook_secret,
    prefix_of,
    variables,
    webhook_secret_of,
)
from mockserver.settings import WELL_KNOWN_SECRET, Settings
from tests.mock import Mock
from tests.providers import contract
from validator.contract import provider_names
from validator.security import KeyRing, Principal, authorise


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [("kling", "KLING"), ("acme-video.2", "ACME_VIDEO_2"), ("-x-", "X"), ("3d", "_3D")],
)
def test_a_prefix_is_a_name_that_a_shell_takes(provider: str, prefix: str) -> None:
    assert prefix == prefix_of(provider)


@pytest.mark.parametrize("name", [*provider_names(), "toy"])
def test_every_provider_takes_the_keys_that_are_made_for_it(name: str) -> None:
    known = contract(name)
    keys = keys_of(known, "some test")
    ring = KeyRing(keys={})
    assert keys.api_key or keys.access_key

    taken = [
        credential.name
        for credential in credentials_of(known)
        if isinstance(
            authorise(
                (credential,),
                {credential.header: f"Bearer {keys.api_key}" if credential.is_bearer else str(keys.api_key)},
                keys=ring,
            ),
            Principal,
        )
    ]

    assert taken


def test_a_provider_with_tokens_has_a_name_and_a_secret_to_sign_with() -> None:
    known = contract("kling")
    keys = keys_of(known, "one")
    assert keys.access_key is not None
    assert keys.secret_key is not None
    (credential,) = credentials_of(known)
    token = jwt.encode(
        {"iss": keys.access_key, "exp": 2_000_000_000, "nbf": 0}, keys.secret_key, algorithm="HS256"
    )

    ring = KeyRing(keys={keys.access_key: keys.secret_key})
    found = authorise((credential,), {"authorization": f"Bearer {token}"}, keys=ring)

    assert isinstance(found, Principal)
    assert keys.access_key == found.account


def test_the_same_name_has_the_same_keys_and_another_has_others() -> None:
    one, again, other = (keys_of(contract("kling"), name) for name in ("one", "one", "other"))

    assert one == again
    assert not {one.api_key, one.access_key, one.secret_key} & {
        other.api_key,
        other.access_key,
        other.secret_key,
    }


def test_the_variables_say_what_there_is_and_nothing_else() -> None:
    known = contract("modellix")
    keys = keys_of(known, "x")

    found = variables(known, base_url_of(known, "http://127.0.0.1:1", "act-1"), keys)

    assert {
        "MODELLIX_BASE_URL": "http://127.0.0.1:1/t/act-1/modellix/api/v1",
        "MODELLIX_API_KEY": keys.api_key,
    } == found


def test_a_provider_with_everything_has_all_variables() -> None:
    keys = Keys(api_key="a", access_key="b", secret_key="c", webhook_secret="d")

    found = variables(contract("kling"), "http://x", keys, receiver="http://y")

    assert {
        "KLING_BASE_URL": "http://x",
        "KLING_API_KEY": "a",
        "KLING_ACCESS_KEY": "b",
        "KLING_SECRET_KEY": "c",
        "KLING_WEBHOOK_SECRET": "d",
        "KLING_WEBHOOK_URL": "http://y",
    } == found


@pytest.mark.parametrize("name", provider_names())
def test_a_server_can_be_set_to_the_secrets_that_are_made_for_it(name: str) -> None:
    known = contract(name)
    secret = webhook_secret_of(known, "x")
    if secret is None:
        assert known_webhook_secret(known, {}) is None
        return

    load_contracts(Settings(providers=(name,), secrets={name: secret}))

    assert decoded_secret(secret)
    assert secret == known_webhook_secret(known, {name: secret})


def test_a_provider_that_always_signs_does_so_with_the_well_known_secret() -> None:
    assert WELL_KNOWN_SECRET == known_webhook_secret(contract("magnific"), {})
    assert known_webhook_secret(contract("kling"), {}) is None


@pytest.mark.parametrize("name", provider_names())
def test_the_base_url_leads_to_the_provider(name: str) -> None:
    known = contract(name)
    with Mock(name) as mock:
        path = base_url_of(known, "", "some-tenant")
        found = mock.admin("GET", "/providers", tenant="some-tenant")["providers"]

        assert [f"http://127.0.0.1:8700{path}"] == [one["baseUrl"] for one in found]
