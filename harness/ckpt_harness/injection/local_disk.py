"""The disk of each rank below its open files: free space, the journal of what reached the disk, and what ``fsync`` makes durable.

Bytes are counted where they leave the process, not where they enter its buffer. So a full disk fails the call that a real full disk fails: mostly a
later flush or close.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, cast

from ckpt_harness.disk.journal import Kind
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects import NoSpace
from ckpt_harness.faults.fault import Fault
from ckpt_harness.injection.arrival import Arrival
from ckpt_harness.injection.fsync import Synced
from ckpt_harness.injection.injector import Injector

AnyPath = str | os.PathLike[str]


class LocalDisk:
    """What lies below the open files of the ranks of this process.

    Args:
        faults: the injector.
    """

    def __init__(self, faults: Injector) -> None:
        self.faults = faults
        self._full: dict[int, list[_FreeSpace]] = {}
        self._paths: dict[str, str] = {}  # absolute path, as the operating system names the file -> path as the engine gave it
        self._given: set[str] = set()
        self._open: dict[int, tuple[int, Synced]] = {}

    # -- the journal

    def note(self, kind: Kind, path: AnyPath, *, offset: int = 0, data: bytes = b"", to: AnyPath = "") -> None:
        """Records in the journal, if there is one, what the calling rank did.

        Args:
            kind: what the rank did.
            path: the file or directory, as the engine named it.
            offset: of the first byte written.
            data: the bytes written.
            to: the new path of a renamed file.
        """
        self._remember(os.fspath(path))
        if to:
            self._remember(os.fspath(to))
        if self.faults.journal is not None:
            self.faults.journal.add(self.faults.rank(), kind, os.fspath(path), offset=offset, data=data, to=os.fspath(to))

    def _remember(self, given: str) -> None:
        """Remembers under which path the operating system knows a file and its directory; ``fsync`` is called on descriptors."""
        if given not in self._given:
            self._given.add(given)
            for known in (given, str(Path(given).parent)):
                self._paths[os.path.realpath(known)] = known

    def spoil(self, path: AnyPath, offset: int, intended: bytes) -> None:
        """Records in the journal that an effect damages bytes that the engine intended to write."""
        if self.faults.journal is not None:
            self.faults.journal.spoil(os.fspath(path), offset, intended)

    def missing(self, path: AnyPath) -> list[Path]:
        """The directories that ``mkdir`` of ``path`` with all its parents would create, outermost first."""
        return [directory for directory in reversed([Path(path), *Path(path).parents]) if not directory.exists()]

    # -- open files and fsync

    def opened(self, file: Synced, stream: Any) -> None:
        """Notes that the calling rank has a file open for writing. A file without a descriptor cannot be synced, and is left out.

        Args:
            file: the file.
            stream: the stream of the wrapped file system, which knows the descriptor.
        """
        with contextlib.suppress(AttributeError, OSError):  # OSError includes io.UnsupportedOperation
            self._open[stream.fileno()] = self.faults.rank(), file

    def closed(self, file: Synced) -> None:
        """Notes that ``file`` is no longer open."""
        self._open = {descriptor: (rank, other) for descriptor, (rank, other) in self._open.items() if other is not file}

    def open_file(self, descriptor: int) -> Synced | None:
        """See :class:`ckpt_harness.injection.fsync.Disk`, as for the next two methods."""
        return self._open[descriptor][1] if descriptor in self._open and not self.faults.over else None

    def open_files(self) -> list[Synced]:
        if self.faults.over:
            return []
        return [file for rank, file in self._open.values() if rank == self.faults.rank()]

    def sync_path(self, path: str, sync: Callable[[], None]) -> bool:
        given = self._paths.get(path)
        if self.faults.over or given is None or not self.faults.in_operation():
            return False  # others may use the same paths after the end of an inject block, while a caught exception keeps this object alive
        self.make_durable(self.faults.arrive("fs.fsync", file_name(given)), given, sync)
        return True

    def make_durable(self, arrival: Arrival, path: AnyPath, sync: Callable[[], None]) -> None:
        """Makes a file or directory durable, unless the plan decides otherwise.

        Args:
            arrival: the call of ``fsync``.
            path: the file or directory.
            sync: the real ``fsync``.
        """

        def act() -> None:
            sync()
            self.note("fsync", path)

        self.faults.around(arrival, act)

    # -- free space

    def fill(self, arrival: Arrival, effect: NoSpace) -> None:
        """Fills the disk of the calling rank: from now on, only ``effect.after_bytes`` more bytes fit.

        Args:
            arrival: the call that the fault strikes.
            effect: the effect of the fault.
        """
        spaces = self._full.setdefault(arrival.rank, [])
        if all(space.arrival.fault != arrival.fault for space in spaces):
            spaces.append(_FreeSpace(arrival, effect.after_bytes))

    def write_out(self, path: AnyPath, offset: int, data: Any, write: Callable[[Any], int | None], *, raw: bool) -> int:
        """Writes bytes that leave the process, as many as fit.

        Args:
            path: the file.
            offset: of the first byte.
            data: the bytes.
            write: the real write; returns the number of bytes written, or None for all.
            raw: whether the caller may be told that fewer bytes were written. Only raw files do that; other streams write all bytes, or raise.

        Returns:
            The number of bytes written.

        Raises:
            OSError: ENOSPC, if no byte fits or, unless ``raw``, not all do.
        """
        view = memoryview(data).cast("B")
        space = self._space_for(path)
        too_long = space is not None and len(view) > space.left
        if space is not None and too_long:
            if not space.fired:
                space.fired = True
                self.faults.fire(space.arrival)
            if not space.left:
                raise error_specs.of_system("ENOSPC")
            view = view[: space.left]
        written = write(view)
        count = len(view) if written is None else written
        if space is not None:
            space.left -= count
        self.note("write", path, offset=offset, data=bytes(view[:count]))
        if too_long and not raw:
            raise error_specs.of_system("ENOSPC")
        return count

    def _space_for(self, path: AnyPath) -> _FreeSpace | None:
        """What limits writes of the calling rank to a file; None for no limit. A fault that names an operation fills the disk for that operation only."""
        rank = self.faults.rank()
        if not self.faults.healed(rank):
            for space in self._full.get(rank, ()):
                if space.fault.is_about(file_name(path)) and self._is_in_its_operation(space.fault):
                    return space
        return None

    def _is_in_its_operation(self, fault: Fault) -> bool:
        return fault.operation is None or fault.operation.matches(self.faults.operation_of_call())

    def below_buffer(self, stream: Any, path: AnyPath) -> Any:
        """A stream like ``stream``, whose bytes pass :meth:`write_out` where they leave the process.

        Args:
            stream: the stream of the wrapped file system.
            path: its file.
        """
        if self.faults.journal is None and not any(isinstance(fault.effect, NoSpace) for fault in self.faults.plan):
            return stream
        if type(stream) is io.BufferedWriter and isinstance(stream.raw, io.FileIO):
            return io.BufferedWriter(RawFile(self, path, stream), getattr(stream.raw, "_blksize", io.DEFAULT_BUFFER_SIZE))
        return _UnbufferedFile(self, path, stream)


class _FreeSpace:
    """What is left of a full disk.

    Attributes:
        arrival: the call that the fault struck.
        fault: the fault.
        left: bytes that still fit.
        fired: whether a write has met the limit.
    """

    def __init__(self, arrival: Arrival, left: int) -> None:
        assert arrival.fault is not None
        self.arrival, self.fault, self.left, self.fired = arrival, arrival.fault, left, False


class RawFile(io.RawIOBase):
    """A file of the operating system, below the buffer of the process.

    Args:
        disk: the disk that the bytes are written to.
        path: of the file.
        stream: the stream of the wrapped file system; its own buffer stays empty.
    """

    def __init__(self, disk: LocalDisk, path: AnyPath, stream: io.BufferedWriter) -> None:
        self._disk, self._path, self._stream = disk, path, stream
        self._file = cast("io.FileIO", stream.raw)

    def write(self, data: Any) -> int:
        return self._disk.write_out(self._path, self._file.tell(), data, self._file.write, raw=True)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        super().close()
        self._stream.close()


class _UnbufferedFile:
    """A stream of which nothing is known: every write counts as leaving the process.

    Args:
        disk: the disk that the bytes are written to.
        path: of the file.
        stream: the stream of the wrapped file system.
    """

    def __init__(self, disk: LocalDisk, path: AnyPath, stream: Any) -> None:
        self._disk, self._path, self._stream = disk, path, stream

    def write(self, data: Any) -> int:
        return self._disk.write_out(self._path, self._stream.tell(), data, self._stream.write, raw=isinstance(self._stream, io.RawIOBase))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def file_name(path: AnyPath) -> str:
    """The last part of a path, or of a key of an object store."""
    return PurePosixPath(os.fspath(path)).name
