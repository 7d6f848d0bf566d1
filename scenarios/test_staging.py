"""However the state is staged, the checkpoint holds what it was then, and a failure of staging is known or told to all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, Delay, FailFuture, Raise
from ckpt_harness.faults.calling import STAGINGS
from ckpt_harness.faults.effects import SIMULABLE
from ckpt_harness.strategies import fault_plans, guarded_sites, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

EFFECTS = [effect for effect in SIMULABLE if effect is not Delay]
"""Delays cost real seconds on processes."""
CALLS = {
    "writer": ("writer.stage",),
    "engine": ("stager.stage", "stager.synchronize_staging", "stager.close"),
    "blocking": ("stager.stage",),
    "background": ("stager.stage", "stager.stage.future"),
}


@pytest.mark.parametrize("staging", STAGINGS)
@given(data=st.data())
def test_what_fails_in_an_upload_is_told_whoever_staged(ckpt_rig, staging, data):
    """Failures of the upload on any ranks, while training overwrites the state: every claim of a plain save, on both returned futures too."""
    ranks = data.draw(world_sizes(3), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", sites=guarded_sites("async_save"), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload="stateful", staging=staging))


@pytest.mark.ckpt_needs("collectives")
@pytest.mark.parametrize("staging", STAGINGS)
@given(data=st.data())
def test_what_fails_while_staging_is_known(ckpt_rig, staging, data):
    """A failure of staging on any ranks breaks claims in no other way than the register says."""
    ranks = data.draw(world_sizes(3), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", sites=CALLS[staging], max_faults=1, effects=EFFECTS), label="failure")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload="stateful", staging=staging))
