"""Reports on a rehearsal: for people in a terminal, a browser, a pull request; for machines as JUnit and JSON.

Pure: a verdict in, a text out.  What the client was given to keep does not stand in any of them.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from mockserver.journal import is_secret_name
from mockserver.rehearsal.orders import SPEED, TIME_LIMIT_S, Orders
from mockserver.rehearsal.run import Played
from mockserver.rehearsal.staging import PLACEHOLDER
from mockserver.rehearsal.verdict import TELLING, Broken, Verdict
from mockserver.trial.rendering import finding_json
from mockserver.trial.verdicts import Breach, Finding, Law
from validator.contract.expressions import Json
from validator.printing import BOLD, DIM, GREEN, RED, YELLOW, Paint, json_text, plural
from validator.report import printable

SIGNS: Final[Mapping[str, str]] = {"kept": "+", "broken": "X", "not-reached": "."}
"""What stands in the table; ASCII, so that it is the same in every log."""

LEGEND: Final = "+ kept   X broken   . not reached"
MOST_BREACHES: Final = 2
"""Breaches of one law in one act that are shown to people; the JSON has all."""

MOST_EXCHANGES: Final = 3
"""Exchanges of one breach that are shown to people."""

LONGEST_LINE: Final = 200
"""Characters of a line of an exchange, or of the client's output, that are shown to people."""

MOST_ACTS: Final = 6
"""Further acts that broke the same law that are named."""

LAST_LINES: Final = 6
_COLOURS: Final[Mapping[str, str]] = {"kept": GREEN, "broken": RED, "not-reached": DIM}
_JOBS: Final[Mapping[str, str]] = {
    "done": "done",
    "failed": "failed",
    "refused": "refused",
    "open": "unclear",
}
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot say, escaped or not."""

_ENDS_OUTPUT: Final = 4_000
"""Characters of an output that reports for machines repeat."""


# --- what all have in common ------------------------------------------------------------------------------


def again(orders: Orders, acts: Sequence[str]) -> str:
    """Return the command that plays acts again, as one types it.

    A variable of the user's that sounds like a credential is left to the shell: reports are passed on.
    """
    words = ["understudy", "rehearse"]
    for act in acts:
        words += ["--act", act]
    words += ["--seed", str(orders.seed)]
    for name in orders.providers:
        words += ["--provider", name]
    for file in orders.specs:
        words += ["--spec", file]
    if orders.speed != SPEED:
        words += ["--speed", f"{orders.speed:g}"]
    if orders.time_limit != TIME_LIMIT_S:
        words += ["--time-limit", f"{orders.time_limit:g}"]
    for kind, variable in orders.telling.names:
        words += ["--name", f"{kind}={variable}"]
    parts = [shlex.join(words)]
    for name, value in orders.telling.extra:
        is_told = not is_secret_name(name) or PLACEHOLDER.search(value)
        parts += ["--env", shlex.quote(f"{name}={value}") if is_told else f'{name}="${name}"']
    if orders.telling.is_shell:
        parts.append("--shell")
    return " ".join([*parts, "--", shlex.join(orders.telling.command)])


def _acts_again(verdict: Verdict, played: Played, law: str) -> list[str]:
    """Return the acts that have to be played to see a finding again."""
    acts = [played.act.id]
    other = verdict.beside.get(played.act.id)
    if other is not None and law == TELLING:
        acts.append(other)
    return acts


def ending(played: Played) -> str:
    """Return how the client ended: its exit code, or what ended it."""
    ended = played.ended
    if ended is None:
        return ""
    if ended.is_timed_out:
        return "time"
    return str(ended.code)


def said(played: Played, output: bytes) -> str:
    """Return an output as it can be shown: no secret of ours in it, nothing that steers a terminal."""
    text = output.decode("utf-8", "replace")
    for secret, name in played.secrets:
        text = text.replace(secret, f"[{name}]")
    return "\n".join(printable(line) for line in text.splitlines())


def last_lines(played: Played) -> list[str]:
    """Return the last lines that the client wrote, those of its errors where it wrote any."""
    if played.ended is None:
        return []
    for output in (played.ended.stderr, played.ended.stdout):
        lines = [_short(line) for line in said(played, output).splitlines() if line.strip()]
        if lines:
            return lines[-LAST_LINES:]
    return []


def totals(verdict: Verdict) -> str:
    """Return in one line what came of it."""
    faulty = sum(any(one.outcome == "broken" for one in played.findings) for played in verdict.done)
    parts = [
        f"{plural(len(verdict.done), 'act')}: {len(verdict.done) - faulty} without a fault, {faulty} with"
    ]
    laws = [f"{len(verdict.kept)} kept", f"{len(verdict.broken)} broken"]
    if verdict.unreached:
        laws.append(f"{len(verdict.unreached)} not reached")
    parts.append(f"{plural(len(verdict.laws), 'law')}: {', '.join(laws)}")
    return "; ".join(parts)


def _why_missed(verdict: Verdict) -> Iterator[tuple[str, list[str]]]:
    """Yield pairs (why acts were not played, those acts)."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in verdict.missed:
        by_reason[one.why_not].append(one.act.id)
    yield from by_reason.items()


def _letters(verdict: Verdict) -> Mapping[str, str]:
    return {law.id: chr(ord("a") + number) for number, law in enumerate(verdict.laws)}


def _outcome(verdict: Verdict, law: Law) -> str:
    if any(one.law.id == law.id for one in verdict.broken):
        return "broken"
    return "kept" if law in verdict.kept else "not-reached"


# --- in a terminal ----------------------------------------------------------------------------------------


def text_report(verdict: Verdict, paint: Paint) -> str:
    """Return the report for a terminal: the table, the laws, then each that was broken."""
    lines = [*_table(verdict, paint), "", *_laws(verdict, paint)]
    missed = [paint(f"not played: {_named(acts)} ({why})", DIM) for why, acts in _why_missed(verdict)]
    lines += ["", *missed] if missed else []
    for one in verdict.broken:
        lines += ["", *_broken(verdict, one, paint)]
    code = RED if verdict.broken else GREEN
    return "\n".join([*lines, "", paint(totals(verdict), code)])


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_ACTS])
    return shown if len(names) <= MOST_ACTS else f"{shown} and {len(names) - MOST_ACTS} more"


def _table(verdict: Verdict, paint: Paint) -> Iterator[str]:
    wide = max((len(one.act.id) for one in verdict.done), default=3)
    letters = " ".join(_letters(verdict).values())
    yield paint(f"{'act':<{wide}}  {letters}  {'exit':>4}  job", BOLD)
    for one in verdict.done:
        found = {each.law: each.outcome for each in one.findings}
        cells = " ".join(
            paint(SIGNS[found.get(law.id, "not-reached")], _COLOURS[found.get(law.id, "not-reached")])
            for law in verdict.laws
        )
        yield f"{one.act.id:<{wide}}  {cells}  {ending(one):>4}  {_JOBS[one.fate]}"


def _laws(verdict: Verdict, paint: Paint) -> Iterator[str]:
    wide = max(len(law.id) for law in verdict.laws)
    for law in verdict.laws:
        outcome = _outcome(verdict, law)
        shown = paint(f"{outcome:<11}", _COLOURS[outcome])
        yield f"{_letters(verdict)[law.id]}  {law.id:<{wide}}  {shown}  {law.title}"
        if outcome == "not-reached":
            yield paint(f"   {'':<{wide}}  {verdict.why_unreached(law)}", DIM)
    yield f"{LEGEND}   exit: the client's exit code, time: it was ended"


def _broken(verdict: Verdict, broken: Broken, paint: Paint) -> Iterator[str]:
    law, (played, finding) = broken.law, broken.seen[0]
    yield paint(f"{law.id}: {law.title}", BOLD)
    yield f"  why    {law.why}"
    yield f"  as in  {law.source}"
    yield f"  seen in {paint(played.act.id, YELLOW)}: {played.act.why}"
    for breach in finding.breaches[:MOST_BREACHES]:
        yield f"    - {printable(breach.sentence)}"
        yield from (f"        {line}" for line in _exchange_lines(played, breach))
    more = len(finding.breaches) - MOST_BREACHES
    if more > 0:
        yield f"    - and {more:,} more of the kind"
    yield f"    {_ended(played)}"
    yield from (f"        | {line}" for line in last_lines(played))
    others = [one.act.id for one, _ in broken.seen[1:]]
    if others:
        yield f"  and in {_named(others)}"
    yield f"  again  {again(verdict.orders, _acts_again(verdict, played, law.id))}"


def _exchange_lines(played: Played, breach: Breach) -> Iterator[str]:
    for name in breach.exchanges[:MOST_EXCHANGES]:
        for line in played.shown.get(name, ()):
            # Times stand in a column of their own elsewhere; here they only push the line away.
            yield _short(printable(line.strip() if line.lstrip()[:1].isdigit() else line))
    more = len(breach.exchanges) - MOST_EXCHANGES
    if more > 0:
        yield f"and {plural(more, 'more request')} of the kind"


def _short(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def _ended(played: Played) -> str:
    assert played.ended is not None
    if played.ended.is_timed_out:
        how = f"the client was ended after {played.ended.took_s:.1f} s"
    else:
        how = f"the client ended with {played.ended.code} after {played.ended.took_s:.1f} s"
    return how + (" and wrote" if last_lines(played) else " and wrote nothing")


# --- for machines -----------------------------------------------------------------------------------------


def json_report(verdict: Verdict) -> str:
    """Return the report as JSON; docs/rehearse.md describes its members."""
    orders = verdict.orders
    return (
        json_text(
            {
                "command": list(orders.telling.command),
                "seed": orders.seed,
                "speed": orders.speed,
                "time_limit_s": orders.time_limit,
                "outcome": "broken" if verdict.broken else "kept",
                "summary": totals(verdict),
                "laws": [_law_json(verdict, law) for law in verdict.laws],
                "acts": [_act_json(verdict, one) for one in verdict.played],
            }
        )
        + "\n"
    )


def _law_json(verdict: Verdict, law: Law) -> dict[str, Json]:
    outcome = _outcome(verdict, law)
    return {
        "id": law.id,
        "title": law.title,
        "why": law.why,
        "source": law.source,
        "outcome": outcome,
        "note": verdict.why_unreached(law) if outcome == "not-reached" else "",
        "broken_in": [one.act.id for each in verdict.broken if each.law.id == law.id for one, _ in each.seen],
    }


def _act_json(verdict: Verdict, played: Played) -> dict[str, Json]:
    act, ended = played.act, played.ended
    out: dict[str, Json] = {
        "id": act.id,
        "scenario": act.scenario,
        "why": act.why,
        "is_played": played.is_played,
        "why_not": played.why_not,
    }
    if not played.is_played or ended is None:
        return out
    findings: list[Json] = []
    for one in played.findings:
        shown = finding_json(one)
        exchanges: dict[str, Json] = {
            name: list(played.shown[name])
            for breach in one.breaches
            for name in breach.exchanges
            if name in played.shown
        }
        findings.append(shown | {"exchanges": exchanges})
    return out | {
        "exit_code": None if ended.is_timed_out else ended.code,
        "timed_out": ended.is_timed_out,
        "seconds": round(ended.took_s, 2),
        "job": _JOBS[played.fate],
        "requests": played.requests,
        "tasks": played.tasks,
        "findings": findings,
        "stdout_end": said(played, ended.stdout)[-_ENDS_OUTPUT:],
        "stderr_end": said(played, ended.stderr)[-_ENDS_OUTPUT:],
        "again": again(verdict.orders, [act.id]),
    }


def junit_report(verdict: Verdict) -> str:
    """Return the report as JUnit XML: a suite for each act, a case for each law; what was not reached is skipped."""
    suites = [line for one in verdict.done for line in _suite(verdict, one)]
    for why, acts in _why_missed(verdict):
        for act in acts:
            suites += [
                f'  <testsuite name={_attribute(act)} tests="1" failures="0" errors="0" skipped="1" time="0">',
                f'    <testcase classname={_attribute("understudy." + act)} name="not played" time="0">'
                f"<skipped message={_attribute(why)}/></testcase>",
                "  </testsuite>",
            ]
    failures = sum(one.outcome == "broken" for played in verdict.done for one in played.findings)
    tests = sum(len(played.findings) for played in verdict.done) + len(verdict.missed)
    skipped = len(verdict.missed) + sum(
        one.outcome == "not-reached" for played in verdict.done for one in played.findings
    )
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<testsuites name="understudy rehearse" tests="{tests}" failures="{failures}" errors="0"'
            f' skipped="{skipped}">',
            *suites,
            "</testsuites>\n",
        ]
    )


def junit_error(sentence: str) -> str:
    """Return what stands in the place of a report where there was nothing to judge."""
    counts = 'tests="1" failures="0" errors="1" skipped="0"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="understudy rehearse" {counts}>\n'
        f'  <testsuite name="rehearsal" {counts} time="0">\n'
        f'    <testcase classname="understudy.rehearsal" name="could be judged" time="0">'
        f"<error message={_attribute(sentence)}/></testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def _suite(verdict: Verdict, played: Played) -> Iterator[str]:
    assert played.ended is not None
    outcomes = [one.outcome for one in played.findings]
    yield (
        f'  <testsuite name={_attribute(played.act.id)} tests="{len(outcomes)}"'
        f' failures="{outcomes.count("broken")}" errors="0" skipped="{outcomes.count("not-reached")}"'
        f' time="{played.ended.took_s:.2f}">'
    )
    for one in played.findings:
        head = (
            f"    <testcase classname={_attribute('understudy.' + played.act.id)} name={_attribute(one.law)}"
        )
        # The act ran once for all laws; its time stands at the suite.
        head += ' time="0"'
        if one.outcome == "broken":
            text = "\n".join(_finding_lines(verdict, played, one))
            message = _attribute(one.breaches[0].sentence)
            yield f'{head}><failure type="{one.law}" message={message}>{_xml(text)}</failure></testcase>'
        elif one.outcome == "not-reached":
            yield f"{head}><skipped message={_attribute(one.note or 'not reached')}/></testcase>"
        else:
            yield f"{head}/>"
    yield f"    <system-out>{_xml(said(played, played.ended.stdout)[-_ENDS_OUTPUT:])}</system-out>"
    yield f"    <system-err>{_xml(said(played, played.ended.stderr)[-_ENDS_OUTPUT:])}</system-err>"
    yield "  </testsuite>"


def _finding_lines(verdict: Verdict, played: Played, finding: Finding) -> Iterator[str]:
    """Yield what shows a breach, and how to see it again."""
    for breach in finding.breaches[:MOST_BREACHES]:
        yield f"- {printable(breach.sentence)}"
        yield from (f"    {line}" for line in _exchange_lines(played, breach))
    more = len(finding.breaches) - MOST_BREACHES
    if more > 0:
        yield f"- and {more:,} more of the kind"
    yield _ended(played)
    yield from (f"    | {line}" for line in last_lines(played))
    yield f"again: {again(verdict.orders, _acts_again(verdict, played, finding.law))}"


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), quote=False)


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", " ".join(text.split())))


# --- under a pull request ---------------------------------------------------------------------------------


def markdown_report(verdict: Verdict) -> str:
    """Return the report as Markdown, for a job summary or a comment."""
    lines = ["## Client rehearsal", "", _md(totals(verdict)) + ".", ""]
    for one in verdict.broken:
        lines += [*_md_broken(verdict, one), ""]
    letters = _letters(verdict)
    lines += ["<details><summary>All acts</summary>", ""]
    lines.append("| act | " + " | ".join(letters.values()) + " | exit | job |")
    lines.append("|---|" + ":-:|" * len(letters) + "--:|---|")
    for played in verdict.done:
        found = {each.law: each.outcome for each in played.findings}
        cells = [SIGNS[found.get(law.id, "not-reached")] for law in verdict.laws]
        cells = ["**X**" if cell == "X" else cell for cell in cells]
        lines.append(
            f"| {_md(played.act.id)} | {' | '.join(cells)} | {ending(played)} | {_JOBS[played.fate]} |"
        )
    lines += ["", LEGEND, ""]
    for law in verdict.laws:
        lines.append(f"- {letters[law.id]} `{law.id}`: {_outcome(verdict, law)}. {_md(law.title)}")
    lines += ["", "</details>"]
    missed = [f"- {_md(_named(acts))}: {_md(why)}" for why, acts in _why_missed(verdict)]
    if missed:
        lines += ["", "Not played:", "", *missed]
    return "\n".join(lines) + "\n"


def _md_broken(verdict: Verdict, broken: Broken) -> Iterator[str]:
    law, (played, finding) = broken.law, broken.seen[0]
    yield f"### {law.id}"
    yield ""
    yield f"{_md(law.title)} {_md(law.why)} As in <{law.source}>."
    yield ""
    yield f"In **{_md(played.act.id)}**: {_md(played.act.why)}"
    yield ""
    text = "\n".join(_finding_lines(verdict, played, finding))
    # A fence that is longer than any in the text cannot be ended by it.
    fence = "`" * max(3, 1 + max((len(one) for one in re.findall("`+", text)), default=0))
    yield from (f"{fence}text", text, fence)
    others = [one.act.id for one, _ in broken.seen[1:]]
    if others:
        yield f"Also in {_md(_named(others))}."


def _md(text: str) -> str:
    """Return a text in which Markdown finds nothing to do."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(text))


# --- in a browser -----------------------------------------------------------------------------------------

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7a2a; --bad: #c02020; --quiet: #8888; }
@media (prefers-color-scheme: dark) { :root { --good: #7fd07f; --bad: #ff8080; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 14px; }
th, td { border-bottom: 1px solid var(--line); padding: .15rem .45rem; text-align: left; }
thead th { position: sticky; top: 0; background: Canvas; vertical-align: bottom; }
thead th.law { writing-mode: vertical-rl; font-weight: normal; padding: .45rem .1rem; }
td.sign { text-align: center; padding: .15rem; }
.kept { color: var(--good); } .broken { color: var(--bad); font-weight: bold; } .not-reached { color: var(--quiet); }
.wide { overflow-x: auto; }
pre { background: #8881; padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
section { border-left: 3px solid var(--bad); padding-left: 1rem; margin: 1.6rem 0; }
h2 code, h3 code { font-size: inherit; }
"""


def html_report(verdict: Verdict) -> str:
    """Return the report as one HTML file that fetches nothing and runs nothing."""
    orders = verdict.orders
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Client rehearsal</title><style>{_STYLE}</style></head><body>",
        "<h1>Client rehearsal</h1>",
        f"<p><code>{escape(printable(shlex.join(orders.telling.command)))}</code><br>",
        f"seed {orders.seed}, {orders.speed:g} times as fast</p>",
        f'<p class="{"broken" if verdict.broken else "kept"}">{escape(totals(verdict))}</p>',
    ]
    for one in verdict.broken:
        parts += _html_broken(verdict, one)
    parts += ["<h2>All acts</h2>", *_html_table(verdict), "<h2>Laws</h2>", *_html_laws(verdict)]
    missed = [f"<li>{escape(_named(acts))}: {escape(why)}</li>" for why, acts in _why_missed(verdict)]
    if missed:
        parts += ["<h2>Not played</h2><ul>", *missed, "</ul>"]
    return "\n".join([*parts, "</body></html>\n"])


def _html_broken(verdict: Verdict, broken: Broken) -> Iterator[str]:
    law = broken.law
    yield f'<section id="{escape(law.id)}"><h2><code>{escape(law.id)}</code>: {escape(law.title)}</h2>'
    yield f"<p>{escape(law.why)} As in {_link(law.source)}.</p>"
    for number, (played, finding) in enumerate(broken.seen):
        text = "\n".join(_finding_lines(verdict, played, finding))
        is_open = " open" if number == 0 else ""
        yield f"<details{is_open}><summary><b>{escape(played.act.id)}</b>: {escape(played.act.why)}</summary>"
        yield f"<pre>{escape(text)}</pre></details>"
    yield "</section>"


def _html_table(verdict: Verdict) -> Iterator[str]:
    yield '<div class="wide"><table><thead><tr><th>act</th>'
    yield "".join(f'<th class="law">{escape(law.id)}</th>' for law in verdict.laws)
    yield "<th>exit</th><th>job</th><th>seconds</th></tr></thead><tbody>"
    for one in verdict.done:
        assert one.ended is not None
        yield f'<tr><td title="{escape(one.act.why)}">{escape(one.act.id)}</td>'
        for law in verdict.laws:
            found = verdict.table[one.act.id].get(law.id)
            outcome = found.outcome if found is not None else "not-reached"
            note = found.note if found is not None else ""
            if found is not None and found.breaches:
                note = found.breaches[0].sentence
            sign = SIGNS[outcome]
            shown = f'<a class="broken" href="#{escape(law.id)}">{sign}</a>' if outcome == "broken" else sign
            yield f'<td class="sign {outcome}" title="{escape(printable(note))}">{shown}</td>'
        yield f"<td>{ending(one)}</td><td>{_JOBS[one.fate]}</td><td>{one.ended.took_s:.1f}</td></tr>"
    yield f"</tbody></table></div><p>{escape(LEGEND)}</p>"


def _html_laws(verdict: Verdict) -> Iterator[str]:
    yield "<table><tbody>"
    for law in verdict.laws:
        outcome = _outcome(verdict, law)
        why = f" ({verdict.why_unreached(law)})" if outcome == "not-reached" else ""
        yield (
            f'<tr><td><code>{escape(law.id)}</code></td><td class="{outcome}">{outcome}</td>'
            f"<td>{escape(law.title)}{escape(why)}</td><td>{_link(law.source)}</td></tr>"
        )
    yield "</tbody></table>"


def _link(url: str) -> str:
    shown: Any = escape(url)
    return f'<a href="{shown}">{shown}</a>' if url.startswith("https://") else str(shown)
