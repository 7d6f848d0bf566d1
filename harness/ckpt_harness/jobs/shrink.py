"""Shrinks a failing job: the simplest job near it that breaks the same claim, found with a limited number of runs, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ckpt_harness.errors import HarnessError
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.simpler import simpler

BUDGET = 200
"""Runs that a search for a simpler job may take. A run of a few operations takes some hundredths of a second."""


@dataclass(frozen=True)
class Shrunk:
    """What shrinking came to.

    Attributes:
        job: the simplest job that still fails.
        runs: how many jobs were run.
        finished: whether no simpler job near it fails; False where the runs were used up.
    """

    job: Job
    runs: int
    finished: bool


def shrink(job: Job, still_fails: Callable[[Job], bool], budget: int = BUDGET) -> Shrunk:
    """Looks for the simplest job that fails in the same way.

    Args:
        job: a job that fails.
        still_fails: runs a job, and says whether it breaks the same claim.
        budget: the largest number of runs.

    Example:
        >>> job = Job.parse("save a; load a; save b; save a; load latest", ranks=3)
        >>> shrink(job, lambda job: job.text.count("save a") == 2).job.replay_line()
        "ckpt-harness job 'save a; save a' --ranks 1 --workload replicated"
    """
    tried = {job}
    runs = 0
    found = True
    while found:
        found = False
        for candidate in simpler(job):
            if candidate in tried or not can_run(candidate):
                continue
            if runs == budget:
                return Shrunk(job, runs, finished=False)
            tried.add(candidate)
            runs += 1
            if still_fails(candidate):
                job, found = candidate, True
                break
    return Shrunk(job, runs, finished=True)


def can_run(job: Job) -> bool:
    """Whether nothing refuses the job."""
    try:
        bind_job(job)
    except HarnessError:
        return False
    return True
