"""Claim: an async save in a background process (the process executor) keeps the claims of a save, also if that process dies, stops or never starts.

The cases are chosen, not drawn, since each case starts one process per rank, and each process imports torch.
"""

from __future__ import annotations

import pytest

from ckpt_harness import Case, FaultPlan
from ckpt_harness._torch import BACKGROUND_PROCESS_IS_WATCHED

pytestmark = [
    pytest.mark.ckpt_runs_in("processes"),
    pytest.mark.one_at_a_time,
    pytest.mark.skipif(not BACKGROUND_PROCESS_IS_WATCHED, reason="on this torch there is no verdict about waits for the background process"),
]


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
def test_ranks_learn_of_failures_in_the_background_process(ckpt_rig, plan):
    """A failure in the process reaches all ranks with its cause, all ranks wait for a late process, and no rank succeeds if a process is lost."""
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
def test_other_failures_of_the_process_are_known_findings(ckpt_rig, plan, known):
    """A failure outside the protocol steps is reported on its own rank only (DCP-021), and a dead process is never replaced (DCP-022)."""
    assert known in ckpt_rig.run(Case(FaultPlan.parse(plan), "async_save", executor="process")).known
