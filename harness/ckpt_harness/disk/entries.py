"""The names of files in their directories: how operations change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ckpt_harness.disk.inode import Inode
from ckpt_harness.disk.journal import DiskOp, Files


@dataclass(frozen=True)
class State:
    """Files that a crash may leave.

    Attributes:
        files: path -> content.
        lost: what of the operations did not survive, in words.
    """

    files: Files
    lost: tuple[str, ...] = ()


class Entries:
    """The names and contents of files, as they change; what changed of the names, in order.

    Those who derive from it say what may have survived: one dimension for each thing that may or may not have, and the files that a choice leaves.
    """

    def __init__(self, before: Mapping[str, bytes]) -> None:
        self.inodes = [Inode(path, data, bytearray(data)) for path, data in before.items()]
        self.names = dict(zip(before, range(len(self.inodes)), strict=True))
        self.durable_names = dict(self.names)
        self.changes: list[tuple[DiskOp, int | None]] = []

    def inode(self, path: str) -> Inode:
        return self.inodes[self.names[path]]

    def create(self, op: DiskOp) -> None:
        self.inodes.append(Inode(op.path))
        self.names[op.path] = len(self.inodes) - 1
        self._note(op, self.names[op.path])

    def write(self, op: DiskOp) -> None:
        inode = self.inode(op.path)
        length = len(inode.content)
        inode.write(op)
        if len(inode.content) > length:
            inode.changed = len(self.changes)

    def change(self, op: DiskOp) -> None:
        """A rename, a removal, or a new directory."""
        number = self.names.get(op.path)
        apply_change(self.names, op, number)
        if op.kind == "rename" and number is not None:
            self.inodes[number].name = op.to
        self._note(op, number)

    def _note(self, op: DiskOp, number: int | None) -> None:
        self.changes.append((op, number))
        if number is not None:
            self.inodes[number].changed = len(self.changes)


def apply_change(names: dict[str, int], op: DiskOp, number: int | None) -> None:
    """A change of directories, as it survives whether or not those before it did.

    Args:
        names: path -> number of the file; changed.
        op: the change.
        number: of the file that it is about; None for a directory.
    """
    if op.kind == "create" and number is not None:
        names[op.path] = number
    elif op.kind == "rename" and number is None:
        for path in [path for path in names if path.startswith(f"{op.path}/")]:
            names[op.to + path[len(op.path) :]] = names.pop(path)
    elif op.kind in ("rename", "unlink") and number is not None:
        if names.get(op.path) == number:
            del names[op.path]
        if op.kind == "rename":
            names[op.to] = number


def directories(op: DiskOp) -> set[str]:
    """The directories whose entries a change changes; it is durable once each was synced."""
    return {path.rpartition("/")[0] or "." for path in (op.path, op.to) if path}
