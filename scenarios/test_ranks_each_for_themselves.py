"""Claim: with ``no_dist=True`` in a process group, each rank saves or loads for itself, and a failure affects its own rank only."""

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
def test_a_failure_affects_its_own_rank_only(ckpt_rig, operation, data):
    """A rank that fails raises its own error, as rank 0 of an operation with one rank; all other ranks succeed."""
    plans = fault_plans(ranks=3, op=operation, sites=guarded_sites(operation), max_faults=3, effects=(Raise, FailFuture), way="no_dist")
    plan = data.draw(plans, label="failures")

    result = ckpt_rig.check(Case(plan, operation, ranks=3, way="no_dist"))

    for expectation in result.expectations if not result.known else ():
        (rank,) = expectation.ranks
        error = result.outcomes[rank].error
        assert (error.failures if error else {}) == expectation.failures
        assert set(expectation.failures) == ({0} if expectation.ending is Ending.FAILS else set())
