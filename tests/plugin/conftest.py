"""What tests of the plugin share: a stage to open worlds on, and a suite of a user to run."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from mockserver.settings import Settings
from mockserver.stage import Stage
from mockserver.world import World

ROOT = Path(__file__).parents[2]

# A pytest that runs inside this one takes what it imports away with it when it ends.  What is imported late, here by
# ours and there by httpx, would then be there twice, with classes that are not the same: so all of it comes before.
for _name in (
    *("PIL.Image", "aiohttp", "anyio._backends._asyncio", "av", "httpcore", "httpx", "jwt", "requests"),
    *("mockserver.admin", "mockserver.story", "mockserver.transport", "mockserver.trial"),
    *("mockserver.pytest_plugin", "standardwebhooks"),
):
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(_name)

IS_INSTALLED = any(one.name == "understudy" for one in metadata.entry_points(group="pytest11"))
"""Whether pip knows the entry point; an editable install from before it was there does not."""

SWITCH = () if IS_INSTALLED else ("-p", "mockserver.pytest_plugin")


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    with Stage(Settings(port=0, log="off", providers=("kling", "magnific"), seed=1)) as stage:
        yield stage


@pytest.fixture
def world(stage: Stage, request: pytest.FixtureRequest) -> Iterator[World]:
    with stage.open("world") as world:
        yield world


class Suite:
    """A user's tests, run by a pytest of their own; warnings are errors there too."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self.monkeypatch = pytester, monkeypatch
        self.ini("understudy_providers = kling")

    def ini(self, *lines: str) -> None:
        text = "\n".join(("[pytest]", "filterwarnings = error", "addopts = --strict-markers", *lines))
        self.pytester.makefile(".ini", pytest=text)

    def write(self, **files: str) -> None:
        self.pytester.makepyfile(**files)

    def run(self, *args: str) -> pytest.RunResult:
        """Run it in this process, but for the plugins of this run."""
        return self.pytester.runpytest_inprocess(*SWITCH, "-p", "no:xdist", *args)

    def start(self, *args: str) -> pytest.RunResult:
        """Run it in a process of its own, with no plugins but ours and those that are named."""
        self.monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return self.pytester.runpytest_subprocess("-p", "mockserver.pytest_plugin", *args)


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    # What the run around it was told is not for this one.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return Suite(pytester, monkeypatch)
