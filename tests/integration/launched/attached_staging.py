"""An async save of tensors on GPUs, staged in the background through pinned memory, on the ranks of a launcher."""

from __future__ import annotations

import sys

from ckpt_harness.worlds.attached import together


def main() -> int:
    from ckpt_harness.campaigns.workers import quiet
    from ckpt_harness.cases.case import Case
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.judging.verdict import Verdict

    quiet()
    with Rig() as rig:
        for plan in ("", "writer.write_data@1=raise(OSError:ENOSPC)"):
            case = Case(FaultPlan.parse(plan), "async_save", workload="cuda", world="attached", staging="background")
            result = rig.run(case)
            if result.verdict is not Verdict.HOLDS:
                print(result.explain())
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(together(main))
