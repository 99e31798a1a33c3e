"""The client on trial: what a client did in a tenant, and which laws it kept.

`conduct_of` reads a tenant, `judge` looks at what it read.  The state machine for Hypothesis is in
`mockserver.trial.stateful`, which needs the extra `test`.
"""

from mockserver.trial.conduct import Call, Conduct, Pace, Program, conduct_of
from mockserver.trial.laws import LAWS, LawError, judge
from mockserver.trial.rendering import exchange_lines, finding_json, finding_text
from mockserver.trial.verdicts import Breach, Finding, Law

__all__ = [
    "LAWS",
    "Breach",
    "Call",
    "Conduct",
    "Finding",
    "Law",
    "LawError",
    "Pace",
    "Program",
    "conduct_of",
    "exchange_lines",
    "finding_json",
    "finding_text",
    "judge",
]
