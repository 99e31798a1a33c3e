"""Document to Contract: every look-up, schema and template is prepared here, and every fault told here.

Knows the vocabulary; knows no provider.  The order of the checks is the order of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final
from urllib.parse import urlsplit

from validator.contract.document import Document, SpecError, nearest, read_document
from validator.contract.expressions import (
    ExpressionError,
    Json,
    compile_text,
    evaluator,
    format_pointer,
    parse,
    parse_pointer,
    resolve_pointer,
)
from validator.contract.model import (
    BodySchema,
    BodyTemplate,
    Callback,
    Contract,
    Credential,
    Effect,
    ErrorCase,
    Identifier,
    JwtForm,
    Lifecycle,
    Limit,
    Link,
    Money,
    Operation,
    Page,
    Parameter,
    Phrase,
    Place,
    ResponseTemplate,
    Routes,
    Signature,
    Source,
    State,
    Statement,
    Transition,
    Unique,
    Variant,
    When,
    unknown_member_id,
)
from validator.contract.rules import RuleBook
from validator.contract.schemas import compile_body_schema, compile_value_schema
from validator.contract.templates import States, Templates
from validator.contract.trees import Path

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
RETRY_ON: Final = frozenset(("network", "5xx", "429"))
"""What a delivery is tried again for when the spec does not say."""

_DURATION: Final = re.compile(
    r"P(?:(?P<D>\d+)D)?(?:T(?:(?P<H>\d+)H)?(?:(?P<M>\d+)M)?(?:(?P<S>\d+(?:\.\d+)?)S)?)?"
)


def load(
    name_or_path: str | FilePath,
    *,
    variants: Sequence[str] = (),
    effects: Mapping[str, Effect] | None = None,
) -> Contract:
    """Return the Contract of a provider of the library, by its id, or of a spec file.

    `variants` are names from the spec's `x-variants`; `effects` maps rule ids to the effect they shall
    have in place of their own.  Raises SpecError.
    """
    return compile_document(read_document(name_or_path, variants=variants), effects=effects or {})


def compile_document(document: Document, *, effects: Mapping[str, Effect] | None = None) -> Contract:
    """Return the Contract of a document that was read and checked; raises SpecError."""
    return _Compiler(document=document, effects=effects or {}).contract()


def milliseconds(duration: str) -> int:
    """Return an ISO 8601 duration of days and less.

    >>> milliseconds("PT1.5S")
    1500
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"'{duration}' is no duration")
    days, hours, minutes = (int(match[unit] or 0) for unit in "DHM")
    seconds, _, fraction = (match["S"] or "0").partition(".")
    return ((days * 24 + hours) * 60 + minutes) * 60_000 + int(seconds) * 1000 + int((fraction + "000")[:3])


@dataclass(slots=True)
class _Compiler:
    document: Document
    effects: Mapping[str, Effect]
    book: RuleBook = field(init=False)
    templates: Templates = field(init=False)
    statements: list[Statement] = field(default_factory=list)
    bodies: dict[Path, BodySchema] = field(default_factory=dict)
    contents: dict[tuple[Path, States, str], BodyTemplate] = field(default_factory=dict)

    def contract(self) -> Contract:
        root = self.document.root
        provider = root["info"]["x-provider"]
        sources = {
            key: Source(
                key=key,
                title=value["title"],
                retrieved=value["retrieved"],
                url=value.get("url"),
                snapshot=value.get("snapshot"),
            )
            for key, value in provider["sources"].items()
        }
        self.book = RuleBook(
            document=self.document, provider=provider["id"], sources=sources, effects=self.effects
        )
        self.templates = Templates(self.document, self.book)
        hosts, base_path = self._servers()
        raw = dict(self._raw_operations(base_path))
        operations = {name: self._operation(name, one, raw) for name, one in raw.items()}
        phrases, cases = self._errors(operations)
        limits = self._limits()
        variants = self._variants()
        self._unknown_effects()
        return Contract(
            id=provider["id"],
            title=root["info"]["title"],
            document=self.document,
            sources=sources,
            hosts=hosts,
            base_path=base_path,
            operations=operations,
            rules=self.book.rules,
            unknown_member=self.book.unknown_member,
            phrases=phrases,
            cases=cases,
            limits=limits,
            variants=variants,
            statements=tuple(self._rule_statements()) + tuple(self.statements),
            routes=_routes(operations.values()),
        )

    def _unknown_effects(self) -> None:
        known = (*self.book.rules, unknown_member_id(self.book.provider))
        for name in self.effects:
            if name not in known:
                raise SpecError(f"there is no rule '{name}'", file="setting", hint=nearest(name, known))

    def _state(self, kind: str, name: str, text: str, word: Mapping[str, Json], path: Path) -> None:
        """Add a row to the evidence table, and check its source."""
        self.book.check_source(word["source"], path)
        self.statements.append(
            Statement(
                kind=kind,
                name=name,
                text=text,
                evidence=word["evidence"],
                source=word["source"],
                pointer=format_pointer(list(path)),
            )
        )

    def _rule_statements(self) -> Iterable[Statement]:
        for rule in self.book.rules.values():
            yield Statement(
                kind="rule",
                name=rule.id,
                text=rule.message,
                evidence=rule.evidence,
                source=rule.source,
                pointer=rule.pointer,
            )

    def _state_rows(self, body: BodySchema | None) -> None:
        """Add the rows of a capability map to the evidence table; each once however many operations share it."""
        for row in body.capabilities.rows if body is not None and body.capabilities is not None else ():
            if any(statement.pointer == row.pointer for statement in self.statements):
                continue
            self.statements.append(
                Statement(
                    kind="capability",
                    name=row.name,
                    text=row.text,
                    evidence=row.evidence,
                    source=row.source,
                    pointer=row.pointer,
                )
            )

    # --- servers, credentials -----------------------------------------------------------------------------

    def _servers(self) -> tuple[tuple[str, ...], str]:
        servers = self.document.root.get("servers") or []
        parts = [urlsplit(server["url"]) for server in servers]
        if not parts or not all(part.hostname for part in parts):
            raise self.document.error("needs at least one server with a host", ("servers",))
        bases = {part.path.rstrip("/") for part in parts}
        if len(bases) > 1:
            raise self.document.error(
                f"servers differ in their path: {', '.join(sorted(bases))}", ("servers",)
            )
        return tuple(part.hostname or "" for part in parts), bases.pop()

    def _credentials(self, operation: Mapping[str, Json], path: Path) -> tuple[Credential, ...]:
        security = operation.get("security", self.document.root.get("security", []))
        schemes = self.document.root.get("components", {}).get("securitySchemes", {})
        out = []
        for requirement in security:
            for name in requirement:
                if name not in schemes:
                    raise self.document.error(
                        f"security scheme '{name}' does not exist", path, hint=nearest(name, schemes)
                    )
                out.append(self._credential(name, schemes[name]))
        return tuple(out)

    def _credential(self, name: str, node: Mapping[str, Json]) -> Credential:
        scheme, path = self.document.resolve(node, ("components", "securitySchemes", name), needs=("type",))
        is_key = scheme["type"] == "apiKey" and scheme.get("in") == "header"
        is_bearer = scheme["type"] == "http" and scheme.get("scheme", "").lower() == "bearer"
        if not (is_key or is_bearer):
            raise self.document.error("only bearer tokens and keys in a header are understood", path)
        word = scheme.get("x-jwt")
        form = None
        if word is not None:
            opaque = word.get("opaque")
            form = JwtForm(
                algorithms=tuple(word["algorithms"]),
                claims=tuple(word["claims"]),
                account=word["account"],
                leeway=milliseconds(word.get("leeway", "PT0S")) // 1000,
                opaque=opaque,
            )
        return Credential(
            name=name,
            header="authorization" if is_bearer else scheme["name"].lower(),
            is_bearer=is_bearer,
            jwt=form,
            description=scheme.get("description", ""),
        )

    # --- operations ---------------------------------------------------------------------------------------

    def _raw_operations(self, base_path: str) -> Iterable[tuple[str, _Raw]]:
        seen: dict[str, Path] = {}
        for template, node in self.document.root["paths"].items():
            item, at = self.document.resolve(node, ("paths", template))
            for method in METHODS:
                if method not in item:
                    continue
                path = (*at, method)
                operation = item[method]
                name = operation.get("operationId")
                if name is None:
                    raise self.document.error("needs an operationId", path)
                if name in seen:
                    raise self.document.error(f"operationId '{name}' stands twice", path)
                seen[name] = path
                yield (
                    name,
                    _Raw(
                        name=name,
                        method=method.upper(),
                        path=base_path + template,
                        at=path,
                        node=operation,
                        shared=tuple(item.get("parameters", ())),
                        task=operation.get("x-task", {}),
                    ),
                )

    def _operation(self, name: str, raw: _Raw, all_raw: Mapping[str, _Raw]) -> Operation:
        parameters = self._parameters(raw)
        response_at, response = self._success(raw)
        role = raw.task.get("role")
        creates = self._creates(raw, all_raw)
        lifecycle = self._lifecycle(raw) if role == "create" else None
        states = self._states(raw, creates, all_raw)
        built = self._response(response, response_at, states, place="answer")
        links = self._links(raw, response, response_at, lifecycle, all_raw) if role == "create" else ()
        callbacks = self._callbacks(raw, lifecycle) if lifecycle is not None else ()
        if role == "create" and not links:
            raise self.document.error("a created task needs a link to where it can be read", response_at)
        if role in ("read", "list") and not creates:
            raise self.document.error("no operation creates tasks that this one could answer with", raw.at)
        if "default" not in raw.node["responses"]:
            raise self.document.error("needs a default response for refusals", (*raw.at, "responses"))
        page = raw.task.get("page")
        body = self._body(raw)
        unique = self._unique(raw)
        self._state_rows(body)
        operation = Operation(
            id=name,
            method=raw.method,
            path=raw.path,
            segments=_segments(raw.path),
            path_names=tuple(re.findall(r"{([^}]*)}", raw.path)),
            summary=raw.node.get("summary", ""),
            parameters=parameters,
            judged_parameters=tuple(
                one for one in parameters if not (one.place == "path" and one.is_any_text)
            ),
            body=body,
            credentials=self._credentials(raw.node, raw.at),
            response=built,
            role=role,
            lifecycle=lifecycle,
            task_id=_identifier(raw.task["id"]) if "id" in raw.task else None,
            output_id=_identifier(raw.task["outputId"]) if "outputId" in raw.task else None,
            unique=unique,
            of=tuple(raw.task.get("of", ())),
            page=self._page(page, parameters, raw) if page else None,
            when_empty=raw.task.get("whenEmpty", "empty-list"),
            cost_decimals=raw.task.get("costDecimals"),
            money=self._money(raw),
            links=links,
            callbacks=callbacks,
            inputs=tuple(sorted(self._inputs(raw, all_raw))) if role == "create" else (),
        )
        self._check_failing(operation)
        return operation

    def _unique(self, raw: _Raw) -> tuple[Unique, ...]:
        out = []
        for index, one in enumerate(raw.task.get("unique", ())):
            path = (*raw.at, "x-task", "unique", index)
            rule = self.book.add(one["rule"], (*path, "rule"))
            if rule.effect not in ("reject", "off"):
                raise self.document.error(
                    f"rule '{rule.id}' has the effect {rule.effect}; what must be new is refused, or not looked at",
                    path,
                    hint="reject or off",
                )
            if rule.effect == "reject":
                out.append(Unique(pointer=one["pointer"], rule=rule))
        return tuple(out)

    def _check_failing(self, operation: Operation) -> None:
        """Raise SpecError for a rule that is to end a task which cannot end so."""
        lifecycle = operation.lifecycle
        if lifecycle is not None and lifecycle.failure is not None:
            return
        for rule in operation.rules:
            if rule.effect != "fail":
                continue
            why = (
                f"no task of {operation.id} fails by itself"
                if lifecycle
                else f"{operation.id} creates no task"
            )
            hint = "give its lifecycle a transition with event: failure and after" if lifecycle else ""
            raise self.document.error(
                f"rule '{rule.id}' has the effect fail, but {why}", parse_pointer(rule.pointer), hint=hint
            )

    def _money(self, raw: _Raw) -> Money | None:
        word = raw.task.get("money")
        if word is None:
            return None
        path = (*raw.at, "x-task", "money")
        self._state("price", raw.name, f"{word['perUnit']:g} {word['currency']} a unit", word, path)
        return Money(currency=word["currency"], per_unit=word["perUnit"], decimals=word.get("decimals", 2))

    def _creates(self, raw: _Raw, all_raw: Mapping[str, _Raw]) -> list[_Raw]:
        """Return the operations whose tasks this one answers with."""
        if raw.task.get("role") == "create":
            return [raw]
        if raw.task.get("role") == "list":
            for name in raw.task["of"]:
                creating = [one.name for one in all_raw.values() if one.task.get("role") == "create"]
                if name not in creating:
                    raise self.document.error(
                        f"'{name}' creates no tasks", (*raw.at, "x-task", "of"), hint=nearest(name, creating)
                    )
            return [all_raw[name] for name in raw.task["of"]]
        if raw.task.get("role") != "read":
            return []
        return [
            other
            for other in all_raw.values()
            if other.task.get("role") == "create"
            and any(link.get("operationId") == raw.name for link in self._raw_links(other).values())
        ]

    def _raw_links(self, raw: _Raw) -> dict[str, Any]:
        at, response = self._success(raw)
        return {
            name: self.document.resolve(link, (*at, "links", name))[0]
            for name, link in response.get("links", {}).items()
        }

    def _states(self, raw: _Raw, creates: Sequence[_Raw], all_raw: Mapping[str, _Raw]) -> States:
        if not creates:
            return (None,)
        out: dict[str | None, None] = {}
        for create in creates:
            out |= dict.fromkeys(self._lifecycle(create).states)
        # A list has a body of its own beside its items; only the items know a state.
        return (None, *out) if raw.task.get("role") == "list" else tuple(out)

    def _success(self, raw: _Raw) -> tuple[Path, dict[str, Any]]:
        for status, node in raw.node.get("responses", {}).items():
            if status.startswith("2"):
                if not status.isdigit():
                    raise self.document.error(
                        f"a response of success has one status, not {status}", (*raw.at, "responses")
                    )
                response, at = self.document.resolve(node, (*raw.at, "responses", status))
                return at, {**response, "status": int(status)}
        raise self.document.error("needs a response of success", (*raw.at, "responses"))

    def _response(
        self, response: Mapping[str, Any], at: Path, states: States, *, place: str
    ) -> ResponseTemplate:
        contents = []
        for media_type, node in response.get("content", {}).items():
            path = (*at, "content", media_type)
            known = [state for state in states if state is not None]
            if "x-template" in node:
                self.templates.check_states(node["x-template"], (*path, "x-template"), known)
            key = (path, states, place)
            if key not in self.contents:
                self.contents[key] = self.templates.content(
                    node, path, media_type=media_type, states=states, place=place
                )
            contents.append(self.contents[key])
            self._state_template(node, path)
        if not contents:
            raise self.document.error("has no content", at)
        headers = []
        for name, node in response.get("headers", {}).items():
            header, path = self.document.resolve(node, (*at, "headers", name))
            if "x-template" in header:
                headers.append(self.templates.header(name, header, path, states=states, place=place))
                self._state_template(header, path)
        return ResponseTemplate(
            status=response.get("status", 0), contents=tuple(contents), headers=tuple(headers)
        )

    def _state_template(self, node: Mapping[str, Json], path: Path) -> None:
        """Add a template to the evidence table, and those inside it; each once however often it is used."""
        self._state_word(node["x-template"], (*path, "x-template"))

    def _state_word(self, node: Json, path: Path) -> None:
        word, origin = self.document.resolve(node, path, needs=("source", "evidence"))
        pointer = format_pointer(list(origin))
        if any(statement.pointer == pointer for statement in self.statements):
            return
        name = ".".join(str(step) for step in origin if step not in ("x-template", "content", "components"))
        self._state("template", name, "", word, origin)
        if "item" in word:
            self._state_word(word["item"], (*origin, "item"))
        for part in ("body", "states"):
            for nested, at in _references(word.get(part), (*origin, part)):
                target, target_at = self.document.resolve(nested, at)
                if isinstance(target, dict) and {"body", "source", "evidence"} <= target.keys():
                    self._state_word(target, target_at)

    def _parameters(self, raw: _Raw) -> tuple[Parameter, ...]:
        out: dict[tuple[str, str], Parameter] = {}
        nodes = [(node, (*raw.at[:-1], "parameters", i)) for i, node in enumerate(raw.shared)]
        nodes += [(node, (*raw.at, "parameters", i)) for i, node in enumerate(raw.node.get("parameters", ()))]
        for node, at in nodes:
            parameter, path = self.document.resolve(node, at, needs=("name", "in"))
            out[parameter["in"], parameter["name"]] = self._parameter(parameter, path)
        named = {segment[1:-1] for segment in raw.path.split("/") if segment.startswith("{")}
        given = {name for place, name in out if place == "path"}
        if named != given:
            raise self.document.error(
                f"path parameters {sorted(named)} are described as {sorted(given)}", raw.at
            )
        return tuple(out.values())

    def _parameter(self, parameter: Mapping[str, Any], path: Path) -> Parameter:
        if parameter["in"] == "cookie":
            raise self.document.error("cookies are not understood", path)
        schema_node = parameter.get("schema", {})
        schema, validator, owners = compile_value_schema(schema_node, (*path, "schema"), book=self.book)
        rule = owners[()].rule if () in owners else None
        if parameter.get("required") and parameter["in"] != "path" and rule is None:
            raise self.document.error("is required but has no x-rule in its schema", path)
        place: Place = parameter["in"]
        return Parameter(
            name=parameter["name"].lower() if place == "header" else parameter["name"],
            place=place,
            required=parameter.get("required", False),
            default=schema_node.get("default") if isinstance(schema_node, dict) else None,
            convert=_converter(schema),
            schema=schema,
            validator=validator,
            owners=owners,
            rule=rule,
            is_any_text=schema in ({}, {"type": "string"}),
        )

    def _body(self, raw: _Raw) -> BodySchema | None:
        if "requestBody" not in raw.node:
            return None
        body, at = self.document.resolve(
            raw.node["requestBody"], (*raw.at, "requestBody"), needs=("content",)
        )
        if list(body["content"]) != ["application/json"]:
            raise self.document.error("only application/json bodies are understood", at)
        media, media_at = self.document.resolve(
            body["content"]["application/json"], (*at, "content", "application/json"), needs=("schema",)
        )
        path = (*media_at, "schema")
        known = self.bodies.get(path)
        if known is None:
            # Operations that share a body share its schema.
            known = self.bodies[path] = compile_body_schema(
                media["schema"],
                path,
                media_type="application/json",
                required=body.get("required", False),
                book=self.book,
            )
        return known

    def _page(self, page: Mapping[str, Json], parameters: tuple[Parameter, ...], raw: _Raw) -> Page:
        known = {f"$request.query.{one.name}": one for one in parameters if one.place == "query"}
        for key in ("number", "size"):
            if page[key] not in known:
                raise self.document.error(
                    f"'{page[key]}' is no query parameter of this operation", (*raw.at, "x-task", "page")
                )
        default = known[page["size"]].default
        return Page(
            number=known[page["number"]].name,
            size=known[page["size"]].name,
            default_size=default if isinstance(default, int) else page.get("defaultSize", 20),
        )

    # --- lifecycles ---------------------------------------------------------------------------------------

    def _lifecycle(self, raw: _Raw) -> Lifecycle:
        word, at = self.document.resolve(
            raw.task["lifecycle"],
            (*raw.at, "x-task", "lifecycle"),
            needs=("initial", "states", "transitions", "source", "evidence"),
        )
        states = {
            name: State(name=name, is_final=state.get("final", False), outcome=state.get("outcome"))
            for name, state in word["states"].items()
        }
        transitions = tuple(
            Transition(
                source=one["source"],
                target=one["target"],
                after=milliseconds(one["after"]) if "after" in one else None,
                event=one.get("event"),
            )
            for one in word["transitions"]
        )
        self._check_lifecycle(word, states, transitions, at)
        result = word.get("result")
        name = str(at[-1])
        if all(statement.pointer != format_pointer(list(at)) for statement in self.statements):
            self._state("lifecycle", name, " -> ".join(states), word, at)
        success = _course(word["initial"], transitions, states)
        return Lifecycle(
            name=name,
            initial=word["initial"],
            states=states,
            transitions=transitions,
            success=success,
            failure=_failing_course(success, transitions),
            retention=milliseconds(word["retention"]) if "retention" in word else None,
            result_expires=milliseconds(result["expires"]) if result else None,
            result_status=result["status"] if result else 404,
            source=word["source"],
            evidence=word["evidence"],
        )

    def _check_lifecycle(
        self,
        word: Mapping[str, Json],
        states: Mapping[str, State],
        transitions: Sequence[Transition],
        at: Path,
    ) -> None:
        error = self.document.error
        named = [word["initial"], *(t.source for t in transitions), *(t.target for t in transitions)]
        for name in named:
            if name not in states:
                raise error(f"state '{name}' does not exist", at, hint=nearest(name, states))
        for state in states.values():
            leaves = [t for t in transitions if t.source == state.name]
            if state.is_final and leaves:
                raise error(f"state '{state.name}' is final, but a transition leaves it", at)
            if not state.is_final and not leaves:
                raise error(f"state '{state.name}' is not final, but nothing leaves it", at)
            if len([t for t in leaves if t.event is None]) > 1:
                raise error(f"two transitions leave '{state.name}' by themselves", at)
        reached = {word["initial"]}
        for _ in states:
            reached |= {t.target for t in transitions if t.source in reached}
        for name in states:
            if name not in reached:
                raise error(f"state '{name}' cannot be reached", at)
        course = _course(word["initial"], transitions, states)
        if states[course[-1][1]].outcome != "success":
            raise error("the course of time does not end in a success", at)

    # --- links --------------------------------------------------------------------------------------------

    def _links(
        self,
        raw: _Raw,
        response: Mapping[str, Any],
        at: Path,
        lifecycle: Lifecycle | None,
        all_raw: Mapping[str, _Raw],
    ) -> tuple[Link, ...]:
        assert lifecycle is not None
        out = []
        for name, link in self._raw_links(raw).items():
            path = (*at, "links", name)
            target = all_raw.get(link.get("operationId", ""))
            if target is None:
                raise self.document.error(
                    "names no operation of this file",
                    path,
                    hint=nearest(link.get("operationId", ""), all_raw),
                )
            if target.task.get("role") != "read":
                continue
            if len(link.get("parameters", {})) != 1:
                raise self.document.error("a link to a task has exactly one parameter", path)
            ((key, text),) = link["parameters"].items()
            place, parameter = self._link_parameter(key, target, path)
            try:
                value = parse(text)
            except ExpressionError as error:
                raise self.document.error(str(error), path) from None
            is_task_id = False
            if value.root == "response" and value.pointer is not None:
                media = next(iter(response["content"].values()))
                body = self.templates.body_of(media["x-template"], at, lifecycle.initial)
                found = resolve_pointer(body, value.pointer)
                is_task_id = found == "$task.id"
            if not is_task_id and value.root != "request":
                raise self.document.error(
                    f"'{text}' must lead to $task.id in the answer, or into the request", path
                )
            out.append(
                Link(
                    name=name,
                    operation=target.name,
                    parameter=parameter,
                    place=place,
                    value=value,
                    is_task_id=is_task_id,
                    pointer="" if is_task_id else format_pointer(value.pointer or ()),
                    evaluate=evaluator(value),
                )
            )
        return tuple(out)

    def _link_parameter(self, key: str, target: _Raw, path: Path) -> tuple[Place, str]:
        qualified = re.fullmatch(r"(path|query|header)\.(.+)", key)
        known = {(one.place, one.name) for one in self._parameters(target)}
        for place, name in known:
            if (qualified and (place, name) == qualified.groups()) or (not qualified and name == key):
                return place, name
        raise self.document.error(
            f"'{key}' is no parameter of {target.name}", path, hint=nearest(key, (n for _, n in known))
        )

    def _inputs(self, raw: _Raw, all_raw: Mapping[str, _Raw]) -> set[str]:
        """Return the pointers that any rendering of this operation's tasks reads from `$task.input`."""
        names = {raw.name} | {link.get("operationId") for link in self._raw_links(raw).values()}
        names |= {name for name, one in all_raw.items() if raw.name in one.task.get("of", ())}
        nodes: list[Json] = [
            self._success(all_raw[name])[1] for name in sorted(n for n in names if n is not None)
        ]
        nodes.append(raw.node.get("callbacks", {}))
        texts = (text for node in nodes for text in self._texts(node, raw.at, set()))
        return {pointer for text in texts for pointer in re.findall(r"\$task\.input#(/[^{}]*)", text)}

    def _texts(self, node: Json, path: Path, seen: set[str]) -> Iterable[str]:
        """Yield every text below a node, references followed."""
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                if reference not in seen:
                    target, at = self.document.resolve(node, path)
                    yield from self._texts(target, at, seen | {reference})
                return
            for value in node.values():
                yield from self._texts(value, path, seen)
        elif isinstance(node, list):
            for value in node:
                yield from self._texts(value, path, seen)
        elif isinstance(node, str):
            yield node

    # --- callbacks ----------------------------------------------------------------------------------------

    def _callbacks(self, raw: _Raw, lifecycle: Lifecycle) -> tuple[Callback, ...]:
        out = []
        for name, node in raw.node.get("callbacks", {}).items():
            callback, at = self.document.resolve(node, (*raw.at, "callbacks", name))
            for address, item in callback.items():
                methods = [method for method in METHODS if method in item]
                if len(methods) != 1:
                    raise self.document.error("a callback has exactly one method", (*at, address))
                path = (*at, address, methods[0])
                out.append(self._callback(name, address, methods[0], item[methods[0]], path, lifecycle))
        return tuple(out)

    def _callback(
        self, name: str, address: str, method: str, node: Mapping[str, Any], at: Path, lifecycle: Lifecycle
    ) -> Callback:
        if "x-deliver" not in node:
            raise self.document.error("has no x-deliver, so that it would never be sent", at)
        word = node["x-deliver"]
        for state in word["states"]:
            if state not in lifecycle.states:
                raise self.document.error(
                    f"state '{state}' does not exist",
                    (*at, "x-deliver"),
                    hint=nearest(state, lifecycle.states),
                )
        states: States = tuple(lifecycle.states)
        if "requestBody" not in node:
            raise self.document.error("needs a requestBody, so that there is something to send", at)
        body, body_at = self.document.resolve(node["requestBody"], (*at, "requestBody"), needs=("content",))
        if len(body["content"]) != 1:
            raise self.document.error("a callback has exactly one media type", (*body_at, "content"))
        ((media_type, media),) = body["content"].items()
        path = (*body_at, "content", media_type)
        if "x-template" not in media:
            raise self.document.error("has no x-template, so that nothing could be sent", path)
        self.templates.check_states(media["x-template"], (*path, "x-template"), lifecycle.states)
        content = self.templates.content(media, path, media_type=media_type, states=states, place="delivery")
        headers = []
        for index, parameter in enumerate(node.get("parameters", ())):
            header, header_at = self.document.resolve(
                parameter, (*at, "parameters", index), needs=("name", "in")
            )
            if header["in"] != "header" or "x-template" not in header:
                raise self.document.error("a callback's parameter is a header with an x-template", header_at)
            self.templates.check_states(header["x-template"], header_at, lifecycle.states)
            self._state_template(header, header_at)
            headers.append(
                self.templates.header(header["name"], header, header_at, states=states, place="delivery")
            )
        signature = word.get("signature")
        try:
            url = compile_text(address)
        except ExpressionError as error:
            raise self.document.error(str(error), at) from None
        pointer = format_pointer([*at, "x-deliver"])
        if all(statement.pointer != pointer for statement in self.statements):
            self._state("callback", name, ", ".join(word["states"]), word, (*at, "x-deliver"))
            self._state_template(media, path)
        return Callback(
            name=name,
            url=url,
            url_expression=address,
            method=method.upper(),
            states=frozenset(word["states"]),
            timeout=milliseconds(word.get("timeout", "PT10S")),
            retry=tuple(milliseconds(wait) for wait in word.get("retry", ())),
            retry_on=frozenset(word["retryOn"]) if "retryOn" in word else RETRY_ON,
            id=_identifier(word.get("id", {"format": "uuid"})),
            signature=Signature(
                scheme=signature["scheme"],
                secret=signature["secret"],
                is_always=signature["when"] == "always",
            )
            if signature
            else None,
            content=content,
            headers=tuple(headers),
            source=word["source"],
            evidence=word["evidence"],
        )

    # --- errors, limits, variants -------------------------------------------------------------------------

    def _errors(
        self, operations: Mapping[str, Operation]
    ) -> tuple[tuple[Phrase, ...], tuple[ErrorCase, ...]]:
        word = self.document.root["x-errors"]
        usual = self._error_response(word["response"], ("x-errors", "response"))
        phrases = []
        for index, one in enumerate(word.get("phrases", ())):
            path: Path = ("x-errors", "phrases", index)
            self._check_when(one["when"], operations, path)
            self._state("phrase", _when_text(one["when"]), one["text"], one, path)
            phrases.append(
                Phrase(
                    when=When(**one["when"]),
                    text=self.templates.text(one["text"], path, place="message"),
                    source=one["source"],
                    evidence=one["evidence"],
                )
            )
        cases: list[ErrorCase] = []
        for index, one in enumerate(word["cases"]):
            path = ("x-errors", "cases", index)
            self._check_when(one["when"], operations, path)
            for earlier, before in enumerate(word["cases"][:index]):
                if before["when"].items() <= one["when"].items():
                    raise self.document.error(f"can never be reached: case {earlier} matches first", path)
            self._state("error", _when_text(one["when"]), one["message"], one, path)
            response = usual
            if "response" in one:
                response = self._error_response(one["response"], (*path, "response"))
            cases.append(
                ErrorCase(
                    when=When(**one["when"]),
                    status=one["status"],
                    code=one.get("code"),
                    message=self.templates.text(one["message"], path, place="message"),
                    has_phrases=self._has_phrases([one["message"], one.get("response", word["response"])], path),
                    response=response,
                    headers=tuple(
                        (name, self.templates.text(text, path, place="message"))
                        for name, text in one.get("headers", {}).items()
                    ),
                    source=one["source"],
                    evidence=one["evidence"],
                    pointer=format_pointer(list(path)),
                )
            )
        if word["cases"][-1]["when"]:
            raise self.document.error(
                "the last case must match everything", ("x-errors", "cases"), hint="give it when: {}"
            )
        return tuple(phrases), tuple(cases)

    def _has_phrases(self, nodes: list[Json], path: Path) -> bool:
        """Tell whether an answer holds the sentences of its faults, and is no surer than they are."""
        return any("$error.phrase" in text for text in self._texts(nodes, path, set()))

    def _error_response(self, node: Json, at: Path) -> ResponseTemplate:
        response, path = self.document.resolve(node, at)
        return self._response(response, path, (None,), place="error")

    def _check_when(self, when: Mapping[str, str], operations: Mapping[str, Operation], path: Path) -> None:
        if "operation" in when and when["operation"] not in operations:
            raise self.document.error(
                f"operation '{when['operation']}' does not exist",
                path,
                hint=nearest(when["operation"], operations),
            )
        if "rule" in when and not any(glob_matches(when["rule"], rule) for rule in self.book.rules):
            raise self.document.error(
                f"no rule is called '{when['rule']}'", path, hint=nearest(when["rule"], self.book.rules)
            )

    def _limits(self) -> tuple[Limit, ...]:
        out = []
        for index, one in enumerate(self.document.root.get("x-limits", ())):
            self._state("limit", one["unit"], str(one["quota"]), one, ("x-limits", index))
            out.append(
                Limit(
                    unit=one["unit"],
                    quota=one["quota"],
                    window=milliseconds(one["window"]) if "window" in one else None,
                    source=one["source"],
                    evidence=one["evidence"],
                )
            )
        return tuple(out)

    def _variants(self) -> tuple[Variant, ...]:
        out = []
        for name, one in self.document.root.get("x-variants", {}).items():
            self._state("variant", name, one["summary"], one, ("x-variants", name))
            out.append(
                Variant(name=name, summary=one["summary"], source=one["source"], evidence=one["evidence"])
            )
        return tuple(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """An operation as it stands in the document; `at` is its path there, `shared` its path's parameters."""

    name: str
    method: str
    path: str
    at: Path
    node: Mapping[str, Any]
    shared: tuple[Json, ...]
    task: Mapping[str, Any]


def glob_matches(pattern: str, text: str) -> bool:
    """Tell whether the text matches, '*' standing for any run of characters.

    >>> glob_matches("x.image.*", "x.image.size")
    True
    """
    if "*" not in pattern:
        return pattern == text
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None


def _references(node: Json, at: Path) -> Iterable[tuple[dict[str, Json], Path]]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node, at
            return
        for name, value in node.items():
            yield from _references(value, (*at, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, (*at, index))


def _when_text(when: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in when.items()) or "anything else"


def _segments(path: str) -> tuple[str | None, ...]:
    return tuple(None if part.startswith("{") else part for part in path.split("/"))


def _identifier(word: Mapping[str, Any]) -> Identifier:
    return Identifier(
        format=word["format"],
        length=word.get("length", 0),
        prefix=word.get("prefix", ""),
        epoch=word.get("epoch", 0),
        shift=word.get("shift", 0),
    )


def _converter(schema: Json) -> Callable[[str], Json]:
    """Return what reads a parameter's text as the JSON type its schema asks for.

    Source: OpenAPI 3.1, 4.8.12: the style `simple` and `form` of a primitive.
    """
    kinds = schema.get("type", "string") if isinstance(schema, dict) else "string"
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "integer" in kinds:
        return lambda text: int(text) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) else text
    if "number" in kinds:
        return lambda text: float(text) if re.fullmatch(r"-?\d{1,18}(\.\d+)?", text, re.ASCII) else text
    if "boolean" in kinds:
        return lambda text: {"true": True, "false": False}.get(text, text)
    return lambda text: text


def _course(
    initial: str, transitions: Sequence[Transition], states: Mapping[str, State]
) -> tuple[tuple[int, str], ...]:
    """Return the states time alone leads through, each with when it is entered."""
    at, state = 0, initial
    out = [(at, state)]
    while len(out) <= len(states):
        step = next((t for t in transitions if t.source == state and t.event is None), None)
        if step is None:
            break
        at, state = at + (step.after or 0), step.target
        out.append((at, state))
    return tuple(out)


def _failing_course(
    success: tuple[tuple[int, str], ...], transitions: Sequence[Transition]
) -> tuple[tuple[int, str], ...] | None:
    """Return the course of a task that fails by itself: the usual one up to the first timed failure."""
    for index, (at, state) in enumerate(success):
        for step in transitions:
            if step.source == state and step.event == "failure" and step.after is not None:
                return (*success[: index + 1], (at + step.after, step.target))
    return None


def _routes(operations: Iterable[Operation]) -> Routes:
    exact: dict[str, dict[str, Operation]] = {}
    templated: dict[tuple[str | None, ...], dict[str, Operation]] = {}
    for operation in operations:
        if None in operation.segments:
            templated.setdefault(operation.segments, {})[operation.method] = operation
        else:
            exact.setdefault(operation.path, {})[operation.method] = operation
    ordered = sorted(templated.items(), key=lambda item: item[0].count(None))
    ending = {
        "/".join(str(part) for part in segments[:-1]) + "/": methods
        for segments, methods in ordered
        if segments.count(None) == 1 and segments[-1] is None
    }
    return Routes(exact=exact, ending=ending, templated=tuple(ordered))
