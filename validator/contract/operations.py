"""An operation: parameters, body, answer, and what it does to tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from validator.contract.callbacks import compile_callbacks
from validator.contract.credentials import compile_credentials
from validator.contract.expressions import Json, parse_pointer
from validator.contract.lifecycles import compile_lifecycle
from validator.contract.links import compile_links
from validator.contract.model import BodySchema, Charge, Identifier, Money, Operation, Page, Parameter, Unique
from validator.contract.parameters import compile_parameters
from validator.contract.raw import RawOperation, creators, input_pointers, success
from validator.contract.schemas import compile_body_schema
from validator.contract.templates import States
from validator.contract.workbench import Workbench


def compile_operation(
    bench: Workbench, name: str, raw: RawOperation, all_raw: Mapping[str, RawOperation]
) -> Operation:
    """Compile one operation of a document; raises SpecError."""
    parameters = compile_parameters(bench, raw)
    response_at, response = success(bench.document, raw)
    role = raw.task.get("role")
    creates = creators(bench.document, raw, all_raw)
    lifecycle = compile_lifecycle(bench, raw) if role == "create" else None
    states = _states(bench, raw, creates, all_raw)
    built = bench.templates.response(response, response_at, states, place="answer")
    links = compile_links(bench, raw, response, response_at, lifecycle, all_raw) if role == "create" else ()
    callbacks = compile_callbacks(bench, raw, lifecycle) if lifecycle is not None else ()
    if role == "create" and not links:
        raise bench.document.error("a created task needs a link to where it can be read", response_at)
    if role in ("read", "list") and not creates:
        raise bench.document.error("no operation creates tasks that this one could answer with", raw.at)
    if "default" not in raw.node["responses"]:
        raise bench.document.error("needs a default response for refusals", (*raw.at, "responses"))
    page = raw.task.get("page")
    body = _body(bench, raw)
    unique = _unique(bench, raw)
    bench.statements.add_capabilities(body)
    operation = Operation(
        id=name,
        method=raw.method,
        path=raw.path,
        segments=_segments(raw.path),
        path_names=tuple(re.findall(r"{([^}]*)}", raw.path)),
        summary=raw.node.get("summary", ""),
        parameters=parameters,
        judged_parameters=tuple(one for one in parameters if not (one.place == "path" and one.is_any_text)),
        body=body,
        credentials=compile_credentials(bench, raw.node, raw.at),
        response=built,
        provider=bench.book.provider,
        role=role,
        lifecycle=lifecycle,
        task_id=Identifier.of(raw.task["id"]) if "id" in raw.task else None,
        output_id=Identifier.of(raw.task["outputId"]) if "outputId" in raw.task else None,
        unique=unique,
        of=tuple(raw.task.get("of", ())),
        page=_page(bench, page, parameters, raw) if page else None,
        when_empty=raw.task.get("whenEmpty", "empty-list"),
        cost_decimals=raw.task.get("costDecimals"),
        money=_money(bench, raw),
        charge=_charge(bench, raw),
        links=links,
        callbacks=callbacks,
        inputs=tuple(sorted(input_pointers(bench.document, raw, all_raw))) if role == "create" else (),
        family=bench.family,
    )
    _check_failing(bench, operation)
    return operation


def _body(bench: Workbench, raw: RawOperation) -> BodySchema | None:
    if "requestBody" not in raw.node:
        return None
    body, at = bench.document.resolve(raw.node["requestBody"], (*raw.at, "requestBody"), needs=("content",))
    if list(body["content"]) != ["application/json"]:
        raise bench.document.error("only application/json bodies are understood", at)
    media, media_at = bench.document.resolve(
        body["content"]["application/json"], (*at, "content", "application/json"), needs=("schema",)
    )
    path = (*media_at, "schema")
    known = bench.bodies.get(path)
    if known is None:
        # Operations that share a body share its schema.
        known = bench.bodies[path] = compile_body_schema(
            media["schema"],
            path,
            media_type="application/json",
            required=body.get("required", False),
            book=bench.book,
        )
    return known


def _states(
    bench: Workbench, raw: RawOperation, creates: Sequence[RawOperation], all_raw: Mapping[str, RawOperation]
) -> States:
    if not creates:
        return (None,)
    out: dict[str | None, None] = {}
    for create in creates:
        out |= dict.fromkeys(compile_lifecycle(bench, create).states)
    # A list has a body of its own beside its items; only the items know a state.
    return (None, *out) if raw.task.get("role") == "list" else tuple(out)


def _page(
    bench: Workbench, page: Mapping[str, Json], parameters: tuple[Parameter, ...], raw: RawOperation
) -> Page:
    known = {f"$request.query.{one.name}": one for one in parameters if one.place == "query"}
    for key in ("number", "size"):
        if page[key] not in known:
            raise bench.document.error(
                f"'{page[key]}' is no query parameter of this operation", (*raw.at, "x-task", "page")
            )
    default = known[page["size"]].default
    return Page(
        number=known[page["number"]].name,
        size=known[page["size"]].name,
        default_size=default if isinstance(default, int) else page.get("defaultSize", 20),
    )


def _unique(bench: Workbench, raw: RawOperation) -> tuple[Unique, ...]:
    out = []
    for index, one in enumerate(raw.task.get("unique", ())):
        path = (*raw.at, "x-task", "unique", index)
        rule = bench.book.add(one["rule"], (*path, "rule"))
        if rule.effect not in ("reject", "off"):
            raise bench.document.error(
                f"rule '{rule.id}' has the effect {rule.effect}; what must be new is refused, or not looked at",
                path,
                hint="reject or off",
            )
        if rule.effect == "reject":
            out.append(Unique(pointer=one["pointer"], rule=rule))
    return tuple(out)


def _money(bench: Workbench, raw: RawOperation) -> Money | None:
    word = raw.task.get("money")
    if word is None:
        return None
    path = (*raw.at, "x-task", "money")
    bench.statements.add("price", raw.name, f"{word['perUnit']:g} {word['currency']} a unit", word, path)
    return Money(currency=word["currency"], per_unit=word["perUnit"], decimals=word.get("decimals", 2))


def _charge(bench: Workbench, raw: RawOperation) -> Charge:
    word = raw.task.get("charge")
    if word is None:
        return Charge()
    path = (*raw.at, "x-task", "charge")
    refunds = word.get("refunds", ["failure", "canceled"])
    back = f", given back after {' and '.join(refunds)}" if refunds else ", never given back"
    text = f"taken at create{back}" if word["at"] == "create" else "reserved at create, taken at success"
    bench.statements.add("charge", raw.name, text, word, path)
    return Charge(at_create=word["at"] == "create", refunds=frozenset(refunds))


def _check_failing(bench: Workbench, operation: Operation) -> None:
    """Raise SpecError for a rule that is to end a task which cannot end so."""
    lifecycle = operation.lifecycle
    if lifecycle is not None and lifecycle.failure is not None:
        return
    for rule in operation.rules:
        if rule.effect != "fail":
            continue
        why = f"no task of {operation.id} fails by itself" if lifecycle else f"{operation.id} creates no task"
        hint = "give its lifecycle a transition with event: failure and after" if lifecycle else ""
        raise bench.document.error(
            f"rule '{rule.id}' has the effect fail, but {why}", parse_pointer(rule.pointer), hint=hint
        )


def _segments(path: str) -> tuple[str | None, ...]:
    return tuple(None if part.startswith("{") else part for part in path.split("/"))
