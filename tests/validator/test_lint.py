"""Lint: whose a request is, what is said of it, and what is left unsaid because it is not in the text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.pictures import picture
from tests.providers import contract
from validator.addresses import Library, Place, recognise
from validator.lint import (
    Judgement,
    Tally,
    is_placeholder,
    judge,
    judgement_json,
    judgement_text,
)
from validator.readers import Found, read_requests
from validator.request import HttpRequest, repeated

ALL = Library(contracts={name: contract(name) for name in ("toy", "magnific", "modellix")})
TOY = Library(contracts={"toy": contract("toy")}, provider="toy")
KEY = "-H 'X-Toy-Key: toy-1234'"
JSON = "-H 'Content-Type: application/json'"


def judged(text: str, library: Library = ALL, *, name: str = "f.sh") -> Judgement:
    (found,) = read_requests(text.encode(), name=name)
    return judge(found, library, name=name)


def rules(one: Judgement) -> list[str]:
    assert one.report is not None, one.problem
    return [violation.rule for violation in one.report.violations]


def unchecked(one: Judgement) -> list[str]:
    assert one.report is not None, one.problem
    return list(one.report.unchecked)


# --- whose it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "provider", "path"),
    [
        ("https://api.toy.example/api/clips", "toy", "/api/clips"),
        ("https://OLD.toy.example./api/clips", "toy", "/api/clips"),
        ("http://127.0.0.1:8700/toy/api/clips", "toy", "/api/clips"),
        ("http://mock:8700/t/my-tenant/toy/api/clips?page=1", "toy", "/api/clips"),
        ("https://mock.example.com/toy/api/clips", "toy", "/api/clips"),
        ("/toy/api/clips", "toy", "/api/clips"),
        ("http://localhost:8700/api/clips", "toy", "/api/clips"),
        ("http://192.168.0.9/gateway/api/clips", "toy", "/api/clips"),
        ("$BASE/api/clips", "toy", "/api/clips"),
        ("{{base_url}}/clips", "toy", "/api/clips"),
        ("https://$HOST/api/clips", "toy", "/api/clips"),
        ("/api/clips", "toy", "/api/clips"),
        ("https://api.toy.example", "toy", "/"),
        ("https://api.magnific.com/v1/ai/video/kling-4k-t2v", "magnific", "/v1/ai/video/kling-4k-t2v"),
    ],
)
def test_a_provider_is_recognised(url: str, provider: str, path: str) -> None:
    place = recognise(HttpRequest.from_parts("GET", url), ALL)

    assert isinstance(place, Place), place
    assert (provider, path) == (place.contract.id, place.path)


@pytest.mark.parametrize(
    ("url", "problem", "hint"),
    [
        ("https://example.com/api/clips", "no provider has the host example.com", "known: api.toy.example"),
        (
            "https://api.toy.exampel/x",
            "no provider has the host api.toy.exampel",
            "did you mean 'api.toy.example'?",
        ),
        ("http://localhost/nothing", "no provider has the path /nothing", "give --provider, one of toy"),
        ("http://localhost/toyy/x", "no provider has the path /toyy/x", "give --provider, one of toy"),
    ],
)
def test_an_unknown_address_is_told_with_what_to_do(url: str, problem: str, hint: str) -> None:
    one = judged(f"curl '{url}'")

    assert "unchecked" == one.verdict
    assert problem == one.problem
    assert one.hint.startswith(hint)


def test_a_provider_that_is_named_counts_for_any_host() -> None:
    assert "accepted" == judged(f"curl https://proxy.example.com/x/api/clips {KEY}", TOY).verdict
    assert ["toy.request.no-route"] == rules(judged("curl https://proxy.example.com/nothing", TOY))


@pytest.mark.parametrize(
    "path", ["/api/pictures", "/v1/chat/completions", "/api/clips/1/2/3", "/api/more-clips"]
)
def test_of_what_else_a_provider_sells_nothing_is_said(path: str) -> None:
    one = judged(f"curl https://api.toy.example{path}")
    assert ("unchecked", False) == (one.verdict, one.is_foreign)
    assert f"the contract of toy does not describe the path {path}" == one.problem
    assert one.hint.startswith("described: /api/clips")

    call = judged(f"requests.post('https://api.toy.example{path}', json={{'prompt': 'x'}})", name="a.py")
    assert call.is_foreign


@pytest.mark.parametrize(
    "path", ["/api/clip", "/api/clips/", "/clips", "/api/Clips", "/apis/clips", "/apy/clips/1234"]
)
def test_a_path_that_is_almost_a_known_one_is_a_mistake(path: str) -> None:
    assert ["toy.request.no-route"] == rules(judged(f"curl https://api.toy.example{path}"))


def test_a_request_to_another_provider_than_the_named_one_is_told() -> None:
    library = replace(ALL, provider="toy")

    one = judged("curl https://api.magnific.com/v1/ai/video/kling-4k-t2v", library)

    assert ("the request is for magnific, not for toy", "leave --provider out") == (one.problem, one.hint)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8700/__admin/clock", "http://127.0.0.1:8700/t/a/__media/1/2.mp4", "$BASE/__admin"],
)
def test_what_steers_a_mock_server_is_left_out(url: str) -> None:
    assert judged(f"curl '{url}'").is_foreign


@pytest.mark.parametrize("library", [ALL, replace(ALL, provider="toy")])
def test_an_archive_holds_requests_to_others(library: Library) -> None:
    for url, is_foreign in (
        ("https://cdn.example.com/a.js", True),
        ("https://api.toy.example/api/clips", False),
    ):
        found = Found(label="x", request=HttpRequest.from_parts("GET", url), is_archived=True)
        assert is_foreign == judge(found, library).is_foreign


def test_what_a_browser_asks_by_itself_is_left_out() -> None:
    headers = {"Access-Control-Request-Method": "POST", "Origin": "https://app.example"}
    request = HttpRequest.from_parts("OPTIONS", "https://api.toy.example/api/clips", headers=headers)

    assert judge(Found(label="x", request=request, is_archived=True), ALL).is_foreign
    assert "refused" == judge(Found(label="x", request=request), ALL).verdict


# --- bodies -----------------------------------------------------------------------------------------------


def body(value: str, library: Library, *, name: str = "body.json") -> Judgement:
    return judged(value, library, name=name)


MAGNIFIC = Library(contracts={"magnific": contract("magnific")}, provider="magnific")
MODELLIX = Library(contracts={"modellix": contract("modellix")}, provider="modellix")


def test_a_body_alone_needs_a_provider() -> None:
    one = body("{}", ALL)

    assert "a body alone does not tell whom it is for" == one.problem
    assert one.hint.startswith("give --provider, one of toy, magnific, modellix")


@pytest.mark.parametrize(
    ("text", "library", "name", "note"),
    [
        ('{"prompt": "a"}', TOY, "x", "taken for createClip, the only operation with a body"),
        ("{}", MAGNIFIC, "text-to-video.json", "taken for createTextToVideo by the name of the file"),
        (
            "{}",
            MAGNIFIC,
            "a/my createImageToVideo 2.json",
            "taken for createImageToVideo by the name of the file",
        ),
        (
            '{"prompt": "a", "aspect_ratio": "1:1"}',
            MAGNIFIC,
            "x",
            "taken for createTextToVideo, the only operation that knows all its members",
        ),
        (
            '{"prompt": "a"}',
            MAGNIFIC,
            "x",
            "taken for createTextToVideo, the only operation that would take it",
        ),
    ],
)
def test_the_operation_is_told_by_name_or_body(text: str, library: Library, name: str, note: str) -> None:
    assert note == body(text, library, name=name).note


def test_a_typing_mistake_does_not_hide_the_operation() -> None:
    one = body('{"prompt": "a", "duratoin": 5}', MAGNIFIC)
    most = body(
        '{"image": "https://example.com/a.png", "static_mask": "https://example.com/b.png", "x": 1}', MAGNIFIC
    )

    assert "taken for createTextToVideo, the only operation that would take it" == one.note
    assert "taken for createImageToVideo, the only operation that knows most of its members" == most.note
    assert ["magnific.request.unknown-member"] == rules(one) == rules(most)


def test_a_body_that_is_no_json_is_told_by_every_operation() -> None:
    (found,) = read_requests(b"{", name="body.json", form="json")

    assert "no JSON" in judge(found, MAGNIFIC).problem


def test_a_body_for_a_provider_that_takes_none_is_told() -> None:
    toy = contract("toy")
    reading = {name: one for name, one in toy.operations.items() if one.body is None}
    library = Library(contracts={"toy": replace(toy, operations=reading)}, provider="toy")

    one = body("{}", library)

    assert ("no operation of toy takes a body", "give the whole request, with its URL") == (
        one.problem,
        one.hint,
    )


def test_operations_with_the_same_body_are_all_the_same() -> None:
    one = body('{"image": "https://example.com/a.png"}', MODELLIX)

    assert "accepted" == one.verdict
    assert "take the same body" in one.note


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"duration": 99}', "the body may be for createImageToVideo, createTextToVideo"),
        ('{"nothing": 1}', "no operation knows all members of the body"),
    ],
)
def test_a_body_that_may_be_for_several_operations_is_told(text: str, problem: str) -> None:
    one = body(text, MAGNIFIC)

    assert problem == one.problem
    assert "give --operation, one of createImageToVideo, createTextToVideo" == one.hint


def test_the_operation_that_is_named_counts() -> None:
    one = body('{"duration": 99}', replace(MAGNIFIC, operation="createTextToVideo"))

    assert one.report is not None
    assert "createTextToVideo" == one.report.operation


# --- what is not in the text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *(
            "<api-key>",
            "Bearer <token>",
            "$TOKEN",
            "Bearer ${KEY}",
            "{{key}}",
            "Bearer {{ token }}",
            "YOUR_API_KEY",
        ),
        *(
            "Bearer your-token-here",
            "xxx",
            "Bearer xxxxxxxx",
            "sk-xxxxxxxx",
            "...",
            "Bearer …",
            "eyJhbGciOi...",
            "%KEY%",
        ),
        *(
            "[redacted]",
            "***",
            "REPLACE_ME",
            "API_KEY",
            "token",
            "Bearer ACCESS_TOKEN",
            "Bearer $(make token)",
            ":id",
        ),
        *("%3Ctask_id%3E", "{task_id}", "TASK_ID", "my-api-key"),
    ],
)
def test_a_placeholder_is_seen(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "mz_8f3a",
            "Bearer a.b.c",
            "toy-1234",
            "Basic bWU6eW91",
            "867283741759111202",
            "fast",
            "key1",
            "Bearer k",
            "",
            "x" * 400,
            "<" + "a" * 400 + ">",
        )
    ],
)
def test_what_may_be_real_is_none(value: str) -> None:
    assert not is_placeholder(value)


BODY = '-d \'{"prompt":"a boat"}\''


@pytest.mark.parametrize(
    ("headers", "found", "sentence"),
    [
        ("-H 'Authorization: Bearer <token>'", [], "the credential (a placeholder stands for it)"),
        ('-H "Authorization: Bearer $(make-jwt)"', [], "the credential (a placeholder stands for it)"),
        ('-H "X-Toy-Key: pre $K"', [], "the credential (a placeholder stands for it)"),
        ("-H 'Authorization: Bearer abc'", ["toy.request.unauthorized-malformed"], ""),
        ("", ["toy.request.unauthorized-missing"], ""),
        (KEY, [], ""),
    ],
)
def test_a_credential_is_judged_unless_a_placeholder_stands_for_it(
    headers: str, found: list[str], sentence: str
) -> None:
    one = judged(f"curl https://api.toy.example/api/clips {JSON} {BODY} {headers}")

    assert found == rules(one)
    assert ([sentence] if sentence else []) == unchecked(one)


def test_browsers_leave_credentials_out_of_archives() -> None:
    request = HttpRequest.from_parts("GET", "https://api.toy.example/api/clips")

    one = judge(Found(label="x", request=request, is_archived=True), ALL)

    assert [] == rules(one)
    assert ["the credential (browsers leave it out of archives)"] == unchecked(one)


def test_the_default_content_type_of_curl_is_a_finding() -> None:
    one = judged(f"curl https://api.toy.example/api/clips {KEY} {BODY}")

    assert ["toy.request.unsupported-media-type"] == rules(one)
    assert one.answer is not None
    assert 415 == one.answer.status


def test_a_body_that_is_not_read_is_no_finding() -> None:
    one = judged(f"curl https://api.toy.example/api/clips {KEY} {JSON} -d @body.json")

    assert [] == rules(one)
    assert ["the body: the file body.json, which is not read"] == unchecked(one)
    assert one.made is None
    assert "accepted as far as it is there" in judgement_text(one)


@pytest.mark.parametrize(
    ("sent", "expected", "sentence"),
    [
        ('{\\"prompt\\": \\"a\\", \\"model\\": \\"$M\\"}', [], "model: $M is filled in later"),
        (
            '{\\"prompt\\": \\"a\\", \\"picture\\": \\"$(base64 a.png)\\"}',
            [],
            "picture: $(base64 a.png) is filled in later",
        ),
        ('{\\"prompt\\": \\"a\\", \\"seconds\\": $S}', [], "seconds: $S is filled in later"),
        ('{\\"prompt\\": \\"$P\\", \\"model\\": \\"a9\\"}', ["toy.clip.model"], ""),
    ],
)
def test_values_that_are_filled_in_later_are_no_findings(
    sent: str, expected: list[str], sentence: str
) -> None:
    one = judged(f'curl https://api.toy.example/api/clips {KEY} {JSON} -d "{sent}"')

    assert expected == rules(one)
    assert not sentence or sentence in unchecked(one)


def test_parameters_that_are_filled_in_later_are_no_findings() -> None:
    good = judged(f"curl 'https://api.toy.example/api/clips?page=<page>' {KEY}")
    bad = judged(f"curl 'https://api.toy.example/api/clips?page=0' {KEY}")

    assert ([], ["page: <page> is filled in later"]) == (rules(good), unchecked(good))
    assert ["toy.list.page"] == rules(bad)


@pytest.mark.parametrize(
    ("value", "suggestion"),
    [
        ("<string>", "put a value in the place of '<string>'"),
        ("your-model", "put a value in the place of 'your-model'"),
        ("a9", ""),
    ],
)
def test_a_stand_in_in_a_body_is_a_finding_that_says_so(value: str, suggestion: str) -> None:
    one = body(f'{{"prompt": "<string>", "model": "{value}"}}', TOY)

    assert one.report is not None
    assert [("/model", suggestion)] == [
        (finding.instance_location, finding.suggestion) for finding in one.report.violations
    ]


def test_a_member_given_twice_is_told() -> None:
    one = body('{"prompt": 5, "name": "a", "prompt": "a boat", "masks": [{"x": 1, "x": 2}]}', TOY)

    assert {
        "prompt: given more than once, and only the last was looked at",
        "x: given more than once, and only the last was looked at",
    } <= set(one.report.unchecked if one.report else ())
    assert repeated(b'{"name": 1}') == []
    assert repeated(b'{"a"') == []
    assert repeated(b"[" * 100_000) == []


# --- what is said -----------------------------------------------------------------------------------------


def test_a_refusal_comes_with_the_answer_of_the_provider() -> None:
    one = body('{"prompt": "a", "model": "a9"}', TOY)

    assert one.answer is not None
    # The case is documented, the sentence in it is not.
    assert (400, "assumed") == (one.answer.status, one.answer.evidence)
    assert (
        "body.json: refused (toy createClip)\n"
        "  refused      model: model is a1, a2 or b1\n"
        "               at       body.json:1:17\n"
        "               found    'a9'\n"
        "               allowed  a1, a2, b1\n"
        "               rule     toy.clip.model (documented; The toy page, model <https://toy.example/docs>)\n"
        "  answer       400 {\n"
        '                 "ok": false,\n'
        '                 "code": "bad",\n'
        '                 "message": "Bad request\\nmodel is wrong",\n'
        '                 "request": "00000000-0000-4000-8000-000000000000"\n'
        "               }  (assumed)\n"
        "  note         taken for createClip, the only operation with a body\n"
        "  not checked  address, credential and parameters (only a body was given)"
    ) == judgement_text(one)


def test_a_request_that_is_taken_comes_with_price_and_clip() -> None:
    one = body('{"prompt": "a", "sound": "on"}', TOY)

    text = judgement_text(one)
    assert "  cost         2.5 in the provider's own units, 1.25 EUR\n" in text
    assert "  clip         128x72, 5.1 s at 10 frames a second, with sound\n" in text
    shown = judgement_json(one)
    assert 2.5 == shown["cost"]
    assert {"width": 128, "height": 72, "fps": 10, "seconds": 5.1, "hasAudio": True} == shown["clip"]


def test_a_task_that_fails_comes_with_its_text() -> None:
    one = body(f'{{"picture": "{picture(width=20, height=40)}"}}', TOY)

    text = judgement_text(one)
    assert "fails" == one.verdict
    assert "  failure      the task ends with 'Picture too small'\n" in text
    assert "nothing is taken for a task that fails" in text
    assert "Picture too small" == judgement_json(one)["failure"]


def test_what_cannot_be_judged_says_why() -> None:
    one = judged("curl 'https://x", name="f.sh")

    assert (
        "f.sh line 1: could not be checked\n  why          the quote ' of line 1 is not closed"
        == judgement_text(one)
    )
    assert {
        "label": "f.sh line 1",
        "file": "f.sh",
        "line": 1,
        "verdict": "unchecked",
        "problem": "the quote ' of line 1 is not closed",
    } == judgement_json(one)


def test_nothing_in_a_file_steers_the_terminal() -> None:
    text = "curl 'https://api.toy.example/api/clips\x1b[2J?page=\x9b1m' -H 'X-Toy-Key: k\x1b'"

    assert "\x1b" not in judgement_text(judged(text, name="a\x1b[31m"))
    assert "\x9b" not in judgement_text(judged(text))


def test_a_finding_for_machines_has_stable_members() -> None:
    one = judged(f"curl https://api.toy.example/api/clips {KEY} {BODY}")

    shown: dict[str, Any] = judgement_json(one)

    assert [
        "label",
        "file",
        "line",
        "method",
        "path",
        "verdict",
        "provider",
        "operation",
        "answer",
        "violations",
        "unchecked",
    ] == (list(shown))
    assert ["status", "mediaType", "headers", "body", "evidence"] == list(shown["answer"])


# --- counting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "code", "strict_code", "text"),
    [
        ({}, 2, 2, "0 requests: nothing to check"),
        ({"skipped": 3}, 2, 2, "0 requests: nothing to check; 3 requests to others left out"),
        ({"accepted": 1}, 0, 0, "1 request: 1 accepted"),
        ({"accepted": 1, "warnings": 2}, 0, 1, "1 request: 1 accepted; 2 warnings"),
        ({"accepted": 1, "refused": 2}, 1, 1, "3 requests: 1 accepted, 2 refused"),
        ({"fails": 1}, 1, 1, "1 request: 1 would fail"),
        ({"refused": 1, "unchecked": 1}, 2, 2, "2 requests: 1 refused, 1 could not be checked"),
    ],
)
def test_a_run_ends_with_counts_and_a_code(
    counts: dict[str, int], code: int, strict_code: int, text: str
) -> None:
    tally = Tally(**counts)

    assert (code, strict_code) == (tally.exit_code(is_strict=False), tally.exit_code(is_strict=True))
    assert text == tally.text()
