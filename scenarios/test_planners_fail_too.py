"""Claim: an error in a planner reaches every rank, as an error in the storage does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FaultPlan, Raise
from ckpt_harness.strategies import bound_plans, coordinators, errors, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

PLANNERS = {
    "save": ("save_planner.set_up_planner", "save_planner.create_local_plan", "save_planner.create_global_plan", "save_planner.finish_plan"),
    "load": ("load_planner.set_up_planner", "load_planner.create_local_plan", "load_planner.create_global_plan", "load_planner.finish_plan"),
}
ITEMS = {
    "save": ("save_planner.resolve_data",),
    "load": ("load_planner.load_bytes", "load_planner.resolve_tensor", "load_planner.commit_tensor"),
}


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_every_rank_learns_of_a_planner_that_fails(ckpt_rig, operation, data):
    """Any planner method fails on any ranks: every rank learns of the error."""
    bound = data.draw(bound_plans(op=operation, sites=PLANNERS[operation], effects=(Raise,), max_faults=2), label="failures")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator))


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_every_rank_learns_of_one_item_that_fails(ckpt_rig, operation, data):
    """An error for one item, inside ``write_data`` or ``read_data``. The fault is optional (``?``), since a rank may have fewer items."""
    ranks = data.draw(world_sizes(5), label="ranks")
    coordinator, rank = (data.draw(coordinators(ranks), label=label) for label in ("coordinator", "rank"))
    site, nth = data.draw(st.sampled_from(ITEMS[operation]), label="call"), data.draw(st.integers(1, 3), label="item")
    error = data.draw(errors(), label="error")
    plan = FaultPlan.parse(f"{site}@{rank}#{nth}=raise({error})?")
    ckpt_rig.check(Case(plan, operation, ranks, coordinator))
