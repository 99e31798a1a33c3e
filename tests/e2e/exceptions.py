"""Where a provider's real behaviour is not what schemathesis expects of an API: each with its reason.

An exception names operation, failure and the exact answer; every other failure of the same check still counts.
docs/lint.md has the reasons for everybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Excuse:
    """A failure that is let pass: where, which, and what the answer must be; `rules` is X-Mock-Violations.

    `is_sure` means that every run meets it, so that one which is not needed any more is noticed.
    """

    provider: str
    operations: str
    failures: str
    reason: str
    status: int | None = None
    rules: str = ""
    body: str = ""
    identifier: str | None = None
    is_sure: bool = True


EXCUSES = (
    Excuse(
        provider="kling",
        operations=r".*",
        failures="UnsupportedMethodResponse",
        status=404,
        rules=r"kling\.request\.method-not-allowed",
        body=r'"code":1202,',
        reason="the table of error codes pairs 1202, 'the requested method is invalid', with 404",
    ),
    Excuse(
        provider="kling",
        operations=r"GET /v1/videos/(image2video|text2video)/\{id\}",
        failures="RejectedPositiveData",
        status=400,
        rules=r"kling\.request\.not-found",
        body=r'"code":1201,"message":"Task not found by id/external id: ',
        reason="a task that does not exist is answered with 400 and 1201, as published answers show",
    ),
    Excuse(
        provider="kling",
        operations=r"POST /v1/videos/(image2video|text2video)",
        failures="RejectedPositiveData",
        status=400,
        rules=r"(.+, )?kling\.(i2v|t2v)\.external-id-new(, .+)?",
        reason="an external_task_id is taken once; no schema knows what was sent before",
    ),
    Excuse(
        provider="kling",
        operations=r"GET /v1/videos/(image2video|text2video)/\{id\}",
        failures="JsonSchemaError|EnsureResourceAvailability|RejectedPositiveData",
        status=404,
        identifier="",
        is_sure=False,
        reason="an empty external_task_id counts as none, but the link follows it to a path that does not exist",
    ),
    Excuse(
        provider="aimlapi",
        operations=r".*",
        failures="UnsupportedMethodResponse",
        status=404,
        rules=r"aimlapi\.request\.method-not-allowed",
        body=r'"message":"Cannot [A-Z]+ ',
        reason="its web framework, as far as it shows, knows no 405: another method is a path that does not exist",
    ),
)


def excuse(
    *,
    provider: str,
    failure: str,
    method: str,
    path: str,
    identifier: object,
    status: int,
    rules: str,
    body: str,
) -> str | None:
    """Return the reason to let a failure pass, or None."""
    for one in EXCUSES:
        if (
            one.provider == provider
            and re.fullmatch(one.operations, f"{method} {path}")
            and re.fullmatch(one.failures, failure)
            and (one.status is None or one.status == status)
            and (not one.rules or re.fullmatch(one.rules, rules))
            and (one.identifier is None or one.identifier == identifier)
            and re.search(one.body, body)
        ):
            return one.reason
    return None
