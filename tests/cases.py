"""The pass and fail files with their pictures made, ready to be judged; see tests/specs/README.md."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pictures import make, with_pictures
from validator import cases
from validator.cases import CaseKind
from validator.request import HttpRequest


@dataclass(frozen=True)
class Case:
    """One file: `rule` is its name; `verdict` what the provider does; `also` other findings that come along."""

    file: Path
    rule: str
    operation: str | None
    request: HttpRequest
    body: Any
    verdict: str | None
    location: str | None
    also: tuple[str, ...]
    answer: Any

    def __str__(self) -> str:
        return f"{self.file.parent.parent.name}-{self.file.parent.name}-{self.rule}"


def read_cases(provider: str, kind: CaseKind) -> list[Case]:
    """Return the cases of a provider, sorted by rule; nobody changes what is in them."""
    return list(_cases(provider, kind))


@functools.cache
def _cases(provider: str, kind: CaseKind) -> list[Case]:
    return [
        Case(
            file=Path(case.file),
            rule=case.rule,
            operation=case.operation,
            request=case.request(picture=make),
            body=with_pictures(case.body),
            verdict=case.verdict,
            location=case.location,
            also=case.also,
            answer=case.answer,
        )
        for case in cases.read_cases(provider, kind)
    ]
