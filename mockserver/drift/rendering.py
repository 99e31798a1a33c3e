"""A run told to people and to machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.etree import ElementTree

from mockserver.drift.probes import Plan, Probe, shown_body
from mockserver.drift.run import Outcome
from mockserver.drift.verdicts import VERDICTS, Finding, Verdict
from validator.contract.expressions import Json
from validator.contract.model import Contract
from validator.printing import BOLD, DIM, GREEN, RED, YELLOW, Paint, json_lines, plural, without_empty
from validator.report import abbreviate, printable, source_text

_COLOURS: Final[Mapping[Verdict, str]] = {
    "agrees": GREEN,
    "provider changed": RED,
    "contract wrong": YELLOW,
    "not comparable": DIM,
}


def brief(value: Json) -> Json:
    """Return a body with its long texts cut and its long lists counted."""
    if isinstance(value, str):
        return value if len(value) <= 80 else f"<{len(value):,} characters: {value[:20]}…>"
    if isinstance(value, list):
        if len(value) > 6:
            return [*map(brief, value[:2]), f"<{len(value) - 2:,} more>"]
        return [brief(one) for one in value]
    return {name: brief(member) for name, member in value.items()} if isinstance(value, dict) else value


def sent_text(probe: Probe) -> str:
    """Return a request in one line, its body abridged."""
    body = shown_body(probe.request)
    head = f"{probe.request.method} {abbreviate(probe.request.url, 100).strip(chr(39))}"
    if body is None:
        return head
    text = json_lines(brief(body))
    return f"{head} {text[0] if len(text) == 1 else abbreviate(brief(body), 160)}"


# --- for people -------------------------------------------------------------------------------------------


def text_lines(out: Outcome, paint: Paint, *, is_all: bool) -> Iterator[str]:
    """Yield a run for people: what differs in full, the rest counted; everything where all is wanted."""
    for one in out.findings:
        if one.verdict in ("provider changed", "contract wrong") or is_all:
            yield from _finding_lines(one, out.contract, paint)
    if is_all:
        for probe in out.unsent:
            yield f"{paint('not comparable', DIM)}  {probe.rule}: not sent"
        for each in out.unasked:
            yield f"{paint('not comparable', DIM)}  {each.rule}: {each.why}"
    yield from (f"  {line}" for line in _taken_lines(out))
    if out.differing or is_all:
        yield ""
    yield paint(summary(out), BOLD)
    if out.stopped and out.unsent:
        yield f"stopped: {out.stopped}; {plural(len(out.unsent), 'request')} not sent"
    if out.problem:
        yield f"broken off: {printable(out.problem)}"
    if not is_all and (out.of("not comparable") or out.unasked):
        why = Counter([one.why for one in out.of("not comparable")] + [one.why for one in out.unasked])
        for reason, count in why.most_common():
            yield paint(f"  {count:>4}  {printable(reason)}", DIM)


def _finding_lines(one: Finding, contract: Contract, paint: Paint) -> Iterator[str]:
    probe = one.probe
    yield f"{paint(one.verdict, _COLOURS[one.verdict])}  {paint(probe.rule, BOLD)}: {one.why}"
    operation = probe.operation.id if probe.operation is not None else ""
    rows = [("sent", f"{sent_text(probe)}  ({', '.join(filter(None, (operation, probe.what)))})")]
    rows += [("expected", one.expected), ("got", one.got)]
    rows += [("source", source_text(probe.source, contract.sources))]
    for name, text in rows:
        if text:
            yield f"  {name:<9} {printable(text)}"


def _taken_lines(out: Outcome) -> Iterator[str]:
    for one in out.taken:
        price = f", {one.probe.price:g} units by the contract" if one.probe.price is not None else ""
        if one.task:
            yield f"a task was made, which may cost{price}: {printable(one.task)}"
        else:
            yield f"a task may have been made{price}; the answer names none ({one.probe.rule})"
    if out.taken:
        yield "the contract knows no call that cancels a task; see to it in the provider's console"


def summary(out: Outcome) -> str:
    """Return the counts of a run in a sentence."""
    counts = Counter(one.verdict for one in out.findings)
    counts["not comparable"] += len(out.unasked) + len(out.unsent)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return f"{out.contract.id}: {plural(out.sent, 'request')} sent; {told or 'nothing compared'}"


def plan_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """Yield what would be sent."""
    for place, probe in enumerate(plan.probes, start=1):
        expected = probe.expected.status or 200
        price = f"; if it is taken: {probe.price:g} units" if probe.price is not None else ""
        yield f"{place:>4}  {paint(probe.rule, BOLD)} ({probe.evidence}), {probe.what}: {expected} is expected{price}"
        yield f"      {printable(sent_text(probe))}"
    rest = Counter(one.why for one in plan.unasked)
    for why, count in rest.most_common():
        yield paint(f"  not asked: {plural(count, 'rule')}, as {printable(why)}", DIM)


# --- for machines -----------------------------------------------------------------------------------------


def outcome_json(out: Outcome, *, target: str, code: int) -> dict[str, Json]:
    """Return a run as JSON; docs/drift.md describes the members."""
    counts = Counter(one.verdict for one in out.findings)
    counts["not comparable"] += len(out.unasked) + len(out.unsent)
    probes: list[Json] = [_finding_json(one, out.contract) for one in out.findings]
    probes += [
        {"rule": one.rule, "verdict": "not comparable", "why": f"not sent: {out.stopped or out.problem}"}
        for one in out.unsent
    ]
    probes += [
        without_empty(
            {"rule": one.rule, "operation": one.operation, "verdict": "not comparable", "why": one.why}
        )
        for one in out.unasked
    ]
    return {
        "version": 1,
        "provider": out.contract.id,
        "to": target,
        "probes": probes,
        "summary": {"sent": out.sent} | {verdict: counts[verdict] for verdict in VERDICTS},
        "taken": [
            without_empty({"rule": one.probe.rule, "task": one.task, "price": one.probe.price})
            for one in out.taken
        ],
        "stopped": out.stopped,
        "problem": out.problem,
        "exit": code,
    }


def _finding_json(one: Finding, contract: Contract) -> dict[str, Any]:
    probe = one.probe
    body = shown_body(probe.request)
    sent = without_empty({"method": probe.request.method, "path": probe.request.url})
    return without_empty(
        {
            "rule": probe.rule,
            "operation": probe.operation.id if probe.operation is not None else "",
            "what": probe.what,
            "verdict": one.verdict,
            "differs": one.level,
            "why": one.why,
            "evidence": one.evidence,
            "source": source_text(probe.source, contract.sources),
            "sent": sent | ({} if body is None else {"body": brief(body)}),
            "expected": one.expected,
            "got": one.got,
        }
    )


def markdown_lines(out: Outcome, *, target: str) -> Iterator[str]:
    """Yield a run as Markdown, for a comment or a job's summary."""
    yield f"## Drift of {out.contract.id}"
    yield ""
    yield f"{summary(out)}. Asked: `{target}`."
    if out.problem or out.stopped:
        yield ""
        yield f"**{(out.problem or out.stopped)}**"
    yield from (f"- {line}" for line in _taken_lines(out))
    if out.differing:
        yield ""
        yield "| Verdict | Rule | Sent | Expected | Got |"
        yield "|---|---|---|---|---|"
        for one in out.differing:
            cells = (one.verdict, one.probe.rule, sent_text(one.probe), one.expected, one.got)
            yield "| " + " | ".join(_cell(cell) for cell in cells) + " |"
    kept = Counter([one.why for one in out.of("not comparable")] + [one.why for one in out.unasked])
    if kept:
        yield ""
        yield "Not comparable:"
        yield ""
        for why, count in kept.most_common():
            yield f"- {count}: {_cell(why)}"


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def junit_text(out: Outcome) -> str:
    """Return a run as a JUnit file: a probe is a test, what differs a failure, what was not asked skipped."""
    skipped = len(out.of("not comparable")) + len(out.unsent) + len(out.unasked)
    suite = ElementTree.Element(
        "testsuite",
        name=f"drift {out.contract.id}",
        tests=str(len(out.findings) + len(out.unsent) + len(out.unasked)),
        failures=str(len(out.differing)),
        errors="1" if out.problem else "0",
        skipped=str(skipped),
    )
    for one in out.findings:
        probe = one.probe
        case = _case(
            suite, out, probe.rule, probe.operation.id if probe.operation is not None else "", probe.what
        )
        if one.verdict == "not comparable":
            ElementTree.SubElement(case, "skipped", message=one.why)
        elif one.verdict != "agrees":
            failure = ElementTree.SubElement(case, "failure", type=one.verdict, message=one.why)
            failure.text = printable(f"sent {sent_text(probe)}; expected {one.expected}; got {one.got}")
    for left in out.unsent:
        operation = left.operation.id if left.operation is not None else ""
        case = _case(suite, out, left.rule, operation, left.what)
        ElementTree.SubElement(case, "skipped", message=f"not sent: {out.stopped or out.problem}")
    for each in out.unasked:
        ElementTree.SubElement(_case(suite, out, each.rule, each.operation, ""), "skipped", message=each.why)
    if out.problem:
        case = _case(suite, out, "the run", "", "")
        ElementTree.SubElement(case, "error", message=printable(out.problem))
        suite.set("tests", str(int(suite.get("tests", "0")) + 1))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _case(suite: Any, out: Outcome, rule: str, operation: str, what: str) -> Any:
    name = printable(": ".join(filter(None, (rule, what))))
    where = ".".join(filter(None, ("drift", out.contract.id, operation)))
    return ElementTree.SubElement(suite, "testcase", classname=where, name=name)
