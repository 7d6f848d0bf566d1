"""The command as it is, each time from the beginning."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ckpt_harness.drill import warden
from ckpt_harness.errors import UsageError, quoted

_STOPPED = b"tTZX"
"""States of a process that does not run."""
_PATIENCE = 20.0
"""Seconds in which all processes must have stopped, or have ended: the system needs milliseconds."""


class RealLauncher:
    """Starts the command as a user would, under a warden that leaves no process of it behind."""

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> RealCommand:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__, str(log), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        running = RealCommand(keeper)
        first = running.read()
        if not first.startswith("started "):
            running.close()
            raise UsageError(f"{quoted(words[0])} cannot be started: {first.removeprefix('refused ') or 'its warden has ended'}")
        return running


class RealCommand:
    """A running command.

    Args:
        keeper: its warden.
    """

    def __init__(self, keeper: subprocess.Popen[bytes]) -> None:
        self._keeper = keeper
        self._status: int | None = None
        self._rest = b""

    def fileno(self) -> int:
        assert self._keeper.stdout is not None
        return self._keeper.stdout.fileno()

    def read(self) -> str:
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
            line = self.read()
            self._status = int(line.removeprefix("ended ")) if line.startswith("ended ") else -signal.SIGKILL
        return self._status

    def processes(self) -> list[int]:
        return warden.descendants(self._keeper.pid)

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
            warden.kill_descendants(self._keeper.pid)
            time.sleep(0.001)

    def close(self) -> None:
        for stream in (self._keeper.stdin, self._keeper.stdout):
            if stream is not None:
                stream.close()
        try:
            self._keeper.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            warden.kill_descendants(self._keeper.pid)
            self._keeper.kill()
            self._keeper.wait()


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def _state(process: int) -> bytes:
    """The state of a process in one letter; ``X`` if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return b"X"
