"""The journal as an HTTP archive (HAR 1.2), for browsers, editors and `understudy lint`.

Credentials are left out as in the journal itself; a body that the journal cut is left out whole, with its size, so
that nobody takes a piece for all of it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from mockserver.journal import (
    REDACTED,
    Cut,
    Exchange,
    headers_json,
    is_secret_name,
    shown_text,
    shown_url,
    size_of,
    target_of,
    without_secrets,
)
from validator.contract.expressions import Json, iso

HTTP: Final = "HTTP/1.1"


def har(exchanges: Iterable[Exchange], secrets: frozenset[str], *, version: str) -> dict[str, Json]:
    """Return an archive of exchanges, in the order given; `secrets` are the headers that hold credentials."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "understudy", "version": version},
            "entries": [_entry(exchange, secrets) for exchange in exchanges],
        }
    }


def _entry(exchange: Exchange, secrets: frozenset[str]) -> dict[str, Json]:
    took_ms = exchange.took_us / 1000
    return {
        "startedDateTime": iso(exchange.at),
        "time": took_ms,
        "request": _request(exchange, secrets),
        "response": _response(exchange, secrets),
        "cache": {},
        "timings": {"send": 0, "wait": took_ms, "receive": 0},
        "comment": f"request {exchange.id}, {exchange.report.verdict}",
    }


def _request(exchange: Exchange, secrets: frozenset[str]) -> dict[str, Json]:
    headers = headers_json(exchange.headers, secrets)
    known = dict(headers)
    query = exchange.query.decode("latin-1")
    out: dict[str, Json] = {
        "method": exchange.method,
        "url": f"http://{known.get('host') or 'localhost'}{target_of(exchange)}",
        "httpVersion": HTTP,
        "cookies": [],
        "headers": _named(headers),
        "queryString": _named(
            (name, REDACTED if is_secret_name(name) else shown_url(value))
            for name, value in parse_qsl(query, keep_blank_values=True, errors="replace")
        ),
        "headersSize": -1,
        "bodySize": size_of(exchange.body),
    }
    if exchange.body:
        out["postData"] = {"mimeType": known.get("content-type", ""), **_text(exchange.body)}
    return out


def _response(exchange: Exchange, secrets: frozenset[str]) -> dict[str, Json]:
    headers = headers_json(exchange.answer_headers, secrets)
    known = dict(headers)
    return {
        "status": exchange.status,
        "statusText": _phrase(exchange.status),
        "httpVersion": HTTP,
        "cookies": [],
        "headers": _named(headers),
        "content": {
            "size": size_of(exchange.answer),
            "mimeType": known.get("content-type", ""),
            **_text(exchange.answer),
        },
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": size_of(exchange.answer),
    }


def _named(pairs: Iterable[Sequence[str]]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]


def _text(body: bytes) -> Mapping[str, Any]:
    """Return a body as text, as Base64 where it is none, or the sentence that says that it is not there."""
    if isinstance(body, Cut):
        return {"text": "", "comment": f"left out: {body.size_bytes:,} bytes are more than the journal keeps"}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"text": base64.b64encode(body).decode(), "encoding": "base64"}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"text": shown_text(text)}
    shown = without_secrets(value)
    # As it came where nothing in it is secret: its blanks, its numbers, and names that were given twice.
    return {"text": shown_text(text) if shown == value else orjson.dumps(shown).decode()}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
