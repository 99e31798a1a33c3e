"""The acts of a rehearsal: which scenario of the atlas a client's requests meet, how often, and what that asks of it.

Pure: which acts fit a client follows from what it used when nothing went wrong.  Knows no provider.

Exceptions::

    ValueError
    └── NoSuchNameError     a pattern that fits no act, or no law: which, and the nearest
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Any, Final

from mockserver.scenarios import SCENARIOS, obstacle, role_of
from validator.contract.document import nearest
from validator.contract.model import Contract

BASELINE: Final = "success"
"""The act that everybody has to pass: nothing goes wrong."""

_MAKE: Final = ("create",)
_LOOK: Final = ("read", "list")
_BOTH: Final = (*_MAKE, *_LOOK)

DEAF: Final = "callback-lost"
"""The act that shows what a client does that hears of nothing, which is played next where it asks for callbacks."""

_OF_READS: Final = ("poll-404-then-ok", "key-revoked-midway")
"""Scenarios of tasks that only those meet who read the task."""


class NoSuchNameError(ValueError):
    """A pattern that fits nothing."""


@dataclass(frozen=True, slots=True)
class Date:
    """A date of HTTP (RFC 9110, 5.6.7), so many seconds after the act begins."""

    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One run of the client: its first `times` requests in a role meet a scenario, None for all of them.

    `id` is SCENARIO, SCENARIO@ROLE where several roles can meet it, and SCENARIO@ROLE:VARIANT where one role meets it
    in several ways.  `values` are the scenario's parameters where they differ from the defaults; `why` says in one
    sentence what is asked of the client.
    """

    id: str
    scenario: str
    role: str
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None

    @property
    def tenant(self) -> str:
        """Return the name of the tenant it is played in."""
        return self.id.replace("@", ".").replace(":", ".")

    @property
    def group(self) -> str:
        """Return the group of its scenario."""
        return SCENARIOS[self.scenario].group

    @property
    def is_of_reads(self) -> bool:
        """Tell whether it is met by reads alone: then no callback may tell the client all that it wants to know."""
        return self.role in _LOOK or self.scenario in _OF_READS

    def entries(self, now_ms: int) -> list[dict[str, Any]]:
        """Return it as entries of a plan; what is a date in them is told by the machine's time, in milliseconds."""
        own: dict[str, Any] = {"scenario": self.scenario, "match": {"role": self.role}}
        if self.values:
            own["with"] = {
                name: formatdate(now_ms / 1000 + value.after_s, usegmt=True)
                if isinstance(value, Date)
                else value
                for name, value in self.values.items()
            }
        if self.times is not None:
            own["times"] = self.times
        return [own, {"scenario": DEAF}] if self.is_of_reads else [own]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a client used when nothing went wrong, and when no callback came.

    `operations` are pairs (provider, operation id); `has_callbacks` tells whether a task had an address to tell,
    `has_fetched` whether a result was fetched.
    """

    operations: frozenset[tuple[str, str]]
    has_callbacks: bool
    has_fetched: bool

    def __or__(self, other: Use) -> Use:
        """Return what was used in one of two acts or in both."""
        return Use(
            operations=self.operations | other.operations,
            has_callbacks=self.has_callbacks or other.has_callbacks,
            has_fetched=self.has_fetched or other.has_fetched,
        )

    @property
    def providers(self) -> tuple[str, ...]:
        """Return the providers, in the order of their names."""
        return tuple(sorted({provider for provider, _ in self.operations}))


def _acts(
    scenario: str,
    roles: Sequence[str],
    why: str,
    *,
    variant: str = "",
    times: int | None = None,
    **values: Any,
) -> Iterator[Act]:
    able = SCENARIOS[scenario].roles
    has_one = able == {"create"}
    for role in (one for one in roles if one in able):
        name = scenario if has_one else f"{scenario}@{role}"
        yield Act(
            id=f"{name}:{variant}" if variant else name,
            scenario=scenario,
            role=role,
            why=why,
            times=times,
            values={key.replace("_", "-"): value for key, value in values.items()},
        )


_ENTRIES: Final[tuple[Iterable[Act], ...]] = (
    [Act(id=BASELINE, scenario="success", role="create", why="Nothing goes wrong: the job is done.")],
    # --- what becomes of the task
    _acts(
        "slow",
        _MAKE,
        "The job takes five times as long; it is waited for, or given up with a word.",
        factor=5,
    ),
    _acts(
        "moderation-late",
        _MAKE,
        "The job fails at its end: it is not waited for any longer, and not begun anew.",
    ),
    _acts("accepted-then-failed", _MAKE, "The job fails soon after it began, and the reason is told."),
    _acts("stuck-processing", _MAKE, "The job never ends; the client does."),
    _acts("canceled", _MAKE, "The job ends in a state that is neither success nor failure."),
    _acts("success-without-url", _MAKE, "The job is done and there is no result: that is no success."),
    _acts(
        "unknown-status",
        _MAKE,
        "The status is a word that nobody knows, for ever: it is not taken for another.",
    ),
    _acts("unknown-status", _LOOK, "Two reads say a word that nobody knows, then all is well.", times=2),
    _acts("status-goes-back", _MAKE, "The job falls back to an earlier state, then goes on."),
    _acts("poll-404-then-ok", _MAKE, "The job is not found at first; it was made all the same."),
    _acts("channels-disagree", _MAKE, "Reads are a minute behind callbacks."),
    # --- refusals
    _acts(
        "moderation-at-create", _MAKE, "The request is refused for its content: asking again changes nothing."
    ),
    _acts("invalid", _MAKE, "The request is refused as invalid: asking again changes nothing."),
    _acts("invalid", _LOOK, "Every look at the job is refused as invalid."),
    _acts("unauthorized", _BOTH, "The key is not accepted: asking again changes nothing."),
    _acts("key-revoked-midway", _MAKE, "The key ends while the job runs.", reads=0),
    _acts("out-of-credits", _MAKE, "The account is empty: asking again changes nothing."),
    _acts("concurrency-full", _MAKE, "Too many jobs run already, twice; then there is room.", times=2),
    _acts("concurrency-full", _MAKE, "Too many jobs run already, and it stays so.", variant="always"),
    _acts(
        "rate-limited",
        _BOTH,
        "Two requests are too many, without a word on when to come back: pauses grow.",
        times=2,
        retry_after="none",
    ),
    _acts(
        "rate-limited",
        _BOTH,
        "One request is too many, with a word on when to come back: after three seconds.",
        variant="retry-after",
        times=1,
        retry_after="3",
    ),
    _acts(
        "rate-limited",
        _MAKE,
        "One request is too many, with a date from which on to come back: in some four seconds.",
        variant="retry-date",
        times=1,
        retry_after=Date(4),
    ),
    _acts(
        "rate-limited",
        _MAKE,
        "Every request is too many: the client gives up.",
        variant="always",
        retry_after="none",
    ),
    _acts("model-retired", _MAKE, "The model is gone: asking again changes nothing."),
    _acts("maintenance", _BOTH, "The service is closed for two requests.", times=2),
    _acts("internal-error", _MAKE, "The provider fails twice, and no job was made.", times=2),
    _acts(
        "internal-error",
        _MAKE,
        "The provider fails, and the job was made all the same: a second one costs twice.",
        variant="accepted",
        times=1,
        accepted=True,
    ),
    _acts("internal-error", _LOOK, "The provider fails twice while the job runs.", times=2),
    _acts(
        "internal-error",
        _LOOK,
        "The provider fails at every look at the job: the client gives up.",
        variant="always",
    ),
    _acts("timeout-at-gateway", _MAKE, "A gateway gives up, and no job was made.", times=1),
    _acts(
        "timeout-at-gateway",
        _MAKE,
        "A gateway gives up, and the job was made all the same: a second one costs twice.",
        variant="accepted",
        times=1,
        accepted=True,
    ),
    _acts("timeout-at-gateway", _LOOK, "A gateway gives up twice while the job runs.", times=2),
    _acts("http-200-with-error-code", _MAKE, "A refusal says HTTP 200: it is a refusal all the same."),
    _acts("http-200-with-error-code", _LOOK, "Two looks at the job are refused with HTTP 200.", times=2),
    # --- transport
    _acts("latency", _MAKE, "The answer that tells of the job comes two seconds late.", times=1),
    _acts("latency", _LOOK, "An answer comes two seconds late.", times=1),
    _acts("reset-before-answer", _BOTH, "Two connections are reset before anything was done.", times=2),
    _acts(
        "reset-before-answer",
        _MAKE,
        "Every connection is reset: the client gives up.",
        variant="always",
    ),
    _acts(
        "reset-after-accept",
        _MAKE,
        "The job is made and the answer is lost: a second one costs twice.",
        times=1,
    ),
    _acts("truncated-body", _MAKE, "The job is made and half of the answer is lost.", times=1),
    _acts("truncated-body", _LOOK, "Two answers end in the middle.", times=2),
    _acts("dribble", _BOTH, "An answer comes a few bytes at a time.", times=1),
    _acts("malformed-json", _MAKE, "The job is made and the answer is no JSON.", times=1),
    _acts("malformed-json", _LOOK, "Two answers are no JSON.", times=2),
    _acts("html-error-page", _MAKE, "Two answers are a gateway's page, and no job was made.", times=2),
    _acts(
        "html-error-page",
        _MAKE,
        "A gateway's page comes back, and the job was made all the same: a second one costs twice.",
        variant="accepted",
        times=1,
        accepted=True,
    ),
    _acts("html-error-page", _LOOK, "Two answers are a gateway's page.", times=2),
    _acts(
        "html-error-page",
        _LOOK,
        "Two answers are a page that says HTTP 200.",
        variant="200",
        times=2,
        status=200,
    ),
    _acts("html-error-page", _LOOK, "Every look at the job gives a gateway's page.", variant="always"),
    _acts("wrong-content-type", _BOTH, "The answer is right, and says that it is HTML."),
    _acts("unknown-extra-fields", _BOTH, "Answers have members that no page knows."),
    _acts("empty-body", _MAKE, "The job is made and the answer is empty.", times=1),
    _acts("empty-body", _LOOK, "Two answers are empty.", times=2),
    _acts("gzip-unasked", _BOTH, "An answer is compressed, which nobody asked for.", times=1),
    # --- callbacks
    _acts("callback-lost", _MAKE, "No callback comes; reads tell the same."),
    _acts("callback-duplicated", _MAKE, "Every callback comes twice."),
    _acts("callback-late", _MAKE, "Callbacks come ten minutes after the change."),
    _acts("callback-early", _MAKE, "A callback comes before the answer that tells of the job."),
    _acts("callback-out-of-order", _MAKE, "The last callback comes first."),
    _acts("callback-wrong-signature", _MAKE, "Every callback is forged: none of it may be believed."),
    _acts("callback-stale-timestamp", _MAKE, "Every callback is an hour old: somebody may be replaying it."),
    _acts("callback-redirected", _MAKE, "Callbacks are redirected and get lost."),
    _acts("callback-receiver-slow", _MAKE, "A callback that was taken comes again."),
    _acts("callback-only-final", _MAKE, "Only the end is told."),
    _acts("callback-storm", _MAKE, "Callbacks that were taken come again and again."),
    # --- results
    _acts("url-expired", _MAKE, "The result's address has expired: there is no result."),
    _acts("url-404", _MAKE, "There is no file behind the result's address."),
    _acts("url-slow", _MAKE, "The file takes three seconds.", seconds=3, pieces=10),
    _acts("truncated-file", _MAKE, "Half of the file arrives: that is no result."),
    _acts("result-wrong-content-type", _MAKE, "The file says that it is something else."),
)

ACTS: Final[Mapping[str, Act]] = {one.id: one for entries in _ENTRIES for one in entries}
"""Every act by its id, in the order in which they are played; the baseline is the first."""


_UNUSED: Final = {
    "create": "the client makes no tasks",
    "read": "the client reads no task by its id",
    "list": "the client lists no tasks",
}


def why_not(act: Act, use: Use, contracts: Mapping[str, Contract]) -> str:
    """Return why a client that uses this cannot meet an act, "" where it can."""
    scenario = SCENARIOS[act.scenario]
    if act.id == BASELINE:
        return ""
    roles = (act.role, "read") if act.scenario in _OF_READS else (act.role,)
    operations = [contracts[provider].operations[name] for provider, name in sorted(use.operations)]
    known = {role_of(one) for one in operations}
    for role in roles:
        if role not in known:
            return _UNUSED[role]
    if scenario.is_of_callbacks and not use.has_callbacks:
        return "the client asks for no callbacks"
    if scenario.group == "results" and not use.has_fetched:
        return "the client fetches no result"
    found = ""
    for provider, name in sorted(use.operations):
        operation = contracts[provider].operations[name]
        if role_of(operation) == act.role:
            entry = act.entries(0)[0]
            found = obstacle(scenario, contracts[provider], operation, scenario.read(entry.get("with", {})))
            if not found:
                return ""
    return found


def chosen(
    patterns: Sequence[str], known: Iterable[str], what: str, *, without: Sequence[str] = ()
) -> list[str]:
    """Return the names that fit one of the patterns and none of the others, in their order.

    Without patterns all fit.  Raises NoSuchNameError for a pattern that fits nothing.
    """
    known = list(known)
    for pattern in (*patterns, *without):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise NoSuchNameError(f"no {what} is called '{pattern}' ({_hint(pattern, known)})")
    return [
        name
        for name in known
        if (not patterns or any(fnmatchcase(name, one) for one in patterns))
        and not any(fnmatchcase(name, one) for one in without)
    ]


def _hint(pattern: str, known: Sequence[str]) -> str:
    like = [name for name in known if pattern and pattern in name]
    if 0 < len(like) < 4:
        return f"did you mean {' or '.join(map(repr, like))}?"
    return nearest(pattern, known) or "understudy rehearse --list shows them"
