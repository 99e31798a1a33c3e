"""Laws on the file behind a result URL: it is fetched in time, and looked at."""

from __future__ import annotations

from mockserver.tasks import Task, state_at
from mockserver.trial.conduct import Conduct
from mockserver.trial.steps import Told
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import count_text, when


def _expires(conduct: Conduct, task: Task) -> int | None:
    """Return when the file of a task goes (milliseconds), None where it stays."""
    operation = conduct.operation(task)
    if operation is None or operation.lifecycle is None or operation.lifecycle.result_expires is None:
        return None
    entered, _ = state_at(task.timeline, conduct.ended - task.created)
    return task.created + entered + operation.lifecycle.result_expires


def fetches_before_expiry(conduct: Conduct) -> Look:
    """Look at every task whose result the client was told of and whose file goes."""
    reached, breaches = 0, []
    for name, task in conduct.tasks.items():
        expires = _expires(conduct, task)
        told = next((one for one in conduct.told.get(name, ()) if _counts(conduct, one)), None)
        if expires is None or told is None:
            continue
        fetches = conduct.fetches.get(name, ())
        if any(step.nature == "ok" for step in fetches):
            reached += 1
            continue
        tried = [step for step in fetches if step.exchange.at < expires]
        if tried:
            # It came in time, and what it got is another law's.
            continue
        is_over = conduct.program is not None and conduct.program.has_ended
        late = [step for step in fetches if step.exchange.at >= expires]
        if not late and not is_over and conduct.ended < expires:
            continue
        reached += 1
        left = conduct.pace.seconds(told.at, expires)
        what = (
            f"was asked for only {when(conduct, late[0].exchange.at)}, when it was gone"
            if late
            else "was not fetched"
        )
        breaches.append(
            Breach(
                sentence=(
                    f"the result of task {name} {what}; its address was told {when(conduct, told.at)}"
                    f" and is good for {left:,.0f} s; expected: the file is fetched before that"
                ),
                exchanges=tuple(step.exchange.id for step in late[:2]) or (told.source,),
                task=name,
            )
        )
    return Look(reached=reached, breaches=breaches)


def _counts(conduct: Conduct, told: Told) -> bool:
    """Tell whether the client has to fetch what it was told of.

    A callback alone is enough for a client that reads nothing: others may take it for a hint, and read what is true.
    """
    return told.is_result and told.is_plain and (told.by != "callback" or told.task not in conduct.asked)


def notices_broken_results(conduct: Conduct) -> Look:
    """Look at fetches that brought no file, or half of one, and at what the client made of it."""
    program = conduct.program
    assert program is not None
    reached, breaches = 0, []
    if not program.has_ended:
        return Look(reached=0, note="the program did not end by itself")
    for name, steps in conduct.fetches.items():
        bad = [step for step in steps if step.nature != "ok"]
        if not bad:
            continue
        reached += 1
        if any(step.nature == "ok" for step in steps) or program.exit_code != 0:
            continue
        first = bad[0].exchange
        how = "broke off in the middle" if bad[0].nature == "lost" else f"was answered {first.status}"
        breaches.append(
            Breach(
                sentence=(
                    f"the fetch of the result of task {name} {how} {when(conduct, first.at)}"
                    f" ({count_text(len(bad), 'attempt')}), no other brought it, and"
                    " the program ended with 0; expected: it fetches again or says that there is no file"
                ),
                exchanges=tuple(step.exchange.id for step in bad[:3]),
                task=name,
            )
        )
    return Look(reached=reached, breaches=breaches)
