"""Files to look into: those that were named, and those below directories that may hold requests.

Knows names, not what is in the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from validator.readers import ENDINGS

MOST_BYTES: Final = 20_000_000
"""Bytes of a file that is read although nobody named it."""

_SKIPPED: Final = frozenset(
    (
        *("node_modules", "bower_components", "site-packages", "__pycache__", "vendor", "venv", "env"),
        *("build", "dist", "target", "coverage", "htmlcov", "_build"),
    )
)
"""Directories that hold what others wrote, or programs made; those that begin with a dot are passed over too."""

_SHOWN: Final = frozenset((".github",))


@dataclass(frozen=True, slots=True)
class File:
    """A file to read; `is_offered`: nobody named it.  `fault` says why it is not read."""

    name: str
    is_offered: bool = False
    fault: str = ""


def find_files(named: Sequence[str], *, is_offered: bool = False) -> Iterator[File]:
    """Yield the files that arguments name, each once: files, directories, and patterns with * and **.

    Directories are walked in the order of names; symbolic links to directories are not followed, so that none
    leads in circles.  What a .gitignore names is left out.  `is_offered`: named files count like found ones.
    """
    seen: set[str] = set()
    for name in named:
        for file in _meant(name, is_offered=is_offered):
            key = os.path.normpath(file.name) if file.name != "-" else file.name
            if key not in seen:
                seen.add(key)
                yield file


def _meant(name: str, *, is_offered: bool) -> Iterator[File]:
    if name in ("", "-") or "\0" in name:
        yield File(name)
        return
    path = Path(name)
    try:
        is_directory, is_there = path.is_dir(), path.exists()
    except OSError:
        is_directory, is_there = False, True
    if is_directory:
        is_empty = True
        for file in _below(name):
            is_empty = False
            yield file
        if is_empty and not is_offered:
            yield File(name, fault="no file is in it that could hold requests")
    elif is_there or not any(sign in name for sign in "*?["):
        # One that is not there is nobody's offer.
        yield _file(name) if is_offered and is_there else File(name)
    else:
        found = sorted(_matching(name))
        for one in found:
            yield _file(one) if is_offered else File(one)
        if not found:
            yield File(name, fault="no file is called like that")


def _matching(pattern: str) -> Iterator[str]:
    """Yield the files that a pattern means; a shell that knows no ** leaves it to us."""
    anchor = Path(pattern).anchor
    steps = Path(pattern).relative_to(anchor) if anchor else Path(pattern)
    try:
        for one in Path(anchor or ".").glob(str(steps)):
            if one.is_file() and not any(part in _SKIPPED for part in one.parts):
                yield str(one)
    except (ValueError, NotImplementedError, OSError):
        return


def _below(directory: str) -> Iterator[File]:
    """Yield the files of a directory that may hold requests."""
    rules = {str(Path(directory)): _rules_above(directory)}
    for walked, directories, files in os.walk(directory):
        holder = str(Path(walked))
        known = rules.pop(holder, [])
        own = _rules(holder)
        known = [*known, (holder, own)] if own is not None else known
        kept = []
        for name in sorted(directories):
            path = _joined(holder, name)
            is_hidden = name.startswith(".") and name not in _SHOWN
            if name in _SKIPPED or is_hidden or Path(path).is_symlink() or _is_ignored(path + "/", known):
                continue
            kept.append(name)
            rules[path] = known
        directories[:] = kept
        for name in sorted(files):
            path = _joined(holder, name)
            if name.lower().endswith(ENDINGS) and not _is_ignored(path, known):
                yield _file(os.path.normpath(path))


def _joined(directory: str, name: str) -> str:
    """Return the path of an entry, as it was named."""
    return str(Path(directory) / name)


def _file(name: str) -> File:
    """Return a file that nobody named, with the reason where it is not read."""
    try:
        status = Path(name).stat()
    except OSError as error:
        return File(name, is_offered=True, fault=f"it cannot be read: {error.strerror or error}")
    if not Path(name).is_file():
        return File(name, is_offered=True, fault="it is no plain file")
    if status.st_size > MOST_BYTES:
        megabytes = MOST_BYTES // 1_000_000
        return File(name, is_offered=True, fault=f"it is larger than {megabytes} MB; name it to have it read")
    return File(name, is_offered=True)


# --- .gitignore -------------------------------------------------------------------------------------------

_Rules = list[tuple[str, Any]]
"""Pairs (directory, patterns of its .gitignore), the outermost first."""


def _rules(directory: str) -> Any:
    """Return the patterns of a directory's .gitignore, None for none."""
    try:
        lines = (Path(directory) / ".gitignore").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return None


def _rules_above(directory: str) -> _Rules:
    """Return the patterns of the directories above, up to the one that holds the repository."""
    out: _Rules = []
    try:
        at = Path(directory).resolve()
    except OSError:
        return out
    if (at / ".git").exists():
        return out
    for above in at.parents:
        own = _rules(str(above))
        if own is not None:
            out.insert(0, (str(above), own))
        if (above / ".git").exists():
            return out
    # Not in a repository: what lies above has nothing to say.
    return []


def _is_ignored(path: str, rules: _Rules) -> bool:
    """Tell whether a path is ignored: the innermost file that has something to say about it decides."""
    for directory, spec in reversed(rules):
        base = Path(directory)
        whole = Path(path).resolve().parent / Path(path).name if base.is_absolute() else Path(path)
        try:
            relative = whole.relative_to(base).as_posix() + ("/" if path.endswith("/") else "")
        except ValueError:
            continue
        verdict = spec.check_file(relative).include
        if verdict is not None:
            return bool(verdict)
    return False
