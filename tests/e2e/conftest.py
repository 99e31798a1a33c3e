"""One server for all tests of a session, one tenant for each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.receiver import Receiver
from tests.e2e.running import Running, World

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """A server with all providers and nothing set; tests tell their tasks apart by tenant."""
    with Running() as running:
        yield running


@pytest.fixture
def world(server: Running, request: pytest.FixtureRequest) -> World:
    """A tenant of this test's own, its clock at rest."""
    made = World(server, tenant_name(request.node.name))
    made.freeze()
    return made


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Starts servers with options of the test's own, and stops what is left of them."""
    started: list[Running] = []

    def starter(*options: str, **more: object) -> Running:
        running = Running(*options, **more)  # type: ignore[arg-type]
        started.append(running)
        return running

    yield starter
    for running in started:
        running.__exit__(None, None, None)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A callback endpoint that takes everything."""
    with Receiver() as listening:
        yield listening


def tenant_name(text: str) -> str:
    """Return a name no other test of this session has, that says where it comes from."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", text.removeprefix("test_")).strip("-")[:48]
    return f"{words}.{next(_numbers)}"
