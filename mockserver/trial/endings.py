"""Laws on how a program ends: what it says, and whether its exit code tells the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from mockserver.scenarios import SCENARIOS
from mockserver.trial.conduct import Conduct, Program
from mockserver.trial.steps import Step, leaves
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import request_text, short, when

UNSURE: Final = frozenset(("unknown-status", "success-without-url"))
"""Scenarios of tasks whose answers can be read, and say nothing that a client may take for success."""

_PYTHON: Final = re.compile(r"(?:^|\n)Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*\S.*")
"""A Python traceback with its last line, of which nobody chose a word for the reader."""

_RULED: Final = re.compile(
    # Frames of JavaScript, Java, C#: "    at call (file:1:2)", and what Node prints around them.
    r"^[ \t]+at .*$|^Node\.js v[\d.]+$|^node:internal.*$|^file:///.*:\d+$|^/.*\.[cm]?[jt]s:\d+$|^[ \t]*\^+[ \t]*$"
    r"|^[ \t]*throw .*$|^Thrown at:$"
    # Go, Rust and Java at their ends.
    r"|^goroutine \d+ .*$|^\t.*\.go:\d+.*$|^thread '.*' panicked at .*$|^Exception in thread .*$|^exit status \d+$"
    r"|^(?:Uncaught )?(?:[A-Z]\w*)?(?:Error|Exception)(?::.*| \[.*)?$|^panic: .*$"
    r"|^During handling of the above exception.*$|^The above exception was the direct cause.*$",
    re.MULTILINE,
)
"""What a runtime prints of an error that nobody caught."""

_STACK: Final = re.compile(
    r"^[ \t]+at |^Node\.js v\d|^node:internal|^goroutine \d|^thread '|^Exception in thread |^panic: ",
    re.MULTILINE,
)
"""What shows that there is a stack trace: without one, "Error: no credit" is what somebody chose to say."""

_CHOSEN: Final = re.compile(r"^(?:[A-Z]\w*)?(?:Error|Exception): .*?[^\W\d_]{2}", re.MULTILINE)

_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_LONGEST_OUTPUT: Final = 200_000


def silence(program: Program) -> str:
    """Return what is wrong with what a failed program said, "" where a person could read it."""
    text = program.output.strip()
    if not text:
        return "wrote nothing"
    text = _PYTHON.sub("", text[-_LONGEST_OUTPUT:].replace("\r\n", "\n"))
    is_chosen = not _STACK.search(text) and _CHOSEN.search(text)
    if not is_chosen and not _WORD.search(_RULED.sub("", text)):
        return "wrote nothing but a stack trace"
    return ""


def _failures(conduct: Conduct) -> Iterator[tuple[Step | None, str, str]]:
    """Yield what the client was plainly told to have failed: (the exchange, the task or "", what)."""
    for wish, steps in conduct.wishes.items():
        if any(conduct.has_result(step.exchange.task or "") for step in steps):
            continue
        refused = [step for step in steps if step.refusal is not None and step.nature in ("never", "later")]
        ended = [
            (step, one)
            for step in steps
            for one in conduct.told.get(step.exchange.task or "", ())
            if one.is_end and one.outcome != "success"
        ]
        del wish
        if ended:
            step, one = ended[-1]
            yield step, one.task, f"task {one.task} was told to be '{one.word}' {when(conduct, one.at)}"
        elif refused and not any(step.is_made for step in steps):
            step = refused[-1]
            status = step.exchange.status
            yield step, "", f"{request_text(step)} was refused ({status}) {when(conduct, step.exchange.at)}"


def _is_short_of(conduct: Conduct) -> bool:
    """Tell whether fewer wishes were fulfilled than where nothing goes wrong; without a baseline, than there were."""
    expected = conduct.baseline.fulfilled if conduct.baseline is not None else len(conduct.wishes)
    return conduct.fulfilled < max(expected, 1)


def fails_loudly(conduct: Conduct) -> Look:
    """Look at the exit code and the words of a program whose job failed, or was given up.

    That it failed is what the program was plainly told; that it was given up shows where the baseline did it.
    """
    program = conduct.program
    assert program is not None
    is_short = _is_short_of(conduct)
    if not is_short or not program.has_ended:
        return Look(reached=0, note="" if program.has_ended else "the program did not end by itself")
    failures = [*_failures(conduct)]
    if failures:
        step, task, what = failures[0]
        return _loud(program, step, task or None, what)
    if conduct.baseline is None or not conduct.baseline.fulfilled:
        return Look(reached=0)
    if any(_puzzle(conduct, step) for step in conduct.steps):
        return Look(reached=0, note="what the program could not read is another law's")
    return _loud(program, *_undone(conduct))


def _undone(conduct: Conduct) -> tuple[Step | None, str | None, str]:
    """Return the last that the client heard of a job that it left undone: the exchange, the task, in words."""
    step = next((one for one in reversed(conduct.steps) if one.part not in ("file", "stray")), None)
    if step is None:
        return None, None, "the job was not done: nothing was sent"
    if step.nature == "lost":
        answer = "had no whole answer"
    else:
        words = " and ".join(f"'{short(one.word)}'" for one in step.told)
        answer = f"was answered {words or step.exchange.status}"
    what = f"the job was not done: {request_text(step)}, the last request, {answer} {when(conduct, step.exchange.at)}"
    return step, step.exchange.task, what


def _loud(program: Program, step: Step | None, task: str | None, what: str) -> Look:
    exchanges = (step.exchange.id,) if step is not None else ()
    if program.exit_code == 0:
        sentence = f"{what}, and the program ended with exit code 0; expected: another, and a message"
    elif complaint := silence(program):
        sentence = (
            f"{what}, and the program ended with exit code {program.exit_code} and {complaint};"
            " expected: a sentence that says what failed"
        )
    else:
        return Look(reached=1)
    return Look(reached=1, breaches=[Breach(sentence=sentence, exchanges=exchanges, task=task)])


def knows_what_it_does_not_know(conduct: Conduct) -> Look:
    """Look at answers that nobody can read and words that nobody knows, and at what the program made of them."""
    program = conduct.program
    assert program is not None
    met = [(step, what) for step in conduct.steps if (what := _puzzle(conduct, step))]
    if not met or not program.has_ended:
        return Look(reached=0, note="" if program.has_ended else "the program did not end by itself")
    if not _is_short_of(conduct) or any(True for _ in _failures(conduct)):
        # It found its way, or was told of another failure.
        return Look(reached=len(met))
    step, what = met[-1]
    said = f"{request_text(step)} was answered {when(conduct, step.exchange.at)} with {what}"
    return _loud(program, step, step.exchange.task, said)


def _puzzle(conduct: Conduct, step: Step) -> str:
    """Return what was puzzling about an answer, "" for nothing."""
    exchange = step.exchange
    if step.part in ("file", "stray"):
        return ""
    for name in (*step.met, *_of_task(conduct, step)):
        if name in UNSURE and step.nature == "ok":
            unsure = next((one for one in step.told if not one.is_known), None)
            if unsure is not None:
                return f"the status '{short(unsure.word)}', which no page knows"
            if any(one.is_end and one.outcome == "success" and not one.has_url for one in step.told):
                return "a success that has no address of a file"
    if (
        step.nature == "garbled"
        or (step.nature == "later" and step.refusal is None)
        or "html-error-page" in step.met
    ):
        kind = "an empty body" if not exchange.answer else "a body that is no JSON"
        return f"{kind} (HTTP {exchange.status})"
    if step.refusal is not None and 200 <= exchange.status < 300:
        return f"HTTP {exchange.status} and an error in its body"
    return ""


def _of_task(conduct: Conduct, step: Step) -> tuple[str, ...]:
    task = conduct.tasks.get(step.exchange.task or "")
    return tuple(name for name in task.scenarios if name in SCENARIOS) if task is not None else ()


def tells_failed_from_refused(conduct: Conduct) -> Look:
    """Look for the provider's own words in what a program says of a failure."""
    program = conduct.program
    assert program is not None
    failures = [*_failures(conduct)] if _is_short_of(conduct) else []
    if not failures or not program.has_ended or program.exit_code == 0 or silence(program):
        return Look(reached=0)
    output = _flat(program.output[-_LONGEST_OUTPUT:])
    reached, breaches = 0, []
    for step, task, what in failures:
        words = _own_words(conduct, step, task)
        if not words:
            continue
        reached += 1
        if any(_is_said(word, output) for word in words):
            continue
        shown = " or ".join(f"'{short(word)}'" for word in words[:2])
        breaches.append(
            Breach(
                sentence=(
                    f"{what}, and the program's output has none of the provider's words for it;"
                    f" expected: {shown}"
                ),
                exchanges=(step.exchange.id,) if step is not None else (),
                task=task or None,
            )
        )
    return Look(reached=reached, breaches=breaches)


def _own_words(conduct: Conduct, step: Step | None, task: str) -> list[str]:
    """Return the texts and codes by which the provider says what happened: any of them tells it from the rest."""
    if task:
        end = next(one for one in reversed(conduct.told[task]) if one.is_end)
        failure = (conduct.tasks[task].failure or "").strip()
        # Not every provider says why; whoever is told the state alone can repeat that.
        is_told = failure and any(failure in text for text in leaves(_said_by(conduct, end.source)))
        return [failure if is_told else end.word]
    assert step is not None
    contract = conduct.contracts[step.exchange.provider]
    codes = {str(case.code) for case in contract.cases if case.code is not None}
    found = [*leaves(step.exchange.answer)]
    return [text for text in found if (" " in text.strip() and _WORD.search(text)) or text in codes]


def _said_by(conduct: Conduct, source: str) -> bytes:
    """Return the body of an answer or of a callback, by its id."""
    for exchange in conduct.exchanges:
        if exchange.id == source:
            return exchange.answer
    return next((one.body for one in conduct.deliveries if one.id == source), b"")


def _is_said(word: str, output: str) -> bool:
    forms = {_flat(word), _flat(json.dumps(word)[1:-1])}
    if word.isdigit():
        return re.search(rf"(?<!\d){word}(?!\d)", output) is not None
    return any(form in output for form in forms)


def _flat(text: str) -> str:
    return " ".join(text.split()).casefold()
