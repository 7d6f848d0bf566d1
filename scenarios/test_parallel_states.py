"""State that torch's own parallelism shards owes what other state does: DTensors loaded with other placements, a model under FSDP2 with its optimizer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness.strategies import bound_plans, guarded_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

EXAMPLES = max(8, settings.default.max_examples // 4)
"""A state of these takes ten times as long to make as others."""


@pytest.mark.parametrize("operation", ["save", "load"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_every_rank_learns_of_failures_while_dtensors_are_saved_and_resharded(ckpt_rig, operation, data):
    """On a line and on a plane of ranks, cut unevenly; what comes back is right in every element, wherever it went."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, workload="dtensor"))


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_sharded_model_and_its_optimizer_come_back_bit_equal(ckpt_rig, operation, ranks):
    """Each rank's part, and the learning rate; saved by other ranks than those that load, too."""
    ckpt_rig.check(Case(operation=operation, ranks=ranks, workload="fsdp2"))


@pytest.mark.parametrize(("workload", "staging"), [("dtensor", "writer"), ("dtensor", "engine"), ("dtensor", "background"), ("fsdp2", "background")])
def test_what_training_does_after_staging_is_not_saved(ckpt_rig, workload, staging):
    """Whoever copies the shards."""
    ckpt_rig.check(Case(operation="async_save", workload=workload, staging=staging))


@pytest.mark.parametrize("way", ["alone", "no_dist", "subgroup", "groups"])
def test_dtensors_of_a_group_are_saved_in_every_way_of_calling(ckpt_rig, way):
    """In a group of their own, by each rank for itself, and where there is no group."""
    ranks = {"alone": 1, "groups": 4}.get(way, 3)
    ckpt_rig.check(Case(ranks=ranks, workload="dtensor", way=way))
    ckpt_rig.check(Case(operation="load", ranks=ranks, workload="dtensor", way=way))
