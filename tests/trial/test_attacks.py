"""What could mislead a law: other hands on the clock, clients that lie, journals that forgot, many requests."""

from __future__ import annotations

import base64
import contextlib
import time
from dataclasses import replace
from json import dumps as json_text
from typing import Any
from urllib.parse import quote

import pytest

from mockserver.journal import kept_body
from mockserver.scenarios import SCENARIOS, obstacle
from mockserver.trial import LAWS, Conduct, Finding, Program, exchange_lines, finding_text, judge
from mockserver.trial.endings import silence
from tests.pictures import picture
from tests.providers import contract
from tests.trial.client import Client
from tests.trial.world import BASE, HOOK, KEY, TENANT, Lost, World
from validator.security import make_token


def outcome(law: str, conduct: Conduct) -> str:
    return LAWS[law].judge(conduct).outcome


def finding(law: str, conduct: Conduct) -> Finding:
    return LAWS[law].judge(conduct)


def broken(conduct: Conduct) -> list[str]:
    return [one.law for one in judge(conduct) if one.outcome == "broken"]


def make(world: World, **body: Any) -> str:
    reply = world.request("POST", "/clips", json={"prompt": "a boat"} | body)
    assert reply.status == 200, reply
    made: str = reply.json["clip"]["id"]
    return made


def plan(scenario: str, *, role: str = "create", times: int | None = 1, **values: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"scenario": scenario, "with": values, "match": {"role": role}}
    return entry if times is None else entry | {"times": times}


# --- the whole atlas --------------------------------------------------------------------------------------

TOY = contract("toy")
ROLES = {one.role: one for one in TOY.operations.values() if one.role}
ACTS = [
    (name, role)
    for name, one in SCENARIOS.items()
    for role, operation in ROLES.items()
    if not obstacle(one, TOY, operation)
]


@pytest.fixture(scope="module")
def baseline() -> Conduct:
    with World() as world:
        program = Client(world, has_hook=True).run("a boat", "a kite")
        return world.conduct(program=program)


@pytest.mark.parametrize(("name", "role"), ACTS)
@pytest.mark.parametrize("times", [2, None])
def test_a_careful_client_breaks_nothing_whatever_happens(
    name: str, role: str, times: int | None, baseline: Conduct
) -> None:
    with World(plan=[plan(name, role=role, times=times)]) as world:
        program = Client(world, has_hook=True).run("a boat", "a kite")
        conduct = world.conduct(program=program, baseline=baseline)

    found = [finding_text(one, conduct) for one in judge(conduct) if one.outcome == "broken"]
    assert [] == found
    assert [] == broken(replace(conduct, baseline=None))


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("stuck-processing", "create"),
        ("internal-error", "read"),
        ("unauthorized", "read"),
        ("reset-before-answer", "create"),
        ("truncated-body", "read"),
    ],
)
@pytest.mark.parametrize(
    ("fault", "expected"), [("hides-failures", "broken"), ("says-nothing", "broken"), ("", "kept")]
)
def test_a_job_that_is_given_up_is_told_of(name: str, role: str, fault: str, expected: str) -> None:
    with World() as world:
        base = world.conduct(program=Client(world).run("a boat"))
    with World(plan=[plan(name, role=role, times=None)]) as world:
        conduct = world.conduct(program=Client(world, fault).run("a boat"), baseline=base)

    assert 0 == conduct.fulfilled
    assert expected == outcome("fails-loudly", conduct)
    assert "not-reached" == outcome("fails-loudly", replace(conduct, baseline=None))


def test_a_client_that_leaves_jobs_to_others_is_not_asked_for_them() -> None:
    with World() as world:
        make(world)
        base = world.conduct(program=Program(exit_code=0))

    assert "not-reached" == outcome("fails-loudly", replace(base, baseline=base))


def test_nobody_who_did_nothing_keeps_anything() -> None:
    with World() as world:
        conduct = world.conduct()

    assert {"not-reached"} == {one.outcome for one in judge(conduct)}
    assert all(one.note for one in judge(conduct))


# --- time -------------------------------------------------------------------------------------------------


def polled(world: World, pause_s: float, *, reads: int = 4) -> Conduct:
    task = make(world)
    for _ in range(reads):
        world.request("GET", f"/clips/{task}")
        world.sleep(pause_s)
    return world.conduct()


def test_a_pause_is_counted_in_the_seconds_of_the_client() -> None:
    stuck = [plan("stuck-processing")]
    with World(plan=stuck, speed=60.0) as world:
        quick = polled(world, 0.5)
    with World(plan=stuck, speed=60.0) as world:
        slow = polled(world, 1.5)
    with World(plan=stuck, speed=0.1) as world:
        slower = polled(world, 1.5)

    found = [outcome("polls-not-too-fast", conduct) for conduct in (quick, slow, slower)]
    assert ["broken", "kept", "kept"] == found
    assert "the soonest after 0.5 s" in finding("polls-not-too-fast", quick).breaches[0].sentence


def test_a_client_that_sleeps_by_the_wall_is_not_quick_because_the_clock_is_at_rest() -> None:
    def asked(real_s: float, *, counts_real: bool = True) -> Finding:
        with World() as world:
            world.admin("PUT", "/clock", {"mode": "frozen"})
            conduct = polled(world, 0)
            world.admin("POST", "/clock/advance", {"by": "PT5M"})
            world.request("GET", "/clips")
            conduct = world.conduct()
        began = conduct.exchanges[0].ended_s
        slept = (one._replace(ended_s=began + n * real_s) for n, one in enumerate(conduct.exchanges))
        pace = replace(conduct.pace, counts_real=counts_real)
        return finding("polls-not-too-fast", replace(conduct, exchanges=tuple(slept), pace=pace))

    assert "kept" == asked(2).outcome
    assert "broken" == asked(0.2).outcome and "the clock was at rest" in asked(0.2).note
    assert "broken" == asked(2, counts_real=False).outcome


def test_the_journal_keeps_real_time_in_the_order_of_its_entries() -> None:
    with World(journal_entries=3) as world:
        for _ in range(5):
            world.request("GET", "/clips")
        moments = [one.ended_s for one in world.conduct().exchanges]

    assert 3 == len(moments)
    assert moments == sorted(moments) and moments[0] > 0


def test_a_clock_that_nobody_moved_says_nothing_about_pauses() -> None:
    with World() as world:
        world.admin("PUT", "/clock", {"mode": "frozen"})
        conduct = polled(world, 2)

    found = finding("polls-not-too-fast", conduct)
    assert "not-reached" == found.outcome
    assert "stood still" in found.note


@pytest.mark.parametrize(("by", "expected"), [("PT0.3S", "broken"), ("PT3S", "kept")])
def test_a_clock_that_is_moved_step_by_step_is_the_time_of_the_client(by: str, expected: str) -> None:
    with World() as world:
        world.admin("PUT", "/clock", {"mode": "frozen"})
        task = make(world)
        for _ in range(3):
            world.request("GET", f"/clips/{task}")
            world.admin("POST", "/clock/advance", {"by": by})
        conduct = world.conduct()

    assert expected == outcome("polls-not-too-fast", conduct)


def test_a_task_that_ends_in_the_moment_of_a_read_was_not_told_to_have_ended() -> None:
    with World() as world:
        world.admin("PUT", "/clock", {"mode": "frozen"})
        task = make(world)
        for _ in range(3):
            world.request("GET", f"/clips/{task}")
        world.admin("PATCH", f"/tasks/{task}", {"outcome": "failure", "message": "no"})
        world.request("GET", f"/clips/{task}")
        conduct = world.conduct()

    assert "kept" == outcome("stops-at-final-state", conduct)
    assert [False, False, False, True] == [step.told[0].is_end for step in conduct.reads[task]]


def test_tasks_that_are_read_in_turn_are_not_one_that_is_read_too_fast() -> None:
    with World() as world:
        tasks = [make(world, prompt=f"boat {number}") for number in range(5)]
        for _ in range(3):
            for task in tasks:
                world.request("GET", f"/clips/{task}")
                world.sleep(0.3)
        conduct = world.conduct()

    assert "kept" == outcome("polls-not-too-fast", conduct)


def test_one_more_read_after_the_end_is_let_pass_and_two_are_not() -> None:
    with World() as world:
        task = make(world)
        world.sleep(20)
        for _ in range(2):
            world.request("GET", f"/clips/{task}")
            world.sleep(2)
        kept = world.conduct()
        world.request("HEAD", f"/clips/{task}")
        more = world.conduct()

    assert "kept" == outcome("stops-at-final-state", kept)
    assert "broken" == outcome("stops-at-final-state", more)


@pytest.mark.parametrize(
    ("tasks", "lists", "pause_s", "expected"),
    [
        (1, 5, 0.1, "broken"),
        (1, 5, 1.0, "kept"),
        (1, 2, 0.0, "kept"),
        (4, 5, 0.2, "kept"),
        (4, 12, 0.1, "broken"),
        (0, 5, 0.0, "not-reached"),
    ],
)
def test_a_list_may_be_read_once_a_second_for_each_task_in_it(
    tasks: int, lists: int, pause_s: float, expected: str
) -> None:
    with World() as world:
        for number in range(tasks):
            make(world, prompt=f"boat {number}")
        for _ in range(lists):
            world.request("GET", "/clips")
            world.sleep(pause_s)
        world.sleep(60)
        for _ in range(5):
            # All are over now, and whoever looks at them is not waiting.
            world.request("GET", "/clips")
        conduct = world.conduct()

    assert ["polls-not-too-fast"] * (expected == "broken") == broken(conduct)
    assert expected == outcome("polls-not-too-fast", conduct)


@pytest.mark.parametrize("times", [1, 4])
def test_an_answer_that_says_it_is_no_json_need_not_be_read(times: int) -> None:
    with World(plan=[plan("wrong-content-type", role="read", times=times)]) as world:
        task = make(world)
        for _ in range(times + 1):
            world.sleep(20)
            answer = world.request("GET", f"/clips/{task}")
        strict = world.conduct(program=Program(exit_code=1, stderr="the answer is no JSON: text/html"))
        early = replace(strict, exchanges=strict.exchanges[:-1])
        for _ in range(2):
            world.sleep(20)
            world.request("GET", f"/clips/{task}")
        conduct = world.conduct()

    assert "json" in answer.headers["content-type"]
    assert [] == broken(replace(strict, program=None)) == broken(early)
    assert ["stops-at-final-state"] == broken(conduct)


# --- asking again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "pause_s", "expected"),
    [
        ("3", 2, "broken"),
        ("3", 3, "kept"),
        ("0", 0.1, "kept"),
        ("999999999999", 4000, "broken"),
        ("soon", 2, "not-reached"),
        ("-5", 2, "not-reached"),
        ("1.5", 2, "not-reached"),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 5, "broken"),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30, "kept"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, "kept"),
        ("Fri, 31 Dec 99999 00:00:00 GMT", 1, "not-reached"),
    ],
)
def test_what_retry_after_says(told: str, pause_s: float, expected: str) -> None:
    with World(plan=[plan("rate-limited", **{"retry-after": told})]) as world:
        world.request("POST", "/clips", json={"prompt": "a boat"})
        world.sleep(pause_s)
        make(world)
        conduct = world.conduct()

    assert expected == outcome("obeys-retry-after", conduct)


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([1, 2, 4, 8], "kept"),
        ([2, 1.2, 4, 3], "kept"),
        ([30, 30, 30, 30], "kept"),
        ([2, 2], "kept"),
        ([2, 2, 2], "broken"),
        ([4, 2, 1], "broken"),
        ([1, 0.2], "broken"),
        ([], "kept"),
    ],
)
def test_which_pauses_grow(pauses: list[float], expected: str) -> None:
    with World(plan=[plan("internal-error", times=len(pauses) or 1)]) as world:
        for pause in [*pauses, 0]:
            world.request("POST", "/clips", json={"prompt": "a boat"})
            world.sleep(pause)
        conduct = world.conduct()

    assert expected == outcome("backs-off", conduct)


def test_other_requests_in_between_are_not_the_same_one_again() -> None:
    with World(plan=[plan("rate-limited")]) as world:
        world.request("POST", "/clips", json={"prompt": "a boat"})
        make(world, prompt="a kite")
        world.request("GET", "/clips")
        conduct = world.conduct()

    assert [] == broken(conduct)


def test_a_new_token_may_be_tried_once() -> None:
    refused = plan("unauthorized", role="list", times=None)

    def asked(*keys: str) -> Conduct:
        with World(plan=[refused]) as world:
            for key in keys:
                world.request("GET", "/clips", headers={"x-toy-key": key})
                world.sleep(5)
            return world.conduct()

    assert "kept" == outcome("no-useless-retry", asked("toy-key-1", "toy-key-2"))
    assert "broken" == outcome("no-useless-retry", asked("toy-key-1", "toy-key-1"))
    assert "kept" == outcome("no-useless-retry", asked("toy-key-1"))


def test_each_token_that_ran_out_may_be_replaced() -> None:
    def asked(*answers: tuple[int, bool]) -> str:
        """Ask with the token of that number, refused or not."""
        with World() as world:
            now = int(world.now_s)
            for number, is_refused in answers:
                form = next(iter(TOY.operations.values())).credentials[1].jwt
                assert form is not None
                token = make_token(form, "toy-account", "toy-secret", now=now, lifetime_s=900 + number)
                headers = {"x-toy-key": "", "authorization": f"Bearer {token}"}
                prefer = {"prefer": "code=401"} if is_refused else {}
                reply = world.request("GET", "/clips", headers=headers | prefer)
                assert (401 if is_refused else 200) == reply.status, reply
                world.sleep(2)
            return outcome("no-useless-retry", world.conduct())

    assert "kept" == asked((1, True), (2, False), (2, True), (3, False), (3, True), (4, False))
    assert "broken" == asked((1, True), (2, True), (3, False))
    assert "broken" == asked((1, True), (2, False), (2, True), (2, False))


# --- several jobs at once ---------------------------------------------------------------------------------


def test_what_several_jobs_ask_at_once_is_no_retry() -> None:
    refused = [plan("rate-limited", role="list", times=3)]

    def asked(tasks: int, *pauses_s: float) -> str:
        with World(plan=refused) as world:
            for number in range(tasks):
                make(world, prompt=f"boat {number}")
            for pause_s in pauses_s:
                world.request("GET", "/clips")
                world.sleep(pause_s)
            return outcome("backs-off", world.conduct())

    assert "kept" == asked(3, 0, 0, 1.1, 0, 0, 1.1)
    assert "broken" == asked(1, 0, 0, 1.1, 0, 0, 1.1)
    assert "broken" == asked(3, 0, 0, 0.3, 0, 0, 1.1)


@pytest.mark.parametrize("scenario", ["rate-limited", "moderation-at-create", "reset-after-accept"])
def test_variants_of_one_video_with_names_of_their_own_are_not_each_others_retries(scenario: str) -> None:
    variants = [{"prompt": "a boat", "name": f"variant-{number}"} for number in range(3)]

    def sent(*rounds: list[dict[str, Any]]) -> list[str]:
        with World(plan=[plan(scenario, times=3)]) as world:
            for bodies in rounds:
                for body in bodies:
                    with contextlib.suppress(Lost):
                        world.request("POST", "/clips", json=body)
                world.sleep(2)
                if scenario == "reset-after-accept":
                    for body in bodies:
                        world.request("GET", f"/clips/{body['name']}")
            return broken(world.conduct())

    assert [] == (sent(variants) if scenario == "moderation-at-create" else sent(variants, variants))


def test_a_new_name_for_each_attempt_hides_no_retry() -> None:
    names = [{"prompt": "a boat", "name": f"attempt-{number}"} for number in range(4)]
    with World() as world:
        base = wished(world, names[0])

    def sent(scenario: str) -> list[str]:
        with World(plan=[plan(scenario, times=3)]) as world:
            for body in names:
                world.request("POST", "/clips", json=body)
                world.sleep(0.1)
            return broken(replace(world.conduct(), baseline=base))

    assert ["backs-off"] == sent("internal-error")
    assert ["no-useless-retry"] == sent("moderation-at-create")


def test_many_jobs_with_names_are_judged_in_linear_time() -> None:
    with World(plan=[plan("rate-limited")]) as world:
        world.request("POST", "/clips", json={"prompt": "a boat", "name": "order"})
        world.request("GET", "/clips")
        one = world.conduct()
    create, read = one.exchanges
    many = [
        create._replace(id=f"{number}-{again}", at=create.at + 5_000 * again, body=body % number)
        for body in (b'{"prompt": "a boat", "name": "order-%d"}',)
        for again in range(2)
        for number in range(10_000)
    ]

    started = time.process_time()
    found = broken(replace(one, exchanges=(*many, *(read._replace(id=str(n)) for n in range(10_000)))))

    assert time.process_time() - started < 10
    assert [] == found


def test_another_name_is_another_request_where_the_name_was_wrong() -> None:
    with World() as world:
        make(world, name="order-1", prompt="a kite")
        first = world.request("POST", "/clips", json={"prompt": "a boat", "name": "order-1"})
        make(world, name="order-2")
        conduct = world.conduct()

    assert 409 == first.status
    assert [] == broken(conduct)


# --- what is a client's own fault -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "json"),
    [
        ("POST", "/clips", {"prompt": "x" * 41}),
        ("POST", "/clips", {"prompt": "a boat", "picture": "iVBORw0KGgo="}),
        ("POST", "/clips", [1]),
        ("DELETE", "/clips/none", None),
        ("GET", "/nowhere", None),
        ("GET", "/clips?page=0", None),
        ("GET", "/t/trial/nobody/at/all", None),
    ],
)
def test_requests_that_are_wrong(method: str, target: str, json: Any) -> None:
    with World() as world:
        world.request(method, target, json=json)
        conduct = world.conduct()

    assert ["no-invalid-request"] == broken(conduct)


@pytest.mark.parametrize(
    ("method", "target", "json", "prefer"),
    [
        ("GET", "/clips/scenario%20rate-limited", None, ""),
        ("GET", "/clips/none", None, ""),
        ("GET", "/clips", None, "code=401"),
        ("POST", "/clips", {"prompt": "a boat", "unknown": 1}, ""),
        ("POST", "/clips", {"prompt": "a boat", "old": "x"}, ""),
        ("POST", "/clips", {"prompt": "a boat"}, "scenario=invalid"),
        ("GET", "/clips", None, "scenario=unauthorized"),
    ],
)
def test_requests_that_are_not_wrong(method: str, target: str, json: Any, prefer: str) -> None:
    with World() as world:
        world.request(method, target, json=json, headers={"prefer": prefer} if prefer else {})
        conduct = world.conduct()

    assert "kept" == outcome("no-invalid-request", conduct)


def test_a_client_cannot_excuse_itself_with_the_words_of_a_scenario() -> None:
    with World() as world:
        world.request("GET", "/clips?page=0", headers={"x-mock-scenario": "invalid", "prefer": "code=none"})
        world.request("GET", "/clips?size=scenario%20invalid", headers={"x-mock-scenario": "invalid"})
        conduct = world.conduct()

    assert 2 == len(finding("no-invalid-request", conduct).breaches)


# --- spending ---------------------------------------------------------------------------------------------


def test_two_pictures_of_one_size_are_two_wishes() -> None:
    one, other = two_pictures()

    with World() as world:
        make(world, picture=one)
        make(world, picture=other)
        two = world.conduct()
        make(world, picture=one)
        three = world.conduct()

    assert len(one) == len(other) > 16_384 and one != other
    assert "kept" == outcome("one-task-per-wish", two)
    assert "broken" == outcome("one-task-per-wish", three)


def two_pictures() -> tuple[str, str]:
    """Two pictures of one size in bytes that differ in the middle only."""
    whole = base64.b64decode(picture()) + bytes(14_000)
    changed = whole[:-7_000] + b"\1" * 7 + whole[-6_993:]
    return base64.b64encode(whole).decode(), base64.b64encode(changed).decode()


def test_the_journal_tells_bodies_apart_that_look_alike_once_they_are_cut() -> None:
    one, other = (b'{"picture": "' + sign * 20_000 + b'", "n": 1}' for sign in (b"a", b"b"))
    shown = [kept_body(body).split(b"\\u2026")[-1] for body in (one, other)]

    assert shown[0][-20:] == shown[1][-20:]
    assert kept_body(one).digest != kept_body(other).digest  # type: ignore[attr-defined]
    assert kept_body(one).digest == kept_body(bytes(one)).digest  # type: ignore[attr-defined]


def wished(world: World, *bodies: dict[str, Any]) -> Conduct:
    for body in bodies:
        make(world, **body)
    return world.conduct()


def test_what_the_baseline_does_twice_is_two_wishes() -> None:
    with World() as world:
        base = wished(world, {}, {})
    with World() as world:
        same = wished(world, {}, {})
        more = wished(world, {})

    assert "broken" == outcome("one-task-per-wish", same)
    assert "kept" == outcome("one-task-per-wish", replace(same, baseline=base))
    assert "broken" == outcome("one-task-per-wish", replace(more, baseline=base))


def test_a_client_that_never_says_the_same_twice_is_counted() -> None:
    with World() as world:
        base = wished(world, {"prompt": "boat 7f3a"})
    with World() as world:
        one = wished(world, {"prompt": "boat 11c0"})
        two = wished(world, {"prompt": "boat 9e2d"})

    assert "kept" == outcome("one-task-per-wish", replace(one, baseline=base))
    assert "broken" == outcome("one-task-per-wish", replace(two, baseline=base))


def test_names_of_their_own_make_two_wishes_unless_the_answer_was_lost() -> None:
    with World() as world:
        two = wished(world, {"name": "order-1"}, {"name": "order-2"})
    with World(plan=[plan("reset-after-accept")]) as world:
        with pytest.raises(Lost):
            make(world, name="order-1")
        again = wished(world, {"name": "order-1b"})

    assert "kept" == outcome("one-task-per-wish", two)
    assert "broken" == outcome("one-task-per-wish", again)


def test_a_task_that_was_told_to_have_failed_may_be_made_again() -> None:
    with World(plan=[plan("accepted-then-failed")]) as world:
        task = make(world)
        world.sleep(20)
        early = wished(world, {})
        world.request("GET", f"/clips/{task}")
    with World(plan=[plan("accepted-then-failed")]) as world:
        task = make(world)
        world.sleep(20)
        world.request("GET", f"/clips/{task}")
        told = wished(world, {})

    assert "broken" == outcome("one-task-per-wish", early)
    assert "kept" == outcome("one-task-per-wish", told)


# --- callbacks --------------------------------------------------------------------------------------------


def test_a_receiver_that_is_not_there_breaks_nothing() -> None:
    with World(plan=[plan("callback-duplicated", times=None)]) as world:
        world.on_callback = lambda headers, body: 0
        make(world, hook=HOOK)
        world.sleep(60)
        conduct = world.conduct()

    assert conduct.calls
    assert {"not-reached"} == {
        outcome(law, conduct) for law in ("callbacks-at-least-once", "checks-signatures")
    }


def test_a_retry_of_what_was_not_taken_is_no_repetition() -> None:
    statuses = iter([500, 200, 200, 200])
    with World() as world:
        world.on_callback = lambda headers, body: next(statuses)
        make(world, hook=HOOK)
        world.sleep(60)
        conduct = world.conduct()

    assert [500, 200, 200] == [call.status for call in conduct.calls]
    assert "not-reached" == outcome("callbacks-at-least-once", conduct)


def test_an_old_callback_has_to_be_taken_as_well() -> None:
    with World(plan=[plan("callback-out-of-order")]) as world:
        seen: list[bytes] = []
        world.on_callback = lambda headers, body: seen.append(body) or (200 if len(seen) == 1 else 400)
        make(world, hook=HOOK)
        world.sleep(120)
        conduct = world.conduct()

    found = finding("callbacks-at-least-once", conduct)
    assert "broken" == found.outcome
    assert "came after a later one" in found.breaches[0].sentence


def test_what_a_fast_clock_dates_ahead_is_not_old_for_the_client() -> None:
    with World(plan=[plan("callback-stale-timestamp", seconds=3600)], speed=3600.0) as world:
        # A second of the client's is an hour of the clock: what is signed an hour ago there is new here.
        world.request("GET", "/clips")
        world.sleep(1)
        make(world, hook=HOOK)
        world.sleep(0.01)
        conduct = world.conduct()

    assert conduct.calls
    assert {""} == {call.flaw for call in conduct.calls}


# --- secrets ----------------------------------------------------------------------------------------------

SECRET = 's3cr3t+key/with signs"='
FORMS = {
    "as it is": SECRET,
    "escaped": quote(SECRET, safe=""),
    "escaped twice over": quote(SECRET, safe="").lower(),
    "in JSON": json_text(SECRET)[1:-1],
    "in JSON as some write it": json_text(SECRET)[1:-1].replace("/", "\\/"),
    "in hexadecimal": SECRET.encode().hex(),
    "in Base64": base64.b64encode(SECRET.encode()).decode(),
    "in Base64 behind a user": base64.b64encode(b"me:" + SECRET.encode()).decode(),
    "in Base64 behind four": base64.b64encode(b"user:" + SECRET.encode() + b"!!").decode(),
    "in Base64 for URLs": base64.urlsafe_b64encode(b"u" + SECRET.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["query", "body", "stdout", "stderr"])
def test_a_secret_is_found_in_any_form_and_never_repeated(form: str, place: str) -> None:
    text = FORMS[form]
    with World() as world:
        if place == "query":
            world.request("GET", f"/clips?token={quote(text, safe='')}", headers={"x-toy-key": "short"})
        if place == "body":
            # Which puts it into JSON by itself.
            text = SECRET if form.startswith("in JSON") else text
            world.request(
                "POST", "/clips", json={"prompt": text[:40], "name": text}, headers={"x-toy-key": "short"}
            )
        shown = {place: f"DEBUG {text}"} if place.startswith("std") else {}
        conduct = world.conduct(program=Program(exit_code=0, secrets=(SECRET,), **shown))

    found = finding("keeps-secrets", conduct)
    assert "broken" == found.outcome
    assert SECRET not in finding_text(found) and text not in finding_text(found)


@pytest.mark.parametrize("text", ["s3cr3t", "czNjcjN0", "key", "", "secret key with signs"])
def test_what_only_looks_like_a_secret_is_none(text: str) -> None:
    with World() as world:
        world.request("GET", f"/clips?token={quote(text)}")
        conduct = world.conduct(program=Program(exit_code=0, secrets=(SECRET, "ab"), stdout=f"ab {text}"))

    assert "kept" == outcome("keeps-secrets", conduct)


def test_each_of_many_tokens_is_looked_for() -> None:
    with World() as world:
        for number in range(70):
            world.request("GET", "/clips", headers={"x-toy-key": f"toy-key-number-{number:03d}"})
            world.sleep(2)
        conduct = world.conduct()

    def said(text: str) -> str:
        return outcome("keeps-secrets", replace(conduct, program=Program(exit_code=0, stdout=text)))

    assert "broken" == said("DEBUG ?key=toy-key-number-003&x=1")
    assert "broken" == said("DEBUG ?key=toy-key-number-069&x=1")
    assert "kept" == said("DEBUG toy-key-number-070 toy-key-number-06")


def test_a_token_of_the_requests_counts_as_well_and_so_does_a_bearer() -> None:
    with World() as world:
        world.request("GET", "/clips", headers={"x-toy-key": "", "authorization": "Bearer toy_abcdefgh1234"})
        conduct = world.conduct(
            program=Program(exit_code=0, stderr="sent Authorization: Bearer toy_abcdefgh1234")
        )

    assert "broken" == outcome("keeps-secrets", conduct)


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        (["bytes=0-0"], "broken"),
        (["bytes=0-99"], "broken"),
        ([None], "kept"),
        (["bytes=0-0", None], "kept"),
        (["bytes=0-99", "bytes=100-"], "kept"),
        (["bytes=100-", "bytes=0-99"], "kept"),
    ],
)
def test_a_part_of_a_file_is_not_the_file(ranges: list[str | None], expected: str) -> None:
    with World() as world:
        task = make(world)
        world.sleep(20)
        url = world.request("GET", f"/clips/{task}").json["clip"]["file"]["url"]
        path = "/" + url.partition("://")[2].partition("/")[2]
        for one in ranges:
            reply = world.mock.call("GET", path, headers={"range": one} if one else {})
            assert (206 if one else 200) == reply.status
        conduct = world.conduct(program=Program(exit_code=0))

    assert ["notices-broken-results"] * (expected == "broken") == broken(conduct)


# --- endings ----------------------------------------------------------------------------------------------

PYTHON = """Traceback (most recent call last):
  File "client.py", line 3, in <module>
    main()
RuntimeError: task failed

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "client.py", line 9, in <module>
    raise SystemError("x")
SystemError: x
"""
NODE = """file:///app/client.mjs:12
    throw new Error("task failed");
    ^

Error: task failed
    at poll (file:///app/client.mjs:12:11)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)

Node.js v20.11.0
"""
GO = "panic: task failed\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:7 +0x18\nexit status 2\n"


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("", "wrote nothing"),
        (" \n\t\n", "wrote nothing"),
        (PYTHON, "wrote nothing but a stack trace"),
        (NODE, "wrote nothing but a stack trace"),
        (PYTHON.replace("\n", "\r\n"), "wrote nothing but a stack trace"),
        ("Error\n", "wrote nothing but a stack trace"),
        ("Error: the clip failed: Not a nice clip\n", ""),
        ("RuntimeError: not a nice clip\n", ""),
        ("Error: the clip failed\n" + PYTHON, ""),
        ("12345\n---\n", "wrote nothing but a stack trace"),
        ("error: the clip failed: Not a nice clip", ""),
        ("The clip failed.\n" + PYTHON, ""),
        ("видео не готово", ""),
        ("失敗しました", ""),
    ],
)
def test_what_counts_as_a_message(stderr: str, expected: str) -> None:
    assert expected == silence(Program(exit_code=1, stderr=stderr))


@pytest.mark.parametrize(
    "text",
    [
        "    at x (a.js:1:1)\n" * 200_000,
        "-" + "\n" * 1_000_000 + "-",
        "-\n" + " " * 1_000_000 + "\n-",
        "Traceback (most recent call last):\n" + "        \n" * 100_000,
        ("Traceback (most recent call last):\n" + "  x\n" * 3) * 20_000,
        "^" * 500_000,
    ],
    ids=["frames", "lines", "blanks", "endless", "many", "marks"],
)
def test_a_huge_output_is_read_in_time(text: str) -> None:
    program = Program(exit_code=1, stderr=text, secrets=("a-secret-key",))
    with World() as world:
        conduct = world.conduct(program=program)

    started = time.process_time()
    silence(program)
    judge(conduct)
    assert time.process_time() - started < 5


def test_codes_and_messages_of_a_refusal_are_words_of_its_own() -> None:
    def said(text: str) -> str:
        with World(plan=[plan("out-of-credits")]) as world:
            world.request("POST", "/clips", json={"prompt": "a boat"})
            return outcome(
                "tells-failed-from-refused", world.conduct(program=Program(exit_code=1, stderr=text))
            )

    assert "kept" == said("refused: poor")
    assert "kept" == said("the provider says: pay   FIRST")
    assert "broken" == said("the video could not be made, sorry about that")
    assert "broken" == said("HTTP 402")


# --- what was not seen ------------------------------------------------------------------------------------


def test_a_journal_that_forgot_keeps_no_law() -> None:
    with World(journal_entries=3) as world:
        program = Client(world).run("a boat", "a kite")
        conduct = world.conduct(program=program)

    assert conduct.dropped
    found = {one.law: one for one in judge(conduct)}
    assert "kept" not in {one.outcome for one in found.values()}
    assert "let go of" in found["no-invalid-request"].note


def test_what_is_left_of_a_journal_can_still_show_a_breach() -> None:
    with World(journal_entries=3) as world:
        for _ in range(5):
            world.request("GET", "/nowhere")
        conduct = world.conduct()

    assert "broken" == outcome("no-invalid-request", conduct)


def test_thousands_of_requests_are_judged_in_linear_time() -> None:
    with World(plan=[plan("rate-limited", role="read", times=3)]) as world:
        program = Client(world, has_hook=True).run("a boat", "a kite")
        one = world.conduct(program=program)

    def took(times: int) -> float:
        many = replace(
            one,
            exchanges=tuple(
                exchange._replace(id=f"{exchange.id}-{number}", at=exchange.at + number * 100_000)
                for number in range(times)
                for exchange in one.exchanges
            ),
        )
        started = time.process_time()
        judge(many)
        return time.process_time() - started

    took(50)
    small, large = took(100), took(800)

    assert large < 8 * small * 3 + 0.5
    assert large < 10


def test_exchanges_are_shown_without_secrets_and_without_tricks() -> None:
    with World() as world:
        world.request(
            "POST",
            "/clips?api_key=hidden-key-1",
            json={"prompt": "\x1b[31mred\u202e", "name": "🎬" * 3_000, "password": "hidden-key-2"},
        )
        conduct = world.conduct()

    text = "\n".join(exchange_lines(conduct.exchanges[0], conduct))
    assert "POST" in text and "-> 200" in text
    assert "hidden-key" not in text and KEY not in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 600


def test_another_tenant_is_another_client() -> None:
    with World() as world:
        world.mock.call("GET", "/t/other/toy/api/nowhere")
        conduct = world.conduct()

    assert TENANT in BASE
    assert () == conduct.exchanges


def test_a_scenario_of_the_file_does_nothing_to_the_answers_that_tell_of_it() -> None:
    with World(plan=[plan("truncated-file")]) as world:
        task = make(world)
        world.sleep(20)
        told = world.request("GET", f"/clips/{task}")
        with pytest.raises(Lost):
            world.fetch(told.json["clip"]["file"]["url"])
        conduct = world.conduct()

    assert ["ok", "ok", "lost"] == [step.nature for step in conduct.steps]
    assert conduct.has_result(task)


def test_a_head_tells_nothing_about_a_task() -> None:
    with World() as world:
        task = make(world)
        world.sleep(20)
        world.request("HEAD", f"/clips/{task}")
        head = world.conduct()
        world.request("GET", f"/clips/{task}")
        conduct = world.conduct()

    assert not head.has_end(task)
    assert conduct.has_end(task)
    assert "kept" == outcome("stops-at-final-state", conduct)
