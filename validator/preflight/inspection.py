"""What is to be said about one request that is about to leave: whose it is, what is wrong, what it costs.

Knows contracts and URLs; knows no HTTP library, sends and counts nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from validator.addresses import Library, mounted
from validator.check import Examination, examine
from validator.contract.expressions import MISSING, Scope
from validator.contract.model import Contract, Operation
from validator.errors import Answer, refuse, render
from validator.keywords import Outcome, outcome, price_of
from validator.report import Report, Violation, printable
from validator.request import HttpRequest, parse_query

READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that change nothing.  Source: RFC 9110, 9.2.1."""

_MANY: Final = 4_096
"""Hosts that are remembered."""


_LONGEST_HOST: Final = 253
"""Characters of a host name (RFC 1035, 2.3.4, without the dot at the end)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a request goes: whose contract holds there, the path as the provider would see it.

    `is_paid` is False for a mock server.  `world` tells mock servers and their tenants apart, "" for paid hosts.
    """

    contract: Contract
    path: str
    is_paid: bool
    world: str = ""


class Map:
    """Which URL leads to whom: hosts of the providers and below, base URLs that were named, mock servers.

    `gateways` maps a base URL to the id of the provider it leads to; `stand_ins` are origins of mock servers
    that bear a public name.  Raises ValueError for a base URL that is none, and for an id that is not known.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        *,
        gateways: Mapping[str, str],
        stand_ins: Sequence[str],
    ) -> None:
        """Take what is known."""
        self._library = Library(contracts=contracts)
        self._owners = {host.lower(): one for one in contracts.values() for host in one.hosts}
        self._gateways: dict[tuple[str, int | None], list[tuple[str, Contract]]] = {}
        for url, name in gateways.items():
            if name not in contracts:
                raise ValueError(
                    f"{url} leads to no provider called '{name}' (known: {', '.join(contracts)})"
                )
            parts = _base(url)
            below = self._gateways.setdefault(_origin(parts.scheme, parts.netloc), [])
            below.append((parts.path.rstrip("/"), contracts[name]))
            # The longest first: a base URL may lie below another one.
            below.sort(key=lambda one: -len(one[0]))
        self._stand_ins = {_origin(*_base(url)[:2]) for url in stand_ins}
        self._known: dict[str, Contract | None] = {}

    def find(self, url: str, headers: Mapping[str, str]) -> Site | None:
        """Return where a URL leads, None for nobody's.  `headers` has lower-case names."""
        try:
            parts = urlsplit(url)
            origin = _origin(parts.scheme, parts.netloc)
        except ValueError:
            # No library can send this either, and each has its own words for it.
            return None
        path = parts.path or "/"
        if self._gateways and (below := self._gateways.get(origin)):
            for prefix, contract in below:
                if path == prefix or path.startswith(prefix + "/"):
                    return Site(contract=contract, path=_rooted(contract, path[len(prefix) :]), is_paid=True)
        named = headers.get("host")
        owner = self._owner(origin[0])
        if owner is None and named is not None and named != parts.netloc:
            # Called by its address, or by a name of one's own for it: the header says whom it is for.
            owner = self._owner(_named(named))
        if owner is not None:
            return Site(contract=owner, path=path, is_paid=True)
        place = mounted("" if origin in self._stand_ins else origin[0], path, self._library)
        if place is None:
            return None
        world = f"{parts.netloc.rpartition('@')[2]}{path.removesuffix(place.path)}"
        return Site(contract=place.contract, path=place.path, is_paid=False, world=world)

    def _owner(self, host: str) -> Contract | None:
        """Return whose host this is; one below a host of a provider is the provider's."""
        if host in self._known:
            return self._known[host]
        rest, owner = host, self._owners.get(host)
        while owner is None and "." in rest:
            rest = rest.partition(".")[2]
            owner = self._owners.get(rest)
        if len(self._known) >= _MANY:
            self._known.clear()
        self._known[host] = owner
        return owner


def _base(url: str) -> SplitResult:
    """Return the parts of a base URL; raises ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"'{url}' is no base URL: write http:// or https://, a host, and a path if there is one"
        )
    return parts


@functools.lru_cache(maxsize=_MANY)
def _origin(scheme: str, netloc: str) -> tuple[str, int | None]:
    """Return (host, port) the way a library would connect; raises ValueError for a port that is none."""
    parts = urlsplit(f"//{netloc}")
    port = parts.port
    if port is None:
        port = {"http": 80, "https": 443}.get(scheme)
    return _plain(parts.hostname or ""), port


def _plain(host: str) -> str:
    """Return a host name as it is looked up: small letters, no dot at the end, nothing encoded.

    urllib decodes %61, and names in other letters than ASCII may fold to one in ASCII (RFC 5891, 5.2).
    """
    host = unquote(host).strip().lower().rstrip(".")
    if not host.isascii() and len(host) <= _LONGEST_HOST:
        try:
            return host.encode("idna").decode()
        except UnicodeError:
            return host
    return host


def _named(header: str) -> str:
    """Return the host that a Host header names, "" for one that cannot be read."""
    try:
        return _plain(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return ""


def _rooted(contract: Contract, path: str) -> str:
    """Return a path with the provider's base path before it, which a base URL may have stood for."""
    base = contract.base_path
    if base and path != base and not path.startswith(base + "/"):
        return base + path
    return path or "/"


# --- one request ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Inspection:
    """What is known about a request before it leaves.

    `url` has no credentials and no query.  `is_paid`: it goes to the provider itself, not to a mock server.
    `price` is in the provider's own units, None for unknown; `is_create` where it may cost something.
    `unseen` says why the body could not be looked at, "" where it was.  `request` is what was looked at, its
    path as the provider would see it.
    """

    method: str
    url: str
    contract: Contract
    operation: Operation | None
    report: Report
    is_paid: bool
    is_create: bool
    price: float | None
    unseen: str
    world: str
    request: HttpRequest
    examination: Examination

    def __repr__(self) -> str:
        """Return it without the contract, which is long, and without the headers, which hold the credential."""
        return f"<Inspection {printable(f'{self.method} {self.url}')}: {self.target}, {self.report.verdict}>"

    @property
    def target(self) -> str:
        """Return whom it is for, as people say it: the provider, and the operation or what was asked for."""
        name = self.operation.id if self.operation is not None else f"{self.method} {self.request.path[:80]}"
        return printable(f"{self.contract.id} {name}")

    @property
    def doubt(self) -> str:
        """Return why it could not be judged, or not all of it, in one sentence; "" where it was."""
        if self.operation is not None:
            return f"the body was not looked at: {self.unseen}" if self.unseen else ""
        one = self.report.violations[0]
        hint = (
            f"; there are {one.allowed}" if one.allowed else f"; {one.suggestion}" if one.suggestion else ""
        )
        asked = f"{self.method} {self.request.path[:80]}"
        return printable(f"the contract of {self.contract.id} has no {asked}, and it was not checked{hint}")

    @property
    def answer(self) -> Answer | None:
        """Return what the provider would answer, None for a request it would take."""
        if self.report.verdict != "refused":
            return None
        # Only a request that stays here needs it.
        from validator.lint import StandIn

        out, contract = self.examination, self.contract
        host = contract.hosts[0] if contract.hosts else contract.id
        mock = StandIn(base_url=f"https://{host}{contract.base_path}", path=self.request.path)
        body = {} if out.body is MISSING else out.body
        scope = Scope(request=self.request, body=body, path=out.path, mock=mock)
        operation = self.operation.id if self.operation is not None else ""
        refusal = refuse(contract, self.report.violations, scope, operation=operation)
        return render(refusal, scope, accept=self.request.headers.get("accept", ""))

    @property
    def outcome(self) -> Outcome | None:
        """Return price and clip of a body that the contract's table covers, None otherwise."""
        return None if self.operation is None else _outcome(self.operation, self.examination)

    def text(self, *, colour: bool = False) -> str:
        """Return everything in words, as `understudy lint` prints it."""
        from validator.found import Found
        from validator.lint import Judgement, judgement_text

        label = printable(f"{self.method} {self.url}")
        failing = next((one for one in self.report.violations if one.effect == "fail"), None)
        found = Found(label=label, request=self.request, has_body=not self.unseen)
        shown = Judgement(found=found, contract=self.contract, report=self.report, answer=self.answer)
        if self.report.verdict == "fails" and failing is not None:
            shown = replace(shown, failure=failing.failure or failing.message)
        elif self.report.verdict == "accepted" and self.is_create and self.price is not None:
            shown = replace(shown, made=self.outcome)
        return judgement_text(shown, colour=colour)


def inspect(
    method: str,
    url: str,
    site: Site,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    unseen: str,
    now: float | None,
) -> Inspection:
    """Return what is to be said about a request; `body` None with the reason in `unseen`.

    `headers` has lower-case names; `now` in seconds since the epoch, None to leave dates of tokens unjudged.
    """
    parts = urlsplit(url)
    coding = headers.get("content-encoding", "")
    if body and coding and coding.lower() != "identity":
        body, unseen = None, f"it is packed ({coding[:40]})"
    contract = site.contract
    request = HttpRequest(
        method=method,
        path=site.path,
        url=url,
        headers=headers,
        query=parse_query(parts.query),
        body=body or b"",
    )
    out = examine(contract, request, now=now)
    operation = out.operation
    report = out.report
    if operation is None:
        unseen = ""
    elif body is None:
        unseen = "" if operation.body is None else unseen
        report = _without_body(report, unseen)
    elif operation.body is None:
        unseen = ""
    role = operation.role if operation is not None else None
    is_create = role == "create" or (role is None and method not in READING)
    return Inspection(
        method=method,
        url=_shown(parts),
        contract=contract,
        operation=operation,
        report=report,
        is_paid=site.is_paid,
        is_create=is_create,
        price=0 if not is_create else None if operation is None else _price(operation, out),
        unseen=unseen,
        world=site.world,
        request=request,
        examination=out,
    )


def _shown(parts: SplitResult) -> str:
    """Return a URL without what may be secret in it."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _without_body(report: Report, unseen: str) -> Report:
    """Return the report without what was said about a body that is there and was not seen."""
    kept = tuple(one for one in report.violations if one.kind != "malformed")
    more = (f"the body ({unseen})",) if unseen else ()
    return replace(report, violations=kept, unchecked=(*report.unchecked, *more))


def _outcome(operation: Operation, out: Examination) -> Outcome | None:
    if operation.body is None or not isinstance(out.body, dict):
        return None
    return outcome(operation.body, out.body, out.pictures, out.row)


def _price(operation: Operation, out: Examination) -> float | None:
    """Return what a request costs, None where the contract does not say."""
    if operation.body is None or not isinstance(out.body, dict):
        return None
    return price_of(operation.body, out.body, out.pictures, out.row)


def finding_text(one: Violation) -> str:
    """Return a finding in one line."""
    where = one.field if one.place == "body" else f"{one.place} {one.instance_location}".rstrip()
    where = "credential" if one.kind == "unauthorized" else where or "request"
    more = f" (found {one.found})" if one.found else ""
    if one.suggestion:
        more += f"; {one.suggestion}" if one.suggestion.startswith("did you") else f"; try {one.suggestion}"
    return printable(f"{where}: {one.message}{more}")
