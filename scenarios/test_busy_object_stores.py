"""Claim: if an object store is busy, cuts connections or loses answers, the client retries, or the operation fails on all ranks. No checkpoint is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_harness import Case
from ckpt_harness.faults.effects import CutBody, Reset, Status
from ckpt_harness.strategies import bound_plans, network_sites

pytest.importorskip("s3fs", reason="needs the extra s3: pip install 'ckpt-harness[s3]'")

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "load"])
@settings(max_examples=6)  # a client's retries take real seconds
@given(data=st.data())
def test_a_failed_request_is_retried_or_reported_to_all_ranks(ckpt_rig, operation, data):
    """Any requests of any ranks fail, once or always, before or after the store has acted."""
    drawn = bound_plans(op=operation, sites=network_sites(operation), max_ranks=3, effects=(Status, Reset, CutBody))
    bound = data.draw(drawn, label="failures")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, "fsspec-s3", "objects"))
