"""An async save that a process of its own does owes what any other does; that process may die, stop, or never start.

Each case starts a process a rank that imports torch, so the cases are chosen and not drawn.
"""

from __future__ import annotations

import pytest

from ckpt_harness import Case, FaultPlan

pytestmark = [pytest.mark.ckpt_runs_in("processes"), pytest.mark.one_at_a_time]


@pytest.mark.parametrize(
    "plan",
    [
        "",
        "writer.write_data@1=raise(OSError:EIO)",
        "executor.save@0=stop(0.5)",
        "executor.save@0=hang",
        "executor.start@0=kill",
    ],
)
def test_ranks_are_told_what_becomes_of_a_save_in_another_process(ckpt_rig, plan):
    """A failure in the process reaches all ranks with its cause; one that is late is waited for; where one is lost, nobody succeeds."""
    ckpt_rig.check(Case(FaultPlan.parse(plan), "async_save", executor="process"))


@pytest.mark.parametrize(
    ("plan", "known"),
    [
        ("executor.start@1=raise", "DCP-021"),
        ("executor.save@1=raise", "DCP-021"),
        ("executor.save@1=kill", "DCP-022"),
        ("writer.write_data@1=kill", "DCP-022"),
    ],
)
def test_what_it_gets_wrong_is_known(ckpt_rig, plan, known):
    """A process that fails outside of the save's steps is told on its rank alone, and one that died is never replaced."""
    assert known in ckpt_rig.run(Case(FaultPlan.parse(plan), "async_save", executor="process")).known
