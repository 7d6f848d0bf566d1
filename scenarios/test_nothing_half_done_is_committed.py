"""Claim: a commit marker means a whole checkpoint. After a failed save there is no new marker, and older checkpoints are untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, FaultPlan, Hang, Kill, NeverComplete, Raise
from ckpt_harness.strategies import bound_plans, coordinators, guarded_sites, world_sizes
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

LOSSES = (Raise, FailFuture, Kill, Hang, NeverComplete)


@pytest.mark.ckpt_needs("commit marker")
@given(data=st.data())
def test_a_commit_marker_means_a_whole_checkpoint(ckpt_rig, data):
    """However a save ends early, its checkpoint has no commit marker, or loads bit-equal; and the previous checkpoint is unchanged."""
    bound = data.draw(bound_plans(op="save", sites=guarded_sites("save"), max_faults=3, effects=LOSSES), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")

    result = ckpt_rig.check(Case(bound.plan, "save", bound.world_size, bound.coordinator, workload=workload))

    storage = result.evidence.storage[result.expectation.operation][0]
    assert not storage.damaged
    assert not storage.committed or (storage.finish_acted and not any(storage.mismatches.values()))


@pytest.mark.ckpt_needs("commit marker")
@pytest.mark.parametrize("fault", ["prepare_local_plan@{}=raise", "write_data@{}=raise", "write_data.future@{}=failfuture", "write_data@{}=kill"])
@given(data=st.data())
def test_nothing_is_committed_without_every_rank(ckpt_rig, fault, data):
    """If one rank fails or dies, nothing is committed, whatever the rank, the coordinator and the number of ranks."""
    ranks = data.draw(world_sizes(5), label="ranks")
    coordinator, victim = (data.draw(coordinators(ranks), label=label) for label in ("coordinator", "victim"))

    result = ckpt_rig.check(Case(FaultPlan.parse(f"writer.{fault.format(victim)}"), "save", ranks, coordinator))

    assert result.evidence.storage[result.expectation.operation][0].committed is False
