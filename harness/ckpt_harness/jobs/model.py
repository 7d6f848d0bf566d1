"""The reference model of a job: which checkpoint each place may hold at each moment, as far as the operations before it say.

The model predicts from how the operations ended, and then narrows its prediction by what was seen: it never predicts what a failed overwrite leaves, since
engines differ in that. :class:`Course` follows a job; the oracles ask it.

Not modelled: what a rank does that goes on while others wait (after a ``continue``), and collectives that cross. Nothing is known of such a save before
storage is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs.evidence import Done, JobEvidence, Seen, whole_calls
from ckpt_harness.jobs.operations import AsyncSave, Save, Wait
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import DECEPTIONS, Ending

NOTHING = ""
"""Among what a place may hold: no committed checkpoint."""

Held = frozenset[str] | None
"""What a place may hold: saves, or :data:`NOTHING`. None where the model knows nothing: the place may hold anything, and may be broken."""


@dataclass(frozen=True)
class Moment:
    """What the model knows behind an operation.

    Attributes:
        predicted: place -> what it may hold, as the operations say.
        known: place -> the same, narrowed by what was seen.
        makers: place -> the save that began last there; in the order in which these saves began.
    """

    predicted: Mapping[str, Held]
    known: Mapping[str, Held]
    makers: Mapping[str, str] = field(default_factory=dict)

    def whole(self) -> list[str]:
        """The places that certainly hold a whole checkpoint, the oldest first."""
        return [place for place in self.makers if (held := self.known.get(place)) and NOTHING not in held]


class Course:
    """The model of a whole job.

    Args:
        evidence: what was observed.

    Attributes:
        moments: what is known behind each operation, by its index.
    """

    def __init__(self, evidence: JobEvidence) -> None:
        self._evidence = evidence
        self._known: dict[str, Held] = {}
        self._makers: dict[str, str] = {}
        self._busy: dict[str, str] = {}
        self.moments: list[Moment] = []
        for done in evidence.done:
            self.moments.append(self._after(done))

    def before(self, index: int) -> Moment:
        """Returns what is known ahead of an operation."""
        return self.moments[index - 1] if index else Moment({}, {})

    def _after(self, done: Done) -> Moment:
        """Follows one operation."""
        job = self._evidence.job
        operation = job.repeated[done.index]
        predicted = dict(self._known)
        if not done.skipped:
            if isinstance(operation, (Save, AsyncSave)):
                self._makers.pop(operation.place, None)
                self._makers[operation.place] = done.call
            if isinstance(operation, Save):
                predicted[operation.place] = self._saved(done.call, done.outcomes, predicted.get(operation.place, frozenset({NOTHING})))
            elif isinstance(operation, AsyncSave):
                self._busy[operation.place] = done.call
                predicted[operation.place] = None
        for place, call in list(self._busy.items()):
            ending = self._evidence.ended.get(call)
            if ending is not None and ending.after == done.index and not isinstance(operation, AsyncSave):
                predicted[place] = self._saved(call, ending.outcomes, frozenset({NOTHING}))
                del self._busy[place]
            elif done.skipped or (isinstance(operation, Wait) and operation.place in ("", place)):
                del self._busy[place]
        self._known = self._narrowed(predicted, done.seen)
        return Moment(predicted, dict(self._known), dict(self._makers))

    def _saved(self, call: str, outcomes: Mapping[int, Outcome], before: Held) -> Held:
        """What a place may hold once a save to it has ended."""
        owed = self._owed(call)
        if owed is None or lied(self._evidence, call):
            return None
        if owed is Ending.SUCCEEDS and outcomes and all(outcome.kind == "returned" for outcome in outcomes.values()):
            return frozenset({call})
        return None if before is None or owed is not Ending.FAILS else before | {NOTHING, call}

    def _owed(self, call: str) -> Ending | None:
        """How a call had to end; None where the model does not know."""
        evidence = self._evidence.single.get(call)
        owed = [] if evidence is None else [each for each in evidence.forecast.expectations if each.operation == call]
        return owed[0].ending if owed else None

    def _narrowed(self, predicted: Mapping[str, Held], seen: Mapping[str, Seen] | None) -> dict[str, Held]:
        """What places hold, by what was seen of them."""
        known = dict(predicted)
        for place, now in (seen or {}).items():
            if place in self._busy:
                known[place] = None
            elif not now.committed:
                known[place] = frozenset({NOTHING})
            else:
                whole = whole_calls(self._evidence.readings.get(now.content, ()))
                known[place] = frozenset(whole) if whole else None
        return known


def lied(evidence: JobEvidence, call: str) -> bool:
    """Whether a fault struck a call that reports success without doing the work, or that damages bytes."""
    texts = {text for text, _, struck in evidence.fired if struck == call}
    return any(isinstance(FaultPlan.parse(text).faults[0].effect, DECEPTIONS) for text in texts)

