"""The atlas: every scenario by name, with what it does to a refusal, a task, an answer, a callback or a file.

Pure: a scenario is an entry of :data:`SCENARIOS`, made of functions from what would have happened to what happens.
It must not know who asked for it (`plans.py`) nor any provider: what a provider says stands in its spec.

Exceptions::

    ValueError
    └── ScenarioError       a wish that cannot be understood: what, and what would do
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import orjson

from mockserver.tasks import Task, TaskView, Timeline
from mockserver.wire import PLAIN, Answer, Wire, header_text
from validator.contract.document import nearest
from validator.contract.expressions import Json, to_text
from validator.contract.model import Callback, Contract, Lifecycle, Operation

Value = str | float | int | bool
Values = Mapping[str, Any]
Group = Literal["outcome", "refusal", "transport", "callbacks", "results"]
Channel = Literal["poll", "callback"]
Need = Literal["", "callback", "signature", "order", "expiry"]
Roll = Callable[[], float]
"""Draws a number from 0 up to, but not including, 1."""

GROUPS: Final[Mapping[Group, str]] = {
    "outcome": "what becomes of the task",
    "refusal": "the provider refuses, in its own words",
    "transport": "the answer does not arrive as it should",
    "callbacks": "news of the task does not arrive as it should",
    "results": "the file behind the result URL",
}
"""The groups of the atlas. One request meets at most one scenario of each."""

ALL_ROLES: Final = frozenset(("create", "read", "list", "other"))
CREATE: Final = frozenset(("create",))
LONGEST_S: Final = 3_600.0
"""Seconds that anything may be held back on the wall clock."""


class ScenarioError(ValueError):
    """A wish that cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing about a scenario that can be set.

    `default` decides the type: a flag, a whole number, a number, a text.  Numbers lie between `least` and `most`.
    """

    name: str
    summary: str
    default: Value
    least: float = 0
    most: float = 1_000_000
    choices: tuple[str, ...] = ()

    def read(self, text: Any) -> Value:
        """Return the value a text or JSON value stands for; raises ScenarioError."""
        if isinstance(self.default, bool):
            known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            found = known.get(str(text).lower())
            if found is None:
                raise ScenarioError(f"{self.name} '{_short(text)}': write yes or no")
            return found
        if isinstance(self.default, str):
            if not isinstance(text, str | int | float) or len(str(text)) > 200:
                raise ScenarioError(f"{self.name}: write a text of up to 200 characters")
            if self.default and not str(text).strip():
                raise ScenarioError(f"{self.name}: write a text that is not empty")
            if self.choices and str(text) not in self.choices:
                hint = nearest(str(text), self.choices) or "one of " + ", ".join(self.choices)
                raise ScenarioError(f"{self.name} '{_short(text)}': {hint}")
            return str(text)
        try:
            number = float(text) if not isinstance(text, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        is_whole = isinstance(self.default, int)
        if not self.least <= number <= self.most or (is_whole and number != int(number)):
            kind = "a whole number" if is_whole else "a number"
            raise ScenarioError(
                f"{self.name} '{_short(text)}': write {kind} from {self.least:g} to {self.most:g}"
            )
        return int(number) if is_whole else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a scenario about a task works with.

    `course` is what would happen, as pairs (milliseconds from creation, state); `told` the states that its
    callbacks tell; `reasons` what a failed task says, by reason; `failure` what this one would say.
    """

    lifecycle: Lifecycle
    course: Timeline
    told: frozenset[str]
    reasons: Mapping[str, str]
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One callback to come: the state it tells, since when, and when it is sent (milliseconds since 1970)."""

    due: int
    state: str
    at: int
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """How one attempt at a callback differs from an ordinary one.

    `lost` is why nothing is sent at all, or ""; `status` what is then said to have been answered.  A receiver's
    answer is passed over where `is_unheard`; where `again_s` is set a delivered callback is sent once more after
    so many seconds.  `shift_s` moves the time stamp, `is_forged` breaks the signature.
    """

    lost: str = ""
    status: int | None = None
    is_unheard: bool = False
    again_s: float | None = None
    shift_s: float = 0.0
    is_forged: bool = False


USUAL: Final = Try()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One entry of the atlas.

    `summary` is one sentence; `source` the public bug, or the page, that it was learnt from; `roles` the
    operations that can meet it ("other" are those without a role).  What it does stands in the functions that
    are not None.  `refusals` are (kind, reason) in the words of a spec's error cases, the first that the
    provider has a case for counts.  `is_before`: the request is not handled at all; `needs` is what the
    operation must have, `needs_time` that tasks move by time; `is_plain`: nothing is done but to keep plans away.
    """

    name: str
    group: Group
    summary: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    roles: frozenset[str] = ALL_ROLES
    refusals: tuple[tuple[str, str], ...] = ()
    is_before: bool = False
    ends_key: bool = False
    waits_for_news: bool = False
    is_plain: bool = False
    needs: Need = ""
    needs_time: bool = False
    course: Callable[[Story, Values], Story] | None = None
    view: Callable[[Task, Values, Channel, int], tuple[int, str | None, bool]] | None = None
    hides_reads: bool = False
    answer: Callable[[Answer, Values], None] | None = None
    wire: Callable[[Values, Roll], Wire] | None = None
    sendings: Callable[[list[Sending], Values], list[Sending]] | None = None
    attempt: Callable[[Values, int, int], Try] | None = None
    expires: bool = False
    by_name: Mapping[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name: one for one in self.parameters})

    @property
    def is_of_task(self) -> bool:
        """Tell whether it is chosen when a task is created, and stays with the task."""
        return self.group in ("outcome", "callbacks", "results") and not self.refusals

    @property
    def is_of_callbacks(self) -> bool:
        """Tell whether it does nothing for a task that calls nobody."""
        return self.group == "callbacks"

    def read(self, given: Mapping[str, Any]) -> Values:
        """Return the values of all parameters; raises ScenarioError for one that is not known or not allowed."""
        values: dict[str, Any] = {one.name: one.default for one in self.parameters}
        for name, text in given.items():
            parameter = self.by_name.get(name)
            if parameter is None:
                known = ", ".join([*self.by_name, *COMMON])
                hint = nearest(name, [*self.by_name, *COMMON])
                raise ScenarioError(
                    f"{self.name} has no parameter '{_short(name)}' ({hint or f'there are {known}'})"
                )
            values[name] = parameter.read(text)
        return values


def _short(text: Any) -> str:
    return str(text)[:40]


# --- what becomes of the task -----------------------------------------------------------------------------


def _state(story: Story, outcome: str) -> str:
    found = next((one.name for one in story.lifecycle.states.values() if one.outcome == outcome), None)
    if found is None:
        raise ScenarioError(f"no state of this provider is {outcome}")
    return found


def _slow(story: Story, values: Values) -> Story:
    factor = float(values["factor"])
    return replace(story, course=tuple((int(at * factor), state) for at, state in story.course))


def _reason(story: Story, reason: str) -> str:
    if not reason:
        return next(iter(story.reasons.values()), "")
    if reason not in story.reasons:
        known = ", ".join(story.reasons) or "none that is documented"
        hint = nearest(reason, story.reasons)
        raise ScenarioError(f"no task fails for the reason '{_short(reason)}' ({hint or f'known: {known}'})")
    return story.reasons[reason]


def _failed(story: Story, values: Values) -> Story:
    message = _reason(story, str(values["reason"]))
    course = story.lifecycle.failure
    if course is None:
        working = story.lifecycle.success[:-1]
        course = (*working, (working[-1][0] + 2_000, _state(story, "failure")))
    return replace(story, course=course, failure=message)


def _moderated_late(story: Story, values: Values) -> Story:
    end, _ = story.lifecycle.success[-1]
    failed = (end, _state(story, "failure"))
    message = story.reasons.get("moderation", "")
    return replace(story, course=(*story.lifecycle.success[:-1], failed), failure=message)


def _stuck(story: Story, values: Values) -> Story:
    working = tuple(
        entry for entry in story.lifecycle.success if not story.lifecycle.states[entry[1]].is_final
    )
    return replace(story, course=working, failure=None)


def _canceled(story: Story, values: Values) -> Story:
    state = _state(story, "canceled")
    working = story.lifecycle.success[:-1]
    end = story.lifecycle.success[-1][0]
    return replace(story, course=(*working, ((working[-1][0] + end) // 2, state)), failure=None)


def _goes_back(story: Story, values: Values) -> Story:
    working = story.lifecycle.success[:-1]
    if len(working) < 2:
        raise ScenarioError("there is only one state before the end, and nothing to go back to")
    (_, former), (start, state) = working[-2:]
    end = story.lifecycle.success[-1]
    third = (end[0] - start) // 3
    return replace(
        story,
        course=(*working, (start + third, former), (start + 2 * third, state), end),
        failure=None,
    )


def _early(story: Story, values: Values) -> Story:
    first = next((index for index, (_, state) in enumerate(story.course) if state in story.told), None)
    if first is None:
        raise ScenarioError("no callback tells of this task")
    moved = tuple((0, state) for _, state in story.course[: first + 1])
    shift = story.course[first][0]
    return replace(story, course=(*moved, *((at - shift, state) for at, state in story.course[first + 1 :])))


def _lagging(task: Task, values: Values, channel: Channel, now: int) -> tuple[int, str | None, bool]:
    late = int(float(values["seconds"]) * 1000)
    return (now if channel == "callback" else max(now - late, task.created)), None, True


def _unknown(task: Task, values: Values, channel: Channel, now: int) -> tuple[int, str | None, bool]:
    return now, str(values["status"]), True


def _without_url(task: Task, values: Values, channel: Channel, now: int) -> tuple[int, str | None, bool]:
    return now, None, False


# --- what becomes of an answer ----------------------------------------------------------------------------


def _page(line: str) -> bytes:
    """Return a page as gateways make them."""
    return (
        f"<html>\r\n<head><title>{line}</title></head>\r\n<body>\r\n<center><h1>{line}</h1></center>\r\n"
        "<hr><center>gateway</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


_TITLES: Final = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"} | {
    504: "Gateway Timeout",
    200: "Just a moment",
}
_JUNK: Final = {"x_unannounced": {"since": "tomorrow", "values": [1, None, "two"]}}


def _html(answer: Answer, values: Values) -> None:
    status = int(values["status"])
    answer.status = status
    # Source: RFC 9110, 15.3.5, 15.3.6 and 15.4.5: these have no content.
    answer.body = b"" if status in (204, 205, 304) else _page(f"{status} {_TITLES.get(status, 'Error')}")
    answer.header(b"content-type", b"text/html")


def _broken_json(answer: Answer, values: Values) -> None:
    # Cut inside the last third and never at the end: what is left is no JSON whatever it was.
    answer.body = answer.body[: max(1, len(answer.body) * 2 // 3)]
    if answer.body.isdigit() or not answer.body.strip():
        answer.body = b"{"


def _other_type(answer: Answer, values: Values) -> None:
    answer.header(b"content-type", header_text(str(values["type"])).strip().encode())


def _more_members(answer: Answer, values: Values) -> None:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return
    answer.body = orjson.dumps(_grown(body))


def _grown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _grown(member) for name, member in value.items()} | _JUNK
    if isinstance(value, list):
        return [_grown(item) for item in value]
    return value


def _empty(answer: Answer, values: Values) -> None:
    answer.body = b""


def _gzipped(answer: Answer, values: Values) -> None:
    # Hardly ever asked for, and a start should not pay for it.
    import gzip

    answer.body = gzip.compress(answer.body, mtime=0)
    answer.header(b"content-encoding", b"gzip")


def _retry_after(answer: Answer, values: Values) -> None:
    wanted = str(values["retry-after"])
    if wanted == "provider":
        return
    answer.header(b"retry-after", None if wanted == "none" else header_text(wanted).strip().encode())


def _ok_status(answer: Answer, values: Values) -> None:
    answer.status = 200


def _file_gone(answer: Answer, values: Values) -> None:
    answer.status, answer.body = 404, b"no such file\n"
    answer.header(b"content-type", b"text/plain")
    for name in (b"accept-ranges", b"content-range", b"etag"):
        # What is not there has no parts, whichever were asked for.
        answer.header(name, None)


def _latency(values: Values, roll: Roll) -> Wire:
    first, last = float(values["seconds"]), float(values["most"])
    match values["shape"]:
        case "uniform":
            delay = first + roll() * max((last or 2 * first) - first, 0)
        case "lognormal":
            # Box and Muller's way from two even numbers to a normal one; `seconds` is the median.
            normal = math.sqrt(-2 * math.log(1 - roll())) * math.cos(2 * math.pi * roll())
            delay = first * math.exp(float(values["sigma"]) * normal)
            delay = min(delay, last) if last else delay
        case _:
            delay = first
    return Wire(delay_s=min(delay, LONGEST_S))


# --- callbacks --------------------------------------------------------------------------------------------


def _later(sendings: list[Sending], values: Values) -> list[Sending]:
    late = int(float(values["seconds"]) * 1000)
    return [replace(one, at=one.at + late) for one in sendings]


def _swapped(sendings: list[Sending], values: Values) -> list[Sending]:
    if len(sendings) < 2:
        return sendings
    end = max(one.at for one in sendings)
    others = reversed(sendings[:-1])
    return [sendings[-1], *(replace(one, at=end + 1000 * n) for n, one in enumerate(others, 1))]


def _stormy(values: Values, tried: int, retries: int) -> Try:
    wanted = int(values["tries"])
    if wanted:
        return Try(again_s=float(values["seconds"]) if tried + 1 < wanted else None)
    # Where a provider tries once and never again, a storm has to be said to be one.
    if not retries:
        return Try(again_s=float(values["seconds"]) if tried < 3 else None)
    return Try(is_unheard=tried < retries)


# --- the atlas --------------------------------------------------------------------------------------------

_TABLE: Final = "the provider's own table of errors (understudy evidence PROVIDER)"
_STATES: Final = "the provider's own list of states (understudy evidence PROVIDER)"
_GITHUB: Final = "https://github.com/"
_SECONDS: Final = Parameter(name="seconds", summary="how long", default=60.0, most=10_000_000)
_ACCEPTED: Final = Parameter(
    name="accepted", summary="whether the request was handled all the same: a task exists", default=False
)
_WALL: Final = Parameter(
    name="seconds", summary="seconds of real time, on which time-outs run", default=2.0, most=LONGEST_S
)

_ENTRIES: Final = (
    Scenario(
        name="success",
        group="outcome",
        summary="Nothing goes wrong, whatever a plan says.",
        source="for the one request of a chaotic run that must work",
        is_plain=True,
    ),
    Scenario(
        name="slow",
        group="outcome",
        summary="The task takes several times as long.",
        source=_GITHUB + "nickna/Conduit/issues/116",
        roles=CREATE,
        parameters=(
            Parameter(name="factor", summary="how many times as long", default=5.0, least=0.01, most=100_000),
        ),
        course=_slow,
    ),
    Scenario(
        name="moderation-at-create",
        group="refusal",
        summary="The prompt or picture is found wanting at once: no task.",
        source=_TABLE,
        roles=CREATE,
        # A bare "forbidden" speaks of the key and its rights; what stands in the request is invalid.
        refusals=(("forbidden", "content"), ("forbidden", "policy"), ("invalid", "")),
    ),
    Scenario(
        name="moderation-late",
        group="outcome",
        summary="The task runs its full time, then fails because of its content.",
        source=_GITHUB + "gitroomhq/postiz-app/pull/1809",
        roles=CREATE,
        course=_moderated_late,
    ),
    Scenario(
        name="accepted-then-failed",
        group="outcome",
        summary="The task is accepted and fails after seconds, for a documented reason.",
        source=_GITHUB + "QuantumNous/new-api/pull/2532",
        roles=CREATE,
        parameters=(
            Parameter(
                name="reason",
                summary="moderation, or the id of a rule; without it the first known one",
                default="",
            ),
        ),
        course=_failed,
    ),
    Scenario(
        name="stuck-processing",
        group="outcome",
        summary="The task never ends.",
        source=_GITHUB + "backblaze-labs/genblaze/pull/282",
        roles=CREATE,
        course=_stuck,
    ),
    Scenario(
        name="canceled",
        group="outcome",
        summary="The provider cancels the task halfway, where it has such a state.",
        source=_STATES,
        roles=CREATE,
        course=_canceled,
    ),
    Scenario(
        name="success-without-url",
        group="outcome",
        summary="The task succeeds, and its answer has no address of a file.",
        source=_GITHUB + "TheSmallHanCat/flow2api/pull/160",
        roles=frozenset(("create", "read")),
        view=_without_url,
    ),
    Scenario(
        name="unknown-status",
        group="outcome",
        summary="The status is a word that no page knows, at the end as well.",
        source=_GITHUB + "apimatic/apimatic-cli/issues/305",
        roles=frozenset(("create", "read")),
        parameters=(Parameter(name="status", summary="the word", default="under_review"),),
        view=_unknown,
    ),
    Scenario(
        name="status-goes-back",
        group="outcome",
        summary="The task falls back to its former state for a third of its time, then goes on.",
        source=_GITHUB + "ArcReel/ArcReel/pull/410",
        roles=CREATE,
        course=_goes_back,
    ),
    Scenario(
        name="poll-404-then-ok",
        group="outcome",
        summary="The first reads do not find the task.",
        source=_GITHUB + "Azure/azure-functions-durable-extension/issues/143",
        roles=CREATE,
        parameters=(Parameter(name="reads", summary="how many", default=2, least=1),),
        hides_reads=True,
    ),
    Scenario(
        name="channels-disagree",
        group="outcome",
        summary="Reads and lists show the task as it was some time ago; callbacks are up to date.",
        source=_GITHUB + "Vikit-ai/sdk/issues/127",
        roles=frozenset(("create", "read")),
        parameters=(replace(_SECONDS, summary="how far reads lag behind, on the tenant's clock"),),
        view=_lagging,
    ),
    # --- refusals
    Scenario(
        name="invalid",
        group="refusal",
        summary="The request is refused as invalid, though nothing is wrong with it.",
        source=_GITHUB + "Quriosity-agent/qcut/pull/81",
        refusals=(("invalid", ""),),
    ),
    Scenario(
        name="unauthorized",
        group="refusal",
        summary="The key is not accepted.",
        source=_GITHUB + "pollinations/pollinations/pull/13371",
        parameters=(
            Parameter(
                name="reason",
                summary="why",
                default="unknown",
                choices=("unknown", "missing", "malformed", "expired", "not-yet-valid"),
            ),
        ),
        refusals=(("unauthorized", "unknown"), ("unauthorized", "")),
    ),
    Scenario(
        name="key-revoked-midway",
        group="refusal",
        summary="The request is answered; later ones with the same key are not accepted any more.",
        source=_GITHUB + "coder/xum/issues/544",
        roles=frozenset(("create", "read", "list")),
        parameters=(
            Parameter(name="reads", summary="requests that are still answered before that", default=1),
        ),
        refusals=(("unauthorized", "unknown"), ("unauthorized", "")),
        ends_key=True,
    ),
    Scenario(
        name="out-of-credits",
        group="refusal",
        summary="The balance does not suffice.",
        source=_GITHUB + "Comfy-Org/ComfyUI/issues/7989",
        roles=CREATE,
        refusals=(("quota-exhausted", ""),),
    ),
    Scenario(
        name="concurrency-full",
        group="refusal",
        summary="As many tasks as allowed are running.",
        source=_GITHUB + "shrimbly/node-banana/pull/116",
        roles=CREATE,
        refusals=(("concurrency-exceeded", ""),),
    ),
    Scenario(
        name="rate-limited",
        group="refusal",
        summary="Too many requests, with or without a word on when to come back.",
        source=_GITHUB + "DouglasdeMoura/chroncal/issues/105",
        parameters=(
            Parameter(
                name="retry-after",
                summary="the header's value; none takes it away, provider leaves the provider's own",
                default="provider",
            ),
        ),
        refusals=(("rate-limited", ""),),
        answer=_retry_after,
    ),
    Scenario(
        name="model-retired",
        group="refusal",
        summary="The model is gone.",
        source=_GITHUB + "aden-hive/hive/issues/5316",
        roles=CREATE,
        refusals=(("not-found", "retired"), ("invalid", "retired"), ("invalid", "")),
    ),
    Scenario(
        name="maintenance",
        group="refusal",
        summary="The service is being worked on.",
        source=_GITHUB + "bartve/disconnect/pull/13",
        refusals=(("maintenance", ""),),
    ),
    Scenario(
        name="internal-error",
        group="refusal",
        summary="The provider fails.",
        source=_GITHUB + "Scottcjn/bottube/issues/2125",
        parameters=(_ACCEPTED,),
        refusals=(("internal", ""),),
    ),
    Scenario(
        name="timeout-at-gateway",
        group="refusal",
        summary="The provider's gateway gives up waiting; whether a task exists, nobody says.",
        source=_GITHUB + "xxynet/KiraAI/pull/136",
        parameters=(_ACCEPTED,),
        refusals=(("timeout", ""),),
    ),
    Scenario(
        name="http-200-with-error-code",
        group="refusal",
        summary="A refusal that comes with HTTP 200.",
        source=_GITHUB + "kubestellar/console/issues/7275",
        refusals=(("internal", ""),),
        answer=_ok_status,
    ),
    # --- transport
    Scenario(
        name="latency",
        group="transport",
        summary="The answer comes late.",
        source=_GITHUB + "receptron/mulmocast-cli/pull/1481",
        parameters=(
            replace(_WALL, summary="seconds of real time; the least of uniform, the median of lognormal"),
            Parameter(
                name="shape",
                summary="how it is drawn",
                default="fixed",
                choices=("fixed", "uniform", "lognormal"),
            ),
            Parameter(
                name="most",
                summary="the longest; 0 for twice the least of uniform, and for no end of lognormal",
                default=0.0,
                most=LONGEST_S,
            ),
            Parameter(name="sigma", summary="the spread of lognormal", default=0.5, most=5),
        ),
        wire=_latency,
    ),
    Scenario(
        name="reset-before-answer",
        group="transport",
        summary="The connection is reset, and the request was never handled.",
        source=_GITHUB + "tinyhumansai/openhuman/pull/5411",
        is_before=True,
        wire=lambda values, roll: Wire(is_reset=True),
    ),
    Scenario(
        name="reset-after-accept",
        group="transport",
        summary="The request is handled, a task exists, and the connection is reset before the answer.",
        source=_GITHUB + "Comfy-Org/ComfyUI/pull/16204",
        wire=lambda values, roll: Wire(is_reset=True),
    ),
    Scenario(
        name="truncated-body",
        group="transport",
        summary="The connection ends in the middle of the body.",
        source="https://www.rfc-editor.org/rfc/rfc9112#section-8",
        parameters=(
            Parameter(name="share", summary="how much of it arrives", default=0.5, least=0, most=0.99),
        ),
        wire=lambda values, roll: Wire(kept=float(values["share"])),
    ),
    Scenario(
        name="dribble",
        group="transport",
        summary="The body comes a few bytes at a time.",
        source="https://requests.readthedocs.io/en/latest/user/advanced/#timeouts",
        parameters=(
            _WALL,
            Parameter(name="pieces", summary="in how many pieces", default=20, least=2, most=1_000),
        ),
        wire=lambda values, roll: Wire(pieces=int(values["pieces"]), spread_s=float(values["seconds"])),
    ),
    Scenario(
        name="malformed-json",
        group="transport",
        summary="The body is no JSON.",
        source=_GITHUB + "Scottcjn/bottube/issues/2209",
        answer=_broken_json,
    ),
    Scenario(
        name="html-error-page",
        group="transport",
        summary="A gateway answers with a page in HTML, and the request was never handled.",
        source=_GITHUB + "esi/esi-issues/issues/902",
        parameters=(
            Parameter(name="status", summary="the HTTP status", default=502, least=200, most=599),
            _ACCEPTED,
        ),
        is_before=True,
        answer=_html,
    ),
    Scenario(
        name="wrong-content-type",
        group="transport",
        summary="The answer is the usual one, but says that it is something else.",
        source=_GITHUB + "AltimateAI/altimate-code/issues/1119",
        parameters=(Parameter(name="type", summary="what it says", default="text/html"),),
        answer=_other_type,
    ),
    Scenario(
        name="unknown-extra-fields",
        group="transport",
        summary="Every object of the body has members that no page knows.",
        source=_GITHUB + "dunderrrrrr/blocket_api/pull/33",
        answer=_more_members,
    ),
    Scenario(
        name="empty-body",
        group="transport",
        summary="The status is the usual one, the body is empty.",
        source=_GITHUB + "maxmind/web-service-common-php/pull/28",
        answer=_empty,
    ),
    Scenario(
        name="gzip-unasked",
        group="transport",
        summary="The body is compressed, whatever the client accepts.",
        source=_GITHUB + "mnutt/davros/issues/94",
        answer=_gzipped,
    ),
    # --- callbacks
    Scenario(
        name="callback-lost",
        group="callbacks",
        summary="No callback arrives.",
        source=_GITHUB + "replicate/scribble-diffusion/issues/85",
        roles=CREATE,
        needs="callback",
        attempt=lambda values, tried, retries: Try(lost="lost on the way"),
    ),
    Scenario(
        name="callback-duplicated",
        group="callbacks",
        summary="Every callback is sent again, with the same id.",
        source=_GITHUB + "Vexa-ai/vexa/pull/604",
        roles=CREATE,
        needs="callback",
        parameters=(
            Parameter(name="copies", summary="how often altogether", default=2, least=2, most=100),
            replace(_SECONDS, summary="how much later", default=1.0),
        ),
        attempt=lambda values, tried, retries: Try(
            again_s=float(values["seconds"]) if tried + 1 < int(values["copies"]) else None
        ),
    ),
    Scenario(
        name="callback-late",
        group="callbacks",
        summary="Every callback comes long after the change.",
        source=_GITHUB + "mockoon/mockoon/issues/709",
        roles=CREATE,
        needs="callback",
        parameters=(replace(_SECONDS, summary="how much later, on the tenant's clock", default=600.0),),
        sendings=_later,
    ),
    Scenario(
        name="callback-early",
        group="callbacks",
        summary="The first callback arrives before the answer to the request that made the task.",
        source=_GITHUB + "FusionAuth/fusionauth-site/pull/462",
        roles=CREATE,
        needs="callback",
        parameters=(
            replace(_WALL, summary="real seconds that the answer waits for it at most", default=5.0),
        ),
        course=_early,
        waits_for_news=True,
        needs_time=True,
    ),
    Scenario(
        name="callback-out-of-order",
        group="callbacks",
        summary="The last callback comes first, the others after it.",
        source=_GITHUB + "adcontextprotocol/adcp/issues/2400",
        roles=CREATE,
        needs="order",
        needs_time=True,
        sendings=_swapped,
    ),
    Scenario(
        name="callback-wrong-signature",
        group="callbacks",
        summary="The signature of every callback is wrong.",
        source=_GITHUB + "ghostwright/phantom/pull/80",
        roles=CREATE,
        needs="signature",
        attempt=lambda values, tried, retries: Try(is_forged=True),
    ),
    Scenario(
        name="callback-stale-timestamp",
        group="callbacks",
        summary="Every callback is signed rightly, with a time long past.",
        source=_GITHUB + "flippercloud/flipper/pull/1022",
        roles=CREATE,
        needs="signature",
        parameters=(replace(_SECONDS, summary="how old", default=3600.0),),
        attempt=lambda values, tried, retries: Try(shift_s=-float(values["seconds"])),
    ),
    Scenario(
        name="callback-redirected",
        group="callbacks",
        summary="The receiver's address answers with a redirect, which nobody follows.",
        source=_GITHUB + "replicate/replicate-javascript/issues/195",
        roles=CREATE,
        needs="callback",
        attempt=lambda values, tried, retries: Try(
            lost="answered with a redirect, which is not followed", status=301
        ),
    ),
    Scenario(
        name="callback-receiver-slow",
        group="callbacks",
        summary="The receiver's answer comes too late to count: it is tried again, where the provider does so.",
        source=_GITHUB + "nozzlegear/ShopifySharp/issues/919",
        roles=CREATE,
        needs="callback",
        parameters=(Parameter(name="tries", summary="how many answers are too late", default=1, least=1),),
        attempt=lambda values, tried, retries: Try(is_unheard=tried < int(values["tries"])),
    ),
    Scenario(
        name="callback-only-final",
        group="callbacks",
        summary="Only the end of the task is told.",
        source="pages that do not say which changes are told",
        roles=CREATE,
        needs="callback",
        sendings=lambda sendings, values: [one for one in sendings if one.is_final],
    ),
    Scenario(
        name="callback-storm",
        group="callbacks",
        summary="Every retry there is, though the receiver took the first.",
        source=_GITHUB + "frain-dev/convoy/issues/1262",
        roles=CREATE,
        needs="callback",
        parameters=(
            Parameter(
                name="tries",
                summary="attempts altogether; 0 for the provider's own plan",
                default=0,
                most=100,
            ),
            replace(_SECONDS, summary="between them, where tries is given", default=1.0),
        ),
        attempt=_stormy,
    ),
    # --- results
    Scenario(
        name="url-expired",
        group="results",
        summary="The result's address has expired already.",
        source=_GITHUB + "openstate/open-raadsinformatie/issues/25",
        roles=CREATE,
        needs="expiry",
        expires=True,
    ),
    Scenario(
        name="url-404",
        group="results",
        summary="There is no file behind the result's address.",
        source=_GITHUB + "kodelyx/flow-agent/issues/4",
        roles=CREATE,
        answer=_file_gone,
    ),
    Scenario(
        name="url-slow",
        group="results",
        summary="The file comes a piece at a time.",
        source=_GITHUB + "receptron/mulmocast-cli/pull/1481",
        roles=CREATE,
        parameters=(
            replace(_WALL, default=30.0),
            Parameter(name="pieces", summary="in how many pieces", default=30, least=2, most=1_000),
        ),
        wire=lambda values, roll: Wire(pieces=int(values["pieces"]), spread_s=float(values["seconds"])),
    ),
    Scenario(
        name="truncated-file",
        group="results",
        summary="The connection ends in the middle of the file.",
        source=_GITHUB + "franklioxygen/MyTube/pull/471",
        roles=CREATE,
        parameters=(
            Parameter(name="share", summary="how much of it arrives", default=0.5, least=0, most=0.99),
        ),
        wire=lambda values, roll: Wire(kept=float(values["share"])),
    ),
    Scenario(
        name="result-wrong-content-type",
        group="results",
        summary="The file says that it is something else.",
        source=_GITHUB + "kodelyx/flow-agent/issues/4",
        roles=CREATE,
        parameters=(Parameter(name="type", summary="what it says", default="application/octet-stream"),),
        answer=_other_type,
    ),
)


SCENARIOS: Final[Mapping[str, Scenario]] = {one.name: one for one in _ENTRIES}

COMMON: Final = ("after", "times")
"""Parameters of all: how many requests pass before the first that meets it, and how many meet it."""


def find(name: str) -> Scenario:
    """Return a scenario by its name; raises ScenarioError with the nearest."""
    found = SCENARIOS.get(name)
    if found is None:
        like = [one for one in SCENARIOS if name and name in one]
        hint = (
            f"did you mean {' or '.join(map(repr, like))}?" if 0 < len(like) < 4 else nearest(name, SCENARIOS)
        )
        hint = hint or "understudy scenarios lists them"
        raise ScenarioError(f"there is no scenario '{_short(name)}' ({hint})")
    return found


# --- what the parts of the server ask ---------------------------------------------------------------------


def role_of(operation: Operation) -> str:
    """Return the role of an operation, "other" for one without."""
    return operation.role or "other"


def _lacks_callback(operation: Operation) -> str:
    return "" if operation.callbacks else "this operation sends no callbacks"


def _lacks_signature(operation: Operation) -> str:
    is_signed = any(one.signature for one in operation.callbacks)
    return _lacks_callback(operation) or ("" if is_signed else "this provider signs nothing")


def _lacks_order(operation: Operation) -> str:
    course = operation.lifecycle.success if operation.lifecycle is not None else ()
    told_at_most = max(
        (sum(state in one.states for _, state in course) for one in operation.callbacks), default=0
    )
    return _lacks_callback(operation) or (
        "" if told_at_most > 1 else "this operation tells of one state alone, and one callback has no order"
    )


def _lacks_expiry(operation: Operation) -> str:
    lifecycle = operation.lifecycle
    is_kept = lifecycle is None or lifecycle.result_expires is None
    return "the files of this provider do not expire" if is_kept else ""


_LACKS: Final[Mapping[str, Callable[[Operation], str]]] = {
    "callback": _lacks_callback,
    "signature": _lacks_signature,
    "order": _lacks_order,
    "expiry": _lacks_expiry,
}
"""What an operation lacks for a scenario that needs something of it, "" where it has it."""


def obstacle(
    scenario: Scenario, contract: Contract, operation: Operation, values: Values | None = None
) -> str:
    """Return why an operation cannot meet a scenario with these values, "" where it can."""
    role = role_of(operation)
    if role not in scenario.roles:
        wanted = " or ".join(sorted(scenario.roles))
        return f"it is met by operations that {wanted}, and this one does not"
    if scenario.needs and (lacking := _LACKS[scenario.needs](operation)):
        return lacking
    if scenario.course is not None and operation.lifecycle is not None:
        lifecycle = operation.lifecycle
        told = frozenset(state for one in operation.callbacks for state in one.states)
        known = reasons(contract, lifecycle) if values else {}
        usual = Story(lifecycle=lifecycle, course=lifecycle.success, told=told, reasons=known)
        try:
            scenario.course(usual, values or scenario.read({}))
        except ScenarioError as error:
            return str(error)
    return ""


def reasons(contract: Contract, lifecycle: Lifecycle) -> Mapping[str, str]:
    """Return what a failed task says, by reason: those of the lifecycle, then the rules that tell one."""
    out = {name: one.message for name, one in lifecycle.failures.items()}
    for rule in contract.rules.values():
        if rule.failure:
            out.setdefault(rule.id, rule.failure)
    return out


def view(
    task: Task, operation: Operation, now: int, channel: Channel, *, state: str | None = None
) -> TaskView:
    """Return the task as a channel shows it; `state` is one it had by then, None for the present one."""
    if not task.scenarios:
        return TaskView(task, operation, now, state=state)
    shown, has_url = None, True
    for name, values in task.scenarios.items():
        scenario = SCENARIOS.get(name)
        if scenario is not None and scenario.view is not None:
            now, word, has_this = scenario.view(task, values, channel, now)
            shown, has_url = word or shown, has_url and has_this
    return TaskView(task, operation, now, state=state, shown=shown, has_url=has_url)


def is_hidden(task: Task) -> bool:
    """Tell whether a read does not find the task, `task.lookups` reads having gone before."""
    for name, values in task.scenarios.items():
        scenario = SCENARIOS.get(name)
        if scenario is not None and scenario.hides_reads and task.lookups < int(values["reads"]):
            return True
    return False


def sendings(task: Task, lifecycle: Lifecycle, planned: Sequence[tuple[int, str]]) -> list[Sending]:
    """Return the callbacks to come, in the order in which they are sent."""
    states = lifecycle.states
    out = [Sending(due=at, state=state, at=at, is_final=states[state].is_final) for at, state in planned]
    for name, values in task.scenarios.items():
        scenario = SCENARIOS.get(name)
        if scenario is not None and scenario.sendings is not None:
            out = scenario.sendings(out, values)
    return out


def attempt(task: Task, callback: Callback, tried: int) -> tuple[Try, str]:
    """Return (how the next attempt differs, the name of the scenario); `tried` attempts went before."""
    for name, values in task.scenarios.items():
        scenario = SCENARIOS.get(name)
        if scenario is not None and scenario.attempt is not None:
            return scenario.attempt(values, tried, len(callback.retry)), name
    return USUAL, ""


@dataclass(slots=True, kw_only=True)
class ResultFault:
    """What a task's scenarios do to the answer of its result URL; `scenarios` names them, "" for none."""

    scenarios: str = ""
    expires: bool = False
    wire: Wire = PLAIN
    changes: list[tuple[Callable[[Answer, Values], None], Values]] = field(default_factory=list)

    def change(self, answer: Answer) -> None:
        """Change the answer, but for how it travels."""
        for function, values in self.changes:
            function(answer, values)


def of_result(task: Task) -> ResultFault:
    """Return what happens to the file of a task."""
    fault = ResultFault()
    met = []
    for name, values in task.scenarios.items():
        scenario = SCENARIOS.get(name)
        if scenario is None or scenario.group != "results":
            continue
        met.append((name, values))
        fault.expires = fault.expires or scenario.expires
        if scenario.answer is not None:
            fault.changes.append((scenario.answer, values))
        if scenario.wire is not None:
            fault.wire = fault.wire.then(scenario.wire(values, lambda: 0.5))
    fault.scenarios = described(met)
    return fault


def described(names: Iterable[tuple[str, Values]]) -> str:
    """Return the value of a header that says which scenarios a request met, with what differs from the default."""
    out = []
    for name, values in names:
        scenario = SCENARIOS.get(name)
        parts = [name]
        if scenario is not None:
            parts += [
                f"{one.name}={_quoted(values[one.name])}"
                for one in scenario.parameters
                if one.name in values and values[one.name] != one.default
            ]
        out.append("; ".join(parts))
    return ", ".join(out)


def _quoted(value: Any) -> str:
    text = ("yes" if value else "no") if isinstance(value, bool) else header_text(to_text(value)).strip()
    if text and re.fullmatch(r"[A-Za-z0-9._/+-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def scenario_json(scenario: Scenario) -> dict[str, Json]:
    """Return an entry of the atlas for machines."""
    return {
        "name": scenario.name,
        "group": scenario.group,
        "summary": scenario.summary,
        "source": scenario.source,
        "operations": sorted(scenario.roles),
        "parameters": [
            {
                "name": one.name,
                "summary": one.summary,
                "default": one.default,
                "choices": list(one.choices),
            }
            for one in scenario.parameters
        ],
    }
