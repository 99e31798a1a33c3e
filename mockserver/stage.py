"""A stage: the server on which worlds are opened, in this process or elsewhere, and the socket of their inboxes."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from mockserver.app import App, load_contracts
from mockserver.environment import (
    Keys,
    keys_of,
    known_webhook_secret,
    webhook_secret_of,
)
from mockserver.ids import Dice
from mockserver.inbox import Receiver
from mockserver.local import LocalServer
from mockserver.settings import Settings
from mockserver.steering import Control, LocalControl, RemoteControl, WorldError
from mockserver.story import Totals, add, run_totals, totals_of
from mockserver.world import World
from validator.contract import provider_names
from validator.contract.expressions import Json
from validator.contract.model import Contract

NO_PORT: Final = "http://understudy.test"
"""Where a server without a port seems to be; only the transport leads there (RFC 2606 keeps .test free)."""


class Stage:
    """A server on which worlds are opened: one in this process, or one elsewhere."""

    def __init__(
        self, settings: Settings | None = None, *, url: str = "", token: str = "", has_port: bool = True
    ) -> None:
        """Start a server with these settings, or use the one at a URL.

        Deliveries are signed wherever a provider can, with a secret of our own where the settings name none.
        Raises SpecError and SettingError for settings that cannot be, WorldError for a server that does not answer.
        """
        self._lock = threading.Lock()
        self._receiver: Receiver | None = None
        self._names: set[str] = set()
        self.totals: Totals = {}
        self._url, self._token = url, token
        self._session = Dice(None, "session").uuid()[:8]
        settings = settings or Settings(port=0, log="off")
        self.server: LocalServer | None = None
        self.is_pulling = bool(url)
        if url:
            self.has_port, self.origin = True, url.rstrip("/")
            self.contracts = self._served(settings)
            self._settings = settings
            return
        self.contracts = load_contracts(settings)
        secrets = {
            name: secret
            for name, contract in self.contracts.items()
            if (secret := webhook_secret_of(contract, "understudy")) is not None
        }
        self._settings = replace(settings, secrets={**secrets, **settings.secrets})
        self.server = LocalServer(self._settings, contracts=self.contracts, has_port=has_port)
        self.has_port, self.origin = has_port, self.server.origin or NO_PORT

    def _served(self, settings: Settings) -> dict[str, Contract]:
        """Return the contracts of what a server elsewhere serves, as they are here."""
        told = RemoteControl(self._url, "", self._token).call("GET", "/providers", has="providers")
        ids = [one["id"] for one in told["providers"]]
        known = tuple(one for one in ids if one in provider_names())
        if not known and not settings.specs:
            raise WorldError(
                f"{self._url} serves {', '.join(ids) or 'nothing'}, of which no spec is known here;"
                " name its file (understudy_specs)"
            )
        wanted = tuple(one for one in settings.providers or known if one in known)
        return load_contracts(replace(settings, providers=wanted))

    def control(self, tenant: str) -> Control:
        """Return the admin API of a tenant."""
        if self.server is not None:
            return LocalControl(self.server, tenant)
        return RemoteControl(self._url, tenant, self._token)

    def keys(self, contract: Contract, name: str) -> Keys:
        """Return the keys that a client of this name has: those that are configured, or else some of its own."""
        made = keys_of(contract, name)
        held = self._settings.keys(contract.id).keys
        if held:
            pairs = [(key, secret) for key, secret in held.items() if secret is not None]
            bare = [key for key, secret in held.items() if secret is None]
            access_key, secret_key = pairs[0] if pairs else (None, None)
            made = Keys(api_key=bare[0] if bare else None, access_key=access_key, secret_key=secret_key)
        return replace(made, webhook_secret=known_webhook_secret(contract, self._settings.secrets))

    @property
    def receiver(self) -> Receiver:
        """Return the socket that all inboxes share, opened when it is first asked for."""
        with self._lock:
            if self._receiver is None:
                self._receiver = Receiver()
            return self._receiver

    def open(
        self,
        name: str,
        *,
        speed: float = 0.0,
        now: datetime | None = None,
        seed: int | None = None,
        credits: float | Mapping[str, float] | None = None,
        plan: Iterable[Mapping[str, Json] | str] = (),
    ) -> World:
        """Return a new world of this name; a number is put behind a name that was there before.

        `speed` 0 is a clock at rest; `credits` is what its tasks may cost, with each provider that has prices or by
        provider; `plan` are scenarios that it begins with.
        """
        world = World(self, self._unique(name))
        try:
            # At rest first: a new clock runs, and a time that is asked for is to be exactly that.
            world.clock.freeze()
            if now is not None:
                world.clock.set(now)
            if speed:
                world.clock.speed = speed
            if seed is not None:
                self._draw_with(seed, world.tenant)
            if credits is not None:
                world.control.call("PATCH", "/budgets", self._budgets(credits), has="budgets")
            world.plan(*plan)
        except BaseException:
            world.close()
            raise
        world.clock.moves = 0
        return world

    def _draw_with(self, seed: int, tenant: str) -> None:
        if self.server is None:
            raise WorldError("a server elsewhere draws as it was started (--seed): leave the seed out")
        self.server.app.backend.tenant(tenant).dice = Dice(seed, tenant)

    def _budgets(self, credits: float | Mapping[str, float]) -> dict[str, float]:
        if isinstance(credits, Mapping):
            return dict(credits)
        return dict.fromkeys(self.contracts, credits)

    def _unique(self, name: str) -> str:
        with self._lock:
            if self.server is None:
                # Others may test against that server at the same time, and their tests may have the same names.
                name = f"{name[:50]}-{self._session}"
            for number in itertools.count(1):
                found = name if number == 1 else f"{name[:58]}.{number}"
                if found not in self._names:
                    self._names.add(found)
                    return found
        raise AssertionError

    def forget(self, world: World) -> None:
        """Forget a world, its tasks, its journal, what is still to be sent; what it cost is not forgotten."""
        if self.server is None:
            with contextlib.suppress(WorldError):
                add(self.totals, totals_of(world.cost))
                world.control.call("POST", "/reset", {}, has="")
            return
        if self.server.is_running:
            self.server.run(_forget(self.server.app, world.tenant))

    def stop(self) -> None:
        """Stop the server where it is ours, and close the inboxes."""
        if self._receiver is not None:
            self._receiver.stop()
        if self.server is not None and self.server.is_running:
            self.server.stop()
            # A server knows at its end what everything came to, worlds that are gone included.
            add(self.totals, run_totals(self.server.app))

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


async def _forget(app: App, name: str) -> None:
    tenant = app.backend.tenants.get(name)
    if tenant is None:
        return
    app.outbox.forget(tenant)
    app.backend.forget(tenant)
    # Not begun again but gone: a session of ten thousand tests has as many worlds.
    tenant.journal.close()
    del app.backend.tenants[name]
    app.backend.store.reset(name)
