"""The calls that a save makes without faults on ranks that are processes: for saves that simulated ranks cannot make."""

from __future__ import annotations

from ckpt_harness.cases import async_saves
from ckpt_harness.cases.as_process import as_process
from ckpt_harness.cases.async_saves import Target
from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.membership import Member, joined
from ckpt_harness.cases.one_call import OneCall
from ckpt_harness.cases.surroundings import injector_of
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.jobs.binding import BoundCall, bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.judging.trace import Trace
from ckpt_harness.worlds.processes import ProcessWorld


def course_on_processes(job: Job, call: BoundCall, place: str) -> Trace:
    """Makes a save without faults, and returns the calls that it makes.

    Args:
        job: the job.
        call: the save.
        place: where to; what lies there is overwritten.
    """
    history = History()
    world = ProcessWorld(call.case.case.ranks, timeout=GROUP_TIMEOUT, group=call.case.in_process_group)
    world.run(save_here, job, call.index, place, judge=lambda results: history.close(), hear=history.append)
    history.sort_by_time()
    return Trace.of(history)


def save_here(job: Job, index: int, place: str) -> None:
    """Makes a save of a job without faults, as a rank that is a process of its own.

    Args:
        job: the job, which is bound again here.
        index: the index of the save within the job.
        place: where to.
    """
    from ckpt_harness.worlds.processes.rank import here

    call = bind_job(job).calls[index]
    free = call.case.without_faults()
    in_processes = free.case.executor == "process"
    with (
        as_process(lambda history: injector_of(free, history), saves_in_processes=in_processes) as injector,
        joined(free, injector.rank(), GROUP_TIMEOUT) as member,
    ):
        if member is not None:
            _save(call, member, injector, place)
        here().meet(lambda: None)  # nobody ends a process group or an executor that others still use


def _save(call: BoundCall, member: Member, injector: Injector, place: str) -> None:
    free = call.case.without_faults()
    assert call.save is not None
    writer = free.engine.make_writer(place)
    if free.case.operation == "async_save":
        target = Target(call.save, writer, place, member.call.group, later=call.later, number=call.number)
        for _ in async_saves.save_all(free, member, injector, [target], lambda: False):
            pass
    else:
        planner = free.engine.make_save_planner(free.case.planner)
        OneCall(free, member, writer, planner, place, call.save).make(injector, lambda: False, call.number)
