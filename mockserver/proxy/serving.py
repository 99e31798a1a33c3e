"""A real socket for the proxy, a greeting that says what passes, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mockserver.app import ADMIN
from mockserver.limits import number
from mockserver.log import RequestLog
from mockserver.proxy.app import Proxy
from mockserver.proxy.courses import Recorder
from mockserver.proxy.passage import TARGET
from mockserver.proxy.totals import Guard
from mockserver.proxy.upstream import Upstream
from mockserver.server import QuickProtocol, curl_line, listen, raise_descriptors, run_app
from mockserver.settings import Settings
from validator.contract.model import Contract
from validator.printing import plural
from validator.security import KeyRing


class ProxyProtocol(QuickProtocol):
    """Hands over the target of a request as it came: what the parser makes of it is not passed on."""

    def on_headers_complete(self) -> None:
        """Keep the target."""
        scope: Any = self.scope
        scope[TARGET] = self.url
        super().on_headers_complete()


def run_proxy(
    settings: Settings,
    contracts: Mapping[str, Contract],
    upstreams: Mapping[str, Upstream],
    guards: Mapping[str, Guard],
    *,
    say: Callable[[str], None],
    is_coloured: bool,
    recorder: Recorder | None,
    record_name: str,
    **more: Any,
) -> None:
    """Serve until told to stop; raises SettingError before the port is open."""
    sock = listen(settings.host, settings.port)
    raise_descriptors()
    bound = replace(settings, port=sock.getsockname()[1])
    app = Proxy(
        bound,
        contracts,
        upstreams,
        guards,
        recorder=recorder,
        request_log=RequestLog(bound.log, is_coloured=is_coloured),
        **more,
    )
    run_app(
        app,
        sock,
        on_ready=lambda: say(greeting(app, record_name=record_name, is_coloured=is_coloured)),
        protocol=ProxyProtocol,
        has_date=False,
    )
    told = app.summary()
    if told:
        say(told)
    if recorder is not None and not recorder.failed and bound.log != "json":
        say(
            f"\nRecorded {plural(recorder.tasks, 'task')} in {record_name}; understudy serve --replay {record_name}"
        )


def greeting(app: Proxy, *, record_name: str = "", is_coloured: bool = False) -> str:
    """Return where clients go, where that leads, and what is held back."""
    settings = app.settings
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    origin = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    bold = (lambda text: f"\x1b[1m{text}\x1b[0m") if is_coloured else str
    count = len(app.upstreams)
    lines = [f"Understudy stands before {plural(count, 'provider')}; what passes is real.", ""]
    for name, upstream in app.upstreams.items():
        contract = app.backend.contracts[name]
        # What the user would send: with a key of their own.
        sample = Settings(credentials={name: KeyRing(keys={"yours": None})})
        lines += [
            f"  {bold(name)}  {contract.title}",
            f"    base URL     {origin}/{name}{contract.base_path}",
            f"    passes to    {upstream.url}{contract.base_path}",
            f"    spending     {_spending(app.guards[name], upstream)}",
            f"    try          {curl_line(sample, contract, origin)}",
            "",
        ]
    lines.append(f"  admin          {origin}{ADMIN}/health  (requests, requests.har)")
    held = f"held back for {number(app.window_s)} s" if app.window_s else "passed on (--window 0)"
    lines.append(f"  equal submits  {held}")
    if app.recorder is not None:
        lines.append(f"  recording      {record_name}")
    return "\n".join(lines)


def _spending(guard: Guard, upstream: Upstream) -> str:
    if not guard.is_open:
        return "not allowed: requests that make tasks are held back (--allow-spend, --budget UNITS)"
    if guard.budget is not None:
        return f"up to {guard.budget:g} units"
    return "free, on this machine" if upstream.is_this_machine else "allowed"
