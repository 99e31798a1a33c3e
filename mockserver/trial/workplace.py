"""Where a client works while it is on trial in this process: a tenant of its own, no socket, a clock at rest.

Time moves only when somebody moves it; ids are the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from mockserver.callbacks import sign
from mockserver.clock import wall_ms
from mockserver.deliveries import Handout
from mockserver.environment import (
    Keys,
    base_url_of,
    credentials_of,
    keys_of,
    known_webhook_secret,
    webhook_secret_of,
)
from mockserver.local import LocalServer
from mockserver.plans import read_entry
from mockserver.settings import Settings
from mockserver.trial.conduct import Call, Conduct, Flaw, conduct_of, told_by_call
from mockserver.trial.steps import Step
from validator.contract.model import Callback, Contract
from validator.security import make_token

if TYPE_CHECKING:
    from mockserver.transport import Transport

T = TypeVar("T")

TENANT: Final = "trial"
START_MS: Final = 1_767_268_800_000
"""2026-01-01 12:00 UTC, where every trial begins, in milliseconds."""

ORIGIN: Final = "http://understudy.test"
CALLBACK_URL: Final = "http://client.test/callback"

STALE_S: Final = 3_600
"""Seconds by which a callback that comes too late was signed too early."""

_SIGNATURE: Final = "webhook-signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A callback on its way to the client: what is sent, and what is kept of it."""

    handout: Handout
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Return its headers by their names."""
        return dict(self.handout.headers)


class Workplace:
    """What a client under test is given.

    `base_url` and `credentials` (headers) are a provider's; `keys` the same in parts, for clients that make their own
    tokens; `webhook_secret` what callbacks are signed with, None where they are not.  `callback_address` leads to the
    client's `on_callback`.
    """

    def __init__(
        self, contract: Contract, *, limits: Mapping[tuple[str, str], float | None] | None = None
    ) -> None:
        """Open it; :meth:`close` closes it."""
        secret = webhook_secret_of(contract, TENANT)
        settings = Settings(
            port=0,
            log="off",
            seed=0,
            secrets={} if secret is None else {contract.id: secret},
            limits=limits or {},
        )
        self.contract = contract
        self.server = LocalServer(settings, contracts={contract.id: contract}, wall=wall_ms, has_port=False)
        self.webhook_secret = known_webhook_secret(contract, settings.secrets)
        self.keys: Keys = keys_of(contract, TENANT, webhook_secret=self.webhook_secret)
        self.base_url = base_url_of(contract, ORIGIN, TENANT)
        self.callback_address = CALLBACK_URL
        self.calls: list[Call] = []
        self._transport: Transport | None = None
        self._in_loop(self._begin)

    def _begin(self) -> None:
        tenant = self._tenant
        tenant.clock.set(now=START_MS, speed=0)
        self.server.app.outbox.set_mode(tenant, "pull")

    @property
    def _tenant(self) -> Any:
        return self.server.app.backend.tenant(TENANT)

    def _in_loop(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self.server.run(call())

    def reset(self) -> None:
        """Begin again from nothing: what comes now comes as it did the first time, ids included."""

        def forget() -> None:
            app, tenant = self.server.app, self._tenant
            app.outbox.forget(tenant)
            app.backend.forget(tenant)
            self._begin()

        self._in_loop(forget)
        self.calls = []

    def close(self) -> None:
        """Let go of everything."""
        self.server.stop()

    def __enter__(self) -> Self:
        """Return the open workplace."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # --- what the client uses

    @property
    def transport(self) -> Transport:
        """Return a transport for httpx, for its clients of both kinds, that leads here."""
        if self._transport is None:
            from mockserver.transport import Transport

            self._transport = Transport(self.server, TENANT)
        return self._transport

    @property
    def credentials(self) -> dict[str, str]:
        """Return the headers that say who asks; a token is made anew each time, and holds for half an hour."""
        form = credentials_of(self.contract)[0]
        for one in credentials_of(self.contract):
            if one.jwt is None and self.keys.api_key is not None:
                form = one
        if form.jwt is not None and self.keys.access_key and self.keys.secret_key:
            token = make_token(
                form.jwt, self.keys.access_key, self.keys.secret_key, now=self.time(), lifetime_s=1_800
            )
            return {form.header: f"Bearer {token}"}
        return {form.header: f"Bearer {self.keys.api_key}" if form.is_bearer else str(self.keys.api_key)}

    def time(self) -> float:
        """Return the time, seconds since the epoch."""
        return self.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, which takes no time."""
        tenant = self._tenant
        until = self.now_ms + max(int(seconds * 1000), 0)
        self.server.run(self.server.app.outbox.advance(tenant, until))

    # --- what happens to the client

    @property
    def now_ms(self) -> int:
        """Return the time, milliseconds since the epoch."""
        now: int = self._tenant.clock.now()
        return now

    @property
    def exchanges(self) -> int:
        """Return how many requests there have been."""
        journal = self._tenant.journal
        return len(journal) + int(journal.dropped)

    def plan(
        self, scenario: str, *, role: str, values: Mapping[str, Any] | None = None, times: int = 1
    ) -> None:
        """Let the next requests of a role meet a scenario; raises ScenarioError for one that they cannot."""
        entry = {
            "scenario": scenario,
            "with": dict(values or {}),
            "match": {"provider": self.contract.id, "role": role},
            "times": times,
        }

        def add() -> None:
            plan = self._tenant.plan
            contracts = self.server.app.backend.contracts
            plan.add(read_entry(entry, contracts, id=plan.new_id(), seed=lambda: 0))

        self._in_loop(add)

    def next_notice(self) -> Notice | None:
        """Return the next callback that is due, None where none is; :meth:`report` says what came of it."""
        handout = self.server.run(self.server.app.outbox.pull(self._tenant, 0.0))
        return None if handout is None else Notice(handout=handout, body=bytes(handout.delivery.body))

    def report(self, notice: Notice, status: int) -> None:
        """Say what the client answered to a callback."""
        outbox, tenant = self.server.app.outbox, self._tenant
        self._in_loop(lambda: outbox.report(tenant, notice.handout.delivery.id, status, ""))

    def note(self, notice: Notice, status: int, flaw: Flaw) -> None:
        """Keep a callback that somebody other than the provider sent, or that the network brought again."""
        delivery = notice.handout.delivery
        task = self.server.app.backend.store.get(TENANT, delivery.task_id)
        operation = self.contract.operations[delivery.operation]
        if task is None:
            return
        number = 1 + sum(one.delivery == delivery.id for one in self.calls) + len(delivery.attempts)
        self.calls.append(
            Call(
                delivery=delivery.id,
                number=number,
                task=task.id,
                state=delivery.state,
                due=delivery.due,
                at=self.now_ms,
                status=status,
                flaw=flaw,
                told=told_by_call(task, operation, delivery, self.now_ms),
            )
        )

    def headers_of(self, notice: Notice, flaw: Flaw = "") -> dict[str, str]:
        """Return the headers of a callback that is sent now: signed anew, or forged, or stale, or not signed."""
        headers = notice.headers
        callback = self.callback_of(notice)
        if flaw == "unsigned" or not self.is_signed(notice):
            return {name: value for name, value in headers.items() if name != _SIGNATURE}
        assert callback.signature is not None and self.webhook_secret is not None
        now_s = self.now_ms // 1000
        stale_s = now_s - STALE_S if flaw == "stale" else now_s
        signed = notice.body + b"\n" if flaw == "forged" else notice.body
        made = sign(
            self.webhook_secret, callback.signature.secret, notice.handout.delivery.id, stale_s, signed
        )
        return {**headers, **dict(made)}

    def callback_of(self, notice: Notice) -> Callback:
        """Return what the spec says of a callback."""
        delivery = notice.handout.delivery
        operation = self.contract.operations[delivery.operation]
        return next(one for one in operation.callbacks if one.name == delivery.callback)

    def is_signed(self, notice: Notice) -> bool:
        """Tell whether a client can see who sent a callback."""
        return _SIGNATURE in notice.headers

    # --- what came of it

    def conduct(self, *, calls: Iterable[Call] = ()) -> Conduct:
        """Return what the client did so far."""
        backend = self.server.app.backend
        return self._in_loop(
            lambda: conduct_of(backend, TENANT, calls=(*self.calls, *calls), counts_real=False)
        )

    def last_steps(self, since: int) -> tuple[Step, ...]:
        """Return the requests after so many."""
        return self.conduct().steps[since:]
