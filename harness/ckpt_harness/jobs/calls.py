"""The engine calls of a job, each with its beginning and its end: who was under way together, and which failure may have broken what came after it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.evidence import Done, JobEvidence
from ckpt_harness.jobs.operations import ASPECTS, AsyncSave, Change, Load, Operation, Save
from ckpt_harness.judging.capabilities import shows_in_all_plans
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending, Expectation

_UNKNOWN = Outcome("unknown", where="the job has no record of it")


class Trouble(enum.Enum):
    """What a call may have broken for the calls behind it.

    Example:
        >>> Trouble.CLEAN.value
        'clean'
    """

    NONE = "none"
    """It reported success on all ranks."""
    CLEAN = "clean"
    """It failed on all ranks, as it had to: the ranks are in step, and the next call must succeed."""
    OPEN = "open"
    """Nobody can say whether the ranks are still in step: one of them is lost, they ended differently, or the ending is undetermined."""


@dataclass(frozen=True)
class Made:
    """An engine call of a job.

    Attributes:
        call: its name, such as ``save[2]``.
        done: the operation that made it.
        operation: what it did; of a ``retry``, what was done again.
        ended: the index of the operation during which it ended on the last rank; for a save or load, that of its own operation.
        outcomes: rank -> how it ended; of an async save, how the save ended and not how it began.
        structure: the changes of the state that came before, in order.
    """

    call: str
    done: Done
    operation: Operation
    ended: int
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    structure: tuple[str, ...] = ()

    @property
    def begun(self) -> int:
        """The index of the operation that made the call."""
        return self.done.index

    @property
    def is_save(self) -> bool:
        """Whether the call saves."""
        return not isinstance(self.operation, Load)

    @property
    def in_background(self) -> bool:
        """Whether the call goes on behind the operation that made it."""
        return isinstance(self.operation, AsyncSave)

    @property
    def on_fresh_ranks(self) -> bool:
        """Whether fresh ranks made the call in place of the ranks of the job."""
        return isinstance(self.operation, Load) and self.operation.ranks > 0

    @property
    def returned(self) -> bool:
        """Whether every rank reported success."""
        return bool(self.outcomes) and all(outcome.kind == "returned" for outcome in self.outcomes.values())

    @property
    def owed(self) -> tuple[Expectation, ...]:
        """How the call has to end if all was well before it."""
        return self.done.owed

    @property
    def must_succeed(self) -> bool:
        """Whether no fault can make the call fail."""
        return bool(self.owed) and all(expectation.ending is Ending.SUCCEEDS for expectation in self.owed)

    @property
    def lies(self) -> frozenset[Capability]:
        """What an engine must claim to notice the lies that are told to it during the call; empty if there are none."""
        needed = set[Capability]()
        for expectation in self.owed:
            if expectation.damages:
                needed.add(Capability.CHECKSUMS)
            if expectation.deceived:
                needed.add(Capability.COLLECTIVES if shows_in_all_plans(expectation) else Capability.DETECTS_LIES)
        return frozenset(needed)

    @property
    def trouble(self) -> Trouble:
        """What the call may have broken for the calls behind it."""
        if self.returned:
            return Trouble.NONE
        kinds = {outcome.kind for outcome in self.outcomes.values()}
        known = bool(self.owed) and all(expectation.exact or is_undisturbed(expectation) for expectation in self.owed)
        apart = all(expectation.apart for expectation in self.owed)
        alike = kinds == {"raised"} or (apart and kinds <= {"raised", "returned"})
        return Trouble.CLEAN if known and alike else Trouble.OPEN

    def is_beside(self, other: Made) -> bool:
        """Whether the two calls were, or may have been, under way at once."""
        return self.begun <= other.ended and other.begun <= self.ended and self.call != other.call


def is_undisturbed(expectation: Expectation) -> bool:
    """Whether no fault strikes an operation. It may fail all the same: a load that finds no checkpoint.

    Args:
        expectation: how the operation has to end.
    """
    return not (expectation.decisive or expectation.possible_lies or expectation.elsewhere or expectation.must_fire)


def calls_of(evidence: JobEvidence) -> dict[str, Made]:
    """Returns the engine calls that were made, by name, in the order in which they began."""
    return {made.call: made for made in _calls(evidence)}


def _calls(evidence: JobEvidence) -> Iterator[Made]:
    last = {done.life: done.index for done in evidence.done}
    structure: tuple[str, ...] = ()
    for done in evidence.done:
        operation = evidence.job.repeated[done.index]
        if isinstance(operation, Change) and not done.skipped:
            structure = (*structure, operation.to) if operation.to in ASPECTS else (operation.to,)
        if done.call and not done.skipped and isinstance(operation, (Save, AsyncSave, Load)):
            background = isinstance(operation, AsyncSave)
            outcomes = _ends_in_background(evidence, done) if background else _of_ranks(done)
            ended = _ended(evidence, done, outcomes, last[done.life]) if background else done.index
            yield Made(done.call, done, operation, ended, outcomes, structure)


def _of_ranks(done: Done) -> dict[int, Outcome]:
    """How an operation ended on the ranks that took part: where fresh ranks load, for example, the ranks of the job stand still."""
    return {rank: outcome for rank, outcome in done.outcomes.items() if not done.ranks or rank in done.ranks}


def _ends_in_background(evidence: JobEvidence, done: Done) -> dict[int, Outcome]:
    """How an async save ended on each rank: as its beginning did, where that failed."""
    ending = evidence.ended.get(done.call)
    ended = {} if ending is None else ending.outcomes
    ranks = done.ranks or tuple(done.outcomes)
    begun = {rank: done.outcomes.get(rank, _UNKNOWN) for rank in ranks}
    return {rank: ended.get(rank, _UNKNOWN) if outcome.kind == "returned" else outcome for rank, outcome in begun.items()}


def _ended(evidence: JobEvidence, done: Done, outcomes: Mapping[int, Outcome], last: int) -> int:
    """The index of the operation during which an async save ended on the last rank: the last of its life, where it is still under way."""
    ending = evidence.ended.get(done.call)
    if ending is None or any(outcome.kind not in ("returned", "raised") for outcome in outcomes.values()):
        return last
    return max(done.index, ending.after)
