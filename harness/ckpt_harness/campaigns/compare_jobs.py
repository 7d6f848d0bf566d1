"""Whether simulated ranks and processes show the same of the same jobs: verdicts, broken claims, and known findings."""

from __future__ import annotations

from dataclasses import replace

from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import JobRecord


def simulated_twin(job: Job) -> Job | None:
    """Returns the same job on simulated ranks; None if simulated ranks cannot run it.

    Args:
        job: a job on ranks of any world.

    Example:
        >>> twin = simulated_twin(Job.parse("save a", world="processes"))
        >>> twin is not None and twin.world
        'simulated'
        >>> simulated_twin(Job.parse("save a", faults="save[1]/writer.finish@0=exit", world="processes")) is None
        True
    """
    twin = replace(job, world="simulated")
    try:
        bind_job(twin)
    except (PlanError, UsageError):
        return None
    return twin


def differing(record: JobRecord, other: JobRecord) -> tuple[str, ...]:
    """Returns the names of what two records of a job show differently; empty if they agree.

    Args:
        record: of the job in one world.
        other: of the job in another world.
    """
    shown = {"verdict": (record.verdict, other.verdict), "claims": (record.claims, other.claims), "known": (record.known, other.known)}
    return tuple(name for name, (first, second) in shown.items() if first != second)
