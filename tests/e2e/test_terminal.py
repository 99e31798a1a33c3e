"""`understudy status`, `tail` and `forward`, run as commands against a server that runs."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.receiver import Receiver
from tests.e2e.running import START_S, Running, World, call, command, environment

KEY = {"Authorization": "Bearer test-key-0123456789-abcdefghijklmnop"}
CLIPS = "/kling/v1/videos/text2video"


class Following:
    """A command that goes on until it is stopped; what it writes is read all the time."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments),
            env=environment({"PYTHONUNBUFFERED": "1"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    @property
    def output(self) -> str:
        with self._news:
            return "".join(self._lines)

    def wait_for(self, pattern: str) -> str:
        """Return the output once a pattern stands in it."""
        with self._news:
            found = self._news.wait_for(lambda: re.search(pattern, "".join(self._lines)), timeout=30)
            assert found, f"it did not say {pattern!r}:\n{''.join(self._lines)}"
        return self.output

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as Ctrl+C does, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=START_S)
        self._reader.join(timeout=5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def follow() -> Iterator[Callable[..., Following]]:
    """Starts commands that go on, and ends what is left of them."""
    started: list[Following] = []

    def starter(*arguments: str) -> Following:
        started.append(Following(*arguments))
        return started[-1]

    yield starter
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.stop()


def at(world: World) -> tuple[str, ...]:
    return ("--server", world.server.origin, "--tenant", world.name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- status -----------------------------------------------------------------------------------------------


def test_status_shows_what_there_is(world: World) -> None:
    world.post(CLIPS, {"prompt": "a boat"}, headers=KEY)
    world.post(CLIPS, {}, headers=KEY)
    world.get("/kling/v1/vidoes")

    done = call("status", *at(world))

    assert 0 == done.returncode, done.stderr
    assert "\x1b" not in done.stdout, "no colours where nobody sees them"
    for line in (
        rf"  kling +{re.escape(world.server.origin)}\S*/kling ",
        rf"tenant {re.escape(world.name)}\n",
        r"  clock +\S+, stands still",
        r"  tasks +1\n +kling +1 submitted",
        r"  requests +3 kept: 1 accepted, 0 fails, 2 refused; 1 reached no operation",
        r"  deliveries +0 kept",
    ):
        assert re.search(line, done.stdout), (line, done.stdout)


@pytest.mark.parametrize(
    ("env", "is_coloured"),
    [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_can_be_asked_for_and_refused(world: World, env: dict[str, str], is_coloured: bool) -> None:
    assert is_coloured == ("\x1b[1m" in call("status", *at(world), env=env).stdout)


def test_status_is_json_for_a_script(world: World) -> None:
    seen = json.loads(call("status", "--json", *at(world)).stdout)

    assert {"health", "providers", "tenants", "gauges"} == set(seen)
    assert (world.name, "frozen") == (seen["gauges"]["tenant"], seen["gauges"]["clock"]["mode"])


def test_status_looks_again_until_it_is_stopped(world: World, follow: Callable[..., Following]) -> None:
    watching = follow("status", "--watch", *at(world))
    watching.wait_for(r"tasks +0")
    world.post(CLIPS, {"prompt": "a boat"}, headers=KEY)
    watching.wait_for(r"tasks +1")

    assert 0 == watching.stop()


# --- tail -------------------------------------------------------------------------------------------------


def test_tail_follows_requests_states_and_callbacks(
    world: World, receiver: Receiver, follow: Callable[..., Following]
) -> None:
    tail = follow("tail", *at(world))
    tail.wait_for("Ctrl\\+C ends it")
    world.post(CLIPS, {"prompt": "a boat", "callback_url": receiver.url()}, headers=KEY)
    world.run_out()
    world.get("/kling/v1/vidoes")

    output = tail.wait_for("kling.request.no-route")

    kinds = [line.split()[1] for line in output.splitlines()[1:]]
    assert ["request", "task", "task", "delivery"] == [kind for kind in kinds if kind != "clock"][:4]
    assert re.search(rf"delivery +delivered +succeed of task \d+ -> {re.escape(receiver.url())}: 200", output)
    assert "\x1b" not in output
    assert 0 == tail.stop()


def test_tail_is_json_and_filtered(world: World, follow: Callable[..., Following]) -> None:
    tail = follow("tail", "--json", "--verdict", "refused", "--provider", "kling", *at(world))
    tail.wait_for("Ctrl\\+C ends it")
    world.post(CLIPS, {"prompt": "a boat"}, headers=KEY)
    world.post("/magnific/v1/ai/none", {})
    world.post(CLIPS, {}, headers=KEY)
    tail.wait_for("createText2Video")

    found = [json.loads(line) for line in tail.output.splitlines()[1:]]
    assert {("request", "refused", "kling")} == {
        (one["kind"], one["verdict"], one["provider"]) for one in found
    }
    assert 0 == tail.stop()


def test_tail_waits_for_a_server_that_went_away(
    start: Callable[..., Running], follow: Callable[..., Following]
) -> None:
    port = str(free_port())
    first = start(port=port)
    tail = follow("tail", "--server", first.origin)
    tail.wait_for("Ctrl\\+C ends it")
    first.stop()
    tail.wait_for("waiting for it to come back")
    second = start(port=port)
    tail.wait_for("it is back")
    second.client.get("/kling/v1/y")

    tail.wait_for("/kling/v1/y")
    assert 0 == tail.stop()


# --- forward ----------------------------------------------------------------------------------------------


def test_forward_brings_callbacks_to_a_program_that_cannot_be_called(
    world: World, follow: Callable[..., Following]
) -> None:
    answers = iter([503])
    with Receiver(answer=lambda _: next(answers, 200)) as receiver:
        _check_forward(world, receiver, follow)


def _check_forward(world: World, receiver: Receiver, follow: Callable[..., Following]) -> None:
    forward = follow("forward", receiver.url(), *at(world))
    forward.wait_for("Ctrl\\+C ends it")
    world.post(CLIPS, {"prompt": "a boat", "callback_url": "https://unreachable.invalid/hook"}, headers=KEY)
    world.admin("POST", "/clock/advance", {"by": "PT10M"})
    forward.wait_for("retrying +processing")
    world.admin("POST", "/clock/advance", {"by": "PT10M"})

    output = forward.wait_for("delivered +succeed")

    assert re.search(r"retrying +processing of task \d+ -> 503  next at ", output)
    assert re.search(r"delivered +processing of task \d+ -> 200  attempt 2", output)
    kept = world.deliveries()
    assert [["pull", "pull"], ["pull"]] == [[one["how"] for one in each["attempts"]] for each in kept]
    bodies = {json.dumps(one["body"], sort_keys=True) for one in kept}
    assert bodies == {json.dumps(one.body, sort_keys=True) for one in receiver.received}
    assert 0 == forward.stop()
    assert {"mode": "push"} == world.admin("GET", "/deliveries/mode")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_forward_reports_that_nobody_answers(
    world: World, follow: Callable[..., Following], number: signal.Signals
) -> None:
    forward = follow("forward", f"http://127.0.0.1:{free_port()}/hook", *at(world))
    forward.wait_for("Ctrl\\+C ends it")
    world.post(CLIPS, {"prompt": "a boat", "callback_url": "https://unreachable.invalid/hook"}, headers=KEY)
    world.admin("POST", "/clock/advance", {"by": "PT3S"})

    forward.wait_for("-> Connection refused")
    # The second is what a terminal that is closed sends.
    assert 0 == forward.stop(number)
    assert {"mode": "push"} == world.admin("GET", "/deliveries/mode")


# --- without a server -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("status",), ("tail",), ("forward", "http://127.0.0.1:1/hook")])
def test_without_a_server_there_is_a_sentence_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = call(*arguments, "--server", f"http://127.0.0.1:{free_port()}")

    assert (2, "") == (done.returncode, done.stdout)
    assert "no server answers at http://127.0.0.1:" in done.stderr
    assert "understudy serve starts one" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status", "--server", "nonsense"), "'nonsense' is no URL"),
        (("forward", "nonsense"), "'nonsense' is no URL"),
        (("forward", "http://127.0.0.1:3000/h\u00f6k"), "takes percent-encoded only"),
        (("forward", "http://127.0.0.1:3000/a hook"), "takes percent-encoded only"),
        (("forward", "http://me:hush@127.0.0.1:3000/hook"), "has a user name in it"),
        (("tail", "--provider", "klin"), "the server serves"),
        (("status", "--token", "t\u2026n"), "the token cannot be sent"),
        (("status", "--token", "a\nb"), "the token cannot be sent"),
        (("status", "--tenant", "a b"), "a tenant is named by"),
        (("status", "--tenant", "a/b"), "a tenant is named by"),
        (("tail", "--tenant", "\u20ac"), "a tenant is named by"),
        (("status", "--server", f"http://{'a' * 70}.example"), "is no URL"),
        (("status", "--server", "http://exa mple"), "takes percent-encoded only"),
    ],
)
def test_what_cannot_be_meant_is_said(world: World, arguments: tuple[str, ...], said: str) -> None:
    server = () if "--server" in arguments else ("--server", world.server.origin)

    done = call(*arguments, *server)

    assert 2 == done.returncode
    assert said in done.stderr and "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_a_token_is_asked_for_and_given(start: Callable[..., Running]) -> None:
    server = start("--admin-token", "sesame")

    without = call("status", "--server", server.origin)
    named = call("status", "--server", server.origin, "--token", "sesame")
    in_environment = call("status", "--server", server.origin, env={"UNDERSTUDY_ADMIN_TOKEN": "sesame"})

    assert 2 == without.returncode and "--token" in without.stderr
    assert (0, 0) == (named.returncode, in_environment.returncode)


def test_something_else_that_answers_is_no_understudy(receiver: Receiver) -> None:
    done = call("status", "--server", receiver.origin)

    assert 2 == done.returncode
    assert "no understudy" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"[]", b"{}", b"null", b'"ok"', b"", b"ok"])
@pytest.mark.parametrize("arguments", [("status",), ("forward", "http://127.0.0.1:1/hook")])
def test_another_program_that_says_yes_to_everything_is_no_understudy(
    arguments: tuple[str, ...], content: bytes
) -> None:
    with yes_sayer(content) as origin:
        done = call(*arguments, "--server", origin)

    assert 2 == done.returncode
    assert "no understudy" in done.stderr and "Traceback" not in done.stderr


@contextlib.contextmanager
def yes_sayer(content: bytes) -> Iterator[str]:
    """Answer everything with 200 and these bytes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# --- the end of the server --------------------------------------------------------------------------------


def listening(server: Running, path: str) -> Any:
    """Return a raw connection whose request was begun to be answered, or waits for its answer."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.connect(("127.0.0.1", server.port))
    made.sendall(f"GET /__admin{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return made


@pytest.mark.parametrize("what", ["a stream", "a stream that nobody reads", "a puller"])
def test_who_listens_does_not_hold_up_the_end(start: Callable[..., Running], what: str) -> None:
    server = start("--log", "off")
    with listening(server, "/deliveries/next?wait=60s" if what == "a puller" else "/events") as line:
        if what != "a puller":
            assert line.recv(1_000).startswith(b"HTTP/1.1 200")
        if "nobody" in what:
            # More than the system holds for both ends.
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            for _ in range(3_000):
                connection.request("GET", "/kling/v1/x?" + "y" * 1_900)
                connection.getresponse().read()
            connection.close()
        else:
            server.client.get("/__admin/health")

        code, took_s = server.stop()

    assert 0 == code
    assert took_s < 1, took_s
