"""Up to how many ranks one process simulates, and whether the cost grows faster than the engine's own."""

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
    """A plain save of one replicated tensor and one object, at growing sizes."""
    found, before = [], 0.0
    for ranks in (4, 16) if smoke else (4, 64, 256, 1024):
        taken = seconds(functools.partial(_save, ranks))
        growth = f"{1e3 * taken / ranks:.2f} ms a rank" + (f", {taken / before:.1f}x the last" if before else "")
        found.append(Row(f"save on {ranks} simulated ranks", f"{taken:.2f} s", growth, "1,024 ranks in one process"))
        before = taken
    return found
