"""Answers per second, against servers that do nothing, in alternating rounds of the same run."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.bodies import PROVIDERS, Provider, small, with_picture
from bench.load import Load
from bench.machine import IS_PINNED, Server, per_second, running, send, start_echo, start_ours
from bench.table import median, print_table, spread, verdict

MEASURED: Final = ("kling", "magnific")
"""The providers that are measured, each on its own."""

AIMS: Final = {"create": 1.0, "read": 1.2}
"""How many times the echo's rate is aimed at, tasks in memory."""

LISTED: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that is asked; `yardstick` names the echo it is compared with."""

    name: str
    load: Load
    yardstick: str = ""
    aim: float | None = None


def run(*, seconds: float, rounds: int) -> None:
    """Measure, and print rates and ratios."""
    with contextlib.ExitStack() as stack:
        targets = [*_yardsticks(stack), *_ours(stack)]
        rates: dict[str, list[float]] = {target.name: [] for target in targets}
        for target in targets:
            # Once without counting: what is compiled or cached with the first request is not what is asked here.
            per_second(replace(target.load, seconds=1))
        for _ in range(rounds):
            for target in targets:
                rates[target.name].append(per_second(replace(target.load, seconds=seconds)))
    rows = []
    for target in targets:
        ratio = ""
        met = ""
        if target.yardstick:
            # Within a round first: what the machine did meanwhile was the same for both.
            pairs = zip(rates[target.name], rates[target.yardstick], strict=True)
            value = median([ours / echo for ours, echo in pairs])
            ratio = f"{value:.2f}"
            met = verdict(value >= target.aim) if target.aim else ""
        rows.append(
            [
                target.name,
                f"{median(rates[target.name]):,.0f}",
                spread(rates[target.name]),
                ratio,
                f"{target.aim:.1f}" if target.aim else "",
                met,
            ]
        )
    where = "server and load on a core each" if IS_PINNED else "server and load not pinned"
    print_table(
        "Answers per second",
        ["request", "median", "rounds", "of the echo", "aim", ""],
        rows,
        note=f"{rounds} alternating rounds of {seconds:g} s, 16 connections, one worker, {where}, no request log "
        "but where it says so.\nThe echo is Starlette reading and answering JSON: POST the same body, GET a path "
        "parameter. Reads are compared with GET.",
    )


def _yardsticks(stack: contextlib.ExitStack) -> Iterator[Target]:
    kling = PROVIDERS["kling"]
    names = {"raw": "uvicorn, constant", "constant": "Starlette, constant", "echo": "Starlette, JSON echo"}
    for kind, name in names.items():
        server = stack.enter_context(running(start_echo(kind)))
        post = Load(
            port=server.port,
            method="POST",
            target="/v1/things",
            headers={"Content-Type": "application/json"},
            body=small(kling).decode(),
        )
        yield Target(name=f"{name}: POST", load=post)
        yield Target(
            name=f"{name}: GET",
            load=Load(port=server.port, method="GET", target="/v1/things/953034335126043214", headers={}),
        )
        if kind == "echo":
            large = replace(post, body=with_picture(kling).decode())
            yield Target(name=f"{name}: POST 40 kB", load=large)


def _ours(stack: contextlib.ExitStack) -> Iterator[Target]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for name in MEASURED:
        provider = PROVIDERS[name]
        for store in ("memory", f"sqlite:///{folder / name}.db"):
            label = f"{name}, {'memory' if store == 'memory' else 'SQLite'}"
            server = stack.enter_context(running(start_ours("--log", "off", "--store", store)))
            yield from _of(label, provider, server, is_aimed=store == "memory")
        if name == MEASURED[0]:
            server = stack.enter_context(running(start_ours("--log", "text")))
            yield next(_of(f"{name}, memory, with request log", provider, server, is_aimed=False))


def _of(label: str, provider: Provider, server: Server, *, is_aimed: bool) -> Iterator[Target]:
    """Yield create, read and list; the tasks that are made meanwhile are another account's."""
    create = create_load(provider, server.port, account="-made")
    aim = AIMS if is_aimed else {}
    yield Target(
        name=f"{label}: create", load=create, yardstick="Starlette, JSON echo: POST", aim=aim.get("create")
    )
    if is_aimed:
        yield Target(
            name=f"{label}: create 40 kB",
            load=replace(create, body=with_picture(provider).decode()),
            yardstick="Starlette, JSON echo: POST 40 kB",
        )
    made = send(replace(create_load(provider, server.port), count=LISTED))
    read = replace(create, method="GET", body="", headers=dict((provider.header,)))
    yield Target(
        name=f"{label}: read one",
        load=replace(read, target=provider.read.format(id=id_of(provider, made["last"]))),
        yardstick="Starlette, JSON echo: GET",
        aim=aim.get("read"),
    )
    if provider.list is not None:
        yield Target(
            name=f"{label}: list 30 of {LISTED:,}",
            load=replace(read, target=provider.list),
            yardstick="Starlette, JSON echo: GET",
        )


def create_load(provider: Provider, port: int, *, account: str = "") -> Load:
    """Return the load that creates small tasks, of an account of its own where one is named."""
    name, value = provider.header
    return Load(
        port=port,
        method="POST",
        target=provider.create,
        headers={name: value + account, "Content-Type": "application/json"},
        body=small(provider).decode(),
    )


def id_of(provider: Provider, answer: str) -> str:
    """Return the id of the task that an answer speaks of."""
    found: Any = json.loads(answer)
    for step in provider.task_id:
        found = found[step]
    assert isinstance(found, str)
    return found
