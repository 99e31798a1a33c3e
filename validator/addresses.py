"""Addresses: which provider a request is for, and the path as that provider would see it.

By the host, by the base URL of a mock server, or by the path where the host says nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from validator.contract.document import nearest
from validator.contract.model import Contract
from validator.request import HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The contracts that requests are judged by, by provider id.

    `provider` is the one that is meant whatever a URL says, `operation` the one that bodies without a URL
    are for; None where the requests themselves must tell.
    """

    contracts: Mapping[str, Contract]
    provider: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why it cannot be told what a request is for, and what to do; `is_ours`: it steers a mock server."""

    problem: str
    hint: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Whose request it is, and its path as that provider would see it."""

    contract: Contract
    path: str
    note: str = ""


_FILLED_IN: Final = re.compile(r"[$<{%]")


def recognise(request: HttpRequest, library: Library, *, is_archived: bool = False) -> Place | Unknown:
    """Find the provider by host, by the base URL of a mock server, or by the path where the host says nothing.

    An archived request stands among those to others: it is nobody's unless it is known to be somebody's.
    """
    parts = urlsplit(request.url)
    host = (parts.hostname or "").rstrip(".")
    owner = next((one for one in library.contracts.values() if host in one.hosts), None)
    path = request.path if request.path.startswith("/") else _below_base(request.path)
    if path == "/" != request.path:
        hint = "set it in the text before, or write the path behind it"
        return Unknown(f"the whole address is filled in later: {request.url[:80]}", hint)
    nobody = f"no provider has the host {host[:80]}"
    if owner is None:
        steps = _below_tenant(path)
        if _says_nothing(host) and steps and steps[0].startswith("__"):
            return Unknown(f"{path[:80]} is the mock server's own", "", is_ours=True)
        owner, path = _mounted(path, library)
    if library.provider is not None:
        forced = library.contracts[library.provider]
        if owner is not None and owner is not forced:
            return Unknown(f"the request is for {owner.id}, not for {forced.id}", "leave --provider out")
        if owner is None:
            placed = _by_path(forced, path)
            return placed or (Unknown(nobody, "") if is_archived else Place(forced, path))
    if owner is not None:
        return Place(owner, path)
    if not _says_nothing(host):
        if is_archived:
            return Unknown(nobody, "")
        known = ", ".join(one.hosts[0] for one in library.contracts.values())
        hint = nearest(host, [name for one in library.contracts.values() for name in one.hosts])
        return Unknown(nobody, hint or f"known: {known}; or give --provider")
    places = [place for one in library.contracts.values() if (place := _by_path(one, path)) is not None]
    if len(places) == 1:
        return replace(places[0], note=f"taken for {places[0].contract.id} by its path")
    names = ", ".join(place.contract.id for place in places)
    problem = f"the path {path[:80]} may be of {names}" if places else f"no provider has the path {path[:80]}"
    return Unknown(problem, f"give --provider, one of {', '.join(library.contracts)}")


def _below_base(path: str) -> str:
    """Return what follows a base URL that is filled in later: `$BASE/a/b` is /a/b."""
    return "/" + path.partition("/")[2]


def _below_tenant(path: str) -> list[str]:
    steps = path.split("/")[1:]
    return steps[2:] if len(steps) > 2 and steps[0] == "t" else steps


def _mounted(path: str, library: Library) -> tuple[Contract | None, str]:
    """Return (contract, path) of a mock server's base URL: /{provider}/... or /t/{tenant}/{provider}/...."""
    steps = _below_tenant(path)
    if steps and steps[0] in library.contracts:
        return library.contracts[steps[0]], "/" + "/".join(steps[1:])
    return None, path


@functools.lru_cache(maxsize=1_024)
def _says_nothing(host: str) -> bool:
    """Tell whether a host may stand for any provider: this machine, a name without a dot, a placeholder."""
    if not host or _FILLED_IN.search(host):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        is_local = "." not in host.removesuffix(".local").removesuffix(".internal")
        return is_local or host.endswith((".localhost", ".test"))


def _by_path(contract: Contract, path: str) -> Place | None:
    """Return the place of a path that is the provider's, alone, behind a prefix, or without the base path."""
    steps = path.split("/")[1:]
    for start in range(len(steps)):
        tail = "/" + "/".join(steps[start:])
        if _has_route(contract, tail):
            return Place(contract, tail)
    if contract.base_path and _has_route(contract, contract.base_path + path):
        return Place(contract, contract.base_path + path)
    return None


def _has_route(contract: Contract, path: str) -> bool:
    if path in contract.routes.exact:
        return True
    steps = path.split("/")
    return any(
        len(template) == len(steps)
        and all(part == step or (part is None and step) for part, step in zip(template, steps, strict=True))
        for template, _ in contract.routes.templated
    )


def mounted(host: str, path: str, library: Library) -> Place | None:
    """Return the place of a mock server's base URL on this machine or in its network, None for all else.

    Unlike :func:`recognise` it guesses nothing: a path alone makes nobody's request a provider's.
    """
    if not _says_nothing(host):
        return None
    owner, below = _mounted(path, library)
    return None if owner is None else Place(owner, below)
