"""What a user can set, in one frozen record; read from the command line, the environment, or tests.

Exceptions::

    ValueError
    └── SettingError        a setting that cannot be understood: which, why, and what would do
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from validator.contract.model import Effect
from validator.security import KeyRing

Progress = Literal["time", "polls", "manual"]
Dates = Literal["tenant", "machine"]

DEFAULT_PORT: Final = 8700
WELL_KNOWN_SECRET: Final = "understudy-webhook-secret"  # noqa: S105 - printed at start, it keeps nothing secret
"""What deliveries that are always signed are signed with until a secret is configured."""

FASTEST: Final = 1_000_000
"""Virtual seconds per second at most; beyond that, dates have no year any more."""

_HOST_NAME: Final = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)

UNITS: Final = ("requests", "concurrent-tasks", "credits")


class SettingError(ValueError):
    """A setting that cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; the defaults are those of the command line.

    `speed` is virtual seconds per second; `credentials` maps a provider to the keys it accepts;
    `limits` maps (provider, unit) to a quota, None for the one of the spec; `budgets` maps a provider to the
    units that each tenant may spend there; `secrets` maps a provider to the secret its deliveries are signed
    with; `plan` holds the entries every tenant's plan of scenarios begins with, `recordings` the tasks that new ones
    take their course from; sizes are bytes, times seconds.
    `dates` says by which clock those dates count that a client compares with its own clock, the lives of its tokens
    and the time stamps of signatures: the tenant's, or the machine's for clients that know nothing of a fast one.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    providers: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    speed: float = 1.0
    dates: Dates = "tenant"
    progress: Progress = "time"
    polls_per_step: int = 1
    store: str = "memory"
    seed: int | None = None
    credentials: Mapping[str, KeyRing] = field(default_factory=dict)
    limits: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    plan: Sequence[Any] = ()
    recordings: Sequence[Any] = ()
    admin_token: str | None = None
    callback_allow: tuple[str, ...] = ()
    callback_timeout: float = 10.0
    max_body_bytes: int = 64 * 1024 * 1024
    max_tenants: int = 10_000
    max_tasks: int = 5_000_000
    journal_entries: int = 1_000
    journal_bytes: int = 32 * 1024 * 1024
    media_cache_bytes: int = 64 * 1024 * 1024
    log: Literal["text", "json", "off"] = "text"

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def sqlite_path(self) -> str | None:
        """Return the file of the store, None for plain memory; raises SettingError."""
        if self.store == "memory":
            return None
        prefix = "sqlite:///"
        if not self.store.startswith(prefix) or self.store == prefix:
            raise SettingError(f"store '{self.store}': write memory or sqlite:///FILE")
        return self.store.removeprefix(prefix)

    def keys(self, provider: str) -> KeyRing:
        """Return the credentials a provider accepts; an empty ring accepts all that are well formed."""
        return self.credentials.get(provider, KeyRing())

    def check(self) -> None:
        """Raise SettingError for values that cannot go together."""
        if not 0 < self.speed <= FASTEST:
            raise SettingError(
                f"speed {self.speed:g}: must be above 0 and at most {FASTEST:,};"
                " a clock at rest is set by the admin API"
            )
        if not 0 < self.callback_timeout < math.inf:
            raise SettingError(f"callback timeout {self.callback_timeout:g}: must be above 0")
        if self.polls_per_step < 1:
            raise SettingError(f"polls per step {self.polls_per_step}: must be at least 1")
        if self.progress not in get_args(Progress):
            raise SettingError(f"progress '{self.progress}': write time, polls or manual")
        token = self.admin_token
        if token is not None and not (token.isascii() and token.isprintable() and token == token.strip()):
            raise SettingError("admin-token: a header carries printable ASCII only, without blanks around it")
        if token == "" and self.is_loopback:
            # What a shell makes of a variable that is not set.
            raise SettingError("admin-token: it is empty; leave the option out to ask for none")
        if not self.is_loopback and not token:
            raise SettingError(
                f"host {self.host} can be reached by others: give --admin-token, so that they cannot steer the server"
            )
        for entry in self.callback_allow:
            _check_receiver(entry)
        _ = self.sqlite_path


def _check_receiver(entry: str) -> None:
    """Raise SettingError for an entry that is neither a host name nor an address nor a network."""
    if _HOST_NAME.fullmatch(entry):
        return
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        hint = "without http:// and port" if "://" in entry or ":" in entry else "such as 10.0.0.0/8"
        raise SettingError(
            f"callback-allow '{entry}': write a host name, an address or a network, {hint}"
        ) from None


def parse_progress(text: str) -> tuple[Progress, int]:
    """Return (progress, polls per step) of `time`, `manual`, `polls` or `polls:3`; raises SettingError.

    >>> parse_progress("polls:3")
    ('polls', 3)
    """
    name, _, count = text.partition(":")
    if name not in get_args(Progress) or (
        count and (name != "polls" or not count.isdigit() or int(count) < 1)
    ):
        raise SettingError(f"progress '{text}': write time, polls, polls:N or manual")
    return name, int(count) if count else 1  # type: ignore[return-value]


def parse_credentials(texts: Sequence[str]) -> dict[str, KeyRing]:
    """Return the key rings of `PROVIDER=KEY` and `PROVIDER=ACCESSKEY:SECRET`; raises SettingError."""
    rings: dict[str, dict[str, str | None]] = {}
    for text in texts:
        provider, equals, key = text.partition("=")
        name, colon, secret = key.partition(":")
        if not equals or not provider or not name or (colon and not secret):
            raise SettingError("a credential is written PROVIDER=KEY or PROVIDER=ACCESSKEY:SECRET")
        rings.setdefault(provider, {})[name] = secret if colon else None
    return {provider: KeyRing(keys=keys) for provider, keys in rings.items()}


def parse_limits(texts: Sequence[str]) -> dict[tuple[str, str], float | None]:
    """Return the quotas of `PROVIDER.UNIT=NUMBER` and `PROVIDER.UNIT=on`; raises SettingError."""
    out: dict[tuple[str, str], float | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        provider, dot, unit = name.partition(".")
        if not equals or not dot or unit not in UNITS:
            raise SettingError(f"limit '{text}': write PROVIDER.UNIT=NUMBER; units are {', '.join(UNITS)}")
        if value == "on":
            out[provider, unit] = None
            continue
        out[provider, unit] = _quota(value, f"limit '{text}'", "neither a number nor 'on'")
    return out


def _quota(value: str, where: str, what: str) -> float:
    """Return a number of 0 or more; raises SettingError, which says what another text is."""
    try:
        quota = float(value)
    except ValueError:
        raise SettingError(f"{where}: '{value}' is {what}") from None
    if not 0 <= quota < math.inf:
        raise SettingError(f"{where}: must be 0 or more")
    return quota


def parse_budgets(texts: Sequence[str]) -> dict[str, float]:
    """Return the budgets of `PROVIDER=UNITS`; raises SettingError."""
    out = {}
    for text in texts:
        provider, equals, value = text.partition("=")
        if not equals or not provider:
            raise SettingError(f"budget '{text}': write PROVIDER=UNITS")
        out[provider] = _quota(value, f"budget '{text}'", "no number")
    return out


def parse_effects(texts: Sequence[str]) -> dict[str, Effect]:
    """Return the effects of `RULE=reject|fail|warn|off`; raises SettingError."""
    out: dict[str, Effect] = {}
    for text in texts:
        rule, equals, effect = text.partition("=")
        if not equals or effect not in get_args(Effect):
            raise SettingError(f"effect '{text}': write RULE=reject, fail, warn or off")
        out[rule] = effect  # type: ignore[assignment]
    return out


def parse_variants(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the variants of `PROVIDER.NAME`, by provider; raises SettingError."""
    out: dict[str, tuple[str, ...]] = {}
    for text in texts:
        provider, dot, name = text.partition(".")
        if not dot or not name:
            raise SettingError(f"variant '{text}': write PROVIDER.NAME")
        out[provider] = (*out.get(provider, ()), name)
    return out


def parse_pairs(texts: Sequence[str], what: str) -> dict[str, str]:
    """Return the values of `PROVIDER=VALUE`, by provider; raises SettingError."""
    out = {}
    for text in texts:
        provider, equals, value = text.partition("=")
        if not equals or not value:
            raise SettingError(f"a {what} is written PROVIDER=VALUE")
        out[provider] = value
    return out
