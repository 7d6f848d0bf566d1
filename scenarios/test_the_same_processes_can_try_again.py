"""Claim: a failure costs one checkpoint, not the job. Once the fault is healed, the same ranks, process group, writer and reader succeed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, FaultPlan, Raise
from ckpt_harness.strategies import bound_plans, guarded_sites
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_a_retry_succeeds_after_any_failure(ckpt_rig, operation, data):
    """After a failed operation, the same objects save or load again, and the new checkpoint loads bit-equal."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, workload=workload))

    if result.evidence.retry is not None and not result.known:
        assert {outcome.kind for outcome in result.evidence.retry.values()} == {"returned"}
        assert not result.evidence.retry_mismatches


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_failed_save_is_retried(ckpt_rig, ranks):
    """A retry really takes place; without this test, the test above could pass without any retry."""
    result = ckpt_rig.check(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC)"), "save", ranks))
    assert result.evidence.retry is not None
    assert len(result.evidence.retry) == ranks
