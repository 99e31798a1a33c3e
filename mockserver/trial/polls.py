"""Laws on reading a task again: not too fast, not after its end, not for ever."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Final

from mockserver.trial.conduct import Conduct
from mockserver.trial.steps import Step
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import count_text, request_text, seconds_text, when

LEAST_S: Final = 1.0
"""Seconds between two reads of one task.

assumption: no provider's page has a least interval (one advises 5 to 10 seconds, none refuses a quicker read for
being quick), so this is what hardly anybody would call too slow.
"""

SLACK: Final = 0.9
"""The part of a pause that has to be seen: a server notices a request later than it was sent, now more, now less."""

SPARE_READS: Final = 1
"""Reads after the end that are let pass: a client in two parts waits with one read and takes the result with another,
and a read may have been under way when the end was told."""

FOREVER_S: Final = 12 * 3600.0
"""Seconds of the client's after which a task that does not end should have been given up.

assumption: real ones take minutes, and nobody waits over night for one.
"""


def polls_not_too_fast(conduct: Conduct) -> Look:
    """Look at the pauses between reads of the same task that found it under way."""
    reached, breaches = _lists_too_fast(conduct)
    for task, steps in conduct.reads.items():
        quick: list[tuple[float, Step, Step]] = []
        for first, second in pairwise(steps):
            if first.nature != "ok" or _is_over(first):
                continue
            reached += 1
            pause = conduct.pace.between(first.exchange, second.exchange)
            if pause < LEAST_S * SLACK:
                quick.append((pause, first, second))
        if quick:
            pause, first, second = min(quick, key=lambda one: one[0])
            breaches.append(
                Breach(
                    sentence=(
                        f"task {task} was read again {count_text(len(quick), 'time')} within"
                        f" {seconds_text(LEAST_S)}, the soonest after {seconds_text(pause)}"
                        f" ({when(conduct, second.exchange.at)}); expected: {seconds_text(LEAST_S)} or more"
                        " between two reads of a task that is under way"
                    ),
                    exchanges=(first.exchange.id, second.exchange.id),
                    task=task,
                )
            )
    return Look(reached=reached, breaches=breaches)


def _lists_too_fast(conduct: Conduct) -> tuple[int, list[Breach]]:
    """Look at lists that are read for the tasks in them: each task under way is worth one a second, and one more."""
    reached = 0
    quick: list[tuple[float, int, Step, Step]] = []
    by_key: dict[bytes, list[Step]] = defaultdict(list)
    for step in conduct.steps:
        if step.part == "list" and step.nature == "ok":
            by_key[step.key].append(step)
    for steps in by_key.values():
        for index, first in enumerate(steps):
            if first.told and all(one.is_end for one in first.told):
                continue
            hands = conduct.under_way[first.exchange.id]
            if hands and index + 1 < len(steps):
                reached += 1
            if hands and index + hands + 1 < len(steps):
                second = steps[index + hands + 1]
                pause = conduct.pace.between(first.exchange, second.exchange)
                if pause < LEAST_S * SLACK:
                    quick.append((pause, hands, first, second))
    if not quick:
        return reached, []
    pause, hands, first, second = min(quick, key=lambda one: one[0])
    return reached, [
        Breach(
            sentence=(
                f"{request_text(first)} was sent {count_text(hands + 2, 'time')} within {seconds_text(pause)}"
                f" ({when(conduct, second.exchange.at)}) with {count_text(hands, 'task')} under way;"
                f" expected: {seconds_text(LEAST_S)} or more between two reads for one task"
            ),
            exchanges=(first.exchange.id, second.exchange.id),
        )
    ]


def _is_over(step: Step) -> bool:
    return any(one.is_end for one in step.told)


def stops_at_final_state(conduct: Conduct) -> Look:
    """Look for reads of a task after a read that told its end."""
    reached, breaches = 0, []
    for task, steps in conduct.reads.items():
        end = next((index for index, step in enumerate(steps) if _is_told_whole(step)), None)
        if end is None:
            continue
        reached += 1
        # Whoever finds a file gone asks for its address once more, each time.
        excused = sum(
            step.nature != "ok" and step.exchange.at >= steps[end].exchange.at
            for step in conduct.fetches.get(task, ())
        )
        later = steps[end + 1 :]
        if len(later) > SPARE_READS + excused:
            told = next(one for one in steps[end].told if one.is_end)
            breaches.append(
                Breach(
                    sentence=(
                        f"task {task} was read {count_text(len(later), 'more time')} after it was told to be"
                        f" '{told.word}' {when(conduct, told.at)}, the last {when(conduct, later[-1].exchange.at)};"
                        f" expected: no more than {count_text(SPARE_READS, 'read')}, because that state is final"
                    ),
                    exchanges=(steps[end].exchange.id, *(step.exchange.id for step in later[:3])),
                    task=task,
                )
            )
    return Look(reached=reached, breaches=breaches)


def _is_told_whole(step: Step) -> bool:
    """Tell whether a read told the end, and with it all that the client waits for."""
    return any(one.is_end and one.is_plain and (one.outcome != "success" or one.has_url) for one in step.told)


def gives_up_in_finite_time(conduct: Conduct) -> Look:
    """Look at tasks whose end the client was never told, and whether it stopped by itself."""
    program = conduct.program
    # A task that the client never heard of is not one that it waits for.
    open_tasks = [task for task in conduct.tasks if conduct.told.get(task) and not conduct.has_end(task)]
    breaches = []
    if program is not None and program.timed_out:
        limit = f" of {seconds_text(program.limit_s)}" if program.limit_s is not None else ""
        last = conduct.exchanges[-1] if conduct.exchanges else None
        waiting = f", waiting for task {open_tasks[0]}" if open_tasks else ""
        asked = f"; its last request was {when(conduct, last.at)}" if last is not None else ""
        breaches.append(
            Breach(
                sentence=(
                    f"the program was still running when its time{limit} was up{waiting}{asked};"
                    " expected: it gives up by itself and says so"
                ),
                exchanges=(last.id,) if last is not None else (),
                task=open_tasks[0] if open_tasks else None,
            )
        )
    elif conduct.has_pauses:
        breaches = [*_endless(conduct, open_tasks)]
    is_over = program is not None and program.has_ended
    return Look(reached=len(open_tasks) if is_over else 0, breaches=breaches)


def _endless(conduct: Conduct, open_tasks: list[str]) -> list[Breach]:
    out = []
    for task in open_tasks:
        steps = conduct.reads.get(task, ())
        if not steps:
            continue
        made = conduct.tasks[task].created
        waited = conduct.pace.seconds(made, steps[-1].exchange.at)
        if waited > FOREVER_S:
            out.append(
                Breach(
                    sentence=(
                        f"task {task} was still read {seconds_text(waited)} after it was made, and had not ended;"
                        f" expected: it is given up within {seconds_text(FOREVER_S)}"
                    ),
                    exchanges=(steps[0].exchange.id, steps[-1].exchange.id),
                    task=task,
                )
            )
    return out
