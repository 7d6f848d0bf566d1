"""Timing two pieces of work side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the result.

    Attributes:
        what: what was measured.
        figure: the result, with its unit.
        against: what it was measured against, and how that did.
        target: what the project wants.
    """

    what: str
    figure: str
    against: str
    target: str


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes once."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternately(first: Callable[[], object], second: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Runs two pieces of work in turn, so that a machine that slows down slows both.

    Returns:
        Median seconds of each, and the median of the ratios first / second, pair by pair.
    """
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(times)]
    ratios = [one / other for one, other in pairs]
    return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs), statistics.median(ratios)
