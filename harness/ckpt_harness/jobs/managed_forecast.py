"""How the calls of a manager have to end.

What a manager calls beneath, and in which order, is its own affair. So the model goes by the protocol alone; where a fault has fired that the protocol does
not foresee (below the storage, in a collective, at an item), or has not fired where the protocol calls, any ending is right.
"""

from __future__ import annotations

import dataclasses

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.faults.fault import Fault
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.fault_classes import LOST, class_of
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.judging.expectation import Acting, Ending, Expectation
from ckpt_harness.judging.model import forecast as forecast_of
from ckpt_harness.judging.trace import Trace

_JOINED = ("writer", "reader", "save_planner", "load_planner", "fs")
"""Sides of the sites at which DCP catches an error and tells all ranks, if the site is guarded or lies below one that is."""


def owed_with_manager(run: JobRun) -> dict[int, tuple[Expectation, ...]]:
    """Returns how each call of a manager has to end, by the index of its operation.

    Args:
        run: the job, which has ended.
    """
    fired = {firing for life in run.lives.values() for firing in life.fired}
    return {
        index: _owed(call, {(text, rank) for text, rank, name in fired if name == call.call})
        for index, call in run.bound.calls.items()
        if run.records[index].prepared
    }


def _owed(call: BoundCall, fired: set[tuple[str, int]]) -> tuple[Expectation, ...]:
    """How a call has to end.

    Args:
        call: the call.
        fired: (text of the fault, rank) of each fault that fired in it.
    """
    plan = call.case.plan
    forecast = forecast_of(plan, Trace.nominal([call.call], call.case.groups, call.case.protocol), timeout=GROUP_TIMEOUT)
    foreseen = {due for expectation in forecast.expectations for due in expectation.must_fire}
    struck = {str(bound.fault): bound for bound in plan.faults}
    unseen = {(text, rank) for text, rank in forecast.unreachable - fired if not struck[text].fault.optional}
    acted = [Acting(struck[text], rank) for text, rank in sorted(fired)]
    owed = tuple(dataclasses.replace(each, must_fire=each.must_fire | unseen) for each in forecast.expectations)
    if foreseen == fired:
        return owed
    return tuple(_open(each, acted) if each.exact or not _has_happened(each, fired) else each for each in owed)


def _has_happened(owed: Expectation, fired: set[tuple[str, int]]) -> bool:
    """Whether every fault has fired that is to decide how a call ends."""
    return all((str(acting.bound.fault), acting.rank) in fired for acting in owed.decisive)


def _is_told_to_all(fault: Fault) -> bool:
    """Whether DCP tells all ranks of the error that a fault leads to."""
    error = class_of(fault) in ("error", LOST)
    return error and fault.at.side in _JOINED and (fault.at.guarded or fault.at.layer == "disk")


def _open(owed: Expectation, acted: list[Acting]) -> Expectation:
    """How a call has to end that may end in any way.

    Args:
        owed: how it had to end by the protocol alone.
        acted: the faults that have fired in it.
    """
    return dataclasses.replace(
        owed,
        ending=Ending.UNDETERMINED,
        step="",
        failures={},
        agreement=owed.agreement and all(_is_told_to_all(acting.bound.fault) for acting in acted),
        decisive=tuple(acted),
        deceived=any(class_of(acting.bound.fault) in ("lie", "damage") for acting in acted),
    )
