"""A miniature suite of a user under pytest-xdist: no reset, no clash, one sum."""

from __future__ import annotations

import socket

import pytest

from tests.plugin.conftest import Suite

pytest.importorskip("xdist")

SUITE = """
    import httpx
    import pytest

    URL = "/v1/videos/text2video"


    @pytest.fixture
    def http(understudy):
        with httpx.Client(headers=understudy.kling.credentials, trust_env=False) as http:
            yield http


    @pytest.mark.parametrize("number", range(12))
    def test_only_ones_own_tasks_are_there(understudy, http, number):
        url = understudy.kling.base_url + URL
        for count in range(3):
            made = http.post(url, json={"prompt": f"boat {number} {count}", "external_task_id": str(count)})
            assert made.status_code == 200, made.text
        assert 3 == len(http.get(url).json()["data"]) == len(understudy.tasks)
        understudy.clock.advance("PT5M")
        assert all(task.has_ended for task in understudy.tasks)


    def test_scenarios_are_ones_own(understudy, http):
        understudy.scenario("maintenance")
        assert 503 == http.post(understudy.kling.base_url + URL, json={"prompt": "x"}).status_code


    @pytest.mark.understudy(speeed=1)
    def test_a_marker_that_cannot_be_understood():
        pass


    def test_one_that_fails_tells_its_story(understudy, http):
        http.post(understudy.kling.base_url + URL, json={"prompt": "x", "duration": "7"})
        assert 0
"""


def test_workers_share_nothing_and_their_costs_add_up(suite: Suite) -> None:
    suite.write(test_many=SUITE)

    result = suite.start("-p", "xdist", "-n", "2")

    result.assert_outcomes(passed=13, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_a_marker_that*: @pytest.mark.understudy has no argument 'speeed' (did you mean speed?)",
            "*- understudy -*",
            "1 request was not as the provider wants them:",
            "    refused   duration: this model makes videos of 5 and 10 seconds only",
            "understudy: 36 tasks would have cost 36 units (kling 36), about 5.04 USD",
        ]
    )


TWO = """
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_any(understudy, number):
        pass
"""


def test_a_server_that_cannot_be_started_is_told_of_by_the_tests_of_a_worker(suite: Suite) -> None:
    suite.write(test_two=TWO)

    result = suite.start("-p", "xdist", "-n", "2", "--understudy-url", "http://127.0.0.1:9")

    result.assert_outcomes(errors=4)
    told = "understudy cannot be started: no server answers at http://127.0.0.1:9: * (leave out --understudy-url *)"
    result.stdout.fnmatch_lines([told])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_one_port_is_not_enough_for_two_workers(suite: Suite) -> None:
    suite.write(test_two=TWO)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        result = suite.start("-p", "xdist", "-n", "2", "--understudy-port", port)

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(
        [
            "*cannot be used: *(--understudy-port any takes any); each worker of pytest-xdist has a server of its*"
        ]
    )
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_options_that_cannot_be_understood_stop_the_run_before_there_are_workers(suite: Suite) -> None:
    suite.write(test_two=TWO)

    result = suite.start("-p", "xdist", "-n", "2", "--understudy-speed", "fast")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["ERROR: --understudy-speed 'fast': write a number, 0 for a clock at rest"])
