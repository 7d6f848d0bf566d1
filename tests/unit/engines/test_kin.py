"""Engines that derive from a built-in engine: whose known findings count for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "engine" / "my_storage.py"
ALONE = FileSystemEngine("alone", "an engine that names no kin")


@pytest.mark.parametrize(
    ("engine", "verdict", "known"),
    [(f"{EXAMPLE}:ENGINE", Verdict.HOLDS, ("DCP-030",)), (f"{__file__}:ALONE", Verdict.VIOLATED, ())],
)
def test_findings_of_the_kin_are_known(engine: str, verdict: Verdict, known: tuple[str, ...]) -> None:
    """A failed write of a tensor arrives as another error, which is a defect of DCP's writer; without kin it counts."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("fs.write(*.distcp)@0#4=diskerror(ENOSPC)"), ranks=1, engine=engine))
    assert (result.verdict, result.known) == (verdict, known), result.explain()
