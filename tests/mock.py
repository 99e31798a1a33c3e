"""The server in process: a client without a socket, receivers that write down, and a time that waits for nobody.

Time stands still while a request is answered.  :meth:`Mock.wait` lets it pass: where nothing is ready to run,
the loop moves the wall clock on to its next timer instead of sleeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import selectors
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from mockserver.app import App
from mockserver.log import RequestLog
from mockserver.settings import Settings
from mockserver.store import Store
from tests.providers import contract

NOON = 1_767_268_800_000
"""2026-01-01 12:00 UTC, where the wall clock of a test begins, in milliseconds."""

HOST = "127.0.0.1:8700"
KEY = "toy-key-1"
HOOK = "http://receiver.test/hook"

T = TypeVar("T")


# --- time -------------------------------------------------------------------------------------------------


class Wall:
    """The machine's clock of a test, in milliseconds."""

    def __init__(self, at: int = NOON) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


class _Selector(selectors.SelectSelector):
    """Waits for real events only where no timer is set; otherwise the wall moves on to the timer."""

    def __init__(self, wall: Wall) -> None:
        super().__init__()
        self._wall = wall

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            ready = super().select(20)
            assert ready, "the loop waits for something that will not happen"
            return ready
        self._wall.at += max(1, math.ceil(timeout * 1000 - 1e-3))
        return []


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop on the time of a :class:`Wall`."""

    def __init__(self, wall: Wall) -> None:
        super().__init__(_Selector(wall))
        self._wall = wall
        # Seconds since 1970 are too coarse for a nanosecond; a timer that is due must be seen to be.
        self._clock_resolution = 0.0005

    def time(self) -> float:
        return self._wall.at / 1000


# --- receivers --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One callback as a receiver saw it; `at` by the wall clock."""

    at: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    within_s: float

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Behaviour = int | Exception | Callable[[float], Awaitable[int]]
"""A status, an exception to raise, or what to do with the seconds a receiver is given."""


def slow(seconds: float, status: int = 200) -> Callable[[float], Awaitable[int]]:
    """Return a receiver that takes so long, or as long as it is waited for."""

    async def answer(within_s: float) -> int:
        await asyncio.sleep(min(seconds, within_s))
        if seconds > within_s:
            raise OSError(f"no answer within {within_s:g} s")
        return status

    return answer


@dataclass
class Receivers:
    """All receivers of the world, as a `Sender`: 200 unless told otherwise, and every call is written down."""

    wall: Wall
    calls: list[Call] = field(default_factory=list)
    behaviours: dict[str, deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Behaviour] = field(default_factory=dict)
    on_call: Callable[[Call], None] = lambda call: None
    is_closed: bool = False

    def will(self, url: str, *behaviours: Behaviour) -> None:
        """Answer the next calls to an URL so, one after the other."""
        self.behaviours[url].extend(behaviours)

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, within_s: float
    ) -> int:
        named = {name.lower(): value for name, value in headers}
        assert len(named) == len(headers), "a header is there twice"
        call = Call(self.wall.at, method, url, named, body, within_s)
        self.calls.append(call)
        self.on_call(call)
        planned = self.behaviours[url]
        behaviour = planned.popleft() if planned else self.always.get(url, 200)
        if isinstance(behaviour, int):
            return behaviour
        if isinstance(behaviour, Exception):
            raise behaviour
        return await behaviour(within_s)

    async def close(self) -> None:
        self.is_closed = True

    def to(self, url: str) -> list[Call]:
        """Return the calls to one URL, oldest first."""
        return [call for call in self.calls if call.url == url]


# --- the server -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """An answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"


class Mock:
    """An application and everything around it; close it, or use it in a `with`."""

    def __init__(
        self,
        *providers: str,
        store: Store | None = None,
        wall: Wall | None = None,
        sender: Any = None,
        is_stepped: bool = True,
        **settings: Any,
    ) -> None:
        """Serve these providers, the toy by default; settings as in `Settings`."""
        self.wall = wall or Wall()
        self.loop = SteppedLoop(self.wall) if is_stepped else asyncio.new_event_loop()
        self.receivers = Receivers(self.wall)
        self.log = io.StringIO()
        self.settings = Settings(**({"seed": 7} | settings))
        self.app = App(
            self.settings,
            {name: contract(name) for name in providers or ("toy",)},
            store=store,
            sender=sender or self.receivers,
            wall=self.wall,
            request_log=RequestLog(self.settings.log, self.log),
        )
        self.is_running = True
        self.run(self._start())

    async def _start(self) -> None:
        self.app.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and everything that is ready beside it."""
        return self.loop.run_until_complete(coroutine)

    def wait(self, seconds: float) -> None:
        """Let time pass on the wall clock; timers go off on the way."""
        self.run(asyncio.sleep(seconds))

    def settle(self) -> None:
        """Run what is ready to run, without letting time pass."""

        async def turns() -> None:
            for _ in range(50):
                await asyncio.sleep(0)

        self.run(turns())

    def stop(self) -> None:
        """Stop as a server does that is told to."""
        if self.is_running:
            self.is_running = False
            self.run(self.app.stop())
            self.close()

    def close(self) -> None:
        """Let go of the loop, and of what still runs in it."""
        if self.loop.is_closed():
            return
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.run(_gathered(left))
        self.loop.close()

    def __enter__(self) -> Mock:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- requests

    def call(
        self,
        method: str,
        target: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return the answer."""
        return self.run(self.send(method, target, json=json, body=body, headers=headers))

    async def send(
        self,
        method: str,
        target: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        parts: Sequence[bytes] | None = None,
        between: Callable[[], Awaitable[Any]] | None = None,
    ) -> Reply:
        """Do the same inside the loop; `parts` is a body that comes in pieces, `between` what happens meanwhile."""
        known = {"host": HOST}
        if json is not None:
            body = orjson.dumps(json)
            known["content-type"] = "application/json"
        if body is not None:
            known["content-length"] = str(len(body))
        if parts is not None:
            known["transfer-encoding"] = "chunked"
        known |= {name.lower(): value for name, value in (headers or {}).items()}
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": _decoded(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in known.items()
                if value != ""
            ],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8700),
        }
        incoming = deque(parts if parts is not None else [body or b""])
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if incoming:
                if between is not None and parts is not None and len(incoming) < len(parts):
                    await between()
                part = incoming.popleft()
                return {"type": "http.request", "body": part, "more_body": bool(incoming)}
            # The client stays on the line until it has its answer.
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def answer(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, answer)
        start, *rest = sent
        out = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        assert len(out) == len(start["headers"]), f"a header is there twice: {start['headers']}"
        content = b"".join(message.get("body", b"") for message in rest)
        # A stream has no length that could be told before.
        assert method == "HEAD" or int(out.get("content-length", len(content))) == len(content)
        return Reply(start["status"], out, content)

    def get(self, target: str, **headers: str) -> Reply:
        """Send a GET."""
        return self.call("GET", target, headers=_names(headers))

    def post(self, target: str, json: Any, **headers: str) -> Reply:
        """Send a POST with a JSON body."""
        return self.call("POST", target, json=json, headers=_names(headers))

    # --- the toy

    def create(
        self, *, key: str = KEY, base: str = "/toy/api", headers: Mapping[str, str] | None = None, **body: Any
    ) -> Reply:
        """Ask the toy for a clip."""
        body = {"prompt": "a boat"} | body
        return self.call("POST", f"{base}/clips", json=body, headers={"x-toy-key": key} | dict(headers or {}))

    def clip(self, *, key: str = KEY, base: str = "/toy/api", **body: Any) -> str:
        """Ask the toy for a clip, and return its id."""
        reply = self.create(key=key, base=base, **body)
        assert reply.status == 200, reply
        made: str = reply.json["clip"]["id"]
        return made

    def read(self, task: str, *, key: str = KEY, base: str = "/toy/api") -> Reply:
        """Read a clip of the toy."""
        return self.get(f"{base}/clips/{task}", x_toy_key=key)

    def state(self, task: str, *, key: str = KEY, base: str = "/toy/api") -> str:
        """Return the state of a clip."""
        state: str = self.read(task, key=key, base=base).json["clip"]["state"]
        return state

    # --- the control plane

    def admin(
        self, method: str, path: str, json: Any = None, *, tenant: str = "", status: int | None = None
    ) -> Any:
        """Call the control plane; return the JSON of its answer."""
        prefix = f"/t/{tenant}" if tenant else ""
        reply = self.call(method, f"{prefix}/__admin{path}", json=json)
        expected = (
            status
            if status is not None
            else {"POST /reset": 204, "DELETE /requests": 204}.get(
                f"{method} {path}", 202 if path.endswith("/replay") else 200
            )
        )
        assert reply.status == expected, reply
        return reply.json if reply.body else None

    def freeze(self, *, tenant: str = "") -> None:
        """Put the tenant's clock to rest."""
        self.admin("PUT", "/clock", {"mode": "frozen"}, tenant=tenant)

    def advance(self, by: str, *, tenant: str = "") -> list[dict[str, Any]]:
        """Move the tenant's clock; return what happened."""
        events: list[dict[str, Any]] = self.admin("POST", "/clock/advance", {"by": by}, tenant=tenant)[
            "events"
        ]
        return events

    def move(self, task: str, *, tenant: str = "", **change: str) -> Any:
        """Move a task by hand."""
        return self.admin("PATCH", f"/tasks/{task}", change, tenant=tenant)

    def deliveries(self, *, tenant: str = "", query: str = "") -> list[dict[str, Any]]:
        """Return the ledger of callbacks, oldest first."""
        found: list[dict[str, Any]] = self.admin("GET", f"/deliveries{query}", tenant=tenant)["deliveries"]
        return found[::-1]


async def _gathered(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _decoded(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)
