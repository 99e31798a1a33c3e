"""Pictures: what is behind a string, told from headers alone, whatever the string is."""

from __future__ import annotations

import base64
import functools
import io
import random
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from validator.images import ImageInfo, look

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


@functools.cache
def file(format_: str, width: int = 60, height: int = 40, mode: str = "RGB", **options: Any) -> bytes:
    """Return a picture file with something in it, so that cutting it loses pixels."""
    noise = random.Random(7).randbytes(width * height * len(mode))
    buffer = io.BytesIO()
    Image.frombytes(mode, (width, height), noise).save(buffer, format_, **options)
    return buffer.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def seen(content: bytes) -> ImageInfo:
    return look(text(content))


# --- carriers ---------------------------------------------------------------------------------------------

PNG = text(file("PNG"))


@pytest.mark.parametrize(
    ("string", "carrier", "media_type", "problem"),
    [
        ("https://example.com/a.png", "url", None, None),
        ("HTTP://example.com", "url", None, None),
        ("http://", "url", None, None),
        (PNG, "base64", "image/png", None),
        (f"data:image/png;base64,{PNG}", "data-uri", "image/png", None),
        (f"data:image/png;charset=utf-8;base64,{PNG}", "data-uri", "image/png", None),
        (f"data:;base64,{PNG}", "data-uri", "image/png", None),
        # What a prefix claims counts for nothing: the bytes say what it is.
        (f"data:image/jpeg;base64,{PNG}", "data-uri", "image/png", None),
        (f"data:text/plain;base64,{PNG}", "data-uri", "image/png", None),
        (f"data:image/png,{PNG}", "data-uri", None, "not-base64"),
        (f"data:image/png;BASE64,{PNG}", "data-uri", None, "not-base64"),
        ("data:image/png;base64,", "data-uri", None, "not-base64"),
        ("data:image/png;base64,%%%%", "data-uri", None, "not-base64"),
        ("data:image/png;base64", "none", None, "not-base64"),
        ("file:///a.png", "none", None, "not-base64"),
        ("ftp://example.com/a.png", "none", None, "not-base64"),
        ("", "none", None, "not-base64"),
        ("a.png", "none", None, "not-base64"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}bcd", "none", None, "not-base64"),
        ("\ud800abc", "none", None, "not-base64"),
        ("aGVsbG8gd29ybGQh", "base64", None, "not-an-image"),
        (text(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "base64", None, "not-an-image"),
        (text(b"%PDF-1.7 " + b"x" * 900), "base64", None, "not-an-image"),
    ],
)  # fmt: skip
def test_a_string_is_told_by_its_form(
    string: str, carrier: str, media_type: str | None, problem: str | None
) -> None:
    info = look(string)

    assert (carrier, media_type, problem) == (info.carrier, info.media_type, info.problem)


@pytest.mark.parametrize(
    "spoilt",
    [
        PNG[:40] + "\n" + PNG[40:],
        PNG[:40] + "\r\n\r\n" + PNG[40:],
        PNG + "\n",
        PNG + "\n\n\n\n",
        "    " + PNG,
        PNG.replace("+", "-").replace("/", "_") + "-_-_",
        PNG.rstrip("=")[:-1],
        PNG + "=",
        PNG + "====",
        "====",
        "Q===",
        "QQ==QQ==",
        "=" + PNG[1:],
        PNG[:40] + "\0\0\0\0" + PNG[40:],
    ],
)
def test_base64_that_a_strict_reader_refuses_is_none(spoilt: str) -> None:
    assert "not-base64" == look(spoilt).problem
    assert "not-base64" == look(f"data:image/png;base64,{spoilt}").problem


def test_base64_that_is_spoilt_near_its_end_is_found() -> None:
    long = text(file("PNG", 600, 400))
    assert len(long) > 200_000

    for place in (len(long) - 100, len(long) - 8):
        assert "not-base64" == look(long[:place] + "\n\n\n\n" + long[place:]).problem


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_the_size_is_that_of_the_file(padding: int) -> None:
    content = file("PNG")
    content += b"\0" * ((padding - len(content)) % 3)

    assert len(content) == seen(content).size_bytes


# --- formats ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (60, 40), (41, 400)])
def test_format_and_sides_come_from_the_bytes(format_: str, width: int, height: int) -> None:
    content = file(format_, width, height)

    assert ImageInfo(
        carrier="base64",
        media_type=FORMATS[format_],
        width=width,
        height=height,
        size_bytes=len(content),
    ) == seen(content)


@pytest.mark.parametrize(
    ("format_", "mode", "options"),
    [
        ("PNG", "L", {}),
        ("PNG", "RGBA", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {}),
        ("GIF", "L", {}),
    ],
)
def test_every_kind_of_a_format_is_read(format_: str, mode: str, options: dict[str, Any]) -> None:
    info = seen(file(format_, mode=mode, **options))

    assert (FORMATS[format_], 60, 40, None) == (info.media_type, info.width, info.height, info.problem)


def test_a_header_behind_much_else_is_found() -> None:
    jpeg = file("JPEG")
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", 60_000) + b"c" * 59_998 for _ in range(5))

    info = seen(jpeg[:2] + comments + jpeg[2:])

    assert ("image/jpeg", 60, 40, None) == (info.media_type, info.width, info.height, info.problem)


def test_a_format_that_nobody_takes_is_no_picture() -> None:
    for format_ in ("TIFF", "ICO", "PPM", "TGA"):
        assert "not-an-image" == seen(file(format_)).problem


# --- broken files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_that_is_cut_is_found(format_: str, kept: float) -> None:
    content = file(format_, 120, 80)

    info = seen(content[: int(len(content) * kept)])

    assert (FORMATS[format_], "truncated") == (info.media_type, info.problem)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_cut_is_found_wherever_pillow_finds_it(format_: str) -> None:
    """The oracle decodes; what it cannot decode must not pass as a whole picture."""
    content = file(format_, 33, 21)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES

    for length in range(len(content)):
        info = seen(content[:length])
        if info.problem is None:
            with Image.open(io.BytesIO(content[:length])) as image:
                image.load()
            assert (33, 21) == (info.width, info.height)


@pytest.mark.parametrize("format_", FORMATS)
def test_bytes_behind_the_end_do_not_hide_a_whole_file(format_: str) -> None:
    assert seen(file(format_) + b"\0" * 10).problem is None


FILM = random.Random(3).randbytes(40_000).replace(b"\xff\xd9", b"\0\0").replace(b"IEND", b"\0\0\0\0")


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_a_photograph_with_a_film_behind_it_is_whole(format_: str) -> None:
    content = file(format_)

    assert seen(content + FILM).problem is None
    # Cut inside the picture, it is not, whatever stands behind.
    assert "truncated" == seen(content[: len(content) // 2] + FILM).problem


def test_a_thumbnail_inside_does_not_stand_for_the_end() -> None:
    jpeg, thumbnail = file("JPEG", 120, 80), file("JPEG", 16, 16)
    exif = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    whole = jpeg[:2] + exif + jpeg[2:]

    assert seen(whole + FILM).problem is None
    assert "truncated" == seen(whole[:-600] + FILM).problem


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    jpeg = file("JPEG")
    filled = jpeg[:2] + b"\xff" * 7 + jpeg[2:]

    assert seen(filled).problem is None
    assert seen(filled + FILM).problem is None


def test_a_jpeg_of_nothing_but_segments_takes_no_time() -> None:
    jpeg = file("JPEG")
    segments = b"\xff\xe2\x00\x02" * 1_000_000
    picture = text(jpeg[:2] + segments + jpeg[2:])

    began = time.perf_counter()
    info = look(picture)

    assert ("image/jpeg", "truncated") == (info.media_type, info.problem)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("magic", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x10\x00\x00\x00WEBP", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
    ],
)
def test_a_good_beginning_without_the_rest_is_a_cut_file(magic: bytes, media_type: str) -> None:
    info = seen(magic)

    assert (media_type, None, None, "truncated") == (info.media_type, info.width, info.height, info.problem)


@pytest.mark.parametrize(
    "start", [b"\x89PNG\n\x1a\n", b"\x88PNG\r\n\x1a\n", b"\xff\xd7\xff", b"GIF88a", b"RIFF1234WAVE"]
)
def test_a_wrong_beginning_is_no_picture(start: bytes) -> None:
    assert "not-an-image" == seen(start + file("PNG")[8:]).problem


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claiming(width: int, height: int, *, whole: bool = True) -> bytes:
    """Return a PNG of a hundred bytes that claims to be of any size."""
    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return header + chunk(b"IDAT", zlib.compress(b"")) + (chunk(b"IEND", b"") if whole else b"")


@pytest.mark.parametrize(
    ("width", "height", "problem"),
    [
        (10_000, 10_000, None),
        (13_000, 13_000, None),
        (13_500, 13_500, "too-many-pixels"),
        (50_000, 50_000, "too-many-pixels"),
        (2**31 - 1, 2**31 - 1, "too-many-pixels"),
    ],
)
def test_a_bomb_is_found_by_what_it_claims(width: int, height: int, problem: str | None) -> None:
    info = seen(claiming(width, height))

    assert ("image/png", problem) == (info.media_type, info.problem)
    assert ((width, height) if problem is None else (None, None)) == (info.width, info.height)


def test_a_large_picture_of_which_only_the_beginning_came_is_cut() -> None:
    info = seen(claiming(9_000, 9_000, whole=False))

    assert (9_000, 9_000, "truncated") == (info.width, info.height, info.problem)


def test_pixels_are_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("decoded")

    files = [file(format_, 61, 43) for format_ in FORMATS]
    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    monkeypatch.setattr(Image.Image, "load", refuse)

    for content in files:
        assert seen(content).problem is None


@given(content=st.binary(max_size=120), head=st.sampled_from([b"", *(file(one)[:30] for one in FORMATS)]))
def test_any_bytes_are_told_something(content: bytes, head: bytes) -> None:
    info = seen(head + content)

    assert info.problem is not None or (info.width and info.height)


@given(string=st.text(max_size=60) | st.text("ABCab+/=-_ \n", max_size=60))
def test_any_text_is_told_something(string: str) -> None:
    for one in (string, f"data:image/png;base64,{string}", f"https://{string}"):
        info = look(one)

        assert (info.problem is None) == (info.carrier == "url")


# --- how it reads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "shown", "ratio"),
    [
        (ImageInfo(carrier="url"), "<picture behind a URL>", None),
        (
            ImageInfo(carrier="base64", media_type="image/png", width=200, height=400, size_bytes=1_234),
            "<image/png 200x400, 1.2 kB>",
            0.5,
        ),
        (ImageInfo(carrier="base64", size_bytes=12, problem="not-an-image"), "<no picture, 12 B>", None),
        (ImageInfo(carrier="none", problem="not-base64"), "<no picture>", None),
    ],
)  # fmt: skip
def test_a_picture_is_shown_in_a_few_words(info: ImageInfo, shown: str, ratio: float | None) -> None:
    assert (shown, ratio) == (str(info), info.ratio)
