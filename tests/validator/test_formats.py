"""Reports for CI systems and code hosts: what is in them, and that nothing from a file means anything there."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.providers import contract
from validator import formats
from validator.addresses import Library
from validator.formats import Run, github, junit, markdown, sarif
from validator.lint import Judgement, Tally, judge
from validator.readers import read_requests

TOY = Library(contracts={"toy": contract("toy")}, provider="toy")
CODE = """
requests.post("https://api.toy.example/api/clips", json={"prompt": "a", "model": "a9", "promt": x})
requests.post("https://api.toy.example/api/clips", json={"prompt": "a"})
requests.post(url, json={"done": 1})
"""


def run(*files: tuple[str, str], is_strict: bool = False, remarks: tuple[str, ...] = ()) -> Run:
    tally, judgements = Tally(), list[Judgement]()
    for name, text in files:
        for found in read_requests(text.encode("utf-8", "surrogateescape"), name=name):
            judgements.append(judge(found, TOY))
            tally.add(judgements[-1])
    code = tally.exit_code(is_strict=is_strict)
    return Run(
        judgements=judgements,
        tally=tally,
        exit_code=code,
        is_strict=is_strict,
        remarks=remarks,
        version="1.2",
    )


PLAIN = run(("src/app.py", CODE), ("b.json", "{"))


# --- SARIF ------------------------------------------------------------------------------------------------


def an_object(required: str, optional: str = "", **members: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    names = (required + " " + optional).split()
    known = {name: members.get(name, {"type": "string", "minLength": 1}) for name in names}
    return {
        "type": "object",
        "properties": known,
        "required": required.split(),
        "additionalProperties": False,
    }


def a_list(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "integer", "minimum": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
TEXT = an_object("text")
URI = {"type": "string", "format": "uri-reference", "pattern": r"^[!#-;=?-\[\]_a-z~%]+$"}
LOCATION = an_object(
    "physicalLocation",
    "logicalLocations",
    physicalLocation=an_object(
        "artifactLocation region",
        artifactLocation=an_object("uri", "uriBaseId", uri=URI, uriBaseId={"const": "%SRCROOT%"}),
        region=an_object("startLine", "startColumn", startLine=NUMBER, startColumn=NUMBER),
    ),
    logicalLocations=a_list(an_object("fullyQualifiedName kind")),
)
RULE = an_object(
    "id name shortDescription fullDescription help defaultConfiguration properties",
    "helpUri",
    shortDescription=TEXT,
    fullDescription=TEXT,
    help=an_object("text markdown"),
    helpUri={"type": "string", "format": "uri", "pattern": "^https?://"},
    defaultConfiguration=an_object("level", level=LEVEL),
    properties=an_object(
        "evidence tags", tags=a_list({"type": "string"}) | {"uniqueItems": True, "maxItems": 10}
    ),
)
RESULT = an_object(
    "ruleId ruleIndex level message locations partialFingerprints properties",
    ruleIndex=COUNT,
    level=LEVEL,
    message=TEXT,
    locations=a_list(LOCATION) | {"minItems": 1, "maxItems": 1},
    partialFingerprints={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
    properties={"type": "object"},
)
NOTIFICATION = an_object(
    "level message descriptor",
    "locations",
    level=LEVEL,
    message=TEXT,
    descriptor=an_object("id"),
    locations=a_list(LOCATION),
)
SARIF = an_object(
    "$schema version runs",
    version={"const": "2.1.0"},
    runs=a_list(
        an_object(
            "tool columnKind originalUriBaseIds invocations results properties",
            tool=an_object(
                "driver",
                driver=an_object("name rules", "version", rules=a_list(RULE) | {"uniqueItems": True}),
            ),
            columnKind={"const": "unicodeCodePoints"},
            originalUriBaseIds={"type": "object"},
            invocations=a_list(
                an_object(
                    "executionSuccessful exitCode",
                    "toolExecutionNotifications",
                    executionSuccessful={"type": "boolean"},
                    exitCode={"enum": [0, 1, 2]},
                    toolExecutionNotifications=a_list(NOTIFICATION),
                )
            ),
            results=a_list(RESULT),
            properties={"type": "object"},
        )
    ),
)
"""What of SARIF 2.1.0 is used here, and nothing else.  Source: OASIS, sections 3.13 to 3.58 and the schema."""


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, the names of members included."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from texts(one)
    if isinstance(value, str):
        yield value


def read_sarif(one: Run) -> dict[str, Any]:
    text = sarif(one)
    value = json.loads(text)
    Draft202012Validator(SARIF).validate(value)
    # One control character, or half of a surrogate pair, sinks a whole upload.
    assert all(one.replace("\n", "").isprintable() for one in texts(value))
    (only,) = value["runs"]
    for result in only["results"]:
        assert result["ruleId"] == only["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
    return dict(only)


def test_sarif_has_every_finding_with_its_place() -> None:
    known = read_sarif(PLAIN)

    assert [
        ("toy.clip.model", "error", "/model", 2, 73),
        ("toy.request.unknown-member", "warning", "/promt", 2, 88),
    ] == [
        (
            one["ruleId"],
            one["level"],
            one["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
            *one["locations"][0]["physicalLocation"]["region"].values(),
        )
        for one in known["results"]
    ]
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"] for one in known["results"]]
    assert [{"uri": "src/app.py", "uriBaseId": "%SRCROOT%"}] * 2 == uris


def test_sarif_tells_what_was_not_looked_at() -> None:
    (invocation,) = read_sarif(PLAIN)["invocations"]

    assert (False, 2) == (invocation["executionSuccessful"], invocation["exitCode"])
    assert [("error", "b.json"), ("note", "src/app.py")] == [
        (one["level"], one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        for one in invocation["toolExecutionNotifications"]
    ]


def test_a_rule_says_what_it_is_and_how_sure() -> None:
    rule, _ = read_sarif(PLAIN)["tool"]["driver"]["rules"]

    assert ("toy.clip.model", "documented") == (rule["id"], rule["properties"]["evidence"])
    assert "https://toy.example/docs" == rule["helpUri"]
    assert "understudy explain toy.clip.model" in rule["help"]["text"]


def test_fingerprints_in_sarif_stay_when_lines_move() -> None:
    moved = run(("src/app.py", "\n\n# more\n" + CODE))

    before, after = (
        [one["partialFingerprints"] for one in read_sarif(each)["results"]] for each in (PLAIN, moved)
    )

    assert before == after
    assert 2 == len({one["primaryLocationLineHash"] for one in before})


def test_more_results_than_github_takes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MOST_RESULTS", 6)
    monkeypatch.setattr(formats, "MOST_SHOWN", 4)
    lines = "\n".join(['{"prompt": "a", "model": "a9", "promt": 1}'] * 5)

    known = read_sarif(run(("a.ndjson", lines)))

    texts = [one["message"]["text"] for one in known["invocations"][0]["toolExecutionNotifications"]]
    assert ["error"] * 5 + ["warning"] == [one["level"] for one in known["results"]]
    assert [
        "4 more results were left out: GitHub refuses a file with more than 6",
        "GitHub shows 4 of the 6 results, the gravest first",
    ] == texts


# --- JUnit ------------------------------------------------------------------------------------------------


def test_junit_has_a_suite_for_each_file_and_a_case_for_each_request() -> None:
    root = ET.fromstring(junit(PLAIN))

    assert {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"} == {
        name: root.attrib[name] for name in ("tests", "failures", "errors", "skipped")
    }
    assert ["src/app.py", "b.json"] == [one.attrib["name"] for one in root]
    assert [["failure", "system-out"], [], ["skipped"], ["error"]] == [
        [inner.tag for inner in case] for case in root.iter("testcase")
    ]
    failure = next(root.iter("failure"))
    assert "toy.clip.model" == failure.attrib["type"]
    assert failure.text is not None and failure.text.startswith("src/app.py:2:73: error: model: ")


def test_a_warning_is_a_failure_where_it_counts() -> None:
    root = ET.fromstring(junit(run(("src/app.py", CODE), is_strict=True)))

    (failure,) = root.iter("failure")
    assert failure.attrib["message"].endswith("(and 1 more)")
    assert [] == list(root.iter("system-out"))


# --- GitHub -----------------------------------------------------------------------------------------------


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Return the workflow commands in a log, as the runner reads them."""
    out = []
    for line in text.split("\n"):
        found = re.match(r"::(\w+)(?: (.*?))?::(.*)$", line)
        if found is None:
            # The runner looks for the older form, anywhere in a line, only where there is no newer one.
            assert line.startswith("- ") and "::" not in line and "##[" not in line
            continue
        pairs = [part.partition("=") for part in (found[2] or "").split(",")]
        out.append((found[1], {name: unquote(value) for name, _, value in pairs}, unquote(found[3])))
    return out


def test_annotations_have_file_line_and_column() -> None:
    known = commands(github(PLAIN))

    assert ["error", "warning", "error", "notice", "notice"] == [level for level, _, _ in known]
    assert {"file": "src/app.py", "line": "2", "col": "73", "title": "toy.clip.model"} == known[0][1]
    assert known[0][2].startswith("model: model is a1, a2 or b1; found 'a9'")
    assert {"title": "understudy lint"} == known[-1][1]


def test_more_annotations_than_github_shows_stand_in_the_log() -> None:
    lines = "\n".join(['{"prompt": "a", "model": "a9", "promt": 1}'] * 12)

    text = github(run(("a.ndjson", lines), remarks=("and that",)))

    levels = [level for level, _, _ in commands(text)]
    assert (10, 10, 1) == (levels.count("error"), levels.count("warning"), levels.count("notice"))
    assert 4 == len(re.findall(r"^- a\.ndjson:1[12]:\d+: ", text, re.M))
    said = commands(text)[-1][2]
    assert (
        "GitHub shows 10 of each kind for a step: 2 more errors, 2 more warnings stand only in the log"
        in said
    )
    assert said.endswith("and that")


# --- Markdown ---------------------------------------------------------------------------------------------


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table as GitHub's Markdown divides them."""
    lines = [line for line in text.split("\n") if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]


def test_markdown_has_a_table_of_findings_gravest_first() -> None:
    known = rows(markdown(PLAIN))

    assert 4 == len(known)
    assert all(4 == len(cells) for cells in known)
    assert ["**error**", "warning", "not checked"] == [cells[0].strip() for cells in known[1:]]
    assert "<code>src/app.py:4:1</code>" in markdown(PLAIN).splitlines()[-1]


def test_a_report_that_is_too_long_for_a_comment_says_so() -> None:
    lines = "\n".join(['{"prompt": "a", "model": "a9"}'] * 600)

    text = markdown(run(("a.ndjson", lines)))

    assert len(text) <= 65_536
    left = re.search(r"And ([\d,]+) more, left out as a comment takes no more\.", text)
    assert left is not None
    assert 600 == int(left[1].replace(",", "")) + len(rows(text)) - 1


# --- what files hold --------------------------------------------------------------------------------------

NASTY = [
    *(
        "::error::x",
        "%0A::error::x",
        "##[error]x",
        "a,b:c=d",
        "x|y",
        "`x`",
        "<script>",
        "@octocat",
        "#12",
        "**b**",
    ),
    *(
        "\x1b[31m",
        "\x00",
        "]]>",
        "&amp;",
        "\ud800",
        "\u202e",
        "a\nb",
        "[x](javascript:y)",
        "![x](https://y)",
        "--",
    ),
]
TEXTS = st.text(max_size=20) | st.lists(st.sampled_from(NASTY), max_size=3).map("".join)


@settings(max_examples=40)
@given(name=TEXTS, model=TEXTS, member=TEXTS)
def test_nothing_in_a_file_or_its_name_means_anything_in_a_report(name: str, model: str, member: str) -> None:
    body = {"prompt": "a", "model": model, "x" + member: 1}
    raw = json.dumps(body).encode()
    found = next(read_requests(raw, name=name + "x"))
    tally = Tally()
    one = judge(found, TOY)
    tally.add(one)
    known = Run(
        judgements=[one], tally=tally, exit_code=tally.exit_code(is_strict=False), remarks=(name + "x",)
    )

    results = read_sarif(known)["results"]
    root = ET.fromstring(junit(known))
    levels = [level for level, _, _ in commands(github(known))]
    text = markdown(known)

    assert len(list(root.iter("testcase"))) == 1
    assert len(results) == len(levels) - 1 == len(rows(text)) - 1 or one.report is None
    assert all(4 == len(cells) for cells in rows(text))
    assert not re.search(
        r"[<>](?!/?code>)|[`@\[\]!]|#(?!\d+;)(?!## )",
        re.sub(r"(?m)^(?:### understudy lint|\| \| Where.*|> )", "", text)
        .replace("</code>", "")
        .replace("<code>", ""),
    )
    for report in (junit(known), github(known), text):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", report)
        report.encode()
