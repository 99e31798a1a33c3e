"""A request as the check sees it, whatever it was read from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from validator.contract.expressions import Json

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

LOST: Final = frozenset((502, 504, *range(520, 531)))
"""Statuses of something on the way that had no answer: what the host behind it did with the request is not known.

Source: RFC 9110, 15.6.3 and 15.6.5; 520 and on are those of a widely used CDN.
"""

IDEMPOTENCY: Final = ("idempotency-key", "x-idempotency-key")
"""Headers with which a client names one wish, so that a repeated request can be told from a second one."""

_LONGEST_SEARCHED: Final = 20_000_000
"""Bytes of a body that is read a second time, for names given twice."""


class Request(Protocol):
    """What a check asks of a request; an :class:`HttpRequest`, or a server's own."""

    @property
    def method(self) -> str:
        """Return the method, in capitals."""

    @property
    def path(self) -> str:
        """Return the path as the provider would see it, percent-encoded."""

    @property
    def url(self) -> str:
        """Return what the client called."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers, names in lower case."""

    @property
    def query(self) -> Mapping[str, str]:
        """Return the first value of each query parameter."""

    @property
    def body(self) -> bytes:
        """Return the bytes of the body."""

    @property
    def body_fault(self) -> str:
        """Return why there is no body to have, or the empty text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP request.

    `path` is percent-encoded and below the provider's base URL, as the provider would see it; `headers` has
    lower-case names; `query` maps a name to its first value; `url` is what the client called.
    `body` is the bytes, or None together with `body_fault` where there are none to have.
    """

    method: str
    path: str
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    body: bytes = b""
    body_fault: str = ""

    @staticmethod
    def from_parts(
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
    ) -> HttpRequest:
        """Return the request for a URL, absolute or a path, as a client library would be told it."""
        parts = urlsplit(url)
        raw, fault = (body, "") if isinstance(body, bytes) else _encode(body)
        return HttpRequest(
            method=method.upper(),
            path=parts.path or "/",
            url=url,
            headers={name.lower(): value for name, value in (headers or {}).items()},
            query=parse_query(parts.query),
            body=raw,
            body_fault=fault,
        )

    @staticmethod
    def from_json(
        method: str, url: str, value: Json, *, headers: Mapping[str, str] | None = None
    ) -> HttpRequest:
        """Return the request that carries a JSON value; one that JSON cannot say becomes a `body_fault`."""
        request = HttpRequest.from_parts(
            method, url, headers={"Content-Type": "application/json"} | dict(headers or {})
        )
        raw, fault = dump_json(value)
        return HttpRequest(
            method=request.method,
            path=request.path,
            url=url,
            headers=request.headers,
            query=request.query,
            body=raw,
            body_fault=fault,
        )


def parse_query(text: str) -> Mapping[str, str]:
    """Return the first value of each name of a query string; never raises."""
    if not text:
        return _NOTHING
    out: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="replace"):
        out.setdefault(name, value)
    return out


def dump_json(value: Json) -> tuple[bytes, str]:
    """Return (bytes, "") for a value that JSON can say, (b"", why not) for one that it cannot.

    Anything may come in: numbers beyond 64 bits, lone surrogates, NaN, values nested too deep.  The
    standard library's encoder, because it tells NaN from null and long integers from wrong ones.
    """
    try:
        return _encode(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError) as error:
        return b"", str(error) or type(error).__name__


def _encode(text: str) -> tuple[bytes, str]:
    try:
        return text.encode(), ""
    except UnicodeEncodeError:
        return b"", "the text holds a lone surrogate, which UTF-8 cannot say"


def repeated(body: bytes) -> list[str]:
    """Return sentences about the names that an object of a JSON text holds more than once.

    The last one counts here, as with most readers; a provider may see it otherwise.

    Source: RFC 8259, 4: names should be unique, and what becomes of others differs from reader to reader.
    """
    found: dict[str, None] = {}

    def members(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(name for name, _ in pairs)
        found.update(dict.fromkeys(name for name, count in counts.items() if count > 1))

    if len(body) > _LONGEST_SEARCHED:
        return []
    try:
        json.loads(body, object_pairs_hook=members)
    except (ValueError, RecursionError):
        return []
    return [
        f"{name[:80]}: given more than once, and only the last was looked at" for name in islice(found, 20)
    ]
