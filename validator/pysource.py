"""Requests in Python programs: calls of HTTP clients with what they are given, read off and never run.

A name stands for a value where it is bound once and what it is bound to is not changed; anything else is a hole.
"""

from __future__ import annotations

import ast
import re
import string
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin

import orjson

from validator.calls import METHODS, Call, Text, found_call, is_address, text_of
from validator.contract.expressions import MISSING, format_pointer
from validator.found import Found, Position, known_places
from validator.partial import Hole, Open

LONGEST: Final = 2_000_000
"""Characters of a program that are read; no one writes so much by hand."""

DEEPEST: Final = 60
"""Names that lead to names, and values in values, that are followed."""

MOST: Final = 20_000
"""Expressions that are read for one call: names that lead to names can stand for billions."""

_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_KEEPS: Final = frozenset(
    ("len", "print", "repr", "str", "sorted", "dumps", "dict", "list", "isinstance", "deepcopy", "copy")
)
"""Functions that leave what they are given as it is."""

_LOOKS: Final = frozenset(("get", "items", "keys", "values", "copy"))
"""Methods of objects and lists that leave them as they are."""

_STAND_IN: Final = re.compile(r"mock|respx|responses|httpretty|pook|mountebank", re.IGNORECASE)
"""Names of what stands in for a server in tests: `responses.post(url, json=...)` says what is answered."""

_LIBRARY: Final = re.compile(r"\brequests\b|\bhttpx\b|\baiohttp\b|session\b", re.IGNORECASE)
_WITH_BODY: Final = ("POST", "PUT", "PATCH")

_OWN: Final = frozenset(("self", "cls", "super()"))

_LOGS: Final = frozenset(("debug", "info", "warning", "error", "exception", "critical", "log", "pprint"))


def read_python(text: str, name: str) -> Iterator[Found]:
    """Yield the requests of a Python program; one Found with a fault where it is none."""
    if len(text) > LONGEST:
        yield Found(label=name, file=name, is_code=True, fault=f"it is longer than {LONGEST:,} characters")
        return
    try:
        with warnings.catch_warnings():
            # What a program could be warned of is not asked here.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        line, column = error.lineno or 0, error.offset or 0
        fault = f"no Python: {error.msg} (line {line}, column {column})"
        yield Found(label=name, file=name, line=line, column=column, is_code=True, fault=fault)
        return
    except (ValueError, RecursionError, MemoryError) as error:
        yield Found(label=name, file=name, is_code=True, fault=f"no Python: {error or type(error).__name__}")
        return
    try:
        calls = list(_Program(tree, text).calls())
    except RecursionError:
        yield Found(label=name, file=name, is_code=True, fault="it is nested too deep")
        return
    for call in calls:
        found = found_call(call, name)
        if found is not None:
            yield found


class _Program:
    """A parsed program, and who binds which name where."""

    def __init__(self, tree: ast.Module, text: str) -> None:
        self.tree = tree
        self.lines = text.splitlines(keepends=True) if "\x0c" not in text else text.split("\n")
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
        self.bindings: dict[ast.AST, dict[str, list[ast.AST | None]]] = {}
        self.uses: dict[str, list[ast.Name]] = {}
        self.globals: set[str] = set()
        self.imported: dict[str, str] = {}
        # Names may lead to each other, in circles and twice each.
        self.resolving: set[Any] = set()
        self.left = MOST
        self.known_touches: dict[tuple[str, ast.AST], set[str] | None] = {}
        for node in ast.walk(tree):
            self._note(node)

    def position(self, node: ast.AST) -> Position:
        """Return (line, column in characters) of a node; the parser counts bytes."""
        line, offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
        held = self.lines[line - 1] if line <= len(self.lines) else ""
        return line, len(held.encode()[:offset].decode("utf-8", "replace")) + 1

    # names

    def _scope(self, node: ast.AST) -> ast.AST:
        """Return the scope that a node stands in; the head of a function belongs to the one around it."""
        child, above = node, self.parents.get(node)
        while above is not None:
            if isinstance(above, _SCOPES):
                is_body = isinstance(above, ast.Lambda) or child in above.body
                is_argument = isinstance(child, ast.arguments) and isinstance(node, ast.arg)
                if is_body or is_argument:
                    return above
            elif isinstance(above, _COMPREHENSIONS):
                return above
            child, above = above, self.parents.get(above)
        return self.tree

    def _bind(self, scope: ast.AST, name: str, value: ast.AST | None) -> None:
        self.bindings.setdefault(scope, {}).setdefault(name, []).append(value)

    def _note(self, node: ast.AST) -> None:
        """Note what a node binds, and to what; None for what cannot be read."""
        if isinstance(node, ast.Name):
            self.uses.setdefault(node.id, []).append(node)
            if not isinstance(node.ctx, ast.Load):
                above = self.parents.get(node)
                scope = self._scope(node)
                while isinstance(above, ast.NamedExpr) and isinstance(scope, _COMPREHENSIONS):
                    scope = self._scope(scope)
                value = None
                if isinstance(above, ast.Assign) and node in above.targets:
                    value = above.value
                    if len(above.targets) > 1 and not isinstance(value, ast.Constant):
                        # What is set on it by its other name is not seen.
                        value = None
                elif isinstance(above, ast.AnnAssign) and above.target is node:
                    if above.value is None:
                        return
                    value = above.value
                self._bind(scope, node.id, value)
        elif isinstance(node, ast.arg):
            self._bind(self._scope(node), node.arg, None)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._bind(self._scope(node), node.name, None)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for one in node.names:
                self._bind(self._scope(node), (one.asname or one.name).partition(".")[0], None)
                if one.name == "*":
                    self.globals.add("*")
                if isinstance(node, ast.ImportFrom) and node.module in ("requests", "httpx"):
                    self.imported[one.asname or one.name] = one.name
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (
            isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
        ):
            self._bind(self._scope(node), node.name, None)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            self._bind(self._scope(node), node.rest, None)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            # Bound from more than one place.
            self.globals |= set(node.names)

    def _bound(self, name: str, node: ast.AST) -> tuple[ast.AST | None, ast.AST | None]:
        """Return (what a name is bound to, the scope that binds it), (None, None) where that is not one thing."""
        if name in self.globals or "*" in self.globals:
            return None, None
        scope: ast.AST | None = self._scope(node)
        is_first = True
        while scope is not None:
            # The names of a class are not seen from its methods.
            if is_first or not isinstance(scope, ast.ClassDef):
                bound = self.bindings.get(scope, {}).get(name)
                if bound is not None:
                    return (bound[0], scope) if len(bound) == 1 else (None, None)
            is_first = False
            scope = self._scope(scope) if scope is not self.tree else None
        return None, None

    def _touched(self, name: str, scope: ast.AST) -> set[str] | None:
        """Return the members that are set on what a name stands for; None where it may be changed in any way."""
        if (name, scope) not in self.known_touches:
            # Whoever asks again while this is worked out asks in a circle.
            self.known_touches[name, scope] = None
            self.known_touches[name, scope] = self._touches(name, scope)
        return self.known_touches[name, scope]

    def _touches(self, name: str, scope: ast.AST) -> set[str] | None:
        out: set[str] = set()
        for use in self.uses.get(name, ()):
            if not isinstance(use.ctx, ast.Load) or not self._is_of(use, name, scope):
                continue
            above = self.parents.get(use)
            if isinstance(above, ast.Subscript) and above.value is use:
                if isinstance(above.ctx, ast.Load):
                    # What is taken out of it may be changed as well.
                    if not self._is_only_read(above):
                        return None
                    continue
                key = above.slice
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                    return None
                out.add(key.value)
            elif isinstance(above, ast.Attribute):
                if above.attr not in _LOOKS:
                    return None
            elif not self._is_only_read(use):
                return None
        return out

    def _is_of(self, use: ast.Name, name: str, scope: ast.AST) -> bool:
        """Tell whether a use of a name means the one that a scope binds."""
        at: ast.AST = self._scope(use)
        is_first = True
        while at is not scope:
            if (is_first or not isinstance(at, ast.ClassDef)) and name in self.bindings.get(at, {}):
                return False
            is_first = False
            if at is self.tree:
                return False
            at = self._scope(at)
        return True

    def _is_only_read(self, node: ast.AST) -> bool:
        """Tell whether the place a value is used in leaves the value as it is."""
        above = self.parents.get(node)
        if isinstance(above, ast.keyword):
            if above.arg is None:
                return True
            above = self.parents.get(above)
        if isinstance(above, ast.Call):
            if above.func is node:
                return True
            called = _called(above)
            return called in _KEEPS | _LOGS or self._request(above) is not None
        if isinstance(above, ast.Dict):
            # `{**base}` copies what it holds, one level deep.
            index = above.values.index(node) if node in above.values else -1
            return index >= 0 and above.keys[index] is None
        if isinstance(above, ast.BinOp):
            return isinstance(above.op, (ast.BitOr, ast.Add, ast.Mod))
        if isinstance(above, ast.Subscript) and above.value is node:
            return isinstance(above.ctx, ast.Load) and self._is_only_read(above)
        kinds = (
            ast.FormattedValue,
            ast.Compare,
            ast.If,
            ast.While,
            ast.Assert,
            ast.UnaryOp,
            ast.Expr,
        )
        if isinstance(above, (ast.For, ast.comprehension)) and above.iter is node:
            # The keys of an object are texts; the items of a list may be changed one by one.
            return isinstance(node, ast.Name) and isinstance(self._bound(node.id, node)[0], ast.Dict)
        return isinstance(above, kinds)

    # calls

    def calls(self) -> Iterator[Call]:
        """Yield the calls of HTTP clients, in the order of the text."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call)]
        for node in sorted(nodes, key=lambda one: (one.lineno, one.col_offset)):
            self.left = MOST
            parts = self._request(node)
            if parts is None:
                continue
            method, url, options = parts
            if self._is_stand_in(node):
                continue
            # `**options` and `*arguments` may hold a body, parameters, anything.
            is_open = any(one.arg is None for one in node.keywords)
            is_open = is_open or any(isinstance(one, ast.Starred) for one in node.args)
            line, column = self.position(node)
            marks: dict[tuple[str | int, ...], Position] = {}
            body, encoding = self._body(node, options, marks)
            headers = options.get("headers")
            asked: Any = (
                method if isinstance(method, str) else self._value(method) if method is not None else None
            )
            if asked is None:
                asked = Hole("method") if is_open else "GET" if body is MISSING else "POST"
            if is_open and body is MISSING and asked in _WITH_BODY:
                body = Hole("what is unpacked into the call")
            query = self._value(options["params"]) if "params" in options else MISSING
            address = self._value(url) if url is not None else Hole("url")
            if not is_address(address):
                continue
            yield Call(
                line=line,
                column=column,
                url=address,
                method=asked,
                headers=self._value(headers) if headers is not None else None,
                query=Hole("params") if is_open and query is MISSING else query,
                body=body,
                encoding=encoding,
                places=known_places({format_pointer(list(path)): place for path, place in marks.items()}),
            )

    def _is_stand_in(self, node: ast.Call) -> bool:
        """Tell whether a call says what a server does: a route of one, or an answer that a test makes up."""
        above = self.parents.get(node)
        if isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return node in above.decorator_list
        if isinstance(above, ast.Attribute) and above.attr in ("mock", "respond", "reply", "side_effect"):
            return True
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
        if receiver is None:
            return False
        if _STAND_IN.search(_shown(receiver)):
            return True
        if not isinstance(receiver, ast.Name):
            return False
        bound, _ = self._bound(receiver.id, receiver)
        if bound is not None and _STAND_IN.search(_shown(bound)):
            return True
        at: ast.AST | None = above
        while at is not None:
            if isinstance(at, (ast.With, ast.AsyncWith)):
                for item in at.items:
                    name = item.optional_vars
                    if isinstance(name, ast.Name) and name.id == receiver.id:
                        return _STAND_IN.search(_shown(item.context_expr)) is not None
            elif isinstance(at, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
                one.arg == receiver.id for one in [*at.args.posonlyargs, *at.args.args, *at.args.kwonlyargs]
            ):
                return any(_STAND_IN.search(_shown(one)) for one in at.decorator_list)
            at = self.parents.get(at)
        return False

    def _request(
        self, node: ast.Call
    ) -> tuple[str | ast.expr | None, ast.expr | None, Mapping[str, ast.expr]] | None:
        """Return (method, URL, named arguments) of a call that sends a request, None for any other call."""
        name = _called(node)
        options = {one.arg: one.value for one in node.keywords if one.arg is not None}
        arguments = [one for one in node.args if not isinstance(one, ast.Starred)]
        is_attribute = isinstance(node.func, ast.Attribute)
        method: str | ast.expr | None
        if isinstance(node.func, ast.Name) and node.func.id in self.imported:
            name, is_attribute = self.imported[node.func.id], True
        if name in METHODS and is_attribute:
            method, rest = name.upper(), arguments
        elif name in ("request", "stream", "build_request", "_request") and is_attribute:
            method = options.get("method") or (arguments[0] if arguments else None)
            rest = arguments if "method" in options else arguments[1:]
            if method is None:
                return None
        elif name == "Request":
            rest = arguments
            method = options.get("method")
            if (
                len(arguments) > 1
                and isinstance(arguments[0], ast.Constant)
                and "/" not in str(arguments[0].value)
            ):
                # httpx.Request("POST", url); that of urllib begins with the URL.
                method, rest = arguments[0], arguments[1:]
            elif len(arguments) > 1:
                options.setdefault("data", arguments[1])
        else:
            return None
        url = options.get("url") or (rest[0] if rest else None)
        if url is None:
            return None
        is_client = any(
            one in options for one in ("json", "data", "content", "headers", "body", "params", "timeout")
        )
        if not is_client and not is_address(self._value(url)):
            return None
        if not is_client and isinstance(self._value(url), Hole) and not isinstance(self._value(url), Text):
            # `settings.get(name)`: nothing says that it is a request.
            return None
        # http.client: connection.request("POST", path, body, headers)
        if name == "request" and len(rest) > 1:
            options.setdefault("body", rest[1])
            if len(rest) > 2:
                options.setdefault("headers", rest[2])
        if name in ("post", "put", "patch") and len(rest) > 1:
            # The second argument of requests is the data; aiohttp and httpx take names only, and of a client of
            # somebody's own it may be anything.
            is_requests = self._is_library(node)
            options.setdefault("data" if is_requests else "given", rest[1])
            if len(rest) > 2 and is_requests:
                options.setdefault("json", rest[2])
        return method, url, options

    def _body(
        self, node: ast.Call, options: Mapping[str, ast.expr], marks: dict[tuple[str | int, ...], Position]
    ) -> tuple[Any, str]:
        """Return (body with holes, how it is sent)."""
        receiver = _shown(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        given = options.get("json")
        if given is not None and not _is_none(given):
            if self._dumped(given) is not None and self._is_library(node):
                # JSON of JSON: what arrives is a text.
                marks[()] = self.position(given)
                return _shown(given), "json"
            value = self._value(given, marks=marks)
            # A method of the same object stands around the client, and may add to what it is given.
            return (Open(value) if isinstance(value, dict) and receiver in _OWN else value), "json"
        if any(name in options and not _is_none(options[name]) for name in ("files", "fields")):
            return Hole("a form of several parts"), "unknown"
        for name in ("data", "content", "body"):
            given = options.get(name)
            if given is None or _is_none(given):
                continue
            held = self._dumped(given)
            if held is not None:
                return self._value(held, marks=marks), "text"
            value = self._value(given, marks=marks)
            if isinstance(value, dict) and name == "data":
                if self._is_library(node):
                    return value, "form"
                # Of a client of somebody's own `data` may well be what is sent as JSON.
                return Open(value), "text"
            if isinstance(value, str):
                held_json = _parsed(value)
                if held_json is not MISSING:
                    marks_at = self.position(given)
                    marks.clear()
                    marks[()] = marks_at
                    return held_json, "text"
            return value if isinstance(value, Hole) else Hole(_shown(given)), "text"
        if "given" in options:
            value = self._value(options["given"], marks=marks)
            # Such a client may well add members.
            return (Open(value) if isinstance(value, dict) else value), "text" if isinstance(
                value, dict
            ) else "unknown"
        return MISSING, "json"

    def _is_library(self, node: ast.Call) -> bool:
        """Tell whether a call is one of requests, httpx or aiohttp itself, as far as names tell."""
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        if isinstance(receiver, ast.Name) and receiver.id in self.imported:
            return True
        if _LIBRARY.search(_shown(receiver)):
            return True
        bound = self._bound(receiver.id, receiver)[0] if isinstance(receiver, ast.Name) else None
        return bound is not None and _LIBRARY.search(_shown(bound)) is not None

    def _dumped(self, node: ast.expr, level: int = 0) -> ast.expr | None:
        """Return what a text is the JSON of: `json.dumps(x)`, encoded or not, also by a name."""
        if level > DEEPEST:
            return None
        if isinstance(node, ast.Call):
            if _called(node) == "dumps" and node.args:
                return node.args[0]
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("encode", "decode"):
                return self._dumped(node.func.value, level + 1)
        if isinstance(node, ast.Name):
            bound, _ = self._bound(node.id, node)
            if isinstance(bound, ast.expr):
                return self._dumped(bound, level + 1)
        return None

    # values

    def _value(
        self,
        node: ast.expr,
        *,
        at: tuple[str | int, ...] = (),
        marks: dict[tuple[str | int, ...], Position] | None = None,
        level: int = 0,
    ) -> Any:
        """Return the value of an expression, a hole for what only running it would tell."""
        marks = {} if marks is None else marks
        self.left -= 1
        if level > DEEPEST or self.left < 0:
            return Hole(_shown(node))
        marks.setdefault(at, self.position(node))
        match node:
            case ast.Constant(value=None | bool() | str() | int() | float() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.List() | ast.Tuple():
                if any(isinstance(one, ast.Starred) for one in node.elts):
                    return Hole(_shown(node))
                out = []
                for index, one in enumerate(node.elts):
                    marks[(*at, index)] = self.position(one)
                    out.append(self._value(one, at=(*at, index), marks=marks, level=level + 1))
                return out
            case ast.Dict():
                return self._object(zip(node.keys, node.values, strict=True), at, marks, level)
            case ast.Call(func=ast.Name(id="dict")):
                return self._made(node, at, marks, level)
            case ast.Call(func=ast.Attribute(attr="copy", value=inner), args=[]):
                return self._value(inner, at=at, marks=marks, level=level + 1)
            case ast.Call(func=ast.Attribute(attr="format", value=ast.Constant(value=str() as pattern))):
                return self._formatted(pattern, node, level)
            case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str() as pattern)):
                return self._filled_in(pattern, node, level)
            case ast.Call(args=[base, path]) if _called(node) == "urljoin":
                return self._url(base, path, level)
            case ast.JoinedStr():
                return self._joined(node, level)
            case ast.BinOp(op=ast.Add()):
                left = self._value(node.left, level=level + 1)
                right = self._value(node.right, level=level + 1)
                return _added(left, right, _shown(node))
            case ast.BinOp(op=ast.BitOr()):
                pairs: list[tuple[ast.expr | None, ast.expr]] = [(None, node.left), (None, node.right)]
                return self._object(iter(pairs), at, marks, level)
            case ast.IfExp():
                first = self._value(node.body, level=level + 1)
                second = self._value(node.orelse, level=level + 1)
                is_same = (
                    type(first) is type(second) and isinstance(first, str | int | float) and first == second
                )
                return first if is_same else Hole(_shown(node))
            case ast.NamedExpr():
                return self._value(node.value, at=at, marks=marks, level=level + 1)
            case ast.Name():
                return self._named(node, at, marks, level)
        return Hole(_shown(node))

    def _named(
        self,
        node: ast.Name,
        at: tuple[str | int, ...],
        marks: dict[tuple[str | int, ...], Position],
        level: int,
    ) -> Any:
        bound, scope = self._bound(node.id, node)
        if not isinstance(bound, ast.expr) or scope is None:
            return Hole(node.id)
        if bound in self.resolving:
            return Hole(node.id)
        self.resolving.add(bound)
        value = self._value(bound, at=at, marks=marks, level=level + 1)
        self.resolving.discard(bound)
        if isinstance(value, Hole):
            return value if isinstance(value, Text) else Hole(node.id)
        if not isinstance(value, dict | list):
            return value
        touched = self._touched(node.id, scope)
        if touched is None or (touched and isinstance(value, list)):
            return Hole(node.id)
        return (
            type(value)({**value, **{key: Hole(key) for key in touched}})
            if isinstance(value, dict)
            else value
        )

    def _object(
        self,
        pairs: Iterator[tuple[ast.expr | None, ast.expr]],
        at: tuple[str | int, ...],
        marks: dict[tuple[str | int, ...], Position],
        level: int,
    ) -> Any:
        """Return the object of pairs (key, value), the key None for what is unpacked into it."""
        out: dict[str, Any] = {}
        is_open = False
        for key, one in pairs:
            if key is None:
                inner = self._value(one, at=at, marks=marks, level=level + 1)
                if isinstance(inner, dict):
                    is_open = is_open or isinstance(inner, Open)
                    if isinstance(inner, Open):
                        out = {name: Hole(name) for name in out}
                    out |= inner
                else:
                    # It may hold anything, the members before it once more as well.
                    is_open = True
                    out = {name: Hole(name) for name in out}
                continue
            name = self._value(key, level=level + 1)
            if isinstance(name, bool) or not isinstance(name, str | int):
                is_open = True
                out = {known: Hole(known) for known in out}
                continue
            path = (*at, str(name))
            for below in [path_ for path_ in marks if path_[: len(path)] == path]:
                del marks[below]
            marks[path] = self.position(key)
            out[str(name)] = self._value(one, at=path, marks=marks, level=level + 1)
        return Open(out) if is_open else out

    def _made(
        self,
        node: ast.Call,
        at: tuple[str | int, ...],
        marks: dict[tuple[str | int, ...], Position],
        level: int,
    ) -> Any:
        """Return the object of a call of dict()."""
        if "dict" in self.bindings.get(self.tree, {}):
            return Hole(_shown(node))
        pairs: list[tuple[ast.expr | None, ast.expr]] = [(None, one) for one in node.args]
        pairs += [(None if word.arg is None else _Key(word), word.value) for word in node.keywords]
        if len(node.args) > 1 or any(isinstance(one, ast.Starred) for one in node.args):
            return Hole(_shown(node))
        return self._object(iter(pairs), at, marks, level)

    def _joined(self, node: ast.JoinedStr, level: int) -> Any:
        parts: list[Any] = []
        for one in node.values:
            if isinstance(one, ast.Constant):
                parts.append(one.value)
            elif isinstance(one, ast.FormattedValue):
                value = self._value(one.value, level=level + 1)
                is_plain = isinstance(value, str | int) and not isinstance(value, bool)
                if (
                    one.conversion != -1
                    or one.format_spec is not None
                    or not (is_plain or isinstance(value, Text))
                ):
                    value = Hole(_shown(one.value))
                parts.append(value)
        if not any(isinstance(one, Hole) for one in parts):
            return "".join(map(str, parts))
        return Text("".join(map(text_of, parts)))

    def _formatted(self, pattern: str, node: ast.Call, level: int) -> Any:
        """Return the text of `pattern.format(...)`, as far as it is known."""
        names = {one.arg: one.value for one in node.keywords}
        parts: list[Any] = []
        try:
            pieces = list(string.Formatter().parse(pattern))
        except ValueError:
            return Hole(_shown(node))
        for index, (literal, field, form, conversion) in enumerate(pieces):
            parts.append(literal)
            if field is None:
                continue
            given = names.get(field)
            if (field.isdigit() or not field) and not any(isinstance(one, ast.Starred) for one in node.args):
                place = int(field) if field else sum(one[1] == "" for one in pieces[:index])
                given = node.args[place] if place < len(node.args) else None
            value = self._value(given, level=level + 1) if given is not None else Hole(field or "x")
            parts.append(Hole(field or "x") if form or conversion else value)
        return _put_together(parts)

    def _filled_in(self, pattern: str, node: ast.BinOp, level: int) -> Any:
        """Return the text of `pattern % values`, as far as it is known."""
        right = node.right
        given = list(right.elts) if isinstance(right, ast.Tuple) else [right]
        parts: list[Any] = []
        for number, piece in enumerate(re.split(r"(%%|%\(\w+\)[sd]|%[sd])", pattern)):
            if number % 2 == 0:
                parts.append(piece)
            elif piece == "%%":
                parts.append("%")
            elif piece.startswith("%("):
                parts.append(Hole(piece[2:-2]))
            elif not given:
                return Hole(_shown(node))
            else:
                parts.append(self._value(given.pop(0), level=level + 1))
        return _put_together(parts)

    def _url(self, base: ast.expr, path: ast.expr, level: int) -> Any:
        """Return the URL that `urljoin(base, path)` makes, as far as it is known."""
        first, second = self._value(base, level=level + 1), self._value(path, level=level + 1)
        if isinstance(first, str) and isinstance(second, str):
            return urljoin(first, second)
        if not isinstance(second, str | Text):
            return Hole("urljoin")
        shown = text_of(second)
        is_whole = "://" in shown
        return second if is_whole else Text(text_of(first).rstrip("/") + "/" + shown.lstrip("/"))


def _put_together(parts: list[Any]) -> Any:
    """Return the text of parts, which is known where all of them are."""
    plain = [
        one if isinstance(one, str | Text) or type(one) is int else Hole(getattr(one, "name", "x") or "x")
        for one in parts
    ]
    if not any(isinstance(one, Hole) for one in plain):
        return "".join(map(str, plain))
    return Text("".join(map(text_of, plain)))


def _parsed(text: str) -> Any:
    """Return the object that a text is the JSON of, MISSING for any other text."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return MISSING
    return value if isinstance(value, dict) else MISSING


class _Key(ast.Constant):
    """The name of a keyword argument, where the keyword stands."""

    def __init__(self, word: ast.keyword) -> None:
        super().__init__(value=word.arg or "")
        self.lineno, self.col_offset = word.lineno, word.col_offset


def _added(left: Any, right: Any, name: str) -> Any:
    is_text = [isinstance(one, str | Text) for one in (left, right)]
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if any(is_text) and all(isinstance(one, str | Hole) for one in (left, right)):
        return Text(text_of(left) + text_of(right))
    return Hole(name)


def _called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _shown(node: ast.AST) -> str:
    """Return an expression as messages name it."""
    try:
        return ast.unparse(node)[:60]
    except (RecursionError, ValueError):
        return "..."
