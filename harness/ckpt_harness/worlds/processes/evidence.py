"""Decides whether ranks hang, from observations of their threads; never from how long something takes.

A *look* lists what each thread of each unfinished rank does. Ranks hang if, between two looks, no thread of any rank has run, and every thread waits for
ranks that are themselves waiting, dead or finished: nothing inside the world can end this state except timers of collectives. A third look is taken so that
the counters of the kernel's scheduler are read at different moments. As long as a thread runs, sleeps in an injected delay, or waits for something
outside the world, no rank is called hung.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ckpt_harness.worlds.base import Wait
from ckpt_harness.worlds.processes.messages import Doing, Thread

State = Literal["busy", "quiet", "stuck"]
_LOOKS = 3


@dataclass(frozen=True)
class Stopped:
    """A rank that is stopped by SIGSTOP.

    Attributes:
        why: the fault that stopped it.
        source: the source line at which it stopped.
        until: when to continue the rank, on the monotonic clock; ``inf`` for never.
    """

    why: str
    source: str
    until: float


def stopped(pid: int) -> bool:
    """Whether a process is stopped."""
    return _state(pid) in ("T", "t")


def ended(pid: int) -> bool:
    """Whether a process has ended. Its process id is not reused before the forkserver has reaped it."""
    return _state(pid) in ("Z", "X", "")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Evidence:
    """The looks so far.

    Args:
        size: the number of ranks.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: object = None
        self._same = 0
        self._threads: Mapping[int, tuple[Thread, ...]] = {}
        self._stopped: Mapping[int, Stopped] = {}

    def forget(self) -> None:
        """Discards all looks, because a rank made progress."""
        self._same, self._last = 0, None

    def add(self, threads: Mapping[int, tuple[Thread, ...] | None], stopped: Mapping[int, Stopped]) -> State:
        """Adds a look.

        Args:
            threads: the threads of each unfinished rank; empty for a rank that is stopped, None for a rank that did not answer.
            stopped: the ranks that are stopped or about to stop.

        Returns:
            ``busy`` if a rank runs; ``quiet`` if no rank was seen to run, but a hang is not certain; ``stuck`` if ranks hang.
        """
        self._threads = {rank: seen for rank, seen in threads.items() if seen}
        self._stopped = {rank: stopped[rank] for rank, seen in threads.items() if seen == () and rank in stopped}
        doing: set[Doing] = {thread.doing for seen in self._threads.values() for thread in seen}
        doing |= {"runs" for seen in threads.values() if seen is None}
        doing |= {"waits" if math.isinf(stop.until) else "sleeps" for stop in self._stopped.values()}
        meeting = sum(any(thread.doing == "meets" for thread in seen) for seen in self._threads.values())
        if doing & {"runs", "sleeps"} or meeting == self._size:  # all ranks have arrived: the process group is about to be complete
            self.forget()
            return "busy"
        key = (sorted(self._threads.items()), sorted(self._stopped))
        self._same = self._same + 1 if key == self._last else 1
        self._last = key
        return "stuck" if self._same >= _LOOKS and "outside" not in doing else "quiet"

    def asleep(self) -> bool:
        """Whether the last look showed a rank in an injected delay or stop with an end."""
        sleeping = any(thread.doing == "sleeps" for seen in self._threads.values() for thread in seen)
        return sleeping or any(math.isfinite(stop.until) for stop in self._stopped.values())

    def wait(self, rank: int, size: int) -> Wait | None:
        """Returns what a rank waits for; None if it was not observed to wait."""
        if rank in self._stopped:
            return Wait(self._stopped[rank].why, self._stopped[rank].source)
        threads = self._threads.get(rank)
        if not threads:
            return None
        chosen = self._decisive(rank)
        return Wait(chosen.what, chosen.source, self._missing(chosen, size) if chosen.direct else ())

    def _decisive(self, rank: int) -> Thread:
        """The thread whose wait is reported for a rank: a thread that waits for other ranks or for something outside, else the main thread."""
        threads = self._threads[rank]
        return next((thread for thread in threads if thread.direct or thread.doing == "outside"), threads[0])

    def _missing(self, waiting: Thread, size: int) -> tuple[int, ...]:
        """The ranks that are not in the same wait. An injected hang (``EFFECT at SITE``) waits for no rank."""
        if " at " in waiting.what:
            return ()
        present = set()
        for rank in self._threads:
            thread = self._decisive(rank)
            if rank not in self._stopped and (thread.what, thread.among) == (waiting.what, waiting.among):
                present.add(rank)
        return tuple(rank for rank in waiting.among or range(size) if rank not in present)
