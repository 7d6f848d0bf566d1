"""Runs the tasks of a search on a rig."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ckpt_harness.campaigns.fuzz.work import Result, Task, done
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import Broken, JobRecord
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.jobs.shrink import BUDGET
from ckpt_harness.judging.verdict import Verdict


@dataclass(frozen=True)
class RunJobs:
    """Runs jobs on a rig; a :class:`ckpt_harness.campaigns.pools.base.Work`.

    Attributes:
        register: known findings; None for those that ship with the harness.
        budget: runs that a search for a simpler job may take.
    """

    register: Register | None = None
    budget: int = BUDGET
    few: ClassVar[int] = 4

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[Task], Result]]:
        """Makes a rig that all tasks share."""
        with JobRig(register=self.register) as rig:
            yield lambda task: done(task, lambda job: run_one(rig, job), self.budget)

    def lost(self, task: Task, how: str) -> Result:
        """A job that ends its process has no verdict."""
        reason = f"the process that ran the job {how}, and so did the next process"
        return Result(task, JobRecord(task.job, Verdict.UNKNOWN, (Broken("process", verdict=Verdict.UNKNOWN, reason=reason),)))


def run_one(rig: JobRig, job: Job) -> JobRecord:
    """Runs a job, and keeps a record of it. An error of the harness itself is no verdict, and ends no search."""
    started = time.perf_counter()
    try:
        result = rig.run(job)
    except Exception as error:  # noqa: BLE001  (whatever it is, the search has to say which job it was)
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno} of {Path(where.filename).name})"
        return JobRecord(job, Verdict.UNKNOWN, (Broken("harness", type(error).__name__, Verdict.UNKNOWN, reason),))
    return JobRecord.of_result(result, time.perf_counter() - started)
