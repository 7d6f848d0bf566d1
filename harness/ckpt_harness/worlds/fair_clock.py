"""A clock for limits on a machine that is busy with other things: it stands still while the processes of this run wait for a processor.

A limit in real seconds says nothing about a program that did not get to run. Linux notes for each thread how long it was ready to run and waited for a
processor (``/proc/PID/task/TID/schedstat``), and a wait that a starved thread held up was held up for at least that long.

Not modelled: time lost to a busy disk or network, or on other hosts. Without ``schedstat``, the clock is that of the machine.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

SLICE = 0.5
"""Seconds between two calls of :meth:`FairClock.tick`, at most. Threads that are starved one after the other are noticed only where ticks separate them."""

SLOWEST = 20
"""The clock runs at least at this fraction of the machine's speed (1/20), so that every limit ends some day, however busy the machine is."""

_real_monotonic = time.monotonic  # a simulated world replaces the functions of the module while it runs


class FairClock:
    """Measures seconds for which this process, and all processes that descend from it, were free to run. It costs nothing until the first tick.

    Args:
        waited: returns thread -> seconds that the thread has waited for a processor so far.
        monotonic: the machine's clock.

    Attributes:
        lost: the seconds for which the clock stood still.

    Example:
        >>> moments, waits = iter([0.0, 10.0, 11.0, 12.0]), iter([{1: 5.0}, {1: 5.7}])
        >>> clock = FairClock(lambda: next(waits), lambda: next(moments))
        >>> clock.tick()  # begins to measure
        >>> clock.tick()  # for 0.7 s of the last 10 s, thread 1 could not run
        >>> clock.now(), clock.now()
        (10.3, 11.3)
    """

    def __init__(self, waited: Callable[[], Mapping[int, float]] | None = None, monotonic: Callable[[], float] = _real_monotonic) -> None:
        self._waited, self._monotonic = waited or waits_for_a_processor, monotonic
        self._before: Mapping[int, float] | None = None
        self._then = 0.0
        self.lost = 0.0

    def now(self) -> float:
        """The time in seconds."""
        return self._monotonic() - self.lost

    def tick(self, longest: float = math.inf) -> None:
        """Takes back the time that was lost since the last tick: that of the thread that lost most. The first tick only begins to measure.

        Args:
            longest: the most seconds to take back. A caller that works between its waits passes the length of the wait that has just ended.
        """
        now, waits, before = self._monotonic(), self._waited(), self._before
        if before is not None:
            most = max((seconds - before.get(thread, 0.0) for thread, seconds in waits.items()), default=0.0)
            self.lost += min(max(most, 0.0), (now - self._then) * (1 - 1 / SLOWEST), longest)
        self._then, self._before = now, waits


def waits_for_a_processor() -> dict[int, float]:
    """Returns thread -> seconds that it has waited for a processor, for each thread of this process and of all processes that descend from it."""
    waits = {}
    for thread in _threads(os.getpid()):
        fields = _read(thread / "schedstat").split()
        if len(fields) > 1:
            waits[int(thread.name)] = int(fields[1]) / 1e9
    return waits


def _threads(pid: int) -> Iterator[Path]:
    """The directories of the threads of a process and of its descendants."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # the process has ended, or the system has no /proc
        return
    for thread in threads:
        yield thread
        for child in _read(thread / "children").split():
            yield from _threads(int(child))


def _read(path: Path) -> str:
    """The text of a file; "" if there is no such file, or no such thread any more."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
