"""A world: one tenant of a server, as a Python program steers it and looks at what its client did there.

The same for a server in this process and for one elsewhere.  Knows no test framework; the plugin for pytest is
`pytest_plugin.py`.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote

from mockserver.environment import (
    Keys,
    base_url_of,
    credentials_of,
    signatures_of,
    variables,
)
from mockserver.inbox import Call, Inbox
from mockserver.records import (
    Costs,
    Delivery,
    Request,
    Task,
    Violation,
    costs_of,
    delivery_of,
    request_of,
    task_of,
)
from mockserver.remote import RemoteError, deliver, headers_of
from mockserver.steering import WorldError
from mockserver.worldclock import WorldClock, is_driven, stand_ins
from validator.contract.document import nearest
from validator.contract.expressions import Json
from validator.contract.model import Contract, Credential
from validator.security import make_token, takes_key

if TYPE_CHECKING:
    from mockserver.stage import Stage
    from mockserver.transport import Transport
    from mockserver.trial import Conduct, Finding


MOST_SHOWN: Final = 1_000
"""Tasks, requests and deliveries that one look returns, the newest; the admin API gives no more at a time."""


TOLERANCE_S: Final = 300
"""Seconds that the time of a signature may be off.  Source: Standard Webhooks 1.0, the libraries of which take five
minutes."""


T = TypeVar("T")


class Seen(tuple[T, ...]):
    """Values, oldest first; `dropped` is how many older ones are not among them."""

    dropped: int = 0


# --- providers --------------------------------------------------------------------------------------------


class Credentials(Mapping[str, str]):
    """The headers that a provider takes as a credential; as a mapping, to be given to any HTTP client."""

    def __init__(self, contract: Contract, keys: Keys, clock: WorldClock) -> None:
        """Hold the keys of one client."""
        self._contract, self._keys, self._clock = contract, keys, clock

    @property
    def key(self) -> str:
        """Return the API key; raises WorldError where the provider knows tokens only."""
        return self._held(self._keys.api_key, "an API key", "token()")

    @property
    def access_key(self) -> str:
        """Return the name that tokens are made for; raises WorldError where the provider knows no tokens."""
        return self._held(self._keys.access_key, "an access key", "key")

    @property
    def secret(self) -> str:
        """Return what tokens are signed with; raises WorldError where the provider knows no tokens."""
        return self._held(self._keys.secret_key, "a secret key", "key")

    def token(self, *, lifetime_s: float = 1_800) -> str:
        """Return a token that holds for so many seconds of the world's clock, from now on."""
        credential = self._credential(has_token=True)
        assert credential.jwt is not None
        return make_token(
            credential.jwt, self.access_key, self.secret, now=self._clock.time(), lifetime_s=lifetime_s
        )

    def token_headers(self, *, lifetime_s: float = 1_800) -> dict[str, str]:
        """Return the headers with a token in place of a key."""
        credential = self._credential(has_token=True)
        return {_header(credential): f"Bearer {self.token(lifetime_s=lifetime_s)}"}

    def _held(self, value: str | None, what: str, instead: str) -> str:
        if value is None:
            raise WorldError(f"{self._contract.id} knows nothing like {what}; its credentials have {instead}")
        return value

    def _credential(self, *, has_token: bool) -> Credential:
        for one in credentials_of(self._contract):
            if has_token and one.jwt is not None:
                return one
            if not has_token and takes_key(one, self._keys.api_key or ""):
                return one
        raise WorldError(f"{self._contract.id} knows no {'tokens' if has_token else 'keys'}")

    def _headers(self) -> dict[str, str]:
        if self._keys.api_key is None:
            return self.token_headers()
        credential = self._credential(has_token=False)
        key = self._keys.api_key
        return {_header(credential): f"Bearer {key}" if credential.is_bearer else key}

    def __getitem__(self, name: str) -> str:
        """Return the value of a header."""
        return self._headers()[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the headers."""
        return iter(self._headers())

    def __len__(self) -> int:
        """Return how many headers there are."""
        return len(self._headers())

    def __repr__(self) -> str:
        """Return what it is for, without what it holds."""
        return f"<credentials of {self._contract.id}>"


def _header(credential: Credential) -> str:
    return "-".join(part.capitalize() for part in credential.header.split("-"))


class Provider:
    """One provider in one world."""

    def __init__(self, world: World, contract: Contract, keys: Keys) -> None:
        """Speak of a provider that is served."""
        self._world, self._keys = world, keys
        self.id: Final = contract.id
        self.contract: Final = contract
        self.base_url: Final = base_url_of(contract, world.origin, world.tenant)
        self.credentials: Final = Credentials(contract, keys, world.clock)

    @property
    def webhook_secret(self) -> str | None:
        """Return what its deliveries are signed with, None where they are not."""
        return self._keys.webhook_secret

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that tell a program of it: *_BASE_URL, *_API_KEY and so on."""
        return variables(self.contract, self.base_url, self._keys, receiver=self._world.inbox.url)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Return its tasks, newest last."""
        return tuple(one for one in self._world.tasks if one.provider == self.id)

    @property
    def requests(self) -> tuple[Request, ...]:
        """Return the requests it got, newest last."""
        return tuple(one for one in self._world.requests if one.provider == self.id)

    def __repr__(self) -> str:
        """Return its name and where it is."""
        return f"<{self.id} at {self.base_url}>"


class Planned:
    """A scenario in the plan of a world; leaving a `with` of it takes it out again."""

    def __init__(self, world: World, entry: Mapping[str, Any]) -> None:
        """Speak of an entry of the plan."""
        self._world = world
        self.id: Final[str] = entry["id"]
        self.name: Final[str] = entry.get("scenario", "chaos")

    @property
    def met(self) -> int:
        """Return how many requests met it so far; raises WorldError when it was taken out."""
        for entry in self._world.control.call("GET", "/scenarios", has="plan")["plan"]:
            if entry["id"] == self.id:
                return int(entry["met"])
        raise WorldError(f"scenario {self.name} is not in the plan any more")

    def assert_met(self, times: int | None = None) -> None:
        """Fail unless a request met it, or exactly so many did."""
        __tracebackhide__ = True
        met = self.met
        if (times is None and not met) or (times is not None and met != times):
            wanted = "at least one request" if times is None else f"{times} requests"
            raise AssertionError(f"{wanted} should have met scenario {self.name}, and {met} did")

    def remove(self) -> None:
        """Take it out of the plan."""
        self._world.control.call("DELETE", f"/scenarios/{quote(self.id)}", has="")

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it out of the plan.  Raises WorldError where it is gone, unless something else was raised."""
        if kind is None:
            self.remove()
            return
        # What went wrong inside is what is to be told.
        with contextlib.suppress(WorldError):
            self.remove()


# --- the world --------------------------------------------------------------------------------------------


class World:
    """One tenant of a server.  Providers are attributes by their id, a dash written as an underscore."""

    def __init__(self, stage: Stage, tenant: str) -> None:
        """Open a tenant; `Stage.open` is the way to do so."""
        self._stage = stage
        self.tenant: Final = tenant
        self.origin: Final = stage.origin
        self.control: Final = stage.control(tenant)
        self._app = stage.server.app if stage.server is not None else None
        self.clock: Final = WorldClock(self.control, self._app, tenant)
        self.clock._on_move = self._pull
        self._undo: list[tuple[ModuleType, str, Any]] = []
        self.clock._is_answering = lambda: self._inbox is not None and self._inbox.is_answering
        self._inbox: Inbox | None = None
        self._is_over = False

    @cached_property
    def providers(self) -> Mapping[str, Provider]:
        """Return the providers that are served, by id."""
        return {
            contract.id: Provider(self, contract, self._stage.keys(contract, self.tenant))
            for contract in self._stage.contracts.values()
        }

    def __getattr__(self, name: str) -> Provider:
        """Return a provider by its id."""
        if name.startswith("_"):
            raise AttributeError(name)
        known = {one.replace("-", "_").replace(".", "_"): one for one in self._stage.contracts}
        if name in known:
            return self.providers[known[name]]
        members = [one for one in (*known, *dir(type(self))) if not one.startswith("_")]
        hint = nearest(name, members) or f"providers: {', '.join(known)}"
        raise AttributeError(f"a world has no '{name}' ({hint})")

    def __getitem__(self, provider: str) -> Provider:
        """Return a provider by its id; raises KeyError with the nearest."""
        if provider not in self._stage.contracts:
            raise KeyError(f"{provider} ({nearest(provider, self._stage.contracts) or 'not served here'})")
        return self.providers[provider]

    @cached_property
    def transport(self) -> Transport:
        """Return an httpx transport, sync and async, that leads into this world without a socket."""
        if self._stage.server is None:
            raise WorldError(
                f"the server is elsewhere ({self.origin}), so that there is a socket between; use the base URLs"
            )
        from mockserver.transport import Transport

        return Transport(self._stage.server, self.tenant)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that tell a program of this world: *_BASE_URL, *_API_KEY and so on."""
        if not self._stage.has_port:
            raise WorldError("the server has no port, so that no other program can reach it")
        out: dict[str, str] = {}
        for provider in self.providers.values():
            out |= provider.environment
        return out

    def drive(self, *modules: ModuleType) -> None:
        """Give modules of a client the time of this world: `time`, `asyncio.sleep`, `datetime.now`, until it closes.

        Raises WorldError for a module that reaches none of them, since then nothing would change.
        """
        for module in modules:
            if any(driven is module for driven, _, _ in self._undo):
                continue
            if is_driven(module):
                raise WorldError(
                    f"module {module.__name__} lives in the time of another world; that one has to be closed first"
                )
            found = stand_ins(module, self.clock)
            if not found:
                raise WorldError(
                    f"module {module.__name__} imports neither time nor asyncio nor datetime, nor what is in them;"
                    " name the module in which the client sleeps"
                )
            for name, value in found.items():
                self._undo.append((module, name, getattr(module, name)))
                setattr(module, name, value)

    # --- what it meets

    def scenario(
        self,
        name: str,
        *,
        times: int | None = None,
        after: int | None = None,
        probability: float | None = None,
        provider: str | None = None,
        operation: str | None = None,
        role: str | None = None,
        body: Mapping[str, Json] | None = None,
        **parameters: Json,
    ) -> Planned:
        """Let matching requests meet a scenario of the atlas: all of them from now on, or the next `times`.

        `after` requests pass first; `role` is create, read or list; `body` maps JSON Pointers into the request to the
        values they must have.  Further arguments are parameters of the scenario.  Raises WorldError for what the
        atlas does not have, or what cannot be met here.
        """
        given = {"provider": provider, "operation": operation, "role": role, "body": body}
        entry: dict[str, Json] = {
            "scenario": name,
            "match": {key: value for key, value in given.items() if value is not None},
            "with": {key.replace("_", "-"): value for key, value in parameters.items()},
        }
        counts = {"times": times, "after": after, "probability": probability}
        entry |= {key: value for key, value in counts.items() if value is not None}
        try:
            return self.plan(entry)[0]
        except WorldError as error:
            raise WorldError(str(error).removeprefix("entry 1: ")) from None

    def plan(self, *entries: Mapping[str, Json] | str) -> tuple[Planned, ...]:
        """Add entries to the plan, written as `--plan` files have them; a text is a scenario by its name."""
        if not entries:
            return ()
        written = [{"scenario": one} if isinstance(one, str) else dict(one) for one in entries]
        made = self.control.call("POST", "/scenarios", {"plan": written}, has="plan")["plan"]
        return tuple(Planned(self, one) for one in made)

    def fail(self, task: Task | str, message: str | None = None) -> Task:
        """Let a running task fail now; return it."""
        return self._move(task, {"outcome": "failure"} | ({"message": message} if message else {}))

    def finish(self, task: Task | str) -> Task:
        """Let a running task succeed now; return it."""
        return self._move(task, {"outcome": "success"})

    def _move(self, task: Task | str, change: Mapping[str, Json]) -> Task:
        name = task if isinstance(task, str) else task.id
        return task_of(self.control.call("PATCH", f"/tasks/{quote(name, safe='')}", change, has="state"))

    # --- what happened

    @property
    def tasks(self) -> Seen[Task]:
        """Return the tasks, newest last, as they are now."""
        told = self.control.call("GET", f"/tasks?limit={MOST_SHOWN}", has="tasks")
        return _seen(map(task_of, told["tasks"]), told["count"] - len(told["tasks"]))

    @property
    def requests(self) -> Seen[Request]:
        """Return the requests of the client with their answers, newest last; fetches of results among them."""
        told = self.control.call("GET", f"/requests?limit={MOST_SHOWN}", has="requests")
        hidden = told["kept"] - len(told["requests"]) + told["dropped"]
        return _seen(map(request_of, told["requests"]), hidden)

    @property
    def deliveries(self) -> Seen[Delivery]:
        """Return the callbacks, sent or still to be sent, with every attempt, newest last."""
        told = self.control.call("GET", f"/deliveries?limit={MOST_SHOWN}", has="deliveries")
        hidden = told["kept"] - len(told["deliveries"]) + told["dropped"]
        return _seen(map(delivery_of, told["deliveries"]), hidden)

    def _deliveries_of(self, task: str) -> Seen[Delivery]:
        """Return the callbacks of one task, also where those of many others came after them."""
        told = self.control.call(
            "GET", f"/deliveries?task={quote(task, safe='')}&limit={MOST_SHOWN}", has="deliveries"
        )
        return _seen(map(delivery_of, told["deliveries"]), told["dropped"])

    @property
    def violations(self) -> tuple[tuple[Request, Violation], ...]:
        """Return pairs (request, finding) of what was wrong with the requests and cost the client a task."""
        found = [(request, one) for request in self._wrong() for one in request.errors]
        if not any(one.kind == "not-found" for _, one in found):
            return tuple(found)
        # A task that a scenario hides for a while is no mistake of those who look for it.
        known = [task.id for task in self.tasks]
        return tuple(
            (request, one)
            for request, one in found
            if one.kind != "not-found" or not any(name in request.target for name in known)
        )

    def _wrong(self) -> Seen[Request]:
        """Return the requests that were not accepted, also those that many good ones came after."""
        pages = [
            self.control.call("GET", f"/requests?verdict={verdict}&limit={MOST_SHOWN}", has="requests")
            for verdict in ("fails", "refused")
        ]
        out = Seen(sorted((one for page in pages for one in _requests(page)), key=lambda one: one.at))
        # A page that is full may have had no room for more.
        is_full = any(len(page["requests"]) >= MOST_SHOWN for page in pages)
        out.dropped = max(is_full, *(page["dropped"] for page in pages))
        return out

    @property
    def cost(self) -> Costs:
        """Return what the tasks cost, in units and in money where the price list has any."""
        return costs_of(self.control.call("GET", "/costs", has="providers"))

    @property
    def inbox(self) -> Inbox:
        """Return a receiver of callbacks on a real socket, opened when it is first asked for."""
        if self._is_over:
            raise WorldError(f"world {self.tenant} was closed, its inbox with it")
        if self._inbox is None:
            self._inbox = self._stage.receiver.open(
                self.tenant, now=lambda: self.clock.ms, verify=self._verify, pump=self._pump
            )
            if self._stage.is_pulling:
                self.control.call("PUT", "/deliveries/mode", {"mode": "pull"}, has="mode")
        return self._inbox

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the calls to the inbox, oldest first; none where nobody asked for one."""
        return self._inbox.calls if self._inbox is not None else ()

    def _verify(self, headers: Mapping[str, str], content: bytes, at_ms: int) -> bool | None:
        from mockserver.callbacks import SIGNERS

        signature = headers.get("webhook-signature")
        if signature is None:
            return None
        at, name = headers.get("webhook-timestamp", ""), headers.get("webhook-id", "")
        if not at.isdecimal() or abs(int(at) - at_ms / 1000) > TOLERANCE_S:
            return False
        for provider in self.providers.values():
            for form in signatures_of(provider.contract) if provider.webhook_secret is not None else ():
                with contextlib.suppress(UnicodeDecodeError):
                    made = SIGNERS[form.scheme](
                        provider.webhook_secret or "", form.secret, name, int(at), content
                    )
                    if dict(made)["webhook-signature"] in signature.split():
                        return True
        return False

    def _pump(self) -> str:
        """Move a clock at rest on, for somebody who waits; "moved", "idle" where nothing is to come, "runs"."""
        if not self.clock.is_frozen:
            self._pull()
            return "runs"
        before = self.clock.ms
        events = self.clock.advance_to_next_event()
        return "moved" if events or self.clock.ms != before else "idle"

    def _pull(self) -> None:
        """Fetch what is due from a server that cannot call this machine, and bring it to its receiver."""
        if self._inbox is None or not self._stage.is_pulling:
            return
        while (handout := self.control.call("GET", "/deliveries/next", has="url")) is not None:
            answer = self._brought(handout)
            self.control.call("POST", f"/deliveries/{quote(handout['id'])}/answer", answer, has="status")

    def _brought(self, handout: Mapping[str, Any]) -> dict[str, Json]:
        body = base64.b64decode(handout["body_base64"])
        try:
            status = deliver(
                handout["url"],
                handout["method"],
                headers_of(handout),
                body,
                within_s=handout["report_within_s"],
            )
        except RemoteError as error:
            return {"error": str(error)[:500]}
        return {"status": status}

    # --- judging

    def assert_no_violations(self, *, allow: str | Iterable[str] = ()) -> None:
        """Fail where the client sent a request that the provider refuses or lets fail, with all findings in words.

        `allow` names rules that may be broken, one or several, `*` standing for any part of one.
        """
        __tracebackhide__ = True
        from mockserver.story import violations_text

        # A text is a sequence, too, of characters: its * would allow everything.
        patterns = (allow,) if isinstance(allow, str) else tuple(allow)
        found = [
            (request, one)
            for request, one in self.violations
            if not any(fnmatchcase(one.rule, pattern) for pattern in patterns)
        ]
        if found:
            raise AssertionError(violations_text(found))
        self._check_whole("requests", self._wrong())

    @property
    def conduct(self) -> Conduct:
        """Return everything the client did so far, as the laws look at it; see `mockserver.trial`."""
        from mockserver.trial import conduct_of

        server = self._stage.server
        if self._is_over:
            raise WorldError(f"world {self.tenant} was closed, and what happened in it is forgotten")
        if server is None:
            raise WorldError(
                f"the server is elsewhere ({self.origin}), and the laws look at what only it knows;"
                " judge with a server in this process, without --understudy-url"
            )

        async def read() -> Conduct:
            return conduct_of(server.app.backend, self.tenant)

        return server.run(read())

    def findings(self, *laws: str) -> tuple[Finding, ...]:
        """Return what became of each law, or of those named: kept, broken with what shows it, or not reached.

        Raises WorldError for a law that there is not.
        """
        return self._judged(laws)[1]

    def _judged(self, laws: Iterable[str]) -> tuple[Conduct, tuple[Finding, ...]]:
        from mockserver.trial import LawError, judge

        conduct = self.conduct
        try:
            return conduct, judge(conduct, tuple(laws) or None)
        except LawError as error:
            raise WorldError(str(error)) from None

    def assert_laws(self, *laws: str) -> None:
        """Fail where the client broke a law, with the exchanges that show it.

        Of laws that are named each must have been reached as well: what was never put to the test was not kept.
        """
        __tracebackhide__ = True
        conduct, findings = self._judged(laws)
        self._assert_unbroken(conduct, findings)
        missed = [one for one in findings if one.outcome == "not-reached"] if laws else []
        if missed:
            from mockserver.trial import LAWS

            lines = [
                f"{one.law} was not put to the test: {one.note or LAWS[one.law].reach}" for one in missed
            ]
            raise AssertionError("\n".join(lines))

    def assert_no_double_spend(self) -> None:
        """Fail where one wish became several tasks, each of which is paid for.

        Two requests that say the same are one wish, unless the first task had failed before the second was made.
        """
        __tracebackhide__ = True
        self._assert_unbroken(*self._judged(("one-task-per-wish",)))

    def _assert_unbroken(self, conduct: Conduct, findings: Iterable[Finding]) -> None:
        __tracebackhide__ = True
        from mockserver.trial import finding_text

        broken = [one for one in findings if one.outcome == "broken"]
        if broken:
            raise AssertionError("\n\n".join(finding_text(one, conduct) for one in broken))

    def assert_delivered_once(self, task: Task | str | None = None) -> None:
        """Fail unless every callback of a task, or of all tasks, was taken by its receiver exactly once."""
        __tracebackhide__ = True
        from mockserver.story import delivery_line

        name = task if isinstance(task, str) or task is None else task.id
        found = self.deliveries if name is None else self._deliveries_of(name)
        if not found:
            whose = "there is" if name is None else f"task {name} has"
            raise AssertionError(
                f"{whose} no callback: did the request ask for one, and has the clock moved?"
            )
        wrong = [
            one for one in found if sum(tried.is_taken for tried in one.attempts) != 1 or not one.is_delivered
        ]
        twice = _repeated(found)
        if wrong or twice:
            lines = [delivery_line(one) for one in (*wrong, *(one for one in twice if one not in wrong))]
            raise AssertionError("\n".join(["not delivered exactly once:", *lines]))
        self._check_whole("deliveries", found)

    def _check_whole(self, what: str, seen: Seen[Any]) -> None:
        if seen.dropped:
            raise WorldError(
                f"older {what} of this world cannot be looked at any more ({seen.dropped:,} at least),"
                " so that nothing can be said about all of them"
            )

    # --- the end

    def close(self) -> None:
        """Give modules their time back, and forget everything of this world; a second time does nothing."""
        while self._undo:
            module, name, value = self._undo.pop()
            setattr(module, name, value)
        if self._inbox is not None:
            self._stage.receiver.close(self.tenant)
            self._inbox = None
        if not self._is_over:
            self._is_over = True
            try:
                self._stage.forget(self)
            finally:
                self.control.is_over = True

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Return which world it is."""
        return f"<world {self.tenant} at {self.origin}: {', '.join(self._stage.contracts)}>"


def _requests(told: Mapping[str, Any]) -> list[Request]:
    """Return the requests of a page of the journal, oldest first."""
    return [request_of(one) for one in reversed(told["requests"])]


def _seen(newest_first: Iterable[T], dropped: int) -> Seen[T]:
    out = Seen(reversed(list(newest_first)))
    out.dropped = max(dropped, 0)
    return out


def _repeated(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Return deliveries of one state of a task to one address that are there more than once."""
    known: dict[tuple[str, str, str], list[Delivery]] = {}
    for one in deliveries:
        if one.status != "canceled":
            known.setdefault((one.task, one.state, one.url), []).append(one)
    return [one for group in known.values() if len(group) > 1 for one in group]
