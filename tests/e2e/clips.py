"""What a downloaded file really is: ffprobe says, or PyAV where ffprobe is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True)
class Film:
    """The picture track of a file: sides in pixels, every frame really decoded; `has_audio` beside it."""

    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    codec: str
    has_audio: bool


def film(path: Path) -> Film:
    """Read a file to its end."""
    return _ffprobe(path) if shutil.which("ffprobe") else _av(path)


def _ffprobe(path: Path) -> Film:
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    streams = json.loads(done.stdout)["streams"]
    (video,) = (one for one in streams if one["codec_type"] == "video")
    return Film(
        width=video["width"],
        height=video["height"],
        fps=float(Fraction(video["avg_frame_rate"])),
        frames=int(video["nb_read_frames"]),
        seconds=float(video["duration"]),
        codec=video["codec_name"],
        has_audio=any(one["codec_type"] == "audio" for one in streams),
    )


def _av(path: Path) -> Film:
    import av

    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.duration is not None and video.time_base is not None and video.average_rate is not None
        return Film(
            width=video.width,
            height=video.height,
            fps=float(video.average_rate),
            frames=sum(1 for _ in container.decode(video)),
            seconds=float(video.duration * video.time_base),
            codec=video.codec_context.name,
            has_audio=bool(container.streams.audio),
        )
