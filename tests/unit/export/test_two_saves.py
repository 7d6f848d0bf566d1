"""Two saves under way at once in a script: what strikes which of them, and what no script says."""

from __future__ import annotations

from typing import Any

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.errors import UsageError
from ckpt_harness.export.faults import Faults
from ckpt_harness.export.script import check
from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.plan import FaultPlan


def _two(plan: str, **options: Any) -> Case:
    return Case(FaultPlan.parse(plan), "async_save", **{"overlap": "shared", **options})


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (_two("", overlap="separate"), "overlap 'separate'.*valid: none, shared"),
        (_two("", way="no_collectives"), "way 'no_collectives' with overlap 'shared'.*valid: 'together'"),
        (_two("", staging="blocking", workload="stateful"), "staging 'blocking' with overlap.*valid: 'writer'"),
        (_two("", executor="process", world="processes"), "executor 'process' with overlap.*valid: 'thread'"),
        (_two("async_save[1]/writer.write_data@1=raise"), "if a save fails.*valid: delay"),
        (_two("writer.write_data@1=delay"), "tells two saves apart by their writers; valid: .*async_save.1./writer"),
        (_two("async_save/writer.write_data@1=delay"), "tells two saves apart by their writers"),
        (_two("async_save[1]/save_planner.finish_plan@1=delay"), "tells two saves apart by their writers"),
        (_two("async_save[2]/writer.finish@0=delay(21)"), "up to 20 s"),
    ],
    ids=lambda value: value.replay_line() if isinstance(value, Case) else "",
)
def test_what_no_script_says_of_two_saves_is_refused(case: Case, told: str) -> None:
    """Before anything runs, with what could be exported instead."""
    with pytest.raises(UsageError, match=told):
        check(case)


def test_a_call_is_counted_within_its_save() -> None:
    """The other save's calls on the rank neither strike nor count."""
    (fault,) = FaultPlan.parse("async_save[2]/writer.reset@1#2=delay(3)")
    faults = Faults([Struck(fault, (1,))], 2, overlapping=True)

    assert faults.constants == ["CALLS = itertools.count(1)"]
    assert '    if self.path.name == "checkpoint_2" and dist.get_rank() == 1 and next(CALLS) == 2:' in "\n".join(faults.blocks)
