"""Every change of a spec that can be made mechanically is named by `diff`; those of requests with a request."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.properties.mutations import Mutation, mutated, mutations
from tests.providers import LIBRARY, contract
from validator.diff import compare

IS_SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
EACH = {"toy": 13, "kling": 149, "magnific": 61, "aimlapi": 67, "modellix": 53}
"""Of how many changes one is made; all of them in a soak."""


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_every_change_of_a_spec_is_named(name: str) -> None:
    known = list(mutations(name))
    chosen = known if IS_SOAK else known[:: EACH[name]]
    counts: Counter[str] = Counter()
    silent: list[str] = []
    for one in chosen:
        counts[outcome(name, one, silent)] += 1

    print(f"\n{name}: {len(chosen)} of {len(known)} changes: {dict(counts)}")
    print("\n".join(silent))
    assert 0 == counts["missed"]
    tried = counts["proved"] + counts["not shown"]
    # What no request shows is a rule that is off, or one that another rule hides; the list above has them.
    assert counts["proved"] >= 0.75 * tried


def outcome(name: str, one: Mutation, silent: list[str]) -> str:
    """Make a change and compare; return what became of it, and put what no request showed on the list."""
    new = mutated(name, one)
    if isinstance(new, str):
        return "does not load"
    found = compare(contract(name), new, examples=0)
    if not found.differences and not found.changes:
        silent.append(f"missed: {one}")
        return "missed"
    if not one.is_of_requests:
        return "named"
    rules = {rule for each in found.differences for rule in each.rules}
    if one.rule in rules or (not one.rule and found.differences):
        return "proved"
    silent.append(
        f"not shown: {one} ({one.rule}): {', '.join(sorted({each.note for each in found.changes}))}"
    )
    return "not shown"
