"""The record of a job that ran: plain data that crosses processes, and by which a search decides what is new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ckpt_harness.jobs.coverage import steps
from ckpt_harness.jobs.fault_classes import class_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.judging.verdict import Judgement, Verdict


@dataclass(frozen=True)
class Broken:
    """A claim that does not hold, or that could not be checked.

    Attributes:
        oracle: name of the oracle.
        kind: kind of the operation that is judged, such as ``save``; "" for the whole job.
        verdict: VIOLATED or UNKNOWN.
        reason: the evidence in one line.
    """

    oracle: str
    kind: str = ""
    verdict: Verdict = Verdict.VIOLATED
    reason: str = ""

    @property
    def claim(self) -> str:
        """What is broken, without the evidence.

        Example:
            >>> Broken("agreement", "save").claim
            'agreement of save'
        """
        about = f"{self.oracle} of {self.kind}" if self.kind else self.oracle
        return about if self.verdict is Verdict.VIOLATED else f"{about} ({self.verdict.name})"


@dataclass(frozen=True)
class JobRecord:
    """A job and its result, as plain data.

    Attributes:
        job: the job.
        verdict: the worst verdict that counts.
        broken: each claim that counts against the job.
        known: ids of the known findings that the job shows.
        fired: texts of the faults that fired.
        happened: for each operation, what happened in it, in words; empty if nobody looked.
        seconds: real time that the job took.
    """

    job: Job
    verdict: Verdict
    broken: tuple[Broken, ...] = ()
    known: tuple[str, ...] = ()
    fired: tuple[str, ...] = ()
    happened: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(
        cls, job: Job, judgements: Iterable[Judgement], fired: Iterable[str], happened: Iterable[str] = (), seconds: float = 0.0
    ) -> JobRecord:
        """Returns the record of a job that was judged.

        Args:
            job: the job.
            judgements: what the oracles say, with known findings marked.
            fired: texts of the faults that fired.
            happened: for each operation, what happened in it, in words.
            seconds: real time that the job took.
        """
        judgements = list(judgements)
        broken = [_broken(judgement) for judgement in judgements if judgement.counts in (Verdict.VIOLATED, Verdict.UNKNOWN)]
        return cls(
            job=job,
            verdict=Verdict.worst(each.counts for each in judgements),
            broken=tuple(sorted(broken, key=lambda each: -each.verdict)),
            known=tuple(sorted({each.known for each in judgements if each.known is not None})),
            fired=tuple(sorted(fired)),
            happened=tuple(happened),
            seconds=seconds,
        )

    @property
    def fails(self) -> bool:
        """Whether the job counts against the run."""
        return bool(self.broken)

    @property
    def target(self) -> Broken:
        """The broken claim that a simpler job must break, too: the first of the worst."""
        return self.broken[0]

    def breaks(self, target: Broken) -> bool:
        """Whether the job breaks the claim of an oracle, whichever operation is judged."""
        return any((each.oracle, each.verdict) == (target.oracle, target.verdict) for each in self.broken)

    @property
    def claims(self) -> tuple[str, ...]:
        """What is broken, without the evidence."""
        return tuple(sorted({each.claim for each in self.broken}))


def _broken(judgement: Judgement) -> Broken:
    kind = judgement.operation.partition("[")[0]
    return Broken(judgement.oracle, kind, judgement.counts, f"{judgement.operation}: {judgement.reason}".removeprefix(": "))


def outline(job: Job) -> tuple[str, ...]:
    """What matters about a job when failures are compared: its steps, each with the sites and classes of its faults.

    Example:
        >>> outline(Job.parse("save a; save a", faults="save[2]/writer.finish@0=raise"))
        ('save', 'overwrite!writer.finish:error')
    """
    found = []
    for index, name in enumerate(steps(job)):
        here = [fault for fault in job.faults if fault.operation is not None and fault.operation.matches(job.calls[index])]
        found.append("!".join([name, *sorted({f"{fault.site}:{class_of(fault)}" for fault in here})]))
    return tuple(found)


def contains(job: Job, other: Job) -> bool:
    """Whether a job does everything that another job does, in this order, with faults at the same sites.

    Example:
        >>> long, short = Job.parse("save a; async b; wait; save a"), Job.parse("save b; save b")
        >>> contains(long, short), contains(short, long)
        (True, False)
    """
    rest = iter(outline(job))
    return all(any(_covers(here, wanted) for here in rest) for wanted in outline(other))


def _covers(here: str, wanted: str) -> bool:
    step, *faults = wanted.split("!")
    own, *others = here.split("!")
    return step == own and set(faults) <= set(others)
