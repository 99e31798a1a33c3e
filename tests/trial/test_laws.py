"""Every law is broken by a client that does just that, kept by one that does not, and not reached elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mockserver.trial import LAWS, Finding, LawError, Program, finding_json, finding_text, judge
from mockserver.trial.conduct import Conduct
from tests.trial.client import Client
from tests.trial.world import World

ROOT = Path(__file__).parents[2]


def plan(scenario: str, *, role: str = "create", times: int | None = 1, **values: Any) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"scenario": scenario, "with": values, "match": {"role": role}}
    return entry if times is None else entry | {"times": times}


@dataclass(frozen=True, kw_only=True)
class Act:
    """What a client is put through, and its faults."""

    faults: Sequence[str] = ()
    plan: Sequence[Mapping[str, Any]] = ()
    has_hook: bool = False
    speed: float = 1.0
    wishes: Sequence[str] = ("a boat",)

    def play(self) -> Conduct:
        with World(plan=self.plan, speed=self.speed) as world:
            program = Client(world, *self.faults, has_hook=self.has_hook).run(*self.wishes)
            return world.conduct(program=program)


USUAL = Act()
CALLED = Act(has_hook=True)
NOTHING = Act(wishes=())


def idle() -> Conduct:
    """A client that only looks at its list, and was given no secret."""
    with World() as world:
        world.request("GET", "/clips", headers={"x-toy-key": "short"})
        return world.conduct(program=Program(exit_code=0))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An act with the faults that break a law; without them it is kept; `elsewhere` it is not reached."""

    faults: Sequence[str]
    plan: Sequence[Mapping[str, Any]] = ()
    has_hook: bool = False
    elsewhere: Act | None = USUAL
    """None: the client that does next to nothing."""

    @property
    def bad(self) -> Act:
        return Act(faults=self.faults, plan=self.plan, has_hook=self.has_hook)

    @property
    def good(self) -> Act:
        return Act(plan=self.plan, has_hook=self.has_hook)


FAILING = plan("accepted-then-failed")

TRIALS = {
    "no-invalid-request": [Trial(faults=["asks-wrongly"], elsewhere=None)],
    "stops-at-final-state": [Trial(faults=["polls-on"], elsewhere=Act(plan=[plan("stuck-processing")]))],
    "gives-up-in-finite-time": [Trial(faults=["never-gives-up"], plan=[plan("stuck-processing")])],
    "polls-not-too-fast": [Trial(faults=["polls-fast"], elsewhere=None)],
    "backs-off": [
        Trial(faults=["hurries"], plan=[plan("rate-limited", times=2)]),
        Trial(faults=["hurries"], plan=[plan("internal-error", role="read", times=3)]),
        Trial(faults=["waits-the-same"], plan=[plan("internal-error", role="read", times=4)]),
    ],
    "obeys-retry-after": [
        Trial(faults=["deaf"], plan=[plan("rate-limited", **{"retry-after": "30"})]),
        Trial(
            faults=["deaf"],
            # The clock of a trial begins at noon.
            plan=[plan("rate-limited", **{"retry-after": "Thu, 01 Jan 2026 12:00:40 GMT"})],
            elsewhere=Act(plan=[plan("rate-limited")]),
        ),
    ],
    "no-useless-retry": [
        Trial(faults=["stubborn"], plan=[plan("out-of-credits", times=None)]),
        Trial(faults=["stubborn"], plan=[plan("unauthorized", times=None)]),
        Trial(faults=["stubborn"], plan=[plan("moderation-at-create")], elsewhere=Act(plan=[FAILING])),
    ],
    "one-task-per-wish": [
        Trial(faults=["double-submits"], plan=[plan("reset-after-accept")], elsewhere=None),
        Trial(faults=["double-submits"], plan=[plan("internal-error", accepted=True)], elsewhere=None),
        Trial(faults=["double-submits"], plan=[plan("html-error-page", accepted=True)], elsewhere=None),
        Trial(faults=["double-submits"], plan=[plan("empty-body")], elsewhere=None),
        Trial(faults=["double-submits"], plan=[plan("truncated-body")], elsewhere=None),
    ],
    "callbacks-at-least-once": [
        Trial(
            faults=["refuses-repeats"], plan=[plan("callback-duplicated")], has_hook=True, elsewhere=CALLED
        ),
        Trial(faults=["acts-twice"], plan=[plan("callback-duplicated")], has_hook=True, elsewhere=CALLED),
        Trial(faults=["refuses-repeats"], plan=[plan("callback-storm")], has_hook=True, elsewhere=USUAL),
        Trial(
            faults=["refuses-repeats"], plan=[plan("callback-receiver-slow")], has_hook=True, elsewhere=CALLED
        ),
    ],
    "checks-signatures": [
        Trial(faults=["trusting"], plan=[plan("callback-wrong-signature")], has_hook=True, elsewhere=CALLED),
        Trial(faults=["trusting"], plan=[plan("callback-stale-timestamp")], has_hook=True, elsewhere=CALLED),
        Trial(
            faults=["acts-on-refused"],
            plan=[plan("callback-wrong-signature"), plan("channels-disagree", seconds=40)],
            has_hook=True,
        ),
    ],
    "fetches-before-expiry": [Trial(faults=["dawdles"], elsewhere=Act(plan=[FAILING]))],
    "notices-broken-results": [Trial(faults=["takes-halves"], plan=[plan("truncated-file")])],
    "tells-failed-from-refused": [
        Trial(faults=["mumbles"], plan=[FAILING]),
        Trial(faults=["mumbles"], plan=[plan("out-of-credits")]),
        Trial(faults=["mumbles"], plan=[plan("moderation-late")]),
    ],
    "fails-loudly": [
        Trial(faults=["hides-failures"], plan=[FAILING]),
        Trial(faults=["says-nothing"], plan=[plan("moderation-late")]),
        Trial(faults=["shows-its-stack"], plan=[FAILING]),
        Trial(faults=["hides-failures"], plan=[plan("model-retired")]),
    ],
    "knows-what-it-does-not-know": [
        Trial(faults=["gullible"], plan=[plan("unknown-status")]),
        Trial(faults=["gullible"], plan=[plan("success-without-url")]),
        Trial(faults=["gullible"], plan=[plan("html-error-page", role="read", times=None, status=200)]),
        Trial(faults=["gullible"], plan=[plan("malformed-json", role="read")]),
        Trial(faults=["gullible"], plan=[plan("empty-body", role="read")]),
        Trial(faults=["gullible"], plan=[plan("http-200-with-error-code", role="read")]),
    ],
    "keeps-secrets": [
        Trial(faults=["prints-its-key"], elsewhere=None),
        Trial(faults=["key-in-url"], elsewhere=None),
    ],
}

CASES = [
    pytest.param(law, trial, id=f"{law}-{number}")
    for law, trials in TRIALS.items()
    for number, trial in enumerate(trials, 1)
]


def outcome(law: str, conduct: Conduct) -> Finding:
    return LAWS[law].judge(conduct)


def broken(conduct: Conduct) -> list[str]:
    return [one.law for one in judge(conduct) if one.outcome == "broken"]


def test_every_law_has_its_trials() -> None:
    assert list(LAWS) == list(TRIALS)
    assert all(TRIALS.values())


@pytest.mark.parametrize(("law", "trial"), CASES)
def test_a_client_with_the_fault_breaks_this_law_and_no_other(law: str, trial: Trial) -> None:
    conduct = trial.bad.play()

    assert [law] == broken(conduct), "\n".join(finding_text(one, conduct) for one in judge(conduct))


@pytest.mark.parametrize(("law", "trial"), CASES)
def test_a_careful_client_keeps_it_in_the_same_act(law: str, trial: Trial) -> None:
    conduct = trial.good.play()

    assert [] == broken(conduct), "\n".join(finding_text(one, conduct) for one in judge(conduct))
    assert "kept" == outcome(law, conduct).outcome


@pytest.mark.parametrize(("law", "trial"), CASES)
def test_where_its_situation_does_not_arise_it_is_not_reached(law: str, trial: Trial) -> None:
    conduct = trial.elsewhere.play() if trial.elsewhere is not None else idle()

    found = outcome(law, conduct)

    if law == "no-invalid-request":
        # Whoever sends anything reaches it.
        found = outcome(law, NOTHING.play())
    assert "not-reached" == found.outcome
    assert found.note


@pytest.mark.parametrize(("law", "trial"), CASES)
def test_a_breach_says_what_was_expected_and_shows_where(law: str, trial: Trial) -> None:
    conduct = trial.bad.play()

    found = outcome(law, conduct)

    ids = {one.id for one in conduct.exchanges}
    for breach in found.breaches:
        assert "expected: " in breach.sentence
        assert set(breach.exchanges) <= ids
        assert breach.exchanges or breach.delivery or "stdout" in breach.sentence
        assert breach.task is None or breach.task in conduct.tasks
    text = finding_text(found, conduct)
    assert all(breach.sentence in text for breach in found.breaches)
    assert (law, "broken") == (finding_json(found)["law"], finding_json(found)["outcome"])


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.id)
def test_a_law_says_what_it_costs_and_where_it_was_learnt(law: Any) -> None:
    assert law.title.endswith(".") and law.why.endswith(".") and law.reach
    assert law.source.startswith("https://github.com/")


def test_laws_are_chosen_by_name_and_judged_in_their_own_order() -> None:
    conduct = idle()

    found = judge(conduct, ["keeps-secrets", "no-invalid-request"])

    assert ["no-invalid-request", "keeps-secrets"] == [one.law for one in found]
    with pytest.raises(LawError, match="backs-off"):
        judge(conduct, ["back-off"])
