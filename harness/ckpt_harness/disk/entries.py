"""The entries of directories: the names of files, and how operations change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ckpt_harness.disk.inode import Inode
from ckpt_harness.disk.journal import DiskOp, Files


@dataclass(frozen=True)
class State:
    """The files that a crash may leave.

    Attributes:
        files: path -> content.
        lost: the operations, or parts of operations, that did not survive, in words.
    """

    files: Files
    lost: tuple[str, ...] = ()


class Entries:
    """The names and contents of files while operations are applied, and the changes of names in order.

    Subclasses are the durability models. A model has ``dimensions``: for each file or change, the ways in which it may survive. ``state`` gives the
    files that are left by a choice from each dimension.

    Attributes:
        inodes: all files that ever existed.
        names: path -> index into ``inodes``, as processes see it.
        durable_names: the names when the journal began.
        changes: the changes of directories in order, each with the index of its file, if it has one.
    """

    def __init__(self, before: Mapping[str, bytes]) -> None:
        self.inodes = [Inode(path, data, bytearray(data)) for path, data in before.items()]
        self.names = dict(zip(before, range(len(self.inodes)), strict=True))
        self.durable_names = dict(self.names)
        self.changes: list[tuple[DiskOp, int | None]] = []

    def inode(self, path: str) -> Inode:
        """Returns the file at a path."""
        return self.inodes[self.names[path]]

    def create(self, op: DiskOp) -> None:
        """Creates a file."""
        self.inodes.append(Inode(op.path))
        self.names[op.path] = len(self.inodes) - 1
        self._note(op, self.names[op.path])

    def write(self, op: DiskOp) -> None:
        """Writes to a file."""
        inode = self.inode(op.path)
        length = len(inode.content)
        inode.write(op)
        if len(inode.content) > length:
            inode.changed = len(self.changes)

    def change(self, op: DiskOp) -> None:
        """Applies a rename, a removal, or the creation of a directory."""
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
    """Applies a change of directories to ``names``, whether or not earlier changes survived.

    Args:
        names: path -> index of the file; modified.
        op: the change.
        number: index of the file; None for a directory.
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
    """Returns the directories whose entries a change modifies. The change is durable once all of them were synced."""
    return {path.rpartition("/")[0] or "." for path in (op.path, op.to) if path}
