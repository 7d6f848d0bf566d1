"""Claim: with every kind of stager, the checkpoint holds the state at the time of staging, and every rank learns of a failure, except for known findings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, Delay, FailFuture, Raise
from ckpt_harness._torch import OWN_STAGER_IS_CLOSED
from ckpt_harness.faults.calling import STAGINGS
from ckpt_harness.faults.effects import SIMULABLE
from ckpt_harness.strategies import fault_plans, guarded_sites, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

EFFECTS = [effect for effect in SIMULABLE if effect is not Delay]
"""Delays cost real seconds on processes."""
CALLS = {
    "writer": ("writer.stage",),
    "engine": ("stager.stage", "stager.synchronize_staging", *(("stager.close",) if OWN_STAGER_IS_CLOSED else ())),
    "blocking": ("stager.stage",),
    "background": ("stager.stage", "stager.stage.future"),
}


@pytest.mark.parametrize("staging", STAGINGS)
@given(data=st.data())
def test_every_rank_learns_of_a_failed_upload_with_every_stager(ckpt_rig, staging, data):
    """The upload fails on any ranks while training overwrites the state: all claims of a save hold, also for both returned futures."""
    ranks = data.draw(world_sizes(3), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", sites=guarded_sites("async_save"), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload="stateful", staging=staging))


@pytest.mark.ckpt_needs("collectives")
@pytest.mark.parametrize("staging", STAGINGS)
@given(data=st.data())
def test_a_failure_of_staging_shows_known_findings_only(ckpt_rig, staging, data):
    """A failure of staging on any ranks breaks no claim in a way that is not in the findings register."""
    ranks = data.draw(world_sizes(3), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", sites=CALLS[staging], max_faults=1, effects=EFFECTS), label="failure")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload="stateful", staging=staging))
