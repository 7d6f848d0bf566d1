"""Claim: without a process group, the only process learns of every failure as rank 0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import fault_plans, guarded_sites
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "async_save", "load"])
@given(data=st.data())
def test_the_only_process_learns_of_every_failure(ckpt_rig, operation, data):
    """Even an error that cannot be unpickled arrives unchanged, since nothing is sent between ranks."""
    plan = data.draw(fault_plans(ranks=1, op=operation, sites=guarded_sites(operation), max_faults=3, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")

    result = ckpt_rig.check(Case(plan, operation, ranks=1, workload=workload, way="alone"))

    if result.expectation.ending is Ending.FAILS and not result.known:
        assert set(result.outcomes[0].error.failures) == {0}
