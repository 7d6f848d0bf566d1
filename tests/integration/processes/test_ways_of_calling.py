"""Ways of calling on real ranks: process groups of a case are gone after it, and what is lost in one is not missed in another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.processes import Crews, ProcessWorld

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
"""What DCP says where ranks want to be alone."""


@pytest.fixture(scope="module")
def rig(crews: Crews) -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


def _pid() -> int:
    import os

    return os.getpid()


def _pids(case: Case) -> set[int]:
    """The processes that would run a case now."""
    return {result.value for result in ProcessWorld(case.ranks, timeout=GROUP_TIMEOUT).run(_pid)}


@pytest.mark.parametrize(("way", "ranks"), [("subgroup", 3), ("groups", 4), ("no_dist", 2), ("no_collectives", 2)])
def test_ranks_stay_warm_from_case_to_case(rig: Rig, way: str, ranks: int) -> None:
    """Their process groups were made and destroyed within the case; ranks that are still in one would have been replaced."""
    case = Case(ranks=ranks, way=way, world="processes", workload="sharded")
    before = _pids(case)
    for _ in range(3):
        assert rig.run(case).complaints() == []
    assert _pids(case) == before


@pytest.mark.parametrize("effect", ["kill", "stop", "exit"])
def test_a_rank_that_one_group_loses_is_not_missed_by_the_other(rig: Rig, effect: str) -> None:
    """Whatever becomes of rank 2, ranks 1 and 3 save, and what they stored can be loaded; rank 0 does not succeed."""
    result = rig.run(Case(FaultPlan.parse(f"writer.write_data@2={effect}"), ranks=4, way="groups", world="processes"))
    assert result.verdict is Verdict.HOLDS, result.explain()
    assert {rank for rank, one in result.outcomes.items() if one.kind == "returned"} == {1, 3}
    assert [storage.committed for storage in result.evidence.storage["save[1]"]] == [False, True]


def test_a_rank_that_stands_by_is_left_alone(rig: Rig) -> None:
    """The death of one rank of a sub-group is no concern of rank 0, which took no part."""
    result = rig.run(Case(FaultPlan.parse("writer.write_data@1=kill"), ranks=3, way="subgroup", world="processes"))
    assert result.verdict is Verdict.HOLDS, result.explain()
    assert set(result.outcomes) == {1, 2}
    assert not [event for event in result.history if event.rank == 0 and event.site]


def test_a_rank_that_hangs_is_missed_by_its_own_group(rig: Rig) -> None:
    """The reports show who waits for whom: no rank waits for a rank of another group, or for a rank that takes no part."""
    result = rig.run(Case(FaultPlan.parse("writer.write_data@2=hang"), ranks=3, way="subgroup", world="processes"))
    assert "gather, waiting for rank 2, at" in result.outcomes[1].where
    assert "waiting for" not in result.outcomes[2].where
