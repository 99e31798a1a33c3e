"""`understudy drift` against a second understudy on a real socket, one that serves a changed copy of a spec."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mockserver.app import App
from mockserver.drift.keys import Key, any_key
from mockserver.drift.probes import Plan, make_plan
from mockserver.drift.run import Outcome, run
from mockserver.drift.sender import HttpSender
from mockserver.server import listen, make_server
from mockserver.settings import Settings
from tests.e2e.running import call
from tests.providers import LIBRARY, contract
from validator.contract import Contract
from validator.contract.compile import compile_document
from validator.contract.document import Document
from validator.diff.seeds import each_way
from validator.expected import leaves
from validator.security import KeyRing

NOW = 1_795_000_000


@contextlib.contextmanager
def serving(known: Contract, **settings: Any) -> Iterator[str]:
    """Serve a contract on a socket of its own; yield the provider's base URL."""
    app = App(Settings(log="off", seed=1, **settings), {known.id: known})
    sock = listen("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/{known.id}{known.base_path}"
    finally:
        server.should_exit = True
        thread.join(20)
        sock.close()


def changed(name: str, change: Any) -> Contract:
    """Return the contract of a copy of a spec after a change of its document."""
    root = copy.deepcopy(contract(name).document.root)
    change(root)
    return compile_document(Document(file="changed.yaml", root=root))


def key_of(name: str) -> Key:
    known = contract(name)
    return any_key(next(one.credentials[0] for one in known.operations.values() if one.credentials))


@functools.cache
def plan(name: str) -> Plan:
    """Return what a provider is asked, worked out once."""
    return make_plan(contract(name), key=key_of(name), now=NOW, smallest=each_way)


def ask(name: str, base: str, **more: Any) -> Outcome:
    sender = HttpSender(base, timeout_s=20)
    try:
        return run(
            plan(name),
            sender,
            key=more.pop("key", key_of(name)),
            now=lambda: NOW,
            wait=lambda seconds: None,
            pause_s=0,
            **more,
        )
    finally:
        sender.close()


def word(root: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        root = root[int(step)] if isinstance(root, list) else root[step]
    return root


# --- one changed rule -------------------------------------------------------------------------------------


def reject_rules(name: str) -> list[str]:
    """Return the rules that a probe is made for, in the order they are asked."""
    known = contract(name).rules
    return list(dict.fromkeys(one.rule for one in plan(name).probes if one.rule in known))


def with_effect(name: str, rule: str, effect: str) -> Contract:
    def change(root: Any) -> None:
        word(root, contract(name).rules[rule].pointer)["effect"] = effect

    return changed(name, change)


def with_case(name: str, rule: str, **parts: Any) -> Contract:
    """Return the contract in which one rule is answered otherwise."""
    probe = next(one for one in plan(name).probes if one.rule == rule)
    assert probe.expected.refusal is not None
    case = word(contract(name).document.root, probe.expected.refusal.case.pointer)

    def change(root: Any) -> None:
        cases = root["x-errors"]["cases"]
        # A case that could not be reached any more would be told to be a mistake of the spec.
        cases[:] = [one for one in cases if one["when"].get("rule") != rule]
        cases.insert(0, {**copy.deepcopy(case), "when": {"rule": rule}, **parts})

    return changed(name, change)


@pytest.mark.parametrize("name", LIBRARY)
def test_an_unchanged_provider_shows_no_drift_and_every_rule_is_asked_or_says_why_not(name: str) -> None:
    with serving(contract(name)) as base:
        out = ask(name, base)

    assert [] == [(one.probe.rule, one.level, one.expected, one.got) for one in out.differing]
    assert ("", "", []) == (out.problem, out.stopped, out.taken)
    told = {one.probe.rule for one in out.findings} | {one.rule for one in out.unasked}
    assert set() == set(contract(name).rules) - told - unused(name)
    asked = {one.probe.rule for one in out.findings}
    left = {one.rule for one in out.unasked if "alone" in one.why and one.rule not in asked}
    print(
        f"\n{name}: {out.sent} requests, {len(out.of('agrees'))} agree, {len(out.unasked)} not asked, {left=}"
    )
    assert left <= NOT_ALONE


NOT_ALONE = {
    # Another rule says the same of every request that breaks it.
    "modellix.image.some-frame",
}


def unused(name: str) -> set[str]:
    """Return the rules that no operation has at all, those that are off."""
    return {rule.id for rule in contract(name).rules.values() if rule.effect == "off"}


SAMPLES = [(name, index) for name in LIBRARY for index in range(3)]


@pytest.mark.parametrize(("name", "index"), SAMPLES)
def test_a_rule_that_no_longer_refuses_is_the_only_one_named(name: str, index: int) -> None:
    rules = reject_rules(name)
    rule = rules[(index * len(rules)) // 3]

    with serving(with_effect(name, rule, "warn")) as base:
        out = ask(name, base)

    assert {rule} == {one.probe.rule for one in out.differing}
    (found,) = {one.level for one in out.differing}
    # A read without a name for its task is refused all the same, only for another reason.
    assert "verdict" == found or not out.differing[0].probe.is_create
    if out.taken:
        assert "a request that is to be refused was taken" == out.stopped
        assert 1 == len(out.taken)


@pytest.mark.parametrize("rule", ["kling.list.page-size", "kling.list.page-num"])
def test_a_list_whose_rules_only_warn_is_answered_all_the_same(rule: str) -> None:
    with serving(with_effect("kling", rule, "warn")) as base:
        out = ask("kling", base, most_requests=60)

    shown = [one for one in out.findings if one.probe.rule == rule]
    assert {"verdict"} == {one.level for one in shown}
    assert {True} == {one.got.startswith("200 ") for one in shown}, [one.got for one in shown]


CODED = ["kling"]
"""Providers whose refusals carry a code of their own in the body."""
OTHERWISE = [
    *((name, {"message": "changed"}, "message") for name in LIBRARY),
    *((name, {"status": 418}, "status") for name in LIBRARY),
    *((name, {"code": 77}, "code") for name in CODED),
]


@pytest.mark.parametrize(("name", "parts", "level"), OTHERWISE)
def test_a_rule_that_is_answered_otherwise_is_the_only_one_named(
    name: str, parts: dict[str, Any], level: str
) -> None:
    rules = reject_rules(name)
    probes = {one.rule: one for one in plan(name).probes}
    coded = [rule for rule in rules if probes[rule].expected.code is not None]
    if level == "code" and not coded:
        pytest.skip(f"{name} has no codes")
    shown = [rule for rule in (coded if level == "code" else rules) if says(probes[rule], level)]
    rule = shown[len(shown) // 2]

    with serving(with_case(name, rule, **parts)) as base:
        out = ask(name, base)

    assert {(rule, level)} == {(one.probe.rule, one.level) for one in out.differing}
    assert [] == out.taken
    (first, *_) = out.differing
    sure = first.evidence in ("documented", "captured")
    assert ("provider changed" if sure else "contract wrong") == first.verdict


def says(probe: Any, level: str) -> bool:
    """Tell whether a refusal carries its message, or its code, in the body."""
    wanted = probe.expected.code if level == "code" else probe.expected.message
    told = [value for _, value in leaves(probe.expected.answer.body)]
    return level == "status" or wanted in told


BOUNDS = {
    # A bound that moved, a list of values that is gone, a condition that no longer holds.
    "bound": ("kling.prompt.length", lambda schemas: schemas["Prompt"].update(maxLength=3000)),
    "range": ("kling.camera.axis", lambda schemas: schemas["Axis"].update(minimum=-20, maximum=20)),
    "entries": ("kling.multi-prompt.count", lambda schemas: schemas["MultiPrompt"].update(maxItems=7)),
    "values": ("kling.shot-type.value", lambda schemas: schemas["ShotType"].pop("enum")),
    "condition": (
        "kling.multi-shot.shot-type",
        lambda schemas: schemas["ShotTypeNeeded"].update(then={"required": ["multi_shot"]}),
    ),
}


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_rule_that_moved_is_the_only_one_named(kind: str) -> None:
    rule, change = BOUNDS[kind]

    with serving(changed("kling", lambda root: change(root["components"]["schemas"]))) as base:
        out = ask("kling", base)

    assert {rule} == {one.probe.rule for one in out.differing}


# --- money ------------------------------------------------------------------------------------------------


def test_the_run_goes_on_past_a_taken_request_only_where_it_may() -> None:
    rules = [rule for rule in reject_rules("kling") if ".list." not in rule and ".costs." not in rule][:3]

    def change(root: Any) -> None:
        for rule in rules:
            word(root, contract("kling").rules[rule].pointer)["effect"] = "warn"

    with serving(changed("kling", change)) as base:
        one = ask("kling", base)
        two = ask("kling", base, most_accepted=2)

    assert (1, 2) == (len(one.taken), len(two.taken))
    assert one.unsent and two.unsent
    assert all(each.task.isdigit() for each in two.taken)
    prices = [row.prices[0].base for row in capabilities("kling").rows if row.prices[0].base]
    assert {min(prices), None} >= {each.probe.price for each in two.taken}, "the cheapest combination"


def capabilities(name: str) -> Any:
    """Return the capability map of the first operation that has one."""
    found = [one.body.capabilities for one in contract(name).operations.values() if one.body is not None]
    return next(one for one in found if one is not None)


def test_no_more_requests_are_sent_than_allowed() -> None:
    with serving(contract("modellix")) as base:
        out = ask("modellix", base, most_requests=5)

    assert (5, "5 requests were sent, which is the most") == (out.sent, out.stopped)
    assert len(out.unsent) == len(plan("modellix").probes) - 5


def test_a_refused_credential_makes_what_needs_it_not_comparable() -> None:
    with serving(
        contract("modellix"), credentials={"modellix": KeyRing(keys={"right-key-0123456789": None})}
    ) as base:
        out = ask("modellix", base, key=Key("wrong-key-0123456789"))

    assert "the server refuses the credential" == out.problem
    assert {"the credential is refused", "the credential is refused (401)"} == {
        one.why for one in out.findings if one.verdict == "not comparable"
    }
    assert [] == out.taken
    assert "wrong-key" not in str(out.findings)


def test_nobody_at_home_is_no_drift() -> None:
    out = ask("modellix", "http://127.0.0.1:9")

    assert out.problem.startswith("no connection")
    assert (1, [], []) == (out.sent, out.differing, out.taken)


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_agrees_finds_and_breaks_with_its_exit_codes() -> None:
    arguments = ("--provider", "modellix", "--rate", "1000/s")
    with serving(contract("modellix")) as base:
        agrees = call("drift", *arguments, "--to", base)
        as_json = call(
            "drift", *arguments, "--to", base, "--format", "json", "--rule", reject_rules("modellix")[0]
        )
    with serving(with_case("modellix", reject_rules("modellix")[0], status=418)) as base:
        differs = call("drift", *arguments, "--to", base, "--format", "junit")
    gone = call("drift", *arguments, "--to", base)

    assert 0 == agrees.returncode, agrees.stdout + agrees.stderr
    assert " agrees, " in agrees.stdout
    assert 0 == as_json.returncode
    # One for the credential, and one for each way to break the rule.
    assert 2 <= json.loads(as_json.stdout)["summary"]["sent"] < 10
    assert 1 == differs.returncode
    failed = re.findall(r'name="([^":]+): [^"]*">\n *<failure', differs.stdout)
    assert {reject_rules("modellix")[0]} == set(failed), differs.stdout
    assert (2, True) == (gone.returncode, "broken off: no connection" in gone.stdout)


def test_a_real_host_is_not_asked_without_a_word() -> None:
    silent = call("drift", "--provider", "modellix", "--to", "https://api.modellix.invalid")
    keyed = call(
        "drift",
        *("--provider", "modellix", "--to", "https://api.modellix.invalid"),
        env={"UNDERSTUDY_DRIFT_CREDENTIAL": "secret-key-0123456789"},
    )
    dry = call("drift", "--provider", "modellix", "--to", "https://api.modellix.invalid", "--dry-run")

    assert (2, "") == (silent.returncode, silent.stdout)
    assert "takes a credential" in silent.stderr
    assert (2, "") == (keyed.returncode, keyed.stdout)
    assert "would go to api.modellix.invalid" in keyed.stderr
    assert "--yes sends them" in keyed.stderr
    assert "secret-key" not in keyed.stdout + keyed.stderr
    assert 0 == dry.returncode
    assert "would make a task if they were taken" in dry.stdout
