"""No false alarms about an engine that keeps one checkpoint; the same engine without the claim is found."""

from __future__ import annotations

import pytest
from bugs_retained import KEEPING

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

SWEEPS = {
    "save and load": (Sweep(("save", "load"), (2, 3), engine=KEEPING), 37),
    "save below the storage": (Sweep(("save",), (2,), engine=KEEPING, disk=True), 17),
    "save onto a checkpoint": (Sweep(("save",), (2,), engine=KEEPING, onto="checkpoint"), 41),
    "async_save": (Sweep(("async_save",), (2,), engine=KEEPING), 41),
    "two saves at once": (Sweep(("async_save",), (2,), engine=KEEPING, overlap="separate"), 47),
    "two groups": (Sweep(("save", "load"), (4,), engine=KEEPING, way="groups"), 31),
}


@pytest.mark.parametrize(("sweep", "every"), SWEEPS.values(), ids=SWEEPS)
def test_removing_what_is_older_once_the_new_is_whole_violates_no_claim(sweep: Sweep, every: int) -> None:
    """In cases of several kinds that share a directory, so that one removes what another has to find."""
    with Rig() as rig:
        cases = [case for ground in sweep.grounds() for case in sweep.cases(rig, ground)][::every]
        assert len(cases) > 10
        for case in cases:
            judgements = rig.run(case).judgements  # DCP's own findings are for other tests
            stored = [judgement for judgement in judgements if judgement.oracle in ("commitment", "recovery", "filled")]
            assert [judgement.reason for judgement in stored if judgement.counts is not Verdict.HOLDS] == [], case


def test_a_case_needs_two_checkpoints_that_the_engine_keeps() -> None:
    """Two saves cannot each overwrite a checkpoint: the preparation of the second removes the first."""
    with pytest.raises(UsageError, match="needs two old checkpoints.*; valid: overlap 'none', or onto 'nothing'"):
        Case(engine="retaining_storage:KEEPING", operation="async_save", overlap="separate", onto="checkpoint").bind()


@pytest.mark.parametrize("plan", ["", "writer.write_data@1=raise"])
def test_without_the_claim_a_removal_is_damage(plan: str) -> None:
    """Also where only the second try removes: its own case is to blame, and the next case finds a whole baseline."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(plan), engine="retaining_storage:SILENT"))
        assert result.verdict is Verdict.VIOLATED
        assert {judgement.oracle for judgement in result.judgements if judgement.counts is Verdict.VIOLATED} == {"recovery" if plan else "commitment"}
        rig.run(Case(FaultPlan.parse("writer.write_data@1=raise"), engine="retaining_storage:SILENT", retry=False)).check()
