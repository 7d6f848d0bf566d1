"""Two async saves at once: how each ends is observed, whatever becomes of the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.observer import Observer
from ckpt_harness.cases.progress import RankEnding
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.faults.calling import Overlap
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.base import RankResult

pytestmark = pytest.mark.usefixtures("silence")

_CASE = Case(operation="async_save", overlap="separate")


@pytest.mark.parametrize("hanging", [1, 2])
def test_a_save_that_hangs_does_not_hide_how_the_other_ended(hanging: int) -> None:
    """Rank 1 hangs in the upload of one save, and rank 0 waits for it; the future of the other save reports success on both ranks."""
    plan = FaultPlan.parse(f"async_save[{hanging}]/writer.write_data@1=hang")
    with Rig() as rig:
        result = rig.run(Case(plan, "async_save", overlap="separate"))
    outcomes = result.evidence.outcomes
    assert result.verdict is Verdict.HOLDS, result.explain()
    assert {outcome.kind for outcome in outcomes[f"async_save[{3 - hanging}]"].values()} == {"returned"}
    assert "returned" not in {outcome.kind for outcome in outcomes[f"async_save[{hanging}]"].values()}


def test_a_hang_that_is_a_finding_is_one_of_its_own_save_only() -> None:
    """The first save breaks DCP-008, and the second save succeeds as it must."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("async_save[1]/writer.stage@1=raise"), "async_save", overlap="separate"))
    assert (result.verdict, result.known) == (Verdict.HOLDS, ("DCP-008",)), result.explain()
    assert {outcome.kind for outcome in result.evidence.outcomes["async_save[2]"].values()} == {"returned"}


@pytest.mark.parametrize("fault", ["writer.finish@0=kill", "state.state_dict@1=hang"])
def test_a_rank_that_one_save_loses_is_lost_to_both(fault: str) -> None:
    """Its process, or the thread that makes both calls: no save of it is called a violation."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(f"async_save[1]/{fault}"), "async_save", overlap="separate"))
    assert result.verdict is Verdict.HOLDS, result.explain()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fault", ["writer.write_data@1=raise", "pg.gather@1!after=raise", "fs.close@1=diskerror", "writer.storage_meta@0#2=raise"])
def test_a_fault_strikes_one_of_two_saves_and_the_other_succeeds(fault: str, seed: int) -> None:
    """Without an operation, a fault strikes the save that makes the counted call first, which depends on the seed."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(fault), "async_save", overlap="separate", seed=seed))
    assert result.verdict is Verdict.HOLDS, result.explain()
    [struck] = {event.operation for event in result.history.of_kind("fault")}
    for operation, outcomes in result.evidence.outcomes.items():
        assert ({outcome.kind for outcome in outcomes.values()} == {"returned"}) is (operation != struck)


def test_the_other_ranks_of_a_stalled_save_are_followed_to_their_timeout() -> None:
    """Also where only the run shows which of two saves the fault strikes: rank 0 then raises an error, which the oracles look at."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("writer.write_data@1=hang"), "async_save", overlap="separate"))
    [struck] = {event.operation for event in result.history.of_kind("fault")}
    assert result.verdict is Verdict.HOLDS, result.explain()
    assert result.evidence.outcomes[struck][0].kind == "raised"


@pytest.mark.parametrize("overlap", ["shared", "separate"])
@pytest.mark.parametrize("save", [1, 2])
def test_a_collective_belongs_to_the_save_whose_thread_makes_it(overlap: Overlap, save: int) -> None:
    """A fault that is addressed to one of two saves strikes no collective of the other."""
    plan = FaultPlan.parse(f"async_save[{save}]/pg.gather@all#1x*=raise")
    with Rig() as rig:
        result = rig.run(Case(plan, "async_save", ranks=1, overlap=overlap))
    assert result.verdict is Verdict.HOLDS, result.explain()
    endings = {operation: outcomes[0].kind for operation, outcomes in result.evidence.outcomes.items()}
    assert endings == {f"async_save[{save}]": "raised", f"async_save[{3 - save}]": "returned"}


def test_a_mixture_that_the_second_save_leaves_is_the_known_finding() -> None:
    """The values of the second save have a number of their own."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("async_save[2]/writer.write_data@0=raise"), "async_save", overlap="separate", onto="checkpoint"))
    assert (result.verdict, result.known) == (Verdict.HOLDS, ("DCP-032",)), result.explain()


def test_a_death_in_one_save_explains_the_mixture_that_the_other_leaves() -> None:
    """The rank dies while both saves write, so both leave the known mixture of old and new files."""
    plan = FaultPlan.parse("async_save[2]/fs.flush@0,4=kill?")
    with Rig() as rig:
        case = Case(plan, "async_save", ranks=5, workload="objects", seed=3291, staging="background", overlap="separate", onto="checkpoint")
        result = rig.run(case)
    mixed = {judgement.operation: judgement.known for judgement in result.judgements if judgement.oracle == "purity" and judgement.reason}
    assert (result.verdict, mixed["async_save[1]"]) == (Verdict.HOLDS, "DCP-032"), result.explain()


def test_of_two_second_tries_that_failed_the_first_save_is_reported(tmp_path: Path) -> None:
    """In whichever order they ended."""
    errors = {number: Outcome("raised", ErrorRecord("OSError", message=str(number))) for number in (3, 4)}
    observer = Observer(_CASE.bind(), Workspace(tmp_path))
    observer.retrying = frozenset({0})
    for number in (4, 3):
        observer.retried(0, RankEnding(f"async_save[{number}]", errors[number]))
    assert observer.retry_outcomes([RankResult(0, "returned")]) == {0: errors[3]}
