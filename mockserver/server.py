"""A real socket for the application: quick to start, quick to stop, and a greeting that says how to use it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gc
import hashlib
import hmac
import json
import re
import shlex
import signal
import socket
import struct
import threading
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import replace
from typing import Any, Final

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server

from mockserver.app import ADMIN, App, load_contracts
from mockserver.artifacts import can_make_clips
from mockserver.clock import wall_ms
from mockserver.faults import CUT
from mockserver.limits import number
from mockserver.log import RequestLog
from mockserver.settings import WELL_KNOWN_SECRET, SettingError, Settings
from mockserver.visits import LATE, WHOLE
from mockserver.wallets import money_of
from mockserver.wire import HeaderList
from validator.contract.model import Contract, Credential, Operation
from validator.printing import plural
from validator.report import printable

STOP_S: Final = 5.0
"""Seconds that requests under way get to finish when the server stops."""

MOST_HEAD_BYTES: Final = 64 * 1024
"""Bytes of a head that may come after its first piece; the parser itself would read on for ever."""

MOST_HEADERS: Final = 1_000
"""Lines of a head; each costs more than its text."""

MOST_REST_BYTES: Final = 16 * 1024 * 1024
"""Bytes that may come behind an answer that did not wait for them."""

WRAPPING: Final = 16
"""Bytes around each byte of a body in chunks; one byte a chunk takes six."""

PATIENCE_S: Final = 15.0
"""Seconds between two looks at a connection; a head that is open at both is too slow."""

LEAST_RATE: Final = 500
"""Bytes a second, sent or taken, that keep a connection on which something is under way."""

IDLE_LOOKS: Final = 5
"""Looks after which a connection is closed on which nothing was ever asked."""

SPARE_DESCRIPTORS: Final = 64
"""Files and sockets that are neither connections nor callbacks: the store, the log, the port."""

MOST_CONNECTIONS: Final = 8_192
"""Connections at once where the system does not say how many the process may have."""

_END: Final = b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout" + _END
_HEAD_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large" + _END
_FULL: Final = b"HTTP/1.1 503 Service Unavailable" + _END

HALF_S: Final = 0.5
"""Seconds of these that half a request gets to become a whole one."""

DEMO_ACCOUNT: Final = "understudy-demo"

MOST_NOTES: Final = 20
"""Notes on recordings that the greeting shows."""


class _OneWrite:
    """A transport that sends what was written in one turn of the loop at once.

    Head and body of an answer may be written apart; together they cost one call of the system and one packet
    instead of two.  And what was asked in one turn is answered at its end: a client that is woken by each answer
    alone asks again at once, and every turn of the loop has less to do.
    """

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep a part; the first of a turn asks for all to be sent at its end."""
        self._parts.append(data)
        if len(self._parts) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    @property
    def is_waiting(self) -> bool:
        """Tell whether something was written in this turn of the loop."""
        return bool(self._parts)

    def cut(self, is_reset: bool) -> None:
        """End the connection: with a reset, or after what was written so far."""
        if is_reset:
            self._parts = []
            with contextlib.suppress(OSError, AttributeError):
                # What is not sent yet is dropped, and the other side is told so (RST).
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        elif not self._transport.is_closing():
            self.close()

    def close(self) -> None:
        """Send what is waiting, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _answer(cycle: RequestResponseCycle, status: int, headers: HeaderList, body: bytes) -> bool:
    """Send an answer that is whole, with a content-length; false where it has to go the usual way.

    What uvicorn's `send` does in two calls and with a check of every header, for headers that are our own.
    """
    if cycle.flow.write_paused or cycle.disconnected or cycle.response_started:
        return False
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
    parts.append(body)
    transport: Any = cycle.transport
    transport.write(b"".join(parts))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
    return True


@types.coroutine
def _resumed(running: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was begun without a task, from what it waits for."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:
                waits_for = running.throw(error)
            else:
                waits_for = running.send(sent)
        except StopIteration:
            return


class QuickProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol for answers that are ready at once, as nearly all of a provider's are.

    A request is begun when its body is there, and without a task: only one that has to wait (for a commit, for
    the rest of a large body) gets a task, where it stands.  What is ours and not a provider's may need one.
    """

    config: QuickConfig
    _held: tuple[RequestResponseCycle, Any] | None = None
    _open_head: Any = None
    _head_bytes = 0
    _open_body: Any = None
    _body_bytes = _wrapping_bytes = 0
    _received = 0
    _seen: tuple[Any, int] = (None, 0)
    _idle_looks = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, at the expense of one that nobody uses where there are too many."""
        super().connection_made(_OneWrite(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]
        if len(self.connections) > self.config.most_connections and not self._make_room():
            self._end(_FULL)

    def _make_room(self) -> bool:
        """Close a tenth of the connections at rest, so that this is not asked for again at once."""
        known: Any = self.connections
        at_rest = [one for one in known if one is not self and one.is_at_rest]
        for one in at_rest[: self.config.most_connections // 10 + 1]:
            one.transport.close()
            self.connections.discard(one)
        return bool(at_rest)

    @property
    def is_at_rest(self) -> bool:
        """Tell whether nothing is under way, and for some time, or after an answer."""
        if self.transport.is_closing():
            return False
        has_rested = self._idle_looks > 0 and self._waits_for()[0] is self
        return has_rested or self.timeout_keep_alive_task is not None

    def _end(self, answer: bytes = b"") -> None:
        if answer and not self.transport.is_closing():
            self.transport.write(answer)
        self.transport.close()

    # --- slow clients

    def look(self) -> None:
        """Give up a client that keeps us waiting: that does not send what it began, or does not take its answer.

        The server calls this every few seconds.  What is waited for at two looks running is judged.
        """
        what, done = self._waits_for()
        before, self._seen = self._seen, (what, done)
        self._idle_looks = self._idle_looks + 1 if what is self else 0
        if what is None or what is not before[0]:
            return
        is_moving = done - before[1] >= LEAST_RATE * self.config.patience_s
        if what is self:
            if self._idle_looks > IDLE_LOOKS:
                self._end()
        elif what is self.transport:
            if not is_moving:
                self.transport.abort()
        elif what is self.scope:
            self._end(_TOO_SLOW)
        elif not is_moving:
            self._give_up_body()

    def _waits_for(self) -> tuple[Any, int]:
        """Return (what the client is to do, how much of it is done): a thing that stays the same while it lasts.

        The transport, which is to be emptied; the scope of a head, or the cycle of a body, that is to come; this
        connection, on which something is to be asked; None where it is not the client who is waited for.
        """
        scope: Any = self.scope
        cycle: Any = self.cycle
        if self.transport.is_closing() or self.flow.write_paused:
            return self.transport, -self.transport.get_write_buffer_size()
        if scope is not None and "path" not in scope:
            return scope, 0
        if cycle is not None and cycle.more_body:
            # What we do not read cannot come.
            return (None, 0) if self.flow.read_paused or self.pipeline else (cycle, self._received)
        is_busy = cycle is not None and not cycle.response_complete
        return (None, 0) if is_busy or self.timeout_keep_alive_task is not None else (self, 0)

    def _give_up_body(self) -> None:
        """Let a provider answer that the body does not come; end what is not a provider's."""
        cycle = self.cycle
        scope: Any = cycle.scope
        if LATE in scope or "/__" in scope["path"] or cycle.response_started:
            self._end(b"" if cycle.response_started else _TOO_SLOW)
            return
        scope[LATE] = True
        cycle.keep_alive = False
        cycle.message_event.set()

    # --- requests

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope
        if len(scope["headers"]) > MOST_HEADERS:
            self._end(_HEAD_TOO_LARGE)
        elif "/__" in scope["path"]:
            self._start_task(cycle, app)
        elif cycle.more_body:
            self._held = (cycle, app)
        else:
            self._begin(cycle, app)

    def _start_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope
        transport: Any = self.transport
        scope["extensions"] = {CUT: transport.cut}
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """Begin a request whose body has arrived with its head."""
        super().on_message_complete()
        held, self._held = self._held, None
        if held is not None:
            self._begin(*held)

    def data_received(self, data: bytes) -> None:
        """Read what arrived; a request whose body takes longer begins and waits for it."""
        self._received += len(data)
        cycle = self.cycle
        if cycle is not None and cycle.more_body:
            self._read_body(cycle, data)
        else:
            super().data_received(data)
        held, self._held = self._held, None
        if held is not None:
            self._start_task(*held)
        scope: Any = self.scope
        if scope is None or "path" in scope:
            return
        # A head has begun and not ended; what came before its first piece belongs to others.
        if scope is not self._open_head:
            self._open_head, self._head_bytes = scope, 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self._end(_HEAD_TOO_LARGE)

    def _read_body(self, cycle: RequestResponseCycle, data: bytes) -> None:
        """Read more of a body, and end one that is nothing but wrapping: notes on chunks, lines behind the last."""
        if cycle is not self._open_body:
            self._open_body, self._body_bytes, self._wrapping_bytes = cycle, 0, 0
        before = len(cycle.body)
        super().data_received(data)
        if cycle is not self.cycle or not cycle.more_body:
            return
        body = len(cycle.body) - before
        self._body_bytes += body
        self._wrapping_bytes += len(data) - body
        most = MOST_REST_BYTES if cycle.response_complete else MOST_HEAD_BYTES + WRAPPING * self._body_bytes
        if self._wrapping_bytes > most:
            self._end(b"" if cycle.response_started else _HEAD_TOO_LARGE)

    def on_response_complete(self) -> None:
        """Begin the next of those that queue, even if its body is still to come: it may wait for a 100."""
        is_next = bool(self.pipeline)
        super().on_response_complete()
        if self.pipeline:
            # With each answer uvicorn reads on, thousands of requests at a time; those that are here come first.
            self.flow.pause_reading()
        if is_next and self._held is not None:
            held, self._held = self._held, None
            self._start_task(*held)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        transport: Any = self.transport
        if transport.is_waiting:
            # One that came behind another, in the same piece.  One answer a turn: a thousand of them would hold up
            # everybody else, and nobody would see that the client does not read what it asked for.
            self.loop.call_soon(self._begin, cycle, app)
            return
        if not cycle.more_body:
            scope: Any = cycle.scope
            answer = functools.partial(_answer, cycle)
            scope["extensions"] = {WHOLE: (bytes(cycle.body), answer), CUT: transport.cut}
        running = cycle.run_asgi(app)
        try:
            waits_for = running.send(None)
        except StopIteration:
            return
        task = self.loop.create_task(_resumed(running, waits_for))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


class QuickConfig(uvicorn.Config):
    """What uvicorn is told, and how patient the server is."""

    patience_s: float = PATIENCE_S
    most_connections: int = MOST_CONNECTIONS


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class QuickServer(Server):
    """uvicorn's server without its pauses: it stops when it is told to, not at the next tenth of a second."""

    def __init__(
        self,
        config: QuickConfig,
        *,
        on_ready: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `on_ready` once the port answers, `on_stop` before requests that are under way are waited for."""
        super().__init__(config)
        self._patience_s = config.patience_s
        self._on_ready, self._on_stop = on_ready, on_stop
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Stop serving; a second time, without waiting for anybody."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, and end as an ordinary program does, with exit code 0."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as handlers:
            # In another thread no signals arrive: whoever embeds the server stops it.
            for number in (signal.SIGINT, signal.SIGTERM) if _is_main_thread() else ():
                # Windows has no such handlers; there Ctrl+C ends the loop.
                with contextlib.suppress(NotImplementedError):
                    loop.add_signal_handler(number, self.stop)
                    handlers.callback(loop.remove_signal_handler, number)
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def main_loop(self) -> None:
        """Keep the date header fresh, and slow clients from staying, until the server is told to stop."""
        looking = asyncio.create_task(self._look())
        try:
            while not await self.on_tick(0):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), timeout=1.0)
        finally:
            looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._patience_s)
            for connection in list(self.server_state.connections):
                assert isinstance(connection, QuickProtocol)
                connection.look()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, let requests finish, then the application."""
        for server in self.servers:
            server.close()
        self._on_stop()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        cut_off = asyncio.get_running_loop().call_later(HALF_S, self._cut_off)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        cut_off.cancel()
        await self.lifespan.shutdown()

    def _cut_off(self) -> None:
        """Close connections with half a request on them: whoever sends it may never send the rest.

        And those of streams that nobody reads, which were told that it is over.
        """
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is None:
                continue
            is_stream = cycle.scope["path"].endswith(f"{ADMIN}/events")
            if (cycle.more_body and not cycle.response_complete) or is_stream:
                connection.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket, port 0 for any; raises SettingError with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        hint = "another program has it; choose another with --port, or 0 for any" if error.errno == 98 else ""
        raise SettingError(
            f"{host}:{port} cannot be used: {error.strerror}" + (f" ({hint})" if hint else "")
        ) from None
    made.setblocking(False)
    return made


def make_server(
    app: App,
    *,
    on_ready: Callable[[], None] = lambda: None,
    patience_s: float = PATIENCE_S,
    most_connections: int | None = None,
    protocol: type[QuickProtocol] = QuickProtocol,
    has_date: bool = True,
) -> QuickServer:
    """Return the server of an application; run it with :func:`run` or serve it in a loop of one's own.

    `patience_s` is the time between two looks at slow clients; `most_connections` by default half of what the
    process may open, callbacks having the other half.  `has_date` false leaves the header Date to the application.
    """
    config = QuickConfig(
        app,
        http=protocol,
        ws="none",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=has_date,
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=75,
        # Callers have bound what they send by our own limits; the parser's own buffer stays small.
        h11_max_incomplete_event_size=64 * 1024,
    )
    config.patience_s = patience_s
    config.most_connections = most_connections or connections_at_once()
    return QuickServer(config, on_ready=on_ready, on_stop=app.let_go)


def connections_at_once() -> int:
    """Return how many connections there may be at a time."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(SPARE_DESCRIPTORS, soft // 2 - SPARE_DESCRIPTORS) if soft > 0 else MOST_CONNECTIONS


def raise_descriptors(most: int = 16_384) -> None:
    """Let the process open as many files and sockets as it may, up to `most`."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(settings: Settings, *, say: Callable[[str], None], is_coloured: bool) -> None:
    """Serve until told to stop.  Raises SpecError, SettingError, StoreError before the port is open."""
    contracts = load_contracts(settings)
    sock = listen(settings.host, settings.port)
    raise_descriptors()
    bound = replace(settings, port=sock.getsockname()[1])
    app = App(bound, contracts, request_log=RequestLog(bound.log, is_coloured=is_coloured))

    run_app(app, sock, on_ready=lambda: say(greeting(app, is_coloured=is_coloured)))
    summary = farewell(app)
    if summary:
        say(summary)


def run_app(
    app: App,
    sock: socket.socket,
    *,
    on_ready: Callable[[], None],
    protocol: type[QuickProtocol] = QuickProtocol,
    has_date: bool = True,
) -> None:
    """Serve an application on a bound socket until told to stop, and close its store."""

    async def serve() -> None:
        server = make_server(app, on_ready=on_ready, protocol=protocol, has_date=has_date)
        await server.serve(sockets=[sock])

    # What was made so far stays, and need not be looked through again and again.  What comes later is let go by
    # reference count; only knots need the collector, which need not run for every few hundred objects.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())
    app.backend.store.close()


def loop_factory() -> Any:
    """Return what makes an event loop here, None for the usual one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


# --- greeting ---------------------------------------------------------------------------------------------


def greeting(app: App, *, is_coloured: bool = False) -> str:
    """Return what a user needs to begin: base URLs, credentials, a line to paste for each, the admin URL."""
    settings = app.settings
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    origin = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    bold = (lambda text: f"\x1b[1m{text}\x1b[0m") if is_coloured else str
    count = len(app.backend.contracts)
    lines = [f"Understudy serves {count} {'provider' if count == 1 else 'providers'}; offline and free.", ""]
    for name, contract in app.backend.contracts.items():
        lines.append(f"  {bold(name)}  {contract.title}")
        lines.append(f"    base URL     {origin}/{name}{contract.base_path}")
        lines += [f"    credential   {line}" for line in _credential_lines(settings, contract)]
        lines.append(f"    try          {curl_line(settings, contract, origin)}")
        signed = _signing_line(settings, contract)
        if signed:
            lines.append(f"    webhooks     {signed}")
        lines.append("")
    lines.append(f"  admin          {origin}{ADMIN}/health  (clock, tasks, requests, deliveries)")
    clock = "real time" if settings.speed == 1 else f"{settings.speed:g} times as fast"
    progress = {
        "time": clock,
        "polls": f"{settings.polls_per_step} reads a step",
        "manual": "only the admin API",
    }
    lines.append(f"  tasks move by  {progress[settings.progress]}; kept in {settings.store}")
    replays = app.backend.replays
    if replays is not None:
        lines.append(f"  replays        {plural(replays.count, 'recorded task')}")
        # Somebody else may have made the recording.
        lines += [f"                 {printable(note)}" for note in replays.notes[:MOST_NOTES]]
        if len(replays.notes) > MOST_NOTES:
            lines.append(f"                 and {plural(len(replays.notes) - MOST_NOTES, 'note')} more")
    if not can_make_clips():
        lines.append(
            "  results        one packaged clip; pip install 'understudy[media]' for videos made to measure"
        )
    return "\n".join(lines)


def farewell(app: App) -> str:
    """Return how many tasks ran and what they would have cost, by provider; "" where none ran."""
    rows: list[tuple[str, ...]] = [
        ("provider", "tasks", "succeeded", "failed", "canceled", "unfinished", "units", "money")
    ]
    for name, costs in app.totals.items():
        if not costs.tasks:
            continue
        money = money_of(app.backend.contracts[name])
        counts = (costs.tasks, costs.succeeded, costs.failed, costs.canceled, costs.running)
        worth = "" if money is None else f"{number(money.worth(costs.used))} {money.currency}"
        held = f" (+{number(costs.reserved)} reserved)" if costs.reserved else ""
        rows.append((name, *(str(count) for count in counts), f"{number(costs.used)}{held}", worth))
    if len(rows) == 1:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = (
        "  ".join(
            cell.ljust(width) if column in (0, len(row) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(["", "What these tasks would have cost:", "", *(f"  {line.rstrip()}" for line in table)])


def _credential_lines(settings: Settings, contract: Contract) -> list[str]:
    keys = settings.keys(contract.id).keys
    seen = {one.name: one for operation in contract.operations.values() for one in operation.credentials}
    accepted = f"the {len(keys)} configured" if keys else "anything well formed"
    lines = []
    for credential in seen.values():
        form = "<key>"
        if credential.is_bearer:
            form = "Bearer <key>"
        if credential.jwt is not None:
            form = f"Bearer <JWT with {', '.join(credential.jwt.claims)}>"
            form += " or an API key" if credential.jwt.opaque else ""
        lines.append(f"{credential.header}: {form}  ({accepted})")
    return lines


def _signing_line(settings: Settings, contract: Contract) -> str:
    signatures = [
        callback.signature
        for operation in contract.operations.values()
        for callback in operation.callbacks
        if callback.signature is not None
    ]
    if not signatures:
        return ""
    if contract.id in settings.secrets:
        return "signed with the configured secret"
    if any(one.is_always for one in signatures):
        return f"signed with the secret {WELL_KNOWN_SECRET}  (yours: --webhook-secret {contract.id}=...)"
    return f"not signed; --webhook-secret {contract.id}=whsec_... turns that on"


def curl_line(settings: Settings, contract: Contract, origin: str, *, address: str = "") -> str:
    """Return a shell line that creates a task on this server; `address`, where given, is told of it."""
    operation = next(one for one in contract.operations.values() if one.role == "create")
    header, value = sample_credential(settings, contract, operation)
    body: Any = min(_examples(contract, operation), key=lambda one: len(orjson.dumps(one)), default={})
    parts = ["curl", "-s", f"{origin}/{contract.id}{operation.path}", "-H", f"{header}: {value}"]
    for callback in operation.callbacks if address else ():
        source, _, name = callback.url_expression.strip("{}").rpartition(
            "/" if "#/" in callback.url_expression else "."
        )
        if source.endswith("#"):
            body = body | {name: address}
        else:
            parts += ["-H", f"{name}: {address}"]
    parts += ["-H", "Content-Type: application/json", "-d", json.dumps(body, ensure_ascii=False)]
    return shlex.join(parts)


def _examples(contract: Contract, operation: Operation) -> list[Any]:
    for item in contract.document.root["paths"].values():
        for node in item.values():
            if isinstance(node, dict) and node.get("operationId") == operation.id:
                body, _ = contract.document.resolve(node.get("requestBody", {}))
                examples = body.get("content", {}).get("application/json", {}).get("examples", {})
                return [contract.document.resolve(one)[0]["value"] for one in examples.values()]
    return []


def sample_credential(settings: Settings, contract: Contract, operation: Operation) -> tuple[str, str]:
    """Return (header, value) that this server accepts, a placeholder where keys are configured."""
    credential = operation.credentials[0]
    name = "Authorization" if credential.is_bearer else credential.header
    if settings.keys(contract.id).keys:
        return name, "Bearer YOUR-KEY" if credential.is_bearer else "YOUR-KEY"
    key = _sample_key(credential)
    return name, f"Bearer {key}" if credential.is_bearer else key


def _sample_key(credential: Credential) -> str:
    """Return a key in the form that is asked for: one that nobody has, or else a token for a day."""
    if credential.jwt is None:
        return DEMO_ACCOUNT
    if credential.jwt.opaque is not None:
        for length in range(len(DEMO_ACCOUNT), 129):
            key = (DEMO_ACCOUNT + "-" + "0" * length)[:length]
            if re.search(credential.jwt.opaque, key):
                return key
    now = wall_ms() // 1000
    claims = {credential.jwt.account: DEMO_ACCOUNT, "exp": now + 86_400, "nbf": now - 5}
    signed = ".".join(_part(one) for one in ({"alg": credential.jwt.algorithms[0], "typ": "JWT"}, claims))
    mac = hmac.new(DEMO_ACCOUNT.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")
