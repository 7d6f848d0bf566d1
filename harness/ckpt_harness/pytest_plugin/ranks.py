"""``ckpt_world``: a body of the test's own, on ranks of the test's world, while faults strike whatever DCP saves and loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ckpt_harness.cases.bodies import on_processes, on_simulated_ranks
from ckpt_harness.cases.case import WorldName
from ckpt_harness.errors import OracleViolation, PlanError
from ckpt_harness.faults.plan import FaultPlan, as_plan, check_simulable, check_survivable
from ckpt_harness.injection.injector import Firing
from ckpt_harness.judging.assertions import assert_propagated
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.launcher import Launch


@dataclass(frozen=True)
class RankResults(Sequence[RankResult]):
    """How each rank ended: a sequence in rank order.

    Attributes:
        results: one a rank.
        plan: what was injected.
        coordinator: the rank that coordinated.
        fired: the faults that fired, in order.
    """

    results: tuple[RankResult, ...]
    plan: FaultPlan
    coordinator: int
    fired: tuple[Firing, ...]

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """``returned``, ``raised``, ``hung`` or ``dead``, rank by rank."""
        return tuple(result.outcome for result in self)

    @property
    def values(self) -> tuple[Any, ...]:
        """What the body returned, rank by rank; None where it did not."""
        return tuple(result.value for result in self)

    def assert_propagated(self) -> None:
        """Insists that every rank was told of the injected faults, exactly; see :func:`ckpt_harness.assert_propagated`.

        Raises:
            OracleViolation: a rank was not, or was told something else.
        """
        __tracebackhide__ = True
        for result in self:
            if result.error is None and result.record is not None:
                raise OracleViolation(f"UNKNOWN: what rank {result.rank} raised cannot be pickled, and so not be looked at here: {result.record}")
            if result.error is None:
                raise OracleViolation(f"plan {str(self.plan)!r} was not told to rank {result.rank}:\n{_told(self)}")
            assert_propagated(result.error, self.plan, world_size=len(self), coordinator=self.coordinator)


class CkptWorld:
    """Ranks for a body of yours.

    Args:
        ranks: how many.
        seed: of the order in which simulated ones run.
        world: what runs them.
    """

    def __init__(self, ranks: int, seed: int, world: WorldName = "simulated") -> None:
        self.ranks, self.seed, self.world = ranks, seed, world

    def run(self, body: Callable[..., Any], *args: Any, plan: FaultPlan | str = "", coordinator: int = 0) -> RankResults:
        """Calls ``body(*args)`` on every rank, inside a process group of all, while the faults of ``plan`` strike whatever DCP saves and loads.

        Args:
            body: what each rank does. What it raises, ``CheckpointException`` too, is the rank's result. Where ranks are processes, it is a
                function of a module that they can import, and its arguments, and what it returns, pickle.
            args: its arguments.
            plan: the faults, or their text. Faults of collectives (``pg.*``) work here.
            coordinator: the rank that coordinates, where ``body`` names another than 0.

        Returns:
            How each rank ended: returned, raised, hung (proved, with where it waits for whom), or dead.

        Raises:
            PlanError: the plan does not fit; nothing has run.
            UsageError: the body cannot reach the ranks, or what it returns cannot come back.
            OracleViolation: a fault that could fire never did, so the test shows nothing. One that need not fire ends in ``?``.
        """
        __tracebackhide__ = True
        faults = as_plan(plan)
        faults.bind(self.ranks, coordinator)
        if self.world == "simulated":
            check_simulable(faults)
            ran = on_simulated_ranks(body, args, faults, ranks=self.ranks, coordinator=coordinator, seed=self.seed)
        else:
            attached = self.world == "attached"
            if attached:
                _skip_unless_fit(faults, self.ranks)
            ran = on_processes(body, args, faults, ranks=self.ranks, coordinator=coordinator, attached=attached)
        results = RankResults(ran.endings, faults, coordinator, ran.fired)
        if ran.internal_errors:
            raise OracleViolation(f"UNKNOWN: the harness broke: {'; '.join(ran.internal_errors)}")
        _assert_fired(results, dict.fromkeys(event.operation for event in ran.history if event.kind == "begin"))
        return results


def _skip_unless_fit(plan: FaultPlan, ranks: int) -> None:
    """Skips a test whose body the launcher's ranks cannot run, and says why."""
    launched = Launch.needed().size
    if ranks > launched:
        pytest.skip(f"{ranks} ranks, where the launcher started {launched}")
    try:
        check_survivable(plan)
    except PlanError as error:
        pytest.skip(str(error))


def _assert_fired(results: RankResults, operations: Iterable[str]) -> None:
    """Respx's rule: what was declared and never hit fails the test, unless the model says that an earlier failure stood before it."""
    __tracebackhide__ = True
    bound = results.plan.bind(len(results), results.coordinator)
    expected = forecast(bound, Trace.nominal(operations, bound.groups, bound.protocol))
    owed = expected.unreachable.union(*(one.must_fire for one in expected.expectations))
    optional = {str(fault) for fault in results.plan if fault.optional}
    missed = sorted(owed - {(firing.fault, firing.rank) for firing in results.fired})
    never = [f"{text} never fired on rank {rank}" for text, rank in missed if text not in optional]
    if never:
        raise OracleViolation(f"VACUOUS: {'; '.join(never)}\n{_told(results)}")


def _told(results: Sequence[RankResult]) -> str:
    endings = {result.rank: f" {result.record or result.wait or ''}".rstrip() for result in results}
    return "\n".join(f"rank {result.rank}: {result.outcome}{endings[result.rank]}" for result in results)
