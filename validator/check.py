"""(Contract, request) -> Report: route, credential, body, parameters, schema, pictures.

Everything is looked at, whatever was wrong before; the order of the findings is the order in which a
provider judges.  Anything may be thrown at it: it answers with a report.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

import orjson

from validator.contract.capabilities import find_row
from validator.contract.document import nearest
from validator.contract.expressions import MISSING, Json, Scope, compile_text, format_pointer, resolve_pointer
from validator.contract.model import (
    RESERVED_AREA,
    BodySchema,
    Capabilities,
    Contract,
    ImageSite,
    Operation,
    Owner,
    Parameter,
    Place,
    Row,
    Rule,
    Stage,
    unknown_member_id,
)
from validator.contract.schemas import remove_absent
from validator.errors import error_view, json_type, matches
from validator.images import ImageInfo, look
from validator.keywords import judge_pictures, key_values, nearest_combination, refused_uses
from validator.report import LONGEST_VALUE, Kind, Report, Violation, abbreviate
from validator.request import Request
from validator.security import KeyRing, Principal, Refused, authorise, judge_dates

MAX_DEPTH: Final = 100
"""Levels of nesting in a body that are looked into; no request of any provider needs ten."""

MAX_VALUES: Final = 50_000
"""JSON values in a body that are looked at; the longest real request has a few hundred."""

MAX_COMMAS: Final = 4 * MAX_VALUES
"""Commas in a body that is read at all: they may stand in texts, and no real one has a tenth of it."""

LONGEST_JUDGED: Final = 16 * 1024 * 1024
"""Characters of one text that the schema looks at where something is wrong; the largest picture has 14 million."""

MAX_FINDINGS: Final = 20
"""Findings of one rule that are told one by one."""

ANY_KEY: Final = KeyRing()

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

_ORDER: Final[Mapping[str, int]] = {
    # Kind or stage to its place in the order of judgement.
    "no-route": 0,
    "method-not-allowed": 0,
    "unauthorized": 1,
    "too-large": 2,
    "unsupported-media-type": 2,
    "malformed": 2,
    "type": 3,
    "field": 4,
    "condition": 5,
    "capability": 6,
    "picture": 7,
    "unknown": 8,
    "conflict": 9,
    "quota-exhausted": 10,
    "concurrency-exceeded": 11,
    "rate-limited": 12,
}

_SENTENCES: Final[Mapping[str, str]] = {
    # What a finding that no rule of the spec names says; the case that answers it gives source and evidence.
    "no-route": "there is no such path",
    "method-not-allowed": "this path does not take this method",
    "unauthorized.missing": "a credential is needed",
    "unauthorized.malformed": "the credential is not written the way it must be",
    "unauthorized.unreadable": "the token does not say what it must",
    "unauthorized.not-yet-valid": "the token does not count yet",
    "unauthorized.expired": "the token counts no more",
    "unauthorized.unknown": "the key is not known",
    "unauthorized.signature": "the token is signed with another key",
    "too-large": "the body is too large",
    "unsupported-media-type": "the body must be application/json",
    "malformed": "the body must be JSON",
    "malformed.empty": "a body is needed",
    "malformed.depth": f"the body is nested deeper than {MAX_DEPTH} levels",
    "malformed.values": f"the body holds more than {MAX_VALUES:,} values",
    "not-found": "there is no such task",
    "not-found.expired": "the task is too old to be found",
    "not-found.empty": "the account has no tasks",
    "quota-exhausted": "the account has not enough credits",
    "quota-exhausted.budget": "the tasks of the tenant cost more than its budget allows",
    "concurrency-exceeded": "the account has too many tasks running",
    "rate-limited": "the account asks too often",
    "internal": "the server failed",
    "unavailable": "the server takes no requests now",
    "unavailable.store-full": "the server keeps no more tasks",
}


class Examination:
    """A request taken apart: what the server needs to act on it, beside the report.

    `body` is the body without absent members, MISSING where there is none to read; `parameters` the values
    by place and name with defaults; `pictures` what was seen, by pointer; `row` the one of the capability map
    that covers the body.
    """

    __slots__ = ("body", "operation", "parameters", "path", "pictures", "principal", "report", "row")

    def __init__(
        self, report: Report, operation: Operation | None = None, path: Mapping[str, str] = NOTHING
    ) -> None:
        """Begin with what the route says."""
        self.report = report
        self.operation = operation
        self.path = path
        self.parameters: Mapping[str, Json] = NOTHING
        self.body: Json = MISSING
        self.pictures: Mapping[str, ImageInfo] = NOTHING
        self.principal: Principal | None = None
        self.row: Row | None = None


def check(
    contract: Contract,
    request: Request,
    *,
    keys: KeyRing = ANY_KEY,
    now: float | None = None,
    operation: str | None = None,
) -> Report:
    """Return all findings about one request.

    `keys` are the credentials that are accepted; `now` (seconds since the epoch) judges the dates of tokens,
    which are left unchecked without it; `operation` is the id of the operation meant, for a body without
    a URL: then route, credential and parameters are left unchecked.  Never raises for any request.
    """
    return examine(contract, request, keys=keys, now=now, operation=operation).report


def examine(
    contract: Contract,
    request: Request,
    *,
    keys: KeyRing = ANY_KEY,
    now: float | None = None,
    operation: str | None = None,
) -> Examination:
    """Return the report together with what was read on the way; see :func:`check`."""
    if operation is not None:
        known = contract.operations[operation]
        out = Examination(report=Report(provider=contract.id), operation=known)
        findings, unchecked = _judge_body(contract, known, request, out)
        unchecked.insert(0, "address, credential and parameters (only a body was given)")
        return _finished(contract, out, findings, unchecked)
    found = find_operation(contract, request.method, request.path)
    if isinstance(found, Violation):
        return Examination(report=Report(provider=contract.id, violations=(found,)))
    target, path = found
    out = Examination(report=_clean_report(contract.id, target.id, ()), operation=target, path=path)
    refused, unchecked = _judge_credential(target, request, keys, now, out)
    findings = []
    if refused is not None:
        findings.append(credential_violation(contract, refused, operation=target.id))
    return judge(contract, target, request, out, findings, unchecked)


def judge(
    contract: Contract,
    operation: Operation,
    request: Request,
    out: Examination,
    findings: list[Violation],
    unchecked: list[str],
) -> Examination:
    """Judge parameters and body of a request whose operation and credential were judged before."""
    if operation.judged_parameters:
        findings += _judge_parameters(contract, operation, request, out)
    if operation.body is not None:
        more, unseen = _judge_body(contract, operation, request, out)
        findings += more
        unchecked = unchecked + unseen if unseen else unchecked
    return _finished(contract, out, findings, unchecked)


def _finished(
    contract: Contract, out: Examination, findings: list[Violation], unchecked: list[str]
) -> Examination:
    if not findings and out.operation is not None:
        out.report = _clean_report(contract.id, out.operation.id, tuple(unchecked))
        return out
    if len(findings) > 1:
        findings.sort(key=lambda one: one.order)
    out.report = Report(
        provider=contract.id,
        operation=out.operation.id if out.operation else None,
        violations=tuple(findings),
        unchecked=tuple(unchecked),
    )
    return out


@functools.lru_cache(maxsize=1_024)
def _clean_report(provider: str, operation: str, unchecked: tuple[str, ...]) -> Report:
    """Return the report of a request that nothing is wrong with; they are much the same."""
    return Report(provider=provider, operation=operation, unchecked=unchecked)


# --- route and credential ---------------------------------------------------------------------------------


def find_operation(
    contract: Contract, method: str, path: str
) -> tuple[Operation, Mapping[str, str]] | Violation:
    """Return (operation, path parameters), or the finding that there is none."""
    methods = contract.routes.exact.get(path)
    if methods is not None and method in methods:
        return methods[method], NOTHING
    start, _, last = path.rpartition("/")
    ending = contract.routes.ending.get(start + "/")
    if ending is not None and last and methods is None and method in ending:
        operation = ending[method]
        return operation, {operation.path_names[0]: unquote(last) if "%" in last else last}
    other = methods
    segments = path.split("/")
    for template, candidates in contract.routes.templated:
        if len(template) != len(segments):
            continue
        pairs = zip(template, segments, strict=True)
        if all(part == segment or (part is None and segment) for part, segment in pairs):
            if method in candidates:
                operation = candidates[method]
                return operation, _path_values(operation, template, segments)
            other = other or candidates
    if other:
        return protocol_violation(
            contract, "method-not-allowed", found=method[:LONGEST_VALUE], allowed=", ".join(sorted(other))
        )
    return protocol_violation(
        contract, "no-route", found=path[:LONGEST_VALUE], suggestion=nearest(path, contract.routes.exact)
    )


def _path_values(
    operation: Operation, template: Sequence[str | None], segments: Sequence[str]
) -> Mapping[str, str]:
    values = (segment for part, segment in zip(template, segments, strict=True) if part is None)
    return {name: unquote(value) for name, value in zip(operation.path_names, values, strict=True)}


def _judge_credential(
    operation: Operation, request: Request, keys: KeyRing, now: float | None, out: Examination
) -> tuple[Refused | None, list[str]]:
    if not operation.credentials:
        return None, []
    found = authorise(operation.credentials, request.headers, keys=keys)
    if isinstance(found, Refused):
        return found, []
    out.principal = found
    if found.expires is None and found.not_before is None:
        return None, []
    if now is None:
        return None, ["the dates of the token (no clock was given)"]
    return judge_dates(found, now), []


def protocol_violation(
    contract: Contract,
    kind: Kind,
    reason: str = "",
    *,
    found: str = "",
    allowed: str = "",
    suggestion: str = "",
    value: Json = None,
    operation: str = "",
) -> Violation:
    """Return the finding for what is wrong around a request rather than in it.

    Its rule is `<provider>.request.<kind>`, with the reason behind it; source and evidence are those of the
    case that answers it.
    """
    name = f"{kind}.{reason}" if reason else kind
    finding = Violation(
        rule=f"{contract.id}.{RESERVED_AREA}.{name.replace('.', '-')}",
        kind=kind,
        effect="reject",
        evidence="documented",
        source="",
        message=_SENTENCES.get(name) or _SENTENCES.get(kind, kind),
        place="header" if kind in ("unauthorized", "unsupported-media-type") else "body",
        instance_location="content-type" if kind == "unsupported-media-type" else "",
        found=found,
        allowed=allowed,
        suggestion=suggestion,
        reason=reason,
        value=value,
        order=(_ORDER.get(kind, 9), 0),
    )
    case = next(case for case in contract.cases if matches(case.when, finding, operation))
    return replace(finding, evidence=case.evidence, source=case.source)


def credential_violation(contract: Contract, refused: Refused, *, operation: str) -> Violation:
    """Return the finding that a credential is not accepted."""
    return protocol_violation(
        contract,
        "unauthorized",
        refused.reason,
        found=refused.found,
        allowed=refused.allowed,
        # What a provider's own message counts; people read `found`.
        value=refused.parts or None,
        operation=operation,
    )


def protocol_rules(contract: Contract) -> Iterator[Violation]:
    """Yield the findings that need no rule of the spec, as they would be reported, for listings."""
    for name in _SENTENCES:
        kind, _, reason = name.partition(".")
        if kind == "unauthorized":
            parts = "0" if reason == "malformed" else ""
            refused: Any = Refused(reason=reason, parts=parts)  # type: ignore[arg-type]
            yield credential_violation(contract, refused, operation="")
        else:
            yield protocol_violation(contract, kind, reason)  # type: ignore[arg-type]
    yield _unknown(contract)


# --- parameters -------------------------------------------------------------------------------------------


def _judge_parameters(
    contract: Contract, operation: Operation, request: Request, out: Examination
) -> list[Violation]:
    findings: list[Violation] = []
    values: dict[str, Json] = {}
    for parameter in operation.judged_parameters:
        raw = _raw_value(parameter, request, out.path)
        if raw is None:
            if parameter.default is not None:
                values[parameter.name] = parameter.default
            elif parameter.required and parameter.rule is not None:
                findings.append(
                    rule_violation(
                        parameter.rule,
                        "field",
                        place=parameter.place,
                        location=parameter.name,
                        keyword="required",
                        found="nothing",
                    )
                )
            continue
        value = values[parameter.name] = parameter.convert(raw)
        if not parameter.validator.is_valid(value):
            findings += _parameter_findings(parameter, value)
    out.parameters = values
    return findings


def _raw_value(parameter: Parameter, request: Request, path: Mapping[str, str]) -> str | None:
    if parameter.place == "path":
        return path.get(parameter.name)
    source = request.query if parameter.place == "query" else request.headers
    return source.get(parameter.name)


def _parameter_findings(parameter: Parameter, value: Json) -> Iterator[Violation]:
    for error in parameter.validator.iter_errors(value):
        owner = _owner(parameter.owners, error.schema_path)
        if owner is None or owner.rule is None:
            continue
        # A text that is no number fails `type`; to the provider it is a wrong value like any other.
        found, allowed, limit, _ = _explain(error, value)
        yield rule_violation(
            owner.rule,
            "field",
            place=parameter.place,
            location=parameter.name,
            keyword=error.kind.name,
            found=found,
            allowed=allowed,
            limit=limit,
            value=value,
        )


# --- body -------------------------------------------------------------------------------------------------


def _judge_body(
    contract: Contract, operation: Operation, request: Request, out: Examination
) -> tuple[list[Violation], list[str]]:
    schema = operation.body
    if schema is None:
        return [], []
    findings: list[Violation] = []
    media_type = request.headers.get("content-type")
    if media_type is not None and media_type != "application/json" and not _is_json(media_type):
        findings.append(
            protocol_violation(
                contract,
                "unsupported-media-type",
                found=media_type[:80],
                allowed="application/json",
                operation=operation.id,
            )
        )
    unchecked: list[str] = []
    body = _parse(contract, operation, request)
    if isinstance(body, Violation):
        return [*findings, body], []
    if schema.validator.is_valid(body):
        # The engine's schema is true only where there is nothing to say, and no member to leave out.
        out.body = body
    else:
        if schema.absent:
            body = remove_absent(body, schema.absent)
        out.body = body
        more, unchecked = _schema_findings(contract, schema, body)
        findings += more
    capabilities = schema.capabilities
    if capabilities is not None and isinstance(body, dict):
        row = out.row = find_row(capabilities, body)
        refused = refused_uses(capabilities, body, row)
        if refused:
            findings += _capability_findings(schema, capabilities, body, refused, findings)
    if not schema.images:
        return findings, unchecked
    pictures = judge_pictures(schema.images, out.body)
    out.pictures = pictures.infos
    for one in pictures.findings:
        findings.append(
            rule_violation(
                one.rule,
                "picture",
                location=one.pointer,
                keyword=one.keyword,
                found=one.found,
                allowed=one.allowed,
                suggestion=one.suggestion,
                value=str(pictures.infos[one.pointer]),
            )
        )
    return findings, unchecked + pictures.unchecked


def _is_json(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _parse(contract: Contract, operation: Operation, request: Request) -> Json | Violation:
    """Return the JSON value of the body, or the finding that there is none."""

    def malformed(reason: str, found: str) -> Violation:
        return protocol_violation(contract, "malformed", reason, found=found, operation=operation.id)

    if request.body_fault:
        return malformed("", request.body_fault)
    if not request.body.strip():
        return malformed("empty", "nothing")
    commas = request.body.count(b",")
    if commas > MAX_COMMAS:
        # Read, it could be fifty times as large as it came.
        return malformed("values", f"{commas:,} commas")
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg or "recursion" in error.msg.lower():
            return malformed("depth", "more than a thousand levels")
        return malformed("", f"{error.msg} (line {error.lineno}, column {error.colno})")
    raw = request.body
    # As many commas as values, or it cannot be that much.
    if commas > MAX_VALUES // 2 or _may_be_deep(raw):
        levels, count = _extent(body)
        if levels > MAX_DEPTH:
            return malformed("depth", f"more than {MAX_DEPTH} levels")
        if count > MAX_VALUES:
            return malformed("values", f"more than {MAX_VALUES:,} values")
    return body


def _may_be_deep(raw: bytes) -> bool:
    """Tell whether a JSON text may be nested deeper than is looked into; false only where it is not.

    As many brackets as levels, or it cannot be that deep.  Of many, those that stand next to their like are
    taken away, a level at a time, which is ten times as fast as to walk through what was read.  The text is
    JSON: it was read before.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = raw.translate(None, _NO_BRACKETS).replace(b'""', b"")
    if b'"' in brackets:
        # A string with brackets in it, which are none.
        return True
    for _ in range(_LEVELS_TAKEN):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return True


_LEVELS_TAKEN: Final = 16
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b'[]{}"')))


def _extent(value: Json) -> tuple[int, int]:
    """Return (levels of nesting, number of values), each exact up to its limit; without recursion."""
    layer: list[Json] = [value]
    count = 1
    for level in range(MAX_DEPTH + 1):
        layer = [item for item in layer if isinstance(item, dict | list)]
        if not layer:
            return level, count
        count += sum(map(len, layer))
        if count > MAX_VALUES:
            return level, count
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return MAX_DEPTH + 1, count


def _schema_findings(contract: Contract, schema: BodySchema, body: Json) -> tuple[list[Violation], list[str]]:
    """Return the findings about the JSON of a body, and how many like them were left out."""
    if not isinstance(body, dict):
        # Whatever else the schema says is about members; only the type of the whole matters.
        errors = [error for error in schema.validator.iter_errors(body) if not list(error.instance_path)]
        errors = [error for error in errors if error.kind.name == "type"] or errors
    else:
        # The engine copies what it complains about, several times over.
        cut = _cut(body)
        errors = list(schema.validator.iter_errors(cut)) or list(schema.validator.iter_errors(body))
    keys = key_values(schema, body) if isinstance(body, dict) else {}
    findings: dict[tuple[str, str], Violation] = {}
    counts: Counter[str] = Counter()
    for error in errors:
        owner = _owner(schema.owners, error.schema_path)
        if owner is None:
            continue
        rule = owner.rule
        if rule is None:
            name = unknown_member_id(contract.id)
            unexpected = error.kind.as_dict()["unexpected"]
            for member in unexpected[: max(MAX_FINDINGS - counts[name], 0)]:
                one = _unknown_member(contract, schema, [*error.instance_path, member])
                findings.setdefault((one.rule, one.instance_location), one)
            counts[name] += len(unexpected)
            continue
        counts[rule.id] += 1
        if counts[rule.id] <= MAX_FINDINGS:
            one = _schema_violation(error, owner, schema, body, keys)
            findings.setdefault((one.rule, one.instance_location), one)
    surplus = [
        f"{count - MAX_FINDINGS:,} more findings of {name}"
        for name, count in counts.items()
        if count > MAX_FINDINGS
    ]
    return list(findings.values()), surplus


def _cut(value: Any) -> Any:
    """Return a value with its longest texts cut, to a length that is wrong wherever theirs is."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_JUDGED else value[:LONGEST_JUDGED]
    if isinstance(value, dict):
        return {name: _cut(member) for name, member in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


def _capability_findings(
    schema: BodySchema,
    capabilities: Capabilities,
    body: Mapping[str, Json],
    refused: Sequence[Rule],
    others: Sequence[Violation],
) -> list[Violation]:
    keys = key_values(schema, body)
    broken = {one.instance_location[1:] for one in others if one.effect == "reject"}
    if broken & keys.keys():
        # A key that is wrong by itself makes every combination wrong; saying so again helps nobody.
        return []
    found = ", ".join(f"{key} '{text}'" for key, text in keys.items() if text)
    suggestion = nearest_combination(capabilities, body)
    return [
        rule_violation(
            rule,
            "capability",
            location="",
            keyword="x-capabilities",
            found=found,
            suggestion=suggestion,
            value=body,
            keys=keys,
        )
        for rule in refused
    ]


def _owner(owners: Mapping[tuple[str | int, ...], Owner], path: Sequence[str | int]) -> Owner | None:
    """Return who answers for an error: the node with the longest path that leads to it."""
    steps = tuple(path)
    for length in range(len(steps), -1, -1):
        owner = owners.get(steps[:length])
        if owner is not None:
            return owner
    return None


def _schema_violation(
    error: Any, owner: Owner, schema: BodySchema, body: Json, keys: Mapping[str, str]
) -> Violation:
    rule = owner.rule
    assert rule is not None
    location: list[str | int] = list(error.instance_path)
    keyword = error.kind.name
    value = resolve_pointer(body, tuple(str(step) for step in location))
    if keyword in ("required", "dependentRequired"):
        location.append(error.kind.as_dict()["property"])
        value = MISSING
    found, allowed, limit, suggestion = _explain(error, value)
    stage: str = "type" if keyword == "type" else owner.stage
    steps = list(error.schema_path)
    if "dependentSchemas" in steps:
        found += f" together with {steps[steps.index('dependentSchemas') + 1]}"
    pointer = format_pointer(location)
    site = _image_site(schema, location) if isinstance(value, str) else None
    if site is not None:
        carriers = next((one.carriers for one in site.rules if one.rule is rule and one.carriers), ())
        info = look(value)
        if keyword == "pattern" and carriers:
            found, suggestion = _explain_carrier(value, info, carriers)
        elif info.size_bytes is not None:
            found = found.replace(abbreviate(value), str(info))
        if info.size_bytes is not None:
            value = str(info)
    return rule_violation(
        rule,
        stage,
        location=pointer,
        keyword=keyword,
        found=found,
        allowed=allowed,
        suggestion=suggestion,
        limit=limit,
        value=None if value is MISSING else value,
        keys=keys,
    )


def _image_site(schema: BodySchema, location: Sequence[str | int]) -> ImageSite | None:
    """Return the place of a picture that a location in the body is, or None."""
    for site in schema.images:
        if len(site.pattern) == len(location) and all(
            step == part or (step == "*" and isinstance(part, int))
            for step, part in zip(site.pattern, location, strict=True)
        ):
            return site
    return None


def _explain_carrier(text: str, info: ImageInfo, carriers: Sequence[str]) -> tuple[str, str]:
    """Return (found, suggestion) for a picture in a form the field does not take."""
    lower = text[:5].lower()
    if lower == "data:":
        if "data-uri" not in carriers:
            bare = "leave out everything up to and including the comma"
            return "a data: URI", bare if "base64" in carriers else ""
        return (
            f"a data: URI of another form, {abbreviate(text)}",
            "write data:image/png;base64, and the Base64",
        )
    if info.carrier == "url" or lower == "http:":
        if "url" in carriers:
            return f"{abbreviate(text)}, which is no complete URL", ""
        return f"the URL {abbreviate(text)}", "send the picture itself, as Base64"
    if info.carrier == "placeholder":
        return f"the placeholder {abbreviate(text)}", "put the picture in its place"
    if info.carrier == "base64":
        media_type = info.media_type or "image/png"
        prefix = f"write data:{media_type};base64, before it" if "data-uri" in carriers else ""
        return f"bare Base64, {info}", prefix
    if not {"base64", "data-uri"} & set(carriers):
        return f"{abbreviate(text)}, which is no URL", ""
    if any(sign.isspace() for sign in text[:10_000]):
        return "Base64 with white space", "leave out line breaks and blanks"
    if "-" in text or "_" in text:
        return f"{abbreviate(text)}, which is no Base64", "use the alphabet with + and /, not - and _"
    if len(text) % 4:
        return (
            f"{abbreviate(text)}, which is no Base64",
            "keep the = at the end; four characters make a group",
        )
    return f"{abbreviate(text)}, which is no Base64", ""


def _unknown_member(contract: Contract, schema: BodySchema, location: list[str | int]) -> Violation:
    name = str(location[-1])
    one = _unknown(contract)
    return replace(
        one,
        instance_location=format_pointer(location),
        found=abbreviate(name),
        suggestion=nearest(name, _members_at(schema.tree, location[:-1])),
    )


def _unknown(contract: Contract) -> Violation:
    return Violation(
        rule=unknown_member_id(contract.id),
        kind="invalid",
        effect=contract.unknown_member,
        evidence="assumed",
        source="",
        message="this member is not described and most likely has no effect",
        keyword="additionalProperties",
        order=(_ORDER["unknown"], 0),
    )


def _members_at(tree: Any, location: Sequence[str | int]) -> list[str]:
    """Return the members described at a place of the body."""
    nodes = [tree]
    for step in location:
        key = "items" if isinstance(step, int) else "properties"
        below = []
        for node in _in_place(nodes):
            child = node.get(key)
            if child is not None:
                below.append(child if key == "items" else child.get(step))
        nodes = [node for node in below if isinstance(node, dict)]
    return [name for node in _in_place(nodes) for name in node.get("properties", ())]


def _in_place(nodes: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        if isinstance(node, dict):
            yield node
            yield from _in_place(node.get("allOf", ()))


def _explain(error: Any, value: Json) -> tuple[str, str, Json, str]:
    """Return (found, allowed, limit, suggestion) of an engine's error."""
    kind, details = error.kind.name, error.kind.as_dict()
    shown = "nothing" if value is MISSING else abbreviate(value)
    match kind:
        case "required" | "dependentRequired":
            return "nothing", "a value", None, ""
        case "type":
            types = sorted(details["types"])
            return f"{shown} ({json_type(value)})", " or ".join(types), types, ""
        case "enum":
            options = list(dict.fromkeys(str(option) for option in details["options"]))
            is_word = isinstance(value, str) and not value.isdigit()
            near = nearest(value, options) if is_word else ""
            return shown, ", ".join(options), options, near
        case "const":
            return shown, abbreviate(details["expected_value"]), details["expected_value"], ""
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            words = {"minimum": "at least", "exclusiveMinimum": "more than"}
            words |= {"maximum": "at most", "exclusiveMaximum": "less than"}
            return shown, f"{words[kind]} {details['limit']}", details["limit"], ""
        case "minLength" | "maxLength":
            word = "at least" if kind == "minLength" else "at most"
            return f"{len(value):,} characters", f"{word} {details['limit']:,}", details["limit"], ""
        case "minItems" | "maxItems":
            word = "at least" if kind == "minItems" else "at most"
            return f"{len(value):,} entries", f"{word} {details['limit']:,}", details["limit"], ""
        case "multipleOf":
            return shown, f"a multiple of {details['multiple_of']}", details["multiple_of"], ""
        case "pattern":
            return shown, "", details["pattern"], ""
    return shown, "", None, ""


def rule_violation(
    rule: Rule,
    stage: Stage | str,
    *,
    location: str,
    keyword: str,
    place: Place = "body",
    found: str = "",
    allowed: str = "",
    suggestion: str = "",
    limit: Json = None,
    value: Json = None,
    keys: Mapping[str, str] | None = None,
) -> Violation:
    """Return the finding that a rule is broken, its texts filled in; `stage` says when it is judged."""
    violation = Violation(
        rule=rule.id,
        kind="invalid",
        effect=rule.effect,
        evidence=rule.evidence,
        source=rule.source,
        message=rule.message,
        instance_location=location,
        keyword_location=rule.pointer.removesuffix("/x-rule"),
        place=place,
        found=found,
        allowed=allowed,
        suggestion=suggestion,
        keyword=keyword,
        failure=rule.failure,
        value=value,
        limit=limit,
        keys=keys or {},
        order=(_ORDER[stage], rule.order),
    )
    if "{$" not in rule.message and "{$" not in (rule.failure or ""):
        return violation
    scope = Scope(error=error_view(violation))
    return replace(
        violation,
        message=compile_text(rule.message, missing="")(scope),
        failure=None if rule.failure is None else compile_text(rule.failure, missing="")(scope),
    )


def conflict_violation(rule: Rule, pointer: str, value: Json) -> Violation:
    """Return the finding that a member which must be new was used before."""
    one = rule_violation(
        rule,
        "conflict",
        location=pointer,
        keyword="unique",
        found=abbreviate(value),
        value=value,
    )
    return replace(one, kind="conflict")
