"""A body of somebody's own on ranks of any world, while the faults of a plan strike whatever DCP saves and loads in it.

Where ranks share this process, so do the faults. Where they are processes, each has an injector of its own, and tells of every firing before it
acts: a rank that is killed has told.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ckpt_harness._torch import timeline_logger
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Firing, Injector
from ckpt_harness.injection.object_store import endpoints
from ckpt_harness.injection.patching import intercepted
from ckpt_harness.worlds.attached import AttachedWorld
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import ProcessWorld
from ckpt_harness.worlds.simulated import SimulatedWorld


@dataclass(frozen=True)
class Ran:
    """What came of a body.

    Attributes:
        endings: how each rank ended, in rank order.
        fired: the faults that fired, in order.
        history: what happened to the operations in it.
        internal_errors: what broke in the harness itself.
    """

    endings: tuple[RankResult, ...]
    fired: tuple[Firing, ...]
    history: History
    internal_errors: tuple[str, ...]


def on_simulated_ranks(body: Callable[..., Any], args: tuple[Any, ...], plan: FaultPlan, *, ranks: int, coordinator: int, seed: int) -> Ran:
    """Calls ``body(*args)`` on each of ``ranks`` simulated ranks, in an order drawn from ``seed``."""
    history = History()
    injector = Injector(plan, coordinators=(coordinator,), history=history)
    with intercepted(injector), endpoints(injector, range(ranks)), _without_timeline():
        endings = SimulatedWorld(ranks, seed=seed).run(body, *args, faults=injector)
    return Ran(tuple(endings), injector.fired, history, tuple(injector.internal_errors))


def on_processes(body: Callable[..., Any], args: tuple[Any, ...], plan: FaultPlan, *, ranks: int, coordinator: int, attached: bool = False) -> Ran:
    """Calls ``body(*args)`` on each of ``ranks`` processes.

    Args:
        attached: whether they are those of a launcher.

    Raises:
        UsageError: ``body``, its arguments, or what it returns does not pickle.
        HarnessError: the ranks could not begin.
    """
    history = History()
    world = AttachedWorld(ranks) if attached else ProcessWorld(ranks)
    endings = world.run(_Struck(body, plan, coordinator), *args, hear=history.append)
    history.events.sort(key=lambda event: event.time)  # heard rank by rank; on one machine, clocks agree on what came before what
    fired = tuple(Firing(event.detail, event.rank, event.operation, event.nth) for event in history.of_kind("fault"))
    return Ran(tuple(endings), fired, history, tuple(event.detail for event in history.of_kind("internal")))


class _Struck:
    """A body under a plan, as a rank's process is sent it; to whoever looks at it, the body itself."""

    def __init__(self, body: Callable[..., Any], plan: FaultPlan, coordinator: int) -> None:
        functools.update_wrapper(self, body)
        self._body, self._plan, self._coordinator = body, plan, coordinator

    def __call__(self, *args: Any) -> Any:
        from ckpt_harness.worlds.processes.rank import here
        from ckpt_harness.worlds.processes.reporting import Reported

        injector = Injector(self._plan, coordinators=(self._coordinator,), history=Reported(here()))
        here().ask_at_collectives(injector)
        with intercepted(injector), endpoints(injector, [injector.rank()]), _without_timeline():
            return self._body(*args)


@contextlib.contextmanager
def _without_timeline() -> Iterator[None]:
    """Silences what DCP logs of each operation's timing, on every rank."""
    timeline = timeline_logger()
    before, timeline.disabled = timeline.disabled, True
    try:
        yield
    finally:
        timeline.disabled = before
