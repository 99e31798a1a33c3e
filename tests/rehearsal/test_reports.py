"""Reports on a rehearsal: what they say, and that nothing in them is taken for more than text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from mockserver.rehearsal.acts import ACTS
from mockserver.rehearsal.orders import Orders
from mockserver.rehearsal.program import Ended
from mockserver.rehearsal.reports import (
    again,
    html_report,
    json_report,
    junit_report,
    markdown_report,
    text_report,
)
from mockserver.rehearsal.run import Played
from mockserver.rehearsal.staging import Telling
from mockserver.rehearsal.verdict import Verdict, verdict
from mockserver.trial.verdicts import Breach, Finding
from validator.printing import painter

KEY = "key-0123456789"
NASTY = "<script>alert(1)</script> | `x` ]]> \x1b[31m \x00 &amp; **b** é"
ORDERS = Orders(
    telling=Telling(command=("./client", "a b"), extra=(("WAIT", "5"),)),
    laws=("backs-off", "fails-loudly", "keeps-secrets"),
)


def played(act: str, *findings: Finding, **more: Any) -> Played:
    ended = Ended(code=1, stdout=f"{KEY}\n".encode(), stderr=b"oh: " + NASTY.encode() + b"\n", took_s=1.25)
    settings = {"ended": ended, "secrets": ((KEY, "TOY_API_KEY"),), "requests": 3, "tasks": 1, "fate": "done"}
    return Played(act=ACTS[act], findings=findings, **(settings | more))


def found(outcomes: str, *breaches: Breach) -> tuple[Finding, ...]:
    signs = {"+": "kept", "X": "broken", ".": "not-reached"}
    return tuple(
        Finding(
            law=law,
            outcome=signs[sign],  # type: ignore[arg-type]
            breaches=breaches if sign == "X" else (),
            note="reached where it is" if sign == "." else "",
        )
        for law, sign in zip(ORDERS.laws or (), outcomes, strict=True)
    )


BREACHES = tuple(Breach(sentence=f"number {n}: {NASTY}", exchanges=("x1", "x2")) for n in range(4))
SHOWN = {"x1": ["  0.0 s  POST /clips -> 429"], "x2": [f"  0.1 s  POST /clips -> 200 {NASTY}", "y" * 500]}


@pytest.fixture
def broken() -> Verdict:
    return verdict(
        ORDERS,
        [
            played("success", *found("..+")),
            played("rate-limited@create", *found("X.+", *BREACHES), shown=SHOWN),
            played("internal-error@create", *found("X.+", BREACHES[0]), shown=SHOWN),
            Played(act=ACTS["callback-lost"], why_not="the client asks for no callbacks"),
        ],
    )


@pytest.fixture
def clean() -> Verdict:
    return verdict(ORDERS, [played("success", *found("+.+"))])


REPORTS = {
    "text": lambda one: text_report(one, painter(colour=False)),
    "json": json_report,
    "junit": junit_report,
    "html": html_report,
    "markdown": markdown_report,
}


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_names_acts_and_laws_and_holds_no_secret(kind: str, broken: Verdict, clean: Verdict) -> None:
    text = REPORTS[kind](broken)

    for name in (
        "rate-limited",
        "backs-off",
        "fails-loudly",
        "keeps-secrets",
        "the client asks for no callbacks",
    ):
        assert name in text, name
    assert KEY not in text
    assert "\x1b" not in text.replace("\\u001b", "")
    assert "\x00" not in text
    assert "success" in REPORTS[kind](clean)
    assert text == REPORTS[kind](broken), "the same again"


def test_the_text_shows_the_table_then_each_broken_law_with_its_command(broken: Verdict) -> None:
    text = text_report(broken, painter(colour=False))

    assert re.search(r"^act +a b c +exit +job$", text, re.M)
    assert re.search(r"^rate-limited@create +X \. \+ +1 +done$", text, re.M)
    assert re.search(r"^a +backs-off +broken ", text, re.M)
    assert re.search(r"^b +fails-loudly +not-reached .*\n +reached where it is$", text, re.M)
    assert "and 2 more of the kind" in text, "of four breaches two are shown"
    assert "  and in internal-error@create\n" in text
    command = "understudy rehearse --act rate-limited@create --seed 1 --env WAIT=5 -- ./client 'a b'"
    assert f"  again  {command}\n" in text
    assert "3 acts: 1 without a fault, 2 with; 3 laws: 1 kept, 1 broken, 1 not reached" in text
    assert "not played: callback-lost (the client asks for no callbacks)" in text
    assert max(map(len, text.splitlines())) < 260


def test_colours_are_painted_only_where_they_are_wanted(broken: Verdict) -> None:
    plain, painted = (text_report(broken, painter(colour=colour)) for colour in (False, True))

    assert "\x1b[31mX\x1b[0m" in painted
    assert plain == re.sub(r"\x1b\[\d+m", "", painted)


def test_a_clean_report_says_so(clean: Verdict) -> None:
    text = text_report(clean, painter(colour=False))

    assert text.endswith("1 act: 1 without a fault, 0 with; 3 laws: 2 kept, 0 broken, 1 not reached")
    assert "understudy rehearse" not in text, "there is nothing to see again"


def test_json_has_everything(broken: Verdict) -> None:
    report = json.loads(json_report(broken))

    assert ("broken", 1, 60.0, ["./client", "a b"]) == tuple(
        report[name] for name in ("outcome", "seed", "speed", "command")
    )
    assert {"backs-off": "broken", "fails-loudly": "not-reached", "keeps-secrets": "kept"} == {
        law["id"]: law["outcome"] for law in report["laws"]
    }
    assert ["rate-limited@create", "internal-error@create"] == report["laws"][0]["broken_in"]
    act = report["acts"][1]
    assert 4 == len(act["findings"][0]["breaches"])
    assert SHOWN["x1"] == act["findings"][0]["exchanges"]["x1"]
    assert ("[TOY_API_KEY]", 1, False) == (act["stdout_end"], act["exit_code"], act["timed_out"])
    assert (False, "the client asks for no callbacks") == (
        report["acts"][3]["is_played"],
        report["acts"][3]["why_not"],
    )


def test_junit_can_be_read_and_counted(broken: Verdict) -> None:
    root = ElementTree.fromstring(junit_report(broken))

    cases = root.findall(".//testcase")
    failures, skipped = root.findall(".//failure"), root.findall(".//skipped")
    assert (len(cases), len(failures), len(skipped)) == tuple(
        int(root.attrib[name]) for name in ("tests", "failures", "skipped")
    )
    assert (10, 2, 5) == (len(cases), len(failures), len(skipped))
    for suite in root.findall("testsuite"):
        assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
        assert len(suite.findall(".//failure")) == int(suite.attrib["failures"])
    assert "<script>alert(1)</script>" in str(failures[0].text)
    assert "again: understudy rehearse --act rate-limited@create" in str(failures[0].text)


class Tags(HTMLParser):
    """Notes the tags of a page, and all addresses that it would fetch or lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "action", "background") or (
                tag == "link" and name == "href"
            ):
                self.fetched.append(str(value))
            elif name == "href":
                self.links.append(str(value))
            assert not name.startswith("on"), name


def test_html_fetches_nothing_and_runs_nothing(broken: Verdict) -> None:
    page = html_report(broken)
    tags = Tags(page)

    assert [] == tags.fetched
    assert "script" not in tags.tags
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)" in page
    anchors = {link[1:] for link in tags.links if link.startswith("#")}
    assert {"backs-off"} == anchors
    assert '<section id="backs-off">' in page
    assert all(link.startswith(("#", "https://github.com/")) for link in tags.links)


def test_markdown_stays_what_it_is_whatever_the_client_says(broken: Verdict) -> None:
    text = markdown_report(broken)

    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {6} == {len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows}
    blocks = re.findall(r"^(`{3,})text\n(.*?)^\1$", text, re.M | re.S)
    assert len(blocks) == 1
    assert "<script>" in blocks[0][1]
    assert "<script>" not in text.replace(blocks[0][1], "")


def test_a_fence_in_the_output_does_not_end_the_block(broken: Verdict) -> None:
    breach = Breach(sentence="look: ```` and then")
    fenced = replace(broken, played=(played("success", *found("X..", breach)),))

    assert re.search(r"^`{5}text\n.*````.*^`{5}$", markdown_report(fenced), re.M | re.S)


def test_one_that_was_ended_has_no_exit_code() -> None:
    ended = Ended(code=-15, stdout=b"", stderr=b"", took_s=60.0, is_timed_out=True)
    one = verdict(ORDERS, [played("stuck-processing", *found("X..", BREACHES[0]), ended=ended)])

    text = text_report(one, painter(colour=False))

    assert re.search(r"^stuck-processing +X \. \. +time ", text, re.M)
    assert "the client was ended after 60.0 s and wrote nothing" in text
    assert json.loads(json_report(one))["acts"][0]["exit_code"] is None


def test_the_command_to_repeat_has_all_that_matters() -> None:
    orders = Orders(
        telling=Telling(
            command=("sh", "-c", "echo $X"),
            names=(("base-url", "URL"),),
            extra=(("A", "b c"),),
            is_shell=True,
        ),
        providers=("toy",),
        specs=("my toy.yaml",),
        speed=12.5,
        time_limit=5,
        seed=9,
    )

    assert (
        "understudy rehearse --act slow --act success --seed 9 --provider toy --spec 'my toy.yaml' --speed 12.5"
        " --time-limit 5 --name base-url=URL --env 'A=b c' --shell -- sh -c 'echo $X'"
    ) == again(orders, ["slow", "success"])


def test_the_command_to_repeat_holds_no_secret_of_the_users() -> None:
    extra = (("MY_TOKEN", "s3cret"), ("MY_KEY", "{api_key}"), ("AUTHOR", "me"))
    text = again(Orders(telling=Telling(command=("x",), extra=extra)), ["slow"])

    assert "s3cret" not in text
    assert """--env MY_TOKEN="$MY_TOKEN" --env 'MY_KEY={api_key}' --env AUTHOR=me -- x""" in text


# --- what two acts show together --------------------------------------------------------------------------


def ended(code: int, text: str) -> Ended:
    return Ended(code=code, stdout=b"", stderr=text.encode(), took_s=1.0)


TELLING = "tells-failed-from-refused"


def compared(failed: Ended, refused: Ended, outcome: str = "not-reached") -> tuple[Verdict, str]:
    finding = Finding(law=TELLING, outcome=outcome)  # type: ignore[arg-type]
    one = verdict(
        replace(ORDERS, laws=(TELLING,)),
        [
            played("accepted-then-failed", finding, ended=failed, fate="failed"),
            played("invalid@create", finding, ended=refused, fate="refused"),
        ],
    )
    return one, one.table["accepted-then-failed"][TELLING].outcome


def test_the_same_words_for_a_failed_job_and_a_refused_request_break_the_law() -> None:
    one, outcome = compared(
        ended(1, "trace\nError: task 123 at http://h/t/a failed"),
        ended(1, "error: task 456 at http://h/t/b failed"),
    )

    assert "broken" == outcome
    (broken,) = one.broken
    assert "in the same words as in invalid@create" in broken.seen[0][1].breaches[0].sentence
    text = text_report(one, painter(colour=False))
    assert "rehearse --act accepted-then-failed --act invalid@create --seed 1" in text


@pytest.mark.parametrize(
    ("failed", "refused"),
    [((1, "the job failed"), (2, "the job failed")), ((1, "the job failed"), (1, "refused"))],
)
def test_another_code_or_other_words_keep_it(failed: tuple[int, str], refused: tuple[int, str]) -> None:
    assert "kept" == compared(ended(*failed), ended(*refused))[1]


def test_what_one_act_broke_alone_stays_broken() -> None:
    assert "broken" == compared(ended(1, "x"), ended(2, "y"), outcome="broken")[1]


def test_without_a_refused_request_there_is_nothing_to_compare() -> None:
    finding = Finding(law=TELLING, outcome="not-reached")
    one = verdict(ORDERS, [played("accepted-then-failed", finding, fate="failed")])

    assert "not-reached" == one.table["accepted-then-failed"][TELLING].outcome
