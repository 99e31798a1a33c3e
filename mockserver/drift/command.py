"""The command `understudy drift`: options, the question before anything is sent to a paid host, exit codes."""

from __future__ import annotations

import ipaddress
import re
import sys
import threading
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

import click

from validator.contract.model import Contract, Effect
from validator.options import (
    CLEAN,
    FOUND,
    UNCHECKED,
    Command,
    ProviderType,
    Unusable,
    chosen,
    colour_option,
    complete_rule,
    format_option,
    open_contracts,
    say,
    setting_options,
    spec_option,
)
from validator.printing import ColourChoice, is_coloured, is_terminal, json_text, painter, plural

_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:/(s|m|h))?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, None: 1}
_LEAST: Final = ("verdict", "status", "code", "message", "shape")


class RateType(click.ParamType[float]):
    """`1/s`, `30/m`; gives the seconds between two requests."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds, or fail with an example."""
        if isinstance(value, float):
            return value
        found = _RATE.fullmatch(str(value).strip())
        if found is None or not float(found[1]):
            self.fail(f"'{value}' is no rate; write it like 1/s, 30/m or 500/h")
        return _SECONDS[found[2]] / float(found[1])


@click.command(
    cls=Command,
    short_help="Ask a provider what costs nothing, and compare its answers with the spec.",
    examples=(
        (
            "--provider {provider} --to http://127.0.0.1:8700/{provider}",
            "a mock server, or one that stands for the provider",
        ),
        ("--provider {provider} --to URL --dry-run", "what would be sent, and what a mistake would cost"),
        ("--provider {provider} --to URL --rule {rule}", "one rule alone"),
        (
            "--provider {provider} --to URL --yes --format junit > drift.xml",
            "for CI, the key in UNDERSTUDY_DRIFT_CREDENTIAL",
        ),
        ("--provider {provider} --to URL --least code", "other words are no drift"),
    ),
    ending=(
        "Exit code: 0 when every answer is the expected one; 1 when something differs; 2 when it could not be found "
        "out (no answer, a credential that is refused, a wrong option). What is sent is to be refused, or reads what "
        "is not there; a request that is taken all the same may cost, and ends the run."
    ),
)
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    help="The server to ask: the base URL of the provider there.",
)
@click.option("--provider", type=ProviderType(), metavar="ID", help="Whose contract it is held against.")
@spec_option()
@setting_options
@click.option(
    "--credential",
    envvar="UNDERSTUDY_DRIFT_CREDENTIAL",
    show_envvar=True,
    metavar="KEY[:SECRET]",
    help="The account's key; with a secret, tokens are signed with it. Better in the environment than in a command.",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    shell_complete=complete_rule,
    help="Only probes about this rule; may be repeated.",
)
@click.option(
    "--rate",
    "pause_s",
    type=RateType(),
    default="1/s",
    show_default=True,
    metavar="N/s",
    help="Requests in a time, at most.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 300),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for an answer.",
)
@click.option(
    "--most-requests",
    type=click.IntRange(1),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Send no more than this.",
)
@click.option(
    "--most-accepted",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Stop at the N-th request that is taken though it is to be refused.",
)
@click.option(
    "--least",
    type=click.Choice(_LEAST),
    default="shape",
    show_default=True,
    help="What counts as drift, this and all that is graver.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent; send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before a real host is asked.")
@click.option("--all", "is_all", is_flag=True, help="Print every probe, also those that agree.")
@format_option("text", "json", "markdown", "junit")
@colour_option()
def drift(
    target: str,
    provider: str | None,
    spec: str | None,
    effects: tuple[tuple[str, Effect], ...],
    variants: tuple[tuple[str, str], ...],
    credential: str | None,
    rules: tuple[str, ...],
    pause_s: float,
    timeout_s: float,
    most_requests: int,
    most_accepted: int,
    least: Any,
    dry_run: bool,
    yes: bool,
    is_all: bool,
    format_: str,
    colour: ColourChoice,
) -> int:
    """Ask a server what costs nothing, and compare what it answers with what the contract says.

    Sent are: credentials that are missing or wrong, reads of tasks that are not there, lists, paths and methods that
    are not taken, and for every rule the smallest request that breaks it. Each answer agrees, or the provider has
    changed (documented or captured answers no longer come), or the contract is wrong (it had only guessed), or it
    cannot be compared, with the reason.

    A request that breaks a rule makes a task if the provider no longer has the rule: the surest rules are asked
    first, in the cheapest model and mode, and the run stops at the first that is taken.
    """
    from mockserver.clock import wall_ms
    from mockserver.drift.keys import any_key, parse_key
    from mockserver.drift.probes import Plan, make_plan
    from mockserver.drift.run import run
    from mockserver.drift.sender import HttpSender
    from validator.diff.seeds import each_way

    if provider is None and spec is None:
        raise click.UsageError("name a provider with --provider, or give its spec with --spec")
    (contract,) = open_contracts(provider, spec, (effects, variants)).values()
    base = base_url(target, contract)
    is_here = is_local(base, contract.hosts)
    scheme = next((one.credentials[0] for one in contract.operations.values() if one.credentials), None)
    if credential and not (credential.isascii() and credential.isprintable()):
        raise click.UsageError("the credential cannot be sent: a header carries printable ASCII only")
    if credential:
        key = parse_key(credential, scheme)
    elif scheme is None or is_here or dry_run:
        key = any_key(scheme) if scheme is not None else parse_key("none", None)
    else:
        hint = "put it into UNDERSTUDY_DRIFT_CREDENTIAL, or give --credential; --dry-run needs none"
        raise Unusable(f"asking {urlsplit(base).hostname} takes a credential", hint)
    is_shown = is_terminal(sys.stderr) and not dry_run
    if is_shown:
        click.echo("working out what to ask ...\r", nl=False, err=True)
    plan = make_plan(contract, key=key, now=wall_ms() // 1000, smallest=each_way)
    if rules:
        known = {one.rule for one in plan.probes} | {one.rule for one in plan.unasked}
        for rule in rules:
            chosen(rule, known, "no rule")
        # The first probe says whether the credential counts.
        plan = Plan(
            contract=contract,
            probes=tuple(one for at, one in enumerate(plan.probes) if one.rule in rules or at == 0),
            unasked=tuple(one for one in plan.unasked if one.rule in rules),
        )
    is_painted = is_coloured(colour, sys.stdout)
    paint = painter(colour=is_painted)
    if dry_run:
        from mockserver.drift.rendering import plan_lines

        for line in plan_lines(plan, paint):
            say(line, colour=is_painted)
        creates = sum(one.is_create for one in plan.probes)
        dearest = max((one.price or 0.0 for one in plan.probes), default=0.0)
        say(
            f"{plural(len(plan.probes), 'request')}, {creates} of which would make a task if they were taken"
            f" ({dearest:g} units at most, the run stopping after {most_accepted})",
            colour=is_painted,
        )
        return CLEAN
    if not is_here and not yes:
        _ask_first(plan, base, most_accepted)
    sender = HttpSender(base, timeout_s=timeout_s)
    pause = threading.Event()

    def tell(done: int, of: int, probe: Any) -> None:
        if is_shown:
            click.echo(f"\r{done}/{of} {probe.rule[:50]:<52}", nl=False, err=True)

    try:
        out = run(
            plan,
            sender,
            key=key,
            now=lambda: wall_ms() // 1000,
            wait=lambda seconds: void(pause.wait(seconds)),
            pause_s=pause_s,
            most_requests=most_requests,
            most_accepted=most_accepted,
            least=least,
            tell=tell,
        )
    finally:
        sender.close()
        if is_shown:
            click.echo("\r" + " " * 70 + "\r", nl=False, err=True)
    code = UNCHECKED if out.problem else FOUND if out.differing else CLEAN
    _print(out, format_, target=base, code=code, is_all=is_all, paint=paint, is_painted=is_painted)
    return code


def void(_: object) -> None:
    """Take a value that nobody wants."""


def _print(
    out: Any, format_: str, *, target: str, code: int, is_all: bool, paint: Any, is_painted: bool
) -> None:
    from mockserver.drift import rendering

    if format_ == "json":
        say(json_text(rendering.outcome_json(out, target=target, code=code)))
    elif format_ == "junit":
        say(rendering.junit_text(out))
    elif format_ == "markdown":
        say("\n".join(rendering.markdown_lines(out, target=target)))
    else:
        say("\n".join(rendering.text_lines(out, paint, is_all=is_all)), colour=is_painted)


def _ask_first(plan: Any, base: str, most_accepted: int) -> None:
    """Ask whether to go on, where somebody is there to answer; raises Unusable otherwise."""
    creates = sum(one.is_create for one in plan.probes)
    told = (
        f"{plural(len(plan.probes), 'request')} would go to {urlsplit(base).hostname}; {creates} of them make a task"
        f" if the provider takes them after all, and the run stops after {plural(most_accepted, 'such request')}"
    )
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise Unusable(told, "--yes sends them; --dry-run shows them")
    click.echo(told, err=True)
    if not click.confirm("Send them?", default=False, err=True):
        raise Unusable("nothing was sent")


def base_url(text: str, contract: Contract) -> str:
    """Return the URL below which the provider's paths lie, without its base path; raises click.BadParameter."""

    def wrong(sentence: str) -> click.BadParameter:
        return click.BadParameter(sentence, param_hint="'--to'")

    try:
        parts = urlsplit(text.strip())
        _ = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise wrong("it is no URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise wrong(f"'{text[:80]}' is no URL; write it like http://127.0.0.1:8700/{contract.id}")
    if parts.username is not None or parts.query or parts.fragment:
        raise wrong("it has a user, a query or a fragment in it; leave them out")
    if not (text.isascii() and text.isprintable()):
        raise wrong("it has letters that a URL takes percent-encoded only")
    path = parts.path.rstrip("/")
    # The base path is part of every operation's path; written or not, the same is meant.
    path = path.removesuffix(contract.base_path) + contract.base_path
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_local(base: str, paid: Collection[str] = ()) -> bool:
    """Tell whether a URL leads to this machine or a private network, where nobody is paid; never a host of `paid`.

    >>> is_local("http://127.0.0.1:8700/x"), is_local("https://api.example.com")
    (True, False)
    >>> is_local("http://134744072/"), is_local("http://[::ffff:8.8.8.8]/")
    (False, False)
    """
    host = (urlsplit(base).hostname or "").rstrip(".").lower()
    if host in {one.lower() for one in paid}:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_name = not re.fullmatch(r"(?:0x[0-9a-f]*|[0-9]+)", host.rpartition(".")[2])
        is_near = host.endswith((".localhost", ".local", ".internal")) or "." not in host
        # Resolvers read a number as an address of any network: 134744072 is 8.8.8.8.
        return is_name and is_near
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return address.is_loopback or address.is_private or address.is_link_local
