"""Capabilities that a storage does not claim and that held all the same, as the summary tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

UNCLAIMED = "ckpt_unclaimed"
"""Property of a test that asked for a capability which is not claimed; its value is what :func:`asked` gives. Properties reach the controller of xdist."""


def asked(storage: str, capability: str, *, held: bool) -> str:
    """What a test says that asked for a capability.

    Args:
        storage: name of the class.
        capability: which.
        held: whether it held, though it is not claimed.
    """
    return f"{storage}|{capability}|{'held' if held else 'broken'}"


def told(properties: Iterable[str]) -> Iterator[str]:
    """A line for each capability that held in every test which asked for it.

    Args:
        properties: what the tests said.
    """
    tests: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for text in properties:
        storage, capability, how = text.split("|")
        tests[storage, capability] += 1
        held[storage, capability] += how == "held"
    for (storage, capability), number in tests.items():
        if held[storage, capability] == number:
            yield f"{storage} does not claim {capability!r}, though it held in all {number} tests that ask for it"
