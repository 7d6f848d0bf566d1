"""One run of one job, life by life. What it gives is evidence; ``ckpt_harness.jobs.rig`` has the oracles judge it."""

from __future__ import annotations

from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.jobs.binding import BoundJob
from ckpt_harness.jobs.courses import Courses
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.jobs.gathered import gathered
from ckpt_harness.jobs.process_life import ProcessLife
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.simulated_life import SimulatedLife
from ckpt_harness.jobs.single import Singles


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
    singles = Singles(run)
    try:
        _live(run, singles, 0)
        return gathered(run, singles)
    finally:
        run.places.close()


def _live(run: JobRun, singles: Singles, which: int) -> None:
    """Runs the lives of a job from one on.

    Simulated ranks that hang or died are unwound once nothing is looked at any more: they would close the files that they have open, and so publish
    them. So the lives behind them run while they are still as they were.

    Args:
        run: the job.
        singles: makes the evidence of its calls.
        which: index of the first life to run.
    """
    lives = run.bound.job.lives
    while which < len(lives):
        kind = SimulatedLife if run.bound.job.world == "simulated" else ProcessLife
        life = kind(run, singles, lives[which])
        which += 1
        if life.run(lambda following=which: _live(run, singles, following)):  # type: ignore[misc]
            return
