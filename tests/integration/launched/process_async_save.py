"""A process-based async save, which pickles the writer into a process of its own, on one rank."""

from __future__ import annotations

import examples
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint import _async_process_executor as executor
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

from ckpt_harness import FaultyStorageWriter, assert_propagated, inject


def attempt(plan: object, **place: object) -> bool:
    """Whether the save succeeded; if not, the failure must be the plan's."""
    try:
        dcp.async_save({"weight": torch.ones(3)}, async_checkpointer_type=AsyncCheckpointerType.PROCESS, **place).result(timeout=60)
    except CheckpointException as caught:
        assert_propagated(caught, plan)
        return False
    return True


def main() -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    writer = FaultyStorageWriter(dcp.FileSystemWriter(examples.ROOT / "mine"), "write_data@0#2=raise(OSError:EIO)")
    assert [attempt(writer.plan, storage_writer=writer) for _ in range(3)] == [True, False, True], "the copies did not count together"
    assert len(writer.fired) == 1, "the original does not know what fired in its copy"
    with inject("async_save[2]/finish@0=raise(OSError:EIO)") as faults:
        ended = [attempt(faults.plan, checkpoint_id=examples.ROOT / f"resolved-{number}") for number in range(3)]
    assert ended == [True, False, True]
    assert len(faults.fired) == 1
    executor._CHECKPOINT_PROCESS = None  # ends the process, which torch keeps for the life of this one
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
