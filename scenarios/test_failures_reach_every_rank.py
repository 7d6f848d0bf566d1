"""The main claim: if one rank fails during a save or a load, every rank learns of the failure, of the rank and of the cause, and no rank hangs."""

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
    """After any failures on any of 1 to 5 ranks, the exception on every rank names exactly the failed ranks, each with its own error."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_ranks=5, max_faults=3, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    case = Case(bound.plan, operation, bound.world_size, bound.coordinator, workload=workload)

    result = ckpt_rig.check(case)  # checks every claim: no hang, all ranks agree, no partial commit, a retry works

    if result.expectation.ending is Ending.FAILS and not result.known:
        for rank, outcome in result.outcomes.items():
            assert outcome.error is not None, f"rank {rank} did not learn of the failure: {outcome}"
            assert outcome.error.failures == result.expectation.failures
