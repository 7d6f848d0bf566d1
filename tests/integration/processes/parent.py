"""A program that has ranks in every state when it is ended: idle, in a barrier, stopped. It prints what must not outlive it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence

import bodies

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.processes import ProcessWorld, shared


def main() -> None:
    with Rig() as rig:
        rig.run(Case(FaultPlan.parse("writer.write_data@1=raise"), world="processes"))

        def judge(_: Sequence[RankResult]) -> None:
            server = shared().server()
            pids = [pid for crew in (*shared()._idle, *shared()._busy) for pid in crew.pids]
            print(json.dumps({"pids": [server.pid, *pids], "directories": [server.directory, str(rig.root)]}), flush=True)
            ProcessWorld(2, timeout=600).run(bodies.late, 600.0)

        ProcessWorld(3).run(bodies.stop, math.inf, judge=judge)


if __name__ == "__main__":
    sys.exit(main())
