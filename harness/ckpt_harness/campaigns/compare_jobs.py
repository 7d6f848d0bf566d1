"""Whether simulated ranks and processes show the same of the same jobs: verdicts, broken claims, and known findings.

Calls that are under way at once on one process group may get each other's messages. Which call gets which is up to the order in which a machine lets ranks
run, so another known finding may show in each world. Of such jobs the verdicts and the broken claims must agree, and the known findings need not.
"""

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
    shown: dict[str, tuple[object, object]] = {"verdict": (record.verdict, other.verdict), "claims": (record.claims, other.claims)}
    if all(len(calls) == 1 for calls in bind_job(record.job).clusters):
        shown["known"] = (record.known, other.known)
    return tuple(name for name, (first, second) in shown.items() if first != second)
