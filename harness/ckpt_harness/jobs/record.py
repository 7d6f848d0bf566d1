"""The record of a job that ran: plain data that crosses processes, and by which a search decides what is new."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ckpt_harness.jobs.coverage import steps
from ckpt_harness.jobs.fault_classes import class_of
from ckpt_harness.jobs.happened import happened
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.judging.verdict import Judgement, Verdict

SCHEMA = 1
"""Version of the JSON lines; a reader refuses others."""


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
class Shown:
    """A known finding, as what a simpler job must show, too.

    Attributes:
        id: id of the finding.
    """

    id: str

    @property
    def claim(self) -> str:
        """The finding, in the place of a broken claim."""
        return self.id


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
        registers: register files whose findings were marked, beside the findings that ship with the harness.
    """

    job: Job
    verdict: Verdict
    broken: tuple[Broken, ...] = ()
    known: tuple[str, ...] = ()
    fired: tuple[str, ...] = ()
    happened: tuple[str, ...] = ()
    seconds: float = 0.0
    registers: tuple[str, ...] = ()

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

    @classmethod
    def of_result(cls, result: JobResult, seconds: float = 0.0) -> JobRecord:
        """Returns the record of a job that has run.

        Args:
            result: what the job showed.
            seconds: real time that the job took.
        """
        fired = {fault for fault, _, _ in result.evidence.fired}
        record = cls.of(result.job, result.judgements, fired, happened(result.evidence), seconds)
        return dataclasses.replace(record, registers=result.registers)

    def replay_line(self) -> str:
        """Returns the shell line that runs the job again, and comes to the same verdict."""
        return self.job.replay_line(self.registers)

    def to_json(self) -> dict[str, Any]:
        """Returns one line of a report, which can be read without the harness.

        Example:
            >>> JobRecord(Job.parse("save a"), Verdict.HOLDS).to_json()["job"]["operations"]
            'save a'
        """
        job = {each.name: getattr(self.job, each.name) for each in dataclasses.fields(self.job)}
        return {
            "schema": SCHEMA,
            "job": {**job, "operations": self.job.text, "faults": str(self.job.faults)},
            "verdict": self.verdict.name,
            "broken": [{**vars(each), "verdict": each.verdict.name} for each in self.broken],
            "known": list(self.known),
            "fired": list(self.fired),
            "happened": list(self.happened),
            "seconds": self.seconds,
            "replay": self.replay_line(),
        }

    @property
    def fails(self) -> bool:
        """Whether the job counts against the run."""
        return bool(self.broken)

    @property
    def target(self) -> Broken:
        """The broken claim that a simpler job must break, too: the first of the worst."""
        return self.broken[0]

    def breaks(self, target: Broken | Shown) -> bool:
        """Whether the job breaks the claim of an oracle, whichever operation is judged; or shows a known finding."""
        if isinstance(target, Shown):
            return target.id in self.known
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
