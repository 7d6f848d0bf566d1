"""The drill's agent in one process: knows the role of the process, names points, and lets happen there what the desk answers."""

from __future__ import annotations

import _thread
import atexit
import errno
import os
import re
import sys
import time
from typing import Any

from ckpt_harness.drill.inside import role
from ckpt_harness.drill.inside.desk import Desk

_CHANGING = (
    (re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<![A-Za-z0-9])[0-9a-f]{32}(?![A-Za-z0-9])"), "UUID"),
    (re.compile(r"(?<![A-Za-z0-9_])tmp[a-z0-9_]{8}(?![A-Za-z0-9_])"), "TMP"),
)
"""Parts of file names that differ from run to run -> what stands for them in the name of a point."""


class Agent:
    """What this process reports, and to whom.

    Args:
        desk: where to report.
        state: the state directory.
        original: the user's own state directory, which this process must not reach; "" without a drill.

    Attributes:
        role: the role of this process.
    """

    def __init__(self, desk: Desk, state: str, original: str) -> None:
        self.role = role.here()
        self._desk = desk
        self._states = _spellings(state)
        self._originals = _spellings(original) if original else ()
        self._counts: dict[tuple[str, str], int] = {}
        self._local = _thread._local()
        self._pid = str(os.getpid())
        os.register_at_fork(after_in_child=self._become_child)
        self.tell({"type": "hello"})
        atexit.register(self._say_goodbye)

    # -- what is reported

    def tell(self, message: dict[str, Any]) -> None:
        """Reports something that needs no answer."""
        with self.at_work():
            self._desk.tell({**message, "role": self.role})

    def at_work(self) -> _AtWork:
        """While the agent itself works on this thread, nothing that it does is a point."""
        return _AtWork(self._local)

    @property
    def is_at_work(self) -> bool:
        """Whether the calling thread is inside the agent."""
        return bool(getattr(self._local, "depth", 0))

    def count(self, site: str, path: str) -> int:
        """Counts a call of a site on a file, from 1, in this process."""
        key = site, shown(path, self._pid)
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]

    def at_file(self, site: str, path: str, nth: int, moment: str, full: str = "") -> None:
        """A moment of a file operation of this process.

        Args:
            site: the operation, such as ``file.rename``.
            path: the file, relative to the state directory.
            nth: the number of the operation among those on files of this name.
            moment: ``before``, ``opened``, ``half`` or ``after``.
            full: the whole path, where the file is to be cut.

        Raises:
            OSError: the drill injects an error.
        """
        name = f"{site}({shown(path, self._pid)})@{self.role}#{nth}" + ("" if moment == "before" else f"!{moment}")
        self.arrive(name, site, path, moment, full)

    def arrive(self, name: str, site: str, path: str, moment: str, full: str = "") -> None:
        """Reports a point, and lets happen what the desk answers.

        Raises:
            OSError: the drill injects an error.
        """
        with self.at_work():
            answer = self._desk.ask(
                {"type": "point", "name": name, "site": site, "path": path, "moment": moment, "full": full, "role": self.role}
            )
            while answer == "hang":
                time.sleep(3600)
        if answer != "go":
            number = getattr(errno, answer)
            raise OSError(number, os.strerror(number))

    # -- which files are watched

    def inside(self, path: object, directory: int | None = None) -> str | None:
        """The path of a file relative to the state directory; None if the file lies elsewhere.

        Args:
            path: what the program calls the file.
            directory: the descriptor of the directory that ``path`` is relative to.
        """
        full = _absolute(path, directory)
        if full is None:
            return None
        for state in self._states:
            if full == state or full.startswith(state + "/"):
                return full[len(state) + 1 :]
        for original in self._originals:
            if full == original or full.startswith(original + "/"):
                with self.at_work():
                    self._desk.ask({"type": "original", "path": full, "role": self.role})
        return None

    # -- the life of the process

    def _become_child(self) -> None:
        self.role = role.child_of(self.role)
        self._pid = str(os.getpid())

    def _say_goodbye(self) -> None:
        error = getattr(sys, "last_value", None)
        self.tell({"type": "bye", "raised": "" if error is None else type(error).__name__})


class _AtWork:
    """Counts how deep the thread is inside the agent."""

    def __init__(self, local: Any) -> None:
        self._local = local

    def __enter__(self) -> None:
        self._local.depth = getattr(self._local, "depth", 0) + 1

    def __exit__(self, *_: object) -> None:
        self._local.depth -= 1


def shown(path: str, pid: str = "") -> str:
    """A path as names of points show it: without what differs from run to run.

    Example:
        >>> shown("step-4/tmpab12cd3_.json")
        'step-4/TMP.json'
    """
    for pattern, stands_for in _CHANGING:
        path = pattern.sub(stands_for, path)
    if len(pid) > 1 and pid in path:
        path = re.sub(rf"(?<![0-9]){pid}(?![0-9])", "PID", path)
    return path.replace("(", "[").replace(")", "]")


def _absolute(path: object, directory: int | None) -> str | None:
    """The absolute path of a file; None for what is no path."""
    if isinstance(path, int):
        return _of_descriptor(path)
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]  # a program passes anything
    except TypeError:
        return None
    if isinstance(directory, int) and directory >= 0 and not text.startswith("/"):
        base = _of_descriptor(directory)
        return None if base is None else os.path.normpath(f"{base}/{text}")
    return os.path.abspath(text)  # noqa: PTH100  (pathlib costs a start-up)


def _of_descriptor(number: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except OSError:
        return None


def _spellings(path: str) -> tuple[str, ...]:
    """A directory as it is named, and with all links followed."""
    return tuple(dict.fromkeys((os.path.abspath(path), os.path.realpath(path))))  # noqa: PTH100
