"""``async_save`` owes what ``save`` owes; only, its future says it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, FaultPlan, Raise
from ckpt_harness.strategies import fault_plans, guarded_sites, world_sizes
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@given(data=st.data())
def test_the_future_of_every_rank_tells_of_every_failure(ckpt_rig, data):
    """Whatever fails while the ranks upload, each one's future raises what a plain save would have raised."""
    ranks = data.draw(world_sizes(5), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", sites=guarded_sites("async_save"), max_faults=3, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload=workload))


@given(data=st.data())
def test_an_async_save_ends_as_a_plain_save_does(ckpt_rig, data):
    """The same failures, the same exceptions on the same ranks, and the same left on storage."""
    ranks = data.draw(world_sizes(4), label="ranks")
    drawn = data.draw(fault_plans(ranks=ranks, op="save", sites=guarded_sites("save"), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    plan = FaultPlan(tuple(replace(fault, operation=None) for fault in drawn))  # addressed to no kind of operation, so it strikes both

    plain, in_background = (ckpt_rig.check(Case(plan, operation, ranks)) for operation in ("save", "async_save"))

    if not plain.known and not in_background.known:
        assert _endings(plain) == _endings(in_background)
        assert len({one.evidence.storage[one.expectation.operation][0].committed for one in (plain, in_background)}) == 1


def _endings(result):
    return {rank: (outcome.kind, outcome.error) for rank, outcome in result.outcomes.items()}
