"""A job as a short program that a reader follows from top to bottom, with the faults at the operations that they strike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ckpt_harness.errors import cut
from ckpt_harness.faults.fault import Fault
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import (
    ASPECTS,
    LATEST,
    AsyncSave,
    Change,
    Continue,
    Heal,
    Load,
    Operation,
    Prune,
    Renew,
    Restart,
    Retry,
    Save,
    Wait,
)

_WIDTH = 62
"""Columns of the statements; comments stand behind."""
_LONGEST = 100
"""Characters of what happened in an operation."""


def program(job: Job, happened: Sequence[str] = ()) -> list[str]:
    r"""Returns the lines of the program that every rank runs.

    Args:
        job: the job.
        happened: for each operation, what happened in it, in words; or nothing.

    Example:
        >>> job = Job.parse("save a; load latest", faults="save[1]/writer.finish@0=raise")
        >>> print("\n".join(program(job)))
        # 2 ranks, engine filesystem, workload mixed
        dcp.save(state, checkpoint_id="a")                             # save[1]
            # on rank 0, writer.finish: raise
        dcp.load(state, checkpoint_id=latest())                        # load[1]
    """
    lines = [_heading(job)]
    for index, operation in enumerate(job.operations):
        statement = _statement(operation, job.repeated[index], _MANAGED if job.manager else _STATEMENTS)
        lines.append(f"{statement:{_WIDTH}} # {job.calls[index]}" if job.calls[index] else statement)
        lines += [f"    # {_told(fault)}" for fault in _striking(job, index)]
        if index < len(happened) and happened[index]:
            lines.append(f"    # -> {cut(happened[index], _LONGEST)}")
    return lines


def _heading(job: Job) -> str:
    parts = [f"{job.ranks} rank{'s' * (job.ranks != 1)}", *[f"manager {job.manager}"] * bool(job.manager)]
    parts += [f"engine {job.engine}", f"workload {job.workload}"]
    if job.way != Job.way:
        parts.append(f"way {job.way}")
    if job.world != Job.world:
        parts.append(f"world {job.world}")
    if job.seed:
        parts.append(f"order of ranks by seed {job.seed}")
    return f"# {', '.join(parts)}"


def _striking(job: Job, index: int) -> Iterator[Fault]:
    return (fault for fault in job.faults if fault.operation is not None and job.calls[index] and fault.operation.matches(job.calls[index]))


def _told(fault: Fault) -> str:
    """A fault in words."""
    if isinstance(fault.ranks, str):
        where = {"all": "all ranks", "others": "all ranks but the coordinator", "coordinator": "the coordinator"}[fault.ranks]
    else:
        where = f"rank{'s' * (len(fault.ranks) > 1)} {', '.join(map(str, fault.ranks))}"
    moment = "after " * fault.after + fault.site + (f"({fault.glob})" if fault.glob else "")
    calls = "" if fault.nth == 1 else f", call {fault.nth}"
    if fault.times != 1:
        calls += " and every later call" if fault.times is None else f" and the next {fault.times - 1}"
    return f"on {where}, {moment}{calls}: {fault.effect}"


def _statement(operation: Operation, repeated: Operation, statements: dict[type[Operation], Callable[[Any], str]]) -> str:
    """An operation as a statement; of a ``retry``, the statement that is repeated."""
    if isinstance(operation, Retry):
        return f"{_statement(repeated, repeated, statements)}  # again"
    return statements[type(operation)](operation)


def _call(name: str, place: str, operation: Any, *options: str) -> str:
    where = "latest()" if place == LATEST else f'"{place}"'
    given = list(options)
    if getattr(operation, "coordinator", 0):
        given.append(f"coordinator={operation.coordinator}")
    if operation.planner != "default":
        given.append(f'planner="{operation.planner}"')
    return f"{name}({', '.join(['state', f'checkpoint_id={where}', *given])})"


def _save(operation: Save) -> str:
    return _call("dcp.save", operation.place, operation)


def _async(operation: AsyncSave) -> str:
    options = [] if operation.staging == "writer" else [f'staging="{operation.staging}"']
    options += [] if operation.group == "shared" else ["process_group=its_own"]
    options += [] if operation.executor == "thread" else [f'executor="{operation.executor}"']
    return f"future_{operation.place} = {_call('dcp.async_save', operation.place, operation, *options)}"


def _load(operation: Load) -> str:
    options = ["entries=every_second"] if operation.entries == "part" else []
    call = _call("dcp.load", operation.place, operation, *options)
    return f"{call}  # on {operation.ranks} fresh rank{'s' * (operation.ranks > 1)}" if operation.ranks else call


def _wait(operation: Wait) -> str:
    return f"future_{operation.place}.result()" if operation.place else "every_future.result()"


def _restart(operation: Restart) -> str:
    changes = [f"{operation.ranks} ranks"] if operation.ranks else []
    changes += [f"way {operation.way}"] if operation.way else []
    changes += [f"engine {operation.engine}"] if operation.engine else []
    return f"# all ranks end, and new ranks begin{': ' + ', '.join(changes) if changes else ''}"


def _change(operation: Change) -> str:
    about = f"other {operation.to}" if operation.to in ASPECTS else f"workload {operation.to}"
    return f"state = new_state()  # {about}"


_STATEMENTS: dict[type[Operation], Callable[[Any], str]] = {
    Save: _save,
    AsyncSave: _async,
    Load: _load,
    Wait: _wait,
    Restart: _restart,
    Change: _change,
    Continue: lambda operation: "# each rank goes on alone, whatever the others do",
    Heal: lambda operation: "# no fault strikes from here on",
    Prune: lambda operation: f"remove_all_checkpoints_but_the_newest({operation.keep})",
    Renew: lambda operation: f"# new objects: {operation.what}",
}

_MANAGED: dict[type[Operation], Callable[[Any], str]] = {
    **_STATEMENTS,
    Save: lambda operation: f"manager.save(state, {operation.place})",
    AsyncSave: lambda operation: f"future_{operation.place} = manager.async_save(state, {operation.place})",
    Load: lambda operation: f"manager.load(state, {'manager.latest()' if operation.place == LATEST else operation.place})",
    Wait: lambda operation: "manager.wait()",
    Prune: lambda operation: f"manager.prune({operation.keep})",
}
