"""Milliseconds of a save with one injected fault on simulated ranks, against a save that fails at the same call without injection and recording.

Two more rows add the verdict, and then the retry and the reading back.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from measure import Row, alternately, seconds

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.planner import FaultySavePlanner
from ckpt_harness.injection.storage import FaultyStorageWriter
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.simulated import SimulatedWorld

RANKS = 4
PLAN = FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC)")


class BareFailingWriter(dcp.FileSystemWriter):
    """Fails at the same call as the plan, without the harness."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        """Raises on rank 1; the other ranks write."""
        if dist.get_rank() == 1:
            raise OSError(28, "No space left on device")
        return super().write_data(plan, planner)


def rows(smoke: bool) -> list[Row]:
    """Medians of 60 saves each; the last row is a mean."""
    times = 5 if smoke else 60
    root = tempfile.mkdtemp(prefix="ckpt-bench-")
    workload = find_workload("mixed")

    def bare() -> None:
        def body() -> None:
            with contextlib.suppress(dcp.CheckpointException):
                dcp.save(workload.make(context_here(1, RANKS)), storage_writer=BareFailingWriter(root, sync_files=False), checkpoint_id=root)

        SimulatedWorld(RANKS).run(body)

    def faulted() -> None:
        faults = Injector(PLAN, history=History())

        def body() -> None:
            writer = FaultyStorageWriter.sharing(dcp.FileSystemWriter(root, sync_files=False), faults)
            planner = FaultySavePlanner.sharing(dcp.DefaultSavePlanner(), faults)
            with contextlib.suppress(dcp.CheckpointException), faults.operation("save"):
                dcp.save(workload.make(context_here(1, RANKS)), storage_writer=writer, planner=planner, checkpoint_id=root)

        SimulatedWorld(RANKS).run(body, faults=faults)

    try:
        with_harness, without, ratio = alternately(faulted, bare, times)
        with Rig(Path(root) / "rig") as rig:
            judged, retried = Case(PLAN, ranks=RANKS, retry=False), Case(PLAN, ranks=RANKS)
            rig.run(judged), rig.run(retried)
            verified, _, verified_ratio = alternately(lambda: rig.run(judged), faulted, times)
            full = seconds(lambda: [rig.run(retried) for _ in range(times)]) / times
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return [
        Row(f"faulted save, {RANKS} ranks, recorded", f"{1e3 * with_harness:.1f} ms, {ratio:.2f}x", f"bare: {1e3 * without:.1f} ms", "at most 1.25x"),
        Row("the same, judged", f"{1e3 * verified:.1f} ms, {verified_ratio:.2f}x", "recorded only", "under 2x"),
        Row("the same, retried and read back", f"{1e3 * full:.1f} ms", "three operations", "reported"),
    ]
