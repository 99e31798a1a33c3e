"""Spec to Contract: a provider's file, read, checked and compiled."""

from validator.contract.compile import load
from validator.contract.document import Document, SpecError, provider_names
from validator.contract.model import Contract, Operation, Rule

__all__ = ["Contract", "Document", "Operation", "Rule", "SpecError", "load", "provider_names"]
