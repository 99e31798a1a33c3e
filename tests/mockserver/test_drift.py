"""A run of `understudy drift` against servers that behave badly: made up here, so that each does just one thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

from mockserver.drift.command import base_url, is_local
from mockserver.drift.keys import Key, hidden, parse_key
from mockserver.drift.probes import Plan, make_plan
from mockserver.drift.rendering import junit_text, markdown_lines, outcome_json, text_lines
from mockserver.drift.run import Outcome, run
from mockserver.drift.verdicts import VERDICTS, Received
from tests.providers import contract
from validator.contract.model import Credential
from validator.contract.templates import SURENESS
from validator.diff.seeds import each_way
from validator.printing import painter

NOW = 1_795_000_000
KEY = Key("a-key-that-is-secret-0123456789")
HTML = Received(status=200, headers={"content-type": "text/html"}, body=b"<html>hello</html>")

Answer = Callable[[str, str, Mapping[str, str], bytes], Received]


class Server:
    """Answers as it is told, and writes down what it is asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, list[tuple[str, str, Mapping[str, str], bytes]]()

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        self.asked.append((method, target, headers, body))
        return self.answer(method, target, headers, body)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def plan() -> Plan:
    made = make_plan(contract("modellix"), key=KEY, now=NOW, smallest=each_way)
    # Only what is refused: the answer to it can be rendered from the contract alone.
    return replace(made, probes=tuple(one for one in made.probes if one.expected.answer is not None))


def ask(plan: Plan, server: Server, *, waits: list[float] | None = None, **more: int) -> Outcome:
    waited = waits if waits is not None else []
    return run(plan, server, key=KEY, now=lambda: NOW, wait=waited.append, pause_s=1.0, **more)


def as_expected(plan: Plan) -> Answer:
    """Return a server that answers as the contract says, told by what it is asked."""
    known = {}
    for probe in plan.probes:
        key = (
            probe.request.method,
            probe.request.url.removeprefix(plan.contract.base_path),
            probe.request.body,
        )
        known.setdefault(key, []).append(probe)

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        probe = known[method, target, body].pop(0)
        expected = probe.expected.answer
        assert expected is not None
        return Received(status=expected.status, headers={}, body=orjson.dumps(expected.body))

    return answer


def test_what_makes_no_task_is_asked_first_and_the_surest_rules_before_the_others(plan: Plan) -> None:
    creates = [one.is_create for one in plan.probes]
    sureness = [SURENESS.index(one.evidence) for one in plan.probes]

    assert sorted(creates) == creates
    assert sorted(sureness[creates.index(True) :]) == sureness[creates.index(True) :]


def test_a_server_that_asks_for_patience_is_given_it_and_asked_again(plan: Plan) -> None:
    right, calls, waits = as_expected(plan), [0], list[float]()

    def answer(*asked: object) -> Received:
        calls[0] += 1
        if calls[0] == 3:
            return Received(status=429, headers={"retry-after": "7"})
        return right(*asked)  # type: ignore[arg-type]

    out = ask(plan, Server(answer), waits=waits)  # type: ignore[arg-type]

    assert [] == out.differing
    assert len(plan.probes) + 1 == out.sent
    assert 7.0 in waits
    assert len(plan.probes) == waits.count(1.0)


def test_a_server_that_asks_for_an_hour_ends_the_run(plan: Plan) -> None:
    out = ask(plan, Server(lambda *asked: Received(status=429, headers={"retry-after": "3600"})))

    assert (1, "the server asks to wait 3,600 seconds") == (out.sent, out.stopped)
    assert [] == out.differing


def test_any_success_of_a_create_counts_as_taken_and_ends_the_run(plan: Plan) -> None:
    right = as_expected(plan)

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        found = right(method, target, headers, body)
        return HTML if method == "POST" else found

    out = ask(plan, Server(answer))

    (taken,) = out.taken
    assert ("verdict", "") == (taken.level, taken.task)
    assert out.unsent


def test_a_create_without_an_answer_may_have_been_taken(plan: Plan) -> None:
    right = as_expected(plan)

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        found = right(method, target, headers, body)
        return Received(headers={}, problem="no answer: timed out") if method == "POST" else found

    out = ask(plan, Server(answer))

    assert 1 == len(out.taken)
    assert "it was sent, so it may have been taken" in out.taken[0].why
    assert [] == out.differing


@pytest.mark.parametrize("status", [500, 502, 504, 302, 303, 204])
def test_a_create_after_which_the_server_is_in_trouble_or_leads_elsewhere_may_have_been_taken(
    plan: Plan, status: int
) -> None:
    right = as_expected(plan)

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        found = right(method, target, headers, body)
        return Received(status=status, headers={"location": "/x"}) if method == "POST" else found

    server = Server(answer)
    out = ask(plan, server)

    assert 1 == len(out.taken), "one request and no more"
    assert 1 == [method for method, *_ in server.asked].count("POST")
    assert "a request that is to be refused was taken" == out.stopped


@pytest.mark.parametrize("status", [301, 308, 400, 404, 422])
def test_what_refuses_a_create_or_sends_it_elsewhere_has_not_taken_it(plan: Plan, status: int) -> None:
    right = as_expected(plan)

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        found = right(method, target, headers, body)
        return Received(status=status, headers={}) if method == "POST" else found

    assert [] == ask(plan, Server(answer)).taken


def test_a_call_that_nobody_describes_counts_as_one_that_costs() -> None:
    known = contract("modellix")
    operations = {
        name: replace(one, role=None) if one.role == "create" else one
        for name, one in known.operations.items()
    }
    made = make_plan(replace(known, operations=operations), key=KEY, now=NOW, smallest=each_way)

    posts = [one for one in made.probes if one.request.method == "POST"]
    assert posts
    assert {True} == {one.is_create for one in posts}


def test_a_credential_that_no_create_takes_is_no_drift_where_nothing_else_can_be_asked(plan: Plan) -> None:
    creates = replace(plan, probes=tuple(one for one in plan.probes if one.is_create))

    for refused in (Received(status=401, headers={}), Received(status=403, headers={}, body=b"no")):
        out = ask(creates, Server(lambda *asked, refused=refused: refused))

        assert ("the server refuses the credential", 1) == (out.problem, out.sent)
        assert [] == out.differing == out.taken


def test_an_answer_nested_deeper_than_python_goes_is_another_answer(plan: Plan) -> None:
    deep = Received(status=404, headers={}, body=b'{"a":' * 500 + b"[" * 500 + b"]" * 500 + b"}" * 500)

    out = ask(plan, Server(lambda *asked: deep))

    assert out.differing
    assert [] == out.taken


def test_three_silences_are_nobody_at_home(plan: Plan) -> None:
    out = ask(plan, Server(lambda *asked: Received(headers={}, problem="no answer: timed out")))

    assert (3, "no answer: timed out") == (out.sent, out.problem)


def test_a_server_in_trouble_says_nothing(plan: Plan) -> None:
    out = ask(plan, Server(lambda *asked: Received(status=503, headers={}, body=b"<html>")))

    assert [] == out.differing
    assert {"the server is in trouble"} == {one.why.partition(";")[0] for one in out.of("not comparable")}


def test_an_interrupted_run_tells_what_it_has_and_sends_no_more(plan: Plan) -> None:
    right, calls = as_expected(plan), [0]

    def answer(*asked: object) -> Received:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return right(*asked)  # type: ignore[arg-type]

    out = ask(plan, Server(answer))  # type: ignore[arg-type]

    assert ("interrupted", 4, 3) == (out.problem, out.sent, len(out.of("agrees")))
    assert len(plan.probes) - 4 == len(out.unsent)


def test_a_key_is_sent_where_it_is_needed_and_never_told(plan: Plan) -> None:
    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        return Received(status=418, headers={}, body=orjson.dumps(dict(headers)))

    server = Server(answer)
    out = ask(plan, server)

    sent = [KEY.name in str(headers) for _, _, headers, _ in server.asked]
    assert [one.is_authorised and one.operation is not None for one in plan.probes] == sent
    assert KEY.name not in str(out.findings)
    assert "***" in str([one.got for one in out.findings])


def test_a_key_or_token_that_a_server_repeats_is_hidden_even_where_the_answer_is_cut() -> None:
    known = contract("kling")
    key = Key("an-access-key-0123456789", "a-secret-key-0123456789")
    operation = known.operations["getText2Video"]
    made = make_plan(known, key=key, now=NOW, smallest=lambda operation, rule: ())
    sent: list[str] = []

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Received:
        sent.extend(value for name, value in headers.items() if name == "authorization")
        told = "x" * (150 + len(sent) % 40) + f" {key.name} {headers.get('authorization', '')}"
        return Received(status=418, headers={}, body=orjson.dumps({"message": told}))

    out = run(made, Server(answer), key=key, now=lambda: NOW, wait=lambda seconds: None)

    tokens = [text.partition(" ")[2] for text in sent if text.count(".") == 2]
    assert operation.credentials[0].jwt is not None and len(tokens) > 5
    shown = str([(one.got, one.why, one.task) for one in out.findings])
    assert "***" in shown
    for secret in (key.name, key.secret, tokens[0].split(".")[1]):
        assert secret[:12] not in shown


def test_every_member_of_the_json_is_on_the_page(plan: Plan) -> None:
    page = (Path(__file__).parents[2] / "docs" / "drift.md").read_text()
    described = set(re.findall(r"`(\w+)`", page.partition("## A spec and its provider")[2]))

    out = ask(plan, Server(lambda *asked: HTML))
    shown = outcome_json(out, target="http://127.0.0.1", code=1)

    objects = [shown, *shown["probes"], *shown["taken"]]
    objects += [one["sent"] for one in shown["probes"] if "sent" in one]
    assert set() == {name for one in objects for name in one} - described
    assert sum(shown["summary"][one] for one in VERDICTS) == len(shown["probes"])


def test_every_form_is_written_whatever_came_back(plan: Plan) -> None:
    nasty = Received(status=404, headers={}, body="\x1b[31m| <b>`ü".encode())
    out = ask(plan, Server(lambda *asked: nasty))

    text = "\n".join(text_lines(out, painter(colour=False), is_all=True))
    marked = "\n".join(markdown_lines(out, target="http://127.0.0.1"))
    suite = ElementTree.fromstring(junit_text(out))

    assert "\x1b" not in text + marked
    assert "\\|" in marked and "<b>" not in marked
    assert len(suite.findall("testcase")) == int(suite.get("tests", "0"))
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures", "0")) == len(out.differing)
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped", "0"))


def test_a_key_with_a_secret_is_told_apart_from_one_that_has_a_colon() -> None:
    credential = contract("kling").operations["createText2Video"].credentials[0]
    plain: Credential = contract("modellix").operations["getTask"].credentials[0]

    assert Key("name", "secret") == parse_key("name:secret", credential)
    assert Key("a" * 40) == parse_key("a" * 40, credential)
    assert Key("name:secret") == parse_key(" name:secret ", plain)
    assert "key *** of ***" == hidden("key secret-one of name-one", Key("name-one", "secret-one"))


@pytest.mark.parametrize(
    ("url", "expected", "here"),
    [
        ("http://127.0.0.1:8700/modellix/api/v1/", "http://127.0.0.1:8700/modellix/api/v1", True),
        ("http://127.0.0.1:8700/modellix", "http://127.0.0.1:8700/modellix/api/v1", True),
        ("https://api.modellix.example", "https://api.modellix.example/api/v1", False),
        ("http://[::1]:8700", "http://[::1]:8700/api/v1", True),
        ("http://understudy:8700", "http://understudy:8700/api/v1", True),
        ("http://10.0.0.7", "http://10.0.0.7/api/v1", True),
        ("https://8.8.8.8", "https://8.8.8.8/api/v1", False),
        # The same address as a number, as a resolver reads it, and in the newer protocol.
        ("http://134744072", "http://134744072/api/v1", False),
        ("http://0x08080808", "http://0x08080808/api/v1", False),
        ("http://8.8.2056", "http://8.8.2056/api/v1", False),
        ("http://[::ffff:8.8.8.8]", "http://[::ffff:8.8.8.8]/api/v1", False),
        ("http://[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]/api/v1", True),
    ],
)
def test_the_base_path_may_be_written_or_not(url: str, expected: str, here: bool) -> None:
    found = base_url(url, contract("modellix"))

    assert (expected, here) == (found, is_local(found))


def test_a_host_that_the_contract_names_is_never_near() -> None:
    assert is_local("http://gateway.internal/api/v1")
    assert not is_local("http://gateway.internal/api/v1", ["gateway.internal"])
