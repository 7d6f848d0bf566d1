"""The mission: if one rank fails while a checkpoint is saved or loaded, every rank learns of it, of who failed and of what; and nobody hangs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import bound_plans, guarded_sites
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = [pytest.mark.ckpt_runs_in("simulated", "processes"), pytest.mark.ckpt_needs("collectives")]


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_every_rank_learns_of_every_failure(ckpt_rig, operation, data):
    """Whatever fails on whichever ranks of 1 to 5, every rank is told of exactly those ranks, each with its own error."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_ranks=5, max_faults=3, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    case = Case(bound.plan, operation, bound.world_size, bound.coordinator, workload=workload)

    result = ckpt_rig.check(case)  # every claim: nobody hangs, all agree, nothing half done is committed, a retry works

    if result.expectation.ending is Ending.FAILS and not result.known:
        for rank, outcome in result.outcomes.items():
            assert outcome.error is not None, f"rank {rank} was not told: {outcome}"
            assert outcome.error.failures == result.expectation.failures
