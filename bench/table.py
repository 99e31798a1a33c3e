"""Tables that read as text and as Markdown, and the statistics in them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, note: str = "") -> None:
    """Print a table with columns of equal width; all but the first are set to the right."""
    print(f"\n### {title}\n")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    print(_line(head, widths))
    print(_line(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], widths))
    for row in rows:
        print(_line(row, widths))
    if note:
        print(f"\n{note}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cells[0].ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join(padded)} |"


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Return how far the lowest and highest value lie from the middle, in percent of it."""
    middle = median(values)
    return f"{(min(values) / middle - 1) * 100:+.0f} to {(max(values) / middle - 1) * 100:+.0f} %"


def verdict(is_met: bool) -> str:
    """Return how a result compares with its aim."""
    return "met" if is_met else "missed"
