"""Claim: with ``use_collectives=False``, a rank that fails raises its own error, and a committed checkpoint is whole. The other ranks hang (DCP-012)."""

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
def test_a_rank_that_fails_raises_its_own_error(ckpt_rig, operation, data):
    """Any error arrives unchanged, since nothing is sent. The checkpoint counts as committed only if every rank has committed its part."""
    plans = fault_plans(ranks=3, op=operation, sites=storage_sites(operation), max_faults=3, effects=(Raise, FailFuture), way="no_collectives")
    plan = data.draw(plans, label="failures")

    result = ckpt_rig.check(Case(plan, operation, ranks=3, way="no_collectives"))

    (expectation,), (storage,) = result.expectations, result.evidence.storage[result.expectation.operation]
    if expectation.ending is Ending.FAILS and "DCP-005" not in result.known and "DCP-011" not in result.known:
        assert {rank: result.outcomes[rank].error for rank in expectation.failures} == expectation.failures
        assert storage.committed == storage.finish_acted


@given(data=st.data())
def test_a_load_of_such_a_checkpoint_keeps_all_claims(ckpt_rig, data):
    """``load`` has no option to go without collectives, so all claims are asked of it (DCP breaks some: DCP-003 and DCP-013)."""
    plans = fault_plans(ranks=3, op="load", max_faults=2, effects=(Raise, FailFuture), way="no_collectives")
    ckpt_rig.check(Case(data.draw(plans, label="failures"), "load", ranks=3, way="no_collectives"))
