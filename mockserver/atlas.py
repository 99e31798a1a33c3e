"""The command `understudy scenarios`: what there is in the atlas, and how to ask for it."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from mockserver.scenarios import (
    COMMON,
    GROUPS,
    SCENARIOS,
    Scenario,
    ScenarioError,
    find,
    obstacle,
    scenario_json,
)
from validator.contract.model import Contract
from validator.options import CLEAN, Command, Unusable
from validator.printing import BOLD, is_coloured, json_text, painter, plural, table, terminal_width

_COMMON: Final = {
    "after": "so many matching requests pass first",
    "times": "so many meet it, then no more do",
}


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in SCENARIOS if name.startswith(incomplete)]


@click.command(
    cls=Command,
    examples=(
        ("", "all of them, by group"),
        ("moderation-late", "one: its parameters, and a curl line that meets it"),
        ("--group callbacks", "one group"),
        ("--json", "for machines"),
    ),
)
@click.argument("name", required=False, shell_complete=_names)
@click.option(
    "--group", type=click.Choice(list(GROUPS)), default=None, help="Only the scenarios of this group."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scenarios(name: str | None, group: str | None, as_json: bool) -> int:
    """List the failures that can be rehearsed, by name.

    A request meets one by the header `Prefer: scenario=NAME; parameter=value`, by the text
    `[[scenario:NAME; parameter=value]]` in any of its fields, by a plan posted to /__admin/scenarios, or by a plan
    given to `understudy serve --plan FILE`.
    """
    paint = painter(colour=is_coloured("auto", sys.stdout))
    if name is not None:
        try:
            one = find(name)
        except ScenarioError as error:
            raise Unusable(str(error)) from None
        click.echo(json_text(scenario_json(one)) if as_json else _detail(one, paint))
        return CLEAN
    chosen = [one for one in SCENARIOS.values() if group in (None, one.group)]
    if as_json:
        click.echo(json_text([scenario_json(one) for one in chosen]))
        return CLEAN
    width = terminal_width(sys.stdout)
    for title, summary in GROUPS.items():
        rows = [[one.name, one.summary] for one in chosen if one.group == title]
        if rows:
            click.echo(paint(f"{title}: {summary}", BOLD))
            for line in table(rows, width=None if width is None else width - 2, paint=paint):
                click.echo("  " + line)
            click.echo()
    click.echo(f"{plural(len(chosen), 'scenario')}; understudy scenarios NAME says how to meet one")
    return CLEAN


def _detail(one: Scenario, paint: Any) -> str:
    lines = [paint(one.name, BOLD) + f"  ({one.group})", "", "  " + one.summary, ""]
    lines.append(f"  met by       {', '.join(sorted(one.roles))}")
    lines.append(f"  learnt from  {one.source}")
    rows = [
        (each.name, f"{each.summary} (default {_default(each.default)})" + _choices(each.choices))
        for each in one.parameters
    ]
    rows += [(key, _COMMON[key]) for key in COMMON]
    wide = max(len(key) for key, _ in rows)
    lines.append("  parameters")
    lines += [f"    {key:<{wide}}  {text}" for key, text in rows]
    lines += ["", "  try", "    " + _curl(one)]
    return "\n".join(lines)


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "none"


def _choices(choices: tuple[str, ...]) -> str:
    return f": {', '.join(choices)}" if choices else ""


def _is_met(one: Scenario, contract: Contract) -> bool:
    """Tell whether the first request that makes a task can meet a scenario, without a secret of the user's."""
    operation = next(call for call in contract.operations.values() if call.role == "create")
    if one.needs == "signature" and not all(
        call.signature is not None and call.signature.is_always for call in operation.callbacks
    ):
        return False
    return not obstacle(one, contract, operation)


def _curl(one: Scenario) -> str:
    """Return a line that meets the scenario on a server with its usual settings."""
    from mockserver.server import curl_line
    from mockserver.settings import Settings
    from validator.contract import load, provider_names

    settings = Settings()
    known = [load(name) for name in provider_names()]
    contract = next(each for each in known if _is_met(one, each))
    address = "http://127.0.0.1:9999/" if one.is_of_callbacks else ""
    line = curl_line(settings, contract, f"http://127.0.0.1:{settings.port}", address=address)
    return line.replace(" -s ", f" -si -H 'Prefer: scenario={one.name}' ", 1)
