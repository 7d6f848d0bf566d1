"""Capabilities that a storage does not claim although every test of them passed; pytest's summary lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

UNCLAIMED = "ckpt_unclaimed"
"""Name of the property that :func:`note` is the value of. Properties of a report reach the controller of xdist."""


def note(storage: str, capability: str, *, held: bool) -> str:
    """Returns what a test of an unclaimed capability adds to its report.

    Args:
        storage: name of the conformance class.
        capability: value of the capability.
        held: whether the capability held in the test.

    Example:
        >>> note("TestMine", "checksums", held=False)
        'TestMine|checksums|broken'
    """
    return f"{storage}|{capability}|{'held' if held else 'broken'}"


def summary_lines(notes: Iterable[str]) -> Iterator[str]:
    """Yields a line for each capability that held in every test of it.

    Args:
        notes: the notes of all tests.

    Example:
        >>> for line in summary_lines([note("TestMine", "commit marker", held=True)] * 3):
        ...     print(line)
        TestMine does not claim 'commit marker', though it held in all 3 tests that ask for it
    """
    tests: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for text in notes:
        storage, capability, outcome = text.split("|")
        tests[storage, capability] += 1
        held[storage, capability] += outcome == "held"
    for (storage, capability), number in tests.items():
        if held[storage, capability] == number:
            yield f"{storage} does not claim {capability!r}, though it held in all {number} tests that ask for it"
