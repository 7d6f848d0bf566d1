"""One case as a value, and the shell line that replays it. ``ckpt_harness.cases.rig`` runs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ckpt_harness.cases.binding import BoundCase, bind
from ckpt_harness.cases.replay_line import spelled
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError, quoted, unknown
from ckpt_harness.faults.calling import EXECUTORS, OVERLAPS, STAGINGS, CallStyle, Executor, Overlap, find_call_style
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Group
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind

WorldName = Literal["simulated", "processes", "attached"]
WORLDS: tuple[WorldName, ...] = ("simulated", "processes", "attached")

Onto = Literal["nothing", "checkpoint"]
ONTO: tuple[Onto, ...] = ("nothing", "checkpoint")

SETTINGS = ("way", "planner", "executor", "staging", "overlap", "onto")
"""Fields of a case that a description mentions only where they differ from their default."""


@dataclass(frozen=True)
class Case:
    """Everything needed to run once, and again.

    Attributes:
        plan: the faults to inject.
        operation: ``save``, ``async_save`` or ``load``.
        ranks: number of ranks in the world.
        coordinator: the rank, within its group, that coordinates.
        engine: name of the engine.
        workload: name of the workload.
        seed: seed of the order in which simulated ranks run.
        way: how ranks are grouped for the call: one group, sub-groups, or no collectives; see :data:`ckpt_harness.faults.calling.CALL_STYLES`.
        planner: name of a kind of planner that the engine has.
        retry: whether ranks whose operation failed do it again, with all faults healed.
        world: what runs the ranks: ``simulated``, ``processes``, or ``attached`` to a launcher.
        executor: what runs the upload of an async save: a ``thread`` or a ``process``.
        staging: what copies the state of an async save; see :data:`ckpt_harness.faults.calling.STAGINGS`.
        overlap: whether a second async save begins while the first is under way: ``none``, or a second save in the same (``shared``) or in
            another (``separate``) process group.
        onto: what a save finds at its place: ``nothing``, or a ``checkpoint`` of its own kind that it overwrites. For a load, what the save has found whose
            checkpoint is loaded.
        watch_disk: whether calls at disk sites are recorded even if no fault strikes there.
        watch_network: whether requests to an object store are recorded even if no fault strikes there.

    Example:
        >>> case = Case(FaultPlan.parse("writer.write_data@1=raise"), ranks=4)
        >>> case.replay_line()
        'ckpt-harness replay writer.write_data@1=raise --op save --ranks 4'
    """

    plan: FaultPlan = FaultPlan()
    operation: OperationKind = "save"
    ranks: int = 2
    coordinator: int = 0
    engine: str = "filesystem"
    workload: str = "mixed"
    seed: int = 0
    way: str = "together"
    planner: str = "default"
    retry: bool = True
    world: WorldName = "simulated"
    executor: Executor = "thread"
    staging: str = "writer"
    overlap: Overlap = "none"
    onto: Onto = "nothing"
    watch_disk: bool = False
    watch_network: bool = False

    def settled(self) -> Case:
        """Returns a copy in which every default field takes the engine's preferred value (``Engine.usual``).

        Raises:
            UsageError: the engine is unknown, or a field has a value that the engine is never called with.
        """
        changes: dict[str, Any] = {}
        for name, preferred in find_engine(self.engine).usual.items():
            if name == "world" or (name == "executor" and self.operation == "load"):
                continue  # the caller chooses what runs the ranks, and a load has no executor
            given = getattr(self, name)
            if given == getattr(Case, name):
                changes[name] = preferred
            elif given != preferred and name not in ("operation", "workload"):
                raise UsageError(f"{name} {quoted(given)}: engine {self.engine!r} is always called with {name} {preferred!r}")
        if "operation" in changes:
            changes["plan"] = self.plan.readdressed(self.operation, changes["operation"])
        return dataclasses.replace(self, **changes)

    def bind(self) -> BoundCase:
        """Checks the case before anything runs, and looks up everything that its names stand for.

        Raises:
            PlanError: the plan does not fit the world.
            UsageError: an unknown name, or a combination that cannot run.

        Example:
            >>> Case(FaultPlan.parse("writer.finish@coordinator=raise"), ranks=4, coordinator=2).bind().plan.faults[0].ranks
            frozenset({2})
        """
        self._check_choices()
        return bind(self.settled())

    def _check_choices(self) -> None:
        """Refuses a field whose value is not among its choices.

        Raises:
            UsageError: with the value and the choices.
        """
        choices = {
            "operation": OPERATION_KINDS,
            "world": WORLDS,
            "onto": ONTO,
            "executor": EXECUTORS,
            "staging": tuple(STAGINGS),
            "overlap": OVERLAPS,
        }
        for name, valid in choices.items():
            if getattr(self, name) not in valid:
                raise UsageError(unknown(name, getattr(self, name), valid))

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of the operations that the case runs, such as ``save[1]``; two where async saves overlap."""
        count = 1 if self.overlap == "none" else 2
        return tuple(f"{self.operation}[{number}]" for number in range(1, count + 1))

    @property
    def call_style(self) -> CallStyle:
        """How ranks are grouped for the call.

        Raises:
            UsageError: an unknown name.
        """
        return find_call_style(self.way)

    def groups(self) -> tuple[Group, ...]:
        """The groups of ranks that do the operation together.

        Raises:
            UsageError: the name of the call style is unknown, or the call style does not work with this number of ranks.
            PlanError: the coordinator is outside a group.
        """
        return self.call_style.groups(self.ranks, self.coordinator)

    def replay_line(self, registers: Sequence[str] = ()) -> str:
        """Returns the shell line that runs this case again. Fields with their usual value are left out.

        Args:
            registers: register files that the verdict depends on, beside the findings that ship with the harness.
        """
        program = ["ckpt-harness"]
        if self.world == "attached":
            program = ["torchrun", "--nproc-per-node", str(self.ranks), "-m", "ckpt_harness"]
        usual = Case(operation=self.operation, engine=self.engine).settled()
        usual = dataclasses.replace(usual, engine=Case.engine, world=usual_world(self.engine))
        unusual = {}
        for name in ("coordinator", "engine", "workload", "seed", "world", *SETTINGS):
            if getattr(self, name) != getattr(usual, name):
                unusual[name] = getattr(self, name)
        return spelled(
            "replay",
            str(self.plan),
            program=program,
            op=self.operation,
            ranks=self.ranks,
            **unusual,
            no_retry=not self.retry,
            disk=self.watch_disk and not self.plan.strikes_disk,
            network=self.watch_network and not self.plan.strikes_network,
            register=tuple(registers),
        )

    def without_faults(self) -> Case:
        """Returns the same case with an empty plan: the model reads from its run which calls the engine makes, in which order."""
        return dataclasses.replace(self, plan=FaultPlan(), retry=False, seed=0, watch_disk=self.watches_disk, watch_network=self.watches_network)

    @property
    def watches_disk(self) -> bool:
        """Whether calls at disk sites are recorded."""
        return self.watch_disk or self.plan.strikes_disk

    @property
    def watches_network(self) -> bool:
        """Whether requests to an object store are recorded."""
        return self.watch_network or self.plan.strikes_network

    @property
    def layer(self) -> str:
        """The layer of the sites that a sweep of this case strikes; see :attr:`ckpt_harness.faults.sites.Site.layer`."""
        if self.watch_disk:
            return "disk"
        return "network" if self.watch_network else "calls"


def usual_world(engine: str) -> WorldName:
    """Returns the world that runs an engine's ranks by default: ``simulated``, unless the engine needs another world.

    Raises:
        UsageError: the engine is unknown.

    Example:
        >>> usual_world("filesystem")
        'simulated'
    """
    return cast("WorldName", find_engine(engine).usual.get("world", "simulated"))
