"""Runtime expressions and templates: parsed once, evaluated often.

An expression is OpenAPI's runtime expression (`$request.body#/callbackUrl`) or one of our roots
(`$task.output.url`).  This module knows what an expression may say, not where its values come from:
those arrive as a :class:`Scope`.

Exceptions::

    ValueError
    └── ExpressionError     an expression or a template that cannot be understood
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final, Protocol

import orjson

Json = Any
"""A JSON value: None, bool, int, float, str, list of Json, dict of str to Json."""


class ExpressionError(ValueError):
    """An expression or a template that cannot be understood."""


class _Missing:
    """The one value of an expression that finds nothing; a member that holds it is left out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()

Evaluate = Callable[["Scope"], Json]
"""(Scope) -> a JSON value, or MISSING."""


class RequestView(Protocol):
    """What expressions may ask of a request."""

    @property
    def method(self) -> str:
        """Return the method, in capitals."""

    @property
    def url(self) -> str:
        """Return the URL the client called, with its query."""

    @property
    def path(self) -> str:
        """Return the path below the provider's host, percent-encoded."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers, names in lower case."""

    @property
    def query(self) -> Mapping[str, str]:
        """Return the first value of each query parameter."""


@dataclass(slots=True)
class Scope:
    """What the expressions of one rendering can see; an unset root finds nothing.

    `task`, `error`, `delivery`, `limit`, `account` and `mock` are objects with the attributes that
    :data:`FIELDS` lists for their root; times are integers, milliseconds since the epoch.
    """

    request: RequestView | None = None
    body: Json = MISSING
    path: Mapping[str, str] | None = None
    status: int | None = None
    response: Json = MISSING
    task: Any = None
    tasks: Any = None
    error: Any = None
    errors: Any = None
    delivery: Any = None
    limit: Any = None
    account: Any = None
    mock: Any = None


_TIME: Final = ("ms", "s", "iso", "isoNaive")
_SPAN: Final = ("ms", "s")

FIELDS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    # root -> field -> its sub-fields; `#` as a sub-field: a JSON Pointer follows; `*`: any one name.
    "task": {
        "id": (),
        "state": (),
        "operation": (),
        "requestId": (),
        "cost": (),
        "costText": (),
        "price": (),
        "money": (),
        "moneyText": (),
        "created": _TIME,
        "updated": _TIME,
        "expires": _TIME,
        "elapsed": _SPAN,
        "input": ("#",),
        "output": ("id", "url", "duration", "width", "height", "fps"),
        "failure": ("message", "code"),
    },
    "tasks": {},
    "error": {
        "kind": (),
        "reason": (),
        "rule": (),
        "keyword": (),
        "field": (),
        "location": (),
        "value": (),
        "found": (),
        "allowed": (),
        "limit": (),
        "type": (),
        "primitive": (),
        "count": (),
        "message": (),
        "phrase": (),
        "phrases": (),
        "status": (),
        "code": (),
        "keys": ("*",),
    },
    "errors": {},
    "delivery": {"id": (), "attempt": (), "retry": (), "timestamp": _TIME},
    "limit": {"quota": (), "remaining": (), "reset": _TIME, "wait": _SPAN},
    "account": {"id": (), "opened": _TIME, "total": (), "used": (), "remaining": (), "money": ()},
    "mock": {"baseUrl": (), "requestId": (), "path": (), "now": _TIME},
}
"""Our roots and what each offers; anything else in a spec is an error when it is compiled."""

_STANDARD: Final = re.compile(
    r"""\$(?:
        (?P<bare>url|method|statusCode)
      | (?P<side>request|response)\.
        (?: body(?:\#(?P<pointer>(?:/[^{}]*)?))?
          | (?P<place>header|query|path)\.(?P<name>[^{}\s]+) )
    )""",
    re.VERBOSE,
)
_OURS: Final = re.compile(
    r"\$(?P<root>[a-z][A-Za-z]*)(?P<fields>(?:\.[A-Za-z0-9_]+)*)(?:#(?P<pointer>(?:/[^{}]*)?))?"
)
_EMBEDDED: Final = re.compile(r"\{(\$[^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One parsed runtime expression.

    `root` is "request", "response", "url", "method", "statusCode" or a root of :data:`FIELDS`; `fields` what
    follows it ("body", or "header" and its name); `pointer` the reference tokens behind `#`, or None.
    """

    text: str
    root: str
    fields: tuple[str, ...]
    pointer: tuple[str, ...] | None

    def evaluate(self, scope: Scope) -> Json:
        """Return the value in this scope, with its JSON type, or MISSING."""
        return evaluator(self)(scope)


@functools.lru_cache(maxsize=4_096)
def parse_pointer(text: str) -> tuple[str, ...]:
    """Return the reference tokens of a JSON Pointer (RFC 6901).

    >>> parse_pointer("/a~1b/0")
    ('a/b', '0')
    """
    if text == "":
        return ()
    if not text.startswith("/"):
        raise ExpressionError(f"'{text}' is no JSON Pointer: it must be empty or start with '/'")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def format_pointer(tokens: tuple[str | int, ...] | list[str | int]) -> str:
    """Return the JSON Pointer of these reference tokens, '' for none.

    >>> format_pointer(("a/b", 0))
    '/a~1b/0'
    """
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def resolve_pointer(value: Json, tokens: tuple[str, ...]) -> Json:
    """Return what the tokens lead to inside a JSON value, or MISSING."""
    for token in tokens:
        if isinstance(value, dict):
            if token not in value:
                return MISSING
            value = value[token]
        elif isinstance(value, list):
            if not token.isascii() or not token.isdigit() or int(token) >= len(value):
                return MISSING
            value = value[int(token)]
        else:
            return MISSING
    return value


def find_member(body: Json, pointer: str) -> Json:
    """Return what a JSON Pointer leads to inside a body, or MISSING."""
    name = _single(pointer)
    if name is not None:
        return body.get(name, MISSING) if isinstance(body, dict) else MISSING
    return resolve_pointer(body, parse_pointer(pointer))


@functools.lru_cache(maxsize=4_096)
def _single(pointer: str) -> str | None:
    """Return the name of a pointer to a member of the whole, None for any other."""
    tokens = parse_pointer(pointer)
    return tokens[0] if len(tokens) == 1 else None


@functools.lru_cache(maxsize=4_096)
def parse(text: str) -> Expression:
    """Return the expression a string is, whole.

    Raises ExpressionError when it is none, or names a root or a field that does not exist.
    Source: OpenAPI 3.1, 4.8.20.3 Runtime Expressions.
    """
    if match := _STANDARD.fullmatch(text):
        return _standard(text, match)
    match = _OURS.fullmatch(text)
    if match is None:
        raise ExpressionError(f"'{text}' is no runtime expression")
    root = match["root"]
    fields = tuple(match["fields"].split(".")[1:])
    pointer = None if match["pointer"] is None else parse_pointer(match["pointer"])
    if root not in FIELDS:
        raise ExpressionError(f"'{text}' starts with an unknown root; known: {_list('$', FIELDS)}")
    _check_fields(text, root, fields, pointer)
    return Expression(text=text, root=root, fields=fields, pointer=pointer)


def _standard(text: str, match: re.Match[str]) -> Expression:
    if match["bare"]:
        return Expression(text=text, root=match["bare"], fields=(), pointer=None)
    if match["place"]:
        if match["side"] == "response" and match["place"] != "header":
            raise ExpressionError(f"'{text}': a response has a body and headers only")
        return Expression(text=text, root=match["side"], fields=(match["place"], match["name"]), pointer=None)
    pointer = parse_pointer(match["pointer"] or "")
    return Expression(text=text, root=match["side"], fields=("body",), pointer=pointer)


def _check_fields(text: str, root: str, fields: tuple[str, ...], pointer: tuple[str, ...] | None) -> None:
    known = FIELDS[root]
    if not known:
        if fields or pointer is not None:
            raise ExpressionError(f"'{text}': ${root} stands alone")
        return
    if not fields or fields[0] not in known:
        raise ExpressionError(f"'{text}': ${root} offers {_list('', known)}")
    below = known[fields[0]]
    if "#" in below:
        if len(fields) != 1 or pointer is None:
            raise ExpressionError(f"'{text}': write ${root}.{fields[0]}#/name")
        return
    if pointer is not None:
        raise ExpressionError(f"'{text}': no JSON Pointer can follow here")
    if "*" in below:
        if len(fields) != 2:
            raise ExpressionError(f"'{text}': write ${root}.{fields[0]}.name")
    elif below:
        if len(fields) != 2 or fields[1] not in below:
            raise ExpressionError(f"'{text}': ${root}.{fields[0]} offers {_list('', below)}")
    elif len(fields) != 1:
        raise ExpressionError(f"'{text}': nothing follows ${root}.{fields[0]}")


def _list(prefix: str, names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(prefix + name for name in names)


# --- evaluation -------------------------------------------------------------------------------------------


LATEST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, the latest a date can be written for; what is later is written so, too."""


def iso(milliseconds: int) -> str:
    """Return UTC in the form APIs print, to the millisecond.

    >>> iso(1764945990569)
    '2025-12-05T14:46:30.569Z'
    """
    return iso_naive(milliseconds) + "Z"


def iso_naive(milliseconds: int) -> str:
    """Return the same time without a zone, for providers that write it their own way."""
    seconds, rest = divmod(min(milliseconds, LATEST), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}"


_TIMES: Final[Mapping[str, Callable[[int], Json]]] = {
    "ms": lambda milliseconds: milliseconds,
    "s": lambda milliseconds: milliseconds // 1000,
    "iso": iso,
    "isoNaive": iso_naive,
}


def evaluator(expression: Expression) -> Evaluate:
    """Compile an expression into a function of the scope."""
    match expression.root:
        case "request" | "response":
            return _exchange(expression)
        case "url" | "method":
            name = expression.root
            return lambda scope: MISSING if scope.request is None else getattr(scope.request, name)
        case "statusCode":
            return lambda scope: MISSING if scope.status is None else scope.status
        case "tasks":
            return lambda scope: _or_missing(scope.tasks)
        case "errors":
            return lambda scope: _or_missing(scope.errors)
    return _field(expression)


def _exchange(expression: Expression) -> Evaluate:
    tokens = expression.pointer
    if tokens is not None:
        if expression.root == "response":
            return lambda scope: resolve_pointer(scope.response, tokens)
        if len(tokens) == 1:
            (token,) = tokens
            return lambda scope: scope.body.get(token, MISSING) if isinstance(scope.body, dict) else MISSING
        return lambda scope: resolve_pointer(scope.body, tokens)
    place, name = expression.fields
    if expression.root == "response":
        return lambda scope: MISSING
    if place == "path":
        return lambda scope: MISSING if scope.path is None else scope.path.get(name, MISSING)
    if place == "header":
        lower = name.lower()
        return lambda scope: MISSING if scope.request is None else scope.request.headers.get(lower, MISSING)
    return lambda scope: MISSING if scope.request is None else scope.request.query.get(name, MISSING)


def _field(expression: Expression) -> Evaluate:
    root, fields, tokens = expression.root, expression.fields, expression.pointer
    name = _snake(fields[0])
    if tokens is not None:
        text = format_pointer(tokens)
        return lambda scope: (getattr(getattr(scope, root), name, None) or {}).get(text, MISSING)
    if len(fields) == 1:
        return _attribute(f"{root}.{name}")
    below = FIELDS[root][fields[0]]
    if below in (_TIME, _SPAN):
        convert = _TIMES[fields[1]]
        moment = _attribute(f"{root}.{name}")
        return lambda scope: MISSING if (value := moment(scope)) is MISSING else convert(value)
    if "*" in below:
        key = fields[1]
        return lambda scope: (getattr(getattr(scope, root), name, None) or {}).get(key, MISSING)
    return _attribute(f"{root}.{name}.{_snake(fields[1])}")


def _attribute(path: str) -> Evaluate:
    """Return what reads a dotted attribute of the scope; where a step is missing or None, MISSING."""
    get = attrgetter(path)

    def attribute(scope: Scope) -> Json:
        try:
            value = get(scope)
        except AttributeError:
            return MISSING
        return MISSING if value is None else value

    return attribute


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])[A-Z]", lambda found: "_" + found[0].lower(), name)


def _or_missing(value: Json) -> Json:
    return MISSING if value is None else value


def to_text(value: Json) -> str:
    """Return a JSON value as it reads inside a longer text: strings bare, the rest as JSON.

    Numbers lose a trailing `.0`, so that a cost of 2.0 reads "2".
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, bool | int | float) or value is None:
        return str(value) if not isinstance(value, bool) and value is not None else _WORDS[value]
    return orjson.dumps(value).decode()


_WORDS: Final = {True: "true", False: "false", None: "null"}


def compile_text(text: str, *, missing: str | None = None) -> Evaluate:
    """Compile a string with or without expressions in it.

    A string that is one expression keeps the JSON type of its value.  In a longer one each `{$...}` is
    replaced by its text; where one finds nothing the whole is MISSING, or has `missing` in that place.
    Raises ExpressionError.
    """
    if text.startswith("$"):
        whole = evaluator(parse(text))
        if missing is None:
            return whole
        return lambda scope: missing if (value := whole(scope)) is MISSING else value
    parts = _EMBEDDED.split(text)
    if len(parts) == 1:
        return _Constant(text)
    literals = parts[0::2]
    values = [evaluator(parse(part)) for part in parts[1::2]]

    if literals == ["", ""]:
        (only,) = values

        def text_of(scope: Scope) -> Json:
            found = only(scope)
            if found is MISSING:
                return MISSING if missing is None else missing
            return to_text(found)

        return text_of

    def join(scope: Scope) -> Json:
        out = [literals[0]]
        for value, literal in zip(values, literals[1:], strict=True):
            found = value(scope)
            if found is MISSING:
                if missing is None:
                    return MISSING
                found = missing
            out.append(to_text(found))
            out.append(literal)
        return "".join(out)

    return join


def expressions_in(value: Json) -> list[Expression]:
    """Return every expression inside a template body or a text, in document order.

    Raises ExpressionError.
    """
    if isinstance(value, dict):
        if value.keys() & _CONDITION:
            _check_condition(value)
        return [found for member in value.values() for found in expressions_in(member)]
    if isinstance(value, list):
        return [found for item in value for found in expressions_in(item)]
    if not isinstance(value, str):
        return []
    if value.startswith("$"):
        return [parse(value)]
    return [parse(text) for text in _EMBEDDED.findall(value)]


Item = Callable[[Any], Json]
"""(one task or error) -> its JSON, for the members of a list."""


def compile_body(body: Json, *, item: Callable[[Scope, Any], Json] | None = None) -> Evaluate:
    """Compile a template body into a function of the scope.

    `item` renders one member where the body says `$tasks` or `$errors`.  Raises ExpressionError.
    """
    if isinstance(body, dict) and body.keys() & _CONDITION:
        return _compile_condition(body, item=item)
    if isinstance(body, dict):
        return _compile_object(body, item=item)
    if isinstance(body, list):
        members = [compile_body(member, item=item) for member in body]
        if all(isinstance(member, _Constant) for member in members):
            return _Constant(body)
        return lambda scope: [value for member in members if (value := member(scope)) is not MISSING]
    if not isinstance(body, str):
        return _Constant(body)
    if body in ("$tasks", "$errors") and item is not None:
        name = body[1:]
        return lambda scope: [item(scope, one) for one in getattr(scope, name)]
    return compile_text(body)


WHEN: Final = "x-when"
IS: Final = "x-is"
THEN: Final = "x-then"
ELSE: Final = "x-else"
"""The members of a template body that make a value depend on another: where the first is one of the second
(`true` alone without it, null for an expression that finds nothing), the third, elsewhere the fourth."""

_CONDITION: Final = frozenset((WHEN, IS, THEN, ELSE))


def _check_condition(body: dict[str, Json]) -> None:
    if not {WHEN, THEN} <= body.keys() <= _CONDITION:
        raise ExpressionError(f"'{WHEN}' stands with '{THEN}', '{IS}' and '{ELSE}', and nothing else")
    if not isinstance(body.get(IS, []), list):
        raise ExpressionError(f"'{IS}' is a list of values, not {orjson.dumps(body[IS]).decode()[:80]}")
    if not isinstance(body[WHEN], str) or not body[WHEN].startswith("$"):
        raise ExpressionError(f"'{WHEN}' is an expression, not {orjson.dumps(body[WHEN]).decode()[:80]}")


def _compile_condition(body: dict[str, Json], *, item: Callable[[Scope, Any], Json] | None) -> Evaluate:
    """Compile {x-when, x-is, x-then, x-else}."""
    _check_condition(body)
    condition, then = compile_text(body[WHEN]), compile_body(body[THEN], item=item)
    otherwise: Evaluate = compile_body(body[ELSE], item=item) if ELSE in body else lambda scope: MISSING
    # JSON tells 1 from true; Python does not.
    wanted = [(isinstance(value, bool), value) for value in body.get(IS, [True])]

    def choose(scope: Scope) -> Json:
        value = condition(scope)
        value = None if value is MISSING else value
        return then(scope) if (isinstance(value, bool), value) in wanted else otherwise(scope)

    return choose


class _Constant:
    """The renderer of what holds no expression; nobody changes a rendered body, so that all share one."""

    __slots__ = ("value",)

    def __init__(self, value: Json) -> None:
        self.value = value

    def __call__(self, scope: Scope) -> Json:
        return self.value


def _compile_object(body: dict[str, Json], *, item: Callable[[Scope, Any], Json] | None) -> Evaluate:
    members = [(name, compile_body(value, item=item)) for name, value in body.items()]
    if all(isinstance(member, _Constant) for _, member in members):
        return _Constant(body)
    # The members in their order, those that never change filled in; a rendering copies it and fills in the rest.
    skeleton = {name: member.value if isinstance(member, _Constant) else None for name, member in members}
    changing = [(name, member) for name, member in members if not isinstance(member, _Constant)]

    def build(scope: Scope) -> Json:
        out = skeleton.copy()
        for name, member in changing:
            value = member(scope)
            if value is MISSING:
                del out[name]
            else:
                out[name] = value
        return out

    return build


def merge_patch(target: Json, patch: Json) -> Json:
    """Return the target with a JSON Merge Patch applied (RFC 7396); neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
