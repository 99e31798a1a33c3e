"""What the client is told before an act."""

from __future__ import annotations

from typing import Any

import pytest

from mockserver.rehearsal.acts import ACTS
from mockserver.rehearsal.staging import Cue, StagingError, Telling, cue, read_name, read_variable
from tests.providers import LIBRARY, contract

ORIGIN = "http://127.0.0.1:1"


def told(*providers: str, act: str = "rate-limited@create:always", **more: Any) -> Cue:
    environment = more.pop("environment", {})
    return cue(
        ACTS[act],
        Telling(**({"command": ("client",)} | more)),
        {name: contract(name) for name in providers},
        origin=ORIGIN,
        seed=7,
        webhook_secrets={"kling": "whsec_c2VjcmV0"},
        environment=environment,
    )


def test_the_variables_lead_to_the_tenant_of_the_act() -> None:
    variables = told(*LIBRARY).variables

    assert f"{ORIGIN}/t/rate-limited.create.always/kling" == variables["KLING_BASE_URL"]
    assert f"{ORIGIN}/t/rate-limited.create.always/modellix/api/v1" == variables["MODELLIX_BASE_URL"]
    assert "whsec_c2VjcmV0" == variables["KLING_WEBHOOK_SECRET"]
    assert "rate-limited@create:always" == variables["UNDERSTUDY_ACT"]
    assert len(variables["KLING_API_KEY"]) > 32


def test_keys_are_the_acts_own_and_the_same_again() -> None:
    first, again, other = (told("kling", act=act) for act in ("slow", "slow", "success"))

    assert first == again
    secrets = [{secret for secret, name in one.secrets if "WEBHOOK" not in name} for one in (first, other)]
    assert not secrets[0] & secrets[1]
    assert {"KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY", "KLING_WEBHOOK_SECRET"} == {
        name for _, name in first.secrets
    }


def test_placeholders_are_filled_in_and_other_braces_stay() -> None:
    found = told(
        "modellix",
        command=(
            "client",
            "--url={base_url}",
            "{root_url}",
            '{"key": "{api_key}"}',
            "{act} {seed} {other} {}",
        ),
        extra=(("URL", "{modellix.base_url}/x"),),
    )

    key = found.variables["MODELLIX_API_KEY"]
    base = f"{ORIGIN}/t/rate-limited.create.always/modellix"
    assert (
        "client",
        f"--url={base}/api/v1",
        base,
        f'{{"key": "{key}"}}',
        "rate-limited@create:always 7 {other} {}",
    ) == found.words
    assert f"{base}/api/v1/x" == found.variables["URL"]


def test_names_say_the_same_in_other_variables() -> None:
    found = told("kling", names=(("base-url", "VIDEO_URL"), ("api-key", "MY_{PROVIDER}_KEY")))

    variables = found.variables
    assert variables["KLING_BASE_URL"] == variables["VIDEO_URL"]
    assert variables["KLING_API_KEY"] == variables["MY_KLING_KEY"]


def test_a_name_with_the_provider_in_it_serves_all_that_have_such_a_thing() -> None:
    variables = told("kling", "magnific", names=(("access-key", "{provider}_id"),)).variables

    assert variables["KLING_ACCESS_KEY"] == variables["kling_id"]
    assert "magnific_id" not in variables


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"names": (("base-url", "URL"),)}, "of which provider"),
        ({"command": ("x", "{base_url}")}, r"the command: \{base_url\} of which provider"),
        ({"extra": (("A", "{kilng.base_url}"),)}, "--env A: .*did you mean 'kling'"),
        ({"extra": (("A", "{magnific.secret_key}"),)}, "magnific has no secret_key"),
    ],
)
def test_what_could_mean_several_or_none_is_refused(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StagingError, match=sentence):
        told("kling", "magnific", **more)


def test_a_kind_that_no_provider_has_is_refused() -> None:
    with pytest.raises(StagingError, match="magnific knows no secret-key"):
        told("magnific", names=(("secret-key", "S"),))


def test_what_the_user_has_set_stays_and_wins() -> None:
    found = told(
        "kling",
        environment={"PATH": "/bin", "PYTHONUNBUFFERED": "", "KLING_API_KEY": "a real key"},
        extra=(("KLING_WEBHOOK_SECRET", "mine"),),
    ).variables

    assert ("/bin", "", "mine") == tuple(
        found[name] for name in ("PATH", "PYTHONUNBUFFERED", "KLING_WEBHOOK_SECRET")
    )
    assert "a real key" != found["KLING_API_KEY"], "a rehearsal must not see a key that costs money"


def test_a_proxy_of_the_environment_is_passed_by() -> None:
    plain = told("kling", environment={}).variables
    behind = told("kling", environment={"HTTPS_PROXY": "http://proxy:1", "no_proxy": "intern"}).variables

    assert "no_proxy" not in plain
    assert "intern,127.0.0.1,localhost" == behind["no_proxy"]
    assert "127.0.0.1,localhost" == behind["NO_PROXY"]


@pytest.mark.parametrize(
    "text", ["base-url", "=X", "url=X", "base-url=", "base-url=1X", "base-url=A-B", "key=K"]
)
def test_a_name_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(StagingError, match="--name"):
        read_name(text)


@pytest.mark.parametrize("text", ["A", "=x", "", "A=\0"])
def test_a_variable_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(StagingError, match="--env"):
        read_variable(text)


def test_a_value_may_be_empty_or_hold_anything() -> None:
    assert ("A", "") == read_variable("A=")
    assert ("A", "b=c d") == read_variable("A=b=c d")
