"""What our runs of schemathesis add to it; it loads this file into a process of its own.

UNDERSTUDY_TALLY names a file to which a line is written for each failure that was let pass;
UNDERSTUDY_ORIGIN is the base URL of the tenant under test.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis

from tests.e2e.exceptions import excuse

WEAKENED = os.environ.get("UNDERSTUDY_WEAKENED", "")
"""An operation whose conditions over several members the generator cannot work out."""

_full: list[jsonschema_rs.Draft202012Validator] = []
_weak: list[jsonschema_rs.Draft202012Validator] = []


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Drop the failures that are the provider's way, and count them."""
    reason = excuse(
        provider=os.environ.get("UNDERSTUDY_PROVIDER_NAME", ""),
        failure=type(failure).__name__,
        method=case.method,
        path=case.operation.path,
        identifier=(case.path_parameters or {}).get("id"),
        status=response.status_code,
        rules=response.headers.get("x-mock-violations", [""])[0],
        body=response.text or "",
    )
    if reason is None:
        return True
    with Path(os.environ["UNDERSTUDY_TALLY"]).open("a") as tally:
        tally.write(reason + "\n")
    return False


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: Any) -> None:
    """Take the conditions over several members out of an operation's body."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            if WEAKENED and isinstance(operation, dict) and operation.get("operationId") == WEAKENED:
                media = operation["requestBody"]["content"]["application/json"]
                _full.append(jsonschema_rs.Draft202012Validator(media["schema"]))
                media["schema"] = {name: media["schema"][name] for name in ("type", "properties")}
                _weak.append(jsonschema_rs.Draft202012Validator(media["schema"]))


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Leave members out until the conditions are met, where each member by itself is right."""
    if context.operation.definition.raw.get("operationId") != WEAKENED or not isinstance(body, dict):
        return body
    if not _weak[0].is_valid(body):
        return body
    while faults := _count(body):
        fewer = min(
            ({name: body[name] for name in body if name != left_out} for left_out in body),
            key=_count,
            default=body,
        )
        if _count(fewer) > faults or len(fewer) == len(body):
            break
        body = fewer
    return body


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """Drop the bodies for which that did not help."""
    if context.operation.definition.raw.get("operationId") != WEAKENED:
        return True
    try:
        return _full[0].is_valid(body) or not _weak[0].is_valid(body)
    except ValueError:
        return True  # no JSON at all


def _count(body: Any) -> int:
    return sum(1 for _ in _full[0].iter_errors(body))


FILTERS = {"provider": "kling", "operation": "createText2Video", "state": "submitted"}
"""What filters of the admin API are made to name: what is served is not in a description that all servers share."""


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Ask the admin API for what is there, and wait for nothing; what is no text or no time stays as it is."""
    if os.environ.get("UNDERSTUDY_PROVIDER_NAME") != "__admin":
        return
    called = case.operation.definition.raw.get("operationId")
    if called == "changeBudgets" and isinstance(case.body, dict) and case.body:
        # What is wrong stays: a value that cannot be a budget.
        values = list(case.body.values())
        values.sort(key=lambda one: one is None or (isinstance(one, int | float) and one >= 0))
        case.body = {FILTERS["provider"]: values[0]}
    if called == "addScenarios" and isinstance(case.body, dict):
        wishes = case.body.get("plan", [case.body])
        for wish in wishes if isinstance(wishes, list) else []:
            match = wish.get("match") if isinstance(wish, dict) else None
            for name in ("provider", "operation", "role") if isinstance(match, dict) else ():
                # Not all scenarios can meet all of them.
                if isinstance(match.get(name), str):
                    del match[name]
    if called == "getEvents":
        # Without an end a stream goes on until the run gives it up.
        case.query = {"for": "1ms"} | dict(case.query or {})
    if not isinstance(case.query, dict):
        return
    for name, known in FILTERS.items():
        if isinstance(case.query.get(name), str):
            case.query[name] = known
    for name in ("wait", "for"):
        if re.fullmatch(r"\d{1,4}m?s", str(case.query.get(name))):
            # Those in the middle; beyond the bounds there is a refusal to be seen.
            is_allowed = str(case.query[name]).endswith("ms") or int(case.query[name][:-1]) <= 60
            case.query[name] = "1ms" if is_allowed else case.query[name]


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Make a task again when the control plane's tenant was emptied, so that there is something to find."""
    if case.operation.definition.raw.get("operationId") in ("resetTenant", "deleteRequests", "setClock"):
        furnish(os.environ["UNDERSTUDY_ORIGIN"])


def furnish(origin: str) -> None:
    """Make a task with a callback in a tenant, and let its callback be tried."""
    body = {"prompt": "A paper boat", "callback_url": "http://127.0.0.1:9/hook"}
    for method, url, content in (
        # Else the task might meet what was planned before, and take its time over it.
        ("DELETE", f"{origin}/__admin/scenarios", {}),
        ("POST", f"{origin}/kling/v1/videos/text2video", body),
        ("POST", f"{origin}/__admin/clock/advance", {"by": "PT3S"}),
    ):
        headers = {
            "Authorization": f"Bearer {os.environ['UNDERSTUDY_KEY']}",
            "Content-Type": "application/json",
        }
        request = urllib.request.Request(url, json.dumps(content).encode(), headers, method=method)
        with contextlib.suppress(OSError):  # the clock may be at its end
            urllib.request.urlopen(request, timeout=30).close()
