"""Looks at what a case left once its operations have ended: on storage, before anything is loaded, and in the processes of its ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ckpt_harness.cases.baseline import Baselines, Damage
from ckpt_harness.cases.open_files import OpenFiles
from ckpt_harness.cases.prepare import Scene
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Group
from ckpt_harness.faults.sites import SITES
from ckpt_harness.history import History
from ckpt_harness.judging.evidence import StorageEvidence
from ckpt_harness.worlds.base import RankResult

Storage = dict[str, tuple[StorageEvidence, ...]]
"""Operation -> what each group left on storage."""
Fingerprints = dict[str, list[Mapping[str, str]]]
"""Operation -> the fingerprint of each group's place."""


@dataclass(frozen=True)
class Commits:
    """The ranks that called ``writer.finish``, which commits a checkpoint, in one operation.

    Attributes:
        acted: ranks whose call may have committed.
        reported: ranks whose call did commit: it returned, or it acted and only its acknowledgement was lost.
    """

    acted: frozenset[int]
    reported: frozenset[int]

    @classmethod
    def of(cls, history: History, operation: str, plan: FaultPlan) -> Commits:
        """Reads them from a history.

        Args:
            history: what has happened.
            operation: name of the operation.
            plan: the faults of the case.

        Example:
            >>> from ckpt_harness.history import Event
            >>> events = [Event(0.0, 0, "enter", "save[1]", "writer.finish"), Event(0.1, 0, "raised", "save[1]", "writer.finish")]
            >>> Commits.of(History(events), "save[1]", FaultPlan())
            Commits(acted=frozenset({0}), reported=frozenset())
        """
        lost_acknowledgements = {str(fault) for fault in plan if fault.after}
        begun, acted, reported = set(), set(), set()
        for event in history:
            if event.site != "writer.finish" or event.operation != operation:
                continue
            after_acting = event.detail in lost_acknowledgements
            if event.kind == "enter":
                begun.add(event.rank)
            if event.kind in ("exit", "raised") or (event.kind == "fault" and after_acting):
                acted.add(event.rank)
            if event.kind == "exit" or after_acting:
                reported.add(event.rank)
        # A fault below the storage strikes within the call, which may have committed before.
        acted |= {event.rank for event in history.of_kind("fault") if event.rank in begun and SITES[event.site].layer != "calls"}
        return cls(frozenset(acted), frozenset(reported))


def look_at_storage(scene: Scene, baselines: Baselines, history: History) -> Storage:
    """Looks at the place of each operation and group, and at the baseline.

    Args:
        scene: the case and its places.
        baselines: says what the case damaged; a damaged baseline is replaced.
        history: what has happened so far.
    """
    damage = baselines.damage(scene.bound)
    storage: Storage = {}
    for operation, places in scene.places.items():
        commits = Commits.of(history, operation, scene.bound.case.plan)
        storage[operation] = tuple(
            _look_at_place(scene, commits, group, place, changed) for group, place, changed in zip(scene.bound.groups, places, damage, strict=True)
        )
        if scene.before:
            seen = zip(storage[operation], places, scene.before[operation], strict=True)
            storage[operation] = tuple(replace(of_group, added=_added(scene, place, before)) for of_group, place, before in seen)
    return storage


def _added(scene: Scene, place: str, before: frozenset[str]) -> tuple[str, ...]:
    """The files at a place that were not there before the save, without temporary files."""
    now = scene.bound.engine.fingerprint(place)
    return tuple(sorted(name for name in now if name not in before and not name.endswith(".tmp")))


def _look_at_place(scene: Scene, commits: Commits, group: Group, place: str, damage: Damage) -> StorageEvidence:
    bound = scene.bound
    members = set(group.ranks)
    # With collectives, one rank commits for its group; without, each rank commits for itself.
    apart = 0 if bound.call_style.use_collectives else len(group.ranks)
    needed = max(1, apart)
    committed = None
    if bound.saves:
        committed = bound.engine.committed(place, apart)
        if bound.overwrites and len(commits.reported & members) < needed:
            # The marker may still be that of the old checkpoint. What a failed commit left is found out by loading it.
            committed = False
    finish_acted = len(commits.acted & members) >= needed
    return StorageEvidence(committed, finish_acted, damage.changes, ranks=group.ranks, removed=damage.removed)


def fingerprints(scene: Scene) -> Fingerprints:
    """Returns the fingerprints of all places of a save."""
    if not scene.bound.saves:
        return {}
    return {operation: [scene.bound.engine.fingerprint(place) for place in places] for operation, places in scene.places.items()}


def left_behind(
    scene: Scene,
    results: Sequence[RankResult],
    history: History,
    endings: Mapping[str, Mapping[int, RankEnding]],
    before: Fingerprints,
    open_files: OpenFiles,
) -> Iterator[str]:
    """Finds what goes on, or lies about, though all operations have ended.

    Args:
        scene: the case and its places.
        results: how each rank ended.
        history: what has happened.
        endings: operation -> rank -> how it ended.
        before: the fingerprints when all operations had ended; empty if ranks tried again.
        open_files: the files that the case has left open.

    Yields:
        One text for each thread, process, file, open file, and error that escaped.
    """
    for result in results:
        for text in result.left:
            yield f"rank {result.rank}: {text}"
    for event in history.of_kind("escaped"):
        yield f"rank {event.rank}: an error escaped from {event.detail}"
    for operation, contents in before.items():
        succeeded = all(ending.outcome.kind == "returned" for ending in endings[operation].values())
        for place, then in zip(scene.places[operation], contents, strict=True):
            yield from files_left(operation, then, scene.bound.engine.fingerprint(place), succeeded)
    yield from open_files.left()


def files_left(operation: str, then: Mapping[str, str], now: Mapping[str, str], succeeded: bool) -> Iterator[str]:
    """Finds files that were written late, and temporary files of a save that succeeded.

    Args:
        operation: name of the operation.
        then: fingerprint of its place when it had ended on all ranks.
        now: fingerprint of its place when the world was over.
        succeeded: whether it succeeded on all ranks.

    Example:
        >>> list(files_left("save[1]", {"a": "1"}, {"a": "2", "b.tmp": "3"}, succeeded=False))
        ['a of save[1] was written after the operation had ended', 'b.tmp of save[1] was written after the operation had ended']
    """
    for file in now:
        if now[file] != then.get(file):
            yield f"{file} of {operation} was written after the operation had ended"
    for file in now:
        if succeeded and file.endswith(".tmp"):
            yield f"temporary file {file} of {operation}"
