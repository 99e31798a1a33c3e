"""How much memory a process holds, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

MB = 1_000_000


def held_bytes(pid: int) -> int:
    """Return what a process holds now."""
    return _kilobytes(pid, "VmRSS:")


def peak_bytes(pid: int) -> int:
    """Return the most that a process ever held."""
    return _kilobytes(pid, "VmHWM:")


def _kilobytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name}")
