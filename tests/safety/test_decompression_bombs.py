"""What is small on the line and large unpacked: nothing that comes from outside is unpacked.

Bodies are read as they come, pictures by their headers, and answers of receivers not at all.
"""

from __future__ import annotations

import base64
import gzip
import struct
import time
import tracemalloc
import zlib

import pytest

from tests.mock import Mock
from tests.mockserver.clients import clients
from tests.providers import LIBRARY
from tests.safety.memory import MB
from tests.safety.receiving import Trap, deliver
from validator.images import look

BOMB = gzip.compress(b'{"prompt": "' + b"a" * 64_000_000 + b'"}', compresslevel=9)
HONEST = gzip.compress(b'{"prompt": "a boat"}')


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
@pytest.mark.parametrize(
    "encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "compress", "identity;q=0"]
)
def test_a_packed_body_is_not_unpacked(name: str, encoding: str) -> None:
    with Mock(name, log="off") as mock:
        client = next(clients(mock, name))
        client.create()
        made = mock.admin("GET", "/tasks")["count"]
        tracemalloc.start()
        try:
            for body in (BOMB, HONEST, zlib.compress(b"{}"), gzip.compress(BOMB)):
                reply = mock.call(
                    "POST",
                    client.url(client.operation.path),
                    body=body,
                    headers=client.headers
                    | {"content-type": "application/json", "content-encoding": encoding},
                )
                assert 400 <= reply.status < 500
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert len(BOMB) < 100_000
        assert peak < 10 * MB
        assert made == mock.admin("GET", "/tasks")["count"]
        mock.admin("GET", "/requests")


def test_the_control_plane_unpacks_nothing_either() -> None:
    with Mock(log="off") as mock:
        for body in (BOMB, HONEST):
            reply = mock.call("PUT", "/__admin/clock", body=body, headers={"content-encoding": "gzip"})
            assert reply.status in (400, 413)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_a_receiver_answers_is_not_unpacked(encoding: str) -> None:
    packed = BOMB if encoding == "gzip" else zlib.compress(b"a" * 64_000_000, 9)
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    )
    with Trap(head + packed) as trap:
        deliver(f"http://127.0.0.1:{trap.port}/")
        tracemalloc.start()
        try:
            assert [200] == deliver(f"http://127.0.0.1:{trap.port}/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 10 * MB


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, width: int = 320, height: int = 320) -> str:
    """Return a PNG with these chunks before its pixels, in Base64."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * (width * 3 + 1) * height))
    raw = b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")
    return base64.b64encode(raw).decode()


PACKED = zlib.compress(b"a" * 200_000_000, 9)
PICTURES = {
    "text": png(chunk(b"zTXt", b"k\0\0" + PACKED)),
    "texts": png(
        *[chunk(b"zTXt", b"k%d\0\0" % index + zlib.compress(b"a" * 1_000_000, 9)) for index in range(100)]
    ),
    "long-text": png(chunk(b"iTXt", b"k\0\1\0\0\0" + PACKED)),
    "profile": png(chunk(b"iCCP", b"p\0\0" + PACKED)),
    "pixels": png(width=8_000, height=8_000),
    "exif": png(chunk(b"eXIf", b"MM\0*\0\0\0\x08" + b"\xff" * 100_000)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_what_is_packed_in_a_picture_stays_packed(kind: str) -> None:
    look(png())
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        look(PICTURES[kind])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(PICTURES[kind]) < 1_000_000
    # Of texts, Pillow unpacks 64 MiB and then no more.
    most = 80 if kind == "texts" else 12
    assert peak < most * MB, f"{peak / MB:.0f} MB"
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", LIBRARY)
def test_every_provider_answers_such_a_picture(name: str, kind: str) -> None:
    with Mock(name, log="off") as mock:
        for client in clients(mock, name):
            for member in ("image", "image_url", "image_tail", "start_image", "static_mask"):
                assert client.create(**{member: PICTURES[kind]}).status < 500
