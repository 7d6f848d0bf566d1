"""Hooks in the process of a rank, installed for its whole life: collectives consult the faults first, and waits for collectives are marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from ckpt_harness import _torch, runtime
from ckpt_harness.worlds.base import Faults

_SITES = {
    "gather": "gather",
    "scatter": "scatter",
    "broadcast": "broadcast",
    "allgather": "all_gather",
    "allgather_coalesced": "all_gather",
    "_allgather_base": "all_gather",
    "all_gather_single": "all_gather",
    "barrier": "barrier",
}
"""Method of a process group -> name of the site, after ``pg.``."""

_faults: list[Faults | None] = [None]


def ask(faults: Faults | None) -> None:
    """From now on, collectives of this process consult ``faults``; None: no faults."""
    _faults[0] = faults


def install(waiting: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces the methods of process groups and of their work objects.

    Args:
        waiting: wraps a method so that its callers count as waiting in a collective.
    """
    group: Any = dist.ProcessGroup
    for method, site in _SITES.items():
        if method in vars(group):
            setattr(group, method, _asking(f"pg.{site}", getattr(group, method)))
    work: Any = dist.Work
    work.wait = waiting(work.wait)
    watch_futures()


def watch_futures() -> None:
    """Lets a wait for a torch future that a fault has lost be a hang of the current runtime, which reports and releases the wait as any other hang."""
    for owner, name, replacement in _torch.future_replacements(_hanging_where_lost, runtime.derive):
        setattr(owner, name, replacement)


def _hanging_where_lost(real: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def wait(future: Any) -> Any:
        why = runtime.lost(future)
        if why is not None:
            runtime.current().hang(why)
        return real(future)

    return wait


def _asking(site: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def collective(group: Any, *args: Any, **kwargs: Any) -> Any:
        faults = _faults[0]
        if faults is None:
            return real(group, *args, **kwargs)

        def act() -> Any:
            work = real(group, *args, **kwargs)
            # A fault "after" a collective acts when the collective has ended, not when it was started.
            if work is not None and not any(getattr(option, "asyncOp", False) for option in (*args, *kwargs.values())):
                work.wait()
            return work

        return faults.call(site, act)

    return collective
