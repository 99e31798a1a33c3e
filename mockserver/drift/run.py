"""A plan carried out: one probe after the other, slowly, and not one more once money may have been spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mockserver.drift.keys import Key, headers, hidden
from mockserver.drift.probes import Plan, Probe, Unasked
from mockserver.drift.sender import Sender
from mockserver.drift.verdicts import Finding, Level, Received, Verdict, is_taken, judge
from validator.contract.model import Contract
from validator.expected import expect

Wait = Callable[[float], None]
"""Lets so many seconds pass."""

LONGEST_WAIT_S: Final = 120.0
"""Seconds of a Retry-After that are waited; a longer one ends the run."""

USUAL_WAIT_S: Final = 5.0
MOST_TRIES: Final = 3
"""How often a probe is sent that is answered with 429."""

MOST_SILENCES: Final = 3
"""Probes in a row without an answer after which nobody is there."""


@dataclass(slots=True)
class Outcome:
    """How a run ended.

    `unasked` are rules that no probe was made for; `unsent` probes that were not sent, because of `stopped`,
    "" for a whole run.  `problem` says why nothing could be compared, "" where something was.  `sent` counts
    requests, `taken` are the findings of requests that may have made a task.
    """

    contract: Contract
    findings: list[Finding] = field(default_factory=list)
    unasked: Sequence[Unasked] = ()
    unsent: list[Probe] = field(default_factory=list)
    stopped: str = ""
    problem: str = ""
    sent: int = 0

    @property
    def taken(self) -> list[Finding]:
        """Return what may have cost money."""
        return [one for one in self.findings if one.is_taken]

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with one verdict."""
        return [one for one in self.findings if one.verdict == verdict]

    @property
    def differing(self) -> list[Finding]:
        """Return what differs, whoever is wrong."""
        return [one for one in self.findings if one.verdict in ("provider changed", "contract wrong")]


def run(
    plan: Plan,
    sender: Sender,
    *,
    key: Key,
    now: Callable[[], int],
    wait: Wait,
    pause_s: float = 1.0,
    most_requests: int = 1_000,
    most_accepted: int = 1,
    least: Level = "shape",
    tell: Callable[[int, int, Probe], None] = lambda done, of, probe: None,
) -> Outcome:
    """Return what the server answers to a plan.

    `now` gives seconds since 1970, for tokens; between two requests lie at least `pause_s` seconds.  The run
    ends after `most_requests` requests, with the `most_accepted`-th request that a server took though it is to
    refuse it, where the credential is refused, and where nobody answers.
    """
    out = Outcome(contract=plan.contract, unasked=plan.unasked)
    work = _Work(plan, sender, key, now, wait, pause_s, most_requests, out)
    refused = is_key_tried = False
    silences = 0
    for place, probe in enumerate(plan.probes):
        tell(place, len(plan.probes), probe)
        if refused and _is_with_key(probe):
            out.findings.append(_passed_over(probe, "the credential is refused"))
            continue
        if out.stopped or out.problem:
            out.unsent.append(probe)
            continue
        try:
            received = work.ask(probe)
        except KeyboardInterrupt:
            # What was on its way may have arrived.
            out.problem = "interrupted"
            received = Received(headers={}, problem="interrupted")
        if received is None:
            out.unsent.append(probe)
            continue
        silences = silences + 1 if received.problem else 0
        # The first request with the credential tells whether it counts.
        if not is_key_tried and _is_with_key(probe) and not received.problem:
            is_key_tried = True
            refused = _is_refused_key(plan.contract, probe, received)
        if refused and _is_with_key(probe):
            out.findings.append(_passed_over(probe, f"the credential is refused ({received.status})"))
            continue
        carried = work.carried

        def hide(text: str, carried: Sequence[str] = carried) -> str:
            return hidden(text, key, carried)

        finding = _redacted(judge(plan.contract, probe, received, least=least, hide=hide), hide)
        if _is_any_key(probe, finding, received):
            finding = replace(
                finding,
                verdict="not comparable",
                level="",
                why="a mock server that was given no keys takes any (--credential PROVIDER=KEY gives it one)",
            )
        out.findings.append(finding)
        if silences >= MOST_SILENCES or (place == 0 and received.problem and not received.is_sent):
            out.problem = received.problem
        elif len(out.taken) >= most_accepted and is_taken(plan.contract, probe, received):
            out.stopped = _stop_text(len(out.taken))
    if refused:
        out.problem = "the server refuses the credential"
    return out


def _stop_text(count: int) -> str:
    return (
        "a request that is to be refused was taken"
        if count == 1
        else f"{count} requests that are to be refused were taken"
    )


@dataclass(slots=True)
class _Work:
    plan: Plan
    sender: Sender
    key: Key
    now: Callable[[], int]
    wait: Wait
    pause_s: float
    most_requests: int
    out: Outcome
    carried: tuple[str, ...] = ()

    def ask(self, probe: Probe) -> Received | None:
        """Return the answer to a probe, None where the run has ended before it was sent."""
        received = None
        for attempt in range(MOST_TRIES):
            if self.out.sent >= self.most_requests:
                self.out.stopped = f"{self.most_requests:,} requests were sent, which is the most"
                return received
            if self.out.sent and self.pause_s:
                self.wait(self.pause_s)
            self.out.sent += 1
            received = self.sender.send(
                probe.request.method, self._target(probe), self._headers(probe), probe.request.body
            )
            if received.status != 429 or probe.expected.status == 429 or attempt == MOST_TRIES - 1:
                break
            asked = _retry_after(received)
            if asked > LONGEST_WAIT_S:
                self.out.stopped = f"the server asks to wait {asked:,.0f} seconds"
                break
            self.wait(asked)
        return received

    def _target(self, probe: Probe) -> str:
        return probe.request.url.removeprefix(self.plan.contract.base_path) or "/"

    def _headers(self, probe: Probe) -> dict[str, str]:
        known = dict(probe.request.headers)
        operation = probe.operation
        if probe.is_authorised and operation is not None and operation.credentials:
            carried = headers(operation.credentials[0], self.key, self.now())
            known |= carried
            # A token that a server repeats in its answer would count for as long as it lasts.
            self.carried = tuple(word for text in carried.values() for word in text.split())
        return known


def _retry_after(received: Received) -> float:
    """Return the seconds a server asks to wait; dates (RFC 9110, 10.2.3) count as the usual wait."""
    text = received.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() else USUAL_WAIT_S


def _is_with_key(probe: Probe) -> bool:
    """Tell whether a probe is sent with the credential that was given."""
    return probe.is_authorised and probe.operation is not None and bool(probe.operation.credentials)


def _is_refused_key(contract: Contract, probe: Probe, received: Received) -> bool:
    """Tell whether an answer says that the credential does not count: by its status, or as the contract says it."""
    if received.status == probe.expected.status:
        return False
    if received.status in (401, 403):
        return True
    bare = replace(probe.request, headers={})
    told = expect(contract, bare, operation=probe.operation.id if probe.operation is not None else None)
    return 400 <= received.status < 500 and told.status == received.status


def _is_any_key(probe: Probe, finding: Finding, received: Received) -> bool:
    """Tell whether a wrong key was taken by a mock that takes any."""
    decisive = next(iter(probe.expected.report.errors), None)
    reason = decisive.reason if decisive is not None else ""
    return (
        not probe.is_authorised
        and received.is_of_mock
        and finding.verdict in ("provider changed", "contract wrong")
        and reason in ("unknown", "signature")
        and received.status not in (401, 403)
    )


def _passed_over(probe: Probe, why: str) -> Finding:
    return Finding(
        probe=probe,
        verdict="not comparable",
        level="",
        expected="",
        got="",
        why=why,
        evidence=probe.evidence,
    )


def _redacted(finding: Finding, hide: Callable[[str], str]) -> Finding:
    return replace(
        finding,
        expected=hide(finding.expected),
        got=hide(finding.got),
        why=hide(finding.why),
        task=hide(finding.task),
    )
