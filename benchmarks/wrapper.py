"""Milliseconds of a 64 MB save through a wrapper with an empty plan, against the same save without the wrapper."""

from __future__ import annotations

import shutil
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from measure import Row, alternately

from ckpt_harness.injection.storage import FaultyStorageWriter


def rows(smoke: bool) -> list[Row]:
    """Medians of 40 saves each, without a process group, so that hardly anything but the wrapper is measured."""
    state = {"weight": torch.zeros(16 << 20, dtype=torch.float32)}
    root = tempfile.mkdtemp(prefix="ckpt-bench-")

    def bare() -> None:
        dcp.save(state, storage_writer=dcp.FileSystemWriter(root, sync_files=False), no_dist=True)

    def wrapped() -> None:
        dcp.save(state, storage_writer=FaultyStorageWriter(dcp.FileSystemWriter(root, sync_files=False)), no_dist=True)

    try:
        with_wrapper, without, ratio = alternately(wrapped, bare, 3 if smoke else 40)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    figure = f"{1e3 * with_wrapper:.1f} ms, {100 * (ratio - 1):+.1f} %"
    return [Row("64 MB save in an empty-plan wrapper", figure, f"bare: {1e3 * without:.1f} ms", "at most +2 %")]
