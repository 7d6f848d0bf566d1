"""Which calls an operation of a job makes when nothing goes wrong: the model needs to know it for operations that faults may strike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_harness.cases.baseline import Baselines
from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.case import Case, Onto
from ckpt_harness.cases.membership import Member, joined
from ckpt_harness.cases.one_call import OneCall
from ckpt_harness.cases.run import fault_free_course
from ckpt_harness.cases.surroundings import surroundings
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.trace import Trace
from ckpt_harness.workloads.context import State
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


class Courses:
    """The courses of saves without faults, each run once and remembered.

    Args:
        workspace: where they run.
        baselines: the checkpoints that they find.
    """

    def __init__(self, workspace: Workspace, baselines: Baselines) -> None:
        self._workspace = workspace
        self._baselines = baselines
        self._traces: dict[tuple[Case, int | None], Trace] = {}

    def of(self, call: BoundCall, onto: Onto = "nothing") -> Trace:
        """Returns the calls that a save makes; without a run, those of the protocol, if no fault may strike it.

        Args:
            call: the save, or a load of a checkpoint that as many ranks have saved.
            onto: what it finds at its place.
        """
        bound = call.case
        if not bound.plan.faults:
            return Trace.nominal([call.call], bound.groups, bound.protocol)
        free = bound.without_faults()
        if bound.saves:
            free = dataclasses.replace(free, case=dataclasses.replace(free.case, onto=onto))
        key = (free.case, free.shards)
        if key not in self._traces:
            self._traces[key] = fault_free_course(free, self._workspace, self._baselines)
        return renamed(self._traces[key], call.call)


def renamed(trace: Trace, call: str) -> Trace:
    """Returns the trace of a single operation under another name."""
    return Trace(dict.fromkeys([call], next(iter(trace.moments.values()), {})))


@dataclass(frozen=True)
class FreshEnding:
    """How the load of a fresh rank ended.

    Attributes:
        outcome: how it ended.
        compared: what ``compare`` made of the state that was loaded; None unless the load succeeded.
    """

    outcome: Outcome
    compared: Any = None


@dataclass(frozen=True)
class FreshLoad:
    """A load by fresh ranks, in a world of their own.

    Attributes:
        bound: how the engine is called.
        place: where from.
        number: number of the operation.
        compare: called by each rank with the state that it has loaded, and its membership.
    """

    bound: BoundCase
    place: str
    number: int
    compare: Callable[[State, Member], Any] = lambda _state, _member: None

    def run(self, plan: FaultPlan, history: History) -> tuple[list[RankResult], Injector]:
        """Loads.

        Args:
            plan: the faults.
            history: records what happens.

        Returns:
            How each rank ended, with a :class:`FreshEnding` for its value; and the injector.
        """
        bound, case = self.bound, self.bound.case
        injector = Injector(
            plan, coordinators=bound.coordinators, history=history, watch_disk=case.watches_disk, watch_network=case.watches_network
        )
        over: list[bool] = []

        def load() -> FreshEnding | None:
            with joined(bound, injector.rank(), GROUP_TIMEOUT) as member:
                if member is None:
                    return None
                reader, planner = bound.engine.make_reader(self.place), bound.engine.make_load_planner(case.planner)
                ending = OneCall(bound, member, reader, planner, self.place, None).make(injector, lambda: bool(over), self.number)
                return FreshEnding(ending.outcome, None if ending.state is None else self.compare(ending.state, member))

        def judge(_results: Sequence[RankResult]) -> None:
            over.append(True)
            history.close()
            injector.end_case()

        world = SimulatedWorld(case.ranks, seed=case.seed, timeout=GROUP_TIMEOUT, group=bound.in_process_group)
        with surroundings(injector, range(case.ranks)):
            return list(world.run(load, faults=injector, judge=judge)), injector


def course_of_load(call: BoundCall, place: str) -> Trace | None:
    """Loads a place without faults, to see which calls a load of it makes. Returns None if the load fails anyway.

    Args:
        call: the load.
        place: where from.
    """
    history = History()
    results, _ = FreshLoad(call.case.without_faults(), place, call.number).run(FaultPlan(), history)
    endings = [result.value for result in results if result.rank in call.ranks]
    if any(not isinstance(ending, FreshEnding) or ending.outcome.kind != "returned" for ending in endings):
        return None
    return Trace.of(history)
