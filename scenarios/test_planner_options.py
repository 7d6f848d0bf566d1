"""Claim: all claims hold with every option of DCP's own planners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FailFuture, Raise
from ckpt_harness._torch import PLAN_CACHE_SURVIVES_FAILURES
from ckpt_harness.engines.dcp import PLANNERS
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.strategies import bound_plans, storage_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

UNUSED = "load_planner.resolve_bytes"
"""``FileSystemReader`` never calls this method."""
PLANNING = {
    operation: [name for name, site in SITES.items() if site.side == f"{operation}_planner" and name != UNUSED] for operation in ("save", "load")
}


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("planner", sorted(set(PLANNERS) - {"default"} - (set() if PLAN_CACHE_SURVIVES_FAILURES else {"plan-caching"})))
@given(data=st.data())
def test_every_rank_learns_of_every_failure(ckpt_rig, planner, operation, data):
    """Errors of the storage and of the planner reach all ranks, and a retry works, with cached plans too (except for DCP-014)."""
    sites = [name for name in (*storage_sites(operation), *PLANNING[operation]) if SITES[name].guarded]
    bound = data.draw(bound_plans(op=operation, sites=sites, max_ranks=4, max_faults=2, effects=(Raise, FailFuture)), label="failures")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, planner=planner))

    if result.expectation.ending is Ending.FAILS and not result.known:
        assert all(outcome.error.failures == result.expectation.failures for outcome in result.outcomes.values())
