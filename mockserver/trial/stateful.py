"""A state machine for Hypothesis that puts a client on trial: time, failures, callbacks in any order.

The only module here that needs Hypothesis (`pip install 'understudy[test]'`).  It knows no client and no provider:
the one is given by an adapter, the other by its contract.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mockserver.scenarios import SCENARIOS, ScenarioError, obstacle, role_of
from mockserver.scenarios import find as find_scenario
from mockserver.trial.conduct import Conduct, Flaw
from mockserver.trial.laws import LAWS, LawError, find, judge
from mockserver.trial.rendering import exchange_lines, finding_text
from mockserver.trial.verdicts import Finding
from mockserver.trial.words import short
from mockserver.trial.workplace import Notice, Workplace
from validator.contract import load
from validator.contract.expressions import Json, parse_pointer, to_text
from validator.contract.model import Contract, Operation
from validator.contract.schemas import remove_absent
from validator.strategies import bodies as valid_bodies

OnCallback = Callable[[str, Mapping[str, str], bytes], int]

WAITS_S: Final = (1, 5, 30, 120, 600)
"""Seconds that the machine lets pass at a time."""

LAST_WAITS_S: Final = tuple(2**n for n in range(1, 17))
"""Seconds between the reads at the end: together a day and a half, in which every client should have given up."""

REAL_TIME: Final = frozenset(("latency", "dribble", "url-slow", "callback-early"))
"""Scenarios that wait by the wall clock, of which a run with a hundred examples has none to spare."""

OWN_MISTAKES: Final = (TypeError, NameError, AttributeError, ImportError, NotImplementedError)
"""What a client raises that is broken in itself: where nothing was wrong with the answers it is told at once."""

_EXPRESSION: Final = "{$request.body#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """How the machine drives a client.

    `submit` takes a body and returns whatever the client knows a task by; raising says that there is none.  `poll`
    takes that, asks once, and says whether the client is done with the task, either way; raising says that it gave
    up.  `on_callback` takes method, headers and body, and returns a status.
    """

    submit: Callable[[Json], Any]
    poll: Callable[[Any], bool]
    on_callback: OnCallback | None = None


class BrokenLaw(AssertionError):
    """A client broke a law; the message tells how it came to that."""


class StateMachine(RuleBasedStateMachine):
    """What :func:`client_machine` returns is one of these."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A wish under way: its number, what the client knows it by."""

    number: int
    handle: Any


_BROKEN: Final[Mapping[str, type[BrokenLaw]]] = {
    # A type for each, so that a failure does not become another one while it shrinks.
    name: type(f"BrokenLaw_{name.replace('-', '_')}", (BrokenLaw,), {})
    for name in LAWS
}


def default_laws() -> tuple[str, ...]:
    """Return the laws that a client can be held to step by step.

    Not those that need a program, nor that results are fetched, which is not every client's business.
    """
    return tuple(
        name for name, law in LAWS.items() if not law.needs_program and name != "fetches-before-expiry"
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """A scenario, the role of the requests that meet it, and values of its parameters as a plan has them."""

    scenario: str
    role: str
    values: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        """Return it as a story tells it."""
        return "; ".join([self.scenario, *(f"{name}={value}" for name, value in self.values)])


def default_faults(contract: Contract, operation: Operation) -> tuple[Fault, ...]:
    """Return all that can happen to a client that makes tasks with an operation and reads them.

    Scenarios that leave the request undone come once more as those that do not, which is where money is lost.
    """
    reads = [one for one in contract.operations.values() if one.role == "read"]
    out: list[Fault] = []
    for scenario in SCENARIOS.values():
        if scenario.name in REAL_TIME or scenario.is_plain:
            continue
        for one in (operation, *reads):
            if obstacle(scenario, contract, one):
                continue
            out.append(Fault(scenario.name, role_of(one)))
            if "accepted" in scenario.by_name and one is operation:
                out.append(Fault(scenario.name, role_of(one), (("accepted", True),)))
    return tuple(dict.fromkeys(out))


def client_machine(
    make_adapter: Callable[[Workplace], Adapter],
    *,
    provider: str | Contract,
    operation: str | None = None,
    laws: Iterable[str] | None = None,
    faults: Sequence[str] | None = None,
    bodies: st.SearchStrategy[Any] | None = None,
) -> type[StateMachine]:
    """Return a state machine that drives a client through everything that can happen to it, and checks the laws.

    `make_adapter` makes a new client for a workplace; `provider` is an id or a contract, `operation` the id of what
    makes tasks there, the first one by default; `laws` and `faults` are the names of those that count, by default
    :func:`default_laws` and :func:`default_faults`.  `bodies` draws what is asked for, by default
    anything that the provider takes; an address for callbacks is put into it where the provider looks for one.

    Raises LawError, ScenarioError and ValueError for names that there are not.
    """
    contract = load(provider) if isinstance(provider, str) else provider
    made = _operation(contract, operation)
    wanted = default_laws() if laws is None else tuple(find(name).id for name in _names(laws))
    if not wanted:
        raise LawError("laws is empty, so nothing would be checked; leave it out for all that can be")
    of_programs = [name for name in wanted if LAWS[name].needs_program]
    if of_programs:
        raise LawError(
            f"{', '.join(of_programs)}: only a program that was run can keep this; see docs/laws.md"
        )
    known = default_faults(contract, made)
    if faults is not None:
        faults = _names(faults)
        for name in faults:
            if find_scenario(name).name not in {one.scenario for one in known}:
                why = (
                    "it waits by the wall clock" if name in REAL_TIME else "the operation has nothing for it"
                )
                raise ScenarioError(f"a client of {made.id} cannot meet {name} here: {why}")
        known = tuple(one for one in known if one.scenario in faults)
    of_create, of_read = (
        st.sampled_from((None, *_weighted(one for one in known if one.role == role)))
        for role in ("create", "read")
    )
    drawn = bodies if bodies is not None else _valid(made)

    places: list[Workplace] = []

    class ClientMachine(StateMachine):
        """One client, its workplace, and what happened so far."""

        def __init__(self) -> None:
            """Give a new client a workplace where nothing has happened yet."""
            super().__init__()
            if places:
                places[0].reset()
            else:
                places.append(Workplace(contract, limits=dict.fromkeys(_units(contract), 1e9)))
            self.place = places[0]
            adapter: Any = make_adapter(self.place)
            if not isinstance(adapter, Adapter):
                got = type(adapter).__name__
                raise TypeError(
                    f"make_adapter returned {got}; it has to return an Adapter(submit=..., poll=...)"
                )
            self.adapter = adapter
            self.open: list[_Job] = []
            self.asked: set[Hashable] = set()
            self.taken = 0
            self.notices: list[Notice] = []
            self.told: list[tuple[int, int, str]] = []
            self.judged = (0, 0, 0)
            self.is_over = False

        # --- what the client does

        @initialize(body=drawn, fault=of_create)
        def begin(self, body: Json, fault: Fault | None) -> None:
            """Let the client ask for a first video: without one nothing else can happen."""
            self.submit(body=body, fault=fault)

        @rule(body=drawn, fault=of_create)
        def submit(self, body: Json, fault: Fault | None) -> None:
            """Let the client ask for a video that nobody asked for yet: equal ones are one wish."""
            body = _prepared(body, made, self.place.callback_address if self.adapter.on_callback else None)
            key = _meant(body, made)
            if key in self.asked:
                return
            self.asked.add(key)
            self.plan(fault)
            number = len(self.asked)
            self.say(
                f"wish {number}: submit {short(orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode())}"
            )
            before = self.place.exchanges
            try:
                handle = self.adapter.submit(body)
            except Exception as error:  # whatever a client raises is its way to say that there is no task
                self.say(f"wish {number}: the client gave up: {_raised(error)}")
                self.check_mistake(error, before, can_give_up=False)
                return
            self.check_type("submit", "what the client knows the task by", handle)
            self.taken += 1
            self.open.append(_Job(number, handle))

        @precondition(lambda self: self.open)
        @rule(which=st.integers(0, 7), after=st.sampled_from(WAITS_S), fault=of_read)
        def poll(self, which: int, after: int, fault: Fault | None) -> None:
            """Let the client ask for a task, some time later."""
            self.place.sleep(after)
            self.plan(fault)
            self.ask(self.open[which % len(self.open)])

        def ask(self, job: _Job) -> None:
            self.say(f"wish {job.number}: poll")
            before = self.place.exchanges
            try:
                is_done = self.adapter.poll(job.handle)
            except Exception as error:  # as above
                self.say(f"wish {job.number}: the client gave up: {_raised(error)}")
                self.open.remove(job)
                self.check_mistake(error, before, can_give_up=True)
                return
            self.check_type("poll", "True or False", is_done, bool)
            if is_done:
                self.say(f"wish {job.number}: the client is done with it")
                self.open.remove(job)

        def check_mistake(self, error: Exception, before: int, *, can_give_up: bool) -> None:
            """Raise what the client raised where nothing that it was answered is a reason for it."""
            steps = self.place.last_steps(before)
            if all(step.nature == "ok" for step in steps) and (
                not can_give_up or (isinstance(error, OWN_MISTAKES) and not _is_ended(steps))
            ):
                self.is_over = True
                raise error

        def check_type(self, what: str, expected: str, got: Any, kind: type = object) -> None:
            """Raise TypeError for what no adapter may return: a coroutine is true, and has done nothing."""
            name = type(got).__name__
            if inspect.isawaitable(got):
                if inspect.iscoroutine(got):
                    got.close()
                why = f"; the machine does not await: wrap it, as in lambda *args: asyncio.run({what}(*args))"
            elif isinstance(got, kind):
                return
            else:
                why = f" ({short(repr(got))})" if got is not None else ", as one without a return does"
            self.is_over = True
            raise TypeError(f"{what} returned {name}{why}; it has to return {expected}")

        # --- what happens to it

        @precondition(lambda self: bool(self.asked))
        @rule(seconds=st.sampled_from(WAITS_S))
        def wait(self, seconds: int) -> None:
            """Let time pass."""
            self.place.sleep(seconds)
            self.say(f"{seconds} s pass")

        def plan(self, fault: Fault | None) -> None:
            """Let the next request of a role meet a scenario; what asks first meets it."""
            if fault is not None:
                self.place.plan(fault.scenario, role=fault.role, values=dict(fault.values))
                self.say(f"the next {fault.role} meets {fault}")

        @precondition(lambda self: bool(self.asked) and self.adapter.on_callback is not None)
        @rule()
        def deliver(self) -> None:
            """Bring the next callback that is due."""
            notice = self.place.next_notice()
            if notice is None:
                return
            self.notices.append(notice)
            self.place.report(notice, self.call(notice, notice.headers, "a callback"))

        @precondition(lambda self: self.notices)
        @rule(which=st.integers(0, 7))
        def deliver_again(self, which: int) -> None:
            """Bring a callback once more that was brought before, however long ago."""
            notice = self.notices[-1 - which % len(self.notices)]
            status = self.call(notice, self.place.headers_of(notice), "the same callback again")
            self.place.note(notice, status, "")

        @precondition(lambda self: any(map(self.place.is_signed, self.notices)))
        @rule(which=st.integers(0, 7), flaw=st.sampled_from(("forged", "unsigned", "stale")))
        def deliver_forged(self, which: int, flaw: Flaw) -> None:
            """Bring a callback that the provider did not send, or long ago."""
            signed = [one for one in self.notices if self.place.is_signed(one)]
            notice = signed[-1 - which % len(signed)]
            status = self.call(notice, self.place.headers_of(notice, flaw), f"a callback that is {flaw}")
            self.place.note(notice, status, flaw)

        def call(self, notice: Notice, headers: Mapping[str, str], what: str) -> int:
            assert self.adapter.on_callback is not None
            delivery = notice.handout.delivery
            try:
                status = self.adapter.on_callback(notice.handout.method, headers, notice.body)
            except Exception as error:  # what a web framework makes of it
                self.say(f"{what} ('{delivery.state}'): the client raised {_raised(error)}")
                return 500
            self.check_type("on_callback", "the status it answers", status, int)
            if isinstance(status, bool) or not 100 <= status <= 599:
                self.is_over = True
                raise ValueError(f"on_callback returned {status!r}, which is no HTTP status")
            self.say(f"{what} ('{delivery.state}'): the client answers {status}")
            return status

        # --- the laws

        @invariant()
        def keeps_the_laws(self) -> None:
            """Judge what was done so far."""
            seen = (self.place.exchanges, len(self.notices), len(self.place.calls))
            if not self.is_over and seen != self.judged:
                self.judged = seen
                self.check()

        def check(self) -> tuple[Finding, ...]:
            conduct = self.place.conduct()
            found = judge(conduct, wanted)
            for one in found:
                if one.outcome == "broken":
                    self.is_over = True
                    raise _BROKEN[one.law](self.story(conduct, one))
            return found

        def teardown(self) -> None:
            """Let everything come to its end, and judge once more."""
            try:
                if not self.is_over:
                    self.end()
            finally:
                self.is_over = True

        def end(self) -> None:
            if self.open:
                self.say("from here on time passes, and nothing else happens")
            for seconds in LAST_WAITS_S:
                if not self.open:
                    break
                self.place.sleep(seconds)
                while (
                    self.adapter.on_callback is not None and (notice := self.place.next_notice()) is not None
                ):
                    self.place.report(notice, self.call(notice, notice.headers, "a callback"))
                for job in list(self.open):
                    self.ask(job)
                self.check()
            if self.taken and not self.place.exchanges:
                raise RuntimeError(
                    "the client was asked for a video and no request of it came here: does it use the"
                    " workplace's base_url and transport?"
                )
            for one in self.check():
                event(f"{one.law}: {one.outcome}")

        def say(self, text: str) -> None:
            self.told.append((self.place.now_ms, self.place.exchanges, text))

        def story(self, conduct: Conduct, finding: Finding) -> str:
            return f"a client broke {finding.law}\n\n{_story(conduct, self.told)}\n\n{finding_text(finding)}"

    # One workplace for all runs, which are one after another: to open it takes longer than most of them.
    weakref.finalize(ClientMachine, _close, places)
    return ClientMachine


def _weighted(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults, those more often after which a client cannot know what was done: there money is lost."""
    known = list(faults)
    blind = [one for one in known if one.values or SCENARIOS[one.scenario].wire is not None]
    return [*known, *blind, *blind]


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names; a text alone is one of them, not its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _close(places: list[Workplace]) -> None:
    for place in places:
        place.close()


def _story(conduct: Conduct, told: Sequence[tuple[int, int, str]]) -> str:
    """Return what happened, a line each, requests behind what made the client send them."""
    lines, shown = [], 0
    for number, (at, _, text) in enumerate(told):
        lines.append(f"  {conduct.pace.seconds(told[0][0], at):10.1f} s  {text}")
        until = told[number + 1][1] if number + 1 < len(told) else len(conduct.exchanges)
        for exchange in conduct.exchanges[shown:until]:
            head, *rest = exchange_lines(exchange, conduct)
            lines.append(f"                  {head.split(' s  ', 1)[-1].rpartition('  (')[0]}")
            lines += [f"              {line}" for line in rest if line.startswith("    with")]
        shown = max(shown, until)
    return "\n".join(lines)


def _raised(error: Exception) -> str:
    return short(f"{type(error).__name__}: {error}")


def _is_ended(steps: Iterable[Any]) -> bool:
    return any(one.is_final for step in steps for one in step.told)


def _units(contract: Contract) -> list[tuple[str, str]]:
    """Return the limits of a provider: a run with many tasks is not about them."""
    return [(contract.id, one.unit) for one in contract.limits]


def _operation(contract: Contract, name: str | None) -> Operation:
    makers = {one.id: one for one in contract.operations.values() if one.role == "create"}
    if name is None and makers:
        return next(iter(makers.values()))
    if name not in makers:
        raise ValueError(
            f"{contract.id} makes no tasks with '{name}'; it does with {', '.join(makers) or 'nothing'}"
        )
    return makers[name]


def _valid(operation: Operation) -> st.SearchStrategy[Any]:
    """Return a strategy for all bodies that the operation takes."""
    if operation.body is None:
        raise ValueError(f"{operation.id} takes no body; give bodies=")
    return valid_bodies(operation)


def _meant(body: Json, operation: Operation) -> bytes:
    """Return what is the same for bodies that mean the same.

    A client may leave out what counts as missing, write out defaults, and numbers as texts: it asks for one thing
    twice then, and has done nothing wrong.
    """
    schema = operation.body
    if schema is not None:
        body = orjson.loads(orjson.dumps(remove_absent(body, schema.absent)))
        for pointer, value in schema.defaults.items():
            *above, name = parse_pointer(pointer)
            node: Any = body
            for step in above:
                node = node.get(step) if isinstance(node, dict) else None
            if isinstance(node, dict) and _as_texts(node.get(name)) == _as_texts(value):
                del node[name]
    return orjson.dumps(_as_texts(body), option=orjson.OPT_SORT_KEYS)


def _as_texts(value: Json) -> Json:
    match value:
        case dict():
            return {name: _as_texts(member) for name, member in value.items()}
        case list():
            return [_as_texts(item) for item in value]
    return to_text(value)


def _prepared(body: Json, operation: Operation, callback_address: str | None) -> Json:
    """Return a body without names that have to be new, which are the client's to choose, and with our address."""
    if not isinstance(body, dict):
        return body
    out: dict[str, Any] = orjson.loads(orjson.dumps(body))
    for one in operation.unique:
        _set(out, one.pointer, None)
    for callback in operation.callbacks:
        expression = callback.url_expression
        if expression.startswith(_EXPRESSION):
            _set(out, expression.removeprefix(_EXPRESSION).removesuffix("}"), callback_address)
    return out


def _set(body: dict[str, Any], pointer: str, value: str | None) -> None:
    """Put a member into a body, or take it out; its parents have to be there."""
    *parents, last = parse_pointer(pointer)
    node: Any = body
    for name in parents:
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node.pop(last, None)
        if value is not None:
            node[last] = value
