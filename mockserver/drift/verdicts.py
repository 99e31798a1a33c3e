"""An answer held against the one that a contract expects: how far they agree, and who is wrong where they do not.

Ids of requests, times and addresses differ from answer to answer; they are told by rendering the expected
answer twice, for two different mocks, and whatever differs between the two may be anything of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from mockserver.drift.probes import Probe
from validator.check import examine
from validator.contract.engine import compile_engine
from validator.contract.expressions import Json
from validator.contract.model import Contract, Evidence
from validator.errors import json_type, render
from validator.expected import answer_scope, leaves, places
from validator.lint import StandIn
from validator.report import abbreviate

Verdict = Literal["agrees", "provider changed", "contract wrong", "not comparable"]

VERDICTS: Final[Mapping[Verdict, str]] = {
    "agrees": "the answer is the expected one",
    "provider changed": "what was documented or captured no longer comes",
    "contract wrong": "what was only reported or assumed does not come",
    "not comparable": "not asked, or no answer that says anything",
}

Level = Literal["verdict", "status", "code", "message", "shape", ""]
"""What differs, the gravest first: taken or refused, the HTTP status, the provider's code, its words, or
members of the answer around them; "" for nothing."""

LEVELS: Final[tuple[Level, ...]] = ("verdict", "status", "code", "message", "shape")

_PROVEN: Final[frozenset[Evidence]] = frozenset(("documented", "captured"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer as it came, or why none did; header names in lower case; `after` are seconds to wait, as it asked."""

    status: int = 0
    headers: Mapping[str, str]
    body: bytes = b""
    problem: str = ""
    is_sent: bool = True

    @property
    def json(self) -> Json:
        """Return the body as JSON, None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def is_of_mock(self) -> bool:
        """Tell whether an understudy answered."""
        return "x-mock-request-id" in self.headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one probe ended; `expected` and `got` are short texts, `why` the reason of the verdict in a sentence."""

    probe: Probe
    verdict: Verdict
    level: Level
    expected: str
    got: str
    why: str
    evidence: Evidence
    is_taken: bool = False
    task: str = ""


def is_taken(contract: Contract, probe: Probe, received: Received) -> bool:
    """Tell whether a request that could make a task has, or may have, made one.

    Whatever is no refusal counts, unless it is the very one that is expected: to stop too early costs nothing.
    A request that was sent and not answered may have been taken; so may one after which the server, or the
    gateway before it, was in trouble, and one that is answered by leading elsewhere ("303, see your task").
    """
    if not probe.is_create:
        return False
    if received.problem:
        return received.is_sent
    if 400 <= received.status < 500 or received.status in _NOT_TAKEN_YET:
        return False
    return _level(contract, probe, received) not in ("", "message")


_NOT_TAKEN_YET: Final = frozenset((301, 307, 308))
"""Statuses that ask for the same request at another address (RFC 9110, 15.4); the rest of them may follow a deed."""


def judge(
    contract: Contract,
    probe: Probe,
    received: Received,
    *,
    least: Level = "shape",
    hide: Callable[[str], str] = str,
) -> Finding:
    """Return how an answer compares with the expected one.

    `least` is the least grave level that counts: "code" lets other words pass.  `hide` takes secrets out of
    what is shown of the answer, before it is cut short.
    """
    expected = probe.expected
    wanted = _expected_text(probe)
    if received.problem:
        taken = is_taken(contract, probe, received)
        more = "; it was sent, so it may have been taken" if taken else ""
        return _not_comparable(probe, wanted, "no answer", received.problem + more, taken=taken)
    got = answer_text(replace(received, body=hide(received.body.decode("utf-8", "replace")).encode()))
    if received.status >= 500 and (expected.status or 200) < 500:
        taken = is_taken(contract, probe, received)
        more = "; it may have taken the request before" if taken else ""
        return _not_comparable(probe, wanted, got, f"the server is in trouble{more}", taken=taken)
    if received.status == 429 and expected.status != 429:
        return _not_comparable(probe, wanted, got, "the server asks for patience")
    level = _level(contract, probe, received)
    if level == "" or LEVELS.index(level) > LEVELS.index(least):
        return Finding(
            probe=probe,
            verdict="agrees",
            level="",
            expected=wanted,
            got=got,
            why="as expected" if level == "" else f"as expected but for its {level}",
            evidence=probe.evidence,
        )
    taken = is_taken(contract, probe, received)
    evidence = _evidence(probe, level)
    verdict: Verdict = "provider changed" if evidence in _PROVEN else "contract wrong"
    return Finding(
        probe=probe,
        verdict=verdict,
        level=level,
        expected=wanted,
        got=got,
        why=f"{_SENTENCES[level]}; the contract has it {_SURE[evidence]}",
        evidence=evidence,
        is_taken=taken,
        task=_task_id(probe, received) if taken else "",
    )


_SENTENCES: Final[Mapping[Level, str]] = {
    "verdict": "one takes the request and the other refuses it",
    "status": "it is refused with another status",
    "code": "it is refused with another code",
    "message": "it is refused in other words",
    "shape": "the answer has other members",
}
_SURE: Final[Mapping[Evidence, str]] = {
    "documented": "from the provider's page",
    "captured": "from a real answer",
    "reported": "from third parties",
    "assumed": "by its own guess",
}


def _not_comparable(probe: Probe, expected: str, got: str, why: str, *, taken: bool = False) -> Finding:
    return Finding(
        probe=probe,
        verdict="not comparable",
        level="",
        expected=expected,
        got=got,
        why=why,
        evidence=probe.evidence,
        is_taken=taken,
    )


def _evidence(probe: Probe, level: Level) -> Evidence:
    """Return how sure the contract is of what differs: of the rule, or of the words."""
    if level == "verdict" or probe.expected.answer is None:
        return probe.evidence
    if level in ("status", "code") and probe.expected.refusal is not None:
        # The sentences may be guessed where status and code are known.
        return probe.expected.refusal.case.evidence
    return probe.expected.answer.evidence


# --- comparing --------------------------------------------------------------------------------------------


def _level(contract: Contract, probe: Probe, received: Received) -> Level:
    """Return the gravest thing that differs, "" for nothing."""
    if probe.expected.answer is None:
        if not 200 <= received.status < 300:
            return "verdict"
        return _shape_of_success(contract, probe, received)
    return _refusal_level(contract, probe, received)


def _shape_of_success(contract: Contract, probe: Probe, received: Received) -> Level:
    operation = probe.operation
    if operation is None:
        return ""
    if received.status != operation.response.status:
        return "status"
    content = operation.response.contents[0]
    engine = compile_engine(content.schema, contract.document, ())
    return "" if engine.is_valid(received.json) else "shape"


def _refusal_level(contract: Contract, probe: Probe, received: Received) -> Level:
    refusal = probe.expected.refusal
    assert refusal is not None
    out = examine(contract, probe.request)
    renderings = []
    for request_id, now in (
        ("00000000-0000-4000-8000-000000000000", 0),
        ("11111111-1111-4111-9111-111111111111", 1_000_000_000_000),
    ):
        mock = StandIn(f"https://mock-{now}.example", probe.request.path, request_id, now)
        scope = answer_scope(contract, probe.request, out, mock=mock)
        renderings.append(render(refusal, scope).body)
    scope = answer_scope(contract, probe.request, out)
    where = places(refusal, scope)
    body = received.json
    first, second, found = (dict(leaves(one)) for one in (*renderings, body))
    wrong = [
        at for at, value in first.items() if at not in found or not _fits(found[at], value, second.get(at))
    ]
    # A refusal inside another status is a refusal still: told by its code, where it has one.
    is_refused = not 200 <= received.status < 300 or (
        200 <= refusal.status < 300 and not any(at in wrong for at in (where.code or where.message))
    )
    if not is_refused:
        return "verdict"
    if received.status != refusal.status:
        return "status"
    if any(at in where.code for at in wrong):
        return "code"
    if any(at in where.message for at in wrong):
        return "message"
    return "shape" if wrong or any(at not in first for at in found) else ""


def _fits(found: Json, value: Json, other: Json) -> bool:
    """Tell whether a value is the expected one, or of its type where it differs from answer to answer."""
    if type(value) is type(other) and value == other:
        return type(found) is type(value) and found == value
    if isinstance(value, str) and isinstance(other, str) and isinstance(found, str):
        start, end = _common(value, other)
        return found.startswith(start) and found.endswith(end)
    return json_type(found) == json_type(value)


_MADE_OF: Final = "0123456789abcdefABCDEF:.-T"


def _common(one: str, other: str) -> tuple[str, str]:
    """Return what two texts begin and end with, but for what ids and times are made of at the seams."""
    length = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = one[:length].rstrip(_MADE_OF)
    rest, others = one[len(start) :], other[len(start) :]
    size = 0
    while size < min(len(rest), len(others)) and rest[-1 - size] == others[-1 - size]:
        size += 1
    end = rest[len(rest) - size :].lstrip(_MADE_OF) if size else ""
    return start, end


def _task_id(probe: Probe, received: Received) -> str:
    """Return the id of the task that an answer tells of, "" for none."""
    from validator.contract.expressions import MISSING, Scope, to_text

    for link in probe.operation.links if probe.operation is not None else ():
        if link.is_task_id:
            value = link.evaluate(
                Scope(request=probe.request, status=received.status, response=received.json)
            )
            if value is not MISSING:
                return to_text(value)
    return ""


# --- texts ------------------------------------------------------------------------------------------------


def _expected_text(probe: Probe) -> str:
    expected = probe.expected
    if expected.answer is None:
        return f"{probe.operation.response.status if probe.operation is not None else 200}"
    return _answer_text(expected.status or 0, expected.code, expected.message)


def _answer_text(status: int, code: Any, message: str) -> str:
    parts = [str(status), *([str(code)] if code is not None else [])]
    return " ".join(parts) + (f" {abbreviate(message, 160)}" if message else "")


def answer_text(received: Received) -> str:
    """Return an answer in one line: its status, and its code and words where they can be told by their look."""
    body = received.json
    if body is None:
        text = received.body.decode("utf-8", "replace").strip()
        return f"{received.status} {abbreviate(text, 120)}" if text else str(received.status)
    return f"{received.status} {abbreviate(body, 200)}"
