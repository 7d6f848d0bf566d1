"""What one run of a case takes: how many worlds, and the phases at which it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all simulated worlds that run."""
    sizes: list[int] = []
    run = SimulatedWorld.run

    def counted(world: SimulatedWorld, *args: Any, **more: Any) -> Sequence[RankResult]:
        sizes.append(world.size)
        return run(world, *args, **more)

    monkeypatch.setattr(SimulatedWorld, "run", counted)
    return sizes


@pytest.mark.parametrize(
    ("plan", "more", "sizes"),
    [
        ("writer.finish@0=raise", {}, [2, 2, 2, 2]),  # the baseline, the course without faults, the case, its second try read back
        ("writer.finish@0=raise", {"retry": False}, [2, 2, 2]),  # nothing was committed
        ("writer.finish@0!after=raise", {}, [2, 2, 2, 2, 1]),  # the commit is read back by as many ranks, and by another number
        ("writer.finish@0=raise", {"onto": "checkpoint"}, [2, 2, 2, 2, 2, 2, 1, 2]),  # two more save first, and before the second try the place is read back
        ("", {}, [2, 2, 2, 2, 1]),
        ("", {"operation": "load"}, [2, 2, 2]),  # a load is compared by the ranks that load
    ],
)
def test_one_replayed_case_runs_few_worlds(worlds: list[int], plan: str, more: dict[str, Any], sizes: list[int]) -> None:
    """The course without faults reads nothing back: what it saved is of no interest."""
    with Rig() as rig:
        rig.run(Case(FaultPlan.parse(plan), **more))
    assert worlds == sizes


@pytest.mark.parametrize("engine", ["filesystem", "fsspec-memory"])
def test_a_second_try_hides_nothing_that_the_first_left(engine: str) -> None:
    """What is stored is read back before the second try replaces it; the second try is judged, too."""
    case = Case(FaultPlan.parse("writer.write_data@1=raise"), engine=engine, onto="checkpoint")
    with Rig() as rig:
        tried_again, gave_up = rig.run(case), rig.run(replace(case, retry=False))
    assert tried_again.evidence.retry is not None
    assert tried_again.evidence.storage == gave_up.evidence.storage
    assert tried_again.known == gave_up.known == ("DCP-032",)


def test_the_reading_before_a_second_try_meets_no_fault() -> None:
    """The faults of the case are still alive then, and none strikes the harness or shows in the history."""
    case = Case(FaultPlan.parse("fs.create_stream(*.distcp)@1=diskerror(EIO)"), onto="checkpoint")
    with Rig() as rig:
        tried_again, gave_up = rig.run(case), rig.run(replace(case, retry=False))
    first = [str(event) for event in tried_again.history if "[1]" in event.operation]
    assert first == [str(event) for event in gave_up.history if "[1]" in event.operation]


def test_the_next_case_of_its_kind_runs_its_own_worlds_only(worlds: list[int]) -> None:
    """The baseline and the course are kept; the world of the case, and the one that reads back."""
    with Rig() as rig:
        rig.run(Case(FaultPlan.parse("writer.finish@0=raise")))
        worlds.clear()
        rig.run(Case(FaultPlan.parse("writer.write_data@1=raise"), seed=3))
    assert worlds == [2, 2]


def test_a_case_that_is_bound_is_not_bound_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up once: the run and the course use what they stand for."""
    bound = Case(FaultPlan.parse("writer.finish@0=raise")).bind()

    def refuse(case: Case) -> None:
        raise AssertionError(f"{case} is bound again")

    monkeypatch.setattr(Case, "bind", refuse)
    with Rig() as rig:
        result = rig.run(bound)
    assert (result.case, result.complaints()) == (bound.case, [])
