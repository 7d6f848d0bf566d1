"""Whose turn it is to run ranks, where several processes of one test run do: no more ranks run at once than the machine bears.

A turn is one lock a rank, on files of a directory that the processes share. The kernel gives back what a process held when it ends, however it ends.
A world larger than what the machine bears runs alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from ckpt_harness.errors import HarnessError

RANK_MEMORY = 128 << 20
"""Bytes to reckon with for a rank: some 40 MB of its own, what a test's imports add, and a state to save."""
_RANKS_A_PROCESSOR = 4
"""Ranks wait for one another most of the time."""
_PATIENCE = 600.0
"""Seconds to wait for a turn; all others together would have to run that long."""
_PAUSE = 0.02


def bearable(processors: int, memory: int) -> int:
    """The number of ranks that may run at once.

    Args:
        processors: how many there are.
        memory: bytes that are available.
    """
    return max(1, min(processors * _RANKS_A_PROCESSOR, memory // RANK_MEMORY))


def available_memory() -> int:
    """Bytes that processes may take: what the machine has left, or the limit of the container (cgroup v2), if that is lower."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = [int(lines["MemAvailable"].split()[0]) << 10]
    with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says "max"
        free.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return max(0, min(free))


class Turns:
    """Hands out turns.

    Args:
        directory: what all that share have in common; it must exist.
        ranks: how many may run at once.
    """

    def __init__(self, directory: Path, ranks: int) -> None:
        self._directory, self._ranks = directory, ranks

    def take(self, ranks: int) -> Turn:
        """Waits until ``ranks`` more may run.

        Raises:
            HarnessError: none came in ten minutes.
        """
        turn = Turn()
        try:
            deadline = time.monotonic() + _PATIENCE
            door = self._await("door", deadline)  # whoever waits for many is not overtaken by those who want few, and no two wait for one another
            try:
                wanted = min(ranks, self._ranks)
                while not self._fill(turn, wanted):
                    _wait(deadline, f"{ranks} ranks")
            finally:
                os.close(door)
        except BaseException:
            turn.end()
            raise
        return turn

    def _fill(self, turn: Turn, wanted: int) -> bool:
        for number in range(self._ranks):
            if len(turn.held) == wanted:
                break
            if number not in turn.held and (lock := self._lock(f"rank-{number}")) is not None:
                turn.held[number] = lock
        return len(turn.held) == wanted

    def _await(self, name: str, deadline: float) -> int:
        while (lock := self._lock(name)) is None:
            _wait(deadline, "others that wait")
        return lock

    def _lock(self, name: str) -> int | None:
        handle = os.open(self._directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle


def _wait(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise HarnessError(f"no turn for {what} within {_PATIENCE:g} s: other processes of this run do not end theirs")
    time.sleep(_PAUSE)


class Turn:
    """Leave to run ranks, until it is ended.

    Attributes:
        held: number of the place -> descriptor of its lock.
    """

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    def end(self) -> None:
        """Gives the places to others."""
        while self.held:
            os.close(self.held.popitem()[1])
