"""A failure costs one checkpoint, not the job: the same ranks, group, writer and reader succeed once the fault is healed."""

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
def test_a_healed_fault_is_forgotten(ckpt_rig, operation, data):
    """After a failed operation the same objects save or load again, and what they save loads bit-equal."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, workload=workload))

    if result.evidence.retry is not None and not result.known:
        assert {outcome.kind for outcome in result.evidence.retry.values()} == {"returned"}
        assert not result.evidence.retry_mismatches


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_save_that_failed_is_tried_again(ckpt_rig, ranks):
    """The plain case, so that the property above cannot hold because nobody ever tried."""
    result = ckpt_rig.check(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC)"), "save", ranks))
    assert result.evidence.retry is not None
    assert len(result.evidence.retry) == ranks
