"""Requests around a body: with a credential that would do, with one that would not, to paths that are not there."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from validator.contract.expressions import Json, to_text
from validator.contract.model import Credential, Operation
from validator.request import HttpRequest

ACCOUNT: Final = "understudy"
NOWHERE: Final = "/understudy/no/such/path"
FAR: Final = 4_102_444_800
"""The year 2100, in seconds since 1970: a token that ends then counts today."""

_LONGEST_KEY: Final = 128


def token(credential: Credential, **changes: Any) -> str:
    """Return an unsigned token in the form a credential asks for; a claim that is given as None is left out."""
    form = credential.jwt
    assert form is not None
    claims: dict[str, Any] = dict.fromkeys(form.claims, ACCOUNT) | {form.account: ACCOUNT}
    claims |= {name: at for name, at in (("exp", FAR), ("nbf", 0), ("iat", 0)) if name in form.claims}
    algorithm = changes.pop("alg", form.algorithms[0])
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    head = {"alg": algorithm, "typ": "JWT"}
    return ".".join((*(_part(one) for one in (head, claims)), _part("unsigned")))


def _part(value: Json) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def opaque_key(credential: Credential) -> str | None:
    """Return a key that is no token, None where only tokens are taken."""
    if credential.jwt is None:
        return f"{ACCOUNT}-key-0123456789"
    if credential.jwt.opaque is None:
        return None
    for length in range(1, _LONGEST_KEY):
        key = (f"{ACCOUNT}-" + "0123456789" * 13)[:length]
        if re.search(credential.jwt.opaque, key):
            return key
    return None


def header(credential: Credential, key: str) -> dict[str, str]:
    """Return the header that carries a key."""
    return {credential.header: f"Bearer {key}" if credential.is_bearer else key}


def good_headers(operation: Operation) -> dict[str, str]:
    """Return headers with a credential that a contract without keys accepts."""
    for credential in operation.credentials[:1]:
        return header(credential, opaque_key(credential) or token(credential))
    return {}


def credentials(operation: Operation) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield pairs (what it is, headers): credentials of every form, good and bad."""
    yield "no credential", {}
    for credential in operation.credentials:
        key = opaque_key(credential)
        if key is not None:
            yield "a key", header(credential, key)
        yield "a short key", header(credential, "x")
        yield "a key with blanks", header(credential, "no key at all")
        if credential.is_bearer:
            yield "another scheme", {credential.header: f"Basic {key or 'x'}"}
            yield "a scheme without a token", {credential.header: "Bearer"}
        if credential.jwt is not None:
            yield "a token", header(credential, token(credential))
            yield "a token of two parts", header(credential, "a.b")
            yield "a token that is no JSON", header(credential, "a.b.c")
            yield "a token signed another way", header(credential, token(credential, alg="none"))
            for claim in credential.jwt.claims:
                yield f"a token without {claim}", header(credential, token(credential, **{claim: None}))


def address(operation: Operation, query: Mapping[str, Json], *, fill: str = "1") -> str:
    """Return the path of an operation with this text for its parameters, and this query."""
    path = "/".join(quote(fill, safe="") if part is None else part for part in operation.segments)
    return path + (f"?{urlencode({name: to_text(value) for name, value in query.items()})}" if query else "")


def with_body(operation: Operation, body: Json) -> HttpRequest:
    """Return the whole request for a body, as one would send it."""
    return HttpRequest.from_json(
        operation.method,
        address(operation, needed(operation, "query")),
        body,
        headers=good_headers(operation),
    )


def needed(operation: Operation, place: str) -> dict[str, Json]:
    """Return simple values for the parameters that must be given."""
    return {
        one.name: simple(one.schema) for one in operation.parameters if one.place == place and one.required
    }


def simple(schema: Mapping[str, Any]) -> Json:
    """Return a value that most likely fits the schema of a parameter."""
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if schema.get("enum"):
        return schema["enum"][0]
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    return max(1, schema.get("minimum", 1)) if kind in ("integer", "number") else "a"
