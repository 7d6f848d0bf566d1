"""What two worlds must show alike of a case, on records made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ckpt_harness.campaigns.compare_worlds import differences, simulated_twins
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import Record
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

TOLD = "raised CheckpointException in 'write' naming {rank 1: OSError(no space)}"


def record(world: str, plan: str = "writer.write_data@1=raise", outcomes: tuple[str, ...] = (TOLD, TOLD), **changes: Any) -> Record:
    case = Case(FaultPlan.parse(plan), world=world)  # type: ignore[arg-type]  # one of the literals
    return replace(Record(case, Verdict.HOLDS, "fails", outcomes, (), (), (), 0.1), **changes)


def found(one: Record, other: Record) -> tuple[str, ...]:
    compared, differing = differences([one, other])
    assert compared == 1
    return differing[0].what if differing else ()


def test_records_that_say_the_same_agree() -> None:
    """How long they took does not matter."""
    assert found(record("simulated"), record("processes", seconds=9.0)) == ()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"verdict": Verdict.VIOLATED}, "verdict"),
        ({"complaints": ("agreement VIOLATED: ...",)}, "complaints"),
        ({"known": ("DCP-001",)}, "known"),
        ({"expected": "succeeds"}, "owed"),
        ({"outcomes": (TOLD, TOLD.replace("no space", "no luck"))}, "rank 1"),
        ({"outcomes": ("returned", TOLD)}, "rank 0"),
    ],
)
def test_whatever_else_differs_is_a_difference(changes: dict[str, Any], what: str) -> None:
    """Down to the words of an error."""
    assert found(record("simulated"), record("processes", **changes)) == (what,)


@pytest.mark.parametrize("plan", ["writer.write_data@1=kill", "writer.write_data@1=hang", "pg.all_gather@1=raise"])
def test_peers_of_a_lost_rank_wait_in_vain_whatever_ends_that(plan: str) -> None:
    """A timer, a closed connection or nothing; but nobody may succeed, or die, in one world only, or be told otherwise."""
    simulated, real = ("raised RuntimeError(Timed out)", "dead"), ("hung (gather, waiting for rank 1, at a line)", "dead")
    assert found(record("simulated", plan, simulated), record("processes", plan, real)) == ()
    assert found(record("simulated", plan, simulated), record("processes", plan, ("returned", "dead"))) == ("rank 0",)
    assert found(record("simulated", plan, simulated), record("processes", plan, ("raised RuntimeError(Timed out)", "raised OSError"))) == ("rank 1",)
    assert found(record("simulated", plan, simulated), record("processes", plan, (TOLD, "dead"))) == ("rank 0",)


def test_only_what_ran_in_both_worlds_is_compared() -> None:
    """Simulated ranks cannot stop."""
    cases = [Case(FaultPlan.parse(f"writer.write_data@1={effect}"), world="processes") for effect in ("raise", "stop", "exit")]
    assert [(str(case.plan), case.world) for case in simulated_twins(cases)] == [("writer.write_data@1=raise", "simulated")]
    assert differences([record("simulated"), record("processes", "writer.write_data@1=stop")]) == (0, [])
