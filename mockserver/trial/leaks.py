"""The law on secrets: they stand in one header, and nowhere else."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote, quote_plus, unquote_to_bytes

from mockserver.journal import Cut
from mockserver.trial.conduct import Conduct
from mockserver.trial.verdicts import Breach, Look
from mockserver.trial.words import count_text, when

SHORTEST: Final = 6
"""Characters of a secret that is looked for; a shorter one is found everywhere."""

_LONGEST_OUTPUT: Final = 4_000_000
MOST_ESCAPES: Final = 3
"""How often a text may be in percent-encoding: an address within an address within an address."""

_MOST: Final = 50
"""Credentials that are looked for in every form; of a client that makes a new token for every request there are more,
which are looked for as they are."""

_RUN: Final = re.compile(rb"[A-Za-z0-9._~+/-]{%d,}" % SHORTEST)
"""What can be a token, or the part of an address or a text that has one."""


def keeps_secrets(conduct: Conduct) -> Look:
    """Look for secrets, and tokens made from them, in addresses, bodies and output."""
    secrets = _secrets(conduct)
    if not secrets:
        return Look(reached=0)
    search = _search(secrets)
    breaches, seen_cut = [], 0
    places: dict[str, list[tuple[str, int, str]]] = {}
    for step in conduct.steps:
        exchange = step.exchange
        for place, text in (("path", exchange.path), ("query", exchange.query), ("body", exchange.body)):
            seen_cut += isinstance(text, Cut) and place == "body"
            found = search(text)
            if found is not None:
                places.setdefault(f"{place} {found}", []).append((exchange.id, exchange.at, place))
    for key, hits in places.items():
        _, at, place = hits[0]
        _, _, what = key.partition(" ")
        breaches.append(
            Breach(
                sentence=(
                    f"the {place} of {count_text(len(hits), 'request')} has {what}, first {when(conduct, at)};"
                    " expected: credentials stand in their header only, because addresses and bodies are logged"
                ),
                exchanges=tuple(one for one, _, _ in hits[:3]),
            )
        )
    program = conduct.program
    for name, output in (
        (("stdout", program.stdout), ("stderr", program.stderr)) if program is not None else ()
    ):
        said = search(output[:_LONGEST_OUTPUT].encode("utf-8", "replace"))
        if said is not None:
            breaches.append(
                Breach(
                    sentence=f"{name} has {said}; expected: output says which key is used, and never the key"
                )
            )
    note = ""
    if seen_cut:
        note = (
            f"of {count_text(seen_cut, 'large body').replace('bodys', 'bodies')} only the beginning was kept"
        )
    return Look(reached=1, breaches=breaches, note=note)


def _secrets(conduct: Conduct) -> dict[str, str]:
    """Return what must not be seen, each with what to call it: never itself."""
    out: dict[str, str] = {}
    if conduct.program is not None:
        names = conduct.program.secret_names
        for number, secret in enumerate(conduct.program.secrets, 1):
            unnamed = f"secret {number} of those it was given"
            out.setdefault(secret, names[number - 1] if number <= len(names) else unnamed)
    for step in conduct.steps:
        headers = (
            {one.header.encode() for one in step.operation.credentials} if step.operation is not None else ()
        )
        for name, value in step.exchange.headers:
            if name.lower() in headers:
                token = value.decode("latin-1").strip()
                scheme, _, rest = token.partition(" ")
                out.setdefault(rest.strip() or scheme, "the credential of its requests")
    return {secret: name for secret, name in out.items() if len(secret) >= SHORTEST}


class _Search:
    """Looks for many texts at once, in one pass over what is searched."""

    def __init__(self, secrets: dict[str, str]) -> None:
        most = [*secrets.items()][:_MOST]
        self._forms = {form: name for secret, name in most for form, name in _forms(secret, name)}
        self._more = {secret.rstrip("=").encode(): name for secret, name in [*secrets.items()][_MOST:]}
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in longest_first))

    def __call__(self, text: bytes) -> str | None:
        """Return what was found, None for nothing; and what it is without percent-encoding."""
        for _ in range(MOST_ESCAPES + 1):
            found = self._pattern.search(text)
            if found is not None:
                return self._forms[found[0]]
            more = (self._more.get(run[0]) for run in _RUN.finditer(text)) if self._more else ()
            named = next((name for name in more if name is not None), None)
            if named is not None:
                return named
            if b"%" not in text:
                return None
            text = unquote_to_bytes(text)
        return None


def _search(secrets: dict[str, str]) -> _Search:
    return _Search(secrets)


def _forms(secret: str, name: str) -> Iterator[tuple[bytes, str]]:
    """Yield the ways to write a secret: as it is, escaped, and in Base64 wherever in a text it begins."""
    raw = secret.encode("utf-8", "replace")
    yield raw, name
    in_json = json.dumps(secret)[1:-1]
    # Some write a slash in JSON with a backslash (RFC 8259, 7).
    in_texts = {in_json, json.dumps(secret, ensure_ascii=False)[1:-1], in_json.replace("/", "\\/")}
    for escaped in {quote(secret, safe=""), quote_plus(secret), *in_texts} - {secret}:
        yield escaped.encode("utf-8", "replace"), name
    for digits in (raw.hex(), raw.hex().upper()):
        yield digits.encode(), f"{name}, in hexadecimal"
    for form in _in_base64(raw):
        yield form, f"{name}, in Base64"


def _in_base64(raw: bytes) -> Sequence[bytes]:
    """Return what three bytes out of four of a text's Base64 look like, whatever stands around it there."""
    out = []
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        # The first sign but `shift` and the last ones also hold bits of the neighbours.
        start = (0, 2, 3)[shift]
        rest = (shift + len(raw)) % 3
        end = len(text) - (0, 3, 2)[rest]
        core = text[start:end]
        if len(core) >= SHORTEST:
            out += [core, core.replace(b"+", b"-").replace(b"/", b"_")]
    return tuple(dict.fromkeys(out))
