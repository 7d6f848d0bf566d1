"""Runs short sequences of disk operations on a real ext4, cuts the power after each, and returns the surviving files."""

from __future__ import annotations

import os
from pathlib import Path

from real_disks import Ext4, ext4

from ckpt_harness.disk.journal import DiskOp

Step = DiskOp | str
"""An operation of a process; or ``sync`` or ``write back``, which the system may do at any time and which no journal records."""


class Machine:
    """Runs operations on the disk, and keeps its files open, as a process does."""

    def __init__(self, disk: Ext4) -> None:
        self.disk = disk
        self.open: dict[str, int] = {}

    def act(self, step: Step) -> None:
        if step == "sync":
            self.disk.sync()
        elif step == "write back":
            self.disk.write_back()
        elif isinstance(step, DiskOp):
            self._act(step)

    def _act(self, op: DiskOp) -> None:
        path = self.disk.root / op.path
        if op.kind == "mkdir":
            path.mkdir()
        elif op.kind == "create":
            self.close(op.path)
            self.open[op.path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        elif op.kind == "write":
            os.pwrite(self._file(op.path), op.data, op.offset)
        elif op.kind == "fsync":
            os.fsync(self._file(op.path))
        elif op.kind == "close":
            self.close(op.path)
        elif op.kind == "unlink":
            self.close(op.path)
            path.unlink()
        elif op.kind == "rename":
            self.close(op.to)
            path.rename(self.disk.root / op.to)
            if op.path in self.open:
                self.open[op.to] = self.open.pop(op.path)

    def _file(self, path: str) -> int:
        if path not in self.open:
            self.open[path] = os.open(self.disk.root / path, os.O_RDONLY if (self.disk.root / path).is_dir() else os.O_RDWR)
        return self.open[path]

    def close(self, path: str) -> None:
        if path in self.open:
            os.close(self.open.pop(path))


def survivors(where: Path, before: list[Step], steps: list[Step], survives: str) -> dict[str, bytes]:
    with ext4(where) as disk:
        machine = Machine(disk)
        for step in [*before, "sync", *steps]:
            machine.act(step)
        disk.cut(survives)
        for path in list(machine.open):
            machine.close(path)
        disk.unmount()
        disk.mount()
        return disk.files()


def answer(programs: list[tuple[list[Step], list[Step], str]], where: Path) -> list[dict[str, bytes]]:
    return [survivors(where / "disk", *one) for one in programs]
