"""Which acts there are, and which fit a client."""

from __future__ import annotations

import pytest

from mockserver.plans import read_entry
from mockserver.rehearsal.acts import ACTS, BASELINE, DEAF, Act, NoSuchNameError, Use, chosen, why_not
from mockserver.scenarios import SCENARIOS
from mockserver.tenants import TENANT_NAME
from tests.providers import LIBRARY, contract

CONTRACTS = {name: contract(name) for name in (*LIBRARY, "toy")}
TOY = frozenset({("toy", "createClip"), ("toy", "getClip")})


def missed(use: Use) -> dict[str, str]:
    """Return the acts that do not fit, each with the reason; that the toy cancels nothing is no news."""
    reasons = {act.id: why_not(act, use, CONTRACTS) for act in ACTS.values() if act.id != "canceled"}
    return {name: why for name, why in reasons.items() if why}


def test_every_scenario_is_played_in_an_act() -> None:
    assert SCENARIOS.keys() == {act.scenario for act in ACTS.values()}


def test_the_baseline_comes_first() -> None:
    assert BASELINE == next(iter(ACTS))


@pytest.mark.parametrize("act", ACTS.values(), ids=lambda act: act.id)
def test_an_act_is_a_plan_that_can_be_met(act: Act) -> None:
    for entry in act.entries(0):
        read = read_entry(entry, CONTRACTS, id="x", seed=lambda: 1)
        assert read.wish is not None
    assert act.times is None or act.times > 0


def test_every_act_has_a_tenant_of_its_own() -> None:
    tenants = [act.tenant for act in ACTS.values()]

    assert all(TENANT_NAME.fullmatch(name) for name in tenants)
    assert len(set(tenants)) == len(tenants)


def test_every_act_says_in_a_sentence_what_it_asks() -> None:
    for act in ACTS.values():
        assert act.why[0].isupper(), act.id
        assert act.why.endswith("."), act.id


def test_a_client_that_asks_for_no_callbacks_gets_no_acts_about_them() -> None:
    found = missed(Use(operations=TOY, has_callbacks=False, has_fetched=True))

    about = {act.id for act in ACTS.values() if act.group == "callbacks"}
    assert {"the client asks for no callbacks"} == {found[name] for name in about}
    assert {"list"} == {ACTS[name].role for name in found.keys() - about}


def test_a_client_that_fetches_nothing_gets_no_acts_about_results() -> None:
    found = missed(Use(operations=TOY, has_callbacks=True, has_fetched=False))

    about = {act.id for act in ACTS.values() if act.group == "results"}
    assert {"the client fetches no result"} == {found[name] for name in about}


def test_a_client_that_only_reads_gets_no_acts_about_making_tasks() -> None:
    use = Use(operations=frozenset({("toy", "getClip")}), has_callbacks=False, has_fetched=False)

    played = {name for name in ACTS if name not in missed(use) and name != "canceled"}

    assert {"read"} == {ACTS[name].role for name in played - {BASELINE}}


def test_acts_that_a_provider_cannot_play_say_so() -> None:
    def why(provider: str, create: str, read: str, act: str) -> str:
        operations = frozenset({(provider, create), (provider, read)})
        return why_not(ACTS[act], Use(operations=operations, has_callbacks=True, has_fetched=True), CONTRACTS)

    modellix = {one.role: one.id for one in CONTRACTS["modellix"].operations.values()}
    kling = ("kling", "createText2Video", "getText2Video")
    assert "this provider signs nothing" == why(
        "modellix", str(modellix["create"]), str(modellix["read"]), "callback-wrong-signature"
    )
    assert "no state of this provider is canceled" == why(*kling, "canceled")
    assert "" == why(*kling, "callback-wrong-signature")


def test_acts_about_reads_keep_callbacks_away() -> None:
    for act in ACTS.values():
        names = [entry["scenario"] for entry in act.entries(0)]
        assert ([act.scenario, DEAF] if act.is_of_reads else [act.scenario]) == names
    assert ACTS["rate-limited@read"].is_of_reads
    assert not ACTS["rate-limited@create"].is_of_reads


def test_a_date_is_told_from_when_the_act_begins() -> None:
    ((entry),) = ACTS["rate-limited@create:retry-date"].entries(1_767_268_800_000)

    assert {"retry-after": "Thu, 01 Jan 2026 12:00:04 GMT"} == entry["with"]


def test_what_was_used_in_two_acts_adds_up() -> None:
    one = Use(operations=frozenset({("toy", "createClip")}), has_callbacks=True, has_fetched=False)
    other = Use(operations=TOY, has_callbacks=False, has_fetched=True)

    assert Use(operations=TOY, has_callbacks=True, has_fetched=True) == one | other
    assert ("toy",) == (one | other).providers


def test_names_are_chosen_by_patterns_in_their_own_order() -> None:
    assert list(ACTS) == chosen([], ACTS, "act")
    found = chosen(["url-*", "success"], ACTS, "act", without=["url-4*"])
    assert ["success", "url-expired", "url-slow"] == found


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("sucess", "did you mean 'success'"), ("url-40", "did you mean 'url-404'"), ("zzz*", "--list")],
)
def test_a_pattern_that_fits_nothing_is_told_with_the_nearest(pattern: str, hint: str) -> None:
    with pytest.raises(NoSuchNameError, match=hint):
        chosen([pattern], ACTS, "act")
    with pytest.raises(NoSuchNameError, match=hint):
        chosen([], ACTS, "act", without=[pattern])
