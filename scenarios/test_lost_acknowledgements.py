"""Claim: if a storage call acts and then raises (a lost acknowledgement), every rank fails, and storage holds the old or the new checkpoint, whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FaultPlan
from ckpt_harness.faults.sites import SITES
from ckpt_harness.strategies import coordinators, errors, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

CALLS = {
    "save": ("writer.set_up_storage_writer", "writer.prepare_local_plan", "writer.prepare_global_plan", "writer.write_data", "writer.finish"),
    "load": ("reader.set_up_storage_reader", "reader.prepare_local_plan", "reader.prepare_global_plan", "reader.read_data"),
}


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_every_rank_learns_of_a_call_that_acted_and_then_failed(ckpt_rig, operation, data):
    """One call on one rank acts and then raises: every rank fails, and the checkpoint on storage is the old or the new one, whole."""
    ranks = data.draw(world_sizes(5), label="ranks")
    coordinator, rank = (data.draw(coordinators(ranks), label=label) for label in ("coordinator", "rank"))
    site = data.draw(st.sampled_from(CALLS[operation]), label="call")
    error = data.draw(errors(), label="error")
    victim = coordinator if SITES[site].callers == "coordinator" else rank

    ckpt_rig.check(Case(FaultPlan.parse(f"{site}@{victim}!after=raise({error})"), operation, ranks, coordinator))


@pytest.mark.ckpt_needs("commit marker")
@pytest.mark.parametrize("coordinator", [0, 1, 2])
def test_a_commit_whose_acknowledgement_is_lost_can_be_loaded(ckpt_rig, coordinator):
    """The save fails on all ranks, although the checkpoint was committed; the checkpoint loads bit-equal."""
    result = ckpt_rig.check(Case(FaultPlan.parse("writer.finish@coordinator!after=raise(OSError:EIO)"), "save", 3, coordinator))

    storage = result.evidence.storage[result.expectation.operation][0]
    assert {outcome.kind for outcome in result.outcomes.values()} == {"raised"}
    assert storage.committed
    assert storage.mismatches
    assert not any(storage.mismatches.values())
