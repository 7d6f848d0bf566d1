"""How simple a job is: the order in which a search prefers one failing job to another."""

from __future__ import annotations

import dataclasses

from ckpt_harness.faults.effects import EFFECTS, FailFuture, Raise
from ckpt_harness.faults.fault import Fault
from ckpt_harness.jobs.fault_classes import FAULT_CLASSES, class_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import LATEST, OPERATIONS, Load, Operation
from ckpt_harness.workloads.workload import WORKLOADS

_MANY = 1_000
"""In place of the ranks that a word stands for, or of the calls that a fault strikes for ever."""

Simplicity = tuple[object, ...]
"""The smaller, the simpler."""


def simplicity(job: Job) -> Simplicity:
    """Returns a key by which jobs are compared.

    What counts, in this order: fewer operations; fewer faults; fewer ranks; faults that strike earlier; simpler effects; fewer and lower ranks that they
    strike; smaller states; usual options; fewer places. Of equally simple jobs, the text decides.

    Example:
        >>> simplicity(Job.parse("save a", ranks=3)) < simplicity(Job.parse("save a; save a", ranks=1))
        True
    """
    return (
        len(job.operations),
        len(job.faults),
        sum(life.ranks for life in job.lives) + sum(operation.ranks for operation in job.operations if isinstance(operation, Load)),
        sum(map(_occurrence, job.faults)),
        sorted(map(_effect, job.faults)),
        sorted(map(_ranks, job.faults)),
        size_of(job.workload),
        sum(map(_options, job.operations)) + (job.way != Job.way),
        len({getattr(operation, "place", "") for operation in job.operations}),
        job.seed,
        str(job.faults),
        job.text,
    )


def size_of(workload: str) -> int:
    """Where a workload stands among all, the smallest first."""
    names = list(WORKLOADS)
    return names.index(workload) if workload in names else len(names)


def _occurrence(fault: Fault) -> int:
    number = 0 if fault.operation is None or fault.operation.index is None else fault.operation.index
    return number + fault.nth + (fault.times or _MANY)


def _effect(fault: Fault) -> tuple[int, bool, int, int, str]:
    """The class of a fault, its effect, and its arguments: the usual ones first."""
    effect = fault.effect
    special = isinstance(effect, (Raise, FailFuture)) and (effect.error != "InjectedFault" or fault.at.side == "fs")  # disks raise errors of the system
    return FAULT_CLASSES.index(class_of(fault)), special, list(EFFECTS).index(effect.name), fault.after + fault.optional, str(effect)


def _ranks(fault: Fault) -> tuple[int, int]:
    if isinstance(fault.ranks, str):
        return (1, 0) if fault.ranks == "coordinator" else (_MANY, 0)
    return len(fault.ranks), sum(fault.ranks)


def _options(operation: Operation) -> int:
    """How many words of an operation's text are unusual; each kind of operation is as unusual as it comes late in the table."""
    given: int = sum(each.kw_only and getattr(operation, each.name) != each.default for each in dataclasses.fields(operation))
    latest = isinstance(operation, Load) and operation.place == LATEST
    return len(OPERATIONS) * given + list(OPERATIONS).index(operation.word) + latest
