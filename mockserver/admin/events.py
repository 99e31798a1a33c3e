"""What happens, as it happens: server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from mockserver.admin.bodies import hung_up, read_query, read_seconds
from mockserver.admin.control import Control, Route
from mockserver.events import Events, Listener
from mockserver.tenants import Tenant
from mockserver.visits import AsgiScope, Receive, Send

HEARTBEAT_S: Final = 15.0
"""Real seconds without an event after which a comment is sent, so that either side sees when the other has gone."""

LAST_WORD_S: Final = 0.25
"""Real seconds that a listener who does not read gets to take the reason why it was left behind."""

_MEDIA_TYPE: Final = "text/event-stream"


async def get_events(control: Control, tenant: Tenant, request: Request) -> Response:
    """Answer GET /events."""
    asked = read_query(request, "getEvents")
    if request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPE)
    after = request.headers.get("last-event-id") or asked["after"] or ""
    whose = None if asked["of"] == "all" else tenant
    listener, has_missed = control.events.listen(whose, after)
    for_s = None if asked["for"] is None else read_seconds(asked["for"])
    return _Stream(control.events, listener, request, for_s=for_s, has_missed=has_missed)


class _Stream(Response):
    """A listener's events, until it hangs up, is too slow, its time is over or the server stops."""

    media_type = _MEDIA_TYPE

    def __init__(
        self, events: Events, listener: Listener, request: Request, *, for_s: float | None, has_missed: bool
    ) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._events, self._listener, self._request = events, listener, request
        self._for_s, self._has_missed = for_s, has_missed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send until it is over."""
        listener = self._listener
        gone = asyncio.ensure_future(hung_up(self._request))
        gone.add_done_callback(lambda _: listener.end("hung up"))
        timer = None
        if self._for_s is not None:
            timer = asyncio.get_running_loop().call_later(
                self._for_s, listener.end, "that was the time asked for"
            )
        try:
            await self._run(scope, receive, send)
        finally:
            gone.cancel()
            if timer is not None:
                timer.cancel()
            self._events.leave(listener)

    async def _run(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        listener = self._listener
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        opening = b"retry: 1000\n\n"
        if self._has_missed:
            opening += b'event: gap\ndata: {"why": "events after the id named are no longer kept"}\n\n'
        if not await self._until_over(
            send({"type": "http.response.body", "body": opening, "more_body": True})
        ):
            return
        while not listener.over.done():
            chunk = self._waiting()
            if not chunk:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await listener.news.wait()
                    continue
                except TimeoutError:
                    chunk = b":\n\n"
            sending = send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not await self._until_over(sending):
                break
        last = self._waiting() + f": {listener.over.result()}\n\n".encode()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await send({"type": "http.response.body", "body": last, "more_body": False})

    def _waiting(self) -> bytes:
        """Return all events that wait, as one piece."""
        listener = self._listener
        parts: list[bytes] = []
        while listener.waiting:
            news = listener.waiting.popleft()
            head = f"id: {self._events.id_of(news)}\nevent: {news.kind}\ndata: "
            parts += (head.encode(), news.data, b"\n\n")
        listener.news.clear()
        return b"".join(parts)

    async def _until_over(self, sending: Awaitable[None]) -> bool:
        """Wait until something is sent, true, or it is over, false: a client that does not read takes for ever."""
        task = asyncio.ensure_future(sending)
        await asyncio.wait((task, self._listener.over), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        task.cancel()
        return False


ROUTES: Final[tuple[Route, ...]] = (("GET", "/events", get_events),)
