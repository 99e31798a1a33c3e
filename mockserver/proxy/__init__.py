"""A validating proxy before the real host: bad requests do not reach it, good ones pass untouched."""

from __future__ import annotations

from typing import Final

WINDOW_S: Final = 60.0
"""Seconds within which an equal submit is held back."""

PASSES: Final = ("fails", "unknown")
"""What is held back and can be let through: tasks that will fail, and requests of no operation in the contract."""
