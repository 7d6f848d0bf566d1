"""One case as a value, what came of it, and the line that replays it. ``ckpt_harness.cases.rig`` runs it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import OracleViolation, PlanError, UsageError
from ckpt_harness.faults.calling import EXECUTORS, OVERLAPS, STAGINGS, Executor, Overlap, Way, way_of
from ckpt_harness.faults.plan import BoundPlan, FaultPlan, check_simulable, check_survivable
from ckpt_harness.faults.protocol import DCP, Capability, Group
from ckpt_harness.faults.sites import OPERATION_KINDS, OperationKind
from ckpt_harness.history import History
from ckpt_harness.judging.model import Expectation
from ckpt_harness.judging.oracles import Evidence, Outcome
from ckpt_harness.judging.verdict import Judgement, Verdict
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS, Holding, find_workload
from ckpt_harness.worlds.launcher import Launch

WorldName = Literal["simulated", "processes", "attached"]
WORLDS: tuple[WorldName, ...] = ("simulated", "processes", "attached")

Onto = Literal["nothing", "checkpoint"]
ONTO: tuple[Onto, ...] = ("nothing", "checkpoint")

_SETTINGS = ("way", "planner", "executor", "staging", "overlap", "onto")
"""Fields of a case that are told where they are not the usual."""
_LONGEST = 1000
"""Characters of a line of an explanation: errors may carry a megabyte."""


@dataclass(frozen=True)
class Case:
    """Everything needed to run once, and again.

    Attributes:
        plan: what goes wrong.
        operation: ``save``, ``async_save`` or ``load``.
        ranks: size of the world.
        coordinator: the rank that coordinates; within its group.
        engine: name of the engine.
        workload: name of the workload.
        seed: of the order in which ranks run.
        way: name of the way of calling: who does the operation with whom.
        planner: name of the kind of planner, of those that the engine has.
        retry: whether the ranks try again, healed, after the operation.
        world: what runs the ranks: ``simulated``, ``processes``, or ``attached`` to a launcher.
        executor: what an async save is done by: ``thread``, or ``process``.
        staging: what copies the state of an async save; see :data:`ckpt_harness.faults.calling.STAGINGS`.
        overlap: whether a second async save is begun while the first is under way, and whether both ``shared`` the group or each has a
            ``separate`` one.
        onto: what a save finds at its place: ``nothing``, or a ``checkpoint`` of its own kind that it overwrites.
        watch_disk: whether calls at disk sites are seen though no fault strikes there.
        watch_network: the same for requests to an object store.
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
        """The case as its engine is called: what is left at its default is what is usual with the engine, and a save is of the kind that it makes.

        Raises:
            UsageError: an unknown engine, or a way of calling that it is not for.
        """
        changes: dict[str, Any] = {}
        usual: Mapping[str, Any] = find_engine(self.engine).usual
        for name, value in usual.items():
            given, default = getattr(self, name), getattr(Case, name)
            if name == "operation":
                if given == default:
                    changes |= {"operation": value, "plan": self.plan.readdressed(given, value)}
            elif name == "world" or (name == "executor" and self.operation == "load"):
                continue  # who runs the ranks is for whoever made the case to say, and a load has no executor
            elif given == default:
                changes[name] = value
            elif given != value and name != "workload":
                raise UsageError(f"{name} {given!r}: engine {self.engine!r} is always called with {name} {value!r}")
        return dataclasses.replace(self, **changes)

    def bind(self) -> BoundPlan:
        """Checks the case, before anything runs.

        Raises:
            PlanError: the plan does not fit the world.
            UsageError: an unknown name, or a combination that cannot run.
        """
        if self.operation not in OPERATION_KINDS:
            raise UsageError(f"unknown operation {self.operation!r}; operations: {', '.join(OPERATION_KINDS)}")
        settled = self.settled()
        if settled != self:
            return settled.bind()
        engine = find_engine(self.engine)
        self._check_engine(engine)
        if self.planner not in engine.planners:
            raise UsageError(f"unknown planner {self.planner!r}; planners of engine {engine.name!r}: {', '.join(engine.planners)}")
        if self.world not in WORLDS:
            raise UsageError(f"unknown world {self.world!r}; worlds: {', '.join(WORLDS)}")
        if self.world == "attached":
            self._check_attached()
        if self.world != "simulated" and engine.one_process:
            raise UsageError(f"engine {engine.name!r} lives in one process, which ranks of world {self.world!r} do not share; valid: world 'simulated'")
        if self.world != engine.usual.get("world", self.world):
            raise UsageError(f"engine {engine.name!r} cannot run on ranks of world {self.world!r}; valid: world {engine.usual['world']!r}")
        if self.world == "simulated":
            check_simulable(self.plan)
        groups = self.groups()
        if self.coordinator and Capability.ANY_COORDINATOR not in engine.capabilities:
            raise UsageError(f"coordinator {self.coordinator}: engine {engine.name!r} coordinates on rank 0 only")
        if self.coordinator and self.operation == "async_save":
            raise UsageError(f"coordinator {self.coordinator}: async_save coordinates on rank 0 only")
        if not self.call_style.use_collectives and Capability.WITHOUT_COLLECTIVES not in engine.capabilities:
            raise UsageError(f"way {self.way!r}: engine {engine.name!r} does not claim {Capability.WITHOUT_COLLECTIVES.value!r}")
        self._check_below(engine)
        self._check_background()
        return self.plan.bind(self.ranks, self.coordinator, self.call_style.protocol(engine.protocol, self.operation), groups)

    def _check_engine(self, engine: Engine) -> None:
        """Refuses an operation that the engine does not have, a call that it never makes, and a state that it cannot store, or not in this way.

        Raises:
            UsageError: with the value and the choices.
        """
        if self.operation not in engine.protocol.operations:
            raise UsageError(f"engine {engine.name!r} has no {self.operation}; operations: {', '.join(engine.protocol.operations)}")
        called = engine.protocol.operations[self.operation].sites
        for fault in self.plan:
            if fault.site in DCP.operations[self.operation].sites and fault.site not in called:
                raise UsageError(f"fault {fault}: engine {engine.name!r} never calls {fault.site} in {self.operation}; valid: {', '.join(called)}")
        held = find_workload(self.workload).holds
        if not self.call_style.use_collectives and Holding.RESHARDED in held:
            able = _without(frozenset({Holding.RESHARDED}) | engine.cannot_hold)
            raise UsageError(f"workload {self.workload!r} holds {Holding.RESHARDED.value}, which way {self.way!r} cannot; valid workloads: {able}")
        lacking = held & engine.cannot_hold
        if lacking:
            what, able = " and ".join(sorted(one.value for one in lacking)), _without(engine.cannot_hold)
            raise UsageError(f"workload {self.workload!r} holds {what}, which engine {engine.name!r} cannot store; valid workloads: {able}")

    def _check_attached(self) -> None:
        """Refuses what the launcher's ranks cannot run.

        Raises:
            PlanError: the plan ends one of them.
            UsageError: there are none, or too few.
        """
        launched = Launch.needed().size
        if self.ranks > launched:
            raise UsageError(f"{self.ranks} ranks, where the launcher started {launched}; valid: 1 to {launched}")
        check_survivable(self.plan)

    def _check_below(self, engine: Engine) -> None:
        """Refuses faults below the storage that cannot be reached, and a load that would overwrite.

        Raises:
            PlanError: the engine claims no file system, or no object store.
            UsageError: with the value and the choices.
        """
        for layer, capability in (("disk", Capability.FILE_SYSTEM), ("network", Capability.OBJECT_STORE)):
            below = next((fault for fault in self.plan if fault.at.layer == layer), None)
            if below is not None and capability not in engine.capabilities:
                raise PlanError(f"fault {below}: engine {engine.name!r} does not claim {capability.value!r}, so its {layer} cannot be reached")
        if self.onto not in ONTO:
            raise UsageError(f"unknown onto {self.onto!r}; valid: {', '.join(ONTO)}")
        if self.onto != "nothing" and self.operation == "load":
            raise UsageError(f"onto {self.onto!r} is of saves; valid: 'nothing'")

    def _check_background(self) -> None:
        """Refuses what only an async save can have, and ways of it that cannot run.

        Raises:
            UsageError: with the value and the choices.
        """
        for name, choices in (("executor", EXECUTORS), ("staging", tuple(STAGINGS)), ("overlap", OVERLAPS)):
            value = getattr(self, name)
            if value not in choices:
                raise UsageError(f"unknown {name} {value!r}; valid: {', '.join(choices)}")
            if value != getattr(Case, name) and self.operation != "async_save":
                raise UsageError(f"{name} {value!r} is of async_save, not of {self.operation}; valid: {getattr(Case, name)!r}")
        if self.executor == "process" and (self.world != "processes" or self.call_style.alone):
            where = f"world {self.world!r}, way {self.way!r}"
            raise UsageError(f"executor 'process' in {where}: its processes form a group; valid: world 'processes', ways that join ranks")
        for fault in self.plan:
            if fault.at.side == "executor" and self.executor != "process":
                raise PlanError(f"fault {fault}: executor {self.executor!r} starts no process; valid: executor 'process'")
        if self.overlap == "separate" and self.way != "together":
            raise UsageError(f"overlap 'separate' in way {self.way!r}: valid: way 'together'")
        if self.staging in ("engine", "background") and Holding.SHARDED in find_workload(self.workload).holds:
            able = _without(frozenset({Holding.SHARDED}))
            raise UsageError(f"staging {self.staging!r} of workload {self.workload!r}: DCP's stager cannot copy a ShardedTensor; valid workloads: {able}")

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of the operations that a case acts out."""
        return tuple(f"{self.operation}[{number}]" for number in range(1, 2 if self.overlap == "none" else 3))

    @property
    def leaves_together(self) -> bool:
        """Whether ranks have groups or processes of their own, which nobody may end before all are done with theirs."""
        return self.call_style.process_group == "own" or self.overlap == "separate" or self.executor == "process"

    @property
    def call_style(self) -> Way:
        """The way of calling."""
        return way_of(self.way)

    def groups(self) -> tuple[Group, ...]:
        """Who does the operation with whom.

        Raises:
            UsageError: an unknown way, or a world that it does not work in.
            PlanError: a coordinator outside a group.
        """
        return self.call_style.groups(self.ranks, self.coordinator)

    def replay_line(self) -> str:
        """A shell line that runs this case again."""
        command = ["ckpt-harness"] if self.world != "attached" else ["torchrun", "--nproc-per-node", str(self.ranks), "-m", "ckpt_harness"]
        words = [*command, "replay", str(self.plan), "--op", self.operation, "--ranks", str(self.ranks)]
        usual = Case(operation=self.operation, engine=self.engine).settled()
        defaults = dataclasses.replace(usual, engine=Case.engine, world=usual_world(self.engine))
        for name in ("coordinator", "engine", "workload", "seed", "world", *_SETTINGS):
            if getattr(self, name) != getattr(defaults, name):
                words += [f"--{name}", str(getattr(self, name))]
        words += ["--no-retry"] * (not self.retry)
        return shlex.join(words)

    def without_faults(self) -> Case:
        """The same case with nothing going wrong: what the model learns the course from."""
        return dataclasses.replace(self, plan=FaultPlan(), retry=False, seed=0, watch_disk=self.watches_disk, watch_network=self.watches_network)

    @property
    def watches_disk(self) -> bool:
        """Whether calls at disk sites are seen."""
        return self.watch_disk or self.plan.strikes_disk

    @property
    def watches_network(self) -> bool:
        """Whether requests to an object store are seen."""
        return self.watch_network or self.plan.strikes_network

    @property
    def layer(self) -> str:
        """Which sites its fault space has: see :attr:`ckpt_harness.faults.sites.Site.layer`."""
        return "disk" if self.watch_disk else "network" if self.watch_network else "calls"


@dataclass(frozen=True)
class CaseResult:
    """What came of a case.

    Attributes:
        case: the case.
        evidence: what had to come of it, and what was seen.
        judgements: of all oracles, with known findings marked.
        history: what happened, in order.
    """

    case: Case
    evidence: Evidence
    judgements: tuple[Judgement, ...]
    history: History

    @property
    def verdict(self) -> Verdict:
        """The worst that counts: known findings and unclaimed oracles hold."""
        return Verdict.worst(one.counts for one in self.judgements)

    @property
    def known(self) -> tuple[str, ...]:
        """Ids of the register's entries that this case showed, sorted."""
        return tuple(sorted({one.known for one in self.judgements if one.known is not None}))

    @property
    def expectation(self) -> Expectation:
        """What the first operation had to lead to; for the first group, where several are at it."""
        return self.evidence.forecast.expectations[0]

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """What the first operation had to lead to, group by group."""
        return tuple(one for one in self.evidence.forecast.expectations if one.operation == self.expectation.operation)

    @property
    def outcomes(self) -> Mapping[int, Outcome]:
        """How the first operation ended, rank by rank; ranks that took no part are left out."""
        return self.evidence.outcomes.get(self.expectation.operation, {})

    def owed(self) -> list[str]:
        """How each operation had to end, in words; one line for each group. Ranks that are to be named are ranks within the group."""
        found = self.evidence.forecast.expectations
        operations, groups = len({one.operation for one in found}) > 1, len(self.expectations) > 1
        return [f"{f'{one.operation}: ' * operations}{f'ranks {_listed(one.ranks)}: ' * groups}{_in_words(one)}" for one in found]

    def told(self, rank: int) -> list[str]:
        """How each operation ended on a rank that took part, in words."""
        found = self.evidence.outcomes
        return [f"{f'{name}: ' * (len(found) > 1)}{outcomes.get(rank, 'no outcome')}" for name, outcomes in found.items()]

    def complaints(self) -> list[str]:
        """One line for each judgement that counts against the case."""
        return [f"{one.oracle} {one.verdict.name}: {one.reason}" for one in self.judgements if one.counts is not Verdict.HOLDS]

    def explain(self) -> str:
        """What went wrong, for whom, and what was owed; the last line replays the case."""
        case, operation = self.case, self.expectation.operation
        setting = f"{operation} on {case.ranks} rank(s), coordinator {case.coordinator}, engine {case.engine}, workload {case.workload}"
        if case.world != "simulated":
            setting += f", world {case.world}"
        for name in _SETTINGS:
            if getattr(case, name) != getattr(Case(), name):
                setting += f", {name} {getattr(case, name)}"
        lines = [
            f"{self.verdict.name}: {str(case.plan) or 'no fault at all'}",
            *self.complaints(),
            f"in {setting}, seed {case.seed}",
            *(f"owed: {text}" for text in self.owed()),
            *(f"rank {rank}: {text}" for one in self.expectations for rank in one.ranks for text in self.told(rank)),
        ]
        shown = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..." for line in lines]
        return "\n".join([*shown, case.replay_line()])

    def check(self) -> None:
        """Insists that every claim holds, or that its violation is known.

        Raises:
            OracleViolation: with the evidence and a replay line.
        """
        __tracebackhide__ = True
        if self.verdict is not Verdict.HOLDS:
            raise OracleViolation(self.explain())


def _without(parts: frozenset[Holding]) -> str:
    """The names of the workloads that hold none of some parts."""
    return ", ".join(one.name for one in (*WORKLOADS.values(), *PARALLEL.values()) if not one.holds & parts)


def usual_world(engine: str) -> WorldName:
    """What runs the ranks of an engine where nobody says."""
    return cast("WorldName", find_engine(engine).usual.get("world", "simulated"))


def _in_words(owed: Expectation) -> str:
    named = ", ".join(f"rank {rank}: {error}" for rank, error in owed.failures.items())
    return f"{owed.ending.value}{f' in {owed.step!r}' if owed.step else ''}{f' naming {{{named}}}' if named else ''}"


def _listed(ranks: tuple[int, ...]) -> str:
    return ", ".join(map(str, ranks))
