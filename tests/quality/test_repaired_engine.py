"""No false alarms: on DCP without its known findings, and with an empty register, no claim is violated. So the model is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from repairs import repaired

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.effects import Raise
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.strategies import bound_plans, disk_sites, storage_sites

pytestmark = pytest.mark.usefixtures("silence")


SWEEPS = {
    "save, 2 ranks, rank 0 coordinates": Sweep(("save",), (2,)),
    "save, 2 ranks, rank 1 coordinates": Sweep(("save",), (2,), (1,), workload="objects"),
    "load, 2 ranks, rank 0 coordinates": Sweep(("load",), (2,)),
    "load, 2 ranks, rank 1 coordinates": Sweep(("load",), (2,), (1,), workload="objects"),
}
PARTS = {
    "save, 3 ranks, rank 2 coordinates": Sweep(("save",), (3,), (2,)),
    "load, 3 ranks, rank 1 coordinates": Sweep(("load",), (3,), (1,)),
}


NOT_REPAIRED = ("raise(StopIteration)", "raise(queue.Empty)")
"""Errors of ``save_planner.resolve_data`` that DCP mistakes (DCP-011, DCP-016). DCP calls it in a generator, out of which Python lets no StopIteration."""


def _repaired_cases(sweep: Sweep, rig: Rig) -> list[Case]:
    """The cases of a sweep, without those of findings that the repairs leave."""
    cases = [case for ground in sweep.grounds() for case in sweep.cases(rig, ground)]
    return [case for case in cases if not any(fault.site == "save_planner.resolve_data" and str(fault.effect) in NOT_REPAIRED for fault in case.plan)]


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
def test_no_single_fault_violates_a_claim(sweep: Sweep, rig: Rig) -> None:
    """Every reachable cell, with a plain error and with a sample of other errors: no case is VIOLATED, UNKNOWN or VACUOUS."""
    cases = _repaired_cases(sweep, rig)
    assert len(cases) > 200
    for case in cases:
        rig.run(case).check()


@pytest.mark.parametrize("sweep", PARTS.values(), ids=PARTS)
def test_no_fault_on_three_ranks_violates_a_claim(sweep: Sweep, rig: Rig) -> None:
    """Every seventh case of larger sweeps: three ranks, and a coordinator other than rank 0."""
    cases = _repaired_cases(sweep, rig)[::7]
    assert len(cases) > 50
    for case in cases:
        rig.run(case).check()


def test_the_repairs_make_the_difference() -> None:
    """DCP breaks a claim without the repairs, and keeps the claim with the repairs."""
    unpicklable = Case(FaultPlan.parse("writer.write_data@1=raise(unpicklable)"))
    with Rig(register=Register()) as rig:
        assert rig.run(unpicklable).verdict is Verdict.VIOLATED
        with repaired():
            assert rig.run(unpicklable).verdict is Verdict.HOLDS
        assert rig.run(unpicklable).verdict is Verdict.VIOLATED


def _case(bound: BoundPlan, op: OperationKind, workload: str) -> Case:
    """A case whose faults are optional: a drawn plan may name a call that does not happen."""
    plan = FaultPlan(tuple(replace(fault, optional=True) for fault in bound.plan))
    return Case(plan, op, bound.world_size, bound.coordinator, workload=workload)


@pytest.mark.parametrize("op", ["save", "load"])
def test_no_combination_of_faults_violates_a_claim(op: OperationKind, rig: Rig) -> None:
    """Several faults of every kind, on up to four ranks with any coordinator."""

    @given(bound=bound_plans(max_ranks=4, op=op))
    @settings(max_examples=max(100, settings().max_examples))
    def search(bound: BoundPlan) -> None:
        rig.run(_case(bound, op, "mixed")).check()

    search()


@pytest.mark.parametrize("op", ["save", "load"])
def test_no_combination_of_errors_violates_a_claim(op: OperationKind, rig: Rig) -> None:
    """Several errors of all kinds: the named ranks, their errors and the protocol step are exactly as the model says."""

    @given(
        bound=bound_plans(
            max_ranks=3, op=op, max_faults=4, effects=(Raise,), sites=[site for site in storage_sites(op) if not site.endswith(".future")]
        )
    )
    @settings(max_examples=max(60, settings().max_examples))
    def search(bound: BoundPlan) -> None:
        rig.run(_case(bound, op, "objects")).check()

    search()


@pytest.mark.parametrize("op", ["save", "load"])
def test_no_combination_with_faults_of_collectives_violates_a_claim(op: OperationKind, rig: Rig) -> None:
    """Faults at the storage, on the disk and in collectives, also on a rank that fails in the same protocol step."""
    collectives = ("pg.gather", "pg.scatter", "pg.broadcast", "pg.all_gather")

    @given(bound=bound_plans(max_ranks=3, op=op, sites=(*storage_sites(op), *collectives, *disk_sites(op))))
    @settings(max_examples=max(60, settings().max_examples))
    def search(bound: BoundPlan) -> None:
        rig.run(_case(bound, op, "objects")).check()

    search()
