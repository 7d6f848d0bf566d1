"""Claim: all claims hold for sharded state: DTensors that are loaded with other placements, and a model under FSDP2 with its optimizer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness.strategies import bound_plans, guarded_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

EXAMPLES = max(8, settings.default.max_examples // 4)
"""Fewer examples than elsewhere: it takes ten times as long to make such a state."""


@pytest.mark.parametrize("operation", ["save", "load"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_every_rank_learns_of_failures_while_dtensors_are_saved_and_resharded(ckpt_rig, operation, data):
    """On device meshes of one and two dimensions, with uneven shards; every loaded element is right, on whichever rank."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, workload="dtensor"))


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_sharded_model_and_its_optimizer_come_back_bit_equal(ckpt_rig, operation, ranks):
    """Each rank's shards and the learning rate, also if the number of ranks differs between save and load."""
    ckpt_rig.check(Case(operation=operation, ranks=ranks, workload="fsdp2"))


@pytest.mark.parametrize(("workload", "staging"), [("dtensor", "writer"), ("dtensor", "engine"), ("dtensor", "background"), ("fsdp2", "background")])
def test_changes_after_staging_are_not_saved(ckpt_rig, workload, staging):
    """Training overwrites the shards after staging; the checkpoint holds the old values, for each kind of stager."""
    ckpt_rig.check(Case(operation="async_save", workload=workload, staging=staging))


@pytest.mark.parametrize("way", ["alone", "no_dist", "subgroup", "groups"])
def test_dtensors_are_saved_and_loaded_in_every_way_of_calling(ckpt_rig, way):
    """In a process group of their own, by each rank for itself, and without a process group."""
    ranks = {"alone": 1, "groups": 4}.get(way, 3)
    ckpt_rig.check(Case(ranks=ranks, workload="dtensor", way=way))
    ckpt_rig.check(Case(operation="load", ranks=ranks, workload="dtensor", way=way))
