"""The requests that are measured with: for each provider a small one, large ones, and one that is all wrong."""

from __future__ import annotations

import base64
import functools
import io
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SIZE: Final = 40_000
"""Bytes of a large body, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What measuring a provider takes: its main create, how a task is read and listed, and bodies for it.

    `small` is a valid body; `picture` the member that holds the first frame; `needed` what every body must
    have; `wrong` a body with as many faults as fit into it; `task_id` leads to the id in the answer.
    """

    id: str
    operation: str
    create: str
    read: str
    list: str | None
    header: tuple[str, str]
    small: Mapping[str, Any]
    picture: str
    needed: Mapping[str, Any]
    wrong: Mapping[str, Any]
    task_id: tuple[str, ...]


_BEARER: Final = ("Authorization", "Bearer understudy-bench-0000000000000000000000")
_FRAME: Final = "https://example.com/first.png"
_MODEL: Final = "kling-video/v1/standard/image-to-video"

PROVIDERS: Final = {
    one.id: one
    for one in (
        Provider(
            id="kling",
            operation="createImage2Video",
            create="/kling/v1/videos/image2video",
            read="/kling/v1/videos/image2video/{id}",
            list="/kling/v1/videos/image2video?pageNum=1&pageSize=30",
            header=_BEARER,
            small={
                "model_name": "kling-v2-6",
                "mode": "pro",
                "duration": "5",
                "image": _FRAME,
                "prompt": "A paper boat drifts down a rainy street at dusk",
                "negative_prompt": "blur, text",
                "sound": "off",
            },
            picture="image",
            needed={},
            wrong={
                "model_name": "kling-v9",
                "mode": "fast",
                "duration": "7",
                "image": "data:image/png;base64,AAAA",
                "prompt": "x" * 2_600,
                "cfg_scale": 3,
                "sound": True,
                "callback_url": 7,
                "camera_control": {"type": "spin"},
                "dynamic_masks": [{"trajectories": [{"x": "left"}]}],
            },
            task_id=("data", "task_id"),
        ),
        Provider(
            id="magnific",
            operation="createImageToVideo",
            create="/magnific/v1/ai/video/kling-4k-i2v",
            read="/magnific/v1/ai/video/kling-4k-i2v/{id}",
            list="/magnific/v1/ai/video/kling-4k-i2v?page=1&per_page=30",
            header=("x-magnific-api-key", "understudy-bench"),
            small={
                "image": _FRAME,
                "prompt": "A paper boat drifts down a rainy street at dusk",
                "duration": 5,
            },
            picture="image",
            needed={},
            wrong={
                "image": 7,
                "prompt": "x" * 2_600,
                "duration": "7",
                "cfg_scale": "high",
                "webhook_url": 7,
                "dynamic_masks": [{"trajectories": [{"x": "left"}]}],
            },
            task_id=("data", "task_id"),
        ),
        Provider(
            id="modellix",
            operation="createImageToVideoKlingV1I2vAsync",
            create="/modellix/api/v1/image-to-video/kling/kling-v1-i2v/async",
            read="/modellix/api/v1/tasks/{id}",
            list=None,
            header=_BEARER,
            small={
                "image": _FRAME,
                "prompt": "A paper boat drifts down a rainy street at dusk",
                "duration": 5,
            },
            picture="image",
            needed={},
            wrong={
                "image": 7,
                "prompt": "x" * 2_600,
                "duration": "7",
                "mode": "fast",
                "cfg_scale": 3,
                "dynamic_masks": [{"trajectories": [{"x": "left"}]}],
            },
            task_id=("data", "task_id"),
        ),
        Provider(
            id="aimlapi",
            operation="createGeneration",
            create="/aimlapi/v2/video/generations",
            read="/aimlapi/v2/video/generations?generation_id={id}",
            list=None,
            header=_BEARER,
            small={
                "model": _MODEL,
                "image_url": _FRAME,
                "prompt": "A paper boat drifts down a rainy street at dusk",
                "duration": "5",
            },
            picture="image_url",
            needed={"model": _MODEL},
            wrong={
                "model": "kling",
                "image_url": 7,
                "prompt": 7,
                "duration": "7",
                "cfg_scale": 3,
                "dynamic_masks": [{"trajectories": [{"x": "left"}]}],
            },
            task_id=("id",),
        ),
    )
}


def small(provider: Provider) -> bytes:
    """Return a valid body of about 200 bytes."""
    return json.dumps(provider.small).encode()


def with_picture(provider: Provider) -> bytes:
    """Return a valid body of about 40 kB, nearly all of it a picture in Base64."""
    return json.dumps({**provider.small, provider.picture: _noise()}).encode()


def with_points(provider: Provider) -> bytes:
    """Return a valid body of about 40 kB, nearly all of it the points of six trajectories, written with indents."""
    masks = [
        {"mask": _FRAME, "trajectories": [{"x": 100 + step, "y": 200 + 2 * step} for step in range(68)]}
        for _ in range(6)
    ]
    body = {**provider.needed, provider.picture: _FRAME, "dynamic_masks": masks}
    return json.dumps(body, indent=4).encode()


def wrong(provider: Provider) -> bytes:
    """Return a body with many faults."""
    return json.dumps(provider.wrong).encode()


@functools.cache
def _noise() -> str:
    """Return a picture of about 30 kB that cannot be compressed, as Base64."""
    from PIL import Image

    wide, high = 320, 320
    picture = Image.new("RGB", (wide, high), (40, 90, 160))
    # Enough random rows to reach the size; the rest is plain.
    dice = random.Random(1)
    rows = SIZE * 3 // 4 // (wide * 3)
    picture.paste(Image.frombytes("RGB", (wide, rows), dice.randbytes(wide * rows * 3)), (0, 0))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
