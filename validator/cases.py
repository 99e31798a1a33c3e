"""The pass and fail files: for each rule one request that breaks it and the nearest one that does not.

In a checkout they are `tests/specs/<provider>/`, in an installed package `specs/_cases/<provider>/`.  Knows
how a file is written, not what a check says about it; see tests/specs/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal

from validator.contract.document import SpecError, nearest, parse_yaml
from validator.contract.expressions import Json
from validator.request import HttpRequest

CaseKind = Literal["pass", "fail"]

_KEYS: Final = ("operation", "body", "request", "verdict", "location", "also", "answer", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One file: `rule` is its name, `file` where it lies.

    `operation` is None where the file holds a whole request; `method`, `path`, `headers` and `text` are then
    that request's.  `body` is JSON with its macros (`$picture`, `$repeat`, `$list`) as they are written.
    `verdict` is what the provider does, `also` other findings that come along, `answer` what it answers.
    """

    rule: str
    kind: CaseKind
    file: str
    why: str
    operation: str | None
    method: str
    path: str
    headers: Mapping[str, str]
    has_body: bool
    body: Json
    text: str | None
    verdict: str | None
    location: str | None
    also: tuple[str, ...]
    answer: Mapping[str, Any] | None

    @property
    def has_pictures(self) -> bool:
        """Tell whether the body asks for a picture to be made."""
        return _holds(self.body, "$picture")

    def request(self, *, picture: Callable[[Mapping[str, Any]], Json] | None = None) -> HttpRequest:
        """Return the request with the macros of its body written out; see :func:`expand`."""
        if self.text is not None:
            return HttpRequest.from_parts(self.method, self.path, headers=self.headers, body=self.text)
        if not self.has_body:
            return HttpRequest.from_parts(self.method, self.path, headers=self.headers)
        return HttpRequest.from_json(
            self.method, self.path, expand(self.body, picture=picture), headers=self.headers
        )


def case_folder(provider: str) -> Traversable | None:
    """Return the folder with a provider's files, or None where there is none."""
    library = resources.files("specs")
    places: list[Traversable] = [library / "_cases" / provider]
    if isinstance(library, Path):
        places.append(library.parent / "tests" / "specs" / provider)
    return next((place for place in places if place.is_dir()), None)


def read_cases(provider: str, kind: CaseKind) -> list[Case]:
    """Return a provider's files of one kind, sorted by rule; raises SpecError for one that is written wrong."""
    folder = case_folder(provider)
    files = (folder / kind).iterdir() if folder is not None and (folder / kind).is_dir() else ()
    found = [_read(file, kind) for file in files if file.name.endswith(".yaml")]
    return sorted(found, key=lambda case: case.rule)


def find_case(provider: str, rule: str, kind: CaseKind) -> Case | None:
    """Return the file of a rule, or None where there is none; raises SpecError."""
    folder = case_folder(provider)
    if folder is None:
        return None
    file = folder / kind / f"{rule}.yaml"
    return _read(file, kind) if file.is_file() else None


def _read(file: Traversable, kind: CaseKind) -> Case:
    name = str(file)
    node = parse_yaml(file.read_bytes(), file=name)
    if not isinstance(node, dict):
        raise SpecError("holds no mapping", file=name)
    for key in node:
        if key not in _KEYS:
            raise SpecError(f"'{key}' is not known", file=name, hint=nearest(key, _KEYS))
    request = node.get("request", {})
    holder = request if "request" in node else node
    return Case(
        rule=file.name.removesuffix(".yaml"),
        kind=kind,
        file=name,
        why=node.get("why", ""),
        operation=node.get("operation"),
        method=request.get("method", "POST"),
        path=request.get("path", "/"),
        headers=request.get("headers", {}),
        has_body="body" in holder,
        body=holder.get("body"),
        text=holder.get("text"),
        verdict=node.get("verdict"),
        location=node.get("location"),
        also=tuple(node.get("also", ())),
        answer=node.get("answer"),
    )


# --- macros -----------------------------------------------------------------------------------------------


def expand(value: Json, *, picture: Callable[[Mapping[str, Any]], Json] | None = None) -> Json:
    """Return a body with its macros written out; `picture` makes one, without it they stay as they are."""
    makers = {"$repeat": _repeated, "$list": lambda word: [word["item"]] * word["times"]}
    return _replace(value, makers if picture is None else {**makers, "$picture": picture})


def shorten(value: Json) -> Json:
    """Return a body for people: every macro as a few words in angle brackets.

    >>> shorten({"image": {"$picture": {"format": "PNG", "width": 200, "height": 400}}})
    {'image': '<image/png 200x400>'}
    """
    return _replace(value, {"$picture": _picture_text, "$repeat": _repeat_text, "$list": _list_text})


def _replace(value: Json, makers: Mapping[str, Callable[[Any], Json]]) -> Json:
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, word),) = value.items()
            if name in makers:
                return makers[name](_replace(word, makers))
        return {name: _replace(member, makers) for name, member in value.items()}
    if isinstance(value, list):
        return [_replace(item, makers) for item in value]
    return value


def _holds(value: Json, name: str) -> bool:
    if isinstance(value, dict):
        return name in value or any(_holds(member, name) for member in value.values())
    return isinstance(value, list) and any(_holds(item, name) for item in value)


def _repeated(word: Mapping[str, Any]) -> str:
    return str(word["text"]) * int(word["times"])


def _picture_text(word: Mapping[str, Any]) -> str:
    if "text" in word:
        return f"<no picture: the Base64 of '{word['text']}'>"
    parts = [f"image/{word.get('format', 'PNG').lower()} {word.get('width', 320)}x{word.get('height', 320)}"]
    if "bytes" in word:
        parts.append(f"{word['bytes']:,} bytes")
    if "cut" in word:
        parts.append(f"its last {word['cut']} bytes missing")
    carriers = {"data-uri": "as a data: URI", "urlsafe": "in the alphabet with - and _"}
    if word.get("carrier") in carriers:
        parts.append(carriers[word["carrier"]])
    return f"<{', '.join(parts)}>"


def _repeat_text(word: Mapping[str, Any]) -> str:
    return f"<'{word['text']}' {word['times']:,} times>"


def _list_text(word: Mapping[str, Any]) -> Json:
    return [word["item"], f"<{word['times']:,} of them>"]
