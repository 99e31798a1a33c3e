"""Chance: the only module that draws it.  The same seed and the same calls give the same ids."""

from __future__ import annotations

import hashlib
import random
import secrets
import string
from typing import Final

from validator.contract.model import Identifier

_NANOID: Final = string.ascii_letters + string.digits + "_-"
"""The alphabet of nanoid: 64 characters, so that six bits choose one."""


_BITS: Final = 384
"""Random bits that the longest form uses: 64 characters of six bits."""

_LOW_128: Final = (1 << 128) - 1
_VERSION_4: Final = (4 << 76) | (2 << 62)
_FREE: Final = _LOW_128 & ~(0xF << 76) & ~(0x3 << 62)

_LEAST_SNOWFLAKE: Final = 10**17 + (1 << 32)
_GREATEST_SNOWFLAKE: Final = (1 << 63) - 1
"""Snowflakes have 18 or 19 digits and fit into 63 bits, whatever year a clock is set to."""

_MASK: Final = 0x2A5A5A


class Dice:
    """A tenant's source of ids."""

    __slots__ = ("_count", "_head", "_mix", "_random", "_source")

    def __init__(self, seed: int | None, tenant: str) -> None:
        """Seed from a number and the tenant's name, or from the system where the seed is None."""
        source = secrets.token_hex(16) if seed is None else str(seed)
        # Ids must differ, not be hard to guess.
        self._source = f"{source}:{tenant}"
        self._random = random.Random(self._source)  # noqa: S311
        self._count = 0
        self._head = self.uuid()[:24]
        self._mix = self._random.getrandbits(48)

    def request_id(self) -> str:
        """Return a UUID for a request: a drawn head and a masked count, a tenth of the work of drawing it all."""
        self._count += 1
        return f"{self._head}{self._count ^ self._mix:012x}"

    def seed(self, name: str) -> int:
        """Return a seed for something of this name; the ids that come after are as they would have been."""
        return int(uniform(self._source, "seed", name) * 2**31)

    def uuid(self) -> str:
        """Return a random UUID."""
        return _uuid(self._random.getrandbits(128))

    def id(self, form: Identifier, now: int) -> str:
        """Return an id in the provider's form; `now` (milliseconds) dates a snowflake."""
        text = _written(form, self._random.getrandbits(_BITS), now)
        return form.prefix + text if form.prefix else text


def derived_id(form: Identifier, text: str, now: int) -> str:
    """Return an id in the provider's form that follows from another one, the same each time."""
    if form.format == "snowflake" and text.isdigit():
        # Two that differ must lead to two that differ, which a digest of so few bits does not promise.
        bits = int(text) ^ _MASK
    else:
        bits = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_BITS // 8).digest())
    written = _written(form, bits, now)
    return form.prefix + written if form.prefix else written


def _written(form: Identifier, bits: int, now: int) -> str:
    """Return random bits in the form that is asked for."""
    match form.format:
        case "uuid":
            return _uuid(bits & _LOW_128)
        case "snowflake":
            at = min(max(now - form.epoch, _LEAST_SNOWFLAKE >> form.shift), _GREATEST_SNOWFLAKE >> form.shift)
            return str((at << form.shift) | (bits & ((1 << form.shift) - 1)))
        case "nanoid":
            return "".join([_NANOID[(bits >> (6 * i)) & 63] for i in range(form.length)])
        case "hex":
            return f"{bits & ((1 << 4 * form.length) - 1):0{form.length}x}"
        case "digits":
            # No leading zero: clients read such ids as numbers.
            low = 10 ** (form.length - 1)
            return str(low + bits % (9 * low))


def _uuid(bits: int) -> str:
    """Return 128 bits as a UUID of version 4 (RFC 9562, 5.4)."""
    text = f"{(bits & _FREE) | _VERSION_4:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uniform(*parts: str | int) -> float:
    """Return a number from 0 up to 1 that follows from the parts, the same each time."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
