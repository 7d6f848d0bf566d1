"""Seconds of a save on 4 to 1,024 simulated ranks in one process, and the growth from each number of ranks to the next."""

from __future__ import annotations

import functools
import shutil
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from measure import Row, seconds

from ckpt_harness.worlds.simulated import SimulatedWorld


def _save(ranks: int) -> None:
    root = tempfile.mkdtemp(prefix="ckpt-bench-")
    try:
        SimulatedWorld(ranks).run(lambda: dcp.save({"a": torch.ones(4), "b": [1]}, checkpoint_id=root))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def rows(smoke: bool) -> list[Row]:
    """One save of one replicated tensor and one object for each number of ranks."""
    rows, before = [], 0.0
    for ranks in (4, 16) if smoke else (4, 64, 256, 1024):
        taken = seconds(functools.partial(_save, ranks))
        growth = f"{1e3 * taken / ranks:.2f} ms per rank" + (f", {taken / before:.1f}x the row before" if before else "")
        rows.append(Row(f"save on {ranks} simulated ranks", f"{taken:.2f} s", growth, "1,024 ranks in one process"))
        before = taken
    return rows
