"""Requests of Postman collections of version 2.1.  Scripts are not run, environments and files not read.

Source: the schema of the Postman Collection Format 2.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from validator.calls import Text, sent, text_of
from validator.contract.expressions import MISSING, Json
from validator.found import Found, JsonText, from_parts
from validator.placeholders import fill_text, read_body, with_marks, without_comments

_DEEPEST: Final = 50
"""Folders in folders that are looked into."""


def is_collection(value: Json) -> bool:
    """Tell whether a JSON value is a collection."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("item"), list)
        and isinstance(info := value.get("info"), dict)
        and ("_postman_id" in info or "getpostman" in str(info.get("schema", "")) or "name" in info)
    )


def read_collection(value: Mapping[str, Any], text: str, name: str) -> Iterator[Found]:
    """Yield the requests of a collection, folders included, in their order."""
    source = JsonText(text)
    counter = [0]
    yield from _folder(value, "", name, {}, None, source, counter, 0)


def _folder(
    folder: Mapping[str, Any],
    pointer: str,
    label: str,
    variables: Mapping[str, str],
    auth: Json,
    source: JsonText,
    counter: list[int],
    level: int,
) -> Iterator[Found]:
    variables = {**variables, **_variables(folder.get("variable"))}
    auth = folder.get("auth") if isinstance(folder.get("auth"), dict) else auth
    for index, item in enumerate(folder["item"]):
        below = f"{pointer}/item/{index}"
        if not isinstance(item, dict):
            continue
        shown = f"{label} > {item['name']}" if isinstance(item.get("name"), str) else f"{label} > {index + 1}"
        if isinstance(item.get("item"), list):
            if level < _DEEPEST:
                yield from _folder(item, below, shown, variables, auth, source, counter, level + 1)
            continue
        counter[0] += 1
        line, column = source.places(below)("") or (0, 0)
        file = label.partition(" > ")[0]
        found = Found(label=shown, file=file, line=line, column=column, entry=counter[0], is_archived=True)
        request = item.get("request")
        if isinstance(request, str):
            request = {"method": "GET", "url": request}
        if not isinstance(request, dict):
            yield replace(found, fault="the entry has no request")
            continue
        own = {**variables, **_variables(item.get("variable"))}
        yield _request(request, f"{below}/request", found, own, auth, source)


def _variables(value: Json) -> dict[str, str]:
    out = {}
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict) and isinstance(one.get("key"), str) and not one.get("disabled"):
            held = one.get("value")
            # One without a value is set in an environment.
            if isinstance(held, str | int | float) and held != "":
                out[one["key"]] = held if isinstance(held, str) else str(held).lower()
    return out


def _request(
    request: Mapping[str, Any],
    pointer: str,
    found: Found,
    variables: Mapping[str, str],
    auth: Json,
    source: JsonText,
) -> Found:
    url = _url(request.get("url"))
    if url is None:
        return replace(found, fault="the request has no url")
    given = request.get("method")
    method = given if isinstance(given, str) else "GET"
    own = request.get("auth")
    query, headers = _credential(own if isinstance(own, dict) else auth, variables)
    headers |= {
        one["key"]: fill_text(str(one.get("value") or ""), variables)
        for one in _enabled(request.get("header"))
    }
    address = text_of(fill_text(url, variables))
    if query:
        address += ("&" if "?" in address else "?") + query
    body = request.get("body")
    if not isinstance(body, dict) or body.get("disabled") or method in ("GET", "HEAD"):
        return sent(found, method, address, headers, MISSING)
    mode = body.get("mode")
    if mode == "urlencoded":
        form = {one["key"]: str(one.get("value") or "") for one in _enabled(body.get("urlencoded"))}
        return sent(found, method, address, headers, form, encoding="form")
    raw = body.get("raw")
    if mode != "raw" or not isinstance(raw, str):
        kinds = {"formdata": "a form of several parts", "file": "a file, which is not read"}
        unread = f"the body: {kinds.get(str(mode), f'of the kind {mode}')}" if mode else ""
        out = sent(found, method, address, headers, MISSING)
        return replace(out, has_body=not unread, unchecked=(unread,)) if unread else out
    is_json = _language(body) == "json"
    if is_json:
        # Postman leaves comments out of what it sends as JSON.
        raw = without_comments(raw)
    found = replace(found, places=source.inner_places(with_marks(raw), below=f"{pointer}/body/raw"))
    value = read_body(raw, variables)
    if value is not MISSING:
        return sent(found, method, address, headers, value, encoding="json" if is_json else "text")
    known = sent(found, method, address, headers, MISSING)
    filled = fill_text(raw, variables)
    if isinstance(filled, Text):
        unread = "the body: no JSON until its variables are filled in"
        return replace(known, has_body=False, unchecked=(unread,))
    shown = [(key, text_of(one)) for key, one in headers.items()]
    return replace(
        from_parts(known, method, address, shown, filled.encode("utf-8", "replace")), open=known.open
    )


def _url(value: Json) -> str | None:
    if isinstance(value, str):
        return value or None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("raw"), str) and value["raw"]:
        return str(value["raw"])
    host, path = value.get("host"), value.get("path")
    joined = ".".join(map(str, host)) if isinstance(host, list) else host
    if not isinstance(joined, str) or not joined:
        return None
    steps = "/".join(map(str, path)) if isinstance(path, list) else str(path or "")
    scheme = f"{value['protocol']}://" if isinstance(value.get("protocol"), str) else ""
    return f"{scheme}{joined}/{steps.lstrip('/')}"


def _language(body: Mapping[str, Any]) -> str:
    options = body.get("options")
    raw = options.get("raw") if isinstance(options, dict) else None
    return str(raw.get("language", "")) if isinstance(raw, dict) else ""


def _enabled(value: Json) -> Iterator[Mapping[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict) and isinstance(one.get("key"), str) and not one.get("disabled"):
            yield one


def _credential(auth: Json, variables: Mapping[str, str]) -> tuple[str, dict[str, str | Text]]:
    """Return (query, headers) that the credential of a request adds."""
    kind = auth.get("type") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(kind, str):
        return "", {}
    held = auth.get(kind)
    known = {one["key"]: one.get("value") for one in _enabled(held)} if isinstance(held, list) else held
    if not isinstance(known, dict):
        return "", {}
    if kind == "bearer":
        return "", {"Authorization": fill_text(f"Bearer {known.get('token') or '{{token}}'}", variables)}
    if kind == "apikey" and isinstance(known.get("key"), str):
        value = fill_text(str(known.get("value") or "{{value}}"), variables)
        name = text_of(fill_text(known["key"], variables))
        return (f"{name}={text_of(value)}", {}) if known.get("in") == "query" else ("", {name: value})
    # Made when the request is sent.
    return "", {"Authorization": Text("{" + kind + "}")}
