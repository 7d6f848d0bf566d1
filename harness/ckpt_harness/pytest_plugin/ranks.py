"""What the fixture ``ckpt_world`` gives a test: it runs a function of the test on every rank, while faults strike whatever DCP saves and loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ckpt_harness.cases.bodies import on_processes, on_simulated_ranks
from ckpt_harness.cases.case import WorldName
from ckpt_harness.errors import OracleViolation, PlanError
from ckpt_harness.faults.plan import FaultPlan, as_plan, check_simulable, check_survivable
from ckpt_harness.injection.arrival import Firing
from ckpt_harness.judging.assertions import assert_propagated
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.launcher import Launch


@dataclass(frozen=True)
class RankResults(Sequence[RankResult]):
    """How each rank ended; a sequence in rank order.

    Attributes:
        results: the result of each rank.
        plan: the injected plan.
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
        """How each rank ended: ``returned``, ``raised``, ``hung`` or ``dead``."""
        return tuple(result.outcome for result in self)

    @property
    def values(self) -> tuple[Any, ...]:
        """What the function returned on each rank; None if it did not return."""
        return tuple(result.value for result in self)

    def assert_propagated(self) -> None:
        """Asserts that every rank raised an error that names the injected faults exactly; see :func:`ckpt_harness.assert_propagated`.

        Raises:
            OracleViolation: a rank did not raise, or its error names other ranks or causes.
        """
        __tracebackhide__ = True
        for result in self:
            if result.error is None and result.record is not None:
                raise OracleViolation(
                    f"UNKNOWN: the error of rank {result.rank} cannot be pickled, so it did not reach this process: {result.record}"
                )
            if result.error is None:
                raise OracleViolation(f"plan {str(self.plan)!r}: rank {result.rank} raised no error\n{_endings(self)}")
            assert_propagated(result.error, self.plan, world_size=len(self), coordinator=self.coordinator)


class CkptWorld:
    """Ranks on which a test runs a function.

    Args:
        ranks: number of ranks.
        seed: seed of the order in which simulated ranks run.
        world: what runs the ranks.

    Example:
        In a test module::

            def save(place):
                dcp.save({"weight": torch.ones(3)}, checkpoint_id=place)

            @pytest.mark.ckpt_ranks(4)
            def test_every_rank_raises(ckpt_world, tmp_path):
                results = ckpt_world.run(save, tmp_path, plan="finish@coordinator=raise(OSError:EIO)")
                assert results.outcomes == ("raised",) * 4
                results.assert_propagated()
    """

    def __init__(self, ranks: int, seed: int, world: WorldName = "simulated") -> None:
        self.ranks, self.seed, self.world = ranks, seed, world

    def run(self, body: Callable[..., Any], *args: Any, plan: FaultPlan | str = "", coordinator: int = 0) -> RankResults:
        """Calls ``body(*args)`` on every rank, in a process group of all ranks, while the faults of ``plan`` strike whatever DCP saves and loads.

        Args:
            body: the function. An error that it raises, ``CheckpointException`` too, is the result of the rank. On processes, ``body`` is a function
                of a module that the processes can import, and its arguments and its result can be pickled.
            args: arguments of ``body``.
            plan: the plan or its text. Faults of collectives (``pg.*``) work here, too.
            coordinator: the rank that coordinates in ``body``.

        Returns:
            How each rank ended: returned, raised, hung (proved; the result says where the rank waits, and for which ranks), or dead.

        Raises:
            PlanError: the plan does not fit the world; nothing has run.
            UsageError: ``body`` cannot be sent to the ranks, or its result cannot be sent back.
            OracleViolation: a fault that could fire never did, so the test shows nothing. A fault that need not fire ends in ``?``.
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
    """Skips a test that the launcher's ranks cannot run, with the reason."""
    launched = Launch.needed().size
    if ranks > launched:
        pytest.skip(f"needs {ranks} ranks; the launcher started {launched}")
    try:
        check_survivable(plan)
    except PlanError as error:
        pytest.skip(str(error))


def _assert_fired(results: RankResults, operations: Iterable[str]) -> None:
    """Fails a test in which a planned fault never fired, unless the model says that an earlier failure came first."""
    __tracebackhide__ = True
    bound = results.plan.bind(len(results), results.coordinator)
    expected = forecast(bound, Trace.nominal(operations, bound.groups, bound.protocol))
    owed = expected.unreachable.union(*(expectation.must_fire for expectation in expected.expectations))
    optional = {str(fault) for fault in results.plan if fault.optional}
    missed = sorted(owed - {(firing.fault, firing.rank) for firing in results.fired})
    never = [f"{text} never fired on rank {rank}" for text, rank in missed if text not in optional]
    if never:
        raise OracleViolation(f"VACUOUS: {'; '.join(never)}\n{_endings(results)}")


def _endings(results: Sequence[RankResult]) -> str:
    """A line for each rank: how it ended, with its error or where it waits."""
    return "\n".join(f"rank {result.rank}: {result.outcome} {result.record or result.wait or ''}".rstrip() for result in results)
