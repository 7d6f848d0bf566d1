"""Drawn jobs on simulated ranks and on processes: the verdicts, the broken claims and the known findings must be the same.

Run by itself: ``python benchmarks/stress_jobs.py [JOBS] [SEED]``. Exits with 1 if a job shows something else on processes than on simulated ranks.
"""

from __future__ import annotations

import sys
import time

from ckpt_harness.campaigns.compare_jobs import differing, simulated_twin
from ckpt_harness.campaigns.fuzz.running import run_one
from ckpt_harness.campaigns.fuzz.search import Drawing
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.jobs.record import JobRecord
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.strategies.job_menu import JobMenu, usual_ways, usual_workloads
from ckpt_harness.worlds.processes import shared

RANKS = (2, 3, 1)


def show(simulated: JobRecord, real: JobRecord) -> None:
    """Prints how the two worlds differ."""
    print(real.job.replay_line())
    for name, record in (("simulated", simulated), ("processes", real)):
        print(f"  {name}: {record.verdict.name}, known {', '.join(record.known) or 'nothing'}")
        for broken in record.broken:
            print(f"    {broken.claim}: {broken.reason}")
    for number, (first, second) in enumerate(zip(simulated.happened, real.happened, strict=False), 1):
        if first != second:
            print(f"  operation {number}, simulated: {first}\n  operation {number}, processes: {second}")


def main() -> int:
    """Runs each job in both worlds, and compares."""
    quiet()
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    menu = JobMenu(ranks=RANKS, workloads=usual_workloads("filesystem"), ways=usual_ways(RANKS), world="processes")
    compared = differ = 0
    seconds = {"simulated": 0.0, "processes": 0.0}
    with JobRig() as rig:
        for job in Drawing(menu, seed):
            twin = simulated_twin(job)
            if twin is None:
                continue
            records = [run_one(rig, each) for each in (twin, job)]
            for record in records:
                seconds[record.job.world] += record.seconds
            if differing(*records):
                differ += 1
                show(*records)
            compared += 1
            if compared % 20 == 0:
                print(f"{compared} jobs, {differ} differ, {time.process_time():.0f} s of CPU here", flush=True)
            if compared == wanted:
                break
    print(f"{compared} jobs, {differ} differ; " + ", ".join(f"{value:.0f} s on {name}" for name, value in seconds.items()))
    shared().close()
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
