"""A case that was checked and bound: everything that its names stand for is looked up once, here.

:meth:`ckpt_harness.cases.case.Case.bind` makes a :class:`BoundCase`, or refuses a combination that cannot run.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from torch.distributed.checkpoint.staging import AsyncStager

from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.dcp import DcpCalls
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import PlanError, UsageError, choices, quoted, without_middle
from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.calling import EXECUTORS, OVERLAPS, PARTIAL_LOAD, STAGINGS, CallStyle
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import check_simulable, check_survivable
from ckpt_harness.faults.protocol import DCP, Capability, Group, Protocol
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS, Holding, Workload, find_workload
from ckpt_harness.worlds.launcher import Launch

if TYPE_CHECKING:
    from ckpt_harness.cases.case import Case

GROUP_TIMEOUT = 1800.0
"""Seconds that a collective waits; the default of torch for gloo. No hang costs that time: among simulated ranks it is virtual, and a hang of processes is
observed. A shorter time would end cases of processes on a machine that is busy with other things."""

_LONGEST = 60
"""Characters of a fault in a message."""


@dataclass(frozen=True)
class BoundCase:
    """A case with everything that its names stand for. Two bound cases are equal if their cases are.

    Attributes:
        case: the settled case: every default field has the engine's preferred value.
        engine: the engine.
        workload: the workload.
        call_style: how ranks are grouped for the call.
        groups: the groups of ranks that do the operation together.
        protocol: the engine's protocol, as it runs in this call style.
        plan: the plan, bound to the world.
        shards: into how many shards the state is cut; None for as many as a group has ranks.
    """

    case: Case
    engine: Engine = field(repr=False, compare=False)
    workload: Workload = field(repr=False, compare=False)
    call_style: CallStyle = field(repr=False, compare=False)
    groups: tuple[Group, ...] = field(repr=False, compare=False)
    protocol: Protocol = field(repr=False, compare=False)
    plan: BoundPlan = field(repr=False, compare=False)
    shards: int | None = field(default=None, repr=False, compare=False)

    @cached_property
    def saves(self) -> bool:
        """Whether the operation is a save or an async save."""
        return self.case.operation != "load"

    @cached_property
    def overwrites(self) -> bool:
        """Whether each save finds a checkpoint at its place."""
        return self.saves and self.case.onto == "checkpoint"

    @cached_property
    def loads_a_replacement(self) -> bool:
        """Whether the checkpoint that is loaded has replaced an older one."""
        return not self.saves and self.case.onto == "checkpoint"

    @cached_property
    def may_remove_older(self) -> bool:
        """Whether the engine may remove older checkpoints beside its own once its own is whole."""
        return Capability.RETENTION in self.engine.capabilities

    @cached_property
    def asks_for_less(self) -> bool:
        """Whether a load asks for less than its checkpoint holds, with a planner that does not say so. The engine may refuse it."""
        return not self.saves and self.workload.target is not None and self.case.planner != PARTIAL_LOAD

    @cached_property
    def coordinators(self) -> frozenset[int]:
        """The ranks of the world that coordinate a group."""
        return frozenset(group.coordinator for group in self.groups)

    @cached_property
    def members(self) -> frozenset[int]:
        """The ranks of the world that take part in the operation."""
        return frozenset(rank for group in self.groups for rank in group.ranks)

    @cached_property
    def in_process_group(self) -> bool:
        """Whether the world makes a default process group for its ranks."""
        return self.call_style.process_group != "none"

    @cached_property
    def leaves_together(self) -> bool:
        """Whether ranks have process groups or processes of their own, which none may end before all ranks are done with theirs."""
        return self.call_style.process_group == "own" or self.case.overlap == "separate" or self.case.executor == "process"

    def without_faults(self) -> BoundCase:
        """Returns the same case with an empty plan: the model reads from its run which calls the engine makes, in which order."""
        free = self.case.without_faults()
        plan = free.plan.bind(free.ranks, free.coordinator, self.protocol, self.groups)
        return replace(self, case=free, plan=plan)


def bind(case: Case) -> BoundCase:
    """Checks a settled case and binds it; see :meth:`ckpt_harness.cases.case.Case.bind`.

    Args:
        case: every field is one of its choices.

    Raises:
        PlanError: the plan does not fit the world.
        UsageError: an unknown name, or a combination that cannot run.
    """
    engine = watched(find_engine(case.engine))
    call_style = case.call_style
    _check_calls(case, engine)
    workload = find_workload(case.workload)
    _check_workload(case, call_style, engine, workload)
    _check_world(case, engine)
    groups = call_style.groups(case.ranks, case.coordinator)
    _check_coordinator(case, engine)
    if not call_style.use_collectives and Capability.WITHOUT_COLLECTIVES not in engine.capabilities:
        raise UsageError(f"way {case.way!r}: engine {engine.name!r} does not claim {Capability.WITHOUT_COLLECTIVES.value!r}")
    _check_layers(case, engine)
    _check_onto(case, engine)
    _check_async_save(case, call_style, workload)
    protocol = call_style.protocol(engine.protocol, case.operation)
    plan = case.plan.bind(case.ranks, case.coordinator, protocol, groups)
    return BoundCase(case, engine, workload, call_style, groups, protocol, plan)


def _check_calls(case: Case, engine: Engine) -> None:
    """Refuses an operation that the engine does not have, a site that it never calls in it, and a kind of planner that it does not have."""
    operations = engine.protocol.operations
    if case.operation not in operations:
        raise UsageError(f"engine {engine.name!r} has no {case.operation}; {choices(operations)}")
    called = operations[case.operation].sites
    for fault in case.plan:
        if fault.site in DCP.operations[case.operation].sites and fault.site not in called:
            raise UsageError(f"{_shown(fault)}: engine {engine.name!r} never calls {fault.site} in {case.operation}; {choices(called, fault.site)}")
    if case.planner not in engine.planners:
        raise UsageError(f"unknown planner {quoted(case.planner)} for engine {engine.name!r}; {choices(engine.planners, case.planner)}")


def _check_workload(case: Case, call_style: CallStyle, engine: Engine, workload: Workload) -> None:
    """Refuses a state that the engine cannot store, or that cannot be loaded in the call style of the case."""
    resharded = frozenset({Holding.RESHARDED})
    if not call_style.use_collectives and Holding.RESHARDED in workload.holds:
        valid = _workloads_without(resharded | engine.cannot_hold)
        raise UsageError(f"way {case.way!r} cannot load workload {case.workload!r} ({Holding.RESHARDED.value}); {valid}")
    check_can_hold(engine, workload)


def check_can_hold(engine: Engine, workload: Workload) -> None:
    """Refuses a state that the engine cannot store.

    Raises:
        UsageError: the message shows what the engine cannot store, and the valid workloads.
    """
    unable = workload.holds & engine.cannot_hold
    if unable:
        parts = " and ".join(sorted(holding.value for holding in unable))
        valid = _workloads_without(engine.cannot_hold)
        raise UsageError(f"workload {workload.name!r} holds {parts}, which engine {engine.name!r} cannot store; {valid}")


def _check_world(case: Case, engine: Engine) -> None:
    """Refuses a world that cannot run the engine, or that the plan does not fit."""
    if case.world == "attached":
        launched = Launch.needed().size
        if case.ranks > launched:
            raise UsageError(f"{case.ranks} ranks, but the launcher started {launched}; valid: 1 to {launched}")
        check_survivable(case.plan)
    if case.world != "simulated" and engine.one_process:
        raise UsageError(f"engine {engine.name!r} lives in one process, which ranks of world {case.world!r} do not share; valid: world 'simulated'")
    needed = engine.usual.get("world", case.world)
    if case.world != needed:
        raise UsageError(f"engine {engine.name!r} cannot run on ranks of world {case.world!r}; valid: world {needed!r}")
    if case.world == "simulated":
        check_simulable(case.plan)


def _check_coordinator(case: Case, engine: Engine) -> None:
    """Refuses a coordinator other than 0 where the engine or the operation has no choice."""
    if case.coordinator == 0:
        return
    if Capability.ANY_COORDINATOR not in engine.capabilities:
        raise UsageError(f"coordinator {case.coordinator}: engine {engine.name!r} coordinates on rank 0 only")
    if case.operation == "async_save":
        raise UsageError(f"coordinator {case.coordinator}: async_save coordinates on rank 0 only")


def _check_layers(case: Case, engine: Engine) -> None:
    """Refuses faults below the storage that the engine gives no access to."""
    needed = {"disk": Capability.FILE_SYSTEM, "network": Capability.OBJECT_STORE}
    for fault in case.plan:
        capability = needed.get(fault.at.layer)
        if capability is not None and capability not in engine.capabilities:
            raise PlanError(
                f"{_shown(fault)}: engine {engine.name!r} does not claim {capability.value!r}, so its {fault.at.layer} cannot be reached"
            )


def _check_onto(case: Case, engine: Engine) -> None:
    """Refuses two saves that would each overwrite a checkpoint where the engine keeps only one."""
    if case.onto == "checkpoint" and case.overlap != "none" and Capability.RETENTION in engine.capabilities:
        raise UsageError(
            f"overlap {case.overlap!r} with onto {case.onto!r} needs two old checkpoints, and engine {quoted(engine.name)}, which claims "
            f"{Capability.RETENTION.value!r}, may remove one; valid: overlap 'none', or onto 'nothing'"
        )


def _check_async_save(case: Case, call_style: CallStyle, workload: Workload) -> None:
    """Refuses settings that only an async save has, and combinations of them that cannot run."""
    defaults = {"executor": EXECUTORS[0], "staging": next(iter(STAGINGS)), "overlap": OVERLAPS[0]}
    for name, default in defaults.items():
        value = getattr(case, name)
        if value != default and case.operation != "async_save":
            raise UsageError(f"{name} {value!r} applies to async_save, not to {case.operation}; valid: {default!r}")
    if case.executor == "process" and (case.world != "processes" or call_style.alone):
        setting = f"world {case.world!r}, way {case.way!r}"
        raise UsageError(f"executor 'process' in {setting}: its processes form a group; valid: world 'processes', ways that join ranks")
    for fault in case.plan:
        if fault.at.side == "executor" and case.executor != "process":
            raise PlanError(f"{_shown(fault)}: executor {case.executor!r} starts no process; valid: executor 'process'")
    if case.overlap == "separate" and case.way != "together":
        raise UsageError(f"overlap 'separate' in way {case.way!r}; valid: way 'together'")
    if Holding.SHARDED in workload.holds and case.operation == "async_save" and _stages_as_dcp_by_default(case):
        no_stager = " (no AsyncStager)" if case.staging == "writer" else ""
        raise UsageError(
            f"staging {case.staging!r}{no_stager}: DCP's stager cannot copy the ShardedTensor in workload {case.workload!r}; valid: staging 'blocking', "
            "or a workload without a ShardedTensor, such as 'stateful'"
        )


def _stages_as_dcp_by_default(case: Case) -> bool:
    """Whether a ``DefaultStager`` of DCP copies the state: async_save makes it for itself, or neither the engine nor its writer is a stager."""
    engine = find_engine(case.engine)
    if case.staging == "writer":
        saves = getattr(engine.async_save, "__func__", None)
        return saves is DcpCalls.async_save and not _has_staging_writer(case.engine)
    makes = getattr(engine.make_stager, "__func__", None)
    return case.staging == "engine" or (case.staging == "background" and makes is DcpCalls.make_stager)


@cache
def _has_staging_writer(name: str) -> bool:
    """Whether the storage writer of an engine is its own stager. The engine makes a writer once to find out."""
    engine = find_engine(name)
    with tempfile.TemporaryDirectory() as directory:
        try:
            return isinstance(engine.make_writer(engine.place(Path(directory), "probe")), AsyncStager)
        except Exception:  # noqa: BLE001  (a hook may raise anything; it is reported where a case runs)
            return True


def _workloads_without(parts: frozenset[Holding]) -> str:
    """The workloads that hold none of some parts, as a message lists them."""
    valid = [workload.name for workload in (*WORKLOADS.values(), *PARALLEL.values()) if not workload.holds & parts]
    return choices(valid)


def _shown(fault: Fault) -> str:
    """A fault as a message shows it."""
    return f"fault {without_middle(str(fault), _LONGEST)}"
