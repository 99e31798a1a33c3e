"""ISO 8601 durations, as a spec writes them."""

from __future__ import annotations

import re
from typing import Final

_DURATION: Final = re.compile(
    r"P(?:(?P<D>\d+)D)?(?:T(?:(?P<H>\d+)H)?(?:(?P<M>\d+)M)?(?:(?P<S>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)


def milliseconds(duration: str) -> int:
    """Return an ISO 8601 duration of days and less.

    >>> milliseconds("PT1.5S")
    1500
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"'{duration}' is no duration")
    days, hours, minutes = (int(match[unit] or 0) for unit in "DHM")
    seconds, _, fraction = (match["S"] or "0").partition(".")
    return ((days * 24 + hours) * 60 + minutes) * 60_000 + int(seconds) * 1000 + int((fraction + "000")[:3])
