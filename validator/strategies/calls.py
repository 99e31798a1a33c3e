"""Whole requests around a body: address, parameters, credential, and what can be wrong with each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from validator.check import MAX_DEPTH, MAX_VALUES
from validator.contract.expressions import to_text
from validator.contract.model import RESERVED_AREA, Credential, JwtForm, Operation, Parameter
from validator.request import HttpRequest, dump_json
from validator.strategies.choices import Chooser, Counted, First, Impossible
from validator.strategies.demands import Logic, Schema, State
from validator.strategies.flaws import Source, flaws
from validator.strategies.patterns import build, parse
from validator.strategies.values import Builder

_FAR: Final = 4_102_444_800
"""The year 2100, in seconds since the epoch."""

_SECRET: Final = b"a secret that nobody has to know"
_TRIES: Final = 60

_PLAIN_TYPES: Final[Schema] = {"type": ["string", "number", "boolean"]}
_PLACES: Final[Mapping[str, Schema]] = {
    # What can be written in each place at all, so that nothing on the way reads it otherwise.
    "path": {"if": {"type": "string"}, "then": {"pattern": "^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$"}},
    "header": {"if": {"type": "string"}, "then": {"pattern": "^[!-~](?:[ !-~]*[!-~])?$"}},
    "query": True,
}

PROTOCOL_FLAWS: Final = (
    *("unauthorized-missing", "unauthorized-malformed", "unauthorized-unreadable"),
    *("unauthorized-not-yet-valid", "unauthorized-expired"),
    *("unsupported-media-type", "malformed", "malformed-empty", "malformed-depth", "malformed-values"),
)
"""What can be wrong with a request though no rule of a spec says so: `<provider>.request.<name>`."""


@dataclass(slots=True)
class Calls:
    """What constructs the requests of one operation around their bodies."""

    operation: Operation
    logic: Logic = field(default_factory=Logic)
    builder: Builder = field(init=False)
    _states: dict[tuple[str, str], State] = field(default_factory=dict)
    _flawed: dict[tuple[str, str], list[tuple[Parameter, State | None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing worked out."""
        self.builder = Builder(self.logic)

    # --- requests -----------------------------------------------------------------------------------------

    def request(
        self,
        chooser: Chooser,
        body: Any,
        *,
        has_body: bool,
        explicit: Mapping[str, str],
        parameters: Mapping[str, str | None] | None = None,
        protocol: str = "",
    ) -> HttpRequest:
        """Return a request that is right but for what `parameters` and `protocol` say; raises Impossible.

        `explicit` and `parameters` hold texts by name, headers in lower case; None leaves a parameter out.
        """
        given: dict[str, str | None] = {**(parameters or {}), **explicit}
        texts = {
            parameter.name: text
            for parameter in self.operation.parameters
            if (text := self._text(parameter, given, chooser)) is not None
        }
        path = self.operation.path
        query, headers = {}, {}
        for parameter in self.operation.parameters:
            text = texts.get(parameter.name)
            if parameter.place == "path":
                path = path.replace(f"{{{parameter.name}}}", quote(text or "a", safe=""))
            elif text is not None:
                (query if parameter.place == "query" else headers)[parameter.name] = text
        headers |= self._credential(chooser, explicit, protocol)
        raw, fault = b"", ""
        if has_body:
            raw, fault = dump_json(body)
            headers["content-type"] = "application/json"
            if protocol == "unsupported-media-type":
                kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png")
                headers["content-type"] = kinds[chooser.below(len(kinds))]
            elif protocol.startswith("malformed"):
                raw = _malformed(protocol, raw, chooser)
        headers |= {
            name: text for name, text in explicit.items() if name not in texts and name not in headers
        }
        return HttpRequest(
            method=self.operation.method,
            path=path,
            url=path + (f"?{urlencode(query)}" if query else ""),
            headers=headers,
            query=query,
            body=raw,
            body_fault=fault,
        )

    # --- parameters ---------------------------------------------------------------------------------------

    def _text(self, parameter: Parameter, given: Mapping[str, str | None], chooser: Chooser) -> str | None:
        if parameter.name in given:
            return given[parameter.name]
        is_needed = parameter.required or parameter.place == "path"
        if not is_needed and not chooser.flag():
            return None
        state = self._states.get((parameter.place, parameter.name))
        if state is None:
            state = State(self.logic)
            state.demand(parameter.schema)
            state.demand(_PLAIN_TYPES)
            state.demand(_PLACES[parameter.place])
            self._states[parameter.place, parameter.name] = state
        return self._written(parameter, state, chooser, is_right=True)

    def _written(self, parameter: Parameter, state: State, chooser: Chooser, *, is_right: bool) -> str:
        """Return a parameter's text that is read as meant; raises Impossible."""
        for index in range(_TRIES):
            way = chooser if index == 0 else First() if index == 1 else Counted(index)
            try:
                text = to_text(self.builder.value(state.copy().solved(way), way))
            except Impossible:
                continue
            if parameter.validator.is_valid(parameter.convert(text)) == is_right:
                return text
        raise Impossible

    def flawed(self, rule: str) -> list[tuple[Parameter, State | None]]:
        """Return (parameter, what its value is to be) for each way to break a rule, None for a missing one."""
        if ("", rule) not in self._flawed:
            self._flawed["", rule] = list(self._parameter_flaws(rule))
        return self._flawed["", rule]

    def _parameter_flaws(self, rule: str) -> Iterator[tuple[Parameter, State | None]]:
        for parameter in self.operation.judged_parameters:
            if parameter.required and parameter.place != "path" and parameter.rule and parameter.rule.id == rule:
                yield parameter, None
            for flaw in flaws(Source(parameter.schema, parameter.owners), rule, self.logic):
                for schema in (flaw.strict, flaw.loose):
                    try:
                        state = State(self.logic)
                        for one in (schema, _PLAIN_TYPES, _PLACES[parameter.place]):
                            state.demand(one)
                        text = self._written(parameter, state, First(), is_right=False)
                    except Impossible:
                        continue
                    if self._broken(parameter, text) == {rule}:
                        yield parameter, state
                        break

    def _broken(self, parameter: Parameter, text: str) -> set[str]:
        source = Source(parameter.schema, parameter.owners)
        errors = parameter.validator.iter_errors(parameter.convert(text))
        owners = [source.owner(tuple(error.schema_path)) for error in errors]
        return {owner.rule.id for owner in owners if owner is not None and owner.rule is not None}

    def wrong_parameter(
        self, rule: str, flaw: tuple[Parameter, State | None], chooser: Chooser
    ) -> dict[str, str | None]:
        """Return the parameter that breaks a rule; raises Impossible."""
        parameter, state = flaw
        if state is None:
            return {parameter.name: None}
        text = self._written(parameter, state, chooser, is_right=False)
        if self._broken(parameter, text) != {rule}:
            text = self._written(parameter, state, First(), is_right=False)
        return {parameter.name: text}

    # --- credentials --------------------------------------------------------------------------------------

    def _credential(self, chooser: Chooser, explicit: Mapping[str, str], protocol: str) -> dict[str, str]:
        credentials = self.operation.credentials
        if not credentials or protocol == "unauthorized-missing":
            return {}
        for credential in credentials:
            if credential.header in explicit:
                return {credential.header: explicit[credential.header]}
        credential = credentials[chooser.below(len(credentials))]
        flaw = protocol.removeprefix("unauthorized-") if protocol.startswith("unauthorized-") else ""
        if flaw in ("unreadable", "not-yet-valid", "expired"):
            credential = next(one for one in credentials if one.jwt is not None)
        ways = list(_tokens(credential, flaw))
        return {credential.header: ways[chooser.below(len(ways))]}

    def protocol_flaws(self) -> tuple[str, ...]:
        """Return the names of what can be wrong with the protocol of this operation's requests."""
        forms = [one.jwt for one in self.operation.credentials if one.jwt is not None]
        out = []
        for name in PROTOCOL_FLAWS:
            if name.startswith("unauthorized"):
                is_of_token = name.rpartition("unauthorized-")[2] in ("unreadable", "not-yet-valid", "expired")
                if forms if is_of_token else self.operation.credentials:
                    out.append(name)
            elif self.operation.body is not None:
                out.append(name)
        return tuple(out)


def protocol_rule(operation: Operation, name: str) -> str:
    """Return the id of a finding that needs no rule."""
    return f"{operation.provider}.{RESERVED_AREA}.{name}"


def _tokens(credential: Credential, flaw: str) -> Iterator[str]:
    """Yield the headers that carry a credential, or one with a flaw."""
    prefix = "Bearer " if credential.is_bearer else ""
    form = credential.jwt
    if flaw == "malformed":
        if credential.is_bearer:
            yield from ("Bearer", "Basic YTph")
            if form is not None:
                yield from ("Bearer a.b", "Bearer a.b.c.d")
        else:
            yield from ("a b", "\u00e9")
        return
    if form is None:
        yield prefix + "understudy-key-0123456789abcdef"
        return
    if flaw == "unreadable":
        yield from (prefix + "a.b.c", prefix + _token(form, without=form.claims[:1]))
        return
    dates = {"not-yet-valid": {"nbf": _FAR}, "expired": {"exp": 1}}.get(flaw, {})
    if not flaw and form.opaque is not None:
        # The plainest key of the form, drawn out to what real ones look like.
        yield prefix + build(parse(form.opaque), First())
    yield prefix + _token(form, dates=dates)


def _token(form: JwtForm, *, dates: Mapping[str, int] | None = None, without: Sequence[str] = ()) -> str:
    """Return a token of the form that counts until 2100, signed with a secret of our own."""
    claims: dict[str, Any] = dict.fromkeys(form.claims, "understudy")
    claims |= {form.account: "understudy", "iat": 0, "nbf": 0, "exp": _FAR, **(dates or {})}
    for name in without:
        del claims[name]
    algorithm = form.algorithms[0]
    parts = [{"alg": algorithm, "typ": "JWT"}, claims]
    text = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
    return f"{text}.{_base64(hmac.new(_SECRET, text.encode(), digest).digest())}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _malformed(protocol: str, raw: bytes, chooser: Chooser) -> bytes:
    match protocol:
        case "malformed-empty":
            return (b"", b" ", b"\n")[chooser.below(3)]
        case "malformed-depth":
            levels = MAX_DEPTH + 1 + chooser.below(10)
            return b"[" * levels + b"]" * levels
        case "malformed-values":
            return b"[" + b"0," * (MAX_VALUES + chooser.below(10)) + b"0]"
    return (b"{", raw[:-1] or b"{", b'{"a":NaN}', b"{'a': 1}", raw + b",", b'{"\xff":1}')[chooser.below(6)]
