"""A load by fresh ranks that are processes, while the ranks of the job stand still."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_harness.cases.as_process import as_process
from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.surroundings import injector_of
from ckpt_harness.history import History
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.comparing import Candidates
from ckpt_harness.jobs.fresh_load import FreshEnding, FreshLoad
from ckpt_harness.jobs.job import Job
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import ProcessWorld


def on_processes(job: Job, index: int, load: FreshLoad, history: History) -> Sequence[RankResult]:
    """Loads on processes.

    Args:
        job: the job.
        index: the index of the load within the job.
        load: what each rank does.
        history: records what happens.

    Returns:
        As :func:`ckpt_harness.jobs.fresh_load.on_simulated_ranks`.
    """

    def judge(_results: Sequence[RankResult]) -> None:
        history.close()

    world = ProcessWorld(load.bound.case.ranks, timeout=GROUP_TIMEOUT, group=load.bound.in_process_group)
    results = world.run(load_here, job, index, load.place, load.candidates, judge=judge, hear=history.append)
    history.sort_by_time()
    return results


def load_here(job: Job, index: int, place: str, candidates: Candidates) -> FreshEnding | None:
    """Loads as a rank that is a process of its own.

    Args:
        job: the job, which is bound again here.
        index: the index of the load within the job.
        place: where from.
        candidates: the saves that the place may hold.
    """
    call = bind_job(job).calls[index]
    load = FreshLoad(call.case, place, call.number, candidates)
    with as_process(lambda history: injector_of(call.case, history), saves_in_processes=False) as injector:
        return load.run(injector, lambda: False)  # when the load is over, the process is killed
