"""What the fixture ``ckpt_job_rig`` gives a test: it runs whole jobs, and every oracle judges them."""

from __future__ import annotations

import dataclasses

from ckpt_harness.cases.surroundings import silenced
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.binding import BoundJob, bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import JobRecord
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.pytest_plugin.engines import expect, refuse
from ckpt_harness.pytest_plugin.session import Session


def assert_job(result: JobResult) -> None:
    """Asserts that every claim holds. A known finding makes the test an expected failure; under ``@given`` the example passes instead.

    Raises:
        OracleViolation: the verdict is VIOLATED, VACUOUS or UNKNOWN; the message has the evidence and the replay line.
    """
    __tracebackhide__ = True
    result.check()
    expect(result.known)


class CkptJobRig:
    """Runs jobs, and counts them for the summary.

    Args:
        rig: runs the jobs.
        session: the test session.

    Example:
        In a test::

            def test_a_failed_save_leaves_the_checkpoint_before_it(ckpt_job_rig):
                ckpt_job_rig.check(Job.parse("save a; save b; load latest", faults="save[2]/writer.finish@0=raise"))
    """

    def __init__(self, rig: JobRig, session: Session) -> None:
        self._rig, self._session = rig, session

    @property
    def register(self) -> Register:
        """The known findings of the session."""
        return self._rig.register

    def run(self, job: Job) -> JobResult:
        """Runs and judges a job; asserts nothing.

        - In a test that runs on processes (the mark ``ckpt_runs_in``), so does the job.
        - A job without a seed takes the seed of ``--ckpt-seed``.
        - A job on the default engine takes the engine of ``--ckpt-engine``; if that engine claims too little, the test is skipped.

        Args:
            job: the job.

        Raises:
            PlanError: a fault does not fit; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        world = "processes" if self._session.world == "processes" else job.world
        bound = self._moved(dataclasses.replace(job, seed=job.seed or self._session.seed, world=world))
        with silenced():
            result = self._rig.run(bound)
        self._session.ran_job(JobRecord.of_result(result))
        return result

    def _moved(self, job: Job) -> BoundJob:
        """The job on the session's engine, if the job names no engine."""
        engine = self._session.engine
        bound = bind_job(job)  # a job that cannot run on the default engine either is a mistake in the test, and fails it
        if engine is None or job.engine != Job.engine:
            return bound
        try:
            return bind_job(dataclasses.replace(job, engine=engine))
        except (PlanError, UsageError) as error:
            refuse(str(error), self._session)

    def check(self, job: Job) -> JobResult:
        """Runs a job and asserts that every claim holds; see :func:`assert_job`."""
        __tracebackhide__ = True
        result = self.run(job)
        assert_job(result)
        return result
