"""NaN, infinities and numbers that fit no type: JSON knows none of them, and no clock, limit or price takes one."""

from __future__ import annotations

import base64
import math

import orjson
import pytest

from mockserver.settings import SettingError, Settings, parse_limits
from tests.e2e.running import call
from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.providers import LIBRARY, TOY, contract

NO_JSON = [
    "NaN",
    "nan",
    "-NaN",
    "Infinity",
    "-Infinity",
    "inf",
    "+1",
    "01",
    "0x10",
    "1e",
    ".5",
    "5.",
    "1_0",
    "\u0661",
]
HUGE = [
    "1e309",
    "-1e309",
    "1e999999999",
    "9" * 400,
    "-" + "9" * 400,
    "1" + "0" * 30,
    "18446744073709551616",
    "1e-400",
]
ODD = ["-0", "-0.0", "0.0", "5.0", "5e0", "1e15", "9007199254740993", "0.1e1", "1E2"]


def numbers(name: str) -> list[str]:
    """Return the members of a provider's bodies that stand for numbers, and some that do not exist."""
    found = {"prompt", "no_such_member"}
    for operation in contract(name).operations.values():
        if operation.role == "create" and operation.body is not None:
            for member, schema in operation.body.tree.get("properties", {}).items():
                if any(
                    kind in str(schema) for kind in ("number", "integer", "minimum", "duration", "seconds")
                ):
                    found.add(member)
    return sorted(found)


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("text", [*NO_JSON, *HUGE, *ODD])
def test_a_number_that_is_none_is_refused_and_any_other_is_answered(name: str, text: str) -> None:
    with Mock(name, log="off") as mock:
        for client in clients(mock, name):
            for member in numbers(name):
                for body in (f'{{"{member}": {text}}}', f'{{"prompt": "a", "{member}": [{text}]}}', text):
                    reply = mock.call(
                        "POST",
                        client.url(client.operation.path),
                        body=body.encode(),
                        headers=client.headers | {"content-type": "application/json"},
                    )
                    assert reply.status < 500, (body, reply)
                    if text in NO_JSON:
                        assert 400 <= reply.status, (body, reply)
                        assert "malformed" in reply.headers["x-mock-violations"]
                    assert b"NaN" not in reply.body.replace(b'"NaN"', b"")
                    assert math.isfinite(sum(_numbers(reply.json)))
        orjson.dumps(mock.admin("GET", "/requests?limit=1000"))


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [one for member in value.values() for one in _numbers(member)]
    if isinstance(value, list):
        return [one for item in value for one in _numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


@pytest.mark.parametrize("text", [*NO_JSON, *HUGE])
def test_no_clock_is_set_to_it(text: str) -> None:
    with Mock(log="off") as mock:
        mock.clip()
        before = mock.admin("GET", "/clock")
        for method, path, body in (
            ("PUT", "/clock", f'{{"mode": "scaled", "speed": {text}}}'),
            ("PUT", "/clock", f'{{"now": {text}}}'),
            ("POST", "/clock/advance", f'{{"to": {text}}}'),
            ("POST", "/clock/advance", f'{{"by": "PT{text}S"}}'),
            ("POST", "/clock/advance", f'{{"by": {text}}}'),
        ):
            reply = mock.call(method, f"/__admin{path}", body=body.encode())
            if text == "1e-400" and reply.status == 200:
                continue
            if body.startswith('{"by": "PT') and reply.status == 200:
                # A few of them are durations, when they stand in a text.
                assert text in ("01", ".5", "5.", "1e-400"), text
                continue
            assert reply.status in (400, 409), (body, reply)
        after = mock.admin("GET", "/clock")

    assert math.isfinite(after["speed"])
    assert after["now_ms"] - before["now_ms"] < 60_000


@pytest.mark.parametrize("text", [*NO_JSON, *HUGE, *ODD, "", " "])
def test_no_query_takes_it_for_a_number(text: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in text.encode())
    with Mock("toy", *LIBRARY, log="off") as mock:
        targets = [f"/__admin/{path}?limit={escaped}" for path in ("requests", "tasks", "deliveries")]
        targets += [f"/__admin/requests?since={escaped}", f"/toy/api/clips?page={escaped}&size={escaped}"]
        for name in LIBRARY:
            client = next(clients(mock, name))
            targets += [
                f"/{name}{one.path}?{parameter.name}={escaped}"
                for one in contract(name).operations.values()
                for parameter in one.judged_parameters
                if parameter.place == "query"
            ]
            for target in targets:
                assert (
                    mock.call("GET", target, headers=client.headers | {"x-toy-key": "toy-key-1"}).status < 500
                ), target


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize(
    "claim", ["NaN", "1e309", "-1e308", "1e308", "9" * 30, "1e18", "-1", "true", '"x"', "[]", "0"]
)
def test_no_token_lives_for_ever_by_it(name: str, claim: str) -> None:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    with Mock(name, log="off") as mock:
        client = next(clients(mock, name))
        header = client.operation.credentials[0].header
        for claims in (
            f'{{"iss": "a", "exp": {claim}}}',
            f'{{"iss": "a", "exp": 9999999999, "nbf": {claim}}}',
        ):
            token = ".".join((part('{"alg": "HS256", "typ": "JWT"}'), part(claims), "x"))
            for clock in ({"mode": "frozen"}, {"mode": "scaled", "speed": 1000}):
                mock.admin("PUT", "/clock", clock)
                for _ in range(2):
                    reply = mock.call(
                        "POST",
                        client.url(client.operation.path),
                        json={},
                        headers={header: f"Bearer {token}"},
                    )
                    assert reply.status < 500, (claims, reply)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 0.0])
def test_no_setting_is_one(value: float) -> None:
    for changes in ({"speed": value}, {"callback_timeout": value}):
        with pytest.raises(SettingError):
            Settings(**changes).check()  # type: ignore[arg-type]
    if value != 0:
        with pytest.raises(SettingError):
            parse_limits([f"toy.credits={value}"])


@pytest.mark.parametrize("option", ["--speed", "--callback-timeout", "--max-body", "--max-tenants", "--seed"])
def test_no_option_is_one(option: str) -> None:
    for text in ("nan", "inf", "-inf", "1e400"):
        done = call("serve", "--port", "0", "--spec", str(TOY), f"{option}={text}")
        assert 2 == done.returncode, (option, text)
        assert "Traceback" not in done.stderr
