"""Requests that were found, judged: whose they are, what is wrong with them, what the provider would say.

Knows the contracts and what was found; knows no files, terminals or options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Final
from urllib.parse import unquote, urlsplit

import orjson

from validator.addresses import Library, Place, Unknown, recognise
from validator.check import Examination, examine
from validator.contract.expressions import MISSING, Json, Scope, parse_pointer, resolve_pointer, to_text
from validator.contract.model import Contract, Operation
from validator.errors import Answer, refuse, render
from validator.found import Found, Position
from validator.keywords import Outcome, outcome
from validator.partial import examine_partial
from validator.printing import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    Paint,
    json_lines,
    painter,
    plural,
    without_empty,
)
from validator.report import (
    Report,
    Violation,
    abbreviate,
    printable,
    report_json,
    report_text,
    violation_json,
)
from validator.request import HttpRequest, repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said about one found request.

    `problem` says why nothing can be said, `hint` what to do then.  `note` says what was taken for granted.
    `answer` is the provider's refusal, `failure` the text of the failed task, `made` price and clip of a
    request that is taken.  `is_foreign`: for no provider, and left out: recorded in an archive with others,
    asked by a browser of itself, or for a mock server.  `unread` says what of a call in a program only running it
    would tell; `is_passed`: nothing to judge in a file that nobody named.  `ignored` are findings that a
    comment passes over, `known` those of a baseline; neither is in the report.
    """

    found: Found
    contract: Contract | None = None
    report: Report | None = None
    problem: str = ""
    hint: str = ""
    note: str = ""
    answer: Answer | None = None
    failure: str | None = None
    made: Outcome | None = None
    is_foreign: bool = False
    unread: str = ""
    is_passed: bool = False
    ignored: tuple[Violation, ...] = ()
    known: tuple[Violation, ...] = ()

    @property
    def is_counted(self) -> bool:
        """Tell whether this is about a request that was looked at, or should have been."""
        if self.is_foreign or self.is_passed:
            return False
        return self.report is not None or not self.unread

    def place(self, one: Violation) -> Position:
        """Return (line, column) of a finding in the file, 0 for what is not known."""
        if one.place == "body" and one.kind == "invalid":
            return self.found.position(one.instance_location)
        return self.found.line, self.found.column

    @property
    def verdict(self) -> str:
        """Return what the provider does, "unchecked" where that cannot be said."""
        return self.report.verdict if self.report is not None else "unchecked"


@dataclass(frozen=True, slots=True)
class StandIn:
    """The mock as the provider's texts see it: the same every time, and nobody's."""

    base_url: str
    path: str
    request_id: str = "00000000-0000-4000-8000-000000000000"
    now: int = 0


def judge(found: Found, library: Library, *, name: str = "") -> Judgement:
    """Return what is to be said about one found request; `name` is the file's, which may tell the operation."""
    request = found.request
    if request is None:
        if found.unread:
            return Judgement(found=found, unread=found.unread)
        return Judgement(found=found, problem=found.fault, is_passed=found.is_offered)
    if not request.url:
        return _judge_body(found, request, library, name)
    place = recognise(request, library, is_archived=found.is_archived or found.is_code)
    if found.is_archived and _is_preflight(request):
        place = Unknown("the browser's own question before a request to another origin", "", is_ours=True)
    if isinstance(place, Unknown):
        if found.is_code and request.method != "GET" and _is_filled_in(request):
            return Judgement(found=found, unread="its path is only known when the program runs")
        is_foreign = found.is_archived or found.is_code or found.is_offered or place.is_ours
        return Judgement(found=found, problem=place.problem, hint=place.hint, is_foreign=is_foreign)
    placed = replace(request, path=place.path)
    out = _examined(found, place.contract, placed)
    if found.is_code and out.operation is None and "{" in place.path:
        return Judgement(found=found, unread="its path is only known when the program runs")
    if _is_of_another_product(request, place, out):
        problem = f"the contract of {place.contract.id} does not describe the path {place.path[:80]}"
        hint = f"described: {', '.join(list(place.contract.routes.exact)[:4])}"
        is_foreign = found.is_archived or found.is_code or found.is_offered
        return Judgement(found=found, problem=problem, hint=hint, is_foreign=is_foreign)
    return replace(_judged(found, placed, place.contract, out, note=place.note), unread=found.unread)


_FEW: Final = 4
"""Signs by which a path that was mistyped differs from the one that was meant, such as `-to-` from `2`."""


def _is_of_another_product(request: HttpRequest, place: Place, out: Examination) -> bool:
    """Tell whether a provider's own host is asked for something that no contract describes.

    Providers have more to sell than what is known here; only a path that is almost a known one is a mistake.
    """
    if not any(one.kind == "no-route" for one in out.report.violations):
        return False
    if (urlsplit(request.url).hostname or "").rstrip(".") not in place.contract.hosts:
        return False
    steps = place.path.split("/")
    routes = [*place.contract.routes.exact]
    for template, _ in place.contract.routes.templated:
        if len(template) == len(steps):
            pairs = zip(template, steps, strict=True)
            routes.append("/".join(step if part is None else part for part, step in pairs))
    return not any(_differ_little(place.path, one) for one in routes)


def _differ_little(one: str, other: str) -> bool:
    """Tell whether few signs have to be changed to make one text of another."""
    if abs(len(one) - len(other)) > _FEW:
        return False
    row = list(range(len(other) + 1))
    for number, sign in enumerate(one, start=1):
        above, row = row, [number]
        for index, wanted in enumerate(other):
            row.append(min(row[index] + 1, above[index + 1] + 1, above[index] + (sign != wanted)))
        if min(row) > _FEW:
            return False
    return row[-1] <= _FEW


def _is_filled_in(request: HttpRequest) -> bool:
    """Tell whether a call may be for anybody, as parts of its path are only known when the program runs."""
    host, _, path = re.sub(r"^[a-z]+://", "", request.url).partition("/")
    return "{" in path and ("{" in host or not host)


def _examined(
    found: Found, contract: Contract, request: HttpRequest, *, operation: str | None = None
) -> Examination:
    """Examine a request, with its holes where it has some."""
    if found.value is MISSING:
        return examine(contract, request, operation=operation)
    return examine_partial(contract, request, found.value, operation=operation)


def _is_preflight(request: HttpRequest) -> bool:
    """Tell whether a browser asked this by itself.  Source: Fetch, CORS-preflight request."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


# --- bodies -----------------------------------------------------------------------------------------------


def _judge_body(found: Found, request: HttpRequest, library: Library, name: str) -> Judgement:
    """Judge a body that came without a URL."""
    if (found.is_code or found.is_offered) and not _may_be_meant(request, library):
        if found.is_code:
            return Judgement(found=found, unread=found.unread)
        return Judgement(found=found, problem="a body alone does not tell whom it is for", is_passed=True)
    if library.provider is None:
        known = ", ".join(library.contracts)
        return Judgement(
            found=found,
            problem="a body alone does not tell whom it is for",
            hint=f"give --provider, one of {known}; or the whole request, with its URL",
        )
    contract = library.contracts[library.provider]
    chosen = choose_operation(contract, request, wanted=library.operation, name=name)
    if isinstance(chosen, Unknown):
        return Judgement(found=found, problem=chosen.problem, hint=chosen.hint)
    operation, note = chosen
    out = _examined(found, contract, request, operation=operation.id)
    return _judged(found, request, contract, out, note=note)


def _may_be_meant(request: HttpRequest, library: Library) -> bool:
    """Tell whether a body may be for the provider in question, which knows most of its members then."""
    if library.provider is None:
        return False
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(body, dict) or not body:
        return False
    operations = library.contracts[library.provider].operations.values()
    taking = [one.body for one in operations if one.body is not None and library.operation in (None, one.id)]
    return any(2 * len(body.keys() & set(schema.members)) > len(body) for schema in taking)


def choose_operation(
    contract: Contract, request: HttpRequest, *, wanted: str | None, name: str
) -> tuple[Operation, str] | Unknown:
    """Return (the operation a body is for, why it was taken), or why that cannot be told."""
    if wanted is not None:
        return contract.operations[wanted], ""
    taking = [one for one in contract.operations.values() if one.body is not None]
    if not taking:
        return Unknown(f"no operation of {contract.id} takes a body", "give the whole request, with its URL")
    if len(taking) == 1:
        return taking[0], f"taken for {taking[0].id}, the only operation with a body"
    by_name = [one for one in taking if _is_named(one.id, name)]
    if len(by_name) == 1:
        return by_name[0], f"taken for {by_name[0].id} by the name of the file"
    strange = {one.id: _strange_members(contract, one, request) for one in taking}
    fewest = min(strange.values())
    fitting = [one for one in taking if strange[one.id] == fewest]
    ids = ", ".join(one.id for one in fitting)
    if len(fitting) == 1:
        knows = "knows most of its members" if fewest else "knows all its members"
        return fitting[0], f"taken for {ids}, the only operation that {knows}"
    taken = [one for one in fitting if _is_taken(contract, one, request)]
    if len(taken) == 1:
        return taken[0], f"taken for {taken[0].id}, the only operation that would take it"
    if all(one.body is fitting[0].body for one in fitting):
        return fitting[0], f"taken for {fitting[0].id}; {ids} take the same body"
    return Unknown(
        "no operation knows all members of the body" if fewest else f"the body may be for {ids}",
        f"give --operation, one of {', '.join(one.id for one in taking)}",
    )


def _is_named(operation: str, name: str) -> bool:
    """Tell whether a file's name says an operation: one holds the other, signs and capitals apart."""
    stem = re.sub(r"[^a-z0-9]", "", PurePath(name).name.partition(".")[0].lower())
    plain = re.sub(r"[^a-z0-9]", "", operation.lower())
    return len(stem) >= 6 and (stem in plain or plain in stem)


def _is_taken(contract: Contract, operation: Operation, request: HttpRequest) -> bool:
    return examine(contract, request, operation=operation.id).report.verdict != "refused"


def _strange_members(contract: Contract, operation: Operation, request: HttpRequest) -> int:
    """Return how many members of a body an operation does not know."""
    report = examine(contract, request, operation=operation.id).report
    return sum(one.keyword == "additionalProperties" for one in report.violations)


# --- what is not there ------------------------------------------------------------------------------------

_LONGEST_PLACEHOLDER: Final = 300
"""Characters; what is longer was filled in, and a picture in Base64 would be searched for minutes."""

_PLACEHOLDERS: Final = re.compile(
    r"""
      <[^<>]+> | \{[^{}]+\} | \{\{.+\}\} | %\w+% | \[[\w -]+\] | :[a-z_]+   # <key> {{key}} %KEY% [key]
    | \$.+ | `.+`                                                            # $KEY ${KEY} $(make-key)
    | .*[x*.…#]{4,}.* | [x*.…#-]{3,} | .*(?:\.\.\.|…)                         # sk-xxxx *** ...
    | .*\byour\b.* | .*\breplace\b.* | .*\bchange\s?me\b.* | .*\bredacted\b.* | .*\bplaceholder\b.*
    | (?:my|the|an?)?\s?(?:api|access|secret|auth|bearer|jwt)?\s?(?:key|token|jwt|secret)(?:\s?here)?
    | (?:task|generation|video)?\s?id
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_placeholder(text: str) -> bool:
    """Tell whether a credential or an id obviously stands for one that is filled in later.

    >>> is_placeholder("Bearer <your-token>"), is_placeholder("Bearer mz_8f3a")
    (True, False)
    """
    if len(text) > _LONGEST_PLACEHOLDER:
        return False
    text = re.sub(r"^(?:bearer|basic|token|key)\s+(?=\S)", "", unquote(text).strip(), flags=re.IGNORECASE)
    words = re.sub(r"[_-]+", " ", text)
    return _PLACEHOLDERS.fullmatch(text) is not None or _PLACEHOLDERS.fullmatch(words) is not None


def _without_guesses(found: Found, request: HttpRequest, out: Examination) -> Report:
    """Return the report without findings about what the text does not really hold."""
    report, unchecked = out.report, list(out.report.unchecked)
    violations = list(report.violations)
    missing = _missing_credential(found, request, out.operation)
    if missing:
        violations = [one for one in violations if one.kind != "unauthorized"]
        unchecked.append(missing)
    if found.is_query_open:
        violations = [one for one in violations if one.place != "query"]
        unchecked.append("the query: only known when the program runs")
    if not found.has_body:
        violations = [one for one in violations if one.kind != "malformed"]
    unchecked += found.unchecked
    unchecked += repeated(request.body)
    for one in list(violations):
        filled_in = _filled_in(one, found, request, out)
        if filled_in:
            violations.remove(one)
            unchecked.append(f"{one.field or 'the combination'}: {filled_in} is filled in later")
    violations = [_with_hint(one, out) for one in violations]
    return replace(report, violations=tuple(violations), unchecked=tuple(dict.fromkeys(unchecked)))


def _missing_credential(found: Found, request: HttpRequest, operation: Operation | None) -> str:
    """Return why a credential cannot be judged, "" where it can."""
    if operation is None or not operation.credentials:
        return ""
    names = {one.header for one in operation.credentials}
    sent = [value for name in names if (value := request.headers.get(name, "")).strip()]
    if any(is_placeholder(value) or any(text in value for text in found.open) for value in sent):
        return "the credential (a placeholder stands for it)"
    if not sent and found.is_code:
        return "the credential (the program adds it elsewhere)"
    if not sent and found.is_archived and "authorization" in names:
        return "the credential (browsers leave it out of archives)"
    return ""


def _filled_in(one: Violation, found: Found, request: HttpRequest, out: Examination) -> str:
    """Return the text in the place of a finding that is only filled in later, "" for none."""
    if one.kind != "invalid":
        return ""
    if one.place != "body":
        source: Mapping[str, str] = {
            "path": out.path,
            "query": request.query,
            "header": request.headers,
        }[one.place]
        value = source.get(one.instance_location, "")
        is_open = any(text in value for text in found.open)
        return value[:80] if value and (is_open or is_placeholder(value)) else ""
    if not found.open:
        return ""
    held: Json = resolve_pointer(out.body, parse_pointer(one.instance_location))
    values = [held, *(one.keys.values() if not one.instance_location else ())]
    return next(
        (text for value in values if isinstance(value, str) for text in found.open if text in value), ""
    )


def _with_hint(one: Violation, out: Examination) -> Violation:
    """Return a finding about a value that was copied from a page and never filled in with a word about that."""
    if one.kind != "invalid" or one.place != "body" or not one.instance_location or one.suggestion:
        return one
    held: Json = resolve_pointer(out.body, parse_pointer(one.instance_location))
    if not isinstance(held, str) or not held or not is_placeholder(held):
        return one
    return replace(one, suggestion=f"put a value in the place of {abbreviate(held)}")


def _judged(
    found: Found, request: HttpRequest, contract: Contract, out: Examination, *, note: str
) -> Judgement:
    """Return the judgement with the provider's answer, or with price and clip."""
    report = _without_guesses(found, request, out)
    made = Judgement(found=found, contract=contract, report=report, note=note)
    operation = out.operation
    if found.value is not MISSING:
        # What the provider answers, and what a task costs, may depend on what is not known.
        return made
    if report.verdict == "refused":
        scope = _scope(contract, request, out)
        refusal = refuse(contract, report.violations, scope, operation=operation.id if operation else "")
        return replace(made, answer=render(refusal, scope, accept=request.headers.get("accept", "")))
    failing = next((one for one in report.violations if one.effect == "fail"), None)
    if failing is not None:
        made = replace(made, failure=failing.failure or failing.message)
    if operation is not None and operation.body is not None and found.has_body and isinstance(out.body, dict):
        return replace(made, made=outcome(operation.body, out.body, out.pictures, out.row))
    return made


def _scope(contract: Contract, request: HttpRequest, out: Examination) -> Scope:
    base = f"https://{contract.hosts[0]}{contract.base_path}"
    body = {} if out.body is MISSING else out.body
    return Scope(request=request, body=body, path=out.path, mock=StandIn(base_url=base, path=request.path))


# --- renderings -------------------------------------------------------------------------------------------

_COLOURS: Final[Mapping[str, str]] = {
    "accepted": GREEN,
    "refused": RED,
    "fails": RED,
    "unchecked": YELLOW,
}


def judgement_text(one: Judgement, *, colour: bool = False) -> str:
    """Return what is said about one request, for people."""
    paint = painter(colour=colour)
    lines = [f"{paint(printable(one.found.label), BOLD)}: {_headline(one, paint)}"]
    if one.report is None and one.unread:
        return f"{lines[0]}\n{_row('why', one.unread)}"
    if one.report is None or one.contract is None:
        lines.append(_row("why", one.problem))
        return "\n".join(lines + ([_row("try", one.hint)] if one.hint else []))
    places = [place_text(one, violation) for violation in one.report.violations]
    findings = report_text(
        replace(one.report, unchecked=()), one.contract.sources, is_coloured=colour, places=places
    )
    lines += [findings] if findings else []
    if one.answer is not None:
        lines += _answer_lines(one.answer, paint)
    if one.failure is not None:
        lines.append(_row("failure", f"the task ends with '{one.failure}'"))
    lines += [_row(name, text) for name, text in _made_texts(one)]
    lines += [paint(_row("note", one.note), DIM)] if one.note else []
    lines += [paint(_row("not checked", sentence), DIM) for sentence in one.report.unchecked]
    return "\n".join(lines)


def place_text(one: Judgement, violation: Violation) -> str:
    """Return where a finding stands as editors read it, file:line:column; "" where that is not known."""
    line, column = one.place(violation)
    if not one.found.file or not line or not column:
        return ""
    return f"{one.found.file}:{line}:{column}"


def _headline(one: Judgement, paint: Paint) -> str:
    if one.report is None and one.unread:
        return paint("not readable" if one.found.fault else "not readable without running it", DIM)
    if one.report is None or one.contract is None:
        return paint("could not be checked", _COLOURS["unchecked"])
    request = one.found.request
    where = [one.contract.id, one.report.operation or ""]
    if request is not None and request.url:
        where.insert(0, f"{request.method} {request.path[:80]},")
    verdict = one.verdict
    if verdict == "accepted" and not one.found.has_body:
        verdict = "accepted as far as it is there"
    return f"{paint(verdict, _COLOURS[one.verdict])} ({printable(' '.join(where).rstrip())})"


def _row(name: str, text: str) -> str:
    return f"  {name:<11}  {printable(text)}"


def _answer_lines(answer: Answer, paint: Paint) -> list[str]:
    """Return the provider's answer, and how sure that is."""
    first, *rest = json_lines(answer.body)
    media = "" if answer.media_type == "application/json" else f" {answer.media_type}"
    sure = paint(f"  ({answer.evidence})", DIM)
    lines = [f"  {'answer':<11}  {answer.status}{media} {first}", *(f"  {'':<11}  {line}" for line in rest)]
    return [*lines[:-1], lines[-1] + sure]


def _made_texts(one: Judgement) -> list[tuple[str, str]]:
    """Return (name, text) about price and clip."""
    if one.made is None or one.report is None or one.contract is None:
        return []
    operation = one.contract.operations[one.report.operation or ""]
    money = operation.money
    cost = f"{to_text(one.made.cost)} in the provider's own units"
    if money is not None:
        cost += f", {one.made.cost * money.per_unit:.{money.decimals}f} {money.currency}"
    if one.failure is not None:
        cost += "; nothing is taken for a task that fails"
    out = [("cost", cost)]
    shape = one.made.shape
    if shape is not None and one.failure is None:
        sound = ", with sound" if shape.has_audio else ""
        clip = f"{shape.width}x{shape.height}, {to_text(shape.seconds)} s at {shape.fps} frames a second"
        out.append(("clip", clip + sound))
    return out


def judgement_json(one: Judgement) -> dict[str, Json]:
    """Return what is said about one request, for machines; docs/lint.md describes the members."""
    found, report = one.found, one.report
    request = found.request
    out: dict[str, Json] = {
        "label": found.label,
        "file": found.file,
        "line": found.line or None,
        "column": found.column or None,
        "entry": found.entry or None,
        "method": request.method if request is not None and request.url else None,
        "path": request.path if request is not None and request.url else None,
        "verdict": one.verdict,
        "problem": one.problem,
        "hint": one.hint,
        "note": one.note,
        "unread": one.unread,
    }
    if report is None:
        return without_empty(out)
    shown = report_json(report)
    out |= {"provider": shown["provider"], "operation": shown["operation"]}
    if one.answer is not None:
        out["answer"] = {
            "status": one.answer.status,
            "mediaType": one.answer.media_type,
            "headers": dict(one.answer.headers),
            "body": one.answer.body,
            "evidence": one.answer.evidence,
        }
    out["failure"] = one.failure
    if one.made is not None:
        out["cost"] = one.made.cost
        shape = one.made.shape
        if shape is not None:
            out["clip"] = {
                "width": shape.width,
                "height": shape.height,
                "fps": shape.fps,
                "seconds": shape.seconds,
                "hasAudio": shape.has_audio,
            }
    violations = []
    for violation in report.violations:
        line, column = one.place(violation)
        violations.append(violation_json(violation) | without_zero({"line": line, "column": column}))
    hidden = {"ignored": [violation_json(each) for each in one.ignored]}
    hidden["known"] = [violation_json(each) for each in one.known]
    return without_empty(out | hidden) | {"violations": violations, "unchecked": shown["unchecked"]}


def unread_json(one: Judgement) -> dict[str, Json]:
    """Return a call that cannot be judged without running the program, for machines."""
    found = one.found
    numbers = without_zero({"line": found.line, "column": found.column})
    return without_empty({"label": found.label, "file": found.file}) | numbers | {"reason": one.unread}


def without_zero(numbers: Mapping[str, int]) -> dict[str, Json]:
    """Return numbers without those that stand for nothing."""
    return {name: value for name, value in numbers.items() if value}


@dataclass(slots=True)
class Tally:
    """What a run found: requests by verdict, warnings, and what was left out, with the reason.

    `skipped` are requests to others, `unread` calls that cannot be judged without running the program, `ignored`
    findings that a comment passes over, `known` those of a baseline, `calls` all calls in programs, `broken` what
    cannot be read in files that nobody named.
    `without` are the files with something in them that is no request, `holding` those with one.
    """

    accepted: int = 0
    fails: int = 0
    refused: int = 0
    unchecked: int = 0
    warnings: int = 0
    skipped: int = 0
    unread: int = 0
    ignored: int = 0
    known: int = 0
    calls: int = 0
    broken: int = 0
    without: set[str] = field(default_factory=set)
    holding: set[str] = field(default_factory=set)

    def add(self, one: Judgement) -> None:
        """Count one judgement."""
        self.calls += one.found.is_code and not one.found.fault
        if one.is_passed:
            self.without.add(one.found.file)
            return
        self.holding.add(one.found.file)
        if one.is_foreign:
            self.skipped += 1
            return
        if one.found.fault and one.unread:
            self.broken += 1
            return
        self.unread += bool(one.unread)
        if not one.is_counted:
            return
        setattr(self, one.verdict, getattr(self, one.verdict) + 1)
        self.warnings += len(one.report.warnings) if one.report is not None else 0
        self.ignored += len(one.ignored)
        self.known += len(one.known)

    @property
    def passed(self) -> int:
        """Return how many files held no request; a page may hold some, and code that is none."""
        return len(self.without - self.holding)

    @property
    def requests(self) -> int:
        """Return how many requests there were, without those left out."""
        return self.accepted + self.fails + self.refused + self.unchecked

    def exit_code(self, *, is_strict: bool, may_be_none: bool = False) -> int:
        """Return 2 where something could not be checked, 1 where something was found, 0 otherwise.

        2 comes first, so that 1 always means: everything was looked at.  `may_be_none`: no request at all is
        no fault.
        """
        if self.unchecked or not (self.requests or may_be_none):
            return 2
        return 1 if self.refused or self.fails or (is_strict and self.warnings) else 0

    def text(self) -> str:
        """Return the last line of a run."""
        parts = [
            f"{count:,} {word}"
            for count, word in (
                (self.accepted, "accepted"),
                (self.refused, "refused"),
                (self.fails, "would fail"),
                (self.unchecked, "could not be checked"),
            )
            if count
        ]
        line = f"{plural(self.requests, 'request')}: {', '.join(parts) or 'nothing to check'}"
        for count, word, rest in (
            (self.warnings, "warning", ""),
            (self.ignored, "finding", " passed over by a comment"),
            (self.known, "finding", " in the baseline"),
            (self.skipped, "request", " to others left out"),
        ):
            line += f"; {plural(count, word)}{rest}" if count else ""
        if self.unread:
            line += f"; {plural(self.calls, 'call')} looked at, {self.unread:,} not readable without running"
        line += f"; {plural(self.broken, 'place')} not readable" if self.broken else ""
        return line + (f"; {plural(self.passed, 'file')} without requests" if self.passed else "")

    def to_json(self) -> dict[str, int]:
        """Return the counts, for machines."""
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "refused": self.refused,
            "fails": self.fails,
            "unchecked": self.unchecked,
            "warnings": self.warnings,
            "skipped": self.skipped,
            "calls": self.calls,
            "unread": self.unread,
            "broken": self.broken,
            "passed": self.passed,
            "ignored": self.ignored,
            "known": self.known,
        }
