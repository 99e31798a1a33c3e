"""Law: anything may be thrown at a check; it answers with a report, and soon."""

from __future__ import annotations

import base64
import io
import os
import struct
import time
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import picture
from tests.properties.bodies import JSON, NAMES, bodies
from tests.providers import LIBRARY, contract, mock_view
from validator.check import MAX_DEPTH, MAX_FINDINGS, MAX_VALUES, Examination, _may_be_deep, examine, extent
from validator.contract.capabilities import find_row
from validator.contract.expressions import Scope
from validator.errors import refuse, render
from validator.keywords import LONGEST_CLIP_S, outcome
from validator.report import report_json, report_text
from validator.request import HttpRequest

PROVIDERS = ("toy", *LIBRARY)
WITH_BODY = [
    (name, operation.id)
    for name in PROVIDERS
    for operation in contract(name).operations.values()
    if operation.body is not None
]


def judged(name: str, request: HttpRequest, operation: str | None = None) -> Examination:
    """Return the examination, with every rendering of it tried."""
    known = contract(name)
    started = time.perf_counter()

    out = examine(known, request, operation=operation, now=1_764_945_990)

    assert time.perf_counter() - started < 10
    report = out.report
    assert report.verdict in ("accepted", "fails", "refused")
    report_text(report, known.sources).encode()
    assert report_json(report)["verdict"] == report.verdict
    scope = Scope(request=request, body=out.body, path=out.path, mock=mock_view())
    if report.verdict == "refused":
        refusal = refuse(known, report.violations, scope, operation=operation or "")
        assert 400 <= render(refusal, scope).status < 600
    elif isinstance(out.body, dict) and out.operation is not None and out.operation.body is not None:
        made = outcome(out.operation.body, out.body, out.pictures, out.row)
        assert made is None or made.cost >= 0
        assert made is None or made.shape is None or 0 < made.shape.seconds <= LONGEST_CLIP_S + 1
    return out


def create(name: str) -> str:
    return next(one.id for one in contract(name).operations.values() if one.body is not None)


def sent(body: Any, name: str = "toy") -> Examination:
    request = HttpRequest.from_json("POST", "/", body) if not isinstance(body, bytes) else raw(body)
    return judged(name, request, create(name))


def raw(body: bytes) -> HttpRequest:
    return HttpRequest.from_parts("POST", "/", body=body)


# --- anything ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "operation_id"), WITH_BODY)
@given(data=st.data())
def test_any_json_is_answered_with_a_report(name: str, operation_id: str, data: st.DataObject) -> None:
    body = data.draw(bodies(name, contract(name).operations[operation_id]))

    judged(name, HttpRequest.from_json("POST", "/", body), operation_id)


@pytest.mark.parametrize("name", PROVIDERS)
@given(body=st.binary(max_size=300))
@example(b"")
@example(b"\xff\xfe\x00")
@example(b'\xef\xbb\xbf{"prompt":"a"}')
@example(b'{"prompt":"\\ud800"}')
@example(b'{"prompt":NaN}')
@example(b'{"seconds":1e400,"prompt":"a"}')
@example(b'{"seconds":' + b"9" * 5_000 + b"}")
@example(b'{"prompt":"a","prompt":"b"}')
def test_any_bytes_are_answered_with_a_report(name: str, body: bytes) -> None:
    judged(name, raw(body), create(name))


TEXT = st.text(max_size=40)


@pytest.mark.parametrize("name", PROVIDERS)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "get", ""]) | TEXT,
    path=TEXT,
    query=st.dictionaries(NAMES, TEXT, max_size=3),
    headers=st.dictionaries(
        st.sampled_from(["authorization", "content-type", "x-toy-key", "accept"]) | NAMES, TEXT, max_size=4
    ),
    data=st.data(),
)
def test_any_request_is_answered_with_a_report(
    name: str, method: str, path: str, query: dict[str, str], headers: dict[str, str], data: st.DataObject
) -> None:
    known = [operation.path for operation in contract(name).operations.values()]
    path = data.draw(st.sampled_from([*known, known[0] + "/" + path, "/" + path]))

    judged(name, HttpRequest(method=method, path=path, query=query, headers=headers, body=b"{}"))


@given(value=JSON)
def test_any_value_in_the_place_of_a_picture_is_answered_with_a_report(value: Any) -> None:
    sent({"picture": value, "tail": value, "masks": [{"mask": value}]})


# --- too much ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1, 1_100, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["list", "object"])
def test_deep_nesting_is_malformed(levels: int, opening: bytes, closing: bytes) -> None:
    body = b'{"prompt":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"

    out = sent(body)

    is_too_deep = any(one.rule == "toy.request.malformed-depth" for one in out.report.violations)
    assert (levels > MAX_DEPTH) == is_too_deep


IN_STRINGS = {
    # What stands before and behind each level: brackets in strings, which are none, and quotes that end no string.
    "the other bracket": (b'["]",', b',"["]'),
    "behind an escaped quote": (b'["\\"]",', b',"[\\""]'),
    "behind an escaped backslash": (b'["\\\\","]",', b',"["]'),
    "empty strings": (b'["","]","",', b',"","["]'),
    "objects": (b'{"}":0,"a":', b',"{":0}'),
}


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1, 300, 900])
@pytest.mark.parametrize("name", IN_STRINGS)
def test_brackets_in_strings_hide_no_depth(levels: int, name: str) -> None:
    opening, closing = IN_STRINGS[name]
    body = b'{"prompt":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"

    out = sent(body)

    is_too_deep = any(one.rule == "toy.request.malformed-depth" for one in out.report.violations)
    assert (levels > MAX_DEPTH) == is_too_deep


@given(value=JSON, texts=st.lists(st.text('[]{}"\\\\a'), max_size=4), levels=st.integers(0, 200))
def test_the_quick_look_at_depth_never_takes_deep_for_flat(value: Any, texts: list[str], levels: int) -> None:
    for _ in range(levels):
        value = [*texts, value, *texts]
    raw = orjson.dumps(value)

    assert _may_be_deep(raw) or extent(orjson.loads(raw))[0] <= MAX_DEPTH


def test_a_long_flat_list_is_seen_to_be_flat() -> None:
    points = [{"x": 1, "y": [2]}] * 500

    assert not _may_be_deep(orjson.dumps({"masks": points, "prompt": 'a "boat" \\'}))


def test_a_python_value_nested_too_deep_is_a_fault_of_the_body() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]

    out = sent(value)

    assert ["malformed"] == [one.kind for one in out.report.violations]
    while value:
        # Freed from the outside in: the interpreter's own way down is as deep as the value.
        value = value.pop()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, "\ud800", {"\udfff": 1}, object()])
def test_what_json_cannot_say_is_a_fault_of_the_body_or_a_number(value: Any) -> None:
    report = sent({"prompt": value}).report

    assert "refused" == report.verdict
    assert {"malformed", "invalid"} >= {one.kind for one in report.violations}


def test_more_values_than_any_request_has_are_malformed() -> None:
    out = sent(b'{"masks":[' + b"0," * MAX_VALUES + b"0]}")

    assert ["toy.request.malformed-values"] == [one.rule for one in out.report.violations]


def test_many_findings_of_one_rule_are_counted_and_not_told_one_by_one() -> None:
    out = sent({"prompt": "a boat", "masks": [{"mask": 1}] * 5_000, **{f"m{i}": i for i in range(9_000)}})

    told = [one.rule for one in out.report.violations]
    assert MAX_FINDINGS == told.count("toy.picture.text")
    assert MAX_FINDINGS == told.count("toy.request.unknown-member")
    assert 1 == told.count("toy.masks.count")
    assert {
        "4,980 more findings of toy.picture.text",
        "8,980 more findings of toy.request.unknown-member",
    } == set(out.report.unchecked[1:])


def test_a_long_text_in_the_place_of_a_short_one_is_abbreviated() -> None:
    out = sent({"prompt": "a boat", "model": "x" * 10_000_000, "y" * 1_000_000: 1})

    assert all(len(one.found) < 200 for one in out.report.violations)


@pytest.mark.parametrize(("name", "operation_id"), WITH_BODY)
@pytest.mark.parametrize("length", ["nan", "inf", "-inf", "-5", "1e300", "1e400", True, [], {}])
@pytest.mark.parametrize("shape", ["nan:1", "1:0", "0:1", "1e400:1", "x"])
def test_a_length_and_shape_that_are_none_make_a_clip_all_the_same(
    name: str, operation_id: str, length: Any, shape: str
) -> None:
    schema = contract(name).operations[operation_id].body
    assert schema is not None and schema.capabilities is not None
    members = [schema.capabilities.duration or "", *schema.capabilities.ratio_from]

    body = {path[1:]: shape if index else length for index, path in enumerate(members) if path}

    made = outcome(schema, body, {}, find_row(schema.capabilities, body))

    if made is not None:
        assert made.cost >= 0
        assert made.shape is None or 0 < made.shape.seconds <= LONGEST_CLIP_S + 1
        assert made.shape is None or (made.shape.width > 0 and made.shape.height > 0)


# --- pictures ---------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, more: bytes = b"") -> bytes:
    """Return a PNG that claims a size; nothing is in it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def saved(format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("RGB", (60, 40), bytes(range(256)) * 28 + bytes(32)).save(buffer, format_, **options)
    return buffer.getvalue()


JPEG = saved("JPEG")
BOMB = zlib.compress(b"a" * 100_000_000)
ODD = {
    "claims 50000x50000": png(50_000, 50_000),
    "claims no width": png(0, 40),
    "claims no height": png(40, 0),
    "claims the most": png(2**31 - 1, 2**31 - 1),
    "claims too much": png(2**32 - 1, 2**32 - 1),
    "a bomb of text": png(40, 40, chunk(b"zTXt", b"k\0\0" + BOMB)),
    "a bomb of a profile": png(40, 40, chunk(b"iCCP", b"k\0\0" + BOMB)),
    "a chunk that is longer than the file": png(40, 40)[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt",
    "a JPEG cut in two": JPEG[: len(JPEG) // 2],
    "a JPEG of one marker": JPEG[:4],
    "a JPEG of many markers": b"\xff\xd8" + b"\xff\xfe\x00\x02" * 200_000,
    "random bytes": bytes(os.urandom(3_000)),
    "an empty WEBP": b"RIFF\x00\x00\x00\x00WEBP",
    "a GIF without an end": saved("GIF")[:-1],
    "a BMP that claims much": saved("BMP")[:18] + struct.pack("<ii", 2**31 - 1, -(2**31)) + saved("BMP")[26:],
    "a text": b"not a picture",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_odd_pictures_are_answered_with_a_report(content: bytes) -> None:
    text = base64.b64encode(content).decode()

    out = sent({"picture": text, "tail": text})

    assert "accepted" != out.report.verdict


@given(
    content=st.binary(max_size=200), head=st.sampled_from([JPEG, saved("PNG"), saved("WEBP"), saved("GIF")])
)
def test_any_bytes_behind_a_good_beginning_are_answered_with_a_report(content: bytes, head: bytes) -> None:
    for keep in (8, 30, len(head) // 2, len(head)):
        sent({"picture": base64.b64encode(head[:keep] + content).decode()})


@given(
    noise=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    source=st.sampled_from([JPEG, saved("PNG"), saved("WEBP"), saved("GIF"), saved("BMP")]),
)
def test_a_picture_with_some_bytes_changed_is_answered_with_a_report(
    noise: list[tuple[int, int]], source: bytes
) -> None:
    content = bytearray(source)
    for place, value in noise:
        content[place % len(content)] = value

    sent({"picture": base64.b64encode(content).decode()})


def test_a_picture_of_several_pictures_is_a_jpeg() -> None:
    buffer = io.BytesIO()
    image = Image.new("RGB", (60, 40))
    image.save(buffer, "MPO", save_all=True, append_images=[image])

    out = sent({"picture": base64.b64encode(buffer.getvalue()).decode()})

    assert "image/jpeg" == out.pictures["/picture"].media_type
    assert () == out.report.violations


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("width", "height", "rule"),
    [
        (40, 100, None),  # exactly 1:2.5
        (100, 40, None),
        (40, 101, "toy.picture.ratio"),
        (101, 40, "toy.picture.ratio"),
        (30, 30, None),
        (30, 29, "toy.picture.pixels"),
        (29, 30, "toy.picture.pixels"),
    ],
)
def test_a_picture_at_the_limit_passes_and_one_pixel_beyond_does_not(
    format_: str, width: int, height: int, rule: str | None
) -> None:
    out = sent({"picture": picture(format=format_, width=width, height=height)})

    assert ([rule] if rule else []) == [one.rule for one in out.report.violations]


@pytest.mark.parametrize(("size", "is_refused"), [(19_999, False), (20_000, False), (20_001, True)])
@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_a_picture_of_the_largest_size_passes_and_one_byte_more_does_not(
    format_: str, size: int, is_refused: bool
) -> None:
    out = sent({"picture": picture(format=format_, width=40, height=40, bytes=size)})

    assert (["toy.picture.size"] if is_refused else []) == [one.rule for one in out.report.violations]
