"""A rehearsal run: a server, the baseline, then the acts beside each other, each in a tenant of its own.

Knows how acts are played, not what they mean: that is for the laws.  Prints nothing; who wants to show how far it has
come is told of every act that ended.

Exceptions::

    RuntimeError
    └── NoRehearsalError    there is nothing to judge: what happened, what to do, what the client said
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Literal, Self

from mockserver.app import load_contracts
from mockserver.environment import credentials_of, webhook_secret_of
from mockserver.journal import FILE, Exchange, target_of
from mockserver.local import LocalServer
from mockserver.plans import read_entry
from mockserver.rehearsal.acts import ACTS, BASELINE, DEAF, Act, Use, why_not
from mockserver.rehearsal.orders import Orders
from mockserver.rehearsal.program import Ended, NotRunnableError, Program
from mockserver.rehearsal.staging import Cue, cue
from mockserver.settings import Settings
from mockserver.tenants import DEFAULT_TENANT
from mockserver.trial.conduct import Conduct, conduct_of
from mockserver.trial.conduct import Program as ProgramConduct
from mockserver.trial.laws import LAWS, judge
from mockserver.trial.rendering import exchange_lines
from mockserver.trial.verdicts import Finding
from validator.contract.model import Contract
from validator.security import KeyRing

JOURNAL_ENTRIES: Final = 5_000
"""Exchanges of one act that are kept; a client that sends more does not pause at all."""

JOURNAL_BYTES: Final = 256 * 1024 * 1024

FAST: Final = 1_000.0
"""A speed at which the files of a day are gone before a slow client asks for them."""

CALLBACK_S: Final = 5.0
"""Seconds that a receiver may take."""


Fate = Literal["done", "failed", "refused", "open"]
"""What became of the job: a result, a failure, no job at all, or nothing that the client could be sure of."""


class NoRehearsalError(RuntimeError):
    """There is nothing to judge.  `hints` say what to do, `played` is what was tried, None where nothing ran."""

    def __init__(self, sentence: str, hints: Sequence[str] = (), *, played: Played | None = None) -> None:
        """Take what happened, and what to do about it."""
        super().__init__(sentence)
        self.hints, self.played = tuple(hints), played


class OpenKeys(Mapping[str, str | None]):
    """Keys that are all accepted, well formed as they are; signatures are verified of those that we gave out."""

    def __init__(self) -> None:
        """Begin with none given out."""
        self._given: dict[str, str | None] = {}

    def give(self, name: str, secret: str) -> None:
        """Note a key that was given out."""
        self._given[name] = secret

    def __contains__(self, name: object) -> bool:
        """Take any."""
        return True

    def __getitem__(self, name: str) -> str | None:
        """Return the secret of a key, None for one that is none of ours."""
        return self._given.get(name)

    def __iter__(self) -> Iterator[str]:
        """Yield those that were given out."""
        return iter(dict(self._given))

    def __len__(self) -> int:
        """Return one more than were given out: an empty ring would verify nothing."""
        return len(self._given) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One act that was played.

    `fate` is what became of the job as the client was told it.  `shown` are the exchanges that the findings
    speak of, each in a few lines, by id; `requests` how many there were, and `reached` how many of them reached an
    operation of a provider; `first` are the first of them in a line each, `strays` what was asked outside of the
    act's own base URL.  `secrets` are pairs (what was handed out, what to call it).  `why_not` says why it was not
    played, and then nothing else counts.
    """

    act: Act
    why_not: str = ""
    ended: Ended | None = None
    use: Use | None = None
    fate: Fate = "open"
    findings: tuple[Finding, ...] = ()
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    requests: int = 0
    reached: int = 0
    tasks: int = 0
    secrets: tuple[tuple[str, str], ...] = ()
    strays: tuple[str, ...] = ()
    first: tuple[str, ...] = ()

    @property
    def is_played(self) -> bool:
        """Tell whether the client ran."""
        return self.ended is not None and not self.ended.is_stopped


class Stage:
    """The server of a rehearsal, and what plays an act on it.  Close it, or use it in a `with`."""

    def __init__(self, orders: Orders) -> None:
        """Start the server; raises SpecError and SettingError as `understudy serve` would."""
        self._orders = orders
        settings = Settings(
            port=0,
            log="off",
            providers=orders.providers,
            specs=orders.specs,
            speed=orders.speed,
            seed=orders.seed,
            dates="machine",
            journal_entries=JOURNAL_ENTRIES,
            journal_bytes=JOURNAL_BYTES,
            callback_timeout=CALLBACK_S,
        )
        self.contracts: Mapping[str, Contract] = load_contracts(settings)
        self._keys = {
            name: OpenKeys()
            for name, contract in self.contracts.items()
            if any(one.jwt is not None for one in credentials_of(contract))
        }
        secrets = {
            name: webhook_secret_of(contract, str(orders.seed)) for name, contract in self.contracts.items()
        }
        self._webhook_secrets = {name: one for name, one in secrets.items() if one is not None}
        settings = replace(
            settings,
            secrets=self._webhook_secrets,
            credentials={name: KeyRing(keys=keys) for name, keys in self._keys.items()},
        )
        self._server = LocalServer(settings, contracts=self.contracts)
        self._running: set[Program] = set()
        self._lock = threading.Lock()
        self._is_broken_off = False
        self._baseline: Conduct | None = None

    @property
    def origin(self) -> str:
        """Return http://127.0.0.1:PORT."""
        return self._server.origin

    def break_off(self) -> None:
        """End every program that runs, and let no other begin."""
        with self._lock:
            self._is_broken_off = True
            running = list(self._running)
        for program in running:
            program.stop()

    def close(self) -> None:
        """End everything."""
        self.break_off()
        self._server.stop()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self.close()

    def play(self, act: Act, contracts: Mapping[str, Contract] | None = None) -> Played:
        """Play one act for the client of these providers, by default all; raises NotRunnableError, StagingError."""
        contracts = self.contracts if contracts is None else contracts
        handed = cue(
            act,
            self._orders.telling,
            contracts,
            origin=self.origin,
            seed=self._orders.seed,
            webhook_secrets=self._webhook_secrets,
            environment=os.environ,
        )
        for name, keys in handed.keys.items():
            if keys.access_key is not None and keys.secret_key is not None and name in self._keys:
                self._keys[name].give(keys.access_key, keys.secret_key)
        self._server.run(self._prepare(act))
        program = Program(handed.words, environment=handed.variables, is_shell=self._orders.telling.is_shell)
        with self._lock:
            if self._is_broken_off:
                program.stop()
            self._running.add(program)
        try:
            ended = program.run(within_s=self._orders.time_limit)
        finally:
            with self._lock:
                self._running.discard(program)
        return self._server.run(self._judged(act, handed, ended))

    # --- in the server's own thread

    async def _prepare(self, act: Act) -> None:
        backend = self._server.app.backend
        tenant = backend.tenant(act.tenant)
        for entry in act.entries(backend.wall()):
            name = tenant.plan.new_id()
            tenant.plan.add(read_entry(entry, self.contracts, id=name, seed=lambda: self._orders.seed))

    async def _judged(self, act: Act, handed: Cue, ended: Ended) -> Played:
        app = self._server.app
        tenant = app.backend.tenant(act.tenant)
        conduct = conduct_of(
            app.backend,
            act.tenant,
            program=ProgramConduct(
                exit_code=ended.code,
                timed_out=ended.is_timed_out,
                stdout=ended.stdout.decode("utf-8", "replace"),
                stderr=ended.stderr.decode("utf-8", "replace"),
                secrets=tuple(secret for secret, _ in handed.secrets),
                secret_names=tuple(name for _, name in handed.secrets),
                limit_s=self._orders.time_limit,
            ),
            baseline=self._baseline,
        )
        # Nothing falls due any more: there is nobody left to be told.
        tenant.clock.set(speed=0)
        if act.id == BASELINE:
            self._baseline = conduct
        findings = () if ended.is_stopped else self._findings(act, conduct)
        wanted = {name for one in findings for breach in one.breaches for name in breach.exchanges}
        stray = app.backend.tenants[DEFAULT_TENANT].journal
        played = Played(
            act=act,
            ended=ended,
            use=_use(conduct),
            fate=_fate(conduct),
            findings=findings,
            shown={one.id: exchange_lines(one, conduct) for one in conduct.exchanges if one.id in wanted},
            requests=len(conduct.exchanges),
            reached=sum(one.operation is not None for one in conduct.exchanges),
            tasks=len(conduct.tasks),
            secrets=handed.secrets,
            strays=tuple(map(_line, list(stray.newest())[:5])),
            first=tuple(map(_line, conduct.exchanges[:5])),
        )
        app.outbox.forget(tenant)
        app.backend.forget(tenant)
        return played

    def _findings(self, act: Act, conduct: Conduct) -> tuple[Finding, ...]:
        """Return what became of each law, against the baseline.

        The baseline has none but itself.  It ended with 0 and nothing was in its way, so what it fulfilled is what
        was wished for; whether it made more tasks than that is judged without one.
        """
        found = judge(conduct, self._orders.laws)
        if act.id != BASELINE:
            return found
        itself = judge(replace(conduct, baseline=conduct), self._orders.laws)
        return tuple(
            second if LAWS[first.law].needs_program else first
            for first, second in zip(found, itself, strict=True)
        )


def _use(conduct: Conduct) -> Use:
    """Return what the client used, also where it read so often that its first requests are forgotten."""
    asked = {(one.provider, one.operation) for one in conduct.exchanges if one.operation}
    made = {(task.provider, task.operation) for task in conduct.tasks.values()}
    return Use(
        operations=frozenset(asked | made),
        has_callbacks=any(task.hooks for task in conduct.tasks.values()),
        has_fetched=any(one.operation == FILE for one in conduct.exchanges),
    )


def _fate(conduct: Conduct) -> Fate:
    """Return what became of the job; of several, what became of the last that anything is known of."""
    if conduct.fulfilled or any(map(conduct.has_result, conduct.tasks)):
        return "done"
    if any(one.is_end and one.outcome != "success" for told in conduct.told.values() for one in told):
        return "failed"
    is_refused = any(step.part == "create" and step.nature == "never" for step in conduct.steps)
    return "refused" if is_refused and not conduct.tasks else "open"


def _line(exchange: Exchange) -> str:
    """Return what was asked and answered in a line."""
    return f"{exchange.method} {target_of(exchange)} -> {exchange.status}"


# --- the whole of it --------------------------------------------------------------------------------------


def rehearse(orders: Orders, on_played: Callable[[Played, int], None] | None = None) -> list[Played]:
    """Return every act that was wanted, in the order of the atlas, played or with the reason why not.

    `on_played` is told of each that was, with the number of those that are to be played, 0 while it is not known.
    Raises NoRehearsalError, and what :class:`Stage` raises.  Ctrl+C ends every program before it goes on its way.
    """
    try:
        return _rehearse(orders, on_played)
    except NotRunnableError as error:
        raise NoRehearsalError(str(error)) from None


def _rehearse(orders: Orders, on_played: Callable[[Played, int], None] | None) -> list[Played]:
    with Stage(orders) as stage:
        baseline = _alone(stage, BASELINE, stage.contracts, orders)
        _check(baseline, orders, stage)
        done = {BASELINE: baseline}
        use = baseline.use
        assert use is not None
        is_over = orders.is_fail_fast and is_broken(baseline)
        if on_played is not None:
            on_played(baseline, 0)
        if not is_over and _hides_reads(orders, use, stage):
            # What it does beside listening shows only where there is nothing to hear.
            deaf = _alone(stage, DEAF, _only(stage.contracts, use), orders)
            use |= deaf.use or use
            if DEAF in orders.acts:
                done[DEAF] = deaf
                is_over = orders.is_fail_fast and is_broken(deaf)
        obstacles = {name: why_not(ACTS[name], use, stage.contracts) for name in orders.acts}
        ahead = [ACTS[name] for name, why in obstacles.items() if not why and name not in done]
        total = len(ahead) + len(done)
        if on_played is not None and DEAF in done:
            on_played(done[DEAF], total)
        for played in () if is_over else _side_by_side(stage, ahead, _only(stage.contracts, use), orders):
            done[played.act.id] = played
            if on_played is not None and played.is_played:
                on_played(played, total)
    out = []
    for name in orders.acts:
        missed = Played(act=ACTS[name], why_not=obstacles.get(name) or "the rehearsal ended before it")
        found = done.get(name)
        out.append(found if found is not None and found.is_played else missed)
    return out


def _hides_reads(orders: Orders, use: Use, stage: Stage) -> bool:
    """Tell whether acts about reads are wanted, and callbacks told the client all that it wanted to know."""
    return use.has_callbacks and any(
        ACTS[name].is_of_reads and why_not(ACTS[name], use, stage.contracts) for name in orders.acts
    )


def _only(contracts: Mapping[str, Contract], use: Use) -> Mapping[str, Contract]:
    return {name: contracts[name] for name in use.providers}


def is_broken(played: Played) -> bool:
    """Tell whether a law was broken in an act."""
    return any(one.outcome == "broken" for one in played.findings)


def _alone(stage: Stage, name: str, contracts: Mapping[str, Contract], orders: Orders) -> Played:
    """Return one act that nothing else is played beside.

    In a thread as well: Ctrl+C goes to the main one, and must not come between the start of a program and the note
    of its number.
    """
    (played,) = _side_by_side(stage, [ACTS[name]], contracts, orders)
    return played


def _side_by_side(
    stage: Stage, ahead: Sequence[Act], contracts: Mapping[str, Contract], orders: Orders
) -> Iterator[Played]:
    """Yield the acts as they end; with --fail-fast the first that breaks a law ends the others."""
    with ThreadPoolExecutor(max_workers=max(orders.jobs, 1), thread_name_prefix="act") as pool:
        open_: set[Future[Played]] = {pool.submit(stage.play, act, contracts) for act in ahead}
        try:
            while open_:
                over, open_ = wait(open_, return_when=FIRST_COMPLETED)
                for future in over:
                    played = future.result()
                    yield played
                    if orders.is_fail_fast and is_broken(played):
                        return
        finally:
            # Whatever ends this, a fault or Ctrl+C included: nothing of ours goes on.
            for future in open_:
                future.cancel()
            if open_:
                stage.break_off()


def _check(baseline: Played, orders: Orders, stage: Stage) -> None:
    """Raise NoRehearsalError where the client did not do its job with nothing in its way."""
    ended = baseline.ended
    assert ended is not None
    lost = baseline.strays
    if baseline.reached == 0:
        if baseline.first:
            raise NoRehearsalError(
                "none of the client's requests reached an operation of a provider",
                [
                    *baseline.first,
                    "is the path added to the base URL the provider's own? understudy serve prints the base URLs",
                ],
                played=baseline,
            )
        if lost:
            raise NoRehearsalError(
                "the client takes host and port of the base URL and leaves its path out",
                [
                    "it asked for " + ", ".join(lost),
                    f"the base URL was {stage.origin}/t/{baseline.act.tenant}/PROVIDER:"
                    " let the client add its paths behind it",
                ],
                played=baseline,
            )
        raise NoRehearsalError(
            f"the client sent nothing to the base URL it was given{_ended_with(ended)}",
            [
                "it is told in the variables PROVIDER_BASE_URL, such as "
                + ", ".join(sorted(name for name in _base_url_names(stage))),
                "--name base-url=VARIABLE tells it in one that the client reads;"
                " {base_url} in the command is filled in",
            ],
            played=baseline,
        )
    if ended.is_timed_out:
        raise NoRehearsalError(
            f"the client was still running after {orders.time_limit:g} s, with nothing in its way",
            [
                "give it more with --time-limit, make tasks quicker with --speed,"
                " or give it a job that it does once and then ends"
            ],
            played=baseline,
        )
    if ended.code != 0:
        raise NoRehearsalError(
            f"the client ended with {ended.code}, with nothing in its way",
            [
                "what it says is below; a client that passes no baseline cannot be told apart by its faults",
                *_too_fast(orders.speed),
            ],
            played=baseline,
        )


def _too_fast(speed: float) -> Iterator[str]:
    if speed > FAST:
        yield f"at --speed {speed:g} what expires at the provider's is gone at once; try a slower one"


def _ended_with(ended: Ended) -> str:
    """Return how a client ended, where that may be why it did nothing."""
    if ended.is_timed_out:
        return ", and was still running at the end of its time"
    return f", and ended with {ended.code}" if ended.code else ""


def _base_url_names(stage: Stage) -> Iterator[str]:
    from mockserver.environment import prefix_of

    return (f"{prefix_of(name)}_BASE_URL" for name in stage.contracts)
