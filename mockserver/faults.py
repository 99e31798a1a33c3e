"""Bad connections: an answer that comes late, in pieces, cut short or not at all, on a real socket.

Only our own server can end a connection; elsewhere, as without a socket, :class:`ConnectionCutError` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mockserver.visits import Send
from mockserver.wire import Answer, Wire

CUT: Final = "understudy.cut"
"""The ASGI extension of our own server that ends the connection: (is it a reset) -> None."""

Cut = Callable[[bool], None]


class ConnectionCutError(ConnectionError):
    """The connection ends here, as a scenario wants it; there is nothing to answer."""


async def play(answer: Answer, wire: Wire, send: Send, cut: Cut | None, *, is_head: bool) -> None:
    """Send an answer the way the wire says; raises ConnectionCutError where nobody can end the connection."""
    if wire.delay_s:
        await asyncio.sleep(wire.delay_s)
    if wire.is_reset:
        _end(cut, is_reset=True)
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    body = b"" if is_head else answer.body
    sent = body if wire.kept is None else body[: int(len(body) * wire.kept)]
    pieces = _pieces(sent, wire.pieces)
    pause = wire.spread_s / len(pieces)
    for index, piece in enumerate(pieces):
        if pause:
            await asyncio.sleep(pause)
        is_last = index == len(pieces) - 1 and wire.kept is None
        await send({"type": "http.response.body", "body": piece, "more_body": not is_last})
    if wire.kept is not None:
        _end(cut, is_reset=False)


def _pieces(body: bytes, count: int) -> list[bytes]:
    """Return the body in so many pieces at most, at least one."""
    size = max(1, -(-len(body) // max(count, 1)))
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]


def _end(cut: Cut | None, *, is_reset: bool) -> None:
    if cut is None:
        raise ConnectionCutError("a scenario ends the connection here")
    cut(is_reset)
