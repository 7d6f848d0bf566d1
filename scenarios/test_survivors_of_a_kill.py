"""Claim: if a rank is killed before or after any storage call, no survivor hangs, and no checkpoint is wrong.

How a survivor ends depends on the world. With gloo, only a rank with a connection to the dead rank notices the death. Up to three ranks, each survivor has
such a connection; with four ranks, one survivor waits for another survivor. With real processes (killed by SIGKILL), a survivor that has failed ends, so that
its connections close and the next survivor notices: no rank waits for the timeout of a collective. Simulated ranks that failed stay alive, so that the
timeout of the collective ends the last survivor, in virtual time.
"""

from __future__ import annotations

import pytest

from ckpt_harness import Case, FaultPlan
from ckpt_harness.faults.sites import SITES
from ckpt_harness.strategies import storage_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

MOMENTS = [(site, moment) for site in storage_sites("save") for moment in ("", "!after") if not (moment and SITES[site].is_future)]


def _victims(site, ranks):
    return [0] if SITES[site].callers == "coordinator" else range(ranks)


@pytest.mark.ckpt_needs("commit marker")
@pytest.mark.parametrize(("ranks", "retry"), [(2, False), (3, False), (4, False), (4, True)])
@pytest.mark.parametrize(("site", "moment"), MOMENTS)
def test_every_survivor_ends_and_what_was_committed_still_loads(ckpt_rig, site, moment, ranks, retry):
    """Every survivor raises, and there is no new commit marker unless ``finish`` acted; with and without a retry by the survivors."""
    for victim in _victims(site, ranks):
        result = ckpt_rig.check(Case(FaultPlan.parse(f"{site}@{victim}{moment}=kill"), "save", ranks, retry=retry))

        kinds = {rank: outcome.kind for rank, outcome in result.outcomes.items()}
        assert kinds == {rank: "dead" if rank == victim else "raised" for rank in range(ranks)}, result.explain()
        if result.case.world == "processes":
            timed_out = [outcome for outcome in result.outcomes.values() if outcome.error is not None and "Timed out" in outcome.error.message]
            assert not timed_out, result.explain()
        (storage,) = result.evidence.storage[result.expectation.operation]
        assert storage.committed == (site == "writer.finish" and moment == "!after")

    assert ckpt_rig.check(Case(operation="load", ranks=ranks)).outcomes[0].kind == "returned", "the earlier checkpoint loads bit-equal"
