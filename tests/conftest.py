"""Hypothesis profiles: `quick`, the same examples every time, and `soak`, many and new ones.

HYPOTHESIS_PROFILE=soak python -m pytest tests/properties
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.large_base_example)
settings.register_profile(
    "quick", derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=_SLOW
)
settings.register_profile("soak", deadline=None, max_examples=800, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
