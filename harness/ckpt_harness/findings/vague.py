"""Patterns that are wildcards in substance: any violation could hide behind an entry that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

_ENDINGS = (
    "returned",
    "dead",
    "hung lock, waiting for rank 1, at file.py:1 in wait",
    "raised the injected error",
    "raised ValueError: 1",
    "raised CheckpointException in write, exact ranks: the injected error",
    "raised CheckpointException in read, wrong ranks: ValueError: 1",
)
"""One example of each kind of end that a rank may have, as a signature describes it."""

_WILDCARDS = re.compile(r"\[[^]]*\]|[*?]")
_WORDS = re.compile(r"[^\W\d_]+")

_FRAME = frozenset(
    "rank ranks s loaded on with success after the retry save had failed raised CheckpointException in naming instead of elements first".split()
)
"""Words that an oracle puts around what was wrong: they say where and when something was wrong, and not what."""


def allows_every_end(patterns: Iterable[str]) -> bool:
    """Whether the patterns together match each kind of end that a rank may have.

    Example:
        >>> allows_every_end(["*"]), allows_every_end(["returned", "dead", "hung *", "raised *"]), allows_every_end(["raised *"])
        (True, True, False)
    """
    patterns = tuple(patterns)
    return all(any(fnmatchcase(ending, pattern) for pattern in patterns) for ending in _ENDINGS)


def says_nothing(reason: str) -> bool:
    """Whether a pattern of what was wrong holds no word about what was wrong.

    Example:
        >>> says_nothing("rank * *"), says_nothing("loaded on * rank(s): rank * raised CheckpointException in '*' naming {*")
        (True, True)
        >>> says_nothing("rank *: * (never filled) instead of *")
        False
    """
    return _FRAME.issuperset(_WORDS.findall(_WILDCARDS.sub(" ", reason)))
