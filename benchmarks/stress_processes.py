"""1,000 cases that hang, kill or stop real processes: memory, descriptors, threads, ranks and files must not grow.

Run by itself: ``python benchmarks/stress_processes.py [CASES]``. Exits with 1 if a number has grown.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path

from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.processes import shared

EFFECTS = ("hang", "kill", "stop", "exit", "raise(unpicklable)")
_WARM = 50
"""Cases before the first measurement, while caches fill."""
_MEMORY = 24.0
"""MB by which the parent may grow in 1,000 cases. A leaked case would take far more than 24 kB."""


def taken() -> dict[str, float]:
    """The resident memory in MB and the numbers of descriptors, threads, ranks and files of the parent and its fork server."""
    gc.collect()
    server = shared().server()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
    return {
        "MB": round(resident, 1),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "ranks": len(children),
        "files": len(list(Path(server.directory).iterdir())),
    }


def main() -> int:
    """Runs the cases and compares the numbers before and after."""
    quiet()
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    before: dict[str, float] = {}
    started = time.monotonic()
    with Rig() as rig:
        for number in range(cases + _WARM):
            if number == _WARM:
                before, started = taken(), time.monotonic()
                print("before", before, flush=True)
            plan = f"writer.write_data@{number % 2}={EFFECTS[number % len(EFFECTS)]}"
            result = rig.run(Case(FaultPlan.parse(plan), "save", 2, world="processes", retry=False))
            if result.verdict is not Verdict.HOLDS:
                print(result.explain())
                return 1
            if number % 200 == 0:
                print(number, taken(), f"{time.monotonic() - started:.0f} s", flush=True)
    after = taken()
    print("after", after, f"{cases / (time.monotonic() - started):.1f} cases/s")
    grown = [name for name in before if after[name] > before[name] + (_MEMORY if name == "MB" else 0)]
    print(f"grown: {', '.join(grown) or 'nothing'}")
    shared().close()
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
