"""What is done for a search: a job is run, or a simpler job is looked for that breaks the same claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import Broken, JobRecord, Shown
from ckpt_harness.jobs.shrink import shrink
from ckpt_harness.judging.verdict import Verdict

Origin = Literal["drawn", "corpus"]


@dataclass(frozen=True)
class Task:
    """One thing to do.

    Attributes:
        job: the job.
        origin: where the job comes from.
        target: the claim that a simpler job must break, or the known finding that it must show; None to run the job as it is.
    """

    job: Job
    origin: Origin = "drawn"
    target: Broken | Shown | None = None


@dataclass(frozen=True)
class Result:
    """What came of a task.

    Attributes:
        task: the task.
        record: the record of the job; after shrinking, of the simplest job.
        runs: how many jobs were run.
    """

    task: Task
    record: JobRecord
    runs: int = 1

    def to_json(self) -> dict[str, Any]:
        """Returns one line of a report: the job and its result, where the job comes from, and how many runs it took."""
        origin = self.task.origin if self.task.target is None else "shrunk"
        return {**self.record.to_json(), "origin": origin, "runs": self.runs}


Run = Callable[[Job], JobRecord]
"""Runs a job."""


def done(task: Task, run: Run, budget: int) -> Result:
    """Does a task.

    Args:
        task: what to do.
        run: runs a job.
        budget: runs that a search for a simpler job may take.
    """
    if task.target is None:
        return Result(task, run(task.job))
    records: dict[Job, JobRecord] = {}
    target = task.target

    def still_fails(job: Job) -> bool:
        records[job] = run(job)
        return records[job].breaks(target)

    found = shrink(task.job, still_fails, budget)
    record = records[found.job] if found.job in records else run(found.job)
    if not record.breaks(target):
        again = Broken("determinism", verdict=Verdict.UNKNOWN, reason=f"the job showed {target.claim} once, and not again")
        record = JobRecord(task.job, Verdict.UNKNOWN, (again,))
    return Result(task, record, found.runs)
