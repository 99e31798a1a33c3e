"""The laws that a client is judged by: each with an id, a title, what it costs to break it, and a public bug.

A law looks at a conduct and says kept, broken or not reached; it never says kept of what it did not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mockserver.trial import endings, leaks, news, polls, results, retries, spending
from mockserver.trial.conduct import Conduct
from mockserver.trial.verdicts import Finding, Law
from validator.contract.document import nearest

_GITHUB: Final = "https://github.com/"

_ENTRIES: Final = (
    Law(
        id="no-invalid-request",
        title="Sends no request that the provider refuses, or lets fail, for what stands in it.",
        why="A refused request is work lost; one that is taken and fails is found out minutes later, and may cost.",
        source=_GITHUB + "Quriosity-agent/qcut/pull/81",
        reach="any request is sent",
        look=retries.invalid_requests,
    ),
    Law(
        id="stops-at-final-state",
        title="Stops reading a task once it is told that the task is over.",
        why="A worker that goes on is never free again, and uses up the quota of those that wait.",
        source=_GITHUB + "gitroomhq/postiz-app/pull/1809",
        reach="a read tells the end of a task",
        look=polls.stops_at_final_state,
    ),
    Law(
        id="gives-up-in-finite-time",
        title="Gives up a task that never ends.",
        why="Jobs that hang hold their place for good, and nobody is told.",
        source=_GITHUB + "backblaze-labs/genblaze/pull/282",
        reach="a task does not end",
        look=polls.gives_up_in_finite_time,
    ),
    Law(
        id="polls-not-too-fast",
        title="Waits at least a second between two reads of a task.",
        why="Reads count against the same limit as the work; who reads too fast is told to stop.",
        source=_GITHUB + "warpdotdev/warp/pull/10275",
        reach="a task that is under way is read twice",
        look=polls.polls_not_too_fast,
        is_of_pauses=True,
    ),
    Law(
        id="backs-off",
        title="Waits at least a second after a 429 or 5xx, and longer each time it comes again.",
        why="Retries that come at once keep a provider down, and a limit exceeded.",
        source=_GITHUB + "usetrmnl/trmnl-android/issues/260",
        reach="a request is answered 429 or 5xx, without a Retry-After",
        look=retries.backs_off,
        is_of_pauses=True,
    ),
    Law(
        id="obeys-retry-after",
        title="Waits as long as Retry-After says, in seconds or until a date.",
        why="What comes earlier is refused again, and makes the wait longer.",
        source=_GITHUB + "DouglasdeMoura/chroncal/issues/105",
        reach="an answer has a Retry-After",
        look=retries.obeys_retry_after,
        is_of_pauses=True,
    ),
    Law(
        id="no-useless-retry",
        title="Does not repeat a request that was refused for good.",
        why="An empty account and a wrong key do not get better by asking; the real error comes minutes late.",
        source=_GITHUB + "aden-hive/hive/issues/5316",
        reach="a request is refused for what it is, or for who sends it",
        look=retries.useless_retries,
    ),
    Law(
        id="one-task-per-wish",
        title="Makes one task for one wish, also when the answer was lost.",
        why="Every task is paid for: a retry of a request that arrived is a second bill.",
        source=_GITHUB + "tinyhumansai/openhuman/pull/5411",
        reach="a task is made",
        look=spending.one_task_per_wish,
    ),
    Law(
        id="callbacks-at-least-once",
        title="Takes a callback that comes again, or late, and acts on it once.",
        why="Providers send again what was not answered; acting twice does the work twice.",
        source=_GITHUB + "Vexa-ai/vexa/pull/604",
        reach="a callback that was taken comes again, or one comes after a later one",
        look=news.callbacks_at_least_once,
        is_of_callbacks=True,
    ),
    Law(
        id="checks-signatures",
        title="Refuses callbacks that are forged, unsigned or signed long ago, and does nothing because of them.",
        why="The address is public: whoever finds it can end jobs, and have files fetched from anywhere.",
        source=_GITHUB + "ghostwright/phantom/pull/80",
        reach="a callback comes that the provider did not sign, or not lately",
        look=news.checks_signatures,
        is_of_callbacks=True,
    ),
    Law(
        id="fetches-before-expiry",
        title="Fetches every result before its address expires.",
        why="The video is paid for, and gone.",
        source=_GITHUB + "openstate/open-raadsinformatie/issues/25",
        reach="the client is told of a result whose file goes",
        look=results.fetches_before_expiry,
    ),
    Law(
        id="notices-broken-results",
        title="Notices a result that is not there, or of which only a part arrived.",
        why="Half a file that counts as a whole one is published, and found by customers.",
        source=_GITHUB + "franklioxygen/MyTube/pull/471",
        reach="a fetch brings no file, or a part of one",
        look=results.notices_broken_results,
        needs_program=True,
    ),
    Law(
        id="tells-failed-from-refused",
        title="Says in the provider's words why a task failed or a request was refused.",
        why="One message for everything sends people to change what was right.",
        source=_GITHUB + "QuantumNous/new-api/pull/2532",
        reach="the job fails, the program says so, and the provider had words for it",
        look=endings.tells_failed_from_refused,
        needs_program=True,
    ),
    Law(
        id="fails-loudly",
        title="Ends with an exit code other than 0 and a readable message when the job failed.",
        why="A failure that looks like success is found when the video is missed.",
        source=_GITHUB + "xxynet/KiraAI/pull/136",
        reach="the provider says plainly that the job failed, or it is not done where the baseline did it",
        look=endings.fails_loudly,
        needs_program=True,
    ),
    Law(
        id="knows-what-it-does-not-know",
        title="Takes nothing for success that it cannot read: unknown words, pages, broken JSON, no address.",
        why="Errors that are swallowed look like videos that were made.",
        source=_GITHUB + "Scottcjn/bottube/issues/2125",
        reach="an answer is unreadable, or says what no page knows",
        look=endings.knows_what_it_does_not_know,
        needs_program=True,
    ),
    Law(
        id="keeps-secrets",
        title="Keeps keys and tokens out of addresses, bodies and output.",
        why="Addresses and output are logged, and logs are read by many: a key that is seen spends money.",
        source=_GITHUB + "vast-ai/vast-cli/issues/470",
        reach="a request carries a credential, or the program was given secrets",
        look=leaks.keeps_secrets,
    ),
)

LAWS: Final[Mapping[str, Law]] = {one.id: one for one in _ENTRIES}


class LawError(ValueError):
    """A name that no law has."""


def find(name: str) -> Law:
    """Return a law by its id; raises LawError with the nearest."""
    found = LAWS.get(name)
    if found is None:
        hint = nearest(name, LAWS) or f"there are {', '.join(LAWS)}"
        raise LawError(f"there is no law '{name[:40]}' ({hint})")
    return found


def judge(conduct: Conduct, laws: Iterable[str] | None = None) -> tuple[Finding, ...]:
    """Return what became of each law in a conduct, in the order of LAWS.

    `laws` are the ids of those that count, all by default; raises LawError for one that there is not.
    """
    names = (laws,) if isinstance(laws, str) else laws
    wanted = None if names is None else {find(name).id for name in names}
    return tuple(law.judge(conduct) for law in LAWS.values() if wanted is None or law.id in wanted)
