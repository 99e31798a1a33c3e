"""Reads a provider's file: YAML 1.2 in, a checked and dereferenced tree out.

Knows the shape of a document, not what its words mean; the only module that imports yaml.

Exceptions::

    ValueError
    └── SpecError           a spec that cannot be loaded: file, pointer, sentence, hint
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import orjson
import yaml

from validator.contract.expressions import Json, format_pointer, merge_patch, parse_pointer

_LIBRARY: Final = "specs"
_LONGEST_WORD: Final = 200
DOCUMENT_SCHEMA: Final = "urn:understudy:document:1"
_OPENAPI_SCHEMA: Final = "openapi_spec_validator", "resources/schemas/v3.1/schema.json"


class SpecError(ValueError):
    """A spec that cannot be loaded: the author's mistake, told with file, pointer and hint."""

    def __init__(self, sentence: str, *, file: str, pointer: str = "", hint: str = "") -> None:
        """Keep the parts, so that callers can print them their own way."""
        self.sentence, self.file, self.pointer, self.hint = sentence, file, pointer, hint
        where = f"{file}#{pointer}" if pointer else file
        super().__init__(f"{where}: {sentence}" + (f" ({hint})" if hint else ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One provider's file as read: `file` for messages, `root` the whole tree with its $refs in place."""

    file: str
    root: dict[str, Json]

    def error(self, sentence: str, path: Sequence[str | int] = (), *, hint: str = "") -> SpecError:
        """Return the SpecError for a place in this document, for the caller to raise."""
        return SpecError(sentence, file=self.file, pointer=format_pointer(list(path)), hint=hint)

    def resolve(
        self, node: Json, path: tuple[str | int, ...] = (), *, needs: Sequence[str] = ()
    ) -> tuple[Json, tuple[str | int, ...]]:
        """Follow a Reference Object to its end.

        Returns the target and its path in the document; a node that is no reference comes back as it is.
        Raises SpecError for a reference that leads nowhere, out of the file, or in a circle, and where the
        end is not an object with the members that `needs` names.
        """
        start = path
        seen: list[str] = []
        while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            if reference in seen:
                raise self.error(f"$ref '{reference}' leads back to itself", path)
            seen.append(reference)
            node, path = self._follow(reference, path)
        for name in needs:
            if not isinstance(node, dict) or name not in node:
                what = f"$ref '{seen[-1]}' leads to something without" if seen else "needs"
                raise self.error(f"{what} '{name}'", start)
        return node, path

    def _follow(self, reference: str, path: tuple[str | int, ...]) -> tuple[Json, tuple[str | int, ...]]:
        if not reference.startswith("#/"):
            raise self.error(f"$ref '{reference}' must point into this file", path, hint="start it with #/")
        target: Json = self.root
        tokens = parse_pointer(reference[1:])
        for depth, token in enumerate(tokens):
            if isinstance(target, dict) and token in target:
                target = target[token]
            elif isinstance(target, list) and token.isdigit() and int(token) < len(target):
                target = target[int(token)]
            else:
                known = target if isinstance(target, dict) else {}
                raise self.error(
                    f"$ref '{reference}' leads nowhere: no '{token}' in #{format_pointer(tokens[:depth])}",
                    path,
                    hint=nearest(token, known),
                )
        return target, tuple(tokens)


def nearest(word: str, known: Iterable[object]) -> str:
    """Return "did you mean 'x'?" for the most similar known word, or ''."""
    if len(word) > _LONGEST_WORD:
        # Comparing takes time with the square of the length, and nobody misspells a novel.
        return ""
    found = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.6)
    return f"did you mean '{found[0]}'?" if found else ""


# --- reading ----------------------------------------------------------------------------------------------


_STR, _SEQ, _MAP = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
_CORE: Final[tuple[tuple[re.Pattern[str], Callable[[str], Json]], ...]] = (
    # The YAML 1.2 core schema: `on`, `16:9` and dates stay text, 010 is ten.
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text[0] in "tT"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
)
_MAYBE_CORE: Final = frozenset("~ntfNTF-+.0123456789")
"""First characters of a plain scalar that may be something else than text."""

_PLAIN: Final = "!plain"
MOST_NODES: Final = 250_000
"""Values of a document, aliases counted each time: a few lines of aliases can stand for billions.

The largest spec of the library has some four thousand; reading so many takes two seconds."""

MOST_LEVELS: Final = 200
"""Levels of nesting in a document; libyaml builds nodes by recursion in C, and takes the process with it."""

_BRACKETS: Final = b"[]{}"
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(_BRACKETS)))
_INDENTATION: Final = re.compile(rb"^[ \t?:-]*", re.MULTILINE)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's parser without its idea of types: a plain scalar is marked, and read by :func:`_value`."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] and (not value or value[0] in _MAYBE_CORE) else _STR
        return _SEQ if kind is yaml.SequenceNode else _MAP


def _value(node: Any, budget: list[int]) -> Json:
    """Return the JSON value of a node; double keys and foreign tags are refused."""
    budget[0] -= 1
    if budget[0] < 0:
        raise yaml.constructor.ConstructorError(
            None, None, f"holds more than {MOST_NODES:,} values", node.start_mark
        )
    tag = node.tag
    if tag == _STR:
        return node.value
    if tag == _MAP:
        out: dict[str, Json] = {}
        for key_node, value_node in node.value:
            # Keys are text: a status code is one, quoted or not.
            key = key_node.value
            if not isinstance(key, str) or key in out:
                problem = f"the key '{key}' stands twice" if isinstance(key, str) else "a key must be text"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            out[key] = _value(value_node, budget)
        return out
    if tag == _SEQ:
        return [_value(item, budget) for item in node.value]
    if tag == _PLAIN:
        for pattern, read in _CORE:
            if pattern.fullmatch(node.value):
                return read(node.value)
        return node.value
    raise yaml.constructor.ConstructorError(None, None, f"the tag {tag} is not understood", node.start_mark)


def _may_be_deep(text: str | bytes) -> bool:
    """Tell whether a text may be nested deeper than is read; false only where it is not.

    A level is opened by a bracket, or stands further to the right; a list may stand where its name does.
    """
    if isinstance(text, bytes) and text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", "replace")
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    most = MOST_LEVELS - 2 * max(map(len, _INDENTATION.findall(raw)))
    brackets, levels = raw.translate(None, _NO_BRACKETS), 0
    while 0 < most < levels + brackets.count(b"[") + brackets.count(b"{"):
        # Pairs with nothing between them are taken away, a level at a time.
        inner = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if inner == brackets or levels > MOST_LEVELS:
            return True
        brackets, levels = inner, levels + 1
    return most <= 0


def _check_depth(text: str | bytes) -> None:
    """Raise MarkedYAMLError where a text is nested too deep, told by its events, which need no recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_LEVELS:
            problem = f"is nested deeper than {MOST_LEVELS} levels"
            raise yaml.MarkedYAMLError(None, None, problem, event.start_mark)  # type: ignore[arg-type]


def parse_yaml(text: str | bytes, *, file: str) -> Json:
    """Return the JSON value of a YAML 1.2 text; raises SpecError with line and column."""
    loader = None
    try:
        if _may_be_deep(text):
            _check_depth(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _value(node, [MOST_NODES])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise SpecError(f"not readable as YAML{place}: {error.problem}", file=file) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SpecError(f"not readable as YAML: {error}", file=file) from None
    finally:
        if loader is not None:
            loader.dispose()


def parse_yaml_stream(text: str, *, file: str) -> Iterator[tuple[Json, dict[str, tuple[int, int]]]]:
    """Yield (JSON value, places) of every document of a YAML 1.2 text; raises SpecError with line and column.

    The places map the pointer of a member to (line, column) of its name, of an entry to that of its value;
    both count from 1.
    """
    loader = None
    try:
        if _may_be_deep(text):
            _check_depth(text)
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            places: dict[str, tuple[int, int]] = {}
            value = _value(node, [MOST_NODES])
            _mark(node, "", places)
            yield value, places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise SpecError(f"not readable as YAML{place}: {error.problem}", file=file) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SpecError(f"not readable as YAML: {error}", file=file) from None
    finally:
        if loader is not None:
            loader.dispose()


def _mark(node: Any, pointer: str, places: dict[str, tuple[int, int]]) -> None:
    """Note where a node and all below it stand; :func:`_value` has seen that they are not too many."""
    places.setdefault(pointer, (node.start_mark.line + 1, node.start_mark.column + 1))
    if node.tag == _MAP:
        for key_node, value_node in node.value:
            below = pointer + format_pointer([key_node.value])
            places[below] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            _mark(value_node, below, places)
    elif node.tag == _SEQ:
        for index, item in enumerate(node.value):
            _mark(item, f"{pointer}/{index}", places)


class _Dumper(yaml.SafeDumper):
    """YAML that a 1.1 reader understands too, in the order of the tree and without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump_yaml(value: Json) -> str:
    """Return a JSON value as YAML text."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def provider_names() -> tuple[str, ...]:
    """Return the ids of the providers in the library, sorted."""
    files = resources.files(_LIBRARY).iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".yaml")))


def read_document(name_or_path: str | Path, *, variants: Sequence[str] = ()) -> Document:
    """Return the document of a provider id, or of a file, with the named variants applied.

    Checked against OpenAPI 3.1 and the vocabulary (some 20 ms for the schemas, 2 ms a document).
    Raises SpecError.
    """
    name = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or name.endswith((".yaml", ".yml", ".json"))
    is_path = is_path or "/" in name or os.sep in name
    if is_path:
        file = Path(name_or_path)
        try:
            text: bytes = file.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SpecError(f"cannot be read: {reason}", file=name) from None
    elif name in provider_names():
        text, name = (resources.files(_LIBRARY) / f"{name}.yaml").read_bytes(), f"specs/{name}.yaml"
    else:
        hint = nearest(name, provider_names()) or "known: " + ", ".join(provider_names())
        raise SpecError(f"no provider is called '{name}'", file=name, hint=hint)
    root = parse_yaml(text, file=name)
    document = Document(file=name, root=root if isinstance(root, dict) else {})
    if not document.root:
        raise document.error("holds no mapping")
    check_document(document)
    if variants:
        document = _apply(document, variants)
        check_document(document)
    return document


def _apply(document: Document, variants: Sequence[str]) -> Document:
    known: Mapping[str, Json] = document.root.get("x-variants") or {}
    root = document.root
    for name in variants:
        if name not in known:
            raise document.error(
                f"has no variant '{name}'",
                ("x-variants",),
                hint=nearest(name, known) or f"known: {', '.join(known) or 'none'}",
            )
        root = merge_patch(root, known[name]["patch"])
    return Document(file=document.file, root=root)


# --- checking ---------------------------------------------------------------------------------------------


def schema_documents() -> dict[str, Json]:
    """Return the schemas a document must meet, by their $id: OpenAPI 3.1, our vocabulary, the two joined.

    Source: the OpenAPI schema is the one that openapi-spec-validator ships.
    """
    package, inside = _OPENAPI_SCHEMA
    # Located, not imported: the package pulls in a whole validator that only its data is wanted from.
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SpecError("the OpenAPI schema is missing", file=package, hint=f"pip install {package}")
    openapi = orjson.loads((Path(found.submodule_search_locations[0]) / inside).read_bytes())
    ours = []
    for name in ("vocabulary", "document"):
        file = resources.files(_LIBRARY) / "_schemas" / f"{name}.yaml"
        ours.append(parse_yaml(file.read_bytes(), file=f"{_LIBRARY}/_schemas/{name}.yaml"))
    return {schema["$id"]: schema for schema in (openapi, *ours)}


@functools.cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    schemas = schema_documents()
    registry = jsonschema_rs.Registry(list(schemas.items()))
    return jsonschema_rs.Draft202012Validator(schemas[DOCUMENT_SCHEMA], registry=registry)


@functools.cache
def _words() -> tuple[str, ...]:
    """Return our words, wherever they may stand."""

    def find(node: Json) -> Iterator[str]:
        if isinstance(node, dict):
            for name, inner in node.items():
                if name.startswith("x-"):
                    yield name
                yield from find(inner)

    return tuple(sorted(set(find(schema_documents()[DOCUMENT_SCHEMA]))))


def check_document(document: Document) -> None:
    """Raise SpecError for the first place that is not OpenAPI 3.1 or not our vocabulary."""
    for place, sentence, hint in document_errors(document):
        raise SpecError(sentence, file=document.file, pointer=place, hint=hint)


def document_errors(document: Document) -> Iterator[tuple[str, str, str]]:
    """Yield (JSON Pointer, sentence, hint) for each fault of form, the deepest first."""
    errors = sorted(_leaves(_validator().iter_errors(document.root)), key=lambda e: -len(e.instance_path))
    faulty = {tuple(error.instance_path[:-1]) for error in errors if error.kind.name != "falseSchema"}
    for error in errors:
        path = list(error.instance_path)
        kind = error.kind.name
        if kind == "falseSchema":
            # What may stand beside a word often hangs on that word: where it is wrong, its neighbours are not.
            if tuple(path[:-1]) not in faulty:
                yield format_pointer(path), f"'{path[-1] if path else document.file}' may not stand here", ""
            continue
        if kind == "propertyNames":
            word = str(error.kind.as_dict()["error"].instance)
            hint = nearest(word, [known for known in _words() if known != word])
            yield (
                format_pointer([*path, word]),
                f"'{word}' is no word of the vocabulary here",
                hint or "docs/vocabulary.md lists where each may stand",
            )
            continue
        message = error.message if len(error.message) <= 200 else error.message[:199] + "…"
        yield format_pointer(path), message, ""


def _leaves(errors: Iterable[Any]) -> Iterator[Any]:
    """Yield the innermost errors: an anyOf says less than the branch that came nearest."""
    for error in errors:
        branches = getattr(error.kind, "context", None)
        if branches:
            best = max(branches, key=lambda branch: max((len(e.instance_path) for e in branch), default=0))
            yield from _leaves(best)
        else:
            yield error
