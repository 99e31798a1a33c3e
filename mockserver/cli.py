"""The command `understudy`: serve, and the commands of the validator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, Final

import click

from mockserver.settings import (
    DEFAULT_PORT,
    SettingError,
    Settings,
    parse_budgets,
    parse_credentials,
    parse_effects,
    parse_limits,
    parse_pairs,
    parse_progress,
    parse_variants,
)
from validator.options import CLEAN, Command
from validator.printing import is_coloured

EXIT_BROKEN: Final = 2
_TERMINAL_COMMANDS: Final = ("status", "tail", "forward")
_OWN_COMMANDS: Final = ("proxy", "scenarios", "rehearse")
_VALIDATOR_COMMANDS: Final = ("lint", "rules", "explain", "evidence", "spec")
_COMPARING_COMMANDS: Final = ("diff", "drift")


class LazyGroup(click.Group):
    """A group that imports other commands than serve only when one of them is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order a user meets them."""
        return [
            "serve",
            *_TERMINAL_COMMANDS,
            *_OWN_COMMANDS,
            *_VALIDATOR_COMMANDS,
            *_COMPARING_COMMANDS,
            "completion",
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        if cmd_name in _VALIDATOR_COMMANDS:
            from validator.cli import COMMANDS

            command: click.Command = COMMANDS[cmd_name]
            return command
        if cmd_name in _TERMINAL_COMMANDS:
            from mockserver import terminal

            return terminal.COMMANDS[cmd_name]
        if cmd_name == "proxy":
            from mockserver.proxy.command import proxy

            return proxy
        if cmd_name == "diff":
            from validator.diff.command import diff

            return diff
        if cmd_name == "drift":
            from mockserver.drift.command import drift

            return drift
        if cmd_name == "scenarios":
            from mockserver.atlas import scenarios

            return scenarios
        if cmd_name == "rehearse":
            from mockserver import rehearse

            return rehearse.command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a call, and suggest one for a name that is nearly right."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from validator.contract.document import nearest

            hint = nearest(args[0], self.list_commands(ctx)) if args else ""
            if hint:
                raise click.UsageError(f"{error.message.rstrip('.')} ({hint})", ctx) from None
            raise


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="understudy", prog_name="understudy")
def main() -> None:
    """Stand in for paid, asynchronous video-generation APIs: offline, free, and true to the provider.

    \b
    understudy serve                     a mock server for every provider, on port 8700
    understudy tail                      what happens on it, as it happens
    understudy forward URL               its callbacks, brought to a program it cannot call
    understudy proxy --to PROVIDER       before the real host: only good requests pass
    understudy scenarios                 every failure that can be rehearsed, by name
    understudy rehearse -- COMMAND       your client in every failure, and what it did
    understudy lint request.json ...     what is wrong with a request, before it is sent
    understudy explain RULE              one rule: what it says, where that is written, examples
    understudy diff OLD NEW              which requests tell two specs apart
    understudy drift --to URL            a provider asked what costs nothing, compared with its spec
    """


def _option(*names: str, env: str, **more: Any) -> Callable[[Any], Any]:
    """Return an option that is also an environment variable, and says so in its help."""
    return click.option(*names, envvar=f"UNDERSTUDY_{env}", show_envvar=True, **more)


def _provider_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from validator.contract import provider_names

    return [name for name in provider_names() if name.startswith(incomplete)]


@main.command(
    cls=Command,
    context_settings={"auto_envvar_prefix": None},
    examples=(
        ("--speed 60", "a minute passes in a second"),
        ("--provider {provider} --port 9000", "one provider, also without a prefix"),
        ("--store sqlite:///understudy.db", "nothing acknowledged is lost"),
        ("--limit {provider}.credits=10", "run out of credits after ten units"),
        ("--effect {rule}=reject", "another reading of a rule"),
        ("--plan plan.yaml", "let requests fail in the ways the file says"),
    ),
)
@_option("--host", env="HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_option(
    "--port",
    env="PORT",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on, 0 for any.",
)
@_option(
    "--provider",
    "providers",
    env="PROVIDER",
    multiple=True,
    metavar="ID",
    shell_complete=_provider_names,
    help="Serve only this provider; may be repeated. With a single one its paths need no prefix.",
)
@_option(
    "--spec",
    "specs",
    env="SPEC",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Serve a provider of your own from this file; may be repeated.",
)
@_option(
    "--variant",
    "variants",
    env="VARIANT",
    multiple=True,
    metavar="PROVIDER.NAME",
    help="Apply another reading of a provider (understudy evidence PROVIDER lists them).",
)
@_option(
    "--effect",
    "effects",
    env="EFFECT",
    multiple=True,
    metavar="RULE=EFFECT",
    help="Make a rule reject, fail, warn, or turn it off.",
)
@_option(
    "--speed",
    env="SPEED",
    default=1.0,
    show_default=True,
    type=float,
    metavar="N",
    help="Run all clocks N times as fast as real time.",
)
@_option(
    "--progress",
    env="PROGRESS",
    default="time",
    show_default=True,
    metavar="time|polls[:N]|manual",
    help="What moves tasks: the clock, every N-th read of the task, or only the admin API.",
)
@_option(
    "--store",
    env="STORE",
    default="memory",
    show_default=True,
    metavar="memory|sqlite:///FILE",
    help="Where tasks are kept; a file survives kill -9.",
)
@_option(
    "--seed",
    env="SEED",
    type=int,
    default=None,
    metavar="N",
    help="Draw the same ids again for the same requests.",
)
@_option(
    "--credential",
    "credentials",
    env="CREDENTIAL",
    multiple=True,
    metavar="PROVIDER=KEY[:SECRET]",
    help="Accept only configured keys of a provider; SECRET verifies JWT signatures. May be repeated.",
)
@_option(
    "--limit",
    "limits",
    env="LIMIT",
    multiple=True,
    metavar="PROVIDER.UNIT=N|on",
    help="Enforce a limit: requests, concurrent-tasks or credits; 'on' for the provider's own number.",
)
@_option(
    "--budget",
    "budgets",
    env="BUDGET",
    multiple=True,
    metavar="PROVIDER=UNITS",
    help="Refuse tasks of a tenant past what they may cost there, as an empty account would; may be repeated.",
)
@_option(
    "--webhook-secret",
    "secrets",
    env="WEBHOOK_SECRET",
    multiple=True,
    metavar="PROVIDER=SECRET",
    help="Sign the provider's callbacks with this secret.",
)
@_option(
    "--plan",
    "plan",
    env="PLAN",
    default=None,
    metavar="FILE",
    type=click.File("rb"),
    help="Let requests meet the scenarios of this file, JSON or YAML (understudy scenarios lists them).",
)
@_option(
    "--replay",
    "replays",
    env="REPLAY",
    multiple=True,
    metavar="FILE",
    type=click.File("rb"),
    help="Let new tasks take the course of those that understudy proxy --record wrote down; may be repeated.",
)
@_option(
    "--admin-token",
    env="ADMIN_TOKEN",
    default=None,
    metavar="TOKEN",
    help="Ask for this token under /__admin; required when not bound to this machine alone.",
)
@_option(
    "--callback-allow",
    "callback_allow",
    env="CALLBACK_ALLOW",
    multiple=True,
    metavar="HOST|CIDR",
    help="Send callbacks only to these receivers; may be repeated. Bound to this machine alone: any receiver.",
)
@_option(
    "--callback-timeout",
    env="CALLBACK_TIMEOUT",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.01, 300),
    metavar="SECONDS",
    help="Wait at most so long for a receiver.",
)
@_option(
    "--max-body",
    env="MAX_BODY",
    default=64 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(1024),
    metavar="BYTES",
    help="Refuse larger request bodies, as the provider would.",
)
@_option(
    "--max-tenants",
    env="MAX_TENANTS",
    default=10_000,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Refuse further tenants.",
)
@_option(
    "--max-tasks",
    env="MAX_TASKS",
    default=5_000_000,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Refuse further tasks.",
)
@_option(
    "--journal-entries",
    env="JOURNAL_ENTRIES",
    default=1_000,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Exchanges a tenant's journal keeps.",
)
@_option(
    "--log",
    "log",
    env="LOG",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json", "off"]),
    help="One line for each request, on standard error.",
)
def serve(
    providers: tuple[str, ...],
    specs: tuple[str, ...],
    variants: tuple[str, ...],
    effects: tuple[str, ...],
    progress: str,
    credentials: tuple[str, ...],
    limits: tuple[str, ...],
    budgets: tuple[str, ...],
    secrets: tuple[str, ...],
    plan: IO[bytes] | None,
    replays: tuple[IO[bytes], ...],
    max_body: int,
    **plain: Any,
) -> int:
    """Serve the providers as mock servers, until Ctrl+C.

    Point your client's base URL at http://127.0.0.1:8700/PROVIDER and use any well-formed key. Tasks move on the
    clock, callbacks arrive, results are real MP4 files, and refusals are the provider's own.

    Many tests can share one server: give each its own tenant by the base URL
    http://127.0.0.1:8700/t/TENANT/PROVIDER, and it has its own tasks, clock and journal.
    """
    from mockserver.server import run
    from mockserver.store import StoreError
    from validator.contract import SpecError

    colour = is_coloured("auto", sys.stderr)
    try:
        moved_by, polls = parse_progress(progress)
        settings = Settings(
            providers=providers,
            specs=specs,
            variants=parse_variants(variants),
            effects=parse_effects(effects),
            progress=moved_by,
            polls_per_step=polls,
            credentials=parse_credentials(credentials),
            limits=parse_limits(limits),
            budgets=parse_budgets(budgets),
            secrets=parse_pairs(secrets, "webhook secret"),
            max_body_bytes=max_body,
            plan=read_plan(plan) if plan is not None else (),
            recordings=[_read_replay(file) for file in replays],
            **plain,
        )
        settings.check()
        run(settings, say=lambda text: click.echo(text, err=True), is_coloured=colour)
    except (SettingError, SpecError, StoreError) as error:
        click.echo(f"understudy serve: {error}", err=True)
        raise SystemExit(EXIT_BROKEN) from None
    return CLEAN


def _read_replay(file: IO[bytes]) -> Any:
    """Return a recording; raises SettingError."""
    from mockserver.recordings import RecordingError, read_recording

    try:
        return read_recording(file, str(file.name))
    except OSError as error:
        raise SettingError(f"--replay {file.name}: {error.strerror}") from None
    except RecordingError as error:
        raise SettingError(f"--replay: {error}") from None


def read_plan(file: IO[bytes]) -> Sequence[Any]:
    """Return the entries of a plan; raises SettingError."""
    from validator.contract import SpecError
    from validator.contract.document import parse_yaml

    try:
        found = parse_yaml(file.read(), file=file.name)
    except OSError as error:
        raise SettingError(f"--plan {file.name}: {error.strerror}") from None
    except SpecError as error:
        raise SettingError(f"--plan: {error}") from None
    entries = found.get("plan") if isinstance(found, dict) else found
    if not isinstance(entries, list) or (isinstance(found, dict) and len(found) > 1):
        raise SettingError(
            f"--plan {file.name}: write a list of entries, or an object with the list under 'plan'"
        )
    return entries


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the tab completion of a shell.

    \b
    eval "$(understudy completion bash)"       in ~/.bashrc
    eval "$(understudy completion zsh)"        in ~/.zshrc
    understudy completion fish | source        in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "understudy", "_UNDERSTUDY_COMPLETE").source())


if __name__ == "__main__":
    main()
