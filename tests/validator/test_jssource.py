"""Calls in JavaScript and TypeScript programs: what is read off, what is left open, and where it stands."""

from __future__ import annotations

import builtins
import json
from typing import Any

import pytest

from tests.validator.test_pysource import URL, body
from validator import jssource
from validator.addresses import Library
from validator.found import Found
from validator.lint import judge
from validator.readers import read_requests


def found(text: str, name: str = "app.ts") -> list[Found]:
    return list(read_requests(text.encode(), name=name))


def only(text: str, name: str = "app.ts") -> Found:
    (one,) = found(text, name)
    return one


def sent(code: str, expression: str, name: str = "app.ts") -> Any:
    """Return the body of a call that sends an expression."""
    return body(only(f"{code}\naxios.post('{URL}', {expression});", name))


# --- calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["app.js", "app.ts", "app.tsx", "app.mjs", "app.jsx", "app.cts"])
@pytest.mark.parametrize(
    "call",
    [
        "fetch('{url}', {{method: 'POST', body: JSON.stringify({body})}})",
        "await fetch(`{url}`, {{method: 'post', headers, body: JSON.stringify({body}, null, 2)}})",
        "window.fetch('{url}', {{method: 'POST', body: JSON.stringify({body})}})",
        "new Request('{url}', {{method: 'POST', body: JSON.stringify({body})}})",
        "$fetch('{url}', {{method: 'POST', body: {body}}})",
        "axios.post('{url}', {body})",
        "axios.post('{url}', {body}, {{headers: {{a: 'b'}}}})",
        "axios.post('{url}', JSON.stringify({body}))",
        "axios({{method: 'post', url: '{url}', data: {body}}})",
        "axios('{url}', {{method: 'post', data: {body}}})",
        "axios.request({{baseURL: 'https://api.toy.example/', url: '/api/clips', method: 'POST', data: {body}}})",
        "this.client.post('/api/clips', {body})",
        "got.post('{url}', {{json: {body}}})",
        "ky.post('{url}', {{json: {body}, timeout: 5}}).json()",
        "request.post('{url}', {{data: {body}}})",
        "superagent.post('{url}').set('a', 'b').send({body})",
    ],
)
def test_a_call_is_read(call: str, name: str) -> None:
    one = only(call.format(url=URL, body="{prompt: 'a', \"n\": [1, -2.5, null, true,],}"), name)

    assert one.request is not None
    assert ("POST", "/api/clips") == (one.request.method, one.request.path)
    assert {"prompt": "a", "n": [1, -2.5, None, True]} == body(one)


@pytest.mark.parametrize(
    "code",
    [
        "map.get('a/b c')",
        "cache.delete(key)",
        "items.post",
        "new Map().get(key)",
        "path.request",
        "gql`{ a }`",
        "fetch()",
    ],
)
def test_what_is_no_request_is_none(code: str) -> None:
    assert ["no call of an HTTP client in it"] == [one.fault for one in found(code)]


def test_a_call_without_a_method_asks() -> None:
    one = only(f"fetch('{URL}/7')")

    assert one.request is not None
    assert ("GET", b"") == (one.request.method, one.request.body)


@pytest.mark.parametrize(
    "given",
    ["body: form", "body: {prompt: 'a'}", "body: new FormData()", "body: JSON.stringify(x, replacer)"],
)
def test_a_body_that_is_not_seen_is_said_to_be_missing(given: str) -> None:
    one = only(f"fetch('{URL}', {{method: 'POST', {given}}})")

    assert (False, "its body is only known when the program runs") == (one.has_body, one.unread)


def test_markup_and_types_confuse_nothing() -> None:
    code = f"""
type Body<T extends object = {{}}> = {{ prompt: string }} & T;
export const Button = ({{ prompt }}: Props) => (
  <button title="it's" onClick={{async () => {{
    await axios.post<Answer>('{URL}', {{ prompt: "don't", model: 'a1' as const, seconds: 5 satisfies number }})
  }}}}>Don't {{`click ${{prompt}}`}} // here</button>
);
@Injectable() class A {{ constructor(private readonly http: Http) {{}} }}
enum Model {{ A1 = 'a1' }}
"""

    assert {"prompt": "don't", "model": "a1", "seconds": 5} == body(only(code, "app.tsx"))


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expression", "expected"),
    [
        ("const A = 'a1';", "{model: A}", {"model": "a1"}),
        ("let A = 'a1';", "{A}", {"A": "a1"}),
        ("const A = {x: 1, y: 2};", "{w: 0, ...A, y: 3}", {"w": 0, "x": 1, "y": 3}),
        ("const A = {x: 1} as const;", "A", {"x": 1}),
        ("const A = Object.freeze;", "{a: undefined, b: 1}", {"b": 1}),
        ("", "{'a b': 1, 2: 3, ['c']: 4}", {"a b": 1, "2": 3, "c": 4}),
        ("", "{a: 0x10, b: 1_000, c: 5.0, d: .5, e: 1e3}", {"a": 16, "b": 1000, "c": 5, "d": 0.5, "e": 1000}),
        ("", r"{a: '\u0041\x42\u{1F600}\n\'', b: '\uD83D\uDE00'}", {"a": "AB😀\n'", "b": "😀"}),
        ("const N = 5;", "{a: `x${N}y`, b: 'x' + 'y'}", {"a": "x5y", "b": "xy"}),
        ("", "{a: [1, /* two */ 2] /* c */, // d\n b: (3)}", {"a": [1, 2], "b": 3}),
    ],
)
def test_a_value_is_read(code: str, expression: str, expected: Any) -> None:
    assert expected == sent(code, expression)


@pytest.mark.parametrize(
    ("code", "expression", "expected"),
    [
        ("", "{a: x, b: 1}", {"a": "?x", "b": 1}),
        ("", "{prompt, b: 1}", {"prompt": "?prompt", "b": 1}),
        ("", "{a: f(1)}", {"a": "?f(1)"}),
        ("", "{a: c ? 1 : 2}", {"a": "?c ? 1 : 2"}),
        ("", "{a: x ?? 'y'}", {"a": "?x ?? 'y'"}),
        ("", "{a: [1, ...more]}", {"a": "?[1, ...more]"}),
        ("", "{a: [1, , 2]}", {"a": "?[1, , 2]"}),
        ("", "{a: 1, ...more, b: 2}", {"a": "?a", "b": 2, "...": 1}),
        ("", "{a: 1, [key]: 2}", {"a": "?a", "...": 1}),
        ("let A = 1; A = 2;", "{a: A}", {"a": "?A"}),
        ("let A = 1; A++;", "{a: A}", {"a": "?A"}),
        ("let A = 1; ({A} = x);", "{a: A}", {"a": "?A"}),
        ("import A from 'x';", "{a: A}", {"a": "?A"}),
        ("import {B as A} from 'x';", "{a: A}", {"a": "?A"}),
        ("const {A} = x;", "{a: A}", {"a": "?A"}),
        ("const [A = 1] = x;", "{a: A}", {"a": "?A"}),
        ("enum A {B}", "{a: A.B}", {"a": "?A.B"}),
        ("function A() {}", "{a: A}", {"a": "?A"}),
        (
            "",
            "{a: -x, b: 5n, c: NaN, d: /x/, e() {}}",
            {"a": "?-x", "b": "?5n", "c": "?NaN", "d": "?/x/", "e": "?e() {}"},
        ),
    ],
)
def test_what_only_running_would_tell_is_open(code: str, expression: str, expected: Any) -> None:
    assert expected == sent(code, expression)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("", {"a": 1, "b": {"c": 2}}),
        ("console.log(A, `${A.a}`); if (A.a > 1) {}", {"a": 1, "b": {"c": 2}}),
        ("JSON.stringify(A); Object.keys(A); const B = {...A};", {"a": 1, "b": {"c": 2}}),
        ("A.x = 1;", {"a": 1, "b": {"c": 2}, "x": "?x"}),
        ("A['x'] = 1;", {"a": 1, "b": {"c": 2}, "x": "?x"}),
        ("A.a++;", {"a": "?a", "b": {"c": 2}}),
        ("delete A.a;", {"a": "?a", "b": {"c": 2}}),
        ("A[key] = 1;", "?"),
        ("A.b.c = 3;", "?"),
        ("Object.assign(A, {x: 1});", "?"),
        ("const inner = A.b;", "?"),
        ("change(A);", "?"),
        ("const B = A;", "?"),
        ("const B = {A};", "?"),
        ("const f = () => A;", "?"),
        ("function f() { A.a = 2; }", {"a": "?a", "b": {"c": 2}}),
    ],
)
def test_an_object_that_may_be_changed_is_open_as_far_as_it_may(change: str, expected: Any) -> None:
    one = only(f"const A = {{a: 1, b: {{c: 2}}}};\n{change}\naxios.post('{URL}', A);")

    assert expected == (body(one) if one.has_body else "?")


def test_a_name_means_what_the_nearest_scope_binds() -> None:
    call = f"axios.post('{URL}', {{a: A}})"
    code = f"""
const A = 'outer';
function first(A: string) {{ {call} }}
function second() {{ const A = 'inner'; {call} }}
function third() {{ {call} }}
const fourth = A => {call};
try {{}} catch (A) {{ {call} }}
for (const A of x) {{ {call} }}
{{ let A = 'block'; {call} }}
"""

    assert ["?A", "inner", "outer", "?A", "?A", "?A", "block"] == [body(one)["a"] for one in found(code)]


@pytest.mark.parametrize(
    ("expression", "url"),
    [
        ("`${process.env.BASE}/api/clips`", "{process.env.BASE}/api/clips"),
        ("BASE + '/api/clips'", URL),
        ("new URL('/api/clips', base)", "/api/clips"),
        ("config.url", None),
    ],
)
def test_a_url_is_put_together(expression: str, url: str | None) -> None:
    code = "const BASE = 'https://api.toy.example';"

    one = only(f"{code}\naxios.post({expression}, {{prompt: 'a'}})")

    assert url == (one.request.url if one.request is not None and one.request.url else None)
    assert bool(one.unread) == (url is None)


# --- places -----------------------------------------------------------------------------------------------


def test_a_member_has_the_place_where_it_is_written() -> None:
    line = f"const é = '😀'; axios.post('{URL}', {{ '😀': 1, prompt: [1, {{ x: 2 }}], ...BASE }});"

    one = only(f"const BASE = {{\n  model: 'a1' }};\n{line}")

    assert (3, line.index("axios") + 1) == (one.line, one.column)
    assert (3, line.index("prompt") + 1) == one.position("/prompt")
    assert (3, line.index("x: 2") + 1) == one.position("/prompt/1/x")
    assert (2, 3) == one.position("/model")


# --- what cannot be read ----------------------------------------------------------------------------------


def test_a_program_with_mistakes_is_read_as_far_as_it_goes() -> None:
    code = f"axios.post('{URL}', {{prompt: 'a'}});\nlet = = {{;\naxios.post('{URL}', {{prompt: }});"

    first, *_ = found(code)

    assert {"prompt": "a"} == body(first)


@pytest.mark.parametrize("text", ["(" * 20_000, "{a:" * 20_000, "`${" * 5_000, "a?.".ljust(20_000, "b")])
def test_a_program_without_end_is_read_soon(text: str) -> None:
    assert found(text)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("tree_sitter"):
            raise ImportError(name)
        return real(name, *args, **more)

    jssource._parser.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)

    named = only(f"fetch('{URL}')")
    (offered,) = read_requests(b"fetch()", name="x.js", is_offered=True)

    assert "pip install 'understudy[lint]'" in named.fault
    assert "pip install 'understudy[lint]'" in judge(offered, Library(contracts={})).unread


def test_values_survive_as_json() -> None:
    value = {"a": [1, {"b": None, "c": "é\n\"'"}], "d": 1.5, "e": True, "f": -3}

    assert value == sent("", json.dumps(value), "app.js")


# --- what is no request, and what is not all of one ---------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "app.post('{path}', (req, res) => res.json({{code: 0}}))",
        "router.post('{path}', auth, handler)",
        "fastify.post('{path}', {{schema: {{}}}}, handler)",
        "nock('https://api.toy.example').post('{path}').reply(200, {{code: 0}})",
        "const scope = nock('https://api.toy.example'); scope.post('{path}', {{a: 1}})",
        "http.post('{url}', () => HttpResponse.json({{code: 0}}))",
        "rest.post('{url}', async function (req, res, ctx) {{ return res(ctx.json({{}})); }})",
        "fetchMock.post('{url}', {{code: 0}})",
    ],
)
def test_a_route_of_a_server_and_an_answer_made_up_by_a_test_are_no_requests(code: str) -> None:
    (one,) = found(code.format(url=URL, path="/api/clips"))
    assert one.fault == "no call of an HTTP client in it"


@pytest.mark.parametrize(
    "call",
    [
        "fetch('{url}', {{method: 'POST', ...options}})",
        "fetch('{url}', {{method: 'POST', body: JSON.stringify({{a: 1}}), ...options}})",
        "fetch('{url}', {{...options, method: 'POST'}})",
        "axios.post('{url}', ...rest)",
        "got.post('{url}', options)",
        "got.post('{url}', {{json: {{a: 1}}, ...options}})",
        "client.post('{url}', {{json: {{a: 1}}, ...options}})",
        "superagent.post('{url}')",
    ],
)
def test_what_is_spread_into_a_call_may_be_its_body(call: str) -> None:
    one = only(call.format(url=URL))
    assert (one.has_body, one.unread) == (False, "its body is only known when the program runs")


def test_what_is_said_after_a_spread_is_what_counts() -> None:
    assert body(only(f"fetch('{URL}', {{...o, method: 'POST', body: JSON.stringify({{a: 1}})}})")) == {"a": 1}


def test_options_that_are_not_known_may_hold_the_method() -> None:
    for call in (f"fetch('{URL}', options)", f"fetch('{URL}', {{...options}})"):
        assert only(call).unread == "its method is only known when the program runs"
    for call in (f"fetch('{URL}')", f"fetch('{URL}', undefined)", f"fetch('{URL}', {{headers: {{}}}})"):
        request = only(call).request
        assert request is not None
        assert request.method == "GET"


@pytest.mark.parametrize(
    "change",
    [
        "A['b']['c'] = 3",
        "delete A['b']['c']",
        "const other = big ? A : {}; other.a = 2",
        "const other = A || {}; other.a = 2",
        "const other = given ?? A; other.a = 2",
    ],
)
def test_an_object_that_is_changed_by_another_way_is_open(change: str) -> None:
    assert only(f"const A = {{a: 1, b: {{}}}}; {change}; axios.post('{URL}', A)").unread


def test_an_object_that_is_only_compared_is_known() -> None:
    assert sent("const A = {a: 1}; if (A === b) go(); x[A.a] = 1; y = A ? 1 : 2;", "A") == {"a": 1}


@pytest.mark.parametrize(
    "call",
    [
        """fetch('{url}', {{method: 'POST', body: '{{"a": 1}}'}})""",
        """axios.post('{url}', '{{"a": 1}}')""",
    ],
)
def test_json_written_as_a_text_is_read(call: str) -> None:
    assert body(only(call.format(url=URL))) == {"a": 1}
    assert only(call.format(url=URL).replace('{"a": 1}', "no JSON")).unread
