"""Two async saves under way at once, each in a group of its own, are two saves: neither notices the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, FaultPlan, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import fault_plans, guarded_sites, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@given(data=st.data())
def test_what_fails_in_one_is_told_of_that_one_alone(ckpt_rig, data):
    """Failures in either save: its own ranks are told, and the other is saved whole."""
    ranks = data.draw(world_sizes(3), label="ranks")
    struck = data.draw(
        fault_plans(ranks=ranks, op="async_save", sites=guarded_sites("async_save"), max_faults=2, operations=2, effects=(Raise, FailFuture)),
        label="failures",
    )
    plan = FaultPlan(tuple(fault for fault in struck if fault.operation is not None))  # calls of the two come in any order
    seed = data.draw(st.integers(0, 99), label="order")
    result = ckpt_rig.check(Case(plan, "async_save", ranks, overlap="separate", seed=seed))

    if not result.known:
        for expectation in result.evidence.forecast.expectations:
            (storage,) = result.evidence.storage[expectation.operation]
            assert storage.committed == (expectation.ending is Ending.SUCCEEDS) or storage.finish_acted


def test_on_one_group_they_take_each_others_messages(ckpt_rig):
    """Some order of the ranks shows the known finding, and none shows anything beside it."""
    assert any(ckpt_rig.run(Case(operation="async_save", overlap="shared", seed=seed)).known == ("DCP-020",) for seed in range(8))
