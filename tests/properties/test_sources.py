"""Law: what is read off a program is what it sends when it runs, whatever it does before; the rest is left open."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from validator.contract.expressions import MISSING
from validator.partial import Hole, Open
from validator.readers import read_requests

URL = "https://api.toy.example/api/clips"
NAMES = st.sampled_from(["A", "B", "C"])
KEYS = st.sampled_from(["k", "l", "m"])
SCALARS = st.sampled_from([1, 2, "x", "y", True, None, -5, 1.5])

# Expressions and statements are trees: tuples that begin with what they are.
EXPRESSIONS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.tuples(st.just("value"), SCALARS),
        st.tuples(st.just("name"), NAMES),
        st.tuples(st.just("member"), NAMES, KEYS),
        st.tuples(st.just("joined"), NAMES),
    ),
    lambda inner: st.one_of(
        st.tuples(
            st.just("object"),
            st.lists(st.tuples(KEYS, inner) | st.tuples(st.just("..."), NAMES), max_size=4).map(tuple),
        ),
        st.tuples(st.just("list"), st.lists(inner, max_size=2).map(tuple)),
        st.tuples(st.just("choice"), inner, inner),
    ),
    max_leaves=5,
)
STATEMENTS = st.one_of(
    st.tuples(st.just("assign"), NAMES, EXPRESSIONS),
    st.tuples(st.just("set"), NAMES, KEYS, EXPRESSIONS),
    st.tuples(st.just("deep"), NAMES, KEYS, KEYS),
    st.tuples(st.just("delete"), NAMES, KEYS),
    st.tuples(st.just("update"), NAMES, EXPRESSIONS),
    st.tuples(st.just("maybe"), NAMES, EXPRESSIONS),
    st.tuples(st.just("inside"), NAMES, KEYS, EXPRESSIONS),
    st.tuples(st.just("change"), NAMES),
    st.tuples(st.just("look"), NAMES, KEYS),
    st.tuples(st.just("shadow"), NAMES, EXPRESSIONS),
)
PROGRAMS = st.tuples(
    st.lists(EXPRESSIONS, min_size=3, max_size=3),
    st.lists(STATEMENTS, max_size=5),
    EXPRESSIONS,
    st.booleans(),
)
"""(first values of A, B and C; what happens then; what is sent; whether it is sent out of a function)"""


class Python:
    def expression(self, tree: Any) -> str:
        match tree:
            case ("value", value):
                return repr(value)
            case ("name", name):
                return str(name)
            case ("member", name, key):
                return f"{name}['{key}']"
            case ("joined", name):
                return f"f'a{{{name}}}'"
            case ("object", entries):
                parts = [
                    f"**{value}" if key == "..." else f"'{key}': {self.expression(value)}"
                    for key, value in entries
                ]
                return "{" + ", ".join(parts) + "}"
            case ("list", items):
                return "[" + ", ".join(map(self.expression, items)) + "]"
            case ("choice", first, second):
                return f"({self.expression(first)} if flag else {self.expression(second)})"
        raise AssertionError(tree)

    def statement(self, tree: Any, number: int) -> str:
        match tree:
            case ("assign", name, value):
                return f"{name} = {self.expression(value)}"
            case ("set", name, key, value):
                return f"{name}['{key}'] = {self.expression(value)}"
            case ("deep", name, key, inner):
                return f"{name}['{key}']['{inner}'] = 7"
            case ("delete", name, key):
                return f"del {name}['{key}']"
            case ("update", name, value):
                return f"{name}.update({self.expression(value)})"
            case ("maybe", name, value):
                return f"if flag:\n    {name} = {self.expression(value)}"
            case ("inside", name, key, value):
                return f"def f{number}():\n    {name}['{key}'] = {self.expression(value)}\nf{number}()"
            case ("change", name):
                return f"change({name})"
            case ("look", name, key):
                return f"print({name}, {name}.get('{key}'))"
            case ("shadow", name, value):
                return f"def f{number}({name}):\n    {name} = {self.expression(value)}\nf{number}(1)"
        raise AssertionError(tree)

    def program(self, drawn: Any) -> str:
        first, statements, sent, is_inside = drawn
        lines = [f"{name} = {self.expression(one)}" for name, one in zip("ABC", first, strict=True)]
        lines += [self.statement(one, number) for number, one in enumerate(statements)]
        call = f"requests.post('{URL}', json={self.expression(sent)})"
        return "\n".join([*lines, f"def send():\n    {call}\nsend()" if is_inside else call]) + "\n"


class JavaScript(Python):
    def expression(self, tree: Any) -> str:
        match tree:
            case ("value", value):
                return json.dumps(value)
            case ("member", name, key):
                return f"{name}.{key}"
            case ("joined", name):
                return f"`a${{{name}}}`"
            case ("object", entries):
                parts = [
                    f"...{value}" if key == "..." else f"{key}: {self.expression(value)}"
                    for key, value in entries
                ]
                return "{" + ", ".join(parts) + "}"
            case ("choice", first, second):
                return f"(flag ? {self.expression(first)} : {self.expression(second)})"
        return super().expression(tree)

    def statement(self, tree: Any, number: int) -> str:
        match tree:
            case ("set", name, key, value):
                return f"{name}.{key} = {self.expression(value)};"
            case ("deep", name, key, inner):
                return f"{name}.{key}.{inner} = 7;"
            case ("delete", name, key):
                return f"delete {name}.{key};"
            case ("update", name, value):
                return f"Object.assign({name}, {self.expression(value)});"
            case ("maybe", name, value):
                return f"if (flag) {{ {name} = {self.expression(value)}; }}"
            case ("inside", name, key, value):
                return f"function f{number}() {{ {name}.{key} = {self.expression(value)}; }} f{number}();"
            case ("look", name, key):
                return f"console.log({name}, `${{{name}.{key}}}`);"
            case ("shadow", name, value):
                return f"{{ const {name} = {self.expression(('value', 1))}; }}"
        return super().statement(tree, number) + ";"

    def program(self, drawn: Any) -> str:
        first, statements, sent, is_inside = drawn
        lines = [f"let {name} = {self.expression(one)};" for name, one in zip("ABC", first, strict=True)]
        lines += [self.statement(one, number) for number, one in enumerate(statements)]
        call = f"axios.post('{URL}', {self.expression(sent)});"
        return "\n".join([*lines, f"function send() {{ {call} }} send();" if is_inside else call]) + "\n"


def read(text: str, name: str) -> Any:
    """Return the body that is read off a program, a hole for none."""
    (one,) = read_requests(text.encode(), name=name)
    if not one.has_body or one.request is None:
        return Hole("everything")
    if one.value is not MISSING:
        return one.value
    # Nothing is sent for `json=None`.
    return json.loads(one.request.body) if one.request.body else None


def agrees(known: Any, real: Any) -> bool:
    """Tell whether what was read is what was sent, as far as it claims to be."""
    if isinstance(known, Hole):
        return not known.is_text or (isinstance(real, str) and real != "")
    if isinstance(known, dict):
        if not isinstance(real, dict) or (not isinstance(known, Open) and real.keys() - known.keys()):
            return False
        return all(
            agrees(one, real[name]) if name in real else isinstance(one, Hole) and not one.is_text
            for name, one in known.items()
        )
    if isinstance(known, list):
        return isinstance(real, list) and len(known) == len(real) and all(map(agrees, known, real))
    return type(known) is type(real) and bool(known == real)


class Requests:
    """Takes what a program sends, as it is at that moment."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def post(self, url: str, json: Any) -> None:
        self.sent.append(_copied(json))


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def change(value: Any) -> None:
    if isinstance(value, dict):
        value["k"] = "changed"


@settings(max_examples=150)
@given(PROGRAMS, st.booleans())
def test_what_is_read_off_python_is_what_it_sends(drawn: Any, flag: bool) -> None:
    text = Python().program(drawn)
    client = Requests()

    known = read(text, "app.py")

    try:
        exec(text, {"requests": client, "flag": flag, "change": change, "print": lambda *_: None})
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError, NameError):
        return
    assert agrees(known, client.sent[0]), text


RUNNER = """
const out = [];
for (const [code, flag] of JSON.parse(require('fs').readFileSync(0, 'utf8'))) {
  let sent;
  const change = value => { if (value && typeof value === 'object') value.k = 'changed'; };
  const axios = { post: (url, body) => { sent ??= JSON.stringify({ body }); } };
  try {
    new Function('axios', 'flag', 'change', 'console', code)(axios, flag, change, { log() {} });
    out.push(JSON.parse(sent));
  } catch { out.push(null); }
}
process.stdout.write(JSON.stringify(out));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed here")
@settings(max_examples=2, phases=[Phase.generate])
@given(st.lists(st.tuples(PROGRAMS, st.booleans()), min_size=40, max_size=40))
def test_what_is_read_off_javascript_is_what_it_sends(drawn: Any) -> None:
    texts = [(JavaScript().program(one), flag) for one, flag in drawn]

    done = subprocess.run(
        ["node", "-e", RUNNER], input=json.dumps(texts), capture_output=True, text=True, check=True
    )

    for (text, _), real in zip(texts, json.loads(done.stdout), strict=True):
        if real is not None and "body" in real:
            assert agrees(read(text, "app.js"), real["body"]), text
