"""What the commands have in common: options, their completion, help with examples, contracts by option."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

import click

from validator.contract import Contract, SpecError, load, provider_names
from validator.contract.document import nearest
from validator.contract.model import Effect
from validator.printing import ColourChoice

CLEAN: Final = 0
FOUND: Final = 1
UNCHECKED: Final = 2
"""Exit codes: nothing found, something found, something could not be looked at."""

_UNWRITABLE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF))
"""Why a standard output takes no more: no room, a broken device, or closed."""


class Unusable(click.ClickException):
    """What keeps a command from doing its work: told on standard error, with the exit code 2."""

    exit_code = UNCHECKED

    def __init__(self, sentence: str, hint: str = "") -> None:
        """Take what is wrong, and what to do."""
        super().__init__(sentence)
        self.hint = hint
        context = click.get_current_context(silent=True)
        self.command = context.command_path if context is not None else "understudy"

    def show(self, file: Any = None) -> None:
        """Print the sentence and the hint."""
        click.echo(f"{self.command}: {self.message}", err=True)
        if self.hint:
            click.echo(f"  {self.hint}", err=True)


class Command(click.Command):
    """A command that returns its exit code, and whose help ends with examples from the library.

    `examples` are pairs (arguments, what they do); `{provider}`, `{operation}` and `{rule}` stand for real ones.
    """

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]] = (), ending: str = "", **more: Any
    ) -> None:
        """Take the examples and the last paragraph of the help beside what click takes."""
        super().__init__(*args, **more)
        self.examples, self.ending = examples, ending

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and what the exit codes mean."""
        if self.examples:
            names = _names_for_examples()
            rows = [(f"{ctx.command_path} {call}".format(**names), text) for call, text in self.examples]
            with formatter.section("Examples"):
                for call, text in rows:
                    formatter.write(f"  {call}\n      {text}\n")
        if self.ending:
            formatter.write_paragraph()
            formatter.write_text(self.ending)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and leave with the exit code it returns.

        A broken spec is told like a wrong option.  A reader that went away, as `head` does, is no fault and
        no finding: nothing is said, and the code is not the one for findings.
        """
        try:
            ctx.exit(super().invoke(ctx))
        except BrokenPipeError:
            # What is still in the buffer would be written, and fail, when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(UNCHECKED) from None
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                # A fault of something else; to call it one of the output would lead astray.
                raise
            raise Unusable(f"the output cannot be written: {error.strerror or error}") from None
        except SpecError as error:
            where = f"{error.file}#{error.pointer}" if error.pointer else error.file
            sentence = error.sentence if error.file == "setting" else f"{where}: {error.sentence}"
            raise Unusable(sentence, error.hint) from None


def _names_for_examples() -> Mapping[str, str]:
    name = provider_names()[0]
    contract = load(name)
    operation = next(one for one in contract.operations.values() if one.body is not None)
    return {"provider": name, "operation": operation.id, "rule": next(iter(contract.rules))}


# --- what options take ------------------------------------------------------------------------------------


def chosen(name: str, known: Iterable[str], what: str) -> str:
    """Return a name if it is known; raises click.BadParameter with the nearest one otherwise."""
    known = list(known)
    if name in known:
        return name
    hint = nearest(name, known) or f"known: {', '.join(known)}"
    raise click.BadParameter(f"{what} is called '{name}' ({hint})")


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


class ProviderType(click.ParamType[str]):
    """The id of a provider of the library."""

    name = "provider"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id, or fail with the nearest one."""
        return chosen(str(value), provider_names(), "no provider")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Offer the ids."""
        return [click.shell_completion.CompletionItem(one) for one in _starting(provider_names(), incomplete)]


class EffectType(click.ParamType[tuple[str, Effect]]):
    """`RULE=EFFECT`."""

    name = "effect"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Effect]:
        """Return (rule, effect); whether there is such a rule is told when the contract is loaded."""
        if isinstance(value, tuple):
            return value
        rule, equals, effect = str(value).partition("=")
        known = get_args(Effect)
        if not equals:
            self.fail(f"'{value}' has no '='; write RULE=EFFECT, an effect being {', '.join(known)}")
        if effect not in known:
            self.fail(f"'{effect}' is no effect ({nearest(effect, known) or ', '.join(known)})")
        return rule, cast(Effect, effect)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Offer the rules, then the effects."""
        rule, equals, effect = incomplete.partition("=")
        rules = [rule] if equals else _starting(_rule_ids(ctx), incomplete)
        # One rule alone comes with every effect, so that the shell fills in the = and goes on in the word.
        offers = [f"{rules[0]}={one}" for one in _starting(get_args(Effect), effect)] if rules else []
        if len(rules) > 1:
            offers = [f"{one}=" for one in rules]
        return [click.shell_completion.CompletionItem(one) for one in offers]


class VariantType(click.ParamType[tuple[str, str]]):
    """`PROVIDER.NAME`."""

    name = "variant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return (provider, name)."""
        if isinstance(value, tuple):
            return value
        provider, dot, name = str(value).partition(".")
        if not dot or not name:
            self.fail(f"'{value}' has no name of a variant; write PROVIDER.NAME")
        return provider, name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Offer the variants of all providers."""
        names = [f"{one.id}.{variant.name}" for one in _meant(ctx) for variant in one.variants]
        return [click.shell_completion.CompletionItem(one) for one in _starting(names, incomplete)]


def _meant(ctx: click.Context) -> list[Contract]:
    """Return the contracts that a call is about as far as it is typed: a named one, or all of the library."""
    provider, spec = ctx.params.get("provider"), ctx.params.get("spec")
    try:
        if spec is not None:
            return [load(Path(spec))]
        return [load(name) for name in ([provider] if provider is not None else provider_names())]
    except SpecError:
        return []


def _rule_ids(ctx: click.Context) -> list[str]:
    return [rule for contract in _meant(ctx) for rule in contract.settable]


def complete_operation(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Offer the operations that take a body."""
    known = (one for contract in _meant(ctx) for one in contract.operations.values())
    names = [one.id for one in known if one.body is not None]
    return [click.shell_completion.CompletionItem(one) for one in _starting(names, incomplete)]


def complete_rule(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Offer the rules, each with what it says."""
    from validator.explain import rule_rows

    rows = [row for contract in _meant(ctx) for row in rule_rows(contract)]
    found = [row for row in rows if row.id.startswith(incomplete)]
    return [click.shell_completion.CompletionItem(row.id, help=row.message) for row in found]


Decorator = Callable[[Any], Any]


def spec_option() -> Decorator:
    return click.option(
        "--spec",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Use a provider of your own, from this spec file.",
    )


def setting_options(function: Any) -> Any:
    """Add --effect and --variant."""
    function = click.option(
        "--variant",
        "variants",
        type=VariantType(),
        multiple=True,
        metavar="PROVIDER.NAME",
        help="Apply another reading of a provider; may be repeated.",
    )(function)
    return click.option(
        "--effect",
        "effects",
        type=EffectType(),
        multiple=True,
        metavar="RULE=EFFECT",
        help="Make a rule reject, fail, warn, or turn it off; may be repeated.",
    )(function)


def format_option(*formats: str, help: str = "What to print.") -> Decorator:
    return click.option(
        "--format", "format_", type=click.Choice(formats), default=formats[0], show_default=True, help=help
    )


def colour_option() -> Decorator:
    return click.option(
        "--color",
        "colour",
        type=click.Choice(get_args(ColourChoice)),
        default="auto",
        show_default=True,
        help="Colour the text. auto: on a terminal; NO_COLOR and FORCE_COLOR are heeded.",
    )


def say(text: str, *, colour: bool = False) -> None:
    """Print to standard output; colours were decided before, so click is to leave them in."""
    click.echo(text, color=True if colour else None)


# --- contracts --------------------------------------------------------------------------------------------

Settings = tuple[Sequence[tuple[str, Effect]], Sequence[tuple[str, str]]]


def _contract(name: str | Path, *, settings: Settings = ((), ())) -> Contract:
    """Return a contract with the settings that are about it; raises SpecError and click.BadParameter."""
    effects, variants = settings
    if not effects and not variants:
        return load(name)
    plain = load(name)
    own_effects = {rule: effect for rule, effect in effects if rule.partition(".")[0] == plain.id}
    own_variants = [variant for owner, variant in variants if owner == plain.id]
    known = [one.name for one in plain.variants]
    for variant in own_variants:
        if variant not in known:
            hint = nearest(variant, known) or f"known: {', '.join(known) or 'none'}"
            raise click.BadParameter(
                f"{plain.id} has no variant '{variant}' ({hint})", param_hint="'--variant'"
            )
    return load(name, variants=own_variants, effects=own_effects)


def open_contracts(provider: str | None, spec: str | None, settings: Settings) -> dict[str, Contract]:
    """Return the contracts to work with, by id: one that is named, or all of the library.

    Raises SpecError, and click.BadParameter for a setting that is about none of them.
    """
    if provider is not None and spec is not None:
        raise click.UsageError("--spec names the provider already; leave --provider out")
    library = [provider] if provider is not None else provider_names()
    sources: Sequence[str | Path] = [Path(spec)] if spec is not None else library
    found = [_contract(source, settings=settings) for source in sources]
    contracts = {one.id: one for one in found}
    effects, variants = settings
    for option, named in (("--effect", effects), ("--variant", variants)):
        for first, second in named:
            owner = first.partition(".")[0]
            if owner not in contracts:
                text = f"{first}={second}" if option == "--effect" else f"{first}.{second}"
                hint = nearest(owner, contracts) or f"in use: {', '.join(contracts)}"
                raise click.BadParameter(
                    f"'{text}' is for no provider in use ({hint})", param_hint=f"'{option}'"
                )
    return contracts
