"""The plugin for pytest: options, a marker, two fixtures, and what a failing test's client did.

Costs nothing until a test asks for a fixture: everything of ours is imported then.  Has no assertions that pytest
would have to explain (PYTEST_DONT_REWRITE), so that it may have been imported before.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from datetime import datetime

    from mockserver.settings import Settings
    from mockserver.stage import Stage
    from mockserver.world import World

SECTION = "understudy"
"""What the section in the report of a failing test is called."""

LOOK_S = 5.0
"""Real seconds between two looks at a test that may be waiting for a clock that nobody moves."""

POLLS_THAT_HANG = 3
"""Reads of one running task at one moment that count as waiting in vain, where they go on from look to look."""

LONGEST_NAME = 44
"""Characters of a test's name that its tenant has in its own; the last ones tell tests apart."""

MARK = (
    "understudy(clock='frozen', speed=0, now=None, seed=None, plan=(), credits=None, allow_violations=False):"
    " the world of this test. clock: frozen, real or scaled:N; speed: the same as a number, 0 at rest;"
    " now: the time that its clock begins with, as text or datetime; seed: draws the ids;"
    " plan: scenarios by name, or entries of a plan; credits: what its tasks may cost, as a number or by provider;"
    " allow_violations: True, or ids of rules that may be broken where understudy_strict is on, * for any part."
)

_WORLD = pytest.StashKey["World"]()
_TOTALS = pytest.StashKey["dict[str, Any]"]()
_STORY = pytest.StashKey[str]()


# --- options ----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini names."""
    group = parser.getgroup("understudy", "a stand-in for paid video APIs")
    group.addoption(
        "--understudy-port",
        metavar="PORT",
        help="port of the server: a number, any (the default), or off: no socket, for httpx and its transport only",
    )
    group.addoption(
        "--understudy-url",
        metavar="URL",
        help="use a running server, such as a container at http://127.0.0.1:8700, in place of one of this process",
    )
    group.addoption(
        "--understudy-token",
        metavar="TOKEN",
        help="the admin token of that server (or the environment: UNDERSTUDY_ADMIN_TOKEN)",
    )
    group.addoption(
        "--understudy-speed",
        metavar="N",
        help="let the clock of every test run N times as fast as real time; 0: at rest (before understudy_clock)",
    )
    ini: tuple[tuple[str, str, Any, str], ...] = (
        (
            "understudy_clock",
            "string",
            "frozen",
            "frozen (moved by the test, the default), real, or scaled:600",
        ),
        (
            "understudy_now",
            "string",
            "",
            "the time every test begins with, as 2026-01-01T12:00:00Z; else now",
        ),
        (
            "understudy_seed",
            "string",
            "1",
            "draws the ids, so that they are the same in every run; none: new ones",
        ),
        (
            "understudy_strict",
            "bool",
            False,
            "fail a test whose client sent a request that a provider refuses or lets fail",
        ),
        ("understudy_providers", "args", [], "the providers to serve; all of them by default"),
        ("understudy_specs", "paths", [], "spec files of providers of your own, as seen from the ini file"),
        ("understudy_variants", "args", [], "other readings of a provider: PROVIDER.VARIANT"),
        ("understudy_effects", "args", [], "other effects of rules: RULE=reject, fail, warn or off"),
        ("understudy_limits", "args", [], "limits that are enforced: PROVIDER.UNIT=NUMBER"),
        (
            "understudy_credentials",
            "args",
            [],
            "the only keys that are taken: PROVIDER=KEY or PROVIDER=ACCESSKEY:SECRET; else any well-formed one",
        ),
        ("understudy_webhook_secrets", "args", [], "what callbacks are signed with: PROVIDER=SECRET"),
    )
    for name, kind, default, text in ini:
        parser.addini(name, text, type=kind, default=default)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and refuse options that cannot be understood before anything runs."""
    config.addinivalue_line("markers", MARK)
    config.stash[_TOTALS] = {}
    # Whoever sets nothing pays for nothing; what a worker of pytest-xdist is told was looked at where it was started.
    if not _is_worker(config) and any(_is_set(config, name) for name in _SETTINGS):
        _settings(config)
        _wishes_of_all(config)


_SETTINGS = (
    *("--understudy-port", "--understudy-speed", "understudy_clock", "understudy_now", "understudy_seed"),
    *("understudy_variants", "understudy_effects", "understudy_limits", "understudy_credentials"),
    "understudy_webhook_secrets",
)
"""Options and ini names that are read here; what specs say about the others is known when they are loaded."""


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _is_set(config: pytest.Config, name: str) -> bool:
    if name.startswith("--"):
        return config.getoption(name) is not None
    return config.getini(name) not in (
        "",
        [],
        {"understudy_clock": "frozen", "understudy_seed": "1"}.get(name),
    )


def _settings(config: pytest.Config) -> Settings:
    """Return the settings of the server; raises UsageError for what cannot be understood."""
    from mockserver.settings import (
        SettingError,
        Settings,
        parse_credentials,
        parse_effects,
        parse_limits,
        parse_pairs,
        parse_variants,
    )

    port = config.getoption("--understudy-port")
    if port not in (None, "any", "off") and not (port.isdecimal() and 0 < int(port) < 65_536):
        raise pytest.UsageError(f"--understudy-port {port}: write a number up to 65535, any or off")
    seed = config.getini("understudy_seed")
    if seed != "none" and not seed.isdecimal():
        raise pytest.UsageError(f"understudy_seed {seed}: write a whole number, or none")
    try:
        return Settings(
            port=int(port) if port not in (None, "any", "off") else 0,
            log="off",
            seed=None if seed == "none" else int(seed),
            max_tenants=1_000_000,
            # A patient client polls some thousand times; what it sent at first is to be judged as well.
            journal_entries=10_000,
            providers=tuple(config.getini("understudy_providers")),
            specs=tuple(str(path) for path in config.getini("understudy_specs")),
            variants=parse_variants(config.getini("understudy_variants")),
            effects=parse_effects(config.getini("understudy_effects")),
            limits=parse_limits(config.getini("understudy_limits")),
            credentials=parse_credentials(config.getini("understudy_credentials")),
            secrets=parse_pairs(config.getini("understudy_webhook_secrets"), "webhook secret"),
        )
    except SettingError as error:
        raise pytest.UsageError(f"understudy: {error}") from None


# --- the marker -------------------------------------------------------------------------------------------


def _speed_of_text(text: str, where: str) -> float:
    name, _, factor = text.partition(":")
    if name in ("frozen", "real") and not factor:
        return float(name == "real")
    if name == "scaled":
        return _speed(factor, where)
    raise pytest.UsageError(f"{where} '{text}': write frozen, real, or scaled:N such as scaled:600")


def _speed(value: Any, where: str) -> float:
    from mockserver.settings import FASTEST

    try:
        speed = float(value)
    except (TypeError, ValueError):
        raise pytest.UsageError(f"{where} {value!r}: write a number, 0 for a clock at rest") from None
    if not 0 <= speed <= FASTEST:
        raise pytest.UsageError(f"{where} {speed:g}: must be 0, or at most {FASTEST:,}")
    return speed


def _wish_now(value: Any, where: str) -> Any:
    from datetime import datetime

    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise pytest.UsageError(f"{where} {value!r}: write it like 2026-01-01T12:00:00Z") from None
    if found.tzinfo is None:
        raise pytest.UsageError(f"{where} {value!r}: says no time zone; put a Z behind it for UTC")
    return found


def _wish_seed(value: Any, where: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise pytest.UsageError(f"{where} {value!r}: write a whole number")
    return value


def _wish_plan(value: Any, where: str) -> tuple[Any, ...]:
    entries = _several(value, str | Mapping)
    if entries is None:
        raise pytest.UsageError(f"{where} {value!r}: write names of scenarios, or entries of a plan")
    return entries


def _wish_credits(value: Any, where: str) -> Any:
    if value is None:
        return None
    amounts = value.values() if isinstance(value, Mapping) else (value,)
    for one in amounts:
        if isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one < float("inf"):
            raise pytest.UsageError(f"{where} {value!r}: write a number, or numbers by provider")
    return value


def _wish_allowed(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("*",) if value else ()
    rules = _several(value, str)
    if rules is None:
        raise pytest.UsageError(f"{where} {value!r}: write True, an id of a rule, or several")
    return rules


def _several(value: Any, kind: Any) -> tuple[Any, ...] | None:
    """Return one or several values of a kind as a tuple, none for None; None for anything else."""
    if value is None or isinstance(value, kind):
        return () if value is None else (value,)
    found = tuple(value) if isinstance(value, Iterable) else (None,)
    return found if all(isinstance(one, kind) for one in found) else None


_WISHES: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    # argument of the marker -> (what it is called when a world is opened, how it is read)
    "clock": ("speed", lambda value, where: _speed_of_text(str(value), where)),
    "speed": ("speed", _speed),
    "now": ("now", _wish_now),
    "seed": ("seed", _wish_seed),
    "plan": ("plan", _wish_plan),
    "credits": ("credits", _wish_credits),
    "allow_violations": ("allow", _wish_allowed),
}


def _wishes_of_all(config: pytest.Config) -> dict[str, Any]:
    """Return what options and ini want of every world; raises UsageError for what cannot be understood."""
    out: dict[str, Any] = {"speed": _speed_of_text(config.getini("understudy_clock"), "understudy_clock")}
    if now := config.getini("understudy_now"):
        out["now"] = _wish_now(now, "understudy_now")
    given = config.getoption("--understudy-speed")
    if given is not None:
        out["speed"] = _speed(given, "--understudy-speed")
    return out


def _wishes(item: pytest.Item) -> dict[str, Any]:
    """Return what a test wants of its world: the markers, the nearest first, then options, then ini.

    Raises UsageError for what no marker has.
    """
    out = _wishes_of_all(item.config)
    for mark in reversed(list(item.iter_markers("understudy"))):
        if mark.args:
            raise pytest.UsageError(
                f"{item.nodeid}: @pytest.mark.understudy takes its arguments by name: {', '.join(_WISHES)}"
            )
        if {"clock", "speed"} <= mark.kwargs.keys():
            raise pytest.UsageError(f"{item.nodeid}: clock and speed are two ways to say the same; give one")
        for name, value in mark.kwargs.items():
            if name not in _WISHES:
                import difflib

                near = difflib.get_close_matches(name, _WISHES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_WISHES)}"
                raise pytest.UsageError(
                    f"{item.nodeid}: @pytest.mark.understudy has no argument '{name}' ({hint})"
                )
            key, read = _WISHES[name]
            out[key] = read(value, f"{item.nodeid}: {name}")
    return out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse markers that cannot be understood before anything runs."""
    if _is_worker(config):
        # A worker of pytest-xdist cannot refuse the run in words; there the tests fail one by one.
        return
    for item in items:
        if item.get_closest_marker("understudy") is not None:
            _wishes(item)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose marker cannot be understood."""
    if item.get_closest_marker("understudy") is not None:
        try:
            _wishes(item)
        except pytest.UsageError as error:
            pytest.fail(str(error), pytrace=False)


# --- fixtures ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def understudy_server(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The server that all tests of this process share; `understudy` is one test's world on it.

    With pytest-xdist each worker has its own.
    """
    from mockserver.settings import SettingError
    from mockserver.stage import Stage
    from mockserver.steering import WorldError
    from mockserver.story import add
    from validator.contract.document import SpecError

    config = request.config
    url, port = config.getoption("--understudy-url") or "", config.getoption("--understudy-port")
    try:
        stage = Stage(_settings(config), url=url, token=_token(config), has_port=port != "off")
    except (SettingError, SpecError, WorldError) as error:
        told = f"understudy cannot be started: {_in_our_words(str(error), url)}"
        if not _is_worker(config):
            pytest.exit(told, returncode=pytest.ExitCode.USAGE_ERROR)
        # A worker that leaves takes the run of all others with it, without a word; here its tests fail one by one.
        if port not in (None, "any", "off"):
            told += "; each worker of pytest-xdist has a server of its own, and needs a port of its own"
        pytest.fail(told, pytrace=False)
    watch = _Watch(config)
    config.pluginmanager.register(watch, "understudy-watch")
    try:
        yield stage
    finally:
        config.pluginmanager.unregister(watch)
        watch.stop()
        stage.stop()
        add(config.stash[_TOTALS], stage.totals)


def _in_our_words(text: str, url: str) -> str:
    """Return an error of the server, whose advice speaks of the options of its command, with those of pytest."""
    advice = (
        "leave out --understudy-url for a server of this process"
        if url
        else "--understudy-port any takes any"
    )
    return re.sub(r"\([^()]*--(?:port|server)\b[^()]*\)", f"({advice})", text)


def _token(config: pytest.Config) -> str:
    import os

    return config.getoption("--understudy-token") or os.environ.get("UNDERSTUDY_ADMIN_TOKEN", "")


@pytest.fixture
def understudy(request: pytest.FixtureRequest, understudy_server: Stage) -> Iterator[World]:
    """A world of this test alone: a tenant with its own tasks, journal, keys and clock, which is at rest.

    .PROVIDER               each by its id: .base_url, .credentials (headers), .webhook_secret
    .transport              for httpx: leads here without a socket
    .clock                  .advance("PT5M"), .run_until_idle(), .sleep and .async_sleep to hand to a client
    .drive(module)          gives a module of the client this clock in place of time and asyncio.sleep
    .scenario("moderation-late", times=1), .fail(task), .finish(task)
    .tasks, .requests, .deliveries, .violations, .cost
    .inbox                  a receiver of callbacks: .url, .wait_for(1), .respond_with(500, times=2)
    .assert_no_violations(), .assert_no_double_spend(), .assert_delivered_once(task), .assert_laws()
    """
    from mockserver.steering import WorldError

    item: pytest.Item = request.node
    wishes = _wishes(item)
    wishes.pop("allow", None)
    try:
        world = understudy_server.open(_tenant(item), **wishes)
    except WorldError as error:
        pytest.fail(f"understudy: {error}", pytrace=False)
    item.stash[_WORLD] = world
    try:
        yield world
    finally:
        del item.stash[_WORLD]
        world.close()


def _tenant(item: pytest.Item) -> str:
    """Return a name for the tenant of a test: readable, and no other test's."""
    name = item.nodeid.rpartition("/")[2]
    words = re.sub(r"[^A-Za-z0-9]+", "-", name.replace(".py::", "-")).strip("-")
    readable = words if len(words) <= LONGEST_NAME else words[-LONGEST_NAME:].partition("-")[2]
    return f"{readable or 'test'}-{hashlib.sha256(item.nodeid.encode()).hexdigest()[:8]}"


# --- verdicts and reports ---------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed, where its client sent what a provider refuses and nobody allowed it."""
    __tracebackhide__ = True
    result = yield
    world = item.stash.get(_WORLD, None)
    if world is not None and item.config.getini("understudy_strict"):
        from mockserver.steering import WorldError

        try:
            world.assert_no_violations(allow=_wishes(item).get("allow", ()))
        except WorldError as error:
            pytest.fail(f"the test itself passed, but understudy_strict is on: {error}", pytrace=False)
        except AssertionError as error:
            pytest.fail(
                f"the test itself passed, but understudy_strict is on:\n{error}\n\n"
                "where that is what is tested: @pytest.mark.understudy(allow_violations=True), or ids of rules",
                pytrace=False,
            )
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell in the report of a failing test what its client did."""
    report = yield
    world = item.stash.get(_WORLD, None)
    # A fixture that talks to the provider fails at set-up; at tear-down the world is gone.
    if world is not None and report.failed and call.when != "teardown":
        report.sections.append((SECTION, _story(world)))
    return report


def _story(world: World) -> str:
    from mockserver.story import story

    try:
        return f"world {world.tenant}\n\n{story(world)}"
    except Exception as error:  # the test's own failure must be told, whatever has become of the server
        return f"what happened in this world cannot be told: {type(error).__name__}: {error}"


class _Watch:
    """Looks now and then whether a test waits for a clock that nobody moves; such a test would never end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._over = threading.Event()
        self._world: World | None = None
        self._before: tuple[datetime, dict[str, int], dict[str, int]] | None = None
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        __tracebackhide__ = True
        with self._lock:
            self._world, self._before = item.stash.get(_WORLD, None), None
        if self._world is not None and self._thread is None:
            self._thread = threading.Thread(target=self._look, name="understudy-watch", daemon=True)
            self._thread.start()
        try:
            return (yield)
        finally:
            with self._lock:
                self._world = None

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                if self._world is not None and self._world.tenant not in self._told:
                    self._judge(self._world)

    def _judge(self, world: World) -> None:
        from mockserver.story import endless_text, reads_at_rest, reads_in_vain, waiting_text

        try:
            at = world.clock.now
            waiting, vain = reads_at_rest(world), reads_in_vain(world)
        except Exception:  # a server that is busy is looked at the next time
            return
        before, self._before = self._before, (at, waiting, vain)
        if before is None:
            return
        then, waiting_then, vain_then = before
        # A client asks every few seconds: often enough altogether, and again since the last look at the same moment.
        still = [
            task
            for task, count in waiting.items()
            if then == at and count >= POLLS_THAT_HANG and count > waiting_then.get(task, count)
        ]
        endless = [task for task in vain if then < at and task in vain_then]
        if still:
            task = max(still, key=lambda one: waiting[one])
            told = waiting_text(task, waiting[task])
        elif endless:
            told = endless_text(endless[0], vain[endless[0]], at)
        else:
            return
        self._told.add(world.tenant)
        self._say(f"understudy: {world.tenant} seems to wait in vain.\n{told}")

    def _say(self, text: str) -> None:
        """Write to the terminal at once, past what pytest captures: who waits for ever sees no report."""
        plugins = self._config.pluginmanager
        capture = plugins.getplugin("capturemanager")
        with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
            # A worker of pytest-xdist has no terminal of its own; its error output is passed on.
            print(f"\n{text}", file=sys.stderr, flush=True)


# --- the end ----------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Add up what a worker of pytest-xdist sends home."""
    sent = getattr(node, "workeroutput", {}).get("understudy")
    if sent:
        from mockserver.story import add

        add(node.config.stash[_TOTALS], sent)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send home what a worker of pytest-xdist has seen, its fixtures torn down."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["understudy"] = session.config.stash[_TOTALS]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what the session would have cost."""
    totals = config.stash[_TOTALS]
    if totals:
        from mockserver.story import summary

        terminalreporter.write_line(summary(totals))
