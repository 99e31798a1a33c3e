"""A script of calls that uses everything a server has, and what came of it, byte for byte.

A script is plain data, so that it can be written down and drawn; a task in it is a number, counted from the first
that was made.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mockserver.scenarios import SCENARIOS
from mockserver.wallets import has_price
from tests.cases import read_cases
from tests.mock import Mock, Reply
from tests.mockserver.clients import Client
from tests.providers import LIBRARY, contract

TENANT = "played"
PRICED = tuple(name for name in LIBRARY if any(has_price(one) for one in contract(name).operations.values()))
QUIET = tuple(
    one.name
    for one in SCENARIOS.values()
    # A connection that ends says nothing, real time that passes is measured, a key that ends would end the script;
    # and a result that is cut off or comes late is fetched with the others.
    if one.wire is None and not one.ends_key and not one.waits_for_news
)
"""The scenarios whose answers, and whose results, arrive whole and at once."""

START = "2030-01-01T00:00:00Z"
LARGEST = 100_000
"""Bytes of a body that is part of a script: the largest pictures say nothing here, and cost seconds."""

_TOOK = re.compile(rb'"took_(us|ms)":\d+')
"""How long the machine took for something, the only thing in an answer that is measured."""

_MEDIA = re.compile(rb"/t/played/__media/[^\"\\ ]+\.mp4")

Step = tuple[Any, ...]
"""A verb and what it needs; see :meth:`Player.do`."""

Answers = list[tuple[int, tuple[tuple[str, str], ...], bytes]]


@dataclass
class Player:
    """Plays scripts against a server; `answers` holds everything it said, `hook` makes addresses of a receiver."""

    mock: Mock
    hook: Callable[[str], str]
    answers: Answers = field(default_factory=list)
    tasks: list[tuple[Client, str]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    hooks: int = 0

    def play(self, script: Iterable[Step]) -> Answers:
        """Play a script on a tenant that begins anew; return all answers."""
        self.control("POST", "/reset")
        self.control("PUT", "/clock", {"mode": "frozen", "now": START})
        for step in script:
            self.do(*step)
        for path in ("/tasks?limit=1000", "/deliveries?limit=1000", "/requests?limit=1000", "/clock"):
            self.control("GET", path)
        for file in sorted(self.files):
            self.call("GET", file)
        return self.answers

    def do(self, verb: str, *rest: Any) -> None:
        """Do one step."""
        if verb == "create":
            self.create(*rest)
        elif verb == "case":
            self.case(*rest)
        elif verb == "list":
            client = self.client(*rest)
            listing = [one for one in contract(rest[0]).operations.values() if client.operation.id in one.of]
            for one in listing:
                self.call("GET", client.url(one.path), headers=client.headers)
        elif verb == "scenario":
            self.scenario(*rest)
        elif verb == "plan":
            self.control("POST", "/scenarios", rest[0])
        elif verb == "budgets":
            self.control("PATCH", "/budgets", rest[0])
        elif verb == "advance":
            self.control("POST", "/clock/advance", {"by": f"PT{rest[0]}S"})
        elif verb == "next":
            self.control("POST", "/clock/advance", {"to": "next-event"})
        elif verb == "replay":
            known = self.mock.admin("GET", "/deliveries?status=delivered&limit=1000", tenant=TENANT)[
                "deliveries"
            ]
            if known:
                self.control("POST", f"/deliveries/{known[rest[0] % len(known)]['id']}/replay")
                self.mock.settle()
        elif self.tasks:
            client, task = self.tasks[rest[0] % len(self.tasks)]
            if verb == "read":
                self.keep(client.read(task))
            elif verb == "move":
                self.control("PATCH", f"/tasks/{task}", {"outcome": rest[1]})
                self.mock.settle()
            else:
                raise AssertionError(verb)

    def create(
        self, provider: str, index: int, account: str, name: str | None, is_told: bool, is_flaky: bool
    ) -> None:
        """Make a task from the provider's own example, with or without a name and a callback."""
        client = self.client(provider, index, account)
        hook = None
        if is_told:
            self.hooks += 1
            hook = self.hook(f"{'flaky' if is_flaky else 'good'}/{self.hooks}")
        changes = {}
        if name is not None and client.operation.unique:
            changes[client.operation.unique[0].pointer[1:]] = name
        reply = self.keep(client.create(hook=hook, **changes))
        if reply.status == client.operation.response.status:
            (made,) = self.mock.admin("GET", "/tasks?limit=1", tenant=TENANT)["tasks"]
            self.tasks.append((client, made["id"]))
        self.mock.settle()

    def scenario(self, provider: str, name: str) -> None:
        """Make a task that meets a scenario, where the provider can, and look at it."""
        self.control(
            "POST", "/scenarios", {"scenario": name, "match": {"provider": provider, "role": "create"}}
        )
        before = len(self.tasks)
        self.create(provider, 0, "s", None, True, False)
        self.control("DELETE", "/scenarios")
        if len(self.tasks) > before:
            self.do("read", -1)

    def case(self, provider: str, number: int) -> None:
        """Send one of the requests that keep or break a rule."""
        known = cases(provider)
        request = known[number % len(known)]
        path = f"/t/{TENANT}/{provider}{request.path}"
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        target = path + (f"?{query}" if query else "")
        self.call(request.method, target, body=request.body or None, headers=dict(request.headers))

    def client(self, provider: str, index: int, account: str = "a") -> Client:
        """Return a client of one of the create operations."""
        creates = [one for one in contract(provider).operations.values() if one.role == "create"]
        return Client(
            self.mock, provider, creates[index % len(creates)], account=account, base=f"/t/{TENANT}"
        )

    def control(self, method: str, path: str, json: Any = None) -> Reply:
        """Call the control plane."""
        return self.call(method, f"/t/{TENANT}/__admin{path}", json=json)

    def call(self, method: str, target: str, **more: Any) -> Reply:
        """Send a request and keep the answer."""
        return self.keep(self.mock.call(method, target, **more))

    def keep(self, reply: Reply) -> Reply:
        """Write an answer down."""
        # The date is that of the machine, and said by the HTTP server, not by the provider.
        headers = tuple((name, value) for name, value in reply.headers.items() if name != "date")
        body = reply.body
        if headers and dict(headers).get("content-type", "").startswith("application/json"):
            self.files |= {found.decode() for found in _MEDIA.findall(body)}
            if _TOOK.search(body):
                body = _TOOK.sub(rb'"took":0', body)
                headers = tuple(pair for pair in headers if pair[0] != "content-length")
        self.answers.append((reply.status, headers, body))
        return reply


@functools.cache
def cases(provider: str) -> tuple[Any, ...]:
    """Return the requests of the pass and fail files of a provider, but for very large ones."""
    found = [case.request for kind in ("pass", "fail") for case in read_cases(provider, kind)]  # type: ignore[arg-type]
    return tuple(one for one in found if len(one.body) <= LARGEST)


def everything(providers: Sequence[str] = LIBRARY) -> list[Step]:
    """Return the script that leaves nothing out: every operation, every case, every kind of call."""
    script: list[Step] = []
    for provider in providers:
        creates = [one for one in contract(provider).operations.values() if one.role == "create"]
        for index in range(len(creates)):
            for account, name, is_told, is_flaky in (
                ("a", "order-1", True, False),
                ("a", "order-1", True, False),
                ("b", "order-1", True, True),
                ("a", None, False, False),
                ("a", "order-2", True, True),
            ):
                script.append(("create", provider, index, account, name, is_told, is_flaky))
            script += [("list", provider, index), ("read", -1), ("move", -2, "failure")]
    script += [("next",), ("advance", 3), ("read", 0), ("move", 1, "success"), ("next",), ("next",)]
    script += [("case", provider, number) for provider in providers for number in range(len(cases(provider)))]
    script += [("scenario", provider, name) for provider in providers for name in QUIET]
    script += [("plan", {"chaos": {"weights": dict.fromkeys(QUIET, 1)}, "probability": 0.5})]
    script += [("create", provider, 0, "c", None, True, False) for provider in providers for _ in range(6)]
    script += [("budgets", dict.fromkeys(PRICED, 1)), ("create", PRICED[0], 0, "c", None, False, False)]
    script += [("advance", 200), ("replay", 0), ("replay", 5)]
    script += [("read", number) for number in range(20)]
    script += [("list", provider, 0) for provider in providers]
    return [*script, ("advance", 100_000), ("read", 0), ("read", 3)]
