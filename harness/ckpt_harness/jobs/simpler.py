"""Simpler jobs near a job, in the order in which a search tries them: what would help a reader most comes first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

from ckpt_harness.errors import HarnessError
from ckpt_harness.faults.effects import EFFECTS, DiskError, Effect, FailFuture, Raise
from ckpt_harness.faults.fault import Fault
from ckpt_harness.jobs.edits import Kept, clipped, with_faults, with_operations
from ckpt_harness.jobs.fault_classes import class_of, effects_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import ASPECTS, LATEST, AsyncSave, Change, Load, Operation, Restart, Save
from ckpt_harness.jobs.simplicity import simplicity, size_of
from ckpt_harness.workloads.workload import WORKLOADS

_PLAIN: tuple[Effect, ...] = (Raise(), FailFuture(), DiskError())
"""Plain errors, of which each site has one."""


def simpler(job: Job) -> Iterator[Job]:
    """Yields jobs that are simpler than a job, each once.

    Args:
        job: the job.
    """
    seen: set[Job] = set()
    least = simplicity(job)
    for change in (
        _fewer_operations,
        _fewer_faults,
        _fewer_ranks,
        _earlier,
        _simpler_effects,
        _lower_ranks,
        _smaller_state,
        _usual_options,
        _fewer_places,
    ):
        for candidate in change(job):
            if candidate not in seen and simplicity(candidate) < least:
                seen.add(candidate)
                yield candidate


def _numbered(job: Job) -> list[Kept]:
    return [Kept(operation, index) for index, operation in enumerate(job.operations)]


def _fewer_operations(job: Job) -> Iterator[Job]:
    """Begins with a later life; leaves out ever smaller runs of operations, from the end; does async saves in the foreground, which saves their wait."""
    numbered = _numbered(job)
    for life in reversed(job.lives[1:]):
        begun = replace(job, ranks=life.ranks, way=life.way, engine=life.engine)
        yield from _made(begun, numbered[life.operations.start :])
    size = len(numbered) // 2
    while size:
        for start in range(len(numbered) - size, -1, -1):
            yield from _made(job, numbered[:start] + numbered[start + size :])
        size //= 2
    for each in numbered:
        if isinstance(each.operation, AsyncSave):
            save = Save(each.operation.place, planner=each.operation.planner)
            yield from _made(job, [Kept(save, each.was) if other is each else other for other in numbered])


def _made(job: Job, kept: list[Kept]) -> Iterator[Job]:
    made = with_operations(job, kept)
    if made is not None:
        yield clipped(made)


def _fewer_faults(job: Job) -> Iterator[Job]:
    faults = job.faults.faults
    yield with_faults(job, ())
    for index in range(len(faults) - 1, -1, -1):
        yield with_faults(job, faults[:index] + faults[index + 1 :])


def _fewer_ranks(job: Job) -> Iterator[Job]:
    """Takes fewer ranks from the beginning; restarts at the same size; loads on the ranks of the job."""
    for ranks in range(1, job.ranks):
        yield clipped(replace(job, ranks=ranks))
    for index, operation in enumerate(job.operations):
        if isinstance(operation, (Restart, Load)):
            for ranks in range(operation.ranks):
                yield from _replaced(job, index, replace(operation, ranks=ranks))


def _replaced(job: Job, index: int, operation: Operation) -> Iterator[Job]:
    """The job with another operation in place of one."""
    kept = _numbered(job)
    kept[index] = Kept(operation, index)
    yield from _made(job, kept)


def _each_fault(job: Job, index: int, *others: Fault) -> Iterator[Job]:
    """The job with other faults in place of one."""
    faults = job.faults.faults
    for other in others:
        made = with_faults(job, (*faults[:index], other, *faults[index + 1 :]))
        if len(made.faults) == len(faults):
            yield made


def _earlier(job: Job) -> Iterator[Job]:
    for index, fault in enumerate(job.faults):
        if fault.operation is not None and fault.operation.index is not None:
            addresses = [replace(fault.operation, index=number) for number in range(1, fault.operation.index)]
            yield from _each_fault(job, index, *(replace(fault, operation=address) for address in addresses))
        if fault.times != 1:
            yield from _each_fault(job, index, replace(fault, times=1))
        for nth in range(1, fault.nth):
            yield from _each_fault(job, index, replace(fault, nth=nth))


def _simpler_effects(job: Job) -> Iterator[Job]:
    for index, fault in enumerate(job.faults):
        if fault.optional:
            yield from _each_fault(job, index, replace(fault, optional=False))
        if fault.after:
            yield from _each_fault(job, index, replace(fault, after=False))
        for effect in (*_PLAIN, *_usual_forms(fault)):
            yield from _with_effect(job, index, effect)


def _usual_forms(fault: Fault) -> Iterator[Effect]:
    """The effects of the same class in their usual form, the simplest first."""
    for kind in effects_of(class_of(fault)):
        if kind.name in EFFECTS:
            yield kind()


def _with_effect(job: Job, index: int, effect: Effect) -> Iterator[Job]:
    fault = job.faults.faults[index]
    for after in (False, True) if fault.after else (False,):
        try:
            other = replace(fault, effect=effect, after=after)
        except HarnessError:
            continue  # not legal at this site
        yield from _each_fault(job, index, other)


def _lower_ranks(job: Job) -> Iterator[Job]:
    for index, fault in enumerate(job.faults):
        highest = job.ranks if isinstance(fault.ranks, str) else max(fault.ranks) + 1
        for rank in range(highest):
            yield from _each_fault(job, index, replace(fault, ranks=(rank,)))


def _smaller_state(job: Job) -> Iterator[Job]:
    for name in list(WORKLOADS)[: size_of(job.workload)]:
        yield replace(job, workload=name)
    for index, operation in enumerate(job.operations):
        if isinstance(operation, Change) and operation.to != ASPECTS[0]:
            yield from _replaced(job, index, Change(ASPECTS[0]))


def _usual_options(job: Job) -> Iterator[Job]:
    yield replace(job, way=Job.way)
    for index, operation in enumerate(job.operations):
        for each in dataclasses.fields(operation):
            if each.kw_only and getattr(operation, each.name) != each.default:
                yield from _replaced(job, index, replace(operation, **{each.name: each.default}))
        if isinstance(operation, Load) and operation.place == LATEST:
            for place in _places(job):
                yield from _replaced(job, index, replace(operation, place=place))
        if isinstance(operation, AsyncSave):
            yield from _replaced(job, index, Save(operation.place, planner=operation.planner))
    yield replace(job, seed=0)


def _fewer_places(job: Job) -> Iterator[Job]:
    """Saves to a place that is used already; then names the places in order."""
    places = _places(job)
    for index in range(1, len(places)):
        for other in places[:index]:
            yield from _renamed(job, {places[index]: other})
    simplest = map(str, range(1, len(places) + 1)) if job.manager else "abcdefghijklmnopqrstuvwxyz"
    yield from _renamed(job, dict(zip(places, simplest, strict=False)))


def _places(job: Job) -> list[str]:
    """The places of a job, in the order in which they are first used."""
    places = [getattr(operation, "place", "") for operation in job.operations]
    return [place for place in dict.fromkeys(places) if place not in ("", LATEST)]


def _renamed(job: Job, names: dict[str, str]) -> Iterator[Job]:
    kept = []
    for index, operation in enumerate(job.operations):
        place = getattr(operation, "place", "")
        kept.append(Kept(replace(operation, place=names[place]) if place in names else operation, index))  # type: ignore[call-arg]  # it has a place
    yield from _made(job, kept)
