"""Laws on asking again after a refusal: not at once, not before one was told to, not where it is no use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Final

from mockserver.trial.conduct import Conduct
from mockserver.trial.polls import SLACK
from mockserver.trial.steps import NEVER, Step, header
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import count_text, request_text, seconds_text, when

LEAST_S: Final = 1.0
"""Seconds before the first attempt after a 429 or 5xx."""

LONG_ENOUGH_S: Final = 30.0
"""Seconds of a pause from which on it need not grow any more."""

GROWTH: Final = 1.2
"""By how much the longest later pause must exceed the first, in a row of three and more: chance is often added to
pauses, and rows of equal ones differ by less than this."""

DATE_SLACK_S: Final = 1.0
"""Seconds by which one may be early for a date: dates in headers have whole seconds."""


def invalid_requests(conduct: Conduct) -> Look:
    """Look for requests that the provider refuses, or lets fail, for what stands in them."""
    reached, breaches = 0, []
    for step in conduct.steps:
        if step.part == "file":
            continue
        reached += 1
        faults = [one for one in step.exchange.report.errors if _is_own(one.kind, one.reason, conduct)]
        if not faults or step.is_asked:
            continue
        first = faults[0]
        place = f"{first.field}: " if first.field else ""
        more = f" (and {count_text(len(faults) - 1, 'more finding')})" if len(faults) > 1 else ""
        what = "refuses" if first.effect == "reject" else "takes and lets fail"
        breaches.append(
            Breach(
                sentence=(
                    f"{request_text(step)} {when(conduct, step.exchange.at)} is one that the provider {what}:"
                    f" {place}{first.message} [{first.rule}]{more}; expected: nothing wrong with it"
                ),
                exchanges=(step.exchange.id,),
                task=step.exchange.task,
            )
        )
    return Look(reached=reached, breaches=breaches)


def _is_own(kind: str, reason: str, conduct: Conduct) -> bool:
    """Tell whether a finding is the client's own fault, not the state of things.

    A name that is taken is what protects a client that asks again; a token runs out early on a clock that runs fast.
    """
    if kind not in NEVER or kind in ("conflict", "quota-exhausted"):
        return False
    return not (reason in ("expired", "not-yet-valid") and conduct.speed != 1)


# --- who asks again ---


def _chains(conduct: Conduct, without: tuple[str, ...], *, are_names_one: bool) -> Iterator[list[Step]]:
    """Yield the requests that can follow from each other, those for the same thing that do not apart.

    A client with several jobs sends the same request for each of them, and what two jobs send at once is no retry.
    So it has as many hands as tasks under way, and for a wish as many as the baseline made tasks of it; each request
    is taken for that of the hand that has waited longest.  A name is always of one hand.  `are_names_one`: a new name
    follows from one that was refused and never sent again.
    """
    by_key: dict[bytes, list[Step]] = defaultdict(list)
    for step in conduct.steps:
        if step.part not in without:
            by_key[step.key].append(step)
    for steps in by_key.values():
        if len(steps) == 1:
            yield steps
            continue
        last = {step.name: index for index, step in enumerate(steps) if step.name}
        made = _usual(conduct, steps[0])
        chains: list[list[Step]] = []
        by_name: dict[bytes, list[Step]] = {}
        # In both, the one that has waited longest is first; `spare` are those whose name is not sent again.
        idle: dict[int, list[Step]] = {}
        spare: dict[int, list[Step]] = {}
        for index, step in enumerate(steps):
            own = by_name.get(step.name) if step.name else None
            if own is None:
                hands = conduct.under_way[step.exchange.id] if step.part in ("list", "other") else made
                if len(chains) >= max(hands, 1) and (made or are_names_one or not step.name):
                    own = next(iter((spare if step.name else idle).values()), None)
            if own is None:
                own = []
                chains.append(own)
            own.append(step)
            if step.name:
                by_name[step.name] = own
            for known in (idle, spare):
                known.pop(id(own), None)
            idle[id(own)] = own
            if step.nature != "ok" and last.get(step.name, index) == index:
                spare[id(own)] = own
        yield from chains


def _usual(conduct: Conduct, step: Step) -> int:
    """Return how many tasks the baseline made of a wish."""
    if conduct.baseline is None or not step.wish:
        return 0
    return sum(one.is_made for one in conduct.baseline.wishes.get(step.wish, ()))


# --- pauses -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Again:
    """An answer that asked to come back, and the same request when it came again, None where it did not."""

    first: Step
    second: Step | None
    wait_s: float | None
    pause_s: float


def _rows(conduct: Conduct) -> Iterator[list[Again]]:
    """Yield rows of the same request that follow each other and were all told to come back."""
    for steps in _chains(conduct, ("file", "stray"), are_names_one=True):
        row: list[Again] = []
        for index, step in enumerate(steps):
            if step.nature != "later":
                if row:
                    yield row
                row = []
                continue
            second = steps[index + 1] if index + 1 < len(steps) else None
            pause = conduct.pace.between(step.exchange, second.exchange) if second is not None else 0.0
            row.append(Again(step, second, _wait(conduct, step), pause))
        if row:
            yield row


def _wait(conduct: Conduct, step: Step) -> float | None:
    """Return the seconds that the answer's Retry-After asks for (RFC 9110, 10.2.3), None where it asks for none."""
    text = (header(step.exchange, b"retry-after") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        meant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    meant = meant.replace(tzinfo=meant.tzinfo or UTC)
    shown_ms = conduct.pace.client_ms(step.exchange.at)
    return max((meant - datetime.fromtimestamp(shown_ms / 1000, UTC)).total_seconds() - DATE_SLACK_S, 0.0)


def backs_off(conduct: Conduct) -> Look:
    """Look at the pauses after 429 and 5xx that no Retry-After decides."""
    reached, breaches = 0, []
    for row in _rows(conduct):
        # An error that comes with 200 asks for nothing that all clients know.
        own = [one for one in row if one.wait_s is None and one.first.exchange.status >= 400]
        reached += len(own)
        again = [one for one in own if one.second is not None]
        quick = [one for one in again if one.pause_s < LEAST_S * SLACK]
        if quick:
            worst = min(quick, key=lambda one: one.pause_s)
            breaches.append(_too_soon(conduct, worst, LEAST_S, len(quick)))
        elif not _is_growing([one.pause_s for one in again]):
            pauses = ", ".join(seconds_text(one.pause_s) for one in again[:8])
            breaches.append(
                Breach(
                    sentence=(
                        f"{request_text(again[0].first)} was refused {count_text(len(row), 'time')} in a row from"
                        f" {when(conduct, row[0].first.exchange.at).removeprefix('at ')} on, and sent again after"
                        f" {pauses}; expected: pauses that grow"
                    ),
                    exchanges=_ids(again),
                )
            )
    return Look(reached=reached, breaches=breaches)


def _is_growing(pauses: Sequence[float]) -> bool:
    if len(pauses) < 3 or min(pauses) >= LONG_ENOUGH_S:
        return True
    return max(pauses[1:]) >= pauses[0] * GROWTH


def _ids(row: Sequence[Again]) -> tuple[str, ...]:
    """Return the exchanges of a row, each once."""
    steps = [step for one in row for step in (one.first, one.second) if step is not None]
    return tuple(dict.fromkeys(step.exchange.id for step in steps))[:8]


def obeys_retry_after(conduct: Conduct) -> Look:
    """Look at the pauses after answers that say how long to wait."""
    reached, breaches = 0, []
    for row in _rows(conduct):
        for one in row:
            if one.wait_s is None:
                continue
            reached += 1
            if one.second is not None and one.pause_s < one.wait_s * SLACK:
                breaches.append(_too_soon(conduct, one, one.wait_s, 1))
    return Look(reached=reached, breaches=breaches)


def _too_soon(conduct: Conduct, one: Again, least_s: float, times: int) -> Breach:
    assert one.second is not None
    told = header(one.first.exchange, b"retry-after")
    said = f" and Retry-After: {told}" if told is not None else ""
    often = f", {count_text(times, 'time')} so" if times > 1 else ""
    return Breach(
        sentence=(
            f"{request_text(one.first)} was answered {one.first.exchange.status}{said}"
            f" {when(conduct, one.first.exchange.at)} and sent again after {seconds_text(one.pause_s)}{often};"
            f" expected: {seconds_text(least_s)} or more"
        ),
        exchanges=(one.first.exchange.id, one.second.exchange.id),
    )


# --- no use -----------------------------------------------------------------------------------------------


def useless_retries(conduct: Conduct) -> Look:
    """Look for requests that were sent again though they will never be taken."""
    reached, breaches = 0, []
    for steps in _chains(conduct, ("file",), are_names_one=False):
        reached += sum(step.nature == "never" for step in steps)
        pairs = [*pairwise(steps)]
        again = [
            pair
            for index, pair in enumerate(pairs)
            if _is_useless(*pair) and not _is_new_token(pairs[index - 1] if index else None, pair)
        ]
        if not again:
            continue
        first, second = again[0]
        breaches.append(
            Breach(
                sentence=(
                    f"{request_text(first)} was refused for good ({first.exchange.status}, {first.kind})"
                    f" {when(conduct, first.exchange.at)} and sent again unchanged"
                    f" {count_text(len(again), 'time')}, first {when(conduct, second.exchange.at)};"
                    " expected: not again"
                ),
                exchanges=(first.exchange.id, *(later.exchange.id for _, later in again[:3])),
            )
        )
    return Look(reached=reached, breaches=breaches)


def _is_useless(first: Step, second: Step) -> bool:
    """Tell whether a request that follows one that was refused for good asks for the same, unchanged."""
    if first.nature != "never" or first.refusal is None:
        return False
    unique = {one.pointer for one in first.operation.unique} if first.operation is not None else set()
    is_about_name = first.kind == "conflict" or first.refusal.instance_location in unique
    return not is_about_name or first.name == second.name


def _is_new_token(before: tuple[Step, Step] | None, pair: tuple[Step, Step]) -> bool:
    """Tell whether a request was sent again with a new token, which is how an old one is replaced, each time once."""
    return _is_renewed(*pair) and (before is None or not _is_renewed(*before))


def _is_renewed(first: Step, second: Step) -> bool:
    return first.kind == "unauthorized" and _credential(first) != _credential(second)


def _credential(step: Step) -> tuple[bytes, ...]:
    """Return the values of the headers that said who asks."""
    names = (
        {one.header.encode() for one in step.operation.credentials} if step.operation is not None else set()
    )
    return tuple(value for name, value in step.exchange.headers if name.lower() in names)
