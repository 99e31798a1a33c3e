"""Explain: every rule of every provider has a whole story."""

from __future__ import annotations

import pytest

from tests.providers import LIBRARY, contract
from validator.explain import explain, rule_rows

EVERY_RULE = [(name, row.id) for name in ("toy", *LIBRARY) for row in rule_rows(contract(name))]


@pytest.mark.parametrize(("name", "rule"), EVERY_RULE, ids=[rule for _, rule in EVERY_RULE])
def test_every_rule_can_be_explained(name: str, rule: str) -> None:
    one = explain(contract(name), rule)

    if one.rule.is_of_spec:
        assert one.operations, "about no request at all"
        assert one.pointer
        assert one.source is not None
