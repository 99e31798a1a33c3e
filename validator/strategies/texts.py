"""Texts that meet demands on strings: of a length, by patterns, or anything.

A text that cannot be found in a few hundred tries counts as one that does not exist, here and wherever it is asked
whether there is one, so that nobody decides for a text that is not found later.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from validator.strategies.choices import Chooser, Counted, First, Impossible
from validator.strategies.patterns import Node, build, parse

if TYPE_CHECKING:
    from validator.strategies.demands import Demand

_TRIES: Final = 300
"""Texts that are tried where the first does not meet all demands."""

_KEPT: Final = 8
"""Texts that are kept of those found by trying."""

_PLAIN: Final = ("a", "0", "https://example.com/a", "-", " ", "a b", "é", "A")
"""Texts of every kind, for demands about what a text must not be."""


class Texts:
    """Makes texts; `meets` says whether a value meets one word of JSON Schema."""

    def __init__(self, meets: Callable[[str, Any, Any], bool]) -> None:
        """Begin with no pattern read."""
        self._meets = meets
        self._trees: dict[str, Node] = {}
        self._found: dict[tuple[object, ...], tuple[str, ...]] = {}

    def text(self, own: Demand, chooser: Chooser) -> str:
        """Return a text: one of the patterns' making where there are any, of a length at the limits or between.

        Raises Impossible.
        """
        if not own.patterns:
            found = self._free(own, chooser)
            if self.is_text(found, own):
                return found
        found = self._made(own, chooser)
        if self.is_text(found, own):
            return found
        known = self._some(own)
        if not known:
            raise Impossible
        return known[chooser.below(len(known))]

    def exists(self, own: Demand) -> bool:
        """Tell whether there is a text that meets the demands."""
        return bool(self._some(own))

    def is_text(self, text: str, own: Demand) -> bool:
        """Tell whether a text meets the demands on a string."""
        return (
            own.least <= len(text)
            and (own.most is None or len(text) <= own.most)
            and text not in own.excluded
            and all(self._meets("pattern", one, text) for one in own.patterns)
            and not any(self._meets("pattern", one, text) for one in own.no_patterns)
        )

    def _some(self, own: Demand) -> tuple[str, ...]:
        """Return a few texts that meet the demands, the plainest first; () where none is found."""
        excluded = tuple(value for value in own.excluded if isinstance(value, str))
        key = own.patterns, own.no_patterns, own.least, own.most, excluded
        if key not in self._found:
            ways = (First(), *map(Counted, range(1, _TRIES)))
            made = list(dict.fromkeys(self._made(own, way) for way in ways))
            texts = (text for text in (*made, *self._spliced(own)) if self.is_text(text, own))
            self._found[key] = tuple(itertools.islice(texts, _KEPT))
        return self._found[key]

    def _spliced(self, own: Demand) -> Iterator[str]:
        """Yield the beginnings of what one pattern describes with the ends of what another does."""
        for first, second in itertools.permutations(own.patterns, 2):
            for head, tail in itertools.product(*(self._samples(one) for one in (first, second))):
                for end in range(len(head), -1, -1):
                    yield from (head[:end] + tail[start:] for start in range(len(tail)))

    def _samples(self, pattern: str) -> list[str]:
        return [build(self._tree(pattern), way) for way in (First(), Counted(1), Counted(2))]

    def _free(self, own: Demand, chooser: Chooser) -> str:
        found = chooser.text()
        lengths = [max(own.least, 1)] + ([own.most] if own.most is not None else [])
        if chooser.below(4) == 3:
            length = lengths[chooser.below(len(lengths))]
            return (found * (length // len(found) + 1))[:length]
        if len(found) < own.least:
            found = (found * (own.least // len(found) + 1))[: own.least]
        return found if own.most is None else found[: own.most]

    def _made(self, own: Demand, chooser: Chooser) -> str:
        if not own.patterns:
            plain = _PLAIN[chooser.below(len(_PLAIN))]
            length = max(own.least, 1) if own.most is None else min(max(own.least, 1), own.most)
            return (plain * length)[: max(length, len(plain))][: own.most]
        pattern = own.patterns[-1 - chooser.below(len(own.patterns))]
        found = build(self._tree(pattern), chooser)
        if not pattern.startswith("^") and chooser.below(3) == 2:
            found = "a " + found
        if not pattern.endswith("$"):
            for other in own.patterns:
                if not other.startswith("^") and not self._meets("pattern", other, found):
                    found += build(self._tree(other), chooser)
            missing = own.least - len(found)
            tail = "a" if chooser.below(3) == 2 else ""
            found += "a" * missing if missing > 0 else tail
        return found

    def _tree(self, pattern: str) -> Node:
        if pattern not in self._trees:
            self._trees[pattern] = parse(pattern)
        return self._trees[pattern]
