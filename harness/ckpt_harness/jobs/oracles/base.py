"""What the oracles of a job share: the job as the model has followed it, and how they write down what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ckpt_harness.jobs.evidence import Done, JobEvidence, Reading, Seen, whole_calls
from ckpt_harness.jobs.model import Course, lied
from ckpt_harness.jobs.operations import Load
from ckpt_harness.judging.oracles.base import one_line
from ckpt_harness.judging.verdict import Judgement, Verdict


@dataclass(frozen=True)
class Followed:
    """A job and its model, as the oracles see them.

    Attributes:
        evidence: what was observed.
    """

    evidence: JobEvidence

    @cached_property
    def course(self) -> Course:
        """The model of the job."""
        return Course(self.evidence)

    def operation(self, done: Done) -> str:
        """An operation in words, as reasons quote it."""
        return f"operation {done.index + 1}, {str(self.evidence.job.operations[done.index])!r}"

    def loads(self) -> Iterator[Done]:
        """The loads that were done. Where a fault has lied to a load, nothing is owed."""
        for done in self.evidence.done:
            is_load = isinstance(self.evidence.job.repeated[done.index], Load)
            if is_load and not done.skipped and not lied(self.evidence, done.call):
                yield done

    def readings(self, seen: Seen) -> Sequence[Reading]:
        """What fresh ranks got from what lies at a place."""
        return self.evidence.readings.get(seen.content, ())

    def whole(self, seen: Seen) -> str | None:
        """The save whose checkpoint lies at a place, in whole; None if there is none, or none alone."""
        whole = whole_calls(self.readings(seen)) if seen.committed else []
        return whole[0] if len(whole) == 1 else None

    def judged_alone(self, call: str) -> bool:
        """Whether the oracles of single operations have judged what a save left; where a fault has struck a save otherwise, nothing is owed."""
        return call in self.evidence.single or any(struck == call for _, _, struck in self.evidence.fired)

    def changes(self) -> Iterator[tuple[Done, str, Seen, Seen]]:
        """Each change that was seen at a place: the operation behind which it was seen, the place, what lay there, and what lies there now."""
        last: dict[str, Seen] = {}
        for done in self.evidence.done:
            for place, now in (done.seen or {}).items():
                before = last.get(place, Seen())
                if now != before:
                    yield done, place, before, now
                last[place] = now


def judged(oracle: str, call: str, reasons: Iterable[str], ranks: tuple[int, ...] = ()) -> Judgement:
    """What an oracle of a job says: VIOLATED if there is any reason, else HOLDS.

    Args:
        oracle: name of the oracle.
        call: the engine call that is to blame, such as ``save[2]``; "" if there is none.
        reasons: what is wrong.
        ranks: the ranks that are judged; empty for all.
    """
    texts = tuple(reasons)
    return Judgement(oracle, Verdict.VIOLATED if texts else Verdict.HOLDS, one_line(texts), call, ranks, reasons=texts)
