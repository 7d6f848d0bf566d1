"""How long until a hang is proved, against the group's timeout that it would otherwise take."""

from __future__ import annotations

from measure import Row, seconds

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan


def rows(smoke: bool) -> list[Row]:
    """The measurement: an error that cannot be pickled, at 4 ranks, from the start of the operation to the verdict."""
    case = Case(FaultPlan.parse("writer.write_data@1=raise(unpicklable)"), ranks=4)
    with Rig() as rig:
        rig.run(case)
        taken = sorted(seconds(lambda: rig.run(case)) for _ in range(3 if smoke else 30))
        hung = sum(one.kind == "hung" for one in rig.run(case).outcomes.values())
    return [Row(f"hang proved, 4 ranks ({hung} hung)", f"{1e3 * taken[len(taken) // 2]:.1f} ms", "the group's timeout: 1,800,000 ms", "under 50 ms")]
