"""Changes to a job that leave it valid: what makes no sense any more is left out, and faults follow the operations that they strike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckpt_harness.errors import HarnessError, PlanError
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import Continue, Load, Operation, Save


class Kept(NamedTuple):
    """An operation of a changed job.

    Attributes:
        operation: the operation.
        was: its index in the job before the change.
    """

    operation: Operation
    was: int


def with_operations(job: Job, kept: Sequence[Kept]) -> Job | None:
    """Returns a job with other operations.

    Operations that make no sense any more, such as a ``wait`` without its async save, are left out, and so are the faults that struck them. The other
    faults strike the same operations as before, whose numbers may have changed.

    Args:
        job: the job.
        kept: the operations, in order.

    Returns:
        The job; None if no operation is left.

    Example:
        >>> job = Job.parse("save a; async b; wait; save a", faults="save[2]/writer.finish@0=raise")
        >>> changed = with_operations(job, [Kept(operation, index) for index, operation in enumerate(job.operations) if index in (2, 3)])
        >>> changed.text, str(changed.faults)
        ('save a', 'save[1]/writer.finish@0=raise')
    """
    sensible = _sensible(kept)
    if not sensible:
        return None
    bare = replace(job, operations=tuple(each.operation for each in sensible), faults=FaultPlan())
    calls = {job.calls[each.was]: bare.calls[index] for index, each in enumerate(sensible) if job.calls[each.was]}
    return with_faults(bare, (_moved(fault, calls) for fault in job.faults))


def with_faults(job: Job, faults: Iterable[Fault | None]) -> Job:
    """Returns a job with other faults; those that cannot strike it are left out.

    Args:
        job: the job.
        faults: the faults; None is left out.
    """
    kept: tuple[Fault, ...] = ()
    for fault in faults:
        if fault is not None:
            try:
                replace(job, faults=FaultPlan((*kept, fault)))
            except PlanError:
                continue
            kept = (*kept, fault)
    return replace(job, faults=FaultPlan(kept))


def clipped(job: Job) -> Job:
    """Returns a job without ranks that do not exist: ranks of faults and coordinators become the highest rank that does.

    Example:
        >>> clipped(Job.parse("save a coordinator=2", faults="save[1]/writer.write_data@0,3=raise", ranks=2)).replay_line()
        "ckpt-harness job 'save a coordinator=1' --faults 'save[1]/writer.write_data@0,1=raise' --ranks 2"
    """
    sizes = _sizes(job)
    operations = tuple(
        replace(operation, coordinator=min(operation.coordinator, sizes[index] - 1)) if isinstance(operation, (Save, Load)) else operation
        for index, operation in enumerate(job.operations)
    )
    of_calls = {call: sizes[index] for index, call in enumerate(job.calls) if call}
    return with_faults(replace(job, operations=operations, faults=FaultPlan()), (_clipped(fault, of_calls) for fault in job.faults))


def _sensible(kept: Sequence[Kept]) -> list[Kept]:
    """The operations without those that can do nothing where they stand."""
    found: list[Kept] = []
    alone: Kept | None = None  # a `continue`, which makes sense only once the operation behind it is known
    for each in kept:
        if isinstance(each.operation, Continue):
            alone = each
        elif alone is not None and _makes_sense([*found, alone, each]):
            found += [alone, each]
            alone = None
        elif _makes_sense([*found, each]):
            found.append(each)
            alone = None
    return found


def _makes_sense(kept: Sequence[Kept]) -> bool:
    try:
        Job(tuple(each.operation for each in kept))
    except HarnessError:
        return False
    return True


def _moved(fault: Fault, calls: dict[str, str]) -> Fault | None:
    """A fault that strikes the same call as before, under the call's new name."""
    if fault.operation is None or fault.operation.index is None:
        return fault
    if str(fault.operation) not in calls:
        return None
    kind, _, number = calls[str(fault.operation)].rstrip("]").partition("[")
    try:
        return replace(fault, operation=OperationRef(kind, int(number)))  # type: ignore[arg-type]  # a kind of the job's
    except PlanError:
        return None  # another kind of save does not have the site


def _sizes(job: Job) -> list[int]:
    """The number of ranks that do each operation, or that coordinate it."""
    of_lives = [life.ranks for life in job.lives for _ in life.operations]
    return [
        operation.ranks if isinstance(operation, Load) and operation.ranks else ranks
        for operation, ranks in zip(job.repeated, of_lives, strict=True)
    ]


def _clipped(fault: Fault, sizes: dict[str, int]) -> Fault:
    struck = [size for call, size in sizes.items() if fault.operation is not None and fault.operation.matches(call)]
    if isinstance(fault.ranks, str) or not struck:
        return fault
    return replace(fault, ranks=tuple(sorted({min(rank, max(struck) - 1) for rank in fault.ranks})))

