"""One time for ranks on several hosts, whose monotonic clocks have nothing in common: that of rank 0.

What happened on different ranks is put in order by its time. So a clock has to be known better than a message of the group takes from host to host:
then nothing seems to come before what caused it. Of several questions and answers the fastest says most; its error is at most half of its time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

SAMPLES = 5
"""Questions for each case and host: clocks drift."""


class Sample(NamedTuple):
    """A question and its answer.

    Attributes:
        asked: when, on the asking clock.
        answered: when the answer came, on the asking clock.
        said: what the other clock said.
    """

    asked: float
    answered: float
    said: float


def offset(samples: Iterable[Sample]) -> float:
    """Seconds by which the other clock is ahead of the asking one."""
    best = min(samples, key=lambda one: one.answered - one.asked)
    return best.said - (best.asked + best.answered) / 2


def machine() -> str:
    """What is the same for processes that share a monotonic clock, and for no others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        return f"{boot} {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115  (the link's text, not a path)
    except OSError:  # a kernel without time namespaces
        return boot


def ask(question: Callable[[], float], now: Callable[[], float]) -> Sample:
    """Takes a sample.

    Args:
        question: gets the other clock's time.
        now: the asking clock.
    """
    asked = now()
    said = question()
    return Sample(asked, now(), said)
