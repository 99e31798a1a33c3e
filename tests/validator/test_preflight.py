"""Pre-flight without a library: what is refused, warned about, let go and counted.  The hooks are in e2e/."""

from __future__ import annotations

import copy
import functools
import json
import math
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import environment
from tests.providers import LIBRARY, TOY, contract
from validator.contract import Contract, SpecError, load
from validator.preflight import (
    Flight,
    Inspection,
    NotSent,
    Preflight,
    PreflightError,
    PreflightWarning,
    SpendError,
    SpendGuard,
)

PAID = "https://api.toy.example/api/clips"
MOCK = "http://127.0.0.1:8700/t/a/toy/api/clips"
KEY = "k-0123456789"
HEADERS = {"X-Toy-Key": KEY, "Content-Type": "application/json"}
KLING = {"Authorization": "Bearer " + "k" * 40}
GOOD: dict[str, Any] = {"prompt": "a boat"}
BAD: dict[str, Any] = {"prompt": "x" * 41, "sound": "loud"}


def submit(
    preflight: Preflight, body: Any = GOOD, url: str = PAID, method: str = "POST", **headers: str
) -> Flight:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return preflight.clear(method, url, headers=HEADERS | headers, body=raw)


def read(preflight: Preflight, url: str = f"{PAID}/clip-1") -> Flight:
    return preflight.clear("GET", url, headers=HEADERS)


def guarded(**settings: Any) -> tuple[Preflight, SpendGuard]:
    """Return a look and its guard, of which nothing comes from the environment."""
    settings.setdefault("allow", True)
    guard = SpendGuard(environment={}, **settings)
    return Preflight(roomy(), guard=guard), guard


@functools.cache
def roomy() -> Contract:
    """Return the toy that takes combinations which its table does not have, and of which it knows no price."""
    return load(TOY, effects={"toy.clip.map": "off"})


@pytest.fixture(scope="module")
def toy() -> Preflight:
    return Preflight(contract("toy"))


# --- whose request it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        PAID,
        "http://api.toy.example/api/clips",
        "https://API.Toy.Example:443/api/clips",
        "https://api.toy.example./api/clips",
        "https://old.toy.example/api/clips",
        "https://eu.api.toy.example/api/clips",
        "https://someone:secret@api.toy.example/api/clips?page=1",
        "https://%61pi.toy.example/api/clips",
        "https://ａｐｉ.toy.example/api/clips",  # noqa: RUF001
    ],
)
def test_a_host_of_a_provider_is_paid_however_it_is_written(toy: Preflight, url: str) -> None:
    one = submit(toy, url=url).inspection

    assert one is not None
    assert ("createClip", True) == (one.operation and one.operation.id, one.is_paid)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8700/toy/api/clips",
        MOCK,
        "http://[::1]:8700/toy/api/clips",
        "http://understudy:8700/t/a/toy/api/clips",
        "http://mock.internal/toy/api/clips",
        "http://192.168.0.7:8700/toy/api/clips",
    ],
)
def test_a_mock_server_is_looked_at_and_is_not_paid(toy: Preflight, url: str) -> None:
    one = submit(toy, url=url).inspection

    assert one is not None
    assert ("createClip", False) == (one.operation and one.operation.id, one.is_paid)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/api/clips",
        "https://toy.example/api/clips",
        "https://notapi.toy.example.com/api/clips",
        "https://api.toy.example.evil.org/api/clips",
        "https://api.toy.example@evil.org/api/clips",
        "https://example.com/toy/api/clips",
        "http://127.0.0.1:8700/api/clips",
        "http://127.0.0.1:8700/__admin/reset",
        "http://127.0.0.1:8700/t/a/__admin/tasks",
        "/toy-shop/api/clips",
        "http://[::1/api/clips",
        "http://127.0.0.1:port/toy/api/clips",
        "https://" + "ü" * 100_000 + ".toy.example/",
        "https://toy.example\ud800/",
        "",
    ],
)
def test_what_is_for_no_provider_is_left_alone(url: str) -> None:
    preflight, guard = guarded(allow=False)

    flight = submit(preflight, BAD, url=url)

    flight.answered(200)
    assert flight.inspection is None
    assert () == guard.spent.lines


def test_a_host_header_names_a_paid_host_behind_an_address() -> None:
    preflight, _ = guarded(allow=False)

    for named in ("api.toy.example", "API.toy.example:8443"):
        with pytest.raises(SpendError):
            submit(preflight, url="https://203.0.113.7/api/clips", Host=named)
    assert submit(preflight, url="https://203.0.113.7/api/clips", Host="[::1").inspection is None


def test_a_gateway_leads_to_a_provider_and_is_paid() -> None:
    gateways = {
        "https://gate.example/": "toy",
        "https://gate.example/deep/er/": "modellix",
        "http://127.0.0.1:8701": "toy",
    }
    preflight = Preflight(TOY, "modellix", gateways=gateways)

    def found(url: str) -> tuple[str, str, bool] | None:
        one = preflight.look("GET", url, headers=HEADERS)
        return None if one is None else (one.contract.id, one.request.path, one.is_paid)

    assert ("toy", "/api/clips", True) == found("https://gate.example:443/api/clips")
    assert ("toy", "/api/clips", True) == found("https://gate.example/clips"), (
        "the base path may be part of it"
    )
    assert ("toy", "/api/clips", True) == found("http://127.0.0.1:8701/api/clips")
    assert ("modellix", "/api/v1/tasks/1", True) == found("https://gate.example/deep/er/api/v1/tasks/1")
    assert ("toy", "/api/deep/erx/1", True) == found("https://gate.example/deep/erx/1")
    assert found("http://gate.example:81/api/clips") is None


def test_a_mock_server_with_a_public_name_is_one_when_it_is_named() -> None:
    preflight = Preflight(contract("toy"), stand_ins=["https://mock.example.org"])

    one = submit(preflight, url="https://mock.example.org/t/x/toy/api/clips").inspection

    assert one is not None
    assert not one.is_paid
    assert submit(preflight, url="https://mock.example.org:8443/toy/api/clips").inspection is None


@pytest.mark.parametrize("name", LIBRARY)
def test_every_operation_is_found_at_every_host(name: str) -> None:
    preflight, known = Preflight(), contract(name)
    for operation in known.operations.values():
        path = "/".join("x1" if step is None else step for step in operation.segments)
        for base in (*(f"https://{host}" for host in known.hosts), f"http://127.0.0.1:8700/{name}"):
            one = preflight.look(operation.method, f"{base}/{path.lstrip('/')}")

            assert one is not None
            assert operation.id == (one.operation and one.operation.id)
            assert (operation.role == "create") is one.is_create


# --- what is wrong with it --------------------------------------------------------------------------------


def test_a_good_request_passes_in_silence(toy: Preflight) -> None:
    one = submit(toy).inspection

    assert one is not None
    assert ("accepted", 1.0, "") == (one.report.verdict, one.price, one.doubt)


def test_a_bad_request_is_refused_with_all_that_is_wrong(toy: Preflight) -> None:
    with pytest.raises(PreflightError) as caught:
        submit(toy, BAD, url=PAID.replace("://", "://me:secret@") + "?token=hidden")

    error = caught.value
    assert ["toy.clip.prompt", "toy.clip.sound"] == [one.rule for one in error.report.violations]
    assert str(error) == (
        "POST https://api.toy.example/api/clips was not sent: toy createClip would refuse it: "
        "prompt: prompt has at most 40 characters (found 41 characters); and 1 more finding"
    )
    assert all(part in error.text for part in ("toy.clip.prompt", "sound is on or off", "answer", "400"))
    assert [error.text] == error.__notes__
    assert ("POST", PAID, "toy", "createClip") == (error.method, error.url, error.provider, error.operation)
    for secret in ("secret", "hidden", KEY):
        assert secret not in str(error) + error.text


def test_what_fails_the_task_is_bad_as_well() -> None:
    preflight = Preflight(TOY, effects={"toy.clip.prompt": "fail"})

    with pytest.raises(PreflightError, match="would take it and fail the task: prompt") as caught:
        submit(preflight, {"prompt": "x" * 41})

    assert "the task ends with" in caught.value.text


def test_a_credential_that_is_missing_is_told_and_one_that_is_there_never_shown(toy: Preflight) -> None:
    with pytest.raises(PreflightError, match="credential: a credential is needed"):
        toy.clear("POST", PAID, headers={"Content-Type": "application/json"}, body=json.dumps(GOOD))
    with pytest.raises(PreflightError) as caught:
        toy.clear("POST", PAID, headers={"Authorization": "Bearer aaa.bbb"}, body=json.dumps(GOOD))

    assert "aaa" not in str(caught.value) + caught.value.text


def test_a_look_that_is_printed_gives_nothing_away(toy: Preflight) -> None:
    one = submit(toy, url=PAID + "?token=hidden").inspection

    assert repr(one) == f"<Inspection POST {PAID}: toy createClip, accepted>"


def test_warn_sends_it_and_says_so(toy: Preflight) -> None:
    preflight = Preflight(contract("toy"), on_bad="warn")

    with pytest.warns(PreflightWarning, match=r"was sent although toy createClip would refuse it") as caught:
        submit(preflight, BAD)

    assert __file__ == caught[0].filename, "a warning points at the line that made the request"
    assert "toy.clip.sound" in str(caught[0].message)


def test_ignore_says_nothing(toy: Preflight) -> None:
    preflight = Preflight(contract("toy"), on_bad="ignore")

    assert submit(preflight, BAD).inspection is not None
    assert submit(preflight, {"prompt": "a", "promt": "b"}).inspection is not None


def test_what_the_provider_lets_pass_is_a_warning_and_bad_when_it_is_strict(toy: Preflight) -> None:
    body = {"prompt": "a boat", "promt": "b"}

    with pytest.warns(PreflightWarning, match=r"would take it, but: promt: .*did you mean 'prompt'\?"):
        submit(toy, body)
    with pytest.raises(PreflightError, match=r"would take it, but: promt"):
        submit(Preflight(contract("toy"), strict=True), body)


def test_an_operation_that_the_contract_does_not_have_is_said_and_sent(toy: Preflight) -> None:
    with pytest.warns(PreflightWarning, match=r"has no POST /api/clip, .*did you mean '/api/clips'\?"):
        flight = submit(toy, url=PAID[:-1])
    with pytest.warns(
        PreflightWarning, match=r"has no DELETE /api/clips, and it was not checked; there are GET, POST"
    ):
        submit(toy, method="DELETE")

    assert flight.inspection is not None
    assert flight.inspection.operation is None
    with pytest.raises(PreflightError, match="was not sent: the contract of toy has no") as caught:
        submit(Preflight(contract("toy"), on_doubt="refuse"), url=PAID[:-1])
    assert caught.value.operation is None
    submit(Preflight(contract("toy"), on_doubt="ignore"), url=PAID[:-1])


def test_a_body_that_cannot_be_looked_at_is_said_and_the_rest_is_judged() -> None:
    preflight = Preflight(contract("toy"))

    with pytest.warns(PreflightWarning, match=r"the body was not looked at: it is a generator"):
        one = preflight.clear("POST", PAID, headers=HEADERS, body=None, unseen="it is a generator").inspection
    with pytest.raises(PreflightError, match=r"Content-Type|content-type|header"):
        preflight.clear(
            "POST", PAID, headers={**HEADERS, "Content-Type": "multipart/form-data; boundary=x"}, body=None
        )
    with pytest.raises(PreflightError, match="was not sent: the body was not looked at"):
        Preflight(contract("toy"), on_doubt="refuse").clear("POST", PAID, headers=HEADERS, body=None)

    assert one is not None
    assert ("accepted", None) == (one.report.verdict, one.price)
    assert "the body (it is a generator)" in one.report.unchecked


def test_a_packed_body_is_not_looked_at(toy: Preflight) -> None:
    with pytest.warns(PreflightWarning, match=r"it is packed \(gzip\)"):
        submit(toy, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"})

    submit(toy, **{"Content-Encoding": "identity"})


def test_the_bytes_are_judged_as_they_are(toy: Preflight) -> None:
    with pytest.raises(PreflightError, match="the body must be JSON"):
        submit(toy, b"{'prompt': 'a boat'}")
    with pytest.raises(PreflightError, match="the body must be JSON"):
        submit(toy, b"\xff\xfe{}")
    with pytest.raises(PreflightError, match="a body is needed"):
        submit(toy, b"")
    assert toy.clear("POST", PAID, headers=HEADERS, body='{"prompt": "à"}').inspection is not None


def test_nothing_that_is_thrown_at_it_is_too_much(toy: Preflight) -> None:
    for body in (
        b"[" * 5_000,
        b"0" * 100_000,
        json.dumps({"prompt": "\x00\x1b[31m\u202e"}).encode(),
        b"null",
    ):
        for url in (PAID, PAID + "/" + "%ff" * 400, PAID + "?page=%00&page=\x1b"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    submit(toy, body, url=url)
                except PreflightError as error:
                    assert str(error).isprintable()
                    assert "\x1b" not in error.text


def test_no_message_steers_a_terminal() -> None:
    preflight, _ = guarded(allow=False)

    with pytest.raises(SpendError) as caught:
        submit(preflight, method="PO\x1b[31mST\n", url=PAID + "/\x1b[31m")

    assert str(caught.value).isprintable()


def test_tokens_are_judged_by_a_clock_that_is_given() -> None:
    token = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJtZSIsImV4cCI6MTAwMH0.c2ln"

    def look(now: float | None) -> Inspection:
        preflight = Preflight(contract("toy"), now=None if now is None else lambda: now)
        one = preflight.look("POST", PAID, headers={"Authorization": token}, body=json.dumps(GOOD))
        assert one is not None
        return one

    assert "accepted" == look(999.0).report.verdict
    assert "refused" == look(5_000.0).report.verdict
    assert ("the dates of the token (no clock was given)",) == look(None).report.unchecked


def test_effects_and_variants_are_settings() -> None:
    for spec in (TOY, str(TOY)):
        assert submit(Preflight(spec, effects={"toy.clip.prompt": "off"}), {"prompt": "x" * 41}).inspection
    body = {"prompt": "a", "duration": 5}
    url, headers = "https://api.klingai.com/v1/videos/text2video", KLING
    plain = Preflight("kling").look("POST", url, headers=headers, body=json.dumps(body))
    other = Preflight("kling", effects={"kling.duration.text": "reject"}).look(
        "POST", url, headers=headers, body=json.dumps(body)
    )

    assert plain is not None
    assert other is not None
    assert ("accepted", "refused") == (plain.report.verdict, other.report.verdict)
    variant = Preflight("kling", variants=["kling.jwt-only"]).look(
        "POST", url, headers=headers, body=b'{"prompt": "a"}'
    )
    assert variant is not None
    assert "refused" == variant.report.verdict


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"on_bad": "refuze"}, "on_bad is one of refuse, warn, ignore, not 'refuze'"),
        ({"on_doubt": "no"}, "on_doubt is one of"),
        (
            {"effects": {"toy.clip.prompt": "of"}},
            "the effect of toy.clip.prompt is one of reject, fail, warn, off",
        ),
        ({"effects": {"tpy.clip.prompt": "off"}}, r"is for no provider in use \(did you mean 'toy'\?\)"),
        ({"variants": "toy.chatty"}, r"variants is a list: write \['toy.chatty'\]"),
        ({"gateways": {"gate.example": "toy"}}, "'gate.example' is no base URL"),
        ({"gateways": {"https://gate.example": "tay"}}, r"no provider called 'tay' \(known: toy\)"),
        ({"stand_ins": ["mock"]}, "'mock' is no base URL"),
        (
            {"guard": SpendGuard(allow="tpy", environment={})},
            r"no provider is called 'tpy' \(did you mean 'toy'\?\)",
        ),
        ({"guard": SpendGuard(budget={"tpy": 1}, environment={})}, "no provider is called 'tpy'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Preflight(TOY, **settings)


def test_a_setting_that_the_spec_does_not_know_is_told() -> None:
    with pytest.raises(SpecError, match=r"toy.clip.prompd.*did you mean"):
        Preflight(TOY, effects={"toy.clip.prompd": "off"})
    with pytest.raises(SpecError, match="has no variant 'chaty'"):
        Preflight(TOY, variants=["toy.chaty"])
    with pytest.raises(SpecError, match="no provider is called 'klong'"):
        Preflight("klong")
    with pytest.raises(
        ValueError, match=r"the contract of toy is loaded: give variants and effects to load\(\)"
    ):
        Preflight(contract("toy"), effects={"toy.clip.prompt": "off"})
    with pytest.raises(SpecError, match="cannot be read"):
        Preflight(Path("nowhere.yaml"))


def test_each_look_is_told_to_who_asks() -> None:
    seen: list[str] = []
    preflight = Preflight(
        contract("toy"), on_look=lambda one: seen.append(f"{one.target} {one.report.verdict}")
    )

    submit(preflight)
    with pytest.raises(PreflightError):
        submit(preflight, BAD)
    submit(preflight, url="https://example.com/")

    assert ["toy createClip accepted", "toy createClip refused"] == seen


def test_what_was_not_sent_can_cross_to_another_process(toy: Preflight) -> None:
    errors: list[NotSent] = []
    for preflight, body in ((toy, BAD), (guarded(allow=False)[0], GOOD)):
        with pytest.raises(NotSent) as caught:
            submit(preflight, body)
        errors.append(caught.value)

    for error in errors:
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(error), str(error)) == (type(twin), str(twin))
            assert (error.url, error.operation) == (twin.url, twin.operation)
    assert isinstance(errors[0], PreflightError)
    assert errors[0].report == pickle.loads(pickle.dumps(errors[0])).report


def test_a_wrapper_around_the_library_is_who_the_warning_is_told() -> None:
    """The frames of HTTP libraries and event loops are passed over, those of others are not."""
    code = "def call(preflight, submit):\n    return submit(preflight)\n"
    inner: dict[str, Any] = {"__name__": "httpx._client"}
    exec(compile(code, "/site-packages/httpx/_client.py", "exec"), inner)
    preflight = Preflight(contract("toy"))

    def through(one: Preflight) -> Flight:
        return one.clear("POST", PAID, headers=HEADERS, body=None)

    with pytest.warns(PreflightWarning) as caught:
        inner["call"](preflight, lambda one: inner["call"](one, through))

    assert __file__ == caught[0].filename


# --- what it costs ----------------------------------------------------------------------------------------


def test_the_paid_hosts_are_not_called_unless_told() -> None:
    preflight, guard = guarded(allow=False)

    with pytest.raises(SpendError) as caught:
        submit(preflight, {"prompt": "a", "sound": "on"})

    assert ("not-allowed", 2.5, "toy", "createClip") == (
        caught.value.reason,
        caught.value.price,
        caught.value.provider,
        caught.value.operation,
    )
    assert str(caught.value) == (
        f"POST {PAID} was not sent: toy createClip is paid, and it costs about 2.5 units (1.25 EUR); "
        "SpendGuard(allow={'toy'}) or UNDERSTUDY_SPEND=toy lets it pass"
    )
    assert {"not-allowed": 1} == guard.spent.held_back
    assert () == guard.spent.lines
    submit(preflight, url=MOCK)


def test_reads_are_allowed_apart() -> None:
    with pytest.raises(SpendError, match=r"SpendGuard\(reads=True\)"):
        read(guarded(allow=False)[0])
    preflight, guard = guarded(allow=False, reads=True)

    read(preflight).answered(200)
    with pytest.warns(PreflightWarning):
        read(preflight, "https://api.toy.example/api/unknown").answered(404)
    with pytest.raises(SpendError):
        submit(preflight)
    with pytest.raises(SpendError, match="what it costs is not known"):
        submit(preflight, url=PAID + "/clip-1/extend")

    assert 0 == guard.spent.units("toy")
    assert {("getClip", 1, 0), ("GET", 0, 1)} == {
        (one.operation, one.taken, one.refused) for one in guard.spent.lines
    }


def test_only_those_that_are_named_are_allowed() -> None:
    guard = SpendGuard(allow={"toy"}, environment={})
    preflight = Preflight(contract("toy"), "kling", guard=guard)

    submit(preflight)
    with pytest.raises(SpendError, match="kling"):
        preflight.clear("GET", "https://api.klingai.com/v1/videos/text2video/1", headers=KLING)


def test_what_passes_is_counted_and_estimated() -> None:
    preflight, guard = guarded()

    submit(preflight).answered(200)
    submit(preflight, {"prompt": "a", "model": "a2", "seconds": "10"}).answered(201)
    submit(preflight).answered(429)
    submit(preflight).answered(500)
    submit(preflight).answered(307)
    submit(preflight)
    submit(preflight).answered(504)
    submit(preflight).unsent()
    read(preflight).answered(200)

    create, single = guard.spent.lines
    assert ("toy", "createClip", True, 7) == (
        create.provider,
        create.operation,
        create.is_paid,
        create.requests,
    )
    assert (2, 3, 2) == (create.taken, create.refused, create.unanswered)
    assert (6.0, 2.0, 0) == (create.units, create.units_unanswered, create.unpriced)
    assert ("EUR", 4.0) == (create.currency, create.worth)
    assert (1, 1, 0.0) == (single.requests, single.taken, single.units)
    assert 8.0 == guard.spent.units("toy")
    assert str(guard.spent) == (
        "Paid hosts:\n"
        "  toy createClip: 7 requests, 2 taken, 3 refused, 2 unanswered; about 6 units, perhaps 2 units more, 4 EUR\n"
        "  toy getClip: 1 request, 1 taken"
    )


def test_the_report_is_json_too() -> None:
    preflight, guard = guarded(budget=1)
    submit(preflight).answered(200)
    with pytest.raises(SpendError):
        submit(preflight)

    assert json.loads(json.dumps(guard.spent.to_json())) == {
        "lines": [
            {
                "provider": "toy",
                "operation": "createClip",
                "isPaid": True,
                "requests": 1,
                "taken": 1,
                "refused": 0,
                "unanswered": 0,
                "units": 1.0,
                "unitsUnanswered": 0.0,
                "unpriced": 0,
                "currency": "EUR",
                "worth": 0.5,
            }
        ],
        "heldBack": {"budget": 1},
    }
    assert "Held back: 1 beyond the budget" in str(guard.spent)
    assert "Nothing was sent" in str(guarded()[1].spent)


def test_what_became_of_a_request_is_said_once() -> None:
    preflight, guard = guarded()
    flight = submit(preflight)

    flight.answered(200)
    flight.answered(500)
    flight.unsent()

    assert (1, 0, 0) == (
        guard.spent.lines[0].taken,
        guard.spent.lines[0].refused,
        guard.spent.lines[0].unanswered,
    )


def test_a_price_that_is_not_known_is_not_nothing() -> None:
    preflight, guard = guarded()

    submit(preflight, {"prompt": "a", "model": "b1", "seconds": "10"}).answered(200)
    with pytest.warns(PreflightWarning):
        preflight.clear("POST", PAID, headers=HEADERS, body=None).answered(200)
        submit(preflight, url=PAID + "/clip-1/extend").answered(200)
    submit(preflight, {"prompt": "a", "model": "b1", "seconds": "10"}).answered(400)

    lines = {one.operation: (one.taken, one.units, one.unpriced) for one in guard.spent.lines}
    assert {"createClip": (2, 0.0, 2), "POST": (1, 0.0, 1)} == lines
    assert "2 of unknown price" in guard.spent.text


def test_a_row_without_a_price_is_of_unknown_price(tmp_path: Path) -> None:
    free = tmp_path / "toy.yaml"
    free.write_text(TOY.read_text().replace("cost: [{base: 2}], ", ""))

    one = submit(Preflight(free), {"prompt": "a", "seconds": "10"}).inspection

    assert one is not None
    assert ("accepted", None) == (one.report.verdict, one.price)


def test_a_price_that_does_not_count_for_a_body_is_not_known(tmp_path: Path) -> None:
    loud = tmp_path / "toy.yaml"
    loud.write_text(TOY.read_text().replace("cost: [{base: 1}, ", "cost: ["))
    preflight = Preflight(loud)

    silent, noisy = submit(preflight).inspection, submit(preflight, {"prompt": "a", "sound": "on"}).inspection

    assert silent is not None
    assert noisy is not None
    assert (None, 2.5) == (silent.price, noisy.price)


@pytest.mark.parametrize("status", [502, 504, 522])
def test_an_answer_of_something_on_the_way_may_hide_a_task(status: int) -> None:
    preflight, guard = guarded(equal_within_s=math.inf)

    submit(preflight).answered(status)

    assert (0, 1, 1.0) == _sums(guard)
    with pytest.raises(SpendError, match="may have been taken"):
        submit(preflight)


def _sums(guard: SpendGuard) -> tuple[int, int, float]:
    (line,) = guard.spent.lines
    return line.refused, line.unanswered, line.units_unanswered


def test_half_a_character_in_an_address_is_no_end_of_the_program() -> None:
    with pytest.warns(PreflightWarning):
        flight = submit(Preflight(TOY, on_bad="warn"), url=PAID + "/\ud800")

    assert flight.inspection is not None
    assert "/api/clips/\N{REPLACEMENT CHARACTER}: refused" in flight.inspection.text()


def test_an_operation_that_may_change_something_is_not_free(tmp_path: Path) -> None:
    other = tmp_path / "toy.yaml"
    other.write_text(TOY.read_text().replace("  /wallet:\n    get:", "  /wallet:\n    post:"))

    one = Preflight(other).look("POST", "https://api.toy.example/api/wallet?since=1", headers=HEADERS)

    assert one is not None
    assert ("getWallet", True, None) == (one.operation and one.operation.id, one.is_create, one.price)


def test_a_budget_is_kept() -> None:
    preflight, guard = guarded(budget={"toy": 3})

    first = submit(preflight)
    submit(preflight, {"prompt": "a", "seconds": "10"}).answered(200)
    with pytest.raises(SpendError) as caught:
        submit(preflight)
    read(preflight)
    first.answered(503)
    submit(preflight).answered(200)

    assert "budget" == caught.value.reason
    assert "costs about 1 unit, and 2 of the budget of 3 are spent, and perhaps 1 more" in str(caught.value)
    assert 3 == guard.spent.units("toy")


def test_a_budget_of_tenths_can_be_spent_to_the_end(tmp_path: Path) -> None:
    tenth = tmp_path / "toy.yaml"
    tenth.write_text(TOY.read_text().replace("cost: [{base: 1}, ", "cost: [{base: 0.1}, "))
    guard = SpendGuard(allow=True, budget=0.3, environment={})
    preflight = Preflight(tenth, guard=guard)

    for _ in range(3):
        submit(preflight).answered(200)

    with pytest.raises(SpendError):
        submit(preflight)
    assert 0.3 == guard.spent.units("toy")


def test_a_price_that_is_not_known_does_not_pass_a_budget_unless_told() -> None:
    body = {"prompt": "a", "model": "b1", "seconds": "10"}

    with pytest.raises(
        SpendError, match="the price of toy createClip is not known, and there is a budget"
    ) as caught:
        submit(guarded(budget=100)[0], body)
    submit(guarded(budget=100, unknown_price="pass")[0], body)

    assert ("unknown-price", None) == (caught.value.reason, caught.value.price)


def test_a_mock_server_has_a_budget_of_its_own() -> None:
    preflight, guard = guarded(budget=1)

    submit(preflight, url=MOCK).answered(200)
    submit(preflight).answered(200)
    with pytest.raises(SpendError):
        submit(preflight, url=MOCK)

    assert (1.0, 1.0) == (guard.spent.units("toy"), guard.spent.units("toy", is_paid=False))
    assert "Mock servers:\n  toy createClip: 1 request, 1 taken; about 1 unit, 0.5 EUR" in guard.spent.text


def test_an_equal_submit_is_held_back_for_a_while() -> None:
    now = [100.0]
    preflight, guard = guarded(equal_within_s=60, now=lambda: now[0])

    submit(preflight).answered(200)
    submit(preflight, {"prompt": "another"}).answered(200)
    read(preflight).answered(200)
    read(preflight).answered(200)
    now[0] += 12.5
    with pytest.raises(SpendError) as caught:
        submit(preflight)
    now[0] += 48
    submit(preflight)

    assert "equal" == caught.value.reason
    assert (
        "the same body went to toy createClip 12.5 s ago and was taken, so this would be paid twice"
        in str(caught.value)
    )
    assert {"equal": 1} == guard.spent.held_back


def test_a_submit_whose_answer_was_lost_is_held_back_and_one_that_was_refused_is_not() -> None:
    preflight, guard = guarded(equal_within_s=math.inf)

    submit(preflight).answered(429)
    submit(preflight).unsent()
    submit(preflight)
    with pytest.raises(SpendError, match=r"before and may have been taken, no answer has come"):
        submit(preflight)
    guard.forget()
    submit(preflight)

    assert 2 == guard.spent.lines[0].unanswered


def test_a_submit_that_a_library_lost_on_the_way_is_held_back_though_it_was_refused_at_last() -> None:
    preflight, _ = guarded(equal_within_s=math.inf)
    flight = submit(preflight)
    flight.repeated(503)
    flight.repeated(None)
    flight.answered(429)

    with pytest.raises(SpendError, match="may have been taken"):
        submit(preflight)


def test_a_lost_attempt_of_unknown_price_is_counted_as_such() -> None:
    preflight, guard = guarded()
    flight = submit(preflight, {"prompt": "a", "model": "b1", "seconds": "10"})
    flight.repeated(None)
    flight.answered(200)

    (line,) = guard.spent.lines
    assert (2, 1, 1, 2) == (line.requests, line.taken, line.unanswered, line.unpriced)


def test_a_submit_with_another_idempotency_key_is_another_wish() -> None:
    preflight, _ = guarded(equal_within_s=math.inf)

    submit(preflight, **{"Idempotency-Key": "order-1"})
    submit(preflight, **{"Idempotency-Key": "order-2"})
    submit(preflight)
    with pytest.raises(SpendError, match="paid twice"):
        submit(preflight, **{"Idempotency-Key": "order-1"})


def test_an_equal_submit_is_told_by_its_bytes_and_not_by_its_credential() -> None:
    preflight, _ = guarded(equal_within_s=math.inf)
    submit(preflight)

    with pytest.raises(SpendError):
        submit(preflight, **{"X-Toy-Key": "another-key"})
    with pytest.raises(SpendError):
        submit(preflight, url=PAID.replace("api.", "old.", 1))
    submit(preflight, url=MOCK)
    submit(preflight, url=MOCK.replace("/t/a/", "/t/b/"))
    with pytest.raises(SpendError):
        submit(preflight, url=MOCK)


def test_what_may_be_repeated_is_not_held_back() -> None:
    preflight, _ = guarded(equal_within_s=math.inf)

    with pytest.warns(PreflightWarning):
        for _ in range(2):
            submit(preflight, method="DELETE", url=PAID + "/clip-1")
        submit(preflight, method="PATCH", url=PAID + "/clip-1")
        with pytest.raises(SpendError):
            submit(preflight, method="PATCH", url=PAID + "/clip-1")


def test_only_so_many_submits_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validator.preflight.guard._MOST_KEPT", 2)
    preflight, _ = guarded(equal_within_s=math.inf)

    for prompt in ("a", "b", "c"):
        submit(preflight, {"prompt": prompt})

    submit(preflight, {"prompt": "a"})
    with pytest.raises(SpendError):
        submit(preflight, {"prompt": "c"})


def test_a_request_that_is_not_sent_after_all_costs_nothing() -> None:
    guard = SpendGuard(allow=True, equal_within_s=math.inf, environment={})
    preflight = Preflight(contract("toy"), on_bad="warn", guard=guard)

    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(PreflightWarning):
                submit(preflight, BAD)

    assert () == guard.spent.lines


def test_a_bad_request_is_refused_before_it_is_counted() -> None:
    guard = SpendGuard(allow=False, environment={})
    preflight = Preflight(contract("toy"), guard=guard)

    with pytest.raises(PreflightError):
        submit(preflight, BAD)

    assert {} == guard.spent.held_back


@pytest.mark.parametrize(
    ("text", "paid", "reads", "other"),
    [
        ("", False, False, False),
        ("none", False, False, False),
        ("0", False, False, False),
        ("ALL", True, True, True),
        ("1", True, True, True),
        ("toy", True, True, False),
        (" toy , kling ", True, True, True),
        ("reads", False, True, False),
        ("kling,reads", False, True, True),
        ("toy=0.5", False, True, False),
        ("toy=1", True, True, False),
    ],
)
def test_the_environment_allows(text: str, paid: bool, reads: bool, other: bool) -> None:
    guard = SpendGuard(environment={"UNDERSTUDY_SPEND": text})
    preflight = Preflight(contract("toy"), "kling", guard=guard)

    def passes(call: Callable[[], Flight]) -> bool:
        try:
            call()
        except SpendError:
            return False
        return True

    assert paid == passes(lambda: submit(preflight))
    assert reads == passes(lambda: read(preflight))
    assert other == passes(
        lambda: preflight.clear(
            "POST", "https://api.klingai.com/v1/videos/text2video", headers=KLING, body='{"prompt": "a"}'
        )
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("toy,all", "'all' stands alone"),
        ("toy=much", "'much' is no number of units"),
        ("toy=-1", "the budget of toy is a number, 0 or more"),
        ("toy=inf", "endless is none"),
        ("tpy", r"UNDERSTUDY_SPEND: no provider is called 'tpy' \(did you mean 'toy'\?\)"),
        ("no=5", "'no' stands alone"),
    ],
)
def test_an_environment_that_makes_no_sense_is_told(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Preflight(contract("toy"), guard=SpendGuard(environment={"UNDERSTUDY_SPEND": text}))


def test_an_argument_counts_more_than_the_environment() -> None:
    guard = SpendGuard(allow=False, environment={"UNDERSTUDY_SPEND": "all"})

    with pytest.raises(SpendError):
        submit(Preflight(contract("toy"), guard=guard))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"budget": -1}, "the budget is a number, 0 or more, not -1"),
        ({"budget": math.nan}, "the budget is a number"),
        ({"budget": True}, "the budget is a number"),
        ({"budget": {"toy": "5"}}, "the budget of toy is a number, 0 or more, not '5'"),
        ({"budget": math.inf}, "leave it out"),
        ({"unknown_price": "guess"}, "unknown_price is 'refuse' or 'pass'"),
        ({"equal_within_s": 60}, "equal_within_s needs a clock: give now=time.monotonic as well"),
        ({"equal_within_s": -1}, "equal_within_s is a number"),
    ],
)
def test_a_guard_that_makes_no_sense_is_told(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SpendGuard(**settings)


def test_threads_do_not_spend_past_a_budget_together() -> None:
    preflight, guard = guarded(budget=50)
    start = threading.Barrier(8)
    held_back = []

    def client(number: int) -> None:
        start.wait()
        for turn in range(25):
            try:
                flight = submit(preflight)
            except SpendError:
                held_back.append(number)
            else:
                flight.answered(200 if turn % 5 else 503)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    finally:
        sys.setswitchinterval(interval)

    (line,) = guard.spent.lines
    assert 200 == line.requests + len(held_back)
    assert (50, 0, line.requests - 50) == (line.taken, line.unanswered, line.refused)
    assert (50.0, 0.0) == (line.units, line.units_unanswered)
    assert len(held_back) == guard.spent.held_back["budget"]


def test_only_one_of_many_equal_submits_at_once_passes() -> None:
    preflight, _ = guarded(equal_within_s=math.inf)
    start = threading.Barrier(8)
    passed = []

    def client() -> None:
        start.wait()
        try:
            passed.append(submit(preflight))
        except SpendError:
            return

    threads = [threading.Thread(target=client) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert 1 == len(passed)


# --- libraries --------------------------------------------------------------------------------------------

HOOKS = ("httpx", "requests", "aiohttp")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )


def test_the_core_brings_no_library_along_and_a_hook_only_its_own() -> None:
    code = "import sys, validator.preflight; validator.preflight.Preflight('kling'); print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in run(code).stdout.split()}
    assert "validator" in loaded
    assert set() == loaded & {*HOOKS, "urllib3", "asyncio", "click", "mockserver"}

    for hook in HOOKS:
        found = run(f"import sys, validator.preflight.{hook}; print(*sys.modules)").stdout.split()
        assert {hook} == set(HOOKS) & set(found)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_library_that_is_not_there_is_named(hook: str) -> None:
    code = f"import sys; sys.modules['{hook}'] = None; import validator.preflight.{hook}"

    said = run(code).stderr.splitlines()[-1]

    assert (
        f"ModuleNotFoundError: validator.preflight.{hook} is the hook for {hook}, which is not installed"
        in said
    )
    assert "pip install" in said
