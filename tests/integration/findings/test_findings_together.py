"""Plans that show several findings at once, or a finding at a site where it is rarely met. Random plans found each of them VIOLATED."""

from __future__ import annotations

import logging
import shlex

import pytest

from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli.replay import case_of_line

UNCOORDINATED = "--op async_save --ranks 3 --workload replicated --way no_collectives --staging engine --overlap shared"
OVER_OLD = "--op async_save --ranks 5 --workload nested --way no_collectives --staging background --onto checkpoint"
APART = "--op async_save --ranks 5 --workload nested --staging background --overlap separate --no-retry"
PLANS = [
    (f"'fs.write@0,1#3x*=diskerror(EACCES)?' --seed 9033 {UNCOORDINATED}", {"DCP-012"}),
    (f"'fs.write@0,1,2#3x*=diskerror?' --seed 7472 {UNCOORDINATED}", {"DCP-012"}),
    (f"'async_save[1]/stager.stage.future@0,2,3,4=hang' --seed 7524 {OVER_OLD}", {"DCP-032"}),
    (f"'async_save[1]/stager.stage@0!after=raise(KeyError)' --seed 6725 {OVER_OLD}", {"DCP-012", "DCP-032"}),
    (f"'stager.stage.future@0,3#1x*=failfuture(wait,SystemExit)' --seed 6895 {APART}", {"DCP-008", "DCP-044"}),
    ("'fs.write@0=shortwrite(0)?' --op save --ranks 2 --workload replicated --way no_collectives", {"DCP-031"}),
    ("'fs.write(*.distcp)@all#1x*=shortwrite(0)?' --op save --ranks 2 --workload replicated", {"DCP-031"}),
]


@pytest.mark.filterwarnings("ignore:Detected an existing checkpoint")
@pytest.mark.parametrize(("line", "known"), PLANS)
def test_a_plan_shows_known_findings_and_nothing_else(line: str, known: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No oracle is violated beyond the findings."""
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # DCP logs each call
    with Rig() as rig:
        result = rig.run(case_of_line(shlex.split(line)))
    assert result.verdict.name == "HOLDS", result.explain()
    assert set(result.known) == known
