"""Saves on a real ext4 repeatedly, and cuts the power at another moment each time."""

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
    """The moment of a power cut.

    Attributes:
        after: number of operations that had acted; after the last operation, the save had returned.
        survives: what still reaches the disk, a key of ``POWER_CUTS``.
        aside: what the system did by itself: ``sync``, ``write back`` or nothing.
        at: number of operations after which the system did so.
    """

    after: int
    survives: str
    aside: str = ""
    at: int = 0


class Survivors(NamedTuple):
    """The files after a power cut.

    Attributes:
        cut: the moment of the cut.
        files: the surviving files.
        shown: what a reader got on the real disk.
    """

    cut: Cut
    files: Files
    shown: Shown


class Observed(NamedTuple):
    """The observations of one scene.

    Attributes:
        ops: the operations of a save without a cut.
        before: the files before the save.
        survivors: the files after each cut.
    """

    ops: tuple[DiskOp, ...]
    before: Files
    survivors: list[Survivors]


@dataclass
class WatchedJournal(Journal):
    """A journal that calls a function after each operation."""

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
        assert {result.outcome for result in save(scene, ATTEMPT, journal)} == {"returned"}
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
        ended = {result.outcome for result in save(scene, ATTEMPT, journal)}
        if cut.after == len(ops):
            assert ended == {"returned"}, ended
            disk.cut(cut.survives)
        assert tuple(journal.ops[: cut.after]) == ops[: cut.after]
        gc.collect()  # errors hold frames, which hold files
        disk.unmount()
        disk.mount()
        return Survivors(cut, disk.files(), shown_at(scene, disk.root))


def cuts(ops: tuple[DiskOp, ...]) -> list[Cut]:
    """Every crash point with every kind of cut; and for each crash point, cuts after the system has written by itself at an earlier point."""
    points = [end for end, op in enumerate(ops, 1) if op.kind not in ("flush", "close")]
    plain = [Cut(after, survives) for after in points for survives in POWER_CUTS]
    asides = [
        Cut(after, survives, aside, at)
        for number, after in enumerate(points[1:], 1)
        for at in [points[number - 1 if number % 2 else number // 2]]
        for survives, aside in (("nothing more", "sync"), ("what was journalled", "sync"), ("what was journalled", "write back"))
    ]
    return plain + asides


def answer(question: tuple[Scene, bool], where: Path) -> Observed:
    """Cuts the power at every crash point of a scene, or only after the save has returned."""
    scene, returned = question
    quiet()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    uuid.uuid4 = lambda: uuid.UUID(int=4)  # the same bytes in every save
    disk = where / "disk"  # the same path too, since a checkpoint holds its path
    ops, before = uncut(scene, disk)
    gc.collect()
    gc.freeze()  # so that collections after each cut skip the imported modules
    return Observed(ops, before, [survivors(scene, disk, cut, ops) for cut in cuts(ops) if not returned or cut.after == len(ops)])
