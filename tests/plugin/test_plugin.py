"""The plugin as the tests of a user meet it: options, the marker, the fixtures, reports."""

from __future__ import annotations

import tomllib

import pytest

from mockserver.local import LocalServer
from mockserver.settings import Settings
from tests.plugin.conftest import ROOT, Suite

CLIENT = """
    import httpx

    def make(world, **more):
        body = {"prompt": "A paper boat", **more}
        url = world.kling.base_url + "/v1/videos/text2video"
        with httpx.Client(transport=world.transport, headers=world.kling.credentials) as http:
            return http.post(url, json=body)

    def read(world, task):
        url = world.kling.base_url + "/v1/videos/text2video/" + task
        with httpx.Client(transport=world.transport, headers=world.kling.credentials) as http:
            return http.get(url)
"""


def test_the_entry_point_is_written_down() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert {"understudy": "mockserver.pytest_plugin"} == project["entry-points"]["pytest11"]
    assert [True] == [
        one.startswith("pytest>=8") for one in project["optional-dependencies"]["test"] if "py" in one
    ]


def test_each_test_has_a_world_of_its_own_whatever_it_is_called(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        test_worlds="""
            import pytest
            from client import make

            seen = set()

            @pytest.mark.parametrize("name", ["a", "b", "ä ö/船::[x]", "", "x" * 300, "a b", "a-b", "../..", "%2F"])
            def test_alone(understudy, name):
                make(understudy)
                assert 1 == len(understudy.tasks)
                assert understudy.clock.is_frozen
                seen.add(understudy.tenant)

            class TestInside:
                def test_alone(self, understudy):
                    make(understudy)
                    assert 1 == len(understudy.tasks)
                    seen.add(understudy.tenant)

            def test_all_were_different(understudy_server):
                assert 10 == len(seen)
                assert {"kling"} == set(understudy_server.contracts)
        """,
    )

    suite.run().assert_outcomes(passed=11)


def test_the_marker_gives_a_test_its_world(suite: Suite) -> None:
    suite.ini(
        "understudy_providers = kling",
        "understudy_clock = scaled:600",
        "understudy_now = 2026-01-01T12:00:00Z",
    )
    suite.write(
        client=CLIENT,
        test_marker="""
            from datetime import UTC, datetime
            import pytest
            from client import make

            pytestmark = pytest.mark.understudy(plan="slow")

            def test_the_ini_is_what_counts_without_one(understudy):
                assert 600 == understudy.clock.speed
                assert 2026 == understudy.clock.now.year

            @pytest.mark.understudy(clock="frozen", now="2030-06-01T00:00:00+02:00")
            def test_clock_and_now(understudy):
                assert understudy.clock.is_frozen
                assert datetime(2030, 5, 31, 22, tzinfo=UTC) == understudy.clock.now

            @pytest.mark.understudy(speed=0, credits=0)
            def test_speed_and_credits(understudy):
                assert understudy.clock.is_frozen
                assert 429 == make(understudy).status_code

            @pytest.mark.understudy(plan=["maintenance", {"scenario": "slow", "times": 1}])
            def test_a_nearer_marker_wins(understudy):
                assert 503 == make(understudy).status_code

            def test_one_of_the_module_counts_too(understudy):
                make(understudy)
                assert "slow" in understudy.requests[0].scenario

            ids = []

            @pytest.mark.understudy(speed=0, seed=5, plan=())
            def test_seed(understudy):
                ids.append(make(understudy).json()["request_id"])
                assert understudy.requests[0].scenario is None

            @pytest.mark.understudy(now=None, seed=None, plan=None, credits=None, allow_violations=None)
            def test_none_is_as_without(understudy):
                assert 200 == make(understudy).status_code
                assert understudy.requests[0].scenario is None

            @pytest.mark.understudy(clock="real")
            def test_real(understudy):
                assert 1 == understudy.clock.speed
        """,
    )

    suite.run("-p", "no:randomly").assert_outcomes(passed=8)


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("speeed=1", "has no argument 'speeed' (did you mean speed?)"),
        ("colour=1", "has no argument 'colour' (there are clock, speed, now"),
        ("60", "takes its arguments by name"),
        ("speed=1, clock='real'", "two ways to say the same"),
        ("speed=-1", "speed -1: must be 0, or at most"),
        ("speed='fast'", "'fast': write a number"),
        ("clock='slow'", "clock 'slow': write frozen, real, or scaled:N"),
        ("clock='scaled:x'", "'x': write a number"),
        ("now='yesterday'", "write it like 2026-01-01T12:00:00Z"),
        ("now='2026-01-01T00:00:00'", "says no time zone"),
        ("seed='x'", "write a whole number"),
        ("credits=-1", "write a number, or numbers by provider"),
        ("plan=[1]", "write names of scenarios"),
        ("plan=5", "write names of scenarios"),
        ("credits=float('nan')", "write a number, or numbers by provider"),
        ("allow_violations=3", "write True, an id of a rule, or several"),
        ("allow_violations=[3]", "write True, an id of a rule, or several"),
    ],
)
def test_a_marker_that_cannot_be_understood_stops_the_run_before_it_begins(
    suite: Suite, marker: str, told: str
) -> None:
    suite.write(
        test_wrong=f"""
            import pytest

            def test_ran():
                print("RAN")

            @pytest.mark.understudy({marker})
            def test_wrong(understudy):
                pass
        """
    )

    result = suite.run("-s")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    text = "\n".join(result.outlines + result.errlines)
    assert told in text
    assert "test_wrong.py::test_wrong" in text
    assert "RAN" not in text


def test_a_scenario_that_there_is_not_fails_its_test_alone(suite: Suite) -> None:
    suite.write(
        test_plan="""
            import pytest

            @pytest.mark.understudy(plan="moderation-lat")
            def test_wrong(understudy):
                pass

            def test_right(understudy):
                pass
        """
    )

    result = suite.run()

    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*there is no scenario 'moderation-lat' (did you mean 'moderation-late'*"])


@pytest.mark.parametrize(
    ("lines", "args", "told"),
    [
        (["understudy_clock = slow"], [], "understudy_clock 'slow': write frozen, real, or scaled:N"),
        (["understudy_seed = x"], [], "understudy_seed x: write a whole number, or none"),
        (["understudy_now = x"], [], "understudy_now 'x': write it like"),
        (["understudy_effects = x"], [], "effect 'x': write RULE=reject"),
        (["understudy_variants = kling"], [], "variant 'kling': write PROVIDER.NAME"),
        (["understudy_limits = x"], [], "limit 'x'"),
        (["understudy_credentials = x"], [], "a credential is written"),
        (["understudy_webhook_secrets = x"], [], "a webhook secret is written"),
        (["understudy_providers = klng"], [], "no provider is called 'klng' (did you mean 'kling'?)"),
        (["understudy_specs = nowhere.yaml"], [], "nowhere.yaml"),
        ([], ["--understudy-port", "http"], "--understudy-port http: write a number"),
        ([], ["--understudy-speed", "fast"], "--understudy-speed 'fast': write a number"),
        ([], ["--understudy-url", "http://127.0.0.1:9"], "no server answers at http://127.0.0.1:9"),
        ([], ["--understudy-url", "localhost"], "no URL"),
    ],
)
def test_settings_that_cannot_be_understood_say_what_would_do(
    suite: Suite, lines: list[str], args: list[str], told: str
) -> None:
    suite.ini(*lines)
    suite.write(test_any="def test_any(understudy):\n    pass\ndef test_other(understudy):\n    pass\n")

    result = suite.run(*args)

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    text = "\n".join(result.outlines + result.errlines)
    assert 1 == text.count(told), "once, not for every test"
    assert "INTERNALERROR" not in text and "Traceback" not in text and "mockserver" not in text
    assert "--server" not in text and "--port" not in text.replace("--understudy-port", "")


def test_a_project_that_sets_nothing_is_not_looked_at(suite: Suite) -> None:
    suite.ini()
    suite.write(
        test_plain="""
            import sys

            def test_plain():
                assert "mockserver.settings" not in sys.modules
        """
    )

    suite.start().assert_outcomes(passed=1)


def test_settings_reach_the_server(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makefile(".yaml", toy=(ROOT / "tests" / "toy.yaml").read_text())
    suite.ini(
        "understudy_providers = kling",
        "understudy_specs = toy.yaml",
        "understudy_variants = kling.jwt-only",
        "understudy_effects = kling.duration.model=warn",
        "understudy_credentials = kling=my-access:my-secret",
        "understudy_webhook_secrets = kling=whsec_dW5kZXJzdHVkeQ==",
    )
    suite.write(
        client=CLIENT,
        test_settings="""
            from client import make

            def test_settings(understudy):
                assert {"kling", "toy"} == set(understudy.providers)
                assert "whsec_dW5kZXJzdHVkeQ==" == understudy.kling.webhook_secret
                assert "my-secret" == understudy.kling.credentials.secret
                assert 200 == make(understudy, duration="7").status_code
        """,
    )
    elsewhere = pytester.mkdir("elsewhere")
    monkeypatch.chdir(elsewhere)

    suite.run("-c", str(pytester.path / "pytest.ini"), str(pytester.path)).assert_outcomes(passed=1)


def test_worlds_that_several_tests_share_are_counted_too(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        test_shared="""
            import unittest
            import pytest
            from client import make

            @pytest.fixture(scope="module")
            def shared(understudy_server):
                with understudy_server.open("shared") as world:
                    yield world

            @pytest.mark.parametrize("number", [1, 2])
            def test_shared(shared, number):
                make(shared)
                assert number == len(shared.tasks)

            class TestOld(unittest.TestCase):
                @pytest.fixture(autouse=True)
                def world(self, understudy):
                    self.world = understudy

                def test_old(self):
                    make(self.world)
                    self.assertEqual(1, len(self.world.tasks))
        """,
    )

    result = suite.run()

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["understudy: 3 tasks would have cost 3 units*"])


# --- reports ----------------------------------------------------------------------------------------------

FAILING = """
    from client import make, read

    def test_wrong(understudy):
        understudy.inbox.respond_with(404)
        make(understudy, duration="7", negative_promt="blur")
        task = make(understudy, callback_url=understudy.inbox.url).json()["data"]["task_id"]
        read(understudy, task)
        read(understudy, task)
        understudy.clock.advance("PT10S")
        assert read(understudy, task).json()["data"]["task_status"] == "succeed"

    def test_right(understudy):
        make(understudy)
"""


def test_a_failing_test_tells_what_its_client_did(suite: Suite) -> None:
    suite.ini("understudy_providers = kling", "understudy_now = 2026-01-01T12:00:00Z")
    suite.write(client=CLIENT, test_wrong=FAILING)

    result = suite.run()

    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*- understudy -*",
            "world test-wrong-test-wrong-????????",
            "",
            "1 request was not as the provider wants them:",
            "",
            "  12:00:00  POST /kling/v1/videos/text2video -> 400  createText2Video; kling.duration.model, kling*",
            '    sent      {"prompt":"A paper boat","duration":"7","negative_promt":"blur"}',
            '    answered  {"code":1201,"message":"duration value \'7\' is invalid",*',
            "    refused   duration: this model makes videos of 5 and 10 seconds only",
            "              found    '7'",
            "              rule     kling.duration.model (documented); understudy explain kling.duration.model",
            "",
            "Noticed in requests, and no reason to refuse them:",
            "",
            "  12:00:00  POST /kling/v1/videos/text2video -> 400  createText2Video; kling.duration.model, kling*",
            "    warning   negative_promt: this member is not described and most likely has no effect",
            "              found    'negative_promt'",
            "              try      did you mean 'negative_prompt'?",
            "              rule     kling.request.unknown-member (assumed); understudy explain *",
            "",
            "1 task is still running:",
            "  kling task * is processing since 12:00:02; succeed at 12:02:02",
            "",
            "1 callback was not taken:",
            "  kling task * processing -> http://127.0.0.1:*/hook: failed (12:00:02 404)",
            "",
            "All requests:",
            "  12:00:00  POST /kling/v1/videos/text2video -> 400  createText2Video; *",
            "  12:00:00  POST /kling/v1/videos/text2video -> 200  createText2Video",
            "  12:00:00  GET /kling/v1/videos/text2video/* -> 200  getText2Video  (2 times)",
            "  12:00:10  GET /kling/v1/videos/text2video/* -> 200  getText2Video",
        ],
        consecutive=True,
    )
    assert 1 == result.stdout.str().count("- understudy -"), "nothing is told of the test that passed"
    result.stdout.fnmatch_lines(["understudy: 2 tasks would have cost 2 units (kling 2), about 0.28 USD"])


def test_a_client_that_waits_for_a_clock_at_rest_is_found_out(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        test_waits="""
            from client import make, read

            def test_waits(understudy):
                task = make(understudy).json()["data"]["task_id"]
                for _ in range(5):
                    read(understudy, task)
                assert 0
        """,
    )

    result = suite.run()

    result.stdout.fnmatch_lines(
        [
            "Task * was read 5 times while the clock of this world stood still, so that it cannot change.",
            "Either let the client sleep on that clock: *",
        ]
    )


LOOKS_OFTEN = """
    from mockserver import pytest_plugin
    pytest_plugin.LOOK_S = 0.05
"""


@pytest.mark.parametrize(("reads", "nap"), [(200, 0.005), (12, 0.15)])
def test_one_that_never_ends_is_told_of_while_it_hangs(suite: Suite, reads: int, nap: float) -> None:
    suite.write(
        client=CLIENT,
        conftest=LOOKS_OFTEN,
        test_hangs=f"""
            import threading
            from client import make, read

            def test_hangs(understudy):
                task = make(understudy).json()["data"]["task_id"]
                # A clock that was moved before is at rest as well.
                understudy.clock.advance(1)
                for _ in range({reads}):
                    read(understudy, task)
                    threading.Event().wait({nap})
        """,
    )

    result = suite.start()

    result.assert_outcomes(passed=1)
    result.stderr.fnmatch_lines(
        ["understudy: test-hangs-test-hangs-* seems to wait in vain.", "Task * was read *"]
    )
    assert 1 == result.stderr.str().count("seems to wait in vain")


def test_a_client_that_never_gives_up_is_told_of_while_it_hangs(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        conftest=LOOKS_OFTEN,
        test_hangs="""
            import threading
            from client import make, read

            def test_hangs(understudy):
                understudy.scenario("stuck-processing")
                task = make(understudy).json()["data"]["task_id"]
                for _ in range(100):
                    read(understudy, task)
                    understudy.clock.sleep(3_600)
                    threading.Event().wait(0.01)
        """,
    )

    result = suite.start()

    result.assert_outcomes(passed=1)
    result.stderr.fnmatch_lines(
        ["*seems to wait in vain.", "Nothing more comes of task * and the client goes on reading it: *"]
    )
    assert 1 == result.stderr.str().count("seems to wait in vain")


def test_clients_that_come_to_an_end_are_left_in_peace(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        conftest=LOOKS_OFTEN,
        test_fine="""
            import threading
            from client import make, read

            def test_fine(understudy):
                task = make(understudy).json()["data"]["task_id"]
                for _ in range(5):
                    read(understudy, task)
                threading.Event().wait(0.3)
                for _ in range(30):
                    read(understudy, task)
                    understudy.clock.sleep(5)
                    threading.Event().wait(0.01)
        """,
    )

    result = suite.start()

    result.assert_outcomes(passed=1)
    assert "in vain" not in result.stderr.str()


def test_a_fixture_that_fails_tells_it_as_well(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        test_setup="""
            import pytest
            from client import make

            @pytest.fixture
            def task(understudy):
                return make(understudy, duration="7").json()["data"]["task_id"]

            def test_setup(task):
                pass
        """,
    )

    result = suite.run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*- understudy -*", "*this model makes videos of 5 and 10 seconds only"])


def test_a_report_is_made_whatever_became_of_the_server(suite: Suite) -> None:
    suite.write(
        test_dead="""
            def test_dead(understudy, understudy_server):
                understudy_server.server.stop()
                assert 0
        """
    )

    result = suite.run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*what happened in this world cannot be told: WorldError: the server*stopped"]
    )


def test_a_warning_is_told_once_also_where_nothing_was_refused(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        test_warned="""
            from client import make

            def test_warned(understudy):
                for number in range(3):
                    make(understudy, prompt=f"boat {number}", negative_promt="blur")
                for number in range(12):
                    make(understudy, **{f"more_{number}": 1})
                assert 0
        """,
    )

    text = suite.run().stdout.str()

    assert 1 == text.count("    warning   negative_promt: this member is not described")
    assert 10 == text.count("    warning   ")
    assert "\n  and 3 more\n" in text
    assert "not as the provider wants" not in text


def test_a_client_that_never_came_is_told_how_to(suite: Suite) -> None:
    suite.write(test_none="def test_none(understudy):\n    assert 0\n")

    suite.run().stdout.fnmatch_lines(
        ["No request came to this world: does the client use its base URL, or its transport?"]
    )


def test_strict_fails_a_test_whose_client_sent_what_is_refused(suite: Suite) -> None:
    suite.ini("understudy_providers = kling", "understudy_strict = true")
    suite.write(
        client=CLIENT,
        test_strict="""
            import pytest
            from client import make

            def test_wrong(understudy):
                make(understudy, duration="7")

            def test_right(understudy):
                make(understudy, negative_promt="a warning is no refusal")

            @pytest.mark.understudy(allow_violations=True)
            def test_allowed(understudy):
                make(understudy, duration="7")

            @pytest.mark.understudy(allow_violations="kling.duration.*")
            def test_allowed_by_rule(understudy):
                make(understudy, duration="7")

            @pytest.mark.understudy(allow_violations=["kling.prompt.length"])
            def test_allowed_another(understudy):
                make(understudy, duration="7")

            @pytest.mark.understudy(plan="invalid")
            def test_refused_on_purpose(understudy):
                make(understudy)

            def test_fails_by_itself(understudy):
                make(understudy, duration="7")
                assert 1 == 2
        """,
    )

    result = suite.run()

    result.assert_outcomes(passed=4, failed=3)
    result.stdout.fnmatch_lines(
        [
            "the test itself passed, but understudy_strict is on:",
            "1 request was not as the provider wants them:",
            "where that is what is tested: @pytest.mark.understudy(allow_violations=True), or ids of rules",
            "FAILED test_strict.py::test_wrong*",
            "FAILED test_strict.py::test_allowed_another*",
            "FAILED test_strict.py::test_fails_by_itself - assert 1 == 2",
        ]
    )


def test_strict_says_so_where_it_cannot_tell(suite: Suite) -> None:
    suite.ini("understudy_providers = kling", "understudy_strict = true")
    suite.write(
        test_dead="""
            def test_dead(understudy, understudy_server):
                understudy_server.stop()
        """
    )

    result = suite.run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["the test itself passed, but understudy_strict is on: the server * was stopped"]
    )


# --- other servers, no server -----------------------------------------------------------------------------


def test_a_server_elsewhere_can_be_used(suite: Suite) -> None:
    suite.write(
        test_far="""
            import json, urllib.request

            def test_far(understudy):
                request = urllib.request.Request(
                    understudy.kling.base_url + "/v1/videos/text2video",
                    json.dumps({"prompt": "A boat", "callback_url": understudy.inbox.url}).encode(),
                    {**understudy.kling.credentials, "Content-Type": "application/json"},
                )
                urllib.request.urlopen(request).close()
                understudy.clock.run_until_idle()
                assert [True] == [task.has_ended for task in understudy.tasks]
                assert 2 == len(understudy.inbox.calls)
                print("AT", understudy.origin)
        """
    )
    with LocalServer(Settings(port=0, log="off", providers=("kling",))) as server:
        result = suite.run("--understudy-url", server.origin, "-s")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*AT {server.origin}"])


def test_no_port_is_opened_where_none_is_wanted(suite: Suite) -> None:
    suite.write(
        client=CLIENT,
        test_off="""
            from client import make

            def test_off(understudy):
                assert understudy.kling.base_url.startswith("http://understudy.test/t/")
                assert 200 == make(understudy).status_code
        """,
    )

    suite.run("--understudy-port", "off").assert_outcomes(passed=1)


def test_a_project_that_does_not_use_it_notices_nothing(suite: Suite) -> None:
    suite.write(
        test_plain="""
            import sys

            def test_plain():
                assert "mockserver.stage" not in sys.modules
                assert not [name for name in sys.modules if name.startswith(("validator", "httpx", "hypothesis."))]
        """
    )

    result = suite.start(
        "-p", "no:xdist", "-p", "no:hypothesispytest", "-p", "no:schemathesis", "-p", "no:anyio"
    )

    result.assert_outcomes(passed=1)
    assert "understudy" not in result.stdout.str()


def test_help_and_markers_teach(suite: Suite) -> None:
    text = suite.run("--help").stdout.str()
    for name in (
        "--understudy-url",
        "--understudy-port",
        "--understudy-speed",
        "understudy_clock",
        "understudy_strict",
    ):
        assert name in text
    markers = suite.run("--markers").stdout.str()
    assert "@pytest.mark.understudy(clock='frozen', speed=0, now=None" in markers
    fixtures = suite.run("--fixtures", "-v").stdout.str()
    assert "A world of this test alone" in fixtures
