"""The SQLite file under load, and kill -9: nothing that was acknowledged is lost, what is due is sent, tasks go on.

UNDERSTUDY_CRASHES says how many kills there are, UNDERSTUDY_CRASH_SEED draws other moments.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.receiver import Callback, Receiver
from tests.e2e.running import ROOT, Running, World, command, environment

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
CRASHES = int(os.environ.get("UNDERSTUDY_CRASHES", "200" if SOAK else "12"))
SEED = int(os.environ.get("UNDERSTUDY_CRASH_SEED", "20261121"))

SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
CLIENTS = 6
SPEED = "200"
"""A minute passes in a third of a second, and a week, the longest that one provider keeps tasks, in fifty minutes."""

KLING_KEY = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
BEARER = {"Authorization": "Bearer a-key"}
TEXT2VIDEO = "/kling/v1/videos/text2video"
MODELLIX = "/modellix/api/v1/kling/kling-v1-i2v"


@dataclass
class Diary:
    """What the clients were told: by task id the answer to its create call, and the name each one gave it."""

    created: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, task_id: str, answer: Any, name: str | None = None) -> int:
        """Write down an answer that arrived whole; return how many there are."""
        with self.lock:
            self.created[task_id] = answer
            if name is not None:
                self.names[name] = task_id
            return len(self.created)


def serve(file: Path) -> Running:
    """Start a server on this file."""
    options = {
        "store": f"sqlite:///{file}",
        "speed": SPEED,
        "log": "off",
        "webhook-secret": f"kling={SECRET}",
    }
    # Kept for longer than two hundred kills take on a busy machine, which 24 hours are not.
    options["variant"] = "modellix.retention-7d"
    options["limit"] = "kling.credits=1000000"
    providers = ("--provider", "kling", "--provider", "modellix")
    return Running(*providers, *(f"--{name}={value}" for name, value in options.items()))


class Load:
    """Clients that make tasks, read them back and list them, until the server is no more."""

    def __init__(self, server: Running, receiver: Receiver, diary: Diary, *, turn: int) -> None:
        """Begin; `turn` keeps the names of this round apart from those of others."""
        self._server, self._receiver, self._diary, self._turn = server, receiver, diary, turn
        self._goal = 0
        self._reached = threading.Event()
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def until(self, goal: int) -> None:
        """Wait until so many tasks more were acknowledged."""
        self._goal = len(self._diary.created) + goal
        assert self._reached.wait(60), f"no answers; {self.failures}"

    def end(self) -> None:
        """Wait for the clients, who stop when nobody answers."""
        for thread in self._threads:
            thread.join(timeout=30)
        assert self.failures == []

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._server.origin, trust_env=False, verify=False, timeout=30) as client:
            count = 0
            while True:
                try:
                    self._turn_of(client, f"{self._turn}-{number}-{count}")
                except httpx.TransportError:
                    return
                except AssertionError as error:
                    self.failures.append(str(error))
                    self._reached.set()
                    return
                count += 1

    def _turn_of(self, client: httpx.Client, name: str) -> None:
        url = self._receiver.url()
        body = {"prompt": "A boat", "callback_url": url, "external_task_id": name}
        made = client.post(TEXT2VIDEO, json=body, headers=KLING_KEY)
        assert made.status_code == 200, made.text
        self._noted(made.json()["data"]["task_id"], made.json(), name)
        headers = BEARER | {"X-Webhook-URL": url}
        made = client.post(MODELLIX, json={"image": "https://example.com/a.png"}, headers=headers)
        assert made.status_code == 200, made.text
        task_id = made.json()["data"]["task_id"]
        self._noted(task_id, made.json())
        read = client.get(f"/modellix/api/v1/tasks/{task_id}", headers=BEARER)
        assert read.status_code == 200, read.text
        self._diary.seen[task_id] = read.json()["data"]["status"]
        listed = client.get(f"{TEXT2VIDEO}?pageSize=5", headers=KLING_KEY)
        assert listed.status_code == 200, listed.text

    def _noted(self, task_id: str, answer: Any, name: str | None = None) -> None:
        if self._diary.note(task_id, answer, name) >= self._goal > 0:
            self._reached.set()


def read_kling(server: Running, name: str) -> Any:
    """Read a task by its id or external id."""
    answer = server.client.get(f"{TEXT2VIDEO}/{name}", headers=KLING_KEY)
    assert answer.status_code == 200, (name, answer.text)
    return answer.json()["data"]


def assert_all_there(server: Running, diary: Diary, task_ids: list[str]) -> None:
    """Every task that was acknowledged is found, by each of its names, and is not younger than it was."""
    order = {"pending": 0, "processing": 1, "success": 2}
    names = {task_id: name for name, task_id in diary.names.items()}
    for task_id in task_ids:
        created = diary.created[task_id]
        if task_id.startswith("task-"):
            answer = server.client.get(f"/modellix/api/v1/tasks/{task_id}", headers=BEARER)
            assert answer.status_code == 200, (task_id, answer.text)
            status = answer.json()["data"]["status"]
            assert order[status] >= order[diary.seen.get(task_id, "pending")]
            continue
        found = read_kling(server, task_id)
        assert found["created_at"] == created["data"]["created_at"]
        assert found["task_info"] == created["data"]["task_info"]
        assert read_kling(server, names[task_id])["task_id"] == task_id


def kill_while_starting(file: Path, after_s: float) -> None:
    """Start a server on the file and kill it on its way."""
    words = command("serve", "--port", "0", "--store", f"sqlite:///{file}", "--speed", SPEED)
    process = subprocess.Popen(
        words, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def deliveries_by_change(received: list[Callback]) -> dict[tuple[str, str], list[tuple[str, bytes]]]:
    """Return what arrived by (task, state): pairs of delivery id and body, in the order of arrival."""
    found: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
    for one in received:
        if "x-modellix-delivery-id" in one.headers:
            key = (one.headers["x-modellix-task-id"], one.body["data"]["status"])
            found.setdefault(key, []).append((one.headers["x-modellix-delivery-id"], one.raw))
        else:
            key = (one.body["task_id"], one.body["task_status"])
            found.setdefault(key, []).append((one.headers["webhook-id"], one.raw))
    return found


def wait_for_changes(receiver: Receiver, wanted: set[tuple[str, str]]) -> None:
    """Return once a callback arrived for each of these changes."""
    count = len(wanted)
    while missing := wanted - set(deliveries_by_change(received := receiver.wait_for(count))):
        count = len(received) + 1
        assert len(missing) < len(wanted) or len(received) < 2 * len(wanted), (
            f"never sent: {sorted(missing)[:5]}"
        )


def test_nothing_acknowledged_is_lost_whenever_it_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    file, diary = tmp_path / "tasks.db", Diary()
    print(f"{CRASHES} kills, UNDERSTUDY_CRASH_SEED={SEED}")
    with Receiver(answer=lambda callback: chance.choice((200, 200, 200, 500))) as receiver:
        fresh: list[str] = []
        for turn in range(CRASHES):
            server = serve(file)
            assert_all_there(server, diary, fresh)
            if diary.names:
                taken = {"prompt": "A boat", "external_task_id": chance.choice(list(diary.names))}
                again = server.client.post(TEXT2VIDEO, json=taken, headers=KLING_KEY)
                assert (again.status_code, again.json()["code"]) == (400, 1201)
            before = len(diary.created)
            load = Load(server, receiver, diary, turn=turn)
            load.until(chance.choice((1, 3, 10, 40, 150)))
            server.kill()
            load.end()
            fresh = list(diary.created)[before:]
            if turn % 3 == 2:
                kill_while_starting(file, chance.uniform(0.05, 0.6))

        with serve(file) as last:
            assert_all_there(last, diary, list(diary.created))
            wanted = {(task_id, "processing") for task_id in diary.names.values()}
            wanted |= {(task_id, "succeed") for task_id in diary.names.values()}
            wanted |= {(one, "success") for one in diary.created if one.startswith("task-")}
            wait_for_changes(receiver, wanted)
            assert_settled(last)
            received = list(receiver.received)
    print(f"{len(diary.created)} tasks acknowledged, {len(received)} callbacks for {len(wanted)} changes")
    for change, sent in deliveries_by_change(received).items():
        # Sent again after a crash perhaps, but always under the same id and with the same words.
        assert len(set(sent)) == 1, (change, sent)
    assert_in_order(received)


def assert_in_order(received: list[Callback]) -> None:
    """No news of a task arrives after later news of it."""
    last: dict[str, str] = {}
    for one in received:
        if "webhook-id" in one.headers:
            task_id, state = one.body["task_id"], one.body["task_status"]
            assert (last.get(task_id), state) != ("succeed", "processing"), task_id
            last[task_id] = state


def assert_settled(server: Running) -> None:
    """The account has paid for the tasks that ended well, each one once."""
    query = "start_time=0&end_time=253402300799000"
    answer = server.client.get(f"/kling/account/costs?{query}", headers=KLING_KEY).json()
    (pack,) = answer["data"]["resource_pack_subscribe_infos"]
    page, ended = 1, 0
    while tasks := server.client.get(f"{TEXT2VIDEO}?pageSize=500&pageNum={page}", headers=KLING_KEY).json()[
        "data"
    ]:
        ended += sum(1 for one in tasks if one["task_status"] == "succeed")
        page += 1
    # A unit each: kling-v1, std, 5 seconds.
    assert pack["total_quantity"] - pack["remaining_quantity"] == ended


# --- single moments ---------------------------------------------------------------------------------------


@pytest.fixture
def restart(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Starts a server on one file, killing the one before; gives the tenant `frozen` of it."""
    running: list[Running] = []

    def again() -> World:
        for server in running:
            if server.process.poll() is None:
                server.kill()
        running.append(Running("--store", f"sqlite:///{tmp_path / 'tasks.db'}", "--log", "off"))
        return World(running[-1], "frozen")

    yield again
    for server in running:
        server.__exit__(None, None, None)


def make(world: World, url: str = "") -> str:
    """Make a task."""
    answer = world.post(TEXT2VIDEO, {"prompt": "A boat", "callback_url": url}, headers=KLING_KEY)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["data"]["task_id"]
    return task_id


def state_of(world: World, task_id: str) -> str:
    """Return a task's state."""
    state: str = world.get(f"{TEXT2VIDEO}/{task_id}", headers=KLING_KEY).json()["data"]["task_status"]
    return state


def test_what_falls_due_after_a_kill_is_sent_by_the_successor(
    restart: Callable[[], World], receiver: Receiver
) -> None:
    world = restart()
    world.freeze()
    ids = [make(world, receiver.url()) for _ in range(10)]

    world = restart()
    world.run_out()

    arrived = [(one.body["task_id"], one.body["task_status"]) for one in receiver.wait_for(20)]
    assert {(one, state) for one in ids for state in ("processing", "succeed")} == set(arrived)
    assert len(arrived) == 20


def test_an_attempt_that_was_cut_off_is_made_again_with_the_same_id(restart: Callable[[], World]) -> None:
    hold, statuses = threading.Event(), iter((500,))
    with Receiver(answer=lambda callback: next(statuses, 200) if hold.wait(20) else 500) as receiver:
        world = restart()
        world.freeze()
        headers = BEARER | {"X-Webhook-URL": receiver.url()}
        world.post(MODELLIX, {"image": "https://example.com/a.png"}, headers=headers)
        moving = threading.Thread(target=lambda: _quietly(world))
        moving.start()
        receiver.wait_for(1)

        # It has been sent and never answered: whether it arrived, nobody knows.
        world = restart()
        hold.set()
        moving.join(timeout=20)
        world.run_out()
        arrived = receiver.wait_for(2)

    assert len({one.headers["x-modellix-delivery-id"] for one in arrived}) == 1
    assert len({one.raw for one in arrived}) == 1
    assert [one["status"] for one in world.deliveries()] == ["delivered"]


def _quietly(world: World) -> None:
    try:
        world.run_out()
    except httpx.TransportError:
        return


def test_what_an_admin_did_survives(restart: Callable[[], World], receiver: Receiver) -> None:
    world = restart()
    start = world.freeze()
    failed, kept = make(world, receiver.url()), make(world)
    world.admin("PATCH", f"/tasks/{failed}", {"outcome": "failure", "message": "Out of film"})
    world.advance("PT1S")
    receiver.wait_for(1)
    now = world.admin("PUT", "/clock", {"mode": "scaled", "speed": 0.001})["now_ms"]

    world = restart()

    clock = world.admin("GET", "/clock")
    assert (clock["mode"], clock["speed"]) == ("scaled", 0.001)
    assert start + 1000 <= now <= clock["now_ms"] < now + 60_000
    assert (state_of(world, failed), state_of(world, kept)) == ("failed", "submitted")
    assert world.admin("GET", f"/tasks/{failed}")["failure"] == "Out of film"
    world.run_out()
    assert [one.body["task_status"] for one in receiver.received] == ["failed"]


def test_a_reset_survives_as_well(restart: Callable[[], World]) -> None:
    world = restart()
    world.freeze()
    task_id = make(world)
    world.admin("POST", "/reset")

    world = restart()

    assert world.tasks() == []
    answer = world.get(f"{TEXT2VIDEO}/{task_id}", headers=KLING_KEY)
    assert json.loads(answer.content)["message"] == f"Task not found by id/external id: {task_id}"


def test_time_passes_while_nobody_serves(restart: Callable[[], World], receiver: Receiver) -> None:
    world = restart()
    # A clock so fast that a restart takes longer than a task.
    world.admin("PUT", "/clock", {"mode": "scaled", "speed": 100_000})
    task_id = make(world, receiver.url())

    world = restart()

    assert state_of(world, task_id) == "succeed"
    assert [one.body["task_status"] for one in receiver.wait_for(2)][-2:] == ["processing", "succeed"]
