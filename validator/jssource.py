"""Requests in JavaScript and TypeScript programs: calls of HTTP clients, read off the syntax tree and never run.

A name stands for a value where it is bound once and what it is bound to is not changed; anything else is a hole.
The only importer of tree_sitter, which is an extra.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from validator.calls import METHODS, Call, Text, found_call, is_address, text_of
from validator.contract.expressions import MISSING, format_pointer
from validator.found import Found, Position, known_places
from validator.partial import Hole, Open

LONGEST: Final = 2_000_000
"""Characters of a program that are read; what is longer was written by a bundler."""

DEEPEST: Final = 60

MOST: Final = 20_000
"""Expressions that are read for one call: names that lead to names can stand for billions."""

EXTRA: Final = "what reads JavaScript and TypeScript is not installed: pip install 'understudy[lint]'"

_CLIENTS: Final = frozenset(("axios", "got", "ky", "fetch", "$fetch", "ofetch", "superagent", "needle"))
_BY_OPTIONS: Final = frozenset(("got", "ky", "request", "needle"))
"""Clients whose second argument is always options; others take a body there."""

_STAND_IN: Final = re.compile(r"mock|nock|msw|interceptor|fetchMock", re.IGNORECASE)
"""Names of what stands in for a server in tests: `nock(host).post(path).reply(...)` says what is answered."""

_SERVERS: Final = frozenset(("app", "router", "fastify", "server", "express"))
"""What a server's routes are hung on; their path begins with a slash."""

_WITH_CALLBACKS: Final = frozenset(("request", "needle", "superagent", "https"))
_FUNCTION_VALUES: Final = frozenset(("arrow_function", "function_expression", "generator_function"))

UNPACKED: Final = "..."
"""The name of options that are not known: what is spread into them, or all of them."""

_OPTIONS: Final = frozenset(
    (
        *(
            "method",
            "headers",
            "body",
            "json",
            "data",
            "searchParams",
            "params",
            "timeout",
            "signal",
            "retry",
            "cache",
        ),
        *("credentials", "mode", "redirect", "responseType", "baseURL", "form", "agent", "prefixUrl"),
    )
)
_SCOPES: Final = frozenset(
    (
        *("program", "statement_block", "class_static_block", "class_body", "switch_body", "catch_clause"),
        *(
            "for_statement",
            "for_in_statement",
            "function_declaration",
            "function_expression",
            "arrow_function",
        ),
        *("method_definition", "generator_function", "generator_function_declaration", "function_signature"),
    )
)
_FUNCTIONS: Final = frozenset(one for one in _SCOPES if "function" in one or one == "method_definition") | {
    "program"
}
_WRAPPERS: Final = frozenset(
    (
        "parenthesized_expression",
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
        "await_expression",
    )
)
_LOOKING: Final = frozenset(
    (
        *(
            "template_substitution",
            "binary_expression",
            "unary_expression",
            "if_statement",
            "expression_statement",
        ),
        *("ternary_expression", "while_statement", "subscript_expression", "switch_statement", "type_query"),
        *("export_specifier", "export_statement", "class_heritage"),
    )
)


def read_javascript(text: str, name: str, *, dialect: str = "javascript") -> Iterator[Found]:
    """Yield the requests of a program; `dialect` is javascript, typescript or tsx."""
    if len(text) > LONGEST:
        yield Found(label=name, file=name, is_code=True, fault=f"it is longer than {LONGEST:,} characters")
        return
    try:
        parser = _parser(dialect)
    except ImportError:
        yield Found(label=name, file=name, is_code=True, fault=EXTRA)
        return
    source = text.encode("utf-8", "surrogatepass")
    for call in _Program(parser.parse(source).root_node, source).calls():
        if isinstance(call, Found):
            yield call
            continue
        found = found_call(call, name)
        if found is not None:
            yield found


@functools.cache
def _parser(dialect: str) -> Any:
    """Return the parser of a dialect; raises ImportError where the extra is not installed."""
    import tree_sitter

    if dialect == "javascript":
        import tree_sitter_javascript

        return tree_sitter.Parser(tree_sitter.Language(tree_sitter_javascript.language()))
    import tree_sitter_typescript

    made = (
        tree_sitter_typescript.language_tsx()
        if dialect == "tsx"
        else tree_sitter_typescript.language_typescript()
    )
    return tree_sitter.Parser(tree_sitter.Language(made))


Marks = dict[tuple[str | int, ...], Position]


class _Program:
    """A parsed program, and who binds which name where."""

    def __init__(self, root: Any, source: bytes) -> None:
        self.root = root
        self.lines = source.split(b"\n")
        self.nodes: list[Any] = []
        self.bindings: dict[str, list[tuple[Any, Any]]] = {}  # name -> (scope, value or None)
        self.uses: dict[str, list[Any]] = {}
        self.assigned: set[str] = set()
        # Names may lead to each other, in circles and twice each.
        self.resolving: set[Any] = set()
        self.left = MOST
        self.known_touches: dict[tuple[str, int], set[str] | None] = {}
        stack = [root]
        while stack:
            node = stack.pop()
            self.nodes.append(node)
            stack.extend(reversed(node.children))
        for node in self.nodes:
            self._note(node)

    def position(self, node: Any) -> Position:
        """Return (line, column in characters) of a node; the parser counts bytes."""
        row, offset = node.start_point
        return row + 1, len(self.lines[row][:offset].decode("utf-8", "replace")) + 1

    # names

    def _scope(self, node: Any, kinds: frozenset[str] = _SCOPES) -> Any:
        above = node.parent
        while above is not None and above.type not in kinds:
            above = above.parent
        return above if above is not None else self.root

    def _bind(self, name: Any, scope: Any, value: Any = None) -> None:
        self.bindings.setdefault(_text(name), []).append((scope, value))

    def _bind_all(self, pattern: Any, scope: Any) -> None:
        """Bind every name that a pattern may bind; names of defaults are among them, which hides no hole."""
        stack = [pattern]
        while stack:
            node = stack.pop()
            if node.type in ("identifier", "shorthand_property_identifier_pattern"):
                self._bind(node, scope)
            stack.extend(node.children)

    def _note(self, node: Any) -> None:
        kind = node.type
        if kind in ("identifier", "shorthand_property_identifier"):
            self.uses.setdefault(_text(node), []).append(node)
        elif kind == "variable_declarator":
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            is_var = node.parent is not None and node.parent.type == "variable_declaration"
            scope = self._scope(node, _FUNCTIONS) if is_var else self._scope(node)
            if name is not None and name.type == "identifier":
                self._bind(name, scope, value)
            elif name is not None:
                self._bind_all(name, scope)
        elif kind in _FUNCTIONS and kind != "program":
            for field in ("parameters", "parameter"):
                held = node.child_by_field_name(field)
                if held is not None:
                    self._bind_all(held, node)
            name = node.child_by_field_name("name")
            if name is not None and name.type == "identifier":
                self._bind(name, self._scope(node))
        elif kind in ("class_declaration", "enum_declaration", "abstract_class_declaration"):
            name = node.child_by_field_name("name")
            if name is not None:
                self._bind(name, self._scope(node))
        elif kind == "import_clause":
            self._bind_all(node, self.root)
        elif kind == "catch_clause":
            held = node.child_by_field_name("parameter")
            if held is not None:
                self._bind_all(held, node)
        elif kind == "for_in_statement":
            held = node.child_by_field_name("left")
            if held is not None:
                if node.child_by_field_name("kind") is not None:
                    self._bind_all(held, node)
                else:
                    self._assign(held)
        elif kind in ("assignment_expression", "augmented_assignment_expression"):
            self._assign(node.child_by_field_name("left"))
        elif kind == "update_expression":
            self._assign(node.child_by_field_name("argument"))

    def _assign(self, left: Any) -> None:
        if left is None or left.type in ("member_expression", "subscript_expression"):
            return
        stack = [left]
        while stack:
            node = stack.pop()
            if node.type in ("identifier", "shorthand_property_identifier_pattern"):
                self.assigned.add(_text(node))
            stack.extend(node.children)

    def _bound(self, node: Any) -> tuple[Any, Any]:
        """Return (scope, value) of what a name is bound to where that is one thing, (None, None) otherwise."""
        name = _text(node)
        known = self.bindings.get(name, ())
        at = node.parent
        while at is not None:
            here = [(scope, value) for scope, value in known if scope.id == at.id]
            if here:
                is_one = len(here) == 1 and here[0][1] is not None and name not in self.assigned
                return here[0] if is_one else (at, None)
            at = at.parent
        return None, None

    def _touched(self, name: str, scope: Any) -> set[str] | None:
        """Return the members that are set on what a name stands for; None where it may be changed in any way."""
        if (name, scope.id) not in self.known_touches:
            # Whoever asks again while this is worked out asks in a circle.
            self.known_touches[name, scope.id] = None
            self.known_touches[name, scope.id] = self._touches(name, scope)
        return self.known_touches[name, scope.id]

    def _touches(self, name: str, scope: Any) -> set[str] | None:
        out: set[str] = set()
        for use in self.uses.get(name, ()):
            above = use.parent
            if above is None or self._is_binding(use) or self._bound(use)[0] is None:
                continue
            if self._bound(use)[0].id != scope.id:
                continue
            while above.type in _WRAPPERS:
                use, above = above, above.parent
            if above.type in ("member_expression", "subscript_expression") and _is_field(
                above, "object", use
            ):
                key = self._set(above)
                if key is None:
                    return None
                out |= {key} - {""}
            elif not self._is_only_read(use):
                return None
        return out

    def _set(self, member: Any) -> str | None:
        """Return the member that is set here, "" where it is only looked at, None where anything may happen."""
        above = member.parent
        is_set = (
            above.type in ("assignment_expression", "augmented_assignment_expression")
            and _is_field(above, "left", member)
        ) or above.type == "update_expression"
        is_set = is_set or (above.type == "unary_expression" and _text(above).startswith("delete"))
        if is_set:
            if member.type == "member_expression":
                return _text(member.child_by_field_name("property"))
            value = self._value(member.named_children[-1])
            return value if isinstance(value, str) and value else None
        if above.type == "arguments" and self._is_only_read(member):
            return ""
        return "" if _is_looked_at(member) else None

    def _is_binding(self, use: Any) -> bool:
        return use.parent.type == "variable_declarator" and _is_field(use.parent, "name", use)

    def _is_only_read(self, use: Any) -> bool:
        """Tell whether the place a value is used in leaves the value as it is."""
        above = use.parent
        if above.type == "arguments":
            call = above.parent
            called = _text(
                call.child_by_field_name("function") or call.child_by_field_name("constructor") or call
            )
            is_harmless = re.fullmatch(
                r"JSON\.stringify|console\.\w+|Object\.(?:keys|values|entries)|structuredClone|String", called
            )
            return is_harmless is not None or self._request(call) is not None
        if above.type == "spread_element":
            return True
        is_member = use.type == "shorthand_property_identifier" or (
            above.type == "pair" and _is_field(above, "value", use)
        )
        if is_member:
            holder = above if above.type == "object" else above.parent
            name = (
                _text(use)
                if use.type == "shorthand_property_identifier"
                else _key(above.child_by_field_name("key"))
            )
            is_given = holder.parent is not None and holder.parent.type == "arguments"
            return (
                name in ("body", "json", "data")
                and is_given
                and self._request(holder.parent.parent) is not None
            )
        return _is_looked_at(use)

    # calls

    def calls(self) -> Iterator[Call | Found]:
        """Yield the calls of HTTP clients, in the order of the text."""
        for node in self.nodes:
            if node.type not in ("call_expression", "new_expression"):
                continue
            self.left = MOST
            parts = self._request(node)
            if parts is None:
                continue
            call = self._call(node, *parts)
            if call is not None:
                yield call

    def _request(self, node: Any) -> tuple[str, str, list[Any]] | None:
        """Return (client, method or "", arguments) of a call that may send a request, None for any other call."""
        held = node.child_by_field_name("arguments")
        callee = node.child_by_field_name("function") or node.child_by_field_name("constructor")
        if held is None or callee is None or held.type != "arguments":
            return None
        arguments = [one for one in held.named_children if one.type not in ("comment", "spread_element")]
        if node.type == "new_expression":
            return (
                ("fetch", "", arguments) if _text(callee) in ("Request", "URLRequest") and arguments else None
            )
        if callee.type == "await_expression":
            callee = callee.named_children[0]
        if callee.type == "identifier":
            name = _text(callee)
            return (name, "", arguments) if name in _CLIENTS and arguments else None
        if callee.type != "member_expression":
            return None
        name = _text(callee.child_by_field_name("property"))
        client = re.sub(r"^.*\.", "", _text(callee.child_by_field_name("object"))[-80:])
        if not arguments or self._is_stand_in(node, callee, client, arguments):
            return None
        if name == "fetch":
            return "fetch", "", arguments
        if name in METHODS:
            return client, name.upper(), arguments
        return (client, "", arguments) if name == "request" else None

    def _is_stand_in(self, node: Any, callee: Any, client: str, arguments: list[Any]) -> bool:
        """Tell whether a call says what a server does: a route of one, or an answer that a test makes up."""
        if len(arguments) > 1 and arguments[1].type in _FUNCTION_VALUES and client not in _WITH_CALLBACKS:
            return True
        if client in _SERVERS and arguments[0].type == "string" and _string(arguments[0]).startswith("/"):
            return True
        above = node.parent
        if (
            above is not None
            and above.type == "member_expression"
            and re.match(r"reply|respond|mock", _text(above.child_by_field_name("property")))
        ):
            return True
        receiver = callee.child_by_field_name("object")
        if _STAND_IN.search(_text(receiver)[:200]):
            return True
        bound = self._bound(receiver)[1] if receiver.type == "identifier" else None
        return bound is not None and _STAND_IN.search(_text(bound)[:200]) is not None

    def _call(self, node: Any, client: str, method: str, arguments: list[Any]) -> Call | None:
        marks: Marks = {}
        first = self._value(arguments[0])
        is_options_first = isinstance(first, dict)
        if is_options_first:
            options, url = self._options(arguments[0]), first.get("url", MISSING)
            if url is MISSING or method:
                return None
        else:
            url = first
            options = self._options(arguments[1]) if len(arguments) > 1 else {}
            is_client = client in _CLIENTS or re.search(
                r"axios|http|client|api$|request|fetch", client, re.IGNORECASE
            )
            if isinstance(url, Hole) and not isinstance(url, Text) and not is_client:
                return None
        if not is_address(url):
            return None
        body: Any = MISSING
        encoding = "json"
        takes_body = method in ("POST", "PUT", "PATCH") and client not in (
            *_BY_OPTIONS,
            "fetch",
            "$fetch",
            "ofetch",
        )
        given = node.child_by_field_name("arguments")
        if any(one.type == "spread_element" for one in given.named_children):
            options |= {UNPACKED: given}
        keys = options.keys() - {UNPACKED}
        if takes_body and len(arguments) > 1 and not (keys and keys <= _OPTIONS and client != "axios"):
            body = self._value(arguments[1], marks=marks)
            if arguments[1].type == "call_expression" and self._stringified(arguments[1]) is not None:
                marks, encoding = {}, "text"
                body = self._value(self._stringified(arguments[1]), marks=marks)
            options = self._options(arguments[2]) if len(arguments) > 2 else {}
            if isinstance(body, str):
                marks, encoding, body = _json_text(body, marks)
        else:
            body, encoding = self._body(options, client, marks)
            if body is MISSING and method:
                body = self._sent_later(node, marks)
                if body is MISSING and re.match(r"superagent|request|agent", client):
                    # `const asked = superagent.post(url); asked.send(body)`
                    options |= {UNPACKED: node}
        value = {
            name: self._value(one)
            for name, one in options.items()
            if name in ("method", "headers", "baseURL", "params", "searchParams")
        }
        asked: Any = method or value.get("method", "GET" if body is MISSING else "POST")
        if client == "fetch" and "method" not in value and not method:
            asked = "GET"
        query = next((value[name] for name in ("params", "searchParams") if name in value), MISSING)
        if UNPACKED in options:
            asked = asked if method or "method" in value else Hole("method")
            if body is MISSING and str(asked).upper() in ("POST", "PUT", "PATCH"):
                body = Hole("what is spread into the call")
            if query is MISSING and client not in ("fetch", "$fetch"):
                query = Hole("params")
        base = value.get("baseURL")
        if isinstance(base, str | Text) and isinstance(url, str | Text) and "://" not in text_of(url):
            joined = text_of(base).rstrip("/") + "/" + text_of(url).lstrip("/")
            url = joined if isinstance(base, str) and isinstance(url, str) else Text(joined)
        line, column = self.position(node)
        return Call(
            line=line,
            column=column,
            url=url,
            method=asked.upper() if isinstance(asked, str) else asked,
            headers=value.get("headers"),
            query=query,
            body=body,
            encoding=encoding,
            places=known_places({format_pointer(list(path)): place for path, place in marks.items()}),
        )

    def _options(self, node: Any, level: int = 0) -> dict[str, Any]:
        """Return the members of an object of options, as nodes; by name too."""
        node = _unwrapped(node)
        if node.type == "identifier" and level < DEEPEST:
            scope, value = self._bound(node)
            # What is set on it later may be anything.
            if value is None or self._touched(_text(node), scope) != set():
                return {UNPACKED: node}
            return self._options(value, level + 1)
        if node.type in ("undefined", "null"):
            return {}
        if node.type != "object":
            return {UNPACKED: node}
        out: dict[str, Any] = {}
        for one in node.named_children:
            if one.type == "pair":
                out[_key(one.child_by_field_name("key"))] = one.child_by_field_name("value")
            elif one.type == "shorthand_property_identifier":
                out[_text(one)] = one
            elif one.type == "spread_element":
                inner = (
                    self._options(one.named_children[0], level + 1) if level < DEEPEST else {UNPACKED: one}
                )
                if UNPACKED in inner:
                    # It may say once more what was said before it; that a method is said twice is unheard of.
                    out = {name: value if name in ("method", "url") else one for name, value in out.items()}
                out |= inner
        return out

    def _body(self, options: dict[str, Any], client: str, marks: Marks) -> tuple[Any, str]:
        for name in ("json", "data", "body"):
            given = options.get(name)
            if given is None or given.type in ("undefined", "null"):
                continue
            held = self._stringified(given)
            if held is not None:
                return self._value(held, marks=marks), "text"
            value = self._value(given, marks=marks)
            if isinstance(value, Hole):
                return value, "text"
            if isinstance(value, str):
                held_marks, encoding, value = _json_text(value, marks)
                marks.clear()
                marks |= held_marks
                return value, encoding
            if name == "body" and client in ("fetch", "got", "ky"):
                # Of what is no text, these send something else than JSON.
                return Hole(_text(given)[:60]), "text"
            return value, "json"
        if "form" in options:
            return Hole("a form"), "unknown"
        return MISSING, "json"

    def _stringified(self, node: Any, level: int = 0) -> Any:
        """Return what a text is the JSON of, also by a name; None for other texts."""
        node = _unwrapped(node)
        if node.type in ("identifier", "shorthand_property_identifier") and level < DEEPEST:
            _, value = self._bound(node)
            return self._stringified(value, level + 1) if value is not None else None
        if node.type != "call_expression" or _text(node.child_by_field_name("function")) != "JSON.stringify":
            return None
        arguments = [
            one for one in node.child_by_field_name("arguments").named_children if one.type != "comment"
        ]
        if not arguments or (len(arguments) > 1 and arguments[1].type not in ("null", "undefined")):
            return None
        return arguments[0]

    def _sent_later(self, node: Any, marks: Marks) -> Any:
        """Return what a chain of calls sends: `.post(url).set(...).send({...})`."""
        for _ in range(DEEPEST):
            member = node.parent
            call = member.parent if member is not None and member.type == "member_expression" else None
            if call is None or call.type != "call_expression":
                return MISSING
            if _text(member.child_by_field_name("property")) == "send":
                arguments = call.child_by_field_name("arguments").named_children
                return self._value(arguments[0], marks=marks) if arguments else MISSING
            node = call
        return MISSING

    # values

    def _value(
        self, node: Any, *, at: tuple[str | int, ...] = (), marks: Marks | None = None, level: int = 0
    ) -> Any:
        """Return the value of an expression, a hole for what only running it would tell."""
        marks = {} if marks is None else marks
        node = _unwrapped(node)
        self.left -= 1
        if level > DEEPEST or self.left < 0 or node.has_error:
            return Hole(_shown(node))
        marks.setdefault(at, self.position(node))
        match node.type:
            case "string":
                return _string(node)
            case "template_string":
                return self._template(node, level)
            case "number":
                return _number(_text(node))
            case "true" | "false":
                return node.type == "true"
            case "null":
                return None
            case "undefined":
                return MISSING
            case "object":
                return self._object(node, at, marks, level)
            case "array":
                return self._array(node, at, marks, level)
            case "unary_expression":
                inner = self._value(node.child_by_field_name("argument"), level=level + 1)
                is_minus = _text(node.child_by_field_name("operator")) == "-"
                is_number = isinstance(inner, int | float) and not isinstance(inner, bool)
                return -inner if is_minus and is_number else Hole(_shown(node))
            case "binary_expression":
                if _text(node.child_by_field_name("operator")) == "+":
                    return self._sum(node, level)
            case "identifier" | "shorthand_property_identifier":
                return self._named(node, at, marks, level)
            case "new_expression" if _text(node.child_by_field_name("constructor")) == "URL":
                # new URL("/path", base) leaves a full address as it is, and a path is enough to tell whose it is.
                given = node.child_by_field_name("arguments")
                if given is not None and given.named_children:
                    return self._value(given.named_children[0], level=level + 1)
        return Hole(_shown(node))

    def _sum(self, node: Any, level: int) -> Any:
        left = self._value(node.child_by_field_name("left"), level=level + 1)
        right = self._value(node.child_by_field_name("right"), level=level + 1)
        if isinstance(left, str) and isinstance(right, str):
            return left + right
        is_text = isinstance(left, str | Text) or isinstance(right, str | Text)
        if is_text and all(isinstance(one, str | Hole) for one in (left, right)):
            return Text(text_of(left) + text_of(right))
        return Hole(_shown(node))

    def _named(self, node: Any, at: tuple[str | int, ...], marks: Marks, level: int) -> Any:
        name = _text(node)
        scope, bound = self._bound(node)
        if bound is None:
            return Hole(name)
        if bound.id in self.resolving:
            return Hole(name)
        self.resolving.add(bound.id)
        value = self._value(bound, at=at, marks=marks, level=level + 1)
        self.resolving.discard(bound.id)
        if isinstance(value, Hole):
            return value if isinstance(value, Text) else Hole(name)
        if not isinstance(value, dict | list):
            return value
        touched = self._touched(name, scope)
        if touched is None or (touched and isinstance(value, list)):
            return Hole(name)
        return (
            type(value)({**value, **{key: Hole(key) for key in touched}})
            if isinstance(value, dict)
            else value
        )

    def _object(self, node: Any, at: tuple[str | int, ...], marks: Marks, level: int) -> Any:
        out: dict[str, Any] = {}
        is_open = False
        for one in node.named_children:
            if one.type == "comment":
                continue
            name: str | None = None
            held: Any = Hole(_shown(one))
            if one.type == "pair":
                key = one.child_by_field_name("key")
                name = self._key(key, level)
                if name is not None:
                    _forget(marks, (*at, name))
                    marks[(*at, name)] = self.position(key)
                    held = self._value(
                        one.child_by_field_name("value"), at=(*at, name), marks=marks, level=level + 1
                    )
            elif one.type == "shorthand_property_identifier":
                name = _text(one)
                _forget(marks, (*at, name))
                marks[(*at, name)] = self.position(one)
                held = self._value(one, at=(*at, name), marks=marks, level=level + 1)
            elif one.type == "method_definition":
                # A function is left out when JSON is written; a getter is not.
                name = _text(one.child_by_field_name("name"))
            elif one.type == "spread_element":
                inner = self._value(one.named_children[0], at=at, marks=marks, level=level + 1)
                if isinstance(inner, dict):
                    if isinstance(inner, Open):
                        is_open, out = True, {known: Hole(known) for known in out}
                    out |= inner
                    continue
            if name is None:
                is_open, out = True, {known: Hole(known) for known in out}
            elif held is MISSING:
                out.pop(name, None)
            else:
                out[name] = held
        return Open(out) if is_open else out

    def _key(self, node: Any, level: int) -> str | None:
        if node.type == "computed_property_name":
            value = self._value(node.named_children[0], level=level + 1)
            return value if isinstance(value, str) else None
        return _key(node)

    def _array(self, node: Any, at: tuple[str | int, ...], marks: Marks, level: int) -> Any:
        items = [one for one in node.named_children if one.type != "comment"]
        signs = [one.type for one in node.children if one.type != "comment"]
        is_spread = any(one.type == "spread_element" for one in items)
        if is_spread or any(pair in (("[", ","), (",", ",")) for pair in itertools.pairwise(signs)):
            return Hole(_shown(node))
        out = []
        for index, one in enumerate(items):
            marks[(*at, index)] = self.position(one)
            value = self._value(one, at=(*at, index), marks=marks, level=level + 1)
            out.append(None if value is MISSING else value)
        return out

    def _template(self, node: Any, level: int) -> Any:
        parts: list[Any] = []
        for one in node.named_children:
            if one.type == "string_fragment":
                parts.append(_text(one))
            elif one.type == "escape_sequence":
                parts.append(_unescaped(_text(one)))
            elif one.type == "template_substitution":
                held = one.named_children[0] if one.named_children else None
                value = self._value(held, level=level + 1) if held is not None else Hole("x")
                is_plain = isinstance(value, str | int | Text) and not isinstance(value, bool)
                parts.append(value if is_plain else Hole(_shown(held) if held is not None else "x"))
        if not any(isinstance(one, Hole) for one in parts):
            return _paired("".join(map(str, parts)))
        return Text("".join(map(text_of, parts)))


def _json_text(text: str, marks: Marks) -> tuple[Marks, str, Any]:
    """Return (places, how it is sent, body) of a text that is given as a body."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    known = value if isinstance(value, dict) else Hole("a text")
    return {path: at for path, at in marks.items() if not path}, "text", known


def _forget(marks: Marks, path: tuple[str | int, ...]) -> None:
    for below in [one for one in marks if one[: len(path)] == path]:
        del marks[below]


def _text(node: Any) -> str:
    return str(node.text.decode("utf-8", "replace")) if node is not None else ""


def _shown(node: Any) -> str:
    return " ".join(_text(node)[:80].split())[:60]


def _unwrapped(node: Any) -> Any:
    while node.type in _WRAPPERS and node.named_children:
        node = node.named_children[0]
    return node


def _is_field(node: Any, field: str, child: Any) -> bool:
    held = node.child_by_field_name(field)
    return held is not None and bool(held.id == child.id)


def _is_looked_at(use: Any) -> bool:
    """Tell whether the place a value is used in gives it to nobody."""
    above = use.parent
    match above.type:
        case "ternary_expression":
            return _is_field(above, "condition", use)
        case "binary_expression":
            return _text(above.child_by_field_name("operator")) not in ("&&", "||", "??")
        case "subscript_expression":
            return not _is_field(above, "object", use)
    return above.type in _LOOKING


def _key(node: Any) -> str:
    """Return the name of a member."""
    if node is None:
        return ""
    if node.type == "string":
        return _string(node)
    if node.type == "number":
        value = _number(_text(node))
        return str(value) if isinstance(value, int) else _text(node)
    return _text(node)


def _string(node: Any) -> str:
    parts = [
        _unescaped(_text(one)) if one.type == "escape_sequence" else _text(one) for one in node.named_children
    ]
    return _paired("".join(parts))


_SIMPLE: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def _unescaped(text: str) -> str:
    """Return what an escape sequence stands for.  Source: ECMA-262, String Literals."""
    body = text[1:]
    if found := re.fullmatch(r"u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})", body):
        code = int(next(one for one in found.groups() if one), 16)
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    if body in ("\n", "\r\n", "\r", "\u2028", "\u2029"):
        return ""
    return _SIMPLE.get(body, body)


def _paired(text: str) -> str:
    """Return a text with pairs of surrogates, each escaped on its own, put together."""
    if not any("\ud800" <= sign <= "\udfff" for sign in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(text: str) -> Any:
    plain = text.replace("_", "")
    try:
        if re.match(r"0[xXbBoO]", plain):
            return int(plain, 0)
        value = float(plain)
    except ValueError:
        return Hole(text)
    if value.is_integer() and abs(value) < 2**53:
        # JSON has one kind of number in JavaScript: 5.0 is written as 5.
        return int(value)
    return value if value not in (float("inf"), float("-inf")) else Hole(text)
