"""A common time for ranks on several hosts, whose monotonic clocks are unrelated: the time of rank 0.

Events of different ranks are ordered by their times. So the offset between clocks must be known more precisely than the time that a message takes from
host to host; then no event seems to precede its cause. Of several questions with answers, the fastest gives the best estimate: its error is at most
half of its duration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

SAMPLES = 5
"""Questions to each host before each case, since clocks drift."""


class Sample(NamedTuple):
    """A question for the time and its answer; all times in seconds.

    Attributes:
        asked: when the question was sent, on the own clock.
        answered: when the answer arrived, on the own clock.
        said: the time of the other clock.
    """

    asked: float
    answered: float
    said: float


def offset(samples: Iterable[Sample]) -> float:
    """Returns by how many seconds the other clock is ahead of the own clock.

    Example:
        >>> offset([Sample(asked=1.0, answered=1.2, said=6.1), Sample(asked=2.0, answered=4.0, said=9.0)])
        5.0
    """
    best = min(samples, key=lambda sample: sample.answered - sample.asked)
    return best.said - (best.asked + best.answered) / 2


def machine() -> str:
    """Returns an identifier of the monotonic clock: it is equal in two processes exactly if they share their clock."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        return f"{boot} {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115  (the link's text, not a path)
    except OSError:  # a kernel without time namespaces
        return boot


def ask(question: Callable[[], float], now: Callable[[], float]) -> Sample:
    """Takes a sample.

    Args:
        question: asks the other clock for its time.
        now: the own clock.
    """
    asked = now()
    said = question()
    return Sample(asked, now(), said)
