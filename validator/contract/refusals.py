"""How the provider refuses: its error cases and the sentences in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from validator.contract.document import nearest
from validator.contract.expressions import Json, format_pointer
from validator.contract.model import ErrorCase, Operation, Phrase, ResponseTemplate, When
from validator.contract.raw import texts_below
from validator.contract.trees import Path
from validator.contract.workbench import Workbench


def compile_refusals(
    bench: Workbench, operations: Mapping[str, Operation]
) -> tuple[tuple[Phrase, ...], tuple[ErrorCase, ...]]:
    """Compile `x-errors` to (phrases, cases); raises SpecError for a case that is never reached."""
    word = bench.document.root["x-errors"]
    usual = _error_response(bench, word["response"], ("x-errors", "response"))
    usual_has_phrases = _has_phrases(bench, word["response"], ("x-errors", "response"))
    phrases = []
    for index, one in enumerate(word.get("phrases", ())):
        path: Path = ("x-errors", "phrases", index)
        _check_when(bench, one["when"], operations, path)
        bench.statements.add("phrase", _when_text(one["when"]), one["text"], one, path)
        phrases.append(
            Phrase(
                when=When(**one["when"]),
                text=bench.templates.text(one["text"], path, place="message"),
                source=one["source"],
                evidence=one["evidence"],
            )
        )
    cases: list[ErrorCase] = []
    for index, one in enumerate(word["cases"]):
        path = ("x-errors", "cases", index)
        _check_when(bench, one["when"], operations, path)
        for earlier, before in enumerate(word["cases"][:index]):
            if before["when"].items() <= one["when"].items():
                raise bench.document.error(f"can never be reached: case {earlier} matches first", path)
        bench.statements.add("error", _when_text(one["when"]), one["message"], one, path)
        response = usual
        if "response" in one:
            response = _error_response(bench, one["response"], (*path, "response"))
        cases.append(
            ErrorCase(
                when=When(**one["when"]),
                status=one["status"],
                code=one.get("code"),
                message=bench.templates.text(one["message"], path, place="message"),
                has_phrases="$error.phrase" in one["message"]
                or (_has_phrases(bench, one["response"], path) if "response" in one else usual_has_phrases),
                response=response,
                headers=tuple(
                    (name, bench.templates.text(text, path, place="message"))
                    for name, text in one.get("headers", {}).items()
                ),
                source=one["source"],
                evidence=one["evidence"],
                pointer=format_pointer(list(path)),
            )
        )
    if word["cases"][-1]["when"]:
        raise bench.document.error(
            "the last case must match everything", ("x-errors", "cases"), hint="give it when: {}"
        )
    return tuple(phrases), tuple(cases)


def _has_phrases(bench: Workbench, response: Json, path: Path) -> bool:
    """Tell whether an answer holds the sentences of its faults, and is no surer than they are."""
    return any("$error.phrase" in text for text in texts_below(bench.document, response, path, set()))


def _error_response(bench: Workbench, node: Json, at: Path) -> ResponseTemplate:
    response, path = bench.document.resolve(node, at)
    return bench.templates.response(response, path, (None,), place="error")


def _check_when(
    bench: Workbench, when: Mapping[str, str], operations: Mapping[str, Operation], path: Path
) -> None:
    if "operation" in when and when["operation"] not in operations:
        raise bench.document.error(
            f"operation '{when['operation']}' does not exist",
            path,
            hint=nearest(when["operation"], operations),
        )
    if "rule" in when and not any(glob_matches(when["rule"], rule) for rule in bench.book.rules):
        raise bench.document.error(
            f"no rule is called '{when['rule']}'", path, hint=nearest(when["rule"], bench.book.rules)
        )


def _when_text(when: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in when.items()) or "anything else"


def glob_matches(pattern: str, text: str) -> bool:
    """Tell whether the text matches, '*' standing for any run of characters.

    >>> glob_matches("x.image.*", "x.image.size")
    True
    """
    if "*" not in pattern:
        return pattern == text
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None
