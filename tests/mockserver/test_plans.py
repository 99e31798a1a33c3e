"""Who meets which scenario: wishes in a header or a text, plans, draws; what is said of those that are not met."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mockserver.app import load_contracts
from mockserver.cli import read_plan
from mockserver.ids import uniform
from mockserver.plans import MOST_ENTRIES
from mockserver.scenarios import SCENARIOS, ScenarioError
from mockserver.settings import SettingError, Settings
from mockserver.store import SqliteStore
from tests.mock import HOOK, KEY, Mock, Reply


def asked(mock: Mock, wish: str, **more: Any) -> Reply:
    """Ask the toy for a clip with a Prefer header."""
    return mock.create(headers={"prefer": wish}, **more)


def plan(mock: Mock, *entries: dict[str, Any], tenant: str = "") -> list[dict[str, Any]]:
    """Add entries to the plan."""
    made: list[dict[str, Any]] = mock.admin(
        "POST", "/scenarios", {"plan": list(entries)}, tenant=tenant, status=201
    )["plan"]
    return made


def met(mock: Mock) -> list[int]:
    """Return how many requests met each entry of the plan."""
    return [one["met"] for one in mock.admin("GET", "/scenarios")["plan"]]


def read(file: Path) -> Any:
    """Return the entries of a plan in a file."""
    with file.open("rb") as opened:
        return read_plan(opened)


# --- a header, a text -------------------------------------------------------------------------------------


def test_after_and_times_count_requests_of_one_account_to_one_path() -> None:
    with Mock() as mock:
        wish = "scenario=rate-limited; after=1; times=2"
        codes = [asked(mock, wish).status for _ in range(5)]
        other = [asked(mock, wish, key="toy-key-2").status for _ in range(2)]

    assert codes == [200, 429, 429, 200, 200]
    assert other == [200, 429]


def test_a_text_asks_where_no_header_can_be_set() -> None:
    with Mock() as mock:
        reply = mock.create(prompt="a boat [[scenario:rate-limited]]")
        task = mock.clip(name="[[scenario:stuck-processing]]")
        mock.wait(3600)

        assert reply.status == 429
        assert reply.headers["x-mock-scenario"] == "rate-limited"
        assert "preference-applied" not in reply.headers
        assert mock.state(task) == "working"


@pytest.mark.parametrize(
    "text",
    [
        "[[Scenario: rate-limited; retry-after=9]]",
        '[[scenario:rate-limited; retry-after="9"]]',
        "[[ scenario:\trate-limited;Retry-After = 9 ]]",
    ],
)
def test_a_text_may_be_written_by_people(text: str) -> None:
    with Mock() as mock:
        reply = mock.create(prompt=text[:40], name=text)

    assert (reply.status, reply.headers["retry-after"]) == (429, "9")


def test_a_text_is_read_as_the_json_it_stands_in() -> None:
    body = b'{"prompt": "[[scenario:unknown-status; status=\\u0061bc]]"}'
    with Mock() as mock:
        made = mock.call(
            "POST",
            "/toy/api/clips",
            body=body,
            headers={"x-toy-key": KEY, "content-type": "application/json"},
        )

        assert mock.state(made.json["clip"]["id"]) == "abc"


@pytest.mark.parametrize("text", ["[[scenario:slow", "[[scenario:slow] ]", "[[scenario:slo[w]]"])
def test_a_text_that_does_not_end_is_told(text: str) -> None:
    with Mock() as mock:
        reply = mock.create(prompt=text)

    assert reply.status == 200
    assert reply.headers["x-mock-note"] == "a text begins with [[scenario: and has no ]] behind it"


def test_lists_of_lists_are_no_texts() -> None:
    with Mock() as mock:
        reply = mock.create(remark=[[1, 2], [3, 4]])

    assert reply.status == 200
    assert "x-mock-note" not in reply.headers


def test_an_entry_tells_the_seed_of_its_draws() -> None:
    with Mock() as mock:
        drawn, given, sure = plan(
            mock,
            {"scenario": "slow", "probability": 0.5},
            {"scenario": "slow", "probability": 0.5, "seed": 7},
            {"scenario": "slow"},
        )

    assert drawn["seed"] > 0
    assert given["seed"] == 7
    assert "seed" not in sure


@pytest.mark.parametrize("scenario", ["reset-before-answer", "html-error-page", "maintenance"])
def test_what_was_never_handled_counts_as_refused(scenario: str) -> None:
    with Mock() as mock:
        with contextlib.suppress(ConnectionError):
            asked(mock, f"scenario={scenario}")
        (kept,) = mock.admin("GET", "/requests?verdict=refused")["requests"]

    assert scenario == kept["scenario"]
    assert f"scenario {scenario}" == kept["report"]["violations"][0]["found"]


def test_the_journal_says_what_a_request_met() -> None:
    with Mock() as mock:
        asked(mock, "scenario=rate-limited; retry-after=9")
        mock.create()
        plain, met_one = mock.admin("GET", "/requests")["requests"]

    assert (plain["scenario"], met_one["scenario"]) == (None, "rate-limited; retry-after=9")


def test_a_text_has_parameters_too() -> None:
    with Mock() as mock:
        reply = mock.create(prompt="[[scenario:rate-limited;retry-after=9]]")

    assert (reply.status, reply.headers["retry-after"]) == (429, "9")


def test_several_scenarios_of_different_groups_are_met_at_once() -> None:
    with Mock() as mock:
        reply = asked(mock, "scenario=slow; factor=2, scenario=wrong-content-type; type=text/plain")

        assert reply.status == 200
        assert reply.headers["content-type"] == "text/plain"
        assert "slow; factor=2" in reply.headers["x-mock-scenario"]
        assert reply.headers["preference-applied"] == "scenario=slow, scenario=wrong-content-type"
        mock.wait(13)
        assert mock.state(reply.json["clip"]["id"]) == "working"


def test_of_one_group_the_first_counts_and_the_other_is_told() -> None:
    with Mock() as mock:
        reply = asked(mock, "scenario=maintenance, scenario=rate-limited")

    assert reply.status != 429
    assert reply.headers["x-mock-note"] == "rate-limited was not applied: maintenance came first"


@pytest.mark.parametrize(
    ("wish", "note"),
    [
        (
            "scenario=moderation-lat",
            "there is no scenario 'moderation-lat' (did you mean 'moderation-late'?)",
        ),
        ("scenario=late", "callback-late"),
        ("scenario", "there is no scenario ''"),
        ("scenario=slow; faktor=2", "slow has no parameter 'faktor' (did you mean 'factor'?)"),
        ("scenario=slow; factor=fast", "factor 'fast': write a number from 0.01 to 100000"),
        ("scenario=slow; factor=nan", "factor 'nan'"),
        ("scenario=slow; times=0", "times 0: must be at least 1"),
        ("scenario=slow; after=-1", "after '-1': write a whole number"),
        ("scenario=latency; shape=square", "shape 'square'"),
        ("scenario=internal-error; accepted=maybe", "accepted 'maybe': write yes or no"),
        ("scenario=callback-lost", "the request names no address for callbacks"),
        ("scenario=canceled", "no state of this provider is canceled"),
    ],
)
def test_what_cannot_be_met_is_told_and_changes_nothing(wish: str, note: str) -> None:
    with Mock() as mock:
        reply = asked(mock, wish)

    assert reply.status == 200
    assert note in reply.headers["x-mock-note"]
    assert "x-mock-scenario" not in reply.headers
    assert "preference-applied" not in reply.headers


def test_a_scenario_for_creates_cannot_be_met_by_a_read() -> None:
    with Mock() as mock:
        task = mock.clip()
        reply = mock.get(f"/toy/api/clips/{task}", x_toy_key=KEY, prefer="scenario=stuck-processing")

    assert reply.status == 200
    assert "it is met by operations that create" in reply.headers["x-mock-note"]


def test_a_request_that_is_refused_anyway_meets_no_scenario_of_a_task() -> None:
    with Mock() as mock:
        reply = asked(mock, "scenario=slow", seconds="7")

    assert reply.status == 400
    assert reply.headers["x-mock-note"] == "slow was not applied: the request is refused anyway"
    assert "x-mock-scenario" not in reply.headers


def test_quoted_commas_belong_to_the_value() -> None:
    with Mock() as mock:
        reply = asked(mock, 'foo="a,code=429", bar="x\\", scenario=maintenance"')

    assert reply.status == 200
    assert reply.headers["x-mock-note"] == "nothing of Prefer was applied"


def test_without_a_good_key_nothing_is_met() -> None:
    with Mock() as mock:
        reply = mock.call("POST", "/toy/api/clips", json={"prompt": "x"}, headers={"prefer": "scenario=slow"})

    assert reply.status == 401
    assert "x-mock-scenario" not in reply.headers


def test_every_scenario_can_be_asked_of_every_operation_and_nobody_falls_over() -> None:
    with Mock("toy", log="off") as mock:
        for name in SCENARIOS:
            for method, path, body in (
                ("POST", "/toy/api/clips", {"prompt": "a boat", "hook": HOOK}),
                ("GET", "/toy/api/clips/clip-unknown", None),
                ("GET", "/toy/api/clips", None),
                ("GET", "/toy/api/wallet?since=1", None),
                ("HEAD", "/toy/api/clips", None),
            ):
                headers = {"x-toy-key": KEY, "prefer": f"scenario={name}"}
                try:
                    reply = mock.call(method, f"/t/{name}{path}", json=body, headers=headers)
                except ConnectionError as error:
                    assert "scenario" in str(error), name
                    continue
                except AssertionError as error:
                    # Cut in the middle: what the header promises did not come.
                    assert name == "truncated-body", (name, error)
                    continue
                expected = SCENARIOS[name].refusals or name == "html-error-page"
                assert reply.status < 500 or expected, (name, reply)
                told = [one for one in ("x-mock-scenario", "x-mock-note") if one in reply.headers]
                assert told, (name, method, path)


# --- attempts at breaking it ------------------------------------------------------------------------------


def test_a_value_cannot_become_a_header_of_its_own() -> None:
    evil = "text/plain\r\nX-Evil: 1\x00é"
    with Mock() as mock:
        plan(
            mock,
            {"scenario": "wrong-content-type", "with": {"type": evil}},
            {"scenario": "rate-limited", "with": {"retry-after": evil}, "match": {"role": "read"}},
            {"scenario": "unknown-status", "with": {"status": evil}},
            {"scenario": "result-wrong-content-type", "with": {"type": evil}},
        )
        made = mock.create()
        mock.admin("DELETE", "/scenarios/plan-1", status=204)
        refused = mock.read("clip-unknown")
        mock.admin("DELETE", "/scenarios", status=204)
        mock.wait(60)
        task = mock.read(made.json["clip"]["id"])
        file = mock.get(task.json["clip"]["file"]["url"].partition("8700")[2])

    for reply in (made, refused, task, file):
        assert "x-evil" not in reply.headers
        assert all("\r" not in value and "\n" not in value for value in reply.headers.values())
    assert made.headers["content-type"] == file.headers["content-type"] == "text/plainX-Evil: 1"
    assert task.json["clip"]["state"] == evil


def test_a_body_full_of_tokens_and_a_header_full_of_wishes_are_read_for_a_while_only() -> None:
    with Mock() as mock:
        many = mock.create(prompt="x", remark="[[scenario:nobody]]" * 20_000)
        long = mock.create(headers={"prefer": "scenario=nobody, " * 2_000})

    for reply in (many, long):
        assert reply.status == 200
        assert len(reply.headers["x-mock-note"]) <= 1_000


@pytest.mark.parametrize(
    "wish",
    ["scenario=", "scenario=;", ";;;", '"', 'scenario="', "=,=;=", "scenario=slow;factor", "\x80=\xff"],
)
def test_a_header_that_is_none_is_passed_over(wish: str) -> None:
    with Mock() as mock:
        assert mock.create(headers={"prefer": wish}).status == 200


# --- plans ------------------------------------------------------------------------------------------------


def test_the_next_matching_requests_meet_the_entry() -> None:
    with Mock() as mock:
        plan(mock, {"scenario": "rate-limited", "match": {"role": "read"}, "after": 1, "times": 2})
        task = mock.clip()
        codes = [mock.read(task).status for _ in range(5)]

        assert codes == [200, 429, 429, 200, 200]
        assert met(mock) == [2]


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({"provider": "toy"}, True),
        ({"operation": "createClip"}, True),
        ({"operation": "getClip"}, False),
        ({"role": "list"}, False),
        ({"body": {"/prompt": "a boat"}}, True),
        ({"body": {"/prompt": "a ship"}}, False),
        ({"body": {"/prompt": "a boat", "/name": "x"}}, False),
        ({"body": {"/masks/0/mask": "x"}}, False),
    ],
)
def test_an_entry_matches_what_it_says(match: dict[str, Any], hits: bool) -> None:
    with Mock() as mock:
        plan(mock, {"scenario": "rate-limited", "match": match})

        assert (mock.create().status == 429) is hits
        assert met(mock) == [int(hits)]


def test_an_entry_for_an_account_leaves_others_alone() -> None:
    with Mock() as mock:
        mock.create()
        account = mock.admin("GET", "/requests")["requests"][0]["account"]
        plan(mock, {"scenario": "rate-limited", "match": {"account": account}})

        assert mock.create().status == 429
        assert mock.create(key="toy-key-2").status == 200


def test_a_plan_belongs_to_its_tenant() -> None:
    with Mock() as mock:
        plan(mock, {"scenario": "rate-limited"}, tenant="one")

        assert mock.create(base="/t/one/toy/api").status == 429
        assert mock.create(base="/t/two/toy/api").status == 200


def test_a_request_that_asks_for_itself_is_not_matched_against_the_plan() -> None:
    with Mock() as mock:
        plan(mock, {"scenario": "rate-limited", "times": 1})

        assert asked(mock, "scenario=success").status == 200
        assert asked(mock, "scenario=sucess").status == 200
        assert mock.create(prompt="[[scenario:sucess]]").status == 200
        assert mock.create().status == 429


def test_entries_of_different_groups_are_met_together_and_none_is_used_up_in_vain() -> None:
    with Mock() as mock:
        plan(
            mock,
            {"scenario": "slow", "times": 1},
            {"scenario": "stuck-processing", "times": 1},
            {"scenario": "wrong-content-type", "times": 1},
        )
        first, second = mock.create(), mock.create()

        assert first.headers["content-type"] == "text/html"
        assert "slow" in first.headers["x-mock-scenario"]
        assert "stuck-processing" in second.headers["x-mock-scenario"]
        assert met(mock) == [1, 1, 1]


def test_an_entry_that_cannot_be_met_by_a_request_is_not_used_up() -> None:
    with Mock() as mock:
        plan(mock, {"scenario": "moderation-late", "times": 1})
        task = mock.clip(name="first")
        mock.wait(20)

        assert mock.state(task) == "broken"
        assert mock.read(task).json["clip"]["why"] == "Not a nice clip"
        assert met(mock) == [1]


def test_one_entry_is_taken_away_then_all() -> None:
    with Mock() as mock:
        first, _ = plan(mock, {"scenario": "rate-limited", "id": "mine"}, {"scenario": "slow"})
        assert mock.create().status == 429
        mock.admin("DELETE", f"/scenarios/{first['id']}", status=204)
        reply = mock.create()
        mock.admin("DELETE", "/scenarios", status=204)

        assert first["id"] == "mine"
        assert "slow" in reply.headers["x-mock-scenario"]
        assert "x-mock-scenario" not in mock.create().headers
        mock.admin("DELETE", "/scenarios/mine", status=404)


def test_a_number_beyond_all_numbers_is_refused_like_any_that_is_too_large() -> None:
    with pytest.raises(ScenarioError, match=r"write a number from 0\.01 to 100000"):
        SCENARIOS["slow"].read({"factor": 10**400})


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"scenario": "rate-limitd"}, "did you mean 'rate-limited'"),
        ({"scenario": "slow", "with": {"factor": 0}}, "factor '0'"),
        ({"scenario": "slow", "match": {"provider": {}}}, "no provider '{}' here (toy)"),
        ({"scenario": "slow", "match": {"role": []}}, "role is one of"),
        ({"scenario": {}}, "there is no scenario '{}'"),
        ({"scenario": "slow", "match": {"provider": "toi"}}, "no provider 'toi' here (toy)"),
        ({"scenario": "slow", "match": {"operation": "createClips"}}, "did you mean 'createClip'"),
        ({"scenario": "slow", "match": {"role": "read"}}, "no request can meet slow so"),
        ({"scenario": "canceled"}, "no request can meet canceled so: no state of this provider is canceled"),
        ({"scenario": "slow", "match": {"body": {"prompt": 1}}}, "is no JSON Pointer"),
        ({"chaos": {"weights": {"slow": 0}}}, "one weight at least must be above 0"),
        ({"chaos": {"weights": {"slo": 1}}}, "did you mean 'slow'"),
        ({"chaos": {}, "with": {"seconds": 1}}, "an entry with chaos has no 'with'"),
        ({"scenario": "slow", "chaos": {}}, "an entry has either a scenario or chaos"),
        ({}, "an entry has either a scenario or chaos"),
        ({"scenario": "slow", "probability": 2}, "probability: write a number from 0 to 1"),
        ({"scenario": "slow", "with": {"factor": [2]}}, "factor '[2]': write a number"),
        ({"scenario": "slow", "seed": -1}, "seed: write a whole number from 0 to 4294967295"),
        ({"scenario": "unknown-status", "with": {"status": " "}}, "status: write a text that is not empty"),
        ({"chaos": {"weights": {"canceled": 1, "slow": 0}}}, "chaos: no request can meet canceled so"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_as_a_whole(entry: dict[str, Any], sentence: str) -> None:
    with Mock() as mock:
        whole = mock.call("POST", "/__admin/scenarios", json={"plan": [{"scenario": "slow"}, entry]})
        alone = mock.call("POST", "/__admin/scenarios", json=entry)

        assert mock.admin("GET", "/scenarios")["plan"] == []
    assert whole.status == alone.status
    assert alone.status in (400, 409)
    assert f"entry 2: {alone.json['detail']}" == whole.json["detail"]
    assert sentence in alone.json["detail"]


def test_there_is_room_for_so_many_entries() -> None:
    with Mock() as mock:
        many = [{"scenario": "slow"}] * MOST_ENTRIES
        plan(mock, *many)

        mock.admin("POST", "/scenarios", {"scenario": "slow"}, status=409)
        assert len(mock.admin("GET", "/scenarios")["plan"]) == MOST_ENTRIES


def test_a_reset_begins_with_the_plan_of_the_start_again() -> None:
    with Mock(plan=[{"scenario": "rate-limited", "times": 1}]) as mock:
        plan(mock, {"scenario": "maintenance", "id": "later"})
        before = [mock.create().status for _ in range(2)]
        mock.admin("POST", "/reset")
        after = [mock.create().status for _ in range(2)]

        assert before[0] == 429
        assert before[1] != 200
        assert after == [429, 200]


# --- plans of a file --------------------------------------------------------------------------------------


def test_a_file_holds_the_plan_of_every_tenant(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("plan:\n  - {scenario: rate-limited, match: {role: create}, times: 1}\n")
    with Mock(plan=read(file)) as mock:
        codes = [
            mock.create(base=f"/t/{tenant}/toy/api").status for tenant in ("one", "two") for _ in range(2)
        ]

    assert codes == [429, 200, 429, 200]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "not readable as YAML"),
        ("plan: 3", "write a list of entries"),
        ("nothing: []", "write a list of entries"),
        ("- {scenario: slw}", "--plan, entry 1: there is no scenario 'slw'"),
        ("- {scenario: slow}\n- {scenario: slow, wth: {}}", "--plan, entry 2: an entry has no 'wth'"),
        ("- slow", "--plan, entry 1: an entry is an object"),
    ],
)
def test_a_file_that_is_no_plan_is_told_before_the_start(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)

    with pytest.raises(SettingError) as caught:
        load_contracts(Settings(plan=read(file)))

    assert sentence in str(caught.value)


# --- chaos ------------------------------------------------------------------------------------------------


def chaotic(mock: Mock, count: int = 200, **more: Any) -> list[str]:
    """Send requests through chaos; return what each met."""
    weights = {"rate-limited": 3, "empty-body": 1}
    plan(mock, {"id": "storm", "chaos": {"weights": weights, "seed": 7} | more, "probability": 0.5})
    return [mock.create().headers.get("x-mock-scenario", "") for _ in range(count)]


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    with Mock() as one, Mock(seed=99) as two, Mock() as three:
        first, second, third = chaotic(one), chaotic(two), chaotic(three, seed=8)

    assert first == second != third


def test_draws_keep_to_weights_and_probability() -> None:
    with Mock(log="off") as mock:
        drawn = Counter(one.partition(";")[0] for one in chaotic(mock, 2_000))

    assert 850 < drawn[""] < 1_150
    assert 2 < drawn["rate-limited"] / drawn["empty-body"] < 4.5


def test_a_draw_says_its_number_and_can_be_repeated_alone() -> None:
    with Mock() as mock:
        all_of_them = chaotic(mock)
        late = next(one for one in reversed(all_of_them) if one)
        number = int(late.rpartition("draw=")[2])
    with Mock() as again:
        (repeated, *_) = chaotic(again, 1, draw=number)

    assert late == repeated
    assert f"plan=storm; seed=7; draw={number}" in late
    assert all_of_them[number - 1] == late


def test_chaos_of_everything_never_ends_in_an_error_of_ours() -> None:
    with Mock(log="off") as mock:
        plan(mock, {"chaos": {"seed": 3}})
        seen = set()
        for _ in range(400):
            try:
                reply = mock.create(hook=HOOK)
            except (ConnectionError, AssertionError):
                continue
            seen.add(reply.headers.get("x-mock-scenario", "").partition(";")[0])

    assert len(seen) > 25
    assert not {"success", "key-revoked-midway"} & seen
    assert "failed" not in mock.log.getvalue()


def test_a_seed_that_nobody_gave_is_told() -> None:
    with Mock() as mock:
        (made,) = plan(mock, {"chaos": {}})

    assert made["chaos"]["seed"] > 0


def test_draws_are_even() -> None:
    values = [uniform("seed", number) for number in range(4_000)]

    assert all(0 <= value < 1 for value in values)
    assert 0.48 < sum(values) / len(values) < 0.52


# --- a task keeps its scenarios ---------------------------------------------------------------------------


def test_what_a_task_was_asked_to_meet_survives_a_restart(tmp_path: Path) -> None:
    file = str(tmp_path / "store.db")
    with Mock(store=SqliteStore(file)) as mock:
        task = mock.create(headers={"prefer": "scenario=poll-404-then-ok; reads=3"}).json["clip"]["id"]
        first = mock.read(task).status
    with Mock(store=SqliteStore(file), wall=mock.wall) as mock:
        later = [mock.read(task).status for _ in range(3)]

    assert (first, later) == (404, [404, 404, 200])


def test_only_reads_that_find_nothing_are_counted(tmp_path: Path) -> None:
    with Mock(store=SqliteStore(tmp_path / "tasks.db")) as mock:
        made = mock.create(headers={"prefer": "scenario=poll-404-then-ok; reads=2"}).json["clip"]["id"]
        found = [mock.read(made).status for _ in range(4)]
        kept = mock.app.backend.store.get("default", made)

    assert [404, 404, 200, 200] == found
    assert kept is not None
    assert 2 == kept.lookups


def test_moved_by_reads_a_task_keeps_its_course() -> None:
    with Mock(progress="polls", polls_per_step=1) as mock:
        back = mock.create(headers={"prefer": "scenario=status-goes-back"}).json["clip"]["id"]
        stuck = mock.create(headers={"prefer": "scenario=stuck-processing"}).json["clip"]["id"]
        slow = mock.create(headers={"prefer": "scenario=slow"})

        assert [mock.state(back) for _ in range(5)] == ["working", "waiting", "working", "done", "done"]
        assert [mock.state(stuck) for _ in range(4)] == ["working"] * 4
        assert "no task moves by time here" in slow.headers["x-mock-note"]


def test_the_admin_api_frees_a_task_that_is_stuck() -> None:
    with Mock() as mock:
        task = mock.create(headers={"prefer": "scenario=stuck-processing"}).json["clip"]["id"]
        mock.wait(100)

        mock.move(task, outcome="success")

        assert mock.state(task) == "done"


def test_the_same_seed_gives_the_same_bytes_with_scenarios_as_well() -> None:
    def run() -> list[tuple[int, bytes]]:
        with Mock() as mock:
            plan(mock, {"chaos": {"weights": {"unknown-extra-fields": 1, "invalid": 1}}, "probability": 0.4})
            replies = [mock.create(name=f"n{n}", hook=HOOK) for n in range(20)]
            mock.wait(60)
            calls = [(call.at, call.body) for call in mock.receivers.calls]
            return [(one.status, one.body) for one in replies] + calls

    assert run() == run()
