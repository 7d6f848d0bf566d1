"""Temporary real disks: an ext4 in a file whose power can be cut, and a tmpfs of a limited size.

Scripts that use them run in a mount namespace of their own, so that the mounts vanish with the script, even if it is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

POWER_CUTS = {"nothing more": 2, "what was journalled": 1, "all": 0}
"""What still reaches the disk -> the flag of the ioctl: NOLOGFLUSH, LOGFLUSH (but no data), DEFAULT."""

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WRITE_AND_WAIT = 7  # SYNC_FILE_RANGE_WAIT_BEFORE | _WRITE | _WAIT_AFTER
_LIMIT = 60
"""Seconds that a command may take."""

_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str | Path) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")


class Ext4:
    """An ext4 of 16 MiB, with the block size and the options of a large ext4.

    Args:
        where: an empty directory for the image and the mount point.
    """

    def __init__(self, where: Path) -> None:
        self._image, self.root = where / "image", where / "disk"
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(16 << 20)
        run("mkfs.ext4", "-q", "-b", "4096", self._image)
        self.mount()

    def mount(self) -> None:
        run("mount", "-o", "loop", self._image, self.root)  # the loop device vanishes with the mount

    def unmount(self) -> None:
        run("umount", self.root)

    def sync(self) -> None:
        """Makes everything durable, as the system does from time to time."""
        with self._opened(self.root) as directory:
            _checked(_libc.syncfs(directory))

    def write_back(self) -> None:
        """Writes the bytes of all files, but commits no change of directories or lengths. The system may do so at any time."""
        for path in self.files():
            with self._opened(self.root / path) as file:
                _checked(_libc.sync_file_range(file, ctypes.c_long(0), ctypes.c_long(0), _WRITE_AND_WAIT))

    def cut(self, survives: str) -> None:
        """Cuts the power: from now on nothing reaches the disk, and every call fails."""
        with self._opened(self.root) as directory:
            fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", POWER_CUTS[survives]))

    def files(self) -> dict[str, bytes]:
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}

    @staticmethod
    @contextlib.contextmanager
    def _opened(path: Path) -> Iterator[int]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def ext4(where: Path) -> Iterator[Ext4]:
    """A new ext4; it is unmounted and removed at the end of the block."""
    where.mkdir()
    disk = Ext4(where)
    try:
        yield disk
    finally:
        disk.unmount()
        shutil.rmtree(where)


@contextlib.contextmanager
def tmpfs(where: Path, size: int) -> Iterator[Path]:
    """A tmpfs with room for ``size`` bytes; it is unmounted at the end of the block."""
    where.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", where)
    try:
        yield where
    finally:
        run("umount", where)
        where.rmdir()


def _checked(status: int) -> None:
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def try_out(kind: str, where: Path) -> None:
    """Raises OSError with the reason if such a disk cannot be made here."""
    if kind == "tmpfs":
        with tmpfs(where / "tmpfs", 1 << 20):
            pass
        return
    with ext4(where / "ext4") as disk:
        disk.cut("nothing more")
        disk.unmount()
        disk.mount()


if __name__ == "__main__":
    try:
        try_out(sys.argv[1], Path(sys.argv[2]))
    except OSError as error:
        sys.exit(str(error))
