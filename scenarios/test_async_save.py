"""Claim: ``async_save`` keeps every claim that ``save`` keeps; the failure is raised by the returned future."""

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
def test_the_future_of_every_rank_raises_every_failure(ckpt_rig, data):
    """After any failure during the upload, the future of each rank raises the exception that a plain save would have raised."""
    ranks = data.draw(world_sizes(5), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", sites=guarded_sites("async_save"), max_faults=3, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload=workload))


@given(data=st.data())
def test_an_async_save_ends_as_a_plain_save_does(ckpt_rig, data):
    """The same failures lead to the same exceptions on the same ranks, and to the same commit on storage."""
    ranks = data.draw(world_sizes(4), label="ranks")
    drawn = data.draw(fault_plans(ranks=ranks, op="save", sites=guarded_sites("save"), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    plan = FaultPlan(tuple(replace(fault, operation=None) for fault in drawn))  # without a kind of operation, so that the plan fits both

    plain, in_background = (ckpt_rig.check(Case(plan, operation, ranks)) for operation in ("save", "async_save"))

    if not plain.known and not in_background.known:
        assert _endings(plain) == _endings(in_background)
        assert _committed(plain) == _committed(in_background)


def _endings(result):
    return {rank: (outcome.kind, outcome.error) for rank, outcome in result.outcomes.items()}


def _committed(result):
    (storage,) = result.evidence.storage[result.expectation.operation]
    return storage.committed
