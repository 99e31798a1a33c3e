"""Bodies to begin from: the examples of the specs, and what strategies make.

The only way from here to strategies; the same seed gives the same bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from validator.contract.expressions import MISSING, Json
from validator.contract.model import Contract, Operation


def examples(contract: Contract, operation: Operation) -> list[Json]:
    """Return the example bodies of an operation."""
    for item in contract.document.root["paths"].values():
        for node in item.values():
            if isinstance(node, dict) and node.get("operationId") == operation.id:
                body, _ = contract.document.resolve(node.get("requestBody", {}))
                media: Any = body.get("content", {}).get("application/json", {})
                found = media.get("examples", {}).values()
                values = [contract.document.resolve(one)[0].get("value") for one in found]
                values += [media["example"]] if "example" in media else []
                return [value for value in values if value is not None]
    return []


class Seeds:
    """What a comparison begins from."""

    def __init__(self, old: Contract, new: Contract, *, seed: int) -> None:
        """Take the contracts; nothing is drawn before it is asked for."""
        self.old, self.new, self.seed = old, new, seed

    def valid_body(self, contract: Contract, operation: Operation) -> Json:
        """Return a small body that the operation takes, MISSING where it takes none."""
        if operation.body is None:
            return MISSING
        found = examples(contract, operation)
        return min(found, key=lambda one: len(str(one))) if found else {}

    def bases(self, old: Operation, new: Operation) -> list[Json]:
        """Return bodies that either operation takes."""
        return [*examples(self.old, old), *examples(self.new, new)]

    def violating(self, old: Operation, new: Operation, rule: str) -> list[Json]:
        """Return bodies that break one rule of either operation."""
        return []

    def drawn(self, operation: Operation, count: int) -> list[Json]:
        """Return so many bodies that an operation takes, the same ones every time."""
        return []

    def texts(self, pattern: str) -> Sequence[str]:
        """Return texts that match a regular expression, the same ones every time."""
        return ()
