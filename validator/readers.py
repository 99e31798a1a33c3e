"""Requests found in a text: JSON bodies, NDJSON, HAR archives and curl commands.

Says what a text holds and what of it could not be read; judges nothing and knows no provider.  Broken
input never raises: it is a :class:`Found` that says why there is no request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args
from urllib.parse import urlencode

import orjson

from validator.contract.expressions import Json
from validator.curl import CurlRequest, curl_requests, holds_curl
from validator.request import HttpRequest

Form = Literal["json", "ndjson", "har", "curl"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

_ENDINGS: Final[Mapping[str, Form]] = {
    ".har": "har",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".sh": "curl",
    ".bat": "curl",
    ".cmd": "curl",
    ".curl": "curl",
    ".http.sh": "curl",
}
_HOST_ONLY: Final = re.compile(r"[\w.-]+(?::\d+)?(?:[/?#]|$)")
_MEMBERS: Final = frozenset(("method", "url", "headers", "body"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One request that a text holds, or why there is none.

    `label` says where, `line` and `entry` (both from 1, 0 for unknown) the same in numbers.  `request` has no
    `url` where only a body is known; it is None where `fault` says why.  `unchecked` are sentences about what
    is missing; `has_body` and `has_credential` are False where the request had one that is not in the text.
    `open` are the pieces of text that something else fills in before the request is sent.  `is_archived`:
    recorded among the requests of others.
    """

    label: str
    line: int = 0
    entry: int = 0
    request: HttpRequest | None = None
    fault: str = ""
    unchecked: tuple[str, ...] = ()
    has_body: bool = True
    open: tuple[str, ...] = ()
    is_archived: bool = False


def read_requests(content: bytes, *, name: str, form: Form | None = None) -> Iterator[Found]:
    """Yield the requests of a file's content, in their order; `form` None looks for itself.

    Yields one Found with a fault where the form cannot be told or nothing is in it.
    """
    text, fault = _decode(content)
    if fault:
        yield Found(label=name, fault=fault)
        return
    if not text.strip():
        yield Found(label=name, fault="nothing is in it")
        return
    form = form or detect_form(text, name=name)
    if form is None:
        yield Found(label=name, fault=f"neither JSON nor curl commands; say with --form: {', '.join(FORMS)}")
        return
    count = 0
    for found in _READERS[form](text, name):
        count += 1
        yield found
    if not count:
        yield Found(label=name, fault=_NOTHING[form])


_NOTHING: Final[Mapping[Form, str]] = {
    "json": "no JSON in it",
    "ndjson": "no line with JSON in it",
    "har": "no entries in the archive",
    "curl": "no curl command in it",
}


def detect_form(text: str, *, name: str = "") -> Form | None:
    """Return the form of a text by what it holds, and by the ending of its name where that says nothing."""
    start = text.lstrip()[:1]
    ending = next((form for end, form in _ENDINGS.items() if name.lower().endswith(end)), None)
    if start and start in '{["':
        value = _parsed(text)
        if isinstance(value, dict) and isinstance(value.get("log"), dict) and "entries" in value["log"]:
            return "har"
        if value is not None:
            return "ndjson" if ending == "ndjson" else "json"
        if ending in ("har", "ndjson"):
            return ending
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and _parsed(lines[0]) is not None:
            return "ndjson"
        return "json"
    if holds_curl(text):
        return "curl"
    return ending


def _decode(content: bytes) -> tuple[str, str]:
    """Return (text, "") or ("", why not); PowerShell writes UTF-16 when it is told to write a file."""
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16"), ""
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        return (
            "",
            f"not UTF-8 (byte {error.start + 1:,} is {error.object[error.start] if error.object else 0:#04x})",
        )


def _parsed(text: str) -> Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


# --- JSON -------------------------------------------------------------------------------------------------


def _read_json(text: str, name: str) -> Iterator[Found]:
    yield _from_text(text.strip(), Found(label=name), before=text[: len(text) - len(text.lstrip())])


def _read_ndjson(text: str, name: str) -> Iterator[Found]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _from_text(line.strip(), Found(label=f"{name} line {number}", line=number))


def _from_text(text: str, found: Found, *, before: str = "") -> Found:
    """Return the request of a JSON text: a body alone, or an object that describes all of it."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        line = (found.line or 1) + before.count("\n") + error.lineno - 1
        return replace(found, line=line, fault=f"no JSON: {error.msg} (line {line}, column {error.colno})")
    if _is_request(value):
        return _from_object(value, found)
    return replace(found, request=HttpRequest(method="POST", path="/", body=text.encode()))


def _is_request(value: Json) -> bool:
    """Tell whether a JSON value describes a whole request and is not the body of one."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("url"), str)
        and (isinstance(value.get("method"), str) or value.keys() <= _MEMBERS)
    )


def _from_object(value: Mapping[str, Any], found: Found) -> Found:
    """Return the request of an object with method, url, headers and body."""
    headers = _pairs(value.get("headers"))
    if headers is None:
        return replace(found, fault="headers is neither an object nor a list of names and values")
    body = value.get("body")
    method = value.get("method") or ("POST" if "body" in value and body is not None else "GET")
    if body is None:
        return _made(found, method, value["url"], headers, b"")
    if isinstance(body, str):
        return _made(found, method, value["url"], headers, body.encode("utf-8", "replace"))
    names = {name.lower() for name, _ in headers}
    if "content-type" not in names:
        headers.append(("Content-Type", "application/json"))
    return _made(found, method, value["url"], headers, orjson.dumps(body))


def _pairs(value: Json) -> list[tuple[str, str]] | None:
    """Return headers given as an object, as pairs, or as objects with name and value; None for anything else."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [(name, _header_text(one)) for name, one in value.items()]
    if not isinstance(value, list):
        return None
    out = []
    for item in value:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            out.append((item["name"], _header_text(item.get("value"))))
        elif isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            out.append((item[0], _header_text(item[1])))
        else:
            return None
    return out


def _header_text(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(_header_text(one) for one in value)
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def _made(found: Found, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> Found:
    """Return the Found with the request of these parts, or the fault that keeps it from being one."""
    if _HOST_ONLY.match(url):
        # As curl guesses it; without a scheme a port would be taken for one.
        url = f"http://{url}"
    try:
        # HTTP/2 has pseudo headers, which archives show among the others.
        real = {name: value for name, value in headers if not name.startswith(":")}
        return replace(found, request=HttpRequest.from_parts(method, url, headers=real, body=body))
    except ValueError as error:
        return replace(found, fault=f"the URL cannot be read: {error}")


# --- HAR --------------------------------------------------------------------------------------------------


def _read_har(text: str, name: str) -> Iterator[Found]:
    """Yield the requests of an archive.  Source: HTTP Archive 1.2."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        yield Found(label=name, line=error.lineno, fault=f"no JSON: {error.msg} (line {error.lineno})")
        return
    log = value.get("log") if isinstance(value, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        yield Found(label=name, fault="no HTTP archive: log.entries is not there")
        return
    for number, entry in enumerate(entries, start=1):
        found = Found(label=f"{name} entry {number}", entry=number, is_archived=True)
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("url"), str):
            yield replace(found, fault="the entry has no request with a url")
            continue
        yield _from_entry(request, found)


def _from_entry(request: Mapping[str, Any], found: Found) -> Found:
    method = request.get("method")
    headers = _pairs(request.get("headers")) or []
    posted = request.get("postData")
    body, media_type = b"", ""
    if isinstance(posted, dict):
        media_type = posted["mimeType"] if isinstance(posted.get("mimeType"), str) else ""
        content = _posted(posted)
        if isinstance(content, str):
            found = replace(found, has_body=False, unchecked=(*found.unchecked, content))
        else:
            body = content
    size = request.get("bodySize")
    if found.has_body and isinstance(size, int) and size > len(body):
        missing = f"{size:,} bytes were sent, the archive holds {len(body):,}"
        found = replace(found, has_body=False, unchecked=(*found.unchecked, f"the body: {missing}"))
    if media_type and "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", media_type))
    return _made(found, method if isinstance(method, str) else "GET", request["url"], headers, body)


def _posted(posted: Mapping[str, Any]) -> bytes | str:
    """Return the body of postData, or the sentence that says why it is not there."""
    text, params = posted.get("text"), posted.get("params")
    if isinstance(text, str) and text:
        if posted.get("encoding") == "base64":
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                return "the body: it is said to be Base64 and is none"
        return text.encode("utf-8", "replace")
    if isinstance(params, list) and params:
        if "multipart" in str(posted.get("mimeType", "")):
            return "the body: a form of several parts"
        pairs = [
            (str(one.get("name", "")), str(one.get("value", ""))) for one in params if isinstance(one, dict)
        ]
        return urlencode(pairs).encode()
    return b""


# --- curl -------------------------------------------------------------------------------------------------


def _read_curl(text: str, name: str) -> Iterator[Found]:
    for one in curl_requests(text):
        found = Found(label=f"{name} line {one.line}", line=one.line)
        yield replace(found, fault=one.fault) if one.fault else _from_curl(one, found)


def _from_curl(one: CurlRequest, found: Found) -> Found:
    unchecked = one.notes
    body = one.body
    if body is None:
        unchecked += (f"the body: {one.unread}",)
    elif one.open and _parsed(body) is None:
        filled = _filled(body, one.open)
        if filled is None and body.strip():
            opened = ", ".join(text for text in one.open if text in body)
            if opened:
                unchecked += (f"the body: no JSON until {opened} is filled in",)
                body = None
        elif filled is not None:
            body = filled
    found = replace(found, has_body=body is not None, unchecked=unchecked, open=one.open)
    return _made(found, one.method, one.url, list(one.headers), (body or "").encode("utf-8", "replace"))


def _filled(body: str, opened: tuple[str, ...]) -> str | None:
    """Return a body with the values that a shell fills in put into quotes, if that makes it JSON."""
    for text in opened:
        quoted = orjson.dumps(text).decode().replace("\\", r"\\")
        body = re.sub(rf"(?<=[:\[,])(\s*){re.escape(text)}(?=\s*[,\]}}])", rf"\g<1>{quoted}", body)
    return body if _parsed(body) is not None else None


_READERS: Final = {"json": _read_json, "ndjson": _read_ndjson, "har": _read_har, "curl": _read_curl}
