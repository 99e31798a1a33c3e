"""What the client is told before an act: variables, and placeholders in its command line.

Pure: values in, texts out.  Which keys an act has follows from the seed and the act's name alone.

Exceptions::

    ValueError
    └── StagingError        a name or a placeholder that cannot be filled in: which, why, what would do
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mockserver.environment import Keys, base_url_of, keys_of, prefix_of, variables
from mockserver.rehearsal.acts import Act
from validator.contract.document import nearest
from validator.contract.model import Contract

KINDS: Final[Mapping[str, str]] = {
    "base-url": "base_url",
    "root-url": "root_url",
    "api-key": "api_key",
    "access-key": "access_key",
    "secret-key": "secret_key",
    "webhook-secret": "webhook_secret",
}
"""What can be told of a provider: the word of --name, the placeholder."""

PLACEHOLDER: Final = re.compile(r"\{(?:([A-Za-z0-9._-]+)\.)?(" + "|".join(KINDS.values()) + r"|act|seed)\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


class StagingError(ValueError):
    """What the client is to be told cannot be worked out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How the client is told: its command, pairs (kind, variable) of --name, pairs (variable, value) of --env.

    Texts may hold placeholders: {base_url}, or {PROVIDER.base_url} where there are several providers.
    """

    command: tuple[str, ...]
    is_shell: bool = False
    names: tuple[tuple[str, str], ...] = ()
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What one act hands to the program: words, variables, keys by provider, pairs (secret, what to call it)."""

    words: tuple[str, ...]
    variables: Mapping[str, str]
    keys: Mapping[str, Keys]
    secrets: tuple[tuple[str, str], ...]


def read_name(text: str) -> tuple[str, str]:
    """Return (kind, variable) of KIND=VARIABLE; raises StagingError."""
    kind, equals, variable = text.partition("=")
    if not equals or kind not in KINDS:
        hint = nearest(kind, KINDS) or f"there are {', '.join(KINDS)}"
        raise StagingError(f"--name '{text}': write KIND=VARIABLE ({hint})")
    shape = variable.replace("{PROVIDER}", "P").replace("{provider}", "p")
    if not _VARIABLE.fullmatch(shape):
        raise StagingError(f"--name '{text}': '{variable}' is no name of a variable")
    return kind, variable


def read_variable(text: str) -> tuple[str, str]:
    """Return (name, value) of NAME=VALUE; raises StagingError."""
    name, equals, value = text.partition("=")
    if not equals or not name or "\0" in text:
        raise StagingError(f"--env '{text}': write NAME=VALUE")
    return name, value


def cue(
    act: Act,
    telling: Telling,
    contracts: Mapping[str, Contract],
    *,
    origin: str,
    seed: int,
    webhook_secrets: Mapping[str, str],
    environment: Mapping[str, str],
) -> Cue:
    """Return what the program is handed in one act; raises StagingError.

    `environment` is what the program would have without us.
    """
    known: dict[str, dict[str, str]] = {}
    told = dict(environment)
    keys: dict[str, Keys] = {}
    for name, contract in contracts.items():
        own = keys[name] = keys_of(contract, f"{seed}:{act.id}", webhook_secret=webhook_secrets.get(name))
        url = base_url_of(contract, origin, act.tenant)
        told |= variables(contract, url, own)
        values = {
            "base_url": url,
            "root_url": url.removesuffix(contract.base_path),
            "api_key": own.api_key,
            "access_key": own.access_key,
            "secret_key": own.secret_key,
            "webhook_secret": own.webhook_secret,
        }
        known[name] = {kind: value for kind, value in values.items() if value is not None}
    common = {"act": act.id, "seed": str(seed)}
    for kind, variable in telling.names:
        for name, value in _named(kind, variable, known):
            told[name] = value
    for name, text in telling.extra:
        told[name] = filled(text, known, common, f"--env {name}")
    words = tuple(filled(word, known, common, "the command") for word in telling.command)
    told["UNDERSTUDY_ACT"] = act.id
    # What a program that is ended has not written yet is lost, and Python's writes nothing until the end.
    told.setdefault("PYTHONUNBUFFERED", "1")
    _pass_proxies_by(told)
    secrets = {
        value: f"{prefix_of(name)}_{kind}"
        for name, one in keys.items()
        for kind, value in (
            ("API_KEY", one.api_key),
            ("ACCESS_KEY", one.access_key),
            ("SECRET_KEY", one.secret_key),
            ("WEBHOOK_SECRET", one.webhook_secret),
        )
        if value is not None
    }
    return Cue(words=words, variables=told, keys=keys, secrets=tuple(secrets.items()))


def filled(text: str, known: Mapping[str, Mapping[str, str]], common: Mapping[str, str], where: str) -> str:
    """Return a text with its placeholders filled in; braces that mean something else stay.  Raises StagingError."""

    def value(found: re.Match[str]) -> str:
        provider, kind = found[1], found[2]
        if kind in common:
            return common[kind]
        if provider is None:
            if len(known) > 1:
                example = next(iter(known))
                raise StagingError(
                    f"{where}: {found[0]} of which provider? give --provider, or write {{{example}.{kind}}}"
                )
            provider = next(iter(known))
        if provider not in known:
            raise StagingError(
                f"{where}: {found[0]}: no provider is called '{provider}'"
                f" ({nearest(provider, known) or 'there are ' + ', '.join(known)})"
            )
        if kind not in known[provider]:
            raise StagingError(f"{where}: {provider} has no {kind} ({', '.join(known[provider])})")
        return known[provider][kind]

    return PLACEHOLDER.sub(value, text)


def _named(kind: str, variable: str, known: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the variables that a --name asks for."""
    is_each = "{PROVIDER}" in variable or "{provider}" in variable
    if len(known) > 1 and not is_each:
        raise StagingError(
            f"--name {kind}={variable}: of which provider? give --provider, or write it with {{PROVIDER}} in it"
        )
    missing = [name for name, values in known.items() if KINDS[kind] not in values]
    if len(missing) == len(known):
        raise StagingError(f"--name {kind}={variable}: {' and '.join(missing)} knows no {kind}")
    for name, values in known.items():
        if KINDS[kind] in values:
            yield (
                variable.replace("{PROVIDER}", prefix_of(name)).replace(
                    "{provider}", prefix_of(name).lower()
                ),
                values[KINDS[kind]],
            )


def _pass_proxies_by(told: dict[str, str]) -> None:
    """Let requests to this machine go past a proxy that the environment names: it would not find us."""
    if not any(name.lower() in _PROXIES and value for name, value in told.items()):
        return
    for name in ("no_proxy", "NO_PROXY"):
        passed = [one for one in told.get(name, "").split(",") if one]
        told[name] = ",".join([*passed, *(one for one in ("127.0.0.1", "localhost") if one not in passed)])


def shown_words(words: Sequence[str]) -> str:
    """Return a command as one types it."""
    import shlex

    return shlex.join(words)
