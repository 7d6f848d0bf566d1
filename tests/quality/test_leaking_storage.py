"""Files that a storage leaves open are found on simulated ranks and in the processes of ranks; what is closed in time is not."""

from __future__ import annotations

import pytest

from ckpt_harness.cases.case import Case, WorldName
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

WORLDS: tuple[WorldName, ...] = ("simulated", "processes")


@pytest.mark.parametrize("world", WORLDS)
def test_a_storage_that_leaves_descriptors_open_is_found_in_every_case(world: WorldName) -> None:
    """Nothing but hygiene finds it. Warm ranks run both cases, and what the first case left open is not charged to the second."""
    with Rig() as rig:
        for _ in range(2):
            result = rig.run(Case(engine="leaking_storage:LEAKING", world=world))
            violations = [judgement for judgement in result.judgements if judgement.counts is Verdict.VIOLATED]
            owner = "rank 0: " if world == "processes" else ""
            assert [(judgement.oracle, judgement.reason) for judgement in violations] == [("hygiene", f"{owner}attempt-0-0 is still open")]
        assert rig.run(Case(world=world)).verdict is Verdict.HOLDS


def test_a_file_elsewhere_is_charged_if_each_run_leaves_it_open() -> None:
    """The first run alone could have opened it for good."""
    with Rig() as rig:
        result = rig.run(Case(engine="leaking_storage:FORGETFUL"))
    assert result.verdict is Verdict.VIOLATED
    (violation,) = [judgement for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED]
    assert violation.oracle == "hygiene"
    assert violation.reason.startswith("each run leaves a file open: ")


def test_a_file_elsewhere_that_only_a_failure_leaves_open_is_charged() -> None:
    """The case with the fault is run again; without a fault the storage holds."""
    with Rig() as rig:
        failing = rig.run(Case(FaultPlan.parse("save_planner.resolve_data@1=raise"), engine="leaking_storage:HASTY"))
        assert rig.run(Case(engine="leaking_storage:HASTY")).verdict is Verdict.HOLDS
    assert [(each.oracle, each.reason.partition(":")[0]) for each in failing.judgements if each.verdict is Verdict.VIOLATED] == [
        ("hygiene", "each run leaves a file open")
    ]


@pytest.mark.parametrize("world", WORLDS)
def test_files_that_are_closed_in_time_are_nobodys_fault(world: WorldName) -> None:
    """A storage may keep files open as long as it is used, and a library may keep other files open for good."""
    with Rig() as rig:
        assert rig.run(Case(engine="leaking_storage:TIDY", world=world)).verdict is Verdict.HOLDS
