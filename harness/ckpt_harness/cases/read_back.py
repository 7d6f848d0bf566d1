"""Reads checkpoints back: what fresh ranks get from a place, and of which save it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ckpt_harness.cases.async_saves import LATER
from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.prepare import Scene
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS, RETRY, SAVES, SECOND
from ckpt_harness.cases.readings import Readings
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.base import Call, Engine
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.judging.evidence import StorageEvidence
from ckpt_harness.runtime import current
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import Workload
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What fresh ranks got from a place.

    Attributes:
        failed: rank -> how its load ended, for the ranks whose load did not succeed.
        hung: whether any rank waits for ever.
        differences: number of a save -> how the loaded states differ from it; one text for each entry and rank. Only ranks whose load succeeded.
        saves: the saves whose values were loaded; without those that training wrote after staging.
        later: names of entries that hold values which training wrote after staging.
        ranks: how many ranks loaded.
    """

    failed: Mapping[int, str]
    hung: bool
    differences: Mapping[int, tuple[str, ...]]
    saves: tuple[int, ...]
    later: tuple[str, ...]
    ranks: int

    def wrong(self, save: int) -> tuple[str, ...]:
        """Returns everything that is wrong if the place must hold ``save``."""
        failures = [f"rank {rank} {ending}" for rank, ending in self.failed.items()]
        return (*failures, *self.differences[save])

    def shows(self, old: int, new: int) -> Shown:
        """Returns what the place shows of two saves that it may hold. It does not ask whether the place is committed.

        Args:
            old: number of the save before.
            new: number of the save that replaces it.

        Example:
            >>> differences = {1: ("rank 0: weight: save 2 instead of save 1",), 2: ()}
            >>> Reading({}, hung=False, differences=differences, saves=(2,), later=(), ranks=1).shows(old=1, new=2)
            'new'
        """
        if self.hung:
            return "hang"
        if self.failed:
            return "error" if len(self.failed) == self.ranks else "disagreement"
        if not self.differences[new]:
            return "new"
        if not self.differences[old]:
            return "old"
        return "mixture" if len(self.saves) > 1 else "wrong"


@dataclass(frozen=True)
class _Loaded:
    """What one rank loaded.

    Attributes:
        differences: number of a save -> how the state differs from it.
        saves: the saves whose values the state holds.
        later: names of entries that hold values which training wrote after staging.
    """

    differences: Mapping[int, list[str]]
    saves: set[int]
    later: list[str]


def read(
    engine: Engine,
    workload: Workload,
    place: str,
    *,
    saves: Sequence[int],
    ranks: int,
    shards: int,
    owner: Callable[[int], int] = lambda _: 0,
    group: bool = True,
    planner: str = "default",
    later: int | None = None,
    made: Collection[int] = SAVES,
    in_words: Callable[[RankResult], str] = lambda result: str(result.record or result.outcome),
) -> Reading:
    """Loads a checkpoint in fresh simulated ranks.

    Args:
        engine: loads it.
        workload: the workload that it holds.
        place: where it is.
        saves: numbers of the saves that it may hold.
        ranks: how many ranks load it, together.
        shards: into how many shards the state was cut when it was saved.
        owner: rank -> number of the owner whose state the rank loads.
        group: whether the ranks are in a process group.
        planner: name of the kind of planner.
        later: number of the save whose values training wrote after staging; None where nothing was written.
        made: numbers of all saves that were made. A damaged element may look like the tag of another save.
        in_words: describes how the load of a rank ended that did not succeed.
    """

    def load() -> _Loaded:
        number = owner(current().rank())
        state = workload.make(context_here(None, shards, owner=number))
        engine.load(state, engine.make_reader(place), engine.make_load_planner(planner), place, Call())
        shared = [] if later is None else workload.shared(state, context_here(later, shards, owner=number))
        ignored = tuple(f"{name}:" for name in shared)
        differences = {}
        for save in saves:
            texts = workload.mismatches(state, context_here(save, shards, owner=number))
            differences[save] = [text for text in texts if not text.startswith(ignored)]
        return _Loaded(differences, workload.saves(state), shared)

    results = SimulatedWorld(ranks, timeout=GROUP_TIMEOUT, group=group).run(load)
    loaded: dict[int, _Loaded] = {result.rank: result.value for result in results if result.outcome == "returned"}
    shown: set[int] = set()
    written_later: set[str] = set()
    for state in loaded.values():
        shown |= state.saves.intersection(made)
        written_later |= set(state.later)
    return Reading(
        failed={result.rank: in_words(result) for result in results if result.outcome != "returned"},
        hung=any(result.outcome not in ("returned", "raised") for result in results),
        differences={save: tuple(_differences(loaded, save)) for save in saves},
        saves=tuple(sorted(shown - {later})),
        later=tuple(sorted(written_later)),
        ranks=ranks,
    )


def _differences(loaded: Mapping[int, _Loaded], save: int) -> Iterator[str]:
    """How the state of each rank differs from a save."""
    for rank, state in loaded.items():
        yield from (f"rank {rank}: {text}" for text in state.differences[save])


class ReadBack:
    """Reads back what the groups of a case saved.

    Args:
        scene: the case and its places.
        workspace: where it runs; the path of this directory is removed from errors.
        readings: what was read in earlier cases; None if every case reads for itself.
    """

    def __init__(self, scene: Scene, workspace: Workspace, readings: Readings | None) -> None:
        self._scene = scene
        self._workspace = workspace
        self._readings = readings

    def attempt(self, number: int, group: int, storage: StorageEvidence, *, succeeded: bool) -> StorageEvidence:
        """Reads back what a group saved in its first try, if it committed, or was to replace a checkpoint, or if no marker says which it is.

        Args:
            number: index of the operation.
            group: index of the group.
            storage: what was seen on storage before anything was loaded.
            succeeded: whether the operation returned on every rank of the group.

        Returns:
            The same evidence, with what loading showed.
        """
        bound = self._scene.bound
        has_marker = Capability.COMMIT_MARKER in bound.engine.capabilities
        if not storage.committed and not bound.overwrites and has_marker:
            return storage
        save = ATTEMPT + number * SECOND
        place = self._place(number, group)
        readings = {f"{size} rank(s)": self._read(group, place, (save, PREVIOUS), size) for size in self._sizes(storage)}
        later = {name for reading in readings.values() for name in reading.later}
        storage = dataclasses.replace(
            storage,
            later=tuple(sorted(later)),
            saves={way: reading.saves for way, reading in readings.items()},
            holes={way: reading.differences[save] for way, reading in readings.items() if reading.shows(PREVIOUS, save) == "wrong"},
        )
        if bound.overwrites:
            storage = dataclasses.replace(storage, replaced={way: reading.shows(PREVIOUS, save) for way, reading in readings.items()})
        if not storage.committed and (has_marker or not succeeded):  # without a marker, success says that a checkpoint is there
            return storage
        return dataclasses.replace(
            storage,
            mismatches={way: reading.wrong(save) for way, reading in readings.items()},
            silent={way: reading.differences[save] for way, reading in readings.items()},
            refusable=self._by_one_rank(group, place, save, storage),
            flaws=self._once(place, ("flaws",), lambda: tuple(bound.engine.flaws(place))),
        )

    def retry(self, number: int, group: int) -> tuple[str, ...]:
        """Reads back what a group saved in its second try. Returns what is wrong with it."""
        save = RETRY + number * SECOND
        size = len(self._scene.bound.groups[group].ranks)
        reading = self._read(group, self._place(number, group), (save,), size)
        shared = [f"{name}: saved as it was after staging" for name in reading.later]
        return (*reading.wrong(save), *shared)

    def holds_nothing(self, number: int, group: int) -> bool:
        """Whether nothing is stored where an operation of a group saved."""
        return not self._scene.bound.engine.fingerprint(self._place(number, group))

    def _place(self, number: int, group: int) -> str:
        return self._scene.places[self._scene.bound.case.operations[number]][group]

    def _sizes(self, storage: StorageEvidence) -> tuple[int, ...]:
        """The numbers of ranks that load a checkpoint which must load: as many as saved it, and another number where it can be resharded."""
        style = self._scene.bound.call_style
        size = len(storage.ranks)
        if style.alone:
            return (1,)
        if not style.use_collectives:
            return (size,)
        return (size, 1 if size > 1 else 2)

    def _by_one_rank(self, group: int, place: str, save: int, storage: StorageEvidence) -> dict[str, tuple[str, ...]]:
        """What one rank loads of a checkpoint that several ranks saved without collectives. The engine may refuse this load."""
        if len(storage.ranks) == 1 or self._scene.bound.call_style.use_collectives:
            return {}
        reading = self._read(group, place, (save, PREVIOUS), 1)
        return {"1 rank(s)": reading.differences[save]}

    def _read(self, group: int, place: str, saves: Sequence[int], ranks: int) -> Reading:
        """Loads a checkpoint of a group in fresh ranks.

        Args:
            group: index of the group that saved it.
            place: where it is.
            saves: numbers of the saves that it may hold.
            ranks: how many ranks load it, together.
        """
        bound = self._scene.bound
        together, alone, planner = bound.call_style.use_collectives, bound.call_style.alone, bound.case.planner
        shards = len(bound.groups[group].ranks)
        later = LATER if bound.case.operation == "async_save" else None
        depends_on = (bound.workload, tuple(saves), ranks, shards, group if together else None, alone, planner, later)
        return self._once(
            place,
            depends_on,
            lambda: read(
                bound.engine,
                bound.workload,
                place,
                saves=saves,
                ranks=ranks,
                shards=shards,
                owner=lambda rank: group if together else rank,
                group=not alone,
                planner=planner,
                later=later,
                in_words=lambda result: str(self._workspace.outcome(result)),
            ),
        )

    def _once(self, place: str, depends_on: tuple[object, ...], look: Callable[[], T]) -> T:
        """Returns what ``look()`` returns, or returned in an earlier case. A rank that is a process may still write there, so it is looked at anew."""
        bound = self._scene.bound
        if self._readings is None or bound.case.world != "simulated":
            return look()
        return self._readings.of(bound.engine, place, depends_on, look)
