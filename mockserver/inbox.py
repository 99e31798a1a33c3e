"""A receiver of callbacks on a real socket, for many tenants at once: it writes down what comes, and answers as told.

Whoever waits for a call here is told by an :class:`Inbox`; whether time has to be moved for it is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import orjson

from mockserver.clock import stopwatch
from validator.contract.expressions import Json

HOST: Final = "127.0.0.1"
MOST_CALLS: Final = 10_000
"""Calls that one inbox keeps; the oldest go first."""

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of a body that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A callback as it arrived.

    `name` is that of the address it came to; `at_ms` the tenant's time, milliseconds since the epoch; `headers` have
    lower-case names; `answered` the status it was answered with.  `is_verified` says whether the signature is the
    provider's and not older or newer than five minutes; None where there is no signature.  `error` says what the
    function raised that was to answer, which counts as 500.
    """

    name: str
    at_ms: int
    method: str
    headers: Mapping[str, str]
    content: bytes
    answered: int
    is_verified: bool | None
    error: str = ""

    @property
    def json(self) -> Any:
        """Return the body as JSON; raises ValueError where it is none."""
        return orjson.loads(self.content)

    @property
    def body(self) -> Json:
        """Return the body as JSON, or as text where it is none."""
        try:
            value: Json = orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return self.content.decode("utf-8", "replace")
        return value

    @property
    def delivery(self) -> str | None:
        """Return the id of the delivery where it says one: a repeated one comes with the same."""
        return self.headers.get("webhook-id")

    @property
    def is_taken(self) -> bool:
        """Tell whether it was answered with success."""
        return 200 <= self.answered < 300

    def __str__(self) -> str:
        """Return the call in a line."""
        signed = {True: ", signed", False: ", wrongly signed", None: ""}[self.is_verified]
        error = f" ({self.error})" if self.error else ""
        content = self.content[:120].decode("utf-8", "replace")
        return f"{self.method} {self.name} -> {self.answered}{signed}{error}: {content}"


Reply = int | Callable[[Call], int]
"""What a call is answered with: a status, or a function that is given the call, in the thread of the receiver."""

Verify = Callable[[Mapping[str, str], bytes, int], bool | None]
"""(headers, body, tenant's time in milliseconds) -> is the signature right; None for no signature."""

Pump = Callable[[], str]
"""Moves a clock at rest on to what comes next: "moved", or "idle" where nothing comes; "runs" for one that runs."""

TURN_S: Final = 0.05
"""Real seconds between two looks, where time passes by itself."""


class Inbox:
    """The calls to one tenant's addresses, oldest first.  Answers 200 unless told otherwise."""

    def __init__(self, base: str, *, now: Callable[[], int], verify: Verify, pump: Pump) -> None:
        """Take calls below this URL; `now` returns the tenant's time in milliseconds."""
        self._base, self._now, self._verify, self._pump = base, now, verify, pump
        self._calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self._planned: dict[str, deque[Reply]] = {}
        self._always: dict[str, Reply] = {}
        self._changed = threading.Condition()
        self._answering = threading.local()

    @property
    def is_answering(self) -> bool:
        """Tell whether this thread runs a function that is to answer a call."""
        return getattr(self._answering, "is_so", False)

    @property
    def url(self) -> str:
        """Return the address to ask for callbacks at."""
        return self.url_for("hook")

    def url_for(self, name: str) -> str:
        """Return an address of its own, for tests with several receivers; `calls_to(name)` has its calls."""
        if name in ("", ".", "..") or "/" in name or "?" in name:
            raise ValueError(
                f"'{name}': an address is named by a text without / and ?, and not by dots alone"
            )
        return f"{self._base}/{quote(name, safe='')}"

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return every call, oldest first."""
        with self._changed:
            return tuple(self._calls)

    def calls_to(self, name: str = "hook") -> tuple[Call, ...]:
        """Return the calls to one address, oldest first."""
        return tuple(one for one in self.calls if one.name == name)

    def respond_with(self, reply: Reply, *, times: int | None = None, name: str = "") -> None:
        """Answer so: the next `times` calls, one plan behind the other, or from now on all that no plan is for.

        `name` speaks of one address, "" of all.  A reply is a status, or a function of the call that returns one and
        runs in another thread: the handler of the program under test, for example.
        """
        if isinstance(reply, int) and not 200 <= reply <= 599:
            raise ValueError(f"{reply} is no status to answer with; write 200 to 599")
        if times is not None and times < 1:
            raise ValueError(f"times {times}: must be at least 1")
        with self._changed:
            if times is None:
                self._always[name] = reply
            else:
                self._planned.setdefault(name, deque()).extend([reply] * times)

    def clear(self) -> None:
        """Forget the calls and what was to be answered."""
        with self._changed:
            self._calls.clear()
            self._planned.clear()
            self._always.clear()

    def wait_for(
        self, what: int | Callable[[Call], bool] = 1, *, timeout: float = 10.0, name: str | None = None
    ) -> Call:
        """Return a call once it is there: the n-th since the beginning, or the first for which a function holds.

        A clock at rest is moved on, event by event, until it comes or nothing is to come any more; one that runs is
        waited for, at most `timeout` real seconds.  `name` looks at one address only.  Raises AssertionError.
        """
        __tracebackhide__ = True
        if not callable(what) and what < 1:
            raise ValueError(f"{what}: the first call is number 1")
        began = stopwatch()
        while True:
            found = self._found(what, name)
            if found is not None:
                return found
            how = self._pump()
            if how == "idle":
                # What was answered in time was written down before; one that hangs may be on its way.
                found = self._found(what, name)
                if found is not None:
                    return found
                raise AssertionError(self._missing(what, name, "and nothing more is to come"))
            if stopwatch() - began > timeout:
                raise AssertionError(self._missing(what, name, f"within {timeout:g} s"))
            if how == "runs":
                with self._changed:
                    self._changed.wait(TURN_S)

    def _found(self, what: int | Callable[[Call], bool], name: str | None) -> Call | None:
        calls = [one for one in self.calls if name in (None, one.name)]
        if callable(what):
            return next((one for one in calls if what(one)), None)
        return calls[what - 1] if len(calls) >= what else None

    def _missing(self, what: int | Callable[[Call], bool], name: str | None, why: str) -> str:
        calls = [one for one in self.calls if name in (None, one.name)]
        wanted = "a call as wanted" if callable(what) else f"call {what}"
        place = f" to '{name}'" if name is not None else ""
        lines = [f"{wanted}{place} did not come, {why}; there were {len(calls)}"]
        lines += [f"  {one}" for one in calls[-10:]]
        if not self.calls:
            lines.append(f"  (a request asks for callbacks by naming {self.url})")
        return "\n".join(lines)

    def take(self, name: str, method: str, headers: Mapping[str, str], content: bytes) -> int:
        """Write a call down and return the status to answer with; called by the receiver."""
        at = self._now()
        is_verified = self._verify(headers, content, at)
        with self._changed:
            reply = self._next_reply(name)

        taken = Call(
            name=name,
            at_ms=at,
            method=method,
            headers=headers,
            content=content,
            answered=reply if isinstance(reply, int) else 200,
            is_verified=is_verified,
        )
        if not isinstance(reply, int):
            self._answering.is_so = True
            try:
                taken = _answered(taken, reply)
            finally:
                self._answering.is_so = False
        with self._changed:
            self._calls.append(taken)
            self._changed.notify_all()
        return taken.answered

    def _next_reply(self, name: str) -> Reply:
        for key in (name, ""):
            planned = self._planned.get(key)
            if planned:
                return planned.popleft()
        return self._always.get(name, self._always.get("", 200))


def _answered(call: Call, reply: Callable[[Call], int]) -> Call:
    """Return a call with what a function makes of it."""
    try:
        status: Any = reply(call)
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise TypeError(f"the function that answers returned {status!r}; a status is wanted, 200 to 599")
    except BaseException as error:
        # A receiver that dies answers 500, and its test is told why; what pytest.fail raises is no Exception.
        return replace(call, answered=500, error=f"{type(error).__name__}: {error}")
    return replace(call, answered=int(status))


class Receiver:
    """A socket that takes calls for inboxes; a thread each, so that one that is slow holds up no other."""

    def __init__(self) -> None:
        """Open any port of this machine."""
        self._inboxes: dict[str, Inbox] = {}
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._server = _Server((HOST, 0), Handler)
        self.origin = f"http://{HOST}:{self._server.server_address[1]}"
        self._is_over = False
        self._thread = threading.Thread(target=self._serve, name="inbox", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # Not the library's own loop: that looks every so often whether it is to end, and its end waits for the look.
        while not self._is_over:
            self._server.handle_request()

    def open(self, tenant: str, *, now: Callable[[], int], verify: Verify, pump: Pump) -> Inbox:
        """Return the inbox of a tenant, new and empty."""
        inbox = Inbox(f"{self.origin}/{quote(tenant, safe='')}", now=now, verify=verify, pump=pump)
        self._inboxes[tenant] = inbox
        return inbox

    def close(self, tenant: str) -> None:
        """Take no more calls for a tenant: they are answered with 410, which ends its retries."""
        self._inboxes.pop(tenant, None)

    def find(self, tenant: str) -> Inbox | None:
        """Return the inbox of a tenant."""
        return self._inboxes.get(tenant)

    def stop(self) -> None:
        """Close the port."""
        self._is_over = True
        # It waits for a connection; this is the last one.
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self._server.server_port), 1.0).close()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that are kept open by the sender must not keep us from ending.
    block_on_close = False
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    owner: Receiver

    def handle(self) -> None:
        """Serve a connection; one that the other side ends is no error."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _take(self) -> None:
        parts = urlsplit(self.path).path.split("/")
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_BYTES or "transfer-encoding" in self.headers:
            self.close_connection = True
            self._answer(411)
            return
        content = self.rfile.read(int(length))
        tenant = unquote(parts[1]) if len(parts) > 1 else ""
        inbox = self.owner.find(tenant)
        if inbox is None:
            self._answer(410)
            return
        name = unquote("/".join(parts[2:]))
        headers = {key.lower(): value for key, value in self.headers.items()}
        try:
            status = inbox.take(name, self.command, headers, content)
        except Exception:
            if self.owner.find(tenant) is inbox:
                raise
            # Its world was closed while the call arrived.
            status = 410
        self._answer(status)

    do_POST = do_PUT = do_PATCH = do_GET = do_DELETE = do_HEAD = _take  # noqa: N815 - names of the library

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the inbox has it."""
