"""Turns: limits how many ranks run at the same time if several processes of a test run share the machine.

A turn consists of a file lock for each rank, in a directory that the processes share. The kernel releases the locks when a process ends, in whatever way.
A world that is larger than the limit runs alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from ckpt_harness.errors import HarnessError

RANK_MEMORY = 128 << 20
"""Estimated memory of a rank, in bytes: about 40 MB of its own, the imports of a test, and the state to save."""
_RANKS_A_PROCESSOR = 4
"""More than one, since ranks wait for each other most of the time."""
_PATIENCE = 600.0
"""Longest wait for a turn, in seconds."""
_PAUSE = 0.02


def bearable(processors: int, memory: int) -> int:
    """Returns how many ranks may run at the same time.

    Args:
        processors: the number of processors.
        memory: the available memory, in bytes.

    Example:
        >>> bearable(processors=2, memory=16 << 30)
        8
    """
    return max(1, min(processors * _RANKS_A_PROCESSOR, memory // RANK_MEMORY))


def available_memory() -> int:
    """Returns the available memory in bytes: that of the machine, or the limit of the container (cgroup v2) if it is lower."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = [int(lines["MemAvailable"].split()[0]) << 10]
    with contextlib.suppress(OSError, ValueError):  # no such file, or no limit ("max")
        free.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return max(0, min(free))


class Turns:
    """Hands out turns.

    Args:
        directory: the directory for the lock files, the same for all processes; it must exist.
        ranks: how many ranks may run at the same time.
    """

    def __init__(self, directory: Path, ranks: int) -> None:
        self._directory, self._ranks = directory, ranks

    def take(self, ranks: int) -> Turn:
        """Waits until ``ranks`` more ranks may run.

        Raises:
            HarnessError: no turn within ten minutes.
        """
        turn = Turn()
        try:
            deadline = time.monotonic() + _PATIENCE
            # Only one process at a time collects locks. So small worlds do not overtake a large one, and there is no deadlock.
            door = self._await("door", deadline)
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
            _wait(deadline, "processes that wait before this process")
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
        raise HarnessError(f"no turn for {what} within {_PATIENCE:g} s: other processes of this test run still run ranks")
    time.sleep(_PAUSE)


class Turn:
    """A permission to run ranks, until :meth:`end` is called.

    Attributes:
        held: number of the lock file -> its descriptor.
    """

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    def end(self) -> None:
        """Releases the locks."""
        while self.held:
            os.close(self.held.popitem()[1])
