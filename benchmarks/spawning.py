"""Judged cases per second on simulated ranks, against new processes for each case, and against torch's test class that reuses its processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from measure import Row, seconds
from operation import BareFailingWriter

from ckpt_harness.campaigns.workers import stay_on_one_processor
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan

RANKS = 4
_WARM = Path(__file__).with_name("warm_processes.py")


def _fail_once(root: str) -> None:
    try:
        dcp.save({"a": torch.ones(5)}, storage_writer=BareFailingWriter(root, sync_files=False))
    except dcp.CheckpointException:
        return
    raise AssertionError("the fault did not propagate")


def _spawned(rank: int, root: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{root}/rendezvous", rank=rank, world_size=RANKS)
    _fail_once(root)
    dist.destroy_process_group()


def _spawning() -> None:
    root = tempfile.mkdtemp(prefix="ckpt-bench-")
    try:
        mp.spawn(_spawned, (root,), nprocs=RANKS)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _warm(cases: int) -> float:
    """Cases per second of torch's MultiProcContinuousTest, without the start of its processes."""
    environment: dict[str, Any] = {**os.environ, "PYTHONWARNINGS": "ignore", "CKPT_BENCH_CASES": str(cases)}
    done = subprocess.run([sys.executable, str(_WARM)], capture_output=True, text=True, env=environment, timeout=300, check=False)
    figures = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("RATE")]
    if not figures:
        raise RuntimeError(f"{_WARM.name} printed no rate:\n{done.stdout}\n{done.stderr}")
    return figures[0]


def rows(smoke: bool) -> list[Row]:
    """The simulated ranks are bound to one processor; the alternatives may use all processors."""
    cases = 10 if smoke else 200
    case = Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC)"), ranks=RANKS, workload="replicated", retry=False)
    processors = os.sched_getaffinity(0)
    stay_on_one_processor(0)  # as each worker of a sweep is
    with Rig() as rig:
        rig.run(case)
        started = time.perf_counter()
        for _ in range(cases):
            rig.run(case)
        simulated = cases / (time.perf_counter() - started)
    os.sched_setaffinity(0, processors)
    spawned = 1 / seconds(_spawning)
    warm = _warm(cases)
    per_case, reused = f"new processes for each case: {spawned:.2f}", f"torch's reused processes, without a verdict: {warm:.1f}"
    return [
        Row(f"judged cases per second, {RANKS} ranks", f"{simulated:.1f}, {simulated / spawned:.0f}x", per_case, "at least 300x"),
        Row("the same", f"{simulated:.1f}, {simulated / warm:.1f}x", reused, "at least 2x"),
    ]
