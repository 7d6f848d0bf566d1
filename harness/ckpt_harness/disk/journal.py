"""The journal: all operations that reached the disk, in their true order across ranks; and separately, the damage that faults did to written data.

A write enters the journal when the operating system receives it, not when a process puts it into a buffer: the buffers of a killed rank are lost.
From a journal, the files at any moment can be rebuilt, and the states that a crash may leave can be enumerated (:mod:`ckpt_harness.disk.durability`).

Not modelled: reads, permissions, links, sparse files, and two processes that write to the same file at the same time.
"""

from __future__ import annotations

import _thread
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from ckpt_harness.errors import HarnessError, quoted

Kind = Literal["mkdir", "create", "write", "flush", "fsync", "close", "rename", "unlink"]


class DiskOp(NamedTuple):
    """An operation that reached the disk.

    Attributes:
        rank: the rank that performed the operation.
        kind: ``mkdir``; ``create`` (truncates if the file exists); ``write``; ``flush`` (of a buffer of the process, which makes nothing durable);
            ``fsync`` (of a file, or of a directory's entries); ``close``; ``rename`` (replaces an existing file); ``unlink``.
        path: the file or directory, relative to the journal's root.
        offset: offset of a write, in bytes.
        data: the bytes of a write.
        to: the new path of a rename.

    Example:
        >>> print(DiskOp(1, "write", "ckpt/__1_0.distcp", offset=0, data=b"tensor"))
        rank 1: write ckpt/__1_0.distcp [0, 6)
    """

    rank: int
    kind: Kind
    path: str
    offset: int = 0
    data: bytes = b""
    to: str = ""

    def __str__(self) -> str:
        span = f" [{self.offset}, {self.offset + len(self.data)})" if self.kind == "write" else ""
        return f"rank {self.rank}: {self.kind} {self.path}{span}{f' -> {self.to}' if self.to else ''}"


class Damage(NamedTuple):
    """Bytes on disk that differ from those that the engine wrote.

    Attributes:
        at: the number of operations in the journal when the damage was done.
        path: the file.
        offset: offset of the damage, in bytes.
        intended: the bytes that the engine wrote.
    """

    at: int
    path: str
    offset: int
    intended: bytes


Files = dict[str, bytes]
"""Files of a directory: path -> content."""


@dataclass
class Journal:
    """The operations that reached the disk below a directory. Ranks of the same process share a journal.

    Attributes:
        root: the directory; paths are relative to it.
        ops: the operations, in order.
        damage: the damage, in order.
    """

    root: Path
    ops: list[DiskOp] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A raw lock: it is never held while a simulated world switches threads. Reentrant, since the garbage collector may flush a file at that moment.
        self._lock = _thread.RLock()

    def relative(self, path: str | Path) -> str:
        """Returns a path relative to the root.

        Raises:
            HarnessError: the path is outside the root.
        """
        try:
            return PurePosixPath(path).relative_to(self.root.as_posix()).as_posix()
        except ValueError:
            message = f"{quoted(str(path))} is written outside the journal's directory {quoted(str(self.root))}; crashes cannot be judged there"
            raise HarnessError(message) from None

    def add(self, rank: int, kind: Kind, path: str | Path, *, offset: int = 0, data: bytes = b"", to: str | Path = "") -> None:
        """Appends an operation, after it took effect."""
        op = DiskOp(rank, kind, self.relative(path), offset, data, self.relative(to) if to else "")
        with self._lock:
            self.ops.append(op)

    def spoil(self, path: str | Path, offset: int, intended: bytes) -> None:
        """Notes that bytes on disk differ from those that the engine wrote.

        Args:
            path: the file.
            offset: offset of the bytes.
            intended: the bytes that the engine wrote.
        """
        with self._lock:
            self.damage.append(Damage(len(self.ops), self.relative(path), offset, intended))


def files_after(ops: Iterable[DiskOp], before: Mapping[str, bytes] | None = None) -> Files:
    """Returns the files as processes see them after the operations: path -> content.

    Args:
        ops: the operations, in order.
        before: the files that existed before them.

    Example:
        >>> files_after([DiskOp(0, "create", "a"), DiskOp(0, "write", "a", 0, b"x"), DiskOp(0, "rename", "a", to="b")])
        {'b': b'x'}
    """
    files = {path: bytearray(data) for path, data in (before or {}).items()}
    for op in ops:
        if op.kind == "create":
            files[op.path] = bytearray()
        elif op.kind == "write":
            overwrite(files.setdefault(op.path, bytearray()), op.offset, op.data)
        elif op.kind == "unlink":
            files.pop(op.path, None)
        elif op.kind == "rename":  # of a directory too, with all its files
            for path in [path for path in files if path == op.path or path.startswith(f"{op.path}/")]:
                files[op.to + path[len(op.path) :]] = files.pop(path)
    return {path: bytes(data) for path, data in files.items()}


def overwrite(content: bytearray, offset: int, data: bytes) -> None:
    """Writes ``data`` into ``content`` at an offset; a gap before it is filled with zeros."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
