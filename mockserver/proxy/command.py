"""The command `understudy proxy`: a validating proxy before the real hosts."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from os import SEEK_END
from typing import IO, Any, Final

import click

from mockserver.proxy import PASSES, WINDOW_S
from mockserver.settings import SettingError, Settings, parse_budgets
from validator.contract.document import nearest
from validator.options import CLEAN, Command, Unusable, colour_option, open_contracts, setting_options
from validator.printing import is_coloured

DEFAULT_PORT: Final = 8701

RECORDING: Final = b'{"recording":'
"""How a recording begins."""

LONGEST_HEAD: Final = 1_000
"""Bytes of the first line that are looked at."""


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from validator.contract import provider_names

    return [name for name in provider_names() if name.startswith(incomplete)]


def _a_number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """Refuse what no range keeps out."""
    if math.isnan(value):
        raise click.BadParameter("nan is no number of seconds")
    return value


@click.command(
    cls=Command,
    examples=(
        ("--to {provider}", "see what would be sent: nothing that costs passes"),
        ("--to {provider} --budget 10", "let tasks pass that cost up to 10 units together"),
        ("--to {provider} --allow-spend --record run.ndjson", "and write down what becomes of them"),
        ("--to {provider}=http://127.0.0.1:8700/{provider}", "another host, here a mock server"),
        ("--spec acme.yaml --upstream https://gateway.example/acme", "a provider of your own"),
    ),
    ending="Exit codes: 0 stopped, 2 could not start, or could not go on recording.",
)
@click.option(
    "--to",
    "targets",
    multiple=True,
    metavar="PROVIDER[=URL]",
    shell_complete=_names,
    help="Pass to this provider, at the host of its spec or at URL; may be repeated.",
)
@click.option(
    "--upstream", metavar="URL", default=None, help="Where the one provider is, in place of its host."
)
@click.option(
    "--spec",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    default=None,
    help="Stand before a provider of your own, from this spec file.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on, 0 for any.",
)
@click.option("--allow-spend", is_flag=True, help="Let requests pass that make tasks, whatever they cost.")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="UNITS",
    help="Let tasks pass that cost up to so many units together; PROVIDER=UNITS with several providers.",
)
@click.option(
    "--window",
    "window_s",
    default=WINDOW_S,
    show_default=True,
    type=click.FloatRange(0, 86_400),
    callback=_a_number,
    metavar="SECONDS",
    help="Hold back a submit that equals one of the last SECONDS; 0 passes all.",
)
@click.option(
    "--pass",
    "passes",
    multiple=True,
    type=click.Choice(PASSES),
    help="Pass what is held back otherwise: tasks that would fail, or paths that the contract does not know.",
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.File("a+b"),
    default=None,
    help="Add to this file what becomes of the tasks; understudy serve --replay plays it.",
)
@click.option("--annotate", is_flag=True, help="Add X-Mock- headers to the answers that pass.")
@click.option(
    "--timeout",
    "timeout_s",
    default=300.0,
    show_default=True,
    type=click.FloatRange(0.1, 3_600),
    callback=_a_number,
    metavar="SECONDS",
    help="Wait so long for the host to say something.",
)
@click.option(
    "--through",
    metavar="URL",
    default=None,
    help="Reach the hosts through this HTTP proxy; none of the environment is used.",
)
@click.option(
    "--admin-token",
    envvar="UNDERSTUDY_ADMIN_TOKEN",
    show_envvar=True,
    default=None,
    metavar="TOKEN",
    help="Ask for this token under /__admin; required when not bound to this machine alone.",
)
@click.option(
    "--max-body",
    default=64 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(1024),
    metavar="BYTES",
    help="Refuse larger request bodies, as the provider would.",
)
@click.option(
    "--journal-entries",
    default=1_000,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Exchanges that the journal keeps.",
)
@click.option(
    "--log",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json", "off"]),
    help="One line for each request, on standard error.",
)
@setting_options
@colour_option()
def proxy(
    targets: tuple[str, ...],
    upstream: str | None,
    spec: str | None,
    allow_spend: bool,
    budgets: tuple[str, ...],
    window_s: float,
    passes: tuple[str, ...],
    record: IO[bytes] | None,
    annotate: bool,
    timeout_s: float,
    through: str | None,
    max_body: int,
    effects: Sequence[Any],
    variants: Sequence[Any],
    colour: Any,
    **plain: Any,
) -> int:
    """Stand before the real host: let good requests pass, refuse bad ones as it would.

    Put http://127.0.0.1:8701/PROVIDER in place of the provider's base URL, and keep your key. A request that
    breaks a rule gets the provider's answer and does not reach it. A good one passes as it is, and so does its
    answer, which is held against the contract: log and journal (/__admin/requests) say what came.

    Nothing that costs passes until you say so, with --allow-spend or --budget; hosts on this machine are free.
    """
    from mockserver.proxy.serving import run_proxy

    try:
        contracts, urls = _contracts(targets, upstream, spec, effects, variants)
        settings = Settings(max_body_bytes=max_body, **plain)
        settings.check()
        hosts = _upstreams(contracts, urls, "--to" if upstream is None else "--upstream", timeout_s, through)
        guards = _guards(contracts, hosts, allow_spend=allow_spend, budgets=budgets)
        recorder = _recorder(record)
        run_proxy(
            settings,
            contracts,
            hosts,
            guards,
            say=lambda text: click.echo(text, err=True),
            is_coloured=is_coloured(colour, sys.stderr),
            recorder=recorder,
            record_name=_name(record),
            window_s=window_s,
            passes=frozenset(passes),
            is_annotated=annotate,
        )
    except SettingError as error:
        raise Unusable(str(error)) from None
    if recorder is not None and recorder.failed:
        raise Unusable(f"the recording is not whole: {recorder.failed}")
    return CLEAN


def _contracts(
    targets: Sequence[str],
    upstream: str | None,
    spec: str | None,
    effects: Sequence[Any],
    variants: Sequence[Any],
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return (contracts by provider, the URL that was given for each); raises SettingError, SpecError."""
    from validator.contract import provider_names

    named = [text.partition("=") for text in targets]
    names = list(dict.fromkeys(name for name, _, _ in named))
    if len(names) < len(named):
        raise SettingError("--to: a provider is named twice")
    if spec is not None and names:
        raise SettingError("--spec names the provider already; give its address with --upstream")
    if spec is None and not names:
        raise SettingError(
            f"say before whom: --to PROVIDER (known: {', '.join(provider_names())}), or --spec FILE"
        )
    for name, equals, url in named:
        if "://" in name:
            raise SettingError("--to: write PROVIDER=URL, so that it is known whose rules count")
        if name not in provider_names():
            hint = nearest(name, provider_names()) or "known: " + ", ".join(provider_names())
            raise SettingError(f"--to: no provider is called '{name[:80]}' ({hint})")
        if equals and not url:
            raise SettingError(f"--to {name}=: the URL is missing")
    urls: dict[str, str | None] = {name: url or None for name, _, url in named}
    settings = (effects, variants)
    if spec is not None:
        contracts = open_contracts(None, spec, settings)
        urls = dict.fromkeys(contracts)
    else:
        contracts = {}
        for name in names:
            of = [[one for one in each if one[0].partition(".")[0] == name] for each in settings]
            contracts |= open_contracts(name, None, (of[0], of[1]))
        for option, each in (("--effect", effects), ("--variant", variants)):
            for one in each:
                if one[0].partition(".")[0] not in contracts:
                    raise SettingError(f"{option} {one[0]}: for no provider of --to")
    if upstream is not None:
        if len(urls) > 1 or any(urls.values()):
            raise SettingError("--upstream is for one provider without a URL; write --to PROVIDER=URL")
        urls = dict.fromkeys(urls, upstream)
    return contracts, urls


def _upstreams(
    contracts: Mapping[str, Any],
    urls: Mapping[str, str | None],
    option: str,
    timeout_s: float,
    through: str | None,
) -> dict[str, Any]:
    from mockserver.proxy.upstream import Upstream

    out = {}
    for name, contract in contracts.items():
        url = urls[name] or contract.document.root["servers"][0]["url"]
        out[name] = Upstream(
            url, option=option, base_path=contract.base_path, timeout_s=timeout_s, through=through
        )
    return out


def _guards(
    contracts: Mapping[str, Any], hosts: Mapping[str, Any], *, allow_spend: bool, budgets: Sequence[str]
) -> dict[str, Any]:
    from mockserver.proxy.totals import Guard

    if budgets and allow_spend:
        raise SettingError("--allow-spend knows no end, and --budget is one; give one of them")
    only = next(iter(contracts))
    texts = [text if "=" in text or len(contracts) > 1 else f"{only}={text}" for text in budgets]
    amounts = parse_budgets(texts)
    for name in amounts:
        if name not in contracts:
            raise SettingError(f"--budget {name}: not among the providers of --to ({', '.join(contracts)})")
    if len(amounts) < len(texts):
        raise SettingError("--budget: a provider is named twice")
    return {
        name: Guard(
            is_open=allow_spend or name in amounts or hosts[name].is_this_machine, budget=amounts.get(name)
        )
        for name in contracts
    }


def _name(record: IO[bytes] | None) -> str:
    return str(getattr(record, "name", "")) if record is not None else ""


def _recorder(record: IO[bytes] | None) -> Any:
    """Return what writes to a file, each line at once; a line that another run was killed in is ended first."""
    from mockserver.proxy.courses import Recorder

    if record is None:
        return None

    def write(line: bytes) -> None:
        record.write(line)
        record.flush()

    recorder = Recorder(write)
    size = record.seek(0, SEEK_END) if record.seekable() else 0
    if size:
        record.seek(0)
        if not record.readline(LONGEST_HEAD).startswith(RECORDING):
            raise SettingError(f"--record {_name(record)}: there is something else in it; name a new file")
        record.seek(size - 1)
        if record.read(1) != b"\n":
            recorder.line(b"\n")
    if recorder.failed:
        raise SettingError(f"--record {_name(record)}: {recorder.failed}")
    return recorder
