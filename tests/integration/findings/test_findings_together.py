"""Plans that random plans found VIOLATED: they show several findings at once, or a finding where it is rarely met, or the model had them wrong."""

from __future__ import annotations

import logging
import shlex

import pytest

from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli.replay import case_of_line

UNCOORDINATED = "--op async_save --ranks 3 --workload replicated --way no_collectives --staging engine --overlap shared"
OVER_OLD = "--op async_save --ranks 5 --workload nested --way no_collectives --staging background --onto checkpoint"
APART = "--op async_save --ranks 5 --workload nested --staging background --overlap separate --no-retry"
CROSSED = "--op async_save --ranks 3 --overlap shared"
ALONE = "--op async_save --ranks 1 --workload objects --staging engine --overlap shared"
STAGED = "--op async_save --ranks 2 --workload replicated --way no_collectives --staging background"
NO_PARTS = "--op save --ranks 2 --workload objects"
PLANS = [
    (f"'pg.gather@all=raise' --seed 9640 --staging blocking {CROSSED}", {"DCP-020"}),
    (f"'writer.reset@all!after=raise' --seed 7814 --staging blocking {CROSSED}", {"DCP-004", "DCP-020"}),
    (f"'async_save/writer.checkpoint_id@0,1,2#1x*!after=delay(0.01)' --seed 3317 --way groups --onto checkpoint --no-retry {CROSSED}", {"DCP-020"}),
    (f"'fs.write@0,1#3x*=diskerror(EACCES)?' --seed 9033 {UNCOORDINATED}", {"DCP-012"}),
    (f"'fs.write@0,1,2#3x*=diskerror?' --seed 7472 {UNCOORDINATED}", {"DCP-012"}),
    (f"'async_save[1]/stager.stage.future@0,2,3,4=hang' --seed 7524 {OVER_OLD}", {"DCP-032"}),
    (f"'async_save[1]/stager.stage@0!after=raise(KeyError)' --seed 6725 {OVER_OLD}", {"DCP-012", "DCP-032"}),
    (f"'stager.stage.future@0,3#1x*=failfuture(wait,SystemExit)' --seed 6895 {APART}", {"DCP-008", "DCP-044"}),
    (f"'stager.synchronize_staging@0#2=raise' --seed 7802 {ALONE}", {"DCP-025"}),
    (f"'pg.broadcast@0#6x*=hang?; stager.synchronize_staging@0#2=raise' --seed 1390 {ALONE}", {"DCP-025"}),
    (f"'pg.broadcast@0#6x*=hang?; async_save/stager.synchronize_staging@all=raise(RuntimeError)' --seed 1048 {ALONE}", {"DCP-025"}),
    (f"'async_save/stager.stage.future@0=failfuture(wait,control)' --seed 914 {STAGED}", {"DCP-012", "DCP-044"}),
    (f"'save_planner.create_local_plan@1=wrong(gap)?; writer.prepare_global_plan@0=wrong' {NO_PARTS}", {"DCP-009"}),
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


@pytest.mark.filterwarnings("ignore:Detected an existing checkpoint")
@pytest.mark.parametrize(
    "line",
    [
        "'save[1]/fs.write@1,2,3,4#1x*=nospace(4096)?' --op save --ranks 5 --coordinator 1 --seed 4221 --onto checkpoint --no-retry",
        "'save[1]/fs.write@1=nospace(100000)?' --op save --ranks 2",
        "'load/reader.reset@1!after=delay(3600); load/pg.gather@0=delay(3600)?' --op load --ranks 2 --workload nested",
    ],
    ids=["a disk that is full in finish only", "a disk that is never full", "delays ahead of two collectives"],
)
def test_a_plan_that_the_model_had_wrong_violates_nothing(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No finding is needed either: the engine does what it must."""
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # DCP logs each call
    with Rig() as rig:
        result = rig.run(case_of_line(shlex.split(line)))
    assert result.verdict.name == "HOLDS", result.explain()
    assert not result.known
