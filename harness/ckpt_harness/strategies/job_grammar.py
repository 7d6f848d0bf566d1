"""How a job is made from drawn numbers: operation by operation, each with perhaps a fault, so that the job is valid by construction.

In every choice the simplest comes first, so hypothesis shrinks a job to what a human would write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ckpt_harness.faults.calling import find_call_style
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs.coverage import OVERWRITE, Pair
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import (
    ASPECTS,
    ASYNC_GROUPS,
    ENTRIES,
    LATEST,
    AsyncSave,
    Change,
    Continue,
    Heal,
    Load,
    Operation,
    Prune,
    Renew,
    Restart,
    Retry,
    Save,
    Wait,
)
from ckpt_harness.strategies.job_course import Course
from ckpt_harness.strategies.job_faults import Call, Struck, draw_fault
from ckpt_harness.strategies.job_menu import JobMenu
from ckpt_harness.strategies.job_source import Source, pick, seldom

_SEEDS = 9
"""Seeds of the order of ranks that are drawn, beside 0."""


def draw_job(source: Source, menu: JobMenu) -> Job:
    """Draws a job.

    Args:
        source: draws numbers, and chooses what is tried next.
        menu: what jobs are made of.
    """
    menu = swarmed(source, menu)
    way = seldom(source, menu.ways)
    ranks = pick(source, menu.fitting(menu.ranks, way))
    engine = menu.engines[0]
    workload = pick(source, menu.held(engine))
    seed = source.number(_SEEDS)
    course = Course(menu, ranks, way, engine, workload)
    faults: list[Struck] = []
    while source.part(lambda part: _extend(part, course, faults)):
        pass
    plan = FaultPlan(tuple(struck.fault for struck in faults))
    operations = _without_end(course.operations)
    return Job(operations, plan, ranks=ranks, engine=engine, workload=workload, seed=seed, way=way, world=menu.world, manager=menu.manager)


def _extend(source: Source, course: Course, faults: list[Struck]) -> bool:
    """Draws one more operation, with the faults that strike it. Returns False at the end of the job.

    Whether the job ends is drawn before each operation, so that all lengths are drawn equally often, and hypothesis can leave any operation out.
    """
    left = course.menu.max_operations - len(course.operations)
    steps = list(course.possible())
    if not steps or (course.operations and (left == 0 or source.number(left) == 0)):
        return False
    before = course.steps[-1] if course.steps else ""
    step = steps[source.steered([Pair(before, each, course.fault) for each in steps])]
    course.add(_MAKERS[step](source, course))
    faults += _draw_faults(source, course, room=course.menu.max_faults - len(faults))
    return True


def swarmed(source: Source, menu: JobMenu) -> JobMenu:
    """Leaves operations and classes of faults out, for every second job: what is left comes more often, and in a row.

    Three jobs out of four wait for an async save before they save or load again. One job out of four uses one kind of planner, other than the default,
    for all saves that have no options: what one save leaves in such a planner shows in the next.

    Args:
        source: draws what is left out.
        menu: the whole menu.
    """
    usual, *others = menu.planners(menu.engines[0])
    habit = pick(source, others) if others and source.number(3) == 3 else usual
    menu = replace(menu, overlaps=menu.overlaps and source.number(3) == 3, habit=habit)
    if source.number(1) == 0:
        return menu
    words = tuple(word for word in menu.words if source.number(1) == 0)
    classes = tuple(name for name in menu.classes if source.number(1) == 0)
    saves = menu.saves(menu.engines[0])
    if not set(saves) & set(words):
        words = (pick(source, saves), *words)
    return replace(menu, words=words, classes=classes)


def _save(source: Source, course: Course) -> Operation:
    return _save_to(course.new_places(), source, course)


def _overwrite(source: Source, course: Course) -> Operation:
    return _save_to(course.places_to_overwrite(), source, course)


def _save_to(places: Sequence[str], source: Source, course: Course) -> Operation:
    place = pick(source, places)
    if not _is_unusual(source, course):
        return Save(place, planner=course.menu.usual_planner(course.engine))
    return Save(place, coordinator=_coordinator(source, course, course.ranks), planner=pick(source, course.menu.planners(course.engine)))


def _is_unusual(source: Source, course: Course) -> bool:
    """Draws whether an operation has options, for one operation out of four. Few draws for each operation let hypothesis leave an operation out."""
    return source.number(3) == 3 and course.menu.unusual


def _async(source: Source, course: Course) -> Operation:
    place = pick(source, [*course.places_to_overwrite(), *course.new_places()])
    if not _is_unusual(source, course):
        return AsyncSave(place, planner=course.menu.usual_planner(course.engine))
    menu = course.menu
    planner, staging = pick(source, menu.planners(course.engine)), pick(source, menu.stagings(course.workload))
    group = pick(source, ASYNC_GROUPS)
    if find_call_style(course.way).alone:
        group = ASYNC_GROUPS[0]
    return AsyncSave(place, planner=planner, staging=staging, executor=pick(source, menu.executors(course.way)), group=group)


def _load(source: Source, course: Course) -> Operation:
    place = pick(source, [*course.old_places(), LATEST])
    if not _is_unusual(source, course):
        return Load(place)
    sizes = (0,) if course.alone else (0, *course.menu.fitting(course.menu.ranks, "together"))
    ranks = pick(source, sizes)
    planner = seldom(source, course.menu.planners(course.engine))
    coordinator = _coordinator(source, course, ranks or course.ranks)
    return Load(place, ranks=ranks, entries=pick(source, ENTRIES), coordinator=coordinator, planner=planner)


def _coordinator(source: Source, course: Course, ranks: int) -> int:
    """The rank that coordinates. Beside an operation that may be under way, rank 0 does."""
    groups = find_call_style(course.way if ranks == course.ranks else "together").groups(ranks, 0)
    smallest = min(len(group.ranks) for group in groups)
    chosen = source.number(smallest - 1)
    return chosen if course.menu.coordinates_anywhere(course.engine) and not course.under_way else 0


def _wait(source: Source, course: Course) -> Operation:
    return Wait(seldom(source, ["", *(course.under_way if course.menu.unusual else [])]))


def _restart(source: Source, course: Course) -> Operation:
    menu = course.menu
    way = seldom(source, [course.way, *menu.ways])
    ranks = pick(source, [*menu.fitting((course.ranks,), way), *menu.fitting(menu.ranks, way)])
    engine = seldom(source, [course.engine, *(name for name in menu.engines if course.workload in menu.held(name))])
    return Restart(ranks * (ranks != course.ranks), way=way if way != course.way else "", engine=engine if engine != course.engine else "")


def _renew(source: Source, course: Course) -> Operation:
    return Renew(pick(source, course.menu.renewable(course.way)))


def _change(source: Source, course: Course) -> Operation:
    return Change(pick(source, [*ASPECTS, *(name for name in course.menu.held(course.engine) if name != course.workload)]))


_MAKERS = {
    "save": _save,
    OVERWRITE: _overwrite,
    "async": _async,
    "load": _load,
    "wait": _wait,
    "retry": lambda source, course: Retry(),
    "restart": _restart,
    "continue": lambda source, course: Continue(),
    "heal": lambda source, course: Heal(),
    "prune": lambda source, course: Prune(1 + source.number(1)),
    "renew": _renew,
    "change": _change,
}


def _draw_faults(source: Source, course: Course, room: int) -> list[Struck]:
    """Draws the faults that strike the last operation: none for two operations out of three, and seldom more than one."""
    call = _call(course)
    drawn: list[Struck] = []
    while call is not None and len(drawn) < room and not course.healed:
        struck = source.part(lambda part: _perhaps(part, course, call, drawn))
        if struck is None:
            break
        drawn.append(struck)
    return drawn


def _perhaps(source: Source, course: Course, call: Call, before: Sequence[Struck]) -> Struck | None:
    """Draws whether a fault strikes, and the fault."""
    found = draw_fault(source, course.menu, call, before) if source.number(2) == 2 else None
    if found is None:
        return None
    name, struck = found
    course.strike(name)
    return struck


def _call(course: Course) -> Call | None:
    """The engine call that the last operation makes."""
    last, called = course.last, course.called
    if called is None or not (last is called or isinstance(last, Retry)):
        return None
    assert called.kind is not None
    fresh = isinstance(called, Load) and called.ranks > 0
    ranks = called.ranks if isinstance(called, Load) and called.ranks else course.ranks
    return Call(
        kind=called.kind,
        number=course.counts[called.kind],
        step=course.steps[-1],
        engine=course.engine,
        way="together" if fresh and ranks != course.ranks else course.way,
        ranks=ranks,
        coordinator=0 if isinstance(called, AsyncSave) else called.coordinator,
        staging=called.staging if isinstance(called, AsyncSave) else "",
    )


def _without_end(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations without those at the end that would make a difference only to operations behind them."""
    kept = list(operations)
    while isinstance(kept[-1], (Restart, Continue, Heal, Change, Renew)):
        kept.pop()
    return tuple(kept)
