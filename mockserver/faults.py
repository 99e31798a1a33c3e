"""Bad connections: an answer that comes late, in pieces, cut short or not at all, on a real socket.

Only our own server can end a connection; elsewhere, as without a socket, :class:`ConnectionCutError` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from mockserver.visits import Receive, Send
from mockserver.wire import Answer, Wire

CUT: Final = "understudy.cut"
"""The ASGI extension of our own server that ends the connection: (is it a reset) -> None."""

Cut = Callable[[bool], None]


class ConnectionCutError(ConnectionError):
    """The connection ends here, as a scenario wants it; there is nothing to answer."""


class Patience:
    """Those who wait for an answer that takes its time; a server that stops lets go of them."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        """Begin with nobody."""
        self._clients: set[asyncio.Task[None]] = set()

    def let_go(self) -> None:
        """End every answer that is still to come, as if its client had hung up."""
        for client in self._clients:
            client.cancel()

    @contextlib.contextmanager
    def client(self, receive: Receive) -> Iterator[_Client]:
        """Watch a client while it is made to wait."""
        gone = asyncio.get_running_loop().create_task(_hung_up(receive))
        self._clients.add(gone)
        try:
            yield _Client(gone)
        finally:
            gone.cancel()
            self._clients.discard(gone)


async def play(
    answer: Answer,
    wire: Wire,
    receive: Receive,
    send: Send,
    cut: Cut | None,
    patience: Patience,
    *,
    is_head: bool,
) -> None:
    """Send an answer the way the wire says, until the client hangs up.

    Raises ConnectionCutError where nobody can end the connection.
    """
    if wire.is_reset:
        _end(cut, is_reset=True)
        return
    if not wire.delay_s and not wire.spread_s:
        await _travel(answer, wire, send, cut, is_head=is_head)
        return
    with patience.client(receive) as client:
        if wire.delay_s and await client.is_gone_within(wire.delay_s):
            return
        await _travel(answer, wire, send, cut, client, is_head=is_head)


async def until_gone(waiting: Awaitable[None], receive: Receive, patience: Patience) -> None:
    """Wait for something, but not longer than the client does."""
    with patience.client(receive) as client:
        await client.stays_for(waiting)


class _Client:
    """The client of a request whose answer takes its time: without one there is nobody to keep it for."""

    __slots__ = ("_gone",)

    def __init__(self, gone: asyncio.Task[None]) -> None:
        self._gone = gone

    async def is_gone_within(self, seconds: float) -> bool:
        """Wait so long, or until the client hangs up; tell whether it did."""
        done, _ = await asyncio.wait((self._gone,), timeout=seconds)
        return bool(done)

    async def stays_for(self, waiting: Awaitable[None]) -> None:
        """Wait for something to end, or for the client to hang up."""
        other = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait((self._gone, other), return_when=asyncio.FIRST_COMPLETED)
        finally:
            other.cancel()
        if other.done():
            other.result()


async def _hung_up(receive: Receive) -> None:
    """Return when the client hangs up; what is left of its body is let go of."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _travel(
    answer: Answer,
    wire: Wire,
    send: Send,
    cut: Cut | None,
    client: _Client | None = None,
    *,
    is_head: bool,
) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    body = b"" if is_head else answer.body
    sent = body if wire.kept is None else body[: int(len(body) * wire.kept)]
    size = max(1, -(-len(sent) // max(wire.pieces, 1)))
    # Cut off one by one: a large file must not be there twice for everybody who waits for it.
    starts = range(0, max(len(sent), 1), size)
    pause = wire.spread_s / len(starts)
    for start in starts:
        if pause and client is not None and await client.is_gone_within(pause):
            return
        is_last = start == starts[-1] and wire.kept is None
        await send(
            {"type": "http.response.body", "body": sent[start : start + size], "more_body": not is_last}
        )
    if wire.kept is not None:
        _end(cut, is_reset=False)


def _end(cut: Cut | None, *, is_reset: bool) -> None:
    if cut is None:
        raise ConnectionCutError("a scenario ends the connection here")
    cut(is_reset)
