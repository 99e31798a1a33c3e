"""The journal: every exchange of a tenant with what was found about it, the newest kept, the oldest dropped.

Credentials never leave it: one registry says which headers, which parts of a URL and which members of a body hold
one.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import orjson

from mockserver.clock import stopwatch
from validator.contract.expressions import Json, iso
from validator.report import Report, Violation, report_json, size_text
from validator.request import repeated

REDACTED: Final = "[redacted]"
_USER: Final = re.compile(r"(?:(?<=://)|(?<=:\\/\\/))[^/?#@\s\"]+@")
"""User name and password in a URL (RFC 3986, 3.2.1), also one whose slashes are escaped in a JSON text."""

_PARAMETER: Final = re.compile(r"(^|[?&;#\s])([^=?&;#\s\"]{1,100})=([^&;#\s\"]+)")
"""A parameter of a query or of a form, or of the part behind `#` where some put what the server must not see."""

_MEMBER: Final = re.compile(r"\"([^\"\\]{1,100})\"(\s*:\s*\")((?:[^\"\\]|\\.)+)", re.DOTALL)
"""A member in a text that was to be JSON and is none, or no more."""

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SECRET_WORDS: Final = frozenset(
    (
        *("apikey", "apikeys", "auth", "authorization", "bearer", "cookie", "cookies", "credential"),
        *("credentials", "hmac", "jwt", "key", "keys", "pass", "passphrase", "passwd", "password"),
        *("passwords", "pwd", "secret", "secrets", "session", "sessionid", "sig", "signature", "token"),
    )
)
_SECRET_ENDS: Final = ("key", "password", "secret", "signature", "token")
_BEARS: Final = re.compile(r"(?:Basic|Bearer|Token)\s+\S", re.IGNORECASE)
"""How the value of a header begins that holds a credential, whatever its name (RFC 7235)."""

_ALWAYS: Final = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie", "x-admin-token"))
_NEVER: Final = frozenset(("idempotency-key", "x-idempotency-key", "sec-websocket-key"))
"""Headers whose names sound like a credential and that hold none."""

_LONGEST_TEXT: Final = 2_000
"""Characters of one string in a body that the journal shows; pictures are longer and say nothing."""

DEEPEST: Final = 100
"""Levels of a body that are shown."""

LARGE_BODY: Final = 16_384
"""Bytes of a body that are kept as they are."""


FILE: Final = ""
"""The operation of an exchange that fetched the file behind a result URL, which no operation of a provider does."""


class Exchange(NamedTuple):
    """One request and its answer.

    `operation` is None where none was reached.  `at` is the tenant's time in milliseconds; `headers` as they came,
    credentials and all: only :func:`exchange_json` shows them, and it leaves those out.  `ended_s` is real time from
    an arbitrary start, which runs on while a clock is at rest.
    """

    id: str
    at: int
    method: str
    path: bytes
    query: bytes
    provider: str
    operation: str | None
    account: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    status: int
    answer_headers: Sequence[tuple[bytes, bytes]]
    answer: bytes
    report: Report
    task: str | None
    took_us: int
    ended_s: float = 0.0


Entry = tuple[Any, ...]
"""The fields of an Exchange and behind them its size in bytes: a bare tuple is what a request can afford."""

OVERHEAD: Final = 1_000
"""Bytes that an entry holds beside its bodies and headers, about."""

HEADER_OVERHEAD: Final = 150
"""Bytes that a header holds beside its text, about: short ones are mostly that."""


class Budget:
    """The bytes that all journals of a server hold together; past it the fullest journals lose their oldest.

    `on_entry` is told of every exchange while somebody listens: (tenant, exchange).
    """

    __slots__ = ("journals", "max_bytes", "on_entry", "size_bytes")

    def __init__(self, max_bytes: int) -> None:
        """Allow so many bytes."""
        self.max_bytes = max_bytes
        self.journals: list[Journal] = []
        self.size_bytes = 0
        self.on_entry: Callable[[str, Exchange], None] | None = None

    def shrink(self) -> None:
        """Make a tenth of the room free, so that this is not asked for again at once."""
        for journal in sorted(self.journals, key=lambda one: -one.size_bytes):
            while len(journal) and self.size_bytes > self.max_bytes * 0.9:
                journal.drop_oldest()


class Journal:
    """The newest exchanges of a tenant, bounded by number here and by bytes in the common budget."""

    __slots__ = (
        "_budget",
        "_ended",
        "_entries",
        "_max_entries",
        "_secret_headers",
        "dropped",
        "size_bytes",
        "tenant",
    )

    def __init__(
        self, *, max_entries: int, budget: Budget, secret_headers: frozenset[str], tenant: str = ""
    ) -> None:
        """Keep at most so many; `secret_headers` are the lower-case names that hold credentials."""
        self.tenant = tenant
        self._entries: deque[Entry] = deque()
        self._ended: deque[float] = deque()
        self._max_entries, self._budget = max_entries, budget
        self._secret_headers = secret_headers
        self.dropped = 0
        self.size_bytes = 0
        budget.journals.append(self)

    def add(self, entry: Entry) -> None:
        """Keep an exchange at the expense of the oldest."""
        entries, budget = self._entries, self._budget
        size = entry[-1]
        if budget.on_entry is not None:
            budget.on_entry(self.tenant, Exchange(*entry[:-1]))
        if len(entries) >= self._max_entries:
            if not self._max_entries:
                return
            size -= entries.popleft()[-1]
            self._ended.popleft()
            self.dropped += 1
        entries.append(entry)
        self._ended.append(stopwatch())
        self.size_bytes += size
        budget.size_bytes += size
        if budget.size_bytes > budget.max_bytes:
            budget.shrink()

    def drop_oldest(self) -> None:
        """Forget the oldest exchange."""
        size = self._entries.popleft()[-1]
        self._ended.popleft()
        self.size_bytes -= size
        self._budget.size_bytes -= size
        self.dropped += 1

    def clear(self) -> None:
        """Forget everything, which was asked for: nothing counts as dropped."""
        while self._entries:
            self.drop_oldest()
        self.dropped = 0

    def close(self) -> None:
        """Forget everything, and leave the budget."""
        self.clear()
        self._budget.journals.remove(self)

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._entries)

    def newest(self) -> Iterator[Exchange]:
        """Yield the exchanges, newest first."""
        both = zip(reversed(self._entries), reversed(self._ended), strict=True)
        return (Exchange._make((*entry[:-1], ended_s)) for entry, ended_s in both)

    def find(self, exchange_id: str) -> Exchange | None:
        """Return an exchange by its id."""
        return next((Exchange(*entry[:-1]) for entry in self._entries if entry[0] == exchange_id), None)

    @property
    def secret_headers(self) -> frozenset[str]:
        """Return the lower-case names of headers that hold credentials."""
        return self._secret_headers

    def to_json(self, exchange: Exchange) -> dict[str, Json]:
        """Return an exchange for people and machines, without credentials."""
        return exchange_json(exchange, self._secret_headers)


class Cut(bytes):
    """What is kept of a body that was too large to keep; `size_bytes` is what it had.

    `digest` tells it from others that are the same once they are cut: two pictures of one size, for instance.
    """

    size_bytes: int
    digest: bytes


def size_of(body: bytes) -> int:
    """Return the size that a body had, whatever is kept of it."""
    return body.size_bytes if isinstance(body, Cut) else len(body)


def kept_body(body: bytes) -> bytes:
    """Return what the journal keeps of a body: all of a small one, a large one with its long texts cut."""
    if len(body) <= LARGE_BODY:
        return body
    if body.count(b",") > LARGE_BODY:
        # Many small parts, which would not fit anyway, and take fifty times their size to read.
        return _cut(body[:_LONGEST_TEXT], len(body), [body])
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _cut(body[:_LONGEST_TEXT], len(body), [body])
    part = orjson.dumps(_shortened(value))[:LARGE_BODY]
    # What is cut off at the end belongs to what tells it from others, too.
    return _cut(part, len(body), _long_texts(value) if len(part) < LARGE_BODY else [body])


def left_out(size_bytes: int) -> Cut:
    """Return what is kept of a body of which nothing is: its size."""
    return _cut(b"", size_bytes, [])


def _cut(part: bytes, size_bytes: int, lost: Iterable[bytes]) -> Cut:
    kept = Cut(part)
    kept.size_bytes = size_bytes
    digest = hashlib.sha256()
    for text in lost:
        digest.update(b"%d:" % len(text))
        digest.update(text)
    kept.digest = digest.digest()
    return kept


def _long_texts(value: Any, depth: int = 0) -> Iterator[bytes]:
    """Yield the texts of a JSON value that are cut when it is shown."""
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            yield value.encode("utf-8", "replace")
    elif depth <= DEEPEST:
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from _long_texts(item, depth + 1)


def kept_report(report: Report) -> Report:
    """Return what the journal keeps of a report: not the values themselves, which may be all of a large body."""
    if not report.violations:
        return report
    return replace(report, violations=tuple(map(_without_value, report.violations)))


def _without_value(one: Violation) -> Violation:
    return replace(
        one, value=None, limit=None, keys={}, instance_location=one.instance_location[:_LONGEST_TEXT]
    )


def secret_headers(names: Iterable[str]) -> frozenset[str]:
    """Return the registry of headers that hold credentials: those of the providers and the usual ones."""
    return _ALWAYS | {name.lower() for name in names}


def exchange_json(exchange: Exchange, secrets: frozenset[str]) -> dict[str, Json]:
    """Return an exchange as JSON; see :class:`Exchange`."""
    return {
        **headline(exchange),
        "request": {
            "method": exchange.method,
            "target": target_of(exchange),
            "headers": headers_json(exchange.headers, secrets),
            "body": body_json(exchange.body),
        },
        "response": {
            "status": exchange.status,
            "headers": headers_json(exchange.answer_headers, secrets),
            "body": body_json(exchange.answer),
        },
        "report": _report(exchange),
    }


def headline(exchange: Exchange) -> dict[str, Json]:
    """Return what an exchange was about, without what was said in it."""
    met = next((value for name, value in exchange.answer_headers if name == b"x-mock-scenario"), None)
    return {
        "id": exchange.id,
        "at": iso(exchange.at),
        "provider": exchange.provider or None,
        "operation": exchange.operation or None,
        "account": exchange.account or None,
        "task": exchange.task,
        "verdict": exchange.report.verdict,
        "scenario": None if met is None else met.decode("latin-1"),
        "took_us": exchange.took_us,
    }


def _report(exchange: Exchange) -> dict[str, Json]:
    """Return the report without what is secret in values that were found, and with names that were given twice.

    Those are looked for here and not when the request comes: they are rare, and a second reading costs more than
    all else in a check.
    """
    out = report_json(exchange.report)
    for violation in out["violations"]:
        for name in ("found", "message"):
            if name in violation:
                violation[name] = shown_url(violation[name])
    out["unchecked"] += repeated(exchange.body)
    return out


def target_of(exchange: Exchange) -> str:
    """Return path and query as the client called them, without user names and passwords."""
    query = exchange.query.decode("latin-1")
    return shown_url(exchange.path.decode("latin-1") + (f"?{query}" if query else ""))


def shown_url(text: str) -> str:
    """Return a text with what is secret in its URLs replaced: users, passwords, parameters that sound like it.

    >>> shown_url("http://me:secret@receiver.example/hook?access_token=abc&task=1")
    'http://[redacted]@receiver.example/hook?access_token=[redacted]&task=1'
    """
    if "@" in text:
        text = _USER.sub(REDACTED + "@", text)
    return _PARAMETER.sub(_shown_parameter, text) if "=" in text else text


def _shown_parameter(match: re.Match[str]) -> str:
    sign, name, _ = match.groups()
    return f"{sign}{name}={REDACTED}" if is_secret_name(unquote_plus(name)) else match[0]


def is_secret_name(name: str) -> bool:
    """Tell whether what has this name is a credential most likely; it is taken for one rather than shown.

    >>> [is_secret_name(name) for name in ("X-Amz-Signature", "accessToken", "author", "max_tokens")]
    [True, True, False, False]
    """
    words = [word.lower() for word in _WORD.findall(name)]
    return not _SECRET_WORDS.isdisjoint(words) or any(word.endswith(_SECRET_ENDS) for word in words)


def is_secret_header(name: str, secrets: frozenset[str]) -> bool:
    """Tell whether a header, by its lower-case name, holds a credential: a provider's, or one meant for another."""
    return name in secrets or (name not in _NEVER and is_secret_name(name))


def headers_json(headers: Iterable[tuple[bytes, bytes]], secrets: frozenset[str]) -> list[list[str]]:
    """Return headers as pairs, the values of secret ones replaced."""
    out = []
    for name, value in headers:
        text = name.decode("latin-1").lower()
        held = value.decode("latin-1")
        shown = REDACTED if is_secret_header(text, secrets) or _BEARS.match(held) else shown_url(held)
        out.append([text, shown])
    return out


def body_json(body: bytes) -> Json:
    """Return a body as JSON where it is some, long texts cut; as text where it is none."""
    if not body:
        return None
    try:
        # Not the body itself: the codec takes no subclass of bytes.
        return _shortened(orjson.loads(memoryview(body)))
    except orjson.JSONDecodeError:
        # Four bytes a character at most.
        return _short_text(shown_text(body[: _LONGEST_TEXT * 4].decode("utf-8", "replace")), size_of(body))


def shown_text(text: str) -> str:
    """Return a text that is no JSON without what is secret in its URLs, parameters and members.

    >>> shown_text('{"api_key": "abc", "prompt": "A kite",}')
    '{"api_key": "[redacted]", "prompt": "A kite",}'
    """
    return shown_url(_MEMBER.sub(_shown_member, text) if '"' in text else text)


def _shown_member(match: re.Match[str]) -> str:
    name, colon, _ = match.groups()
    return f'"{name}"{colon}{REDACTED}' if is_secret_name(name) else match[0]


def without_secrets(value: Any) -> Any:
    """Return a JSON value whole, but for what is secret in it."""
    return _redacted(value, shown_url)


def _redacted(value: Any, shown: Callable[[str], str], depth: int = 0) -> Any:
    """Return a JSON value with its texts as they are shown, and without members that are secret."""
    if isinstance(value, str):
        return shown(value)
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            name: REDACTED if _is_secret_member(name, member) else _redacted(member, shown, depth + 1)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_redacted(item, shown, depth + 1) for item in value]
    return value


def _is_secret_member(name: str, member: Any) -> bool:
    if isinstance(member, bool) or not member:
        # Whether there is one is no secret.
        return False
    # A number of tokens is a count.
    return is_secret_name(name) or (
        not isinstance(member, int | float) and is_secret_name(name.removesuffix("s"))
    )


def _shortened(value: Any) -> Any:
    return _redacted(value, _short_text)


def _short_text(text: str, length: int | None = None) -> str:
    """Return a text, of a longer one its beginning and its length; `length` is what it had before it was cut."""
    length = len(text) if length is None else length
    if length <= _LONGEST_TEXT:
        return shown_url(text)
    # Not cut first: what a secret is ends behind it.
    return f"{shown_url(text[:_LONGEST_TEXT])[:100]}… ({size_text(length)})"
