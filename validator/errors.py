"""How the provider refuses: the finding that decides, the case that answers it, the words it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from validator.contract.expressions import MISSING, Json, Scope, to_text
from validator.contract.model import (
    BodyTemplate,
    Contract,
    ErrorCase,
    Evidence,
    Phrase,
    ResponseTemplate,
    When,
)
from validator.contract.refusals import glob_matches
from validator.contract.templates import weakest
from validator.report import Violation, abbreviate


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """What `$error` expressions see of a finding."""

    kind: str
    reason: str
    rule: str
    keyword: str
    field: str
    location: str
    value: Json
    found: str
    allowed: str
    limit: Json
    type: str
    primitive: str
    count: int | None
    keys: dict[str, str]
    status: int | None = None
    code: int | str | None = None
    message: str = ""
    phrase: str = ""
    phrases: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The provider's answer to a request it does not take, but for the rendering.

    `evidence` is that of the weakest of its words: the case's, and the sentences in it.
    """

    case: ErrorCase
    decisive: Violation
    error: ErrorView
    errors: tuple[ErrorView, ...]
    evidence: Evidence

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.case.status

    @property
    def response(self) -> ResponseTemplate:
        """Return the templates of the envelope."""
        return self.case.response


def refuse(
    contract: Contract, violations: Sequence[Violation], scope: Scope, *, operation: str = ""
) -> Refusal:
    """Return how the provider refuses a request with these findings; at least one must be a refusal.

    The first finding in the order of judgement decides, and the first case that matches it answers.
    """
    faults = [one for one in violations if one.effect == "reject"]
    decisive = faults[0]
    case = next(case for case in contract.cases if matches(case.when, decisive, operation))
    chosen = [_phrase(contract, one, operation) for one in faults]
    views = tuple(_view(one, phrase, scope) for one, phrase in zip(faults, chosen, strict=True))
    phrases = "\n".join(view.phrase for view in views if view.phrase)
    spoken = [phrase.evidence for phrase in chosen if phrase is not None] if case.has_phrases else []
    view = replace(views[0], status=case.status, code=case.code, phrases=phrases)
    view = replace(view, message=case.message(replace(scope, error=view)))
    evidence = weakest((case.evidence, *spoken))
    return Refusal(case=case, decisive=decisive, error=view, errors=views, evidence=evidence)


def matches(when: When, violation: Violation, operation: str) -> bool:
    """Tell whether a case answers to a finding: everything it names must hold."""
    return (
        (when.kind is None or when.kind == violation.kind)
        and (when.reason is None or when.reason == violation.reason)
        and (when.keyword is None or when.keyword == violation.keyword)
        and (when.place is None or when.place == violation.place)
        and (when.operation is None or when.operation == operation)
        and (when.rule is None or glob_matches(when.rule, violation.rule))
        and (when.path is None or glob_matches(when.path, violation.instance_location))
    )


def error_view(violation: Violation) -> ErrorView:
    """Return what `$error` sees of a finding, before the provider's words are chosen."""
    value = violation.value
    return ErrorView(
        kind=violation.kind,
        reason=violation.reason,
        rule=violation.rule,
        keyword=violation.keyword,
        field=violation.field,
        location=violation.instance_location,
        value=value if isinstance(value, int | float | bool | None) else _short(value),
        found=str(value) if violation.kind == "unauthorized" and value else violation.found,
        allowed=violation.allowed,
        limit=violation.limit,
        type=json_type(value),
        primitive="number" if json_type(value) == "integer" else json_type(value),
        count=len(value) if isinstance(value, str | list | dict) else None,
        keys=dict(violation.keys),
    )


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) <= 200 else value[:199] + "…"
    return abbreviate(value, 200)


def json_type(value: Json) -> str:
    """Return the JSON Schema type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _phrase(contract: Contract, violation: Violation, operation: str) -> Phrase | None:
    """Return the provider's sentence for a fault, or None."""
    return next((one for one in contract.phrases if matches(one.when, violation, operation)), None)


def _view(violation: Violation, phrase: Phrase | None, scope: Scope) -> ErrorView:
    view = error_view(violation)
    return view if phrase is None else replace(view, phrase=phrase.text(replace(scope, error=view)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A rendered answer: `body` as JSON, `headers` as pairs in the order of the spec."""

    status: int
    media_type: str
    body: Json
    headers: tuple[tuple[str, str], ...]
    evidence: Evidence


def render(refusal: Refusal, scope: Scope, *, accept: str = "") -> Answer:
    """Return the provider's answer to a refused request.

    `accept` is the request's Accept header: another media type than the usual one is only answered with
    when it is asked for by name.
    """
    scope = replace(scope, error=refusal.error, errors=refusal.errors, status=refusal.status)
    content = choose_content(refusal.response.contents, accept)
    headers = [
        (header.name, to_text(value))
        for header in refusal.response.headers
        if (value := header.values[None](scope)) is not MISSING and header.fits(value)
    ]
    headers += [(name, text(scope)) for name, text in refusal.case.headers]
    return Answer(
        status=refusal.status,
        media_type=content.media_type,
        body=content.bodies[None](scope),
        headers=tuple(headers),
        evidence=weakest((refusal.evidence, content.evidence[None])),
    )


def choose_content(contents: Sequence[BodyTemplate], accept: str) -> BodyTemplate:
    """Return the first media type, or the one that Accept names while it leaves the first unmentioned.

    Source: RFC 9110, 12.5.1, without weights: a client that wants the other form says so plainly.
    """
    if len(contents) == 1 or not accept:
        return contents[0]
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if contents[0].media_type in wanted or "*/*" in wanted or "application/*" in wanted:
        return contents[0]
    return next((content for content in contents if content.media_type in wanted), contents[0])
