"""What the manager does when rank 1's disk is full in the second save: torchrun --nproc-per-node 2 check_full_disk.py DIRECTORY."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from checkpoints import CheckpointManager
from train import train

from ckpt_harness import inject

dist.init_process_group("gloo")
root = Path(sys.argv[1])

with inject("save[2]/write@1=raise(OSError:ENOSPC)") as faults:
    _, missed = train(root, steps=4)

assert bool(faults.fired) is (dist.get_rank() == 1)
assert missed == [4]  # on every rank, so that all ranks go on alike
assert (root / "latest").read_text() == "step-2"

state = {"weight": torch.zeros(4)}
assert CheckpointManager(root).resume(state) == 2
assert torch.equal(state["weight"], torch.full((4,), 2.0))

_, missed = train(root, steps=4)  # the same processes try again
assert missed == []
dist.barrier()
assert (root / "latest").read_text() == "step-4"
dist.destroy_process_group()
