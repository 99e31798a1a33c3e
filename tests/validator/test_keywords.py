"""Our two words at work: pictures that must agree, and combinations that a model offers."""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import Any

import pytest

from tests.cases import read_cases
from tests.pictures import picture
from tests.providers import LIBRARY, TOY, contract
from validator.check import check
from validator.contract.capabilities import find_row
from validator.contract.compile import compile_document
from validator.contract.document import read_document
from validator.contract.model import BodySchema, Row
from validator.images import look
from validator.keywords import (
    MEMO,
    Outcome,
    judge_pictures,
    key_values,
    members,
    nearest_combination,
    outcome,
    refused_uses,
    used_features,
)
from validator.request import HttpRequest

URL = "https://example.com/a.png"


def row(known: BodySchema, body: Any) -> Row | None:
    assert known.capabilities is not None
    return find_row(known.capabilities, body)


def schema() -> BodySchema:
    found = contract("toy").operations["createClip"].body
    assert found is not None
    return found


def png(width: int, height: int, **more: Any) -> str:
    return picture(width=width, height=height, **more)


def findings(body: Any) -> list[tuple[str, str, str, str]]:
    """Return (rule's last part, pointer, found, allowed) of every picture that breaks a rule."""
    pictures = judge_pictures(schema().images, body)
    return [
        (one.rule.id.removeprefix("toy."), one.pointer, one.found, one.allowed) for one in pictures.findings
    ]


# --- pictures, one by one ---------------------------------------------------------------------------------


def test_every_fault_of_a_picture_is_told_at_once() -> None:
    assert [
        ("picture.size", "/picture", "20,500 bytes (20.5 kB)", "at most 20,000 bytes (20.0 kB)"),
        ("picture.pixels", "/picture", "20 x 100 pixels", "at least 30 wide"),
        ("picture.ratio", "/picture", "20:100 (0.20:1)", "1:2.5 to 2.5:1"),
    ] == findings({"picture": png(20, 100, bytes=20_500)})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (png(40, 40, format="GIF"), "<image/gif 40x40, "),
        (png(40, 40, cut=20), "<image/png 40x40, "),
        (picture(text="not a picture at all"), "<no picture, 20 B>, which is no picture"),
    ],
)
def test_what_is_no_picture_of_a_listed_format_is_told(text: str, found: str) -> None:
    (one,) = findings({"picture": text})

    assert ("picture.format", "image/jpeg or image/png") == (one[0], one[3])
    assert one[2].startswith(found)


def test_a_cut_picture_is_told_as_cut_and_its_sides_are_judged_all_the_same() -> None:
    found = findings({"picture": png(20, 20, cut=20)})

    assert ["picture.format", "picture.pixels", "picture.pixels"] == [rule for rule, *_ in found]
    assert found[0][2].endswith(", which ends too soon")


def test_the_carrier_is_left_to_the_schema() -> None:
    for text in ("a.png", "data:image/png,abc", "", png(40, 40)[:-2]):
        assert [] == findings({"picture": text})


@pytest.mark.parametrize(
    "body", [None, 5, "text", ["picture"], {"picture": 5}, {"masks": 5}, {"masks": [5, {"mask": None}]}]
)
def test_what_is_no_picture_at_all_is_left_to_the_schema(body: Any) -> None:
    pictures = judge_pictures(schema().images, body)

    assert ({}, [], []) == (pictures.infos, pictures.findings, pictures.unchecked)


def test_a_picture_behind_a_url_is_said_to_be_unchecked() -> None:
    pictures = judge_pictures(schema().images, {"picture": URL, "masks": [{"mask": URL}]})

    assert [] == pictures.findings
    assert [
        "picture: the picture behind the URL (never fetched)",
        "masks[0].mask: the picture behind the URL (never fetched)",
    ] == pictures.unchecked


def test_a_picture_that_nobody_asks_to_be_readable_is_said_to_be_unchecked() -> None:
    document = read_document(TOY)
    root = copy.deepcopy(document.root)
    del root["components"]["schemas"]["Picture"]["allOf"][2]
    known = compile_document(dataclasses.replace(document, root=root)).operations["createClip"].body
    assert known is not None

    pictures = judge_pictures(known.images, {"tail": picture(text="not a picture at all")})

    assert [] == pictures.findings
    assert ["tail: <no picture, 20 B>, which is no picture"] == pictures.unchecked


# --- pictures that must agree -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "mask", "agrees"),
    [
        ((80, 60), (80, 60), True),
        ((80, 60), (40, 30), True),
        ((80, 60), (81, 60), False),  # 1.25 % off
        ((100, 75), (101, 75), True),  # exactly 1 % off
        ((100, 75), (99, 75), True),
        ((80, 60), (60, 80), False),
        ((40, 40), (80, 80), True),
    ],
)
def test_a_mask_has_the_shape_of_the_picture(
    frame: tuple[int, int], mask: tuple[int, int], agrees: bool
) -> None:
    found = findings({"picture": png(*frame), "mask": png(*mask)})

    wanted = (
        "mask.ratio",
        "/mask",
        f"{mask[0]} x {mask[1]} pixels",
        f"the shape of /picture, {frame[0]} x {frame[1]} pixels",
    )
    assert ([] if agrees else [wanted]) == found


def test_all_masks_have_one_size() -> None:
    masks = [{"mask": png(40, 30)}, {"mask": png(80, 60)}]

    assert [
        ("mask.size", "/masks/1/mask", "80 x 60 pixels", "the size of /masks/0/mask, 40 x 30 pixels"),
    ] == findings({"picture": png(80, 60), "masks": masks})
    assert [] == findings({"picture": png(80, 60), "mask": png(40, 30), "masks": masks[:1]})


def test_masks_agree_with_each_other_where_the_picture_cannot_be_seen() -> None:
    body = {"picture": URL, "mask": png(40, 30), "masks": [{"mask": png(40, 30)}, {"mask": png(30, 40)}]}

    assert [("mask.ratio", "/masks/1/mask"), ("mask.size", "/masks/1/mask")] == [
        (rule, pointer) for rule, pointer, *_ in findings(body)
    ]


def test_a_mask_that_cannot_be_read_disturbs_no_other() -> None:
    body = {"picture": png(80, 60), "mask": picture(text="x" * 30), "masks": [{"mask": png(80, 60)}]}

    assert [("picture.format", "/mask")] == [(rule, pointer) for rule, pointer, *_ in findings(body)]


def test_a_mask_alone_has_nothing_to_agree_with() -> None:
    assert [] == findings({"mask": png(40, 30)})


def test_a_pattern_leads_to_every_member() -> None:
    value = {"a": [{"b": 1}, {"c": 2}, {"b": 3}, 4], "b": 5}

    assert [("/a/0/b", 1), ("/a/2/b", 3)] == list(members(value, ("a", "*", "b")))
    assert [] == list(members(value, ("b", "*", "b")))


# --- combinations -----------------------------------------------------------------------------------------


def refused(body: dict[str, Any]) -> list[str]:
    capabilities = schema().capabilities
    assert capabilities is not None
    return [one.id for one in refused_uses(capabilities, body, find_row(capabilities, body))]


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ({}, []),
        ({"sound": "on"}, []),
        ({"sound": "off", "seconds": "10"}, []),
        ({"sound": "on", "seconds": "10"}, ["toy.clip.loud"]),
        ({"tail": URL}, ["toy.clip.tail"]),
        ({"tail": URL, "model": "a2"}, []),
        ({"tail": URL, "sound": "on", "seconds": "10"}, ["toy.clip.loud", "toy.clip.tail"]),
        ({"model": "b1", "seconds": "10"}, ["toy.clip.map"]),
        ({"model": "c9"}, ["toy.clip.map"]),
        ({"name": "x", "seconds": "10"}, []),  # a feature without a rule refuses nothing
    ],
)
def test_what_a_combination_does_not_offer_is_refused(body: dict[str, Any], rules: list[str]) -> None:
    assert rules == refused(body)


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ({"sound": "on", "seconds": "10"}, "seconds '5'"),
        ({"sound": "on", "model": "a2"}, "model 'a1'"),
        ({"tail": URL}, "model 'a2'"),
        ({"tail": URL, "sound": "on"}, "model 'b1'"),
        ({"tail": URL, "sound": "on", "model": "a2", "seconds": "10"}, "model 'b1', seconds '5'"),
        ({"model": "b1", "seconds": "10"}, "model 'a1'"),
        ({"model": "c9", "seconds": "7"}, "model 'a2'"),
    ],
)
def test_the_nearest_combination_that_would_work_is_named(body: dict[str, Any], advice: str) -> None:
    capabilities = schema().capabilities
    assert capabilities is not None

    assert advice == nearest_combination(capabilities, body)


ADVICE = re.compile(r"(\w+) '([^']*)'(?:, )?")


def test_who_follows_the_advice_is_refused_no_more() -> None:
    followed = set()
    cases = [(provider, case) for provider in LIBRARY for case in read_cases(provider, "fail")]
    for name, case in cases:
        report = check(contract(name), case.request, operation=case.operation)
        for finding in report.violations:
            if not ADVICE.match(finding.suggestion):
                continue
            changes: dict[str, Any] = dict(ADVICE.findall(finding.suggestion))
            for key, value in changes.items():
                changes[key] = int(value) if isinstance(case.body.get(key), int) else value
            request = HttpRequest.from_json("POST", "/", case.body | changes)

            after = check(contract(name), request, operation=case.operation)

            assert finding.rule not in [one.rule for one in after.violations], case
            followed.add(finding.rule)
    assert len(followed) > 9


def test_the_keys_of_a_body_come_with_their_defaults() -> None:
    assert {"model": "a1", "seconds": "5"} == key_values(schema(), {})
    assert {"model": "a2", "seconds": "10"} == key_values(schema(), {"model": "a2", "seconds": 10})


def test_features_in_use_are_told_by_name() -> None:
    capabilities = schema().capabilities
    assert capabilities is not None

    assert {"loud", "named"} == set(used_features(capabilities, {"sound": "on", "name": "x"}))
    assert not used_features(capabilities, {"sound": "off", "prompt": "a"})


# --- price and clip ---------------------------------------------------------------------------------------


def made(body: dict[str, Any]) -> Outcome:
    pictures = {
        pointer: look(body[pointer[1:]])
        for pointer in ("/picture",)
        if isinstance(body.get(pointer[1:]), str)
    }
    found = outcome(schema(), body, pictures, row(schema(), body))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        ({}, 1),
        ({"seconds": "10"}, 2),
        ({"sound": "on"}, 2.5),
        ({"sound": "off"}, 1),
        ({"model": "a2"}, 2.5),
        ({"model": "a2", "seconds": 10}, 5),
        ({"model": "a2", "name": "x"}, 3.75),
        ({"model": "a2", "name": "x", "seconds": "10"}, 7.5),
    ],
)
def test_the_price_is_that_of_the_row_and_of_what_is_used(body: dict[str, Any], cost: float) -> None:
    assert cost == made(body).cost


@pytest.mark.parametrize(
    ("body", "sides"),
    [
        ({}, (128, 72)),
        ({"shape": "1:1"}, (72, 72)),
        ({"model": "a2"}, (170, 96)),  # 170.67, made even
        ({"picture": png(40, 80)}, (72, 144)),
        ({"picture": png(80, 40), "shape": "1:1"}, (144, 72)),
        ({"picture": URL, "shape": "1:1"}, (128, 72)),  # a picture there is, of a shape nobody knows
        ({"picture": picture(text="no picture here")}, (128, 72)),
        ({"picture": png(2_000, 20)}, (720, 72)),  # no clip is longer than ten to one
        ({"shape": 5}, (128, 72)),
    ],
)
def test_the_sides_follow_the_picture_then_the_shape(body: dict[str, Any], sides: tuple[int, int]) -> None:
    shape = made(body).shape

    assert shape is not None
    assert sides == (shape.width, shape.height)


@pytest.mark.parametrize(
    ("body", "frames", "seconds"),
    [
        ({}, 51, 5.1),
        ({"seconds": "10"}, 101, 10.1),
        ({"model": "a2"}, 60, 5.0),
    ],
)
def test_the_length_is_counted_in_frames(body: dict[str, Any], frames: int, seconds: float) -> None:
    shape = made(body).shape

    assert shape is not None
    assert (frames, seconds) == (shape.frames, shape.seconds)


def test_a_length_is_cut_to_the_millisecond_and_not_rounded() -> None:
    body = {"model_name": "kling-v2-6", "mode": "pro", "prompt": "a"}
    found = contract("kling").operations["createText2Video"].body
    assert found is not None

    clip = outcome(found, body, {}, row(found, body))

    assert clip is not None and clip.shape is not None
    assert (121, 24, 5.041) == (clip.shape.frames, clip.shape.fps, clip.shape.seconds)


def test_sound_is_there_where_it_is_used_and_offered() -> None:
    assert [True, False, False] == [
        shape.has_audio
        for body in ({"sound": "on"}, {"sound": "off"}, {"sound": "on", "seconds": "10"})
        if (shape := made(body).shape) is not None
    ]


def test_a_body_without_a_row_makes_nothing() -> None:
    assert outcome(schema(), {"model": "c9"}, {}, row(schema(), {"model": "c9"})) is None


def test_a_body_schema_without_a_map_makes_nothing() -> None:
    bare = dataclasses.replace(schema(), capabilities=None)

    assert outcome(bare, {}, {}, None) is None
    assert {} == key_values(bare, {})


def test_equal_bodies_share_an_outcome_and_their_number_is_bounded() -> None:
    capabilities = schema().capabilities
    assert capabilities is not None

    assert made({"sound": "on"}) is made({"sound": "on"})
    for length in range(2 * MEMO):
        made({"model": "a2", "seconds": 10, "shape": f"{length + 1}:{2 * MEMO}"})
    assert len(capabilities.memo) <= MEMO + 1
