"""What a provider's contract says about a request, before it is sent.

>>> from validator import HttpRequest, check, load, provider_names
>>> check(load(provider_names()[0]), HttpRequest.from_json("GET", "/nowhere", None)).verdict
'refused'
"""

from validator.check import check
from validator.contract import Contract, SpecError, load, provider_names
from validator.report import Report, Violation
from validator.request import HttpRequest

__all__ = ["Contract", "HttpRequest", "Report", "SpecError", "Violation", "check", "load", "provider_names"]
