"""What reads as a checkpoint is one: after a failure there is no new commit marker, and what was committed before is untouched."""

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
    """However a save is cut short: either nothing reads as its checkpoint, or all of it loads bit-equal; and the previous one is as it was."""
    bound = data.draw(bound_plans(op="save", sites=guarded_sites("save"), max_faults=3, effects=LOSSES), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")

    result = ckpt_rig.check(Case(bound.plan, "save", bound.world_size, bound.coordinator, workload=workload))

    left = result.evidence.storage[result.expectation.operation][0]
    assert not left.damaged
    assert not left.committed or (left.finish_acted and not any(left.mismatches.values()))


@pytest.mark.ckpt_needs("commit marker")
@pytest.mark.parametrize("fault", ["prepare_local_plan@{}=raise", "write_data@{}=raise", "write_data.future@{}=failfuture", "write_data@{}=kill"])
@given(data=st.data())
def test_one_lost_rank_is_enough_to_commit_nothing(ckpt_rig, fault, data):
    """Whichever rank it is, in a world of whatever size, whoever coordinates."""
    ranks = data.draw(world_sizes(5), label="ranks")
    coordinator, victim = (data.draw(coordinators(ranks), label=label) for label in ("coordinator", "victim"))

    result = ckpt_rig.check(Case(FaultPlan.parse(f"writer.{fault.format(victim)}"), "save", ranks, coordinator))

    assert result.evidence.storage[result.expectation.operation][0].committed is False
