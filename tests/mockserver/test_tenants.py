"""Tenants: each a world of its own, made by being named, taken up again after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mockserver.settings import Settings
from mockserver.store import MemoryStore, SqliteStore
from mockserver.tasks import Task
from mockserver.tenants import TENANT_NAME, Backend, TooManyTenantsError
from tests.mock import HOOK, NOON, Mock, Wall
from tests.mockserver.clients import clients
from tests.providers import contract
from validator.contract.model import Identifier


def backend(
    wall: Wall | None = None, store: Any = None, providers: tuple[str, ...] = ("toy",), **settings: Any
) -> Backend:
    """Return a backend, of the toy unless told otherwise."""
    return Backend(
        contracts={name: contract(name) for name in providers},
        settings=Settings(**({"seed": 7} | settings)),
        store=store or MemoryStore(),
        wall=wall or Wall(),
    )


@pytest.mark.parametrize("name", ["a", "A", "0", "a.b", "a-b_c", "0" * 64, "test_x.py"])
def test_a_name_can_be_a_folder_of_a_url(name: str) -> None:
    assert TENANT_NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a%20", "é", "²", "a\n", "0" * 65]
)
def test_nothing_else_can(name: str) -> None:
    assert not TENANT_NAME.fullmatch(name)


# --- made by being named ----------------------------------------------------------------------------------


def test_a_tenant_is_made_once() -> None:
    known = backend()

    assert known.tenant("blue") is known.tenant("blue")
    assert {"blue"} == set(known.tenants) == set(known.store.tenants())


def test_no_more_are_made_than_allowed_and_those_that_are_stay() -> None:
    known = backend(max_tenants=2)
    blue = known.tenant("blue")
    known.tenant("red")

    with pytest.raises(TooManyTenantsError, match=r"2 tenants.*--max-tenants"):
        known.tenant("green")
    assert known.tenant("blue") is blue


def test_a_tenant_begins_on_real_time_or_on_that_of_the_settings() -> None:
    wall = Wall()
    assert ("real", NOON) == ((clock := backend(wall).tenant("a").clock).mode, clock.now())
    fast = backend(wall, speed=60.0).tenant("a").clock
    wall.at += 1_000

    assert ("scaled", NOON + 60_000) == (fast.mode, fast.now())


# --- worlds of their own ----------------------------------------------------------------------------------


def test_tenants_share_nothing() -> None:
    limits = {("toy", "credits"): 1.0, ("toy", "requests"): 10.0}
    with Mock(limits=limits, log="off") as mock:
        for tenant, speed in (("red", 2), ("blue", 3)):
            mock.admin("PUT", "/clock", {"mode": "scaled", "speed": speed}, tenant=tenant)
        red = mock.clip(base="/t/red/toy/api", name="mine", hook=HOOK)
        blue = mock.clip(base="/t/blue/toy/api", name="mine", hook=HOOK)
        for _ in range(9):
            mock.get("/t/red/toy/api/clips", x_toy_key="toy-key-1")

        assert red != blue
        assert 402 == mock.create(base="/t/blue/toy/api").status
        assert "fast" == mock.get("/t/red/toy/api/clips", x_toy_key="toy-key-1").json["code"]
        assert 200 == mock.get("/t/blue/toy/api/clips", x_toy_key="toy-key-1").status
        assert 404 == mock.read(red, base="/t/blue/toy/api").status
        mock.admin("POST", "/clock/advance", {"by": "PT12S"}, tenant="red")
        assert ["done", "waiting"] == [
            mock.admin("GET", f"/tasks/{task}", tenant=tenant)["state"]
            for task, tenant in ((red, "red"), (blue, "blue"))
        ]
        counts = {tenant: len(mock.deliveries(tenant=tenant)) for tenant in ("", "red", "blue")}
        assert {"": 0, "red": 2, "blue": 2} == counts
        assert [2, 3, 1] == [mock.admin("GET", "/clock", tenant=one)["speed"] for one in ("red", "blue", "")]
        assert 0 == mock.admin("GET", "/requests")["kept"]


def test_one_name_is_one_tenant_for_every_provider() -> None:
    with Mock("toy", "kling", log="off") as mock:
        mock.clip(base="/t/red/toy/api")
        mock.call(
            "POST",
            "/t/red/kling/v1/videos/text2video",
            json={"prompt": "a"},
            headers={"authorization": "Bearer " + "k" * 40},
        )

        tasks = mock.admin("GET", "/tasks", tenant="red")["tasks"]
        assert ["kling", "toy"] == [one["provider"] for one in tasks]


def test_one_key_at_two_providers_is_two_accounts() -> None:
    limits = {(name, "concurrent-tasks"): 1.0 for name in ("kling", "magnific")}
    with Mock("kling", "magnific", limits=limits, log="off") as mock:
        made = [
            next(one for one in clients(mock, name) if not one.operation.body.images)  # type: ignore[union-attr]
            for name in ("kling", "magnific")
        ]
        for client in made:
            assert client.create(hook=HOOK).status == 200
            assert client.create(hook=HOOK).status >= 400

        accounts = [one["account"] for one in mock.admin("GET", "/tasks")["tasks"]]
        assert ["magnific", "kling"] == [one.partition(":")[0] for one in accounts]


# --- ids --------------------------------------------------------------------------------------------------


def test_no_two_tasks_have_one_id() -> None:
    known = backend()
    tenant = known.tenant("a")
    form = Identifier(format="digits", length=1, prefix="", epoch=0, shift=0)
    drawn = []
    for _ in range(9):
        drawn.append(known.new_id(tenant, form, NOON))
        known.store.add("a", task(drawn[-1]), ())

    assert list("123456789") == sorted(drawn)


def task(name: str, created: int = NOON, *course: tuple[int, str]) -> Task:
    return Task(
        id=name,
        provider="toy",
        operation="createClip",
        account="toy:a",
        request_id="r",
        created=created,
        timeline=course or ((0, "waiting"), (2_000, "working"), (12_000, "done")),
    )


# --- which tasks may have changed -------------------------------------------------------------------------


def test_only_tasks_that_are_young_enough_are_looked_at_and_those_moved_by_hand() -> None:
    known = backend()
    tenant = known.tenant("a")
    tenant.horizon = 12_000
    for number in range(5):
        known.store.add("a", task(f"t{number}", NOON + number * 10_000), ())
    tenant.altered["t0"] = None
    tenant.altered["t4"] = None
    tenant.altered["gone"] = None

    found = [one.id for one in known.live_tasks(tenant, NOON + 40_000)]

    assert ["t4", "t3", "t0"] == found


# --- begin again ------------------------------------------------------------------------------------------


def test_a_tenant_that_begins_again_is_as_it_was_at_the_start() -> None:
    wall = Wall()
    known = backend(wall, speed=2.0)
    tenant = known.tenant("a")
    fresh = (tenant.dice.uuid(), tenant.dice.request_id())
    tenant.clock.set(now=NOON + 5, speed=0)
    tenant.has_own_speed = True
    tenant.altered["x"] = None
    tenant.tokens[b"t"] = 1.0
    tenant.horizon = 9
    known.store.add("a", task("x"), ())
    wall.at += 1_000

    known.forget(tenant)

    assert known.tenant("a") is tenant
    assert ("scaled", NOON + 1_000, False) == (tenant.clock.mode, tenant.clock.now(), tenant.has_own_speed)
    assert ({}, {}, {}, 0, 0) == (
        tenant.altered,
        tenant.tokens,
        tenant.windows,
        tenant.horizon,
        known.store.count("a"),
    )
    assert fresh == (tenant.dice.uuid(), tenant.dice.request_id())
    assert {"a"} == set(known.store.tenants()), "a restart knows it still"
    assert 1 == len(known.budget.journals)


# --- after a restart --------------------------------------------------------------------------------------


def restarted(file: Path, wall: Wall, **settings: Any) -> Backend:
    return backend(wall, SqliteStore(str(file)), **settings)


def test_clocks_go_on_where_they_were(tmp_path: Path) -> None:
    wall, file = Wall(), tmp_path / "store.db"
    known = restarted(file, wall)
    known.tenant("real")
    frozen, fast = known.tenant("frozen"), known.tenant("fast")
    frozen.clock.set(now=NOON + 5, speed=0)
    fast.clock.set(speed=10)
    for one in (frozen, fast):
        one.has_own_speed = True
        known.save_clock(one)
    known.store.close()
    wall.at += 1_000

    known = restarted(file, wall)
    clocks = {name: (one.clock.mode, one.clock.now()) for name, one in known.tenants.items()}
    known.store.close()

    assert {
        "real": ("real", NOON + 1_000),
        "frozen": ("frozen", NOON + 5),
        "fast": ("scaled", NOON + 10_000),
    } == clocks


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_course_longer_than_usual_is_told_after_a_restart(tmp_path: Path, is_slow: bool) -> None:
    wall, file = Wall(), tmp_path / "store.db"
    with Mock(wall=wall, store=SqliteStore(str(file)), log="off") as mock:
        mock.freeze()
        made = mock.create(headers={"prefer": "scenario=slow; factor=3"} if is_slow else None)
        task = made.json["clip"]["id"]
        mock.advance("PT11S")
        if not is_slow:
            # From where it was once more: its end is later than any usual one.
            mock.admin("PATCH", f"/tasks/{task}", {"state": "waiting", "force": True})

    with Mock(wall=wall, store=SqliteStore(str(file)), log="off") as mock:
        mock.advance("PT3S")
        (event,) = mock.admin("POST", "/clock/advance", {"to": "next-event"})["events"]

    assert (event["task"], event["state"]) == (task, "done")


def test_a_new_speed_holds_from_the_restart_on_but_not_for_a_clock_somebody_set(tmp_path: Path) -> None:
    wall, file = Wall(), tmp_path / "store.db"
    known = restarted(file, wall, speed=2.0)
    known.tenant("plain")
    own = known.tenant("own")
    own.clock.set(speed=3)
    own.has_own_speed = True
    known.save_clock(own)
    known.store.close()
    wall.at += 1_000

    known = restarted(file, wall, speed=100.0)
    then = {name: one.clock.now() for name, one in known.tenants.items()}
    wall.at += 1_000
    later = {name: one.clock.now() for name, one in known.tenants.items()}
    known.store.close()

    assert {"plain": NOON + 2_000, "own": NOON + 3_000} == then
    assert {"plain": NOON + 102_000, "own": NOON + 6_000} == later


def test_after_a_restart_running_tasks_are_looked_at(tmp_path: Path) -> None:
    wall, file = Wall(), tmp_path / "store.db"
    known = restarted(file, wall)
    known.tenant("a")
    known.store.add("a", task("x"), ())
    known.store.close()

    known = restarted(file, wall, providers=("toy", "aimlapi"))
    found = [one.id for one in known.live_tasks(known.tenant("a"), NOON + 249_000)]
    known.store.close()

    assert ["x"] == found, "the longest course of all providers is 249 s"


def test_more_tenants_in_a_file_than_allowed_are_all_served(tmp_path: Path) -> None:
    wall, file = Wall(), tmp_path / "store.db"
    known = restarted(file, wall)
    for name in ("a", "b", "c"):
        known.tenant(name)
    known.store.close()

    known = restarted(file, wall, max_tenants=1)
    names = {known.tenant(name).name for name in ("a", "b", "c")}
    with pytest.raises(TooManyTenantsError):
        known.tenant("d")
    known.store.close()

    assert {"a", "b", "c"} == names
