"""Lets a :class:`~ckpt_harness.injection.filesystem.FaultyFileSystem` see ``os.fsync``, which takes a descriptor and is no method of a file system.

``os.fsync``, ``os.fdatasync`` and ``os.sync`` are replaced while at least one faulty file system is alive. A call for any other file passes through.
For a descriptor that belongs to no stream of a faulty file system, ``/proc`` names the file.

Not modelled: calls of code that imported the function itself earlier (``from os import fsync``). Without ``/proc``: calls for descriptors that were
opened outside of the file system, such as descriptors of directories.
"""

from __future__ import annotations

import _thread
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Synced(Protocol):
    """An open file of a faulty file system."""

    def sync(self, sync: Callable[[], None]) -> None:
        """Makes the file durable with ``sync``, the real call, unless the plan decides otherwise."""


class Disk(Protocol):
    """A disk that knows its open files, and the files and directories that were used so far."""

    def open_file(self, descriptor: int) -> Synced | None:
        """The open file with this descriptor; None for a descriptor of any other file."""

    def open_files(self) -> list[Synced]:
        """The files that the calling rank has open."""

    def sync_path(self, path: str, sync: Callable[[], None]) -> bool:
        """Makes a file, or the entries of a directory, durable with ``sync``, unless the plan decides otherwise.

        Returns:
            Whether the path is known to this disk; ``sync`` is left alone otherwise.
        """


class _Syncs:
    """Replaces the functions of ``os`` while at least one disk is alive."""

    def __init__(self) -> None:
        # A reentrant lock: the garbage collector may free a file system, and so call _release, while this thread holds the lock.
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
            if not list(self._disks):
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
    """The path of an open file or directory; "" where the operating system does not provide it."""
    link = Path(f"/proc/self/fd/{descriptor}")
    return str(link.readlink()) if link.is_symlink() else ""


_syncs = _Syncs()


def watching_syncs(disk: Disk) -> None:
    """Lets a disk see the calls that make its files and directories durable, as long as the disk lives."""
    _syncs.take(disk)
