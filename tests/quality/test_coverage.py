"""No false alarms about an engine that refuses a load which leaves out a part of the checkpoint, nor about a partial load that was asked for."""

from __future__ import annotations

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

COVERING = "covering_storage:COVERING"


@pytest.mark.parametrize("plan", ["", "reader.read_metadata@1=delay", "load_planner.create_local_plan@1=raise"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_load_that_asks_for_less_may_be_refused(plan: str, ranks: int) -> None:
    """On every rank, also beside a fault."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(plan.replace("@1", f"@{ranks - 1}")), "load", ranks=ranks, engine=COVERING, workload="longer"))
        assert {outcome.kind for outcome in result.outcomes.values()} == {"raised"}
        assert (result.verdict, result.known) == (Verdict.HOLDS, ())


@pytest.mark.parametrize("engine", ["filesystem", COVERING])
def test_a_partial_load_that_was_asked_for_must_succeed(engine: str) -> None:
    """The kind of planner says so."""
    with Rig() as rig:
        result = rig.run(Case(operation="load", engine=engine, workload="longer", planner="partial-load"))
        assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}
        assert (result.verdict, result.known) == (Verdict.HOLDS, ())


@pytest.mark.parametrize("planner", ["default", "no-flatten"])
def test_dcp_does_not_notice_what_is_left_out(planner: str) -> None:
    """A known finding; what a load has returned beyond its target was not left out."""
    with Rig() as rig:
        result = rig.run(Case(operation="load", workload="longer", planner=planner))
        (violation,) = [judgement for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED]
        assert (violation.oracle, violation.known) == ("coverage", "DCP-037")
        assert ("layers[2]" in violation.reason) == (planner == "default")


def test_a_save_is_read_back_whole() -> None:
    """Only a load operation asks for less."""
    with Rig() as rig:
        result = rig.run(Case(workload="longer"))
        assert (result.verdict, result.known) == (Verdict.HOLDS, ())
