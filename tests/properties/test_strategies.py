"""Laws about generated requests and answers: everybody gives one verdict on them, and nothing is left out.

`pytest -s tests/properties/test_strategies.py` prints what was reached.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tests.cases import read_cases
from tests.mock import NOON, Mock
from tests.properties.test_engines import PICTURE_KEYWORDS, validators
from tests.providers import LIBRARY, TOY, contract, strict_contract
from validator import load
from validator.check import check, examine
from validator.contract.model import Contract, Operation
from validator.contract.refusals import glob_matches
from validator.contract.schemas import is_absent, remove_absent
from validator.errors import matches
from validator.images import look
from validator.keywords import members
from validator.report import Report
from validator.request import HttpRequest
from validator.strategies import (
    bodies,
    breakable,
    from_operation,
    lifecycles,
    reasons,
    refusals,
    refused,
    responses,
    sendings,
    smallest,
    unavoidable,
    violating,
)
from validator.strategies.answers import answers_of
from validator.strategies.choices import First
from validator.strategies.plans import NOTHING_EXPLICIT, plan_of

PROVIDERS = ("toy", *LIBRARY)
OPERATIONS = [(name, one.id) for name in PROVIDERS for one in contract(name).operations.values()]
WITH_BODY = [(name, one) for name, one in OPERATIONS if contract(name).operations[one].body is not None]
# Operations that share a body share what builds it: one of them is enough where only the body matters.
BODIES = list(
    {
        id(operation_.body): (name, operation_.id)
        for name in PROVIDERS
        for operation_ in contract(name).operations.values()
        if operation_.body is not None
    }.values()
)
CREATING = [(name, one) for name, one in OPERATIONS if contract(name).operations[one].role == "create"]
STRICT = [
    (name, rule.id) for name in PROVIDERS for rule in contract(name).rules.values() if rule.effect == "off"
]
NOW = NOON / 1000

some = settings(max_examples=max(settings.default.max_examples // 3, 10), suppress_health_check=())
first = settings(max_examples=100, phases=(Phase.generate,), database=None, derandomize=True, deadline=None)
few = settings(max_examples=max(settings.default.max_examples // 10, 5), suppress_health_check=())
"""Fewer than usual, for there are many operations; and no check of health is switched off."""

_tenants = itertools.count()


_servers: list[Mock] = []


@pytest.fixture(scope="module", autouse=True)
def _close() -> Iterator[None]:
    yield
    while _servers:
        _servers.pop().stop()


def served() -> Mock:
    """Return a server of all providers, in this process."""
    if not _servers:
        _servers.append(Mock(*PROVIDERS))
    return _servers[0]


def operation(name: str, operation_id: str) -> Operation:
    return contract(name).operations[operation_id]


@functools.cache
def least(name: str, operation_id: str, rule: str) -> HttpRequest:
    """Return the smallest request that breaks a rule, made once for all tests: it is always the same."""
    is_off = rule in contract(name).rules and contract(name).rules[rule].effect == "off"
    known = strict_contract(name) if is_off else contract(name)
    return smallest(known.operations[operation_id], rule)


def judged(name: str, operation_id: str, request: HttpRequest, *, times: int = 1) -> Report:
    """Return the report, after the plain schema, both engines and the server have said the same."""
    known, one = contract(name), operation(name, operation_id)
    report = check(known, request, now=NOW)
    rules = {finding.rule for finding in report.violations}
    if (
        one.body is not None
        and len(request.body) < 1_000_000
        and not any(".malformed" in rule for rule in rules)
    ):
        body = orjson.loads(request.body)
        (rust, reference), (plain_rust, plain_reference) = validators(name, operation_id, is_strict=False)
        assert rust.is_valid(body) == reference.is_valid(body)
        assert plain_rust.is_valid(body) == plain_reference.is_valid(body)
        refusals = [
            finding.rule
            for finding in report.violations
            if finding.effect == "reject"
            and finding.place == "body"
            and finding.kind == "invalid"
            and finding.keyword not in PICTURE_KEYWORDS
        ]
        if not any(finding.keyword == "maxBytes" for finding in report.violations):
            # Of bare Base64 the plain schema can say how large it is, of a data URI it cannot.
            assert plain_rust.is_valid(body) == (not refusals), refusals
    tenant = f"t{next(_tenants)}"
    for _ in range(times):
        answer = served().call(
            request.method,
            f"/t/{tenant}/{name}{request.url}",
            body=request.body or None,
            headers=request.headers,
        )
    said = {rule for rule in answer.headers.get("x-mock-violations", "").split(",") if rule}
    if report.verdict == "refused":
        assert answer.status >= 400 and rules == {rule.strip() for rule in said}
    elif one.role == "read" or times > 1:
        # There is no such task, or no second one of its name.
        assert answer.status >= 400
    else:
        assert one.response.status == answer.status, (answer, request)
        assert rules == {rule.strip() for rule in said}
    return report


# --- valid requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "operation_id"), OPERATIONS)
def test_a_generated_request_is_found_valid_by_check_plain_schema_engines_and_server(
    name: str, operation_id: str
) -> None:
    @some
    @given(from_operation(operation(name, operation_id)))
    def law(request: HttpRequest) -> None:
        assert () == judged(name, operation_id, request).violations

    law()


@pytest.mark.parametrize(("name", "operation_id"), BODIES)
def test_with_warnings_allowed_nothing_worse_is_found(name: str, operation_id: str) -> None:
    @few
    @given(from_operation(operation(name, operation_id), allow_warnings=True))
    def law(request: HttpRequest) -> None:
        assert () == judged(name, operation_id, request).errors

    law()


@pytest.mark.parametrize(("name", "operation_id"), BODIES)
def test_every_row_carrier_and_member_is_reached(name: str, operation_id: str) -> None:
    one = operation(name, operation_id)
    wanted = dict(targets(one))
    reached: set[str] = set()

    def note(body: Any) -> None:
        reached.update(name for name, is_hit in wanted.items() if name not in reached and is_hit(body))

    for is_warned in (False, True):

        @settings(some, phases=(Phase.generate,))
        @given(bodies(one, allow_warnings=is_warned))
        def drawn(body: Any) -> None:
            note(body)

        drawn()
    drawn_ones, thrown = len(reached), 0
    # The rest is rare, because much has to come together: the same decisions by dice, which is quicker.
    dice = Dice()
    while reached != wanted.keys() and thrown < 2_000:
        note(plan_of(one).valid_body(dice, NOTHING_EXPLICIT, allows_warnings=True))
        thrown += 1
    assert reached == wanted.keys()
    assert wanted
    print(f"\n{name} {operation_id}: {len(wanted)} rows, carriers, members and edges", end="; ")
    print(f"{drawn_ones} of them at once, the rest after {thrown} more")


class Dice:
    """Decides by chance, as Hypothesis does where it has seen nothing yet."""

    def __init__(self) -> None:
        self._random = random.Random(1)

    def below(self, count: int) -> int:
        return self._random.randrange(count)

    def flag(self) -> bool:
        return self.below(2) == 1

    def text(self) -> str:
        return "a" * self.whole(1, 20)

    def whole(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


def targets(one: Operation) -> Iterator[tuple[str, Any]]:
    """Yield (name, predicate on bodies) of what valid bodies must reach."""
    schema = one.body
    assert schema is not None
    known = contract(one.provider)
    if schema.capabilities is not None:
        for row in schema.capabilities.rows:
            yield f"row {row.name} {row.pointer}", functools.partial(_lies_in, known, one, row)
    for site in schema.images:
        carriers = [rule.carriers for rule in site.rules if rule.carriers]
        for carrier in carriers[0] if carriers else ("url", "base64"):
            yield f"{site.pattern} as {carrier}", functools.partial(_carries, site.pattern, carrier)
    built = plan_of(one).bodies
    assert built is not None
    always = built.valid(allows_warnings=False).state.at(()).required
    for name in schema.members:
        yield (
            f"with {name}",
            lambda body, name=name: name in body and not is_absent(body[name], schema.absent),
        )
        if name not in always:
            yield f"without {name}", lambda body, name=name: name not in body
        node = schema.tree["properties"].get(name, {})
        if "default" in node and not schema.capabilities:
            yield f"default of {name}", lambda body, name=name, value=node["default"]: body.get(name) == value
        for word, length in (("maxLength", len),):
            if word in node and node[word] <= 3_000:
                yield (
                    f"{name} at its {word}",
                    lambda body, name=name, limit=node[word], length=length: (
                        length(body.get(name) or "") == limit
                    ),
                )
        for word in ("minimum", "maximum"):
            if word in node:
                yield (
                    f"{name} at its {word}",
                    lambda body, name=name, limit=node[word]: body.get(name) == limit,
                )
    for value in schema.absent:
        yield (
            f"{value!r} for a member that is absent",
            lambda body, value=value: any(is_absent(member, (value,)) for member in body.values()),
        )


def _lies_in(known: Contract, one: Operation, row: Any, body: Any) -> bool:
    return examine(known, HttpRequest.from_json("POST", "/", body), operation=one.id).row is row


def _carries(pattern: tuple[str, ...], carrier: str, body: Any) -> bool:
    return any(isinstance(text, str) and look(text).carrier == carrier for _, text in members(body, pattern))


# --- flawed requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "operation_id"), OPERATIONS)
def test_every_rule_is_broken_by_a_request_of_its_own(name: str, operation_id: str) -> None:
    one = operation(name, operation_id)
    rules = breakable(one)
    company = {}

    for rule in rules:
        times = sendings(one, rule)
        report = judged(name, operation_id, least(name, operation_id, rule), times=times)

        found = {finding.rule for finding in report.violations} | ({rule} if times == 2 else set())
        assert {rule} | unavoidable(one, rule) == found
        if unavoidable(one, rule):
            company[rule] = sorted(unavoidable(one, rule))

    assert {rule.id for rule in one.rules} <= set(rules)
    print(f"\n{name} {operation_id}: {len(rules)} rules, each broken; not alone: {company or 'none'}")


@pytest.mark.parametrize(("name", "operation_id"), OPERATIONS)
def test_a_drawn_request_with_a_flaw_has_that_one(name: str, operation_id: str) -> None:
    one = operation(name, operation_id)
    if not breakable(one):
        pytest.fail("nothing can be wrong with it")
    # A picture of ten megabytes is drawn where it is asked for.
    light = [rule for rule in breakable(one) if not answers_of(one)._is_heavy(rule)]

    @some
    @given(st.data())
    def law(data: st.DataObject) -> None:
        rule = data.draw(st.sampled_from(light))
        request = data.draw(violating(one, rule))
        times = sendings(one, rule)

        report = judged(name, operation_id, request, times=times)

        found = {finding.rule for finding in report.violations} | ({rule} if times == 2 else set())
        assert rule in found
        assert found <= {rule} | unavoidable(one, rule)

    law()


@pytest.mark.parametrize(("name", "rule"), STRICT)
def test_a_rule_that_is_off_is_broken_once_it_is_on(name: str, rule: str) -> None:
    known = load(TOY if name == "toy" else name, effects={rule: "reject"})
    places = [one for one in known.operations.values() if any(own.id == rule for own in one.rules)]

    assert places
    for one in places:
        report = check(known, smallest(one, rule), now=NOW)
        assert {rule} | unavoidable(one, rule) == {finding.rule for finding in report.violations}


FAIL_FILES = [case for name in LIBRARY for case in read_cases(name, "fail")]


@pytest.mark.parametrize("case", [case for case in FAIL_FILES if case.operation is not None], ids=str)
def test_the_smallest_request_is_no_larger_than_the_one_that_people_wrote(case: Any) -> None:
    made = orjson.loads(least(case.rule.split(".")[0], case.operation, case.rule).body)

    # One more where the way that looked the lightest leads to a member that another would do without.
    assert _size(made) <= _size(case.body) + 1


def _size(body: Any) -> int:
    """Return how many values there are in a body; its own, and everything below."""
    if isinstance(body, dict):
        return 1 + sum(map(_size, body.values()))
    return 1 + sum(map(_size, body)) if isinstance(body, list) else 1


@pytest.mark.parametrize("case", [case for case in FAIL_FILES if case.operation is not None], ids=str)
def test_what_comes_along_is_what_comes_along_with_the_one_that_people_wrote(case: Any) -> None:
    name = case.rule.split(".")[0]
    known = contract(name) if contract(name).rules[case.rule].effect != "off" else strict_contract(name)

    found = unavoidable(known.operations[case.operation], case.rule)

    if case.rule in EITHER:
        assert len(case.also) == len(found)
    else:
        assert set(case.also) == found


EITHER = {"kling.i2v.elements-or-voices"}
"""Either of two others comes along: no model takes both of what must not be together, and each takes one."""


SHRUNK = [
    ("toy", "createClip", "toy.clip.loud", "name"),
    ("toy", "createClip", "toy.mask.ratio", "shape"),
    ("toy", "createClip", "toy.clip.some-input", "hook"),
    ("kling", "createText2Video", "kling.sound.offered", "negative_prompt"),
]


@pytest.mark.parametrize(("name", "operation_id", "rule", "member"), SHRUNK)
def test_a_counterexample_shrinks_to_a_body_with_nothing_else_in_it(
    name: str, operation_id: str, rule: str, member: str
) -> None:
    one = operation(name, operation_id)
    least = orjson.loads(smallest(one, rule).body)
    schema = one.body
    assert schema is not None

    def is_interesting(request: HttpRequest) -> bool:
        # A member that need not be there: the first request that has it has much else too.
        body = orjson.loads(request.body)
        return member in body and not is_absent(body[member], schema.absent)

    found = find(
        violating(one, rule),
        is_interesting,
        settings=settings(database=None, derandomize=True, report_multiple_bugs=False),
    )

    # The member, and one that the way there leads past.
    assert _size(orjson.loads(found.body)) <= _size(least) + 2
    assert least.keys() <= orjson.loads(found.body).keys()


# --- a spec of one's own ----------------------------------------------------------------------------------

ODD = Path(__file__).parent.parent / "odd.yaml"
"""Lists in lists, of different items and of different pictures; oneOf, anyOf, contains; dates, look-ahead, signs that
are not ASCII; parameters of all kinds; an operation without a body."""


@functools.cache
def odd() -> Contract:
    return load(ODD)


@pytest.mark.parametrize("operation_id", ["createJob", "dropJob"])
def test_requests_for_unusual_schemas_are_valid_and_every_member_is_reached(operation_id: str) -> None:
    one = odd().operations[operation_id]
    seen: set[str] = set()

    @settings(suppress_health_check=())
    @given(from_operation(one))
    def law(request: HttpRequest) -> None:
        assert () == check(odd(), request, now=NOW).violations
        seen.update(orjson.loads(request.body) if request.body else ())

    law()
    dice, built = Dice(), plan_of(one)
    for _ in range(60 if one.body is not None else 0):
        seen.update(built.valid_body(dice, NOTHING_EXPLICIT, allows_warnings=False))
    assert set(one.body.members if one.body is not None else ()) == seen


@pytest.mark.parametrize("operation_id", ["createJob", "dropJob"])
def test_every_rule_about_unusual_schemas_is_broken_alone(operation_id: str) -> None:
    one = odd().operations[operation_id]

    for rule in breakable(one):
        assert frozenset() == unavoidable(one, rule)
        assert {rule} == {
            finding.rule for finding in check(odd(), smallest(one, rule), now=NOW).violations
        }, rule

    @settings(suppress_health_check=())
    @given(st.data())
    def law(data: st.DataObject) -> None:
        rule = data.draw(st.sampled_from(breakable(one)))
        request = data.draw(violating(one, rule))
        assert {rule} == {finding.rule for finding in check(odd(), request, now=NOW).violations}

    law()


@pytest.mark.parametrize(
    ("word", "schema"),
    [
        ("patternProperties", {"patternProperties": {"^x-": True}}),
        ("minProperties", {"minProperties": 1}),
        ("prefixItems", {"prefixItems": [True]}),
    ],
)
def test_a_word_that_cannot_be_built_from_is_told(word: str, schema: Any, tmp_path: Path) -> None:
    document = yaml.safe_load(ODD.read_text())
    rule = {"id": "odd.r.more", "message": "m", "source": "page#a", "evidence": "documented"}
    document["components"]["schemas"]["Job"]["properties"]["more"] = {**schema, "x-rule": rule}
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(document))
    one = load(tmp_path / "odd.yaml").operations["createJob"]

    with pytest.raises(ValueError, match=f"cannot be built from '{word}'.*docs/strategies.md"):
        find(bodies(one), lambda body: True, settings=first)


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "operation_id"), OPERATIONS)
def test_an_answer_meets_the_schema_of_the_operation(name: str, operation_id: str) -> None:
    one = operation(name, operation_id)
    content = one.response.contents[0]

    @few
    @given(st.data())
    def law(data: st.DataObject) -> None:
        for state in answers_of(one).states() or (None,):
            reply = data.draw(responses(one, state=state) if state else responses(one))

            if not reply.rule:
                assert (one.response.status, state) == (reply.status, reply.state)
                jsonschema.Draft202012Validator(content.schema).validate(reply.json)
            assert reply.json == orjson.loads(reply.body)
            assert "application/" in reply.headers["content-type"]

    law()


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_error_case_is_answered(name: str) -> None:
    known = contract(name)
    answered: set[str] = set()
    seen = 0

    for one in known.operations.values():
        answers = answers_of(one)
        for cause in refused(one):
            for index, (request, violations) in enumerate(answers.found(cause)):
                reply = answers.refusal(cause, _Picking(index))
                decisive = next(finding for finding in violations if finding.effect == "reject")
                case = next(case for case in known.cases if matches(case.when, decisive, one.id))
                answered.add(case.pointer)
                assert case.status == reply.status
                assert request.method == one.method
                jsonschema.Draft202012Validator(case.response.contents[0].schema).validate(reply.json)
                seen += 1

    left = [case for case in known.cases if case.pointer not in answered]
    for case in left:
        # Nobody asks an operation for a path that is none; a rule that is off or loses to another answers nothing.
        rules = [rule for rule in known.rules if case.when.rule and glob_matches(case.when.rule, rule)]
        is_silent = all(_is_silent(known, rule) for rule in rules)
        assert case.when.kind in ("no-route", "method-not-allowed") or is_silent, case.when
    print(
        f"\n{name}: {seen} refusals, {len(answered)} of {len(known.cases)} error cases; {len(left)} cannot be met"
    )


class _Picking(First):
    """Takes one of several."""

    def __init__(self, index: int) -> None:
        self.index = index

    def below(self, count: int) -> int:
        return self.index


def _is_silent(known: Contract, rule: str) -> bool:
    """Tell whether a rule refuses nothing by itself."""
    places = [one for one in known.operations.values() if any(own.id == rule for own in one.rules)]
    return known.rules[rule].effect != "reject" or all(unavoidable(one, rule) for one in places)


@pytest.mark.parametrize(("name", "operation_id"), CREATING)
def test_a_course_ends_and_says_the_same_in_polls_and_callbacks(name: str, operation_id: str) -> None:
    one = operation(name, operation_id)
    assert one.lifecycle is not None
    ends: set[str] = set()

    @few
    @given(lifecycles(one))
    def law(course: Any) -> None:
        times = [at for at, _ in course.timeline]
        assert sorted(times) == times and times[0] == 0
        last = one.lifecycle.states[course.timeline[-1][1]]  # type: ignore[union-attr]
        assert (True, course.outcome) == (last.is_final, last.outcome)
        assert [state for _, state in course.timeline] == [reply.state for _, reply in course.polls]
        assert {at for at, _ in course.callbacks} <= set(times)
        ends.add(course.reason)

    law()
    for reason in ("", *(one_ for one_ in reasons(one) if not answers_of(one)._is_heavy(one_))):
        course = find(lifecycles(one, reason=reason), lambda course: True, settings=first)
        assert reason == course.reason
        # A task that fails has a failing end, and says so.
        assert ("failure" if reason else "success") == course.outcome


MEMBERS = [one for one in CREATING if one[0] in ("toy", "kling", "magnific")]


@pytest.mark.parametrize(("name", "operation_id"), MEMBERS)
def test_the_polls_of_a_course_have_the_members_that_the_server_answers_with(
    name: str, operation_id: str
) -> None:
    one = operation(name, operation_id)

    @few
    @given(lifecycles(one, reason=""))
    def law(course: Any) -> None:
        tenant = f"t{next(_tenants)}"
        base = f"/t/{tenant}/{name}"
        mock = served()
        mock.freeze(tenant=tenant)
        made = mock.call(
            "POST", base + course.request.url, body=course.request.body, headers=course.request.headers
        )
        assert _shape(made.json) == _shape(course.created.json)
        task = mock.admin("GET", "/tasks", tenant=tenant)["tasks"][0]["id"]
        reader = contract(name).operations[one.links[0].operation]
        path = reader.path.replace(f"{{{reader.path_names[0]}}}", task)
        credential = {key: value for key, value in course.request.headers.items() if key != "content-type"}
        mock.admin("POST", "/clock/advance", {"by": "PT1H"}, tenant=tenant)
        answer = mock.call("GET", base + path, headers=credential)
        assert _shape(answer.json) == _shape(course.polls[-1][1].json)

    law()


def _shape(value: Any) -> Any:
    """Return a value with nothing but the names and types in it; a whole number is a number."""
    if isinstance(value, dict):
        return {name: _shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


# --- what is asked for ------------------------------------------------------------------------------------


def test_explicit_parts_stand_and_the_rest_is_made_to_fit() -> None:
    one = operation("toy", "createClip")
    wanted = {"sound": "on", "/seconds": st.sampled_from(["5", 5, "10"]), "X-Toy-Key": "k", "name": None}
    seen: set[Any] = set()

    @some
    @given(from_operation(one, explicit=wanted, allow_warnings=True))
    def law(request: HttpRequest) -> None:
        body = orjson.loads(request.body)
        assert ("on", "k", None) == (body["sound"], request.headers["x-toy-key"], body["name"])
        seen.add(body["seconds"])
        assert () == check(contract("toy"), request).errors

    with pytest.raises(ValueError, match=r"seconds = '10'.*toy\.clip\.loud"):
        # Ten seconds have no sound in any row.
        law()
    assert {"5", 5} <= seen


@pytest.mark.parametrize(
    ("explicit", "sentence"),
    [
        ({"promt": 1}, "'promt' is neither a member nor a parameter of createClip; did you mean 'prompt'?"),
        ({"/pictur": 1}, "'/pictur' is neither a member nor a parameter"),
        ({"/masks/0/mask": 1}, "'/masks/0/mask' is neither a member nor a parameter"),
        ({"": 1}, "'' is neither a member nor a parameter"),
    ],
)
def test_a_part_that_is_not_there_is_told_at_once(explicit: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_operation(operation("toy", "createClip"), explicit=explicit)

    assert sentence in str(caught.value)


def test_a_value_that_no_valid_request_has_is_told_with_its_rule() -> None:
    one = operation("toy", "createClip")

    with pytest.raises(ValueError, match=r"createClip.*has model = 'a9'.*toy\.clip\.model"):
        find(bodies(one, explicit={"model": "a9"}), lambda body: True)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda one: violating(one, "toy.clip.modle"), "did you mean 'toy.clip.model'?"),
        (lambda one: violating(one, "toy.clip.retired"), "a rule that is off is not judged"),
        (lambda one: smallest(one, "nothing"), "is no rule that a request of createClip can break"),
        (lambda one: responses(one, state="done"), "no answer of createClip shows the state 'done'"),
        (lambda one: lifecycles(one, reason="crsh"), "did you mean 'crash'?"),
        (lambda one: refusals(one, rule="toy.request.conflict"), "createClip refuses nothing for"),
        (lambda one: bodies(one.family.contract.operations["getClip"]), "getClip takes no body"),
        (lambda one: lifecycles(one.family.contract.operations["getClip"]), "getClip creates no tasks"),
    ],
)
def test_what_cannot_be_asked_for_is_told_at_once(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        call(operation("toy", "createClip"))

    assert sentence in str(caught.value)


@pytest.mark.parametrize("make", [from_operation, bodies, responses, refusals, lifecycles, breakable])
def test_what_is_no_operation_is_told_with_what_is_one(make: Any) -> None:
    for wrong in ("createClip", None, contract("toy")):
        with pytest.raises(TypeError, match=r"is no operation; take one of load\('SPEC.yaml'\)"):
            make(wrong)
    with pytest.raises(TypeError, match="None is no rule; give its id, such as 'toy"):
        smallest(operation("toy", "createClip"), None)  # type: ignore[arg-type]


def test_requests_are_built_without_beginning_again() -> None:
    for name, operation_id in WITH_BODY:
        one = operation(name, operation_id)
        built = plan_of(one).bodies
        assert built is not None
        before = built.repairs

        @few
        @given(bodies(one))
        def law(body: Any) -> None:
            assert isinstance(body, dict)

        law()
        assert before == built.repairs


def test_the_package_is_imported_and_the_smallest_request_made_without_hypothesis() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None
from validator import load
from validator.strategies import from_operation, smallest
one = load("kling").operations["createText2Video"]
print(smallest(one, "kling.sound.value").body.decode())
try:
    from_operation(one)
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    body, sentence = out.splitlines()
    assert {"prompt", "sound"} == set(json.loads(body))
    assert "pip install 'understudy[test]'" in sentence


def test_absent_members_written_out_change_nothing() -> None:
    one = operation("toy", "createClip")
    schema = one.body
    assert schema is not None

    @some
    @given(bodies(one))
    def law(body: Any) -> None:
        assert schema.validator.is_valid(remove_absent(body, schema.absent))

    law()


FEW_EXAMPLES = """
from hypothesis import settings
settings.register_profile("few", max_examples=10, derandomize=True, database=None)
settings.load_profile("few")
"""


def test_the_examples_of_the_page_pass(tmp_path: Path) -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "strategies.md"
    code = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "conftest.py").write_text(FEW_EXAMPLES)
    (tmp_path / "test_page.py").write_text("\n\n".join(code))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_page.py")]

    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert 0 == run.returncode, run.stdout
    assert f"{len(re.findall('^def test_', chr(10).join(code), re.MULTILINE))} passed" in run.stdout
