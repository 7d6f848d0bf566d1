"""Runs a function of a test on ranks of any world, while the faults of a plan strike everything that DCP saves and loads in it.

Ranks that share this process share its injector. A rank that is a process of its own has its own injector, and reports each fault before the
fault acts: a rank that is killed has reported it.
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
from ckpt_harness.injection.arrival import Firing
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.object_store import endpoints
from ckpt_harness.injection.patching import intercepted
from ckpt_harness.worlds.attached import AttachedWorld
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import ProcessWorld
from ckpt_harness.worlds.simulated import SimulatedWorld


@dataclass(frozen=True)
class Ran:
    """The result of a function that ran on ranks.

    Attributes:
        endings: how each rank ended, in rank order.
        fired: the faults that fired, in order.
        history: what happened in its operations.
        internal_errors: errors of the harness itself.
    """

    endings: tuple[RankResult, ...]
    fired: tuple[Firing, ...]
    history: History
    internal_errors: tuple[str, ...]


def on_simulated_ranks(body: Callable[..., Any], args: tuple[Any, ...], plan: FaultPlan, *, ranks: int, coordinator: int, seed: int) -> Ran:
    """Calls ``body(*args)`` on simulated ranks.

    Args:
        body: the function.
        args: its arguments.
        plan: the faults.
        ranks: number of ranks.
        coordinator: the rank that coordinates.
        seed: seed of the order in which ranks run.
    """
    history = History()
    injector = Injector(plan, coordinators=(coordinator,), history=history)
    with intercepted(injector), endpoints(injector, range(ranks)), _without_timeline():
        endings = SimulatedWorld(ranks, seed=seed).run(body, *args, faults=injector)
    return Ran(tuple(endings), injector.fired, history, tuple(injector.internal_errors))


def on_processes(body: Callable[..., Any], args: tuple[Any, ...], plan: FaultPlan, *, ranks: int, coordinator: int, attached: bool = False) -> Ran:
    """Calls ``body(*args)`` on ranks that are processes.

    Args:
        body: the function.
        args: its arguments.
        plan: the faults.
        ranks: number of ranks.
        coordinator: the rank that coordinates.
        attached: whether the ranks are those of a launcher.

    Raises:
        UsageError: ``body``, an argument, or a returned value does not pickle.
        HarnessError: the ranks could not begin.
    """
    history = History()
    world = AttachedWorld(ranks) if attached else ProcessWorld(ranks)
    endings = world.run(_Struck(body, plan, coordinator), *args, hear=history.append)
    history.sort_by_time()
    fired = tuple(Firing(event.detail, event.rank, event.operation, event.nth) for event in history.of_kind("fault"))
    return Ran(tuple(endings), fired, history, tuple(event.detail for event in history.of_kind("internal")))


class _Struck:
    """A function under a plan, as it is sent to the process of a rank. It has the name and the docstring of the function."""

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
    """Silences the log in which DCP notes how long each operation took."""
    timeline = timeline_logger()
    before, timeline.disabled = timeline.disabled, True
    try:
        yield
    finally:
        timeline.disabled = before
