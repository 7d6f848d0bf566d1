"""Claim: DCP keeps the same claims on an object store without directories and renames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Kill, Raise
from ckpt_harness.strategies import bound_plans, guarded_sites
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated")  # each process has a memory:// store of its own


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_all_claims_hold_on_an_object_store(ckpt_rig, operation, data):
    """On fsspec's ``memory://``, if any of 1 to 5 ranks fail or die."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=3, effects=(Raise, FailFuture, Kill)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, "fsspec-memory", workload))
