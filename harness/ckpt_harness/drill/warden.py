"""The warden of one start: starts the command, outlives it, and leaves no process of it behind, even if the drill itself is killed.

A program of its own, which imports nothing of the harness: ``python -I -S warden.py LOG COMMAND...``. All descendants of the command become its
children when their parents die (it is a *subreaper*). It prints ``ended STATUS`` when the command has ended; when its stdin is closed, it kills all
that is left, and ends.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""


def descendants(root: int) -> list[int]:
    """The living descendants of a process, from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib costs a start-up)
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    children.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_descendants(root: int) -> None:
    """Kills all descendants of a process. A process may start another one meanwhile, so all are stopped first."""
    stopped: set[int] = set()
    while new := set(descendants(root)) - stopped:
        for process in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGSTOP)
        stopped |= new
    for process in stopped:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def _reap(command: int) -> "int | None":
    """Collects the processes that have ended. Returns the status of the command, if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            process, encoded = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                break
            if process == command:
                status = os.waitstatus_to_exitcode(encoded)
    return status


def watch_over(begin: "Callable[[], int]") -> None:
    """Starts a command and waits, for its end or for that of the drill.

    Args:
        begin: starts the command, and returns its process number.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, which the command does not inherit as it would SIG_IGN
    ended, noticed = os.pipe()
    for descriptor in (ended, noticed):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(noticed, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        command = begin()
    except OSError as error:
        _say(f"refused {error.strerror}")
        return
    _say(f"started {command}")
    while True:
        readable, _, _ = select.select([0, ended], [], [], 5)
        if ended in readable:
            os.read(ended, 4096)
        status = _reap(command)
        if status is not None:
            with contextlib.suppress(OSError):
                _say(f"ended {status}")
        if 0 in readable and not os.read(0, 4096):
            break
    while descendants(os.getpid()):
        kill_descendants(os.getpid())
        _reap(0)
        select.select([ended], [], [], 0.05)
        with contextlib.suppress(BlockingIOError):
            os.read(ended, 4096)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main(log: str, words: "list[str]") -> None:
    """Watches over a command of the system."""

    def begin() -> int:
        with open(log, "ab") as output:  # noqa: PTH123
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True).pid

    watch_over(begin)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
