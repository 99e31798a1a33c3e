"""The command `understudy rehearse`: a client in any language, run once for each act, and judged by what it did."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

import click

from mockserver.rehearsal.acts import ACTS, BASELINE, NoSuchNameError, chosen
from mockserver.rehearsal.orders import SEED, SPEED, TIME_LIMIT_S, Orders
from mockserver.rehearsal.staging import StagingError, Telling, read_name, read_variable
from mockserver.scenarios import GROUPS
from mockserver.settings import FASTEST, SettingError
from mockserver.trial.laws import LAWS
from validator.options import CLEAN, FOUND, Command, ProviderType, Unusable
from validator.printing import BOLD, is_coloured, is_terminal, painter, plural, table, terminal_width

if TYPE_CHECKING:
    from mockserver.rehearsal.run import Played
    from mockserver.rehearsal.verdict import Verdict

PER_CORE: Final = 4
"""Acts beside each other for each core: clients wait most of the time."""

_BAR: Final = 30
"""Columns of the progress bar."""


def _names(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes a name."""
    return lambda ctx, param, incomplete: [name for name in known if name.startswith(incomplete)]


def _file(option: str, what: str) -> Callable[[Any], Any]:
    # Opened before the first act: that it cannot be written is told now, not in a minute.  For appending, as a
    # mistake in another option is no reason to lose the last report; it is emptied when there is a new one to come.
    return click.option(
        option, metavar="FILE", type=click.File("a", encoding="utf-8", lazy=False), default=None, help=what
    )


@click.command(
    "rehearse",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    examples=(
        ("-- python client.py", "every act that fits the client"),
        ("--list", "the acts and the laws, and why"),
        ("--act 'rate-limited*' --law backs-off -- node client.mjs", "some acts, one law"),
        ("--name base-url=VIDEO_API_URL -- ./client", "a client that reads another variable"),
        ("-- ./client --url {{base_url}} --key {{api_key}}", "a client that is told by its arguments"),
        ("--env POLL_TIMEOUT=20 --time-limit 40 -- ./client", "a client that would wait for an hour"),
        ("--junit junit.xml --html report.html -- ./client", "reports for CI and for people"),
    ),
    ending="Exit code 0: all laws kept. 1: a law was broken. 2: there was nothing to judge, because the client could"
    " not be started, did not do its job with nothing in its way, or did not use the base URL.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] COMMAND...")
@click.option(
    "--act",
    "acts",
    multiple=True,
    metavar="GLOB",
    shell_complete=_names(list(ACTS)),
    help="Play only these acts; may be repeated.",
)
@click.option(
    "--skip-act", "not_acts", multiple=True, metavar="GLOB", help="Leave these acts out; may be repeated."
)
@click.option(
    "--law",
    "laws",
    multiple=True,
    metavar="GLOB",
    shell_complete=_names(list(LAWS)),
    help="Judge by these laws only; may be repeated.",
)
@click.option(
    "--skip-law", "not_laws", multiple=True, metavar="GLOB", help="Leave these laws out; may be repeated."
)
@click.option(
    "--provider",
    "providers",
    type=ProviderType(),
    multiple=True,
    help="Which providers the client is told of; may be repeated.  [default: all]",
)
@click.option(
    "--spec",
    "specs",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="A provider of your own, from this spec file; may be repeated.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="KIND=VARIABLE",
    help="Tell the base-url, root-url, api-key, access-key, secret-key or webhook-secret in this variable too.",
)
@click.option(
    "--env",
    "extra",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a variable of the client, its own time-outs for instance; {base_url} and the like are filled in.",
)
@click.option("--shell", "is_shell", is_flag=True, help="Let a shell read the command.")
@click.option(
    "--speed",
    default=SPEED,
    show_default=True,
    type=click.FloatRange(0, FASTEST, min_open=True),
    metavar="N",
    help="So many of the provider's seconds pass in one of the client's.",
)
@click.option(
    "--time-limit",
    default=TIME_LIMIT_S,
    show_default=True,
    type=click.FloatRange(0.1, 86_400),
    metavar="SECONDS",
    help="Real seconds that the client gets for one act before it is ended.",
)
@click.option(
    "--seed",
    default=SEED,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="What ids and keys are drawn from.",
)
@click.option(
    "--jobs",
    default=None,
    type=click.IntRange(1, 256),
    metavar="N",
    help=f"Acts beside each other.  [default: {PER_CORE} for each core]",
)
@click.option(
    "--fail-fast/--keep-going",
    "is_fail_fast",
    default=False,
    help="End with the first act that breaks a law.",
)
@click.option("--list", "is_list", is_flag=True, help="Show the acts and the laws, and run nothing.")
@_file("--junit", "Write a report as JUnit XML, - for standard output.")
@_file("--json", "Write a report as JSON.")
@_file("--html", "Write a report as one HTML file that fetches nothing.")
@_file("--markdown", "Write a report as Markdown, for the summary of a job.")
def command(
    command: tuple[str, ...],
    acts: tuple[str, ...],
    not_acts: tuple[str, ...],
    laws: tuple[str, ...],
    not_laws: tuple[str, ...],
    names: tuple[str, ...],
    extra: tuple[str, ...],
    is_shell: bool,
    jobs: int | None,
    is_list: bool,
    junit: IO[str] | None,
    json: IO[str] | None,
    html: IO[str] | None,
    markdown: IO[str] | None,
    **plain: Any,
) -> int:
    """Run a client once for each failure there is, and judge what it did.

    COMMAND is your client, in any language: a program that makes one video and ends. It runs once for each act,
    against a provider that misbehaves in one way: PROVIDER_BASE_URL, PROVIDER_API_KEY and the like in its
    environment lead it there. Acts that do not fit are left out: no callbacks for a client that asks for none.

    Then a table, acts by laws: kept, broken, not reached; and for each broken law what shows it, and how to see it
    again.
    """
    if is_list:
        _list(sys.stdout)
        return CLEAN
    if not command:
        raise Unusable(
            "there is no command to rehearse", "write it behind --: understudy rehearse -- python client.py"
        )
    if all(not word.strip() for word in command):
        raise Unusable("the command is empty")
    try:
        orders = Orders(
            telling=Telling(
                command=command,
                is_shell=is_shell,
                names=tuple(map(read_name, names)),
                extra=tuple(map(read_variable, extra)),
            ),
            acts=tuple(chosen(acts, ACTS, "act", without=not_acts)),
            laws=tuple(chosen(laws, LAWS, "law", without=not_laws)),
            jobs=jobs or PER_CORE * _cores(),
            **plain,
        )
    except (NoSuchNameError, StagingError) as error:
        raise Unusable(str(error)) from None
    if not orders.acts or not orders.laws:
        raise Unusable(f"nothing is left of the {'acts' if not orders.acts else 'laws'}", "--list shows them")
    if not 0 < orders.time_limit < float("inf"):
        raise Unusable(f"--time-limit {orders.time_limit:g}: write a number of seconds")
    given = {"junit": junit, "json": json, "html": html, "markdown": markdown}
    files = {kind: file for kind, file in given.items() if file is not None}
    _empty(files)
    try:
        found = _rehearsed(orders)
    except Unusable as error:
        if junit is not None:
            from mockserver.rehearsal.reports import junit_error

            # Whatever collects the results in CI would take an empty file for a fault of its own.
            junit.write(junit_error(str(error)))
        raise
    _write(found, files)
    return FOUND if found.broken else CLEAN


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _rehearsed(orders: Orders) -> Verdict:
    """Return the verdict; what keeps a rehearsal from being one is told, and ends the command."""
    # The server behind it takes as long to import as the rest of the program.
    from mockserver.rehearsal.run import NoRehearsalError, rehearse
    from mockserver.rehearsal.verdict import verdict

    _end_like_ctrl_c()
    progress = _Progress()
    try:
        return verdict(orders, rehearse(orders, progress.note))
    except KeyboardInterrupt:
        raise Unusable(f"broken off after {plural(progress.done, 'act')}; nothing is left running") from None
    except (SettingError, StagingError) as error:
        raise Unusable(str(error)) from None
    except NoRehearsalError as error:
        raise Unusable(str(error), "\n  ".join([*error.hints, *_said(error.played)])) from None
    finally:
        progress.close()


def _said(played: Played | None) -> list[str]:
    """Return what the client said, for one who has to find out why it does not do its job."""
    from mockserver.rehearsal.reports import said

    if played is None or played.ended is None:
        return []
    out = []
    for name, output in (("standard output", played.ended.stdout), ("standard error", played.ended.stderr)):
        lines = [line for line in said(played, output).splitlines() if line.strip()]
        if lines:
            out += [f"{name} ends with" if len(lines) > 20 else f"{name} was"]
            out += [f"  | {line[:300]}" for line in lines[-20:]]
    return out or ["it wrote nothing"]


def _end_like_ctrl_c() -> None:
    """Let whoever tells us to stop have the same as Ctrl+C: no client is left behind."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


class _Progress:
    """How many acts are over, on a line that is written again and again; on a terminal only."""

    def __init__(self) -> None:
        self.done = 0
        self._is_shown = is_terminal(sys.stderr)
        self._show("the baseline: nothing goes wrong")

    def note(self, played: Played, total: int) -> None:
        """Count an act that is over."""
        self.done += 1
        if not total:
            self._show(f"{played.act.id} is over; now without callbacks, to see what else it does")
            return
        full = _BAR * self.done // total
        self._show(f"[{'#' * full}{' ' * (_BAR - full)}] {self.done}/{total}  {played.act.id}")

    def _show(self, text: str) -> None:
        if self._is_shown:
            width = terminal_width(sys.stderr) or 80
            click.echo(f"\r\x1b[K{text[: width - 1]}", err=True, nl=False)

    def close(self) -> None:
        """Take the line away."""
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _empty(files: dict[str, IO[str]]) -> None:
    """Make room for new reports; raises Unusable where two of them would be written over each other."""
    places: dict[Any, str] = {}
    for kind, file in files.items():
        try:
            known = os.fstat(file.fileno())
            place: Any = (known.st_dev, known.st_ino)
        except (OSError, ValueError):
            # One that is no file of the system's: a test's, or a console's.
            place = id(file)
        if place in places:
            raise Unusable(
                f"--{places[place]} and --{kind} are the same file", "give each report one of its own"
            )
        places[place] = kind
    for file in files.values():
        if file.seekable() and not _is_stdout(file):
            file.truncate(0)


def _is_stdout(file: IO[str]) -> bool:
    return file is sys.stdout or getattr(file, "name", "") == "<stdout>"


def _write(found: Verdict, files: dict[str, IO[str]]) -> None:
    """Write the reports that were asked for; the one for people is left out where another takes its place."""
    from mockserver.rehearsal import reports

    renderers = {
        "junit": reports.junit_report,
        "json": reports.json_report,
        "html": reports.html_report,
        "markdown": reports.markdown_report,
    }
    is_taken = False
    for kind, file in files.items():
        file.write(renderers[kind](found))
        file.flush()
        is_taken = is_taken or _is_stdout(file)
    if is_taken:
        return
    colour = is_coloured("auto", sys.stdout)
    click.echo(reports.text_report(found, painter(colour=colour)), color=True if colour else None)


def _list(stream: IO[str]) -> None:
    """Print the acts by group, then the laws."""
    colour = is_coloured("auto", stream)
    paint, width = painter(colour=colour), terminal_width(stream)
    room = None if width is None else width - 2
    lines = [paint("acts, in this order", BOLD)]
    for group, summary in GROUPS.items():
        rows = [[act.id, act.why] for act in ACTS.values() if act.group == group]
        if rows:
            lines += ["", f"{group}: {summary}"]
            lines += ["  " + line for line in table(rows, width=room, paint=paint)]
    lines += ["", paint("laws", BOLD)]
    for law in LAWS.values():
        lines += [
            "",
            paint(law.id, BOLD) + f": {law.title}",
            f"  {law.why}",
            f"  reached where {law.reach}",
            f"  {law.source}",
        ]
    lines += [
        "",
        f"{plural(len(ACTS), 'act')}, {plural(len(LAWS), 'law')}; {BASELINE} is always played, and first",
    ]
    click.echo("\n".join(lines), color=True if colour else None)
