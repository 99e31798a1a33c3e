"""One request on its way: looked at, refused or let go, and told what became of it.

Knows no HTTP library: each has its hook in a module of its own, and all of them call `Preflight.clear`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Final, Literal, get_args

from validator.contract import Contract, load, provider_names
from validator.contract.document import nearest
from validator.contract.model import Effect
from validator.preflight.guard import SpendGuard, Ticket
from validator.preflight.inspection import Inspection, Map, finding_text, inspect
from validator.preflight.problems import PreflightError, PreflightWarning, warn
from validator.printing import plural
from validator.report import printable

OnBad = Literal["refuse", "warn", "ignore"]

_NOTHING: Final[Mapping[str, str]] = {}


class Flight:
    """A request that may leave.  `inspection` is None where it is for no provider.

    Until it is told what became of it, it counts as perhaps taken.
    """

    __slots__ = ("_ticket", "inspection")

    def __init__(self, inspection: Inspection | None = None, ticket: Ticket | None = None) -> None:
        """Take what is known about it."""
        self.inspection, self._ticket = inspection, ticket

    def answered(self, status: int) -> None:
        """Say that an answer came, with this status: an error or a redirect cost nothing."""
        if self._ticket is not None:
            self._ticket.answered(status)

    def unsent(self) -> None:
        """Say that no connection was made, so that nobody can have taken it."""
        if self._ticket is not None:
            self._ticket.unsent()

    def repeated(self, status: int | None) -> None:
        """Say that the library sent it again by itself, and what came of that: a status, or None for no answer."""
        if self._ticket is not None:
            self._ticket.repeated(status)


_ANYBODYS: Final = Flight()


class Preflight:
    """Looks at requests before they leave; the hooks of all HTTP libraries take one.  Threads and tasks may share it.

    `providers` are ids of the library, spec files, or contracts that were loaded; none for the whole library.
    `variants` ("provider.variant") and `effects` (rule id to "reject", "fail", "warn" or "off") choose other
    readings, as the options of the command line do.

    `on_bad` says what becomes of a request that the provider would refuse, or take and fail: it is refused with
    PreflightError, or sent with a PreflightWarning, or sent ("ignore", which silences other findings too).  `strict`
    counts findings as bad that the provider lets pass; without it they are warnings.  `on_doubt` says the same of
    requests that cannot be judged: an operation the contract does not have, a body that is a stream.

    `gateways` maps base URLs that lead to a provider, a proxy's for instance, to its id; `stand_ins` are the origins
    of mock servers with a public name.  `guard` says what may be spent.  `now` tells the seconds since the epoch,
    time.time for instance, to judge the dates of tokens.  `on_look` is called with each Inspection.

    Raises SpecError and ValueError for settings that make no sense.
    """

    def __init__(
        self,
        *providers: str | PathLike[str] | Contract,
        on_bad: OnBad = "refuse",
        on_doubt: OnBad = "warn",
        strict: bool = False,
        variants: Sequence[str] = (),
        effects: Mapping[str, Effect] | None = None,
        gateways: Mapping[str, str] | None = None,
        stand_ins: Sequence[str] = (),
        guard: SpendGuard | None = None,
        now: Callable[[], float] | None = None,
        on_look: Callable[[Inspection], None] | None = None,
    ) -> None:
        """Load the contracts."""
        for name, value in (("on_bad", on_bad), ("on_doubt", on_doubt)):
            if value not in get_args(OnBad):
                raise ValueError(f"{name} is one of {', '.join(get_args(OnBad))}, not {value!r}")
        self.contracts = _contracts(providers, variants=_list("variants", variants), effects=effects or {})
        self._map = Map(self.contracts, gateways=gateways or {}, stand_ins=_list("stand_ins", stand_ins))
        self._on_bad, self._on_doubt, self._strict = on_bad, on_doubt, strict
        self.guard, self._now, self._on_look = guard, now, on_look
        if guard is not None:
            guard.check_names({*self.contracts, *provider_names()})

    def look(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NOTHING,
        body: bytes | str | None = b"",
        unseen: str = "",
    ) -> Inspection | None:
        """Return what is to be said about a request, None for one that is for no provider.  Never raises for any.

        `body` is the body as it is sent, None together with the reason in `unseen` where it cannot be looked at.
        """
        known = {name.lower(): value for name, value in headers.items()}
        if not url.isascii():
            # Half a character, which no library can send, cannot be shown either.
            url = url.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        site = self._map.find(url, known)
        if site is None:
            return None
        return inspect(
            method.upper(),
            url,
            site,
            headers=known,
            body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body,
            unseen="" if body is not None else unseen or "it cannot be read before it is sent",
            now=None if self._now is None else self._now(),
        )

    def clear(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NOTHING,
        body: bytes | str | None = b"",
        unseen: str = "",
    ) -> Flight:
        """Return the flight of a request that may leave; see :meth:`look`.

        Raises PreflightError for a bad one, SpendError for one that may not cost what it costs, and
        PreflightWarning where warnings are errors.
        """
        one = self.look(method, url, headers=headers, body=body, unseen=unseen)
        if one is None:
            return _ANYBODYS
        if self._on_look is not None:
            self._on_look(one)
        told = self._judge(one) if one.report.violations or one.unseen else []
        ticket = None if self.guard is None else self.guard.depart(one)
        for text in told:
            # Only now is it sure that it goes.
            try:
                warn(f"{printable(f'{one.method} {one.url}')} was sent although {text}")
            except PreflightWarning:
                if ticket is not None:
                    ticket.unsent()
                raise
        return Flight(one, ticket)

    def _judge(self, one: Inspection) -> list[str]:
        """Return what to warn about; raises PreflightError."""
        told: list[str] = []
        bad = one.report.violations if self._strict else one.report.errors
        if one.operation is None:
            self._act(self._on_doubt, one, one.doubt, told)
        elif bad:
            self._act(self._on_bad, one, _summary(one), told)
        elif one.report.violations and self._on_bad != "ignore":
            told.append(f"{_summary(one)}\n{one.text()}")
        if one.unseen:
            self._act(self._on_doubt, one, one.doubt, told)
        return told

    def _act(self, how: OnBad, one: Inspection, sentence: str, told: list[str]) -> None:
        if how == "ignore":
            return
        # Of an operation that the contract does not have there is no more to say.
        text = sentence if one.operation is None else one.text()
        if how == "warn":
            told.append(sentence if text == sentence else f"{sentence}\n{text}")
        else:
            raise PreflightError(
                f"{printable(f'{one.method} {one.url}')} was not sent: {sentence}",
                report=one.report,
                text=text,
                method=one.method,
                url=one.url,
                provider=one.contract.id,
                operation=one.operation.id if one.operation is not None else None,
            )


def _summary(one: Inspection) -> str:
    """Return the verdict and the first finding, in one line."""
    what = {
        "refused": "would refuse it",
        "fails": "would take it and fail the task",
        "accepted": "would take it, but",
    }
    first = next(iter(one.report.errors or one.report.violations))
    count = len(one.report.violations) - 1
    more = f"; and {plural(count, 'more finding')}" if count else ""
    return f"{one.target} {what[one.report.verdict]}: {finding_text(first)}{more}"


# --- contracts --------------------------------------------------------------------------------------------


def _contracts(
    providers: Sequence[str | PathLike[str] | Contract],
    *,
    variants: Sequence[str],
    effects: Mapping[str, Effect],
) -> dict[str, Contract]:
    """Return the contracts by id; raises SpecError, and ValueError for a setting that is about none of them."""
    for rule, effect in effects.items():
        if effect not in get_args(Effect):
            raise ValueError(f"the effect of {rule} is one of {', '.join(get_args(Effect))}, not {effect!r}")
    out = {}
    for source in providers or provider_names():
        plain = source if isinstance(source, Contract) else _loaded(source, (), ())
        own_variants = tuple(one.partition(".")[2] for one in variants if one.partition(".")[0] == plain.id)
        own_effects = tuple(
            (rule, effect) for rule, effect in effects.items() if rule.partition(".")[0] == plain.id
        )
        if isinstance(source, Contract):
            if own_variants or own_effects:
                raise ValueError(f"the contract of {plain.id} is loaded: give variants and effects to load()")
            out[plain.id] = source
        else:
            out[plain.id] = _loaded(source, own_variants, own_effects)
    for name in (*variants, *effects):
        owner = name.partition(".")[0]
        if owner not in out:
            hint = nearest(owner, out) or f"in use: {', '.join(out)}"
            raise ValueError(f"'{name}' is for no provider in use ({hint})")
    return out


def _loaded(
    source: str | PathLike[str], variants: tuple[str, ...], effects: tuple[tuple[str, Effect], ...]
) -> Contract:
    if isinstance(source, str) and source in provider_names():
        return _of_library(source, variants, effects)
    return load(source if isinstance(source, str) else Path(source), variants=variants, effects=dict(effects))


@functools.lru_cache(maxsize=64)
def _of_library(name: str, variants: tuple[str, ...], effects: tuple[tuple[str, Effect], ...]) -> Contract:
    """Return a contract of the library; a suite with a client for each test loads it once."""
    return load(name, variants=variants, effects=dict(effects))


def _list(name: str, value: Sequence[str]) -> Sequence[str]:
    """Return a list that was given; a text is one of letters, and never meant."""
    if isinstance(value, str):
        raise ValueError(f"{name} is a list: write [{value!r}]")
    return value
