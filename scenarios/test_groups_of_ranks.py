"""Ranks that save and load in a process group of their own: the whole claim is owed to the group, and whoever is outside is left alone."""

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
def test_a_group_learns_of_its_own_failures(ckpt_rig, way, operation, data):
    """Each rank is told of exactly the ranks of its group that failed, by their ranks within it; a group where nobody fails succeeds."""
    plans = bound_plans(op=operation, sites=guarded_sites(operation), max_ranks=5, max_faults=3, effects=(Raise, FailFuture), way=way)
    bound = data.draw(plans, label="failures")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, way=way))

    assert [one.ranks for one in result.expectations] == [group.ranks for group in bound.groups]
    for owed in result.expectations if not result.known else ():
        for rank in owed.ranks:
            error = result.outcomes[rank].error
            assert (error.failures if error else {}) == owed.failures, f"rank {rank} of {owed.ranks}: {result.outcomes[rank]}"
            assert (error is None) == (owed.ending is Ending.SUCCEEDS)


@pytest.mark.ckpt_needs("commit marker")
@pytest.mark.parametrize("effect", ["hang", "kill"])
def test_a_rank_that_one_group_loses_is_not_missed_by_the_other(ckpt_rig, effect):
    """The other group's save succeeds, and what it stored can be loaded."""
    result = ckpt_rig.check(Case(FaultPlan.parse(f"writer.write_data@2={effect}"), ranks=4, way="groups"))

    losers, winners = result.evidence.storage[result.expectation.operation]
    assert (losers.ranks, losers.committed, winners.ranks, winners.committed) == ((0, 2), False, (1, 3), True)
    assert {rank for rank, one in result.outcomes.items() if one.kind == "returned"} == {1, 3}
