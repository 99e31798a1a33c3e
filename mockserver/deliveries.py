"""Deliveries: one callback for one state of one task, and every attempt to bring it to its receiver.

Pure: says what is due when and what an attempt means; sending is `callbacks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mockserver.tasks import Task
from validator.contract.model import Callback

Status = Literal["waiting", "retrying", "delivered", "failed", "refused", "canceled"]
"""waiting: not due or not tried yet; refused: the address is not allowed; canceled: the task took another course."""

OPEN: Final = ("waiting", "retrying")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: when (the tenant's time, milliseconds), what came back, how long it took.

    `status` is the receiver's, None where there was none; `error` says why; `headers` what was sent.
    `is_pulled`: it was handed to a puller, who said what came back.
    """

    at: int
    status: int | None
    error: str
    took_ms: int
    headers: tuple[tuple[str, str], ...]
    is_pulled: bool = False

    @property
    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        return 200 + len(self.error) + sum(len(name) + len(value) for name, value in self.headers)


Mode = Literal["push", "pull"]
"""Who moves the deliveries of a tenant: the server sends them, or somebody fetches them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """A delivery in the hands of a puller: what is to be sent, and the real seconds there are to report on it."""

    delivery: Delivery
    method: str
    headers: tuple[tuple[str, str], ...]
    at: int
    within_s: float
    started: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """How much a tenant's ledger holds, and how many deliveries it has let go."""

    kept: int
    size_bytes: int
    dropped: int


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A notification that the task entered a state.

    `due` is when it did; `next_at` when the next attempt is, None once there is none; `body` the exact bytes,
    empty until the first attempt.  `number` orders the deliveries of a tenant; the store gives it.
    """

    id: str
    task_id: str
    provider: str
    operation: str
    callback: str
    url: str
    state: str
    due: int
    status: Status = "waiting"
    next_at: int | None = None
    body: bytes = b""
    attempts: tuple[Attempt, ...] = ()
    number: int = 0

    @property
    def is_open(self) -> bool:
        """Tell whether there is anything left to do."""
        return self.status in OPEN

    @property
    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        return 600 + len(self.url) + len(self.body) + sum(one.size_bytes for one in self.attempts)

    @property
    def reached_nobody(self) -> bool:
        """Tell whether it was sent last without any answer: its receiver cannot be called, or not from here."""
        return bool(self.attempts) and self.attempts[-1].status is None and not self.attempts[-1].is_pulled


def planned(task: Task, callback: Callback) -> Sequence[tuple[int, str]]:
    """Return pairs (when, milliseconds since the epoch; state) for the news that a task's timeline asks for."""
    return [(task.created + at, state) for at, state in task.timeline if state in callback.states]


def judge(callback: Callback, status: int | None) -> Literal["delivered", "retry", "stop"]:
    """Say what a receiver's answer means; None stands for no answer.

    Source: 2xx is success and 410 ends it, after Standard Webhooks; what is tried again says the spec.
    """
    if status is None:
        return "retry" if "network" in callback.retry_on else "stop"
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "stop"
    is_again = f"{status // 100}xx" in callback.retry_on or (status == 429 and "429" in callback.retry_on)
    return "retry" if is_again else "stop"
