"""Whether ranks hang, from what can be seen of them: never from how long something takes.

A look at all ranks that have not ended shows each of their threads. Two looks between which no thread of any rank has run, and in which each waits
for ranks that are among them, dead, or done, show a state that nothing inside the world can end; only timers of collectives are left. A third look
is for the scheduler's counters to be read at different moments. While any thread runs, sleeps by injection or waits for something outside,
nobody is hung.
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
    """A rank that SIGSTOP holds.

    Attributes:
        why: the fault.
        source: the line that it struck.
        until: when it is continued, on the monotonic clock; ``inf`` for never.
    """

    why: str
    source: str
    until: float


def stopped(pid: int) -> bool:
    """Whether the process is stopped, says the kernel."""
    return _state(pid) in ("T", "t")


def ended(pid: int) -> bool:
    """Whether the process has ended, says the kernel; its number stays its own until the forkserver has seen it."""
    return _state(pid) in ("Z", "X", "")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Evidence:
    """The looks that were taken so far.

    Args:
        size: number of ranks.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: object = None
        self._same = 0
        self._threads: Mapping[int, tuple[Thread, ...]] = {}
        self._stopped: Mapping[int, Stopped] = {}

    def forget(self) -> None:
        """Something happened: what was seen before it says nothing."""
        self._same, self._last = 0, None

    def add(self, threads: Mapping[int, tuple[Thread, ...] | None], stopped: Mapping[int, Stopped]) -> State:
        """Takes a look.

        Args:
            threads: of each rank that has not ended; none for one that SIGSTOP holds, None for one that did not answer.
            stopped: what is known of those that SIGSTOP holds, or is about to.

        Returns:
            ``stuck`` once it is certain that nothing goes on.
        """
        self._threads = {rank: found for rank, found in threads.items() if found}
        self._stopped = {rank: stopped[rank] for rank, found in threads.items() if found == () and rank in stopped}
        doing: set[Doing] = {one.doing for found in self._threads.values() for one in found}
        doing |= {"runs" for found in threads.values() if found is None}
        doing |= {"waits" if math.isinf(one.until) else "sleeps" for one in self._stopped.values()}
        meeting = sum(any(one.doing == "meets" for one in found) for found in self._threads.values())
        if doing & {"runs", "sleeps"} or meeting == self._size:  # all have come: the group is about to be there
            self.forget()
            return "busy"
        key = (sorted(self._threads.items()), sorted(self._stopped))
        self._same = self._same + 1 if key == self._last else 1
        self._last = key
        return "stuck" if self._same >= _LOOKS and "outside" not in doing else "quiet"

    def asleep(self) -> bool:
        """Whether the last look showed a rank that sleeps by injection."""
        sleeping = any(one.doing == "sleeps" for found in self._threads.values() for one in found)
        return sleeping or any(math.isfinite(one.until) for one in self._stopped.values())

    def wait(self, rank: int, size: int) -> Wait | None:
        """What a rank waits for; None if it was not seen to wait."""
        if rank in self._stopped:
            return Wait(self._stopped[rank].why, self._stopped[rank].source)
        threads = self._threads.get(rank)
        if not threads:
            return None
        chosen = self._decisive(rank)
        return Wait(chosen.what, chosen.source, self._missing(chosen, size) if chosen.direct else ())

    def _decisive(self, rank: int) -> Thread:
        """The thread of a rank that matters: the main one, unless that waits for another of them."""
        threads = self._threads[rank]
        return next((one for one in threads if one.direct or one.doing == "outside"), threads[0])

    def _missing(self, waiting: Thread, size: int) -> tuple[int, ...]:
        """The ranks that are not in the same wait. Those that wait by injection wait for nobody."""
        if " at " in waiting.what:
            return ()
        same = (waiting.what, waiting.among)
        there = {rank for rank in self._threads if rank not in self._stopped and (self._decisive(rank).what, self._decisive(rank).among) == same}
        return tuple(rank for rank in waiting.among or range(size) if rank not in there)
