"""Makes small real pictures for tests: `picture(format="PNG", width=300, height=200)` is Base64."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from validator.cases import expand


@functools.cache
def picture(
    *,
    format: str = "PNG",
    width: int = 320,
    height: int = 320,
    carrier: str = "base64",
    bytes: int | None = None,
    cut: int = 0,
    text: str | None = None,
) -> str:
    """Return a picture as a request carries it.

    `carrier` is base64, data-uri or urlsafe; `bytes` pads the file to this size; `cut` drops so many bytes
    from its end; `text` replaces the file by these characters, for things that are no picture.
    """
    if text is not None:
        raw = text.encode()
    else:
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), (40, 90, 160)).save(buffer, format)
        raw = buffer.getvalue()
    if bytes is not None:
        # Behind the end marker: readers stop there, sizes do not.
        raw = raw + b"\0" * (bytes - len(raw) - 12) + raw[-12:]
    raw = raw[: len(raw) - cut] if cut else raw
    encoded = base64.b64encode(raw).decode()
    if carrier == "data-uri":
        return f"data:image/{format.lower()};base64,{encoded}"
    return encoded


def make(word: Mapping[str, Any]) -> str:
    """Return the picture that a `$picture` describes."""
    return picture(**word)


def with_pictures(value: Any) -> Any:
    """Return a body of a case file with everything in it that its macros stand for."""
    return expand(value, picture=make)
