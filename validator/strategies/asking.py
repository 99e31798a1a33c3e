"""The strategies people ask for, and what goes with them; the only importer of Hypothesis at this level."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from validator.contract.document import nearest
from validator.contract.expressions import Json
from validator.contract.model import Operation, Rule
from validator.request import HttpRequest
from validator.strategies.answers import (
    Answers,
    Course,
    Reply,
    answers_of,
    known_reason,
    known_state,
)
from validator.strategies.choices import Impossible
from validator.strategies.plans import Explicit, Plan, plan_of

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def from_operation(
    operation: Operation, *, explicit: Mapping[str, Any] | None = None, allow_warnings: bool = False
) -> SearchStrategy[HttpRequest]:
    """Return a strategy for valid requests: address, parameters, credential and body.

    `explicit` fixes parts: keys are members of the body, JSON Pointers into it, parameters, or the header of the
    credential; values are values or strategies.  The rest is made to fit them.  With `allow_warnings`, requests may
    break rules that the provider lets pass; without, nothing at all is found.

    Raises ValueError for a key that is neither, and while drawing for a value that no valid request has;
    ImportError without Hypothesis.
    """
    plan = plan_of(operation)
    return _requests(
        plan,
        explicit,
        lambda chooser, wanted: plan.valid(chooser, wanted, allows_warnings=allow_warnings),
    )


def bodies(
    operation: Operation, *, explicit: Mapping[str, Any] | None = None, allow_warnings: bool = False
) -> SearchStrategy[dict[str, Json]]:
    """Return a strategy for valid bodies, as the JSON values a client would send; see :func:`from_operation`.

    Raises ValueError also for an operation without a body.
    """
    plan = plan_of(operation)
    if plan.bodies is None:
        raise ValueError(f"{operation.id} takes no body")
    return _requests(
        plan,
        explicit,
        lambda chooser, wanted: plan.valid_body(chooser, wanted, allows_warnings=allow_warnings),
    )


def violating(
    operation: Operation, rule: Rule | str, *, explicit: Mapping[str, Any] | None = None
) -> SearchStrategy[HttpRequest]:
    """Return a strategy for requests with one flaw: they break this rule and no other.

    What comes along because it cannot be helped is told by :func:`unavoidable`.  A request that breaks a rule about
    values that must be new does so when it is sent the second time; see :func:`sendings`.  Beside the rules of the
    spec, the findings that need none have ids too, such as `<provider>.request.unauthorized-missing`; see
    :func:`breakable`.  A token that has expired is found out only by a check that is told the time.

    Raises ValueError for a rule that requests of the operation cannot break, and for an unknown key of `explicit`;
    ImportError without Hypothesis.
    """
    plan = plan_of(operation)
    name = plan.rule_id(rule)
    ways = plan.ways(name)
    if not ways:
        raise ValueError(f"no request of {operation.id} was found that breaks '{name}'")

    def build(chooser: Any, wanted: Explicit) -> HttpRequest:
        start = chooser.below(len(ways))
        for way in (*ways[start:], *ways[:start]):
            try:
                return plan.broken(way, name, chooser, wanted)
            except Impossible:
                continue
        raise Impossible

    return _requests(plan, explicit, build)


def responses(operation: Operation, *, state: str | None = None) -> SearchStrategy[Reply]:
    """Return a strategy for what the provider may answer: success in every state, and every refusal.

    With `state`, the answers of success that show a task in it.  An operation that creates tasks answers in the
    first state only.

    Raises ValueError for a state that no answer shows, ImportError without Hypothesis.
    """
    answers = answers_of(operation)
    if state is not None:
        known_state(answers, state)
        return _answers(lambda chooser: answers.success(chooser, state))

    def build(chooser: Any) -> Reply:
        return answers.success(chooser, None) if chooser.below(2) == 0 else _refusal(answers, chooser)

    return _answers(build)


def refusals(operation: Operation, *, rule: str | None = None) -> SearchStrategy[Reply]:
    """Return a strategy for the refusals of an operation: all, or the one for a finding.

    Raises ValueError for a finding that the operation does not refuse, ImportError without Hypothesis.
    """
    answers = answers_of(operation)
    if rule is not None and rule not in answers.causes():
        hint = nearest(rule, answers.causes())
        raise ValueError(f"{operation.id} refuses nothing for '{rule}'" + (f"; {hint}" if hint else ""))
    return _answers(
        lambda chooser: _refusal(answers, chooser) if rule is None else answers.refusal(rule, chooser)
    )


def refused(operation: Operation) -> tuple[str, ...]:
    """Return the ids of the findings that :func:`refusals` answers to; raises ValueError."""
    return answers_of(operation).causes()


def lifecycles(
    operation: Operation, *, reason: str | None = None, explicit: Mapping[str, Any] | None = None
) -> SearchStrategy[Course]:
    """Return a strategy for the lives of tasks: the request, its answer, every poll and callback until the end.

    `reason` is why the task fails, "" for one that succeeds, None for any; see :func:`reasons`.  `explicit` as in
    :func:`from_operation`: callbacks are sent where the request says where to.

    Raises ValueError for an operation that creates no tasks, and for an unknown reason; ImportError without
    Hypothesis.
    """
    answers = answers_of(operation)
    if operation.lifecycle is None:
        raise ValueError(f"{operation.id} creates no tasks")
    if reason is not None:
        known_reason(answers, reason)
    return _requests(
        plan_of(operation), explicit, lambda chooser, wanted: answers.course(chooser, wanted, reason)
    )


def reasons(operation: Operation) -> tuple[str, ...]:
    """Return why tasks of an operation fail, as :func:`lifecycles` takes it; raises ValueError."""
    return answers_of(operation).reasons()


def smallest(
    operation: Operation, rule: Rule | str, *, explicit: Mapping[str, Json] | None = None
) -> HttpRequest:
    """Return the least request that breaks a rule, the same each time; needs no Hypothesis.

    `explicit` as in :func:`from_operation`, values only.  Raises ValueError as :func:`violating` does.
    """
    plan = plan_of(operation)
    return plan.smallest(rule, plan.explicit(explicit or {}))


def breakable(operation: Operation) -> tuple[str, ...]:
    """Return the ids that :func:`violating` takes: the rules of the operation, then what needs no rule."""
    return plan_of(operation).rules


def unavoidable(operation: Operation, rule: Rule | str) -> frozenset[str]:
    """Return the ids of other findings that requests made to break a rule may have; raises ValueError.

    Nothing where the rule can be broken alone.  Where one of several has to come along, it is one that is so here.
    """
    return plan_of(operation).also(rule)


def sendings(operation: Operation, rule: Rule | str) -> int:
    """Return how often a request is to be sent before it breaks a rule: 2 where a value must be new, or 1."""
    return 2 if any(way.kind == "twice" for way in plan_of(operation).ways(rule)) else 1


_SIGNS: Final = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    + " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\t\n\r\0\x1b\x7f\x85\xa0\xad"
    + "ßéÅİıſ\u0301\u0e33\u05d0\u0627\u200b\u200d\u200f\u2028\u202e\u3000"
    + "猫字한\ue000\ufb01\ufeff\ufffd\uffff\U0001f3ac\U0001f1e9\U0001f468\U0010ffff"
)
"""Characters that programs trip over, and plain ones: of all of Unicode Hypothesis has first to draw up a table,
which takes seconds.  No lone surrogates, which UTF-8 cannot say."""


# --- drawing ----------------------------------------------------------------------------------------------


def hypothesis_strategies() -> Any:
    """Return the module; raises ImportError that says how to get it."""
    try:
        from hypothesis import strategies
    except ImportError:
        raise ImportError(
            "Hypothesis is not installed; the strategies need the extra 'test': pip install 'understudy[test]'"
        ) from None
    return strategies


class Drawn:
    """Takes the way that Hypothesis draws."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        """Draw from here."""
        self._draw = draw

    def below(self, count: int) -> int:
        """Return a number from 0 to `count` - 1."""
        return int(self._draw(_integers(0, count - 1))) if count > 1 else 0

    def flag(self) -> bool:
        """Return whether to do more than is needed."""
        return bool(self._draw(_integers(0, 1)))

    def text(self) -> str:
        """Return a text of one to some twenty characters."""
        return str(self._draw(_texts()))

    def whole(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`."""
        return int(self._draw(_integers(low, high)))


@functools.lru_cache(maxsize=1_024)
def _integers(low: int, high: int) -> Any:
    return hypothesis_strategies().integers(low, high)


@functools.cache
def _texts() -> Any:
    strategies = hypothesis_strategies()
    return strategies.just("a") | strategies.text(_SIGNS, min_size=1, max_size=20)


def _refusal(answers: Answers, chooser: Any) -> Reply:
    causes = answers.causes()
    if not causes:
        raise Impossible
    return answers.refusal(causes[chooser.below(len(causes))], chooser)


def _answers(build: Callable[[Any], Reply]) -> SearchStrategy[Reply]:
    strategies = hypothesis_strategies()

    def answers(draw: Callable[[Any], Any]) -> Reply:
        return build(Drawn(draw))

    out: SearchStrategy[Reply] = strategies.composite(answers)()
    return out


def _requests(
    plan: Plan, explicit: Mapping[str, Any] | None, build: Callable[[Any, Explicit], T]
) -> SearchStrategy[T]:
    strategies = hypothesis_strategies()
    given = dict(explicit or {})
    for name in given:
        plan.place(name)

    def requests(draw: Callable[[Any], Any]) -> T:
        values = {
            name: draw(value) if isinstance(value, strategies.SearchStrategy) else value
            for name, value in given.items()
        }
        wanted = plan.explicit(values)
        try:
            return build(Drawn(draw), wanted)
        except Impossible:
            if wanted.members:
                raise ValueError(plan.why_not(wanted)) from None
            from hypothesis import reject

            reject()

    out: SearchStrategy[T] = strategies.composite(requests)()
    return out
