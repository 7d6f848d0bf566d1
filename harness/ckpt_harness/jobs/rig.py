"""The rig of jobs: what they run on, and the way from a job to its result."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from ckpt_harness.cases.owner import Owner
from ckpt_harness.engines import hooks
from ckpt_harness.engines.kin import known_as
from ckpt_harness.errors import HookError
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.beneath import Beneath
from ckpt_harness.jobs.binding import BoundJob, bind_job
from ckpt_harness.jobs.courses import Courses
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.known import explained
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles import calls_alone, judge_job
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.jobs.run import run_job
from ckpt_harness.judging import oracles
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.verdict import Judgement


class JobRig(Owner):
    """Runs jobs and judges them. Use it as a context manager: it owns a temporary directory.

    Args:
        root: directory to work in; a temporary one by default.
        register: known findings; by default those that ship with the harness.

    Example:
        Runs one job, in about a second::

            with JobRig() as rig:
                rig.run(Job.parse("save a; restart 3; load a")).check()
    """

    def __init__(self, root: Path | None = None, register: Register | None = None) -> None:
        self.register = Register.shipped() if register is None else register
        super().__init__(root)
        self._courses = Courses(self._workspace, self._baselines)
        self._beneath = Beneath(self.register)

    def close(self) -> None:
        self._beneath.close()
        super().close()

    def run(self, job: Job | BoundJob) -> JobResult:
        """Runs a job and judges it.

        Args:
            job: the job; it is bound first unless it is bound already.

        Raises:
            PlanError: a fault does not fit the world of its operation; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        bound = job if isinstance(job, BoundJob) else bind_job(job)
        evidence = self._observed(bound)
        model = Model(evidence)
        alone = [judgement for single in calls_alone(model) for judgement in self._alone(bound, single)]

        def mark(violation: Judgement, observed: Evidence) -> Judgement:
            return self._mark(bound, [violation], observed)[0]

        together = [explained(judgement, model, alone, mark) for judgement in judge_job(model)]
        if bound.job.manager:
            together = self._beneath.marked(bound, evidence, together)
        return JobResult(bound.job, evidence, (*alone, *together), self.register.files)

    def _observed(self, bound: BoundJob) -> JobEvidence:
        """Runs a job. Where a hook of the engine raises, nothing that was observed means anything."""
        evidence = JobEvidence(bound.job, ())
        with hooks.noted() as failures, contextlib.suppress(HookError):
            evidence = run_job(bound, self._workspace, self._courses)
        return JobEvidence(bound.job, (), internal_errors=tuple(failures)) if failures else evidence

    def _alone(self, bound: BoundJob, evidence: Evidence) -> list[Judgement]:
        """What the oracles of single operations say of calls that were under way at once, with known findings marked."""
        judgements = self._mark(bound, oracles.judge(evidence), evidence)
        return [_unless_deceived(judgement, evidence) for judgement in judgements]

    def _mark(self, bound: BoundJob, judgements: list[Judgement], evidence: Evidence) -> list[Judgement]:
        """Marks the violations that known findings describe."""
        call = evidence.forecast.expectations[0].operation
        engine = next(each.life.engine for each in bound.calls.values() if each.call == call)
        for name, replaced in known_as(engine):
            judgements = self.register.mark(judgements, name, evidence, replaced)
        return judgements


def _unless_deceived(judgement: Judgement, evidence: Evidence) -> Judgement:
    """Objects are reused from save to save. A call that lies, and so leaves such an object as it was, makes the engine store what an earlier save left."""
    if judgement.oracle != "purity" or judgement.known is not None:
        return judgement
    owed = [expectation for expectation in evidence.forecast.expectations if expectation.operation == judgement.operation]
    lied = any(expectation.deceived for expectation in owed)
    return dataclasses.replace(judgement, claimed=judgement.claimed and (not lied or Capability.DETECTS_LIES in evidence.capabilities))
