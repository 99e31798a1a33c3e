"""What tells two specs apart: `compare(old, new)`, each difference with the smallest request that shows it."""

from validator.diff.compare import compare
from validator.diff.model import Change, Comparison, Difference, Place

__all__ = ["Change", "Comparison", "Difference", "Place", "compare"]
