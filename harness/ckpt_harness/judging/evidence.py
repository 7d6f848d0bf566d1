"""What the oracles look at: how each rank ended, what is on storage, and what was loaded from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ckpt_harness.faults.protocol import DCP, Capability, Protocol
from ckpt_harness.history import ErrorRecord, History
from ckpt_harness.judging.expectation import Expectation, Forecast


@dataclass(frozen=True)
class Outcome:
    """How an operation ended on a rank.

    Attributes:
        kind: ``returned``, ``raised``, ``hung``, ``dead``, or ``unknown`` (something outside of the world did not answer).
        error: the error that was raised.
        where: for a rank that hangs: what it waits for, at which line, and for which rank.
        finished_at: seconds of the world's time.

    Example:
        >>> str(Outcome("hung", where="gather for rank 1"))
        'hung (gather for rank 1)'
    """

    kind: Literal["returned", "raised", "hung", "dead", "unknown"]
    error: ErrorRecord | None = None
    where: str = ""
    finished_at: float = 0.0

    def __str__(self) -> str:
        if self.kind == "raised":
            return f"raised {self.error}"
        return f"{self.kind} ({self.where})" if self.where else self.kind


@dataclass(frozen=True)
class StorageEvidence:
    """What one group of ranks has left on storage at the end of an operation.

    A checkpoint that was stored is loaded again in several ways: by as many ranks as saved it, by one rank, and so on. The mappings below have one
    entry for each of these loads, under a name such as ``2 rank(s)``.

    Attributes:
        committed: whether the operation's own place holds a commit marker; None for a load.
        finish_acted: whether the call that commits was made (by every rank, where each rank commits for itself).
        damaged: other committed checkpoints whose content changed: name -> what changed.
        removed: those among them that lost files, with every other file unchanged.
        mismatches: per load: everything that came back wrong, and every rank whose load failed. Empty where all was right.
            Example: ``{"2 rank(s)": (), "1 rank(s)": ("rank 0 raised KeyError('x')",)}``.
        ranks: the ranks that share the place; empty where all participants do.
        later: names of entries that contain values which the state received only after it had been staged.
        silent: per load: mismatches of loads that reported success. ``mismatches`` also counts a load that fails; ``silent`` does not, since an error
            is detected corruption. Example: after ``fs.write@1=bitflip`` a load that raises is in ``mismatches`` alone; a load that returns a wrong
            value is in both.
        saves: per load that reported success: the numbers of the saves whose values came back. Two numbers mean a mixture of two saves.
        flaws: contradictions within the committed checkpoint: metadata entries without bytes, or bytes outside of their file.
        refusable: mismatches from loads that the engine may refuse. Refusing is fine; success with holes is not. Example: two ranks save without
            collectives, each its own part; one rank alone may be refused when it loads them, but must not report success with half of the state.
        holes: per load that reported success on all ranks and gave neither the old nor the new checkpoint nor a mixture of both: how what it gave
            differs from the new one.
        replaced: where the save replaces a checkpoint, per load: ``old``, ``new``, or a word for neither (``mixture``, ``error``, ``hang``, ...).
        added: where the save replaces a checkpoint: names of files that were not there before the save, without temporary files.
        of_more_ranks: whether the save replaces a checkpoint, and more ranks have saved to its place before.
    """

    committed: bool | None = None
    finish_acted: bool = False
    damaged: Mapping[str, str] = field(default_factory=dict)
    mismatches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranks: tuple[int, ...] = ()
    later: tuple[str, ...] = ()
    silent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    saves: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    holes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    of_more_ranks: bool = False
    flaws: tuple[str, ...] = ()
    refusable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()

    def about(self, ranks: Iterable[int]) -> bool:
        """Whether any of ``ranks`` shares the place."""
        return not self.ranks or not set(self.ranks).isdisjoint(ranks)

    @property
    def whole(self) -> bool:
        """Whether the place holds a new checkpoint that was committed and loads bit-equal, in every way in which it was loaded."""
        return bool(self.committed and self.mismatches) and not any(self.mismatches.values()) and not self.flaws


@dataclass(frozen=True)
class Evidence:
    """Everything that the oracles may look at.

    Attributes:
        forecast: what the plan had to lead to.
        outcomes: operation -> rank -> how the operation ended.
        fired: (text of the fault, rank) of the faults that fired.
        optional: texts of the faults that need not fire.
        storage: operation -> what the operation left on storage, one item for each group of ranks.
        loaded: load operation -> rank -> what came back wrong.
        unread: load operation -> names of the entries that its checkpoint holds, and that no rank holds after the load.
        futures: async save -> rank -> name (``upload``, ``staging``) -> what the returned future reports at the end of the case.
        left: what outlived the operations: threads, processes, files, open files, errors that nothing caught.
        opened_elsewhere: files outside of the case's directory that were left open. A library may keep a file open for good, so these count as left only
            if every further run of the case leaves some, too.
        not_looked_at: what else may have been left, and cannot be seen on this system: ``open files``, or nothing.
        retry: rank -> outcome of the second attempt, with the faults healed; None if there was none.
        retry_mismatches: what was wrong with what the second attempt saved or loaded.
        background: how an async save was done: executor, staging and overlap, as ``ckpt_harness.faults.calling`` names them.
        internal_errors: errors of the harness itself.
        timeout: seconds that a collective waits for late ranks.
        capabilities: what the engine claims.
        protocol: the calls that the engine declares.
        way: name of the way of calling (:data:`ckpt_harness.faults.calling.CALL_STYLES`).
        planner: name of the kind of planner.
        save_planner: name of the class of the save planner.
        workload: name of the workload.
        onto: what a save found at its place: ``nothing`` or a ``checkpoint``.
        planners: in a job: operation -> name of the kind of planner, where operations differ.
        overwriting: in a job: the saves that found a checkpoint at their place.
        coordinators_before: in a job: the ranks that have coordinated earlier saves of the same life with the same kind of planner.
        history: what happened, in order.
        in_turns: whether the threads of the ranks run in turns (simulated ranks), so that the history has the order in which calls took effect, and
            time is virtual. Among processes time is real, and depends on what else the machine does.
    """

    forecast: Forecast
    outcomes: Mapping[str, Mapping[int, Outcome]]
    fired: frozenset[tuple[str, int]] = frozenset()
    optional: frozenset[str] = frozenset()
    storage: Mapping[str, Sequence[StorageEvidence]] = field(default_factory=dict)
    loaded: Mapping[str, Mapping[int, tuple[str, ...]]] = field(default_factory=dict)
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    futures: Mapping[str, Mapping[int, Mapping[str, Outcome]]] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    opened_elsewhere: tuple[str, ...] = ()
    not_looked_at: tuple[str, ...] = ()
    retry: Mapping[int, Outcome] | None = None
    retry_mismatches: tuple[str, ...] = ()
    background: str = "thread writer none"
    internal_errors: tuple[str, ...] = ()
    timeout: float = 1800.0
    capabilities: frozenset[Capability] = frozenset(Capability)
    protocol: Protocol = DCP
    way: str = "together"
    planner: str = "default"
    save_planner: str = "DefaultSavePlanner"
    workload: str = "mixed"
    onto: str = "nothing"
    planners: Mapping[str, str] = field(default_factory=dict)
    overwriting: frozenset[str] = frozenset()
    coordinators_before: frozenset[int] = frozenset()
    history: History = field(default_factory=History)
    in_turns: bool = True

    def of(self, expectation: Expectation) -> dict[int, Outcome]:
        """The outcomes of the ranks that an expectation is about."""
        outcomes = self.outcomes.get(expectation.operation, {})
        return {rank: outcomes[rank] for rank in expectation.ranks if rank in outcomes}

    def masked(self, expectation: Expectation) -> bool:
        """Whether the engine made the injected failure good, as it may (:attr:`Expectation.maskable`): all ranks report success.

        A failed fsync is the exception for engines that promise durability: the next fsync does not report the lost bytes, so it takes a new file.
        """
        outcomes = self.of(expectation)
        lost = Capability.DURABLE_COMMIT in self.capabilities and self._lost_to_fsync(expectation)
        return expectation.maskable and not lost and bool(outcomes) and all(outcome.kind == "returned" for outcome in outcomes.values())

    def _lost_to_fsync(self, expectation: Expectation) -> bool:
        """Whether a decisive fault failed an fsync, and the rank did not write the file anew. A directory cannot be written anew.

        A file that is opened once more counts as written anew: the history does not show whether the rank only appends to it.
        """
        struck = {(str(acting.bound.fault), acting.rank) for acting in expectation.decisive if acting.bound.fault.site == "fs.fsync"}
        lost: set[tuple[str, int]] = set()
        files: dict[tuple[str, int, int], str] = {}
        seen: set[tuple[str, int]] = set()
        for event in self.history:
            if event.kind == "enter" and event.site == "fs.fsync":
                files[event.operation, event.rank, event.nth] = event.detail
            elif event.kind == "fault" and (event.detail, event.rank) in struck:
                seen.add((event.detail, event.rank))
                lost.add((files.get((event.operation, event.rank, event.nth), ""), event.rank))
            elif event.kind == "enter" and event.site == "fs.create_stream":
                lost.discard((event.detail, event.rank))
        return bool(lost) or seen != struck

    def retried(self, expectation: Expectation) -> dict[int, Outcome]:
        """The second attempt's outcomes of the ranks that an expectation is about."""
        return {rank: self.retry[rank] for rank in expectation.ranks if self.retry and rank in self.retry}

    def damage(self, storage: StorageEvidence) -> dict[str, str]:
        """Other checkpoints that the ranks of a place had no right to change: name -> what changed.

        An engine that claims ``retention`` may remove older checkpoints as soon as one of its own is whole, and change none.
        """
        same_ranks = [other for _, other in self.places() if other.ranks == storage.ranks]
        retained = Capability.RETENTION in self.capabilities and any(other.whole for other in same_ranks)
        return {name: change for name, change in storage.damaged.items() if not (retained and name in storage.removed)}

    def superseded(self, operation: str, storage: StorageEvidence) -> bool:
        """Whether another save of the same ranks, which is whole and was committed later, may have removed what an operation stored.

        Only an engine that claims ``retention`` may do so. Two async saves at once have places side by side, so each may remove the other's checkpoint.

        Args:
            operation: the save whose checkpoint is gone.
            storage: what the operation left.
        """
        if Capability.RETENTION not in self.capabilities:
            return False
        committed_at = self._committed_at(operation, storage)
        others = [(name, other) for name, other in self.places() if name != operation and other.ranks == storage.ranks]
        return any(other.whole and self._committed_at(name, other) >= committed_at for name, other in others)

    def _committed_at(self, operation: str, storage: StorageEvidence) -> int:
        """The position in the history of the last call that commits what an operation stored; -1 if there is no such call."""
        last = -1
        for position, event in enumerate(self.history):
            if event.site == "writer.finish" and event.operation == operation and storage.about([event.rank]):
                last = position
        return last

    def places(self) -> list[tuple[str, StorageEvidence]]:
        """All storage evidence, as pairs of operation and evidence."""
        return [(operation, storage) for operation, groups in self.storage.items() for storage in groups]
