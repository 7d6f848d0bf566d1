"""Many cases: discover the fault space of an operation, and fail every cell of it.

The space is what a run without faults reaches: every (site, rank, occurrence). Hypothesis is not needed here: the space is finite and swept whole.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from ckpt_harness.campaigns.workers import workers
from ckpt_harness.cases.case import Case, Onto, WorldName
from ckpt_harness.cases.fallback import placed
from ckpt_harness.cases.record import Record
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import UsageError
from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.calling import Executor, Overlap
from ckpt_harness.faults.effects import (
    BitFlip,
    CutBody,
    Delay,
    DiskError,
    Effect,
    Exit,
    FailFuture,
    Hang,
    Kill,
    Misdirect,
    NeverComplete,
    NoSpace,
    Raise,
    Reset,
    ShortWrite,
    Skip,
    StaleRead,
    Status,
    Stop,
    Throttle,
    TornWrite,
    Truncate,
    WrongResult,
    ZeroFill,
)
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES, OperationKind, Site
from ckpt_harness.findings.register import Register
from ckpt_harness.workloads.workload import WORKLOADS

Zoo = Literal["sample", "full"]
_CHUNK = 40
"""Cases that a worker takes at a time: enough to reuse a fault-free course, few enough for a smooth progress bar."""


class Cell(NamedTuple):
    """A point of the fault space.

    Attributes:
        site: full name.
        rank: the rank that calls it.
        nth: which of its calls on that rank, from 1.
    """

    site: str
    rank: int
    nth: int


@dataclass(frozen=True)
class Sweep:
    """Which cases a sweep runs.

    Attributes:
        operations: kinds of operation.
        sizes: numbers of ranks.
        coordinators: ranks that coordinate in turn; None for every one that a size has.
        engine: name of the engine.
        workload: name of the workload.
        seed: of the order in which ranks run.
        zoo: try each special error at one cell of a site and role (``sample``), or at every cell (``full``).
        pairs: run all pairs of plain errors instead of single faults.
        world: what runs the ranks.
        way: name of the way of calling.
        planner: name of the kind of planner.
        executor: what async saves are done by.
        staging: what copies the state of async saves.
        overlap: how a second async save is under way beside the first, which the faults strike.
        onto: what saves find at their place.
        disk: fail every cell below the storage, instead of those at and above it.
        network: the same for its requests to an object store.
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
            ground = Case(FaultPlan(), operation, size, 0, self.engine, self.workload, self.seed, self.way, world=self.world, planner=self.planner)
            ground = replace(ground, executor=self.executor, staging=self.staging, overlap=self.overlap, watch_disk=self.disk, watch_network=self.network)
            ground = replace(ground, onto=self.onto if operation != "load" else "nothing").settled()
            # A group of one has no choice, and where nobody coordinates there is none.
            choice = min(len(group.ranks) for group in ground.groups()) if ground.call_style.use_collectives else 1
            for coordinator in range(choice) if self.coordinators is None else self.coordinators:
                if coordinator == 0 or ground.operation != "async_save":  # async_save has no coordinator to choose
                    yield replace(ground, coordinator=coordinator)

    def cases(self, rig: Rig, ground: Case) -> Iterator[Case]:
        """All cases on one ground: nothing wrong first, since nothing else means anything if that fails."""
        yield ground
        cells = space(rig, ground)
        if self.pairs:
            yield from (replace(ground, plan=plan) for plan in _pairs(ground, cells))
            return
        if self.workload == Case.workload and ground.world == "simulated" and not ground.coordinator:
            yield from _of_other_workloads(ground)
        for cell in cells:
            plain = _error(SITES[cell.site])
            yield replace(ground, plan=FaultPlan((_fault(ground, cell, plain),)))
            # For ever differs from once only while the operation lasts, so the retry would show the same again.
            yield replace(ground, plan=FaultPlan((_fault(ground, cell, plain, times=None),)), retry=False)
        for cell in cells if self.zoo == "full" else self._sample(cells, ground):
            for effect, after in _effects(SITES[cell.site], ground.world):
                yield replace(ground, plan=FaultPlan((_fault(ground, cell, effect, after=after),)))

    def _sample(self, cells: Sequence[Cell], ground: Case) -> Iterator[Cell]:
        """The first cell of each site on the coordinator and on another rank; a site has its turn with one coordinator of each size only."""
        coordinators = [one.coordinator for one in self.grounds() if (one.operation, one.ranks) == (ground.operation, ground.ranks)]
        # DCP calls a Stateful with coordinator 0 only.
        turn = {site: coordinators[0 if site.startswith("state.") else number % len(coordinators)] for number, site in enumerate(SITES)}
        coordinating = {group.coordinator for group in ground.groups()}
        seen: set[tuple[str, bool]] = set()
        for cell in cells:
            role = (cell.site, cell.rank in coordinating)
            if turn[cell.site] == ground.coordinator and role not in seen:
                seen.add(role)
                yield cell


def _of_other_workloads(ground: Case) -> Iterator[Case]:
    """What goes wrong with states of one kind only does so with no fault at all."""
    for name in WORKLOADS:
        other = replace(ground, workload=name)
        with contextlib.suppress(UsageError):  # not every engine can hold all, nor can every way of calling
            other.bind()
            if name != ground.workload:
                yield other


def space(rig: Rig, ground: Case) -> list[Cell]:
    """The fault space: every call that a run without faults makes, below the storage where that is watched, and else at and above it.

    Args:
        rig: runs it.
        ground: a case; its plan does not matter.
    """
    ranks = rig.trace(ground).moments.get(f"{ground.operation}[1]", {})
    calls = [(rank, one) for rank, moments in ranks.items() for one in moments if not one.after]
    return [Cell(one.site, rank, one.nth) for rank, one in calls if SITES[one.site].layer == ground.layer]


def _fault(ground: Case, cell: Cell, effect: Effect, *, times: int | None = 1, after: bool = False) -> Fault:
    # Of two operations under way at once it must be said which one is struck: their calls come in any order.
    operation = None if ground.overlap == "none" else OperationRef(ground.operation, 1)
    # There may be no other file to which bytes could go, and nobody reads what a save opens to write.
    optional = isinstance(effect, (Misdirect, StaleRead))
    return Fault(cell.site, (cell.rank,), effect, nth=cell.nth, times=times, after=after, operation=operation, optional=optional)


def _error(site: Site, error: str = "InjectedFault") -> Effect:
    if site.side == "fs":
        return DiskError()  # what disks raise
    if site.layer == "network":
        return Status()
    return FailFuture("wait", error) if site.is_future else Raise(error)


def _effects(site: Site, world: WorldName) -> Iterator[tuple[Effect, bool]]:
    """(effect, after the call) of everything but the plain error that the world can show. Real seconds are spent; simulated ones cost nothing."""
    if site.side == "fs":
        yield DiskError("ENOSPC"), False
        yield DiskError(), True
    elif site.layer == "network":
        yield Status(), True
        yield Reset(), False
        yield Reset(), True
    else:
        for error in zoo.SWEPT:
            yield _error(site, error), False
        if not site.is_future:
            yield Raise(), True
    others: list[Effect] = [NoSpace(100), ShortWrite(), TornWrite(10), BitFlip(100), ZeroFill(), Truncate(100), Misdirect(), StaleRead()]
    others += [CutBody(10), Throttle(100_000)]
    others += [Delay(5.0 if world == "simulated" and site.layer != "network" else 0.3), Hang(), Kill(), Skip(), NeverComplete()]
    if world == "processes":
        others += [Stop(), Exit()]
    if site.name == "writer.write_data.future":
        others.append(FailFuture("value"))
    if WrongResult.legal_at(site):
        others += [WrongResult(kind) for kind in WrongResult.kinds_at(site)]
    for effect in others:
        if effect.legal_at(site):
            yield effect, False


def _pairs(ground: Case, cells: Sequence[Cell]) -> Iterator[FaultPlan]:
    """All pairs of plain errors at different cells."""
    guarded = [cell for cell in cells if SITES[cell.site].side != "pg"]
    for first, second in itertools.combinations(guarded, 2):
        yield FaultPlan((_fault(ground, first, _error(SITES[first.site])), _fault(ground, second, _error(SITES[second.site], "ValueError"))))


# -- running them


@dataclass
class Coverage:
    """Which cells of a fault space were hit.

    Attributes:
        reachable: all cells, with the ground they belong to.
        hit: those in which a fault was planned and fired.
        sites: every site that was reached.
    """

    reachable: set[tuple[Case, Cell]] = field(default_factory=set)
    hit: set[tuple[Case, Cell]] = field(default_factory=set)

    @property
    def sites(self) -> set[str]:
        return {cell.site for _, cell in self.reachable}

    def never_reached(self, operations: Iterable[OperationKind]) -> list[str]:
        """Declared sites of the operations that no run reached."""
        wanted, layers = set(operations), {ground.layer for ground, _ in self.reachable}
        sites = [site for site in SITES.values() if wanted & set(site.operations) and site.layer in layers]
        return [site.name for site in sites if site.name not in self.sites]


def plan_sweep(sweep: Sweep, rig: Rig) -> tuple[list[Case], Coverage]:
    """Discovers the fault space and lists the cases that cover it. Those that a launcher's ranks would not survive are for simulated ranks."""
    cases: list[Case] = []
    coverage = Coverage()
    for ground in sweep.grounds():
        coverage.reachable |= {(ground, cell) for cell in space(rig, ground)}
        cases += sweep.cases(rig, ground)
    if sweep.world == "attached":
        cases = [placed(case)[0] for case in cases]
    return cases, coverage


def run_all(cases: Sequence[Case], jobs: int = 1, register: Register | None = None) -> Iterator[Record]:
    """Runs cases and gives their records as they come, in any order.

    Args:
        cases: what to run.
        jobs: number of processes; 1 runs them here.
        register: known findings; by default those that ship with the harness.
    """
    chunks = [cases[start : start + _CHUNK] for start in range(0, len(cases), _CHUNK)]
    if jobs == 1 or len(chunks) == 1:
        with Rig(register=register) as rig:
            for case in cases:
                yield run_one(rig, case)
        return
    with workers(jobs, preload="ckpt_harness.cases.rig") as pool:
        for done in as_completed([pool.submit(_run_chunk, chunk, register) for chunk in chunks]):
            yield from done.result()


def _run_chunk(cases: Sequence[Case], register: Register | None) -> list[Record]:
    with Rig(register=register) as rig:
        return [run_one(rig, case) for case in cases]


def run_one(rig: Rig, case: Case) -> Record:
    """Runs a case and keeps what is worth keeping."""
    started = time.perf_counter()
    result = rig.run(case)
    return Record.of(result, rig.register.covered(case.engine, result.evidence), time.perf_counter() - started)
