"""How the engine calls of a job have to end, by the model of single operations: each call by itself, or calls that may be under way at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.courses import Courses
from ckpt_harness.jobs.observed import Observed
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.model import forecast as forecast_of
from ckpt_harness.judging.trace import Trace


class Forecasts:
    """Forecasts how calls have to end.

    Args:
        bound: the job.
        courses: says which calls an operation makes without faults.
        observed: what was observed of each call.
    """

    def __init__(self, bound: BoundJob, courses: Courses, observed: Observed) -> None:
        self._bound = bound
        self._courses = courses
        self._observed = observed

    def of(self, calls: Sequence[BoundCall]) -> Forecast:
        """Returns how calls have to end that may be under way at once. Fresh ranks load in a world of their own, where nothing else is under way."""
        parts = [[call] for call in calls if call.fresh]
        together = [call for call in calls if not call.fresh]
        forecasts = [self._together(part) for part in ([together] if together else []) + parts]
        expectations = {expectation.operation: expectation for each in forecasts for expectation in each.expectations}
        unreachable = frozenset(missed for each in forecasts for missed in each.unreachable)
        return Forecast(tuple(expectations[call.call] for call in calls), unreachable)

    def _together(self, calls: Sequence[BoundCall]) -> Forecast:
        """How calls have to end that are made in one world."""
        traces = {call.call: self._trace(call) for call in calls}
        known = {call.call: (traces[call.call] or _nominal(call)).moments.get(call.call, {}) for call in calls}
        groups = {call.call: call.case.groups for call in calls}
        owed = forecast_of(_joined_plan(calls), Trace(known), timeout=GROUP_TIMEOUT, groups=groups)
        by_name = {expectation.operation: expectation for expectation in owed.expectations}
        expectations = []
        out_of_step = False
        for call in calls:
            expectation = by_name.get(call.call) or Expectation(call.call, call.ranks, Ending.UNDETERMINED)
            if out_of_step and self._bound.job.goes_on_alone(call.index):
                expectation = expectation.open_ended()  # other ranks may still be in the call before
            elif traces[call.call] is None:
                expectation = expectation.open_ended()  # the load fails by itself, and the model does not know where
            elif not call.case.saves and not self._observed.is_loadable(call) and expectation.ending is Ending.SUCCEEDS:
                expectation = dataclasses.replace(expectation, ending=Ending.UNDETERMINED)
            out_of_step |= not self._observed.ended_alike(call)
            expectations.append(expectation)
        unreachable = owed.unreachable if None not in traces.values() else frozenset[tuple[str, int]]()
        return Forecast(tuple(expectations), unreachable)

    def _trace(self, call: BoundCall) -> Trace | None:
        """The calls that an operation makes without faults; None where it fails without any."""
        if call.case.saves:
            return self._courses.of(self._bound.job, call, "checkpoint" if self._observed.before(call).content else "nothing")
        if call.case.plan.faults:
            return self._observed.record(call).trace
        return _nominal(call)


def _joined_plan(calls: Sequence[BoundCall]) -> BoundPlan:
    """The plan of calls that may be under way at once. Each fault names its call, and was bound to the ranks and the coordinator of this call."""
    first = calls[0].case.plan
    return dataclasses.replace(first, plan=plan_of(calls), faults=tuple(fault for call in calls for fault in call.case.plan.faults))


def plan_of(calls: Sequence[BoundCall]) -> FaultPlan:
    """Returns the faults that may strike any of some calls."""
    return FaultPlan(tuple(fault for call in calls for fault in call.case.plan.plan))


def part_of(owed: Forecast, names: Sequence[str]) -> Forecast:
    """Returns the part of a forecast that is about some calls.

    Args:
        owed: the forecast.
        names: the names of the calls.
    """
    expectations = tuple(expectation for expectation in owed.expectations if expectation.operation in names)
    addressed = {(text, rank) for text, rank in owed.unreachable if any(text.startswith(f"{name}/") for name in names)}
    return Forecast(expectations, frozenset(addressed))


def _nominal(call: BoundCall) -> Trace:
    """The calls that the protocol alone promises."""
    return Trace.nominal([call.call], call.case.groups, call.case.protocol)
