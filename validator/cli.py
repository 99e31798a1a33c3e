"""The commands lint, rules, explain, evidence and spec, for a click group elsewhere to take up.

Options and exit codes live here; what is said, in the modules beside it.  Exit codes of all commands: 0 for
nothing found, 1 for findings, 2 for what could not be looked at.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import click

from validator.contract import Contract, SpecError, provider_names
from validator.contract.document import dump_yaml
from validator.contract.expressions import Json
from validator.contract.model import Effect, Evidence
from validator.options import (
    CLEAN,
    FOUND,
    Command,
    ProviderType,
    Unusable,
    VariantType,
    chosen,
    colour_option,
    complete_operation,
    complete_rule,
    format_option,
    open_contracts,
    say,
    setting_options,
    spec_option,
)
from validator.printing import (
    BOLD,
    DIM,
    ColourChoice,
    clean,
    is_coloured,
    is_terminal,
    json_text,
    painter,
    plural,
    table,
    terminal_width,
)
from validator.readers import FORMS

_PROGRESS_FROM: Final = 50
"""Requests from which on a terminal sees how far a run has come."""


# --- lint -------------------------------------------------------------------------------------------------

_FORMATS: Final = ("text", "json", "sarif", "junit", "github", "markdown")


class _ReportType(click.ParamType[tuple[str, str]]):
    """`FORMAT=FILE`."""

    name = "report"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return (format, file)."""
        if isinstance(value, tuple):
            return value
        format_, equals, file = str(value).partition("=")
        if not equals or not file:
            self.fail(f"'{value}' names no file; write FORMAT=FILE, such as sarif=lint.sarif")
        return chosen(format_, _FORMATS, "no format"), file

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Offer the formats."""
        offers = [f"{one}=" for one in _FORMATS]
        return [click.shell_completion.CompletionItem(one) for one in offers if one.startswith(incomplete)]


@click.command(
    cls=Command,
    short_help="Say what is wrong with requests, before they are sent.",
    examples=(
        ("request.har", "every request of a browser's recording that is for a known provider"),
        ("--provider {provider} --operation {operation} body.json", "one body"),
        ("src/ tests/", "the calls in programs, pages and scripts below these directories"),
        ("--strict README.md", "the calls that a page shows, warnings counted"),
        ("--report sarif=lint.sarif --report junit=lint.xml .", "the result for CI systems beside the text"),
        ("--write-baseline lint-baseline.json src/", "what is found today, to be passed over from now on"),
        ("--baseline lint-baseline.json src/", "only what is new since then"),
        ("--format json requests.ndjson", "a body or a request on each line, the result for machines"),
        ("--effect {rule}=warn calls.sh", "one rule taken less seriously"),
        ("--spec mine.yaml body.json", "a provider of your own"),
    ),
    ending=(
        "Exit code: 0 when the provider would take every request; 1 when something was found; 2 when something could "
        "not be checked (a file that cannot be read, a request nobody knows, a wrong option). 2 comes before 1, so "
        "that 1 always means that everything was looked at. Requests to others in an HTTP archive or a program are "
        "left out and counted, as are calls that only running the program would tell."
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@click.option("--provider", type=ProviderType(), metavar="ID", help="Whom the requests are for.")
@click.option(
    "--operation",
    metavar="ID",
    shell_complete=complete_operation,
    help="What bodies that come without a URL are for.",
)
@spec_option()
@click.option(
    "--form",
    type=click.Choice([*FORMS, "auto"]),
    default="auto",
    show_default=True,
    help="What the files hold. auto: look.",
)
@click.option(
    "--discover",
    is_flag=True,
    help="Treat named files like those of a directory: one without requests is passed over.",
)
@format_option(*_FORMATS)
@click.option(
    "--report",
    "reports",
    type=_ReportType(),
    multiple=True,
    metavar="FORMAT=FILE",
    help="Write the result to a file as well; may be repeated.",
)
@click.option(
    "--github-summary", is_flag=True, help="Add the result to the summary of a step of GitHub Actions."
)
@click.option(
    "--baseline",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Pass over the findings that stand in this file.",
)
@click.option(
    "--write-baseline",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write what is found to this file, to be passed over from now on.",
)
@click.option(
    "--strict-baseline", is_flag=True, help="Count entries of the baseline that are no longer found."
)
@setting_options
@click.option("--strict", is_flag=True, help="Count warnings as findings.")
@click.option("--quiet", is_flag=True, help="Print only requests with findings, and no summary.")
@colour_option()
def lint(
    files: tuple[str, ...],
    provider: str | None,
    operation: str | None,
    spec: str | None,
    form: str,
    discover: bool,
    format_: str,
    reports: tuple[tuple[str, str], ...],
    github_summary: bool,
    baseline: str | None,
    write_baseline: str | None,
    strict_baseline: bool,
    effects: tuple[tuple[str, Effect], ...],
    variants: tuple[tuple[str, str], ...],
    strict: bool,
    quiet: bool,
    colour: ColourChoice,
) -> int:
    """Say what is wrong with requests, and what the provider would answer, before they are sent.

    A FILE holds JSON or YAML bodies, whole requests with method, url, headers and body, an HTTP archive (.har), a
    Postman collection, requests as editors send them (.http), curl commands, calls in Python, JavaScript or
    TypeScript, or all of these in the code of a Markdown page; - is standard input, a directory is walked. Nothing
    is sent, run or fetched: what cannot be seen, such as the picture behind a URL, is said to be not checked.

    The provider is told by the URL: its real host, or the base URL of a mock server. A body alone needs
    --provider, and --operation where more than one operation could take it.
    """
    from validator.addresses import Library
    from validator.findings import without_ignored
    from validator.lint import Judgement, Tally, judgement_text

    contracts = open_contracts(provider, spec, (effects, variants))
    forced = provider or (next(iter(contracts)) if spec is not None else None)
    if operation is not None:
        if forced is None:
            raise click.UsageError("--operation needs --provider or --spec, whose operation it is")
        taking = [one.id for one in contracts[forced].operations.values() if one.body is not None]
        try:
            chosen(operation, taking, f"no operation of {forced} with a body")
        except click.BadParameter as error:
            error.param_hint = "'--operation'"
            raise
    if strict_baseline and baseline is None:
        raise click.UsageError("--strict-baseline needs --baseline, whose entries it counts")
    summary_file = _summary_file() if github_summary else None
    known = _open_baseline(baseline) if baseline is not None and write_baseline is None else None
    library = Library(contracts=contracts, provider=forced, operation=operation)
    tally, kept = Tally(), list[Judgement]()
    is_painted = is_coloured(colour, sys.stdout)
    # What is written as a whole waits for the end; text is told as it comes.
    is_kept = format_ != "text" or bool(reports) or github_summary
    found: Iterator[Judgement] = (
        without_ignored(one, ignores) for one, ignores in _judgements(files, library, form, discover)
    )
    if write_baseline is not None:
        found, known = _written_baseline(write_baseline, list(found))
    try:
        for one in _progress(found):
            judged = known.without_known(one) if known is not None else one
            tally.add(judged)
            if judged.is_foreign or judged.is_passed:
                continue
            if is_kept:
                kept.append(judged)
            is_clean = judged.verdict == "accepted" and not (
                judged.report is not None and judged.report.warnings
            )
            is_unread = judged.report is None and bool(judged.unread)
            if format_ == "text" and not (quiet and (is_clean or is_unread)):
                say(judgement_text(judged, colour=is_painted) + ("" if quiet else "\n"), colour=is_painted)
    except KeyboardInterrupt:
        raise Unusable("interrupted: not everything was looked at") from None
    stale = known.stale() if known is not None else []
    code = tally.exit_code(is_strict=strict, may_be_none=discover)
    if stale and strict_baseline and code == CLEAN:
        code = FOUND
    remarks = [f"the baseline has entries that are no longer found: {len(stale)}"] if stale else []
    if is_kept:
        texts = _Texts(kept, tally, code, strict, remarks, stale)
        for name, file in reports:
            _write(file, texts.get(name) + "\n")
        if summary_file is not None:
            _write(summary_file, texts.get("markdown") + "\n", is_added=True)
        if format_ != "text":
            say(texts.get(format_))
    if format_ == "text":
        for line in stale:
            say(f"baseline: {line}")
        if not quiet or not (tally.requests or discover):
            say(painter(colour=is_painted)(tally.text(), BOLD), colour=is_painted)
    return code


class _Texts:
    """The result of a run in every format, each made when it is asked for."""

    def __init__(
        self,
        kept: Sequence[Any],
        tally: Any,
        code: int,
        strict: bool,
        remarks: Sequence[str],
        stale: Sequence[str],
    ) -> None:
        self.kept, self.tally, self.code, self.strict = kept, tally, code, strict
        self.remarks, self.stale = remarks, stale

    def get(self, name: str) -> str:
        """Return the result in a format, without a line feed at its end."""
        from validator.formats import RENDERERS, Run
        from validator.lint import judgement_json, judgement_text, unread_json

        if name == "text":
            return "\n\n".join([*(judgement_text(one) for one in self.kept), *self.stale, self.tally.text()])
        if name == "json":
            shown: dict[str, Json] = {
                "version": 1,
                "requests": [judgement_json(one) for one in self.kept if one.is_counted],
                "unread": [unread_json(one) for one in self.kept if not one.is_counted],
            }
            if self.stale:
                shown["stale"] = list(self.stale)
            return json_text(clean(shown | {"summary": self.tally.to_json(), "exit": self.code}))
        run = Run(
            judgements=self.kept,
            tally=self.tally,
            exit_code=self.code,
            is_strict=self.strict,
            remarks=self.remarks,
            version=_version(),
        )
        return RENDERERS[name](run)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("understudy")
    except PackageNotFoundError:
        return ""


def _summary_file() -> str:
    file = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if not file:
        raise Unusable(
            "GITHUB_STEP_SUMMARY is not set, so there is no summary to add to",
            "outside of GitHub Actions use --report markdown=FILE",
        )
    return file


def _write(file: str, text: str, *, is_added: bool = False) -> None:
    """Write a report to a file; raises Unusable where that cannot be done."""
    try:
        if file == "-":
            say(text.removesuffix("\n"))
            return
        with Path(file).open(
            "a" if is_added else "w", encoding="utf-8", newline="\n", errors="backslashreplace"
        ) as out:
            out.write(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unusable(f"{click.format_filename(file)} cannot be written: {reason}") from None


def _open_baseline(file: str) -> Any:
    """Return a baseline; raises Unusable for a file that is none."""
    from validator.findings import BaselineError, read_baseline

    shown = click.format_filename(file)
    try:
        return read_baseline(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        if isinstance(error, BaselineError):
            raise Unusable(
                f"the baseline {shown} cannot be used: {error}", "--write-baseline makes a new one"
            ) from None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unusable(
            f"the baseline {shown} cannot be read: {reason}", "--write-baseline makes it"
        ) from None


def _written_baseline(file: str, judgements: Sequence[Any]) -> tuple[Iterator[Any], Any]:
    """Write the findings to a baseline; return the judgements once more and the baseline."""
    from validator.findings import baseline_text, findings_of, read_baseline

    text = baseline_text(findings_of(one for one in judgements if not one.is_foreign))
    _write(file, text)
    return iter(judgements), read_baseline(text.encode())


def _judgements(files: Sequence[str], library: Any, form: str, discover: bool) -> Iterator[tuple[Any, Any]]:
    """Yield the judgement of every request in the files, in their order, and what comments pass over in its file."""
    from validator.discovery import find_files
    from validator.findings import read_ignores
    from validator.found import Found
    from validator.lint import Judgement, judge
    from validator.readers import commented_text, read_requests

    for file in find_files(files, is_offered=discover):
        name = file.name
        shown = "standard input" if name == "-" else click.format_filename(name) or "''"
        if file.fault:
            found = Found(label=shown, file=shown, fault=file.fault, is_offered=file.is_offered)
            if file.is_offered:
                yield Judgement(found=found, unread=file.fault), {}
            else:
                yield Judgement(found=found, problem=file.fault), {}
            continue
        try:
            with click.open_file(name, "rb") as opened:
                content = opened.read()
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            yield Judgement(found=Found(label=shown, file=shown), problem=problem), {}
            continue
        wanted: Any = None if form == "auto" else form
        ignores = read_ignores(commented_text(content, name=shown, form=wanted))
        for found in read_requests(content, name=shown, form=wanted, is_offered=file.is_offered):
            yield judge(found, library, name="" if name == "-" else name), ignores


def _progress(items: Iterable[Any]) -> Iterator[Any]:
    """Yield the items, and tell a terminal behind standard error how many there were."""
    is_shown = is_terminal(sys.stderr) and not is_terminal(sys.stdout)
    count = 0
    for count, item in enumerate(items, start=1):
        if is_shown and count >= _PROGRESS_FROM and count % 10 == 0:
            click.echo(f"\r{plural(count, 'request')} checked ", nl=False, err=True)
        yield item
    if is_shown and count >= _PROGRESS_FROM:
        click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


# --- rules ------------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    short_help="List the rules of a provider, or of all.",
    examples=(
        ("{provider}", "the rules of one provider"),
        ("--evidence assumed", "what rests on a guess, of all providers"),
        ("{provider} --only off", "stricter readings that a setting can ask for"),
        ("{provider} --format json", "for machines"),
    ),
)
@click.argument("provider", type=ProviderType(), required=False)
@spec_option()
@format_option("text", "json")
@setting_options
@click.option(
    "--evidence", type=click.Choice(get_args(Evidence)), help="Only the rules that are as sure as this."
)
@click.option("--only", type=click.Choice(get_args(Effect)), help="Only the rules with this effect.")
@colour_option()
def rules(
    provider: str | None,
    spec: str | None,
    format_: str,
    effects: tuple[tuple[str, Effect], ...],
    variants: tuple[tuple[str, str], ...],
    evidence: str | None,
    only: str | None,
    colour: ColourChoice,
) -> int:
    """List the rules: id, effect, how sure it is, and what it says.

    First the rules of the spec, in its order; then the findings that need no rule, about what is around a request:
    its route, credential and form. `understudy explain RULE` says more about each.
    """
    from validator.explain import EFFECT_COLOURS, rule_rows

    contracts = open_contracts(provider, spec, (effects, variants))
    rows = [
        row
        for contract in contracts.values()
        for row in rule_rows(contract)
        if (evidence is None or row.evidence == evidence) and (only is None or row.effect == only)
    ]
    if format_ == "json":
        shown = [
            {
                "rule": row.id,
                "effect": row.effect,
                "evidence": row.evidence,
                "message": row.message,
                "source": row.source,
                "isOfSpec": row.is_of_spec,
            }
            for row in rows
        ]
        say(json_text({"version": 1, "rules": shown}))
        return CLEAN
    is_painted = is_coloured(colour, sys.stdout)
    paint = painter(colour=is_painted)
    width = terminal_width(sys.stdout)
    lines: list[str] = []
    for row, line in _rows_with_lines(rows, width):
        code = EFFECT_COLOURS[row.effect] if row is not None and row.effect != "reject" else ""
        lines.append(paint(line, code) if code else line)
    say("\n".join(lines) if lines else "no rule is like that", colour=is_painted)
    return CLEAN


def _rows_with_lines(rows: Sequence[Any], width: int | None) -> Iterator[tuple[Any, str]]:
    """Yield (row, line) of the table of rules; every line of a row comes with it."""
    cells = [(row.id, row.effect, row.evidence, row.message) for row in rows]
    plain = painter(colour=False)
    lines = list(table(cells, width=width, paint=plain))
    at = -1
    for line in lines:
        at += not line.startswith(" ")
        yield rows[at], line


# --- explain ----------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    short_help="Explain one rule: what, why, how sure, with examples.",
    examples=(
        ("{rule}", "one rule"),
        ("{provider}.request.unauthorized-missing", "a finding that needs no rule"),
        ("{rule} --format json", "for machines"),
    ),
)
@click.argument("rule", shell_complete=complete_rule)
@spec_option()
@click.option(
    "--variant",
    "variants",
    type=VariantType(),
    multiple=True,
    metavar="PROVIDER.NAME",
    help="Apply another reading of a provider; may be repeated.",
)
@format_option("text", "json")
@colour_option()
def explain(
    rule: str, spec: str | None, variants: tuple[tuple[str, str], ...], format_: str, colour: ColourChoice
) -> int:
    """Explain a rule: what it says, where that is written and how sure it is, and what the provider answers.

    With the nearest request that meets the rule and one that breaks it. RULE is an id as findings show it; its
    end is enough where only one rule ends so.
    """
    from validator.explain import explain as explained
    from validator.explain import explanation_json, explanation_text, find_rules, rule_rows

    first = rule.partition(".")[0]
    named = first if spec is None and first in provider_names() else None
    contracts = open_contracts(named, spec, ((), variants))
    owners = {row.id: contract for contract in contracts.values() for row in rule_rows(contract)}
    found = find_rules(rule, list(owners))
    if len(found) != 1 or (found[0] != rule and not found[0].endswith("." + rule)):
        shown = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
        if not found:
            raise Unusable(f"no rule is called '{rule}'", "understudy rules lists all of them")
        is_end = all(one.endswith(f".{rule}") for one in found)
        word = "several rules end with" if is_end else "no rule is called"
        raise Unusable(f"{word} '{rule}'", f"did you mean {shown}?")
    made = explained(owners[found[0]], found[0])
    if format_ == "json":
        say(json_text(explanation_json(made)))
    else:
        is_painted = is_coloured(colour, sys.stdout)
        say(explanation_text(made, colour=is_painted), colour=is_painted)
    return CLEAN


# --- evidence ---------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    short_help="Show what is known for sure about a provider, and what is a guess.",
    examples=(
        ("{provider}", "the whole table"),
        ("{provider} --evidence assumed", "what is a guess"),
        ("{provider} --format json", "for machines"),
    ),
)
@click.argument("provider", type=ProviderType(), required=False)
@spec_option()
@click.option("--evidence", type=click.Choice(get_args(Evidence)), help="Only statements as sure as this.")
@format_option("text", "json")
@setting_options
@colour_option()
def evidence(
    provider: str | None,
    spec: str | None,
    evidence: str | None,
    format_: str,
    effects: tuple[tuple[str, Effect], ...],
    variants: tuple[tuple[str, str], ...],
    colour: ColourChoice,
) -> int:
    """Show every statement of a provider's spec with its source, and how sure it is.

    documented: on a page of the provider. captured: in a published real answer. reported: in third-party code or
    notes. assumed: our own choice, as nothing is known.
    """
    if provider is None and spec is None:
        raise click.UsageError(f"name a provider ({', '.join(provider_names())}) or give --spec")
    (contract,) = open_contracts(provider, spec, (effects, variants)).values()
    statements = [one for one in contract.statements if evidence is None or one.evidence == evidence]
    order: tuple[Evidence, ...] = get_args(Evidence)
    counts = Counter(one.evidence for one in statements)
    if format_ == "json":
        say(json_text(_evidence_json(contract, statements, counts, order)))
        return CLEAN
    is_painted = is_coloured(colour, sys.stdout)
    paint = painter(colour=is_painted)
    width = terminal_width(sys.stdout)
    say(paint(f"{contract.title}: {_counted(counts, order)}", BOLD), colour=is_painted)
    for kind in dict.fromkeys(one.kind for one in statements):
        group = [one for one in statements if one.kind == kind]
        say("", colour=is_painted)
        heading = f"{kind}: {_counted(Counter(one.evidence for one in group), order)}"
        say(paint(heading, BOLD), colour=is_painted)
        cells = [
            (one.evidence, one.source, " ".join(f"{one.name}: {one.text}".split()).rstrip(": "))
            for one in group
        ]
        for line in table(cells, width=width, paint=paint, codes=("", DIM)):
            say("  " + line, colour=is_painted)
    return CLEAN


def _counted(counts: Mapping[Evidence, int], order: Sequence[Evidence]) -> str:
    parts = [f"{counts[name]:,} {name}" for name in order if counts.get(name)]
    return f"{sum(counts.values()):,} ({', '.join(parts)})" if parts else "nothing"


def _evidence_json(
    contract: Contract, statements: Sequence[Any], counts: Mapping[Evidence, int], order: Sequence[Evidence]
) -> dict[str, Json]:
    return {
        "version": 1,
        "provider": contract.id,
        "counts": {name: counts.get(name, 0) for name in order},
        "statements": [
            {
                "kind": one.kind,
                "name": one.name,
                "text": one.text,
                "evidence": one.evidence,
                "source": one.source,
                "pointer": one.pointer,
            }
            for one in statements
        ],
        "sources": {
            key: {
                name: value
                for name, value in (
                    ("title", source.title),
                    ("url", source.url),
                    ("snapshot", source.snapshot),
                    ("retrieved", source.retrieved),
                )
                if value
            }
            for key, source in contract.sources.items()
        },
    }


# --- spec -------------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    short_help="Print a provider's spec, plain for other tools; or check one.",
    examples=(
        ("{provider}", "the spec as it is kept"),
        ("{provider} --plain --format json > openapi.json", "for any other tool"),
        ("{provider} --plain --effect {rule}=off", "with one rule left out"),
        ("--check mine.yaml", "what is wrong with a spec of your own"),
    ),
)
@click.argument("provider", type=ProviderType(), required=False)
@spec_option()
@click.option(
    "--plain", is_flag=True, help="Without our words: OpenAPI 3.1 that any tool reads and enforces."
)
@click.option(
    "--check",
    "checked",
    metavar="FILE",
    type=click.Path(allow_dash=False),
    help="Check a spec of your own and print all that is wrong with it.",
)
@format_option("yaml", "json", help="How to print the spec.")
@setting_options
def spec(
    provider: str | None,
    spec: str | None,
    plain: bool,
    checked: str | None,
    format_: str,
    effects: tuple[tuple[str, Effect], ...],
    variants: tuple[tuple[str, str], ...],
) -> int:
    """Print a provider's spec: OpenAPI 3.1 with our words, or with --plain what any other tool understands.

    With --check FILE the spec in the file is checked instead: against OpenAPI 3.1 and the vocabulary, by two
    independent engines, and then by compiling it. Exit code 0: it can be used; 1: something is wrong with it; 2: it
    cannot be read.
    """
    if checked is not None:
        if provider is not None or spec is not None or plain:
            raise click.UsageError("--check FILE stands alone; it prints what is wrong, not a spec")
        return _check_spec(checked, variants=[name for _, name in variants], effects=dict(effects))
    if provider is None and spec is None:
        raise click.UsageError(f"name a provider ({', '.join(provider_names())}), or give --spec or --check")
    (contract,) = open_contracts(provider, spec, (effects, variants)).values()
    if plain:
        from validator.contract.plain import plain as plain_form

        document: Json = plain_form(contract)
    else:
        document = _with_effects(contract, dict(effects))
    say(json_text(document) if format_ == "json" else dump_yaml(document).rstrip())
    return CLEAN


def _with_effects(contract: Contract, effects: Mapping[str, Effect]) -> Json:
    """Return the document with the effects written into it."""
    import copy

    from validator.contract.expressions import parse_pointer, resolve_pointer

    if not effects:
        return contract.document.root
    root = copy.deepcopy(contract.document.root)
    for rule, effect in effects.items():
        if rule not in contract.rules:
            click.echo(f"'{rule}' is no rule of the spec: its effect shows with --plain only", err=True)
            continue
        resolve_pointer(root, parse_pointer(contract.rules[rule].pointer))["effect"] = effect
    return root


def _check_spec(name: str, *, variants: Sequence[str], effects: Mapping[str, Effect]) -> int:
    """Print what is wrong with a spec file; return the exit code."""
    from validator.contract.compile import compile_document
    from validator.contract.document import Document, document_errors, parse_yaml, read_document
    from validator.contract.reference import reference_errors

    try:
        with click.open_file(name, "rb") as file:
            root = parse_yaml(file.read(), file=name)
    except OSError as error:
        raise Unusable(f"{click.format_filename(name)} cannot be read: {error.strerror or error}") from None
    except SpecError as error:
        raise Unusable(str(error)) from None
    if not isinstance(root, dict) or not root:
        raise Unusable(f"{click.format_filename(name)} holds no mapping")
    document = Document(file=name, root=root)
    faults = list(document_errors(document))
    if not faults:
        faults = [
            (place, sentence, "only the reference implementation of JSON Schema says so")
            for place, sentence in reference_errors(document)
        ]
    try:
        contract = None
        if not faults:
            contract = compile_document(read_document(name, variants=variants), effects=effects)
    except SpecError as error:
        faults.append((error.pointer, error.sentence, error.hint))
    for place, sentence, hint in faults:
        say(f"{click.format_filename(name)}#{place}: {sentence}" + (f" ({hint})" if hint else ""))
    if contract is None:
        click.echo(f"{plural(len(faults), 'fault')}", err=True)
        return FOUND
    told = [plural(len(contract.operations), "operation"), plural(len(contract.rules), "rule")]
    told += [plural(len(contract.cases), "error case"), plural(len(contract.variants), "variant")]
    say(f"{click.format_filename(name)}: {contract.id} can be used: {', '.join(told)}")
    return CLEAN


COMMANDS: Final[Mapping[str, click.Command]] = {
    "lint": lint,
    "rules": rules,
    "explain": explain,
    "evidence": evidence,
    "spec": spec,
}
"""The commands by name, for the group of the program."""
