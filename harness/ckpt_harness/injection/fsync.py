"""Lets file systems that fail see ``os.fsync``, which is called on descriptors and not on them.

``os.fsync``, ``os.fdatasync`` and ``os.sync`` are replaced while any such file system is alive, and pass on whatever is not theirs. Which file a
descriptor is of is asked of ``/proc`` where the descriptor is not that of a stream of theirs.

Not modelled: ``fsync`` of code that imported the function itself (``from os import fsync``) before, and, where there is no ``/proc``, of descriptors
that are opened past the file system, directories among them.
"""

from __future__ import annotations

import _thread
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Synced(Protocol):
    """An open file that wants to know."""

    def sync(self, sync: Callable[[], None]) -> None:
        """Lets ``sync`` make the file durable."""


class Disk(Protocol):
    """What knows its open files, and the files and directories that it has touched."""

    def open_file(self, descriptor: int) -> Synced | None:
        """The file that has the descriptor."""

    def open_files(self) -> list[Synced]:
        """Those that the calling rank has open."""

    def sync_path(self, path: str, sync: Callable[[], None]) -> bool:
        """Lets ``sync`` make a file, or a directory's entries, durable, if the path is one of its own."""


class _Syncs:
    def __init__(self) -> None:
        # Reentrant, since the garbage collector may free a file system in the instant that the lock is held.
        self._lock = _thread.RLock()
        self._disks: weakref.WeakSet[Any] = weakref.WeakSet()
        self._real: dict[str, Callable[..., None]] = {}

    def take(self, disk: Disk) -> None:
        with self._lock:
            self._disks.add(disk)
            if not self._real:
                self._real = {name: getattr(os, name) for name in ("fsync", "fdatasync", "sync") if hasattr(os, name)}
                for name, real in self._real.items():
                    setattr(os, name, _of_all(self._disks, real) if name == "sync" else _of_descriptor(self._disks, real))
        weakref.finalize(disk, self._release)

    def _release(self) -> None:
        with self._lock:
            if not any(True for _ in self._disks):
                for name, real in self._real.items():
                    setattr(os, name, real)
                self._real = {}


def _of_descriptor(disks: weakref.WeakSet[Any], real: Callable[[int], None]) -> Callable[[Any], None]:
    def sync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        for disk in list(disks):
            file = disk.open_file(number)
            if file is not None:
                file.sync(lambda: real(number))
                return
        path = _path_of(number)
        if not any(disk.sync_path(path, lambda: real(number)) for disk in list(disks)):
            real(number)

    return sync


def _of_all(disks: weakref.WeakSet[Any], real: Callable[[], None]) -> Callable[[], None]:
    def sync() -> None:
        for file in [file for disk in list(disks) for file in disk.open_files()]:
            file.sync(lambda: None)
        real()

    return sync


def _path_of(descriptor: int) -> str:
    """Where an open file or directory is; "" where the system does not tell."""
    link = Path(f"/proc/self/fd/{descriptor}")
    return str(link.readlink()) if link.is_symlink() else ""


_syncs = _Syncs()


def watching_syncs(disk: Disk) -> None:
    """Tells a disk, as long as it lives, what is made durable of its files and directories."""
    _syncs.take(disk)
