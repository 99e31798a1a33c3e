"""Where callbacks may go: what a URL names, which addresses that means, and whether they are allowed.

Knows no sockets and no resolver: it judges what those were asked for and what they said.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from mockserver.journal import shown_url
from mockserver.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")

_LINK: Final = "an address of the link, not of a receiver"
_METADATA: Final = "where a cloud keeps its metadata, not a receiver"

_NEVER: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ipaddress.ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", _LINK),
        ("169.254.0.0/16", _LINK),
        ("224.0.0.0/4", _LINK),
        ("255.255.255.255/32", _LINK),
        ("::/128", _LINK),
        ("fe80::/10", _LINK),
        ("ff00::/8", _LINK),
        # Most clouds keep it on the link, at 169.254.169.254; these are the others.
        ("fd00:ec2::254/128", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("168.63.129.16/32", _METADATA),
        ("192.0.0.192/32", _METADATA),
    )
)
"""Networks that are no receiver's, unless the list of receivers holds them or a part of them by number."""

_TRANSLATED: Final = tuple(
    ipaddress.IPv6Network(prefix)
    # RFC 6052, 2.1; RFC 8215; RFC 4291, 2.5.5.1, given up long ago and still routed by some.
    for prefix in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)
"""IPv6 networks whose addresses end in an IPv4 address that a packet finally reaches."""


LONGEST_ADDRESS: Final = 2_048
"""Characters of an address that are called."""


class NotAllowedError(RuntimeError):
    """An address that deliveries may not go to."""


def split(url: str) -> SplitResult:
    """Return the parts of a URL that names one host and nothing else before it; raises NotAllowedError.

    What readers of URLs disagree about is refused rather than read one way: a user name, a backslash, digits
    of other scripts, percent signs and zones in the host.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise NotAllowedError(f"'{shown_url(url)[:80]}' is no http or https URL") from None
    if parts.username is not None or parts.password is not None:
        raise NotAllowedError("a URL with a user name in it")
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise NotAllowedError(f"'{shown_url(url)[:80]}' is no http or https URL")
    if not _NAME.fullmatch(host):
        try:
            is_plain = ipaddress.IPv6Address(host).scope_id is None
        except ValueError:
            is_plain = False
        if not is_plain:
            raise NotAllowedError(f"'{host[:80]}' is neither a host name in ASCII nor an address")
    return parts


@dataclass(frozen=True, slots=True)
class Policy:
    """Which receivers are allowed: all but a few networks that are no receiver's, or only those of a list.

    An entry of `allow` is a host name, an address or a network in CIDR form.
    """

    is_open: bool
    allow: tuple[str, ...]

    @staticmethod
    def of(settings: Settings) -> Policy:
        """Return what the settings allow: bound to this machine alone, everything; else what is listed."""
        is_open = settings.is_loopback and not settings.callback_allow
        return Policy(is_open=is_open, allow=settings.callback_allow)

    def check(self, host: str, address: str) -> None:
        """Raise NotAllowedError unless deliveries may go to this address of this host."""
        try:
            meant = tuple(_meant(address))
        except ValueError:
            raise NotAllowedError(f"{host} ('{address[:80]}') is no address") from None
        networks = list(self._networks())
        for one in meant:
            for never, why in _NEVER:
                # A name that is listed may lead anywhere tomorrow, and 0.0.0.0/0 was not written with these in mind.
                if one in never and not any(one in entry and _is_part(entry, never) for entry in networks):
                    raise NotAllowedError(f"{host} ({address}) is {why}")
        if self.is_open or any(meant[0] in entry for entry in networks):
            return
        name = host.lower().rstrip(".")
        if not any(name == entry.lower().rstrip(".") for entry in self.allow):
            raise NotAllowedError(
                f"{host} ({address}) is not on the list of receivers; add --callback-allow {host}"
            )

    def _networks(self) -> Iterator[Network]:
        for entry in self.allow:
            try:
                yield ipaddress.ip_network(entry, strict=False)
            except ValueError:
                continue


def _is_part(entry: Network, whole: Network) -> bool:
    return entry.version == whole.version and entry.subnet_of(whole)  # type: ignore[arg-type]


def _meant(text: str) -> Iterator[Address]:
    """Yield the address that is called, then the IPv4 addresses that networks on the way may make of it."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    # Without its zone: an address with one lies in no network that has none.
    address = ipaddress.IPv6Address(int(address))
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    # The first few of ::/96 are ::, ::1 and their like, and mean themselves.
    if int(address) > 0xFFFF and any(address in prefix for prefix in _TRANSLATED):
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
