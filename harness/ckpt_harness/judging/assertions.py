"""Assertions for other people's test suites."""

from __future__ import annotations

from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.faults.sites import OPERATION_KINDS
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.model import Ending, forecast
from ckpt_harness.judging.oracles import Outcome, misattributed
from ckpt_harness.judging.trace import Trace
from ckpt_harness.runtime import known_world_size

_MOST_OPERATIONS = 64
"""A plan that strikes a later operation or occurrence than this is judged as if it struck this one: the error is the same."""


def assert_propagated(error: BaseException, plan: FaultPlan | str, *, world_size: int | None = None, coordinator: int = 0) -> None:
    """Asserts that ``error`` tells of the injected faults, exactly: the right ranks, each with its original type, arguments, errno and message.

    Args:
        error: what the save or load raised on this rank.
        plan: the plan that was injected.
        world_size: number of ranks; by default that of the default process group, else as many as the plan names.
        coordinator: the rank that coordinated.

    Raises:
        OracleViolation: something else was raised, or it names other ranks or errors; the message says what.
        PlanError: the plan does not fit the world.
    """
    plan = as_plan(plan)
    bound = plan.bind(world_size or known_world_size() or _named(plan), coordinator)
    kinds = [kind for kind in OPERATION_KINDS if any(kind in ([f.operation.kind] if f.operation else f.at.operations[:1]) for f in plan)]
    # The caller does not say in which operation the error came up, so every one that the plan may strike is asked.
    count = max((fault.operation.index or 1 if fault.operation else fault.nth for fault in plan), default=1)
    operations = [f"{kind}[{number}]" for number in range(1, min(count, _MOST_OPERATIONS) + 1) for kind in kinds]
    trace = Trace.nominal(operations, bound.groups, bound.protocol)
    expected = [one for one in forecast(bound, trace).expectations if one.ending is Ending.FAILS]
    told = ErrorRecord.of(error)
    if not expected:
        raise OracleViolation(f"plan {str(plan)!r} injects nothing that must be told to every rank, but this was raised: {told}")
    wrong = [misattributed(one, Outcome("raised", told)) for one in expected]
    if all(wrong):
        raise OracleViolation(f"plan {str(plan)!r} was not told as it happened: {wrong[0]}") from error


def _named(plan: FaultPlan) -> int:
    return 1 + max((max(fault.ranks) for fault in plan if isinstance(fault.ranks, tuple)), default=0)
