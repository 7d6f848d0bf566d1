"""Does the tool ever cry wolf? On an engine without its known findings, no claim is violated, with an empty register: the model is exact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from planting import OtherSourceError
from repairs import repaired

from harness.campaign import Sweep
from harness.case import Case, CaseResult
from harness.effects import Raise
from harness.findings.register import Register
from harness.plan import BoundPlan, FaultPlan
from harness.rig import Rig
from harness.sites import OperationKind
from harness.strategies import bound_plans, storage_sites
from harness.verdict import Verdict


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Runs cases on the repaired engine, which no finding excuses."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(repaired())
        except OtherSourceError as error:
            pytest.skip(f"this torch reads differently: {error}")
        yield stack.enter_context(Rig(register=Register()))


def _wrong(result: CaseResult) -> list[str]:
    return [] if result.verdict is Verdict.HOLDS else [result.case.replay_line(), *result.complaints()]


SWEEPS = {
    "save, 2 ranks, rank 0 coordinates": Sweep(("save",), (2,)),
    "save, 2 ranks, rank 1 coordinates": Sweep(("save",), (2,), (1,), workload="objects"),
    "load, 2 ranks, rank 0 coordinates": Sweep(("load",), (2,)),
    "load, 2 ranks, rank 1 coordinates": Sweep(("load",), (2,), (1,), workload="objects"),
    "save, 3 ranks, rank 2 coordinates": Sweep(("save",), (3,), (2,), workload="replicated"),
    "load, 3 ranks, rank 2 coordinates": Sweep(("load",), (3,), (2,), workload="sharded"),
}


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
def test_no_single_fault_violates_a_claim(sweep: Sweep, rig: Rig) -> None:
    """Every reachable cell, plain and with a sample of the zoo: not one case is violated, unknown or vacuous."""
    cases = [case for ground in sweep.grounds() for case in sweep.cases(rig, ground)]
    assert len(cases) > 200
    assert [wrong for case in cases if (wrong := _wrong(rig.run(case)))] == []


def test_the_repairs_are_what_makes_the_difference() -> None:
    """The engine as it is breaks claims that the repaired one keeps."""
    unpicklable = Case(FaultPlan.parse("writer.write_data@1=raise(unpicklable)"))
    with Rig(register=Register()) as rig:
        assert rig.run(unpicklable).verdict is Verdict.VIOLATED
        with repaired():
            assert rig.run(unpicklable).verdict is Verdict.HOLDS
        assert rig.run(unpicklable).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("op", ["save", "load"])
def test_no_combination_of_faults_violates_a_claim(op: OperationKind, rig: Rig) -> None:
    """Several faults of every kind, on up to four ranks with any coordinator."""

    @given(bound=bound_plans(max_ranks=4, op=op))
    @settings(max_examples=max(150, settings().max_examples))
    def search(bound: BoundPlan) -> None:
        optional = FaultPlan.parse("; ".join(f"{fault}".rstrip("?") + "?" for fault in bound.plan))
        case = Case(optional, op, bound.world_size, bound.coordinator, workload="mixed")
        assert _wrong(rig.run(case)) == []

    search()


@pytest.mark.parametrize("op", ["save", "load"])
def test_no_combination_of_errors_violates_a_claim(op: OperationKind, rig: Rig) -> None:
    """Several errors of the zoo, where the model is exact: who is named, for what, and in which protocol step."""

    @given(bound=bound_plans(max_ranks=3, op=op, max_faults=4, effects=(Raise,), sites=[site for site in storage_sites(op) if not site.endswith(".future")]))
    @settings(max_examples=max(100, settings().max_examples))
    def search(bound: BoundPlan) -> None:
        optional = FaultPlan.parse("; ".join(f"{fault}".rstrip("?") + "?" for fault in bound.plan))
        assert _wrong(rig.run(Case(optional, op, bound.world_size, bound.coordinator, workload="objects"))) == []

    search()
