"""The compiled form of a provider: what the check and the server look things up in.

Plain frozen types without behaviour of their own beyond look-ups; everything that costs time happened in
`compile.py`.  Times are integers, milliseconds; ids and names as the provider spells them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jsonschema_rs

from validator.contract.document import Document
from validator.contract.expressions import Evaluate, Expression, Json

Effect = Literal["reject", "fail", "warn", "off"]
Evidence = Literal["documented", "captured", "reported", "assumed"]
Place = Literal["body", "query", "path", "header"]
Role = Literal["create", "read", "list"]
Stage = Literal["type", "field", "condition", "capability"]

RESERVED_AREA: Final = "request"
"""The area of the findings that need no rule of a spec: `<provider>.request.<kind>`."""

STAGES: tuple[Stage, ...] = ("type", "field", "condition", "capability")
"""The order in which findings about a request are judged."""


def unknown_member_id(provider: str) -> str:
    """Return the id of the finding that a member is not described."""
    return f"{provider}.{RESERVED_AREA}.unknown-member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A page a statement was read from."""

    key: str
    title: str
    retrieved: str
    url: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing a request must meet, with where it is said and how sure that is.

    `message` may hold expressions; `source` is "key#place"; `pointer` where the rule stands in the spec.
    """

    id: str
    message: str
    source: str
    evidence: Evidence
    effect: Effect
    failure: str | None
    pointer: str
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who answers for a node of a compiled schema: a rule, or None for "unknown member"."""

    rule: Rule | None
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRule:
    """One assertion about a picture: the parsed `x-image` and its rule.

    Ratios are width divided by height; sizes in bytes and pixels.
    """

    rule: Rule
    media_types: tuple[str, ...] = ()
    max_bytes: int | None = None
    min_width: int | None = None
    min_height: int | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    ratio_texts: tuple[str, str] = ("", "")
    same_ratio: str | None = None
    same_size: str | None = None
    carriers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSite:
    """A member that holds a picture: `pattern` is its path in the body, '*' for every index.

    `pointer` is the same as a JSON Pointer where there is no index in it, "" otherwise.
    """

    pattern: tuple[str, ...]
    pointer: str
    rules: tuple[ImageRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One entry of a row's cost: counts when the body uses all of `features`."""

    features: tuple[str, ...]
    base: float
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What comes out: shorter side in pixels, frames per second, frames beyond the requested seconds."""

    short_side: int
    fps: int
    extra_frames: int
    audio: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A use of the API that only some rows offer; `uses` says whether a body does.

    `needs` are members without one of which no body does: a quick look before the slow one; () for "ask".
    """

    name: str
    uses: Callable[[Json], bool]
    needs: tuple[str, ...]
    rule: Rule | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a capability map; `match` maps a key to the texts of the values it covers.

    `watched` are the features that price and clip depend on.  `refused` are the judged features it does not
    offer, and `refused_needs` the members without which a body uses none of them, None for "ask".  `name` says
    which combination the row is, `text` what it offers, `pointer` where it stands in the spec.
    """

    match: Mapping[str, tuple[str, ...]]
    features: frozenset[str]
    watched: tuple[str, ...]
    refused: tuple[Feature, ...]
    refused_needs: frozenset[str] | None
    prices: tuple[Price, ...]
    clip: Clip | None
    name: str
    text: str
    pointer: str
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """A compiled capability map.

    `rows_by_key` maps the texts of the key values, in the order of `keys`, to the row that covers them;
    a combination that is not in it is looked up in `rows`, for keys that have no list of values.  `choices` are
    those lists, in the order of `keys`, None for a key without one.  `memo` is where the keyword remembers what
    it worked out.
    """

    keys: tuple[str, ...]
    choices: tuple[tuple[str, ...] | None, ...]
    defaults: Mapping[str, Json]
    features: Mapping[str, Feature]
    rows: tuple[Row, ...]
    rows_by_key: Mapping[tuple[str, ...], Row]
    ratio_from: tuple[str, ...]
    ratio_default: str
    duration: str | None
    rule: Rule | None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySchema:
    """The request body of an operation, ready to be judged.

    `tree` is the schema with references resolved and our words in place; `engine` the JSON Schema that
    `validator` runs: it is true for a body without any finding, and the path of each of its errors leads
    to an entry of `owners`.  `defaults` maps the pointer of a member to its default.
    """

    media_type: str
    required: bool
    tree: Mapping[str, Json]
    engine: Mapping[str, Json]
    validator: jsonschema_rs.Draft202012Validator
    owners: Mapping[tuple[str | int, ...], Owner]
    absent: tuple[Json, ...]
    images: tuple[ImageSite, ...]
    capabilities: Capabilities | None
    defaults: Mapping[str, Json]
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query, path or header parameter.

    `convert` turns its text into the JSON value the schema speaks of; it gives the text back unchanged where
    that cannot be done, and the schema then says so.  `is_any_text` when no text could be wrong.
    """

    name: str
    place: Place
    required: bool
    default: Json
    convert: Callable[[str], Json]
    schema: Mapping[str, Json]
    validator: jsonschema_rs.Draft202012Validator
    owners: Mapping[tuple[str | int, ...], Owner]
    rule: Rule | None
    is_any_text: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtForm:
    """What a token must be; leeway in seconds; `opaque` a pattern for keys taken in place of a JWT."""

    algorithms: tuple[str, ...]
    claims: tuple[str, ...]
    account: str
    leeway: int
    opaque: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One way to authorise: a header with a bearer token or a bare key."""

    name: str
    header: str
    is_bearer: bool
    jwt: JwtForm | None
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderTemplate:
    """A header of an answer or a delivery.

    `values` maps a state to the function that renders it, None for answers without a task; a value for
    which `fits` is false is left out.
    """

    name: str
    values: Mapping[str | None, Evaluate]
    fits: Callable[[Json], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTemplate:
    """One media type of an answer: state to renderer and evidence, the schema the result must meet."""

    media_type: str
    bodies: Mapping[str | None, Evaluate]
    evidence: Mapping[str | None, Evidence]
    source: str
    schema: Mapping[str, Json]
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseTemplate:
    """An answer: its status and one template per media type, the usual one first."""

    status: int
    contents: tuple[BodyTemplate, ...]
    headers: tuple[HeaderTemplate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A state of a task; `outcome` is None until a final one."""

    name: str
    is_final: bool
    outcome: Literal["success", "failure", "canceled"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A step of a lifecycle, after so many milliseconds in the source state or when the event happens."""

    source: str
    target: str
    after: int | None
    event: Literal["failure", "cancel"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A reason for which a task can fail, and what it then says."""

    reason: str
    message: str
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """The states of a task.

    *shape* of `success` and `failure`: pairs (milliseconds since creation, state), the initial state first;
    `failure` is the course of a task that a rule of effect `fail` ends, None where there is no such event.
    `retention` and `result_expires` in milliseconds.  `failures` are those beside the rules, by reason.
    """

    name: str
    initial: str
    states: Mapping[str, State]
    transitions: tuple[Transition, ...]
    success: tuple[tuple[int, str], ...]
    failure: tuple[tuple[int, str], ...] | None
    retention: int | None
    result_expires: int | None
    result_status: int
    failures: Mapping[str, Failure]
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """How an id is written; see the vocabulary's `identifier`."""

    format: Literal["uuid", "snowflake", "nanoid", "digits", "hex"]
    length: int
    prefix: str
    epoch: int
    shift: int

    @classmethod
    def of(cls, word: Mapping[str, Any]) -> Identifier:
        """Return what the word says."""
        return cls(
            format=word["format"],
            length=word.get("length", 0),
            prefix=word.get("prefix", ""),
            epoch=word.get("epoch", 0),
            shift=word.get("shift", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where a created task can be read: the operation, its parameter, and the value that finds it there.

    `pointer` is the member of the request that holds the value, "" where it is the task's id.
    """

    name: str
    operation: str
    parameter: str
    place: Place
    value: Expression
    is_task_id: bool
    pointer: str
    evaluate: Evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a delivery is signed; see the vocabulary's `deliver`."""

    scheme: Literal["standard-webhooks"]
    secret: Literal["base64", "utf8"]
    is_always: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A notification: where to, on which states, what, and how often it is tried.

    `timeout` and `retry` in milliseconds.
    """

    name: str
    url: Evaluate
    url_expression: str
    method: str
    states: frozenset[str]
    timeout: int
    retry: tuple[int, ...]
    retry_on: frozenset[str]
    id: Identifier
    signature: Signature | None
    content: BodyTemplate
    headers: tuple[HeaderTemplate, ...]
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """A member that must be new for the account."""

    pointer: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The query parameters that hold a list's page number and size, and the size where none is given."""

    number: str
    size: str
    default_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What one unit of cost is worth in a currency (ISO 4217), and with how many decimals that is printed."""

    currency: str
    per_unit: float
    decimals: int

    def worth(self, units: float) -> float:
        """Return what so many units are worth, rounded as the provider prints it."""
        return round(units * self.per_unit, self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """When the price of a task is taken: at its success, or when it is made and given back for some ends."""

    at_create: bool = False
    refunds: frozenset[str] = frozenset(("failure", "canceled"))

    def amount(self, price: float, outcome: str | None) -> float:
        """Return what a task costs that ended so."""
        is_free = outcome in self.refunds if self.at_create else outcome != "success"
        return 0.0 if is_free else price


_AT_SUCCESS: Final = Charge()


@dataclass(slots=True, eq=False)
class Family:
    """The contract that operations belong to, set once when it is whole: they are made before it is."""

    contract: Contract | None = None

    def __repr__(self) -> str:
        """Return a short form: a contract holds its operations."""
        return f"Family({self.contract.id if self.contract else None})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of the provider's API.

    `provider` is the id of the provider, which the ids of its rules begin with.  `path` is the real path with the server's base path, `segments` the same split at '/', parameters as
    None.  `inputs` are the pointers that templates read from the request after it was answered; `family` leads
    to the contract.
    """

    id: str
    method: str
    path: str
    segments: tuple[str | None, ...]
    path_names: tuple[str, ...]
    summary: str
    parameters: tuple[Parameter, ...]
    judged_parameters: tuple[Parameter, ...]
    body: BodySchema | None
    credentials: tuple[Credential, ...]
    response: ResponseTemplate
    provider: str = ""
    role: Role | None = None
    lifecycle: Lifecycle | None = None
    task_id: Identifier | None = None
    output_id: Identifier | None = None
    unique: tuple[Unique, ...] = ()
    of: tuple[str, ...] = ()
    page: Page | None = None
    when_empty: str = "empty-list"
    cost_decimals: int | None = None
    money: Money | None = None
    charge: Charge = _AT_SUCCESS
    links: tuple[Link, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    inputs: tuple[str, ...] = ()
    family: Family = field(default_factory=Family, repr=False, compare=False)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules that requests of this operation may break, each once."""
        owners = [owner for parameter in self.parameters for owner in parameter.owners.values()]
        owners += self.body.owners.values() if self.body is not None else ()
        found = [owner.rule for owner in owners if owner.rule is not None]
        found += [one.rule for one in self.unique]
        found += [one.rule for site in (self.body.images if self.body else ()) for one in site.rules]
        capabilities = self.body.capabilities if self.body is not None else None
        if capabilities is not None:
            asked = (capabilities.rule, *(feature.rule for feature in capabilities.features.values()))
            found += [rule for rule in asked if rule is not None]
        return tuple({rule.id: rule for rule in found}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """What an error case answers to; None for "any"."""

    kind: str | None = None
    reason: str | None = None
    keyword: str | None = None
    rule: str | None = None
    path: str | None = None
    place: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """The provider's sentence for one fault."""

    when: When
    text: Evaluate
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCase:
    """One refusal of the provider; `has_phrases` where it holds the sentences of the faults."""

    when: When
    status: int
    code: int | str | None
    message: Evaluate
    has_phrases: bool
    response: ResponseTemplate
    headers: tuple[tuple[str, Evaluate], ...]
    source: str
    evidence: Evidence
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Something counted; `window` in milliseconds."""

    unit: Literal["requests", "concurrent-tasks", "credits"]
    quota: float
    window: int | None
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Another reading of the provider that a setting applies."""

    name: str
    summary: str
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One row of the evidence table."""

    kind: str
    name: str
    text: str
    evidence: Evidence
    source: str
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Paths to operations by method: those without parameters by their text, the others in order of trial.

    A templated path is tried after every exact one, and the one with fewer parameters first.  `ending` holds
    those whose only parameter is the last segment, by what stands before it: most reads are such.
    """

    exact: Mapping[str, Mapping[str, Operation]]
    ending: Mapping[str, Mapping[str, Operation]]
    templated: tuple[tuple[tuple[str | None, ...], Mapping[str, Operation]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything one provider does, compiled.

    `operations` and `rules` map ids; `hosts` are the real host names; `base_path` precedes every path;
    `unknown_member` is the effect of a member that nobody described.
    """

    id: str
    title: str
    document: Document
    sources: Mapping[str, Source]
    hosts: tuple[str, ...]
    base_path: str
    operations: Mapping[str, Operation]
    rules: Mapping[str, Rule]
    unknown_member: Effect
    phrases: tuple[Phrase, ...]
    cases: tuple[ErrorCase, ...]
    limits: tuple[Limit, ...]
    variants: tuple[Variant, ...]
    statements: tuple[Statement, ...]
    routes: Routes

    @property
    def settable(self) -> tuple[str, ...]:
        """Return the ids that a setting may give another effect: the rules, and the one of unknown members."""
        return (*self.rules, unknown_member_id(self.id))
