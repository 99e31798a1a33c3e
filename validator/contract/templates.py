"""Templates of answers, headers and deliveries: one renderer for each state, found when the spec is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from validator.contract.document import Document, nearest
from validator.contract.engine import compile_engine
from validator.contract.expressions import (
    MISSING,
    Evaluate,
    Expression,
    ExpressionError,
    Json,
    Scope,
    compile_body,
    compile_text,
    expressions_in,
    merge_patch,
    to_text,
)
from validator.contract.model import BodyTemplate, Evidence, HeaderTemplate, ResponseTemplate
from validator.contract.rules import RuleBook
from validator.contract.statements import Statements
from validator.contract.trees import Path, inline_schema, strip

SURENESS: Final[tuple[Evidence, ...]] = ("documented", "captured", "reported", "assumed")
"""Evidence from the surest to the least sure."""

ROOTS: Final[Mapping[str, frozenset[str]]] = {
    "answer": frozenset(("request", "task", "tasks", "mock", "limit", "account", "url", "method")),
    "error": frozenset(("request", "error", "errors", "mock", "limit", "account", "url", "method")),
    "delivery": frozenset(("task", "delivery", "mock")),
    "message": frozenset(("request", "error", "mock", "limit", "url", "method")),
    "link": frozenset(("request", "response")),
    "address": frozenset(("request",)),
}
"""Where a template stands, and the expression roots that have a value there."""

States = Sequence[str | None]


def weakest(evidence: Iterable[Evidence]) -> Evidence:
    """Return the least sure of several; "documented" for none."""
    return max(evidence, key=SURENESS.index, default="documented")


@dataclass(slots=True)
class Templates:
    """Compiles the templates of one document, and tells the evidence table of each."""

    document: Document
    book: RuleBook
    statements: Statements
    _contents: dict[tuple[Path, tuple[str | None, ...], str], BodyTemplate] = field(default_factory=dict)

    def response(
        self, response: Mapping[str, Any], at: Path, states: States, *, place: str
    ) -> ResponseTemplate:
        """Compile a Response Object with its `status` put in; raises SpecError."""
        contents = []
        for media_type, node in response.get("content", {}).items():
            path = (*at, "content", media_type)
            known = [state for state in states if state is not None]
            if "x-template" in node:
                self.check_states(node["x-template"], (*path, "x-template"), known)
            # Operations that answer alike share what was compiled.
            key = (path, tuple(states), place)
            if key not in self._contents:
                self._contents[key] = self.content(
                    node, path, media_type=media_type, states=states, place=place
                )
            contents.append(self._contents[key])
        if not contents:
            raise self.document.error("has no content", at)
        headers = []
        for name, node in response.get("headers", {}).items():
            header, path = self.document.resolve(node, (*at, "headers", name))
            if "x-template" in header:
                headers.append(self.header(name, header, path, states=states, place=place))
        return ResponseTemplate(
            status=response.get("status", 0), contents=tuple(contents), headers=tuple(headers)
        )

    def _word(self, node: Json, path: Path) -> tuple[Any, Path]:
        return self.document.resolve(node, path, needs=("body", "source", "evidence"))

    def content(
        self, media: Mapping[str, Json], path: Path, *, media_type: str, states: States, place: str
    ) -> BodyTemplate:
        """Compile a Media Type Object with an `x-template`; raises SpecError."""
        if "x-template" not in media:
            raise self.document.error("has no x-template, so that nothing could be answered", path)
        word, origin = self._word(media["x-template"], (*path, "x-template"))
        expanded = {state: self._expand(word, origin, state, place) for state in states}
        item = self._item(word, origin, states, place)
        self.statements.add_template(media["x-template"], (*path, "x-template"))
        schema: Json = {}
        if "schema" in media:
            schema = strip(inline_schema(self.document, media["schema"], (*path, "schema")))
            compile_engine(schema, self.document, (*path, "schema"))
        return BodyTemplate(
            media_type=media_type,
            bodies={state: compile_body(body, item=item) for state, (body, _) in expanded.items()},
            evidence={state: evidence for state, (_, evidence) in expanded.items()},
            source=word["source"],
            schema=schema,
            pointer="/" + "/".join(str(step) for step in origin),
        )

    def header(
        self, name: str, node: Mapping[str, Json], path: Path, *, states: States, place: str
    ) -> HeaderTemplate:
        """Compile a Header or a header Parameter Object with an `x-template`; raises SpecError.

        A value that the header's own schema does not allow is left out of the answer: that is how a
        provider drops what it does not like without a word.
        """
        word, origin = self._word(node["x-template"], (*path, "x-template"))
        bodies = {state: self._expand(word, origin, state, place)[0] for state in states}
        self.statements.add_template(node["x-template"], (*path, "x-template"))
        schema = strip(inline_schema(self.document, node.get("schema", True), (*path, "schema")))
        fits: Callable[[Json], bool] = (
            (lambda value: True)
            if schema in (True, {})
            else compile_engine(schema, self.document, (*path, "schema")).is_valid
        )
        return HeaderTemplate(
            name=name, values={state: compile_body(body) for state, body in bodies.items()}, fits=fits
        )

    def body_of(self, word: Json, path: Path, state: str | None) -> Json:
        """Return the body of a template in a state, its parts joined, expressions left as they are."""
        resolved, origin = self._word(word, path)
        return self._expand(resolved, origin, state, "answer")[0]

    def _expand(self, word: Any, path: Path, state: str | None, place: str) -> tuple[Json, Evidence]:
        seen: list[Evidence] = []
        body = self._template(word, path, state, seen, (path,))
        self._check(body, path, place)
        return body, weakest(seen)

    def _template(
        self, word: Any, path: Path, state: str | None, seen: list[Evidence], above: tuple[Path, ...]
    ) -> Json:
        seen.append(word.get("stateEvidence", {}).get(state, word["evidence"]))
        body = self._parts(word["body"], (*path, "body"), state, seen, above)
        patch = word.get("states", {}).get(state)
        if patch is None:
            return body
        return merge_patch(body, self._parts(patch, (*path, "states", str(state)), state, seen, above))

    def _parts(
        self, node: Json, path: Path, state: str | None, seen: list[Evidence], above: tuple[Path, ...]
    ) -> Json:
        """Replace each $ref inside a body by what it leads to, a template by its body in the state."""
        if isinstance(node, dict):
            if "$ref" in node:
                target, origin = self.document.resolve(node, path)
                if origin in above:
                    raise self.document.error("a template that contains itself", path)
                if isinstance(target, dict) and {"body", "source", "evidence"} <= target.keys():
                    return self._template(target, origin, state, seen, (*above, origin))
                return self._parts(target, origin, state, seen, (*above, origin))
            return {
                name: self._parts(value, (*path, name), state, seen, above) for name, value in node.items()
            }
        if isinstance(node, list):
            return [self._parts(item, (*path, index), state, seen, above) for index, item in enumerate(node)]
        return node

    def _item(
        self, word: Mapping[str, Json], path: Path, states: States, place: str
    ) -> Callable[[Scope, Any], Json] | None:
        if "item" not in word:
            return None
        inner, origin = self._word(word["item"], (*path, "item"))
        if place == "error":
            render = compile_body(self._expand(inner, origin, None, place)[0])
            return lambda scope, error: render(Scope(request=scope.request, mock=scope.mock, error=error))
        renders = {
            state: compile_body(self._expand(inner, origin, state, place)[0]) for state in states if state
        }
        return lambda scope, task: renders[task.phase](
            Scope(request=scope.request, mock=scope.mock, task=task)
        )

    def _check(self, body: Json, path: Path, place: str) -> None:
        for expression in self.expressions(body, path):
            if expression.root not in ROOTS[place]:
                known = ", ".join(f"${root}" for root in sorted(ROOTS[place]))
                raise self.document.error(
                    f"'{expression.text}' has no value here", path, hint=f"known in this place: {known}"
                )

    def expressions(self, body: Json, path: Path) -> list[Expression]:
        """Return the expressions of a body or text; raises SpecError for one that cannot be read."""
        try:
            return expressions_in(body)
        except ExpressionError as error:
            raise self.document.error(str(error), path) from None

    def check_states(self, word: Json, path: Path, known: Iterable[str]) -> None:
        """Raise SpecError where a template names a state that the lifecycle does not have."""
        known = set(known)
        resolved, origin = self.document.resolve(word, path)
        if not isinstance(resolved, dict):
            return
        for key in ("states", "stateEvidence"):
            for state in resolved.get(key, {}):
                if state not in known:
                    raise self.document.error(
                        f"state '{state}' does not exist", (*origin, key), hint=nearest(state, known)
                    )
        if "item" in resolved:
            self.check_states(resolved["item"], (*origin, "item"), known)

    def text(self, text: str, path: Path, *, place: str) -> Evaluate:
        """Compile a message: always a string, with nothing where an expression finds nothing."""
        self._check(text, path, place)
        render = compile_text(text, missing="")

        def message(scope: Scope) -> Json:
            value = render(scope)
            return "" if value is MISSING else to_text(value)

        return message
