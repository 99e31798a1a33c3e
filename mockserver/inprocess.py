"""A call of the application without a socket: the same ASGI messages that a server would make of a request.

The application runs in its own loop, the caller in whatever thread it likes.  What a real connection can do to an
answer is said by messages too: it ends in the middle, or at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from mockserver.app import App
from mockserver.faults import CUT, ConnectionCutError

END: Final = "understudy.end"
"""The type of the last message of every answer: how the connection ended."""


class Wanted(NamedTuple):
    """A request: `target` is the path with its query, percent-encoded, headers as they go over the wire."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    scheme: str = "http"


class Told(NamedTuple):
    """A whole answer."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Exchange:
    """One request under way in the loop of an application.

    `tell` is called in that loop with each message of the answer, and at last with one of type END, whose `how` is
    "whole", "cut", "reset", or the exception that the application died of.
    """

    def __init__(self, app: App, wanted: Wanted, tell: Callable[[dict[str, Any]], None]) -> None:
        """Prepare it; :meth:`run` runs it."""
        self._app, self._wanted, self._tell = app, wanted, tell
        self._how: Any = "whole"
        self._has_body = False
        self._gone: asyncio.Event | None = None
        self._is_left = False

    async def run(self) -> None:
        """Answer the request; to be run in the loop of the application."""
        self._gone = asyncio.Event()
        if self._is_left:
            self._gone.set()
        try:
            await self._app(self._scope(), self._receive, self._send)
        except ConnectionCutError:
            self._how = "reset"
        except asyncio.CancelledError:
            self._how = "cut"
            raise
        except Exception as error:
            self._how = error
        finally:
            self._tell({"type": END, "how": self._how})

    def leave(self) -> None:
        """Hang up; to be called in the loop of the application."""
        self._is_left = True
        if self._gone is not None:
            self._gone.set()

    def _scope(self) -> dict[str, Any]:
        wanted = self._wanted
        path, _, query = wanted.target.partition(b"?")
        host = next((value for name, value in wanted.headers if name.lower() == b"host"), b"")
        name, _, port = host.decode("latin-1").rpartition(":")
        usual = 443 if wanted.scheme == "https" else 80
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": wanted.method,
            "scheme": wanted.scheme,
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in wanted.headers],
            "client": ("127.0.0.1", 0),
            "server": (name or host.decode("latin-1"), int(port) if port.isdigit() else usual),
            "extensions": {CUT: self._cut},
        }

    def _cut(self, is_reset: bool) -> None:
        self._how = "reset" if is_reset else "cut"

    async def _receive(self) -> dict[str, Any]:
        if not self._has_body:
            self._has_body = True
            return {"type": "http.request", "body": self._wanted.body, "more_body": False}
        assert self._gone is not None
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self._tell(message)


async def ask(app: App, wanted: Wanted) -> Told:
    """Return the whole answer to a request; in the loop of the application.  Raises what it dies of."""
    messages: list[dict[str, Any]] = []
    await Exchange(app, wanted, messages.append).run()
    how = messages[-1]["how"]
    if isinstance(how, Exception):
        raise how
    if how != "whole":
        raise ConnectionCutError("the answer was cut short")
    start, *parts = messages[:-1]
    return Told(start["status"], start["headers"], b"".join(part.get("body", b"") for part in parts))
