"""A sweep: discovers the fault space of operations, and lists the cases that fail every cell of it.

The space is finite and swept whole, so nothing is drawn at random.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ckpt_harness.campaigns.fault_space import Cell, Coverage, space
from ckpt_harness.campaigns.swept_faults import fault_at, lasting_error, mistakable, other_effects, pairs, plain_error
from ckpt_harness.cases.case import Case, Onto, WorldName
from ckpt_harness.cases.fallback import placed
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.calling import Executor, Overlap
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.workloads.workload import WORKLOADS

Zoo = Literal["sample", "full"]


@dataclass(frozen=True)
class Sweep:
    """Which cases a sweep runs.

    Attributes:
        operations: kinds of operation.
        sizes: numbers of ranks.
        coordinators: ranks that coordinate in turn; None for every rank of a size.
        engine: name of the engine.
        workload: name of the workload.
        seed: seed of the order in which simulated ranks run.
        zoo: try each special error at one cell of each site and role (``sample``), or at every cell (``full``). At sites of files and objects, the
            role is that of the rank and that of the file.
        pairs: run all pairs of plain errors, instead of single faults.
        world: what runs the ranks.
        way: how ranks are grouped for the call, by name.
        planner: kind of planner, by name.
        executor: what runs async saves in the background.
        staging: what copies the state of async saves.
        overlap: whether a second async save is under way at the same time. The faults strike the first.
        onto: what saves find at their place, or have found there whose checkpoints are loaded.
        disk: fail every cell below the storage, instead of the cells at and above it.
        network: fail every request to an object store, instead of the cells at and above the storage.
    """

    operations: tuple[OperationKind, ...] = ("save", "load")
    sizes: tuple[int, ...] = (2,)
    coordinators: tuple[int, ...] | None = (0,)
    engine: str = "filesystem"
    workload: str = "mixed"
    seed: int = 0
    zoo: Zoo = "sample"
    pairs: bool = False
    world: WorldName = "simulated"
    way: str = "together"
    planner: str = "default"
    executor: Executor = "thread"
    staging: str = "writer"
    overlap: Overlap = "none"
    onto: Onto = "nothing"
    disk: bool = False
    network: bool = False

    def grounds(self) -> Iterator[Case]:
        """The fault-free case of each operation, size and coordinator."""
        for operation, size in itertools.product(self.operations, self.sizes):
            ground = self._ground(operation, size)
            for coordinator in self._coordinators_of(ground):
                yield replace(ground, coordinator=coordinator)

    def _ground(self, operation: OperationKind, size: int) -> Case:
        return Case(
            operation=operation,
            ranks=size,
            engine=self.engine,
            workload=self.workload,
            seed=self.seed,
            way=self.way,
            planner=self.planner,
            world=self.world,
            executor=self.executor,
            staging=self.staging,
            overlap=self.overlap,
            onto=self.onto,
            watch_disk=self.disk,
            watch_network=self.network,
        ).settled()

    def _coordinators_of(self, ground: Case) -> Sequence[int]:
        """The ranks that coordinate in turn."""
        if self.coordinators is not None:
            chosen: Sequence[int] = self.coordinators
        elif ground.call_style.use_collectives:
            chosen = range(min(len(group.ranks) for group in ground.groups()))
        else:
            chosen = (0,)  # without collectives nobody coordinates
        if ground.operation == "async_save":  # which always coordinates on rank 0
            return [rank for rank in chosen if rank == 0]
        return chosen

    def cases(self, rig: Rig, ground: Case) -> Iterator[Case]:
        """All cases on one ground. The fault-free case comes first: nothing else means anything if it fails.

        Args:
            rig: discovers the fault space.
            ground: a case of :meth:`grounds`.
        """
        yield ground
        if self.overlap == "shared":
            yield from _one_after_the_other(ground)
        cells = space(rig, ground)
        if self.pairs:
            for plan in pairs(ground, cells):
                yield replace(ground, plan=plan)
            return
        if self.workload == Case.workload and ground.world == "simulated" and not ground.coordinator:
            yield from _of_other_workloads(ground)
        for cell in cells:
            plain = plain_error(SITES[cell.site])
            yield replace(ground, plan=FaultPlan((fault_at(ground, cell, plain),)))
            # "For ever" differs from "once" only while the operation lasts, so the retry would show the same again.
            lasting = fault_at(ground, cell, lasting_error(SITES[cell.site]), times=None)
            yield replace(ground, plan=FaultPlan((lasting,)), retry=False)
        chosen = cells if self.zoo == "full" else self._in_turn(cells, ground)
        for cell in chosen if self.zoo == "full" else _first_of_each_role(chosen, ground):
            for effect, after in other_effects(SITES[cell.site], ground.world):
                yield replace(ground, plan=FaultPlan((fault_at(ground, cell, effect, after=after),)))
        for cell, effect in mistakable(chosen, everywhere=self.zoo == "full"):
            yield replace(ground, plan=FaultPlan((fault_at(ground, cell, effect),)))

    def _in_turn(self, cells: Sequence[Cell], ground: Case) -> list[Cell]:
        """The cells of the sites that are sampled with the coordinator of ``ground``: each site with one coordinator, which differs from site to site."""
        turns = [other.coordinator for other in self.grounds() if (other.operation, other.ranks) == (ground.operation, ground.ranks)]
        numbers = {site: number for number, site in enumerate(SITES)}

        def turn(site: str) -> int:
            return 0 if site.startswith("state.") else numbers[site] % len(turns)  # DCP calls a Stateful with coordinator 0 only

        return [cell for cell in cells if turns[turn(cell.site)] == ground.coordinator]


def _first_of_each_role(cells: Sequence[Cell], ground: Case) -> Iterator[Cell]:
    """The first cell of each site on the coordinator and on another rank and, at sites of files and objects, for each role of the file."""
    coordinators = {group.coordinator for group in ground.groups()}
    seen: set[tuple[str, bool, str]] = set()
    for cell in cells:
        role = (cell.site, cell.rank in coordinators, cell.file_role)
        if role not in seen:
            seen.add(role)
            yield cell


def _one_after_the_other(ground: Case) -> Iterator[Case]:
    """Two saves that are under way at once, and whose collectives do not meet: the second save is set up, and then waits until the first has ended.

    In most other orders the collectives of the saves cross (DCP-020), and the ranks hang before they could show what else the saves share.
    """
    with contextlib.suppress(PlanError):  # the engine does not make this call
        late = replace(ground, plan=FaultPlan.parse(f"{ground.operation}[2]/save_planner.create_local_plan@all=delay"))
        late.bind()
        yield late


def _of_other_workloads(ground: Case) -> Iterator[Case]:
    """The fault-free cases of all other workloads: some breaches show with states of one kind only, and need no fault."""
    for name in WORKLOADS:
        other = replace(ground, workload=name)
        with contextlib.suppress(UsageError):  # not every engine, and not every way of calling, can hold every workload
            other.bind()
            if name != ground.workload:
                yield other


def plan_sweep(sweep: Sweep, rig: Rig) -> tuple[list[Case], Coverage]:
    """Discovers the fault space, and lists the cases that cover it.

    Cases that the ranks of a launcher would not survive are placed on simulated ranks.

    Args:
        sweep: which cases are wanted.
        rig: runs the fault-free cases.

    Raises:
        EngineError: the engine cannot save though nothing goes wrong.
    """
    cases: list[Case] = []
    coverage = Coverage()
    for ground in sweep.grounds():
        rig.check_undisturbed(ground)
        coverage.reachable |= {(ground, cell) for cell in space(rig, ground)}
        cases += sweep.cases(rig, ground)
    if sweep.world == "attached":
        cases = [placed(case)[0] for case in cases]
    return cases, coverage
