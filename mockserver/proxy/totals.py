"""What passed, what did not and why, and what it comes to: the summary of a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mockserver.limits import number
from mockserver.wallets import SLACK
from validator.contract.expressions import Json
from validator.contract.model import Money
from validator.printing import plural


@dataclass(slots=True)
class Guard:
    """What may be spent at one provider, in its units: nothing, so much, or anything with a budget of None."""

    is_open: bool
    budget: float | None = None
    spent: float = 0.0
    unknown: int = 0

    def has(self, price: float | None) -> bool:
        """Tell whether a task of this price may still be made; one of an unknown price only without a budget."""
        if not self.is_open:
            return False
        return self.budget is None or (price is not None and self.spent + price <= self.budget + SLACK)

    def take(self, price: float | None) -> None:
        """Book a task that is about to be made."""
        self.spent = round(self.spent + (price or 0.0), 8)
        self.unknown += price is None

    def refund(self, units: float) -> None:
        """Take back what a task did not cost in the end."""
        self.spent = round(self.spent - units, 8)

    def give_back(self, price: float | None) -> None:
        """Take back the booking of a task that was not made."""
        self.spent = round(self.spent - (price or 0.0), 8)
        self.unknown -= price is None


@dataclass(slots=True)
class Totals:
    """Counts of one provider.

    `held` are those that were not sent for another reason than a refusal; `made` the tasks, `saved` the units that
    held-back requests would have taken; `surprises` answers that are not as the contract says.
    """

    passed: int = 0
    refused: int = 0
    held: int = 0
    unreached: int = 0
    made: int = 0
    surprises: int = 0
    saved: float = 0.0

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was asked."""
        return not (self.passed or self.refused or self.held or self.unreached)


def summary_json(totals: Mapping[str, Totals], guards: Mapping[str, Guard]) -> dict[str, Json]:
    """Return the same for machines, by provider; `units` and `saved` are units, the others counts."""
    return {
        name: {
            "passed": one.passed,
            "refused": one.refused,
            "held": one.held,
            "unanswered": one.unreached,
            "tasks": one.made,
            "unpriced": guards[name].unknown,
            "units": guards[name].spent,
            "saved": round(one.saved, 8),
            "surprises": one.surprises,
        }
        for name, one in totals.items()
    }


_HEAD: Final = ("provider", "passed", "refused", "held back", "no answer", "tasks", "units", "money", "saved")


def summary(
    totals: Mapping[str, Totals], guards: Mapping[str, Guard], money: Mapping[str, Money | None]
) -> str:
    """Return the table for the end, "" where nothing was asked; units are what tasks cost at most."""
    rows: list[tuple[str, ...]] = [_HEAD]
    notes = []
    for name, one in totals.items():
        if one.is_empty:
            continue
        guard, worth = guards[name], money[name]
        spent = f"{number(worth.worth(guard.spent))} {worth.currency}" if worth is not None else "-"
        counts = tuple(str(count) for count in (one.passed, one.refused, one.held, one.unreached, one.made))
        rows.append((name, *counts, str(number(guard.spent)), spent, str(number(one.saved))))
        if guard.unknown:
            notes.append(f"  {name}: {plural(guard.unknown, 'task')} of unknown price not among the units")
        if one.surprises:
            notes.append(
                f"  {name}: {plural(one.surprises, 'answer')} not as the contract says; see the journal"
            )
    if len(rows) == 1:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    title = "What was passed on, and what it costs by the prices of the spec, at most:"
    return "\n".join(
        ["", title, "", *(f"  {line.rstrip()}" for line in lines), *([""] if notes else []), *notes]
    )
