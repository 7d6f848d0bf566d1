"""A command under a warden: what real and forked starts have in common."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ckpt_harness.drill import warden
from ckpt_harness.errors import UsageError, quoted

_STOPPED = b"tTZX"
"""States of a process that does not run."""
_PATIENCE = 20.0
"""Seconds in which all processes must have stopped, or have ended: the system needs milliseconds."""


class WardedCommand:
    """A running command.

    Args:
        pid: the process number of its warden.
        line: keeps the warden alive until it is closed.
        news: what the warden says.
        reap: is called when the warden has ended.
    """

    def __init__(self, pid: int, line: IO[bytes], news: IO[bytes], reap: Callable[[], object]) -> None:
        self._pid = pid
        self._line = line
        self._news = news
        self._reap = reap
        self._status: int | None = None
        self._rest = b""

    def check(self, word: str) -> None:
        """Waits until the command has been started.

        Args:
            word: the first word of the command.

        Raises:
            UsageError: it cannot be started.
        """
        first = self._read()
        if not first.startswith("started "):
            self.close()
            raise UsageError(f"{quoted(word)} cannot be started: {first.removeprefix('refused ') or 'its warden has ended'}")

    def fileno(self) -> int:
        return self._news.fileno()

    def _read(self) -> str:
        """The next line of the warden; "" if it has ended."""
        while b"\n" not in self._rest:
            part = os.read(self.fileno(), 4096)
            if not part:
                return ""
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def ended(self) -> int | None:
        while self._status is None and (self._rest or select.select([self], [], [], 0)[0]):
            line = self._read()
            self._status = int(line.removeprefix("ended ")) if line.startswith("ended ") else -signal.SIGKILL
        return self._status

    def processes(self) -> list[int]:
        return warden.descendants(self._pid)

    def freeze(self) -> None:
        end = time.monotonic() + _PATIENCE
        stopped: set[int] = set()
        while True:
            new = set(self.processes()) - stopped
            for process in new:
                _signal(process, signal.SIGSTOP)
            stopped |= new
            if not new and all(_state(process) in _STOPPED for process in stopped):
                return
            if time.monotonic() > end:
                return  # a process in the kernel (on a network disk) stops when it returns from there, and changes nothing before
            time.sleep(0.001)

    def thaw(self) -> None:
        for process in self.processes():
            _signal(process, signal.SIGCONT)

    def kill(self) -> None:
        end = time.monotonic() + _PATIENCE
        while self.processes() and time.monotonic() < end:
            warden.kill_descendants(self._pid)
            time.sleep(0.001)

    def close(self) -> None:
        self._line.close()
        if not self._is_over(_PATIENCE):
            warden.kill_descendants(self._pid)
            _signal(self._pid, signal.SIGKILL)
            self._is_over(_PATIENCE)
        self._news.close()
        self._reap()

    def _is_over(self, seconds: float) -> bool:
        """Waits for the end of the warden: its pipe then has no writer left."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if select.select([self._news], [], [], rest)[0] and not os.read(self.fileno(), 4096):
                return True
        return False


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def _state(process: int) -> bytes:
    """The state of a process in one letter; ``X`` if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return b"X"
