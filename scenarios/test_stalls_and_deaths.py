"""A rank that hangs, dies or comes late cannot be told of by an exception of its own; yet nobody may report success."""

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
def test_nobody_succeeds_beside_a_lost_rank(ckpt_rig, operation, data):
    """Whoever is lost at whichever call: the others end with some error or wait as the backend does, and nothing is committed."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Kill, Hang, NeverComplete)), label="losses")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator))

    if result.expectation.ending is Ending.STALLS:
        assert "returned" not in {outcome.kind for outcome in result.outcomes.values()}


@pytest.mark.ckpt_runs_in("simulated")  # where minutes cost nothing
@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_a_rank_that_is_late_within_the_timeout_is_waited_for(ckpt_rig, operation, data):
    """Minutes late, at any call on any rank: the operation succeeds, and all of it is there."""
    ranks = data.draw(world_sizes(5).filter(lambda size: size > 1), label="ranks")
    coordinator, rank = (data.draw(coordinators(ranks), label=label) for label in ("coordinator", "rank"))
    site = data.draw(st.sampled_from(storage_sites(operation)), label="call")
    late = coordinator if SITES[site].callers == "coordinator" else rank

    result = ckpt_rig.check(Case(FaultPlan.parse(f"{site}@{late}=delay(900)"), operation, ranks, coordinator))

    assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}


@pytest.mark.ckpt_runs_in("simulated")  # likewise
@pytest.mark.parametrize("fault", ["save/writer.write_data@1=delay(7200)", "load/reader.read_data@1=delay(7200)"])
def test_a_rank_that_is_late_beyond_the_timeout_is_an_error_for_its_peers(ckpt_rig, fault):
    """Two hours late, where a collective waits half an hour: the others end with an error, and nothing is committed."""
    plan = FaultPlan.parse(fault)
    result = ckpt_rig.check(Case(plan, plan.faults[0].operation.kind, ranks=3))
    assert {result.outcomes[rank].kind for rank in (0, 2)} == {"raised"}
