"""The model ``posix``: what a power cut leaves if only the guarantees of POSIX hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckpt_harness.disk.entries import Entries, State, apply_change, directories
from ckpt_harness.disk.inode import Option
from ckpt_harness.disk.journal import DiskOp


class Posix(Entries):
    """Applies operations by the rules of the model ``posix``; see :mod:`ckpt_harness.disk.durability`.

    There is a dimension for each change of directories that is not durable, and one for each file.
    """

    def __init__(self, ops: Sequence[DiskOp], before: Mapping[str, bytes]) -> None:
        super().__init__(before)
        waits_for: list[set[str]] = []  # for each change, the directories that still have to be synced
        for op in ops:
            if op.kind == "create":
                if op.path in self.names:
                    self.inode(op.path).truncate()
                else:
                    self.create(op)
            elif op.kind in ("rename", "unlink", "mkdir"):
                if op.kind == "rename" and op.path not in self.names:  # changes inside the directory now wait for its new name
                    waits_for = [{_moved(path, op) for path in paths} for paths in waits_for]
                self.change(op)
            elif op.kind == "write":
                self.write(op)
            elif op.kind == "fsync":
                if op.path in self.names:
                    self.inode(op.path).sync()
                waits_for = [paths - {op.path} for paths in waits_for]
            waits_for += [directories(change) for change, _ in self.changes[len(waits_for) :]]
        self.synced = {index for index, paths in enumerate(waits_for) if not paths}
        self.open = [index for index in range(len(self.changes)) if index not in self.synced]
        entries = [[Option(True), Option(False, str(self.changes[index][0]))] for index in self.open]
        self.dimensions = [*entries, *(inode.posix() for inode in self.inodes)]

    def state(self, chosen: Sequence[Option]) -> State:
        """Returns the files that a choice from each dimension leaves."""
        entries, contents = chosen[: len(self.open)], chosen[len(self.open) :]
        survived = self.synced | {index for index, entry in zip(self.open, entries, strict=True) if entry.value}
        missing = {change.path for index, (change, _) in enumerate(self.changes) if index not in survived and change.kind == "mkdir"}
        names = dict(self.durable_names)
        for index in sorted(survived):
            apply_change(names, *self.changes[index])
        names = {path: number for path, number in names.items() if missing.isdisjoint(_parents(path))}
        files = {path: contents[number].value for path, number in names.items()}
        lost = [*(entry.lost for entry in entries), *(contents[number].lost for number in names.values())]
        return State(files, tuple(text for text in lost if text))


def _moved(path: str, op: DiskOp) -> str:
    """Returns the path after a directory was renamed."""
    return op.to + path[len(op.path) :] if path == op.path or path.startswith(f"{op.path}/") else path


def _parents(path: str) -> list[str]:
    """The directories above a path, outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
