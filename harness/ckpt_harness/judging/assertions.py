"""Assertions for other people's test suites."""

from __future__ import annotations

from ckpt_harness.errors import OracleViolation, PlanError, UsageError, cut, quoted
from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.faults.protocol import Group
from ckpt_harness.faults.sites import OPERATION_KINDS
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.oracles.attribution import misattributed
from ckpt_harness.judging.trace import Trace
from ckpt_harness.runtime import known_world_size, launched_rank, stands_alone

_MOST_OPERATIONS = 64
"""A plan that strikes a later operation or occurrence is judged as if it struck this one: the error is the same."""
_LONGEST = 400
"""Characters of a violation: what was reported beside what was injected. No report shows the outcomes in full here."""


def assert_propagated(error: BaseException, plan: FaultPlan | str, *, world_size: int | None = None, coordinator: int = 0) -> None:
    """Asserts that ``error`` reports exactly the injected faults: the right ranks, each with its original type, arguments, errno and message.

    Args:
        error: what the save or load raised on this rank.
        plan: the plan that was injected.
        world_size: number of ranks. Default: the size of the default process group, or as many ranks as the plan names.
        coordinator: the rank that coordinated.

    Raises:
        OracleViolation: another error was raised, or it blames other ranks or errors; the message states the difference.
        PlanError: the plan does not fit the world.
        UsageError: ``error`` is no exception.

    Example:
        >>> assert_propagated(OSError("disk full"), "writer.write_data@1=raise(OSError:ENOSPC)")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.OracleViolation: raised OSError(disk full) instead of a CheckpointException
    """
    if not isinstance(error, BaseException):
        raise UsageError(f"assert_propagated got {quoted(error)} instead of an exception; valid: caught.value of `pytest.raises(...) as caught`")
    plan = as_plan(plan)
    expected = [
        expectation for bound, rank in _bindings(plan, world_size, coordinator) for expectation in _failures(bound) if rank in (None, *expectation.ranks)
    ]
    raised = ErrorRecord.of(error)
    if not expected:
        raise OracleViolation(cut(f"plan {quoted(str(plan))} injects no error that every rank must report, but this was raised: {raised}", _LONGEST))
    wrong = [misattributed(expectation, Outcome("raised", raised)) for expectation in expected]
    if all(wrong):
        raise OracleViolation(cut(wrong[0], _LONGEST)) from error


def _bindings(plan: FaultPlan, world_size: int | None, coordinator: int) -> list[tuple[BoundPlan, int | None]]:
    """The plan, bound to each world that the caller may have been in, with the only rank whose error counts there; None for any rank.

    A process that a launcher numbered, and that has no process group, saved in a group that it has left, or alone. Alone, it is rank 0 of 1 for the
    engine, while its faults are addressed to the launcher's number.
    """
    size, rank = world_size or known_world_size() or _named(plan), launched_rank()
    if rank is None or not stands_alone():
        return [(plan.bind(size, coordinator), None)]
    size = max(size, rank + 1)
    bindings: list[tuple[BoundPlan, int | None]] = []
    refusals: list[PlanError] = []
    for groups, only in ((None, None), (tuple(Group((number,), number) for number in range(size)), rank)):
        try:
            bindings.append((plan.bind(size, coordinator, groups=groups), only))
        except PlanError as error:
            refusals.append(error)
    if not bindings:
        raise refusals[0]
    return bindings


def _failures(bound: BoundPlan) -> list[Expectation]:
    """The failures that a plan must lead to. The caller does not say which operation raised its error, so all that the plan may strike are considered."""
    plan = bound.plan
    kinds = [kind for kind in OPERATION_KINDS if any(kind in ([f.operation.kind] if f.operation else f.at.operations[:1]) for f in plan)]
    count = max((fault.operation.index or 1 if fault.operation else fault.nth for fault in plan), default=1)
    operations = [f"{kind}[{number}]" for number in range(1, min(count, _MOST_OPERATIONS) + 1) for kind in kinds]
    trace = Trace.nominal(operations, bound.groups, bound.protocol)
    return [expectation for expectation in forecast(bound, trace).expectations if expectation.ending is Ending.FAILS]


def _named(plan: FaultPlan) -> int:
    return 1 + max((max(fault.ranks) for fault in plan if isinstance(fault.ranks, tuple)), default=0)
