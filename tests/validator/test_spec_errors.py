"""Broken specs and the exact words that tell so: the toy with one thing wrong.  "…" stands for any ending."""

# ruff: noqa: E501 - a message is one line, whatever its length

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.providers import TOY
from validator.contract import SpecError, load
from validator.contract.compile import compile_document
from validator.contract.document import check_document, document_errors, parse_yaml, read_document
from validator.contract.pointers import is_described

DOCUMENT = replace(read_document(TOY), file="toy.yaml")
Spec = dict[str, Any]

RULE = {"id": "toy.a.b", "message": "m", "source": "guess", "evidence": "assumed"}
NO_ROUTE = {"when": {"kind": "no-route", "place": "body"}, "status": 404, "message": "x"} | {
    "source": "guess",
    "evidence": "assumed",
}


def create(root: Spec) -> Any:
    return root["paths"]["/clips"]["post"]


def link(root: Spec) -> Any:
    return create(root)["responses"]["200"]["links"]["byId"]


def deliver(root: Spec) -> Any:
    return create(root)["callbacks"]["onChange"]["{$request.body#/hook}"]["post"]


def body(root: Spec) -> Any:
    return root["components"]["schemas"]["ClipRequest"]


def name(root: Spec) -> Any:
    return body(root)["properties"]["name"]


def table(root: Spec) -> Any:
    return body(root)["allOf"][-1]["x-capabilities"]


def template(root: Spec) -> Any:
    return root["components"]["x-templates"]["clip"]


def clip(root: Spec) -> Any:
    return root["components"]["x-lifecycles"]["clip"]


BODY = "toy.yaml#/components/schemas/ClipRequest"
BROKEN: dict[str, tuple[Callable[[Spec], object], str]] = {
    "a word's unknown member": (
        lambda root: create(root)["x-task"].update(retries=3),
        "toy.yaml#/paths/~1clips/post/x-task: Additional properties are not allowed ('retries' was unexpected)",
    ),
    "a word that belongs to another role": (
        lambda root: root["paths"]["/clips/{id}"]["get"]["x-task"].update(costDecimals=2),
        "toy.yaml#/paths/~1clips~1{id}/get/x-task/costDecimals: 'costDecimals' may not stand here",
    ),
    "an unknown word": (
        lambda root: create(root).update({"x-retry": 3}),
        "toy.yaml#/paths/~1clips/post/x-retry: 'x-retry' is no word of the vocabulary here (did you mean 'x-rule'?)",
    ),
    "a word in the wrong place": (
        lambda root: create(root).update({"x-rule": RULE}),
        "toy.yaml#/paths/~1clips/post/x-rule: 'x-rule' is no word of the vocabulary here (docs/vocabulary.md lists where each may stand)",
    ),
    "a reference to nothing": (
        lambda root: body(root)["properties"]["tail"].update({"$ref": "#/components/schemas/Pictures"}),
        BODY
        + "/properties/tail: $ref '#/components/schemas/Pictures' leads nowhere: no 'Pictures' in #/components/schemas (did you mean 'Picture'?)",
    ),
    "a reference to another file": (
        lambda root: body(root)["properties"]["tail"].update({"$ref": "other.yaml#/a"}),
        BODY + "/properties/tail: $ref 'other.yaml#/a' must point into this file (start it with #/)",
    ),
    "a reference to itself": (
        lambda root: root["components"]["schemas"].update(Mask={"$ref": "#/components/schemas/Mask"}),
        "toy.yaml#/components/schemas/Mask: $ref '#/components/schemas/Mask' leads back to itself",
    ),
    "a schema in itself": (
        lambda root: root["components"]["schemas"]["Mask"]["allOf"].append(
            {"$ref": "#/components/schemas/Mask"}
        ),
        "toy.yaml#/components/schemas/Mask/allOf/3: a schema that contains itself cannot be compiled",
    ),
    "a reference to another kind of thing": (
        lambda root: create(root)["x-task"].update(lifecycle={"$ref": "#/components/schemas"}),
        "toy.yaml#/paths/~1clips/post/x-task/lifecycle: $ref '#/components/schemas' leads to something without 'initial'",
    ),
    "an assertion beside a reference": (
        lambda root: body(root)["allOf"].append({"$ref": "#/components/schemas/Clip", "type": "object"}),
        BODY + "/allOf/6: assertions beside $ref are not compiled (put both into allOf)",
    ),
    "a template that reads a member nobody sends": (
        lambda root: template(root)["body"].update(name="$task.input#/nam"),
        "toy.yaml#/paths/~1clips/post: '/nam', which $task.input reads, is no member of the request (did you mean '/name'?)",
    ),
    "a condition without a value": (
        lambda root: template(root)["body"].update(name={"x-when": "$task.id"}),
        "toy.yaml#/components/x-templates/clip: 'x-when' stands with 'x-then', 'x-is' and 'x-else', and nothing else",
    ),
    "a condition that is no expression": (
        lambda root: template(root)["body"].update(name={"x-when": True, "x-then": 1}),
        "toy.yaml#/components/x-templates/clip: 'x-when' is an expression, not true",
    ),
    "a callback to a member nobody sends": (
        lambda root: create(root)["callbacks"]["onChange"].update(
            {"{$request.body#/hok}": create(root)["callbacks"]["onChange"].pop("{$request.body#/hook}")}
        ),
        "toy.yaml#/paths/~1clips/post: '/hok', which the callback onChange reads, is no member of the request (did you mean '/hook'?)",
    ),
    "a unique member nobody sends": (
        lambda root: create(root)["x-task"]["unique"][0].update(pointer="/nmae"),
        "toy.yaml#/paths/~1clips/post: '/nmae', which unique reads, is no member of the request (did you mean '/name'?)",
    ),
    "a link by a member nobody sends": (
        lambda root: create(root)["responses"]["200"]["links"]["byName"].update(
            parameters={"path.id": "$request.body#/title"}
        ),
        "toy.yaml#/paths/~1clips/post: '/title', which the link byName reads, is no member of the request…",
    ),
    "a length from a member nobody sends": (
        lambda root: table(root).update(duration="/secs"),
        "toy.yaml#/paths/~1clips/post: '/secs', which the duration of x-capabilities reads, is no member of the request…",
    ),
    "a shape from a member nobody sends": (
        lambda root: table(root)["aspectRatio"].update({"from": ["/picture/shape"]}),
        "toy.yaml#/paths/~1clips/post: '/picture/shape', which the aspectRatio of x-capabilities reads, is no member of the request…",
    ),
    "a key that the map does not have": (
        lambda root: root["x-errors"]["cases"][-1].update(message="{$error.keys.modle}"),
        "toy.yaml#/x-errors/cases/14: 'modle' is no key of x-capabilities (did you mean 'model'?)",
    ),
    "a rule that nothing uses": (
        lambda root: root["components"]["schemas"].update(Spare={"type": "string", "x-rule": RULE}),
        "toy.yaml#/components/schemas/Spare: rule 'toy.a.b' belongs to nothing an operation uses",
    ),
    "a pattern of a rule that is off": (
        lambda root: body(root)["allOf"].insert(
            0, {"properties": {"name": {"pattern": "[0-9{1"}}, "x-rule": {**RULE, "effect": "off"}}
        ),
        BODY + "/allOf/0/properties/name: …",
    ),
    "an assertion without a rule": (
        lambda root: name(root).pop("x-rule"),
        BODY + "/properties/name: 'type' has no rule that answers for it (add an x-rule beside it)",
    ),
    "a rule beside nothing": (
        lambda root: body(root)["allOf"].append({"x-rule": RULE}),
        BODY + "/allOf/6: rule 'toy.a.b' stands beside nothing that could fail",
    ),
    "an unknown keyword": (
        lambda root: name(root).update(maximunLength=3),
        BODY
        + "/properties/name/maximunLength: the keyword 'maximunLength' is not understood (did you mean 'minLength'?)",
    ),
    "a pattern that is none": (
        lambda root: body(root)["properties"]["prompt"].update(pattern="("),
        'toy.yaml#/paths/~1clips/post/requestBody/content/application~1json/schema: the schema cannot be compiled: "(" is not a "regex"',
    ),
    "a rule id twice": (
        lambda root: name(root)["x-rule"].update(id="toy.clip.hook"),
        BODY
        + "/properties/hook/x-rule: rule id 'toy.clip.hook' is used at /components/schemas/ClipRequest/properties/name/x-rule already (share it by $ref)",
    ),
    "a rule id of another provider": (
        lambda root: name(root)["x-rule"].update(id="other.clip.name"),
        BODY + "/properties/name/x-rule: rule id 'other.clip.name' must start with 'toy.'",
    ),
    "a rule id of ours": (
        lambda root: name(root)["x-rule"].update(id="toy.request.name"),
        BODY
        + "/properties/name/x-rule: rule id 'toy.request.name' lies in the area 'request', which is kept for findings without a rule",
    ),
    "a source that is not listed": (
        lambda root: name(root)["x-rule"].update(source="pgae#x"),
        BODY + "/properties/name/x-rule: source 'pgae' is not listed in x-provider (did you mean 'page'?)",
    ),
    "a message with an unknown field": (
        lambda root: name(root)["x-rule"].update(message="{$error.feild} is bad"),
        BODY + "/properties/name/x-rule/message: '$error.feild': $error offers kind, …",
    ),
    "a message with a root that has no value": (
        lambda root: name(root)["x-rule"].update(message="{$task.id} is bad"),
        BODY + "/properties/name/x-rule/message: '$task.id' has no value here (known in this place: $error)",
    ),
    "a condition on an unknown member": (
        lambda root: body(root)["allOf"][1]["dependentSchemas"]["tail"]["properties"].update(
            maks={"not": {}}
        ),
        BODY + "/allOf/1/dependentSchemas/tail: 'maks' is no member here (did you mean 'masks'?)",
    ),
    "a picture that is the whole body": (
        lambda root: body(root)["allOf"][0].update({"x-image": {"minWidth": 3}}),
        BODY + "/allOf/0: the whole body is no picture (x-image is for members)",
    ),
    "a picture below a condition": (
        lambda root: body(root)["allOf"].append(
            {"anyOf": [{"properties": {"tail": {"x-image": {"minWidth": 3}}}}], "x-rule": RULE}
        ),
        BODY + "/allOf/6/anyOf/0/properties/tail: x-image cannot stand below a condition (move it to allOf)",
    ),
    "rows that overlap": (
        lambda root: table(root)["rows"][1]["match"].update(seconds=["5", "10"]),
        BODY + "/allOf/5/x-capabilities/rows/1: rows 0 and 1 both cover a1/5",
    ),
    "a row without source": (
        lambda root: (body(root)["allOf"][-1].pop("x-rule"), table(root)["rows"][0].pop("source", None)),
        BODY
        + "/allOf/5/x-capabilities/rows/0: the row needs source and evidence (or give the map a rule, whose they are then)",
    ),
    "an unknown feature": (
        lambda root: table(root)["rows"][0].update(features=["load"]),
        BODY + "/allOf/5/x-capabilities/rows/0: feature 'load' is not defined (did you mean 'loud'?)",
    ),
    "a feature without a use": (
        lambda root: table(root)["features"].update(quiet={"required": ["sound"]}),
        BODY + "/allOf/5/x-capabilities: feature 'quiet' has neither a rule nor a price",
    ),
    "an unknown key": (
        lambda root: table(root)["keys"].append("modle"),
        BODY + "/allOf/5/x-capabilities: key 'modle' is no member of the body (did you mean 'model'?)",
    ),
    "a key value that cannot be sent": (
        lambda root: table(root)["rows"][0]["match"].update(model=["a3"]),
        BODY + "/allOf/5/x-capabilities/rows/0: model 'a3' can never be sent",
    ),
    "an unknown state in a template": (
        lambda root: template(root)["states"].update(broke={}),
        "toy.yaml#/components/x-templates/clip/states: state 'broke' does not exist (did you mean 'broken'?)",
    ),
    "an unknown state in a delivery": (
        lambda root: deliver(root)["x-deliver"].update(states=["dine"]),
        "toy.yaml#/paths/~1clips/post/callbacks/onChange/{$request.body#~1hook}/post/x-deliver: state 'dine' does not exist (did you mean 'done'?)",
    ),
    "a state nobody reaches": (
        lambda root: clip(root)["transitions"].pop(1),
        "toy.yaml#/components/x-lifecycles/clip: state 'done' cannot be reached",
    ),
    "a state nobody leaves": (
        lambda root: clip(root)["states"].update(lost={}),
        "toy.yaml#/components/x-lifecycles/clip: state 'lost' is not final, but nothing leaves it",
    ),
    "a final state that is left": (
        lambda root: clip(root)["transitions"].append(
            {"source": "done", "target": "working", "after": "PT1S"}
        ),
        "toy.yaml#/components/x-lifecycles/clip: state 'done' is final, but a transition leaves it",
    ),
    "a rule that fails tasks that cannot fail": (
        lambda root: clip(root)["transitions"].pop(2),
        "toy.yaml#/components/schemas/Picture/allOf/2/x-rule: rule 'toy.picture.format' has the effect fail, but no task of createClip fails by itself (give its lifecycle a transition with event: failure and after)",
    ),
    "an unknown field in a template": (
        lambda root: template(root)["body"].update(id="$task.idd"),
        "toy.yaml#/components/x-templates/clip: '$task.idd': $task offers id, …",
    ),
    "an unknown root in a template": (
        lambda root: template(root)["body"].update(id="$tsk.id"),
        "toy.yaml#/components/x-templates/clip: '$tsk.id' starts with an unknown root; known: $task, $tasks, $error, $errors, $delivery, $limit, $account, $mock",
    ),
    "a root that has no value in a template": (
        lambda root: template(root)["body"].update(id="$error.code"),
        "toy.yaml#/components/x-templates/clip: '$error.code' has no value here (known in this place: $account, $limit, $method, $mock, $request, $task, $tasks, $url)",
    ),
    "a template in itself": (
        lambda root: template(root)["body"].update(again={"$ref": "#/components/x-templates/clip"}),
        "toy.yaml#/components/x-templates/clip/body/again: a template that contains itself",
    ),
    "an error case nobody reaches": (
        lambda root: root["x-errors"]["cases"].insert(5, NO_ROUTE),
        "toy.yaml#/x-errors/cases/5: can never be reached: case 2 matches first",
    ),
    "no error case for the rest": (
        lambda root: root["x-errors"]["cases"].pop(),
        "toy.yaml#/x-errors/cases: the last case must match everything (give it when: {})",
    ),
    "an error case for an unknown rule": (
        lambda root: root["x-errors"]["cases"][13]["when"].update(rule="toy.clip.load"),
        "toy.yaml#/x-errors/cases/13: no rule is called 'toy.clip.load' (did you mean 'toy.clip.loud'?)",
    ),
    "a link to nowhere": (
        lambda root: link(root).update(operationId="getClips"),
        "toy.yaml#/paths/~1clips/post/responses/200/links/byId: names no operation of this file (did you mean 'getClip'?)",
    ),
    "a link by an unknown parameter": (
        lambda root: link(root).update(parameters={"idd": "$response.body#/clip/id"}),
        "toy.yaml#/paths/~1clips/post/responses/200/links/byId: 'idd' is no parameter of getClip (did you mean 'id'?)",
    ),
    "a link by something else than the id": (
        lambda root: link(root).update(parameters={"id": "$response.body#/clip/state"}),
        "toy.yaml#/paths/~1clips/post/responses/200/links/byId: '$response.body#/clip/state' must lead to $task.id in the answer, or into the request",
    ),
    "no link": (
        lambda root: create(root)["responses"]["200"].pop("links"),
        "toy.yaml#/paths/~1clips/post/responses/200: a created task needs a link to where it can be read",
    ),
    "a list of nothing": (
        lambda root: root["paths"]["/clips"]["get"]["x-task"].update(of=["createClips"]),
        "toy.yaml#/paths/~1clips/get/x-task/of: 'createClips' creates no tasks (did you mean 'createClip'?)",
    ),
    "an operationId twice": (
        lambda root: root["paths"]["/wallet"]["get"].update(operationId="getClip"),
        "toy.yaml#/paths/~1wallet/get: operationId 'getClip' stands twice",
    ),
    "a path parameter by another name": (
        lambda root: root["paths"]["/clips/{id}"]["get"]["parameters"][0].update(name="clip"),
        "toy.yaml#/paths/~1clips~1{id}/get: path parameters ['id'] are described as ['clip']",
    ),
    "an unknown security scheme": (
        lambda root: root["security"].append({"tokn": []}),
        "toy.yaml#/paths/~1clips/get: security scheme 'tokn' does not exist (did you mean 'token'?)",
    ),
    "servers that differ in their path": (
        lambda root: root["servers"].append({"url": "https://c.toy.example/v2"}),
        "toy.yaml#/servers: servers differ in their path: /api, /v2",
    ),
    "a callback without a body": (
        lambda root: deliver(root).pop("requestBody"),
        "toy.yaml#/paths/~1clips/post/callbacks/onChange/{$request.body#~1hook}/post: needs a requestBody, so that there is something to send",
    ),
    "responses of success for a class of statuses": (
        lambda root: create(root)["responses"].update({"2XX": create(root)["responses"].pop("200")}),
        "toy.yaml#/paths/~1clips/post/responses: a response of success has one status, not 2XX",
    ),
    "an older OpenAPI": (
        lambda root: root.update(openapi="3.0.0"),
        'toy.yaml#/openapi: "3.0.0" does not match "^3\\.1\\.\\d+(-.+)?$"',
    ),
}


def told(root: Spec) -> str:
    document = replace(DOCUMENT, root=root)
    with pytest.raises(SpecError) as caught:
        check_document(document)
        compile_document(document)
    return str(caught.value)


OPEN: dict[str, Callable[[Spec], object]] = {
    "by a pattern of names": lambda root: body(root).update(
        patternProperties={"^na": {"type": "string", "x-rule": RULE}}
    ),
    "as one of any names": lambda root: body(root).update(
        additionalProperties={"type": "string", "x-rule": RULE}
    ),
    "because any name is allowed": lambda root: body(root).update(additionalProperties=True),
}


@pytest.mark.parametrize("change", OPEN.values(), ids=list(OPEN))
def test_a_member_that_is_described_another_way_may_be_read(change: Callable[[Spec], object]) -> None:
    root = copy.deepcopy(DOCUMENT.root)
    template(root)["body"].update(nap="$task.input#/nap")
    change(root)

    compile_document(replace(DOCUMENT, root=root))


def test_an_alternative_that_leaves_members_open_is_enough() -> None:
    closed, open_ = {"type": "null"}, {"type": "object"}

    assert is_described({"properties": {"a": {"anyOf": [closed, open_]}}}, ["a", "b"])
    assert not is_described({"properties": {"a": {"anyOf": [closed, closed]}}}, ["a", "b"])
    assert not is_described({"properties": {"a": {"oneOf": [{"type": "string"}]}}}, ["a", "0"])


def test_a_sample_that_looks_like_a_rule_is_none() -> None:
    root = copy.deepcopy(DOCUMENT.root)
    body(root)["examples"] = [{"prompt": "a", "x-rule": RULE}]

    compile_document(replace(DOCUMENT, root=root))


@pytest.mark.parametrize(("change", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_spec_is_told_with_place_and_hint(change: Callable[[Spec], object], expected: str) -> None:
    root = copy.deepcopy(DOCUMENT.root)
    change(root)

    sentence = told(root)

    start, dots, _ = expected.partition("…")
    assert expected == (start + dots if dots and sentence.startswith(start) else sentence)


def test_a_key_that_stands_twice_is_told_with_its_line() -> None:
    with pytest.raises(
        SpecError, match=r"^toy\.yaml: not readable as YAML, line 2 column 1: the key 'a' stands twice$"
    ):
        parse_yaml("a: 1\na: 2\n", file="toy.yaml")


def test_yaml_is_read_by_version_1_2() -> None:
    text = "{a: on, b: 16:9, c: 1:2.5, d: 2026-11-19, e: 010, f: 1_000, g: 0x10, 200: yes, h: 1e3, i: ~}"

    assert {
        "a": "on",
        "b": "16:9",
        "c": "1:2.5",
        "d": "2026-11-19",
        "e": 10,
        "f": "1_000",
        "g": "0x10",
        "200": "yes",
        "h": 1000.0,
        "i": None,
    } == parse_yaml(text, file="x")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no mapping"),
        (b"- 1", "holds no mapping"),
        (b"a: [\n", "not readable as YAML, line 2 column 1: did not find expected node content"),
        (b"\xff\xfe\x00", "not readable as YAML"),
        (
            b"!!python/object:os.system {}",
            "not readable as YAML, line 1 column 1: the tag tag:yaml.org,2002:python",
        ),
    ],
)
def test_a_file_that_is_no_spec_is_told(content: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(content)

    with pytest.raises(SpecError) as caught:
        load(file)

    assert str(caught.value).startswith(f"{file}: {expected}")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file or directory"):
        load(tmp_path / "a.yaml")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_an_unknown_provider_is_told_with_those_that_are_known() -> None:
    with pytest.raises(SpecError, match=r"^nobody: no provider is called 'nobody' \(known: "):
        load("nobody")


def test_an_unknown_variant_is_told() -> None:
    with pytest.raises(
        SpecError, match=r"toy\.yaml#/x-variants: has no variant 'chaty' \(did you mean 'chatty'\?\)$"
    ):
        load(TOY, variants=["chaty"])


def test_all_faults_of_form_are_listed() -> None:
    root = copy.deepcopy(DOCUMENT.root)
    root["x-limit"] = []
    del root["info"]["title"]
    name(root)["x-rul"] = {}

    faults = list(document_errors(replace(DOCUMENT, root=root)))

    assert [
        (
            "/components/schemas/ClipRequest/properties/name/x-rul",
            "'x-rul' is no word of the vocabulary here",
            "did you mean 'x-rule'?",
        ),
        ("/info", '"title" is a required property', ""),
        ("/x-limit", "'x-limit' is no word of the vocabulary here", "did you mean 'x-limits'?"),
    ] == faults


def test_a_word_that_is_wrong_is_told_without_those_that_hang_on_it() -> None:
    root = copy.deepcopy(DOCUMENT.root)
    create(root)["x-task"]["role"] = "creates"

    assert [("/paths/~1clips/post/x-task/role", '"creates" is not one of "create", "read" or "list"')] == [
        (place, sentence) for place, sentence, _ in document_errors(replace(DOCUMENT, root=root))
    ]
