"""Which jobs a stand-alone script can show."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.engines.dcp import PLANNERS
from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.export.calling import ENGINES
from ckpt_harness.export.script import check_fault
from ckpt_harness.faults.fault import Fault
from ckpt_harness.jobs.binding import BoundJob
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import ASPECTS, AsyncSave, Change, Load, Operation, Save

WAYS = ("together", "alone")
_STAGINGS = ("writer", "blocking", "background")
_SIDES = ("writer", "reader", "save_planner", "load_planner", "state", "pg")


def check(bound: BoundJob) -> None:
    """Refuses a job that no script can show, before anything runs.

    Args:
        bound: the job.

    Raises:
        UsageError: with the value, and the choices.
    """
    job = bound.job
    if job.manager:
        raise UsageError(f"manager {quoted(job.manager)} cannot be exported: stand-alone scripts know torch only; valid: a job without a manager")
    for life in job.lives:
        _check_choice("way", life.way, WAYS)
        if life.engine not in ENGINES:
            raise UsageError(f"engine {quoted(life.engine)} cannot be exported: stand-alone scripts know torch only; engines: {', '.join(ENGINES)}")
    if len({life.way for life in job.lives}) > 1:
        raise UsageError(f"ways {', '.join(life.way for life in job.lives)} cannot be exported together; valid: one way for the whole job")
    for operation in job.operations:
        for name, value, valid in _options(operation):
            _check_choice(f"{quoted(str(operation))}: {name}", value, valid)
    for fault in job.faults:
        check_fault(fault)
        _check_place(job, fault)
    if {"save_planner", "load_planner"} <= {fault.at.side for fault in job.faults}:
        raise UsageError("faults in planners of saves and of loads cannot be exported together; valid: faults of one kind")


def _options(operation: Operation) -> Iterator[tuple[str, object, tuple[object, ...]]]:
    """Name, value and choices of each option of an operation that a script may not know."""
    if isinstance(operation, (Save, AsyncSave, Load)):
        yield "planner", operation.planner, tuple(PLANNERS)
    if isinstance(operation, AsyncSave):
        yield "staging", operation.staging, _STAGINGS
        yield "executor", operation.executor, ("thread",)
    elif isinstance(operation, Load):
        yield "ranks", operation.ranks, (0,)  # `restart N; load a` does the same
        yield "entries", operation.entries, ("all",)
    elif isinstance(operation, Change):
        yield "change", operation.to, ASPECTS


def _check_place(job: Job, fault: Fault) -> None:
    """Refuses a fault at a place where a script cannot strike one operation of several."""
    if fault.at.side not in _SIDES:
        raise UsageError(f"fault {fault} cannot be exported with a job; valid: faults at {', '.join(f'{side}.*' for side in _SIDES)}")
    if fault.at.side == "pg" and any(isinstance(operation, AsyncSave) for operation in job.operations):
        raise UsageError(f"fault {fault} cannot be exported beside an async save: a script cannot tell whose collective it is; valid: save instead of async")


def _check_choice(name: str, value: object, valid: tuple[object, ...]) -> None:
    if value not in valid:
        raise UsageError(f"{name} {quoted(value)} cannot be exported; valid: {', '.join(map(str, valid))}")
