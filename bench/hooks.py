"""Microseconds that pre-flight adds to a request: the look alone, and calls of libraries whose network is a stub."""

from __future__ import annotations

import gc
import timeit
from collections.abc import Callable

import httpx
import requests

from bench.bodies import PROVIDERS, small, with_picture
from bench.table import median, print_table
from validator import load
from validator.preflight import Preflight, SpendGuard
from validator.preflight.httpx import PreflightTransport
from validator.preflight.requests import PreflightAdapter


class Nowhere(requests.adapters.BaseAdapter):
    """An adapter that answers by itself."""

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        """Return an empty answer."""
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = 200, request, request.url or ""
        answer._content = b""
        return answer

    def close(self) -> None:
        """Close nothing."""


def run(*, seconds: float, rounds: int) -> None:
    """Measure every case in alternating rounds, and print the medians."""
    provider = next(iter(PROVIDERS.values()))
    header, value = provider.header
    headers = {header: value, "Content-Type": "application/json"}
    path = provider.create.removeprefix(f"/{provider.id}")
    url = f"https://{load(provider.id).hosts[0]}{path}"
    body, large = small(provider), with_picture(provider)
    plain, guarded = Preflight(), Preflight(guard=SpendGuard(allow=True))

    def through_httpx(preflight: Preflight | None) -> Callable[[], object]:
        stub = httpx.MockTransport(lambda request: httpx.Response(200))
        client = httpx.Client(transport=stub if preflight is None else PreflightTransport(preflight, stub))
        return lambda: client.post(url, headers=headers, content=body)

    def through_requests(preflight: Preflight | None) -> Callable[[], object]:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", Nowhere() if preflight is None else PreflightAdapter(preflight, Nowhere()))
        return lambda: session.post(url, headers=headers, data=body)

    calls: dict[str, Callable[[], object]] = {
        "the look alone": lambda: plain.clear("POST", url, headers=headers, body=body),
        "the look, with a guard": lambda: guarded.clear("POST", url, headers=headers, body=body).answered(
            200
        ),
        "the look, 40 kB with a picture": lambda: plain.clear("POST", url, headers=headers, body=large),
        "a request that is nobody's": lambda: plain.clear(
            "POST", "https://example.com/x", headers=headers, body=body
        ),
        "httpx, without": through_httpx(None),
        "httpx, with a guard": through_httpx(guarded),
        "requests, without": through_requests(None),
        "requests, with a guard": through_requests(guarded),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            timer = timeit.Timer(call)
            number = max(3, int(seconds / (timer.timeit(3) / 3)))
            times[name].append(timer.timeit(number) / number)
    rows = [
        [name, f"{median(found) * 1e6:,.1f}", f"{min(found) * 1e6:,.1f}"] for name, found in times.items()
    ]
    print_table(
        "Pre-flight, microseconds per request",
        ["request", "median", "best"],
        rows,
        note="A library without a network; the difference of two rows is what the hook costs.",
    )
