"""A look at each request just before it leaves: bad ones stay here, and so do those that would cost.

Knows no HTTP library; each has a module of its own beside this one, imported by those who use it:
`validator.preflight.httpx`, `.requests`, `.aiohttp` and `.urllib`.

>>> from validator.preflight import Preflight
>>> flight = Preflight().clear("GET", "https://example.com/anything")
>>> flight.inspection is None
True
"""

from validator.preflight.flight import Flight, Preflight
from validator.preflight.guard import SpendGuard, Spent, SpentLine
from validator.preflight.inspection import Inspection
from validator.preflight.problems import NotSent, PreflightError, PreflightWarning, SpendError

__all__ = [
    "Flight",
    "Inspection",
    "NotSent",
    "Preflight",
    "PreflightError",
    "PreflightWarning",
    "SpendError",
    "SpendGuard",
    "Spent",
    "SpentLine",
]
