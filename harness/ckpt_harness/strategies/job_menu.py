"""What jobs are made of: which operations, faults, ranks and workloads a search draws, and what the engines allow."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ckpt_harness.cases.case import WORLDS, WorldName
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError, choices, quoted, unknown
from ckpt_harness.faults.calling import EXECUTORS, STAGINGS, Executor, find_call_style
from ckpt_harness.faults.effects import EFFECTS, Effect
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind, Site, find_site
from ckpt_harness.jobs.binding import WAYS, bind_job
from ckpt_harness.jobs.coverage import STEPS
from ckpt_harness.jobs.fault_classes import FAULT_CLASSES, LOST, effects_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.managers.names import cannot_do, find_manager
from ckpt_harness.jobs.operations import MOST_RANKS, RENEWABLE
from ckpt_harness.strategies.effects import ERRORS, legal_effects
from ckpt_harness.strategies.job_words import WORDS
from ckpt_harness.strategies.sites import disk_sites, storage_sites
from ckpt_harness.workloads.workload import WORKLOADS, Holding, find_workload

NO_FLATTEN = "no-flatten"
"""The kind of planner whose checkpoints other planners cannot load."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FIRST_STEP = 8
_PLANNER_SITES = ("set_up_planner", "create_local_plan", "create_global_plan", "finish_plan")
_STAGING_SITES: dict[str, tuple[str, ...]] = {
    "writer": ("writer.stage", "writer.synchronize_staging"),
    "blocking": ("stager.stage", "stager.close"),
    "background": ("stager.stage", "stager.stage.future", "stager.close"),
}


@dataclass(frozen=True)
class JobMenu:
    """What jobs are made of; in each list, the simplest comes first.

    Attributes:
        ranks: numbers of ranks.
        engines: names of engines. A job begins with the first; restarts may choose another, which must read what the others have written.
        workloads: names of workloads. A job begins with any, and may change to any other.
        ways: call styles.
        words: first words of the operations; see :data:`ckpt_harness.strategies.job_words.WORDS`.
        classes: classes of faults; see :data:`ckpt_harness.jobs.fault_classes.FAULT_CLASSES`.
        max_operations: the largest number of operations.
        max_faults: the largest number of faults.
        max_places: the largest number of places. A job with few places comes back to them often.
        sites: the sites to strike; None for those that an operation reaches.
        effects: the effects to draw from; None for all that the world allows.
        errors: the errors to draw from.
        world: what runs the ranks.
        overlaps: whether ranks save and load while an async save is under way. On one process group the calls of both may cross, after which little
            is left to see.
        manager: name of the manager that keeps the checkpoints; "" if the ranks call the engine. What no manager can do is not drawn.
        habit: the kind of planner of all saves that have no options.

    Raises:
        UsageError: a value that no job can have.
    """

    ranks: tuple[int, ...] = (2, 3, 1)
    engines: tuple[str, ...] = ("filesystem",)
    workloads: tuple[str, ...] = ("mixed",)
    ways: tuple[str, ...] = ("together",)
    words: tuple[str, ...] = WORDS
    classes: tuple[str, ...] = FAULT_CLASSES
    max_operations: int = 8
    max_faults: int = 2
    max_places: int = 3
    sites: tuple[str, ...] | None = None
    effects: tuple[type[Effect], ...] | None = None
    errors: tuple[str, ...] = ERRORS
    world: WorldName = "simulated"
    overlaps: bool = True
    habit: str = "default"
    manager: str = ""

    def __post_init__(self) -> None:
        for name in ("ranks", "engines", "workloads", "ways", "words"):
            if not getattr(self, name):
                raise UsageError(f"{name} {quoted(getattr(self, name))}; valid: at least one")
        _check_choices("operation", self.words, WORDS)
        _check_choices("class of faults", self.classes, FAULT_CLASSES)
        _check_choices("world", (self.world,), WORLDS)
        _check_choices("way", self.ways, WAYS)
        if self.manager and (self.ways != ("together",) or len(self.engines) > 1):
            raise UsageError(f"manager {quoted(self.manager)} with ways {', '.join(self.ways)}, engines {', '.join(self.engines)}; valid: together, one engine")
        for ranks in self.ranks:
            _check_number("ranks", ranks, 1, MOST_RANKS)
        _check_number("max_operations", self.max_operations, 1, 10_000)
        _check_number("max_faults", self.max_faults, 0, 1_000)
        _check_number("max_places", self.max_places, 1, 26)
        for name in self.sites or ():
            find_site(name)
        if not self.saves(self.engines[0]):
            raise UsageError(f"operations {quoted(', '.join(self.words))} save nothing with engine {self.engines[0]!r}; {choices(_saves(self.engines[0]))}")
        for way in self.ways:
            if not self.fitting(self.ranks, way):
                raise UsageError(f"way {way!r} does not work with any of the numbers of ranks {quoted(self.ranks)}; `docs/reference/calling.md` has all")
        for engine in self.engines:
            if not self.held(engine):
                none = quoted(", ".join(self.workloads))
                raise UsageError(f"engine {quoted(engine)} can store none of the workloads {none}; {choices(usual_workloads(engine))}")

    def check(self) -> None:
        """Refuses a menu of which no job could run, or not every job.

        Raises:
            UsageError: the message shows the value that does not fit.
        """
        word, place = self.saves(self.engines[0])[0], self.places[0]
        for way, workload, engine in itertools.product(self.ways, self.workloads, self.engines):
            if workload in self.held(engine):
                ranks = self.fitting(self.ranks, way)[0]
                bind_job(Job.parse(f"{word} {place}", ranks=ranks, engine=engine, workload=workload, way=way, world=self.world, manager=self.manager))

    # -- what is possible

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the places, in the order in which jobs use them. The steps of a manager come to 10 early, which by name lies before 9."""
        return tuple(str(_FIRST_STEP + index) for index in range(self.max_places)) if self.manager else tuple(_LETTERS[: self.max_places])

    @functools.cached_property
    def cannot(self) -> frozenset[str]:
        """First words of the operations that the manager cannot do."""
        return cannot_do(find_manager(self.manager)) | {"renew"} if self.manager else frozenset()

    @property
    def unusual(self) -> bool:
        """Whether operations may have options: a manager chooses by itself."""
        return not self.manager

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that coverage can count of such jobs."""
        words = {word for word in self.words if word not in ("save", "async") or any(word in self.saves(name) for name in self.engines)}
        words -= self.cannot
        return tuple(step for step in STEPS if step in words or (step == "overwrite" and "save" in words))

    def saves(self, engine: str) -> tuple[str, ...]:
        """The words of the saves that an engine has, of those that are drawn."""
        return tuple(word for word in _saves(engine) if word in self.words and word not in self.cannot)

    def fitting(self, ranks: Sequence[int], way: str) -> tuple[int, ...]:
        """The numbers of ranks with which a call style works."""
        style = find_call_style(way)
        return tuple(number for number in ranks if style.least <= number <= (style.most or number))

    def held(self, engine: str) -> tuple[str, ...]:
        """The workloads that an engine can store."""
        cannot = find_engine(engine).cannot_hold
        return tuple(name for name in self.workloads if not find_workload(name).holds & cannot)


    def planners(self, engine: str) -> tuple[str, ...]:
        """The kinds of planner of an engine that can load what the others have saved; a manager chooses its own."""
        others = find_engine(engine).planners if self.unusual else ()
        return ("default", *(kind for kind in others if kind not in ("default", NO_FLATTEN)))

    def usual_planner(self, engine: str) -> str:
        """The kind of planner of a save that has no options."""
        return self.habit if self.habit in self.planners(engine) else "default"

    def coordinates_anywhere(self, engine: str) -> bool:
        """Whether a rank other than 0 can coordinate."""
        return Capability.ANY_COORDINATOR in find_engine(engine).capabilities

    def stagings(self, workload: str) -> tuple[str, ...]:
        """The ways of staging that can copy a workload."""
        sharded = Holding.SHARDED in find_workload(workload).holds
        return tuple(name for name in STAGINGS if not (sharded and name in ("engine", "background")))

    def executors(self, way: str) -> tuple[Executor, ...]:
        """What can upload."""
        return EXECUTORS if self.world == "processes" and not find_call_style(way).alone else EXECUTORS[:1]

    def renewable(self, way: str) -> tuple[str, ...]:
        """What can be renewed: only ranks in a sub-group make a process group of their own."""
        return tuple(what for what in RENEWABLE if what != "group" or find_call_style(way).process_group == "own")

    # -- where faults can strike

    def sites_of(self, kind: OperationKind, engine: str, way: str, staging: str = "") -> tuple[Site, ...]:
        """The sites that faults strike in an operation, the simplest first.

        Args:
            kind: the kind of operation.
            engine: name of the engine.
            way: call style.
            staging: what copies the state of an async save.
        """
        return tuple(site for site in self._usual_sites(kind, engine, way, staging) if self.sites is None or site.name in self.sites)

    def _usual_sites(self, kind: OperationKind, engine: str, way: str, staging: str) -> Iterator[Site]:
        found = find_engine(engine)
        side = "load_planner" if kind == "load" else "save_planner"
        names = [*storage_sites(kind), *(f"{side}.{name}" for name in _PLANNER_SITES), *_STAGING_SITES.get(staging, ())]
        names += _BELOW_THE_PLANNER[side]
        if not find_call_style(way).alone:
            names += [f"pg.{name}" for name in ("gather", "scatter", "broadcast", "all_gather")]
        if Capability.FILE_SYSTEM in found.capabilities:
            names += disk_sites(kind)
        names += [name for name in self.sites or () if name not in names]  # sites that are only struck where the caller wants it
        called = found.protocol.operations[kind].sites
        for site in map(find_site, dict.fromkeys(names)):
            below = site.layer != "calls" or site.side == "pg"
            if kind in site.operations and (below or site.name in called):
                yield site

    def effects_at(self, site: Site, name: str) -> list[type[Effect]]:
        """The effects of a class that are legal at a site, the simplest first.

        Args:
            site: where they strike.
            name: the class.
        """
        if name == LOST and site.is_future:
            return []
        legal = legal_effects(site, self.effects)
        if self.effects is None and self.world == "processes":
            legal += [kind for kind in EFFECTS.values() if kind.needs_processes and kind.legal_at(site)]
        return [kind for kind in legal if kind in effects_of(name) and not (name == LOST and not kind.can_be_after)]


_BELOW_THE_PLANNER: dict[str, tuple[str, ...]] = {
    "save_planner": ("save_planner.resolve_data", "state.state_dict"),
    "load_planner": ("load_planner.resolve_tensor", "load_planner.commit_tensor", "load_planner.load_bytes", "state.load_state_dict"),
}


def usual_workloads(engine: str) -> tuple[str, ...]:
    """The workloads that jobs on an engine use by default: those of sweeps that the engine can hold, and whose ranks agree on their values.

    Args:
        engine: name of the engine.

    Example:
        >>> usual_workloads("filesystem")[0]
        'mixed'
    """
    cannot = find_engine(engine).cannot_hold
    held = [name for name, workload in WORKLOADS.items() if not workload.holds & cannot and not workload.diverged and workload.target is None]
    return tuple(sorted(held, key=lambda name: name != "mixed"))


def usual_ways(ranks: Sequence[int]) -> tuple[str, ...]:
    """The call styles that jobs use by default: all that work with any of the numbers of ranks.

    Args:
        ranks: numbers of ranks.

    Example:
        >>> usual_ways([2, 3])
        ('together', 'subgroup')
    """
    styles = [find_call_style(way) for way in ("together", *(way for way in WAYS if way != "together"))]
    return tuple(style.name for style in styles if any(style.least <= number <= (style.most or number) for number in ranks)) or ("together",)


@functools.cache
def _saves(engine: str) -> tuple[str, ...]:
    """The words of the saves that an engine has."""
    found: Engine = find_engine(engine)
    if found.usual.get("operation") == "async_save":
        return ("async",)
    return tuple(word for word, kind in (("save", "save"), ("async", "async_save")) if kind in found.protocol.operations)


def _check_choices(what: str, values: Sequence[str], valid: Sequence[str]) -> None:
    for value in values:
        if value not in valid:
            raise UsageError(unknown(what, value, valid))


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} {quoted(value)}; valid: {least} to {most}")

