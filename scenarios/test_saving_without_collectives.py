"""``use_collectives=False``: a rank that fails raises its own error, and what reads as a checkpoint is whole. That the others wait is DCP-012."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import fault_plans, storage_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "async_save"])
@given(data=st.data())
def test_who_fails_says_so(ckpt_rig, operation, data):
    """With its own error, whatever that is, since nothing is sent; a place counts as committed only where every rank has committed its part."""
    plans = fault_plans(ranks=3, op=operation, sites=storage_sites(operation), max_faults=3, effects=(Raise, FailFuture), way="no_collectives")
    plan = data.draw(plans, label="failures")

    result = ckpt_rig.check(Case(plan, operation, ranks=3, way="no_collectives"))

    (owed,), (left,) = result.expectations, result.evidence.storage[result.expectation.operation]
    if owed.ending is Ending.FAILS and "DCP-005" not in result.known and "DCP-011" not in result.known:
        assert {rank: result.outcomes[rank].error for rank in owed.failures} == owed.failures
        assert left.committed == left.finish_acted


@given(data=st.data())
def test_a_load_of_it_fails_as_any_other(ckpt_rig, data):
    """Nobody can ask a load to go without collectives, so it owes the whole claim; where it breaks it, that is DCP-003 and DCP-013."""
    plans = fault_plans(ranks=3, op="load", max_faults=2, effects=(Raise, FailFuture), way="no_collectives")
    ckpt_rig.check(Case(data.draw(plans, label="failures"), "load", ranks=3, way="no_collectives"))
