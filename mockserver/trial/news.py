"""Laws on callbacks: they come more than once and in any order, and anybody can send one."""

from __future__ import annotations

from collections import defaultdict

from mockserver.trial.conduct import Call, Conduct
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import count_text, seconds_text, when


def callbacks_at_least_once(conduct: Conduct) -> Look:
    """Look at callbacks that came again, or after later ones."""
    reached, breaches = 0, []
    by_delivery: dict[str, list[Call]] = defaultdict(list)
    by_task: dict[str, list[Call]] = defaultdict(list)
    for call in conduct.calls:
        if not call.flaw:
            by_delivery[call.delivery].append(call)
            by_task[call.task].append(call)
    for calls in by_delivery.values():
        first = next((index for index, call in enumerate(calls) if call.is_taken), None)
        again = calls[first + 1 :] if first is not None else []
        # Where nobody answered, nobody may have been there any more.
        again = [call for call in again if call.status is not None]
        reached += len(again)
        breaches += [
            _refused(conduct, call, "that it had taken before") for call in again if not call.is_taken
        ]
        breaches += _fetched_again(conduct, again)
    for calls in by_task.values():
        latest = -1
        for call in calls:
            is_late = call.number == 0 and call.due < latest
            if is_late and call.status is not None:
                reached += 1
                if not call.is_taken:
                    breaches.append(_refused(conduct, call, "that came after a later one"))
            if call.is_taken:
                latest = max(latest, call.due)
    return Look(reached=reached, breaches=breaches)


def _refused(conduct: Conduct, call: Call, which: str) -> Breach:
    return Breach(
        sentence=(
            f"a callback {which} (task {call.task}, '{call.state}') was answered {call.status}"
            f" {when(conduct, call.at)}; expected: 2xx, because what is not taken is sent again"
        ),
        task=call.task,
        delivery=call.delivery,
    )


def _fetched_again(conduct: Conduct, again: list[Call]) -> list[Breach]:
    """Return a breach where a file that was there was fetched once more after a callback came again."""
    if not again:
        return []
    task, at = again[0].task, again[0].at
    whole = [
        step for step in conduct.fetches.get(task, ()) if step.nature == "ok" and step.exchange.status == 200
    ]
    before = [step for step in whole if step.exchange.at < at]
    after = [step for step in whole if step.exchange.at >= at]
    usual = _usual_fetches(conduct)
    if not before or len(before) + len(after) <= usual:
        return []
    return [
        Breach(
            sentence=(
                f"the result of task {task} was fetched {count_text(len(after), 'more time')} after a callback"
                f" came again {when(conduct, at)}; expected: what was done for a delivery is done once"
            ),
            exchanges=(before[-1].exchange.id, *(step.exchange.id for step in after[:3])),
            task=task,
            delivery=again[0].delivery,
        )
    ]


def _usual_fetches(conduct: Conduct) -> int:
    """Return how often the client fetches a file where nothing goes wrong."""
    if conduct.baseline is None:
        return 1
    return max((len(steps) for steps in conduct.baseline.fetches.values()), default=1)


_WORDS = {
    "forged": "whose signature is wrong",
    "stale": "that was signed long ago",
    "unsigned": "without a signature",
}


def checks_signatures(conduct: Conduct) -> Look:
    """Look at what was answered to callbacks that are not the provider's, and what was done because of them."""
    reached, breaches = 0, []
    for call in conduct.calls:
        if not call.flaw or call.status is None:
            continue
        reached += 1
        if call.is_taken:
            breaches.append(
                Breach(
                    sentence=(
                        f"a callback {_WORDS[call.flaw]} (task {call.task}, '{call.state}') was answered"
                        f" {call.status} {when(conduct, call.at)}; expected: a refusal, 401 for instance,"
                        " because anybody can send it"
                    ),
                    task=call.task,
                    delivery=call.delivery,
                )
            )
    for task in {call.task for call in conduct.calls if call.flaw and not call.is_taken}:
        breaches += _fetched_because(conduct, task)
    return Look(reached=reached, breaches=breaches)


def _fetched_because(conduct: Conduct, task: str) -> list[Breach]:
    """Return a breach where a file was fetched that the client knew of by a callback alone that it refused."""
    bad = [call for call in conduct.calls if call.task == task and call.flaw and call.told is not None]
    told = [call for call in bad if call.told is not None and call.told.has_url]
    fetched = next((step for step in conduct.fetches.get(task, ()) if told), None)
    if fetched is None:
        return []
    at = fetched.exchange.at
    known = any(one.has_url and one.at <= at for one in conduct.told.get(task, ()))
    because = next((call for call in told if call.at <= at), None)
    if known or because is None:
        return []
    pause = conduct.pace.seconds(because.at, at)
    return [
        Breach(
            sentence=(
                f"the result of task {task} was fetched {seconds_text(pause)} after a callback"
                f" {_WORDS[because.flaw]}, which alone had told where it is; expected: nothing is done because of it"
            ),
            exchanges=(fetched.exchange.id,),
            task=task,
            delivery=because.delivery,
        )
    ]
