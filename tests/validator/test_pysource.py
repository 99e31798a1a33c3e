"""Calls in Python programs: what is read off, what is left open, and where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from validator.contract.expressions import MISSING
from validator.found import Found
from validator.partial import Hole, Open
from validator.readers import read_requests

URL = "https://api.toy.example/api/clips"


def found(text: str, name: str = "app.py") -> list[Found]:
    return list(read_requests(text.encode(), name=name))


def only(text: str) -> Found:
    (one,) = found(text)
    return one


def plain(value: Any) -> Any:
    """Return a value with its holes written as '?name', open objects with a member '...'."""
    if isinstance(value, Hole):
        return f"?{value.name}"
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()} | (
            {"...": 1} if isinstance(value, Open) else {}
        )
    return [plain(one) for one in value] if isinstance(value, list) else value


def body(one: Found) -> Any:
    assert one.request is not None, one
    return plain(one.value) if one.value is not MISSING else json.loads(one.request.body)


def sent(code: str, expression: str) -> Any:
    """Return the body of a call that sends an expression."""
    return body(only(f"{code}\nimport requests\nrequests.post('{URL}', json={expression})\n"))


# --- calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "requests.post('{url}', json={body})",
        "requests.post(url='{url}', json={body})",
        "requests.post('{url}', None, {body})",
        "requests.post('{url}', data=json.dumps({body}))",
        "requests.post('{url}', json.dumps({body}))",
        "requests.request('POST', '{url}', json={body})",
        "requests.request(method='post', url='{url}', json={body})",
        "session.request('POST', '{url}', json={body})",
        "httpx.post('{url}', json={body})",
        "httpx.Client(timeout=5).post('{url}', content=json.dumps({body}))",
        "self.client.post('{url}', json={body})",
        "client.stream('POST', '{url}', json={body})",
        "client.build_request('POST', '{url}', json={body})",
        "httpx.Request('POST', '{url}', json={body})",
        "urllib.request.Request('{url}', data=json.dumps({body}).encode(), method='POST')",
        "Request('{url}', json.dumps({body}).encode('utf-8'))",
        "connection.request('POST', '/api/clips', json.dumps({body}), HEADERS)",
    ],
)
def test_a_call_is_read(call: str) -> None:
    one = only("x = " + call.format(url=URL, body='{"prompt": "a", "n": [1, -2.5, None, True]}'))

    assert one.request is not None
    assert ("POST", "/api/clips") == (one.request.method, one.request.path)
    assert {"prompt": "a", "n": [1, -2.5, None, True]} == body(one)
    assert one.is_code


def test_a_call_of_an_asynchronous_client_is_read() -> None:
    code = (
        f"async def f(s):\n    async with s.post('{URL}', json={{'prompt': 'a'}}) as answer:\n        pass\n"
    )

    one = only(code)

    assert (2, 16) == (one.line, one.column)
    assert {"prompt": "a"} == body(one)


@pytest.mark.parametrize(
    "code",
    [
        "{}.get('prompt')",
        "os.environ.get('A/B C')",
        "settings.get(name)",
        "cache.delete(key)",
        "queue.put(item)",
        "d.post",
        "post('https://x/y')",
        "logging.getLogger('a/b')",
    ],
)
def test_what_is_no_request_is_none(code: str) -> None:
    assert ["no call of an HTTP client in it"] == [one.fault for one in found(code)]


def test_a_form_is_sent_as_a_form() -> None:
    one = only(f"import requests\nrequests.post('{URL}', data={{'prompt': 'a b'}})")

    assert one.request is not None
    assert "application/x-www-form-urlencoded" == one.request.headers["content-type"]
    assert b"prompt=a+b" == one.request.body


def test_headers_are_read_and_what_is_filled_in_is_marked() -> None:
    code = f"requests.get('{URL}/7', headers={{**more, 'X-Toy-Key': 'k', 'A': f'Bearer {{token()}}'}})"

    one = only(code)

    assert one.request is not None
    assert {"x-toy-key": "k", "a": "Bearer {token()}"} == dict(one.request.headers)
    assert ("{token()}",) == one.open


# --- URLs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "url"),
    [
        ("BASE = 'https://api.toy.example'\nU = BASE + '/api/clips'", URL),
        ("BASE = 'https://api.toy.example'\nU = f'{BASE}/api/clips'", URL),
        ("import os\nBASE = os.environ['B']\nU = BASE + '/api/clips'", "{BASE}/api/clips"),
        ("def f(task):\n  global U\nU = 0", None),
        ("U = f'{base_url()}/api/clips/{task}?page={3}'", "{base_url()}/api/clips/{task}?page=3"),
        ("U = f'https://api.toy.example/api/{kind!r}'", "https://api.toy.example/api/{kind}"),
        ("U = '/api/clips'\nU = '/other'", None),
    ],
)
def test_a_url_is_put_together(code: str, url: str | None) -> None:
    one = only(f"{code}\nimport requests\nrequests.post(U, json={{'prompt': 'a'}})")

    assert url == (one.request.url if one.request is not None and one.request.url else None)
    assert bool(one.unread) == (url is None)


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expression", "expected"),
    [
        ("A = 'a1'", "{'model': A}", {"model": "a1"}),
        ("A = {'x': 1}", "A", {"x": 1}),
        ("A = {'x': 1, 'y': 2}", "{'w': 0, **A, 'y': 3}", {"w": 0, "x": 1, "y": 3}),
        ("A = {'x': 1}", "A | {'y': 2}", {"x": 1, "y": 2}),
        ("", "dict(a=1, **{'b': 2})", {"a": 1, "b": 2}),
        ("A = {'x': 1}", "dict(A, b=2)", {"x": 1, "b": 2}),
        ("A = {'x': 1}", "A.copy()", {"x": 1}),
        ("", "{'a': 'x' 'y' + 'z'}", {"a": "xyz"}),
        ("N = 5", "{'a': f'{N} s'}", {"a": "5 s"}),
        ("", "{'a': 1 if c else 1}", {"a": 1}),
        ("A: str = 'x'", "{'a': A}", {"a": "x"}),
        ("", "{5: 'x'}", {"5": "x"}),
        ("", "{'a': (1, 2)}", {"a": [1, 2]}),
    ],
)
def test_a_value_is_read(code: str, expression: str, expected: Any) -> None:
    assert expected == sent(code, expression)


@pytest.mark.parametrize(
    ("code", "expression", "expected"),
    [
        ("", "{'a': x, 'b': 1}", {"a": "?x", "b": 1}),
        ("", "{'a': f(1)}", {"a": "?f(1)"}),
        ("", "{'a': 1 if c else 2}", {"a": "?1 if c else 2"}),
        ("", "{'a': x or 'y'}", {"a": "?x or 'y'"}),
        ("", "{'a': [1, *more]}", {"a": "?[1, *more]"}),
        ("", "{'a': 1, **more, 'b': 2}", {"a": "?a", "b": 2, "...": 1}),
        ("", "{'a': 1, key: 2}", {"a": "?a", "...": 1}),
        ("A = 1\nA = 2", "{'a': A}", {"a": "?A"}),
        ("A = 1\nA += 1", "{'a': A}", {"a": "?A"}),
        ("for A in range(3): pass", "{'a': A}", {"a": "?A"}),
        ("from x import A", "{'a': A}", {"a": "?A"}),
        ("from x import *\nA = 1", "{'a': A}", {"a": "?A"}),
        ("A = 1\ndef f():\n    global A\n    A = 2", "{'a': A}", {"a": "?A"}),
        ("A = 1\ndel A", "{'a': A}", {"a": "?A"}),
        ("import A.b", "{'a': A}", {"a": "?A"}),
        ("class A: pass", "{'a': A}", {"a": "?A"}),
        ("if (A := 5): pass\nA = 6", "{'a': A}", {"a": "?A"}),
        ("try: pass\nexcept E as A: pass", "{'a': A}", {"a": "?A"}),
        ("class C:\n    A = 1", "{'a': C.A}", {"a": "?C.A"}),
    ],
)
def test_what_only_running_would_tell_is_open(code: str, expression: str, expected: Any) -> None:
    assert expected == sent(code, expression)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("", {"a": 1, "b": {"c": 2}}),
        ("print(A, A['a'], len(A), A.get('a'))", {"a": 1, "b": {"c": 2}}),
        ("log.info('sending %s', A)", {"a": 1, "b": {"c": 2}}),
        ("for key in A: pass", {"a": 1, "b": {"c": 2}}),
        ("A['x'] = 1", {"a": 1, "b": {"c": 2}, "x": "?x"}),
        ("A['a'] += 1", {"a": "?a", "b": {"c": 2}}),
        ("del A['a']", {"a": "?a", "b": {"c": 2}}),
        ("A[key] = 1", "?"),
        ("A.update(x=1)", "?"),
        ("A |= {'x': 1}", "?"),
        ("A['b']['c'] = 3", "?"),
        ("inner = A['b']", "?"),
        ("change(A)", "?"),
        ("B = A", "?"),
        ("B = [A]", "?"),
        ("def f(): return A", "?"),
        ("def f(): A['a'] = 2", {"a": "?a", "b": {"c": 2}}),
    ],
)
def test_an_object_that_may_be_changed_is_open_as_far_as_it_may(change: str, expected: Any) -> None:
    (one, *_) = found(
        f"A = {{'a': 1, 'b': {{'c': 2}}}}\n{change}\nimport requests\nrequests.post('{URL}', json=A)"
    )

    assert expected == (body(one) if one.has_body else "?")


def test_a_name_means_what_the_nearest_scope_binds() -> None:
    code = f"""
A = 'outer'
def first(A): post.post('{URL}', json={{'a': A}})
def second():
    A = 'inner'
    post.post('{URL}', json={{'a': A}})
def third(): post.post('{URL}', json={{'a': A}})
class Fourth:
    A = 'member'
    def method(self): post.post('{URL}', json={{'a': A}})
fifth = lambda A: post.post('{URL}', json={{'a': A}})
sixth = [post.post('{URL}', json={{'a': A}}) for A in range(3)]
"""

    assert ["?A", "inner", "outer", "outer", "?A", "?A"] == [body(one)["a"] for one in found(code)]


# --- places -----------------------------------------------------------------------------------------------


def test_a_member_has_the_place_where_it_is_written() -> None:
    call = f"requests.post('{URL}', json={{'é': 'ü', 'prompt': [1, {{'x': 2}}], **BASE}})"
    code = f"é = 'ü'\nBASE = {{'model': 'a1'}}\n{call}\n"

    one = only(code)
    line = code.splitlines()[2]

    assert (3, 1) == (one.line, one.column)
    assert (3, line.index("'prompt'") + 1) == one.position("/prompt")
    assert (3, line.index("'x'") + 1) == one.position("/prompt/1/x")
    assert (2, 9) == one.position("/model")
    assert (3, line.index("{'é'") + 1) == one.position("/missing")


# --- programs that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("def f(:\n", "no Python: invalid syntax (line 1, column 7)"),
        ("x = '\0'", "no Python: source code string cannot contain null bytes"),
        ("#" * 2_000_001, "it is longer than 2,000,000 characters"),
    ],
)
def test_what_is_no_program_is_told(text: str, fault: str) -> None:
    assert only(text).fault.startswith(fault)


def test_a_program_nested_without_end_is_told_and_not_followed() -> None:
    (one,) = found("x = " + "(" * 50_000 + ")" * 50_000)

    assert one.fault


def test_a_program_that_python_would_warn_of_is_read_in_silence() -> None:
    assert {"prompt": "\\d"} == body(only(f"requests.post('{URL}', json={{'prompt': '\\d'}})"))


def test_names_that_lead_in_circles_are_open() -> None:
    assert {"a": "?A"} == sent("A = B\nB = A", "{'a': A}")


def test_a_number_that_json_cannot_say_is_told() -> None:
    assert {"a": 2**70} == sent("", f"{{'a': {2**70}}}")
    assert only(f"requests.post('{URL}', json={{'a': 1e999}})").unread


# --- what clients differ in -------------------------------------------------------------------------------


def test_a_client_of_ones_own_may_add_to_what_it_is_given() -> None:
    own, known = (only(f"{name}.post('/api/clips', {{'prompt': 'a'}})") for name in ("world", "requests"))

    assert {"prompt": "a", "...": 1} == body(own)
    assert b"prompt=a" == (known.request.body if known.request is not None else b"")


@pytest.mark.parametrize(
    ("params", "query", "is_open"),
    [
        ("{'page': 2, 'x': 'a b'}", {"page": "2", "x": "a b"}, False),
        ("{'page': f'p{n}'}", {"page": "p{n}"}, False),
        ("{'page': n}", {}, True),
        ("PARAMS", {}, True),
        ("{'page': 1, **more}", {}, True),
    ],
)
def test_parameters_are_part_of_the_url(params: str, query: dict[str, str], is_open: bool) -> None:
    one = only(f"requests.get('{URL}', params={params})")

    assert one.request is not None
    assert (query, is_open) == (dict(one.request.query), one.is_query_open)


def test_objects_that_are_asked_about_in_a_circle_are_open() -> None:
    code = "A = {'u': 1}\nB = {'u': 2}\nclient.get(A['u'], json=B)\nclient.get(B['u'], json=A)\n"

    assert all(one.unread for one in found(code))


# --- what is no request, and what is not all of one ---------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "@app.post('{url}')\ndef create(body: dict): ...",
        "@router.post('{path}', status_code=200, response_model=dict)\nasync def create(body): ...",
        "@app.put('{path}', responses={{404: {{}}}})\ndef put(): ...",
        "respx.post('{url}').mock(return_value=httpx.Response(200, json={{'code': 0}}))",
        "router.post('{url}', json={{'a': 1}}).respond(200, json={{'code': 0}})",
        "responses.post('{url}', json={{'code': 0}})",
        "def test(requests_mock):\n    requests_mock.post('{url}', json={{'code': 0}})",
        "with requests_mock.Mocker() as m:\n    m.post('{url}', json={{'code': 0}})",
        "async def test():\n    with aioresponses() as m:\n        m.post('{url}', body='x')",
        "@requests_mock.Mocker()\ndef test(m):\n    m.post('{url}', json={{'code': 0}})",
        "m = respx.mock(base_url='x')\nm.post('{path}', json={{'code': 0}})",
    ],
)
def test_a_route_of_a_server_and_an_answer_made_up_by_a_test_are_no_requests(code: str) -> None:
    (one,) = found(code.format(url=URL, path="/api/clips"))
    assert one.fault == "no call of an HTTP client in it"


@pytest.mark.parametrize(
    "call",
    [
        "requests.post('{url}', **options)",
        "requests.post('{url}', *rest)",
        "requests.request('POST', '{url}', headers={{}}, **options)",
        "requests.post('{url}', files={{'a': file}}, data={{'a': 1}})",
        "pool.request('POST', '{url}', fields={{'a': 1}})",
    ],
)
def test_what_is_unpacked_into_a_call_may_be_its_body(call: str) -> None:
    one = only(f"import requests\n{call.format(url=URL)}")
    assert (one.has_body, one.unread) == (False, "its body is only known when the program runs")


def test_what_is_unpacked_into_a_call_may_be_its_parameters_and_its_method() -> None:
    assert only(f"import requests\nrequests.get('{URL}', **options)").is_query_open
    unsaid = only(f"import urllib.request as u\nu.Request('{URL}', **options)")
    assert unsaid.unread == "its method is only known when the program runs"


@pytest.mark.parametrize(
    "call",
    [
        "self.client.post('{url}', data={{'a': 1}})",
        "api.post('{url}', data={{'a': 1}})",
        "self.post('{url}', json={{'a': 1}})",
        "self._request('POST', '{url}', json={{'a': 1}})",
    ],
)
def test_a_client_of_ones_own_may_add_to_what_it_is_given_and_write_it_as_json(call: str) -> None:
    assert body(only(call.format(url=URL))) == {"a": 1, "...": 1}


def test_a_dictionary_given_as_data_to_a_library_is_a_form() -> None:
    for client in ("requests", "self.session", "httpx", "http"):
        one = only(f"http = httpx.Client()\n{client}.post('{URL}', data={{'a': 1}})")
        assert one.request is not None
        assert one.request.body == b"a=1", client


def test_items_of_a_list_that_are_changed_in_a_loop_are_open() -> None:
    code = "S = [{'a': ''}]\nfor one in S:\n    one['a'] = 'x'"
    assert sent(code, "{'shots': S}") == {"shots": "?S"}


def test_what_has_two_names_is_open() -> None:
    assert only(f"import requests\na = b = {{'x': 1}}\nb['x'] = 2\nrequests.post('{URL}', json=a)").unread
    assert sent("a = b = 'x'", "{'m': a}") == {"m": "x"}


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("'{}/api/clips'.format(BASE)", "/api/clips"),
        ("'{base}/api/{}'.format('clips', base=BASE)", "/api/clips"),
        ("'{1}/api/{0}'.format('clips', BASE)", "/api/clips"),
        ("'%s/api/clips' % BASE", "/api/clips"),
        ("'%s/api/%s' % (BASE, 'clips')", "/api/clips"),
        ("'%(base)s/api/clips' % {'base': BASE}", "{base}/api/clips"),
        ("urljoin(BASE, '/api/clips')", "/api/clips"),
        ("urllib.parse.urljoin(BASE + '/v0/', '/api/clips')", "/api/clips"),
        ("urljoin(config.base, '/api/clips')", "/api/clips"),
        ("urljoin(BASE, 'https://api.toy.example/api/clips')", "/api/clips"),
    ],
)
def test_an_address_that_is_put_together_is_read(address: str, path: str) -> None:
    one = only(f"BASE = 'https://api.toy.example'\nrequests.post({address}, json={{'a': 1}})")
    assert one.request is not None, one
    assert one.request.path.endswith(path), one.request.path


def test_json_written_as_a_text_is_read() -> None:
    one = only(f"""payload = '{{"a": {{"b": 1}}}}'\nrequests.post('{URL}', data=payload)""")
    assert body(one) == {"a": {"b": 1}}
    assert one.position("/a/b") == (2, 57)


def test_functions_that_are_imported_by_name_are_calls_of_their_library() -> None:
    assert body(only(f"from requests import post\npost('{URL}', json={{'a': 1}})")) == {"a": 1}
    assert body(only(f"from httpx import put as send\nsend('{URL}', json={{'a': 1}})")) == {"a": 1}
    (other,) = found(f"from mine import post\npost('{URL}', json={{'a': 1}})")
    assert other.fault


def test_json_of_json_arrives_as_a_text() -> None:
    sent_twice = only(f"import requests\ntext = json.dumps({{'a': 1}})\nrequests.post('{URL}', json=text)")
    assert body(sent_twice) == "text"
    assert sent_twice.position("") == (3, 57)
    assert only(f"api.post('{URL}', json=json.dumps({{'a': 1}}))").unread
