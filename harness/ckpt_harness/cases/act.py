"""Runs the ranks of a case in their world, under the plan. It runs only: an :class:`ckpt_harness.cases.observer.Observer` collects what happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ckpt_harness.cases.binding import VIRTUAL_TIMEOUT, BoundCase
from ckpt_harness.cases.observer import Observer
from ckpt_harness.cases.rank_program import Places, RankProgram, in_process
from ckpt_harness.cases.surroundings import surroundings
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.injection.injector import Injector
from ckpt_harness.worlds.attached import AttachedWorld
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import ProcessWorld
from ckpt_harness.worlds.simulated import SimulatedWorld

Look = Callable[[Sequence[RankResult]], None]
"""Called with how each rank ended, while ranks that hang or died still are as they were."""
Read = Callable[[], None]
"""Called when nothing changes what is stored any more."""


def act(bound: BoundCase, places: Places, observer: Observer, workspace: Workspace, look: Look, read_back: Read, *, fire_timers: bool = False) -> None:
    """Runs the ranks of a case.

    Args:
        bound: the case.
        places: where each group saves to, or loads from, for each operation.
        observer: receives what the ranks report.
        workspace: where the case runs.
        look: called first when the world is over.
        read_back: called after ``look``.
        fire_timers: whether simulated ranks that wait for ever time out in virtual time; otherwise the world ends at once.
    """
    if bound.case.world == "simulated":
        _on_simulated_ranks(bound, places, observer, look, read_back, fire_timers)
    else:
        _on_processes(bound, places, observer, workspace, look)
        read_back()


def _on_simulated_ranks(bound: BoundCase, places: Places, observer: Observer, look: Look, read_back: Read, fire_timers: bool) -> None:
    """All ranks share this process, and one injector."""
    case = bound.case
    injector = Injector(
        case.plan, coordinators=bound.coordinators, history=observer.history, watch_disk=case.watches_disk, watch_network=case.watches_network
    )
    world = SimulatedWorld(
        case.ranks,
        seed=case.seed,
        timeout=VIRTUAL_TIMEOUT,
        on_deadlock="time_out" if fire_timers else "end",
        group=bound.in_process_group,
    )
    program = RankProgram(bound, places)
    observer.watch(world)

    def when_over(results: Sequence[RankResult]) -> None:
        observer.close()
        look(results)
        injector.end_case()
        observer.fired = frozenset((firing.fault, firing.rank) for firing in injector.fired)
        observer.internal_errors = tuple(injector.internal_errors)
        # What was stored is read before ranks that hang or died are unwound: they would close the files that they have open, and so publish them.
        read_back()

    with surroundings(injector, range(case.ranks)):
        world.run(lambda: program.run(injector, observer), faults=injector, judge=when_over)


def _on_processes(bound: BoundCase, places: Places, observer: Observer, workspace: Workspace, look: Look) -> None:
    """Each rank is a process with an injector of its own, and reports each event as it happens."""
    case = bound.case
    world: ProcessWorld | AttachedWorld
    if case.world == "attached":
        workspace.check_hosts()
        world = AttachedWorld(case.ranks, timeout=bound.timeout, group=bound.in_process_group)
    else:
        workspace.outlive()
        world = ProcessWorld(case.ranks, timeout=bound.timeout, group=bound.in_process_group)

    def when_over(results: Sequence[RankResult]) -> None:
        observer.close()
        look(results)

    world.run(in_process, case, places, judge=when_over, hear=observer.history.append, answer=observer.answer)
    history = observer.history
    history.events.sort(key=lambda event: event.time)  # heard rank by rank; the clocks of one machine agree on the order
    observer.fired = frozenset((event.detail, event.rank) for event in history.of_kind("fault"))
    observer.internal_errors = tuple(event.detail for event in history.of_kind("internal"))
