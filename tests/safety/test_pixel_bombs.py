"""Pictures of billions of pixels in a few bytes: judged by their headers, never decoded, never a failure of ours."""

from __future__ import annotations

import base64
import struct
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from PIL import Image, ImageFile

from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.pictures import picture
from tests.providers import LIBRARY, contract
from tests.safety.memory import MB
from tests.safety.test_decompression_bombs import chunk
from validator.images import look

MEMBERS = (
    "image",
    "image_url",
    "image_tail",
    "start_image",
    "start_image_url",
    "static_mask",
    "picture",
    "mask",
)


def png(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    frame = b",\0\0\0\0" + struct.pack("<HH", width, height) + b"\0\x02\x02D\x01\0"
    return (
        b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff" + frame * 1_000 + b";"
    )


def jpeg(width: int, height: int) -> bytes:
    frame = (
        b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"
    )
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + frame + b"\xff\xda\0\x02\xff\xd9"


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def webp(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    content = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size
    return b"RIFF" + struct.pack("<I", len(content)) + content


BOMBS = {
    "png-most": png(2**31 - 1, 2**31 - 1),
    "png-beyond": png(2**32 - 1, 2**32 - 1),
    "png-wide": png(2**31 - 1, 1),
    "png-tall": png(1, 2**31 - 1),
    "png-nothing": png(0, 0),
    "png-100k": png(100_000, 100_000),
    "png-deep": png(50_000, 50_000, depth=16, colour=6),
    "png-bits": png(100_000, 100_000, depth=1, colour=0),
    "png-two-headers": png(100, 100)[:33] + png(100_000, 100_000)[8:],
    "gif-most": gif(65_535, 65_535),
    "gif-nothing": gif(0, 0),
    "jpeg-most": jpeg(65_535, 65_535),
    "jpeg-nothing": jpeg(0, 0),
    "bmp-most": bmp(2**31 - 1, 2**31 - 1),
    "bmp-upside-down": bmp(2**31 - 1, -(2**31)),
    "webp-most": webp(2**24, 2**24),
    "no-picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 1_000,
    "tiff": b"II*\0\x08\0\0\0" + b"\xff" * 500,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='99999999' height='99999999'/>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
    "ico": b"\0\0\x01\0\xff\xff" + b"\0" * 500,
}


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a picture is decoded."""

    def load(*_: Any) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(AssertionError, match="decoded"):
        Image.new("RGB", (1, 1)).convert("L")


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_looked_at_and_not_opened(kind: str) -> None:
    text = base64.b64encode(BOMBS[kind]).decode()
    look(text)
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        info = look(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert time.perf_counter() - begun < 0.5
    assert peak < 5 * MB
    if "most" in kind or "100k" in kind:
        assert info.problem is not None, info


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize("carrier", ["base64", "data-uri"])
def test_every_provider_judges_it(name: str, carrier: str) -> None:
    """Refused, or taken for a task that fails, as the provider does; and told in the journal."""
    picture()
    with Mock(name, log="off") as mock:
        for client in clients(mock, name):
            body = contract(name).operations[client.operation.id].body
            assert body is not None
            for kind, raw in BOMBS.items():
                text = base64.b64encode(raw).decode()
                text = text if carrier == "base64" else f"data:image/png;base64,{text}"
                for member in MEMBERS:
                    if member not in str(body.tree):
                        continue
                    reply = client.create(**{member: text})
                    assert reply.status < 500, (kind, member, reply)
        shown = mock.admin("GET", "/requests?limit=1000")["requests"]

    assert not [one for one in shown if one["response"]["status"] >= 500]


def test_a_picture_that_is_large_and_true_costs_no_more_than_its_header() -> None:
    """Ten thousand pixels a side: decoded it would be 300 MB."""
    text = picture(width=10_000, height=10_000)
    tracemalloc.start()
    try:
        info = look(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (10_000, 10_000) == (info.width, info.height)
    assert peak < 5 * MB
