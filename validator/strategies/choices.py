"""Where decisions come from: a chooser says which of several ways is taken, the first being the simplest.

Nothing here knows what is decided, and nothing imports Hypothesis.
"""

from __future__ import annotations

from typing import Final, Protocol

PLAIN_TEXT: Final = "a"
"""The text where any would do."""


class Impossible(Exception):
    """What is asked for cannot be: the demands contradict one another."""


class Unsupported(ValueError):
    """A schema uses a word in a way that cannot be built from; told to whoever asks for a strategy."""


class Chooser(Protocol):
    """Decides; a drawing one shrinks towards 0, False and the plain text."""

    def below(self, count: int) -> int:
        """Return a number from 0 to `count` - 1."""

    def flag(self) -> bool:
        """Return whether to do more than is needed."""

    def text(self) -> str:
        """Return a text of one or more characters, without lone surrogates."""

    def whole(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`."""


class First:
    """Takes the simplest way everywhere."""

    def below(self, count: int) -> int:
        """Return 0."""
        return 0

    def flag(self) -> bool:
        """Return False."""
        return False

    def text(self) -> str:
        """Return the plain text."""
        return PLAIN_TEXT

    def whole(self, low: int, high: int) -> int:
        """Return the number nearest to 0."""
        return min(max(0, low), high)


class Counted(First):
    """Takes the `index`-th way: counting up from 1 tries every combination, the first decision first to change."""

    def __init__(self, index: int) -> None:
        """Begin with all digits of the index left."""
        self._rest = index

    def below(self, count: int) -> int:
        """Return the next digit of the index."""
        self._rest, digit = divmod(self._rest, count)
        return digit

    def flag(self) -> bool:
        """Return the next binary digit of the index."""
        return self.below(2) == 1
