"""What the parts of a compilation share."""

from __future__ import annotations

from dataclasses import dataclass, field

from validator.contract.document import Document
from validator.contract.model import BodySchema, Family
from validator.contract.rules import RuleBook
from validator.contract.statements import Statements
from validator.contract.templates import Templates
from validator.contract.trees import Path


@dataclass(slots=True)
class Workbench:
    """One document being compiled; `bodies` holds the request schemas by where they stand,
    `family` what its operations will belong to."""

    document: Document
    book: RuleBook
    statements: Statements
    templates: Templates
    bodies: dict[Path, BodySchema] = field(default_factory=dict)
    family: Family = field(default_factory=Family)
