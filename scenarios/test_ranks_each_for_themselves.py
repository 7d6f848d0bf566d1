"""``no_dist`` within a process group: each rank saves or loads for itself, is told of itself alone, and disturbs nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import fault_plans, guarded_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "async_save", "load"])
@given(data=st.data())
def test_a_failure_is_its_own_ranks_affair(ckpt_rig, operation, data):
    """A rank that fails raises its own error, as rank 0 of the one-rank operation that it is; all others succeed."""
    plans = fault_plans(ranks=3, op=operation, sites=guarded_sites(operation), max_faults=3, effects=(Raise, FailFuture), way="no_dist")
    plan = data.draw(plans, label="failures")

    result = ckpt_rig.check(Case(plan, operation, ranks=3, way="no_dist"))

    for owed in result.expectations if not result.known else ():
        (rank,) = owed.ranks
        error = result.outcomes[rank].error
        assert (error.failures if error else {}) == owed.failures
        assert set(owed.failures) == ({0} if owed.ending is Ending.FAILS else set())
