"""`understudy serve` as a process: its greeting, its options, its log, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.e2e.receiver import Receiver
from tests.e2e.running import ROOT, Running, World, call, command, environment

Start = Callable[..., Running]

KLING_KEY = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
BEARER = {"Authorization": "Bearer a-key"}
MAGNIFIC_KEY = {"x-magnific-api-key": "a-key"}

PROMPT = {"prompt": "A boat"}
TEXT2VIDEO = "/kling/v1/videos/text2video"


def create(server: Running | World, body: Any = None, *, path: str = TEXT2VIDEO) -> httpx.Response:
    """Make a task as a client would."""
    client = server.client if isinstance(server, Running) else server.server.client
    return client.post(server.origin + path, json=body or PROMPT, headers=KLING_KEY)


def read(server: Running | World, task_id: str) -> str:
    """Return a task's state as a client sees it."""
    client = server.client if isinstance(server, Running) else server.server.client
    answer = client.get(f"{server.origin}{TEXT2VIDEO}/{task_id}", headers=KLING_KEY)
    assert answer.status_code == 200, answer.text
    state: str = answer.json()["data"]["task_status"]
    return state


# --- start and greeting -----------------------------------------------------------------------------------


def test_it_starts_within_seconds_on_any_machine(start: Start) -> None:
    server = start()

    print(f"ready after {server.started_s * 1000:.0f} ms; the aim is 500")
    assert server.started_s < 10


def test_every_line_of_the_greeting_works_as_printed(start: Start) -> None:
    server = start()

    lines = re.findall(r"^    try +(curl .*)$", server.output, re.MULTILINE)
    made = [subprocess.run(["sh", "-c", line], capture_output=True, check=True) for line in lines]

    assert len(made) == 4
    answers = [json.loads(one.stdout) for one in made]
    tasks = World(server, "default").tasks()
    assert {"aimlapi", "kling", "magnific", "modellix"} == {one["provider"] for one in tasks}
    assert all(any(one["id"] in json.dumps(answer) for answer in answers) for one in tasks)


def test_the_greeting_names_base_url_and_credential_of_each_provider(start: Start) -> None:
    output = start().output

    for name in ("aimlapi", "kling", "magnific", "modellix/api/v1"):
        assert re.search(rf"^    base URL +http://127\.0\.0\.1:\d+/{name}$", output, re.MULTILINE)
    assert re.search(
        r"^    credential +authorization: Bearer <JWT with iss, exp, nbf> or an API key", output, re.M
    )
    assert re.search(r"^    credential +x-magnific-api-key: <key>", output, re.MULTILINE)
    assert "tasks move by  real time; kept in memory" in output


def test_the_admin_url_of_the_greeting_answers(start: Start) -> None:
    server = start()

    url = re.findall(r"^  admin +(\S+)", server.output, re.MULTILINE)[0]

    assert httpx.get(url, trust_env=False, verify=False).json()["status"] == "ok"


def test_the_greeting_asks_for_your_key_where_keys_are_configured(start: Start) -> None:
    server = start("--provider", "kling", "--credential", "kling=my-access-key-0123456789abcdef-01")

    (line,) = re.findall(r"^    try +(curl .*)$", server.output, re.MULTILINE)
    assert "my-access-key" not in server.output
    refused = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    mine = line.replace("YOUR-KEY", "my-access-key-0123456789abcdef-01")
    taken = subprocess.run(["sh", "-c", mine], capture_output=True, check=True)

    assert json.loads(refused.stdout)["code"] == 1002
    assert json.loads(taken.stdout)["code"] == 0


# --- help and mistakes ------------------------------------------------------------------------------------


def test_help_names_every_option_with_its_variable() -> None:
    done = call("serve", "--help")

    assert done.returncode == 0
    options = set(re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE)) - {"--help"}
    variables = set(re.findall(r"UNDERSTUDY_[A-Z_]+", done.stdout))
    assert {f"UNDERSTUDY_{option[2:].replace('-', '_').upper()}" for option in options} == variables
    assert {"--host", "--port", "--provider", "--speed", "--progress", "--store", "--seed"} <= options
    assert {"--admin-token", "--callback-allow"} <= options


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("serve", "-h"), ("--version",)])
def test_help_and_version_end_well(words: tuple[str, ...]) -> None:
    done = call(*words)

    assert (done.returncode, done.stderr) == (0, "")
    assert "understudy" in done.stdout


MISTAKES = {
    "port-too-high": (("--port", "99999"), "99999 is not in the range"),
    "port-no-number": (("--port", "http"), "'http' is not a valid integer"),
    "unknown-option": (("--prot", "8700"), "--port"),
    "unknown-provider": (("--provider", "klign"), "kling"),
    "missing-spec": (("--spec", "no-such.yaml"), "no-such.yaml"),
    "no-spec": (("--spec", "README.md"), "README.md"),
    "variant-form": (("--variant", "kling"), "PROVIDER.NAME"),
    "unknown-variant": (("--variant", "kling.plain-durations"), "plain-duration"),
    "variant-elsewhere": (("--provider", "kling", "--variant", "modellix.billing"), "modellix"),
    "effect-form": (("--effect", "kling.duration.text=maybe"), "reject, fail, warn or off"),
    "unknown-rule": (("--effect", "kling.duration.txt=reject"), "kling.duration.text"),
    "speed-zero": (("--speed", "0"), "above 0"),
    "speed-below-zero": (("--speed", "-1"), "above 0"),
    "speed-nan": (("--speed", "nan"), "speed"),
    "speed-infinite": (("--speed", "inf"), "speed"),
    "speed-no-number": (("--speed", "fast"), "'fast' is not a valid float"),
    "progress": (("--progress", "sometimes"), "time, polls, polls:N or manual"),
    "progress-zero": (("--progress", "polls:0"), "polls:N"),
    "progress-count": (("--progress", "time:3"), "polls:N"),
    "store": (("--store", "mysql://localhost"), "memory or sqlite:///FILE"),
    "store-nothing": (("--store", "sqlite:///"), "memory or sqlite:///FILE"),
    "store-folder": (("--store", "sqlite:////no/such/folder/x.db"), "cannot be used as a store"),
    "seed": (("--seed", "dice"), "'dice' is not a valid integer"),
    "credential": (("--credential", "kling"), "PROVIDER=KEY"),
    "credential-unknown": (("--credential", "klign=key"), "klign"),
    "limit-unit": (("--limit", "kling.coins=3"), "requests, concurrent-tasks, credits"),
    "limit-number": (("--limit", "kling.credits=many"), "'many' is neither a number nor 'on'"),
    "limit-negative": (("--limit", "kling.credits=-1"), "0 or more"),
    "receiver-url": (("--callback-allow", "http://hooks.test"), "without http:// and port"),
    "receiver-network": (("--callback-allow", "10.0.0.0/99"), "a network"),
    "secret-form": (("--webhook-secret", "kling=whsec_!!!"), "there must be Base64"),
    "secret-unused": (("--webhook-secret", "modellix=abc"), "signs nothing"),
    "limit-nan": (("--limit", "kling.credits=nan"), "kling.credits=nan"),
    "limit-infinite": (("--limit", "kling.credits=inf"), "kling.credits=inf"),
    "speed-too-high": (("--speed", "1e12"), "at most 1,000,000"),
    "limit-unknown": (("--limit", "klign.credits=3"), "klign"),
    "secret": (("--webhook-secret", "kling"), "PROVIDER=VALUE"),
    "open-host": (("--host", "0.0.0.0"), "--admin-token"),
    "no-host": (("--host", "no.such.host.invalid", "--admin-token", "t"), "no.such.host.invalid"),
    "callback-timeout": (("--callback-timeout", "0"), "0"),
    "callback-timeout-nan": (("--callback-timeout", "nan"), "callback timeout nan"),
    "max-body": (("--max-body", "1"), "1024"),
    "log": (("--log", "loud"), "'loud' is not one of"),
    "too-much": (("kling",), "kling"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_a_sentence(name: str) -> None:
    words, told = MISTAKES[name]

    # A port of its own, so that a mistake that is overlooked does not meet another server.
    done = call("serve", *(() if "--port" in words else ("--port", "0")), *words)

    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) <= 4, done.stderr


def test_a_port_in_use_is_told_with_what_to_do(start: Start) -> None:
    first = start()

    done = call("serve", "--port", str(first.port))

    assert done.returncode == 2
    assert f"127.0.0.1:{first.port} cannot be used" in done.stderr
    assert "--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_of_another_kind_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are notes and no database. " * 100)

    done = call("serve", "--port", "0", "--store", f"sqlite:///{file}")

    assert done.returncode == 2
    assert f"{file} cannot be used as a store" in done.stderr
    assert file.read_text().startswith("These are notes")


def test_a_store_serves_one_process_at_a_time(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tasks.db"
    start("--store", f"sqlite:///{file}")

    done = call("serve", "--port", "0", "--store", f"sqlite:///{file}")

    assert done.returncode == 2
    assert f"{file} cannot be used as a store: another process is using it" in done.stderr


# --- variables --------------------------------------------------------------------------------------------


def test_options_come_from_variables_as_well(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tasks.db"
    variables = {
        "UNDERSTUDY_PORT": "0",
        "UNDERSTUDY_PROVIDER": "kling modellix",
        "UNDERSTUDY_SPEED": "60",
        "UNDERSTUDY_STORE": f"sqlite:///{file}",
        "UNDERSTUDY_SEED": "7",
        "UNDERSTUDY_LIMIT": "kling.credits=1 kling.concurrent-tasks=on",
        "UNDERSTUDY_VARIANT": "kling.plain-duration",
        "UNDERSTUDY_EFFECT": "kling.duration.text=reject",
        "UNDERSTUDY_CREDENTIAL": "modellix=key-one modellix=key-two",
        "UNDERSTUDY_WEBHOOK_SECRET": "kling=whsec_c2VjcmV0",
        "UNDERSTUDY_ADMIN_TOKEN": "a-token",
        "UNDERSTUDY_LOG": "json",
    }
    server = start(env=variables, port=None)
    admin = {"X-Admin-Token": "a-token"}

    providers = server.client.get("/__admin/providers", headers=admin).json()["providers"]
    health = server.client.get("/__admin/health")
    clock = server.client.get("/__admin/clock", headers=admin).json()

    by_id = {one["id"]: one for one in providers}
    assert list(by_id) == ["kling", "modellix"]
    assert health.status_code == 401
    assert (clock["mode"], clock["speed"]) == ("scaled", 60)
    assert {("concurrent-tasks", 5, True), ("credits", 1, True)} == {
        (one["unit"], one["quota"], one["enforced"]) for one in by_id["kling"]["limits"]
    }
    assert [one["name"] for one in by_id["kling"]["variants"] if one["applied"]] == ["plain-duration"]
    assert by_id["modellix"]["credentials"][0]["accepted"] == "2 configured"
    assert create(server, PROMPT | {"duration": 5}).status_code == 400
    assert file.exists()
    assert "signed with the configured secret" in server.output


def test_an_option_is_stronger_than_its_variable(start: Start) -> None:
    server = start("--provider", "modellix", env={"UNDERSTUDY_PROVIDER": "kling", "UNDERSTUDY_PORT": "1"})

    assert list(server.client.get("/").json()["providers"]) == ["modellix"]


def test_a_mistake_in_a_variable_is_told_as_well() -> None:
    done = call("serve", "--port", "0", env={"UNDERSTUDY_SPEED": "fast"})

    assert done.returncode == 2
    assert "UNDERSTUDY_SPEED" in done.stderr


# --- stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_an_idle_server_stops_at_once_and_well(start: Start, number: int) -> None:
    server = start()

    code, took_s = server.stop(number)

    print(f"stopped after {took_s * 1000:.0f} ms; the aim is 50")
    assert code == 0
    assert took_s < 0.5
    assert "Traceback" not in server.output


def test_connections_kept_open_do_not_hold_up_the_stop(start: Start) -> None:
    server = start()
    clients = [httpx.Client(base_url=server.origin, trust_env=False, verify=False) for _ in range(5)]
    for client in clients:
        assert client.get("/__admin/health").status_code == 200

    code, took_s = server.stop()

    for client in clients:
        client.close()
    assert code == 0
    assert took_s < 0.5


def test_a_server_that_has_worked_stops_as_well(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    server = start("--store", f"sqlite:///{tmp_path / 'tasks.db'}")
    world = World(server, "default")
    world.freeze()
    for _ in range(20):
        assert create(server, PROMPT | {"callback_url": receiver.url()}).status_code == 200
    world.advance("PT10S")
    receiver.wait_for(20)

    code, took_s = server.stop()

    print(f"stopped after {took_s * 1000:.0f} ms")
    assert code == 0
    assert took_s < 1.0
    assert "Traceback" not in server.output


@pytest.fixture
def half_sent(start: Start) -> Iterator[tuple[Running, socket.socket, bytes]]:
    """A server with one request under way: its head is there, half of its body, and the other half to come."""
    server = start()
    body = json.dumps(PROMPT).encode()
    head = (
        f"POST {TEXT2VIDEO} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {KLING_KEY['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode() + body[:4])
        # Another request is answered after it: the server has seen the head by then.
        assert server.client.get("/").status_code == 200
        yield server, connection, body[4:]


def until_closed(server: Running) -> None:
    """Wait until the port takes nobody any more."""
    for _ in range(2000):
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        except ConnectionError:
            return
        select.select([], [], [], 0.005)
    raise AssertionError("the port stayed open")


def test_a_request_under_way_is_answered_before_the_end(
    half_sent: tuple[Running, socket.socket, bytes],
) -> None:
    server, connection, rest = half_sent

    server.process.send_signal(signal.SIGTERM)
    until_closed(server)
    connection.sendall(rest)
    answer = b""
    while part := connection.recv(65536):
        answer += part

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"task_status":"submitted"' in answer
    assert server.process.wait(timeout=10) == 0


def test_a_second_signal_waits_for_nobody(half_sent: tuple[Running, socket.socket, bytes]) -> None:
    server, _, _ = half_sent

    server.process.send_signal(signal.SIGTERM)
    until_closed(server)
    code, took_s = server.stop(signal.SIGTERM)

    assert code == 0
    assert took_s < 1.0


def test_a_slow_receiver_does_not_hold_up_the_stop(start: Start) -> None:
    release = threading.Event()
    with Receiver(answer=lambda callback: (release.wait(30) and 200) or 200) as receiver:
        server = start("--speed", "1000")
        create(server, PROMPT | {"callback_url": receiver.url()})
        receiver.wait_for(1)

        code, took_s = server.stop()
        release.set()

    assert code == 0
    assert took_s < 1.0


# --- log --------------------------------------------------------------------------------------------------


def test_the_text_log_says_what_was_wrong_in_one_line(start: Start) -> None:
    server = start()

    create(server, {"prompt": "x", "model_name": "kling-v9", "mode": "turbo"})

    output = server.wait_for("POST ")
    (line,) = (line for line in output.splitlines() if TEXT2VIDEO in line and "curl" not in line)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  400  POST", line)
    assert "broke " in line
    assert {"kling.t2v.model-name", "kling.mode.value"} <= set(re.findall(r"kling\.[a-z0-9.-]+", line)), line
    assert "\x1b" not in output


def test_the_json_log_is_one_object_a_line(start: Start) -> None:
    server = start("--log", "json")

    made = create(World(server, "mine")).json()["data"]["task_id"]
    create(server, {"prompt": 5})

    lines = [
        json.loads(line) for line in server.wait_for('"status":400').splitlines() if line.startswith("{")
    ]
    first, second = lines[-2:]
    assert (first["status"], first["tenant"], first["task"]) == (200, "mine", made)
    assert (first["method"], first["operation"]) == ("POST", "createText2Video")
    assert second["rules"] == ["kling.prompt.text"] or second["rules"][0].startswith("kling.")


def test_no_log_means_the_greeting_and_at_the_end_the_costs_alone(start: Start) -> None:
    server = start("--log", "off")
    greeting = server.output

    create(server)
    code, _ = server.stop()

    assert code == 0
    assert server.output.startswith(greeting)
    rest = server.output.removeprefix(greeting).strip()
    assert rest.startswith("What these tasks would have cost:")
    assert len(rest.splitlines()) == 4


def test_no_key_stands_in_the_log(start: Start) -> None:
    server = start("--log", "json", "--credential", "kling=0123456789abcdef0123456789abcdef")

    create(server)
    server.client.post(
        TEXT2VIDEO, json=PROMPT, headers={"Authorization": "Bearer wrong-key-9876543210-9876543210"}
    )

    server.wait_for('"status":401')
    assert "0123456789abcdef" not in server.output
    assert "wrong-key" not in server.output


@pytest.mark.parametrize(
    ("env", "is_coloured"),
    [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False), ({}, False)],
    ids=["forced", "refused", "no-terminal"],
)
def test_colour_is_a_matter_of_variables(start: Start, env: dict[str, str], is_coloured: bool) -> None:
    server = start(env=env)

    create(server)

    assert ("\x1b[" in server.wait_for("POST")) == is_coloured


@pytest.mark.parametrize(
    ("env", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["plain", "no-color"]
)
def test_a_terminal_gets_colour_unless_it_is_refused(env: dict[str, str], is_coloured: bool) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("serve", "--port", "0"), env=environment(env), cwd=ROOT, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    while b"kept in memory" not in written:
        written += os.read(ours, 65536)

    process.terminate()
    assert process.wait(timeout=20) == 0
    os.close(ours)
    assert (b"\x1b[1m" in written) == is_coloured


# --- what moves tasks -------------------------------------------------------------------------------------


def test_speed_makes_minutes_pass_in_an_instant(start: Start) -> None:
    server = start("--speed", "1000")

    task_id = create(server).json()["data"]["task_id"]
    begun = time.perf_counter()
    while read(server, task_id) != "succeed":
        assert time.perf_counter() - begun < 20
    took_s = time.perf_counter() - begun

    # 122 seconds of the provider.
    assert took_s > 0.1


def test_polls_move_a_task_one_state_each(start: Start) -> None:
    server = start("--progress", "polls")

    task_id = create(server).json()["data"]["task_id"]

    assert [read(server, task_id) for _ in range(4)] == ["processing", "succeed", "succeed", "succeed"]


def test_polls_can_be_several_a_step(start: Start) -> None:
    server = start("--progress", "polls:3")

    task_id = create(server).json()["data"]["task_id"]

    states = [read(server, task_id) for _ in range(7)]
    assert states == ["submitted"] * 2 + ["processing"] * 3 + ["succeed"] * 2


def test_polls_send_callbacks_too(start: Start, receiver: Receiver) -> None:
    server = start("--progress", "polls")
    task_id = create(server, PROMPT | {"callback_url": receiver.url()}).json()["data"]["task_id"]

    assert read(server, task_id) == "processing"
    receiver.wait_for(1)
    assert read(server, task_id) == "succeed"

    assert [one.body["task_status"] for one in receiver.wait_for(2)] == ["processing", "succeed"]


def test_manual_tasks_move_by_the_admin_api_alone(start: Start, receiver: Receiver) -> None:
    server = start("--progress", "manual")
    world = World(server, "default")
    task_id = create(server, PROMPT | {"callback_url": receiver.url()}).json()["data"]["task_id"]

    assert world.advance("P1D") == []
    assert read(server, task_id) == "submitted"
    world.admin("PATCH", f"/tasks/{task_id}", {"state": "processing"})
    assert read(server, task_id) == "processing"
    world.admin("PATCH", f"/tasks/{task_id}", {"outcome": "failure", "message": "Out of film"})

    assert read(server, task_id) == "failed"
    first, last = receiver.wait_for(2)
    assert first.body["task_status"] == "processing"
    assert (last.body["task_status"], last.body["task_status_msg"]) == ("failed", "Out of film")


# --- limits, credentials, readings ------------------------------------------------------------------------


def test_credits_run_out_and_come_back_when_a_task_fails(start: Start) -> None:
    server = start("--limit", "kling.credits=2")
    world = World(server, "poor")
    world.freeze()

    first, second, third = (create(world) for _ in range(3))

    assert [one.status_code for one in (first, second, third)] == [200, 200, 429]
    assert third.json()["code"] == 1102
    assert third.json()["message"] == "Account balance not enough"
    world.admin("PATCH", f"/tasks/{first.json()['data']['task_id']}", {"outcome": "failure"})
    assert create(world).status_code == 200
    assert create(world).status_code == 429


def test_tasks_at_once_are_limited_until_one_ends(start: Start) -> None:
    server = start("--limit", "kling.concurrent-tasks=1")
    world = World(server, "busy")
    world.freeze()

    first, second = create(world), create(world)
    world.advance("PT3M")

    assert (second.status_code, second.json()["code"]) == (429, 1303)
    assert second.json()["message"] == "parallel task over resource pack limit"
    assert read(world, first.json()["data"]["task_id"]) == "succeed"
    assert create(world).status_code == 200


def test_requests_are_limited_with_the_providers_own_number(start: Start) -> None:
    server = start("--limit", "modellix.requests=on")
    world = World(server, "hasty")
    world.freeze()

    answers = [world.get("/modellix/api/v1/tasks/none", headers=BEARER) for _ in range(101)]

    assert [one.status_code for one in answers] == [404] * 100 + [429]
    assert [answers[at].headers["x-ratelimit-remaining"] for at in (0, 99)] == ["99", "0"]
    world.advance("PT1M")
    assert world.get("/modellix/api/v1/tasks/none", headers=BEARER).status_code == 404


def test_configured_keys_are_the_only_ones(start: Start) -> None:
    server = start("--credential", "magnific=my-key", "--credential", "magnific=your-key")
    path = "/magnific/v1/ai/video/kling-4k-t2v"

    def status(headers: dict[str, str]) -> int:
        return server.client.post(path, json=PROMPT, headers=headers).status_code

    assert status({"x-magnific-api-key": "my-key"}) == 200
    assert status({"x-freepik-api-key": "your-key"}) == 200
    assert status({"x-magnific-api-key": "their-key"}) == 401
    assert status({}) == 401


def test_a_configured_secret_verifies_the_signature_of_a_token(start: Start) -> None:
    server = start("--credential", f"kling=an-access-key:{'s' * 32}")
    now = int(time.time())

    def answer(secret: str = "s" * 32, **claims: Any) -> tuple[int, Any]:
        known = {"iss": "an-access-key", "exp": now + 1800, "nbf": now - 5} | claims
        token = jwt.encode(known, secret, algorithm="HS256")
        done = server.client.post(TEXT2VIDEO, json=PROMPT, headers={"Authorization": f"Bearer {token}"})
        return done.status_code, done.json()["code"]

    assert answer() == (200, 0)
    assert answer("t" * 32) == (401, 1000)
    assert answer(iss="another-key") == (401, 1002)
    assert answer(exp=now - 10) == (401, 1004)
    assert answer(nbf=now + 600) == (401, 1003)


def test_a_variant_is_another_reading(start: Start) -> None:
    server = start("--variant", "kling.plain-duration", "--variant", "aimlapi.created-201")
    world = World(server, "read")
    world.freeze()

    task_id = create(world).json()["data"]["task_id"]
    body = {"model": "kling-video/v1/standard/image-to-video", "image_url": "https://example.com/a.png"}
    other = world.post("/aimlapi/v2/video/generations", body, headers=BEARER)
    world.advance("PT5M")

    done = world.get(f"{TEXT2VIDEO}/{task_id}", headers=KLING_KEY).json()
    assert done["data"]["task_result"]["videos"][0]["duration"] == "5"
    assert other.status_code == 201


@pytest.mark.parametrize(
    ("effect", "status", "end"),
    [("warn", 200, "succeed"), ("off", 200, "succeed"), ("fail", 200, "failed"), ("reject", 400, None)],
)
def test_an_effect_says_what_a_rule_does(start: Start, effect: str, status: int, end: str | None) -> None:
    server = start("--provider", "kling", "--effect", f"kling.duration.text={effect}")
    world = World(server, "strict")
    world.freeze()

    answer = create(world, PROMPT | {"duration": 5})
    world.run_out()

    assert answer.status_code == status
    assert ("kling.duration.text" in answer.headers.get("x-mock-violations", "")) == (effect != "off")
    if end is not None:
        assert read(world, answer.json()["data"]["task_id"]) == end
    else:
        assert answer.json() | {"request_id": ""} == {
            "code": 1201,
            "message": "Failed to resolve the request body",
            "request_id": "",
        }


# --- chance -----------------------------------------------------------------------------------------------


def talk(server: Running) -> list[Any]:
    """Return everything a conversation at one frozen moment brings, deliveries included."""
    world = World(server, "chance")
    world.admin("PUT", "/clock", {"mode": "frozen", "now": "2030-01-01T00:00:00Z"})
    said: list[Any] = []
    for number in range(3):
        said.append(create(world, PROMPT | {"external_task_id": f"mine-{number}"}).json())
        answer = world.post(
            "/magnific/v1/ai/video/kling-4k-t2v",
            PROMPT | {"webhook_url": "http://127.0.0.1:9/nobody"},
            headers=MAGNIFIC_KEY,
        )
        said.append(answer.json())
        said.append(world.get("/modellix/api/v1/tasks/none", headers=BEARER).headers["x-mock-request-id"])
    said.append(world.advance("PT10M"))
    said.append(world.get(TEXT2VIDEO, headers=KLING_KEY).json())
    text = json.dumps(said).replace(server.origin, "")
    return [json.loads(text), [one["id"] for one in world.deliveries()]]


def test_the_same_seed_gives_the_same_answers_in_another_process(start: Start) -> None:
    first, second, other = start("--seed", "4711"), start("--seed", "4711"), start("--seed", "4712")

    said = talk(first)

    assert said == talk(second)
    assert said != talk(other)


def test_what_happens_at_one_moment_is_told_in_the_order_of_the_calls(world: World) -> None:
    answered = threading.Event()
    with (
        Receiver(answer=lambda callback: 200 if answered.wait(20) else 500) as first,
        Receiver(answer=lambda callback: answered.set() or 200) as second,  # type: ignore[func-returns-value]
    ):
        ids = [
            create(world, PROMPT | {"callback_url": one.url()}).json()["data"]["task_id"]
            for one in (first, second)
        ]

        events = world.advance("PT5S")

    # The first receiver answered last.
    assert ids == [one["task"] for one in events if one["kind"] == "delivery"]


def test_without_a_seed_no_two_servers_agree(start: Start) -> None:
    first, second = start(), start()

    assert talk(first) != talk(second)


# --- addresses --------------------------------------------------------------------------------------------


def test_a_single_provider_needs_no_prefix(start: Start) -> None:
    server = start("--provider", "kling")

    with_prefix = create(server)
    without = create(server, path="/v1/videos/text2video")
    of_tenant = create(World(server, "mine"), path="/v1/videos/text2video")
    lost = create(server, path="/v1/task/list")

    assert [one.status_code for one in (with_prefix, without, of_tenant)] == [200, 200, 200]
    # The provider's own 404, of its web framework.
    assert (lost.status_code, lost.json()["path"]) == (404, "/v1/task/list")


def test_a_path_that_one_provider_has_needs_no_prefix(world: World) -> None:
    made = create(world, path="/v1/videos/text2video")

    assert made.status_code == 200
    assert read(world, made.json()["data"]["task_id"]) == "submitted"


def test_a_path_that_nobody_has_is_refused_in_our_own_voice(world: World) -> None:
    answer = world.get("/v1/nothing", headers=KLING_KEY)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/kling" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("host", "path", "headers"),
    [
        ("api-singapore.klingai.com", "/v1/videos/text2video", KLING_KEY),
        ("api.klingai.com:443", "/v1/videos/text2video", KLING_KEY),
        ("API.Magnific.com", "/v1/ai/video/kling-4k-t2v", MAGNIFIC_KEY),
        ("api.freepik.com", "/v1/ai/video/kling-4k-t2v", MAGNIFIC_KEY),
    ],
)
def test_the_host_header_names_the_provider(
    server: Running, world: World, host: str, path: str, headers: dict[str, str]
) -> None:
    known = headers | {"Host": host, "X-Mock-Tenant": world.name}

    answer = server.client.post(path, json=PROMPT, headers=known)

    assert answer.status_code == 200, answer.text
    assert len(world.tasks()) == 1


def test_the_host_header_decides_where_a_path_would_be_nobodys(server: Running) -> None:
    answer = server.client.get("/nothing", headers=KLING_KEY | {"Host": "api.modellix.ai"})

    assert (answer.status_code, answer.json()["code"]) == (404, 404)
    assert answer.json()["message"].startswith("Resource not found: ")


def test_two_tenants_do_not_see_each_other(server: Running, world: World) -> None:
    other = World(server, world.name + ".other")

    task_id = create(world).json()["data"]["task_id"]
    unknown = other.get(f"{TEXT2VIDEO}/{task_id}", headers=KLING_KEY)

    assert (unknown.status_code, unknown.json()["code"]) == (400, 1201)
    assert other.tasks() == []


def test_a_provider_of_ones_own_is_served_from_its_file(start: Start) -> None:
    server = start("--spec", str(ROOT / "tests" / "toy.yaml"))

    made = server.client.post("/toy/api/clips", json=PROMPT, headers={"X-Toy-Key": "a-key"})

    assert list(server.client.get("/").json()["providers"]) == ["toy"]
    assert made.status_code in (200, 201, 202), made.text
    (line,) = re.findall(r"^    try +(curl .*)$", server.output, re.MULTILINE)
    assert (
        json.loads(subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout)["ok"] is True
    )


# --- safety -----------------------------------------------------------------------------------------------


def test_an_open_server_asks_for_the_token_under_admin_and_nowhere_else(start: Start) -> None:
    server = start("--host", "0.0.0.0", "--admin-token", "let-me-in")

    assert server.client.get("/__admin/health").status_code == 401
    wrong = server.client.get("/__admin/health", headers={"Authorization": "Bearer let-me-out"})
    assert wrong.status_code == 401
    for headers in ({"Authorization": "Bearer let-me-in"}, {"X-Admin-Token": "let-me-in"}):
        assert server.client.get("/__admin/health", headers=headers).status_code == 200
    assert create(server).status_code == 200
    assert "let-me-in" not in server.output


def admin_of(server: Running, token: str) -> Callable[..., Any]:
    """Return a function that calls the admin API with a token."""

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = server.client.request(method, f"/__admin{path}", json=body, headers={"X-Admin-Token": token})
        assert answer.is_success, answer.text
        return answer.json()

    return ask


@pytest.mark.parametrize(
    ("allowed", "status"),
    [
        ((), "refused"),
        (("10.0.0.0/8",), "refused"),
        (("127.0.0.0/8",), "delivered"),
        (("127.0.0.1",), "delivered"),
    ],
    ids=["nobody", "others", "network", "address"],
)
def test_an_open_server_sends_callbacks_only_to_the_list(
    start: Start, receiver: Receiver, allowed: tuple[str, ...], status: str
) -> None:
    options = [word for one in allowed for word in ("--callback-allow", one)]
    server = start("--host", "0.0.0.0", "--admin-token", "t", *options)
    ask = admin_of(server, "t")
    ask("PUT", "/clock", {"mode": "frozen"})

    made = create(server, PROMPT | {"callback_url": receiver.url()})
    ask("POST", "/clock/advance", {"by": "PT10M"})

    deliveries = ask("GET", "/deliveries")["deliveries"]
    assert made.status_code == 200
    assert [status, status] == [one["status"] for one in deliveries]
    assert len(receiver.received) == (2 if status == "delivered" else 0)
    if status == "refused":
        assert "--callback-allow" in deliveries[0]["attempts"][0]["error"]


def test_a_list_of_receivers_holds_on_loopback_too(start: Start, receiver: Receiver) -> None:
    server = start("--callback-allow", "hooks.example.com")
    world = World(server, "default")
    world.freeze()

    create(server, PROMPT | {"callback_url": receiver.url()})
    world.run_out()

    assert [one["status"] for one in world.deliveries()] == ["refused", "refused"]
    assert receiver.received == []


def test_the_admin_api_takes_no_foreign_host_and_no_foreign_page(server: Running) -> None:
    # A page of another origin, and a foreign name that was pointed at this machine.
    rebound = server.client.get("/__admin/health", headers={"Host": f"evil.example:{server.port}"})
    foreign = server.client.get("/__admin/health", headers={"Origin": "https://evil.example"})
    own = server.client.get("/__admin/health", headers={"Origin": server.origin})

    assert (rebound.status_code, foreign.status_code, own.status_code) == (403, 403, 200)


def test_the_other_loopback_is_served_too(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        # Without IPv6 the sentence must say so.
        done = call("serve", "--port", "0", "--host", "::1")
        assert (done.returncode, "cannot be used" in done.stderr) == (2, True)
        return

    server = start("--host", "::1")

    assert server.origin == f"http://[::1]:{server.port}"
    assert create(server).status_code == 200
    assert server.client.get("/__admin/health").json()["status"] == "ok"


# --- bounds -----------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_by_the_provider_and_others_go_on(start: Start) -> None:
    server = start("--max-body", "2048")

    refused = create(server, {"prompt": "x" * 4096})
    taken = create(server)

    assert (refused.status_code, refused.json()["code"]) == (400, 1200)
    assert refused.headers["connection"] == "close"
    assert taken.status_code == 200


def test_tenants_and_tasks_have_bounds_that_are_told(start: Start) -> None:
    server = start("--max-tenants", "2", "--max-tasks", "1")

    assert create(World(server, "one")).status_code == 200
    full = create(World(server, "one"))
    more = create(World(server, "two"))

    assert (full.status_code, full.json()["code"]) == (503, 5001)
    # In the provider's voice, because it was the provider that was called; why is in the journal.
    assert (more.status_code, more.json()["code"]) == (503, 5001)
    (kept,) = World(server, "default").admin("GET", "/requests")["requests"]
    assert "--max-tenants" in kept["report"]["violations"][0]["found"]


def test_an_account_without_units_is_told_so(start: Start) -> None:
    refused = create(World(start("--limit", "kling.credits=0"), "poor"))

    assert (refused.status_code, refused.json()["code"]) == (429, 1102)


def test_a_name_no_tenant_can_have_is_refused_by_the_provider(server: Running) -> None:
    answer = httpx.get(f"{server.origin}/t/a%20b/kling/account/costs")

    assert (answer.status_code, answer.json()["message"]) == (404, "No message available")
    assert answer.headers["x-mock-violations"] == "kling.request.no-route"


def test_the_journal_keeps_the_newest(start: Start) -> None:
    server = start("--journal-entries", "3")
    world = World(server, "default")

    ids = [create(server).headers["x-mock-request-id"] for _ in range(5)]

    journal = world.admin("GET", "/requests")
    assert ids[:1:-1] == [one["id"] for one in journal["requests"]]
    assert (journal["kept"], journal["dropped"]) == (3, 2)


def test_a_receiver_that_never_answers_is_given_up_after_the_time(start: Start) -> None:
    release = threading.Event()
    with Receiver(answer=lambda callback: 200 if release.wait(30) else 500) as receiver:
        server = start("--callback-timeout", "0.1", "--variant", "kling.callback-once")
        world = World(server, "default")
        world.freeze()
        create(server, PROMPT | {"callback_url": receiver.url()})

        world.run_out()
        release.set()

    deliveries = world.deliveries()
    assert [one["status"] for one in deliveries] == ["failed", "failed"]
    assert {"no answer within 0.1 s"} == {one["attempts"][0]["error"] for one in deliveries}


def test_a_slow_receiver_delays_neither_the_api_nor_other_tasks(start: Start, receiver: Receiver) -> None:
    release = threading.Event()
    with Receiver(answer=lambda callback: 200 if release.wait(30) else 500) as slow:
        server = start("--provider", "kling")
        world = World(server, "default")
        world.freeze()
        create(server, PROMPT | {"callback_url": slow.url()})
        create(server, PROMPT | {"callback_url": receiver.url()})
        moving = threading.Thread(target=world.advance, args=("PT10S",))
        moving.start()

        # The slow one has its callback and keeps it; the other one gets its own all the same.
        slow.wait_for(1)
        receiver.wait_for(1)
        answered = [create(World(server, f"other-{number}")).status_code for number in range(20)]
        is_held = moving.is_alive()
        release.set()
        moving.join(timeout=20)

    assert answered == [200] * 20
    assert is_held
    assert [one["status"] for one in world.deliveries()] == ["delivered", "waiting"] * 2


# --- a file as store --------------------------------------------------------------------------------------


def test_a_file_keeps_tasks_clock_and_callbacks_over_a_restart(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    options = ("--store", "sqlite:///tasks.db")
    first = start(*options, cwd=tmp_path)
    world = World(first, "lasting")
    now = world.freeze()
    task_id = create(world, PROMPT | {"callback_url": receiver.url()}).json()["data"]["task_id"]
    world.advance("PT10S")
    receiver.wait_for(1)
    assert first.stop()[0] == 0

    second = World(start(*options, cwd=tmp_path), "lasting")

    assert second.admin("GET", "/clock") | {"now": ""} == {
        "mode": "frozen",
        "now": "",
        "now_ms": now + 10_000,
        "speed": 0,
    }
    assert read(second, task_id) == "processing"
    second.run_out()
    assert read(second, task_id) == "succeed"
    assert [one.body["task_status"] for one in receiver.wait_for(2)] == ["processing", "succeed"]
    assert (tmp_path / "tasks.db").exists()


def test_reset_begins_a_tenant_again_and_no_other(start: Start, tmp_path: Path) -> None:
    server = start("--store", f"sqlite:///{tmp_path / 'tasks.db'}")
    one, other = World(server, "one"), World(server, "other")
    for world in (one, other):
        world.freeze()
        create(world)

    one.admin("POST", "/reset")

    assert (one.tasks(), one.admin("GET", "/clock")["mode"]) == ([], "real")
    assert len(other.tasks()) == 1
    assert other.admin("GET", "/clock")["mode"] == "frozen"
