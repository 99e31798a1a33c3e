"""The one host that a provider's requests are passed to: over TLS that is verified, without redirects and cookies.

What comes back is the answer's own bytes, as they come.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit

from mockserver.settings import SettingError
from mockserver.wire import HeaderList

CONNECT_S: Final = 15.0
"""Seconds that a connection may take."""

HOP_BY_HOP: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
"""Headers that are about one connection (RFC 9110, 7.6.1), and those for a proxy."""

_OURS: Final = (b"x-mock-", b"x-admin-token")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PATH: Final = re.compile(r"[!-~]*")


class UpstreamError(OSError):
    """No answer, or not all of one.  `is_sent` where the host may have got the request; `is_late` for a time-out."""

    def __init__(self, sentence: str, *, is_sent: bool, is_late: bool) -> None:
        """Take what happened."""
        super().__init__(sentence)
        self.is_sent, self.is_late = is_sent, is_late


class Reply:
    """An answer whose body is still to come; close it."""

    def __init__(self, response: Any, headers: HeaderList) -> None:
        """Take the client library's answer."""
        self._response = response
        self.status: int = response.status_code
        self.headers = headers
        self._chunks = self._read()

    @property
    def media_type(self) -> str:
        """Return the type of the body, "" where none is said."""
        value = next((value for name, value in self.headers if name.lower() == b"content-type"), b"")
        return value.decode("latin-1").partition(";")[0].strip().lower()

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the body as it comes, coded as it is; raises UpstreamError where it ends too early.

        Whoever stops and asks again goes on where it stopped.
        """
        return self._chunks

    async def _read(self) -> AsyncGenerator[bytes]:
        import httpx

        try:
            async for chunk in self._response.stream:
                yield chunk
        except (httpx.HTTPError, OSError) as error:
            raise _failed(error, is_begun=True) from None

    async def close(self) -> None:
        """Let go of the connection; what has not come yet does not come."""
        await self._chunks.aclose()
        await self._response.aclose()


class Upstream:
    """One host.  `base` is what stands before every path of the provider, without a slash at its end."""

    def __init__(
        self,
        url: str,
        *,
        base_path: str,
        timeout_s: float,
        through: str | None = None,
        option: str = "--upstream",
    ) -> None:
        """Take the URL; raises SettingError for one that is none, under the name of its `option`.

        `base_path` is the provider's own, which a URL may end with or not; `through` is a proxy on the way.
        """
        parts = _parts(url, option)
        self.scheme, self.host = parts.scheme, str(parts.hostname)
        self.netloc = parts.netloc.encode("ascii")
        path = parts.path.rstrip("/")
        self.base = path.removesuffix(base_path) if base_path else path
        self.url = f"{parts.scheme}://{parts.netloc}{self.base}"
        self._timeout_s, self._through = timeout_s, through
        self._transports: dict[bool, Any] = {}
        if through is not None:
            _parts(through, "--through", has_user=True)

    @property
    def is_this_machine(self) -> bool:
        """Tell whether the host is this machine, where nothing is paid for."""
        return is_this_machine(self.host)

    async def open(
        self, method: str, target: bytes, headers: HeaderList, body: bytes, *, is_paid: bool
    ) -> Reply:
        """Send a request and return its answer as soon as its head is there; raises UpstreamError.

        `is_paid` takes a connection of its own: on one that was kept open, a host that closes it just then leaves
        nobody knowing whether the request was read.
        """
        import httpx

        transport = self._transports.get(is_paid)
        if transport is None:
            # Certificates are read from the disk.
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(None, self._transport, is_paid)
            transport = self._transports.setdefault(is_paid, made)
        limits = {"connect": CONNECT_S, "pool": CONNECT_S, "read": self._timeout_s, "write": self._timeout_s}
        whole = self.base.encode("ascii") + target
        extensions: dict[str, Any] = {"timeout": limits}
        url = httpx.URL(f"{self.scheme}://{self.netloc.decode('ascii')}/")
        if self._through is None:
            # Byte by byte, whatever the library would make of it.
            extensions["target"] = whole
        else:
            # The target names the host as well, or is that of a tunnel.
            url = url.copy_with(raw_path=whole)
        try:
            request = httpx.Request(
                method, url, headers=headers, stream=httpx.ByteStream(body), extensions=extensions
            )
            response = await transport.handle_async_request(request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise _failed(error, is_begun=False) from None
        return Reply(response, answer_headers(response.headers.raw, response.status_code))

    def _transport(self, is_paid: bool) -> Any:
        import httpx

        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=0 if is_paid else 20, keepalive_expiry=15.0
        )
        proxy = httpx.Proxy(self._through) if self._through is not None else None
        return httpx.AsyncHTTPTransport(
            verify=_certificates(), trust_env=False, limits=limits, proxy=proxy, retries=0
        )

    async def close(self) -> None:
        """Close the connections that are kept open."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()


def is_this_machine(host: str) -> bool:
    """Tell whether a host, without its port, is this machine."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Return what verifies hosts; reading the list takes a tenth of a second, once for all hosts."""
    import httpx

    return httpx.create_ssl_context(verify=True, trust_env=False)


def _parts(url: str, option: str, *, has_user: bool = False) -> Any:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingError(f"{option}: this is no URL") from None
    shown = f"{option} {parts.scheme}://{(parts.hostname or '')[:80]}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SettingError(f"{option}: write http:// or https:// and a host, such as https://api.example.com")
    if not has_user and (parts.username is not None or parts.password is not None):
        raise SettingError(f"{shown}: a user name in a URL is passed to nobody; leave it out")
    if not url.isascii() or not _PATH.fullmatch(parts.netloc + parts.path):
        raise SettingError(f"{shown}: a URL holds no blanks and nothing but ASCII")
    if parts.query or parts.fragment:
        raise SettingError(f"{shown}: leave out what stands behind ? or #")
    return parts


def _failed(error: Exception, *, is_begun: bool) -> UpstreamError:
    """Return what happened in our words; `is_begun` where the answer had begun."""
    import httpx

    # What the library raises before a byte of the request has left.
    before = (
        *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError),
        *(httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError),
    )
    is_sent = is_begun or not isinstance(error, before)
    is_late = isinstance(error, httpx.TimeoutException)
    said = str(error) or type(error).__name__
    if is_late:
        said = "it said nothing in time" if is_sent else "no connection in time"
    return UpstreamError(said, is_sent=is_sent, is_late=is_late)


def _named(headers: HeaderList) -> set[bytes]:
    """Return the headers that Connection names: they are for one connection as well."""
    values = (value for name, value in headers if name.lower() == b"connection")
    return {token.strip().lower() for value in values for token in value.split(b",")}


def request_headers(headers: HeaderList, netloc: bytes, body: bytes) -> HeaderList:
    """Return the headers a request is passed on with: in their order, without those of the connection and ours.

    The length is said where one was said before, in whatever way.  Expect was met here.
    """
    dropped = HOP_BY_HOP | (_named(headers) - {b"host", b"content-length"}) | {b"expect"}
    has_host = any(name == b"host" for name, _ in headers)
    out: HeaderList = [] if has_host else [(b"host", netloc)]
    has_length = False
    for name, value in headers:
        if name == b"host":
            out.append((name, netloc))
        elif name in (b"content-length", b"transfer-encoding"):
            if not has_length:
                out.append((b"content-length", b"%d" % len(body)))
            has_length = True
        elif name not in dropped and not name.startswith(_OURS):
            out.append((name, value))
    return out


def answer_headers(headers: HeaderList, status: int = 200) -> HeaderList:
    """Return the headers an answer is passed back with, without those of the connection.

    A length says nothing beside chunks (RFC 9112, 6.3), nor of a body that is not there (204, 304).  A value with a
    control character in it cannot be sent to anybody (RFC 9110, 5.5).
    """
    dropped = HOP_BY_HOP | _named(headers)
    if status in (204, 304) or any(name.lower() == b"transfer-encoding" for name, _ in headers):
        dropped |= {b"content-length"}
    return [
        (name, value) for name, value in headers if name.lower() not in dropped and not _CONTROL.search(value)
    ]
