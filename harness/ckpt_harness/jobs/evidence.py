"""What the oracles of a job look at: how each operation ended on each rank, what lay at each place after it, and what each place gave when it was read.

Everything here is plain data, so that a history can be written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.job import Job
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Expectation

EMPTY = ""
"""The content of a place where nothing is stored."""


@dataclass(frozen=True)
class Seen:
    """What was seen at a place while no rank ran.

    Attributes:
        committed: whether the place holds a commit marker.
        content: the name of its content; equal contents have equal names. :data:`EMPTY` where nothing is stored.
        files: how many files or objects are stored there; 0 where nobody counted.
    """

    committed: bool = False
    content: str = EMPTY
    files: int = 0


@dataclass(frozen=True)
class Reading:
    """What fresh ranks got from one content of a place.

    Attributes:
        ranks: how many ranks loaded, together.
        failed: rank -> how its load ended, for the ranks whose load did not succeed.
        hung: whether any rank waits for ever.
        calls: the saves whose values were loaded, such as ``save[1]``; more than one is a mixture.
        differences: save -> how what was loaded differs from what that save was to store; empty where it is bit-equal.
        flaws: contradictions between the metadata and the files, found without loading.
        described: what is wrong with a load whose target was made from the metadata alone, by somebody who does not know who saved.
        later: names of entries that hold values which training wrote after staging.
    """

    ranks: int
    failed: Mapping[int, str] = field(default_factory=dict)
    hung: bool = False
    calls: tuple[str, ...] = ()
    differences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flaws: tuple[str, ...] = ()
    described: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    def is_whole(self, call: str) -> bool:
        """Whether the content is exactly what a save was to store.

        Example:
            >>> Reading(2, calls=("save[1]",), differences={"save[1]": ()}).is_whole("save[1]")
            True
        """
        return not self.failed and not self.hung and not self.flaws and not self.described and call in self.differences and not self.differences[call]


def whole_calls(readings: Sequence[Reading]) -> list[str]:
    """Returns the saves whose checkpoint a content is, in whole, in every way in which it was read.

    Example:
        >>> whole_calls([Reading(2, differences={"save[1]": ()}), Reading(1, failed={0: "raised"}, differences={"save[1]": ()})])
        []
    """
    calls = dict.fromkeys(call for reading in readings for call in reading.differences)
    return [call for call in calls if all(reading.is_whole(call) for reading in readings if call in reading.differences)]



@dataclass(frozen=True)
class Loaded:
    """What a rank holds after a load that reported success.

    Attributes:
        calls: the saves whose values it holds.
        differences: save -> how the state differs from what that save stored, as far as the load has asked for it.
        unfilled: whether the state still holds values with which its target began.
    """

    calls: tuple[str, ...] = ()
    differences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unfilled: bool = False


@dataclass(frozen=True)
class Done:
    """One operation of a job, as it was done.

    Attributes:
        index: the index of the operation in the job.
        call: the engine call that it made, such as ``save[2]``; "" if none.
        life: the number of the life in which it was done.
        ranks: the ranks that took part.
        place: the place that it is about; "" if none. For a load of ``latest``, the place that the job took for it.
        outcomes: rank -> how the operation ended. An async save that was begun has ``returned`` here; how it ended is in :attr:`JobEvidence.ended`.
        owed: how the engine call has to end, one item for each group of ranks; empty if it makes none.
        seen: place -> what lay there after the operation, for all places of the job; None where nobody could look, since ranks were running.
        before: place -> what lay there before the operation; None where nobody could look.
        latest: rank -> the place that the rank took for the latest; None for a rank that found none. Empty unless the operation asked for it.
        loaded: rank -> what the rank holds after a load that succeeded.
        skipped: why the operation was not done; "" if it was.
    """

    index: int
    call: str = ""
    life: int = 1
    ranks: tuple[int, ...] = ()
    place: str = ""
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    owed: tuple[Expectation, ...] = ()
    before: Mapping[str, Seen] | None = None
    seen: Mapping[str, Seen] | None = None
    latest: Mapping[int, str | None] = field(default_factory=dict)
    loaded: Mapping[int, Loaded] = field(default_factory=dict)
    skipped: str = ""


@dataclass(frozen=True)
class AsyncEnding:
    """How an async save ended.

    Attributes:
        call: the call, such as ``async_save[1]``.
        after: the index of the operation during which it ended on the last rank: a ``wait``, a ``restart``, or the last of the job.
        outcomes: rank -> how it ended: ``returned`` or ``raised``, as the future says; ``hung`` where the future is never completed.
        futures: rank -> name (``upload``, ``staging``) -> how the future ended.
    """

    call: str
    after: int
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    futures: Mapping[int, Mapping[str, Outcome]] = field(default_factory=dict)


@dataclass(frozen=True)
class JobEvidence:
    """Everything that the oracles of a job may look at.

    Attributes:
        job: the job.
        done: each operation of the job, in order; those that were skipped, too.
        ended: async save -> how it ended.
        readings: content -> what fresh ranks got from it, once for each number of ranks that read it. Contents that nobody read are missing.
        single: call -> evidence for the oracles of a single operation.
        fired: (text of the fault, rank, call) of each fault that fired.
        internal_errors: errors of the harness itself.
        capabilities: what every engine of the job claims.
        left: number of a life -> what of its operations went on or lay about once it had ended: threads, processes, open files, and errors that nothing
            caught. Lives in which a rank was lost are missing.
        managed: whether a manager chooses the places, in the order of its steps, and removes older checkpoints by itself.
    """

    job: Job
    done: Sequence[Done]
    ended: Mapping[str, AsyncEnding] = field(default_factory=dict)
    readings: Mapping[str, Sequence[Reading]] = field(default_factory=dict)
    single: Mapping[str, Evidence] = field(default_factory=dict)
    fired: frozenset[tuple[str, int, str]] = frozenset()
    internal_errors: tuple[str, ...] = ()
    capabilities: frozenset[Capability] = frozenset(Capability)
    left: Mapping[int, Sequence[str]] = field(default_factory=dict)
    managed: bool = False
