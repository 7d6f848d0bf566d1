"""The claims are about DCP, not about one storage: an object store without directories or renames owes the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Kill, Raise
from ckpt_harness.strategies import bound_plans, guarded_sites
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated")  # memory:// is one store a process


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_an_object_store_owes_the_same(ckpt_rig, operation, data):
    """On fsspec's ``memory://``, failing or losing ranks of 1 to 5."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=3, effects=(Raise, FailFuture, Kill)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, "fsspec-memory", workload))
