"""The law on spending: one wish, one task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mockserver.trial.conduct import Conduct
from mockserver.trial.steps import Step
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import count_text, when

LOST = frozenset(("later", "garbled", "lost"))
"""What an answer is after which a client cannot know that there is a task."""


def one_task_per_wish(conduct: Conduct) -> Look:
    """Look for tasks beyond the one that each wish is worth, or beyond those of the baseline."""
    reached, breaches = 0, []
    for wish, steps in conduct.wishes.items():
        made = [step for step in steps if step.is_made]
        reached += bool(made)
        counted = _counted(conduct, made)
        expected = _expected(conduct, wish)
        if expected is None:
            # A name of its own makes a wish another one, unless it comes after an answer that said nothing.
            counted = _without_other_names(conduct, counted, steps)
            expected = 1
        if len(counted) > expected:
            breaches.append(_breach(conduct, counted, expected))
    baseline = conduct.baseline
    if not breaches and baseline is not None:
        breaches += _beyond(conduct, baseline)
    return Look(reached=reached, breaches=breaches)


def _expected(conduct: Conduct, wish: bytes) -> int | None:
    """Return how many tasks the baseline made of a wish, None where it did not have that one."""
    if conduct.baseline is None:
        return None
    known = sum(step.is_made for step in conduct.baseline.wishes.get(wish, ()))
    return known or None


def _counted(conduct: Conduct, made: Sequence[Step]) -> list[Step]:
    """Return the creates that add up: one that follows a task the client knew to have failed is a new attempt."""
    out: list[Step] = []
    for step in made:
        if out and _is_known_to_fail(conduct, out[-1], step.exchange.at):
            out.pop()
        out.append(step)
    return out


def _is_known_to_fail(conduct: Conduct, step: Step, before: int) -> bool:
    return any(
        one.is_end and one.outcome != "success" and one.at <= before
        for one in conduct.told.get(step.exchange.task or "", ())
    )


def _without_other_names(conduct: Conduct, made: list[Step], steps: Sequence[Step]) -> list[Step]:
    """Return the longest run of creates that can only be attempts at one wish.

    A name that is sent again later, or whose task is read, was not given up for another one.
    """
    last = {step.name: step.exchange.id for step in steps}
    runs: list[list[Step]] = [made[:1]] if made else []
    for first, second in pairwise(made):
        is_followed = last[first.name] != first.exchange.id or first.exchange.task in conduct.reads
        if first.name == second.name or (first.nature in LOST and not (first.name and is_followed)):
            runs[-1].append(second)
        else:
            runs.append([second])
    return max(runs, key=len, default=[])


def _breach(conduct: Conduct, made: list[Step], expected: int) -> Breach:
    first, second = made[0], made[expected]
    lost = next((step for step in made if step.nature in LOST), None)
    why = ""
    if lost is not None:
        why = f" after the answer to one {when(conduct, lost.exchange.at)} did not say so ({_what(lost)})"
    return Breach(
        sentence=(
            f"{count_text(len(made), 'task')} were made for one wish: {first.exchange.task}"
            f" {when(conduct, first.exchange.at)}, {second.exchange.task} {when(conduct, second.exchange.at)}{why};"
            f" expected: {count_text(expected, 'task')}, each is paid for"
        ),
        exchanges=tuple(step.exchange.id for step in made[:8]),
        task=second.exchange.task,
    )


def _what(step: Step) -> str:
    met = next(iter(step.met), "")
    return met or (f"HTTP {step.exchange.status}" if step.exchange.status else "no answer")


def _beyond(conduct: Conduct, baseline: Conduct) -> list[Breach]:
    """Return a breach where there are more tasks than in the baseline, whatever was asked for.

    For clients that never send the same body twice: a random seed, a date in a text.
    """
    made = _counted_all(conduct)
    expected = sum(step.is_made for step in baseline.steps)
    if len(made) <= expected or not expected:
        return []
    return [
        Breach(
            sentence=(
                f"{count_text(len(made), 'task')} were made, the last {when(conduct, made[-1].exchange.at)};"
                f" expected: {expected:,}, as where nothing goes wrong"
            ),
            exchanges=tuple(step.exchange.id for step in made[:8]),
            task=made[-1].exchange.task,
        )
    ]


def _counted_all(conduct: Conduct) -> list[Step]:
    return _counted(conduct, [step for step in conduct.steps if step.is_made])
