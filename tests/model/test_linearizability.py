"""Many clients at once on one tenant: there is always one order of their calls that explains every answer.

The clients speak to a server in a process of its own, over sockets; the model below is sequential and written from
the docs.  That the search would find a fault is shown on histories made by hand, and on real ones into which a
fault was put on the way.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.running import Running
from tests.model.linearizability import Call, linearization, overlaps

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
ROUNDS = 60 if SOAK else 6
CLIENTS = 6
TURNS = 12
"""Turns of each client in a round; all begin a turn together."""

TOY = Path(__file__).parents[1] / "toy.yaml"
START = "2030-01-01T00:00:00Z"
START_MS = 1_893_456_000_000
COURSE = ((0, "waiting"), (2_000, "working"), (12_000, "done"))
AFTER = {
    "waiting": ((0, "waiting"), *((at, state) for at, state in COURSE[1:])),
    "working": ((0, "working"), (10_000, "done")),
}
FINAL = ("done", "broken")
NAMES = ("one", "two", "three")
STEPS_MS = (500, 2_000, 9_000)


# --- the model --------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """A task of the model: its course in pairs (when, state), its name, or none."""

    id: str
    name: str | None
    course: tuple[tuple[int, str], ...]

    def state(self, now: int) -> str:
        return next(state for at, state in reversed(self.course) if at <= now)


class World(NamedTuple):
    """All there is: the time, and the tasks, oldest first."""

    now: int
    tasks: tuple[Task, ...]

    def find(self, key: str) -> Task | None:
        return next((task for task in self.tasks if key in (task.id, task.name)), None)


def step(world: World, asked: Any, answered: Any) -> World | None:
    """Do one call, and return what is then; None where this is not what would have been answered."""
    match asked:
        case ("create", name):
            if name is not None and world.find(name) is not None:
                return world if answered == ("conflict",) else None
            if answered[0] != "made" or world.find(answered[1]) is not None:
                return None
            if answered[2:] != (world.now, "waiting"):
                return None
            course = tuple((world.now + at, state) for at, state in COURSE)
            return world._replace(tasks=(*world.tasks, Task(answered[1], name, course)))
        case ("read", key):
            task = world.find(key)
            expected = ("lost",) if task is None else ("read", task.id, task.state(world.now))
            return world if answered == expected else None
        case ("list",):
            shown = tuple((task.id, task.state(world.now)) for task in reversed(world.tasks))
            return world if answered == shown else None
        case ("move", key, state):
            task = world.find(key)
            if task is None or task.state(world.now) in FINAL:
                return world if answered == ("refused", 404 if task is None else 409) else None
            if answered != ("moved", state):
                return None
            return _moved(world, task, state)
        case ("advance", by):
            world = world._replace(now=world.now + by)
            return world if answered == ("now", world.now) else None
    raise AssertionError(asked)


def _moved(world: World, task: Task, state: str) -> World:
    if task.state(world.now) == state:
        return world  # it is there already, and goes on as it would have
    past = tuple(entry for entry in task.course if entry[0] <= world.now)
    future = tuple((world.now + at, after) for at, after in AFTER.get(state, ((0, state),)))
    index = world.tasks.index(task)
    moved = task._replace(course=past + future)
    return world._replace(tasks=(*world.tasks[:index], moved, *world.tasks[index + 1 :]))


# --- the clients ------------------------------------------------------------------------------------------

Send = Callable[[Any], Any]
"""What was asked -> what was answered."""


class Client:
    """One client with a connection of its own."""

    def __init__(self, port: int, tenant: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._base = f"/t/{tenant}"

    def close(self) -> None:
        self._connection.close()

    def __call__(self, asked: Any) -> Any:
        """Ask, and return what the answer says, as the model would say it."""
        match asked:
            case ("create", name):
                body = {"prompt": "a boat"} | ({} if name is None else {"name": name})
                status, answer = self._send("POST", "/toy/api/clips", body)
                if status == 409:
                    return ("conflict",)
                assert status == 200, answer
                clip = answer["clip"]
                return ("made", clip["id"], clip["made"], clip["state"])
            case ("read", key):
                status, answer = self._send("GET", f"/toy/api/clips/{key}")
                if status == 404:
                    return ("lost",)
                assert status == 200, answer
                return ("read", answer["clip"]["id"], answer["clip"]["state"])
            case ("list",):
                status, answer = self._send("GET", "/toy/api/clips?size=50")
                assert status == 200, answer
                return tuple((clip["id"], clip["state"]) for clip in answer["clips"])
            case ("move", key, state):
                status, answer = self._send("PATCH", f"/__admin/tasks/{key}", {"state": state})
                return ("moved", answer["state"]) if status == 200 else ("refused", status)
            case ("advance", by):
                status, answer = self._send("POST", "/__admin/clock/advance", {"by": f"PT{by / 1000}S"})
                assert status == 200, answer
                return ("now", answer["now_ms"])
        raise AssertionError(asked)

    def _send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        headers = {"X-Toy-Key": "toy-key-1", "Content-Type": "application/json"}
        self._connection.request(method, self._base + path, content, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())


def history_of(clients: list[Send], seed: int) -> list[Call]:
    """Let clients loose on one tenant, each in a thread of its own; return all that was asked and answered."""
    ids: list[str] = []
    barrier = threading.Barrier(len(clients))
    found: list[list[Call]] = [[] for _ in clients]
    failures: list[BaseException] = []

    def run(number: int, client: Send) -> None:
        chance = random.Random(f"{seed}:{number}")
        try:
            for _ in range(TURNS):
                barrier.wait(30)
                asked = draw(chance, ids)
                begun = time.perf_counter_ns()
                answered = client(asked)
                ended = time.perf_counter_ns()
                found[number].append(Call(number, asked, answered, begun, ended))
                if answered[:1] == ("made",):
                    ids.append(answered[1])
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]
    return [call for calls in found for call in calls]


def draw(chance: random.Random, ids: list[str]) -> Any:
    """Return something to ask: names and tasks are few, so that clients get in each other's way."""
    key = chance.choice((*ids[-2:], *NAMES))
    task = chance.choice(ids[-2:] or ["clip-none"])
    return chance.choice(
        (
            ("create", chance.choice((None, *NAMES))),
            ("read", key),
            ("read", key),
            ("list",),
            ("move", task, chance.choice(("working", "done", "broken"))),
            ("advance", chance.choice(STEPS_MS)),
        )
    )


# --- on a real server -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["memory", "file"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = "memory"
    if request.param == "file":
        place = f"sqlite:///{tmp_path_factory.mktemp('model') / 'tasks.db'}"
    with Running("--spec", str(TOY), "--store", place, "--log", "off") as running:
        yield running


@dataclass
class Run:
    """One round: the tenant is made anew, its clock set, and clients are let loose on it."""

    server: Running

    def history(
        self, seed: int, spoilt: Callable[[Send, int], Send] = lambda send, number: send
    ) -> list[Call]:
        """Return what happened; `spoilt` puts something between a client and the server."""
        tenant = f"round-{seed}"
        base = f"/t/{tenant}/__admin"
        self.server.client.post(f"{base}/reset").raise_for_status()
        set_to = self.server.client.put(f"{base}/clock", json={"mode": "frozen", "now": START})
        assert set_to.json()["now_ms"] == START_MS
        clients = [Client(self.server.port, tenant) for _ in range(CLIENTS)]
        try:
            return history_of([spoilt(client, number) for number, client in enumerate(clients)], seed)
        finally:
            for client in clients:
                client.close()


@pytest.fixture
def run(server: Running) -> Run:
    return Run(server)


INITIAL = World(START_MS, ())


def test_one_order_of_the_calls_explains_every_answer(run: Run) -> None:
    met: set[str] = set()
    overlapped = 0
    for seed in range(ROUNDS):
        history = run.history(seed)
        found = linearization(history, INITIAL, step)
        assert found, f"round {seed}:\n{found}"
        met |= {str(call.answered[0]) for call in history if call.answered and call.asked[0] != "list"}
        overlapped += overlaps(history)

    # What would prove nothing: clients that never met, or that were never refused anything.
    assert overlapped > ROUNDS * TURNS * 4
    assert met == {"made", "conflict", "read", "lost", "moved", "refused", "now"}


# --- faults put on the way --------------------------------------------------------------------------------


def stale(send: Send, _: int) -> Send:
    """Answer each read with what was read the time before, as a cache would that is not told."""
    known: dict[Any, Any] = {}

    def answer(asked: Any) -> Any:
        now = send(asked)
        if asked[0] not in ("read", "list"):
            return now
        before = known.get(asked, now)
        known[asked] = now
        return before

    return answer


def forgetful(send: Send, _: int) -> Send:
    """Acknowledge a move that the server never hears of, as a lost update would be."""

    def answer(asked: Any) -> Any:
        if asked[0] == "move" and send(("read", asked[1]))[-1] == "working":
            return ("moved", asked[2])
        return send(asked)

    return answer


def doubtful(send: Send, number: int) -> Send:
    """Let two have the same name, as a check apart from the write would."""

    def answer(asked: Any) -> Any:
        found = send(asked)
        if asked[0] == "create" and found == ("conflict",):
            return send(("create", None))
        return found

    return answer


@pytest.mark.parametrize("fault", [stale, forgetful, doubtful])
def test_a_fault_on_the_way_is_found(run: Run, fault: Callable[[Send, int], Send]) -> None:
    found = 0
    for seed in range(100, 104):
        found += not linearization(run.history(seed, fault), INITIAL, step)

    assert found >= 2


# --- the search itself ------------------------------------------------------------------------------------


def register(value: int, asked: Any, answered: Any) -> int | None:
    """One number that is written and read."""
    if asked[0] == "write":
        return int(asked[1])
    return value if answered == value else None


def call(asked: tuple[Any, ...], answered: Any, begun: int, ended: int) -> Call:
    return Call(0, asked, answered, begun, ended)


@pytest.mark.parametrize(
    ("calls", "is_fine"),
    [
        pytest.param([], True, id="nothing happened"),
        pytest.param([(("write", 1), None, 0, 10), (("read",), 1, 20, 30)], True, id="one after the other"),
        pytest.param([(("write", 1), None, 0, 10), (("read",), 0, 20, 30)], False, id="a stale read"),
        pytest.param([(("write", 1), None, 0, 10), (("read",), 0, 5, 30)], True, id="a read begun in time"),
        pytest.param([(("write", 1), None, 20, 30), (("read",), 1, 0, 10)], False, id="a read of the future"),
        pytest.param(
            [(("write", 1), None, 0, 100), (("read",), 1, 10, 20), (("read",), 0, 30, 40)],
            False,
            id="there and gone again",
        ),
        pytest.param(
            [(("write", 1), None, 0, 100), (("read",), 0, 10, 20), (("read",), 1, 30, 40)],
            True,
            id="in the middle of a long write",
        ),
        pytest.param(
            [
                (("write", 1), None, 0, 50),
                (("write", 2), None, 0, 50),
                (("read",), 1, 60, 70),
                (("read",), 2, 80, 90),
            ],
            False,
            id="two writes read in turn",
        ),
        pytest.param(
            [
                (("write", 1), None, 0, 50),
                (("write", 2), None, 0, 50),
                (("read",), 1, 60, 70),
                (("read",), 1, 80, 90),
            ],
            True,
            id="two writes at once",
        ),
    ],
)
def test_the_search_knows_what_is_possible(calls: list[Any], is_fine: bool) -> None:
    history = [call(*one) for one in calls]

    found = linearization(history, 0, register)

    assert bool(found) == is_fine
    assert sorted(map(id, found.order + found.left)) == sorted(map(id, history))


def test_the_order_that_is_found_respects_time() -> None:
    chance = random.Random(4)
    for _ in range(200):
        value, at, history = 0, 0, []
        for number in range(12):
            # Each takes effect at `at`, somewhere between its begin and its end.
            at += 10
            asked = chance.choice((("write", number), ("read",)))
            value = asked[1] if asked[0] == "write" else value
            history.append(call(asked, value, at - chance.randrange(25), at + chance.randrange(25)))

        found = linearization(history, 0, register)

        assert found, str(found)
        order = found.order
        for index, one in enumerate(order):
            assert all(later.ended >= one.begun for later in order[index + 1 :])
        late = replace(history[-1], begun=at + 500, ended=at + 501, asked=("read",), answered=-1)
        assert not linearization([*history, late], 0, register)
