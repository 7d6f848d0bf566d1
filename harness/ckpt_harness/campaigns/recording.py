"""Recording a save: every file operation that reaches the disk while simulated ranks save.

Not recorded: what an engine writes past its file system (``fs``). Such an engine is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckpt_harness.cases.binding import check_can_hold
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.disk.journal import DiskOp, Files, Journal, files_after
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError, cannot_save, quoted
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.history import Event, History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.storage import FaultyStorageWriter
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

PLACE = "checkpoint"
"""Name of the checkpoint below the directory that a scene is played in."""


@dataclass(frozen=True)
class Scene:
    """What is saved, by how many ranks, and onto what.

    Attributes:
        engine: name of the engine.
        workload: name of the workload, the state that is saved.
        ranks: how many ranks save, and load.
        overwrite: whether the save finds a committed checkpoint at its place, instead of nothing.
        seed: seed of the order in which ranks run.
    """

    engine: str = "filesystem-synced"
    workload: str = "mixed"
    ranks: int = 2
    overwrite: bool = False
    seed: int = 0

    def settled(self) -> Scene:
        """Returns a copy in which the default workload is replaced by the workload that the engine prefers (``Engine.usual``).

        Example:
            >>> Scene("huggingface").settled().workload
            'tensors'
        """
        preferred = find_engine(self.engine).usual.get("workload", self.workload)
        return replace(self, workload=preferred) if self.workload == Scene.workload else self

    def check(self) -> None:
        """Refuses a scene that cannot be played.

        Raises:
            UsageError: an unknown name; or an engine that stores elsewhere than in a directory, that cannot store the workload, or whose ranks do not
                save together.
        """
        engine = watched(find_engine(self.engine))
        check_can_hold(engine, find_workload(self.workload))
        if "way" in engine.usual:
            raise UsageError(f"engine {quoted(self.engine)} is called in way {engine.usual['way']!r}; valid: engines by which ranks save together")
        place = engine.place(Path("directory"), PLACE)
        if "://" in place:
            raise UsageError(f"engine {quoted(self.engine)} stores at {quoted(place)}, and not in a directory; valid: engines on a file system")

    def check_is_recorded(self) -> None:
        """Refuses a scene that cannot be recorded.

        Raises:
            UsageError: see :meth:`check`; or an engine whose disk cannot be reached.
        """
        self.check()
        if Capability.FILE_SYSTEM not in find_engine(self.engine).capabilities:
            raise UsageError(f"engine {quoted(self.engine)} does not claim {Capability.FILE_SYSTEM.value!r}: its writes cannot be recorded")


@dataclass(frozen=True)
class Recording:
    """A save, as the disk saw it.

    Attributes:
        ops: what reached the disk, in order. The engine reported success after the last operation.
        before: the files that were there before the save: path -> content.
        begun: site -> how many operations had reached the disk when a rank first made the call.
    """

    ops: tuple[DiskOp, ...]
    before: Mapping[str, bytes]
    begun: Mapping[str, int]


class _Beginnings(History):
    """A history that keeps of each call only how many operations had reached the disk when a rank first made the call.

    Args:
        journal: notes what reaches the disk.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self.begun: dict[str, int] = {}

    def append(self, event: Event) -> None:
        """Notes the first call of each site."""
        if event.kind == "enter":
            self.begun.setdefault(event.site, len(self._journal.ops))


def save(scene: Scene, number: int, journal: Journal, plan: FaultPlan = FaultPlan(), history: History | None = None) -> Sequence[RankResult]:
    """Saves on simulated ranks.

    Args:
        scene: what is saved.
        number: number of the save; the values of the state tell it.
        journal: notes what reaches the disk. The checkpoint is below its root.
        plan: what goes wrong.
        history: notes what happens, if given.

    Returns:
        How the save ended on each rank.
    """
    engine, workload = watched(find_engine(scene.engine)), find_workload(scene.workload)
    place = engine.place(journal.root, PLACE)
    faults = Injector(plan, journal=journal, history=history)

    def body() -> None:
        state = workload.make(context_here(number, scene.ranks))
        writer = FaultyStorageWriter.sharing(engine.make_writer(place), faults)
        engine.save(state, writer, engine.make_save_planner("default"), place, Call())

    results = SimulatedWorld(scene.ranks, seed=scene.seed).run(body)
    faults.end_case()
    return results


def check_saved(engine: str, results: Sequence[RankResult]) -> None:
    """Insists that a save without faults succeeded.

    Args:
        engine: name of the engine.
        results: how the save ended on each rank.

    Raises:
        EngineError: the engine cannot save, though nothing goes wrong.
    """
    failed = [f"rank {result.rank}: {result.record or result.outcome}" for result in results if result.outcome != "returned"]
    if failed:
        raise cannot_save(engine, failed)


def record(scene: Scene, root: Path) -> Recording:
    """Saves on simulated ranks, and records the save.

    Args:
        scene: what is saved.
        root: an empty directory.

    Raises:
        UsageError: see :meth:`Scene.check_is_recorded`; or the engine writes past its file system.
        EngineError: the engine cannot save though nothing goes wrong.
    """
    scene.check_is_recorded()
    if scene.overwrite:
        _saved(scene, PREVIOUS, root)
    before = _files_below(root)
    ops, begun = _saved(scene, ATTEMPT, root)
    _check_nothing_is_missing(scene, files_after(ops, before), _files_below(root))
    return Recording(ops, before, begun)


def _saved(scene: Scene, number: int, root: Path) -> tuple[tuple[DiskOp, ...], dict[str, int]]:
    """Saves without faults. Returns what reached the disk, and when each call was first made (:attr:`Recording.begun`)."""
    journal = Journal(root)
    beginnings = _Beginnings(journal)
    check_saved(scene.engine, save(scene, number, journal, history=beginnings))
    return tuple(journal.ops), beginnings.begun


def _files_below(root: Path) -> Files:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _check_nothing_is_missing(scene: Scene, recorded: Files, stored: Files) -> None:
    """Insists that the recorded operations lead to the files that are stored."""
    differing = sorted(path for path in {*recorded, *stored} if recorded.get(path) != stored.get(path))
    if differing:
        more = f" and {len(differing) - 2} more files" if len(differing) > 2 else ""
        raise UsageError(
            f"engine {quoted(scene.engine)} writes past its file system: {', '.join(differing[:2])}{more}; its crashes cannot be enumerated"
        )
