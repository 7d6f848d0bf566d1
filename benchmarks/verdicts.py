"""Milliseconds until a hang of simulated ranks is proved, against the group's timeout."""

from __future__ import annotations

from measure import Row, seconds

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan


def rows(smoke: bool) -> list[Row]:
    """The median from the start of the save to the verdict, for an error that cannot be pickled, on 4 ranks."""
    case = Case(FaultPlan.parse("writer.write_data@1=raise(unpicklable)"), ranks=4)
    with Rig() as rig:
        rig.run(case)
        taken = sorted(seconds(lambda: rig.run(case)) for _ in range(3 if smoke else 30))
        hung = sum(outcome.kind == "hung" for outcome in rig.run(case).outcomes.values())
    return [Row(f"hang proved, 4 ranks ({hung} hung)", f"{1e3 * taken[len(taken) // 2]:.1f} ms", "the group's timeout: 1,800,000 ms", "under 50 ms")]
