"""One request on its way: what it says, whom it is for, and what is found out while it is answered."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from mockserver.desks import Desk
from mockserver.limits import LimitView
from mockserver.plans import Lot
from mockserver.tasks import Task
from mockserver.tenants import DEFAULT_TENANT, Tenant
from mockserver.wire import HeaderList
from validator.check import NOTHING, Examination
from validator.report import Violation
from validator.request import parse_query

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Origins = dict[bytes | tuple[str, str, str], str]

WHOLE: Final = "understudy.whole"
"""The ASGI extension of our own server: (the body, what sends an answer), for requests that came whole."""

LATE: Final = "understudy.late"
"""The key in the ASGI scope of a request whose client was given up: what is missing of its body will not come."""

AnswerWhole = Callable[[int, HeaderList, bytes], bool]
"""(status, headers, body) -> whether it was sent; where not, it goes the usual way."""

TOKENS: Final = 10_000
"""Credentials and addresses whose reading is remembered; they are forgotten all at once."""

LONGEST_REMEMBERED: Final = 1_024
"""Characters of a credential or a host that is remembered as it stands; no real one is as long."""

_HOST: Final = re.compile(rb"[A-Za-z0-9._\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def is_host(value: bytes) -> bool:
    """Tell whether a Host header is a name or an address, with a port or without."""
    return len(value) <= LONGEST_REMEMBERED and _HOST.fullmatch(value) is not None


class Headers(Mapping[str, str]):
    """The headers of an ASGI request by lower-case name, decoded when they are asked for."""

    __slots__ = ("raw",)

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Take the pairs of the ASGI scope; of equal names the last counts."""
        self.raw = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self.raw[name.encode("latin-1")].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode("latin-1", "replace") in self.raw

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def get(self, name: str, default: Any = None) -> Any:
        value = self.raw.get(name.encode("latin-1", "replace"))
        return default if value is None else value.decode("latin-1")


class Visit:
    """One request to a provider: what it says, whom it is for, and what is found out while it is answered.

    It is what `$request` and `$mock` expressions see.  `path` is below the provider's base URL; `mount` is what
    stands before it on this server; `note` is what its line in the log says beside the rest.
    """

    __slots__ = (
        *(
            "account",
            "asgi",
            "body",
            "body_fault",
            "desk",
            "examination",
            "fault",
            "headers",
            "is_whole",
            "limit",
            "lot",
        ),
        *("method", "mount", "note", "now", "origins", "path", "prefix", "query", "request_id", "task"),
        "tenant",
    )

    def __init__(
        self,
        asgi: AsgiScope,
        headers: Headers,
        desk: Desk,
        tenant: Tenant,
        path: str,
        prefix: str,
        mount: str,
        origins: Origins,
    ) -> None:
        """Take a request whose address is known."""
        self.asgi, self.headers, self.desk, self.tenant = asgi, headers, desk, tenant
        self.path, self.prefix, self.mount, self.origins = path, prefix, mount, origins
        self.method: str = asgi["method"]
        query: bytes = asgi["query_string"]
        self.query: Mapping[str, str] = parse_query(query.decode("latin-1")) if query else NOTHING
        self.now = tenant.clock.now()
        self.request_id = tenant.dice.request_id()
        self.examination: Examination
        self.body, self.body_fault, self.is_whole = b"", "", True
        self.account = ""
        self.limit: LimitView | None = None
        self.fault: Violation | None = None
        self.lot: Lot | None = None
        self.task: Task | None = None
        self.note = ""

    @property
    def origin(self) -> str:
        """Return scheme, host and port the client used, those of the socket where it names none or nonsense."""
        host = self.headers.raw.get(b"host", b"")
        known = self.origins.get(host)
        if known is None:
            if len(self.origins) > TOKENS:
                self.origins.clear()
            name = host.decode("latin-1")
            if not is_host(host):
                server = self.asgi.get("server") or ("127.0.0.1", 80)
                name = f"{server[0]}:{server[1]}"
                host = host if len(host) <= LONGEST_REMEMBERED else b""
            known = self.origins[host] = f"{self.asgi.get('scheme', 'http')}://{name}"
        return known

    @property
    def base_url(self) -> str:
        """Return where the client finds the provider, its base path included."""
        key = (self.mount, self.desk.contract.base_path, self.origin)
        known = self.origins.get(key)
        if known is None:
            known = self.origins[key] = self.origin + self.mount + self.desk.contract.base_path
        return known

    @property
    def media_base(self) -> str:
        """Return what stands before the path of a result; its URL is fetched without our header."""
        tenant = self.tenant.name
        key = (self.prefix, tenant, self.origin)
        known = self.origins.get(key)
        if known is None:
            prefix = self.prefix or ("" if tenant == DEFAULT_TENANT else f"/t/{tenant}")
            known = self.origins[key] = self.origin + prefix
        return known

    @property
    def size(self) -> int:
        """Return the size of the body in bytes."""
        return len(self.body)

    @property
    def url(self) -> str:
        """Return the URL the client called."""
        query = self.asgi["query_string"].decode("latin-1")
        return self.origin + self.target + ("?" + query if query else "")

    @property
    def target(self) -> str:
        """Return the path the client called, percent-encoded."""
        target: str = self.asgi["raw_path"].decode("latin-1")
        return target


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A request that is for no provider: why, what to do, and in whose journal it stands."""

    status: int
    title: str
    detail: str
    tenant: Tenant
