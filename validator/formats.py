"""What a run of lint found, in the forms that CI systems and code hosts read.

Every text in them may come from a file that somebody else wrote: each form has its own way to keep such a text from
meaning something, and nothing is cut without a word about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from validator.contract.expressions import Json
from validator.contract.model import Contract
from validator.findings import Finding, file_name, findings_of
from validator.lint import Judgement, Tally
from validator.printing import clean, json_text, plural
from validator.report import printable, source_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of lint as a whole: what was judged, the counts, the exit code, and what is to be said beside."""

    judgements: Sequence[Judgement]
    tally: Tally
    exit_code: int
    is_strict: bool = False
    remarks: Sequence[str] = ()
    version: str = ""

    @property
    def findings(self) -> list[Finding]:
        """Return the findings in their order."""
        return findings_of(self.judgements)

    @property
    def problems(self) -> list[Judgement]:
        """Return the requests that could not be checked."""
        return [one for one in self.judgements if one.is_counted and one.report is None]

    @property
    def unread(self) -> list[Judgement]:
        """Return the calls that cannot be judged without running the program."""
        return [one for one in self.judgements if one.unread and not one.is_foreign]


def problem_text(one: Judgement) -> str:
    """Return why a request could not be checked, in one line."""
    return printable(f"could not be checked: {one.problem}" + (f" ({one.hint})" if one.hint else ""))


def unread_text(one: Judgement) -> str:
    """Return what of a call cannot be read, in one line."""
    how = "not readable" if one.found.fault else "not readable without running it"
    return printable(f"{how}: {one.unread}")


# --- SARIF ------------------------------------------------------------------------------------------------

MOST_RESULTS: Final = 25_000
"""Results of a run that GitHub takes; it refuses the whole file for one more.

Source: GitHub docs, SARIF results exceed limits.
"""

MOST_SHOWN: Final = 5_000
"""Results of a run that GitHub shows, the gravest first."""

_LONGEST_TEXT: Final = 1_000


def sarif(run: Run) -> str:
    """Return a run as SARIF 2.1.0.

    Paths are relative to the directory of the run, %SRCROOT%; fingerprints stay the same when lines move.
    """
    findings = run.findings
    notices = [_notification(problem_text(one), "error", one, "understudy.unchecked") for one in run.problems]
    notices += [_notification(unread_text(one), "note", one, "understudy.unread") for one in run.unread]
    remarks = list(run.remarks)
    if len(findings) > MOST_RESULTS:
        left = len(findings) - MOST_RESULTS
        findings = sorted(findings, key=lambda one: one.level)[:MOST_RESULTS]
        remarks.append(
            f"{left:,} more results were left out: GitHub refuses a file with more than {MOST_RESULTS:,}"
        )
    if len(findings) > MOST_SHOWN:
        remarks.append(f"GitHub shows {MOST_SHOWN:,} of the {len(findings):,} results, the gravest first")
    notices += [_notification(printable(text), "warning", None, "understudy.remark") for text in remarks]
    rules: dict[str, dict[str, Json]] = {}
    for one in findings:
        if one.violation.rule not in rules:
            rules[one.violation.rule] = _sarif_rule(one)
    indices = {rule: index for index, rule in enumerate(rules)}
    invocation: dict[str, Json] = {
        "executionSuccessful": run.exit_code != 2,
        "exitCode": run.exit_code,
    }
    if notices:
        invocation["toolExecutionNotifications"] = notices[:MOST_RESULTS]
    driver: dict[str, Json] = {"name": "understudy", "rules": list(rules.values())}
    if run.version:
        driver["version"] = run.version
    value = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    "%SRCROOT%": {"description": {"text": "The directory that lint was run in."}}
                },
                "invocations": [invocation],
                "results": [_sarif_result(one, indices[one.violation.rule]) for one in findings],
                "properties": {"summary": run.tally.to_json()},
            }
        ],
    }
    return json_text(clean(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _sarif_rule(one: Finding) -> dict[str, Json]:
    violation, contract = one.violation, one.judgement.contract
    about = _rule_text(violation.rule, contract) or violation.message
    source = source_text(violation.source, contract.sources) if contract is not None else violation.source
    lines = [f"{about}.", f"How sure this is: {violation.evidence}."]
    lines += [f"Where it is written: {source}."] if source else []
    lines += [f"`understudy explain {violation.rule}` shows a request that breaks it and one that does not."]
    out: dict[str, Json] = {
        "id": violation.rule,
        "name": "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", violation.rule)),
        "shortDescription": {"text": _cut(printable(about))},
        "fullDescription": {"text": _cut(printable(about))},
        "help": {"text": printable(" ".join(lines)), "markdown": "\n\n".join(map(_markdown, lines))},
        "defaultConfiguration": {"level": one.level},
        "properties": {
            "evidence": violation.evidence,
            "tags": list(dict.fromkeys([violation.rule.partition(".")[0], violation.evidence])),
        },
    }
    page = contract.sources.get(violation.source.partition("#")[0]) if contract is not None else None
    if page is not None and re.match(r"https?://[^\s<>\"]+$", page.url or ""):
        out["helpUri"] = page.url
    return out


def _rule_text(rule: str, contract: Contract | None) -> str:
    """Return what a rule says, without what differs from finding to finding."""
    known = contract.rules.get(rule) if contract is not None else None
    return re.sub(r"\s*\{\$[^{}]*\}\s*", " … ", known.message).strip() if known is not None else ""


def _uri(file: str) -> tuple[str, bool]:
    """Return (URI, whether it is relative) of a path as `file_name` gives it."""
    try:
        # A name that is no text is held as the bytes it had.
        raw = file.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = file.encode("utf-8", "backslashreplace")
    text = quote(raw, safe="/")
    is_relative = not (
        PurePath(file).is_absolute() or re.match(r"[A-Za-z]:/", file) or file.startswith("../")
    )
    if is_relative:
        return text, True
    if file.startswith("../"):
        return text, False
    return "file://" + ("" if text.startswith("/") else "/") + text, False


def _location(file: str, line: int, column: int, pointer: str | None = None) -> dict[str, Json]:
    uri, is_relative = _uri(file or "standard-input")
    artifact: dict[str, Json] = {"uri": uri}
    if is_relative:
        artifact["uriBaseId"] = "%SRCROOT%"
    region: dict[str, Json] = {"startLine": max(line, 1)}
    if line and column:
        region["startColumn"] = column
    out: dict[str, Json] = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    if pointer is not None:
        out["logicalLocations"] = [{"fullyQualifiedName": printable(pointer), "kind": "member"}]
    return out


def _sarif_result(one: Finding, index: int) -> dict[str, Json]:
    violation = one.violation
    report = one.judgement.report
    pointer = (
        violation.instance_location
        if violation.place == "body"
        else f"{violation.place} {violation.instance_location}"
    )
    return {
        "ruleId": violation.rule,
        "ruleIndex": index,
        "level": one.level,
        "message": {"text": _cut(one.message)},
        "locations": [_location(one.file, one.line, one.column, _cut(pointer) or "/")],
        # GitHub reads this name alone, and makes one of the line's text where it is missing.
        "partialFingerprints": {
            "primaryLocationLineHash": f"{one.fingerprint[:16]}:1",
            "understudy/1": one.fingerprint,
        },
        "properties": {
            "evidence": violation.evidence,
            "provider": report.provider if report is not None else "",
            "operation": (report.operation if report is not None else None) or "",
        },
    }


def _notification(text: str, level: str, one: Judgement | None, name: str) -> dict[str, Json]:
    out: dict[str, Json] = {"level": level, "message": {"text": _cut(text)}, "descriptor": {"id": name}}
    if one is not None and one.found.file:
        out["locations"] = [_location(file_name(one.found.file), one.found.line, one.found.column)]
    return out


# --- JUnit ------------------------------------------------------------------------------------------------

_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to say."""


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text))


def junit(run: Run) -> str:
    """Return a run as JUnit XML: a suite for each file, a case for each request.

    A failure is a finding that counts, an error what could not be checked, skipped what cannot be judged
    without running the program; warnings that do not count are the case's output.
    """
    suites: dict[str, list[Judgement]] = {}
    for one in run.judgements:
        if one.is_counted or (one.unread and not one.is_foreign):
            suites.setdefault(printable(file_name(one.found.file)) or "standard input", []).append(one)
    body: list[str] = []
    totals = [0, 0, 0, 0]
    numbers = {id(one.violation): one for one in run.findings}
    for file, judgements in suites.items():
        cases, counts = [], [len(judgements), 0, 0, 0]
        for one in judgements:
            lines, kind = _case(one, numbers, file, is_strict=run.is_strict)
            cases += lines
            if kind:
                counts[kind] += 1
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        body += [f"  <testsuite name={_attribute(file)} {_counts(counts)}>", *cases, "  </testsuite>"]
    head = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="understudy lint" {_counts(totals)}>',
    ]
    return "\n".join([*head, *body, "</testsuites>"])


def _counts(counts: Sequence[int]) -> str:
    tests, failures, errors, skipped = counts
    return f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}" time="0"'


def _case(
    one: Judgement, known: Mapping[int, Finding], file: str, *, is_strict: bool
) -> tuple[list[str], int]:
    """Return (lines, 1 for a failure, 2 for an error, 3 for skipped, 0 for none) of one request."""
    line = f' line="{one.found.line}"' if one.found.line else ""
    names = (
        f"classname={_attribute(file)} name={_attribute(printable(one.found.label))} file={_attribute(file)}"
    )
    head = f'    <testcase {names}{line} time="0"'
    if one.report is None:
        if one.unread:
            inner, kind = f"      <skipped message={_attribute(unread_text(one))}/>", 3
        else:
            text = problem_text(one)
            inner, kind = f'      <error message={_attribute(text)} type="unchecked">{_xml(text)}</error>', 2
        return [f"{head}>", inner, "    </testcase>"], kind
    findings = [known[id(violation)] for violation in one.report.violations]
    counted = [finding for finding in findings if finding.level == "error" or is_strict]
    rest = [finding for finding in findings if finding not in counted]
    if not findings:
        return [f"{head}/>"], 0
    out = [f"{head}>"]
    if counted:
        title = counted[0].message + (f" (and {len(counted) - 1} more)" if len(counted) > 1 else "")
        about = f"message={_attribute(title)} type={_attribute(counted[0].violation.rule)}"
        text = "\n".join(map(_plain_line, counted))
        out.append(f"      <failure {about}>{_xml(text)}</failure>")
    if rest:
        text = "\n".join(map(_plain_line, rest))
        out.append(f"      <system-out>{_xml(text)}</system-out>")
    return [*out, "    </testcase>"], 1 if counted else 0


def _place(file: str, line: int, column: int) -> str:
    parts = [
        printable(file) or "standard input",
        str(line) if line else "",
        str(column) if line and column else "",
    ]
    return ":".join(part for part in parts if part)


def _plain_line(one: Finding) -> str:
    return f"{_place(one.file, one.line, one.column)}: {one.level}: {one.message} [{one.violation.rule}]"


# --- GitHub annotations -----------------------------------------------------------------------------------

MOST_ANNOTATIONS: Final = 10
"""Errors, warnings and notices, of each as many, that GitHub shows of a step.

Source: GitHub docs, workflow commands and limits of annotations.
"""


def github(run: Run) -> str:
    """Return a run as workflow commands: annotations for as many as GitHub shows, lines of the log for the rest."""
    items = [
        (
            "error" if one.level == "error" or run.is_strict else "warning",
            one.file,
            one.line,
            one.column,
            one.violation.rule,
            one.message,
        )
        for one in run.findings
    ]
    items += [
        (
            "error",
            file_name(one.found.file),
            one.found.line,
            one.found.column,
            "could not be checked",
            problem_text(one),
        )
        for one in run.problems
    ]
    items += [
        (
            "notice",
            file_name(one.found.file),
            one.found.line,
            one.found.column,
            "not readable",
            unread_text(one),
        )
        for one in run.unread
    ]
    lines: list[str] = []
    rest: list[str] = []
    counts: dict[str, int] = {}
    for level, file, line, column, title, message in items:
        counts[level] = counts.get(level, 0) + 1
        # The last notice is for the summary.
        most = MOST_ANNOTATIONS - (level == "notice")
        if counts[level] <= most:
            place = {
                "file": printable(file),
                "line": str(line) if line else "",
                "col": str(column) if line and column else "",
            }
            properties = ",".join(
                f"{name}={_property(text)}" for name, text in (place | {"title": title}).items() if text
            )
            lines.append(f"::{level} {properties}::{_data(message)}")
        else:
            rest.append(_harmless(f"{_place(file, line, column)}: {level}: {message} [{title}]"))
    more = [
        plural(count - (MOST_ANNOTATIONS - (level == "notice")), f"more {level}")
        for level, count in counts.items()
        if count > MOST_ANNOTATIONS - (level == "notice")
    ]
    summary = [run.tally.text(), *run.remarks]
    if more:
        shown = f"GitHub shows {MOST_ANNOTATIONS} of each kind for a step: {', '.join(more)} stand only in the log"
        summary.insert(1, shown)
    lines += rest
    lines.append(f"::notice title=understudy lint::{_data(printable('. '.join(summary)))}")
    return "\n".join(lines)


def _data(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")  # type: ignore[no-any-return]


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _harmless(text: str) -> str:
    """Return a line of a log that is no command: the runner looks for :: in front and for ##[ anywhere."""
    return "- " + clean(text).replace("##[", "## [").replace("::", ": :")  # type: ignore[no-any-return]


# --- Markdown ---------------------------------------------------------------------------------------------

LONGEST_MARKDOWN: Final = 60_000
"""Characters of a report in Markdown; a comment on a pull request may have 65,536.  Source: GitHub's API."""

_SIGNS: Final = re.compile(r"[&<>|`*_~\[\]()#@!\\$\"']")


def _markdown(text: str) -> str:
    """Return a text that means itself in Markdown, in a table too; what stands between backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(_code(part[1:-1]) if index % 2 else _entities(part) for index, part in enumerate(parts))


def _entities(text: str) -> str:
    plain = " ".join(printable(clean(text)).split())
    return _SIGNS.sub(lambda found: f"&#{ord(found[0])};", plain)


def _code(text: str) -> str:
    """Return a text as code, in which no name of a person or an issue becomes a link."""
    return f"<code>{_entities(text)}</code>" if text else ""


def markdown(run: Run) -> str:
    """Return a run as Markdown for a comment or a summary: a table of findings, gravest first."""
    findings = sorted(run.findings, key=lambda one: one.level)
    head = ["### understudy lint", "", _entities(run.tally.text()) + "."]
    head += ["", *(f"- {_entities(text)}" for text in run.remarks)] if run.remarks else []
    rows = [
        f"| {_WORDS[one.level]} | {_code(_place(one.file, one.line, one.column))} | {_finding_cell(one)} "
        f"| {_code(one.violation.rule)} ({one.violation.evidence}) |"
        for one in findings
    ]
    rows += [
        f"| not checked | {_code(_place(file_name(one.found.file), one.found.line, one.found.column))} "
        f"| {_entities(problem_text(one))} | |"
        for one in run.problems
    ]
    unread = [
        f"- {_code(_place(file_name(one.found.file), one.found.line, one.found.column))}: {_entities(one.unread)}"
        for one in run.unread
    ]
    out, size = list(head), sum(len(line) + 1 for line in head)
    for title, lines in (
        (["", "| | Where | What | Rule |", "|---|---|---|---|"], rows),
        (["", "Not readable, or not without running the program:", ""], unread),
    ):
        if not lines:
            continue
        out += title
        for index, line in enumerate(lines):
            size += len(line) + 1
            if size > LONGEST_MARKDOWN:
                left = len(lines) - index
                out += ["", f"And {left:,} more, left out as a comment takes no more."]
                break
            out.append(line)
    return "\n".join(out)


_WORDS: Final = {"error": "**error**", "warning": "warning"}


def _finding_cell(one: Finding) -> str:
    violation = one.violation
    text = f"{_code(one.where)} {_entities(violation.message)}"
    for word, held in (
        ("found", violation.found),
        ("allowed", violation.allowed),
        ("try", violation.suggestion),
    ):
        text += f"; {word} {_code(held)}" if held else ""
    return text


RENDERERS: Final[Mapping[str, Callable[[Run], str]]] = {
    "sarif": sarif,
    "junit": junit,
    "github": github,
    "markdown": markdown,
}
