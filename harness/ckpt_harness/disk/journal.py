"""The journal: every operation that reached the disk, in its true order across ranks; and, kept apart from it, what was damaged on the way.

A write is in the journal when the operating system has it, not when it was put into a buffer of the process: what a killed rank had buffered is
lost, and is not here. A journal is enough to rebuild the files at any moment, and what a crash may have left of them (``ckpt_harness.campaigns.crashes``).

Not modelled: reads, permissions, links, sparse files, and two processes that write one file at the same time.
"""

from __future__ import annotations

import _thread
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from ckpt_harness.errors import HarnessError

Kind = Literal["mkdir", "create", "write", "flush", "fsync", "close", "rename", "unlink"]


class DiskOp(NamedTuple):
    """One operation that reached the disk.

    Attributes:
        rank: who did it.
        kind: ``mkdir``; ``create`` (or truncate, if the file was there); ``write``; ``flush`` (of the process's buffer, which makes nothing durable);
            ``fsync`` (of a file, or of a directory: its entries); ``close``; ``rename`` (over whatever had the new name); ``unlink``.
        path: of the file or directory, relative to the journal's root.
        offset: of a write, in bytes.
        data: of a write.
        to: of a rename, the new path.
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
    """Bytes that are not what the engine asked for.

    Attributes:
        at: how many operations the journal held then.
        path: of the file.
        offset: in bytes.
        intended: what should be there.
    """

    at: int
    path: str
    offset: int
    intended: bytes


Files = dict[str, bytes]
"""Path -> content."""


@dataclass
class Journal:
    """What reached the disk below a directory. Ranks of one process share it.

    Attributes:
        root: the directory; paths are relative to it.
        ops: what happened, in order.
        damage: what was damaged on the way, in order.
    """

    root: Path
    ops: list[DiskOp] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A raw lock: it is never held across a hand-over of a simulated world. Reentrant, as the collector may flush a file in that instant.
        self._lock = _thread.RLock()

    def relative(self, path: str | Path) -> str:
        """A path as the journal names it.

        Raises:
            HarnessError: it lies outside of the root.
        """
        try:
            return PurePosixPath(path).relative_to(self.root.as_posix()).as_posix()
        except ValueError:
            raise HarnessError(f"{str(path)!r} is written, which lies outside of {str(self.root)!r}: what a crash leaves there cannot be told") from None

    def add(self, rank: int, kind: Kind, path: str | Path, *, offset: int = 0, data: bytes = b"", to: str | Path = "") -> None:
        """Notes an operation that has acted."""
        op = DiskOp(rank, kind, self.relative(path), offset, data, self.relative(to) if to else "")
        with self._lock:
            self.ops.append(op)

    def spoil(self, path: str | Path, offset: int, intended: bytes) -> None:
        """Notes what should have been written where something else is."""
        with self._lock:
            self.damage.append(Damage(len(self.ops), self.relative(path), offset, intended))


def files_after(ops: Iterable[DiskOp], before: Mapping[str, bytes] | None = None) -> Files:
    """The files as processes see them once the operations have acted.

    Args:
        ops: in order.
        before: the files that were there.
    """
    files = {path: bytearray(data) for path, data in (before or {}).items()}
    for op in ops:
        if op.kind == "create":
            files[op.path] = bytearray()
        elif op.kind == "write":
            overwrite(files.setdefault(op.path, bytearray()), op.offset, op.data)
        elif op.kind == "unlink":
            files.pop(op.path, None)
        elif op.kind == "rename":  # of a directory too, with all that is in it
            for path in [path for path in files if path == op.path or path.startswith(f"{op.path}/")]:
                files[op.to + path[len(op.path) :]] = files.pop(path)
    return {path: bytes(data) for path, data in files.items()}


def overwrite(content: bytearray, offset: int, data: bytes) -> None:
    """Puts ``data`` where it belongs; a gap before it reads as zeros."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
