"""Credentials in a callback address: nobody is called with them, by them, or shown them."""

from __future__ import annotations

from typing import Any

import pytest

from mockserver.callbacks import HttpSender
from mockserver.journal import REDACTED, shown_url
from mockserver.receivers import NotAllowedError, Policy
from mockserver.settings import Settings
from tests.mock import Mock
from tests.safety.receiving import Trap, deliver, never_connected

SECRET = "hunter2-hunter2"

HIDING = [
    *(
        "http://allowed.test@127.0.0.1/",
        "http://allowed.test:80@127.0.0.1/",
        "http://allowed.test:80%40127.0.0.1/",
    ),
    *("http://127.0.0.1@allowed.test/", "http://@127.0.0.1/", "http://:@127.0.0.1/", "http://:x@127.0.0.1/"),
    *("http://a@b@127.0.0.1/", "http://allowed.test%2f@127.0.0.1/", "http://allowed.test%23@127.0.0.1/"),
    *(
        "http://allowed.test\\@127.0.0.1/",
        "http://allowed.test&@127.0.0.1/",
        "http://allowed.test;@127.0.0.1/",
    ),
    *(
        "https://allowed.test@127.0.0.1:1/",
        "HTTP://Allowed.Test@127.0.0.1/",
        "http://[allowed.test]@127.0.0.1/",
    ),
]


@pytest.mark.parametrize("url", HIDING)
def test_a_host_behind_a_user_name_is_not_called(url: str) -> None:
    with never_connected() as reached:
        results = [
            *deliver(url),
            *deliver(url, callback_allow=("allowed.test", "127.0.0.1"), host="0.0.0.0", admin_token="t"),
        ]

    assert [] == reached
    assert all(isinstance(one, OSError | NotAllowedError) for one in results), results


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/#@evil.test/", "http://127.0.0.1:{port}/?@evil.test/"]
)
def test_what_stands_behind_the_host_is_no_host(url: str) -> None:
    with Trap() as trap:
        assert [200] == deliver(url.format(port=trap.port), callback_allow=("127.0.0.1",))

        assert f"Host: 127.0.0.1:{trap.port}\r\n".encode() in trap.heads[0]


def test_no_credentials_of_ours_go_along() -> None:
    with Trap() as trap:
        deliver(f"http://127.0.0.1:{trap.port}/hook", admin_token="t")

        names = {line.partition(b":")[0].lower() for line in trap.heads[0].split(b"\r\n")[1:] if line}
        assert set() == names & {b"authorization", b"cookie", b"proxy-authorization", b"x-admin-token"}


SHOWN = {
    f"http://r.test/h?token={SECRET}": "http://r.test/h?token=" + REDACTED,
    f"http://r.test/h?a=1&api_key={SECRET}&b=2": f"http://r.test/h?a=1&api_key={REDACTED}&b=2",
    f"http://r.test/h?apikey={SECRET}": f"http://r.test/h?apikey={REDACTED}",
    f"http://r.test/h?X-Amz-Signature={SECRET}&x=1": f"http://r.test/h?X-Amz-Signature={REDACTED}&x=1",
    f"http://r.test/h?X-Amz-Credential={SECRET}": f"http://r.test/h?X-Amz-Credential={REDACTED}",
    f"http://r.test/h?accessToken={SECRET}": f"http://r.test/h?accessToken={REDACTED}",
    f"http://r.test/h?sv=2020&sig={SECRET}": f"http://r.test/h?sv=2020&sig={REDACTED}",
    f"http://r.test/h?PASSWORD={SECRET}": f"http://r.test/h?PASSWORD={REDACTED}",
    f"http://r.test/h?client_secret={SECRET}": f"http://r.test/h?client_secret={REDACTED}",
    f"http://r.test/h?auth={SECRET}": f"http://r.test/h?auth={REDACTED}",
    f"http://r.test/h?%74oken={SECRET}": f"http://r.test/h?%74oken={REDACTED}",
    f"http://r.test/h?hook[token]={SECRET}": f"http://r.test/h?hook[token]={REDACTED}",
    f"http://r.test/h?a=1;token={SECRET}": f"http://r.test/h?a=1;token={REDACTED}",
    f"http://r.test/h#access_token={SECRET}": f"http://r.test/h#access_token={REDACTED}",
    f"http://me:{SECRET}@r.test/h?key={SECRET}": f"http://{REDACTED}@r.test/h?key={REDACTED}",
    f"see http://r.test/h?token={SECRET} and on": f"see http://r.test/h?token={REDACTED} and on",
    "http://r.test/h?author=x&tokens=5&design=1&task=2": "http://r.test/h?author=x&tokens=5&design=1&task=2",
    "http://r.test/h?token=": "http://r.test/h?token=",
    "http://r.test/h?token": "http://r.test/h?token",
    "a=b": "a=b",
}


@pytest.mark.parametrize("url", SHOWN)
def test_a_secret_in_a_url_is_cut_out_and_nothing_else(url: str) -> None:
    assert SHOWN[url] == shown_url(url)


@pytest.mark.parametrize(
    "hook",
    [
        f"http://127.0.0.1:1/hook?token={SECRET}",
        f"http://me:{SECRET}@127.0.0.1:1/hook",
        f"ftp://127.0.0.1:1/hook?signature={SECRET}",
        f"http://{SECRET}.invalid@127.0.0.1/hook",
        f"http://127.0.0.1:1/{'x' * 100}?secret={SECRET}",
    ],
)
def test_nothing_that_is_shown_shows_the_secret(hook: str) -> None:
    """Journal, ledger, tasks and log, of a delivery that was refused or that nobody took."""
    sender = HttpSender(Policy.of(Settings()))
    with Mock(sender=sender, is_stepped=False) as mock:
        mock.freeze()
        task = mock.clip(hook=hook)
        mock.create(hook=hook, prompt=5)
        mock.advance("PT5S")
        shown: list[Any] = [
            mock.admin("GET", path) for path in ("/requests", "/deliveries", "/tasks", f"/tasks/{task}")
        ]
        shown += [mock.admin("GET", f"/deliveries/{one['id']}") for one in mock.deliveries()]
        mock.app.log.flush()

        assert mock.deliveries()
        assert SECRET not in str(shown)
        assert SECRET not in mock.log.getvalue()


def test_queries_headers_and_bodies_of_requests_are_shown_without_secrets() -> None:
    with Mock() as mock:
        mock.call("GET", f"/toy/api/clips?page=1&access_token={SECRET}", headers={"x-toy-key": SECRET})
        mock.create(
            headers={
                "referer": f"http://page.test/?session={SECRET}",
                "cookie": SECRET,
                "x-api-keys": SECRET,
                "x-custom": f"Bearer {SECRET}",
            },
            name="n",
            extra={"apiKey": SECRET, "list": [{"password": SECRET}], "url": f"http://x.test/?sig={SECRET}"},
            more={
                "tokens": [SECRET],
                "auth": {"value": SECRET},
                "credential": {"sk": SECRET},
                "cookie": SECRET,
            },
            pin={"password": 271828182, "max_tokens": 314, "token": None, "key": False},
        )
        mock.create(name=f"http://x.test/?token={SECRET}", prompt=f"http://x.test/?token={SECRET}")
        shown = str(mock.admin("GET", "/requests"))

    assert SECRET not in shown
    assert "271828182" not in shown
    assert "page=1" in shown
    # What is counted, and whether there is a credential at all, is none.
    assert "'max_tokens': 314, 'token': None, 'key': False" in shown
    assert 13 <= shown.count(REDACTED)
