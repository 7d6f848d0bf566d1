"""Real deaths in real checkpoints: a SIGKILL at every site of the writer, on every rank."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.strategies import storage_sites
from ckpt_harness.worlds.processes import Crews

RANKS = 3


@pytest.fixture(scope="module")
def rig(crews: Crews) -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.mark.parametrize("moment", ["", "!after"])
@pytest.mark.parametrize("site", storage_sites("save"))
def test_no_survivor_of_a_sigkill_hangs_and_nothing_half_done_is_committed(rig: Rig, site: str, moment: str) -> None:
    """All other ranks get an error, there is no commit marker unless ``finish`` acted, and the earlier checkpoint is untouched and loads."""
    if SITES[site].is_future and moment:
        pytest.skip("a future is over when its call is")
    ranks = [0] if SITES[site].callers == "coordinator" else range(RANKS)
    for rank in ranks:
        result = rig.run(Case(FaultPlan.parse(f"{site}@{rank}{moment}=kill"), "save", RANKS, world="processes"))
        assert result.verdict is Verdict.HOLDS, result.explain()
        assert {one: outcome.kind for one, outcome in result.outcomes.items()} == {
            other: "dead" if other == rank else "raised" for other in range(RANKS)
        }, result.explain()
        (storage,) = result.evidence.storage["save[1]"]
        assert not storage.damaged
        assert storage.committed == (site == "writer.finish" and moment == "!after")


@pytest.mark.parametrize("effect", ["stop", "exit", "stop(0.2)"])
def test_what_only_processes_suffer_is_refused_to_simulated_ranks(effect: str) -> None:
    """With the choices, before anything runs."""
    case = Case(FaultPlan.parse(f"writer.write_data@1={effect}"))
    with pytest.raises(PlanError, match=r"needs real processes .*; valid: raise, .*`ckpt-harness effects`"):
        case.bind()


def test_an_engine_of_one_process_is_refused_to_processes() -> None:
    """What one rank stored there, the others would not see."""
    with pytest.raises(UsageError, match="'fsspec-memory' lives in one process"):
        Case(engine="fsspec-memory", world="processes").bind()


def test_an_unknown_world_is_refused() -> None:
    """With the choices."""
    with pytest.raises(UsageError, match="unknown world .imagined.; valid: simulated, processes, attached"):
        Case(world="imagined").bind()  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", ["writer.write_data@1=raise(OSError:EIO)", "pg.broadcast@0=raise", "save_planner.resolve_data@1#2=raise(huge)"])
def test_a_case_replays_from_its_line(rig: Rig, plan: str) -> None:
    """The line names the world, and the same comes of it."""
    case = Case(FaultPlan.parse(plan), world="processes")
    assert case.replay_line().endswith("--world processes")
    first, second = rig.run(case), rig.run(case)
    assert (first.verdict, {rank: one.kind for rank, one in first.outcomes.items()}) == (
        second.verdict,
        {rank: one.kind for rank, one in second.outcomes.items()},
    )
    assert first.evidence.fired == second.evidence.fired != frozenset()


def test_healed_ranks_try_again_with_the_same_storage(rig: Rig) -> None:
    """The retry of a failed save is judged in processes too."""
    result = rig.run(Case(FaultPlan.parse("writer.write_data@1#1x*=raise(OSError:ENOSPC)"), world="processes"))
    assert result.evidence.retry is not None
    assert {outcome.kind for outcome in result.evidence.retry.values()} == {"returned"}
    assert result.verdict is Verdict.HOLDS


def test_events_of_a_rank_survive_its_death(rig: Rig) -> None:
    """All that it did before, up to the fault itself."""
    result = rig.run(Case(FaultPlan.parse("writer.write_data@1=kill"), world="processes"))
    last = result.history.of_rank(1)[-1]
    assert (last.kind, last.site, last.detail) == ("fault", "writer.write_data", "writer.write_data@1=kill")
