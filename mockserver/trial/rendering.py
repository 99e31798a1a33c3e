"""Findings and exchanges as people and machines read them; credentials are left out as in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from mockserver.journal import Exchange, exchange_json
from mockserver.trial.conduct import Conduct
from mockserver.trial.laws import LAWS
from mockserver.trial.steps import is_lost
from mockserver.trial.verdicts import Finding
from validator.contract.expressions import Json
from validator.report import printable

MOST_BREACHES: Final = 20
"""Breaches of one law that are shown in a text; all stand in the JSON."""

_LONGEST_LINE: Final = 400

_SHOWN_HEADERS: Final = ("retry-after", "x-mock-scenario")


def finding_text(finding: Finding, conduct: Conduct | None = None) -> str:
    """Return a finding in lines: the law, then each breach; with the conduct, the exchanges that show it as well."""
    law = LAWS[finding.law]
    lines = [f"{finding.outcome}  {law.id}: {law.title}"]
    if finding.note:
        lines.append(f"  ({finding.note})")
    known: Mapping[str, Exchange] = {}
    if conduct is not None and finding.breaches:
        wanted = {name for breach in finding.breaches for name in breach.exchanges}
        known = {one.id: one for one in conduct.exchanges if one.id in wanted}
    for breach in finding.breaches[:MOST_BREACHES]:
        lines.append(f"  - {breach.sentence}")
        for name in breach.exchanges:
            if name in known and conduct is not None:
                lines += [f"      {line}" for line in exchange_lines(known[name], conduct)]
    more = len(finding.breaches) - MOST_BREACHES
    if more > 0:
        lines.append(f"  - and {more:,} more of the kind")
    if finding.outcome == "broken":
        lines += [f"  why     {law.why}", f"  as in   {law.source}"]
    return "\n".join(lines)


def finding_json(finding: Finding) -> dict[str, Json]:
    """Return a finding for machines."""
    law = LAWS[finding.law]
    return {
        "law": law.id,
        "title": law.title,
        "why": law.why,
        "source": law.source,
        "outcome": finding.outcome,
        "note": finding.note,
        "breaches": [
            {
                "sentence": one.sentence,
                "exchanges": list(one.exchanges),
                "task": one.task,
                "delivery": one.delivery,
            }
            for one in finding.breaches
        ],
    }


def exchange_lines(exchange: Exchange, conduct: Conduct | None = None) -> list[str]:
    """Return an exchange in a few lines: when, what was asked, what was answered; credentials are left out.

    With the conduct, times count from its first request in the client's seconds.
    """
    shown = exchange_json(exchange, _secret_headers(exchange, conduct))
    asked: Any = shown["request"]
    answered: Any = shown["response"]
    at = str(shown["at"])
    if conduct is not None:
        at = f"{conduct.pace.seconds(conduct.began, exchange.at):8.1f} s"
    status = str(answered["status"] or "no answer")
    if answered["status"] and is_lost(exchange):
        status += ", which did not arrive whole"
    lines = [f"{at}  {asked['method']} {_cut(asked['target'])} -> {status}  ({exchange.id})"]
    if asked["body"] is not None:
        lines.append(f"    sent      {_body(asked['body'])}")
    if answered["body"] is not None and exchange.method != "HEAD":
        lines.append(f"    answered  {_body(answered['body'])}")
    headers = [f"{name}: {value}" for name, value in answered["headers"] if name in _SHOWN_HEADERS]
    lines += [f"    with      {_cut(one)}" for one in headers]
    return lines


def _secret_headers(exchange: Exchange, conduct: Conduct | None) -> frozenset[str]:
    contract = conduct.contracts.get(exchange.provider) if conduct is not None else None
    operations = contract.operations.values() if contract is not None else ()
    return frozenset(one.header for operation in operations for one in operation.credentials)


def _body(value: Any) -> str:
    return _cut(value if isinstance(value, str) else orjson.dumps(value).decode())


def _cut(text: str) -> str:
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= _LONGEST_LINE else f"{flat[: _LONGEST_LINE - 1]}…"
