"""The trainer: torchrun --nproc-per-node 2 train.py DIRECTORY."""

import os
import sys

import torch
import torch.distributed as dist
from checkpoints import CheckpointManager

if "CKPT_HARNESS_PLAN" in os.environ:
    import ckpt_harness  # noqa: F401  (the import activates the plan)


def train(root, steps=6, every=2):
    """Returns the state after the last step, and the steps whose save failed."""
    manager, state = CheckpointManager(root), {"weight": torch.zeros(4)}
    first = manager.resume(state)
    if dist.get_rank() == 0:
        print(f"goes on after step {first}", flush=True)
    missed = []
    for step in range(first + 1, steps + 1):
        state["weight"] += 1.0
        if step % every == 0 and not manager.save(step, state):
            missed.append(step)
    return state, missed


if __name__ == "__main__":
    dist.init_process_group("gloo")
    state, missed = train(sys.argv[1], steps=6)
    print(f"done: {state['weight'][0]:.0f}", flush=True)
    dist.destroy_process_group()
    if 6 in missed:  # who started the job must know: nothing else will save this step
        sys.exit("the last checkpoint is missing")
