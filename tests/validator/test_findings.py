"""Findings of a run: fingerprints that stay, comments that pass over, and baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.providers import contract
from validator.addresses import Library
from validator.findings import (
    BaselineError,
    baseline_text,
    findings_of,
    read_baseline,
    read_ignores,
    without_ignored,
)
from validator.lint import Judgement, Tally, judge
from validator.readers import read_requests

TOY = Library(contracts={"toy": contract("toy")}, provider="toy")
URL = "https://api.toy.example/api/clips"


def judged(text: str, name: str = "a.json") -> list[Judgement]:
    return [judge(found, TOY) for found in read_requests(text.encode(), name=name)]


def told(text: str, name: str = "a.json") -> list[tuple[str, str]]:
    return [(one.violation.rule, one.fingerprint) for one in findings_of(judged(text, name))]


BODY = '{"prompt": "a", "model": "a9", "promt": "b"}'


# --- fingerprints -----------------------------------------------------------------------------------------


def test_a_fingerprint_stays_when_lines_move_and_members_change_places() -> None:
    moved = '\n\n{\n "promt": "b",\n "model": "a9", "seconds": "5", "prompt": "other"}'

    assert sorted(told(BODY)) == sorted(told(moved))
    assert 2 == len(set(told(BODY)))


@pytest.mark.parametrize("other", [BODY.replace("a9", "a8"), BODY.replace("a9", "A9")])
def test_another_value_is_another_finding(other: str) -> None:
    assert told(BODY)[0][0] == told(other)[0][0]
    assert told(BODY)[0] != told(other)[0]


def test_another_file_is_another_finding() -> None:
    assert set() == set(told(BODY)) & set(told(BODY, "b.json"))


def test_the_same_finding_twice_has_two_fingerprints() -> None:
    found = told(f"{BODY}\n{BODY}", "a.ndjson")

    assert 4 == len(found) == len(set(found))


def test_a_path_is_told_from_where_the_run_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = [
        one.file
        for name in ("x/../a.json", str(tmp_path / "a.json"), "/etc/a.json", "../a.json")
        for one in findings_of(judged(BODY, name))
    ]

    assert ["a.json"] * 4 + ["/etc/a.json"] * 2 + ["../a.json"] * 2 == found


# --- comments ---------------------------------------------------------------------------------------------


def left(code: str, name: str = "a.py") -> tuple[list[str], int]:
    """Return (rules that are left, how many were passed over) of a program."""
    ignores = read_ignores(code)
    done = [without_ignored(one, ignores) for one in judged(code, name)]
    return [one.violation.rule for one in findings_of(done)], sum(len(one.ignored) for one in done)


CALL = f"requests.post('{URL}',\n  json={{'prompt': 'a',\n  'model': 'a9',MODEL\n  'promt': 'b'}})END"
MODEL, STRANGE = "toy.clip.model", "toy.request.unknown-member"


@pytest.mark.parametrize(
    ("before", "at_model", "at_end", "expected"),
    [
        ("", "", "", [MODEL, STRANGE]),
        ("", "  # understudy: ignore", "", [STRANGE]),
        ("", "# understudy:ignore[toy.clip.model]", "", [STRANGE]),
        ("", "  # why: so  # understudy: ignore[model]", "", [STRANGE]),
        ("", "  # understudy: ignore[other, clip.model] because", "", [STRANGE]),
        ("", "  # understudy: ignore[toy.clip]", "", [MODEL, STRANGE]),
        ("", "  # understudy: ignore[]", "", [MODEL, STRANGE]),
        ("", "  # understudy: ignore[unknown-member]", "", [MODEL, STRANGE]),
        ("", "  # understudy: ignored", "", [MODEL, STRANGE]),
        ("", "", "  # understudy: ignore", [MODEL]),
        ("# understudy: ignore\n", "", "", []),
        ("# understudy: ignore[model]\n# understudy: ignore[unknown-member]\n\n# more\n", "", "", []),
        ("# understudy: ignore\nx = 1\n", "", "", [MODEL, STRANGE]),
    ],
)
def test_a_comment_passes_over_findings_of_its_line_or_of_the_request_behind_it(
    before: str, at_model: str, at_end: str, expected: list[str]
) -> None:
    code = before + CALL.replace("MODEL", at_model).replace("END", at_end)

    assert (expected, 2 - len(expected)) == left(code)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a.ts", f"axios.post('{URL}', {{prompt: 'a', model: 'a9'}}); // understudy: ignore[model]"),
        ("a.ts", f"/* understudy: ignore */\naxios.post('{URL}', {{prompt: 'a', model: 'a9'}})"),
        (
            "a.sh",
            f'# understudy: ignore\ncurl {URL} -H \'X-Toy-Key: k\' --json \'{{"prompt": "a", "model": "a9"}}\'',
        ),
        (
            "a.yaml",
            f"url: {URL}\nheaders: {{X-Toy-Key: k}}\nbody:\n  prompt: a\n  model: a9  # understudy: ignore",
        ),
        ("a.http", f'// understudy: ignore\nPOST {URL}\nX-Toy-Key: k\n\n{{"prompt": "a", "model": "a9"}}'),
        (
            "a.md",
            f"<!-- understudy: ignore[model] -->\n```sh\n"
            f'curl {URL} -H \'X-Toy-Key: k\' --json \'{{"prompt": "a", "model": "a9"}}\'\n```',
        ),
    ],
)
def test_every_kind_of_comment_is_understood(name: str, code: str) -> None:
    rules, count = left(code, name)

    assert (name == "a.md", 1 - (name == "a.md")) == (bool(rules), count)


def test_what_is_passed_over_changes_verdict_answer_and_counts() -> None:
    code = CALL.replace("MODEL", "  # understudy: ignore").replace("END", "")
    (one,) = judged(code, "a.py")
    tally = Tally()

    done = without_ignored(one, read_ignores(code))
    tally.add(done)

    assert ("refused", True) == (one.verdict, one.answer is not None)
    assert ("accepted", None) == (done.verdict, done.answer)
    assert (1, 1, 0) == (tally.ignored, tally.accepted, tally.exit_code(is_strict=False))
    assert "1 finding passed over by a comment" in tally.text()


# --- baselines --------------------------------------------------------------------------------------------


def hidden(text: str, baseline: str, name: str = "a.json") -> tuple[list[str], int, list[str]]:
    """Return (rules that are left, how many are known, entries no longer found)."""
    known = read_baseline(baseline.encode())
    done = [known.without_known(one) for one in judged(text, name)]
    rules = [one.violation.rule for one in findings_of(done)]
    return rules, sum(len(one.known) for one in done), known.stale()


def written(text: str, name: str = "a.json") -> str:
    return baseline_text(findings_of(judged(text, name)))


def test_what_stands_in_the_baseline_is_not_told_again() -> None:
    assert ([], 2, []) == hidden("\n" + BODY, written(BODY))


def test_what_is_new_is_told() -> None:
    assert ([MODEL], 1, ["a.json: toy.clip.model at /model is no longer found"]) == hidden(
        BODY.replace("a9", "a8"), written(BODY)
    )


def test_a_finding_counts_as_often_as_it_stands_there() -> None:
    baseline = written(f"{BODY}\n{BODY}", "a.ndjson")

    assert {2} == {one["count"] for one in json.loads(baseline)["findings"]}
    assert ([MODEL, STRANGE], 4, []) == hidden("\n".join([BODY] * 3), baseline, "a.ndjson")
    rules, known, stale = hidden(BODY, baseline, "a.ndjson")
    assert ([], 2) == (rules, known)
    assert "a.ndjson: toy.clip.model at /model is no longer found (1 of 2)" in stale


def test_a_file_that_was_not_looked_at_has_no_stale_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.json").write_text(BODY)

    assert [] == hidden("{}", written(BODY, "b.json"))[2]
    (tmp_path / "b.json").unlink()
    assert 2 == len(hidden("{}", written(BODY, "b.json"))[2])


def test_a_baseline_is_sorted_and_the_same_for_any_order() -> None:
    other = BODY.replace("a9", "a8")

    assert written(f"{BODY}\n{other}", "a.ndjson") == written(f"{other}\n{BODY}", "a.ndjson")
    assert written(BODY).endswith("}\n")
    entries = json.loads(written(BODY))["findings"]
    assert sorted(entries, key=lambda one: (one["file"], one["rule"])) == entries


def test_a_value_does_not_stand_in_a_baseline_but_for_what_a_finding_shows() -> None:
    secret = "s" * 500

    assert secret not in written(json.dumps({"prompt": "a", "model": secret}))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "it is no JSON"),
        ("[]", "it is no baseline: version and findings are not there"),
        ('{"findings": []}', "it has version None, and only 1 is understood"),
        ('{"version": 2, "findings": []}', "it has version 2, and only 1 is understood"),
        ('{"version": 1, "findings": [{}]}', "findings[0] has no file and rule"),
        ('{"version": 1, "findings": [5]}', "findings[0] has no file and rule"),
        ('{"version": 1, "findings": [{"file": "a", "rule": 5}]}', "findings[0] is not written the way"),
        (
            '{"version": 1, "findings": [{"file": "a", "rule": "b", "count": 0}]}',
            "findings[0] is not written",
        ),
    ],
)
def test_what_is_no_baseline_is_told(content: str, sentence: str) -> None:
    with pytest.raises(BaselineError) as caught:
        read_baseline(content.encode())

    assert str(caught.value).startswith(sentence)


def test_a_name_that_is_no_text_survives_a_baseline() -> None:
    value: Any = json.loads(written(BODY, "a\udcff.json"))

    assert "a\\udcff.json" == value["findings"][0]["file"]
