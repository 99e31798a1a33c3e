"""Credentials for a server that is asked: the one that was given, and some that must be refused.

A key is never shown; :func:`hidden` takes it out of whatever is printed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from validator.contract.model import Credential
from validator.diff.requests import header, opaque_key
from validator.security import KeyRing

TOKEN_S: Final = 1_800
"""Seconds for which a token that is signed for a request counts."""

_BEFORE_S: Final = 5
_HASHES: Final[Mapping[str, Any]] = {
    "HS256": hashlib.sha256,
    "HS384": hashlib.sha384,
    "HS512": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class Key:
    """An account's key; `secret` signs its tokens, "" where the key is sent as it is."""

    name: str
    secret: str = ""

    def __repr__(self) -> str:
        """Say nothing of it."""
        return "Key(***)"

    @property
    def ring(self) -> KeyRing:
        """Return the ring on which this key alone is."""
        return KeyRing(keys={self.name: self.secret or None})


def parse_key(text: str, credential: Credential | None) -> Key:
    """Return the key that an option or a variable holds: KEY, or KEY:SECRET where tokens are signed."""
    form = credential.jwt if credential is not None else None
    name, colon, secret = text.strip().partition(":")
    if form is None or not colon or (form.opaque is not None and re.search(form.opaque, text.strip())):
        return Key(text.strip())
    return Key(name, secret)


def headers(credential: Credential, key: Key, now: int) -> dict[str, str]:
    """Return the header that carries a key; `now` in seconds dates the token, where there is one."""
    if credential.jwt is not None and key.secret:
        return header(credential, signed(credential, key, now))
    return header(credential, key.name)


def signed(credential: Credential, key: Key, now: int, **changes: int) -> str:
    """Return a signed token; `changes` replaces dates, in seconds since 1970."""
    form = credential.jwt
    assert form is not None
    algorithm = next((one for one in form.algorithms if one in _HASHES), "HS256")
    claims: dict[str, Any] = {form.account: key.name, "exp": now + TOKEN_S, "nbf": now - _BEFORE_S} | changes
    text = ".".join(_part(one) for one in ({"alg": algorithm, "typ": "JWT"}, claims))
    mac = hmac.new(key.secret.encode(), text.encode(), _HASHES[algorithm]).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def any_key(credential: Credential) -> Key:
    """Return a key that a server without accounts takes."""
    key = opaque_key(credential)
    return Key(key) if key is not None else Key("understudy-drift", "understudy-drift-secret")


def bad_headers(credential: Credential, key: Key, now: int) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield (what it is, headers, why it cannot be sent): credentials that every provider refuses.

    Those that need what was not given come without headers, and with the reason.
    """
    yield "no credential", {}, ""
    malformed = "no key at all"
    yield "a malformed credential", header(credential, malformed), ""
    if credential.is_bearer:
        yield "another scheme", {credential.header: "Basic dW5kZXJzdHVkeTo="}, ""
    wrong = any_key(credential)
    yield "a key that nobody has", headers(credential, wrong, now), ""
    if credential.jwt is None:
        return
    yield "a token of two parts", header(credential, "understudy.drift"), ""
    yield "a token that is no JSON", header(credential, "understudy.drift.token"), ""
    needs = "" if key.secret else "it takes a token, and so a key with its secret (KEY:SECRET)"
    for what, dates in (
        ("a token that has expired", {"exp": now - 3_600, "nbf": now - 7_200}),
        ("a token that does not count yet", {"exp": now + 7_200, "nbf": now + 3_600}),
    ):
        made = {} if needs else header(credential, signed(credential, key, now, **dates))
        yield what, made, needs
    other = Key(key.name, key.secret + "-not")
    yield (
        "a token signed with another secret",
        ({} if needs else header(credential, signed(credential, other, now))),
        needs,
    )


_SHORTEST: Final = 4
"""Characters of a key that is taken out of texts; shorter ones are words of their own."""


def hidden(text: str, key: Key, carried: Sequence[str] = ()) -> str:
    """Return a text without the key and its secret in it, nor the words of a header that `carried` them."""
    tokens = [word for word in carried if "." in word]
    for word in (*tokens, key.secret, key.name):
        if len(word) >= _SHORTEST:
            text = text.replace(word, "***")
    return text
