"""The provider's answers, held against the contract: is the status known, is the body what it says, is the state one.

What it cannot look at, it says.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mockserver.renderings import Places, Pointer, places, text_at
from mockserver.wire import HeaderList
from validator.contract.engine import compile_engine
from validator.contract.expressions import Json, format_pointer
from validator.contract.model import BodyTemplate, Contract, Operation
from validator.contract.templates import weakest
from validator.report import Violation, abbreviate

LARGEST: Final = 1024 * 1024
"""Bytes of an answer that is looked at, packed or not; a task has a few thousand."""

MOST_FINDINGS: Final = 5
"""Findings about one body."""

_AREA: Final = "answer"
_CODINGS: Final[Mapping[str, int]] = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Content codings that are unpacked here, with the window bits that tell them apart."""


@dataclass(slots=True)
class Tap:
    """What passed of a body: all of it up to a limit, and how long it was."""

    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    def take(self, chunk: bytes) -> None:
        """Look at a part."""
        if self.size_bytes + len(chunk) <= LARGEST:
            self.parts.append(chunk)
        self.size_bytes += len(chunk)

    @property
    def is_whole(self) -> bool:
        """Tell whether all of it was kept."""
        return self.size_bytes <= LARGEST

    @property
    def body(self) -> bytes:
        """Return what was kept: all of it, or its beginning."""
        return b"".join(self.parts)


def plain_body(headers: HeaderList, body: bytes) -> bytes | None:
    """Return a body unpacked, None where that cannot be done, or makes more than is looked at."""
    codings = ",".join(
        value.decode("latin-1") for name, value in headers if name.lower() == b"content-encoding"
    )
    names = [name for one in codings.split(",") if (name := one.strip().lower()) not in ("", "identity")]
    for name in reversed(names):
        if name not in _CODINGS:
            return None
        unpacker = zlib.decompressobj(_CODINGS[name])
        try:
            body = unpacker.decompress(body, LARGEST)
        except zlib.error:
            return None
        if unpacker.unconsumed_tail or not unpacker.eof:
            return None
    return body


class Judge:
    """Knows what one provider may answer."""

    def __init__(self, contract: Contract) -> None:
        """Prepare for a contract."""
        self._contract = contract
        self._engines: dict[int, Any] = {}
        self._places: dict[tuple[str, str], Mapping[str, Places]] = {}
        self._refusals: dict[int, dict[int, BodyTemplate]] = {}
        for case in contract.cases:
            known = self._refusals.setdefault(case.status, {})
            known.update((id(content), content) for content in case.response.contents)

    def places(self, answering: Operation, maker: Operation) -> Mapping[str, Places]:
        """Return where an operation's answers about the tasks of another say what, by state."""
        key = (answering.id, maker.id)
        if key not in self._places:
            self._places[key] = places(answering, maker)
        return self._places[key]

    def makers(self, answering: Operation) -> Iterator[Operation]:
        """Yield the operations whose tasks an operation answers about."""
        if answering.role == "create":
            yield answering
        elif answering.role == "read":
            for one in self._contract.operations.values():
                if any(link.operation == answering.id for link in one.links):
                    yield one

    def findings(
        self, operation: Operation, status: int, headers: HeaderList, body: bytes
    ) -> tuple[list[Violation], str]:
        """Return (what an answer is not as the contract says, what of it could not be looked at or "").

        `body` is unpacked.
        """
        known = self._contents(operation, status)
        if known is None:
            statuses = sorted({operation.response.status, *self._refusals})
            allowed = ", ".join(str(one) for one in statuses)
            # That there are no others is written nowhere.
            return [
                self._finding("status", f"status {status}", allowed, "the status is not one of its", ())
            ], ""
        media_type = _media_type(headers)
        contents = [one for one in known if one.media_type == media_type]
        if not contents:
            allowed = " or ".join(sorted({one.media_type for one in known}))
            found = media_type or "no content-type"
            return [self._finding("media-type", found, allowed, "the body is of another type", known)], ""
        if "json" not in media_type:
            return [], f"the answer's body is {media_type}"
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return [self._finding("body", "what is no JSON", "JSON", "the body cannot be read", contents)], ""
        state = self._state_finding(operation, value) if status == operation.response.status else None
        if state is not None:
            return [state], ""
        # Refusals of one status may differ in form; any of them will do.
        wrong: list[Violation] = []
        for content in contents:
            wrong = self._schema_findings(content, value)
            if not wrong:
                return [], ""
        return wrong, ""

    def _contents(self, operation: Operation, status: int) -> list[BodyTemplate] | None:
        """Return the bodies that are known for a status, None for an unknown one."""
        if status == operation.response.status:
            return list(operation.response.contents)
        refusals = self._refusals.get(status)
        return None if refusals is None else list(refusals.values())

    def state_at(self, operation: Operation, value: Json) -> tuple[Pointer, str] | None:
        """Return (where, which) the state that an answer names, None for one that names none."""
        for maker in self.makers(operation):
            for where in self.places(operation, maker).values():
                text = text_at(value, where.state)
                if text is not None and where.state is not None:
                    return where.state, text
        return None

    def _state_finding(self, operation: Operation, value: Json) -> Violation | None:
        named = self.state_at(operation, value)
        if named is None:
            return None
        lifecycles = [one.lifecycle for one in self.makers(operation)]
        known = dict.fromkeys(state for one in lifecycles if one is not None for state in one.states)
        if named[1] in known:
            return None
        pointer = format_pointer(list(named[0]))
        return self._finding(
            "state",
            f"{abbreviate(named[1])} at {pointer}",
            ", ".join(known),
            "it names a state that is not known",
            operation.response.contents,
        )

    def _schema_findings(self, content: BodyTemplate, value: Json) -> list[Violation]:
        if content.schema in ({}, True):
            return []
        engine = self._engines.get(id(content))
        if engine is None:
            path = tuple(content.pointer.split("/")[1:])
            engine = self._engines[id(content)] = compile_engine(
                content.schema, self._contract.document, path
            )
        found = []
        for error in engine.iter_errors(value):
            pointer = format_pointer(list(error.instance_path)) or "the whole"
            told = f"{error.message} at {pointer}"
            found.append(self._finding("body", told, "", "the body is not as described", (content,)))
            if len(found) == MOST_FINDINGS:
                break
        return found

    def _finding(
        self, name: str, found: str, allowed: str, sentence: str, contents: Sequence[BodyTemplate]
    ) -> Violation:
        """Return a finding that is as sure as the least sure of the bodies it rests on."""
        seen = [one for content in contents for one in content.evidence.values()]
        return Violation(
            rule=f"{self._contract.id}.{_AREA}.{name}",
            kind="invalid",
            effect="warn",
            evidence=weakest(seen) if seen else "assumed",
            source=contents[0].source if contents else "",
            message=f"the provider's answer: {sentence}",
            found=found,
            allowed=allowed,
        )


def _media_type(headers: HeaderList) -> str:
    value = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    return value.decode("latin-1").partition(";")[0].strip().lower()
