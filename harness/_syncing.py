"""Lets file systems that fail see ``os.fsync``, which is called on descriptors and not on them.

``os.fsync``, ``os.fdatasync`` and ``os.sync`` are replaced while any such file system is alive, and pass on whatever is not theirs.
"""

from __future__ import annotations

import _thread
import os
import stat
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Synced(Protocol):
    """An open file that wants to know."""

    def sync(self, sync: Callable[[], None]) -> None:
        """Lets ``sync`` make the file durable."""


class Disk(Protocol):
    """What knows its open files and its directories."""

    def open_file(self, descriptor: int) -> Synced | None:
        """The file that has the descriptor."""

    def open_files(self) -> list[Synced]:
        """Those that the calling rank has open."""

    def sync_directory(self, path: str, sync: Callable[[], None]) -> bool:
        """Lets ``sync`` make a directory's entries durable, if the directory is one of its own."""


class _Syncs:
    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()  # a raw lock: it is never held across a hand-over of a simulated world
        self._disks: weakref.WeakSet[Any] = weakref.WeakSet()
        self._alive = 0
        self._real: dict[str, Callable[..., None]] = {}

    def take(self, disk: Disk) -> None:
        with self._lock:
            self._disks.add(disk)
            self._alive += 1
            if self._alive == 1:
                self._real = {name: getattr(os, name) for name in ("fsync", "fdatasync", "sync") if hasattr(os, name)}
                for name in self._real:
                    setattr(os, name, self._sync_all if name == "sync" else self._of_descriptor(name))
        weakref.finalize(disk, self._release)

    def _release(self) -> None:
        with self._lock:
            self._alive -= 1
            if not self._alive:
                for name, real in self._real.items():
                    setattr(os, name, real)

    def _of_descriptor(self, name: str) -> Callable[[Any], None]:
        real = self._real[name]

        def sync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            for disk in list(self._disks):
                file = disk.open_file(number)
                if file is not None:
                    file.sync(lambda: real(number))
                    return
                if _is_directory(number) and disk.sync_directory(_path_of(number), lambda: real(number)):
                    return
            real(number)

        return sync

    def _sync_all(self) -> None:
        real = self._real["sync"]
        files = [file for disk in list(self._disks) for file in disk.open_files()]
        for file in files:
            file.sync(real)
        if not files:
            real()


def _is_directory(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _path_of(descriptor: int) -> str:
    """Where an open directory is; "" where the system does not tell."""
    link = Path(f"/proc/self/fd/{descriptor}")
    return str(link.readlink()) if link.is_symlink() else ""


_syncs = _Syncs()


def watching_syncs(disk: Disk) -> None:
    """Tells a disk, as long as it lives, what is made durable of its files and directories."""
    _syncs.take(disk)
