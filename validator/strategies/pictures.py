"""Real small pictures that meet, or break, what a body's rules say about pictures."""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from validator.contract.expressions import Json
from validator.contract.model import ImageRule, ImageSite
from validator.strategies.choices import Chooser, Impossible
from validator.strategies.demands import Demand, Schema
from validator.strategies.texts import Texts
from validator.strategies.values import Blank

_FORMATS: Final[Mapping[str, str]] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
_SEEN: Final = ("base64", "data-uri")
_CARRIERS: Final = ("url", "base64", "data-uri", "placeholder")
_JUNK: Final = (
    *("a", "picture.png", "ftp://example.com/a.png", "http://", "data:image/png,a"),
    *("aGVsbG8", "/9j/4AA=\n", "iVBORw0K_-8="),
)
"""Texts that carry no picture: file names, other addresses, and Base64 cut short, broken up or in other signs."""

_LARGE: Final = 100_000
"""Bytes of a picture that is not kept, nor tried against the patterns of its member itself."""

Fault = Literal["type", "junk", "cut", "bytes", "width", "height", "low", "high", "ratio", "size"]
_FAULTS: Final[Mapping[str, tuple[Fault, ...]]] = {
    "mediaTypes": ("type", "junk", "cut"),
    "maxBytes": ("bytes",),
    "minWidth": ("width",),
    "minHeight": ("height",),
    "minRatio": ("low",),
    "maxRatio": ("high",),
    "sameAspectRatio": ("ratio",),
    "sameSize": ("size",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file: sides in pixels; padded to `size_bytes`, or less the last bytes, or no picture at all.

    Those of different numbers differ in their shade.
    """

    media_type: str
    width: int
    height: int
    size_bytes: int | None = None
    is_cut: bool = False
    is_junk: bool = False
    number: int = 0

    def text(self, carrier: str) -> str:
        """Return the picture as a member of a body carries it."""
        if carrier == "url":
            name = f"{self.width}x{self.height}" + (f"-{self.number}" if self.number else "")
            return f"https://example.com/{name}.{_FORMATS[self.media_type].lower()}"
        if carrier == "placeholder":
            return "<image>"
        encoded = _encoded(self)
        return encoded if carrier == "base64" else f"data:{self.media_type};base64,{encoded}"


def _encoded(picture: Picture) -> str:
    if picture.size_bytes is not None and picture.size_bytes > _LARGE:
        return base64.b64encode(_file(picture)).decode()
    return _kept(picture)


@functools.lru_cache(maxsize=256)
def _kept(picture: Picture) -> str:
    return base64.b64encode(_file(picture)).decode()


def _file(picture: Picture) -> bytes:
    if picture.is_junk:
        return b"This is no picture."
    # Imported when the first picture is made, as the check does.
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (picture.width, picture.height), (120 + 8 * picture.number) % 256).save(
        buffer, _FORMATS[picture.media_type]
    )
    raw = buffer.getvalue()
    if picture.size_bytes is not None:
        # Behind the end marker, and the end once more: readers stop at the first, sizes do not.
        raw += b"\0" * max(picture.size_bytes - len(raw) - 12, 0) + raw[-12:]
    return raw[: len(raw) // 2] if picture.is_cut else raw


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFlaw:
    """One way to break a rule about pictures: at `site`, and for a comparison with the picture at `partner`."""

    rule: ImageRule
    site: ImageSite
    fault: Fault
    partner: ImageSite | None = None

    def schema(self) -> Schema:
        """Return the schema of bodies that have the pictures it takes."""
        sites = [self.site] if self.partner is None else [self.partner, self.site]
        least = 2 if self.partner is self.site else 1
        return {"allOf": [_having(site.pattern, least) for site in sites]}


def picture_flaws(sites: Sequence[ImageSite], rule: str) -> Iterator[PictureFlaw]:
    """Yield the ways to break a rule about pictures, a picture's own faults before comparisons."""
    for index, site in enumerate(sites):
        for one in site.rules:
            if one.rule.id != rule or not _can_be_seen(site):
                continue
            for keyword in _keywords(one):
                for fault in _FAULTS[keyword]:
                    if keyword not in ("sameAspectRatio", "sameSize"):
                        yield PictureFlaw(rule=one, site=site, fault=fault)
                        continue
                    for partner in sites[: index + 1]:
                        is_alike = any(
                            (other.same_ratio == one.same_ratio and one.same_ratio is not None)
                            if keyword == "sameAspectRatio"
                            else (other.same_size == one.same_size and one.same_size is not None)
                            for other in partner.rules
                        )
                        is_itself = partner is site and "*" not in site.pattern
                        if is_alike and not is_itself and _can_be_seen(partner):
                            yield PictureFlaw(rule=one, site=site, fault=fault, partner=partner)


def _can_be_seen(site: ImageSite) -> bool:
    return any(carrier in _SEEN for carrier in _carriers(site))


def _keywords(rule: ImageRule) -> Iterator[str]:
    present = {
        "mediaTypes": rule.media_types,
        "maxBytes": rule.max_bytes,
        "minWidth": rule.min_width,
        "minHeight": rule.min_height,
        "minRatio": rule.min_ratio,
        "maxRatio": rule.max_ratio,
        "sameAspectRatio": rule.same_ratio,
        "sameSize": rule.same_size,
    }
    yield from (name for name, value in present.items() if value)


def _having(pattern: tuple[str, ...], least: int) -> Schema:
    """Return the schema of bodies with a text at a place; lists have so many items."""
    if not pattern:
        return {"type": "string"}
    name, *rest = pattern
    below = _having(tuple(rest), least)
    if name == "*":
        return {"type": "array", "minItems": least, "items": below}
    return {"type": "object", "required": [name], "properties": {name: below}}


def _carriers(site: ImageSite) -> list[str]:
    limits = [rule.carriers for rule in site.rules if rule.carriers]
    return [name for name in _CARRIERS if all(name in limit for limit in limits)]


# --- choosing ---------------------------------------------------------------------------------------------


def draw_pictures(
    body: Json,
    chooser: Chooser,
    *,
    maker: Texts,
    flaw: PictureFlaw | None = None,
) -> Json:
    """Return a body with a picture for every blank; raises Impossible."""
    places = list(_blanks(body, ()))
    if not places:
        return body
    sites = [blank.site for _, blank in places]
    common = _common(sites, chooser)
    chosen: dict[tuple[str | int, ...], Picture] = {}
    visible: set[tuple[str | int, ...]] = set()
    if flaw is not None:
        chosen, visible = _flawed(flaw, places, common, chooser)
    texts: dict[tuple[str | int, ...], str] = {}
    # The same blank twice is the same picture twice: a list that repeats itself.
    again: dict[int, str] = {}
    for at, blank in places:
        if id(blank) in again and at not in visible:
            texts[at] = again[id(blank)]
            continue
        picture = chosen.get(at) or _picture(blank.site, common, chooser)
        picture = replace(picture, number=blank.number)
        carriers = _carriers(blank.site) or list(_CARRIERS)
        if flaw is not None:
            # What plays no part stays unseen, so that it cannot be compared with what does.
            hidden = [name for name in carriers if name not in _SEEN]
            carriers = [name for name in carriers if name in _SEEN] if at in visible else hidden or carriers
        texts[at] = again[id(blank)] = _text(picture, carriers, blank.demand, chooser, maker)
    return _filled(body, (), texts)


def _blanks(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Blank]]:
    if isinstance(value, Blank):
        yield at, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _blanks(member, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _blanks(item, (*at, index))


def _filled(value: Any, at: tuple[str | int, ...], texts: Mapping[tuple[str | int, ...], str]) -> Json:
    if isinstance(value, Blank):
        return texts[at]
    if isinstance(value, dict):
        return {name: _filled(member, (*at, name), texts) for name, member in value.items()}
    if isinstance(value, list):
        return [_filled(item, (*at, index), texts) for index, item in enumerate(value)]
    return value


def _text(
    picture: Picture,
    carriers: Sequence[str],
    demand: Demand,
    chooser: Chooser,
    maker: Texts,
) -> str:
    start = chooser.below(len(carriers))
    for carrier in (*carriers[start:], *carriers[:start]):
        if maker.is_text(replace(picture, size_bytes=None).text(carrier), demand):
            return picture.text(carrier)
    # A flaw of the carrier: the others first, then what is none.
    texts = [picture.text(carrier) for carrier in _CARRIERS if carrier not in carriers]
    texts = [text for text in (*texts, *_JUNK) if maker.is_text(text, demand)]
    if not texts:
        # Or of the text itself, whatever it carries.
        return maker.text(demand, chooser)
    return texts[chooser.below(len(texts))]


def _common(sites: Iterable[ImageSite], chooser: Chooser) -> tuple[int, int]:
    """Return (width, height) in pixels that suits every picture of a body."""
    rules = [rule for site in sites for rule in site.rules]
    sizes = _sizes(rules)
    if not sizes:
        raise Impossible
    return sizes[chooser.below(len(sizes))]


def _sizes(rules: Sequence[ImageRule]) -> list[tuple[int, int]]:
    """Return sizes that all rules allow, the least first: at the limits of sides and shape, and between."""
    width = max([rule.min_width or 1 for rule in rules], default=1)
    height = max([rule.min_height or 1 for rule in rules], default=1)
    low = max([rule.min_ratio or 0.0 for rule in rules], default=0.0)
    high = min([rule.max_ratio or math.inf for rule in rules], default=math.inf)
    side = max(width, height)
    found = [(width, height), (side, side), (side * 16 // 9 + 1, side), (side, side * 16 // 9 + 1)]
    found += [(2 * side, 2 * side), (side + 1, side)]
    if low:
        found.append((width, max(math.floor(width / low), 1)))
    if math.isfinite(high):
        found.append((max(math.floor(height * high), 1), height))
    return [
        (wide, tall)
        for wide, tall in dict.fromkeys(found)
        if wide >= width and tall >= height and low <= wide / tall <= high
    ]


def _media_types(site: ImageSite) -> list[str]:
    limits = [rule.media_types for rule in site.rules if rule.media_types]
    return [name for name in _FORMATS if all(name in limit for limit in limits)] or ["image/png"]


def _picture(site: ImageSite, common: tuple[int, int], chooser: Chooser) -> Picture:
    types = _media_types(site)
    size = common
    if not any(rule.same_size or rule.same_ratio for rule in site.rules):
        own = _sizes(site.rules)
        size = own[chooser.below(len(own))] if chooser.flag() else common
    elif not any(rule.same_size for rule in site.rules) and chooser.flag():
        size = (2 * common[0], 2 * common[1])
    return Picture(media_type=types[chooser.below(len(types))], width=size[0], height=size[1])


def _flawed(
    flaw: PictureFlaw,
    places: Sequence[tuple[tuple[str | int, ...], Blank]],
    common: tuple[int, int],
    chooser: Chooser,
) -> tuple[dict[tuple[str | int, ...], Picture], set[tuple[str | int, ...]]]:
    """Return the pictures that make the flaw by place, and the places that must be seen."""
    own = [at for at, blank in places if blank.site is flaw.site]
    partners = [at for at, blank in places if blank.site is flaw.partner]
    if flaw.partner is flaw.site:
        # The later of two in a list is the one that differs.
        partners, own = own[:1], own[1:]
    if not own or (flaw.partner is not None and not partners):
        raise Impossible
    at = own[chooser.below(len(own))]
    types = _media_types(flaw.site)
    plain = Picture(media_type=types[chooser.below(len(types))], width=common[0], height=common[1])
    if flaw.partner is not None:
        partner = partners[chooser.below(len(partners))]
        size = (2 * common[0], 2 * common[1])
        if flaw.fault == "ratio":
            others = [one for one in _sizes(flaw.site.rules) if _differ(one, common)]
            others = others or [(2 * common[0], common[1])]
            size = others[chooser.below(len(others))]
        first = replace(plain, media_type=_media_types(flaw.partner)[0])
        return {partner: first, at: replace(plain, width=size[0], height=size[1])}, {partner, at}
    return {at: _broken(flaw, plain, chooser)}, {at}


def _differ(size: tuple[int, int], other: tuple[int, int]) -> bool:
    ratio, known = size[0] / size[1], other[0] / other[1]
    return abs(ratio - known) > 0.05 * known


def _broken(flaw: PictureFlaw, plain: Picture, chooser: Chooser) -> Picture:
    rule, others = flaw.rule, [one for one in flaw.site.rules if one is not flaw.rule]
    sizes = _sizes(others)
    width, height = sizes[chooser.below(len(sizes))] if sizes else (plain.width, plain.height)
    match flaw.fault:
        case "type":
            types = [name for name in _FORMATS if name not in rule.media_types]
            return replace(plain, media_type=types[chooser.below(len(types))])
        case "junk":
            return replace(plain, is_junk=True)
        case "cut":
            return replace(plain, media_type="image/png", is_cut=True)
        case "bytes":
            assert rule.max_bytes is not None
            return replace(plain, size_bytes=rule.max_bytes + 1 + chooser.below(3))
        case "width":
            assert rule.min_width is not None
            short = rule.min_width - 1 - chooser.below(min(rule.min_width - 1, 20) or 1)
            return replace(plain, width=short, height=max(short, rule.min_height or 1))
        case "height":
            assert rule.min_height is not None
            short = rule.min_height - 1 - chooser.below(min(rule.min_height - 1, 20) or 1)
            return replace(plain, height=short, width=max(short, rule.min_width or 1))
        case "low":
            assert rule.min_ratio is not None
            return replace(
                plain, width=width, height=math.floor(width / rule.min_ratio) + 1 + chooser.below(40)
            )
        case "high":
            assert rule.max_ratio is not None
            return replace(
                plain, height=height, width=math.floor(height * rule.max_ratio) + 1 + chooser.below(40)
            )
    raise Impossible
