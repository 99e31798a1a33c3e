"""Credentials: who is asking, or why that cannot be said.

Reads headers and judges tokens; reads no clock: the time comes in, in seconds.  The only importer of jwt.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from validator.contract.model import Credential, JwtForm

Reason = Literal["missing", "malformed", "unreadable", "not-yet-valid", "expired", "unknown", "signature"]

_LONGEST_KEY: Final = 512
_KEY: Final = re.compile(rf"[!-~]{{1,{_LONGEST_KEY}}}")
"""A key that can stand in a header: printable ASCII without blanks (RFC 9110, 5.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The credentials that are accepted: key to secret, the secret None for keys that sign nothing.

    Empty: whatever is well formed is accepted.
    """

    keys: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: `account` tells accounts apart and is safe to show.

    `not_before` and `expires` in seconds since the epoch, None for keys that do not end.
    """

    account: str
    scheme: str
    not_before: float | None = None
    expires: float | None = None
    leeway: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a credential is not accepted.

    `found` and `allowed` are short texts for people, never the credential; `parts` how many parts a token
    was found to have, as providers count them in their messages, "" where that was not asked.
    """

    reason: Reason
    found: str = ""
    allowed: str = ""
    parts: str = ""


def authorise(
    credentials: tuple[Credential, ...], headers: Mapping[str, str], *, keys: KeyRing
) -> Principal | Refused:
    """Return who asks, or why not; dates are left to :func:`judge_dates`.

    `headers` has lower-case names.  Any one of the credentials is enough; the first whose header is there
    is judged.
    """
    for credential in credentials:
        value = headers.get(credential.header)
        if value is None:
            continue
        if not value.strip():
            continue
        if not credential.is_bearer:
            return _judge_key(value.strip(), credential, keys)
        scheme, _, token = value.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer":
            return _malformed("something else than a bearer token", "Bearer and the token")
        if not token:
            return _malformed("Bearer without a token", "Bearer and the token")
        return _judge_token(token, credential, keys)
    places = (f"{one.header}{': Bearer' if one.is_bearer else ''}" for one in credentials)
    return Refused(reason="missing", found="nothing", allowed=f"a header {' or '.join(places)}")


def judge_dates(principal: Principal, now: float) -> Refused | None:
    """Return why a token does not count at this time (seconds since the epoch), or None."""
    if principal.not_before is not None and principal.not_before > now + principal.leeway:
        return Refused(reason="not-yet-valid")
    if principal.expires is not None and principal.expires <= now - principal.leeway:
        return Refused(reason="expired")
    return None


def fingerprint(secret: str) -> str:
    """Return a name for a key that tells it from others and gives nothing away."""
    return "key-" + hashlib.sha256(secret.encode()).hexdigest()[:12]


def _judge_key(key: str, credential: Credential, keys: KeyRing) -> Principal | Refused:
    if not _KEY.fullmatch(key):
        found = f"{len(key):,} characters" if len(key) > _LONGEST_KEY else "blanks or signs beyond ASCII"
        return _malformed(found, f"up to {_LONGEST_KEY} printable ASCII characters")
    if keys.keys and key not in keys.keys:
        return Refused(reason="unknown")
    return _holder(key, credential.name)


@functools.lru_cache(maxsize=1_024)
def _holder(key: str, scheme: str) -> Principal:
    """Return who has a key; the same few keys come again and again."""
    return Principal(account=fingerprint(key), scheme=scheme)


def _judge_token(token: str, credential: Credential, keys: KeyRing) -> Principal | Refused:
    form = credential.jwt
    if form is None:
        return _judge_key(token, credential, keys)
    parts = token.split(".")
    if len(parts) == 1 and form.opaque is not None and re.search(form.opaque, token):
        return _judge_key(token, credential, keys)
    if len(parts) != 3:
        found = "a token of one part" if len(parts) == 1 else f"a token of {len(parts)} parts"
        # The count as the usual Java library gives it: nothing to split is no part at all.
        return _malformed(found, "3 parts, divided by dots", parts=0 if len(parts) == 1 else len(parts))
    head, claims = _json_part(parts[0]), _json_part(parts[1])
    if head is None or claims is None:
        return _unreadable("a token whose header or claims are no JSON", "a JWT")
    if head.get("alg") not in form.algorithms:
        return _unreadable("a token signed another way", " or ".join(form.algorithms))
    absent = [name for name in form.claims if name not in claims]
    if absent:
        return _unreadable(f"no claim {' or '.join(absent)}", ", ".join(form.claims))
    account = claims.get(form.account)
    if not isinstance(account, str) or not account:
        return _unreadable(f"a claim {form.account} that is no text", "the key's name")
    if len(account) > _LONGEST_KEY:
        return _unreadable(
            f"a claim {form.account} of {len(account):,} characters", f"at most {_LONGEST_KEY}"
        )
    dates = [claims.get(name) for name in ("nbf", "exp")]
    if not all(_is_date(date) for date in dates):
        return _unreadable("a claim nbf or exp that is no time", "seconds since 1970")
    if keys.keys:
        if account not in keys.keys:
            return Refused(reason="unknown")
        secret = keys.keys[account]
        if secret is not None and not _is_signed(token, secret, form):
            return Refused(reason="signature")
    return Principal(
        account=account, scheme=credential.name, not_before=dates[0], expires=dates[1], leeway=form.leeway
    )


def _malformed(found: str, allowed: str, *, parts: int = 0) -> Refused:
    return Refused(reason="malformed", found=found, allowed=allowed, parts=str(parts))


def _unreadable(found: str, allowed: str) -> Refused:
    """Return the refusal of what has the form of a token, and says nothing that could be judged."""
    return Refused(reason="unreadable", found=found, allowed=allowed)


def _is_date(value: Any) -> bool:
    """Tell whether a claim is a NumericDate or not there (RFC 7519, 2)."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _json_part(part: str) -> dict[str, Any] | None:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _is_signed(token: str, secret: str, form: JwtForm) -> bool:
    # Imported only where keys are configured: a start without them should not pay for it.
    import jwt

    options: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    with warnings.catch_warnings():
        # The library advises longer keys; the secret is the provider's, not ours to lengthen.
        warnings.simplefilter("ignore")
        try:
            jwt.decode(token, secret, algorithms=list(form.algorithms), options=options)
        except jwt.InvalidTokenError:
            return False
    return True


def takes_key(credential: Credential, key: str) -> bool:
    """Tell whether a key as it is has the form of a credential."""
    form = credential.jwt
    if form is not None and (form.opaque is None or not re.search(form.opaque, key)):
        return False
    return _KEY.fullmatch(key) is not None


def make_token(form: JwtForm, account: str, secret: str, *, now: float, lifetime_s: float) -> str:
    """Return a token in the provider's form that holds from a few seconds before `now` (seconds since the epoch)."""
    import jwt

    issued = int(now)
    claims: dict[str, Any] = {"nbf": issued - 5, "exp": issued + int(lifetime_s), form.account: account}
    if "iat" in form.claims:
        claims["iat"] = issued
    with warnings.catch_warnings():
        # The library advises longer keys; a configured secret is as long as it is.
        warnings.simplefilter("ignore")
        return jwt.encode(claims, secret, algorithm=form.algorithms[0])
