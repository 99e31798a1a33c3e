"""One readable line for each request, written in batches so that it costs little, and nothing when off."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final, TextIO

import orjson

from mockserver.clock import wall_ms
from mockserver.journal import shown_url
from validator.contract.expressions import iso

_EVERY_S: Final = 0.02
_COLOURS: Final = {2: "32", 3: "36", 4: "33", 5: "31"}


class RequestLog:
    """Writes what was answered; `form` is text, json or off."""

    def __init__(self, form: str, stream: TextIO | None = None, *, is_coloured: bool = False) -> None:
        """Write to a stream, standard error by default."""
        self.is_on = form != "off"
        self._is_json = form == "json"
        self._stream = stream if stream is not None else sys.stderr
        self._is_coloured = is_coloured
        self._lines: list[str] = []

    def line(
        self,
        *,
        method: str,
        target: str,
        status: int,
        took_us: int,
        tenant: str = "",
        operation: str = "",
        task: str = "",
        rules: tuple[str, ...] = (),
        note: str = "",
    ) -> None:
        """Add a line; it is written within a fiftieth of a second."""
        if not self.is_on:
            return
        at, target = iso(wall_ms()), shown_url(target)
        known: dict[str, Any] = {"at": at, "tenant": tenant, "method": method, "target": target}
        known |= {"status": status, "took_us": took_us, "operation": operation, "task": task}
        known |= {"rules": rules, "note": note}
        if self._is_json:
            text = orjson.dumps(
                {name: value for name, value in known.items() if value not in ("", ())}
            ).decode()
        else:
            text = self._text(known)
        if not self._lines:
            try:
                asyncio.get_running_loop().call_later(_EVERY_S, self.flush)
            except RuntimeError:
                self._lines.append(text)
                self.flush()
                return
        self._lines.append(text)

    def _text(self, known: dict[str, Any]) -> str:
        status = str(known["status"])
        if self._is_coloured:
            status = f"\x1b[{_COLOURS.get(known['status'] // 100, '0')}m{status}\x1b[0m"
        parts = [known["at"][11:23], status, f"{known['method']:<4}", _printable(known["target"])]
        if known["task"]:
            parts.append(f"task {known['task']}")
        if known["rules"]:
            parts.append("broke " + ", ".join(known["rules"]))
        if known["note"]:
            parts.append(known["note"])
        if known["tenant"] not in ("", "default"):
            parts.append(f"tenant {known['tenant']}")
        parts.append(f"{known['took_us'] / 1000:.1f} ms")
        return "  ".join(parts)

    def flush(self) -> None:
        """Write what is waiting."""
        lines, self._lines = self._lines, []
        if lines:
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # A terminal that went away must not take the server with it.
                self.is_on = False


def _printable(text: str) -> str:
    """Return a target without what could steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:300])
