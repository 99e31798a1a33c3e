"""The little video behind a result URL: made once for each shape, off the event loop, and kept.

With PyAV (the extra `media`) its length, sides and frame rate are those the task implies.  Without it one
small packaged clip is served, and the answer says so.  The only importer of av.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from typing import Any, Final

from validator.keywords import Shape

MEDIA_TYPE: Final = "video/mp4"
PACKAGED_CLIP: Final = "clip.mp4"
_ENCODING: Final = {"preset": "ultrafast", "crf": "51", "g": "1", "bf": "0", "x264-params": "cabac=1"}
"""Every frame a key frame; arithmetic coding, which makes a still picture a tenth of the size."""

log: Final = logging.getLogger("understudy")

_SAMPLE_RATE: Final = 48_000
_FRAME_SAMPLES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Clip:
    """A file to serve; `is_packaged` when it is the stock clip and not one made to measure."""

    content: bytes
    is_packaged: bool


def can_make_clips() -> bool:
    """Tell whether PyAV is installed, without importing it."""
    return importlib.util.find_spec("av") is not None


class Artifacts:
    """Makes and keeps clips; one is made at a time, in a thread."""

    def __init__(self, *, max_bytes: int) -> None:
        """Keep clips up to so many bytes, the least recently asked for go first."""
        self._max_bytes = max_bytes
        self._clips: OrderedDict[Shape, bytes] = OrderedDict()
        self._size = 0
        self._making: dict[Shape, asyncio.Future[bytes]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._can_make = can_make_clips()

    async def clip(self, shape: Shape) -> Clip:
        """Return the clip of a shape; those who ask while it is being made wait for the same one."""
        if not self._can_make:
            return Clip(packaged_clip(), is_packaged=True)
        content = self._clips.get(shape)
        if content is None:
            try:
                content = await asyncio.shield(self._make(shape))
            except Exception:
                # A library that does not load, or lacks the encoder; each has errors of its own.
                log.exception("no clip could be made; the packaged one is served from now on")
                self._can_make = False
                return Clip(packaged_clip(), is_packaged=True)
        else:
            self._clips.move_to_end(shape)
        return Clip(content, is_packaged=False)

    def _make(self, shape: Shape) -> asyncio.Future[bytes]:
        making = self._making.get(shape)
        if making is None:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="media")
            loop = asyncio.get_running_loop()
            making = loop.run_in_executor(self._thread, encode, shape)
            self._making[shape] = making
            making.add_done_callback(lambda made: self._keep(shape, made))
        return making

    def _keep(self, shape: Shape, made: asyncio.Future[bytes]) -> None:
        del self._making[shape]
        if made.cancelled() or made.exception() is not None:
            return
        self._clips[shape] = made.result()
        self._size += len(made.result())
        while self._size > self._max_bytes and len(self._clips) > 1:
            _, dropped = self._clips.popitem(last=False)
            self._size -= len(dropped)

    def close(self) -> None:
        """Let the thread go, without waiting for a clip nobody will see."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def packaged_clip() -> bytes:
    """Return the stock clip: one second, 320 x 180 pixels."""
    return resources.files("mockserver").joinpath(PACKAGED_CLIP).read_bytes()


def encode(shape: Shape) -> bytes:
    """Return an MP4 (H.264, and AAC silence where the shape has audio) of exactly this shape.

    A still picture: two key frames are encoded and their packets repeated for as many frames as are wanted, so
    that the work does not grow with the length.  Two and not one, because neighbouring key frames must
    carry different numbers (H.264, 7.4.3, idr_pic_id).
    """
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=shape.fps, options=_ENCODING)
        video.width, video.height, video.pix_fmt = shape.width, shape.height, "yuv420p"
        audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono") if shape.has_audio else None
        packets = _key_frames(av, video, shape)
        step = packets[0].duration or 1
        for index in range(shape.frames):
            packet = av.Packet(bytes(packets[index % 2]))
            packet.stream, packet.time_base = video, packets[0].time_base
            packet.pts = packet.dts = index * step
            packet.duration, packet.is_keyframe = step, True
            container.mux(packet)
        if audio is not None:
            _silence(av, container, audio, shape.frames / shape.fps)
    return buffer.getvalue()


def _key_frames(av: Any, stream: Any, shape: Shape) -> list[Any]:
    packets = []
    for index in range(2):
        frame = av.VideoFrame(shape.width, shape.height, "yuv420p")
        for plane, level in zip(frame.planes, (96, 150, 110), strict=True):
            plane.update(_gradient(plane, level))
        frame.pts, frame.time_base = index, Fraction(1, shape.fps)
        packets += stream.encode(frame)
    return packets + list(stream.encode())


def _gradient(plane: Any, level: int) -> bytes:
    """Return a plane of eight stripes that darken from left to right: a picture, and a small file."""
    row = bytes(max(16, level - 8 * (8 * x // plane.line_size)) for x in range(plane.line_size))
    return row * int(plane.buffer_size // plane.line_size)


def _silence(av: Any, container: Any, stream: Any, seconds: float) -> None:
    # Never longer than the picture, whose length is what the answer says.
    for index in range(int(seconds * _SAMPLE_RATE) // _FRAME_SAMPLES):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=_FRAME_SAMPLES)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = _SAMPLE_RATE, index * _FRAME_SAMPLES
        frame.time_base = Fraction(1, _SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
