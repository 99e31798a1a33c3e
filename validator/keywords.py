"""Our two words at work: what `x-image` and `x-capabilities` find in a body.

The schema engine has judged the JSON before; here pictures are looked at, and a refusal of a capability
gets its explanation: which combination nearby would work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from validator.contract.capabilities import key_texts
from validator.contract.expressions import MISSING, Json, find_member, format_pointer
from validator.contract.model import BodySchema, Capabilities, Feature, ImageRule, ImageSite, Row, Rule
from validator.contract.schemas import ratio_value
from validator.images import ImageInfo, look
from validator.report import field_name, size_text

MEMO: Final = 4_096
"""Outcomes that are remembered; a provider has a few hundred."""

LONGEST_CLIP_S: Final = 3_600.0
"""Seconds of a clip at most, whatever a body asks for."""

SAME_RATIO: Final = 0.01
"""How far two aspect ratios may differ and still be called the same.

assumption: sides are whole pixels, so that a scaled copy is rarely exact; a provider's own tolerance,
measured with pictures one pixel apart, would settle it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFinding:
    """A picture that breaks a rule: where, by which property of the word, what it is and what it should be."""

    rule: Rule
    pointer: str
    keyword: str
    found: str
    allowed: str
    suggestion: str = ""


@dataclass(slots=True)
class Pictures:
    """All pictures of a body, each looked at once; `infos` maps the pointer of a member to what is there."""

    infos: dict[str, ImageInfo] = field(default_factory=dict)
    findings: list[ImageFinding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def judge_pictures(sites: Sequence[ImageSite], body: Json) -> Pictures:
    """Look at every picture of a body; never raises and never fetches."""
    pictures = Pictures()
    groups: dict[tuple[str, str], list[tuple[str, ImageInfo, ImageRule]]] = {}
    if not isinstance(body, dict):
        return pictures
    for site in sites:
        if site.pattern[0] not in body:
            continue
        single = ((site.pointer, find_member(body, site.pointer)),) if site.pointer else ()
        for pointer, text in single or members(body, site.pattern):
            if not isinstance(text, str):
                continue
            info = pictures.infos[pointer] = look(text)
            if info.carrier in _UNSEEN:
                pictures.unchecked.append(f"{field_name(pointer)}: {_UNSEEN[info.carrier]}")
                continue
            if info.problem is not None and not any(rule.media_types for rule in site.rules):
                # Nobody asks whether it can be read; what it is like stays unknown all the same.
                pictures.unchecked.append(f"{field_name(pointer)}: {info}, {_PROBLEMS[info.problem]}")
            for rule in site.rules:
                pictures.findings += _judge(rule, pointer, info)
                for kind, label in (("sameAspectRatio", rule.same_ratio), ("sameSize", rule.same_size)):
                    if label is not None:
                        groups.setdefault((kind, label), []).append((pointer, info, rule))
    for (kind, _), group in groups.items():
        pictures.findings += _judge_group(kind, group)
    return pictures


def members(
    value: Json, pattern: tuple[str, ...], at: tuple[str | int, ...] = ()
) -> Iterator[tuple[str, Json]]:
    """Yield (pointer, value) of every member a pattern like ('masks', '*', 'mask') leads to."""
    if not pattern:
        yield format_pointer(at), value
    elif pattern[0] == "*":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from members(item, pattern[1:], (*at, index))
    elif isinstance(value, dict) and pattern[0] in value:
        yield from members(value[pattern[0]], pattern[1:], (*at, pattern[0]))


def _judge(rule: ImageRule, pointer: str, info: ImageInfo) -> Iterator[ImageFinding]:
    """Yield what one rule says about one picture."""

    def finding(keyword: str, found: str, allowed: str) -> ImageFinding:
        return ImageFinding(rule=rule.rule, pointer=pointer, keyword=keyword, found=found, allowed=allowed)

    if info.problem == "not-base64":
        # The carrier's fault, which the schema engine tells.
        return
    if rule.media_types:
        allowed = " or ".join(rule.media_types)
        if info.problem is not None:
            yield finding("mediaTypes", f"{info}, {_PROBLEMS[info.problem]}", allowed)
        elif info.media_type not in rule.media_types:
            yield finding("mediaTypes", str(info), allowed)
    if rule.max_bytes is not None and info.size_bytes is not None and info.size_bytes > rule.max_bytes:
        allowed = f"at most {rule.max_bytes:,} bytes ({size_text(rule.max_bytes)})"
        yield finding("maxBytes", f"{info.size_bytes:,} bytes ({size_text(info.size_bytes)})", allowed)
    if info.width is None or info.height is None or info.ratio is None:
        return
    if rule.min_width is not None and info.width < rule.min_width:
        yield finding("minWidth", f"{info.width} x {info.height} pixels", f"at least {rule.min_width} wide")
    if rule.min_height is not None and info.height < rule.min_height:
        yield finding("minHeight", f"{info.width} x {info.height} pixels", f"at least {rule.min_height} high")
    low, high = rule.ratio_texts
    is_low = rule.min_ratio is not None and info.ratio < rule.min_ratio * (1 - 1e-9)
    is_high = rule.max_ratio is not None and info.ratio > rule.max_ratio * (1 + 1e-9)
    if is_low or is_high:
        yield finding("aspectRatio", f"{info.width}:{info.height} ({info.ratio:.2f}:1)", f"{low} to {high}")


_UNSEEN: Final[Mapping[str, str]] = {
    "url": "the picture behind the URL (never fetched)",
    "placeholder": "the picture that a placeholder stands for",
}

_PROBLEMS: Final[Mapping[str, str]] = {
    "not-base64": "which is no Base64",
    "not-an-image": "which is no picture",
    "truncated": "which ends too soon",
    "too-many-pixels": "with more pixels than any reader would decode",
}


def _judge_group(kind: str, group: Sequence[tuple[str, ImageInfo, ImageRule]]) -> Iterator[ImageFinding]:
    """Yield the pictures of a group that differ from its first one that could be looked at."""
    seen = [(pointer, info, rule) for pointer, info, rule in group if info.ratio is not None]
    if not seen:
        return
    first_pointer, first, _ = seen[0]
    for pointer, info, rule in seen[1:]:
        if kind == "sameSize":
            differs = (info.width, info.height) != (first.width, first.height)
        else:
            assert info.ratio is not None and first.ratio is not None
            differs = abs(info.ratio - first.ratio) > SAME_RATIO * first.ratio * (1 + 1e-9)
        if differs:
            yield ImageFinding(
                rule=rule.rule,
                pointer=pointer,
                keyword=kind,
                found=f"{info.width} x {info.height} pixels",
                allowed=f"{'the size' if kind == 'sameSize' else 'the shape'} of {first_pointer}, "
                f"{first.width} x {first.height} pixels",
            )


# --- capabilities -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The clip that a body makes: sides in pixels, length in frames; `seconds` as providers print it."""

    width: int
    height: int
    fps: int
    frames: int
    seconds: float
    has_audio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a body will cost and bring; equal bodies share one."""

    cost: float
    shape: Shape | None = None


def refused_uses(capabilities: Capabilities, body: Mapping[str, Json], row: Row | None) -> list[Rule]:
    """Return the rules that a body breaks by using what its row does not offer, or by having no row at all."""
    if row is None:
        rule = capabilities.rule
        return [rule] if rule is not None and rule.effect != "off" else []
    needs = row.refused_needs
    if needs is not None and needs.isdisjoint(body):
        return []
    return [one.rule for one in row.refused if one.rule is not None and one.uses(body)]


def used_features(capabilities: Capabilities, body: Json) -> dict[str, Feature]:
    """Return the features a body uses, by name."""
    return {name: feature for name, feature in capabilities.features.items() if feature.uses(body)}


def key_values(schema: BodySchema, body: Mapping[str, Json]) -> dict[str, str]:
    """Return the texts of the capability keys of a body, by name; {} where there is no map."""
    if schema.capabilities is None:
        return {}
    return dict(zip(schema.capabilities.keys, key_texts(schema.capabilities, body), strict=True))


def nearest_combination(capabilities: Capabilities, body: Mapping[str, Json]) -> str:
    """Return what to change, and to what, so that every feature the body uses is offered; "" for never.

    The row with the fewest changes wins, the earlier one in the map among equals.
    """
    ruled = {
        name
        for name, feature in used_features(capabilities, body).items()
        if feature.rule is not None and feature.rule.effect != "off"
    }
    texts = dict(zip(capabilities.keys, key_texts(capabilities, body), strict=True))
    best: dict[str, str] | None = None
    for row in capabilities.rows:
        if not ruled <= row.features:
            continue
        changes = {key: values[0] for key, values in row.match.items() if texts[key] not in values}
        if best is None or len(changes) < len(best):
            best = changes
    if best is None:
        names = " and ".join(sorted(ruled))
        return f"no combination offers {names}" + (" together" if len(ruled) > 1 else "")
    return ", ".join(f"{key} '{value}'" for key, value in best.items())


def outcome(
    schema: BodySchema, body: Mapping[str, Json], pictures: Mapping[str, ImageInfo], row: Row | None
) -> Outcome | None:
    """Return what a body costs and what clip it makes, or None where no row of the map covers it."""
    capabilities = schema.capabilities
    if capabilities is None or row is None:
        return None
    length: Json = 0
    if capabilities.duration is not None:
        length = _member(schema, body, capabilities.duration)
    ratio = _frame_ratio(schema, capabilities, body, pictures)
    used = tuple(name for name in row.watched if capabilities.features[name].uses(body))
    key = (id(row), length, ratio, used) if isinstance(length, str | int | float) else None
    known = capabilities.memo.get(key)
    if known is None:
        known = _outcome(row, _seconds(length), ratio, used)
        if len(capabilities.memo) > MEMO:
            capabilities.memo.clear()
        if key is not None:
            capabilities.memo[key] = known
    return known


def price_of(
    schema: BodySchema, body: Mapping[str, Json], pictures: Mapping[str, ImageInfo], row: Row | None
) -> float | None:
    """Return what a body costs in the provider's units, None where the contract does not say.

    A row without a price that counts gives an outcome of 0, and that is not the same as costing nothing.
    """
    made = outcome(schema, body, pictures, row)
    if made is None or row is None or schema.capabilities is None:
        return None
    features = schema.capabilities.features
    if any(all(features[name].uses(body) for name in price.features) for price in row.prices):
        return made.cost
    return None


def _member(schema: BodySchema, body: Mapping[str, Json], pointer: str) -> Json:
    """Return a member of a body, or its default."""
    value = find_member(body, pointer)
    return schema.defaults.get(pointer, MISSING) if value is MISSING else value


def _outcome(row: Row, seconds: float, ratio: float, used: Sequence[str]) -> Outcome:
    cost = 0.0
    for price in row.prices:
        if all(name in used for name in price.features):
            cost = price.base + price.per_second * seconds
    clip = row.clip
    if clip is None:
        return Outcome(cost=round(cost, 8))
    width, height = _sides(clip.short_side, ratio)
    frames = max(1, round(seconds * clip.fps) + clip.extra_frames)
    shape = Shape(
        width=width,
        height=height,
        fps=clip.fps,
        frames=frames,
        # Providers print the length cut, not rounded, to the millisecond: 121 frames at 24 a second are 5.041.
        seconds=frames * 1000 // clip.fps / 1000,
        has_audio=any(name in used for name in clip.audio),
    )
    return Outcome(cost=round(cost, 8), shape=shape)


def _seconds(value: Json) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return 0.0
    # Only where the rules about it are off: no clip lasts less than nothing, and none is made of a day.
    return min(max(seconds, 0.0), LONGEST_CLIP_S) if math.isfinite(seconds) else 0.0


def _frame_ratio(
    schema: BodySchema,
    capabilities: Capabilities,
    body: Mapping[str, Json],
    pictures: Mapping[str, ImageInfo],
) -> float:
    for pointer in capabilities.ratio_from:
        if pictures:
            info = pictures.get(pointer)
            if info is not None:
                # The first picture that is there shapes the frame, even where its shape is not known.
                return info.ratio or ratio_value(capabilities.ratio_default)
        value = _member(schema, body, pointer)
        if isinstance(value, str):
            try:
                return ratio_value(value)
            except (ValueError, ZeroDivisionError):
                continue
    return ratio_value(capabilities.ratio_default)


def _sides(short_side: int, ratio: float) -> tuple[int, int]:
    """Return (width, height) in pixels, both even as video codecs want them."""
    ratio = min(max(ratio, 0.1), 10.0) if math.isfinite(ratio) else 1.0
    long_side = round(short_side * max(ratio, 1 / ratio) / 2) * 2
    return (long_side, short_side) if ratio >= 1 else (short_side, long_side)
