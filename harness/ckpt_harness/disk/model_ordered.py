"""The model ``ordered``: what a power cut leaves on a file system like ext4 with its defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckpt_harness.disk.entries import Entries, State, apply_change, directories
from ckpt_harness.disk.inode import Option
from ckpt_harness.disk.journal import DiskOp


class Ordered(Entries):
    """Applies operations by the rules of the model ``ordered``; see :mod:`ckpt_harness.disk.durability`.

    The first dimension is the number of changes of directories that survive; each further dimension is a file.
    """

    def __init__(self, ops: Sequence[DiskOp], before: Mapping[str, bytes]) -> None:
        super().__init__(before)
        floor = 0
        for op in ops:
            if op.kind == "create":
                self.create(op)  # a truncation counts as the creation of a new file
            elif op.kind in ("rename", "unlink", "mkdir"):
                self.change(op)
            elif op.kind == "write":
                self.write(op)
            elif op.kind == "fsync":
                if op.path in self.names:
                    floor = max(floor, self.inode(op.path).changed)
                    self.inode(op.path).sync()
                else:
                    floor = max(floor, self._last_change_of(op.path))
        moments = [Option(end, "; ".join(str(op) for op, _ in self.changes[end:])) for end in range(len(self.changes), floor - 1, -1)]
        self.dimensions = [moments, *(inode.ordered() for inode in self.inodes)]

    def _last_change_of(self, directory: str) -> int:
        """How many changes there were when a directory last changed; 0 if it never did."""
        last = 0
        for count, (change, _) in enumerate(self.changes, 1):
            if directory in {change.path, change.to} | directories(change):
                last = count
        return last

    def state(self, chosen: Sequence[Option]) -> State:
        """Returns the files that a choice from each dimension leaves."""
        end, *contents = chosen
        names = dict(self.durable_names)
        for op, number in self.changes[: end.value]:
            apply_change(names, op, number)
        files = {path: contents[number].value for path, number in names.items()}
        lost = [end.lost, *(contents[number].lost for number in names.values())]
        return State(files, tuple(text for text in lost if text))
