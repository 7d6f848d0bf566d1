"""Thread pools that several ranks or several worlds use: each rank has such a pool for itself, as it would in a process of its own.

A pool that a rank makes belongs to that rank. Where a library keeps a pool for the life of the process, it was made before the run, in an earlier run, or
by another rank. Work that a rank submits there is done by a pool of the same kind that this rank gets in its place, until its world ends.

Not modelled: pools of other classes than ``ThreadPoolExecutor``, and threads that were started before the run. What they do belongs to no rank.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ckpt_harness.worlds.simulated.locks import WorldQueue
from ckpt_harness.worlds.simulated.tasks import Task

_COPIED = ("_initializer", "_initargs", "_create_worker_context", "_resolve_work_item_task")
"""Attributes of a pool that say how its threads begin, in the versions of Python."""


def pool_of(task: Task, pool: Any) -> Any:
    """The pool that works for a task: ``pool`` itself if its rank made it, else the pool that the rank has in its place.

    Args:
        task: the task that submits work to ``pool``, or shuts it down.
        pool: a ``ThreadPoolExecutor``.
    """
    work = pool._work_queue
    if isinstance(work, WorldQueue) and work.belongs_to(task):
        return pool
    if pool._shutdown and not getattr(pool, "_harness_dismissed", False):
        return pool  # its owner has shut it down, so it refuses work
    known = task.scheduler.pools.setdefault(task.rank, {})
    if pool not in known:
        known[pool] = _like(pool)
    return known[pool]


def _like(pool: Any) -> Any:
    """A pool of the calling task's rank. Its threads do not count as left behind: they are to live as long as the process."""
    made: Any = ThreadPoolExecutor(pool._max_workers, pool._thread_name_prefix)
    for name in _COPIED:
        if hasattr(pool, name):
            setattr(made, name, getattr(pool, name))
    made._work_queue.lasting = True
    return made
