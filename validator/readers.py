"""Requests found in a text, whatever form it has: JSON, YAML, archives, commands, programs, pages.

Says what a text holds and what of it could not be read; judges nothing and knows no provider.  Broken
input never raises: it is a :class:`Found` that says why there is no request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, get_args
from urllib.parse import urlencode

import orjson

from validator.contract.document import SpecError, parse_yaml_stream
from validator.contract.expressions import Json, format_pointer
from validator.curl import CurlRequest, curl_requests, holds_curl
from validator.found import (
    Found,
    JsonText,
    Lines,
    Places,
    body_name,
    from_object,
    from_parts,
    header_pairs,
    is_request,
    json_offsets,
    known_places,
    shifted,
)
from validator.httpfile import read_http
from validator.jssource import read_javascript
from validator.postman import is_collection, read_collection
from validator.pysource import read_python
from validator.request import HttpRequest, dump_json

Form = Literal[
    "json",
    "ndjson",
    "har",
    "curl",
    "yaml",
    "http",
    "postman",
    "python",
    "javascript",
    "typescript",
    "markdown",
]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

_ENDINGS: Final[Mapping[str, Form]] = {
    ".har": "har",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".postman_collection.json": "postman",
    ".json": "json",
    ".sh": "curl",
    ".bash": "curl",
    ".bat": "curl",
    ".cmd": "curl",
    ".curl": "curl",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".http.sh": "curl",
    ".http": "http",
    ".rest": "http",
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "typescript",
    ".md": "markdown",
    ".markdown": "markdown",
}
ENDINGS: Final = tuple(_ENDINGS)
"""How the names of files end that are looked for in a directory."""

_BY_NAME: Final = frozenset(("yaml", "http", "python", "javascript", "typescript", "markdown"))
"""Forms that the name of a file decides; what is in it could look like another."""

WITH_COMMENTS: Final = frozenset(("curl", *_BY_NAME))
"""Forms in which a comment may say what is to be passed over."""

_MAY_BE_ANYTHING: Final = frozenset(("json", "yaml"))

NO_REQUEST: Final = "no request is in it"


def read_requests(
    content: bytes, *, name: str, form: Form | None = None, is_offered: bool = False
) -> Iterator[Found]:
    """Yield the requests of a file's content, in their order; `form` None looks for itself.

    Yields one Found with a fault where the form cannot be told or nothing is in it.  `is_offered`: nobody
    named the file, and it may well hold none.
    """
    file = "" if name == "standard input" else name
    count = 0
    for found in _read(content, name, form, is_offered=is_offered):
        count += 1
        yield (
            # A block of JSON on a page is no more than an offer, whoever named the page.
            replace(found, file=file, is_offered=is_offered or found.is_offered)
        )
    if not count:
        fault = NO_REQUEST if is_offered else _NOTHING.get(form or "", NO_REQUEST)
        yield Found(label=name, file=file, fault=fault, is_offered=is_offered)


def _read(content: bytes, name: str, form: Form | None, *, is_offered: bool) -> Iterator[Found]:
    text, fault = _decode(content)
    if fault:
        is_read = is_offered and (form or form_of(name)) not in (None, *_MAY_BE_ANYTHING)
        yield Found(label=name, fault=fault, unread=fault if is_read else "")
        return
    if not text.strip():
        yield Found(label=name, fault="nothing is in it")
        return
    form = form or detect_form(text, name=name)
    if form is None:
        yield Found(label=name, fault=f"what it holds cannot be told; say with --form: {', '.join(FORMS)}")
        return
    count = 0
    for found in _READERS[form](text, name):
        count += 1
        # Of JSON and YAML that nobody named, nothing says that it should have held a request.
        is_told = is_offered and found.fault and form not in _MAY_BE_ANYTHING
        yield replace(found, unread=found.fault) if is_told else found
    if not count and not is_offered:
        yield Found(label=name, fault=_NOTHING[form])


_NOTHING: Final[Mapping[str, str]] = {
    "json": "no JSON in it",
    "ndjson": "no line with JSON in it",
    "har": "no entries in the archive",
    "curl": "no curl command in it",
    "yaml": "no YAML document in it",
    "http": "no request in it",
    "postman": "no request in the collection",
    "python": "no call of an HTTP client in it",
    "javascript": "no call of an HTTP client in it",
    "typescript": "no call of an HTTP client in it",
    "markdown": "no request in its blocks of code",
}


def form_of(name: str) -> Form | None:
    """Return the form that the ending of a name tells, None for no ending that is known."""
    lower = name.lower()
    return next((form for end, form in _ENDINGS.items() if lower.endswith(end)), None)


def detect_form(text: str, *, name: str = "") -> Form | None:
    """Return the form of a text by what it holds, and by the ending of its name where that says nothing."""
    start = text.lstrip()[:1]
    ending = form_of(name)
    if ending in _BY_NAME:
        return ending
    if start and start in '{["':
        value = _parsed(text)
        if isinstance(value, dict) and isinstance(value.get("log"), dict) and "entries" in value["log"]:
            return "har"
        if is_collection(value):
            return "postman"
        if value is not None:
            return "ndjson" if ending == "ndjson" else "json"
        if ending in ("har", "ndjson", "postman"):
            return ending
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and _parsed(lines[0]) is not None:
            return "ndjson"
        return "json"
    if holds_curl(text):
        return "curl"
    return ending


def commented_text(content: bytes, *, name: str, form: Form | None = None) -> str:
    """Return the text of a file in whose form a comment may stand, "" for any other."""
    text, fault = _decode(content)
    if fault or "understudy:" not in text:
        return ""
    return text if (form or detect_form(text, name=name)) in WITH_COMMENTS else ""


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


# --- JSON and YAML ----------------------------------------------------------------------------------------


def _read_json(text: str, name: str) -> Iterator[Found]:
    start = len(text) - len(text.lstrip())
    whole = JsonText(text, start)
    try:
        value = orjson.loads(text[start:].rstrip())
    except orjson.JSONDecodeError as error:
        line = text[:start].count("\n") + error.lineno
        fault = f"no JSON: {error.msg} (line {line}, column {error.colno})"
        yield Found(label=name, line=line, column=error.colno, fault=fault)
        return
    if is_collection(value):
        yield from read_collection(value, text, name)
        return
    if isinstance(value, list) and value and all(map(is_request, value)):
        for number, one in enumerate(value, start=1):
            line, column = whole.places()(f"/{number - 1}") or (0, 0)
            found = Found(label=f"{name} entry {number}", line=line, column=column, entry=number)
            yield _from_value(one, found, places=whole.places(f"/{number - 1}/{body_name(one)}"))
        return
    below = _below_body(value)
    yield _from_value(value, Found(label=name), places=whole.places(below), raw=text[start:].rstrip())


def _read_ndjson(text: str, name: str) -> Iterator[Found]:
    offset = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            begin = len(line) - len(line.lstrip())
            found = Found(label=f"{name} line {number}", line=number, column=begin + 1)
            yield _from_line(line, found)
        offset += len(line) + 1


def _from_line(text: str, found: Found) -> Found:
    """Return the request of a line of JSON."""
    stripped = text.strip()
    try:
        value = orjson.loads(stripped)
    except orjson.JSONDecodeError as error:
        line = found.line + error.lineno - 1
        return replace(found, line=line, fault=f"no JSON: {error.msg} (line {line}, column {error.colno})")
    places = JsonText(text).places(_below_body(value))
    return _from_value(value, found, places=shifted(places, found.line - 1, 0), raw=stripped)


def _from_value(value: Json, found: Found, *, places: Places, raw: str = "") -> Found:
    """Return the request that a JSON value describes: a body alone, or an object that describes all of it."""
    found = replace(found, places=places)
    if is_request(value):
        return from_object(value, found)
    if raw:
        return replace(
            found, request=HttpRequest(method="POST", path="/", body=raw.encode("utf-8", "replace"))
        )
    body, fault = dump_json(value)
    if fault:
        return replace(found, fault=f"it cannot be sent as JSON: {fault}")
    return replace(found, request=HttpRequest(method="POST", path="/", body=body))


def _read_yaml(text: str, name: str) -> Iterator[Found]:
    """Yield the request of every document, and those that stand somewhere in one."""
    if "\0" in text:
        yield Found(label=name, fault="not readable as YAML: it holds a NUL")
        return
    documents = []
    try:
        documents = list(parse_yaml_stream(text, file=name))
    except SpecError as error:
        yield Found(label=name, fault=error.sentence)
        return
    inners = [[] if is_request(value) else list(_requests_in(value, "")) for value, _ in documents]
    is_any = any(inners) or any(is_request(value) for value, _ in documents)
    for number, ((value, known), inner) in enumerate(zip(documents, inners, strict=True), start=1):
        if value is None:
            continue
        # Beside whole requests, what is none may well be no body either.
        is_offered = is_any and not inner and not is_request(value)
        for pointer, one in inner or [("", value)]:
            line, column = known.get(pointer, (0, 0))
            where = f" line {line}" if inner or len(documents) > 1 else ""
            found = Found(
                label=f"{name}{where}",
                line=line,
                column=column,
                entry=number * (len(documents) > 1),
                is_offered=is_offered,
            )
            below = pointer + _below_body(one)
            yield _from_value(one, found, places=_below(known_places(known), below))


def _below_body(value: Json) -> str:
    """Return the pointer of the body in a value that describes a request, or is one."""
    return f"/{name}" if (name := body_name(value)) else ""


def _below(places: Places, pointer: str) -> Places:
    return lambda inner: places(pointer + inner)


def _requests_in(value: Json, pointer: str) -> Iterator[tuple[str, Json]]:
    """Yield (pointer, request) of every whole request in a value; its method has to be there."""
    if isinstance(value, dict):
        if is_request(value) and isinstance(value.get("method"), str):
            yield pointer, value
            return
        for key, inner in value.items():
            yield from _requests_in(inner, pointer + format_pointer([key]))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _requests_in(inner, f"{pointer}/{index}")


def _read_postman(text: str, name: str) -> Iterator[Found]:
    value = _parsed(text)
    if is_collection(value):
        yield from read_collection(value, text, name)
    else:
        fault = "no Postman collection: info and item are not there" if value is not None else "no JSON"
        yield Found(label=name, fault=fault)


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
    whole = JsonText(text, len(text) - len(text.lstrip()))
    for number, entry in enumerate(entries, start=1):
        found = Found(label=f"{name} entry {number}", entry=number, is_archived=True)
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("url"), str):
            yield replace(found, fault="the entry has no request with a url")
            continue
        yield _from_entry(request, found, whole)


def _from_entry(request: Mapping[str, Any], found: Found, whole: JsonText) -> Found:
    method = request.get("method")
    headers = header_pairs(request.get("headers")) or []
    posted = request.get("postData")
    body, media_type = b"", ""
    if isinstance(posted, dict):
        below = f"/log/entries/{found.entry - 1}/request/postData/text"
        if isinstance(posted.get("text"), str) and posted.get("encoding") != "base64":
            found = replace(found, places=whole.inner_places(posted["text"], below=below))
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
    return from_parts(found, method if isinstance(method, str) else "GET", request["url"], headers, body)


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
    lines = Lines(text)
    for one in curl_requests(text):
        found = Found(label=f"{name} line {one.line}", line=one.line, places=_written(text, one, lines))
        yield replace(found, fault=one.fault) if one.fault else _from_curl(one, found)


def _written(text: str, one: CurlRequest, lines: Lines) -> Places:
    """Return the places of a body that stands in the script as it is sent, between single quotes most often."""

    def find(pointer: str) -> tuple[int, int] | None:
        body = (one.body or "").strip()
        begin = lines.starts[one.line - 1] if 0 < one.line <= len(lines.starts) else 0
        at = text.find(body, begin) if body[:1] in ("{", "[") else -1
        if at < 0:
            return None
        offset = json_offsets(text, at).get(pointer)
        return None if offset is None else lines.at(offset)

    return find


_SHORTENED: Final = re.compile(r"[{\[,:]\s*(?:\.\.\.|…)")
"""Dots for the rest, as pages show a body."""


def _from_curl(one: CurlRequest, found: Found) -> Found:
    unchecked = one.notes
    body = one.body
    if body is None:
        unchecked += (f"the body: {one.unread}",)
    elif _parsed(body) is None and _SHORTENED.search(body):
        unchecked += ("the body: it is shortened with dots",)
        body = None
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
    return from_parts(found, one.method, one.url, list(one.headers), (body or "").encode("utf-8", "replace"))


def _filled(body: str, opened: tuple[str, ...]) -> str | None:
    """Return a body with the values that a shell fills in put into quotes, if that makes it JSON."""
    for text in opened:
        quoted = orjson.dumps(text).decode().replace("\\", r"\\")
        body = re.sub(rf"(?<=[:\[,])(\s*){re.escape(text)}(?=\s*[,\]}}])", rf"\g<1>{quoted}", body)
    return body if _parsed(body) is not None else None


def _read_http(text: str, name: str) -> Iterator[Found]:
    """Yield the requests of a .http file; an editor sends a curl command that stands among them as well."""
    lines = text.split("\n")
    for found in read_http(text, name):
        begin = found.line - 1
        if not found.fault or not lines[begin].startswith("curl "):
            yield found
            continue
        end = next((at for at in range(begin, len(lines)) if lines[at].startswith("###")), len(lines))
        for one in _read_curl("\n".join(lines[begin:end]), name):
            at = one.line + begin
            yield replace(one, label=f"{name} line {at}", line=at, places=shifted(one.places, begin, 0))


# --- programs and pages -----------------------------------------------------------------------------------


def _read_typescript(text: str, name: str) -> Iterator[Found]:
    dialect = "tsx" if name.lower().endswith(".tsx") else "typescript"
    yield from read_javascript(text, name, dialect=dialect)


def _read_tsx(text: str, name: str) -> Iterator[Found]:
    yield from read_javascript(text, name, dialect="tsx")


_FENCE: Final = re.compile(r"^([ \t]*(?:>[ \t]?)*)(`{3,}|~{3,})[ \t]*\{?\.?([\w+-]*)")

_Reader = Callable[[str, str], Iterator[Found]]


def _read_markdown(text: str, name: str) -> Iterator[Found]:
    """Yield the requests of a page's blocks of code, in their order; what a block is, its language says."""
    blocks = list(_blocks(text))
    out = list(_read_curl(text, name)) if holds_curl(text) else []
    for line, indent, language, code in blocks:
        reader = _LANGUAGES.get(language.lower())
        if reader is None or (reader is read_http and holds_curl(code)):
            continue
        for found in reader(code, name):
            if found.fault and language.lower() not in ("http", "rest"):
                # A page shows pieces of programs and of JSON, with dots for the rest.
                continue
            is_call = found.is_code or reader is read_http
            if not is_call and found.request is not None and not found.request.url:
                found = replace(found, is_offered=True)
            at = (found.line or 1) + line
            out.append(
                replace(
                    found,
                    label=f"{name} line {at}",
                    line=at,
                    column=found.column + len(indent) if found.column else 0,
                    places=shifted(found.places, line, len(indent)),
                )
            )
    yield from sorted(out, key=lambda one: one.line)


def _blocks(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield (lines before the code, indentation, language, code) of every block; the indentation is taken off."""
    fence, indent, language, begin = "", "", "", 0
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        found = _FENCE.match(line)
        if found and not fence:
            indent, fence, language, begin, lines = found[1], found[2], found[3], number, []
        elif found and found[2].startswith(fence) and not line[found.end(2) :].strip():
            yield begin, indent, language, "\n".join(lines) + "\n"
            fence = ""
        elif fence:
            lines.append(line[len(indent) :] if line.startswith(indent) else line.lstrip())
    if fence:
        yield begin, indent, language, "\n".join(lines) + "\n"


_READERS: Final[Mapping[Form, _Reader]] = {
    "json": _read_json,
    "ndjson": _read_ndjson,
    "har": _read_har,
    "curl": _read_curl,
    "yaml": _read_yaml,
    "http": _read_http,
    "postman": _read_postman,
    "python": read_python,
    "javascript": read_javascript,
    "typescript": _read_typescript,
    "markdown": _read_markdown,
}

_LANGUAGES: Final[Mapping[str, _Reader]] = {
    "json": _read_json,
    "jsonc": _read_json,
    "ndjson": _read_ndjson,
    "jsonl": _read_ndjson,
    "yaml": _read_yaml,
    "yml": _read_yaml,
    "http": read_http,
    "rest": read_http,
    "python": read_python,
    "py": read_python,
    "python3": read_python,
    "js": read_javascript,
    "javascript": read_javascript,
    "mjs": read_javascript,
    "jsx": read_javascript,
    "node": read_javascript,
    "ts": _read_typescript,
    "typescript": _read_typescript,
    "tsx": _read_tsx,
}
