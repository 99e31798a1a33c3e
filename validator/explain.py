"""Rules explained: what a rule says, where that is written, what the provider answers, two examples.

Also finds the rule that is meant, and lists rules and statements for tables.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from validator.cases import Case, find_case, shorten
from validator.check import examine, protocol_rules, rule_violation
from validator.contract.compile import compile_document
from validator.contract.expressions import Json, Scope, resolve_pointer
from validator.contract.model import Contract, Effect, Rule, Source
from validator.contract.trees import ASSERTIONS
from validator.errors import Answer, refuse, render
from validator.lint import StandIn
from validator.printing import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    json_lines,
    painter,
    without_empty,
)
from validator.report import Violation, printable
from validator.request import HttpRequest

EFFECTS: Final[Mapping[str, str]] = {
    "reject": "the provider refuses the request; no task is made",
    "fail": "the provider takes the request, and the task ends in failure",
    "warn": "the provider takes the request; the check warns",
    "off": "a stricter reading that is not applied; --effect RULE=reject asks for it",
}
EVIDENCE: Final[Mapping[str, str]] = {
    "documented": "stands on a page of the provider",
    "captured": "seen in a published real answer",
    "reported": "said by third-party code or notes",
    "assumed": "our own choice, as nothing is known",
}
EFFECT_COLOURS: Final[Mapping[str, str]] = {"reject": RED, "fail": RED, "warn": YELLOW, "off": DIM}
_EXPLAINED: Final = ASSERTIONS | {"not", "anyOf", "oneOf", "contains"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule as a list shows it; `is_of_spec` is False for findings that no rule of a spec names."""

    id: str
    effect: Effect
    evidence: str
    message: str
    source: str
    is_of_spec: bool


def rule_rows(contract: Contract) -> Iterator[RuleRow]:
    """Yield the rules of a contract in the order of its spec, then the findings that need none."""
    for rule in contract.rules.values():
        yield RuleRow(
            id=rule.id,
            effect=rule.effect,
            evidence=rule.evidence,
            message=_readable(rule.message),
            source=rule.source,
            is_of_spec=True,
        )
    for one in protocol_rules(contract):
        yield RuleRow(
            id=one.rule,
            effect=one.effect,
            evidence=one.evidence,
            message=one.message,
            source=one.source,
            is_of_spec=False,
        )


def find_rules(name: str, known: Sequence[str]) -> list[str]:
    """Return the rules a name may mean: itself, those it is the end of, a part of, inside of, or similar to."""
    if name in known:
        return [name]
    for matches in (
        [one for one in known if one.endswith("." + name)],
        [one for one in known if name in re.split(r"[.-]", one)],
        [one for one in known if name and name in one],
    ):
        if matches:
            return matches
    return difflib.get_close_matches(name[:200], known, n=5, cutoff=0.6)


def _readable(text: str) -> str:
    """Return a message for a list, where no finding fills it in: `{$error.field}` reads <field>."""
    return re.sub(r"\{\$error\.(?:keys\.)?(\w+)\}", r"<\1>", text)


# --- one rule ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All there is to say about a rule.

    `source` and `place` are the page and the place on it; `pointer` where the rule stands in the spec, "" for
    findings without a rule; `operations` those whose requests it is about.  `answer` is the provider's
    refusal, or what it would be if the rule were not off; `failure` the text of the failed task.
    """

    rule: RuleRow
    contract: Contract
    source: Source | None
    place: str
    pointer: str
    operations: tuple[str, ...]
    broken: Case | None = None
    met: Case | None = None
    answer: Answer | None = None
    failure: str | None = None


def explain(contract: Contract, rule: str) -> Explanation:
    """Return the explanation of a rule of this contract, by its whole id; raises SpecError for a broken case file."""
    row = next(one for one in rule_rows(contract) if one.id == rule)
    key, _, place = row.source.partition("#")
    known = contract.rules.get(rule)
    # A rule that is off is shown as if it had been asked for.
    asked = contract if row.effect != "off" else compile_document(contract.document, effects={rule: "reject"})
    made = Explanation(
        rule=row,
        contract=contract,
        source=contract.sources.get(key),
        place=place,
        pointer=known.pointer if known is not None else "",
        operations=tuple(_operations(asked, rule)),
        broken=find_case(contract.id, rule, "fail"),
        met=find_case(contract.id, rule, "pass"),
    )
    if row.effect == "warn":
        return made
    if known is None:
        violation = next(one for one in protocol_rules(contract) if one.rule == rule)
        return replace(made, answer=_answer(contract, [violation], HttpRequest(method="GET", path="/"), ""))
    violations, request, operation = _broken(asked, asked.rules[rule], made)
    first = next((one for one in violations if one.rule == rule), None)
    if first is None:
        return made
    if first.effect == "fail":
        return replace(made, failure=first.failure or first.message)
    return replace(made, answer=_answer(asked, violations, request, operation))


def _operations(contract: Contract, rule: str) -> Iterator[str]:
    for operation in contract.operations.values():
        if any(one.id == rule for one in operation.rules):
            yield operation.id


def _broken(
    contract: Contract, rule: Rule, made: Explanation
) -> tuple[Sequence[Violation], HttpRequest, str]:
    """Return (findings, request, operation) of a request that breaks the rule."""
    case = made.broken
    if case is not None and not case.has_pictures:
        request = case.request()
        out = examine(contract, request, operation=case.operation)
        return out.report.violations, request, out.operation.id if out.operation else ""
    # No picture is at hand that breaks it; the finding is made up from the rule itself.
    operation = case.operation if case is not None else next(iter(made.operations), None)
    unique = next(
        (one for known in contract.operations.values() for one in known.unique if one.rule is rule), None
    )
    location = unique.pointer if unique is not None else _member(rule.pointer)
    location = case.location if case is not None and case.location else location
    holder = resolve_pointer(contract.document.root, _tokens(rule.pointer)[:-1])
    word = holder.get("x-image", {}) if isinstance(holder, dict) else {}
    keyword = next(iter(word), None) or next((one for one in holder if one in _EXPLAINED), "")
    finding = rule_violation(
        rule,
        "condition",
        location=location,
        keyword="pattern" if keyword == "carriers" else keyword,
        value=_value(case, location),
    )
    if unique is not None:
        finding = replace(finding, kind="conflict", value="my-clip")
    return [finding], HttpRequest(method="POST", path="/"), operation or ""


def _member(pointer: str) -> str:
    """Return the member that a rule stands at, by its place in the spec; /member where that says nothing."""
    tokens = _tokens(pointer)
    names = [name for word, name in itertools.pairwise(tokens) if word == "properties"]
    return f"/{names[-1]}" if names else "/member"


def _value(case: Case | None, location: str) -> Json:
    found = resolve_pointer(shorten(case.body), _tokens(location)) if case is not None else ""
    return found if isinstance(found, str | int | float) else ""


def _tokens(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _answer(
    contract: Contract, violations: Sequence[Violation], request: HttpRequest, operation: str
) -> Answer | None:
    if not any(one.effect == "reject" for one in violations):
        return None
    base = f"https://{contract.hosts[0]}{contract.base_path}"
    scope = Scope(request=request, body={}, path={}, mock=StandIn(base_url=base, path=request.path))
    return render(refuse(contract, violations, scope, operation=operation), scope)


# --- renderings -------------------------------------------------------------------------------------------


def explanation_text(one: Explanation, *, colour: bool = False) -> str:
    """Return an explanation for people."""
    paint = painter(colour=colour)
    row = one.rule
    lines = [paint(row.id, BOLD), f"  {printable(row.message)}", ""]
    effect = paint(row.effect, EFFECT_COLOURS[row.effect])
    lines.append(f"  effect      {effect}: {EFFECTS[row.effect]}")
    lines.append(f"  evidence    {row.evidence}: {EVIDENCE[row.evidence]}")
    lines += [f"  {'source' if not index else '':<10}  {text}" for index, text in enumerate(_source(one))]
    if one.operations:
        lines.append(f"  operations  {', '.join(one.operations)}")
    if one.pointer:
        lines.append(f"  stands at   {one.contract.document.file}#{one.pointer}")
    elif not row.id.endswith(".unknown-member"):
        lines.append("  stands at   no rule of the spec: found around a request, not in it")
    if one.broken is not None:
        lines += ["", paint("Breaks it", RED), *_case_lines(one.broken)]
    if one.answer is not None:
        first, *rest = json_lines(one.answer.body)
        lead = "Would be answered" if row.effect == "off" else "Is answered"
        sure = paint(f"  ({one.answer.evidence}: {EVIDENCE[one.answer.evidence]})", DIM)
        lines += [
            "",
            paint(lead, RED) + sure,
            f"  {one.answer.status} {first}",
            *(f"  {line}" for line in rest),
        ]
    if one.failure is not None:
        lines += ["", paint("The task ends with", RED), f"  {printable(one.failure)}"]
    if one.met is not None:
        lines += ["", paint("Meets it", GREEN), *_case_lines(one.met)]
    return "\n".join(lines)


def _source(one: Explanation) -> Iterable[str]:
    if one.source is None:
        return [one.rule.source or "none: it says what no page describes"]
    page = one.source
    read = f"read on {page.retrieved}" + (f", snapshot {page.snapshot}" if page.snapshot else "")
    written = (page.title + (f", {one.place}" if one.place else ""), page.url or "", read)
    return [printable(line) for line in written if line]


def _case_lines(case: Case) -> Iterator[str]:
    if case.why:
        yield f"  {printable(case.why)}"
    yield f"  {case.operation}" if case.operation else f"  {case.method} {printable(case.path)}"
    for name, value in case.headers.items():
        yield f"  {name}: {printable(str(value))}"
    if case.text is not None:
        yield f"  {printable(case.text)}"
    elif case.has_body:
        yield from (f"  {line}" for line in json_lines(shorten(case.body)))


def explanation_json(one: Explanation) -> dict[str, Json]:
    """Return an explanation for machines; docs/lint.md describes the members."""
    row, source, answer = one.rule, one.source, one.answer
    return without_empty(
        {
            "rule": row.id,
            "message": row.message,
            "effect": row.effect,
            "evidence": row.evidence,
            "source": without_empty(
                {
                    "key": source.key,
                    "title": source.title,
                    "place": one.place,
                    "url": source.url,
                    "snapshot": source.snapshot,
                    "retrieved": source.retrieved,
                }
            )
            if source is not None
            else None,
            "operations": list(one.operations),
            "pointer": one.pointer,
            "breaks": _case_json(one.broken),
            "meets": _case_json(one.met),
            "answer": {"status": answer.status, "body": answer.body, "evidence": answer.evidence}
            if answer is not None
            else None,
            "failure": one.failure,
        }
    )


def _case_json(case: Case | None) -> dict[str, Any] | None:
    if case is None:
        return None
    shown = without_empty(
        {"why": case.why, "operation": case.operation, "headers": dict(case.headers) or None}
    )
    if case.operation is None:
        shown |= {"method": case.method, "path": case.path}
    if case.text is not None:
        shown["text"] = case.text
    elif case.has_body:
        shown["body"] = shorten(case.body)
    return without_empty(shown | {"verdict": case.verdict, "location": case.location}) | (
        {"body": shown["body"]} if "body" in shown else {}
    )
