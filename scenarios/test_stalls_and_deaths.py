"""Claim: if a rank hangs or dies, no rank reports success and nothing is committed. A late rank is waited for, within the group's timeout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FaultPlan, Hang, Kill, NeverComplete
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import bound_plans, coordinators, guarded_sites, storage_sites, world_sizes


@pytest.mark.ckpt_runs_in("simulated", "processes")
@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_no_rank_succeeds_if_a_rank_is_lost(ckpt_rig, operation, data):
    """Any ranks are lost at any calls: the others end with an error, or wait as the backend makes them wait, and nothing is committed."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Kill, Hang, NeverComplete)), label="losses")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator))

    if result.expectation.ending is Ending.STALLS:
        assert "returned" not in {outcome.kind for outcome in result.outcomes.values()}


@pytest.mark.ckpt_runs_in("simulated")  # where a delay of minutes takes no real time
@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_a_rank_that_is_late_within_the_timeout_is_waited_for(ckpt_rig, operation, data):
    """A rank is 15 minutes late at any call: the operation succeeds, and the checkpoint is whole."""
    ranks = data.draw(world_sizes(5).filter(lambda size: size > 1), label="ranks")
    coordinator, rank = (data.draw(coordinators(ranks), label=label) for label in ("coordinator", "rank"))
    site = data.draw(st.sampled_from(storage_sites(operation)), label="call")
    late_rank = coordinator if SITES[site].callers == "coordinator" else rank

    result = ckpt_rig.check(Case(FaultPlan.parse(f"{site}@{late_rank}=delay(900)"), operation, ranks, coordinator))

    assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}


@pytest.mark.ckpt_runs_in("simulated")  # where a delay of hours takes no real time
@pytest.mark.parametrize("fault", ["save/writer.write_data@1=delay(7200)", "load/reader.read_data@1=delay(7200)"])
def test_a_rank_that_is_late_beyond_the_timeout_is_an_error_on_the_others(ckpt_rig, fault):
    """A rank is two hours late, and collectives wait half an hour: the other ranks end with an error, and nothing is committed."""
    plan = FaultPlan.parse(fault)
    result = ckpt_rig.check(Case(plan, plan.faults[0].operation.kind, ranks=3))
    assert {result.outcomes[rank].kind for rank in (0, 2)} == {"raised"}
