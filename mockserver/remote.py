"""A running server, as the commands of the terminal see it; and any receiver they hand a delivery to.

Exceptions::

    RuntimeError
    └── RemoteError         no server answers, or it refuses: a sentence that says which, and what would do
        └── GoneError       there is none, or no more
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from mockserver.journal import shown_url

PATIENCE_S: Final = 10.0
"""Seconds to wait for an answer that is not waited for on purpose."""

SILENCE_S: Final = 40.0
"""Seconds without a sign of life on a stream, which has one every quarter of a minute, before it counts as lost."""

_CAME_BETWEEN: Final = (OSError, http.client.HTTPException)


class RemoteError(RuntimeError):
    """A server that cannot be used."""


class GoneError(RemoteError):
    """No server answers."""


class Remote:
    """The control plane of one tenant of a server."""

    def __init__(self, server: str, *, tenant: str = "", token: str = "") -> None:
        """Speak to the server with this URL; raises RemoteError for none, or a token that cannot be sent."""
        self.server = server.rstrip("/")
        self._parts = _parts(self.server)
        if not (token.isascii() and token.isprintable()):
            raise RemoteError("the token cannot be sent: a header carries printable ASCII only")
        prefix = f"/t/{quote(tenant, safe='')}" if tenant else ""
        self._path = f"{self._parts.path.rstrip('/')}{prefix}/__admin"
        self._headers = {"X-Admin-Token": token} if token else {}

    def call(self, method: str, path: str, value: Any = None, *, has: str, wait_s: float = 0.0) -> Any:
        """Return the JSON of an answer, None where there is none.  Raises RemoteError.

        `has` is a member that it has, by which we know that it comes from one of ours.
        """
        connection = _connection(self._parts, PATIENCE_S + wait_s)
        body = None if value is None else orjson.dumps(value)
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            connection.request(method, self._path + path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except _CAME_BETWEEN as error:
            raise self._gone(error) from None
        finally:
            connection.close()
        if answer.status >= 300:
            raise self._refused(answer.status, content)
        if answer.status == 204:
            return None
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or has not in found:
            raise self._foreign()
        return found

    def events(self, *, of: str, after: str) -> Iterator[tuple[str, str, Any]]:
        """Yield (id, kind, data) of what happens, from an id on, until the stream ends.  Raises RemoteError."""
        connection = _connection(self._parts, SILENCE_S)
        try:
            target = f"{self._path}/events?of={of}"
            connection.request(
                "GET", target, headers=self._headers | ({"Last-Event-ID": after} if after else {})
            )
            answer = connection.getresponse()
            if answer.status >= 300:
                raise self._refused(answer.status, answer.read())
            if answer.getheader("content-type", "").partition(";")[0] != "text/event-stream":
                raise self._foreign()
            yield "", "open", None
            yield from _messages(answer)
        except orjson.JSONDecodeError:
            raise self._foreign() from None
        except _CAME_BETWEEN as error:
            raise self._gone(error) from None
        finally:
            connection.close()

    def _foreign(self) -> RemoteError:
        return RemoteError(f"{self.server} answers, but it is no understudy")

    def _gone(self, error: Exception) -> GoneError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return GoneError(
            f"no server answers at {self.server}: {why} (understudy serve starts one, --server names one)"
        )

    def _refused(self, status: int, content: bytes) -> RemoteError:
        try:
            problem = orjson.loads(content)
            detail = f"{problem['title']}: {problem['detail']}"
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return RemoteError(f"{self.server} answers {status}, but it is no understudy")
        hint = " (--token, or UNDERSTUDY_ADMIN_TOKEN)" if status == 401 else ""
        return RemoteError(f"{self.server} refuses: {detail}{hint}")


def _messages(stream: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the events of a stream.  Source: the HTML standard, 9.2.6, of which we write a part."""
    name = kind = data = ""
    while line := stream.readline(1 << 20):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield name, kind or "message", orjson.loads(data)
            kind = data = ""
            continue
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            name = value
        elif field == "event":
            kind = value
        elif field == "data":
            data += value


def deliver(
    url: str, method: str, headers: Sequence[tuple[str, str]], body: bytes, *, within_s: float
) -> int:
    """Send exactly these headers and bytes to a receiver, and return its status; raises RemoteError."""
    parts = _parts(url)
    connection = _connection(parts, within_s)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse().status
    except TimeoutError:
        raise RemoteError(f"no answer within {within_s:g} s") from None
    except _CAME_BETWEEN as error:
        raise RemoteError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
    finally:
        connection.close()


def check_url(url: str) -> None:
    """Raise RemoteError for what is no URL to send to."""
    _parts(url)


def _parts(url: str) -> Any:
    shown = shown_url(url)[:80]
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise RemoteError(f"'{shown}' is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise RemoteError(f"'{shown}' is no URL; write it like http://127.0.0.1:3000/hook")
    if parts.username is not None:
        raise RemoteError(f"'{shown}' has a user name in it, which is not sent; leave it out")
    # A host may have letters of all scripts.
    if not all(_is_plain(part) for part in (parts.path, parts.query, parts.hostname.encode("idna").decode())):
        raise RemoteError(f"'{shown}' has blanks or letters that a URL takes percent-encoded only")
    return parts


def _is_plain(text: str) -> bool:
    """Tell whether a text is printable ASCII without blanks."""
    return text.isascii() and text.isprintable() and " " not in text


def _connection(parts: Any, timeout_s: float) -> http.client.HTTPConnection:
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)


def headers_of(handout: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of a delivery that was pulled."""
    return [(name, value) for name, value in handout["headers"]]
