"""What a request says is a value and never a template, a script or an expression (CVE-2021-32827).

Answers and callbacks repeat texts of requests.  They repeat them as they are.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.mock import HOOK, KEY, Mock

SCRIPTS = [
    *("{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{%print(7*7)%}", "{{config}}", "${jndi:ldap://x.test/a}"),
    *(
        "$request.header.x-toy-key",
        "{$request.header.x-toy-key}",
        "{$request.body#/prompt}",
        "{$mock.baseUrl}",
    ),
    *(
        "$task.id",
        "{$task.id}",
        "{$error.message}",
        "{$task.output.url}",
        "$request.query.x",
        "{$}",
        "{$$}",
        "{",
    ),
    *(
        "{0}",
        "{0.__class__}",
        "{self.__init__.__globals__}",
        "%(x)s",
        "%s%s%n",
        "`id`",
        "$(id)",
        "';--",
        "\\u0041",
    ),
    *(
        "__import__('os').system('id')",
        "!!python/object/apply:os.system [id]",
        "#!/bin/sh",
        "\r\nX-Injected: 1",
    ),
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_text_comes_back_as_it_is(text: str) -> None:
    with Mock() as mock:
        mock.freeze()
        reply = mock.create(name=text, prompt=text, hook=HOOK)
        assert 200 == reply.status, reply
        task = reply.json["clip"]["id"]
        mock.advance("PT1M")
        read = mock.read(task)
        listed = mock.call("GET", "/toy/api/clips", headers={"x-toy-key": KEY})

    assert text == reply.json["clip"]["name"] == read.json["clip"]["name"]
    assert text == _first_name(listed.json)
    assert {text} == {call.json["name"] for call in mock.receivers.calls}
    assert "x-injected" not in {name.lower() for one in (reply, read) for name in one.headers}


def _first_name(value: Any) -> str:
    clips = value["clips"]
    found: str = clips[0]["name"]
    return found


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_refusal_repeats_a_text_as_it_is(text: str) -> None:
    """Messages of refusals hold expressions of the spec's; a value that looks like one is not evaluated again."""
    with Mock(log="off") as mock:
        reply = mock.create(model=text)
        shown = mock.admin("GET", "/requests?limit=1")["requests"][0]

    assert 400 == reply.status
    assert KEY not in str(reply.json)
    assert KEY not in str(shown)
    assert "49" not in str(shown["report"]["violations"][0].get("found", ""))


@pytest.mark.parametrize("text", [one for one in SCRIPTS if "\r" not in one])
def test_a_callback_address_is_not_a_template(text: str) -> None:
    with Mock() as mock:
        mock.freeze()
        hook = f"http://receiver.test/{text}"
        mock.create(hook=hook)
        mock.advance("PT5S")

    assert {hook} == {call.url for call in mock.receivers.calls}
