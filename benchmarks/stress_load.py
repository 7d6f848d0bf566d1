"""Cases on a machine that is busy with other things: a verdict may come late or be UNKNOWN, but load alone is never a violation.

Run by itself: ``python benchmarks/stress_load.py [LOOPS]``. Starts LOOPS programs that compute for ever (by default 20), and runs cases beside them: of
processes, and of simulated ranks. Exits with 1 if any case is VIOLATED. All of it shares one processor, so that the machine stays usable.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from ckpt_harness.campaigns.run_cases import run_one
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.campaigns.workers import quiet, stay_on_one_processor
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.processes import shared

PLANS = (
    "",
    "writer.write_data@1=raise(OSError:EIO)",
    "writer.finish@0=raise",
    "writer.prepare_local_plan@0=delay(0.5)",
    "writer.write_data@1=hang",
    "writer.write_data@0=kill",
    "writer.write_data@1=stop(0.5)",
)
"""The plans of the cases of processes."""
_EVERY = 40
"""Simulated: one in so many cases of ``sweep --ranks 2``."""


def cases(rig: Rig) -> Iterator[Case]:
    """The cases to run."""
    for plan in PLANS:
        yield Case(FaultPlan.parse(plan), "save", 2, world="processes")
    yield Case(FaultPlan(), "async_save", 2, world="processes")
    yield Case(FaultPlan(), "load", 3, world="processes")
    yield from plan_sweep(Sweep(sizes=(2,)), rig)[0][::_EVERY]


def main() -> int:
    """Runs the cases beside the loops, and counts verdicts."""
    quiet()
    stay_on_one_processor(-1)
    verdicts: Counter[tuple[str, str]] = Counter()
    slowest: Counter[str] = Counter()
    with Rig() as rig:
        chosen = list(cases(rig))
        for case in chosen[: len(PLANS)]:  # the ranks are warm before the loops begin
            rig.run(case)
        # In sessions of their own: Linux shares a processor between sessions first, and the ranks are in sessions of their own too.
        command = [sys.executable, "-c", "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"]
        loops = [subprocess.Popen(command, start_new_session=True) for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20)]
        try:
            started = time.monotonic()
            for case in chosen:
                record = run_one(rig, case)
                verdicts[case.world, record.verdict.name] += 1
                slowest[case.world] = max(slowest[case.world], round(record.seconds))
                if record.verdict is not Verdict.HOLDS:
                    print(f"{record.verdict.name}: {record.replay_line()}", *record.complaints, sep="\n    ", flush=True)
        finally:
            for loop in loops:
                loop.kill()
                loop.wait()
    shared().close()
    print(f"beside {len(loops)} loops on one processor, load {os.getloadavg()[0]:.0f}, {time.monotonic() - started:.0f} s:")
    for (world, verdict), count in sorted(verdicts.items()):
        print(f"{world}: {count} {verdict}, the slowest case took {slowest[world]} s")
    return int(any(verdict == "VIOLATED" for _, verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
