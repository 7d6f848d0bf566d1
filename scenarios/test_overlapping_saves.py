"""Claim: two async saves at once, each in a process group of its own, do not affect each other. On one shared group they do (DCP-020)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, FaultPlan, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import fault_plans, guarded_sites, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@given(data=st.data())
def test_a_failure_of_one_save_does_not_affect_the_other_save(ckpt_rig, data):
    """After failures in either save, the ranks of that save fail, and the other checkpoint is whole."""
    ranks = data.draw(world_sizes(3), label="ranks")
    drawn = data.draw(
        fault_plans(ranks=ranks, op="async_save", sites=guarded_sites("async_save"), max_faults=2, operations=2, effects=(Raise, FailFuture)),
        label="failures",
    )
    # The calls of the two saves come in any order, so that a fault must name its save.
    plan = FaultPlan(tuple(fault for fault in drawn if fault.operation is not None))
    seed = data.draw(st.integers(0, 99), label="order")
    result = ckpt_rig.check(Case(plan, "async_save", ranks, overlap="separate", seed=seed))

    if not result.known:
        for expectation in result.evidence.forecast.expectations:
            (storage,) = result.evidence.storage[expectation.operation]
            assert storage.committed == (expectation.ending is Ending.SUCCEEDS) or storage.finish_acted


def test_two_saves_on_one_group_receive_each_others_messages(ckpt_rig):
    """Some order of the ranks shows the known finding and nothing else."""
    results = (ckpt_rig.run(Case(operation="async_save", overlap="shared", seed=seed)) for seed in range(8))
    assert any(result.known == ("DCP-020",) for result in results)


@pytest.mark.parametrize("hanging", [1, 2])
def test_a_save_that_hangs_does_not_hold_the_other_up(ckpt_rig, hanging):
    """The other save succeeds on every rank, and every rank learns so."""
    result = ckpt_rig.check(Case(FaultPlan.parse(f"async_save[{hanging}]/writer.write_data@1=hang"), "async_save", overlap="separate"))
    assert {outcome.kind for outcome in result.evidence.outcomes[f"async_save[{3 - hanging}]"].values()} == {"returned"}
    assert "returned" not in {outcome.kind for outcome in result.evidence.outcomes[f"async_save[{hanging}]"].values()}
