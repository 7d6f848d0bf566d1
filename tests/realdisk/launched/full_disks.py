"""Saves to a tmpfs that is too small, with plain DCP; and the same saves with the effect ``nospace``."""

from __future__ import annotations

import math
import shutil
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from real_disks import tmpfs

from ckpt_harness.campaigns.recording import Scene, record, save
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.rank_program import ATTEMPT
from ckpt_harness.disk.journal import DiskOp, Journal
from ckpt_harness.engines.names import find_engine
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.workloads.context import Context, State, context_here
from ckpt_harness.workloads.workload import WORKLOADS, Workload, find_workload
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

PAGE = 4096


def _large(context: Context) -> State:
    return {f"large of rank {context.rank}": context.tensor(40, 1500)}


class Ended(NamedTuple):
    """How a save ended.

    Attributes:
        outcomes: the outcome of each rank.
        failures: for each rank, the failures that its exception names: rank -> type, errno and message.
        sizes: path -> size of each file.
    """

    outcomes: list[str]
    failures: list[dict[int, tuple[str, int | None, str]]]
    sizes: dict[str, int]


class Pair(NamedTuple):
    """One size of a disk.

    Attributes:
        pages: the size of the disk in pages.
        plan: the plan that simulates the size.
        real: the save on the tmpfs.
        simulated: the save with the plan.
    """

    pages: int
    plan: str
    real: Ended
    simulated: Ended


def ended(results: Sequence[RankResult], root: Path) -> Ended:
    failures = [{rank: _as_data(failure[0]) for rank, failure in getattr(result.error, "failures", {}).items()} for result in results]
    sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in sorted(root.rglob("*")) if path.is_file()}
    return Ended([result.outcome for result in results], failures, sizes)


def _as_data(error: BaseException) -> tuple[str, int | None, str]:
    return type(error).__name__, getattr(error, "errno", None), str(error)


def plainly(scene: Scene, root: Path) -> Sequence[RankResult]:
    """Saves with DCP alone."""
    engine: Any = find_engine(scene.engine)
    place = engine.place(root, "checkpoint")

    def body() -> None:
        state = find_workload(scene.workload).make(context_here(ATTEMPT, scene.ranks))
        torch.distributed.checkpoint.save(state, storage_writer=engine.make_writer(place))

    return SimulatedWorld(scene.ranks, seed=scene.seed).run(body)


def room(ops: Sequence[DiskOp], pages: int) -> dict[int, int]:
    """The bytes that each failing rank can write on a disk of so many pages: rank -> bytes. A page belongs to one file."""
    held: dict[str, int] = {}
    written: dict[int, int] = {}
    failed: set[int] = set()
    for op in ops:
        if op.kind != "write" or op.rank in failed or (failed and op.path.endswith(".metadata.tmp")):
            continue
        free = pages - sum(held.values())
        fits = min(len(op.data), (held.get(op.path, 0) + free) * PAGE - op.offset)
        held[op.path] = max(held.get(op.path, 0), math.ceil((op.offset + fits) / PAGE))
        written[op.rank] = written.get(op.rank, 0) + fits
        if fits < len(op.data):
            failed.add(op.rank)
    return {rank: written[rank] for rank in sorted(failed)}


def answer(scene: Scene, where: Path) -> list[Pair]:
    quiet()
    # Here and not above, since the tests import this module, and other tests draw from all registered workloads.
    WORKLOADS["large"] = Workload("large", "a tensor that does not fit into the buffer of a stream", _large)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    uuid.uuid4 = lambda: uuid.UUID(int=4)
    root = where / "disk"  # the same path for all saves, since a checkpoint holds its path
    root.mkdir()
    ops = record(scene, root).ops
    shutil.rmtree(root)
    pairs = []
    while not pairs or pairs[-1].plan:
        pages = len(pairs) + 1
        with tmpfs(root, pages * PAGE):
            real = ended(plainly(scene, root), root)
        plan = "; ".join(f"fs.write@{rank}=nospace({left})" for rank, left in room(ops, pages).items())
        root.mkdir()
        simulated = ended(save(scene, ATTEMPT, Journal(root), FaultPlan.parse(plan) if plan else FaultPlan()), root)
        shutil.rmtree(root)
        pairs.append(Pair(pages, plan, real, simulated))
    return pairs
