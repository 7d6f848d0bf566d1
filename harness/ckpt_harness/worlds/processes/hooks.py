"""What is replaced in a process that is a rank, for as long as it lives: collectives ask the faults first, and say when they are waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.distributed as dist

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
"""Methods of a process group -> what the site is called after ``pg.``."""

_faults: list[Faults | None] = [None]


def ask(faults: Faults | None) -> None:
    """From now on, collectives of this process ask ``faults``."""
    _faults[0] = faults


def install(waiting: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces the methods.

    Args:
        waiting: wraps a method so that its caller counts as waiting in a collective.
    """
    group: Any = dist.ProcessGroup
    for method, site in _SITES.items():
        if method in vars(group):
            setattr(group, method, _asking(f"pg.{site}", getattr(group, method)))
    work: Any = dist.Work
    work.wait = waiting(work.wait)


def _asking(site: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def collective(group: Any, *args: Any, **kwargs: Any) -> Any:
        faults = _faults[0]
        if faults is None:
            return real(group, *args, **kwargs)

        def act() -> Any:
            work = real(group, *args, **kwargs)
            # "After" a collective means that it is over, not that it was started.
            if work is not None and not any(getattr(one, "asyncOp", False) for one in (*args, *kwargs.values())):
                work.wait()
            return work

        return faults.call(site, act)

    return collective
