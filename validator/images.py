"""Pictures in requests: what is behind a string, read from the file's header alone.

Never decodes pixels and never fetches; only `strategies/pictures.py` imports Pillow too, to make pictures.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from validator.report import size_text

Carrier = Literal["url", "base64", "data-uri", "placeholder", "none"]
Problem = Literal["not-base64", "not-an-image", "truncated", "too-many-pixels"]

_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_DATA_URI: Final = re.compile(r"data:([^;,]*)(;[^,]*)?,")
_PLACEHOLDER: Final = re.compile(r"<[^<>]*>")
_HEADS: Final = (4_096, 131_072)
"""Characters of Base64 that are tried for the header before the whole: enough for most, then for long EXIF."""

_TAIL: Final = 4_096
NO_SCAN, ENDLESS = 0, -1
MOST_SEGMENTS: Final = 5_000
"""Segments of a JPEG before its scan that are read; cameras write some twenty, colour profiles up to 255."""

_MEDIA_TYPES: Final = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    # A JPEG with more than one picture in it, as telephones make them; the first one counts.
    "MPO": "image/jpeg",
}
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What is known of a picture: sides in pixels, size of the file in bytes.

    Everything but `carrier` is None for a picture behind a URL, and for what a page prints in the place of
    one; `problem` says why a picture that is there
    cannot be used.
    """

    carrier: Carrier
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    problem: Problem | None = None

    @property
    def ratio(self) -> float | None:
        """Return width divided by height."""
        return self.width / self.height if self.width and self.height else None

    def __str__(self) -> str:
        """Return the form findings show: <image/png 200x400, 1.2 kB>."""
        if self.carrier == "url":
            return "<picture behind a URL>"
        if self.carrier == "placeholder":
            return "<placeholder of a page>"
        parts = [self.media_type or "no picture"]
        if self.width and self.height:
            parts[0] += f" {self.width}x{self.height}"
        if self.size_bytes is not None:
            parts.append(size_text(self.size_bytes))
        return f"<{', '.join(parts)}>"


_BEHIND_URL: Final = ImageInfo(carrier="url")
_PLACEHOLDER_INFO: Final = ImageInfo(carrier="placeholder")


def look(text: str) -> ImageInfo:
    """Return what is behind a string that should be a picture; never raises."""
    if _URL.match(text):
        return _BEHIND_URL
    if _PLACEHOLDER.fullmatch(text):
        return _PLACEHOLDER_INFO
    if match := _DATA_URI.match(text):
        if not (match[2] or "").endswith(";base64"):
            return ImageInfo(carrier="data-uri", problem="not-base64")
        return _read(text[match.end() :], "data-uri")
    return _read(text, "base64")


def _read(text: str, carrier: Carrier) -> ImageInfo:
    # A group of nothing but padding, which the standard library lets pass.
    if not text or len(text) % 4 or not text.isascii() or text.endswith("==="):
        return ImageInfo(carrier="none" if carrier == "base64" else carrier, problem="not-base64")
    size = len(text) // 4 * 3 - (2 if text.endswith("==") else 1 if text.endswith("=") else 0)
    for length in (*(head for head in _HEADS if head < len(text)), len(text)):
        try:
            head = base64.b64decode(text[:length], validate=True)
        except (binascii.Error, ValueError):
            return ImageInfo(carrier="none" if carrier == "base64" else carrier, problem="not-base64")
        info = _header(head, is_whole=length == len(text))
        if info is not None:
            break
    else:
        return ImageInfo(carrier=carrier, size_bytes=size, problem="not-an-image")
    media_type, width, height, problem = info
    make = partial(
        ImageInfo, carrier=carrier, media_type=media_type, width=width, height=height, size_bytes=size
    )
    if problem is not None:
        return make(problem=problem)
    try:
        tail = base64.b64decode(text[-_TAIL:], validate=True)
    except (binascii.Error, ValueError):
        return make(problem="not-base64")
    if _is_whole(media_type, tail, size, head):
        return make(problem=None)
    try:
        # Telephones append a film to a photograph: then the end of the picture lies somewhere before it.
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return make(problem="not-base64")
    return make(problem=None if _ends_before(media_type, data) else "truncated")


Header = tuple[str | None, int | None, int | None, Problem | None]


def _header(head: bytes, *, is_whole: bool) -> Header | None:
    """Return (media type, width, height, problem), or None where more of the file is needed or it is none."""
    # Imported when the first picture is seen: most requests carry URLs, and a start should not pay for it.
    from PIL import Image, UnidentifiedImageError

    if head.startswith(b"\xff\xd8\xff") and _scan(head) == ENDLESS:
        return "image/jpeg", None, None, "truncated"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(head), formats=_FORMATS) as image:
                width, height = image.size
                return _MEDIA_TYPES[image.format or ""], width, height, None
    except Image.DecompressionBombError:
        return _magic(head), None, None, "too-many-pixels"
    except UnidentifiedImageError:
        known = _magic(head)
        # A header that starts well and ends too soon: more of it may help; if this is all, the file is cut.
        return (known, None, None, "truncated") if known and is_whole else None
    except Exception:  # Pillow's plug-ins raise many kinds for broken files; each means the same here.
        return (_magic(head), None, None, "truncated") if is_whole and _magic(head) else None


def _magic(head: bytes) -> str | None:
    """Return the media type a file's first bytes claim."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


def _ends_before(media_type: str | None, data: bytes) -> bool:
    """Tell whether a picture with something behind it is there to its end, which no thumbnail in it can be.

    Sources: PNG 5.3 (chunks: length, type, data, CRC), JPEG B.1.1.4 (segments up to the scan, whose data hold
    no marker but restarts).
    """
    if media_type == "image/png":
        at = 8
        while at + 12 <= len(data):
            if data[at + 4 : at + 8] == b"IEND":
                return True
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return False
    if media_type == "image/jpeg":
        scan = _scan(data)
        return scan > 0 and b"\xff\xd9" in data[scan:]
    return False


def _scan(data: bytes) -> int:
    """Return where the scan of a JPEG begins, NO_SCAN where its segments do not lead there.

    ENDLESS where there are more segments than any picture needs, each of which costs the reader time.  A marker
    may have fill bytes before it; each of them counts as one.
    """
    at = 2
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return NO_SCAN
        if data[at + 1] == 0xDA:
            return at
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ENDLESS


def _is_whole(media_type: str | None, tail: bytes, size: int, head: bytes) -> bool:
    """Tell whether the end of the file is there.

    Sources: PNG 5.6 (IEND is last), JPEG B.1.1.3 (EOI), RIFF (size in the header), GIF89a 27 (trailer).
    Some tools append a few bytes; they are let pass.
    """
    match media_type:
        case "image/png":
            return b"IEND" in tail
        case "image/jpeg":
            return b"\xff\xd9" in tail
        case "image/webp":
            return size >= int.from_bytes(head[4:8], "little") + 8
        case "image/gif":
            # The end of the last block, then the trailer.
            return tail.rstrip(b"\0\r\n ").endswith(b"\x00\x3b")
    return True
