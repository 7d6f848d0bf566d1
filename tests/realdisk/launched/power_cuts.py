"""Saves on a real ext4 again and again, and cuts the power at another moment each time."""

from __future__ import annotations

import gc
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from real_disks import POWER_CUTS, Ext4, ext4

from ckpt_harness.campaigns.readers import shown_at
from ckpt_harness.campaigns.recording import Scene, save
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.disk.journal import DiskOp, Files, Journal, Kind
from ckpt_harness.disk.shown import Shown


class Cut(NamedTuple):
    """When the power was cut.

    Attributes:
        after: how many operations had acted; after the last, the save had returned.
        survives: what still got to the disk.
        aside: what the system had done on its own: ``sync``, ``write back`` or nothing.
        at: after how many operations.
    """

    after: int
    survives: str
    aside: str = ""
    at: int = 0


class Survivors(NamedTuple):
    """What was there after a cut.

    Attributes:
        cut: when.
        files: what survived.
        shown: what a reader got of it, on the real disk.
    """

    cut: Cut
    files: Files
    shown: Shown


class Told(NamedTuple):
    """What was found out about a scene.

    Attributes:
        ops: what a save does, if it is not cut.
        before: the files that were there.
        survivors: one for each cut.
    """

    ops: tuple[DiskOp, ...]
    before: Files
    survivors: list[Survivors]


@dataclass
class WatchedJournal(Journal):
    """One that calls after each operation."""

    then: Callable[[int], None] = lambda count: None

    def add(self, rank: int, kind: Kind, path: str | Path, *, offset: int = 0, data: bytes = b"", to: str | Path = "") -> None:
        super().add(rank, kind, path, offset=offset, data=data, to=to)
        self.then(len(self.ops))


def prepared(scene: Scene, disk: Ext4) -> Files:
    if scene.overwrite:
        save(scene, PREVIOUS, Journal(disk.root))
    disk.sync()
    return disk.files()


def uncut(scene: Scene, where: Path) -> tuple[tuple[DiskOp, ...], Files]:
    with ext4(where) as disk:
        before = prepared(scene, disk)
        journal = Journal(disk.root)
        assert {one.outcome for one in save(scene, ATTEMPT, journal)} == {"returned"}
        return tuple(journal.ops), before


def survivors(scene: Scene, where: Path, cut: Cut, ops: tuple[DiskOp, ...]) -> Survivors:
    with ext4(where) as disk:
        prepared(scene, disk)

        def then(count: int) -> None:
            if cut.aside and count == cut.at:
                (disk.sync if cut.aside == "sync" else disk.write_back)()
            if count == cut.after < len(ops):
                disk.cut(cut.survives)

        journal = WatchedJournal(disk.root, then=then)
        ended = {one.outcome for one in save(scene, ATTEMPT, journal)}
        if cut.after == len(ops):
            assert ended == {"returned"}, ended
            disk.cut(cut.survives)
        assert tuple(journal.ops[: cut.after]) == ops[: cut.after]
        gc.collect()  # errors hold frames, which hold files
        disk.unmount()
        disk.mount()
        return Survivors(cut, disk.files(), shown_at(scene, disk.root))


def cuts(ops: tuple[DiskOp, ...]) -> list[Cut]:
    """Every point and kind of cut; and for each point, that the system wrote something on its own at the last change before, or half way, by turns."""
    points = [end for end, op in enumerate(ops, 1) if op.kind not in ("flush", "close")]
    plain = [Cut(after, survives) for after in points for survives in POWER_CUTS]
    asides = [
        Cut(after, survives, aside, at)
        for number, after in enumerate(points[1:], 1)
        for at in [points[number - 1 if number % 2 else number // 2]]
        for survives, aside in (("nothing more", "sync"), ("what was journalled", "sync"), ("what was journalled", "write back"))
    ]
    return plain + asides


def answer(question: tuple[Scene, bool], where: Path) -> Told:
    """Of a scene; at every point, or only after the save has returned."""
    scene, returned = question
    quiet()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    uuid.uuid4 = lambda: uuid.UUID(int=4)  # the same bytes in every save
    disk = where / "disk"  # the same path too: a checkpoint holds its own
    ops, before = uncut(scene, disk)
    gc.collect()
    gc.freeze()  # what is imported need not be looked at again after each cut
    return Told(ops, before, [survivors(scene, disk, cut, ops) for cut in cuts(ops) if not returned or cut.after == len(ops)])
