"""What an operation answers about a task outside of any request, and where in that answer its parts stand.

Nothing here reads a template: an answer is rendered for a task that is known, and looked through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mockserver.tasks import Task, TaskView, Timeline
from validator.contract.expressions import MISSING, Json, Scope, iso, iso_naive, resolve_pointer, to_text
from validator.contract.model import Operation
from validator.keywords import Shape
from validator.request import HttpRequest

Pointer = tuple[str, ...]

_CREATED: Final = 1_700_000_001_234
_LASTED: Final = 86_411_000
"""A time of creation and a span, in milliseconds, that no spec writes by chance."""

_ID: Final = "\x02the-id"
_STATE: Final = "\x02the-state"
_MESSAGE: Final = "\x02the-message"


@dataclass(frozen=True, slots=True)
class _Server:
    """What `$mock` is where no server is asked."""

    request_id: str
    base_url: str
    path: str
    now: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where an answer about a task says what, as tokens of a JSON Pointer; None where it does not.

    `created` and `updated` are times of the provider's clock.
    """

    id: Pointer | None = None
    state: Pointer | None = None
    message: Pointer | None = None
    created: Pointer | None = None
    updated: Pointer | None = None


def rendered(
    answering: Operation,
    task: Task,
    maker: Operation,
    *,
    at: int,
    shown: str | None = None,
    server: str = "http://127.0.0.1",
    body: Json = MISSING,
) -> Json:
    """Return the body that an operation answers with about a task at a time (milliseconds); MISSING for none.

    `maker` is the operation that made the task, `shown` the word for its state where another is wanted.
    """
    view = TaskView(task, maker, at, shown=shown)
    for content in answering.response.contents:
        render = content.bodies.get(view.phase)
        if render is not None:
            request = HttpRequest(method=answering.method, path=answering.path)
            mock = _Server(request_id=task.request_id, base_url=server, path=answering.path, now=at)
            return render(Scope(request=request, body=body, path={}, task=view, mock=mock))
    return MISSING


def places(answering: Operation, maker: Operation) -> Mapping[str, Places]:
    """Return where an operation's answers about the tasks of `maker` say what, by state."""
    lifecycle = maker.lifecycle
    if lifecycle is None:
        return {}
    found = {}
    for state in lifecycle.states:
        course: Timeline = ((0, state),)
        if state != lifecycle.initial:
            course = ((0, lifecycle.initial), (_LASTED, state))
        task = Task(
            id=_ID,
            provider="",
            operation=maker.id,
            account="",
            request_id="",
            created=_CREATED,
            timeline=course,
            failure=_MESSAGE,
            shape=Shape(width=16, height=9, fps=1, frames=1, seconds=1.0),
        )
        body = rendered(answering, task, maker, at=_CREATED + _LASTED, shown=_STATE)
        if body is not MISSING:
            found[state] = _places(body, _CREATED + course[-1][0])
    return found


def _places(body: Json, updated: int) -> Places:
    known: dict[str, Pointer] = {}
    for pointer, value in leaves(body):
        if value == _ID:
            known.setdefault("id", pointer)
        elif value == _STATE:
            known.setdefault("state", pointer)
        elif value == _MESSAGE:
            known.setdefault("message", pointer)
        elif _is_time(value, _CREATED):
            # The first of two that are the same: it is made before it changes.
            known.setdefault("created", pointer)
        elif _is_time(value, updated):
            known.setdefault("updated", pointer)
    return Places(**known)


def leaves(value: Json, at: Pointer = ()) -> Iterator[tuple[Pointer, Json]]:
    """Yield pairs (pointer, value) of all parts of a JSON value that hold no others, the empty ones included."""
    if isinstance(value, Mapping) and value:
        for name, member in value.items():
            yield from leaves(member, (*at, str(name)))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*at, str(index)))
    else:
        yield at, value


def _is_time(value: Any, at: int) -> bool:
    texts = (str(at), str(at // 1000), iso(at), iso_naive(at))
    return isinstance(value, int | str) and not isinstance(value, bool) and to_text(value) in texts


def text_at(body: Json, pointer: Pointer | None) -> str | None:
    """Return the text or number that stands in an answer, as text; None where none does."""
    value = resolve_pointer(body, pointer) if pointer is not None else MISSING
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return to_text(value)
    return None


def time_at(body: Json, pointer: Pointer | None) -> int | None:
    """Return the time (milliseconds since 1970) that stands in an answer, however it is written; None for none.

    A number is taken for seconds where it would otherwise lie in 1970.
    """
    text = text_at(body, pointer)
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        number = int(text[:19])
        return number * 1000 if number < 100_000_000_000 else number
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp() * 1000)
