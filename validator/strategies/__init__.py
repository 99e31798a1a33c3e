"""Hypothesis strategies for what an operation takes, refuses and answers.

Everything is constructed from the compiled contract: no example is drawn and thrown away.  Hypothesis is imported
when a strategy is asked for, and only in this package; :func:`smallest` and what tells about rules do without.
"""

from validator.strategies.answers import Course, Reply
from validator.strategies.asking import (
    bodies,
    breakable,
    from_operation,
    lifecycles,
    reasons,
    refusals,
    refused,
    responses,
    sendings,
    smallest,
    unavoidable,
    violating,
)

__all__ = [
    "Course",
    "Reply",
    "bodies",
    "breakable",
    "from_operation",
    "lifecycles",
    "reasons",
    "refusals",
    "refused",
    "responses",
    "sendings",
    "smallest",
    "unavoidable",
    "violating",
]
