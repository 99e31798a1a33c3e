"""`understudy diff`: what tells two specs apart, each difference proved by a request."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mockserver.cli import main
from tests.providers import LIBRARY, TOY, contract
from validator import HttpRequest
from validator.contract import Contract
from validator.contract.compile import compile_document
from validator.contract.document import Document, dump_yaml
from validator.contract.expressions import MISSING
from validator.diff import Comparison, compare
from validator.diff.candidates import Ground
from validator.diff.documents import edits
from validator.diff.shrink import shrink
from validator.expected import expect

Change = Callable[[Any], Any]


def changed(name: str, change: Change) -> Contract:
    root = copy.deepcopy(contract(name).document.root)
    change(root)
    return compile_document(Document(file="changed.yaml", root=root))


def against(name: str, change: Change, *, examples: int = 0) -> Comparison:
    return compare(contract(name), changed(name, change), examples=examples)


def schemas(root: Any) -> Any:
    return root["components"]["schemas"]


# --- nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", *LIBRARY])
def test_a_spec_does_not_differ_from_itself(name: str) -> None:
    found = compare(contract(name), contract(name), examples=5)

    assert ((), ()) == (found.differences, found.changes)
    assert found.tried > 20


# --- one thing of each kind -------------------------------------------------------------------------------

PLANTED: dict[str, tuple[Change, str, str, Any]] = {
    # name: change, group, rule, what the smallest body must hold
    "value gone": (
        lambda root: schemas(root)["CameraControl"]["properties"]["type"]["enum"].remove("down_back"),
        "breaking",
        "kling.camera.type",
        {"camera_control": {"type": "down_back"}},
    ),
    "value new": (
        lambda root: schemas(root)["ShotType"]["enum"].append("collage"),
        "widening",
        "kling.shot-type.value",
        {"shot_type": "collage"},
    ),
    "bound lower": (
        lambda root: schemas(root)["Prompt"].update(maxLength=2000),
        "breaking",
        "kling.prompt.length",
        {"prompt": "a" * 2001},
    ),
    "bound higher": (
        lambda root: schemas(root)["Axis"].update(maximum=20),
        "widening",
        "kling.camera.axis",
        None,
    ),
    "type new": (
        lambda root: schemas(root)["ExternalTaskId"].update(type=["string", "integer"]),
        "widening",
        "kling.external-id.text",
        {"external_task_id": 0},
    ),
    "required new": (
        lambda root: schemas(root)["MultiPrompt"]["items"]["allOf"][0]["x-rule"].pop("effect"),
        "breaking",
        "kling.multi-prompt.complete",
        {"multi_prompt": [{}]},
    ),
    "condition gone": (
        lambda root: schemas(root)["ShotTypeNeeded"].update(then={"required": ["multi_shot"]}),
        "widening",
        "kling.multi-shot.shot-type",
        {"multi_shot": True},
    ),
    "combination gone": (
        lambda root: next(
            row
            for row in schemas(root)["Text2VideoRequest"]["allOf"][-1]["x-capabilities"]["rows"]
            if "sound" in row.get("features", ())
        )["features"].remove("sound"),
        "breaking",
        "kling.sound.offered",
        {"sound": "on"},
    ),
    "effect": (
        lambda root: schemas(root)["CfgScaleModels"]["x-rule"].update(effect="reject"),
        "breaking",
        "kling.cfg-scale.model",
        None,
    ),
    "fails no more": (
        lambda root: schemas(root)["Frame"]["allOf"][2]["x-image"].update(minWidth=100, minHeight=100),
        "widening",
        "kling.image.pixels",
        None,
    ),
    "warning": (
        lambda root: schemas(root)["OldModelIgnored"]["x-rule"].update(effect="off"),
        "warning",
        "kling.model.ignored",
        None,
    ),
    "words": (
        lambda root: next(
            one for one in root["x-errors"]["cases"] if one["when"] == {"keyword": "maxLength"}
        ).update(code=1299),
        "answer",
        "kling.prompt.length",
        None,
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_change_is_named_with_an_example(kind: str) -> None:
    change, group, rule, holds = PLANTED[kind]

    found = against("kling", change)

    (one, *_) = [each for each in found.differences if each.group == group and rule in each.rules]
    if holds is not None:
        assert isinstance(one.body, dict)
        assert holds.items() <= one.body.items()
        assert len(one.body) <= len(holds) + 3, "nothing that could be left out"


def test_every_difference_is_what_both_checks_say() -> None:
    def change(root: Any) -> None:
        for kind in (
            "value gone",
            "bound higher",
            "effect",
            "combination gone",
            "fails no more",
        ):
            PLANTED[kind][0](root)

    new = changed("kling", change)
    found = compare(contract("kling"), new, examples=2)

    assert len(found.differences) >= 5
    for one in found.differences:
        assert one.request is not None
        here = expect(contract("kling"), one.request).verdict
        there = expect(new, one.request).verdict
        wanted = {
            "breaking": ("accepted", None),
            "widening": (None, "accepted"),
            "warning": ("accepted", "accepted"),
        }
        for verdict, expected in zip((here, there), wanted.get(one.group, (None, None)), strict=True):
            assert expected is None or expected == verdict, one
        assert (here, there) == (one.old.verdict, one.new.verdict)


def test_the_other_way_round_breaking_is_widening() -> None:
    new = changed("kling", PLANTED["value gone"][0])

    there = compare(contract("kling"), new, examples=0)
    back = compare(new, contract("kling"), examples=0)

    sides = [({one.group for one in each.differences} - {"answer"}) for each in (there, back)]
    assert [{"breaking"}, {"widening"}] == sides


def test_what_the_places_do_not_lead_to_is_found_by_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    new = changed("kling", PLANTED["bound lower"][0])
    monkeypatch.setattr(Ground, "edits", lambda self: [])

    found = compare(contract("kling"), new, examples=60)

    (one, *_) = found.of("breaking")
    assert ("drawing", ("kling.prompt.length",)) == (one.found, one.rules)
    assert () == compare(contract("kling"), new, examples=0).differences


def test_operations_parameters_and_credentials_are_compared_too() -> None:
    def change(root: Any) -> None:
        del root["paths"]["/account/costs"]
        root["components"]["parameters"]["pageSize"]["schema"]["maximum"] = 100
        del root["components"]["securitySchemes"]["token"]["x-jwt"]["opaque"]

    found = against("kling", change)

    whys = {one.why.partition(" is gone")[0]: one for one in found.of("breaking")}
    assert "GET /account/costs" in whys
    assert "kling.list.page-size" in whys["query pageSize"].rules
    assert "kling.request.unauthorized-malformed" in whys["a request with a key"].rules
    assert "pageSize=" in str(whys["query pageSize"].request and whys["query pageSize"].request.url)


def test_what_is_no_matter_of_requests_is_told_as_well() -> None:
    def change(root: Any) -> None:
        root["x-limits"][0]["quota"] = 9
        root["components"]["x-lifecycles"]["video"]["transitions"][1]["after"] = "PT7S"
        root["components"]["x-templates"]["task"]["body"].pop("task_status_msg")
        schemas(root)["Image2VideoRequest"]["allOf"][-1]["x-capabilities"]["rows"][0]["cost"][0]["base"] = 2
        root["info"]["summary"] = "Another"

    found = against("kling", change)

    assert () == found.differences
    assert [
        ("life cycle", "'PT120S'", "'PT7S'"),
        ("answers", "''", ""),
        ("prices", "1", "2"),
        ("limits", "5", "9"),
    ] == [(one.kind, one.before, one.after) for one in found.changes if one.kind != "notes"]
    assert ["notes"] == [one.kind for one in found.changes if one.kind == "notes"]


def test_a_spec_that_no_body_can_meet_is_compared_all_the_same() -> None:
    def change(root: Any) -> None:
        # Whatever is sent uses the feature now, and no row offers it.
        schemas(root)["Conditions"]["allOf"][3]["x-capabilities"]["features"]["camera"]["required"] = []

    assert against("aimlapi", change).differences


# --- parts ------------------------------------------------------------------------------------------------


def test_lists_are_aligned_by_what_names_their_entries() -> None:
    old = {"cases": [{"when": {"kind": "a"}, "status": 1}, {"when": {"kind": "b"}, "status": 2}]}
    new = {"cases": [{"when": {"kind": "c"}, "status": 3}, *copy.deepcopy(old["cases"])]}
    new["cases"][2]["status"] = 4

    found = list(edits(old, new))

    assert [(("cases", 1, "status"), 2, 4), (("cases", 2), MISSING, new["cases"][0])] == [
        (one.old_at, one.before, one.after) for one in found
    ]


def test_one_and_true_and_one_point_nought_are_three() -> None:
    assert 2 == len(list(edits({"enum": [1, True]}, {"enum": [1.0, True]})))
    assert [] == list(edits({"enum": [1, 2]}, {"enum": [1, 2]}))


def test_a_body_shrinks_to_what_cannot_be_left_out() -> None:
    body = {"a": [1, 2, {"b": "some long text, and more"}], "c": {"d": 7, "e": None}, "f": "x" * 500}

    found = shrink(body, lambda one: isinstance(one, dict) and len(str(one.get("f", ""))) > 20)

    assert {"f": "a" * 21} == found
    assert body["a"] == [1, 2, {"b": "some long text, and more"}]


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Two versions of the toy: a value went, another came."""
    root = copy.deepcopy(contract("toy").document.root)
    text = dump_yaml(root)
    (tmp_path / "old.yaml").write_text(text)
    new = changed_toy(root)
    (tmp_path / "new.yaml").write_text(dump_yaml(new))
    return str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")


def changed_toy(root: Any) -> Any:
    found = next(node for node in walk(root["components"]["schemas"]) if node.get("maxLength"))
    found["maxLength"] -= 1
    return root


def walk(node: Any) -> Any:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["diff", *arguments])


@pytest.mark.parametrize(
    ("fail_on", "forth", "back"),
    [("breaking", 1, 0), ("any", 1, 1), ("none", 0, 0)],
    ids=["breaking", "any", "none"],
)
def test_exit_codes_are_for_ci(files: tuple[str, str], fail_on: str, forth: int, back: int) -> None:
    old, new = files

    there = run(old, new, "--fail-on", fail_on, "--examples", "0")
    again = run(new, old, "--fail-on", fail_on, "--examples", "0")
    same = run(old, old, "--fail-on", fail_on, "--examples", "0")

    assert (forth, back, 0) == (there.exit_code, again.exit_code, same.exit_code), there.output


def test_the_same_call_prints_the_same_twice(files: tuple[str, str]) -> None:
    first, second = (run(*files, "--examples", "20", "--seed", "3").output for _ in range(2))

    assert first == second
    assert "breaking: taken by the old spec, not by the new one" in first


def test_json_holds_a_body_that_can_be_sent(files: tuple[str, str]) -> None:
    shown = json.loads(run(*files, "--format", "json", "--examples", "0").output)

    assert (1, 1) == (shown["exit"], shown["version"])
    one = next(each for each in shown["differences"] if each["group"] == "breaking")
    request = HttpRequest.from_json(one["request"]["method"], one["request"]["url"], one["request"]["body"])
    operation = one["operations"][0]
    assert "accepted" == expect(contract("toy"), request, operation=operation).verdict
    assert one["places"] and one["rules"] and one["new"]["message"]


def test_every_member_of_the_json_is_on_the_page(files: tuple[str, str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "drift.md").read_text()
    described = set(re.findall(r"`(\w+)`", page.partition("## A spec and its provider")[0]))

    shown = json.loads(run(*files, "--format", "json", "--examples", "0").output)
    more = json.loads(
        run("kling", "--variant", "kling.jwt-only", "--format", "json", "--examples", "0").output
    )

    for one in (shown, more):
        objects = [one, one["old"], *one["differences"], *one["changes"]]
        objects += [
            each[side] for each in one["differences"] for side in ("old", "new", "request") if side in each
        ]
        assert set() == {name for each in objects for name in each} - described


def test_markdown_is_a_comment_on_a_change(files: tuple[str, str]) -> None:
    shown = run(*files, "--format", "markdown", "--examples", "0").output

    assert shown.startswith("## toy: ")
    assert "### breaking: taken by the old spec, not by the new one" in shown


def test_a_reading_is_compared_with_the_one_without() -> None:
    shown = run("kling", "--effect", "kling.mode.4k=off", "--examples", "0")

    assert 0 == shown.exit_code
    assert "the effect of kling.mode.4k was reject and is off" in shown.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("kling",), "name two specs"),
        (("klin", "kling"), "did you mean 'kling'?"),
        (("kling", "--variant", "kling.old"), "has no variant 'old'"),
        (("kling", "--variant", "toy.old"), "is not of kling"),
        (("/nowhere.yaml", "kling"), "neither a provider nor a file"),
        (("kling", "kling", "--effect", "kling.no.rule=off"), "there is no rule"),
    ],
)
def test_a_wrong_call_is_told_and_ends_with_2(arguments: tuple[str, ...], says: str) -> None:
    shown = run(*arguments)

    assert (2, True) == (shown.exit_code, says in shown.output), shown.output


def test_a_file_that_is_no_spec_is_told_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("openapi: [")

    shown = run(str(tmp_path / "x.yaml"), str(TOY))

    assert 2 == shown.exit_code
    assert "not readable as YAML" in shown.output
