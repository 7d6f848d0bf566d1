"""One run of one job, life by life. What it gives is evidence; ``ckpt_harness.jobs.rig`` has the oracles judge it."""

from __future__ import annotations

from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.jobs.binding import BoundJob
from ckpt_harness.jobs.courses import Courses
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.jobs.gathered import gathered
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.simulated_life import SimulatedLife


def run_job(bound: BoundJob, workspace: Workspace, courses: Courses) -> JobEvidence:
    """Runs a job.

    Args:
        bound: the job.
        workspace: where it runs.
        courses: says which calls an operation makes without faults.

    Returns:
        What was observed, not judged yet.
    """
    run = JobRun(bound, workspace, courses)
    try:
        _live(run, 0)
        return gathered(run)
    finally:
        run.places.close()


def _live(run: JobRun, which: int) -> None:
    """Runs the lives of a job from one on.

    Ranks that hang or died are unwound once nothing is looked at any more: they would close the files that they have open, and so publish them. So the
    lives behind them run while they are still as they were.

    Args:
        run: the job.
        which: index of the first life to run.
    """
    lives = run.bound.job.lives
    while which < len(lives):
        life = SimulatedLife(run, lives[which])
        which += 1
        if life.run(lambda following=which: _live(run, following)):  # type: ignore[misc]
            return
