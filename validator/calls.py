"""Calls of HTTP clients in programs, as the requests they send: what every language has in common.

A reader of a language says what a call is given, as values with holes; here that becomes a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from validator.contract.expressions import MISSING
from validator.found import Found, Places, from_parts, nowhere
from validator.partial import Hole, Open, fill, is_known
from validator.request import HttpRequest, dump_json

METHODS: Final = frozenset(("get", "post", "put", "patch", "delete", "head", "options"))


class Text(Hole):
    """A text that is known in part: `shown` has {names} in the place of the rest."""

    __slots__ = ("shown",)

    def __init__(self, shown: str) -> None:
        """Take the text; one with nothing but names may turn out to be empty."""
        super().__init__(shown[:80], is_text=bool(re.sub(r"\{[^{}]*\}", "", shown)))
        self.shown = shown


def text_of(value: Any) -> str:
    """Return a value as part of a text, {name} for what is not known."""
    if isinstance(value, Text):
        return value.shown
    if isinstance(value, Hole):
        return "{" + re.sub(r"[{}/?#\s]+", "_", value.name or "x")[:40] + "}"
    return value if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one call of a program is given.

    `url` and `method` are texts or holes.  `headers` are None and `query` is MISSING where nothing is said of them.
    `body` is the JSON value, MISSING where there is none; `encoding` says how it is sent, "unknown" where the
    program decides.
    """

    line: int
    column: int
    url: Any
    method: Any = "GET"
    headers: Any = None
    query: Any = MISSING
    body: Any = MISSING
    encoding: str = "json"
    places: Places = field(default=nowhere, compare=False)


_STATIC: Final = re.compile(r"\{[^{}]*\}")


def is_address(value: Any) -> bool:
    """Tell whether a value may be a URL as far as it is known; other texts are keys of a mapping and the like."""
    if isinstance(value, Text):
        return "/" in _STATIC.sub("", value.shown)
    if isinstance(value, Hole):
        return True
    return isinstance(value, str) and "/" in value and not re.search(r"\s", value)


def found_call(call: Call, name: str) -> Found | None:
    """Return what is found in a call, None where it is no request that could be looked at."""
    found = Found(
        label=f"{name}:{call.line}:{call.column}",
        file=name,
        line=call.line,
        column=call.column,
        is_code=True,
        places=call.places,
    )
    method = call.method if isinstance(call.method, str) else ""
    is_url_known = is_address(call.url) and (not isinstance(call.url, Hole) or isinstance(call.url, Text))
    if not is_url_known:
        if call.body is MISSING:
            return None
        found = replace(found, unread="its URL is only known when the program runs")
    elif not method:
        return replace(found, unread="its method is only known when the program runs")
    url = text_of(call.url) if is_url_known else ""
    if url and call.query is not MISSING:
        query = _query(call.query)
        found = replace(found, is_query_open=query is None)
        url += ("&" if "?" in url else "?") + query if query else ""
    if isinstance(call.body, Hole) or (call.body is not MISSING and call.encoding == "unknown"):
        shown = call.body.name if isinstance(call.body, Hole) else ""
        sentence = f"the body: {shown or 'it'} is only known when the program runs"
        found = replace(found, has_body=False, unchecked=(sentence,))
        if is_url_known:
            found = replace(found, unread="its body is only known when the program runs")
        call = replace(call, body=MISSING)
    out = sent(found, method or "POST", url, _known_headers(call.headers), call.body, encoding=call.encoding)
    return replace(out, fault="", unread=f"its {out.fault}") if out.fault else out


def sent(
    found: Found,
    method: str,
    url: str,
    headers: Mapping[str, str | Text],
    body: Any,
    *,
    encoding: str = "json",
) -> Found:
    """Return the Found with a request whose parts may have holes; a `url` of "" means that only a body is known.

    `encoding` says how the body is sent: as "json", as "text" that is JSON, or as a "form".
    """
    known, opened = {name: text_of(one) for name, one in headers.items()}, []
    for text in (url, *known.values()):
        opened += _STATIC.findall(text)
    raw, value = b"", MISSING
    if body is not MISSING:
        filled = fill(body)
        if encoding == "form":
            pairs = filled.items() if isinstance(filled, dict) else ()
            raw = urlencode([(key, str(one)) for key, one in pairs], errors="replace").encode()
            known.setdefault("Content-Type", "application/x-www-form-urlencoded")
        else:
            raw, fault = dump_json(filled)
            if fault:
                return replace(found, fault=f"body cannot be sent as JSON: {fault}")
            value = MISSING if is_known(body) else body
            if encoding == "json" and "content-type" not in {name.lower() for name in known}:
                known["Content-Type"] = "application/json"
    found = replace(found, open=tuple(dict.fromkeys(opened)), value=value)
    if not url:
        lower = {name.lower(): text for name, text in known.items()}
        return replace(found, request=HttpRequest(method=method, path="/", headers=lower, body=raw))
    return from_parts(found, method, url, list(known.items()), raw)


def _query(value: Any) -> str | None:
    """Return the query that parameters make, None where not all of them are known."""
    if isinstance(value, Open) or not isinstance(value, dict):
        return None
    if any(
        isinstance(one, dict | list) or (isinstance(one, Hole) and not isinstance(one, Text))
        for one in value.values()
    ):
        return None
    pairs = [(name, text_of(one)) for name, one in value.items() if one is not None]
    # What is filled in keeps its signs, by which it is known.
    return urlencode(pairs, errors="replace", safe="{}")


def _known_headers(value: Any) -> dict[str, str | Text]:
    """Return the headers of a call as far as they are known; a hole in one is a text that is filled in."""
    out: dict[str, str | Text] = {}
    for name, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, Hole) and name.lower() == "content-type":
            continue
        out[name] = one if isinstance(one, str | Text) else Text(text_of(one))
    return out
