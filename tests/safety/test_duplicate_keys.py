"""A name that an object gives twice: readers differ, which lets two of them judge different requests.

Here one reader serves all: what is judged is what is done.  The last one counts, and the journal says so.
"""

from __future__ import annotations

import pytest

from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.providers import LIBRARY

TOLD = "given more than once, and only the last was looked at"


def told(mock: Mock) -> list[str]:
    unchecked: list[str] = mock.admin("GET", "/requests?limit=1")["requests"][0]["report"]["unchecked"]
    return [one for one in unchecked if TOLD in one]


def post(mock: Mock, body: bytes) -> int:
    headers = {"x-toy-key": "toy-key-1", "content-type": "application/json"}
    return mock.call("POST", "/toy/api/clips", body=body, headers=headers).status


def test_the_last_one_is_judged_and_done() -> None:
    with Mock() as mock:
        assert 200 == post(mock, b'{"prompt": 5, "name": "first", "prompt": "a boat", "name": "last"}')
        assert 2 == len(told(mock))
        assert ["last"] == [
            one["name"]
            for one in mock.call("GET", "/toy/api/clips", headers={"x-toy-key": "toy-key-1"}).json["clips"]
        ]

        assert 400 == post(mock, b'{"prompt": "a boat", "prompt": 5}')
        assert [f"prompt: {TOLD}"] == told(mock)


def test_no_second_one_goes_past_the_check() -> None:
    """A callback address that is judged by one and called by the other would be the way out."""
    with Mock() as mock:
        mock.freeze()
        post(mock, b'{"prompt": "a", "hook": "http://first.test/", "hook": "http://last.test/"}')
        mock.advance("PT5S")

        assert {"http://last.test/"} == {call.url for call in mock.receivers.calls}
        assert {"http://last.test/"} == {one["url"] for one in mock.deliveries()}


@pytest.mark.parametrize(
    "body",
    [
        rb'{"prompt": "a", "pr\u006fmpt": "b"}',
        b'{"prompt": "a", "x": {"y": 1, "y": 2}}',
        b'{"prompt": "a", "x": [[{"y": {}, "y": []}]]}',
        b'{"prompt": "a", "": 1, "": 2}',
        b'{"prompt":"a"  ,\n"prompt"\t:"b"}',
    ],
)
def test_it_is_seen_however_it_is_written(body: bytes) -> None:
    with Mock() as mock:
        post(mock, body)

        assert told(mock)


@pytest.mark.parametrize(
    "body", [b'{"prompt": "\\"prompt\\": 1, \\"prompt\\": 2"}', b'{"prompt": "a", "x": {"prompt": 1}}']
)
def test_what_only_looks_like_it_is_not_told(body: bytes) -> None:
    with Mock() as mock:
        post(mock, body)

        assert [] == told(mock)


@pytest.mark.parametrize("name", LIBRARY)
def test_every_provider_answers_and_every_journal_tells(name: str) -> None:
    with Mock(name, log="off") as mock:
        client = next(clients(mock, name))
        for body in (b'{"prompt": "a", "prompt": 5, "duration": "5", "duration": null}', b'{"a": 1, "a": 2}'):
            reply = mock.call(
                "POST",
                client.url(client.operation.path),
                body=body,
                headers=client.headers | {"content-type": "application/json"},
            )
            assert reply.status < 500
            assert told(mock)


def test_many_names_given_twice_are_told_in_few_words() -> None:
    with Mock() as mock:
        post(mock, b"{" + b",".join(b'"%d":1,"%d":2' % (index, index) for index in range(500)) + b"}")
        post(mock, b'{"' + b"k" * 3_000 + b'": 1, "' + b"k" * 3_000 + b'": 2}')
        shown = mock.admin("GET", "/requests?limit=2")["requests"]

    assert all(len(one) < 200 for request in shown for one in request["report"]["unchecked"])
    assert all(len(request["report"]["unchecked"]) < 50 for request in shown)


def test_a_header_given_twice_is_read_one_way() -> None:
    """The last credential counts, for who asks and for whose tasks there are."""
    pairs = [(b"x-toy-key", b"key-of-one"), (b"x-toy-key", b"key-of-two"), (b"host", b"127.0.0.1:8700")]
    with Mock() as mock:
        task = mock.clip(key="key-of-two")
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "query_string": b"",
            "path": f"/toy/api/clips/{task}",
            "raw_path": f"/toy/api/clips/{task}".encode(),
            "headers": pairs,
        }
        mock.run(_call(mock, scope, send))

        assert 200 == sent[0]["status"]


async def _call(mock: Mock, scope: object, send: object) -> None:
    await mock.app(scope, None, send)  # type: ignore[arg-type]
