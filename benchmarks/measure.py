"""Timing of two pieces of work side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the result table.

    Attributes:
        what: what was measured.
        figure: the result, with its unit.
        against: what the result is compared with, and its result.
        target: the project's target.
    """

    what: str
    figure: str
    against: str
    target: str


def seconds(work: Callable[[], object]) -> float:
    """The seconds of real time that one call of ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternately(first: Callable[[], object], second: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Times two pieces of work in turn, so that a machine that slows down slows both. Each runs once before, untimed.

    Args:
        first: the work with the harness.
        second: the work without it.
        times: number of pairs.

    Returns:
        Median seconds of the first, median seconds of the second, and the median of the ratios first / second, pair by pair.
    """
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(times)]
    of_first, of_second = zip(*pairs, strict=True)
    ratios = [with_harness / without for with_harness, without in pairs]
    return statistics.median(of_first), statistics.median(of_second), statistics.median(ratios)
