"""Where the numbers come from that a job is drawn from: hypothesis, or a random generator that is steered to what was tried least."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Source(Protocol):
    """Draws numbers. The same numbers make the same job."""

    def number(self, most: int) -> int:
        """Draws a number from 0, the simplest, to ``most``."""

    def steered(self, keys: Sequence[Hashable]) -> int:
        """Draws an index of ``keys``; keys say what would be tried."""

    def part(self, make: Callable[[Source], T]) -> T:
        """Draws what belongs together: shrinking can leave it out as a whole.

        Args:
            make: draws it, from the source that it is given.
        """


def pick(source: Source, items: Sequence[T]) -> T:
    """Draws an item; the first is the simplest.

    Args:
        source: draws the number.
        items: at least one.
    """
    return items[source.number(len(items) - 1)]


def seldom(source: Source, items: Sequence[T]) -> T:
    """Draws the first item three times out of four, and otherwise any item."""
    return items[source.number(len(items) - 1)] if source.number(3) == 3 else items[0]


class RandomSource:
    """Draws from a seeded generator, and prefers what was tried less often.

    Args:
        seed: equal seeds, and equal counts, give equal numbers.
        tried: key -> how often it was tried.

    Example:
        >>> source = RandomSource("7", Counter({"save": 1000}))
        >>> {["save", "load"][source.steered(["save", "load"])] for _ in range(20)}
        {'load'}
    """

    def __init__(self, seed: str, tried: Counter[Hashable]) -> None:
        self._random = random.Random(seed)  # a text is hashed in the same way in every process
        self._tried = tried

    def number(self, most: int) -> int:
        return self._random.randint(0, most)

    def steered(self, keys: Sequence[Hashable]) -> int:
        weights = [1 / (1 + self._tried[key]) ** 2 for key in keys]
        return self._random.choices(range(len(keys)), weights)[0]

    def part(self, make: Callable[[Source], T]) -> T:
        return make(self)
