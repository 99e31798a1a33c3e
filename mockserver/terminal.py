"""A running server in the terminal: `understudy status`, `tail` and `forward`."""

from __future__ import annotations

import base64
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click
import orjson

from mockserver.journal import shown_url
from mockserver.remote import GoneError, Remote, RemoteError, check_url, deliver, headers_of
from mockserver.settings import DEFAULT_PORT
from validator.options import CLEAN, Command
from validator.printing import Paint, is_coloured, painter, plural
from validator.report import printable

EXIT_NO_SERVER: Final = 2

AGAIN_S: Final = 1.0
"""Seconds between two looks, and between two attempts to find a server that went away."""

PULL_S: Final = 10
"""Seconds that one question for the next delivery waits."""

_RED, _GREEN, _YELLOW, _CYAN, _DIM, _BOLD = "31", "32", "33", "36", "2", "1"
_VERDICTS: Final[Mapping[str, str]] = {"accepted": _GREEN, "fails": _YELLOW, "refused": _RED}
_STATUSES: Final[Mapping[str, str]] = {
    "delivered": _GREEN,
    "retrying": _YELLOW,
    "failed": _RED,
    "refused": _RED,
}
_OUTCOMES: Final[Mapping[str, str]] = {"success": _GREEN, "failure": _RED, "canceled": _YELLOW}


def _connected(command: Any) -> Any:
    """Give a command the options that say which server it is about."""
    for option in (
        click.option(
            "--token",
            envvar="UNDERSTUDY_ADMIN_TOKEN",
            show_envvar=True,
            default="",
            metavar="TOKEN",
            help="The server's --admin-token, if it has one.",
        ),
        click.option(
            "--tenant", default="", metavar="NAME", help="Speak of this tenant.  [default: default]"
        ),
        click.option(
            "--server",
            envvar="UNDERSTUDY_SERVER",
            show_envvar=True,
            default=f"http://127.0.0.1:{DEFAULT_PORT}",
            show_default=True,
            metavar="URL",
            help="The server to speak to.",
        ),
    ):
        command = option(command)
    return command


_AS_JSON: Final = click.option("--json", "is_json", is_flag=True, help="JSON instead of lines for people.")


def _painter() -> Paint:
    """Return what colours a text where it is to be coloured."""
    colour = is_coloured("auto", sys.stdout)
    # Otherwise colours are taken out again where it is no terminal.
    click.get_current_context().color = colour or None
    return painter(colour=colour)


def _run(name: str, body: Callable[[], None]) -> int:
    """Run a command until it is done or stopped; without a server it ends with a sentence."""
    if threading.current_thread() is threading.main_thread():
        # Whoever is told to stop tidies up as for Ctrl+C, also when the terminal is closed; not behind nohup.
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
    try:
        body()
    except KeyboardInterrupt:
        return CLEAN
    except RemoteError as error:
        click.echo(f"understudy {name}: {error}", err=True)
        raise SystemExit(EXIT_NO_SERVER) from None
    return CLEAN


def _pause() -> None:
    threading.Event().wait(AGAIN_S)


# --- status -----------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    examples=(
        ("", "what the server serves and holds"),
        ("--watch", "the same, every second, until Ctrl+C"),
        ("--json --tenant shop", "one tenant, for a script"),
    ),
)
@_connected
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl+C.")
@_AS_JSON
def status(server: str, tenant: str, token: str, watch: bool, is_json: bool) -> int:
    """Show what a running server serves, and what a tenant of it holds.

    Exit code 2 when no server answers.
    """

    def show() -> None:
        remote, paint = Remote(server, tenant=tenant, token=token), _painter()
        while True:
            seen = {
                "health": remote.call("GET", "/health", has="version"),
                "providers": remote.call("GET", "/providers", has="providers")["providers"],
                "tenants": remote.call("GET", "/tenants?limit=20", has="tenants"),
                "gauges": remote.call("GET", "/gauges", has="ledger"),
            }
            if is_json:
                text = orjson.dumps(seen, option=0 if watch else orjson.OPT_INDENT_2).decode()
            else:
                text = "\n".join(_status_lines(remote.server, seen, paint))
                if watch and sys.stdout.isatty():
                    text = f"\x1b[H\x1b[2J{text}"
            click.echo(text)
            if not watch:
                return
            _pause()

    return _run("status", show)


def _status_lines(server: str, seen: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    health, gauges, tenants = seen["health"], seen["gauges"], seen["tenants"]
    clock, tasks, journal, ledger = (gauges[name] for name in ("clock", "tasks", "journal", "ledger"))
    yield f"{paint('understudy ' + health['version'], _BOLD)}  {server}"
    width = max((len(one["id"]) for one in seen["providers"]), default=0)
    for one in seen["providers"]:
        yield f"  {one['id']:<{width}}  {one['baseUrl']}  {plural(len(one['operations']), 'operation')}"
    names = ", ".join(one["name"] for one in tenants["tenants"][:8])
    more = ", ..." if tenants["count"] > 8 else ""
    yield f"tenants     {tenants['count']:,}: {names}{more}"
    yield ""
    yield paint(f"tenant {gauges['tenant']}", _BOLD)
    pace = {"frozen": "stands still", "real": "real time"}.get(
        clock["mode"], f"{clock['speed']:g} times as fast"
    )
    yield f"  clock       {clock['now']}, {pace}"
    yield f"  tasks       {tasks['kept']:,}"
    for provider, states in tasks["states"].items():
        if states:
            told = ", ".join(f"{count:,} {state}" for state, count in states.items())
            yield f"    {provider:<{width}}  {told}"
    if tasks["counted"] < tasks["kept"]:
        yield f"    (states of the newest {tasks['counted']:,})"
    told = ", ".join(
        paint(f"{count:,} {verdict}", _VERDICTS.get(verdict, "0") if count else _DIM)
        for verdict, count in journal["verdicts"].items()
    )
    yield f"  requests    {journal['kept']:,} kept: {told}; {journal['unmatched']:,} reached no operation"
    yield f"    journal   {_size(journal['bytes'])}, {journal['dropped']:,} dropped, at most {journal['most']:,}"
    told = ", ".join(
        paint(f"{count:,} {name}", _STATUSES.get(name, "0")) for name, count in ledger["statuses"].items()
    )
    yield f"  deliveries  {ledger['kept']:,} kept{': ' + told if told else ''}"
    how = (
        "sent by the server" if ledger["mode"] == "push" else "pulled (understudy forward, or the admin API)"
    )
    yield f"    ledger    {_size(ledger['bytes'])}, {ledger['dropped']:,} dropped, {how}"


def _size(number: int) -> str:
    return f"{number:,} bytes" if number < 10_000 else f"{number / 1_000_000:,.2f} MB"


# --- tail -------------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    examples=(
        ("", "requests, states and callbacks of the default tenant, as they happen"),
        ("--all", "those of all tenants"),
        ("--verdict refused", "only requests that were refused"),
        ("--json", "one JSON object a line"),
    ),
)
@_connected
@click.option("--all", "is_all", is_flag=True, help="Follow all tenants.")
@click.option("--provider", metavar="ID", help="Only what is about this provider.")
@click.option(
    "--verdict",
    type=click.Choice(["accepted", "fails", "refused"]),
    help="Only requests with this verdict, and nothing else.",
)
@_AS_JSON
def tail(
    server: str,
    tenant: str,
    token: str,
    is_all: bool,
    provider: str | None,
    verdict: str | None,
    is_json: bool,
) -> int:
    """Follow what happens on a running server, a line for each request, state and callback.

    Ends with Ctrl+C. When the server goes away it waits for it to come back; exit code 2 when there is none from the
    beginning.
    """

    def follow() -> None:
        remote, paint = Remote(server, tenant=tenant, token=token), _painter()
        if provider is not None:
            _check_provider(remote, provider)
        for kind, data in _events(remote, of="all" if is_all else "tenant"):
            if provider is not None and data.get("provider") != provider:
                continue
            if verdict is not None and (kind, data.get("verdict")) != ("request", verdict):
                continue
            if is_json:
                click.echo(orjson.dumps({"kind": kind, **data}))
            else:
                click.echo(_event_line(kind, data, paint, has_tenant=is_all))

    return _run("tail", follow)


def _check_provider(remote: Remote, provider: str) -> None:
    known = [one["id"] for one in remote.call("GET", "/providers", has="providers")["providers"]]
    if provider not in known:
        raise click.BadParameter(f"the server serves {', '.join(known)}", param_hint="--provider")


def _events(remote: Remote, *, of: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (kind, data) for ever; a server that goes away is waited for."""
    after, was_there, is_away = "", False, False
    while True:
        try:
            for name, kind, data in remote.events(of=of, after=after):
                if kind == "open":
                    if not was_there:
                        _say(f"what happens on {remote.server}; Ctrl+C ends it")
                    elif is_away:
                        _say("it is back")
                    was_there, is_away = True, False
                    continue
                after = name or after
                if kind == "gap":
                    _say(f"some events may be missing: {data['why']}")
                    continue
                yield kind, data
        except GoneError as error:
            if not was_there:
                raise
            if not is_away:
                _say(f"{error}; waiting for it to come back")
            is_away = True
        _pause()


def _say(text: str) -> None:
    click.echo(f"understudy: {text}", err=True)


def _event_line(kind: str, data: Mapping[str, Any], paint: Paint, *, has_tenant: bool) -> str:
    parts = [paint(data["at"][11:23], _DIM)]
    if has_tenant:
        parts.append(f"{printable(data['tenant']):<10}")
    parts.append(f"{kind:<8}")
    parts += _LINES.get(kind, _other_line)(data, paint)
    return "  ".join(part for part in parts if part)


def _request_line(data: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield paint(f"{data['status']} {data['verdict']:<8}", _VERDICTS.get(data["verdict"], "0"))
    yield f"{printable(data['method'])} {printable(data['target'][:200])}"
    yield f"task {printable(data['task'])}" if data["task"] else ""
    yield "broke " + ", ".join(data["rules"]) if data["rules"] else ""
    yield "met " + printable(data["scenario"]) if data.get("scenario") else ""
    yield paint(f"{data['took_us'] / 1000:.1f} ms", _DIM)


def _task_line(data: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield paint(f"{data['state']:<12}", _OUTCOMES.get(data["outcome"] or "", _CYAN))
    yield f"task {data['id']}  {data['provider']}"


def _delivery_line(data: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield paint(f"{data['status']:<12}", _STATUSES.get(data["status"], "0"))
    came = data["answer"] if data["answer"] is not None else printable(data["error"])
    yield f"{data['state']} of task {data['task']} -> {printable(data['url'][:200])}: {came}"
    yield f"attempt {data['attempt']}" if data["attempt"] > 1 else ""
    yield f"next at {data['next_at'][11:23]}" if data["next_at"] else ""


def _other_line(data: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield f"{data['mode']}, now {data['at']}" if "mode" in data else "the tenant begins again from nothing"


_LINES: Final[Mapping[str, Callable[[Mapping[str, Any], Paint], Iterator[str]]]] = {
    "request": _request_line,
    "task": _task_line,
    "delivery": _delivery_line,
}


# --- forward ----------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    examples=(
        ("http://127.0.0.1:3000/hook", "bring all callbacks to a program on this machine"),
        (
            "http://127.0.0.1:3000/hook --server http://mock.lan:8700",
            "from a server that cannot reach this machine",
        ),
    ),
)
@click.argument("url")
@_connected
def forward(url: str, server: str, tenant: str, token: str) -> int:
    """Bring callbacks to URL, whatever address the requests gave.

    While it runs the tenant's deliveries are pulled instead of sent by the server: each is posted to URL with exactly
    its headers and bytes, signature included, and URL's answer is reported back, so that retries go on as usual.

    Ends with Ctrl+C; then the server sends again by itself. When the server goes away it waits for it to come back;
    exit code 2 when there is none from the beginning.
    """

    def pull() -> None:
        check_url(url)
        remote, paint = Remote(server, tenant=tenant, token=token), _painter()
        remote.call("PUT", "/deliveries/mode", {"mode": "pull"}, has="mode")
        _say(f"callbacks of {remote.server} go to {shown_url(url)}; Ctrl+C ends it")
        try:
            _forward(remote, url, paint)
        finally:
            # Whoever comes next should not wait for a puller that is gone.
            try:
                remote.call("PUT", "/deliveries/mode", {"mode": "push"}, has="mode")
            except RemoteError as error:
                _say(str(error))

    return _run("forward", pull)


def _forward(remote: Remote, url: str, paint: Paint) -> None:
    is_away = False
    while True:
        try:
            # Each time: a reset or a restart meanwhile would have meant push.
            remote.call("PUT", "/deliveries/mode", {"mode": "pull"}, has="mode")
            if is_away:
                _say("it is back")
            is_away = False
            handout = remote.call("GET", f"/deliveries/next?wait={PULL_S}s", has="body_base64", wait_s=PULL_S)
            if handout is not None:
                click.echo(_handed_on(remote, url, handout, paint))
        except GoneError as error:
            if not is_away:
                _say(f"{error}; waiting for it to come back")
            is_away = True
            _pause()


def _handed_on(remote: Remote, url: str, handout: Mapping[str, Any], paint: Paint) -> str:
    """Bring a delivery to its receiver, report what came of it, and return the line that says so."""
    answer: dict[str, Any]
    try:
        body = base64.b64decode(handout["body_base64"])
        within_s = handout["report_within_s"]
        answer = {"status": deliver(url, handout["method"], headers_of(handout), body, within_s=within_s)}
    except RemoteError as error:
        answer = {"error": str(error)[:500]}
    came = answer.get("status", answer.get("error"))
    try:
        after = remote.call("POST", f"/deliveries/{handout['id']}/answer", answer, has="next_at")
        status, next_at = after["status"], after["next_at"]
    except GoneError:
        raise
    except RemoteError as error:
        status, next_at = f"not reported ({error})", None
    parts = [
        paint(handout["at"][11:23], _DIM),
        paint(f"{status:<10}", _STATUSES.get(status, "0")),
        f"{handout['state']} of task {handout['task']} -> {came}",
        f"attempt {handout['attempt']}" if handout["attempt"] > 1 else "",
        f"next at {next_at[11:23]}" if next_at else "",
    ]
    return "  ".join(part for part in parts if part)


COMMANDS: Final = {"status": status, "tail": tail, "forward": forward}
