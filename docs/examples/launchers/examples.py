"""Examples that every rank runs, under any launcher; the script of each launcher, beside this file, calls :func:`run`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness import FaultyStorageReader, FaultyStorageWriter, PlanError, assert_propagated, inject

ROOT = Path(os.environ.get("EXAMPLES_ROOT", "."))


def run() -> None:
    """Runs every example; returns only if all assertions hold.

    The last rank of the group fails, and all ranks report that; without a group, the only rank fails.
    """
    warnings.filterwarnings("ignore", message="torch.distributed is disabled")
    rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    _around_a_writer(rank, size - 1)
    _around_a_reader(rank, size - 1)
    _around_code_that_shows_nothing(rank, size - 1)
    if dist.is_initialized():
        _a_rank_that_does_not_exist(size)


def _state() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(8.0)}


def _around_a_writer(rank: int, failing: int) -> None:
    writer = FaultyStorageWriter(dcp.FileSystemWriter(ROOT / "first"), f"write_data@{failing}=raise(OSError:ENOSPC)")
    with pytest.raises(CheckpointException) as caught:
        dcp.save(_state(), storage_writer=writer)
    assert_propagated(caught.value, writer.plan)
    assert bool(writer.fired) is (rank == failing)
    dcp.save(_state(), storage_writer=writer)  # the same writer tries again


def _around_a_reader(rank: int, failing: int) -> None:
    reader = FaultyStorageReader(dcp.FileSystemReader(ROOT / "first"), f"read_data.future@{failing}=failfuture(wait,OSError:EIO)")
    loaded = {"weight": torch.zeros(8)}
    with pytest.raises(CheckpointException) as caught:
        dcp.load(loaded, storage_reader=reader)
    assert_propagated(caught.value, reader.plan)
    assert bool(reader.fired) is (rank == failing)
    dcp.load(loaded, storage_reader=reader)
    assert torch.equal(loaded["weight"], torch.arange(8.0))


def _around_code_that_shows_nothing(rank: int, failing: int) -> None:
    failed = []
    with inject(f"save[3]/write@{failing}=raise(OSError:EIO)") as faults:
        for step in range(4):  # a training loop
            try:
                dcp.save(_state(), checkpoint_id=ROOT / f"step-{step}")
            except CheckpointException as caught:
                assert_propagated(caught, faults.plan)
                failed.append(step)
    assert failed == [2]
    assert bool(faults.fired) is (rank == failing)


def _a_rank_that_does_not_exist(size: int) -> None:
    with pytest.raises(PlanError, match=f"outside a world of {size}"):
        FaultyStorageWriter(dcp.FileSystemWriter(ROOT), f"write_data@{size}=raise")
