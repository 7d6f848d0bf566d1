"""Claim: for ranks that save or load in a process group of their own, every claim holds within the group, and ranks outside the group are not affected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, FaultPlan, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import bound_plans, guarded_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("way", ["subgroup", "groups"])
@given(data=st.data())
def test_every_rank_of_a_group_learns_of_the_failures_in_the_group(ckpt_rig, way, operation, data):
    """The exception names exactly the failed ranks of the group, by their rank within the group; a group without a failure succeeds."""
    plans = bound_plans(op=operation, sites=guarded_sites(operation), max_ranks=5, max_faults=3, effects=(Raise, FailFuture), way=way)
    bound = data.draw(plans, label="failures")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, way=way))

    assert [expectation.ranks for expectation in result.expectations] == [group.ranks for group in bound.groups]
    for expectation in result.expectations if not result.known else ():
        for rank in expectation.ranks:
            error = result.outcomes[rank].error
            assert (error.failures if error else {}) == expectation.failures, f"rank {rank} of {expectation.ranks}: {result.outcomes[rank]}"
            assert (error is None) == (expectation.ending is Ending.SUCCEEDS)


@pytest.mark.ckpt_needs("commit marker")
@pytest.mark.parametrize("effect", ["hang", "kill"])
def test_a_lost_rank_of_one_group_does_not_affect_the_other_group(ckpt_rig, effect):
    """The save of the other group succeeds, and its checkpoint can be loaded."""
    result = ckpt_rig.check(Case(FaultPlan.parse(f"writer.write_data@2={effect}"), ranks=4, way="groups"))

    with_loss, without_loss = result.evidence.storage[result.expectation.operation]
    assert (with_loss.ranks, with_loss.committed) == ((0, 2), False)
    assert (without_loss.ranks, without_loss.committed) == ((1, 3), True)
    assert {rank for rank, outcome in result.outcomes.items() if outcome.kind == "returned"} == {1, 3}
