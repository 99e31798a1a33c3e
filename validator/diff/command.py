"""The command `understudy diff`: which two contracts, how they are told, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from validator.contract import Contract, load, provider_names
from validator.contract.document import nearest
from validator.contract.model import Effect
from validator.options import (
    CLEAN,
    FOUND,
    Command,
    Unusable,
    colour_option,
    format_option,
    say,
    setting_options,
)
from validator.printing import ColourChoice, is_coloured, is_terminal, json_text, painter

FailOn = Literal["breaking", "any", "none"]


@click.command(
    cls=Command,
    short_help="Say which requests tell two specs apart.",
    examples=(
        ("old.yaml new.yaml", "two files"),
        ("{provider} mine.yaml", "a provider of the library and a file"),
        ("{provider} --effect {rule}=warn", "a provider and another reading of it"),
        ("--fail-on any --format markdown old.yaml new.yaml", "for CI: any difference fails"),
        ("--examples 2000 --seed 7 old.yaml new.yaml", "draw more requests, and others"),
    ),
    ending=(
        "Exit code: 0 when nothing is found that --fail-on counts, 1 when something is, 2 when a spec cannot be "
        "read. A version kept by git: git show REV:specs/x.yaml > old.yaml."
    ),
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@setting_options
@click.option(
    "--fail-on",
    type=click.Choice(["breaking", "any", "none"]),
    default="breaking",
    show_default=True,
    help="What makes the exit code 1: requests that are taken no more, any difference, nothing.",
)
@click.option(
    "--examples",
    type=click.IntRange(0, 100_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Requests to draw for each operation and side, beside those that the schemas propose.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Draw other requests.")
@format_option("text", "json", "markdown")
@colour_option()
def diff(
    old: str,
    new: str | None,
    effects: tuple[tuple[str, Effect], ...],
    variants: tuple[tuple[str, str], ...],
    fail_on: FailOn,
    examples: int,
    seed: int,
    format_: str,
    colour: ColourChoice,
) -> int:
    """Say which requests one spec takes and the other does not, each with the smallest example.

    OLD and NEW are ids of providers or spec files. With one of them alone, its reading with --variant and --effect
    is compared with the one without; with two, those settings are NEW's.

    breaking: taken by OLD, not by NEW. widening: the other way round. answer: refused by both, in other words.
    warning: taken by both, with other warnings. Both checks were run on every example. What is no matter of
    requests, such as states, callbacks, prices and limits, is listed below.
    """
    from validator.diff.compare import compare
    from validator.diff.rendering import comparison_json, markdown_lines, text_lines

    if new is None and not effects and not variants:
        raise click.UsageError("name two specs, or one and another reading of it (--variant, --effect)")
    first = _contract(old, (), ())
    second = _contract(new if new is not None else old, effects, variants)
    if new is None or Path(old).name == Path(new).name:
        first, second = _named(first, "old"), _named(second, "new")
    is_shown = is_terminal(sys.stderr)

    def tell(text: str) -> None:
        if is_shown:
            click.echo(f"\rcomparing {text[:50]:<52}", nl=False, err=True)

    found = compare(first, second, examples=examples, seed=seed, tell=tell)
    if is_shown:
        click.echo("\r" + " " * 64 + "\r", nl=False, err=True)
    is_any = bool(found.differences or any(one.kind != "notes" for one in found.changes))
    code = FOUND if {"breaking": bool(found.of("breaking")), "any": is_any, "none": False}[fail_on] else CLEAN
    is_painted = is_coloured(colour, sys.stdout)
    if format_ == "json":
        say(json_text(comparison_json(found, code=code)))
    elif format_ == "markdown":
        say("\n".join(markdown_lines(found)))
    else:
        say("\n".join(text_lines(found, painter(colour=is_painted))), colour=is_painted)
    return code


def _named(contract: Contract, side: str) -> Contract:
    """Return the contract with a file name that tells it from the other one."""
    document = contract.document
    return replace(contract, document=replace(document, file=f"{document.file} ({side})"))


def _contract(
    name: str, effects: Sequence[tuple[str, Effect]], variants: Sequence[tuple[str, str]]
) -> Contract:
    """Return a contract with the settings that are about it; raises SpecError and click.BadParameter."""
    source: str | Path = name
    if name not in provider_names():
        if not Path(name).exists():
            hint = nearest(name, provider_names()) or f"providers: {', '.join(provider_names())}"
            raise Unusable(f"'{name}' is neither a provider nor a file", hint)
        source = Path(name)
    plain = load(source)
    for option, named in (("--variant", variants), ("--effect", effects)):
        for first, _ in named:
            if first.partition(".")[0] != plain.id:
                raise click.BadParameter(f"'{first}' is not of {plain.id}", param_hint=f"'{option}'")
    known = [one.name for one in plain.variants]
    for _, variant in variants:
        if variant not in known:
            hint = nearest(variant, known) or f"known: {', '.join(known) or 'none'}"
            raise click.BadParameter(
                f"{plain.id} has no variant '{variant}' ({hint})", param_hint="'--variant'"
            )
    if not effects and not variants:
        return plain
    return load(source, variants=[variant for _, variant in variants], effects=dict(effects))
