"""A rank is killed (SIGKILL, among processes) at any call into the storage, before it or after it: no survivor hangs, and no checkpoint is wrong.

What ends a survivor is stated per world. The backend tells only those whose connection to the dead rank closes: all of them in a world of up to three; of
four ranks, one waits for others that failed because of it. Under a launcher those end, their connections close, and so it goes on to the last; among
processes the same happens, and nobody has to wait for the timer of a collective. Simulated ranks that failed stay, so there that timer is what ends the
others, in virtual time.
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
    """With an error, and without a new commit marker unless ``finish`` acted, whichever rank it was, and whether or not survivors wait to try again."""
    for victim in _victims(site, ranks):
        result = ckpt_rig.check(Case(FaultPlan.parse(f"{site}@{victim}{moment}=kill"), "save", ranks, retry=retry))

        kinds = {rank: outcome.kind for rank, outcome in result.outcomes.items()}
        assert kinds == {rank: "dead" if rank == victim else "raised" for rank in range(ranks)}, result.explain()
        if result.case.world == "processes":
            late = [outcome for outcome in result.outcomes.values() if outcome.error is not None and "Timed out" in outcome.error.message]
            assert not late, result.explain()
        (left,) = result.evidence.storage[result.expectation.operation]
        assert left.committed == (site == "writer.finish" and moment == "!after")

    assert ckpt_rig.check(Case(operation="load", ranks=ranks)).outcomes[0].kind == "returned", "the checkpoint before is there, bit-equal"
