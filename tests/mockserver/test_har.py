"""The journal as an HTTP archive: what other tools need is there, credentials are not, and lint says the same."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mockserver.cli import main
from mockserver.journal import LARGE_BODY
from tests.mock import KEY, Mock
from tests.pictures import picture
from tests.providers import TOY
from validator.readers import read_requests

SECRET = "secret-key-1234"


def archive(mock: Mock, query: str = "") -> Any:
    return mock.admin("GET", f"/requests.har{query}")["log"]


def test_an_archive_holds_the_exchanges_oldest_first() -> None:
    with Mock(log="off") as mock:
        mock.freeze()
        mock.create(prompt="a boat")
        mock.advance("PT1S")
        mock.get("/toy/api/clips?page=2&size=7", x_toy_key=SECRET)

        log = archive(mock)

        assert ("1.2", "understudy") == (log["version"], log["creator"]["name"])
        first, second = log["entries"]
        assert ["2026-01-01T12:00:00.000Z", "2026-01-01T12:00:01.000Z"] == [
            one["startedDateTime"] for one in log["entries"]
        ]
        assert ("POST", "http://127.0.0.1:8700/toy/api/clips") == (
            first["request"]["method"],
            first["request"]["url"],
        )
        posted = first["request"]["postData"]
        assert ("application/json", {"prompt": "a boat"}) == (posted["mimeType"], json.loads(posted["text"]))
        assert first["request"]["bodySize"] == len(posted["text"])
        assert (200, "OK") == (first["response"]["status"], first["response"]["statusText"])
        assert "clip" in json.loads(first["response"]["content"]["text"])
        assert [{"name": "page", "value": "2"}, {"name": "size", "value": "7"}] == second["request"][
            "queryString"
        ]
        assert "postData" not in second["request"]
        for one in log["entries"]:
            assert one["time"] == sum(one["timings"].values())
        assert SECRET not in json.dumps(log)


def test_an_archive_is_filtered_like_the_journal() -> None:
    with Mock(log="off") as mock:
        mock.create()
        mock.create(prompt=7)
        mock.get("/toy/api/none")

        assert 1 == len(archive(mock, "?verdict=accepted")["entries"])
        assert 1 == len(archive(mock, "?unmatched=true")["entries"])
        assert 2 == len(archive(mock, "?unmatched=false")["entries"])
        assert 3 == len(archive(mock)["entries"])


def test_bytes_that_are_no_text_are_base64_and_a_cut_body_is_left_out() -> None:
    with Mock(log="off") as mock:
        mock.call("POST", "/toy/api/clips", body=b"\xff\x00", headers={"x-toy-key": KEY})
        mock.create(picture=base64.b64encode(b"A" * 30_000).decode())

        small, large = archive(mock)["entries"]

        assert b"\xff\x00" == base64.b64decode(small["request"]["postData"]["text"])
        assert "base64" == small["request"]["postData"]["encoding"]
        sent = len(json.dumps({"prompt": "a boat", "picture": "A" * 40_000}, separators=(",", ":")))
        assert ("", sent) == (large["request"]["postData"]["text"], large["request"]["bodySize"])


def test_lint_reads_an_archive_and_says_what_the_server_said(tmp_path: Path) -> None:
    with Mock(log="off") as mock:
        for body in (
            {"prompt": "a boat"},
            {"prompt": 7},
            {},
            {"prompt": "a", "model": "a9"},
            {"prompt": "a", "promt": "b"},
            {"prompt": "a", "picture": picture()},
            {"prompt": "a", "picture": picture(width=10, height=10)},
        ):
            mock.call("POST", "/toy/api/clips", json=body, headers={"x-toy-key": SECRET})
        mock.get("/toy/api/clips?page=0", x_toy_key=SECRET)
        mock.get("/toy/api/clips?page=1", x_toy_key=SECRET)
        file = tmp_path / "journal.har"
        file.write_text(json.dumps(mock.admin("GET", "/requests.har")))
        said = [
            (one["verdict"], [finding["rule"] for finding in one["report"]["violations"]])
            for one in mock.admin("GET", "/requests")["requests"][::-1]
        ]

    out = CliRunner().invoke(main, ["lint", "--format", "json", "--spec", str(TOY), str(file)]).output
    linted = json.loads(out)["requests"]

    assert [verdict for verdict, _ in said] == [one["verdict"] for one in linted]
    assert [rules for _, rules in said] == [[two["rule"] for two in one["violations"]] for one in linted]
    assert {"accepted", "refused", "fails"} == {verdict for verdict, _ in said}


def test_lint_does_not_judge_a_body_that_was_cut(tmp_path: Path) -> None:
    with Mock(log="off") as mock:
        mock.create(prompt="x" * 20_000)
        content = json.dumps(mock.admin("GET", "/requests.har")).encode()

    (found,) = read_requests(content, name="journal.har")

    assert not found.has_body
    assert "20," in found.unchecked[0]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?access_token=hush", b"{}"),
        ("", rb'{"prompt": "A kite", "callback_url": "http:\/\/me:hush@127.0.0.1\/hook"}'),
        ("", b'{"prompt": "A kite", "api_key": "hush"}'),
        ("", b'{"api_key": "hush", "api_key": "", "prompt": "A kite"}'),
        ("", b'{"api_key": "hush",}'),
        ("", b"api_key=hush"),
    ],
)
def test_an_archive_holds_no_credential(query: str, body: bytes) -> None:
    with Mock(log="off") as mock:
        headers = {"x-toy-key": KEY, "x-api-key": "hush"}
        mock.call("POST", f"/toy/api/clips{query}", body=body, headers=headers)

        assert "hush" not in json.dumps(archive(mock))


def test_a_body_without_credentials_stands_there_as_it_came() -> None:
    body = b'{ "prompt":"A kite",  "seconds": 1.50, "seconds": 1e1 }'
    with Mock(log="off") as mock:
        mock.call("POST", "/toy/api/clips", body=body, headers={"x-toy-key": KEY})

        assert archive(mock)["entries"][0]["request"]["postData"]["text"] == body.decode()


def test_a_body_of_many_small_parts_is_left_out_with_its_size() -> None:
    body = b"[" + b"1," * LARGE_BODY + b"1]"
    with Mock(log="off") as mock:
        mock.call("POST", "/toy/api/clips", body=body, headers={"x-toy-key": KEY})

        request = archive(mock)["entries"][0]["request"]
    assert request["bodySize"] == len(body)
    assert request["postData"]["text"] == ""
