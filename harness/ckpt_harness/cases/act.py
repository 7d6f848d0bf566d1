"""Runs the ranks of a case in their world, under the plan. It runs only: an :class:`ckpt_harness.cases.observer.Observer` collects what happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.observer import Observer
from ckpt_harness.cases.prepare import Scene
from ckpt_harness.cases.rank_program import Places, RankProgram, in_process
from ckpt_harness.cases.surroundings import injector_of, surroundings
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.worlds.attached import AttachedWorld
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import ProcessWorld
from ckpt_harness.worlds.simulated import SimulatedWorld


def _ignore(results: Sequence[RankResult]) -> None:
    """Looks at nothing."""


def act(
    scene: Scene,
    observer: Observer,
    workspace: Workspace,
    *,
    all_have_ended: Callable[[], frozenset[int]] = frozenset,
    world_is_over: Callable[[Sequence[RankResult]], None] = _ignore,
    at_rest: Callable[[], None] = lambda: None,
    fire_timers: bool = False,
) -> None:
    """Runs the ranks of a case.

    Args:
        scene: the case and its places.
        observer: receives what the ranks report.
        workspace: where the case runs.
        all_have_ended: called once the operations have ended on all ranks, which wait; returns the ranks that try again. Not called if a rank
            hangs or died.
        world_is_over: called with how each rank ended, while ranks that hang or died are still as they were.
        at_rest: called when nothing changes any more what is stored.
        fire_timers: whether simulated ranks that wait for ever time out in virtual time; otherwise the world ends at once.
    """
    if scene.bound.case.world == "simulated":
        _on_simulated_ranks(scene, observer, all_have_ended, world_is_over, at_rest, fire_timers)
    else:
        observer.after_the_attempt = all_have_ended
        _on_processes(scene, observer, workspace, world_is_over)
        at_rest()


def _on_simulated_ranks(
    scene: Scene,
    observer: Observer,
    all_have_ended: Callable[[], frozenset[int]],
    world_is_over: Callable[[Sequence[RankResult]], None],
    at_rest: Callable[[], None],
    fire_timers: bool,
) -> None:
    """All ranks share this process, and one injector."""
    bound = scene.bound
    case = bound.case
    injector = injector_of(bound, observer.history)
    world = SimulatedWorld(
        case.ranks,
        seed=case.seed,
        timeout=GROUP_TIMEOUT,
        on_deadlock="time_out" if fire_timers else "end",
        group=bound.in_process_group,
    )
    program = RankProgram(bound, _places(scene))
    observer.watch(world)

    def when_ended() -> frozenset[int]:
        with injector.set_aside():
            return all_have_ended()

    observer.after_the_attempt = when_ended

    def when_over(results: Sequence[RankResult]) -> None:
        observer.close()
        world_is_over(results)
        injector.end_case()
        observer.fired = frozenset((firing.fault, firing.rank) for firing in injector.fired)
        observer.internal_errors = tuple(injector.internal_errors)
        # What was stored is read before ranks that hang or died are unwound: they would close the files that they have open, and so publish them.
        at_rest()

    with surroundings(injector, range(case.ranks)):
        world.run(lambda: program.run(injector, observer), faults=injector, judge=when_over)


def _on_processes(
    scene: Scene, observer: Observer, workspace: Workspace, world_is_over: Callable[[Sequence[RankResult]], None]
) -> None:
    """Each rank is a process with an injector of its own, and reports each event as it happens."""
    bound = scene.bound
    case = bound.case
    world: ProcessWorld | AttachedWorld
    if case.world == "attached":
        workspace.check_visible_on_all_hosts()
        world = AttachedWorld(case.ranks, timeout=GROUP_TIMEOUT, group=bound.in_process_group)
    else:
        workspace.remove_if_killed()
        world = ProcessWorld(case.ranks, timeout=GROUP_TIMEOUT, group=bound.in_process_group)

    def when_over(results: Sequence[RankResult]) -> None:
        observer.close()
        world_is_over(results)

    world.run(in_process, case, _places(scene), judge=when_over, hear=observer.history.append, answer=observer.answer)
    history = observer.history
    history.sort_by_time()
    observer.fired = frozenset((event.detail, event.rank) for event in history.of_kind("fault"))
    observer.internal_errors = tuple(event.detail for event in history.of_kind("internal"))


def _places(scene: Scene) -> Places:
    return tuple(scene.places.values())
