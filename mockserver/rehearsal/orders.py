"""What is to be rehearsed, in one frozen record; read from the command line or from tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mockserver.rehearsal.acts import ACTS
from mockserver.rehearsal.staging import Telling

SPEED: Final = 60.0
"""The provider's seconds in one of the client's, unless told otherwise."""

SEED: Final = 1

TIME_LIMIT_S: Final = 60.0
"""Real seconds that one act may take, unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What is to be rehearsed: the acts that count (the baseline is played in any case), the laws, and how."""

    telling: Telling
    acts: tuple[str, ...] = tuple(ACTS)
    laws: tuple[str, ...] | None = None
    providers: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    speed: float = SPEED
    seed: int = SEED
    jobs: int = 8
    time_limit: float = TIME_LIMIT_S
    is_fail_fast: bool = False
