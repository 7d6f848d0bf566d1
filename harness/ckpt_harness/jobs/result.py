"""The result of a job: what was observed, what each oracle says, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from ckpt_harness.errors import OracleViolation
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.jobs.job import Job
from ckpt_harness.judging.verdict import Judgement, Verdict


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        job: the job.
        evidence: what was observed.
        judgements: what each oracle says: those of single operations call by call, then those of the job; with known findings marked.
        registers: register files whose findings were marked, beside the findings that ship with the harness.
    """

    job: Job
    evidence: JobEvidence
    judgements: tuple[Judgement, ...]
    registers: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict that counts: known findings and oracles that the engine does not claim count as HOLDS."""
        return Verdict.worst(judgement.counts for judgement in self.judgements)

    @property
    def known(self) -> tuple[str, ...]:
        """Ids of the known findings that this job shows, sorted."""
        return tuple(sorted({judgement.known for judgement in self.judgements if judgement.known is not None}))

    @property
    def counting(self) -> tuple[Judgement, ...]:
        """The judgements that count against the job."""
        return tuple(judgement for judgement in self.judgements if judgement.counts is not Verdict.HOLDS)

    def replay_line(self) -> str:
        """Returns the shell line that runs the job again, and comes to the same verdict."""
        return self.job.replay_line(self.registers)

    def complaints(self) -> list[str]:
        """Returns one line for each judgement that counts against the job."""
        return [f"{judgement.oracle} of {judgement.operation or 'the job'} {judgement.verdict.name}: {judgement.reason}" for judgement in self.counting]

    def check(self) -> None:
        """Insists that every claim holds, or that its violation is a known finding.

        Raises:
            OracleViolation: the message has the complaints; its last line runs the job again.
        """
        __tracebackhide__ = True
        if self.verdict is not Verdict.HOLDS:
            raise OracleViolation("\n".join([f"{self.verdict.name}: {self.job.text}", *self.complaints(), self.replay_line()]))
