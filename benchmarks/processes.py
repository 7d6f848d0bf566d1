"""Cases per second on 4 warm processes; seconds until a hang verdict, and until lost ranks are replaced."""

from __future__ import annotations

import statistics
import time

from measure import Row, seconds

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.worlds.contract.bodies import leave_one_behind, who_am_i
from ckpt_harness.worlds.processes import ProcessWorld

RANKS = 4


def rows(smoke: bool) -> list[Row]:
    """Each kind of case is repeated in one rig; times are medians, beside the slowest."""
    times = 2 if smoke else 30
    with Rig() as rig:

        def rate(plan: str, *, retry: bool) -> float:
            case = Case(FaultPlan.parse(plan), "save", RANKS, retry=retry, world="processes")
            rig.run(case)
            started = time.perf_counter()
            for _ in range(times):
                rig.run(case)
            return times / (time.perf_counter() - started)

        raised, retried = (rate("writer.write_data@1=raise(OSError:EIO)", retry=retry) for retry in (False, True))
        killed, hung = rate("writer.write_data@1=kill", retry=False), rate("writer.write_data@1=hang", retry=False)
    world = ProcessWorld(RANKS)

    def replaced() -> None:
        world.run(who_am_i, "back")

    verdicts, returns = [], []
    for _ in range(max(2, times // 3)):
        replaced()
        verdicts.append(seconds(lambda: world.run(leave_one_behind)))
        returns.append(seconds(replaced))
    return [
        Row("cases per second, 4 warm processes", f"{raised:.1f}/s", f"{retried:.1f}/s with a retry and read back", ">= 15/s"),
        Row("the same if a rank dies; if a rank hangs", f"{killed:.1f}/s, {hung:.1f}/s", "all ranks replaced each time", ""),
        Row("hang verdict with 4 processes", f"{statistics.median(verdicts):.2f} s", f"worst {max(verdicts):.2f} s", "< 1 s"),
        Row("replacement of all ranks", f"{statistics.median(returns):.2f} s", f"worst {max(returns):.2f} s", "< 1 s"),
    ]
